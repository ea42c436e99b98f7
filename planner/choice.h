/* choice.h - everything the planner chooses, and the plan for it. Private to planner/. */
#ifndef BM_CHOICE_H
#define BM_CHOICE_H

#include "planner/build.h"

typedef struct Choice {
    int64_t micro_batch;     /* samples of a rank at once */
    Level level;             /* of groups the file says nothing of */
    RecomputeRule recompute; /* of units the file says nothing of; AUTO: as NONE */
    const uint64_t **kept;   /* what units keep instead, see recompute.h; NULL: nothing to say */
    struct RecomputeProbe *probe; /* likewise */
    int lead;                     /* units a gather is issued ahead, where the file says nothing */
    int64_t offsets_budget;       /* nodes to place buffers with; 0: OFFSETS_BUDGET */

    /* Choices one by one, as a plan that is given has them; the file's word still goes first. */
    int64_t bucket_bytes; /* 0: by the machine */
    bool no_overlap;
    const Level *levels; /* by group, instead of `level`; NULL: nothing to say */
    int n_levels;
    const RecomputeRule *rules; /* by instance, instead of `recompute`; NULL: nothing to say */
    int kept_words;             /* of each kept set; 0: as many as its unit's ops need */
} Choice;

typedef struct Ask { /* what a plan is made for: the file's and the flags' requests, together */
    Arena *a;
    const Model *m;
    const Machine *machine;
    int64_t ranks, shared_by, batch; /* batch: of all ranks */
    int64_t memory;                  /* bytes of one rank; 0: no limit */
    bool no_fuse;
    Diag *d;
} Ask;

/* plan_one.c */
Plan *plan_one(const Ask *q, const Choice *c);

/* Bytes that persist in one of a rank's arenas with this level where the file says nothing. */
int64_t plan_persistent(const Plan *p, Level l, bool host);

/* Of a group's parameters and state, as it would be at that level. */
int64_t plan_group_bytes(const Plan *p, const FlatGroup *g, Level l, bool host);

/* Bytes that persist in the host's arena. */
int64_t plan_host_kept(const Plan *p);

/* Both arenas, in the memory they lie in. */
bool plan_fits(const Ask *q, const Plan *p);
bool plan_host_fits(const Ask *q, int64_t host_bytes);

/* Most bytes of gradients in one collective where nobody asks. */
int64_t plan_bucket_bytes(const Machine *m);

/* The time of an optimizer step, from those of the steps. */
void plan_predict(Plan *p);

/* search.c: the best plan; NULL: reported. */
Plan *plan_search(const Ask *q, int64_t micro_batch, bool *no_fit);

/* program.c */
void program_add(Plan *p, Map *kernels, const Ask *q, const Choice *c, ProgramKind kind, int64_t nb,
                 int64_t rounds);

/* overlap.c: how long what a collective touches must live, from when it is predicted to be over. */
void overlap_lifetimes(Plan *p);

#endif
