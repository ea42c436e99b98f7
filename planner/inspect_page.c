/* inspect_page.c - columns, bars and rows that are alike. */
#include "planner/inspect_page.h"
#include "frontend/base/map.h"

#include <string.h>

void page_heading(Page *p, const char *fmt, ...)
{
    va_list ap;
    if (p->s.n)
        strbuf_char(&p->s, '\n');
    if (p->color)
        strbuf_add(&p->s, "\033[1m");
    va_start(ap, fmt);
    strbuf_vprintf(&p->s, fmt, ap);
    va_end(ap);
    strbuf_add(&p->s, p->color ? "\033[0m\n" : "\n");
}

void page_fail(Page *p, const char *fmt, ...)
{
    va_list ap;
    p->failed = true;
    p->s = strbuf_new(p->a);
    va_start(ap, fmt);
    strbuf_vprintf(&p->s, fmt, ap);
    va_end(ap);
}

const char *page_bytes(Page *p, int64_t bytes)
{
    StrBuf s = strbuf_new(p->a);
    strbuf_bytes(&s, bytes);
    return s.text;
}

const char *page_count(Page *p, int64_t n)
{
    static const char *const unit[] = {"", " k", " M", " G", " T", " P", " E"};
    double x = (double)n;
    int u = 0;
    while (x >= 1000 && u + 1 < countof(unit)) {
        x /= 1000;
        u++;
    }
    if (u == 0)
        return arena_printf(p->a, "%lld", (long long)n);
    return arena_printf(p->a, "%.*f%s", x < 10 ? 2 : x < 100 ? 1 : 0, x, unit[u]);
}

const char *page_grouped(Page *p, int64_t n)
{
    const char *plain = arena_printf(p->a, "%lld", (long long)n);
    StrBuf s = strbuf_new(p->a);
    size_t len = strlen(plain), sign = n < 0;
    for (size_t i = 0; i < len; i++) {
        if (i > sign && (len - i) % 3 == 0)
            strbuf_char(&s, ',');
        strbuf_char(&s, plain[i]);
    }
    return s.text;
}

const char *page_shape(Page *p, const Sizes *sh)
{
    StrBuf s = strbuf_new(p->a);
    strbuf_char(&s, '[');
    for (int i = 0; i < sh->n; i++)
        strbuf_printf(&s, i ? ", %lld" : "%lld", (long long)sh->v[i]);
    strbuf_char(&s, ']');
    return s.text;
}

const char *page_path(const char *path)
{
    return *path ? path : "(model)";
}

void page_bar(Page *p, double share, int columns)
{
    static const char *const part[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    double x = share > 1 ? 1 : share > 0 ? share : 0; /* NaN too */
    int steps = (int)(x * columns * 8 + 0.5);
    if (x > 0 && steps == 0)
        steps = 1;
    int full = steps / 8, rest = steps % 8;
    if (!p->unicode) {
        full += rest >= 4 || (full == 0 && rest > 0);
        rest = 0;
    }
    if (p->color)
        strbuf_add(&p->s, "\033[36m");
    for (int i = 0; i < full; i++)
        strbuf_add(&p->s, p->unicode ? part[8] : "#");
    strbuf_add(&p->s, part[rest]);
    if (p->color)
        strbuf_add(&p->s, "\033[0m");
}

/* ---- a table ---- */

Grid grid_new(Page *p, const char *columns)
{
    Grid g = {.p = p, .bar_columns = 24};
    for (;;) {
        size_t n = strcspn(columns, "|");
        bool right = *columns == '>';
        if (g.n_col == GRID_COLUMNS)
            BUG("a table of more than %d columns", GRID_COLUMNS);
        g.right[g.n_col++] = right;
        vec_push(p->a, &g.cell, arena_strndup(p->a, columns + right, n - right));
        if (!columns[n])
            return g;
        columns += n + 1;
    }
}

void grid_cell(Grid *g, const char *text)
{
    vec_push(g->p->a, &g->cell, text);
}

void grid_share(Grid *g, double share)
{
    vec_push(g->p->a, &g->share, share);
}

static int columns_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xC0) != 0x80; /* a code point is one column: paths and numbers are */
    return n;
}

void grid_print(Grid *g, int indent)
{
    Page *p = g->p;
    int width[GRID_COLUMNS] = {0};
    for (int i = 0; i < g->cell.n; i++) {
        int n = columns_of(g->cell.v[i]), c = i % g->n_col;
        width[c] = n > width[c] ? n : width[c];
    }
    for (int i = 0; i < g->cell.n; i++) {
        int c = i % g->n_col, row = i / g->n_col;
        int pad = width[c] - columns_of(g->cell.v[i]);
        bool last = c + 1 == g->n_col, bar = last && row > 0 && row - 1 < g->share.n;
        strbuf_printf(&p->s, "%*s", c ? 2 : indent, "");
        if (row == 0 && p->color)
            strbuf_add(&p->s, "\033[2m");
        if (g->right[c])
            strbuf_printf(&p->s, "%*s", pad, "");
        strbuf_add(&p->s, g->cell.v[i]);
        if (row == 0 && p->color)
            strbuf_add(&p->s, "\033[0m");
        if (!g->right[c] && (!last || bar))
            strbuf_printf(&p->s, "%*s", pad, "");
        if (bar && g->share.v[row - 1] > 0) {
            strbuf_add(&p->s, "  ");
            page_bar(p, g->share.v[row - 1], g->bar_columns);
        }
        if (!last)
            continue;
        while (p->s.n && p->s.text[p->s.n - 1] == ' ') /* empty cells */
            p->s.text[--p->s.n] = 0;
        strbuf_char(&p->s, '\n');
    }
}

/* ---- rows that are alike ---- */

Alikes alikes_new(Arena *a)
{
    return (Alikes){.a = a, .of = map_new(a)};
}

static bool is_number(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > 0;
}

const char *path_pattern(Arena *a, const char *path)
{
    StrBuf s = strbuf_new(a);
    while (*path) {
        size_t n = strcspn(path, ".");
        if (is_number(path, n))
            strbuf_char(&s, '*');
        else
            strbuf_addn(&s, path, n);
        path += n;
        if (*path == '.') {
            strbuf_char(&s, '.');
            path++;
        }
    }
    return s.text;
}

const char *path_join(Arena *a, const char *x, const char *y)
{
    if (strcmp(x, y) == 0)
        return x;
    StrBuf s = strbuf_new(a);
    while (*x) {
        size_t n = strcspn(x, "."), m = strcspn(y, ".");
        if (n == m && memcmp(x, y, n) == 0)
            strbuf_addn(&s, x, n);
        else
            strbuf_char(&s, '*');
        x += n;
        y += m;
        if (*x == '.') {
            strbuf_char(&s, '.');
            x++;
        }
        y += *y == '.';
    }
    return s.text;
}

void alikes_add(Alikes *all, const char *path, const char *key, int index, int64_t s0, int64_t s1,
                int64_t s2)
{
    const char *name = arena_printf(all->a, "%s\n%s", path_pattern(all->a, path), key);
    int at = (int)(intptr_t)map_get(all->of, name) - 1;
    if (at < 0) {
        Alike r = {.path = path, .first = index};
        vec_push(all->a, &all->row, r);
        at = all->row.n - 1;
        map_put(all->of, name, (void *)(intptr_t)all->row.n);
    }
    Alike *r = &all->row.v[at];
    r->path = path_join(all->a, r->path, path);
    r->n++;
    r->sum[0] = sum_capped(r->sum[0], s0);
    r->sum[1] = sum_capped(r->sum[1], s1);
    r->sum[2] = sum_capped(r->sum[2], s2);
}

/* ---- facts about the plan ---- */

int64_t step_runs(const PlanFile *f, const FileStep *s)
{
    bool loop = s->when == WHEN_ALWAYS && (s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND);
    int64_t rounds = f->program[f->program_of[s->program]].rounds;
    return loop && rounds > 0 ? rounds : 1; /* 0: as many as the data has; counted once */
}

bool class_times(const PlanFile *f, ClassTime *time, int64_t *all_ps)
{
    *all_ps = 0;
    for (int k = 0; k < N_TIME_CLASSES; k++)
        time[k] = (ClassTime){0};
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        if (s->program != PROGRAM_TRAIN || s->cls < 0)
            continue;
        int64_t ps = product_capped(s->ps, step_runs(f, s));
        time[s->cls].steps++;
        time[s->cls].ps = sum_capped(time[s->cls].ps, ps);
        *all_ps = sum_capped(*all_ps, ps);
    }
    return f->machine != NULL;
}

const char *step_way(const FileStep *s)
{
    return s->recompute ? "recompute" : s->backward ? "backward" : "forward";
}

/* A gather is made for the steps after it, anything else of the steps before it. */
const char *step_way_in(const PlanFile *f, const FileStep *s)
{
    int by = s->kind == KIND_ALL_GATHER ? 1 : -1;
    for (int i = s->id; i >= 0 && i < f->n_step && s->stream != STREAM_COMPUTE; i += by) {
        const FileStep *o = &f->step[i];
        if (o->program != s->program || o->phase != s->phase)
            break;
        if (o->stream == STREAM_COMPUTE)
            return step_way(o);
    }
    return step_way(s);
}

int64_t bytes_rounded(const FileBuffer *b)
{
    return round_up(b->bytes, ARENA_ALIGN);
}

int64_t *live_bytes(Page *p)
{
    const PlanFile *f = p->f;
    int64_t *live = arena_array(p->a, int64_t, f->n_step + 1);
    /* Adding and taking away wraps alike, so the sums are right wherever they fit; a file whose
     * sums do not fit is shown as full. */
    uint64_t *change = arena_array(p->a, uint64_t, f->n_step + 1);
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (b->persistent || b->host)
            continue;
        change[b->first] += (uint64_t)bytes_rounded(b);
        change[b->last + 1] -= (uint64_t)bytes_rounded(b);
    }
    uint64_t now = 0;
    for (int i = 0; i < f->n_step; i++) {
        now += change[i];
        live[i] = now > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)now;
    }
    return live;
}
