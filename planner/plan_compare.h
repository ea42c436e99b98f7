/* plan_compare.h - two plan.json key by key: what differs, and whose it is to change. Private to
 * plan_edit*.c.
 *
 * The tables of plan_fields.c name the keys, so none is forgotten. Steps are known by what they do
 * to which bytes, not by their place: a person may move them. */
#ifndef BM_PLAN_COMPARE_H
#define BM_PLAN_COMPARE_H

#include "planner/plan_read.h"

typedef enum KeyClass {
    KEY_FIXED,   /* follows from the model and the choices */
    KEY_CHOICE,  /* what the planner chose */
    KEY_PLACE,   /* waits, offsets, lifetimes; the order of steps */
    KEY_FOLLOWS, /* numbers that follow from those */
    KEY_TOLD,    /* for people, or what the search found: not read back */
    N_KEY_CLASSES
} KeyClass;

typedef struct Difference {
    const char *key; /* "groups[2].level (h.1)" */
    const char *x, *y;
    KeyClass cls;
} Difference;
typedef struct Differences {
    Difference *v;
    int n, cap;
} Differences;

/* Keys of the classes whose bits (1 << KEY_...) are set; KEY_TOLD never. Step i of x is compared
 * with step match[i] of y, where that is not -1; `match` NULL: no steps are. */
Differences plan_compare(Arena *a, const PlanFile *x, const PlanFile *y, const int *match,
                         unsigned classes);

/* By step of x: the step of y that is the same but for its number and its waits. What is left on
 * both sides is put together in order: those differ in more. -1: y has fewer. */
int *plan_match(Arena *a, const PlanFile *x, const PlanFile *y);

#endif
