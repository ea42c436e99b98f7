/* inspect_timeline.c - the steps in order, block by block; a run of blocks that do the same is
 * shown once. */
#include "frontend/base/map.h"
#include "planner/inspect_lanes.h"

#include <string.h>

enum { LONGEST_PERIOD = 8, FLOPS_PER_BYTE = 20 };

typedef struct Run { /* consecutive steps of one block, in one phase and direction */
    int first, n;
    uint64_t like; /* of what its steps do: kernels, not paths */
} Run;

typedef struct Timeline {
    Page *p;
    VEC(Run) run;
    int path_width, kernel_width;
    double most; /* weight of the heaviest step */
    bool known;  /* times are predicted: weights are those */
} Timeline;

static int unit_of(const PlanFile *f, const FileStep *s)
{
    return f->instance[s->instance].unit;
}

/* What bars go by: time; without it bytes moved, or flops where they are more than memory could
 * feed. */
static double weight(const Timeline *t, int64_t flops, int64_t bytes, int64_t ps)
{
    if (t->known)
        return (double)ps;
    double fed = (double)flops / FLOPS_PER_BYTE;
    return fed > (double)bytes ? fed : (double)bytes;
}

static bool same_run(const PlanFile *f, const FileStep *a, const FileStep *b)
{
    return a->program == b->program && a->phase == b->phase && a->region == b->region &&
           a->backward == b->backward && a->recompute == b->recompute &&
           unit_of(f, a) == unit_of(f, b);
}

static const char *relative(const PlanFile *f, const FileStep *s)
{
    const char *unit = f->instance[unit_of(f, s)].path;
    size_t n = strlen(unit);
    if (n == 0 || strncmp(s->path, unit, n) != 0)
        return page_path(s->path);
    return s->path[n] == '.' ? s->path + n + 1 : s->path[n] == 0 ? "(block)" : s->path;
}

static uint64_t run_like(const PlanFile *f, int first, int n)
{
    uint64_t h = 0;
    for (int i = first; i < first + n; i++) {
        const FileStep *s = &f->step[i];
        int word[] = {s->kernel,   s->program,   s->phase,          s->region,
                      s->backward, s->recompute, unit_of(f, s) > 0, s->cls};
        h = hash_bytes(h, word, sizeof word);
        h = hash_bytes(h, relative(f, s), strlen(relative(f, s)));
    }
    return h;
}

static void find_runs(Timeline *t)
{
    const PlanFile *f = t->p->f;
    for (int i = 0; i < f->n_step;) {
        int n = 1;
        while (i + n < f->n_step && same_run(f, &f->step[i], &f->step[i + n]))
            n++;
        Run r = {i, n, run_like(f, i, n)};
        vec_push(t->p->a, &t->run, r);
        i += n;
    }
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        int path = (int)strlen(relative(f, s)), kernel = (int)strlen(f->kernel[s->kernel].name);
        t->path_width = path > t->path_width ? path : t->path_width;
        t->kernel_width = kernel > t->kernel_width ? kernel : t->kernel_width;
        double heavy = weight(t, s->flops, s->bytes, s->ps);
        t->most = heavy > t->most ? heavy : t->most;
    }
    t->path_width = t->path_width < 32 ? t->path_width : 32;
    t->kernel_width = t->kernel_width < 32 ? t->kernel_width : 32;
}

/* How often the `period` runs from `at` on are repeated, the first time included. */
static int repeats(const Timeline *t, int at, int period)
{
    int n = 1;
    for (int i = at + period; i + period <= t->run.n; i += period, n++)
        for (int k = 0; k < period; k++)
            if (t->run.v[i + k].like != t->run.v[at + k].like)
                return n;
    return n;
}

/* The period that covers most runs; 1 when nothing repeats. */
static int best_period(const Timeline *t, int at, int *times)
{
    int best = 1;
    *times = repeats(t, at, 1);
    for (int period = 2; period <= LONGEST_PERIOD; period++) {
        int n = repeats(t, at, period);
        if (n > 1 && n * period > *times * best) {
            best = period;
            *times = n;
        }
    }
    return best;
}

/* Where it runs, if not on compute in each round, and after what. */
static void print_order(Page *p, const FileStep *s)
{
    const char *sep = "  ";
    if (s->stream != STREAM_COMPUTE) {
        strbuf_printf(&p->s, "%son %s", sep, stream_words.word[s->stream]);
        sep = ", ";
    }
    if (s->when != WHEN_ALWAYS) {
        strbuf_printf(&p->s, "%s%s round", sep, when_words.word[s->when]);
        sep = ", ";
    }
    for (int k = 0; k < s->waits.n; k++) {
        strbuf_printf(&p->s, "%s%d", k ? " " : arena_printf(p->a, "%safter ", sep), s->waits.v[k]);
        sep = ", ";
    }
}

static const char *class_word(const FileStep *s)
{
    return s->cls >= 0 ? class_words.word[s->cls] : "";
}

static void print_step(Timeline *t, const FileStep *s)
{
    Page *p = t->p;
    strbuf_printf(&p->s, "  %6d  %-14s  %-*s  %-*s  %8s  %10s  ", s->id, kind_words.word[s->kind],
                  t->path_width, relative(p->f, s), t->kernel_width, p->f->kernel[s->kernel].name,
                  page_count(p, s->flops), page_bytes(p, s->bytes));
    if (t->known)
        strbuf_printf(&p->s, "%8s  %-6s  ", s->ps ? page_ps(p, s->ps) : "", class_word(s));
    page_bar(p, t->most > 0 ? weight(t, s->flops, s->bytes, s->ps) / t->most : 0, 24);
    print_order(p, s);
    while (p->s.n && p->s.text[p->s.n - 1] == ' ')
        p->s.text[--p->s.n] = 0;
    strbuf_char(&p->s, '\n');
}

/* "h.0 forward, steps 5-13, 4 times (h.0 to h.3, steps 5-40): 5.2 G flops, 30 MiB" */
static void print_run(Timeline *t, int at, int k, int period, int times)
{
    Page *p = t->p;
    const PlanFile *f = p->f;
    const Run *r = &t->run.v[at + k], *last = &t->run.v[at + k + period * (times - 1)];
    const FileStep *s = &f->step[r->first];
    int64_t flops = 0, bytes = 0, ps = 0;
    for (int n = 0; n < times; n++) {
        const Run *o = &t->run.v[at + k + period * n];
        for (int i = o->first; i < o->first + o->n; i++) {
            flops = sum_capped(flops, f->step[i].flops);
            bytes = sum_capped(bytes, f->step[i].bytes);
            ps = sum_capped(ps, f->step[i].ps);
        }
    }
    const FileInstance *unit = &f->instance[unit_of(f, s)];
    const FileInstance *end = &f->instance[unit_of(f, &f->step[last->first])];
    strbuf_add(&p->s, p->color ? "  \033[1m" : "  ");
    strbuf_printf(&p->s, "%s", page_path(unit->path));
    if (unit->path[0])
        strbuf_printf(&p->s, " (%s)", unit->block);
    strbuf_printf(&p->s, "%s %s", p->color ? "\033[0m" : "", step_way_in(f, s));
    if (s->region)
        strbuf_printf(&p->s, ", region %d", s->region);
    if (times > 1)
        strbuf_printf(&p->s, ", %d times to %s, steps %d-%d", times, page_path(end->path), r->first,
                      last->first + last->n - 1);
    strbuf_printf(&p->s, ": %s flops, %s", page_count(p, flops), page_bytes(p, bytes));
    if (t->known)
        strbuf_printf(&p->s, ", %s", page_ps(p, ps));
    strbuf_char(&p->s, '\n');
    for (int i = r->first; i < r->first + r->n; i++)
        print_step(t, &f->step[i]);
}

/* The steps of a phase that is no loop, alike ones as one row. */
static void print_once(Timeline *t, int first, int n)
{
    Page *p = t->p;
    const PlanFile *f = p->f;
    Alikes all = alikes_new(p->a);
    for (int i = first; i < first + n; i++) {
        const FileStep *s = &f->step[i];
        const char *key = arena_printf(p->a, "%d %d %d %d %d", s->kernel, s->backward, s->recompute,
                                       s->stream, s->cls);
        alikes_add(&all, s->path, key, i, s->flops, s->bytes, s->ps);
    }
    Grid g = grid_new(p, t->known ? ">step|kind|path|>times|kernel|>flops|>moved|>time|class"
                                  : ">step|kind|path|>times|kernel|>flops|>moved");
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileStep *s = &f->step[r->first];
        grid_cell(&g, arena_printf(p->a, "%d", s->id));
        grid_cell(&g, kind_words.word[s->kind]);
        grid_cell(&g, page_path(r->path));
        grid_cell(&g, r->n > 1 ? arena_printf(p->a, "x %d", r->n) : "");
        grid_cell(&g, f->kernel[s->kernel].name);
        grid_cell(&g, page_count(p, r->sum[0]));
        grid_cell(&g, page_bytes(p, r->sum[1]));
        if (t->known) {
            grid_cell(&g, r->sum[2] ? page_ps(p, r->sum[2]) : "");
            grid_cell(&g, class_word(s));
        }
        double heavy = weight(t, r->sum[0], r->sum[1], r->sum[2]);
        grid_share(&g, t->most > 0 ? heavy / t->most : 0);
    }
    grid_print(&g, 4);
}

static bool is_loop(const FileStep *s)
{
    return s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND;
}

static void print_phase(Timeline *t, const FileStep *s)
{
    const PlanFile *f = t->p->f;
    const FileProgram *g = &f->program[f->program_of[s->program]];
    bool loop = is_loop(s);
    StrBuf how = strbuf_new(t->p->a);
    if (loop && g->rounds == 0)
        strbuf_add(&how, ", for every micro-batch of the data");
    else if (loop && g->rounds > 1)
        strbuf_printf(&how, ", %lld times", (long long)g->rounds);
    if (loop)
        strbuf_printf(&how, " (%lld sample%s)", (long long)g->micro_batch,
                      g->micro_batch == 1 ? "" : "s");
    page_heading(t->p, "%s %s%s", program_words.word[s->program], phase_words.word[s->phase],
                 how.text);
}

void page_timeline(Page *p)
{
    Timeline t = {.p = p, .known = lanes_known(p->f)};
    const PlanFile *f = p->f;
    find_runs(&t);
    if (t.known) {
        Lanes l = lanes_of(p, PROGRAM_TRAIN);
        print_lanes(p, &l);
    }
    page_heading(p, "steps of %s, in order", f->model);
    if (t.known)
        strbuf_add(&p->s, "  step, kind, path, kernel, flops, bytes moved, time and what "
                          "bounds it; bars: time, against the longest step\n");
    else
        strbuf_printf(&p->s,
                      "  step, kind, path, kernel, flops, bytes moved; bars: the larger of bytes "
                      "and flops / %d, against the heaviest step\n",
                      FLOPS_PER_BYTE);
    int program = -1, phase = -1;
    for (int i = 0; i < t.run.n;) {
        const FileStep *s = &f->step[t.run.v[i].first];
        if (s->program != program || s->phase != phase)
            print_phase(&t, s);
        program = s->program;
        phase = s->phase;
        int end = i;
        while (end < t.run.n && f->step[t.run.v[end].first].program == program &&
               f->step[t.run.v[end].first].phase == phase)
            end++;
        if (!is_loop(s)) {
            int last = t.run.v[end - 1].first + t.run.v[end - 1].n;
            print_once(&t, t.run.v[i].first, last - t.run.v[i].first);
            i = end;
            continue;
        }
        int times, period = best_period(&t, i, &times);
        for (int k = 0; k < period; k++)
            print_run(&t, i, k, period, times);
        i += period * times;
    }
}
