/* named.c - values of the forward pass that have a name in the model and a place in memory: what a
 * trainer can show. Which they are does not depend on what the backward pass keeps: a value that is
 * stored for it alone is left out. */
#include "planner/build.h"

static bool is_forward(const Item *i)
{
    return i->phase == PHASE_ROUND && !i->backward && !i->again && !i->recompute;
}

/* By item: does another kernel of the forward pass read it from memory? */
static bool *read_by_forward(const Build *b)
{
    bool *read = arena_array(b->a, bool, b->item.n + 1);
    for (int k = 0; k < b->item.n; k++) {
        const Item *i = b->item.v[k];
        for (int j = 0; j < i->n_in && i->group && is_forward(i); j++) {
            const Item *x = through_views(i->in[j]);
            for (; x->cls == IC_VIEW && x->group != i->group; x = x->in[0])
                continue;
            if (x->group != i->group)
                read[x->id] = true;
        }
    }
    return read;
}

static bool has_name(const Build *b, const Item *i, const bool *read)
{
    const Node *n = i->node;
    if (!n->name || b->of_node[n->id] != i || !is_forward(i) || !i->stored || i->place.root != i)
        return false;
    if (i->op == OP_BATCH_SUM || i->op == OP_MATMUL_ACC || i->op == OP_SCATTER)
        return false; /* complete after the rounds only */
    bool makes = i->cls == IC_HEAVY || i->cls == IC_PART || (i->cls == IC_FUSE && read[i->id]);
    return makes && i->buffer >= 0 && i->base == 0 && i->by_rank == 0 && is_contiguous(i);
}

/* Its memory may go on to another value: of all that write there, the step of its own group. */
static void name_in(Build *b, const Item *i, const int *first)
{
    Plan *p = b->plan;
    for (int k = first[1] - 1; k >= first[0]; k--) {
        Step *s = &p->step.v[k];
        for (int j = 0; j < s->kernel->n_arg; j++) {
            if (s->arg[j].buffer != i->buffer || !s->kernel->arg_written[j])
                continue;
            NamedValue x = {i->node->path, i->node->instance,    i->buffer,
                            i->type.dtype, type_count(&i->type), i->type.batched};
            vec_push(b->a, &s->named, x);
            return;
        }
    }
}

void names_find(Build *b, const int *first)
{
    if (b->kind != PROGRAM_TRAIN)
        return;
    const bool *read = read_by_forward(b);
    for (int k = 0; k < b->order.n; k++) {
        const Group *g = b->order.v[k];
        for (int j = 0; j < g->item.n; j++) {
            const Item *i = g->item.v[j];
            if (has_name(b, i, read))
                name_in(b, i, &first[k]);
            for (int q = 0; q < i->part.n; q++)
                if (has_name(b, i->part.v[q], read))
                    name_in(b, i->part.v[q], &first[k]);
        }
    }
}
