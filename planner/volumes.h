/* volumes.h - how many bytes of state a rank keeps and how much it sends, by formula.
 *
 * The published tables of data-parallel training (ZeRO, arXiv 1910.02054; DeepSpeed's estimators;
 * FSDP's notes; BMTrain's blocks), corrected, as functions: tests hold our plans against them.
 * Everything is exact: a shard is a whole number of elements, so sizes that the ranks do not
 * divide are rounded up. */
#ifndef BM_VOLUMES_H
#define BM_VOLUMES_H

#include "planner/plan.h"

/* ---- state ---- */

/* Bytes of one parameter, its gradient and its optimizer's state (master weights there), as a
 * precision keeps them. */
typedef struct StateBytes {
    int param, grad, optimizer;
} StateBytes;

typedef enum Precision {
    PRECISION_F32,          /* 4 + 4 + 8: Adam in f32, what bmc does */
    PRECISION_MIXED,        /* 2 + 2 + 12: the ZeRO paper's */
    PRECISION_BF16_MAIN,    /* 2 + 4 + 12: Megatron, gradients summed in f32 */
    PRECISION_FP16_MAIN,    /* 2 + 2 + 16: Megatron, an f32 copy of fp16 gradients */
    PRECISION_DS_ESTIMATOR, /* 2 + 2 + 16: what DeepSpeed's estimators assume */
    N_PRECISIONS
} Precision;

StateBytes precision_bytes(Precision t);

/* Bytes of state that one of n ranks keeps of `params` parameters, between steps. LEVEL_ONCE keeps
 * what LEVEL_3 does. */
int64_t state_bytes(StateBytes b, Level l, int64_t params, int64_t n);

/* DeepSpeed's estimate, of stages 2 and 3 only: `largest` parameters are whole at once in stage 3;
 * gradients in 16 bits are not counted beside those in f32. -1: another level. */
int64_t state_bytes_estimated(Level l, int64_t params, int64_t largest, int64_t n);

/* ---- elements sent by a rank in an optimizer step of g micro-batches ---- */

typedef enum Scheme {
    SCHEME_DDP,           /* 2 g: all-reduce of every micro-batch */
    SCHEME_DDP_NO_SYNC,   /* 2: of their sum */
    SCHEME_ZERO1,         /* 2: reduce-scatter of the sum, all-gather of parameters */
    SCHEME_ZERO1_DS,      /* 3: as DeepSpeed does by default, all-reduce and all-gather */
    SCHEME_ZERO2,         /* g + 1 */
    SCHEME_ZERO2_DS,      /* 2 g + 1 */
    SCHEME_ZERO3,         /* 3 g: gathered forward and backward, reduced */
    SCHEME_ZERO3_NO_SYNC, /* 2 g + 1 */
    SCHEME_KEEP,          /* 2 g: SHARD_GRAD_OP, gathered once a micro-batch */
    SCHEME_KEEP_NO_SYNC,  /* 2 */
    N_SCHEMES
} Scheme;

/* Passes over the whole set of parameters: the factor of params * (n - 1) / n. */
int64_t scheme_passes(Scheme s, int64_t g);
int64_t scheme_elements(Scheme s, int64_t params, int64_t n, int64_t g);
/* The scheme a level of ours follows, with gradients reduced in the last round (or, `reduced`, in
 * each). */
int64_t level_passes(Level l, bool reduced, int64_t g);

typedef struct HybridElements {
    int64_t inside, between; /* of a group of `share` ranks; of the groups among each other */
} HybridElements;
/* HYBRID_SHARD: 3 g passes inside, an all-reduce of the shard between (once with no_sync). */
HybridElements hybrid_elements(int64_t params, int64_t n, int64_t share, int64_t g, bool no_sync);

/* ---- shard tables ---- */

/* Where each of `count` parameters begins in a flat buffer whose parameters start at multiples of
 * `align` elements (at[] may be NULL); returns the buffer's elements. */
int64_t flat_table(const int64_t *elements, int count, int64_t align, int64_t *at);
/* Elements of a rank's part. */
int64_t shard_elements(int64_t flat, int64_t n);
/* Bytes a rank sends for `passes` collectives (an all-gather or a reduce-scatter each) over `flat`
 * elements of `size` bytes. */
int64_t sent_bytes(int64_t flat, int64_t n, int64_t size, int64_t passes);

/* ---- a plan of ours ---- */

/* Payload bytes this rank sends in one optimizer step: every collective, in every round it runs. */
int64_t plan_sent(const Plan *p);

#endif
