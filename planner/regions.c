/* regions.c - the loss head in chunks of samples, or of parts of one (regions_cut.c), so that the
 * logits of a whole micro-batch need not exist.
 *
 * The region is the run of steps from the product that makes the logits to the last step that reads
 * anything as wide. Its steps run once per chunk; what lives only inside holds one chunk's samples.
 * Sums over tokens keep their grains (a chunk is whole grains) and their order, so a chunked and a
 * whole head give the same bits. */
#include "planner/build.h"

bool step_uses(const Step *s, int buffer)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        if (s->arg[j].buffer == buffer)
            return true;
    return false;
}

/* What a fused step makes of the logits, element for element, is as large as they are. */
static bool made_of_logits(const Plan *p, const Step *s, int j, int64_t sample_bytes)
{
    const Buffer *x = &p->buffer.v[s->arg[j].buffer];
    return s->kernel->kind == K_FUSED && s->kernel->arg_written[j] && x->batched &&
           x->sample_bytes == sample_bytes;
}

/* A chunk's partial sums are folded in its turn. */
int region_folds(const Plan *p, int lo, int hi, int end)
{
    int last = hi;
    for (int k = lo; k <= hi; k++)
        for (int j = 0; j < p->step.v[k].kernel->n_arg && p->step.v[k].kernel->fused.chunk; j++)
            for (int later = last + 1; later < end; later++)
                if (p->step.v[later].kernel->kind == K_FOLD &&
                    p->step.v[later].arg[0].buffer == p->step.v[k].arg[j].buffer)
                    last = later;
    return last;
}

/* Steps lo..hi touch the logits or what is made of them. */
static void span_of_head(const Plan *p, const ProgramPlan *g, int logits, int *lo, int *hi)
{
    int first = g->first[PHASE_ROUND], end = first + g->count[PHASE_ROUND];
    int64_t wide = p->buffer.v[logits].sample_bytes;
    *lo = -1;
    for (int k = first; k < end; k++) {
        const Step *s = &p->step.v[k];
        if (step_uses(s, logits)) {
            if (*lo < 0)
                *lo = k;
            *hi = k;
        }
    }
    if (*lo < 0)
        return;
    int last =
        *hi; /* of the logits themselves: what later steps make is a gradient of something else */
    for (int k = *lo; k <= last; k++)
        for (int j = 0; j < p->step.v[k].kernel->n_arg; j++)
            for (int later = *hi + 1; made_of_logits(p, &p->step.v[k], j, wide) && later < end;
                 later++)
                if (step_uses(&p->step.v[later], p->step.v[k].arg[j].buffer))
                    *hi = later;
    *hi = region_folds(p, *lo, *hi, end);
}

/* Samples that are whole grains of every sum in the region. */
static int64_t whole_grains(const Plan *p, int lo, int hi, int64_t batch)
{
    int64_t samples = 1;
    for (int k = lo; k <= hi; k++) {
        const Kernel *n = p->step.v[k].kernel;
        int64_t s = 1;
        if (n->kind == K_GEMM && n->gemm.sums_samples)
            s = n->gemm.sums_samples;
        if (n->kind == K_FUSED && n->fused.chunk > n->units)
            s = n->fused.chunk / n->units;
        if (n->kind == K_GEMM && n->gemm.accumulates && !n->gemm.sums_nb && !n->gemm.sums_samples)
            return batch; /* below a grain already: never cut */
        while (samples % s)
            samples++; /* both divide the batch: ends there at the latest */
    }
    return samples;
}

/* Every step must be one that can be done for some samples only. */
static bool can_chunk(const Plan *p, int lo, int hi)
{
    for (int k = lo; k <= hi; k++) {
        const Kernel *n = p->step.v[k].kernel;
        bool adds = n->uses_first || (n->kind == K_GEMM && n->gemm.accumulates);
        if (!n->batched && !adds)
            return false;
    }
    return true;
}

static int64_t rows_of_logits(const Plan *p)
{
    const Type *t = &p->model->train.logits->type;
    return t->ndim > 1 ? type_count(t) / t->dim[t->ndim - 1] : 1;
}

void region_of_head(Build *b, int logits)
{
    Plan *p = b->plan;
    ProgramPlan *g = &p->program[PROGRAM_TRAIN];
    if (logits < 0 || !p->buffer.v[logits].batched)
        return;
    int lo, hi = 0;
    span_of_head(p, g, logits, &lo, &hi);
    if (lo < 0)
        return;
    int64_t rows = rows_of_logits(p);
    if (rows > HEAD_ROWS &&
        region_cut(b, lo, hi, p->buffer.v[logits].sample_bytes, rows, HEAD_ROWS))
        return;
    if (!can_chunk(p, lo, hi))
        return;
    int64_t grain = whole_grains(p, lo, hi, p->grain_batch);
    int64_t samples = round_up(max64(1, HEAD_ROWS / max64(rows, 1)), grain);
    if (samples >= p->micro_batch)
        return;
    g->region_samples = samples;
    for (int k = lo; k <= hi; k++)
        p->step.v[k].region = 1;
}

/* Before offsets: buffers of the region hold a chunk; what enters or leaves it stays for all its
 * turns. */
void region_buffers(Plan *p)
{
    const ProgramPlan *g = &p->program[PROGRAM_TRAIN];
    if (!g->region_samples && !g->region_parts)
        return;
    int lo = -1, hi = -1;
    for (int k = 0; k < p->step.n; k++)
        if (p->step.v[k].region) {
            lo = lo < 0 ? k : lo;
            hi = k;
        }
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        Buffer *x = &p->buffer.v[k];
        if (x->program != PROGRAM_TRAIN || x->first < 0 || x->first > hi || x->last < lo)
            continue;
        bool inside =
            x->first >= lo && x->last <= hi && x->role != ROLE_INPUT && x->role != ROLE_GRAD;
        if (inside && x->batched) {
            x->region = 1;
            x->bytes = g->region_parts ? x->sample_bytes / g->region_parts
                                       : x->sample_bytes * g->region_samples;
        } else if (!inside) {
            x->first = x->first < lo ? x->first : lo;
            x->last = x->last > hi ? x->last : hi;
        }
    }
}

int64_t step_samples(const Plan *p, const Step *s)
{
    const ProgramPlan *g = &p->program[s->program];
    return s->region && g->region_parts ? g->micro_batch * g->region_parts : g->micro_batch;
}

int64_t step_chunk(const Plan *p, const Step *s)
{
    const ProgramPlan *g = &p->program[s->program];
    if (!s->region)
        return g->micro_batch;
    return g->region_parts ? 1 : g->region_samples ? g->region_samples : g->micro_batch;
}
