#include "planner/offsets.h"
#include "tests/gen_offsets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int64_t rounded(const OffsetItem *it, int64_t align)
{
    return round_up(it->bytes, align);
}

static bool meet(const OffsetItem *a, const OffsetItem *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The most rounded bytes live in one step; the peak is reached where some item starts. */
static int64_t live_at(const OffsetItem *item, int n, int64_t align, int64_t step)
{
    int64_t live = 0;
    for (int i = 0; i < n; i++)
        live += item[i].first <= step && step <= item[i].last ? rounded(&item[i], align) : 0;
    return live;
}

static int64_t most_live(const OffsetItem *item, int n, int64_t align)
{
    int64_t most = 0;
    for (int i = 0; i < n; i++)
        most = max64(most, live_at(item, n, align, item[i].first));
    return most;
}

/* Everything a result promises, whatever the search did. */
static void check(const OffsetItem *item, int n, int64_t align, const OffsetResult *r)
{
    int64_t height = 0;
    for (int i = 0; i < n; i++) {
        const OffsetItem *a = &item[i];
        assert_true(a->offset >= 0);
        assert_int_equal(a->offset % align, 0);
        if (a->fixed >= 0)
            assert_int_equal(a->offset, a->fixed);
        if (a->bytes == 0)
            continue;
        height = max64(height, a->offset + rounded(a, align));
        for (int j = 0; j < i; j++) {
            const OffsetItem *b = &item[j];
            if (b->bytes && meet(a, b) && a->offset < b->offset + rounded(b, align) &&
                b->offset < a->offset + rounded(a, align))
                fail_msg("items %d and %d overlap", i, j);
        }
    }
    assert_int_equal(r->height, height);
    assert_int_equal(r->max_live, most_live(item, n, align));
    assert_int_equal(live_at(item, n, align, r->at), r->max_live);
    assert_true(r->height >= r->max_live);
    assert_true(r->work >= 0);
}

static OffsetResult solve(Arena *a, OffsetItem *item, int n, int64_t align, int64_t cap,
                          int64_t budget)
{
    OffsetResult r = offsets_solve(a, item, n, align, cap, budget);
    check(item, n, align, &r);
    assert_true(r.work <= budget);
    return r;
}

/* The least height over all orders, each item at the lowest hole: exact, because a placement in
 * which nothing can move down is met in the order of its offsets. */
static int64_t brute_force(OffsetItem *item, int n, int placed)
{
    int64_t best = INT64_MAX;
    bool any = false;
    for (int i = placed; i < n; i++) {
        OffsetItem t = item[i];
        item[i] = item[placed];
        item[placed] = t;
        if (t.fixed < 0) {
            int64_t at = 0;
            for (int k = 0; k < n; k++) {
                const OffsetItem *o = &item[k];
                bool there = k < placed || (k > placed && o->fixed >= 0);
                if (there && meet(o, &t) && at < o->offset + o->bytes && o->offset < at + t.bytes) {
                    at = o->offset + o->bytes;
                    k = -1; /* from the start: it may now hit one that it missed */
                }
            }
            item[placed].offset = at;
        }
        best = min64(best, brute_force(item, n, placed + 1));
        any = true;
        t = item[i];
        item[i] = item[placed];
        item[placed] = t;
    }
    if (any)
        return best;
    best = 0;
    for (int i = 0; i < n; i++)
        best = max64(best, item[i].offset + item[i].bytes);
    return best;
}

static bool fixed_clash(const OffsetItem *item, int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            const OffsetItem *a = &item[i], *b = &item[j];
            if (a->fixed >= 0 && b->fixed >= 0 && meet(a, b) && a->fixed < b->fixed + b->bytes &&
                b->fixed < a->fixed + a->bytes)
                return true;
        }
    }
    return false;
}

static void small_against_brute_force(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Gen g = {.arena = a, .state = 1};
    int harder = 0;
    for (int round = 0; round < 8000; round++) {
        int n = (int)gen_range(&g, 1, 7);
        bool fix = round % 3 == 0;
        g.item.n = 0;
        gen_random(&g, n, gen_range(&g, 2, 9), gen_range(&g, 1, 6), gen_range(&g, 1, 9));
        for (int i = 0; i < n; i++) {
            OffsetItem *it = &g.item.v[i];
            if (fix && gen_range(&g, 0, 2) == 0)
                it->fixed = it->offset = gen_range(&g, 0, 12);
        }
        if (fixed_clash(g.item.v, n)) {
            assert_true(offsets_solve(a, g.item.v, n, 1, 0, 1000).height == OFFSETS_NONE);
            continue;
        }
        int64_t best = brute_force(g.item.v, n, 0);
        int64_t cheap = solve(a, g.item.v, n, 1, 0, 0).height;
        OffsetResult r = solve(a, g.item.v, n, 1, 0, 100000);
        harder += best > r.max_live || cheap > best;
        assert_true(r.proved);
        assert_int_equal(r.height, best);
        r = solve(a, g.item.v, n, 1, best, 100000);
        assert_true(r.proved && r.height == best);
        if (best > 1) {
            r = solve(a, g.item.v, n, 1, best - 1, 100000);
            assert_true(r.proved && r.height >= best);
        }
    }
    assert_true(harder > 50); /* else nothing was asked of the search */
    arena_free(a);
}

static void edges(void **state)
{
    (void)state;
    Arena *a = arena_new();
    OffsetResult r = solve(a, NULL, 0, 512, 0, 100);
    assert_true(r.proved && r.height == 0 && r.max_live == 0);
    OffsetItem zero[] = {{0, 3, 4, 9, -1}, {0, 3, 3, 9, -1}};
    r = solve(a, zero, 2, 64, 0, 100);
    assert_true(r.proved && r.height == 0 && zero[0].offset == 0);
    OffsetItem same[] = {{1, 5, 5, 0, -1}, {1, 5, 5, 0, -1}, {513, 5, 5, 0, -1}, {0, 5, 5, 0, -1}};
    r = solve(a, same, 4, 512, 0, 100);
    assert_true(r.proved && r.height == 2048 && r.at == 5);
    OffsetItem apart[] = {{100, -7, -7, 0, -1}, {60, -6, INT64_MAX - 1, 0, -1}};
    r = solve(a, apart, 2, 1, 0, 100);
    assert_true(r.proved && r.height == 100 && r.at == -7);
    arena_free(a);
}

static void fixed_items(void **state)
{
    (void)state;
    Arena *a = arena_new();
    /* A hole below the fixed one is just large enough. */
    OffsetItem hole[] = {{4, 0, 9, 0, 4}, {4, 0, 3, 0, -1}, {4, 4, 9, 0, -1}, {2, 5, 6, 0, -1}};
    OffsetResult r = solve(a, hole, 4, 1, 0, 1000);
    assert_true(r.proved && r.height == 10);
    r = solve(a, hole, 4, 1, 0, 0);
    assert_true(r.height == 10);
    OffsetItem high[] = {{4, 0, 9, 0, 64}, {4, 0, 3, 0, -1}};
    r = solve(a, high, 2, 4, 0, 0);
    assert_true(r.proved && r.height == 68 && r.max_live == 8);
    /* Too small a hole: the free one goes above. */
    OffsetItem above[] = {{4, 0, 9, 0, 3}, {4, 0, 3, 0, -1}};
    r = solve(a, above, 2, 1, 0, 1000);
    assert_true(r.proved && r.height == 11);
    OffsetItem clash[] = {{4, 0, 9, 77, 3}, {4, 9, 12, 77, 6}};
    r = offsets_solve(a, clash, 2, 1, 0, 1000);
    assert_true(r.height == OFFSETS_NONE && r.proved && r.at == 9 && clash[0].offset == 77);
    OffsetItem crooked[] = {{4, 6, 9, 0, 3}};
    r = offsets_solve(a, crooked, 1, 4, 0, 1000);
    assert_true(r.height == OFFSETS_NONE && r.at == 6);
    arena_free(a);
}

static void huge_numbers(void **state)
{
    (void)state;
    Arena *a = arena_new();
    OffsetItem big[] = {{INT64_MAX, 0, 1, 0, -1}, {5, 0, 1, 0, -1}};
    assert_true(offsets_solve(a, big, 2, 512, 0, 10).height == OFFSETS_NONE);
    big[0].bytes = big[1].bytes = INT64_MAX / 6;
    assert_true(offsets_solve(a, big, 2, 512, 0, 10).height == OFFSETS_NONE);
    big[0].bytes = INT64_MAX / 16;
    big[1].fixed = INT64_MAX - 511;
    assert_true(offsets_solve(a, big, 2, 512, 0, 10).height == OFFSETS_NONE);
    big[0] = (OffsetItem){(int64_t)1 << 59, INT64_MIN, INT64_MAX - 1, 0, -1};
    big[1] = (OffsetItem){(int64_t)1 << 58, INT64_MIN, 0, 0, -1};
    OffsetResult r = solve(a, big, 2, 512, 0, 10);
    assert_true(r.proved && r.height == ((int64_t)3 << 58));
    arena_free(a);
}

static void training_meets_the_bound(void **state)
{
    (void)state;
    static const int blocks[] = {12, 24, 48, 96};
    for (int k = 0; k < countof(blocks) * 16; k++) {
        GenTrain t = {.blocks = blocks[k / 16],
                      .lead = (k & 1) ? 1 : -1,
                      .recompute = k & 2,
                      .keep_grads = k & 4,
                      .jitter = 0,
                      .hidden = (k & 8) ? 768 : 4096,
                      .tokens = (k & 8) ? 8192 : 4096,
                      .vocab = 50304};
        Arena *a = arena_new();
        Gen g = {.arena = a, .state = (uint64_t)k};
        gen_train(&g, &t);
        OffsetResult r = solve(a, g.item.v, g.item.n, 512, 0, OFFSETS_BUDGET);
        assert_true(r.proved);
        assert_int_equal(r.height, r.max_live);
        assert_true(r.work <= OFFSETS_BUDGET / 4);
        arena_free(a);
    }
}

/* Known best height, far above what the cheap orders find. */
static void cut_rectangles(void **state)
{
    (void)state;
    int solved = 0, searched = 0;
    for (int k = 0; k < 40; k++) {
        Arena *a = arena_new();
        Gen g = {.arena = a, .state = (uint64_t)k};
        gen_perfect(&g, 30 + 2 * k, 20, 40);
        OffsetResult cheap = solve(a, g.item.v, g.item.n, 1, 0, 0);
        OffsetResult r = solve(a, g.item.v, g.item.n, 1, 40, 1);
        assert_true(r.proved == (r.height == 40));
        r = solve(a, g.item.v, g.item.n, 1, 0, 20000);
        assert_int_equal(r.max_live, 40);
        assert_true(r.height <= cheap.height);
        assert_true(r.proved == (r.height == 40));
        solved += r.proved;
        searched += cheap.height > 40;
        arena_free(a);
    }
    assert_true(searched >= 20);
    assert_true(solved >= 30);
}

/* The same under a fixed lid that rests on a fixed post beside them: the hole is still a hole. */
static void below_a_lid(void **state)
{
    (void)state;
    int solved = 0, searched = 0;
    for (int k = 0; k < 20; k++) {
        Arena *a = arena_new();
        Gen g = {.arena = a, .state = (uint64_t)k};
        gen_perfect(&g, 30 + k, 20, 40);
        vec_push(a, &g.item, ((OffsetItem){40, 20, 20, 0, 0}));
        vec_push(a, &g.item, ((OffsetItem){5, 0, 20, 0, 40}));
        OffsetResult cheap = solve(a, g.item.v, g.item.n, 1, 0, 0);
        OffsetResult r = solve(a, g.item.v, g.item.n, 1, 0, 20000);
        assert_true(r.proved == (r.height == 45));
        solved += r.proved;
        searched += cheap.height > 45;
        arena_free(a);
    }
    assert_true(searched >= 5);
    assert_true(solved >= 15);
}

static void random_is_valid_and_repeatable(void **state)
{
    (void)state;
    for (int k = 0; k < 60; k++) {
        Arena *a = arena_new();
        Gen g = {.arena = a, .state = 1000 + (uint64_t)k};
        int n = (int)gen_range(&g, 20, 150);
        int64_t align = (int64_t)1 << gen_range(&g, 0, 5);
        gen_random(&g, n, 60, gen_range(&g, 2, 40), 400);
        for (int i = 0; k % 4 == 0 && i < 6; i++) {
            g.item.v[i].fixed = align * 500 * i;
            g.item.v[i].bytes = align * gen_range(&g, 1, 500);
        }
        OffsetItem *again = arena_array(a, OffsetItem, n);
        memcpy(again, g.item.v, (size_t)n * sizeof *again);
        OffsetResult cheap = solve(a, again, n, align, 0, 0);
        OffsetResult r = solve(a, g.item.v, n, align, 0, 3000);
        OffsetResult s = solve(a, again, n, align, 0, 3000);
        assert_true(r.height <= cheap.height);
        assert_int_equal(r.height, s.height);
        assert_int_equal(r.work, s.work);
        for (int i = 0; i < n; i++)
            assert_int_equal(g.item.v[i].offset, again[i].offset);
        /* What was reached once is found when asked for. */
        s = solve(a, again, n, align, cheap.height, 0);
        assert_true(s.proved && s.height <= cheap.height);
        s = solve(a, again, n, align, max64(r.max_live - 1, 1), 100);
        assert_true(s.proved && s.height >= r.max_live);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest test[] = {
        cmocka_unit_test(small_against_brute_force),
        cmocka_unit_test(edges),
        cmocka_unit_test(fixed_items),
        cmocka_unit_test(huge_numbers),
        cmocka_unit_test(training_meets_the_bound),
        cmocka_unit_test(cut_rectangles),
        cmocka_unit_test(below_a_lid),
        cmocka_unit_test(random_is_valid_and_repeatable),
    };
    return cmocka_run_group_tests(test, NULL, NULL);
}
