/* mutant.h - a plan's copy that can be changed, and made to agree with itself again: steps
 * numbered, waits found, sums of bytes and times as they are now. So a mutation is caught for what
 * it is, not for a number it forgot. */
#ifndef BM_TESTS_MUTANT_H
#define BM_TESTS_MUTANT_H

#include "planner/comm.h"
#include "planner/simulate.h"

#include <string.h>

typedef struct Mutant {
    Arena *a;
    Plan *p;
    uint64_t seed;
    int at;         /* the step that was chosen last */
    const int *was; /* steps were moved: what each was before; NULL: they were not */
} Mutant;

static inline int mutant_roll(Mutant *m, int n)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((m->seed >> 33) % (uint64_t)n);
}

static inline void *mutant_dup(Arena *a, const void *p, int n, size_t size)
{
    void *copy = arena_calloc(a, (size_t)n + 1, size);
    if (n > 0)
        memcpy(copy, p, (size_t)n * size);
    return copy;
}

static inline Plan *mutant_copy(Arena *a, const Plan *p)
{
    Plan *q = arena_make(a, Plan);
    *q = *p;
    q->arena = a;
    q->step.v = mutant_dup(a, p->step.v, p->step.n, sizeof *p->step.v);
    q->buffer.v = mutant_dup(a, p->buffer.v, p->buffer.n, sizeof *p->buffer.v);
    q->group.v = mutant_dup(a, p->group.v, p->group.n, sizeof *p->group.v);
    q->kernel.v = mutant_dup(a, p->kernel.v, p->kernel.n, sizeof *p->kernel.v);
    q->step.cap = p->step.n;
    q->kernel.cap = p->kernel.n;
    for (int i = 0; i < p->step.n; i++)
        q->step.v[i].arg =
            mutant_dup(a, p->step.v[i].arg, p->step.v[i].kernel->n_arg, sizeof *p->step.v[i].arg);
    return q;
}

/* A kernel of its own for a step, to be changed. */
static inline Kernel *mutant_kernel(Mutant *m, Step *s)
{
    Kernel *k = mutant_dup(m->a, s->kernel, 1, sizeof *k);
    k->id = m->p->kernel.n;
    k->name = arena_printf(m->a, "%s.changed", k->name);
    k->hash ^= 0x9E3779B97F4A7C15u;
    k->fused.ins.v = mutant_dup(m->a, k->fused.ins.v, k->fused.ins.n, sizeof *k->fused.ins.v);
    if (k->n_gap)
        k->gap = mutant_dup(m->a, k->gap, k->n_gap, sizeof *k->gap);
    if (k->group_grains)
        k->group_grains =
            mutant_dup(m->a, k->group_grains, (int)k->tpl.rows, sizeof *k->group_grains);
    vec_push(m->a, &m->p->kernel, k);
    s->kernel = k;
    return k;
}

/* ---- agreeing with itself ---- */

/* order[new place] = the old step, or one that is doubled. Lifetimes follow. */
static inline void mutant_order(Mutant *m, const int *order, int n)
{
    Plan *p = m->p;
    int was = p->step.n, *lo = arena_array(m->a, int, was + 1),
        *hi = arena_array(m->a, int, was + 1);
    Step *step = arena_array(m->a, Step, n + 1);
    for (int i = 0; i < was; i++)
        lo[i] = hi[i] = -1;
    for (int i = 0; i < n; i++) {
        step[i] = p->step.v[order[i]];
        step[i].id = i;
        if (lo[order[i]] < 0)
            lo[order[i]] = i;
        hi[order[i]] = i;
    }
    for (int i = was - 1; i >= 0; i--) /* of a dropped one: what follows, what went before */
        lo[i] = lo[i] < 0 ? (i + 1 < was ? lo[i + 1] : n - 1) : lo[i];
    for (int i = 0; i < was; i++)
        hi[i] = hi[i] < 0 ? (i > 0 ? hi[i - 1] : 0) : hi[i];
    for (int i = 0; i < p->buffer.n; i++) {
        Buffer *b = &p->buffer.v[i];
        int first = lo[b->first], last = hi[b->last];
        b->first = b->persistent ? 0 : first < last ? first : last;
        b->last = b->persistent ? n - 1 : first < last ? last : first;
    }
    p->step.v = step;
    p->step.n = p->step.cap = n;
    for (int g = 0; g < N_PROGRAMS; g++)
        for (int f = 0; f < N_PHASES; f++)
            p->program[g].count[f] = 0;
    for (int i = n - 1; i >= 0; i--) {
        p->program[step[i].program].first[step[i].phase] = i;
        p->program[step[i].program].count[step[i].phase]++;
    }
}

/* A buffer lives as long as it is used, at least. */
static inline void mutant_live(Mutant *m)
{
    for (int i = 0; i < m->p->step.n; i++) {
        const Step *s = &m->p->step.v[i];
        for (int k = 0; k < s->kernel->n_arg; k++) {
            Buffer *b = &m->p->buffer.v[s->arg[k].buffer];
            b->first = i < b->first ? i : b->first;
            b->last = i > b->last ? i : b->last;
        }
    }
}

static inline void mutant_waits(Mutant *m)
{
    for (int i = 0; i < m->p->step.n; i++)
        for (int k = 0; k < N_STREAMS; k++)
            m->p->step.v[i].wait[k] = -1;
    waits_find(m->p);
}

static inline void mutant_bytes(Mutant *m)
{
    Plan *p = m->p;
    int64_t *change = arena_array(m->a, int64_t, p->step.n + 2), live = 0;
    p->max_live_bytes = 0;
    p->max_live_step = 0;
    p->arena_bytes = p->persistent_bytes;
    for (int i = 0; i < p->buffer.n; i++) {
        const Buffer *b = &p->buffer.v[i];
        if (b->persistent || b->host)
            continue;
        change[b->first] += round_up(b->bytes, ARENA_ALIGN);
        change[b->last + 1] -= round_up(b->bytes, ARENA_ALIGN);
        p->arena_bytes = max64(p->arena_bytes, b->offset + round_up(b->bytes, ARENA_ALIGN));
    }
    for (int i = 0; i < p->step.n; i++) {
        live += change[i];
        if (live > p->max_live_bytes) {
            p->max_live_bytes = live;
            p->max_live_step = i;
        }
    }
}

static inline void mutant_times(Mutant *m)
{
    Timeline t = simulate(m->a, m->p->machine, m->p, PROGRAM_TRAIN);
    m->p->step_ps = t.step_ps;
    m->p->exposed_ps = t.exposed_ps;
}

/* ---- steps dropped, doubled, moved ---- */

static inline void mutant_drop(Mutant *m, int step)
{
    int *order = arena_array(m->a, int, m->p->step.n + 1), n = 0;
    for (int i = 0; i < m->p->step.n; i++)
        if (i != step)
            order[n++] = i;
    mutant_order(m, order, n);
}

static inline void mutant_double(Mutant *m, int step)
{
    int *order = arena_array(m->a, int, m->p->step.n + 2), n = 0;
    for (int i = 0; i < m->p->step.n; i++) {
        order[n++] = i;
        if (i == step)
            order[n++] = i;
    }
    mutant_order(m, order, n);
    mutant_live(m);
}

/* To the place of step `to`, which goes on by one. */
static inline void mutant_move(Mutant *m, int step, int to)
{
    int *order = arena_array(m->a, int, m->p->step.n + 1), n = 0;
    for (int i = 0; i < m->p->step.n; i++) {
        if (i == to && to < step)
            order[n++] = step;
        if (i != step)
            order[n++] = i;
        if (i == to && to > step)
            order[n++] = step;
    }
    mutant_order(m, order, n);
    mutant_live(m);
    m->was = order;
}

/* ---- choosing ---- */

typedef bool MutantPick(const Plan *p, const Step *s);

/* One of the steps that fit; -1: none does. */
static inline int mutant_pick(Mutant *m, MutantPick *fits)
{
    int n = 0;
    for (int i = 0; i < m->p->step.n; i++)
        n += fits(m->p, &m->p->step.v[i]);
    int k = n ? mutant_roll(m, n) : -1;
    for (int i = 0; i < m->p->step.n && k >= 0; i++)
        if (fits(m->p, &m->p->step.v[i]) && k-- == 0)
            return m->at = i;
    return -1;
}

static inline BufferRole role_of(const Plan *p, const Step *s, int arg)
{
    return p->buffer.v[s->arg[arg].buffer].role;
}

#endif
