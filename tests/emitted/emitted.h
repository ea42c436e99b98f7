/* emitted.h - a model through the real pipeline, loaded into the test: planned, emitted, compiled
 * by the host's compiler into a shared object with others, and run by the runtime's own code.
 *
 * The test is built twice against this header: with the runtime in float, and (BM_REAL_DOUBLE) in
 * double. Gradients are read through the momentum of SGD: momentum * 0 + g is g, to the bit. */
#ifndef BM_EMITTED_H
#define BM_EMITTED_H

#include "planner/plan.h"
#include "runtime/bmrt_private.h"

typedef struct Batch { /* programs compiled together */
    Arena *arena;
    const char *dir, *name; /* DIR/NAME.so of DIR/NAME_0.c, DIR/NAME_1.c, ... */
    int n;
    void *library;
} Batch;

/* Adds trainer.c and kernels.c of the plan; its number. `optimize` is the compiler's -O. */
Batch batch_new(Arena *a, const char *dir, const char *name);
int batch_add(Batch *b, const Plan *p);
/* False: the compiler refused the text (its messages are on stderr). */
bool batch_build(Batch *b, const char *optimize);
const bmrt_model *batch_model(const Batch *b, int i);
void batch_close(Batch *b);

typedef struct Trial { /* one running program */
    bmrt_run run;
    const bmrt_model *m;
    const double *const *input; /* by input of the model: [batch][elements of one sample] */
} Trial;

/* The arena is full of NaN but for the persistent part. False: the machine refuses. */
bool trial_open(Trial *t, const bmrt_model *m, int threads, uint64_t seed);
void trial_close(Trial *t);
void trial_input(Trial *t, const double *const *input);

/* Values of a tensor of the persistent part; `i` counts in bmrt_model.param or .state. */
void trial_set(Trial *t, const bmrt_tensor *x, const double *value);
void trial_get(const Trial *t, const bmrt_tensor *x, double *value);

/* Runs every phase but the update over the whole batch and returns the loss. NAN and a message on
 * stderr when an index was out of range. */
double trial_loss(Trial *t, const bmrt_program *p);
/* trial_loss(), then the update. */
double trial_step(Trial *t);
/* After a run: the gradient norm and the value of a report. */
double trial_norm(const Trial *t, const bmrt_program *p);
double trial_report(Trial *t, const bmrt_program *p, int i);

#endif
