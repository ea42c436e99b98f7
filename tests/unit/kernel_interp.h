/* kernel_interp.h - what a FUSED kernel means, said once more and slowly: every instruction at
 * every point, reductions in 256 lanes. Compiled kernels must give the same bits. */
#ifndef KERNEL_INTERP_H
#define KERNEL_INTERP_H

#include "planner/kernel.h"

#include <stdlib.h>

typedef float real;
#include "codegen/templates/math.h"

typedef struct Val {
    real f;
    int32_t i; /* DT_INT, DT_BOOL */
} Val;

typedef struct Draw {
    uint64_t seed;
    int64_t step, sample0;
} Draw;

typedef struct Interp {
    const Kernel *k;
    void **arg;
    const Draw *draw;
    int64_t unit, index[MAX_AXES];
    int64_t faults;
} Interp;

static inline Val load_value(DType t, const void *p, int64_t i)
{
    Val v = {0, 0};
    if (t == DT_F32)
        v.f = ((const real *)p)[i];
    else
        v.i = t == DT_INT ? ((const int32_t *)p)[i] : ((const uint8_t *)p)[i];
    return v;
}

static inline void store_value(DType t, void *p, int64_t i, Val v)
{
    if (t == DT_F32)
        ((real *)p)[i] = v.f;
    else if (t == DT_INT)
        ((int32_t *)p)[i] = v.i;
    else
        ((uint8_t *)p)[i] = (uint8_t)v.i;
}

static inline int64_t place(const Interp *x, const Access *a)
{
    int64_t p = a->offset;
    for (int k = 0; k < x->k->fused.n_axis; k++)
        p += a->stride[k] * x->index[k];
    return p;
}

/* The MAP texts once more; only what the tests use. */
static inline real elem_float(Op op, real a, real b)
{
    switch (op) {
    case OP_DIV:
        return a / b;
    case OP_EXP:
        return bm_exp(a);
    case OP_SQRT:
        return bm_sqrt(a);
    case OP_TANH:
        return bm_tanh(a);
    case OP_GELU:
        return bm_gelu(a);
    default:
        BUG("the test's interpreter has no '%s'", op_info[op].name);
    }
}

static inline Val elem(const Ins *n, const Ins *all, const Val *v)
{
    Val a = v[n->in[0]], b = n->in[1] >= 0 ? v[n->in[1]] : a, c = n->in[2] >= 0 ? v[n->in[2]] : a;
    bool ints = all[n->in[0]].dtype != DT_F32;
    Val r = {0, 0};
    switch (n->op) {
#define BOTH(OPNAME, expr)                                                                         \
    case OP_##OPNAME:                                                                              \
        if (ints) {                                                                                \
            int32_t x = a.i, y = b.i;                                                              \
            (void)y;                                                                               \
            r.i = (int32_t)(expr);                                                                 \
        } else {                                                                                   \
            real x = a.f, y = b.f;                                                                 \
            (void)y;                                                                               \
            r.f = (real)(expr);                                                                    \
        }                                                                                          \
        break;
#define COMPARE(OPNAME, op)                                                                        \
    case OP_##OPNAME:                                                                              \
        r.i = ints ? a.i op b.i : a.f op b.f;                                                      \
        break;
        BOTH(ADD, x + y)
        BOTH(SUB, x - y)
        BOTH(MUL, x * y)
        BOTH(NEG, -x)
        BOTH(MAX, x < y ? y : x)
        BOTH(MIN, x > y ? y : x)
        COMPARE(LT, <)
        COMPARE(LE, <=)
        COMPARE(EQ, ==)
        COMPARE(NE, !=)
    case OP_IDIV:
        r.i = bm_idiv(a.i, b.i);
        break;
    case OP_MOD:
        r.i = bm_imod(a.i, b.i);
        break;
    case OP_AND:
        r.i = a.i && b.i;
        break;
    case OP_OR:
        r.i = a.i || b.i;
        break;
    case OP_WHERE:
        r = a.i ? b : c;
        break;
    case OP_CAST:
        if (n->dtype == DT_F32)
            r.f = ints ? (real)a.i : a.f;
        else if (n->dtype == DT_INT)
            r.i = ints ? a.i : bm_int(a.f);
        else
            r.i = ints ? a.i != 0 : a.f != 0;
        break;
    default:
        r.f = elem_float(n->op, a.f, b.f);
    }
    return r;
}

/* A value at the current point; reductions come from `reduced`. */
static inline void eval_point(Interp *x, Val *v, const Val *reduced, const bool *done)
{
    const Fused *f = &x->k->fused;
    for (int i = 0; i < f->ins.n; i++) {
        const Ins *n = &f->ins.v[i];
        const Access *a = n->acc >= 0 ? &f->access.v[n->acc] : NULL;
        switch (n->kind) {
        case I_LOAD:
            v[i] = load_value(a->dtype, x->arg[a->arg], place(x, a));
            break;
        case I_GATHER: {
            int64_t g = v[n->in[0]].i;
            if (g < 0 || g >= n->limit) {
                x->faults++;
                g = 0;
            }
            v[i] = load_value(a->dtype, x->arg[a->arg], place(x, a) + g * n->gather);
            break;
        }
        case I_INDEX: {
            int64_t p = n->start + (n->sample ? x->draw->sample0 : 0);
            for (int k = 0; k < f->n_axis; k++)
                p += n->stride[k] * x->index[k];
            v[i].i = (int32_t)p;
            break;
        }
        case I_CONST:
            v[i].f = (real)n->value;
            v[i].i = (int32_t)n->value;
            break;
        case I_ELEM:
            v[i] = elem(n, f->ins.v, v);
            break;
        case I_RANDOM:
            v[i].f = bm_uniform(bm_key(x->draw->seed, n->key), (uint32_t)v[n->in[0]].i,
                                v[n->in[1]].i, n->per_step ? x->draw->step : 0);
            break;
        case I_REDUCE:
            if (done[i])
                v[i] = reduced[i];
            break;
        case I_STORE:
        case I_COLSUM:
            break;
        }
    }
}

static inline Val fold_lanes(const Ins *n, bool ints, Val *lane, const int32_t *at, int used)
{
    Val r = lane[0];
    if (n->op == OP_SUM && !ints) {
        for (int p = 0; p < LANES; p += 8)
            for (int w = 4; w; w /= 2)
                for (int e = 0; e < w; e++)
                    lane[p + e].f += lane[p + e + w].f;
        for (int w = LANES / 2; w >= 8; w /= 2)
            for (int p = 0; p < w; p += 8)
                lane[p].f += lane[p + w].f;
        return lane[0];
    }
    int best = 0;
    for (int l = 1; l < used; l++) {
        bool more = ints ? lane[l].i > lane[best].i : lane[l].f > lane[best].f;
        bool same = ints ? lane[l].i == lane[best].i : lane[l].f == lane[best].f;
        if (n->op == OP_SUM)
            r.i += lane[l].i;
        if (more || (same && at[l] < at[best]))
            best = l;
    }
    if (n->op == OP_MAX_OF)
        r = (Val){lane[best].f + 0, lane[best].i};
    if (n->op == OP_ARGMAX)
        r.i = at[best];
    return r;
}

static inline Val reduce_row(Interp *x, int i, Val *v, const Val *reduced, const bool *done)
{
    const Fused *f = &x->k->fused;
    const Ins *n = &f->ins.v[i];
    int64_t cols = f->n_inner ? f->extent[f->n_axis - 1] : 1;
    bool ints = f->ins.v[n->in[0]].dtype != DT_F32;
    Val lane[LANES];
    int32_t at[LANES] = {0};
    for (int l = 0; l < LANES; l++)
        lane[l] = n->op == OP_SUM ? (Val){0, 0} : (Val){-INFINITY, INT32_MIN};
    for (int64_t c = 0; c < cols; c++) {
        if (f->n_inner)
            x->index[f->n_axis - 1] = c;
        eval_point(x, v, reduced, done);
        Val y = v[n->in[0]], *l = &lane[c % LANES];
        if (c < LANES)
            at[c] = (int32_t)c;
        if (n->op == OP_SUM) {
            l->f += y.f;
            l->i += y.i;
        } else if (ints ? y.i > l->i : y.f > l->f) {
            *l = y;
            at[c % LANES] = (int32_t)c;
        }
    }
    return fold_lanes(n, ints, lane, at, (int)min64(cols, LANES));
}

/* Stores happen after all sweeps of the unit: the tests' kernels never read what they stored. */
static inline void interp_unit(Interp *x, int64_t chunk)
{
    const Fused *f = &x->k->fused;
    int n = f->ins.n;
    int64_t cols = f->n_inner ? f->extent[f->n_axis - 1] : 1, rest = x->unit;
    Val *v = calloc((size_t)n + 1, sizeof *v), *reduced = calloc((size_t)n + 1, sizeof *v);
    Val *out = calloc((size_t)(n * cols) + 1, sizeof *v);
    bool *done = calloc((size_t)n + 1, sizeof *done);
    for (int a = f->n_axis - f->n_inner - 1; a >= 0; a--) {
        x->index[a] = a ? rest % f->extent[a] : rest;
        rest /= f->extent[a];
    }
    for (int i = 0; i < n; i++)
        if (f->ins.v[i].kind == I_REDUCE) {
            reduced[i] = reduce_row(x, i, v, reduced, done);
            done[i] = true;
        }
    for (int64_t c = 0; c < cols; c++) {
        if (f->n_inner)
            x->index[f->n_axis - 1] = c;
        eval_point(x, v, reduced, done);
        for (int i = 0; i < n; i++)
            if (f->ins.v[i].kind == I_STORE || f->ins.v[i].kind == I_COLSUM)
                out[i * cols + c] = v[f->ins.v[i].in[0]];
    }
    for (int i = 0; i < n; i++) {
        const Ins *s = &f->ins.v[i];
        if (s->kind != I_STORE && s->kind != I_COLSUM)
            continue;
        const Access *a = &f->access.v[s->acc];
        bool wide = f->n_inner && a->stride[f->n_axis - 1];
        for (int64_t c = 0; c < (wide || !f->n_inner ? cols : 1); c++) {
            if (f->n_inner)
                x->index[f->n_axis - 1] = c;
            if (s->kind == I_STORE) {
                store_value(a->dtype, x->arg[a->arg], place(x, a), out[i * cols + c]);
            } else {
                int64_t p = a->offset + (wide ? chunk * cols + c : chunk);
                Val sum = load_value(a->dtype, x->arg[a->arg], p);
                sum.f += out[i * cols + c].f;
                sum.i += out[i * cols + c].i;
                store_value(a->dtype, x->arg[a->arg], p, sum);
            }
        }
    }
    free(v);
    free(reduced);
    free(out);
    free(done);
}

/* The whole kernel for nb samples; partial sums must be 0 before. Returns the index faults. */
static inline int64_t interp(const Kernel *k, void **arg, const Draw *draw, int64_t nb)
{
    Interp x = {.k = k, .arg = arg, .draw = draw};
    int64_t units = k->units * (k->batched ? nb : 1);
    for (x.unit = 0; x.unit < units; x.unit++)
        interp_unit(&x, k->fused.chunk ? x.unit / k->fused.chunk : 0);
    return x.faults;
}

#endif
