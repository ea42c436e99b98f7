/* simulate.h - when each step of a program runs, from the steps' predicted times.
 *
 * All streams begin a phase run together and end it together; within it a stream runs its steps in
 * the order of their ids, each once the stream is free and the steps it waits for are over. Rounds
 * repeat: the first and the last differ from those between by Step.when, and are simulated once
 * each, so the time taken is linear in the steps. While a collective runs, compute is slower by the
 * machine's slow_compute_ppm: in whole picoseconds, a step's end rounded up, nothing else rounded.
 */
#ifndef BM_SIMULATE_H
#define BM_SIMULATE_H

#include "planner/plan.h"

typedef struct Timeline {
    int64_t step_ps;            /* the whole program: of training one optimizer step */
    int64_t exposed_ps;         /* of it, how long compute stood still for other streams */
    int64_t busy_ps[N_STREAMS]; /* how long each stream had a step running */
    int64_t phase_ps[N_PHASES]; /* of all runs of a phase together */
    /* [Plan.step.n], from the program's beginning, in the last run of the step's phase; -1: it does
     * not run there */
    int64_t *start, *end;
} Timeline;

/* Waits are the plan's: Step.wait. `m` NULL: nothing slows compute down. */
Timeline simulate(Arena *a, const Machine *m, const Plan *p, ProgramKind program);

/* Steps that must be over before step i: on[first[i]] .. on[first[i + 1] - 1]. Those of other
 * programs and phases, and later ones, do not count. */
typedef struct Depends {
    const int *first; /* [Plan.step.n + 1] */
    const int *on;
} Depends;

/* The same with these dependencies in place of the plan's waits. */
Timeline simulate_free(Arena *a, const Machine *m, const Plan *p, ProgramKind program,
                       const Depends *d);

#endif
