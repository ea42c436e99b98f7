/* search.h - private to search*.c. */
#ifndef BM_SEARCH_H
#define BM_SEARCH_H

#include "planner/choice.h"
#include "planner/counts.h"
#include "planner/recompute.h"

typedef struct Result { /* the numbers of a candidate */
    Choice choice;
    int64_t arena_bytes, host_bytes, rounds, step_ps, exposed_ps;
    int64_t busy_ps;   /* of compute alone, as if nothing slowed it down */
    int64_t act_bytes; /* of the forward and backward pass, where most memory is taken: the same at
                          every level */
    bool fits, gathers;
} Result;

/* What is known of a micro-batch, once it was looked at. */
typedef struct Micro {
    int64_t samples, rounds;
    int64_t busy_ps;                /* with nothing computed again: no plan takes less */
    int64_t none_bytes, all_bytes;  /* act_bytes of these rules; 0: not yet known */
    int64_t head_bytes, kept_bytes; /* of a plan that computes all again */
    Arena *a;                       /* of the frontier */
    RecomputeProbe probe;
    Frontier *frontier; /* by class, bytes of the whole micro-batch */
    MixClass *mix;
    int n; /* classes; 0: nothing can be chosen */
} Micro;

enum { MOST_MICROS = 64 };

typedef struct Search {
    const Ask *q;
    Arena *scratch;          /* of one candidate */
    Counts micro;            /* that may be taken, the largest first */
    bool levels, recomputes; /* is there anything to choose? */
    VEC(Result *) result;
    int64_t state[N_LEVELS]; /* bytes that persist; -1: not yet known */
    int64_t work;            /* candidates asked for */
    Bounds bound;            /* the least of all micro-batches'; lambda_den 0: there was none */
} Search;

typedef struct Way { /* to keep and to bring parameters */
    Level level;
    int lead;
} Way;

/* The candidate's numbers, from before when it was asked for already. */
const Result *search_try(Search *s, const Choice *c);
const Result *search_faster(const Result *x, const Result *y);
/* Of the forward and backward pass, alive between those of the blocks. */
int64_t search_head_bytes(const Plan *p);

/* search_mix.c: at a way and micro-batch where everything computed again fits, as much kept as
 * does; or the best so far. */
const Result *search_mix(Search *s, const Micro *m, const Result *all, const Result *best);
int64_t search_mix_ps(const Search *s, const Micro *m, const Result *all);
/* The classes of units, from the candidate that computes all of them again. */
void search_parts(Search *s, Micro *m);
/* No plan of this micro-batch takes less time when `state` bytes persist. */
int64_t search_least_ps(const Search *s, const Micro *m, int64_t state);
/* Into Search.bound, where it is the least so far. */
void search_add_bound(Search *s, const Micro *m, int64_t state);

/* search_tell.c: what was tried, into the plan; or why there is none. */
void search_bound(const Search *s, Plan *p);
void search_remember(const Search *s, const Result *best, Plan *p);
void search_tell_no_fit(const Search *s);

#endif
