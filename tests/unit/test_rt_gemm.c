/* Products: against plain loops in double for every combination of options, and the same bits for
 * any number of threads and any split of the rows. */
#include "tests/unit/rt_fixture.h"

#include "runtime/bmrt_private.h"
#include "runtime/gemm.h"

#include <dirent.h>
#include <math.h>

static uint64_t state_of_fill = 1;

static real next_value(void)
{
    state_of_fill = state_of_fill * 6364136223846793005u + 1442695040888963407u;
    return (real)((int64_t)(state_of_fill >> 40) - (1 << 23)) / (real)(1 << 23);
}

static real *values(int64_t n)
{
    real *p = malloc((size_t)n * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++)
        p[i] = next_value();
    return p;
}

static int64_t or_1(int64_t n)
{
    return n > 0 ? n : 1;
}

static void reference(const bmrt_gemm_args *g, const real *a, const real *b, real *c)
{
    for (int64_t i0 = 0; i0 < or_1(g->count0); i0++)
        for (int64_t i1 = 0; i1 < or_1(g->count1); i1++)
            for (int64_t i = 0; i < g->m; i++)
                for (int64_t j = 0; j < g->n; j++) {
                    real *out = c + i0 * g->c0 + i1 * g->c1 + i * g->ldc + j;
                    double sum = g->beta != 0 ? (double)*out : 0;
                    for (int64_t s = 0; s < or_1(g->sums); s++)
                        for (int64_t p = 0; p < g->k; p++) {
                            int64_t ai = g->ta ? p * g->lda + i : i * g->lda + p;
                            int64_t bi = g->tb ? j * g->ldb + p : p * g->ldb + j;
                            sum += (double)a[i0 * g->a0 + i1 * g->a1 + s * g->as + ai] *
                                   (double)b[i0 * g->b0 + i1 * g->b1 + s * g->bs + bi];
                        }
                    *out = (real)sum;
                }
}

static bmrt_pool *pool_of(int threads)
{
    bmrt_pool *p;
    bmrt_error e;
    assert_int_equal(bmrt_pool_create(&p, threads, bmrt_gemm_quiet, &e), BMRT_OK);
    return p;
}

/* Runs g on 1 to 4 threads and compares with the loops; padding around C must stay. */
static void check(bmrt_gemm_args g)
{
    int64_t b0 = or_1(g.count0), b1 = or_1(g.count1), sums = or_1(g.sums);
    int64_t ra = g.ta ? g.k : g.m, rb = g.tb ? g.n : g.k;
    g.lda = (g.ta ? g.m : g.k) + 3;
    g.ldb = (g.tb ? g.k : g.n) + 1;
    g.ldc = g.n + 2;
    g.as = ra * g.lda;
    g.bs = rb * g.ldb;
    g.a1 = g.as * sums;
    g.b1 = g.bs * sums;
    g.c1 = g.m * g.ldc;
    g.a0 = g.a1 * b1;
    g.b0 = g.b1 * b1;
    g.c0 = g.c1 * b1;
    real *a = values(b0 * g.a0 + 8), *b = values(b0 * g.b0 + 8), *c = values(b0 * g.c0 + 8);
    size_t bytes = (size_t)(b0 * g.c0 + 8) * sizeof *c;
    real *want = malloc(bytes), *got = malloc(bytes), *first = malloc(bytes);
    assert_true(want && got && first);
    memcpy(want, c, bytes);
    reference(&g, a, b, want);
    for (int threads = 1; threads <= 4; threads++) {
        bmrt_pool *p = pool_of(threads);
        memcpy(got, c, bytes);
        bmrt_gemm_on(p, &g, a, b, got);
        bmrt_pool_destroy(p);
        if (threads == 1)
            memcpy(first, got, bytes);
        assert_memory_equal(got, first, bytes);
    }
    double bound = 4e-7 * (double)(g.k * sums + 2) + 1e-6;
    for (int64_t i = 0; i < b0 * g.c0 + 8; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= bound))
            fail_msg("m %d n %d k %d ta %d tb %d: element %d is %g, not %g", (int)g.m, (int)g.n,
                     (int)g.k, g.ta, g.tb, (int)i, (double)got[i], (double)want[i]);
    free(a), free(b), free(c), free(want), free(got), free(first);
}

static void every_option(void **state)
{
    (void)state;
    static const int size[][3] = {{1, 1, 1},    {1, 7, 5},     {17, 1, 3},   {16, 16, 16},
                                  {33, 50, 29}, {65, 193, 12}, {130, 3, 64}, {7, 600, 9}};
    for (int s = 0; s < (int)(sizeof size / sizeof *size); s++)
        for (int option = 0; option < 32; option++)
            check((bmrt_gemm_args){.m = size[s][0],
                                   .n = size[s][1],
                                   .k = size[s][2],
                                   .ta = option & 1,
                                   .tb = option >> 1 & 1,
                                   .beta = option >> 2 & 1,
                                   .sums = option & 8 ? 3 : 0,
                                   .count0 = option & 16 ? 2 : 0,
                                   .count1 = option & 16 ? 3 : 0});
}

static void large_enough_to_be_tiled(void **state)
{
    (void)state;
    for (int t = 0; t < 4; t++)
        check((bmrt_gemm_args){.m = 330, .n = 590, .k = 24, .ta = t & 1, .tb = t >> 1, .sums = 2});
}

static void an_empty_sum_is_zero_or_what_was_there(void **state)
{
    (void)state;
    real c[4] = {1, 2, 3, 4}, nothing = 0;
    bmrt_pool *p = pool_of(1);
    bmrt_gemm_args g = {.m = 2, .n = 2, .k = 0, .lda = 1, .ldb = 2, .ldc = 2, .beta = 1};
    bmrt_gemm_on(p, &g, &nothing, &nothing, c);
    assert_true(c[0] == 1 && c[3] == 4);
    g.beta = 0;
    bmrt_gemm_on(p, &g, &nothing, &nothing, c);
    assert_true(c[0] == 0 && c[3] == 0);
    bmrt_pool_destroy(p);
}

/* What lets a micro-batch be of any size: a row's bits do not depend on the rows beside it. */
static void a_row_does_not_depend_on_the_number_of_rows(void **state)
{
    (void)state;
    static const int shape[][2] = {{384, 384}, {1152, 384}, {576, 192}, {769, 100}, {50, 33}};
    bmrt_pool *p = pool_of(2);
    for (int s = 0; s < 5; s++)
        for (int tb = 0; tb < 2; tb++) {
            enum { ROWS = 512 };
            /* the loops of the double build have no kernels to choose from */
            int64_t shrink = sizeof(real) == 4 ? 1 : 8;
            int64_t n = shape[s][0] / shrink, k = shape[s][1] / shrink;
            real *a = values(ROWS * k), *b = values(n * k);
            real *whole = calloc((size_t)(ROWS * n), sizeof *whole);
            real *part = calloc((size_t)(ROWS * n), sizeof *part);
            assert_true(whole && part);
            bmrt_gemm_args g = {.m = ROWS, .n = n, .k = k, .tb = tb, .lda = k, .ldc = n};
            g.ldb = tb ? k : n;
            bmrt_gemm_on(p, &g, a, b, whole);
            static const int64_t rows[] = {16, 64, 65, 70, 128, 131, 195, 256, 257};
            for (int r = 0; r < (int)(sizeof rows / sizeof *rows); r++) {
                int64_t done = 0;
                for (g.m = rows[r]; done + g.m <= ROWS; done += g.m)
                    bmrt_gemm_on(p, &g, a + done * k, b, part + done * n);
                assert_memory_equal(whole, part, (size_t)(done * n) * sizeof *whole);
            }
            free(a), free(b), free(whole), free(part);
        }
    bmrt_pool_destroy(p);
}

static int threads_of_process(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void the_library_starts_no_threads(void **state)
{
    (void)state;
    int64_t n = sizeof(real) == 4 ? 700 : 130;
    real *a = values(n * n), *b = values(n * n), *c = values(n * n);
    int before = threads_of_process();
    bmrt_pool *p = pool_of(3);
    bmrt_gemm_args g = {.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n};
    for (int i = 0; i < 3; i++)
        bmrt_gemm_on(p, &g, a, b, c);
    int during = threads_of_process();
    bmrt_pool_destroy(p);
    if (before > 0)
        assert_int_equal(during, before + 2);
    free(a), free(b), free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option),
        cmocka_unit_test(large_enough_to_be_tiled),
        cmocka_unit_test(an_empty_sum_is_zero_or_what_was_there),
        cmocka_unit_test(a_row_does_not_depend_on_the_number_of_rows),
        cmocka_unit_test(the_library_starts_no_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
