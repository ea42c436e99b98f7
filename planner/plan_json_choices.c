/* plan_json_choices.c - what the planner chose, as plan.json holds it: once for a person to change,
 * once (`made`) to tell what was changed. */
#include "planner/plan_put.h"
#include "planner/words.h"

#include <string.h>

static bool keeps(const UnitRecompute *u, int op)
{
    return u->kept && (u->kept[op / 64] >> (op % 64) & 1);
}

static const char *kept_text(Arena *a, const UnitRecompute *u)
{
    if (u->rule != RECOMPUTE_AUTO)
        return keep_words.word[u->rule];
    StrBuf s = strbuf_new(a);
    for (int i = 0; i < u->n; i++)
        if (keeps(u, i))
            strbuf_printf(&s, s.n ? " %d" : "%d", i);
    return s.text ? s.text : "";
}

static void texts_open(StrBuf *s, const char *name)
{
    key(s, name);
    strbuf_char(s, '[');
}

static void text_item(StrBuf *s, int i, const char *text)
{
    if (i)
        strbuf_char(s, ',');
    put_text(s, text);
}

void put_made(Writer *w)
{
    StrBuf *s = w->s;
    const Plan *p = w->p;
    strbuf_add(s, ",\n\"made\":{");
    key_text(s, "hash", arena_printf(p->arena, "%016llx", (unsigned long long)p->made));
    key_int(s, "ranks", p->ranks);
    key_int(s, "micro_batch", p->micro_batch);
    key_int(s, "shared_by", p->shared_by);
    key_bool(s, "overlap", p->overlap);
    key_int(s, "lead", p->lead);
    key_int(s, "bucket_bytes", p->bucket_bytes);
    texts_open(s, "levels");
    for (int i = 0; i < p->group.n; i++)
        text_item(s, i, level_words.word[p->group.v[i].level]);
    strbuf_char(s, ']');
    texts_open(s, "recompute");
    for (int i = 0; i < p->recompute.n; i++)
        text_item(s, i, kept_text(p->arena, &p->recompute.v[i]));
    strbuf_add(s, "]}");
}

/* What an op computes, as its unit sees it: "attn.c_attn", "mlp.gelu". */
static const char *op_text(Arena *a, const char *unit, const Node *n)
{
    const char *path = n->path;
    size_t len = strlen(unit);
    if (len && strncmp(path, unit, len) == 0 && (path[len] == '.' || !path[len]))
        path += len + (path[len] == '.');
    const char *what = op_info[n->op].name;
    return *path ? arena_printf(a, "%s %s", path, what) : what;
}

static bool same_ops(Arena *a, const Plan *p, const UnitRecompute *x, const UnitRecompute *y)
{
    if (x->n != y->n)
        return false;
    for (int i = 0; i < x->n; i++)
        if (strcmp(op_text(a, p->instance[x->unit].path, x->op[i]),
                   op_text(a, p->instance[y->unit].path, y->op[i])) != 0)
            return false;
    return true;
}

void put_recompute(Writer *w)
{
    StrBuf *s = w->s;
    const Plan *p = w->p;
    Arena *a = arena_new();
    list_open(s, "recompute");
    for (int i = 0; i < p->recompute.n; i++) {
        const UnitRecompute *u = &p->recompute.v[i];
        list_item(s, i);
        key_int(s, "unit", u->unit);
        key_text(s, "path", p->instance[u->unit].path);
        key_text(s, "rule", keep_words.word[u->rule]);
        key(s, "kept");
        strbuf_char(s, '[');
        for (int k = 0, n = 0; k < u->n; k++) {
            if (!keeps(u, k))
                continue;
            if (n++)
                strbuf_char(s, ',');
            put_int(s, k);
        }
        strbuf_char(s, ']');
        texts_open(s, "ops");
        bool said = i && same_ops(a, p, u, u - 1);
        for (int k = 0; !said && k < u->n; k++)
            text_item(s, k, op_text(a, p->instance[u->unit].path, u->op[k]));
        strbuf_add(s, "]}");
    }
    list_close(s, p->recompute.n);
    arena_free(a);
}
