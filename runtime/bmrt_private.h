/* bmrt_private.h - a running trainer, and the parts of the runtime that work on it.
 *
 * bmrt_main (main.c) fills a `bmrt_run` piece by piece: options, pool, arena, initial values, data,
 * metrics; then runs the loop (train_loop.c). Each piece has its own header. */
#ifndef BMRT_PRIVATE_H
#define BMRT_PRIVATE_H

#include "runtime/options.h"
#include "runtime/pool.h"

typedef struct bmrt_run {
    bmrt pub; /* first: phase functions get a pointer to it */
    const bmrt_model *m;
    bmrt_options opt;
    bmrt_pool *pool;
    size_t arena_size; /* bytes mapped */
    double *partial;   /* bmrt_sum_squares: one sum a grain; [grains of the arena] */
    int64_t n_partial;
    int64_t steps; /* of the whole training: the schedule's length */
} bmrt_run;

/* The private part behind what emitted code holds. */
static inline bmrt_run *bmrt_run_of(bmrt *r)
{
    return (bmrt_run *)(void *)r;
}

/* arena.c: maps, asks for huge pages, touches every page with all threads; needs the pool. */
BmStatus bmrt_arena_create(bmrt_run *run, bmrt_error *e);
void bmrt_arena_destroy(bmrt_run *run);
/* Pages of the arena that are resident, 0..1; -1 when the system does not say. */
double bmrt_arena_resident(const bmrt_run *run);
/* Largest resident size of the process so far, bytes; 0 when unknown. */
int64_t bmrt_peak_rss(void);

/* sum.c: storage for the partial sums. */
BmStatus bmrt_sum_create(bmrt_run *run, bmrt_error *e);
void bmrt_sum_destroy(bmrt_run *run);

/* init.c: first values of one tensor, or of all persistent ones. They depend on the seed, the path
 * and the element, on nothing else. */
BmStatus bmrt_init_tensor(bmrt_run *run, const bmrt_tensor *t, bmrt_error *e);
BmStatus bmrt_init_all(bmrt_run *run, bmrt_error *e);
/* The standard normal quantile (Wichura 1988, AS241) in +, -, *, / and sqrt only: the same bits on
 * every machine. 0 < p < 1. */
double bmrt_normal_quantile(double p);

/* schedule.c: the learning rate of step `step` (from 0) relative to its base; min_lr is absolute
 * for the first optimizer, whose base is `base0`. */
double bmrt_schedule(const bmrt_model *m, int64_t steps, double base0, int64_t step);
/* Base rate of the first optimizer; 0 when the model has none. */
double bmrt_base_lr(const bmrt_model *m);
/* Writes every host scalar for run->pub.step. Returns the learning rate of the first optimizer. */
double bmrt_write_host(bmrt_run *run);

#endif
