/* lower_ops_settings.c - the words of `train`: data sources, optimizers, schedules. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

/* ---- data ---- */

/* Paths stay as they are written: the trainer opens them from where it is started, and its text
 * does not depend on where it was compiled. */

static Value data_of(Lower *l, const Data *d)
{
    Data *copy = arena_make(l->a, Data);
    *copy = *d;
    return (Value){.kind = VAL_DATA, .data = copy};
}

static Value op_text(Lower *l, Call *c)
{
    const char *file;
    if (!arg_text(l, c, 0, &file))
        return value_error();
    Data d = {.kind = DATA_TEXT, .file = file, .at = c->at};
    return data_of(l, &d);
}

static Value op_tokens(Lower *l, Call *c)
{
    const char *file, *format;
    if (!arg_text(l, c, 0, &file) || !arg_text(l, c, 1, &format))
        return value_error();
    if (strcmp(format, "u16") != 0 && strcmp(format, "u32") != 0 && strcmp(format, "llmc") != 0) {
        diag_error(l->d, c->b.at[1], "`format` of tokens is \"u16\", \"u32\" or \"llmc\", got %s",
                   value_text(l->a, &c->b.v[1]));
        return value_error();
    }
    Data d = {.kind = DATA_TOKENS, .file = file, .format = format, .at = c->at};
    return data_of(l, &d);
}

/* npy("file") is a first value; npy(x = "file", ..) is data. */
static Value op_npy(Lower *l, Call *c)
{
    Data d = {.kind = DATA_NPY, .at = c->at};
    for (int i = 0; i < c->n_rest; i++) {
        const ArgVal *a = &c->rest[i];
        if (a->v.kind != VAL_STRING) {
            diag_error(l->d, a->at, "a file of npy is a string, got %s", value_what(&a->v));
            return value_error();
        }
        if (!a->name.text && c->n_rest == 1) {
            Init *init = arena_make(l->a, Init);
            *init = (Init){.kind = INIT_NPY, .file = a->v.text};
            return (Value){.kind = VAL_INIT, .init = init};
        }
        if (!a->name.text) {
            diag_error(l->d, a->at,
                       "npy data names the input of each file: npy(x = \"x.npy\", ..)");
            return value_error();
        }
        for (int k = 0; k < d.field.n; k++)
            if (strcmp(d.field.v[k].name, a->name.text) == 0) {
                diag_error(l->d, a->name.at, "npy is given `%s` twice", a->name.text);
                return value_error();
            }
        DataField f = {a->name.text, a->v.text};
        vec_push(l->a, &d.field, f);
    }
    if (d.field.n)
        return data_of(l, &d);
    diag_error(l->d, c->at, "npy needs a file: npy(x = \"x.npy\", ..)");
    return value_error();
}

static bool has_field(const Data *d, const char *name)
{
    for (int i = 0; i < d->field.n; i++)
        if (strcmp(d->field.v[i].name, name) == 0)
            return true;
    return false;
}

/* text and tokens: ints `tokens` and `targets`, both [length]. */
static void check_tokens(Lower *l, const Data *d, const char *key)
{
    const Model *m = l->m;
    for (int i = 0; i < m->input.n; i++) {
        const Input *in = &m->input.v[i];
        bool known = strcmp(in->name, "tokens") == 0 || strcmp(in->name, "targets") == 0;
        if (known && in->type.dtype == DT_INT && in->type.ndim == 1 &&
            in->type.dim[0] == m->input.v[0].type.dim[0])
            continue;
        diag_error(l->d, in->at,
                   "`%s` gives int tokens[T] and targets[T], but the model's input is %s: %s", key,
                   in->name, type_text(l->a, &in->type));
        diag_note(l->d, d->at, "the data is given here");
        return;
    }
}

static void check_npy(Lower *l, const Data *d, const char *key)
{
    const Model *m = l->m;
    Map *names = map_new(l->a);
    for (int i = 0; i < m->input.n; i++) {
        map_put(names, m->input.v[i].name, NULL);
        if (has_field(d, m->input.v[i].name))
            continue;
        diag_error(l->d, d->at, "`%s` does not feed the model's input `%s`", key,
                   m->input.v[i].name);
        diag_note(l->d, m->input.v[i].at, "it is declared here");
    }
    for (int i = 0; i < d->field.n; i++) {
        if (map_find(names, d->field.v[i].name) >= 0)
            continue;
        diag_error(l->d, d->at, "the model has no input `%s`", d->field.v[i].name);
        did_you_mean(l, names, d->field.v[i].name);
    }
}

void check_data(Lower *l, const Data *d, const char *key)
{
    if (l->m->train.graph == NULL)
        return; /* the model's inputs are not known: reported */
    switch (d->kind) {
    case DATA_NONE:
        return;
    case DATA_TEXT:
    case DATA_TOKENS:
        check_tokens(l, d, key);
        return;
    case DATA_NPY:
        check_npy(l, d, key);
        return;
    }
    BUG("data of kind %d", d->kind);
}

/* ---- optimizers ---- */

static bool fraction(Lower *l, Call *c, const Value *v, int i, double *out)
{
    const char *what = arena_printf(l->a, "`%s` of %s", c->b.name[i], c->op->name);
    if (!want_number(l, v, c->b.at[i], what, out))
        return false;
    if (*out >= 0 && *out < 1)
        return true;
    diag_error(l->d, c->b.at[i], "%s is from 0 to below 1, got %s", what, value_text(l->a, v));
    return false;
}

static bool not_negative(Lower *l, Call *c, int i, double *out)
{
    if (!arg_number(l, c, i, out))
        return false;
    if (*out >= 0)
        return true;
    diag_error(l->d, c->b.at[i], "`%s` of %s is not negative, got %s", c->b.name[i], c->op->name,
               value_text(l->a, &c->b.v[i]));
    return false;
}

static bool two_betas(Lower *l, Call *c, int i, Optimizer *o)
{
    const Value *v = &c->b.v[i];
    if (v->kind == VAL_TUPLE && v->tuple->n == 2)
        return fraction(l, c, &v->tuple->v[0], i, &o->beta1) &&
               fraction(l, c, &v->tuple->v[1], i, &o->beta2);
    diag_error(l->d, c->b.at[i], "`betas` of %s is a tuple of two, got %s", c->op->name,
               value_text(l->a, v));
    return false;
}

/* Defaults as in PyTorch; the row's signature says them too. */
static Value op_optimizer(Lower *l, Call *c)
{
    static const Optimizer usual[] = {
        [OPT_SGD] = {.kind = OPT_SGD},
        [OPT_ADAM] = {OPT_ADAM, 0, 0.9, 0.999, 1e-8, 0, 0, {-1, 0, 0}},
        [OPT_ADAMW] = {OPT_ADAMW, 0, 0.9, 0.999, 1e-8, 0.01, 0, {-1, 0, 0}},
        [OPT_ADAGRAD] = {OPT_ADAGRAD, 0, 0, 0, 1e-10, 0, 0, {-1, 0, 0}},
        [OPT_LION] = {OPT_LION, 0, 0.9, 0.99, 0, 0, 0, {-1, 0, 0}}};
    Optimizer *o = arena_make(l->a, Optimizer);
    *o = usual[c->op->aux];
    o->at = c->at;
    for (int i = 0; i < c->b.n; i++) {
        const char *name = c->b.name[i];
        double *number = strcmp(name, "lr") == 0             ? &o->lr
                         : strcmp(name, "eps") == 0          ? &o->eps
                         : strcmp(name, "weight_decay") == 0 ? &o->weight_decay
                                                             : &o->momentum;
        if (!c->b.given[i])
            continue;
        if (strcmp(name, "betas") == 0 ? !two_betas(l, c, i, o) : !not_negative(l, c, i, number))
            return value_error();
    }
    return (Value){.kind = VAL_OPTIMIZER, .optimizer = o};
}

/* ---- schedules ---- */

static Value op_schedule(Lower *l, Call *c)
{
    Schedule *s = arena_make(l->a, Schedule);
    s->kind = (SchedKind)c->op->aux;
    for (int i = 0; i < c->b.n; i++) {
        const char *name = c->b.name[i];
        double *number = strcmp(name, "warmup") == 0   ? &s->warmup
                         : strcmp(name, "min_lr") == 0 ? &s->min_lr
                                                       : &s->decay;
        if (c->b.given[i] && !not_negative(l, c, i, number))
            return value_error();
    }
    return (Value){.kind = VAL_SCHEDULE, .schedule = s};
}

const Operator ops_settings[] = {
    {"text", "file", op_text, 0, false},
    {"tokens", "file, format", op_tokens, 0, false},
    {"npy", "...", op_npy, 0, false},
    {"csv", "...", NULL, 0, false},
    {"safetensors", "...", NULL, 0, false},
    {"adamw", "lr, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 0.01", op_optimizer, OPT_ADAMW,
     false},
    {"adam", "lr, betas = (0.9, 0.999), eps = 1e-8, weight_decay = 0", op_optimizer, OPT_ADAM,
     false},
    {"sgd", "lr, momentum = 0, weight_decay = 0", op_optimizer, OPT_SGD, false},
    {"adagrad", "lr, eps = 1e-10, weight_decay = 0", op_optimizer, OPT_ADAGRAD, false},
    {"lion", "lr, betas = (0.9, 0.99), weight_decay = 0", op_optimizer, OPT_LION, false},
    {"constant", "warmup = 0", op_schedule, SCHED_CONSTANT, false},
    {"linear", "warmup = 0, min_lr = 0", op_schedule, SCHED_LINEAR, false},
    {"cosine", "warmup = 0, min_lr = 0", op_schedule, SCHED_COSINE, false},
    {"wsd", "decay, warmup = 0, min_lr = 0", op_schedule, SCHED_WSD, false},
    {NULL, NULL, NULL, 0, false}};
