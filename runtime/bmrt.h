/* bmrt.h - the runtime an emitted trainer is linked with (libbmrt.a). The only public header of
 * runtime/.
 *
 * The emitted program hands over one constant `bmrt_model`: where everything lies in the arena, and
 * one function per program and phase. bmrt_main() does the rest: options, data, the training loop,
 * metrics, files. The runtime allocates one arena of `arena_bytes` and after the first step nothing
 * else.
 *
 * Numbers are `real`: float, or double when built with -DBM_REAL_DOUBLE (gradient tests; offsets of
 * the arena then count twice, see BMRT_AT). Integers of the model are int32_t, bools one byte. */
#ifndef BMRT_H
#define BMRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef BM_REAL_DOUBLE
typedef double real;
enum { BMRT_SCALE = 2 };
#else
typedef float real;
enum { BMRT_SCALE = 1 };
#endif

/* ---- status
 * -------------------------------------------------------------------------------------------------------
 */

#define BMRT_STATUS(X)                                                                             \
    X(OK, 0, "done")                                                                               \
    X(MODEL, 1, "a file it was given does not fit the model")                                      \
    X(USAGE, 2, "usage")                                                                           \
    X(MACHINE, 4, "something is missing or full on this machine")                                  \
    X(BUG, 70, "internal error")                                                                   \
    X(AGAIN, 75, "stopped with weights saved: start again")                                        \
    X(NONFINITE, 76, "non-finite loss or gradient norm: stopped before the update")                \
    X(HANG, 77, "a rank made no progress")                                                         \
    X(CHECKPOINT, 78, "no usable checkpoint")
typedef enum BmStatus {
#define X(id, code, text) BMRT_##id = code,
    BMRT_STATUS(X)
#undef X
} BmStatus;

/* ---- the model, as emitted
 * ---------------------------------------------------------------------------------------- */

typedef enum bmrt_dtype { BMRT_F32, BMRT_I32, BMRT_U8 } bmrt_dtype;

typedef struct bmrt_tensor { /* a parameter, buffer or piece of optimizer state: persistent */
    const char *path;        /* "h.0.attn.c_attn.weight", "h.0.attn.c_attn.weight.exp_avg" */
    bmrt_dtype dtype;
    int ndim;
    int64_t dim[6];
    int64_t count;  /* elements */
    int64_t offset; /* bytes into the arena, of the flat buffer it lies in */
    int64_t at;     /* elements from the start of that flat buffer */
    int64_t shard;  /* 0: the buffer is whole on every rank. Else it holds elements q * shard ..
                       (q + 1) * shard - 1 of the flat buffer, q the rank's place in its sharding
                       group: this rank may have a piece of the tensor, or nothing */
    bool host;      /* in the host's arena */
    int init;       /* 0 zeros 1 ones 2 fill(a) 3 normal(a) 4 uniform(a, b) 5 npy(file) */
    double a, b;
    const char *file;
    int flags; /* BMRT_BUFFER, BMRT_FROZEN */
} bmrt_tensor;
enum { BMRT_BUFFER = 1, BMRT_FROZEN = 2 };

typedef struct bmrt_input {
    const char *name;
    bmrt_dtype dtype;
    int ndim;
    int64_t dim[6]; /* of one sample */
    int64_t count;  /* elements of one sample */
    int64_t below;  /* ints: each value must lie in 0..below-1 (or be -100 when `ignore`); 0: not
                       checked */
    int64_t train_offset, eval_offset,
        sample_offset; /* bytes into the arena, or -1 where the program has no use for it */
    bool ignore;       /* a target of cross entropy: npy data may hold -100 in it */
} bmrt_input;

typedef struct bmrt_average { /* a loss or report: num / den, both real scalars in the arena; 0 when
                                 den is 0 */
    const char *name;
    int64_t num, den; /* byte offsets; den -1: `num` is already the value */
    double coef;      /* of a term of the loss, where `n_loss` is given */
} bmrt_average;

typedef struct bmrt_field { /* a batched value reported per sample (evaluation only) */
    const char *name;
    bmrt_dtype dtype;
    int64_t count;
    int64_t offset;
} bmrt_field;

typedef struct bmrt_host { /* a scalar the trainer writes before each step */
    int kind;              /* 0 learning rate, 1 1/(1-beta1^t), 2 1/sqrt(1-beta2^t) */
    double base, beta;     /* the optimizer's lr; its beta1 or beta2 */
    int64_t offset;
} bmrt_host;

/* ---- collectives and copies: what the other streams run
 * ---------------------------------------------------------- */

typedef enum bmrt_stream_id { BMRT_COMPUTE, BMRT_COMM, BMRT_COPY, BMRT_STREAMS } bmrt_stream_id;

typedef struct bmrt_place { /* in the arena */
    int64_t offset;         /* bytes */
    int64_t by_rank;        /* bytes more for each rank before this one in its sharding group */
    bool host;              /* in the host's arena */
} bmrt_place;

typedef struct bmrt_segment { /* rank q's part of the whole: `elems` elements from q * stride on */
    bmrt_place whole, shard;  /* the shard: where this rank's own part is, or goes */
    int64_t elems, stride;
} bmrt_segment;

typedef enum bmrt_op_kind {
    BMRT_ALL_GATHER,     /* the shards of all ranks of the group into everybody's whole */
    BMRT_REDUCE_SCATTER, /* sum over all ranks of their wholes, each rank its part, into its shard
                          */
    BMRT_ALL_REDUCE,     /* both, in place */
    BMRT_COPY_BYTES      /* whole (to) = shard (from), elems elements, one segment */
} bmrt_op_kind;

typedef struct bmrt_op { /* of the comm or the copy stream; f32 (real) elements */
    int step;            /* its id in plan.json */
    bmrt_op_kind kind;
    int when;               /* 0 in every round, 1 in the first, 2 in the last */
    int wait[BMRT_STREAMS]; /* by stream: the step there that must be over; -1: none */
    const char *path;
    const bmrt_segment *segment;
    int n_segment;
    int64_t staging;  /* byte offset of memory for (ranks - 1) * chunk elements */
    int64_t chunk;    /* elements per rank that go through it at once; 0: none needed */
    bool accumulates; /* REDUCE_SCATTER: the sum is added to the shard, but in the first round */
    bool tree;        /* ranks are added along a binary tree, else in rank order */
} bmrt_op;

typedef struct bmrt_ops { /* what one stream runs in one phase of a program, in order */
    const bmrt_op *op;
    int n;
} bmrt_ops;
enum { BMRT_PHASES = 6 }; /* pre weight mid round post update */

/* ---- what can be looked at, and what nobody may look at
 * ---------------------------------------------------------- */

typedef struct bmrt_watch { /* a gradient, or a named value of the forward pass (--inspect);
                               parameters are known from bmrt_model.param */
    const char *path;       /* a gradient's is its parameter's */
    enum { BMRT_WATCH_GRAD, BMRT_WATCH_VALUE } kind;
    bmrt_dtype dtype;
    int64_t count;     /* elements; batched: of one sample */
    int64_t offset;    /* bytes into the arena, of the buffer it lies in */
    int64_t by_rank;   /* bytes more for each rank before this one in its sharding group */
    int64_t at, shard; /* as bmrt_tensor's. A gradient is as it lies after POST, reduced: on every
                          rank whole (0), or each rank's elements are right in its own shard only */
    bool host;         /* in the host's arena */
    bool batched;      /* VALUE: one for each sample of the micro-batch, one behind the other */
    bool chunk;        /* batched: it holds the samples of one run of its region only */
    int after;         /* VALUE: the step of PHASE_ROUND that makes it, see bmrt_watched */
    int64_t parts; /* batched: samples are told of in so many parts, of `count` elements each, and
                      bmrt_watched counts those; 0: whole */
} bmrt_watch;

typedef struct bmrt_free { /* memory that nobody uses from here until something else is put there;
                              BMRT_POISON=1 fills it with bytes that are no number */
    int step; /* the last step that uses it, of the stream and phase whose list this is in; for a
                 step in a region, the region's last one on that stream */
    int when; /* the rounds after which it is free: 0 every one, 1 the first, 2 the last */
    int need[BMRT_STREAMS]; /* by stream: the last step of this phase there that uses it; -1: none.
                               It is filled only if those are over by then: nobody waits for it */
    int64_t offset, bytes;
    bool host;
} bmrt_free;

/* Of one stream in one phase, by step. Compute's is empty in a phase where it does not tell of its
 * steps (bmrt_step_begin): they would be filled at its end, when other things are there. */
typedef struct bmrt_frees {
    const bmrt_free *free;
    int n;
} bmrt_frees;

/* What each step reads and writes: BMRT_CHECK=1 holds what was waited for against it. */
typedef struct bmrt_buffer {
    const char *path;
    int64_t offset, bytes;
    bool host;
} bmrt_buffer;

typedef struct bmrt_uses {
    int step;
    int end;  /* it is over when this one is: itself, or the last one of its region */
    int when; /* the rounds in which it runs: 0 every one, 1 the first, 2 the last */
    const char *path;
    const int *use; /* [n] 2 * index into bmrt_model.buffer, + 1 if it writes there */
    int n;
} bmrt_uses;

typedef struct bmrt_used { /* of one stream in one phase, by step */
    const bmrt_uses *step;
    int n;
} bmrt_used;

typedef struct bmrt bmrt;                        /* a running trainer */
typedef void bmrt_phase_fn(bmrt *r, int64_t nb); /* nb: samples in this micro-batch */

typedef struct bmrt_program {
    int64_t micro_batch; /* 0: the model has no such program */
    bmrt_phase_fn *pre, *weight, *mid, *round, *post, *update; /* NULL: nothing to do */
    const bmrt_average *loss; /* one, or NULL; with n_loss, that many: the sum of coef * value */
    const bmrt_average *report;
    int n_report;
    const bmrt_field *field;
    int n_field;
    int64_t norm; /* byte offset of the gradient norm; -1: none */
    int n_loss;   /* terms of the loss; 0: `loss` is one value and its coef does not count */
    const bmrt_ops *comm, *copy; /* [BMRT_PHASES] or NULL: nothing on that stream */
    const bmrt_frees *frees;     /* [BMRT_PHASES][BMRT_STREAMS] or NULL: not told */
    const bmrt_used *uses;       /* likewise */
} bmrt_program;

typedef struct bmrt_model {
    int version; /* BMRT_VERSION */
    const char *name, *plan_hash;
    const char *verified; /* the hash of the plan the verifier found right; another is refused */
    int64_t arena_bytes, persistent_bytes;
    const bmrt_tensor *param;
    int n_param;
    const bmrt_tensor *state;
    int n_state;
    const bmrt_input *input;
    int n_input;
    const bmrt_host *host;
    int n_host;
    bmrt_program train, eval, sample; /* sample: micro_batch 1; `logits` below */
    int64_t
        logits; /* byte offset of the logits [ctx, vocab] of the one sample; -1: cannot sample */
    int64_t ctx, vocab;
    /* the train section */
    int data_kind; /* 0 none 1 text 2 tokens 3 npy */
    const char *data_file, *data_format;
    const char *const *data_field; /* npy: name, file, name, file, ..., NULL */
    int valid_kind;
    const char *valid_file, *valid_format;
    const char *const *valid_field;
    int64_t batch, rounds, steps, valid_every, seed;
    int schedule; /* 0 constant 1 linear 2 cosine 3 wsd */
    double warmup, min_lr, decay;
    int64_t ranks, shared_by; /* ranks; ranks that share one copy of sharded state (all, or the
                                 size of a hybrid group) */
    int64_t host_arena_bytes; /* 0: none */
    const bmrt_watch *watch;
    int n_watch;
    const bmrt_buffer *buffer; /* with `uses` only */
    int n_buffer;
} bmrt_model;

enum { BMRT_VERSION = 2 };

/* The trainer's main: options, loop, files. Returns the exit code (BmStatus). */
int bmrt_main(const bmrt_model *m, int argc, char **argv);

/* What carries collectives: of libbmrt_mpi.a, which needs MPI. Emitted for more than one rank. */
typedef struct bmrt_transport bmrt_transport;
const bmrt_transport *bmrt_mpi(void);
int bmrt_main_ranks(const bmrt_model *m, const bmrt_transport *t, int argc, char **argv);

/* ---- what emitted phase functions call
 * ---------------------------------------------------------------------------- */

struct bmrt { /* the part emitted code reads; the rest is private (bmrt_private.h) */
    char *arena;
    bool first; /* first micro-batch of the loop that is running: accumulators are overwritten, then
                   added to */
    uint64_t seed;
    int64_t step;    /* from 0 */
    int64_t sample0; /* place in the global batch of this micro-batch's first sample */
    bool last;       /* last micro-batch of the loop */
    int64_t round;   /* number of the micro-batch in the loop, from 0 */
    int rank, ranks;
    int64_t shard; /* this rank's place in its sharding group */
    char *host;    /* the host's arena, or NULL */
    bool watches;  /* values are looked at in this step */
};

#define BMRT_AT(r, offset)   ((void *)((r)->arena + (int64_t)(offset)*BMRT_SCALE))
#define BMRT_HOST(r, offset) ((void *)((r)->host + (int64_t)(offset)*BMRT_SCALE))

/* The compute stream is about to run step `id`: all before it are over. In phases where another
 * stream works only. */
void bmrt_step_begin(bmrt *r, int id);
/* Until step `id` of another stream is over. */
void bmrt_wait(bmrt *r, bmrt_stream_id stream, int id);
/* The compute stream has waited for all that step `id` needs. Where `uses` are told. */
void bmrt_check(bmrt *r, int id);
/* Only when r->watches: step `id` of the training program's rounds has made samples lo .. lo + nb -
 * 1 of the micro-batch (not all of them in a region), and the values with `after` = id are whole.
 * Called in the order of the samples, before anything is put over them. */
void bmrt_watched(bmrt *r, int id, int64_t lo, int64_t nb);

/* A kernel does units lo..hi-1 of its iteration space (rows, tiles, columns: its own comment says).
 * Any split of 0..n-1 over any number of threads gives the same bits. arg[] are pointers into the
 * arena, or to constants. */
typedef void bmrt_kernel(void *const *arg, int64_t lo, int64_t hi);

/* Runs units 0..n-1 on the pool's threads, in blocks of at least `least` units; returns when all
 * are done. */
void bmrt_launch(bmrt *r, bmrt_kernel *k, int64_t n, int64_t least, void *const *arg);

/* C[i0, i1] = beta * C + sum over s < sums of A[i0, i1, s] B[i0, i1, s], every matrix row-major
 * with the given leading dimension; A is m x k (k x m when ta), B is k x n (n x k when tb). The s
 * products are added one after the other: that is how sums over tokens run in grains. beta is 0
 * or 1. Tiles are a function of (m, n, k), so bits do not depend on threads. */
typedef struct bmrt_gemm_args {
    int64_t m, n, k;
    int ta, tb;
    int64_t lda, ldb, ldc;
    int64_t count0, a0, b0, c0; /* batch, outer: count and strides in elements; count 0 means 1 */
    int64_t count1, a1, b1, c1; /* batch, inner */
    int64_t sums, as, bs;       /* products added up; 0 means 1 */
    double beta;
} bmrt_gemm_args;
void bmrt_gemm(bmrt *r, const bmrt_gemm_args *g, const void *a, const void *b, void *c);

/* partial[g] = sum of x[i]^2 over the grain i / BMRT_NORM_GRAIN = g, in a fixed order (256 lanes,
 * folded in halves). n is a multiple of the grain. */
enum { BMRT_NORM_GRAIN = 1024 };
void bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *partial);
/* out = the sum of all groups' grains, added without rounding, so that neither groups nor ranks
 * matter. grains[g]: of
 * group g, on all ranks of a sharding group together, `ranks` of them; partial is [ranks][sum over
 * groups of ceil(grains[g] / ranks)]: on each rank the groups lie one behind the other. */
void bmrt_norm(bmrt *r, const void *partial, const int64_t *grains, int groups, int64_t ranks,
               void *out);
/* x[at .. at + count - 1] = 0 for each of n gaps {at, count}. */
void bmrt_zero(bmrt *r, void *x, const int64_t (*gap)[2], int n);
/* The sums of round r->round go into the binary tree of rounds (reduce = invariant): like a binary
 * counter, equal subtrees are added, the earlier one on the left. leaf is only read. tree is
 * [levels][n] and needs no first value; after 2^k rounds level k has the sum of all. */
void bmrt_tree(bmrt *r, void *leaf, void *tree, int64_t n);
/* n sums are added to exact ones, which the first round begins anew: no order of rounds matters.
 * exact is [n][BMRT_EXACT_DIGITS] of whole numbers below 2^8 (but the last element: what is no
 * finite number): added element by element over up to 2^16 ranks, they are exact sums again. */
enum { BMRT_EXACT_DIGITS = 40 };
void bmrt_exact_sum(bmrt *r, const void *leaf, void *exact, int64_t n);
/* What they come to, rounded in one fixed way. */
void bmrt_exact_total(bmrt *r, const void *exact, void *out, int64_t n);

/* A kernel met an index outside 0..limit-1 (it went on with 0). The first of a run is kept (any
 * thread may call); the training loop looks after each round and ends with BMRT_MODEL and a message
 * that names the path, the sample (counted within the launch), the position in it and the value. */
void bmrt_index_fault(const char *path, int64_t sample, int64_t position, int64_t value,
                      int64_t limit);
/* The launches that follow begin at sample s of the micro-batch; parts > 0: at that part of its
 * samples, each of so many. (0, 0): at its beginning. */
void bmrt_chunk(int64_t s, int64_t parts);

/* What RANDOM kernels get as their first argument. */
typedef struct bmrt_draw {
    uint64_t seed;
    int64_t step, sample0;
} bmrt_draw;

#endif
