/* permute.c - a keyed permutation of 0..n-1 without a table.
 *
 * A balanced Feistel network permutes the smallest 2^(2h) >= n; a result outside 0..n-1 is put in
 * again until one lies inside (cycle walking: at most 4 times on average). The round function is
 * Philox of (half, round) under the seed, with the epoch in the counter. */
#include "runtime/permute.h"

#include "runtime/rng.h"

enum { ROUNDS = 6 };

static uint64_t feistel(uint64_t seed, uint64_t epoch, int half, uint64_t x)
{
    uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        /* A word of its own per round keeps these counters apart from all others of the seed. */
        bmrt_words w = bmrt_philox(seed, right | round << 56, epoch ^ 0x6f72646572000000u);
        uint64_t f = (w.w[0] | (uint64_t)w.w[1] << 32) & mask, next = left ^ f;
        left = right;
        right = next;
    }
    return left << half | right;
}

int64_t bmrt_permute(uint64_t seed, int64_t epoch, int64_t n, int64_t position)
{
    if (n <= 1)
        return 0;
    int half = 1;
    while (half < 31 && (uint64_t)n > (uint64_t)1 << (2 * half))
        half++;
    uint64_t x = (uint64_t)position;
    do
        x = feistel(seed, (uint64_t)epoch, half, x);
    while (x >= (uint64_t)n);
    return (int64_t)x;
}
