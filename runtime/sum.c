/* sum.c - sums in one fixed order: squares by grains, the gradient's norm, gaps, the tree of
 * rounds. */
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
 * plan's to choose, so its place in the sum must not matter. Bit 0 of limb 0 stands for the
 * smallest float there is; each limb is a 64-bit counter of which 32 bits are its own. */
typedef struct exact {
    uint64_t limb[12];
    double beyond; /* infinities and NaN; with doubles for numbers, everything */
} exact;

static void exact_add(exact *s, real v)
{
    float f = (float)v;
    uint32_t bits;
    if (sizeof(real) > sizeof f || !(f < INFINITY)) { /* squares are never below 0 */
        s->beyond += (double)v;
        return;
    }
    memcpy(&bits, &f, sizeof bits);
    uint32_t e = bits >> 23, at = e ? e - 1 : 0;
    uint64_t part = (uint64_t)((bits & 0x7FFFFF) | (e ? 0x800000u : 0)) << at % 32;
    s->limb[at / 32] += part & 0xFFFFFFFF;
    s->limb[at / 32 + 1] += part >> 32;
}

static double exact_total(const exact *s)
{
    enum { N = sizeof s->limb / sizeof s->limb[0] };
    uint64_t carry = 0;
    uint32_t digit[N];
    for (int i = 0; i < N; i++) {
        carry += s->limb[i];
        digit[i] = (uint32_t)carry;
        carry >>= 32;
    }
    double total = 0; /* from the lowest digit: each sum is rounded, but always the same */
    for (int i = 0; i < N; i++)
        total += ldexp((double)digit[i], 32 * i - 149);
    return total + s->beyond;
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
