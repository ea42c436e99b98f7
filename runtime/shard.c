/* shard.c - a rank's share of a tensor. */
#include "runtime/shard.h"

bmrt_share bmrt_share_of(const bmrt *r, const bmrt_tensor *t)
{
    int64_t here = t->at, lo = 0, hi = t->count; /* `here`: element 0's place in the buffer */
    if (t->shard > 0) {
        here -= r->shard * t->shard;
        lo = here < 0 ? -here : 0;
        if (t->shard - here < hi)
            hi = t->shard - here;
    }
    if (lo >= hi)
        return (bmrt_share){0, 0, NULL};
    char *base = t->host ? BMRT_HOST(r, t->offset) : BMRT_AT(r, t->offset);
    return (bmrt_share){lo, hi - lo, base + (here + lo) * (int64_t)bmrt_dtype_size(t->dtype)};
}

bool bmrt_share_is_first(const bmrt *r, const bmrt_tensor *t)
{
    return t->shard > 0 ? r->rank == r->shard : r->rank == 0;
}
