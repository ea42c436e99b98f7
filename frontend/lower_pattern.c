/* lower_pattern.c - patterns of `train` and `plan` against paths (LANGUAGE 3.26). */
#include "frontend/lower_ctx.h"

#include <inttypes.h>
#include <stdlib.h>

static bool segment_matches(const Seg *seg, const char *s, size_t n)
{
    bool number = n > 0 && strspn(s, "0123456789") >= n;
    int64_t i = number ? strtoll(s, NULL, 10) : -1;
    switch (seg->kind) {
    case SEG_NAME:
        return strlen(seg->name) == n && memcmp(seg->name, s, n) == 0;
    case SEG_INT:
        return number && i == seg->lo;
    case SEG_RANGE:
        return number && i >= seg->lo && i < seg->hi;
    case SEG_STAR:
    case SEG_ANY:
        return true;
    }
    BUG("segment of kind %d", seg->kind);
}

/* `path` NULL: nothing is left of it. */
static bool matches(const Pattern *p, int i, const char *path)
{
    if (i == p->segs.n)
        return true;
    const Seg *seg = &p->segs.v[i];
    if (seg->kind == SEG_ANY && matches(p, i + 1, path))
        return true;
    if (!path)
        return false;
    const char *dot = strchr(path, '.'), *rest = dot ? dot + 1 : NULL;
    size_t n = dot ? (size_t)(dot - path) : strlen(path);
    if (seg->kind == SEG_ANY)
        return matches(p, i, rest);
    return segment_matches(seg, path, n) && matches(p, i + 1, rest);
}

/* `**` twice gives nothing new and would cost time beyond bound. */
static Pattern *without_doubles(Arena *a, const Pattern *p)
{
    Pattern *q = arena_make(a, Pattern);
    q->at = p->at;
    for (int i = 0; i < p->segs.n; i++)
        if (p->segs.v[i].kind != SEG_ANY || i == 0 || p->segs.v[i - 1].kind != SEG_ANY)
            vec_push(a, &q->segs, p->segs.v[i]);
    return q;
}

bool pattern_matches(const Pattern *p, const char *path)
{
    return matches(p, 0, path);
}

const char *pattern_text(Arena *a, const Pattern *p)
{
    StrBuf s = strbuf_new(a);
    for (int i = 0; i < p->segs.n; i++) {
        const Seg *seg = &p->segs.v[i];
        strbuf_add(&s, i ? "." : "");
        switch (seg->kind) {
        case SEG_NAME:
            strbuf_add(&s, seg->name);
            break;
        case SEG_INT:
            strbuf_printf(&s, "%" PRId64, seg->lo);
            break;
        case SEG_RANGE:
            strbuf_printf(&s, "%" PRId64 ":%" PRId64, seg->lo, seg->hi);
            break;
        case SEG_STAR:
            strbuf_char(&s, '*');
            break;
        case SEG_ANY:
            strbuf_add(&s, "**");
            break;
        }
    }
    return s.text;
}

/* ---- a pattern that matches nothing ---- */

static void add_words(Lower *l, Map *m, const char *path)
{
    while (*path) {
        const char *dot = strchr(path, '.');
        size_t n = dot ? (size_t)(dot - path) : strlen(path);
        map_put(m, arena_strndup(l->a, path, n), NULL);
        path += dot ? n + 1 : n;
    }
}

/* The help to an error about `p`, from the words and paths there are. */
static void nearest_pattern(Lower *l, const Pattern *p, const Map *word, const Map *path)
{
    const char *near = map_nearest(path, pattern_text(l->a, p));
    for (int i = 0; i < p->segs.n; i++) {
        const Seg *s = &p->segs.v[i];
        if (s->kind != SEG_NAME || map_find(word, s->name) >= 0)
            continue;
        const char *w = map_nearest(word, s->name);
        if (w) {
            diag_help(l->d, "no path has `%s`; did you mean `%s`?", s->name, w);
            return;
        }
        break;
    }
    if (near)
        diag_help(l->d, "did you mean `%s`?", near);
}

bool pattern_known(Lower *l, const Pattern *p)
{
    Pattern *q = without_doubles(l->a, p);
    for (int i = 0; i < l->m->param.n; i++)
        if (matches(q, 0, l->m->param.v[i].path))
            return true;
    Map *word = map_new(l->a), *path = map_new(l->a);
    for (int i = 0; i < l->m->param.n; i++) {
        add_words(l, word, l->m->param.v[i].path);
        map_put(path, l->m->param.v[i].path, NULL);
    }
    for (int i = 1; i < l->inst.n; i++)
        map_put(path, l->inst.v[i]->path, NULL);
    diag_error(l->d, p->at, "`%s` matches no parameter", pattern_text(l->a, p));
    nearest_pattern(l, p, word, path);
    return false;
}

/* For a pattern that names no element of a stack but something else: the element around that, else
 * any. */
static const Inst *element_near(const Lower *l, const Pattern *q)
{
    const Inst *any = NULL, *named = NULL;
    for (int i = 1; i < l->inst.n; i++) {
        const Inst *x = l->inst.v[i];
        any = any || x->unit == 0 ? any : l->inst.v[x->unit];
        named = named || !matches(q, 0, x->path) ? named : x;
    }
    for (int i = 0; i < l->m->param.n && !named; i++)
        if (matches(q, 0, l->m->param.v[i].path))
            named = l->inst.v[l->m->param.v[i].instance];
    return !named ? NULL : named->unit ? l->inst.v[named->unit] : any;
}

bool pattern_has_unit(Lower *l, const Pattern *p, const char *key)
{
    Pattern *q = without_doubles(l->a, p);
    Map *word = map_new(l->a), *path = map_new(l->a);
    for (int i = 1; i < l->inst.n; i++) {
        const Inst *x = l->inst.v[i];
        if (x->unit != x->index)
            continue;
        if (matches(q, 0, x->path))
            return true;
        add_words(l, word, x->path);
        map_put(path, x->path, NULL);
    }
    diag_error(l->d, p->at, "`%s` matches no element of a stack", pattern_text(l->a, p));
    const Inst *near = element_near(l, q);
    if (path->n == 0)
        diag_help(l->d, "the model has no stack: %s without a pattern is for all of it", key);
    else if (near)
        diag_help(l->d, "%s is for whole elements of stacks, as `%s`", key, near->path);
    else
        nearest_pattern(l, p, word, path);
    return false;
}
