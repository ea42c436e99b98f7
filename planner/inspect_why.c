/* inspect_why.c - why the plan is as it is: what a choice cost, the best rejected alternative, the
 * line of the model's file that would force it. */
#include "planner/inspect_lanes.h"

#include <stdlib.h>
#include <string.h>

typedef enum Topic { WHY_MEMORY, WHY_MICRO_BATCH, WHY_ZERO, WHY_RECOMPUTE, WHY_OVERLAP } Topic;

typedef struct Question {
    const char *name;
    Topic topic;
    const char *about;
} Question;

static const Question topics[] = {
    {"memory", WHY_MEMORY, "what it had to fit in, and what would not fit"},
    {"micro-batch", WHY_MICRO_BATCH, "samples a rank takes at once"},
    {"zero", WHY_ZERO, "how the state is shared by ranks"},
    {"recompute", WHY_RECOMPUTE, "what is kept, what is computed again"},
    {"overlap", WHY_OVERLAP, "what communication is hidden, and what is not"},
};

/* ---- alternatives ---- */

static const FileTry *chosen(const PlanFile *f)
{
    for (int i = 0; i < f->n_try; i++)
        if (!f->tried[i].why)
            return &f->tried[i];
    return NULL;
}

static bool differ(const char *x, const char *y)
{
    return strcmp(x ? x : "", y ? y : "") != 0;
}

static int64_t taken(const PlanFile *f, const FileTry *t)
{
    return machine_taken(f->machine, t->arena_bytes, t->host_bytes);
}

/* Would taking `t` be another answer to this question? */
static bool is_other(const PlanFile *f, const FileTry *t, Topic topic)
{
    const FileTry *c = chosen(f);
    switch (topic) {
    case WHY_MEMORY:
        return !t->fits && taken(f, t) > f->memory &&
               (t->step_ps < 0 || t->step_ps < f->totals.step_ps);
    case WHY_MICRO_BATCH:
        return t->micro_batch != f->micro_batch;
    case WHY_ZERO:
        return c && differ(t->zero, c->zero);
    case WHY_RECOMPUTE:
        return c && differ(t->recompute, c->recompute);
    case WHY_OVERLAP:
        return c && differ(t->overlap, c->overlap);
    }
    BUG("topic %d", (int)topic);
}

/* How many of the other choices it shares: an alternative that differs in one thing says most. */
static int alike(const PlanFile *f, const FileTry *t)
{
    const FileTry *c = chosen(f);
    return c ? (t->micro_batch == c->micro_batch) + !differ(t->zero, c->zero) +
                   !differ(t->recompute, c->recompute) + !differ(t->overlap, c->overlap)
             : 0;
}

static bool better(const PlanFile *f, const FileTry *a, const FileTry *b, Topic topic)
{
    if (topic == WHY_MEMORY && taken(f, a) != taken(f, b))
        return taken(f, a) < taken(f, b); /* the least more memory that would do */
    if (a->fits != b->fits)
        return a->fits;
    if (a->step_ps >= 0 && b->step_ps >= 0 && a->step_ps != b->step_ps)
        return a->step_ps < b->step_ps;
    if (alike(f, a) != alike(f, b))
        return alike(f, a) > alike(f, b);
    return taken(f, a) < taken(f, b);
}

static const FileTry *best_other(const PlanFile *f, Topic topic)
{
    const FileTry *best = NULL;
    for (int i = 0; i < f->n_try; i++) {
        const FileTry *t = &f->tried[i];
        if (t->why && is_other(f, t, topic) && (!best || better(f, t, best, topic)))
            best = t;
    }
    return best;
}

/* "h.*: 3, rest: 1", or one level for all, as lines of the plan section: the last line that matches
 * wins. */
static void zero_lines(Page *p, const char *zero)
{
    StrBuf rest = strbuf_new(p->a), own = strbuf_new(p->a);
    while (*zero) {
        size_t n = strcspn(zero, ","), colon = strcspn(zero, ":");
        const char *path = colon < n ? arena_strndup(p->a, zero, colon) : "rest";
        const char *level = arena_strndup(p->a, zero, n);
        level = colon < n ? level + colon + 1 : level;
        level += strspn(level, " ");
        if (word_find(level_words, level) >= 0 && strcmp(path, "rest") == 0)
            strbuf_printf(&rest, "      zero = %s\n", level);
        else if (word_find(level_words, level) >= 0)
            strbuf_printf(&own, "      zero %s = %s\n", path, level);
        zero += n;
        zero += strspn(zero, ", ");
    }
    strbuf_add(&p->s, rest.text);
    strbuf_add(&p->s, own.text);
}

/* "auto, lead 1, buckets of 2.00 MiB", "off" */
static void overlap_lines(Page *p, const char *overlap)
{
    const char *lead = strstr(overlap, "lead "), *bucket = strstr(overlap, "buckets of ");
    if (lead)
        strbuf_printf(&p->s, "      lead = %d\n", (int)strtol(lead + 5, NULL, 10));
    if (bucket) { /* powers of two: a whole number of the unit */
        char *unit;
        int n = (int)strtod(bucket + 11, &unit);
        strbuf_printf(&p->s, "      bucket = %d%s\n", n, unit + strspn(unit, " "));
    }
    if (!lead && !bucket)
        strbuf_printf(&p->s, "      overlap = %s\n", strcmp(overlap, "off") == 0 ? "off" : "auto");
}

static void force_lines(Page *p, const FileTry *t, Topic topic)
{
    if (topic == WHY_ZERO && t->zero && strstr(t->zero, " x ")) {
        strbuf_add(&p->s, "  levels unit by unit: `groups[].level` of an edited plan "
                          "(bmc compile --plan)\n");
        return;
    }
    strbuf_add(&p->s, "  in `plan { }` of the model's file this would force it:\n");
    switch (topic) {
    case WHY_MEMORY:
        strbuf_printf(&p->s, "      memory = %lld\n", (long long)taken(p->f, t));
        return;
    case WHY_MICRO_BATCH:
        strbuf_printf(&p->s, "      micro_batch = %lld\n", (long long)t->micro_batch);
        return;
    case WHY_ZERO:
        zero_lines(p, t->zero ? t->zero : "");
        return;
    case WHY_RECOMPUTE:
        strbuf_printf(&p->s, "      recompute = %s\n",
                      t->recompute && strcmp(t->recompute, "none") == 0  ? "none"
                      : t->recompute && strcmp(t->recompute, "all") == 0 ? "all"
                                                                         : "auto");
        return;
    case WHY_OVERLAP:
        overlap_lines(p, t->overlap ? t->overlap : "auto");
        return;
    }
}

static const char *change(Page *p, int64_t from, int64_t to)
{
    if (from <= 0)
        return "";
    return arena_printf(p->a, " (%+.1f %%)", 100 * ((double)to - (double)from) / (double)from);
}

static void print_try(Page *p, const FileTry *t)
{
    const PlanFile *f = p->f;
    strbuf_printf(&p->s, "  micro-batch %lld x %lld rounds", (long long)t->micro_batch,
                  (long long)t->rounds);
    if (t->zero)
        strbuf_printf(&p->s, ", zero %s", t->zero);
    if (t->recompute)
        strbuf_printf(&p->s, ", recompute %s", t->recompute);
    if (t->overlap)
        strbuf_printf(&p->s, ", overlap %s", t->overlap);
    strbuf_printf(&p->s, ":\n    arena %s%s", page_bytes(p, t->arena_bytes),
                  change(p, f->totals.arena_bytes, t->arena_bytes));
    if (t->step_ps >= 0)
        strbuf_printf(&p->s, ", step %s%s, exposed %s", page_ps(p, t->step_ps),
                      change(p, f->totals.step_ps, t->step_ps),
                      page_ps(p, max64(t->exposed_ps, 0)));
    strbuf_printf(&p->s, "%s\n", t->fits ? "" : ", does not fit");
    if (t->why)
        strbuf_printf(&p->s, "    not taken: %s\n", t->why);
}

static void print_other(Page *p, Topic topic)
{
    const FileTry *t = best_other(p->f, topic);
    page_heading(p, topic == WHY_MEMORY ? "the least more memory that would make it faster"
                                        : "the best rejected");
    if (!t) {
        strbuf_add(&p->s, "  none was tried\n");
        return;
    }
    print_try(p, t);
    force_lines(p, t, topic);
}

/* ---- what the choices cost ---- */

static void cost_of_plan(Page *p)
{
    const PlanFile *f = p->f;
    strbuf_printf(&p->s, "  arena %s", page_bytes(p, f->totals.arena_bytes));
    if (f->totals.step_ps >= 0)
        strbuf_printf(&p->s, ", step %s, exposed %s", page_ps(p, f->totals.step_ps),
                      page_ps(p, max64(f->totals.exposed_ps, 0)));
    strbuf_char(&p->s, '\n');
}

static void why_memory(Page *p)
{
    const PlanFile *f = p->f;
    int64_t both = machine_taken(f->machine, f->totals.arena_bytes, f->totals.host_bytes);
    page_heading(p, "memory: %s",
                 f->memory >= 0 ? arena_printf(p->a, "at most %s", page_bytes(p, f->memory))
                                : "no limit");
    cost_of_plan(p);
    strbuf_printf(&p->s, "  persistent %s, live at most %s in step %d (%s)\n",
                  page_bytes(p, f->totals.persistent_bytes),
                  page_bytes(p, f->totals.max_live_bytes), f->bounds.at_step,
                  page_path(f->step[f->bounds.at_step].path));
    if (f->totals.host_bytes)
        strbuf_printf(&p->s, "  on the host %s%s\n", page_bytes(p, f->totals.host_bytes),
                      both > f->totals.arena_bytes ? ", which is the same memory" : "");
    if (f->memory >= 0)
        strbuf_printf(&p->s, "  %s are left\n", page_bytes(p, max64(f->memory - both, 0)));
}

static void why_micro_batch(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "micro-batch: %lld, in %lld rounds", (long long)f->micro_batch,
                 (long long)f->rounds);
    cost_of_plan(p);
}

static void why_zero(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "zero: how %lld rank%s share the state", (long long)f->ranks,
                 f->ranks == 1 ? "" : "s");
    cost_of_plan(p);
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_group; i++) {
        const FileGroup *g = &f->group[i];
        alikes_add(&all, g->path,
                   arena_printf(p->a, "%d %d %s", g->level, g->offload, g->why ? g->why : ""), i, 0,
                   0, 0);
    }
    Grid g = grid_new(p, "group|>times|level|because");
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileGroup *o = &f->group[r->first];
        grid_cell(&g, page_path(r->path));
        grid_cell(&g, r->n > 1 ? arena_printf(p->a, "x %d", r->n) : "");
        grid_cell(&g, level_words.word[o->level]);
        grid_cell(&g, o->why ? o->why : "");
    }
    grid_print(&g, 2);
}

static void why_recompute(Page *p)
{
    const FileTry *c = chosen(p->f);
    page_heading(p, "recompute%s%s", c && c->recompute ? ": " : "",
                 c && c->recompute ? c->recompute : "");
    cost_of_plan(p);
    strbuf_add(&p->s, "  --recompute shows what each block keeps\n");
}

static void why_overlap(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "overlap: %s, lead %d, buckets of at most %s", f->overlap ? "auto" : "off",
                 f->lead, page_bytes(p, f->bucket_bytes));
    cost_of_plan(p);
    if (lanes_known(f)) {
        Lanes l = lanes_of(p, PROGRAM_TRAIN);
        strbuf_printf(&p->s, "  communication takes %s, copies %s\n",
                      page_ps(p, l.busy[STREAM_COMM]), page_ps(p, l.busy[STREAM_COPY]));
    }
    strbuf_add(&p->s, "  --comm shows each collective, --timeline the streams\n");
}

/* ---- a group, by its path or that of something in it ---- */

/* What of a collective's bytes is this group's: it may move several. */
static double part_of(const PlanFile *f, const FileStep *s, const FileGroup *g)
{
    const Rows *seg = &f->kernel[s->kernel].segments;
    double all = 0, own = 0;
    int by = s->kind == KIND_ALL_REDUCE ? 1 : 2; /* arguments: the whole, the shard */
    for (int i = 0; i < seg->n && i * by < s->args.n; i++) {
        double elems = (double)seg->v[2 * i];
        all += elems;
        own += f->buffer[s->args.v[i * by]].group == g->id ? elems : 0;
    }
    return all > 0 ? own / all : 0;
}

static void group_cost(Page *p, const FileGroup *g)
{
    const PlanFile *f = p->f;
    int64_t params = 0, state = 0, sent = 0, ps = 0, calls = 0, gathered = 0;
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (b->group != g->id)
            continue;
        if (b->persistent && b->role == ROLE_PARAM)
            params = sum_capped(params, bytes_rounded(b));
        if (b->persistent && b->role == ROLE_STATE)
            state = sum_capped(state, bytes_rounded(b));
        if (b->role == ROLE_GATHERED)
            gathered = max64(gathered, bytes_rounded(b));
    }
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        if (s->program != PROGRAM_TRAIN || !kind_is_collective((StepKind)s->kind))
            continue;
        double part = part_of(f, s, g);
        int64_t runs = step_runs(f, s);
        calls = part > 0 ? sum_capped(calls, runs) : calls;
        sent = sum_capped(sent, product_capped((int64_t)((double)s->sent * part), runs));
        ps = sum_capped(ps, product_capped((int64_t)((double)s->ps * part), runs));
    }
    strbuf_printf(&p->s, "  on each rank: parameters %s, state %s", page_bytes(p, params),
                  page_bytes(p, state));
    if (gathered)
        strbuf_printf(&p->s, "; %s while it is gathered", page_bytes(p, gathered));
    strbuf_printf(&p->s, "\n  one optimizer step: %lld collectives, %s sent", (long long)calls,
                  page_bytes(p, sent));
    if (ps)
        strbuf_printf(&p->s, ", %s", page_ps(p, ps));
    strbuf_char(&p->s, '\n');
}

static void why_group(Page *p, const FileGroup *g)
{
    const PlanFile *f = p->f;
    const FileInstance *in = &f->instance[g->unit];
    page_heading(p, "%s (%s): level %s%s", page_path(g->path), in->block,
                 level_words.word[g->level], g->offload ? ", state on the host" : "");
    if (g->why)
        strbuf_printf(&p->s, "  because: %s\n", g->why);
    strbuf_printf(&p->s,
                  "  %d parameter%s, %s elements in one flat buffer, shards of %s for %lld ranks\n",
                  g->params.n, g->params.n == 1 ? "" : "s", page_grouped(p, g->used),
                  page_grouped(p, g->shard), (long long)f->shared_by);
    group_cost(p, g);
    strbuf_add(&p->s, "  in `plan { }` of the model's file this keeps it so:\n");
    if (*in->path)
        strbuf_printf(&p->s, "      zero %s = %s\n", in->path, level_words.word[g->level]);
    for (int i = 0; i < g->params.n && !*in->path; i++)
        strbuf_printf(&p->s, "      zero %s = %s\n", f->param[g->params.v[i]].path,
                      level_words.word[g->level]);
}

static bool wanted(Page *p, const char *what, const char *path)
{
    return strcmp(path, what) == 0 || strcmp(path_pattern(p->a, path), what) == 0;
}

/* The groups of a parameter, of a block, or that are called so; a pattern's first one stands for
 * all. */
static bool why_path(Page *p, const char *what)
{
    const PlanFile *f = p->f;
    int unit = -1;
    bool found = false;
    for (int i = 0; i < f->n_group; i++)
        if (wanted(p, what, f->group[i].path)) {
            why_group(p, &f->group[i]);
            return true;
        }
    for (int i = 0; i < f->n_param; i++)
        if (wanted(p, what, f->param[i].path) && f->param[i].group >= 0) {
            why_group(p, &f->group[f->param[i].group]);
            return true;
        }
    for (int i = 0; i < f->n_instance && unit < 0; i++)
        if (wanted(p, what, f->instance[i].path))
            unit = f->instance[i].unit;
    for (int i = 0; i < f->n_group && unit >= 0; i++)
        if (f->group[i].unit == unit) {
            why_group(p, &f->group[i]);
            found = true;
        }
    return found;
}

static void what_there_is(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "--why WHAT");
    Grid g = grid_new(p, "what|");
    for (int i = 0; i < countof(topics); i++) {
        grid_cell(&g, topics[i].name);
        grid_cell(&g, topics[i].about);
    }
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_group; i++)
        alikes_add(&all, f->group[i].path, "", i, 0, 0, 0);
    for (int i = 0; i < all.row.n; i++) {
        grid_cell(&g, page_path(all.row.v[i].path));
        grid_cell(&g, "a group of parameters; or the path of one of them, or of a block");
    }
    grid_print(&g, 2);
}

/* As on this page, or as in the model's file: "micro_batch". */
static bool is_topic(const char *what, const char *name)
{
    while (*what && (*what == *name || (*what == '_' && *name == '-'))) {
        what++;
        name++;
    }
    return !*what && !*name;
}

void page_why(Page *p)
{
    static void (*const say[])(Page *) = {[WHY_MEMORY] = why_memory,
                                          [WHY_MICRO_BATCH] = why_micro_batch,
                                          [WHY_ZERO] = why_zero,
                                          [WHY_RECOMPUTE] = why_recompute,
                                          [WHY_OVERLAP] = why_overlap};
    if (!p->what || !*p->what) {
        what_there_is(p);
        return;
    }
    for (int i = 0; i < countof(topics); i++)
        if (is_topic(p->what, topics[i].name)) {
            say[topics[i].topic](p);
            print_other(p, topics[i].topic);
            return;
        }
    const char *what = strcmp(p->what, "(model)") == 0 ? "" : p->what;
    if (why_path(p, what)) {
        print_other(p, WHY_ZERO);
        return;
    }
    StrBuf names = strbuf_new(p->a);
    for (int i = 0; i < countof(topics); i++)
        strbuf_printf(&names, "%s, ", topics[i].name);
    page_fail(p, "nothing is called '%s'; there are %sand paths of parameters and blocks", p->what,
              names.text);
}
