/* search.h - private to search*.c. */
#ifndef BM_SEARCH_H
#define BM_SEARCH_H

#include "planner/choice.h"
#include "planner/counts.h"

typedef struct Result { /* the numbers of a candidate */
    Choice choice;
    int64_t arena_bytes, host_bytes, rounds, step_ps, exposed_ps;
    bool fits;
} Result;

typedef struct Search {
    const Ask *q;
    Counts micro;            /* that may be taken, the largest first */
    bool levels, recomputes; /* is there anything to choose? */
    VEC(Result *) result;
    int64_t work;
    Bounds bound; /* of the last mix; lambda_den 0: there was none */
} Search;

const Result *search_try(Search *s, const Choice *c);

/* search_mix.c: at the level and micro-batch of a candidate that recomputes all, as much kept as
 * fits. NULL: nothing better. */
const Result *search_mix(Search *s, const Result *all);

/* search_tell.c: what was tried, into the plan; or why there is none. */
void search_bound(const Search *s, const Result *best, Plan *p);
void search_remember(const Search *s, const Result *best, Plan *p);
void search_tell_no_fit(const Search *s);

#endif
