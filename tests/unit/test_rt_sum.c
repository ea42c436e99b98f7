/* Sums of squares and norms do not depend on threads or on how groups are spread over ranks; gaps
 * become 0; the tree of rounds adds equal subtrees, the earlier one on the left. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sum_a_grain),     cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(ranks_do_not_matter), cmocka_unit_test(no_grain_is_lost),
        cmocka_unit_test(gaps_are_zeroed),     cmocka_unit_test(rounds_meet_in_a_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
