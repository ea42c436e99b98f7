/* group_split.c - a kernel has only so many arguments: a group that reads and stores more becomes
 * two groups, one right after the other. Bits belong to ops, so that changes none. */
#include "planner/build.h"

#include <string.h>

enum { MOST_BUFFERS = countof(((Kernel *)0)->arg_dtype) };

static bool seen_before(Item *const *root, int n, const Item *x)
{
    for (int k = 0; k < n; k++)
        if (root[k] == x)
            return true;
    return false;
}

/* Storage the group's kernel would touch; at most `most` + 1 are counted. */
static int count_buffers(const Group *g, int most)
{
    Item *root[MOST_BUFFERS + 1];
    int n = 0;
    for (int k = 0; k < g->item.n; k++) {
        const Item *i = g->item.v[k];
        for (int j = 0; j <= i->n_in && n <= most; j++) {
            bool own = j == i->n_in;
            Item *x =
                own ? (i->stored || i->op == OP_BATCH_SUM || i->op == OP_ASSIGN ? i->place.root
                                                                                : NULL)
                    : i->in[j]->place.root;
            if (!own && x->group == g && through_views(i->in[j])->group == g && !x->stored)
                continue;
            if (x && x->cls != IC_VIRTUAL && !seen_before(root, n, x))
                root[n++] = x;
        }
    }
    return n;
}

/* The second half of its items goes to a group of its own, next in the order. */
static void split(Build *b, int at)
{
    Group *g = b->order.v[at], *h = arena_make(b->a, Group);
    int keep = g->item.n / 2;
    *h = *g;
    h->id = b->group.n;
    vec_push(b->a, &b->group, h);
    h->item = (ItemList){0};
    for (int k = keep; k < g->item.n; k++) {
        vec_push(b->a, &h->item, g->item.v[k]);
        g->item.v[k]->group = h;
    }
    g->item.n = keep;
    vec_push(b->a, &b->order, h);
    memmove(b->order.v + at + 2, b->order.v + at + 1,
            (size_t)(b->order.n - 2 - at) * sizeof *b->order.v);
    b->order.v[at + 1] = h;
}

bool groups_split(Build *b)
{
    bool any = false;
    for (int k = 0; k < b->order.n; k++)
        while (b->order.v[k]->set && b->order.v[k]->item.n > 1 &&
               count_buffers(b->order.v[k], MOST_BUFFERS) > MOST_BUFFERS) {
            split(b, k);
            any = true;
        }
    return any;
}
