/* kinds.h - the kinds of mutation: what is changed, and which checks may say so. */
#ifndef BM_TESTS_KINDS_H
#define BM_TESTS_KINDS_H

#include "tests/mutate/kinds_streams.h"

typedef enum Refresh { /* what is made right again after the change, beyond the hash */
                       REFRESH_TIMES = 1, /* predicted times */
                       REFRESH_BYTES = 2, /* peak and arena */
                       REFRESH_WAITS = 4,
                       REFRESH_ALL = 7,
                       REFRESH_NONE = 0,
} Refresh;

typedef struct Kind {
    const char *name;
    const char *proper; /* one of these checks must be told */
    int refresh;
    bool lie;                 /* about the plan: nothing else happens when it runs */
    bool (*apply)(Mutant *m); /* false: nothing to change in this plan */
} Kind;

/* ---- memory ---- */

/* A buffer that lives before another one ends takes its place. */
static bool release_early(Mutant *m)
{
    Plan *p = m->p;
    int at = mutant_roll(m, p->buffer.n);
    for (int i = 0; i < p->buffer.n; i++) {
        Buffer *x = &p->buffer.v[(at + i) % p->buffer.n];
        if (x->persistent || x->first == x->last || x->batched)
            continue;
        int other = mutant_roll(m, p->buffer.n);
        for (int k = 0; k < p->buffer.n; k++) {
            Buffer *y = &p->buffer.v[(other + k) % p->buffer.n];
            if (y->persistent || y->first <= x->first || y->first > x->last ||
                y->bytes > x->bytes || y->program != x->program)
                continue;
            x->last = y->first - 1;
            y->offset = x->offset;
            return true;
        }
    }
    return false;
}

static Buffer *a_temp(Mutant *m)
{
    int at = mutant_roll(m, m->p->buffer.n);
    for (int i = 0; i < m->p->buffer.n; i++) {
        Buffer *b = &m->p->buffer.v[(at + i) % m->p->buffer.n];
        if (!b->persistent && b->first < b->last)
            return b;
    }
    return NULL;
}

static bool shift_offset(Mutant *m)
{
    Buffer *b = a_temp(m);
    if (b)
        b->offset += ARENA_ALIGN * (1 + mutant_roll(m, 4)) * (mutant_roll(m, 2) ? 1 : -1);
    return b && b->offset >= 0;
}

static bool swap_buffers(Mutant *m)
{
    Buffer *x = a_temp(m);
    for (int i = 0; x && i < m->p->buffer.n; i++) {
        Buffer *y = &m->p->buffer.v[(x->id + 1 + i) % m->p->buffer.n];
        if (y->persistent || y->last < x->first || x->last < y->first || y->bytes == x->bytes ||
            y->bytes <= 64)
            continue;
        int64_t o = x->offset;
        x->offset = y->offset;
        y->offset = o;
        return true;
    }
    return false;
}

static bool lie_peak(Mutant *m)
{
    int by = mutant_roll(m, 2) ? 1 : -1;
    int64_t *const number[] = {&m->p->max_live_bytes, &m->p->arena_bytes, &m->p->persistent_bytes,
                               &m->p->host_bytes};
    int k = mutant_roll(m, 4);
    *number[k] += k == 3 ? 1 : by;
    return true;
}

/* ---- sums ---- */

static bool is_zero(const Plan *p, const Step *s)
{
    (void)p;
    return s->kernel->kind == K_ZERO;
}
static bool zero_before_reduce(const Plan *p, const Step *s)
{
    return is_zero(p, s) && p->ranks > 1;
}
static bool drop_zero(Mutant *m)
{
    return drop_of(m, zero_before_reduce);
}
static bool shrink_gap(Mutant *m)
{
    int i = mutant_pick(m, is_zero);
    if (i < 0)
        return false;
    Kernel *k = mutant_kernel(m, &m->p->step.v[i]);
    Gap *g = mutant_dup(m->a, k->gap, k->n_gap, sizeof *g);
    Gap *x = &g[mutant_roll(m, k->n_gap)];
    if (mutant_roll(m, 2))
        x->at--, x->count++; /* takes a parameter's last element */
    else if (x->count > 1)
        x->count--;
    else
        x->at++;
    k->gap = g;
    return x->at >= 0;
}

static bool is_sum_squares(const Plan *p, const Step *s)
{
    (void)p;
    return s->kernel->kind == K_SUM_SQUARES;
}
static bool norm_never(Mutant *m)
{
    return drop_of(m, is_sum_squares);
}
static bool norm_twice(Mutant *m)
{
    int i = mutant_pick(m, is_sum_squares), k = mutant_pick(m, is_sum_squares);
    if (i < 0 || i == k)
        return false;
    m->p->step.v[i].arg[0] = m->p->step.v[k].arg[0];
    return true;
}
static bool is_norm(const Plan *p, const Step *s)
{
    (void)p;
    return s->kernel->kind == K_NORM;
}
static bool norm_grains(Mutant *m)
{
    int i = mutant_pick(m, is_norm);
    if (i < 0)
        return false;
    Kernel *k = mutant_kernel(m, &m->p->step.v[i]);
    k->group_grains[mutant_roll(m, (int)k->tpl.rows)] += mutant_roll(m, 2) ? 1 : -1;
    return true;
}

static bool adds_grads(const Plan *p, const Step *s)
{
    const Kernel *k = s->kernel;
    int last = k->n_arg - 1;
    bool adds = k->gemm.accumulates || k->tpl.accumulates;
    return adds && s->program == PROGRAM_TRAIN && s->phase == PHASE_ROUND && k->arg_written[last] &&
           role_of(p, s, last) == ROLE_GRAD && p->buffer.v[s->arg[last].buffer].group >= 0 &&
           k->kind != K_FUSED;
}
static bool adds_over_rounds(const Plan *p, const Step *s)
{
    return adds_grads(p, s) && !s->anew && p->rounds > 1;
}
static bool drop_sum(Mutant *m)
{
    return drop_of(m, adds_grads);
}
static bool overwrite_sum(Mutant *m)
{
    int i = mutant_pick(m, adds_over_rounds);
    if (i < 0)
        return false;
    Kernel *k = mutant_kernel(m, &m->p->step.v[i]);
    k->gemm.accumulates = k->tpl.accumulates = false;
    return true;
}
/* A sum that is made beside another one is never added to it. */
static bool completes_sum(const Plan *p, const Step *s)
{
    return s->kernel->kind == K_FUSED && s->program == PROGRAM_TRAIN && s->phase == PHASE_ROUND &&
           s->kernel->n_arg == 2 && s->kernel->arg_written[0] && role_of(p, s, 0) == ROLE_GRAD &&
           p->buffer.v[s->arg[0].buffer].group >= 0 && role_of(p, s, 1) == ROLE_GRAD;
}
static bool drop_beside(Mutant *m)
{
    return drop_of(m, completes_sum);
}
static bool is_anew(const Plan *p, const Step *s)
{
    return s->anew && p->rounds > 1;
}
static bool drop_anew(Mutant *m)
{
    int i = mutant_pick(m, is_anew);
    if (i < 0)
        return false;
    m->p->step.v[i].anew = false;
    return true;
}

/* ---- update ---- */

static bool updates_part(const Plan *p, const Step *s)
{
    for (int k = 0; k < s->kernel->n_arg; k++)
        if (s->phase == PHASE_UPDATE && s->stream == STREAM_COMPUTE && s->arg[k].by_rank &&
            s->kernel->arg_written[k] && role_of(p, s, k) == ROLE_PARAM)
            return true;
    return false;
}
static bool update_first_part(Mutant *m)
{
    int i = mutant_pick(m, updates_part);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    for (int k = 0; k < s->kernel->n_arg; k++)
        if (s->kernel->arg_written[k])
            s->arg[k].by_rank = 0;
    return true;
}
static bool reads_part(const Plan *p, const Step *s)
{
    for (int k = 0; k < s->kernel->n_arg; k++)
        if (s->stream == STREAM_COMPUTE && s->arg[k].by_rank && !s->kernel->arg_written[k] &&
            role_of(p, s, k) == ROLE_GRAD)
            return true;
    return false;
}
static bool read_first_part(Mutant *m)
{
    int i = mutant_pick(m, reads_part);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    for (int k = 0; k < s->kernel->n_arg; k++)
        if (role_of(m->p, s, k) == ROLE_GRAD)
            s->arg[k].by_rank = 0;
    return true;
}
static bool is_update(const Plan *p, const Step *s)
{
    (void)p;
    return s->phase == PHASE_UPDATE && s->stream == STREAM_COMPUTE && s->group >= 0;
}
/* Gradients, parameters or state of a group as long as its own. */
static bool other_group(Mutant *m)
{
    int i = mutant_pick(m, is_update);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    int at = mutant_roll(m, s->kernel->n_arg);
    for (int n = 0; n < s->kernel->n_arg; n++, at = (at + 1) % s->kernel->n_arg) {
        const Buffer *x = &m->p->buffer.v[s->arg[at].buffer];
        for (int k = 0; k < m->p->buffer.n && x->group >= 0; k++) {
            const Buffer *y = &m->p->buffer.v[k];
            if (y->group < 0 || y->group == x->group || y->bytes != x->bytes ||
                y->role != x->role || y->host != x->host || y->sharded != x->sharded)
                continue;
            s->arg[at].buffer = k;
            return true;
        }
    }
    return false;
}
static bool drop_update(Mutant *m)
{
    return drop_of(m, is_update);
}
static bool double_update(Mutant *m)
{
    int i = mutant_pick(m, is_update);
    if (i >= 0)
        mutant_double(m, i);
    return i >= 0;
}
static bool other_layout(Mutant *m)
{
    FlatGroup *g = &m->p->group.v[mutant_roll(m, m->p->group.n)];
    switch (mutant_roll(m, 3)) {
    case 0:
        g->shard += mutant_roll(m, 2) ? NORM_GRAIN : -NORM_GRAIN;
        return true;
    case 1:
        g->used -= NORM_GRAIN;
        return true;
    default:
        g->at = mutant_dup(m->a, g->at, g->n, sizeof *g->at);
        g->at[g->n - 1] -= 16;
        return g->n > 1;
    }
}

/* ---- computed again ---- */

static bool draws_again(const Plan *p, const Step *s)
{
    (void)p;
    if (!s->backward && !s->recompute)
        return false;
    if ((s->kernel->kind == K_ATTENTION || s->kernel->kind == K_ATTENTION_GRAD))
        return s->kernel->uses_draw;
    for (int i = 0; i < s->kernel->fused.ins.n; i++)
        if (s->kernel->fused.ins.v[i].kind == I_RANDOM)
            return true;
    return false;
}
static bool other_key(Mutant *m)
{
    int i = mutant_pick(m, draws_again);
    if (i < 0)
        return false;
    Kernel *k = mutant_kernel(m, &m->p->step.v[i]);
    k->tpl.key ^= 1;
    for (int j = 0; j < k->fused.ins.n; j++)
        if (k->fused.ins.v[j].kind == I_RANDOM)
            k->fused.ins.v[j].key ^= 1;
    return true;
}

static bool is_again(const Plan *p, const Step *s)
{
    (void)p;
    return s->recompute && s->stream == STREAM_COMPUTE;
}
/* Another value of the same size, there at that time. */
static bool other_value(Mutant *m)
{
    int i = mutant_pick(m, is_again);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    for (int k = 0; k < s->kernel->n_arg; k++) {
        Buffer *x = &m->p->buffer.v[s->arg[k].buffer];
        if (s->kernel->arg_written[k] || !x->batched)
            continue;
        int at = mutant_roll(m, m->p->buffer.n);
        for (int j = 0; j < m->p->buffer.n; j++) {
            Buffer *y = &m->p->buffer.v[(at + j) % m->p->buffer.n];
            if (y == x || y->bytes != x->bytes || !y->batched || y->dtype != x->dtype ||
                y->first >= i || y->last < i || y->region || y->program != x->program)
                continue;
            s->arg[k].buffer = y->id;
            return true;
        }
    }
    return false;
}

/* ---- claims ---- */

static bool lie_step(Mutant *m)
{
    m->p->step_ps += mutant_roll(m, 2) ? 1 : -1;
    return true;
}
static bool lie_exposed(Mutant *m)
{
    m->p->exposed_ps += mutant_roll(m, 2) ? 1 : -1;
    return true;
}
static bool lie_bound(Mutant *m)
{
    m->p->bounds.lower_ps += 1;
    return true;
}
static bool lie_hash(Mutant *m)
{
    m->p->hash ^= UINT64_C(1) << mutant_roll(m, 64);
    return true;
}

/* ---- order ---- */

/* A kernel goes in front of the one that makes what it reads, or changes it in place. */
static bool reader_first(Mutant *m)
{
    int i = mutant_roll(m, m->p->step.n);
    for (int n = 0; n < m->p->step.n; n++, i = (i + 1) % m->p->step.n) {
        const Step *s = &m->p->step.v[i];
        const Step *w = i ? s - 1 : s;
        if (s->region || w->region || w->phase != s->phase || w->program != s->program)
            continue;
        for (int k = 0; k < w->kernel->n_arg && w != s; k++)
            if (w->kernel->arg_written[k] && reads(s, w->arg[k].buffer)) {
                mutant_move(m, i, i - 1);
                return true;
            }
    }
    return false;
}

static const Kind kinds[] = {
    {"drop a wait", "V14 V11 V07 V03", REFRESH_TIMES, false, drop_wait},
    {"wait for an earlier step", "V14 V11 V07 V03", REFRESH_TIMES, false, earlier_wait},
    {"wait for itself or later", "V06", REFRESH_NONE, false, late_wait},
    {"swap two collectives", "V02 V03 V07 V08 V10 V11 V21", REFRESH_ALL, false, swap_collectives},
    {"drop a gather", "V03", REFRESH_ALL, false, drop_gather},
    {"drop a gather of what was updated", "V10", REFRESH_ALL, false, drop_updated},
    {"drop the gather of grains", "V22", REFRESH_ALL, false, drop_grains},
    {"gather from another group", "V03 V07", REFRESH_ALL, false, wrong_group},
    {"gather after the first use", "V03", REFRESH_ALL, false, gather_late},
    {"gather before the update", "V10", REFRESH_ALL, false, gather_early},
    {"read the shard", "V03", REFRESH_ALL, false, read_shard},
    {"shrink a segment", "V07 V08 V10 V21 V22", REFRESH_ALL, false, shrink_segment},
    {"move a segment", "V07 V08 V21", REFRESH_ALL, false, move_segment},
    {"reduce in other rounds", "V02 V08 V20", REFRESH_ALL, false, reduce_when},
    {"gather in other rounds", "V02 V03 V11", REFRESH_ALL, false, gather_when},
    {"another stream", "V01 V05", REFRESH_BYTES, false, wrong_stream},
    {"another order of ranks", "V07", REFRESH_ALL, false, other_tree},
    {"staging too small", "V07", REFRESH_ALL, false, small_staging},
    {"drop a copy", "V02 V08 V09", REFRESH_ALL, false, drop_copy},
    {"copy from elsewhere", "V07", REFRESH_ALL, false, wrong_copy},
    {"copy the first rank's part", "V07", REFRESH_ALL, false, copy_first_part},
    {"update with another group's", "V09", REFRESH_ALL, false, other_group},
    {"drop a reduction", "V08 V21", REFRESH_ALL, false, drop_reduce},
    {"reduce twice", "V08", REFRESH_ALL, false, double_reduce},
    {"release early", "V07 V11", REFRESH_ALL, false, release_early},
    {"shift an offset", "V07 V11 V12 V13", REFRESH_ALL, false, shift_offset},
    {"swap two buffers", "V07 V11 V12", REFRESH_ALL, false, swap_buffers},
    {"drop a zero", "V04", REFRESH_ALL, false, drop_zero},
    {"another gap", "V04", REFRESH_ALL, false, shrink_gap},
    {"a group never in the norm", "V22", REFRESH_ALL, false, norm_never},
    {"a group twice in the norm", "V22", REFRESH_ALL, false, norm_twice},
    {"another count of grains", "V22", REFRESH_ALL, false, norm_grains},
    {"drop a gradient", "V02 V08 V20", REFRESH_ALL, false, drop_sum},
    {"overwrite a sum", "V02 V08 V20", REFRESH_ALL, false, overwrite_sum},
    {"drop a sum beside another", "V08", REFRESH_ALL, false, drop_beside},
    {"drop `anew`", "V02 V08 V20", REFRESH_ALL, false, drop_anew},
    {"update the first rank's part", "V09", REFRESH_ALL, false, update_first_part},
    {"read the first rank's part", "V04 V08 V22", REFRESH_ALL, false, read_first_part},
    {"drop an update", "V09", REFRESH_ALL, false, drop_update},
    {"update twice", "V09 V10", REFRESH_ALL, false, double_update},
    {"another layout of a group", "V04", REFRESH_ALL, true, other_layout},
    {"another random key", "V16", REFRESH_ALL, false, other_key},
    {"another value computed again", "V15", REFRESH_ALL, false, other_value},
    {"a reader before its writer", "V02 V03 V08 V10 V20 V22", REFRESH_ALL, false, reader_first},
    {"a peak off by one", "V12 V13", REFRESH_NONE, true, lie_peak},
    {"a step time off by one", "V24", REFRESH_NONE, true, lie_step},
    {"an exposed time off by one", "V24", REFRESH_NONE, true, lie_exposed},
    {"a bound off by one", "V25", REFRESH_NONE, true, lie_bound},
    {"bytes sent off by one", "V07", REFRESH_NONE, true, lie_sent},
    {"another hash", "V23", REFRESH_NONE, true, lie_hash},
};

/* Makes everything agree again but what the mutation is about. */
static inline void kind_refresh(const Kind *k, Mutant *m)
{
    if (k->refresh & REFRESH_WAITS)
        mutant_waits(m);
    if (k->refresh & REFRESH_BYTES)
        mutant_bytes(m);
    if (k->refresh & REFRESH_TIMES)
        mutant_times(m);
    if (k->apply != lie_hash)
        m->p->hash = plan_hash(m->p);
}

#endif
