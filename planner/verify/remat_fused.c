/* remat_fused.c - values of fused kernels. */
#include "planner/verify/remat.h"

typedef struct Axes { /* of a value: extents, and strides into what it is numbered by */
    int n;
    int64_t extent[MAX_AXES], stride[MAX_AXES];
} Axes;

typedef struct Val {
    uint64_t value;
    unsigned axes; /* it depends on, as bits */
} Val;

typedef struct Number {
    Remat *r;
    const Kernel *k;
    const Step *s;
    int step;
    Val *val;            /* by instruction */
    int order[MAX_AXES]; /* axes from the outermost in memory on: a kernel may walk them otherwise
                          */
} Number;

/* Below 0: so many for each sample. */
static int64_t extent_of(const Number *u, int axis)
{
    return u->k->fused.extent[axis] * (axis == 0 && u->k->batched ? -1 : 1);
}

static int64_t positive(int64_t n)
{
    return n < 0 ? -n : n;
}

static bool trivial(const Number *u, int axis)
{
    return extent_of(u, axis) == 1;
}

/* Axes that lie one in another are one. */
static uint64_t axes_number(const Axes *x, uint64_t h)
{
    int64_t extent = 0, stride = 0;
    for (int i = 0; i < x->n; i++) {
        bool inside = extent && x->extent[i] > 0 && stride == x->stride[i] * x->extent[i];
        if (inside) {
            extent *= x->extent[i];
            stride = x->stride[i];
            continue;
        }
        if (extent)
            h = remat_mix(remat_mix(h, (uint64_t)extent), (uint64_t)stride);
        extent = x->extent[i];
        stride = x->stride[i];
    }
    return extent ? remat_mix(remat_mix(h, (uint64_t)extent), (uint64_t)stride) : h;
}

/* Which axes a place with these strides depends on, and how. */
static uint64_t place_number(const Number *u, const int64_t *stride, int64_t offset, unsigned *axes)
{
    Axes x = {0};
    *axes = 0;
    for (int i = 0; i < u->k->fused.n_axis; i++) {
        if (trivial(u, i) || !stride[i])
            continue;
        *axes |= 1u << i;
        int at = x.n++; /* from the outermost in memory on, samples first */
        for (; at > 0 && x.extent[at - 1] > 0 && x.stride[at - 1] < stride[i]; at--) {
            x.extent[at] = x.extent[at - 1];
            x.stride[at] = x.stride[at - 1];
        }
        x.extent[at] = extent_of(u, i);
        x.stride[at] = stride[i];
    }
    return axes_number(&x, remat_mix(17, (uint64_t)offset));
}

/* A value of some axes as one of more: repeated along the others. Only how many there are counts:
 * kernels walk the same axes in other orders. */
static uint64_t lift(const Number *u, Val v, unsigned axes)
{
    if (v.axes == axes)
        return v.value;
    uint64_t own = 1, all = 1, samples = u->k->batched ? 1 : 0;
    for (int i = 0; i < u->k->fused.n_axis; i++) {
        uint64_t n = (uint64_t)positive(extent_of(u, i));
        own *= v.axes >> i & 1 ? n : 1;
        all *= axes >> i & 1 ? n : 1;
    }
    uint64_t h = remat_mix(remat_mix(remat_mix(19, v.value), own), all);
    return remat_mix(h, (v.axes & samples) | (axes & samples) << 1);
}

/* What is stored with the same strides is the value itself. */
static Val load(const Number *u, const Ins *n)
{
    const Access *a = &u->k->fused.access.v[n->acc];
    const Operand *o = &u->s->arg[a->arg];
    const Content *c = &u->r->content[o->buffer];
    Val v = {.axes = 0};
    uint64_t where =
        place_number(u, a->stride, o->offset + a->offset * dtype_size(a->dtype), &v.axes);
    for (int i = 0; i < c->stored.n; i++)
        if (c->stored.v[i].plain && c->stored.v[i].where == where) {
            v.value = c->stored.v[i].value;
            return v;
        }
    v.value = remat_mix(remat_mix(remat_content(u->r, o->buffer), where), (uint64_t)o->by_rank);
    return v;
}

static Val gather(const Number *u, const Ins *n)
{
    Val at = load(u, n), index = u->val[n->in[0]];
    unsigned axes = at.axes | index.axes;
    uint64_t h = remat_mix(lift(u, at, axes), lift(u, index, axes));
    h = remat_mix(remat_mix(remat_mix(h, (uint64_t)n->gather), (uint64_t)n->limit), 23);
    return (Val){h, axes};
}

static Val elem(const Number *u, const Ins *n, uint64_t h)
{
    Val v = {.axes = 0};
    for (int i = 0; i < 3; i++)
        v.axes |= n->in[i] >= 0 ? u->val[n->in[i]].axes : 0;
    for (int i = 0; i < 3; i++)
        h = remat_mix(h, n->in[i] >= 0 ? lift(u, u->val[n->in[i]], v.axes) : 29);
    v.value = h;
    return v;
}

static Val draw(const Number *u, const Ins *n)
{
    Val v = elem(u, n, remat_mix(remat_mix(31, n->per_step), (uint64_t)n->dtype));
    remat_drawn(u->r, u->step, v.value, n->key);
    v.value = remat_mix(v.value, n->key);
    return v;
}

/* Over the row's columns. */
static Val reduce(const Number *u, const Ins *n)
{
    const Fused *f = &u->k->fused;
    unsigned inner = f->n_inner ? 1u << (f->n_axis - 1) : 0;
    if (inner && trivial(u, f->n_axis - 1))
        inner = 0;
    Val x = u->val[n->in[0]];
    uint64_t h = remat_mix(lift(u, x, x.axes | inner), 37 + (uint64_t)n->op);
    return (Val){remat_mix(h, f->n_inner ? (uint64_t)f->extent[f->n_axis - 1] : 1),
                 x.axes & ~inner};
}

/* Bytes of one sample, or of an unbatched value, that a store with these axes writes. */
static bool covers(const Number *u, const Buffer *b, unsigned axes, DType dtype)
{
    int64_t n = dtype_size(dtype);
    for (int i = 0; i < u->k->fused.n_axis; i++)
        if ((axes & (1u << i)) && !mul_ok(n, positive(extent_of(u, i)), &n))
            return false;
    return n == (b->batched ? b->sample_bytes : b->bytes);
}

static void store(const Number *u, const Ins *n)
{
    const Access *a = &u->k->fused.access.v[n->acc];
    const Operand *o = &u->s->arg[a->arg];
    unsigned axes = 0;
    uint64_t where =
        place_number(u, a->stride, o->offset + a->offset * dtype_size(a->dtype), &axes);
    uint64_t value = lift(u, u->val[n->in[0]], axes | u->val[n->in[0]].axes);
    if (n->kind == I_COLSUM) {
        value = remat_mix(remat_mix(value, (uint64_t)u->k->fused.chunk), 41);
        where = remat_mix(where, 43);
    } else {
        remat_value(u->r, u->step, value, true);
    }
    bool plain = n->kind == I_STORE;
    bool whole = plain && covers(u, &u->r->p->buffer.v[o->buffer], axes, a->dtype);
    remat_put(u->r, o->buffer, (Stored){where, value, plain, whole});
}

static Val number(const Number *u, const Ins *n)
{
    Val v = {.axes = 0};
    switch (n->kind) {
    case I_LOAD:
        return load(u, n);
    case I_GATHER:
        return gather(u, n);
    case I_INDEX:
        v.value = place_number(u, n->stride, n->start, &v.axes);
        v.value = remat_mix(remat_mix(v.value, n->sample), 47);
        return v;
    case I_CONST: {
        uint64_t bits = 0;
        memcpy(&bits, &n->value, sizeof n->value);
        v.value = remat_mix(remat_mix(53, bits), (uint64_t)n->dtype);
        return v;
    }
    case I_ELEM:
        return elem(u, n, remat_mix(remat_mix(59, (uint64_t)n->op), (uint64_t)n->dtype));
    case I_RANDOM:
        return draw(u, n);
    case I_REDUCE:
        return reduce(u, n);
    case I_STORE:
    case I_COLSUM:
        store(u, n);
        return v;
    }
    BUG("instruction of kind %d", (int)n->kind);
}

void remat_fused(Remat *r, int step)
{
    const Step *s = &r->p->step.v[step];
    const Fused *f = &s->kernel->fused;
    Number u = {.r = r, .k = s->kernel, .s = s, .step = step};
    u.val = arena_array(r->t->a, Val, f->ins.n + 1);
    for (int i = 0; i < f->ins.n; i++) {
        u.val[i] = number(&u, &f->ins.v[i]);
        remat_value(r, step, u.val[i].value, false);
    }
}
