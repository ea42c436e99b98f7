/* plan.h - the plan: every buffer's place, every kernel's turn, as plain data.
 *
 * Built by plan_build(), checked by plan_verify() (separate code, planner/verify/), printed by
 * codegen and written as plan.json. Steps are numbered through all programs; a program is never
 * interrupted by another, so one numbering gives all lifetimes. Within a program steps are ordered
 * by phase; PHASE_WEIGHT and PHASE_ROUND run `rounds` times.
 *
 * The arena: persistent buffers first (parameters, optimizer state, model buffers, host scalars),
 * then the rest at offsets found by exact search. arena_bytes = persistent_bytes + max_live_bytes
 * when the search meets its bound. */
#ifndef BM_PLAN_H
#define BM_PLAN_H

#include "frontend/graph/model.h"
#include "planner/kernel.h"

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
    int region; /* lives within one region only: holds region_samples samples, not the micro-batch
                 */
    int64_t
        sample_bytes; /* batched: bytes of one sample (bytes = that times the samples it holds) */
} Buffer;

typedef struct Operand {
    int buffer;
    int64_t offset; /* bytes from the buffer's start */
} Operand;

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
    int region; /* 0: none; steps of one region run chunk by chunk of samples (the loss head) */
} Step;

typedef struct ProgramPlan {
    bool present;
    int64_t micro_batch, rounds;
    int first[N_PHASES],
        count[N_PHASES];    /* steps of each phase: first[p] .. first[p] + count[p] - 1 */
    int64_t region_samples; /* samples per chunk of the regions; 0: no region */
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

typedef struct Plan {
    Arena *arena;
    const Model *model;
    const Instance *instance; /* of the training graph */
    int n_instance;
    uint64_t hash; /* of everything that decides what is emitted */
    int64_t ranks, micro_batch, rounds, batch;
    int64_t grain_rows; /* rows of tokens whose sums are formed together */
    bool below_grain;   /* a micro-batch is no whole number of grains: splitting differently changes
                           last bits */
    VEC(Buffer) buffer; /* persistent ones first */
    int n_persistent;
    VEC(Step) step;
    VEC(Kernel *) kernel;
    VEC(LossTerm) term;
    ProgramPlan program[N_PROGRAMS];
    int64_t arena_bytes, persistent_bytes, max_live_bytes, host_bytes;
    int max_live_step;
    bool offsets_proved;
    int64_t search_work;       /* nodes visited by the searches: the same on every machine */
    int64_t flops, step_bytes; /* of one optimizer step: counted */
    bool fused;                /* false: --no-fuse */
    int64_t memory;            /* bytes it had to fit in; 0: no limit */
    struct PlanTry {           /* other micro-batches that were tried */
        int64_t micro_batch, rounds, arena_bytes;
        const char *why; /* why it was not taken; NULL: the one chosen */
    } * tried;
    int n_tried;
} Plan;

typedef struct PlanOptions {
    int64_t memory;      /* 0: what the machine has is not asked: no limit */
    int64_t micro_batch; /* 0: the largest that fits */
    bool no_fuse;
} PlanOptions;

/* NULL: reported (exit 3 when *no_fit is set: nothing fits `memory`, the message has the numbers).
 */
Plan *plan_build(Arena *a, const Model *m, const PlanOptions *o, Diag *d, bool *no_fit);

uint64_t plan_hash(const Plan *p);
void plan_json(StrBuf *s, const Plan *p);  /* plan.json, whole */
void plan_print(StrBuf *s, const Plan *p); /* for people: --emit=plan */

#endif
