/* peers.h - what the ranks of a run do together outside the plan's phases.
 *
 * The main thread of every rank calls these, in the same order on each. On one rank there are no
 * peers (NULL) and the calls are local. */
#ifndef BMRT_PEERS_H
#define BMRT_PEERS_H

#include "runtime/base.h"

#include <string.h>

typedef struct bmrt_peers {
    void *context;
    /* Each rank brings a status, and its message if that is not BMRT_OK. Returns on every rank when
     * all have come: BMRT_OK when all of them brought that, else the status and the message of the
     * lowest rank that brought another (the message says which rank). */
    BmStatus (*agree)(void *context, BmStatus mine, bmrt_error *e);
    /* Each rank brings `n` bytes; all of them, in rank order, are in `all` [ranks][n] on every
     * rank. */
    BmStatus (*collect)(void *context, const void *mine, size_t n, void *all, bmrt_error *e);
    /* `n` bytes from rank `from` to rank 0; only these two call it. */
    BmStatus (*give)(void *context, int from, void *bytes, size_t n, bmrt_error *e);
} bmrt_peers;

static inline BmStatus bmrt_agree(const bmrt_peers *p, BmStatus mine, bmrt_error *e)
{
    return p ? p->agree(p->context, mine, e) : mine;
}

static inline BmStatus bmrt_collect(const bmrt_peers *p, const void *mine, size_t n, void *all,
                                    bmrt_error *e)
{
    if (p)
        return p->collect(p->context, mine, n, all, e);
    memcpy(all, mine, n);
    return BMRT_OK;
}

#endif
