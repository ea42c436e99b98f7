/* watch.h - --inspect PATTERN: mean, std, max and min of whole parameters, gradients and named
 * values of the forward pass, one line of JSON each:
 *
 *   {"step":100,"path":"h.0.mlp.fc.weight","what":"grad","mean":..,"std":..,"max":..,"min":..}
 *
 * At the first step of a run, every --inspect-every steps and the last one; parameters as the step
 * used them (before its update), gradients reduced and not clipped, values over the whole global
 * batch. The numbers do not depend on ranks, shards, micro-batches or threads (moments.h). */
#ifndef BMRT_WATCH_H
#define BMRT_WATCH_H

#include "runtime/base.h"

struct bmrt_run;
typedef struct bmrt_watcher bmrt_watcher;

/* What run->opt asks for; run->watcher stays NULL when that is nothing. `path` is the file that
 * rank 0 writes, once bmrt_watch_open() has emptied it. */
BmStatus bmrt_watch_create(struct bmrt_run *run, const char *path, bmrt_error *e);
BmStatus bmrt_watch_open(struct bmrt_run *run, bmrt_error *e);
void bmrt_watch_destroy(struct bmrt_run *run);

/* Around the phases of a training step, without its update; all ranks. */
void bmrt_watch_begin(struct bmrt_run *run);
BmStatus bmrt_watch_end(struct bmrt_run *run, bmrt_error *e);

#endif
