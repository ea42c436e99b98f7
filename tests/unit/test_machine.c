/* Profiles of machines: those of bmc, round trips, and what a wrong one is told. */
#include "planner/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Told {
    Arena *a;
    Diag *d;
    char *text;
    size_t n;
} Told;

static void told_open(Told *t)
{
    t->a = arena_new();
    t->text = NULL;
    FILE *out = open_memstream(&t->text, &t->n);
    t->d = diag_new(t->a, sources_new(t->a), out);
}

static void told_close(Told *t)
{
    fclose(t->d->out);
    free(t->text);
    arena_free(t->a);
}

static void expect_told(Told *t, const char *words)
{
    fflush(t->d->out);
    if (!strstr(t->text, words))
        fail_msg("wanted '%s' in: %s", words, t->text);
    assert_int_equal(t->d->errors, 1);
}

static void inside_profiles_are_whole(void **state)
{
    (void)state;
    Told t;
    int n;
    const char *const *name = machine_names(&n);
    static const char *const wanted[] = {"a100-40g", "a100-80g", "cpu",     "h100-80g",
                                         "h200",     "l4",       "v100-32g"};
    assert_int_equal(n, countof(wanted));
    told_open(&t);
    for (int i = 0; i < n; i++) {
        assert_string_equal(name[i], wanted[i]);
        const Machine *m = machine_find(t.a, name[i], t.d);
        assert_non_null(m);
        assert_string_equal(m->name, name[i]);
        assert_true(strlen(m->source) > 100);
        assert_non_null(
            strstr(m->source, m->target == TARGET_C ? "memory" : "Host memory: assumed"));
        assert_true(m->host_memory_bytes_per_s <= m->memory_bytes_per_s);
        assert_int_equal(m->target, strcmp(name[i], "cpu") == 0 ? TARGET_C : TARGET_CUDA);
        assert_true(m->link[LINK_NODE].bytes_per_s >= m->link[LINK_NET].bytes_per_s);
        for (int j = 1; j < m->n_rate[MATH_F32]; j++) /* larger products are no slower */
            assert_true(m->rate[MATH_F32][j].flops_per_s >= m->rate[MATH_F32][j - 1].flops_per_s);
    }
    assert_int_equal(t.d->errors, 0);
    told_close(&t);
}

static void print_is_read_again(void **state)
{
    (void)state;
    Told t;
    int n;
    const char *const *name = machine_names(&n);
    told_open(&t);
    for (int i = 0; i < n; i++) {
        StrBuf s = strbuf_new(t.a), again = strbuf_new(t.a);
        machine_print(&s, machine_find(t.a, name[i], t.d));
        const Machine *m = machine_read(t.a, "again", s.text, s.n, t.d);
        assert_non_null(m);
        machine_print(&again, m);
        assert_string_equal(again.text, s.text);
    }
    told_close(&t);
}

/* Every value of a profile arrives where it belongs: all of them are different. */
static void every_value_has_its_place(void **state)
{
    (void)state;
    Told t;
    told_open(&t);
    Machine m = {.name = "x", .source = "y", .memory_bytes = 1100001, .host_bytes = 1100002};
    m.target = TARGET_CUDA;
    m.ranks_per_node = 3;
    m.n_rate[MATH_F32] = 2;
    m.rate[MATH_F32][0] = (RatePoint){4, 1100005};
    m.rate[MATH_F32][1] = (RatePoint){5, 1100006};
    m.n_rate[MATH_F16] = 1;
    m.rate[MATH_F16][0] = (RatePoint){6, 1100007};
    m.attention_flops_per_s = 1100008;
    m.memory_bytes_per_s = 1100009;
    m.host_memory_bytes_per_s = 1100021;
    m.cache_bytes = 1100010;
    m.cache_bytes_per_s = 1100011;
    m.elem_ops_per_s = 1100012;
    m.launch_ps = 1100013;
    m.workers = 7;
    m.link[LINK_NODE] = (LinkCost){1100014, 1100015};
    m.link[LINK_NET] = (LinkCost){1100016, 1100017};
    m.copy = (LinkCost){1100018, 1100019};
    m.slow_compute_ppm = 1100020;
    StrBuf s = strbuf_new(t.a);
    machine_print(&s, &m);
    const Machine *back = machine_read(t.a, "x", s.text, s.n, t.d);
    assert_non_null(back);
    Machine plain = *back;
    assert_string_equal(plain.name, "x");
    assert_string_equal(plain.source, "y");
    plain.name = m.name;
    plain.source = m.source;
    assert_memory_equal(&plain, &m, sizeof m);
    told_close(&t);
}

typedef struct Change {
    const char *from, *to, *told;
} Change;

static const Change change[] = {
    {"\"name\": \"cpu\"", "\"name\": \"\"", "cpu.json: name: it is empty"},
    {"\"name\": \"cpu\"", "\"name\": 3", "cpu.json: name: a string is wanted"},
    {"\"name\": \"cpu\",", "", "cpu.json: name: missing"},
    {"\"source\": \"", "\"source\": \"  \", \"from\": \"", "cpu.json: source: it is empty"},
    {"\"source\": \"", "\"from\": \"", "cpu.json: source: missing"},
    {"\"source\": \"", "\"source\": \"\\n", "source: plain text is wanted, byte 0x0a is not"},
    {"\"target\"", "\"code\"", "cpu.json: target: missing"},
    {"\"target\": \"c\"", "\"target\": \"C\"", "target: \"c\" or \"cuda\" is wanted"},
    {"\"target\": \"c\"", "\"target\": 1", "target: \"c\" or \"cuda\" is wanted"},
    {"\"memory_bytes\"", "\"memory_gb\"", "cpu.json: memory_bytes: missing"},
    {"\"memory_bytes\"", "\"colour\": 1, \"memory_bytes\"", "cpu.json: unknown key 'colour'"},
    {"\"memory_bytes\": 8589934592", "\"memory_bytes\": 8",
     "memory_bytes: 8 is not in 1048576..1125899906842624"},
    {"\"memory_bytes\": 8589934592", "\"memory_bytes\": 8e9",
     "memory_bytes: a whole number is wanted"},
    {"\"host_memory_bytes_per_s\": 3", "\"host_memory_bytes_per_s\": 4",
     "host_memory_bytes_per_s: the host's memory is the device's with target c: 30000000000 is"},
    {"\"host_memory_bytes_per_s\": 30000000000", "\"host_memory_bytes_per_s\": 0",
     "host_memory_bytes_per_s: 0 is not in"},
    {"\"launch_ps\": 2000000", "\"launch_ps\": 2", "launch_ps: 2 is not in 1000.."},
    {"\"launch_ps\": 2000000", "\"launch_ps\": -2000", "launch_ps: -2000 is not in"},
    {"\"cache_bytes\": 4194304", "\"cache_bytes\": 0", "cache_bytes: with cache_bytes_per_s"},
    {"\"elem_ops_per_s\": 30000000000", "\"elem_ops_per_s\": 0", "elem_ops_per_s: 0 is not in"},
    {"\"bf16\": []", "\"bf16\": 1", "gemm_flops_per_s.bf16: a list of"},
    {"\"bf16\": []", "\"bf16\": [[64]]", "gemm_flops_per_s.bf16[0]: [size, flops_per_s]"},
    {"\"bf16\": []", "\"bf16\": [[64, 1]]", "gemm_flops_per_s.bf16[0]: 1 is not in"},
    {"\"bf16\": []", "\"bf16\": [[64, 2000000], [64, 3000000]]",
     "gemm_flops_per_s.bf16[1]: size 64 comes after 64"},
    {"\"bf16\": [],", "", "gemm_flops_per_s.bf16: missing"},
    {"\"bf16\": [],", "\"bf16\": [], \"f8\": [],", "gemm_flops_per_s: unknown key 'f8'"},
    {"\"f32\": [[1, 2000000000], ", "\"f32\": [], \"f99\": [", "f32: at least one point is wanted"},
    {"\"node_link\": {\"alpha_ps\": 2000000", "\"node_link\": {\"alpha_us\": 2000000",
     "node_link.alpha_ps: missing"},
    {"\"node_link\": {", "\"node_link\": {\"x\": 1, ", "node_link: unknown key 'x'"},
    {"\"bytes_per_s\": 6000000000", "\"bytes_per_s\": 6", "node_link.bytes_per_s: 6 is not in"},
    {"\"bytes_per_s\": 6000000000", "\"bytes_per_s\": 0", "node_link.alpha_ps: a link of 0"},
    {"\"net_link\"", "\"node_link\"", "cpu.json:"},
    {"{\n", "{\n]", "cpu.json:2:"},
};

static void what_is_wrong_has_a_place(void **state)
{
    (void)state;
    for (int i = 0; i < countof(change); i++) {
        Told t;
        told_open(&t);
        StrBuf s = strbuf_new(t.a), wrong = strbuf_new(t.a);
        machine_print(&s, machine_find(t.a, "cpu", t.d));
        char *at = strstr(s.text, change[i].from);
        assert_non_null(at);
        strbuf_addn(&wrong, s.text, (size_t)(at - s.text));
        strbuf_add(&wrong, change[i].to);
        strbuf_add(&wrong, at + strlen(change[i].from));
        assert_null(machine_read(t.a, "cpu.json", wrong.text, wrong.n, t.d));
        expect_told(&t, change[i].told);
        told_close(&t);
    }
}

static void names_and_files(void **state)
{
    (void)state;
    Told t;
    told_open(&t);
    assert_null(machine_find(t.a, "h100-80", t.d));
    expect_told(&t, "no machine profile is called 'h100-80': did you mean h100-80g?");
    expect_told(&t, "there are a100-40g, a100-80g, cpu, h100-80g, h200, l4, v100-32g");
    told_close(&t);
    told_open(&t);
    assert_null(machine_find(t.a, "./none.json", t.d));
    expect_told(&t, "none.json");
    told_close(&t);
    told_open(&t);
    StrBuf s = strbuf_new(t.a);
    machine_print(&s, machine_find(t.a, "l4", t.d));
    FILE *f = fopen("mine.json", "w");
    assert_non_null(f);
    fputs(s.text, f);
    fclose(f);
    const Machine *m = machine_find(t.a, "mine.json", t.d);
    assert_non_null(m);
    assert_string_equal(m->name, "l4");
    unlink("mine.json");
    told_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_profiles_are_whole), cmocka_unit_test(print_is_read_again),
        cmocka_unit_test(every_value_has_its_place), cmocka_unit_test(what_is_wrong_has_a_place),
        cmocka_unit_test(names_and_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
