/* autodiff_heavy.c - gradients of matrix products and attention. */
#include "frontend/graph/autodiff.h"

static Node *matmul(Graph *g, Node *a, Node *b)
{
    return g2(g, OP_MATMUL, a, b);
}

static Node *matmul_acc(Graph *g, Node *a, Node *b)
{
    return graph_add(g, OP_MATMUL_ACC, (Node *[]){a, b}, 2, NULL, NULL);
}

/* x as a matrix: leading axes become rows. */
static Node *rows(Graph *g, Node *x)
{
    int64_t width = x->type.dim[x->type.ndim - 1];
    int64_t dim[2] = {type_count(&x->type) / width, width};
    return g_reshape(g, x, 2, dim);
}

/* b [K, N] is one matrix for all samples and leading axes of a: db = sum of a' dy. */
static Node *grad_of_b(Graph *g, Node *a, Node *b, Node *dy)
{
    if (b->type.ndim == 2 && !b->type.batched)
        return dy->type.batched ? matmul_acc(g, a, dy)
                                : matmul(g, g_swap(g, rows(g, a)), rows(g, dy));
    return matmul(g, g_swap(g, a), dy);
}

/* The same for a [M, K]: da = sum of dy b' = sum over R of (dy')' (b'). */
static Node *grad_of_a(Graph *g, Node *a, Node *b, Node *dy)
{
    if (a->type.ndim == 2 && !a->type.batched && dy->type.batched)
        return matmul_acc(g, g_swap(g, dy), g_swap(g, b));
    return matmul(g, dy, g_swap(g, b));
}

void grad_matmul(Autodiff *ad, Node *n, Node *dy)
{
    Node *a = n->in[0], *b = n->in[1];
    if (wants(ad, a))
        give(ad, a, grad_of_a(ad->g, a, b, dy));
    if (wants(ad, b))
        give(ad, b, grad_of_b(ad->g, a, b, dy));
}

void grad_attention(Autodiff *ad, Node *n, Node *dy)
{
    Graph *g = ad->g;
    Node *in[8] = {n->in[0], n->in[1], n->in[2], n, g_part(g, n, 1), dy};
    for (int i = 3; i < n->n_in; i++)
        in[i + 3] = n->in[i];
    Node *d = graph_add(g, OP_ATTENTION_GRAD, in, n->n_in + 3, &n->attr, NULL);
    give(ad, n->in[0], d);
    for (int i = 1; i < 3; i++)
        if (wants(ad, n->in[i]))
            give(ad, n->in[i], g_part(g, d, i));
    if (n->attr.attention.has_bias && wants(ad, n->in[n->n_in - 1]))
        give(ad, n->in[n->n_in - 1], g_part(g, d, 3));
}
