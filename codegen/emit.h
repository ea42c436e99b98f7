/* emit.h - a plan as text: trainer.c carries it out, kernels.c is what it launches.
 *
 * The text is a function of the plan alone: no paths of this machine, dates or addresses. It
 * compiles without warnings under -Wall -Wextra with gcc and clang, in float and (with
 * -DBM_REAL_DOUBLE) in double, and stands on nothing but bmrt.h. */
#ifndef BM_EMIT_H
#define BM_EMIT_H

#include "planner/plan.h"

/* Both false only after a BUG-free refusal: there is none today, so true. */
bool emit_trainer(StrBuf *s, const Plan *p);
bool emit_trainer_debug(StrBuf *s, const Plan *p); /* with what BMRT_CHECK and BMRT_POISON need */
bool emit_kernels(StrBuf *s, const Plan *p);

/* How one kernel is printed: what a target provides. Walking a kernel (walk.h) is shared. */
typedef struct Backend {
    const char *name;
    void (*prelude)(StrBuf *s, const Plan *p); /* what the kernels use, before the first of them */
    void (*kernel)(StrBuf *s, const Kernel *k);
} Backend;
extern const Backend backend_c;

#endif
