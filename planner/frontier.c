/* frontier.c - one block: which sets of kept values are worth considering.
 *
 * From the last op to the first: whether an op is needed is settled when its turn comes, since only
 * later ops can ask for it. Needed, it is kept or computed again; not needed, neither, for keeping
 * it would cost bytes for nothing. A label is what was decided so far; of labels that need the same
 * ops still to come only the undominated matter, because what they will cost more is the same. In a
 * block that is nearly a chain few ops are open at a time, so this is far less than all subsets. */
#include "planner/frontier.h"

#include <stdlib.h>

typedef struct Label {
    int64_t bytes, ps, again;
    const uint64_t *need, *kept;
    int words;
} Label;

typedef struct Labels {
    Label *v;
    int n;
} Labels;

static int by_number(int64_t x, int64_t y)
{
    return (x > y) - (x < y);
}

static int by_words(const uint64_t *x, const uint64_t *y, int n)
{
    for (int k = n - 1; k >= 0; k--)
        if (x[k] != y[k])
            return x[k] < y[k] ? -1 : 1;
    return 0;
}

static int by_cost(const Label *x, const Label *y)
{
    int by = by_number(x->bytes, y->bytes);
    by = by ? by : by_number(x->ps, y->ps);
    return by ? by : by_words(x->kept, y->kept, x->words);
}

static int by_need(const void *x, const void *y)
{
    const Label *a = x, *b = y;
    int by = by_words(a->need, b->need, a->words);
    return by ? by : by_cost(a, b);
}

static int by_size(const void *x, const void *y)
{
    const Label *a = x, *b = y;
    int by = by_cost(a, b);
    return by ? by : by_words(a->need, b->need, a->words);
}

/* Of those that need the same, the ones no other beats in both bytes and time. */
static void drop_beaten(Labels *l)
{
    qsort(l->v, (size_t)l->n, sizeof *l->v, by_need);
    int n = 0;
    for (int k = 0; k < l->n; k++) {
        const Label *last = n ? &l->v[n - 1] : NULL;
        bool same = last && by_words(last->need, l->v[k].need, last->words) == 0;
        if (!same || l->v[k].ps < last->ps)
            l->v[n++] = l->v[k];
    }
    l->n = n;
}

/* Evenly over the bytes, with the smallest and the fastest. */
static void give_up_some(Labels *l, int budget)
{
    qsort(l->v, (size_t)l->n, sizeof *l->v, by_size);
    int fastest = 0;
    for (int k = 1; k < l->n; k++)
        if (l->v[k].ps < l->v[fastest].ps)
            fastest = k;
    int n = 0, had = l->n;
    int64_t next = 0;
    for (int k = 0; k < had; k++) {
        bool due = k >= next;
        if (due)
            next = (int64_t)(n + 1) * had / budget;
        if (due || k == fastest)
            l->v[n++] = l->v[k];
    }
    l->n = n;
}

static void set_bit(uint64_t *words, int k)
{
    words[k / 64] |= (uint64_t)1 << (k % 64);
}

/* Op i's turn: every label that needs it becomes one that keeps it and one that computes it again.
 */
static Labels decide_op(Arena *a, const FrontierOp *op, int i, const Labels *from, int words)
{
    const FrontierOp *o = &op[i];
    Labels to = {.v = arena_array(a, Label, 2 * from->n)};
    uint64_t *bits = arena_array(a, uint64_t, (int64_t)from->n * 3 * words);
    size_t size = (size_t)words * sizeof *bits;
    for (int k = 0; k < from->n; k++) {
        const Label *was = &from->v[k];
        if (!frontier_has(was->need, i)) {
            to.v[to.n++] = *was;
            continue;
        }
        uint64_t *rest = bits, *wider = bits + words, *more = bits + 2 * words;
        bits += 3 * words;
        memcpy(rest, was->need, size);
        rest[i / 64] &= ~((uint64_t)1 << (i % 64));
        if (!o->passing) {
            memcpy(more, was->kept, size);
            set_bit(more, i);
            Label keep = *was;
            keep.need = rest;
            keep.kept = more;
            keep.bytes += o->bytes;
            to.v[to.n++] = keep;
        }
        if (o->impure)
            continue;
        memcpy(wider, rest, size);
        for (int j = 0; j < o->n_in; j++)
            if (!op[o->in[j]].fixed)
                set_bit(wider, o->in[j]);
        Label again = *was;
        again.need = wider;
        again.ps += o->ps;
        again.again += o->passing ? 0 : o->bytes;
        to.v[to.n++] = again;
    }
    return to;
}

Frontier frontier_of(Arena *a, const FrontierOp *op, int n, int budget)
{
    Frontier f = {.words = frontier_words(n), .exact = true};
    Arena *scratch = arena_new();
    uint64_t *wanted = arena_array(scratch, uint64_t, 2 * f.words);
    for (int k = 0; k < n; k++)
        if (op[k].wanted && !op[k].fixed)
            set_bit(wanted, k);
    Labels all = {.v = arena_make(scratch, Label), .n = 1};
    all.v[0] = (Label){.need = wanted, .kept = wanted + f.words, .words = f.words};
    for (int i = n - 1; i >= 0; i--) {
        if (op[i].fixed)
            continue;
        all = decide_op(scratch, op, i, &all, f.words);
        f.work += all.n;
        drop_beaten(&all);
        if (all.n > budget) {
            give_up_some(&all, budget);
            f.exact = false;
        }
    }
    for (int k = 0; k < all.n; k++) {
        uint64_t *kept = arena_array(a, uint64_t, f.words);
        memcpy(kept, all.v[k].kept, (size_t)f.words * sizeof *kept);
        FrontierPoint p = {all.v[k].bytes, all.v[k].ps, all.v[k].again, kept};
        vec_push(a, &f.point, p);
    }
    arena_free(scratch);
    return f;
}

bool frontier_price(Arena *a, const FrontierOp *op, int n, const uint64_t *kept, FrontierPoint *out)
{
    bool *need = arena_array(a, bool, n > 0 ? n : 1), possible = true;
    *out = (FrontierPoint){.kept = kept};
    for (int i = n - 1; i >= 0; i--) {
        if (op[i].fixed)
            continue;
        if (frontier_has(kept, i)) {
            out->bytes += op[i].bytes;
            possible = possible && !op[i].passing;
            continue;
        }
        if (!need[i] && !op[i].wanted)
            continue;
        possible = possible && !op[i].impure;
        out->ps += op[i].ps;
        out->again += op[i].passing ? 0 : op[i].bytes;
        for (int j = 0; j < op[i].n_in; j++)
            need[op[i].in[j]] = true;
    }
    return possible;
}
