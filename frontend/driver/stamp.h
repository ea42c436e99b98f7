/* stamp.h - what a run folder was made from, so that `bmc run` compiles only when something
 * changed.
 *
 * DIR/stamp holds a hash of everything that is not a source (bmc, its runtime, the options, the C
 * compiler, the processor), the number of ranks, and one line per source with the hash of its text.
 */
#ifndef BM_STAMP_H
#define BM_STAMP_H

#include "frontend/base/source.h"
#include "frontend/driver/home.h"
#include "frontend/driver/options.h"

/* The hash of what is not a source. */
uint64_t stamp_key(Arena *a, const Options *o, const Home *h);

/* True when DIR's trainer is there and was made from this key and the sources as they are; then
 * *ranks is how many it wants. */
bool stamp_fresh(Arena *a, const char *dir, uint64_t key, int64_t *ranks);

/* Before a folder is written: it is not what its stamp says any more. After: what it was made from.
 * `built_in` is a source that is part of bmc. NULL, or the reason. */
const char *stamp_clear(Arena *a, const char *dir);
const char *stamp_write(Arena *a, const char *dir, uint64_t key, int64_t ranks, const Sources *s,
                        const char *built_in);

#endif
