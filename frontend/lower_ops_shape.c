/* lower_ops_shape.c - operators that move elements and compute nothing. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

static Value op_reshape(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0);
    int64_t dim[BM_DIMS], count, known = 1;
    int n, open = -1;
    if (!x || !arg_dims(l, c, 1, dim, &n))
        return value_error();
    count = type_count(&x->type);
    bool fits = true;
    for (int i = 0; i < n; i++) {
        if (dim[i] == -1 && open < 0)
            open = i;
        else if (dim[i] < 1 || !mul_ok(known, dim[i], &known))
            fits = false;
    }
    if (fits && open >= 0 && count % known == 0)
        dim[open] = count / known;
    else if (!fits || open >= 0 || known != count) {
        diag_error(l->d, c->at, "cannot reshape %s, %" PRId64 " elements, to %s",
                   type_text(l->a, &x->type), count, value_text(l->a, &c->b.v[1]));
        arg_notes(l, c, 0, &x, 1);
        return value_error();
    }
    return tensor_value(g_reshape(l->g, x, n, dim));
}

static Value op_transpose(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0);
    int64_t dim[BM_DIMS];
    int n, perm[BM_DIMS] = {0};
    uint32_t seen = 0;
    if (!x || !arg_dims(l, c, 1, dim, &n))
        return value_error();
    bool fits = n == x->type.ndim;
    for (int i = 0; i < n && fits; i++) {
        int64_t k = dim[i] < 0 ? dim[i] + n : dim[i];
        fits = k >= 0 && k < n && !(seen >> k & 1);
        if (!fits)
            break;
        seen |= 1u << k;
        perm[i] = (int)k;
    }
    if (!fits) {
        diag_error(l->d, c->at, "transpose needs each of the %d axes of %s once, got %s",
                   x->type.ndim, type_text(l->a, &x->type), value_text(l->a, &c->b.v[1]));
        arg_notes(l, c, 0, &x, 1);
        return value_error();
    }
    return tensor_value(g_transpose(l->g, x, perm));
}

enum { MAX_PARTS = 10000 };

/* Where the parts of x end along the axis: n equal ones, or sizes. */
static int split_sizes(Lower *l, Call *c, const Node *x, int axis, int64_t **size)
{
    const Value *v = &c->b.v[1];
    int64_t whole = x->type.dim[axis], sum = 0, n;
    Node *operand = (Node *)(uintptr_t)x;
    if (v->kind != VAL_TUPLE) {
        if (!arg_int(l, c, 1, &n))
            return -1;
        if (n > MAX_PARTS) {
            diag_error(l->d, c->b.at[1], "split in more than %d parts", MAX_PARTS);
            return -1;
        }
        if (n < 1 || whole % n) {
            diag_error(l->d, c->at,
                       "cannot split axis %d of %s, size %" PRId64 ", in %" PRId64 " equal parts",
                       axis, type_text(l->a, &x->type), whole, n);
            arg_notes(l, c, 0, &operand, 1);
            return -1;
        }
        *size = arena_array(l->a, int64_t, n);
        for (int i = 0; i < n; i++)
            (*size)[i] = whole / n;
        return (int)n;
    }
    *size = arena_array(l->a, int64_t, v->tuple->n + 1);
    for (int i = 0; i < v->tuple->n; i++) {
        if (!want_int(l, &v->tuple->v[i], c->b.at[1], "a size of split", &(*size)[i]))
            return -1;
        if ((*size)[i] < 1 || !add_ok(sum, (*size)[i], &sum))
            sum = INT64_MAX / 2;
    }
    if (sum == whole)
        return v->tuple->n;
    diag_error(l->d, c->at, "the parts %s do not make up axis %d of %s, size %" PRId64,
               value_text(l->a, v), axis, type_text(l->a, &x->type), whole);
    arg_notes(l, c, 0, &operand, 1);
    return -1;
}

static Value op_split(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0);
    int axis;
    int64_t *size = NULL, at = 0;
    if (!x || !arg_axis(l, c, 2, x, &axis))
        return value_error();
    int n = split_sizes(l, c, x, axis, &size);
    if (n < 0)
        return value_error();
    Value *part = arena_array(l->a, Value, n + 1);
    for (int i = 0; i < n; i++) {
        part[i] = tensor_value(n == 1 ? x : g_slice(l->g, x, axis, at, at + size[i]));
        at += size[i];
    }
    return value_tuple(l->a, part, n);
}

/* The tensors of a tuple, of one dtype and the same number of axes. */
static Node **tensors_of(Lower *l, Call *c, int *n)
{
    const Value *v = &c->b.v[0];
    if (v->kind != VAL_TUPLE || v->tuple->n == 0) {
        diag_error(l->d, c->b.at[0], "%s takes a tuple of tensors, got %s", c->op->name,
                   v->kind == VAL_TUPLE ? "an empty one" : value_what(v));
        if (v->kind == VAL_TENSOR)
            diag_help(l->d, "%s((a, b), ..)", c->op->name);
        return NULL;
    }
    *n = v->tuple->n;
    Node **x = arena_array(l->a, Node *, *n);
    bool any_float = false;
    for (int i = 0; i < *n; i++) {
        x[i] = to_node(l, &v->tuple->v[i], c->b.at[0], DT_INT);
        if (!x[i] || x[i]->type.dtype == DT_ERROR)
            return NULL;
        any_float |= x[i]->type.dtype == DT_F32;
    }
    l->g->at = c->at;
    for (int i = 0; i < *n && any_float; i++)
        x[i] = as_float(l, x[i]);
    return x;
}

/* Equal but for the axis (-1: equal). */
static bool check_alike(Lower *l, Call *c, Node *const x[], int n, int axis)
{
    for (int i = 1; i < n; i++) {
        Type a = x[0]->type, b = x[i]->type;
        if (axis >= 0 && axis < b.ndim)
            b.dim[axis] = a.dim[axis];
        if (same_shape(&a, &b) && a.dtype == b.dtype)
            continue;
        const char *but = axis < 0 ? "" : arena_printf(l->a, " but for axis %d", axis);
        diag_error(l->d, c->at, "%s needs equal shapes%s, got %s and %s", c->op->name, but,
                   type_text(l->a, &x[0]->type), type_text(l->a, &x[i]->type));
        Node *two[] = {x[0], x[i]};
        operand_notes(l, two, NULL, 2);
        return false;
    }
    return true;
}

static Value op_concat(Lower *l, Call *c)
{
    int n, axis;
    Node **x = tensors_of(l, c, &n);
    if (!x || !arg_axis(l, c, 1, x[0], &axis) || !check_alike(l, c, x, n, axis))
        return value_error();
    return tensor_value(n == 1 ? x[0] : g_concat(l->g, x, n, axis));
}

static Value op_stack(Lower *l, Call *c)
{
    int n;
    int64_t axis = 0, dim[BM_DIMS];
    Node **x = tensors_of(l, c, &n);
    if (!x || (c->b.given[1] && !arg_int(l, c, 1, &axis)) || !check_alike(l, c, x, n, -1))
        return value_error();
    int ndim = x[0]->type.ndim;
    if (ndim == BM_DIMS || axis < -ndim - 1 || axis > ndim) {
        diag_error(l->d, c->at, "cannot stack %s along axis %" PRId64, type_text(l->a, &x[0]->type),
                   axis);
        return value_error();
    }
    axis += axis < 0 ? ndim + 1 : 0;
    for (int i = 0; i <= ndim; i++)
        dim[i] = i < axis ? x[0]->type.dim[i] : i == axis ? 1 : x[0]->type.dim[i - 1];
    for (int i = 0; i < n; i++)
        x[i] = g_reshape(l->g, x[i], ndim + 1, dim);
    return tensor_value(n == 1 ? x[0] : g_concat(l->g, x, n, (int)axis));
}

static Value op_pad(Lower *l, Call *c)
{
    Node *x = arg_node(l, c, 0);
    int64_t before, after = 0;
    int axis;
    if (!x || !arg_int(l, c, 1, &before) || (c->b.given[2] && !arg_int(l, c, 2, &after)) ||
        !arg_axis(l, c, 3, x, &axis))
        return value_error();
    if (before < 0 || after < 0) {
        diag_error(l->d, c->at, "cannot pad with %" PRId64 " and %" PRId64 " elements", before,
                   after);
        diag_help(l->d, "x[a:b] takes elements away");
        return value_error();
    }
    return tensor_value(before || after ? g_pad(l->g, x, axis, before, after) : x);
}

static Value op_arange(Lower *l, Call *c)
{
    int64_t start, end, step = 1;
    if (!arg_int(l, c, 0, &start) || (arg_given(c, 1) && !arg_int(l, c, 1, &end)) ||
        (arg_given(c, 2) && !arg_int(l, c, 2, &step)))
        return value_error();
    if (!arg_given(c, 1)) {
        end = start;
        start = 0;
    }
    bool fits = start >= INT32_MIN && start <= INT32_MAX && end >= INT32_MIN && end <= INT32_MAX &&
                step != 0 && step >= INT32_MIN && step <= INT32_MAX;
    int64_t span = fits ? end - start : 0, size = span;
    if (fits)
        size = step > 0 ? (span + step - 1) / step : (span + step + 1) / step;
    if (!fits || size < 1) {
        diag_error(l->d, c->at, "arange(%s..) has no elements, or some beyond 32 bits",
                   value_text(l->a, &c->b.v[0]));
        return value_error();
    }
    Type t = {.dtype = DT_INT, .ndim = 1, .dim = {size}};
    return tensor_value(g_iota(l->g, &t, 0, start, step));
}

const Operator ops_shape[] = {{"reshape", "x, shape", op_reshape, 0, true},
                              {"transpose", "x, order", op_transpose, 0, true},
                              {"split", "x, parts, axis = -1", op_split, 0, true},
                              {"concat", "tensors, axis = -1", op_concat, 0, true},
                              {"stack", "tensors, axis = 0", op_stack, 0, true},
                              {"pad", "x, before, after = 0, axis = -1", op_pad, 0, true},
                              {"arange", "first, end = none, step = 1", op_arange, 0, true},
                              {NULL, NULL, NULL, 0, false}};
