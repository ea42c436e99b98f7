/* sum.c - sums in one fixed order, or in any: squares by grains, the gradient's norm, gaps, the
 * tree of rounds, exact sums of rounds. */
#include "runtime/bmrt_private.h"

#include <math.h>
#include <string.h>

enum { GRAIN = BMRT_NORM_GRAIN, LANES = 256 };

/* Element i goes to lane i mod LANES, the lanes are folded in halves. A short grain is one whose
 * missing elements are 0. */
static real grain_squares(const real *x, int64_t n)
{
    real lane[LANES] = {0};
    int64_t whole = n / LANES;
    for (int64_t i = 0; i < whole; i++)
        for (int j = 0; j < LANES; j++) {
            real v = x[i * LANES + j];
            lane[j] += v * v;
        }
    for (int64_t i = whole * LANES; i < n; i++)
        lane[i - whole * LANES] += x[i] * x[i];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

typedef struct sum_job {
    const real *x;
    int64_t n;
    real *partial;
} sum_job;

static void sum_grains(void *job, int64_t lo, int64_t hi)
{
    const sum_job *s = job;
    for (int64_t g = lo; g < hi; g++) {
        int64_t left = s->n - g * GRAIN;
        s->partial[g] = grain_squares(s->x + g * GRAIN, left < GRAIN ? left : GRAIN);
    }
}

void bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *partial)
{
    enum { LEAST = 16 }; /* grains worth a thread */
    sum_job s = {x, n, partial};
    bmrt_pool_split(bmrt_run_of(r)->pool, sum_grains, &s, (n + GRAIN - 1) / GRAIN, LEAST);
}

/* A sum of floats without rounding (Kulisch): which group a grain is in, and on which rank, is the
 * plan's to choose, so its place in the sum must not matter; nor which rank evaluates a
 * micro-batch. Bit 0 of limb 0 stands for the smallest float there is; each limb is a 64-bit
 * counter of which 32 bits are its own. */
enum { LIMBS = 12 };
typedef struct exact {
    int64_t limb[LIMBS];
    double beyond; /* infinities and NaN; with doubles for numbers, everything */
} exact;

static void exact_add(exact *s, real v)
{
    float f = (float)v;
    uint32_t bits;
    if (sizeof(real) > sizeof f || !isfinite(f)) {
        s->beyond += (double)v;
        return;
    }
    memcpy(&bits, &f, sizeof bits);
    uint32_t e = bits >> 23 & 0xFF, at = e ? e - 1 : 0;
    uint64_t part = (uint64_t)((bits & 0x7FFFFF) | (e ? 0x800000u : 0)) << at % 32;
    int64_t sign = bits >> 31 ? -1 : 1;
    s->limb[at / 32] += sign * (int64_t)(part & 0xFFFFFFFF);
    s->limb[at / 32 + 1] += sign * (int64_t)(part >> 32);
}

/* digit: the limbs' own 32 bits, carries passed on. What is carried out of the last. */
static int64_t carry_over(const exact *s, int64_t sign, uint32_t digit[LIMBS])
{
    int64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += sign * s->limb[i];
        digit[i] = (uint32_t)carry;
        carry = (carry - (int64_t)digit[i]) / ((int64_t)1 << 32);
    }
    return carry;
}

/* The sum but for what is beyond is sign * digit: the same for each order of the same numbers. */
static int64_t exact_digits(const exact *s, uint32_t digit[LIMBS])
{
    if (carry_over(s, 1, digit) >= 0)
        return 1;
    carry_over(s, -1, digit);
    return -1;
}

static double exact_total(const exact *s)
{
    uint32_t digit[LIMBS];
    int64_t sign = exact_digits(s, digit);
    double total = 0; /* from the lowest digit: each sum is rounded, but always the same */
    for (int i = 0; i < LIMBS; i++)
        total += ldexp((double)digit[i], 32 * i - 149);
    return (double)sign * total + s->beyond;
}

void bmrt_norm(bmrt *r, const void *partial, const int64_t *grains, int groups, int64_t ranks,
               void *out)
{
    (void)r;
    const real *p = partial;
    int64_t all = 0, start = 0; /* grains of a rank; of those, the ones before this group's */
    exact total = {.beyond = 0};
    for (int g = 0; g < groups; g++)
        all += (grains[g] + ranks - 1) / ranks;
    for (int g = 0; g < groups; g++) {
        int64_t own = (grains[g] + ranks - 1) / ranks;
        for (int64_t q = 0, left = grains[g]; left > 0; q++, left -= own)
            for (int64_t j = 0; j < own && j < left; j++)
                exact_add(&total, p[q * all + start + j]);
        start += own;
    }
    *(real *)out = (real)exact_total(&total);
}

void bmrt_zero(bmrt *r, void *x, const int64_t (*gap)[2], int n)
{
    (void)r;
    for (int i = 0; i < n; i++)
        memset((real *)x + gap[i][0], 0, (size_t)gap[i][1] * sizeof(real));
}

typedef struct tree_job {
    const real *leaf;
    real *tree;
    int64_t n, round;
} tree_job;

/* Level l holds the sum of the last complete run of 2^l rounds; round j completes as many runs as
 * j ends in bits that are 1, and the sum of all of them goes to the level above. */
static void add_to_tree(void *job, int64_t lo, int64_t hi)
{
    enum { PIECE = 512 }; /* stays in the cache from level to level */
    const tree_job *t = job;
    real sum[PIECE];
    for (int64_t at = lo; at < hi; at += PIECE) {
        int64_t n = hi - at < PIECE ? hi - at : PIECE;
        real *level = t->tree + at;
        memcpy(sum, t->leaf + at, (size_t)n * sizeof *sum);
        for (int64_t j = t->round; j & 1; j >>= 1, level += t->n)
            for (int64_t i = 0; i < n; i++)
                sum[i] = level[i] + sum[i];
        memcpy(level, sum, (size_t)n * sizeof *sum);
    }
}

void bmrt_tree(bmrt *r, void *leaf, void *tree, int64_t n)
{
    tree_job t = {leaf, tree, n, r->round};
    bmrt_pool_split(bmrt_run_of(r)->pool, add_to_tree, &t, n, 16384);
}

/* ---- exact sums in the arena: digits of 8 bits, so that those of all ranks are added without
 * rounding; the highest holds the rest. Each has the sum's sign. */

enum { DIGITS = BMRT_EXACT_DIGITS - 1 }; /* and what is beyond */

static exact exact_load(const real *from)
{
    exact s = {.beyond = (double)from[DIGITS]};
    for (int i = 0; i < DIGITS; i++)
        s.limb[i / 4] += (int64_t)from[i] * ((int64_t)1 << 8 * (i % 4));
    return s;
}

static void exact_store(const exact *s, real *to)
{
    uint32_t digit[LIMBS];
    real sign = (real)exact_digits(s, digit);
    for (int i = 0; i < DIGITS - 1; i++)
        to[i] = sign * (real)(digit[i / 4] >> 8 * (i % 4) & 0xFF);
    double top = 0;
    for (int i = LIMBS - 1; i > (DIGITS - 1) / 4; i--)
        top = top * 4294967296.0 + (double)digit[i];
    int bits = 8 * ((DIGITS - 1) % 4);
    top = ldexp(top, 32 - bits) + (double)(digit[(DIGITS - 1) / 4] >> bits);
    to[DIGITS - 1] = sign * (real)top;
    to[DIGITS] = (real)s->beyond;
}

void bmrt_exact_sum(bmrt *r, const void *leaf, void *sums, int64_t n)
{
    const real *x = leaf;
    for (int64_t k = 0; k < n; k++) {
        real *at = (real *)sums + k * BMRT_EXACT_DIGITS;
        exact s = r->first ? (exact){.beyond = 0} : exact_load(at);
        exact_add(&s, x[k]);
        exact_store(&s, at);
    }
}

void bmrt_exact_total(bmrt *r, const void *sums, void *out, int64_t n)
{
    (void)r;
    for (int64_t k = 0; k < n; k++) {
        exact s = exact_load((const real *)sums + k * BMRT_EXACT_DIGITS);
        ((real *)out)[k] = (real)exact_total(&s);
    }
}
