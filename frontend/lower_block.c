/* lower_block.c - instances: members, stacks, parameters, asserts; what nobody uses. */
#include "frontend/lower_ctx.h"

#include <inttypes.h>
#include <math.h>

#ifdef BM_SMALL_LIMITS
enum { MAX_NESTED = 64, MAX_DEPTH = 300, MAX_WORK = 4000, MAX_STACK = 100 };
#else
enum { MAX_NESTED = 64, MAX_DEPTH = 2500, MAX_WORK = 2000000, MAX_STACK = 100000 };
#endif

bool enter(Lower *l, Span at)
{
    if (l->work++ == MAX_WORK)
        diag_error(l->d, at, "the model unrolls to more than %d steps", MAX_WORK);
    if (l->work > MAX_WORK)
        return false;
    if (l->depth >= MAX_DEPTH) {
        diag_error(l->d, at, "nested too deeply");
        l->work = MAX_WORK + 1; /* the same would be said at every level on the way back */
        return false;
    }
    l->depth++;
    return true;
}

void leave(Lower *l)
{
    l->depth--;
}

static const char *join(Lower *l, const char *path, const char *name)
{
    return *path ? arena_printf(l->a, "%s.%s", path, name) : name;
}

static bool members(Lower *l, Inst *inst, Env *env, const MemberList *list);

/* One name, one member; a let may not share it. */
static bool add_slot(Lower *l, Inst *inst, const Name *name, const Slot *s)
{
    const Slot *old = map_get(inst->member, name->text);
    if (old) {
        diag_error(l->d, name->at, "member `%s` is declared twice", name->text);
        diag_note(l->d, old->at, "first here");
        return false;
    }
    Slot *copy = arena_make(l->a, Slot);
    *copy = *s;
    map_put(inst->member, name->text, copy);
    return true;
}

/* The value of a member's expression must be a block with its arguments. */
static Made *made_of(Lower *l, const Env *env, const Expr *e)
{
    Value v = eval(l, env, e);
    if (v.kind == VAL_MADE)
        return v.made;
    if (v.kind == VAL_ERROR)
        return NULL;
    diag_error(l->d, e->at, "a member is a block with its arguments, got %s", value_what(&v));
    if (v.kind == VAL_BLOCK)
        diag_help(l->d, "%s(..)", v.block->name);
    else if (v.kind != VAL_OPERATOR)
        diag_help(l->d, "`let name = value` names a constant");
    return NULL;
}

static bool add_child(Lower *l, Inst *inst, const Env *env, const Member *m)
{
    Made *made = made_of(l, env, m->child.value);
    if (!made)
        return false;
    Slot s = {.kind = SLOT_CHILD, .at = m->child.name.at};
    s.inst = make_instance(l, made, join(l, inst->path, m->child.name.text), m->at, inst, false);
    return s.inst && add_slot(l, inst, &m->child.name, &s);
}

/* Over a count or a tuple: how many, and what the index is worth. */
static bool stack_count(Lower *l, const Value *over, Span at, int *n)
{
    int64_t count = 0;
    if (over->kind == VAL_TUPLE) {
        count = over->tuple->n;
    } else if (!want_int(l, over, at, "the count of a stack", &count)) {
        return false;
    } else if (count < 0 || count > MAX_STACK) {
        diag_error(l->d, at, "a stack of %" PRId64 " elements: from 0 to %d are possible", count,
                   MAX_STACK);
        return false;
    }
    *n = (int)count;
    return true;
}

static bool add_stack(Lower *l, Inst *inst, const Env *env, const Member *m)
{
    Value over = eval(l, env, m->stack.over);
    int n;
    if (!stack_count(l, &over, m->stack.over->at, &n))
        return false;
    Stack *stack = arena_make(l->a, Stack);
    stack->path = join(l, inst->path, m->stack.name.text);
    stack->at = m->at;
    stack->v = arena_array(l->a, Inst *, n ? n : 1);
    for (int i = 0; i < n; i++) {
        Env e = *env;
        e.var = m->stack.var.text;
        e.var_value = over.kind == VAL_TUPLE ? over.tuple->v[i] : value_int(i);
        Made *made = made_of(l, &e, m->stack.value);
        if (!made)
            return false;
        const char *path = arena_printf(l->a, "%s.%d", stack->path, i);
        Inst *x = make_instance(l, made, path, m->at, inst, true);
        if (!x)
            return false;
        stack->v[stack->n++] = x;
    }
    Slot s = {.kind = SLOT_STACK, .at = m->stack.name.at, .stack = stack};
    return add_slot(l, inst, &m->stack.name, &s);
}

static bool param_shape(Lower *l, const Env *env, const Shape *shape, Type *t)
{
    *t = (Type){.dtype = DT_F32};
    int64_t count = 1;
    if (shape->dims.n > BM_DIMS) {
        diag_error(l->d, shape->at, "more than %d axes", BM_DIMS);
        return false;
    }
    for (int i = 0; i < shape->dims.n; i++) {
        const Dim *d = &shape->dims.v[i];
        int64_t size;
        if (!d->size) {
            diag_error(l->d, d->at, "`...` stands in the shape of an input only");
            return false;
        }
        if (!eval_int(l, env, d->size, "a size", &size))
            return false;
        if (size < 1 || !mul_ok(count, size, &count) || count > (int64_t)1 << 48) {
            diag_error(l->d, d->at, "size %" PRId64 " at axis %d: %s", size, i,
                       size < 1 ? "a size is at least 1" : "more than 2^48 elements");
            return false;
        }
        t->dim[t->ndim++] = size;
    }
    return true;
}

/* A parameter of the prelude's blocks is shown where the user's file has the member it is in. */
static Span user_place(const Lower *l, const Inst *inst, Span at)
{
    while (inst && inst->block->file == l->prelude) {
        at = inst->at;
        inst = inst->parent;
    }
    return at;
}

static bool add_tensor(Lower *l, Inst *inst, const Env *env, const Member *m)
{
    Param p = {.path = join(l, inst->path, m->tensor.name.text),
               .at = user_place(l, inst, m->at),
               .instance = inst->index,
               .buffer = m->kind == MEMBER_BUFFER,
               .zero = ZERO_AUTO,
               .zero_at = NO_SPAN,
               .offload_at = NO_SPAN};
    if (!param_shape(l, env, &m->tensor.shape, &p.type))
        return false;
    Value v = eval(l, env, m->tensor.init);
    if (v.kind != VAL_INIT) {
        if (v.kind != VAL_ERROR)
            diag_error(l->d, m->tensor.init->at,
                       "an initial value is zeros, ones, fill(c), normal(std), uniform(a, b) or "
                       "npy(\"file\"), got %s",
                       value_what(&v));
        return false;
    }
    p.init = *v.init;
    Slot s = {.kind = SLOT_TENSOR, .at = m->tensor.name.at, .param = l->m->param.n};
    if (!add_slot(l, inst, &m->tensor.name, &s))
        return false;
    vec_push(l->a, &l->m->param, p);
    vec_push(l->a, &l->read, false);
    return true;
}

static bool add_let(Lower *l, const Env *env, const Let *let)
{
    if (map_find(env->arg, let->name.text) >= 0) {
        diag_error(l->d, let->name.at, "`%s` is defined already in this block", let->name.text);
        return false;
    }
    Value v = eval(l, env, let->value);
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind == VAL_MADE) {
        diag_error(l->d, let->value->at, "a let is a constant, got %s", value_what(&v));
        diag_help(l->d, "a member: %s: %s", let->name.text, source_text(l, let->value->at));
        return false;
    }
    Value *copy = arena_make(l->a, Value);
    *copy = v;
    map_put(env->arg, let->name.text, copy);
    return true;
}

static bool add_forward(Lower *l, Inst *inst, const Member *m)
{
    if (!inst->forward) {
        inst->forward = m;
        return true;
    }
    diag_error(l->d, m->forward.head, "%s has two forwards", inst->block->name);
    diag_note(l->d, inst->forward->forward.head, "the first is here");
    return false;
}

static bool add_member(Lower *l, Inst *inst, Env *env, const Member *m)
{
    bool taken;
    switch (m->kind) {
    case MEMBER_CHILD:
        return add_child(l, inst, env, m);
    case MEMBER_STACK:
        return add_stack(l, inst, env, m);
    case MEMBER_PARAM:
    case MEMBER_BUFFER:
        return add_tensor(l, inst, env, m);
    case MEMBER_LET:
        return add_let(l, env, &m->let);
    case MEMBER_ASSERT:
        return check_assert(l, env, &m->assertion);
    case MEMBER_IF:
        return eval_bool(l, env, m->branch.test, "`if`", &taken) &&
               members(l, inst, env, taken ? &m->branch.yes : &m->branch.no);
    case MEMBER_FORWARD:
        return add_forward(l, inst, m);
    }
    BUG("member of kind %d", m->kind);
}

/* Says where in the tree of instances the errors of this one belong. */
static void explain(Lower *l, const Inst *inst)
{
    if (l->d->errors <= l->explained)
        return;
    l->explained = l->d->errors;
    if (*inst->path && l->work <= MAX_WORK)
        diag_note(l->d, inst->at, "in %s", inst->path);
}

static bool members(Lower *l, Inst *inst, Env *env, const MemberList *list)
{
    bool ok = true;
    for (int i = 0; i < list->n; i++) {
        if (!enter(l, list->v[i]->at))
            return false;
        bool fine = add_member(l, inst, env, list->v[i]);
        leave(l);
        if (!fine)
            explain(l, inst);
        ok &= fine;
    }
    return ok;
}

Inst *make_instance(Lower *l, Made *made, const char *path, Span at, Inst *parent, bool element)
{
    Inst *inst = arena_make(l->a, Inst);
    *inst = (Inst){.block = made->block, .made = made, .path = path, .at = at, .parent = parent};
    inst->index = l->inst.n;
    inst->depth = parent ? parent->depth + 1 : 0;
    inst->unit = element ? inst->index : parent ? parent->unit : 0;
    if (inst->depth > MAX_NESTED) {
        diag_error(l->d, at, "blocks are nested more than %d deep: does %s contain itself?",
                   MAX_NESTED, made->block->name);
        l->work = MAX_WORK + 1;
        return NULL;
    }
    inst->member = map_new(l->a);
    vec_push(l->a, &l->inst, inst);
    Env env = body_env(inst, NULL);
    bool ok = members(l, inst, &env, &made->block->item->block.members);
    if (ok && made->block->is_model && !parent && !inst->forward) {
        diag_error(l->d, at, "the model has no forward");
        return NULL;
    }
    return ok ? inst : NULL;
}

/* ---- what nobody uses (LANGUAGE 3.21) ---- */

static bool inside_unused(const Inst *inst)
{
    for (const Inst *x = inst->parent; x; x = x->parent)
        if (!x->used)
            return true;
    return false;
}

void check_used(Lower *l)
{
    for (int i = 0; i < l->inst.n; i++) {
        const Inst *x = l->inst.v[i];
        if (x->used || inside_unused(x))
            continue;
        diag_error(l->d, x->at, "member `%s` is never called", x->path);
    }
    for (int i = 0; i < l->m->param.n; i++) {
        const Param *p = &l->m->param.v[i];
        const Inst *owner = l->inst.v[p->instance];
        if (l->read.v[i] || p->frozen || !owner->used || inside_unused(owner))
            continue;
        diag_error(l->d, p->at, "%s `%s` is never used", p->buffer ? "buffer" : "parameter",
                   p->path);
        if (!p->buffer)
            diag_help(l->d, "take it out, or keep it as it is: freeze %s = true", p->path);
    }
}
