/* fused.h - a FUSED kernel while it is made: fused.c adds instructions, fused_store.c the stores,
 * fused_axes.c merges axes and finds rows and stages. Private to planner/. */
#ifndef BM_FUSED_H
#define BM_FUSED_H

#include "planner/build.h"

typedef struct Fuser {
    Build *b;
    const Group *g;
    Kernel *k;
    Fused *f;
    Operand *arg;
    Item **arg_root;    /* by argument: whose storage */
    int axis[MAX_AXES]; /* before merging: the aligned axis, -1: the batch */
    int n_axis, n_outer;
    VEC(const Item *) loaded; /* what each load instruction read, for reuse */
    VEC(int) load_ins;
    VEC(Item *) to_store; /* after all loads: a result may take the place of an operand */
} Fuser;

int fused_add(Fuser *u, Ins n);
int fused_cast(Fuser *u, int value, DType t);
int fused_access(Fuser *u, Item *root, const Type *t, const Layout *p, bool written);
/* Strides over the domain's axes of something of type `t` that lies in these strides. */
void fused_strides(const Fuser *u, const Type *t, int64_t batch, const int64_t *stride,
                   int64_t *out);
Ins fused_blank(InsKind kind, Op op, DType t);
const char *fused_name(const Item *i);

void fused_stores(Fuser *u); /* after every value was made */
void fused_merge_axes(Fuser *u);
void fused_rows(Fused *f);
void fused_count(const Fuser *u); /* flops and bytes */
int64_t fused_bytes(const Kernel *k);

#endif
