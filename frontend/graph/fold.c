#include "frontend/graph/fold.h"
#include "frontend/graph/rules.h"

#include <math.h>
#include <string.h>

bool is_elementwise(Op op)
{
    return op_info[op].map || op == OP_CAST;
}

bool is_view(Op op)
{
    return op == OP_RESHAPE || op == OP_TRANSPOSE || op == OP_SLICE || op == OP_BROADCAST;
}

bool is_const(const Node *n, double value)
{
    return n->op == OP_CONST && n->attr.constant.value == value;
}

static double floor_div(double a, double b)
{
    return floor(a / b);
}

/* One step of constant arithmetic; false for ops that are left to run. */
static bool compute(Op op, const double *v, double *out)
{
    static const struct {
        Op op;
        double (*f)(double);
    } one[] = {{OP_FLOOR, floor}, {OP_SQRT, sqrt}, {OP_EXP, exp},  {OP_LOG, log},
               {OP_SIN, sin},     {OP_COS, cos},   {OP_TANH, tanh}};
    for (int i = 0; i < countof(one); i++)
        if (one[i].op == op) {
            *out = one[i].f(v[0]);
            return isfinite(*out);
        }
    double a = v[0], b = v[1];
    double r = op == OP_NEG     ? -a
               : op == OP_ABS   ? fabs(a)
               : op == OP_SIGN  ? (a > 0) - (a < 0)
               : op == OP_RELU  ? (a < 0 ? 0 : a)
               : op == OP_NOT   ? !(a != 0)
               : op == OP_ADD   ? a + b
               : op == OP_SUB   ? a - b
               : op == OP_MUL   ? a * b
               : op == OP_DIV   ? a / b
               : op == OP_MAX   ? (a < b || b != b ? b : a)
               : op == OP_MIN   ? (a > b || b != b ? b : a)
               : op == OP_POW   ? pow(a, b)
               : op == OP_IDIV  ? floor_div(a, b)
               : op == OP_MOD   ? a - b * floor_div(a, b)
               : op == OP_LT    ? a < b
               : op == OP_LE    ? a <= b
               : op == OP_EQ    ? a == b
               : op == OP_NE    ? a != b
               : op == OP_AND   ? a != 0 && b != 0
               : op == OP_OR    ? a != 0 || b != 0
               : op == OP_WHERE ? (a != 0 ? b : v[2])
                                : NAN;
    *out = r;
    return isfinite(r);
}

static double cast_value(double v, DType to)
{
    return to == DT_BOOL ? v != 0 : to == DT_INT ? trunc(v) : v;
}

/* Whether a constant of that dtype can hold the value; infinity stays an op of the model's own. */
static bool fits(DType t, double v)
{
    return t != DT_INT || (v >= INT32_MIN && v <= INT32_MAX);
}

static Node *fold_constants(Graph *g, Op op, Node *const in[], int n_in, const Type *type)
{
    double v[3] = {0, 0, 0}, out;
    if (!is_elementwise(op) || n_in < 1 || op == OP_DETACH)
        return NULL;
    for (int i = 0; i < n_in; i++) {
        if (in[i]->op != OP_CONST)
            return NULL;
        v[i] = in[i]->attr.constant.value;
    }
    if (op == OP_CAST)
        return fits(type->dtype, trunc(v[0]))
                   ? g_const(g, type->dtype, cast_value(v[0], type->dtype))
                   : NULL;
    if (!compute(op, v, &out))
        return NULL;
    Type t = op_type(g, op, in, n_in, NULL, NULL);
    return t.dtype != DT_ERROR && fits(t.dtype, out) ? g_const(g, t.dtype, out) : NULL;
}

bool const_value(const Node *n, double *value)
{
    double v[3] = {0, 0, 0};
    if (n->op == OP_CONST) {
        *value = n->attr.constant.value;
        return true;
    }
    if (n->type.ndim || !(is_elementwise(n->op) || is_view(n->op)))
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (!const_value(n->in[i], &v[i]))
            return false;
    if (is_view(n->op) || n->op == OP_DETACH || n->op == OP_CAST) {
        *value = cast_value(v[0], n->type.dtype);
        return true;
    }
    return compute(n->op, v, value);
}

/* x op 1, -(-x) and the like: the result is an operand, or one cheaper op. */
static Node *fold_identity(Graph *g, Op op, Node *const in[], int n_in)
{
    Node *a = in[0], *b = n_in > 1 ? in[1] : NULL;
    if ((op == OP_MUL || op == OP_DIV) && is_const(b, 1))
        return a;
    if (op == OP_MUL && is_const(a, 1))
        return b;
    if (op == OP_SUB && is_const(b, 0) && !signbit(b->attr.constant.value))
        return a;
    if (op == OP_ADD && a->type.dtype == DT_INT && is_const(b, 0))
        return a;
    if (op == OP_ADD && a->type.dtype == DT_INT && is_const(a, 0))
        return b;
    if (op == OP_ADD && b->op == OP_NEG)
        return g2(g, OP_SUB, a, b->in[0]);
    if (op == OP_SUB && b->op == OP_NEG)
        return g2(g, OP_ADD, a, b->in[0]);
    if ((op == OP_NEG && a->op == OP_NEG) || (op == OP_NOT && a->op == OP_NOT))
        return a->in[0];
    if (op == OP_POW && is_const(b, 1))
        return a;
    if (op == OP_POW && is_const(b, 2))
        return g2(g, OP_MUL, a, a);
    if (op == OP_AND && is_const(a, 1))
        return b;
    if (op == OP_AND && is_const(b, 1))
        return a;
    return NULL;
}

/* where(c, a, b) with a known condition, or with nothing to choose. */
static Node *fold_where(Node *const in[], const Type *result)
{
    Node *pick = in[0]->op == OP_CONST ? in[in[0]->attr.constant.value != 0 ? 1 : 2]
                 : in[1] == in[2]      ? in[1]
                                       : NULL;
    return pick && type_same(&pick->type, result) ? pick : NULL;
}

/* An op on broadcast values is done once and its result broadcast. */
static Node *fold_broadcast(Graph *g, Op op, Node *const in[], int n_in, const Type *type)
{
    Node *small[3];
    bool any = false;
    for (int i = 0; i < n_in; i++) {
        bool b = in[i]->op == OP_BROADCAST;
        small[i] = b ? in[i]->in[0] : in[i];
        any |= b;
    }
    if (!any)
        return NULL;
    Type t = op_type(g, op, in, n_in, NULL, type);
    if (t.dtype == DT_ERROR)
        return NULL;
    return g_broadcast(g, graph_make(g, op, small, n_in, NULL, type), &t);
}

static Node *fold_elementwise(Graph *g, Op op, Node *const in[], int n_in, const Type *type)
{
    Node *r = fold_constants(g, op, in, n_in, type);
    if (!r)
        r = fold_broadcast(g, op, in, n_in, type);
    if (r)
        return r;
    if (op == OP_CAST)
        return in[0]->type.dtype == type->dtype ? in[0] : NULL;
    Type t = op_type(g, op, in, n_in, NULL, NULL);
    if (t.dtype == DT_ERROR)
        return NULL;
    if (op == OP_WHERE)
        return fold_where(in, &t);
    r = fold_identity(g, op, in, n_in);
    return r && type_same(&r->type, &t) ? r : NULL;
}

static bool is_identity(const Attr *a, int ndim)
{
    for (int i = 0; i < ndim; i++)
        if (a->transpose.perm[i] != i)
            return false;
    return true;
}

/* A view that changes nothing, and a view of a view of its own kind. */
static Node *fold_view(Graph *g, Op op, Node *x, const Attr *attr, const Type *type)
{
    Type t = op_type(g, op, &x, 1, attr, type);
    if (t.dtype == DT_ERROR)
        return NULL;
    bool still = type_same(&t, &x->type);
    if (op == OP_TRANSPOSE ? is_identity(attr, x->type.ndim) : still)
        return x;
    if (x->op == OP_BROADCAST && (x->in[0]->type.ndim == 0 || op == OP_BROADCAST))
        return g_broadcast(g, x->in[0], &t);
    if (op == OP_TRANSPOSE &&
        x->op == OP_MATMUL_ACC) { /* (a' b)' = b' a: made in the order wanted */
        Node *swapped[] = {x->in[1], x->in[0]};
        return graph_make(g, OP_MATMUL_ACC, swapped, 2, NULL, NULL);
    }
    if (x->op != op)
        return NULL;
    Attr merged = {0};
    if (op == OP_RESHAPE)
        return graph_make(g, op, x->in, 1, NULL, &t);
    if (op == OP_TRANSPOSE) {
        for (int i = 0; i < t.ndim; i++)
            merged.transpose.perm[i] = x->attr.transpose.perm[attr->transpose.perm[i]];
        return graph_make(g, op, x->in, 1, &merged, NULL);
    }
    if (op == OP_SLICE && x->attr.slice.axis == attr->slice.axis) {
        merged.slice.axis = attr->slice.axis;
        merged.slice.lo = x->attr.slice.lo + attr->slice.lo;
        merged.slice.hi = x->attr.slice.lo + attr->slice.hi;
        return graph_make(g, op, x->in, 1, &merged, NULL);
    }
    return NULL;
}

/* Rows start, start + 1, ... of a table are a slice of it. */
static Node *fold_gather(Graph *g, Node *table, const Node *idx)
{
    if (idx->op != OP_IOTA || idx->type.ndim != 1 || idx->attr.iota.step != 1 ||
        table->type.ndim < 1)
        return NULL;
    int64_t lo = idx->attr.iota.start, hi = lo + idx->type.dim[0];
    return lo < 0 || hi > table->type.dim[0] ? NULL : g_slice(g, table, 0, lo, hi);
}

static Node *fold_reduce(Node *x, uint32_t axes)
{
    for (int i = 0; i < x->type.ndim; i++)
        if ((axes >> i & 1) && x->type.dim[i] != 1)
            return NULL;
    return axes < 1u << x->type.ndim && x->type.dtype != DT_BOOL ? x : NULL;
}

static Node *fold(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type)
{
    for (int i = 0; i < n_in; i++)
        if (in[i]->type.dtype == DT_ERROR)
            return NULL;
    if (is_elementwise(op))
        return fold_elementwise(g, op, in, n_in, type);
    if (is_view(op))
        return fold_view(g, op, in[0], attr, type);
    if (op == OP_GATHER)
        return fold_gather(g, in[0], in[1]);
    if (op == OP_SUM || op == OP_MAX_OF)
        return fold_reduce(in[0], attr->reduce.axes);
    if (op == OP_PAD && attr->pad.before == 0 && attr->pad.after == 0)
        return in[0];
    if (op == OP_CONCAT && n_in == 1)
        return in[0];
    return NULL;
}

Node *graph_make(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type)
{
    int errors = g->diag->errors;
    Node *n = fold(g, op, in, n_in, attr, type);
    if (n)
        return n;
    if (g->diag->errors == errors)
        return graph_add(g, op, in, n_in, attr, type);
    Type error = {.dtype = DT_ERROR}; /* fold() has reported what graph_add() would */
    return graph_add(g, OP_INPUT, NULL, 0, NULL, &error);
}
