/* grain.c - where sums over tokens are cut.
 *
 * Promise 2: micro-batches of whole grains give the same bits, so the cuts may depend on the model
 * and on `batch` only, never on the micro-batch. A grain either divides one sample's rows or is a
 * whole number of samples dividing the batch. */
#include "planner/build.h"

static int64_t largest_divisor(int64_t n, int64_t most)
{
    for (int64_t d = min64(n, most); d > 1; d--)
        if (n % d == 0)
            return d;
    return 1;
}

Grain grain_of(int64_t rows, int64_t batch, int64_t least, int64_t most)
{
    if (rows >= least) {
        int64_t d = largest_divisor(rows, most);
        /* a length with no useful divisor (a prime) is not cut at all */
        return (Grain){d >= least / 4 || rows <= most ? d : rows, 0};
    }
    int64_t s = largest_divisor(batch, max64(1, least / max64(rows, 1)));
    return (Grain){s * rows, s};
}

/* A product over too few rows wastes its start-up; more than 1024 gain nothing (measured: 3 % at
 * 256). */
Grain grain_gemm(int64_t rows, int64_t batch)
{
    return grain_of(rows, batch, 256, 1024);
}

/* Small enough that all threads have chunks of a micro-batch, large enough that partials are few.
 */
Grain grain_chunk(int64_t rows, int64_t cols, int64_t batch)
{
    if (rows == 1 && cols == 1)
        return (Grain){1, 1}; /* one number a sample: no need to tie samples together */
    return grain_of(rows, batch, 64, 64);
}
