/* plan.h - the plan: every buffer's place, every kernel's turn, as plain data.
 *
 * Built by plan_build(), checked by plan_verify() (separate code, planner/verify/), printed by
 * codegen and written as plan.json. Steps are numbered through all programs; a program is never
 * interrupted by another, so one numbering gives all lifetimes. Within a program steps are ordered
 * by phase; PHASE_WEIGHT and PHASE_ROUND run `rounds` times.
 *
 * Flat groups: the parameters of one unit with one optimizer lie one behind the other in one flat
 * buffer, and so do their gradients and each kind of optimizer state. A rank's shard is a range of
 * it: rank q of the k that share it has elements q * shard .. (q + 1) * shard - 1. The layout
 * within a group is a function of the model alone; only the padding at its end depends on the
 * ranks.
 *
 * Streams: steps of one stream run in the order of their ids; between streams only `wait` orders
 * them, within one run of one phase (all streams start a phase together and end it together). A
 * step waits for another one of its program and phase with a smaller id; when that is in a region,
 * for the region's end.
 *
 * The arena: persistent buffers first (parameters, optimizer state, model buffers, host scalars),
 * then the rest at offsets found by exact search. arena_bytes = persistent_bytes + max_live_bytes
 * when the search meets its bound. */
#ifndef BM_PLAN_H
#define BM_PLAN_H

#include "frontend/graph/model.h"
#include "planner/kernel.h"
#include "planner/machine.h"

enum { ARENA_ALIGN = 64 };

typedef enum ProgramKind { PROGRAM_TRAIN, PROGRAM_EVAL, PROGRAM_SAMPLE, N_PROGRAMS } ProgramKind;

typedef enum BufferRole {
    ROLE_PARAM,
    ROLE_STATE,  /* optimizer state */
    ROLE_BUFFER, /* the model's buffers */
    ROLE_HOST,   /* scalars the trainer writes each step */
    ROLE_INPUT,
    ROLE_GRAD,  /* gradients and other accumulators */
    ROLE_SAVED, /* made by the forward pass, read by the backward */
    ROLE_TEMP,
    ROLE_GATHERED, /* whole parameters of a unit whose ranks keep shards */
    ROLE_COMM,     /* staging memory of collectives */
    N_ROLES
} BufferRole;

typedef struct Buffer {
    int id;
    const char *path; /* "h.0.attn.c_attn.weight", "h.3.mlp.gelu" */
    BufferRole role;
    DType dtype;
    int64_t
        bytes; /* of the whole micro-batch when batched; rounded up to ARENA_ALIGN in the arena */
    int64_t offset;
    int first, last; /* steps, inclusive; persistent: 0 and the last step */
    bool persistent, batched;
    int leaf; /* PARAM, BUFFER, STATE, INPUT, HOST: index into the model's list; else -1 */
    ProgramKind program; /* not persistent: the only program that uses it */
    int region; /* lives within one region only: holds a chunk of it, not the micro-batch */
    int64_t sample_bytes; /* batched: bytes of one sample (bytes = that times the samples it holds,
                             or over region_parts) */
    int group;            /* index into Plan.group whose flat buffer this is; -1: none */
    bool sharded;         /* it holds this rank's shard only */
    bool host;            /* in the host's arena (offload): offset counts there */
    bool last_round;      /* written in the last round only */
    bool each_round;      /* sums of one round: nothing in it goes on to the next */
    int beside;           /* 1 + the buffer of gradients it is added to; 0: none */
    int sums;             /* 1 + the loop whose sums but gradients it holds; 0: none */
    bool narrow;          /* of the model's precision: narrow.c gives its elements 2 bytes */
} Buffer;

typedef struct Operand {
    int buffer;
    int64_t offset;  /* bytes from the buffer's start */
    int64_t by_rank; /* bytes more for each rank before this one in its sharding group */
} Operand;

typedef enum Stream { STREAM_COMPUTE, STREAM_COMM, STREAM_COPY, N_STREAMS } Stream;

typedef enum When { /* in which rounds a step of PHASE_ROUND or PHASE_WEIGHT runs */
                    WHEN_ALWAYS,
                    WHEN_FIRST, /* in the first round only */
                    WHEN_LAST,  /* in the last round only */
                    N_WHEN
} When;

typedef enum TimeClass { /* what most of a step's predicted time is spent on */
                         TIME_MATH,
                         TIME_MEMORY,
                         TIME_NET, /* between ranks, or between device and host */
                         TIME_LAUNCH,
                         N_TIME_CLASSES
} TimeClass;

typedef struct NamedValue { /* a value of the forward pass with a name in the model */
    const char *path;
    int instance;
    int buffer; /* it lies at its start */
    DType dtype;
    int64_t count; /* elements; batched: of one sample */
    bool batched;
} NamedValue;

typedef struct Step {
    int id;
    ProgramKind program;
    Phase phase;
    const Kernel *kernel;
    Operand *arg;     /* kernel->n_arg of them */
    const char *path; /* "h.3.attn.c_attn": whose work it is */
    const char *what; /* one phrase for the comment: "logits = ln_f(x) @ wte.weight'" or ops */
    Span at;
    int instance; /* index into Plan.instance: the block instance (its `unit` groups steps into
                     functions) */
    bool backward, recompute;
    int region; /* 0: none; steps of one region run chunk by chunk (the loss head): of samples, or
                   of parts of one. Then its kernel's counts of a sample are those of a part */
    bool anew;  /* overwrites its accumulator in every round: rounds are added up elsewhere */
    Stream stream;
    When when;
    int wait[N_STREAMS]; /* by stream: the last step there that must be over; -1: none */
    int64_t ps;    /* predicted time of one run (a region: of all its chunks); 0 without a cost
                      model */
    TimeClass cls; /* of `ps`; with a machine only */
    int64_t sent;  /* collectives: payload bytes this rank sends in one run */
    int group;     /* collectives and flat updates: whose; the first one's of several; -1 */
    VEC(NamedValue) named; /* of what it makes; for the trainer's --inspect, not in plan.json */
} Step;

/* How much of a unit's state each rank keeps (ZeRO, Rajbhandari et al. 2020), and when its
 * parameters are whole. */
typedef enum Level {
    LEVEL_0,    /* everything on every rank; gradients all-reduced */
    LEVEL_1,    /* optimizer state in shards */
    LEVEL_2,    /* and gradients, once they are reduced */
    LEVEL_3,    /* and parameters, gathered for each use */
    LEVEL_ONCE, /* as 3, but gathered once a step and kept through the rounds */
    N_LEVELS
} Level;

typedef struct FlatGroup {
    int id;
    const char *path; /* "h.3", or "h.3#1" for its second optimizer; "" for the model's own */
    int unit;         /* index into Plan.instance */
    int optimizer;    /* index into Model.optimizer; -1: frozen */
    int n;            /* parameters */
    int *param;       /* [n] indices into Model.param */
    int64_t *at;      /* [n] elements from the start of the flat buffer */
    int64_t used;     /* elements up to the end of the last parameter, rounded up to NORM_GRAIN */
    int64_t shard;    /* elements a rank keeps: shard * (ranks that share it) >= used */
    Level level;
    bool whole_grad; /* some gradient is more than a sum over the batch: all of them are made whole
                        on every rank */
    bool offload;    /* state and update in the host's arena */
    const char *why; /* what decided the level: "zero h = 3", "memory", "fewest bytes moved" */
    int params;      /* buffers: parameters (the shard when `sharded`) */
    int grads;       /* gradients as the backward sums them; -1: frozen */
    int grad_shard;  /* reduced gradients where they are a place of their own; -1 */
    int n_state;
    int state[4];    /* optimizer state, in the order of the model's kinds, then the master */
    int master;      /* 1 + the f32 parameters, where `params` is a narrow copy of them; 0: none */
    int host_params; /* offload: the shard of parameters and gradients in the host's arena; -1 */
    int host_grads;
} FlatGroup;

typedef struct UnitRecompute { /* what a unit keeps of its forward pass for its backward */
    int unit;                  /* index into Plan.instance */
    RecomputeRule rule;        /* NONE: all of it; ALL: nothing; AUTO: the set */
    const uint64_t *kept;      /* op i: bit i % 64 of word i / 64 */
    int n;                     /* ops */
    const Node *const *op;
} UnitRecompute;

typedef struct ProgramPlan {
    bool present;
    int64_t micro_batch, rounds;
    int first[N_PHASES],
        count[N_PHASES];    /* steps of each phase: first[p] .. first[p] + count[p] - 1 */
    int64_t region_samples; /* samples per chunk of the regions; 0: no region, or in parts */
    int64_t region_parts; /* chunks per sample of the regions, each of as many of its rows; 0: none,
                             samples are whole */
    /* where the runtime finds results: buffer operands (buffer -1: none) */
    Operand norm;
    Operand logits; /* of the sample program: [ctx, vocab] of one sample */
} ProgramPlan;

typedef struct LossTerm { /* the program's loss = sum of coef * num / den (den buffer -1: num is
                             complete) */
    const char *name;     /* "loss", or a report's name */
    double coef;
    Operand num, den;
    ProgramKind program;
    DType dtype;        /* of a field */
    int64_t count;      /* of a field: elements of one sample */
    bool report, field; /* field: a batched value written per sample */
} LossTerm;

/* What the search tried: the chosen plan and the best ones it lost to it. */
typedef struct Alternative {
    int64_t micro_batch, rounds, arena_bytes, host_bytes;
    int64_t step_ps, exposed_ps;            /* predicted; 0 without a cost model */
    const char *zero, *recompute, *overlap; /* in words: "h.*: 3, rest: 1" */
    bool fits;
    const char *why; /* why it was not taken; NULL: the one chosen */
} Alternative;

/* A lower bound of the step time within the search space, for V25: for any lambda >= 0, the sum
 * over units of min over options of (cost + lambda * bytes), less lambda * capacity. */
typedef struct BoundOption {
    int unit; /* class of units; `count` of them */
    int count;
    int64_t ps, bytes;
} BoundOption;
typedef struct Bounds {
    VEC(BoundOption) option;
    int64_t lambda_num, lambda_den; /* ps per byte */
    int64_t fixed_ps, fixed_bytes, capacity;
    int64_t lower_ps; /* what they prove */
    bool refuted;     /* the plan was faster, a mistake of search_bound.c: these are its kernels */
} Bounds;

typedef struct Plan {
    Arena *arena;
    const Model *model;
    const Instance *instance; /* of the training graph */
    int n_instance;
    uint64_t hash; /* of everything that decides what is emitted */
    bool verified; /* plan_verify() found nothing: the trainer gets its stamp */
    uint64_t made; /* the hash before a person changed the order, waits or places; else the same */
    int64_t ranks, micro_batch, rounds, batch;
    int64_t grain_batch; /* samples whose sums may be cut anywhere but inside a grain: those of a
                            rank's share of the batch, or of one round (reduce = invariant) */
    int64_t grain_rows;  /* rows of tokens whose sums are formed together */
    bool below_grain;   /* a micro-batch is no whole number of grains: splitting differently changes
                           last bits */
    VEC(Buffer) buffer; /* persistent ones first */
    int n_persistent;
    VEC(Step) step;
    VEC(Kernel *) kernel;
    VEC(LossTerm) term;
    VEC(FlatGroup) group;
    VEC(UnitRecompute) recompute; /* of the training program's units */
    int *param_group;             /* by Model.param: its group, or -1 (a model's buffer) */
    int64_t *param_at; /* by Model.param: elements from the start of the group's flat buffer */
    ProgramPlan program[N_PROGRAMS];
    int64_t shared_by; /* ranks that share one copy of the sharded state: `ranks`, or hybrid's k */
    bool reduced;   /* accumulate = reduced: each round's gradients over ranks, then over rounds */
    bool invariant; /* reduce = invariant */
    bool overlap;
    int lead;                    /* units a gather is issued ahead */
    int64_t bucket_bytes;        /* most bytes of gradients in one collective */
    const Machine *machine;      /* NULL: no cost model */
    int64_t step_ps, exposed_ps; /* predicted, of one optimizer step */
    Bounds bounds;
    int64_t arena_bytes, persistent_bytes, max_live_bytes, host_bytes;
    int max_live_step;
    bool offsets_proved;
    int64_t search_work;       /* candidates the search decided about, planned or ruled out */
    int64_t flops, step_bytes; /* of one optimizer step: counted */
    bool fused;                /* false: --no-fuse */
    int64_t memory;            /* bytes it had to fit in; 0: no limit */
    VEC(Alternative) tried;
} Plan;

typedef struct PlanOptions {
    int64_t memory;         /* 0: what the machine has; without a machine: no limit */
    int64_t micro_batch;    /* 0: the planner's choice */
    int64_t ranks;          /* 0: the file's, else 1 */
    const Machine *machine; /* NULL: none */
    bool no_fuse;
} PlanOptions;

/* NULL: reported (exit 3 when *no_fit is set: nothing fits `memory`, the message has the numbers).
 */
Plan *plan_build(Arena *a, const Model *m, const PlanOptions *o, Diag *d, bool *no_fit);

/* What a kernel's counts of a sample happen to in one round, in all and in one chunk: samples, or
 * parts of them. */
int64_t step_samples(const Plan *p, const Step *s);
int64_t step_chunk(const Plan *p, const Step *s);

uint64_t plan_hash(const Plan *p);
void plan_json(StrBuf *s, const Plan *p);  /* plan.json, whole */
void plan_print(StrBuf *s, const Plan *p); /* for people: --emit=plan */

#endif
