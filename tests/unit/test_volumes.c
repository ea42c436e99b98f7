/* The published figures of state and traffic, from our functions. */
#include "frontend/lower.h"
#include "planner/volumes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIGA 1e9
#define GIB  1073741824.0

static void expect_near(double got, double want, double within)
{
    if (fabs(got - want) > within)
        fail_msg("%.6g, expected %.6g", got, want);
}

/* Of 1000 n parameters, in bytes a parameter: whole + shared / n. */
static void expect_state(Precision t, Level l, int whole, int shared)
{
    for (int64_t n = 1; n <= 4096; n *= 2) {
        int64_t params = 1000 * n;
        assert_int_equal(state_bytes(precision_bytes(t), l, params, n),
                         whole * params + shared * 1000);
    }
}

static void state_by_level(void **state)
{
    (void)state;
    expect_state(PRECISION_F32, LEVEL_0, 16, 0);
    expect_state(PRECISION_F32, LEVEL_1, 8, 8);
    expect_state(PRECISION_F32, LEVEL_2, 4, 12);
    expect_state(PRECISION_F32, LEVEL_3, 0, 16);
    expect_state(PRECISION_F32, LEVEL_ONCE, 0, 16);
    expect_state(PRECISION_MIXED, LEVEL_0, 16, 0);
    expect_state(PRECISION_MIXED, LEVEL_1, 4, 12);
    expect_state(PRECISION_MIXED, LEVEL_2, 2, 14);
    expect_state(PRECISION_MIXED, LEVEL_3, 0, 16);
    expect_state(PRECISION_BF16_MAIN, LEVEL_0, 18, 0);
    expect_state(PRECISION_BF16_MAIN, LEVEL_1, 6, 12);
    expect_state(PRECISION_BF16_MAIN, LEVEL_2, 2, 16);
    expect_state(PRECISION_BF16_MAIN, LEVEL_3, 0, 18);
    expect_state(PRECISION_FP16_MAIN, LEVEL_0, 20, 0);
    expect_state(PRECISION_FP16_MAIN, LEVEL_1, 4, 16);
    expect_state(PRECISION_DS_ESTIMATOR, LEVEL_0, 20, 0);
}

/* Shares of what level 0 keeps that levels 1 and 2 save: in f32 and mixed, at 8 ranks and in the
 * limit of many. */
static void state_saved(void **state)
{
    (void)state;
    static const struct {
        Precision t;
        Level l;
        double at_8, limit;
    } row[] = {{PRECISION_F32, LEVEL_1, 0.438, 0.5},
               {PRECISION_F32, LEVEL_2, 0.656, 0.75},
               {PRECISION_MIXED, LEVEL_1, 0.656, 0.75},
               {PRECISION_MIXED, LEVEL_2, 0.766, 0.875},
               {PRECISION_BF16_MAIN, LEVEL_1, 12 * 7 / 8.0 / 18, 2 / 3.0},
               {PRECISION_BF16_MAIN, LEVEL_2, 16 * 7 / 8.0 / 18, 8 / 9.0},
               {PRECISION_FP16_MAIN, LEVEL_1, 16 * 7 / 8.0 / 20, 0.8}};
    for (int i = 0; i < countof(row); i++) {
        StateBytes b = precision_bytes(row[i].t);
        int64_t params = INT64_C(1) << 40;
        double all = (double)state_bytes(b, LEVEL_0, params, 1);
        expect_near(1 - (double)state_bytes(b, row[i].l, params, 8) / all, row[i].at_8, 0.0006);
        expect_near(1 - (double)state_bytes(b, row[i].l, params, 1 << 20) / all, row[i].limit,
                    1e-5);
    }
}

/* ZeRO, figure 1: 7.5 billion parameters on 64 ranks, mixed precision. Table 1: a trillion on 1024.
 */
static void state_of_the_zero_paper(void **state)
{
    (void)state;
    StateBytes b = precision_bytes(PRECISION_MIXED);
    int64_t params = INT64_C(7500000000);
    assert_int_equal(state_bytes(b, LEVEL_0, params, 64), INT64_C(120000000000));
    expect_near((double)state_bytes(b, LEVEL_1, params, 64) / GIGA, 31.41, 0.005);
    expect_near((double)state_bytes(b, LEVEL_2, params, 64) / GIGA, 16.64, 0.005);
    expect_near((double)state_bytes(b, LEVEL_3, params, 64) / GIGA, 1.88, 0.005);
    expect_near((double)state_bytes(b, LEVEL_3, INT64_C(1000000000000), 1024) / GIGA, 15.6, 0.05);
}

/* DeepSpeed's estimators on a model of 2851 million parameters. */
static void state_estimated(void **state)
{
    (void)state;
    int64_t params = 2851000000;
    expect_near((double)state_bytes_estimated(LEVEL_2, params, 0, 8) / GIB, 11.28, 0.01);
    expect_near((double)state_bytes_estimated(LEVEL_3, params, 32000000, 8) / GIB, 6.09, 0.01);
    assert_int_equal(state_bytes_estimated(LEVEL_1, params, 0, 8), -1);
}

static void elements_sent(void **state)
{
    (void)state;
    static const struct {
        Scheme s;
        int64_t one, four; /* passes with 1 and 4 micro-batches */
    } row[] = {{SCHEME_DDP, 2, 8},         {SCHEME_DDP_NO_SYNC, 2, 2},   {SCHEME_ZERO1, 2, 2},
               {SCHEME_ZERO1_DS, 3, 3},    {SCHEME_ZERO2, 2, 5},         {SCHEME_ZERO2_DS, 3, 9},
               {SCHEME_ZERO3, 3, 12},      {SCHEME_ZERO3_NO_SYNC, 3, 9}, {SCHEME_KEEP, 2, 8},
               {SCHEME_KEEP_NO_SYNC, 2, 2}};
    assert_int_equal(countof(row), N_SCHEMES);
    for (int i = 0; i < countof(row); i++) {
        assert_int_equal(scheme_passes(row[i].s, 1), row[i].one);
        assert_int_equal(scheme_passes(row[i].s, 4), row[i].four);
        for (int64_t n = 1; n <= 512; n *= 8) /* params * (n - 1) / n, exactly */
            assert_int_equal(scheme_elements(row[i].s, 51200, n, 4),
                             row[i].four * (51200 - 51200 / n));
    }
}

/* With local sums every level but 3 sends what plain data parallelism does; reduced in each round
 * they are the published ones, but level 0: only its shard is summed over rounds, and made whole
 * once. */
static void levels_follow_schemes(void **state)
{
    (void)state;
    for (int64_t g = 1; g <= 16; g++) {
        assert_int_equal(level_passes(LEVEL_0, false, g), scheme_passes(SCHEME_DDP_NO_SYNC, g));
        assert_int_equal(level_passes(LEVEL_0, true, g), scheme_passes(SCHEME_ZERO2, g));
        assert_int_equal(level_passes(LEVEL_1, false, g), scheme_passes(SCHEME_ZERO1, g));
        assert_int_equal(level_passes(LEVEL_2, false, g), scheme_passes(SCHEME_ZERO1, g));
        assert_int_equal(level_passes(LEVEL_2, true, g), scheme_passes(SCHEME_ZERO2, g));
        assert_int_equal(level_passes(LEVEL_3, true, g), scheme_passes(SCHEME_ZERO3, g));
        assert_int_equal(level_passes(LEVEL_3, false, g), scheme_passes(SCHEME_ZERO3_NO_SYNC, g));
        assert_int_equal(level_passes(LEVEL_ONCE, false, g), scheme_passes(SCHEME_KEEP_NO_SYNC, g));
    }
}

static void hybrid_groups(void **state)
{
    (void)state;
    /* 64 ranks in groups of 8: 3 g P 7/8 inside, 2 P/8 7/8 between */
    HybridElements h = hybrid_elements(6400, 64, 8, 4, false);
    assert_int_equal(h.inside, 3 * 4 * 6400 / 8 * 7);
    assert_int_equal(h.between, 4 * 2 * (6400 / 8) / 8 * 7);
    assert_int_equal(hybrid_elements(6400, 64, 8, 4, true).between, 2 * (6400 / 8) / 8 * 7);
    assert_int_equal(hybrid_elements(6400, 8, 8, 2, true).between, 0); /* one group */
}

/* ---- BMTrain: fp16 blocks, each parameter at a multiple of 512 bytes ---- */

/* A transformer block: four projections of the width, two of the feed-forward, with biases, and two
 * norms. */
static int block_table(int64_t width, int64_t ff, int64_t at[16], int64_t *flat, int64_t *params)
{
    int64_t n[16];
    int count = 0;
    for (int i = 0; i < 4; i++) {
        n[count++] = width * width;
        n[count++] = width;
    }
    n[count++] = width * ff;
    n[count++] = ff;
    n[count++] = ff * width;
    for (int i = 0; i < 5; i++)
        n[count++] = width;
    *params = 0;
    for (int i = 0; i < count; i++)
        *params += n[i];
    *flat = flat_table(n, count, 512 / 2, at);
    return count;
}

static void blocks_of_13_billion(void **state)
{
    (void)state;
    int64_t at[16], flat, params;
    assert_int_equal(block_table(5120, 20480, at, &flat, &params), 16);
    assert_int_equal(params, 314639360);
    assert_int_equal(flat, params); /* nothing is padded */
    assert_int_equal(at[1], 5120 * 5120);
    assert_int_equal(at[15] + 5120, flat);
    assert_int_equal(shard_elements(flat, 32), 9832480);
    assert_int_equal(shard_elements(flat, 3), 104879787);
    assert_int_equal(shard_elements(flat, 3) * 3 - flat, 1);
    assert_int_equal(40 * params, INT64_C(12585574400));
    /* gathered forward and backward, reduced: 73.15 GB; the rest, gathered and reduced: 1.01 GB */
    expect_near((double)(40 * sent_bytes(flat, 32, 2, 3)) / GIGA, 73.15, 0.005);
    expect_near((double)sent_bytes(259947520, 32, 2, 2) / GIGA, 1.01, 0.005);
}

static void blocks_of_the_test_model(void **state)
{
    (void)state;
    int64_t at[16], flat, params;
    block_table(2560, 8192, at, &flat, &params);
    assert_int_equal(8 * params, 545509376);
    assert_int_equal(flat, params);
    expect_near((double)(8 * sent_bytes(flat, 4, 2, 3)) / GIGA, 2.455, 0.0005);
}

static void tables_pad(void **state)
{
    (void)state;
    int64_t n[] = {1, 256, 257, 5}, at[4];
    assert_int_equal(flat_table(n, 4, 256, at), 256 + 256 + 512 + 256);
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 256);
    assert_int_equal(at[2], 512);
    assert_int_equal(at[3], 1024);
    assert_int_equal(flat_table(n, 4, 1, NULL), 519);
}

/* ---- a plan ---- */

static void a_plan_sends_what_its_steps_do(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan p = {.rounds = 5};
    static const struct {
        Phase phase;
        When when;
        ProgramKind program;
    } row[] = {
        {PHASE_ROUND, WHEN_ALWAYS, PROGRAM_TRAIN}, {PHASE_ROUND, WHEN_LAST, PROGRAM_TRAIN},
        {PHASE_POST, WHEN_ALWAYS, PROGRAM_TRAIN},  {PHASE_ROUND, WHEN_ALWAYS, PROGRAM_EVAL},
        {PHASE_WEIGHT, WHEN_FIRST, PROGRAM_TRAIN}, {PHASE_UPDATE, WHEN_ALWAYS, PROGRAM_TRAIN}};
    int64_t sent = 1;
    for (int i = 0; i < countof(row); i++, sent *= 10) {
        Step s = {.phase = row[i].phase, .when = row[i].when, .program = row[i].program};
        s.sent = sent;
        vec_push(a, &p.step, s);
    }
    assert_int_equal(plan_sent(&p), 110115);
    arena_free(a);
}

/* What the planner makes of a sample on many ranks: collectives of a group's parameters and
 * gradients send what the formula of its level says. */
static void check_sample(const char *sample, int64_t ranks, int64_t micro)
{
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), stderr);
    const char *source = getenv("SOURCE");
    const char *path = arena_printf(a, "%s/samples/%s.bm", source ? source : ".", sample);
    Model *m = lower_model(a, d->sources, path, NULL, 0, d);
    if (!m || !training_graph(m, d) || !evaluation_graph(m, d))
        fail_msg("%s does not compile", path);
    simplify(a, &m->train);
    simplify(a, &m->eval);
    bool no_fit = false;
    PlanOptions o = {.ranks = ranks, .micro_batch = micro, .machine = machine_find(a, "cpu", d)};
    Plan *p = plan_build(a, m, &o, d, &no_fit);
    assert_non_null(p);
    int64_t want = 0, got = 0, others = 0;
    for (int i = 0; i < p->step.n; i++) {
        Plan one = {.rounds = p->rounds};
        vec_push(a, &one.step, p->step.v[i]);
        if (p->step.v[i].group < 0)
            others += plan_sent(&one);
        else
            got += plan_sent(&one);
    }
    for (int g = 0; g < p->group.n; g++) {
        const FlatGroup *f = &p->group.v[g];
        if (f->optimizer < 0)
            continue;
        assert_true(f->shard * ranks >= f->used);
        want +=
            sent_bytes(f->shard * ranks, ranks, 4, level_passes(f->level, p->reduced, p->rounds));
    }
    assert_true(want > 0);
    assert_int_equal(got, want);
    assert_int_equal(plan_sent(p), want + others);
    assert_true(others < want / 100);
    arena_free(a);
}

static void samples_send_what_formulas_say(void **state)
{
    (void)state;
    check_sample("gpt", 2, 8);
    check_sample("gpt", 4, 1);
    check_sample("llama", 4, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_by_level),
        cmocka_unit_test(state_saved),
        cmocka_unit_test(state_of_the_zero_paper),
        cmocka_unit_test(state_estimated),
        cmocka_unit_test(elements_sent),
        cmocka_unit_test(levels_follow_schemes),
        cmocka_unit_test(hybrid_groups),
        cmocka_unit_test(blocks_of_13_billion),
        cmocka_unit_test(blocks_of_the_test_model),
        cmocka_unit_test(tables_pad),
        cmocka_unit_test(a_plan_sends_what_its_steps_do),
        cmocka_unit_test(samples_send_what_formulas_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
