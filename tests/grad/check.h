/* check.h - gradients of an emitted program in double against central differences of its loss. */
#ifndef BM_GRAD_CHECK_H
#define BM_GRAD_CHECK_H

#include "tests/emitted/emitted.h"
#include "tests/emitted/hand.h"

enum { GRAD_BATCH = 4, GRAD_MICRO = 2 };

/* Values by the rules of cases.h; params in the order of the model, then inputs. */
typedef struct GradValues {
    double **param, **input;
} GradValues;
GradValues grad_values(Arena *a, const Model *m, uint64_t seed);

/* The worst tensor: max |d| / (max |g| + 1e-3). */
typedef struct GradWorst {
    double error;
    const char *path;
    int tensors;
} GradWorst;
GradWorst grad_check(Arena *a, const Model *m, const bmrt_model *program, uint64_t seed);

#endif
