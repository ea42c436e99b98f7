/* lower_ops_axis.c - reductions and other operators along axes. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

/* Numbers only; a bool is counted by `average`, not by sums. */
static Node *arg_numbers(Lower *l, Call *c, int i)
{
    Node *x = arg_node(l, c, i);
    if (!x || x->type.dtype != DT_BOOL)
        return x;
    diag_error(l->d, c->b.at[i], "`%s` needs numbers, got %s", c->op->name,
               type_text(l->a, &x->type));
    arg_notes(l, c, i, &x, 1);
    diag_help(l->d, "int(x) counts: false is 0, true is 1");
    return NULL;
}

static Node *dropped(Lower *l, Node *n, uint32_t axes, bool keep)
{
    return keep || !axes || n->type.dtype == DT_ERROR ? n : g_squeeze(l->g, n, axes);
}

/* Arguments 0: x, `axis`: axis, `axis` + 1: keep. */
static Node *reduce_args(Lower *l, Call *c, int axis, uint32_t *axes, bool *keep)
{
    Node *x = arg_numbers(l, c, 0);
    *keep = false;
    if (!x || !arg_axes(l, c, axis, x, axes) ||
        (c->b.given[axis + 1] && !arg_bool(l, c, axis + 1, keep)))
        return NULL;
    return x;
}

static Value op_sum(Lower *l, Call *c)
{
    uint32_t axes;
    bool keep;
    Node *x = reduce_args(l, c, 1, &axes, &keep);
    if (!x)
        return value_error();
    return tensor_value(dropped(l, axes ? g_reduce(l->g, OP_SUM, x, axes) : x, axes, keep));
}

static Value op_mean(Lower *l, Call *c)
{
    uint32_t axes;
    bool keep;
    Node *x = reduce_args(l, c, 1, &axes, &keep);
    if (!x)
        return value_error();
    x = as_float(l, x);
    double n = 1;
    for (int i = 0; i < x->type.ndim; i++)
        n *= axes >> i & 1 ? (double)x->type.dim[i] : 1;
    if (axes)
        x = g2(l->g, OP_MUL, g_reduce(l->g, OP_SUM, x, axes), g_const(l->g, DT_F32, 1 / n));
    return tensor_value(dropped(l, x, axes, keep));
}

static Value extreme_of_tuple(Lower *l, Call *c, const Value *v, int n)
{
    const Value *best = v;
    bool least = c->op->aux == OP_MIN;
    double x;
    if (n == 0) {
        diag_error(l->d, c->at, "%s of an empty tuple", c->op->name);
        return value_error();
    }
    for (int i = 0; i < n; i++) {
        if (!want_number(l, &v[i], c->at, arena_printf(l->a, "an argument of %s", c->op->name), &x))
            return value_error();
        BinaryOp before = least ? BIN_LT : BIN_GT;
        if (const_binary(l, before, &v[i], best, c->at).b)
            best = &v[i];
    }
    return *best;
}

/* max(a, b) element by element; max(x, axis = ..) over axes. */
static Value op_extreme(Lower *l, Call *c)
{
    Op op = (Op)c->op->aux;
    const Value *x = &c->b.v[0], *y = &c->b.v[1];
    if (x->kind == VAL_TUPLE && !c->b.given[1])
        return extreme_of_tuple(l, c, x->tuple->v, x->tuple->n);
    if (c->b.given[1] && !arg_is_node(c, 0) && !arg_is_node(c, 1)) {
        Value two[] = {*x, *y};
        return extreme_of_tuple(l, c, two, 2);
    }
    if (!l->g || (!arg_is_node(c, 0) && !arg_is_node(c, 1))) {
        diag_error(l->d, c->at, "%s takes two numbers, a tuple of numbers, or tensors",
                   c->op->name);
        return value_error();
    }
    if (c->b.given[1]) {
        if (c->b.given[2] || c->b.given[3]) {
            diag_error(l->d, c->at, "%s(a, b) goes element by element: no axis", c->op->name);
            return value_error();
        }
        Node *a = to_node(l, x, c->at, y->kind == VAL_TENSOR ? y->node->type.dtype : DT_INT);
        Node *b = to_node(l, y, c->at, x->kind == VAL_TENSOR ? x->node->type.dtype : DT_INT);
        return a && b ? tensor_value(g2(l->g, op, a, b)) : value_error();
    }
    uint32_t axes;
    bool keep;
    Node *n = reduce_args(l, c, 2, &axes, &keep);
    if (!n)
        return value_error();
    if (axes && op == OP_MIN)
        n = g1(l->g, OP_NEG, g_reduce(l->g, OP_MAX_OF, g1(l->g, OP_NEG, n), axes));
    else if (axes)
        n = g_reduce(l->g, OP_MAX_OF, n, axes);
    return tensor_value(dropped(l, n, axes, keep));
}

static Value op_argmax(Lower *l, Call *c)
{
    Node *x = arg_numbers(l, c, 0);
    int axis;
    bool keep = false;
    if (!x || !arg_axis(l, c, 1, x, &axis) || (c->b.given[2] && !arg_bool(l, c, 2, &keep)))
        return value_error();
    uint32_t axes = axis_bit(x, axis);
    return tensor_value(dropped(l, g_reduce(l->g, OP_ARGMAX, x, axes), axes, keep));
}

static Value op_softmax(Lower *l, Call *c)
{
    Node *x = arg_float(l, c, 0);
    int axis;
    if (!x || !arg_axis(l, c, 1, x, &axis))
        return value_error();
    return tensor_value(g_reduce(l->g, OP_SOFTMAX, x, axis_bit(x, axis)));
}

static Value op_logsumexp(Lower *l, Call *c)
{
    uint32_t axes;
    bool keep;
    Node *x = reduce_args(l, c, 1, &axes, &keep);
    if (!x)
        return value_error();
    x = as_float(l, x);
    for (int i = 0; i < x->type.ndim; i++) /* axis after axis: the order of the sum is given */
        if (axes >> i & 1)
            x = g_reduce(l->g, OP_LOGSUMEXP, x, 1u << i);
    return tensor_value(dropped(l, x, axes, keep));
}

static Value op_cumsum(Lower *l, Call *c)
{
    Node *x = arg_numbers(l, c, 0);
    int axis;
    if (!x || !arg_axis(l, c, 1, x, &axis))
        return value_error();
    Attr a = {0};
    a.cumsum.axes = axis_bit(x, axis);
    return tensor_value(graph_add(l->g, OP_CUMSUM, &x, 1, &a, NULL));
}

static Value op_top_k(Lower *l, Call *c)
{
    Node *x = arg_float(l, c, 0);
    int64_t k;
    if (!x || !arg_int(l, c, 1, &k))
        return value_error();
    if (x->type.ndim == 0 || k < 1 || k > x->type.dim[x->type.ndim - 1]) {
        diag_error(l->d, c->at, "top_k: the last axis of %s has no %" PRId64 " largest",
                   type_text(l->a, &x->type), k);
        arg_notes(l, c, 0, &x, 1);
        return value_error();
    }
    Attr a = {0};
    a.top_k.k = (int)k;
    Node *n = graph_add(l->g, OP_TOP_K, &x, 1, &a, NULL);
    if (n->type.dtype == DT_ERROR)
        return value_error();
    Value both[] = {tensor_value(n), tensor_value(g_part(l->g, n, 1))};
    return value_tuple(l->a, both, 2);
}

static Value op_one_hot(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0);
    int64_t n;
    if (!x || !arg_int(l, c, 1, &n))
        return value_error();
    if (x->type.dtype != DT_INT || n < 1) {
        diag_error(l->d, c->at, "one_hot takes ints and at least 1 class, got %s and %" PRId64,
                   type_text(l->a, &x->type), n);
        arg_notes(l, c, 0, &x, 1);
        return value_error();
    }
    Attr a = {0};
    a.scatter.rows = n;
    return tensor_value(graph_add(l->g, OP_ONE_HOT, &x, 1, &a, NULL));
}

const Operator ops_axis[] = {
    {"sum", "x, axis = none, keep = false", op_sum, 0, true},
    {"mean", "x, axis = none, keep = false", op_mean, 0, true},
    {"max", "x, other = none, axis = none, keep = false", op_extreme, OP_MAX, false},
    {"min", "x, other = none, axis = none, keep = false", op_extreme, OP_MIN, false},
    {"argmax", "x, axis = -1, keep = false", op_argmax, 0, true},
    {"softmax", "x, axis = -1", op_softmax, 0, true},
    {"logsumexp", "x, axis = none, keep = false", op_logsumexp, 0, true},
    {"cumsum", "x, axis = -1", op_cumsum, 0, true},
    {"top_k", "x, k", op_top_k, 0, true},
    {"one_hot", "x, classes", op_one_hot, 0, true},
    {NULL, NULL, NULL, 0, false}};
