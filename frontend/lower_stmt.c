/* lower_stmt.c - the statements of `forward`, unrolled. */
#include "frontend/lower_ctx.h"

#include <inttypes.h>

static void run(Lower *l, Env *env, const Stmt *s);

void run_body(Lower *l, Env *env, const StmtList *body)
{
    for (int i = 0; i < body->n && !env->frame->returned; i++) {
        const Stmt *s = body->v[i];
        if (!enter(l, s->at)) {
            env->frame->broken = true;
            return;
        }
        run(l, env, s);
        leave(l);
        if (l->d->errors > l->explained && *env->inst->path) {
            Span at = env->frame->call_at;
            diag_note(l->d, at, "in %s", env->inst->path);
        }
        l->explained = l->d->errors;
    }
}

/* ---- assignment ---- */

static void set_local(Lower *l, Frame *f, const char *name, Value v)
{
    Value *copy = arena_make(l->a, Value);
    *copy = v;
    map_put(f->local, name, copy);
}

/* LANGUAGE 3.3: members, block arguments and the file's names are not assigned to. */
static bool may_assign(Lower *l, const Env *env, const Name *name)
{
    Span at;
    if (map_find(env->frame->local, name->text) >= 0)
        return true;
    const Slot *s = map_get(env->inst->member, name->text);
    if (s || (env->arg && map_find(env->arg, name->text) >= 0)) {
        diag_error(l->d, name->at, "`%s` is %s: a forward cannot assign to it", name->text,
                   s ? "a member" : "an argument of the block");
        if (s)
            diag_note(l->d, s->at, "it is declared here");
        diag_help(l->d, "give the value a name of its own");
        return false;
    }
    if (!is_file_name(env->file, name->text, &at))
        return true;
    diag_error(l->d, name->at, "`%s` is defined by the file: a forward cannot assign to it",
               name->text);
    diag_note(l->d, at, "it is defined here");
    diag_help(l->d, "give the value a name of its own");
    return false;
}

/* A node made for this assignment takes its name. */
static void name_node(Lower *l, const Env *env, const Value *v, const char *name, int made_from)
{
    if (v->kind != VAL_TENSOR || v->node->id < made_from || v->node->name ||
        v->node->instance != env->inst->index)
        return;
    Node *n = v->node;
    n->name = name;
    n->path = *env->inst->path ? arena_printf(l->a, "%s.%s", env->inst->path, name) : name;
}

static void set_element(Lower *l, const Env *env, const Target *t, Value v)
{
    const Value *old = map_get(env->frame->local, t->name.text);
    int64_t k;
    if (!old) {
        if (may_assign(l, env, &t->name))
            diag_error(l->d, t->at, "`%s` has no value yet: start it with %s = ()", t->name.text,
                       t->name.text);
        set_local(l, env->frame, t->name.text, value_error());
        return;
    }
    if (old->kind == VAL_ERROR || !eval_int(l, env, t->index, "an index", &k))
        return;
    if (old->kind != VAL_TUPLE) {
        diag_error(l->d, t->at, "`%s` is %s: only elements of tuples are assigned to", t->name.text,
                   value_what(old));
        return;
    }
    int n = old->tuple->n;
    k += k < 0 ? n : 0;
    if (k < 0 || k > n) {
        diag_error(l->d, t->at, "no element %" PRId64 " in a tuple of %d (element %d would append)",
                   k, n, n);
        return;
    }
    if (k == n) {
        set_local(l, env->frame, t->name.text, value_append(l->a, old->tuple, v));
        return;
    }
    Value copy = value_tuple(l->a, old->tuple->v, n);
    copy.tuple->v[k] = v;
    l->work += n;
    set_local(l, env->frame, t->name.text, copy);
}

static void assign(Lower *l, const Env *env, const Target *t, Value v, int made_from)
{
    if (t->index) {
        set_element(l, env, t, v);
        return;
    }
    if (!may_assign(l, env, &t->name))
        return;
    name_node(l, env, &v, t->name.text, made_from);
    set_local(l, env->frame, t->name.text, v);
}

/* Several values, or one tuple taken apart. False: reported. */
static bool spread(Lower *l, const Stmt *s, const Value *v, int n_v, const Value **out)
{
    int n = s->assign.targets.n;
    *out = v;
    if (n_v == n)
        return true;
    if (n_v > 1) {
        diag_error(l->d, s->at, "%d names for %d values", n, n_v);
        return false;
    }
    if (v->kind == VAL_ERROR)
        return false;
    if (v->kind != VAL_TUPLE) {
        diag_error(l->d, s->at, "%d names for one value, %s", n, value_what(v));
        return false;
    }
    if (v->tuple->n != n) {
        diag_error(l->d, s->at, "%d names for a tuple of %d", n, v->tuple->n);
        return false;
    }
    *out = v->tuple->v;
    return true;
}

static void run_assign(Lower *l, const Env *env, const Stmt *s)
{
    int n = s->assign.values.n, made_from = l->g->node.n;
    Value *v = arena_array(l->a, Value, n);
    for (int i = 0; i < n; i++)
        v[i] = eval(l, env, s->assign.values.v[i]);
    const Value *each;
    bool ok = spread(l, s, v, n, &each);
    for (int i = 0; i < s->assign.targets.n; i++)
        assign(l, env, &s->assign.targets.v[i], ok ? each[i] : value_error(), made_from);
}

/* ---- `b := v` ---- */

static bool assigned_before(Lower *l, int param, Span at, const char *name)
{
    for (int i = 0; i < l->g->node.n; i++) {
        const Node *n = l->g->node.v[i];
        if (n->op != OP_ASSIGN || n->type.dtype == DT_ERROR || n->in[0]->attr.leaf.leaf != param)
            continue;
        diag_error(l->d, at, "`%s` is given its next value twice in one step", name);
        diag_note(l->d, n->at, "first here");
        return true;
    }
    return false;
}

static void run_update(Lower *l, const Env *env, const Stmt *s)
{
    const Name *name = &s->update.name;
    Slot *slot = map_get(env->inst->member, name->text);
    Value v = eval(l, env, s->update.value);
    if (!slot || slot->kind != SLOT_TENSOR || !l->m->param.v[slot->param].buffer) {
        diag_error(l->d, name->at, "`:=` is for a buffer of this block, and `%s` is none",
                   name->text);
        return;
    }
    if (v.kind == VAL_ERROR || !l->training)
        return; /* evaluation takes no step */
    Node *n = to_node(l, &v, s->update.value->at, DT_F32);
    Value buffer = slot_value(l, env->inst, slot, name->at);
    if (!n || buffer.kind != VAL_TENSOR ||
        assigned_before(l, slot->param, s->at, l->m->param.v[slot->param].path))
        return;
    n = as_float(l, n);
    Graph *g = l->g;
    g->at = s->at;
    Node *in[] = {buffer.node, n};
    g->update = true;
    vec_push(l->a, &l->program->root, graph_add(g, OP_ASSIGN, in, 2, NULL, NULL));
    g->update = false;
}

/* ---- return, report ---- */

static void run_return(Lower *l, Env *env, const Stmt *s)
{
    int n = s->values.n;
    Value *v = arena_array(l->a, Value, n);
    bool bad = false;
    for (int i = 0; i < n; i++) {
        v[i] = eval(l, env, s->values.v[i]);
        bad |= v[i].kind == VAL_ERROR;
    }
    env->frame->returned = true;
    env->frame->result_at = s->at;
    env->frame->result = bad ? value_error() : n == 1 ? v[0] : value_tuple(l->a, v, n);
}

static bool report_known(Lower *l, const Name *name)
{
    for (int i = 0; i < l->program->report.n; i++) {
        const Report *r = &l->program->report.v[i];
        if (strcmp(r->name, name->text) != 0)
            continue;
        diag_error(l->d, name->at, "`%s` is reported twice", name->text);
        diag_note(l->d, r->at, "first here");
        return true;
    }
    return false;
}

static void run_report(Lower *l, const Env *env, const Stmt *s)
{
    const Name *name = &s->let.name;
    Value v = eval(l, env, s->let.value);
    if (env->inst->depth > 0) {
        diag_error(l->d, s->at, "report stands in the model, not in a block");
        return;
    }
    if (v.kind == VAL_ERROR || report_known(l, name))
        return;
    Node *n = v.kind == VAL_TENSOR ? v.node : NULL;
    bool average = n && n->op == OP_AVERAGE;
    if (!average && !(n && n->type.batched && !l->training)) {
        diag_error(l->d, s->let.value->at, "report takes an average, got %s%s", value_what(&v),
                   n ? n->type.batched ? " with a value per sample" : " that is none" : "");
        if (n && n->type.batched)
            diag_help(l->d,
                      "average(..), or `if not training { report .. }`: one value per sample");
        return;
    }
    Report r = {.name = name->text, .value = n, .at = s->at};
    vec_push(l->a, &l->program->report, r);
}

/* ---- for, if ---- */

/* What this body would have assigned: a use of it names the branch (LANGUAGE 3.4). */
static void miss(Lower *l, Frame *f, const StmtList *body, Span where)
{
    for (int i = 0; i < body->n; i++) {
        const Stmt *s = body->v[i];
        if (s->kind == STMT_ASSIGN)
            for (int k = 0; k < s->assign.targets.n; k++) {
                Span *at = arena_make(l->a, Span);
                *at = where;
                map_put(f->missed, s->assign.targets.v[k].name.text, at);
            }
        if (s->kind == STMT_FOR)
            miss(l, f, &s->loop.body, where);
        if (s->kind == STMT_IF) {
            miss(l, f, &s->branch.yes, where);
            miss(l, f, &s->branch.no, where);
        }
    }
}

/* What a body that could not be run would have assigned: silent from here on. */
static void poison(Lower *l, Frame *f, const StmtList *body)
{
    f->broken = true;
    for (int i = 0; i < body->n; i++) {
        const Stmt *s = body->v[i];
        if (s->kind == STMT_ASSIGN)
            for (int k = 0; k < s->assign.targets.n; k++)
                set_local(l, f, s->assign.targets.v[k].name.text, value_error());
        if (s->kind == STMT_FOR)
            poison(l, f, &s->loop.body);
        if (s->kind == STMT_IF) {
            poison(l, f, &s->branch.yes);
            poison(l, f, &s->branch.no);
        }
    }
}

static void run_if(Lower *l, Env *env, const Stmt *s)
{
    bool yes;
    if (!eval_bool(l, env, s->branch.test, "`if`", &yes)) {
        poison(l, env->frame, &s->branch.yes);
        poison(l, env->frame, &s->branch.no);
        return;
    }
    miss(l, env->frame, yes ? &s->branch.no : &s->branch.yes, s->branch.test->at);
    run_body(l, env, yes ? &s->branch.yes : &s->branch.no);
}

/* How many turns, -1 when reported. */
static int64_t turns(Lower *l, const Value *over, Span at)
{
    int64_t n;
    if (over->kind == VAL_TUPLE)
        return over->tuple->n;
    if (over->kind == VAL_STACK)
        return over->stack->n;
    if (over->kind == VAL_TENSOR || over->kind != VAL_INT) {
        if (over->kind != VAL_ERROR)
            diag_error(l->d, at, "`for` runs over a count, a tuple or a stack, got %s",
                       value_what(over));
        return -1;
    }
    n = over->i;
    if (n >= 0)
        return n;
    diag_error(l->d, at, "`for` over a count of %" PRId64, n);
    return -1;
}

static void run_for(Lower *l, Env *env, const Stmt *s)
{
    Value over = eval(l, env, s->loop.over);
    const NameList *vars = &s->loop.vars;
    int64_t n = turns(l, &over, s->loop.over->at);
    if (vars->n > 2) {
        diag_error(l->d, vars->v[2].at,
                   "`for` gives an index and an element, so two names at most");
        return;
    }
    for (int i = 0; i < vars->n && n >= 0; i++)
        if (!may_assign(l, env, &vars->v[i]))
            n = -1;
    if (n < 0)
        poison(l, env->frame, &s->loop.body);
    if (n == 0)
        miss(l, env->frame, &s->loop.body, s->loop.over->at);
    for (int64_t i = 0; i < n && !env->frame->returned && enter(l, s->at); i++) {
        Value x = over.kind == VAL_INT ? value_int(i) : pick_element(l, &over, i, s->loop.over->at);
        if (vars->n == 2)
            set_local(l, env->frame, vars->v[0].text, value_int(i));
        set_local(l, env->frame, vars->v[vars->n - 1].text, x);
        run_body(l, env, &s->loop.body);
        leave(l);
    }
}

static void run(Lower *l, Env *env, const Stmt *s)
{
    switch (s->kind) {
    case STMT_ASSIGN:
        run_assign(l, env, s);
        return;
    case STMT_UPDATE:
        run_update(l, env, s);
        return;
    case STMT_RETURN:
        run_return(l, env, s);
        return;
    case STMT_REPORT:
        run_report(l, env, s);
        return;
    case STMT_ASSERT:
        check_assert(l, env, &s->assertion);
        return;
    case STMT_FOR:
        run_for(l, env, s);
        return;
    case STMT_IF:
        run_if(l, env, s);
        return;
    }
    BUG("statement of kind %d", s->kind);
}
