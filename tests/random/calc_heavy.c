/* calc_heavy.c - matrix products and attention. */
#include "tests/random/calc.h"

#include "frontend/base/map.h"

#include <math.h>

/* ---- products ---- */

/* y += a b, and the size of what is added. */
static void product_add(Num *y, double *size, const Num *a, const Num *b)
{
    num_mul_add(y, a, b);
    *size += fabs(a->v * b->v);
}

static Num product(const Calc *c, const Node *n, int64_t s, int64_t e)
{
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type;
    int64_t k = a->dim[a->ndim - 1], at[BM_DIMS], ia[BM_DIMS], ib[BM_DIMS];
    int d = n->type.ndim;
    calc_unravel(&n->type, e, at);
    for (int i = 0; i < a->ndim; i++)
        ia[i] = a->dim[i] == 1 ? 0 : at[d - a->ndim + i];
    for (int i = 0; i < b->ndim; i++)
        ib[i] = b->dim[i] == 1 ? 0 : at[d - b->ndim + i];
    Num y = {0};
    double size = 0;
    for (int64_t j = 0; j < k; j++) {
        ia[a->ndim - 1] = j;
        ib[b->ndim - 2] = j;
        product_add(&y, &size, &calc_at(c, n->in[0], s)[calc_ravel(a, ia)],
                    &calc_at(c, n->in[1], s)[calc_ravel(b, ib)]);
    }
    y.e += (double)k * half_ulp * size;
    return y;
}

static void matmul(Calc *c, const Node *n)
{
    for (int64_t s = 0; s < (n->type.batched ? c->batch : 1); s++)
        for (int64_t e = 0; e < type_count(&n->type); e++)
            calc_at(c, n, s)[e] = product(c, n, s, e);
}

static void matmul_acc(Calc *c, const Node *n)
{
    const Node *a = n->in[0], *b = n->in[1];
    int64_t m = n->type.dim[0], k = n->type.dim[1], rows = type_count(&a->type) / m;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) {
            Num *y = &c->value[n->id][i * k + j];
            double size = 0;
            for (int64_t s = 0; s < c->batch; s++)
                for (int64_t r = 0; r < rows; r++)
                    product_add(y, &size, &calc_at(c, a, s)[r * m + i],
                                &calc_at(c, b, s)[r * k + j]);
            y->e += (double)(rows * c->batch) * half_ulp * size;
        }
}

/* ---- attention: one head, scores in memory ---- */

typedef struct Head {
    Calc *c;
    const Node *n, *mask, *bias;
    int64_t s, h, heads;
    int64_t tq, tk, d, dv;       /* lengths; widths of one head */
    int64_t q_row, k_row, v_row; /* elements of a row */
    const Num *q, *k, *v;        /* at the head's first column */
    double scale;
    Num *p;       /* [tq, tk]: probabilities before dropout */
    double *keep; /* [tq, tk]: 0 or 1 / (1 - dropout) */
    Num *lse;     /* [tq] */
} Head;

static Head head_of(Calc *c, const Node *n, int extra, int64_t s, int64_t h)
{
    int64_t heads = n->attr.attention.heads, kv_heads = n->attr.attention.kv_heads;
    int64_t kv = h / (heads / kv_heads);
    Head x = {.c = c, .n = n, .s = s, .h = h, .heads = heads, .scale = n->attr.attention.scale};
    if (n->attr.attention.has_mask)
        x.mask = n->in[extra];
    if (n->attr.attention.has_bias)
        x.bias = n->in[extra + n->attr.attention.has_mask];
    x.q_row = n->in[0]->type.dim[1];
    x.k_row = n->in[1]->type.dim[1];
    x.v_row = n->in[2]->type.dim[1];
    x.tq = n->in[0]->type.dim[0];
    x.tk = n->in[1]->type.dim[0];
    x.d = x.q_row / heads;
    x.dv = x.v_row / kv_heads;
    x.q = calc_at(c, n->in[0], s) + h * x.d;
    x.k = calc_at(c, n->in[1], s) + kv * x.d;
    x.v = calc_at(c, n->in[2], s) + kv * x.dv;
    x.p = arena_array(c->arena, Num, x.tq * x.tk);
    x.keep = arena_array(c->arena, double, x.tq *x.tk);
    x.lse = arena_array(c->arena, Num, x.tq);
    return x;
}

static const Num *extra_at(const Head *x, const Node *e, int64_t i, int64_t j)
{
    Type full = {.ndim = 3, .dim = {x->heads, x->tq, x->tk}};
    int64_t at[3] = {x->h, i, j};
    return &calc_at(x->c, e, x->s)[calc_source(&full, &e->type, calc_ravel(&full, at))];
}

static bool sees(const Head *x, int64_t i, int64_t j)
{
    int64_t window = x->n->attr.attention.window;
    if (x->n->attr.attention.causal && j > i)
        return false;
    if (window && j <= i - window)
        return false;
    return !x->mask || extra_at(x, x->mask, i, j)->v != 0;
}

static Num score(const Head *x, int64_t i, int64_t j)
{
    Num sum = {0}, y = {0};
    double size = 0;
    for (int64_t c = 0; c < x->d; c++)
        product_add(&sum, &size, &x->q[i * x->q_row + c], &x->k[j * x->k_row + c]);
    num_add(&y, x->scale, &sum);
    y.e += half_ulp * fabs(x->scale) * ((double)x->d + 3) * size;
    if (x->bias) {
        num_add(&y, 1, extra_at(x, x->bias, i, j));
        y.e += half_ulp * fabs(y.v);
    }
    return y;
}

static double kept(const Head *x, int64_t i, int64_t j)
{
    double drop = x->n->attr.attention.dropout;
    int64_t site = x->n->attr.attention.site;
    if (drop == 0)
        return 1;
    uint64_t key = hash_bytes(0x61747464726f70u, &site, sizeof site);
    uint32_t element = (uint32_t)((x->h * x->tq + i) * x->tk + j);
    double u = calc_draw(x->c->seed, key, element, x->n->type.batched ? x->s : 0, 0);
    if (fabs(u - drop) < 1e-6)
        calc_flaw(x->c, "a draw at the edge");
    return u >= drop ? 1 / (1 - drop) : 0;
}

/* One row: p = exp(score - lse). The float program sums in blocks and rescales: two more roundings
 * a block of keys. */
static void row(Head *x, int64_t i)
{
    Num *p = x->p + i * x->tk;
    double top = -INFINITY, total = 0, slack = (double)x->tk + 16;
    for (int64_t j = 0; j < x->tk; j++) {
        p[j] = sees(x, i, j) ? score(x, i, j) : (Num){.v = -INFINITY};
        top = fmax(top, p[j].v);
        x->keep[i * x->tk + j] = kept(x, i, j);
    }
    for (int64_t j = 0; j < x->tk; j++)
        total += isinf(p[j].v) ? 0 : exp(p[j].v - top);
    Num lse = {.v = top + log(total)};
    if (total > 0)
        lse.e = half_ulp * (slack + fabs(lse.v) + fabs(top));
    for (int64_t j = 0; j < x->tk; j++) {
        double w = isinf(p[j].v) ? 0 : exp(p[j].v - lse.v);
        lse.e += w > 0 ? w * (p[j].e + half_ulp * fabs(p[j].v - top)) : 0;
        for (int k = 0; k < WAYS; k++)
            lse.t[k] += w * p[j].t[k];
    }
    for (int64_t j = 0; j < x->tk; j++) {
        double w = isinf(p[j].v) ? 0 : exp(p[j].v - lse.v);
        Num y = {.v = w};
        if (w > 0)
            y.e = w * (p[j].e + lse.e + half_ulp * (slack + fabs(p[j].v) + fabs(lse.v)));
        for (int k = 0; k < WAYS; k++)
            y.t[k] = w * (p[j].t[k] - lse.t[k]);
        p[j] = y;
    }
    x->lse[i] = lse;
}

static void attention(Calc *c, const Node *n)
{
    int64_t heads = n->attr.attention.heads;
    for (int64_t s = 0; s < (n->type.batched ? c->batch : 1); s++)
        for (int64_t h = 0; h < heads; h++) {
            Mark m = arena_mark(c->arena);
            Head x = head_of(c, n, 3, s, h);
            Num *out = calc_at(c, n, s) + h * x.dv;
            Num *lse = calc_part(c, n, 1) + (s * heads + h) * x.tq;
            for (int64_t i = 0; i < x.tq; i++) {
                row(&x, i);
                lse[i] = x.lse[i];
                for (int64_t f = 0; f < x.dv; f++) {
                    Num *y = &out[i * x.dv * heads + f], w = {0};
                    double size = 0;
                    for (int64_t j = 0; j < x.tk; j++) {
                        w = (Num){0};
                        num_add(&w, x.keep[i * x.tk + j], &x.p[i * x.tk + j]);
                        product_add(y, &size, &w, &x.v[j * x.v_row + f]);
                    }
                    y->e += half_ulp * ((double)x.tk + 8) * size;
                }
            }
            arena_rewind(c->arena, m);
        }
}

/* Results of one head's gradient, with the sizes their roundings are relative to. */
typedef struct HeadGrad {
    Num *dq, *dk, *dv, *dbias;
    const Num *dout;
} HeadGrad;

static void scaled(Num *y, double d, const Num *x)
{
    y->v = d * x->v;
    y->e = fabs(d) * x->e;
}

/* d score = p (dp - sum of p dp), dp = keep (dout . v). */
static void grad_row(Head *x, HeadGrad *g, int64_t i)
{
    int64_t wide = x->dv * x->heads, tk = x->tk;
    Num *dp = arena_array(x->c->arena, Num, tk), total = {0};
    double total_size = 0, slack = half_ulp * ((double)tk + (double)x->dv + 8);
    for (int64_t j = 0; j < tk; j++) {
        Num dot = {0}, w = {0};
        double size = 0, keep = x->keep[i * tk + j];
        for (int64_t f = 0; f < x->dv; f++)
            product_add(&dot, &size, &g->dout[i * wide + f], &x->v[j * x->v_row + f]);
        dot.e += half_ulp * ((double)x->dv + 3) * size;
        scaled(&dp[j], keep, &dot);
        scaled(&w, keep, &x->p[i * tk + j]);
        num_mul_add(&total, &x->p[i * tk + j], &dp[j]);
        total_size += x->p[i * tk + j].v * keep * size;
        for (int64_t f = 0; f < x->dv; f++) {
            Num *y = &g->dv[j * x->v_row + f];
            num_mul_add(y, &w, &g->dout[i * wide + f]);
            y->e +=
                fabs(w.v * g->dout[i * wide + f].v) * half_ulp * ((double)(x->tq * x->heads) + 8);
        }
    }
    total.e += total_size * slack;
    for (int64_t j = 0; j < tk; j++) {
        Num diff = {.v = dp[j].v - total.v, .e = dp[j].e + total.e}, ds = {0};
        diff.e += half_ulp * fabs(diff.v);
        num_mul_add(&ds, &x->p[i * tk + j], &diff);
        ds.e += 2 * half_ulp * fabs(ds.v);
        if (g->dbias)
            g->dbias[i * tk + j] = ds;
        for (int64_t f = 0; f < x->d; f++) {
            Num *q = &g->dq[i * x->q_row + f], *k = &g->dk[j * x->k_row + f], part = {0};
            scaled(&part, x->scale, &ds);
            num_mul_add(q, &part, &x->k[j * x->k_row + f]);
            num_mul_add(k, &part, &x->q[i * x->q_row + f]);
            q->e += fabs(part.v * x->k[j * x->k_row + f].v) * half_ulp * ((double)tk + 8);
            k->e += fabs(part.v * x->q[i * x->q_row + f].v) * half_ulp *
                    ((double)(x->tq * x->heads) + 8);
        }
    }
}

static void attention_grad(Calc *c, const Node *n)
{
    int64_t heads = n->attr.attention.heads;
    bool has_bias = n->attr.attention.has_bias;
    int64_t n_k = type_count(&n->in[1]->type), n_v = type_count(&n->in[2]->type);
    for (int64_t s = 0; s < (n->type.batched ? c->batch : 1); s++)
        for (int64_t h = 0; h < heads; h++) {
            Mark m = arena_mark(c->arena);
            Head x = head_of(c, n, 6, s, h);
            int64_t kv = h / (heads / n->attr.attention.kv_heads);
            HeadGrad g = {.dq = calc_at(c, n, s) + h * x.d,
                          .dk = calc_part(c, n, 1) + s * n_k + kv * x.d,
                          .dv = calc_part(c, n, 2) + s * n_v + kv * x.dv,
                          .dout = calc_at(c, n->in[5], s) + h * x.dv};
            if (has_bias)
                g.dbias = calc_part(c, n, 3) + (s * heads + h) * x.tq * x.tk;
            for (int64_t i = 0; i < x.tq; i++) {
                row(&x, i);
                grad_row(&x, &g, i);
            }
            arena_rewind(c->arena, m);
        }
}

bool calc_heavy(Calc *c, const Node *n)
{
    switch (n->op) {
    case OP_MATMUL:
        matmul(c, n);
        return true;
    case OP_MATMUL_ACC:
        matmul_acc(c, n);
        return true;
    case OP_ATTENTION:
        attention(c, n);
        return true;
    case OP_ATTENTION_GRAD:
        attention_grad(c, n);
        return true;
    default:
        return false;
    }
}
