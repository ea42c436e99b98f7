/* group.c - which items become one kernel.
 *
 * Greedy, in order: an item joins the deepest group that makes one of its operands (or reads what
 * it reads) when the domains agree and no other operand can depend on that group. `depth` - groups
 * on the longest path - decides the latter: whatever depends on a group is deeper than it. A pure
 * function of the items: the same graph gives the same kernels. */
#include "planner/build.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ITEMS = 96, MOST_READS = 14 };

static bool aligned_same(const Type *a, const Type *b)
{
    for (int k = 0; k < BM_DIMS; k++)
        if (aligned_dim(a, k) != aligned_dim(b, k))
            return false;
    return true;
}

Item *through_views(Item *i)
{
    while (i->cls == IC_VIEW && (i->op == OP_BROADCAST || i->op == OP_DETACH || i->op == OP_GRAD ||
                                 (i->op == OP_RESHAPE && aligned_same(&i->type, &i->in[0]->type))))
        i = i->in[0];
    return i;
}

/* The shape an item is computed over: its operand's when it reduces, or copies to another shape. */
static const Type *over(const Item *i)
{
    switch (i->op) {
    case OP_SUM:
    case OP_MAX_OF:
    case OP_ARGMAX:
    case OP_BATCH_SUM:
    case OP_RESHAPE:
        return &i->in[0]->type;
    case OP_ASSIGN:
        return &i->in[1]->type;
    default:
        return &i->type;
    }
}

static bool reduces(const Item *i)
{
    return i->op == OP_SUM || i->op == OP_MAX_OF || i->op == OP_ARGMAX;
}

/* Axes (aligned right) an item fixes as the row's: what it reduces, or what a sum over the batch
 * keeps. */
static uint32_t axes_of_row(const Item *i)
{
    const Type *t = over(i);
    uint32_t row = 0;
    for (int k = 0; k < t->ndim; k++) {
        bool in_set = i->attr.reduce.axes >> k & 1;
        if (t->dim[k] > 1 && (i->op == OP_BATCH_SUM ? !in_set : in_set))
            row |= 1u << (k + BM_DIMS - t->ndim);
    }
    return row;
}

/* Lies every operand and result in `t`-shaped memory so that the axes `row` are one run? */
static bool one_run(const Type *t, const int64_t *stride, uint32_t row)
{
    int64_t run = -1;
    for (int k = BM_DIMS - 1; k >= 0; k--) {
        if (!(row >> k & 1))
            continue;
        int64_t s = aligned_stride(t, stride, k), n = aligned_dim(t, k);
        if (n == 1)
            continue;
        if (run >= 0 && s != run)
            return false;
        run = s * n;
    }
    return true;
}

static bool rows_are_runs(const Item *i, uint32_t row)
{
    if (__builtin_popcount(row) < 2)
        return true;
    if (i->op == OP_GATHER || i->op == OP_PICK || i->op == OP_RANDOM)
        return false;
    for (int k = 0; k < i->n_in; k++)
        if (!one_run(&i->in[k]->type, i->in[k]->place.stride, row))
            return false;
    /* a broadcast operand (size 1 on some axes of the row, full on others) breaks the run as well
     */
    for (int k = 0; k < i->n_in; k++) {
        int wide = 0, all = 0;
        for (int x = 0; x < BM_DIMS; x++)
            if (row >> x & 1) {
                all += aligned_dim(over(i), x) > 1;
                wide += aligned_dim(&i->in[k]->type, x) > 1;
            }
        if (wide && wide != all)
            return false;
    }
    if (i->op == OP_RESHAPE) { /* stored in its operand's order, under its operand's axes */
        Layout own = place_contiguous(NULL, over(i));
        return one_run(over(i), own.stride, row);
    }
    return reduces(i) || i->op == OP_BATCH_SUM || one_run(&i->type, i->place.stride, row);
}

/* Would the group's domain, widened to hold the item, still be one? On success *dim, *inner are the
 * new ones. */
static bool domain_fits(const Group *g, const Item *i, int64_t *dim, uint32_t *inner)
{
    const Type *t = over(i);
    uint32_t differ = 0, narrow = 0;
    for (int k = 0; k < BM_DIMS; k++) {
        int64_t n = aligned_dim(t, k);
        dim[k] = g->dim[k];
        if (n == dim[k])
            continue;
        if (n != 1 && dim[k] != 1)
            return false;
        differ |= 1u << k;
        if (n == 1)
            narrow |= 1u << k;
        else
            dim[k] = n;
    }
    if (narrow && narrow != differ)
        return false; /* wider here and narrower there */
    *inner = g->inner;
    if (differ) {
        if (!*inner)
            *inner = differ;
        /* narrower items are row values: narrow in all of the row, or the row grows from all-narrow
         */
        for (int k = 0; k < BM_DIMS; k++) {
            bool in_row = *inner >> k & 1, d = differ >> k & 1;
            if (d && !in_row)
                return false;
            if (in_row && !d && dim[k] > 1)
                return false;
        }
    }
    if (reduces(i) || i->op == OP_BATCH_SUM) {
        uint32_t row = axes_of_row(i);
        bool row_value =
            i->op == OP_BATCH_SUM && row == 0 && *inner; /* a row value summed to a scalar */
        if (row_value) {
            for (int k = 0; k < BM_DIMS; k++)
                if ((*inner >> k & 1) && aligned_dim(t, k) > 1)
                    return false;
        } else if (*inner && row != *inner) {
            return false;
        } else if (!*inner) {
            *inner = row;
        }
        if (i->op == OP_BATCH_SUM && !row && !*inner && differ)
            return false;
    }
    return true;
}

/* How many rows make a partial sum is the sum's own matter, so sums that differ in it are apart. */
static int64_t chunk_of(const Build *b, const Item *i)
{
    if (i->op != OP_BATCH_SUM)
        return 0;
    int64_t cols = type_count(&i->type);
    return grain_chunk(type_count(&i->in[0]->type) / cols, cols, b->plan->grain_batch).rows;
}

/* Only groups of its own phase can wait for a group: earlier phases are over. */
static int depth_of(const Item *x, Phase phase)
{
    return x->phase != phase ? 0 : x->group ? x->group->depth : x->depth;
}

/* The group that makes the value of `x` in memory or registers; NULL for leaves and virtual items.
 */
static bool reads_storage_of(const Item *x, const Group *g)
{
    if (x->group)
        return x->group == g;
    for (int k = 0; k < x->n_in; k++)
        if (reads_storage_of(x->in[k], g))
            return true;
    return false;
}

/* Readers of a parameter that is written must come before, or be in the same kernel. */
static bool readers_allow(const Item *i, const Group *g, const Group *h)
{
    if (i->op != OP_ASSIGN)
        return true;
    const Item *leaf = i->in[0];
    for (int k = 0; k < leaf->reader.n; k++) {
        const Group *r = leaf->reader.v[k];
        if (r != g && r != h && r->phase == i->phase && r->item.n && r->depth >= g->depth)
            return false;
    }
    return true;
}

/* The same axes; or h's values are g's row values. */
static bool same_domain(const Group *g, const Group *h)
{
    if (g->inner && h->inner && g->inner != h->inner)
        return false;
    bool same = true, narrow = g->inner != 0 && h->inner == 0;
    for (int k = 0; k < BM_DIMS; k++) {
        bool in_row = g->inner >> k & 1;
        same = same && g->dim[k] == h->dim[k];
        narrow = narrow && (in_row ? h->dim[k] == 1 : g->dim[k] == h->dim[k]);
    }
    return same || narrow;
}

static bool picks(const Item *i)
{
    return i->op == OP_GATHER || i->op == OP_PICK;
}

/* What is picked from, and by which index, is read from memory. */
static bool picks_from(const Group *g, const Group *h)
{
    for (int k = 0; k < g->item.n; k++)
        for (int j = 0; picks(g->item.v[k]) && j < g->item.v[k]->n_in; j++)
            if (through_views(g->item.v[k]->in[j])->group == h)
                return true;
    return false;
}

static bool can_absorb(const Group *g, const Group *h)
{
    if (g == h || !h->set || g->phase != h->phase || g->batched != h->batched ||
        g->item.v[0]->apart != h->item.v[0]->apart)
        return false;
    if (h->depth > g->depth || (h->depth < g->depth && h->fed))
        return false; /* something may wait for one and be waited for by the other */
    if (!same_domain(g, h) || picks_from(g, h) || picks_from(h, g))
        return false;
    uint32_t inner = g->inner | h->inner;
    for (int k = 0; k < g->item.n && inner != g->inner; k++)
        if (!rows_are_runs(g->item.v[k], inner))
            return false;
    for (int k = 0; k < h->item.n && inner != h->inner; k++)
        if (!rows_are_runs(h->item.v[k], inner))
            return false;
    if (g->item.n + h->item.n > MOST_ITEMS || g->reads.n + h->reads.n > MOST_READS)
        return false;
    if (g->item.v[0]->backward != h->item.v[0]->backward ||
        g->item.v[0]->again != h->item.v[0]->again)
        return false;
    if (g->chunk && h->chunk && g->chunk != h->chunk)
        return false;
    for (int k = 0; k < h->item.n; k++)
        if (!readers_allow(h->item.v[k], g, h))
            return false;
    return true;
}

static bool operands_allow(const Item *i, const Group *g)
{
    for (int k = 0; k < i->n_in; k++) {
        if (i->op == OP_ASSIGN && k == 0)
            continue;
        Item *x = i->in[k], *base = through_views(x);
        bool inside = base->group == g && base->op != OP_RESHAPE && base->op != OP_BATCH_SUM;
        if (picks(i) && inside)
            return false;
        if (inside) {
            if (x->type.batched != base->type.batched)
                return false;
            continue;
        }
        if (reads_storage_of(x, g))
            return false;
        /* a group nobody waits for can still be made later */
        bool merges =
            !picks(i) && base->group && base->op != OP_RESHAPE && can_absorb(g, base->group);
        if (depth_of(x, g->phase) >= g->depth && g->fed && !merges)
            return false;
    }
    return true;
}

static int count_reads(const Group *g, const Item *i)
{
    int n = g->reads.n;
    for (int k = 0; k < i->n_in; k++)
        n += through_views(i->in[k])->group != g;
    return n;
}

/* Backward work joins a forward kernel only where the pass turns (the loss): anywhere else its
 * result would have to be kept until the backward gets there. What is computed again never does,
 * and a unit's forward within the backward is a pass of its own. */
static bool may_turn(const Build *b, const Group *g, const Item *i)
{
    if (g->item.v[0]->again != i->again)
        return false;
    if (!i->backward || g->item.v[0]->backward)
        return true;
    return !i->recompute && g->id > b->last_heavy;
}

static bool can_join(const Build *b, const Group *g, const Item *i, int64_t *dim, uint32_t *inner)
{
    if (!g->set || g->phase != i->phase || g->item.v[0]->apart != i->apart ||
        g->item.n >= MOST_ITEMS || count_reads(g, i) > MOST_READS)
        return false;
    int64_t chunk = chunk_of(b, i);
    if (g->batched != over(i)->batched || (chunk && g->chunk && chunk != g->chunk))
        return false;
    if (!may_turn(b, g, i) || !domain_fits(g, i, dim, inner) || !operands_allow(i, g) ||
        !readers_allow(i, g, NULL))
        return false;
    if (*inner != g->inner || memcmp(dim, g->dim, sizeof g->dim) != 0)
        for (int k = 0; k < g->item.n; k++)
            if (!rows_are_runs(g->item.v[k], *inner))
                return false;
    return rows_are_runs(i, *inner);
}

static void add_reads(Build *b, Group *g, Item *i)
{
    for (int k = 0; k < i->n_in; k++) {
        Item *x = i->in[k];
        if (through_views(x)->group == g || (i->op == OP_ASSIGN && k == 0))
            continue;
        bool known = x->place.root->cls == IC_VIRTUAL;
        for (int j = 0; j < g->reads.n; j++)
            known = known || g->reads.v[j] == x;
        if (known)
            continue;
        vec_push(b->a, &g->reads, x);
        vec_push(b->a, &x->place.root->reader, g);
    }
}

static Group *group_new(Build *b, const Item *i)
{
    Group *g = arena_make(b->a, Group);
    g->id = b->group.n;
    g->phase = i->phase;
    vec_push(b->a, &b->group, g);
    return g;
}

static int operand_depth(const Item *i)
{
    int depth = 0;
    for (int k = 0; k < i->n_in; k++)
        if (depth_of(i->in[k], i->phase) > depth)
            depth = depth_of(i->in[k], i->phase);
    return depth;
}

static void feeds(Item *x, const Group *g)
{
    if (x->group) {
        x->group->fed = x->group->fed || x->group != g;
        return;
    }
    for (int k = 0; k < x->n_in; k++)
        feeds(x->in[k], g);
}

static void put_in(Build *b, Group *g, Item *i)
{
    for (int k = 0; k < i->n_in; k++) {
        feeds(i->in[k], g);
        int depth = depth_of(i->in[k], g->phase);
        if (through_views(i->in[k])->group != g && depth >= g->depth)
            g->depth = depth + 1;
    }
    add_reads(b, g, i);
    vec_push(b->a, &g->item, i);
    i->group = g;
    g->reduces = g->reduces || reduces(i);
    if (i->op == OP_BATCH_SUM) {
        g->colsum = true;
        g->chunk = chunk_of(b, i);
    }
    if (g->key < i->id)
        g->key = i->id;
}

/* Two makers of an item's operands at one depth cannot wait for each other: they become one kernel
 * with it. */
static void absorb(Build *b, Group *g, Group *h)
{
    ItemList all = {0};
    int x = 0, y = 0;
    while (x < g->item.n || y < h->item.n) {
        bool first = y == h->item.n || (x < g->item.n && g->item.v[x]->id < h->item.v[y]->id);
        vec_push(b->a, &all, first ? g->item.v[x++] : h->item.v[y++]);
    }
    g->item.n = g->reads.n = 0;
    h->item.n = h->reads.n = 0;
    g->inner |= h->inner;
    g->fed = g->fed || h->fed;
    h->set = false;
    for (int k = 0; k < all.n; k++)
        all.v[k]->group = g;
    for (int k = 0; k < all.n; k++)
        put_in(b, g, all.v[k]);
}

static void own_group(Build *b, Item *i)
{
    Group *g = group_new(b, i);
    g->depth = operand_depth(i) + 1;
    for (int k = 0; i->op == OP_ASSIGN && k < i->in[0]->reader.n; k++) {
        const Group *r = i->in[0]->reader.v[k]; /* deeper than every reader of what it writes */
        if (r->phase == g->phase && r->depth >= g->depth)
            g->depth = r->depth + 1;
    }
    if (i->cls == IC_FUSE) {
        const Type *t = over(i);
        g->set = true;
        g->batched = t->batched;
        for (int k = 0; k < BM_DIMS; k++)
            g->dim[k] = aligned_dim(t, k);
        if (reduces(i) || i->op == OP_BATCH_SUM)
            g->inner = axes_of_row(i);
    }
    put_in(b, g, i);
    g->fed = i->op ==
             OP_PICK; /* one number of a wide row: read before the row's memory is written over */
}

/* Groups worth asking: makers of the operands, then other readers of the same values, deepest
 * first. */
static int candidates(Build *b, const Item *i, Group *out[], int most)
{
    int n = 0, earliest = operand_depth(i) + 1;
    for (int k = 0; k < i->n_in && n < most; k++) {
        Group *g = through_views(i->in[k])->group;
        if (g && g->set)
            out[n++] = g;
    }
    for (int back = b->group.n - 1; back >= 0 && back >= b->group.n - 12 && n < most; back--) {
        Group *g = b->group.v[back];
        bool shares = false;
        /* never later than it could be: others may wait for it */
        for (int k = 0; k < i->n_in && g->set && g->depth <= earliest; k++)
            for (int j = 0; j < g->reads.n; j++)
                shares = shares || (g->reads.v[j] == i->in[k] && type_count(&i->in[k]->type) > 1);
        if (shares)
            out[n++] = g;
    }
    for (int x = 1; x < n; x++)
        for (int y = x; y > 0 && out[y]->depth > out[y - 1]->depth; y--) {
            Group *t = out[y];
            out[y] = out[y - 1];
            out[y - 1] = t;
        }
    return n;
}

static bool makes_operand(const Group *g, const Item *i)
{
    for (int k = 0; k < i->n_in; k++)
        if (through_views(i->in[k])->group == g)
            return true;
    return false;
}

/* Sums over the batch with many columns are kernels over columns: no partials, no fold. They read
 * memory. */
static bool by_columns(const Item *i)
{
    if (i->op != OP_BATCH_SUM || i->attr.reduce.axes || i->in[0]->place.root->cls == IC_VIRTUAL)
        return false;
    return type_count(&i->in[0]->type) > 4096;
}

static void place_item(Build *b, Item *i)
{
    if (i->cls == IC_FUSE && by_columns(i))
        i->cls = IC_HEAVY;
    if (i->cls == IC_HEAVY) {
        own_group(b, i);
        b->last_heavy = i->group->id;
        return;
    }
    if (i->cls != IC_FUSE) {
        i->depth = operand_depth(i);
        return;
    }
    Group *ask[16];
    int n = b->fuse ? candidates(b, i, ask, countof(ask)) : 0;
    for (int k = 0; k < n; k++) {
        int64_t dim[BM_DIMS];
        uint32_t inner;
        if (!can_join(b, ask[k], i, dim, &inner))
            continue;
        memcpy(ask[k]->dim, dim, sizeof dim);
        ask[k]->inner = inner;
        for (int j = 0; j < n; j++)
            if (!picks(i) && makes_operand(ask[j], i) && can_absorb(ask[k], ask[j]))
                absorb(b, ask[k], ask[j]);
        put_in(b, ask[k], i);
        return;
    }
    own_group(b, i);
}

void groups_make(Build *b)
{
    for (int k = 0; k < b->item.n; k++)
        place_item(b, b->item.v[k]);
    groups_order(b);
}
