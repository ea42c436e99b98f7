/* judge.h - what a random model's program must compute, and whether it does.
 *
 * Loss and gradients along four directions are known from dual numbers over the forward graph; how
 * far a float program may be off follows from the bounds carried through the training graph,
 * element by element. */
#ifndef BM_JUDGE_H
#define BM_JUDGE_H

#include "tests/emitted/emitted.h"
#include "tests/random/make.h"

typedef struct Truth {
    Make *k;
    double loss, slope[WAYS]; /* from the forward graph */
    double loss_bound;        /* of the training program; of the evaluation's too */
    double factor;            /* what clipping multiplies gradients with */
    const Num **grad;     /* by parameter, from the training graph: value and bound; NULL: none */
    const Num **assigned; /* by parameter: a buffer's next value; NULL: it keeps its own */
    double report, report_bound;
} Truth;

/* Before training_graph(). */
void truth_forward(Truth *t, Make *k);
/* After simplify(). */
void truth_bounds(Truth *t);
/* The worst |dual - difference| / bound of a central difference; for a tenth of the models. */
double truth_differences(const Truth *t);

typedef struct Result { /* of one run of a program, for comparing bits */
    double loss, norm, eval, report;
    double **param, **state; /* after the step */
} Result;

Result judge_run(Arena *a, const Make *k, const bmrt_model *m, int threads);
/* The first value with other bits, in words; NULL: none. */
const char *judge_difference(Arena *a, const bmrt_model *m, const Result *x, const Result *y);
/* The greatest error in units of its bound, over loss, directions, gradients, buffers; `what`
 * names it. */
double judge_error(const Truth *t, const bmrt_model *m, const Result *r, const char **what);

#endif
