/* moments.h - mean, spread and limits of very many numbers, the same bits however they are spread.
 *
 * The numbers are cut into leaves, counted from 0. A leaf's moments are a function of its elements;
 * two neighbouring runs of 2^k leaves make one of 2^(k+1) when the first begins at a multiple of
 * that. So whoever has a range of leaves makes at most two runs of each size of it, and all runs
 * together make the one tree over all leaves, whoever made which. Everything is in double. */
#ifndef BMRT_MOMENTS_H
#define BMRT_MOMENTS_H

#include "runtime/base.h"

typedef struct bmrt_moments {
    int64_t n;
    double sum, m2; /* m2: of squares of the distances from the mean */
    double least, most;
} bmrt_moments;

enum { BMRT_LEAF = 16 }; /* elements; 0 < n <= that */
bmrt_moments bmrt_moments_of(bmrt_dtype t, const void *x, int n);
bmrt_moments bmrt_moments_add(const bmrt_moments *a, const bmrt_moments *b);
double bmrt_moments_mean(const bmrt_moments *a);
double bmrt_moments_std(const bmrt_moments *a); /* of n - 1; of one element 0 */

typedef struct bmrt_moment_run { /* leaves first .. first + 2^level - 1 */
    int64_t first;
    int64_t level;
    bmrt_moments of;
} bmrt_moment_run;

enum { BMRT_RUNS = 128 };
typedef struct bmrt_moment_runs {
    bmrt_moment_run run[BMRT_RUNS]; /* of growing `first`, no two of which make one */
    int64_t n;
} bmrt_moment_runs;

/* The run that follows what is there; false when it does not. */
bool bmrt_moment_push(bmrt_moment_runs *r, const bmrt_moment_run *next);
/* All that is there. */
bmrt_moments bmrt_moment_total(const bmrt_moment_runs *r);

#endif
