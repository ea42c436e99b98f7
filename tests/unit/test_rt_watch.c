/* --inspect: what is printed is right, and the same bits for every layout of shards, ranks, rounds
 * and threads; patterns; what the tables leave out is found. */
#include "tests/unit/rt_ranks.h"

#include "runtime/moments.h"
#include "runtime/pattern.h"

#include <math.h>

/* ---- patterns ---- */

static void patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool match;
    } rows[] = {
        {"h.3.attn", "h.3.attn.c_attn.weight", true},
        {"h.3.attn", "h.3.attn", true},
        {"h.3.attn", "h.3.att", false},
        {"h.3.attn", "h.33.attn", false},
        {"h.3.attn", "h.3", false},
        {"h.*.attn", "h.12.attn.c_attn", true},
        {"h.*.attn", "h.12.mlp.attn", false},
        {"**.weight", "wte.weight", true},
        {"**.weight", "h.1.fc.weight", true},
        {"**.weight", "weight", true},
        {"**.weight", "h.1.fc.bias", false},
        {"**", "anything.at.all", true},
        {"h.0:2", "h.1.ln", true},
        {"h.0:2", "h.2.ln", false},
        {"h.0:2", "h.x.ln", false},
        {"**.**.fc.**.weight", "h.1.fc.weight", true},
        {"h.**.ln", "h.1.2.3.ln.bias", true},
        {"*", "a.b", true},
    };
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++)
        if (bmrt_pattern_matches(rows[i].pattern, rows[i].path) != rows[i].match)
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].path);
    static const char *const good[] = {"a", "h.0.x", "*.**", "0:12", "h.3:4.w_1"};
    static const char *const bad[] = {"",   ".a", "a.", "a..b", "***",
                                      "a*", "1:", ":2", "a:b",  "1:x"};
    bmrt_error e;
    for (int i = 0; i < (int)(sizeof good / sizeof *good); i++)
        assert_int_equal(bmrt_pattern_check(good[i], "inspect", &e), BMRT_OK);
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++)
        if (bmrt_pattern_check(bad[i], "inspect", &e) != BMRT_USAGE)
            fail_msg("'%s' is a pattern", bad[i]);
    assert_non_null(strstr(e.text, "--inspect: '1:x' is no pattern"));
}

/* ---- the tree of moments ---- */

static double number(int64_t i)
{
    uint64_t x = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 31;
    return ldexp((double)(x & 0xfffff) - 400000, (int)(x >> 60) - 18);
}

static bmrt_moment_runs runs_of(int64_t lo, int64_t hi)
{
    bmrt_moment_runs r = {.n = 0};
    for (int64_t i = lo; i < hi; i++) {
        real v[2] = {(real)number(2 * i), (real)number(2 * i + 1)};
        assert_true(
            bmrt_moment_push(&r, &(bmrt_moment_run){i, 0, bmrt_moments_of(BMRT_F32, v, 2)}));
    }
    return r;
}

static void any_cut_makes_the_same_tree(void **state)
{
    (void)state;
    enum { N = 203 };
    bmrt_moment_runs whole = runs_of(0, N);
    bmrt_moments want = bmrt_moment_total(&whole);
    for (int64_t a = 0; a <= N; a += 7)
        for (int64_t b = a; b <= N; b += 13) {
            bmrt_moment_runs all = {.n = 0};
            int64_t cut[4] = {0, a, b, N};
            for (int p = 0; p < 3; p++) {
                bmrt_moment_runs part = runs_of(cut[p], cut[p + 1]);
                for (int64_t i = 0; i < part.n; i++)
                    assert_true(bmrt_moment_push(&all, &part.run[i]));
            }
            bmrt_moments got = bmrt_moment_total(&all);
            assert_memory_equal(&got, &want, sizeof got);
        }
    double sum = 0, m2 = 0;
    for (int64_t i = 0; i < 2 * N; i++)
        sum += (double)(real)number(i);
    double mean = sum / (2 * N);
    for (int64_t i = 0; i < 2 * N; i++)
        m2 += pow((double)(real)number(i) - mean, 2);
    assert_true(fabs(bmrt_moments_mean(&want) - mean) <= 1e-12 * fabs(mean));
    assert_true(fabs(bmrt_moments_std(&want) - sqrt(m2 / (2 * N - 1))) < 1e-12 * sqrt(m2));
    /* a hole, or the same twice */
    bmrt_moment_runs r = runs_of(0, 4);
    assert_false(bmrt_moment_push(&r, &(bmrt_moment_run){5, 0, want}));
    assert_false(bmrt_moment_push(&r, &(bmrt_moment_run){3, 0, want}));
    /* what is nearly constant keeps its spread */
    real near[16];
    for (int i = 0; i < 16; i++)
        near[i] = (real)(i % 2 ? 1 + 0x1p-20 : 1);
    bmrt_moments m = bmrt_moments_of(BMRT_F32, near, 16);
    assert_true(fabs(bmrt_moments_std(&m) - 0x1p-21 * sqrt(16.0 / 15)) < 1e-6 * 0x1p-20);
}

/* ---- a step on several ranks ----
 *
 * Two parameters of one flat buffer and their gradients, a value of each sample, the same in a
 * region (chunks of 2 samples in a buffer of 2), one that is no sample's, and a longer value of
 * each sample: as it is, and in a region of parts of samples (in a buffer of one part). */

enum { A = 5000, B = 77, FLAT = 6144, BATCH = 12, PER = 37, AT_B = 5008 };
enum { PARAM = 0, GRAD = 4 * FLAT, VALUE = 2 * GRAD, CHUNK = VALUE + 4 * BATCH * PER + 64 };
enum { FIXED = CHUNK + 4 * 2 * PER + 64, STEP_VALUE = 11, STEP_CHUNK = 12 };
enum { STEP_FIXED = 13, STEP_LONG = 14, STEP_PARTS = 15, PARTS = 4, PART = 32, LONG = FIXED + 64 };
enum { ONE_PART = LONG + 4 * BATCH * PARTS * PART, ARENA = ONE_PART + 4 * PART };

static real element(int what, int64_t i)
{
    return (real)number(what * 1000000 + i);
}

typedef struct setting {
    int ranks, group, rounds;
    bool slices; /* gradients in place, in a buffer of the whole */
    const char *pattern;
    bool misses; /* the program never tells of the value */
} setting;

static real flat_of(int what, int64_t i)
{
    return i < A ? element(what, i) : i >= AT_B && i < AT_B + B ? element(what + 1, i - AT_B) : 0;
}

static bmrt_model make(const setting *s, bmrt_tensor *param, bmrt_watch *watch)
{
    int64_t shard = s->group > 1 ? (FLAT / 1024 + s->group - 1) / s->group * 1024 : 0;
    param[0] = (bmrt_tensor){.path = "h.0.a", .count = A, .offset = PARAM, .shard = shard};
    param[1] =
        (bmrt_tensor){.path = "h.0.b", .count = B, .at = AT_B, .offset = PARAM, .shard = shard};
    for (int i = 0; i < 2; i++)
        watch[i] = (bmrt_watch){.path = param[i].path,
                                .kind = BMRT_WATCH_GRAD,
                                .count = param[i].count,
                                .at = param[i].at,
                                .offset = GRAD,
                                .by_rank = s->slices ? shard * 4 : 0,
                                .shard = shard};
    watch[2] = (bmrt_watch){.path = "h.0.out",
                            .kind = BMRT_WATCH_VALUE,
                            .count = PER,
                            .offset = VALUE,
                            .batched = true,
                            .after = STEP_VALUE};
    watch[3] = watch[2];
    watch[3].path = "head.out";
    watch[3].offset = CHUNK;
    watch[3].chunk = true;
    watch[3].after = STEP_CHUNK;
    watch[4] = (bmrt_watch){
        .path = "mask", .kind = BMRT_WATCH_VALUE, .count = 3, .offset = FIXED, .after = STEP_FIXED};
    watch[5] = watch[2];
    watch[5].path = "long.whole";
    watch[5].offset = LONG;
    watch[5].count = PARTS * PART;
    watch[5].after = STEP_LONG;
    watch[6] = watch[5];
    watch[6].path = "long.parts";
    watch[6].offset = ONE_PART;
    watch[6].count = PART;
    watch[6].parts = PARTS;
    watch[6].chunk = true;
    watch[6].after = STEP_PARTS;
    return (bmrt_model){.version = BMRT_VERSION,
                        .name = "Seen",
                        .arena_bytes = ARENA,
                        .param = param,
                        .n_param = 2,
                        .watch = watch,
                        .n_watch = 7,
                        .batch = BATCH,
                        .steps = 3};
}

static void fill_step(bmrt *r, const setting *s)
{
    int64_t shard = s->group > 1 ? (FLAT / 1024 + s->group - 1) / s->group * 1024 : FLAT;
    for (int64_t i = 0; i < shard; i++) {
        int64_t to = s->slices ? r->shard * shard + i : i;
        ((real *)BMRT_AT(r, PARAM))[i] = flat_of(1, r->shard * shard + i);
        if (to < FLAT)
            ((real *)BMRT_AT(r, GRAD))[to] = flat_of(3, r->shard * shard + i);
    }
}

static void one_round(bmrt *r, int64_t nb)
{
    for (int64_t i = 0; i < nb * PER; i++)
        ((real *)BMRT_AT(r, VALUE))[i] = element(7, r->sample0 * PER + i);
    bmrt_watched(r, STEP_VALUE, 0, nb);
    for (int64_t lo = 0; lo < nb; lo += 2) {
        int64_t n = nb - lo < 2 ? nb - lo : 2;
        for (int64_t i = 0; i < n * PER; i++)
            ((real *)BMRT_AT(r, CHUNK))[i] = element(7, (r->sample0 + lo) * PER + i);
        bmrt_watched(r, STEP_CHUNK, lo, n);
    }
    for (int64_t i = 0; i < nb * PARTS * PART; i++)
        ((real *)BMRT_AT(r, LONG))[i] = element(9, r->sample0 * PARTS * PART + i);
    bmrt_watched(r, STEP_LONG, 0, nb);
    for (int64_t s = 0; s < nb * PARTS; s++) {
        for (int64_t i = 0; i < PART; i++)
            ((real *)BMRT_AT(r, ONE_PART))[i] = element(9, (r->sample0 * PARTS + s) * PART + i);
        bmrt_watched(r, STEP_PARTS, s, 1);
    }
    for (int i = 0; i < 3; i++)
        ((real *)BMRT_AT(r, FIXED))[i] = (real)(i + 1);
    bmrt_watched(r, STEP_FIXED, 0, nb);
}

static void steps(rank_of_world *k)
{
    bmrt_run *run = &k->run;
    const setting *s = k->context;
    run->opt.inspect = s->pattern;
    run->opt.inspect_every = 2;
    run->stop = 3;
    k->status = bmrt_watch_create(run, "inspect.jsonl", &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_watch_open(run, &k->error);
    for (run->pub.step = 0; run->pub.step < 3 && k->status == BMRT_OK; run->pub.step++) {
        int64_t own = BATCH / s->ranks, micro = own / s->rounds;
        bmrt_watch_begin(run);
        fill_step(&run->pub, s);
        for (int64_t j = 0; j < s->rounds; j++) {
            run->pub.first = j == 0;
            run->pub.sample0 = k->rank * own + j * micro;
            if (run->pub.watches && !s->misses)
                one_round(&run->pub, micro);
        }
        k->status = bmrt_watch_end(run, &k->error);
        assert_false(run->pub.watches);
    }
    bmrt_watch_destroy(run);
}

static BmStatus inspect(const setting *s, bmrt_error *e)
{
    static world w;
    static rank_of_world rank[MOST_RANKS];
    bmrt_tensor param[2];
    bmrt_watch watch[7];
    bmrt_model m = make(s, param, watch);
    remove("inspect.jsonl");
    run_world(&w, rank, s->ranks, s->group, &m, steps, s);
    for (int q = 1; q < s->ranks; q++)
        assert_int_equal(rank[q].status, rank[0].status);
    *e = rank[0].error;
    close_world(&w, rank);
    return rank[0].status;
}

static double in_line(const char *text, const char *path, const char *what, const char *key)
{
    char start[128];
    snprintf(start, sizeof start, "{\"step\":3,\"path\":\"%s\",\"what\":\"%s\",", path, what);
    const char *at = strstr(text, start);
    assert_non_null(at);
    snprintf(start, sizeof start, "\"%s\":", key);
    at = strstr(at, start);
    assert_non_null(at);
    return strtod(at + strlen(start), NULL);
}

static void close_to(double got, double want)
{
    if (fabs(got - want) > 1e-8 * fabs(want) + 1e-300)
        fail_msg("%.17g is not %.17g", got, want);
}

static void check_numbers(const char *text, const char *path, const char *what, int source, int n)
{
    double sum = 0, m2 = 0, least = INFINITY, most = -INFINITY;
    for (int i = 0; i < n; i++)
        sum += (double)element(source, i);
    for (int i = 0; i < n; i++) {
        double v = (double)element(source, i);
        m2 += (v - sum / n) * (v - sum / n);
        least = v < least ? v : least;
        most = v > most ? v : most;
    }
    close_to(in_line(text, path, what, "mean"), sum / n);
    close_to(in_line(text, path, what, "std"), sqrt(m2 / (n - 1)));
    close_to(in_line(text, path, what, "min"), least);
    close_to(in_line(text, path, what, "max"), most);
}

static void every_layout_says_the_same(void **state)
{
    (void)state;
    static const setting settings[] = {
        {1, 1, 1, false, "**", false}, {1, 1, 4, false, "**", false}, {2, 2, 3, false, "**", false},
        {2, 2, 3, true, "**", false},  {3, 3, 2, false, "**", false}, {4, 4, 1, true, "**", false},
        {4, 2, 3, true, "**", false},  {3, 1, 1, false, "**", false}, {4, 2, 1, false, "**", false},
    };
    bmrt_error e;
    assert_int_equal(inspect(&settings[0], &e), BMRT_OK);
    char *one = get_file("inspect.jsonl", NULL);
    int lines = 0;
    for (char *c = one; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 3 * 9); /* the first step, the second, the last */
    check_numbers(one, "h.0.a", "param", 1, A);
    check_numbers(one, "h.0.b", "param", 2, B);
    check_numbers(one, "h.0.a", "grad", 3, A);
    check_numbers(one, "h.0.b", "grad", 4, B);
    check_numbers(one, "h.0.out", "value", 7, BATCH * PER);
    check_numbers(one, "head.out", "value", 7, BATCH * PER);
    static const char *const key[] = {"mean", "std", "min", "max"};
    check_numbers(one, "long.whole", "value", 9, BATCH * PARTS * PART);
    for (int i = 0; i < 4; i++) /* the same tree of leaves: the same bits */
        assert_true(in_line(one, "long.parts", "value", key[i]) ==
                    in_line(one, "long.whole", "value", key[i]));
    close_to(in_line(one, "mask", "value", "mean"), 2);
    close_to(in_line(one, "mask", "value", "std"), 1);
    for (int i = 1; i < (int)(sizeof settings / sizeof *settings); i++) {
        if (inspect(&settings[i], &e) != BMRT_OK)
            fail_msg("setting %d: %s", i, e.text);
        char *many = get_file("inspect.jsonl", NULL);
        if (strcmp(one, many) != 0)
            fail_msg("setting %d:\n%s", i, many);
        free(many);
    }
    free(one);
}

static void only_what_is_asked_for(void **state)
{
    (void)state;
    bmrt_error e;
    assert_int_equal(inspect(&(setting){2, 2, 1, false, "h.*.b", false}, &e), BMRT_OK);
    char *text = get_file("inspect.jsonl", NULL);
    assert_non_null(strstr(text, "\"path\":\"h.0.b\",\"what\":\"param\""));
    assert_non_null(strstr(text, "\"path\":\"h.0.b\",\"what\":\"grad\""));
    assert_null(strstr(text, "h.0.a"));
    assert_null(strstr(text, "\"value\""));
    free(text);
    assert_int_equal(inspect(&(setting){2, 2, 1, false, "h.0.c", false}, &e), BMRT_USAGE);
    assert_non_null(strstr(e.text, "'h.0.c' matches nothing of Seen"));
    assert_non_null(strstr(e.help, "h.0.a"));
    e.help[0] = 0;
    assert_int_equal(inspect(&(setting){2, 2, 1, false, "encoder.*.norm", false}, &e), BMRT_USAGE);
    assert_non_null(strstr(e.help, "names here are like 'h.0."));
    assert_int_equal(inspect(&(setting){1, 1, 1, false, "a..b", false}, &e), BMRT_USAGE);
}

static void what_nobody_tells_of_is_missed(void **state)
{
    (void)state;
    bmrt_error e;
    assert_int_equal(inspect(&(setting){2, 2, 1, false, "h.0.out", true}, &e), BMRT_BUG);
    assert_non_null(strstr(e.text, "0 elements of value 'h.0.out' were seen, it has 444"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(any_cut_makes_the_same_tree),
        cmocka_unit_test(every_layout_says_the_same),
        cmocka_unit_test(only_what_is_asked_for),
        cmocka_unit_test(what_nobody_tells_of_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
