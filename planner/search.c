/* search.c - which plan: micro-batch, levels, recompute, lead.
 *
 * Every candidate is planned as it would be, memory to the byte and time by simulation, and
 * forgotten but for its numbers; the best is planned once more to stay. What keeps candidates few:
 * memory falls with the level, with the micro-batch and with what is recomputed, so the largest
 * micro-batch that fits is found by halving; recomputing is looked at only where memory forbids not
 * to. How many candidates there are does not depend on how many blocks the model has. */
#include "planner/search.h"
#include "planner/measure.h"

#include <string.h>

/* ---- candidates ---- */

static bool same_choice(const Choice *x, const Choice *y)
{
    return x->micro_batch == y->micro_batch && x->level == y->level &&
           x->recompute == y->recompute && x->kept == y->kept && x->lead == y->lead;
}

const Result *search_try(Search *s, const Choice *c)
{
    for (int k = 0; k < s->result.n; k++)
        if (same_choice(&s->result.v[k]->choice, c))
            return s->result.v[k];
    Result *r = arena_make(s->q->a, Result);
    *r = (Result){.choice = *c, .arena_bytes = INT64_MAX};
    vec_push(s->q->a, &s->result, r);
    if (measure(s->q->m, s->q->batch / s->q->ranks, c->micro_batch) != MEASURE_FITS)
        return r;
    Ask q = *s->q;
    q.a = arena_new();
    const Plan *p = plan_one(&q, c);
    r->arena_bytes = p->arena_bytes;
    r->host_bytes = p->host_bytes;
    r->rounds = p->rounds;
    r->step_ps = p->step_ps;
    r->exposed_ps = p->exposed_ps;
    r->fits = !q.memory || p->arena_bytes <= q.memory;
    arena_free(q.a);
    s->work++;
    return r;
}

static const Result *faster(const Result *x, const Result *y)
{
    if (!x || !x->fits)
        return y && y->fits ? y : NULL;
    if (!y || !y->fits)
        return x;
    if (x->step_ps != y->step_ps)
        return x->step_ps < y->step_ps ? x : y;
    return y->arena_bytes < x->arena_bytes ? y : x;
}

/* Fewer samples at once never take more memory, so halving finds the most that fit. */
static const Result *largest_that_fits(Search *s, Choice c)
{
    int lo = 0, hi = s->micro.n - 1;
    c.micro_batch = s->micro.v[lo];
    const Result *best = search_try(s, &c);
    if (best->fits || hi == 0)
        return best;
    c.micro_batch = s->micro.v[hi];
    best = search_try(s, &c);
    while (best->fits && hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        c.micro_batch = s->micro.v[mid];
        const Result *r = search_try(s, &c);
        if (r->fits) {
            hi = mid;
            best = r;
        } else {
            lo = mid;
        }
    }
    return best;
}

/* ---- the order in which they are looked at ---- */

static bool chooses_levels(const Ask *q)
{
    for (int k = 0; k < q->m->param.n && q->ranks > 1; k++)
        if (!q->m->param.v[k].buffer && q->m->param.v[k].zero == ZERO_AUTO)
            return true;
    return false;
}

static bool chooses_recompute(const Ask *q)
{
    const Graph *g = q->m->train.graph;
    for (int k = 1; k < g->instance.n; k++)
        if (g->instance.v[k].unit == k &&
            (!q->m->plan.recompute || q->m->plan.recompute[k] == RECOMPUTE_AUTO))
            return true;
    return false;
}

/* From the most memory to the least. Level 1 moves no more than level 0 and keeps less. */
static const Level ladder[] = {LEVEL_1, LEVEL_0, LEVEL_2, LEVEL_ONCE, LEVEL_3};

static const Result *best_of_levels(Search *s, RecomputeRule rule)
{
    const Result *best = NULL;
    for (int k = 0; k < (s->levels ? countof(ladder) : 1); k++) {
        Choice c = {.level = ladder[k], .recompute = rule, .lead = 1};
        best = faster(best, largest_that_fits(s, c));
    }
    return best;
}

/* Memory forbids to keep everything at the largest micro-batch: is more at once, of which some is
 * computed again, faster? */
static const Result *with_recompute(Search *s, const Result *best)
{
    for (int k = 0; k < (s->levels ? countof(ladder) : 1); k++) {
        Choice c = {.level = ladder[k], .recompute = RECOMPUTE_ALL, .lead = 1};
        const Result *all = largest_that_fits(s, c);
        if (!all->fits || (best && best->choice.micro_batch >= all->choice.micro_batch &&
                           best->choice.level == all->choice.level))
            continue;
        best = faster(best, all);
        best = faster(best, search_mix(s, all));
    }
    return best;
}

static const Result *with_lead(Search *s, const Result *best)
{
    bool gathers = best->choice.level >= LEVEL_3 || !s->levels;
    static const int other[] = {0, 2, 3};
    for (int k = 0; k < countof(other) && gathers && s->q->ranks > 1; k++) {
        if (s->q->m->plan.lead >= 0 || s->q->m->plan.no_overlap)
            break;
        Choice c = best->choice;
        c.lead = other[k];
        best = faster(best, search_try(s, &c));
    }
    return best;
}

static const Result *search(Search *s)
{
    const Result *best = best_of_levels(s, RECOMPUTE_NONE);
    bool whole = best && best->choice.micro_batch == s->micro.v[0];
    if (!whole && s->recomputes)
        best = with_recompute(s, best);
    return best ? with_lead(s, best) : NULL;
}

Plan *plan_search(const Ask *q, int64_t micro_batch, bool *no_fit)
{
    Search s = {.q = q};
    if (micro_batch)
        vec_push(q->a, &s.micro, micro_batch);
    else
        s.micro = divisors(q->a, q->batch / q->ranks);
    Measure least = measure(q->m, q->batch / q->ranks, s.micro.v[s.micro.n - 1]);
    if (least != MEASURE_FITS) {
        *no_fit = least == MEASURE_BYTES;
        measure_tell(q->m, least, q->d);
        return NULL;
    }
    s.levels = chooses_levels(q);
    s.recomputes = chooses_recompute(q);
    const Result *best = search(&s);
    if (!best) {
        *no_fit = true;
        search_tell_no_fit(&s);
        return NULL;
    }
    Plan *p = plan_one(q, &best->choice);
    p->search_work = s.work;
    search_bound(&s, best, p);
    search_remember(&s, best, p);
    return p;
}
