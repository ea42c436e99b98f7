/* make_ops.c - one function for each way of making a value from others. */
#include "tests/random/make.h"

#include <string.h>

/* ---- elementwise ---- */

static Node *unary(Make *k)
{
    static const Op op[] = {OP_NEG,  OP_ABS,       OP_SIGN, OP_FLOOR,    OP_SIN,
                            OP_COS,  OP_TANH,      OP_ERF,  OP_RELU,     OP_SIGMOID,
                            OP_GELU, OP_GELU_TANH, OP_SILU, OP_SOFTPLUS, OP_GELU,
                            OP_RELU, OP_DETACH,    OP_SIN,  OP_ELU};
    Node *x = make_some(k, DT_F32);
    return x ? g1(k->g, op[make_below(k, countof(op))], x) : NULL;
}

static Node *curve(Make *k)
{
    Node *x = make_some(k, DT_F32);
    if (!x)
        return NULL;
    switch (make_below(k, 4)) {
    case 0:
        return g1(k->g, OP_EXP, g2(k->g, OP_MUL, x, make_number(k, 0.4)));
    case 1:
        return g1(k->g, OP_LOG, make_positive(k, x));
    case 2:
        return g1(k->g, OP_SQRT, make_positive(k, x));
    default:
        return g1(k->g, OP_EXP, g1(k->g, OP_SIN, x));
    }
}

/* A type that x broadcasts with: some axes 1, some leading ones gone or added. */
static Type partner(Make *k, const Type *x)
{
    Type t = *x;
    int drop = t.ndim && make_chance(k, 0.3) ? (int)make_below(k, t.ndim + 1) : 0;
    memmove(t.dim, t.dim + drop, (size_t)(t.ndim - drop) * sizeof *t.dim);
    t.ndim -= drop;
    for (int i = 0; i < t.ndim; i++)
        if (make_chance(k, 0.2))
            t.dim[i] = 1;
    if (!drop && t.ndim && t.ndim < 4 && type_count(&t) < 60 && make_chance(k, 0.1)) {
        memmove(t.dim + 1, t.dim, (size_t)t.ndim * sizeof *t.dim);
        t.dim[0] = 1 + make_below(k, 3);
        t.ndim++;
    }
    t.batched = make_chance(k, 0.5);
    return t;
}

static bool broadcasts(const Type *a, const Type *b)
{
    for (int i = 1; i <= a->ndim && i <= b->ndim; i++) {
        int64_t x = a->dim[a->ndim - i], y = b->dim[b->ndim - i];
        if (x != y && x != 1 && y != 1)
            return false;
    }
    return true;
}

/* Another operand for x: of the pool when one broadcasts, else a leaf. */
static Node *second(Make *k, const Node *x, DType dtype)
{
    Node *y = make_some(k, dtype);
    for (int i = 0; i < 4 && y; i++, y = make_some(k, dtype))
        if (broadcasts(&x->type, &y->type))
            return y;
    Type t = partner(k, &x->type);
    t.dtype = dtype;
    return make_fresh(k, &t);
}

static Node *binary(Make *k)
{
    static const Op op[] = {OP_ADD, OP_SUB, OP_MUL, OP_MUL, OP_ADD, OP_MAX, OP_MIN};
    Node *x = make_some(k, DT_F32);
    if (!x)
        return NULL;
    Node *y = second(k, x, DT_F32);
    return make_chance(k, 0.5) ? g2(k->g, op[make_below(k, countof(op))], x, y)
                               : g2(k->g, op[make_below(k, countof(op))], y, x);
}

static Node *quotient(Make *k)
{
    Node *x = make_some(k, DT_F32);
    if (!x)
        return NULL;
    Node *y = make_positive(k, second(k, x, DT_F32));
    if (make_chance(k, 0.5))
        return g2(k->g, OP_DIV, x, y);
    Node *small = g2(k->g, OP_MUL, g1(k->g, OP_TANH, x), make_number(k, 1.5));
    return g2(k->g, OP_POW, y, make_chance(k, 0.3) ? make_number(k, 1.75) : small);
}

static Node *with_number(Make *k)
{
    static const Op op[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MAX, OP_MIN, OP_POW};
    static const double value[] = {0.5, 2, 0.3, 1.25, -0.75, 0.1, 1, 3};
    Node *x = make_some(k, DT_F32);
    Node *c = make_number(k, value[make_below(k, countof(value))]);
    Op o = op[make_below(k, countof(op))];
    if (!x)
        return NULL;
    if (o == OP_POW)
        return g2(k->g, o, x, make_number(k, (double)(2 + make_below(k, 2))));
    return make_chance(k, 0.7) || o == OP_DIV ? g2(k->g, o, x, c) : g2(k->g, o, c, x);
}

static Node *compare(Make *k)
{
    static const Op op[] = {OP_LT, OP_LE, OP_EQ, OP_NE, OP_LT};
    bool ints = make_chance(k, 0.4);
    Node *x = make_some(k, ints ? DT_INT : DT_F32);
    if (!x)
        return NULL;
    Node *y = second(k, x, ints ? DT_INT : DT_F32);
    return g2(k->g, op[make_below(k, countof(op))], x, y);
}

static Node *logic(Make *k)
{
    Node *x = make_some(k, DT_BOOL);
    if (!x)
        return NULL;
    if (make_chance(k, 0.3))
        return g1(k->g, OP_NOT, x);
    return g2(k->g, make_chance(k, 0.5) ? OP_AND : OP_OR, x, second(k, x, DT_BOOL));
}

static Node *ints(Make *k)
{
    static const Op op[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX, OP_MIN, OP_IDIV, OP_MOD, OP_IDIV};
    Node *x = make_some(k, DT_INT);
    if (!x)
        return NULL;
    Node *y = make_chance(k, 0.6) ? g_const(k->g, DT_INT, (double)(2 + make_below(k, 3)))
                                  : second(k, x, DT_INT);
    return g2(k->g, op[make_below(k, countof(op))], x, y);
}

static Node *cast(Make *k)
{
    static const DType type[] = {DT_F32, DT_INT, DT_BOOL};
    DType from = type[make_below(k, 3)], to = make_chance(k, 0.5) ? DT_F32 : DT_INT;
    Node *x = make_some(k, from);
    if (!x)
        return NULL;
    if (from == DT_F32 && to == DT_INT)
        x = g2(k->g, OP_MUL, x, make_number(k, 3));
    Node *y = from == DT_F32 && to == DT_F32
                  ? graph_add(k->g, OP_CAST, &x, 1, NULL, &(Type){.dtype = DT_F32})
                  : g_cast(k->g, x, to);
    return from == DT_INT && to == DT_F32 ? g2(k->g, OP_MUL, y, make_number(k, 0.25)) : y;
}

static Node *where(Make *k)
{
    Node *x = make_some(k, DT_F32);
    if (!x)
        return NULL;
    return g3(k->g, OP_WHERE, second(k, x, DT_BOOL), x, second(k, x, DT_F32));
}

static Node *dropout(Make *k)
{
    Node *x = make_some(k, DT_F32);
    if (!x)
        return NULL;
    Type t = x->type;
    t.batched = true;
    if (t.ndim && make_chance(k, 0.3))
        t.ndim = 0;
    Attr a = {.random = {.site = k->g->n_sites++, .per_step = 1}};
    Node *u = graph_add(k->g, OP_RANDOM, NULL, 0, &a, &t);
    Node *keep = g2(k->g, OP_LE, make_number(k, 0.3), u);
    Node *scale = g3(k->g, OP_WHERE, keep, make_number(k, 1 / 0.7), make_number(k, 0));
    return g2(k->g, OP_MUL, x, scale);
}

/* ---- shapes ---- */

static Node *any_of(Make *k, int least)
{
    for (int i = 0; i < 12; i++) {
        Node *x = make_some(k, make_chance(k, 0.9) ? DT_F32 : DT_INT);
        if (x && x->type.ndim >= least)
            return x;
    }
    Type t = make_shape(k, least, 3);
    t.batched = make_chance(k, 0.6);
    return make_fresh(k, &t);
}

static int axis_of(Make *k, const Node *x)
{
    return (int)make_below(k, x->type.ndim);
}

static Node *reshape(Make *k)
{
    Node *x = any_of(k, 0);
    int64_t left = type_count(&x->type), dim[BM_DIMS];
    int n = 0;
    for (; n < 3 && (left > 1 || make_chance(k, 0.3)); n++) {
        int64_t d = 1 + make_below(k, left);
        while (left % d)
            d--;
        dim[n] = d;
        left /= d;
    }
    if (left > 1 || !n)
        dim[n++] = left;
    return g_reshape(k->g, x, type_count(&x->type) == 1 && make_chance(k, 0.5) ? 0 : n, dim);
}

static Node *transpose(Make *k)
{
    Node *x = any_of(k, 2);
    int perm[BM_DIMS];
    for (int i = 0; i < x->type.ndim; i++)
        perm[i] = i;
    for (int i = x->type.ndim - 1; i > 0; i--) {
        int j = (int)make_below(k, i + 1), p = perm[i];
        perm[i] = perm[j];
        perm[j] = p;
    }
    return make_chance(k, 0.4) ? g_swap(k->g, x) : g_transpose(k->g, x, perm);
}

static Node *slice(Make *k)
{
    Node *x = any_of(k, 1);
    int axis = axis_of(k, x);
    int64_t n = x->type.dim[axis], lo = make_below(k, n), hi = lo + 1 + make_below(k, n - lo);
    return g_slice(k->g, x, axis, lo, hi);
}

static Node *split(Make *k)
{
    Node *x = any_of(k, 1);
    int axis = axis_of(k, x);
    int64_t n = x->type.dim[axis];
    if (n % 2 && n % 3)
        return NULL;
    int parts = n % 3 ? 2 : 3;
    Node *y = NULL;
    for (int i = 0; i < parts; i++) {
        Node *p = g_slice(k->g, x, axis, n / parts * i, n / parts * (i + 1));
        y = y ? g2(k->g, i == 1 ? OP_MUL : OP_ADD, y, p) : p;
    }
    return y;
}

static Node *broadcast(Make *k)
{
    Node *x = any_of(k, 0);
    Type t = x->type;
    for (int i = 0; i < t.ndim; i++)
        if (t.dim[i] == 1)
            t.dim[i] = 1 + make_below(k, 4);
    if (t.ndim < 4 && make_chance(k, 0.6)) {
        memmove(t.dim + 1, t.dim, (size_t)t.ndim * sizeof *t.dim);
        t.dim[0] = 1 + make_below(k, 3);
        t.ndim++;
    }
    t.batched = t.batched || make_chance(k, 0.3);
    return graph_add(k->g, OP_BROADCAST, &x, 1, NULL, &t);
}

static Node *pad(Make *k)
{
    Node *x = any_of(k, 1);
    return g_pad(k->g, x, axis_of(k, x), make_below(k, 3), make_below(k, 3));
}

static Node *concat(Make *k)
{
    Node *x[4] = {any_of(k, 1)};
    int axis = axis_of(k, x[0]), n = 1 + (int)make_below(k, 3);
    for (int i = 1; i <= n; i++) {
        Type t = x[0]->type;
        if (make_chance(k, 0.5))
            t.dim[axis] = 1 + make_below(k, 5);
        x[i] = make_chance(k, 0.2) ? x[0] : make_fit(k, t.dtype, t.ndim, t.dim);
    }
    return g_concat(k->g, x, n + 1, axis);
}

/* ---- rows ---- */

static Node *reduce(Make *k)
{
    static const Op op[] = {OP_SUM, OP_SUM, OP_MAX_OF};
    Node *x = any_of(k, 1);
    uint32_t axes = 1u << axis_of(k, x);
    if (make_chance(k, 0.3))
        axes |= 1u << axis_of(k, x);
    Op o = op[make_below(k, countof(op))];
    Node *y = g_reduce(k->g, o, x, axes);
    if (o == OP_SUM && x->type.dtype == DT_F32 && make_chance(k, 0.7))
        y = g2(k->g, OP_MUL, y, make_number(k, 0.3));
    return make_chance(k, 0.5) ? g_squeeze(k->g, y, axes) : y;
}

static Node *row(Make *k)
{
    static const Op op[] = {OP_SOFTMAX, OP_LOGSUMEXP, OP_ARGMAX, OP_SOFTMAX};
    Node *x = any_of(k, 1);
    Op o = op[make_below(k, countof(op))];
    if (x->type.dtype != DT_F32)
        x = g_cast(k->g, x, DT_F32);
    uint32_t axes = 1u << (make_chance(k, 0.7) ? x->type.ndim - 1 : axis_of(k, x));
    Node *y = g_reduce(k->g, o, x, axes);
    return o != OP_SOFTMAX && make_chance(k, 0.7) ? g_squeeze(k->g, y, axes) : y;
}

static Node *cumsum(Make *k)
{
    Node *x = any_of(k, 1);
    Attr a = {.cumsum = {1u << axis_of(k, x), make_chance(k, 0.3)}};
    return graph_add(k->g, OP_CUMSUM, &x, 1, &a, NULL);
}

static Node *top_k(Make *k)
{
    Node *x = any_of(k, 1);
    if (x->type.dtype != DT_F32)
        return NULL;
    int64_t n = x->type.dim[x->type.ndim - 1];
    Attr a = {.top_k = {(int)(1 + make_below(k, n < 4 ? n : 4))}};
    Node *y = graph_add(k->g, OP_TOP_K, &x, 1, &a, NULL);
    return make_chance(k, 0.7) ? y : g_part(k->g, y, 1);
}

static Node *norm(Make *k)
{
    Graph *g = k->g;
    Node *x = any_of(k, 1);
    if (x->type.dtype != DT_F32)
        return NULL;
    int last = x->type.ndim - 1;
    uint32_t axes = 1u << last;
    Node *n = make_number(k, 1 / (double)x->type.dim[last]);
    Node *d = x;
    if (make_chance(k, 0.6))
        d = g2(g, OP_SUB, x, g2(g, OP_MUL, g_reduce(g, OP_SUM, x, axes), n));
    Node *var = g2(g, OP_MUL, g_reduce(g, OP_SUM, g2(g, OP_MUL, d, d), axes), n);
    Node *y = g2(g, OP_DIV, d, g1(g, OP_SQRT, g2(g, OP_ADD, var, make_number(k, 0.05))));
    Node *w = make_fit(k, DT_F32, 1, &x->type.dim[last]);
    return g2(g, OP_MUL, y, w);
}

/* ---- indices ---- */

static Node *gather(Make *k)
{
    Node *table = any_of(k, 1);
    Type t = make_shape(k, 0, 2);
    while (type_count(&t) * type_count(&table->type) / table->type.dim[0] > 200 && t.ndim)
        t.ndim--;
    if (make_chance(k, 0.2))
        return g2(k->g, OP_GATHER, table,
                  g_const(k->g, DT_INT, (double)make_below(k, table->type.dim[0])));
    return g2(k->g, OP_GATHER, table, make_index(k, table->type.dim[0], t.ndim, t.dim));
}

static Node *pick(Make *k)
{
    Node *x = any_of(k, 1);
    int n = x->type.ndim - 1;
    return g2(k->g, OP_PICK, x, make_index(k, x->type.dim[n], n, x->type.dim));
}

static Node *one_hot(Make *k)
{
    Node *x = make_some(k, DT_INT);
    if (!x || x->type.ndim > 3)
        return NULL;
    Attr a = {.scatter = {2 + make_below(k, 6)}};
    return graph_add(k->g, OP_ONE_HOT, &x, 1, &a, NULL);
}

/* ---- heavy ---- */

static Node *matmul(Make *k)
{
    Node *x = any_of(k, 2);
    if (x->type.dtype != DT_F32)
        return NULL;
    int n = x->type.ndim;
    int64_t rows = x->type.dim[n - 2], cols = x->type.dim[n - 1];
    Type t = make_shape(k, 1, 1);
    int64_t w = t.dim[0] > 33 ? 3 : t.dim[0], right[BM_DIMS + 2] = {0}, left[BM_DIMS + 2] = {0};
    int lead = n > 2 && make_chance(k, 0.6) ? n - 2 : 0;
    for (int i = 0; i < lead; i++)
        right[i] = left[i] = make_chance(k, 0.3) ? 1 : x->type.dim[i];
    right[lead] = cols;
    right[lead + 1] = left[lead] = w;
    left[lead + 1] = rows;
    Node *small = g2(k->g, OP_MUL, x, make_number(k, 0.5));
    switch (make_below(k, 5)) {
    case 0: /* w @ x */
        return g2(k->g, OP_MATMUL, make_fit(k, DT_F32, lead + 2, left), small);
    case 1: { /* x @ w' */
        int64_t turned[2] = {w, cols};
        return g2(k->g, OP_MATMUL, small, g_swap(k->g, make_fit(k, DT_F32, 2, turned)));
    }
    case 2: /* x' @ w */
        return g2(k->g, OP_MATMUL, g_swap(k->g, small),
                  make_fit(k, DT_F32, 2, (int64_t[]){rows, w}));
    case 3:
        return g2(k->g, OP_MATMUL, small, g_swap(k->g, x));
    default:
        return g2(k->g, OP_MATMUL, small, make_fit(k, DT_F32, lead + 2, right));
    }
}

/* A [t, width] operand: of the pool, a projection of the pool's x, or a leaf. */
static Node *rows_of(Make *k, Node *x, int64_t t, int64_t width)
{
    int64_t dim[2] = {t, width}, w[2] = {0, width};
    if (x && x->type.dtype == DT_F32 && x->type.ndim == 2 && x->type.dim[0] == t &&
        make_chance(k, 0.6)) {
        w[0] = x->type.dim[1];
        return g2(k->g, OP_MATMUL, x, make_fit(k, DT_F32, 2, w));
    }
    return make_fit(k, DT_F32, 2, dim);
}

static Node *attention(Make *k)
{
    static const int64_t lengths[] = {1, 2, 3, 5, 7, 9, 17, 70};
    Node *x = any_of(k, 2), *in[5];
    int64_t kv = 1 + make_below(k, 2), heads = kv * (1 + make_below(k, 2)),
            d = 1 + make_below(k, 3);
    int64_t dv = 1 + make_below(k, 3), tq = x->type.ndim == 2 ? x->type.dim[0] : 5, n = 3;
    bool square = make_chance(k, 0.6);
    int64_t tk = square ? tq : lengths[make_below(k, countof(lengths))];
    if (tq * heads * d > 200)
        heads = kv = 1;
    Attr a = {.attention = {.heads = (int)heads, .kv_heads = (int)kv}};
    a.attention.causal = square && make_chance(k, 0.6);
    a.attention.window = square && make_chance(k, 0.2) ? 1 + make_below(k, 4) : 0;
    a.attention.scale = make_chance(k, 0.5) ? 0.5 : 0.7;
    in[0] = rows_of(k, x, tq, heads * d);
    in[1] = rows_of(k, square ? x : NULL, tk, kv * d);
    in[2] = rows_of(k, square ? x : NULL, tk, kv * dv);
    bool batched = in[0]->type.batched || in[1]->type.batched || in[2]->type.batched;
    int64_t extra[3] = {make_chance(k, 0.5) ? heads : 1, make_chance(k, 0.6) ? tq : 1, tk};
    int skip = (int)make_below(k, 3);
    if (make_chance(k, 0.3)) {
        in[n++] = make_fit(k, DT_BOOL, 3 - skip, extra + skip);
        a.attention.has_mask = 1;
    }
    if (make_chance(k, 0.3)) {
        in[n++] = make_fit(k, DT_F32, 3 - skip, extra + skip);
        a.attention.has_bias = 1;
    }
    if (batched && make_chance(k, 0.25)) {
        a.attention.dropout = 0.3;
        a.attention.site = k->g->n_sites++;
    }
    return graph_add(k->g, OP_ATTENTION, in, (int)n, &a, NULL);
}

/* Logits, and the loss of a row by itself: lse - the target's. The first are the model's. */
static Node *head(Make *k)
{
    Graph *g = k->g;
    Node *x = any_of(k, 1);
    if (x->type.dtype != DT_F32)
        return NULL;
    int n = x->type.ndim;
    int64_t vocab = 2 + make_below(k, 12), w[2] = {vocab, x->type.dim[n - 1]};
    Node *logits = x;
    if (n > 1)
        logits = g2(g, OP_MATMUL, x, g_swap(g, make_fit(k, DT_F32, 2, w)));
    uint32_t last = 1u << (logits->type.ndim - 1);
    vocab = logits->type.dim[logits->type.ndim - 1];
    Node *target = make_index(k, vocab, logits->type.ndim - 1, logits->type.dim);
    Node *lse = g_squeeze(g, g_reduce(g, OP_LOGSUMEXP, logits, last), last);
    if (!k->m->train.logits && logits->type.batched)
        k->m->train.logits = logits;
    return g2(g, OP_SUB, lse, g2(g, OP_PICK, logits, target));
}

MakeFn *const make_op[] = {unary,     unary,   unary,  curve,      binary,    binary, binary,
                           quotient,  compare, logic,  ints,       cast,      where,  dropout,
                           reshape,   slice,   split,  pad,        concat,    reduce, reduce,
                           transpose, row,     row,    cumsum,     top_k,     norm,   with_number,
                           gather,    pick,    matmul, ints,       attention, head,   broadcast,
                           one_hot,   matmul,  norm,   with_number};
const int n_make_op = countof(make_op);
