/* rt_ranks.h - ranks for the runtime's tests: one thread each, with peers that meet at a barrier.
 */
#ifndef RT_RANKS_H
#define RT_RANKS_H

#include "tests/unit/rt_fixture.h"

#include "runtime/bmrt_private.h"

#include <pthread.h>

enum { MOST_RANKS = 4 };

typedef struct world {
    int ranks, group; /* `group` ranks share one copy */
    pthread_barrier_t all;
    BmStatus status[MOST_RANKS];
    bmrt_error error[MOST_RANKS];
    const void *mine[MOST_RANKS];
    pthread_mutex_t mail;
    pthread_cond_t moved;
    void *letter[MOST_RANKS]; /* rank q's to rank 0 */
    size_t letter_bytes[MOST_RANKS];
    int letters; /* given in all */
    int agreed;  /* times rank 0 agreed */
} world;

typedef struct rank_of_world {
    world *w;
    int rank;
    bmrt_peers peers;
    bmrt_run run;
    void (*body)(struct rank_of_world *);
    const void *context;
    BmStatus status; /* what the body made */
    bmrt_error error;
} rank_of_world;

static inline BmStatus world_agree(void *context, BmStatus mine, bmrt_error *e)
{
    rank_of_world *k = context;
    world *w = k->w;
    w->status[k->rank] = mine;
    if (mine != BMRT_OK)
        w->error[k->rank] = *e;
    pthread_barrier_wait(&w->all);
    BmStatus s = BMRT_OK;
    for (int q = 0; q < w->ranks && s == BMRT_OK; q++)
        if ((s = w->status[q]) != BMRT_OK)
            *e = w->error[q];
    if (k->rank == 0)
        w->agreed++;
    pthread_barrier_wait(&w->all);
    return s;
}

static inline BmStatus world_collect(void *context, const void *mine, size_t n, void *all,
                                     bmrt_error *e)
{
    rank_of_world *k = context;
    (void)e;
    k->w->mine[k->rank] = mine;
    pthread_barrier_wait(&k->w->all);
    for (int q = 0; q < k->w->ranks; q++)
        memcpy((char *)all + (size_t)q * n, k->w->mine[q], n);
    pthread_barrier_wait(&k->w->all);
    return BMRT_OK;
}

static inline BmStatus world_give(void *context, int from, void *bytes, size_t n, bmrt_error *e)
{
    rank_of_world *k = context;
    world *w = k->w;
    BmStatus s = BMRT_OK;
    pthread_mutex_lock(&w->mail);
    if (k->rank == from) {
        w->letter[from] = bytes;
        w->letter_bytes[from] = n;
        pthread_cond_broadcast(&w->moved);
        while (w->letter[from])
            pthread_cond_wait(&w->moved, &w->mail);
    } else {
        while (!w->letter[from])
            pthread_cond_wait(&w->moved, &w->mail);
        if (w->letter_bytes[from] == n && k->rank == 0)
            memcpy(bytes, w->letter[from], n);
        else
            s = bmrt_fail(e, BMRT_BUG, "rank %d takes %zu bytes of rank %d", k->rank, n, from);
        w->letter[from] = NULL;
        w->letters++;
        pthread_cond_broadcast(&w->moved);
    }
    pthread_mutex_unlock(&w->mail);
    return s;
}

static inline void *rank_main(void *context)
{
    rank_of_world *k = context;
    k->status = bmrt_pool_create(&k->run.pool, 1, NULL, &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_arena_create(&k->run, &k->error);
    if (k->status == BMRT_OK)
        k->body(k);
    return NULL;
}

/* Runs `body` on `ranks` ranks in sharding groups of `group`, each with its own arena of model
 * m(rank) (on every rank the same model but where a test wants otherwise). The ranks stay for
 * close_world. */
static inline void run_world(world *w, rank_of_world *rank, int ranks, int group,
                             const bmrt_model *m, void (*body)(rank_of_world *),
                             const void *context)
{
    pthread_t thread[MOST_RANKS];
    *w = (world){.ranks = ranks, .group = group};
    assert_int_equal(pthread_barrier_init(&w->all, NULL, (unsigned)ranks), 0);
    pthread_mutex_init(&w->mail, NULL);
    pthread_cond_init(&w->moved, NULL);
    for (int q = 0; q < ranks; q++) {
        rank_of_world *k = &rank[q];
        *k = (rank_of_world){.w = w, .rank = q, .body = body, .context = context};
        k->peers = (bmrt_peers){k, world_agree, world_collect, world_give};
        k->run.m = m;
        k->run.peers = ranks > 1 ? &k->peers : NULL;
        k->run.pub.rank = q;
        k->run.pub.ranks = ranks;
        k->run.pub.shard = q % group;
        k->run.samples_fd = k->run.predictions_fd = k->run.progress.fd = -1;
        assert_int_equal(pthread_create(&thread[q], NULL, rank_main, k), 0);
    }
    for (int q = 0; q < ranks; q++)
        assert_int_equal(pthread_join(thread[q], NULL), 0);
}

static inline void close_world(world *w, rank_of_world *rank)
{
    for (int q = 0; q < w->ranks; q++) {
        bmrt_arena_destroy(&rank[q].run);
        bmrt_pool_destroy(rank[q].run.pool);
    }
    pthread_barrier_destroy(&w->all);
    pthread_mutex_destroy(&w->mail);
    pthread_cond_destroy(&w->moved);
}

#endif
