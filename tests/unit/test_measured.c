/* What a probe printed becomes a profile, or is refused. */
#include "planner/measured.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const char printed[] =
    "{\"threads\": 3, \"cores\": 8, \"ranks\": 2, \"memory_bytes\": 20000000000,\n"
    " \"library\": \"oneDNN\",\n"
    " \"gemm\": [[1, 1500000], [64, 70000999999], [128, 90000000000]],\n"
    " \"memory_bytes_per_s\": 30000000001, \"cache_bytes\": 4194300,\n"
    " \"cache_bytes_per_s\": 90000000000, \"elem_ops_per_s\": 100000000000,\n"
    " \"launch_ps\": 2500000, \"copy_bytes_per_s\": 12000000000, \"slow_compute_ppm\": 300000}\n";

static const Machine *read_text(Arena *a, const char *text, int errors)
{
    Diag *d = diag_new(a, sources_new(a), NULL);
    const Machine *m = machine_measured(a, text, NULL, d);
    assert_int_equal(d->errors, errors);
    return m;
}

static void figures_become_a_profile(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const Machine *m = read_text(a, printed, 0);
    assert_non_null(m);
    assert_int_equal(m->target, TARGET_C);
    assert_int_equal(m->n_rate[MATH_F32], 3);
    assert_int_equal(m->rate[MATH_F32][0].flops_per_s, 1000000);
    assert_int_equal(m->rate[MATH_F32][1].flops_per_s, 70000000000);
    assert_int_equal(m->attention_flops_per_s, 70000000000);
    assert_int_equal(m->n_rate[MATH_BF16], 0);
    assert_int_equal(m->workers, 3);
    assert_int_equal(m->ranks_per_node, 8);
    assert_true(m->memory_bytes <= 9000000000 && m->memory_bytes > 9000000000 - (2 << 20));
    assert_int_equal(m->memory_bytes_per_s, 30000000000);
    assert_int_equal(m->host_memory_bytes_per_s, 30000000000);
    assert_int_equal(m->cache_bytes, 4194300);
    assert_int_equal(m->launch_ps, 2650000);
    assert_int_equal(m->link[LINK_NODE].bytes_per_s, 6000000000);
    assert_int_equal(m->link[LINK_NET].bytes_per_s, 0);
    assert_int_equal(m->slow_compute_ppm, 300000);
    assert_non_null(
        strstr(m->source,
               "2 ranks with 3 threads each, products by oneDNN; links between ranks: derived"));
    arena_free(a);
}

static void links_are_taken(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), NULL);
    const Machine *m = machine_measured(
        a, printed, "{\"ranks\": 2, \"alpha_ps\": 700000, \"bytes_per_s\": 5000000000}\n", d);
    assert_non_null(m);
    assert_int_equal(m->link[LINK_NODE].alpha_ps, 700000);
    assert_int_equal(m->link[LINK_NODE].bytes_per_s, 5000000000);
    assert_non_null(strstr(m->source, "an all-gather by bmrt_probe_link"));
    assert_null(machine_measured(a, printed, "{\"ranks\": 2}", d));
    assert_null(machine_measured(a, printed, "", d));
    assert_int_equal(d->errors, 2);
    arena_free(a);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const change[][2] = {
        {"\"threads\": 3", "\"threads\": \"3\""},
        {"\"threads\"", "\"thread\""},
        {"{\"threads\"", "{\"more\": 1, \"threads\""},
        {"[64, 70000999999]", "[1, 70000999999]"},
        {"[[1, 1500000], [64, 70000999999], [128, 90000000000]]", "[]"},
        {"20000000000", "20"}, /* less than a MiB for a rank */
        {"}\n", ""},
    };
    Arena *a = arena_new();
    for (int i = 0; i < countof(change); i++) {
        const char *at = strstr(printed, change[i][0]);
        assert_non_null(at);
        const char *text = arena_printf(a, "%.*s%s%s", (int)(at - printed), printed, change[i][1],
                                        at + strlen(change[i][0]));
        assert_null(read_text(a, text, 1));
    }
    assert_null(read_text(a, "", 1));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_become_a_profile),
        cmocka_unit_test(links_are_taken),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
