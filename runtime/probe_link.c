/* probe_link.c - the program bmrt_probe_link: how fast ranks of this machine reach each other, as
 * JSON. Started by `bmc calibrate --ranks N` as a trainer is, by mpirun.
 *
 * An all-gather of next to nothing and one of some megabytes, by the code that trainers'
 * communication threads run: latency and rate are those of a trainer, a link that BMRT_LINK slows
 * down included. */
#include "runtime/bmrt_private.h"

#include <stdio.h>
#include <string.h>

enum { PASSES = 9, SMALL = 16, LARGE = 1 << 20 }; /* elements of each rank's part */

typedef struct gather {
    bmrt_segment segment;
    bmrt_op op;
    bmrt_ops phase[BMRT_PHASES];
    bmrt_model model;
} gather;

static void gather_set(gather *g, int64_t elems, int64_t ranks)
{
    const bmrt_place part = {.by_rank = elems * (int64_t)sizeof(real)};
    g->segment = (bmrt_segment){.shard = part, .elems = elems, .stride = elems};
    g->op = (bmrt_op){.kind = BMRT_ALL_GATHER, .path = "probe", .segment = &g->segment};
    g->op.n_segment = 1;
    g->phase[0] = (bmrt_ops){&g->op, 1};
    g->model.train.comm = g->phase;
    g->model.arena_bytes = elems * ranks * (int64_t)sizeof(real);
    g->model.ranks = g->model.shared_by = ranks;
}

/* Seconds of one, the best of several batches, of the slowest rank. */
static BmStatus measure(bmrt_comm *c, bmrt *r, const gather *g, int calls, double *best,
                        bmrt_error *e)
{
    *best = 1e9;
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t took = 0;
        BmStatus s = bmrt_comm_max(c, &took, 1, e); /* all start together */
        double begin = bmrt_now();
        for (int i = 0; i < calls && s == BMRT_OK; i++)
            s = bmrt_comm_op(c, r, &g->op, true, e);
        took = (uint64_t)((bmrt_now() - begin) * 1e12 / calls);
        if (s == BMRT_OK)
            s = bmrt_comm_max(c, &took, 1, e);
        if (s != BMRT_OK)
            return s;
        *best = (double)took * 1e-12 < *best ? (double)took * 1e-12 : *best;
    }
    return BMRT_OK;
}

static BmStatus probe(bmrt_comm *c, bmrt_run *run, bmrt_error *e)
{
    static gather small, large;
    bmrt_place_in place = bmrt_comm_place(c);
    double latency = 0, time = 0;
    gather_set(&small, SMALL, place.ranks);
    gather_set(&large, LARGE, place.ranks);
    run->m = &large.model;
    run->pub.rank = place.rank;
    run->pub.shard = place.rank;
    run->pub.ranks = place.ranks;
    BmStatus s = bmrt_pool_create(&run->pool, 1, NULL, e);
    if (s == BMRT_OK)
        s = bmrt_arena_create(run, e);
    if (s == BMRT_OK)
        s = bmrt_comm_prepare(c, &large.model, e);
    if (s == BMRT_OK)
        s = measure(c, &run->pub, &small, 64, &latency, e);
    if (s == BMRT_OK)
        s = measure(c, &run->pub, &large, 2, &time, e);
    if (s != BMRT_OK || place.rank != 0)
        return s;
    double others = place.ranks - 1, bytes = others * LARGE * (double)sizeof(real);
    double rate = bytes / (time > latency ? time - latency : time);
    printf("{\"ranks\": %d, \"alpha_ps\": %.0f, \"bytes_per_s\": %.0f}\n", place.ranks,
           1e12 * latency / others, rate);
    return fflush(stdout) == 0 ? BMRT_OK : BMRT_MACHINE;
}

int main(void)
{
    static bmrt_run run;
    bmrt_error e = {0};
    bmrt_debug debug = {0};
    bmrt_comm *c = NULL;
    BmStatus s = bmrt_debug_read(&debug, bmrt_environment, NULL, &e);
    if (s == BMRT_OK)
        s = bmrt_comm_create(&c, bmrt_mpi(), &debug, &e);
    if (s == BMRT_OK && bmrt_comm_place(c).ranks < 2)
        s = bmrt_fail(&e, BMRT_USAGE, "one rank has no link: mpirun -n 2 bmrt_probe_link");
    if (s == BMRT_OK)
        s = probe(c, &run, &e);
    if (s != BMRT_OK) {
        fprintf(stderr, "bmrt_probe_link: %s\n", e.text);
        if (c)
            bmrt_comm_abort(c, (int)s);
    }
    bmrt_arena_destroy(&run);
    bmrt_pool_destroy(run.pool);
    bmrt_comm_destroy(c);
    return (int)s;
}
