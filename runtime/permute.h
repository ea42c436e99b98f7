/* permute.h - the order of samples, as a pure function. */
#ifndef BMRT_PERMUTE_H
#define BMRT_PERMUTE_H

#include <stdint.h>

/* Position 0..n-1 of epoch `epoch` holds this sample: for every (seed, epoch) a permutation of
 * 0..n-1. n >= 1. */
int64_t bmrt_permute(uint64_t seed, int64_t epoch, int64_t n, int64_t position);

/* Sample at a place in the endless sequence of epochs. */
static inline int64_t bmrt_sample_at(uint64_t seed, int64_t n, int64_t place)
{
    return bmrt_permute(seed, place / n, n, place % n);
}

#endif
