/* offsets_pack.h - private to offsets*.c: the problem after normalising, and its two solvers.
 *
 * Time is cut into sections: the maximal sets of items live together, in order. An item covers the
 * sections lo..hi-1. All sizes and offsets are in one unit that divides them, so heights that
 * differ differ by at least 1. The sum of all sizes and fixed tops stays below 2^61. */
#ifndef BM_PLANNER_OFFSETS_PACK_H
#define BM_PLANNER_OFFSETS_PACK_H

#include "planner/offsets.h"

typedef struct Box {
    int64_t size;  /* > 0 */
    int64_t steps; /* how long it lives, in steps */
    int64_t fixed; /* or -1 */
    int lo, hi;
} Box;

typedef struct Pack {
    int n, n_sections;
    Box *box;
} Pack;

static inline bool boxes_meet(const Box *a, const Box *b)
{
    return a->lo < b->hi && b->lo < a->hi;
}

/* The best of several first-fit orders, stopping early at `good`; offsets of the best in `best`,
 * its height returned. */
int64_t pack_greedy(Arena *scratch, const Pack *p, int64_t good, int64_t *best);

typedef enum PackAnswer { PACK_FOUND, PACK_IMPOSSIBLE, PACK_UNKNOWN } PackAnswer;

/* Is there a placement of height <= cap? `nodes` is reduced by what was used, UNKNOWN when it is
 * used up. Offsets are written when FOUND. */
PackAnswer pack_search(Arena *scratch, const Pack *p, int64_t cap, int64_t *nodes, int64_t *offset);

#endif
