/* plan_edit_parts.h - what plan_edit.c is made of. Private to it. */
#ifndef BM_PLAN_EDIT_PARTS_H
#define BM_PLAN_EDIT_PARTS_H

#include "planner/choice.h"
#include "planner/plan_read.h"

typedef struct EditChoice {
    Choice choice;
    int64_t shared_by;
} EditChoice;

/* plan_edit_choice.c: what the planner had chosen, and what the file asks for now. False: reported.
 */
bool edit_choice_made(Arena *a, const Model *m, const PlanFile *f, Diag *d, EditChoice *out);
bool edit_choice_asked(Arena *a, const Model *m, const PlanFile *f, Diag *d, EditChoice *out);

/* plan_edit_places.c: order, waits, offsets and lifetimes of `f` onto `p`, and the numbers that
 * follow. `g` is p as a file; step i of f is step match[i] of p. */
void edit_places(Arena *scratch, Plan *p, const PlanFile *f, const PlanFile *g, const int *match,
                 bool moved);

#endif
