/* The option table and the schedules. */
#include "tests/unit/rt_fixture.h"

#include "runtime/bmrt_private.h"

#include <math.h>

static BmStatus parse(bmrt_options *o, bmrt_error *e, const char *words)
{
    static char text[512];
    char *argv[32] = {(char *)(uintptr_t) "trainer"};
    int argc = 1;
    snprintf(text, sizeof text, "%s", words);
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    e->text[0] = e->help[0] = 0;
    return bmrt_options_parse(o, argc, argv, e);
}

static void good_options(void **state)
{
    (void)state;
    bmrt_options o;
    bmrt_error e;
    assert_int_equal(parse(&o, &e, ""), BMRT_OK);
    assert_true(o.steps == -1 && o.stop_after == -1 && o.seed == -1 && o.threads == 0);
    assert_true(o.log_every == 10 && o.temperature == 0.8 && !o.save && !o.help);
    assert_int_equal(parse(&o, &e, "--steps 12 --save=w.st --temperature 0.25 --top-k=5 --seed 7"),
                     BMRT_OK);
    assert_true(o.steps == 12 && o.temperature == 0.25 && o.top_k == 5 && o.seed == 7);
    assert_string_equal(o.save, "w.st");
    assert_int_equal(parse(&o, &e, "--steps 9223372036854775807"), BMRT_OK);
    assert_int_equal(parse(&o, &e, "--prompt= --data a=b,c=d"), BMRT_OK);
    assert_string_equal(o.prompt, "");
    assert_string_equal(o.data, "a=b,c=d");
    assert_int_equal(parse(&o, &e, "-h"), BMRT_OK);
    assert_true(o.help);
}

static void bad_options(void **state)
{
    (void)state;
    static const struct {
        const char *words, *text, *help;
    } bad[] = {
        {"steps", "unexpected argument 'steps'", "--help"},
        {"-s", "unexpected argument '-s'", "--help"},
        {"--", "unexpected argument '--'", "--help"},
        {"--stepz 3", "unknown option '--stepz'", "did you mean --steps?"},
        {"--tempratur=3", "unknown option '--tempratur'", "did you mean --temperature?"},
        {"--top 3", "unknown option '--top'", "did you mean --top-k?"},
        {"--zzzzzzzz", "unknown option '--zzzzzzzz'", "--help"},
        {"--steps", "--steps needs a value: --steps N", ""},
        {"--steps x", "--steps takes an integer, got 'x'", ""},
        {"--steps 3x", "--steps takes an integer, got '3x'", ""},
        {"--steps=", "--steps takes an integer, got ''", ""},
        {"--steps 9223372036854775808", "--steps takes an integer", ""},
        {"--steps -2", "--steps is -2, at least 0 is needed", ""},
        {"--threads 0", "--threads is 0, at least 1 is needed", ""},
        {"--threads 5000", "--threads is 5000, at most 1024 can be had", ""},
        {"--temperature nan", "--temperature takes a number", ""},
        {"--temperature -1", "--temperature takes a number", ""},
        {"--temperature 0x1p3", "--temperature takes a number", ""},
        {"--save=", "--save needs a FILE", ""},
        {"--help=1", "--help takes no value", ""},
        {"--resume x", "--resume is not built yet", ""},
        {"--save-every=3", "--save-every is not built yet", ""},
        {"--profile", "--profile is not built yet", ""},
        {"--inspect", "--inspect needs a value: --inspect PATTERN", ""},
        {"--inspect-every 0", "--inspect-every is 0, at least 1", ""},
    };
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        bmrt_options o;
        bmrt_error e;
        BmStatus s = parse(&o, &e, bad[i].words);
        if (s != BMRT_USAGE || !strstr(e.text, bad[i].text) || !strstr(e.help, bad[i].help))
            fail_msg("%s: %d '%s' '%s'", bad[i].words, (int)s, e.text, e.help);
    }
}

static double rate(const bmrt_model *m, int64_t steps, int64_t step)
{
    return bmrt_schedule(m, steps, 2.0, step);
}

static void near(double a, double b)
{
    if (fabs(a - b) > 1e-12)
        fail_msg("%.17g is not %.17g", a, b);
}

static void schedules(void **state)
{
    (void)state;
    bmrt_model m = {.schedule = 0, .warmup = 4, .min_lr = 0.5}; /* 0.25 of the base rate 2 */
    near(rate(&m, 100, 0), 0.25);
    near(rate(&m, 100, 3), 1);
    near(rate(&m, 100, 4), 1);
    near(rate(&m, 100, 1000), 1);
    m.schedule = 1;
    near(rate(&m, 15, 2), 0.75);
    near(rate(&m, 15, 4), 1);
    near(rate(&m, 15, 9), 0.625);
    near(rate(&m, 15, 14), 0.25);
    near(rate(&m, 15, 99), 0.25);
    m.schedule = 2;
    near(rate(&m, 15, 4), 1);
    near(rate(&m, 15, 9), 0.625);
    near(rate(&m, 15, 6), 0.25 + 0.75 * 0.5 * (1 + cos(acos(-1.0) * 0.2)));
    near(rate(&m, 15, 14), 0.25);
    near(rate(&m, 15, 99), 0.25);
    m.schedule = 3;
    m.decay = 5;
    near(rate(&m, 15, 1), 0.5);
    near(rate(&m, 15, 9), 1);
    near(rate(&m, 15, 10), 0.85);
    near(rate(&m, 15, 14), 0.25);
    near(rate(&m, 15, 99), 0.25);
    /* degenerate lengths */
    m.warmup = 0;
    for (int schedule = 0; schedule < 4; schedule++)
        for (int64_t steps = 0; steps < 4; steps++)
            for (int64_t step = 0; step < 6; step++) {
                m.schedule = schedule;
                double r = rate(&m, steps, step);
                assert_true(r >= 0.25 - 1e-12 && r <= 1);
            }
}

static void host_scalars(void **state)
{
    (void)state;
    real arena[8] = {0};
    const bmrt_host host[] = {{.kind = 1, .beta = 0.9, .offset = 0},
                              {.kind = 0, .base = 2, .offset = 4},
                              {.kind = 0, .base = 0.5, .offset = 8},
                              {.kind = 2, .beta = 0.99, .offset = 12}};
    bmrt_model m = {.schedule = 1, .min_lr = 0.2, .host = host, .n_host = 4};
    bmrt_run run = {.m = &m, .pub = {.arena = (char *)arena, .step = 10}, .steps = 11};
    near(bmrt_write_host(&run), 0.2);
    assert_true(fabs((double)arena[1] - 0.2) < 1e-7);
    assert_true(fabs((double)arena[2] - 0.05) < 1e-7); /* the same relative factor */
    assert_true(fabs((double)arena[0] - 1 / (1 - pow(0.9, 11))) < 1e-6);
    assert_true(fabs((double)arena[3] - 1 / sqrt(1 - pow(0.99, 11))) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_options),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(schedules),
        cmocka_unit_test(host_scalars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
