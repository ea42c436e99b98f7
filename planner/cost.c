/* cost.c - work over the machine's rates: kernels, collectives, copies. */
#include "planner/cost.h"

#define PS_PER_S INT64_C(1000000000000)

__extension__ typedef __int128 Wide;

static int64_t cut(Wide x)
{
    return x > COST_MOST_PS ? COST_MOST_PS : (int64_t)x;
}

/* n things at `rate` a second, rounded up. */
static int64_t time_of(int64_t n, int64_t rate)
{
    if (n <= 0)
        return 0;
    if (rate <= 0)
        return COST_MOST_PS;
    return cut(((Wide)n * PS_PER_S + rate - 1) / rate);
}

static int64_t sum(int64_t a, int64_t b)
{
    return cut((Wide)a + b);
}

/* ---- kernels ---- */

static int64_t product_rate(const Machine *m, MathType t, int64_t size)
{
    if (!m->n_rate[t])
        t = MATH_F32;
    const RatePoint *r = m->rate[t];
    int n = m->n_rate[t], i = 0;
    while (i < n && r[i].size < size)
        i++;
    if (i == 0 || i == n)
        return r[i == n ? n - 1 : 0].flops_per_s;
    const RatePoint *a = &r[i - 1], *b = &r[i];
    Wide part = (Wide)(b->flops_per_s - a->flops_per_s) * (size - a->size);
    return a->flops_per_s + (int64_t)(part / (b->size - a->size));
}

/* Units go to workers in equal blocks: all wait for the largest. Rates are those of all workers at
 * work. */
static int64_t shared_out(const Machine *m, const Work *w, int64_t ps)
{
    int64_t workers = max64(m->workers, 1), n = max64(w->units, 1);
    int64_t parts = min64(max64(n / max64(w->least, 1), 1), workers);
    int64_t block = n / parts + (n % parts != 0);
    return cut(((Wide)ps * block * workers + n - 1) / n);
}

static int64_t memory_time(const Machine *m, int64_t bytes)
{
    bool near = bytes <= m->cache_bytes;
    return time_of(bytes, near ? m->cache_bytes_per_s : m->memory_bytes_per_s);
}

static StepCost launch_cost(const Machine *m, const Work *w)
{
    StepCost c = {.launch_ps = m->launch_ps};
    int64_t rate = w->attention ? m->attention_flops_per_s : product_rate(m, w->type, w->size);
    c.math_ps = sum(time_of(w->products, rate), time_of(w->ops, m->elem_ops_per_s));
    c.math_ps = shared_out(m, w, c.math_ps);
    c.memory_ps = shared_out(m, w, memory_time(m, w->bytes));
    return c;
}

int64_t cost_work_ps(const Machine *m, const Work *w)
{
    StepCost c = launch_cost(m, w);
    return sum(c.launch_ps, max64(c.math_ps, c.memory_ps));
}

static void add(StepCost *c, const StepCost *x, int64_t times)
{
    c->math_ps = cut(c->math_ps + (Wide)x->math_ps * times);
    c->memory_ps = cut(c->memory_ps + (Wide)x->memory_ps * times);
    c->net_ps = cut(c->net_ps + (Wide)x->net_ps * times);
    c->launch_ps = cut(c->launch_ps + (Wide)x->launch_ps * times);
}

/* Its operands lie in the host's arena: an update that was offloaded. */
static bool on_host(const Plan *p, const Step *s)
{
    for (int i = 0; i < s->kernel->n_arg && s->arg; i++)
        if (p->buffer.v[s->arg[i].buffer].host)
            return true;
    return false;
}

/* On the host of a GPU. What an update does to an element it does faster than the element arrives,
 * so its arithmetic is not counted. */
static StepCost host_cost(const Machine *m, const Work *w)
{
    return (StepCost){.launch_ps = m->launch_ps,
                      .memory_ps = time_of(w->bytes, m->host_memory_bytes_per_s)};
}

/* The micro-batch, or each chunk of a region. */
static StepCost kernel_cost(const Machine *m, const Plan *p, const Step *s)
{
    int64_t all = max64(step_samples(p, s), 1);
    int64_t chunk = max64(min64(step_chunk(p, s), all), 1);
    bool host = m->target == TARGET_CUDA && on_host(p, s);
    Work w = cost_work(m->target, s->kernel, chunk);
    StepCost one = host ? host_cost(m, &w) : launch_cost(m, &w), c = {0};
    add(&c, &one, all / chunk);
    if (all % chunk) {
        w = cost_work(m->target, s->kernel, all % chunk);
        one = host ? host_cost(m, &w) : launch_cost(m, &w);
        add(&c, &one, 1);
    }
    return c;
}

/* ---- between ranks ---- */

static Link link_of(const Machine *m, int64_t ranks)
{
    return ranks <= m->ranks_per_node ? LINK_NODE : LINK_NET;
}

/* A group lies within a node, or some group of the plan does not. */
static Link group_link(const Machine *m, const Plan *p)
{
    bool apart = p->shared_by < p->ranks && p->ranks > m->ranks_per_node &&
                 m->ranks_per_node % max64(p->shared_by, 1);
    return apart ? LINK_NET : link_of(m, p->shared_by);
}

static int64_t messages(const LinkCost *l, int64_t n, int64_t bytes)
{
    return cut((Wide)l->alpha_ps * n + time_of(bytes, l->bytes_per_s));
}

/* Pieces go through the staging memory in turns, each a message to everybody else in the group. */
static int64_t turns_of(const Collective *c)
{
    int64_t turns = 0;
    for (int i = 0; i < c->n_segment; i++)
        turns +=
            c->chunk ? c->segment[i].elems / c->chunk + (c->segment[i].elems % c->chunk != 0) : 1;
    return turns;
}

/* Sums travel from group to group and back: the last rank's wait is the whole chain. */
static int64_t chain_cost(const Machine *m, const Plan *p, int64_t turns, int64_t bytes)
{
    int64_t hops = 2 * (p->ranks / max64(p->shared_by, 1) - 1);
    return messages(&m->link[link_of(m, p->ranks)], hops * turns, cut((Wide)hops * bytes));
}

static StepCost collective_cost(const Machine *m, const Plan *p, const Step *s)
{
    const Kernel *k = s->kernel;
    int64_t bytes = 0, others = p->shared_by - 1, turns = turns_of(&k->coll);
    for (int i = 0; i < k->coll.n_segment; i++)
        bytes += k->coll.segment[i].elems * dtype_size(k->arg_dtype[0]);
    bool reduces = k->kind != K_ALL_GATHER, gathers = k->kind != K_REDUCE_SCATTER;
    bool hybrid = p->shared_by < p->ranks;
    const LinkCost *l = &m->link[group_link(m, p)];
    int64_t inside = hybrid ? cut((Wide)bytes * others * (reduces + gathers)) : s->sent;
    StepCost c = {.launch_ps = m->launch_ps};
    c.net_ps = messages(l, others * turns * (reduces + gathers), inside);
    if (!reduces)
        return c;
    if (hybrid)
        c.net_ps = sum(c.net_ps, chain_cost(m, p, turns, bytes));
    /* what arrived is read and added to what is there; the network waits for that */
    int64_t added = cut((Wide)bytes * 3 * (others + (hybrid ? 1 : 0)));
    c.net_ps = sum(c.net_ps, memory_time(m, added));
    return c;
}

/* Picoseconds that one collective may be rounded up by more than a part of a larger one. */
enum { ROUNDED_UP = 3 };

int64_t cost_least_sending(const Machine *m, const Plan *p, const Step *collective)
{
    Machine only = *m; /* its links, and only bytes on them */
    only.link[LINK_NODE].alpha_ps = only.link[LINK_NET].alpha_ps = only.launch_ps = 0;
    only.memory_bytes_per_s = only.cache_bytes_per_s = INT64_MAX;
    return max64(collective_cost(&only, p, collective).net_ps - ROUNDED_UP, 0);
}

static StepCost copy_cost(const Machine *m, const Step *s)
{
    int64_t bytes = s->kernel->units * dtype_size(s->kernel->arg_dtype[0]);
    return (StepCost){.net_ps = messages(&m->copy, 1, bytes)};
}

/* ---- steps ---- */

static TimeClass class_of(const StepCost *c)
{
    int64_t work = max64(max64(c->math_ps, c->memory_ps), c->net_ps);
    if (c->launch_ps > work)
        return TIME_LAUNCH;
    if (c->net_ps == work && work > 0)
        return TIME_NET;
    return c->math_ps >= c->memory_ps ? TIME_MATH : TIME_MEMORY;
}

StepCost cost_of(const Machine *m, const Plan *p, const Step *s)
{
    StepCost c = {0};
    switch (s->kernel->kind) {
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
        c = collective_cost(m, p, s);
        break;
    case K_COPY:
        c = copy_cost(m, s);
        break;
    case K_FUSED:
    case K_FOLD:
    case K_BATCH:
    case K_SCATTER:
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
    case K_CUMSUM:
    case K_TOP_K:
    case K_GEMM:
    case K_SUM_SQUARES:
    case K_NORM:
    case K_ZERO:
    case K_TREE:
    case K_EXACT_SUM:
    case K_EXACT_TOTAL:
        c = kernel_cost(m, p, s);
        break;
    }
    c.ps = sum(sum(c.launch_ps, c.net_ps), max64(c.math_ps, c.memory_ps));
    c.cls = class_of(&c);
    return c;
}

int64_t cost_step(const Machine *m, const Plan *p, const Step *s)
{
    return cost_of(m, p, s).ps;
}

void cost_plan(const Machine *m, Plan *p)
{
    for (int i = 0; i < p->step.n; i++) {
        StepCost c = cost_of(m, p, &p->step.v[i]);
        p->step.v[i].ps = c.ps;
        p->step.v[i].cls = c.cls;
    }
}
