/* gen_offsets.h - instances of static allocation for the tests and for measuring.
 *
 * train:   the life of tensors in one training step of a transformer: saved activations,
 * transients, gradients, gathered parameters that arrive early, optional recompute. perfect: a
 * rectangle cut at random into n boxes, so that the best height is known (no gap anywhere) and hard
 * to find again. random:  n boxes at random; nothing is known. */
#ifndef BM_TESTS_GEN_OFFSETS_H
#define BM_TESTS_GEN_OFFSETS_H

#include "frontend/base/vec.h"
#include "planner/offsets.h"

typedef struct Gen {
    Arena *arena;
    VEC(OffsetItem) item;
    int64_t step;
    uint64_t state;
    int jitter; /* per cent added to a size at most */
} Gen;

typedef struct GenTrain {
    int blocks;
    int lead;        /* blocks a gather runs ahead; -1: parameters are not gathered */
    bool recompute;  /* norms and gelu are computed again in backward */
    bool keep_grads; /* weight gradients live to the end of the step, else to their reduction */
    int jitter;      /* per cent */
    int64_t hidden, tokens, vocab;
} GenTrain;

/* splitmix64 */
static inline uint64_t gen_bits(Gen *g)
{
    uint64_t z = g->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* lo..hi, both included */
static inline int64_t gen_range(Gen *g, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(gen_bits(g) % (uint64_t)(hi - lo + 1));
}

/* A tensor written in this step. */
static inline int gen_make(Gen *g, int64_t bytes)
{
    bytes += g->jitter ? bytes / 100 * gen_range(g, 0, g->jitter) : 0;
    vec_push(g->arena, &g->item, ((OffsetItem){bytes, g->step, g->step, 0, -1}));
    return g->item.n - 1;
}

/* ... and read in this one. */
static inline void gen_read(Gen *g, int tensor)
{
    g->item.v[tensor].last = g->step;
}

/* One step: reads a and b (-1: nothing), writes a new tensor. */
static inline int gen_op(Gen *g, int a, int b, int64_t bytes)
{
    g->step++;
    if (a >= 0)
        gen_read(g, a);
    if (b >= 0)
        gen_read(g, b);
    return gen_make(g, bytes);
}

typedef struct GenBlock {
    int in, norm1, qkv, stats, att, mid, norm2, up, act; /* saved for backward */
    int weights;
} GenBlock;

static inline int gen_forward(Gen *g, const GenTrain *t, GenBlock *b, int x)
{
    int64_t act = 2 * t->tokens * t->hidden;
    b->in = x;
    b->norm1 = gen_op(g, x, -1, act);
    b->qkv = gen_op(g, b->norm1, b->weights, 3 * act);
    b->att = gen_op(g, b->qkv, -1, act);
    b->stats = gen_make(g, 4 * t->tokens * 16);
    int proj = gen_op(g, b->att, b->weights, act);
    b->mid = gen_op(g, proj, x, act);
    b->norm2 = gen_op(g, b->mid, -1, act);
    b->up = gen_op(g, b->norm2, b->weights, 4 * act);
    b->act = gen_op(g, b->up, -1, 4 * act);
    int down = gen_op(g, b->act, b->weights, act);
    return gen_op(g, down, b->mid, act);
}

/* A weight gradient: reduced two steps later, or kept to the end (marked by last = INT64_MAX). */
static inline void gen_grad(Gen *g, const GenTrain *t, int64_t bytes)
{
    int x = gen_make(g, bytes);
    g->item.v[x].last = t->keep_grads ? INT64_MAX - 1 : g->step + 2;
}

static inline int gen_backward(Gen *g, const GenTrain *t, const GenBlock *b, int dy)
{
    int64_t act = 2 * t->tokens * t->hidden, w = 2 * t->hidden * t->hidden;
    int gelu = t->recompute ? gen_op(g, b->up, -1, 4 * act) : b->act;
    int dact = gen_op(g, dy, gelu, 4 * act);
    gen_read(g, b->weights >= 0 ? b->weights : dy);
    gen_grad(g, t, 4 * w);
    int dup = gen_op(g, dact, b->up, 4 * act);
    int norm2 = t->recompute ? gen_op(g, b->mid, -1, act) : b->norm2;
    int dnorm2 = gen_op(g, dup, norm2, act);
    gen_grad(g, t, 4 * w);
    int dmid = gen_op(g, dnorm2, b->mid, act);
    gen_read(g, dy);
    int datt = gen_op(g, dmid, b->att, act);
    gen_grad(g, t, w);
    int dqkv = gen_op(g, datt, b->qkv, 3 * act);
    gen_read(g, b->stats);
    gen_read(g, b->att);
    int norm1 = t->recompute ? gen_op(g, b->in, -1, act) : b->norm1;
    int dnorm1 = gen_op(g, dqkv, norm1, act);
    gen_grad(g, t, 3 * w);
    int dx = gen_op(g, dnorm1, b->in, act);
    gen_read(g, dmid);
    return dx;
}

static inline void gen_train(Gen *g, const GenTrain *t)
{
    int64_t act = 2 * t->tokens * t->hidden, gathered = 24 * t->hidden * t->hidden;
    int n = t->blocks;
    g->jitter = t->jitter;
    GenBlock *b = arena_array(g->arena, GenBlock, n);
    int x = gen_op(g, -1, -1, act), next = 0;
    for (int i = 0; i < n; i++) {
        for (; t->lead >= 0 && next < n && next <= i + t->lead; next++)
            b[next].weights = gen_op(g, -1, -1, gathered);
        if (t->lead < 0)
            b[i].weights = -1;
        x = gen_forward(g, t, &b[i], x);
    }
    int logits = gen_op(g, x, -1, 2 * t->tokens * t->vocab);
    int dlogits = gen_op(g, logits, -1, 2 * t->tokens * t->vocab);
    int dx = gen_op(g, dlogits, x, act);
    gen_grad(g, t, 2 * t->hidden * t->vocab);
    next = n - 1;
    for (int i = n - 1; i >= 0; i--) {
        for (; t->lead >= 0 && next >= 0 && next >= i - t->lead; next--)
            b[next].weights = gen_op(g, -1, -1, gathered);
        dx = gen_backward(g, t, &b[i], dx);
    }
    g->step += 3;
    for (int i = 0; i < g->item.n; i++)
        g->item.v[i].last = min64(g->item.v[i].last, g->step);
}

/* width steps x height bytes, cut n - 1 times: the best height is `height`. */
static inline void gen_perfect(Gen *g, int n, int64_t width, int64_t height)
{
    typedef struct Cut {
        int64_t t0, t1, y0, y1;
    } Cut;
    Cut *c = arena_array(g->arena, Cut, n);
    int have = 1;
    c[0] = (Cut){0, width, 0, height};
    for (int64_t tries = 0; have < n && tries < 100 * (int64_t)n; tries++) {
        Cut *a = &c[gen_range(g, 0, have - 1)];
        for (int k = 0; k < 4; k++) { /* mostly a large one */
            Cut *b = &c[gen_range(g, 0, have - 1)];
            a = (b->t1 - b->t0) * (b->y1 - b->y0) > (a->t1 - a->t0) * (a->y1 - a->y0) ? b : a;
        }
        bool in_time = gen_range(g, 0, 1);
        int64_t lo = in_time ? a->t0 : a->y0, hi = in_time ? a->t1 : a->y1;
        if (hi - lo < 2)
            continue;
        int64_t at = gen_range(g, lo + 1, hi - 1);
        c[have] = *a;
        *(in_time ? &a->t1 : &a->y1) = at;
        *(in_time ? &c[have].t0 : &c[have].y0) = at;
        have++;
    }
    for (int i = 0; i < have; i++)
        vec_push(g->arena, &g->item,
                 ((OffsetItem){c[i].y1 - c[i].y0, c[i].t0, c[i].t1 - 1, 0, -1}));
}

static inline void gen_random(Gen *g, int n, int64_t width, int64_t longest, int64_t bytes)
{
    for (int i = 0; i < n; i++) {
        int64_t first = gen_range(g, 0, width - 1);
        int64_t last = min64(first + gen_range(g, 0, longest - 1), width - 1);
        vec_push(g->arena, &g->item, ((OffsetItem){gen_range(g, 1, bytes), first, last, 0, -1}));
    }
}

#endif
