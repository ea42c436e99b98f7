/* recompute_units.c - copies of a unit's forward items in its backward.
 *
 * A value is made by one item and lies in one root: its own, or the concatenation it is a piece of.
 * Whether it is kept is decided for the root; copies are made on demand, operands first, right
 * before the item of the backward that asks first. */
#include "planner/recompute.h"

Item *units_value(Item *x)
{
    while (x->cls == IC_VIEW || x->cls == IC_PART)
        x = x->in[0];
    return x;
}

/* ---- what belongs to which unit ---- */

static int unit_by_place(const Build *b, const Item *i)
{
    return b->prog->graph->instance.v[i->node->instance].unit;
}

static bool is_op(const Item *i)
{
    return i->cls == IC_FUSE || i->cls == IC_HEAVY || i->cls == IC_JOIN;
}

static bool has_kernel(const Item *i)
{
    return i->cls == IC_HEAVY || i->op == OP_GATHER || i->op == OP_PICK;
}

/* Who reads what: from another unit, in the backward, from memory. */
static void find_readers(Build *b, Units *u)
{
    for (int k = 0; k < u->n; k++) {
        Item *i = b->item.v[k];
        if (i->cls == IC_VIEW || i->cls == IC_PART)
            continue; /* their readers count */
        int at = unit_by_place(b, i);
        for (int j = 0; j < i->n_in; j++) {
            int x = units_value(i->in[j])->id;
            if (i->backward && i->phase == PHASE_ROUND)
                u->wanted[x] = true;
            else if (u->unit[x] != at || i->backward)
                u->fixed[x] = true;
            else if (has_kernel(i))
                u->read[x] = true;
        }
    }
}

/* Pieces lie in the concatenation's memory: they are kept together or not at all. */
static void join_pieces(Build *b, Units *u)
{
    for (int k = u->n - 1; k >= 0; k--) {
        Item *i = b->item.v[k];
        for (int j = 0; i->cls == IC_JOIN && j < i->n_in; j++) {
            int x = i->in[j]->id;
            u->fixed[k] = u->fixed[k] || u->fixed[x] || u->unit[x] != u->unit[k];
        }
        for (int j = 0; i->cls == IC_JOIN && j < i->n_in; j++)
            if (i->in[j]->join == i)
                u->fixed[i->in[j]->id] = u->fixed[k] || i->backward;
    }
}

Units units_find(Build *b)
{
    Units u = {.n = b->item.n};
    u.unit = arena_array(b->a, int, u.n);
    u.op = arena_array(b->a, int, u.n);
    u.fixed = arena_array(b->a, bool, u.n);
    u.read = arena_array(b->a, bool, u.n);
    u.wanted = arena_array(b->a, bool, u.n);
    int *count = arena_array(b->a, int, b->prog->graph->instance.n);
    for (int k = 0; k < u.n; k++) {
        const Item *i = b->item.v[k];
        u.op[k] = -1;
        if (i->backward || i->phase != PHASE_ROUND || !i->type.batched || !is_op(i))
            continue;
        u.unit[k] = unit_by_place(b, i);
        if (u.unit[k])
            u.op[k] = count[u.unit[k]]++;
    }
    find_readers(b, &u);
    join_pieces(b, &u);
    return u;
}

/* ---- copies ---- */

typedef struct Again {
    Build *b;
    Units u;
    bool *again; /* by item: not kept */
    Item **copy; /* by item */
    ItemList out;
} Again;

static void decide(Again *g, const RecomputeChoice *c)
{
    for (int k = g->u.n - 1; k >= 0; k--) {
        const Item *i = g->b->item.v[k];
        int unit = g->u.unit[k];
        if (!unit || g->u.fixed[k] || !recompute_wanted(c, unit))
            continue;
        if (i->join) /* decided before: it comes later */
            g->again[k] = g->again[i->join->id];
        else
            g->again[k] = !recompute_keeps(c, unit, g->u.op[k]);
    }
}

static Item *clone(Again *g, const Item *x, int unit)
{
    Item *c = arena_make(g->b->a, Item);
    *c = *x;
    c->in = arena_array(g->b->a, Item *, x->n_in > 0 ? x->n_in : 1);
    c->backward = c->recompute = true;
    c->again = unit;
    c->join = NULL;
    memset(&c->part, 0, sizeof c->part);
    return c;
}

/* The concatenation of copies is written piece by piece, as the first one was. */
static void take_pieces(Item *join, const Item *was)
{
    for (int k = 0; k < join->n_in; k++) {
        Item *piece = join->in[k];
        if (piece == was->in[k])
            BUG("a piece of '%s' is kept, the whole is not", was->node->path);
        piece->join = join;
        piece->join_axis = was->in[k]->join_axis;
        piece->join_at = was->in[k]->join_at;
    }
}

/* What the backward reads instead of the forward's `x`: itself when it is kept. */
static Item *again_of(Again *g, Item *x)
{
    if (x->backward)
        return x;
    if (g->copy[x->id])
        return g->copy[x->id];
    const Item *value = units_value(x);
    if (value->backward || !g->again[value->id])
        return x;
    Item *c = clone(g, x, g->u.unit[value->id]);
    for (int j = 0; j < x->n_in; j++)
        c->in[j] = again_of(g, x->in[j]);
    if (x->cls == IC_JOIN)
        take_pieces(c, x);
    if (x->cls == IC_PART)
        vec_push(g->b->a, &c->in[0]->part, c);
    g->copy[x->id] = c;
    vec_push(g->b->a, &g->out, c);
    return c;
}

/* A further result of a forward item that only the backward asked for: of the copy now. */
static void move_part(Again *g, Item *part, Item *from)
{
    int n = 0;
    for (int k = 0; k < from->part.n; k++)
        if (from->part.v[k] != part)
            from->part.v[n++] = from->part.v[k];
    from->part.n = n;
    vec_push(g->b->a, &part->in[0]->part, part);
}

/* An item of the backward reads copies. */
static void redirect(Again *g, Item *i)
{
    for (int j = 0; j < i->n_in; j++) {
        Item *was = i->in[j];
        i->in[j] = again_of(g, was);
        if (i->in[j] == was)
            continue;
        if (i->cls == IC_PART)
            move_part(g, i, was);
    }
}

void recompute_units(Build *b, const RecomputeChoice *c)
{
    bool any = false;
    if (b->kind != PROGRAM_TRAIN || !c)
        return;
    if (c->probe)
        c->probe->found = recompute_classes(b, c->probe->rule, &c->probe->time);
    Units u = units_find(b);
    recompute_record(b, c, &u);
    for (int k = 1; k < b->prog->graph->instance.n; k++)
        any = any || recompute_wanted(c, k);
    if (!any)
        return;
    Again g = {.b = b, .u = u};
    g.again = arena_array(b->a, bool, g.u.n);
    g.copy = arena_array(b->a, Item *, g.u.n);
    decide(&g, c);
    for (int k = 0; k < g.u.n; k++) {
        Item *i = b->item.v[k];
        if (i->backward && i->phase == PHASE_ROUND)
            redirect(&g, i);
        vec_push(b->a, &g.out, i);
    }
    b->item = g.out;
    for (int k = 0; k < b->item.n; k++)
        b->item.v[k]->id = k;
}
