/* What the operators and the blocks of the prelude compute: each expression is lowered, run in the
 * interpreter, and compared with numbers worked out by hand or with its formula. */
#include "tests/interp/interp.h"
#include "tests/unit/lower_fixture.h"

typedef struct Leaves {
    const Model *m;
    double x[2 * 6], i[2 * 3], b[2 * 3];
    double w[64]; /* every parameter: w[k] */
} Leaves;

static const double first_x[6] = {0.5, -1, 2, 3, 0.25, -2};
static const double first_i[3] = {1, 0, 1}, first_b[3] = {1, 0, 0};

static const double *leaf(void *ctx, const Node *n)
{
    const Leaves *v = ctx;
    if (n->op == OP_PARAM || n->op == OP_BUFFER)
        return v->w;
    const char *name = v->m->input.v[n->attr.leaf.leaf].name;
    return *name == 'x' ? v->x : *name == 'i' ? v->i : v->b;
}

static double half(void *ctx, int site, bool per_step, int64_t sample, int64_t element)
{
    (void)ctx, (void)site, (void)per_step, (void)sample;
    return element % 2 ? 0.75 : 0.25;
}

static void fill(Leaves *v, const Model *m)
{
    v->m = m;
    for (int s = 0; s < 2; s++) { /* the second sample is the first, plus one */
        for (int k = 0; k < 6; k++)
            v->x[6 * s + k] = first_x[k] + s;
        memcpy(v->i + 3 * s, first_i, sizeof first_i);
        memcpy(v->b + 3 * s, first_b, sizeof first_b);
    }
    for (int k = 0; k < 64; k++)
        v->w[k] = 0.1 * (k + 1);
}

/* The node reported as `y`, computed for a batch of two. */
static const double *compute(Fix *f, const Program *p, Interp *it, Leaves *v, Node **y)
{
    *y = p->report.v[0].value;
    fill(v, f->m);
    *it = (Interp){
        .arena = f->arena, .g = p->graph, .batch = 2, .leaf = leaf, .random = half, .ctx = v};
    interp_run(it, y, 1);
    return it->value[(*y)->id];
}

static Fix *lower_expression(const char *members, const char *expression)
{
    char source[4096];
    snprintf(source, sizeof source,
             "model M {\n  p: param[2, 3] ~ ones\n  %s\n"
             "  forward(x: [2, 3], i: int[3], b: bool[3]) {\n"
             "    %s\n    if not training { report y = y }\n"
             "    return average(x * p)\n  }\n}\n",
             members, expression);
    return lower_ok(source);
}

typedef struct Case {
    const char *expression, *type; /* of y */
    int n;
    double want[12]; /* first sample */
} Case;

static const Case cases[] = {
    {"y = x + 1", "[2, 3]", 6, {1.5, 0, 3, 4, 1.25, -1}},
    {"y = 1 - x[0]", "[3]", 3, {0.5, 2, -1}},
    {"y = -x[0] / 2", "[3]", 3, {-0.25, 0.5, -1}},
    {"y = x[0] // 1", "[3]", 3, {0, -1, 2}},
    {"y = x[1] % 2", "[3]", 3, {1, 0.25, 0}},
    {"y = i // 2 - 3 // 2", "int[3]", 3, {-1, -1, -1}},
    {"y = (i - 2) % 3", "int[3]", 3, {2, 1, 2}},
    {"y = (0 - i) // 2", "int[3]", 3, {-1, 0, -1}},
    {"y = i / 2", "[3]", 3, {0.5, 0, 0.5}},
    {"y = i + 0.5", "[3]", 3, {1.5, 0.5, 1.5}},
    {"y = x[0] ** 2", "[3]", 3, {0.25, 1, 4}},
    {"y = x[0] ** 3", "[3]", 3, {0.125, -1, 8}},
    {"y = x[0] ** 7", "[3]", 3, {0.0078125, -1, 128}},
    {"y = x[0] ** -1", "[3]", 3, {2, -1, 0.5}},
    {"y = x[0] ** -2", "[3]", 3, {4, 1, 0.25}},
    {"y = abs(x[1]) ** 0.5", "[3]", 3, {1.7320508075688772, 0.5, 1.4142135623730951}},
    {"y = abs(x[1]) ** -0.5", "[3]", 3, {0.57735026918962576, 2, 0.70710678118654752}},
    {"y = 2 ** x[0]", "[3]", 3, {1.4142135623730951, 0.5, 4}},
    {"y = abs(x[0]) ** 1.5", "[3]", 3, {0.35355339059327373, 1, 2.8284271247461903}},
    {"y = x[0] > 0 and not (x[0] == 2)", "bool[3]", 3, {1, 0, 0}},
    {"y = x[0] >= 0.5 or b", "bool[3]", 3, {1, 0, 1}},
    {"y = x[0] < 0.5", "bool[3]", 3, {0, 1, 0}},
    {"y = b != (i == 1)", "bool[3]", 3, {0, 0, 1}},
    {"y = b or true", "bool[3]", 3, {1, 1, 1}},
    {"y = where(b, x[0], -1)", "[3]", 3, {0.5, -1, -1}},
    {"y = where(b, 2, i)", "int[3]", 3, {2, 0, 1}},
    {"y = clamp(x, low = -1, high = 1)", "[2, 3]", 6, {0.5, -1, 1, 1, 0.25, -1}},
    {"y = clamp(x[0], high = 0)", "[3]", 3, {0, -1, 0}},
    {"y = max(x[0], 0)", "[3]", 3, {0.5, 0, 2}},
    {"y = min(x[0], x[1])", "[3]", 3, {0.5, -1, -2}},
    {"y = max(x, axis = 0)", "[3]", 3, {3, 0.25, 2}},
    {"y = min(x, axis = -1)", "[2]", 2, {-1, -2}},
    {"y = min(x, axis = 1, keep = true)", "[2, 1]", 2, {-1, -2}},
    {"y = max(x)", "[]", 1, {3}},
    {"y = sum(x)", "[]", 1, {2.75}},
    {"y = sum(x, axis = (0, 1))", "[]", 1, {2.75}},
    {"y = sum(x, axis = 0)", "[3]", 3, {3.5, -0.75, 0}},
    {"y = sum(i)", "int", 1, {2}},
    {"y = mean(x, axis = 1)", "[2]", 2, {0.5, 0.41666666666666669}},
    {"y = mean(i)", "[]", 1, {0.66666666666666663}},
    {"y = argmax(x)", "int[2]", 2, {2, 0}},
    {"y = argmax(x, axis = 0)", "int[3]", 3, {1, 1, 0}},
    {"y = argmax(x, axis = 0, keep = true)", "int[1, 3]", 3, {1, 1, 0}},
    {"y = cumsum(x, axis = 1)", "[2, 3]", 6, {0.5, -0.5, 1.5, 3, 3.25, 1.25}},
    {"y = cumsum(x, axis = 0)", "[2, 3]", 6, {0.5, -1, 2, 3.5, -0.75, 0}},
    {"v, y = top_k(x, 2)", "int[2, 2]", 4, {2, 0, 0, 1}},
    {"y, k = top_k(x, 2)", "[2, 2]", 4, {2, 0.5, 3, 0.25}},
    {"y = one_hot(i, 2)", "[3, 2]", 6, {0, 1, 1, 0, 0, 1}},
    {"y = x'", "[3, 2]", 6, {0.5, 3, -1, 0.25, 2, -2}},
    {"y = transpose(x, (1, 0))", "[3, 2]", 6, {0.5, 3, -1, 0.25, 2, -2}},
    {"y = reshape(x, (3, -1))", "[3, 2]", 6, {0.5, -1, 2, 3, 0.25, -2}},
    {"y = reshape(x, 6)", "[6]", 6, {0.5, -1, 2, 3, 0.25, -2}},
    {"y = x[1, 2]", "[]", 1, {-2}},
    {"y = x[-1]", "[3]", 3, {3, 0.25, -2}},
    {"y = x[..., 0]", "[2]", 2, {0.5, 3}},
    {"y = x[:, 1:]", "[2, 2]", 4, {-1, 2, 0.25, -2}},
    {"y = x[0, -2:]", "[2]", 2, {-1, 2}},
    {"y = x[i]", "[3, 3]", 9, {3, 0.25, -2, 0.5, -1, 2, 3, 0.25, -2}},
    {"y = x[arange(2)]", "[2, 3]", 6, {0.5, -1, 2, 3, 0.25, -2}},
    {"a, y, c = split(x, 3)", "[2, 1]", 2, {-1, 0.25}},
    {"a, y = split(x, (1, 2))", "[2, 2]", 4, {-1, 2, 0.25, -2}},
    {"y, a = split(x, 2, axis = 0)", "[1, 3]", 3, {0.5, -1, 2}},
    {"y = concat((x[0], i))", "[6]", 6, {0.5, -1, 2, 1, 0, 1}},
    {"y = concat((x, x), axis = 0)[2:]", "[2, 3]", 6, {0.5, -1, 2, 3, 0.25, -2}},
    {"y = stack((x[0], x[1]), axis = 1)", "[3, 2]", 6, {0.5, 3, -1, 0.25, 2, -2}},
    {"y = stack((x[0], x[1]), axis = -1)", "[3, 2]", 6, {0.5, 3, -1, 0.25, 2, -2}},
    {"y = pad(x[0], 1, 2)", "[6]", 6, {0, 0.5, -1, 2, 0, 0}},
    {"y = pad(x, 1, axis = 0)", "[3, 3]", 9, {0, 0, 0, 0.5, -1, 2, 3, 0.25, -2}},
    {"y = x[0] + arange(3)", "[3]", 3, {0.5, 0, 4}},
    {"y = i + arange(2, 8, 2)", "int[3]", 3, {3, 4, 7}},
    {"y = x @ x'", "[2, 2]", 4, {5.25, -2.75, -2.75, 13.0625}},
    {"y = x @ x[0]", "[2]", 2, {5.25, -2.75}},
    {"y = x[:, 0] @ x", "[3]", 3, {9.25, 0.25, -5}},
    {"y = x[0] @ x[1]", "[]", 1, {-2.75}},
    {"y = int(x[0])", "int[3]", 3, {0, -1, 2}},
    {"y = int(b) + i", "int[3]", 3, {2, 0, 1}},
    {"y = fp32(i) / 4", "[3]", 3, {0.25, 0, 0.25}},
    {"y = floor(x[1])", "[3]", 3, {3, 0, -2}},
    {"y = relu(x[0])", "[3]", 3, {0.5, 0, 2}},
    {"y = sample_index()", "int", 1, {0}},
    {"y = dropout(x, 0.5)", "[2, 3]", 6, {0.5, -1, 2, 3, 0.25, -2}}, /* evaluation: x */
    {"y = random(2, 2)", "[2, 2]", 4, {0.25, 0.75, 0.25, 0.75}},
    {"y = average(x)", "[]", 1, {0.95833333333333337}}, /* of both samples */
    {"y = average(x[0], weight = b)", "[]", 1, {1}},
    {"y = average(b)", "[]", 1, {0.33333333333333331}},
    {"y = average(x[0], weight = i == 7)", "[]", 1, {0}},
    {"y = mse(x[0], i)", "[]", 1, {1.0833333333333333}},
    /* constants in forward are constants */
    {"y = x[0] + sqrt(16) + 7 // 2 + -7 // 2 + -7 % 4 + 2 ** 3", "[3]", 3, {12.5, 11, 14}},
    {"y = x[0] + (1 if 3 > 2 and not false else 5) + len((1, 2)) + range(2, 9, 3)[2]",
     "[3]",
     3,
     {11.5, 10, 13}},
    {"y = x[0] + max((1, 5, 2)) + min(3, 2.5) + abs(-4) + int(2.9)", "[3]", 3, {14, 12.5, 15.5}},
    {"y = x[0] * (1.0 if 2 == 2.0 and \"a\" == \"a\" and none == none else 3)",
     "[3]",
     3,
     {0.5, -1, 2}},
    /* statements */
    {"t = ()\n for k in 3 { t[k] = x[0] * k }\n y = t[0] + t[1] + t[2]", "[3]", 3, {1.5, -3, 6}},
    {"y = x[0]\n for k, c in (2, 3) { y = y * c + k }", "[3]", 3, {4, -5, 13}},
    {"y, z = x[0], x[1]\n y, z = z, y", "[3]", 3, {3, 0.25, -2}},
    {"if 1 > 2 { y = x } else if 2 > 1 { y = x[0] } else { y = x[1] }", "[3]", 3, {0.5, -1, 2}},
    {"t = (x[0], 5)\n t[1] = x[1]\n y = t[-1]", "[3]", 3, {3, 0.25, -2}},
};

static void expressions(void **state)
{
    (void)state;
    for (int c = 0; c < countof(cases); c++) {
        Fix *f = lower_expression("", cases[c].expression);
        Interp it;
        Leaves v;
        Node *y;
        const double *got = compute(f, &f->m->eval, &it, &v, &y);
        const char *type = type_text(f->arena, &y->type);
        if (strcmp(type, cases[c].type) != 0)
            fail_msg("%s is %s, not %s", cases[c].expression, type, cases[c].type);
        assert_int_equal(type_count(&y->type), cases[c].n);
        for (int k = 0; k < cases[c].n; k++)
            if (!(fabs(got[k] - cases[c].want[k]) <= 1e-6))
                fail_msg("%s: element %d is %.9g, not %.9g", cases[c].expression, k, got[k],
                         cases[c].want[k]);
        done(f);
    }
}

typedef double Fn(const double *x, int k); /* element k of the result, from x [2, 3] */

static double f_softmax(const double *x, int k)
{
    const double *r = x + k / 3 * 3;
    return exp(x[k]) / (exp(r[0]) + exp(r[1]) + exp(r[2]));
}
static double f_softmax0(const double *x, int k)
{
    return exp(x[k]) / (exp(x[k % 3]) + exp(x[k % 3 + 3]));
}
static double f_logsumexp(const double *x, int k)
{
    const double *r = x + 3 * k;
    return log(exp(r[0]) + exp(r[1]) + exp(r[2]));
}
static double f_logsumexp_all(const double *x, int k)
{
    (void)k;
    return log(exp(f_logsumexp(x, 0)) + exp(f_logsumexp(x, 1)));
}
static double f_gelu(const double *x, int k)
{
    return 0.5 * x[k] * (1 + erf(x[k] / sqrt(2)));
}
static double f_gelu_tanh(const double *x, int k)
{
    return 0.5 * x[k] *
           (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x[k] + 0.044715 * x[k] * x[k] * x[k])));
}
static double f_silu(const double *x, int k)
{
    return x[k] / (1 + exp(-x[k]));
}
static double f_sigmoid(const double *x, int k)
{
    return 1 / (1 + exp(-x[k]));
}
static double f_softplus(const double *x, int k)
{
    return log1p(exp(x[k]));
}
static double f_tanh(const double *x, int k)
{
    return tanh(x[k]);
}
static double f_erf(const double *x, int k)
{
    return erf(x[k]);
}
static double f_sincos(const double *x, int k)
{
    return sin(x[k]) * cos(x[k]);
}
static double f_rms(const double *x, int k)
{
    const double *r = x + k / 3 * 3;
    double s = (r[0] * r[0] + r[1] * r[1] + r[2] * r[2]) / 3;
    return x[k] / sqrt(s + 1e-6) * 0.1 * (k % 3 + 1);
}
static double f_norm(const double *x, int k)
{
    const double *r = x + k / 3 * 3;
    double m = (r[0] + r[1] + r[2]) / 3, s = 0;
    for (int i = 0; i < 3; i++)
        s += (r[i] - m) * (r[i] - m) / 3;
    return (x[k] - m) / sqrt(s + 1e-5) * 0.1 * (k % 3 + 1) + 0.1 * (k % 3 + 1);
}
static double f_linear(const double *x, int k)
{
    double s = 0.1 * (k % 2 + 1); /* weight [2, 3] and bias [2] are 0.1, 0.2, .. each */
    for (int i = 0; i < 3; i++)
        s += x[k / 2 * 3 + i] * 0.1 * (k % 2 * 3 + i + 1);
    return s;
}
static double swiglu_hidden(const double *r, int j)
{
    double s = 0; /* gate and up are both [2, 3] with weights 0.1, 0.2, .. */
    for (int i = 0; i < 3; i++)
        s += r[i] * 0.1 * (j * 3 + i + 1);
    return s / (1 + exp(-s)) * s;
}
static double f_swiglu(const double *x, int k)
{
    double s = 0;
    for (int j = 0; j < 2; j++)
        s += swiglu_hidden(x + k / 3 * 3, j) * 0.1 * (k % 3 * 2 + j + 1);
    return s;
}
/* row t of x[:, 0:2] is one head of width 2, turned by the angle t */
static double f_rope(const double *x, int k)
{
    double t = k / 2, a = x[k / 2 * 3], b = x[k / 2 * 3 + 1];
    return k % 2 ? b * cos(t) + a * sin(t) : a * cos(t) - b * sin(t);
}
/* x as [1 head, d = 4] twice: rows [x0 x1 x2 x3] and [x2 x3 x4 x5]; theta = 100 */
static double rope4(const double *x, int k, int pair, bool second)
{
    const double *r = x + k / 4 * 2;
    double t = (double)(k / 4);
    int j = pair;
    double angle = t / pow(100, 2.0 * j / 4);
    double u = r[second ? 2 * j : j], v = r[second ? 2 * j + 1 : j + 2];
    bool high = second ? k % 2 : k % 4 >= 2;
    return high ? v * cos(angle) + u * sin(angle) : u * cos(angle) - v * sin(angle);
}
static double f_rope_half(const double *x, int k)
{
    return rope4(x, k, k % 2, false);
}
static double f_rope_pairs(const double *x, int k)
{
    return rope4(x, k, k % 4 / 2, true);
}
/* both samples: the second is x + 1, with the same differences */
static double f_cross(const double *x, int k)
{
    (void)k; /* targets i[1:3] = 0, 1 for rows 0, 1 */
    return (f_logsumexp(x, 0) - x[0] + f_logsumexp(x, 1) - x[4]) / 2;
}
static double f_cross_one(const double *x, int k)
{
    (void)k; /* the target 1 is ignored */
    return f_logsumexp(x, 0) - x[0];
}
static double f_cross_weight(const double *x, int k)
{
    (void)k; /* weights 1 and 2 */
    return (f_logsumexp(x, 0) - x[0] + 2 * (f_logsumexp(x, 1) - x[4])) / 3;
}
static double f_cross_smooth(const double *x, int k)
{
    double even = 0;
    for (int r = 0; r < 2; r++)
        even += f_logsumexp(x, r) - (x[3 * r] + x[3 * r + 1] + x[3 * r + 2]) / 3;
    return 0.9 * f_cross(x, k) + 0.1 * even / 2;
}
static double f_bce(const double *x, int k)
{
    (void)k;
    double s = 0;
    for (int sample = 0; sample < 2; sample++)
        for (int j = 0; j < 3; j++) {
            double z = x[j] + sample, p = 1 / (1 + exp(-z));
            s += -(first_b[j] ? log(p) : log(1 - p)) / 6;
        }
    return s;
}
static double f_attention(const double *x, int k)
{
    /* q = k = v = x, one head of 3, causal: row 0 sees itself only */
    if (k < 3)
        return x[k];
    double s0 = 0, s1 = 0;
    for (int i = 0; i < 3; i++) {
        s0 += x[3 + i] * x[i] / sqrt(3);
        s1 += x[3 + i] * x[3 + i] / sqrt(3);
    }
    double p = 1 / (1 + exp(s1 - s0));
    return p * x[k - 3] + (1 - p) * x[k];
}

static const struct {
    const char *members, *expression;
    int n;
    Fn *want;
} formulas[] = {
    {"", "y = softmax(x)", 6, f_softmax},
    {"", "y = softmax(x, axis = 0)", 6, f_softmax0},
    {"", "y = logsumexp(x, axis = 1)", 2, f_logsumexp},
    {"", "y = logsumexp(x, axis = -1, keep = true)", 2, f_logsumexp},
    {"", "y = logsumexp(x)", 1, f_logsumexp_all},
    {"", "y = gelu(x)", 6, f_gelu},
    {"", "y = gelu(x, approximate = \"tanh\")", 6, f_gelu_tanh},
    {"", "y = silu(x)", 6, f_silu},
    {"", "y = sigmoid(x)", 6, f_sigmoid},
    {"", "y = softplus(x)", 6, f_softplus},
    {"", "y = tanh(x)", 6, f_tanh},
    {"", "y = erf(x)", 6, f_erf},
    {"", "y = sin(x) * cos(x)", 6, f_sincos},
    {"n: RMSNorm(3)", "y = n(x)", 6, f_rms},
    {"n: LayerNorm(3)", "y = n(x)", 6, f_norm},
    {"n: Linear(3, 2)", "y = n(x)", 4, f_linear},
    {"n: SwiGLU(3, 2)", "y = n(x)", 6, f_swiglu},
    {"", "y = rope(x[:, 0:2], heads = 1)", 4, f_rope},
    {"", "z = reshape(x, 6)\n y = rope(stack((z[0:4], z[2:6])), heads = 1, theta = 100)", 8,
     f_rope_half},
    {"",
     "z = reshape(x, 6)\n y = rope(stack((z[0:4], z[2:6])), heads = 1, theta = 100.0,"
     " layout = \"interleaved\")",
     8, f_rope_pairs},
    {"", "y = cross_entropy(x, i[1:])", 1, f_cross},
    {"", "y = cross_entropy(x, i[1:], ignore = 1)", 1, f_cross_one},
    {"", "y = cross_entropy(x, i[1:], weight = arange(2) + 1)", 1, f_cross_weight},
    {"", "y = cross_entropy(x, i[1:], smoothing = 0.1)", 1, f_cross_smooth},
    {"", "y = cross_entropy(x, where(i[1:] == 1, -100, i[1:]))", 1, f_cross_one},
    {"", "y = bce(x[0], b)", 1, f_bce},
    {"", "y = attention(x, x, x, heads = 1, causal = true)", 6, f_attention},
    {"", "y = attention(x, x, x, heads = 1, mask = arange(2) <= reshape(arange(2), (2, 1)))", 6,
     f_attention},
};

static void by_formula(void **state)
{
    (void)state;
    for (int c = 0; c < countof(formulas); c++) {
        Fix *f = lower_expression(formulas[c].members, formulas[c].expression);
        Interp it;
        Leaves v;
        Node *y;
        const double *got = compute(f, &f->m->eval, &it, &v, &y);
        assert_int_equal(type_count(&y->type), formulas[c].n);
        for (int k = 0; k < formulas[c].n; k++) {
            double want = formulas[c].want(first_x, k);
            if (!(fabs(got[k] - want) <= 1e-6))
                fail_msg("%s: element %d is %.9g, not %.9g", formulas[c].expression, k, got[k],
                         want);
        }
        done(f);
    }
}

static void dropout_in_training(void **state)
{
    (void)state;
    Fix *f = lower_ok("model M {\n p: param[2, 3] ~ ones\n forward(x: [2, 3]) {\n"
                      "  y = dropout(x, 0.5)\n z = dropout(x, 0.5, shape = (2, 1))\n"
                      "  report y = average(y)\n report z = average(z)\n"
                      "  return average(x * p) } }\n");
    Interp it;
    Leaves v;
    Node *y;
    /* draws alternate 0.25 and 0.75: every other element is kept, and doubled */
    const double *got = compute(f, &f->m->train, &it, &v, &y);
    double want = 0;
    for (int s = 0; s < 2; s++)
        want += 2 * (first_x[1] + s + first_x[3] + s + first_x[5] + s) / 12;
    assert_true(fabs(got[0] - want) < 1e-12);
    Node *z = f->m->train.report.v[1].value;
    interp_run(&it, &z, 1);
    want = 0;
    for (int s = 0; s < 2; s++)
        want += 2 * (first_x[3] + s + first_x[4] + s + first_x[5] + s) / 12;
    assert_true(fabs(it.value[z->id][0] - want) < 1e-12);
    assert_int_equal(f->m->train.graph->n_sites, 2);
    assert_int_equal(f->m->eval.graph->n_sites, 0);
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions),
        cmocka_unit_test(by_formula),
        cmocka_unit_test(dropout_in_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
