/* sum.c - the sum of squares in one fixed order.
 *
 * A grain of 65,536 elements is summed in 256 lanes (element i goes to lane i mod 256), the lanes
 * are folded in halves, and the grains are added one after the other, in double. */
#include "runtime/bmrt_private.h"

#include <stdlib.h>

enum { GRAIN = 65536, LANES = 256 };

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
    double *partial;
} sum_job;

static void sum_grains(void *job, int64_t lo, int64_t hi)
{
    const sum_job *s = job;
    for (int64_t g = lo; g < hi; g++) {
        int64_t left = s->n - g * GRAIN;
        s->partial[g] = (double)grain_squares(s->x + g * GRAIN, left < GRAIN ? left : GRAIN);
    }
}

void bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *out)
{
    bmrt_run *run = bmrt_run_of(r);
    int64_t grains = (n + GRAIN - 1) / GRAIN;
    double total = 0;
    /* Only a piece of the arena is ever summed, so the partial sums always have room; the loop
     * keeps that true for any n. */
    for (int64_t first = 0; first < grains; first += run->n_partial) {
        int64_t count = grains - first < run->n_partial ? grains - first : run->n_partial;
        sum_job s = {(const real *)x + first * GRAIN, n - first * GRAIN, run->partial};
        bmrt_pool_split(run->pool, sum_grains, &s, count, 1);
        for (int64_t g = 0; g < count; g++)
            total += run->partial[g];
    }
    *(real *)out = (real)total;
}

BmStatus bmrt_sum_create(bmrt_run *run, bmrt_error *e)
{
    run->n_partial = run->m->arena_bytes / (4 * (int64_t)GRAIN) + 1;
    run->partial = calloc((size_t)run->n_partial, sizeof *run->partial);
    if (!run->partial)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for %lld partial sums",
                         (long long)run->n_partial);
    return BMRT_OK;
}

void bmrt_sum_destroy(bmrt_run *run)
{
    free(run->partial);
    run->partial = NULL;
}
