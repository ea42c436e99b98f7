/* lower_name.c - what a name means at its place (LANGUAGE 3.1, 3.2), and what was meant instead. */
#include "frontend/lower_ops.h"

/* ---- members ---- */

static const Name *name_of(const Member *m)
{
    switch (m->kind) {
    case MEMBER_CHILD:
        return &m->child.name;
    case MEMBER_STACK:
        return &m->stack.name;
    case MEMBER_PARAM:
    case MEMBER_BUFFER:
        return &m->tensor.name;
    case MEMBER_LET:
    case MEMBER_ASSERT:
    case MEMBER_FORWARD:
    case MEMBER_IF:
        return NULL;
    }
    BUG("member of kind %d", m->kind);
}

/* A member of this name, or with `let` a let, also where a branch was not taken. */
static const Member *declared_in(const MemberList *list, const char *name, bool let)
{
    for (int i = 0; i < list->n; i++) {
        const Member *m = list->v[i], *found = NULL;
        const Name *n = let ? m->kind == MEMBER_LET ? &m->let.name : NULL : name_of(m);
        if (n && strcmp(n->text, name) == 0)
            return m;
        if (m->kind == MEMBER_IF) {
            found = declared_in(&m->branch.yes, name, let);
            found = found ? found : declared_in(&m->branch.no, name, let);
        }
        if (found)
            return found;
    }
    return NULL;
}

const Member *declared_member(const Inst *inst, const char *name)
{
    return declared_in(&inst->block->item->block.members, name, false);
}

static void add_declared(const MemberList *list, Map *to)
{
    for (int i = 0; i < list->n; i++) {
        const Name *n = name_of(list->v[i]);
        if (n)
            map_put(to, n->text, NULL);
        if (list->v[i]->kind == MEMBER_IF) {
            add_declared(&list->v[i]->branch.yes, to);
            add_declared(&list->v[i]->branch.no, to);
        }
    }
}

Map *declared_names(Lower *l, const Inst *inst)
{
    Map *m = map_new(l->a);
    add_declared(&inst->block->item->block.members, m);
    return m;
}

/* The leaf of a parameter or buffer, stamped with where it was declared. */
static Node *param_leaf(Lower *l, int param)
{
    Graph *g = l->g;
    const Param *p = &l->m->param.v[param];
    Span at = g->at;
    const char *path = g->path, *name = g->name;
    int instance = g->cur_instance;
    g->at = p->at;
    g->path = p->path;
    const char *dot = strrchr(p->path, '.');
    g->name = dot ? dot + 1 : p->path;
    g->cur_instance = p->instance;
    Attr attr = {0};
    attr.leaf.leaf = param;
    Node *n = graph_add(g, p->buffer ? OP_BUFFER : OP_PARAM, NULL, 0, &attr, &p->type);
    g->at = at;
    g->path = path;
    g->name = name;
    g->cur_instance = instance;
    return n;
}

Value slot_value(Lower *l, Inst *inst, Slot *s, Span at)
{
    (void)at;
    inst->used = true;
    switch (s->kind) {
    case SLOT_CHILD:
        return (Value){.kind = VAL_INSTANCE, .inst = s->inst};
    case SLOT_STACK:
        return (Value){.kind = VAL_STACK, .stack = s->stack};
    case SLOT_TENSOR:
        l->read.v[s->param] = true;
        return tensor_value(param_leaf(l, s->param));
    }
    BUG("member of kind %d", s->kind);
}

/* ---- look-up ---- */

static bool find_in_file(Lower *l, FileScope *f, int limit, const char *name, Span at, Value *out)
{
    Entry *e = map_get(f->entry, name);
    if (!e)
        return false;
    if (e->block || e->index < limit)
        return entry_value(l, f, e, out);
    diag_error(l->d, at, "`%s` is defined below: a let may use earlier lets only", name);
    diag_note(l->d, e->at, "it is defined here");
    *out = value_error();
    return true;
}

static bool find_constant(Lower *l, const char *name, Span at, Value *out)
{
    static const struct {
        const char *name;
        InitKind kind;
    } init[] = {{"zeros", INIT_ZEROS}, {"ones", INIT_ONES}};
    if (strcmp(name, "pi") == 0) {
        *out = value_float(3.14159265358979323846);
        return true;
    }
    if (strcmp(name, "training") == 0) {
        if (l->g) {
            *out = value_bool(l->training);
            return true;
        }
        diag_error(l->d, at,
                   "`training` is known in forward only: members and settings are the "
                   "same in training and evaluation");
        *out = value_error();
        return true;
    }
    if (strcmp(name, "batch") == 0)
        return batch_size(l, at, out);
    for (int i = 0; i < countof(init); i++)
        if (strcmp(name, init[i].name) == 0) {
            Init *v = arena_make(l->a, Init);
            v->kind = init[i].kind;
            *out = (Value){.kind = VAL_INIT, .init = v};
            return true;
        }
    return false;
}

bool find_name(Lower *l, const Env *env, const char *name, Span at, Value *out)
{
    const Value *v = NULL;
    if (env->frame)
        v = map_get(env->frame->local, name);
    if (!v && env->inst) {
        Slot *s = map_get(env->inst->member, name);
        if (s) {
            *out = slot_value(l, env->inst, s, at);
            return true;
        }
    }
    if (!v && env->var && strcmp(env->var, name) == 0)
        v = &env->var_value;
    if (!v && env->arg)
        v = map_get(env->arg, name);
    if (v) {
        *out = *v;
        return true;
    }
    if (find_in_file(l, env->file, env->limit, name, at, out))
        return true;
    for (int i = 0; i < env->file->used.n; i++)
        if (find_in_file(l, env->file->used.v[i], INT32_MAX, name, at, out))
            return true;
    if (env->file != l->prelude && find_in_file(l, l->prelude, INT32_MAX, name, at, out))
        return true;
    if (find_constant(l, name, at, out))
        return true;
    const Operator *op = map_get(l->op, name);
    if (op)
        *out = (Value){.kind = VAL_OPERATOR, .op = op};
    return op != NULL;
}

bool is_file_name(const FileScope *f, const char *name, Span *at)
{
    const Entry *e = map_get(f->entry, name);
    for (int i = 0; !e && i < f->used.n; i++)
        e = map_get(f->used.v[i]->entry, name);
    if (e)
        *at = e->at;
    return e != NULL;
}

/* ---- what was meant ---- */

void did_you_mean(Lower *l, const Map *names, const char *name)
{
    const char *near = map_nearest(names, name);
    if (near && name[0] && name[1]) /* any letter is near to any other */
        diag_help(l->d, "did you mean `%s`?", near);
}

static void add_names(Map *to, const Map *from)
{
    for (int i = 0; from && i < from->n; i++)
        map_put(to, from->key[i], from->val[i]);
}

Map *visible_names(Lower *l, const Env *env)
{
    Map *m = map_new(l->a);
    if (env->frame)
        add_names(m, env->frame->local);
    if (env->inst)
        add_names(m, env->inst->member);
    add_names(m, env->arg);
    if (env->var)
        map_put(m, env->var, NULL);
    add_names(m, env->file->entry);
    for (int i = 0; i < env->file->used.n; i++)
        add_names(m, env->file->used.v[i]->entry);
    add_names(m, l->prelude->entry);
    add_names(m, l->op);
    static const char *const word[] = {"pi", "training", "batch", "zeros", "ones"};
    for (int i = 0; i < countof(word); i++)
        map_put(m, word[i], NULL);
    return m;
}

bool called_here(Lower *l, const char *name, Span at, bool field)
{
    static const struct {
        const char *there, *here;
        bool field_only;
    } row[] = {
        {"view", "reshape(x, (a, b))", false},
        {"permute", "transpose(x, (1, 0))", false},
        {"cat", "concat((a, b), axis = -1)", false},
        {"chunk", "split(x, n)", false},
        {"nn", "a block's own name: Linear(..), not nn.Linear(..)", false},
        {"torch", "an operator's own name: exp(x), not torch.exp(x)", false},
        {"F", "an operator's own name: relu(x), not F.relu(x)", false},
        {"T", "x' (the last two axes change places)", true},
        {"matmul", "a @ b", false},
        {"mm", "a @ b", false},
        {"bmm", "a @ b", false},
        {"pow", "x ** y", false},
        {"rsqrt", "1 / sqrt(x)", false},
        {"unsqueeze", "reshape(x, ..)", false},
        {"squeeze", "reshape(x, ..)", false},
        {"flatten", "reshape(x, (-1,))", false},
        {"masked_fill", "where(mask, value, x)", false},
        {"log_softmax", "x - logsumexp(x, axis = -1, keep = true)", false},
        {"scaled_dot_product_attention", "attention(q, k, v, heads = ..)", false},
        {"CrossEntropyLoss", "cross_entropy(logits, targets)", false},
        {"MSELoss", "mse(a, b)", false},
        {"mse_loss", "mse(a, b)", false},
        {"Dropout", "dropout(x, p)", false},
        {"ReLU", "relu(x)", false},
        {"GELU", "gelu(x)", false},
        {"SiLU", "silu(x)", false},
        {"Sequential", "a stack: h[n]: Block(..), then h(x)", false},
        {"ModuleList", "a stack: h[n]: Block(..), then h[i](x)", false},
        {"amax", "max(x, axis = ..)", false},
        {"amin", "min(x, axis = ..)", false},
        {"maximum", "max(a, b)", false},
        {"minimum", "min(a, b)", false},
        {"rand", "random(dims..)", false},
        {"topk", "top_k(x, k)", false},
        {"swish", "silu(x)", false},
        {"to", "fp32(x) or int(x)", true},
        {"shape", "a name in the input's shape: forward(x: [T, width])", true},
        {"size", "a name in the input's shape: forward(x: [T, width])", true},
    };
    for (int i = 0; i < countof(row); i++)
        if (strcmp(row[i].there, name) == 0 && (field || !row[i].field_only)) {
            diag_error(l->d, at, "unknown name `%s`: here it is called %s", name, row[i].here);
            return true;
        }
    return false;
}

/* A name of the block that its body does not see: a let below, a member. */
static bool not_in_body(Lower *l, const Env *env, const char *name, Span at)
{
    if (!env->block || env->inst)
        return false;
    const MemberList *list = &env->block->item->block.members;
    const Member *let = declared_in(list, name, true), *m = declared_in(list, name, false);
    if (let) {
        diag_error(l->d, at, "`%s` is defined below: a let may use earlier lets only", name);
        diag_note(l->d, let->at, "it is defined here");
    } else if (m) {
        diag_error(l->d, at, "`%s` is a member: outside forward a block sees constants only", name);
        diag_note(l->d, m->at, "it is declared here");
    }
    return let || m;
}

Value unknown_name(Lower *l, const Env *env, const char *name, Span at)
{
    const Span *missed = env->frame ? map_get(env->frame->missed, name) : NULL;
    const Member *m = env->inst ? declared_member(env->inst, name) : NULL;
    if (missed) {
        diag_error(l->d, at, "`%s` has no value here: it is assigned only in a branch not taken",
                   name);
        diag_note(l->d, *missed, "the branch: %s", source_text(l, *missed));
    } else if (m) {
        diag_error(l->d, at, "member `%s` does not exist in this instance of %s", name,
                   env->inst->block->name);
        diag_note(l->d, m->at, "it is declared under a condition");
        diag_help(l->d, "has(%s) says whether it exists", name);
    } else if (!not_in_body(l, env, name, at) && !called_here(l, name, at, false)) {
        diag_error(l->d, at, "unknown name `%s`", name);
        did_you_mean(l, visible_names(l, env), name);
    }
    return value_error();
}
