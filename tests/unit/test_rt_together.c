/* What several ranks print and write is what one rank does: samples of text, predictions. A failure
 * of rank 0's file is everybody's. */
#include "tests/unit/rt_ranks.h"

#include <math.h>

/* ---- sampling: a table of bigrams, on all ranks alike ---- */

enum { VOCAB = 128, CTX = 4, LOGITS = 1024 };

static void bigram(bmrt *r, int64_t nb)
{
    const int32_t *token = BMRT_AT(r, 0);
    real *logits = BMRT_AT(r, LOGITS);
    (void)nb;
    for (int t = 0; t < CTX; t++)
        for (int v = 0; v < VOCAB; v++)
            logits[t * VOCAB + v] = (real)((token[t] * 31 + v * 17) % 23) / 4;
}

static const bmrt_input tokens = {.name = "tokens",
                                  .dtype = BMRT_I32,
                                  .ndim = 1,
                                  .dim = {CTX},
                                  .count = CTX,
                                  .train_offset = -1,
                                  .eval_offset = -1};
static const bmrt_model talker = {.version = BMRT_VERSION,
                                  .name = "Talker",
                                  .arena_bytes = LOGITS + 4 * CTX * VOCAB,
                                  .input = &tokens,
                                  .n_input = 1,
                                  .sample = {.micro_batch = 1, .round = bigram},
                                  .logits = LOGITS,
                                  .ctx = CTX,
                                  .vocab = VOCAB,
                                  .data_kind = 1};

static void talk(rank_of_world *k)
{
    bmrt_run *run = &k->run;
    int fd = *(const int *)k->context;
    run->pub.seed = 3;
    run->opt = (bmrt_options){.sample = 50, .prompt = "ab", .temperature = 1};
    k->status = bmrt_sample(run, fd, &k->error);
}

static void one_voice(void **state)
{
    (void)state;
    static world w;
    static rank_of_world rank[MOST_RANKS];
    size_t n = 0, m = 0;
    for (int ranks = 1; ranks <= 3; ranks += 2) {
        int fd = open(ranks == 1 ? "alone" : "choir", O_WRONLY | O_CREAT | O_TRUNC, 0666);
        assert_true(fd >= 0);
        run_world(&w, rank, ranks, ranks, &talker, talk, &fd);
        for (int q = 0; q < ranks; q++)
            assert_int_equal(rank[q].status, BMRT_OK);
        close_world(&w, rank);
        close(fd);
    }
    char *a = get_file("alone", &n), *b = get_file("choir", &m);
    assert_true(n >= 53 && a[0] == 'a' && a[1] == 'b' && a[n - 1] == '\n');
    assert_string_equal(a, b);
    free(a), free(b);
}

static void nobody_listens(void **state)
{
    (void)state;
    static world w;
    static rank_of_world rank[MOST_RANKS];
    put_file("deaf", "", 0);
    int fd = open("deaf", O_RDONLY);
    run_world(&w, rank, 3, 3, &talker, talk, &fd);
    for (int q = 0; q < 3; q++) {
        assert_int_equal(rank[q].status, BMRT_MACHINE);
        assert_non_null(strstr(rank[q].error.text, "cannot write the sample"));
    }
    close_world(&w, rank);
    close(fd);
}

/* ---- predictions: a scalar, flags, and a field wider than the buffer its text is made in ---- */

enum { MICRO = 3, WIDE = 40000, SCORE = 0, FLAG = 64, LIST = 128 };

static const bmrt_field fields[] = {
    {.name = "score", .count = 1, .offset = SCORE},
    {.name = "flag", .dtype = BMRT_U8, .count = 2, .offset = FLAG},
    {.name = "list", .dtype = BMRT_I32, .count = WIDE, .offset = LIST},
};
static const bmrt_model scorer = {.version = BMRT_VERSION,
                                  .name = "Scorer",
                                  .arena_bytes = LIST + 4 * MICRO * WIDE,
                                  .eval = {.micro_batch = MICRO, .field = fields, .n_field = 3}};

typedef struct list {
    int64_t samples;
    int fd;
} list;

static BmStatus evaluated(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb,
                          bmrt_error *e)
{
    for (int64_t i = 0; i < nb; i++) {
        int64_t s = first + i;
        ((real *)BMRT_AT(&run->pub, SCORE))[i] = s == 4 ? (real)NAN : (real)s / 2;
        ((unsigned char *)BMRT_AT(&run->pub, FLAG))[2 * i] = s % 2 == 0;
        ((unsigned char *)BMRT_AT(&run->pub, FLAG))[2 * i + 1] = 1;
        for (int j = 0; j < WIDE; j++)
            ((int32_t *)BMRT_AT(&run->pub, LIST))[i * WIDE + j] = (int32_t)(s * 100000 + j);
    }
    return bmrt_predictions_write(run, pass, first, nb, e);
}

/* Rounds of MICRO samples on each rank, one rank's after the other's; at the end a rank may have
 * fewer, or none. */
static void predict(rank_of_world *k)
{
    bmrt_run *run = &k->run;
    const list *l = k->context;
    char wide[1 << 16];
    bmrt_pass pass = {.program = &run->m->eval};
    run->wide_line = (bmrt_text){wide, 0, sizeof wide, false};
    run->opt.predictions = "predictions";
    run->predictions_fd = k->rank == 0 ? l->fd : -1;
    for (int64_t at = 0; at < l->samples && k->status == BMRT_OK; at += MICRO * k->w->ranks) {
        int64_t first = at + k->rank * MICRO, left = l->samples - first;
        int64_t nb = left < 0 ? 0 : left < MICRO ? left : MICRO;
        k->status = evaluated(run, &pass, first, nb, &k->error);
    }
}

static char *predictions(int ranks, int64_t samples, size_t *n)
{
    static world w;
    static rank_of_world rank[MOST_RANKS];
    list l = {samples, open("predictions", O_WRONLY | O_CREAT | O_TRUNC, 0666)};
    run_world(&w, rank, ranks, ranks, &scorer, predict, &l);
    for (int q = 0; q < ranks; q++)
        assert_int_equal(rank[q].status, BMRT_OK);
    if (ranks > 1)
        assert_true(w.letters > 0);
    close_world(&w, rank);
    close(l.fd);
    return get_file("predictions", n);
}

static void predictions_in_order(void **state)
{
    (void)state;
    enum { SAMPLES = 14 };
    size_t n = 0, m = 0;
    char *one = predictions(1, SAMPLES, &n), *at = one, start[64];
    for (int s = 0; s < SAMPLES; s++) {
        snprintf(start, sizeof start,
                 "{\"sample\":%d,\"score\":%s,\"flag\":[%s,true],\"list\":[%d,", s,
                 s == 4 ? "null" : "", s % 2 == 0 ? "true" : "false", s * 100000);
        if (s != 4)
            snprintf(start, sizeof start, "{\"sample\":%d,\"score\":%g,\"flag\":[", s, s / 2.0);
        assert_memory_equal(at, start, strlen(start));
        at = strchr(at, '\n');
        assert_memory_equal(at - 2, "]}", 2);
        at++;
    }
    assert_int_equal(*at, 0);
    for (int ranks = 2; ranks <= 4; ranks++) {
        char *many = predictions(ranks, SAMPLES, &m);
        assert_int_equal(n, m);
        assert_memory_equal(one, many, n);
        free(many);
    }
    free(one);
}

static void predictions_that_cannot_be_written(void **state)
{
    (void)state;
    static world w;
    static rank_of_world rank[MOST_RANKS];
    put_file("predictions", "", 0);
    list l = {20, open("predictions", O_RDONLY)};
    run_world(&w, rank, 3, 3, &scorer, predict, &l);
    for (int q = 0; q < 3; q++) {
        assert_int_equal(rank[q].status, BMRT_MACHINE);
        assert_non_null(strstr(rank[q].error.text, "cannot write 'predictions'"));
    }
    close_world(&w, rank);
    close(l.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_voice),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(predictions_in_order),
        cmocka_unit_test(predictions_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
