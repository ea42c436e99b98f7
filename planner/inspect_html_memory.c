/* inspect_html_memory.c - live memory over the steps of training, by role, and who is live at the
 * peak. */
#include "planner/inspect_html.h"

#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 250, BAND = 18, MOST_COLUMNS = 500, LARGEST = 5, SHOWN = 14 };

typedef struct Area {
    Page *p;
    int lo, hi;            /* steps shown */
    int columns;           /* each a step, or the highest of several */
    int *step;             /* by column */
    int64_t *role;         /* [column][N_ROLES] bytes above the persistent ones */
    int64_t base[N_ROLES]; /* persistent bytes */
    int64_t all, top;      /* of the persistent ones; what the axis ends at */
} Area;

/* From the bottom up: what is always there first. */
static const int order[] = {ROLE_PARAM, ROLE_STATE, ROLE_BUFFER, ROLE_HOST,     ROLE_GRAD,
                            ROLE_SAVED, ROLE_COMM,  ROLE_INPUT,  ROLE_GATHERED, ROLE_TEMP};

static void find_columns(Area *c, const int64_t *live)
{
    int n = c->hi - c->lo;
    c->columns = n < MOST_COLUMNS ? n : MOST_COLUMNS;
    c->step = arena_array(c->p->a, int, c->columns + 1);
    for (int k = 0; k < c->columns; k++) {
        int from = c->lo + (int)((int64_t)k * n / c->columns);
        int to = c->lo + (int)((int64_t)(k + 1) * n / c->columns);
        c->step[k] = from;
        for (int i = from; i < to; i++)
            if (live[i] > live[c->step[k]])
                c->step[k] = i;
    }
}

static void find_roles(Area *c)
{
    const PlanFile *f = c->p->f;
    c->role = arena_array(c->p->a, int64_t, (int64_t)(c->columns + 1) * N_ROLES);
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (b->host)
            continue;
        if (b->persistent)
            c->base[b->role] = sum_capped(c->base[b->role], bytes_rounded(b));
        for (int k = 0; k < c->columns && !b->persistent; k++)
            if (b->first <= c->step[k] && c->step[k] <= b->last) {
                int64_t *to = &c->role[(int64_t)k * N_ROLES + b->role];
                *to = sum_capped(*to, bytes_rounded(b));
            }
    }
    for (int r = 0; r < N_ROLES; r++)
        c->all = sum_capped(c->all, c->base[r]);
    for (int k = 0; k < c->columns; k++) {
        int64_t sum = c->all;
        for (int r = 0; r < N_ROLES; r++)
            sum = sum_capped(sum, c->role[(int64_t)k * N_ROLES + r]);
        c->top = max64(c->top, sum);
    }
}

static double x_of(const Area *c, int column)
{
    return HTML_LEFT + (double)(HTML_WIDTH - HTML_LEFT) * column / c->columns;
}

static double y_of(const Area *c, double bytes)
{
    return c->top > 0 ? HEIGHT * (1 - bytes / (double)c->top) : HEIGHT;
}

/* Everything up to and with the role order[upto] at a column. */
static double height_at(const Area *c, int column, int upto)
{
    double sum = 0;
    for (int k = 0; k <= upto; k++)
        sum += (double)c->base[order[k]] + (double)c->role[(int64_t)column * N_ROLES + order[k]];
    return sum;
}

/* A line of steps to the right; corners only where the height changes. */
static void edge(Area *c, int upto, bool back)
{
    StrBuf *s = &c->p->s;
    double was = -1;
    for (int i = 0; i < c->columns; i++) {
        int k = back ? c->columns - 1 - i : i;
        double now = upto < 0 ? 0 : height_at(c, k, upto);
        if (now != was)
            strbuf_printf(s, "H%.1fV%.1f", x_of(c, back ? k + 1 : k), y_of(c, now));
        was = now;
    }
    strbuf_printf(s, "H%.1f", x_of(c, back ? 0 : c->columns));
}

static bool any_bytes(const Area *c, int role)
{
    bool any = c->base[role] > 0;
    for (int k = 0; k < c->columns; k++)
        any |= c->role[(int64_t)k * N_ROLES + role] > 0;
    return any;
}

static void draw_axis(Area *c)
{
    Page *p = c->p;
    for (int i = 0; i <= 4; i++) {
        double bytes = (double)c->top * i / 4, y = y_of(c, bytes);
        strbuf_printf(&p->s,
                      "<path d=\"M%d %.1fH%d\" stroke=\"#e4e8ec\"/><text x=\"%d\" y=\"%.1f\" "
                      "text-anchor=\"end\">",
                      HTML_LEFT, y, HTML_WIDTH, HTML_LEFT - 8, y + 4);
        html_text(p, i ? page_bytes(p, (int64_t)bytes) : "0");
        strbuf_add(&p->s, "</text>\n");
    }
}

static const char *place_word(const PlanFile *f, const FileStep *s)
{
    return s->phase != PHASE_ROUND       ? phase_words.word[s->phase]
           : step_way_in(f, s)[0] == 'f' ? "forward"
                                         : "backward";
}

/* Under the curve: which part of the step it is. */
static void draw_phases(Area *c)
{
    Page *p = c->p;
    for (int k = 0; k < c->columns;) {
        const char *w = place_word(p->f, &p->f->step[c->step[k]]);
        int end = k + 1;
        while (end < c->columns && strcmp(place_word(p->f, &p->f->step[c->step[end]]), w) == 0)
            end++;
        double x = x_of(c, k), width = x_of(c, end) - x;
        strbuf_printf(&p->s, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
                      x + 0.5, HEIGHT + 6, width > 1.5 ? width - 1 : 0.5, BAND,
                      w[0] == 'f'   ? "#e3ebf2"
                      : w[0] == 'b' ? "#f0e5ee"
                                    : "#eceff1");
        if (width > 7.0 * (double)strlen(w))
            strbuf_printf(&p->s, "<text x=\"%.1f\" y=\"%d\">%s</text>", x + 6, HEIGHT + BAND + 1,
                          w);
        strbuf_char(&p->s, '\n');
        k = end;
    }
}

static void draw_peak(Area *c)
{
    Page *p = c->p;
    int at = p->f->bounds.at_step, column = -1;
    for (int k = 0; k < c->columns; k++)
        if (c->step[k] <= at)
            column = k;
    if (at < c->lo || at >= c->hi || column < 0)
        return;
    double x = (x_of(c, column) + x_of(c, column + 1)) / 2;
    bool left = x > HTML_WIDTH - 160;
    strbuf_printf(&p->s,
                  "<path d=\"M%.1f -14V%d\" stroke=\"#1f2933\" stroke-dasharray=\"2 3\"/>"
                  "<text x=\"%.1f\" y=\"-6\" text-anchor=\"%s\" style=\"fill:#1f2933\">",
                  x, HEIGHT, left ? x - 6 : x + 6, left ? "end" : "start");
    html_text(p, arena_printf(p->a, "peak, step %d", at));
    strbuf_add(&p->s, "</text>\n");
}

/* ---- who is live ---- */

static int larger(const void *x, const void *y)
{
    const FileBuffer *a = *(const FileBuffer *const *)x, *b = *(const FileBuffer *const *)y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The largest buffers live at a step that are not persistent, at most `most`. */
static int largest_at(const PlanFile *f, int step, const FileBuffer **out, int most)
{
    int n = 0;
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (b->persistent || b->host || b->first > step || b->last < step)
            continue;
        if (n < most)
            out[n++] = b;
        else if (larger(&b, &out[n - 1]) < 0)
            out[n - 1] = b;
        else
            continue;
        for (int k = n - 1; k > 0 && larger(&out[k], &out[k - 1]) < 0; k--) {
            const FileBuffer *t = out[k];
            out[k] = out[k - 1];
            out[k - 1] = t;
        }
    }
    return n;
}

static void tooltip(Area *c, int column)
{
    Page *p = c->p;
    const PlanFile *f = p->f;
    const FileStep *s = &f->step[c->step[column]];
    const FileBuffer *large[LARGEST];
    int64_t sum = c->all;
    for (int r = 0; r < N_ROLES; r++)
        sum = sum_capped(sum, c->role[(int64_t)column * N_ROLES + r]);
    html_text(p, arena_printf(p->a, "step %d: %s, %s\n%s in all", s->id, page_path(s->path),
                              place_word(f, s), page_bytes(p, sum)));
    int n = largest_at(f, s->id, large, LARGEST);
    for (int i = 0; i < n; i++)
        html_text(p, arena_printf(p->a, "\n%s  %s (%s)", page_bytes(p, bytes_rounded(large[i])),
                                  page_path(large[i]->path), html_role_name(large[i]->role)));
}

static void draw(Area *c)
{
    Page *p = c->p;
    strbuf_printf(&p->s,
                  "<svg viewBox=\"0 -16 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" "
                  "aria-label=\"live memory by step\">\n",
                  HTML_WIDTH, HEIGHT + BAND + 24, HTML_WIDTH, HEIGHT + BAND + 24);
    draw_axis(c);
    for (int k = 0; k < countof(order); k++) {
        if (!any_bytes(c, order[k]))
            continue;
        strbuf_printf(&p->s, "<path fill=\"%s\" d=\"M%d %d", html_role_colour(order[k]), HTML_LEFT,
                      HEIGHT);
        edge(c, k, false);
        edge(c, k - 1, true);
        strbuf_add(&p->s, "Z\"/>\n");
    }
    draw_phases(c);
    draw_peak(c);
    for (int k = 0; k < c->columns; k++) {
        strbuf_printf(&p->s,
                      "<rect class=\"h\" x=\"%.1f\" y=\"0\" width=\"%.2f\" height=\"%d\" "
                      "fill-opacity=\"0\"><title>",
                      x_of(c, k), x_of(c, k + 1) - x_of(c, k), HEIGHT);
        tooltip(c, k);
        strbuf_add(&p->s, "</title></rect>\n");
    }
    strbuf_add(&p->s, "</svg>\n<div class=\"legend\">");
    for (int k = 0; k < countof(order); k++)
        if (any_bytes(c, order[k]))
            html_legend(p, html_role_colour(order[k]), html_role_name(order[k]));
    strbuf_add(&p->s, "</div>\n");
}

static int by_bytes(const void *x, const void *y)
{
    const Alike *a = x, *b = y;
    if (a->sum[0] != b->sum[0])
        return a->sum[0] < b->sum[0] ? 1 : -1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static void live_table(Page *p, int step)
{
    const PlanFile *f = p->f;
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (b->host || b->first > step || b->last < step)
            continue;
        alikes_add(&all, b->path,
                   arena_printf(p->a, "%d %d %lld", b->role, b->persistent, (long long)b->bytes), i,
                   bytes_rounded(b), 0, 0);
    }
    if (all.row.n)
        qsort(all.row.v, (size_t)all.row.n, sizeof *all.row.v, by_bytes);
    HtmlTable t = html_table(p, "Live at the peak|What|>Buffers|Steps|>Bytes|>Of the arena|");
    double arena = (double)max64(f->totals.arena_bytes, 1);
    int64_t rest = 0;
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileBuffer *b = &f->buffer[r->first];
        if (i >= SHOWN) {
            rest = sum_capped(rest, r->sum[0]);
            continue;
        }
        html_cell(&t, page_path(r->path));
        html_cell(&t, html_role_name(b->role));
        html_cell(&t, page_grouped(p, r->n));
        html_cell(&t, b->persistent ? "always"
                      : r->n > 1    ? ""
                                    : arena_printf(p->a, "%d–%d", b->first, b->last));
        html_cell(&t, page_bytes(p, r->sum[0]));
        html_cell(&t, arena_printf(p->a, "%.1f %%", 100 * (double)r->sum[0] / arena));
        html_bar(&t, (double)r->sum[0] / arena, html_role_colour(b->role));
    }
    if (rest) {
        html_cell(&t, arena_printf(p->a, "%d more", all.row.n - SHOWN));
        for (int i = 0; i < 3; i++)
            html_cell(&t, "");
        html_cell(&t, page_bytes(p, rest));
        html_cell(&t, arena_printf(p->a, "%.1f %%", 100 * (double)rest / arena));
        html_bar(&t, (double)rest / arena, "#c3cad1");
    }
    html_table_end(&t);
}

void html_memory(Page *p)
{
    const PlanFile *f = p->f;
    const FileTotals *t = &f->totals;
    Area c = {.p = p};
    int program = f->program_of[PROGRAM_TRAIN] >= 0 ? PROGRAM_TRAIN
                  : f->n_step                       ? f->step[0].program
                                                    : -1;
    for (int i = 0; i < f->n_step; i++)
        if (f->step[i].program == program) {
            c.lo = c.hi ? c.lo : i;
            c.hi = i + 1;
        }
    const FileStep *at = &f->step[f->bounds.at_step];
    const char *gap = f->bounds.gap
                          ? arena_printf(p->a, " and a gap of %s%s", page_bytes(p, f->bounds.gap),
                                         f->bounds.proved ? ", proved to be needed" : "")
                          : ": no gap, so no arena could be smaller";
    html_section(p, "Memory",
                 arena_printf(p->a,
                              "One block of %s on each rank, every buffer at a place of its own: "
                              "persistent %s, live at most %s (step %d, %s%s%s)%s.",
                              page_bytes(p, t->arena_bytes), page_bytes(p, t->persistent_bytes),
                              page_bytes(p, t->max_live_bytes), at->id, page_path(at->path),
                              at->program == PROGRAM_TRAIN ? "" : ", in ",
                              at->program == PROGRAM_TRAIN ? "" : program_words.word[at->program],
                              gap));
    if (c.hi == c.lo)
        return;
    find_columns(&c, live_bytes(p));
    find_roles(&c);
    draw(&c);
    live_table(p, at->id);
}
