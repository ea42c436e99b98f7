/* plan_ranks.h - a plan of several ranks made by hand: blocks at ZeRO-3, the model's own parameter
 * at ZeRO-1, gathers ahead on the comm stream, gradients reduced in the last round, times. */
#ifndef PLAN_RANKS_H
#define PLAN_RANKS_H

#include "tests/unit/plan_fixture.h"

enum { RANKS_MOST = 40, RANKS_ELEMS = 4096 }; /* layers; elements of one parameter */

typedef struct Ranks {
    Fix *f;
    int64_t ranks, shard;
    int n, staging;
    int in[RANKS_MOST], act[RANKS_MOST + 1], grad[RANKS_MOST + 1];
} Ranks;

/* A collective of one segment; `by_rank`: the shard is this rank's part of the whole. */
static inline Step *ranks_coll(Ranks *r, Phase phase, const char *path, KernelKind kind, int whole,
                               int shard, int group)
{
    Fix *f = r->f;
    Kernel *k = arena_make(f->a, Kernel);
    int arg[] = {whole, shard < 0 ? r->staging : shard, r->staging};
    k->kind = kind;
    k->n_arg = shard < 0 ? 2 : 3;
    k->arg_written[0] = kind != K_REDUCE_SCATTER;
    k->arg_written[1] = kind != K_ALL_GATHER || shard < 0;
    k->arg_written[2] = true;
    k->coll.n_segment = 1;
    k->coll.segment[0] = (Segment){r->shard, r->shard};
    k->coll.chunk = 1024;
    Step *s = fix_step(f, PROGRAM_TRAIN, phase, path, k, arg);
    if (whole == shard)
        s->arg[1].by_rank = r->shard * 4;
    s->stream = STREAM_COMM;
    s->group = group;
    s->backward = kind == K_REDUCE_SCATTER;
    s->sent = (r->ranks - 1) * r->shard * 4 * (kind == K_ALL_REDUCE ? 2 : 1);
    s->ps = 3000000;
    s->cls = TIME_NET;
    return s;
}

static inline FlatGroup *ranks_group(Ranks *r, int unit, const char *path, Level level)
{
    Fix *f = r->f;
    bool sharded = level == LEVEL_3;
    int id = f->p->group.n;
    int param = fix_param(f, arena_printf(f->a, "%s%sweight", path, *path ? "." : ""),
                          sharded ? r->shard : RANKS_ELEMS);
    f->m->param.v[id].type.dim[0] = RANKS_ELEMS - 96;
    int state = fix_state(f, id, "exp_avg", r->shard);
    f->p->buffer.v[param].leaf = f->p->buffer.v[state].leaf = -1;
    f->p->buffer.v[param].group = f->p->buffer.v[state].group = id;
    f->p->buffer.v[param].sharded = sharded;
    f->p->buffer.v[state].sharded = true;
    FlatGroup g = {.id = id,
                   .path = path,
                   .unit = unit,
                   .n = 1,
                   .used = RANKS_ELEMS,
                   .shard = r->shard,
                   .level = level,
                   .why = level == LEVEL_3 ? "zero h = 3" : "fewest bytes moved",
                   .params = param,
                   .grads = -1,
                   .grad_shard = -1,
                   .n_state = 1,
                   .state = {state},
                   .host_params = -1,
                   .host_grads = -1};
    g.param = arena_array(f->a, int, 1);
    g.at = arena_array(f->a, int64_t, 1);
    g.param[0] = id;
    vec_push(f->a, &f->p->group, g);
    return &f->p->group.v[id];
}

static inline int ranks_gather(Ranks *r, int layer, bool backward)
{
    Fix *f = r->f;
    const char *path = arena_printf(f->a, "h.%d", layer);
    int whole = fix_buffer(f, arena_printf(f->a, "%s.whole", path), ROLE_GATHERED, RANKS_ELEMS,
                           false, PROGRAM_TRAIN, 0);
    f->p->buffer.v[whole].group = layer + 1;
    Step *s = ranks_coll(r, PHASE_ROUND, path, K_ALL_GATHER, whole, f->p->group.v[layer + 1].params,
                         layer + 1);
    s->instance = r->in[layer];
    s->backward = backward;
    return whole;
}

static inline void ranks_round(Ranks *r)
{
    Fix *f = r->f;
    ProgramKind g = PROGRAM_TRAIN;
    int whole = ranks_gather(r, 0, false), at = f->p->step.n - 1;
    for (int i = 0; i < r->n; i++) { /* the next one's parameters come while this one runs */
        int next = i + 1 < r->n ? ranks_gather(r, i + 1, false) : -1, next_at = f->p->step.n - 1;
        r->act[i + 1] =
            fix_buffer(f, arena_printf(f->a, "h.%d.out", i), ROLE_SAVED, 1000, true, g, 0);
        Step *s = fix_map(f, g, PHASE_ROUND, arena_printf(f->a, "h.%d.fc", i), r->act[i + 1],
                          (int[]){r->act[i], whole}, 2);
        s->instance = r->in[i];
        s->wait[STREAM_COMM] = at;
        s->ps = 5000000;
        s->cls = TIME_MEMORY;
        whole = next;
        at = next_at;
    }
    int d = r->act[r->n];
    whole = ranks_gather(r, r->n - 1, true);
    at = f->p->step.n - 1;
    f->p->step.v[at].wait[STREAM_COMPUTE] = at - 1; /* its place was the forward pass's */
    for (int i = r->n - 1; i >= 0; i--) {
        int next = i ? ranks_gather(r, i - 1, true) : -1, next_at = f->p->step.n - 1;
        const char *path = arena_printf(f->a, "h.%d.fc", i);
        int dx = fix_buffer(f, arena_printf(f->a, "h.%d.dx", i), ROLE_TEMP, 1000, true, g, 0);
        Step *s = fix_map(f, g, PHASE_ROUND, path, dx, (int[]){d, r->act[i], whole}, 3);
        s->instance = r->in[i];
        s->backward = true;
        s->wait[STREAM_COMM] = at;
        s->ps = 9000000;
        s->cls = TIME_MATH;
        s = fix_batch(f, g, PHASE_ROUND, path, r->grad[i + 1], dx);
        s->instance = r->in[i];
        s->backward = true;
        s->ps = 2000000;
        s->cls = TIME_MATH;
        s = ranks_coll(r, PHASE_ROUND, arena_printf(f->a, "h.%d", i), K_REDUCE_SCATTER,
                       r->grad[i + 1], f->p->group.v[i + 1].grad_shard, i + 1);
        s->instance = r->in[i];
        s->when = WHEN_LAST;
        s->wait[STREAM_COMPUTE] = s->id - 1;
        d = dx;
        whole = next;
        at = next_at;
    }
    Step *s = fix_batch(f, g, PHASE_ROUND, "", r->grad[0], d);
    s->backward = true;
    s->ps = 2000000;
    s->cls = TIME_MATH;
    s = ranks_coll(r, PHASE_ROUND, "", K_REDUCE_SCATTER, r->grad[0], r->grad[0], 0);
    s->when = WHEN_LAST;
    s->wait[STREAM_COMPUTE] = s->id - 1;
}

static inline Plan *fix_ranks(Arena *a, int64_t ranks, int layers)
{
    Fix *f = fix_new(a, 1);
    Ranks r = {.f = f, .ranks = ranks, .n = layers, .shard = round_up(RANKS_ELEMS / ranks, 1024)};
    ProgramKind g = PROGRAM_TRAIN;
    fix_program(f, g, 2, 2, 0);
    f->m->name = "Sharded";
    f->p->ranks = f->p->shared_by = ranks;
    f->p->batch = 4 * ranks;
    f->p->overlap = true;
    f->p->lead = 1;
    f->p->bucket_bytes = 1 << 20;
    ranks_group(&r, 0, "", LEVEL_1);
    for (int i = 0; i < layers; i++) {
        r.in[i] = fix_instance(f, arena_printf(a, "h.%d", i), "Layer");
        ranks_group(&r, r.in[i], arena_printf(a, "h.%d", i), LEVEL_3);
    }
    r.act[0] = fix_buffer(f, "x", ROLE_INPUT, 1000, true, g, 0);
    r.staging = fix_buffer(f, "staging", ROLE_COMM, 1024 * ranks, false, g, 0);
    for (int i = 0; i <= layers; i++) {
        FlatGroup *h = &f->p->group.v[i];
        const char *path = *h->path ? h->path : "model";
        r.grad[i] =
            fix_buffer(f, arena_printf(a, "%s.grad", path), ROLE_GRAD, RANKS_ELEMS, false, g, 0);
        h->grads = r.grad[i];
        if (i)
            h->grad_shard = fix_buffer(f, arena_printf(a, "%s.grad.shard", path), ROLE_GRAD,
                                       r.shard, false, g, 0);
        f->p->buffer.v[h->grads].group = i;
        if (i) {
            f->p->buffer.v[h->grad_shard].group = i;
            f->p->buffer.v[h->grad_shard].sharded = true;
        }
    }
    ranks_round(&r);
    for (int i = 0; i <= layers; i++) {
        FlatGroup *h = &f->p->group.v[i];
        int from = i ? h->grad_shard : h->grads;
        Step *s = fix_map(f, g, PHASE_UPDATE, h->path, h->params,
                          (int[]){h->params, h->state[0], from}, 3);
        s->instance = h->unit;
        s->group = i;
        s->ps = 1000000;
        s->cls = TIME_LAUNCH;
        if (!i)
            s->arg[0].by_rank = s->arg[2].by_rank = r.shard * 4;
    }
    Step *s = ranks_coll(&r, PHASE_UPDATE, "", K_ALL_GATHER, f->p->group.v[0].params,
                         f->p->group.v[0].params, 0);
    s->wait[STREAM_COMPUTE] = s->id - 1 - layers;
    return fix_finish(f);
}

#endif
