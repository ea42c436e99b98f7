/* lower_ops_loss.c - averages over the global batch, and the losses made of them. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

static const Node *find_param(const Lower *l, Node *n)
{
    NodeList list = graph_reach(l->a, l->g, &n, 1);
    for (int i = 0; i < list.n; i++)
        if (list.v[i]->op == OP_PARAM)
            return list.v[i];
    return NULL;
}

/* The trainer adds up all weights before the first backward (LANGUAGE 3.14). */
static bool weight_allowed(Lower *l, Call *c, int i, Node *w)
{
    if (w->op == OP_CONST)
        return true;
    const Node *p = find_param(l, w);
    if (!p)
        return true;
    diag_error(l->d, c->b.at[i], "`weight` of %s may not depend on parameters, but on `%s` it does",
               c->op->name, p->path);
    diag_note(l->d, p->at, "the parameter is declared here");
    diag_help(l->d, "multiply what is averaged by it instead");
    return false;
}

/* The weight argument as numbers: a bool counts as 0 or 1. */
static Node *weight_arg(Lower *l, Call *c, int i)
{
    if (!arg_given(c, i))
        return g_const(l->g, DT_F32, 1);
    Node *w = arg_node(l, c, i);
    if (!w || !weight_allowed(l, c, i, w))
        return NULL;
    return w->type.dtype == DT_F32 ? w : g_cast(l->g, w, DT_F32);
}

static bool fits(const Type *small, const Type *big)
{
    if (small->ndim > big->ndim)
        return false;
    for (int i = 1; i <= small->ndim; i++) {
        int64_t s = small->dim[small->ndim - i];
        if (s != 1 && s != big->dim[big->ndim - i])
            return false;
    }
    return true;
}

static Value average(Lower *l, Call *c, Node *x, Node *w)
{
    l->g->at = c->at;
    if (!fits(&w->type, &x->type) && !fits(&x->type, &w->type)) {
        diag_error(l->d, c->at, "the weight of %s, %s, does not broadcast to the values, %s",
                   c->op->name, type_text(l->a, &w->type), type_text(l->a, &x->type));
        arg_notes(l, c, 0, &x, 1);
        return value_error();
    }
    Node *in[] = {x, w};
    return tensor_value(graph_add(l->g, OP_AVERAGE, in, 2, NULL, NULL));
}

static Value op_average(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0), *w = weight_arg(l, c, 1);
    if (!x || !w)
        return value_error();
    return average(l, c, x->type.dtype == DT_F32 ? x : g_cast(l->g, x, DT_F32), w);
}

/* Two operands whose shapes broadcast, for mse and bce. */
static bool pair(Lower *l, Call *c, Node **a, Node **b)
{
    *a = arg_float(l, c, 0);
    *b = arg_node(l, c, 1);
    if (!*a || !*b)
        return false;
    *b = (*b)->type.dtype == DT_F32 ? *b : g_cast(l->g, *b, DT_F32);
    if (same_shape(&(*a)->type, &(*b)->type) || (*a)->type.ndim == 0 || (*b)->type.ndim == 0)
        return true;
    diag_error(l->d, c->at, "%s needs equal shapes, got %s and %s", c->op->name,
               type_text(l->a, &(*a)->type), type_text(l->a, &(*b)->type));
    Node *in[] = {*a, *b};
    arg_notes(l, c, 0, in, 2);
    return false;
}

static Value op_mse(Lower *l, Call *c)
{
    Node *a, *b, *w;
    if (!pair(l, c, &a, &b) || !(w = weight_arg(l, c, 2)))
        return value_error();
    Node *e = g2(l->g, OP_SUB, a, b);
    return average(l, c, g2(l->g, OP_MUL, e, e), w);
}

/* Of logits: softplus(x) - x * target. */
static Value op_bce(Lower *l, Call *c)
{
    Node *x, *t, *w;
    if (!pair(l, c, &x, &t) || !(w = weight_arg(l, c, 2)))
        return value_error();
    return average(l, c, g2(l->g, OP_SUB, g1(l->g, OP_SOFTPLUS, x), g2(l->g, OP_MUL, x, t)), w);
}

/* ---- cross entropy ---- */

enum { LOGITS, TARGET, IGNORE, WEIGHT, SMOOTHING };

static bool cross_shapes(Lower *l, Call *c, Node *logits, Node *target)
{
    Type rows = logits->type;
    rows.ndim--;
    if (target->type.dtype != DT_INT) {
        diag_error(l->d, c->b.at[TARGET],
                   "the target of cross_entropy is the int of a class, got %s",
                   type_text(l->a, &target->type));
        arg_notes(l, c, TARGET, &target, 1);
        return false;
    }
    if (logits->type.ndim > 0 && same_shape(&rows, &target->type))
        return true;
    diag_error(l->d, c->at,
               "cross_entropy needs logits [.., classes] and a target for each row, "
               "got %s and %s",
               type_text(l->a, &logits->type), type_text(l->a, &target->type));
    Node *in[] = {logits, target};
    arg_notes(l, c, 0, in, 2);
    return false;
}

/* The trainer checks the data of a target against the number of classes, and -100. */
static void note_classes(Lower *l, const Node *target, int64_t classes, bool ignores)
{
    if (target->op != OP_INPUT)
        return;
    Input *in = &l->m->input.v[target->attr.leaf.leaf];
    in->ignore_ok = ignores && (in->ignore_ok || !in->below);
    if (!in->below || classes < in->below)
        in->below = classes;
}

static bool check_ignore(Lower *l, Call *c, int64_t classes, int64_t *ignore)
{
    if (!arg_given(c, IGNORE))
        return true;
    if (!arg_int(l, c, IGNORE, ignore))
        return false;
    if (*ignore == -100 || (*ignore >= 0 && *ignore < classes))
        return true;
    diag_error(l->d, c->b.at[IGNORE],
               "not built yet: `ignore` other than -100, none or one of the %" PRId64 " classes",
               classes);
    return false;
}

/* -log softmax at the target, minus nothing where it is ignored: `safe` is in range. */
static Node *row_losses(Lower *l, Node *logits, Node *safe, double smoothing)
{
    Graph *g = l->g;
    uint32_t last = axis_bit(logits, -1);
    Node *lse = g_squeeze(g, g_reduce(g, OP_LOGSUMEXP, logits, last), last);
    Node *x = g2(g, OP_SUB, lse, g2(g, OP_PICK, logits, safe));
    if (smoothing == 0)
        return x;
    double classes = (double)logits->type.dim[logits->type.ndim - 1];
    Node *sum = g_squeeze(g, g_reduce(g, OP_SUM, logits, last), last);
    Node *mean = g2(g, OP_MUL, sum, g_const(g, DT_F32, 1 / classes));
    Node *even = g2(g, OP_SUB, lse, mean);
    return g2(g, OP_ADD, g2(g, OP_MUL, x, g_const(g, DT_F32, 1 - smoothing)),
              g2(g, OP_MUL, even, g_const(g, DT_F32, smoothing)));
}

static Value op_cross_entropy(Lower *l, Call *c)
{
    Graph *g = l->g;
    Node *logits = arg_float(l, c, LOGITS), *target = arg_node(l, c, TARGET), *w;
    int64_t ignore = -100;
    double smoothing = 0;
    bool ignores = !c->b.given[IGNORE] || arg_given(c, IGNORE);
    if (!logits || !target || !cross_shapes(l, c, logits, target) ||
        (c->b.given[SMOOTHING] && !arg_number(l, c, SMOOTHING, &smoothing)) ||
        !(w = weight_arg(l, c, WEIGHT)))
        return value_error();
    int64_t classes = logits->type.dim[logits->type.ndim - 1];
    if (!check_ignore(l, c, classes, &ignore))
        return value_error();
    if (smoothing < 0 || smoothing >= 1) {
        diag_error(l->d, c->b.at[SMOOTHING], "`smoothing` of cross_entropy is from 0 to below 1");
        return value_error();
    }
    if (!l->program->logits)
        l->program->logits = logits;
    note_classes(l, target, classes, ignores && ignore == -100);
    g->at = c->at;
    if (!ignores)
        return average(l, c, row_losses(l, logits, target, smoothing), w);
    Node *valid = g2(g, OP_NE, target, g_const(g, DT_INT, (double)ignore));
    Node *safe = g3(g, OP_WHERE, valid, target, g_const(g, DT_INT, 0));
    Node *count = g2(g, OP_MUL, g_cast(g, valid, DT_F32), w);
    return average(l, c, row_losses(l, logits, safe, smoothing), count);
}

const Operator ops_loss[] = {{"average", "x, weight = 1", op_average, 0, true},
                             {"mse", "a, b, weight = 1", op_mse, 0, true},
                             {"bce", "logits, target, weight = 1", op_bce, 0, true},
                             {"cross_entropy",
                              "logits, target, ignore = -100, weight = 1, smoothing = 0",
                              op_cross_entropy, 0, true},
                             {NULL, NULL, NULL, 0, false}};
