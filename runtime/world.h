/* world.h - this rank among the others: starting together, the streams, ending together.
 *
 * A run's end is either agreed, when every rank knows the status and rank 0 says it, or one rank
 * fails alone: then it says so itself and ends the others. */
#ifndef BMRT_WORLD_H
#define BMRT_WORLD_H

#include "runtime/comm.h"
#include "runtime/order.h"
#include "runtime/peers.h"
#include "runtime/poison.h"
#include "runtime/rank.h"
#include "runtime/stream.h"

struct bmrt_run;

typedef struct bmrt_world {
    bmrt_ranks found;  /* what the launcher says */
    char warning[512]; /* of two launchers that disagree; "": none do */
    bool unknown;      /* what it says cannot be understood */
    bmrt_debug debug;
    bool poisons;
    bmrt_poison poison;
    bmrt_order *order;     /* NULL: BMRT_CHECK does not ask for it */
    bmrt_comm *comm;       /* NULL: nothing to communicate */
    bmrt_streams *streams; /* NULL: compute is the only stream */
    bmrt_peers peers;
    bool connected; /* the transport runs */
    bool broken;    /* an exchange failed: nothing more can be agreed on */
    bool agreed;    /* every rank knows why this run ends */
} bmrt_world;

/* Rank and world from flags and environment; before anything else. */
BmStatus bmrt_world_find(struct bmrt_run *run, bmrt_error *e);

/* Threads, transport (NULL: none), run->pub's rank, ranks and shard, run->peers; then that all
 * ranks are there and have the same plan. `program` is argv[0], for the command to use instead.
 * `mine` and its message are what went wrong on this rank before: all ranks end with it. */
BmStatus bmrt_world_open(struct bmrt_run *run, const bmrt_transport *t, const char *program,
                         BmStatus mine, bmrt_error *e);

/* Ends what was opened. A status that is not agreed on ends all other ranks with it. */
void bmrt_world_close(struct bmrt_run *run, int code);

/* Once a step: the status of the lowest rank that brings another than BMRT_OK, and the largest
 * signal, both on all ranks. */
BmStatus bmrt_world_step(struct bmrt_run *run, BmStatus mine, int *signal, bmrt_error *e);

/* The ranks that share this machine, 1 at least. */
int bmrt_world_local(const struct bmrt_run *run);

/* Does this rank speak for all of them? */
bool bmrt_world_speaks(const struct bmrt_run *run);

/* One phase of a program on all streams; 0 pre .. 5 update, as in bmrt_ops. */
BmStatus bmrt_phase_run(struct bmrt_run *run, const bmrt_program *p, int phase, int64_t nb,
                        bmrt_error *e);

#endif
