/* The verifier on what the planner makes of the samples: every micro-batch, fused or not, in memory
 * and as a file; and the pages about them. */
#include "frontend/lower.h"
#include "planner/inspect.h"
#include "planner/verify/verify.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Model *model_of(Arena *a, const char *sample, Diag *d)
{
    const char *source = getenv("SOURCE");
    const char *path = arena_printf(a, "%s/samples/%s.bm", source ? source : ".", sample);
    Model *m = lower_model(a, d->sources, path, NULL, 0, d);
    if (!m || !training_graph(m, d) || !evaluation_graph(m, d))
        fail_msg("%s does not compile", path);
    simplify(a, &m->train);
    simplify(a, &m->eval);
    return m;
}

static void check_plan(const Model *m, const PlanOptions *o, Diag *d, int *steps)
{
    Arena *a = arena_new();
    bool no_fit = false;
    Plan *p = plan_build(a, m, o, d, &no_fit);
    if (!p || !plan_verify(p, d))
        fail_msg("micro-batch %d", (int)o->micro_batch);
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    PlanFile *f = plan_read_text(a, "plan.json", s.text, s.n, d);
    if (!f || !plan_file_verify(f, d))
        fail_msg("micro-batch %d, as a file", (int)o->micro_batch);
    for (int page = 0; page < N_INSPECT_PAGES; page++) {
        InspectOptions io = {.page = (InspectPage)page};
        StrBuf text = strbuf_new(a);
        inspect_text(&text, f, &io);
        assert_true(text.n > 0);
    }
    *steps += p->step.n;
    arena_free(a);
}

static void check_sample(const char *sample, const int64_t *micro, int n)
{
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), stderr);
    Model *m = model_of(a, sample, d);
    int steps = 0, plans = 0;
    for (int i = 0; i < n; i++)
        for (int no_fuse = 0; no_fuse < 2; no_fuse++) {
            if (m->batch % micro[i])
                continue;
            PlanOptions o = {
                .memory = INT64_C(1) << 50, .micro_batch = micro[i], .no_fuse = no_fuse != 0};
            check_plan(m, &o, d, &steps);
            plans++;
        }
    assert_int_equal(d->errors, 0);
    assert_true(plans >= 2);
    printf("%s: %d plans, %d steps\n", sample, plans, steps);
    arena_free(a);
}

static void small(void **state)
{
    (void)state;
    static const int64_t micro[] = {1, 2, 4, 8, 16, 32, 64};
    check_sample("mlp", micro, countof(micro));
    check_sample("regression", micro, countof(micro));
    check_sample("gpt", micro, countof(micro));
    check_sample("llama", micro, countof(micro));
}

static void real_size(void **state)
{
    (void)state;
    static const int64_t micro[] = {64};
    check_sample("gpt2-124m", micro, countof(micro));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(small), cmocka_unit_test(real_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
