/* interp_attention.c - attention and its gradient, with the score matrix of one head in memory. */
#include "tests/interp/interp.h"

#include <math.h>

typedef struct Head {
    const Interp *it;
    const Node *n;
    const Node *mask, *bias;
    int s, h, kv;
    int64_t tq, tk, d, dv;        /* lengths; widths of one head */
    int64_t q_row, kv_row, v_row; /* elements of a row of q, k, v */
    const double *q, *k, *v;      /* at this head's first column */
    double *p;                    /* [tq, tk]: probabilities before dropout */
    double *keep;                 /* [tq, tk]: 0 or 1 / (1 - dropout) */
    double *lse;                  /* [tq] */
} Head;

static Head head_of(const Interp *it, const Node *n, int extra, int s, int h)
{
    int heads = n->attr.attention.heads, kv_heads = n->attr.attention.kv_heads;
    Head x = {.it = it, .n = n, .s = s, .h = h, .kv = h / (heads / kv_heads)};
    if (n->attr.attention.has_mask)
        x.mask = n->in[extra];
    if (n->attr.attention.has_bias)
        x.bias = n->in[extra + n->attr.attention.has_mask];
    x.q_row = n->in[0]->type.dim[1];
    x.kv_row = n->in[1]->type.dim[1];
    x.v_row = n->in[2]->type.dim[1];
    x.tq = n->in[0]->type.dim[0];
    x.tk = n->in[1]->type.dim[0];
    x.d = x.q_row / heads;
    x.dv = x.v_row / kv_heads;
    x.q = interp_at(it, n->in[0], s) + h * x.d;
    x.k = interp_at(it, n->in[1], s) + x.kv * x.d;
    x.v = interp_at(it, n->in[2], s) + x.kv * x.dv;
    x.p = arena_array(it->arena, double, x.tq *x.tk);
    x.keep = arena_array(it->arena, double, x.tq *x.tk);
    x.lse = arena_array(it->arena, double, x.tq);
    return x;
}

/* The value of a mask or bias, which broadcasts to [heads, tq, tk]. */
static double extra_at(const Head *x, const Node *e, int64_t i, int64_t j)
{
    int64_t at[3] = {x->h, i, j}, flat = 0;
    for (int a = 0; a < e->type.ndim; a++) {
        int64_t own = e->type.dim[a] == 1 ? 0 : at[3 - e->type.ndim + a];
        flat = flat * e->type.dim[a] + own;
    }
    return interp_at(x->it, e, x->s)[flat];
}

static bool sees(const Head *x, int64_t i, int64_t j)
{
    int64_t window = x->n->attr.attention.window;
    if (x->n->attr.attention.causal && j > i)
        return false;
    if (window && j <= i - window)
        return false;
    return !x->mask || extra_at(x, x->mask, i, j) != 0;
}

static double score(const Head *x, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t c = 0; c < x->d; c++)
        sum += x->q[i * x->q_row + c] * x->k[j * x->kv_row + c];
    sum *= x->n->attr.attention.scale;
    return x->bias ? sum + extra_at(x, x->bias, i, j) : sum;
}

static double kept(const Head *x, int64_t i, int64_t j)
{
    double drop = x->n->attr.attention.dropout;
    if (drop == 0)
        return 1;
    double u = x->it->random(x->it->ctx, x->n->attr.attention.site, true, x->it->sample0 + x->s,
                             (x->h * x->tq + i) * x->tk + j);
    return u >= drop ? 1 / (1 - drop) : 0;
}

static void probabilities(Head *x)
{
    for (int64_t i = 0; i < x->tq; i++) {
        double top = -INFINITY, sum = 0, *p = x->p + i * x->tk;
        for (int64_t j = 0; j < x->tk; j++) {
            p[j] = sees(x, i, j) ? score(x, i, j) : -INFINITY;
            top = p[j] > top ? p[j] : top;
            x->keep[i * x->tk + j] = kept(x, i, j);
        }
        for (int64_t j = 0; j < x->tk; j++)
            sum += p[j] = isinf(p[j]) ? 0 : exp(p[j] - top);
        for (int64_t j = 0; j < x->tk; j++)
            p[j] = sum > 0 ? p[j] / sum : 0;
        x->lse[i] = sum > 0 ? top + log(sum) : -INFINITY;
    }
}

void interp_attention(Interp *it, const Node *n)
{
    int heads = n->attr.attention.heads;
    for (int s = 0; s < (n->type.batched ? it->batch : 1); s++)
        for (int h = 0; h < heads; h++) {
            Head x = head_of(it, n, 3, s, h);
            probabilities(&x);
            double *out = interp_at(it, n, s) + h * x.dv;
            double *lse = interp_part(it, n, 1) + (s * heads + h) * x.tq;
            for (int64_t i = 0; i < x.tq; i++) {
                lse[i] = x.lse[i];
                for (int64_t j = 0; j < x.tk; j++)
                    for (int64_t c = 0; c < x.dv; c++)
                        out[i * x.dv * heads + c] +=
                            x.p[i * x.tk + j] * x.keep[i * x.tk + j] * x.v[j * x.v_row + c];
            }
        }
}

/* From the definition: d score = p (dp - sum of p dp), dp = keep (dout . v). Nothing is taken from
 * the forward's results, so that a wrong use of them shows. */
static void head_grad(Head *x, const double *dout, double *dq, double *dk, double *dv,
                      double *dbias)
{
    int64_t row = x->dv * x->n->attr.attention.heads;
    double scale = x->n->attr.attention.scale;
    for (int64_t i = 0; i < x->tq; i++) {
        double total = 0, *p = x->p + i * x->tk, *keep = x->keep + i * x->tk;
        double *dp = arena_array(x->it->arena, double, x->tk);
        for (int64_t j = 0; j < x->tk; j++) {
            for (int64_t c = 0; c < x->dv; c++) {
                dp[j] += keep[j] * dout[i * row + c] * x->v[j * x->v_row + c];
                dv[j * x->v_row + c] += keep[j] * p[j] * dout[i * row + c];
            }
            total += p[j] * dp[j];
        }
        for (int64_t j = 0; j < x->tk; j++) {
            double ds = p[j] * (dp[j] - total);
            if (dbias)
                dbias[i * x->tk + j] = ds;
            for (int64_t c = 0; c < x->d; c++) {
                dq[i * x->q_row + c] += scale * ds * x->k[j * x->kv_row + c];
                dk[j * x->kv_row + c] += scale * ds * x->q[i * x->q_row + c];
            }
        }
    }
}

void interp_attention_grad(Interp *it, const Node *n)
{
    int heads = n->attr.attention.heads;
    bool has_bias = n->attr.attention.has_bias;
    int64_t n_k = type_count(&n->in[1]->type), n_v = type_count(&n->in[2]->type);
    for (int s = 0; s < (n->type.batched ? it->batch : 1); s++)
        for (int h = 0; h < heads; h++) {
            Head x = head_of(it, n, 6, s, h);
            probabilities(&x);
            double *bias = has_bias ? interp_part(it, n, 3) + (s * heads + h) * x.tq * x.tk : NULL;
            head_grad(&x, interp_at(it, n->in[5], s) + h * x.dv, interp_at(it, n, s) + h * x.d,
                      interp_part(it, n, 1) + s * n_k + x.kv * x.d,
                      interp_part(it, n, 2) + s * n_v + x.kv * x.dv, bias);
        }
}
