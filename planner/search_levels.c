/* search_levels.c - a level for each group, chosen together with what each block keeps.
 *
 * Groups that are alike are a class with points of (bytes, time), as blocks are that keep more or
 * less: sharded less, a group takes more memory and fewer collectives. So one budget is shared out
 * over both (planner 2.4, "joint"). A collective that is hidden costs nothing, and what is hidden
 * only the whole plan tells: a level's time is counted by the part of all collectives that was
 * exposed in the plan with the most of them. What comes out is planned and timed as it is. */
#include "planner/comm.h"
#include "planner/cost.h"
#include "planner/search.h"

#include <string.h>

/* ---- one group ---- */

static int64_t collective_ps(const Plan *p, const FlatGroup *g, KernelKind kind, DType dtype)
{
    Kernel k;
    Step s = comm_whole(p, g, kind, dtype, &k);
    return cost_step(p->machine, p, &s);
}

/* Sums over ranks, and parameters brought before they are read. */
static int64_t level_ps(const Plan *p, const FlatGroup *g, Level l)
{
    int64_t gather = collective_ps(p, g, K_ALL_GATHER, p->buffer.v[g->params].dtype), all = 0;
    int64_t passes = g->optimizer < 0 ? 1 : 2, sums = p->reduced ? p->rounds : 1;
    if (level_shards_params(l))
        all = gather * (l == LEVEL_3 ? passes * p->rounds : 1);
    if (g->optimizer < 0)
        return all;
    bool all_reduce = l == LEVEL_0 && !p->reduced;
    return all + sums * collective_ps(p, g, all_reduce ? K_ALL_REDUCE : K_REDUCE_SCATTER, DT_F32);
}

/* Parameters brought after the update, or sums to be updated whole before it. */
static int64_t level_open_ps(const Plan *p, const FlatGroup *g, Level l)
{
    if (g->optimizer < 0 || level_shards_params(l) || (l == LEVEL_0 && !p->reduced))
        return 0;
    return collective_ps(p, g, K_ALL_GATHER, p->buffer.v[g->params].dtype);
}

/* Through the rounds, where most memory is taken. */
static int64_t level_bytes(const Plan *p, const FlatGroup *g, Level l)
{
    int64_t whole = flat_whole(p, g);
    int64_t bytes = machine_taken(p->machine, plan_group_bytes(p, g, l, false),
                                  plan_group_bytes(p, g, l, true));
    if (l == LEVEL_ONCE)
        bytes += whole * dtype_size(p->buffer.v[g->params].dtype);
    if (g->optimizer < 0)
        return bytes;
    bool passing = l >= LEVEL_2 && !g->whole_grad && (p->rounds == 1 || p->reduced);
    return bytes + 4 * (passing ? g->shard : whole);
}

/* ---- classes ---- */

static bool is_chosen(const Plan *p, const FlatGroup *g)
{
    return p->model->param.v[g->param[0]].zero == ZERO_AUTO;
}

static bool alike(const Plan *p, const FlatGroup *x, const FlatGroup *y)
{
    const Instance *in = p->instance;
    return x->used == y->used && x->n == y->n && x->optimizer == y->optimizer &&
           x->n_state == y->n_state && x->offload == y->offload && x->whole_grad == y->whole_grad &&
           strcmp(in[x->unit].block, in[y->unit].block) == 0;
}

static LevelClass *class_for(Micro *m, const Plan *p, const FlatGroup *g)
{
    for (int k = 0; k < m->n_level; k++)
        if (alike(p, &p->group.v[m->level[k].group.v[0]], g))
            return &m->level[k];
    return &m->level[m->n_level++];
}

void search_levels(Search *s, Micro *m, const Plan *p)
{
    m->level = arena_array(m->a, LevelClass, p->group.n + 1);
    for (int k = 0; k < p->group.n && s->levels; k++) {
        const FlatGroup *g = &p->group.v[k];
        if (!is_chosen(p, g))
            continue;
        LevelClass *c = class_for(m, p, g);
        vec_push(m->a, &c->group, k);
    }
    for (int k = 0; k < m->n_level; k++) {
        LevelClass *c = &m->level[k];
        const FlatGroup *g = &p->group.v[c->group.v[0]];
        for (int i = 0; i < N_LEVELS; i++) {
            Level l = (Level)i;
            bool may = g->optimizer >= 0 || l == LEVEL_0 || level_shards_params(l);
            c->bytes[i] = may ? level_bytes(p, g, l) : -1;
            c->ps[i] = level_ps(p, g, l);
            c->open_ps[i] = level_open_ps(p, g, l);
        }
    }
}

/* The lighter level at even distances, so that what has to be gathered has time to arrive. */
const Level *search_take_levels(Arena *a, const Micro *m, const MixChoice *x, Level other, int n)
{
    Level *level = arena_array(a, Level, n);
    for (int k = 0; k < n; k++)
        level[k] = other;
    for (int k = 0; k < m->n_level; k++) {
        const LevelClass *c = &m->level[k];
        int64_t count = c->group.n, light = x[k].n_light;
        for (int i = 0; i < count; i++) {
            bool is_light = (i + 1) * light / count > i * light / count;
            level[c->group.v[i]] = c->level[is_light ? x[k].light : x[k].heavy];
        }
    }
    return level;
}

/* ---- mixed with what is kept ---- */

/* The fewest bytes first; who takes more memory takes less time. */
static void add_point(LevelClass *c, Level l, int64_t ps)
{
    int k = 0;
    while (k < c->n && c->point[k].bytes <= c->bytes[l]) {
        if (c->point[k].ps <= ps)
            return;
        k++;
    }
    int over = k;
    while (over < c->n && c->point[over].ps >= ps)
        over++;
    int rest = c->n - over;
    memmove(&c->point[k + 1], &c->point[over], (size_t)rest * sizeof *c->point);
    memmove(&c->level[k + 1], &c->level[over], (size_t)rest * sizeof *c->level);
    c->point[k] = (FrontierPoint){.bytes = c->bytes[l], .ps = ps};
    c->level[k] = l;
    c->n = k + 1 + rest;
}

/* Levels' time for one round: as much of it as is exposed in the plan that has the most. */
static void weigh(const Micro *m, LevelClass *c, const Result *base)
{
    /* of levels that cost the same the one that shards most */
    static const Level order[] = {LEVEL_3, LEVEL_2, LEVEL_1, LEVEL_ONCE, LEVEL_0};
    __extension__ typedef __int128 Wide;
    int64_t ppm = (int64_t)((Wide)base->exposed_ps * MILLION / max64(base->comm_ps, 1));
    c->n = 0;
    for (int k = 0; k < countof(order); k++) {
        Level l = order[k];
        Wide ps = (Wide)c->ps[l] * min64(ppm, MILLION) / MILLION + c->open_ps[l];
        if (c->bytes[l] >= 0)
            add_point(c, l, (int64_t)(ps / m->rounds));
    }
}

static Blend with_levels(const Micro *m, const Result *base)
{
    int n = 0;
    MixClass *c = arena_array(m->a, MixClass, m->n + m->n_level + 1);
    Blend b = {.c = c, .base = base, .base_bytes = m->kept_bytes};
    for (; n < m->n; n++)
        c[n] = m->mix[n];
    for (int k = 0; k < m->n_level; k++) {
        LevelClass *x = &m->level[k];
        weigh(m, x, base);
        c[n++] = (MixClass){.count = x->group.n, .point = x->point, .n = x->n};
        b.base_bytes += x->point[0].bytes * x->group.n;
    }
    b.n = n;
    return b;
}

static int64_t heaviest(const Blend *b)
{
    int64_t all = 0;
    for (int k = 0; k < b->n; k++)
        all += b->c[k].n ? b->c[k].point[b->c[k].n - 1].bytes * b->c[k].count : 0;
    return all;
}

const Result *search_level_mix(Search *s, Micro *m, const Result *best)
{
    Choice c = {.micro_batch = m->samples, .level = LEVEL_3, .recompute = RECOMPUTE_ALL, .lead = 1};
    if (!m->n_level)
        return best;
    const Result *base = search_try(s, &c);
    best = search_faster(best, base);
    if (!base->fits || base->exposed_ps <= best->step_ps / (4 * NEARLY))
        return best;
    Blend b = with_levels(m, base);
    bool plenty = heaviest(&b) - b.base_bytes <= s->q->memory - base->taken_bytes;
    if (plenty || search_mix_ps(s, m, &b) > best->step_ps + best->step_ps / NEARLY)
        return best;
    return search_mix(s, m, &b, best);
}
