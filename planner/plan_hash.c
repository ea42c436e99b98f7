/* plan_hash.c - one number for everything that decides what is emitted; a trainer and its plan
 * carry the same. */
#include "planner/plan.h"

#include <string.h>

static uint64_t mix(uint64_t h, int64_t x)
{
    return hash_bytes(h, &x, sizeof x);
}

static uint64_t mix_text(uint64_t h, const char *s)
{
    return hash_bytes(h, s ? s : "", s ? strlen(s) : 0);
}

static uint64_t hash_settings(uint64_t h, const Model *m)
{
    h = mix_text(h, m->name);
    h = mix(mix(mix(h, m->batch), m->steps), m->valid_every);
    h = mix(mix(h, m->seed), m->schedule.kind);
    h = hash_bytes(h, &m->schedule.warmup, sizeof m->schedule.warmup);
    h = hash_bytes(h, &m->schedule.min_lr, sizeof m->schedule.min_lr);
    h = hash_bytes(h, &m->schedule.decay, sizeof m->schedule.decay);
    h = hash_bytes(h, &m->clip, sizeof m->clip);
    for (int k = 0; k < m->optimizer.n; k++) {
        const Optimizer *o = &m->optimizer.v[k];
        double words[] = {o->lr, o->beta1, o->beta2, o->eps, o->weight_decay, o->momentum};
        h = mix(hash_bytes(h, words, sizeof words), o->kind);
    }
    for (int k = 0; k < m->param.n; k++) {
        const Param *p = &m->param.v[k];
        h = mix_text(h, p->path);
        h = mix(mix(mix(h, p->init.kind), p->frozen), p->optimizer);
        h = hash_bytes(hash_bytes(h, &p->init.a, sizeof p->init.a), &p->init.b, sizeof p->init.b);
    }
    return h;
}

static uint64_t hash_group(uint64_t h, const FlatGroup *g)
{
    h = mix(mix(mix(h, g->n), g->level), g->optimizer);
    h = mix(mix(mix(h, g->used), g->shard), g->offload);
    for (int k = 0; k < g->n; k++)
        h = mix(mix(h, g->param[k]), g->at[k]);
    h = mix(mix(mix(h, g->params), g->grads), g->grad_shard);
    for (int k = 0; k < g->n_state; k++)
        h = mix(h, g->state[k]);
    return mix(mix(h, g->host_params), g->host_grads);
}

static uint64_t hash_step(uint64_t h, const Step *s)
{
    h = mix(mix(mix(h, s->kernel->id), s->phase), s->program);
    h = mix(mix(mix(mix(h, s->stream), s->when), s->anew), s->region);
    for (int k = 0; k < N_STREAMS; k++)
        h = mix(h, s->wait[k]);
    for (int k = 0; k < s->kernel->n_arg; k++)
        h = mix(mix(mix(h, s->arg[k].buffer), s->arg[k].offset), s->arg[k].by_rank);
    return h;
}

/* What the kernel's own hash does not cover. */
static uint64_t hash_kernel(uint64_t h, const Kernel *k)
{
    h = mix(mix(h, (int64_t)k->hash), k->kind);
    h = mix(mix(mix(mix(h, k->coll.n_segment), k->coll.chunk), k->coll.accumulates), k->coll.tree);
    for (int i = 0; i < k->coll.n_segment; i++)
        h = mix(mix(h, k->coll.segment[i].elems), k->coll.segment[i].stride);
    for (int i = 0; i < k->n_gap; i++)
        h = mix(mix(h, k->gap[i].at), k->gap[i].count);
    for (int64_t i = 0; k->group_grains && i < k->tpl.rows; i++)
        h = mix(h, k->group_grains[i]);
    return h;
}

static uint64_t hash_operand(uint64_t h, const Operand *o)
{
    return mix(mix(mix(h, o->buffer), o->offset), o->by_rank);
}

/* What the host reads, and where. */
static uint64_t hash_results(uint64_t h, const Plan *p)
{
    for (int k = 0; k < N_PROGRAMS; k++) {
        const ProgramPlan *g = &p->program[k];
        h = mix(mix(mix(mix(h, g->present), g->micro_batch), g->rounds), g->region_samples);
        h = mix(h, g->region_parts);
        h = hash_operand(hash_operand(h, &g->norm), &g->logits);
    }
    for (int k = 0; k < p->term.n; k++) {
        const LossTerm *t = &p->term.v[k];
        h = hash_bytes(mix_text(h, t->name), &t->coef, sizeof t->coef);
        h = hash_operand(hash_operand(h, &t->num), &t->den);
        h = mix(mix(mix(mix(h, t->program), t->report), t->field), t->count);
    }
    return h;
}

uint64_t plan_hash(const Plan *p)
{
    uint64_t h = hash_settings(0x626d63, p->model);
    h = mix(mix(mix(mix(h, p->ranks), p->micro_batch), p->rounds), p->fused);
    h = mix(mix(mix(h, p->shared_by), p->reduced), p->invariant);
    h = mix(mix(mix(h, p->arena_bytes), p->persistent_bytes), p->host_bytes);
    h = hash_results(h, p);
    for (int k = 0; k < p->kernel.n; k++)
        h = hash_kernel(h, p->kernel.v[k]);
    for (int k = 0; k < p->buffer.n; k++) {
        const Buffer *b = &p->buffer.v[k];
        h = mix(mix(mix(mix(h, b->offset), b->bytes), b->sharded), b->host);
    }
    for (int k = 0; k < p->group.n; k++)
        h = hash_group(h, &p->group.v[k]);
    for (int k = 0; k < p->step.n; k++)
        h = hash_step(h, &p->step.v[k]);
    return h;
}
