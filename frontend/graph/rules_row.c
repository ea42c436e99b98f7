/* rules_row.c - types of reductions, row ops and indices. */
#include "frontend/graph/rules.h"

#include <inttypes.h>

static Type without(Type t, uint32_t axes)
{
    for (int i = 0; i < t.ndim; i++)
        if (axes >> i & 1)
            t.dim[i] = 1;
    return t;
}

static bool has_axes(const Rule *r, uint32_t axes)
{
    if (axes < 1u << r->in[0]->type.ndim)
        return true;
    rule_error(r, "`%s`: %s has %d axes", op_symbol(r->op), rule_text(r, 0), r->in[0]->type.ndim);
    return false;
}

Type rule_reduce(const Rule *r)
{
    rule_operands(r, 1, 1);
    if (!has_axes(r, r->attr->reduce.axes))
        return type_error;
    if (r->in[0]->type.dtype == DT_BOOL)
        return rule_error(r, "`%s` needs numbers, got %s", op_symbol(r->op), rule_text(r, 0));
    return without(r->in[0]->type, r->attr->reduce.axes);
}

Type rule_argmax(const Rule *r)
{
    rule_operands(r, 1, 1);
    Type t = rule_reduce(r);
    if (t.dtype == DT_ERROR || !rule_one_axis(r, r->attr->reduce.axes))
        return type_error;
    t.dtype = DT_INT;
    return t;
}

Type rule_row(const Rule *r)
{
    rule_operands(r, 1, 1);
    bool ok = rule_float(r, 0) && rule_one_axis(r, r->attr->reduce.axes);
    return ok ? r->in[0]->type : type_error;
}

Type rule_row_keep(const Rule *r)
{
    Type t = rule_row(r);
    return t.dtype == DT_ERROR ? t : without(t, r->attr->reduce.axes);
}

Type rule_cumsum(const Rule *r)
{
    rule_operands(r, 1, 1);
    if (r->in[0]->type.dtype == DT_BOOL)
        return rule_error(r, "`cumsum` needs numbers, got %s", rule_text(r, 0));
    return rule_one_axis(r, r->attr->cumsum.axes) ? r->in[0]->type : type_error;
}

Type rule_top_k(const Rule *r)
{
    rule_operands(r, 1, 1);
    Type t = r->in[0]->type;
    int k = r->attr->top_k.k;
    if (!rule_float(r, 0))
        return type_error;
    if (t.ndim == 0 || k < 1 || k > t.dim[t.ndim - 1])
        return rule_error(r, "`top_k`: the last axis of %s has no %d largest", rule_text(r, 0), k);
    t.dim[t.ndim - 1] = k;
    return t;
}

/* Appends dims from..ndim-1 of x to t. */
static bool append(Type *t, const Type *x, int from)
{
    for (int i = from; i < x->ndim; i++) {
        if (t->ndim == BM_DIMS)
            return false;
        t->dim[t->ndim++] = x->dim[i];
    }
    return true;
}

static Type too_many_axes(const Rule *r)
{
    return rule_error(r, "`%s` gives more than %d axes", op_symbol(r->op), BM_DIMS);
}

Type rule_gather(const Rule *r)
{
    rule_operands(r, 2, 2);
    const Type *table = &r->in[0]->type, *idx = &r->in[1]->type;
    if (!rule_int(r, 1))
        return type_error;
    if (table->ndim == 0)
        return rule_error(r, "a scalar has no axis to index");
    Type t = *idx;
    t.dtype = table->dtype;
    t.batched |= table->batched;
    return append(&t, table, 1) ? t : too_many_axes(r);
}

/* idx [i...], dy [i..., d...] -> [rows, d...], summed over the samples. */
Type rule_scatter(const Rule *r)
{
    rule_operands(r, 2, 2);
    const Type *idx = &r->in[0]->type, *dy = &r->in[1]->type;
    if (!rule_int(r, 0) || !rule_float(r, 1))
        return type_error;
    Type t = {.dtype = DT_F32, .ndim = 1, .dim = {r->attr->scatter.rows}};
    for (int i = 0; i < idx->ndim; i++)
        if (i >= dy->ndim || dy->dim[i] != idx->dim[i])
            return rule_error(r, "`scatter`: indices are %s but values %s", rule_text(r, 0),
                              rule_text(r, 1));
    return append(&t, dy, idx->ndim) ? t : too_many_axes(r);
}

Type rule_pick(const Rule *r)
{
    rule_operands(r, 2, 2);
    Type t = r->in[0]->type;
    const Type *idx = &r->in[1]->type;
    if (!rule_int(r, 1))
        return type_error;
    t.ndim--;
    if (t.ndim < 0 || !same_shape(&t, idx))
        return rule_error(r, "`pick` needs one index per row, got %s and %s", rule_text(r, 0),
                          rule_text(r, 1));
    t.batched |= idx->batched;
    return t;
}

Type rule_one_hot(const Rule *r)
{
    rule_operands(r, 1, 1);
    Type t = r->in[0]->type;
    if (!rule_int(r, 0))
        return type_error;
    if (t.ndim == BM_DIMS)
        return too_many_axes(r);
    t.dtype = DT_F32;
    t.dim[t.ndim++] = r->attr->scatter.rows;
    return t;
}

Type rule_batch_sum(const Rule *r)
{
    rule_operands(r, 1, 1);
    if (!has_axes(r, r->attr->reduce.axes) || !rule_float(r, 0))
        return type_error;
    assert(r->in[0]->type.batched && "batch_sum of a value that is no value per sample");
    Type t = without(r->in[0]->type, r->attr->reduce.axes);
    t.batched = false;
    return t;
}

/* x and, when given, its weight: the shapes broadcast, bools count as 0 and 1. */
Type rule_average(const Rule *r)
{
    rule_operands(r, 1, 2);
    Type t = r->in[0]->type;
    if (r->n_in == 2 && !broadcast_dims(&t, &r->in[1]->type, &t))
        return rule_error(r, "`average` needs a weight that broadcasts, got %s and %s",
                          rule_text(r, 0), rule_text(r, 1));
    return (Type){.dtype = DT_F32};
}

Type rule_assign(const Rule *r)
{
    rule_operands(r, 2, 2);
    const Type *to = &r->in[0]->type, *v = &r->in[1]->type;
    assert((r->in[0]->op == OP_PARAM || r->in[0]->op == OP_BUFFER || r->in[0]->op == OP_STATE) &&
           "only storage is assigned to");
    if (v->batched)
        return rule_error(r,
                          "`:=` needs one value for all samples, but %s differs from sample to "
                          "sample",
                          rule_text(r, 1));
    if (!type_same(to, v))
        return rule_error(r, "`:=` needs a value of the buffer's type %s, got %s", rule_text(r, 0),
                          rule_text(r, 1));
    return *to;
}

Type rule_sum_squares(const Rule *r)
{
    assert(r->n_in > 0 && "squares of something");
    for (int i = 0; i < r->n_in; i++)
        assert(!r->in[i]->type.batched && r->in[i]->type.dtype == DT_F32 && "of gradients");
    return (Type){.dtype = DT_F32};
}
