/* table_uses.c - what uses of buffers have to do with each other; collectives as uses. */
#include "planner/verify/table.h"

int table_turns(const Table *t, const TableStep *s)
{
    enum { FIRST_MIDDLE_LAST = 3 };
    int64_t rounds = t->program[s->program].rounds;
    if (!is_loop(s->phase))
        return 1;
    return rounds < 1 || rounds > FIRST_MIDDLE_LAST ? FIRST_MIDDLE_LAST : (int)rounds;
}

bool runs_in(const TableStep *s, int turn, int turns)
{
    return s->when == WHEN_ALWAYS || (s->when == WHEN_FIRST && turn == 0) ||
           (s->when == WHEN_LAST && turn == turns - 1);
}

int region_end(const Table *t, int step)
{
    const TableStep *s = &t->step[step];
    int k = step;
    while (s->region && k + 1 < t->n_step && t->step[k + 1].region == s->region &&
           t->step[k + 1].program == s->program && t->step[k + 1].phase == s->phase)
        k++;
    return k;
}

/* ---- collectives ---- */

/* An all-reduce has no shard of its own. */
static bool piece_fits(Table *t, int step, int64_t elems, int64_t stride)
{
    int64_t last = 0;
    bool ok = elems > 0 && stride >= (t->shared_by > 1 ? elems : 0) && stride < PLAN_MAX_BYTES &&
              mul_ok(stride, t->shared_by - 1, &last) && add_ok(last, elems, &last) &&
              last <= PLAN_MAX_BYTES / 4;
    if (!ok)
        broken(t, CHECK_V07, "%s moves pieces of %lld elements, %lld apart", the_step(t, step),
               (long long)elems, (long long)stride);
    return ok;
}

bool table_pieces(Table *t, int step, const int64_t *elems, const int64_t *stride)
{
    TableStep *s = &t->step[step];
    int each = s->kind == KIND_ALL_REDUCE ? 1 : 2, n = s->n_piece * each;
    if (s->n_use != n + (s->chunk > 0)) {
        broken(t, CHECK_V07, "%s has %d arguments, %d are meant", the_step(t, step), s->n_use,
               n + (s->chunk > 0));
        return false;
    }
    s->piece = arena_array(t->a, TablePiece, s->n_piece + 1);
    for (int i = 0; i < s->n_piece; i++) {
        Use *w = &s->use[i * each], *r = each == 2 ? w + 1 : NULL;
        if (!piece_fits(t, step, elems[i], stride[i]))
            return false;
        s->piece[i] = (TablePiece){elems[i], stride[i], w, r};
        w->read = s->kind != KIND_ALL_GATHER;
        w->write = s->kind != KIND_REDUCE_SCATTER;
        w->add = false;
        w->lo = w->at;
        int64_t size = t->buffer[w->buffer].elem;
        w->end = w->at + size * elems[i];
        w->parts = t->shared_by;
        w->gap = size * stride[i];
        if (!r)
            continue;
        r->read = s->kind == KIND_ALL_GATHER || s->adds;
        r->write = s->kind == KIND_REDUCE_SCATTER;
        r->add = r->write && s->adds;
        r->lo = r->at;
        r->end = r->at + size * elems[i];
    }
    if (s->chunk > 0) {
        Use *u = &s->use[n];
        int64_t bytes = 0;
        u->read = u->add = false;
        u->write = true;
        if (!mul_ok(s->chunk, t->buffer[u->buffer].elem * (t->ranks - 1), &bytes) ||
            bytes > PLAN_MAX_BYTES)
            bytes = PLAN_MAX_BYTES;
        u->lo = u->at;
        u->end = u->at + bytes;
    }
    return true;
}

/* ---- do two uses meet? ---- */

typedef struct Reaches { /* on rank q: parts ranges from lo + q * by_rank on */
    int64_t lo, end, by_rank, parts, gap;
} Reaches;

static Reaches reaches_of(const Table *t, const Use *u, bool in_arena)
{
    int64_t base = in_arena ? t->buffer[u->buffer].offset : 0;
    return (Reaches){base + u->lo, base + u->end, u->by_rank, u->parts, u->parts > 1 ? u->gap : 0};
}

static int64_t floor_div(int64_t a, int64_t b) /* b > 0 */
{
    return a / b - (a % b < 0);
}

/* Is some d * m, m in 0..n-1, strictly between lo and hi? */
static bool any_between(int64_t d, int64_t n, int64_t lo, int64_t hi)
{
    if (d < 0)
        return any_between(-d, n, -hi, -lo);
    if (n < 1)
        return false;
    if (d == 0)
        return lo < 0 && 0 < hi;
    int64_t m = max64(floor_div(lo, d) + 1, 0);
    return m < n && d * m < hi;
}

/* With part i of x and part k of y on rank q, they meet when
 * y.lo - x.end < q (x.by - y.by) + i x.gap - k y.gap < y.end - x.lo. */
static bool spans_meet(const Reaches *x, const Reaches *y, int64_t ranks)
{
    int64_t lo = y->lo - x->end, hi = y->end - x->lo, by = x->by_rank - y->by_rank;
    if (x->parts > 1 && y->parts > 1) {
        if (x->gap == y->gap && by == 0)
            return any_between(x->gap, x->parts, lo, hi) || any_between(-x->gap, y->parts, lo, hi);
        return x->lo < y->end + (y->parts - 1) * y->gap && y->lo < x->end + (x->parts - 1) * x->gap;
    }
    int64_t gap = x->parts > 1 ? x->gap : -y->gap, parts = max64(x->parts, y->parts);
    if (parts == 1)
        return any_between(by, ranks, lo, hi);
    if (by == 0)
        return any_between(gap, parts, lo, hi);
    if (by == -gap) /* the own part of what a collective works on: q - i is in 1-parts..ranks-1 */
        return any_between(gap, parts, lo, hi) || any_between(by, ranks, lo, hi);
    for (int64_t q = 0; q < ranks; q++)
        if (any_between(gap, parts, lo - q * by, hi - q * by))
            return true;
    return false;
}

bool uses_meet(const Table *t, const Use *x, const Use *y, bool in_arena)
{
    if (in_arena ? t->buffer[x->buffer].host != t->buffer[y->buffer].host : x->buffer != y->buffer)
        return false;
    Reaches a = reaches_of(t, x, in_arena), b = reaches_of(t, y, in_arena);
    return spans_meet(&a, &b, t->shared_by);
}
