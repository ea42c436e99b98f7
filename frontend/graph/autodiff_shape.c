/* autodiff_shape.c - gradients of views, reductions, row ops and indices. */
#include "frontend/graph/autodiff.h"

#include <string.h>

static Node *num(Autodiff *ad, double v)
{
    return g_const(ad->g, DT_F32, v);
}

void grad_reshape(Autodiff *ad, Node *n, Node *dy)
{
    const Type *x = &n->in[0]->type;
    give(ad, n->in[0], g_reshape(ad->g, dy, x->ndim, x->dim));
}

void grad_transpose(Autodiff *ad, Node *n, Node *dy)
{
    int inverse[BM_DIMS] = {0};
    for (int i = 0; i < n->type.ndim; i++)
        inverse[n->attr.transpose.perm[i]] = i;
    give(ad, n->in[0], g_transpose(ad->g, dy, inverse));
}

void grad_slice(Autodiff *ad, Node *n, Node *dy)
{
    give_piece(ad, n->in[0], dy, n->attr.slice.axis, n->attr.slice.lo, n->attr.slice.hi);
}

void grad_broadcast(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], dy); /* give() sums over what was broadcast */
}

void grad_pad(Autodiff *ad, Node *n, Node *dy)
{
    int axis = n->attr.pad.axis;
    int64_t lo = n->attr.pad.before, size = n->in[0]->type.dim[axis];
    give(ad, n->in[0], g_slice(ad->g, dy, axis, lo, lo + size));
}

void grad_concat(Autodiff *ad, Node *n, Node *dy)
{
    int axis = n->attr.concat.axis;
    int64_t lo = 0;
    for (int i = 0; i < n->n_in; i++) {
        int64_t hi = lo + n->in[i]->type.dim[axis];
        if (wants(ad, n->in[i]))
            give(ad, n->in[i], g_slice(ad->g, dy, axis, lo, hi));
        lo = hi;
    }
}

void grad_sum(Autodiff *ad, Node *n, Node *dy)
{
    give(ad, n->in[0], dy); /* give() broadcasts */
}

/* As torch.amax: equal largest elements share the gradient evenly. */
void grad_max_of(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *x = n->in[0], *hit = g2(g, OP_EQ, x, n);
    Node *count = g_reduce(g, OP_SUM, g_cast(g, hit, DT_F32), n->attr.reduce.axes);
    give(ad, x, g3(g, OP_WHERE, hit, g2(g, OP_DIV, dy, count), num(ad, 0)));
}

void grad_softmax(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *sum = g_reduce(g, OP_SUM, g2(g, OP_MUL, dy, n), n->attr.reduce.axes);
    give(ad, n->in[0], g2(g, OP_MUL, n, g2(g, OP_SUB, dy, sum)));
}

void grad_logsumexp(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *x = n->in[0];
    give(ad, x, g2(g, OP_MUL, dy, g1(g, OP_EXP, g2(g, OP_SUB, x, n))));
}

void grad_cumsum(Autodiff *ad, Node *n, Node *dy)
{
    Attr a = n->attr;
    a.cumsum.reverse = !a.cumsum.reverse;
    give(ad, n->in[0], graph_add(ad->g, OP_CUMSUM, &dy, 1, &a, NULL));
}

/* x [...] as [..., 1] */
static Node *column(Graph *g, Node *x)
{
    int64_t dim[BM_DIMS + 1] = {0};
    memcpy(dim, x->type.dim, sizeof x->type.dim);
    dim[x->type.ndim] = 1;
    return g_reshape(g, x, x->type.ndim + 1, dim);
}

/* dy where position along the last axis, of `size`, is idx; 0 elsewhere: [..., size]. */
static Node *placed(Autodiff *ad, Node *idx, Node *dy, int64_t size)
{
    Graph *g = ad->g;
    Type row = {.dtype = DT_INT, .ndim = 1, .dim = {size}};
    Node *at = g2(g, OP_EQ, column(g, idx), g_iota(g, &row, 0, 0, 1));
    return g3(g, OP_WHERE, at, column(g, dy), num(ad, 0));
}

static void too_deep(Autodiff *ad, const Node *n)
{
    diag_error(ad->g->diag, n->at, "the gradient of `%s` needs more than %d axes",
               op_info[n->op].name, BM_DIMS);
}

void grad_top_k(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *x = n->in[0];
    int last = x->type.ndim - 1;
    if (x->type.ndim == BM_DIMS) {
        too_deep(ad, n);
        return;
    }
    Node *d = placed(ad, g_part(g, n, 1), dy, x->type.dim[last]);
    d = g_reduce(g, OP_SUM, d, 1u << last);
    give(ad, x, g_squeeze(g, d, 1u << last));
}

void grad_pick(Autodiff *ad, Node *n, Node *dy)
{
    Node *x = n->in[0];
    give(ad, x, placed(ad, n->in[1], dy, x->type.dim[x->type.ndim - 1]));
}

/* A table with one copy per sample: its gradient is a product with the one-hot rows. */
static Node *scatter_in_sample(Graph *g, Node *idx, Node *dy, const Type *table)
{
    int64_t n = type_count(&idx->type), rows = table->dim[0], width = type_count(table) / rows;
    int64_t flat[] = {n}, matrix[] = {n, width};
    Node *i = g_reshape(g, idx, 1, flat);
    Attr a = {.scatter = {rows}};
    Node *hot = graph_add(g, OP_ONE_HOT, &i, 1, &a, NULL);
    Node *d = g2(g, OP_MATMUL, g_swap(g, hot), g_reshape(g, dy, 2, matrix));
    return g_reshape(g, d, table->ndim, table->dim);
}

void grad_gather(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *table = n->in[0], *idx = n->in[1];
    if (table->type.batched) {
        give(ad, table, scatter_in_sample(g, idx, dy, &table->type));
        return;
    }
    Attr a = {.scatter = {table->type.dim[0]}};
    give(ad, table, graph_add(g, OP_SCATTER, (Node *[]){idx, dy}, 2, &a, NULL));
}
