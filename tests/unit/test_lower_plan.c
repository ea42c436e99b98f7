/* The section `plan` as the planner reads it, and what flags change. Messages are in
 * tests/lang/semantic. */
#include "tests/unit/lower_fixture.h"

#define MODEL                                                                                      \
    "block Layer(n) {\n  fc: Linear(n, n)\n  steps: buffer[] ~ zeros\n"                            \
    "  forward(x) { steps := steps + 1\n return fc(x) } }\n"                                       \
    "model M {\n  h[3]: Layer(4)\n  out: Linear(4, 4)\n"                                           \
    "  forward(x: [4]) { return average(out(h(x))) } }\n"                                          \
    "train {\n batch = 8\n steps = 1\n optimizer = sgd(lr = 1)\n"

static const Param *param(const Fix *f, const char *path)
{
    for (int i = 0; i < f->m->param.n; i++)
        if (strcmp(f->m->param.v[i].path, path) == 0)
            return &f->m->param.v[i];
    fail_msg("no parameter %s", path);
    return NULL;
}

static RecomputeRule rule(const Fix *f, const char *path)
{
    const Graph *g = f->m->train.graph;
    for (int i = 0; i < g->instance.n; i++)
        if (strcmp(g->instance.v[i].path, path) == 0)
            return f->m->plan.recompute[i];
    fail_msg("no instance %s", path);
    return RECOMPUTE_AUTO;
}

static void nothing_said(void **state)
{
    (void)state;
    Fix *f = lower_ok(MODEL "}\n");
    const PlanRequest *r = &f->m->plan;
    assert_true(r->ranks == 0 && r->memory == 0 && r->micro_batch == 0 && r->hybrid == 0);
    assert_int_equal(r->lead, -1);
    assert_false(r->no_overlap);
    assert_null(r->machine);
    assert_false(f->m->reduced || f->m->invariant);
    for (int i = 0; i < f->m->train.graph->instance.n; i++)
        assert_int_equal(r->recompute[i], RECOMPUTE_AUTO);
    for (int i = 0; i < f->m->param.n; i++) {
        const Param *p = &f->m->param.v[i];
        assert_int_equal(p->zero, ZERO_AUTO);
        assert_true(p->bucket == 0 && !p->offload);
        assert_true(p->zero_at.file < 0 && p->offload_at.file < 0);
    }
    done(f);
}

static void whole(void **state)
{
    (void)state;
    Fix *f = lower_ok(MODEL "reduce = invariant }\nplan {\n ranks = 6\n memory = 3KiB\n"
                            "micro_batch = 2\n hybrid = 3\n overlap = off\n lead = 2\n"
                            "machine = \"machines/mine.json\" }\n");
    const PlanRequest *r = &f->m->plan;
    assert_true(r->ranks == 6 && r->memory == 3072 && r->micro_batch == 2 && r->hybrid == 3);
    assert_int_equal(r->lead, 2);
    assert_true(r->no_overlap);
    assert_string_equal(r->machine, "machines/mine.json");
    assert_true(f->m->invariant && !f->m->reduced);
    assert_true(r->ranks_at.file >= 0 && r->hybrid_at.file >= 0);
    done(f);
    f = lower_ok(MODEL "accumulate = reduced }\nplan { lead = 0\n overlap = auto }\n");
    assert_true(f->m->reduced && !f->m->invariant);
    assert_int_equal(f->m->plan.lead, 0);
    assert_false(f->m->plan.no_overlap);
    done(f);
}

/* Lines with patterns beat those without, whatever their order; among them the last one wins. */
static void by_parameter(void **state)
{
    (void)state;
    Fix *f = lower_ok(MODEL "}\nplan {\n zero h = 3\n zero h.1 = once\n zero h.*.fc.bias = auto\n"
                            "zero = 1\n bucket = 1MiB\n bucket h.2 = 8KiB\n"
                            "offload h = optimizer\n offload h.0 = none }\n");
    assert_int_equal(param(f, "h.0.fc.weight")->zero, 3);
    assert_int_equal(param(f, "h.1.fc.weight")->zero, ZERO_ONCE);
    assert_int_equal(param(f, "h.1.fc.bias")->zero, ZERO_AUTO);
    assert_int_equal(param(f, "out.bias")->zero, 1);
    assert_int_equal(param(f, "h.0.steps")->zero, ZERO_AUTO); /* a buffer has no shards */
    assert_true(param(f, "h.0.fc.weight")->zero_at.file >= 0);
    assert_int_equal(param(f, "out.weight")->bucket, 1 << 20);
    assert_int_equal(param(f, "h.2.fc.weight")->bucket, 8192);
    assert_true(param(f, "h.1.fc.bias")->offload);
    assert_false(param(f, "h.0.fc.bias")->offload);
    assert_false(param(f, "out.bias")->offload);
    done(f);
}

static void by_unit(void **state)
{
    (void)state;
    Fix *f = lower_ok(MODEL "}\nplan {\n recompute h.* = all\n recompute h.1:3 = none\n"
                            "recompute h.2 = auto }\n");
    assert_int_equal(rule(f, "h.0"), RECOMPUTE_ALL);
    assert_int_equal(rule(f, "h.1"), RECOMPUTE_NONE);
    assert_int_equal(rule(f, "h.2"), RECOMPUTE_AUTO);
    assert_int_equal(rule(f, "h.0.fc"), RECOMPUTE_AUTO); /* no unit */
    assert_int_equal(rule(f, ""), RECOMPUTE_AUTO);
    done(f);
    f = lower_ok(MODEL "}\nplan {\n recompute = all }\n");
    assert_int_equal(rule(f, "h.2"), RECOMPUTE_ALL);
    assert_int_equal(rule(f, ""), RECOMPUTE_ALL);
    assert_int_equal(rule(f, "out"), RECOMPUTE_AUTO);
    done(f);
}

static void flags(void **state)
{
    (void)state;
    static const char text[] = MODEL "}\nplan {\n ranks = 4\n hybrid = 2\n memory = 2GiB }\n";
    Fix *f = lower_ok(text);
    assert_true(plan_request_settle(f->m, &(PlanRequest){0}, f->diag));
    assert_int_equal(f->m->plan.ranks, 4);
    assert_true(f->m->plan.memory == (int64_t)2 << 30);
    PlanRequest flag = {.ranks = 8, .memory = 5, .micro_batch = 3, .machine = "cpu"};
    assert_true(plan_request_settle(f->m, &flag, f->diag));
    assert_int_equal(f->m->plan.ranks, 8);
    assert_int_equal(f->m->plan.memory, 5);
    assert_int_equal(f->m->plan.micro_batch, 3);
    assert_string_equal(f->m->plan.machine, "cpu");
    assert_true(f->m->plan.ranks_at.file < 0 && f->m->plan.memory_at.file < 0);
    assert_false(plan_request_settle(f->m, &(PlanRequest){.ranks = 9}, f->diag));
    fflush(f->out);
    assert_non_null(strstr(f->text, "`hybrid` is 2, which does not divide 9 ranks"));
    assert_non_null(strstr(f->text, "1, 3, 9"));
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said), cmocka_unit_test(whole), cmocka_unit_test(by_parameter),
        cmocka_unit_test(by_unit),      cmocka_unit_test(flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
