/* search_bound.c - what no plan of a micro-batch can beat (reference: planner 2.5).
 *
 * Two streams share the step: it takes no less than all collectives one after the other, C, and no
 * less than all kernels, W, with what C slows them down by; so no less than any mean of the two.
 * What is kept shortens W and takes memory, and so do parameters that stay whole, which shorten C:
 * both are classes of (bytes, time) under one budget, relaxed by Lagrange's multiplier. Bytes are
 * those alive when the forward pass of the blocks is over and their backward has not begun, in the
 * last round: from below. */
#include "planner/comm.h"
#include "planner/cost.h"
#include "planner/search.h"

__extension__ typedef __int128 Wide;

enum { MEANS = 8 };

static int64_t part_of(int64_t x, int64_t ppm)
{
    return (int64_t)((Wide)x * ppm / MILLION);
}

static int64_t times(int64_t ps, int64_t n)
{
    Wide all = (Wide)ps * n;
    return all < COST_MOST_PS ? (int64_t)all : COST_MOST_PS;
}

/* ---- collectives ---- */

static int64_t least_ps(const Plan *p, const FlatGroup *g, KernelKind kind, DType dtype)
{
    Kernel k;
    Step s = comm_whole(p, g, kind, dtype, &k);
    return cost_least_sending(p->machine, p, &s);
}

static int64_t gather_ps(const Plan *p, const FlatGroup *g)
{
    return least_ps(p, g, K_ALL_GATHER, p->buffer.v[g->params].dtype);
}

/* Each gradient summed once, each parameter brought once. */
int64_t search_least_comm(const Plan *p)
{
    Wide all = 0;
    int64_t sums = p->reduced ? p->rounds : 1;
    for (int k = 0; k < p->group.n && p->ranks > 1; k++) {
        const FlatGroup *g = &p->group.v[k];
        if (g->optimizer >= 0 && !g->whole_grad)
            all += (Wide)least_ps(p, g, K_REDUCE_SCATTER, DT_F32) * sums + gather_ps(p, g);
    }
    return all < COST_MOST_PS ? (int64_t)all : COST_MOST_PS;
}

/* ---- gathered twice ---- */

static bool reads(const Plan *p, const Step *s, int group)
{
    for (int i = 0; i < s->kernel->n_arg; i++) {
        const Buffer *b = &p->buffer.v[s->arg[i].buffer];
        if (b->group == group && (b->role == ROLE_GATHERED || b->role == ROLE_PARAM))
            return true;
    }
    return false;
}

/* A block's products need its parameters in both passes, whatever is kept: it is gathered for each,
 * or its copy stays in between, which takes the memory of parameters that are whole. */
static bool is_read_twice(const Plan *p, const FlatGroup *g)
{
    const ProgramPlan *x = &p->program[PROGRAM_TRAIN];
    int first = x->first[PHASE_ROUND], end = first + x->count[PHASE_ROUND];
    bool forward = false, backward = false;
    for (int k = first; k < end; k++) {
        const Step *s = &p->step.v[k];
        if (s->kernel->kind != K_GEMM || s->recompute || p->instance[s->instance].unit != g->unit)
            continue;
        forward = forward || (!s->backward && reads(p, s, g->id));
        backward = backward || (s->backward && reads(p, s, g->id));
    }
    return g->unit && forward && backward;
}

/* ---- groups ---- */

static int64_t grad_bytes(const Plan *p, const FlatGroup *g)
{
    if (g->optimizer < 0)
        return 0;
    return 4 * (p->reduced ? g->shard : flat_whole(p, g));
}

static int64_t state_bytes(const Plan *p, const FlatGroup *g, Level l)
{
    return machine_taken(p->machine, plan_group_bytes(p, g, l, false),
                         plan_group_bytes(p, g, l, true));
}

/* Whole through the rounds, at the level that takes least. */
static int64_t whole_bytes(const Plan *p, const FlatGroup *g)
{
    int64_t copy = flat_whole(p, g) * dtype_size(p->buffer.v[g->params].dtype);
    int64_t least = state_bytes(p, g, LEVEL_ONCE) + copy;
    for (int l = LEVEL_0; l <= LEVEL_2; l++)
        least = min64(least, state_bytes(p, g, (Level)l));
    return least;
}

static GroupBound class_bound(const Plan *p, const LevelClass *c)
{
    const FlatGroup *g = &p->group.v[c->group.v[0]];
    bool twice = true;
    for (int k = 0; k < c->group.n; k++)
        twice = twice && is_read_twice(p, &p->group.v[c->group.v[k]]);
    return (GroupBound){.count = c->group.n,
                        .light = state_bytes(p, g, LEVEL_3),
                        .heavy = whole_bytes(p, g),
                        .gather_ps = gather_ps(p, g),
                        .passes = twice ? 2 : 1,
                        .trained = g->optimizer >= 0};
}

void search_bound_groups(Micro *m, const Plan *p)
{
    m->group = arena_array(m->a, GroupBound, m->n_level + 1);
    m->n_group = m->n_level;
    m->state = machine_taken(p->machine, p->persistent_bytes, plan_host_kept(p));
    m->grads = 0;
    for (int k = 0; k < p->group.n; k++)
        m->grads += grad_bytes(p, &p->group.v[k]);
    for (int k = 0; k < m->n_level; k++) {
        const LevelClass *c = &m->level[k];
        for (int j = 0; j < c->group.n; j++) {
            const FlatGroup *g = &p->group.v[c->group.v[j]];
            m->state -= state_bytes(p, g, g->level);
        }
        m->group[k] = class_bound(p, c);
    }
}

/* ---- one budget ---- */

/* Bytes that what is kept may take, from above: it is all alive with what the head needs. */
static int64_t room_for(const Search *s, const Micro *m, int64_t state)
{
    if (!s->q->memory)
        return INT64_MAX / 4;
    return s->q->memory - state - m->head_bytes + m->kept_bytes;
}

int64_t search_least_ps(const Search *s, const Micro *m, int64_t state)
{
    if (!s->q->memory || !m->n)
        return max64(m->busy_ps, m->comm_ps);
    int64_t more, all;
    Mix x = frontier_bound(m->a, m->mix, m->n, room_for(s, m, state));
    if (!x.fits)
        return INT64_MAX;
    bool ok = mul_ok(x.lower_ps, m->rounds, &more) && add_ok(m->busy_ps, more, &all);
    return ok ? max64(all, m->comm_ps) : INT64_MAX;
}

/* ---- the bound ---- */

typedef struct Mean { /* of kernels and collectives, in ppm */
    int64_t kernels, comm;
} Mean;

static Mean mean_of(const Search *s, int i)
{
    int64_t slow = s->q->machine->slow_compute_ppm;
    slow = (int64_t)((Wide)MILLION * slow / (MILLION + slow));
    Mean x = {MILLION - MILLION * i / MEANS, slow + (MILLION - slow) * i / MEANS};
    return x;
}

static MixClass kept_class(Arena *a, const Micro *m, const MixClass *of, const Mean *x)
{
    FrontierPoint *point = arena_array(a, FrontierPoint, of->n);
    for (int j = 0; j < of->n; j++)
        point[j] = (FrontierPoint){.bytes = of->point[j].bytes,
                                   .ps = part_of(times(of->point[j].ps, m->rounds), x->kernels)};
    return (MixClass){.count = of->count, .point = point, .n = of->n};
}

static MixClass group_class(Arena *a, const Micro *m, const GroupBound *g, const Mean *x)
{
    FrontierPoint *point = arena_array(a, FrontierPoint, 2);
    int64_t more = g->passes * m->rounds - (g->trained ? 1 : 0); /* than the least of all */
    int64_t ps = part_of(times(g->gather_ps, more), x->comm);
    bool two = g->heavy > g->light && ps > 0;
    point[0] = (FrontierPoint){.bytes = g->light, .ps = two ? ps : 0};
    point[1] = (FrontierPoint){.bytes = g->heavy, .ps = 0};
    return (MixClass){.count = g->count, .point = point, .n = two ? 2 : 1};
}

/* What check V25 computes: floor of fixed + sum of least options - multiplier * what is free. */
static int64_t bound_value(const Bounds *b)
{
    Wide sum = (Wide)b->fixed_ps * b->lambda_den +
               (Wide)b->lambda_num * ((Wide)b->fixed_bytes - b->capacity);
    for (int i = 0; i < b->option.n;) {
        Wide least = 0;
        int from = i;
        for (; i < b->option.n && b->option.v[i].unit == b->option.v[from].unit; i++) {
            Wide cost = (Wide)b->option.v[i].ps * b->lambda_den +
                        (Wide)b->option.v[i].bytes * b->lambda_num;
            least = i == from || cost < least ? cost : least;
        }
        sum += least * b->option.v[from].count;
    }
    Wide lower = sum / b->lambda_den - (sum % b->lambda_den < 0);
    return lower > 0 ? (int64_t)lower : 0;
}

static void set_multiplier(Bounds *b, const Mix *x)
{
    enum { MOST = 40 };
    b->lambda_num = x->lambda_num;
    b->lambda_den = x->lambda_den;
    while (b->lambda_num >> MOST || b->lambda_den >> MOST) {
        b->lambda_num >>= 1;
        b->lambda_den >>= 1;
    }
    if (b->lambda_den < 1) {
        b->lambda_num = 0;
        b->lambda_den = 1;
    }
}

/* False: there is no plan of this micro-batch. */
static bool bound_by(const Search *s, Arena *a, const Micro *m, const Mean *x, int64_t room,
                     Bounds *b)
{
    int n = m->n + m->n_group;
    MixClass *c = arena_array(a, MixClass, n + 1);
    for (int k = 0; k < n; k++)
        c[k] =
            k < m->n ? kept_class(a, m, &m->mix[k], x) : group_class(a, m, &m->group[k - m->n], x);
    *b = (Bounds){.lambda_den = 1};
    b->fixed_ps = part_of(m->work_ps, x->kernels) + part_of(m->comm_ps, x->comm);
    Mix mix = frontier_bound(a, c, n, room);
    if (s->q->memory && !mix.fits)
        return false;
    set_multiplier(b, &mix);
    b->capacity = b->lambda_num ? room : 0;
    for (int k = 0; k < n && b->lambda_num; k++)
        for (int j = 0; j < c[k].n; j++) {
            BoundOption option = {k, c[k].count, c[k].point[j].ps, c[k].point[j].bytes};
            vec_push(a, &b->option, option);
        }
    b->lower_ps = bound_value(b);
    return true;
}

static void keep_bound(Search *s, const Bounds *b)
{
    s->bound = *b;
    s->bound.option.v = NULL;
    s->bound.option.n = s->bound.option.cap = 0;
    for (int k = 0; k < b->option.n; k++)
        vec_push(s->q->a, &s->bound.option, b->option.v[k]);
}

int64_t search_micro_bound(const Search *s, Arena *a, const Micro *m, int64_t state, Bounds *best)
{
    int64_t known = m->group ? m->state + (m->rounds > 1 ? m->grads : 0) : state;
    int64_t room = room_for(s, m, known);
    *best = (Bounds){0};
    for (int i = 0; i <= MEANS; i++) {
        Bounds b;
        Mean x = mean_of(s, i);
        if (!bound_by(s, a, m, &x, room, &b))
            return INT64_MAX;
        if (!i || b.lower_ps > best->lower_ps)
            *best = b;
    }
    return best->lower_ps;
}

void search_add_bound(Search *s, const Micro *m, int64_t state)
{
    Mark mark = arena_mark(s->scratch);
    Bounds b;
    int64_t ps = search_micro_bound(s, s->scratch, m, state, &b);
    if (ps < INT64_MAX && (!s->bound.lambda_den || ps < s->bound.lower_ps))
        keep_bound(s, &b);
    arena_rewind(s->scratch, mark);
}
