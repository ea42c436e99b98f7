/* lower_model(): what operators and prelude blocks compute, against numbers worked out by hand or
 * by their formulas; names, order and owners of parameters; constants; settings; -D. Messages are
 * in tests/lang/semantic. */
#include "frontend/lower.h"
#include "tests/interp/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fix {
    Arena *arena;
    Sources *sources;
    Diag *diag;
    FILE *out;
    char *text; /* what was told */
    size_t size;
    Model *m;
} Fix;

static Fix *lower_with(const char *source, const Define *define, int n)
{
    Arena *a = arena_new();
    Fix *f = arena_make(a, Fix);
    f->arena = a;
    f->sources = sources_new(a);
    f->out = open_memstream(&f->text, &f->size);
    f->diag = diag_new(a, f->sources, f->out);
    FILE *file = fopen("model.bm", "w");
    assert_non_null(file);
    fputs(source, file);
    fclose(file);
    f->m = lower_model(a, f->sources, "model.bm", define, n, f->diag);
    return f;
}

static Fix *lower_ok(const char *source)
{
    Fix *f = lower_with(source, NULL, 0);
    fflush(f->out);
    if (!f->m)
        print_error("%s\n", f->text);
    assert_non_null(f->m);
    assert_int_equal(f->diag->errors, 0);
    return f;
}

static void done(Fix *f)
{
    fclose(f->out);
    free(f->text);
    arena_free(f->arena);
}

static const Param *param(const Fix *f, const char *path)
{
    for (int i = 0; i < f->m->param.n; i++)
        if (strcmp(f->m->param.v[i].path, path) == 0)
            return &f->m->param.v[i];
    fail_msg("no parameter %s", path);
    return NULL;
}

/* ---- what expressions compute ---- */

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

/* ---- instances and parameters ---- */

static const char tree[] =
    "let wide = 4\n"
    "block Inner(n, flag = false) {\n"
    "  if flag { first: param[n] ~ normal(0.5) }\n"
    "  fc: Linear(n, n)\n  steps: buffer[] ~ zeros\n"
    "  forward(x) { steps := steps + 1\n return fc(x) + (first if has(first) else 0) } }\n"
    "block Layer(n) {\n  a: Inner(n, flag = true)\n  b: Inner(n)\n"
    "  forward(x) { return b(a(x)) } }\n"
    "model M {\n  emb: Embedding(10, wide, std = 0.125)\n  h[2]: Layer(wide)\n"
    "  head[n in (3, 5)]: Linear(wide, n, bias = false)\n"
    "  forward(t: int[6], u: int[6], v: int) {\n    x = h(emb(t))\n"
    "    return cross_entropy(head[0](x), u) + cross_entropy(head[1](x)[0], v, ignore = none)\n"
    "  } }\n";

static void parameters(void **state)
{
    (void)state;
    static const char *const path[] = {
        "emb.weight",      "h.0.a.first",   "h.0.a.fc.weight", "h.0.a.fc.bias", "h.0.a.steps",
        "h.0.b.fc.weight", "h.0.b.fc.bias", "h.0.b.steps",     "h.1.a.first",   "h.1.a.fc.weight",
        "h.1.a.fc.bias",   "h.1.a.steps",   "h.1.b.fc.weight", "h.1.b.fc.bias", "h.1.b.steps",
        "head.0.weight",   "head.1.weight"};
    Fix *f = lower_ok(tree);
    assert_int_equal(f->m->param.n, countof(path));
    for (int i = 0; i < countof(path); i++)
        assert_string_equal(f->m->param.v[i].path, path[i]);
    assert_true(param(f, "h.1.a.steps")->buffer);
    assert_int_equal(param(f, "h.1.a.steps")->type.ndim, 0);
    const Init *init = &param(f, "emb.weight")->init;
    assert_int_equal(init->kind, INIT_NORMAL);
    assert_true(init->a == 0.125);
    assert_int_equal(param(f, "h.0.a.fc.bias")->init.kind, INIT_ZEROS);
    done(f);
}

static void instances(void **state)
{
    (void)state;
    static const char *const row[][3] = {/* path, block, unit */
                                         {"", "M", ""},
                                         {"emb", "Embedding", ""},
                                         {"h.0", "Layer", "h.0"},
                                         {"h.0.a", "Inner", "h.0"},
                                         {"h.0.a.fc", "Linear", "h.0"},
                                         {"h.0.b", "Inner", "h.0"},
                                         {"h.0.b.fc", "Linear", "h.0"},
                                         {"h.1", "Layer", "h.1"},
                                         {"h.1.a", "Inner", "h.1"},
                                         {"h.1.a.fc", "Linear", "h.1"},
                                         {"h.1.b", "Inner", "h.1"},
                                         {"h.1.b.fc", "Linear", "h.1"},
                                         {"head.0", "Linear", "head.0"},
                                         {"head.1", "Linear", "head.1"}};
    Fix *f = lower_ok(tree);
    for (int which = 0; which < 2; which++) {
        const Graph *g = which ? f->m->eval.graph : f->m->train.graph;
        assert_int_equal(g->instance.n, countof(row));
        for (int i = 0; i < countof(row); i++) {
            const Instance *x = &g->instance.v[i];
            assert_string_equal(x->path, row[i][0]);
            assert_string_equal(x->block, row[i][1]);
            assert_string_equal(g->instance.v[x->unit].path, row[i][2]);
            assert_true(x->parent < i);
        }
        for (int i = 0; i < g->node.n; i++) { /* a node's path begins with its instance's */
            const Node *n = g->node.v[i];
            const char *p = g->instance.v[n->instance].path;
            assert_int_equal(strncmp(n->path, p, strlen(p)), 0);
        }
    }
    assert_int_equal(param(f, "h.1.b.fc.weight")->instance, 11);
    done(f);
}

/* A member called twice has its parameters once, and one leaf in the graph. */
static void shared(void **state)
{
    (void)state;
    Fix *f = lower_ok("model M {\n fc: Linear(4, 4, bias = false)\n"
                      " forward(x: [4]) { return average(fc(fc(x)) @ fc.weight') } }\n");
    int leaves = 0, products = 0;
    for (int i = 0; i < f->m->train.graph->node.n; i++) {
        leaves += f->m->train.graph->node.v[i]->op == OP_PARAM;
        products += f->m->train.graph->node.v[i]->op == OP_MATMUL;
    }
    assert_int_equal(f->m->param.n, 1);
    assert_int_equal(leaves, 1);
    assert_int_equal(products, 3);
    done(f);
}

static void inputs(void **state)
{
    (void)state;
    Fix *f = lower_ok(tree);
    assert_int_equal(f->m->input.n, 3);
    const Input *t = &f->m->input.v[0], *u = &f->m->input.v[1], *v = &f->m->input.v[2];
    assert_string_equal(t->name, "t");
    assert_string_equal(type_text(f->arena, &t->type), "int[6]");
    assert_true(t->type.batched);
    assert_int_equal(t->below, 10); /* rows of the table */
    assert_false(t->ignore_ok);
    assert_int_equal(u->below, 3); /* classes, or -100 */
    assert_true(u->ignore_ok);
    assert_int_equal(v->below, 5);
    assert_false(v->ignore_ok);
    assert_int_equal(f->m->train.logits->type.dim[1], 3); /* the first cross_entropy's */
    assert_non_null(f->m->eval.logits);
    done(f);
}

static void buffer_updates(void **state)
{
    (void)state;
    Fix *f = lower_ok("model M {\n n: buffer[] ~ zeros\n fc: Linear(4, 4)\n"
                      " forward(x: [4]) { n := n + 1\n return average(fc(x)) + 0 * n } }\n");
    int assigns[2] = {0};
    for (int which = 0; which < 2; which++) {
        const Graph *g = which ? f->m->eval.graph : f->m->train.graph;
        for (int i = 0; i < g->node.n; i++)
            assigns[which] += g->node.v[i]->op == OP_ASSIGN;
    }
    assert_int_equal(assigns[0], 1);
    assert_int_equal(assigns[1], 0); /* evaluation takes no step */
    assert_int_equal(f->m->train.root.n, 1);
    done(f);
}

/* ---- settings ---- */

static const char trained[] =
    "let rate = 0.25\n"
    "block Layer() {\n fc: Linear(4, 4)\n ln: LayerNorm(4)\n forward(x) { return ln(fc(x)) } }\n"
    "model M {\n h[8]: Layer()\n forward(x: [4], y: [4]) { return mse(h(x), y) * (8 / batch) } }\n"
    "train {\n"
    "  data = npy(x = \"d/x.npy\", y = \"/abs/y.npy\")\n  batch = 2 * 16\n  steps = 1k\n"
    "  valid_every = 50\n  seed = 7\n  clip = 0.5\n  precision = fp32\n"
    "  accumulate = local\n  reduce = ordered\n"
    "  optimizer = adamw(lr = rate)\n"
    "  optimizer **.bias = sgd(lr = 0.5, momentum = 0.75)\n"
    "  optimizer h.2:4.fc = adam(lr = 1, betas = (0.5, 0.75), eps = 0.25, weight_decay = 0.125)\n"
    "  schedule = wsd(decay = 100, warmup = 10, min_lr = 0.01)\n"
    "  freeze h.0 = true\n  freeze *.0.ln = false\n"
    "  start **.ln.weight = npy(\"ln.npy\")\n  start h.7 = init\n}\n"
    "plan {\n  ranks = 1\n  memory = 1GiB\n  micro_batch = 8\n  zero h = 0\n  recompute = "
    "auto\n}\n";

static void settings(void **state)
{
    (void)state;
    Fix *f = lower_ok(trained);
    const Model *m = f->m;
    assert_true(m->has_train);
    assert_int_equal(m->batch, 32);
    assert_int_equal(m->steps, 1000);
    assert_int_equal(m->valid_every, 50);
    assert_int_equal(m->seed, 7);
    assert_true(m->clip == 0.5);
    assert_int_equal(m->data.kind, DATA_NPY);
    assert_string_equal(m->data.field.v[0].name, "x");
    assert_string_equal(m->data.field.v[0].file, "d/x.npy");
    assert_string_equal(m->data.field.v[1].file, "/abs/y.npy");
    assert_int_equal(m->valid.kind, DATA_NONE);
    assert_int_equal(m->schedule.kind, SCHED_WSD);
    assert_true(m->schedule.warmup == 10 && m->schedule.min_lr == 0.01);
    assert_true(m->schedule.decay == 100);
    assert_int_equal(m->plan.ranks, 1);
    assert_int_equal(m->plan.memory, 1 << 30);
    assert_int_equal(m->plan.micro_batch, 8);
    done(f);
}

static void optimizers(void **state)
{
    (void)state;
    Fix *f = lower_ok(trained);
    const Model *m = f->m;
    assert_int_equal(m->optimizer.n, 3);
    const Optimizer *o = m->optimizer.v;
    assert_int_equal(o[0].kind, OPT_ADAMW);
    assert_true(o[0].lr == 0.25 && o[0].beta1 == 0.9 && o[0].beta2 == 0.999);
    assert_true(o[0].eps == 1e-8 && o[0].weight_decay == 0.01);
    assert_int_equal(o[1].kind, OPT_SGD);
    assert_true(o[1].lr == 0.5 && o[1].momentum == 0.75 && o[1].weight_decay == 0);
    assert_true(o[2].lr == 1 && o[2].beta1 == 0.5 && o[2].beta2 == 0.75);
    assert_true(o[2].eps == 0.25 && o[2].weight_decay == 0.125);
    /* the last line that matches wins; 2:4 is 2 and 3 */
    assert_int_equal(param(f, "h.1.fc.weight")->optimizer, 0);
    assert_int_equal(param(f, "h.1.fc.bias")->optimizer, 1);
    assert_int_equal(param(f, "h.2.fc.bias")->optimizer, 2);
    assert_int_equal(param(f, "h.3.fc.weight")->optimizer, 2);
    assert_int_equal(param(f, "h.4.fc.weight")->optimizer, 0);
    assert_int_equal(param(f, "h.3.ln.weight")->optimizer, 0);
    done(f);
}

static void freeze_and_start(void **state)
{
    (void)state;
    Fix *f = lower_ok(trained);
    assert_true(param(f, "h.0.fc.weight")->frozen);
    assert_false(param(f, "h.0.ln.weight")->frozen);
    assert_false(param(f, "h.1.fc.weight")->frozen);
    assert_int_equal(param(f, "h.3.ln.weight")->init.kind, INIT_NPY);
    assert_string_equal(param(f, "h.3.ln.weight")->init.file, "ln.npy");
    assert_int_equal(param(f, "h.3.ln.bias")->init.kind, INIT_ZEROS);
    assert_int_equal(param(f, "h.7.ln.weight")->init.kind, INIT_ONES);
    done(f);
}

static void without_train(void **state)
{
    (void)state;
    Fix *f =
        lower_ok("model M {\n fc: Linear(4, 4)\n forward(x: [4]) { return average(fc(x)) } }\n");
    assert_false(f->m->has_train);
    assert_int_equal(f->m->batch, 1);
    assert_int_equal(f->m->optimizer.n, 1);
    done(f);
}

static void defines(void **state)
{
    (void)state;
    const char source[] =
        "let n = 3\nlet twice = 2 * n\nlet file = \"a\"\nlet std = 0.5\nlet act = relu\n"
        "model M {\n fc: Linear(twice, n, std = std)\n"
        " forward(x: [twice], tokens: int[4]) { return average(act(fc(x))) } }\n"
        "train { data = npy(x = file, tokens = \"t.npy\")\n batch = 1\n steps = 1\n"
        " optimizer = sgd(lr = 1) }\n";
    const Define define[] = {
        {"n", "2 + 3"}, {"file", "some/x y.npy"}, {"std", "2"}, {"act", "gelu"}};
    Fix *f = lower_with(source, define, countof(define));
    assert_non_null(f->m);
    assert_string_equal(type_text(f->arena, &param(f, "fc.weight")->type), "[5, 10]");
    assert_true(param(f, "fc.weight")->init.a == 2);
    assert_string_equal(f->m->data.field.v[0].file, "some/x y.npy");
    int gelu = 0;
    for (int i = 0; i < f->m->train.graph->node.n; i++)
        gelu += f->m->train.graph->node.v[i]->op == OP_GELU;
    assert_int_equal(gelu, 1);
    done(f);
}

/* ---- the samples ---- */

static Fix *lower_sample(const char *name, const Define *define, int n)
{
    Arena *a = arena_new();
    Fix *f = arena_make(a, Fix);
    f->arena = a;
    f->sources = sources_new(a);
    f->out = open_memstream(&f->text, &f->size);
    f->diag = diag_new(a, f->sources, f->out);
    const char *source = getenv("SOURCE");
    f->m = lower_model(a, f->sources, arena_printf(a, "%s/samples/%s", source ? source : ".", name),
                       define, n, f->diag);
    fflush(f->out);
    if (!f->m)
        print_error("%s", f->text);
    assert_non_null(f->m);
    return f;
}

static void samples(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters; /* of the published models where there is one */
    } row[] = {{"gpt2-124m.bm", 124439808}, {"gpt2-1.5b.bm", 1557611200},
               {"llama-8b.bm", 8030261248}, {"gpt.bm", 1853568},
               {"llama.bm", 1672896},       {"mlp.bm", 8859},
               {"regression.bm", 4578}};
    for (int s = 0; s < countof(row); s++) {
        Fix *f = lower_sample(row[s].name, NULL, 0);
        int64_t n = 0;
        for (int i = 0; i < f->m->param.n; i++)
            n += type_count(&f->m->param.v[i].type);
        assert_int_equal(n, row[s].parameters);
        graph_verify(f->m->train.graph, &f->m->train.loss, 1);
        graph_verify(f->m->eval.graph, &f->m->eval.loss, 1);
        done(f);
    }
}

/* The same file gives the same nodes, and a deeper model the same kinds of nodes per layer. */
static void repeats(void **state)
{
    (void)state;
    Fix *a = lower_sample("gpt.bm", NULL, 0), *b = lower_sample("gpt.bm", NULL, 0);
    StrBuf x = strbuf_new(a->arena), y = strbuf_new(b->arena);
    graph_print(&x, a->m->train.graph, &a->m->train.loss, 1);
    graph_print(&y, b->m->train.graph, &b->m->train.loss, 1);
    assert_string_equal(x.text, y.text);
    int n4 = a->m->train.graph->node.n;
    done(a);
    done(b);
    const Define deep = {"layers", "5"}, deeper = {"layers", "6"};
    a = lower_sample("gpt.bm", &deep, 1);
    b = lower_sample("gpt.bm", &deeper, 1);
    int n5 = a->m->train.graph->node.n, n6 = b->m->train.graph->node.n;
    assert_int_equal(n6 - n5, n5 - n4);
    done(a);
    done(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions),
        cmocka_unit_test(by_formula),
        cmocka_unit_test(dropout_in_training),
        cmocka_unit_test(parameters),
        cmocka_unit_test(instances),
        cmocka_unit_test(shared),
        cmocka_unit_test(inputs),
        cmocka_unit_test(buffer_updates),
        cmocka_unit_test(settings),
        cmocka_unit_test(optimizers),
        cmocka_unit_test(freeze_and_start),
        cmocka_unit_test(without_train),
        cmocka_unit_test(defines),
        cmocka_unit_test(samples),
        cmocka_unit_test(repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
