/* verify.c - graph_verify(): the invariants of graph.h, one function each. */
#include "frontend/graph/attr.h"
#include "frontend/graph/graph.h"

#include <string.h>

static void broken(const Graph *g, const Node *n, const char *what)
{
    (void)g;
    BUG("graph: %%%d %s of `%s` (bytes %d..%d of file %d): %s", n->id, op_info[n->op].name,
        n->path ? n->path : "?", n->at.lo, n->at.hi, n->at.file, what);
}

static void check_operands(const Graph *g, const Node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        const Node *x = n->in[i];
        if (x->id >= n->id || g->node.v[x->id] != x)
            broken(g, n, "an operand does not come before it");
        if (x->backward && !n->backward)
            broken(g, n, "a forward node reads a node of the backward pass");
        if (x->effect)
            broken(g, n, "an effect is read");
    }
}

static void check_type(const Graph *g, Arena *scratch, const Node *n)
{
    Graph copy = *g;
    copy.arena = scratch;
    copy.diag = diag_new(scratch, g->diag->sources, NULL);
    copy.weight = n->phase == PHASE_WEIGHT;
    copy.update = n->phase == PHASE_UPDATE;
    Attr normal = attr_normal(n->op, &n->attr);
    if (memcmp(&normal, &n->attr, sizeof normal) != 0)
        broken(g, n, "its attributes have stray bytes");
    Type t = op_type(&copy, n->op, n->in, n->n_in, &n->attr, &n->type);
    if (t.dtype == DT_ERROR || !type_same(&t, &n->type))
        broken(g, n, "its type is not what the rule gives");
    if (phase_of(&copy, n->op, n->in, n->n_in, &t) != n->phase)
        broken(g, n, "its phase is not what its operands allow");
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->type.batched && n->in[i]->phase != n->phase)
            broken(g, n, "it reads a value per sample of another loop");
}

static void check_stamp(const Graph *g, const Node *n)
{
    if (!n->path)
        broken(g, n, "it has no path");
    if (n->instance < 0 || (n->instance > 0 && n->instance >= g->instance.n))
        broken(g, n, "its instance does not exist");
    if (n->effect != (n->op == OP_ASSIGN))
        broken(g, n, "effect and op differ");
}

void graph_verify(const Graph *g, Node *const root[], int n_root)
{
    Arena *scratch = arena_new();
    NodeList list = graph_reach(scratch, g, root, n_root);
    for (int i = 0; i < list.n; i++) {
        const Node *n = list.v[i];
        if (g->node.v[n->id] != n)
            broken(g, n, "its id is another node's");
        if (n->type.dtype == DT_ERROR) {
            if (!g->diag->errors)
                broken(g, n, "an error type without an error");
            continue;
        }
        check_operands(g, n);
        check_type(g, scratch, n);
        check_stamp(g, n);
    }
    arena_free(scratch);
}
