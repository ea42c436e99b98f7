/* calc_elem.c - elementwise ops: value, slopes, and the rounding of the float version (in units in
 * the last place as codegen/templates/math.h states them). */
#include "tests/random/calc.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

typedef struct Slope {
    double y, d[3]; /* value, derivative by each operand */
    double round;
} Slope;

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* Relative rounding of `ulps` units of the result. */
static Slope rounded(double y, double d, double ulps)
{
    return (Slope){y, {d}, 2 * ulps * half_ulp * fabs(y)};
}

static Slope gelu_tanh(double x)
{
    double k = sqrt(2 / pi), u = 2 * k * (x + 0.044715 * x * x * x), s = sigmoid(u);
    double du = 2 * k * (1 + 3 * 0.044715 * x * x);
    Slope r = {x * s, {s + x * s * (1 - s) * du}, 0};
    r.round = fabs(r.y) * half_ulp * (4 + 4 * fabs(u) * (1 - s));
    return r;
}

/* Its derivative as an op of its own: only values and bounds are asked of it. */
static Slope gelu_tanh_d(double x)
{
    const double h = 1e-4;
    Slope r = {gelu_tanh(x).d[0], {(gelu_tanh(x + h).d[0] - gelu_tanh(x - h).d[0]) / (2 * h)}, 0};
    double u = 2 * sqrt(2 / pi) * (x + 0.044715 * x * x * x);
    r.round = half_ulp * (4 + 4 * fabs(r.y) + 10 * fabs(u) * fmin(1, exp(-fabs(u))) * (1 + x * x));
    return r;
}

static Slope curved(Op op, double a)
{
    double s = sigmoid(a), cdf = 0.5 * erfc(-a / sqrt(2));
    switch (op) {
    case OP_SQRT:
        return rounded(sqrt(a), 0.5 / sqrt(a), 0.5);
    case OP_EXP:
        return rounded(exp(a), exp(a), 1);
    case OP_LOG:
        return rounded(log(a), 1 / a, 1);
    case OP_SIN:
        return rounded(sin(a), cos(a), 2);
    case OP_COS:
        return rounded(cos(a), -sin(a), 2);
    case OP_TANH:
        return rounded(tanh(a), 1 - tanh(a) * tanh(a), 2);
    case OP_ERF:
        return rounded(erf(a), 2 / sqrt(pi) * exp(-a * a), 3);
    case OP_SIGMOID:
        return rounded(s, s * (1 - s), 2);
    case OP_GELU:
        return rounded(a * cdf, cdf + a * exp(-0.5 * a * a) / sqrt(2 * pi), 5);
    case OP_GELU_TANH:
        return gelu_tanh(a);
    case OP_GELU_TANH_D:
        return gelu_tanh_d(a);
    case OP_SILU:
        return rounded(a * s, s + a * s * (1 - s), 2);
    case OP_SOFTPLUS:
        return rounded(fmax(a, 0) + log1p(exp(-fabs(a))), s, 2);
    case OP_ELU: /* exp(a) - 1 is off by a rounding of exp(a), however small the result */
        return rounded(a > 0 ? a : expm1(a), a > 0 ? 1 : exp(a), 2);
    default:
        BUG("calc: %s is no curve", op_info[op].name);
    }
}

static Slope one(Calc *c, Op op, const Num *x)
{
    static const Num zero;
    double a = x->v;
    if (c->strict && op == OP_LOG && !(a > 1e-2))
        calc_flaw(c, "log near 0");
    if (c->strict && op == OP_SQRT && !(a > 1e-3))
        calc_flaw(c, "sqrt near 0");
    if (op == OP_ABS || op == OP_SIGN || op == OP_RELU)
        calc_near(c, x, &zero, "near 0");
    if (op == OP_FLOOR) {
        Num below = {.v = floor(a)}, above = {.v = floor(a) + 1};
        calc_near(c, x, &below, "floor");
        calc_near(c, x, &above, "floor");
    }
    switch (op) {
    case OP_NEG:
        return (Slope){-a, {-1}, 0};
    case OP_ABS:
        return (Slope){fabs(a), {a < 0 ? -1 : 1}, 0};
    case OP_SIGN:
        return (Slope){(a > 0) - (a < 0), {0}, 0};
    case OP_FLOOR:
        return (Slope){floor(a), {0}, 0};
    case OP_RELU:
        return (Slope){a < 0 ? 0 : a, {a > 0}, 0};
    case OP_NOT:
        return (Slope){a == 0, {0}, 0};
    default:
        return curved(op, a);
    }
}

static Slope power(Calc *c, const Num *a, const Num *b)
{
    double y = pow(a->v, b->v);
    if (c->strict && (a->v < 0.05 || a->v > 50 || fabs(b->v) > 5))
        calc_flaw(c, "pow out of range");
    double by_b = a->v > 0 ? y * log(a->v) : 0;
    return (Slope){y, {b->v == 0 ? 0 : b->v * pow(a->v, b->v - 1), by_b}, 2 * half_ulp * fabs(y)};
}

static Slope arithmetic(Calc *c, Op op, const Num *x, const Num *z)
{
    double a = x->v, b = z->v;
    switch (op) {
    case OP_ADD:
        return (Slope){a + b, {1, 1}, half_ulp * fabs(a + b)};
    case OP_SUB:
        return (Slope){a - b, {1, -1}, half_ulp * fabs(a - b)};
    case OP_MUL:
        return (Slope){a * b, {b, a}, half_ulp * fabs(a * b)};
    case OP_DIV:
        if (c->strict && fabs(b) < 1e-2)
            calc_flaw(c, "divisor near 0");
        return (Slope){a / b, {1 / b, -a / (b * b)}, half_ulp * fabs(a / b)};
    case OP_MAX:
        calc_near(c, x, z, "max");
        return (Slope){fmax(a, b), {a >= b, a <= b}, 0};
    case OP_MIN:
        calc_near(c, x, z, "min");
        return (Slope){fmin(a, b), {a <= b, a >= b}, 0};
    case OP_POW:
        return power(c, x, z);
    default:
        BUG("calc: %s is no arithmetic", op_info[op].name);
    }
}

static double floor_div(double a, double b)
{
    return b == 0 ? 0 : floor(a / b);
}

/* Ints and bools: exact. */
static double logic(Calc *c, Op op, const Num *x, const Num *z)
{
    double a = x->v, b = z->v;
    switch (op) {
    case OP_IDIV:
        return floor_div(a, b);
    case OP_MOD:
        return b == 0 ? 0 : a - b * floor_div(a, b);
    case OP_AND:
        return a != 0 && b != 0;
    case OP_OR:
        return a != 0 || b != 0;
    default:
        calc_near(c, x, z, "comparison");
        return op == OP_LT ? a < b : op == OP_LE ? a <= b : op == OP_EQ ? a == b : a != b;
    }
}

static Num apply(const Slope *s, const Num *const in[], int n)
{
    Num y = {.v = s->y, .e = s->round};
    for (int i = 0; i < n; i++) {
        y.e += fabs(s->d[i]) * in[i]->e;
        for (int k = 0; k < WAYS; k++)
            y.t[k] += s->d[i] * in[i]->t[k];
    }
    return y;
}

static Num cast(Calc *c, const Num *x, DType from, DType to)
{
    if (to == DT_F32) {
        Num y = *x;
        if (from != DT_F32)
            y = (Num){.v = x->v, .e = fabs((double)(float)x->v - x->v)};
        return y;
    }
    Num y = {.v = to == DT_BOOL ? x->v != 0 : trunc(x->v)};
    if (from == DT_F32) {
        Num below = {.v = floor(x->v)}, above = {.v = floor(x->v) + 1};
        calc_near(c, x, &below, "cast");
        calc_near(c, x, &above, "cast");
    }
    return y;
}

static Num element(Calc *c, const Node *n, const Num *const in[])
{
    Op op = n->op;
    if (op == OP_DETACH)
        return (Num){.v = in[0]->v, .e = in[0]->e};
    if (op == OP_CAST)
        return cast(c, in[0], n->in[0]->type.dtype, n->type.dtype);
    if (op == OP_WHERE)
        return *in[in[0]->v != 0 ? 1 : 2];
    if (op == OP_SQRT && in[0]->v <= in[0]->e) /* of first order it would be unbounded at 0 */
        return (Num){.v = sqrt(in[0]->v), .e = sqrt(2 * in[0]->e)};
    if (n->n_in == 1) {
        Slope s = one(c, op, in[0]);
        return apply(&s, in, 1);
    }
    bool logical = op == OP_IDIV || op == OP_MOD || n->type.dtype == DT_BOOL;
    if (logical)
        return (Num){.v = logic(c, op, in[0], in[1])};
    Slope s = arithmetic(c, op, in[0], in[1]);
    if (n->type.dtype == DT_INT)
        s.round = 0;
    return apply(&s, in, 2);
}

bool calc_elementwise(Calc *c, const Node *n)
{
    if (!op_info[n->op].map && n->op != OP_CAST)
        return false;
    int64_t count = type_count(&n->type);
    for (int64_t s = 0; s < (n->type.batched ? c->batch : 1); s++)
        for (int64_t e = 0; e < count; e++) {
            const Num *in[3];
            for (int i = 0; i < n->n_in; i++)
                in[i] = &calc_at(c, n->in[i], s)[calc_source(&n->type, &n->in[i]->type, e)];
            calc_at(c, n, s)[e] = element(c, n, in);
        }
    return true;
}
