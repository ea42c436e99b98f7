/* build.c - the short forms by which passes write nodes. */
#include "frontend/graph/fold.h"
#include "frontend/graph/rules.h"

#include <string.h>

static bool takes_numbers(Op op)
{
    return op == OP_ADD || op == OP_SUB || op == OP_MUL || op == OP_MAX || op == OP_MIN ||
           op == OP_LT || op == OP_LE || op == OP_EQ || op == OP_NE;
}

/* Ints become floats where the op needs floats or another operand is one. */
static void promote(Graph *g, Op op, Node *in[], int first, int n)
{
    bool mixes = takes_numbers(op) || op == OP_WHERE, any_float = false;
    for (int i = first; i < n; i++)
        any_float |= in[i]->type.dtype == DT_F32;
    if (!(mixes && any_float) && !op_wants_float(op))
        return;
    for (int i = first; i < n; i++)
        if (in[i]->type.dtype == DT_INT)
            in[i] = g_cast(g, in[i], DT_F32);
}

Node *g1(Graph *g, Op op, Node *a)
{
    promote(g, op, &a, 0, 1);
    return graph_make(g, op, &a, 1, NULL, NULL);
}

Node *g2(Graph *g, Op op, Node *a, Node *b)
{
    Node *in[2] = {a, b};
    promote(g, op, in, 0, 2);
    return graph_make(g, op, in, 2, NULL, NULL);
}

Node *g3(Graph *g, Op op, Node *a, Node *b, Node *c)
{
    Node *in[3] = {a, b, c};
    promote(g, op, in, 1, 3);
    return graph_make(g, op, in, 3, NULL, NULL);
}

Node *g_const(Graph *g, DType t, double value)
{
    Attr a = {.constant = {value}};
    Type type = {.dtype = t};
    return graph_add(g, OP_CONST, NULL, 0, &a, &type);
}

Node *g_iota(Graph *g, const Type *t, int axis, int64_t start, int64_t step)
{
    Attr a = {.iota = {.start = start, .step = step, .axis = axis}};
    return graph_add(g, OP_IOTA, NULL, 0, &a, t);
}

Node *g_reduce(Graph *g, Op op, Node *x, uint32_t axes)
{
    Attr a = {.reduce = {axes}};
    return graph_make(g, op, &x, 1, &a, NULL);
}

Node *g_reshape(Graph *g, Node *x, int ndim, const int64_t *dim)
{
    Type t = {.ndim = ndim};
    assert(ndim <= BM_DIMS && "the caller has checked the number of axes");
    memcpy(t.dim, dim, (size_t)ndim * sizeof *dim);
    return graph_make(g, OP_RESHAPE, &x, 1, NULL, &t);
}

Node *g_transpose(Graph *g, Node *x, const int *perm)
{
    Attr a = {0};
    memcpy(a.transpose.perm, perm, (size_t)x->type.ndim * sizeof *perm);
    return graph_make(g, OP_TRANSPOSE, &x, 1, &a, NULL);
}

Node *g_swap(Graph *g, Node *x)
{
    int perm[BM_DIMS] = {0}, n = x->type.ndim;
    if (x->type.dtype != DT_ERROR && n < 2) {
        diag_error(g->diag, g->at, "transpose swaps the last two axes, but %s has %d",
                   type_text(g->arena, &x->type), n);
        Type error = {.dtype = DT_ERROR};
        return graph_add(g, OP_INPUT, NULL, 0, NULL, &error);
    }
    for (int i = 0; i < n; i++)
        perm[i] = i < n - 2 ? i : 2 * n - 3 - i;
    return g_transpose(g, x, perm);
}

Node *g_slice(Graph *g, Node *x, int axis, int64_t lo, int64_t hi)
{
    Attr a = {.slice = {.axis = axis < 0 ? axis + x->type.ndim : axis, .lo = lo, .hi = hi}};
    return graph_make(g, OP_SLICE, &x, 1, &a, NULL);
}

Node *g_pad(Graph *g, Node *x, int axis, int64_t before, int64_t after)
{
    Attr a = {
        .pad = {.axis = axis < 0 ? axis + x->type.ndim : axis, .before = before, .after = after}};
    return graph_make(g, OP_PAD, &x, 1, &a, NULL);
}

Node *g_concat(Graph *g, Node *const x[], int n, int axis)
{
    Attr a = {.concat = {axis < 0 ? axis + x[0]->type.ndim : axis}};
    return graph_make(g, OP_CONCAT, x, n, &a, NULL);
}

Node *g_broadcast(Graph *g, Node *x, const Type *to)
{
    return graph_make(g, OP_BROADCAST, &x, 1, NULL, to);
}

Node *g_cast(Graph *g, Node *x, DType t)
{
    Type type = {.dtype = t};
    return graph_make(g, OP_CAST, &x, 1, NULL, &type);
}

Node *g_part(Graph *g, Node *x, int index)
{
    Attr a = {.part = {index}};
    return graph_make(g, OP_PART, &x, 1, &a, NULL);
}

Node *g_squeeze(Graph *g, Node *x, uint32_t axes)
{
    int64_t dim[BM_DIMS];
    int n = 0;
    for (int i = 0; i < x->type.ndim; i++)
        if (!(axes >> i & 1))
            dim[n++] = x->type.dim[i];
    return g_reshape(g, x, n, dim);
}
