/* The verifier on plans of many ranks: no false alarm, in memory and as files. GRID=N looks at N
 * plans. */
#include "tests/mutate/grid.h"

enum { PLANS = 60, AS_FILE = 3 };

static bool as_file(Arena *a, const Plan *p, Diag *d)
{
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    PlanFile *f = plan_read_text(a, "plan.json", s.text, s.n, d);
    return f && plan_file_verify(f, d);
}

static void no_false_alarm(void **state)
{
    (void)state;
    const char *asked = getenv("GRID");
    int n = asked ? atoi(asked) : PLANS, hybrid = 0, offload = 0, steps = 0;
    const char *from = getenv("FROM");
    for (int i = from ? atoi(from) : 0; i < n; i++) {
        Arena *a = arena_new();
        GridPlan g = grid_at(i);
        Diag *d = diag_new(a, sources_new(a), stderr);
        Plan *p = grid_plan(a, &g, d);
        if (!p || !plan_verify(p, d) || (i % AS_FILE == 0 && !as_file(a, p, d)))
            fail_msg("plan %d: %s", i, grid_name(a, &g));
        hybrid += g.hybrid > 0;
        offload += g.offload;
        steps += p->step.n;
        arena_free(a);
    }
    printf("%d plans of 2 to 8 ranks, %d hybrid, %d with offload, %d steps: no false alarm\n", n,
           hybrid, offload, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_false_alarm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
