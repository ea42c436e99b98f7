/* The exact search. Items are placed bottom up: each at the lowest offset that what is already
 * placed leaves it (its floor), in non-decreasing offset, ties in a preorder. A placement in which
 * no item can be moved down is reached in exactly one such sequence, and if any placement fits the
 * cap then one of that kind does, so nothing is lost. What prunes:
 *   section: the floor of a section plus all it has still to hold must not pass the cap
 *   gap:     no item goes where another could have lain completely below it
 *   passed:  an item passed over must later be lifted by something placed under it
 *   twins:   items of equal size and life are placed in index order
 *   cuts:    where no unplaced item crosses, the two sides are solved apart
 * Several preorders take turns with growing limits. */
#include "planner/offsets_pack.h"

#include "frontend/base/vec.h"

#include <stdlib.h>

/* A placement tried counts as one node, and so do this many items and sections looked at. */
enum { NODE_WEIGHT = 256, SUFFIX_LIMIT = 1 << 16 };

/* What to put back: offsets and the like by item, the skyline by run of sections. */
typedef enum UndoKind { UNDO_PLACE, UNDO_FLOOR, UNDO_LEAST, UNDO_RANK, UNDO_TOP } UndoKind;

typedef struct Undo {
    UndoKind kind;
    int a, b; /* item, or sections a..b-1 */
    int64_t old;
} Undo;

/* A subproblem: the unplaced items order[p..q-1], all within the sections a..b-1. */
typedef struct Part {
    int p, q, a, b;
} Part;

/* One level of the search: either a choice (which item is next in `part`) or a split (all parts
 * part_at..part_end-1 must be solved). */
typedef struct Frame {
    bool split;
    int at, end; /* choice: candidates cand[at..end-1]; split: parts part[at..end-1] */
    int base;    /* where its list starts */
    Part part;
    int item;        /* the candidate being tried */
    int64_t last;    /* offset of the last placed item: nothing goes below it any more */
    int last_rank;   /* and its rank: equal offsets are taken in this order */
    int64_t entered; /* undo mark at entry */
    int64_t tried;   /* undo mark before the candidate was placed */
} Frame;

typedef struct Key {
    int64_t key[3];
    int item;
} Key;

typedef struct Search {
    Arena *arena;
    const Pack *pack;
    const Box *box;
    int64_t cap;
    int64_t *nodes; /* left over all */
    int64_t limit;  /* left to this preorder */
    int64_t looked; /* items and sections looked at, not yet counted */
    const char *preorder;
    /* by item */
    int64_t *floor;  /* skyline under it: where it would lie now */
    int64_t *least;  /* it cannot end below this */
    int64_t *offset; /* where it was placed, or -1 */
    int *rank;       /* in the preorder of its part */
    int *twin;       /* an equal item that goes first, or -1 */
    int *seat;       /* its place in order[] */
    int *order;
    /* by section */
    int64_t *top;  /* the skyline */
    int64_t *rest; /* bytes of its unplaced items */
    int *cross;    /* unplaced items in both s and s+1 */
    int *witness;  /* an item likely to be low enough, or -1 */
    /* scratch by item or section */
    int *open;
    int *piece;
    int *fixed; /* floating fixed items by offset */
    int n_fixed;
    Key *key;
    struct {
        int a, b;
    } hull;        /* sections where a start has changed since the last check */
    int64_t *held; /* by section */
    VEC(Undo) undo;
    VEC(int) cand;
    VEC(Part) part;
    VEC(Frame) frame;
} Search;

static int key_compare(const void *x, const void *y)
{
    const Key *a = x, *b = y;
    for (int k = 0; k < 3; k++) {
        if (a->key[k] != b->key[k])
            return a->key[k] > b->key[k] ? -1 : 1;
    }
    return (a->item > b->item) - (a->item < b->item);
}

static void save(Search *s, UndoKind kind, int a, int b, int64_t old)
{
    vec_push(s->arena, &s->undo, ((Undo){kind, a, b, old}));
}

static void unplace(Search *s, int x)
{
    const Box *b = &s->box[x];
    for (int t = b->lo; t < b->hi; t++)
        s->rest[t] += b->size;
    for (int t = b->lo; t + 1 < b->hi; t++)
        s->cross[t]++;
    s->offset[x] = -1;
}

static void undo_to(Search *s, int64_t mark)
{
    while (s->undo.n > mark) {
        Undo u = s->undo.v[--s->undo.n];
        switch (u.kind) {
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
        case UNDO_TOP:
            for (int t = u.a; t < u.b; t++)
                s->top[t] = u.old;
            break;
        }
    }
}

/* The lowest offset >= at where item x misses every fixed item not yet placed. */
static int64_t clear_of_fixed(const Search *s, int x, int64_t at)
{
    const Box *b = &s->box[x];
    if (b->fixed >= 0)
        return max64(at, b->fixed);
    for (int k = 0; k < s->n_fixed; k++) {
        const Box *f = &s->box[s->fixed[k]];
        if (f->fixed >= at + b->size)
            break;
        if (s->offset[s->fixed[k]] < 0 && boxes_meet(f, b))
            at = max64(at, f->fixed + f->size);
    }
    return at;
}

/* Raises the skyline over x's sections; false if a section cannot hold its rest any more. */
static bool raise_top(Search *s, int x, int64_t top)
{
    const Box *b = &s->box[x];
    for (int t = b->lo; t < b->hi; t++) {
        if (top + s->rest[t] - b->size > s->cap)
            return false;
    }
    int run = b->lo;
    for (int t = b->lo; t < b->hi; t++) {
        if (s->top[t] != s->top[run]) {
            save(s, UNDO_TOP, run, t, s->top[run]);
            run = t;
        }
        s->rest[t] -= b->size;
    }
    save(s, UNDO_TOP, run, b->hi, s->top[run]);
    for (int t = b->lo; t < b->hi; t++)
        s->top[t] = top;
    for (int t = b->lo; t + 1 < b->hi; t++)
        s->cross[t]--;
    return true;
}

static void widen(Search *s, const Box *b)
{
    s->hull.a = b->lo < s->hull.a ? b->lo : s->hull.a;
    s->hull.b = b->hi > s->hull.b ? b->hi : s->hull.b;
}

/* Places x at its floor and moves it to the end of its part; false if that cannot fit (what was
 * changed is on the undo list all the same). */
static bool place(Search *s, Part *part, int x)
{
    const Box *b = &s->box[x];
    int64_t at = s->floor[x], top = at + b->size;
    if (top > s->cap || !raise_top(s, x, top))
        return false;
    save(s, UNDO_PLACE, x, 0, 0);
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
        int64_t to = s->n_fixed ? clear_of_fixed(s, y, top) : top;
        save(s, UNDO_FLOOR, y, 0, s->floor[y]);
        s->floor[y] = to;
        widen(s, o);
        if (to + o->size > s->cap || (o->fixed >= 0 && to > o->fixed))
            return false;
    }
    return true;
}

/* Sections whose remembered low item is gone or lifted: find others. False if one has none, that
 * is, everything it has still to hold starts too high. */
static bool find_witnesses(Search *s, const Part *part, int n_open)
{
    for (int k = part->p; k < part->q && n_open; k++) {
        int y = s->order[k], kept = 0;
        const Box *o = &s->box[y];
        int64_t from = max64(s->floor[y], s->least[y]);
        for (int i = 0; i < n_open; i++) {
            int t = s->open[i];
            if (t >= o->lo && t < o->hi && from <= s->cap - s->rest[t])
                s->witness[t] = y;
            else
                s->open[kept++] = t;
        }
        n_open = kept;
    }
    return n_open == 0;
}

/* The unplaced items that meet the sections a..b-1, those that start highest first. */
static int sort_by_start(Search *s, const Part *part, int a, int b)
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

/* As sections_fit, for any subset of what a section has still to hold: the bytes that start at or
 * above some height. Only sections where a start has changed are looked at, and not when that is
 * far more work than the rest of the node. */
static bool suffixes_fit(Search *s, const Part *part)
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

/* Every section can still hold its rest above `last`. */
static bool sections_fit(Search *s, const Part *part, int64_t last)
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

/* --- preorders ------------------------------------------------------------------------------ */

static int64_t key_of(const Search *s, int x, char what)
{
    const Box *b = &s->box[x];
    int64_t v = 0;
    switch (what) {
    case 'W': /* how long it lives */
        return b->steps;
    case 'Z': /* its size */
        return b->size;
    case 'A': /* bytes x steps */
        return mul_ok(b->size, b->steps, &v) ? v : INT64_MAX;
    case 'T': /* the fullest section it is in */
        for (int t = b->lo; t < b->hi; t++)
            v = max64(v, s->rest[t]);
        return v;
    default:
        BUG("preorder '%c'", what);
    }
}

/* Ranks the items of a part anew: what is contended there changes as others are placed. */
static void rank_part(Search *s, const Part *part)
{
    int n = part->q - part->p;
    for (int k = 0; k < n; k++) {
        int x = s->order[part->p + k];
        s->key[k].item = x;
        for (int c = 0; c < 3; c++)
            s->key[k].key[c] = key_of(s, x, s->preorder[c]);
    }
    qsort(s->key, (size_t)n, sizeof *s->key, key_compare);
    for (int k = 0; k < n; k++) {
        int x = s->key[k].item;
        save(s, UNDO_RANK, x, 0, s->rank[x]);
        s->rank[x] = k;
    }
}

/* --- choices and splits --------------------------------------------------------------------- */

/* Counts the work of looking through a part; false when the limit is reached. */
static bool count_node(Search *s, const Part *part)
{
    s->looked += part->q - part->p + part->b - part->a;
    int64_t weight = 1 + s->looked / NODE_WEIGHT;
    s->looked %= NODE_WEIGHT;
    *s->nodes = max64(*s->nodes - weight, 0);
    s->limit -= weight;
    return *s->nodes > 0 && s->limit > 0;
}

/* Opens a choice: who may be placed next in `part`. */
static void open_choice(Search *s, Part part, int64_t last, int last_rank)
{
    Frame f = {.part = part, .item = -1, .last = last, .last_rank = last_rank};
    int64_t highest = INT64_MAX; /* nothing is placed above: a gap below, or a section too full */
    for (int k = part.p; k < part.q; k++) {
        int x = s->order[k];
        highest = min64(highest, s->floor[x] + s->box[x].size - 1);
    }
    for (int t = part.a; t < part.b; t++)
        highest = min64(highest, s->cap - s->rest[t]);
    f.base = f.at = s->cand.n;
    for (int k = part.p; k < part.q; k++) {
        int x = s->order[k];
        int64_t at = s->floor[x];
        if (at <= highest && at >= last && (at > last || s->rank[x] > last_rank) &&
            at >= s->least[x] && (s->twin[x] < 0 || s->offset[s->twin[x]] >= 0))
            vec_push(s->arena, &s->cand, x);
    }
    f.end = s->cand.n;
    f.entered = f.tried = s->undo.n;
    vec_push(s->arena, &s->frame, f);
}

/* Takes the first candidate that is left: lowest floor, then rank. Most are never asked for, so
 * they are not sorted. */
static int next_candidate(Search *s, Frame *f)
{
    int *c = s->cand.v, best = f->at;
    for (int k = f->at + 1; k < f->end; k++) {
        int64_t at = s->floor[c[k]], low = s->floor[c[best]];
        if (at < low || (at == low && s->rank[c[k]] < s->rank[c[best]]))
            best = k;
    }
    int x = c[best];
    c[best] = c[f->at];
    c[f->at++] = x;
    return x;
}

/* Cuts part at the places that no unplaced item crosses and groups its items accordingly. The
 * pieces that hold items go to s->part; how many. */
static int split_part(Search *s, const Part *part)
{
    int n = 0, first = s->part.n;
    for (int t = part->a, from = part->a; t < part->b; t++) {
        s->piece[t] = n;
        if (t + 1 < part->b && s->cross[t] > 0)
            continue;
        vec_push(s->arena, &s->part, ((Part){0, 0, from, t + 1}));
        from = t + 1;
        n++;
    }
    Part *piece = s->part.v + first;
    for (int k = part->p; k < part->q; k++)
        piece[s->piece[s->box[s->order[k]].lo]].q++;
    int at = part->p;
    for (int i = 0; i < n; i++) {
        piece[i].p = at;
        at += piece[i].q;
        piece[i].q = piece[i].p;
    }
    for (int k = part->p; k < part->q; k++)
        s->open[k] = s->order[k];
    for (int k = part->p; k < part->q; k++) {
        int x = s->open[k];
        int seat = piece[s->piece[s->box[x].lo]].q++;
        s->order[seat] = x;
        s->seat[x] = seat;
    }
    int kept = 0;
    for (int i = 0; i < n; i++) {
        if (piece[i].q > piece[i].p)
            piece[kept++] = piece[i];
    }
    s->part.n = first + kept;
    return kept;
}

/* Goes on with what is left of `part` after a placement at (last, last_rank). */
static void descend(Search *s, Part part, int64_t last, int last_rank, bool cut)
{
    if (!cut) {
        open_choice(s, part, last, last_rank);
        return;
    }
    int base = s->part.n, n = split_part(s, &part);
    if (n == 1) {
        part = s->part.v[base];
        s->part.n = base;
        open_choice(s, part, last, last_rank);
        return;
    }
    Frame f = {.split = true, .base = base, .at = base, .end = base + n, .last = last};
    vec_push(s->arena, &s->frame, f);
}

/* Candidate x failed, so in what is left of this choice it lies higher: on top of something that
 * is placed first. False if nothing can lift it, or not without passing the cap. */
static bool pass_over(Search *s, const Part *part, int x)
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
        save(s, UNDO_LEAST, x, 0, s->least[x]);
        s->least[x] = lift;
        widen(s, b);
    }
    return true;
}

/* What the level below answered, or what this one does next. */
typedef enum Answer { GO_DOWN, SOLVED, FAILED, STOPPED } Answer;

/* Tries candidates of the choice on top until one is placed and its part opened. */
static Answer advance(Search *s)
{
    int level = s->frame.n - 1;
    Frame *f = &s->frame.v[level];
    while (f->at < f->end) {
        s->hull.a = s->pack->n_sections;
        s->hull.b = 0;
        if (f->item >= 0) {
            undo_to(s, f->tried);
            if (!pass_over(s, &f->part, f->item))
                return FAILED;
            f->tried = s->undo.n;
        }
        if (!count_node(s, &f->part))
            return STOPPED;
        int x = f->item = next_candidate(s, f);
        Part part = f->part;
        if (!place(s, &part, x) || !sections_fit(s, &part, s->offset[x]))
            continue;
        bool cut = false;
        const Box *b = &s->box[x];
        for (int t = b->lo; t + 1 < b->hi && !cut; t++)
            cut = s->cross[t] == 0;
        descend(s, part, s->offset[x], s->rank[x], cut);
        return GO_DOWN;
    }
    return FAILED;
}

/* One step of the choice on top, after what the level below answered. */
static Answer step_choice(Search *s, Answer below)
{
    Frame *f = &s->frame.v[s->frame.n - 1];
    Answer answer = below == SOLVED || f->part.p == f->part.q ? SOLVED : advance(s);
    if (answer == SOLVED || answer == FAILED) {
        f = &s->frame.v[s->frame.n - 1];
        if (answer == FAILED)
            undo_to(s, f->entered);
        s->cand.n = f->base;
        s->frame.n--;
    }
    return answer;
}

static Answer step_split(Search *s, Answer below)
{
    Frame *f = &s->frame.v[s->frame.n - 1];
    if (below == FAILED || f->at == f->end) {
        s->part.n = f->base;
        s->frame.n--;
        return below == FAILED ? FAILED : SOLVED;
    }
    Part part = s->part.v[f->at++];
    rank_part(s, &part);
    open_choice(s, part, f->last, -1);
    return GO_DOWN;
}

static PackAnswer search_run(Search *s, Part root)
{
    Answer answer = GO_DOWN;
    if (!sections_fit(s, &root, 0))
        return PACK_IMPOSSIBLE;
    rank_part(s, &root);
    descend(s, root, 0, -1, true);
    while (s->frame.n && answer != STOPPED) {
        bool split = s->frame.v[s->frame.n - 1].split;
        answer = split ? step_split(s, answer) : step_choice(s, answer);
    }
    if (answer == SOLVED)
        return PACK_FOUND;
    undo_to(s, 0);
    s->frame.n = s->part.n = s->cand.n = 0;
    return answer == STOPPED ? PACK_UNKNOWN : PACK_IMPOSSIBLE;
}

/* --- set up --------------------------------------------------------------------------------- */

static Search *search_new(Arena *a, const Pack *p, int64_t cap, int64_t *nodes)
{
    Search *s = arena_make(a, Search);
    *s = (Search){.arena = a, .pack = p, .box = p->box, .cap = cap, .nodes = nodes};
    int n = p->n, m = p->n_sections, both = n > m ? n : m;
    s->floor = arena_array(a, int64_t, n);
    s->least = arena_array(a, int64_t, n);
    s->offset = arena_array(a, int64_t, n);
    s->rank = arena_array(a, int, n);
    s->twin = arena_array(a, int, n);
    s->seat = arena_array(a, int, n);
    s->order = arena_array(a, int, n);
    s->fixed = arena_array(a, int, n);
    s->key = arena_array(a, Key, n);
    s->top = arena_array(a, int64_t, m);
    s->rest = arena_array(a, int64_t, m);
    s->cross = arena_array(a, int, m);
    s->witness = arena_array(a, int, m);
    s->held = arena_array(a, int64_t, m);
    s->piece = arena_array(a, int, m);
    s->open = arena_array(a, int, both);
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
    return s;
}

static void find_twins(Search *s)
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

/* Fixed items that stand on the ground, or on each other, are ground; the others float. */
static void settle_fixed(Search *s)
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
        int64_t ground = 0;
        for (int t = b->lo; t < b->hi; t++)
            ground = max64(ground, s->top[t]);
        if (ground < b->fixed) {
            s->fixed[s->n_fixed++] = x;
            continue;
        }
        for (int t = b->lo; t < b->hi; t++) {
            s->top[t] = b->fixed + b->size;
            s->rest[t] -= b->size;
            s->cross[t] -= t + 1 < b->hi;
        }
        s->offset[x] = b->fixed;
    }
}

/* The items to place, each on its ground. False if one cannot lie below the cap. */
static bool fill_root(Search *s, Part *root)
{
    *root = (Part){0, 0, 0, s->pack->n_sections};
    for (int x = 0; x < s->pack->n; x++) {
        const Box *b = &s->box[x];
        if (s->offset[x] >= 0)
            continue;
        int64_t ground = 0;
        for (int t = b->lo; t < b->hi; t++)
            ground = max64(ground, s->top[t]);
        s->floor[x] = clear_of_fixed(s, x, ground);
        if (s->floor[x] + b->size > s->cap)
            return false;
        s->seat[x] = root->q;
        s->order[root->q++] = x;
    }
    return true;
}

/* Enough for one descent without a mistake, and some. */
static int64_t first_limit(const Pack *p)
{
    return 2 * ((int64_t)p->n + 1) * (1 + ((int64_t)p->n + p->n_sections) / NODE_WEIGHT);
}

PackAnswer pack_search(Arena *scratch, const Pack *p, int64_t cap, int64_t *nodes, int64_t *offset)
{
    static const char *const preorder[] = {"TWA", "TAW", "WAT", "ZWT"};
    Mark mark = arena_mark(scratch);
    Search *s = search_new(scratch, p, cap, nodes);
    Part root;
    find_twins(s);
    settle_fixed(s);
    PackAnswer answer = fill_root(s, &root) ? PACK_UNKNOWN : PACK_IMPOSSIBLE;
    for (int64_t limit = first_limit(p); answer == PACK_UNKNOWN && *nodes > 0;) {
        for (int k = 0; k < countof(preorder) && answer == PACK_UNKNOWN && *nodes > 0; k++) {
            s->preorder = preorder[k];
            s->limit = limit;
            answer = search_run(s, root);
        }
        limit = limit < INT64_MAX / 2 ? limit * 2 : limit;
    }
    for (int x = 0; x < p->n && answer == PACK_FOUND; x++)
        offset[x] = s->offset[x];
    arena_rewind(scratch, mark);
    return answer;
}
