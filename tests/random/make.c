/* make.c - leaves, the pool, and the loss. */
#include "tests/random/make.h"

#include <math.h>
#include <string.h>

/* ---- chance ---- */

uint64_t make_bits(Make *k)
{
    uint64_t z = k->rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t make_below(Make *k, int64_t n)
{
    return (int64_t)(make_bits(k) % (uint64_t)n);
}

double make_uniform(Make *k, double lo, double hi)
{
    return lo + (hi - lo) * (double)(make_bits(k) >> 11) / 9007199254740992.0;
}

bool make_chance(Make *k, double p)
{
    return make_uniform(k, 0, 1) < p;
}

Type make_shape(Make *k, int least, int most)
{
    static const int64_t size[] = {1, 1, 2, 2, 3, 3, 4, 5, 5, 7, 8, 11, 13, 16, 17, 33, 70};
    Type t = {.dtype = DT_F32};
    t.ndim = least + (int)make_below(k, most - least + 1);
    int64_t count = 1;
    for (int i = 0; i < t.ndim; i++) {
        do
            t.dim[i] = size[make_below(k, countof(size))];
        while (count * t.dim[i] > k->most && t.dim[i] > 1);
        count *= t.dim[i];
    }
    return t;
}

/* ---- leaves ---- */

static double leaf_value(Make *k, DType t, int64_t rows)
{
    if (t == DT_INT)
        return (double)make_below(k, rows);
    if (t == DT_BOOL)
        return make_chance(k, 0.6);
    double v = make_uniform(k, 0.05, 1.4);
    return (double)(float)(make_chance(k, 0.5) ? v : -v);
}

static Leaf new_leaf(Make *k, const Type *t, int64_t rows, bool moves)
{
    int64_t n = type_count(t) * (t->batched ? k->m->batch : 1);
    Leaf l = {arena_array(k->arena, double, n), arena_array(k->arena, Num, n)};
    for (int64_t i = 0; i < n; i++) {
        l.value[i] = l.num[i].v = leaf_value(k, t->dtype, rows);
        for (int w = 0; w < WAYS && moves; w++)
            l.num[i].t[w] = make_uniform(k, -1, 1);
    }
    return l;
}

typedef enum ParamKind { TRAINED, FROZEN, BUFFER } ParamKind;

static Node *new_param(Make *k, const Type *t, ParamKind kind)
{
    const char *path = arena_printf(k->arena, "%s%d", kind == BUFFER ? "b" : "w", k->m->param.n);
    Node *n = hand_param(k->m, path, t, kind == BUFFER);
    k->m->param.v[k->m->param.n - 1].frozen = kind == FROZEN;
    vec_push(k->arena, &k->param, new_leaf(k, t, 1, kind == TRAINED));
    return n;
}

static Node *new_input(Make *k, const Type *t, int64_t rows)
{
    Node *n = hand_input(k->m, arena_printf(k->arena, "x%d", k->m->input.n), t);
    if (t->dtype == DT_INT)
        k->m->input.v[k->m->input.n - 1].below = rows;
    vec_push(k->arena, &k->input, new_leaf(k, t, rows, false));
    return n;
}

static Node *new_draw(Make *k, const Type *t)
{
    Attr a = {.random = {.site = k->g->n_sites++, .per_step = make_chance(k, 0.5)}};
    return graph_add(k->g, OP_RANDOM, NULL, 0, &a, t);
}

static Node *new_iota(Make *k, const Type *t)
{
    Type i = *t;
    i.dtype = DT_INT;
    if (!i.ndim)
        return g_const(k->g, t->dtype, (double)make_below(k, 5));
    Node *n =
        g_iota(k->g, &i, (int)make_below(k, i.ndim), make_below(k, 4) - 1, make_below(k, 3) + 1);
    if (t->dtype == DT_INT)
        return n;
    return g2(k->g, OP_MUL, g_cast(k->g, n, DT_F32), make_number(k, 0.125));
}

Node *make_fresh(Make *k, const Type *t)
{
    int64_t way = make_below(k, 20);
    if (t->dtype != DT_F32) {
        Type i = *t;
        if (t->dtype == DT_INT && !t->batched)
            return new_iota(k, t);
        i.batched = true;
        if (t->dtype == DT_INT && way < 5) {
            Node *n = graph_add(k->g, OP_SAMPLE_INDEX, NULL, 0, NULL, t);
            i.batched = false;
            return t->ndim ? g2(k->g, OP_ADD, n, new_iota(k, &i)) : n;
        }
        return new_input(k, &i, 3 + make_below(k, 5));
    }
    if (!t->batched)
        return way < 15   ? new_param(k, t, TRAINED)
               : way < 16 ? new_param(k, t, FROZEN)
               : way < 18 ? new_param(k, t, BUFFER)
                          : new_iota(k, t);
    if (way < 2)
        return new_draw(k, t);
    Node *x = new_input(k, t, 1);
    if (way < 14)
        return x;
    Type w = *t;
    w.batched = false;
    return g2(k->g, OP_MUL, x, new_param(k, &w, TRAINED));
}

const Num *make_leaf(void *ctx, const Node *n)
{
    static const Num rate = {.v = 0.1f};
    const Make *k = ctx;
    int i = n->attr.leaf.leaf;
    switch (n->op) {
    case OP_INPUT:
        return k->input.v[i].num;
    case OP_PARAM:
    case OP_BUFFER:
        return k->param.v[i].num;
    case OP_STATE:
        return arena_array(k->arena, Num, type_count(&n->type));
    case OP_HOST:
        return &rate;
    default:
        BUG("%s is no leaf", op_info[n->op].name);
    }
}

/* ---- the pool ---- */

Node *make_some(Make *k, DType t)
{
    int n = 0;
    for (int i = 0; i < k->pool.n; i++)
        n += k->pool.v[i]->type.dtype == t;
    if (!n)
        return NULL;
    int64_t back = make_chance(k, 0.6) ? make_below(k, n < 3 ? n : 3) : make_below(k, n);
    for (int i = k->pool.n - 1;; i--)
        if (k->pool.v[i]->type.dtype == t && back-- == 0)
            return k->pool.v[i];
}

Node *make_fit(Make *k, DType dtype, int ndim, const int64_t *dim)
{
    Type t = {.dtype = dtype, .ndim = ndim, .batched = make_chance(k, 0.6)};
    memcpy(t.dim, dim, (size_t)ndim * sizeof *dim);
    if (make_chance(k, 0.65))
        for (int i = k->pool.n - 1; i >= 0; i--)
            if (k->pool.v[i]->type.dtype == dtype && same_shape(&k->pool.v[i]->type, &t))
                return k->pool.v[i];
    return make_fresh(k, &t);
}

Node *make_index(Make *k, int64_t rows, int ndim, const int64_t *dim)
{
    Type t = {.dtype = DT_INT, .ndim = ndim, .batched = true};
    memcpy(t.dim, dim, (size_t)ndim * sizeof *dim);
    for (int i = k->pool.n - 1; i >= 0 && make_chance(k, 0.7); i--) {
        Node *n = k->pool.v[i];
        bool fits = n->type.dtype == DT_INT && same_shape(&n->type, &t);
        for (int64_t e = 0; fits && e < calc_count(&k->calc, n); e++)
            fits = k->calc.value[n->id][e].v >= 0 && k->calc.value[n->id][e].v < (double)rows;
        if (fits)
            return n;
    }
    return new_input(k, &t, rows);
}

Node *make_number(Make *k, double v)
{
    return g_const(k->g, DT_F32, v);
}

Node *make_positive(Make *k, Node *x)
{
    Graph *g = k->g;
    switch (make_below(k, 6)) {
    case 0:
        return g2(g, OP_ADD, g2(g, OP_MUL, x, x), make_number(k, 0.3));
    case 1:
        return g2(g, OP_ADD, g1(g, OP_SOFTPLUS, x), make_number(k, 0.2));
    case 2:
        return g2(g, OP_ADD, g1(g, OP_SIGMOID, x), make_number(k, 0.3));
    case 3:
        return g2(g, OP_ADD, g1(g, OP_ABS, x), make_number(k, 0.4));
    case 4:
        return g1(g, OP_EXP, g1(g, OP_TANH, x));
    default:
        return g2(g, OP_MAX, x, make_number(k, 0.25));
    }
}

static void compute_new(Make *k)
{
    if (k->g->node.n > k->room) {
        bool *more = arena_array(k->arena, bool, 2 * k->g->node.n);
        if (k->room)
            memcpy(more, k->bad, (size_t)k->room * sizeof *more);
        k->bad = more;
        k->room = 2 * k->g->node.n;
    }
    for (; k->computed < k->g->node.n; k->computed++) {
        const Node *n = k->g->node.v[k->computed];
        k->calc.flaw = n->type.dtype == DT_ERROR ? "operands that do not fit" : NULL;
        if (!k->calc.flaw)
            calc_node(&k->calc, n);
        k->bad[n->id] = k->calc.flaw != NULL;
        for (int i = 0; i < n->n_in; i++)
            k->bad[n->id] = k->bad[n->id] || k->bad[n->in[i]->id];
    }
}

bool make_admit(Make *k, Node *n)
{
    if (n->type.dtype == DT_ERROR) {
        k->g->diag->errors = 0;
        compute_new(k);
        return false;
    }
    compute_new(k);
    if (k->bad[n->id] || type_count(&n->type) > 2 * k->most + 80) {
        k->dropped++;
        return false;
    }
    for (int i = 0; i < k->pool.n; i++)
        if (k->pool.v[i] == n)
            return true;
    vec_push(k->arena, &k->pool, n);
    return true;
}

/* ---- the loss ---- */

/* Nodes a gradient from the loss comes to. */
static bool *reached(Make *k, Node *loss)
{
    bool *on = arena_array(k->arena, bool, k->g->node.n + 1);
    on[loss->id] = true;
    for (int id = loss->id; id >= 0; id--) {
        const Node *n = k->g->node.v[id];
        bool stops =
            n->type.dtype != DT_F32 || n->op == OP_DETACH || n->op == OP_FLOOR || n->op == OP_SIGN;
        for (int i = 0; i < n->n_in && on[id] && !stops; i++)
            if (n->op != OP_AVERAGE || i == 0)
                on[n->in[i]->id] = true;
    }
    return on;
}

/* Weights depend on inputs only. */
static Node *weight_of(Make *k, const Type *x)
{
    Type t = *x;
    t.batched = true;
    if (t.ndim && make_chance(k, 0.3))
        t.dim[make_below(k, t.ndim)] = 1;
    t.dtype = make_chance(k, 0.5) ? DT_BOOL : DT_F32;
    Node *w = new_input(k, &t, 1);
    return t.dtype == DT_BOOL ? w : g2(k->g, OP_MUL, w, w);
}

static Node *average_of(Make *k, Node *x)
{
    if (make_chance(k, 0.6)) { /* so that elements have gradients of their own */
        Type t = x->type;
        t.batched = make_chance(k, 0.5);
        x = g2(k->g, OP_MUL, x, make_fresh(k, &t));
    }
    Node *in[2] = {x};
    int n = 1;
    if (make_chance(k, 0.35))
        in[n++] = weight_of(k, &x->type);
    return graph_add(k->g, OP_AVERAGE, in, n, NULL, NULL);
}

static Node *plus(Make *k, Node *loss, Node *term)
{
    double c = (double)(1 + make_below(k, 7)) / 4;
    if (make_chance(k, 0.6))
        term = g2(k->g, OP_MUL, term, make_number(k, c));
    return loss ? g2(k->g, make_chance(k, 0.8) ? OP_ADD : OP_SUB, loss, term) : term;
}

static bool has_reader(const Make *k, const Node *n)
{
    for (int i = 0; i < k->pool.n; i++)
        for (int j = 0; j < k->pool.v[i]->n_in; j++)
            if (k->pool.v[i]->in[j] == n)
                return true;
    return false;
}

/* Averages of values nobody reads yet, the last ones first. */
static Node *make_loss(Make *k)
{
    Node *loss = NULL;
    int terms = 0, most = 1 + (int)make_below(k, 5);
    for (int i = k->pool.n - 1; i >= 0 && terms < most; i--) {
        Node *x = k->pool.v[i];
        if (x->type.dtype != DT_F32 || has_reader(k, x))
            continue;
        Node *term = average_of(k, x);
        compute_new(k);
        if (k->bad[term->id])
            continue;
        loss = plus(k, loss, term);
        terms++;
    }
    return loss;
}

static Node *every_parameter(Make *k, Node *loss)
{
    bool trains = false;
    for (int i = 0; i < k->m->param.n; i++)
        trains = trains || (!k->m->param.v[i].buffer && !k->m->param.v[i].frozen);
    if (!trains || !loss) {
        Type t = make_shape(k, 0, 2);
        Node *w = new_param(k, &t, TRAINED);
        loss = plus(k, loss, average_of(k, g2(k->g, OP_MUL, w, w)));
    }
    bool *on = reached(k, loss);
    int nodes = k->g->node.n;
    for (int i = 0; i < nodes; i++) {
        Node *n = k->g->node.v[i];
        if (n->op != OP_PARAM || on[i])
            continue;
        Node *x = g1(k->g, OP_SIN, n);
        loss = plus(k, loss, graph_add(k->g, OP_AVERAGE, &x, 1, NULL, NULL));
    }
    return loss;
}

/* ---- effects and reports ---- */

/* buffer := 0.9 * buffer + x */
static void add_assign(Make *k)
{
    Graph *g = k->g;
    for (int i = 0; i < g->node.n; i++) {
        Node *b = g->node.v[i];
        if (b->op != OP_BUFFER || make_chance(k, 0.3))
            continue;
        Node *x = NULL;
        for (int j = 0; j < k->pool.n; j++)
            if (!k->pool.v[j]->type.batched && k->pool.v[j]->type.dtype == DT_F32 &&
                same_shape(&k->pool.v[j]->type, &b->type))
                x = k->pool.v[j];
        Node *v = g2(g, OP_MUL, b, make_number(k, 0.9));
        v = x && x != b ? g2(g, OP_ADD, v, x) : v;
        Node *n = graph_add(g, OP_ASSIGN, (Node *[]){b, v}, 2, NULL, NULL);
        vec_push(k->arena, &k->m->train.root, n);
    }
}

static void add_report(Make *k)
{
    Node *x = make_some(k, make_chance(k, 0.5) ? DT_BOOL : DT_F32);
    if (!x)
        return;
    Node *v = graph_add(k->g, OP_AVERAGE, &x, 1, NULL, NULL);
    vec_push(k->arena, &k->m->train.report,
             ((Report){.name = arena_printf(k->arena, "r%d", k->m->train.report.n),
                       .value = v,
                       .at = NO_SPAN}));
}

Make *make_model(Arena *a, Diag *d, uint64_t seed, int64_t most)
{
    static const int64_t batch[] = {1, 2, 3, 4, 4, 6, 6, 8, 12};
    Make *k = arena_make(a, Make);
    k->arena = a;
    k->rng = seed * 0xd1342543de82ef95u + 1;
    k->m = hand_model(a, d, "Random", batch[make_below(k, countof(batch))]);
    k->m->clip = make_chance(k, 0.3) ? 0.5 : 0;
    k->g = k->m->train.graph;
    do
        k->micro = 1 + make_below(k, k->m->batch);
    while (k->m->batch % k->micro);
    k->most = 160;
    if (make_chance(k, 0.06)) { /* several grains of samples (planner/grain.c) */
        k->m->batch = 512;
        k->micro = 256;
        k->most = 6;
    }
    k->calc = (Calc){.arena = a,
                     .batch = (int)k->m->batch,
                     .seed = seed,
                     .leaf = make_leaf,
                     .ctx = k,
                     .strict = true};
    int64_t ops = min64(1 + make_below(k, 40), most);
    for (int64_t i = 0, tries = 0; i < ops && tries < 6 * ops; tries++) {
        Node *n =
            k->pool.n < 2 || make_chance(k, 0.06) ? NULL : make_op[make_below(k, n_make_op)](k);
        if (!n) {
            Type t = make_shape(k, 0, 3);
            t.batched = make_chance(k, 0.7);
            t.dtype = make_chance(k, 0.85) ? DT_F32 : make_chance(k, 0.5) ? DT_INT : DT_BOOL;
            n = make_fresh(k, &t);
        }
        i += make_admit(k, n);
    }
    if (make_chance(k, 0.4))
        add_report(k);
    Node *loss = every_parameter(k, make_loss(k));
    add_assign(k);
    compute_new(k);
    hand_finish(k->m, loss);
    return k;
}
