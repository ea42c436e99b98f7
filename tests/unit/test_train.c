/* training_graph(), evaluation_graph() and simplify(): whole steps against the optimizers' own
 * formulas with gradients by central differences of the forward graph, the loss rules, and a deep
 * model. */
#include "frontend/graph/model.h"
#include "tests/interp/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 3, N_PARAM = 3, MOST = 12 };

typedef struct Fix {
    Arena *arena;
    Sources *sources;
    Diag *diag;
    Model m;
    FILE *out;
    char *text; /* what was told */
    size_t size;
    double x[BATCH * 6], y[BATCH * 2], w[BATCH * 2];
    double param[N_PARAM + 1][MOST];
    double state[2 * N_PARAM][MOST];
    double step; /* from 1 */
    bool same_draws;
} Fix;

static double draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 4503599627370496.0 - 1;
}

static Type tensor(bool batched, int ndim, int64_t a, int64_t b)
{
    return (Type){.dtype = DT_F32, .batched = batched, .ndim = ndim, .dim = {a, b}};
}

static void add_param(Fix *f, const char *path, Type t, bool buffer)
{
    vec_push(f->arena, &f->m.param,
             ((Param){.path = path, .type = t, .at = NO_SPAN, .buffer = buffer}));
}

static Fix *fix(void)
{
    Arena *a = arena_new();
    Fix *f = arena_make(a, Fix);
    f->arena = a;
    f->sources = sources_new(a);
    f->out = open_memstream(&f->text, &f->size);
    f->diag = diag_new(a, f->sources, f->out);
    f->m = (Model){.arena = a, .name = "Test", .batch = BATCH};
    f->m.train.graph = graph_new(a, f->diag);
    f->m.eval.graph = graph_new(a, f->diag);
    add_param(f, "fc.weight", tensor(false, 2, 3, 4), false);
    add_param(f, "fc.bias", tensor(false, 1, 4, 0), false);
    add_param(f, "out", tensor(false, 2, 4, 1), false);
    add_param(f, "mean", tensor(false, 1, 4, 0), true);
    vec_push(a, &f->m.optimizer,
             ((Optimizer){.kind = OPT_ADAMW,
                          .lr = 0.01,
                          .beta1 = 0.9,
                          .beta2 = 0.95,
                          .eps = 1e-8,
                          .weight_decay = 0.1,
                          .momentum = 0.8}));
    uint64_t seed = 42;
    for (int i = 0; i < BATCH * 6; i++)
        f->x[i] = draw(&seed);
    for (int i = 0; i < BATCH * 2; i++) {
        f->y[i] = draw(&seed);
        f->w[i] = 1 + draw(&seed) / 2;
    }
    for (int p = 0; p <= N_PARAM; p++)
        for (int i = 0; i < MOST; i++)
            f->param[p][i] = draw(&seed);
    f->step = 1;
    return f;
}

static void done(Fix *f)
{
    fclose(f->out);
    free(f->text);
    arena_free(f->arena);
}

static const char *told(Fix *f)
{
    fflush(f->out);
    return f->text;
}

static Node *leaf(Graph *g, Op op, int i, Type t)
{
    Attr a = {.leaf = {i}};
    return graph_add(g, op, NULL, 0, &a, &t);
}

static Node *param(const Fix *f, Graph *g, int i)
{
    const Param *p = &f->m.param.v[i];
    g->path = p->path;
    Node *n = leaf(g, p->buffer ? OP_BUFFER : OP_PARAM, i, p->type);
    g->path = "";
    return n;
}

static Node *average(Graph *g, Node *x, Node *w)
{
    Node *in[] = {x, w};
    return graph_add(g, OP_AVERAGE, in, w ? 2 : 1, NULL, NULL);
}

static Node *net(const Fix *f, Graph *g)
{
    Node *h = g2(g, OP_MATMUL, leaf(g, OP_INPUT, 0, tensor(true, 2, 2, 3)), param(f, g, 0));
    h = g1(g, OP_TANH, g2(g, OP_ADD, h, param(f, g, 1)));
    int64_t dim[] = {2};
    return g_reshape(g, g2(g, OP_MATMUL, h, param(f, g, 2)), 1, dim);
}

/* average((net - y)^2, weight = w) + 0.3 * average(sigmoid(net)) - average(..) / 4 */
static Node *loss(const Fix *f, Graph *g)
{
    Node *z = net(f, g), *w = leaf(g, OP_INPUT, 2, tensor(true, 1, 2, 0));
    Node *d = g2(g, OP_SUB, z, leaf(g, OP_INPUT, 1, tensor(true, 1, 2, 0)));
    Node *a = average(g, g2(g, OP_MUL, d, d), w), *b = average(g, g1(g, OP_SIGMOID, z), NULL);
    Node *c = average(g, g1(g, OP_COS, z), g_const(g, DT_F32, 2));
    Node *sum = g2(g, OP_ADD, a, g2(g, OP_MUL, g_const(g, DT_F32, 0.3), b));
    return g2(g, OP_SUB, sum, g2(g, OP_DIV, c, g_const(g, DT_F32, 4)));
}

static double host_value(const Fix *f, const HostScalar *h)
{
    const Optimizer *o = &f->m.optimizer.v[h->optimizer];
    return h->kind == HOST_LR      ? o->lr
           : h->kind == HOST_BIAS1 ? 1 / (1 - pow(o->beta1, f->step))
                                   : 1 / sqrt(1 - pow(o->beta2, f->step));
}

static const double *value_of(void *ctx, const Node *n)
{
    Fix *f = ctx;
    int i = n->attr.leaf.leaf;
    if (n->op == OP_INPUT)
        return i == 0 ? f->x : i == 1 ? f->y : f->w;
    if (n->op == OP_PARAM || n->op == OP_BUFFER)
        return f->param[i];
    if (n->op == OP_STATE)
        return f->state[i];
    double *v = arena_array(f->arena, double, 1);
    *v = host_value(f, &f->m.host.v[i]);
    return v;
}

static double draw_of(void *ctx, int site, bool per_step, int64_t sample, int64_t element)
{
    (void)ctx;
    return fmod(
        0.37 * (double)(site + 1) + 0.211 * (double)sample + 0.173 * (double)element + per_step, 1);
}

static Interp run(Fix *f, const Graph *g, Node *const root[], int n)
{
    Interp it = {
        .arena = f->arena, .g = g, .batch = BATCH, .leaf = value_of, .random = draw_of, .ctx = f};
    interp_run(&it, root, n);
    return it;
}

static double one(Fix *f, const Graph *g, Node *n)
{
    return run(f, g, &n, 1).value[n->id][0];
}

/* d loss / d parameter p, element i, from the forward graph alone. */
static double slope(Fix *f, const Graph *g, Node *l, int p, int i)
{
    double x = f->param[p][i], h = 1e-5;
    f->param[p][i] = x + h;
    double up = one(f, g, l);
    f->param[p][i] = x - h;
    double down = one(f, g, l);
    f->param[p][i] = x;
    return (up - down) / (2 * h);
}

/* One step of an element as the optimizer's paper or documentation writes it. */
static double stepped(const Optimizer *o, double t, double p, double g, double *m, double *v)
{
    if (o->kind != OPT_ADAMW && o->kind != OPT_LION)
        g += o->weight_decay * p;
    switch (o->kind) {
    case OPT_SGD:
        *m = o->momentum * *m + g;
        return p - o->lr * *m;
    case OPT_ADAM:
    case OPT_ADAMW:
        if (o->kind == OPT_ADAMW)
            p -= o->lr * o->weight_decay * p;
        *m = o->beta1 * *m + (1 - o->beta1) * g;
        *v = o->beta2 * *v + (1 - o->beta2) * g * g;
        return p -
               o->lr * (*m / (1 - pow(o->beta1, t))) / (sqrt(*v / (1 - pow(o->beta2, t))) + o->eps);
    case OPT_ADAGRAD:
        *m += g * g;
        return p - o->lr * g / (sqrt(*m) + o->eps);
    case OPT_LION: {
        double c = o->beta1 * *m + (1 - o->beta1) * g;
        *m = o->beta2 * *m + (1 - o->beta2) * g;
        return p - o->lr * ((c > 0) - (c < 0) + o->weight_decay * p);
    }
    }
    return 0;
}

static void assign_all(Fix *f, const Program *p)
{
    Interp it = run(f, p->graph, p->root.v, p->root.n);
    for (int i = 0; i < p->root.n; i++) {
        const Node *n = p->root.v[i];
        if (n->op != OP_ASSIGN)
            continue;
        int k = n->in[0]->attr.leaf.leaf;
        double *to = n->in[0]->op == OP_STATE ? f->state[k] : f->param[k];
        memcpy(to, it.value[n->id], (size_t)type_count(&n->type) * sizeof *to);
    }
}

static void three_steps(OptKind kind, double clip, bool simplified)
{
    Fix *f = fix();
    f->m.clip = clip;
    Optimizer *o = &f->m.optimizer.v[0];
    o->kind = kind;
    Graph *forward = graph_new(f->arena, f->diag);
    Node *l = loss(f, forward);
    f->m.train.loss = loss(f, f->m.train.graph);
    assert_true(training_graph(&f->m, f->diag));
    Program *p = &f->m.train;
    graph_verify(p->graph, p->root.v, p->root.n);
    if (simplified) {
        simplify(f->arena, p);
        graph_verify(p->graph, p->root.v, p->root.n);
    }
    double want[N_PARAM][MOST], m[N_PARAM][MOST] = {{0}}, v[N_PARAM][MOST] = {{0}};
    for (f->step = 1; f->step <= 3; f->step++) {
        double g[N_PARAM][MOST] = {{0}}, norm = 0;
        for (int k = 0; k < N_PARAM; k++)
            for (int i = 0; i < type_count(&f->m.param.v[k].type); i++) {
                g[k][i] = slope(f, forward, l, k, i);
                norm += g[k][i] * g[k][i];
            }
        norm = sqrt(norm);
        assert_true(fabs(one(f, p->graph, p->loss_value) - one(f, forward, l)) < 1e-12);
        assert_true(fabs(one(f, p->graph, p->grad_norm) - norm) < 1e-7);
        double factor = clip > 0 ? fmin(1, clip / (norm + 1e-6)) : 1;
        for (int k = 0; k < N_PARAM; k++)
            for (int i = 0; i < MOST; i++)
                want[k][i] =
                    stepped(o, f->step, f->param[k][i], factor * g[k][i], &m[k][i], &v[k][i]);
        assign_all(f, p);
        for (int k = 0; k < N_PARAM; k++)
            for (int i = 0; i < type_count(&f->m.param.v[k].type); i++)
                assert_true(fabs(f->param[k][i] - want[k][i]) < 2e-6);
    }
    done(f);
}

static void test_optimizers(void **state)
{
    (void)state;
    OptKind kind[] = {OPT_SGD, OPT_ADAM, OPT_ADAMW, OPT_ADAGRAD, OPT_LION};
    for (int i = 0; i < countof(kind); i++) {
        three_steps(kind[i], 0, false);
        three_steps(kind[i], 0.05, true);
        three_steps(kind[i], 100, true);
    }
}

/* ---- averages ---- */

static void test_total_of_weights(void **state)
{
    (void)state;
    Fix *f = fix();
    f->m.train.loss = loss(f, f->m.train.graph);
    assert_true(training_graph(&f->m, f->diag));
    const Program *p = &f->m.train;
    assert_int_equal(p->term.n, 3);
    assert_int_equal(p->term.v[0].den->phase, PHASE_WEIGHT);
    assert_int_equal(p->term.v[1].den->op, OP_CONST); /* the weight is a number */
    assert_int_equal(p->term.v[1].den->attr.constant.value, 2 * BATCH);
    assert_true(p->term.v[2].coef == -0.25);
    assert_int_equal(p->loss_value->phase, PHASE_POST);
    assert_int_equal(p->grad_norm->phase, PHASE_POST);
    done(f);
}

static void test_no_weight_at_all(void **state)
{
    (void)state;
    Fix *f = fix();
    f->m.train.loss = loss(f, f->m.train.graph);
    assert_true(training_graph(&f->m, f->diag));
    memset(f->w, 0, sizeof f->w);
    Program *p = &f->m.train;
    assert_true(isfinite(one(f, p->graph, p->loss_value)));
    assert_true(isfinite(one(f, p->graph, p->grad_norm)));
    done(f);
}

/* A weight drawn at random is drawn again, equal, in the loop before the rounds. */
static void test_random_weight(void **state)
{
    (void)state;
    Fix *f = fix();
    Graph *g = f->m.train.graph, *forward = graph_new(f->arena, f->diag);
    Node *l = NULL;
    for (int i = 0; i < 2; i++) {
        Graph *to = i ? g : forward;
        Attr a = {.random = {.site = 0, .per_step = 1}};
        Type t = tensor(true, 1, 2, 0);
        Node *u = graph_add(to, OP_RANDOM, NULL, 0, &a, &t);
        Node *keep = g2(to, OP_LT, u, g_const(to, DT_F32, 0.6));
        Node *avg = average(to, net(f, to), keep);
        l = i ? l : avg;
        f->m.train.loss = avg;
    }
    assert_true(training_graph(&f->m, f->diag));
    Program *p = &f->m.train;
    simplify(f->arena, p);
    graph_verify(p->graph, p->root.v, p->root.n);
    assert_true(fabs(one(f, p->graph, p->loss_value) - one(f, forward, l)) < 1e-12);
    assert_int_equal(p->term.v[0].den->phase, PHASE_WEIGHT);
    done(f);
}

static void test_evaluation(void **state)
{
    (void)state;
    Fix *f = fix();
    Program *p = &f->m.eval;
    Graph *g = p->graph, *forward = graph_new(f->arena, f->diag);
    Node *l = loss(f, forward);
    p->loss = loss(f, g);
    p->logits = net(f, g);
    Node *right = g2(g, OP_LT, net(f, g), leaf(g, OP_INPUT, 1, tensor(true, 1, 2, 0)));
    vec_push(f->arena, &p->report, ((Report){.name = "right", .value = average(g, right, NULL)}));
    vec_push(f->arena, &p->report, ((Report){.name = "guess", .value = net(f, g)}));
    assert_true(evaluation_graph(&f->m, f->diag));
    simplify(f->arena, p);
    graph_verify(p->graph, p->root.v, p->root.n);
    assert_true(fabs(one(f, p->graph, p->loss_value) - one(f, forward, l)) < 1e-12);
    double sum = 0;
    for (int i = 0; i < p->term.n; i++) {
        assert_true(is_accumulator(p->term.v[i].num) && is_accumulator(p->term.v[i].den));
        sum += p->term.v[i].coef * one(f, p->graph, p->term.v[i].num) /
               one(f, p->graph, p->term.v[i].den);
    }
    assert_true(fabs(sum - one(f, forward, l)) < 1e-12);
    assert_true(one(f, p->graph, p->report.v[0].den) == 2 * BATCH);
    assert_true(p->report.v[1].value->type.batched && !p->report.v[1].num);
    assert_null(p->grad_norm);
    assert_true(p->logits && p->graph->node.v[p->logits->id] == p->logits);
    done(f);
}

/* ---- buffers ---- */

static void test_buffer_reads_the_old_value(void **state)
{
    (void)state;
    Fix *f = fix();
    add_param(f, "last", tensor(false, 1, 4, 0), true);
    Graph *g = f->m.train.graph;
    Node *a = param(f, g, 3), *b = leaf(g, OP_BUFFER, 4, tensor(false, 1, 4, 0));
    f->m.train.loss = loss(f, g);
    Node *ab[] = {a, b}, *ba[] = {b, g1(g, OP_DETACH, a)};
    vec_push(f->arena, &f->m.train.root, graph_add(g, OP_ASSIGN, ab, 2, NULL, NULL));
    vec_push(f->arena, &f->m.train.root, graph_add(g, OP_ASSIGN, ba, 2, NULL, NULL));
    assert_true(training_graph(&f->m, f->diag));
    Program *p = &f->m.train;
    simplify(f->arena, p);
    graph_verify(p->graph, p->root.v, p->root.n);
    int swaps = 0;
    for (int i = 0; i < p->root.n; i++)
        if (p->root.v[i]->op == OP_ASSIGN && p->root.v[i]->in[0]->op == OP_BUFFER) {
            assert_int_equal(p->root.v[i]->phase, PHASE_UPDATE);
            assert_int_equal(p->root.v[i]->in[1]->op, OP_DETACH);
            assert_int_equal(p->root.v[i]->in[1]->phase, PHASE_PRE);
            swaps++;
        }
    assert_int_equal(swaps, 2);
    done(f);
}

/* ---- refusals ---- */

static void refused(Fix *f, const char *a, const char *b)
{
    assert_false(training_graph(&f->m, f->diag));
    if (!strstr(told(f), a) || !strstr(told(f), b))
        fail_msg("told: %s", told(f));
    assert_int_equal(f->diag->errors, 1);
    done(f);
}

static void test_loss_rules(void **state)
{
    (void)state;
    Fix *f = fix();
    Graph *g = f->m.train.graph;
    f->m.train.loss = g1(g, OP_SQRT, average(g, net(f, g), NULL));
    refused(f, "`sqrt` is applied to one", "last round");

    f = fix();
    g = f->m.train.graph;
    Node *avg = average(g, net(f, g), NULL);
    f->m.train.loss = g2(g, OP_MUL, avg, average(g, g1(g, OP_ABS, net(f, g)), NULL));
    refused(f, "multiplied", "last round");

    f = fix();
    g = f->m.train.graph;
    Node *w = param(f, g, 2), *ridge = g_reduce(g, OP_SUM, g2(g, OP_MUL, w, w), 3);
    f->m.train.loss = g2(g, OP_ADD, loss(f, g), g_squeeze(g, ridge, 3));
    refused(f, "this term has none", "average(..) of it");

    f = fix();
    g = f->m.train.graph;
    f->m.train.loss = net(f, g);
    refused(f, "one float, but this is [2]", "");

    f = fix();
    g = f->m.train.graph;
    f->m.train.loss = average(g, net(f, g), g1(g, OP_ABS, param(f, g, 2)));
    refused(f, "depends on the parameter `out`", "before the first backward");
}

static void test_unused_parameters(void **state)
{
    (void)state;
    Fix *f = fix();
    Graph *g = f->m.train.graph;
    Node *x = leaf(g, OP_INPUT, 0, tensor(true, 2, 2, 3));
    Node *h = g2(g, OP_MATMUL, x, param(f, g, 0));
    f->m.train.loss = average(g, g2(g, OP_ADD, h, g1(g, OP_DETACH, param(f, g, 1))), NULL);
    f->m.param.v[2].frozen = true;
    refused(f, "parameter `fc.bias`", "freeze fc.bias = true");

    f = fix();
    g = f->m.train.graph;
    f->m.train.loss = average(g, leaf(g, OP_INPUT, 0, tensor(true, 2, 2, 3)), NULL);
    refused(f, "3 parameters: `fc.weight`, `fc.bias`, `out`", "freeze");
}

static void test_frozen(void **state)
{
    (void)state;
    Fix *f = fix();
    f->m.param.v[0].frozen = f->m.param.v[2].frozen = true;
    f->m.train.loss = loss(f, f->m.train.graph);
    assert_true(training_graph(&f->m, f->diag));
    int n = 0;
    for (int i = 0; i < f->m.train.root.n; i++)
        n += f->m.train.root.v[i]->op == OP_ASSIGN;
    assert_int_equal(n, 3); /* two moments and one parameter */
    assert_int_equal(f->m.state.n, 2);
    assert_int_equal(f->m.state.v[0].param, 1);
    done(f);
}

static void test_reports_in_training(void **state)
{
    (void)state;
    Fix *f = fix();
    Graph *g = f->m.train.graph;
    f->m.train.loss = loss(f, g);
    vec_push(f->arena, &f->m.train.report,
             ((Report){.name = "guess", .value = net(f, g), .at = NO_SPAN}));
    refused(f, "`guess` is reported, but it is no average", "where `not training`");
}

/* ---- a deep model ---- */

static Node *linear(Fix *f, Graph *g, Node *x, int64_t in, int64_t out)
{
    add_param(f, arena_printf(f->arena, "p%d", f->m.param.n), tensor(false, 2, in, out), false);
    return g2(g, OP_MATMUL, x, param(f, g, f->m.param.n - 1));
}

static Node *norm(Fix *f, Graph *g, Node *x)
{
    int64_t width = x->type.dim[1];
    add_param(f, arena_printf(f->arena, "p%d", f->m.param.n), tensor(false, 1, width, 0), false);
    Node *n = g_const(g, DT_F32, 1 / (double)width);
    Node *d = g2(g, OP_SUB, x, g2(g, OP_MUL, g_reduce(g, OP_SUM, x, 2), n));
    Node *var = g2(g, OP_MUL, g_reduce(g, OP_SUM, g2(g, OP_MUL, d, d), 2), n);
    Node *y = g2(g, OP_DIV, d, g1(g, OP_SQRT, g2(g, OP_ADD, var, g_const(g, DT_F32, 1e-5))));
    return g2(g, OP_MUL, y, param(f, g, f->m.param.n - 1));
}

static Node *layer(Fix *f, Graph *g, Node *x)
{
    int64_t w = x->type.dim[1];
    Node *qkv = linear(f, g, norm(f, g, x), w, 3 * w), *in[3];
    for (int i = 0; i < 3; i++)
        in[i] = g_slice(g, qkv, 1, i * w, (i + 1) * w);
    Attr a = {.attention = {.heads = 4, .kv_heads = 4, .causal = 1, .scale = 0.125}};
    x = g2(g, OP_ADD, x, linear(f, g, graph_add(g, OP_ATTENTION, in, 3, &a, NULL), w, w));
    Node *h = g1(g, OP_GELU, linear(f, g, norm(f, g, x), w, 4 * w));
    return g2(g, OP_ADD, x, linear(f, g, h, 4 * w, w));
}

static int nodes_of(int layers, int *before)
{
    Fix *f = fix();
    f->m.param.n = 0;
    f->m.clip = 1;
    Graph *g = f->m.train.graph;
    Type ids = {.dtype = DT_INT, .batched = true, .ndim = 1, .dim = {64}};
    add_param(f, "wte", tensor(false, 2, 256, 64), false);
    Node *x = g2(g, OP_GATHER, param(f, g, 0), leaf(g, OP_INPUT, 0, ids));
    vec_push(f->arena, &g->instance, ((Instance){"", "GPT", -1, 0}));
    for (int i = 0; i < layers; i++) {
        g->cur_instance = i + 1;
        vec_push(f->arena, &g->instance, ((Instance){"h", "Layer", 0, i + 1}));
        x = layer(f, g, x);
    }
    g->cur_instance = 0;
    Node *logits = g2(g, OP_MATMUL, norm(f, g, x), g_swap(g, param(f, g, 0)));
    Node *lse = g_squeeze(g, g_reduce(g, OP_LOGSUMEXP, logits, 2), 2);
    Node *nll = g2(g, OP_SUB, lse, g2(g, OP_PICK, logits, leaf(g, OP_INPUT, 1, ids)));
    f->m.train.loss = average(g, nll, NULL);
    assert_true(training_graph(&f->m, f->diag));
    simplify(f->arena, &f->m.train);
    graph_verify(f->m.train.graph, f->m.train.root.v, f->m.train.root.n);
    *before = g->node.n;
    int n = f->m.train.graph->node.n;
    done(f);
    return n;
}

/* Every layer costs the same number of nodes: nothing is kept twice, nothing grows with depth. */
static void test_depth(void **state)
{
    (void)state;
    int before, n4 = nodes_of(4, &before), n8 = nodes_of(8, &before), n48 = nodes_of(48, &before);
    assert_int_equal(n48 - n8, 10 * (n8 - n4));
    assert_true((n8 - n4) / 4 < 250);
    print_message("48 layers: %d nodes, %d when simplified\n", before, n48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_total_of_weights),
        cmocka_unit_test(test_no_weight_at_all),
        cmocka_unit_test(test_random_weight),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_buffer_reads_the_old_value),
        cmocka_unit_test(test_loss_rules),
        cmocka_unit_test(test_unused_parameters),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_reports_in_training),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
