/* lower_index.c - t[..]: elements of tuples and stacks; axes of tensors dropped, sliced, gathered.
 */
#include "frontend/lower_ctx.h"

#include <inttypes.h>

static bool in_range(Lower *l, int64_t *i, int64_t n, Span at, const char *what)
{
    if (*i >= -n && *i < n) {
        *i += *i < 0 ? n : 0;
        return true;
    }
    diag_error(l->d, at, "no element %" PRId64 " in %s of %" PRId64, *i, what, n);
    return false;
}

Value pick_element(Lower *l, const Value *of, int64_t i, Span at)
{
    if (of->kind == VAL_TUPLE)
        return in_range(l, &i, of->tuple->n, at, "a tuple") ? of->tuple->v[i] : value_error();
    if (!in_range(l, &i, of->stack->n, at, "a stack"))
        return value_error();
    return (Value){.kind = VAL_INSTANCE, .inst = of->stack->v[i]};
}

/* One end of a slice; left out: `otherwise`. Ends may not lie outside (no silent clamp). */
static bool slice_end(Lower *l, const Env *env, const Expr *e, int64_t n, int64_t otherwise,
                      int64_t *out)
{
    *out = otherwise;
    if (!e)
        return true;
    if (!eval_int(l, env, e, "the end of a slice", out))
        return false;
    if (*out < -n || *out > n) {
        diag_error(l->d, e->at, "slice end %" PRId64 " lies outside 0:%" PRId64, *out, n);
        return false;
    }
    *out += *out < 0 ? n : 0;
    return true;
}

static bool slice_ends(Lower *l, const Env *env, const Index *x, int64_t n, int64_t *lo,
                       int64_t *hi)
{
    if (!slice_end(l, env, x->lo, n, 0, lo) || !slice_end(l, env, x->hi, n, n, hi))
        return false;
    if (*lo <= *hi)
        return true;
    diag_error(l->d, x->at, "slice %" PRId64 ":%" PRId64 " runs backwards", *lo, *hi);
    return false;
}

static Value index_list(Lower *l, const Env *env, const Value *of, const Expr *e)
{
    const Index *x = &e->index.list.v[0];
    int64_t n = of->kind == VAL_TUPLE ? of->tuple->n : of->stack->n, i, lo, hi;
    if (e->index.list.n != 1 || x->kind == INDEX_DOTS) {
        diag_error(l->d, e->at, "%s has one axis", value_what(of));
        return value_error();
    }
    if (x->kind == INDEX_AT)
        return eval_int(l, env, x->lo, "an index", &i) ? pick_element(l, of, i, x->at)
                                                       : value_error();
    if (!slice_ends(l, env, x, n, &lo, &hi))
        return value_error();
    if (of->kind == VAL_TUPLE)
        return value_tuple(l->a, of->tuple->v + lo, (int)(hi - lo));
    Stack *part = arena_make(l->a, Stack);
    *part = (Stack){of->stack->path, of->stack->at, of->stack->v + lo, (int)(hi - lo)};
    return (Value){.kind = VAL_STACK, .stack = part};
}

/* ---- tensors ---- */

/* The graph keeps, per model input of ints, the bound its values must stay below. */
static void note_bound(Lower *l, const Node *index, int64_t rows)
{
    if (index->op != OP_INPUT)
        return;
    Input *in = &l->m->input.v[index->attr.leaf.leaf];
    if (!in->below || rows < in->below)
        in->below = rows;
    in->ignore_ok = false;
}

static Value gather(Lower *l, Node *table, Node *index, Span at, Span where)
{
    if (index->type.dtype != DT_INT) {
        diag_error(l->d, at, "an index is an int or a tensor of ints, got %s",
                   type_text(l->a, &index->type));
        operand_notes(l, &index, &where, 1);
        if (index->type.dtype == DT_BOOL)
            diag_help(l->d, "`where(condition, a, b)` keeps the shape");
        return value_error();
    }
    if (table->type.ndim == 0) {
        diag_error(l->d, at, "a scalar has no axis to index");
        return value_error();
    }
    note_bound(l, index, table->type.dim[0]);
    l->g->at = at;
    return tensor_value(g2(l->g, OP_GATHER, table, index));
}

/* Axis `axis` of *x by one index; *drop collects the axes that vanish. */
static bool index_axis(Lower *l, const Env *env, const Index *x, int axis, Node **n, uint32_t *drop)
{
    int64_t size = (*n)->type.dim[axis], lo, hi;
    if (x->kind == INDEX_AT) {
        Value v = eval(l, env, x->lo);
        if (v.kind == VAL_TENSOR) {
            diag_error(l->d, x->at, "an index by a tensor stands alone, x[i]: it is along axis 0");
            return false;
        }
        if (!want_int(l, &v, x->at, "an index", &lo) || !in_range(l, &lo, size, x->at, "an axis"))
            return false;
        hi = lo + 1;
        *drop |= 1u << axis;
    } else if (!slice_ends(l, env, x, size, &lo, &hi)) {
        return false;
    } else if (lo == hi) {
        diag_error(l->d, x->at, "slice %" PRId64 ":%" PRId64 " is empty", lo, hi);
        return false;
    }
    if (lo == 0 && hi == size)
        return true;
    *n = g_slice(l->g, *n, axis, lo, hi);
    return true;
}

static Value index_tensor(Lower *l, const Env *env, Node *n, const Expr *e)
{
    const IndexList *list = &e->index.list;
    int dots = -1, count = 0, ndim = n->type.ndim;
    if (list->n == 1 && list->v[0].kind == INDEX_AT) {
        Value v = eval(l, env, list->v[0].lo);
        if (v.kind == VAL_ERROR)
            return v;
        if (v.kind == VAL_TENSOR)
            return gather(l, n, v.node, e->at, list->v[0].at);
    }
    for (int i = 0; i < list->n; i++) {
        if (list->v[i].kind == INDEX_DOTS && dots >= 0) {
            diag_error(l->d, list->v[i].at, "`...` stands once in an index");
            return value_error();
        }
        if (list->v[i].kind == INDEX_DOTS)
            dots = i;
        else
            count++;
    }
    if (count > ndim) {
        diag_error(l->d, e->at, "%d indices for %s, which has %d axes", count,
                   type_text(l->a, &n->type), ndim);
        operand_notes(l, &n, &e->index.of->at, 1);
        return value_error();
    }
    uint32_t drop = 0;
    l->g->at = e->at;
    for (int i = 0, axis = 0; i < list->n; i++) {
        if (i == dots)
            axis += ndim - count;
        else if (!index_axis(l, env, &list->v[i], axis++, &n, &drop))
            return value_error();
    }
    return tensor_value(drop ? g_squeeze(l->g, n, drop) : n);
}

Value eval_index(Lower *l, const Env *env, const Expr *e)
{
    Value of = eval(l, env, e->index.of);
    switch (of.kind) {
    case VAL_ERROR:
        return of;
    case VAL_TUPLE:
    case VAL_STACK:
        return index_list(l, env, &of, e);
    case VAL_TENSOR:
        return index_tensor(l, env, of.node, e);
    case VAL_NONE:
    case VAL_INT:
    case VAL_FLOAT:
    case VAL_BOOL:
    case VAL_STRING:
    case VAL_BLOCK:
    case VAL_OPERATOR:
    case VAL_INIT:
    case VAL_MADE:
    case VAL_DATA:
    case VAL_OPTIMIZER:
    case VAL_SCHEDULE:
    case VAL_INSTANCE:
        break;
    }
    diag_error(l->d, e->at, "%s, %s, has no elements", value_what(&of), value_text(l->a, &of));
    return value_error();
}
