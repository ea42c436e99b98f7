/* Recompute frontiers: a published layer, against all subsets, and mixes against an exact sum over
 * all blocks. */
#include "planner/frontier.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static int roll(uint64_t *seed, int n)
{
    return (int)(next_random(seed) % (uint64_t)n);
}

/* ---- Megatron's layer: Korthikanti et al. 2022, table 4 (22B: s 2048, b 4, h 6144, 64 heads,
 * tensor parallel 8, A100, no flash attention), times from a roofline ---- */

typedef struct Layer {
    FrontierOp op[16];
    int in[16][2], n;
} Layer;

static const double peak = 312e12, efficiency = .82, half_k = 633, memory = .85 * 2.039e12,
                    link = 235e9;

static double gemm(double m, double n, double k)
{
    double tiles = ceil(m / 128) * ceil(n / 256), waves = ceil(tiles / 108);
    double full = tiles / (waves * 108), e = efficiency * full * k / (k + half_k);
    double math = 2 * m * n * k / (peak * e), moved = 2 * (m * k + k * n + m * n) / memory;
    return math > moved ? math : moved;
}

static int add_op(Layer *l, double bytes, double seconds, int x, int y)
{
    FrontierOp *o = &l->op[l->n];
    o->in = l->in[l->n];
    if (x >= 0)
        l->in[l->n][o->n_in++] = x;
    if (y >= 0)
        l->in[l->n][o->n_in++] = y;
    o->bytes = llround(bytes);
    o->ps = llround(seconds * 1e12);
    o->wanted = x >= 0;
    return l->n++;
}

enum { X0, LN1, QKV, SOFTMAX, DROPPED, CORE, PROJ, X1, LN2, FC1, GELU, FC2, X2 };

static void megatron_layer(Layer *l, double *step_ps, int64_t *all_bytes)
{
    double s = 2048, b = 4, h = 6144, heads = 64, t = 8, rows = s * b, act = 2 * rows * h;
    double reduce = 2 * (7. / 8) * act / link, scores = b * heads / t * s * s;
    double qk = gemm(s * b * heads / t, s, h / heads), av = gemm(s * b * heads / t, h / heads, s);
    double qkv = gemm(rows, 3 * h / t, h), proj = gemm(rows, h, h / t);
    double fc1 = gemm(rows, 4 * h / t, h), fc2 = gemm(rows, h, 4 * h / t);
    *l = (Layer){0};
    l->op[add_op(l, 0, 0, -1, -1)].fixed = true;
    add_op(l, act, 2 * act / memory, X0, -1);
    add_op(l, 3 * act / t, qkv, LN1, -1);
    add_op(l, 2 * scores, qk + 6 * scores / memory, QKV, -1);
    add_op(l, 3 * scores, 5 * scores / memory, SOFTMAX, -1);
    add_op(l, act / t, av, DROPPED, QKV);
    add_op(l, 0, proj + reduce, CORE, -1);
    add_op(l, 1.5 * act, 3.5 * act / memory, PROJ, X0);
    add_op(l, act, 2 * act / memory, X1, -1);
    add_op(l, 4 * act / t, fc1, LN2, -1);
    add_op(l, 4 * act / t, 8 * act / t / memory, FC1, -1);
    add_op(l, 0, fc2 + reduce, GELU, -1);
    add_op(l, .5 * act, 3.5 * act / memory, FC2, X1);
    assert_int_equal(l->n, X2 + 1);
    const int products[] = {PROJ, FC2}; /* what the backward does not read */
    for (int k = 0; k < countof(products); k++) {
        l->op[products[k]].wanted = false;
        l->op[products[k]].passing = true;
    }
    double forward = 0, products_s = qkv + proj + fc1 + fc2 + qk + av;
    *all_bytes = llround(act);
    for (int k = 0; k < l->n; k++) {
        forward += (double)l->op[k].ps * 1e-12;
        *all_bytes += l->op[k].bytes;
    }
    double backward = 2 * products_s + 2 * (forward - products_s - 2 * reduce) + reduce;
    *step_ps = (forward + backward) * 1e12;
    /* the formula of the paper for all saved activations */
    double formula = s * b * h * (10 + 24 / t + 5 * heads * s / (h * t));
    assert_true(fabs((double)*all_bytes - formula) <= 1);
}

static void published_layer(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Layer l;
    double step;
    int64_t all, entry = 2 * 2048 * 4 * 6144;
    megatron_layer(&l, &step, &all);

    uint64_t kept = 0;
    FrontierPoint p;
    for (int k = 1; k < l.n; k++)
        if (!l.op[k].passing && k != SOFTMAX && k != DROPPED)
            kept |= (uint64_t)1 << k;
    assert_true(frontier_price(a, l.op, l.n, &kept, &p));
    double selective = 100 * (double)p.ps / step;
    kept = 0;
    assert_true(frontier_price(a, l.op, l.n, &kept, &p));
    double full = 100 * (double)p.ps / step;
    assert_true(fabs(selective - 7) <= 1);
    assert_true(fabs(full - 39) <= 3);

    Frontier f = frontier_of(a, l.op, l.n, FRONTIER_BUDGET);
    assert_true(f.exact);
    assert_int_equal(f.point.v[0].bytes, 0);
    assert_int_equal(f.point.v[0].ps, p.ps);
    assert_int_equal(f.point.v[f.point.n - 1].ps, 0);
    double best = 100; /* the least time within 51 % of the memory */
    for (int k = 0; k < f.point.n; k++)
        if ((double)(f.point.v[k].bytes + entry) <= .51 * (double)all)
            best = fmin(best, 100 * (double)f.point.v[k].ps / step);
    assert_true(best <= 3);
    print_message("selective +%.1f %%, full +%.1f %%, at 51 %% of the memory +%.1f %%; %d points\n",
                  selective, full, best, f.point.n);
    arena_free(a);
}

/* ---- against every subset ---- */

enum { MOST_OPS = 12 };

typedef struct Block {
    FrontierOp op[MOST_OPS];
    int in[MOST_OPS][3], n;
} Block;

static void random_block(Block *b, uint64_t *seed)
{
    *b = (Block){.n = 1 + roll(seed, MOST_OPS)};
    int kind = roll(seed, 3); /* sizes: any, few different, none */
    for (int k = 0; k < b->n; k++) {
        FrontierOp *o = &b->op[k];
        o->in = b->in[k];
        for (int j = 0; k && j < 1 + roll(seed, 3); j++)
            b->in[k][o->n_in++] = roll(seed, 3) ? k - 1 : roll(seed, k);
        o->bytes = kind == 2 ? 0 : roll(seed, kind ? 3 : 1000);
        o->ps = roll(seed, kind == 1 ? 3 : 1000);
        o->fixed = !roll(seed, 6);
        o->passing = !o->fixed && !roll(seed, 4);
        o->impure = !o->passing && !roll(seed, 8);
        o->wanted = roll(seed, 3) > 0;
    }
}

/* The cost of a set by following demands from each wanted op: shares no rule with frontier.c. */
static bool demand(const Block *b, uint64_t kept, int i, bool *again)
{
    if (b->op[i].fixed || (kept >> i & 1) || again[i])
        return true;
    if (b->op[i].impure)
        return false;
    again[i] = true;
    for (int j = 0; j < b->op[i].n_in; j++)
        if (!demand(b, kept, b->op[i].in[j], again))
            return false;
    return true;
}

static bool cost_of(const Block *b, uint64_t kept, int64_t *bytes, int64_t *ps)
{
    bool again[MOST_OPS] = {0}, possible = true;
    *bytes = *ps = 0;
    for (int k = 0; k < b->n; k++)
        if (kept >> k & 1) {
            possible = possible && !b->op[k].fixed && !b->op[k].passing;
            *bytes += b->op[k].bytes;
        }
    for (int k = 0; k < b->n && possible; k++)
        possible = !b->op[k].wanted || demand(b, kept, k, again);
    for (int k = 0; k < b->n; k++)
        *ps += again[k] ? b->op[k].ps : 0;
    return possible;
}

static void check_points(Arena *a, const Block *b, const Frontier *f)
{
    for (int k = 0; k < f->point.n; k++) {
        const FrontierPoint *p = &f->point.v[k];
        int64_t bytes, ps;
        assert_true(cost_of(b, *p->kept, &bytes, &ps));
        assert_int_equal(bytes, p->bytes);
        assert_int_equal(ps, p->ps);
        FrontierPoint priced;
        assert_true(frontier_price(a, b->op, b->n, p->kept, &priced));
        assert_int_equal(priced.bytes, p->bytes);
        assert_int_equal(priced.ps, p->ps);
        assert_int_equal(priced.again, p->again);
        if (k) {
            assert_true(p[-1].bytes < p->bytes);
            assert_true(p[-1].ps > p->ps);
        }
    }
}

static void every_subset(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint64_t seed = 11;
    int points = 0;
    for (int n = 0; n < 400; n++) {
        Mark m = arena_mark(a);
        Block b;
        random_block(&b, &seed);
        Frontier f = frontier_of(a, b.op, b.n, FRONTIER_BUDGET);
        assert_true(f.exact);
        check_points(a, &b, &f);
        points += f.point.n;
        bool any = false;
        for (uint64_t kept = 0; kept < (uint64_t)1 << b.n; kept++) {
            int64_t bytes, ps;
            if (!cost_of(&b, kept, &bytes, &ps))
                continue;
            any = true;
            bool reached = false;
            for (int k = 0; k < f.point.n; k++)
                reached = reached || (f.point.v[k].bytes <= bytes && f.point.v[k].ps <= ps);
            assert_true(reached); /* nothing beats the frontier */
        }
        assert_true(any == (f.point.n > 0));
        arena_rewind(a, m);
    }
    print_message("%d points\n", points);
    assert_true(points > 800);
    arena_free(a);
}

/* With next to no room for partial sets the points are fewer, and still true. */
static void small_budget(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint64_t seed = 5;
    int given_up = 0;
    for (int n = 0; n < 200; n++) {
        Mark m = arena_mark(a);
        Block b;
        random_block(&b, &seed);
        Frontier all = frontier_of(a, b.op, b.n, FRONTIER_BUDGET),
                 few = frontier_of(a, b.op, b.n, 3);
        check_points(a, &b, &few);
        assert_true(few.exact || few.point.n <= 4);
        if (few.exact)
            assert_int_equal(few.point.n, all.point.n);
        given_up += !few.exact;
        arena_rewind(a, m);
    }
    assert_true(given_up > 20);
    arena_free(a);
}

/* A chain as long as a large block: exact, and soon. */
static void long_chain(void **state)
{
    (void)state;
    Arena *a = arena_new();
    enum { LONG = 90 };
    FrontierOp *op = arena_array(a, FrontierOp, LONG);
    int *in = arena_array(a, int, LONG);
    for (int k = 0; k < LONG; k++) {
        in[k] = k - 1;
        op[k] = (FrontierOp){.in = &in[k],
                             .n_in = k > 0,
                             .bytes = 64 * (1 + k % 5),
                             .ps = 100 + 7 * (k % 11),
                             .wanted = k % 4 != 1};
    }
    op[0].fixed = true;
    Frontier f = frontier_of(a, op, LONG, FRONTIER_BUDGET);
    assert_true(f.exact);
    assert_true(f.point.n > 100);
    assert_int_equal(f.words, 2);
    for (int k = 1; k < f.point.n; k++)
        assert_true(f.point.v[k - 1].bytes < f.point.v[k].bytes &&
                    f.point.v[k - 1].ps > f.point.v[k].ps);
    arena_free(a);
}

/* ---- mixes ---- */

enum { MOST_CLASSES = 3, MOST_EACH = 6 };

typedef struct Blocks {
    FrontierPoint point[MOST_CLASSES][MOST_EACH];
    MixClass c[MOST_CLASSES];
    int n;
    int64_t budget;
} Blocks;

static void random_blocks(Blocks *b, uint64_t *seed)
{
    *b = (Blocks){.n = 1 + roll(seed, MOST_CLASSES)};
    int64_t least = 0, most = 0;
    for (int k = 0; k < b->n; k++) {
        int n = 1 + roll(seed, MOST_EACH), wide = roll(seed, 2) ? 10 : 100000;
        int64_t bytes = roll(seed, wide), ps = 0;
        for (int j = 0; j < n; j++) {
            b->point[k][j].bytes = bytes;
            bytes += 1 + roll(seed, wide);
        }
        for (int j = n - 1; j >= 0; j--) {
            b->point[k][j].ps = ps;
            ps += 1 + roll(seed, wide);
        }
        b->c[k] = (MixClass){.count = 1 + roll(seed, 5),
                             .point = b->point[k],
                             .n = n,
                             .most = roll(seed, 5) ? 2 : 1};
        least += b->c[k].count * b->point[k][0].bytes;
        most += b->c[k].count * b->point[k][n - 1].bytes;
    }
    b->budget = least - 2 + roll(seed, (int)(most - least) + 5);
}

/* What the choices say, counted block by block. */
static void check_mix(const Blocks *b, const Mix *m)
{
    int64_t bytes = 0, ps = 0;
    for (int k = 0; k < b->n; k++) {
        const MixChoice *c = &m->choice[k];
        assert_in_range(c->n_light, 0, b->c[k].count);
        assert_true(c->light <= c->heavy && c->heavy < b->c[k].n);
        assert_true(b->c[k].most != 1 || c->light == c->heavy);
        for (int j = 0; j < b->c[k].count; j++) {
            const FrontierPoint *p = &b->point[k][j < c->n_light ? c->light : c->heavy];
            bytes += p->bytes;
            ps += p->ps;
        }
    }
    assert_int_equal(bytes, m->bytes);
    assert_int_equal(ps, m->ps);
    assert_true(bytes <= b->budget);
    assert_true(m->lower_ps <= ps);
}

static void budgets_hold(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint64_t seed = 17;
    int fit = 0, tight = 0;
    for (int n = 0; n < 100000; n++) {
        Mark mark = arena_mark(a);
        Blocks b;
        random_blocks(&b, &seed);
        Mix m = frontier_mix(a, b.c, b.n, b.budget);
        assert_true(m.fits == (m.least_bytes <= b.budget));
        if (m.fits)
            check_mix(&b, &m);
        fit += m.fits;
        tight += m.fits && m.lower_ps == m.ps;
        arena_rewind(a, mark);
    }
    assert_true(fit > 90000);
    print_message("%d fit, %d tight\n", fit, tight);
    assert_true(tight > 10000);
    arena_free(a);
}

/* The least time of any choice, block by block: sums undominated so far. */
static int64_t exact_time(const Blocks *b)
{
    enum { MOST = 8192 };
    static int64_t at[MOST][2], to[MOST * MOST_EACH][2];
    int n = 1;
    at[0][0] = at[0][1] = 0;
    for (int k = 0; k < b->n; k++)
        for (int j = 0; j < b->c[k].count; j++) {
            int all = 0;
            for (int i = 0; i < n; i++)
                for (int p = 0; p < b->c[k].n; p++) {
                    to[all][0] = at[i][0] + b->point[k][p].bytes;
                    to[all++][1] = at[i][1] + b->point[k][p].ps;
                }
            n = 0;
            for (int i = 0; i < all; i++) {
                bool beaten = false;
                for (int o = 0; o < all && !beaten; o++)
                    beaten = to[o][0] <= to[i][0] && to[o][1] <= to[i][1] &&
                             (o < i || to[o][0] < to[i][0] || to[o][1] < to[i][1]);
                if (beaten)
                    continue;
                assert_true(n < MOST);
                at[n][0] = to[i][0];
                at[n++][1] = to[i][1];
            }
        }
    int64_t best = INT64_MAX;
    for (int i = 0; i < n; i++)
        if (at[i][0] <= b->budget)
            best = min64(best, at[i][1]);
    return best;
}

static void near_the_best(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint64_t seed = 23;
    int equal = 0, all = 0;
    while (all < 300) {
        Blocks b;
        random_blocks(&b, &seed);
        for (int k = 0; k < b.n; k++)
            b.c[k].count = 1 + b.c[k].count % 3, b.c[k].most = 0;
        Mix m = frontier_mix(a, b.c, b.n, b.budget);
        if (!m.fits)
            continue;
        int64_t best = exact_time(&b);
        assert_true(m.exact);
        assert_true(m.lower_ps <= best);
        assert_true(best <= m.ps);
        /* one or two blocks a class: every choice is a pair */
        bool few = true;
        for (int k = 0; k < b.n; k++)
            few = few && b.c[k].count <= 2;
        if (few)
            assert_int_equal(m.ps, best);
        equal += m.ps == best;
        all++;
    }
    assert_true(equal > 250);
    arena_free(a);
}

/* No multiplier proves more than what is true, and the one chosen is the best of them. */
static void the_best_bound(void **state)
{
    (void)state;
    Arena *a = arena_new();
    uint64_t seed = 29;
    for (int n = 0; n < 2000; n++) {
        Mark mark = arena_mark(a);
        Blocks b;
        random_blocks(&b, &seed);
        Mix m = frontier_mix(a, b.c, b.n, b.budget);
        for (int k = 0; k < 20 && m.fits; k++)
            assert_true(mix_bound(b.c, b.n, b.budget, roll(&seed, 1000), 1 + roll(&seed, 1000)) <=
                        m.lower_ps);
        arena_rewind(a, mark);
    }
    arena_free(a);
}

/* The published layer 48 times: within 0.1 points of the bound at every budget, as measured. */
static void layers_of_one_kind(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Layer l;
    double step;
    int64_t all, entry = 2 * 2048 * 4 * 6144;
    megatron_layer(&l, &step, &all);
    Frontier f = frontier_of(a, l.op, l.n, FRONTIER_BUDGET);
    MixClass c = {.count = 48, .point = f.point.v, .n = f.point.n};
    int64_t last = INT64_MAX;
    for (int percent = 20; percent <= 100; percent += 10) {
        int64_t budget = 48 * (all * percent / 100 - entry);
        Mix m = frontier_mix(a, &c, 1, budget);
        assert_true(m.fits && m.exact && m.bytes <= budget);
        assert_true(m.ps <= last); /* more memory never takes more time */
        assert_true((double)(m.ps - m.lower_ps) <= .001 * 48 * step);
        last = m.ps;
    }
    assert_int_equal(last, 0);
    assert_false(frontier_mix(a, &c, 1, -1).fits);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_layer), cmocka_unit_test(every_subset),
        cmocka_unit_test(small_budget),    cmocka_unit_test(long_chain),
        cmocka_unit_test(budgets_hold),    cmocka_unit_test(near_the_best),
        cmocka_unit_test(the_best_bound),  cmocka_unit_test(layers_of_one_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
