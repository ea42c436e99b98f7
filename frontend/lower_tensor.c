/* lower_tensor.c - operators between tensors, with messages that show both shapes and where they
 * came from. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

Value tensor_value(Node *n)
{
    if (!n || n->type.dtype == DT_ERROR)
        return value_error();
    return (Value){.kind = VAL_TENSOR, .node = n};
}

/* A constant as a tensor: ints stay ints unless `like` is float. */
Node *to_node(Lower *l, const Value *v, Span at, DType like)
{
    l->g->at = at;
    switch (v->kind) {
    case VAL_ERROR:
        return NULL;
    case VAL_TENSOR:
        return v->node;
    case VAL_INT:
        if (like == DT_F32)
            return g_const(l->g, DT_F32, (double)v->i);
        if (v->i >= INT32_MIN && v->i <= INT32_MAX)
            return g_const(l->g, DT_INT, (double)v->i);
        diag_error(l->d, at, "%" PRId64 " does not fit the 32 bits of an int tensor", v->i);
        return NULL;
    case VAL_FLOAT:
        return g_const(l->g, DT_F32, v->f);
    case VAL_BOOL:
        return g_const(l->g, DT_BOOL, v->b);
    case VAL_NONE:
    case VAL_STRING:
    case VAL_TUPLE:
    case VAL_BLOCK:
    case VAL_OPERATOR:
    case VAL_INIT:
    case VAL_MADE:
    case VAL_DATA:
    case VAL_OPTIMIZER:
    case VAL_SCHEDULE:
    case VAL_INSTANCE:
    case VAL_STACK:
        break;
    }
    diag_error(l->d, at, "a tensor or a number is needed, got %s", value_words(l->a, v));
    if (v->kind == VAL_INSTANCE && map_find(v->inst->member, "weight") >= 0)
        diag_help(l->d, "its tensor is %s.weight", v->inst->path);
    return NULL;
}

Node *as_float(Lower *l, Node *n)
{
    return n->type.dtype == DT_INT ? g_cast(l->g, n, DT_F32) : n;
}

/* ---- where shapes came from ---- */

static void operand_note(Lower *l, const Node *n, const Span *where)
{
    const char *type = type_text(l->a, &n->type);
    if (n->op == OP_PARAM || n->op == OP_BUFFER)
        diag_note(l->d, n->at, "%s `%s` is %s, declared here",
                  n->op == OP_PARAM ? "parameter" : "buffer", n->path, type);
    else if (n->op == OP_INPUT)
        diag_note(l->d, n->at, "input `%s` is %s, declared here", n->name, type);
    else if (n->name && n->instance == l->g->cur_instance)
        diag_note(l->d, n->at, "`%s` is %s, made here", n->name, type);
    else if (where)
        diag_note(l->d, *where, "`%s` is %s", source_text(l, *where), type);
}

void operand_notes(Lower *l, Node *const n[], const Span where[], int count)
{
    for (int i = 0; i < count; i++) {
        bool again = false;
        for (int k = 0; k < i; k++)
            again |= n[k] == n[i];
        if (!again)
            operand_note(l, n[i], where ? &where[i] : NULL);
        const Node *base = n[i]->op == OP_TRANSPOSE ? n[i]->in[0] : NULL;
        if (!again && base && base->op == OP_PARAM) /* w' has the shape, w the declaration */
            operand_note(l, base, NULL);
    }
}

/* ---- elementwise ---- */

/* The first axis from the right where sizes differ and neither is 1; -1: they broadcast. */
static int clash(const Type *a, const Type *b)
{
    for (int i = 1; i <= a->ndim && i <= b->ndim; i++) {
        int64_t x = a->dim[a->ndim - i], y = b->dim[b->ndim - i];
        if (x != y && x != 1 && y != 1)
            return i;
    }
    return -1;
}

static bool check_broadcast(Lower *l, Node *a, Node *b, Span at, const Span where[2],
                            const char *sign)
{
    int i = clash(&a->type, &b->type);
    if (i < 0)
        return true;
    diag_error(l->d, at,
               "`%s` needs equal sizes, or 1, from the right: got %s and %s (%" PRId64
               " and %" PRId64 ")",
               sign, type_text(l->a, &a->type), type_text(l->a, &b->type),
               a->type.dim[a->type.ndim - i], b->type.dim[b->type.ndim - i]);
    Node *in[] = {a, b};
    operand_notes(l, in, where, 2);
    return false;
}

static bool no_bools(Lower *l, Node *a, Node *b, Span at, const Span where[2], const char *sign)
{
    Node *bad = a->type.dtype == DT_BOOL ? a : b;
    if (bad->type.dtype != DT_BOOL)
        return true;
    diag_error(l->d, at, "`%s` needs numbers, got %s", sign, type_text(l->a, &bad->type));
    operand_notes(l, &bad, &where[bad == b], 1);
    diag_help(l->d, "where(condition, 1, 0) is a number");
    return false;
}

static bool both_bools(Lower *l, Node *a, Node *b, Span at, const Span where[2], const char *sign)
{
    Node *bad = a->type.dtype != DT_BOOL ? a : b;
    if (bad->type.dtype == DT_BOOL)
        return true;
    diag_error(l->d, at, "`%s` needs bools, got %s", sign, type_text(l->a, &bad->type));
    operand_notes(l, &bad, &where[bad == b], 1);
    return false;
}

static Node *compare(Lower *l, BinaryOp op, Node *a, Node *b)
{
    switch (op) {
    case BIN_LT:
        return g2(l->g, OP_LT, a, b);
    case BIN_LE:
        return g2(l->g, OP_LE, a, b);
    case BIN_GT:
        return g2(l->g, OP_LT, b, a);
    case BIN_GE:
        return g2(l->g, OP_LE, b, a);
    case BIN_EQ:
        return g2(l->g, OP_EQ, a, b);
    case BIN_NE:
        return g2(l->g, OP_NE, a, b);
    case BIN_OR:
    case BIN_AND:
    case BIN_ADD:
    case BIN_SUB:
    case BIN_MUL:
    case BIN_DIV:
    case BIN_IDIV:
    case BIN_MOD:
    case BIN_MATMUL:
    case BIN_POW:
        break;
    }
    BUG("`%s` compares nothing", binary_text(op));
}

/* `//` and `%` of floats, towards minus infinity as for ints. */
static Node *floor_divide(Lower *l, BinaryOp op, Node *a, Node *b)
{
    Graph *g = l->g;
    if (a->type.dtype == DT_INT && b->type.dtype == DT_INT)
        return g2(g, op == BIN_IDIV ? OP_IDIV : OP_MOD, a, b);
    a = as_float(l, a);
    b = as_float(l, b);
    Node *q = g1(g, OP_FLOOR, g2(g, OP_DIV, a, b));
    return op == BIN_IDIV ? q : g2(g, OP_SUB, a, g2(g, OP_MUL, b, q));
}

static Node *times(Lower *l, Node *x, int64_t k)
{
    if (k == 1)
        return x;
    Node *half = times(l, x, k / 2), *square = g2(l->g, OP_MUL, half, half);
    return k % 2 ? g2(l->g, OP_MUL, square, x) : square;
}

/* Small powers are products, halves are roots; the rest is exp(b log a) inside POW. */
static Node *power(Lower *l, Node *x, Node *y, const Value *exponent)
{
    enum { MOST = 8 };
    Graph *g = l->g;
    if (is_number(exponent)) {
        double k = number_of(exponent), size = k < 0 ? -k : k;
        Node *p = NULL;
        if (size >= 1 && size <= MOST && size == (double)(int64_t)size)
            p = times(l, x, (int64_t)size);
        else if (size == 0.5)
            p = g1(g, OP_SQRT, as_float(l, x));
        if (p)
            return k < 0 ? g2(g, OP_DIV, g_const(g, DT_F32, 1), as_float(l, p)) : p;
    }
    return g2(g, OP_POW, as_float(l, x), as_float(l, y));
}

static Node *arithmetic(Lower *l, BinaryOp op, Node *a, Node *b, const Value *right)
{
    Graph *g = l->g;
    switch (op) {
    case BIN_ADD:
        return g2(g, OP_ADD, a, b);
    case BIN_SUB:
        return g2(g, OP_SUB, a, b);
    case BIN_MUL:
        return g2(g, OP_MUL, a, b);
    case BIN_DIV:
        return g2(g, OP_DIV, as_float(l, a), as_float(l, b));
    case BIN_IDIV:
    case BIN_MOD:
        return floor_divide(l, op, a, b);
    case BIN_POW:
        return power(l, a, b, right);
    case BIN_OR:
        return g2(g, OP_OR, a, b);
    case BIN_AND:
        return g2(g, OP_AND, a, b);
    case BIN_EQ:
    case BIN_NE:
    case BIN_LT:
    case BIN_LE:
    case BIN_GT:
    case BIN_GE:
        return compare(l, op, a, b);
    case BIN_MATMUL:
        break;
    }
    BUG("`%s` is not elementwise", binary_text(op));
}

/* ---- `@` ---- */

static Node *with_axis(Lower *l, Node *n, bool first)
{
    int64_t dim[2] = {1, 1};
    dim[first ? 1 : 0] = n->type.dim[0];
    return g_reshape(l->g, n, 2, dim);
}

/* The member whose weight this is, transposed or not, for the line that would fit. */
static void matmul_notes(Lower *l, Node *a, Node *b, const Span where[2])
{
    Node *in[] = {a, b};
    operand_notes(l, in, where, 2);
    bool right = b->op == OP_PARAM && b->type.ndim == 2 && a->type.ndim >= 1 &&
                 a->type.dim[a->type.ndim - 1] == b->type.dim[1];
    if (right)
        diag_help(l->d, "' swaps the last two axes: %s'", b->name);
}

static Value build_matmul(Lower *l, Node *a, Node *b, Span at, const Span where[2])
{
    Node *in[] = {a, b};
    for (int i = 0; i < 2; i++) {
        if (in[i]->type.ndim && in[i]->type.dtype == DT_F32)
            continue;
        diag_error(l->d, at, "`@` needs float tensors with an axis, got %s",
                   type_text(l->a, &in[i]->type));
        operand_notes(l, &in[i], &where[i], 1);
        return value_error();
    }
    bool row = a->type.ndim == 1, column = b->type.ndim == 1;
    int64_t k = a->type.dim[a->type.ndim - 1], m = b->type.dim[column ? 0 : b->type.ndim - 2];
    if (k != m) {
        diag_error(l->d, at,
                   "`@` needs equal inner sizes, got %" PRId64 " and %" PRId64 " (%s @ %s)", k, m,
                   type_text(l->a, &a->type), type_text(l->a, &b->type));
        matmul_notes(l, a, b, where);
        return value_error();
    }
    l->g->at = at;
    Node *n =
        g2(l->g, OP_MATMUL, row ? with_axis(l, a, true) : a, column ? with_axis(l, b, false) : b);
    if (n->type.dtype == DT_ERROR)
        return value_error();
    uint32_t drop = (row ? axis_bit(n, -2) : 0) | (column ? axis_bit(n, -1) : 0);
    return tensor_value(drop ? g_squeeze(l->g, n, drop) : n);
}

/* ---- all of them ---- */

/* What a constant becomes beside a tensor. */
static DType like_of(const Value *other)
{
    return other->kind == VAL_TENSOR ? other->node->type.dtype : DT_F32;
}

Value build_binary(Lower *l, BinaryOp op, const Value *left, const Value *right, Span at,
                   const Span where[2])
{
    const char *sign = binary_text(op);
    Node *a = to_node(l, left, where[0], like_of(right));
    Node *b = to_node(l, right, where[1], like_of(left));
    if (!a || !b)
        return value_error();
    l->g->at = at;
    if (op == BIN_MATMUL)
        return build_matmul(l, a, b, at, where);
    bool logic = op == BIN_AND || op == BIN_OR;
    bool equality = op == BIN_EQ || op == BIN_NE;
    bool bools = a->type.dtype == DT_BOOL && b->type.dtype == DT_BOOL;
    if (logic ? !both_bools(l, a, b, at, where, sign)
              : !(equality && bools) && !no_bools(l, a, b, at, where, sign))
        return value_error();
    if (!check_broadcast(l, a, b, at, where, sign))
        return value_error();
    return tensor_value(arithmetic(l, op, a, b, right));
}
