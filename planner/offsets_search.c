/* The exact search. Items are placed bottom up: each at the lowest offset that what is already
 * placed leaves it (its floor), in non-decreasing offset, ties in a preorder. A placement in which
 * no item can be moved down is reached in exactly one such sequence, and if any placement fits the
 * cap then one of that kind does, so nothing is lost. What prunes:
 *   section: the lowest start of what a section has still to hold plus its bytes must not pass
 *            the cap; the same for all of it that starts at or above any height
 *   gap:     no item goes where another could have lain completely below it
 *   passed:  an item passed over must later be lifted by something placed under it
 *   twins:   items of equal size and life are placed in index order
 *   cuts:    where no unplaced item crosses, the two sides are solved apart
 * Several preorders take turns with growing limits. */
#include "planner/offsets_skyline.h"

#include <stdlib.h>

/* A placement tried counts as one node, and so do NODE_WEIGHT items and sections looked at.
 * UNDO_LIMIT keeps the memory of very large instances in bounds. */
enum { NODE_WEIGHT = 256, UNDO_LIMIT = 1 << 23 };

/* One level of the search: either a choice (which item is next in `part`) or a split (all of its
 * parts must be solved). */
typedef struct Frame {
    bool split;
    int at, end; /* choice: candidates cand[at..end-1]; split: parts part[at..end-1] */
    int base;    /* where its list starts */
    Part part;
    int item;      /* the candidate being tried */
    int64_t last;  /* offset of the last placed item: nothing goes below it any more */
    int last_rank; /* and its rank: equal offsets are taken in this order */
    int entered;   /* undo mark at entry */
    int tried;     /* undo mark before the candidate was placed */
} Frame;

typedef struct Search {
    Skyline sky;
    Arena *arena;
    int64_t *nodes; /* left over all */
    int64_t limit;  /* left to this preorder */
    const char *preorder;
    int *piece; /* [sections] scratch */
    VEC(int) cand;
    VEC(Part) part;
    VEC(Frame) frame;
} Search;

/* --- preorders ------------------------------------------------------------------------------ */

static int64_t key_of(const Search *s, int x, char what)
{
    const Box *b = &s->sky.box[x];
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
            v = max64(v, s->sky.rest[t]);
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
        int x = s->sky.order[part->p + k];
        s->sky.key[k].item = x;
        for (int c = 0; c < 3; c++)
            s->sky.key[k].key[c] = key_of(s, x, s->preorder[c]);
    }
    qsort(s->sky.key, (size_t)n, sizeof *s->sky.key, key_compare);
    for (int k = 0; k < n; k++) {
        int x = s->sky.key[k].item;
        skyline_set_rank(&s->sky, x, k);
    }
}

/* --- choices and splits --------------------------------------------------------------------- */

/* Counts the work of looking through a part; false when the limit is reached. */
static bool count_node(Search *s, const Part *part)
{
    s->sky.looked += part->q - part->p + part->b - part->a;
    int64_t weight = 1 + s->sky.looked / NODE_WEIGHT;
    s->sky.looked %= NODE_WEIGHT;
    *s->nodes = max64(*s->nodes - weight, 0);
    s->limit -= weight;
    return *s->nodes > 0 && s->limit > 0 && s->sky.undo.n < UNDO_LIMIT;
}

/* Opens a choice: who may be placed next in `part`. */
static void open_choice(Search *s, Part part, int64_t last, int last_rank)
{
    Frame f = {.part = part, .item = -1, .last = last, .last_rank = last_rank};
    int64_t highest = INT64_MAX; /* nothing is placed above: a gap below, or a section too full */
    for (int k = part.p; k < part.q; k++) {
        int x = s->sky.order[k];
        highest = min64(highest, s->sky.floor[x] + s->sky.box[x].size - 1);
    }
    for (int t = part.a; t < part.b; t++)
        highest = min64(highest, s->sky.cap - s->sky.rest[t]);
    f.base = f.at = s->cand.n;
    for (int k = part.p; k < part.q; k++) {
        int x = s->sky.order[k];
        int64_t at = s->sky.floor[x];
        if (at <= highest && at >= last && (at > last || s->sky.rank[x] > last_rank) &&
            at >= s->sky.least[x] && (s->sky.twin[x] < 0 || s->sky.offset[s->sky.twin[x]] >= 0))
            vec_push(s->arena, &s->cand, x);
    }
    f.end = s->cand.n;
    f.entered = f.tried = s->sky.undo.n;
    vec_push(s->arena, &s->frame, f);
}

/* Takes the first candidate that is left: lowest floor, then rank. Most are never asked for, so
 * they are not sorted. */
static int next_candidate(Search *s, Frame *f)
{
    int *c = s->cand.v, best = f->at;
    for (int k = f->at + 1; k < f->end; k++) {
        int64_t at = s->sky.floor[c[k]], low = s->sky.floor[c[best]];
        if (at < low || (at == low && s->sky.rank[c[k]] < s->sky.rank[c[best]]))
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
        if (t + 1 < part->b && s->sky.cross[t] > 0)
            continue;
        vec_push(s->arena, &s->part, ((Part){0, 0, from, t + 1}));
        from = t + 1;
        n++;
    }
    Part *piece = s->part.v + first;
    for (int k = part->p; k < part->q; k++)
        piece[s->piece[s->sky.box[s->sky.order[k]].lo]].q++;
    int at = part->p;
    for (int i = 0; i < n; i++) {
        piece[i].p = at;
        at += piece[i].q;
        piece[i].q = piece[i].p;
    }
    for (int k = part->p; k < part->q; k++)
        s->sky.open[k] = s->sky.order[k];
    for (int k = part->p; k < part->q; k++) {
        int x = s->sky.open[k];
        int seat = piece[s->piece[s->sky.box[x].lo]].q++;
        s->sky.order[seat] = x;
        s->sky.seat[x] = seat;
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

/* What the level below answered, or what this one does next. */
typedef enum Answer { GO_DOWN, SOLVED, FAILED, STOPPED } Answer;

/* Tries candidates of the choice on top until one is placed and its part opened. */
static Answer advance(Search *s)
{
    Frame *f = &s->frame.v[s->frame.n - 1];
    while (f->at < f->end) {
        s->sky.hull.a = s->sky.pack->n_sections;
        s->sky.hull.b = 0;
        if (f->item >= 0) {
            skyline_undo(&s->sky, f->tried);
            if (!skyline_pass_over(&s->sky, &f->part, f->item))
                return FAILED;
            f->tried = s->sky.undo.n;
        }
        if (!count_node(s, &f->part))
            return STOPPED;
        int x = f->item = next_candidate(s, f);
        Part part = f->part;
        if (!skyline_place(&s->sky, &part, x) || !skyline_fits(&s->sky, &part, s->sky.offset[x]))
            continue;
        bool cut = false;
        const Box *b = &s->sky.box[x];
        for (int t = b->lo; t + 1 < b->hi && !cut; t++)
            cut = s->sky.cross[t] == 0;
        descend(s, part, s->sky.offset[x], s->sky.rank[x], cut);
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
            skyline_undo(&s->sky, f->entered);
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
    if (!skyline_fits(&s->sky, &root, 0))
        return PACK_IMPOSSIBLE;
    rank_part(s, &root);
    descend(s, root, 0, -1, true);
    while (s->frame.n && answer != STOPPED) {
        bool split = s->frame.v[s->frame.n - 1].split;
        answer = split ? step_split(s, answer) : step_choice(s, answer);
    }
    if (answer == SOLVED)
        return PACK_FOUND;
    skyline_undo(&s->sky, 0);
    s->frame.n = s->part.n = s->cand.n = 0;
    return answer == STOPPED ? PACK_UNKNOWN : PACK_IMPOSSIBLE;
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
    Search *s = arena_make(scratch, Search);
    Part root;
    *s = (Search){.arena = scratch, .nodes = nodes};
    s->piece = arena_array(scratch, int, p->n_sections);
    skyline_init(&s->sky, scratch, p, cap);
    PackAnswer answer = skyline_root(&s->sky, &root) ? PACK_UNKNOWN : PACK_IMPOSSIBLE;
    for (int64_t limit = first_limit(p); answer == PACK_UNKNOWN && *nodes > 0;) {
        for (int k = 0; k < countof(preorder) && answer == PACK_UNKNOWN && *nodes > 0; k++) {
            s->preorder = preorder[k];
            s->limit = limit;
            answer = search_run(s, root);
        }
        limit = limit < INT64_MAX / 2 ? limit * 2 : limit;
    }
    for (int x = 0; x < p->n && answer == PACK_FOUND; x++)
        offset[x] = s->sky.offset[x];
    arena_rewind(scratch, mark);
    return answer;
}
