/* regions_cut.c - the loss head in parts of a sample, where one sample's logits are many rows.
 *
 * A sample's rows lie one behind the other, and the batch folds into rows: [samples][T][width] is
 * [samples * parts][T / parts][width] without moving a byte. A kernel that does its rows one by one
 * is cut by saying so: its counts of a sample become those of a part, nothing else changes. Sums
 * over rows are cut between their grains, products between blocks of ROW_BLOCK rows: the same calls
 * per grain, the same bits.
 *
 * What needs whole samples (a sample's own loss, a report) and no logits goes before the head, or
 * behind it. */
#include "planner/build.h"

#include <string.h>

enum {
    LEAST_ROWS = 256, /* of a part: below it products are slow */
    ROW_BLOCK = 16    /* rows a library's product takes at once (runtime/gemm.c) */
};

typedef enum Where { STAYS, BEFORE, BEHIND } Where;

typedef struct Cut {
    const Plan *p;
    int lo, hi;    /* the head's steps */
    int64_t wide;  /* bytes of a sample's logits */
    int64_t parts; /* of a sample */
    Where *where;  /* [step - lo] */
} Cut;

static const Buffer *buffer_at(const Plan *p, const Step *s, int arg)
{
    return &p->buffer.v[s->arg[arg].buffer];
}

/* ---- can a kernel do a part of a sample? ---- */

/* A part's rows are the same bytes of its buffer whoever reads or writes them. */
static bool rows_are_samples(const Buffer *x, int64_t rows, int64_t stride, DType t)
{
    int64_t bytes;
    return mul_ok(rows, stride, &bytes) && mul_ok(bytes, dtype_size(t), &bytes) &&
           bytes == x->sample_bytes;
}

/* From the row's start to the last element it touches; -1: not known to lie within a row. */
static int64_t row_reach(const Fused *f, const Ins *n, const Access *a)
{
    int64_t far = a->offset;
    for (int k = 1; k < f->n_axis; k++) {
        if (a->stride[k] < 0)
            return -1;
        far += (f->extent[k] - 1) * a->stride[k];
    }
    if (n->kind == I_GATHER)
        far += (n->limit - 1) * n->gather;
    return far;
}

static bool access_cuts(const Plan *p, const Step *s, const Ins *n)
{
    const Fused *f = &s->kernel->fused;
    const Access *a = &f->access.v[n->acc];
    const Buffer *x = buffer_at(p, s, a->arg);
    if (!x->batched)
        return a->stride[0] == 0 && n->kind != I_STORE;
    int64_t far = row_reach(f, n, a), at = s->arg[a->arg].offset / dtype_size(a->dtype);
    return far >= 0 && at + far < a->stride[0] &&
           rows_are_samples(x, f->extent[0], a->stride[0], a->dtype);
}

/* Axis 0 is rows when the batch could be merged with them: every access walks both alike. */
static bool fused_cuts(const Plan *p, const Step *s, int64_t parts)
{
    const Kernel *k = s->kernel;
    const Fused *f = &k->fused;
    if (!k->batched || k->uses_draw || f->n_axis == f->n_inner || f->extent[0] % parts)
        return false;
    if (f->chunk && (k->units % parts || k->units / parts % f->chunk))
        return false;
    for (int j = 0; j < f->ins.n; j++) {
        const Ins *n = &f->ins.v[j];
        if (n->kind == I_INDEX && (n->sample || n->stride[0]))
            return false;
        if (n->acc >= 0 && n->kind != I_COLSUM && !access_cuts(p, s, n))
            return false;
    }
    return true;
}

/* Columns from an operand's start on lie within its rows. */
static bool in_row(const Step *s, int arg, int64_t columns, int64_t ld)
{
    return s->arg[arg].offset / dtype_size(s->kernel->arg_dtype[arg]) + columns <= ld;
}

static bool gemm_cuts(const Plan *p, const Step *s, int64_t parts)
{
    const Gemm *g = &s->kernel->gemm;
    const Buffer *a = buffer_at(p, s, 0), *b = buffer_at(p, s, 1), *c = buffer_at(p, s, 2);
    const DType *t = s->kernel->arg_dtype;
    if (g->count0_nb || g->count0 > 1 || g->count1 > 1 || g->sums_samples)
        return false;
    if (g->m_nb) /* rows of a by a matrix */
        return g->m % (parts * ROW_BLOCK) == 0 && a->batched && !b->batched && c->batched &&
               !g->ta && !g->sums_nb && rows_are_samples(a, g->m, g->lda, t[0]) &&
               rows_are_samples(c, g->m, g->ldc, t[2]) && in_row(s, 0, g->k, g->lda) &&
               in_row(s, 2, g->n, g->ldc);
    int64_t rows = g->sums * g->k; /* a' b in grains of k rows */
    return g->sums_nb && g->accumulates && g->sums % parts == 0 && a->batched && b->batched &&
           !c->batched && g->ta && !g->tb && g->as == g->k * g->lda && g->bs == g->k * g->ldb &&
           rows_are_samples(a, rows, g->lda, t[0]) && rows_are_samples(b, rows, g->ldb, t[1]) &&
           in_row(s, 0, g->m, g->lda) && in_row(s, 1, g->n, g->ldb);
}

static bool writes(const Step *s, int buffer)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        if (s->kernel->arg_written[j] && s->arg[j].buffer == buffer)
            return true;
    return false;
}

/* The partial sums must be a part's too. */
static bool fold_cuts(const Cut *c, int step)
{
    const Step *s = &c->p->step.v[step];
    const Template *t = &s->kernel->tpl;
    if (t->axis < 1 || t->rows % c->parts || t->rows / c->parts % t->axis)
        return false;
    for (int k = step - 1; k >= c->lo; k--)
        if (writes(&c->p->step.v[k], s->arg[0].buffer))
            return c->where[k - c->lo] == STAYS;
    return false;
}

static bool step_cuts(const Cut *c, int step)
{
    const Step *s = &c->p->step.v[step];
    if (s->when != WHEN_ALWAYS)
        return false;
    switch (s->kernel->kind) {
    case K_FUSED:
        return fused_cuts(c->p, s, c->parts);
    case K_GEMM:
        return gemm_cuts(c->p, s, c->parts);
    case K_FOLD:
        return fold_cuts(c, step);
    default:
        return false;
    }
}

/* ---- what goes where ---- */

/* Does one write what the other touches? */
static bool conflict(const Step *s, const Step *t)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        for (int k = 0; k < t->kernel->n_arg; k++)
            if (s->arg[j].buffer == t->arg[k].buffer &&
                (s->kernel->arg_written[j] || t->kernel->arg_written[k]))
                return true;
    return false;
}

static bool conflicts_with(const Cut *c, int step, unsigned where)
{
    for (int k = c->lo; k < step; k++)
        if (where >> c->where[k - c->lo] & 1 && conflict(&c->p->step.v[k], &c->p->step.v[step]))
            return true;
    return false;
}

static bool uses_logits(const Cut *c, const Step *s)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        if (buffer_at(c->p, s, j)->batched && buffer_at(c->p, s, j)->sample_bytes >= c->wide)
            return true;
    return false;
}

/* Each part makes it anew, but for what is summed up: nobody may read it when all are over. */
static bool leaves_last_part(const Cut *c, const Step *s, int arg)
{
    bool sums = s->kernel->kind == K_FOLD || s->kernel->kind == K_GEMM;
    if (!s->kernel->arg_written[arg] || buffer_at(c->p, s, arg)->batched || sums)
        return false;
    for (int k = c->lo; k <= c->hi; k++)
        for (int j = 0; c->where[k - c->lo] == BEHIND && j < c->p->step.v[k].kernel->n_arg; j++)
            if (c->p->step.v[k].arg[j].buffer == s->arg[arg].buffer)
                return true;
    return false;
}

static bool sort_steps(Cut *c)
{
    for (int k = c->lo; k <= c->hi; k++) {
        Where *w = &c->where[k - c->lo];
        bool cuts = step_cuts(c, k), waits = conflicts_with(c, k, 1u << BEHIND);
        *w = cuts && !waits ? STAYS : waits || conflicts_with(c, k, 1u << STAYS) ? BEHIND : BEFORE;
        if (*w != STAYS && uses_logits(c, &c->p->step.v[k]))
            return false;
    }
    for (int k = c->lo; k <= c->hi; k++)
        for (int j = 0; j < c->p->step.v[k].kernel->n_arg; j++)
            if (c->where[k - c->lo] == STAYS && leaves_last_part(c, &c->p->step.v[k], j))
                return false;
    return true;
}

/* The fewest parts of at most `most` rows that all of the head can be cut into. */
static bool find_parts(Cut *c, int64_t rows, int64_t most)
{
    for (c->parts = 2; rows / c->parts >= LEAST_ROWS; c->parts++)
        if (rows % (c->parts * ROW_BLOCK) == 0 && rows / c->parts <= most && sort_steps(c))
            return true;
    return false;
}

/* ---- cutting ---- */

static Kernel part_of(const Kernel *whole, int64_t parts)
{
    Kernel k = *whole;
    if (k.kind == K_FOLD) {
        k.tpl.rows /= parts;
        k.flops = k.tpl.cols * (k.tpl.rows / k.tpl.axis + 1);
        k.bytes = 4 * k.flops;
        return k;
    }
    k.units /= parts;
    k.flops /= parts;
    k.bytes /= parts;
    if (k.kind == K_FUSED)
        k.fused.extent[0] /= parts;
    else if (k.gemm.m_nb)
        k.gemm.m /= parts;
    else
        k.gemm.sums /= parts;
    return k;
}

/* Steps that go before the head, the head, those behind it; their ids follow. */
static void move_steps(Plan *p, const Cut *c)
{
    static const Where order[] = {BEFORE, STAYS, BEHIND};
    int n = 0, count = c->hi - c->lo + 1;
    Step *moved = arena_array(p->arena, Step, count);
    for (int j = 0; j < countof(order); j++)
        for (int k = 0; k < count; k++)
            if (c->where[k] == order[j]) {
                moved[n] = p->step.v[c->lo + k];
                moved[n].region = order[j] == STAYS;
                moved[n].id = c->lo + n;
                n++;
            }
    memcpy(p->step.v + c->lo, moved, (size_t)count * sizeof *moved);
}

/* Kernels nobody uses any more are none of the plan's: all are found again. */
static void cut_kernels(Build *b, int64_t parts)
{
    Plan *p = b->plan;
    Map *kernels = map_new(b->a);
    Build again = *b;
    again.kernels = kernels;
    p->kernel.v = NULL;
    p->kernel.n = p->kernel.cap = 0;
    for (int k = 0; k < p->step.n; k++) {
        Step *s = &p->step.v[k];
        Kernel part = s->region ? part_of(s->kernel, parts) : *s->kernel;
        s->kernel = kernel_intern(&again, &part, part.what);
    }
    *b->kernels = *kernels;
}

/* The last step before `step` that writes the buffer; -1. */
static int maker_of(const Plan *p, int first, int step, int buffer)
{
    int k = step - 1;
    while (k >= first && !writes(&p->step.v[k], buffer))
        k--;
    return k >= first ? k : -1;
}

/* The head begins with the product: where a bias is added, the logits are not what it makes. */
static int with_product(const Plan *p, int lo, int first, int64_t wide)
{
    const Step *s = &p->step.v[lo];
    for (int j = 0; j < s->kernel->n_arg && s->kernel->kind == K_FUSED; j++) {
        const Buffer *x = buffer_at(p, s, j);
        int made = x->batched && x->sample_bytes == wide ? maker_of(p, first, lo, x->id) : -1;
        if (made >= 0 && p->step.v[made].kernel->kind == K_GEMM)
            return made;
    }
    return lo;
}

/* And ends with the last step that has to do with the product or what is made of it as wide. */
static int with_users(const Plan *p, int lo, int hi, int end, int64_t wide)
{
    for (int k = lo; k <= hi; k++) {
        const Kernel *n = p->step.v[k].kernel;
        for (int j = 0; j < n->n_arg; j++) {
            const Buffer *x = buffer_at(p, &p->step.v[k], j);
            bool made = n->arg_written[j] && x->batched && x->sample_bytes == wide &&
                        (k == lo || n->kind == K_FUSED);
            for (int later = hi + 1; made && later < end; later++)
                if (step_uses(&p->step.v[later], x->id))
                    hi = later;
        }
    }
    return region_folds(p, lo, hi, end);
}

bool region_cut(Build *b, int lo, int hi, int64_t wide, int64_t rows, int64_t most)
{
    Plan *p = b->plan;
    const ProgramPlan *g = &p->program[b->kind];
    int first = g->first[PHASE_ROUND], end = first + g->count[PHASE_ROUND];
    Cut c = {.p = p, .wide = wide};
    c.lo = with_product(p, lo, first, wide);
    c.hi = with_users(p, c.lo, hi, end, wide);
    c.where = arena_array(b->a, Where, c.hi - c.lo + 1);
    if (!find_parts(&c, rows, most))
        return false;
    move_steps(p, &c);
    cut_kernels(b, c.parts);
    p->program[b->kind].region_parts = c.parts;
    return true;
}
