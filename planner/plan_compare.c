#include "planner/plan_compare.h"

#include "frontend/base/map.h"
#include "planner/plan_fields.h"
#include "planner/plan_put.h"

#include <string.h>

/* ---- whose a key is ---- */

typedef struct KeyRule {
    const char *list, *key; /* list "": of the file itself; key NULL: all of the list */
    KeyClass cls;
} KeyRule;

/* All other keys are KEY_FIXED. */
static const KeyRule rule[] = {
    {"", "micro_batch", KEY_CHOICE},
    {"", "shared_by", KEY_CHOICE},
    {"", "overlap", KEY_CHOICE},
    {"", "lead", KEY_CHOICE},
    {"", "bucket_bytes", KEY_CHOICE},
    {"groups", "level", KEY_CHOICE},
    {"recompute", "rule", KEY_CHOICE},
    {"recompute", "kept", KEY_CHOICE},

    {"steps", "waits", KEY_PLACE},
    {"buffers", "offset", KEY_PLACE},
    {"buffers", "first", KEY_PLACE},
    {"buffers", "last", KEY_PLACE},

    {"", "rounds", KEY_FOLLOWS},
    {"", "totals.arena_bytes", KEY_FOLLOWS},
    {"", "totals.persistent_bytes", KEY_FOLLOWS},
    {"", "totals.max_live_bytes", KEY_FOLLOWS},
    {"", "totals.host_bytes", KEY_FOLLOWS},
    {"", "totals.step_ps", KEY_FOLLOWS},
    {"", "totals.exposed_ps", KEY_FOLLOWS},
    {"", "bounds.max_live", KEY_FOLLOWS},
    {"", "bounds.at_step", KEY_FOLLOWS},
    {"", "bounds.gap", KEY_FOLLOWS},
    {"", "bounds.proved", KEY_FOLLOWS},

    {"", "hash", KEY_TOLD},
    {"", "file", KEY_TOLD},
    {"", "totals.search_work", KEY_TOLD},
    {"", "bounds.options", KEY_TOLD},
    {"", "bounds.lambda_num", KEY_TOLD},
    {"", "bounds.lambda_den", KEY_TOLD},
    {"", "bounds.fixed_ps", KEY_TOLD},
    {"", "bounds.fixed_bytes", KEY_TOLD},
    {"", "bounds.capacity", KEY_TOLD},
    {"", "bounds.lower_ps", KEY_TOLD},
    {"groups", "why", KEY_TOLD},
    {"steps", "id", KEY_TOLD},
    {"steps", "at", KEY_TOLD},
    {"comm", NULL, KEY_TOLD}, /* the reader has compared it with the steps */
    {"alternatives", NULL, KEY_TOLD},
};

static KeyClass class_of(const char *list, const char *key)
{
    for (int i = 0; i < countof(rule); i++)
        if (strcmp(rule[i].list, list) == 0 && (!rule[i].key || strcmp(rule[i].key, key) == 0))
            return rule[i].cls;
    return KEY_FIXED;
}

/* ---- values as text ---- */

static void ints_text(StrBuf *s, const Ints *x, const Words *words)
{
    strbuf_char(s, '[');
    for (int i = 0; i < x->n; i++) {
        if (i)
            strbuf_char(s, ',');
        if (words)
            strbuf_add(s, words->word[x->v[i]]);
        else
            put_int(s, x->v[i]);
    }
    strbuf_char(s, ']');
}

static void sizes_text(StrBuf *s, const int64_t *v, int n)
{
    strbuf_char(s, '[');
    for (int i = 0; i < n; i++) {
        if (i)
            strbuf_char(s, ',');
        put_int(s, v[i]);
    }
    strbuf_char(s, ']');
}

static void texts_text(StrBuf *s, const Texts *x)
{
    strbuf_char(s, '[');
    for (int i = 0; i < x->n; i++) {
        if (i)
            strbuf_char(s, ',');
        put_text(s, x->v[i]);
    }
    strbuf_char(s, ']');
}

static void phases_text(StrBuf *s, const FileProgram *g)
{
    for (int i = 0; i < N_PHASES; i++)
        strbuf_printf(s, "%s%s %d from %d", i ? ", " : "", phase_words.word[i], g->count[i],
                      g->first[i]);
}

static void number_or_null(StrBuf *s, int64_t x)
{
    if (x < 0)
        strbuf_add(s, "null");
    else
        put_int(s, x);
}

static void text_or_null(StrBuf *s, const char *x)
{
    if (x)
        put_text(s, x);
    else
        strbuf_add(s, "null");
}

static void machine_text(StrBuf *s, const Machine *m)
{
    if (m)
        machine_print(s, m);
    else
        strbuf_add(s, "null");
}

static void list_text(StrBuf *s, const Field *f, const void *at)
{
    const Sizes *sizes = at;
    const Rows *rows = at;
    if (f->kind == F_SIZES)
        sizes_text(s, sizes->v, sizes->n);
    else if (f->kind == F_TEXTS)
        texts_text(s, at);
    else if (f->kind == F_PAIRS || f->kind == F_QUADS)
        sizes_text(s, rows->v, rows->n * (f->kind == F_PAIRS ? 2 : 4));
    else
        ints_text(s, at, f->kind == F_WORD_LIST ? f->words : NULL);
}

static void value_text(StrBuf *s, const Field *f, const void *entry, const PlanFile *file)
{
    const void *at = (const char *)entry + f->at;
    switch (f->kind) {
    case F_INT:
    case F_REF:
    case F_REF_NONE:
    case F_INT_NONE:
        put_int(s, *(const int *)at);
        return;
    case F_COUNT:
    case F_BYTES:
    case F_COUNT_NULL:
        number_or_null(s, *(const int64_t *)at);
        return;
    case F_BOOL:
        strbuf_add(s, *(const bool *)at ? "true" : "false");
        return;
    case F_TEXT:
    case F_TEXT_NULL:
    case F_HASH:
        text_or_null(s, *(const char *const *)at);
        return;
    case F_WORD:
    case F_WORD_NULL:
        text_or_null(s, *(const int *)at < 0 ? NULL : f->words->word[*(const int *)at]);
        return;
    case F_DOUBLE:
        strbuf_double(s, *(const double *)at);
        return;
    case F_REFS:
    case F_WORD_LIST:
    case F_SIZES:
    case F_TEXTS:
    case F_PAIRS:
    case F_QUADS:
        list_text(s, f, at);
        return;
    case F_MACHINE:
        machine_text(s, *(const Machine *const *)at);
        return;
    case F_OPERAND: {
        const FileOperand *o = at;
        sizes_text(s, (int64_t[]){o->buffer, o->offset}, o->buffer < 0 ? 0 : 2);
        return;
    }
    case F_KERNEL:
        strbuf_add(s, file->kernel[*(const int *)at].name);
        return;
    case F_PHASES:
        phases_text(s, entry);
        return;
    case F_OBJECT:
        break;
    }
    BUG("field %s has no one value", f->key);
}

/* ---- one entry, and all ---- */

typedef struct Compare {
    Arena *a;
    const PlanFile *x, *y;
    unsigned classes;
    Differences found;
    StrBuf s, t;
} Compare;

enum { SHOWN = 80 }; /* characters of a value */

static const char *shown(Arena *a, const StrBuf *s)
{
    if (s->n <= SHOWN)
        return arena_strndup(a, s->text ? s->text : "", s->n);
    return arena_printf(a, "%.*s...", SHOWN, s->text);
}

static void add(Compare *c, const char *key, const char *x, const char *y, KeyClass cls)
{
    vec_push(c->a, &c->found, ((Difference){key, x, y, cls}));
}

static const char *path_of(const Fields *of, const void *entry)
{
    for (int i = 0; i < of->n; i++)
        if (of->field[i].kind == F_TEXT &&
            (strcmp(of->field[i].key, "path") == 0 || strcmp(of->field[i].key, "name") == 0))
            return *(const char *const *)((const char *)entry + of->field[i].at);
    return "";
}

static const char *key_text_of(Compare *c, const char *list, int i, const char *key,
                               const char *path)
{
    if (!*list)
        return key;
    return arena_printf(c->a, *path ? "%s[%d].%s (%s)" : "%s[%d].%s%s", list, i, key, path);
}

static void compare_value(Compare *c, const char *list, int i, const char *key, const Field *f,
                          const void *x, const void *y, const char *path)
{
    KeyClass cls = class_of(list, key);
    if (cls == KEY_TOLD || !(c->classes >> cls & 1))
        return;
    c->s.n = c->t.n = 0;
    value_text(&c->s, f, x, c->x);
    value_text(&c->t, f, y, c->y);
    if (c->s.n == c->t.n && (!c->s.n || memcmp(c->s.text, c->t.text, c->s.n) == 0))
        return;
    add(c, key_text_of(c, list, i, key, path), shown(c->a, &c->s), shown(c->a, &c->t), cls);
}

static void compare_entry(Compare *c, const char *list, int i, const Fields *of, const void *x,
                          const void *y)
{
    const char *path = path_of(of, x);
    for (int k = 0; k < of->n; k++) {
        const Field *f = &of->field[k];
        if (f->kind != F_OBJECT) {
            compare_value(c, list, i, f->key, f, x, y, path);
            continue;
        }
        const char *u = (const char *)x + f->at, *v = (const char *)y + f->at;
        for (int j = 0; j < f->fields->n; j++) {
            const Field *g = &f->fields->field[j];
            compare_value(c, list, i, arena_printf(c->a, "%s.%s", f->key, g->key), g, u, v, path);
        }
    }
}

static const char *list_of(const PlanFile *f, const List *l, int *n)
{
    const char *at = NULL;
    memcpy(&at, (const char *)f + l->at, sizeof at);
    memcpy(n, (const char *)f + l->at_n, sizeof *n);
    return at;
}

static void compare_list(Compare *c, const List *l, const int *match)
{
    bool steps = strcmp(l->key, "steps") == 0;
    int n = 0, m = 0;
    const char *x = list_of(c->x, l, &n), *y = list_of(c->y, l, &m);
    if (class_of(l->key, "") == KEY_TOLD || (steps && !match))
        return;
    if (n != m && (c->classes & 1u << KEY_FIXED))
        add(c, l->key, arena_printf(c->a, "%d of them", n), arena_printf(c->a, "%d", m), KEY_FIXED);
    for (int i = 0; i < n; i++) {
        int j = steps ? match[i] : i < m ? i : -1;
        if (j >= 0)
            compare_entry(c, l->key, i, &l->of, x + (size_t)i * l->size, y + (size_t)j * l->size);
    }
}

Differences plan_compare(Arena *a, const PlanFile *x, const PlanFile *y, const int *match,
                         unsigned classes)
{
    Compare c = {.a = a, .x = x, .y = y, .classes = classes};
    c.s = strbuf_new(a);
    c.t = strbuf_new(a);
    compare_entry(&c, "", 0, &plan_top_fields, x, y);
    for (int i = 0; i < N_PLAN_LISTS; i++)
        compare_list(&c, &plan_lists[i], match);
    return c.found;
}

/* ---- steps ---- */

static const Fields *step_fields(void)
{
    for (int i = 0; i < N_PLAN_LISTS; i++)
        if (strcmp(plan_lists[i].key, "steps") == 0)
            return &plan_lists[i].of;
    BUG("plan.json has no steps");
}

/* Everything a step is but its number and its waits. */
static const char *step_text(Arena *a, const PlanFile *f, int step)
{
    const Fields *of = step_fields();
    StrBuf s = strbuf_new(a);
    for (int i = 0; i < of->n; i++) {
        if (class_of("steps", of->field[i].key) != KEY_FIXED)
            continue;
        value_text(&s, &of->field[i], &f->step[step], f);
        strbuf_char(&s, '\n');
    }
    return s.text;
}

int *plan_match(Arena *a, const PlanFile *x, const PlanFile *y)
{
    Map *known = map_new(a); /* text -> 1 + the first step of y with it that is free */
    int *next = arena_array(a, int, y->n_step + 1), *match = arena_array(a, int, x->n_step + 1);
    bool *taken = arena_array(a, bool, y->n_step + 1);
    for (int k = y->n_step - 1; k >= 0; k--) {
        const char *text = step_text(a, y, k);
        next[k] = (int)(intptr_t)map_get(known, text);
        map_put(known, text, (void *)(intptr_t)(k + 1)); /* NOLINT: a number */
    }
    for (int k = 0; k < x->n_step; k++) {
        const char *text = step_text(a, x, k);
        int j = (int)(intptr_t)map_get(known, text) - 1;
        match[k] = j;
        if (j < 0)
            continue;
        taken[j] = true;
        map_put(known, text, (void *)(intptr_t)next[j]); /* NOLINT: a number */
    }
    for (int k = 0, j = 0; k < x->n_step; k++) {
        while (j < y->n_step && taken[j])
            j++;
        if (match[k] < 0 && j < y->n_step)
            match[k] = j++;
    }
    return match;
}
