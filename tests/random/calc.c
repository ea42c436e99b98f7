#include "tests/random/calc.h"

#include <math.h>
#include <string.h>

void calc_flaw(Calc *c, const char *what)
{
    if (!c->flaw)
        c->flaw = what;
}

bool num_is_exact(const Num *x)
{
    bool exact = x->e == 0;
    for (int k = 0; k < WAYS; k++)
        exact = exact && x->t[k] == 0;
    return exact;
}

static bool moves(const Num *x)
{
    bool any = false;
    for (int k = 0; k < WAYS; k++)
        any = any || x->t[k] != 0;
    return any;
}

void calc_near(Calc *c, const Num *a, const Num *b, const char *what)
{
    if (!c->strict || (num_is_exact(a) && num_is_exact(b)))
        return;
    double least = 16 * (a->e + b->e);
    if (moves(a) || moves(b))
        least = fmax(least, 1e-3);
    if (!(fabs(a->v - b->v) > least))
        calc_flaw(c, what);
}

void num_mul_add(Num *y, const Num *a, const Num *b)
{
    y->v += a->v * b->v;
    y->e += fabs(a->v) * b->e + fabs(b->v) * a->e;
    for (int k = 0; k < WAYS; k++)
        y->t[k] += a->v * b->t[k] + b->v * a->t[k];
}

void calc_unravel(const Type *t, int64_t flat, int64_t *index)
{
    for (int i = t->ndim - 1; i >= 0; i--) {
        index[i] = flat % t->dim[i];
        flat /= t->dim[i];
    }
}

int64_t calc_ravel(const Type *t, const int64_t *index)
{
    int64_t flat = 0;
    for (int i = 0; i < t->ndim; i++)
        flat = flat * t->dim[i] + index[i];
    return flat;
}

int64_t calc_source(const Type *to, const Type *from, int64_t flat)
{
    int64_t index[BM_DIMS + 1], own[BM_DIMS + 1];
    calc_unravel(to, flat, index);
    for (int i = 0; i < from->ndim; i++)
        own[i] = from->dim[i] == 1 ? 0 : index[to->ndim - from->ndim + i];
    return calc_ravel(from, own);
}

Num *calc_part(const Calc *c, const Node *n, int index)
{
    Type part[3];
    op_parts(n, part);
    Num *v = c->value[n->id] + calc_count(c, n);
    for (int k = 1; k < index; k++)
        v += type_count(&part[k - 1]) * (part[k - 1].batched ? c->batch : 1);
    return v;
}

static int64_t room_of(const Calc *c, const Node *n)
{
    Type part[3];
    int64_t total = calc_count(c, n);
    int parts = op_parts(n, part);
    for (int k = 0; k < parts; k++)
        total += type_count(&part[k]) * (part[k].batched ? c->batch : 1);
    return total;
}

static void make_room(Calc *c, int id)
{
    if (id < c->room)
        return;
    int room = c->room ? c->room : 64;
    while (room <= id)
        room *= 2;
    Num **v = arena_array(c->arena, Num *, room);
    if (c->room)
        memcpy(v, c->value, (size_t)c->room * sizeof *v);
    c->value = v;
    c->room = room;
}

/* Values a float program handles well. */
static void look_at(Calc *c, const Node *n)
{
    for (int64_t i = 0; c->strict && i < calc_count(c, n); i++) {
        const Num *x = &c->value[n->id][i];
        bool fine = fabs(x->v) < 1e4 && x->e < 1e-3 * (1 + fabs(x->v));
        for (int k = 0; k < WAYS; k++)
            fine = fine && fabs(x->t[k]) < 1e6;
        if (!fine)
            calc_flaw(c, "badly scaled");
    }
}

void calc_node(Calc *c, const Node *n)
{
    make_room(c, n->id);
    c->value[n->id] = arena_array(c->arena, Num, room_of(c, n));
    if (!calc_elementwise(c, n) && !calc_moves(c, n) && !calc_rows(c, n) && !calc_heavy(c, n))
        BUG("calc: %s has no meaning", op_info[n->op].name);
    look_at(c, n);
}

void calc_run(Calc *c, const Graph *g, Node *const root[], int n_root)
{
    NodeList list = graph_reach(c->arena, g, root, n_root);
    for (int i = 0; i < list.n; i++)
        calc_node(c, list.v[i]);
}
