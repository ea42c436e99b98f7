/* inspect_memory.c - live memory over the steps as a chart, and what is live at its peak. */
#include "planner/inspect_page.h"

#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 14, LABEL = 12, SHOWN = 24 };

typedef struct Chart {
    Page *p;
    const int64_t *live; /* by step */
    int columns;
} Chart;

static int first_step(const Chart *c, int column)
{
    return (int)((int64_t)column * c->p->f->n_step / c->columns);
}

static int64_t highest(const Chart *c, int column)
{
    int64_t most = 0;
    for (int i = first_step(c, column); i < first_step(c, column + 1); i++)
        most = max64(most, c->live[i]);
    return most;
}

static void chart_row(Chart *c, int row, int64_t top, const int64_t *high)
{
    static const char *const part[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    Page *p = c->p;
    double lo = (double)row / HEIGHT;
    const char *label = row == HEIGHT - 1 ? page_bytes(p, top)
                        : row == HEIGHT / 2
                            ? page_bytes(p, (int64_t)((double)top * (lo + 0.5 / HEIGHT)))
                            : "";
    strbuf_printf(&p->s, "%*s %s", LABEL, label, p->unicode ? "│" : "|");
    if (p->color)
        strbuf_add(&p->s, "\033[36m");
    size_t end = p->s.n;
    for (int k = 0; k < c->columns; k++) {
        double fill = top > 0 ? ((double)high[k] / (double)top - lo) * HEIGHT : 0;
        int eighths = fill >= 1 ? 8 : fill > 0 ? (int)(fill * 8 + 0.5) : 0;
        if (row == 0 && high[k] > 0 && eighths == 0)
            eighths = 1;
        strbuf_add(&p->s, p->unicode ? part[eighths] : eighths >= 4 ? "#" : eighths ? "." : " ");
        if (eighths)
            end = p->s.n;
    }
    p->s.n = end; /* no blanks at the line's end */
    p->s.text[end] = 0;
    strbuf_add(&p->s, p->color ? "\033[0m\n" : "\n");
}

/* Words under the chart where something begins: each is cut off where the next one starts. */
static void chart_words(Chart *c, const char *(*word)(const PlanFile *f, const FileStep *s))
{
    Page *p = c->p;
    char *line = arena_alloc(p->a, (size_t)c->columns + 1);
    memset(line, ' ', (size_t)c->columns);
    const char *was = "";
    for (int k = 0; k < c->columns; k++) {
        const char *w = word(p->f, &p->f->step[first_step(c, k)]);
        if (strcmp(w, was) != 0) {
            memset(line + k, ' ', (size_t)(c->columns - k));
            line[k] = '|';
            size_t room = (size_t)(c->columns - k - 1), n = strlen(w);
            memcpy(line + k + 1, w, n < room ? n : room);
        }
        was = w;
    }
    int n = c->columns;
    while (n > 0 && line[n - 1] == ' ')
        n--;
    strbuf_printf(&p->s, "%*s  %.*s\n", LABEL, "", n, line);
}

static const char *program_word(const PlanFile *f, const FileStep *s)
{
    (void)f;
    return program_words.word[s->program];
}
static const char *phase_word(const PlanFile *f, const FileStep *s)
{
    (void)f;
    return phase_words.word[s->phase];
}
static const char *way_word(const PlanFile *f, const FileStep *s)
{
    return s->phase == PHASE_ROUND && s->program == PROGRAM_TRAIN
               ? step_way_in(f, s)[0] == 'f' ? "forward" : "backward"
               : "";
}

static void chart(Page *p)
{
    Chart c = {.p = p, .live = live_bytes(p)};
    int room = p->width - LABEL - 4;
    c.columns = p->f->n_step < room ? p->f->n_step : room;
    int64_t *high = arena_array(p->a, int64_t, c.columns), top = 0;
    for (int k = 0; k < c.columns; k++) {
        high[k] = highest(&c, k);
        top = max64(top, high[k]);
    }
    for (int row = HEIGHT - 1; row >= 0; row--)
        chart_row(&c, row, top, high);
    strbuf_printf(&p->s, "%*s %s", LABEL, "0 B", p->unicode ? "└" : "+");
    for (int k = 0; k < c.columns; k++)
        strbuf_add(&p->s, p->unicode ? "─" : "-");
    strbuf_char(&p->s, '\n');
    int at = p->f->bounds.at_step, column = 0;
    while (column + 1 < c.columns && first_step(&c, column + 1) <= at)
        column++;
    strbuf_printf(&p->s, "%*s  %*s^ step %d\n", LABEL, "", column, "", at);
    chart_words(&c, program_word);
    chart_words(&c, phase_word);
    chart_words(&c, way_word);
    if (p->f->n_step > c.columns)
        strbuf_printf(&p->s, "%*s  a column is up to %d steps, and shows the highest\n", LABEL, "",
                      (p->f->n_step + c.columns - 1) / c.columns);
}

static int by_bytes(const void *x, const void *y)
{
    const Alike *a = x, *b = y;
    if (a->sum[0] != b->sum[0])
        return a->sum[0] < b->sum[0] ? 1 : -1;
    return a->first < b->first ? -1 : a->first > b->first;
}

typedef struct Live { /* buffers that are alike in rows, and their bytes */
    Alikes all;
    int64_t bytes;
} Live;

static void live_add(Page *p, Live *l, const FileBuffer *b)
{
    const char *key = arena_printf(p->a, "%d %d %lld %d %d", b->role, b->dtype, (long long)b->bytes,
                                   b->batched, b->sharded);
    alikes_add(&l->all, b->path, key, b->id, bytes_rounded(b), 0, 0);
    l->bytes = sum_capped(l->bytes, bytes_rounded(b));
}

static void live_print(Page *p, Live *l, bool steps)
{
    const PlanFile *f = p->f;
    if (l->all.row.n)
        qsort(l->all.row.v, (size_t)l->all.row.n, sizeof *l->all.row.v, by_bytes);
    Grid g = grid_new(p, steps ? ">bytes|>times|role|steps|path" : ">bytes|>times|role||path");
    g.bar_columns = 20;
    int64_t rest = 0;
    for (int i = 0; i < l->all.row.n; i++) {
        const Alike *r = &l->all.row.v[i];
        const FileBuffer *b = &f->buffer[r->first];
        if (i >= SHOWN) {
            rest = sum_capped(rest, r->sum[0]);
            continue;
        }
        grid_cell(&g, page_bytes(p, r->sum[0]));
        grid_cell(&g, r->n > 1 ? arena_printf(p->a, "x %d", r->n) : "");
        grid_cell(&g, role_words.word[b->role]);
        grid_cell(&g, !steps     ? b->sharded ? "shard" : ""
                      : r->n > 1 ? ""
                                 : arena_printf(p->a, "%d-%d", b->first, b->last));
        grid_cell(&g, page_path(r->path));
        grid_share(&g, l->bytes > 0 ? (double)r->sum[0] / (double)l->bytes : 0);
    }
    grid_print(&g, 2);
    if (rest)
        strbuf_printf(&p->s, "  and %d more rows with %s\n", l->all.row.n - SHOWN,
                      page_bytes(p, rest));
}

static void peak(Page *p)
{
    const PlanFile *f = p->f;
    int at = f->bounds.at_step;
    Live l = {.all = alikes_new(p->a)};
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (!b->persistent && !b->host && b->first <= at && at <= b->last)
            live_add(p, &l, b);
    }
    const FileStep *s = &f->step[at];
    page_heading(p, "live at the peak, step %d (%s: %s): %s", at, page_path(s->path), s->what,
                 page_bytes(p, l.bytes));
    live_print(p, &l, true);
}

static void always(Page *p)
{
    Live l = {.all = alikes_new(p->a)};
    for (int i = 0; i < p->f->n_buffer; i++)
        if (p->f->buffer[i].persistent && !p->f->buffer[i].host)
            live_add(p, &l, &p->f->buffer[i]);
    page_heading(p, "always there: %s", page_bytes(p, l.bytes));
    live_print(p, &l, false);
}

/* What lies in the host's memory: all of it counts, whenever it is used. */
static void host(Page *p)
{
    Live l = {.all = alikes_new(p->a)};
    for (int i = 0; i < p->f->n_buffer; i++)
        if (p->f->buffer[i].host)
            live_add(p, &l, &p->f->buffer[i]);
    if (!l.all.row.n && !p->f->totals.host_bytes)
        return;
    page_heading(p, "host arena: %s", page_bytes(p, p->f->totals.host_bytes));
    live_print(p, &l, true);
}

void page_memory(Page *p)
{
    const FileTotals *t = &p->f->totals;
    page_heading(p, "memory of %s: arena %s%s", p->f->model, page_bytes(p, t->arena_bytes),
                 p->f->ranks > 1 ? " on each rank" : "");
    strbuf_printf(&p->s, "  persistent %s (parameters, optimizer state); above it, by step:\n\n",
                  page_bytes(p, t->persistent_bytes));
    chart(p);
    peak(p);
    always(p);
    host(p);
}
