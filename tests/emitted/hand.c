#include "tests/emitted/hand.h"

#include <string.h>

static Graph *new_graph(Model *m, Diag *d)
{
    Graph *g = graph_new(m->arena, d);
    vec_push(m->arena, &g->instance, ((Instance){"", m->name, -1, 0}));
    g->at = NO_SPAN;
    g->path = "";
    return g;
}

Model *hand_model(Arena *a, Diag *d, const char *name, int64_t batch)
{
    Model *m = arena_make(a, Model);
    m->arena = a;
    m->name = name;
    m->file = "hand.bm";
    m->batch = batch;
    m->steps = 1;
    m->has_train = true;
    m->batch_at = m->plan.ranks_at = m->plan.memory_at = m->plan.micro_at = NO_SPAN;
    vec_push(a, &m->optimizer,
             ((Optimizer){.kind = OPT_SGD, .lr = 0.1, .momentum = 0.9, .at = NO_SPAN}));
    m->train.graph = new_graph(m, d);
    m->eval.graph = new_graph(m, d);
    return m;
}

Node *hand_param(Model *m, const char *path, const Type *t, bool buffer)
{
    Graph *g = m->train.graph;
    Attr a = {.leaf = {m->param.n}};
    vec_push(m->arena, &m->param,
             ((Param){.path = path, .type = *t, .at = NO_SPAN, .buffer = buffer}));
    g->path = path;
    Node *n = graph_add(g, buffer ? OP_BUFFER : OP_PARAM, NULL, 0, &a, t);
    g->path = "";
    return n;
}

Node *hand_input(Model *m, const char *name, const Type *t)
{
    Graph *g = m->train.graph;
    Attr a = {.leaf = {m->input.n}};
    vec_push(m->arena, &m->input, ((Input){.name = name, .type = *t, .at = NO_SPAN}));
    g->name = name;
    Node *n = graph_add(g, OP_INPUT, NULL, 0, &a, t);
    g->name = NULL;
    return n;
}

/* The same nodes once more. */
static void copy_graph(Graph *to, const Graph *from, Node **now)
{
    for (int i = 0; i < from->node.n; i++) {
        const Node *n = from->node.v[i];
        Node **in = arena_array(to->arena, Node *, n->n_in + 1);
        for (int k = 0; k < n->n_in; k++)
            in[k] = now[n->in[k]->id];
        to->path = n->path;
        to->name = n->name;
        now[i] = graph_add(to, n->op, in, n->n_in, &n->attr, &n->type);
    }
    to->n_sites = from->n_sites;
    to->path = "";
    to->name = NULL;
}

void hand_finish(Model *m, Node *loss)
{
    Graph *g = m->train.graph;
    Node **now = arena_array(m->arena, Node *, g->node.n + 1);
    m->train.loss = loss;
    copy_graph(m->eval.graph, g, now);
    m->eval.loss = now[loss->id];
    m->eval.logits = m->train.logits ? now[m->train.logits->id] : NULL;
    for (int i = 0; i < m->train.report.n; i++) {
        Report r = m->train.report.v[i];
        r.value = now[r.value->id];
        vec_push(m->arena, &m->eval.report, r);
    }
}

bool hand_graphs(Model *m, Diag *d, ChangeFn *change, void *ctx)
{
    if (!training_graph(m, d) || !evaluation_graph(m, d))
        return false;
    graph_verify(m->train.graph, m->train.root.v, m->train.root.n);
    if (change)
        change(&m->train, ctx);
    simplify(m->arena, &m->train);
    simplify(m->arena, &m->eval);
    graph_verify(m->train.graph, m->train.root.v, m->train.root.n);
    graph_verify(m->eval.graph, m->eval.root.v, m->eval.root.n);
    return d->errors == 0;
}
