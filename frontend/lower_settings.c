/* lower_settings.c - the section `train` key by key, and what reads any section. */
#include "frontend/lower_settings.h"
#include "frontend/lower_ops.h"

#include <inttypes.h>

/* ---- values ---- */

static const char *word_of(const Expr *e)
{
    return e->kind == EXPR_NAME ? e->text : e->kind == EXPR_NONE ? "none" : "";
}

bool setting_not_built(Lower *l, const Setting *s)
{
    diag_error(l->d, s->value->at, "not built yet: %s = %s", s->key.text,
               source_text(l, s->value->at));
    return false;
}

bool setting_between(Lower *l, const Env *env, const Setting *s, int64_t least, int64_t most,
                     int64_t *out)
{
    const char *what = arena_printf(l->a, "`%s`", s->key.text);
    if (!eval_int(l, env, s->value, what, out))
        return false;
    if (*out >= least && *out <= most)
        return true;
    bool small = *out < least;
    diag_error(l->d, s->value->at, "`%s` is at %s %" PRId64 ", got %" PRId64, s->key.text,
               small ? "least" : "most", small ? least : most, *out);
    return false;
}

bool setting_at_least(Lower *l, const Env *env, const Setting *s, int64_t least, int64_t *out)
{
    return setting_between(l, env, s, least, (int64_t)1 << 60, out);
}

static int find_word(const char *word, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

/* A name that is no word may be that of a `let`; one that is neither is left to the caller. */
static Value word_value(Lower *l, const Env *env, const Expr *e)
{
    Value v = value_none();
    if (e->kind != EXPR_NAME)
        return eval(l, env, e);
    find_name(l, env, e->text, e->at, &v);
    return v;
}

/* What a value is in a message: computed, it says more than the text it has in the file. */
static const char *word_text(Lower *l, const Setting *s, const Value *v)
{
    return v->kind == VAL_NONE ? source_text(l, s->value->at) : value_text(l->a, v);
}

bool setting_word(Lower *l, const Env *env, const Setting *s, const char *const *words, int n,
                  int *out)
{
    *out = find_word(word_of(s->value), words, n);
    if (*out >= 0)
        return true;
    Value v = word_value(l, env, s->value);
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind == VAL_STRING || v.kind == VAL_INT)
        *out = find_word(v.kind == VAL_STRING ? v.text : value_text(l->a, &v), words, n);
    if (*out >= 0)
        return true;
    StrBuf all = strbuf_new(l->a);
    for (int i = 0; i < n; i++)
        strbuf_printf(&all, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", words[i]);
    diag_error(l->d, s->value->at, "`%s` is %s, got %s", s->key.text, all.text,
               word_text(l, s, &v));
    return false;
}

bool setting_auto_or(Lower *l, const Env *env, const Setting *s, const char *what, int64_t least,
                     int64_t most, int64_t *out)
{
    if (strcmp(word_of(s->value), "auto") == 0)
        return true;
    Value v = word_value(l, env, s->value);
    if (v.kind == VAL_ERROR || (v.kind == VAL_STRING && strcmp(v.text, "auto") == 0))
        return v.kind == VAL_STRING;
    if (v.kind == VAL_INT && v.i >= least && v.i <= most) {
        *out = v.i;
        return true;
    }
    diag_error(l->d, s->value->at, "`%s` is %s or auto, got %s", s->key.text, what,
               word_text(l, s, &v));
    return false;
}

/* ---- train ---- */

static bool data_value(Lower *l, const Env *env, const Setting *s, Data *out)
{
    Value v = eval(l, env, s->value);
    if (v.kind == VAL_DATA) {
        *out = *v.data;
        return true;
    }
    if (v.kind != VAL_ERROR)
        diag_error(
            l->d, s->value->at,
            "`%s` is text(\"file\"), tokens(\"file\", format = ..) or npy(x = \"file\", ..), "
            "got %s",
            s->key.text, value_what(&v));
    return false;
}

static bool set_data(Lower *l, const Env *env, const Setting *s)
{
    return data_value(l, env, s, &l->m->data);
}

static bool set_valid(Lower *l, const Env *env, const Setting *s)
{
    return data_value(l, env, s, &l->m->valid);
}

static bool set_valid_every(Lower *l, const Env *env, const Setting *s)
{
    return setting_at_least(l, env, s, 1, &l->m->valid_every);
}

static bool set_batch(Lower *l, const Env *env, const Setting *s)
{
    l->m->batch_at = s->value->at;
    return setting_between(l, env, s, 1, MOST_SAMPLES, &l->m->batch);
}

static bool set_steps(Lower *l, const Env *env, const Setting *s)
{
    return setting_at_least(l, env, s, 0, &l->m->steps);
}

static bool set_seed(Lower *l, const Env *env, const Setting *s)
{
    return setting_at_least(l, env, s, 0, &l->m->seed);
}

static bool set_clip(Lower *l, const Env *env, const Setting *s)
{
    Value v = eval(l, env, s->value);
    if (v.kind == VAL_NONE)
        return true;
    if (!want_number(l, &v, s->value->at, "`clip`", &l->m->clip))
        return false;
    if (l->m->clip > 0)
        return true;
    diag_error(l->d, s->value->at, "`clip` is a norm above 0, or none, got %s",
               value_text(l->a, &v));
    return false;
}

static bool set_precision(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {"fp32", "bf16", "fp16"};
    int i;
    if (!setting_word(l, env, s, words, countof(words), &i))
        return false;
    static const DType dtype[] = {DT_F32, DT_BF16, DT_F16};
    l->m->precision = dtype[i];
    l->m->precision_at = s->value->at;
    return true;
}

static bool set_accumulate(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {"local", "reduced"};
    int i;
    if (!setting_word(l, env, s, words, countof(words), &i))
        return false;
    l->m->reduced = i == 1;
    return true;
}

static bool set_reduce(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {"ordered", "invariant"};
    int i;
    if (!setting_word(l, env, s, words, countof(words), &i))
        return false;
    l->m->invariant = i == 1;
    return true;
}

static bool set_schedule(Lower *l, const Env *env, const Setting *s)
{
    Value v = eval(l, env, s->value);
    if (v.kind == VAL_OPERATOR && strcmp(v.op->name, "constant") == 0)
        return true; /* the default */
    if (v.kind == VAL_SCHEDULE) {
        l->m->schedule = *v.schedule;
        return true;
    }
    if (v.kind != VAL_ERROR)
        diag_error(l->d, s->value->at,
                   "`schedule` is cosine(..), linear(..), wsd(..) or constant, got %s",
                   value_what(&v));
    return false;
}

static bool set_optimizer(Lower *l, const Env *env, const Setting *s)
{
    Value v = eval(l, env, s->value);
    if (v.kind != VAL_OPTIMIZER) {
        if (v.kind != VAL_ERROR)
            diag_error(l->d, s->value->at,
                       "`optimizer` is adamw(lr = ..), adam, sgd, adagrad or lion, got %s",
                       value_what(&v));
        return false;
    }
    if (!s->pattern) {
        l->m->optimizer.v[0] = *v.optimizer;
        return true;
    }
    vec_push(l->a, &l->m->optimizer, *v.optimizer);
    for (int i = 0; i < l->m->param.n; i++)
        if (pattern_matches(s->pattern, l->m->param.v[i].path))
            l->m->param.v[i].optimizer = l->m->optimizer.n - 1;
    return true;
}

static bool set_freeze(Lower *l, const Env *env, const Setting *s)
{
    bool frozen;
    if (!eval_bool(l, env, s->value, "`freeze`", &frozen))
        return false;
    for (int i = 0; i < l->m->param.n; i++)
        if (!l->m->param.v[i].buffer && pattern_matches(s->pattern, l->m->param.v[i].path))
            l->m->param.v[i].frozen = frozen;
    return true;
}

static bool set_start(Lower *l, const Env *env, const Setting *s)
{
    Value v;
    bool init = strcmp(word_of(s->value), "init") == 0;
    if (!init) {
        v = eval(l, env, s->value);
        if (v.kind == VAL_ERROR)
            return false;
        if (v.kind != VAL_INIT || v.init->kind != INIT_NPY) {
            diag_error(l->d, s->value->at, "`start` is npy(\"file\") or init, got %s",
                       value_what(&v));
            return false;
        }
    }
    for (int i = 0; i < l->m->param.n; i++)
        if (pattern_matches(s->pattern, l->m->param.v[i].path))
            l->m->param.v[i].init = init ? l->block_init.v[i] : *v.init;
    return true;
}

static const Key train_key[] = {{"data", PATTERN_NO, set_data},
                                {"valid", PATTERN_NO, set_valid},
                                {"valid_every", PATTERN_NO, set_valid_every},
                                {"batch", PATTERN_NO, set_batch},
                                {"steps", PATTERN_NO, set_steps},
                                {"optimizer", PATTERN_MAY, set_optimizer},
                                {"schedule", PATTERN_NO, set_schedule},
                                {"clip", PATTERN_NO, set_clip},
                                {"precision", PATTERN_NO, set_precision},
                                {"seed", PATTERN_NO, set_seed},
                                {"start", PATTERN_MUST, set_start},
                                {"freeze", PATTERN_MUST, set_freeze},
                                {"accumulate", PATTERN_NO, set_accumulate},
                                {"reduce", PATTERN_NO, set_reduce},
                                {NULL, PATTERN_NO, NULL}};

/* ---- sections ---- */

static const Key *find_key(Lower *l, const Key *table, const Setting *s, const char *section)
{
    Map *names = map_new(l->a);
    for (const Key *k = table; k->name; k++) {
        if (strcmp(k->name, s->key.text) == 0)
            return k;
        map_put(names, k->name, NULL);
    }
    diag_error(l->d, s->key.at, "`%s` has no `%s`", section, s->key.text);
    did_you_mean(l, names, s->key.text);
    return NULL;
}

static bool check_setting(Lower *l, const Key *k, const Setting *s, Map *seen)
{
    if (s->pattern && k->pattern == PATTERN_NO) {
        diag_error(l->d, s->pattern->at, "`%s` takes no pattern", k->name);
        return false;
    }
    if (!s->pattern && k->pattern == PATTERN_MUST) {
        diag_error(l->d, s->at, "`%s` needs a pattern: %s ** = ..", k->name, k->name);
        return false;
    }
    if (s->pattern)
        return k->pattern == PATTERN_UNIT ? pattern_has_unit(l, s->pattern, k->name)
                                          : pattern_known(l, s->pattern);
    const Setting *old = map_get(seen, k->name);
    map_put(seen, k->name, (void *)(uintptr_t)s);
    if (!old)
        return true;
    diag_error(l->d, s->key.at, "`%s` is set twice", k->name);
    diag_note(l->d, old->at, "first here");
    return false;
}

static Map *run_section(Lower *l, const Item *item, const Key *table, const char *name)
{
    Map *seen = map_new(l->a);
    Env env = {.file = l->main, .limit = INT32_MAX};
    for (int patterns = 0; patterns < 2; patterns++)
        for (int i = 0; item && i < item->settings.n; i++) {
            const Setting *s = &item->settings.v[i];
            if ((s->pattern != NULL) != patterns)
                continue;
            const Key *k = find_key(l, table, s, name);
            if (k && check_setting(l, k, s, seen))
                k->set(l, &env, s);
        }
    return seen;
}

bool batch_size(Lower *l, Span at, Value *out)
{
    const Item *train = l->main ? l->main->train : NULL;
    *out = value_int(1);
    for (int i = 0; train && i < train->settings.n; i++) {
        const Setting *s = &train->settings.v[i];
        if (strcmp(s->key.text, "batch") != 0)
            continue;
        if (l->batch_busy) {
            diag_error(l->d, at, "`batch` is defined by itself");
            *out = value_error();
            return true;
        }
        l->batch_busy = true;
        Env env = {.file = l->main, .limit = INT32_MAX};
        *out = eval(l, &env, s->value);
        l->batch_busy = false;
        return true;
    }
    return true;
}

static void check_complete(Lower *l, const Map *seen)
{
    static const char *const needed[][2] = {{"batch", "batch = 16"},
                                            {"steps", "steps = 1000"},
                                            {"optimizer", "optimizer = adamw(lr = 1e-3)"}};
    for (int i = 0; i < countof(needed); i++) {
        if (map_find(seen, needed[i][0]) >= 0)
            continue;
        diag_error(l->d, l->main->train->head, "train needs `%s`", needed[i][0]);
        diag_help(l->d, "%s", needed[i][1]);
    }
}

/* The tree of `invariant` adds the rounds of a rank before the ranks. */
static void check_sums(Lower *l, const Map *seen)
{
    if (!l->m->reduced || !l->m->invariant)
        return;
    const Setting *reduce = map_get(seen, "reduce"), *accumulate = map_get(seen, "accumulate");
    diag_error(l->d, reduce->at,
               "`reduce = invariant` fixes the order of all sums, so there is no "
               "`accumulate = reduced` beside it");
    diag_note(l->d, accumulate->at, "asked for here");
}

void lower_settings(Lower *l)
{
    Model *m = l->m;
    static const Optimizer plain = {OPT_ADAMW, 0, 0.9, 0.999, 1e-8, 0.01, 0, {-1, 0, 0}};
    vec_push(l->a, &m->optimizer, plain); /* without `train`: what a plan counts state for */
    m->batch = 1;
    m->batch_at = NO_SPAN;
    plan_request_init(l);
    m->has_train = l->main->train != NULL;
    for (int i = 0; i < m->param.n; i++)
        vec_push(l->a, &l->block_init, m->param.v[i].init);
    Map *seen = run_section(l, l->main->train, train_key, "train");
    if (m->has_train)
        check_complete(l, seen);
    check_sums(l, seen);
    run_section(l, l->main->plan, plan_key, "plan");
    check_data(l, &m->data, "data");
    check_data(l, &m->valid, "valid");
}
