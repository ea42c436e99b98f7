/* shard.h - a rank's share of a persistent tensor: which elements, and where they are.
 *
 * A tensor lies in a flat buffer from element `at` on. Whole buffers are on every rank; of a
 * sharded one, a rank has elements q * shard .. (q + 1) * shard - 1, q its place in its sharding
 * group (r->shard). The groups are runs of consecutive ranks, each with a whole copy. */
#ifndef BMRT_SHARD_H
#define BMRT_SHARD_H

#include "runtime/base.h"

typedef struct bmrt_share {
    int64_t lo, n; /* elements lo .. lo + n - 1 of the tensor; n 0: none */
    void *at;      /* where element lo is; NULL: none */
} bmrt_share;

bmrt_share bmrt_share_of(const bmrt *r, const bmrt_tensor *t);

/* Of all the ranks that have a copy of this rank's share, this is the one that writes it. */
bool bmrt_share_is_first(const bmrt *r, const bmrt_tensor *t);

#endif
