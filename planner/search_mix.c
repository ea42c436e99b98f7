/* search_mix.c - how much of each block's forward pass is kept: the frontier of every class of
 * blocks, and the mix of its points that fits the memory that is left (reference: planner 2.4). */
#include "planner/recompute.h"
#include "planner/search.h"

#include <string.h>

enum { TURNS = 6 };

typedef struct Parts { /* of one candidate: alive until its arena goes */
    Arena *a;
    RecomputeProbe probe;
    Frontier *frontier; /* by class, bytes of the whole micro-batch */
    MixClass *mix;
    int n;
} Parts;

static void find_parts(const Search *s, const Choice *c, Parts *p)
{
    p->a = arena_new();
    const Graph *g = s->q->m->train.graph;
    RecomputeRule *rule = arena_array(p->a, RecomputeRule, g->instance.n);
    for (int k = 0; k < g->instance.n; k++)
        rule[k] = s->q->m->plan.recompute ? s->q->m->plan.recompute[k] : RECOMPUTE_AUTO;
    p->probe =
        (RecomputeProbe){.rule = rule, .time = item_time(p->a, s->q->machine, c->micro_batch)};
    Choice with = *c;
    with.probe = &p->probe;
    Ask q = *s->q;
    q.a = p->a;
    plan_one(&q, &with);
    p->n = p->probe.found.n;
    p->frontier = arena_array(p->a, Frontier, p->n + 1);
    p->mix = arena_array(p->a, MixClass, p->n + 1);
    for (int k = 0; k < p->n; k++) {
        const RecomputeClass *x = &p->probe.found.v[k];
        FrontierOp *op = arena_array(p->a, FrontierOp, x->n + 1);
        memcpy(op, x->op, (size_t)x->n * sizeof *op);
        for (int j = 0; j < x->n; j++)
            op[j].bytes *= c->micro_batch;
        p->frontier[k] = frontier_of(p->a, op, x->n, FRONTIER_BUDGET);
        p->mix[k] = (MixClass){.count = x->unit.n,
                               .point = p->frontier[k].point.v,
                               .n = p->frontier[k].point.n,
                               .most = x->most};
    }
}

/* Kept sets in memory that stays. */
static const uint64_t **take_mix(const Search *s, const Parts *p, const Mix *m)
{
    const Graph *g = s->q->m->train.graph;
    const uint64_t **kept = arena_array(s->q->a, const uint64_t *, g->instance.n);
    for (int k = 0; k < p->n; k++) {
        recompute_take(&p->probe.found.v[k], &p->frontier[k], &m->choice[k], kept);
        size_t bytes = (size_t)p->frontier[k].words * sizeof **kept;
        for (int j = 0; j < p->probe.found.v[k].unit.n; j++) {
            int unit = p->probe.found.v[k].unit.v[j];
            uint64_t *copy = arena_array(s->q->a, uint64_t, p->frontier[k].words);
            memcpy(copy, kept[unit], bytes);
            kept[unit] = copy;
        }
    }
    return kept;
}

/* Of this micro-batch no plan is faster: what is not recomputed takes its time, and what is, at
 * least what the multiplier says. */
static void set_bound(Search *s, const Parts *p, const Mix *m, const Result *all, int64_t budget)
{
    enum { MOST = 40 };
    Choice c = all->choice;
    c.recompute = RECOMPUTE_NONE;
    const Result *none = search_try(s, &c); /* too large, but its time is told */
    s->bound = (Bounds){.lambda_num = m->lambda_num, .lambda_den = m->lambda_den};
    if (!mul_ok(s->bound.lambda_num, all->rounds, &s->bound.lambda_num))
        s->bound.lambda_num = 0;
    while (s->bound.lambda_num >> MOST || s->bound.lambda_den >> MOST) {
        s->bound.lambda_num >>= 1;
        s->bound.lambda_den >>= 1;
    }
    if (s->bound.lambda_den < 1)
        s->bound = (Bounds){.lambda_den = 1};
    for (int k = 0; k < p->n; k++)
        for (int j = 0; j < p->mix[k].n; j++) {
            const FrontierPoint *x = &p->mix[k].point[j];
            BoundOption o = {k, p->mix[k].count, x->ps * all->rounds, x->bytes};
            vec_push(s->q->a, &s->bound.option, o);
        }
    s->bound.fixed_ps = none->step_ps - none->exposed_ps;
    s->bound.capacity = budget;
}

/* Bytes to spend on what is kept: what the candidate that recomputes all leaves is a first guess,
 * for the peaks of the two are in different places; then between what fitted and what did not. */
const Result *search_mix(Search *s, const Result *all)
{
    Parts p = {0};
    const Result *best = NULL;
    find_parts(s, &all->choice, &p);
    int64_t budget = s->q->memory - all->arena_bytes, fitted = 0, too_much = INT64_MAX;
    for (int turn = 0; turn < TURNS && p.n && budget > fitted; turn++) {
        Mix m = frontier_mix(p.a, p.mix, p.n, budget);
        if (!m.fits || m.bytes == m.least_bytes)
            break;
        Choice c = all->choice;
        c.recompute = RECOMPUTE_AUTO;
        c.kept = take_mix(s, &p, &m);
        const Result *r = search_try(s, &c);
        int64_t more = s->q->memory - r->arena_bytes;
        if (r->fits) {
            fitted = budget;
            if (!best || r->step_ps < best->step_ps) {
                best = r;
                set_bound(s, &p, &m, all, budget);
            }
        } else {
            too_much = budget;
        }
        if (r->fits && more < s->q->memory / 64)
            break;
        budget += more;
        if (budget >= too_much || budget <= fitted)
            budget = fitted + (too_much - fitted) / 2;
    }
    arena_free(p.a);
    return best;
}
