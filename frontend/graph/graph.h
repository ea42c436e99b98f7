/* graph.h - the graph: what is to be computed, one node per tensor-valued op.
 *
 * Nodes are created in an order that is a valid order of execution (operands first) and never move.
 * Shapes are those of one sample, plus a `batched` bit: no axis number ever means the batch.
 * Elementwise ops of a batched and an unbatched operand broadcast; batched @ unbatched folds the
 * batch into rows. Only BATCH_SUM, MATMUL_ACC, SCATTER (and AVERAGE before it is expanded) turn a
 * batched operand into an unbatched result: an *accumulator*, complete after the last round.
 *
 * Invariants, checked by graph_verify(): operands come before their node; types are those the op's
 * rule gives; the phase is the one phase_of() gives; spans and paths are set; no node has a
 * DT_ERROR type once errors were 0. */
#ifndef BM_GRAPH_H
#define BM_GRAPH_H

#include "frontend/base/diag.h"
#include "frontend/base/map.h"
#include "frontend/graph/type.h"

typedef enum Op {
#define OP(id, name, sizes, gradient, cost, kernel) OP_##id,
#include "frontend/graph/ops.def"
#undef OP
    N_OPS
} Op;

typedef enum Cost {
    COST_free,
    COST_cheap,
    COST_costly,
    COST_row,
    COST_gemm,
    COST_attention,
    COST_move
} Cost;

/* When a node runs within an optimizer step. A node takes the earliest phase its operands allow. */
typedef enum Phase {
    PHASE_PRE,    /* once, before the rounds: what depends on parameters and constants only */
    PHASE_WEIGHT, /* once per micro-batch, in a loop before the rounds: the weights of the averages
                   */
    PHASE_MID,    /* once: from complete weights (1 / total weight) */
    PHASE_ROUND,  /* once per micro-batch: forward and backward; everything batched */
    PHASE_POST, /* once, after the last round: from complete accumulators (gradients, loss, norm) */
    PHASE_UPDATE, /* once, last: the writes to parameters, optimizer state and buffers */
    N_PHASES
} Phase;

enum { KEEP_AXES = 1 };

/* Constants of an op, by op. Unused bytes are zero: attributes are compared and hashed as bytes. */
typedef union Attr {
    struct {
        double value;
    } constant; /* CONST; exact for int and bool too */
    struct {
        int64_t start, step;
        int axis;
    } iota; /* IOTA: start + step * index along axis */
    struct {
        int site; /* number of the draw in its graph: the key is (seed, site's path, sample, step,
                     element) */
        int per_step; /* 0: the same at every step */
    } random;         /* RANDOM: uniform in [0, 1) */
    struct {
        int leaf; /* index into the model's params, buffers, states, inputs or host scalars */
    } leaf;       /* INPUT PARAM BUFFER STATE HOST */
    struct {
        uint32_t axes; /* bit i: axis i is reduced */
    } reduce; /* SUM MAX_OF BATCH_SUM; ARGMAX, SOFTMAX, LOGSUMEXP, CUMSUM, ONE_HOT: exactly one bit
               */
    struct {
        uint32_t axes;
        int reverse;
    } cumsum;
    struct {
        int perm[BM_DIMS]; /* result axis i is operand axis perm[i] */
    } transpose;
    struct {
        int axis;
        int64_t lo, hi;
    } slice; /* SLICE: indices lo..hi-1 stay */
    struct {
        int axis;
        int64_t before, after;
    } pad; /* PAD: zeros put before and after */
    struct {
        int axis;
    } concat;
    struct {
        int k;
    } top_k;
    struct {
        int64_t rows;
    } scatter; /* SCATTER: rows of the table; ONE_HOT: classes */
    struct {
        int heads, kv_heads, causal, has_mask, has_bias;
        int64_t window; /* keys seen back from the query, itself included; 0: all */
        double scale, dropout;
        int site;
    } attention; /* ATTENTION, ATTENTION_GRAD */
    struct {
        int index;
    } part; /* PART: which further result of its operand */
} Attr;

typedef struct Node Node;
struct Node {
    int id; /* index in Graph.node */
    Op op;
    Type type;
    Phase phase;
    Node **in;
    int n_in;
    Attr attr;
    Span at; /* in the model's text; a gradient has the place of what it is the gradient of */
    const char *path; /* "h.3.attn.c_attn": the instance it was written in, and its local name when
                         it has one */
    const char *name; /* the variable it was assigned to, or NULL */
    int instance;     /* index into Graph.instance: the block instance it belongs to */
    bool backward;    /* made by autodiff (or an update) */
    bool recompute; /* a copy of a forward node, computed again for the backward: never merged with
                       the original */
    bool effect;    /* ASSIGN: kept though nobody reads it */
};

/* A block instance, in the order of instantiation; 0 is the model itself. */
typedef struct Instance {
    const char *path;  /* "h.3"; "" for the model */
    const char *block; /* "Layer" */
    int parent;
    int unit; /* the instance the planner decides for: the nearest enclosing stack element, else 0
               */
} Instance;

typedef struct Graph {
    Arena *arena;
    Diag *diag;
    VEC(Node *) node;
    VEC(Instance) instance;
    int n_sites; /* random draws so far */
    /* What new nodes are stamped with; the builder's caller sets them. */
    Span at;
    const char *path, *name;
    int cur_instance;
    bool backward, recompute, weight; /* weight: batched nodes made now belong to PHASE_WEIGHT */
    bool update;                      /* nodes made now belong to PHASE_UPDATE */
    /* hash-consing: equal op, attributes, operands, phase and flags give the same node */
    int *slot;
    int n_slot;
    bool no_cse;
} Graph;

typedef struct OpInfo {
    const char *name;
    Cost cost;
    const char *map;    /* the MAP text, or NULL */
    const char *kernel; /* the kernel column's word: "LEAF", "VIEW", "MAP", "REDUCE", ... */
    bool differentiable;
} OpInfo;
extern const OpInfo op_info[N_OPS];

Graph *graph_new(Arena *a, Diag *d);

/* The one way to make a node: checks the operands by the op's rule and returns an equal existing
 * node if there is one (never for ASSIGN, and RANDOM has its site). A mistake is reported at g->at
 * and gives a node of type DT_ERROR, as does any DT_ERROR operand, silently. `type` is used by
 * leaves, RESHAPE, BROADCAST and CAST only (NULL elsewhere). */
Node *graph_add(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type);

/* Operands that the table does not tell:
 *   AVERAGE x [weight]; bools count as 0 and 1          PICK x[..., V] idx[...] -> [...]
 *   GATHER table[N, d...] idx[...] -> [..., d...]       ONE_HOT idx[...] -> float [..., rows]
 *   SCATTER idx[i...] dy[i..., d...] -> [rows, d...], summed over the samples
 *   MATMUL_ACC a[..., R, M] b[..., R, N] -> [M, N], summed over samples, leading axes and R
 *   TOP_K x -> values [..., k]; PART 1 the indices
 *   ATTENTION q k v [mask] [bias] -> [Tq, heads * dv]; PART 1 log-sum-exp [heads, Tq] (-inf and a
 *   zero row where no key is seen). Query i sees key j when mask is true there, j <= i if causal,
 *   and j > i - window if there is one; scores are scale * q k + bias; dropout keeps a probability
 *   when the draw of element (h * Tq + i) * Tk + j is >= dropout
 *   ATTENTION_GRAD q k v o lse do [mask] [bias] -> dq; PART 1 dk, 2 dv, 3 dbias [heads, Tq, Tk] */

/* Short forms (build.c). Numbers become CONST nodes, ints become floats where the op or the other
 * operand wants it, and results are simplified where no bit changes: x * 1 is x, but x + 0 stays
 * (-0). Reductions keep their axes, with size 1; an axis below 0 counts from the end. */
Node *g1(Graph *g, Op op, Node *a);
Node *g2(Graph *g, Op op, Node *a, Node *b);
Node *g3(Graph *g, Op op, Node *a, Node *b, Node *c);
Node *g_const(Graph *g, DType t, double value); /* a scalar, unbatched */
Node *g_iota(Graph *g, const Type *t, int axis, int64_t start, int64_t step);
Node *g_reduce(Graph *g, Op op, Node *x, uint32_t axes);
Node *g_reshape(Graph *g, Node *x, int ndim, const int64_t *dim);
Node *g_transpose(Graph *g, Node *x, const int *perm);
Node *g_swap(Graph *g, Node *x); /* the last two axes */
Node *g_slice(Graph *g, Node *x, int axis, int64_t lo, int64_t hi);
Node *g_pad(Graph *g, Node *x, int axis, int64_t before, int64_t after);
Node *g_concat(Graph *g, Node *const x[], int n, int axis);
Node *g_broadcast(Graph *g, Node *x, const Type *to); /* x itself when it has that shape */
Node *g_cast(Graph *g, Node *x, DType t);
Node *g_part(Graph *g, Node *x, int index);
Node *g_squeeze(Graph *g, Node *x, uint32_t axes); /* drops axes of size 1 */
static inline uint32_t axis_bit(const Node *x, int axis)
{
    int i = axis < 0 ? axis + x->type.ndim : axis;
    return i < 0 ? 0 : 1u << i; /* a value in error has no axes */
}

/* In rules.c: the result's type, or DT_ERROR after a diagnostic. */
Type op_type(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type);
Phase phase_of(const Graph *g, Op op, Node *const in[], int n_in, const Type *type);
/* The phase in which a node's complete value can first be read (an accumulator of the rounds:
 * PHASE_POST). */
Phase phase_ready(const Node *n);
bool is_accumulator(const Node *n);
/* The types further results of a node have (PART); 0 when it has one result only. */
int op_parts(const Node *n, Type part[3]);

/* Every broken invariant is a BUG with the node's place; called after each pass in debug builds and
 * by tests. */
void graph_verify(const Graph *g, Node *const root[], int n_root);

/* One line per node reachable from the roots: "%12 = matmul %3 %11 : [128, 576] batched round  #
 * h.0.attn.c_attn 12:9". */
void graph_print(StrBuf *s, const Graph *g, Node *const root[], int n_root);

/* Nodes reachable from the roots, operands first, in creation order. */
typedef struct NodeList {
    Node **v;
    int n;
} NodeList;
NodeList graph_reach(Arena *a, const Graph *g, Node *const root[], int n_root);

#endif
