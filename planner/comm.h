/* comm.h - collectives put between the kernels of a program. Private to planner/. */
#ifndef BM_COMM_H
#define BM_COMM_H

#include "planner/flat.h"

typedef struct Insert {
    int before; /* the step of the old numbering it goes in front of; the phase's end: after all */
    Step step;
} Insert;

typedef struct Comm { /* of one program */
    Build *b;
    Plan *p;
    ProgramPlan *g;
    ProgramKind kind;
    bool turns; /* its rounds may be more than one */
    VEC(Insert) in[N_PHASES];
    Operand *sums; /* by group: where its gradients of all rounds are; buffer -1: where they are
                      made */
} Comm;

/* Zeroes of gaps, collectives and what they need into all programs; steps are numbered anew. */
void comm_insert(Plan *p, Map *kernels, Diag *d);

/* comm_gather.c: parameters kept as shards, gathered before they are read. */
void comm_gathers(Comm *c, Phase f);

/* comm_reduce.c: sums over ranks, and what they need before and after. */
void comm_gradients(Comm *c);
void comm_sums(Comm *c, Phase loop, Phase then);
void comm_norm(Comm *c);
void comm_updated(Comm *c);

/* offload.c: copies to and from the host around updates that run there. */
void comm_offload(Comm *c);

/* comm.c */
int comm_first(const Comm *c, Phase f);
int comm_end(const Comm *c, Phase f);
/* Where something can stand that comes after, or before, a step: never inside a region. */
int comm_after(const Comm *c, int step);
int comm_before(const Comm *c, int step);
bool comm_writes(const Step *s, int buffer);
void comm_add(Comm *c, Phase f, int before, const Kernel *k, const char *stem, const Operand *arg,
              const char *path, int group, When when);
/* Payload bytes this rank sends in one run of a collective. */
int64_t comm_sent(const Plan *p, const Kernel *k);
/* A collective over all of a group, as it would be: `k` is its kernel. */
Step comm_whole(const Plan *p, const FlatGroup *g, KernelKind kind, DType dtype, Kernel *k);
/* Memory for pieces that come in: a buffer, and elements a rank that go through it at once. */
int comm_staging(Comm *c, int64_t elems, int64_t *chunk);

/* waits.c: which steps must be over before each begins, from the places of all buffers. */
void waits_find(Plan *p);

#endif
