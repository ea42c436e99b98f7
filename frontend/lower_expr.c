/* lower_expr.c - the value of an expression: constants are computed, tensors become nodes. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

static Value eval_tuple(Lower *l, const Env *env, const Expr *e)
{
    Value *v = arena_array(l->a, Value, e->items.n + 1);
    bool bad = false;
    for (int i = 0; i < e->items.n; i++) {
        v[i] = eval(l, env, e->items.v[i]);
        bad |= v[i].kind == VAL_ERROR;
    }
    return bad ? value_error() : value_tuple(l->a, v, e->items.n);
}

static Value eval_unary(Lower *l, const Env *env, const Expr *e)
{
    Value v = eval(l, env, e->unary.of);
    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind != VAL_TENSOR)
        return const_unary(l, e->unary.op, &v, e->at);
    l->g->at = e->at;
    return tensor_value(g1(l->g, e->unary.op == UN_NEG ? OP_NEG : OP_NOT, v.node));
}

static Value eval_binary(Lower *l, const Env *env, const Expr *e)
{
    Value a = eval(l, env, e->binary.left), b = eval(l, env, e->binary.right);
    if (a.kind == VAL_ERROR || b.kind == VAL_ERROR)
        return value_error();
    if (a.kind != VAL_TENSOR && b.kind != VAL_TENSOR)
        return const_binary(l, e->binary.op, &a, &b, e->at);
    Span operand[] = {e->binary.left->at, e->binary.right->at};
    return build_binary(l, e->binary.op, &a, &b, e->at, operand);
}

static Value eval_if(Lower *l, const Env *env, const Expr *e)
{
    bool yes;
    if (!eval_bool(l, env, e->cond.test, "the condition", &yes))
        return value_error();
    return eval(l, env, yes ? e->cond.yes : e->cond.no);
}

static Value field_of(Lower *l, const Env *env, Inst *inst, const Name *name)
{
    Slot *s = map_get(inst->member, name->text);
    if (s) {
        if (!env->frame) {
            diag_error(l->d, name->at, "members are known in forward only");
            return value_error();
        }
        return slot_value(l, inst, s, name->at);
    }
    const char *path = *inst->path ? inst->path : inst->block->name;
    if (declared_member(inst, name->text)) {
        diag_error(l->d, name->at, "member `%s` does not exist in this instance of %s", name->text,
                   inst->block->name);
        diag_note(l->d, inst->at, "`%s` is declared here: %s", path, source_text(l, inst->at));
        diag_help(l->d, "has(%s) says whether it exists", name->text);
        return value_error();
    }
    diag_error(l->d, name->at, "`%s` (%s) has no member `%s`", path, inst->block->name, name->text);
    did_you_mean(l, declared_names(l, inst), name->text);
    return value_error();
}

static Value eval_field(Lower *l, const Env *env, const Expr *e)
{
    const Expr *of = e->field.of;
    Value v;
    if (of->kind == EXPR_NAME && strcmp(of->text, "nn") == 0 &&
        !find_name(l, env, "nn", of->at, &v)) {
        diag_error(l->d, e->at, "unknown name `nn`: here it is called %s", e->field.name.text);
        return value_error();
    }
    v = eval(l, env, of);
    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind == VAL_INSTANCE)
        return field_of(l, env, v.inst, &e->field.name);
    if (v.kind == VAL_STACK) {
        diag_error(l->d, e->field.name.at, "`%s` is a stack: its elements have members, %s[0].%s",
                   v.stack->path, v.stack->path, e->field.name.text);
        return value_error();
    }
    if (called_here(l, e->field.name.text, e->field.name.at, true))
        return value_error();
    diag_error(l->d, e->field.name.at, "%s has no members: `.%s` is for members", value_what(&v),
               e->field.name.text);
    if (map_get(l->op, e->field.name.text))
        diag_help(l->d, "there are no methods: %s(%s, ..)", e->field.name.text,
                  source_text(l, of->at));
    return value_error();
}

static Value eval_transpose(Lower *l, const Env *env, const Expr *e)
{
    Value v = eval(l, env, e->of);
    if (v.kind == VAL_ERROR)
        return v;
    if (v.kind != VAL_TENSOR) {
        diag_error(l->d, e->at, "' swaps the last two axes of a tensor, got %s", value_what(&v));
        return value_error();
    }
    if (v.node->type.ndim < 2) {
        diag_error(l->d, e->at, "' swaps the last two axes, but %s has %d",
                   type_text(l->a, &v.node->type), v.node->type.ndim);
        operand_notes(l, &v.node, &e->of->at, 1);
        return value_error();
    }
    l->g->at = e->at;
    return tensor_value(g_swap(l->g, v.node));
}

/* ---- calls ---- */

static Value eval_has(Lower *l, const Env *env, const Expr *e)
{
    const Expr *x = e->call.args.n == 1 ? e->call.args.v[0].value : NULL;
    if (!env->frame || !x || (x->kind != EXPR_NAME && x->kind != EXPR_FIELD)) {
        diag_error(l->d, e->at, "%s",
                   env->frame ? "has(name) takes the name of one member or input"
                              : "has(name) is for forward: members are not known yet here");
        return value_error();
    }
    Inst *inst = env->inst;
    const char *name = x->kind == EXPR_NAME ? x->text : x->field.name.text;
    if (x->kind == EXPR_FIELD) {
        Value of = eval(l, env, x->field.of);
        if (of.kind != VAL_INSTANCE) {
            if (of.kind != VAL_ERROR)
                diag_error(l->d, x->at, "has(a.b) asks a member, got %s", value_what(&of));
            return value_error();
        }
        inst = of.inst;
    } else {
        const Value *local = map_get(env->frame->local, name);
        if (local)
            return value_bool(local->kind != VAL_NONE);
    }
    if (map_get(inst->member, name))
        return value_bool(true);
    if (declared_member(inst, name))
        return value_bool(false);
    diag_error(l->d, x->at, "`%s` is no member of %s and no input", name, inst->block->name);
    Map *names = declared_names(l, inst);
    for (int i = 0; inst == env->inst && i < env->frame->local->n; i++)
        map_put(names, env->frame->local->key[i], NULL);
    did_you_mean(l, names, name);
    return value_error();
}

static bool is_has(Lower *l, const Env *env, const Expr *fn)
{
    Value v;
    return fn->kind == EXPR_NAME && strcmp(fn->text, "has") == 0 &&
           find_name(l, env, "has", fn->at, &v) && v.kind == VAL_OPERATOR;
}

static Value eval_call(Lower *l, const Env *env, const Expr *e)
{
    const Expr *fn = e->call.fn;
    if (is_has(l, env, fn))
        return eval_has(l, env, e);
    Value f = eval(l, env, fn);
    int n = e->call.args.n;
    ArgVal *arg = arena_array(l->a, ArgVal, n + 1);
    bool bad = f.kind == VAL_ERROR;
    for (int i = 0; i < n; i++) {
        const Arg *a = &e->call.args.v[i];
        arg[i] = (ArgVal){a->name, eval(l, env, a->value), a->value->at};
        bad |= arg[i].v.kind == VAL_ERROR;
    }
    return bad ? value_error() : call_value(l, env, e, &f, arg, n);
}

/* ---- the whole ---- */

static Value eval_kind(Lower *l, const Env *env, const Expr *e)
{
    Value v;
    switch (e->kind) {
    case EXPR_NAME:
        if (!find_name(l, env, e->text, e->at, &v))
            return unknown_name(l, env, e->text, e->at);
        return v;
    case EXPR_INT:
        return value_int(e->i);
    case EXPR_FLOAT:
        return value_float(e->f);
    case EXPR_STRING:
        return value_string(e->text);
    case EXPR_BOOL:
        return value_bool(e->b);
    case EXPR_NONE:
        return value_none();
    case EXPR_TUPLE:
        return eval_tuple(l, env, e);
    case EXPR_UNARY:
        return eval_unary(l, env, e);
    case EXPR_BINARY:
        return eval_binary(l, env, e);
    case EXPR_IF:
        return eval_if(l, env, e);
    case EXPR_FIELD:
        return eval_field(l, env, e);
    case EXPR_CALL:
        return eval_call(l, env, e);
    case EXPR_INDEX:
        return eval_index(l, env, e);
    case EXPR_TRANSPOSE:
        return eval_transpose(l, env, e);
    }
    BUG("expression of kind %d", e->kind);
}

Value eval(Lower *l, const Env *env, const Expr *e)
{
    if (!enter(l, e->at))
        return value_error();
    Value v = eval_kind(l, env, e);
    leave(l);
    return v;
}
