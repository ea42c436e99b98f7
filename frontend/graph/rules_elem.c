/* rules_elem.c - types of leaves and elementwise ops. */
#include "frontend/graph/rules.h"

Type rule_leaf(const Rule *r)
{
    rule_operands(r, 0, 0);
    if (r->op == OP_SAMPLE_INDEX)
        return (Type){.dtype = DT_INT, .batched = true};
    assert((r->op != OP_CONST || r->type->ndim == 0) && "a constant is one number");
    assert((r->op == OP_INPUT || r->op == OP_RANDOM || !r->type->batched) &&
           "storage that lasts, constants and indices have no batch");
    return *r->type;
}

Type rule_unary(const Rule *r)
{
    rule_operands(r, 1, 1);
    if (r->in[0]->type.dtype == DT_BOOL && r->op != OP_DETACH)
        return rule_error(r, "`%s` needs a number, got %s", op_symbol(r->op), rule_text(r, 0));
    return r->in[0]->type;
}

Type rule_unary_float(const Rule *r)
{
    rule_operands(r, 1, 1);
    return rule_float(r, 0) ? r->in[0]->type : type_error;
}

Type rule_unary_bool(const Rule *r)
{
    rule_operands(r, 1, 1);
    if (r->in[0]->type.dtype != DT_BOOL)
        return rule_error(r, "`%s` needs a bool, got %s", op_symbol(r->op), rule_text(r, 0));
    return r->in[0]->type;
}

Type rule_cast(const Rule *r)
{
    rule_operands(r, 1, 1);
    Type t = r->in[0]->type;
    t.dtype = r->type->dtype;
    return t;
}

static Type broadcast_all(const Rule *r, DType dtype)
{
    Type t = {.dtype = dtype};
    for (int i = 0; i < r->n_in; i++) {
        t.batched |= r->in[i]->type.batched;
        if (broadcast_dims(&t, &r->in[i]->type, &t))
            continue;
        if (r->n_in == 2)
            return rule_error(r, "`%s` needs equal sizes, or 1, from the right: got %s and %s",
                              op_symbol(r->op), rule_text(r, 0), rule_text(r, 1));
        return rule_error(r, "`%s` needs equal sizes, or 1, from the right: got %s, %s and %s",
                          op_symbol(r->op), rule_text(r, 0), rule_text(r, 1), rule_text(r, 2));
    }
    return t;
}

/* Both of one dtype; g2() has turned int with float into float. */
static bool alike(const Rule *r, int i, int j)
{
    if (r->in[i]->type.dtype == r->in[j]->type.dtype)
        return true;
    rule_error(r, "`%s` needs two values of one kind, got %s and %s", op_symbol(r->op),
               rule_text(r, i), rule_text(r, j));
    return false;
}

static Type no_bools(const Rule *r)
{
    int i = r->in[0]->type.dtype == DT_BOOL ? 0 : 1;
    rule_error(r, "`%s` needs numbers, got %s", op_symbol(r->op), rule_text(r, i));
    diag_help(r->g->diag, "`where(condition, 1, 0)` is a number");
    return type_error;
}

Type rule_binary(const Rule *r)
{
    rule_operands(r, 2, 2);
    if (r->in[0]->type.dtype == DT_BOOL || r->in[1]->type.dtype == DT_BOOL)
        return no_bools(r);
    return alike(r, 0, 1) ? broadcast_all(r, r->in[0]->type.dtype) : type_error;
}

Type rule_binary_float(const Rule *r)
{
    rule_operands(r, 2, 2);
    if (r->in[0]->type.dtype == DT_BOOL || r->in[1]->type.dtype == DT_BOOL)
        return no_bools(r);
    return rule_float(r, 0) && rule_float(r, 1) ? broadcast_all(r, DT_F32) : type_error;
}

Type rule_binary_int(const Rule *r)
{
    rule_operands(r, 2, 2);
    for (int i = 0; i < 2; i++)
        if (r->in[i]->type.dtype != DT_INT)
            return rule_error(r, "`%s` needs ints, got %s and %s", op_symbol(r->op),
                              rule_text(r, 0), rule_text(r, 1));
    return broadcast_all(r, DT_INT);
}

Type rule_compare(const Rule *r)
{
    rule_operands(r, 2, 2);
    bool order = r->op == OP_LT || r->op == OP_LE;
    if (order && (r->in[0]->type.dtype == DT_BOOL || r->in[1]->type.dtype == DT_BOOL))
        return no_bools(r);
    return alike(r, 0, 1) ? broadcast_all(r, DT_BOOL) : type_error;
}

Type rule_binary_bool(const Rule *r)
{
    rule_operands(r, 2, 2);
    for (int i = 0; i < 2; i++)
        if (r->in[i]->type.dtype != DT_BOOL)
            return rule_error(r, "`%s` needs bools, got %s and %s", op_symbol(r->op),
                              rule_text(r, 0), rule_text(r, 1));
    return broadcast_all(r, DT_BOOL);
}

Type rule_where(const Rule *r)
{
    rule_operands(r, 3, 3);
    if (r->in[0]->type.dtype != DT_BOOL)
        return rule_error(r, "`where` needs a bool condition, got %s", rule_text(r, 0));
    return alike(r, 1, 2) ? broadcast_all(r, r->in[1]->type.dtype) : type_error;
}
