/* fused_store.c - what a fused kernel writes, and whose memory it may write over. */
#include "planner/fused.h"
#include "planner/narrow.h"

#include <string.h>

static void store_value(Fuser *u, int v, Item *root, const Type *t, const Layout *p,
                        const char *name)
{
    Ins n = fused_blank(I_STORE, OP_ASSIGN, root->type.dtype);
    n.in[0] = fused_cast(u, v, root->type.dtype);
    n.acc = fused_access(u, root, t, p, true);
    n.name = name;
    fused_add(u, n);
}

static int last_stage(Fused *f)
{
    int last = 0;
    for (int k = 0; k < f->ins.n; k++) {
        Ins *n = &f->ins.v[k];
        n->stage = 0;
        for (int j = 0; j < 3; j++)
            if (n->in[j] >= 0 && f->ins.v[n->in[j]].stage > n->stage)
                n->stage = f->ins.v[n->in[j]].stage;
        n->stage += n->kind == I_REDUCE;
        last = n->stage > last ? n->stage : last;
    }
    return last;
}

/* Does every access to `root` walk exactly the elements that storing `i` walks? */
static bool walks_alike(const Fuser *u, const Item *root, const Item *i)
{
    int64_t own[MAX_AXES] = {0};
    fused_strides(u, &i->type, i->place.batch, i->place.stride, own);
    for (int k = 0; k < u->f->access.n; k++) {
        const Access *a = &u->f->access.v[k];
        if (u->arg_root[a->arg] != root)
            continue;
        if (a->offset != 0 || memcmp(a->stride, own, (size_t)u->n_axis * sizeof *own) != 0)
            return false;
    }
    for (int k = 0; k < u->f->ins.n; k++)
        if (u->f->ins.v[k].kind == I_GATHER &&
            u->arg_root[u->f->access.v[u->f->ins.v[k].acc].arg] == root)
            return false;
    return true;
}

/* An operand that nobody reads after this kernel gives its memory to a result of the same size,
 * element for element. */
static void take_place(Fuser *u, Item *i, int last)
{
    if (i->place.root != i || i->buffer >= 0 || !i->type.batched || i->join ||
        u->f->ins.v[i->value].stage != last)
        return;
    for (int a = 0; a < u->k->n_arg; a++) {
        Item *r = u->arg_root[a];
        if (!r || r->cls == IC_LEAF || u->k->arg_written[a] || !r->type.batched ||
            r->last_use != u->g->turn)
            continue;
        if (r->phase != i->phase || dtype_size(r->type.dtype) != dtype_size(i->type.dtype) ||
            r->type.dtype != i->type.dtype || type_count(&r->type) != type_count(&i->type) ||
            r->taken || item_narrows(u->b->m, r) != item_narrows(u->b->m, i))
            continue;
        if (!walks_alike(u, r, i))
            continue;
        i->buffer = buffer_of(u->b, r);
        i->taken = false;
        r->taken = true;
        return;
    }
}

void fused_stores(Fuser *u)
{
    int last = last_stage(u->f);
    for (int k = 0; k < u->to_store.n; k++) {
        Item *i = u->to_store.v[k];
        if (i->op == OP_ASSIGN) {
            store_value(u, i->value, i->in[0], &i->in[0]->type, &i->in[0]->place, fused_name(i));
        } else if (i->op == OP_RESHAPE) { /* in the operand's order, which is the result's */
            Layout p = place_contiguous(i, &i->in[0]->type);
            store_value(u, i->value, i, &i->in[0]->type, &p, fused_name(i));
        } else {
            take_place(u, i, last);
            store_value(u, i->value, i->place.root, &i->type, &i->place, fused_name(i));
        }
    }
}
