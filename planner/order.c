/* order.c - in which order the kernels run: groups after those they read from, as near as may be to
 * the order of the graph. */
#include "planner/build.h"

static void after(Build *b, Group *first, Group *then)
{
    if (first == then || first->phase != then->phase)
        return;
    vec_push(b->a, &first->next, then);
    then->waits++;
}

static void wait_for(Build *b, Group *g, Item *x)
{
    if (x->group) {
        after(b, x->group, g);
        return;
    }
    for (int k = 0; k < x->n_in; k++)
        wait_for(b, g, x->in[k]);
}

static void link_groups(Build *b)
{
    for (int k = 0; k < b->group.n; k++) {
        Group *g = b->group.v[k];
        for (int j = 0; j < g->item.n; j++)
            for (int x = 0; x < g->item.v[j]->n_in; x++)
                wait_for(b, g, g->item.v[j]->in[x]);
    }
    /* a parameter is written after everybody of the phase has read it */
    for (int k = 0; k < b->item.n; k++) {
        Item *w = b->item.v[k];
        if (w->op != OP_ASSIGN)
            continue;
        for (int j = 0; j < w->in[0]->reader.n; j++)
            if (w->in[0]->reader.v[j]->item.n)
                after(b, w->in[0]->reader.v[j], w->group);
    }
}

static void heap_push(Group **heap, int *n, Group *g)
{
    int i = (*n)++;
    heap[i] = g;
    for (; i > 0 && heap[i]->key < heap[(i - 1) / 2]->key; i = (i - 1) / 2) {
        Group *t = heap[i];
        heap[i] = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = t;
    }
}

static Group *heap_pop(Group **heap, int *n)
{
    Group *top = heap[0];
    heap[0] = heap[--*n];
    for (int i = 0;;) {
        int c = 2 * i + 1;
        if (c >= *n)
            break;
        if (c + 1 < *n && heap[c + 1]->key < heap[c]->key)
            c++;
        if (heap[i]->key <= heap[c]->key)
            break;
        Group *t = heap[i];
        heap[i] = heap[c];
        heap[c] = t;
        i = c;
    }
    return top;
}

/* Each phase in order; within it the group whose last item comes first in the graph, among those
 * that can run. */
void groups_order(Build *b)
{
    link_groups(b);
    Group **heap = arena_array(b->a, Group *, b->group.n + 1);
    for (int p = 0; p < N_PHASES; p++) {
        int n = 0, in_phase = 0, done = 0;
        for (int k = 0; k < b->group.n; k++) {
            Group *g = b->group.v[k];
            if ((int)g->phase != p || !g->item.n)
                continue;
            in_phase++;
            if (!g->waits)
                heap_push(heap, &n, g);
        }
        while (n) {
            Group *g = heap_pop(heap, &n);
            vec_push(b->a, &b->order, g);
            done++;
            for (int k = 0; k < g->next.n; k++)
                if (--g->next.v[k]->waits == 0)
                    heap_push(heap, &n, g->next.v[k]);
        }
        if (done != in_phase)
            BUG("the groups of phase %d wait for each other (%d of %d ordered)", p, done, in_phase);
    }
}
