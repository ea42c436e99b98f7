/* permute.c - a keyed permutation of 0..n-1 without a table.
 *
 * A balanced Feistel network permutes the smallest 2^(2 half) >= n; a result outside 0..n-1 is put
 * in again until one lies inside (cycle walking: at most 4 times on average, from 16 samples on).
 * The keys of an epoch are Philox under the seed. The round function is the finalizer of
 * MurmurHash3 (Appleby): a sample takes some twenty nanoseconds, where Philox in each round took a
 * hundred, a fifth of a small model's step. */
#include "runtime/permute.h"

#include "runtime/rng.h"

/* A word of its own keeps these counters apart from all others of the seed. */
#define ORDER_WORD UINT64_C(0x6f72646572000000)

/* Halves of two bits have so few round functions that neighbours in the order tell on each other.
 */
enum { LEAST_HALF = 3 };

bmrt_epoch bmrt_epoch_of(uint64_t seed, int64_t epoch, int64_t n)
{
    bmrt_epoch o = {.n = n, .half = LEAST_HALF};
    while (o.half < 31 && (uint64_t)n > (uint64_t)1 << (2 * o.half))
        o.half++;
    for (uint64_t k = 0; k < BMRT_EPOCH_ROUNDS; k++) {
        bmrt_words w = bmrt_philox(seed, k, (uint64_t)epoch ^ ORDER_WORD);
        o.key[k] = w.w[0] | (uint64_t)w.w[1] << 32;
    }
    return o;
}

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static uint64_t feistel(const bmrt_epoch *o, uint64_t x)
{
    uint64_t mask = ((uint64_t)1 << o->half) - 1;
    uint64_t left = x >> o->half, right = x & mask;
    for (int k = 0; k < BMRT_EPOCH_ROUNDS; k++) {
        uint64_t next = left ^ (mixed(right + o->key[k]) & mask);
        left = right;
        right = next;
    }
    return left << o->half | right;
}

int64_t bmrt_epoch_at(const bmrt_epoch *o, int64_t position)
{
    uint64_t x = (uint64_t)position;
    if (o->n <= 1)
        return 0;
    do
        x = feistel(o, x);
    while (x >= (uint64_t)o->n);
    return (int64_t)x;
}

void bmrt_samples_at(uint64_t seed, int64_t n, int64_t place, int64_t count, int64_t *out)
{
    int64_t epoch = place / n, position = place % n;
    bmrt_epoch o = bmrt_epoch_of(seed, epoch, n);
    for (int64_t i = 0; i < count; i++) {
        if (position == n) {
            o = bmrt_epoch_of(seed, ++epoch, n);
            position = 0;
        }
        out[i] = bmrt_epoch_at(&o, position++);
    }
}
