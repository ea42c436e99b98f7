/* Philox against its published vectors, the order of samples, the normal quantile, first values. */
#include "tests/unit/rt_fixture.h"

#include "runtime/bmrt_private.h"
#include "runtime/permute.h"
#include "runtime/rng.h"

#include <math.h>

/* Random123, tests/kat_vectors: philox4x32 10. */
static void published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint64_t key, a, b;
        uint32_t want[4];
    } kat[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x85a308d3243f6a88,
         0x0370734413198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        bmrt_words w = bmrt_philox(kat[i].key, kat[i].a, kat[i].b);
        assert_memory_equal(w.w, kat[i].want, sizeof w.w);
    }
}

static void every_epoch_is_a_permutation(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 4, 5, 16, 17, 64, 65, 1000, 4099};
    static unsigned char seen[5000];
    for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++)
        for (int64_t epoch = 0; epoch < 4; epoch++) {
            int n = sizes[s];
            bmrt_epoch o = bmrt_epoch_of(42, epoch, n);
            memset(seen, 0, sizeof seen);
            for (int i = 0; i < n; i++) {
                int64_t at = bmrt_epoch_at(&o, i);
                assert_true(at >= 0 && at < n && !seen[at]);
                seen[at] = 1;
            }
        }
}

static void orders_differ_and_mix(void **state)
{
    (void)state;
    enum { M = 1000 };
    int same_epoch = 0, same_seed = 0, neighbours = 0;
    double distance = 0;
    bmrt_epoch o = bmrt_epoch_of(1, 0, M), later = bmrt_epoch_of(1, 1, M);
    bmrt_epoch other = bmrt_epoch_of(2, 0, M);
    for (int i = 0; i < M; i++) {
        int64_t at = bmrt_epoch_at(&o, i);
        same_epoch += at == bmrt_epoch_at(&later, i);
        same_seed += at == bmrt_epoch_at(&other, i);
        neighbours += bmrt_epoch_at(&o, (i + 1) % M) == at + 1;
        distance += fabs((double)(at - i)) / M;
    }
    assert_true(same_epoch < 10 && same_seed < 10 && neighbours < 10);
    assert_true(fabs(distance / M - 1.0 / 3) < 0.03);
    /* places far beyond 32 bits */
    int64_t big = (int64_t)1 << 40;
    bmrt_epoch far = bmrt_epoch_of(3, 0, big);
    int64_t at = bmrt_epoch_at(&far, big - 1);
    assert_true(at >= 0 && at < big);
}

/* Of every sample, each position is equally likely: chi-square over the epochs of a small n, and
 * that the sample before says nothing about the next one. */
static void positions_are_even(void **state)
{
    (void)state;
    enum { N = 12, EPOCHS = 60000 };
    static int at[N][N], after[N][N];
    double places = 0, pairs = 0, even = (double)EPOCHS / N;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        bmrt_epoch o = bmrt_epoch_of(5, epoch, N);
        for (int i = 0; i < N; i++) {
            int64_t s = bmrt_epoch_at(&o, i);
            at[i][s]++;
            if (i > 0)
                after[bmrt_epoch_at(&o, i - 1)][s]++;
        }
    }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            places += (at[i][k] - even) * (at[i][k] - even) / even;
            pairs += i == k ? 0 : (after[i][k] - even) * (after[i][k] - even) / even;
        }
    /* 121 and about 120 degrees of freedom: 5 deviations */
    assert_true(places < 121 + 5 * 15.6 && pairs < 120 + 5 * 15.6);
}

/* A run of places is the epochs one after the other, wherever it begins. */
static void places_run_through_epochs(void **state)
{
    (void)state;
    enum { N = 10, ALL = 47 };
    int64_t all[ALL], part[9];
    bmrt_samples_at(7, N, 0, ALL, all);
    for (int i = 0; i < ALL; i++) {
        bmrt_epoch o = bmrt_epoch_of(7, i / N, N);
        assert_int_equal(all[i], bmrt_epoch_at(&o, i % N));
    }
    for (int first = 0; first + 9 <= ALL; first++) {
        bmrt_samples_at(7, N, first, 9, part);
        assert_memory_equal(part, all + first, sizeof part);
    }
    /* the same on every machine: the order is part of the format of a seed */
    static const int64_t known[2 * N] = {5, 1, 6, 3, 0, 9, 7, 2, 8, 4,
                                         4, 2, 5, 6, 0, 8, 7, 1, 9, 3};
    assert_memory_equal(all, known, sizeof known);
    bmrt_samples_at(7, 1, 5, 3, part);
    assert_true(part[0] == 0 && part[1] == 0 && part[2] == 0);
}

static void quantiles(void **state)
{
    (void)state;
    static const struct {
        double p, x;
    } known[] = {{0.5, 0},
                 {0.25, -0.6744897501960817},
                 {0.975, 1.959963984540054},
                 {0.001, -3.090232306167813},
                 {1e-10, -6.361340902404056},
                 {1e-20, -9.262340089798408},
                 {0.9999, 3.719016485455709}};
    for (int i = 0; i < (int)(sizeof known / sizeof *known); i++)
        assert_true(fabs(bmrt_normal_quantile(known[i].p) - known[i].x) <=
                    1e-13 * (1 + fabs(known[i].x)));
    for (double p = 1e-6; p < 0.5; p *= 1.37) { /* the inverse of the distribution function */
        double x = bmrt_normal_quantile(p);
        assert_true(fabs(0.5 * erfc(-x / sqrt(2.0)) / p - 1) < 1e-11);
        assert_true(fabs(bmrt_normal_quantile(1 - p) + x) < 1e-9);
    }
}

enum { COUNT = 40001 };
static real values[COUNT + 8];

static void init_with(bmrt_tensor *t, uint64_t seed, int threads)
{
    bmrt_error e;
    bmrt_run run = {.pub = {.arena = (char *)values, .seed = seed}};
    assert_int_equal(bmrt_pool_create(&run.pool, threads, NULL, &e), BMRT_OK);
    t->offset = 0;
    assert_int_equal(bmrt_init_tensor(&run, t, &e), BMRT_OK);
    bmrt_pool_destroy(run.pool);
}

static void moments(double *mean, double *square, double *least, double *most)
{
    *mean = *square = 0;
    *least = INFINITY;
    *most = -INFINITY;
    for (int i = 0; i < COUNT; i++) {
        double v = (double)values[i];
        *mean += v / COUNT;
        *square += v * v / COUNT;
        *least = v < *least ? v : *least;
        *most = v > *most ? v : *most;
    }
}

static void first_values(void **state)
{
    (void)state;
    double mean, square, least, most;
    bmrt_tensor t = {.path = "h.0.w", .ndim = 1, .dim = {COUNT}, .count = COUNT};
    t.init = 3;
    t.a = 0.5;
    init_with(&t, 9, 1);
    moments(&mean, &square, &least, &most);
    assert_true(fabs(mean) < 0.02 && fabs(sqrt(square) - 0.5) < 0.01);
    assert_true(least < -1.5 && most > 1.5 && least > -3.5 && most < 3.5);
    t.init = 4;
    t.a = -1;
    t.b = 3;
    init_with(&t, 9, 2);
    moments(&mean, &square, &least, &most);
    assert_true(fabs(mean - 1) < 0.05 && least >= -1 && most <= 3 && least < -0.99 && most > 2.99);
    t.init = 2;
    t.a = 0.75;
    init_with(&t, 9, 2);
    assert_true(values[0] == (real)0.75 && values[COUNT - 1] == (real)0.75);
    t.init = 1;
    init_with(&t, 9, 1);
    assert_true(values[3] == 1);
    t.init = 0;
    init_with(&t, 9, 1);
    assert_true(values[3] == 0);
}

static void first_values_depend_on_seed_path_element_only(void **state)
{
    (void)state;
    static real keep[COUNT];
    bmrt_tensor t = {.path = "w", .ndim = 1, .dim = {COUNT}, .count = COUNT, .init = 3, .a = 1};
    init_with(&t, 5, 1);
    memcpy(keep, values, sizeof keep);
    for (int threads = 2; threads <= 5; threads++) {
        memset(values, 0, sizeof values);
        init_with(&t, 5, threads);
        assert_memory_equal(keep, values, sizeof keep);
    }
    t.count = 1001; /* a longer tensor begins with the shorter one's values */
    memset(values, 0, sizeof values);
    init_with(&t, 5, 1);
    assert_memory_equal(keep, values, 1001 * sizeof(real));
    assert_true(values[1001] == 0);
    init_with(&t, 6, 1);
    assert_true(values[0] != keep[0]);
    t.path = "v";
    init_with(&t, 5, 1);
    assert_true(values[0] != keep[0]);
    /* the same on every machine: these are part of the format of a seed */
    t.path = "w";
    init_with(&t, 0, 1);
    real want[3];
    uint64_t hash = bmrt_hash("w");
    assert_true(hash == (0xcbf29ce484222325u ^ 'w') * 0x100000001b3u);
    for (int i = 0; i < 3; i++) {
        bmrt_words w = bmrt_philox(0, 0, hash);
        want[i] = (real)bmrt_normal_quantile(((double)w.w[i] + 0.5) / 4294967296.0);
    }
    assert_memory_equal(values, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(orders_differ_and_mix),
        cmocka_unit_test(positions_are_even),
        cmocka_unit_test(places_run_through_epochs),
        cmocka_unit_test(quantiles),
        cmocka_unit_test(first_values),
        cmocka_unit_test(first_values_depend_on_seed_path_element_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
