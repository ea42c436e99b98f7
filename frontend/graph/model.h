/* model.h - what the frontend hands on: the graphs of a model, its parameters, and how it is to be
 * trained.
 *
 * lower.c fills `train`/`eval` forward roots and the settings; train.c (training_graph) adds the
 * backward pass, the gradients' norm and the update. Everything is plain data in one arena. */
#ifndef BM_MODEL_H
#define BM_MODEL_H

#include "frontend/graph/graph.h"

typedef enum InitKind {
    INIT_ZEROS,
    INIT_ONES,
    INIT_FILL,
    INIT_NORMAL,
    INIT_UNIFORM,
    INIT_NPY
} InitKind;
typedef struct Init {
    InitKind kind;
    double a, b;      /* fill value; std; bounds */
    const char *file; /* npy; relative to the model file's folder, already joined */
} Init;

/* A parameter or a buffer; `leaf.leaf` of PARAM and BUFFER nodes indexes Model.param. */
typedef struct Param {
    const char *path; /* "h.0.attn.c_attn.weight": the name in checkpoints and messages */
    Type type;        /* unbatched */
    Init init;        /* the block's `~`, or what `start` said */
    Span at;
    int instance; /* in both graphs (they instantiate alike) */
    bool buffer;
    bool frozen;
    int optimizer;  /* index into Model.optimizer */
    int zero;       /* what `zero` asked for: ZERO_AUTO, 0..3 or ZERO_ONCE */
    bool offload;   /* its optimizer state lives on the host */
    int64_t bucket; /* what `bucket` asked for, bytes; 0: the planner's choice */
    Span zero_at, offload_at;
} Param;
enum { ZERO_AUTO = -1, ZERO_ONCE = 4 };

typedef enum OptKind { OPT_SGD, OPT_ADAM, OPT_ADAMW, OPT_ADAGRAD, OPT_LION } OptKind;
typedef struct Optimizer {
    OptKind kind;
    double lr, beta1, beta2, eps, weight_decay, momentum;
    Span at;
} Optimizer;

/* Optimizer state: one STATE leaf per parameter and kind; saved as "PATH.exp_avg" and the like. */
typedef struct State {
    int param;
    const char *kind; /* "exp_avg", "exp_avg_sq", "momentum", "sum" */
} State;

typedef enum SchedKind { SCHED_CONSTANT, SCHED_LINEAR, SCHED_COSINE, SCHED_WSD } SchedKind;
typedef struct Schedule {
    SchedKind kind;
    double warmup; /* steps */
    double min_lr; /* absolute, like lr; scaled with each optimizer's lr relative to the first's */
    double decay;  /* wsd: steps of the final decay */
} Schedule;

/* A number the trainer computes before each step (PRE..UPDATE may read it): a scalar f32 HOST leaf.
 */
typedef enum HostKind {
    HOST_LR,    /* the scheduled learning rate of optimizer `index` */
    HOST_BIAS1, /* 1 / (1 - beta1^t), t from 1 */
    HOST_BIAS2, /* 1 / sqrt(1 - beta2^t) */
} HostKind;
typedef struct HostScalar {
    HostKind kind;
    int optimizer;
} HostScalar;

typedef enum DataKind { DATA_NONE, DATA_TEXT, DATA_TOKENS, DATA_NPY } DataKind;
typedef struct DataField {
    const char *name; /* the model input it feeds */
    const char *file;
} DataField;
typedef struct Data {
    DataKind kind;
    const char *file;     /* text, tokens; joined with the model file's folder */
    const char *format;   /* tokens: "u16" "u32" "llmc" */
    VEC(DataField) field; /* npy */
    Span at;
} Data;

typedef struct Input {
    const char *name;
    Type type; /* batched */
    Span at;
    int64_t below;  /* ints: every value must be < below when known (the rows of the table it
                       indexes); 0: unknown */
    bool ignore_ok; /* -100 is allowed too: cross_entropy leaves such targets out */
} Input;

/* An average to report: numerator and weight are accumulators (scalars). */
typedef struct Report {
    const char *name;
    Node *value;     /* before training_graph(): the AVERAGE node (or, in the evaluation graph, a
                        batched value to write per sample: num and den stay NULL) */
    Node *num, *den; /* after: accumulators of one element */
    Span at;
} Report;

/* One average of the loss: the loss is the sum of coef * num / den, 0 for an average whose den is
 * 0. In the evaluation graph num and den are accumulators (or, of unbatched values, complete). In
 * the training graph den is complete in PHASE_MID, or a CONST where the weight is a number. */
typedef struct LossAverage {
    double coef;
    Node *num, *den;
} LossAverage;

typedef struct Program {
    Graph *graph;
    Node *loss; /* forward result: one float scalar */
    VEC(Report) report;
    Node *
        logits; /* what cross_entropy was given first ([T, V] or [V]), for sampling; NULL if none */
    /* filled by training_graph() / evaluation_graph() */
    VEC(LossAverage) term; /* what the loss is made of */
    Node *loss_value;      /* the loss, complete: POST (evaluation: after all its rounds) */
    Node *grad_norm;       /* before clipping: POST; NULL without gradients */
    VEC(Node *) root;      /* everything that must run, effects included, in order */
} Program;

typedef enum RecomputeRule {
    RECOMPUTE_AUTO,
    RECOMPUTE_NONE, /* keep what the backward reads, but what costs nothing to make again */
    RECOMPUTE_ALL,  /* of a block keep only what enters it */
} RecomputeRule;

typedef struct PlanRequest { /* the `plan` section and the flags: what the user asked for */
    int64_t ranks, memory, micro_batch, hybrid; /* 0: not said */
    Span ranks_at, memory_at, micro_at, hybrid_at, recompute_at, overlap_at, machine_at;
    RecomputeRule *recompute; /* [instances of the training graph]; of units only */
    bool no_overlap;          /* overlap = off */
    int lead;                 /* units a gather is issued ahead; -1: the planner's choice */
    const char *machine;      /* profile by name or file; NULL: not said */
} PlanRequest;

typedef struct Model {
    Arena *arena;
    const char *name; /* "GPT" */
    const char *file; /* the main file, as given */
    VEC(Param) param;
    VEC(Input) input;
    VEC(State) state;
    VEC(HostScalar) host;
    VEC(Optimizer) optimizer; /* [0]: the default */
    Program train, eval;      /* eval: `training` is false; sampling runs eval up to `logits` */
    /* the train section */
    Data data, valid;
    int64_t batch, steps, valid_every;
    Schedule schedule;
    double clip;    /* 0: none */
    bool reduced;   /* accumulate = reduced: each round's sums over the ranks, then over the rounds;
                       else over the rounds on each rank, then over the ranks */
    bool invariant; /* reduce = invariant: a fixed binary tree over (rank, round) */
    int64_t seed;
    DType precision; /* DT_F32; DT_BF16 or DT_F16: how values of samples and working copies of
                        parameters are kept, see planner/narrow.h */
    Span batch_at, precision_at;
    bool has_train;
    PlanRequest plan;
} Model;

static inline bool model_is_narrow(const Model *m)
{
    return m->precision == DT_BF16 || m->precision == DT_F16;
}

/* train.c: adds to m->train: averages as (sum, weight), gradients, clipping, the update; fills
 * State and HostScalar lists and the roots. False: reported (an unused parameter, a loss that is no
 * sum of averages, an op without a gradient). */
bool training_graph(Model *m, Diag *d);
/* The same for m->eval, forward only. */
bool evaluation_graph(Model *m, Diag *d);
/* Replaces the rows whose kernel is EXPAND by ordinary nodes, folds constants, drops what no root
 * needs; roots are updated. */
void simplify(Arena *a, Program *p);

/* autodiff.c: gradients of `y` (a node of g, seeded with `seed`) for each of `wrt`, NULL where none
 * arrives. */
bool autodiff(Graph *g, Node *const y[], Node *const seed[], int n_y, Node *const wrt[],
              Node *grad[], int n_wrt);

#endif
