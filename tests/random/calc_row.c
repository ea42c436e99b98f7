/* calc_row.c - reductions, ops along a line, sums over the batch. */
#include "tests/random/calc.h"

#include <math.h>

/* ---- sums: n summands, each through at most `deep` additions ---- */

/* 256 lanes, then 8 levels; short rows have one column a lane. */
static double row_depth(int64_t n)
{
    double lanes = (double)((n + 255) / 256 - 1) + 8;
    return n <= 1 ? 0 : fmin((double)(n - 1), lanes);
}

static double depth_of(const Type *x, uint32_t axes)
{
    double deep = 0;
    for (int i = 0; i < x->ndim; i++)
        if (axes >> i & 1)
            deep += row_depth(x->dim[i]);
    return deep;
}

/* SUM and BATCH_SUM: result elements have size 1 where x is reduced. */
static void sum(Calc *c, const Node *n)
{
    const Node *x = n->in[0];
    int64_t count = type_count(&x->type), results = type_count(&n->type);
    double deep = depth_of(&x->type, n->attr.reduce.axes);
    if (n->op == OP_BATCH_SUM)
        deep = (double)(count / results) * c->batch - 1;
    if (n->type.dtype == DT_INT)
        deep = 0;
    double *size = arena_array(c->arena, double, calc_count(c, n));
    for (int64_t s = 0; s < (x->type.batched ? c->batch : 1); s++)
        for (int64_t e = 0; e < count; e++) {
            int64_t to = calc_source(&x->type, &n->type, e);
            num_add(&calc_at(c, n, s)[to], 1, &calc_at(c, x, s)[e]);
            size[(n->type.batched ? s * results : 0) + to] += fabs(calc_at(c, x, s)[e].v);
        }
    for (int64_t i = 0; i < calc_count(c, n); i++)
        c->value[n->id][i].e += deep * half_ulp * size[i];
}

/* The best two, by value; a tie is a kink unless both are exact. */
static void max_of(Calc *c, const Node *n)
{
    const Node *x = n->in[0];
    int64_t count = type_count(&x->type), results = type_count(&n->type);
    for (int64_t s = 0; s < (x->type.batched ? c->batch : 1); s++)
        for (int64_t r = 0; r < results; r++) {
            const Num *best = NULL, *v = calc_at(c, x, s);
            double e = 0;
            for (int64_t i = 0; i < count; i++)
                if (calc_source(&x->type, &n->type, i) == r) {
                    best = best && best->v >= v[i].v ? best : &v[i];
                    e = fmax(e, v[i].e);
                }
            for (int64_t i = 0; i < count; i++)
                if (&v[i] != best && calc_source(&x->type, &n->type, i) == r)
                    calc_near(c, best, &v[i], "largest");
            calc_at(c, n, s)[r] = *best;
            calc_at(c, n, s)[r].e = e;
        }
}

/* ---- lines: `count` elements `step` apart ---- */

typedef struct Line {
    const Num *x;
    Num *y;
    int64_t count, step;
} Line;

typedef void LineFn(Calc *c, const Node *n, Line l);

static void over_lines(Calc *c, const Node *n, uint32_t axes, LineFn *f)
{
    const Type *x = &n->in[0]->type;
    int axis = __builtin_ctz(axes);
    int64_t step = 1, count = x->dim[axis], out = n->type.dim[axis];
    for (int i = axis + 1; i < x->ndim; i++)
        step *= x->dim[i];
    for (int64_t s = 0; s < (n->type.batched ? c->batch : 1); s++)
        for (int64_t i = 0; i < type_count(x) / count; i++) {
            int64_t at = i / step * count * step + i % step, to = i / step * out * step + i % step;
            f(c, n, (Line){calc_at(c, n->in[0], s) + at, calc_at(c, n, s) + to, count, step});
        }
}

static double largest(Line l)
{
    double top = l.x[0].v;
    for (int64_t i = 1; i < l.count; i++)
        top = fmax(top, l.x[i * l.step].v);
    return top;
}

/* log sum exp and, by p (or NULL), the softmax. */
static Num line_lse(Line l, double *p)
{
    double top = largest(l), total = 0, slack = row_depth(l.count) + 4;
    for (int64_t i = 0; i < l.count; i++)
        total += exp(l.x[i * l.step].v - top);
    Num y = {.v = top + log(total)};
    y.e = half_ulp * (fabs(y.v) + slack);
    for (int64_t i = 0; i < l.count; i++) {
        const Num *x = &l.x[i * l.step];
        double w = exp(x->v - top) / total;
        for (int k = 0; k < WAYS; k++)
            y.t[k] += w * x->t[k];
        y.e += w * (x->e + half_ulp * fabs(x->v - top));
        if (p)
            p[i] = w;
    }
    return y;
}

static void logsumexp(Calc *c, const Node *n, Line l)
{
    (void)c, (void)n;
    l.y[0] = line_lse(l, NULL);
}

static void softmax(Calc *c, const Node *n, Line l)
{
    (void)n;
    Mark m = arena_mark(c->arena);
    double *p = arena_array(c->arena, double, l.count);
    Num lse = line_lse(l, p);
    for (int64_t i = 0; i < l.count; i++) {
        const Num *x = &l.x[i * l.step];
        Num y = {.v = p[i], .e = p[i] * (x->e + lse.e + half_ulp * 4)};
        for (int k = 0; k < WAYS; k++)
            y.t[k] = p[i] * (x->t[k] - lse.t[k]);
        l.y[i * l.step] = y;
    }
    arena_rewind(c->arena, m);
}

static void argmax(Calc *c, const Node *n, Line l)
{
    (void)n;
    int64_t best = 0;
    for (int64_t i = 1; i < l.count; i++)
        if (l.x[i * l.step].v > l.x[best * l.step].v)
            best = i;
    for (int64_t i = 0; i < l.count; i++)
        if (i != best)
            calc_near(c, &l.x[best * l.step], &l.x[i * l.step], "argmax");
    l.y[0] = (Num){.v = (double)best};
}

static void cumsum(Calc *c, const Node *n, Line l)
{
    (void)c;
    Num total = {0};
    double size = 0;
    for (int64_t i = 0; i < l.count; i++) {
        int64_t k = n->attr.cumsum.reverse ? l.count - 1 - i : i;
        num_add(&total, 1, &l.x[k * l.step]);
        size += fabs(l.x[k * l.step].v);
        l.y[k * l.step] = total;
        if (n->type.dtype == DT_F32)
            l.y[k * l.step].e += (double)i * half_ulp * size;
    }
}

/* The k largest, the earlier of equals first; indices are part 1. */
static void top_k(Calc *c, const Node *n)
{
    const Type *x = &n->in[0]->type;
    int64_t width = x->dim[x->ndim - 1], rows = calc_count(c, n->in[0]) / width;
    int k = n->attr.top_k.k;
    for (int64_t r = 0; r < rows; r++) {
        const Num *v = c->value[n->in[0]->id] + r * width;
        Num *out = c->value[n->id] + r * k, *at = calc_part(c, n, 1) + r * k;
        bool *taken = arena_array(c->arena, bool, width);
        for (int j = 0; j < k; j++) {
            int64_t best = -1;
            for (int64_t i = 0; i < width; i++)
                if (!taken[i] && (best < 0 || v[i].v > v[best].v))
                    best = i;
            taken[best] = true;
            for (int64_t i = 0; i < width; i++)
                if (!taken[i])
                    calc_near(c, &v[best], &v[i], "top_k");
            out[j] = v[best];
            at[j] = (Num){.v = (double)best};
        }
    }
}

/* ---- over the batch ---- */

static bool any_batched(const Node *n)
{
    bool any = false;
    for (int i = 0; i < n->n_in; i++)
        any = any || n->in[i]->type.batched;
    return any;
}

static void scatter(Calc *c, const Node *n)
{
    const Node *idx = n->in[0], *dy = n->in[1];
    int64_t rows = type_count(&idx->type), width = type_count(&dy->type) / rows;
    int64_t total = rows * (any_batched(n) ? c->batch : 1);
    double *size = arena_array(c->arena, double, type_count(&n->type));
    for (int64_t s = 0; s < (any_batched(n) ? c->batch : 1); s++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < width; i++) {
                int64_t to = (int64_t)calc_at(c, idx, s)[r].v * width + i;
                num_add(&c->value[n->id][to], 1, &calc_at(c, dy, s)[r * width + i]);
                size[to] += fabs(calc_at(c, dy, s)[r * width + i].v);
            }
    for (int64_t i = 0; i < type_count(&n->type); i++)
        c->value[n->id][i].e += (double)(total - 1) * half_ulp * size[i];
}

/* Both operands broadcast; at least one has all axes of the result. */
static Type broadcast_type(const Type *a, const Type *b)
{
    Type t = a->ndim >= b->ndim ? *a : *b;
    const Type *less = a->ndim >= b->ndim ? b : a;
    for (int i = 1; i <= less->ndim; i++)
        if (t.dim[t.ndim - i] == 1)
            t.dim[t.ndim - i] = less->dim[less->ndim - i];
    return t;
}

/* Bounds of the whole are not asked here: the training graph has the sums as they run. */
static void average(Calc *c, const Node *n)
{
    const Node *x = n->in[0], *w = n->n_in > 1 ? n->in[1] : NULL;
    Type full = w ? broadcast_type(&x->type, &w->type) : x->type;
    Num num = {0};
    double den = 0;
    for (int64_t s = 0; s < (any_batched(n) ? c->batch : 1); s++)
        for (int64_t i = 0; i < type_count(&full); i++) {
            double v = w ? calc_at(c, w, s)[calc_source(&full, &w->type, i)].v : 1;
            num_add(&num, v, &calc_at(c, x, s)[calc_source(&full, &x->type, i)]);
            den += v;
        }
    if (c->strict && den != 0 && fabs(den) < 1e-2)
        calc_flaw(c, "little weight");
    if (den != 0)
        num_add(&c->value[n->id][0], 1 / den, &num);
}

static void sum_squares(Calc *c, const Node *n)
{
    Num *y = c->value[n->id];
    int64_t count = 0;
    for (int k = 0; k < n->n_in; k++) {
        int64_t size = type_count(&n->in[k]->type);
        count += size;
        for (int64_t i = 0; i < size; i++)
            num_mul_add(y, &c->value[n->in[k]->id][i], &c->value[n->in[k]->id][i]);
    }
    y->e += y->v * half_ulp * ((double)(count / 256) + 11);
}

bool calc_rows(Calc *c, const Node *n)
{
    switch (n->op) {
    case OP_SUM:
    case OP_BATCH_SUM:
        sum(c, n);
        return true;
    case OP_MAX_OF:
        max_of(c, n);
        return true;
    case OP_SOFTMAX:
        over_lines(c, n, n->attr.reduce.axes, softmax);
        return true;
    case OP_LOGSUMEXP:
        over_lines(c, n, n->attr.reduce.axes, logsumexp);
        return true;
    case OP_ARGMAX:
        over_lines(c, n, n->attr.reduce.axes, argmax);
        return true;
    case OP_CUMSUM:
        over_lines(c, n, n->attr.cumsum.axes, cumsum);
        return true;
    case OP_TOP_K:
        top_k(c, n);
        return true;
    case OP_SCATTER:
        scatter(c, n);
        return true;
    case OP_AVERAGE:
        average(c, n);
        return true;
    case OP_SUM_SQUARES:
        sum_squares(c, n);
        return true;
    default:
        return false;
    }
}
