/* heavy.c - items with a kernel of their own: products of matrices, attention, scatters, sums over
 * many columns. */
#include "planner/flat.h"
#include "planner/narrow.h"

/* Products of fewer rows have other last bits than the same rows of larger ones (runtime/gemm.c).
 */
enum { FEW_ROWS = 16 };

/* A matrix operand: the last two axes, a run of products before them, the batch. */
typedef struct Mat {
    int64_t rows, cols, rs, cs; /* sizes and strides */
    int64_t lead, ls;           /* how many matrices per sample, and their stride */
    int64_t bs;                 /* stride of samples */
    bool batched;
} Mat;

static Mat matrix(const Item *x)
{
    const Type *t = &x->type;
    const int64_t *s = x->place.stride;
    int n = t->ndim;
    Mat m = {
        .rows = t->dim[n - 2], .cols = t->dim[n - 1], .rs = s[n - 2], .cs = s[n - 1], .lead = 1};
    m.batched = t->batched;
    m.bs = x->place.batch;
    for (int k = n - 3; k >= 0; k--) {
        if (t->dim[k] == 1)
            continue;
        if (m.lead == 1)
            m.ls = s[k];
        m.lead *= t->dim[k];
    }
    if (m.cols == 1 && m.rows > 1)
        m.cs = 1;
    if (m.rows == 1 && m.cs == 1)
        m.rs = m.cols;
    if (m.rows == 1 && m.cols == 1)
        m.rs = m.cs = 1;
    return m;
}

static bool is_normal(const Mat *m) /* rows lie one after the other, each contiguous */
{
    return m->cs == 1;
}

/* All rows of a sample, and of all samples, at one stride? Then matrices fold into one tall matrix.
 */
static bool uniform_rows(const Mat *m, int64_t *stride)
{
    int64_t u = 0, n = 1;
    if (m->rows > 1) {
        u = m->rs;
        n = m->rows;
    }
    if (m->lead > 1) {
        if (u && m->ls != u * n)
            return false;
        if (!u)
            u = m->ls;
        n *= m->lead;
    }
    if (m->batched) {
        if (u && m->bs != u * n)
            return false;
        if (!u)
            u = m->bs;
    }
    *stride = u ? u : m->cols;
    return *stride >= m->cols;
}

static void gemm_step(Build *b, Item *i, Kernel *k)
{
    const Operand arg[] = {operand(b, i->in[0]->place.root, i->in[0]->place.offset),
                           operand(b, i->in[1]->place.root, i->in[1]->place.offset),
                           operand(b, i->place.root, i->place.offset)};
    k->kind = K_GEMM;
    k->n_arg = 3;
    for (int a = 0; a < 3; a++)
        k->arg_dtype[a] = DT_F32;
    k->arg_written[2] = true;
    k->least = 1;
    step_add(b, i, i->phase, kernel_intern(b, k, "gemm"), arg, op_info[i->op].name);
}

static void matmul(Build *b, Item *i)
{
    Mat x = matrix(i->in[0]), y = matrix(i->in[1]), z = matrix(i);
    Kernel k = {.batched = i->type.batched};
    Gemm *g = &k.gemm;
    *g = (Gemm){.m = x.rows, .n = y.cols, .k = x.cols};
    int64_t ux, uz;
    k.flops = 2 * z.lead * x.rows * x.cols * y.cols;
    k.bytes = 4 * (x.lead * x.rows * x.cols + (y.batched ? y.lead * y.rows * y.cols : 0) +
                   z.lead * z.rows * z.cols);
    k.units = z.lead * z.rows;
    g->ta = !is_normal(&x);
    g->tb = !is_normal(&y);
    g->lda = g->ta ? x.cs : x.rs;
    g->ldb = g->tb ? y.cs : y.rs;
    g->ldc = z.rs;
    if (!y.batched && y.lead == 1 && !g->ta && x.batched == z.batched && uniform_rows(&x, &ux) &&
        uniform_rows(&z, &uz)) {
        g->m = z.lead * z.rows; /* one tall product: the batch is more rows */
        g->m_nb = z.batched;
        if (z.batched && b->nb * g->m < FEW_ROWS && b->nb < b->plan->grain_batch &&
            b->kind == PROGRAM_TRAIN)
            b->plan->below_grain = true;
        g->lda = ux;
        g->ldc = uz;
    } else {
        g->count0_nb = z.batched;
        g->count0 = 1;
        g->a0 = x.batched ? x.bs : 0;
        g->b0 = y.batched ? y.bs : 0;
        g->c0 = z.batched ? z.bs : 0;
        g->count1 = z.lead;
        g->a1 = x.lead > 1 ? x.ls : 0;
        g->b1 = y.lead > 1 ? y.ls : 0;
        g->c1 = z.ls;
        if ((x.lead > 1 && x.lead != z.lead) || (y.lead > 1 && y.lead != z.lead))
            BUG("a product whose leading axes broadcast in part (%s)", i->node->path);
    }
    gemm_step(b, i, &k);
}

/* sum over all rows of x' y: rows of all samples in grains, one product after the other into the
 * same result. */
static void matmul_acc(Build *b, Item *i)
{
    Mat x = matrix(i->in[0]), y = matrix(i->in[1]);
    Kernel k = {.batched = true};
    Gemm *g = &k.gemm;
    *g = (Gemm){.m = x.cols, .n = y.cols, .ta = 1, .ldc = y.cols};
    g->accumulates = i->phase == PHASE_ROUND || i->phase == PHASE_WEIGHT;
    int64_t rows = max64(x.lead, y.lead) * x.rows, ux = 0, uy = 0;
    if (!is_normal(&x) || !is_normal(&y) || !uniform_rows(&x, &ux) || !uniform_rows(&y, &uy))
        BUG("rows of unequal strides in the gradient of %s", i->node->path);
    g->lda = ux;
    g->ldb = uy;
    k.flops = 2 * rows * x.cols * y.cols;
    k.bytes = 4 * rows * (x.cols + y.cols);
    k.units = rows;
    Grain c = grain_gemm(rows, b->plan->grain_batch);
    b->plan->grain_rows = max64(b->plan->grain_rows, c.rows);
    if (!x.batched ||
        !y.batched) { /* an operand that is the same for all samples: one product each */
        g->k = rows;
        g->sums = 1;
        g->sums_nb = true;
        g->as = x.batched ? rows * ux : 0;
        g->bs = y.batched ? rows * uy : 0;
    } else if (c.samples && b->nb % c.samples) {
        b->plan->below_grain = true;
        g->k = b->nb * rows;
        g->sums = 1;
    } else {
        g->k = c.rows;
        g->as = c.rows * ux;
        g->bs = c.rows * uy;
        g->sums = c.samples ? 1 : rows / c.rows;
        g->sums_nb = !c.samples;
        g->sums_samples = c.samples;
    }
    gemm_step(b, i, &k);
}

/* ---- kernels from templates ---- */

typedef struct Heavy {
    Build *b;
    Kernel k;
    Operand arg[24];
} Heavy;

static void add_arg(Heavy *h, Operand o, DType t, View v, bool written)
{
    Kernel *k = &h->k;
    h->arg[k->n_arg] = o;
    k->arg_dtype[k->n_arg] = t;
    k->arg_written[k->n_arg] = written;
    k->tpl.view[k->tpl.n_view++] = v;
    k->n_arg++;
}

static View view_of(const Item *x)
{
    View v = {.ndim = x->type.ndim, .batch_stride = x->type.batched ? x->place.batch : 0};
    for (int k = 0; k < v.ndim; k++) {
        v.dim[k] = x->type.dim[k];
        v.stride[k] = x->place.stride[k];
    }
    return v;
}

static void add_item(Heavy *h, const Item *x, bool written)
{
    add_arg(h, operand(h->b, x->place.root, x->place.offset), x->type.dtype, view_of(x), written);
}

/* The same tensor seen as [d0, d1, d2], stride 0 where it is broadcast. */
static void add_broadcast(Heavy *h, const Item *x, int64_t d0, int64_t d1, int64_t d2)
{
    const int64_t dim[3] = {d0, d1, d2};
    View v = {.ndim = 3, .batch_stride = x->type.batched ? x->place.batch : 0};
    for (int k = 0; k < 3; k++) {
        v.dim[k] = dim[k];
        v.stride[k] = aligned_stride(&x->type, x->place.stride, BM_DIMS - 3 + k);
    }
    add_arg(h, operand(h->b, x->place.root, x->place.offset), x->type.dtype, v, false);
}

/* A further result: its item, or memory nobody reads when the program has no use for it. */
static void add_part(Heavy *h, const Item *i, int index, const char *what, const Type *t)
{
    for (int k = 0; k < i->part.n; k++)
        if (i->part.v[k]->attr.part.index == index) {
            add_item(h, i->part.v[k], true);
            return;
        }
    Build *b = h->b;
    int64_t bytes = type_bytes(t);
    Item unused = {.type = *t};
    unused.place = place_contiguous(NULL, t);
    int buf = buffer_temp(b, arena_printf(b->a, "%s.%s", i->node->path, what), t->dtype, bytes,
                          t->batched);
    b->plan->buffer.v[buf].narrow = part_narrows(b->m, i, t);
    add_arg(h, (Operand){buf, 0, 0}, t->dtype, view_of(&unused), true);
}

static void finish(Heavy *h, Item *i, const char *stem)
{
    step_add(h->b, i, i->phase, kernel_intern(h->b, &h->k, stem), h->arg, op_info[i->op].name);
}

static void attention(Build *b, Item *i)
{
    bool grad = i->op == OP_ATTENTION_GRAD;
    Heavy h = {.b = b,
               .k = {.kind = grad ? K_ATTENTION_GRAD : K_ATTENTION,
                     .batched = i->type.batched,
                     .least = 1}};
    Kernel *k = &h.k;
    k->tpl.attr = i->attr;
    int64_t heads = i->attr.attention.heads, tq = i->in[0]->type.dim[0], tk = i->in[1]->type.dim[0];
    int64_t kv = i->attr.attention.kv_heads, d = i->in[0]->type.dim[1] / heads,
            dv = i->in[2]->type.dim[1] / kv;
    int plain = grad ? 6 : 3;
    for (int n = 0; n < i->n_in; n++) {
        if (n < plain)
            add_item(&h, i->in[n], false);
        else
            add_broadcast(&h, i->in[n], heads, tq, tk);
    }
    add_item(&h, i, true);
    Type lse = {DT_F32, i->type.batched, 2, {heads, tq}}, ks = i->in[1]->type, vs = i->in[2]->type;
    Type db = {DT_F32, i->type.batched, 3, {heads, tq, tk}};
    ks.batched = vs.batched = i->type.batched;
    if (grad) {
        add_part(&h, i, 1, "dk", &ks);
        add_part(&h, i, 2, "dv", &vs);
        if (i->attr.attention.has_bias)
            add_part(&h, i, 3, "dbias", &db);
    } else {
        add_part(&h, i, 1, "lse", &lse);
    }
    int64_t seen = i->attr.attention.causal ? (tk + 1) / 2 : tk;
    k->flops = (grad ? 5 : 2) * heads * tq * seen * (d + dv);
    k->bytes = 4 * (grad ? 4 : 1) * (tq * heads * (d + dv) + tk * kv * (d + dv));
    k->units = grad ? kv : heads * ((tq + ATTENTION_ROWS - 1) / ATTENTION_ROWS);
    if (i->attr.attention.dropout > 0) {
        k->uses_draw = true;
        int64_t site = i->attr.attention.site;
        k->tpl.key = hash_bytes(0x61747464726f70u, &site, sizeof site);
    }
    finish(&h, i, grad ? "attention_grad" : "attention");
}

static void scatter(Build *b, Item *i)
{
    Item *idx = i->in[0], *dy = i->in[1];
    Heavy h = {.b = b,
               .k = {.kind = K_SCATTER, .batched = false, .uses_first = true, .uses_count = true}};
    h.k.tpl.rows = i->attr.scatter.rows;
    h.k.tpl.cols = type_count(&i->type) / i->attr.scatter.rows;
    h.k.tpl.accumulates = idx->type.batched || dy->type.batched;
    h.k.units = h.k.tpl.cols;
    h.k.least = 16; /* a cache line: columns of two threads never share one */
    h.k.bytes = 3 * type_bytes(&dy->type);
    h.k.flops = type_count(&dy->type);
    add_item(&h, idx, false);
    add_item(&h, dy, false);
    add_item(&h, i, true);
    finish(&h, i, "scatter_add");
}

static void by_columns(Build *b, Item *i)
{
    Item *x = i->in[0];
    Heavy h = {.b = b,
               .k = {.kind = K_BATCH,
                     .batched = false,
                     .uses_first = true,
                     .uses_count = true,
                     .least = 1024}};
    h.k.tpl.cols = type_count(&x->type);
    h.k.tpl.accumulates = true;
    h.k.units = h.k.tpl.cols;
    h.k.flops = h.k.units;
    h.k.bytes = 4 * h.k.units;
    add_item(&h, x, false);
    add_item(&h, i, true);
    finish(&h, i, "sum_samples");
}

/* The squares of each group's gradients, a sum per grain of this rank's shard; then all grains. */
static void sum_squares(Build *b, Item *i)
{
    Plan *p = b->plan;
    int64_t per_rank = 0, at = 0, *grains = arena_array(b->a, int64_t, p->group.n + 1);
    for (int k = 0; k < p->group.n; k++)
        if (p->group.v[k].optimizer >= 0)
            per_rank += p->group.v[k].shard / NORM_GRAIN;
    int partial = buffer_temp(b, "grad_norm.grains", DT_F32, p->shared_by * per_rank * 4, false);
    int64_t by_rank = p->ranks > 1 ? per_rank * 4 : 0, groups = 0;
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        if (g->optimizer < 0)
            continue;
        grains[groups++] = g->used / NORM_GRAIN;
        Heavy h = {.b = b, .k = {.kind = K_SUM_SQUARES, .units = g->shard, .least = 1}};
        h.k.flops = 2 * h.k.units;
        h.k.bytes = 4 * h.k.units;
        View flat = {.ndim = 1, .dim = {g->shard}, .stride = {1}};
        View sums = {.ndim = 1, .dim = {g->shard / NORM_GRAIN}, .stride = {1}};
        add_arg(&h, flat_shard_of_grads(p, g), DT_F32, flat, false);
        add_arg(&h, (Operand){partial, at * 4, by_rank}, DT_F32, sums, true);
        finish(&h, i, "sum_squares");
        Step *s = &p->step.v[p->step.n - 1];
        s->instance = g->unit;
        s->path = g->path;
        s->group = k;
        at += g->shard / NORM_GRAIN;
    }
    Heavy h = {.b = b, .k = {.kind = K_NORM, .units = 1, .least = 1}};
    h.k.flops = p->shared_by * per_rank;
    h.k.bytes = 4 * h.k.flops;
    h.k.tpl.rows = groups;
    h.k.tpl.cols = p->shared_by;
    h.k.group_grains = grains;
    View all = {.ndim = 1, .dim = {p->shared_by * per_rank}, .stride = {1}};
    add_arg(&h, (Operand){partial, 0, 0}, DT_F32, all, false);
    add_item(&h, i, true);
    finish(&h, i, "norm");
}

static void along_axis(Build *b, Item *i)
{
    bool top = i->op == OP_TOP_K;
    const Type *t = &i->in[0]->type;
    Heavy h = {.b = b,
               .k = {.kind = top ? K_TOP_K : K_CUMSUM, .batched = i->type.batched, .least = 1}};
    h.k.tpl.attr = i->attr;
    h.k.tpl.axis = top ? t->ndim - 1 : __builtin_ctz(i->attr.cumsum.axes);
    h.k.units = type_count(t) / max64(t->dim[h.k.tpl.axis], 1);
    h.k.flops = type_count(t);
    h.k.bytes = 2 * type_bytes(t);
    add_item(&h, i->in[0], false);
    add_item(&h, i, true);
    if (top) {
        Type ints = i->type;
        ints.dtype = DT_INT;
        add_part(&h, i, 1, "index", &ints);
    }
    finish(&h, i, op_info[i->op].name);
}

void heavy_step(Build *b, Item *i)
{
    switch (i->op) {
    case OP_MATMUL:
        matmul(b, i);
        break;
    case OP_MATMUL_ACC:
        matmul_acc(b, i);
        break;
    case OP_ATTENTION:
    case OP_ATTENTION_GRAD:
        attention(b, i);
        break;
    case OP_SCATTER:
        scatter(b, i);
        break;
    case OP_BATCH_SUM:
        by_columns(b, i);
        break;
    case OP_SUM_SQUARES:
        sum_squares(b, i);
        break;
    case OP_CUMSUM:
    case OP_TOP_K:
        along_axis(b, i);
        break;
    default:
        BUG("'%s' has no kernel", op_info[i->op].name);
    }
}
