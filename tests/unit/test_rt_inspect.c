/* `trainer --inspect` from its command line: when it looks, where the file goes, parameters as the
 * step used them, gradients of that step, and what is refused. */
#include "tests/unit/rt_fixture.h"

#include <sys/stat.h>

/* One parameter of 20 elements that falls by the gradient, which is the step's number; a value that
 * is twice the input. */
enum { N = 20, SAMPLES = 64, W = 0, G = 128, X = 256, V = 320, NUM = 384, STEP_V = 4 };

static void falling_round(bmrt *r, int64_t nb)
{
    real *g = BMRT_AT(r, G), *x = BMRT_AT(r, X), *v = BMRT_AT(r, V);
    for (int i = 0; i < N; i++)
        g[i] = (real)(r->step + 1);
    for (int64_t i = 0; i < nb; i++)
        v[i] = 2 * x[i];
    if (r->watches)
        bmrt_watched(r, STEP_V, 0, nb);
    memset(v, 0, sizeof *v * (size_t)nb); /* something else is there later */
    *(real *)BMRT_AT(r, NUM) = 1;
}

static void falling_update(bmrt *r, int64_t nb)
{
    real *w = BMRT_AT(r, W), *g = BMRT_AT(r, G);
    (void)nb;
    for (int i = 0; i < N; i++)
        w[i] -= g[i];
}

static const bmrt_tensor param = {
    .path = "h.0.w", .ndim = 1, .dim = {N}, .count = N, .offset = W, .init = 2, .a = 100};
static const bmrt_watch watch[] = {
    {.path = "h.0.w", .kind = BMRT_WATCH_GRAD, .count = N, .offset = G},
    {.path = "h.0.twice",
     .kind = BMRT_WATCH_VALUE,
     .count = 1,
     .offset = V,
     .batched = true,
     .after = STEP_V},
};
static const bmrt_input input = {
    .name = "x", .count = 1, .train_offset = X, .eval_offset = -1, .sample_offset = -1};
static const bmrt_average loss = {.name = "loss", .num = NUM, .den = -1};
static const char *const field[] = {"x", "x.npy", NULL};

static const bmrt_model falling = {.version = BMRT_VERSION,
                                   .name = "Falling",
                                   .arena_bytes = 512,
                                   .param = &param,
                                   .n_param = 1,
                                   .watch = watch,
                                   .n_watch = 2,
                                   .input = &input,
                                   .n_input = 1,
                                   .train = {.micro_batch = 4,
                                             .round = falling_round,
                                             .update = falling_update,
                                             .loss = &loss,
                                             .norm = -1},
                                   .logits = -1,
                                   .data_kind = 3,
                                   .data_field = field,
                                   .batch = 16,
                                   .rounds = 4,
                                   .steps = 25};

static int make_data(void **state)
{
    (void)state;
    unsigned char buf[128 + 4 * SAMPLES] = "\x93NUMPY\x01";
    int len = snprintf((char *)buf + 10, 118,
                       "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }", SAMPLES);
    memset(buf + 10 + len, ' ', (size_t)(118 - len));
    buf[127] = '\n';
    buf[8] = 118;
    for (int i = 0; i < SAMPLES; i++) {
        float x = (float)i;
        memcpy(buf + 128 + 4 * i, &x, 4);
    }
    put_file("x.npy", buf, sizeof buf);
    mkdir("there", 0777);
    return 0;
}

static void looks_when_it_should(void **state)
{
    (void)state;
    static const int at[] = {1, 10, 20, 25};
    expect_run(&falling, "--inspect h.* --inspect-every 10 --metrics there/m.jsonl --threads 1", 0,
               "looking at 3 tensors");
    for (int i = 0; i < 4; i++) {
        int k = at[i];
        for (int what = 0; what < 3; what++)
            assert_true(metric("there/inspect.jsonl", 3 * i + what, "step") == k);
        /* before the update of step k: 1 + 2 + .. + (k - 1) are gone */
        assert_true(metric("there/inspect.jsonl", 3 * i, "mean") == 100 - k * (k - 1) / 2);
        assert_true(metric("there/inspect.jsonl", 3 * i + 1, "mean") == k);
        assert_true(metric("there/inspect.jsonl", 3 * i + 1, "std") == 0);
        assert_true(metric("there/inspect.jsonl", 3 * i + 2, "max") <= 2 * (SAMPLES - 1));
    }
    char *text = get_file("there/inspect.jsonl", NULL);
    assert_non_null(strstr(text, "\"path\":\"h.0.w\",\"what\":\"param\""));
    assert_non_null(strstr(text, "\"path\":\"h.0.w\",\"what\":\"grad\""));
    assert_non_null(strstr(text, "\"path\":\"h.0.twice\",\"what\":\"value\""));
    free(text);
    /* four steps of 16 are all samples once: the means of steps 1 and 2 of them are known */
    expect_run(&falling, "--inspect **.twice --inspect-every 1 --steps 4 --metrics m.jsonl", 0,
               "looking at 1 tensor ");
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += metric("inspect.jsonl", i, "mean");
    assert_true(sum / 4 == SAMPLES - 1);
}

static void refused(void **state)
{
    (void)state;
    expect_run(&falling, "--metrics m.jsonl --inspect h.0.v", 2, "did you mean 'h.0.w'?");
    expect_run(&falling, "--metrics m.jsonl --inspect h..w", 2, "is no pattern");
    expect_run(&falling, "--metrics m.jsonl --inspect-every 3", 2, "needs --inspect PATTERN");
    expect_run(&falling, "--metrics m.jsonl --inspect h.* --steps 0", 2, "there are none");
    expect_run(&falling, "--metrics nowhere/m.jsonl --inspect h.*", 4, "cannot write 'nowhere/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_when_it_should),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, make_data, NULL);
}
