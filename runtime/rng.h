/* rng.h - Philox4x32-10 (Salmon et al., SC 2011): random numbers as a pure function of a key and a
 * counter, so a draw does not depend on what was drawn before. Header only. */
#ifndef BMRT_RNG_H
#define BMRT_RNG_H

#include <stdint.h>

typedef struct bmrt_words {
    uint32_t w[4];
} bmrt_words;

/* Counter (a: words 0 and 1, b: words 2 and 3, low word first) under a 64-bit key. */
static inline bmrt_words bmrt_philox(uint64_t key, uint64_t a, uint64_t b)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)a, c1 = (uint32_t)(a >> 32), c2 = (uint32_t)b, c3 = (uint32_t)(b >> 32);
    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    bmrt_words r = {{c0, c1, c2, c3}};
    return r;
}

#endif
