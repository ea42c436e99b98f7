/* offsets.h - where every buffer lies in one arena: exact static memory allocation.
 *
 * An item is live in the steps first..last (both included); two items whose steps meet must not
 * share a byte. The least possible height of the arena is at least the most bytes live in one step
 * (max_live), and on training programs nearly always equal to it. So: cheap orders first, then an
 * exact search that starts at max_live (canonical bottom-up order as in MiniMalloc, ASPLOS'23), and
 * when the budget ends, the best height found, said to be unproved.
 *
 * The result is a function of the arguments alone: the budget is in nodes, there is no clock. */
#ifndef BM_PLANNER_OFFSETS_H
#define BM_PLANNER_OFFSETS_H

#include "frontend/base/arena.h"

typedef struct OffsetItem {
    int64_t bytes;       /* >= 0; rounded up to `align`; 0 bytes lie anywhere (offset 0) */
    int64_t first, last; /* first <= last */
    int64_t offset;      /* out; a multiple of `align` */
    int64_t fixed;       /* >= 0: must lie there (a multiple of `align`); -1: free */
} OffsetItem;

typedef struct OffsetResult {
    int64_t height;   /* max of offset + rounded bytes; OFFSETS_NONE: see below */
    int64_t max_live; /* lower bound: the most rounded bytes live in one step */
    int64_t at;       /* the first step where max_live is reached; 0 without items */
    int64_t work;     /* search nodes used (a node over many items counts as several) */
    bool proved;      /* no better answer exists, see offsets_solve */
} OffsetResult;

/* The height when no placement exists at all: two fixed items overlap (`at` is a step where both
 * are live), a fixed offset is not a multiple of align (`at` is its first step), or the bytes live
 * at `at` pass int64. Offsets are then not written. */
#define OFFSETS_NONE INT64_MAX

/* Enough for every training program met so far; about two seconds when all of it is used. */
#define OFFSETS_BUDGET 1000000

/* capacity 0: find the least height; proved = it is the least.
 * capacity > 0: find a height <= capacity and stop there; proved = the answer (it fits: height <=
 * capacity, or it cannot: height > capacity) is certain. When it does not fit, the best placement
 * found is written all the same. `budget` 0 tries the cheap orders only. */
OffsetResult offsets_solve(Arena *scratch, OffsetItem *item, int n, int64_t align, int64_t capacity,
                           int64_t budget);

#endif
