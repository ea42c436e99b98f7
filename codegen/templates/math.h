/* The functions kernels may use: one text, valid as C and as CUDA.
 *
 * `real` is float, or double when built with -DBM_REAL_DOUBLE (then the functions are libm's).
 * In float everything is branch-free, so that loops over it become vector code, and every fused
 * multiply-add is written out, so that all compilers and widths give the same bits. Errors, in
 * units in the last place, are those the unit test allows. NaN gives NaN. */
#ifndef BM_MATH_H
#define BM_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define BM_FN static __device__ __forceinline__
#else
#define BM_FN __attribute__((unused)) static inline
#endif

#define R(x) ((real)(x))

BM_FN uint32_t bm_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

BM_FN float bm_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

BM_FN uint64_t bm_bits64(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

BM_FN double bm_double(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* ---- float -------------------------------------------------------------------------------- */

/* x = n log 2 + r; the power of two is applied in two halves, so results may be subnormal. 1 ulp */
BM_FN float bm_exp_f(float x)
{
    float c = x > 89.0f ? 89.0f : x;
    c = c < -104.0f ? -104.0f : c;
    float t = fmaf(c, 1.44269504f, 12582912.0f); /* 1.5 * 2^23: the low bits are the integer */
    float n = t - 12582912.0f;
    float r = fmaf(n, -0.693145752f, c);
    r = fmaf(n, -1.42860677e-6f, r);
    float p = 0.00138131448f;
    p = fmaf(p, r, 0.00836941879f);
    p = fmaf(p, r, 0.041668456f);
    p = fmaf(p, r, 0.166665152f);
    p = fmaf(p, r, 0.49999994f);
    float y = fmaf(p, r * r, r) + 1.0f;
    int32_t i = (int32_t)(bm_bits(t) - 0x4b400000u);
    int32_t h = i >> 1;
    return y * bm_float((uint32_t)(h + 127) << 23) * bm_float((uint32_t)(i - h + 127) << 23);
}

/* x = 2^i (1 + m), m in -1/3..1/3. 1 ulp */
BM_FN float bm_log_f(float x)
{
    float a = x < 1.17549435e-38f ? x * 8388608.0f : x;
    float i = x < 1.17549435e-38f ? -23.0f : 0.0f;
    int32_t e = (int32_t)((bm_bits(a) - 0x3f2aaaabu) & 0xff800000u);
    float m = bm_float(bm_bits(a) - (uint32_t)e) - 1.0f;
    i = fmaf((float)e, 1.1920929e-7f, i);
    float p = -0.128916875f;
    p = fmaf(p, m, 0.139844358f);
    p = fmaf(p, m, -0.121842608f);
    p = fmaf(p, m, 0.140058696f);
    p = fmaf(p, m, -0.16680488f);
    p = fmaf(p, m, 0.200104058f);
    p = fmaf(p, m, -0.249997973f);
    p = fmaf(p, m, 0.333332151f);
    p = fmaf(p, m, -0.5f);
    float y = fmaf(p, m * m, m);
    y = fmaf(i, 0.693147182f, y);
    y = x > 3.40282347e38f ? x : y;
    y = x == 0.0f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x != x ? x : y;
}

/* 2 ulp */
BM_FN float bm_tanh_f(float x)
{
    float a = x < 0.0f ? -x : x;
    float big = 1.0f - 2.0f / (1.0f + bm_exp_f(2.0f * a));
    float s = x * x;
    float p = -0.00617981656f;
    p = fmaf(p, s, 0.0210074633f);
    p = fmaf(p, s, -0.0538374335f);
    p = fmaf(p, s, 0.133324519f);
    p = fmaf(p, s, -0.333333135f);
    float small = fmaf(p * s, x, x);
    return a < 0.5625f ? small : x < 0.0f ? -big : big;
}

/* Near 0 an odd polynomial, else 1 - exp(polynomial); 1 from 4 on. 3 ulp */
BM_FN float bm_erf_f(float x)
{
    float a = x < 0.0f ? -x : x;
    float s = x * x;
    float p = 8.3167768e-05f;
    p = fmaf(p, s, -0.000813001301f);
    p = fmaf(p, s, 0.00519990688f);
    p = fmaf(p, s, -0.0268589407f);
    p = fmaf(p, s, 0.112836875f);
    p = fmaf(p, s, -0.376126319f);
    p = fmaf(p, s, 0.128379166f);
    float small = fmaf(p, x, x);
    float t = a > 4.0f ? 4.0f : a;
    float q = -2.10949711e-05f;
    q = fmaf(q, t, 0.000434461719f);
    q = fmaf(q, t, -0.004171059f);
    q = fmaf(q, t, 0.0251194164f);
    q = fmaf(q, t, -0.108280078f);
    q = fmaf(q, t, -0.633346915f);
    q = fmaf(q, t, -1.12951493f);
    q = fmaf(q, t, 0.000174683184f);
    float big = 1.0f - bm_exp_f(q);
    return a < 0.92f ? small : x < 0.0f ? -big : big;
}

/* The normal distribution's function, also accurate far out on the left:
 * erfc(t) = exp(-t^2) G((t - 3) / (t + 3)) / (1 + 2 t), after M. M. Shepherd, J. G. Laframboise,
 * Math. Comp. 36 (1981). */
BM_FN float bm_cdf_f(float x)
{
    float a = x < 0.0f ? -x : x;
    a = a > 14.2f ? 14.2f : a;
    float t = 0.707106769f * a;
    float s = 0.5f * a * a;
    float low = fmaf(0.5f * a, a, -s); /* what the square lost */
    float q = (t - 3.0f) / (t + 3.0f);
    float p = -0.000269081385f;
    p = fmaf(p, q, -0.000780076429f);
    p = fmaf(p, q, 0.00200022454f);
    p = fmaf(p, q, 0.002568166f);
    p = fmaf(p, q, -0.0237965155f);
    p = fmaf(p, q, 0.0682957992f);
    p = fmaf(p, q, -0.119271152f);
    p = fmaf(p, q, 0.129646391f);
    p = fmaf(p, q, -0.0475623906f);
    p = fmaf(p, q, -0.135621145f);
    p = fmaf(p, q, 1.25300801f);
    float e = bm_exp_f(-s);
    float half = 0.5f * (p / fmaf(2.0f, t, 1.0f)) * fmaf(-low, e, e);
    return x > 0.0f ? 1.0f - half : half;
}

/* x = n pi/2 + r, in double: right to 2 ulp while |x| < 2^31, and finite beyond. */
BM_FN float bm_sin_cos_f(float x, uint32_t quarter)
{
    double t = fma((double)x, 0.63661977236758134, 6755399441055744.0); /* 1.5 * 2^52 */
    double n = t - 6755399441055744.0;
    double d = fma(n, -1.5707963267948966, (double)x);
    d = fma(n, -6.123233995736766e-17, d);
    float r = (float)d;
    uint32_t k = (uint32_t)bm_bits64(t) + quarter;
    float s = r * r;
    float p =
        fmaf(fmaf(fmaf(2.71804652e-06f, s, -0.000198393042f), s, 0.00833332911f), s, -0.166666672f);
    float q = fmaf(fmaf(2.44324128e-05f, s, -0.00138873095f), s, 0.0416666456f);
    float sine = fmaf(p * s, r, r);
    float cosine = fmaf(q * s, s, fmaf(-0.5f, s, 1.0f));
    float y = k & 1u ? cosine : sine;
    y = y > 1.0f ? 1.0f : y;
    y = y < -1.0f ? -1.0f : y;
    return k & 2u ? -y : y;
}

/* log(1 + e^x) = max(x, 0) + 2 atanh(u / (2 + u)), u = e^-|x|. 2 ulp */
BM_FN float bm_softplus_f(float x)
{
    float u = bm_exp_f(x < 0.0f ? x : -x);
    float z = u / (2.0f + u);
    float s = z * z;
    float p = fmaf(fmaf(fmaf(0.140059948f, s, 0.140009031f), s, 0.200107634f), s, 0.333332092f);
    float y = 2.0f * fmaf(p * s, z, z);
    return x > 0.0f ? x + y : y;
}

/* By a logarithm and an exponential in double, so rounded once; special cases are those of C. */
BM_FN float bm_pow_f(float a, float b)
{
    double x = a < 0.0f ? -(double)a : (double)a;
    uint64_t e = (bm_bits64(x) - 0x3fe6a09e667f3bcdu) & 0xfff0000000000000u;
    double i = (double)(int32_t)(uint32_t)(e >> 32) * 9.5367431640625e-7; /* 2^-20 */
    double m = bm_double(bm_bits64(x) - e);
    double z = (m - 1.0) / (m + 1.0);
    double s = z * z;
    double p = 0.097919640198628838;
    p = fma(p, s, 0.11088103407852726);
    p = fma(p, s, 0.14286054329811318);
    p = fma(p, s, 0.19999997813588194);
    p = fma(p, s, 0.33333333337891691);
    double l = fma(i, 0.69314718055994531, 2.0 * fma(p * s, z, z));
    l = x == 0.0 ? -INFINITY : x > 3.5e38 ? (double)INFINITY : l;
    double t = (double)b * l;
    t = t > 100.0 ? 100.0 : t;
    t = t < -150.0 ? -150.0 : t;
    double u = fma(t, 1.4426950408889634, 6755399441055744.0);
    double n = u - 6755399441055744.0;
    double r = fma(n, -0.69314718055994531, t);
    p = 2.4706433935977124e-05;
    p = fma(p, r, 0.00019910295277964602);
    p = fma(p, r, 0.0013889209592567926);
    p = fma(p, r, 0.0083332797245145168);
    p = fma(p, r, 0.041666664266376621);
    p = fma(p, r, 0.16666666791648208);
    p = fma(p, r, 0.50000000004620793);
    double y = fma(p, r * r, r) + 1.0;
    float v = (float)(y * bm_double((bm_bits64(u) + 1023u) << 52));
    int whole = floorf(b) == b, odd = whole && floorf(0.5f * b) != 0.5f * b;
    v = odd && bm_bits(a) >> 31 ? -v : v;
    v = a < 0.0f && a > -INFINITY && !whole ? NAN : v;
    v = a != a || b != b ? NAN : v;
    return b == 0.0f || a == 1.0f || (a == -1.0f && (b == INFINITY || b == -INFINITY)) ? 1.0f : v;
}

/* ---- real --------------------------------------------------------------------------------- */

#ifdef BM_REAL_DOUBLE
BM_FN real bm_exp(real x)
{
    return exp(x);
}
BM_FN real bm_log(real x)
{
    return log(x);
}
BM_FN real bm_tanh(real x)
{
    return tanh(x);
}
BM_FN real bm_erf(real x)
{
    return erf(x);
}
BM_FN real bm_sin(real x)
{
    return sin(x);
}
BM_FN real bm_cos(real x)
{
    return cos(x);
}
BM_FN real bm_sqrt(real x)
{
    return sqrt(x);
}
BM_FN real bm_floor(real x)
{
    return floor(x);
}
BM_FN real bm_pow(real a, real b)
{
    return pow(a, b);
}
BM_FN real bm_softplus(real x)
{
    return (x > 0 ? x : 0) + log1p(exp(x > 0 ? -x : x));
}
BM_FN real bm_gelu(real x)
{
    return x * 0.5 * erfc(x * -0.70710678118654752);
}
BM_FN real bm_fma(real a, real b, real c)
{
    return fma(a, b, c);
}
#else
BM_FN real bm_exp(real x)
{
    return bm_exp_f(x);
}
BM_FN real bm_log(real x)
{
    return bm_log_f(x);
}
BM_FN real bm_tanh(real x)
{
    return bm_tanh_f(x);
}
BM_FN real bm_erf(real x)
{
    return bm_erf_f(x);
}
BM_FN real bm_sin(real x)
{
    return bm_sin_cos_f(x, 0);
}
BM_FN real bm_cos(real x)
{
    return bm_sin_cos_f(x, 1);
}
BM_FN real bm_sqrt(real x)
{
    return sqrtf(x);
}
BM_FN real bm_floor(real x)
{
    return floorf(x);
}
BM_FN real bm_pow(real a, real b)
{
    return bm_pow_f(a, b);
}
BM_FN real bm_softplus(real x)
{
    return bm_softplus_f(x);
}
BM_FN real bm_gelu(real x)
{
    return x * bm_cdf_f(x);
}
BM_FN real bm_fma(real a, real b, real c)
{
    return fmaf(a, b, c);
}
#endif

/* The greater; NaN if either is. Without a branch, so that loops of it become vector code. */
BM_FN real bm_max(real a, real b)
{
    return ((a < b) | (b != b)) ? b : a;
}

BM_FN real bm_sigmoid(real x)
{
    return R(1.0) / (R(1.0) + bm_exp(-x));
}

BM_FN real bm_silu(real x)
{
    return x / (R(1.0) + bm_exp(-x));
}

/* x / 2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): 2 u is computed */
BM_FN real bm_gelu_tanh(real x)
{
    real u = x * bm_fma(R(0.0713548162726009), x * x, R(1.5957691216057308));
    return x / (R(1.0) + bm_exp(-u));
}

/* Its derivative: s + x s (1 - s) u'; beyond 30 that is 0 or 1. */
BM_FN real bm_gelu_tanh_d(real x)
{
    real c = x > R(30.0) ? R(30.0) : x;
    c = c < R(-30.0) ? R(-30.0) : c;
    real s2 = c * c;
    real u = c * bm_fma(R(0.0713548162726009), s2, R(1.5957691216057308));
    real du = bm_fma(R(0.2140644488178027), s2, R(1.5957691216057308));
    real e = bm_exp(u < 0 ? u : -u); /* of the side that cannot overflow */
    real d = R(1.0) / (R(1.0) + e);
    real s = u < 0 ? e * d : d;
    return bm_fma(c * du, e * d * d, s);
}

/* Rounded down, as // and % of the language; by 0: 0. Exact: quotients of 32-bit integers are at
 * least 2^-31 of themselves away from the next integer. */
BM_FN int32_t bm_idiv(int32_t a, int32_t b)
{
    double q = floor((double)a / (double)(b == 0 ? 1 : b));
    return b == 0 ? 0 : (int32_t)(int64_t)q;
}

BM_FN int32_t bm_imod(int32_t a, int32_t b)
{
    return b == 0 ? 0 : (int32_t)((uint32_t)a - (uint32_t)bm_idiv(a, b) * (uint32_t)b);
}

/* Towards 0; what does not fit stops at the ends, NaN is 0. */
BM_FN int32_t bm_int(real x)
{
    real c = x < R(-2147483648.0) ? R(-2147483648.0) : x;
    c = c > R(2147483520.0) ? R(2147483520.0) : c;
    return x != x ? 0 : (int32_t)c;
}

/* ---- random ------------------------------------------------------------------------------- */

/* One key for a draw: the seed, and where the draw stands in the model. */
BM_FN uint64_t bm_key(uint64_t seed, uint64_t site)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + site;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1), 24 bits: the first word of Philox4x32-10 (J. K. Salmon et al., SC 2011) at
 * the counter (element, sample, step). */
BM_FN real bm_uniform(uint64_t key, uint32_t element, int64_t sample, int64_t step)
{
    uint32_t c0 = element, c1 = (uint32_t)sample, c2 = (uint32_t)step;
    uint32_t c3 = (uint32_t)(sample >> 32) << 16 | (uint32_t)(step >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return R(c0 >> 8) * R(5.9604644775390625e-8);
}

#endif
