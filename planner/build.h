/* build.h - the planner's working data while one program becomes steps. Private to planner/.
 *
 * An Item is a node as the planner sees it: planner-made items (copies, pieces of a concatenation)
 * stand beside those of the graph, which is never changed. A Layout says where a value lies: which
 * item's storage, from where, with which strides; views compose layouts and cost nothing. A Group
 * is what becomes one kernel. */
#ifndef BM_BUILD_H
#define BM_BUILD_H

#include "planner/plan.h"

typedef struct Item Item;
typedef struct Group Group;
typedef struct RecomputeChoice RecomputeChoice;

typedef enum ItemClass {
    IC_LEAF,    /* storage that exists before the program runs */
    IC_VIRTUAL, /* CONST, IOTA, SAMPLE_INDEX: computed where used */
    IC_VIEW,    /* another item's storage */
    IC_JOIN,    /* a concatenation: storage its pieces are written to */
    IC_FUSE,    /* elementwise, reductions: grouped into kernels */
    IC_HEAVY,   /* a kernel of its own */
    IC_PART,    /* a further result of a heavy item */
} ItemClass;

typedef struct Layout {
    Item *root;
    int64_t offset; /* elements */
    int64_t batch, stride[BM_DIMS];
} Layout;

struct Item {
    int id; /* position in the order of the program */
    const Node *node;
    Op op;
    Attr attr;
    Type type;
    Item **in;
    int n_in;
    Phase phase;
    ItemClass cls;
    Layout place;
    Item *join; /* its storage is a piece of this concatenation */
    int join_axis;
    int64_t join_at;
    Group *group;
    int depth;   /* groups on the longest path to its value */
    bool stored; /* read from memory by somebody, or a result */
    bool backward, recompute;
    int again;       /* a copy of this unit's forward, computed again; 0: none */
    int value;       /* while its kernel is built: its instruction */
    int last_use;    /* of a root: the turn of the last group that reads it */
    bool taken;      /* of a root: its memory went on to a result */
    int buffer;      /* of a root; -1: none yet */
    int64_t base;    /* of a root: elements from the buffer's start */
    int64_t by_rank; /* of a root: bytes more for each rank before this one */
    bool flat;       /* a leaf that is a whole flat buffer */
    bool copies;     /* made to be in another item's storage: always written */
    int beside;      /* a sum that is added to the one in this buffer: 1 + its index */
    When when;
    int apart;     /* shares kernels with items of the same number only */
    int update_of; /* part of the update of this group; 0: of none, else 1 + its index */
    VEC(Item *) part;
    VEC(Group *) reader; /* of a root: groups that load it, some of them since absorbed (empty) */
};

typedef VEC(Item *) ItemList;

typedef struct Bound { /* an accumulator's place in the flat gradients */
    int group;         /* 1 + index; 0: it has none */
    int64_t at;
    const Node *beside;    /* kept beside this one, and added to it after the last round */
    const Node *completes; /* the one whose last summand it is, in the order of the graph */
} Bound;

typedef struct FlatItems { /* of a group: its flat buffers as items */
    Item *param, *grad, *state[4];
    Item *whole; /* the gradients that copies are written to */
} FlatItems;

struct Group {
    int id, depth;
    Phase phase;
    ItemList item;
    bool batched, reduces, colsum;
    int64_t chunk;        /* rows of a partial sum; 0: no sum over the batch yet */
    bool fed;             /* another group waits for it: its depth is settled */
    bool set;             /* dims are set: a fused group */
    int64_t dim[BM_DIMS]; /* the domain, axes aligned to the right */
    uint32_t inner;       /* axes of the row; 0: not decided */
    ItemList reads;       /* items whose storage it loads */
    int key;              /* place in the order asked for: its last item */
    int turn;             /* place in the order found */
    int waits;            /* scheduling: groups not done yet */
    VEC(Group *) next;
};

typedef VEC(Group *) GroupList;

typedef struct Build {
    Arena *a;
    const Model *m;
    const Program *prog;
    ProgramKind kind;
    Plan *plan;
    bool fuse;
    int64_t nb; /* samples of the micro-batch */
    int64_t rounds;
    ItemList item;
    Item **of_node; /* by node id */
    GroupList group, order;
    int last_heavy;         /* id of the last group with a kernel of its own */
    Map *kernels;           /* of the plan: hash text -> Kernel */
    ItemList result;        /* what the host reads: kept to the program's end */
    Bound *bound;           /* by node id */
    const Node **grad_node; /* by parameter: its gradient */
    VEC(int) copied;        /* parameters whose gradient is copied to its place */
    FlatItems *flat;        /* by group; NULL: nothing is trained in this program */
    int sums[N_PHASES];     /* by loop: the buffer of all other accumulators; -1: none */
    Diag *d;

    const RecomputeChoice *choice; /* what units keep; NULL: what is worth it */
} Build;

/* items.c: nodes reachable from the roots as items, in order, with what is made of them here. */
void items_make(Build *b);
Item *item_new(Build *b, const Node *n, Op op, const Type *t, int n_in);
Item *item_of(const Build *b, const Node *n);

/* recompute.c: cheap values the backward computes again. */
void recompute_cheap(Build *b);

/* place.c: storage and strides of every item. */
void places_assign(Build *b);
bool place_reshape(const Layout *p, const Type *from, const Type *to, Layout *out);
Layout place_of_join(const Item *join, int axis, int64_t at, const Type *t);
Layout place_contiguous(Item *root, const Type *t);
bool is_contiguous(const Item *i);
Item *copy_at(Build *b, Item *x, const Type *t, int at, Phase phase);

/* group.c: items into groups; order.c: groups into order. */
void groups_make(Build *b);
void groups_order(Build *b);
Item *through_views(Item *i); /* the item whose value `i` is when the view keeps every element's
                                 (right-aligned) index */

/* group_split.c: kernels of too many buffers in pieces; true: some were, and more is read from
 * memory. */
bool groups_split(Build *b);

/* fused.c, heavy.c: a group as steps: its kernel and operands. */
void group_step(Build *b, Group *g);
void heavy_step(Build *b, Item *i);

/* named.c: what the steps of the training program make that has a name; first[k]: the first step
 * of the k-th group, and one more: their end. */
void names_find(Build *b, const int *first);

/* steps.c */
Operand operand(Build *b, Item *root, int64_t element);
const Kernel *kernel_intern(Build *b, const Kernel *k, const char *stem);
void step_add(Build *b, const Item *from, Phase phase, const Kernel *k, const Operand *arg,
              const char *what);
void fold_step(Build *b, const Item *from, Phase phase, Operand partial, Operand acc, int64_t cols,
               int64_t rows, int64_t chunk);

/* grain.c: how sums over tokens are cut, as a function of the model alone. */
typedef struct Grain {
    int64_t rows;    /* of one piece */
    int64_t samples; /* 0: pieces divide a sample; s: a piece is s whole samples */
} Grain;
Grain grain_of(int64_t rows_per_sample, int64_t batch, int64_t least, int64_t most);
Grain grain_gemm(int64_t rows_per_sample, int64_t batch);
Grain grain_chunk(int64_t rows_per_sample, int64_t cols, int64_t batch);

/* buffers.c: storage of roots, lifetimes, offsets. */
int buffer_of(Build *b, Item *root);
int buffer_temp(Build *b, const char *path, DType t, int64_t bytes, bool batched);
void buffers_persistent(Build *b);
void lifetimes(Plan *p);
void offsets_assign(Plan *p, int64_t budget); /* of offsets_solve */

/* Rows of logits at once: a product of fewer is slow, more only take memory. */
enum { HEAD_ROWS = 1024 };

/* regions.c: the loss head in chunks; `logits` is its buffer, or -1. */
void region_of_head(Build *b, int logits);
void region_buffers(Plan *p);
bool step_uses(const Step *s, int buffer);
/* The last step of lo..hi, with those that fold its partial sums. */
int region_folds(const Plan *p, int lo, int hi, int end);

/* regions_cut.c: steps lo..hi (of the program that is built) made to run part by part of a sample,
 * at most so many rows each; `wide`: bytes of a sample's logits. false: some step needs samples
 * whole, nothing was done. */
bool region_cut(Build *b, int lo, int hi, int64_t wide, int64_t rows, int64_t most);

static inline int64_t aligned_dim(const Type *t,
                                  int axis) /* axes aligned to the right of BM_DIMS */
{
    int i = axis - (BM_DIMS - t->ndim);
    return i < 0 ? 1 : t->dim[i];
}
static inline int64_t aligned_stride(const Type *t, const int64_t *stride, int axis)
{
    int i = axis - (BM_DIMS - t->ndim);
    return i < 0 || t->dim[i] == 1 ? 0 : stride[i];
}

#endif
