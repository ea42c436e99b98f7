/* lower_args.c - the arguments of operators, each asked for as one kind of value. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

/* "`axis` of softmax" */
static const char *what_of(Lower *l, const Call *c, int i)
{
    return arena_printf(l->a, "`%s` of %s", c->b.name[i], c->op->name);
}

void arg_notes(Lower *l, Call *c, int first, Node *const n[], int count)
{
    operand_notes(l, n, &c->b.at[first], count);
}

Node *arg_node(Lower *l, Call *c, int i)
{
    const Value *v = &c->b.v[i];
    if (v->kind == VAL_NONE) {
        diag_error(l->d, c->b.at[i], "%s must be a tensor or a number, got none", what_of(l, c, i));
        return NULL;
    }
    Node *n = to_node(l, v, c->b.at[i], DT_INT);
    l->g->at = c->at;
    return n && n->type.dtype != DT_ERROR ? n : NULL;
}

Node *arg_float(Lower *l, Call *c, int i)
{
    Node *n = arg_node(l, c, i);
    if (!n)
        return NULL;
    if (n->type.dtype == DT_BOOL) {
        diag_error(l->d, c->b.at[i], "%s must be a number, got %s", what_of(l, c, i),
                   type_text(l->a, &n->type));
        arg_notes(l, c, i, &n, 1);
        diag_help(l->d, "where(condition, 1, 0) is a number");
        return NULL;
    }
    return as_float(l, n);
}

bool arg_int(Lower *l, Call *c, int i, int64_t *out)
{
    return want_int(l, &c->b.v[i], c->b.at[i], what_of(l, c, i), out);
}

bool arg_number(Lower *l, Call *c, int i, double *out)
{
    return want_number(l, &c->b.v[i], c->b.at[i], what_of(l, c, i), out);
}

bool arg_bool(Lower *l, Call *c, int i, bool *out)
{
    return want_bool(l, &c->b.v[i], c->b.at[i], what_of(l, c, i), out);
}

bool arg_text(Lower *l, Call *c, int i, const char **out)
{
    const Value *v = &c->b.v[i];
    if (v->kind == VAL_STRING) {
        *out = v->text;
        return true;
    }
    diag_error(l->d, c->b.at[i], "%s must be a string, got %s", what_of(l, c, i), value_what(v));
    return false;
}

static bool axis_in(Lower *l, Call *c, int i, int64_t axis, int ndim, const Node *x, int *out)
{
    if (axis >= -ndim && axis < ndim) {
        *out = (int)(axis < 0 ? axis + ndim : axis);
        return true;
    }
    diag_error(l->d, c->b.at[i], "%s: %s has no axis %" PRId64, what_of(l, c, i),
               type_text(l->a, &x->type), axis);
    Node *n = (Node *)(uintptr_t)x;
    arg_notes(l, c, 0, &n, 1);
    return false;
}

bool arg_axis(Lower *l, Call *c, int i, const Node *x, int *out)
{
    int64_t axis = -1;
    if (c->b.given[i] && !arg_int(l, c, i, &axis))
        return false;
    return axis_in(l, c, i, axis, x->type.ndim, x, out);
}

bool arg_axes(Lower *l, Call *c, int i, const Node *x, uint32_t *out)
{
    const Value *v = &c->b.v[i];
    int axis;
    *out = 0;
    if (v->kind == VAL_NONE) {
        *out = (1u << x->type.ndim) - 1;
        return true;
    }
    if (v->kind != VAL_TUPLE) {
        bool ok = arg_axis(l, c, i, x, &axis);
        *out = ok ? 1u << axis : 0;
        return ok;
    }
    for (int k = 0; k < v->tuple->n; k++) {
        int64_t a;
        if (!want_int(l, &v->tuple->v[k], c->b.at[i], what_of(l, c, i), &a) ||
            !axis_in(l, c, i, a, x->type.ndim, x, &axis))
            return false;
        if (*out >> axis & 1) {
            diag_error(l->d, c->b.at[i], "%s names axis %d twice", what_of(l, c, i), axis);
            return false;
        }
        *out |= 1u << axis;
    }
    return true;
}

bool arg_dims(Lower *l, Call *c, int i, int64_t dim[BM_DIMS], int *n)
{
    const Value *v = &c->b.v[i], *each = v;
    *n = 1;
    if (v->kind == VAL_TUPLE) {
        *n = v->tuple->n;
        each = v->tuple->v;
    }
    if (*n > BM_DIMS) {
        diag_error(l->d, c->b.at[i], "%s: more than %d axes", what_of(l, c, i), BM_DIMS);
        return false;
    }
    for (int k = 0; k < *n; k++)
        if (!want_int(l, &each[k], c->b.at[i], what_of(l, c, i), &dim[k]))
            return false;
    return true;
}
