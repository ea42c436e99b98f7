/* inspect_summary.c - the first page: what the plan is, where memory and work go. */
#include "frontend/base/map.h"
#include "planner/inspect_lanes.h"

#include <stdlib.h>
#include <string.h>

static int64_t trained_elements(const PlanFile *f)
{
    int64_t n = 0;
    for (int i = 0; i < f->n_param; i++) {
        int64_t elems = 1;
        for (int k = 0; k < f->param[i].shape.n; k++)
            elems = product_capped(elems, f->param[i].shape.v[k]);
        if (!f->param[i].buffer)
            n = sum_capped(n, elems);
    }
    return n;
}

static void plural(Page *p, int64_t n, const char *what)
{
    strbuf_printf(&p->s, "%lld %s%s", (long long)n, what, n == 1 ? "" : "s");
}

static void summary_time(Page *p)
{
    const PlanFile *f = p->f;
    strbuf_printf(&p->s, "%s predicted on %s", page_ps(p, f->totals.step_ps),
                  f->machine ? f->machine->name : "a machine");
    if (f->totals.exposed_ps > 0)
        strbuf_printf(&p->s, ", %s of it communication that nothing hides",
                      page_ps(p, f->totals.exposed_ps));
    int64_t least = f->bounds.lower_ps;
    if (least > 0 && f->totals.step_ps >= least)
        strbuf_printf(&p->s, "\n  no plan takes less than %s: the gap is at most %.1f %%",
                      page_ps(p, least), 100 * (double)(f->totals.step_ps - least) / (double)least);
    strbuf_char(&p->s, '\n');
}

static void summary_head(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "%s  (%s, plan %s)", f->model, f->file, f->hash);
    strbuf_printf(&p->s, "  %s parameters in ", page_count(p, trained_elements(f)));
    int tensors = 0;
    for (int i = 0; i < f->n_param; i++)
        tensors += !f->param[i].buffer;
    plural(p, tensors, "tensor");
    strbuf_printf(&p->s, "\n  batch %lld = ", (long long)f->batch);
    plural(p, f->ranks, "rank");
    strbuf_add(&p->s, " x ");
    plural(p, f->rounds, "round");
    strbuf_add(&p->s, " x ");
    plural(p, f->micro_batch, "sample");
    const FileProgram *g =
        f->program_of[PROGRAM_TRAIN] >= 0 ? &f->program[f->program_of[PROGRAM_TRAIN]] : NULL;
    if (g && g->region_samples > 0)
        strbuf_printf(&p->s, ", the loss head by %lld", (long long)g->region_samples);
    if (g && g->region_parts > 0)
        strbuf_printf(&p->s, ", the loss head in %lld parts of each", (long long)g->region_parts);
    strbuf_printf(&p->s, "%s\n", f->fused ? "" : ", not fused");
    if (f->below_grain)
        strbuf_printf(&p->s,
                      "  a micro-batch is no whole number of grains of %lld rows: another "
                      "micro-batch gives other last bits\n",
                      (long long)f->grain_rows);
    strbuf_printf(&p->s, "  one step: %s flops, %s moved; ", page_count(p, f->totals.flops),
                  page_bytes(p, f->totals.step_bytes));
    if (f->totals.step_ps < 0)
        strbuf_printf(&p->s, "its time is not predicted: no machine was named\n");
    else
        summary_time(p);
}

/* Bytes by role: the persistent ones, and those live at the peak. */
static void summary_arena(Page *p)
{
    const PlanFile *f = p->f;
    const FileTotals *t = &f->totals;
    int at = f->bounds.at_step;
    int64_t kept[N_ROLES] = {0}, peak[N_ROLES] = {0};
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        int64_t *sum = b->persistent ? &kept[b->role] : &peak[b->role];
        if (b->host)
            continue;
        if (b->persistent || (b->first <= at && at <= b->last))
            *sum = sum_capped(*sum, bytes_rounded(b));
    }
    page_heading(p, "arena  %s  (%s bytes)", page_bytes(p, t->arena_bytes),
                 page_grouped(p, t->arena_bytes));
    Grid g = grid_new(p, "|>bytes|>share");
    for (int k = 0; k < 2 * N_ROLES; k++) {
        int64_t n = k < N_ROLES ? kept[k] : peak[k - N_ROLES];
        if (!n)
            continue;
        static const char *const name[N_ROLES] = {[ROLE_PARAM] = "parameters",
                                                  [ROLE_STATE] = "optimizer state",
                                                  [ROLE_BUFFER] = "model buffers",
                                                  [ROLE_HOST] = "host scalars",
                                                  [ROLE_INPUT] = "inputs",
                                                  [ROLE_GRAD] = "gradients, sums",
                                                  [ROLE_SAVED] = "saved activations",
                                                  [ROLE_TEMP] = "temporaries",
                                                  [ROLE_GATHERED] = "gathered parameters",
                                                  [ROLE_COMM] = "staging of collectives"};
        double share = t->arena_bytes > 0 ? (double)n / (double)t->arena_bytes : 0;
        grid_cell(&g,
                  arena_printf(p->a, "%s%s", name[k % N_ROLES], k < N_ROLES ? "" : " at the peak"));
        grid_cell(&g, page_bytes(p, n));
        grid_cell(&g, arena_printf(p->a, "%.1f %%", 100 * share));
        grid_share(&g, share);
    }
    grid_print(&g, 2);
    strbuf_printf(&p->s, "  persistent %s + live at most %s", page_bytes(p, t->persistent_bytes),
                  page_bytes(p, t->max_live_bytes));
    if (f->bounds.gap)
        strbuf_printf(&p->s, " + gap %s (%s)", page_bytes(p, f->bounds.gap),
                      f->bounds.proved ? "proved to be needed" : "not proved to be needed");
    else
        strbuf_add(&p->s, ": no gap, no arena could be smaller");
    if (t->host_bytes)
        strbuf_printf(&p->s, "\n  beside it on the host %s (%s bytes): see --memory",
                      page_bytes(p, t->host_bytes), page_grouped(p, t->host_bytes));
    const FileStep *s = &f->step[at];
    strbuf_printf(&p->s, "\n  the peak is in step %d: %s, %s %s %s\n", at, page_path(s->path),
                  program_words.word[s->program], phase_words.word[s->phase], step_way(s));
}

static void summary_programs(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "programs");
    for (int i = 0; i < f->n_program; i++) {
        const FileProgram *g = &f->program[i];
        int64_t steps = 0;
        for (int k = 0; k < N_PHASES; k++)
            steps += g->count[k];
        strbuf_printf(&p->s, "  %-7s", program_words.word[g->kind]);
        plural(p, steps, "step");
        const char *sep = ": ";
        for (int k = 0; k < N_PHASES; k++) {
            if (!g->count[k])
                continue;
            strbuf_printf(&p->s, "%s%s %d", sep, phase_words.word[k], g->count[k]);
            bool loop = k == PHASE_WEIGHT || k == PHASE_ROUND;
            if (loop && g->rounds > 1)
                strbuf_printf(&p->s, " x %lld", (long long)g->rounds);
            else if (loop && g->rounds == 0)
                strbuf_add(&p->s, " x as often as the data has micro-batches");
            sep = ", ";
        }
        strbuf_printf(&p->s, "; micro-batch %lld\n", (long long)g->micro_batch);
    }
}

typedef struct Work {
    int index;
    int64_t steps, runs, flops, bytes;
} Work;

static void add_work(Work *w, const PlanFile *f, const FileStep *s)
{
    int64_t runs = step_runs(f, s);
    w->steps++;
    w->runs = sum_capped(w->runs, runs);
    w->flops = sum_capped(w->flops, product_capped(s->flops, runs));
    w->bytes = sum_capped(w->bytes, product_capped(s->bytes, runs));
}

static int by_flops(const void *x, const void *y)
{
    const Work *a = x, *b = y;
    if (a->flops != b->flops)
        return a->flops < b->flops ? 1 : -1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_bytes(const void *x, const void *y)
{
    const Work *a = x, *b = y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return by_flops(x, y);
}

static void print_work(Page *p, const char *first, const Work *w, int n, int shown, bool kernels,
                       bool flops)
{
    int64_t total = 0;
    for (int i = 0; i < n; i++)
        total = sum_capped(total, flops ? w[i].flops : w[i].bytes);
    Grid g = grid_new(p, arena_printf(p->a, "%s|>steps|>runs|>flops|>moved", first));
    for (int i = 0; i < n && i < shown; i++) {
        int64_t part = flops ? w[i].flops : w[i].bytes;
        if (!w[i].steps || (kernels && !part))
            continue;
        grid_cell(&g, kernels ? p->f->kernel[w[i].index].name : kind_words.word[w[i].index]);
        grid_cell(&g, page_grouped(p, w[i].steps));
        grid_cell(&g, page_grouped(p, w[i].runs));
        grid_cell(&g, page_count(p, w[i].flops));
        grid_cell(&g, page_bytes(p, w[i].bytes));
        grid_share(&g, total > 0 ? (double)part / (double)total : 0);
    }
    grid_print(&g, 2);
}

static void summary_classes(Page *p)
{
    ClassTime time[N_TIME_CLASSES];
    int64_t all;
    if (!class_times(p->f, time, &all))
        return;
    page_heading(p, "time by class: what bounds each step, in all streams, hidden or not");
    Grid g = grid_new(p, "class|>steps|>time|>share");
    for (int k = 0; k < N_TIME_CLASSES; k++) {
        double share = all > 0 ? (double)time[k].ps / (double)all : 0;
        if (!time[k].steps)
            continue;
        grid_cell(&g, class_words.word[k]);
        grid_cell(&g, page_grouped(p, time[k].steps));
        grid_cell(&g, page_ps(p, time[k].ps));
        grid_cell(&g, arena_printf(p->a, "%.1f %%", 100 * share));
        grid_share(&g, share);
    }
    grid_print(&g, 2);
}

static void summary_work(Page *p)
{
    const PlanFile *f = p->f;
    enum { SHOWN = 8 };
    Work kind[N_STEP_KINDS] = {0}, *kernel = arena_array(p->a, Work, f->n_kernel + 1);
    for (int i = 0; i < N_STEP_KINDS; i++)
        kind[i].index = i;
    for (int i = 0; i < f->n_kernel; i++)
        kernel[i].index = i;
    for (int i = 0; i < f->n_step; i++)
        if (f->step[i].program == PROGRAM_TRAIN) {
            add_work(&kind[f->step[i].kind], f, &f->step[i]);
            add_work(&kernel[f->step[i].kernel], f, &f->step[i]);
        }
    qsort(kind, N_STEP_KINDS, sizeof *kind, by_flops);
    page_heading(p, "work of one training step (bars: share of flops)");
    print_work(p, "kind", kind, N_STEP_KINDS, N_STEP_KINDS, false, true);
    summary_classes(p);
    qsort(kernel, (size_t)f->n_kernel, sizeof *kernel, by_flops);
    page_heading(p, "kernels with most flops");
    print_work(p, "kernel", kernel, f->n_kernel, SHOWN, true, true);
    qsort(kernel, (size_t)f->n_kernel, sizeof *kernel, by_bytes);
    page_heading(p, "kernels that move most (bars: share of bytes)");
    print_work(p, "kernel", kernel, f->n_kernel, SHOWN, true, false);
}

/* How many groups are at each level, and what that moves. */
static void summary_ranks(Page *p)
{
    const PlanFile *f = p->f;
    if (f->ranks <= 1)
        return;
    page_heading(p, "ranks");
    strbuf_printf(&p->s, "  %lld, state shared by %lld; accumulate = %s, reduce = %s, overlap = %s",
                  (long long)f->ranks, (long long)f->shared_by, accumulate_words.word[f->reduced],
                  reduce_words.word[f->invariant], f->overlap ? "auto" : "off");
    strbuf_printf(&p->s, ", lead %d\n", f->lead);
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_group; i++)
        alikes_add(&all, f->group[i].path,
                   arena_printf(p->a, "%d %d", f->group[i].level, f->group[i].offload), i,
                   f->group[i].used, 0, 0);
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileGroup *g = &f->group[r->first];
        strbuf_printf(&p->s, "  %s: level %s%s", page_path(r->path), level_words.word[g->level],
                      g->offload ? ", optimizer on the host" : "");
        if (r->n > 1)
            strbuf_printf(&p->s, " (%d)", r->n);
        strbuf_printf(&p->s, "%s%s\n", g->why ? ": " : "", g->why ? g->why : "");
    }
    int64_t sent = 0, calls = 0;
    for (int i = 0; i < f->n_comm; i++)
        if (f->step[f->comm[i].step].program == PROGRAM_TRAIN) {
            sent = sum_capped(sent, product_capped(f->comm[i].bytes, f->comm[i].times));
            calls = sum_capped(calls, f->comm[i].times);
        }
    strbuf_printf(&p->s, "  a rank sends %s in %s collectives each optimizer step\n",
                  page_bytes(p, sent), page_grouped(p, calls));
}

/* Cells of columns that some alternative has something to say in. */
typedef struct Columns {
    bool time, zero, recompute, overlap, host;
} Columns;

static Columns columns_of(const PlanFile *f)
{
    Columns c = {0};
    for (int i = 0; i < f->n_try; i++) {
        const FileTry *t = &f->tried[i];
        c.time |= t->step_ps >= 0;
        c.zero |= t->zero != NULL;
        c.recompute |= t->recompute != NULL;
        c.overlap |= t->overlap != NULL;
        c.host |= t->host_bytes > 0;
    }
    return c;
}

/* What both arenas had to fit in. */
static void summary_memory(Page *p)
{
    const PlanFile *f = p->f;
    const FileTotals *t = &f->totals;
    int64_t taken = machine_taken(f->machine, t->arena_bytes, t->host_bytes);
    if (f->memory < 0)
        return;
    strbuf_printf(&p->s, "  memory: %s", page_bytes(p, f->memory));
    if (taken > t->arena_bytes)
        strbuf_printf(&p->s, ", %s taken: both arenas lie in it", page_bytes(p, taken));
    else if (t->host_bytes && f->machine && f->machine->host_bytes)
        strbuf_printf(&p->s, ", the host's %s", page_bytes(p, f->machine->host_bytes));
    strbuf_char(&p->s, '\n');
}

static void summary_tried(Page *p)
{
    const PlanFile *f = p->f;
    if (!f->n_try)
        return;
    Columns c = columns_of(f);
    page_heading(p, "alternatives");
    Grid g =
        grid_new(p, arena_printf(p->a, ">samples|>rounds%s%s%s|>arena%s%s|", c.zero ? "|zero" : "",
                                 c.recompute ? "|recompute" : "", c.overlap ? "|overlap" : "",
                                 c.host ? "|>host" : "", c.time ? "|>step|>exposed" : ""));
    for (int i = 0; i < f->n_try; i++) {
        const FileTry *t = &f->tried[i];
        grid_cell(&g, page_grouped(p, t->micro_batch));
        grid_cell(&g, page_grouped(p, t->rounds));
        if (c.zero)
            grid_cell(&g, t->zero ? t->zero : "");
        if (c.recompute)
            grid_cell(&g, t->recompute ? t->recompute : "");
        if (c.overlap)
            grid_cell(&g, t->overlap ? t->overlap : "");
        grid_cell(&g, page_bytes(p, t->arena_bytes));
        if (c.host)
            grid_cell(&g, page_bytes(p, t->host_bytes));
        if (c.time) {
            grid_cell(&g, t->step_ps >= 0 ? page_ps(p, t->step_ps) : "");
            grid_cell(&g, t->exposed_ps >= 0 ? page_ps(p, t->exposed_ps) : "");
        }
        grid_cell(&g, t->why ? t->why : "chosen");
    }
    grid_print(&g, 2);
    summary_memory(p);
}

void page_summary(Page *p)
{
    summary_head(p);
    summary_arena(p);
    summary_ranks(p);
    summary_programs(p);
    summary_work(p);
    summary_tried(p);
}
