/* lower.c - files and their names: `use`, `let`, -D; and the order of the pass. */
#include "frontend/lower_ops.h"

#include "embedded.h"

enum { MAX_FILES_DEEP = 32 };

const char *prelude_text(void)
{
    return bm_text_prelude_bm;
}

const char *source_text(Lower *l, Span at)
{
    if (at.file < 0)
        return "";
    char *s =
        arena_strndup(l->a, l->sources->list.v[at.file]->text + at.lo, (size_t)(at.hi - at.lo));
    char *to = s;
    for (const char *p = s; *p; p++) { /* a newline and its indentation are one space */
        bool blank = *p == ' ' || *p == '\n' || *p == '\t' || *p == '\r';
        if (!blank)
            *to++ = *p;
        else if (to > s && to[-1] != ' ')
            *to++ = ' ';
    }
    *to = 0;
    return s;
}

/* ---- files ---- */

static const char *folder_of(Arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(a, path, (size_t)(slash - path) + 1) : "";
}

static bool add_entry(Lower *l, FileScope *f, Entry *e)
{
    Entry *old = map_get(f->entry, e->name);
    if (!old) {
        map_put(f->entry, e->name, e);
        return true;
    }
    diag_error(l->d, e->at, "`%s` is defined twice", e->name);
    diag_note(l->d, old->at, "first here");
    return false;
}

static bool add_block(Lower *l, FileScope *f, const Item *item, int index)
{
    Block *b = arena_make(l->a, Block);
    *b = (Block){item->block.name.text, item, f, item->kind == ITEM_MODEL};
    if (b->is_model) {
        if (f->model) {
            diag_error(l->d, item->head, "a file has one model");
            diag_note(l->d, f->model->head, "the first is here");
            return false;
        }
        f->model = item;
        f->model_block = b;
    }
    Entry *e = arena_make(l->a, Entry);
    *e = (Entry){
        .name = b->name, .at = item->block.name.at, .index = index, .item = item, .block = b};
    return add_entry(l, f, e);
}

static bool add_section(Lower *l, const Item **slot, const Item *item, const char *name)
{
    if (!*slot) {
        *slot = item;
        return true;
    }
    diag_error(l->d, item->head, "a file has one `%s` section", name);
    diag_note(l->d, (*slot)->head, "the first is here");
    return false;
}

static bool add_use(Lower *l, FileScope *f, const Item *item)
{
    if (item->use.args.n) {
        diag_error(l->d, item->use.args.v[0].at, "not built yet: `use` with replaced lets");
        return false;
    }
    const char *path = item->use.path;
    if (path[0] != '/')
        path = arena_printf(l->a, "%s%s", f->dir, path);
    FileScope *u = load_file(l, path, item->use.path_at, f);
    if (!u)
        return false;
    vec_push(l->a, &f->used, u);
    vec_push(l->a, &f->used_at, item->use.path_at);
    return true;
}

/* Two uses may not bring one name (the same file twice brings all of them twice). */
static bool check_uses(Lower *l, const FileScope *f)
{
    for (int i = 0; i < f->used.n; i++)
        for (int j = 0; j < i; j++)
            for (int k = 0; k < f->used.v[i]->entry->n; k++) {
                const char *name = f->used.v[i]->entry->key[k];
                if (map_find(f->used.v[j]->entry, name) < 0)
                    continue;
                diag_error(l->d, f->used_at.v[i], "`%s` is also brought by \"%s\"", name,
                           f->used.v[j]->path);
                diag_note(l->d, f->used_at.v[j], "used here");
                return false;
            }
    return true;
}

static bool add_items(Lower *l, FileScope *f)
{
    bool ok = true;
    for (int i = 0; i < f->file->items.n; i++) {
        const Item *item = f->file->items.v[i];
        switch (item->kind) {
        case ITEM_USE:
            ok &= add_use(l, f, item);
            break;
        case ITEM_LET: {
            Entry *e = arena_make(l->a, Entry);
            *e = (Entry){
                .name = item->let.name.text, .at = item->let.name.at, .index = i, .item = item};
            ok &= add_entry(l, f, e);
            break;
        }
        case ITEM_BLOCK:
        case ITEM_MODEL:
            ok &= add_block(l, f, item, i);
            break;
        case ITEM_TRAIN:
            ok &= add_section(l, &f->train, item, "train");
            break;
        case ITEM_PLAN:
            ok &= add_section(l, &f->plan, item, "plan");
            break;
        case ITEM_NAMES:
            diag_error(l->d, item->head, "not built yet: `names`");
            ok = false;
            break;
        }
    }
    return ok & check_uses(l, f);
}

static FileScope *new_file(Lower *l, const char *path, int source, FileScope *by)
{
    FileScope *f = arena_make(l->a, FileScope);
    f->path = path;
    f->dir = folder_of(l->a, path);
    f->entry = map_new(l->a);
    f->by = by;
    vec_push(l->a, &l->files, f);
    f->file = parse_file(l->a, l->sources, source, l->d);
    bool ok = f->file && add_items(l, f);
    f->by = NULL;
    return ok ? f : NULL;
}

FileScope *load_file(Lower *l, const char *path, Span at, FileScope *by)
{
    int deep = 0;
    for (const FileScope *f = by; f; f = f->by) {
        if (++deep > MAX_FILES_DEEP || strcmp(f->path, path) == 0) {
            diag_error(l->d, at, "\"%s\" is used in a circle", path);
            return NULL;
        }
    }
    for (int i = 0; i < l->files.n; i++)
        if (by && strcmp(l->files.v[i]->path, path) == 0)
            return l->files.v[i];
    const char *why = NULL;
    int source = source_read(l->sources, path, &why);
    if (source < 0) {
        diag_error(l->d, at, "%s", why);
        return NULL;
    }
    return new_file(l, path, source, by);
}

static bool load_prelude(Lower *l)
{
    int source =
        source_add(l->sources, "prelude.bm", bm_text_prelude_bm, (int)strlen(bm_text_prelude_bm));
    l->prelude = new_file(l, "prelude.bm", source, NULL);
    return l->prelude != NULL;
}

/* ---- lets ---- */

bool entry_value(Lower *l, FileScope *f, Entry *e, Value *out)
{
    if (e->block) {
        *out = (Value){.kind = VAL_BLOCK, .block = e->block};
        return true;
    }
    if (e->state == LET_BUSY) {
        diag_error(l->d, e->at, "`%s` is defined by itself", e->name);
        e->value = value_error();
        e->state = LET_DONE;
    }
    if (e->state == LET_TODO) {
        e->state = LET_BUSY;
        Env env = {.file = f, .limit = e->index};
        Value v = eval(l, &env, e->item->let.value);
        if (v.kind == VAL_MADE || !is_constant(&v)) {
            diag_error(l->d, e->item->let.value->at, "a let is a constant, got %s", value_what(&v));
            if (v.kind == VAL_MADE)
                diag_help(l->d, "without its arguments a block is one: let %s = %s", e->name,
                          v.made->block->name);
            v = value_error();
        }
        e->value = v;
        e->state = LET_DONE;
    }
    *out = e->value;
    return true;
}

/* -D: the value, of the kind the let has. */
static bool replace_let(Lower *l, Entry *e, const Define *def)
{
    Value was, v;
    entry_value(l, l->main, e, &was);
    if (was.kind == VAL_ERROR)
        return false;
    if (was.kind == VAL_STRING) {
        e->value = (Value){.kind = VAL_STRING, .text = def->value};
        return true;
    }
    int source = source_add(l->sources, arena_printf(l->a, "-D %s=%s", def->name, def->value),
                            def->value, (int)strlen(def->value));
    const Expr *x = parse_expr_text(l->a, l->sources, source, l->d);
    if (!x)
        return false;
    Env env = {.file = l->main, .limit = e->index};
    v = eval(l, &env, x);
    if (v.kind == VAL_ERROR)
        return false;
    if (was.kind == VAL_FLOAT && v.kind == VAL_INT)
        v = value_float((double)v.i);
    bool word = was.kind == VAL_BLOCK || was.kind == VAL_OPERATOR;
    bool fits = v.kind == was.kind || was.kind == VAL_NONE || v.kind == VAL_NONE ||
                (word && (v.kind == VAL_BLOCK || v.kind == VAL_OPERATOR));
    if (!fits || v.kind == VAL_MADE || !is_constant(&v)) {
        diag_error(l->d, x->at, "`%s` is %s, so -D cannot make it %s", e->name, value_what(&was),
                   value_what(&v));
        diag_note(l->d, e->at, "`%s` is defined here", e->name);
        return false;
    }
    e->value = v;
    return true;
}

static bool find_define(Lower *l, const Define *def)
{
    Entry *e = map_get(l->main->entry, def->name);
    if (e && !e->block)
        return true;
    Map *lets = map_new(l->a);
    for (int i = 0; i < l->main->entry->n; i++) {
        Entry *x = l->main->entry->val[i];
        if (!x->block)
            map_put(lets, x->name, x);
    }
    diag_error(l->d, NO_SPAN, "-D %s: %s has no `let %s`", def->name, l->main->path, def->name);
    did_you_mean(l, lets, def->name);
    return false;
}

/* In the order of the file, so that a let sees what -D made of earlier ones. */
static bool all_lets(Lower *l, const Define *define, int n)
{
    bool ok = true;
    for (int i = 0; i < n; i++)
        ok &= find_define(l, &define[i]);
    for (int i = 0; i < l->main->entry->n; i++) {
        Entry *e = l->main->entry->val[i];
        for (int j = 0; j < n; j++)
            if (!e->block && strcmp(define[j].name, e->name) == 0)
                ok &= replace_let(l, e, &define[j]);
    }
    for (int k = 0; k < l->files.n; k++)
        for (int i = 0; i < l->files.v[k]->entry->n; i++) {
            Value v;
            entry_value(l, l->files.v[k], l->files.v[k]->entry->val[i], &v);
            ok &= v.kind != VAL_ERROR;
        }
    return ok;
}

/* ---- the model ---- */

static Block *find_model(Lower *l)
{
    Block *found = l->main->model_block;
    for (int i = 0; !l->main->model_block && i < l->main->used.n; i++) {
        Block *b = l->main->used.v[i]->model_block;
        if (b && found) {
            diag_error(l->d, l->main->used_at.v[i], "two used files have a model: `%s` and `%s`",
                       found->name, b->name);
            return NULL;
        }
        found = b ? b : found;
    }
    if (!found) {
        diag_error(l->d, NO_SPAN, "%s has no model", l->main->path);
        diag_help(l->d, "model NAME { ... forward(..) { ... return cross_entropy(..) } }");
    }
    return found;
}

/* The instance table, which both graphs share. */
static void add_instances(Lower *l, Graph *g)
{
    for (int i = 0; i < l->inst.n; i++) {
        Inst *x = l->inst.v[i];
        x->index = i;
        Instance row = {x->path, x->block->name, x->parent ? x->parent->index : -1, x->unit};
        vec_push(l->a, &g->instance, row);
    }
}

static Program build(Lower *l, Inst *root, bool training)
{
    Program p = {.graph = graph_new(l->a, l->d)};
    l->g = p.graph;
    l->program = &p;
    l->training = training;
    add_instances(l, l->g);
    p.loss = run_model(l, root);
    l->g = NULL;
    l->program = NULL;
    return p;
}

static void lower_all(Lower *l, Block *model)
{
    Made *made = arena_make(l->a, Made);
    *made = (Made){model, map_new(l->a), NULL};
    Inst *root = make_instance(l, made, "", model->item->head, NULL, false);
    if (root) {
        root->used = true;
        l->m->train = build(l, root, true);
        l->m->eval = build(l, root, false);
    }
    int errors = l->d->errors;
    lower_settings(l);
    if (root && !errors)
        check_used(l);
}

static void add_operators(Lower *l)
{
    static const Operator *const table[] = {ops_const, ops_elementwise, ops_axis,    ops_shape,
                                            ops_heavy, ops_loss,        ops_settings};
    l->op = map_new(l->a);
    for (int t = 0; t < countof(table); t++)
        for (const Operator *o = table[t]; o->name; o++)
            map_put(l->op, o->name, (void *)(uintptr_t)o);
}

Model *lower_model(Arena *a, Sources *s, const char *path, const Define *define, int n_define,
                   Diag *d)
{
    Lower *l = arena_make(a, Lower);
    *l = (Lower){.a = a, .sources = s, .d = d, .input = map_new(a), .sig = map_new(a)};
    int before = d->errors;
    l->m = arena_make(a, Model);
    *l->m = (Model){.arena = a, .file = path, .precision = DT_F32};
    add_operators(l);
    if (!load_prelude(l))
        BUG("the prelude has errors");
    l->main = load_file(l, path, NO_SPAN, NULL);
    if (!l->main || !all_lets(l, define, n_define))
        return NULL;
    Block *model = find_model(l);
    if (!model)
        return NULL;
    l->m->name = model->name;
    lower_all(l, model);
    return d->errors == before ? l->m : NULL;
}
