/* pool.h - the trainer's threads.
 *
 * One job at a time, started by the thread that made the pool (which does part 0 itself). Waiting
 * workers spin for a short while, then sleep: launches that follow each other cost microseconds.
 * How work is split never changes a result, so nothing here is part of a result. */
#ifndef BMRT_POOL_H
#define BMRT_POOL_H

#include "runtime/base.h"

typedef struct bmrt_pool bmrt_pool;

enum { BMRT_MOST_THREADS = 1024 };

/* Does part `part` of `parts` of a job. */
typedef void bmrt_part_fn(void *job, int part, int parts);

/* Cores this process may run on. */
int bmrt_cores(void);

/* `start` (or NULL) is called once on every thread before its first job, the caller's included. */
typedef void bmrt_start_fn(void);
BmStatus bmrt_pool_create(bmrt_pool **out, int threads, bmrt_start_fn *start, bmrt_error *e);
void bmrt_pool_destroy(bmrt_pool *p); /* NULL is fine */
int bmrt_pool_threads(const bmrt_pool *p);

/* Calls fn(job, i, parts) for i = 0..parts-1, on as many threads as are free, and returns when
 * every one has returned; parts is cut to the number of threads. Not from inside a job. */
void bmrt_pool_run(bmrt_pool *p, bmrt_part_fn *fn, void *job, int parts);

/* Units 0..n-1 in contiguous blocks of at least `least`, one per thread. */
typedef void bmrt_range_fn(void *job, int64_t lo, int64_t hi);
void bmrt_pool_split(bmrt_pool *p, bmrt_range_fn *fn, void *job, int64_t n, int64_t least);

/* Units 0..n-1, each taken by the next free thread: for units of unequal or large cost. */
void bmrt_pool_take(bmrt_pool *p, bmrt_range_fn *fn, void *job, int64_t n, int64_t least);

#endif
