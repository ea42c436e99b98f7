/* Gradients of every differentiable row of the op table, as the emitted program computes them:
 * compiled in double, run phase by phase, compared with central differences of its own loss. */
#include "frontend/lower.h"
#include "planner/verify/verify.h"
#include "tests/grad/cases.h"
#include "tests/grad/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 3, MOST = 128 };
static const double bound = 1e-6;

typedef struct Work { /* one program on its way */
    const char *name;
    Model *model;
    const bmrt_model *program;
} Work;

typedef struct Suite {
    Arena *arena;
    Diag *diag;
    Sources *sources;
    Batch batch;
    Work work[MOST];
    int n;
    int uses[N_OPS]; /* cases that lead a gradient through the row */
} Suite;

/* ---- which rows a case covers ---- */

/* Rows between a parameter and the loss, through which a gradient passes. */
static void count_uses(Suite *s, const Model *m)
{
    const Graph *g = m->train.graph;
    Node *loss = m->train.loss;
    NodeList list = graph_reach(s->arena, g, &loss, 1);
    bool *depends = arena_array(s->arena, bool, g->node.n + 1), seen[N_OPS] = {false};
    for (int i = 0; i < list.n; i++) {
        const Node *n = list.v[i];
        bool dead = n->type.dtype != DT_F32 || n->op == OP_DETACH || n->op == OP_FLOOR;
        for (int k = 0; k < n->n_in && !dead; k++)
            depends[n->id] |= depends[n->in[k]->id];
        if (depends[n->id])
            seen[n->op] = true;
        depends[n->id] |= n->op == OP_PARAM;
    }
    for (int i = 0; i < N_OPS; i++)
        s->uses[i] += seen[i];
}

/* Why a row has no gradient. */
static const char *reason(Op op)
{
    switch (op) {
    case OP_INPUT:
    case OP_PARAM:
    case OP_BUFFER:
    case OP_STATE:
    case OP_HOST:
    case OP_CONST:
    case OP_IOTA:
    case OP_SAMPLE_INDEX:
    case OP_RANDOM:
        return "has no operands";
    case OP_SIGN:
    case OP_FLOOR:
        return "constant almost everywhere";
    case OP_DETACH:
        return "stops gradients: tests/random";
    case OP_NOT:
    case OP_LT:
    case OP_LE:
    case OP_EQ:
    case OP_NE:
    case OP_AND:
    case OP_OR:
        return "gives bools";
    case OP_IDIV:
    case OP_MOD:
    case OP_ARGMAX:
        return "gives ints";
    case OP_ONE_HOT:
        return "of ints";
    case OP_PART:
        return "its operand's row";
    case OP_GELU_TANH_D:
    case OP_SCATTER:
    case OP_MATMUL_ACC:
    case OP_ATTENTION_GRAD:
    case OP_BATCH_SUM:
        return "made by gradients";
    case OP_AVERAGE:
        return "the loss: gradients start at its operand";
    case OP_ASSIGN:
    case OP_GRAD:
    case OP_SUM_SQUARES:
        return "made by the update";
    default:
        return NULL;
    }
}

/* ---- from text or nodes to a program ---- */

static bool add_program(Suite *s, const char *name, Model *m, ChangeFn *change, void *ctx)
{
    bool no_fit = false;
    PlanOptions o = {.micro_batch = GRAD_MICRO};
    count_uses(s, m);
    if (!hand_graphs(m, s->diag, change, ctx))
        return false;
    Plan *p = plan_build(s->arena, m, &o, s->diag, &no_fit);
    if (!p || !plan_verify(p, s->diag))
        return false;
    batch_add(&s->batch, p);
    if (s->n == MOST)
        BUG("more than %d cases", MOST);
    s->work[s->n++] = (Work){.name = name, .model = m};
    return true;
}

static Model *model_of(Suite *s, const GradCase *c, int number)
{
    const char *path = arena_printf(s->arena, "case_%d.bm", number);
    FILE *f = fopen(path, "w");
    if (!f)
        die("cannot write %s", path);
    fprintf(f,
            "model M {\n%s\nforward(%s) {\n%s\n}\n}\n"
            "train {\nbatch = %d\nsteps = 1\noptimizer = sgd(lr = 0.1, momentum = 0.9)\n}\n",
            c->members, c->inputs, c->body, GRAD_BATCH);
    fclose(f);
    return lower_model(s->arena, s->sources, path, NULL, 0, s->diag);
}

static const GradCase *case_of(const char *name)
{
    for (int i = 0; i < countof(grad_case); i++)
        if (!strcmp(grad_case[i].name, name))
            return &grad_case[i];
    BUG("no case %s", name);
}

/* Rows the language's text does not lead to: a cast between floats is there for narrower ones, and
 * broadcasting is implicit. */
static Model *broadcast_and_cast(Suite *s)
{
    Model *m = hand_model(s->arena, s->diag, "Views", GRAD_BATCH);
    Graph *g = m->train.graph;
    Type small = {.dtype = DT_F32, .ndim = 2, .dim = {2, 1}};
    Type wide = {.dtype = DT_F32, .batched = true, .ndim = 3, .dim = {4, 2, 3}}, row = wide;
    row.ndim = 1;
    row.dim[0] = 3;
    Node *w = hand_param(m, "w", &small, false), *x = hand_input(m, "x", &row);
    m->param.v[0].init = (Init){.kind = INIT_UNIFORM, .a = -2, .b = 2};
    Node *fp32 = graph_add(g, OP_CAST, &w, 1, NULL, &(Type){.dtype = DT_F32});
    Node *a = graph_add(g, OP_BROADCAST, &w, 1, NULL, &wide);
    Node *wx = g2(g, OP_MUL, x, fp32), *b;
    Type pair = wx->type;
    pair.ndim = 3;
    memcpy(pair.dim, (int64_t[]){4, 2, 3}, 3 * sizeof *pair.dim);
    b = graph_add(g, OP_BROADCAST, &wx, 1, NULL, &pair);
    Node *y = g2(g, OP_MUL, g2(g, OP_MUL, a, a), g1(g, OP_SIN, b));
    hand_finish(m, graph_add(g, OP_AVERAGE, &y, 1, NULL, NULL));
    return m;
}

static Suite *new_suite(const char *name)
{
    Arena *a = arena_new();
    Suite *s = arena_make(a, Suite);
    s->arena = a;
    s->sources = sources_new(a);
    s->diag = diag_new(a, s->sources, stderr);
    s->batch = batch_new(a, ".", name);
    return s;
}

static bool build(Suite *s)
{
    if (!batch_build(&s->batch, "-O1"))
        return false;
    for (int i = 0; i < s->n; i++)
        s->work[i].program = batch_model(&s->batch, i);
    return true;
}

static void done(Suite *s)
{
    batch_close(&s->batch);
    arena_free(s->arena);
}

/* ---- the tests ---- */

static void every_row(void **state)
{
    Suite *s = *state;
    int rows = 0, missing = 0;
    for (int i = 0; i < N_OPS; i++) {
        const char *why = reason((Op)i);
        if (!op_info[i].differentiable && why)
            printf("not differentiable: %-14s %s\n", op_info[i].name, why);
        else if (!op_info[i].differentiable || why || !s->uses[i]) {
            missing++;
            fprintf(stderr, "no case leads a gradient through `%s`\n", op_info[i].name);
        }
        rows += op_info[i].differentiable;
    }
    printf("%d rows with a gradient, %d without a case\n", rows, missing);
    assert_int_equal(missing, 0);
}

static void every_gradient(void **state)
{
    Suite *s = *state;
    int bad = 0, tensors = 0;
    double worst = 0;
    for (int i = 0; i < s->n; i++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            Mark m = arena_mark(s->arena);
            GradWorst w = grad_check(s->arena, s->work[i].model, s->work[i].program, seed);
            arena_rewind(s->arena, m);
            tensors += w.tensors;
            worst = fmax(worst, w.error);
            if (w.error <= bound)
                continue;
            bad++;
            fprintf(stderr, "%s, seed %d: %s is off by %.2e\n", s->work[i].name, (int)seed,
                    w.path ? w.path : "?", w.error);
        }
    printf("%d cases, %d seeds, %d tensors: worst %.1e, bound %.0e, %d above it\n", s->n, SEEDS,
           tensors, worst, bound, bad);
    assert_int_equal(bad, 0);
}

/* A row that was wrong would build other nodes: one of a gradient's nodes is changed as a slip in
 * its row would change it, and the check must see it. */
typedef struct Slip {
    const char *name; /* case */
    Op op;            /* of the gradient's node */
    double value;     /* CONST: the one that is scaled by 1.001 */
    Op becomes;
} Slip;

static void slip_in(Program *p, void *ctx)
{
    const Slip *slip = ctx;
    for (int i = 0; i < p->graph->node.n; i++) {
        Node *n = p->graph->node.v[i];
        if (!n->backward || n->op != slip->op)
            continue;
        if (n->op != OP_CONST)
            n->op = slip->becomes;
        else if (fabs(n->attr.constant.value - slip->value) < 1e-9)
            n->attr.constant.value *= 1.001;
    }
}

static void wrong_rows_are_seen(void **state)
{
    static const Slip slip[] = {
        {"gelu", OP_CONST, 0.39894228040143267794, OP_CONST},
        {"erf", OP_CONST, 1.12837916709551257390, OP_CONST},
        {"sin", OP_COS, 0, OP_SIN},
        {"tanh", OP_SUB, 0, OP_ADD},
        {"cumsum", OP_CUMSUM, 0, OP_DETACH},
    };
    (void)state;
    Suite *s = new_suite("slip");
    for (int i = 0; i < countof(slip); i++) {
        Slip one = slip[i];
        Model *m = model_of(s, case_of(one.name), 1000 + i);
        assert_non_null(m);
        assert_true(add_program(s, one.name, m, slip_in, &one));
    }
    assert_true(build(s));
    for (int i = 0; i < s->n; i++) {
        GradWorst w = grad_check(s->arena, s->work[i].model, s->work[i].program, 1);
        printf("a wrong row of %s: off by %.1e\n", s->work[i].name, w.error);
        assert_true(w.error > 10 * bound);
    }
    done(s);
}

static int setup(void **state)
{
    Suite *s = new_suite("cases");
    int bad = 0;
    *state = s;
    for (int i = 0; i < countof(grad_case); i++) {
        Model *m = model_of(s, &grad_case[i], i);
        if (m && add_program(s, grad_case[i].name, m, NULL, NULL))
            continue;
        fprintf(stderr, "case %s is not compiled\n", grad_case[i].name);
        bad++;
        s->diag->errors = 0;
    }
    if (!add_program(s, "views", broadcast_and_cast(s), NULL, NULL))
        bad++;
    return !build(s) || bad;
}

static int teardown(void **state)
{
    done(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(every_gradient),
        cmocka_unit_test(wrong_rows_are_seen),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests(tests, setup, teardown);
}
