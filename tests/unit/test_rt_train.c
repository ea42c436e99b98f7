/* Two models by hand, trained by bmrt_main in a child process: linear regression on npy data, and a
 * table of bigrams on text. Losses fall, files come back, and everything that goes wrong has its
 * exit code and its message. */
#include "tests/unit/rt_fixture.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

/* ---- linear regression: y = w x + b, two rounds of four samples ---- */

enum { N = 40, W = 0, B = 64, LR = 128, NUM = 192, DEN = 256, GW = 320, GB = 384, NORM = 448 };
enum { X = 512, Y = 576, ERROR = 640, SQUARE = 704, EMPTY = 768 };

static real *at(bmrt *r, int64_t offset)
{
    return BMRT_AT(r, offset);
}

static void linear_weight(bmrt *r, int64_t nb)
{
    *at(r, DEN) = (r->first ? 0 : *at(r, DEN)) + (real)nb;
}

static real residual(bmrt *r, int64_t i)
{
    const real *x = at(r, X) + 3 * i, *w = at(r, W);
    return w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + *at(r, B) - at(r, Y)[i];
}

static void linear_forward(bmrt *r, int64_t nb)
{
    if (r->first)
        *at(r, NUM) = 0;
    for (int64_t i = 0; i < nb; i++) {
        at(r, ERROR)[i] = residual(r, i);
        *at(r, NUM) += at(r, ERROR)[i] * at(r, ERROR)[i];
    }
}

static void linear_round(bmrt *r, int64_t nb)
{
    linear_forward(r, nb);
    if (r->first)
        memset(at(r, GW), 0, 4 * sizeof(real));
    for (int64_t i = 0; i < nb; i++) {
        real g = 2 * at(r, ERROR)[i] / *at(r, DEN);
        for (int j = 0; j < 3; j++)
            at(r, GW)[j] += g * at(r, X)[3 * i + j];
        at(r, GW)[3] += g;
    }
}

static void linear_post(bmrt *r, int64_t nb)
{
    (void)nb;
    bmrt_sum_squares(r, at(r, GW), 4, at(r, SQUARE));
    *at(r, NORM) = (real)sqrt((double)*at(r, SQUARE));
}

static void linear_update(bmrt *r, int64_t nb)
{
    (void)nb;
    for (int j = 0; j < 3; j++)
        at(r, W)[j] -= *at(r, LR) * at(r, GW)[j];
    *at(r, B) -= *at(r, LR) * at(r, GW)[3];
}

static void linear_eval_round(bmrt *r, int64_t nb)
{
    linear_weight(r, nb);
    linear_forward(r, nb);
}

static const bmrt_tensor linear_param[] = {
    {.path = "w", .ndim = 1, .dim = {3}, .count = 3, .offset = W, .init = 3, .a = 0.1},
    {.path = "b", .ndim = 0, .count = 1, .offset = B, .init = 0},
};
static const bmrt_input linear_input[] = {
    {.name = "x",
     .ndim = 1,
     .dim = {3},
     .count = 3,
     .train_offset = X,
     .eval_offset = X,
     .sample_offset = -1},
    {.name = "y", .ndim = 0, .count = 1, .train_offset = Y, .eval_offset = Y, .sample_offset = -1},
};
static const bmrt_average linear_loss = {.name = "loss", .num = NUM, .den = DEN};
static const bmrt_average linear_report[] = {{.name = "mean_error", .num = NUM, .den = DEN},
                                             {.name = "empty", .num = NUM, .den = EMPTY}};
static const bmrt_field linear_field = {.name = "error", .count = 1, .offset = ERROR};
static const bmrt_host linear_host = {.kind = 0, .base = 0.3, .offset = LR};
static const char *const linear_data[] = {"x", "x.npy", "y", "y.npy", NULL};

static bmrt_model linear(void)
{
    return (bmrt_model){.version = BMRT_VERSION,
                        .name = "Line",
                        .plan_hash = "0123456789abcdef",
                        .verified = "0123456789abcdef",
                        .arena_bytes = 1024,
                        .persistent_bytes = 68,
                        .param = linear_param,
                        .n_param = 2,
                        .input = linear_input,
                        .n_input = 2,
                        .host = &linear_host,
                        .n_host = 1,
                        .train = {.micro_batch = 4,
                                  .weight = linear_weight,
                                  .round = linear_round,
                                  .post = linear_post,
                                  .update = linear_update,
                                  .loss = &linear_loss,
                                  .report = linear_report,
                                  .n_report = 2,
                                  .norm = NORM},
                        .eval = {.micro_batch = 3,
                                 .round = linear_eval_round,
                                 .loss = &linear_loss,
                                 .report = linear_report,
                                 .n_report = 1,
                                 .field = &linear_field,
                                 .n_field = 1,
                                 .norm = -1},
                        .logits = -1,
                        .data_kind = 3,
                        .data_field = linear_data,
                        .batch = 8,
                        .rounds = 2,
                        .steps = 60,
                        .schedule = 0};
}

static void put_npy(const char *path, const char *shape, const float *v, int n)
{
    unsigned char buf[4096];
    int len = snprintf((char *)buf + 10, 1024,
                       "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    while ((10 + len) % 64 != 63)
        buf[10 + len++] = ' ';
    buf[10 + len++] = '\n';
    memcpy(buf, "\x93NUMPY\x01", 8);
    buf[8] = (unsigned char)len;
    buf[9] = 0;
    memcpy(buf + 10 + len, v, sizeof *v * (size_t)n);
    put_file(path, buf, 10 + (size_t)len + sizeof *v * (size_t)n);
}

static int make_data(void **state)
{
    (void)state;
    float x[3 * N], y[N], bad[N];
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < 3; j++)
            x[3 * i + j] = (float)((i * 37 + j * 91) % 101) / 50 - 1;
        y[i] = 2 * x[3 * i] - x[3 * i + 1] + 0.5f * x[3 * i + 2] + 0.25f;
        bad[i] = i == 17 ? NAN : y[i];
    }
    put_npy("x.npy", "(40, 3)", x, 3 * N);
    put_npy("y.npy", "(40,)", y, N);
    put_npy("nan.npy", "(40,)", bad, N);
    put_npy("short.npy", "(39,)", y, 39);
    put_npy("wide.npy", "(40, 1)", y, N);
    for (int i = 0; i < N; i++)
        bad[i] = 3e37f;
    put_npy("huge.npy", "(40,)", bad, N);
    char text[4000];
    for (int i = 0; i < 4000; i++)
        text[i] = "abcd abd\n"[i % 9];
    put_file("corpus.txt", text, sizeof text);
    return 0;
}

static void losses_fall_and_are_written(void **state)
{
    (void)state;
    bmrt_model m = linear();
    expect_run(&m, "--metrics m.jsonl --threads 2 --log-samples s.jsonl --save w.safetensors", 0,
               "weights saved in w.safetensors");
    assert_true(metric("m.jsonl", 0, "schema") == 1 && metric("m.jsonl", 1, "step") == 1);
    assert_true(metric("m.jsonl", 0, "steps") == 60 && metric("m.jsonl", 60, "empty") == 0);
    double first = metric("m.jsonl", 1, "loss"), last = metric("m.jsonl", 60, "loss");
    assert_true(first > 0.1 && last < 1e-3 * first);
    assert_true(metric("m.jsonl", 60, "mean_error") == last);
    assert_true(fabs(metric("m.jsonl", 60, "lr") - 0.3) < 1e-6);
    assert_true(metric("m.jsonl", 1, "grad_norm") > 0.01);
    assert_true(metric("m.jsonl", 61, "arena_resident") >= 0.99);
    char *err = get_file("err", NULL);
    assert_non_null(strstr(err, "warning: step 1: the weights of 'empty' add up to 0"));
    assert_null(strstr(strstr(err, "add up to 0") + 1, "add up to 0"));
    free(err);
    /* each epoch shows every sample once */
    char *s = get_file("s.jsonl", NULL), *p = s;
    int seen[N] = {0};
    for (int step = 1; step <= 5; step++) {
        p = strstr(p, "[");
        for (int i = 0; i < 8; i++)
            seen[strtol(p + 1, &p, 10)]++;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    free(s);
}

/* Everything of a run but its times. */
static void same_numbers(const char *a, const char *b, int steps)
{
    static const char *const field[] = {"loss", "grad_norm", "lr"};
    for (int i = 1; i <= steps; i++)
        for (int f = 0; f < 3; f++)
            assert_true(metric(a, i, field[f]) == metric(b, i, field[f]));
}

static void threads_change_nothing(void **state)
{
    (void)state;
    bmrt_model m = linear();
    assert_int_equal(run_trainer(&m, "--metrics a.jsonl --threads 1 --save a.safetensors"), 0);
    assert_int_equal(run_trainer(&m, "--metrics b.jsonl --threads 4 --save b.safetensors"), 0);
    same_numbers("a.jsonl", "b.jsonl", 60);
    size_t na, nb;
    char *a = get_file("a.safetensors", &na), *b = get_file("b.safetensors", &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    free(a), free(b);
}

static void weights_come_back(void **state)
{
    (void)state;
    bmrt_model m = linear();
    assert_int_equal(run_trainer(&m, "--steps 0 --save init.safetensors"), 0);
    assert_int_equal(run_trainer(&m, "--steps 0 --init init.safetensors --save again.safetensors"),
                     0);
    assert_int_equal(run_trainer(&m, "--steps 0 --seed 1 --save other.safetensors"), 0);
    size_t n, k, l;
    char *a = get_file("init.safetensors", &n), *b = get_file("again.safetensors", &k);
    char *c = get_file("other.safetensors", &l);
    assert_int_equal(n, k);
    assert_int_equal(n, l);
    assert_int_equal(n % 4, 0);
    assert_memory_equal(a, b, n);
    assert_memory_not_equal(a, c, n);
    uint64_t header;
    memcpy(&header, a, 8);
    assert_int_equal((8 + header) % 4096, 0);
    assert_int_equal(n, 8 + header + 4 * sizeof(real));
    free(a), free(b), free(c);
    /* and training goes on from them as from the ones in the model */
    assert_int_equal(run_trainer(&m, "--metrics a.jsonl --steps 5"), 0);
    assert_int_equal(run_trainer(&m, "--metrics b.jsonl --steps 5 --init init.safetensors"), 0);
    same_numbers("a.jsonl", "b.jsonl", 5);
    assert_null(get_file("init.safetensors.tmp", NULL));
}

static void evaluation_takes_every_sample_once(void **state)
{
    (void)state;
    bmrt_model m = linear();
    m.valid_every = 4;
    expect_run(&m,
               "--metrics m.jsonl --steps 10 --valid x=x.npy,y=y.npy --predictions p.jsonl "
               "--save w.safetensors",
               0, "valid after step 10");
    /* lines: header, 1-4, valid, 5-8, valid, 9-10, valid, end */
    assert_true(metric("m.jsonl", 5, "step") == 4);
    assert_true(metric("m.jsonl", 5, "valid_loss") > 0);
    double loss = metric("m.jsonl", 13, "valid_loss"), sum = 0;
    assert_true(metric("m.jsonl", 13, "valid_mean_error") == loss);
    for (int i = 0; i < N; i++) {
        assert_true(metric("p.jsonl", i, "sample") == i);
        sum += pow(metric("p.jsonl", i, "error"), 2) / N;
    }
    assert_true(fabs(sum - loss) < 1e-5 * loss);
    expect_run(&m, "--metrics m.jsonl --steps 0 --init w.safetensors --valid x=x.npy,y=y.npy", 0,
               "valid after step 0");
    assert_true(metric("m.jsonl", 1, "valid_loss") == loss);
}

static void stop_after_keeps_the_schedule(void **state)
{
    (void)state;
    bmrt_model m = linear();
    m.schedule = 1;
    m.min_lr = 0.03;
    assert_int_equal(run_trainer(&m, "--metrics a.jsonl"), 0);
    assert_int_equal(run_trainer(&m, "--metrics b.jsonl --stop-after 7"), 0);
    assert_int_equal(run_trainer(&m, "--metrics c.jsonl --steps 7"), 0);
    same_numbers("a.jsonl", "b.jsonl", 7);
    assert_true(fabs(metric("a.jsonl", 60, "lr") - 0.03) < 1e-6);
    assert_true(fabs(metric("c.jsonl", 7, "lr") - 0.03) < 1e-6);
    assert_true(metric("b.jsonl", 8, "step") == 7); /* the last line, with the event */
}

static void what_is_not_finite_stops_before_the_update(void **state)
{
    (void)state;
    bmrt_model m = linear();
    expect_run(&m, "--metrics m.jsonl --data y=nan.npy --save none.safetensors", 76,
               "trainer: error: step ");
    char *text = get_file("m.jsonl", NULL);
    assert_non_null(strstr(text, "\"loss\":null"));
    assert_non_null(strstr(text, "\"nonfinite\":\"nan\"}"));
    free(text);
    assert_null(get_file("none.safetensors", NULL));
    if (sizeof(real) == 4) /* the square of 3e37 fits a double */
        expect_run(&m, "--metrics m.jsonl --data y=huge.npy", 76, "loss is inf");
}

static void usage_is_checked(void **state)
{
    (void)state;
    bmrt_model m = linear();
    expect_run(&m, "--step 3", 2, "did you mean --steps?");
    expect_run(&m, "--steps", 2, "--steps needs a value");
    expect_run(&m, "--steps -1", 2, "at least 0");
    expect_run(&m, "--resume latest", 2, "--resume is not built yet");
    expect_run(&m, "--sample 3", 2, "Line cannot be sampled");
    expect_run(&m, "--valid v.npy", 2, "--valid NAME=FILE");
    expect_run(&m, "--data x.npy", 2, "--data NAME=FILE");
    m.verified = "fedcba9876543210";
    expect_run(&m, "", BMRT_MODEL, "verified (fedcba9876543210)");
    assert_int_equal(run_trainer(&m, "--help"), 0);
    char *out = get_file("out", NULL);
    assert_non_null(strstr(out, "--stop-after K"));
    assert_null(strstr(out, "--resume"));
    for (char *line = out; *line; line = strchr(line, '\n') + 1)
        assert_true(strchr(line, '\n') - line <= 80);
    free(out);
    assert_int_equal(run_trainer(&m, "--version"), 0);
}

static void data_is_checked(void **state)
{
    (void)state;
    bmrt_model m = linear();
    expect_run(&m, "--metrics m.jsonl --data y=short.npy", 1, "holds 39 samples");
    expect_run(&m, "--metrics m.jsonl --data y=wide.npy", 1, "[samples] is needed");
    expect_run(&m, "--metrics m.jsonl --data x=y.npy", 1, "[samples, 3] is needed");
    expect_run(&m, "--metrics m.jsonl --data z=y.npy", 1, "Line has no such input");
    expect_run(&m, "--metrics m.jsonl --data y=none.npy", 1, "cannot open 'none.npy'");
    m.data_field = linear_data + 2;
    expect_run(&m, "--metrics m.jsonl", 1, "nothing feeds input 'x' (float [3]) of Line");
}

static void files_that_cannot_be_written(void **state)
{
    (void)state;
    bmrt_model m = linear();
    expect_run(&m, "--metrics none/m.jsonl", 4, "cannot write 'none/m.jsonl'");
    expect_run(&m, "--metrics m.jsonl --save none/w.safetensors", 4, "none");
    expect_run(&m, "--metrics m.jsonl --save .", 4, "is not a file");
    expect_run(&m, "--metrics m.jsonl --log-samples none/s", 4, "none/s");
    if (access("/dev/full", W_OK) == 0) {
        expect_run(&m, "--metrics /dev/full", 4, "/dev/full");
        expect_run(&m, "--metrics m.jsonl --log-samples /dev/full", 4, "/dev/full");
    }
    /* a disk that fills up while weights are written: nothing is left, the old file stays */
    put_file("old.safetensors", "old", 3);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {2048, 2048};
        setrlimit(RLIMIT_FSIZE, &limit);
        char *argv[] = {(char *)(uintptr_t) "trainer", (char *)(uintptr_t) "--steps",
                        (char *)(uintptr_t) "0", (char *)(uintptr_t) "--save",
                        (char *)(uintptr_t) "old.safetensors"};
        exit(bmrt_main(&m, 5, argv));
    }
    assert_int_equal(wait_trainer(pid), 4);
    size_t n;
    char *old = get_file("old.safetensors", &n);
    assert_int_equal(n, 3);
    free(old);
    assert_int_equal(system("ls | grep -q tmp-"), 256);
}

static void weights_of_another_model(void **state)
{
    (void)state;
    bmrt_model m = linear();
    static bmrt_tensor other[3];
    memcpy(other, linear_param, sizeof linear_param);
    other[2] = other[1];
    other[2].path = "bias";
    other[2].offset = 832;
    m.param = other;
    m.n_param = 3;
    assert_int_equal(run_trainer(&m, "--steps 0 --save three.safetensors"), 0);
    bmrt_model two = linear();
    assert_int_equal(run_trainer(&two, "--steps 0 --save two.safetensors"), 0);
    expect_run(&two, "--steps 0 --init three.safetensors", 0,
               "1 more tensor nobody asked for: bias");
    expect_run(&m, "--steps 0 --init two.safetensors", 1, "1 of its 3 parameters are not there");
    other[0].dim[0] = 2;
    expect_run(&m, "--steps 0 --init three.safetensors", 1, "is [3], the parameter of Line is [2]");
    expect_run(&two, "--steps 0 --init x.npy", 1, "is not a safetensors file");
    expect_run(&two, "--steps 0 --init none", 1, "cannot open 'none'");
}

/* ---- bigrams: logits are a row of a table ---- */

enum { V = 128, T = 6, TABLE = 0, LOGITS = V * V * 4 };
enum { G = LOGITS + T * V * 4, S = 2 * G, TOKENS = S + 512, TARGETS = TOKENS + 64 * T };

static void bigram_logits(bmrt *r, int64_t nb)
{
    (void)nb;
    const int32_t *tokens = BMRT_AT(r, TOKENS);
    for (int t = 0; t < T; t++)
        memcpy(at(r, LOGITS) + t * V, at(r, TABLE) + tokens[t] * V, V * sizeof(real));
}

static void bigram_round(bmrt *r, int64_t nb)
{
    const int32_t *tokens = BMRT_AT(r, TOKENS), *targets = BMRT_AT(r, TARGETS);
    real *num = at(r, S + 64), *den = at(r, S + 128);
    if (r->first) {
        *num = *den = 0;
        memset(at(r, G), 0, V * V * sizeof(real));
    }
    for (int64_t i = 0; i < nb * T; i++) {
        const real *row = at(r, TABLE) + tokens[i] * V;
        double sum = 0;
        for (int v = 0; v < V; v++)
            sum += exp((double)row[v]);
        *num += (real)(log(sum) - (double)row[targets[i]]);
        *den += 1;
        for (int v = 0; v < V; v++)
            at(r, G)[tokens[i] * V + v] +=
                (real)(exp((double)row[v]) / sum) - (v == targets[i] ? 1 : 0);
    }
}

static void bigram_update(bmrt *r, int64_t nb)
{
    (void)nb;
    for (int i = 0; i < V * V; i++)
        at(r, TABLE)[i] -= *at(r, S) * at(r, G)[i];
    const struct timespec moment = {0, 2000000};
    nanosleep(&moment, NULL);
}

static const bmrt_tensor bigram_param = {.path = "table",
                                         .ndim = 2,
                                         .dim = {V, V},
                                         .count = V * V,
                                         .offset = TABLE,
                                         .init = 4,
                                         .a = -0.01,
                                         .b = 0.01};
static const bmrt_input bigram_input[] = {
    {.name = "tokens",
     .dtype = BMRT_I32,
     .ndim = 1,
     .dim = {T},
     .count = T,
     .below = V,
     .train_offset = TOKENS,
     .eval_offset = TOKENS,
     .sample_offset = TOKENS},
    {.name = "targets",
     .dtype = BMRT_I32,
     .ndim = 1,
     .dim = {T},
     .count = T,
     .below = V,
     .train_offset = TARGETS,
     .eval_offset = TARGETS,
     .sample_offset = -1},
};
static const bmrt_average bigram_loss = {.name = "loss", .num = S + 64, .den = S + 128};
static const bmrt_average bigram_eval_loss[] = {
    {.name = "loss", .num = S + 64, .den = S + 128, .coef = 0.75},
    {.name = "loss", .num = S + 64, .den = S + 128, .coef = 0.25}};
static const bmrt_host bigram_host = {.kind = 0, .base = 0.1, .offset = S};

static bmrt_model bigram(void)
{
    return (bmrt_model){.version = BMRT_VERSION,
                        .name = "Bigram",
                        .arena_bytes = TARGETS + 64 * T,
                        .param = &bigram_param,
                        .n_param = 1,
                        .input = bigram_input,
                        .n_input = 2,
                        .host = &bigram_host,
                        .n_host = 1,
                        .train = {.micro_batch = 8,
                                  .round = bigram_round,
                                  .update = bigram_update,
                                  .loss = &bigram_loss,
                                  .norm = -1},
                        .eval = {.micro_batch = 8,
                                 .round = bigram_round,
                                 .loss = bigram_eval_loss,
                                 .n_loss = 2,
                                 .norm = -1},
                        .sample = {.micro_batch = 1, .round = bigram_logits, .norm = -1},
                        .logits = LOGITS,
                        .ctx = T,
                        .vocab = V,
                        .data_kind = 1,
                        .data_file = "corpus.txt",
                        .batch = 8,
                        .rounds = 1,
                        .steps = 40};
}

static void text_is_learned_and_continued(void **state)
{
    (void)state;
    bmrt_model m = bigram();
    m.valid_kind = 1;
    m.valid_file = "corpus.txt";
    assert_int_equal(run_trainer(&m, "--metrics m.jsonl --save t.safetensors --sample 12 "
                                     "--prompt abc --temperature 0"),
                     0);
    assert_true(fabs(metric("m.jsonl", 1, "loss") - log(V)) < 0.01);
    assert_true(metric("m.jsonl", 40, "loss") < 0.6);
    assert_true(metric("m.jsonl", 41, "valid_loss") < 0.6);
    assert_true(metric("m.jsonl", 40, "tok_s") > 0);
    char *out = get_file("out", NULL);
    /* after b comes c or d; a table of pairs can not know which */
    assert_int_equal(strncmp(out, "abcd", 4), 0);
    assert_int_equal(strlen(out), 3 + 12 + 1);
    free(out);
    assert_int_equal(run_trainer(&m, "--steps 0 --init t.safetensors --sample 50 --seed 3"), 0);
    char *a = get_file("out", NULL);
    assert_int_equal(run_trainer(&m, "--steps 0 --init t.safetensors --sample 50 --seed 3"), 0);
    char *b = get_file("out", NULL);
    assert_string_equal(a, b);
    assert_int_equal(run_trainer(&m, "--steps 0 --init t.safetensors --sample 50 --top-k 1"), 0);
    free(a), free(b);
    expect_run(&m, "--steps 0 --sample 5 --prompt \xc3", 2, "byte 0 is 195, Bigram takes 0..127");
}

static void text_is_checked(void **state)
{
    (void)state;
    bmrt_model m = bigram();
    put_file("tiny.txt", "abcdef", 6);
    put_file("latin.txt", "abcdefgh\xe9xyz", 12);
    put_file("empty.txt", "", 0);
    expect_run(&m, "--metrics m.jsonl --data tiny.txt", 1,
               "'tiny.txt' has 6 bytes, one sample of 6 tokens and the next token needs 7");
    expect_run(&m, "--metrics m.jsonl --data empty.txt", 1, "has 0 bytes");
    expect_run(&m, "--metrics m.jsonl --data latin.txt", 1,
               "'latin.txt': byte 8 is 233, the model takes 0..127");
    expect_run(&m, "--metrics m.jsonl --data .", 1, "is not a file");
}

static void a_signal_stops_after_the_step(void **state)
{
    (void)state;
    bmrt_model m = bigram();
    m.steps = 100000;
    for (int saves = 0; saves < 2; saves++) {
        unlink("m.jsonl");
        pid_t pid = start_trainer(&m, saves ? "--metrics m.jsonl --save s.safetensors"
                                            : "--metrics m.jsonl");
        const struct timespec moment = {0, 10000000};
        for (int i = 0; i < 1000; i++) {
            size_t n = 0;
            char *text = get_file("m.jsonl", &n);
            free(text);
            if (n > 600)
                break;
            nanosleep(&moment, NULL);
        }
        kill(pid, saves ? SIGTERM : SIGINT);
        assert_int_equal(wait_trainer(pid), saves ? 75 : 128 + SIGINT);
        char *text = get_file("m.jsonl", NULL);
        assert_non_null(strstr(text, "\"event\":\"stopped\""));
        free(text);
    }
    assert_int_equal(run_trainer(&m, "--steps 0 --init s.safetensors"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_fall_and_are_written),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(weights_come_back),
        cmocka_unit_test(evaluation_takes_every_sample_once),
        cmocka_unit_test(stop_after_keeps_the_schedule),
        cmocka_unit_test(what_is_not_finite_stops_before_the_update),
        cmocka_unit_test(usage_is_checked),
        cmocka_unit_test(data_is_checked),
        cmocka_unit_test(files_that_cannot_be_written),
        cmocka_unit_test(weights_of_another_model),
        cmocka_unit_test(text_is_learned_and_continued),
        cmocka_unit_test(text_is_checked),
        cmocka_unit_test(a_signal_stops_after_the_step),
    };
    return cmocka_run_group_tests(tests, make_data, NULL);
}
