/* Every gradient row against central differences, before and after simplify(); kinks, structure and
 * refusals. */
#include "tests/unit/grad_cases.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static const double tolerance = 1e-6;

typedef struct Built {
    Node *y, *grad[MAX_LEAVES];
    double *w; /* values of the seed */
    int n;     /* leaves whose gradients were asked for */
} Built;

static Built build(Check *c, const Case *k)
{
    Built b = {.y = k->build(c)};
    b.n = c->n_leaf;
    Type t = b.y->type;
    Node *seed = leaf_of(c, ANY, t.batched, t.ndim, t.dim, 0);
    b.w = c->value[c->n_leaf - 1];
    Node *wrt[MAX_LEAVES];
    for (int i = 0; i < b.n; i++)
        wrt[i] = c->leaf[i];
    assert_true(autodiff(c->g, &b.y, &seed, 1, wrt, b.grad, b.n));
    assert_int_equal(c->diag->errors, 0);
    return b;
}

static bool is_float(const Check *c, int i)
{
    return c->draw[i] != INDEX && c->draw[i] != COIN;
}

/* Checks all leaves; `spoil` scales the gradients, to see that the check can fail. */
static double worst_difference(Check *c, const Built *b, double spoil)
{
    double worst = 0;
    for (int i = 0; i < b->n; i++) {
        if (!is_float(c, i))
            continue;
        assert_non_null(b->grad[i]);
        assert_true(type_same(&b->grad[i]->type, &c->leaf[i]->type));
        double *got = check_run(c, b->grad[i]);
        for (int64_t j = 0; j < check_count(b->grad[i]); j++)
            got[j] *= spoil;
        worst = fmax(worst, difference(c, i, got, b->y, b->w));
    }
    return worst;
}

static void test_every_row(void **state)
{
    (void)state;
    int failed = 0;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int i = 0; i < countof(grad_case); i++) {
            Check c = check_new(seed * 977 + (uint64_t)i);
            Built b = build(&c, &grad_case[i]);
            graph_verify(c.g, b.grad, 0);
            for (int k = 0; k < b.n; k++)
                if (b.grad[k])
                    graph_verify(c.g, &b.grad[k], 1);
            double d = worst_difference(&c, &b, 1);
            if (!(d <= tolerance)) {
                print_error("%s: %g (seed %d)\n", grad_case[i].name, d, (int)seed);
                failed++;
            }
            arena_free(c.arena);
        }
    assert_int_equal(failed, 0);
}

static void test_no_row_is_missing(void **state)
{
    (void)state;
    for (int op = 0; op < N_OPS; op++) {
        bool found = !op_info[op].differentiable;
        for (int i = 0; i < countof(grad_case); i++)
            found |= (int)grad_case[i].op == op;
        if (!found)
            fail_msg("no gradient case for %s", op_info[op].name);
    }
}

static void test_each_case_uses_its_op(void **state)
{
    (void)state;
    for (int i = 0; i < countof(grad_case); i++) {
        Check c = check_new(5);
        Node *y = grad_case[i].build(&c);
        NodeList list = graph_reach(c.arena, c.g, &y, 1);
        bool found = false;
        for (int k = 0; k < list.n; k++)
            found |= list.v[k]->op == grad_case[i].op;
        if (!found)
            fail_msg("%s does not use its op", grad_case[i].name);
        arena_free(c.arena);
    }
}

static void test_a_wrong_gradient_is_seen(void **state)
{
    (void)state;
    for (int i = 0; i < countof(grad_case); i++) {
        Check c = check_new(11);
        Built b = build(&c, &grad_case[i]);
        assert_true(worst_difference(&c, &b, 1.0001) > tolerance);
        arena_free(c.arena);
    }
}

/* The same numbers after simplify(), and no row left without a kernel. */
static void test_simplified(void **state)
{
    (void)state;
    for (int i = 0; i < countof(grad_case); i++) {
        Check c = check_new(23);
        Built b = build(&c, &grad_case[i]);
        Program p = {.graph = c.g};
        double *before[MAX_LEAVES];
        int n = 0;
        for (int k = 0; k < b.n; k++)
            if (b.grad[k]) {
                before[n++] = check_run(&c, b.grad[k]);
                vec_push(c.arena, &p.root, b.grad[k]);
            }
        simplify(c.arena, &p);
        c.g = p.graph;
        graph_verify(p.graph, p.root.v, p.root.n);
        for (int k = 0; k < p.graph->node.n; k++)
            assert_string_not_equal(op_info[p.graph->node.v[k]->op].kernel, "EXPAND");
        for (int k = 0; k < n; k++) {
            double *after = check_run(&c, p.root.v[k]);
            for (int64_t j = 0; j < check_count(p.root.v[k]); j++)
                assert_true(fabs(after[j] - before[k][j]) <= 1e-12 * (1 + fabs(before[k][j])));
        }
        arena_free(c.arena);
    }
}

/* A row that is -inf throughout (everything masked) has the log-sum-exp -inf, not NaN. */
static void test_empty_row(void **state)
{
    (void)state;
    Check c = check_new(1);
    Node *x = PLAIN(&c, ANY, 2, 3);
    for (int i = 0; i < 3; i++)
        c.value[0][i] = -INFINITY;
    Program p = {.graph = c.g};
    vec_push(c.arena, &p.root, g_reduce(c.g, OP_LOGSUMEXP, x, 2));
    simplify(c.arena, &p);
    c.g = p.graph;
    double *y = check_run(&c, p.root.v[0]);
    assert_true(y[0] == -INFINITY && isfinite(y[1]));
    arena_free(c.arena);
}

/* ---- kinks: what PyTorch does ---- */

static double *grad_at(Check *c, Node *y, Node *x, double *value, const double *point, int n)
{
    Node *seed = g_broadcast(c->g, g_const(c->g, DT_F32, 1), &y->type), *grad;
    assert_true(autodiff(c->g, &y, &seed, 1, &x, &grad, 1));
    memcpy(value, point, (size_t)n * sizeof *point);
    return check_run(c, grad);
}

static void test_kinks(void **state)
{
    (void)state;
    Check c = check_new(1);
    Node *x = PLAIN(&c, ANY, 3), *zero = g_const(c.g, DT_F32, 0);
    const double point[] = {-1, 0, 2};
    double *v = c.value[0];
    double *relu = grad_at(&c, g1(c.g, OP_RELU, x), x, v, point, 3);
    assert_true(relu[0] == 0 && relu[1] == 0 && relu[2] == 1);
    double *size = grad_at(&c, g1(c.g, OP_ABS, x), x, v, point, 3);
    assert_true(size[0] == -1 && size[1] == 0 && size[2] == 1);
    double *clamp = grad_at(&c, g2(c.g, OP_MAX, x, zero), x, v, point, 3);
    assert_true(clamp[0] == 0 && clamp[1] == 1 && clamp[2] == 1);
    Node *y = PLAIN(&c, ANY, 3);
    memcpy(c.value[1], (double[]){-1, 5, 1}, 3 * sizeof(double));
    double *half = grad_at(&c, g2(c.g, OP_MIN, x, y), x, v, point, 3);
    assert_true(half[0] == 0.5 && half[1] == 1 && half[2] == 0);
    const double ties[] = {2, 1, 2};
    double *even = grad_at(&c, g_reduce(c.g, OP_MAX_OF, x, 1), x, v, ties, 3);
    assert_true(even[0] == 0.5 && even[1] == 0 && even[2] == 0.5);
    arena_free(c.arena);
}

/* ---- structure ---- */

static int count_op(Check *c, Node *root, Op op)
{
    NodeList list = graph_reach(c->arena, c->g, &root, 1);
    int n = 0;
    for (int i = 0; i < list.n; i++)
        n += list.v[i]->op == op && list.v[i]->backward;
    return n;
}

static Node *gradient(Check *c, Node *y, Node *x)
{
    Node *seed = leaf_of(c, ANY, y->type.batched, y->type.ndim, y->type.dim, 0), *grad;
    assert_true(autodiff(c->g, &y, &seed, 1, &x, &grad, 1));
    return grad;
}

static void test_split_is_one_concat(void **state)
{
    (void)state;
    Check c = check_new(1);
    Graph *g = c.g;
    Node *x = BATCHED(&c, ANY, 4, 6);
    Node *q = g_slice(g, x, 1, 0, 2), *k = g_slice(g, x, 1, 2, 4), *v = g_slice(g, x, 1, 4, 6);
    Node *y = g2(g, OP_MUL, g2(g, OP_MUL, g1(g, OP_SIN, k), q), g2(g, OP_ADD, q, v));
    Node *d = gradient(&c, y, x);
    assert_int_equal(d->op, OP_CONCAT);
    assert_int_equal(d->n_in, 3);
    assert_int_equal(count_op(&c, d, OP_PAD), 0);
    assert_int_equal(count_op(&c, d, OP_CONCAT), 1);
    arena_free(c.arena);
}

static void test_weight_gradient_is_one_product(void **state)
{
    (void)state;
    Check c = check_new(1);
    Node *w = PLAIN(&c, ANY, 4, 3), *bias = PLAIN(&c, ANY, 3);
    Node *y = g2(c.g, OP_ADD, g2(c.g, OP_MATMUL, BATCHED(&c, ANY, 5, 4), w), bias);
    assert_int_equal(gradient(&c, y, w)->op, OP_MATMUL_ACC);
    Node *d = gradient(&c, y, bias);
    assert_int_equal(d->op, OP_RESHAPE);
    assert_int_equal(d->in[0]->op, OP_BATCH_SUM);
    assert_int_equal(d->in[0]->in[0]->op, OP_INPUT);
    Node *left = g2(c.g, OP_MATMUL, w, BATCHED(&c, ANY, 2, 3, 5));
    assert_int_equal(gradient(&c, left, w)->op, OP_MATMUL_ACC);
    arena_free(c.arena);
}

static void test_where_it_stops(void **state)
{
    (void)state;
    Check c = check_new(1);
    Graph *g = c.g;
    Node *x = BATCHED(&c, ANY, 3);
    Op flat[] = {OP_FLOOR, OP_SIGN, OP_DETACH};
    for (int i = 0; i < countof(flat); i++)
        assert_null(gradient(&c, g1(g, flat[i], x), x));
    Node *mask = g2(g, OP_LT, x, g_const(g, DT_F32, 0));
    assert_null(gradient(&c, g_cast(g, mask, DT_F32), x));
    Node *other = BATCHED(&c, ANY, 3);
    assert_null(gradient(&c, g1(g, OP_EXP, other), x));
    int before = g->node.n;
    gradient(&c, g2(g, OP_MUL, g1(g, OP_EXP, other), x), x);
    assert_int_equal(g->node.n - before, 3); /* mul, seed, d x: nothing for other */
    assert_int_equal(c.diag->errors, 0);
    arena_free(c.arena);
}

static void test_no_silent_zero(void **state)
{
    (void)state;
    Check c = check_new(1);
    Node *x = BATCHED(&c, ANY, 3), *y = g1(c.g, OP_GELU_TANH_D, x), *grad;
    assert_false(autodiff(c.g, &y, &y, 1, &x, &grad, 1));
    assert_int_equal(c.diag->errors, 1);
    arena_free(c.arena);
}

static void test_stamps(void **state)
{
    (void)state;
    Check c = check_new(1);
    Graph *g = c.g;
    vec_push(c.arena, &g->instance, ((Instance){"h.0", "Layer", 0, 1}));
    Node *x = BATCHED(&c, ANY, 3);
    g->path = "h.0.act";
    g->cur_instance = 1;
    Node *y = g1(g, OP_TANH, x);
    g->path = "";
    g->cur_instance = 0;
    Node *d = gradient(&c, y, x);
    assert_string_equal(d->path, "h.0.act");
    assert_int_equal(d->instance, 1);
    assert_true(d->backward && !y->backward);
    assert_string_equal(g->path, "");
    assert_false(g->backward);
    arena_free(c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_no_row_is_missing),
        cmocka_unit_test(test_each_case_uses_its_op),
        cmocka_unit_test(test_a_wrong_gradient_is_seen),
        cmocka_unit_test(test_simplified),
        cmocka_unit_test(test_empty_row),
        cmocka_unit_test(test_kinks),
        cmocka_unit_test(test_split_is_one_concat),
        cmocka_unit_test(test_weight_gradient_is_one_product),
        cmocka_unit_test(test_where_it_stops),
        cmocka_unit_test(test_no_silent_zero),
        cmocka_unit_test(test_stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
