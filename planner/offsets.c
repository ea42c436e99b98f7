#include "planner/offsets_pack.h"

#include <stdlib.h>
#include <string.h>

/* Sums stay below this, so that no sum of two of them overflows. */
#define BYTES_LIMIT (INT64_MAX / 4)

typedef struct Event {
    int64_t step;
    int item;
    bool end; /* after the item's last step; ends come before starts of the same step */
} Event;

static int event_compare(const void *x, const void *y)
{
    const Event *a = x, *b = y;
    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    if (a->end != b->end)
        return a->end ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

/* What one call works on. */
typedef struct Job {
    Arena *scratch;
    OffsetItem *item;
    int n;
    int64_t align, unit;
    Pack pack;
    int *of_box;    /* [pack.n] item of a box */
    int64_t *best;  /* [pack.n] offsets of the best placement, in units */
    int64_t height; /* its height, in units */
    int64_t low;    /* no placement is lower than this, in units */
    OffsetResult result;
} Job;

static int64_t gcd64(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* False: a number passes what int64 sums allow; `at` is a step of the item. */
static bool job_collect(Job *j)
{
    int64_t sum = 0;
    j->unit = 0;
    for (int i = 0; i < j->n; i++) {
        const OffsetItem *it = &j->item[i];
        if (it->bytes < 0 || it->first > it->last || it->fixed < -1)
            BUG("item %d: %lld bytes in steps %lld..%lld, fixed %lld", i, (long long)it->bytes,
                (long long)it->first, (long long)it->last, (long long)it->fixed);
        if (it->bytes == 0)
            continue;
        int64_t end;
        j->result.at = it->first;
        if (it->bytes > BYTES_LIMIT - j->align ||
            !add_ok(sum, round_up(it->bytes, j->align), &sum) || sum > BYTES_LIMIT ||
            it->fixed > BYTES_LIMIT - sum || it->fixed % j->align > 0 || !add_ok(it->last, 1, &end))
            return false;
        j->unit = gcd64(j->unit, round_up(it->bytes, j->align));
        j->unit = gcd64(j->unit, max64(it->fixed, 0));
        j->of_box[j->pack.n++] = i;
    }
    j->result.at = 0;
    return true;
}

/* Cuts time into sections: one ends where an item ends after another started. Also max_live. */
static void job_sections(Job *j)
{
    Pack *p = &j->pack;
    Event *ev = arena_array(j->scratch, Event, 2 * (int64_t)p->n);
    p->box = arena_array(j->scratch, Box, p->n);
    for (int b = 0; b < p->n; b++) {
        const OffsetItem *it = &j->item[j->of_box[b]];
        int64_t steps;
        if (__builtin_sub_overflow(it->last, it->first, &steps) || !add_ok(steps, 1, &steps))
            steps = INT64_MAX;
        p->box[b] = (Box){round_up(it->bytes, j->align) / j->unit, steps,
                          it->fixed < 0 ? -1 : it->fixed / j->unit, 0, 0};
        ev[2 * b] = (Event){it->first, b, false};
        ev[2 * b + 1] = (Event){it->last + 1, b, true};
    }
    qsort(ev, 2 * (size_t)p->n, sizeof *ev, event_compare);
    int64_t live = 0;
    bool grew = false; /* items started since the last section was closed */
    for (int e = 0; e < 2 * p->n; e++) {
        Box *b = &p->box[ev[e].item];
        if (ev[e].end) {
            p->n_sections += grew;
            grew = false;
            b->hi = p->n_sections;
            live -= b->size;
        } else {
            b->lo = p->n_sections;
            grew = true;
            live += b->size;
            if (live > j->low) {
                j->low = live;
                j->result.at = ev[e].step;
            }
        }
    }
}

/* Fixed items: none may overlap another, and their tops bound the height from below. */
static bool job_fixed(Job *j)
{
    Pack *p = &j->pack;
    for (int a = 0; a < p->n; a++) {
        const Box *x = &p->box[a];
        if (x->fixed < 0)
            continue;
        j->low = max64(j->low, x->fixed + x->size);
        for (int b = 0; b < a; b++) {
            const Box *y = &p->box[b];
            if (y->fixed < 0 || !boxes_meet(x, y) || x->fixed >= y->fixed + y->size ||
                y->fixed >= x->fixed + x->size)
                continue;
            j->result.at = max64(j->item[j->of_box[a]].first, j->item[j->of_box[b]].first);
            return false;
        }
    }
    return true;
}

/* One question to the search, with at most `share` of the nodes that are left. */
static PackAnswer job_ask(Job *j, int64_t cap, int64_t share, int64_t *left)
{
    int64_t *offset = arena_array(j->scratch, int64_t, j->pack.n);
    int64_t nodes = share;
    PackAnswer answer = pack_search(j->scratch, &j->pack, cap, &nodes, offset);
    *left -= share - nodes;
    if (answer == PACK_FOUND) {
        j->height = 0;
        for (int b = 0; b < j->pack.n; b++) {
            j->best[b] = offset[b];
            j->height = max64(j->height, offset[b] + j->pack.box[b].size);
        }
    } else if (answer == PACK_IMPOSSIBLE) {
        j->low = max64(j->low, cap + 1);
    }
    return answer;
}

/* The least height: the bound itself gets half of the nodes, halving the gap the rest. */
static void job_minimise(Job *j, int64_t *left)
{
    if (j->height > j->low)
        job_ask(j, j->low, (*left + 1) / 2, left);
    int64_t low = j->low; /* nothing found below, proved or not */
    while (j->height > low && *left > 0) {
        int64_t cap = low + (j->height - 1 - low) / 2;
        PackAnswer answer = job_ask(j, cap, (*left + 3) / 4, left);
        if (answer != PACK_FOUND)
            low = max64(cap + 1, j->low);
    }
}

static void job_fit(Job *j, int64_t cap, int64_t *left)
{
    if (j->height > cap && j->low <= cap)
        job_ask(j, cap, *left, left);
}

static void job_write(Job *j)
{
    for (int i = 0; i < j->n; i++)
        j->item[i].offset = max64(j->item[i].fixed, 0);
    for (int b = 0; b < j->pack.n; b++)
        j->item[j->of_box[b]].offset = j->best[b] * j->unit;
    j->result.height = j->height * j->unit;
}

OffsetResult offsets_solve(Arena *scratch, OffsetItem *item, int n, int64_t align, int64_t capacity,
                           int64_t budget)
{
    if (n < 0 || align <= 0 || capacity < 0 || budget < 0)
        BUG("offsets of %d items, align %lld, capacity %lld, budget %lld", n, (long long)align,
            (long long)capacity, (long long)budget);
    Mark mark = arena_mark(scratch);
    Job j = {.scratch = scratch, .item = item, .n = n, .align = align};
    j.result.height = OFFSETS_NONE;
    j.result.proved = true;
    j.of_box = arena_array(scratch, int, n);
    if (!job_collect(&j)) {
        j.result.max_live = OFFSETS_NONE;
        arena_rewind(scratch, mark);
        return j.result;
    }
    job_sections(&j);
    j.result.max_live = j.low * j.unit;
    if (job_fixed(&j)) {
        int64_t left = budget, cap = j.unit ? capacity / j.unit : 0;
        j.best = arena_array(scratch, int64_t, j.pack.n);
        j.height = pack_greedy(scratch, &j.pack, max64(cap, j.low), j.best);
        if (capacity)
            job_fit(&j, cap, &left);
        else
            job_minimise(&j, &left);
        j.result.work = budget - left;
        j.result.proved = j.height <= j.low || (capacity && (j.height <= cap || j.low > cap));
        job_write(&j);
    }
    arena_rewind(scratch, mark);
    return j.result;
}
