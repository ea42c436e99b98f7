/* What steps take: hand-made kernels with known answers, and rules that hold for every step of the
 * samples. */
#include "frontend/lower.h"
#include "planner/cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIGA INT64_C(1000000000)

/* Everything takes no time but what a test gives a price. */
static Machine free_machine(void)
{
    Machine m = {.name = "free", .workers = 1, .ranks_per_node = 4};
    m.n_rate[MATH_F32] = 1;
    m.rate[MATH_F32][0] = (RatePoint){1, INT64_MAX};
    m.attention_flops_per_s = m.memory_bytes_per_s = m.elem_ops_per_s = INT64_MAX;
    m.host_memory_bytes_per_s = INT64_MAX;
    for (int i = 0; i < N_LINKS; i++)
        m.link[i].bytes_per_s = INT64_MAX;
    m.copy.bytes_per_s = INT64_MAX;
    return m;
}

typedef struct One { /* a plan of one step */
    Plan p;
    Step s;
    Kernel k;
} One;

static void one_new(One *o, KernelKind kind)
{
    memset(o, 0, sizeof *o);
    o->k.kind = kind;
    o->k.name = "k0";
    o->k.least = 1;
    o->s.kernel = &o->k;
    o->p.ranks = o->p.shared_by = 1;
    o->p.program[PROGRAM_TRAIN] = (ProgramPlan){.present = true, .micro_batch = 4, .rounds = 1};
    for (int i = 0; i < countof(o->k.arg_dtype); i++)
        o->k.arg_dtype[i] = DT_F32;
}

/* Times are rounded up: work at INT64_MAX a second still takes a picosecond or two. */
static void expect_ps(const Machine *m, const One *o, int64_t ps)
{
    int64_t got = cost_step(m, &o->p, &o->s);
    if (got < ps || got > ps + 8)
        fail_msg("%lld ps, expected %lld", (long long)got, (long long)ps);
}

/* ---- products ---- */

static void products_by_size(void **state)
{
    (void)state;
    One o;
    one_new(&o, K_GEMM);
    o.k.gemm = (Gemm){.m = 96, .n = 200, .k = 300};
    Machine m = free_machine();
    m.n_rate[MATH_F32] = 2;
    m.rate[MATH_F32][0] = (RatePoint){64, 1000 * GIGA};
    m.rate[MATH_F32][1] = (RatePoint){128, 2000 * GIGA};
    int64_t flops = 2 * 96 * 200 * 300;
    expect_ps(&m, &o, flops * 2 / 3); /* half way between: 1.5 TFLOP/s */
    o.k.gemm.m_nb = true;             /* four samples: 384, the smallest is 200 */
    expect_ps(&m, &o, 4 * flops / 2);
    o.k.gemm.n = 10; /* flat below the first point */
    expect_ps(&m, &o, 4 * flops / 20);
    m.launch_ps = 777;
    expect_ps(&m, &o, 4 * flops / 20 + 777);
    assert_int_equal(cost_of(&m, &o.p, &o.s).cls, TIME_MATH);
    o.k.gemm = (Gemm){.m = 8, .n = 8, .k = 64, .sums = 3, .sums_nb = true, .as = 1, .bs = 1};
    o.k.gemm.count1 = 5;
    expect_ps(&m, &o, 2 * 8 * 8 * 64 * 3 * 4 * 5 + 777);
    o.k.gemm = (Gemm){.m = 8, .n = 8, .k = 64, .sums_samples = 2};
    expect_ps(&m, &o, 2 * 8 * 8 * 64 * 2 + 777);
}

static void products_that_move_memory(void **state)
{
    (void)state;
    One o;
    one_new(&o, K_GEMM);
    o.k.gemm = (Gemm){.m = 10, .n = 20, .k = 30, .count0_nb = true, .a0 = 300, .c0 = 200};
    Machine m = free_machine();
    m.memory_bytes_per_s = GIGA;
    /* a and c once a sample, b once */
    int64_t bytes = 4 * (4 * 300 + 600 + 4 * 200);
    expect_ps(&m, &o, bytes * 1000);
    assert_int_equal(cost_of(&m, &o.p, &o.s).cls, TIME_MEMORY);
    o.k.gemm.accumulates = true; /* c is read, too */
    expect_ps(&m, &o, (bytes + 4 * 4 * 200) * 1000);
    m.cache_bytes = bytes + 4 * 4 * 200;
    m.cache_bytes_per_s = 4 * GIGA;
    expect_ps(&m, &o, (bytes + 4 * 4 * 200) * 250);
    m.cache_bytes--;
    expect_ps(&m, &o, (bytes + 4 * 4 * 200) * 1000);
}

/* ---- elementwise ---- */

/* y[nb, rows, 32] = exp(x + bias), bias [32]; flat: y = x + x at `rows` places a sample. */
static void fused_rows_of(One *o, Arena *a, int64_t rows)
{
    one_new(o, K_FUSED);
    Fused *f = &o->k.fused;
    *f = (Fused){.n_axis = 3, .n_inner = 1, .n_stage = 1, .extent = {1, rows, 32}};
    o->k.batched = true;
    o->k.units = rows;
    const Access x = {0, DT_F32, 0, {rows * 32, 32, 1}}, bias = {1, DT_F32, 0, {0, 0, 1}};
    vec_push(a, &f->access, x);
    vec_push(a, &f->access, bias);
    vec_push(a, &f->access, ((Access){2, DT_F32, 0, {rows * 32, 32, 1}}));
    const Ins none = {.in = {-1, -1, -1}, .acc = -1, .dtype = DT_F32};
    for (int i = 0; i < 5; i++)
        vec_push(a, &f->ins, none);
    f->ins.v[0].kind = f->ins.v[1].kind = I_LOAD;
    f->ins.v[0].acc = 0;
    f->ins.v[1].acc = 1;
    f->ins.v[2] = (Ins){.kind = I_ELEM, .op = OP_ADD, .in = {0, 1, -1}, .acc = -1};
    f->ins.v[3] = (Ins){.kind = I_ELEM, .op = OP_EXP, .in = {2, -1, -1}, .acc = -1};
    f->ins.v[4] = (Ins){.kind = I_STORE, .in = {3, -1, -1}, .acc = 2};
}

static void elementwise_is_counted(void **state)
{
    (void)state;
    Arena *a = arena_new();
    One o;
    fused_rows_of(&o, a, 10);
    Machine m = free_machine();
    m.elem_ops_per_s = GIGA;
    int64_t points = 4 * 10 * 32; /* two loads, an addition, an exponential, a store */
    expect_ps(&m, &o, points * (3 + 1 + cost_op(OP_EXP)) * 1000);
    assert_int_equal(cost_of(&m, &o.p, &o.s).cls, TIME_MATH);
    m = free_machine();
    m.memory_bytes_per_s = GIGA; /* x and y, and the bias once */
    expect_ps(&m, &o, 4 * (2 * points + 32) * 1000);
    o.k.fused.ins.v[1].row = true; /* as if it were one value a row: cheaper than a column's */
    o.k.fused.access.v[1].stride[2] = 0;
    expect_ps(&m, &o, 4 * (2 * points + 1) * 1000);
    arena_free(a);
}

static void ops_have_an_order(void **state)
{
    (void)state;
    assert_int_equal(cost_op(OP_ADD), 1);
    assert_int_equal(cost_op(OP_DETACH), 0);
    assert_true(cost_op(OP_DIV) > cost_op(OP_MUL));
    assert_true(cost_op(OP_EXP) > cost_op(OP_DIV));
    assert_true(cost_op(OP_GELU) > cost_op(OP_EXP));
    assert_true(cost_op(OP_ERF) > cost_op(OP_EXP));
    for (int i = 0; i < N_OPS; i++)
        if (op_info[i].cost == COST_costly)
            assert_true(cost_op((Op)i) >= 6);
}

static void workers_share(void **state)
{
    (void)state;
    Arena *a = arena_new();
    One o;
    fused_rows_of(&o, a, 1);
    Machine m = free_machine();
    m.elem_ops_per_s = GIGA;
    int64_t all = cost_step(&m, &o.p, &o.s);
    m.workers = 2; /* the rate is that of both: four rows are two for each */
    assert_int_equal(cost_step(&m, &o.p, &o.s), all);
    m.workers = 3; /* one of them has two */
    assert_int_equal(cost_step(&m, &o.p, &o.s), (all * 6 + 3) / 4);
    m.workers = 8; /* four stand still */
    assert_int_equal(cost_step(&m, &o.p, &o.s), all * 2);
    o.k.least = 4; /* worth one worker only */
    assert_int_equal(cost_step(&m, &o.p, &o.s), all * 8);
    arena_free(a);
}

static void regions_run_in_chunks(void **state)
{
    (void)state;
    Arena *a = arena_new();
    One o;
    fused_rows_of(&o, a, 100);
    Machine m = free_machine();
    m.elem_ops_per_s = GIGA;
    m.launch_ps = 5000;
    int64_t whole = cost_step(&m, &o.p, &o.s);
    o.p.program[PROGRAM_TRAIN].region_samples = 3;
    assert_int_equal(cost_step(&m, &o.p, &o.s), whole); /* it is in none */
    o.s.region = 1;                                     /* three samples, then one */
    expect_ps(&m, &o, whole + 5000);
    arena_free(a);
}

/* ---- attention ---- */

static void attention_of(One *o, KernelKind kind, int64_t t)
{
    one_new(o, kind);
    o->k.batched = true;
    o->k.units = 2;
    o->k.tpl.attr.attention.heads = 2;
    o->k.tpl.attr.attention.kv_heads = 2;
    for (int i = 0; i < 3; i++)
        o->k.tpl.view[i] = (View){.ndim = 2, .dim = {t, 64}, .stride = {64, 1}, .batch_stride = 1};
    o->k.tpl.n_view = o->k.n_arg = 3;
}

static void attention_counts_scores(void **state)
{
    (void)state;
    One o;
    Machine m = free_machine();
    m.attention_flops_per_s = 1000 * GIGA;
    attention_of(&o, K_ATTENTION, 256);
    int64_t scores = 4 * 2 * 256 * 256;
    expect_ps(&m, &o, scores * 2 * (32 + 32));
    o.k.tpl.attr.attention.causal = 1; /* whole blocks of 64 queries: 160 keys in the middle */
    expect_ps(&m, &o, scores / 256 * 160 * 2 * (32 + 32));
    o.k.tpl.attr.attention.window = 64;
    expect_ps(&m, &o, scores / 256 * 128 * 2 * (32 + 32));
    attention_of(&o, K_ATTENTION_GRAD, 256);
    expect_ps(&m, &o, scores * 5 * (32 + 32));
}

/* But for what free arithmetic takes. */
static void expect_near(const Machine *m, const One *o, int64_t ps)
{
    int64_t got = cost_step(m, &o->p, &o->s);
    if (got < ps || got > ps + ps / 1000000)
        fail_msg("%lld ps, expected %lld", (long long)got, (long long)ps);
}

/* A CPU shares out pairs of sample and head; a GPU has blocks of keys for all of its workers,
 * whatever the micro-batch. */
static void attention_is_shared_out(void **state)
{
    (void)state;
    One o;
    Machine m = free_machine();
    m.attention_flops_per_s = 1000 * GIGA;
    m.workers = 32;
    attention_of(&o, K_ATTENTION_GRAD, 256);
    o.k.tpl.attr.attention.heads = 4; /* two of the queries to one of the keys */
    int64_t all = (int64_t)4 * 4 * 256 * 256 * 5 * (16 + 32);
    expect_near(&m, &o, all * 4); /* 4 samples of 2 heads: 8 at work */
    m.target = TARGET_CUDA;
    expect_near(&m, &o, all); /* 4 blocks of 64 keys of 4 heads of 4 samples: 64 */
    o.p.program[PROGRAM_TRAIN].micro_batch = 1;
    expect_near(&m, &o, all / 4 * 2); /* 16 at work */
    o.k.tpl.view[1].dim[0] = 193;     /* keys, in 4 blocks still */
    expect_near(&m, &o, all / 4 / 256 * 193 * 2);
    o.k.tpl.view[1].dim[0] = 192;
    expect_near(&m, &o, all / 4 / 256 * 192 * 32 / 12);
    attention_of(&o, K_ATTENTION, 256); /* units are blocks of queries already */
    int64_t forward = cost_step(&m, &o.p, &o.s);
    m.target = TARGET_C;
    assert_int_equal(cost_step(&m, &o.p, &o.s), forward);
}

/* ---- on the host ---- */

/* An update in the host's arena goes at the pace of the host's memory, shared out over no
 * multiprocessors; on a CPU there is no other memory. */
static void the_host_is_slower(void **state)
{
    (void)state;
    Arena *a = arena_new();
    One o;
    fused_rows_of(&o, a, 10);
    Operand arg[3] = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}};
    for (int i = 0; i < 3; i++)
        vec_push(a, &o.p.buffer, ((Buffer){.id = i, .bytes = 4096}));
    o.k.n_arg = 3;
    o.s.arg = arg;
    Machine m = free_machine();
    m.target = TARGET_CUDA;
    m.launch_ps = 777;
    m.memory_bytes_per_s = 1000 * GIGA;
    m.host_memory_bytes_per_s = GIGA;
    int64_t bytes = 4 * (2 * 4 * 10 * 32 + 32);
    expect_ps(&m, &o, bytes + 777);
    for (int i = 0; i < 3; i++) {
        o.p.buffer.v[i].host = true; /* any of them */
        expect_ps(&m, &o, bytes * 1000 + 777);
        o.p.buffer.v[i].host = false;
    }
    o.p.buffer.v[2].host = true;
    m.workers = 80;
    m.elem_ops_per_s = 1000;
    expect_ps(&m, &o, bytes * 1000 + 777);
    assert_int_equal(cost_of(&m, &o.p, &o.s).cls, TIME_MEMORY);
    o.p.program[PROGRAM_TRAIN].region_samples = 3; /* in two chunks */
    o.s.region = 1;
    m.elem_ops_per_s = INT64_MAX;
    expect_ps(&m, &o, bytes * 1000 + 4 * 32 * 1000 + 2 * 777);
    o.s.region = 0;
    m.workers = 1;
    m.target = TARGET_C; /* what it has of both is the same */
    expect_ps(&m, &o, bytes + 777);
    arena_free(a);
}

/* ---- between ranks ---- */

static void collective_of(One *o, KernelKind kind, int64_t ranks, int64_t share, int64_t elems)
{
    one_new(o, kind);
    o->p.ranks = ranks;
    o->p.shared_by = share;
    o->k.coll = (Collective){.n_segment = 1, .segment = {{elems, elems}}};
    int64_t part = (share - 1) * elems * 4;
    o->s.sent = kind == K_ALL_REDUCE ? 2 * part : part;
    o->s.stream = STREAM_COMM;
}

static void collectives_by_their_slowest_link(void **state)
{
    (void)state;
    One o;
    Machine m = free_machine();
    m.link[LINK_NODE] = (LinkCost){1000, 100 * GIGA};
    m.link[LINK_NET] = (LinkCost){7000, 10 * GIGA};
    collective_of(&o, K_ALL_GATHER, 4, 4, 1000); /* four fit a node */
    expect_ps(&m, &o, 3 * 1000 + 3 * 4000 * 10);
    assert_int_equal(cost_of(&m, &o.p, &o.s).cls, TIME_NET);
    collective_of(&o, K_ALL_GATHER, 8, 8, 1000);
    expect_ps(&m, &o, 7 * 7000 + 7 * 4000 * 100);
    collective_of(&o, K_ALL_REDUCE, 4, 4, 1000); /* both halves */
    expect_ps(&m, &o, 6 * 1000 + 6 * 4000 * 10);
    o.k.coll.chunk = 300; /* in four turns */
    expect_ps(&m, &o, 4 * 6 * 1000 + 6 * 4000 * 10);
    m.memory_bytes_per_s = 1000 * GIGA; /* sums: two read, one written, for each other rank */
    expect_ps(&m, &o, 4 * 6 * 1000 + 6 * 4000 * 10 + 3 * 3 * 4000);
}

static void hybrid_groups_gather_inside(void **state)
{
    (void)state;
    One o;
    Machine m = free_machine();
    m.link[LINK_NODE] = (LinkCost){1000, 100 * GIGA};
    m.link[LINK_NET] = (LinkCost){7000, 10 * GIGA};
    collective_of(&o, K_ALL_GATHER, 16, 4, 1000); /* groups of four: one node each */
    expect_ps(&m, &o, 3 * 1000 + 3 * 4000 * 10);
    collective_of(&o, K_REDUCE_SCATTER, 16, 4, 1000); /* and three hops there, three back */
    expect_ps(&m, &o, 3 * 1000 + 3 * 4000 * 10 + 6 * (7000 + 4000 * 100));
    collective_of(&o, K_ALL_GATHER, 12, 3, 1000); /* the second group of three spans two nodes */
    expect_ps(&m, &o, 2 * 7000 + 2 * 4000 * 100);
}

static void no_link_is_no_bargain(void **state)
{
    (void)state;
    One o;
    Machine m = free_machine();
    m.link[LINK_NET].bytes_per_s = 0;
    collective_of(&o, K_ALL_GATHER, 8, 8, 1000);
    assert_true(cost_step(&m, &o.p, &o.s) >= COST_MOST_PS);
    collective_of(&o, K_ALL_GATHER, 8, 8, INT64_C(1) << 40); /* nothing overflows */
    m.link[LINK_NET] = (LinkCost){INT64_C(10000000000000), 1};
    assert_true(cost_step(&m, &o.p, &o.s) <= 4 * COST_MOST_PS);
}

/* ---- every step of the samples ---- */

static Plan *plan_of(Arena *a, const char *sample, int64_t micro)
{
    const char *source = getenv("SOURCE");
    Diag *d = diag_new(a, sources_new(a), stderr);
    const char *path = arena_printf(a, "%s/samples/%s.bm", source ? source : ".", sample);
    Model *m = lower_model(a, d->sources, path, NULL, 0, d);
    if (!m || !training_graph(m, d) || !evaluation_graph(m, d))
        fail_msg("%s does not compile", path);
    simplify(a, &m->train);
    simplify(a, &m->eval);
    bool no_fit = false;
    PlanOptions o = {.memory = INT64_C(1) << 50, .micro_batch = micro};
    Plan *p = plan_build(a, m, &o, d, &no_fit);
    assert_non_null(p);
    return p;
}

static void rates(Machine *m, int64_t *rate[], int *n)
{
    *n = 0;
    for (int i = 0; i < m->n_rate[MATH_F32]; i++)
        rate[(*n)++] = &m->rate[MATH_F32][i].flops_per_s;
    rate[(*n)++] = &m->attention_flops_per_s;
    rate[(*n)++] = &m->memory_bytes_per_s;
    rate[(*n)++] = &m->cache_bytes_per_s;
    rate[(*n)++] = &m->elem_ops_per_s;
}

/* A faster part never makes a step longer; twice as fast in everything takes half as long. */
static void check_sample(const char *sample, int64_t micro)
{
    Arena *a = arena_new();
    Plan *p = plan_of(a, sample, micro);
    Diag *d = diag_new(a, sources_new(a), stderr);
    const Machine *m = machine_find(a, "cpu", d);
    int n;
    int64_t *rate[32];
    for (int i = 0; i < p->step.n; i++) {
        const Step *s = &p->step.v[i];
        StepCost c = cost_of(m, p, s);
        assert_true(c.ps > 0 && c.ps < COST_MOST_PS);
        assert_int_equal(c.ps, c.launch_ps + c.net_ps + max64(c.math_ps, c.memory_ps));
        Machine faster = *m;
        rates(&faster, rate, &n);
        for (int k = 0; k < n; k++) {
            *rate[k] *= 2;
            assert_true(cost_step(&faster, p, s) <= c.ps);
        }
        faster.launch_ps /= 2;
        int64_t half = cost_step(&faster, p, s);
        assert_true(half >= c.ps / 2 - 1 && half <= c.ps / 2 + 200);
    }
    cost_plan(m, p);
    for (int i = 0; i < p->step.n; i++) {
        StepCost c = cost_of(m, p, &p->step.v[i]);
        assert_int_equal(p->step.v[i].ps, c.ps);
        assert_int_equal(p->step.v[i].cls, c.cls);
    }
    arena_free(a);
}

static void samples_follow_the_machine(void **state)
{
    (void)state;
    check_sample("gpt", 4);
    check_sample("llama", 8);
    check_sample("mlp", 64);
    check_sample("regression", 32);
}

/* With one worker more samples never take less time, and a kernel's counts grow with them. */
static void more_samples_take_longer(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), stderr);
    Machine one = *machine_find(a, "cpu", d);
    one.workers = 1;
    Plan *p = plan_of(a, "gpt", 4);
    for (int i = 0; i < p->step.n; i++) {
        int64_t before = 0;
        for (int nb = 1; nb <= 9; nb++) {
            Work w = cost_work(one.target, p->step.v[i].kernel, nb);
            p->program[PROGRAM_TRAIN].micro_batch = p->program[PROGRAM_EVAL].micro_batch = nb;
            int64_t ps = cost_step(&one, p, &p->step.v[i]);
            assert_true(w.products >= 0 && w.ops >= 0 && w.bytes >= 0 && w.units > 0);
            assert_true(ps >= before);
            before = ps;
        }
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_by_size),
        cmocka_unit_test(products_that_move_memory),
        cmocka_unit_test(elementwise_is_counted),
        cmocka_unit_test(ops_have_an_order),
        cmocka_unit_test(workers_share),
        cmocka_unit_test(regions_run_in_chunks),
        cmocka_unit_test(attention_counts_scores),
        cmocka_unit_test(attention_is_shared_out),
        cmocka_unit_test(the_host_is_slower),
        cmocka_unit_test(collectives_by_their_slowest_link),
        cmocka_unit_test(hybrid_groups_gather_inside),
        cmocka_unit_test(no_link_is_no_bargain),
        cmocka_unit_test(samples_follow_the_machine),
        cmocka_unit_test(more_samples_take_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
