/* cc.h - the emitted text through the host's C compiler. */
#ifndef BM_CC_H
#define BM_CC_H

#include "frontend/base/diag.h"

/* Of every file we emit; also in the header comment, so without anything of this machine. */
const char *cc_flags(void);
const char *cc_libraries(void); /* after libbmrt.a */

/* Compiles DIR/trainer.c and DIR/kernels.c and links DIR/trainer with the runtime `library`, its
 * header in `include`; for several ranks with `mpi` too (libbmrt_mpi.a; NULL: one rank). The
 * compiler is $CC or cc. Objects are kept by the hash of text, flags and compiler version in
 * $XDG_CACHE_HOME/bmc, ~/.cache/bmc or DIR/cache.
 *
 * False: reported, something is missing on this machine (exit 4). Text of ours that does not
 * compile is a BUG, after the compiler's messages on stderr. */
bool build_trainer(Arena *a, const char *dir, const char *library, const char *mpi,
                   const char *include, Diag *d);

#endif
