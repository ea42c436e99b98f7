/* permute.h - the order of samples, as a pure function of seed, epoch and position. */
#ifndef BMRT_PERMUTE_H
#define BMRT_PERMUTE_H

#include <stdint.h>

enum { BMRT_EPOCH_ROUNDS = 6 };

/* For every (seed, epoch) a permutation of 0..n-1. */
typedef struct bmrt_epoch {
    uint64_t key[BMRT_EPOCH_ROUNDS];
    int64_t n;
    int half; /* the network permutes 2^(2 half) >= n numbers */
} bmrt_epoch;

/* n >= 1, epoch >= 0. */
bmrt_epoch bmrt_epoch_of(uint64_t seed, int64_t epoch, int64_t n);

/* The sample at position 0..n-1. */
int64_t bmrt_epoch_at(const bmrt_epoch *o, int64_t position);

/* The samples at `count` places from `place` >= 0 on, in the endless sequence of epochs, to out. */
void bmrt_samples_at(uint64_t seed, int64_t n, int64_t place, int64_t count, int64_t *out);

#endif
