/* search_try.c - one candidate: planned as it would be, and forgotten but for its numbers. */
#include "planner/cost.h"
#include "planner/search.h"

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

const Result *search_known(const Search *s, const Choice *c)
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
                  .least_comm_ps = search_least_comm(p),
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
    quick.offsets_budget = QUICK_OFFSETS;
    const Plan *p = plan_one(&q, &quick);
    if (!search_known(s, c))
        add_result(s, &quick, p);
    return p;
}

const Result *search_try(Search *s, const Choice *c)
{
    const Result *r = search_known(s, c);
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
