/* steps.c - kernels that are equal become one; steps refer to them and to buffers. */
#include "planner/build.h"

#include <ctype.h>
#include <string.h>

Operand operand(Build *b, Item *root, int64_t element)
{
    int64_t size = dtype_size(root->type.dtype);
    return (Operand){buffer_of(b, root), (root->base + element) * size, root->by_rank};
}

/* The kernel's meaning as bytes: no names, no ids, no pointers. */
static void feed(StrBuf *s, const void *p, size_t n)
{
    strbuf_addn(s, p, n);
}

static void feed_fused(StrBuf *s, const Fused *f)
{
    feed(s, &f->n_axis, sizeof f->n_axis);
    feed(s, &f->n_inner, sizeof f->n_inner);
    feed(s, f->extent, sizeof f->extent);
    feed(s, &f->chunk, sizeof f->chunk);
    for (int k = 0; k < f->access.n; k++) {
        const Access *a = &f->access.v[k];
        int64_t words[] = {a->arg, (int64_t)a->dtype, a->offset};
        feed(s, words, sizeof words);
        feed(s, a->stride, sizeof a->stride);
    }
    for (int k = 0; k < f->ins.n; k++) {
        const Ins *n = &f->ins.v[k];
        int64_t words[] = {
            (int64_t)n->kind, (int64_t)n->op,  (int64_t)n->dtype, n->in[0],  n->in[1],
            n->in[2],         n->acc,          n->start,          n->sample, n->gather,
            n->limit,         (int64_t)n->key, n->per_step,       n->row,    n->stage};
        feed(s, words, sizeof words);
        feed(s, &n->value, sizeof n->value);
        feed(s, n->stride, sizeof n->stride);
    }
}

static void feed_views(StrBuf *s, const Template *t)
{
    for (int k = 0; k < t->n_view; k++) {
        const View *v = &t->view[k];
        int64_t words[] = {v->batch_stride, v->ndim};
        feed(s, words, sizeof words);
        feed(s, v->dim, sizeof v->dim);
        feed(s, v->stride, sizeof v->stride);
    }
    int64_t words[] = {t->n_view, t->rows, t->cols, t->axis, (int64_t)t->key, t->accumulates};
    feed(s, words, sizeof words);
    feed(s, &t->attr, sizeof t->attr);
}

static void feed_collective(StrBuf *s, const Kernel *k)
{
    const Collective *c = &k->coll;
    int64_t words[] = {c->n_segment, c->chunk, c->accumulates, c->tree, k->n_gap};
    feed(s, words, sizeof words);
    feed(s, c->segment, (size_t)c->n_segment * sizeof *c->segment);
    feed(s, k->gap, (size_t)k->n_gap * sizeof *k->gap);
    if (k->kind == K_NORM)
        feed(s, k->group_grains, (size_t)k->tpl.rows * sizeof *k->group_grains);
}

static void feed_gemm(StrBuf *s, const Gemm *g)
{
    int64_t words[] = {
        g->m,      g->n,    g->k,         g->ta,           g->tb,      g->lda,
        g->ldb,    g->ldc,  g->count0,    g->a0,           g->b0,      g->c0,
        g->count1, g->a1,   g->b1,        g->c1,           g->sums,    g->as,
        g->bs,     g->m_nb, g->count0_nb, g->sums_samples, g->sums_nb, g->accumulates};
    feed(s, words, sizeof words);
}

static const char *identifier(Arena *a, int id, const char *stem)
{
    StrBuf s = strbuf_new(a);
    strbuf_printf(&s, "k%d_", id);
    for (const char *c = stem; *c; c++)
        strbuf_char(&s, isalnum((unsigned char)*c) ? *c : '_');
    return s.text;
}

const Kernel *kernel_intern(Build *b, const Kernel *k, const char *stem)
{
    StrBuf s = strbuf_new(b->a);
    int64_t words[] = {(int64_t)k->kind, k->n_arg,   k->uses_draw, k->uses_first,
                       k->uses_count,    k->batched, k->units,     k->least};
    feed(&s, words, sizeof words);
    for (int j = 0; j < k->n_arg; j++) {
        int64_t arg[] = {(int64_t)k->arg_dtype[j], k->arg_written[j]};
        feed(&s, arg, sizeof arg);
    }
    feed_fused(&s, &k->fused);
    feed_gemm(&s, &k->gemm);
    feed_views(&s, &k->tpl);
    feed_collective(&s, k);
    uint64_t h = hash_bytes(1, s.text, s.n);
    const char *key = arena_printf(b->a, "%016llx %zu", (unsigned long long)h, s.n);
    Kernel *known = map_get(b->kernels, key);
    if (known)
        return known;
    Kernel *copy = arena_make(b->a, Kernel);
    *copy = *k;
    copy->hash = h;
    copy->id = b->plan->kernel.n;
    copy->name = identifier(b->a, copy->id, stem);
    copy->what = arena_strdup(b->a, stem);
    map_put(b->kernels, key, copy);
    vec_push(b->a, &b->plan->kernel, copy);
    return copy;
}

void step_add(Build *b, const Item *from, Phase phase, const Kernel *k, const Operand *arg,
              const char *what)
{
    Step s = {.id = b->plan->step.n,
              .program = b->kind,
              .phase = phase,
              .kernel = k,
              .path = from->node->path,
              .what = what,
              .at = from->node->at,
              .instance = from->node->instance,
              .backward = from->backward,
              .recompute = from->recompute,
              .wait = {-1, -1, -1},
              .when = from->when,
              .group = from->update_of - 1};
    s.arg = arena_array(b->a, Operand, k->n_arg);
    memcpy(s.arg, arg, (size_t)k->n_arg * sizeof *arg);
    ProgramPlan *p = &b->plan->program[b->kind];
    if (!p->count[phase]++)
        p->first[phase] = s.id;
    vec_push(b->a, &b->plan->step, s);
}

void fold_step(Build *b, const Item *from, Phase phase, Operand partial, Operand acc, int64_t cols,
               int64_t rows, int64_t chunk)
{
    DType t = from->type.dtype;
    Kernel k = {.kind = K_FOLD,
                .n_arg = 2,
                .uses_first = true,
                .uses_count = true,
                .units = cols,
                .least = 1024};
    k.arg_dtype[0] = k.arg_dtype[1] = t;
    k.arg_written[1] = true;
    k.tpl.cols = cols;
    k.tpl.rows = rows; /* the count of partials is ceil(nb * rows / chunk) */
    k.tpl.axis = (int)chunk;
    k.tpl.accumulates = true;
    k.flops = cols * (rows / chunk + 1);
    k.bytes = 4 * k.flops;
    const Operand arg[] = {partial, acc};
    step_add(b, from, phase, kernel_intern(b, &k, "fold"), arg, "complete the sum over the batch");
}
