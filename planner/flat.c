/* flat.c - parameters of a unit in one flat buffer, and with them their gradients and optimizer
 * state, so that a rank's shard is one range and a collective moves one piece.
 *
 * The layout is a function of the model alone: parameters one behind the other, each at a whole
 * grain. Accumulators are bound to their place in the flat gradients before they are made, so
 * that the backward writes them where they are reduced; a gradient that is more than a sum over the
 * batch is copied there after the rounds. Elementwise updates do not see where a parameter ends:
 * one of a group's updates, over the flat buffers, does for all. */
#include "planner/flat.h"

#include <string.h>

/* Each parameter begins with a grain of its own: a grain's sum of squares is then the same whatever
 * it shares a buffer with. */
enum { PARAM_ALIGN = NORM_GRAIN };

/* ---- groups ---- */

static bool same_group(const Plan *p, const FlatGroup *g, int param)
{
    const Param *x = &p->model->param.v[g->param[0]], *y = &p->model->param.v[param];
    return g->unit == p->instance[y->instance].unit && x->frozen == y->frozen &&
           (x->frozen || x->optimizer == y->optimizer) && x->zero == y->zero &&
           x->offload == y->offload && x->bucket == y->bucket;
}

static FlatGroup *group_for(Plan *p, int param)
{
    int same_unit = 0;
    for (int k = p->group.n - 1; k >= 0; k--) {
        FlatGroup *g = &p->group.v[k];
        if (same_group(p, g, param))
            return g;
        same_unit += g->unit == p->instance[p->model->param.v[param].instance].unit;
    }
    const Param *x = &p->model->param.v[param];
    FlatGroup g = {.id = p->group.n,
                   .unit = p->instance[x->instance].unit,
                   .optimizer = x->frozen ? -1 : x->optimizer,
                   .params = -1,
                   .grads = -1,
                   .grad_shard = -1,
                   .host_params = -1,
                   .host_grads = -1};
    g.offload = x->offload && !x->frozen;
    g.path = p->instance[g.unit].path;
    if (same_unit)
        g.path = arena_printf(p->arena, "%s#%d", g.path, same_unit);
    g.param = arena_array(p->arena, int, p->model->param.n);
    g.at = arena_array(p->arena, int64_t, p->model->param.n);
    vec_push(p->arena, &p->group, g);
    return &p->group.v[p->group.n - 1];
}

void flat_groups(Plan *p)
{
    const Model *m = p->model;
    p->param_group = arena_array(p->arena, int, m->param.n + 1);
    p->param_at = arena_array(p->arena, int64_t, m->param.n + 1);
    for (int k = 0; k < m->param.n; k++) {
        const Param *x = &m->param.v[k];
        p->param_group[k] = -1;
        if (x->buffer)
            continue;
        FlatGroup *g = group_for(p, k);
        p->param_group[k] = g->id;
        p->param_at[k] = g->at[g->n] = g->used;
        g->param[g->n++] = k;
        g->used += round_up(type_count(&x->type), PARAM_ALIGN);
    }
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        g->used = round_up(g->used, NORM_GRAIN);
        int64_t grains = g->used / NORM_GRAIN;
        g->shard = (grains + p->shared_by - 1) / p->shared_by * NORM_GRAIN;
    }
}

int64_t flat_whole(const Plan *p, const FlatGroup *g)
{
    return g->shard * p->shared_by;
}

Gap *flat_gaps(const Plan *p, const FlatGroup *g, int *n)
{
    Gap *gap = arena_array(p->arena, Gap, g->n + 1);
    *n = 0;
    for (int k = 0; k < g->n; k++) {
        int64_t end = g->at[k] + type_count(&p->model->param.v[g->param[k]].type);
        int64_t next = k + 1 < g->n ? g->at[k + 1] : flat_whole(p, g);
        if (next > end)
            gap[(*n)++] = (Gap){end, next - end};
    }
    return gap;
}

/* ---- gradients ---- */

typedef struct Binder {
    Build *b;
    int *users; /* by node id */
} Binder;

static const Node *same_order(const Node *n)
{
    while (n->op == OP_RESHAPE || n->op == OP_DETACH || n->op == OP_GRAD)
        n = n->in[0];
    return n;
}

static bool is_free_sum(const Build *b, const Node *n)
{
    return is_accumulator(n) && n->phase == PHASE_ROUND && !b->bound[n->id].group;
}

static void bind(Build *b, const Node *n, const FlatGroup *g, int64_t at)
{
    b->bound[n->id] = (Bound){.group = g->id + 1, .at = at};
}

/* Sums that are only ever added up, as those of a table that is used twice. Who reads the gradient
 * itself, the root, reads it in its place. */
static bool collect_sums(const Binder *x, const Node *root, const Node *n, const Type *t,
                         const Node **list, int *count)
{
    n = same_order(n);
    if (n->op == OP_ADD && n->phase == PHASE_POST && (n == root || x->users[n->id] == 1))
        return collect_sums(x, root, n->in[0], t, list, count) &&
               collect_sums(x, root, n->in[1], t, list, count);
    if (!is_free_sum(x->b, n) || x->users[n->id] != 1 || *count == 8 ||
        type_count(&n->type) != type_count(t))
        return false;
    for (int k = 0; k < *count; k++)
        if (list[k] == n)
            return false;
    list[(*count)++] = n;
    return true;
}

/* The gradient of one parameter: bound to its place, or false: it has to be copied there. */
static bool bind_gradient(Binder *x, const Node *grad, const FlatGroup *g, int64_t at)
{
    const Node *n = same_order(grad);
    if (is_free_sum(x->b, n)) {
        bind(x->b, n, g, at);
        return true;
    }
    const Node *list[8];
    int count = 0;
    if (n->op != OP_ADD || !collect_sums(x, n, n, &grad->type, list, &count))
        return false;
    const Node *last = list[0];
    for (int k = 0; k < count; k++) {
        bind(x->b, list[k], g, at);
        x->b->bound[list[k]->id].beside = k ? list[0] : NULL;
        last = list[k]->id > last->id ? list[k] : last;
    }
    x->b->bound[last->id].completes = list[0];
    return true;
}

const Node *flat_norm(const Program *g)
{
    const Node *n = g->grad_norm;
    while (n && n->op != OP_SUM_SQUARES)
        n = n->n_in ? n->in[0] : NULL;
    return n;
}

/* Parameters in the order of the norm's operands. */
static int trained_param(const Model *m, int from)
{
    while (from < m->param.n && (m->param.v[from].buffer || m->param.v[from].frozen))
        from++;
    return from;
}

/* Where one gradient of a group is made from complete sums, all of its gradients are: nobody
 * reduces the buffer they are copied to, so none may be summed there. */
static void copy_all_of_whole(Build *b)
{
    Plan *p = b->plan;
    for (int k = 0; k < b->prog->graph->node.n; k++)
        if (b->bound[k].group && p->group.v[b->bound[k].group - 1].whole_grad)
            b->bound[k] = (Bound){0};
    b->copied.n = 0;
    for (int k = 0; k < p->model->param.n; k++)
        if (b->grad_node[k] && p->group.v[p->param_group[k]].whole_grad)
            vec_push(b->a, &b->copied, k);
}

void flat_bind(Build *b)
{
    const Node *norm = flat_norm(b->prog);
    b->bound = arena_array(b->a, Bound, b->prog->graph->node.n + 1);
    if (b->kind != PROGRAM_TRAIN || !norm)
        return;
    Plan *p = b->plan;
    b->grad_node = arena_array(b->a, const Node *, p->model->param.n + 1);
    NodeList all = graph_reach(b->a, b->prog->graph, b->prog->root.v, b->prog->root.n);
    Binder x = {.b = b, .users = arena_array(b->a, int, b->prog->graph->node.n + 1)};
    for (int k = 0; k < all.n; k++)
        for (int j = 0; j < all.v[k]->n_in; j++)
            x.users[all.v[k]->in[j]->id]++;
    int param = -1;
    for (int k = 0; k < norm->n_in; k++) {
        param = trained_param(p->model, param + 1);
        b->grad_node[param] = norm->in[k];
        FlatGroup *g = &p->group.v[p->param_group[param]];
        if (!bind_gradient(&x, norm->in[k], g, p->param_at[param])) {
            g->whole_grad = true;
            vec_push(b->a, &b->copied, param);
        }
    }
    if (p->ranks > 1)
        copy_all_of_whole(b);
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        if (g->optimizer < 0)
            continue;
        g->grads = buffer_flat_grads(b, g);
        bool apart = p->reduced && p->rounds > 1 && p->ranks > 1;
        if ((g->level >= LEVEL_2 || apart) && !g->whole_grad)
            g->grad_shard = buffer_grad_shard(b, g);
        if (g->offload)
            buffers_on_host(b, g);
    }
}

/* ---- items of the update ---- */

Operand flat_shard_of_grads(const Plan *p, const FlatGroup *g)
{
    if (g->grad_shard >= 0)
        return (Operand){g->grad_shard, 0, 0};
    return (Operand){g->grads, 0, p->ranks > 1 ? g->shard * 4 : 0};
}

int64_t flat_own_elems(const Plan *p, const FlatGroup *g)
{
    return g->level == LEVEL_0 ? flat_whole(p, g) : g->shard;
}

Operand flat_own_params(const Plan *p, const FlatGroup *g)
{
    bool own_part = g->level != LEVEL_0 && !level_shards_params(g->level);
    int64_t size = dtype_size(p->buffer.v[g->params].dtype);
    return (Operand){g->params, 0, own_part ? g->shard * size : 0};
}

Operand flat_own_grads(const Plan *p, const FlatGroup *g)
{
    return g->level == LEVEL_0 ? (Operand){g->grads, 0, 0} : flat_shard_of_grads(p, g);
}

static Item *flat_leaf(Build *b, const Node *like, Op op, Operand at, int64_t elems)
{
    Type t = {.dtype = DT_F32, .ndim = 1, .dim = {elems}};
    Item *i = item_new(b, like, op, &t, 0);
    i->cls = IC_LEAF;
    i->phase = PHASE_PRE;
    i->buffer = at.buffer;
    i->by_rank = at.by_rank;
    i->flat = true;
    return i;
}

void flat_leaves(Build *b)
{
    Plan *p = b->plan;
    const Node *norm = flat_norm(b->prog);
    if (b->kind != PROGRAM_TRAIN || !norm)
        return;
    b->flat = arena_array(b->a, FlatItems, p->group.n + 1);
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        if (g->optimizer < 0)
            continue;
        int64_t n = flat_own_elems(p, g);
        Operand param = flat_own_params(p, g), grad = flat_own_grads(p, g);
        if (g->offload) {
            param = (Operand){g->host_params, 0, 0};
            grad = (Operand){g->host_grads, 0, 0};
        }
        if (g->master) /* narrow.c has it written to its copy too */
            param = (Operand){g->master - 1, 0, 0};
        const Operand whole = {g->grads, 0, 0};
        b->flat[k].param = flat_leaf(b, norm, OP_PARAM, param, n);
        b->flat[k].grad = flat_leaf(b, norm, OP_INPUT, grad, n);
        b->flat[k].whole = flat_leaf(b, norm, OP_INPUT, whole, flat_whole(p, g));
        for (int j = 0; j < g->n_state; j++)
            b->flat[k].state[j] = flat_leaf(b, norm, OP_STATE, (Operand){g->state[j], 0, 0}, n);
    }
}

/* Whose update a node of PHASE_UPDATE is part of; NULL: of none (a model's buffer). */
static const FlatGroup *updated(const Plan *p, const Node *assign)
{
    const Node *to = assign->in[0];
    int param = to->op == OP_PARAM   ? to->attr.leaf.leaf
                : to->op == OP_STATE ? p->model->state.v[to->attr.leaf.leaf].param
                                     : -1;
    return param < 0 || p->param_group[param] < 0 ? NULL : &p->group.v[p->param_group[param]];
}

static bool is_first_of(const Plan *p, const FlatGroup *g, const Node *leaf)
{
    int param =
        leaf->op == OP_PARAM ? leaf->attr.leaf.leaf : p->model->state.v[leaf->attr.leaf.leaf].param;
    return param == g->param[0];
}

static Item *flat_operand(Build *b, const FlatGroup *g, const Node *n)
{
    const FlatItems *f = &b->flat[g->id];
    if (n->op == OP_PARAM && n->attr.leaf.leaf == g->param[0])
        return f->param;
    if (n == b->grad_node[g->param[0]])
        return f->grad;
    if (n->op == OP_STATE) {
        int kind = 0;
        for (int s = 0; s < n->attr.leaf.leaf; s++)
            kind += b->m->state.v[s].param == g->param[0];
        return f->state[kind];
    }
    return NULL;
}

/* A node of the first parameter's update, over the flat buffers. Everything in it is elementwise:
 * what has the parameter's shape becomes flat, numbers stay numbers. */
static Item *flat_item(Build *b, const FlatGroup *g, const Node *n)
{
    Item *known = flat_operand(b, g, n);
    if (known)
        return known;
    if (n->phase != PHASE_UPDATE || n->op == OP_CONST)
        return item_of(b, n);
    if (b->of_node[n->id])
        return b->of_node[n->id];
    Item **in = arena_array(b->a, Item *, n->n_in + 1);
    for (int k = 0; k < n->n_in; k++)
        in[k] = flat_item(b, g, n->in[k]);
    Type t = b->flat[g->id].param->type;
    t.dtype = n->type.dtype;
    Item *i = item_new(b, n, n->op, &t, n->n_in);
    i->attr = n->attr;
    memcpy(i->in, in, (size_t)n->n_in * sizeof *in);
    i->apart = i->update_of = g->id + 1;
    b->of_node[n->id] = i;
    return i;
}

bool flat_update(Build *b, const Node *assign)
{
    const FlatGroup *g = b->flat ? updated(b->plan, assign) : NULL;
    if (!g)
        return false;
    if (is_first_of(b->plan, g, assign->in[0]))
        flat_item(b, g, assign);
    return true;
}

/* ---- which nodes become items ---- */

static void visit(Build *b, const Node *n, bool *need)
{
    if (need[n->id])
        return;
    need[n->id] = true;
    if (b->flat && n == flat_norm(b->prog)) { /* sums that are bound, or what is copied */
        for (int k = 0; k < b->copied.n; k++)
            visit(b, b->grad_node[b->copied.v[k]], need);
        return;
    }
    for (int k = 0; k < n->n_in; k++)
        visit(b, n->in[k], need);
}

static void visit_update(Build *b, const FlatGroup *g, const Node *n, bool *need, bool *seen)
{
    if (seen[n->id] || flat_operand(b, g, n))
        return;
    seen[n->id] = true;
    if (n->phase != PHASE_UPDATE || n->op == OP_CONST) {
        visit(b, n, need);
        return;
    }
    for (int k = 0; k < n->n_in; k++)
        visit_update(b, g, n->in[k], need, seen);
}

bool *flat_needed(Build *b)
{
    int n = b->prog->graph->node.n;
    bool *need = arena_array(b->a, bool, n + 1), *seen = arena_array(b->a, bool, n + 1);
    for (int k = 0; k < b->prog->root.n; k++) {
        const Node *r = b->prog->root.v[k];
        const FlatGroup *g = b->flat && r->op == OP_ASSIGN ? updated(b->plan, r) : NULL;
        if (!g)
            visit(b, r, need);
        else if (is_first_of(b->plan, g, r->in[0]))
            visit_update(b, g, r, need, seen);
    }
    for (int k = 0; k < n && b->flat; k++)
        if (b->bound[k].group)
            visit(b, b->prog->graph->node.v[k], need);
    return need;
}
