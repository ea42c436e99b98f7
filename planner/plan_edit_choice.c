/* plan_edit_choice.c - the choices of a plan.json as the planner takes them. */
#include "planner/frontier.h"
#include "planner/plan_edit_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_OPS = 1 << 20, MOST_LEAD = 1000 };

typedef struct Sets { /* what units keep, while it is read */
    Arena *a;
    const PlanFile *f;
    Diag *d;
    const char *key; /* "recompute", "made.recompute" */
    RecomputeRule *rule;
    const uint64_t **kept;
    VEC(int) op; /* of the entry that is read */
    int words;
} Sets;

static bool op_add(Sets *s, int i, int64_t op)
{
    if (op >= 0 && op < MOST_OPS) {
        vec_push(s->a, &s->op, (int)op);
        return true;
    }
    diag_error(s->d, NO_SPAN, "%s: %s[%d]: %lld is no op of %s", s->f->name, s->key, i,
               (long long)op, s->f->recompute[i].path);
    return false;
}

static void set_kept(Sets *s, int i)
{
    uint64_t *kept = arena_array(s->a, uint64_t, s->words);
    for (int k = 0; k < s->op.n; k++)
        kept[s->op.v[k] / 64] |= UINT64_C(1) << (s->op.v[k] % 64);
    s->kept[s->f->recompute[i].unit] = kept;
}

/* "none", "all", or numbers. */
static bool parse_text(Sets *s, int i, const char *text)
{
    RecomputeRule *rule = &s->rule[s->f->recompute[i].unit];
    *rule = strcmp(text, "none") == 0  ? RECOMPUTE_NONE
            : strcmp(text, "all") == 0 ? RECOMPUTE_ALL
                                       : RECOMPUTE_AUTO;
    s->op.n = 0;
    for (char *end; *rule == RECOMPUTE_AUTO && *text; text = end + (*end == ' ')) {
        long long op = strtoll(text, &end, 10);
        if (end == text || !op_add(s, i, op)) {
            if (end == text)
                diag_error(s->d, NO_SPAN, "%s: %s[%d]: '%.20s' is no op", s->f->name, s->key, i,
                           text);
            return false;
        }
    }
    return true;
}

static bool parse_entry(Sets *s, int i)
{
    const FileRecompute *r = &s->f->recompute[i];
    s->rule[r->unit] = (RecomputeRule)r->rule;
    s->op.n = 0;
    for (int k = 0; k < r->kept.n; k++)
        if (!op_add(s, i, r->kept.v[k]))
            return false;
    if (r->rule == RECOMPUTE_AUTO || !r->kept.n)
        return true;
    diag_error(s->d, NO_SPAN, "%s: recompute[%d].kept (%s): only with \"rule\":\"kept\"",
               s->f->name, i, r->path);
    return false;
}

static bool entry(Sets *s, int i, const Texts *made)
{
    return made ? parse_text(s, i, made->v[i]) : parse_entry(s, i);
}

/* All sets are as long as the longest needs. */
static bool read_sets(Sets *s, const Model *m, const Texts *made, Choice *out)
{
    const PlanFile *f = s->f;
    int units = m->train.graph->instance.n;
    units = units > f->n_instance ? units : f->n_instance;
    s->rule = arena_array(s->a, RecomputeRule, units + 1);
    s->kept = arena_array(s->a, const uint64_t *, units + 1);
    if (made && made->n != f->n_recompute) {
        diag_error(s->d, NO_SPAN, "%s: made.recompute: %d units, `recompute` has %d", f->name,
                   made->n, f->n_recompute);
        return false;
    }
    for (int i = 0; i < f->n_recompute; i++) {
        if (!entry(s, i, made))
            return false;
        for (int k = 0; k < s->op.n; k++)
            if (s->op.v[k] / 64 >= s->words)
                s->words = s->op.v[k] / 64 + 1;
    }
    s->words = s->words ? s->words : 1;
    for (int i = 0; i < f->n_recompute; i++)
        if (s->rule[f->recompute[i].unit] == RECOMPUTE_AUTO && entry(s, i, made))
            set_kept(s, i);
    out->rules = s->rule;
    out->kept = s->kept;
    out->kept_words = s->words;
    return true;
}

static bool lead_in_range(const PlanFile *f, int lead, Diag *d)
{
    if (lead <= MOST_LEAD)
        return true;
    diag_error(d, NO_SPAN, "%s: lead: %d is not in 0..%d", f->name, lead, MOST_LEAD);
    return false;
}

bool edit_choice_made(Arena *a, const Model *m, const PlanFile *f, Diag *d, EditChoice *out)
{
    const FileMade *x = &f->made;
    Level *levels = arena_array(a, Level, x->levels.n + 1);
    for (int i = 0; i < x->levels.n; i++)
        levels[i] = (Level)x->levels.v[i];
    *out = (EditChoice){.shared_by = x->shared_by};
    out->choice = (Choice){.micro_batch = x->micro_batch,
                           .lead = x->lead,
                           .bucket_bytes = x->bucket_bytes,
                           .no_overlap = !x->overlap,
                           .levels = levels,
                           .n_levels = x->levels.n};
    Sets s = {.a = a, .f = f, .d = d, .key = "made.recompute"};
    return lead_in_range(f, x->lead, d) && read_sets(&s, m, &x->recompute, &out->choice);
}

bool edit_choice_asked(Arena *a, const Model *m, const PlanFile *f, Diag *d, EditChoice *out)
{
    Level *levels = arena_array(a, Level, f->n_group + 1);
    for (int i = 0; i < f->n_group; i++)
        levels[i] = (Level)f->group[i].level;
    *out = (EditChoice){.shared_by = f->shared_by};
    out->choice = (Choice){.micro_batch = f->micro_batch,
                           .lead = f->lead,
                           .bucket_bytes = f->bucket_bytes,
                           .no_overlap = !f->overlap,
                           .levels = levels,
                           .n_levels = f->n_group};
    Sets s = {.a = a, .f = f, .d = d, .key = "recompute"};
    return lead_in_range(f, f->lead, d) && read_sets(&s, m, NULL, &out->choice);
}
