/* rules_heavy.c - types of matrix products, attention and further results. */
#include "frontend/graph/rules.h"

#include <inttypes.h>

Type rule_matmul(const Rule *r)
{
    rule_operands(r, 2, 2);
    const Type *a = &r->in[0]->type, *b = &r->in[1]->type;
    if (!rule_float(r, 0) || !rule_float(r, 1))
        return type_error;
    if (a->ndim < 2 || b->ndim < 2)
        return rule_error(r, "`@` needs matrices, got %s and %s", rule_text(r, 0), rule_text(r, 1));
    if (a->dim[a->ndim - 1] != b->dim[b->ndim - 2])
        return rule_error(r, "`@` needs equal inner sizes, got %" PRId64 " and %" PRId64,
                          a->dim[a->ndim - 1], b->dim[b->ndim - 2]);
    Type t = {.dtype = DT_F32, .batched = a->batched || b->batched};
    if (!broadcast_leading(a, b, 2, &t))
        return rule_error(r, "`@` needs equal leading sizes, or 1: got %s and %s", rule_text(r, 0),
                          rule_text(r, 1));
    t.dim[t.ndim] = a->dim[a->ndim - 2];
    t.dim[t.ndim + 1] = b->dim[b->ndim - 1];
    t.ndim += 2;
    return t;
}

/* a [..., R, M], b [..., R, N] -> [M, N]: summed over samples, leading axes and R. */
Type rule_matmul_acc(const Rule *r)
{
    rule_operands(r, 2, 2);
    const Type *a = &r->in[0]->type, *b = &r->in[1]->type;
    assert(a->ndim >= 2 && a->ndim == b->ndim && (a->batched || b->batched) && "operands of a sum");
    for (int i = 0; i < a->ndim - 1; i++)
        if (a->dim[i] != b->dim[i])
            BUG("matmul_acc of %s and %s", rule_text(r, 0), rule_text(r, 1));
    return (Type){.dtype = DT_F32, .ndim = 2, .dim = {a->dim[a->ndim - 1], b->dim[b->ndim - 1]}};
}

/* mask and bias broadcast to [heads, Tq, Tk]. */
static bool attention_extra(const Rule *r, int i, DType dtype)
{
    int64_t tq = r->in[0]->type.dim[0], tk = r->in[1]->type.dim[0];
    Type full = {.ndim = 3, .dim = {r->attr->attention.heads, tq, tk}}, fit;
    const Type *x = &r->in[i]->type;
    const char *what = dtype == DT_BOOL ? "mask" : "bias";
    if (x->dtype != dtype) {
        rule_error(r, "`attention` needs a %s %s, got %s", dtype_name(dtype), what,
                   rule_text(r, i));
        return false;
    }
    if (broadcast_dims(x, &full, &fit) && same_shape(&fit, &full))
        return true;
    rule_error(r, "`attention`: the %s %s does not broadcast to %s", what, rule_text(r, i),
               type_text(r->g->arena, &full));
    return false;
}

static bool attention_heads(const Rule *r)
{
    int64_t heads = r->attr->attention.heads, kv = r->attr->attention.kv_heads;
    const Type *q = &r->in[0]->type, *k = &r->in[1]->type, *v = &r->in[2]->type;
    if (heads < 1 || kv < 1 || heads % kv)
        rule_error(r, "`attention`: kv_heads must divide heads, got %" PRId64 " and %" PRId64, kv,
                   heads);
    else if (q->dim[1] % heads)
        rule_error(r, "`attention`: %" PRId64 " heads do not divide the width of q, %s", heads,
                   rule_text(r, 0));
    else if (k->dim[1] % kv || q->dim[1] / heads != k->dim[1] / kv)
        rule_error(r,
                   "`attention`: q has %" PRId64 " heads of width %" PRId64
                   ", so k must be [Tk, %" PRId64 "], got %s",
                   heads, q->dim[1] / heads, q->dim[1] / heads * kv, rule_text(r, 1));
    else if (v->dim[1] % kv || v->dim[0] != k->dim[0])
        rule_error(r, "`attention`: k is %s, which does not go with v, %s, in %" PRId64 " heads",
                   rule_text(r, 1), rule_text(r, 2), kv);
    else
        return true;
    return false;
}

/* What ATTENTION and its gradient share; extras begin at operand `extra`. */
static bool attention_operands(const Rule *r, int extra)
{
    int has_mask = r->attr->attention.has_mask, has_bias = r->attr->attention.has_bias;
    if (r->n_in != extra + has_mask + has_bias)
        BUG("attention with %d operands", r->n_in);
    for (int i = 0; i < 3; i++) {
        if (!rule_float(r, i))
            return false;
        if (r->in[i]->type.ndim != 2) {
            rule_error(r, "`attention` works on [T, heads * width], got %s", rule_text(r, i));
            return false;
        }
    }
    int64_t tq = r->in[0]->type.dim[0], tk = r->in[1]->type.dim[0];
    if ((r->attr->attention.causal || r->attr->attention.window) && tq != tk) {
        rule_error(r,
                   "causal and windowed `attention` need as many queries as keys, got %" PRId64
                   " and %" PRId64,
                   tq, tk);
        return false;
    }
    return attention_heads(r) && (!has_mask || attention_extra(r, extra, DT_BOOL)) &&
           (!has_bias || attention_extra(r, extra + has_mask, DT_F32));
}

static bool any_batched(const Rule *r)
{
    for (int i = 0; i < r->n_in; i++)
        if (r->in[i]->type.batched)
            return true;
    return false;
}

Type rule_attention(const Rule *r)
{
    rule_operands(r, 3, 5);
    if (!attention_operands(r, 3))
        return type_error;
    int64_t dv = r->in[2]->type.dim[1] / r->attr->attention.kv_heads;
    return (Type){.dtype = DT_F32,
                  .batched = any_batched(r),
                  .ndim = 2,
                  .dim = {r->in[0]->type.dim[0], dv * r->attr->attention.heads}};
}

/* Operands q k v o lse do [mask] [bias]; results dq, then dk, dv, dbias. */
Type rule_attention_grad(const Rule *r)
{
    rule_operands(r, 6, 8);
    if (!attention_operands(r, 6))
        BUG("attention_grad of operands that attention would not take");
    Type t = r->in[0]->type;
    t.batched = any_batched(r);
    return t;
}

Type rule_part(const Rule *r)
{
    rule_operands(r, 1, 1);
    Type part[3];
    int n = op_parts(r->in[0], part), i = r->attr->part.index;
    if (i < 1 || i > n)
        BUG("%s has no result %d", op_info[r->in[0]->op].name, i);
    return part[i - 1];
}
