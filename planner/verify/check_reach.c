/* check_reach.c - V12 for a plan in memory: the furthest elements each argument of a kernel can
 * touch, from its strides and sizes, lie inside the buffer.
 *
 * In a region the kernel sees one chunk at a time, but a buffer of the whole micro-batch is moved
 * on with the chunks: all of its samples are counted. */
#include "planner/verify/table.h"

typedef struct Reach { /* elements, from the argument's own start */
    int64_t lo, hi;
    bool fits; /* 64 bits */
} Reach;

/* `count` places at `stride`, added to what is reached. */
static void walk(Reach *r, int64_t count, int64_t stride)
{
    int64_t far = 0;
    int64_t *end = stride < 0 ? &r->lo : &r->hi;
    if (count > 0)
        r->fits = r->fits && mul_ok(count - 1, stride, &far) && add_ok(*end, far, end);
}

static int64_t times(Reach *r, int64_t a, int64_t b)
{
    int64_t n = 0;
    r->fits = r->fits && mul_ok(a, b, &n);
    return n;
}

static int64_t at_least_1(int64_t n)
{
    return n > 0 ? n : 1;
}

static Reach fused_reach(const Kernel *k, const Ins *n, int64_t nb)
{
    const Fused *f = &k->fused;
    const Access *a = &f->access.v[n->acc];
    Reach r = {.lo = a->offset, .hi = a->offset, .fits = true};
    if (n->kind == I_COLSUM) { /* partial[chunk][column] */
        int64_t cols = f->n_inner ? f->extent[f->n_axis - 1] : 1;
        if (f->n_inner && a->stride[f->n_axis - 1] == 0)
            cols = 1;
        int64_t rows = times(&r, k->units, k->batched ? nb : 1);
        int64_t chunks = f->chunk > 0 ? (rows + f->chunk - 1) / f->chunk : rows;
        walk(&r, times(&r, chunks, cols), 1);
        return r;
    }
    for (int x = 0; x < f->n_axis; x++)
        walk(&r, x == 0 && k->batched ? times(&r, f->extent[0], nb) : f->extent[x], a->stride[x]);
    if (n->kind == I_GATHER)
        walk(&r, n->limit, n->gather);
    return r;
}

static Reach view_reach(const View *v, int64_t nb)
{
    Reach r = {.fits = true};
    walk(&r, nb, v->batch_stride);
    for (int i = 0; i < v->ndim; i++)
        walk(&r, v->dim[i], v->stride[i]);
    return r;
}

/* Argument 0, 1, 2 of C = A B. */
static Reach gemm_reach(const Gemm *g, int arg, int64_t nb)
{
    Reach r = {.fits = true};
    int64_t m = g->m_nb ? times(&r, g->m, nb) : g->m;
    int64_t c0 = at_least_1(g->count0), c1 = at_least_1(g->count1), sums = at_least_1(g->sums);
    if (g->count0_nb)
        c0 = times(&r, c0, nb);
    if (g->sums_nb)
        sums = times(&r, sums, nb);
    if (g->sums_samples > 0)
        sums = at_least_1(nb / g->sums_samples);
    int64_t rows = arg == 0 ? (g->ta ? g->k : m) : arg == 1 ? (g->tb ? g->n : g->k) : m;
    int64_t cols = arg == 0 ? (g->ta ? m : g->k) : arg == 1 ? (g->tb ? g->k : g->n) : g->n;
    walk(&r, rows, arg == 0 ? g->lda : arg == 1 ? g->ldb : g->ldc);
    walk(&r, cols, 1);
    walk(&r, c0, arg == 0 ? g->a0 : arg == 1 ? g->b0 : g->c0);
    walk(&r, c1, arg == 0 ? g->a1 : arg == 1 ? g->b1 : g->c1);
    if (arg < 2)
        walk(&r, sums, arg == 0 ? g->as : g->bs);
    return r;
}

static Reach fold_reach(const Template *t, int arg, int64_t nb)
{
    Reach r = {.fits = true};
    int64_t chunk = at_least_1(t->axis); /* rows of a partial sum */
    int64_t chunks = (times(&r, t->rows, nb) + chunk - 1) / chunk;
    walk(&r, arg == 0 ? times(&r, chunks, t->cols) : t->cols, 1);
    return r;
}

/* Sums of one round and what they go into, a level or a digit `rows` times: as long as they say. */
static Reach rounds_reach(const Kernel *k, int arg)
{
    Reach r = {.fits = true};
    bool one = arg == (k->kind == K_EXACT_TOTAL ? 1 : 0);
    walk(&r, one ? k->tpl.cols : times(&r, k->tpl.rows, k->tpl.cols), 1);
    return r;
}

/* Parts of a sample that a region's chunks are; 0: they are whole samples. */
static int64_t parts_of(const Plan *p, const Step *s)
{
    return s->region ? p->program[s->program].region_parts : 0;
}

/* Samples of buffer `arg`, or parts of them, that the step goes through in one round. */
static int64_t samples(const Plan *p, const Step *s, int arg)
{
    const ProgramPlan *g = &p->program[s->program];
    bool chunk = p->buffer.v[s->arg[arg].buffer].region != 0;
    int64_t parts = parts_of(p, s), all = 0;
    if (parts > 0)
        return chunk ? 1 : mul_ok(g->micro_batch, parts, &all) ? all : INT64_MAX;
    return chunk ? g->region_samples : g->micro_batch;
}

/* What a kernel of another kind than FUSED reaches through an argument in so many samples; false:
 * not known, nothing beyond the buffer. */
static bool plain_reach(const Step *s, int arg, int64_t nb, Reach *r)
{
    const Kernel *k = s->kernel;
    if (k->kind == K_GEMM && arg < 3)
        *r = gemm_reach(&k->gemm, arg, nb);
    else if (k->kind == K_FOLD && arg < 2)
        *r = fold_reach(&k->tpl, arg, nb);
    else if (k->kind == K_TREE || k->kind == K_EXACT_SUM || k->kind == K_EXACT_TOTAL)
        *r = rounds_reach(k, arg);
    else if (k->kind != K_GEMM && k->kind != K_FOLD && arg < k->tpl.n_view)
        *r = view_reach(&k->tpl.view[arg], nb);
    else
        return false;
    return true;
}

/* In bytes from the buffer's start. */
static bool to_bytes(const Step *s, int arg, Reach r, DType dtype, int64_t *lo, int64_t *end)
{
    int64_t size = dtype_size(dtype), at = s->arg[arg].offset;
    return r.fits && mul_ok(r.lo, size, lo) && add_ok(*lo, at, lo) && add_ok(r.hi, 1, &r.hi) &&
           mul_ok(r.hi, size, end) && add_ok(*end, at, end);
}

bool reach_bytes(const Plan *p, const Step *s, int arg, int64_t *lo, int64_t *end)
{
    const Kernel *k = s->kernel;
    Reach r;
    if (k->kind != K_FUSED)
        return plain_reach(s, arg, samples(p, s, arg), &r) &&
               to_bytes(s, arg, r, k->arg_dtype[arg], lo, end);
    bool any = false;
    for (int i = 0; i < k->fused.ins.n; i++) {
        const Ins *n = &k->fused.ins.v[i];
        int64_t from = 0, to = 0;
        if (n->acc < 0 || k->fused.access.v[n->acc].arg != arg)
            continue;
        if (!to_bytes(s, arg, fused_reach(k, n, samples(p, s, arg)),
                      k->fused.access.v[n->acc].dtype, &from, &to))
            return false;
        *lo = any ? min64(*lo, from) : from;
        *end = any ? max64(*end, to) : to;
        any = true;
    }
    return any;
}

/* ---- the check ---- */

static void check_arg(Table *t, const Plan *p, const Step *s, int arg, Reach r, DType dtype)
{
    const Buffer *b = &p->buffer.v[s->arg[arg].buffer];
    int64_t lo = 0, end = 0, far = 0;
    bool ok = to_bytes(s, arg, r, dtype, &lo, &end);
    if (!ok || lo < 0 || end > b->bytes) {
        broken(t, CHECK_V12, "%s: %s touches bytes %lld to %lld of argument %d, %s of %lld bytes",
               the_step(t, s->id), s->kernel->name, (long long)lo, (long long)end - 1, arg,
               the_buffer(t, b->id), (long long)b->bytes);
        return;
    }
    if (!mul_ok(s->arg[arg].by_rank, p->shared_by - 1, &far) || far < 0 ||
        !add_ok(far, end, &far) || far > b->bytes)
        broken(t, CHECK_V12, "%s: argument %d moves on by %lld bytes a rank in %s of %lld bytes",
               the_step(t, s->id), arg, (long long)s->arg[arg].by_rank, the_buffer(t, b->id),
               (long long)b->bytes);
}

/* One part reaches no further than its own bytes of the sample. */
static void check_part(Table *t, const Plan *p, const Step *s, int arg, Reach r, DType dtype)
{
    const Buffer *b = &p->buffer.v[s->arg[arg].buffer];
    int64_t parts = parts_of(p, s), lo = 0, end = 0;
    if (parts < 1 || !b->batched)
        return;
    if (!to_bytes(s, arg, r, dtype, &lo, &end) || lo < 0 || end > b->sample_bytes / parts)
        broken(t, CHECK_V12,
               "%s: %s touches bytes %lld to %lld of argument %d, %s, of which a part of a sample "
               "has %lld",
               the_step(t, s->id), s->kernel->name, (long long)lo, (long long)end - 1, arg,
               the_buffer(t, b->id), (long long)(b->sample_bytes / parts));
}

static void check_step(Table *t, const Plan *p, const Step *s)
{
    const Kernel *k = s->kernel;
    for (int i = 0; i < k->n_arg; i++) {
        const Buffer *b = &p->buffer.v[s->arg[i].buffer];
        Reach r;
        if (k->arg_dtype[i] != b->dtype)
            broken(t, CHECK_V01, "%s: argument %d of %s is %s, %s is %s", the_step(t, s->id), i,
                   k->name, dtype_name(k->arg_dtype[i]), the_buffer(t, b->id),
                   dtype_name(b->dtype));
        if (k->kind != K_FUSED && plain_reach(s, i, samples(p, s, i), &r))
            check_arg(t, p, s, i, r, k->arg_dtype[i]);
        if (k->kind != K_FUSED && plain_reach(s, i, 1, &r))
            check_part(t, p, s, i, r, k->arg_dtype[i]);
    }
    for (int i = 0; i < k->fused.ins.n && k->kind == K_FUSED; i++) {
        const Ins *n = &k->fused.ins.v[i];
        if (n->acc < 0)
            continue;
        const Access *a = &k->fused.access.v[n->acc];
        check_arg(t, p, s, a->arg, fused_reach(k, n, samples(p, s, a->arg)), a->dtype);
        check_part(t, p, s, a->arg, fused_reach(k, n, 1), a->dtype);
    }
}

void check_reach(Table *t, const Plan *p)
{
    for (int i = 0; i < p->step.n; i++)
        check_step(t, p, &p->step.v[i]);
}
