/* plan_one.c - the plan for one choice of everything there is to choose. */
#include "planner/choice.h"
#include "planner/comm.h"
#include "planner/cost.h"
#include "planner/narrow.h"
#include "planner/offsets.h"
#include "planner/simulate.h"

static void count_totals(Plan *p)
{
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->program != PROGRAM_TRAIN)
            continue;
        int64_t times = s->kernel->batched ? step_samples(p, s) : 1;
        if (s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND)
            times *= p->rounds;
        p->flops += s->kernel->flops * times;
        p->step_bytes += s->kernel->bytes * times;
    }
}

/* A buffer of the forward pass that the backward reads is saved; the rest is gone sooner. */
static void set_roles(Plan *p)
{
    bool *forward = arena_array(p->arena, bool, p->buffer.n);
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        for (int j = 0; j < s->kernel->n_arg; j++) {
            Buffer *x = &p->buffer.v[s->arg[j].buffer];
            if (s->kernel->arg_written[j] && !s->backward)
                forward[x->id] = true;
            else if (s->backward && forward[x->id] && x->role == ROLE_TEMP)
                x->role = ROLE_SAVED;
        }
    }
}

static Level level_of(const Plan *p, const FlatGroup *g, const Choice *c)
{
    int asked = p->model->param.v[g->param[0]].zero;
    Level l = asked == ZERO_ONCE                 ? LEVEL_ONCE
              : asked >= 0                       ? (Level)asked
              : c->levels && g->id < c->n_levels ? c->levels[g->id]
                                                 : c->level;
    if (p->ranks == 1)
        return LEVEL_0;
    if (g->optimizer < 0 && !level_shards_params(l))
        return LEVEL_0; /* no gradients, no state: there is nothing to share but parameters */
    return l;
}

/* Groups as large, with the same optimizer: the planner has no other reason to tell them apart. */
static const char *why_chosen(const Plan *p, const FlatGroup *g, const Choice *c)
{
    int alike = 0, same = 0;
    for (int k = 0; k < p->group.n && c->levels; k++) {
        const FlatGroup *x = &p->group.v[k];
        bool like = x->used == g->used && x->optimizer == g->optimizer;
        alike += like;
        same += like && level_of(p, x, c) == g->level;
    }
    if (same == alike)
        return "the planner's choice";
    return arena_printf(p->arena, "the planner's choice for %d of %d alike", same, alike);
}

static void set_levels(Plan *p, const Choice *c)
{
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        const Param *x = &p->model->param.v[g->param[0]];
        g->level = level_of(p, g, c);
        g->why = x->zero >= 0                              ? "the file says so"
                 : p->ranks == 1                           ? "one rank"
                 : g->level == LEVEL_0 && g->optimizer < 0 ? "it is not trained"
                                                           : why_chosen(p, g, c);
    }
}

int64_t plan_group_bytes(const Plan *p, const FlatGroup *g, Level l, bool host)
{
    int64_t whole = flat_whole(p, g), size = dtype_size(p->buffer.v[g->params].dtype);
    int64_t state = 4 * g->n_state * (l == LEVEL_0 ? whole : g->shard);
    int64_t params = size * (level_shards_params(l) ? g->shard : whole);
    return (host ? 0 : params) + (host == g->offload ? state : 0);
}

int64_t plan_host_kept(const Plan *p)
{
    int64_t bytes = 0;
    for (int k = 0; k < p->n_persistent; k++)
        if (p->buffer.v[k].host)
            bytes += round_up(p->buffer.v[k].bytes, ARENA_ALIGN);
    return bytes;
}

int64_t plan_persistent(const Plan *p, Level l, bool host)
{
    int64_t bytes = host ? plan_host_kept(p) : p->persistent_bytes;
    for (int k = 0; k < p->group.n; k++) {
        const FlatGroup *g = &p->group.v[k];
        Level other = level_of(p, g, &(Choice){.level = l});
        bytes += plan_group_bytes(p, g, other, host) - plan_group_bytes(p, g, g->level, host);
    }
    return bytes;
}

bool plan_host_fits(const Ask *q, int64_t host_bytes)
{
    const Machine *m = q->machine;
    return m->target == TARGET_C || !m->host_bytes || host_bytes <= m->host_bytes;
}

bool plan_fits(const Ask *q, const Plan *p)
{
    int64_t taken = machine_taken(q->machine, p->arena_bytes, p->host_bytes);
    return plan_host_fits(q, p->host_bytes) && (!q->memory || taken <= q->memory);
}

/* Messages so large that starting one takes a tenth of sending it. */
int64_t plan_bucket_bytes(const Machine *m)
{
    const LinkCost *l = &m->link[m->link[LINK_NET].bytes_per_s ? LINK_NET : LINK_NODE];
    __extension__ typedef __int128 Wide;
    int64_t bytes = (int64_t)((Wide)l->alpha_ps * l->bytes_per_s / 100000000000);
    return bytes < 65536 ? 65536 : bytes;
}

static Plan *plan_new(const Ask *q, const Choice *c)
{
    const Model *m = q->m;
    Plan *p = arena_make(q->a, Plan);
    p->arena = q->a;
    p->model = m;
    p->instance = m->train.graph->instance.v;
    p->n_instance = m->train.graph->instance.n;
    p->ranks = q->ranks;
    p->shared_by = q->shared_by;
    p->machine = q->machine;
    p->micro_batch = c->micro_batch;
    p->rounds = q->batch / q->ranks / c->micro_batch;
    p->batch = q->batch;
    p->fused = !q->no_fuse;
    p->memory = q->memory;
    p->overlap = !m->plan.no_overlap && !c->no_overlap;
    p->lead = !p->overlap ? 0 : m->plan.lead >= 0 ? m->plan.lead : c->lead;
    p->bucket_bytes = c->bucket_bytes ? c->bucket_bytes : plan_bucket_bytes(q->machine);
    p->reduced = m->reduced;
    p->invariant = m->invariant;
    p->grain_batch = p->invariant ? p->micro_batch : p->batch / p->ranks;
    return p;
}

/* Evaluation keeps nothing for a backward pass: its micro-batch is a matter of the model, so that
 * no plan changes the order of its sums, and with reduce = invariant no number of ranks. */
static int64_t eval_micro_batch(const Plan *p)
{
    enum { ROWS = 1024 };
    int64_t rows = 1, share = p->grain_batch;
    for (int k = 0; k < p->model->input.n; k++)
        rows = max64(rows, p->model->input.v[k].type.ndim ? p->model->input.v[k].type.dim[0] : 1);
    int64_t nb = (ROWS + rows - 1) / rows;
    while (nb < share && share % nb)
        nb++;
    return nb < share ? nb : share;
}

void plan_predict(Plan *p)
{
    Arena *scratch = arena_new();
    Timeline t = simulate(scratch, p->machine, p, PROGRAM_TRAIN);
    p->step_ps = t.step_ps;
    p->exposed_ps = t.exposed_ps;
    arena_free(scratch);
}

Plan *plan_one(const Ask *q, const Choice *c)
{
    Plan *p = plan_new(q, c);
    flat_groups(p);
    set_levels(p, c);
    Map *kernels = map_new(q->a);
    program_add(p, kernels, q, c, PROGRAM_TRAIN, p->micro_batch, p->rounds);
    program_add(p, kernels, q, c, PROGRAM_EVAL, eval_micro_batch(p), 0);
    program_add(p, kernels, q, c, PROGRAM_SAMPLE, 1, 1);
    kernels = narrow_plan(p, kernels);
    comm_insert(p, kernels, q->d);
    cost_plan(p->machine, p);
    lifetimes(p);
    overlap_lifetimes(p);
    set_roles(p);
    offsets_assign(p, c->offsets_budget ? c->offsets_budget : OFFSETS_BUDGET);
    waits_find(p);
    plan_predict(p);
    count_totals(p);
    p->hash = p->made = plan_hash(p);
    return p;
}
