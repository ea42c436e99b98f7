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

uint64_t plan_hash(const Plan *p)
{
    uint64_t h = hash_settings(0x626d63, p->model);
    h = mix(mix(mix(mix(h, p->ranks), p->micro_batch), p->rounds), p->fused);
    for (int k = 0; k < p->kernel.n; k++)
        h = mix(h, (int64_t)p->kernel.v[k]->hash);
    for (int k = 0; k < p->buffer.n; k++)
        h = mix(mix(h, p->buffer.v[k].offset), p->buffer.v[k].bytes);
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        h = mix(mix(mix(h, s->kernel->id), s->phase), s->program);
        for (int j = 0; j < s->kernel->n_arg; j++)
            h = mix(mix(h, s->arg[j].buffer), s->arg[j].offset);
    }
    return h;
}
