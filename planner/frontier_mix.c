/* frontier_mix.c - many blocks under one budget of bytes: how many take which point.
 *
 * Blocks alike take at most two points, so that the program needs few variants: for 48 blocks that
 * is within 0.1 points of the bound by linear programming. Each class gives a list of pairs with
 * counts, undominated; lists of several classes are added, likewise. */
#include "planner/frontier.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_POINTS = 64, /* of a class: more are thinned */
    MOST_SUMS = 2048, /* of a list that is added to another */
};

/* ps times bytes does not fit 64 bits */
__extension__ typedef __int128 Wide;

typedef struct Sum {
    int64_t bytes, ps;
    MixChoice own;
    int before, list; /* where it is a sum of two lists: an entry of each */
} Sum;

typedef struct Sums {
    Sum *v;
    int n;
} Sums;

struct MixPairs {
    Sums sums;
    bool exact;
};

/* Products and sums saturate here: two of them still fit. */
static const int64_t most_sum = INT64_MAX >> 1;

static int64_t times(int64_t x, int64_t n)
{
    int64_t all;
    return mul_ok(x, n, &all) && all < most_sum ? all : most_sum;
}

static int64_t plus(int64_t x, int64_t y)
{
    return min64(x + y, most_sum);
}

static int by_number(int64_t x, int64_t y)
{
    return (x > y) - (x < y);
}

static int by_bytes(const void *x, const void *y)
{
    const Sum *a = x, *b = y;
    if (a->bytes != b->bytes)
        return by_number(a->bytes, b->bytes);
    if (a->ps != b->ps)
        return by_number(a->ps, b->ps);
    const int64_t order[][2] = {{a->before, b->before},
                                {a->list, b->list},
                                {a->own.light, b->own.light},
                                {a->own.heavy, b->own.heavy},
                                {a->own.n_light, b->own.n_light}};
    for (int k = 0; k < countof(order); k++)
        if (order[k][0] != order[k][1])
            return by_number(order[k][0], order[k][1]);
    return 0;
}

static void drop_beaten(Sums *s)
{
    qsort(s->v, (size_t)s->n, sizeof *s->v, by_bytes);
    int n = 0;
    for (int k = 0; k < s->n; k++)
        if (!n || s->v[k].ps < s->v[n - 1].ps)
            s->v[n++] = s->v[k];
    s->n = n;
}

/* `most` of `n` things in order, the first and the last among them. */
static int evenly(int k, int n, int most)
{
    return n <= most ? k : (int)((int64_t)k * (n - 1) / (most - 1));
}

static Sums thinned(Arena *a, const Sums *s, int most, bool *exact)
{
    if (s->n <= most)
        return *s;
    *exact = false;
    Sums t = {.v = arena_array(a, Sum, most), .n = most};
    for (int k = 0; k < most; k++)
        t.v[k] = s->v[evenly(k, s->n, most)];
    return t;
}

/* Every pair of a class's points with every count. */
static Sums pairs_of(Arena *a, const MixClass *c, bool *exact)
{
    int n = c->n < MOST_POINTS ? c->n : MOST_POINTS;
    if (n < c->n)
        *exact = false;
    int64_t pairs = c->most == 1 ? 0 : (int64_t)n * (n - 1) / 2 * (c->count - 1);
    Sums s = {.v = arena_array(a, Sum, pairs > 0 ? pairs + n : n)};
    for (int i = 0; i < n; i++) {
        int x = evenly(i, c->n, n);
        const FrontierPoint *light = &c->point[x];
        s.v[s.n++] = (Sum){.bytes = times(light->bytes, c->count),
                           .ps = times(light->ps, c->count),
                           .own = {x, x, c->count}};
        for (int j = i + 1; j < n && c->most != 1; j++) {
            int y = evenly(j, c->n, n);
            const FrontierPoint *heavy = &c->point[y];
            for (int q = 1; q < c->count; q++) {
                int64_t rest = c->count - q;
                s.v[s.n++] = (Sum){.bytes = plus(times(light->bytes, q), times(heavy->bytes, rest)),
                                   .ps = plus(times(light->ps, q), times(heavy->ps, rest)),
                                   .own = {x, y, q}};
            }
        }
    }
    drop_beaten(&s);
    return s;
}

const struct MixPairs *frontier_pairs(Arena *a, const MixClass *c)
{
    Arena *scratch = arena_new();
    struct MixPairs *p = arena_make(a, struct MixPairs);
    p->exact = true;
    Sums all = pairs_of(scratch, c, &p->exact);
    p->sums = (Sums){.v = arena_array(a, Sum, all.n), .n = all.n};
    memcpy(p->sums.v, all.v, (size_t)all.n * sizeof *all.v);
    arena_free(scratch);
    return p;
}

static Sums own_pairs(Arena *a, const MixClass *c, bool *exact)
{
    if (!c->pairs)
        return pairs_of(a, c, exact);
    *exact = *exact && c->pairs->exact;
    return c->pairs->sums;
}

static Sums add_lists(Arena *a, const Sums *x, const Sums *y, int64_t budget)
{
    Sums s = {.v = arena_array(a, Sum, (int64_t)x->n * y->n)};
    for (int i = 0; i < x->n; i++)
        for (int j = 0; j < y->n && x->v[i].bytes + y->v[j].bytes <= budget; j++)
            s.v[s.n++] = (Sum){.bytes = plus(x->v[i].bytes, y->v[j].bytes),
                               .ps = plus(x->v[i].ps, y->v[j].ps),
                               .before = i,
                               .list = j};
    drop_beaten(&s);
    return s;
}

/* The best of one of each: as the first grows the second shrinks. */
static bool best_two(const Sums *x, const Sums *y, int64_t budget, Sum *best)
{
    bool found = false;
    for (int i = 0, j = y->n - 1; i < x->n; i++) {
        while (j >= 0 && x->v[i].bytes + y->v[j].bytes > budget)
            j--;
        if (j < 0)
            break;
        Sum s = {.bytes = plus(x->v[i].bytes, y->v[j].bytes),
                 .ps = plus(x->v[i].ps, y->v[j].ps),
                 .before = i,
                 .list = j};
        if (!found || s.ps < best->ps || (s.ps == best->ps && s.bytes < best->bytes))
            *best = s;
        found = true;
    }
    return found;
}

/* ---- the bound ---- */

static Wide numerator(const MixClass *c, int n, int64_t budget, int64_t num, int64_t den)
{
    Wide all = -(Wide)num * budget;
    for (int k = 0; k < n; k++) {
        Wide least = 0;
        for (int j = 0; j < c[k].n; j++) {
            Wide v = (Wide)den * c[k].point[j].ps + (Wide)num * c[k].point[j].bytes;
            least = !j || v < least ? v : least;
        }
        all += least * c[k].count;
    }
    return all;
}

int64_t mix_bound(const MixClass *c, int n, int64_t budget, int64_t num, int64_t den)
{
    Wide v = numerator(c, n, budget, num, den);
    Wide up = v <= 0 ? 0 : (v + den - 1) / den;
    return up > INT64_MAX ? INT64_MAX : (int64_t)up;
}

typedef struct Slope { /* from one point of a class's convex hull to the next lighter one */
    int64_t ps, bytes; /* more time, fewer bytes: of one block */
    int count;
} Slope;

typedef struct Slopes {
    Slope *v;
    int n;
} Slopes;

static int by_slope(const void *x, const void *y)
{
    const Slope *a = x, *b = y;
    Wide l = (Wide)a->ps * b->bytes, r = (Wide)b->ps * a->bytes;
    return (l > r) - (l < r);
}

/* Points from the heaviest: the next is the one that costs least time a byte freed. */
static void add_slopes(const MixClass *c, Slopes *s)
{
    for (int at = c->n - 1; at > 0;) {
        int next = -1;
        Slope best = {0};
        for (int k = 0; k < at; k++) {
            Slope x = {c->point[k].ps - c->point[at].ps, c->point[at].bytes - c->point[k].bytes,
                       c->count};
            if (next < 0 || by_slope(&x, &best) < 0) {
                best = x;
                next = k;
            }
        }
        s->v[s->n++] = best;
        at = next;
    }
}

/* The multiplier with the highest bound: the slope at which freeing bytes, the cheapest first,
 * meets the budget. */
static void set_bound(Arena *a, const MixClass *c, int n, int64_t budget, Mix *m)
{
    Slopes s = {0};
    int64_t bytes = 0;
    int most = 0;
    for (int k = 0; k < n; k++) {
        most += c[k].n;
        bytes = plus(bytes, times(c[k].point[c[k].n - 1].bytes, c[k].count));
    }
    s.v = arena_array(a, Slope, most + 1);
    for (int k = 0; k < n; k++)
        add_slopes(&c[k], &s);
    qsort(s.v, (size_t)s.n, sizeof *s.v, by_slope);
    m->lambda_num = 0;
    m->lambda_den = 1;
    for (int k = 0; k < s.n && bytes > budget; k++) {
        bytes -= times(s.v[k].bytes, s.v[k].count);
        m->lambda_num = s.v[k].ps;
        m->lambda_den = s.v[k].bytes;
    }
    m->lower_ps = mix_bound(c, n, budget, m->lambda_num, m->lambda_den);
}

Mix frontier_bound(Arena *a, const MixClass *c, int n, int64_t budget)
{
    Mix m = {.exact = true};
    for (int k = 0; k < n; k++)
        m.least_bytes = plus(m.least_bytes, times(c[k].point[0].bytes, c[k].count));
    m.fits = m.least_bytes <= budget;
    if (m.fits)
        set_bound(a, c, n, budget, &m);
    return m;
}

Mix frontier_mix(Arena *a, const MixClass *c, int n, int64_t budget)
{
    Mix m = frontier_bound(a, c, n, budget);
    m.choice = arena_array(a, MixChoice, n > 0 ? n : 1);
    if (!m.fits)
        return m;
    Arena *scratch = arena_new();
    Sums *own = arena_array(scratch, Sums, n + 1), *sum = arena_array(scratch, Sums, n + 1);
    Sum none = {0}, best = {0};
    sum[0] = (Sums){.v = &none, .n = 1};
    for (int k = 0; k < n; k++) {
        own[k] = own_pairs(scratch, &c[k], &m.exact);
        if (k + 1 == n)
            break;
        own[k] = thinned(scratch, &own[k], MOST_SUMS, &m.exact);
        Sums all = add_lists(scratch, &sum[k], &own[k], budget);
        sum[k + 1] = thinned(scratch, &all, MOST_SUMS, &m.exact);
    }
    if (n > 0 && !best_two(&sum[n - 1], &own[n - 1], budget, &best))
        BUG("%lld bytes fit %lld, and no mix was found", (long long)m.least_bytes,
            (long long)budget);
    m.bytes = best.bytes;
    m.ps = best.ps;
    for (int k = n - 1; k >= 0; k--) {
        m.choice[k] = own[k].v[best.list].own;
        best = sum[k].v[best.before];
    }
    arena_free(scratch);
    return m;
}
