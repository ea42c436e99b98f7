/* cost_work.c - what a kernel does, counted: products, operations on elements, bytes. */
#include "planner/cost.h"

/* In simple operations of a vector unit (an addition, a load); measured against each other on
 * AVX-512 and AVX2 machines, exact for none. */
enum {
    VECTOR = 16,       /* columns of a row are done in vectors */
    SCALAR = 16,       /* what is done for one element at a time */
    BRANCH = 256,      /* and with a branch nobody can foretell */
    GATHERED = 16,     /* a load or store of elements that do not lie side by side */
    SWEEP = 2,         /* another pass over a row: load and keep */
    PHILOX = 270,      /* ten rounds in integers */
    SUMMED = 18,       /* a square in a sum of squares: the runtime is built for any processor */
    SOFTMAX = 80,      /* of a score: maximum, exponential, sum, rescaling */
    SOFTMAX_GRAD = 48, /* of a score: exponential and differences */
    TILE_ROWS = 64,    /* of a product: what one worker does at a time, at least */
    TILE_COLUMNS = 192
};

/* Saturating: what does not fit is COST_MOST_PS of anything. */
static int64_t times(int64_t a, int64_t b)
{
    int64_t x;
    return mul_ok(a, b, &x) ? x : INT64_MAX;
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t x;
    return add_ok(a, b, &x) ? x : INT64_MAX;
}

static int64_t up(int64_t n, int64_t d)
{
    return n / d + (n % d != 0);
}

/* ---- elementwise ---- */

int64_t cost_op(Op op)
{
    static const struct {
        Op op;
        int work;
    } row[] = {
        {OP_SQRT, 6},  {OP_DIV, 6},       {OP_IDIV, 48},       {OP_MOD, 56},
        {OP_EXP, 40},  {OP_LOG, 56},      {OP_SIN, 88},        {OP_COS, 88},
        {OP_TANH, 80}, {OP_ERF, 84},      {OP_SIGMOID, 52},    {OP_GELU, 100},
        {OP_SILU, 52}, {OP_SOFTPLUS, 80}, {OP_GELU_TANH, 60},  {OP_GELU_TANH_D, 80},
        {OP_ELU, 46},  {OP_POW, 180},     {OP_RANDOM, PHILOX},
    };
    for (int i = 0; i < countof(row); i++)
        if (row[i].op == op)
            return row[i].work;
    switch (op_info[op].cost) {
    case COST_free:
        return 0;
    case COST_cheap:
    case COST_row:
    case COST_move:
    case COST_gemm:
    case COST_attention:
        return 1;
    case COST_costly:
        return 40;
    }
    BUG("op %d has no cost", (int)op);
}

typedef struct Domain { /* of a fused kernel: how often things happen in a launch */
    const Fused *f;
    int64_t extent[MAX_AXES];
    int64_t units, points; /* points: columns in whole vectors */
    int64_t columns;       /* 0: no rows */
} Domain;

static Domain domain_of(const Kernel *k, int64_t nb)
{
    const Fused *f = &k->fused;
    Domain d = {.f = f, .units = k->batched ? times(k->units, nb) : k->units};
    for (int i = 0; i < f->n_axis; i++)
        d.extent[i] = f->extent[i];
    if (k->batched && f->n_axis > 0)
        d.extent[0] = times(d.extent[0], nb);
    d.columns = f->n_inner ? f->extent[f->n_axis - 1] : 0;
    d.points = times(d.units, d.columns ? round_up(d.columns, VECTOR) : 1);
    return d;
}

/* The column's stride, of a flat kernel the last axis's. */
static int64_t inner_stride(const Domain *d, const Access *a)
{
    return d->f->n_axis > 0 ? a->stride[d->f->n_axis - 1] : 0;
}

static int64_t ops_of(const Domain *d, const Ins *n)
{
    int64_t points = n->row && d->columns ? times(d->units, SCALAR) : d->points;
    const Access *a = n->acc >= 0 ? &d->f->access.v[n->acc] : NULL;
    switch (n->kind) {
    case I_LOAD:
    case I_STORE: {
        int64_t s = inner_stride(d, a);
        if (s == 0 && !d->columns && n->kind == I_LOAD)
            return 0; /* once, before the loop */
        return times(points, n->row || s == 0 || s == 1 || s == -1 ? 1 : GATHERED);
    }
    case I_GATHER:
        return times(points, d->columns && d->f->ins.v[n->in[0]].row ? 1 : GATHERED);
    case I_INDEX:
        return points;
    case I_CONST:
        return 0;
    case I_ELEM:
        return times(points, cost_op(n->op));
    case I_RANDOM:
        return times(points, PHILOX);
    case I_REDUCE: { /* columns into lanes, then the lanes of each row */
        bool branches = n->op == OP_ARGMAX;
        int64_t lanes = min64(branches ? d->columns : round_up(d->columns, LANES / 4), LANES);
        return plus(times(d->points, branches ? 4 : 2),
                    times(d->units, times(lanes, branches ? BRANCH : 1)));
    }
    case I_COLSUM:
        return times(points, 3);
    }
    BUG("an instruction of kind %d has no cost", (int)n->kind);
}

/* Elements an access touches: those it meets again are in a cache. */
static int64_t touched(const Domain *d, const Ins *n, const Access *a)
{
    int64_t all = 1;
    if (n->kind == I_GATHER)
        return d->columns ? times(d->units, d->columns) : d->units;
    for (int i = 0; i < d->f->n_axis; i++)
        if (a->stride[i])
            all = times(all, d->extent[i]);
    return all;
}

/* Loads of one place by two instructions are one. */
static bool met_before(const Fused *f, int i)
{
    for (int j = 0; j < i; j++)
        if (f->ins.v[j].kind == f->ins.v[i].kind && f->ins.v[j].acc == f->ins.v[i].acc)
            return true;
    return false;
}

static Work fused_work(const Kernel *k, int64_t nb)
{
    Domain d = domain_of(k, nb);
    const Fused *f = &k->fused;
    Work w = {.units = f->chunk ? up(d.units, f->chunk) : d.units, .least = k->least};
    for (int i = 0; i < f->ins.n; i++) {
        const Ins *n = &f->ins.v[i];
        w.ops = plus(w.ops, ops_of(&d, n));
        if (n->kind == I_COLSUM) {
            int64_t partial = times(w.units, max64(d.columns, 1));
            w.bytes = plus(w.bytes, times(partial, 2 * dtype_size(n->dtype)));
        } else if (n->acc >= 0 && !met_before(f, i)) {
            const Access *a = &f->access.v[n->acc];
            w.bytes = plus(w.bytes, times(touched(&d, n, a), dtype_size(a->dtype)));
        }
    }
    if (d.columns && f->n_stage > 1)
        w.ops = plus(w.ops, times(d.points, (int64_t)SWEEP * (f->n_stage - 1)));
    return w;
}

/* ---- products ---- */

/* Products of two narrow matrices have a rate of their own. */
static MathType math_of(const Kernel *k)
{
    if (k->arg_dtype[0] != k->arg_dtype[1])
        return MATH_F32;
    return k->arg_dtype[0] == DT_BF16 ? MATH_BF16 : k->arg_dtype[0] == DT_F16 ? MATH_F16 : MATH_F32;
}

static Work gemm_work(const Kernel *k, int64_t nb)
{
    const Gemm *g = &k->gemm;
    int64_t m = times(g->m, g->m_nb ? nb : 1);
    int64_t count0 = times(max64(g->count0, 1), g->count0_nb ? nb : 1);
    int64_t count = times(count0, max64(g->count1, 1));
    int64_t sums = g->sums_samples ? max64(nb / g->sums_samples, 1)
                                   : times(max64(g->sums, 1), g->sums_nb ? nb : 1);
    int64_t mn = times(m, g->n), mk = times(m, g->k), kn = times(g->k, g->n);
    int64_t as = times(g->a0 ? count0 : 1, g->a1 ? max64(g->count1, 1) : 1);
    int64_t bs = times(g->b0 ? count0 : 1, g->b1 ? max64(g->count1, 1) : 1);
    Work w = {.products = times(times(2, times(mn, g->k)), times(count, sums)),
              .size = min64(min64(m, g->n), g->k),
              .type = math_of(k),
              .least = 1};
    w.units =
        times(times(up(m, TILE_ROWS), max64(1, (g->n + TILE_COLUMNS / 2) / TILE_COLUMNS)), count);
    int64_t a = times(times(mk, as), g->as ? sums : 1), b = times(times(kn, bs), g->bs ? sums : 1);
    int64_t c = times(times(mn, count), g->accumulates ? 2 : 1);
    w.bytes =
        plus(times(a, dtype_size(k->arg_dtype[0])),
             plus(times(b, dtype_size(k->arg_dtype[1])), times(c, dtype_size(k->arg_dtype[2]))));
    return w;
}

/* Scores that are computed: blocks of queries against the keys any of them sees. */
static int64_t scores_of(const Kernel *k, int64_t tq, int64_t tk)
{
    int64_t seen = tk;
    if (k->tpl.attr.attention.causal)
        seen = min64(seen, (min64(tk, tq) + ATTENTION_ROWS) / 2);
    if (k->tpl.attr.attention.window > 0)
        seen = min64(seen, plus(k->tpl.attr.attention.window, ATTENTION_ROWS));
    return times(tq, seen);
}

/* What is shared out: on a GPU a gradient's blocks of keys too, for each head of the queries
 * (FlashAttention-2, Dao 2023, section 3.2). */
static int64_t attention_units(Target t, const Kernel *k)
{
    if (t == TARGET_C || k->kind != K_ATTENTION_GRAD)
        return k->units;
    return times(k->tpl.attr.attention.heads, up(k->tpl.view[1].dim[0], ATTENTION_ROWS));
}

static Work attention_work(Target t, const Kernel *k, int64_t nb)
{
    bool grad = k->kind == K_ATTENTION_GRAD;
    int64_t heads = k->tpl.attr.attention.heads, kv = k->tpl.attr.attention.kv_heads;
    const View *q = &k->tpl.view[0], *key = &k->tpl.view[1], *v = &k->tpl.view[2];
    int64_t d = q->dim[1] / heads + v->dim[1] / kv;
    int64_t samples = k->batched ? nb : 1;
    int64_t scores = times(times(scores_of(k, q->dim[0], key->dim[0]), heads), samples);
    int64_t extra = k->tpl.attr.attention.dropout > 0 ? PHILOX : 0;
    Work w = {.products = times(scores, (grad ? 5 : 2) * d),
              .attention = true,
              .ops = times(scores, (grad ? SOFTMAX_GRAD : SOFTMAX) + extra),
              .units = times(attention_units(t, k), samples),
              .least = k->least};
    for (int i = 0; i < k->n_arg && i < k->tpl.n_view; i++) {
        int64_t n = 1;
        for (int j = 0; j < k->tpl.view[i].ndim; j++)
            if (k->tpl.view[i].stride[j])
                n = times(n, k->tpl.view[i].dim[j]);
        n = times(n, k->tpl.view[i].batch_stride ? samples : 1);
        w.bytes = plus(w.bytes, times(n, dtype_size(k->arg_dtype[i])));
    }
    return w;
}

/* ---- the others ---- */

/* Kernels whose loop over samples is inside: `count` elements a unit. */
static Work columns_work(const Kernel *k, int64_t count, int64_t ops, int64_t bytes)
{
    int64_t all = times(k->units, count);
    return (Work){
        .ops = times(all, ops), .bytes = times(all, bytes), .units = k->units, .least = k->least};
}

static int64_t scattered(const Kernel *k, int64_t nb)
{
    int64_t rows = 1;
    for (int j = 0; j < k->tpl.view[0].ndim; j++)
        rows = times(rows, k->tpl.view[0].dim[j]);
    return times(rows, k->tpl.accumulates ? nb : 1);
}

Work cost_work(Target t, const Kernel *k, int64_t nb)
{
    int64_t samples = k->batched ? nb : 1;
    Work w = {.ops = times(k->flops, samples),
              .bytes = times(k->bytes, samples),
              .units = times(k->units, samples),
              .least = k->least};
    switch (k->kind) {
    case K_FUSED:
        return fused_work(k, nb);
    case K_GEMM:
        return gemm_work(k, nb);
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
        return attention_work(t, k, nb);
    case K_FOLD: /* chunks of so many rows: tpl.axis */
        return columns_work(k, up(times(max64(k->tpl.rows, 1), nb), max64(k->tpl.axis, 1)), 2, 4);
    case K_BATCH:
        return columns_work(k, nb, 2, 4);
    case K_SCATTER:
        return columns_work(k, scattered(k, nb), 4, 4);
    case K_CUMSUM:
        w.ops = times(w.ops, SCALAR);
        return w;
    case K_TOP_K:
        w.ops = times(w.ops, times(SCALAR, max64(k->tpl.attr.top_k.k, 1)));
        return w;
    case K_SUM_SQUARES:
        w.ops = times(k->units, SUMMED);
        w.units = up(k->units, NORM_GRAIN);
        w.least = 16;
        return w;
    case K_NORM:
        w.ops = times(w.ops, SCALAR);
        return w;
    case K_ZERO:
        w.ops = 0;
        for (int i = 0; i < k->n_gap; i++)
            w.ops = plus(w.ops, k->gap[i].count);
        w.bytes = times(w.ops, 4);
        return w;
    case K_TREE:
    case K_EXACT_SUM:
    case K_EXACT_TOTAL:
        return w;
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
    case K_COPY:
        break;
    }
    BUG("kernel %s has no work of its own", k->name);
}
