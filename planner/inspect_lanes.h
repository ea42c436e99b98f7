/* inspect_lanes.h - when each step runs, from the times the plan predicts. Private to inspect*.c.
 *
 * A turn is one run of a phase: all streams begin it together and end it together, within it steps
 * of a stream follow each other and wait only for what they name. Rounds that are alike (all but
 * the first and the last) are one turn. */
#ifndef BM_INSPECT_LANES_H
#define BM_INSPECT_LANES_H

#include "planner/inspect_page.h"

typedef struct Slot {
    int step;
    int64_t from, to; /* ps from the turn's begin */
    int64_t exposed;  /* comm, copy: while compute has nothing to do */
} Slot;

typedef struct Turn {
    int phase;
    int64_t round, times; /* the first of `times` rounds that are alike */
    int64_t at;           /* begin of the first of them, from the program's begin */
    int64_t ps, exposed;  /* of one of them */
    int first, n;         /* slots, in the order of the steps */
} Turn;

typedef struct Lanes {
    int program;
    VEC(Turn) turn;
    VEC(Slot) slot;
    int64_t ps, exposed, busy[N_STREAMS]; /* of all turns */
} Lanes;

/* Whether the plan says how long steps take. */
bool lanes_known(const PlanFile *f);
Lanes lanes_of(Page *p, int program);

/* Times of people: "1.23 ms". */
const char *page_ps(Page *p, int64_t ps);
/* "h.3 backward": whose step it is, and its direction. */
const char *step_place(Page *p, const FileStep *s);
/* What compute does while a slot of another stream runs: "h.3 backward", "h.0 forward to h.2
 * forward"; "nothing". */
const char *slot_under(Page *p, const Lanes *l, const Turn *t, const Slot *c);
/* The lanes of each turn as text. */
void print_lanes(Page *p, const Lanes *l);

#endif
