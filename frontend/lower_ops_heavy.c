/* lower_ops_heavy.c - attention, rotary positions, random draws, and what is not built yet. */
#include "frontend/lower_ops.h"

#include <inttypes.h>
#include <math.h>

/* ---- attention ---- */

enum { Q, K, V, HEADS, KV_HEADS, CAUSAL, MASK, BIAS, WINDOW, DROPOUT, SCALE };

static bool probability(Lower *l, Call *c, int i, double *p)
{
    if (!arg_number(l, c, i, p))
        return false;
    if (*p >= 0 && *p < 1)
        return true;
    diag_error(l->d, c->b.at[i], "`%s` of %s is a probability below 1, got %s", c->b.name[i],
               c->op->name, value_text(l->a, &c->b.v[i]));
    return false;
}

static bool attention_numbers(Lower *l, Call *c, Attr *a)
{
    int64_t heads, kv_heads, window = 0;
    bool causal = false;
    double dropout = 0;
    if (!arg_int(l, c, HEADS, &heads))
        return false;
    kv_heads = heads;
    if ((arg_given(c, KV_HEADS) && !arg_int(l, c, KV_HEADS, &kv_heads)) ||
        (c->b.given[CAUSAL] && !arg_bool(l, c, CAUSAL, &causal)) ||
        (arg_given(c, WINDOW) && !arg_int(l, c, WINDOW, &window)) ||
        (c->b.given[DROPOUT] && !probability(l, c, DROPOUT, &dropout)))
        return false;
    if (heads < 1 || kv_heads < 1 || heads % kv_heads || heads > 1 << 20) {
        diag_error(l->d, c->b.at[HEADS],
                   "attention: kv_heads must divide heads, got %" PRId64 " and %" PRId64, kv_heads,
                   heads);
        return false;
    }
    if (arg_given(c, WINDOW) && window < 1) {
        diag_error(l->d, c->b.at[WINDOW], "`window` of attention is at least 1, got %" PRId64,
                   window);
        return false;
    }
    a->attention.heads = (int)heads;
    a->attention.kv_heads = (int)kv_heads;
    a->attention.causal = causal;
    a->attention.window = window;
    a->attention.dropout = l->training ? dropout : 0;
    return true;
}

/* q [Tq, heads * d], k [Tk, kv * d], v [Tk, kv * dv]: message first, so that all three show. */
static bool attention_shapes(Lower *l, Call *c, Node *const in[3], const Attr *a)
{
    const Type *q = &in[0]->type, *k = &in[1]->type, *v = &in[2]->type;
    int64_t heads = a->attention.heads, kv = a->attention.kv_heads;
    const char *why = NULL;
    if (q->ndim != 2 || k->ndim != 2 || v->ndim != 2)
        why = "q, k and v are [T, heads * width]";
    else if (q->dim[1] % heads)
        why = arena_printf(l->a, "%" PRId64 " heads do not divide the %" PRId64 " of q", heads,
                           q->dim[1]);
    else if (k->dim[1] != q->dim[1] / heads * kv)
        why = arena_printf(l->a,
                           "q has %" PRId64 " heads of %" PRId64 ", so k with %" PRId64
                           " heads is [Tk, %" PRId64 "]",
                           heads, q->dim[1] / heads, kv, q->dim[1] / heads * kv);
    else if (v->dim[1] % kv || v->dim[0] != k->dim[0])
        why = arena_printf(l->a, "v has a row for each row of k and %" PRId64 " heads", kv);
    if (!why)
        return true;
    diag_error(l->d, c->at, "attention: %s; got q %s, k %s, v %s", why, type_text(l->a, q),
               type_text(l->a, k), type_text(l->a, v));
    arg_notes(l, c, 0, in, 3);
    return false;
}

static Value op_attention(Lower *l, Call *c)
{
    Attr a = {0};
    Node *in[5];
    int n = 3;
    for (int i = 0; i < 3; i++)
        if (!(in[i] = arg_float(l, c, i)))
            return value_error();
    if (!attention_numbers(l, c, &a) || !attention_shapes(l, c, in, &a))
        return value_error();
    if (arg_given(c, MASK)) {
        a.attention.has_mask = 1;
        if (!(in[n++] = arg_node(l, c, MASK)))
            return value_error();
    }
    if (arg_given(c, BIAS)) {
        a.attention.has_bias = 1;
        if (!(in[n++] = arg_float(l, c, BIAS)))
            return value_error();
    }
    a.attention.scale = 1 / sqrt((double)(in[0]->type.dim[1] / a.attention.heads));
    if (arg_given(c, SCALE) && !arg_number(l, c, SCALE, &a.attention.scale))
        return value_error();
    if (a.attention.dropout > 0)
        a.attention.site = l->g->n_sites++;
    l->g->at = c->at;
    return tensor_value(graph_add(l->g, OP_ATTENTION, in, n, &a, NULL));
}

/* ---- rope: pairs (u, v) of each head turned by position / theta^(2j/d) ---- */

typedef struct Turn {
    Node *cos, *sin; /* of the angles, [T, 1, d / 2] */
} Turn;

/* The tables belong to the model: every layer reads the same ones. */
static Turn turn(Lower *l, int64_t t, int64_t half, double theta)
{
    Graph *g = l->g;
    const char *path = g->path;
    int instance = g->cur_instance;
    g->path = "rope";
    g->cur_instance = 0;
    Type pos = {.dtype = DT_INT, .ndim = 3, .dim = {t, 1, 1}};
    Type pair = {.dtype = DT_INT, .ndim = 1, .dim = {half}};
    Node *p = g_cast(g, g_iota(g, &pos, 0, 0, 1), DT_F32);
    Node *j = g_cast(g, g_iota(g, &pair, 0, 0, 2), DT_F32);
    Node *e = g2(g, OP_DIV, j, g_const(g, DT_F32, (double)(2 * half)));
    Node *power = g2(g, OP_POW, g_const(g, DT_F32, theta), e);
    Node *angle = g2(g, OP_MUL, p, g2(g, OP_DIV, g_const(g, DT_F32, 1), power));
    Turn both = {g1(g, OP_COS, angle), g1(g, OP_SIN, angle)};
    g->path = path;
    g->cur_instance = instance;
    return both;
}

static Node *rotate(Lower *l, Node *x, int64_t t, int64_t heads, int64_t d, double theta, bool half)
{
    Graph *g = l->g;
    int64_t by_half[] = {t, heads, d}, by_pair[] = {t, heads, d / 2, 2}, flat[] = {t, heads, d / 2};
    int64_t one[] = {t, heads, d / 2, 1}, back[] = {t, heads * d};
    Turn by = turn(l, t, d / 2, theta);
    Node *u, *v;
    if (half) {
        x = g_reshape(g, x, 3, by_half);
        u = g_slice(g, x, 2, 0, d / 2);
        v = g_slice(g, x, 2, d / 2, d);
    } else {
        x = g_reshape(g, x, 4, by_pair);
        u = g_reshape(g, g_slice(g, x, 3, 0, 1), 3, flat);
        v = g_reshape(g, g_slice(g, x, 3, 1, 2), 3, flat);
    }
    Node *out[] = {g2(g, OP_SUB, g2(g, OP_MUL, u, by.cos), g2(g, OP_MUL, v, by.sin)),
                   g2(g, OP_ADD, g2(g, OP_MUL, v, by.cos), g2(g, OP_MUL, u, by.sin))};
    for (int i = 0; i < 2 && !half; i++)
        out[i] = g_reshape(g, out[i], 4, one);
    return g_reshape(g, g_concat(g, out, 2, -1), 2, back);
}

static Value op_rope(Lower *l, Call *c)
{
    Node *x = arg_float(l, c, 0);
    int64_t heads;
    double theta = 10000;
    const char *layout = "half";
    if (!x || !arg_int(l, c, 1, &heads) || (c->b.given[2] && !arg_number(l, c, 2, &theta)) ||
        (c->b.given[3] && !arg_text(l, c, 3, &layout)))
        return value_error();
    if (arg_given(c, 4)) {
        diag_error(l->d, c->b.at[4], "not built yet: `scaling` of rope");
        return value_error();
    }
    bool half = strcmp(layout, "half") == 0;
    if (!half && strcmp(layout, "interleaved") != 0) {
        diag_error(l->d, c->b.at[3], "`layout` of rope is \"half\" or \"interleaved\", got \"%s\"",
                   layout);
        return value_error();
    }
    if (theta <= 0) {
        diag_error(l->d, c->b.at[2], "`theta` of rope is above 0, got %s",
                   value_text(l->a, &c->b.v[2]));
        return value_error();
    }
    if (x->type.ndim != 2 || heads < 1 || x->type.dim[1] % heads || x->type.dim[1] / heads % 2) {
        diag_error(l->d, c->at,
                   "rope works on [T, heads * d], d even, got %s with %" PRId64 " heads",
                   type_text(l->a, &x->type), heads);
        arg_notes(l, c, 0, &x, 1);
        return value_error();
    }
    int64_t t = x->type.dim[0], d = x->type.dim[1] / heads;
    return tensor_value(rotate(l, x, t, heads, d, theta, half));
}

/* ---- random draws ---- */

static Node *draw(Lower *l, int ndim, const int64_t *dim)
{
    Type t = {.dtype = DT_F32, .batched = true, .ndim = ndim};
    for (int i = 0; i < ndim; i++)
        t.dim[i] = dim[i];
    Attr a = {0};
    a.random.site = l->g->n_sites++;
    a.random.per_step = 1;
    return graph_add(l->g, OP_RANDOM, NULL, 0, &a, &t);
}

static Value op_dropout(Lower *l, Call *c)
{
    Node *x = arg_float(l, c, 0);
    int64_t dim[BM_DIMS];
    int n;
    double p;
    if (!x || !probability(l, c, 1, &p))
        return value_error();
    n = x->type.ndim;
    memcpy(dim, x->type.dim, sizeof dim);
    if (arg_given(c, 2)) {
        if (!arg_dims(l, c, 2, dim, &n))
            return value_error();
        bool fits = n <= x->type.ndim;
        for (int i = 1; i <= n && fits; i++)
            fits = dim[n - i] == 1 || dim[n - i] == x->type.dim[x->type.ndim - i];
        if (!fits) {
            diag_error(l->d, c->b.at[2], "the mask %s of dropout does not broadcast to %s",
                       value_text(l->a, &c->b.v[2]), type_text(l->a, &x->type));
            arg_notes(l, c, 0, &x, 1);
            return value_error();
        }
    }
    if (p == 0 || !l->training)
        return tensor_value(x);
    Graph *g = l->g;
    Node *keep = g2(g, OP_LE, g_const(g, DT_F32, p), draw(l, n, dim));
    Node *scale = g3(g, OP_WHERE, keep, g_const(g, DT_F32, 1 / (1 - p)), g_const(g, DT_F32, 0));
    return tensor_value(g2(g, OP_MUL, x, scale));
}

/* random(dims...): uniform in [0, 1), a fresh draw per sample and step */
static Value op_random(Lower *l, Call *c)
{
    int64_t dim[BM_DIMS], count = 1;
    if (c->n_rest > BM_DIMS) {
        diag_error(l->d, c->at, "random of more than %d axes", BM_DIMS);
        return value_error();
    }
    for (int i = 0; i < c->n_rest; i++) {
        const ArgVal *a = &c->rest[i];
        if (a->name.text) {
            diag_error(l->d, a->name.at, "random takes sizes, it has no argument `%s`",
                       a->name.text);
            return value_error();
        }
        if (!want_int(l, &a->v, a->at, "a size of random", &dim[i]))
            return value_error();
        if (dim[i] < 1 || !mul_ok(count, dim[i], &count) || count > (int64_t)1 << 48) {
            diag_error(l->d, a->at,
                       "a size of random is at least 1 (and 2^48 in all), got %" PRId64, dim[i]);
            return value_error();
        }
    }
    return tensor_value(draw(l, c->n_rest, dim));
}

static Value op_sample_index(Lower *l, Call *c)
{
    (void)c;
    Type t = {.dtype = DT_INT, .batched = true};
    return tensor_value(graph_add(l->g, OP_SAMPLE_INDEX, NULL, 0, NULL, &t));
}

const Operator ops_heavy[] = {
    {"attention",
     "q, k, v, heads, kv_heads = heads, causal = false, mask = none, bias = none, window = none, "
     "dropout = 0, scale = none",
     op_attention, 0, true},
    {"rope", "x, heads, theta = 10000, layout = \"half\", scaling = none", op_rope, 0, true},
    {"dropout", "x, p, shape = none", op_dropout, 0, true},
    {"random", "...", op_random, 0, true},
    {"sample_index", "", op_sample_index, 0, true},
    {"Conv2d", "...", NULL, 0, false},
    {"BatchNorm", "...", NULL, 0, false},
    {"GroupNorm", "...", NULL, 0, false},
    {"conv2d", "...", NULL, 0, true},
    {"max_pool", "...", NULL, 0, true},
    {"avg_pool", "...", NULL, 0, true},
    {"slots", "...", NULL, 0, true},
    {"dispatch", "...", NULL, 0, true},
    {"combine", "...", NULL, 0, true},
    {"batch_mean", "...", NULL, 0, true},
    {"all_samples", "...", NULL, 0, true},
    {NULL, NULL, NULL, 0, false}};
