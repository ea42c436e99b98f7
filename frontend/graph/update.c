/* update.c - the optimizers, as elementwise nodes and assignments. The order of operations is that
 * of torch.optim, so that the last bits can agree; lion follows its paper (algorithm 2). */
#include "frontend/graph/train.h"

typedef struct Update {
    Model *m;
    Graph *g;
    int param;
    const Optimizer *opt;
    Node *p, *grad;
    Node *lr; /* [], of this step */
} Update;

static Node *num(Update *u, double v)
{
    return g_const(u->g, DT_F32, v);
}

static Node *mul(Update *u, Node *a, Node *b)
{
    return g2(u->g, OP_MUL, a, b);
}

static Node *add(Update *u, Node *a, Node *b)
{
    return g2(u->g, OP_ADD, a, b);
}

static Node *sub(Update *u, Node *a, Node *b)
{
    return g2(u->g, OP_SUB, a, b);
}

static Node *host(Model *m, Graph *g, HostKind kind, int optimizer)
{
    int i = 0;
    while (i < m->host.n && (m->host.v[i].kind != kind || m->host.v[i].optimizer != optimizer))
        i++;
    if (i == m->host.n)
        vec_push(m->arena, &m->host, ((HostScalar){kind, optimizer}));
    Attr a = {.leaf = {i}};
    Type t = {.dtype = DT_F32};
    return graph_add(g, OP_HOST, NULL, 0, &a, &t);
}

static Node *state(Update *u, const char *kind)
{
    Attr a = {.leaf = {u->m->state.n}};
    vec_push(u->m->arena, &u->m->state, ((State){u->param, kind}));
    return graph_add(u->g, OP_STATE, NULL, 0, &a, &u->p->type);
}

static void assign(Update *u, Node *leaf, Node *value)
{
    Node *n = graph_add(u->g, OP_ASSIGN, (Node *[]){leaf, value}, 2, NULL, NULL);
    vec_push(u->m->arena, &u->m->train.root, n);
}

/* Numbers every parameter of an optimizer shares are made once, before the rounds. */
static void shared(Update *u)
{
    stamp_graph(u->g, u->opt->at, "optimizer", 0);
    u->g->update = false;
}

static void own(Update *u)
{
    const Param *p = &u->m->param.v[u->param];
    stamp_graph(u->g, p->at, p->path, p->instance);
    u->g->update = true;
}

/* The L2 penalty of adam, sgd and adagrad: part of the gradient. */
static Node *with_l2(Update *u)
{
    double decay = u->opt->weight_decay;
    return decay != 0 ? add(u, u->grad, mul(u, u->p, num(u, decay))) : u->grad;
}

/* adamw, lion: the parameter shrinks by itself, before the step. */
static Node *shrunk(Update *u)
{
    double decay = u->opt->weight_decay;
    if (decay == 0)
        return u->p;
    shared(u);
    Node *keep = sub(u, num(u, 1), mul(u, u->lr, num(u, decay)));
    own(u);
    return mul(u, u->p, keep);
}

/* old + (next - old) * (1 - beta), from the nearer end as torch.lerp does. */
static Node *lerp(Update *u, Node *old, Node *next, double beta)
{
    double w = 1 - beta;
    Node *way = sub(u, next, old);
    return w < 0.5 ? add(u, old, mul(u, way, num(u, w))) : sub(u, next, mul(u, way, num(u, 1 - w)));
}

/* old * beta + g * g * (1 - beta) */
static Node *mean_square(Update *u, Node *old, Node *g, double beta)
{
    return add(u, mul(u, old, num(u, beta)), mul(u, mul(u, g, num(u, 1 - beta)), g));
}

static void adam(Update *u)
{
    bool decoupled = u->opt->kind == OPT_ADAMW;
    int index = u->m->param.v[u->param].optimizer;
    Node *g = decoupled ? u->grad : with_l2(u), *p = decoupled ? shrunk(u) : u->p;
    shared(u);
    Node *bias2 = host(u->m, u->g, HOST_BIAS2, index);
    Node *step = mul(u, u->lr, host(u->m, u->g, HOST_BIAS1, index));
    own(u);
    Node *m = state(u, "exp_avg"), *v = state(u, "exp_avg_sq");
    Node *m1 = lerp(u, m, g, u->opt->beta1);
    Node *v1 = mean_square(u, v, g, u->opt->beta2);
    Node *root = mul(u, g1(u->g, OP_SQRT, v1), bias2);
    Node *by = g2(u->g, OP_DIV, mul(u, m1, step), add(u, root, num(u, u->opt->eps)));
    assign(u, m, m1);
    assign(u, v, v1);
    assign(u, u->p, sub(u, p, by));
}

static void sgd(Update *u)
{
    Node *g = with_l2(u);
    if (u->opt->momentum != 0) {
        Node *buf = state(u, "momentum");
        g = add(u, mul(u, buf, num(u, u->opt->momentum)), g);
        assign(u, buf, g);
    }
    assign(u, u->p, sub(u, u->p, mul(u, g, u->lr)));
}

static void adagrad(Update *u)
{
    Node *g = with_l2(u), *sum = state(u, "sum");
    Node *next = add(u, sum, mul(u, g, g));
    Node *root = add(u, g1(u->g, OP_SQRT, next), num(u, u->opt->eps));
    assign(u, sum, next);
    assign(u, u->p, sub(u, u->p, g2(u->g, OP_DIV, mul(u, g, u->lr), root)));
}

static void lion(Update *u)
{
    Node *p = shrunk(u), *m = state(u, "exp_avg");
    Node *way = g1(u->g, OP_SIGN, lerp(u, m, u->grad, u->opt->beta1));
    assign(u, u->p, sub(u, p, mul(u, way, u->lr)));
    assign(u, m, lerp(u, m, u->grad, u->opt->beta2));
}

void update_param(Model *m, int param, Node *leaf, Node *grad)
{
    int index = m->param.v[param].optimizer;
    Update u = {.m = m,
                .g = m->train.graph,
                .param = param,
                .opt = &m->optimizer.v[index],
                .p = leaf,
                .grad = grad};
    shared(&u);
    u.lr = host(m, u.g, HOST_LR, index);
    own(&u);
    switch (u.opt->kind) {
    case OPT_SGD:
        sgd(&u);
        break;
    case OPT_ADAM:
    case OPT_ADAMW:
        adam(&u);
        break;
    case OPT_ADAGRAD:
        adagrad(&u);
        break;
    case OPT_LION:
        lion(&u);
        break;
    }
    u.g->update = false;
}
