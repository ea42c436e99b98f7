/* items.c - nodes become items: phases in order, reductions in a form kernels know, concatenations
 * in pieces. */
#include "planner/flat.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static ItemClass class_of(Op op)
{
    const char *k = op_info[op].kernel;
    switch (k[0]) {
    case 'L': /* LEAF */
        return IC_LEAF;
    case 'I': /* INDEX */
        return op == OP_RANDOM ? IC_FUSE : IC_VIRTUAL;
    case 'V': /* VIEW */
        return IC_VIEW;
    default:
        break;
    }
    switch (op) {
    case OP_CONCAT:
    case OP_PAD:
        return IC_JOIN;
    case OP_MATMUL:
    case OP_MATMUL_ACC:
    case OP_ATTENTION:
    case OP_ATTENTION_GRAD:
    case OP_CUMSUM:
    case OP_TOP_K:
    case OP_SCATTER:
    case OP_SUM_SQUARES:
        return IC_HEAVY;
    case OP_PART:
        return IC_PART;
    case OP_DETACH: /* once gradients are made it is its operand */
        return IC_VIEW;
    default:
        return IC_FUSE;
    }
}

Item *item_new(Build *b, const Node *n, Op op, const Type *t, int n_in)
{
    Item *i = arena_make(b->a, Item);
    i->id = b->item.n;
    i->node = n;
    i->op = op;
    i->type = *t;
    i->phase = n->phase;
    i->cls = class_of(op);
    i->in = arena_array(b->a, Item *, n_in > 0 ? n_in : 1);
    i->n_in = n_in;
    i->backward = n->backward;
    i->recompute = n->recompute;
    i->buffer = -1;
    vec_push(b->a, &b->item, i);
    return i;
}

Item *item_of(const Build *b, const Node *n)
{
    Item *i = b->of_node[n->id];
    if (!i)
        BUG("node %%%d (%s) is not part of the program", n->id, op_info[n->op].name);
    return i;
}

static Item *unary_item(Build *b, const Node *n, Op op, const Type *t, Item *x)
{
    Item *i = item_new(b, n, op, t, 1);
    i->in[0] = x;
    return i;
}

/* A reduction over several axes is one over each, the last axis first: each is a row reduction. */
static Item *reduce_axes(Build *b, const Node *n, Op op, Item *x, uint32_t axes)
{
    for (int axis = BM_DIMS - 1; axis >= 0; axis--) {
        if (!(axes >> axis & 1) || x->type.dim[axis] == 1)
            continue;
        Type t = x->type;
        t.dim[axis] = 1;
        x = unary_item(b, n, op, &t, x);
        x->attr.reduce.axes = 1u << axis;
    }
    return x;
}

static Item *make_reduce(Build *b, const Node *n, Item *x)
{
    Item *r = reduce_axes(b, n, n->op, x, n->attr.reduce.axes);
    if (r != x)
        return r;
    return unary_item(b, n, OP_DETACH, &n->type, x); /* axes of size 1: nothing to reduce */
}

/* The batch is summed over the leading axes of rows (columns stay), or after each sample was
 * reduced by itself. */
static Item *make_batch_sum(Build *b, const Node *n, Item *x)
{
    const Type *t = &x->type;
    uint32_t axes = 0, rest = 0;
    bool prefix = true, seen_kept = false;
    for (int i = 0; i < t->ndim; i++) {
        if (t->dim[i] == 1)
            continue;
        if (n->attr.reduce.axes >> i & 1) {
            axes |= 1u << i;
            prefix = prefix && !seen_kept;
        } else {
            rest |= 1u << i;
            seen_kept = true;
        }
    }
    if (!prefix || !rest) { /* scalars too: a sample's sum has lanes, a plain column has not */
        x = reduce_axes(b, n, OP_SUM, x, axes);
        axes = 0;
    }
    Item *i = unary_item(b, n, OP_BATCH_SUM, &n->type, x);
    i->attr.reduce.axes = axes;
    return i;
}

/* Can `x` write its value straight into a piece of a larger tensor? */
static bool can_write_piece(const Item *x, const Node *join)
{
    if (x->join || x->phase != join->phase || x->type.batched != join->type.batched)
        return false;
    switch (x->cls) {
    case IC_JOIN:
        return true;
    case IC_FUSE:
        return x->op != OP_BATCH_SUM && x->op != OP_ASSIGN;
    case IC_HEAVY:
        return x->op == OP_MATMUL || x->op == OP_ATTENTION || x->op == OP_ATTENTION_GRAD ||
               x->op == OP_SUM_SQUARES;
    case IC_PART:
        return x->in[0]->op == OP_ATTENTION_GRAD;
    case IC_LEAF:
    case IC_VIRTUAL:
    case IC_VIEW:
        return false;
    }
    BUG("item class %d", x->cls);
}

static Item *zeros(Build *b, const Node *n, int axis, int64_t count)
{
    Type t = n->type;
    t.dim[axis] = count;
    t.batched = false;
    Item *z = item_new(b, n, OP_CONST, &t, 0);
    z->cls = IC_VIRTUAL;
    return z;
}

/* A concatenation is storage; its pieces are written in place by who makes them, or copied by an
 * item of its own. */
static Item *make_join(Build *b, const Node *n)
{
    bool pad = n->op == OP_PAD;
    int axis = pad ? n->attr.pad.axis : n->attr.concat.axis;
    ItemList piece = {0};
    if (pad && n->attr.pad.before)
        vec_push(b->a, &piece, zeros(b, n, axis, n->attr.pad.before));
    for (int k = 0; k < n->n_in; k++)
        vec_push(b->a, &piece, item_of(b, n->in[k]));
    if (pad && n->attr.pad.after)
        vec_push(b->a, &piece, zeros(b, n, axis, n->attr.pad.after));
    for (int k = 0; k < piece.n; k++) {
        Item *x = piece.v[k];
        bool twice = false;
        for (int j = 0; j < k; j++)
            twice = twice || piece.v[j] == x;
        if (!twice && can_write_piece(x, n))
            continue;
        Type t = x->type;
        t.batched = n->type.batched;
        piece.v[k] = unary_item(b, n, OP_DETACH, &t, x);
        piece.v[k]->cls = IC_FUSE; /* a copy */
    }
    Item *join = item_new(b, n, n->op, &n->type, piece.n);
    int64_t at = 0;
    for (int k = 0; k < piece.n; k++) {
        join->in[k] = piece.v[k];
        piece.v[k]->join = join;
        piece.v[k]->join_axis = axis;
        piece.v[k]->join_at = at;
        at += piece.v[k]->type.dim[axis];
    }
    return join;
}

/* A sample's own loss takes one logit of each of its rows: when rows come part by part (regions.c),
 * that is done row by row, and what is picked is summed when all are there. */
enum { APART_PICK = INT_MAX };

static Item *make_item(Build *b, const Node *n)
{
    if (n->op == OP_SUM || n->op == OP_MAX_OF)
        return make_reduce(b, n, item_of(b, n->in[0]));
    if (n->op == OP_BATCH_SUM)
        return make_batch_sum(b, n, item_of(b, n->in[0]));
    if (n->op == OP_ARGMAX &&
        item_of(b, n->in[0])->type.dim[__builtin_ctz(n->attr.reduce.axes)] == 1)
        return item_new(b, n, OP_CONST, &n->type, 0); /* of one column: always the first */
    if (n->op == OP_CONCAT || n->op == OP_PAD)
        return make_join(b, n);
    Item *i = item_new(b, n, n->op, &n->type, n->n_in);
    i->attr = n->attr;
    for (int k = 0; k < n->n_in; k++)
        i->in[k] = item_of(b, n->in[k]);
    if (i->cls == IC_PART)
        vec_push(b->a, &i->in[0]->part, i);
    if (n->op == OP_PICK && type_count(&n->type) > HEAD_ROWS)
        i->apart = APART_PICK;
    if (i->op == OP_PARAM && b->plan->param_group[i->attr.leaf.leaf] >= 0) {
        i->buffer = b->plan->group.v[b->plan->param_group[i->attr.leaf.leaf]].params;
        i->base = b->plan->param_at[i->attr.leaf.leaf];
    }
    return i;
}

/* Where a sum over the batch is kept: its place in the flat gradients, or beside all the other sums
 * of its loop. */
static void place_sum(Build *b, const Node *n, Item *i)
{
    if (!is_accumulator(n) || i->join || i->type.dtype != DT_F32)
        return;
    const Bound *x = &b->bound[n->id];
    if (x->beside)
        return; /* memory of its own */
    if (x->group) {
        i->buffer = b->plan->group.v[x->group - 1].grads;
        i->base = x->at;
        return;
    }
    i->buffer = buffer_sums(b, n->phase, type_count(&i->type), &i->base);
}

/* Several sums make one gradient: those beside it are added once all rounds are done, so that how
 * many rounds there are does not matter. (Where rounds are added up elsewhere: in each.) */
static void add_beside(Build *b, const Node *into)
{
    const Plan *p = b->plan;
    bool each = p->invariant || (p->reduced && p->ranks > 1);
    for (int k = 0; k < b->prog->graph->node.n; k++) {
        if (b->bound[k].beside != into)
            continue;
        Item *to = item_of(b, into), *x = item_of(b, b->prog->graph->node.v[k]);
        Item *sum = item_new(b, x->node, OP_ADD, &to->type, 2);
        sum->cls = IC_FUSE;
        sum->phase = PHASE_ROUND;
        sum->in[0] = to;
        sum->in[1] = x;
        sum->copies = true;
        sum->place = place_contiguous(to, &to->type);
        sum->apart = -1 - k;
        sum->when = p->rounds > 1 && !each ? WHEN_LAST : WHEN_ALWAYS;
        x->beside = to->buffer + 1;
    }
}

/* A gradient that is more than a sum over the batch: written to its place once it is complete. */
static Item *copy_gradient(Build *b, int param)
{
    const FlatGroup *g = &b->plan->group.v[b->plan->param_group[param]];
    Item *x = item_of(b, b->grad_node[param]);
    Item *c = unary_item(b, b->grad_node[param], OP_DETACH, &b->grad_node[param]->type, x);
    c->cls = IC_FUSE;
    c->phase = PHASE_POST;
    c->copies = true;
    c->place = place_contiguous(b->flat[g->id].whole, &c->type);
    c->place.offset = b->plan->param_at[param];
    return c;
}

/* Of all flat gradients; after what is copied there. */
static void make_norm(Build *b, const Node *n)
{
    ItemList in = {0};
    for (int k = 0; k < b->copied.n; k++)
        vec_push(b->a, &in, copy_gradient(b, b->copied.v[k]));
    for (int k = 0; k < b->plan->group.n; k++)
        if (b->flat[k].grad)
            vec_push(b->a, &in, b->flat[k].grad);
    Item *i = item_new(b, n, n->op, &n->type, in.n);
    memcpy(i->in, in.v, (size_t)in.n * sizeof *in.v);
    b->of_node[n->id] = i;
}

static int by_phase(const void *x, const void *y)
{
    const Node *a = *(const Node *const *)x, *b = *(const Node *const *)y;
    if (a->phase != b->phase)
        return a->phase < b->phase ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void items_make(Build *b)
{
    flat_bind(b);
    flat_leaves(b);
    const Graph *g = b->prog->graph;
    bool *need = flat_needed(b);
    VEC(const Node *) all = {0};
    for (int k = 0; k < g->node.n; k++)
        if (need[k])
            vec_push(b->a, &all, g->node.v[k]);
    qsort(all.v, (size_t)all.n, sizeof *all.v, by_phase);
    b->of_node = arena_array(b->a, Item *, g->node.n);
    for (int k = 0; k < all.n; k++) {
        const Node *n = all.v[k];
        if (b->flat && n == flat_norm(b->prog)) {
            make_norm(b, n);
            continue;
        }
        b->of_node[n->id] = make_item(b, n);
        place_sum(b, n, b->of_node[n->id]);
        if (b->bound[n->id].completes)
            add_beside(b, b->bound[n->id].completes);
    }
    for (int k = 0; k < b->prog->root.n && b->flat; k++)
        if (b->prog->root.v[k]->op == OP_ASSIGN)
            flat_update(b, b->prog->root.v[k]);
}
