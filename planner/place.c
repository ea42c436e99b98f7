/* place.c - where every value lies: views become strides, what cannot be a view becomes a copy.
 *
 * A virtual item (IOTA) has a place too: its "memory" is the number line, stride is its step, so
 * views of it compose alike. */
#include "planner/build.h"

#include <string.h>

static void row_major(const Type *t, int64_t *stride)
{
    int64_t n = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        stride[i] = n;
        n *= t->dim[i];
    }
}

Layout place_contiguous(Item *root, const Type *t)
{
    Layout p = {.root = root};
    row_major(t, p.stride);
    p.batch = t->batched ? type_count(t) : 0;
    return p;
}

bool is_contiguous(const Item *i)
{
    Layout c = place_contiguous(i->place.root, &i->type);
    for (int k = 0; k < i->type.ndim; k++)
        if (i->type.dim[k] != 1 && i->place.stride[k] != c.stride[k])
            return false;
    return !i->type.batched || i->place.batch == c.batch;
}

/* The strides of the same elements under another shape, if there are any: runs of axes that lie one
 * in another are taken together and cut again (batch apart). */
bool place_reshape(const Layout *p, const Type *from, const Type *to, Layout *out)
{
    *out = *p;
    memset(out->stride, 0, sizeof out->stride);
    int i = 0, j = 0;
    while (i < from->ndim || j < to->ndim) {
        int64_t nf = i < from->ndim ? from->dim[i] : 1, nt = j < to->ndim ? to->dim[j] : 1;
        int i0 = i, j0 = j;
        i = i < from->ndim ? i + 1 : i;
        j = j < to->ndim ? j + 1 : j;
        while (nf != nt) {
            if (nf < nt)
                nf *= from->dim[i++];
            else
                nt *= to->dim[j++];
        }
        /* axes i0..i-1 must be one run: stride[k] = stride[k + 1] * dim[k + 1], size 1 aside */
        int64_t inner = 0, run = 0;
        for (int k = i - 1; k >= i0; k--) {
            if (from->dim[k] == 1)
                continue;
            if (run && p->stride[k] != run)
                return false;
            if (!run)
                inner = p->stride[k];
            run = p->stride[k] * from->dim[k];
            if (run == 0 && from->dim[k] > 1)
                run = -1; /* a broadcast axis: only itself may be in its run */
        }
        if (run == -1 && i - i0 > 1) {
            int wide = 0;
            for (int k = i0; k < i; k++)
                wide += from->dim[k] > 1;
            bool all_zero = true;
            for (int k = i0; k < i; k++)
                all_zero = all_zero && (from->dim[k] == 1 || p->stride[k] == 0);
            if (wide > 1 && !all_zero)
                return false;
        }
        for (int k = j - 1; k >= j0; k--) {
            out->stride[k] = inner;
            inner *= to->dim[k];
        }
    }
    return true;
}

static bool place_view(const Item *i, Layout *out)
{
    const Item *x = i->in[0];
    *out = x->place;
    switch (i->op) {
    case OP_DETACH:
    case OP_GRAD:
        return true;
    case OP_RESHAPE:
        return place_reshape(&x->place, &x->type, &i->type, out);
    case OP_TRANSPOSE:
        for (int k = 0; k < i->type.ndim; k++)
            out->stride[k] = x->place.stride[i->attr.transpose.perm[k]];
        return true;
    case OP_SLICE:
        out->offset += i->attr.slice.lo * x->place.stride[i->attr.slice.axis];
        return true;
    case OP_BROADCAST:
        memset(out->stride, 0, sizeof out->stride);
        for (int k = 0; k < x->type.ndim; k++) {
            int to = k + i->type.ndim - x->type.ndim;
            out->stride[to] = x->type.dim[k] == 1 && i->type.dim[to] != 1 ? 0 : x->place.stride[k];
        }
        return true;
    default:
        BUG("'%s' is not a view", op_info[i->op].name);
    }
}

Layout place_of_join(const Item *join, int axis, int64_t at, const Type *t)
{
    Layout p = join->place;
    p.offset += at * p.stride[axis];
    (void)t;
    return p;
}

static void place_virtual(Item *i)
{
    i->place.root = i;
    if (i->op == OP_IOTA) {
        i->place.offset = i->attr.iota.start;
        i->place.stride[i->attr.iota.axis] = i->attr.iota.step;
    } else if (i->op == OP_SAMPLE_INDEX) {
        i->place.batch = 1;
    }
}

/* Storage of its own, or a piece of a concatenation made later (whose place is found first). */
static void place_own(Item *i)
{
    if (i->place.root)
        return;
    if (!i->join) {
        i->place = place_contiguous(i, &i->type);
        return;
    }
    place_own(i->join);
    i->place = place_of_join(i->join, i->join_axis, i->join_at, &i->type);
}

/* `x`, broadcast to `t`, written out in storage of its own, as item `at` of the order. */
Item *copy_at(Build *b, Item *x, const Type *t, int at, Phase phase)
{
    Item *c = item_new(b, x->node, OP_DETACH, t, 1);
    c->cls = IC_FUSE;
    c->in[0] = x;
    c->phase = phase;
    c->place = place_contiguous(c, &c->type);
    /* moved from the end of the list to its turn */
    memmove(b->item.v + at + 1, b->item.v + at, (size_t)(b->item.n - 1 - at) * sizeof *b->item.v);
    b->item.v[at] = c;
    for (int k = at; k < b->item.n; k++)
        b->item.v[k]->id = k;
    return c;
}

/* Where a kernel needs memory: a copy right before it. */
static Item *copy_before(Build *b, Item *x, const Type *t, const Item *before)
{
    Item *c = copy_at(b, x, t, before->id, before->phase);
    c->backward = before->backward;
    c->recompute = before->recompute;
    c->again = before->again;
    return c;
}

/* The innermost two axes must be a matrix with one unit stride, the axes before them one run of
 * products. */
static bool is_matrix(const Item *x)
{
    const Type *t = &x->type;
    const int64_t *s = x->place.stride;
    int r = t->ndim - 2, c = t->ndim - 1;
    if (t->dim[c] != 1 && s[c] != 1 && t->dim[r] != 1 && s[r] != 1)
        return false;
    if ((t->dim[c] != 1 && s[c] == 0) || (t->dim[r] != 1 && s[r] == 0))
        return false;
    int64_t run = 0;
    for (int k = r - 1; k >= 0; k--) {
        if (t->dim[k] == 1)
            continue;
        if (run && s[k] != run)
            return false;
        run = s[k] * t->dim[k];
        if (!run)
            return false;
    }
    return true;
}

/* A sum over rows folds samples, leading axes and rows into one run of rows, columns contiguous. */
static bool is_tall(const Item *x)
{
    const Type *t = &x->type;
    const int64_t *s = x->place.stride;
    int64_t cols = t->dim[t->ndim - 1], run = 0;
    if (cols != 1 && s[t->ndim - 1] != 1)
        return false;
    for (int k = t->ndim - 2; k >= 0; k--) {
        if (t->dim[k] == 1)
            continue;
        if (s[k] < cols || (run && s[k] != run))
            return false;
        run = s[k] * t->dim[k];
    }
    return !t->batched || (x->place.batch >= cols && (!run || x->place.batch == run));
}

static int kept_axes(const Item *batch_sum)
{
    int n = 0;
    for (int k = 0; k < batch_sum->type.ndim; k++)
        n += batch_sum->type.dim[k] > 1;
    return n;
}

/* A product's operand with the leading axes it must have: all of the result's where it has some of
 * them, for matrices are one stride apart. */
static Type with_lead(const Item *user, const Item *x)
{
    Type t = x->type;
    const Type *z = &user->type;
    bool all = true, none = true;
    for (int k = 0; k < z->ndim - 2; k++) {
        int own = k - (z->ndim - t.ndim);
        int64_t n = own < 0 ? 1 : t.dim[own];
        all = all && n == z->dim[k];
        none = none && n == 1;
    }
    if (user->op != OP_MATMUL || all || none)
        return t;
    for (int k = 0; k < z->ndim; k++)
        t.dim[k] = k < z->ndim - 2 ? z->dim[k] : x->type.dim[k - (z->ndim - x->type.ndim)];
    t.ndim = z->ndim;
    return t;
}

static bool widens(const Item *user, const Item *x)
{
    Type t = with_lead(user, x);
    return !type_same(&t, &x->type);
}

/* Operands a kernel can only read from plain memory, or with few strides. */
static bool needs_copy(const Item *user, int k)
{
    const Item *x = user->in[k];
    bool virtual_x = x->place.root->cls == IC_VIRTUAL;
    switch (user->op) {
    case OP_MATMUL:
        return virtual_x || !is_matrix(x) || widens(user, x);
    case OP_MATMUL_ACC:
        return virtual_x || !is_tall(x);
    case OP_ATTENTION:
    case OP_ATTENTION_GRAD:
    case OP_CUMSUM:
    case OP_TOP_K:
    case OP_SCATTER:
        return virtual_x;
    case OP_SUM_SQUARES:
        return virtual_x || !is_contiguous(x);
    case OP_GATHER:
    case OP_PICK:
        return k == 0 && virtual_x;
    case OP_BATCH_SUM: /* one column after the other: any strides; several axes as one row: a run */
        return !virtual_x && kept_axes(user) > 1 && !is_contiguous(x);
    default:
        return false;
    }
}

static void copy_operands(Build *b, Item *i)
{
    for (int k = 0; k < i->n_in; k++) {
        if (i->cls == IC_JOIN || i->cls == IC_PART || !needs_copy(i, k))
            continue;
        Item *x = i->in[k];
        Type t = with_lead(i, x);
        Item *c = copy_before(b, x, &t, i);
        for (int j = k; j < i->n_in; j++)
            if (i->in[j] == x) /* a product of x with itself has no leading axes to widen */
                i->in[j] = c;
    }
}

void places_assign(Build *b)
{
    for (int n = 0; n < b->item.n; n++) {
        Item *i = b->item.v[n];
        switch (i->cls) {
        case IC_VIRTUAL:
            place_virtual(i);
            break;
        case IC_VIEW:
            if (!place_view(i, &i->place)) {
                i->cls = IC_FUSE; /* no strides say it: copied, in the operand's order */
                i->place.root = NULL;
                place_own(i);
            }
            break;
        case IC_LEAF:
        case IC_FUSE:
        case IC_HEAVY:
        case IC_JOIN:
        case IC_PART:
            place_own(i);
            copy_operands(b, i);
            break;
        }
        n = i->id; /* copies were put before it */
    }
}
