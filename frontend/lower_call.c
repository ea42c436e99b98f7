/* lower_call.c - calls: arguments bound to names, blocks given their arguments, forwards run. */
#include "frontend/lower_ops.h"

void binding_size(Lower *l, Binding *b, int n)
{
    b->n = n;
    b->name = arena_array(l->a, const char *, n + 1);
    b->optional = arena_array(l->a, bool, n + 1);
}

/* ---- arguments ---- */

static void show_signature(Lower *l, const Binding *b)
{
    if (b->declared.file < 0)
        diag_help(l->d, "%s(%s)", b->callee, b->args ? b->args : "");
    else
        diag_note(l->d, b->declared, "it is declared here: %s", source_text(l, b->declared));
}

static const char *renamed_keyword(const char *name)
{
    static const char *const row[][2] = {{"dim", "axis"},
                                         {"dims", "axis"},
                                         {"keepdim", "keep"},
                                         {"keepdims", "keep"},
                                         {"dropout_p", "dropout"},
                                         {"is_causal", "causal"},
                                         {"attn_mask", "mask"},
                                         {"num_heads", "heads"},
                                         {"n_heads", "heads"},
                                         {"num_kv_heads", "kv_heads"},
                                         {"in_features", "in"},
                                         {"out_features", "out"},
                                         {"num_embeddings", "rows"},
                                         {"embedding_dim", "width"},
                                         {"ignore_index", "ignore"},
                                         {"label_smoothing", "smoothing"},
                                         {"learning_rate", "lr"},
                                         {"weights", "weight"},
                                         {"warmup_steps", "warmup"},
                                         {"base", "theta"}};
    for (int i = 0; i < countof(row); i++)
        if (strcmp(row[i][0], name) == 0)
            return row[i][1];
    return NULL;
}

static int slot_of(const Binding *b, const char *name)
{
    for (int i = 0; i < b->n; i++)
        if (strcmp(b->name[i], name) == 0)
            return i;
    return -1;
}

static bool unknown_keyword(Lower *l, const Binding *b, const Name *name)
{
    const char *here = renamed_keyword(name->text);
    Map *names = map_new(l->a);
    for (int i = 0; i < b->n; i++)
        map_put(names, b->name[i], NULL);
    if (here && slot_of(b, here) >= 0) {
        diag_error(l->d, name->at, "`%s` has no argument `%s`: here it is called %s", b->callee,
                   name->text, here);
        return false;
    }
    diag_error(l->d, name->at, "`%s` has no argument `%s`", b->callee, name->text);
    did_you_mean(l, names, name->text);
    show_signature(l, b);
    return false;
}

static bool bind_one(Lower *l, Binding *b, const ArgVal *a, int place, bool after_keyword)
{
    int i = place;
    if (a->name.text) {
        i = slot_of(b, a->name.text);
        if (i < 0)
            return unknown_keyword(l, b, &a->name);
    } else if (after_keyword) {
        diag_error(l->d, a->at, "an argument without a name comes before those with one");
        return false;
    } else if (i >= b->n) {
        diag_error(l->d, a->at, "`%s` takes %s%d argument%s, this is number %d", b->callee,
                   b->n ? "at most " : "", b->n, b->n == 1 ? "" : "s", i + 1);
        show_signature(l, b);
        return false;
    }
    if (b->given[i]) {
        diag_error(l->d, a->at, "`%s` is given `%s` twice", b->callee, b->name[i]);
        diag_note(l->d, b->at[i], "first here");
        return false;
    }
    b->given[i] = true;
    b->v[i] = a->v;
    b->at[i] = a->at;
    return true;
}

bool bind_args(Lower *l, Binding *b, const ArgVal *arg, int n, Span call)
{
    b->v = arena_array(l->a, Value, b->n + 1);
    b->at = arena_array(l->a, Span, b->n + 1);
    b->given = arena_array(l->a, bool, b->n + 1);
    bool keyword = false;
    for (int i = 0; i < b->n; i++) {
        b->v[i] = value_none();
        b->at[i] = call;
    }
    for (int i = 0; i < n; i++) {
        if (!bind_one(l, b, &arg[i], i, keyword))
            return false;
        keyword |= arg[i].name.text != NULL;
    }
    for (int i = 0; i < b->n; i++) {
        if (b->given[i] || b->optional[i])
            continue;
        diag_error(l->d, call, "`%s` needs `%s`", b->callee, b->name[i]);
        show_signature(l, b);
        return false;
    }
    return true;
}

/* ---- blocks ---- */

static bool fits_argument(Lower *l, const Value *v, Span at)
{
    if (v->kind == VAL_ERROR)
        return false;
    if (v->kind != VAL_MADE)
        return true;
    diag_error(l->d, at, "an argument of a block is a constant, got %s", value_what(v));
    diag_help(l->d, "pass the block itself: %s", v->made->block->name);
    return false;
}

static Value call_block(Lower *l, const Env *env, const Expr *call, Block *block, const ArgVal *arg,
                        int n)
{
    const AstParamList *params = &block->item->block.params;
    if (env->frame) {
        diag_error(l->d, call->at, "a block becomes a member before forward can call it");
        diag_help(l->d, "in the block: name: %s, in forward: name(..)", source_text(l, call->at));
        return value_error();
    }
    Binding b = {.callee = block->name, .declared = block->item->head};
    binding_size(l, &b, params->n);
    for (int i = 0; i < params->n; i++) {
        b.name[i] = params->v[i].name.text;
        b.optional[i] = params->v[i].fallback != NULL;
    }
    if (!bind_args(l, &b, arg, n, call->at))
        return value_error();
    Made *made = arena_make(l->a, Made);
    *made = (Made){block, map_new(l->a), call};
    Env own = {.file = block->file, .arg = made->arg, .limit = INT32_MAX};
    for (int i = 0; i < b.n; i++) {
        Value *v = arena_make(l->a, Value);
        *v = b.given[i] ? b.v[i] : eval(l, &own, params->v[i].fallback);
        if (!fits_argument(l, v, b.at[i]))
            return value_error();
        map_put(made->arg, b.name[i], v);
    }
    return (Value){.kind = VAL_MADE, .made = made};
}

/* ---- forward ---- */

Frame *new_frame(Lower *l, Inst *inst, Span call)
{
    Frame *f = arena_make(l->a, Frame);
    *f = (Frame){.inst = inst, .forward = inst->forward, .call_at = call};
    f->local = map_new(l->a);
    f->missed = map_new(l->a);
    f->result = value_error();
    return f;
}

Env body_env(Inst *inst, Frame *f)
{
    return (Env){.file = inst->block->file,
                 .arg = inst->made->arg,
                 .block = inst->block,
                 .inst = f ? inst : NULL,
                 .frame = f,
                 .limit = INT32_MAX};
}

Value run_forward(Lower *l, Env *env)
{
    Graph *g = l->g;
    Frame *f = env->frame;
    const char *path = g->path;
    int instance = g->cur_instance;
    g->path = f->inst->path;
    g->cur_instance = f->inst->index;
    int errors = l->d->errors;
    run_body(l, env, &f->forward->forward.body);
    g->path = path;
    g->cur_instance = instance;
    if (!f->returned && !f->broken && l->d->errors == errors)
        diag_error(l->d, f->forward->forward.head, "forward of %s returns nothing",
                   f->inst->block->name);
    return f->returned ? f->result : value_error();
}

static Value call_instance(Lower *l, Inst *inst, const ArgVal *arg, int n, const Expr *call)
{
    inst->used = true;
    if (!inst->forward) {
        diag_error(l->d, call->at, "`%s` (%s) has no forward to call", inst->path,
                   inst->block->name);
        return value_error();
    }
    const AstInputList *in = &inst->forward->forward.inputs;
    Binding b = {.callee = inst->path, .declared = inst->forward->forward.head};
    binding_size(l, &b, in->n);
    for (int i = 0; i < in->n; i++) {
        b.name[i] = in->v[i].name.text;
        b.optional[i] = in->v[i].fallback != NULL;
    }
    if (!bind_args(l, &b, arg, n, call->at))
        return value_error();
    Frame *f = new_frame(l, inst, call->at);
    Env env = body_env(inst, f), body = body_env(inst, NULL);
    for (int i = 0; i < in->n; i++) {
        Value *v = arena_make(l->a, Value);
        *v = b.given[i] ? b.v[i] : eval(l, &body, in->v[i].fallback);
        if (v->kind == VAL_ERROR || !check_input(l, &env, &in->v[i], v, b.at[i]))
            return value_error();
        map_put(f->local, b.name[i], v);
    }
    return run_forward(l, &env);
}

/* h(x, m): every element gets what the one before it gave, and the same m. */
static Value call_stack(Lower *l, const Stack *stack, const ArgVal *arg, int n, const Expr *call)
{
    if (n == 0 || arg[0].name.text) {
        diag_error(l->d, call->at,
                   "a stack threads its first argument through its elements: "
                   "give it one without a name");
        return value_error();
    }
    ArgVal *each = arena_array(l->a, ArgVal, n);
    memcpy(each, arg, (size_t)n * sizeof *each);
    for (int i = 0; i < stack->n && each[0].v.kind != VAL_ERROR; i++)
        each[0].v = call_instance(l, stack->v[i], each, n, call);
    return each[0].v;
}

/* ---- operators ---- */

/* "x, axis = none, keep = false" taken apart, once per operator. */
static const Binding *signature(Lower *l, const Operator *op)
{
    Binding *b = map_get(l->sig, op->name);
    if (b)
        return b;
    b = arena_make(l->a, Binding);
    *b = (Binding){.callee = op->name, .declared = NO_SPAN, .args = op->args};
    int n = 0;
    for (const char *p = op->args; *p; p++)
        n += *p == ',';
    binding_size(l, b, n + 1);
    b->n = 0;
    int open = 0;
    for (const char *p = op->args; *p;) {
        size_t word = strspn(p, "abcdefghijklmnopqrstuvwxyz_0123456789");
        b->name[b->n] = arena_strndup(l->a, p, word);
        for (p += word; *p && (open || *p != ','); p++) {
            open += (*p == '(') - (*p == ')');
            b->optional[b->n] |= *p == '=';
        }
        b->n++;
        p += *p ? 2 : 0;
    }
    map_put(l->sig, op->name, b);
    return b;
}

static Value call_operator(Lower *l, const Env *env, const Expr *call, const Operator *op,
                           const ArgVal *arg, int n)
{
    Call c = {.op = op, .env = env, .at = call->at, .rest = arg, .n_rest = n};
    if (!op->fn) {
        diag_error(l->d, call->at, "not built yet: `%s`", op->name);
        return value_error();
    }
    if (op->tensors && !l->g) {
        diag_error(l->d, call->at, "`%s` makes a tensor: tensors exist in forward only", op->name);
        return value_error();
    }
    if (strcmp(op->args, "...") != 0) {
        c.b = *signature(l, op);
        if (!bind_args(l, &c.b, arg, n, call->at))
            return value_error();
    }
    if (l->g)
        l->g->at = call->at;
    return op->fn(l, &c);
}

Value call_value(Lower *l, const Env *env, const Expr *call, const Value *fn, const ArgVal *arg,
                 int n)
{
    if (fn->kind == VAL_OPERATOR)
        return call_operator(l, env, call, fn->op, arg, n);
    if (fn->kind == VAL_BLOCK)
        return call_block(l, env, call, fn->block, arg, n);
    if (fn->kind == VAL_INSTANCE)
        return call_instance(l, fn->inst, arg, n, call);
    if (fn->kind == VAL_STACK)
        return call_stack(l, fn->stack, arg, n, call);
    diag_error(l->d, call->at, "`%s` is %s: it cannot be called", source_text(l, call->call.fn->at),
               value_what(fn));
    return value_error();
}
