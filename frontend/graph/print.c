/* print.c - the graph as text: one line per node. */
#include "frontend/graph/attr.h"
#include "frontend/graph/graph.h"

static const char *phase_name(Phase p)
{
    switch (p) {
    case PHASE_PRE:
        return "pre";
    case PHASE_WEIGHT:
        return "weight";
    case PHASE_MID:
        return "mid";
    case PHASE_ROUND:
        return "round";
    case PHASE_POST:
        return "post";
    case PHASE_UPDATE:
        return "update";
    case N_PHASES:
        break;
    }
    BUG("phase %d has no name", (int)p);
}

static void print_node(StrBuf *s, const Graph *g, const Node *n)
{
    strbuf_printf(s, "%%%d = %s", n->id, op_info[n->op].name);
    for (int i = 0; i < n->n_in; i++)
        strbuf_printf(s, " %%%d", n->in[i]->id);
    attr_print(s, n);
    strbuf_add(s, " : ");
    type_print(s, &n->type);
    strbuf_printf(s, "%s %s%s%s", n->type.batched ? " batched" : "", phase_name(n->phase),
                  n->backward ? " backward" : "", n->recompute ? " recompute" : "");
    strbuf_printf(s, "  # %s", n->path);
    if (n->at.file >= 0 && g->diag->sources) {
        Place p = source_place(g->diag->sources->list.v[n->at.file], n->at.lo);
        strbuf_printf(s, " %d:%d", p.line, p.column);
    }
    strbuf_char(s, '\n');
}

void graph_print(StrBuf *s, const Graph *g, Node *const root[], int n_root)
{
    NodeList list = graph_reach(s->arena, g, root, n_root);
    for (int i = 0; i < list.n; i++)
        print_node(s, g, list.v[i]);
}
