/* The command line, sizes, whole-file writes, the stamp of a run folder, starting ranks. */
#include "frontend/driver/file.h"
#include "frontend/driver/launch.h"
#include "frontend/driver/options.h"
#include "frontend/driver/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Parses words after "bmc"; the exit code, or -1 when the command is to be run. */
static int parse(Options *o, int n, const char *const word[])
{
    char *argv[16] = {"bmc"};
    for (int i = 0; i < n; i++)
        argv[i + 1] = (char *)(uintptr_t)word[i];
    int code = -2;
    return options_parse(arena_new(), o, n + 1, argv, &code) ? -1 : code;
}
#define PARSE(o, ...)                                                                              \
    parse((o), countof(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__})

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"1", 1},
                {"4096", 4096},
                {"2GiB", INT64_C(2) << 30},
                {"1.5GiB", INT64_C(3) << 29},
                {"1.5 GB", 1500000000},
                {"0.25KiB", 256},
                {"1TiB", INT64_C(1) << 40},
                {"10M", 10000000},
                {"7B", 7}};
    for (int i = 0; i < countof(good); i++) {
        int64_t bytes = 0;
        assert_true(parse_size(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    static const char *const bad[] = {"",
                                      "GiB",
                                      "0",
                                      "-1",
                                      "1.",
                                      ".5GiB",
                                      "1..5GiB",
                                      "2gib",
                                      "2 GiBx",
                                      "1e9",
                                      "0.1B",
                                      "9999999999GiB",
                                      "99999999999999999999"};
    for (int i = 0; i < countof(bad); i++) {
        int64_t bytes = 0;
        if (parse_size(bad[i], &bytes))
            fail_msg("'%s' was taken for a size", bad[i]);
    }
}

static void options(void **state)
{
    (void)state;
    Options o;
    assert_int_equal(PARSE(&o, "compile", "a.bm", "-o", "out", "-Dx=1", "-D", "y=a=b",
                           "--memory=2GiB", "--micro-batch", "4", "--ranks", "1", "--no-fuse"),
                     -1);
    assert_int_equal(o.command, CMD_COMPILE);
    assert_string_equal(o.file, "a.bm");
    assert_string_equal(o.out, "out");
    assert_int_equal(o.define.n, 2);
    assert_string_equal(o.define.v[0].name, "x");
    assert_string_equal(o.define.v[1].value, "a=b");
    assert_int_equal(o.memory, INT64_C(2) << 30);
    assert_int_equal(o.micro_batch, 4);
    assert_true(o.no_fuse);

    assert_int_equal(PARSE(&o, "plan", "a.bm", "--emit=ast", "--emit", "graph=g.txt"), -1);
    assert_int_equal(o.emit.n, 2);
    assert_int_equal(o.emit.v[0].kind, EMIT_AST);
    assert_null(o.emit.v[0].path);
    assert_string_equal(o.emit.v[1].path, "g.txt");

    assert_int_equal(PARSE(&o, "run", "a.bm", "-n", "1", "--", "--steps", "3"), -1);
    assert_int_equal(o.n_rest, 2);
    assert_string_equal(o.rest[0], "--steps");

    assert_int_equal(PARSE(&o, "inspect", "run", "--memory"), -1);
    assert_int_equal(o.view, VIEW_MEMORY);
    assert_int_equal(PARSE(&o, "plan", "a.bm", "--ranks", "8", "--machine=h100-80g"), -1);
    assert_int_equal(o.ranks, 8);
    assert_string_equal(o.machine, "h100-80g");
}

static void views(void **state)
{
    (void)state;
    Options o;
    assert_int_equal(PARSE(&o, "inspect", "run", "--html"), -1);
    assert_int_equal(o.view, VIEW_HTML);
    assert_null(o.view_to);
    assert_string_equal(o.file, "run");
    assert_int_equal(PARSE(&o, "inspect", "--trace=t.json", "run"), -1);
    assert_int_equal(o.view, VIEW_TRACE);
    assert_string_equal(o.view_to, "t.json");
    assert_int_equal(PARSE(&o, "inspect", "run", "--why", "h.3"), -1);
    assert_int_equal(o.view, VIEW_WHY);
    assert_string_equal(o.why, "h.3");
    static const char *const diff[][5] = {{"inspect", "--diff", "a", "b"},
                                          {"inspect", "a", "--diff", "b"}};
    for (int i = 0; i < countof(diff); i++) {
        assert_int_equal(PARSE(&o, diff[i][0], diff[i][1], diff[i][2], diff[i][3]), -1);
        assert_int_equal(o.view, VIEW_DIFF);
        assert_string_equal(o.file, "a");
        assert_string_equal(o.other, "b");
    }
    assert_int_equal(PARSE(&o, "verify", "run", "--json"), -1);
    assert_true(o.json);
}

/* Each of these is exit code 2: never a quietly different compile. */
static void refused(void **state)
{
    (void)state;
    Options o;
    static const char *const line[][6] = {
        {"compil", "a.bm"},
        {"a.bm"},
        {"calibrate", "a.bm"},
        {"calibrate", "--threads", "0"},
        {"compile"},
        {"compile", "a.bm", "b.bm"},
        {"compile", "a.bm", "--memroy", "2GiB"},
        {"compile", "a.bm", "--params"},
        {"compile", "a.bm", "--memory"},
        {"compile", "a.bm", "--memory", "lots"},
        {"compile", "a.bm", "--micro-batch", "0"},
        {"compile", "a.bm", "--micro-batch", "2x"},
        {"compile", "a.bm", "--ranks", "0"},
        {"compile", "a.bm", "--ranks", "2000000"},
        {"compile", "a.bm", "--target", "cuda"},
        {"compile", "a.bm", "--target", "tpu"},
        {"compile", "a.bm", "--machine", ""},
        {"compile", "a.bm", "--plan", ""},
        {"compile", "a.bm", "--no-fuse=1"},
        {"compile", "a.bm", "--emit=cuda"},
        {"compile", "a.bm", "--emit=tree"},
        {"compile", "a.bm", "--emit=ast="},
        {"compile", "a.bm", "-D", "x"},
        {"compile", "a.bm", "-o", ""},
        {"compile", "a.bm", "--", "--steps"},
        {"run", "a.bm", "--steps", "3"},
        {"run", "a.bm", "-n", "x"},
        {"run", "a.bm", "--emit=c"},
        {"inspect", "run", "--params", "--memory"},
        {"inspect", "run", "--html="},
        {"inspect", "run", "--diff"},
        {"inspect", "run", "--why"},
        {"inspect", "run", "b"},
        {"inspect", "--diff", "a", "b", "c"},
        {"verify", "a", "b"},
        {"doctor", "now"},
        {"--verbose"},
    };
    for (int i = 0; i < countof(line); i++) {
        int n = 0;
        while (n < 6 && line[i][n])
            n++;
        int code = parse(&o, n, line[i]);
        if (code != EXIT_USAGE)
            fail_msg("`bmc %s %s %s` gave %d", line[i][0], line[i][1] ? line[i][1] : "",
                     line[i][2] ? line[i][2] : "", code);
    }
}

static void files(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const char *text;
    size_t n;
    assert_null(folder_make(a, "deep/er/folder"));
    assert_null(folder_make(a, "deep/er/folder"));
    assert_null(file_write(a, "deep/er/folder/x", "old", 3));
    assert_null(file_write(a, "deep/er/folder/x", "new\0!", 5));
    assert_null(file_read(a, "deep/er/folder/x", &text, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(text, "new\0!", 5);
    assert_false(file_exists("deep/er/folder/x.new"));
    assert_non_null(file_write(a, "deep/none/x", "x", 1));
    assert_non_null(folder_make(a, "deep/er/folder/x/y"));
    assert_non_null(strstr(file_write(a, "/dev/full", "x", 1), "/dev/full"));
    assert_non_null(file_read(a, "deep", &text, &n));

    /* Larger than the first buffer of the reader. */
    size_t big = 300001;
    char *much = arena_alloc(a, big);
    for (size_t i = 0; i < big; i++)
        much[i] = (char)(i % 251);
    assert_null(file_write(a, "big", much, big));
    assert_null(file_read(a, "big", &text, &n));
    assert_int_equal(n, big);
    assert_memory_equal(text, much, big);

    assert_string_equal(stem_of(a, "a/b.c.bm"), "b.c");
    assert_string_equal(stem_of(a, "model"), "model");
    assert_string_equal(stem_of(a, ".bm"), ".bm");
}

static void stamp(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Home h = {.program = "prog"};
    Options o = {.file = "m.bm"};
    int64_t ranks = 0;
    assert_null(file_write(a, "prog", "1", 1));
    assert_null(file_write(a, "m.bm", "let a = 1\n", 10));
    assert_null(folder_make(a, "r"));
    assert_null(file_write(a, "r/trainer", "x", 1));
    assert_null(file_write(a, "r/plan.json", "x", 1));
    assert_int_equal(chmod("r/trainer", 0755), 0);

    Sources *s = sources_new(a);
    const char *why, *built_in = "block B() {}\n";
    assert_true(source_read(s, "m.bm", &why) >= 0);
    source_add(s, "prelude.bm", built_in, (int)strlen(built_in));
    source_add(s, "-D x=1", "1", 1);
    uint64_t key = stamp_key(a, &o, &h);
    assert_false(stamp_fresh(a, "r", key, &ranks));
    assert_null(stamp_write(a, "r", key, 3, s, built_in));
    assert_true(stamp_fresh(a, "r", key, &ranks));
    assert_int_equal(ranks, 3);
    assert_true(stamp_fresh(a, "r", stamp_key(a, &o, &h), &ranks));

    /* Everything a trainer depends on changes the answer. */
    Options other = o;
    other.no_fuse = true;
    assert_false(stamp_fresh(a, "r", stamp_key(a, &other, &h), &ranks));
    other = o;
    other.debug = true;
    assert_false(stamp_fresh(a, "r", stamp_key(a, &other, &h), &ranks));
    other = o;
    Defined d = {"x", "1"};
    vec_push(a, &other.define, d);
    assert_false(stamp_fresh(a, "r", stamp_key(a, &other, &h), &ranks));
    other = o;
    other.memory = 1 << 20;
    assert_false(stamp_fresh(a, "r", stamp_key(a, &other, &h), &ranks));
    assert_null(file_write(a, "prog", "2", 1));
    assert_false(stamp_fresh(a, "r", stamp_key(a, &o, &h), &ranks));
    assert_true(stamp_fresh(a, "r", key, &ranks));
    assert_null(file_write(a, "m.bm", "let a = 2\n", 10));
    assert_false(stamp_fresh(a, "r", key, &ranks));
    assert_null(file_write(a, "m.bm", "let a = 1\n", 10));
    assert_true(stamp_fresh(a, "r", key, &ranks));
    assert_int_equal(unlink("r/trainer"), 0);
    assert_false(stamp_fresh(a, "r", key, &ranks));
    assert_null(stamp_clear(a, "r"));
    assert_null(stamp_clear(a, "r"));
    assert_false(file_exists("r/stamp"));
}

static void check_words(char **word, const char *const *want, int n)
{
    for (int i = 0; i < n; i++) {
        assert_non_null(word[i]);
        assert_string_equal(word[i], want[i]);
    }
    assert_null(word[n]);
}
#define WORDS(word, ...)                                                                           \
    check_words((word), (const char *const[]){__VA_ARGS__},                                        \
                countof(((const char *const[]){__VA_ARGS__})))

static void launching(void **state)
{
    (void)state;
    Arena *a = arena_new();
    char steps[] = "--steps", three[] = "3", threads[] = "--threads=5";
    char *rest[] = {steps, three, threads};
    char **alone = launch_words(a, NULL, false, "r/trainer", 1, rest, 3);
    WORDS(alone, "r/trainer", "--steps", "3", "--threads=5");
    char **hydra = launch_words(a, "/b/mpirun", false, "r/trainer", 2, rest, 3);
    WORDS(hydra, "/b/mpirun", "-n", "2", "r/trainer", "--steps", "3", "--threads=5");
    /* more ranks than any machine has cores: one thread each */
    char **many = launch_words(a, "/b/mpirun", true, "r/trainer", 1 << 20, rest, 2);
    if (geteuid() == 0)
        WORDS(many, "/b/mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
              "-n", "1048576", "r/trainer", "--threads", "1", "--steps", "3");
    else
        WORDS(many, "/b/mpirun", "--oversubscribe", "--bind-to", "none", "-n", "1048576",
              "r/trainer", "--threads", "1", "--steps", "3");
    char **two = launch_words(a, "/b/mpirun", false, "r/trainer", 2, NULL, 0);
    WORDS(two, "/b/mpirun", "-n", "2", "r/trainer", "--threads",
          arena_printf(a, "%d", cores_here() < 4 ? 1 : (int)(cores_here() / 2)));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest test[] = {cmocka_unit_test(sizes), cmocka_unit_test(options),
                                      cmocka_unit_test(views), cmocka_unit_test(refused),
                                      cmocka_unit_test(files), cmocka_unit_test(launching),
                                      cmocka_unit_test(stamp)};
    return cmocka_run_group_tests(test, NULL, NULL);
}
