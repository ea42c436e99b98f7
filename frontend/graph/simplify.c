/* simplify.c - the graph once more, without what nobody needs and in ops that have kernels.
 *
 * Every pass builds a new graph from the reachable nodes in their order, so ids stay dense and the
 * order stays an order of execution; passes repeat until nothing goes away any more. */
#include "frontend/graph/fold.h"
#include "frontend/graph/train.h"

#include <math.h>
#include <string.h>

void protect_assigned(Program *p)
{
    Graph *g = p->graph;
    for (int i = 0; i < p->root.n; i++) {
        Node *n = p->root.v[i];
        if (n->op != OP_ASSIGN)
            continue;
        Node *from = n->in[1];
        while (is_view(from->op))
            from = from->in[0];
        bool storage = from->op == OP_BUFFER || from->op == OP_PARAM || from->op == OP_STATE;
        if (!storage || n->in[1] == n->in[0])
            continue;
        stamp_graph(g, n->at, n->path, n->instance);
        Node *copy = graph_add(g, OP_DETACH, &n->in[1], 1, NULL, NULL);
        p->root.v[i] = graph_add(g, OP_ASSIGN, (Node *[]){n->in[0], copy}, 2, NULL, NULL);
    }
}

static Node *expand_softmax(Graph *g, Node *x, uint32_t axes)
{
    Node *top = g_reduce(g, OP_MAX_OF, x, axes);
    Node *e = g1(g, OP_EXP, g2(g, OP_SUB, x, top));
    return g2(g, OP_DIV, e, g_reduce(g, OP_SUM, e, axes));
}

/* A largest element that is infinite is not subtracted: -inf - -inf would make NaN of an empty row.
 */
static Node *expand_logsumexp(Graph *g, Node *x, uint32_t axes)
{
    Node *top = g_reduce(g, OP_MAX_OF, x, axes), *zero = g_const(g, DT_F32, 0);
    Node *huge = g2(g, OP_EQ, g1(g, OP_ABS, top), g_const(g, DT_F32, INFINITY));
    top = g3(g, OP_WHERE, huge, zero, top);
    Node *e = g1(g, OP_EXP, g2(g, OP_SUB, x, top));
    return g2(g, OP_ADD, top, g1(g, OP_LOG, g_reduce(g, OP_SUM, e, axes)));
}

static Node *expand_one_hot(Graph *g, Node *idx, int64_t rows)
{
    Type row = {.dtype = DT_INT, .ndim = 1, .dim = {rows}};
    int64_t dim[BM_DIMS] = {0};
    memcpy(dim, idx->type.dim, sizeof dim);
    dim[idx->type.ndim] = 1;
    Node *column = g_reshape(g, idx, idx->type.ndim + 1, dim);
    return g_cast(g, g2(g, OP_EQ, column, g_iota(g, &row, 0, 0, 1)), DT_F32);
}

/* Those of samples became sums over the batch when the loss was taken apart. What is left is a
 * value of something no sample has: a frozen parameter, say. */
static Node *expand_average(Graph *g, const Node *n, Node *const in[])
{
    Node with = *n;
    with.in = (Node **)(uintptr_t)in;
    Average a = average_parts(g, &with);
    if (a.full.batched)
        BUG("an average of `%s` is left in the graph", n->path);
    Node *sum = scalar(g, average_num(g, &a));
    return g2(g, OP_MUL, sum, average_inverse(g, average_den(g, &a)));
}

static Node *rewrite(Graph *g, const Node *n, Node *const in[])
{
    if (n->op == OP_DETACH)
        return in[0];
    if (n->op == OP_SOFTMAX)
        return expand_softmax(g, in[0], n->attr.reduce.axes);
    if (n->op == OP_LOGSUMEXP)
        return expand_logsumexp(g, in[0], n->attr.reduce.axes);
    if (n->op == OP_ONE_HOT)
        return expand_one_hot(g, in[0], n->attr.scatter.rows);
    if (n->op == OP_AVERAGE)
        return expand_average(g, n, in);
    return graph_make(g, n->op, in, n->n_in, &n->attr, &n->type);
}

static Graph *copy_frame(Arena *a, const Graph *old)
{
    Graph *g = graph_new(a, old->diag);
    for (int i = 0; i < old->instance.n; i++)
        vec_push(a, &g->instance, old->instance.v[i]);
    g->n_sites = old->n_sites;
    g->no_cse = old->no_cse;
    return g;
}

static void stamp_as(Graph *g, const Node *n)
{
    stamp_graph(g, n->at, n->path, n->instance);
    g->name = n->name;
    g->backward = n->backward;
    g->recompute = n->recompute;
    g->weight = n->phase == PHASE_WEIGHT;
    g->update = n->phase == PHASE_UPDATE;
}

static Graph *rebuild(Arena *a, const Graph *old, NodeList list, Node **now)
{
    Graph *g = copy_frame(a, old);
    for (int i = 0; i < list.n; i++) {
        const Node *n = list.v[i];
        Node *few[8], **in = n->n_in <= countof(few) ? few : arena_array(a, Node *, n->n_in);
        for (int k = 0; k < n->n_in; k++)
            in[k] = now[n->in[k]->id];
        stamp_as(g, n);
        now[n->id] = rewrite(g, n, in);
    }
    stamp_graph(g, NO_SPAN, "", 0);
    g->backward = g->recompute = g->weight = g->update = false;
    return g;
}

typedef VEC(Node **) Places;

static void keep(Arena *a, Places *p, Node **place)
{
    if (*place)
        vec_push(a, p, place);
}

/* Every place of the program that holds a node that must stay. */
static Places kept_places(Arena *a, Program *p)
{
    Places v = {0};
    for (int i = 0; i < p->root.n; i++)
        keep(a, &v, &p->root.v[i]);
    for (int i = 0; i < p->report.n; i++) {
        Report *r = &p->report.v[i];
        if (r->num)
            r->value = r->num; /* the AVERAGE node is gone */
        keep(a, &v, &r->value);
        keep(a, &v, &r->num);
        keep(a, &v, &r->den);
    }
    for (int i = 0; i < p->term.n; i++) {
        keep(a, &v, &p->term.v[i].num);
        keep(a, &v, &p->term.v[i].den);
    }
    keep(a, &v, &p->loss_value);
    keep(a, &v, &p->grad_norm);
    keep(a, &v, &p->logits);
    return v;
}

/* False when nothing changed: every node was needed and came out as it was. */
static bool pass(Arena *a, Program *p, const Places *places)
{
    Node **root = arena_array(a, Node *, places->n + 1);
    for (int i = 0; i < places->n; i++)
        root[i] = *places->v[i];
    const Graph *old = p->graph;
    NodeList list = graph_reach(a, old, root, places->n);
    Node **now = arena_array(a, Node *, old->node.n + 1);
    p->graph = rebuild(a, old, list, now);
    for (int i = 0; i < places->n; i++)
        *places->v[i] = now[root[i]->id];
    return list.n != old->node.n || p->graph->node.n != list.n;
}

void simplify(Arena *a, Program *p)
{
    Places places = kept_places(a, p);
    while (pass(a, p, &places))
        continue;
    p->loss = p->loss_value;
    protect_assigned(p);
}
