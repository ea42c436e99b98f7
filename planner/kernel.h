/* kernel.h - a kernel: one pass over memory, as data that is rendered as C (and as CUDA).
 *
 * A FUSED kernel is an iteration domain and a list of instructions in SSA form. The domain has
 * `n_axis` axes; the last `n_inner` (0 or 1 after merging) are the row's columns, the others are
 * flattened into `units`, the first of them the batch when `batched`. Instruction `i` is evaluated
 * at every point of the domain (or once per unit when `row`).
 *
 *   n_inner == 0   a flat MAP: unit u is one element
 *   n_inner == 1   unit u is a row of extent[n_axis - 1] columns. Stages 0..n_stage-1 each sweep
 * the row once; a REDUCE of stage s is complete (and is a row value) from stage s + 1 on
 *
 * Where a reduction adds in which order is part of the kernel's meaning (reference: codegen 2.2):
 * REDUCE has LANES lanes, column c goes to lane c % LANES, then lanes fold e^4, e^2, e^1 within
 * each packet of 8 and xor 16, 8, 4, 2, 1 over packets. COLSUM adds the units of a chunk of `chunk`
 * units one after the other and stores one partial per chunk; a FOLD kernel adds the partials to
 * the accumulator in order. So no launch shape, vector width or thread count changes bits, and a
 * value is the same whether it was fused or came from memory. */
#ifndef BM_KERNEL_H
#define BM_KERNEL_H

#include "frontend/graph/graph.h"

enum {
    MAX_AXES = BM_DIMS + 1,
    LANES = 256,
    ATTENTION_ROWS =
        64, /* queries of one K_ATTENTION unit: unit = (sample * heads + head) * blocks + block */
};

typedef enum KernelKind {
    K_FUSED,
    K_FOLD,  /* acc[c] = (first ? 0 : acc[c]) + partial[0][c] + partial[1][c] + ...; unit: a column
              */
    K_BATCH, /* acc[c] = (first ? 0 : acc[c]) + x[0][c] + x[1][c] + ... over samples; unit: a
                column; strided */
    K_SCATTER, /* table[idx[t]][c] += dy[t][c], t in order; unit: a column c of the table's rows */
    K_ATTENTION,      /* unit: one (sample, head, block of queries) */
    K_ATTENTION_GRAD, /* unit: one (sample, kv head) */
    K_CUMSUM,         /* unit: one line along the axis */
    K_TOP_K,          /* unit: one row */
    K_GEMM,           /* a call of the runtime */
    K_SUM_SQUARES,    /* a call of the runtime: one sum per grain of NORM_GRAIN elements */
    K_NORM,           /* a call of the runtime: the sums of all groups' grains, in order */
    K_ZERO,           /* a call of the runtime: gaps of a flat buffer become 0 */
    K_ALL_GATHER,     /* collectives: on a stream of their own */
    K_REDUCE_SCATTER,
    K_ALL_REDUCE,
    K_COPY, /* between the device's arena and the host's: on the copy stream */
    K_TREE, /* a call of the runtime: one round's sums into the tree of rounds (reduce = invariant)
             */
    K_EXACT_SUM,   /* a call of the runtime: one round's sums are added without rounding */
    K_EXACT_TOTAL, /* a call of the runtime: what such sums come to, rounded once */
} KernelKind;

typedef enum InsKind {
    I_LOAD,   /* access `acc` */
    I_GATHER, /* access `acc`, moved by in[0] * gather elements; in[0] must lie in 0..limit-1
                 (checked: fault) */
    I_INDEX,  /* start + sum of stride * index over the axes (integer); plus sample0 of the draw
                 argument if `sample` */
    I_CONST,  /* value */
    I_ELEM, /* op's MAP text over in[0..2]; operands were cast beforehand, OP_CAST converts in[0] to
               dtype */
    I_RANDOM, /* uniform [0, 1): Philox of (seed, key, step, sample in[1], element in[0]) */
    I_REDUCE, /* op: OP_SUM, OP_MAX_OF (of in[0]) or OP_ARGMAX (first greatest; column index);
                 result is a row value */
    I_STORE,  /* in[0] to access `acc` */
    I_COLSUM, /* in[0] summed over the units of a chunk, to access `acc` = partial[chunk][column];
                 column 0 if in[0] is row */
} InsKind;

typedef struct Ins {
    InsKind kind;
    Op op;
    DType dtype; /* of the result */
    int in[3];   /* instructions; -1: none */
    int acc;     /* index into Kernel.access; -1: none */
    double value;
    int64_t start, stride[MAX_AXES]; /* I_INDEX */
    bool sample;                     /* I_INDEX */
    int64_t gather, limit;           /* I_GATHER */
    uint64_t key;                    /* I_RANDOM: of the draw's path and number */
    bool per_step;                   /* I_RANDOM: another draw at every step */
    bool row;                        /* the same for all columns: evaluate once per unit */
    int stage;                       /* first stage in which it can be evaluated */
    const char *name;                /* for people: "x", "mean", "gelu" */
} Ins;

typedef struct Access {
    int arg; /* index of the pointer argument; loads and stores of one buffer share it */
    DType dtype;
    int64_t offset;           /* elements, added to the pointer */
    int64_t stride[MAX_AXES]; /* elements, by axis of the domain */
} Access;

typedef struct Fused {
    int n_axis, n_inner, n_stage;
    int64_t
        extent[MAX_AXES]; /* the batch axis has extent 1: the sample count comes with the launch */
    VEC(Ins) ins;
    VEC(Access) access;
    int64_t chunk; /* units per COLSUM partial; 0: no COLSUM. Then a launch unit is a chunk, not a
                      row */
} Fused;

/* A strided matrix or tensor operand of a non-fused kernel: strides by the node's own axes, in
 * elements. */
typedef struct View {
    int64_t batch_stride;
    int ndim;
    int64_t dim[BM_DIMS], stride[BM_DIMS];
} View;

/* Arguments by kind, in order (views in Template.view follow the same order):
 *   FOLD            partial [chunks][cols], acc [cols]            + first, + count (chunks,
 * int64_t) BATCH           x [nb][cols] (batch stride view[0].batch_stride), acc [cols]   + first,
 * + count (samples, int64_t) SCATTER         idx, dy, table [rows][cols]                   + first,
 * + count (samples, int64_t; 1 when unbatched) ATTENTION       q, k, v, [mask], [bias], o, lse
 * [heads][Tq]   + draw when attr.attention.dropout > 0 ATTENTION_GRAD  q, k, v, o, lse, do, [mask],
 * [bias], dq, dk, dv, [dbias]       + draw likewise CUMSUM          x, y          TOP_K   x,
 * values, indices GEMM            a, b, c       SUM_SQUARES   x, partial[grains of x]
 * NORM            partial [ranks][grains a rank], out                          ZERO    x
 * COPY            from, to                      TREE    leaf, tree [levels][elements]
 * EXACT_SUM       leaf, exact [elements][EXACT_DIGITS]      EXACT_TOTAL     exact, out
 * mask and bias views are broadcast to [heads, Tq, Tk] already (stride 0 where broadcast). The
 * arguments after the buffers are pointers: draw `const bmrt_draw *`, first `const bool *`, count
 * `const int64_t *`, in this order, as far as the kernel uses them. A FUSED kernel with COLSUM
 * (chunk > 0) gets count = units in all, so that the last chunk may be short; its launch has
 * ceil(units * nb / chunk) units. */
enum { MAX_OPERANDS = 12 };

typedef struct Gemm { /* fields of bmrt_gemm_args; those in `samples` are per sample and multiplied
                         by nb */
    int64_t m, n, k;
    int ta, tb;
    int64_t lda, ldb, ldc;
    int64_t count0, a0, b0, c0, count1, a1, b1, c1;
    int64_t sums, as, bs;
    bool m_nb, count0_nb; /* m * nb, count0 * nb */
    int64_t sums_samples; /* 0: `sums` as it is; s > 0: sums = nb / s (whole grains of s samples, k
                             covers them) */
    bool sums_nb;         /* sums * nb */
    bool accumulates;     /* beta = first ? 0 : 1; else 0 */
} Gemm;

enum {
    NORM_GRAIN = 1024, /* elements whose squares are summed together; shards are whole grains */
    EXACT_DIGITS = 40, /* f32 elements an exact sum takes: whole numbers, so that ranks can be added
                          without rounding too (bmrt_exact_sum) */
    MAX_SEGMENTS = 8   /* of one collective */
};

/* A piece of a collective. Rank q's part of the whole is `elems` elements from `stride` * q on;
 * every rank holds or gets its own part elsewhere ("shard") or in place. Elements are f32 unless
 * the argument's dtype says otherwise. */
typedef struct Segment {
    int64_t elems;  /* of one rank's part */
    int64_t stride; /* elements from one rank's part to the next in the whole */
} Segment;

/* Arguments: of each segment the whole and the shard (the same place when it works in place), then
 * the staging memory if there is any.
 *   ALL_GATHER      whole (written), shard (read)
 *   REDUCE_SCATTER  whole (read), shard (written): the sum over ranks in rank order, or along a
 *                   binary tree when `tree`; added to the shard unless it is the first round when
 *                   `accumulates`
 *   ALL_REDUCE      whole only (read and written): REDUCE_SCATTER in place, then ALL_GATHER in
 *                   place
 * With hybrid groups, parts are those of the rank's group; sums run over all ranks. */
typedef struct Collective {
    int n_segment;
    Segment segment[MAX_SEGMENTS];
    int64_t chunk; /* elements per rank that go through the staging memory at once; 0: no staging */
    bool accumulates; /* the shard is a sum over rounds */
    bool tree;
} Collective;

typedef struct Gap { /* of a flat buffer: elements no parameter has */
    int64_t at, count;
} Gap;

typedef struct Template {    /* parameters of the other kinds */
    View view[MAX_OPERANDS]; /* by argument */
    int n_view;
    Attr attr;          /* attention, cumsum, top_k */
    int64_t rows, cols; /* FOLD: cols. BATCH: cols. SCATTER: table rows, columns; indices per sample
                           in view[0] */
    int axis;
    uint64_t key;     /* attention dropout */
    bool accumulates; /* BATCH, SCATTER: uses the `first` argument */
} Template;

typedef struct Kernel {
    KernelKind kind;
    int id;           /* in order of first use */
    const char *name; /* "k7_add_layer_norm": a C identifier, unique in the plan */
    const char *what; /* for the comment: "x = x + attn(ln_1(x)); ln_2" or the list of ops */
    DType arg_dtype[24];
    bool arg_written[24];
    int n_arg; /* buffer arguments, in order; then come: draw if uses_draw, first if uses_first,
                  count if uses_count */
    bool uses_draw, uses_first, uses_count;
    bool batched;
    int64_t units;        /* per sample when batched, in all otherwise (COLSUM: rows, not chunks) */
    int64_t least;        /* fewest units worth a thread's while */
    int64_t flops, bytes; /* per sample when batched: counted, for cost and inspect */
    Fused fused;
    Gemm gemm;
    Template tpl;
    Collective coll;
    int n_gap; /* ZERO */
    const Gap *gap;
    int64_t *group_grains; /* NORM: grains of each group; tpl.rows of them. Grain j of a group lies
                              on the rank that owns it: partial[rank][first grain of the group on a
                              rank + j % grains a rank] */
    uint64_t hash;         /* of everything above but id, name and what: equal kernels are one */
} Kernel;

#endif
