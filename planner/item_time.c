/* item_time.c - what it takes to compute an item again, before there is a kernel for it.
 *
 * A product and an attention are kernels of their own, counted as cost_work.c counts those. What is
 * fused takes its operations; where a value of it is written, that is a kernel's launch, its
 * reading and its writing as well. Estimates: they rank sets of kept values, and what is chosen is
 * planned and timed as it is. */
#include "planner/cost.h"
#include "planner/narrow.h"
#include "planner/recompute.h"

typedef struct Rates {
    const Machine *machine;
    const Model *model;
    int64_t nb;
} Rates;

/* The machine's time of a kernel that need not be right, only as large: strides say what is read
 * for every sample. */
static int64_t kernel_time(const Rates *r, const Kernel *k)
{
    Work w = cost_work(r->machine->target, k, r->nb); /* saturates */
    return cost_work_ps(r->machine, &w);
}

/* Leading axes are rows where the right operand is one matrix for all of them. */
static int64_t product_time(const Rates *r, const Item *i)
{
    const Type *z = &i->type, *x = &i->in[0]->type, *y = &i->in[1]->type;
    int64_t n = z->dim[z->ndim - 1], rows = type_count(z) / max64(n, 1);
    int64_t matrices =
        max64(type_count(y) / max64(y->dim[y->ndim - 1] * x->dim[x->ndim - 1], 1), 1);
    bool folds = !y->batched && matrices == 1;
    Kernel k = {.kind = K_GEMM, .batched = z->batched, .least = 1};
    k.gemm = (Gemm){.m = folds ? rows : rows / matrices,
                    .n = n,
                    .k = x->dim[x->ndim - 1],
                    .count0 = 1,
                    .count1 = folds ? 1 : matrices,
                    .a1 = 1,
                    .b1 = 1};
    k.arg_dtype[0] = item_dtype(r->model, i->in[0]);
    k.arg_dtype[1] = item_dtype(r->model, i->in[1]);
    k.arg_dtype[2] = item_dtype(r->model, i);
    k.gemm.m_nb = folds && z->batched;
    k.gemm.count0_nb = !folds && z->batched;
    k.gemm.a0 = x->batched;
    k.gemm.b0 = y->batched;
    return kernel_time(r, &k);
}

static void add_view(const Rates *r, Kernel *k, const Item *i)
{
    const Type *t = &i->type;
    View v = {.batch_stride = t->batched, .ndim = t->ndim};
    for (int j = 0; j < t->ndim; j++) {
        v.dim[j] = t->dim[j];
        v.stride[j] = 1;
    }
    k->tpl.view[k->tpl.n_view++] = v;
    k->arg_dtype[k->n_arg++] = item_dtype(r->model, i);
}

static int64_t attention_time(const Rates *r, const Item *i)
{
    int64_t heads = i->attr.attention.heads, tq = i->in[0]->type.dim[0];
    Kernel k = {.kind = K_ATTENTION, .batched = i->type.batched, .least = 1};
    k.tpl.attr = i->attr;
    k.units = heads * ((tq + ATTENTION_ROWS - 1) / ATTENTION_ROWS);
    for (int j = 0; j < i->n_in; j++)
        add_view(r, &k, i->in[j]);
    add_view(r, &k, i);
    return kernel_time(r, &k);
}

static int64_t elements(const Rates *r, const Type *t)
{
    int64_t n;
    return mul_ok(type_count(t), t->batched ? r->nb : 1, &n) ? n : INT64_MAX;
}

/* Read, worked on, written; `passing`: only worked on, in some other kernel. */
static int64_t fused_time(const Rates *r, const Item *i, bool passing)
{
    int64_t most = elements(r, &i->type), read = 0;
    for (int j = 0; j < i->n_in; j++) {
        int64_t n = elements(r, &i->in[j]->type);
        most = max64(most, i->op == OP_GATHER || i->op == OP_PICK ? 0 : n);
        if (i->in[j]->cls != IC_VIRTUAL && !add_ok(read, min64(n, elements(r, &i->type)), &read))
            read = INT64_MAX;
    }
    if (most > COST_MOST_PS || read > COST_MOST_PS)
        return COST_MOST_PS;
    Work w = {.ops = most * cost_op(i->op), .units = most, .least = 1};
    if (!passing) {
        w.ops += elements(r, &i->type) + read;
        w.bytes = dtype_size(item_dtype(r->model, i)) * (elements(r, &i->type) + read);
    }
    int64_t ps = cost_work_ps(r->machine, &w);
    return passing ? max64(ps - r->machine->launch_ps, 0) : ps;
}

static int64_t time_of_item(const void *model, const Item *i, bool passing)
{
    const Rates *r = model;
    switch (i->op) {
    case OP_MATMUL:
        return product_time(r, i);
    case OP_ATTENTION:
        return attention_time(r, i);
    case OP_CONCAT:
    case OP_PAD: /* written piece by piece, by who makes them */
        return 0;
    default:
        return fused_time(r, i, passing);
    }
}

ItemTime item_time(Arena *a, const Machine *m, const Model *model, int64_t nb)
{
    Rates *r = arena_make(a, Rates);
    *r = (Rates){.machine = m, .model = model, .nb = nb};
    return (ItemTime){time_of_item, r};
}
