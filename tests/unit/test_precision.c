/* test_precision.c - plans of precision = bf16 and fp16: bytes of every role against the formulas
 * of volumes.c, what is sent, what is saved, at which rate products run; all verified, in memory
 * and as files. */
#include "planner/cost.h"
#include "planner/plan_read.h"
#include "planner/volumes.h"
#include "tests/unit/planned.h"

enum { ROWS = 16, BATCH = 16 };

static const char decoder[] = "block Layer() {\n"
                              "  ln: LayerNorm(64)\n"
                              "  q: Linear(64, 64)\n"
                              "  k: Linear(64, 64)\n"
                              "  v: Linear(64, 64)\n"
                              "  up: Linear(64, 256)\n"
                              "  down: Linear(256, 64)\n"
                              "  forward(x: [T, 64]) {\n"
                              "    y = ln(x)\n"
                              "    x = x + attention(q(y), k(y), v(y), heads = 4, causal = true)\n"
                              "    return x + down(gelu(up(dropout(x, 0.1))))\n"
                              "  }\n"
                              "}\n"
                              "model M {\n"
                              "  wte: Embedding(100, 64)\n"
                              "  h[3]: Layer()\n"
                              "  forward(tokens: int[16], targets: int[16]) {\n"
                              "    return cross_entropy(h(wte(tokens)) @ wte.weight', targets)\n"
                              "  }\n"
                              "}\n";

static Planned *model_of(const char *precision, const char *train, const char *level,
                         const char *plan)
{
    Arena *a = arena_new();
    if (level)
        plan = arena_printf(a, "  zero = %s\n%s", level, plan);
    Planned *t = planned_model(
        arena_printf(a,
                     "%strain {\n  data = text(\"none\")\n  batch = %d\n  steps = 2\n"
                     "  optimizer = adamw(lr = 1e-3)\n  precision = %s\n%s}\nplan {\n%s}\n",
                     decoder, BATCH, precision, train, plan),
        "h100-80g");
    arena_free(a);
    return t;
}

static Plan *one(Planned *t, int64_t ranks, int64_t shared_by, int64_t micro_batch)
{
    Ask q = planned_ask(t, ranks, 0);
    q.shared_by = shared_by;
    Choice c = {.micro_batch = micro_batch, .recompute = RECOMPUTE_NONE, .lead = 1};
    return plan_one(&q, &c);
}

/* The plan, and what plan.json says of it. */
static void verify(Planned *t, const Plan *p)
{
    planned_verify(t, p);
    StrBuf s = strbuf_new(t->arena);
    plan_json(&s, p);
    PlanFile *f = plan_read_text(t->arena, "plan.json", s.text, s.n, t->diag);
    bool good = f && plan_file_verify(f, t->diag);
    fflush(t->out);
    if (!good)
        fail_msg("%s", t->text);
}

static const char *const levels[] = {"0", "1", "2", "3", "once"};

/* ---- state ---- */

static int64_t bytes_of(const Plan *p, int buffer)
{
    return p->buffer.v[buffer].bytes;
}

/* Parameters, gradients once they are reduced, state: of one rank. */
static int64_t kept_of(const Plan *p, const FlatGroup *g)
{
    int64_t sum =
        bytes_of(p, g->params) + bytes_of(p, g->grad_shard >= 0 ? g->grad_shard : g->grads);
    for (int k = 0; k < g->n_state; k++)
        sum += bytes_of(p, g->state[k]);
    return sum;
}

static void expect_kept(const char *precision, Precision formula, int64_t ranks, int level)
{
    Planned *t = model_of(precision, "", NULL, "");
    for (int k = 0; k < t->model->param.n; k++)
        t->model->param.v[k].zero = level;
    const Plan *p = one(t, ranks, ranks, BATCH / ranks);
    assert_int_equal(p->group.n, 4);
    for (int k = 0; k < p->group.n; k++) {
        const FlatGroup *g = &p->group.v[k];
        assert_int_equal(g->level, ranks > 1 ? level : LEVEL_0);
        assert_int_equal(kept_of(p, g),
                         state_bytes(precision_bytes(formula), g->level, g->shard * ranks, ranks));
    }
    planned_done(t);
}

static void test_state_bytes(void **state)
{
    (void)state;
    for (int level = LEVEL_0; level < N_LEVELS; level++) {
        expect_kept("fp32", PRECISION_F32, 4, level);
        expect_kept("bf16", PRECISION_BF16_MAIN, 4, level);
        expect_kept("fp16", PRECISION_BF16_MAIN, 4, level);
    }
    expect_kept("fp32", PRECISION_F32, 1, LEVEL_0);
    expect_kept("bf16", PRECISION_BF16_MAIN, 1, LEVEL_0);
}

static void expect_role(const Plan *p, const FlatGroup *g, int buffer, DType dtype, int64_t elems)
{
    const Buffer *x = &p->buffer.v[buffer];
    assert_int_equal(x->dtype, dtype);
    assert_int_equal(x->bytes, elems * (dtype == DT_F32 ? 4 : 2));
    assert_int_equal(x->group, g->id);
}

/* Which role has which type, and how much of it a rank has. */
static void test_roles(void **state)
{
    (void)state;
    for (int level = LEVEL_0; level < N_LEVELS; level++) {
        Planned *t = model_of("bf16", "", levels[level], "");
        const Plan *p = one(t, 4, 4, 4);
        for (int k = 0; k < p->group.n; k++) {
            const FlatGroup *g = &p->group.v[k];
            int64_t whole = g->shard * 4, own = level == LEVEL_0 ? whole : g->shard;
            bool shards = level == LEVEL_3 || level == LEVEL_ONCE;
            expect_role(p, g, g->params, DT_BF16, shards ? g->shard : whole);
            expect_role(p, g, g->grads, DT_F32, whole);
            assert_int_equal(g->n_state, 3);
            for (int j = 0; j < g->n_state; j++)
                expect_role(p, g, g->state[j], DT_F32, own);
            assert_int_equal(g->master, g->state[2] + 1);
        }
        for (int k = 0; k < p->buffer.n; k++)
            if (p->buffer.v[k].role == ROLE_GATHERED)
                expect_role(p, &p->group.v[p->buffer.v[k].group], k, DT_BF16,
                            p->group.v[p->buffer.v[k].group].shard * 4);
        planned_done(t);
    }
}

static bool writes(const Step *s, int buffer)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        if (s->arg[j].buffer == buffer && s->kernel->arg_written[j])
            return true;
    return false;
}

/* The step that writes the master writes the copy, and nothing else does but a collective. */
static void test_update_writes_both(void **state)
{
    (void)state;
    for (int level = LEVEL_0; level < N_LEVELS; level++) {
        Planned *t = model_of("bf16", "", levels[level], "");
        const Plan *p = one(t, 4, 4, 4);
        for (int k = 0; k < p->group.n; k++) {
            const FlatGroup *g = &p->group.v[k];
            int both = 0;
            for (int i = 0; i < p->step.n; i++) {
                const Step *s = &p->step.v[i];
                if (s->kernel->kind == K_ALL_GATHER)
                    continue;
                assert_int_equal(writes(s, g->params), writes(s, g->master - 1));
                both += writes(s, g->params);
            }
            assert_int_equal(both, 1);
        }
        planned_done(t);
    }
}

/* ---- what is sent ---- */

static void test_gathers_send_half(void **state)
{
    (void)state;
    for (int level = LEVEL_0; level < N_LEVELS; level++) {
        Planned *t = model_of("fp32", "", levels[level], ""),
                *u = model_of("bf16", "", levels[level], "");
        const Plan *p = one(t, 4, 4, 2), *q = one(u, 4, 4, 2);
        int gathers = 0, reductions = 0;
        assert_int_equal(p->step.n, q->step.n);
        for (int k = 0; k < p->step.n; k++) {
            const Step *x = &p->step.v[k], *y = &q->step.v[k];
            assert_int_equal(x->kernel->kind, y->kernel->kind);
            bool params = x->kernel->kind == K_ALL_GATHER && x->group >= 0;
            assert_int_equal(x->sent, y->sent * (params ? 2 : 1));
            gathers += params;
            reductions += x->sent && !params;
        }
        assert_true(level == LEVEL_0 ? !gathers : gathers >= 4);
        assert_true(reductions >= 1);
        planned_done(t);
        planned_done(u);
    }
}

/* ---- what samples have ---- */

static void test_activations_halve(void **state)
{
    (void)state;
    Planned *t = model_of("fp32", "", NULL, ""), *u = model_of("fp16", "", NULL, "");
    const Plan *p = one(t, 1, 1, 8), *q = one(u, 1, 1, 8);
    int64_t saved = 0, half = 0, once_a_row = 0;
    int extra = q->n_persistent - p->n_persistent; /* masters */
    assert_int_equal(extra, p->group.n);
    assert_int_equal(p->buffer.n + extra, q->buffer.n);
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        const Buffer *x = &p->buffer.v[k], *y = &q->buffer.v[k + extra];
        assert_string_equal(x->path, y->path);
        assert_int_equal(x->role, y->role);
        assert_int_equal(x->bytes, y->bytes * (y->dtype == DT_F16 ? 2 : 1));
        assert_int_equal(x->sample_bytes, y->sample_bytes * (y->dtype == DT_F16 ? 2 : 1));
        if (y->dtype != DT_F16 && y->batched && y->dtype == DT_F32) /* of 4 heads at most */
            assert_true(y->sample_bytes <= ROWS * 4 * 4);
        if (x->role != ROLE_SAVED || !x->batched || x->dtype != DT_F32)
            continue;
        saved += x->bytes;
        if (y->dtype == DT_F16)
            half += y->bytes;
        else
            once_a_row += y->bytes;
    }
    assert_int_equal(saved - once_a_row, 2 * half);
    assert_true(once_a_row > 0 && once_a_row < saved / 20);
    planned_done(t);
    planned_done(u);
}

/* ---- rates ---- */

static int64_t products_ps(const Plan *p, MathType want)
{
    int64_t ps = 0;
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->kernel->kind != K_GEMM)
            continue;
        assert_int_equal(cost_work(TARGET_C, s->kernel, 1).type, want);
        ps += s->ps;
    }
    return ps;
}

static void test_rates(void **state)
{
    (void)state;
    Planned *t = model_of("fp32", "", NULL, ""), *u = model_of("bf16", "", NULL, ""),
            *v = model_of("fp16", "", NULL, "");
    int64_t f32 = products_ps(one(t, 1, 1, 16), MATH_F32);
    assert_true(products_ps(one(u, 1, 1, 16), MATH_BF16) < f32);
    assert_true(products_ps(one(v, 1, 1, 16), MATH_F16) < f32);
    planned_done(t);
    planned_done(u);
    planned_done(v);
}

/* ---- the verifier ---- */

static void test_verified(void **state)
{
    (void)state;
    static const char *const train[] = {"", "  accumulate = reduced\n", "  reduce = invariant\n"};
    static const char *const recompute[] = {"", "  recompute = all\n"};
    for (int ranks = 1; ranks <= 4; ranks += 3)
        for (int level = 0; level < (ranks > 1 ? countof(levels) : 1); level++)
            for (int how = 0; how < (ranks > 1 ? countof(train) : 1) * countof(recompute); how++) {
                Planned *t = model_of(how == 1 ? "fp16" : "bf16", train[how / 2], levels[level],
                                      recompute[how % 2]);
                verify(t, one(t, ranks, ranks, 2));
                planned_done(t);
            }
}

static void test_hybrid_and_offload(void **state)
{
    (void)state;
    for (int level = 1; level < countof(levels); level++) {
        Planned *t = model_of("bf16", "", levels[level], "");
        verify(t, one(t, 4, 2, 2));
        planned_done(t);
        t = model_of("bf16", "", levels[level], "  offload h.* = optimizer\n");
        const Plan *p = one(t, 4, 4, 2);
        verify(t, p);
        int copies = 0;
        for (int k = 0; k < p->step.n; k++)
            copies += p->step.v[k].kernel->kind == K_COPY;
        assert_int_equal(copies, 2 * 3); /* gradients there, the narrow parameters back */
        planned_done(t);
    }
}

/* The search has nothing to do with any of this, and fp32's plans are what they were. */
static void test_searched(void **state)
{
    (void)state;
    Planned *t = model_of("fp32", "", NULL, ""), *u = model_of("bf16", "", NULL, "");
    Plan *p = planned_in(t, 1, 0, 0), *q = planned_in(u, 1, 0, 0);
    verify(t, p);
    verify(u, q);
    assert_true(q->step_ps < p->step_ps);
    int64_t memory = q->arena_bytes - 40000;
    q = planned_in(u, 1, 0, memory);
    assert_non_null(q);
    assert_true(q->arena_bytes <= memory);
    verify(u, q);
    planned_done(t);
    planned_done(u);
}

static void expect_told(Planned *t, const Plan *p, const char *check)
{
    assert_false(plan_verify(p, t->diag));
    fflush(t->out);
    if (!strstr(t->text, check))
        fail_msg("no %s in: %s", check, t->text);
}

static void test_wrong_sizes_are_told(void **state)
{
    (void)state;
    Planned *t = model_of("bf16", "", "1", "");
    Plan *p = one(t, 4, 4, 4);
    p->buffer.v[p->group.v[1].grads].dtype = DT_BF16;
    expect_told(t, p, "V04");
    planned_done(t);

    t = model_of("bf16", "", "1", "");
    p = one(t, 4, 4, 4);
    for (int k = 0; k < p->step.n; k++) /* each rank's part as if elements had 4 bytes */
        for (int j = 0; j < p->step.v[k].kernel->n_arg; j++)
            if (p->step.v[k].kernel->kind == K_FUSED &&
                p->step.v[k].arg[j].buffer == p->group.v[1].params)
                p->step.v[k].arg[j].by_rank *= 2;
    expect_told(t, p, "V09");
    planned_done(t);

    t = model_of("bf16", "", "3", "");
    p = one(t, 4, 4, 4);
    for (int k = 0; k < p->step.n; k++)
        if (p->step.v[k].kernel->kind == K_ALL_GATHER && p->step.v[k].group >= 0)
            p->step.v[k].sent *= 2;
    expect_told(t, p, "V07");
    planned_done(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_bytes),        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_update_writes_both), cmocka_unit_test(test_gathers_send_half),
        cmocka_unit_test(test_activations_halve),  cmocka_unit_test(test_rates),
        cmocka_unit_test(test_verified),           cmocka_unit_test(test_hybrid_and_offload),
        cmocka_unit_test(test_searched),           cmocka_unit_test(test_wrong_sizes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
