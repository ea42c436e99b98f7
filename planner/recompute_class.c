/* recompute_class.c - units that are alike, as the frontier sees them. */
#include "planner/narrow.h"
#include "planner/recompute.h"

/* ---- one unit ---- */

typedef struct UnitOps {
    int unit;
    ItemList item; /* its ops */
    StrBuf like;   /* everything that makes it what it is, as bytes: alike when equal */
} UnitOps;

static void feed(StrBuf *s, const void *p, size_t n)
{
    strbuf_addn(s, p, n);
}

static void feed_type(StrBuf *s, const Type *t)
{
    int64_t words[] = {(int64_t)t->dtype, t->batched, t->ndim};
    feed(s, words, sizeof words);
    feed(s, t->dim, (size_t)t->ndim * sizeof *t->dim);
}

/* Random draws differ in their keys only. */
static void feed_attr(StrBuf *s, const Item *i)
{
    Attr a = i->attr;
    if (i->op == OP_RANDOM)
        a.random.site = 0;
    if (i->op == OP_ATTENTION)
        a.attention.site = 0;
    feed(s, &a, sizeof a);
}

/* An operand: the unit's own op, or what enters it, whoever makes that; by the way it is seen. */
static void feed_operand(StrBuf *s, const Units *u, int unit, const Item *x)
{
    for (; x->cls == IC_VIEW || x->cls == IC_PART; x = x->in[0]) {
        int64_t op = (int64_t)x->op;
        feed(s, &op, sizeof op);
        feed_type(s, &x->type);
        feed_attr(s, x);
    }
    bool own = u->unit[x->id] == unit, given = x->cls == IC_LEAF || x->cls == IC_VIRTUAL;
    int64_t words[] = {own ? u->op[x->id] : -1, given ? (int64_t)x->op : -1};
    feed(s, words, sizeof words);
    feed_type(s, &x->type);
    if (x->cls == IC_VIRTUAL)
        feed_attr(s, x);
}

static void feed_op(StrBuf *s, const Units *u, int unit, const Item *i)
{
    int64_t words[] = {
        (int64_t)i->op,  (int64_t)i->cls, i->n_in,          i->part.n,
        u->fixed[i->id], u->read[i->id],  u->wanted[i->id], i->join ? u->op[i->join->id] : -1,
        i->join_at};
    feed(s, words, sizeof words);
    feed_type(s, &i->type);
    feed_attr(s, i);
    for (int k = 0; k < i->n_in; k++)
        feed_operand(s, u, unit, i->in[k]);
}

static bool alike(const Build *b, const UnitOps *x, const UnitOps *y)
{
    const Instance *in = b->prog->graph->instance.v;
    return x->like.n == y->like.n && strcmp(in[x->unit].block, in[y->unit].block) == 0 &&
           memcmp(x->like.text, y->like.text, x->like.n) == 0;
}

/* Units in the order in which the program comes to them. */
static UnitOps *unit_ops(Build *b, const Units *u, int *n)
{
    int units = b->prog->graph->instance.n, *at = arena_array(b->a, int, units);
    UnitOps *all = arena_array(b->a, UnitOps, units);
    *n = 0;
    for (int k = 0; k < u->n; k++) {
        int unit = u->unit[k];
        if (!unit)
            continue;
        if (!at[unit]) {
            all[*n].unit = unit;
            all[*n].like = strbuf_new(b->a);
            at[unit] = ++*n;
        }
        UnitOps *o = &all[at[unit] - 1];
        vec_push(b->a, &o->item, b->item.v[k]);
        feed_op(&o->like, u, unit, b->item.v[k]);
    }
    return all;
}

/* ---- the frontier's input ---- */

static int64_t result_bytes(const Model *m, const Item *i)
{
    int64_t bytes = item_bytes(m, i);
    for (int k = 0; k < i->part.n; k++)
        bytes += item_bytes(m, i->part.v[k]);
    return bytes;
}

/* The op that stands for a value read by op `reader` (or by the backward: -1): a piece's is the
 * concatenation it lies in, where that is made before. */
static int op_of_value(const Units *u, int unit, Item *x, int reader)
{
    x = units_value(x);
    if (u->unit[x->id] != unit)
        return -1;
    int op = u->op[x->id];
    for (; x->join && u->unit[x->join->id] == unit; x = x->join) {
        int whole = u->op[x->join->id];
        if (reader >= 0 && whole >= reader)
            break;
        op = whole;
    }
    return op;
}

static void fill_op(Build *b, const Units *u, const UnitOps *o, int k, FrontierOp *op,
                    const ItemTime *time)
{
    Item *i = o->item.v[k];
    VEC(int) in = {0};
    for (int j = 0; j < i->n_in; j++) {
        int x = op_of_value(u, o->unit, i->in[j], k);
        if (x >= 0)
            vec_push(b->a, &in, x);
    }
    FrontierOp *f = &op[k];
    f->in = in.v;
    f->n_in = in.n;
    f->bytes = result_bytes(b->m, i);
    f->fixed = u->fixed[i->id];
    bool wanted = u->wanted[i->id];
    int whole = op_of_value(u, o->unit, i, -1);
    if (whole != k) {
        op[whole].wanted = op[whole].wanted || wanted;
        wanted = false;
    }
    f->wanted = f->wanted || wanted;
    f->passing = !f->fixed && (whole != k || (i->cls == IC_FUSE && !wanted && !u->read[i->id]));
    f->ps = time->of(time->model, i, f->passing && i->cls == IC_FUSE);
}

static const FrontierOp *frontier_ops(Build *b, const Units *u, const UnitOps *o,
                                      const ItemTime *time)
{
    FrontierOp *op = arena_array(b->a, FrontierOp, o->item.n);
    for (int k = 0; k < o->item.n; k++)
        fill_op(b, u, o, k, op, time);
    return op;
}

enum { MOST_VARIANTS = 3 }; /* of a class: each is a function of the emitted program */

RecomputeClasses recompute_classes(Build *b, const RecomputeRule *rule, const ItemTime *time)
{
    Units u = units_find(b);
    int n;
    UnitOps *all = unit_ops(b, &u, &n);
    RecomputeClasses classes = {0};
    bool *done = arena_array(b->a, bool, n + 1);
    for (int k = 0; k < n; k++) {
        if (done[k])
            continue;
        RecomputeClass c = {.n = all[k].item.n, .item = all[k].item.v, .most = MOST_VARIANTS};
        bool asked[2] = {false, false};
        for (int j = k; j < n; j++) {
            if (done[j] || !alike(b, &all[k], &all[j]))
                continue;
            done[j] = true;
            RecomputeRule r = rule ? rule[all[j].unit] : RECOMPUTE_AUTO;
            if (r == RECOMPUTE_AUTO)
                vec_push(b->a, &c.unit, all[j].unit);
            else
                asked[r == RECOMPUTE_ALL] = true;
        }
        c.most -= asked[0] + asked[1];
        if (!c.unit.n)
            continue;
        c.op = frontier_ops(b, &u, &all[k], time);
        vec_push(b->a, &classes, c);
    }
    return classes;
}

void recompute_take(const RecomputeClass *c, const Frontier *f, const MixChoice *m,
                    const uint64_t **kept)
{
    for (int k = 0; k < c->unit.n; k++)
        kept[c->unit.v[k]] = f->point.v[k < m->n_light ? m->light : m->heavy].kept;
}
