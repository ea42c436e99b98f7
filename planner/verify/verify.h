/* verify.h - is the plan right? Code of its own that shares only the plan's data types and reader
 * with the planner, so that a mistake there is seen here.
 *
 * Each check has a name (VERIFY_CHECKS; numbers as in reference/planner.md 3); a failure tells it
 * with the steps and buffers by id and path. Lifetimes are found again from what steps read and
 * write, rounds and regions included: `first` and `last` of the plan are only compared with them.
 * Near-linear in steps and buffers. */
#ifndef BM_VERIFY_H
#define BM_VERIFY_H

#include "planner/plan.h"
#include "planner/plan_read.h"

#define VERIFY_CHECKS(X)                                                                           \
    X(V01, "well-formed", "ids, phases, sizes and counts agree")                                   \
    X(V02, "def-before-use", "what is read was written before, and is complete")                   \
    X(V09, "update-once", "all that is trained changes once a step, in the update")                \
    X(V10, "param-fresh", "no parameter is read after its update in the same step")                \
    X(V11, "lifetime", "no two live buffers share a byte")                                         \
    X(V12, "bounds-align", "every access lies in its buffer, every buffer in the arena")           \
    X(V13, "peak", "the arena's numbers, computed again, are the plan's")                          \
    X(V14, "race", "no step reads through one argument what it writes through another")            \
    X(V20, "acc-init", "an accumulator has one writer, in a loop")

/* False: broken checks were reported as errors (without a place: the plan has none). */
bool plan_verify(const Plan *p, Diag *d);
bool plan_file_verify(const PlanFile *f, Diag *d);

/* Each check's number, name and meaning, one a line. */
void verify_checks_print(StrBuf *s);

#endif
