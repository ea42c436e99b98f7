/* grad_cases.h - for every op with a gradient at least one graph that uses it. test_autodiff walks
 * op_info[] and fails for a row that no case names. */
#ifndef BM_GRAD_CASES_H
#define BM_GRAD_CASES_H

#include "tests/unit/gradcheck.h"

/* ---- elementwise ---- */

static Node *unary(Check *c, Op op, Draw d)
{
    Node *a = g1(c->g, op, BATCHED(c, d, 3, 5));
    Node *b = g1(c->g, op, PLAIN(c, d, 7));
    int64_t flat[] = {7};
    return g2(c->g, OP_ADD, g_reduce(c->g, OP_SUM, a, 3), g_reshape(c->g, b, 1, flat));
}

#define UNARY(op, draw)                                                                            \
    static Node *case_##op(Check *c)                                                               \
    {                                                                                              \
        return unary(c, OP_##op, draw);                                                            \
    }
UNARY(NEG, ANY)
UNARY(ABS, ANY)
UNARY(SQRT, POSITIVE)
UNARY(EXP, ANY)
UNARY(LOG, POSITIVE)
UNARY(SIN, ANY)
UNARY(COS, ANY)
UNARY(TANH, ANY)
UNARY(ERF, ANY)
UNARY(SIGMOID, ANY)
UNARY(RELU, ANY)
UNARY(GELU, ANY)
UNARY(GELU_TANH, ANY)
UNARY(SILU, ANY)
UNARY(SOFTPLUS, ANY)
UNARY(ELU, ANY)

/* Every way two operands can broadcast: over samples, over axes, over both, neither. */
static Node *binary(Check *c, Op op, Draw a, Draw b)
{
    Node *y[4] = {g2(c->g, op, BATCHED(c, a, 2, 3), PLAIN(c, b, 3)),
                  g2(c->g, op, PLAIN(c, a, 2, 1), BATCHED(c, b, 2, 3)),
                  g2(c->g, op, BATCHED(c, a, 1, 3), BATCHED(c, b, 2, 1)),
                  g2(c->g, op, PLAIN(c, a, 1), leaf_of(c, b, false, 0, NULL, 0))};
    Node *sum = g2(c->g, OP_ADD, g2(c->g, OP_ADD, y[0], y[1]), y[2]);
    return g2(c->g, OP_ADD, sum, y[3]);
}

#define BINARY(op, a, b)                                                                           \
    static Node *case_##op(Check *c)                                                               \
    {                                                                                              \
        return binary(c, OP_##op, a, b);                                                           \
    }
BINARY(ADD, ANY, ANY)
BINARY(SUB, ANY, ANY)
BINARY(MUL, ANY, ANY)
BINARY(DIV, ANY, POSITIVE)
BINARY(MAX, DISTINCT, DISTINCT)
BINARY(MIN, DISTINCT, DISTINCT)
BINARY(POW, POSITIVE, ANY)

static Node *case_pow_number(Check *c)
{
    Node *x = BATCHED(c, ANY, 4);
    Node *y = g2(c->g, OP_POW, x, g_const(c->g, DT_F32, 3));
    Node *z = g2(c->g, OP_POW, g2(c->g, OP_MUL, x, x), g_const(c->g, DT_F32, -0.5));
    return g2(c->g, OP_ADD, g2(c->g, OP_ADD, y, z), g2(c->g, OP_POW, x, g_const(c->g, DT_F32, 2)));
}

static Node *case_clamp(Check *c)
{
    Node *x = BATCHED(c, DISTINCT, 9); /* 0.08 above multiples of 0.1 */
    x = g2(c->g, OP_MAX, x, g_const(c->g, DT_F32, -0.47));
    return g2(c->g, OP_MIN, x, g_const(c->g, DT_F32, 0.53));
}

static Node *case_where(Check *c)
{
    Node *a = g3(c->g, OP_WHERE, BATCHED(c, COIN, 2, 3), PLAIN(c, ANY, 3), BATCHED(c, ANY, 2, 1));
    Node *b = g3(c->g, OP_WHERE, PLAIN(c, COIN, 3), PLAIN(c, ANY, 2, 1), PLAIN(c, ANY, 3));
    return g2(c->g, OP_MUL, a, b);
}

static Node *case_cast(Check *c)
{
    Node *x = BATCHED(c, ANY, 3);
    Type t = {.dtype = DT_F32};
    return graph_add(c->g, OP_CAST, &x, 1, NULL, &t);
}

/* One value read many times, itself included. */
static Node *case_reuse(Check *c)
{
    Node *x = BATCHED(c, POSITIVE, 5), *y = g2(c->g, OP_MUL, x, x);
    return g2(c->g, OP_SUB, g2(c->g, OP_ADD, y, g2(c->g, OP_MUL, y, x)), g2(c->g, OP_DIV, x, y));
}

/* ---- shapes ---- */

static Node *times_leaf(Check *c, Node *x)
{
    return g2(c->g, OP_MUL, x, leaf_of(c, ANY, true, x->type.ndim, x->type.dim, 0));
}

static Node *case_reshape(Check *c)
{
    int64_t dim[] = {3, 4};
    return g2(c->g, OP_MUL, times_leaf(c, g_reshape(c->g, BATCHED(c, ANY, 2, 6), 2, dim)),
              g_reshape(c->g, PLAIN(c, ANY, 12), 2, dim));
}

static Node *case_transpose(Check *c)
{
    int perm[] = {2, 0, 1};
    Node *x = g_transpose(c->g, BATCHED(c, ANY, 2, 3, 4), perm);
    return g2(c->g, OP_MUL, times_leaf(c, x), g_swap(c->g, PLAIN(c, ANY, 3, 2)));
}

static Node *case_slice(Check *c)
{
    Node *x = BATCHED(c, ANY, 2, 7), *w = PLAIN(c, ANY, 5, 3);
    Node *a = g_slice(c->g, x, 1, 0, 3), *b = g_slice(c->g, x, -1, 4, 7);
    Node *over = g_slice(c->g, x, 1, 2, 5), *row = g_slice(c->g, x, 0, 1, 2);
    Node *sum =
        g2(c->g, OP_ADD, g2(c->g, OP_MUL, a, b), g2(c->g, OP_MUL, over, g_slice(c->g, w, 0, 2, 3)));
    return g2(c->g, OP_ADD, sum, g_reduce(c->g, OP_SUM, g2(c->g, OP_MUL, row, row), 2));
}

static Node *case_broadcast(Check *c)
{
    Type t = {.dtype = DT_F32, .batched = true, .ndim = 3, .dim = {4, 2, 3}};
    Node *x = graph_add(c->g, OP_BROADCAST, (Node *[]){PLAIN(c, ANY, 2, 1)}, 1, NULL, &t);
    Node *y = graph_add(c->g, OP_BROADCAST, (Node *[]){BATCHED(c, ANY, 3)}, 1, NULL, &t);
    return g_concat(c->g, (Node *[]){x, y}, 2, 0);
}

static Node *case_pad(Check *c)
{
    return times_leaf(c, g_pad(c->g, BATCHED(c, ANY, 2, 3), 1, 2, 1));
}

static Node *case_concat(Check *c)
{
    Node *x[] = {BATCHED(c, ANY, 2, 3), PLAIN(c, ANY, 2, 1), BATCHED(c, ANY, 2, 2)};
    return times_leaf(c, g_concat(c->g, x, 3, -1));
}

/* ---- reductions and rows ---- */

static Node *case_sum(Check *c)
{
    Node *x = BATCHED(c, ANY, 2, 3, 4);
    return g2(c->g, OP_MUL, g_reduce(c->g, OP_SUM, x, 5), g_reduce(c->g, OP_SUM, x, 2));
}

static Node *case_max_of(Check *c)
{
    Node *x = BATCHED(c, DISTINCT, 3, 5), *w = PLAIN(c, DISTINCT, 4);
    return g2(c->g, OP_MUL, g_reduce(c->g, OP_MAX_OF, x, 2), g_reduce(c->g, OP_MAX_OF, w, 1));
}

static Node *case_softmax(Check *c)
{
    Node *x = BATCHED(c, ANY, 3, 5);
    return g2(c->g, OP_MUL, g_reduce(c->g, OP_SOFTMAX, x, 2),
              g_reduce(c->g, OP_SOFTMAX, PLAIN(c, ANY, 3, 1), 1));
}

static Node *case_logsumexp(Check *c)
{
    return g2(c->g, OP_MUL, g_reduce(c->g, OP_LOGSUMEXP, BATCHED(c, ANY, 3, 5), 2),
              g_reduce(c->g, OP_LOGSUMEXP, PLAIN(c, ANY, 3, 5), 1));
}

static Node *case_cumsum(Check *c)
{
    Node *x = BATCHED(c, ANY, 3, 4);
    Attr a = {.cumsum = {2, 0}}, b = {.cumsum = {1, 1}};
    return g2(c->g, OP_MUL, graph_add(c->g, OP_CUMSUM, &x, 1, &a, NULL),
              graph_add(c->g, OP_CUMSUM, &x, 1, &b, NULL));
}

static Node *case_top_k(Check *c)
{
    Node *x = BATCHED(c, DISTINCT, 2, 7);
    Attr a = {.top_k = {3}};
    Node *v = graph_add(c->g, OP_TOP_K, &x, 1, &a, NULL);
    return g2(c->g, OP_MUL, times_leaf(c, v), g_cast(c->g, g_part(c->g, v, 1), DT_F32));
}

/* ---- indices ---- */

static Node *case_gather(Check *c)
{
    int64_t dim[] = {4};
    Node *i = leaf_of(c, INDEX, true, 1, dim, 5), *j = leaf_of(c, INDEX, false, 1, dim, 5);
    Node *a = g2(c->g, OP_GATHER, PLAIN(c, ANY, 5, 3), i);
    Node *b = g2(c->g, OP_GATHER, PLAIN(c, ANY, 5, 3), j);
    Node *own = g2(c->g, OP_GATHER, BATCHED(c, ANY, 5, 3), i);
    return g2(c->g, OP_MUL, g2(c->g, OP_MUL, times_leaf(c, a), b), own);
}

static Node *case_gather_plain(Check *c)
{
    int64_t dim[] = {2, 2};
    Node *j = leaf_of(c, INDEX, false, 2, dim, 5);
    Node *a = g2(c->g, OP_GATHER, PLAIN(c, ANY, 5, 3), j);
    return g2(c->g, OP_MUL, a, a);
}

static Node *case_pick(Check *c)
{
    int64_t dim[] = {4};
    Node *i = leaf_of(c, INDEX, true, 1, dim, 6);
    return g2(c->g, OP_MUL, times_leaf(c, g2(c->g, OP_PICK, BATCHED(c, ANY, 4, 6), i)),
              g2(c->g, OP_PICK, PLAIN(c, ANY, 4, 6), i));
}

/* ---- heavy ---- */

static Node *total(Check *c, Node *x)
{
    x = g2(c->g, OP_MUL, x, x);
    return g_squeeze(c->g, g_reduce(c->g, OP_SUM, x, (1u << x->type.ndim) - 1),
                     (1u << x->type.ndim) - 1);
}

static Node *case_matmul_fold(Check *c)
{
    Node *w = PLAIN(c, ANY, 4, 3);
    Node *a = g2(c->g, OP_MATMUL, BATCHED(c, ANY, 2, 4), w);
    Node *b = g2(c->g, OP_MATMUL, BATCHED(c, ANY, 2, 2, 4), w);
    return g2(c->g, OP_ADD, total(c, a), total(c, b));
}

static Node *case_matmul_left(Check *c)
{
    Node *w = PLAIN(c, ANY, 2, 4);
    Node *a = g2(c->g, OP_MATMUL, w, BATCHED(c, ANY, 4, 3));
    Node *b = g2(c->g, OP_MATMUL, w, BATCHED(c, ANY, 2, 4, 3));
    return g2(c->g, OP_ADD, total(c, a), total(c, b));
}

static Node *case_matmul_batched(Check *c)
{
    Node *a = g2(c->g, OP_MATMUL, BATCHED(c, ANY, 2, 1, 2, 4), BATCHED(c, ANY, 3, 4, 2));
    Node *b = g2(c->g, OP_MATMUL, BATCHED(c, ANY, 2, 2, 3), PLAIN(c, ANY, 2, 3, 2));
    Node *e = g2(c->g, OP_MATMUL, BATCHED(c, ANY, 1, 3), PLAIN(c, ANY, 2, 3, 2));
    return g2(c->g, OP_ADD, g2(c->g, OP_ADD, total(c, a), total(c, b)), total(c, e));
}

static Node *case_matmul_plain(Check *c)
{
    Node *w = PLAIN(c, ANY, 4, 3);
    Node *a = g2(c->g, OP_MATMUL, PLAIN(c, ANY, 2, 2, 4), w);
    return g2(c->g, OP_ADD, total(c, a), total(c, g2(c->g, OP_MATMUL, PLAIN(c, ANY, 2, 4), w)));
}

static Node *attention(Check *c, Node *q, Node *k, Node *v, Node *mask, Node *bias, Attr a)
{
    Node *in[5] = {q, k, v};
    int n = 3;
    if (mask)
        in[n++] = mask;
    if (bias)
        in[n++] = bias;
    a.attention.has_mask = mask != NULL;
    a.attention.has_bias = bias != NULL;
    return graph_add(c->g, OP_ATTENTION, in, n, &a, NULL);
}

static Node *case_attention_causal(Check *c)
{
    Attr a = {.attention = {.heads = 2, .kv_heads = 2, .causal = 1, .scale = 0.7}};
    return attention(c, BATCHED(c, ANY, 4, 6), BATCHED(c, ANY, 4, 6), BATCHED(c, ANY, 4, 4), NULL,
                     NULL, a);
}

static Node *case_attention_grouped(Check *c)
{
    Attr a = {.attention = {.heads = 4, .kv_heads = 2, .scale = 0.5, .dropout = 0.4, .site = 3}};
    return attention(c, BATCHED(c, ANY, 3, 8), PLAIN(c, ANY, 5, 4), BATCHED(c, ANY, 5, 2), NULL,
                     PLAIN(c, ANY, 4, 1, 5), a);
}

static Node *case_attention_mask(Check *c)
{
    Attr a = {.attention = {.heads = 2, .kv_heads = 1, .causal = 1, .window = 2, .scale = 1}};
    return attention(c, PLAIN(c, ANY, 4, 4), BATCHED(c, ANY, 4, 2), BATCHED(c, ANY, 4, 3),
                     BATCHED(c, COIN, 4), BATCHED(c, ANY, 2, 4, 4), a);
}

static Node *case_attention_plain(Check *c)
{
    Attr a = {.attention = {.heads = 1, .kv_heads = 1, .scale = 1}};
    return attention(c, PLAIN(c, ANY, 2, 3), PLAIN(c, ANY, 3, 3), PLAIN(c, ANY, 3, 2), NULL, NULL,
                     a);
}

/* A block as models write it: norm, projection, residual, mean. */
static Node *case_block(Check *c)
{
    Graph *g = c->g;
    Node *x = BATCHED(c, ANY, 3, 4), *w = PLAIN(c, ANY, 4, 4), *scale = PLAIN(c, ANY, 4);
    Node *quarter = g_const(g, DT_F32, 0.25);
    Node *mean = g2(g, OP_MUL, g_reduce(g, OP_SUM, x, 2), quarter), *d = g2(g, OP_SUB, x, mean);
    Node *var = g2(g, OP_MUL, g_reduce(g, OP_SUM, g2(g, OP_MUL, d, d), 2), quarter);
    Node *norm = g2(g, OP_DIV, d, g1(g, OP_SQRT, g2(g, OP_ADD, var, g_const(g, DT_F32, 1e-5))));
    Node *h = g1(g, OP_GELU, g2(g, OP_MATMUL, g2(g, OP_MUL, norm, scale), w));
    return g2(g, OP_ADD, x, g2(g, OP_MATMUL, h, g_swap(g, w)));
}

typedef struct Case {
    Op op;
    const char *name;
    Node *(*build)(Check *c);
} Case;

static const Case grad_case[] = {
    {OP_NEG, "neg", case_NEG},
    {OP_ABS, "abs", case_ABS},
    {OP_SQRT, "sqrt", case_SQRT},
    {OP_EXP, "exp", case_EXP},
    {OP_LOG, "log", case_LOG},
    {OP_SIN, "sin", case_SIN},
    {OP_COS, "cos", case_COS},
    {OP_TANH, "tanh", case_TANH},
    {OP_ERF, "erf", case_ERF},
    {OP_SIGMOID, "sigmoid", case_SIGMOID},
    {OP_RELU, "relu", case_RELU},
    {OP_GELU, "gelu", case_GELU},
    {OP_GELU_TANH, "gelu_tanh", case_GELU_TANH},
    {OP_SILU, "silu", case_SILU},
    {OP_SOFTPLUS, "softplus", case_SOFTPLUS},
    {OP_ELU, "elu", case_ELU},
    {OP_CAST, "cast", case_cast},
    {OP_ADD, "add", case_ADD},
    {OP_ADD, "reuse", case_reuse},
    {OP_SUB, "sub", case_SUB},
    {OP_MUL, "mul", case_MUL},
    {OP_DIV, "div", case_DIV},
    {OP_MAX, "max", case_MAX},
    {OP_MIN, "min", case_MIN},
    {OP_MAX, "clamp", case_clamp},
    {OP_POW, "pow", case_POW},
    {OP_POW, "pow of a number", case_pow_number},
    {OP_WHERE, "where", case_where},
    {OP_RESHAPE, "reshape", case_reshape},
    {OP_TRANSPOSE, "transpose", case_transpose},
    {OP_SLICE, "slice", case_slice},
    {OP_BROADCAST, "broadcast", case_broadcast},
    {OP_PAD, "pad", case_pad},
    {OP_CONCAT, "concat", case_concat},
    {OP_SUM, "sum", case_sum},
    {OP_MAX_OF, "max_of", case_max_of},
    {OP_SOFTMAX, "softmax", case_softmax},
    {OP_LOGSUMEXP, "logsumexp", case_logsumexp},
    {OP_CUMSUM, "cumsum", case_cumsum},
    {OP_TOP_K, "top_k", case_top_k},
    {OP_GATHER, "gather", case_gather},
    {OP_GATHER, "gather, no batch", case_gather_plain},
    {OP_PICK, "pick", case_pick},
    {OP_MATMUL, "matmul, folded batch", case_matmul_fold},
    {OP_MATMUL, "matmul, weight on the left", case_matmul_left},
    {OP_MATMUL, "matmul, leading axes", case_matmul_batched},
    {OP_MATMUL, "matmul, no batch", case_matmul_plain},
    {OP_ATTENTION, "attention, causal", case_attention_causal},
    {OP_ATTENTION, "attention, grouped, dropout, bias", case_attention_grouped},
    {OP_ATTENTION, "attention, mask, window", case_attention_mask},
    {OP_ATTENTION, "attention, no batch", case_attention_plain},
    {OP_MATMUL, "block", case_block},
};

#endif
