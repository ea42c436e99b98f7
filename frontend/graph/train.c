/* train.c - the training and the evaluation graph: averages become sums, then gradients, their
 * norm, and the update. */
#include "frontend/graph/train.h"

/* Every report as two sums beside each other; values per sample are left as they are. */
static bool expand_reports(Program *p, Arena *a, bool per_sample)
{
    Graph *g = p->graph;
    bool ok = true;
    for (int i = 0; i < p->report.n; i++) {
        Report *r = &p->report.v[i];
        if (r->value->type.dtype == DT_ERROR) {
            ok = false;
        } else if (r->value->op == OP_AVERAGE) {
            Average avg = average_parts(g, r->value);
            r->num = average_num(g, &avg);
            r->den = average_den(g, &avg);
            vec_push(a, &p->root, r->num);
            vec_push(a, &p->root, r->den);
        } else if (r->value->type.batched && per_sample) {
            vec_push(a, &p->root, r->value);
        } else {
            diag_error(g->diag, r->at, "`%s` is reported, but it is no average", r->name);
            diag_help(g->diag, r->value->type.batched
                                   ? "report average(..); values per sample are reported where "
                                     "`not training`"
                                   : "report average(..)");
            ok = false;
        }
    }
    return ok;
}

/* sum of coef * num * inverse, complete after the last round */
static void add_loss_value(Program *p, Node *const inverse[])
{
    Graph *g = p->graph;
    p->loss_value = NULL;
    for (int i = 0; i < p->term.n; i++) {
        const LossAverage *t = &p->term.v[i];
        Node *v = g2(g, OP_MUL, scalar(g, t->num), inverse[i]);
        v = g2(g, OP_MUL, v, g_const(g, DT_F32, t->coef));
        p->loss_value = p->loss_value ? g2(g, OP_ADD, p->loss_value, v) : v;
    }
    vec_push(g->arena, &p->root, p->loss_value);
}

typedef struct Trained { /* the parameters that get gradients */
    int *param;
    Node **leaf, **grad;
    int n;
} Trained;

static void orphan(Diag *d, const Model *m, const int *param, int n)
{
    StrBuf s = strbuf_new(d->arena);
    for (int i = 0; i < n; i++)
        strbuf_printf(&s, "%s`%s`", i ? ", " : "", m->param.v[param[i]].path);
    const Param *first = &m->param.v[param[0]];
    if (n == 1)
        diag_error(d, first->at, "the loss does not depend on the parameter %s", s.text);
    else
        diag_error(d, first->at, "the loss does not depend on %d parameters: %s", n, s.text);
    diag_help(d, "train { freeze %s = true } leaves it as it is", first->path);
}

/* Leaves of all parameters that are not frozen; one without a leaf is used nowhere. */
static Trained trained_params(const Model *m)
{
    Graph *g = m->train.graph;
    Node **leaf = arena_array(g->arena, Node *, m->param.n + 1);
    for (int i = 0; i < g->node.n; i++)
        if (g->node.v[i]->op == OP_PARAM)
            leaf[g->node.v[i]->attr.leaf.leaf] = g->node.v[i];
    Trained t = {.param = arena_array(g->arena, int, m->param.n + 1),
                 .leaf = arena_array(g->arena, Node *, m->param.n + 1),
                 .grad = arena_array(g->arena, Node *, m->param.n + 1)};
    for (int i = 0; i < m->param.n; i++) {
        if (m->param.v[i].buffer || m->param.v[i].frozen)
            continue;
        t.param[t.n] = i;
        t.leaf[t.n++] = leaf[i];
    }
    return t;
}

static bool no_orphans(const Model *m, const Trained *t, Node *const found[], Diag *d)
{
    int n = 0, *orphans = arena_array(d->arena, int, t->n + 1);
    for (int i = 0; i < t->n; i++)
        if (!found[i])
            orphans[n++] = t->param[i];
    if (n)
        orphan(d, m, orphans, n);
    return n == 0;
}

/* Norm over all parameters in order; returns the factor of torch.nn.utils.clip_grad_norm_, or NULL.
 */
static Node *add_norm(Model *m, const Trained *t)
{
    Program *p = &m->train;
    Graph *g = p->graph;
    if (!t->n)
        return NULL;
    stamp_graph(g, NO_SPAN, "grad_norm", 0);
    p->grad_norm = g1(g, OP_SQRT, graph_add(g, OP_SUM_SQUARES, t->grad, t->n, NULL, NULL));
    vec_push(g->arena, &p->root, p->grad_norm);
    if (m->clip <= 0)
        return NULL;
    stamp_graph(g, NO_SPAN, "clip", 0);
    Node *norm = g2(g, OP_ADD, p->grad_norm, g_const(g, DT_F32, 1e-6));
    Node *factor = g2(g, OP_DIV, g_const(g, DT_F32, m->clip), norm);
    return g2(g, OP_MIN, factor, g_const(g, DT_F32, 1));
}

static void add_updates(Model *m, const Trained *t)
{
    Graph *g = m->train.graph;
    g->backward = true;
    for (int i = 0; i < t->n; i++) { /* from here on a gradient is a gradient, whatever it is made
                                        of: the planner puts its own memory in its place */
        const Param *q = &m->param.v[t->param[i]];
        stamp_graph(g, q->at, q->path, q->instance);
        t->grad[i] = g1(g, OP_GRAD, t->grad[i]);
    }
    Node *factor = add_norm(m, t);
    for (int i = 0; i < t->n; i++) {
        const Param *q = &m->param.v[t->param[i]];
        Node *grad = t->grad[i];
        stamp_graph(g, q->at, q->path, q->instance);
        g->update = true;
        if (factor)
            grad = g2(g, OP_MUL, grad, factor);
        g->update = false;
        update_param(m, t->param[i], t->leaf[i], grad);
    }
    g->backward = false;
}

/* d loss / d x of each average is coef * w / total. */
static bool add_gradients(Model *m, const AverageList *avg, Node *const inverse[], Trained *t,
                          Diag *d)
{
    Graph *g = m->train.graph;
    int n = avg->list.n;
    Node **y = arena_array(g->arena, Node *, n + 1), **seed = arena_array(g->arena, Node *, n + 1);
    *t = trained_params(m);
    if (!no_orphans(m, t, t->leaf, d))
        return false;
    g->backward = true;
    for (int i = 0; i < n; i++) {
        const Average *a = &avg->list.v[i];
        stamp_graph(g, a->node->at, a->node->path, a->node->instance);
        Node *c = g2(g, OP_MUL, inverse[i], g_const(g, DT_F32, a->coef));
        y[i] = a->x;
        seed[i] = a->w ? g2(g, OP_MUL, a->w, c) : c;
    }
    g->backward = false;
    return autodiff(g, y, seed, n, t->leaf, t->grad, t->n) && no_orphans(m, t, t->grad, d);
}

/* Inverse totals of all averages, made before any backward node; NULL: reported. */
static Node **add_sums(Model *m, Program *p, const AverageList *avg, bool training)
{
    Graph *g = p->graph;
    Node **inverse = arena_array(g->arena, Node *, avg->list.n + 1);
    bool ok = true;
    for (int i = 0; i < avg->list.n; i++) {
        const Average *a = &avg->list.v[i];
        LossAverage t = {.coef = a->coef, .num = average_num(g, a)};
        t.den = training ? average_total(g, a, m->batch) : average_den(g, a);
        vec_push(g->arena, &p->term, t);
        if (t.den)
            inverse[i] = average_inverse(g, t.den);
        else
            ok = false;
    }
    return ok ? inverse : NULL;
}

bool training_graph(Model *m, Diag *d)
{
    Program *p = &m->train;
    int errors = d->errors;
    AverageList avg = {0};
    Trained t;
    bool ok = loss_terms(p, &avg);
    ok = expand_reports(p, m->arena, false) && ok;
    if (!ok)
        return false;
    Node **inverse = add_sums(m, p, &avg, true);
    if (!inverse || !add_gradients(m, &avg, inverse, &t, d))
        return false;
    stamp_graph(p->graph, p->loss->at, "", 0);
    add_loss_value(p, inverse);
    add_updates(m, &t);
    protect_assigned(p);
    return d->errors == errors;
}

bool evaluation_graph(Model *m, Diag *d)
{
    Program *p = &m->eval;
    int errors = d->errors, kept = 0;
    for (int i = 0; i < p->root.n; i++) /* buffers change with the optimizer step only */
        if (p->root.v[i]->op != OP_ASSIGN)
            p->root.v[kept++] = p->root.v[i];
    p->root.n = kept;
    AverageList avg = {0};
    bool ok = loss_terms(p, &avg);
    ok = expand_reports(p, m->arena, true) && ok;
    if (!ok)
        return false;
    Node **inverse = add_sums(m, p, &avg, false);
    for (int i = 0; i < p->term.n; i++) {
        vec_push(m->arena, &p->root, p->term.v[i].num);
        vec_push(m->arena, &p->root, p->term.v[i].den);
    }
    stamp_graph(p->graph, p->loss->at, "", 0);
    add_loss_value(p, inverse);
    return d->errors == errors;
}
