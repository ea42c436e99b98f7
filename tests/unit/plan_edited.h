/* plan_edited.h - a plan.json that a test changes, and what comes of it. */
#ifndef BM_PLAN_EDITED_H
#define BM_PLAN_EDITED_H

#include "planner/plan_edit.h"
#include "tests/unit/planned.h"

#include <jansson.h>

static const char model_text[] =
    "let width = 32\n"
    "block Layer(width) {\n"
    "  ln: LayerNorm(width)\n"
    "  c_attn: Linear(width, 3 * width)\n"
    "  c_proj: Linear(width, width)\n"
    "  mlp: Linear(width, width)\n"
    "  forward(x: [T, width]) {\n"
    "    q, k, v = split(c_attn(ln(x)), 3)\n"
    "    x = x + dropout(c_proj(attention(q, k, v, heads = 2, causal = true)), 0.1)\n"
    "    return x + mlp(gelu(x))\n"
    "  }\n"
    "}\n"
    "model Tiny {\n"
    "  wte: Embedding(64, width)\n"
    "  h[3]: Layer(width)\n"
    "  forward(tokens: int[16], targets: int[16]) {\n"
    "    x = wte(tokens)\n"
    "    for layer in h { x = layer(x) }\n"
    "    return cross_entropy(x @ wte.weight', targets)\n"
    "  }\n"
    "}\n"
    "train {\n"
    "  data = text(\"text.txt\")\n"
    "  batch = 24\n"
    "  steps = 5\n"
    "  optimizer = adamw(lr = 1e-3)\n"
    "  clip = 1\n"
    "}\n";

typedef struct Case { /* a plan, and a copy of its text to change */
    Planned *t;
    const char *text;
    json_t *o;
    Arena *a; /* of what is made of the copy */
    char *told;
    size_t size;
} Case;

static inline Case case_of(Planned *t, const Plan *p)
{
    Case c = {.t = t};
    StrBuf s = strbuf_new(t->arena);
    plan_json(&s, p);
    c.text = s.text;
    return c;
}

static const char *model_with(const char *plan_section)
{
    static char text[4096];
    snprintf(text, sizeof text, "%s%s", model_text, plan_section);
    return text;
}

static inline json_t *fresh(Case *c)
{
    if (c->o)
        json_decref(c->o);
    c->o = json_loads(c->text, 0, NULL);
    assert_non_null(c->o);
    return c->o;
}

static inline json_t *list(const Case *c, const char *key)
{
    return json_object_get(c->o, key);
}

static inline json_t *item(const Case *c, const char *key, int i)
{
    return json_array_get(list(c, key), (size_t)i);
}

static inline int count(const Case *c, const char *key)
{
    return (int)json_array_size(list(c, key));
}

static inline int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *word(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static inline void put(json_t *o, const char *key, int64_t x)
{
    json_object_set_new(o, key, json_integer(x));
}

/* The plan of the changed text; NULL: refused, and `told` says why. */
static inline Plan *taken_with(Case *c, const PlanOptions *flags)
{
    char *text = json_dumps(c->o, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (c->a) {
        arena_free(c->a);
        free(c->told);
    }
    c->a = arena_new();
    FILE *out = open_memstream(&c->told, &c->size);
    Diag *d = diag_new(c->a, sources_new(c->a), out);
    const PlanFile *f = plan_edit_read_text(c->a, "edited.json", text, strlen(text), d);
    Plan *p = f ? plan_edit(c->a, c->t->model, f, flags, d) : NULL;
    fclose(out);
    free(text);
    assert_int_equal(p == NULL, d->errors > 0);
    return p;
}

static inline Plan *taken(Case *c)
{
    return taken_with(c, &(PlanOptions){0});
}

static inline void refused(Case *c, const char *why)
{
    if (taken(c))
        fail_msg("taken, and not refused with '%s'", why);
    if (!strstr(c->told, why))
        fail_msg("not '%s' but: %s", why, c->told);
}

static inline Plan *accepted(Case *c, const char *what)
{
    Plan *p = taken(c);
    if (!p || c->told[0])
        fail_msg("%s: %s", what, c->told);
    return p;
}

static inline void done(Case *c)
{
    json_decref(c->o);
    if (c->a) {
        arena_free(c->a);
        free(c->told);
    }
    planned_done(c->t);
}

static inline Case planned_case(const char *section, int64_t ranks, int64_t micro)
{
    Planned *t = planned_model(model_with(section), "cpu");
    return case_of(t, planned_in(t, ranks, micro, 0));
}

/* ---- steps and memory, as the checks below see them ---- */

typedef struct Bytes {
    int64_t at, end;
    bool host;
} Bytes;

static inline Bytes bytes_of(const Case *c, int buffer)
{
    const json_t *b = item(c, "buffers", buffer);
    int64_t at = number(b, "offset");
    return (Bytes){at, at + round_up(number(b, "bytes"), 64),
                   json_is_true(json_object_get(b, "host"))};
}

static inline bool meet(Bytes x, Bytes y)
{
    return x.host == y.host && x.at < y.end && y.at < x.end;
}

static inline bool touches(const Case *c, const json_t *ids, Bytes x)
{
    size_t i;
    json_t *id;
    json_array_foreach(ids, i,
                       id) if (meet(bytes_of(c, (int)json_integer_value(id)), x)) return true;
    return false;
}

/* Does `s` write what `t` reads or writes? */
static inline bool disturbs(const Case *c, const json_t *s, const json_t *t)
{
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(s, "writes"), i, id)
    {
        Bytes x = bytes_of(c, (int)json_integer_value(id));
        if (touches(c, json_object_get(t, "reads"), x) ||
            touches(c, json_object_get(t, "writes"), x))
            return true;
    }
    return false;
}

static inline bool same_word(const json_t *s, const json_t *t, const char *key)
{
    return strcmp(word(s, key), word(t, key)) == 0;
}

static inline bool waits_for(const json_t *s, int64_t id)
{
    size_t i;
    json_t *w;
    json_array_foreach(json_object_get(s, "waits"), i,
                       w) if (json_integer_value(w) == id) return true;
    return false;
}

/* Steps i and i + 1 in either order give the same, and nobody is the wiser. */
static inline bool independent(const Case *c, int i)
{
    const json_t *s = item(c, "steps", i), *t = item(c, "steps", i + 1);
    return same_word(s, t, "program") && same_word(s, t, "phase") && same_word(s, t, "when") &&
           number(s, "region") == number(t, "region") && !waits_for(t, number(s, "id")) &&
           !disturbs(c, s, t) && !disturbs(c, t, s);
}

static inline void exchange(json_t *steps, int i)
{
    json_t *s = json_incref(json_array_get(steps, (size_t)i));
    json_t *t = json_incref(json_array_get(steps, (size_t)i + 1));
    json_array_set_new(steps, (size_t)i, t);
    json_array_set_new(steps, (size_t)i + 1, s);
}

#endif
