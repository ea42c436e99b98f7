/* plan_random.h - valid plans at random: values, accumulators, regions, work in place. */
#ifndef PLAN_RANDOM_H
#define PLAN_RANDOM_H

#include "tests/unit/plan_fixture.h"

typedef struct FixWorld {
    VEC(int) pre;    /* unbatched values every phase may read */
    VEC(int) sample; /* batched values of this program's rounds */
    VEC(int) acc;    /* accumulators of the rounds */
    int name;
} FixWorld;

static inline const char *fix_name(Fix *f, FixWorld *w, const char *stem)
{
    return arena_printf(f->a, "h.%d.%s%d", fix_roll(f, 4), stem, w->name++);
}

static inline int fix_size(Fix *f)
{
    static const int size[] = {1, 3, 16, 17, 100, 1000};
    return size[fix_roll(f, countof(size))];
}

/* Up to three different values to read. */
static inline int fix_pick(Fix *f, const FixWorld *w, bool batched, int *in)
{
    int n = 0;
    for (int i = 0; i < 3; i++) {
        bool sample = batched && w->sample.n && (i == 0 || fix_roll(f, 2));
        int have = sample ? w->sample.n : w->pre.n;
        if (!have)
            continue;
        int recent = fix_roll(f, 3) && have > 4 ? have - 1 - fix_roll(f, 4) : fix_roll(f, have);
        in[n++] = sample ? w->sample.v[recent] : w->pre.v[recent];
    }
    return n;
}

static inline void fix_random_round(Fix *f, FixWorld *w, ProgramKind g, int steps, int region)
{
    int in[3];
    VEC(int) chunk = {0};
    for (int i = 0; i < steps; i++) {
        const char *path = fix_name(f, w, "r");
        int kind = fix_roll(f, 6);
        if (kind == 0 &&
            w->sample.n) { /* into an accumulator; in a region of what was made there */
            int x = chunk.n ? chunk.v[fix_roll(f, chunk.n)] : w->sample.v[fix_roll(f, w->sample.n)];
            int acc = fix_buffer(f, path, ROLE_GRAD, fix_elems(f, x), false, g, 0);
            fix_batch(f, g, PHASE_ROUND, path, acc, x)->region = region;
            vec_push(f->a, &w->acc, acc);
            continue;
        }
        int n = fix_pick(f, w, true, in);
        if (chunk.n && fix_roll(f, 2))
            in[n < 3 ? n++ : 2] = chunk.v[fix_roll(f, chunk.n)];
        bool in_chunk = region && fix_roll(f, 3);
        if (kind == 1 && n && !region && f->p->buffer.v[in[0]].batched &&
            f->p->buffer.v[in[0]].role != ROLE_INPUT) { /* in place */
            fix_map(f, g, PHASE_ROUND, path, in[0], in, n)->region = region;
            continue;
        }
        int out = fix_buffer(f, path, ROLE_TEMP, fix_size(f), true, g, in_chunk ? region : 0);
        fix_map(f, g, PHASE_ROUND, path, out, in, n)->region = region;
        if (in_chunk)
            vec_push(f->a, &chunk, out);
        else
            vec_push(f->a, &w->sample, out);
    }
}

static inline void fix_random_program(Fix *f, ProgramKind g, const int *param, const int *state,
                                      int n)
{
    FixWorld w = {0};
    int in[3];
    for (int i = 0; i < n; i++)
        vec_push(f->a, &w.pre, param[i]);
    for (int i = fix_roll(f, 3); i > 0; i--) {
        const char *path = fix_name(f, &w, "pre");
        int out = fix_buffer(f, path, ROLE_TEMP, fix_size(f), false, g, 0);
        fix_map(f, g, PHASE_PRE, path, out, in, fix_pick(f, &w, false, in));
        vec_push(f->a, &w.pre, out);
    }
    int x = fix_buffer(f, "x", ROLE_INPUT, fix_size(f), true, g, 0);
    if (fix_roll(f, 2)) {
        int t = fix_buffer(f, "ones", ROLE_TEMP, 1, true, g, 0);
        int den = fix_buffer(f, "den", ROLE_GRAD, 1, false, g, 0);
        int inv = fix_buffer(f, "inv", ROLE_TEMP, 1, false, g, 0);
        fix_map(f, g, PHASE_WEIGHT, "w", t, &x, 1);
        fix_batch(f, g, PHASE_WEIGHT, "w", den, t);
        fix_map(f, g, PHASE_MID, "w", inv, &den, 1);
        vec_push(f->a, &w.pre, inv);
    }
    vec_push(f->a, &w.sample, x);
    fix_map(f, g, PHASE_ROUND, "uses.x", fix_buffer(f, "uses.x", ROLE_TEMP, 5, true, g, 0), &x, 1);
    fix_random_round(f, &w, g, 2 + fix_roll(f, 12), 0);
    if (f->p->program[g].region_samples)
        fix_random_round(f, &w, g, 1 + fix_roll(f, 6), 1);
    fix_random_round(f, &w, g, 2 + fix_roll(f, 12), 0);
    for (int i = 0; i < w.acc.n; i++)
        vec_push(f->a, &w.pre, w.acc.v[i]);
    for (int i = fix_roll(f, 4); i > 0; i--) {
        const char *path = fix_name(f, &w, "post");
        int out = fix_buffer(f, path, ROLE_TEMP, fix_size(f), false, g, 0);
        fix_map(f, g, PHASE_POST, path, out, in, fix_pick(f, &w, false, in));
        vec_push(f->a, &w.pre, out);
    }
    if (w.acc.n) {
        LossTerm t = {
            .name = "loss", .coef = 1, .num = {w.acc.v[0], 0}, .den = {-1, 0}, .program = g};
        vec_push(f->a, &f->p->term, t);
    }
    for (int i = 0; i < n && g == PROGRAM_TRAIN; i++) {
        const char *path = fix_name(f, &w, "update");
        int from = w.acc.n ? w.acc.v[fix_roll(f, w.acc.n)] : state[i];
        fix_map(f, g, PHASE_UPDATE, path, state[i], (int[]){state[i], from}, 2);
        fix_map(f, g, PHASE_UPDATE, path, param[i], (int[]){param[i], state[i]}, 2);
    }
}

/* A valid plan: values, accumulators, regions, work in place, up to three programs. */
static inline Plan *fix_random(Arena *a, uint64_t seed)
{
    Fix *f = fix_new(a, seed);
    int64_t micro = 1 + fix_roll(f, 6), region = fix_roll(f, 2) ? 1 + fix_roll(f, (int)micro) : 0;
    fix_program(f, PROGRAM_TRAIN, micro, 1 + fix_roll(f, 3), region);
    if (fix_roll(f, 2))
        fix_program(f, PROGRAM_EVAL, 1 + fix_roll(f, 4), 1 + fix_roll(f, 3), 0);
    if (fix_roll(f, 2))
        fix_program(f, PROGRAM_SAMPLE, 1, 1, 0);
    int param[6], state[6], n = 1 + fix_roll(f, 6);
    for (int i = 0; i < n; i++) {
        int64_t size = fix_size(f);
        param[i] = fix_param(f, arena_printf(a, "h.%d.w", i), size);
        state[i] = fix_state(f, i, "m", size);
    }
    for (int g = 0; g < N_PROGRAMS; g++)
        if (f->p->program[g].present)
            fix_random_program(f, (ProgramKind)g, param, state, n);
    return fix_finish(f);
}

#endif
