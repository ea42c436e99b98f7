/* plan_fixture.h - plans made by hand (plan_random.h: at random), for the tests of what is said
 * about a plan.
 *
 * Lifetimes are found by walking the whole trace of a program (every round, every chunk of a
 * region) and asking which value each read gets: an oracle that shares no rule with the verifier.
 * Offsets are first fit. */
#ifndef PLAN_FIXTURE_H
#define PLAN_FIXTURE_H

#include "planner/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Fix {
    Arena *a;
    Diag *d;
    Model *m;
    Plan *p;
    Instance instance[64];
    uint64_t seed;
} Fix;

static inline uint64_t fix_next(Fix *f)
{
    f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
    return f->seed >> 33;
}
static inline int fix_roll(Fix *f, int n)
{
    return (int)(fix_next(f) % (uint64_t)n);
}

static inline Fix *fix_new(Arena *a, uint64_t seed)
{
    Fix *f = arena_make(a, Fix);
    f->a = a;
    f->d = diag_new(a, sources_new(a), NULL);
    f->seed = seed * 0x9E3779B97F4A7C15u + 1;
    f->m = arena_make(a, Model);
    f->m->arena = a;
    f->m->name = "Tiny";
    f->m->file = "some/where/tiny.bm";
    Optimizer o = {.kind = OPT_ADAMW, .lr = 1e-3};
    vec_push(a, &f->m->optimizer, o);
    f->p = arena_make(a, Plan);
    f->p->arena = a;
    f->p->model = f->m;
    f->p->hash = 0x0123456789abcdefu;
    f->p->ranks = f->p->shared_by = 1;
    f->p->fused = true;
    f->instance[0] = (Instance){"", "Tiny", -1, 0};
    f->p->instance = f->instance;
    f->p->n_instance = 1;
    return f;
}

static inline void fix_program(Fix *f, ProgramKind k, int64_t micro, int64_t rounds, int64_t region)
{
    ProgramPlan *g = &f->p->program[k];
    *g = (ProgramPlan){.present = true,
                       .micro_batch = micro,
                       .rounds = rounds,
                       .region_samples = region,
                       .norm = {-1, 0},
                       .logits = {-1, 0}};
    if (k == PROGRAM_TRAIN) {
        f->p->micro_batch = micro;
        f->p->rounds = rounds;
        f->p->batch = micro * rounds;
    }
}

static inline int fix_instance(Fix *f, const char *path, const char *block)
{
    int i = f->p->n_instance++;
    f->instance[i] = (Instance){path, block, 0, i};
    return i;
}

static inline int fix_buffer(Fix *f, const char *path, BufferRole role, int64_t elems, bool batched,
                             ProgramKind program, int region)
{
    const ProgramPlan *g = &f->p->program[program];
    Buffer b = {.id = f->p->buffer.n,
                .path = path,
                .role = role,
                .dtype = DT_F32,
                .batched = batched,
                .program = program,
                .region = region,
                .leaf = -1,
                .group = -1,
                .sample_bytes = batched ? elems * 4 : 0};
    b.bytes = elems * 4 * (batched ? region ? g->region_samples : g->micro_batch : 1);
    b.persistent =
        role == ROLE_PARAM || role == ROLE_STATE || role == ROLE_BUFFER || role == ROLE_HOST;
    vec_push(f->a, &f->p->buffer, b);
    return b.id;
}

static inline int fix_param(Fix *f, const char *path, int64_t elems)
{
    Param a = {.path = path,
               .type = {DT_F32, false, 1, {elems}},
               .init = {.kind = INIT_NORMAL, .a = 0.02}};
    vec_push(f->a, &f->m->param, a);
    int b = fix_buffer(f, path, ROLE_PARAM, elems, false, PROGRAM_TRAIN, 0);
    f->p->buffer.v[b].leaf = f->m->param.n - 1;
    return b;
}

static inline int fix_state(Fix *f, int param, const char *kind, int64_t elems)
{
    State s = {param, kind};
    vec_push(f->a, &f->m->state, s);
    int b = fix_buffer(f, arena_printf(f->a, "%s.%s", f->m->param.v[param].path, kind), ROLE_STATE,
                       elems, false, PROGRAM_TRAIN, 0);
    f->p->buffer.v[b].leaf = f->m->state.n - 1;
    return b;
}

static inline int64_t fix_elems(const Fix *f, int buffer)
{
    const Buffer *b = &f->p->buffer.v[buffer];
    return (b->batched ? b->sample_bytes : b->bytes) / 4;
}

static inline Step *fix_step(Fix *f, ProgramKind g, Phase phase, const char *path, Kernel *k,
                             const int *arg)
{
    k->id = f->p->kernel.n;
    k->name = arena_printf(f->a, "k%d_test", k->id);
    k->what = "test";
    k->units = 1;
    k->flops = 10;
    k->bytes = 100;
    vec_push(f->a, &f->p->kernel, k);
    Step s = {.id = f->p->step.n,
              .program = g,
              .phase = phase,
              .kernel = k,
              .path = path,
              .what = "what it does",
              .at = NO_SPAN,
              .wait = {-1, -1, -1},
              .group = -1};
    s.arg = arena_array(f->a, Operand, k->n_arg);
    for (int i = 0; i < k->n_arg; i++) {
        s.arg[i].buffer = arg[i];
        k->arg_dtype[i] = f->p->buffer.v[arg[i]].dtype;
    }
    vec_push(f->a, &f->p->step, s);
    return &f->p->step.v[s.id];
}

/* out = some function of the n inputs, elementwise; an input of another size gives its first
 * element. */
static inline Step *fix_map(Fix *f, ProgramKind g, Phase phase, const char *path, int out,
                            const int *in, int n)
{
    Kernel *k = arena_make(f->a, Kernel);
    int arg[24];
    bool batched = f->p->buffer.v[out].batched;
    int64_t elems = fix_elems(f, out);
    Fused *u = &k->fused;
    k->kind = K_FUSED;
    k->batched = batched;
    u->n_axis = batched ? 2 : 1;
    u->extent[0] = batched ? 1 : elems;
    u->extent[1] = batched ? elems : 0;
    for (int i = 0; i <= n; i++) {
        int b = i < n ? in[i] : out;
        int at = 0;
        while (at < k->n_arg && arg[at] != b)
            at++;
        arg[at] = b;
        k->n_arg += at == k->n_arg;
        k->arg_written[at] |= i == n;
        Access c = {.arg = at, .dtype = DT_F32};
        int axis = batched ? 1 : 0;
        c.stride[axis] = fix_elems(f, b) == elems ? 1 : 0;
        if (batched)
            c.stride[0] = f->p->buffer.v[b].batched ? fix_elems(f, b) : 0;
        vec_push(f->a, &u->access, c);
        Ins s = {.kind = i < n ? I_LOAD : I_STORE,
                 .dtype = DT_F32,
                 .in = {i < n ? -1 : 0, -1, -1},
                 .acc = i};
        vec_push(f->a, &u->ins, s);
    }
    return fix_step(f, g, phase, path, k, arg);
}

/* acc += the samples of x, one after the other. */
static inline Step *fix_batch(Fix *f, ProgramKind g, Phase phase, const char *path, int acc, int x)
{
    Kernel *k = arena_make(f->a, Kernel);
    k->kind = K_BATCH;
    k->n_arg = 2;
    k->arg_written[1] = true;
    k->uses_first = k->uses_count = true;
    k->tpl.accumulates = true;
    k->tpl.cols = fix_elems(f, acc);
    k->tpl.n_view = 1;
    k->tpl.view[0] =
        (View){.batch_stride = fix_elems(f, x), .ndim = 1, .dim = {k->tpl.cols}, .stride = {1}};
    return fix_step(f, g, phase, path, k, (int[]){x, acc});
}

/* ---- lifetimes by walking the trace ---- */

typedef struct FixAt {
    int step;
    bool begins, ends; /* a turn of a loop */
} FixAt;
typedef struct FixTrace {
    VEC(FixAt) at;
} FixTrace;

static inline void fix_turn(Fix *f, FixTrace *t, ProgramKind kind, Phase phase)
{
    const ProgramPlan *g = &f->p->program[kind];
    int64_t chunks =
        g->region_samples ? (g->micro_batch + g->region_samples - 1) / g->region_samples : 1;
    int from = t->at.n, n = f->p->step.n;
    for (int i = 0; i < n; i++) {
        const Step *s = &f->p->step.v[i];
        if (s->program != kind || s->phase != phase)
            continue;
        int end = i;
        while (s->region && end + 1 < n && f->p->step.v[end + 1].region == s->region)
            end++;
        for (int64_t c = 0; c < (s->region ? chunks : 1); c++)
            for (int k = i; k <= end; k++)
                vec_push(f->a, &t->at, ((FixAt){k, false, false}));
        i = end;
    }
    if (t->at.n > from)
        t->at.v[from].begins = t->at.v[t->at.n - 1].ends = true;
}

static inline FixTrace fix_trace(Fix *f, ProgramKind kind)
{
    FixTrace t = {0};
    for (int ph = 0; ph < N_PHASES; ph++) {
        bool loop = ph == PHASE_WEIGHT || ph == PHASE_ROUND;
        for (int64_t r = 0; r < (loop ? f->p->program[kind].rounds : 1); r++)
            fix_turn(f, &t, kind, (Phase)ph);
    }
    return t;
}

static inline void fix_live(const FixTrace *t, Buffer *b, int from, int to)
{
    for (int i = from; i <= to; i++) {
        int s = t->at.v[i].step;
        b->first = b->first < 0 || s < b->first ? s : b->first;
        b->last = b->last < s ? s : b->last;
    }
}

static inline bool fix_arg_read(const Kernel *k, int arg)
{
    if (k->kind != K_FUSED)
        return !k->arg_written[arg];
    for (int i = 0; i < k->fused.ins.n; i++)
        if (k->fused.ins.v[i].kind == I_LOAD && k->fused.access.v[k->fused.ins.v[i].acc].arg == arg)
            return true;
    return false;
}

/* The host reads buffer b: after each round (a field), or when its program ends. */
static inline bool fix_result(const Fix *f, const Buffer *b, bool field)
{
    const ProgramPlan *g = &f->p->program[b->program];
    if (!field && (g->norm.buffer == b->id || g->logits.buffer == b->id))
        return true;
    for (int i = 0; i < f->p->term.n; i++) {
        const LossTerm *t = &f->p->term.v[i];
        if (t->program == b->program && t->field == field &&
            (t->num.buffer == b->id || t->den.buffer == b->id))
            return true;
    }
    return false;
}

static inline void fix_trace_buffer(Fix *f, const FixTrace *t, Buffer *b)
{
    int def = -1, turn = 0, def_turn = -1;
    bool accumulated = false;
    for (int i = 0; i < t->at.n; i++) {
        const Step *s = &f->p->step.v[t->at.v[i].step];
        bool loop = s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND;
        turn += t->at.v[i].begins;
        if (b->role == ROLE_INPUT && loop && t->at.v[i].begins)
            fix_live(t, b, def = i, i); /* the trainer writes it as the turn begins */
        for (int k = 0; k < s->kernel->n_arg; k++) {
            if (s->arg[k].buffer != b->id)
                continue;
            bool adds = s->kernel->arg_written[k] &&
                        (s->kernel->tpl.accumulates || s->kernel->gemm.accumulates);
            if ((fix_arg_read(s->kernel, k) || (adds && accumulated)) && def >= 0)
                fix_live(t, b, def, i);
            if (!s->kernel->arg_written[k])
                continue;
            /* a chunk of a whole micro-batch's buffer leaves the round's other chunks */
            bool part = s->region && b->batched && !b->region && def_turn == turn;
            if (def < 0 || (!adds && !part)) {
                def = i;
                def_turn = turn;
            }
            fix_live(t, b, i, i);
            accumulated |= adds;
        }
        if (def >= 0 && t->at.v[i].ends && s->phase == PHASE_ROUND && fix_result(f, b, true))
            fix_live(t, b, def, i);
    }
    if (def >= 0 && fix_result(f, b, false))
        fix_live(t, b, def, t->at.n - 1);
}

/* ---- offsets, totals ---- */

static inline void fix_offsets(Fix *f)
{
    Plan *p = f->p;
    int64_t top = 0;
    for (int i = 0; i < p->buffer.n; i++)
        if (p->buffer.v[i].persistent) {
            p->buffer.v[i].offset = top;
            top += round_up(p->buffer.v[i].bytes, ARENA_ALIGN);
        }
    p->persistent_bytes = p->arena_bytes = top;
    for (int i = 0; i < p->buffer.n; i++) {
        Buffer *b = &p->buffer.v[i];
        if (b->persistent)
            continue;
        b->offset = top;
        for (int k = 0; k < p->buffer.n; k++) {
            const Buffer *o = &p->buffer.v[k];
            if (k >= i || o->persistent || o->last < b->first || b->last < o->first ||
                o->offset >= b->offset + round_up(b->bytes, ARENA_ALIGN) ||
                o->offset + round_up(o->bytes, ARENA_ALIGN) <= b->offset)
                continue;
            b->offset = o->offset + round_up(o->bytes, ARENA_ALIGN);
            k = -1;
        }
        p->arena_bytes = max64(p->arena_bytes, b->offset + round_up(b->bytes, ARENA_ALIGN));
    }
    for (int s = 0; s < p->step.n; s++) {
        int64_t live = 0;
        for (int i = 0; i < p->buffer.n; i++)
            if (!p->buffer.v[i].persistent && p->buffer.v[i].first <= s && s <= p->buffer.v[i].last)
                live += round_up(p->buffer.v[i].bytes, ARENA_ALIGN);
        if (live > p->max_live_bytes) {
            p->max_live_bytes = live;
            p->max_live_step = s;
        }
    }
    p->offsets_proved = p->arena_bytes == p->persistent_bytes + p->max_live_bytes;
}

/* Numbers the phases, finds lifetimes and offsets. */
static inline Plan *fix_finish(Fix *f)
{
    Plan *p = f->p;
    int at = 0;
    for (int g = 0; g < N_PROGRAMS; g++)
        for (int ph = 0; ph < N_PHASES; ph++) {
            p->program[g].first[ph] = at;
            while (at < p->step.n && (int)p->step.v[at].program == g &&
                   (int)p->step.v[at].phase == ph)
                at++;
            p->program[g].count[ph] = at - p->program[g].first[ph];
        }
    if (at != p->step.n)
        BUG("the fixture's steps are not in order at %d", at);
    for (int i = 0; i < p->buffer.n; i++) {
        Buffer *b = &p->buffer.v[i];
        b->first = b->persistent ? 0 : -1;
        b->last = b->persistent ? p->step.n - 1 : -1;
    }
    for (int g = 0; g < N_PROGRAMS; g++) {
        FixTrace t = fix_trace(f, (ProgramKind)g);
        for (int i = 0; i < p->buffer.n && p->program[g].present; i++)
            if (!p->buffer.v[i].persistent && (int)p->buffer.v[i].program == g)
                fix_trace_buffer(f, &t, &p->buffer.v[i]);
    }
    fix_offsets(f);
    return p;
}

/* A whole small training plan: two blocks, an average with its weight, accumulators, a norm, AdamW;
 * with `region` samples of the loss at once. Then an evaluation of the same. */
static inline void fix_small_eval(Fix *f, int w)
{
    ProgramKind g = PROGRAM_EVAL;
    int x = fix_buffer(f, "x", ROLE_INPUT, 8, true, g, 0);
    int y = fix_buffer(f, "h.0.y", ROLE_TEMP, 100, true, g, 0);
    int loss = fix_buffer(f, "loss", ROLE_GRAD, 1, false, g, 0);
    int each = fix_buffer(f, "each", ROLE_TEMP, 1, true, g, 0);
    fix_map(f, g, PHASE_ROUND, "h.0", y, (int[]){x, w}, 2);
    fix_map(f, g, PHASE_ROUND, "loss", each, &y, 1);
    fix_batch(f, g, PHASE_ROUND, "loss", loss, each);
    LossTerm t = {.name = "loss", .coef = 1, .num = {loss, 0}, .den = {-1, 0}, .program = g};
    LossTerm e = {.name = "each",
                  .coef = 1,
                  .num = {each, 0},
                  .den = {-1, 0},
                  .program = g,
                  .report = true,
                  .field = true,
                  .dtype = DT_F32,
                  .count = 1};
    vec_push(f->a, &f->p->term, t);
    vec_push(f->a, &f->p->term, e);
}

static inline Plan *fix_small(Arena *a, int64_t micro, int64_t rounds, int64_t region)
{
    Fix *f = fix_new(a, 1);
    ProgramKind g = PROGRAM_TRAIN;
    fix_program(f, PROGRAM_TRAIN, micro, rounds, region);
    fix_program(f, PROGRAM_EVAL, 2, 3, 0);
    int in_h[2] = {fix_instance(f, "h.0", "Layer"), fix_instance(f, "h.1", "Layer")};
    int w[2], m[2], h[2], dw[2], dh[2];
    for (int i = 0; i < 2; i++) {
        w[i] = fix_param(f, arena_printf(a, "h.%d.weight", i), 100);
        m[i] = fix_state(f, i, "exp_avg", 100);
    }
    int lr = fix_buffer(f, "lr", ROLE_HOST, 1, false, g, 0);
    int x = fix_buffer(f, "x", ROLE_INPUT, 100, true, g, 0);
    int den = fix_buffer(f, "loss.weight", ROLE_GRAD, 1, false, g, 0);
    int ones = fix_buffer(f, "loss.ones", ROLE_TEMP, 1, true, g, 0);
    int scale = fix_buffer(f, "loss.scale", ROLE_TEMP, 1, false, g, 0);
    int loss = fix_buffer(f, "loss", ROLE_GRAD, 1, false, g, 0);
    int norm = fix_buffer(f, "norm", ROLE_TEMP, 1, false, g, 0);
    int rg = region ? 1 : 0;
    int logits = fix_buffer(f, "logits", ROLE_TEMP, 500, true, g, rg);
    int each = fix_buffer(f, "loss.each", ROLE_TEMP, 1, true, g, rg);
    int top = fix_buffer(f, "dlogits", ROLE_TEMP, 100, true, g, 0);
    for (int i = 0; i < 2; i++) {
        h[i] = fix_buffer(f, arena_printf(a, "h.%d.gelu", i), ROLE_SAVED, 100, true, g, 0);
        dh[i] = fix_buffer(f, arena_printf(a, "h.%d.dgelu", i), ROLE_TEMP, 100, true, g, 0);
        dw[i] = fix_buffer(f, arena_printf(a, "h.%d.weight.grad", i), ROLE_GRAD, 100, false, g, 0);
    }
    fix_map(f, g, PHASE_WEIGHT, "loss", ones, &x, 1);
    fix_batch(f, g, PHASE_WEIGHT, "loss", den, ones);
    fix_map(f, g, PHASE_MID, "loss", scale, &den, 1);
    for (int i = 0; i < 2; i++)
        fix_map(f, g, PHASE_ROUND, i ? "h.1" : "h.0", h[i], (int[]){i ? h[0] : x, w[i]}, 2)
            ->instance = in_h[i];
    fix_map(f, g, PHASE_ROUND, "head", logits, &h[1], 1)->region = rg;
    fix_map(f, g, PHASE_ROUND, "loss", each, &logits, 1)->region = rg;
    fix_batch(f, g, PHASE_ROUND, "loss", loss, each)->region = rg;
    fix_map(f, g, PHASE_ROUND, "head", top, (int[]){logits, scale}, 2)->region = rg;
    for (int i = 1; i >= 0; i--) {
        Step *s = fix_map(f, g, PHASE_ROUND, i ? "h.1" : "h.0", dh[i],
                          (int[]){i ? top : dh[1], h[i], w[i]}, 3);
        s->instance = in_h[i];
        s->backward = true;
        s = fix_batch(f, g, PHASE_ROUND, i ? "h.1" : "h.0", dw[i], dh[i]);
        s->instance = in_h[i];
        s->backward = true;
    }
    fix_map(f, g, PHASE_POST, "norm", norm, dw, 2);
    for (int i = 0; i < 2; i++) {
        fix_map(f, g, PHASE_UPDATE, i ? "h.1" : "h.0", m[i], (int[]){m[i], dw[i], norm}, 3)
            ->instance = in_h[i];
        fix_map(f, g, PHASE_UPDATE, i ? "h.1" : "h.0", w[i], (int[]){w[i], m[i], lr}, 3)->instance =
            in_h[i];
    }
    f->p->program[g].norm.buffer = norm;
    LossTerm t = {.name = "loss", .coef = 1, .num = {loss, 0}, .den = {den, 0}, .program = g};
    vec_push(a, &f->p->term, t);
    fix_small_eval(f, w[0]);
    return fix_finish(f);
}

#endif
