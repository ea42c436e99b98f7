/* counts.h - numbers that divide a number. Private to planner/. */
#ifndef BM_COUNTS_H
#define BM_COUNTS_H

#include "frontend/base/arena.h"
#include "frontend/base/vec.h"

typedef VEC(int64_t) Counts;

/* What divides n, the largest first. */
Counts divisors(Arena *a, int64_t n);

#endif
