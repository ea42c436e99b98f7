/* recompute.c - what the backward pass computes again instead of keeping it.
 *
 * Only elementwise work that is fused into a kernel of the backward anyway, from values that are
 * kept for other reasons or are in memory already: it costs no pass over memory and saves one. A
 * layer norm keeps its input and two numbers a row; the bias is added to a product again rather
 * than stored. What costs a kernel is left to the recompute decision proper. The copies do the same
 * arithmetic on the same values, so bits do not change (promise 2). */
#include "planner/recompute.h"

typedef struct Again {
    Build *b;
    int n;            /* items before this pass */
    bool *kept;       /* by item id: the backward reads it from memory */
    bool *again;      /* by item id: computed again */
    bool *in_memory;  /* by item id: written by the forward pass whatever we decide */
    int *heavy_depth; /* heavy items on the longest path to it */
    Item **copy;      /* by item id */
} Again;

static bool forward_item(const Item *i)
{
    return !i->backward && i->phase == PHASE_ROUND;
}

static bool is_cheap(const Item *i)
{
    return i->cls == IC_FUSE && i->type.batched && op_info[i->op].cost == COST_cheap &&
           i->op != OP_RANDOM;
}

/* Operands a kernel of the backward could compute again in passing. */
static bool fusable_use(const Item *user)
{
    return user->cls == IC_FUSE && user->op != OP_GATHER && user->op != OP_PICK;
}

static void facts(Again *g)
{
    for (int k = 0; k < g->n; k++) {
        Item *i = g->b->item.v[k];
        int depth = 0;
        for (int j = 0; j < i->n_in; j++) {
            const Item *x = i->in[j];
            int d = g->heavy_depth[x->id] + (x->cls == IC_HEAVY);
            depth = d > depth ? d : depth;
        }
        g->heavy_depth[k] = depth;
        for (int j = 0; j < i->n_in; j++) {
            Item *x = i->in[j], *base = through_views(x);
            if (!i->backward && (i->cls == IC_HEAVY || depth > g->heavy_depth[base->id]))
                g->in_memory[base->id] = true;
            if (!i->backward || !forward_item(base))
                continue;
            if (!fusable_use(i) || base->cls == IC_VIEW || base->cls == IC_JOIN)
                for (Item *y = base;; y = y->in[0]) {
                    g->kept[y->id] = true;
                    if (y->cls != IC_VIEW)
                        break;
                }
        }
        if (i->cls == IC_HEAVY || i->cls == IC_LEAF || i->cls == IC_PART || i->cls == IC_VIRTUAL)
            g->in_memory[k] = true;
    }
}

/* Bytes a sample that would have to be kept so that `i` can be computed again; -1: it cannot. */
static int64_t price(const Again *g, const Item *i)
{
    int64_t bytes = 0;
    for (int j = 0; j < i->n_in; j++) {
        const Item *x = through_views(i->in[j]);
        if (x->cls == IC_LEAF || x->cls == IC_VIRTUAL || g->kept[x->id] || g->again[x->id])
            continue;
        if (x->cls == IC_VIEW || x->cls == IC_JOIN)
            return -1; /* strides in between: not the same kernel */
        bool small = type_bytes(&x->type) * 8 <= type_bytes(&i->type);
        if (!small && !g->in_memory[x->id])
            return -1;
        bytes += type_bytes(&x->type);
    }
    return bytes;
}

/* What the forward writes anyway is kept: making it again would keep as much and save no writing.
 */
static bool worth_asking(const Again *g, const Item *i)
{
    return forward_item(i) && is_cheap(i) && !g->kept[i->id] && !g->in_memory[i->id];
}

/* What leaves a unit is kept when the unit's values are computed again: made from them elsewhere,
 * it would bring them back before their turn. */
static void keep_what_leaves(Again *g)
{
    Units u = units_find(g->b);
    for (int k = 0; k < g->n; k++)
        if (u.fixed[k] && recompute_wanted(g->b->choice, u.unit[k]))
            g->kept[k] = true;
}

static void decide(Again *g)
{
    bool *wanted = arena_array(g->b->a, bool, g->n);
    for (int k = 0; k < g->n; k++) {
        const Item *i = g->b->item.v[k];
        for (int j = 0; i->backward && j < i->n_in; j++)
            wanted[through_views(i->in[j])->id] = true;
    }
    /* what a wanted value could be made from again is worth deciding too */
    for (int k = g->n - 1; k >= 0; k--) {
        const Item *i = g->b->item.v[k];
        if (!wanted[k] || !worth_asking(g, i))
            continue;
        for (int j = 0; j < i->n_in; j++)
            wanted[through_views(i->in[j])->id] = true;
    }
    for (int k = 0; k < g->n; k++) {
        Item *i = g->b->item.v[k];
        if (!wanted[k] || !worth_asking(g, i))
            continue;
        int64_t bytes = price(g, i);
        if (bytes < 0 || bytes > type_bytes(&i->type) + type_bytes(&i->type) / 8)
            continue;
        g->again[k] = true;
        for (int j = 0; j < i->n_in; j++) {
            Item *x = through_views(i->in[j]);
            if (!g->again[x->id])
                g->kept[x->id] = true;
        }
    }
}

/* The copy of `x` for the backward, made on first use; views on the way are copied with it. */
static Item *copy_of(Again *g, Item *x, ItemList *out)
{
    Item *base = through_views(x);
    if (base->id >= g->n || !g->again[base->id] || !forward_item(base))
        return x;
    if (g->copy[x->id])
        return g->copy[x->id];
    Item *c = arena_make(g->b->a, Item);
    *c = *x;
    c->in = arena_array(g->b->a, Item *, x->n_in);
    for (int j = 0; j < x->n_in; j++)
        c->in[j] = copy_of(g, x->in[j], out);
    c->backward = c->recompute = true;
    c->join = NULL;
    g->copy[x->id] = c;
    vec_push(g->b->a, out, c);
    return c;
}

/* What only the backward reads is not computed again but there for the first time: the forward pass
 * has no use for it. */
static void tell_first_times(Again *g, const ItemList *all)
{
    bool *live = arena_array(g->b->a, bool, g->n);
    for (int k = all->n - 1; k >= 0; k--) {
        const Item *i = all->v[k];
        bool original = !i->recompute && i->id < g->n;
        bool runs = i->backward || i->cls == IC_HEAVY || i->cls == IC_PART ||
                    i->op == OP_BATCH_SUM || i->phase != PHASE_ROUND || (original && live[i->id]);
        for (int j = 0; runs && j < i->n_in; j++) {
            const Item *x = through_views(i->in[j]);
            if (!x->recompute)
                live[x->id] = true;
        }
    }
    for (int k = 0; k < g->n; k++)
        if (g->copy[k] && !live[k])
            g->copy[k]->recompute = false;
}

void recompute_cheap(Build *b)
{
    Again g = {.b = b, .n = b->item.n};
    g.kept = arena_array(b->a, bool, g.n);
    g.again = arena_array(b->a, bool, g.n);
    g.in_memory = arena_array(b->a, bool, g.n);
    g.heavy_depth = arena_array(b->a, int, g.n);
    g.copy = arena_array(b->a, Item *, g.n);
    facts(&g);
    keep_what_leaves(&g);
    decide(&g);
    ItemList out = {0};
    for (int k = 0; k < g.n; k++) {
        Item *i = b->item.v[k];
        for (int j = 0; i->backward && j < i->n_in; j++)
            i->in[j] = copy_of(&g, i->in[j], &out);
        vec_push(b->a, &out, i);
    }
    tell_first_times(&g, &out);
    b->item.v = out.v;
    b->item.n = out.n;
    b->item.cap = out.cap;
    for (int k = 0; k < out.n; k++)
        out.v[k]->id = k;
}
