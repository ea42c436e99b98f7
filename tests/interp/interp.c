#include "tests/interp/interp.h"

double *interp_part(const Interp *it, const Node *n, int i)
{
    Type part[3];
    op_parts(n, part);
    double *v = it->value[n->id] + interp_count(it, n);
    for (int k = 1; k < i; k++)
        v += type_count(&part[k - 1]) * (part[k - 1].batched ? it->batch : 1);
    return v;
}

static int64_t room(const Interp *it, const Node *n)
{
    Type part[3];
    int64_t total = interp_count(it, n);
    int parts = op_parts(n, part);
    for (int k = 0; k < parts; k++)
        total += type_count(&part[k]) * (part[k].batched ? it->batch : 1);
    return total;
}

void interp_run(Interp *it, Node *const root[], int n_root)
{
    NodeList list = graph_reach(it->arena, it->g, root, n_root);
    it->value = arena_array(it->arena, double *, it->g->node.n + 1);
    for (int i = 0; i < list.n; i++) {
        const Node *n = list.v[i];
        it->value[n->id] = arena_array(it->arena, double, room(it, n));
        interp_node(it, n);
    }
}
