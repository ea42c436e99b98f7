/* search.c - which plan: micro-batch, levels, recompute, lead.
 *
 * The candidates are the same whatever memory there is: every level and lead at every micro-batch,
 * with everything kept, nothing, or a mix. The fastest that fits is taken, so less memory gives no
 * faster plan, nor a larger one, as far as keeping more takes more. Each is planned as it would be,
 * memory to the byte and time by simulation, and forgotten but for its numbers; the best is planned
 * once more to stay.
 *
 * Few are planned, because one tells of others: what persists at a level is known beforehand, what
 * the passes keep is the same at every level, and kernels take no less time however they are
 * overlapped. Who cannot fit, or cannot be faster than the best so far, is left out. How many are
 * planned does not depend on how many blocks the model has. */
#include "planner/search.h"
#include "planner/measure.h"

/* ---- what may be chosen ---- */

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

/* Each at most half the one before: what lies between changes little. */
static Counts micro_batches(const Ask *q)
{
    Counts all = divisors(q->a, q->batch / q->ranks), few = {0};
    for (int k = 0; k < all.n; k++)
        if (!few.n || all.v[k] <= few.v[few.n - 1] / 2 || k + 1 == all.n)
            vec_push(q->a, &few, all.v[k]);
    return few;
}

/* The one that keeps least first: what it tells rules others out. Without a lead less is gathered
 * at once. */
static const Way way[] = {{LEVEL_3, 1}, {LEVEL_1, 1},    {LEVEL_0, 1},
                          {LEVEL_2, 1}, {LEVEL_ONCE, 1}, {LEVEL_3, 0}};

static int n_ways(const Search *s)
{
    if (!s->levels)
        return 1;
    return s->q->m->plan.lead >= 0 || s->q->m->plan.no_overlap ? countof(way) - 1 : countof(way);
}

static int64_t least_state(const Search *s)
{
    int64_t least = s->state[way[0].level];
    for (int k = 1; k < n_ways(s); k++)
        least = min64(least, s->state[way[k].level]);
    return least;
}

static bool has_room(const Search *s, int64_t bytes)
{
    return !s->q->memory || bytes <= s->q->memory;
}

/* ---- one micro-batch ---- */

/* Kernels are slower while a collective runs: by so much at least. */
static int64_t slowed_ps(const Search *s, const Result *r)
{
    __extension__ typedef __int128 Wide;
    int64_t slow = s->q->machine->slow_compute_ppm;
    return (int64_t)((Wide)r->least_comm_ps * slow / (MILLION + slow));
}

static Choice choice_of(const Micro *m, const Way *w, RecomputeRule rule)
{
    return (Choice){
        .micro_batch = m->samples, .level = w->level, .recompute = rule, .lead = w->lead};
}

static bool fitted(const Search *s, const Micro *m, const Way *w, RecomputeRule rule)
{
    Choice c = choice_of(m, w, rule);
    const Result *r = search_known(s, &c);
    return r && r->fits;
}

/* Later gathers are for those to whom sooner ones are too large. */
static bool is_needed(const Search *s, const Micro *m, const Way *w, RecomputeRule rule)
{
    return w->lead > 0 || !fitted(s, m, &(Way){w->level, 1}, rule);
}

/* Everything kept. The first is always planned: it tells how long the kernels take. */
static const Result *keep_all(Search *s, Micro *m, const Result *best)
{
    for (int k = 0; k < n_ways(s); k++) {
        bool slow = best && m->busy_ps > best->step_ps;
        if (k && (slow || !has_room(s, s->state[way[k].level] + m->none_bytes) ||
                  !is_needed(s, m, &way[k], RECOMPUTE_NONE)))
            continue;
        Choice c = choice_of(m, &way[k], RECOMPUTE_NONE);
        const Result *r = search_try(s, &c);
        int64_t busy;
        if (!add_ok(r->busy_ps, slowed_ps(s, r), &busy))
            busy = r->busy_ps;
        m->comm_ps = r->least_comm_ps;
        m->busy_ps = k ? min64(m->busy_ps, busy) : busy;
        m->work_ps = k ? min64(m->work_ps, r->busy_ps) : r->busy_ps;
        m->none_bytes = k ? min64(m->none_bytes, r->act_bytes) : r->act_bytes;
        m->rounds = r->rounds;
        best = search_faster(best, r);
    }
    return best;
}

/* What is computed again takes memory too, for a while: with more of it kept there can be less. */
static bool is_near(const Search *s, int64_t bytes)
{
    return !s->q->memory || bytes - bytes / 4 <= s->q->memory;
}

/* What a way can come to at best, from what it keeps besides the first one, when that was planned:
 * nothing exposed, and as much kept as its memory leaves. */
static bool is_hopeless(const Search *s, const Micro *m, const Way *w, const Result *best)
{
    Choice c = choice_of(m, &way[0], RECOMPUTE_ALL);
    const Result *first = search_known(s, &c);
    if (!best || !first || !m->n)
        return false;
    Result guess = *first;
    guess.taken_bytes += s->state[w->level] - s->state[way[0].level];
    guess.step_ps -= first->exposed_ps;
    Blend b = search_blend(m, &guess);
    return search_mix_ps(s, m, &b) > best->step_ps + best->step_ps / NEARLY;
}

/* Where memory forbids to keep everything: nothing, and then some of it. */
static const Result *keep_some(Search *s, Micro *m, const Result *best)
{
    for (int k = 0; k < n_ways(s); k++) {
        int64_t state = s->state[way[k].level];
        if (fitted(s, m, &way[k], RECOMPUTE_NONE) || !is_near(s, state + m->all_bytes) ||
            !is_needed(s, m, &way[k], RECOMPUTE_ALL) ||
            (best && search_least_ps(s, m, state) > best->step_ps))
            continue;
        if (!m->a || m->borrowed)
            search_parts(s, m);
        if (is_hopeless(s, m, &way[k], best))
            continue;
        Choice c = choice_of(m, &way[k], RECOMPUTE_ALL);
        const Result *r = search_try(s, &c);
        m->all_bytes = m->all_bytes ? min64(m->all_bytes, r->act_bytes) : r->act_bytes;
        if (!is_near(s, r->taken_bytes) || !plan_host_fits(s->q, r->host_bytes))
            continue;
        best = search_faster(best, r);
        Blend b = search_blend(m, r);
        if (!best || search_mix_ps(s, m, &b) <= best->step_ps + best->step_ps / NEARLY)
            best = search_mix(s, m, &b, best);
    }
    return best;
}

/* Does each level fit with everything kept? */
static bool all_fit(const Search *s, const Micro *m)
{
    for (int k = 0; k < n_ways(s); k++)
        if (way[k].lead && !fitted(s, m, &way[k], RECOMPUTE_NONE))
            return false;
    return true;
}

/* Levels one by one matter where memory forbids some for all groups. */
static const Result *mix_levels(Search *s, Micro *m, const Result *best)
{
    if (!s->levels || !s->q->memory || all_fit(s, m))
        return best;
    int64_t ps = search_least_ps(s, m, least_state(s));
    if (best && ps >= best->step_ps - best->step_ps / NEARLY)
        return best;
    if (!m->a || m->borrowed)
        search_parts(s, m);
    return search_level_mix(s, m, best);
}

/* Does a bound without the frontier and the levels, or with another's, say too little? */
static bool bound_is_loose(const Search *s, const Micro *m, const Result *best)
{
    bool chooses = s->q->memory && (s->levels || s->recomputes);
    if (!chooses || (m->group && !m->borrowed) || all_fit(s, m))
        return false;
    Arena *a = s->scratch;
    Mark mark = arena_mark(a);
    Bounds b;
    int64_t ps = search_micro_bound(s, a, m, least_state(s), &b);
    arena_rewind(a, mark);
    return ps < best->step_ps - best->step_ps / NEARLY;
}

/* Not even when all is computed again, by what another micro-batch took. */
static bool cannot_fit(const Search *s, const Micro *known, int64_t samples)
{
    return known && !is_near(s, least_state(s) + known->all_bytes / known->samples * samples);
}

static bool is_counted(const Search *s, int64_t samples)
{
    return measure(s->q->m, s->q->batch / s->q->ranks, samples) == MEASURE_FITS;
}

/* Of a micro-batch: a way with all kept, with nothing, or with some of it, or levels mixed. */
static int candidates(const Search *s)
{
    int some = s->recomputes && s->q->memory ? 1 + MIX_TURNS : 0;
    return n_ways(s) * (1 + some) + (s->levels && s->q->memory ? MIX_TURNS : 0);
}

/* First with everything kept, until fewer samples at once only take longer. Then what is too large
 * for that, the fewest samples first, for they keep the most: what they reach rules out others. */
static const Result *all_micro_batches(Search *s)
{
    const Result *best = NULL;
    Micro m[MOST_MICROS];
    int n = 0;
    for (int k = 0; k < s->micro.n && n < MOST_MICROS; k++) {
        if (!is_counted(s, s->micro.v[k]))
            continue;
        m[n] = (Micro){.samples = s->micro.v[k]};
        s->work += candidates(s);
        best = keep_all(s, &m[n], best);
        n++;
        if (best && n > 1 && m[n - 1].busy_ps > best->step_ps &&
            m[n - 1].busy_ps > m[n - 2].busy_ps)
            break;
    }
    const Micro *known = NULL;
    for (int k = n - 1; k >= 0; k--) {
        if (known)
            search_borrow(&m[k], known);
        if (!known || !cannot_fit(s, known, m[k].samples)) {
            best = s->recomputes ? keep_some(s, &m[k], best) : best;
            best = mix_levels(s, &m[k], best);
        }
        known = m[k].all_bytes ? &m[k] : known;
        if (best && bound_is_loose(s, &m[k], best))
            search_parts(s, &m[k]);
        search_add_bound(s, &m[k], least_state(s));
    }
    for (int k = 0; k < n; k++)
        arena_free(m[k].a);
    return best;
}

/* Nothing fits: what takes least? */
static void try_least(Search *s)
{
    Micro m = {.samples = s->micro.v[s->micro.n - 1]};
    m.rounds = s->q->batch / s->q->ranks / m.samples;
    const Result *all[countof(way)];
    int n = 0;
    for (int k = 0; k < n_ways(s); k++) {
        Choice c = choice_of(&m, &way[k], s->recomputes ? RECOMPUTE_ALL : RECOMPUTE_NONE);
        all[n++] = search_try(s, &c);
    }
    if (!s->recomputes)
        return;
    int64_t least = all[0]->taken_bytes;
    for (int k = 1; k < n; k++)
        least = min64(least, all[k]->taken_bytes);
    search_parts(s, &m);
    for (int k = 0; k < n; k++) {
        Blend b = search_blend(&m, all[k]);
        if (all[k]->taken_bytes <= least + least / 8)
            search_least_mix(s, &m, &b);
    }
    arena_free(m.a);
}

/* With all the time there is for places, which takes no more memory: if it does, then as it was
 * tried. */
static Plan *best_plan(const Ask *q, const Choice *tried)
{
    Choice c = *tried;
    c.offsets_budget = 0;
    Plan *p = plan_one(q, &c);
    return plan_fits(q, p) ? p : plan_one(q, tried);
}

Plan *plan_search(const Ask *q, int64_t micro_batch, bool *no_fit)
{
    Search s = {.q = q};
    if (micro_batch)
        vec_push(q->a, &s.micro, micro_batch);
    else
        s.micro = micro_batches(q);
    Measure least = measure(q->m, q->batch / q->ranks, s.micro.v[s.micro.n - 1]);
    if (least != MEASURE_FITS) {
        *no_fit = least == MEASURE_BYTES;
        measure_tell(q->m, least, q->d);
        return NULL;
    }
    s.levels = chooses_levels(q);
    s.recomputes = chooses_recompute(q);
    s.scratch = arena_new();
    for (int l = 0; l < N_LEVELS; l++)
        s.state[l] = -1;
    const Result *best = all_micro_batches(&s);
    if (best)
        best = search_schedule(&s, best);
    else
        try_least(&s);
    arena_free(s.scratch);
    if (!best) {
        *no_fit = true;
        search_tell_no_fit(&s);
        return NULL;
    }
    Plan *p = best_plan(q, &best->choice);
    p->search_work = s.work;
    search_bound(&s, p);
    search_remember(&s, best, p);
    return p;
}
