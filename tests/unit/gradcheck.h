/* gradcheck.h - gradients of a small graph against central differences, all in double. */
#ifndef BM_GRADCHECK_H
#define BM_GRADCHECK_H

#include "frontend/graph/model.h"
#include "tests/interp/interp.h"

#include <math.h>
#include <stdlib.h>

enum { CHECK_BATCH = 3, MAX_LEAVES = 16 };

/* How a leaf's values are drawn, so that no kink is nearer than 1e-2. */
typedef enum Draw {
    ANY,      /* -2 .. 2, at least 0.05 from 0 */
    POSITIVE, /* 0.3 .. 2.3 */
    DISTINCT, /* as ANY, any two of one tensor at least 0.02 apart, and from another's */
    INDEX,    /* ints 0 .. below - 1 */
    COIN      /* bools */
} Draw;

typedef struct Check {
    Arena *arena;
    Diag *diag;
    Graph *g;
    uint64_t seed;
    int n_leaf;
    Node *leaf[MAX_LEAVES];
    double *value[MAX_LEAVES];
    Draw draw[MAX_LEAVES];
} Check;

static inline double check_uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

static inline Check check_new(uint64_t seed)
{
    Check c = {.arena = arena_new(), .seed = seed};
    c.diag = diag_new(c.arena, sources_new(c.arena), NULL);
    c.g = graph_new(c.arena, c.diag);
    vec_push(c.arena, &c.g->instance, ((Instance){"", "Test", -1, 0}));
    return c;
}

static inline double draw_value(Check *c, Draw d, int64_t i, int64_t n, int64_t below)
{
    double u = check_uniform(&c->seed);
    switch (d) {
    case ANY:
        return (u < 0.5 ? -1 : 1) * (0.05 + 1.95 * check_uniform(&c->seed));
    case POSITIVE:
        return 0.3 + 2 * u;
    case DISTINCT: /* shuffled below */
        return ((double)i - (double)n / 2 + 0.3) * 0.1 + 0.015 * (c->n_leaf % 3) + 0.002 * u;
    case INDEX:
        return floor(u * (double)below);
    case COIN:
        return u < 0.5;
    }
    return 0;
}

/* A new leaf with values; floats get their gradient checked. */
static inline Node *leaf_of(Check *c, Draw d, bool batched, int ndim, const int64_t *dim,
                            int64_t below)
{
    Type t = {.dtype = d == INDEX  ? DT_INT
                       : d == COIN ? DT_BOOL
                                   : DT_F32,
              .batched = batched,
              .ndim = ndim};
    for (int i = 0; i < ndim; i++)
        t.dim[i] = dim[i];
    Attr a = {.leaf = {c->n_leaf}};
    Node *n = graph_add(c->g, OP_INPUT, NULL, 0, &a, &t);
    int64_t count = type_count(&t) * (batched ? CHECK_BATCH : 1);
    double *v = arena_array(c->arena, double, count);
    for (int64_t i = 0; i < count; i++)
        v[i] = draw_value(c, d, i, count, below);
    for (int64_t i = count - 1; i > 0 && d == DISTINCT; i--) {
        int64_t j = (int64_t)(check_uniform(&c->seed) * (double)(i + 1));
        double x = v[i];
        v[i] = v[j];
        v[j] = x;
    }
    c->leaf[c->n_leaf] = n;
    c->draw[c->n_leaf] = d;
    c->value[c->n_leaf++] = v;
    return n;
}

#define DIMS(...)                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define BATCHED(c, draw, ...) leaf_of(c, draw, true, DIMS(__VA_ARGS__), 0)
#define PLAIN(c, draw, ...)   leaf_of(c, draw, false, DIMS(__VA_ARGS__), 0)

static inline const double *check_leaf(void *ctx, const Node *n)
{
    Check *c = ctx;
    return c->value[n->attr.leaf.leaf];
}

/* Any fixed function of its arguments will do: the gradient must see the forward's numbers. */
static inline double check_random(void *ctx, int site, bool per_step, int64_t sample,
                                  int64_t element)
{
    (void)ctx;
    uint64_t s = (uint64_t)(site * 7919 + per_step) * 104729u + (uint64_t)sample * 1299709u +
                 (uint64_t)element * 15485863u;
    check_uniform(&s);
    check_uniform(&s);
    return check_uniform(&s);
}

static inline Interp check_interp(Check *c)
{
    return (Interp){.arena = c->arena,
                    .g = c->g,
                    .batch = CHECK_BATCH,
                    .leaf = check_leaf,
                    .random = check_random,
                    .ctx = c};
}

/* Values of `n`, in a fresh copy. */
static inline double *check_run(Check *c, Node *n)
{
    Interp it = check_interp(c);
    interp_run(&it, &n, 1);
    return it.value[n->id];
}

static inline int64_t check_count(const Node *n)
{
    return type_count(&n->type) * (n->type.batched ? CHECK_BATCH : 1);
}

static inline double weighted(Check *c, Node *y, const double *w)
{
    Mark m = arena_mark(c->arena);
    double *v = check_run(c, y), sum = 0;
    for (int64_t i = 0; i < check_count(y); i++)
        sum += v[i] * w[i];
    arena_rewind(c->arena, m);
    return sum;
}

/* max |d| / (max |g| + 1e-3) between `got` and the central differences of sum w y by leaf k. */
static inline double difference(Check *c, int k, const double *got, Node *y, const double *w)
{
    const double h = 1e-5;
    double worst = 0, size = 0;
    for (int64_t i = 0; i < check_count(c->leaf[k]); i++) {
        double x = c->value[k][i];
        c->value[k][i] = x + h;
        double up = weighted(c, y, w);
        c->value[k][i] = x - h;
        double slope = (up - weighted(c, y, w)) / (2 * h);
        c->value[k][i] = x;
        worst = fmax(worst, isfinite(got[i]) ? fabs(got[i] - slope) : INFINITY);
        size = fmax(size, fabs(slope));
    }
    return worst / (size + 1e-3);
}

#endif
