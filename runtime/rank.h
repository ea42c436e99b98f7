/* rank.h - which of how many ranks this process is, as its launcher says.
 *
 * Flags, BMC_*, torchrun, Open MPI, PMI (MPICH, Intel), SLURM, in this order: the first complete
 * set (rank and world) wins. Another complete set that says something else is a warning that names
 * both. The transport has its own idea of the world; that they agree is checked by the caller. */
#ifndef BMRT_RANK_H
#define BMRT_RANK_H

#include "runtime/link.h"

typedef struct bmrt_ranks {
    int64_t rank, world;
    int64_t local_rank, local_world; /* on this machine; -1: not said */
    const char *source;              /* "torchrun"; NULL: nobody said */
} bmrt_ranks;

/* `flags`: -1 where not given. `warning` gets a line or "". BMRT_USAGE for numbers that cannot be.
 */
BmStatus bmrt_rank_find(bmrt_ranks *out, const bmrt_ranks *flags, bmrt_getenv_fn *get,
                        void *context, char *warning, size_t cap, bmrt_error *e);

#endif
