/* Mutations of real plans on 3 and 4 ranks: each kind SEEDS times in each of seven plans. Whatever
 * changes what the plan does is rejected, by a check of its kind; what is not rejected does the
 * same, run as symbols in adverse orders (run.h). Prints how often which check told. */
#include "tests/mutate/grid.h"
#include "tests/mutate/kinds.h"
#include "tests/mutate/run.h"

#define CHECK_ID(id, name, what) #id,
static const char *const check_id[] = {VERIFY_CHECKS(CHECK_ID)};
#ifdef __SANITIZE_ADDRESS__ /* some ten times slower, beside a build that does all of them */
enum { SEEDS = 4 };
#else
enum { SEEDS = 10 };
#endif

static const GridPlan base[] = {
    {.sample = "tiny", .ranks = 4, .micro = 1, .batch = 12, .zero = 3, .lead = 1, .again = true},
    {.sample = "tiny", .ranks = 3, .micro = 2, .batch = 12, .zero = 1, .lead = -1, .bucket = 8192},
    {.sample = "tiny", .ranks = 4, .micro = 1, .batch = 16, .zero = -2, .lead = 2, .reduced = true},
    {.sample = "tiny",
     .ranks = 4,
     .micro = 1,
     .batch = 16,
     .zero = 4,
     .lead = 1,
     .invariant = true},
    {.sample = "tiny", .ranks = 4, .micro = 2, .batch = 16, .zero = 2, .hybrid = 2, .again = true},
    {.sample = "tiny", .ranks = 3, .micro = 2, .batch = 6, .zero = 0, .no_overlap = true},
    {.sample = "tiny", .ranks = 4, .micro = 1, .batch = 8, .zero = -2, .lead = 1, .offload = true},
};

typedef struct Row { /* of the matrix */
    int made, killed, improper, same, wrong;
    int files; /* of those rejected, passed as files */
    int by[countof(check_id)];
} Row;

/* The checks told, as bits. */
static uint32_t told(Arena *a, const Plan *p, const int *was, const uint64_t *origins)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    Diag *d = diag_new(a, sources_new(a), out);
    bool ok = plan_verify(p, d);
    if (was)
        ok = plan_verify_order(p, was, origins, d) && ok;
    fclose(out);
    uint32_t bits = 0;
    for (int i = 0; i < countof(check_id); i++) {
        const char *word = arena_printf(a, "error: %s ", check_id[i]);
        bits |= strstr(text, word) ? UINT32_C(1) << i : 0;
    }
    if (ok != (bits == 0))
        fail_msg("%s with '%s'", ok ? "passed" : "rejected", text);
    free(text);
    return bits;
}

/* Without instructions a file has no recomputed values to compare; its hash nobody can compute. */
static bool passes_as_file(Arena *a, const Plan *p)
{
    StrBuf s = strbuf_new(a);
    Diag *d = diag_new(a, sources_new(a), NULL);
    plan_json(&s, p);
    PlanFile *f = plan_read_text(a, "plan.json", s.text, s.n, d);
    return f && plan_file_verify(f, d);
}

static bool shows_in_file(uint32_t bits)
{
    for (int i = 0; i < countof(check_id); i++)
        if ((bits >> i & 1) && !strstr("V15 V16 V23", check_id[i]))
            return true;
    return false;
}

static bool is_proper(const Kind *k, uint32_t bits)
{
    for (int i = 0; i < countof(check_id); i++)
        if ((bits >> i & 1) && strstr(k->proper, check_id[i]))
            return true;
    return false;
}

static void mutate(const Plan *p, const uint64_t *origins, const GridPlan *g, const Kind *k,
                   int seed, const RunResult *want, Row *row)
{
    Arena *a = arena_new();
    Mutant m = {.a = a, .p = mutant_copy(a, p)};
    m.seed = (uint64_t)(seed + 1) * 0x9E3779B97F4A7C15u + (uint64_t)(k - kinds) * 7919;
    if (k->apply(&m)) {
        kind_refresh(k, &m);
        uint32_t bits = told(a, m.p, m.was, origins);
        row->made++;
        row->killed += bits != 0;
        for (int i = 0; i < countof(check_id); i++)
            row->by[i] += (int)(bits >> i & 1);
        if (bits && !is_proper(k, bits)) {
            row->improper++;
            printf("%s, seed %d, of %s: not told by %s\n", k->name, seed, grid_name(a, g),
                   k->proper);
            plan_verify(m.p, diag_new(a, sources_new(a), stdout));
        }
        if (seed % SEEDS == 3 && shows_in_file(bits) && !m.was && passes_as_file(a, m.p)) {
            row->files++;
            printf("%s (step %d), seed %d, of %s: passed as a file\n", k->name, m.at, seed,
                   grid_name(a, g));
            plan_verify(m.p, diag_new(a, sources_new(a), stdout));
        }
        if (!bits && !k->lie && run_same(a, m.p, want)) {
            row->same++;
        } else if (!bits) {
            row->wrong++;
            printf("%s (step %d), seed %d, of %s: passed, and does something else\n", k->name, m.at,
                   seed, grid_name(a, g));
        }
    }
    arena_free(a);
}

static void print_matrix(const Row *row)
{
    printf("%-34s made killed same ", "");
    for (int i = 0; i < countof(check_id); i++)
        printf(" %s", check_id[i]);
    printf("\n");
    for (int k = 0; k < countof(kinds); k++) {
        printf("%-34s %4d %6d %4d ", kinds[k].name, row[k].made, row[k].killed, row[k].same);
        for (int i = 0; i < countof(check_id); i++)
            if (row[k].by[i])
                printf(" %3d", row[k].by[i]);
            else
                printf("   .");
        printf("\n");
    }
}

static void kill_matrix(void **state)
{
    (void)state;
    Row row[countof(kinds)] = {{0}};
    for (int b = 0; b < countof(base); b++) {
        Arena *a = arena_new();
        Diag *d = diag_new(a, sources_new(a), stderr);
        Plan *p = grid_plan(a, &base[b], d);
        assert_true(p && plan_verify(p, d));
        const uint64_t *origins = plan_origins(a, p);
        RunResult want = run_plan(a, p, RUN_BY_ID, 0);
        assert_true(run_same(a, p, &want));
        for (int k = 0; k < countof(kinds); k++)
            for (int seed = 0; seed < SEEDS; seed++)
                mutate(p, origins, &base[b], &kinds[k], b * SEEDS + seed, &want, &row[k]);
        arena_free(a);
    }
    print_matrix(row);
    int files = 0, made = 0, killed = 0, same = 0, improper = 0, wrong = 0, used = 0;
    for (int k = 0; k < countof(kinds); k++) {
        made += row[k].made;
        killed += row[k].killed;
        same += row[k].same;
        improper += row[k].improper;
        wrong += row[k].wrong;
        files += row[k].files;
        used += row[k].made >= SEEDS;
    }
    printf(
        "%d kinds, %d mutants of %d plans: %d rejected, %d do the same as before, %d rejected by "
        "another check only, %d passed wrongly\n",
        countof(kinds), made, countof(base), killed, same, improper, wrong);
    assert_int_equal(improper, 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(files, 0);
    assert_int_equal(used, countof(kinds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kill_matrix)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
