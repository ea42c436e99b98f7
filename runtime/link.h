/* link.h - what the environment asks of communication, for tests and measurements. None of it
 * changes a number.
 *
 *   BMRT_LINK=ALPHA_US,BYTES_PER_S   a collective takes at least alpha + sent bytes / rate: its
 *                                    stream sleeps, no core is busy
 *   BMRT_DELAY=SEED                  random delays before what the other streams do and, rarely,
 *                                    before a compute step
 *   BMRT_DELAY_STEP=ID,US            a delay before step ID of the plan, on every rank
 *   BMRT_TIMEOUT=SECONDS             without progress in a collective for so long: exit 77 (600)
 *   BMRT_COUNT=1                     at the end each rank prints the payload bytes it sent, and
 *                                    how long its compute stood still for other streams
 *   BMRT_CHECK=1                     every step's waits are held against what it uses (order.h)
 *   BMRT_POISON=1                    what is free is filled with bytes that are no number: poison.h
 */
#ifndef BMRT_LINK_H
#define BMRT_LINK_H

#include "runtime/base.h"

typedef struct bmrt_debug {
    double alpha, bytes_per_s; /* seconds; 0: no BMRT_LINK */
    double timeout;
    bool link, delays, count, check;
    uint64_t seed;
    double late_step, late; /* BMRT_DELAY_STEP: which, seconds; late 0: none */
} bmrt_debug;

/* Variables are read through `get` (getenv, or a test's table). BMRT_USAGE for one that is not
 * understood; `d` is then as if none were set. */
typedef const char *bmrt_getenv_fn(void *context, const char *name);
BmStatus bmrt_debug_read(bmrt_debug *d, bmrt_getenv_fn *get, void *context, bmrt_error *e);
/* getenv() in that form. */
const char *bmrt_environment(void *context, const char *name);

/* BMRT_USAGE for a variable BMRT_... of `env` (as `environ`) that is none of these: a misspelt one
 * would leave a test without its effect. */
BmStatus bmrt_environment_check(char *const env[], bmrt_error *e);

/* Sleeps until a collective begun at `begin` (bmrt_now) that sent so many bytes may be over. */
void bmrt_link_wait(const bmrt_debug *d, double begin, int64_t bytes);

/* A random delay before event `number` of a stream; in one of `every` events. */
void bmrt_delay(const bmrt_debug *d, int rank, int stream, uint64_t number, uint64_t every);

/* BMRT_DELAY_STEP: step `id` is about to run. */
void bmrt_delay_step(const bmrt_debug *d, int id);

void bmrt_sleep(double seconds);

#endif
