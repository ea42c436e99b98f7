#include "planner/offsets_skyline.h"

#include <stdlib.h>

/* Items x sections up to which suffixes_fit is worth its time. */
enum { SUFFIX_LIMIT = 1 << 16 };

int key_compare(const void *x, const void *y)
{
    const Key *a = x, *b = y;
    for (int k = 0; k < 3; k++) {
        if (a->key[k] != b->key[k])
            return a->key[k] > b->key[k] ? -1 : 1;
    }
    return (a->item > b->item) - (a->item < b->item);
}

static void save(Skyline *s, int a, int b, int64_t old)
{
    vec_push(s->arena, &s->undo, ((Undo){a, b, old}));
}

static void unplace(Skyline *s, int x)
{
    const Box *b = &s->box[x];
    for (int t = b->lo; t < b->hi; t++)
        s->rest[t] += b->size;
    for (int t = b->lo; t + 1 < b->hi; t++)
        s->cross[t]++;
    s->offset[x] = -1;
}

void skyline_undo(Skyline *s, int mark)
{
    while (s->undo.n > mark) {
        Undo u = s->undo.v[--s->undo.n];
        switch (u.b) {
        case UNDO_PLACE:
            unplace(s, u.a);
            break;
        case UNDO_FLOOR:
            s->floor[u.a] = u.old;
            break;
        case UNDO_LEAST:
            s->least[u.a] = u.old;
            break;
        case UNDO_RANK:
            s->rank[u.a] = (int)u.old;
            break;
        default:
            for (int t = u.a; t < u.b; t++)
                s->top[t] = u.old;
        }
    }
}

/* Raises the skyline over x's sections; false if a section cannot hold its rest any more. */
static bool raise_top(Skyline *s, int x, int64_t top)
{
    const Box *b = &s->box[x];
    for (int t = b->lo; t < b->hi; t++) {
        if (top + s->rest[t] - b->size > s->cap)
            return false;
    }
    int run = b->lo;
    for (int t = b->lo; t < b->hi; t++) {
        if (s->top[t] != s->top[run]) {
            save(s, run, t, s->top[run]);
            run = t;
        }
        s->rest[t] -= b->size;
    }
    save(s, run, b->hi, s->top[run]);
    s->looked += b->hi - b->lo;
    for (int t = b->lo; t < b->hi; t++)
        s->top[t] = top;
    for (int t = b->lo; t + 1 < b->hi; t++)
        s->cross[t]--;
    return true;
}

static void widen(Skyline *s, const Box *b)
{
    s->hull.a = b->lo < s->hull.a ? b->lo : s->hull.a;
    s->hull.b = b->hi > s->hull.b ? b->hi : s->hull.b;
}

bool skyline_place(Skyline *s, Part *part, int x)
{
    const Box *b = &s->box[x];
    int64_t at = s->floor[x], top = at + b->size;
    if (top > s->cap || !raise_top(s, x, top))
        return false;
    save(s, x, UNDO_PLACE, 0);
    s->offset[x] = at;
    int seat = s->seat[x], other = s->order[--part->q];
    s->order[seat] = other;
    s->seat[other] = seat;
    s->order[part->q] = x;
    s->seat[x] = part->q;
    for (int k = part->p; k < part->q; k++) {
        int y = s->order[k];
        const Box *o = &s->box[y];
        if (s->floor[y] >= top || !boxes_meet(o, b))
            continue;
        if (o->fixed >= 0 || top + o->size > s->cap)
            return false;
        save(s, y, UNDO_FLOOR, s->floor[y]);
        s->floor[y] = top;
        widen(s, o);
    }
    return true;
}

/* The first open section from the i-th on that has no witness yet. */
static int next_open(int *next, int i)
{
    for (; next[i] != i; i = next[i])
        next[i] = next[next[i]];
    return i;
}

static int open_from(const Skyline *s, int n, int section)
{
    int lo = 0;
    while (lo < n) {
        int mid = lo + (n - lo) / 2;
        if (s->open[mid] < section)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

/* Sections whose remembered low item is gone or lifted, in order: find others. False if one has
 * none, that is, everything it has still to hold starts too high. */
static bool find_witnesses(Skyline *s, const Part *part, int n_open)
{
    int left = n_open;
    for (int i = 0; i <= n_open; i++)
        s->next[i] = i;
    for (int k = part->p; k < part->q && left; k++) {
        int y = s->order[k];
        const Box *o = &s->box[y];
        int64_t from = max64(s->floor[y], s->least[y]);
        int i = next_open(s->next, open_from(s, n_open, o->lo));
        for (; i < n_open && s->open[i] < o->hi; i = next_open(s->next, i + 1)) {
            int t = s->open[i];
            if (from > s->cap - s->rest[t])
                continue;
            s->witness[t] = y;
            s->next[i] = i + 1;
            left--;
        }
    }
    return left == 0;
}

/* The unplaced items that meet the sections a..b-1, those that start highest first. */
static int sort_by_start(Skyline *s, const Part *part, int a, int b)
{
    int n = 0;
    for (int k = part->p; k < part->q; k++) {
        int y = s->order[k];
        if (s->box[y].lo < b && s->box[y].hi > a)
            s->key[n++] = (Key){{max64(s->floor[y], s->least[y]), 0, 0}, y};
    }
    if (n > 32) {
        qsort(s->key, (size_t)n, sizeof *s->key, key_compare);
        return n;
    }
    for (int k = 1; k < n; k++) {
        Key key = s->key[k];
        int c = k;
        for (; c > 0 && s->key[c - 1].key[0] < key.key[0]; c--)
            s->key[c] = s->key[c - 1];
        s->key[c] = key;
    }
    return n;
}

/* As skyline_fits, for any subset of what a section has still to hold: the bytes that start at or
 * above some height. Only sections where a start has changed are looked at, and not when that is
 * far more work than the rest of the node. */
static bool suffixes_fit(Skyline *s, const Part *part)
{
    int a = s->hull.a, b = s->hull.b;
    if (b <= a || (int64_t)(part->q - part->p) * (b - a) > SUFFIX_LIMIT)
        return true;
    int n = sort_by_start(s, part, a, b);
    for (int t = a; t < b; t++)
        s->held[t] = 0;
    for (int k = 0; k < n; k++) {
        const Box *o = &s->box[s->key[k].item];
        int64_t room = s->cap - s->key[k].key[0];
        int lo = o->lo > a ? o->lo : a, hi = o->hi < b ? o->hi : b;
        s->looked += (hi - lo) / 4;
        for (int t = lo; t < hi; t++) {
            s->held[t] += o->size;
            if (s->held[t] > room)
                return false;
        }
    }
    return true;
}

bool skyline_fits(Skyline *s, const Part *part, int64_t last)
{
    int n_open = 0;
    for (int t = part->a; t < part->b; t++) {
        if (s->rest[t] == 0)
            continue;
        int64_t room = s->cap - s->rest[t];
        if (max64(s->top[t], last) > room)
            return false;
        int w = s->witness[t];
        if (w < 0 || s->offset[w] >= 0 || max64(s->floor[w], s->least[w]) > room)
            s->open[n_open++] = t;
    }
    return find_witnesses(s, part, n_open) && suffixes_fit(s, part);
}

bool skyline_pass_over(Skyline *s, const Part *part, int x)
{
    const Box *b = &s->box[x];
    int64_t lift = INT64_MAX;
    for (int k = part->p; k < part->q; k++) {
        int y = s->order[k];
        if (y != x && boxes_meet(&s->box[y], b))
            lift =
                min64(lift, max64(max64(s->floor[y], s->least[y]), s->floor[x]) + s->box[y].size);
    }
    if (b->fixed >= 0 || lift > s->cap - b->size)
        return false;
    if (lift > s->least[x]) {
        save(s, x, UNDO_LEAST, s->least[x]);
        s->least[x] = lift;
        widen(s, b);
    }
    return true;
}

static void find_twins(Skyline *s)
{
    Key *key = s->key;
    int n = s->pack->n;
    for (int x = 0; x < n; x++) {
        const Box *b = &s->box[x];
        key[x] = (Key){{b->lo, b->hi, b->size}, x};
    }
    qsort(key, (size_t)n, sizeof *key, key_compare);
    for (int k = 1; k < n; k++) {
        const Box *a = &s->box[key[k - 1].item], *b = &s->box[key[k].item];
        if (a->lo == b->lo && a->hi == b->hi && a->size == b->size && a->steps == b->steps &&
            a->fixed < 0 && b->fixed < 0)
            s->twin[key[k].item] = key[k - 1].item;
    }
}

/* Fixed items with nothing but fixed items below them are ground. The others float: each is placed
 * when its offset is the next in order, and until then nothing may push it up. */
static void settle_fixed(Skyline *s)
{
    int n = 0;
    for (int x = 0; x < s->pack->n; x++) {
        if (s->box[x].fixed >= 0)
            s->key[n++] = (Key){{-s->box[x].fixed, 0, 0}, x};
    }
    qsort(s->key, (size_t)n, sizeof *s->key, key_compare);
    for (int k = 0; k < n; k++) {
        int x = s->key[k].item;
        const Box *b = &s->box[x];
        bool hole = false;
        for (int t = b->lo; t < b->hi; t++)
            hole |= s->top[t] < b->fixed;
        if (hole)
            continue;
        for (int t = b->lo; t < b->hi; t++) {
            s->top[t] = b->fixed + b->size;
            s->rest[t] -= b->size;
            s->cross[t] -= t + 1 < b->hi;
        }
        s->offset[x] = b->fixed;
    }
}

void skyline_init(Skyline *s, Arena *a, const Pack *p, int64_t cap)
{
    *s = (Skyline){.arena = a, .pack = p, .box = p->box, .cap = cap};
    int n = p->n, m = p->n_sections, both = n > m ? n : m;
    s->floor = arena_array(a, int64_t, n);
    s->least = arena_array(a, int64_t, n);
    s->offset = arena_array(a, int64_t, n);
    s->rank = arena_array(a, int, n);
    s->twin = arena_array(a, int, n);
    s->seat = arena_array(a, int, n);
    s->order = arena_array(a, int, n);
    s->key = arena_array(a, Key, n);
    s->top = arena_array(a, int64_t, m);
    s->rest = arena_array(a, int64_t, m);
    s->cross = arena_array(a, int, m);
    s->witness = arena_array(a, int, m);
    s->held = arena_array(a, int64_t, m);
    s->open = arena_array(a, int, both);
    s->next = arena_array(a, int, both + 1);
    for (int t = 0; t < m; t++)
        s->witness[t] = -1;
    for (int x = 0; x < n; x++) {
        const Box *b = &p->box[x];
        s->offset[x] = s->twin[x] = -1;
        for (int t = b->lo; t < b->hi; t++) {
            s->rest[t] += b->size;
            s->cross[t] += t + 1 < b->hi;
        }
    }
    find_twins(s);
    settle_fixed(s);
}

bool skyline_root(Skyline *s, Part *root)
{
    *root = (Part){0, 0, 0, s->pack->n_sections};
    for (int x = 0; x < s->pack->n; x++) {
        const Box *b = &s->box[x];
        if (s->offset[x] >= 0)
            continue;
        int64_t ground = 0;
        for (int t = b->lo; t < b->hi; t++)
            ground = max64(ground, s->top[t]);
        s->floor[x] = max64(ground, b->fixed);
        if (s->floor[x] + b->size > s->cap)
            return false;
        s->seat[x] = root->q;
        s->order[root->q++] = x;
    }
    return true;
}

void skyline_set_rank(Skyline *s, int x, int rank)
{
    save(s, x, UNDO_RANK, s->rank[x]);
    s->rank[x] = rank;
}
