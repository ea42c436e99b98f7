/* The functions of kernels (codegen/templates/math.h) against libm in double: every 1009th float,
 * all exponents and both signs, the greatest error in units in the last place. */
#include "frontend/base/base.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

typedef float real;
#include "codegen/templates/math.h"

enum { STRIDE = 1009 };

static double ulps(float got, double want)
{
    if (want != want || got != got)
        return (want != want) == (got != got) ? 0 : 1e9;
    float w = (float)want;
    if (isinf(w) || isinf(got)) /* the last float and infinity are neighbours */
        return w == got || (isinf(w) && fabsf(got) >= FLT_MAX) ? 0 : 1e9;
    int e;
    frexp(want == 0 ? (double)FLT_TRUE_MIN : want, &e);
    return fabs((double)got - want) / ldexp(1, e - 24 < -149 ? -149 : e - 24);
}

typedef struct Function {
    const char *name;
    real (*f)(real);
    double (*want)(double);
    float lo, hi; /* NaN is always tried */
    double bound;
} Function;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double silu(double x)
{
    return x / (1 + exp(-x));
}
static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(x > 0 ? -x : x));
}
static double gelu(double x)
{
    return x * 0.5 * erfc(x * -0.70710678118654752440);
}
static double slope(double x)
{
    return 1.5957691216057308 * x * (1 + 0.044715 * x * x);
}
static double gelu_tanh(double x)
{
    return x / (1 + exp(-slope(x)));
}
static double gelu_tanh_d(double x)
{
    double s = 1 / (1 + exp(-slope(x))), t = 1 / (1 + exp(slope(x)));
    return fabs(x) > 30 ? x > 0 : s + x * 1.5957691216057308 * (1 + 0.134145 * x * x) * s * t;
}

static const Function functions[] = {
    {"exp", bm_exp, exp, -INFINITY, INFINITY, 1},
    {"log", bm_log, log, -INFINITY, INFINITY, 1},
    {"tanh", bm_tanh, tanh, -INFINITY, INFINITY, 2},
    {"erf", bm_erf, erf, -INFINITY, INFINITY, 2},
    {"sin", bm_sin, sin, -2147483648.0f, 2147483648.0f, 2},
    {"cos", bm_cos, cos, -2147483648.0f, 2147483648.0f, 2},
    {"sqrt", bm_sqrt, sqrt, -INFINITY, INFINITY, 0.5},
    {"floor", bm_floor, floor, -INFINITY, INFINITY, 0},
    {"sigmoid", bm_sigmoid, sigmoid, -87, INFINITY, 3},
    {"silu", bm_silu, silu, -87, FLT_MAX, 3},
    {"softplus", bm_softplus, softplus, -INFINITY, INFINITY, 3},
    {"gelu", bm_gelu, gelu, -13, FLT_MAX, 7},
    {"gelu_tanh", bm_gelu_tanh, gelu_tanh, -2, FLT_MAX, 7},
    {"gelu_tanh_d", bm_gelu_tanh_d, gelu_tanh_d, -0.4f, FLT_MAX, 5},
};

static void test_ulps(void **s)
{
    (void)s;
    for (int i = 0; i < countof(functions); i++) {
        const Function *f = &functions[i];
        double worst = 0;
        float where = 0;
        for (uint64_t u = 0; u <= UINT32_MAX; u += STRIDE) {
            float x = bm_float((uint32_t)u);
            if (x == x && !(x >= f->lo && x <= f->hi))
                continue;
            double e = ulps(f->f(x), f->want((double)x));
            if (e > worst) {
                worst = e;
                where = x;
            }
        }
        printf("%-12s %.3f ulp at %a\n", f->name, worst, (double)where);
        if (worst > f->bound)
            fail_msg("%s(%a) is %a, not %a: %.3f ulp", f->name, (double)where, (double)f->f(where),
                     f->want((double)where), worst);
    }
}

static void same(float got, double want, const char *what)
{
    if (!((got == (float)want && signbit(got) == signbit((float)want)) ||
          (got != got && want != want)))
        fail_msg("%s is %a, not %a", what, (double)got, want);
}

static void test_special(void **s)
{
    (void)s;
    same(bm_exp(INFINITY), INFINITY, "exp(inf)");
    same(bm_exp(-INFINITY), 0, "exp(-inf)");
    same(bm_exp(0), 1, "exp(0)");
    same(bm_exp(89), INFINITY, "exp(89)");
    same(bm_exp(-104), 0, "exp(-104)");
    same(bm_log(0), -INFINITY, "log(0)");
    same(bm_log(-0.0f), -INFINITY, "log(-0)");
    same(bm_log(-1), (double)NAN, "log(-1)");
    same(bm_log(1), 0, "log(1)");
    same(bm_log(INFINITY), INFINITY, "log(inf)");
    assert_true(bm_tanh(-0.0f) == 0);
    same(bm_tanh(INFINITY), 1, "tanh(inf)");
    same(bm_erf(-INFINITY), -1, "erf(-inf)");
    same(bm_sin(INFINITY), (double)NAN, "sin(inf)");
    same(bm_max(1, NAN), (double)NAN, "max(1, nan)");
    same(bm_max(NAN, 1), (double)NAN, "max(nan, 1)");
    assert_true(fabsf(bm_sin(1e30f)) <= 1);
    assert_true(bm_gelu_tanh_d(-1e30f) == 0 && bm_gelu_tanh_d(1e30f) == 1);
}

static void test_pow(void **s)
{
    (void)s;
    static const float list[] = {0,        -0.0f,     1,   -1, 2,  -2,    0.5f,  -0.5f,
                                 INFINITY, -INFINITY, NAN, 3,  -3, 1e30f, 1e-40f};
    for (int i = 0; i < countof(list); i++)
        for (int j = 0; j < countof(list); j++)
            same(bm_pow(list[i], list[j]), pow((double)list[i], (double)list[j]), "pow");
    uint64_t state = 1;
    for (int i = 0; i < 2000000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        float a = bm_float((uint32_t)(state >> 32));
        state = state * 6364136223846793005u + 1442695040888963407u;
        float b = (float)(int32_t)(state >> 32) / (i % 2 ? 1e9f : 1e8f);
        b = i % 7 ? b : floorf(b);
        if (ulps(bm_pow(a, b), pow((double)a, (double)b)) > 0.51)
            fail_msg("pow(%a, %a) is %a", (double)a, (double)b, (double)bm_pow(a, b));
    }
}

static void test_ints(void **s)
{
    (void)s;
    static const int32_t list[] = {0, 1,  -1,        2,         -2,      3,      -3,
                                   7, -7, INT32_MAX, INT32_MIN, 1000003, -99991, 10};
    for (int i = 0; i < countof(list); i++)
        for (int j = 0; j < countof(list); j++) {
            int64_t a = list[i], b = list[j];
            int64_t q = b ? a / b : 0, m = b ? a % b : 0;
            if (b && m && (m < 0) != (b < 0)) { /* rounded down */
                q--;
                m += b;
            }
            assert_int_equal(bm_idiv(list[i], list[j]), (int32_t)q);
            assert_int_equal(bm_imod(list[i], list[j]), (int32_t)m);
        }
    assert_int_equal(bm_int(-2.9f), -2);
    assert_int_equal(bm_int(1e20f), 2147483520);
    assert_int_equal(bm_int(-1e20f), INT32_MIN);
    assert_int_equal(bm_int(NAN), 0);
}

/* Uniform: mean and variance, and each argument matters. */
static void test_uniform(void **s)
{
    (void)s;
    enum { N = 1 << 20 };
    double sum = 0, squares = 0;
    uint64_t key = bm_key(1, 2);
    for (uint32_t i = 0; i < N; i++) {
        double u = (double)bm_uniform(key, i, i % 7, 3);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    assert_true(fabs(sum / N - 0.5) < 1.5e-3);
    assert_true(fabs(squares / N - 1.0 / 3) < 1.5e-3);
    float u = bm_uniform(key, 5, 6, 7);
    assert_true(u != bm_uniform(key, 4, 6, 7) && u != bm_uniform(key, 5, 5, 7));
    assert_true(u != bm_uniform(key, 5, 6, 8) && u != bm_uniform(bm_key(1, 3), 5, 6, 7));
    assert_true(u != bm_uniform(bm_key(2, 2), 5, 6, 7));
    assert_true(u != bm_uniform(key, 5, 6 + (INT64_C(1) << 32), 7));
    /* vectors of Random123 (kat_vectors, philox4x32 10), the first word's upper 24 bits */
    assert_true(bm_uniform(0, 0, 0, 0) == (real)0x6627e8 / 16777216);
    assert_true(bm_uniform(0x299f31d0a4093822u, 0x243f6a88u, 0x037085a308d3, 0x734413198a2e) ==
                (real)0xd16cfe / 16777216);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ulps), cmocka_unit_test(test_special), cmocka_unit_test(test_pow),
        cmocka_unit_test(test_ints), cmocka_unit_test(test_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
