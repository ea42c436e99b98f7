/* search.h - private to search*.c. */
#ifndef BM_SEARCH_H
#define BM_SEARCH_H

#include "planner/choice.h"
#include "planner/counts.h"
#include "planner/offsets.h"
#include "planner/recompute.h"

typedef struct Result { /* the numbers of a candidate */
    Choice choice;
    int64_t arena_bytes, host_bytes, rounds, step_ps, exposed_ps;
    int64_t taken_bytes;   /* of Ask.memory */
    int64_t busy_ps;       /* of compute alone, as if nothing slowed it down */
    int64_t least_comm_ps; /* of all collectives, in any plan */
    int64_t comm_ps;       /* of all collectives, one after the other */
    int64_t act_bytes; /* of the forward and backward pass, where most memory is taken: the same at
                          every level */
    bool fits, gathers;
    int n_groups;
    int64_t least_group; /* bytes */
} Result;

typedef struct LevelClass { /* groups that are alike, whose levels are the planner's choice */
    VEC(int) group;
    int64_t bytes[N_LEVELS];   /* of a group, its gradients counted; -1: not for it */
    int64_t ps[N_LEVELS];      /* of its collectives in a step that something can hide */
    int64_t open_ps[N_LEVELS]; /* of those that nothing can: after the update */
    /* by point of a mix, see search_level_mix() */
    Level level[N_LEVELS];
    FrontierPoint point[N_LEVELS];
    int n;
} LevelClass;

typedef struct GroupBound { /* of groups that are alike: a bound's side of a LevelClass */
    int count;
    int64_t light, heavy; /* bytes of one that persist: in shards, or whole through the rounds */
    int64_t gather_ps;
    int passes; /* of a round, that gather what is in shards: at least */
    bool trained;
} GroupBound;

/* What is known of a micro-batch, once it was looked at. */
typedef struct Micro {
    int64_t samples, rounds;
    int64_t busy_ps;                /* with nothing computed again: no plan takes less */
    int64_t comm_ps;                /* of collectives: likewise */
    int64_t work_ps;                /* busy_ps, as if no collective slowed it down */
    int64_t none_bytes, all_bytes;  /* act_bytes of these rules; 0: not yet known */
    int64_t head_bytes, kept_bytes; /* of a plan that computes all again */
    Arena *a;                       /* of the frontier */
    RecomputeProbe probe;
    Frontier *frontier; /* by class, bytes of the whole micro-batch */
    MixClass *mix;
    int n;         /* classes; 0: nothing can be chosen */
    bool borrowed; /* from fewer samples: for bounds only */
    LevelClass *level;
    int n_level;       /* 0: the file says it of all */
    GroupBound *group; /* NULL: not known */
    int n_group;
    int64_t state, grads; /* bytes that persist besides; all sums, where there are rounds */
} Micro;

#define MILLION       INT64_C(1000000)
#define QUICK_OFFSETS (OFFSETS_BUDGET / 256) /* places of a candidate that is only looked at */

enum {
    MOST_MICROS = 64,
    MIX_TURNS = 8, /* halving takes 6 */
    NEARLY = 64,   /* a prediction is right but for a part of so many */
};
#define TOO_MUCH                                                                                   \
    (INT64_C(1) << 60) /* bytes: more than any memory, and two of them can be added                \
                        */

typedef struct Search {
    const Ask *q;
    Arena *scratch;          /* of one candidate */
    Counts micro;            /* that may be taken, the largest first */
    bool levels, recomputes; /* is there anything to choose? */
    VEC(Result *) result;
    int64_t state[N_LEVELS]; /* bytes of Ask.memory that persist; -1: not yet known; TOO_MUCH: the
                                host's part has no room there */
    int64_t work;            /* candidates, planned or ruled out by what others tell */
    Bounds bound;            /* the least of all micro-batches'; lambda_den 0: there was none */
} Search;

typedef struct Way { /* to keep and to bring parameters */
    Level level;
    int lead;
} Way;

/* search_try.c: the candidate's numbers, from before when it was asked for already. */
const Result *search_try(Search *s, const Choice *c);
/* Likewise, or NULL when nobody has asked. */
const Result *search_known(const Search *s, const Choice *c);
/* Its plan is left in `a`. */
const Plan *search_keep(Search *s, const Choice *c, Arena *a);
const Result *search_faster(const Result *x, const Result *y);
/* Of the forward and backward pass, alive between those of the blocks. */
int64_t search_head_bytes(const Plan *p);

/* search_mix.c: what takes more memory and less time, by classes of blocks and of groups. */
typedef struct Blend {
    const MixClass *c; /* Micro.mix, then those of levels if they are mixed too */
    int n;
    int64_t base_bytes; /* of all at their lightest */
    const Result *base; /* the candidate that has all so: it fits */
} Blend;
Blend search_blend(const Micro *m, const Result *all); /* of kept values only */
/* As much of it as fits; or the best so far. */
const Result *search_mix(Search *s, const Micro *m, const Blend *b, const Result *best);
/* Where nothing fits: the same as it would try first, for what takes least. */
void search_least_mix(Search *s, const Micro *m, const Blend *b);
/* From the candidate at the lightest: what the mix will take, but for what changes in kernels and
 * in the overlap. */
int64_t search_mix_ps(const Search *s, const Micro *m, const Blend *b);
/* The classes of units, from the candidate that computes all of them again. */
void search_parts(Search *s, Micro *m);
/* Likewise from fewer samples, whose ops take no longer and whose memory is no larger. */
void search_borrow(Micro *m, const Micro *fewer);

/* search_bound.c: of all collectives, in any plan; what else is known of groups, from the plan of a
 * micro-batch. */
int64_t search_least_comm(const Plan *p);
void search_bound_groups(Micro *m, const Plan *p);
/* No plan of this micro-batch takes less time when `state` bytes persist. */
int64_t search_least_ps(const Search *s, const Micro *m, int64_t state);
/* The same with the groups' levels, where they are known; what it is made of, in `a`. INT64_MAX:
 * there is no plan of this micro-batch. */
int64_t search_micro_bound(const Search *s, Arena *a, const Micro *m, int64_t state, Bounds *best);
/* Into Search.bound, where it is the least so far. */
void search_add_bound(Search *s, const Micro *m, int64_t state);

/* search_levels.c: the classes of groups, from a plan of the micro-batch. */
void search_levels(Search *s, Micro *m, const Plan *p);
/* A level for each group together with what each block keeps; or the best so far. */
const Result *search_level_mix(Search *s, Micro *m, const Result *best);
/* Levels by group of a mix whose choices begin with the first class of levels. */
const Level *search_take_levels(Arena *a, const Micro *m, const MixChoice *x, Level other, int n);

/* search_schedule.c: the same choice with another lead, or other buckets, where that is faster. */
const Result *search_schedule(Search *s, const Result *best);

/* search_tell.c: what was tried, into the plan; or why there is none. */
void search_bound(const Search *s, Plan *p);
void search_remember(const Search *s, const Result *best, Plan *p);
void search_tell_no_fit(const Search *s);

#endif
