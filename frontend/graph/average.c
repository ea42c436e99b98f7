/* average.c - an average as two sums, and the total of its weights before the first backward. */
#include "frontend/graph/fold.h"
#include "frontend/graph/rules.h"
#include "frontend/graph/train.h"

void stamp_graph(Graph *g, Span at, const char *path, int instance)
{
    g->at = at;
    g->path = path;
    g->name = NULL;
    g->cur_instance = instance;
}

static void stamp_average(Graph *g, const Average *a)
{
    stamp_graph(g, a->node->at, a->node->path, a->node->instance);
}

Average average_parts(Graph *g, Node *average)
{
    Average a = {.node = average, .coef = 1, .number = 1};
    stamp_average(g, &a);
    a.x = g_cast(g, average->in[0], DT_F32);
    a.full = a.x->type;
    if (average->n_in == 1)
        return a;
    Node *w = g_cast(g, average->in[1], DT_F32);
    broadcast_dims(&a.full, &w->type, &a.full);
    a.full.batched |= w->type.batched;
    double v;
    if (const_value(w, &v) && w->type.ndim == 0)
        a.number = v != 0;
    else
        a.w = w;
    return a;
}

static uint32_t all_axes(const Type *t)
{
    return (1u << t->ndim) - 1;
}

/* Over everything x has, the samples included. */
static Node *sum_all(Graph *g, Node *x)
{
    return g_reduce(g, x->type.batched ? OP_BATCH_SUM : OP_SUM, x, all_axes(&x->type));
}

Node *average_num(Graph *g, const Average *a)
{
    stamp_average(g, a);
    Node *w = a->w ? a->w : g_const(g, DT_F32, a->number);
    return sum_all(g, g2(g, OP_MUL, a->x, w));
}

static Node *sum_of_weight(Graph *g, const Average *a, Node *w)
{
    return sum_all(g, g_broadcast(g, w, &a->full));
}

Node *average_den(Graph *g, const Average *a)
{
    stamp_average(g, a);
    return sum_of_weight(g, a, a->w ? a->w : g_const(g, DT_F32, a->number));
}

static bool may_weigh(Graph *g, const Average *a, const Node *n)
{
    if (n->op == OP_PARAM) {
        diag_error(g->diag, a->node->at, "the weight of an average depends on the parameter `%s`",
                   n->path);
        diag_note(g->diag, n->at,
                  "the sum of all weights of the batch is needed before the first "
                  "backward, so they may depend on inputs only");
        return false;
    }
    if (is_accumulator(n)) {
        diag_error(g->diag, a->node->at, "the weight of an average depends on another average");
        diag_note(g->diag, n->at, "this is complete only after the last round of the batch");
        return false;
    }
    return true;
}

/* The weight's nodes once more, for the loop that runs before the rounds. Draws keep their site, so
 * both loops see the same numbers. */
static Node *clone_weight(Graph *g, const Average *a)
{
    NodeList list = graph_reach(g->arena, g, &a->w, 1);
    Node **copy = arena_array(g->arena, Node *, a->w->id + 1);
    for (int i = 0; i < list.n; i++) {
        Node *n = list.v[i];
        if (!may_weigh(g, a, n))
            return NULL;
        copy[n->id] = n;
        if (!n->type.batched)
            continue;
        Node **in = arena_array(g->arena, Node *, n->n_in + 1);
        for (int k = 0; k < n->n_in; k++)
            in[k] = copy[n->in[k]->id];
        stamp_graph(g, n->at, n->path, n->instance);
        copy[n->id] = graph_add(g, n->op, in, n->n_in, &n->attr, &n->type);
    }
    return copy[a->w->id];
}

Node *average_total(Graph *g, const Average *a, int64_t batch)
{
    stamp_average(g, a);
    if (!a->w) {
        double samples = a->full.batched ? (double)batch : 1;
        return g_const(g, DT_F32, a->number * samples * (double)type_count(&a->full));
    }
    g->weight = true;
    Node *w = clone_weight(g, a);
    stamp_average(g, a);
    Node *total = w ? sum_of_weight(g, a, w) : NULL;
    g->weight = false;
    return total;
}

Node *scalar(Graph *g, Node *x)
{
    return g_reshape(g, x, 0, x->type.dim);
}

Node *average_inverse(Graph *g, Node *total)
{
    Node *zero = g_const(g, DT_F32, 0), *one = g_const(g, DT_F32, 1);
    total = scalar(g, total);
    if (is_const(total, 0))
        return zero;
    return g3(g, OP_WHERE, g2(g, OP_EQ, total, zero), zero, g2(g, OP_DIV, one, total));
}
