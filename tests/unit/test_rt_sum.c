/* Sums of squares and norms do not depend on threads or on how groups are spread over ranks; gaps
 * become 0; the tree of rounds adds equal subtrees, the earlier one on the left; exact sums of
 * rounds are the same in each order and on each number of ranks. */
#include "tests/unit/rt_fixture.h"

#include "runtime/bmrt_private.h"

#include <math.h>

enum { GRAIN = BMRT_NORM_GRAIN, GROUPS = 4, MOST_RANKS = 4, MOST_GRAINS = 64 };

static bmrt_run start(int threads)
{
    bmrt_run run = {.pub = {.ranks = 1}};
    bmrt_error e;
    assert_int_equal(bmrt_pool_create(&run.pool, threads, NULL, &e), BMRT_OK);
    return run;
}

/* Values of very different sizes, so that every change of order shows. */
static real value(int64_t i)
{
    uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + 0x1234567;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 32;
    return (real)ldexp((double)(x >> 40) - (1 << 23), (int)(x % 24) - 40);
}

static void one_sum_a_grain(void **state)
{
    (void)state;
    static real x[3 * GRAIN], partial[5];
    bmrt_run run = start(1);
    for (int i = 0; i < 3 * GRAIN; i++)
        x[i] = i < GRAIN ? 1 : i < 2 * GRAIN ? 0 : value(i);
    partial[3] = 7;
    bmrt_sum_squares(&run.pub, x, 3 * GRAIN, partial);
    assert_true(partial[0] == GRAIN && partial[1] == 0 && partial[3] == 7);
    /* the order, written once more: 256 lanes, folded in halves */
    real lane[256] = {0};
    for (int i = 0; i < GRAIN; i++)
        lane[i % 256] += x[2 * GRAIN + i] * x[2 * GRAIN + i];
    for (int half = 128; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    assert_true(partial[2] == lane[0]);
    /* a short grain is one with zeros behind it */
    for (int i = GRAIN - 300; i < GRAIN; i++)
        x[i] = 0;
    real whole, part;
    bmrt_sum_squares(&run.pub, x, GRAIN, &whole);
    bmrt_sum_squares(&run.pub, x, GRAIN - 300, &part);
    assert_true(whole == part);
    bmrt_pool_destroy(run.pool);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    enum { G = 100 };
    static real x[G * GRAIN], one[G], many[G];
    for (int i = 0; i < G * GRAIN; i++)
        x[i] = value(i);
    bmrt_run run = start(1);
    bmrt_sum_squares(&run.pub, x, G * GRAIN, one);
    bmrt_pool_destroy(run.pool);
    for (int threads = 2; threads <= 5; threads++) {
        run = start(threads);
        memset(many, 0, sizeof many);
        bmrt_sum_squares(&run.pub, x, G * GRAIN, many);
        assert_memory_equal(one, many, sizeof one);
        bmrt_pool_destroy(run.pool);
    }
}

/* The groups of sizes `grains` cut into shards for `ranks`, each rank's sums as it makes them, all
 * of them one behind the other as the all-gather leaves them, and the norm. */
static real norm_of(bmrt_run *run, const int64_t *grains, int ranks)
{
    static real whole[MOST_GRAINS * GRAIN], shard[MOST_GRAINS * GRAIN];
    static real partial[MOST_RANKS * MOST_GRAINS];
    int64_t all = 0;
    for (int g = 0; g < GROUPS; g++)
        all += (grains[g] + ranks - 1) / ranks;
    for (int q = 0; q < ranks; q++) {
        int64_t start_grain = 0, before = 0;
        for (int g = 0; g < GROUPS; g++) {
            int64_t own = (grains[g] + ranks - 1) / ranks;
            memset(whole, 0, sizeof whole); /* the padding of a gradient is 0 */
            for (int64_t i = 0; i < grains[g] * GRAIN; i++)
                whole[i] = value(before * GRAIN + i);
            memcpy(shard, whole + q * own * GRAIN, (size_t)(own * GRAIN) * sizeof *shard);
            bmrt_sum_squares(&run->pub, shard, own * GRAIN, partial + q * all + start_grain);
            start_grain += own;
            before += grains[g];
        }
    }
    real out;
    bmrt_norm(&run->pub, partial, grains, GROUPS, ranks, &out);
    return out;
}

static void ranks_do_not_matter(void **state)
{
    (void)state;
    static const int64_t layout[][GROUPS] = {
        {7, 1, 12, 5}, {1, 1, 1, 1}, {2, 3, 4, 9}, {12, 24, 12, 12}};
    bmrt_run run = start(2);
    for (int l = 0; l < (int)(sizeof layout / sizeof *layout); l++) {
        int64_t n = 0;
        double want = 0;
        for (int g = 0; g < GROUPS; g++)
            n += layout[l][g];
        for (int64_t i = 0; i < n * GRAIN; i++)
            want += (double)value(i) * (double)value(i);
        real one = norm_of(&run, layout[l], 1);
        assert_true(fabs((double)one - want) < 1e-6 * want);
        for (int ranks = 2; ranks <= MOST_RANKS; ranks++)
            assert_true(norm_of(&run, layout[l], ranks) == one);
    }
    bmrt_pool_destroy(run.pool);
}

/* Every grain counts, in the order of the groups: changing one changes the sum. */
static void no_grain_is_lost(void **state)
{
    (void)state;
    static const int64_t grains[2] = {5, 2};
    bmrt_run run = start(1);
    /* three ranks: 2 + 1 grains each; the last grain of the first group's third rank and the last
     * of the second group's are padding */
    real partial[9] = {0}, out;
    static const bool counts[9] = {1, 1, 1, 1, 1, 1, 1, 0, 0};
    for (int i = 0; i < 9; i++) {
        partial[i] = 3;
        bmrt_norm(&run.pub, partial, grains, 2, 3, &out);
        assert_true(out == (counts[i] ? 3 : 0));
        partial[i] = 0;
    }
    bmrt_pool_destroy(run.pool);
}

static void gaps_are_zeroed(void **state)
{
    (void)state;
    static const int64_t gap[][2] = {{3, 2}, {9, 0}, {15, 1}};
    bmrt_run run = start(1);
    real x[16];
    for (int i = 0; i < 16; i++)
        x[i] = 5;
    bmrt_zero(&run.pub, x, gap, 3);
    for (int i = 0; i < 16; i++)
        assert_true(x[i] == (i == 3 || i == 4 || i == 15 ? 0 : 5));
    bmrt_pool_destroy(run.pool);
}

/* Sum of rounds lo .. lo + n - 1, n a power of 2, as a tree. */
static real subtree(int64_t element, int64_t lo, int64_t n)
{
    if (n == 1)
        return value(lo * 1000003 + element);
    return subtree(element, lo, n / 2) + subtree(element, lo + n / 2, n / 2);
}

static void rounds_meet_in_a_tree(void **state)
{
    (void)state;
    enum { N = 40000, ROUNDS = 8, LEVELS = 4 };
    static real leaf[N], tree[LEVELS * N];
    for (int threads = 1; threads <= 3; threads++) {
        bmrt_run run = start(threads);
        for (int i = 0; i < LEVELS * N; i++)
            tree[i] = (real)NAN; /* nothing has to be cleared before */
        for (run.pub.round = 0; run.pub.round < ROUNDS; run.pub.round++) {
            for (int64_t i = 0; i < N; i++)
                leaf[i] = value(run.pub.round * 1000003 + i);
            bmrt_tree(&run.pub, leaf, tree, N);
            int64_t done = run.pub.round + 1;
            for (int k = 0; k < LEVELS; k++)
                for (int64_t i = 0; i < N && done == (int64_t)1 << k; i += 97)
                    assert_true(tree[k * N + i] == subtree(i, 0, done));
        }
        bmrt_pool_destroy(run.pool);
    }
}

/* ---- exact sums ---- */

enum { DIGITS = BMRT_EXACT_DIGITS };

/* leaf[first], leaf[first + step], ..: a rank's rounds, added up; n: of all leaves. */
static void add_turns(const real *leaf, int n, int first, int step, real *exact)
{
    bmrt r = {.first = true};
    real none = 0;
    if (first >= n)
        bmrt_exact_sum(&r, &none, exact, 1); /* a rank without samples */
    for (int i = first; i < n; i += step, r.first = false)
        bmrt_exact_sum(&r, leaf + i, exact, 1);
}

/* Over so many ranks, whose digits are added as a collective adds them. */
static real total_over(const real *leaf, int n, int ranks)
{
    real sum[DIGITS] = {0}, part[DIGITS], out = (real)NAN;
    for (int q = 0; q < ranks; q++) {
        for (int i = 0; i < DIGITS; i++)
            part[i] = (real)NAN; /* nothing has to be cleared before */
        add_turns(leaf, n, q, ranks, part);
        for (int i = 0; i < DIGITS; i++)
            sum[i] += part[i];
    }
    bmrt_exact_total(NULL, sum, &out, 1);
    return out;
}

static real total(int n, const real *leaf)
{
    real one = total_over(leaf, n, 1);
    for (int ranks = 2; ranks <= 16; ranks *= 2) {
        real other = total_over(leaf, n, ranks);
        assert_memory_equal(&one, &other, sizeof one);
    }
    return one;
}

#define TOTAL(...)                                                                                 \
    total((int)(sizeof((const real[]){__VA_ARGS__}) / sizeof(real)), (const real[]){__VA_ARGS__})

static void exact_sums_lose_nothing(void **state)
{
    (void)state;
    const real least = (real)ldexp(1, -149), most = (real)(ldexp(1, 128) - ldexp(1, 104));
    assert_true(TOTAL(0) == 0 && TOTAL(-1, 1) == 0 && TOTAL((real)1.5) == (real)1.5);
    assert_true(TOTAL((real)1e30, 1, (real)-1e30) == 1);
    assert_true(TOTAL(-3, most, -most) == -3 && TOTAL(most, -3, -most, 1) == -2);
    assert_true(TOTAL(least) == least && TOTAL(-least, -least) == -2 * least);
    assert_true(TOTAL(most, least, -most) == least && TOTAL(most, -least, -most) == -least);
    assert_true(TOTAL(most, most, most, -most, -most) == most);
    assert_true(TOTAL(most, most) == (real)INFINITY && TOTAL(-most, -most) == (real)-INFINITY);
    assert_true(TOTAL(1, (real)-INFINITY, 2) == (real)-INFINITY);
    assert_true(isnan(TOTAL((real)INFINITY, 1, (real)-INFINITY)) && isnan(TOTAL((real)NAN, 1)));
}

static void exact_sums_have_no_order(void **state)
{
    (void)state;
    enum { N = 1149 };
    static real leaf[N], back[N];
    double sum = 0; /* of whole numbers of 2^-40 below 2^7: it loses nothing */
    int below = 0;
    for (int i = 0; i < N; i++) {
        leaf[i] = back[N - 1 - i] = value(i);
        sum += (double)leaf[i];
        below += leaf[i] < 0;
    }
    assert_true(below > N / 4 && below < N * 3 / 4);
    for (int n = 0; n < N; n = 2 * n + 1) {
        real forth = total(N - n, leaf), other = total(N - n, back + n);
        assert_memory_equal(&forth, &other, sizeof forth);
    }
    assert_true(total(N, leaf) == (real)sum);
}

static void exact_sums_lie_side_by_side(void **state)
{
    (void)state;
    bmrt r = {.first = true};
    real leaf[3] = {1, -2, (real)0.25}, exact[3 * DIGITS + 1], out[4] = {0, 0, 0, 9};
    exact[3 * DIGITS] = 7;
    for (int i = 0; i < 3; i++, r.first = false)
        bmrt_exact_sum(&r, leaf, exact, 3);
    bmrt_exact_total(&r, exact, out, 3);
    assert_true(out[0] == 3 && out[1] == -6 && out[2] == (real)0.75 && out[3] == 9);
    assert_true(exact[3 * DIGITS] == 7);
    for (int i = 0; i < 3 * DIGITS; i++)
        assert_true(fabs((double)exact[i]) < 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sum_a_grain),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(ranks_do_not_matter),
        cmocka_unit_test(no_grain_is_lost),
        cmocka_unit_test(gaps_are_zeroed),
        cmocka_unit_test(rounds_meet_in_a_tree),
        cmocka_unit_test(exact_sums_lose_nothing),
        cmocka_unit_test(exact_sums_have_no_order),
        cmocka_unit_test(exact_sums_lie_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
