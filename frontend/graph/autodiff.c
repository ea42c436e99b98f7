/* autodiff.c - reverse mode: the gradients of some nodes as ordinary nodes.
 *
 * Nodes are visited from the last to the first, so everything that reads a node has given its share
 * before the node passes its gradient on; shares are added in that order. */
#include "frontend/graph/autodiff.h"
#include "frontend/graph/model.h"

#include <string.h>

void grad_none(Autodiff *ad, Node *n, Node *dy)
{
    (void)dy;
    diag_error(ad->g->diag, n->at, "`%s` in `%s` has no gradient", op_info[n->op].name, n->path);
    diag_help(ad->g->diag, "`detach(..)` stops the gradient here");
}

static GradFn *const rule[N_OPS] = {
#define OP(id, name, sizes, gradient, cost, kernel) [OP_##id] = grad_##gradient,
#include "frontend/graph/ops.def"
#undef OP
};

Node *sum_to(Graph *g, Node *d, const Type *to)
{
    int lead = d->type.ndim - to->ndim;
    uint32_t axes = 0;
    for (int i = 0; i < d->type.ndim; i++)
        if (i < lead || (to->dim[i - lead] == 1 && d->type.dim[i] != 1))
            axes |= 1u << i;
    if (d->type.batched && !to->batched)
        d = g_reduce(g, OP_BATCH_SUM, d, axes);
    else if (axes)
        d = g_reduce(g, OP_SUM, d, axes);
    if (type_count(&d->type) != type_count(to))
        return d; /* narrower than `to`: broadcasts */
    return g_reshape(g, d, to->ndim, to->dim);
}

void give(Autodiff *ad, Node *x, Node *d)
{
    Graph *g = ad->g;
    if (!wants(ad, x))
        return;
    d = g_broadcast(g, sum_to(g, d, &x->type), &x->type);
    Node **sum = &ad->sum[x->id];
    *sum = *sum ? g2(g, OP_ADD, *sum, d) : d;
}

void give_piece(Autodiff *ad, Node *x, Node *d, int axis, int64_t lo, int64_t hi)
{
    if (!wants(ad, x))
        return;
    Piece *p = arena_make(ad->g->arena, Piece);
    *p = (Piece){.next = ad->cut[x->id], .dy = d, .axis = axis, .lo = lo, .hi = hi};
    ad->cut[x->id] = p;
}

/* Takes the pieces along one axis that lie side by side, in order; the rest stays in *cut. At least
 * one is taken: the one with the lowest `lo` along the newest piece's axis. */
static int take_row(Piece **cut, Piece **row)
{
    int axis = (*cut)->axis, n = 0;
    for (int64_t end = 0;;) {
        Piece **best = NULL;
        for (Piece **p = cut; *p; p = &(*p)->next)
            if ((*p)->axis == axis && (*p)->lo >= end && (!best || (*p)->lo < (*best)->lo))
                best = p;
        if (!best)
            return n;
        row[n++] = *best;
        end = (*best)->hi;
        *best = (*best)->next;
    }
}

/* Slices that tile an axis (a split) come back as one concatenation, with zeros in the gaps. */
static void join_pieces(Autodiff *ad, Node *x)
{
    Graph *g = ad->g;
    Piece **cut = &ad->cut[x->id];
    int n = 0;
    for (Piece *p = *cut; p; p = p->next)
        n++;
    Piece **row = arena_array(g->arena, Piece *, n + 1);
    Node **part = arena_array(g->arena, Node *, n + 1);
    while (*cut) {
        int k = take_row(cut, row), axis = row[0]->axis;
        int64_t end = 0;
        for (int i = 0; i < k; i++) {
            int64_t next = i + 1 < k ? row[i + 1]->lo : x->type.dim[axis];
            part[i] = g_pad(g, row[i]->dy, axis, row[i]->lo - end, next - row[i]->hi);
            end = next;
        }
        give(ad, x, g_concat(g, part, k, axis));
    }
}

/* Results that are constant almost everywhere: the gradient is 0, so nothing passes. */
static bool is_flat(Op op)
{
    return op == OP_FLOOR || op == OP_SIGN || op == OP_DETACH;
}

static void mark_needed(Autodiff *ad, Node *const wrt[], int n_wrt)
{
    for (int i = 0; i < n_wrt; i++)
        ad->need[wrt[i]->id] = true;
    for (int id = 0; id < ad->n; id++) {
        const Node *n = ad->g->node.v[id];
        if (n->type.dtype != DT_F32 || is_flat(n->op))
            continue;
        for (int i = 0; i < n->n_in; i++)
            ad->need[id] |= ad->need[n->in[i]->id];
    }
}

static void stamp(Graph *g, const Node *n)
{
    g->at = n->at;
    g->path = n->path;
    g->name = n->name;
    g->cur_instance = n->instance;
}

static bool leads_on(const Autodiff *ad, const Node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (wants(ad, n->in[i]))
            return true;
    return false;
}

static void sweep(Autodiff *ad)
{
    for (int id = ad->n - 1; id >= 0; id--) {
        Node *n = ad->g->node.v[id];
        if (ad->cut[id])
            join_pieces(ad, n); /* stamped with the reader that came last */
        if (!ad->sum[id] || !leads_on(ad, n))
            continue;
        stamp(ad->g, n);
        rule[n->op](ad, n, ad->sum[id]);
    }
}

bool autodiff(Graph *g, Node *const y[], Node *const seed[], int n_y, Node *const wrt[],
              Node *grad[], int n_wrt)
{
    Graph saved = *g;
    int errors = g->diag->errors;
    Autodiff ad = {.g = g, .n = g->node.n};
    ad.need = arena_array(g->arena, bool, ad.n + 1);
    ad.sum = arena_array(g->arena, Node *, ad.n + 1);
    ad.cut = arena_array(g->arena, Piece *, ad.n + 1);
    mark_needed(&ad, wrt, n_wrt);
    g->backward = true;
    for (int i = 0; i < n_y; i++) {
        stamp(g, y[i]);
        give(&ad, y[i], seed[i]);
    }
    sweep(&ad);
    for (int i = 0; i < n_wrt; i++)
        grad[i] = ad.sum[wrt[i]->id];
    stamp(g, &(Node){.at = saved.at,
                     .path = saved.path,
                     .name = saved.name,
                     .instance = saved.cur_instance});
    g->backward = saved.backward;
    return g->diag->errors == errors;
}
