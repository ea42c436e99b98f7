/* flow_places.c - buffers in pieces and columns. */
#include "planner/verify/flow.h"

#include <stdlib.h>

typedef VEC(int64_t) Cuts;

typedef struct Cutter {
    Flow *f;
    Cuts *cut, *row; /* by buffer */
    bool *rows;      /* by buffer: a collective works on it */
} Cutter;

static int by_value(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return a < b ? -1 : a > b;
}

static void add_cut(Arena *a, Cuts *c, int64_t at, int64_t most)
{
    vec_push(a, c, at < 0 ? 0 : at > most ? most : at);
}

/* Sorted, each once. */
static void sort_cuts(Cuts *c)
{
    int n = 0;
    qsort(c->v, (size_t)c->n, sizeof *c->v, by_value);
    for (int i = 0; i < c->n; i++)
        if (!n || c->v[i] != c->v[n - 1])
            c->v[n++] = c->v[i];
    c->n = n;
}

int64_t row_at(const Holds *p, int64_t at)
{
    return p->stride ? (at - p->base) % p->stride : 0;
}

bool is_row_use(const Flow *f, const Use *u)
{
    return u->by_rank && f->t->ranks > 1;
}

/* Rows of a buffer are as long in all collectives, and begin at one place. */
static void find_rows(Cutter *c, int step)
{
    Table *t = c->f->t;
    const TableStep *s = &t->step[step];
    for (int i = 0; i < s->n_piece; i++) {
        const Use *u = s->piece[i].whole;
        Holds *p = &c->f->place[u->buffer];
        int64_t all = u->gap * t->shared_by, base = all > 0 ? u->at / all * all : 0;
        if (p->stride && (p->stride != u->gap || p->base != base))
            flow_broken(c->f, step, CHECK_V07,
                        "%s: %s has rows of %lld bytes from byte %lld, and "
                        "elsewhere of %lld from %lld",
                        the_step(t, step), the_buffer(t, u->buffer), (long long)u->gap,
                        (long long)base, (long long)p->stride, (long long)p->base);
        p->stride = u->gap;
        p->base = base;
        c->rows[u->buffer] = p->stride > 0;
    }
}

static void cut_use(Cutter *c, const Use *u)
{
    Table *t = c->f->t;
    const Holds *p = &c->f->place[u->buffer];
    const TableBuffer *b = &t->buffer[u->buffer];
    bool of_rows = u->gap > 0 || is_row_use(c->f, u); /* a gap: of a collective */
    if (of_rows && p->stride) {
        int64_t at = row_at(p, u->lo);
        add_cut(t->a, &c->row[u->buffer], at, p->stride);
        add_cut(t->a, &c->row[u->buffer], at + (u->end - u->lo), p->stride);
    } else if (is_flat(b) || c->rows[u->buffer]) {
        add_cut(t->a, &c->cut[u->buffer], u->lo, b->bytes);
        add_cut(t->a, &c->cut[u->buffer], u->end, b->bytes);
    }
}

/* Parameters end where nothing else may tell so. */
static void cut_groups(Cutter *c)
{
    Table *t = c->f->t;
    for (int i = 0; i < t->n_group; i++) {
        const TableGroup *g = &t->group[i];
        if (g->grad < 0)
            continue;
        for (int k = 0; k < g->n; k++) {
            add_cut(t->a, &c->cut[g->grad], 4 * g->at[k], t->buffer[g->grad].bytes);
            add_cut(t->a, &c->cut[g->grad], 4 * (g->at[k] + g->count[k]), t->buffer[g->grad].bytes);
        }
    }
}

static void make_pieces(Cutter *c, int i)
{
    Table *t = c->f->t;
    Holds *p = &c->f->place[i];
    Cuts *cut = &c->cut[i], *row = &c->row[i];
    add_cut(t->a, cut, 0, 0);
    add_cut(t->a, cut, t->buffer[i].bytes, t->buffer[i].bytes);
    if (p->stride) {
        add_cut(t->a, cut, p->base, t->buffer[i].bytes);
        add_cut(t->a, cut, p->base + p->stride * t->shared_by, t->buffer[i].bytes);
        add_cut(t->a, row, 0, 0);
        add_cut(t->a, row, p->stride, p->stride);
        sort_cuts(row);
        p->n_column = row->n - 1;
        p->column = arena_array(t->a, Column, p->n_column + 1);
        for (int k = 0; k < p->n_column; k++)
            p->column[k] = (Column){.at = row->v[k], .end = row->v[k + 1]};
    }
    sort_cuts(cut);
    p->n_piece = cut->n > 1 ? cut->n - 1 : 1;
    p->piece = arena_array(t->a, Piece, p->n_piece);
    for (int k = 0; k + 1 < cut->n; k++)
        p->piece[k] = (Piece){.at = cut->v[k], .end = cut->v[k + 1]};
}

void flow_places(Flow *f)
{
    Table *t = f->t;
    Cutter c = {.f = f};
    c.cut = arena_array(t->a, Cuts, t->n_buffer + 1);
    c.row = arena_array(t->a, Cuts, t->n_buffer + 1);
    c.rows = arena_array(t->a, bool, t->n_buffer + 1);
    f->place = arena_array(t->a, Holds, t->n_buffer + 1);
    for (int i = 0; i < t->n_step; i++)
        find_rows(&c, i);
    for (int i = 0; i < t->n_step; i++)
        for (int k = 0; k < t->step[i].n_use; k++)
            cut_use(&c, &t->step[i].use[k]);
    for (int i = 0; i < t->n_result; i++)
        if (is_flat(&t->buffer[t->result[i].buffer])) {
            Use u = {.buffer = t->result[i].buffer, .parts = 1};
            u.lo = t->result[i].at;
            u.end = u.lo + 4;
            cut_use(&c, &u);
        }
    cut_groups(&c);
    for (int i = 0; i < t->n_buffer; i++)
        make_pieces(&c, i);
}

void flow_begin(Flow *f, int program)
{
    for (int i = 0; i < f->t->n_buffer; i++) {
        const TableBuffer *b = &f->t->buffer[i];
        Holds *p = &f->place[i];
        if (!b->persistent && b->program != program)
            continue;
        for (int k = 0; k < p->n_piece; k++) {
            Piece *x = &p->piece[k];
            *x = (Piece){.at = x->at, .end = x->end, .writer = -1, .update = -1};
            x->given = b->persistent || b->role == ROLE_INPUT;
        }
        for (int k = 0; k < p->n_column; k++) {
            Column *c = &p->column[k];
            *c = (Column){.at = c->at, .end = c->end, .writer = -1, .update = -1};
        }
    }
}

int piece_of(const Holds *p, int64_t at)
{
    int lo = 0, hi = p->n_piece; /* it is one of lo..hi-1 */
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (p->piece[mid].at <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

bool piece_in_column(const Flow *f, const Holds *p, const Piece *x, const Column *c)
{
    int64_t from = x->at - p->base, to = x->end - p->base, n = to - from;
    if (from < 0 || to > p->stride * f->t->shared_by || n <= 0)
        return false;
    if (n >= p->stride)
        return true;
    from %= p->stride;
    to = from + n;
    return (from < c->end && c->at < to) || (to > p->stride && c->at < to - p->stride);
}
