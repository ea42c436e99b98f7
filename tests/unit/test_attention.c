/* Attention kernels against the definition in double: the kernel in float within rounding, the
 * same text in double to 1e-11. */
#include "kernel_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef float real;
#include "codegen/templates/math.h"

static Arena *A;

typedef struct Case {
    int heads, kv, tq, tk, d, dv;
    bool causal, mask, bias;
    int window;
    double dropout;
    bool packed; /* q, k, v are slices of one buffer */
} Case;

enum { NB = 2 };

/* Arguments as doubles, element for element as the kernel sees them. */
enum { Q_, K_, V_, MASK_, BIAS_, O_, LSE_, DO_, DQ_, DK_, DV_, DBIAS_, N_TENSORS };

typedef struct Problem {
    Case c;
    double *x[N_TENSORS], *want[N_TENSORS];
    int64_t n[N_TENSORS];
    View view[N_TENSORS];
} Problem;

static uint64_t state = 1;
static double next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(int64_t)(state >> 11) / (double)(1ll << 52) - 1);
}

static View matrix_view(int64_t rows, int64_t cols, int64_t ld, int64_t batch)
{
    return (View){.batch_stride = batch, .ndim = 2, .dim = {rows, cols}, .stride = {ld, 1}};
}

static void set(Problem *p, int t, View v, int64_t n)
{
    p->view[t] = v;
    p->n[t] = n;
    p->x[t] = arena_array(A, double, n);
    p->want[t] = arena_array(A, double, n);
    for (int64_t i = 0; i < n; i++)
        p->x[t][i] = t == MASK_ ? next() > -0.4 : next();
}

static Problem *problem(const Case *c)
{
    Problem *p = arena_make(A, Problem);
    p->c = *c;
    int64_t wq = c->heads * c->d, wk = c->kv * c->d, wv = c->kv * c->dv, wo = c->heads * c->dv;
    int64_t ld = wq + wk + wv;
    if (c->packed) { /* one tensor, three views */
        set(p, Q_, matrix_view(c->tq, wq, ld, c->tq * ld), NB * c->tq * ld);
        set(p, K_, matrix_view(c->tq, wk, ld, c->tq * ld), NB * c->tq * ld);
        set(p, V_, matrix_view(c->tq, wv, ld, c->tq * ld), NB * c->tq * ld);
    } else {
        set(p, Q_, matrix_view(c->tq, wq, wq, c->tq * wq), NB * c->tq * wq);
        set(p, K_, matrix_view(c->tk, wk, wk, c->tk * wk), NB * c->tk * wk);
        set(p, V_, matrix_view(c->tk, wv, wv, c->tk * wv), NB * c->tk * wv);
    }
    View whole = {.ndim = 3, .dim = {c->heads, c->tq, c->tk}};
    View m = whole, b = whole, db = whole;
    m.stride[1] = c->tk; /* one mask for all heads and samples */
    m.stride[2] = 1;
    set(p, MASK_, m, c->tq * c->tk);
    for (int64_t j = 0; j < c->tk; j++)
        p->x[MASK_][j] = 0; /* the first query sees no key */
    b.batch_stride = c->heads * c->tk;
    b.stride[0] = c->tk; /* by head and key */
    b.stride[2] = 1;
    set(p, BIAS_, b, NB * c->heads * c->tk);
    set(p, O_, matrix_view(c->tq, wo, wo, c->tq * wo), NB * c->tq * wo);
    View l = {.ndim = 2, .batch_stride = c->heads * c->tq};
    l.dim[0] = c->heads;
    l.dim[1] = l.stride[0] = c->tq;
    l.stride[1] = 1;
    set(p, LSE_, l, NB * c->heads * c->tq);
    set(p, DO_, p->view[O_], p->n[O_]);
    set(p, DQ_, p->view[Q_], p->n[Q_]);
    set(p, DK_, p->view[K_], p->n[K_]);
    set(p, DV_, p->view[V_], p->n[V_]);
    db.stride[0] = c->tq * c->tk;
    db.stride[1] = c->tk;
    db.stride[2] = 1;
    db.batch_stride = c->heads * c->tq * c->tk;
    set(p, DBIAS_, db, NB * c->heads * c->tq * c->tk);
    for (int t = O_; t <= DBIAS_; t++)
        if (t != DO_)
            memcpy(p->want[t], p->x[t], (size_t)p->n[t] * sizeof(double));
    return p;
}

static double *at(Problem *p, double *x, int t, int64_t s, int64_t i, int64_t j)
{
    const View *v = &p->view[t];
    return &x[s * v->batch_stride + i * v->stride[0] + j * v->stride[1]];
}

static bool sees(Problem *p, int64_t i, int64_t j)
{
    const Case *c = &p->c;
    if ((c->causal && j > i) || (c->window && j <= i - c->window))
        return false;
    return !c->mask || p->x[MASK_][i * c->tk + j] != 0;
}

static double keep(const Case *c, int64_t s, int64_t h, int64_t i, int64_t j)
{
    if (c->dropout == 0)
        return 1;
    double u =
        (double)bm_uniform(bm_key(5, 77), (uint32_t)((h * c->tq + i) * c->tk + j), 100 + s, 3);
    return u < (double)(float)c->dropout ? 0 : 1 / (1 - c->dropout);
}

/* One head of one sample, by the definition. */
static void head(Problem *p, int64_t s, int64_t h, double scale)
{
    const Case *c = &p->c;
    int64_t g = h / (c->heads / c->kv), d = c->d, dv = c->dv;
    double *w = calloc((size_t)c->tk, sizeof *w), *dw = calloc((size_t)c->tk, sizeof *dw);
    for (int64_t i = 0; i < c->tq; i++) {
        double top = -INFINITY, sum = 0, total = 0;
        for (int64_t j = 0; j < c->tk; j++) {
            double x = 0;
            for (int64_t e = 0; e < d; e++)
                x += *at(p, p->x[Q_], Q_, s, i, h * d + e) * *at(p, p->x[K_], K_, s, j, g * d + e);
            x *= scale;
            if (c->bias)
                x += p->x[BIAS_][(s * c->heads + h) * c->tk + j];
            w[j] = sees(p, i, j) ? x : -INFINITY;
            top = w[j] > top ? w[j] : top;
        }
        for (int64_t j = 0; j < c->tk; j++)
            sum += w[j] = isinf(w[j]) ? 0 : exp(w[j] - top);
        *at(p, p->want[LSE_], LSE_, s, h, i) = sum > 0 ? top + log(sum) : -INFINITY;
        for (int64_t e = 0; e < dv; e++)
            *at(p, p->want[O_], O_, s, i, h * dv + e) = 0;
        for (int64_t j = 0; j < c->tk; j++) {
            w[j] = sum > 0 ? w[j] / sum : 0;
            double k = keep(c, s, h, i, j), dot = 0;
            for (int64_t e = 0; e < dv; e++) {
                double y = *at(p, p->x[DO_], DO_, s, i, h * dv + e);
                *at(p, p->want[O_], O_, s, i, h * dv + e) +=
                    w[j] * k * *at(p, p->x[V_], V_, s, j, g * dv + e);
                *at(p, p->want[DV_], DV_, s, j, g * dv + e) += w[j] * k * y;
                dot += y * *at(p, p->x[V_], V_, s, j, g * dv + e);
            }
            dw[j] = dot * k;
            total += w[j] * dw[j];
        }
        for (int64_t j = 0; j < c->tk; j++) {
            double ds = w[j] * (dw[j] - total);
            p->want[DBIAS_][((s * c->heads + h) * c->tq + i) * c->tk + j] = ds;
            for (int64_t e = 0; e < d; e++) {
                *at(p, p->want[DQ_], DQ_, s, i, h * d + e) +=
                    scale * ds * *at(p, p->x[K_], K_, s, j, g * d + e);
                *at(p, p->want[DK_], DK_, s, j, g * d + e) +=
                    scale * ds * *at(p, p->x[Q_], Q_, s, i, h * d + e);
            }
        }
    }
    free(w);
    free(dw);
}

static void clear(Problem *p, int t)
{
    const View *v = &p->view[t];
    for (int64_t s = 0; s < NB; s++)
        for (int64_t i = 0; i < v->dim[0]; i++)
            for (int64_t j = 0; j < v->dim[1]; j++)
                *at(p, p->want[t], t, s, i, j) = 0;
}

static void reference(Problem *p, double scale)
{
    clear(p, DQ_);
    clear(p, DK_);
    clear(p, DV_);
    for (int64_t s = 0; s < NB; s++)
        for (int64_t h = 0; h < p->c.heads; h++)
            head(p, s, h, scale);
}

static Kernel *kernel(Problem *p, int number, bool grad, double scale, int *tensor)
{
    const Case *c = &p->c;
    Kernel *k = arena_make(A, Kernel);
    k->kind = grad ? K_ATTENTION_GRAD : K_ATTENTION;
    k->id = 2 * number + grad;
    k->name = arena_printf(A, grad ? "attention_grad_%d" : "attention_%d", number);
    k->batched = true;
    k->units = grad ? c->kv : c->heads * ((c->tq + ATTENTION_ROWS - 1) / ATTENTION_ROWS);
    k->tpl.attr.attention.heads = c->heads;
    k->tpl.attr.attention.kv_heads = c->kv;
    k->tpl.attr.attention.causal = c->causal;
    k->tpl.attr.attention.has_mask = c->mask;
    k->tpl.attr.attention.has_bias = c->bias;
    k->tpl.attr.attention.window = c->window;
    k->tpl.attr.attention.scale = scale;
    k->tpl.attr.attention.dropout = c->dropout;
    k->tpl.key = 77;
    k->uses_draw = c->dropout > 0;
    int order[] = {Q_,
                   K_,
                   V_,
                   grad ? O_ : -1,
                   grad ? LSE_ : -1,
                   grad ? DO_ : -1,
                   c->mask ? MASK_ : -1,
                   c->bias ? BIAS_ : -1,
                   grad ? DQ_ : O_,
                   grad ? DK_ : LSE_,
                   grad ? DV_ : -1,
                   grad && c->bias ? DBIAS_ : -1};
    for (int i = 0; i < countof(order); i++) {
        if (order[i] < 0)
            continue;
        tensor[k->n_arg] = order[i];
        k->tpl.view[k->n_arg] = p->view[order[i]];
        k->arg_written[k->n_arg] = i >= 8;
        k->arg_dtype[k->n_arg++] = order[i] == MASK_ ? DT_BOOL : DT_F32;
    }
    k->tpl.n_view = k->n_arg;
    return k;
}

static void *lower_to(const double *x, int64_t n, bool is_mask, bool doubles)
{
    if (is_mask) {
        uint8_t *b = calloc((size_t)n, 1);
        for (int64_t i = 0; i < n; i++)
            b[i] = x[i] != 0;
        return b;
    }
    if (doubles) {
        double *b = calloc((size_t)n, sizeof *b);
        memcpy(b, x, (size_t)n * sizeof *b);
        return b;
    }
    float *b = calloc((size_t)n, sizeof *b);
    for (int64_t i = 0; i < n; i++)
        b[i] = (float)x[i];
    return b;
}

/* Runs a kernel on p->x, results back into p->x. */
static void run(Problem *p, void *lib, const Kernel *k, const int *tensor, bool doubles)
{
    KernelFn *f;
    *(void **)&f = dlsym(lib, k->name);
    assert_non_null(f);
    struct {
        uint64_t seed;
        int64_t step, sample0;
    } draw = {5, 3, 100};
    uint64_t key = 77;
    void *arg[16];
    int n = k->n_arg;
    for (int i = 0; i < n; i++)
        arg[i] = lower_to(p->x[tensor[i]], p->n[tensor[i]], tensor[i] == MASK_, doubles);
    if (k->uses_draw) {
        arg[n] = &draw;
        arg[n + 1] = &key;
    }
    int64_t units = k->units * NB;
    for (int64_t lo = 0, step = 1; lo < units; lo += step, step++)
        f(arg, lo, min64(lo + step, units));
    for (int i = 0; i < n; i++) {
        for (int64_t e = 0; e < p->n[tensor[i]] && k->arg_written[i]; e++)
            p->x[tensor[i]][e] = doubles ? ((double *)arg[i])[e] : (double)((float *)arg[i])[e];
        free(arg[i]);
    }
}

static void compare(Problem *p, int t, double bound, const char *name)
{
    for (int64_t i = 0; i < p->n[t]; i++) {
        double got = p->x[t][i], want = p->want[t][i];
        if (got != want && !(fabs(got - want) <= bound * (1 + fabs(want))))
            fail_msg("%s: element %lld is %.9g, not %.9g (%d heads, %d of keys, %d x %d, %d)", name,
                     (long long)i, got, want, p->c.heads, p->c.kv, p->c.tq, p->c.tk, p->c.d);
    }
}

enum { MOST_CASES = 16 };

typedef struct Try {
    Problem *p;
    int forward[16], backward[16];
} Try;

static void check(const Case *cases, int n, bool doubles)
{
    double bound = doubles ? 1e-11 : 2e-5;
    Try t[MOST_CASES];
    Kernel *k[2 * MOST_CASES];
    for (int i = 0; i < n; i++) {
        double scale = 1 / sqrt(cases[i].d);
        t[i].p = problem(&cases[i]);
        reference(t[i].p, scale);
        k[2 * i] = kernel(t[i].p, i, false, scale, t[i].forward);
        k[2 * i + 1] = kernel(t[i].p, i, true, scale, t[i].backward);
    }
    void *lib = compile_kernels(A, k, 2 * n, doubles ? "attention64" : "attention32",
                                doubles ? "-DBM_REAL_DOUBLE" : "");
    assert_non_null(lib);
    for (int i = 0; i < n; i++) {
        run(t[i].p, lib, k[2 * i], t[i].forward, doubles);
        compare(t[i].p, O_, bound, "o");
        compare(t[i].p, LSE_, bound, "lse");
        run(t[i].p, lib, k[2 * i + 1], t[i].backward, doubles);
        compare(t[i].p, DQ_, bound, "dq");
        compare(t[i].p, DK_, bound, "dk");
        compare(t[i].p, DV_, bound, "dv");
        if (cases[i].bias)
            compare(t[i].p, DBIAS_, bound, "dbias");
    }
    dlclose(lib);
}

static void test_attention(void **s)
{
    (void)s;
    static const Case cases[] = {
        {.heads = 2, .kv = 2, .tq = 128, .tk = 128, .d = 32, .dv = 32, .causal = true},
        {.heads = 3,
         .kv = 3,
         .tq = 70,
         .tk = 70,
         .d = 16,
         .dv = 16,
         .causal = true,
         .packed = true},
        {.heads = 4, .kv = 2, .tq = 65, .tk = 65, .d = 5, .dv = 7, .causal = true, .window = 20},
        {.heads = 1, .kv = 1, .tq = 1, .tk = 1, .d = 1, .dv = 1},
        {.heads = 2, .kv = 1, .tq = 33, .tk = 150, .d = 20, .dv = 8},
        {.heads = 2, .kv = 2, .tq = 150, .tk = 33, .d = 8, .dv = 20, .causal = true, .window = 9},
        {.heads = 2, .kv = 2, .tq = 67, .tk = 67, .d = 24, .dv = 24, .mask = true},
        {.heads = 2, .kv = 1, .tq = 70, .tk = 70, .d = 8, .dv = 8, .bias = true, .causal = true},
        {.heads = 2, .kv = 1, .tq = 20, .tk = 30, .d = 8, .dv = 8, .bias = true, .mask = true},
        {.heads = 2, .kv = 1, .tq = 70, .tk = 70, .d = 8, .dv = 8, .causal = true, .dropout = 0.25},
        {.heads = 1, .kv = 1, .tq = 20, .tk = 40, .d = 600, .dv = 10},
        {.heads = 2, .kv = 1, .tq = 128, .tk = 90, .d = 4, .dv = 4, .causal = true, .window = 70},
    };
    check(cases, countof(cases), false);
    check(cases, countof(cases), true);
}

int main(void)
{
    A = arena_new();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
