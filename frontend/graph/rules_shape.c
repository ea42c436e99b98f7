/* rules_shape.c - types of views, pads and concatenations. */
#include "frontend/graph/rules.h"

#include <inttypes.h>

Type rule_reshape(const Rule *r)
{
    rule_operands(r, 1, 1);
    Type t = *r->type, *x = &r->in[0]->type;
    t.dtype = x->dtype;
    t.batched = x->batched;
    int64_t n = 1;
    for (int i = 0; i < t.ndim; i++)
        if (!mul_ok(n, t.dim[i], &n))
            n = -1;
    if (n != type_count(x))
        return rule_error(r, "cannot reshape %s (%" PRId64 " elements) to %s (%" PRId64 ")",
                          rule_text(r, 0), type_count(x), type_text(r->g->arena, &t), n);
    return t;
}

Type rule_transpose(const Rule *r)
{
    rule_operands(r, 1, 1);
    const Type *x = &r->in[0]->type;
    Type t = *x;
    uint32_t seen = 0;
    for (int i = 0; i < t.ndim; i++) {
        int k = r->attr->transpose.perm[i];
        if (k < 0 || k >= t.ndim || seen >> k & 1)
            return rule_error(r, "`transpose` needs each axis of %s once", rule_text(r, 0));
        seen |= 1u << k;
        t.dim[i] = x->dim[k];
    }
    return t;
}

static bool has_axis(const Rule *r, int axis)
{
    if (axis >= 0 && axis < r->in[0]->type.ndim)
        return true;
    rule_error(r, "`%s`: %s has no axis %d", op_symbol(r->op), rule_text(r, 0), axis);
    return false;
}

Type rule_slice(const Rule *r)
{
    rule_operands(r, 1, 1);
    int axis = r->attr->slice.axis;
    int64_t lo = r->attr->slice.lo, hi = r->attr->slice.hi;
    if (!has_axis(r, axis))
        return type_error;
    Type t = r->in[0]->type;
    if (lo < 0 || hi > t.dim[axis] || lo >= hi)
        return rule_error(r,
                          "no elements %" PRId64 ":%" PRId64 " along axis %d of %s, which has "
                          "%" PRId64,
                          lo, hi, axis, rule_text(r, 0), t.dim[axis]);
    t.dim[axis] = hi - lo;
    return t;
}

Type rule_broadcast(const Rule *r)
{
    rule_operands(r, 1, 1);
    const Type *x = &r->in[0]->type;
    Type t = *r->type, fit;
    t.dtype = x->dtype;
    if ((x->batched && !t.batched) || !broadcast_dims(x, &t, &fit) || !same_shape(&fit, &t))
        return rule_error(r, "cannot broadcast %s to %s", rule_text(r, 0),
                          type_text(r->g->arena, &t));
    return t;
}

Type rule_pad(const Rule *r)
{
    rule_operands(r, 1, 1);
    int axis = r->attr->pad.axis;
    if (!has_axis(r, axis))
        return type_error;
    Type t = r->in[0]->type;
    int64_t before = r->attr->pad.before, after = r->attr->pad.after;
    if (before < 0 || after < 0 || !add_ok(t.dim[axis], before, &t.dim[axis]) ||
        !add_ok(t.dim[axis], after, &t.dim[axis]))
        return rule_error(r, "`pad` cannot add %" PRId64 " and %" PRId64 " elements", before,
                          after);
    return t;
}

Type rule_concat(const Rule *r)
{
    rule_operands(r, 1, INT32_MAX);
    int axis = r->attr->concat.axis;
    if (!has_axis(r, axis))
        return type_error;
    Type t = r->in[0]->type;
    for (int i = 1; i < r->n_in; i++) {
        Type x = r->in[i]->type;
        int64_t size = x.ndim == t.ndim ? x.dim[axis] : 0;
        t.batched |= x.batched;
        x.dim[axis] = t.dim[axis];
        if (!same_shape(&x, &t) || x.dtype != t.dtype)
            return rule_error(r, "`concat` along axis %d needs equal other sizes, got %s and %s",
                              axis, rule_text(r, 0), rule_text(r, i));
        if (!add_ok(t.dim[axis], size, &t.dim[axis]))
            return rule_error(r, "`concat` gives too many elements");
    }
    return t;
}
