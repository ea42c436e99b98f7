/* check_memory.c - V11 V12 V13: where every buffer lies, and when.
 *
 * The steps in which a buffer must keep its bytes are found from its uses. A loop (the rounds, the
 * chunks of a region) runs its steps again, so what crosses the loop's border, or goes from one
 * turn to the next, must stay for all of the loop's steps. */
#include "planner/verify/table.h"

#include <stdlib.h>

/* ---- bounds ---- */

static void check_place(Table *t, int i)
{
    const TableBuffer *b = &t->buffer[i];
    int64_t end = b->offset + table_rounded(b); /* both at most PLAN_MAX_BYTES */
    if (b->host && end > t->host_bytes)
        broken(t, CHECK_V12, "%s ends at %lld in a host's arena of %lld", the_buffer(t, i),
               (long long)end, (long long)t->host_bytes);
    if (b->offset % ARENA_ALIGN)
        broken(t, CHECK_V12, "%s lies at %lld, not a multiple of %d", the_buffer(t, i),
               (long long)b->offset, ARENA_ALIGN);
    if (b->host)
        return;
    if (end > t->arena_bytes)
        broken(t, CHECK_V12, "%s ends at %lld in an arena of %lld", the_buffer(t, i),
               (long long)end, (long long)t->arena_bytes);
    if (b->persistent && end > t->persistent_bytes)
        broken(t, CHECK_V12, "%s ends at %lld, past the %lld persistent bytes", the_buffer(t, i),
               (long long)end, (long long)t->persistent_bytes);
    if (!b->persistent && b->offset < t->persistent_bytes)
        broken(t, CHECK_V12, "%s lies at %lld, among the %lld persistent bytes", the_buffer(t, i),
               (long long)b->offset, (long long)t->persistent_bytes);
}

void check_bounds(Table *t)
{
    for (int i = 0; i < t->n_buffer; i++)
        check_place(t, i);
    for (int i = 0; i < t->n_step; i++) {
        const TableStep *s = &t->step[i];
        for (int k = 0; k < s->n_use; k++) {
            const TableBuffer *b = &t->buffer[s->use[k].buffer];
            int64_t far = 0;
            if (!mul_ok(s->use[k].by_rank, t->shared_by - 1, &far) || far < 0 || far > b->bytes)
                broken(t, CHECK_V12, "%s moves on by %lld bytes a rank in %s of %lld bytes",
                       the_step(t, i), (long long)s->use[k].by_rank,
                       the_buffer(t, s->use[k].buffer), (long long)b->bytes);
            if (s->kind == KIND_ZERO && s->use[k].end > b->bytes)
                broken(t, CHECK_V12, "%s makes bytes up to %lld of %s zero, it has %lld",
                       the_step(t, i), (long long)s->use[k].end - 1,
                       the_buffer(t, s->use[k].buffer), (long long)b->bytes);
            if (s->use[k].at < 0 || s->use[k].at >= (b->bytes > 0 ? b->bytes : 1))
                broken(t, CHECK_V12, "%s uses %s from byte %lld of %lld", the_step(t, i),
                       the_buffer(t, s->use[k].buffer), (long long)s->use[k].at,
                       (long long)b->bytes);
        }
    }
}

/* ---- lifetimes ---- */

static void need(TableBuffer *b, int step)
{
    if (b->lo > b->hi) {
        b->lo = b->hi = step;
        return;
    }
    b->lo = step < b->lo ? step : b->lo;
    b->hi = step > b->hi ? step : b->hi;
}

/* The trainer fills the inputs before the first loop and, when there are several turns, before each
 * of both loops. */
static void need_inputs(Table *t)
{
    for (int i = 0; i < t->n_buffer; i++) {
        TableBuffer *b = &t->buffer[i];
        if (b->role != ROLE_INPUT || b->persistent)
            continue;
        const TableProgram *p = &t->program[b->program];
        bool weight = p->lo[PHASE_WEIGHT] <= p->hi[PHASE_WEIGHT];
        bool round = p->lo[PHASE_ROUND] <= p->hi[PHASE_ROUND];
        if (weight)
            need(b, p->lo[PHASE_WEIGHT]);
        if (round && (p->turns || !weight))
            need(b, p->lo[PHASE_ROUND]);
    }
}

static void need_results(Table *t)
{
    for (int i = 0; i < t->n_result; i++) {
        const TableResult *r = &t->result[i];
        const TableProgram *p = &t->program[r->program];
        TableBuffer *b = &t->buffer[r->buffer];
        b->read = true;
        if (b->lo > b->hi || b->persistent)
            continue; /* never written: V02 has told */
        int end = p->last_step;
        if (r->each_turn && p->lo[PHASE_ROUND] <= p->hi[PHASE_ROUND])
            end = p->hi[PHASE_ROUND];
        if (end >= 0)
            need(b, end);
    }
}

/* Buffers by what the loop's steps do with them: written in the first turn and used in others, or
 * used in the last turn only. */
static void sort_turns(Table *t, int lo, int hi, bool *first, bool *other)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = lo; i <= hi; i++) {
            const TableStep *s = &t->step[i];
            for (int k = 0; k < s->n_use; k++) {
                int b = s->use[k].buffer;
                if (pass == 0)
                    first[b] = other[b] = false;
                else if (s->when == WHEN_FIRST && s->use[k].write)
                    first[b] = true;
                else if (s->when != WHEN_LAST)
                    other[b] = true;
            }
        }
}

/* Widens what crosses the border of the loop of steps lo..hi, or lives from turn to turn. */
static void need_loop(Table *t, int lo, int hi, bool chunks)
{
    sort_turns(t, lo, hi, t->first_turn, t->other_turn);
    for (int i = lo; i <= hi; i++) {
        const TableStep *s = &t->step[i];
        for (int k = 0; k < s->n_use; k++) {
            TableBuffer *b = &t->buffer[s->use[k].buffer];
            bool whole =
                chunks && b->batched && b->read && !b->region; /* each chunk has its part of it */
            bool first = !chunks && t->first_turn[s->use[k].buffer];
            bool other = chunks || t->other_turn[s->use[k].buffer];
            bool adds = s->use[k].add && (chunks || !s->anew);
            if (b->persistent || !(b->lo < lo || (b->hi > hi && (other || first)) ||
                                   (adds && other) || (first && other) || whole))
                continue;
            /* The input's next filling is at the loop's start, where it is needed anyway. */
            bool refilled = b->role == ROLE_INPUT && !chunks && b->hi <= hi;
            need(b, lo);
            if (!refilled)
                need(b, hi);
        }
    }
}

static void need_all(Table *t)
{
    for (int i = 0; i < t->n_buffer; i++) {
        t->buffer[i].lo = 0;
        t->buffer[i].hi = -1;
    }
    for (int i = 0; i < t->n_step; i++)
        for (int k = 0; k < t->step[i].n_use; k++) {
            TableBuffer *b = &t->buffer[t->step[i].use[k].buffer];
            b->read = b->read || t->step[i].use[k].read;
            need(b, i);
        }
    need_inputs(t);
    need_results(t);
    for (int lo = 0; lo < t->n_step; lo++) {
        int hi = lo, region = t->step[lo].region;
        while (region && hi + 1 < t->n_step && t->step[hi + 1].region == region)
            hi++;
        if (region && t->program[t->step[lo].program].chunks)
            need_loop(t, lo, hi, true);
        lo = hi;
    }
    for (int g = 0; g < N_PROGRAMS; g++) {
        const TableProgram *p = &t->program[g];
        if (!p->present || !p->turns)
            continue;
        need_loop(t, p->lo[PHASE_WEIGHT], p->hi[PHASE_WEIGHT], false);
        need_loop(t, p->lo[PHASE_ROUND], p->hi[PHASE_ROUND], false);
    }
}

static void check_lifetimes(Table *t)
{
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->persistent || b->lo > b->hi)
            continue;
        if (b->lo < b->first || b->hi > b->last)
            broken(t, CHECK_V11, "%s is needed in steps %d to %d, the plan keeps it in %d to %d",
                   the_buffer(t, i), b->lo, b->hi, b->first, b->last);
    }
}

/* ---- overlap ----
 * Buffers in order of their offsets, each covering a range of steps with its end. A buffer collides
 * with an earlier one when, somewhere in its steps, one that ends above its offset was seen. The
 * tree holds the highest end by step: `put` of nodes wholly covered, `max` of everything below. */

typedef struct Tree {
    const Table *t;
    int *put, *max; /* buffers; -1: none */
    int n;          /* leaves, a power of two */
} Tree;

static int64_t end_of(const Tree *e, int buffer)
{
    return buffer < 0 ? -1 : e->t->buffer[buffer].offset + table_rounded(&e->t->buffer[buffer]);
}

static int higher(const Tree *e, int a, int b)
{
    return end_of(e, b) > end_of(e, a) ? b : a;
}

static void tree_put(Tree *e, int node, int lo, int hi, int first, int last, int buffer)
{
    if (last < lo || hi < first)
        return;
    e->max[node] = higher(e, e->max[node], buffer);
    if (first <= lo && hi <= last) {
        e->put[node] = higher(e, e->put[node], buffer);
        return;
    }
    int mid = lo + (hi - lo) / 2;
    tree_put(e, 2 * node, lo, mid, first, last, buffer);
    tree_put(e, 2 * node + 1, mid + 1, hi, first, last, buffer);
}

static int tree_highest(const Tree *e, int node, int lo, int hi, int first, int last)
{
    if (last < lo || hi < first)
        return -1;
    if (first <= lo && hi <= last)
        return e->max[node];
    int mid = lo + (hi - lo) / 2;
    int a = tree_highest(e, 2 * node, lo, mid, first, last);
    int b = tree_highest(e, 2 * node + 1, mid + 1, hi, first, last);
    return higher(e, e->put[node], higher(e, a, b));
}

typedef struct Slot {
    int64_t offset;
    int buffer;
} Slot;

static int by_offset(const void *x, const void *y)
{
    const Slot *a = x, *b = y;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return a->buffer < b->buffer ? -1 : a->buffer > b->buffer;
}

static void tell_overlap(Table *t, int x, int y, int step)
{
    const TableBuffer *a = &t->buffer[x], *b = &t->buffer[y];
    int64_t end = min64(a->offset + table_rounded(a), b->offset + table_rounded(b));
    broken(t, CHECK_V11, "%s and %s share bytes %lld to %lld and are both live in %s",
           the_buffer(t, x), the_buffer(t, y), (long long)b->offset, (long long)end - 1,
           the_step(t, step));
}

static void check_overlap(Table *t, bool host)
{
    Tree e = {.t = t, .n = 1};
    while (e.n < t->n_step)
        e.n *= 2;
    e.put = arena_array(t->a, int, 2 * (size_t)e.n);
    e.max = arena_array(t->a, int, 2 * (size_t)e.n);
    for (int i = 0; i < 2 * e.n; i++)
        e.put[i] = e.max[i] = -1;
    Slot *slot = arena_array(t->a, Slot, t->n_buffer + 1);
    int n = 0;
    for (int i = 0; i < t->n_buffer; i++)
        if (t->buffer[i].bytes > 0 && t->buffer[i].host == host)
            slot[n++] = (Slot){t->buffer[i].offset, i};
    qsort(slot, (size_t)n, sizeof *slot, by_offset);
    for (int k = 0; k < n; k++) {
        const TableBuffer *b = &t->buffer[slot[k].buffer];
        int first = b->first, last = b->last; /* what the plan says, and what is needed */
        if (b->lo <= b->hi) {
            first = b->lo < first ? b->lo : first;
            last = b->hi > last ? b->hi : last;
        }
        int other = tree_highest(&e, 1, 0, e.n - 1, first, last);
        if (end_of(&e, other) > b->offset) {
            const TableBuffer *o = &t->buffer[other];
            int from = o->lo <= o->hi && o->lo < o->first ? o->lo : o->first;
            tell_overlap(t, other, slot[k].buffer, from > first ? from : first);
        }
        tree_put(&e, 1, 0, e.n - 1, first, last, slot[k].buffer);
    }
}

/* ---- peak ---- */

/* The host's arena: what is kept first, then what is there for an update. */
static void check_host(Table *t)
{
    int64_t sum = 0, top = 0;
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (!b->host)
            continue;
        if (b->persistent && !add_ok(sum, table_rounded(b), &sum))
            sum = PLAN_MAX_COUNT;
        top = max64(top, b->offset + table_rounded(b));
    }
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->host && !b->persistent && b->offset < sum)
            broken(t, CHECK_V12, "%s lies at %lld, among the host's %lld persistent bytes",
                   the_buffer(t, i), (long long)b->offset, (long long)sum);
    }
    if (top != t->host_bytes)
        broken(t, CHECK_V13, "the host's buffers end at %lld, the plan says %lld", (long long)top,
               (long long)t->host_bytes);
}

static void check_persistent(Table *t)
{
    int64_t sum = 0, top = 0;
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->host)
            continue;
        if (b->persistent && !add_ok(sum, table_rounded(b), &sum)) {
            broken(t, CHECK_V13, "the persistent buffers do not fit 64 bits");
            return;
        }
        top = max64(top, b->offset + table_rounded(b));
    }
    if (sum != t->persistent_bytes)
        broken(t, CHECK_V13, "the persistent buffers are %lld bytes, the plan says %lld",
               (long long)sum, (long long)t->persistent_bytes);
    if (top != t->arena_bytes)
        broken(t, CHECK_V13, "the highest buffer ends at %lld, the plan's arena at %lld",
               (long long)top, (long long)t->arena_bytes);
    if (t->arena_bytes < t->persistent_bytes ||
        t->arena_bytes - t->persistent_bytes < t->max_live_bytes)
        broken(t, CHECK_V13, "an arena of %lld has no room for %lld persistent bytes and %lld live",
               (long long)t->arena_bytes, (long long)t->persistent_bytes,
               (long long)t->max_live_bytes);
}

/* Live bytes by step, as the plan's lifetimes have them (no shorter than needed: V11). */
static void check_peak(Table *t)
{
    int64_t *change = arena_array(t->a, int64_t, t->n_step + 1);
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->persistent || b->host)
            continue;
        if (!add_ok(change[b->first], table_rounded(b), &change[b->first]) ||
            !add_ok(change[b->last + 1], -table_rounded(b), &change[b->last + 1])) {
            broken(t, CHECK_V13, "the live buffers do not fit 64 bits");
            return;
        }
    }
    int64_t live = 0, most = 0;
    int at = 0;
    for (int i = 0; i < t->n_step; i++) {
        if (!add_ok(live, change[i], &live)) {
            broken(t, CHECK_V13, "the live buffers do not fit 64 bits");
            return;
        }
        if (live > most) {
            most = live;
            at = i;
        }
        if (i == t->max_live_step && live != t->max_live_bytes)
            broken(t, CHECK_V13, "%lld bytes are live in %s, the plan says %lld", (long long)live,
                   the_step(t, i), (long long)t->max_live_bytes);
    }
    if (most != t->max_live_bytes)
        broken(t, CHECK_V13, "at most %lld bytes are live (in %s), the plan says %lld",
               (long long)most, the_step(t, at), (long long)t->max_live_bytes);
    if (t->max_live_step < 0 || t->max_live_step >= t->n_step)
        broken(t, CHECK_V13, "the peak is said to be at step %d of %d", t->max_live_step,
               t->n_step);
}

/* What was promised to fit does. */
static void check_promise(Table *t)
{
    const Machine *m = t->machine;
    int64_t taken = machine_taken(m, t->arena_bytes, t->host_bytes);
    if (t->memory > 0 && taken > t->memory)
        broken(t, CHECK_V13, "a rank takes %lld bytes and may take %lld", (long long)taken,
               (long long)t->memory);
    if (m && m->target != TARGET_C && m->host_bytes && t->host_bytes > m->host_bytes)
        broken(t, CHECK_V13, "a rank takes %lld of the host's bytes, %s has %lld",
               (long long)t->host_bytes, m->name, (long long)m->host_bytes);
}

void check_memory(Table *t)
{
    if (!t->n_step)
        return;
    t->first_turn = arena_array(t->a, bool, t->n_buffer + 1);
    t->other_turn = arena_array(t->a, bool, t->n_buffer + 1);
    need_all(t);
    check_lifetimes(t);
    check_overlap(t, false);
    check_overlap(t, true);
    check_persistent(t);
    check_host(t);
    check_peak(t);
    check_promise(t);
}
