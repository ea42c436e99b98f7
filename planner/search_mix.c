/* search_mix.c - how much of each block's forward pass is kept: the frontier of every class of
 * blocks, and the mix of its points that fits the memory that is left (reference: planner 2.4). */
#include "planner/search.h"

#include <string.h>

enum { BUDGETS = 64, GUESSES = 2, LITTLE = 256 };

void search_parts(Search *s, Micro *m)
{
    if (m->borrowed)
        arena_free(m->a);
    m->borrowed = false;
    m->kept_bytes = 0;
    m->n_level = 0;
    m->a = arena_new();
    const Graph *g = s->q->m->train.graph;
    RecomputeRule *rule = arena_array(m->a, RecomputeRule, g->instance.n);
    for (int k = 0; k < g->instance.n; k++)
        rule[k] = s->q->m->plan.recompute ? s->q->m->plan.recompute[k] : RECOMPUTE_AUTO;
    m->probe =
        (RecomputeProbe){.rule = rule, .time = item_time(m->a, s->q->machine, s->q->m, m->samples)};
    Choice c = {.micro_batch = m->samples,
                .level = LEVEL_3,
                .recompute = RECOMPUTE_ALL,
                .lead = 1,
                .probe = &m->probe};
    const Plan *p = search_keep(s, &c, m->a);
    m->head_bytes = search_head_bytes(p);
    search_levels(s, m, p);
    search_bound_groups(m, p);
    m->n = m->probe.found.n;
    m->frontier = arena_array(m->a, Frontier, m->n + 1);
    m->mix = arena_array(m->a, MixClass, m->n + 1);
    for (int k = 0; k < m->n; k++) {
        const RecomputeClass *x = &m->probe.found.v[k];
        FrontierOp *op = arena_array(m->a, FrontierOp, x->n + 1);
        memcpy(op, x->op, (size_t)x->n * sizeof *op);
        for (int j = 0; j < x->n; j++)
            op[j].bytes *= m->samples;
        m->frontier[k] = frontier_of(m->a, op, x->n, FRONTIER_BUDGET);
        m->mix[k] = (MixClass){.count = x->unit.n,
                               .point = m->frontier[k].point.v,
                               .n = m->frontier[k].point.n,
                               .most = x->most};
        m->kept_bytes += m->mix[k].n ? m->mix[k].point[0].bytes * x->unit.n : 0;
    }
}

void search_borrow(Micro *m, const Micro *fewer)
{
    int64_t times = m->samples / fewer->samples;
    if (m->a || !fewer->n || m->samples % fewer->samples)
        return;
    m->borrowed = true;
    m->a = arena_new();
    m->n = fewer->n;
    m->mix = arena_array(m->a, MixClass, m->n);
    m->kept_bytes = fewer->kept_bytes * times;
    m->head_bytes = fewer->head_bytes - fewer->kept_bytes + m->kept_bytes;
    m->state = fewer->state;
    m->grads = fewer->grads;
    m->n_group = fewer->n_group;
    m->group = arena_array(m->a, GroupBound, m->n_group + 1);
    for (int k = 0; k < m->n_group; k++)
        m->group[k] = fewer->group[k];
    for (int k = 0; k < m->n; k++) {
        const MixClass *x = &fewer->mix[k];
        FrontierPoint *point = arena_array(m->a, FrontierPoint, x->n);
        memcpy(point, x->point, (size_t)x->n * sizeof *point);
        for (int j = 0; j < x->n; j++)
            point[j].bytes *= times;
        m->mix[k] = (MixClass){.count = x->count, .point = point, .n = x->n, .most = x->most};
    }
}

/* ---- mixes ---- */

/* Kept sets in memory that stays. */
static const uint64_t **take_mix(const Search *s, const Micro *m, const Mix *x)
{
    const Graph *g = s->q->m->train.graph;
    const uint64_t **kept = arena_array(s->q->a, const uint64_t *, g->instance.n);
    for (int k = 0; k < m->n; k++) {
        recompute_take(&m->probe.found.v[k], &m->frontier[k], &x->choice[k], kept);
        size_t bytes = (size_t)m->frontier[k].words * sizeof **kept;
        for (int j = 0; j < m->probe.found.v[k].unit.n; j++) {
            int unit = m->probe.found.v[k].unit.v[j];
            uint64_t *copy = arena_array(s->q->a, uint64_t, m->frontier[k].words);
            memcpy(copy, kept[unit], bytes);
            kept[unit] = copy;
        }
    }
    return kept;
}

typedef struct Turn {
    MixChoice *choice;
    int64_t ps;
    const Result *result;
} Turn;

/* The first turn is nearly there: can what another one computes less make it the best? */
static bool is_hopeful(const Micro *m, const Turn *first, int64_t ps, const Result *best)
{
    if (!best)
        return true;
    int64_t less = first->ps > ps ? (first->ps - ps) * m->rounds : 0;
    return first->result->step_ps - less <= best->step_ps + best->step_ps / (4 * NEARLY);
}

static bool keeps_most(const Micro *m, const Mix *x)
{
    for (int k = 0; k < m->n; k++)
        if (x->choice[k].heavy < m->mix[k].n - 1 || x->choice[k].light < m->mix[k].n - 1)
            return false;
    return true;
}

static int64_t lightest_ps(const Blend *b)
{
    int64_t all = 0;
    for (int k = 0; k < b->n && b->c[k].n; k++)
        all += b->c[k].point[0].ps * b->c[k].count;
    return all;
}

/* What a mix takes less than the candidate at the lightest is hidden behind something: nearly
 * nothing of it shows. */
static bool is_hidden(const Micro *m, const Blend *b, int64_t ps, const Result *r)
{
    int64_t less = (lightest_ps(b) - ps) * m->rounds, shows = b->base->step_ps - r->step_ps;
    return less > b->base->step_ps / LITTLE && shows < less / 8;
}

/* The same mix again is not planned again. */
static const Result *try_mix(Search *s, const Micro *m, const Blend *b, const Mix *x, Turn *turn,
                             int n)
{
    for (int k = 0; k < n; k++)
        if (memcmp(turn[k].choice, x->choice, (size_t)b->n * sizeof *x->choice) == 0)
            return turn[k].result;
    Choice c = b->base->choice;
    if (keeps_most(m, x))
        c.recompute = RECOMPUTE_NONE;
    else if (m->n) {
        c.recompute = RECOMPUTE_AUTO;
        c.kept = take_mix(s, m, x);
    }
    if (b->n > m->n) {
        c.n_levels = b->base->n_groups;
        c.levels = search_take_levels(s->q->a, m, x->choice + m->n, c.level, c.n_levels);
    }
    return search_try(s, &c);
}

Blend search_blend(const Micro *m, const Result *all)
{
    return (Blend){.c = m->mix, .n = m->n, .base_bytes = m->kept_bytes, .base = all};
}

int64_t search_mix_ps(const Search *s, const Micro *m, const Blend *b)
{
    int64_t budget = b->base_bytes + max64(s->q->memory - b->base->taken_bytes, 0);
    Mix x = frontier_bound(m->a, b->c, b->n, budget);
    int64_t less = x.fits ? lightest_ps(b) - x.lower_ps : 0;
    return b->base->step_ps - less * m->rounds;
}

/* Between two budgets. */
static int64_t step_bytes(const Blend *b)
{
    int64_t most = 0;
    for (int k = 0; k < b->n; k++)
        most += b->c[k].n ? b->c[k].point[b->c[k].n - 1].bytes * b->c[k].count : 0;
    return max64((most - b->base_bytes) / BUDGETS, 1);
}

/* Where not even the first step fits the peak may be in what is computed again: with more of it
 * kept there can be less. From `at` on, in wide steps. */
static const Result *keep_more(Search *s, const Micro *m, const Blend *b, int64_t at,
                               const Result *best)
{
    enum { WIDE = 4 };
    int64_t each = step_bytes(b), most = b->base->taken_bytes + b->base->taken_bytes / 8;
    for (; at <= BUDGETS / 4 && b->n; at *= WIDE) {
        Mix x = frontier_mix(m->a, b->c, b->n, b->base_bytes + at * each);
        const Result *r = try_mix(s, m, b, &x, NULL, 0);
        best = search_faster(best, r);
        if (r->fits || r->taken_bytes > most)
            break;
    }
    return best;
}

void search_least_mix(Search *s, const Micro *m, const Blend *b)
{
    keep_more(s, m, b, 1, NULL);
}

/* Budgets in even steps from what must be kept to everything, the same whatever memory there is; of
 * those the largest whose plan fits: first by the room that is left, then by what was too much or
 * too little. What lives beside what is kept is not counted in a budget. */
const Result *search_mix(Search *s, const Micro *m, const Blend *b, const Result *best)
{
    Turn turn[MIX_TURNS];
    int64_t fits = 0, large = BUDGETS, each = step_bytes(b);
    for (int k = 0; k < m->n; k++)
        if (!m->mix[k].pairs)
            m->mix[k].pairs = frontier_pairs(m->a, &m->mix[k]);
    int64_t at = max64(s->q->memory - b->base->taken_bytes, 0) / each;
    for (int k = 0; k < MIX_TURNS && b->n && large - fits > 1; k++) {
        at = min64(max64(at, fits + 1), large - 1);
        Mix x = frontier_mix(m->a, b->c, b->n, b->base_bytes + at * each);
        if (k && !is_hopeful(m, &turn[0], x.ps, best))
            break;
        turn[k] = (Turn){x.choice, x.ps, try_mix(s, m, b, &x, turn, k)};
        const Result *r = turn[k].result;
        best = search_faster(best, r);
        if (!k && is_hidden(m, b, x.ps, r))
            return best;
        int64_t room = s->q->memory - r->taken_bytes;
        if (r->fits)
            fits = at;
        else
            large = at;
        at = k < GUESSES ? at + room / each - (room < 0) : fits + (large - fits) / 2;
    }
    return fits ? best : keep_more(s, m, b, 4, best);
}
