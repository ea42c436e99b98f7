/* bmrt_private.h - a running trainer, and the parts of the runtime that work on it.
 *
 * bmrt_main (main.c) fills a `bmrt_run` piece by piece: options, pool, arena, initial values, data,
 * metrics; then runs the loop (train_loop.c). Each piece has its own header. */
#ifndef BMRT_PRIVATE_H
#define BMRT_PRIVATE_H

#include "runtime/data.h"
#include "runtime/metrics.h"
#include "runtime/options.h"
#include "runtime/peers.h"
#include "runtime/pool.h"
#include "runtime/progress.h"
#include "runtime/safetensors.h"
#include "runtime/watch.h"
#include "runtime/world.h"

typedef struct bmrt_run {
    bmrt pub; /* first: phase functions get a pointer to it */
    const bmrt_model *m;
    bmrt_options opt;
    bmrt_pool *pool;
    const bmrt_peers *peers; /* NULL: one rank */
    bmrt_world world;
    size_t arena_size, host_size; /* bytes mapped */
    int64_t steps;                /* of the whole training: the schedule's length */
    int64_t stop;                 /* steps of this run */
    int64_t eval_every;
    bmrt_data train, valid; /* n is 0 where there is none */
    int64_t *index;         /* sample numbers of a micro-batch; [n_index] */
    int64_t n_index;
    bmrt_metrics metrics;
    bmrt_progress progress;
    bmrt_watcher *watcher; /* --inspect; NULL: not asked for */
    bool saves;
    bmrt_saver saver;
    int samples_fd, predictions_fd; /* --log-samples, --predictions; -1: not asked for */
    bmrt_text wide_line;            /* for these two */
    bool warned_empty;              /* a weight of 0 was reported */
    double resident;                /* part of the arena, after the first step; -1: none ran */
} bmrt_run;

/* The private part behind what emitted code holds. */
static inline bmrt_run *bmrt_run_of(bmrt *r)
{
    return (bmrt_run *)(void *)r;
}

/* arena.c: maps both arenas, asks for huge pages, touches every page with all threads; needs the
 * pool. */
BmStatus bmrt_arena_create(bmrt_run *run, bmrt_error *e);
void bmrt_arena_destroy(bmrt_run *run);
/* Pages of the arenas that are resident, 0..1; -1 when the system does not say. */
double bmrt_arena_resident(const bmrt_run *run);
/* Largest resident size of the process so far, bytes; 0 when unknown. */
int64_t bmrt_peak_rss(void);

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

/* evaluate.c: one program over samples up to number `samples`, in micro-batches, each phase in its
 * order; leaves averages in the arena. Round j begins with sample base + j * stride, so that ranks
 * may take turns; there are `rounds` of them, and in some a rank may have no sample (nb is 0). All
 * three 0: one micro-batch after the other, from 0. `fill` writes the inputs of samples `first`..
 * of `nb`; `each` (or NULL) runs after every round. With several ranks what goes wrong in a round
 * is told at the end: the collectives of the phases are the others' too. */
typedef struct bmrt_pass {
    const bmrt_program *program;
    int64_t samples;
    BmStatus (*fill)(bmrt_run *run, const struct bmrt_pass *pass, int64_t first, int64_t nb,
                     bmrt_error *e);
    BmStatus (*each)(bmrt_run *run, const struct bmrt_pass *pass, int64_t first, int64_t nb,
                     bmrt_error *e);
    const void *context;
    int64_t base, stride, rounds;
} bmrt_pass;
BmStatus bmrt_pass_run(bmrt_run *run, const bmrt_pass *pass, bmrt_error *e);

/* The program's loss, or one average. A weight of 0 makes it 0, with one warning per run. */
double bmrt_loss(bmrt_run *run, const bmrt_program *p);
double bmrt_average_value(bmrt_run *run, const bmrt_average *a);

/* predict.c: {"sample":7,"name":value or [values]} of the samples this rank has just evaluated,
 * first .. first + nb - 1 (nb may be 0), as a pass's `each`. All ranks call it; rank 0 has the file
 * and writes the lines of rank 0, then rank 1, ...: so they are in order when the ranks' samples of
 * one round follow each other. */
BmStatus bmrt_predictions_write(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb,
                                bmrt_error *e);

/* All valid samples once, in order; a line of metrics and one for people. `last`: predictions are
 * written. `step`: steps done. */
BmStatus bmrt_evaluate(bmrt_run *run, int64_t step, bool last, bmrt_error *e);

/* train_loop.c: steps run->pub.step .. run->stop - 1, with evaluations. `*signal` is the one that
 * ended it early, or 0. */
BmStatus bmrt_train(bmrt_run *run, int *signal, bmrt_error *e);

/* alike.c: all ranks were given the same options, data and first weights; the data is open. Files
 * are compared by size and content: whole ones up to 64 MiB, 1024 pieces evenly spread over larger
 * ones. */
BmStatus bmrt_check_alike(bmrt_run *run, bmrt_error *e);

/* fault.c: an index outside its table since the last call, as an error with its place. */
BmStatus bmrt_fault_check(const bmrt_run *run, bmrt_error *e);

/* sample.c: continues the prompt by --sample tokens, written to file descriptor `fd` by rank 0; all
 * ranks call it. */
BmStatus bmrt_sample(bmrt_run *run, int fd, bmrt_error *e);
/* What can be known before training: is there a program, is the prompt made of its tokens. */
BmStatus bmrt_sample_check(bmrt_run *run, bmrt_error *e);

#endif
