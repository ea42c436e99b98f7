/* lower_ops_elementwise.c - functions of one element; of constants they are constants. */
#include "frontend/lower_ops.h"

#include <inttypes.h>
#include <math.h>

static double gelu_of(double x)
{
    return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
}

static double apply(Op op, double x)
{
    switch (op) {
    case OP_SQRT:
        return sqrt(x);
    case OP_EXP:
        return exp(x);
    case OP_LOG:
        return log(x);
    case OP_SIN:
        return sin(x);
    case OP_COS:
        return cos(x);
    case OP_TANH:
        return tanh(x);
    case OP_ERF:
        return erf(x);
    case OP_FLOOR:
        return floor(x);
    case OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case OP_RELU:
        return x < 0 ? 0 : x;
    case OP_GELU:
        return gelu_of(x);
    case OP_SILU:
        return x / (1 + exp(-x));
    case OP_ELU:
        return x > 0 ? x : expm1(x);
    case OP_SOFTPLUS:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    default:
        BUG("%s of a constant", op_info[op].name);
    }
}

static Value constant(Lower *l, Call *c, Op op, double x)
{
    double y = apply(op, x);
    if (isfinite(y))
        return value_float(y);
    diag_error(l->d, c->at, "%s(%s) is no finite number", c->op->name,
               value_text(l->a, &c->b.v[0]));
    return value_error();
}

static Value op_unary(Lower *l, Call *c)
{
    if (is_number(&c->b.v[0]))
        return constant(l, c, (Op)c->op->aux, number_of(&c->b.v[0]));
    if (!arg_is_node(c, 0)) {
        double x;
        arg_number(l, c, 0, &x);
        return value_error();
    }
    Node *x = arg_float(l, c, 0);
    return x ? tensor_value(g1(l->g, (Op)c->op->aux, x)) : value_error();
}

static Value op_gelu(Lower *l, Call *c)
{
    const char *how = "none";
    if (arg_given(c, 1) && !arg_text(l, c, 1, &how))
        return value_error();
    bool approximate = strcmp(how, "tanh") == 0;
    if (!approximate && strcmp(how, "none") != 0) {
        diag_error(l->d, c->b.at[1], "`approximate` of gelu is none or \"tanh\", got \"%s\"", how);
        return value_error();
    }
    if (!arg_is_node(c, 0) && !approximate)
        return op_unary(l, c);
    Node *x = l->g ? arg_float(l, c, 0) : NULL;
    if (!l->g)
        diag_error(l->d, c->at, "gelu(.., approximate = \"tanh\") is for tensors");
    return x ? tensor_value(g1(l->g, approximate ? OP_GELU_TANH : OP_GELU, x)) : value_error();
}

static Value op_abs(Lower *l, Call *c)
{
    const Value *v = &c->b.v[0];
    double x;
    if (v->kind == VAL_INT && v->i != INT64_MIN)
        return value_int(v->i < 0 ? -v->i : v->i);
    if (v->kind == VAL_FLOAT)
        return value_float(fabs(v->f));
    if (!arg_is_node(c, 0)) {
        if (arg_number(l, c, 0, &x))
            diag_error(l->d, c->at, "abs(%" PRId64 ") does not fit 64 bits", v->i);
        return value_error();
    }
    return tensor_value(g1(l->g, OP_ABS, v->node));
}

static Value op_int(Lower *l, Call *c)
{
    const Value *v = &c->b.v[0];
    if (v->kind == VAL_BOOL)
        return value_int(v->b);
    if (v->kind == VAL_INT)
        return *v;
    if (arg_is_node(c, 0))
        return tensor_value(v->node->type.dtype == DT_INT ? v->node
                                                          : g_cast(l->g, v->node, DT_INT));
    double x;
    if (!arg_number(l, c, 0, &x))
        return value_error();
    if (x >= -9.2e18 && x <= 9.2e18)
        return value_int((int64_t)x);
    diag_error(l->d, c->at, "int(%s) does not fit 64 bits", value_text(l->a, v));
    return value_error();
}

static Value op_float(Lower *l, Call *c)
{
    const Value *v = &c->b.v[0];
    double x;
    if (v->kind == VAL_BOOL)
        return value_float(v->b);
    if (arg_is_node(c, 0))
        return tensor_value(v->node->type.dtype == DT_F32 ? v->node
                                                          : g_cast(l->g, v->node, DT_F32));
    return arg_number(l, c, 0, &x) ? value_float(x) : value_error();
}

static Value op_detach(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0);
    return x ? tensor_value(g1(l->g, OP_DETACH, x)) : value_error();
}

static bool broadcast_error(Lower *l, Call *c, Node *const in[], int n)
{
    Type t = {0};
    for (int i = 0; i < n; i++) {
        const Type *x = &in[i]->type;
        int ndim = x->ndim > t.ndim ? x->ndim : t.ndim;
        Type both = {.ndim = ndim};
        for (int k = 1; k <= ndim; k++) {
            int64_t p = k <= t.ndim ? t.dim[t.ndim - k] : 1,
                    q = k <= x->ndim ? x->dim[x->ndim - k] : 1;
            if (p != q && p != 1 && q != 1) {
                StrBuf s = strbuf_new(l->a);
                for (int j = 0; j < n; j++)
                    strbuf_printf(&s, "%s%s",
                                  j == 0       ? ""
                                  : j == n - 1 ? " and "
                                               : ", ",
                                  type_text(l->a, &in[j]->type));
                diag_error(l->d, c->at, "`%s` needs equal sizes, or 1, from the right: got %s",
                           c->op->name, s.text);
                arg_notes(l, c, 0, in, n);
                return true;
            }
            both.dim[ndim - k] = p == 1 ? q : p;
        }
        t = both;
    }
    return false;
}

static Value op_where(Lower *l, Call *c)
{
    const Value *cond = &c->b.v[0];
    if (cond->kind == VAL_BOOL)
        return cond->b ? c->b.v[1] : c->b.v[2];
    if (!l->g)
        return want_bool(l, cond, c->b.at[0], "the condition of where", &(bool){0}) ? value_none()
                                                                                    : value_error();
    Node *n = arg_node(l, c, 0);
    const Value *a = &c->b.v[1], *b = &c->b.v[2];
    Node *x = to_node(l, a, c->b.at[1], b->kind == VAL_TENSOR ? b->node->type.dtype : DT_INT);
    Node *y = to_node(l, b, c->b.at[2], a->kind == VAL_TENSOR ? a->node->type.dtype : DT_INT);
    if (!n || !x || !y)
        return value_error();
    l->g->at = c->at;
    if (n->type.dtype != DT_BOOL) {
        diag_error(l->d, c->b.at[0], "the condition of where is a bool, got %s",
                   type_text(l->a, &n->type));
        arg_notes(l, c, 0, &n, 1);
        return value_error();
    }
    Node *in[] = {n, x, y};
    if (broadcast_error(l, c, in, 3))
        return value_error();
    return tensor_value(g3(l->g, OP_WHERE, n, x, y));
}

static Value op_clamp(Lower *l, Call *c)
{
    double low = 0, high = 0;
    Node *x = arg_node(l, c, 0);
    if (!x || (arg_given(c, 1) && !arg_number(l, c, 1, &low)) ||
        (arg_given(c, 2) && !arg_number(l, c, 2, &high)))
        return value_error();
    if (arg_given(c, 1) && arg_given(c, 2) && low > high) {
        diag_error(l->d, c->at, "clamp: low is %s, above high, %s", value_text(l->a, &c->b.v[1]),
                   value_text(l->a, &c->b.v[2]));
        return value_error();
    }
    for (int i = 1; i <= 2; i++) {
        if (!arg_given(c, i))
            continue;
        Node *bound = to_node(l, &c->b.v[i], c->b.at[i], x->type.dtype);
        if (!bound)
            return value_error();
        l->g->at = c->at;
        x = g2(l->g, i == 1 ? OP_MAX : OP_MIN, x, bound);
    }
    return tensor_value(x);
}

const Operator ops_elementwise[] = {{"exp", "x", op_unary, OP_EXP, false},
                                    {"log", "x", op_unary, OP_LOG, false},
                                    {"sqrt", "x", op_unary, OP_SQRT, false},
                                    {"sin", "x", op_unary, OP_SIN, false},
                                    {"cos", "x", op_unary, OP_COS, false},
                                    {"tanh", "x", op_unary, OP_TANH, false},
                                    {"erf", "x", op_unary, OP_ERF, false},
                                    {"floor", "x", op_unary, OP_FLOOR, false},
                                    {"sigmoid", "x", op_unary, OP_SIGMOID, false},
                                    {"relu", "x", op_unary, OP_RELU, false},
                                    {"silu", "x", op_unary, OP_SILU, false},
                                    {"softplus", "x", op_unary, OP_SOFTPLUS, false},
                                    {"elu", "x", op_unary, OP_ELU, false},
                                    {"gelu", "x, approximate = none", op_gelu, OP_GELU, false},
                                    {"abs", "x", op_abs, 0, false},
                                    {"int", "x", op_int, 0, false},
                                    {"float", "x", op_float, 0, false},
                                    {"fp32", "x", op_float, 0, false},
                                    {"where", "condition, x, y", op_where, 0, false},
                                    {"clamp", "x, low = none, high = none", op_clamp, 0, true},
                                    {"detach", "x", op_detach, 0, true},
                                    {NULL, NULL, NULL, 0, false}};
