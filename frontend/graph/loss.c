/* loss.c - rule 15 of the language: the loss is a sum of averages times constants. */
#include "frontend/graph/fold.h"
#include "frontend/graph/rules.h"
#include "frontend/graph/train.h"

#include <math.h>

typedef struct Walk {
    Graph *g;
    AverageList *out;
} Walk;

static void add_term(Walk *w, Node *average, double coef)
{
    for (int i = 0; i < w->out->list.n; i++)
        if (w->out->list.v[i].node == average) {
            w->out->list.v[i].coef += coef;
            return;
        }
    Average a = average_parts(w->g, average);
    a.coef = coef;
    vec_push(w->g->arena, &w->out->list, a);
}

static bool has_average(const Graph *g, Node *n)
{
    NodeList list = graph_reach(g->arena, g, &n, 1);
    for (int i = 0; i < list.n; i++)
        if (list.v[i]->op == OP_AVERAGE)
            return true;
    return false;
}

static bool refuse(Walk *w, Node *n)
{
    Diag *d = w->g->diag;
    if (n->op == OP_CONST) {
        diag_error(d, n->at, "the loss is a sum of averages, but one of its terms is the number %g",
                   n->attr.constant.value);
        return false;
    }
    if (!has_average(w->g, n)) {
        diag_error(d, n->at, "the loss is a sum of averages, but this term has none");
        diag_help(d, "average(..) of it");
        return false;
    }
    if (n->op == OP_MUL)
        diag_error(d, n->at, "the loss is a sum of averages, but here two of them are multiplied");
    else
        diag_error(d, n->at,
                   "the loss is a sum of averages times constants, but here `%s` is applied to one",
                   op_symbol(n->op));
    diag_note(d, n->at,
              "an average is complete only after the last round of the batch, and the gradients of "
              "the first round need what this would be multiplied with");
    return false;
}

static bool walk(Walk *w, Node *n, double coef)
{
    double c;
    if (n->op == OP_AVERAGE) {
        add_term(w, n, coef);
        return true;
    }
    if (n->op == OP_ADD || n->op == OP_SUB) {
        bool first = walk(w, n->in[0], coef);
        return walk(w, n->in[1], n->op == OP_SUB ? -coef : coef) && first;
    }
    if (n->op == OP_NEG)
        return walk(w, n->in[0], -coef);
    if (n->op == OP_RESHAPE || n->op == OP_BROADCAST)
        return walk(w, n->in[0], coef);
    if ((n->op == OP_MUL || n->op == OP_DIV) && const_value(n->in[1], &c))
        return walk(w, n->in[0], n->op == OP_MUL ? coef * c : coef / c);
    if (n->op == OP_MUL && const_value(n->in[0], &c))
        return walk(w, n->in[1], coef * c);
    return refuse(w, n);
}

bool loss_terms(const Program *p, AverageList *out)
{
    Graph *g = p->graph;
    Node *loss = p->loss;
    if (loss->type.dtype == DT_ERROR)
        return false;
    if (loss->type.dtype != DT_F32 || loss->type.ndim) {
        diag_error(g->diag, loss->at, "the model returns its loss, one float, but this is %s",
                   type_text(g->arena, &loss->type));
        return false;
    }
    if (loss->type.batched) {
        stamp_graph(g, loss->at, loss->path, loss->instance);
        loss = graph_add(g, OP_AVERAGE, &loss, 1, NULL, NULL);
    }
    Walk w = {g, out};
    if (!walk(&w, loss, 1))
        return false;
    for (int i = 0; i < out->list.n; i++)
        if (!isfinite(out->list.v[i].coef)) {
            diag_error(g->diag, loss->at, "an average of the loss is multiplied with %g",
                       out->list.v[i].coef);
            return false;
        }
    return true;
}
