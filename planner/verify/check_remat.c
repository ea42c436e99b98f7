/* check_remat.c - V15 V16: what the backward computes again is what the forward computed, with the
 * same random numbers.
 *
 * Values of the rounds are numbered (remat.h) in the order of the steps. What a step that computes
 * again stores must be a value the forward pass computed, in memory or on the way; and what was
 * saved for it must still be what it was, or its number is another one. */
#include "planner/verify/remat.h"

#include <stdlib.h>

uint64_t remat_mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9E3779B97F4A7C15u + (h << 6) + (h >> 2);
    h *= 0xBF58476D1CE4E5B9u;
    return h ^ (h >> 31);
}

uint64_t remat_content(const Remat *r, int buffer)
{
    const TableBuffer *b = &r->t->buffer[buffer];
    if ((b->role == ROLE_PARAM || b->role == ROLE_GATHERED) && b->group >= 0)
        return remat_mix(61, (uint64_t)b->group);
    if (b->persistent || b->role == ROLE_INPUT)
        return remat_mix(67, (uint64_t)buffer);
    return remat_mix(71, r->content[buffer].all);
}

static uint64_t of_stored(const Stored *s)
{
    return remat_mix(remat_mix(s->where, s->value), s->plain);
}

void remat_put(Remat *r, int buffer, Stored s)
{
    Content *c = &r->content[buffer];
    if (s.whole)
        c->stored.n = 0, c->all = 0;
    for (int i = 0; i < c->stored.n; i++)
        if (c->stored.v[i].where == s.where) {
            c->all -= of_stored(&c->stored.v[i]);
            c->stored.v[i] = s;
            c->all += of_stored(&s);
            return;
        }
    vec_push(r->t->a, &c->stored, s);
    c->all += of_stored(&s);
}

/* Where the pass turns, kernels of elements do work of both. */
static bool in_forward(const Remat *r, int step)
{
    const TableStep *s = &r->t->step[step];
    return !s->recompute && (!s->backward || step < r->turned);
}

static int turning(const Remat *r)
{
    const Table *t = r->t;
    int k = 0;
    while (k < t->n_step &&
           !(t->step[k].program == PROGRAM_TRAIN && t->step[k].backward &&
             t->step[k].phase == PHASE_ROUND && !t->step[k].recompute &&
             r->p->step.v[k].kernel->kind != K_FUSED && r->p->step.v[k].kernel->kind != K_FOLD))
        k++;
    return k;
}

void remat_value(Remat *r, int step, uint64_t value, bool stored)
{
    const TableStep *s = &r->t->step[step];
    if (in_forward(r, step))
        vec_push(r->t->a, &r->forward, value);
    else if (s->recompute && stored)
        vec_push(r->t->a, &r->wanted, ((Wanted){step, value}));
}

void remat_drawn(Remat *r, int step, uint64_t value, uint64_t key)
{
    Drawn d = {value, key, step};
    if (in_forward(r, step))
        vec_push(r->t->a, &r->draw, d);
    else
        vec_push(r->t->a, &r->again, d);
}

/* Kernels of their own: what they make is a function of the kernel and what it reads. */
static uint64_t kernel_number(Remat *r, int step)
{
    const Step *s = &r->p->step.v[step];
    const Kernel *k = s->kernel;
    uint64_t h = remat_mix(73, k->hash);
    if (k->kind == K_ATTENTION)
        h = remat_mix(h, k->tpl.key);
    for (int i = 0; i < k->n_arg; i++)
        if (!k->arg_written[i]) {
            h = remat_mix(h, remat_content(r, s->arg[i].buffer));
            h = remat_mix(remat_mix(h, (uint64_t)s->arg[i].offset), (uint64_t)s->arg[i].by_rank);
        }
    return h;
}

/* Dropout of attention: its numbers belong to the operands. */
static void attention(Remat *r, int step)
{
    const Step *s = &r->p->step.v[step];
    const Kernel *k = s->kernel;
    if (!k->uses_draw || k->n_arg < 3)
        return;
    uint64_t h = 79;
    for (int i = 0; i < 3; i++)
        h = remat_mix(remat_mix(h, remat_content(r, s->arg[i].buffer)), (uint64_t)s->arg[i].offset);
    remat_drawn(r, step, h, k->tpl.key);
}

static void number_step(Remat *r, int step)
{
    const Step *s = &r->p->step.v[step];
    const Kernel *k = s->kernel;
    if (k->kind == K_FUSED) {
        remat_fused(r, step);
        return;
    }
    if (k->kind == K_ATTENTION || k->kind == K_ATTENTION_GRAD)
        attention(r, step);
    uint64_t h = kernel_number(r, step);
    for (int i = 0; i < k->n_arg; i++) {
        if (!k->arg_written[i])
            continue;
        uint64_t value = remat_mix(remat_mix(h, (uint64_t)i), 83);
        remat_value(r, step, value, true);
        remat_put(r, s->arg[i].buffer,
                  (Stored){remat_mix(89, (uint64_t)s->arg[i].offset), value, false, false});
    }
}

static int by_number(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static int by_drawn(const void *x, const void *y)
{
    const Drawn *a = x, *b = y;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->key < b->key ? -1 : a->key > b->key;
}

static void check_values(Remat *r)
{
    if (r->forward.n)
        qsort(r->forward.v, (size_t)r->forward.n, sizeof *r->forward.v, by_number);
    for (int i = 0; i < r->wanted.n; i++) {
        const Wanted *w = &r->wanted.v[i];
        if (r->forward.n &&
            bsearch(&w->value, r->forward.v, (size_t)r->forward.n, sizeof *r->forward.v, by_number))
            continue;
        broken(r->t, CHECK_V15, "%s computes again what the forward pass never computed",
               the_step(r->t, w->step));
    }
}

static void check_draws(Remat *r)
{
    if (r->draw.n)
        qsort(r->draw.v, (size_t)r->draw.n, sizeof *r->draw.v, by_drawn);
    for (int i = 0; i < r->again.n; i++) {
        const Drawn *d = &r->again.v[i];
        if (r->draw.n && bsearch(d, r->draw.v, (size_t)r->draw.n, sizeof *d, by_drawn))
            continue;
        broken(r->t, CHECK_V16,
               "%s draws with key %016llx, which the forward pass did not use "
               "there",
               the_step(r->t, d->step), (unsigned long long)d->key);
    }
}

void check_remat(Table *t, const Plan *p)
{
    Remat r = {.t = t, .p = p, .content = arena_array(t->a, Content, t->n_buffer + 1)};
    const TableProgram *g = &t->program[PROGRAM_TRAIN];
    if (!g->present)
        return;
    r.turned = turning(&r);
    for (int i = 0; i < t->n_step; i++)
        if (t->step[i].program == PROGRAM_TRAIN && t->step[i].phase <= PHASE_ROUND &&
            !is_collective(&t->step[i]))
            number_step(&r, i);
    check_values(&r);
    check_draws(&r);
}
