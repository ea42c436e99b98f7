/* graph.c - nodes: making, sharing and reaching them. */
#include "frontend/graph/graph.h"
#include "frontend/graph/attr.h"

#include <string.h>

Graph *graph_new(Arena *a, Diag *d)
{
    Graph *g = arena_make(a, Graph);
    g->arena = a;
    g->diag = d;
    g->at = NO_SPAN;
    g->path = "";
    return g;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t node_hash(const Node *n)
{
    enum { WORDS = (sizeof(Attr) + 7) / 8 };
    uint64_t word[WORDS] = {0}, h = mix(0, (uint64_t)n->op);
    memcpy(word, &n->attr, sizeof n->attr);
    for (int i = 0; i < WORDS; i++)
        h = mix(h, word[i]);
    for (int i = 0; i < n->n_in; i++)
        h = mix(h, (uint64_t)n->in[i]->id);
    for (int i = 0; i < n->type.ndim; i++)
        h = mix(h, (uint64_t)n->type.dim[i]);
    return mix(h, (uint64_t)n->phase << 8 | (uint64_t)n->type.dtype << 4 |
                      (uint64_t)n->type.batched << 1 | n->recompute);
}

/* A forward node never becomes one that was made for the backward pass: what the forward reads
 * stays forward. */
static bool equal(const Node *old, const Node *n)
{
    if (old->op != n->op || old->n_in != n->n_in || old->phase != n->phase ||
        old->recompute != n->recompute || (old->backward && !n->backward) ||
        !type_same(&old->type, &n->type) || memcmp(&old->attr, &n->attr, sizeof n->attr) != 0)
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (old->in[i] != n->in[i])
            return false;
    return true;
}

static void insert(Graph *g, const Node *n)
{
    uint64_t mask = (uint64_t)g->n_slot - 1, h = node_hash(n) & mask;
    while (g->slot[h])
        h = (h + 1) & mask;
    g->slot[h] = n->id + 1;
}

static Node *find(const Graph *g, const Node *n)
{
    if (!g->n_slot)
        return NULL;
    uint64_t mask = (uint64_t)g->n_slot - 1;
    for (uint64_t h = node_hash(n) & mask; g->slot[h]; h = (h + 1) & mask)
        if (equal(g->node.v[g->slot[h] - 1], n))
            return g->node.v[g->slot[h] - 1];
    return NULL;
}

static bool shareable(const Node *n)
{
    return !n->effect && n->type.dtype != DT_ERROR;
}

static void remember(Graph *g, const Node *n)
{
    if (!shareable(n))
        return;
    if (g->node.n * 2 > g->n_slot) {
        g->n_slot = g->n_slot ? g->n_slot * 2 : 64;
        while (g->node.n * 2 > g->n_slot)
            g->n_slot *= 2;
        g->slot = arena_array(g->arena, int, g->n_slot);
        for (int i = 0; i < g->node.n - 1; i++)
            if (shareable(g->node.v[i]))
                insert(g, g->node.v[i]);
    }
    insert(g, n);
}

Node *graph_add(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type)
{
    static const Attr none;
    Attr own = attr_normal(op, attr ? attr : &none);
    Node key = {.op = op, .attr = own, .in = (Node **)in, .n_in = n_in, .backward = g->backward};
    key.type = op_type(g, op, in, n_in, &own, type);
    key.phase = phase_of(g, op, in, n_in, &key.type);
    key.recompute = g->recompute;
    key.effect = op == OP_ASSIGN;
    if (shareable(&key) && !g->no_cse) {
        Node *old = find(g, &key);
        if (old)
            return old;
    }
    Node *n = arena_make(g->arena, Node);
    *n = key;
    n->id = g->node.n;
    n->in = arena_array(g->arena, Node *, n_in ? n_in : 1);
    if (n_in)
        memcpy(n->in, in, (size_t)n_in * sizeof *in);
    n->at = g->at;
    n->path = g->path;
    n->name = g->name;
    n->instance = g->cur_instance;
    vec_push(g->arena, &g->node, n);
    remember(g, n);
    return n;
}

NodeList graph_reach(Arena *a, const Graph *g, Node *const root[], int n_root)
{
    NodeList list = {0};
    bool *seen = arena_array(a, bool, g->node.n + 1);
    for (int i = 0; i < n_root; i++)
        seen[root[i]->id] = true;
    for (int id = g->node.n - 1; id >= 0; id--) {
        if (!seen[id])
            continue;
        list.n++;
        for (int i = 0; i < g->node.v[id]->n_in; i++)
            seen[g->node.v[id]->in[i]->id] = true;
    }
    list.v = arena_array(a, Node *, list.n + 1);
    for (int id = 0, k = 0; id < g->node.n; id++)
        if (seen[id])
            list.v[k++] = g->node.v[id];
    return list;
}
