/* offsets_skyline.h - private to offsets_skyline.c and offsets_search.c: a partial placement.
 *
 * Items are placed bottom up, each on what lies under it, so what is placed is a height per section
 * (the skyline). Every change is on an undo list; undoing to a mark restores all but the order of
 * items within a part. */
#ifndef BM_PLANNER_OFFSETS_SKYLINE_H
#define BM_PLANNER_OFFSETS_SKYLINE_H

#include "frontend/base/vec.h"
#include "planner/offsets_pack.h"

/* What to put back: for b > 0 the skyline over the sections a..b-1, else something of item a. */
enum { UNDO_PLACE = 0, UNDO_FLOOR = -1, UNDO_LEAST = -2, UNDO_RANK = -3 };

typedef struct Undo {
    int a, b;
    int64_t old;
} Undo;

/* A subproblem: the unplaced items order[p..q-1], all within the sections a..b-1. */
typedef struct Part {
    int p, q, a, b;
} Part;

/* For sorting: descending by the keys, then by item. */
typedef struct Key {
    int64_t key[3];
    int item;
} Key;

typedef struct Skyline {
    Arena *arena;
    const Pack *pack;
    const Box *box;
    int64_t cap;
    int64_t looked; /* items and sections looked at: the measure of work */
    VEC(Undo) undo;
    /* by item */
    int64_t *floor;  /* the skyline under it: where it would lie now (a fixed one: where it is) */
    int64_t *least;  /* it cannot end below this */
    int64_t *offset; /* where it was placed, or -1 */
    int *rank;       /* set by the search */
    int *twin;       /* an equal item that goes first, or -1 */
    int *order;      /* unplaced items, those of a part side by side */
    int *seat;       /* the item's place in order[] */
    /* by section */
    int64_t *top;  /* the skyline */
    int64_t *rest; /* bytes of its unplaced items */
    int *cross;    /* unplaced items that live in it and in the next one */
    int *witness;  /* an item likely to be low enough, or -1 */
    Part hull;     /* a, b: the sections where a start has changed since the last check */
    /* scratch */
    int *open;     /* by item or section */
    int *next;     /* by open section: the next one to look at */
    int64_t *held; /* by section */
    Key *key;      /* by item */
} Skyline;

void skyline_init(Skyline *s, Arena *a, const Pack *p, int64_t cap);

/* The items to place, each on its ground. False if they cannot all lie below the cap. */
bool skyline_root(Skyline *s, Part *root);

/* Places x at its floor and moves it to the end of its part, which shrinks. False if something
 * cannot fit any more; what was changed is on the undo list all the same. */
bool skyline_place(Skyline *s, Part *part, int x);

/* Can every section still hold its rest, when nothing goes below `last` any more? */
bool skyline_fits(Skyline *s, const Part *part, int64_t last);

/* x is not next, and what is next goes at its floor or higher: so x ends on top of something that
 * is placed first. False if nothing can lift it, or not without passing the cap. */
bool skyline_pass_over(Skyline *s, const Part *part, int x);

void skyline_set_rank(Skyline *s, int x, int rank);
void skyline_undo(Skyline *s, int mark);
int key_compare(const void *x, const void *y);

#endif
