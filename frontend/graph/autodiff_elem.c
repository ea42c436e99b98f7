/* autodiff_elem.c - gradients of elementwise ops. Each reads its operand or its result, whichever
 * something else is likely to keep anyway; at kinks the choice is PyTorch's. */
#include "frontend/graph/autodiff.h"

#include <math.h>

static Node *num(Autodiff *ad, double v)
{
    return g_const(ad->g, DT_F32, v);
}

static Node *mul(Autodiff *ad, Node *a, Node *b)
{
    return g2(ad->g, OP_MUL, a, b);
}

static Node *sub(Autodiff *ad, Node *a, Node *b)
{
    return g2(ad->g, OP_SUB, a, b);
}

static Node *add(Autodiff *ad, Node *a, Node *b)
{
    return g2(ad->g, OP_ADD, a, b);
}

static Node *neg(Autodiff *ad, Node *a)
{
    return g1(ad->g, OP_NEG, a);
}

void grad_neg(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], neg(ad, dy));
}

void grad_abs(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, dy, g1(ad->g, OP_SIGN, n->in[0])));
}

void grad_sqrt(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], g2(ad->g, OP_DIV, dy, mul(ad, num(ad, 2), n)));
}

void grad_exp(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, dy, n));
}

void grad_log(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], g2(ad->g, OP_DIV, dy, n->in[0]));
}

void grad_sin(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, dy, g1(ad->g, OP_COS, n->in[0])));
}

void grad_cos(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], neg(ad, mul(ad, dy, g1(ad->g, OP_SIN, n->in[0]))));
}

void grad_tanh(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, dy, sub(ad, num(ad, 1), mul(ad, n, n))));
}

/* exp(c * x * x) */
static Node *bell(Autodiff *ad, Node *x, double c)
{
    return g1(ad->g, OP_EXP, mul(ad, num(ad, c), mul(ad, x, x)));
}

void grad_erf(Autodiff *ad, Node *n, Node *dy)
{
    const double two_over_sqrt_pi = 1.12837916709551257390;
    Node *d = mul(ad, num(ad, two_over_sqrt_pi), bell(ad, n->in[0], -1));
    give(ad, n->in[0], mul(ad, dy, d));
}

void grad_sigmoid(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, mul(ad, dy, sub(ad, num(ad, 1), n)), n));
}

/* Read from the result: it is 0 exactly where the operand is not above 0. NaN passes dy on. */
void grad_relu(Autodiff *ad, Node *n, Node *dy)
{
    Node *off = g2(ad->g, OP_LE, n, num(ad, 0));
    give(ad, n->in[0], g3(ad->g, OP_WHERE, off, num(ad, 0), dy));
}

/* x Phi(x), exact: Phi(x) + x phi(x). */
void grad_gelu(Autodiff *ad, Node *n, Node *dy)
{
    const double sqrt_half = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;
    Node *x = n->in[0];
    Node *e = g1(ad->g, OP_ERF, mul(ad, x, num(ad, sqrt_half)));
    Node *cdf = mul(ad, num(ad, 0.5), add(ad, num(ad, 1), e));
    Node *pdf = mul(ad, num(ad, inv_sqrt_2pi), bell(ad, x, -0.5));
    give(ad, x, mul(ad, dy, add(ad, cdf, mul(ad, x, pdf))));
}

void grad_gelu_tanh(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, dy, g1(ad->g, OP_GELU_TANH_D, n->in[0])));
}

/* x s(x): s + x s (1 - s) */
void grad_silu(Autodiff *ad, Node *n, Node *dy)
{
    Node *x = n->in[0], *s = g1(ad->g, OP_SIGMOID, x);
    Node *d = add(ad, num(ad, 1), mul(ad, x, sub(ad, num(ad, 1), s)));
    give(ad, x, mul(ad, dy, mul(ad, s, d)));
}

void grad_softplus(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], mul(ad, dy, g1(ad->g, OP_SIGMOID, n->in[0])));
}

/* 1 above 0, exp(x) = y + 1 below */
void grad_elu(Autodiff *ad, Node *n, Node *dy)
{
    Node *above = g2(ad->g, OP_LT, num(ad, 0), n);
    give(ad, n->in[0], g3(ad->g, OP_WHERE, above, dy, mul(ad, dy, add(ad, n, num(ad, 1)))));
}

void grad_cast(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], dy); /* float to float: a cast from or to another kind is never asked */
}

void grad_add(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], dy);
    give(ad, n->in[1], dy);
}

void grad_sub(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], dy);
    if (wants(ad, n->in[1]))
        give(ad, n->in[1], neg(ad, sum_to(ad->g, dy, &n->in[1]->type)));
}

void grad_mul(Autodiff *ad, Node *n, Node *dy)
{
    if (n->in[0] == n->in[1]) {
        give(ad, n->in[0], mul(ad, mul(ad, num(ad, 2), dy), n->in[0]));
        return;
    }
    for (int i = 0; i < 2; i++)
        if (wants(ad, n->in[i]))
            give(ad, n->in[i], mul(ad, dy, n->in[1 - i]));
}

void grad_div(Autodiff *ad, Node *n, Node *dy)
{
    Node *b = n->in[1];
    if (wants(ad, n->in[0]))
        give(ad, n->in[0], g2(ad->g, OP_DIV, dy, b));
    if (wants(ad, b)) { /* b is the same along what is summed: one division for all of it */
        Node *sum = sum_to(ad->g, mul(ad, dy, n), &b->type);
        give(ad, b, neg(ad, g2(ad->g, OP_DIV, sum, b)));
    }
}

/* Against a number it is clamp(): a tie passes dy whole. Between two tensors a tie is halved. */
static void grad_extreme(Autodiff *ad, Node *n, Node *dy, Op worse)
{
    for (int i = 0; i < 2; i++) {
        Node *x = n->in[i], *other = n->in[1 - i];
        if (!wants(ad, x))
            continue;
        Node *lost = worse == OP_LT ? g2(ad->g, OP_LT, x, other) : g2(ad->g, OP_LT, other, x);
        Node *d = dy;
        if (other->op != OP_CONST)
            d = g3(ad->g, OP_WHERE, g2(ad->g, OP_EQ, x, other), mul(ad, dy, num(ad, 0.5)), dy);
        give(ad, x, g3(ad->g, OP_WHERE, lost, num(ad, 0), d));
    }
}

void grad_max(Autodiff *ad, Node *n, Node *dy)
{
    grad_extreme(ad, n, dy, OP_LT);
}

void grad_min(Autodiff *ad, Node *n, Node *dy)
{
    grad_extreme(ad, n, dy, OP_LE);
}

/* da = b a^(b-1), 0 where b is 0; db = y log a, 0 where a is 0 and b is not below 0. */
void grad_pow(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *a = n->in[0], *b = n->in[1], *zero = num(ad, 0);
    if (wants(ad, a)) {
        Node *d = mul(ad, dy, mul(ad, b, g2(g, OP_POW, a, sub(ad, b, num(ad, 1)))));
        give(ad, a, g3(g, OP_WHERE, g2(g, OP_EQ, b, zero), zero, d));
    }
    if (wants(ad, b)) {
        Node *edge = g2(g, OP_AND, g2(g, OP_EQ, a, zero), g2(g, OP_LE, zero, b));
        Node *d = mul(ad, dy, mul(ad, n, g1(g, OP_LOG, a)));
        give(ad, b, g3(g, OP_WHERE, edge, zero, d));
    }
}

void grad_where(Autodiff *ad, Node *n, Node *dy)
{
    Node *c = n->in[0], *zero = num(ad, 0);
    if (wants(ad, n->in[1]))
        give(ad, n->in[1], g3(ad->g, OP_WHERE, c, dy, zero));
    if (wants(ad, n->in[2]))
        give(ad, n->in[2], g3(ad->g, OP_WHERE, c, zero, dy));
}
