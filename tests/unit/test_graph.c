/* Nodes: types, phases, sharing, the identities, and what verify() and print() say. */
#include "frontend/graph/graph.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fix {
    Arena *arena;
    Diag *diag;
    Graph *g;
} Fix;

static Fix fix(void)
{
    Fix f = {.arena = arena_new()};
    f.diag = diag_new(f.arena, sources_new(f.arena), NULL);
    f.g = graph_new(f.arena, f.diag);
    return f;
}

static Type shape(DType t, bool batched, int ndim, int64_t a, int64_t b, int64_t c)
{
    return (Type){.dtype = t, .batched = batched, .ndim = ndim, .dim = {a, b, c}};
}

static Node *leaf(Graph *g, Op op, int index, Type t)
{
    Attr a = {.leaf = {index}};
    return graph_add(g, op, NULL, 0, &a, &t);
}

static Node *input(Graph *g, int index, int64_t a, int64_t b)
{
    return leaf(g, OP_INPUT, index, shape(DT_F32, true, 2, a, b, 0));
}

static Node *param(Graph *g, int index, int64_t a, int64_t b)
{
    return leaf(g, OP_PARAM, index, shape(DT_F32, false, 2, a, b, 0));
}

static void test_types(void **state)
{
    (void)state;
    Fix f = fix();
    Node *x = input(f.g, 0, 4, 6), *w = param(f.g, 0, 6, 3);
    Node *y = g2(f.g, OP_MATMUL, x, w);
    assert_string_equal(type_text(f.arena, &y->type), "[4, 3]");
    assert_true(y->type.batched);
    Node *row = g_reduce(f.g, OP_SUM, y, axis_bit(y, -1));
    assert_string_equal(type_text(f.arena, &row->type), "[4, 1]");
    Node *sum = g2(f.g, OP_ADD, row, leaf(f.g, OP_PARAM, 1, shape(DT_F32, false, 1, 3, 0, 0)));
    assert_string_equal(type_text(f.arena, &sum->type), "[4, 3]");
    assert_string_equal(type_text(f.arena, &g2(f.g, OP_LT, x, g_const(f.g, DT_F32, 0))->type),
                        "bool[4, 6]");
    Type scalar = {.dtype = DT_INT};
    assert_string_equal(type_text(f.arena, &scalar), "int");
    Node *acc = graph_add(f.g, OP_MATMUL_ACC, (Node *[]){x, y}, 2, NULL, NULL);
    assert_string_equal(type_text(f.arena, &acc->type), "[6, 3]");
    assert_true(is_accumulator(acc) && !acc->type.batched);
    graph_verify(f.g, &acc, 1);
    arena_free(f.arena);
}

static void test_mistakes(void **state)
{
    (void)state;
    Fix f = fix();
    Node *x = input(f.g, 0, 4, 6), *w = param(f.g, 0, 5, 3);
    Node *y = g2(f.g, OP_MATMUL, x, w);
    assert_int_equal(y->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 1);
    Node *silent = g2(f.g, OP_ADD, y, x);
    assert_int_equal(silent->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 1);
    f.g->at.lo = 1;
    assert_int_equal(g2(f.g, OP_ADD, x, w)->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 2);
    int64_t dim[] = {5, 5};
    assert_int_equal(g_reshape(f.g, x, 2, dim)->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 3);
    assert_int_equal(g_slice(f.g, x, 0, 3, 3)->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 4);
    Node *b = g2(f.g, OP_LT, x, x);
    assert_int_equal(g2(f.g, OP_MUL, b, x)->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 5);
    assert_int_equal(g_swap(f.g, g_const(f.g, DT_F32, 1))->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 6);
    arena_free(f.arena);
}

/* An average is complete after the last round: nothing per sample may use it. */
static void test_phases(void **state)
{
    (void)state;
    Fix f = fix();
    Graph *g = f.g;
    Node *x = input(g, 0, 4, 6), *w = param(g, 0, 4, 6);
    Node *w2 = g1(g, OP_EXP, w);
    assert_int_equal(w2->phase, PHASE_PRE);
    Node *y = g2(g, OP_MUL, x, w2);
    assert_int_equal(y->phase, PHASE_ROUND);
    Node *avg = graph_add(g, OP_AVERAGE, &y, 1, NULL, NULL);
    assert_int_equal(avg->phase, PHASE_ROUND);
    assert_int_equal(phase_ready(avg), PHASE_POST);
    Node *root = g1(g, OP_SQRT, avg);
    assert_int_equal(root->phase, PHASE_POST);
    assert_int_equal(f.diag->errors, 0);
    assert_int_equal(g2(g, OP_MUL, x, avg)->type.dtype, DT_ERROR);
    assert_int_equal(f.diag->errors, 1);

    g->weight = true;
    Node *xw = input(g, 0, 4, 6);
    Node *total = g_reduce(g, OP_BATCH_SUM, xw, 3);
    g->weight = false;
    assert_ptr_not_equal(xw, x);
    assert_int_equal(xw->phase, PHASE_WEIGHT);
    assert_int_equal(total->phase, PHASE_WEIGHT);
    Node *inv = g2(g, OP_DIV, g_const(g, DT_F32, 1), total);
    assert_int_equal(inv->phase, PHASE_MID);
    assert_int_equal(g2(g, OP_MUL, x, g_squeeze(g, inv, 3))->phase, PHASE_ROUND);

    g->update = true;
    Node *next = g2(g, OP_MUL, w, w);
    Node *set = graph_add(g, OP_ASSIGN, (Node *[]){w, next}, 2, NULL, NULL);
    g->update = false;
    assert_int_equal(next->phase, PHASE_UPDATE);
    assert_int_equal(w->phase, PHASE_PRE);
    assert_true(set->effect && set->phase == PHASE_UPDATE);
    Node *again = graph_add(g, OP_ASSIGN, (Node *[]){w, next}, 2, NULL, NULL);
    assert_ptr_not_equal(set, again);
    graph_verify(g, (Node *[]){set, inv, root}, 3);
    arena_free(f.arena);
}

static void test_sharing(void **state)
{
    (void)state;
    Fix f = fix();
    Graph *g = f.g;
    Node *x = input(g, 0, 4, 6);
    assert_ptr_equal(x, input(g, 0, 4, 6));
    assert_ptr_not_equal(x, input(g, 1, 4, 6));
    Node *e = g1(g, OP_EXP, x);
    assert_ptr_equal(e, g1(g, OP_EXP, x));
    g->recompute = true;
    Node *again = g1(g, OP_EXP, x);
    g->recompute = false;
    assert_ptr_not_equal(e, again);
    g->backward = true;
    Node *back = g1(g, OP_LOG, x);
    assert_ptr_equal(e, g1(g, OP_EXP, x));
    g->backward = false;
    Node *forward = g1(g, OP_LOG, x);
    assert_ptr_not_equal(back, forward);
    assert_ptr_not_equal(g_const(g, DT_F32, 0.0), g_const(g, DT_F32, -0.0));
    for (int i = 0; i < 5000; i++) {
        Node *c = g_const(g, DT_INT, i);
        assert_ptr_equal(c, g_const(g, DT_INT, i));
    }
    arena_free(f.arena);
}

static void test_identities(void **state)
{
    (void)state;
    Fix f = fix();
    Graph *g = f.g;
    Node *x = input(g, 0, 4, 6), *one = g_const(g, DT_F32, 1), *zero = g_const(g, DT_F32, 0);
    assert_ptr_equal(g2(g, OP_MUL, x, one), x);
    assert_ptr_equal(g2(g, OP_MUL, g_const(g, DT_INT, 1), x), x);
    assert_ptr_equal(g2(g, OP_DIV, x, one), x);
    assert_ptr_equal(g2(g, OP_SUB, x, zero), x);
    assert_ptr_not_equal(g2(g, OP_ADD, x, zero), x); /* -0 + 0 is 0 */
    assert_ptr_not_equal(g2(g, OP_MUL, x, zero), zero);
    assert_ptr_equal(g1(g, OP_NEG, g1(g, OP_NEG, x)), x);
    assert_ptr_equal(g_swap(g, g_swap(g, x)), x);
    int64_t flat[] = {24}, square[] = {4, 6};
    assert_ptr_equal(g_reshape(g, g_reshape(g, x, 1, flat), 2, square), x);
    assert_ptr_equal(g_slice(g, x, 0, 0, 4), x);
    assert_int_equal(g_slice(g, g_slice(g, x, 1, 2, 6), 1, 1, 3)->attr.slice.lo, 3);
    Node *six = g2(g, OP_MUL, g_const(g, DT_INT, 2), g_const(g, DT_INT, 3));
    assert_true(six->op == OP_CONST && six->attr.constant.value == 6);
    Node *big = g2(g, OP_MUL, g_const(g, DT_INT, 1 << 30), g_const(g, DT_INT, 2));
    assert_int_equal(big->op, OP_MUL); /* does not fit: left for the run */
    Node *wide = g_broadcast(g, g_const(g, DT_F32, 2), &x->type);
    Node *neg = g1(g, OP_NEG, wide);
    assert_true(neg->op == OP_BROADCAST && neg->in[0]->attr.constant.value == -2);
    assert_ptr_equal(g2(g, OP_MUL, x, wide), g2(g, OP_MUL, x, g_const(g, DT_F32, 2)));
    Type t = shape(DT_INT, false, 1, 3, 0, 0);
    Node *w = param(g, 0, 5, 6), *rows = g2(g, OP_GATHER, w, g_iota(g, &t, 0, 1, 1));
    assert_int_equal(rows->op, OP_SLICE);
    graph_verify(g, (Node *[]){neg, rows}, 2);
    arena_free(f.arena);
}

static void test_print(void **state)
{
    (void)state;
    Fix f = fix();
    f.g->path = "h.0";
    Node *x = input(f.g, 0, 4, 6);
    Node *y = g_reduce(f.g, OP_SUM, g1(f.g, OP_EXP, x), 3);
    StrBuf s = strbuf_new(f.arena);
    graph_print(&s, f.g, &y, 1);
    assert_string_equal(s.text, "%0 = input #0 : [4, 6] batched round  # h.0\n"
                                "%1 = exp %0 : [4, 6] batched round  # h.0\n"
                                "%2 = sum %1 axes=0,1 : [1, 1] batched round  # h.0\n");
    arena_free(f.arena);
}

/* Attributes written over old bytes must compare equal all the same. */
static void test_stray_bytes(void **state)
{
    (void)state;
    Fix f = fix();
    Node *x = input(f.g, 0, 4, 6);
    Attr a, b;
    memset(&a, 0xff, sizeof a);
    memset(&b, 0x55, sizeof b);
    a.slice.axis = b.slice.axis = 1;
    a.slice.lo = b.slice.lo = 2;
    a.slice.hi = b.slice.hi = 5;
    assert_ptr_equal(graph_add(f.g, OP_SLICE, &x, 1, &a, NULL),
                     graph_add(f.g, OP_SLICE, &x, 1, &b, NULL));
    arena_free(f.arena);
}

static void test_rows(void **state)
{
    (void)state;
    for (int i = 0; i < N_OPS; i++) {
        assert_non_null(op_info[i].name);
        assert_non_null(op_info[i].kernel);
        assert_int_equal(!strcmp(op_info[i].kernel, "MAP"), op_info[i].map != NULL);
    }
    assert_true(op_info[OP_MATMUL].differentiable);
    assert_false(op_info[OP_FLOOR].differentiable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),       cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_phases),      cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_identities),  cmocka_unit_test(test_print),
        cmocka_unit_test(test_stray_bytes), cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
