/* cost.h - what a step takes on a machine, in picoseconds.
 *
 * A roofline: a kernel takes its launch and the longer of its arithmetic and its memory traffic; a
 * collective takes messages of alpha + bytes / rate on the slowest link between its ranks, and the
 * sums. Integers only (128 bits inside), no state: anybody with the same plan and profile gets the
 * same numbers. Everything is an estimate of the profile's machine; plans are compared by it, never
 * proved by it.
 *
 * Work is counted in simple operations on elements, as the kernels' text has them: loads and stores
 * too, an exponential as forty. */
#ifndef BM_COST_H
#define BM_COST_H

#include "planner/plan.h"

typedef struct StepCost {
    int64_t ps; /* launch + net + the longer of math and memory */
    int64_t math_ps, memory_ps, net_ps, launch_ps;
    TimeClass cls; /* the longest part */
} StepCost;

/* No part of a step is longer: sums over a plan's steps and rounds stay in 64 bits. */
#define COST_MOST_PS (INT64_C(1) << 50)

/* One run of a step: the micro-batch once; of a region all its chunks. */
StepCost cost_of(const Machine *m, const Plan *p, const Step *s);
int64_t cost_step(const Machine *m, const Plan *p, const Step *s);

/* What its bytes take on their way, however they are cut into messages: sums are not counted. */
int64_t cost_least_sending(const Machine *m, const Plan *p, const Step *collective);

/* Sets `ps` and `cls` of all steps. */
void cost_plan(const Machine *m, Plan *p);

/* ---- what it is made of: cost_work.c counts, cost.c divides ---- */

typedef struct Work { /* of one launch */
    int64_t products; /* floating-point operations of matrix products ... */
    int64_t size;     /* ... whose smallest size is this ... */
    MathType type;
    bool attention;       /* ... or of attention, at its own rate */
    int64_t ops;          /* operations on elements */
    int64_t bytes;        /* to and from memory */
    int64_t units, least; /* shared out over the workers, `least` of them at least */
} Work;

/* A kernel on `nb` samples; not of collectives and copies. */
Work cost_work(Target t, const Kernel *k, int64_t nb);
/* The time of a launch that does so much. */
int64_t cost_work_ps(const Machine *m, const Work *w);
/* Operations on elements that one elementwise op counts as. */
int64_t cost_op(Op op);

#endif
