/* run.h - a plan run as symbols on all ranks: every four bytes of each arena hold a number that
 * says how they were made. Streams go on in adverse orders, as far as waits let them; so two plans
 * that end with the same numbers in all of them do the same. */
#ifndef BM_TESTS_RUN_H
#define BM_TESTS_RUN_H

#include "planner/verify/verify.h"

#include <stdlib.h>
#include <string.h>

typedef enum RunOrder { RUN_BY_ID, RUN_COMPUTE_FIRST, RUN_COMM_FIRST, RUN_ANY } RunOrder;

typedef struct RunResult {
    uint64_t digest; /* of everything kept and all results, on all ranks */
    bool hangs;
} RunResult;

typedef struct World {
    const Plan *p;
    int ranks;
    uint64_t **mem[2]; /* the device's, the host's; by rank */
    int64_t cells[2];
    int64_t turn;
    RunOrder order;
    uint64_t seed;
} World;

static inline uint64_t run_mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
}

typedef struct RunSpan {
    uint64_t *cell;
    int64_t n;
    int64_t at; /* the first cell's place in its buffer */
} RunSpan;

static inline RunSpan run_bytes(const World *w, int rank, int buffer, int64_t lo, int64_t end)
{
    const Buffer *b = &w->p->buffer.v[buffer];
    int64_t from = (b->offset + lo) / 4, to = (b->offset + end + 3) / 4, most = w->cells[b->host];
    from = from < 0 ? 0 : from > most ? most : from;
    to = to < from ? from : to > most ? most : to;
    return (RunSpan){w->mem[b->host][rank] + from, to - from, lo / 4};
}

static inline RunSpan run_arg(const World *w, int rank, const Step *s, int arg)
{
    const Buffer *b = &w->p->buffer.v[s->arg[arg].buffer];
    int64_t lo = 0, end = 0, q = rank % w->p->shared_by * s->arg[arg].by_rank;
    if (!reach_bytes(w->p, s, arg, &lo, &end)) {
        lo = s->arg[arg].offset;
        end = b->bytes;
    }
    return run_bytes(w, rank, b->id, lo + q, end + q);
}

/* ---- kernels ---- */

static inline uint64_t run_kernel_number(const Kernel *k)
{
    uint64_t h = hash_bytes(5, k->name, strcspn(k->name, ".")) /* of the one that was changed */;
    h = run_mix(h, k->tpl.key);
    for (int i = 0; i < k->fused.ins.n; i++)
        h = run_mix(h, k->fused.ins.v[i].key);
    for (int64_t i = 0; k->kind == K_NORM && i < k->tpl.rows; i++)
        h = run_mix(h, (uint64_t)k->group_grains[i]);
    return h;
}

static inline bool run_reads(const Kernel *k, int arg)
{
    if (k->kind != K_FUSED)
        return !k->arg_written[arg];
    for (int i = 0; i < k->fused.ins.n; i++) {
        const Ins *n = &k->fused.ins.v[i];
        if ((n->kind == I_LOAD || n->kind == I_GATHER) && k->fused.access.v[n->acc].arg == arg)
            return true;
    }
    return false;
}

static inline void run_kernel(World *w, int rank, const Step *s)
{
    const Kernel *k = s->kernel;
    uint64_t h = run_kernel_number(k);
    bool adds = (k->gemm.accumulates && k->kind == K_GEMM) ||
                (k->tpl.accumulates && k->kind != K_GEMM && k->kind != K_FUSED);
    for (int i = 0; i < k->n_arg; i++) {
        RunSpan x = run_arg(w, rank, s, i);
        for (int64_t j = 0; run_reads(k, i) && j < x.n; j++)
            h = run_mix(h, x.cell[j]);
    }
    for (int i = 0; i < k->n_arg; i++) {
        RunSpan x = run_arg(w, rank, s, i);
        bool old = adds && !s->anew && w->turn > 0;
        for (int64_t j = 0; k->arg_written[i] && j < x.n; j++)
            x.cell[j] = (old ? x.cell[j] : 0) + run_mix(h, (uint64_t)(i * 1000003 + j));
    }
}

static inline void run_zero(World *w, int rank, const Step *s)
{
    for (int i = 0; i < s->kernel->n_gap; i++) {
        int64_t lo = s->arg[0].offset + 4 * s->kernel->gap[i].at;
        RunSpan x = run_bytes(w, rank, s->arg[0].buffer, lo, lo + 4 * s->kernel->gap[i].count);
        memset(x.cell, 0, (size_t)x.n * sizeof *x.cell);
    }
}

static inline void run_tree(World *w, int rank, const Step *s)
{
    int64_t n = s->kernel->tpl.cols, levels = s->kernel->tpl.rows;
    RunSpan leaf = run_arg(w, rank, s, 0), tree = run_arg(w, rank, s, 1);
    for (int64_t j = 0; j < n; j++) {
        uint64_t x = leaf.cell[j];
        int64_t level = 0;
        for (; w->turn >> level & 1 && level + 1 < levels; level++)
            x = run_mix(tree.cell[level * n + j], x);
        tree.cell[level * n + j] = x;
    }
}

/* ---- collectives ---- */

static inline RunSpan run_part(const World *w, int rank, const Step *s, int arg, int64_t part,
                               int64_t elems)
{
    int64_t lo = s->arg[arg].offset + part;
    return run_bytes(w, rank, s->arg[arg].buffer, lo, lo + 4 * elems);
}

static inline void run_piece(World *w, const Step *s, int whole, int shard, const Segment *g)
{
    int k = (int)w->p->shared_by, kind = (int)s->kernel->kind;
    size_t size = (size_t)g->elems * sizeof(uint64_t);
    uint64_t *sum = malloc(size * (size_t)k);
    for (int q = 0; kind != K_ALL_GATHER && q < k; q++) /* over all ranks, in their order */
        for (int64_t j = 0; j < g->elems; j++) {
            uint64_t x = s->kernel->coll.tree ? 7 : 3, any = 0;
            for (int r = 0; r < w->ranks; r++) {
                uint64_t part = run_part(w, r, s, whole, 4 * g->stride * q, g->elems).cell[j];
                x = run_mix(x, part);
                any |= part;
            }
            sum[q * g->elems + j] = any ? x : 0; /* zeros make zero */
        }
    for (int r = 0; kind == K_REDUCE_SCATTER && r < w->ranks; r++) {
        RunSpan own = run_part(w, r, s, shard, s->arg[shard].by_rank * (r % k), g->elems);
        bool old = s->kernel->coll.accumulates && w->turn > 0;
        for (int64_t j = 0; j < g->elems; j++)
            own.cell[j] = sum[r % k * g->elems + j] + (old ? own.cell[j] : 0);
    }
    for (int r = 0; r < w->ranks && kind == K_ALL_GATHER; r += k) {
        for (int q = 0; q < k; q++)
            memcpy(sum + q * g->elems,
                   run_part(w, r + q, s, shard, s->arg[shard].by_rank * q, g->elems).cell, size);
        for (int q = 0; q < k * k; q++)
            memcpy(run_part(w, r + q / k, s, whole, 4 * g->stride * (q % k), g->elems).cell,
                   sum + q % k * g->elems, size);
    }
    for (int r = 0; r < w->ranks && kind == K_ALL_REDUCE; r++)
        for (int q = 0; q < k; q++)
            memcpy(run_part(w, r, s, whole, 4 * g->stride * q, g->elems).cell, sum + q * g->elems,
                   size);
    free(sum);
}

static inline void run_collective(World *w, const Step *s)
{
    const Kernel *k = s->kernel;
    int each = k->kind == K_ALL_REDUCE ? 1 : 2, n = k->coll.n_segment * each;
    for (int i = 0; i < k->coll.n_segment; i++)
        run_piece(w, s, i * each, i * each + 1, &k->coll.segment[i]);
    for (int r = 0; r < w->ranks && n < k->n_arg; r++) { /* staging is full of something */
        RunSpan x = run_part(w, r, s, n, 0, k->coll.chunk * (w->ranks - 1));
        for (int64_t j = 0; j < x.n; j++)
            x.cell[j] = run_mix((uint64_t)s->id, (uint64_t)j);
    }
}

static inline void run_step(World *w, const Step *s)
{
    switch (s->kernel->kind) {
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
        run_collective(w, s);
        return;
    default:
        break;
    }
    for (int r = 0; r < w->ranks; r++)
        if (s->kernel->kind == K_ZERO)
            run_zero(w, r, s);
        else if (s->kernel->kind == K_TREE)
            run_tree(w, r, s);
        else
            run_kernel(w, r, s);
}

/* ---- streams ---- */

static inline bool run_runs(const Step *s, bool first, bool last)
{
    return s->when == WHEN_ALWAYS || (s->when == WHEN_FIRST && first) ||
           (s->when == WHEN_LAST && last);
}

static inline int run_region_end(const Plan *p, int k)
{
    const Step *s = &p->step.v[k];
    while (s->region && k + 1 < p->step.n && p->step.v[k + 1].region == s->region &&
           p->step.v[k + 1].program == s->program && p->step.v[k + 1].phase == s->phase)
        k++;
    return k;
}

/* One run of a phase; false: it hangs. */
static inline bool run_phase(World *w, int lo, int hi, bool first, bool last)
{
    int at[N_STREAMS];
    for (int x = 0; x < N_STREAMS; x++)
        at[x] = lo;
    for (;;) {
        int best = -1;
        bool left = false;
        for (int x = 0; x < N_STREAMS; x++) {
            while (at[x] <= hi && ((int)w->p->step.v[at[x]].stream != x ||
                                   !run_runs(&w->p->step.v[at[x]], first, last)))
                at[x]++;
            left = left || at[x] <= hi;
        }
        for (int y = 0; y < N_STREAMS; y++) {
            int x = w->order == RUN_COMM_FIRST ? N_STREAMS - 1 - y : y;
            bool ready = at[x] <= hi;
            for (int k = 0; ready && k < N_STREAMS; k++)
                ready = w->p->step.v[at[x]].wait[k] < 0 ||
                        at[k] > run_region_end(w->p, w->p->step.v[at[x]].wait[k]);
            if (!ready)
                continue;
            w->seed = run_mix(w->seed, (uint64_t)at[x]);
            if (best < 0 || (w->order == RUN_BY_ID && at[x] < at[best]) ||
                (w->order == RUN_ANY && w->seed & 64))
                best = x;
        }
        if (best < 0)
            return !left;
        run_step(w, &w->p->step.v[at[best]]);
        at[best]++;
    }
}

/* ---- a program ---- */

static inline void run_fill(World *w, int rank, const Buffer *b, uint64_t h, int64_t from)
{
    RunSpan x = run_bytes(w, rank, b->id, 0, b->bytes);
    for (int64_t j = 0; j < x.n; j++)
        x.cell[j] = run_mix(h, (uint64_t)(from + j));
}

static inline void run_begin(World *w)
{
    const Plan *p = w->p;
    for (int r = 0; r < w->ranks; r++) {
        for (int h = 0; h < 2; h++)
            for (int64_t j = 0; j < w->cells[h]; j++)
                w->mem[h][r][j] = run_mix((uint64_t)(r * 2 + h + 11), (uint64_t)j);
        for (int i = 0; i < p->buffer.n; i++) {
            const Buffer *b = &p->buffer.v[i];
            int64_t own = b->sharded ? r % p->shared_by * b->bytes / 4 : 0;
            if (b->persistent)
                run_fill(w, r, b, hash_bytes(3, b->path, strlen(b->path)), own);
        }
    }
}

static inline void run_inputs(World *w, ProgramKind kind)
{
    for (int i = 0; i < w->p->buffer.n; i++) {
        const Buffer *b = &w->p->buffer.v[i];
        for (int r = 0; r < w->ranks && b->role == ROLE_INPUT && b->program == kind; r++)
            run_fill(w, r, b,
                     run_mix(hash_bytes(4, b->path, strlen(b->path)), (uint64_t)(w->turn * 64 + r)),
                     0);
    }
}

static inline uint64_t run_look(const World *w, int buffer, int64_t lo, int64_t end, uint64_t h)
{
    for (int r = 0; r < w->ranks && buffer >= 0; r++) {
        RunSpan x = run_bytes(w, r, buffer, lo, end);
        for (int64_t j = 0; j < x.n; j++)
            h = run_mix(h, x.cell[j]);
    }
    return h;
}

/* What a program leaves behind. */
static inline uint64_t run_results(const World *w, ProgramKind kind, uint64_t h)
{
    const Plan *p = w->p;
    for (int i = 0; i < p->buffer.n; i++)
        if (p->buffer.v[i].persistent)
            h = run_look(w, i, 0, p->buffer.v[i].bytes, h);
    for (int i = 0; i < p->term.n; i++) {
        const LossTerm *t = &p->term.v[i];
        if (t->program != kind || t->field)
            continue;
        h = run_look(w, t->num.buffer, t->num.offset, t->num.offset + 4, h);
        h = run_look(w, t->den.buffer, t->den.offset, t->den.offset + 4, h);
    }
    Operand n = p->program[kind].norm;
    return run_look(w, n.buffer, n.offset, n.offset + 4, h);
}

static inline RunResult run_plan(Arena *a, const Plan *p, RunOrder order, uint64_t seed)
{
    World w = {.p = p, .ranks = (int)p->ranks, .order = order, .seed = seed};
    RunResult result = {.digest = 1};
    w.cells[0] = p->arena_bytes / 4;
    w.cells[1] = p->host_bytes / 4;
    for (int h = 0; h < 2; h++) {
        w.mem[h] = arena_array(a, uint64_t *, w.ranks);
        for (int r = 0; r < w.ranks; r++)
            w.mem[h][r] = malloc((size_t)(w.cells[h] + 1) * sizeof(uint64_t));
    }
    run_begin(&w);
    for (int g = 0; g < N_PROGRAMS && !result.hangs; g++) {
        const ProgramPlan *x = &p->program[g];
        for (int f = 0; f < N_PHASES && x->present && !result.hangs; f++) {
            bool loop = f == PHASE_WEIGHT || f == PHASE_ROUND;
            int64_t turns = !loop ? 1 : x->rounds > 0 ? x->rounds : 2;
            for (w.turn = 0; w.turn < turns && !result.hangs; w.turn++) {
                if (loop)
                    run_inputs(&w, (ProgramKind)g);
                result.hangs = !run_phase(&w, x->first[f], x->first[f] + x->count[f] - 1,
                                          w.turn == 0, w.turn == turns - 1);
            }
        }
        if (x->present)
            result.digest = run_results(&w, (ProgramKind)g, result.digest);
    }
    for (int h = 0; h < 2; h++)
        for (int r = 0; r < w.ranks; r++)
            free(w.mem[h][r]);
    return result;
}

/* In every order what it was. */
static inline bool run_same(Arena *a, const Plan *p, const RunResult *want)
{
    static const RunOrder order[] = {RUN_BY_ID, RUN_COMPUTE_FIRST, RUN_COMM_FIRST, RUN_ANY,
                                     RUN_ANY};
    for (int i = 0; i < (int)(sizeof order / sizeof *order); i++) {
        RunResult r = run_plan(a, p, order[i], (uint64_t)i + 1);
        if (r.hangs || r.digest != want->digest)
            return false;
    }
    return true;
}

#endif
