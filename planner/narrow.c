/* narrow.c - a plan in f32 made one of bf16 or fp16.
 *
 * The programs' steps exist, with f32 everywhere; buffers know whether they are narrow (narrow.h).
 * What changes is how long they are, where operands begin in them and what type kernels find there:
 * nothing of what is computed, in which order, or of what is kept. */
#include "planner/narrow.h"
#include "planner/flat.h"
#include "planner/fused.h"

#include <string.h>

/* ---- which values ---- */

static int64_t rows_of(const Model *m)
{
    int64_t rows = 1;
    for (int k = 0; k < m->input.n; k++) {
        const Type *t = &m->input.v[k].type;
        if (t->ndim > 1 || (t->ndim == 1 && t->dtype != DT_F32))
            rows = max64(rows, t->dim[0]);
    }
    return rows;
}

static bool type_narrows(const Model *m, const Type *t)
{
    return model_is_narrow(m) && t->dtype == DT_F32 && t->batched && type_count(t) > rows_of(m) &&
           t->dim[t->ndim - 1] > 1;
}

/* A query's logarithm of the sum of its weights is once a row and head. */
bool part_narrows(const Model *m, const Item *i, const Type *part)
{
    return i->op != OP_ATTENTION && type_narrows(m, part);
}

bool item_narrows(const Model *m, const Item *root)
{
    if (root->cls == IC_PART)
        return part_narrows(m, root->in[0], &root->type);
    return type_narrows(m, &root->type);
}

DType item_dtype(const Model *m, const Item *i)
{
    while (i->cls == IC_VIEW)
        i = i->in[0];
    bool param = i->op == OP_PARAM && model_is_narrow(m);
    return param || item_narrows(m, i) ? m->precision : i->type.dtype;
}

int64_t item_bytes(const Model *m, const Item *i)
{
    return type_count(&i->type) * dtype_size(item_dtype(m, i));
}

/* ---- buffers, operands ---- */

typedef struct Narrow {
    Plan *p;
    Build b; /* where kernels are made */
    DType dtype;
} Narrow;

static void narrow_buffers(Narrow *n)
{
    for (int k = 0; k < n->p->buffer.n; k++) {
        Buffer *x = &n->p->buffer.v[k];
        if (!x->narrow)
            continue;
        if (x->dtype != DT_F32)
            BUG("'%s' is narrow and no float", x->path);
        x->dtype = n->dtype;
        x->bytes /= 2;
        x->sample_bytes /= 2;
    }
}

static bool narrow_operand(const Narrow *n, Operand *o)
{
    if (o->buffer < 0 || !n->p->buffer.v[o->buffer].narrow)
        return false;
    o->offset /= 2;
    o->by_rank /= 2;
    return true;
}

static void narrow_results(Narrow *n)
{
    for (int k = 0; k < N_PROGRAMS; k++) {
        narrow_operand(n, &n->p->program[k].norm);
        narrow_operand(n, &n->p->program[k].logits);
    }
    for (int k = 0; k < n->p->term.n; k++) {
        LossTerm *t = &n->p->term.v[k];
        if (narrow_operand(n, &t->num) && t->field)
            t->dtype = n->dtype;
        narrow_operand(n, &t->den);
    }
}

/* ---- kernels ---- */

/* The copy's own lists: it shares them with the kernel in f32. */
static void own_lists(Narrow *n, Kernel *k)
{
    Fused f = k->fused;
    k->fused.access.v = NULL;
    k->fused.access.n = k->fused.access.cap = 0;
    k->fused.ins.v = NULL;
    k->fused.ins.n = k->fused.ins.cap = 0;
    for (int j = 0; j < f.access.n; j++) {
        Access a = f.access.v[j];
        a.dtype = k->arg_dtype[a.arg];
        vec_push(n->p->arena, &k->fused.access, a);
    }
    for (int j = 0; j < f.ins.n; j++)
        vec_push(n->p->arena, &k->fused.ins, f.ins.v[j]);
}

/* The group whose master an argument is, when the step writes it. */
static const FlatGroup *master_written(const Narrow *n, const Step *s, int arg)
{
    const Buffer *x = &n->p->buffer.v[s->arg[arg].buffer];
    const FlatGroup *g = x->group >= 0 ? &n->p->group.v[x->group] : NULL;
    return g && s->kernel->arg_written[arg] && g->master == x->id + 1 ? g : NULL;
}

/* What is stored to argument `from` is stored to the narrow copy too. */
static void store_copy(Narrow *n, Step *s, Kernel *k, int from, const FlatGroup *g)
{
    Fused *f = &k->fused;
    int to = k->n_arg++, ins = f->ins.n;
    if (k->kind != K_FUSED || to >= countof(k->arg_dtype))
        BUG("%s cannot write '%s' twice", k->name, g->path);
    Operand *arg = arena_array(n->p->arena, Operand, k->n_arg);
    memcpy(arg, s->arg, (size_t)to * sizeof *arg);
    s->arg = arg;
    arg[to] = g->offload ? (Operand){g->host_params, 0, 0} : flat_own_params(n->p, g);
    k->arg_dtype[to] = n->dtype;
    k->arg_written[to] = true;
    for (int j = 0; j < ins; j++) {
        Ins x = f->ins.v[j];
        if (x.kind != I_STORE || f->access.v[x.acc].arg != from)
            continue;
        Access a = f->access.v[x.acc];
        a.arg = to;
        a.dtype = x.dtype = n->dtype;
        vec_push(n->p->arena, &f->access, a);
        x.acc = f->access.n - 1;
        vec_push(n->p->arena, &f->ins, x);
    }
}

/* Bytes of kernels that are not fused are counted for what samples have. */
static void narrow_step(Narrow *n, Step *s)
{
    Kernel k = *s->kernel;
    int args = k.n_arg;
    bool any = false;
    for (int j = 0; j < args; j++)
        if (narrow_operand(n, &s->arg[j])) {
            k.arg_dtype[j] = n->dtype;
            any = true;
        }
    if (k.kind == K_FUSED)
        own_lists(n, &k);
    else if (any)
        k.bytes /= 2;
    for (int j = 0; j < args; j++) {
        const FlatGroup *g = master_written(n, s, j);
        if (g)
            store_copy(n, s, &k, j, g);
    }
    if (k.kind == K_FUSED)
        k.bytes = fused_bytes(&k);
    s->kernel = kernel_intern(&n->b, &k, k.what);
    for (int j = 0; j < s->named.n; j++)
        if (n->p->buffer.v[s->named.v[j].buffer].narrow)
            s->named.v[j].dtype = n->dtype;
}

Map *narrow_plan(Plan *p, Map *kernels)
{
    if (!model_is_narrow(p->model))
        return kernels;
    Narrow n = {.p = p, .dtype = p->model->precision};
    n.b = (Build){.a = p->arena, .m = p->model, .plan = p, .kernels = map_new(p->arena)};
    narrow_buffers(&n);
    narrow_results(&n);
    p->kernel.v = NULL;
    p->kernel.n = p->kernel.cap = 0;
    for (int k = 0; k < p->step.n; k++)
        narrow_step(&n, &p->step.v[k]);
    return n.b.kernels;
}
