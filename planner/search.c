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
#include "planner/comm.h"
#include "planner/cost.h"
#include "planner/measure.h"
#include "planner/offsets.h"

#include <string.h>

#define MILLION INT64_C(1000000)

/* ---- candidates ---- */

static bool same_choice(const Choice *x, const Choice *y)
{
    return x->micro_batch == y->micro_batch && x->level == y->level &&
           x->recompute == y->recompute && x->kept == y->kept && x->lead == y->lead &&
           x->levels == y->levels && x->bucket_bytes == y->bucket_bytes;
}

static int64_t times_run(const Plan *p, const Step *s)
{
    bool loops = s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND;
    return loops && s->when == WHEN_ALWAYS ? p->rounds : 1;
}

static int64_t stream_ps(const Plan *p, Stream stream)
{
    int64_t all = 0;
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        int64_t ps;
        if (s->program != PROGRAM_TRAIN || s->stream != stream)
            continue;
        if (!mul_ok(s->ps, times_run(p, s), &ps) || !add_ok(all, ps, &all))
            return INT64_MAX;
    }
    return all;
}

/* Payload that every plan sends: each gradient summed once, each parameter brought once. */
static int64_t least_sent(const Plan *p)
{
    int64_t all = 0, sums = p->reduced ? p->rounds : 1;
    for (int k = 0; k < p->group.n && p->ranks > 1; k++) {
        const FlatGroup *g = &p->group.v[k];
        if (g->optimizer < 0 || g->whole_grad)
            continue;
        Kernel x = {.kind = K_REDUCE_SCATTER, .arg_dtype = {DT_F32}};
        x.coll.n_segment = 1;
        x.coll.segment[0] = (Segment){g->shard, g->shard};
        int64_t reduce;
        if (!mul_ok(comm_sent(p, &x), sums, &reduce) || !add_ok(all, reduce, &all))
            return 0;
        x.kind = K_ALL_GATHER;
        x.arg_dtype[0] = p->buffer.v[g->params].dtype;
        if (!add_ok(all, comm_sent(p, &x), &all))
            return 0;
    }
    return all;
}

static int64_t least_comm_ps(const Plan *p)
{
    __extension__ typedef __int128 Wide;
    const LinkCost *link = p->machine->link;
    int64_t rate = max64(link[LINK_NODE].bytes_per_s, link[LINK_NET].bytes_per_s);
    Wide ps = rate > 0 ? (Wide)least_sent(p) * MILLION * MILLION / rate : 0;
    return ps < COST_MOST_PS ? (int64_t)ps : COST_MOST_PS;
}

/* Kernels are slower while a collective runs: by so much at least. */
static int64_t slowed_ps(const Search *s, const Result *r)
{
    __extension__ typedef __int128 Wide;
    int64_t slow = s->q->machine->slow_compute_ppm;
    return (int64_t)((Wide)r->least_comm_ps * slow / (MILLION + slow));
}

/* Of the passes, alive at a step: what does not depend on levels. */
static int64_t act_bytes(const Plan *p, int step)
{
    int64_t all = 0;
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        const Buffer *b = &p->buffer.v[k];
        bool act = b->role == ROLE_SAVED || b->role == ROLE_TEMP || b->role == ROLE_INPUT;
        if (act && !b->host && b->group < 0 && b->first <= step && step <= b->last)
            all += round_up(b->bytes, ARENA_ALIGN);
    }
    return all;
}

/* When the blocks' forward passes are over and their backward has not begun, everything that they
 * keep is alive. */
int64_t search_head_bytes(const Plan *p)
{
    const ProgramPlan *g = &p->program[PROGRAM_TRAIN];
    int first = g->first[PHASE_ROUND], end = first + g->count[PHASE_ROUND], from = first, to = end;
    for (int k = first; k < end && to == end; k++) {
        const Step *s = &p->step.v[k];
        if (s->stream != STREAM_COMPUTE || !p->instance[s->instance].unit)
            continue;
        if (s->backward || s->recompute)
            to = k;
        else
            from = k + 1;
    }
    int64_t most = 0;
    for (int k = from; k < to && to < end; k++)
        most = max64(most, act_bytes(p, k));
    return most;
}

static bool gathers(const Plan *p)
{
    for (int k = 0; k < p->group.n; k++)
        if (p->group.v[k].level == LEVEL_3)
            return true;
    return false;
}

/* Bytes of the smallest gradients. */
static int64_t least_group(const Plan *p)
{
    int64_t least = INT64_MAX;
    for (int k = 0; k < p->group.n; k++)
        if (p->group.v[k].optimizer >= 0)
            least = min64(least, 4 * p->group.v[k].used);
    return least;
}

static void tell_state(Search *s, const Plan *p)
{
    for (int l = 0; l < N_LEVELS; l++) {
        int64_t host = plan_persistent(p, (Level)l, true);
        int64_t both = machine_taken(p->machine, plan_persistent(p, (Level)l, false), host);
        s->state[l] = plan_host_fits(s->q, host) ? both : TOO_MUCH;
    }
}

static Result *known(const Search *s, const Choice *c)
{
    for (int k = 0; k < s->result.n; k++)
        if (same_choice(&s->result.v[k]->choice, c))
            return s->result.v[k];
    return NULL;
}

static const Result *add_result(Search *s, const Choice *c, const Plan *p)
{
    Result *r = arena_make(s->q->a, Result);
    *r = (Result){.choice = *c,
                  .arena_bytes = p->arena_bytes,
                  .host_bytes = p->host_bytes,
                  .taken_bytes = machine_taken(p->machine, p->arena_bytes, p->host_bytes),
                  .rounds = p->rounds,
                  .step_ps = p->step_ps,
                  .exposed_ps = p->exposed_ps,
                  .busy_ps = stream_ps(p, STREAM_COMPUTE),
                  .least_comm_ps = least_comm_ps(p),
                  .comm_ps = stream_ps(p, STREAM_COMM),
                  .act_bytes = act_bytes(p, p->max_live_step),
                  .fits = plan_fits(s->q, p),
                  .gathers = p->ranks > 1 && gathers(p),
                  .n_groups = p->group.n,
                  .least_group = least_group(p)};
    r->choice.probe = NULL;
    vec_push(s->q->a, &s->result, r);
    if (s->state[0] < 0)
        tell_state(s, p);
    return r;
}

const Plan *search_keep(Search *s, const Choice *c, Arena *a)
{
    Ask q = *s->q;
    q.a = a;
    Choice quick = *c;
    quick.offsets_budget = OFFSETS_BUDGET / 64;
    const Plan *p = plan_one(&q, &quick);
    if (!known(s, c))
        add_result(s, &quick, p);
    return p;
}

const Result *search_try(Search *s, const Choice *c)
{
    const Result *r = known(s, c);
    if (r)
        return r;
    Mark mark = arena_mark(s->scratch);
    search_keep(s, c, s->scratch);
    arena_rewind(s->scratch, mark);
    return s->result.v[s->result.n - 1];
}

const Result *search_faster(const Result *x, const Result *y)
{
    if (!x || !x->fits)
        return y && y->fits ? y : NULL;
    if (!y || !y->fits)
        return x;
    if (x->step_ps != y->step_ps)
        return x->step_ps < y->step_ps ? x : y;
    return y->taken_bytes < x->taken_bytes ? y : x;
}

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

static Choice choice_of(const Micro *m, const Way *w, RecomputeRule rule)
{
    return (Choice){
        .micro_batch = m->samples, .level = w->level, .recompute = rule, .lead = w->lead};
}

static bool fitted(const Search *s, const Micro *m, const Way *w, RecomputeRule rule)
{
    Choice c = choice_of(m, w, rule);
    for (int k = 0; k < s->result.n; k++)
        if (same_choice(&s->result.v[k]->choice, &c))
            return s->result.v[k]->fits;
    return false;
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

/* Where memory forbids to keep everything: nothing, at each way; the fastest first. */
static int keep_none(Search *s, Micro *m, const Result *best, const Result **all)
{
    int n = 0;
    for (int k = 0; k < n_ways(s); k++) {
        int64_t state = s->state[way[k].level];
        if (fitted(s, m, &way[k], RECOMPUTE_NONE) || !is_near(s, state + m->all_bytes) ||
            !is_needed(s, m, &way[k], RECOMPUTE_ALL) ||
            (best && search_least_ps(s, m, state) > best->step_ps))
            continue;
        if (!m->a)
            search_parts(s, m);
        Choice c = choice_of(m, &way[k], RECOMPUTE_ALL);
        const Result *r = search_try(s, &c);
        m->all_bytes = m->all_bytes ? min64(m->all_bytes, r->act_bytes) : r->act_bytes;
        if (!is_near(s, r->taken_bytes) || !plan_host_fits(s->q, r->host_bytes))
            continue;
        int j = n++;
        for (; j > 0 && all[j - 1]->step_ps > r->step_ps; j--)
            all[j] = all[j - 1];
        all[j] = r;
    }
    return n;
}

/* Then some of it. */
static const Result *keep_some(Search *s, Micro *m, const Result *best)
{
    const Result *all[countof(way)];
    int n = keep_none(s, m, best, all);
    for (int k = 0; k < n; k++)
        best = search_faster(best, all[k]);
    for (int k = 0; k < n; k++) {
        Blend b = search_blend(m, all[k]);
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
    if (!m->a)
        search_parts(s, m);
    return search_level_mix(s, m, best);
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
 * for that, for as much of it as the best so far leaves a chance. */
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
    for (int k = 0; k < n; k++) {
        if (k + 1 == n || !cannot_fit(s, known, m[k].samples)) {
            best = s->recomputes ? keep_some(s, &m[k], best) : best;
            best = mix_levels(s, &m[k], best);
        }
        known = m[k].all_bytes ? &m[k] : known;
        search_add_bound(s, &m[k], least_state(s));
        arena_free(m[k].a);
    }
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

/* ---- schedule ---- */

/* Gathers issued sooner or later can take away what is exposed, at best. */
static const Result *with_lead(Search *s, const Result *best)
{
    static const int other[] = {0, 2, 3};
    const Result *r = NULL;
    s->work += countof(other);
    for (int k = 0; k < s->result.n; k++)
        if (s->result.v[k]->gathers && s->result.v[k]->choice.lead == 1)
            r = search_faster(r, s->result.v[k]);
    if (!r || s->q->m->plan.lead >= 0 || r->step_ps - r->exposed_ps >= best->step_ps)
        return best;
    for (int k = 0; k < countof(other); k++) {
        Choice c = r->choice;
        c.lead = other[k];
        best = search_faster(best, search_try(s, &c));
    }
    return best;
}

/* Likewise fewer and larger sums over ranks, or sooner and smaller ones: where groups are small. */
static const Result *with_buckets(Search *s, const Result *best)
{
    static const int shift[] = {-2, 2, 4};
    const Result *r = best;
    s->work += countof(shift);
    int64_t usual = 1; /* about so: a round number for people */
    while (usual <= plan_bucket_bytes(s->q->machine) / 2)
        usual *= 2;
    if (r->exposed_ps <= r->step_ps / NEARLY / 4 || r->least_group >= usual << 4)
        return best;
    for (int k = 0; k < countof(shift); k++) {
        Choice c = r->choice;
        c.bucket_bytes = shift[k] < 0 ? usual >> -shift[k] : usual << shift[k];
        best = search_faster(best, search_try(s, &c));
    }
    return best;
}

static const Result *with_schedule(Search *s, const Result *best)
{
    if (s->q->ranks == 1 || s->q->m->plan.no_overlap)
        return best;
    return with_buckets(s, with_lead(s, best));
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
        best = with_schedule(&s, best);
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
