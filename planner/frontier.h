/* frontier.h - what a block keeps against what it computes again, and how many blocks do which.
 *
 * Pure data, integers only, no state: the same input gives the same points on every machine.
 *
 * The model: the backward of a block needs the values that are `wanted`. A value that was kept is
 * there; any other is computed again from its operands, which are needed then in turn. Each op is
 * computed again at most once, for what was computed again may live until the block's backward is
 * over. So a set of kept values costs its bytes and the time of the ops that must run again, and
 * the frontier is every set that no other beats in both. */
#ifndef BM_FRONTIER_H
#define BM_FRONTIER_H

#include "frontend/base/vec.h"

typedef struct FrontierOp {
    const int *in; /* ops before it whose values it reads */
    int n_in;
    int64_t bytes; /* of its results */
    int64_t ps;    /* to compute it again */
    bool fixed;    /* in memory whatever is decided: what enters the block or leaves it */
    bool passing;  /* lives within a kernel: it is in no memory, so it cannot be kept */
    bool impure;   /* computed again it would be another value, so it must be kept where needed */
    bool wanted;   /* the backward reads it */
} FrontierOp;

typedef struct FrontierPoint {
    int64_t bytes;        /* kept, what is fixed not counted */
    int64_t ps;           /* of all that is computed again */
    int64_t again;        /* bytes that are computed again: more never live at once besides */
    const uint64_t *kept; /* op i: bit i % 64 of word i / 64 */
} FrontierPoint;

typedef struct Frontier {
    VEC(FrontierPoint) point; /* the fewest bytes first; each takes less time than the one before */
    int words;                /* of each `kept` */
    bool exact;               /* no set was given up for the budget */
    int64_t work;             /* partial sets looked at */
} Frontier;

enum { FRONTIER_BUDGET = 1 << 14 }; /* partial sets alive at once */

/* The frontier of ops 0..n-1. Ops are decided from the last to the first; partial sets that need
 * the same earlier ops are compared, and the beaten ones dropped, which loses nothing. Only when
 * more than `budget` are left are some given up, evenly: then `exact` is false, and the points are
 * still sets with their true costs, the ends (all kept, and one of the smallest) among them. No
 * point at all: something that must be kept cannot be. */
Frontier frontier_of(Arena *a, const FrontierOp *op, int n, int budget);

/* What a set costs; false: the backward cannot have all it wants. */
bool frontier_price(Arena *a, const FrontierOp *op, int n, const uint64_t *kept,
                    FrontierPoint *out);

static inline bool frontier_has(const uint64_t *kept, int op)
{
    return kept[op / 64] >> (op % 64) & 1;
}
static inline int frontier_words(int n)
{
    return n > 0 ? (n + 63) / 64 : 1;
}

/* ---- many blocks under one budget ---- */

typedef struct MixClass { /* blocks that are alike */
    int count;
    const FrontierPoint *point; /* of a frontier, in its order */
    int n;
    int most;                     /* different points that may be in use: 1, or 2 (0: 2) */
    const struct MixPairs *pairs; /* frontier_pairs(), where it is asked for more than one budget */
} MixClass;

/* Every pair of the points with every count that no other beats: they depend on no budget. */
const struct MixPairs *frontier_pairs(Arena *a, const MixClass *c);

typedef struct MixChoice { /* the first `n_light` blocks take `light`, the rest `heavy` */
    int light, heavy;      /* points; light keeps fewer bytes. The last blocks are freed first. */
    int n_light;
} MixChoice;

typedef struct Mix {
    bool fits;           /* else only least_bytes is set */
    int64_t least_bytes; /* of all blocks, each at its lightest point */
    MixChoice *choice;   /* by class */
    int64_t bytes, ps;   /* of all blocks */
    bool exact;          /* the best of all pairs of points with counts */
    /* No mix whatever of the points that fits takes less time: by the multiplier num / den (ps a
     * byte), see mix_bound(). */
    int64_t lower_ps, lambda_num, lambda_den;
} Mix;

/* The least time within `budget` bytes, of two points a class: how far that is from the best of any
 * mix shows in lower_ps. */
Mix frontier_mix(Arena *a, const MixClass *c, int n, int64_t budget);
/* Only whether there is one, and the bound. */
Mix frontier_bound(Arena *a, const MixClass *c, int n, int64_t budget);

/* For any num >= 0 and den > 0: sum of count * min(ps + num / den * bytes), less num / den *
 * budget, rounded up: nothing that fits takes less (Lagrange; Everett 1963). */
int64_t mix_bound(const MixClass *c, int n, int64_t budget, int64_t num, int64_t den);

#endif
