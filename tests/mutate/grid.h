/* grid.h - plans of the samples on many ranks, for tests of the verifier: every level, recompute,
 * sums of rounds and ranks in each way. */
#ifndef BM_TESTS_GRID_H
#define BM_TESTS_GRID_H

#include "frontend/lower.h"
#include "planner/verify/verify.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct GridPlan {
    const char *sample;
    int64_t ranks, micro, batch;
    int zero;   /* of everything; -2: mixed by parameter */
    int hybrid; /* 0: none */
    int lead;   /* -1: the planner's */
    int64_t bucket;
    bool reduced, invariant, no_overlap, no_fuse, again, offload;
} GridPlan;

static inline const char *grid_name(Arena *a, const GridPlan *g)
{
    return arena_printf(
        a, "%s, %d ranks, micro-batch %d of %d, zero %d, hybrid %d, lead %d, bucket %d%s%s%s%s%s%s",
        g->sample, (int)g->ranks, (int)g->micro, (int)g->batch, g->zero, g->hybrid, g->lead,
        (int)g->bucket, g->reduced ? ", reduced" : "", g->invariant ? ", invariant" : "",
        g->no_overlap ? ", no overlap" : "", g->no_fuse ? ", not fused" : "",
        g->again ? ", recompute" : "", g->offload ? ", offload" : "");
}

static inline Model *grid_model(Arena *a, const char *sample, Diag *d)
{
    const char *source = getenv("SOURCE");
    const char *path =
        arena_printf(a, "%s/%s/%s.bm", source ? source : ".",
                     strcmp(sample, "tiny") == 0 ? "tests/mutate" : "samples", sample);
    Model *m = lower_model(a, d->sources, path, NULL, 0, d);
    if (!m || !training_graph(m, d) || !evaluation_graph(m, d))
        fail_msg("%s does not compile", path);
    simplify(a, &m->train);
    simplify(a, &m->eval);
    return m;
}

/* What `zero`, `recompute` and the others say in the file, said to the model. */
static inline void grid_ask(Arena *a, Model *m, const GridPlan *g)
{
    for (int i = 0; i < m->param.n; i++) {
        m->param.v[i].zero = g->zero == -2 ? (m->param.v[i].instance * 7 + 1) % 5 : g->zero;
        m->param.v[i].bucket = g->bucket;
        m->param.v[i].offload = g->offload;
    }
    m->batch = g->batch;
    m->reduced = g->reduced;
    m->invariant = g->invariant;
    m->plan.hybrid = g->hybrid;
    m->plan.lead = g->lead;
    m->plan.no_overlap = g->no_overlap;
    int n = m->train.graph->instance.n;
    m->plan.recompute = arena_array(a, RecomputeRule, n + 1);
    for (int i = 0; i < n; i++)
        m->plan.recompute[i] = g->again ? RECOMPUTE_ALL : RECOMPUTE_NONE;
}

static inline Plan *grid_plan(Arena *a, const GridPlan *g, Diag *d)
{
    Model *m = grid_model(a, g->sample, d);
    grid_ask(a, m, g);
    PlanOptions o = {.micro_batch = g->micro, .ranks = g->ranks, .no_fuse = g->no_fuse};
    bool no_fit = false;
    return plan_build(a, m, &o, d, &no_fit);
}

/* The i-th of a deterministic walk through everything at once. */
static inline GridPlan grid_at(int i)
{
    static const char *const sample[] = {"tiny", "llama", "mlp", "regression", "gpt"};
    static const int64_t ranks[] = {2, 3, 4, 8};
    static const int zero[] = {0, 1, 2, 3, 4, -2};
    uint64_t h = (uint64_t)i * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    h ^= h >> 32;
    GridPlan g = {.sample = sample[i % 5], .ranks = ranks[h % 4], .zero = zero[i % 6], .lead = -1};
    g.micro = 1 + (int64_t)(h >> 4) % 3;
    int64_t rounds = (int64_t[]){1, 2, 4, 3, 8}[(h >> 8) % 5];
    g.invariant = (h >> 12) % 4 == 0 && g.ranks != 3;
    if (g.invariant)
        rounds = rounds == 3 ? 2 : rounds;
    g.batch = g.ranks * g.micro * rounds;
    g.reduced = !g.invariant && (h >> 14) % 3 == 0;
    g.no_overlap = (h >> 16) % 5 == 0;
    g.no_fuse = (h >> 18) % 6 == 0;
    g.again = (h >> 20) % 3 == 0;
    g.lead = (int)((h >> 22) % 4) - 1;
    g.bucket = (h >> 24) % 3 ? 0 : 64 << ((h >> 26) % 12);
    if (g.ranks % 2 == 0 && (h >> 30) % 4 == 0)
        g.hybrid = g.ranks == 2 || (h >> 36) % 4 == 0 ? 1 : g.ranks == 8 && (h >> 32) % 2 ? 4 : 2;
    g.offload = (h >> 34) % 6 == 0;
    return g;
}

#endif
