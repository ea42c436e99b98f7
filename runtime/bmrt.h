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
    int64_t offset; /* bytes into the arena */
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
} bmrt_program;

typedef struct bmrt_model {
    int version; /* BMRT_VERSION */
    const char *name, *plan_hash;
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
} bmrt_model;

enum { BMRT_VERSION = 1 };

/* The trainer's main: options, loop, files. Returns the exit code (BmStatus). */
int bmrt_main(const bmrt_model *m, int argc, char **argv);

/* ---- what emitted phase functions call
 * ---------------------------------------------------------------------------- */

struct bmrt { /* the part emitted code reads; the rest is private (bmrt_private.h) */
    char *arena;
    bool first; /* first micro-batch of the loop that is running: accumulators are overwritten, then
                   added to */
    uint64_t seed;
    int64_t step;    /* from 0 */
    int64_t sample0; /* place in the global batch of this micro-batch's first sample */
};

#define BMRT_AT(r, offset) ((void *)((r)->arena + (int64_t)(offset)*BMRT_SCALE))

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

/* out = sum of x[i]^2 in a fixed order (grains of 65,536 elements, 256 lanes each; then one after
 * the other). */
void bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *out);

/* A kernel met an index outside 0..limit-1 (it went on with 0). The first of a run is kept (any
 * thread may call); the training loop looks after each round and ends with BMRT_MODEL and a message
 * that names the path, the sample (counted within the launch), the position in it and the value. */
void bmrt_index_fault(const char *path, int64_t sample, int64_t position, int64_t value,
                      int64_t limit);

/* What RANDOM kernels get as their first argument. */
typedef struct bmrt_draw {
    uint64_t seed;
    int64_t step, sample0;
} bmrt_draw;

#endif
