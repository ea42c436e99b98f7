/* fused.c - a group of items as a FUSED kernel: loads, expressions, reductions, stores over one
 * domain. */
#include "planner/fused.h"

#include <string.h>

/* ---- the domain ---- */

static void domain_axes(Fuser *u)
{
    const Group *g = u->g;
    if (g->batched)
        u->axis[u->n_axis++] = -1;
    for (int k = 0; k < BM_DIMS; k++)
        if (g->dim[k] > 1 && !(g->inner >> k & 1))
            u->axis[u->n_axis++] = k;
    u->n_outer = u->n_axis;
    for (int k = 0; k < BM_DIMS; k++)
        if (g->dim[k] > 1 && (g->inner >> k & 1))
            u->axis[u->n_axis++] = k;
    for (int k = 0; k < u->n_axis; k++)
        u->f->extent[k] = u->axis[k] < 0 ? 1 : g->dim[u->axis[k]];
}

void fused_strides(const Fuser *u, const Type *t, int64_t batch, const int64_t *stride,
                   int64_t *out)
{
    for (int k = 0; k < u->n_axis; k++)
        out[k] = u->axis[k] < 0 ? (t->batched ? batch : 0) : aligned_stride(t, stride, u->axis[k]);
}

/* ---- instructions ---- */

int fused_add(Fuser *u, Ins n)
{
    if (!n.name)
        n.name = "";
    vec_push(u->b->a, &u->f->ins, n);
    return u->f->ins.n - 1;
}

Ins fused_blank(InsKind kind, Op op, DType t)
{
    Ins n = {.kind = kind, .op = op, .dtype = t, .in = {-1, -1, -1}, .acc = -1};
    return n;
}

static int argument(Fuser *u, Item *root, bool written)
{
    Kernel *k = u->k;
    int a = 0;
    Operand at = operand(u->b, root, 0); /* parameters of one unit share a buffer */
    while (a < k->n_arg && (u->arg[a].buffer != at.buffer || u->arg[a].offset != at.offset))
        a++;
    if (a == k->n_arg) {
        if (a == countof(k->arg_dtype))
            BUG("a kernel of more than %d buffers (%s)", a, root->node->path);
        u->arg_root[a] = root;
        u->arg[a] = at;
        k->arg_dtype[a] = root->type.dtype;
        k->n_arg++;
    }
    k->arg_written[a] = k->arg_written[a] || written;
    return a;
}

int fused_access(Fuser *u, Item *root, const Type *t, const Layout *p, bool written)
{
    Access a = {.arg = argument(u, root, written), .dtype = root->type.dtype, .offset = p->offset};
    fused_strides(u, t, p->batch, p->stride, a.stride);
    vec_push(u->b->a, &u->f->access, a);
    return u->f->access.n - 1;
}

int fused_cast(Fuser *u, int v, DType t)
{
    Ins *n = &u->f->ins.v[v];
    if (n->dtype == t)
        return v;
    if (n->kind == I_CONST) {
        Ins c = *n;
        c.dtype = t;
        return fused_add(u, c);
    }
    Ins c = fused_blank(I_ELEM, OP_CAST, t);
    c.in[0] = v;
    return fused_add(u, c);
}

static int const_ins(Fuser *u, DType t, double value)
{
    Ins n = fused_blank(I_CONST, OP_CONST, t);
    n.value = value;
    return fused_add(u, n);
}

static int index_ins(Fuser *u, const Item *x)
{
    if (x->place.root->op == OP_CONST)
        return const_ins(u, x->type.dtype, x->place.root->attr.constant.value);
    Ins n = fused_blank(I_INDEX, OP_IOTA, DT_INT);
    n.start = x->place.offset;
    n.sample = x->place.root->op == OP_SAMPLE_INDEX;
    fused_strides(u, &x->type, x->place.batch, x->place.stride, n.stride);
    u->k->uses_draw = u->k->uses_draw || n.sample;
    return fused_cast(u, fused_add(u, n), x->type.dtype);
}

const char *fused_name(const Item *i)
{
    return i->node->name ? i->node->name : op_info[i->op].name;
}

/* The value of `x` in this kernel: made here, a number, or read from memory. */
static int value_of(Fuser *u, Item *x)
{
    Item *base = through_views(x);
    if (base->group == u->g)
        return base->value;
    if (x->place.root->cls == IC_VIRTUAL)
        return index_ins(u, x);
    for (int k = 0; k < u->loaded.n; k++)
        if (u->loaded.v[k] == x)
            return u->load_ins.v[k];
    Ins n = fused_blank(I_LOAD, OP_INPUT, x->place.root->type.dtype);
    n.acc = fused_access(u, x->place.root, &x->type, &x->place, false);
    n.name = fused_name(base);
    int v = fused_add(u, n);
    vec_push(u->b->a, &u->loaded, x);
    vec_push(u->b->a, &u->load_ins, v);
    return v;
}

static int elementwise(Fuser *u, const Item *i)
{
    Ins n = fused_blank(I_ELEM, i->op, i->type.dtype);
    DType t = i->type.dtype;
    int v[3];
    for (int k = 0; k < i->n_in; k++)
        v[k] = value_of(u, i->in[k]);
    switch (i->op) {
    case OP_CAST:
        n.in[0] = v[0];
        break;
    case OP_WHERE:
        n.in[0] = fused_cast(u, v[0], DT_BOOL);
        n.in[1] = fused_cast(u, v[1], t);
        n.in[2] = fused_cast(u, v[2], t);
        break;
    case OP_LT:
    case OP_LE:
    case OP_EQ:
    case OP_NE: /* compared in the wider of their types */
        t = DT_BOOL;
        for (int k = 0; k < 2; k++) {
            DType o = i->in[k]->type.dtype;
            if (t == DT_BOOL || o == DT_F32)
                t = o;
        }
        /* fall through */
    default:
        for (int k = 0; k < i->n_in; k++)
            n.in[k] = fused_cast(u, v[k], t);
        break;
    }
    n.name = fused_name(i);
    return fused_add(u, n);
}

static int random_ins(Fuser *u, const Item *i)
{
    Layout own = place_contiguous(NULL, &i->type);
    Ins e = fused_blank(I_INDEX, OP_IOTA, DT_INT), s = fused_blank(I_INDEX, OP_IOTA, DT_INT),
        n = fused_blank(I_RANDOM, OP_RANDOM, DT_F32);
    fused_strides(u, &i->type, 0, own.stride, e.stride);
    n.in[0] = fused_add(u, e);
    Type one = {.dtype = DT_INT, .batched = i->type.batched};
    fused_strides(u, &one, 1, own.stride, s.stride);
    s.sample = i->type.batched;
    n.in[1] = i->type.batched ? fused_add(u, s) : const_ins(u, DT_INT, 0);
    int64_t site = i->attr.random.site;
    n.key = hash_bytes(hash_bytes(0, i->node->path, strlen(i->node->path)), &site, sizeof site);
    n.per_step = i->attr.random.per_step != 0;
    n.name = "draw";
    u->k->uses_draw = true;
    return fused_add(u, n);
}

/* GATHER: table[idx]: idx's axes are the result's first, the table's trailing axes its last. PICK:
 * x[..., idx]. */
static int gather_ins(Fuser *u, const Item *i)
{
    Item *table = i->in[0], *idx = i->in[1];
    bool pick = i->op == OP_PICK;
    Type at = i->type, taken = i->type;
    Layout ip = idx->place, tp = {.offset = table->place.offset, .batch = table->place.batch};
    int lead = pick ? i->type.ndim : idx->type.ndim;
    at.batched = idx->type.batched;
    taken.batched = table->type.batched;
    for (int k = 0; k < i->type.ndim; k++) {
        ip.stride[k] = k < lead ? idx->place.stride[k] : 0;
        tp.stride[k] = pick       ? table->place.stride[k]
                       : k < lead ? 0
                                  : table->place.stride[k - lead + 1];
        if (k < lead && idx->type.dim[k] == 1)
            ip.stride[k] = 0;
        if (pick && table->type.dim[k] == 1)
            tp.stride[k] = 0;
    }
    Ins n = fused_blank(I_GATHER, i->op, i->type.dtype);
    Item as_result = *idx;
    as_result.type = at;
    as_result.type.dtype = idx->type.dtype;
    as_result.place = ip;
    if (ip.root->cls == IC_VIRTUAL) {
        n.in[0] = index_ins(u, &as_result);
    } else {
        Ins l = fused_blank(I_LOAD, OP_INPUT, DT_INT);
        l.acc = fused_access(u, ip.root, &at, &ip, false);
        l.name = fused_name(idx);
        n.in[0] = fused_add(u, l);
    }
    n.acc = fused_access(u, table->place.root, &taken, &tp, false);
    int last = pick ? table->type.ndim - 1 : 0;
    n.gather = table->place.stride[last];
    n.limit = table->type.dim[last];
    n.name = fused_name(i);
    return fused_add(u, n);
}

static int item_value(Fuser *u, Item *i)
{
    switch (i->op) {
    case OP_DETACH:
    case OP_BROADCAST:
    case OP_RESHAPE:
    case OP_TRANSPOSE:
    case OP_SLICE:
        return value_of(u, i->in[0]);
    case OP_ASSIGN:
        return value_of(u, i->in[1]);
    case OP_RANDOM:
        return random_ins(u, i);
    case OP_GATHER:
    case OP_PICK:
        return gather_ins(u, i);
    case OP_SUM:
    case OP_MAX_OF:
    case OP_ARGMAX: {
        Ins n = fused_blank(I_REDUCE, i->op, i->type.dtype);
        n.in[0] = value_of(u, i->in[0]);
        n.name = fused_name(i);
        return fused_add(u, n);
    }
    default:
        return elementwise(u, i);
    }
}

static void item_ins(Fuser *u, Item *i)
{
    i->value = item_value(u, i);
    if (i->op == OP_ASSIGN || i->stored)
        vec_push(u->b->a, &u->to_store, i);
}

/* Sums over the batch: a partial buffer and the fold that completes the accumulator. */
typedef struct Later {
    Item *item;
    Operand partial;
    int64_t cols;
} Later;

static Later colsum_ins(Fuser *u, Item *i)
{
    const Type *t = &i->in[0]->type;
    int v = fused_cast(u, value_of(u, i->in[0]), i->type.dtype);
    int64_t cols = type_count(&i->type);
    Grain c = grain_chunk(u->k->units, cols, u->b->plan->grain_batch);
    int64_t chunks = (u->b->nb * u->k->units + c.rows - 1) / c.rows;
    u->f->chunk = c.rows;
    if (c.samples && u->b->nb % c.samples && u->b->kind == PROGRAM_TRAIN)
        u->b->plan->below_grain = true;
    int64_t bytes = chunks * cols * dtype_size(i->type.dtype);
    int buf = buffer_temp(u->b, arena_printf(u->b->a, "%s.partial", i->node->path), i->type.dtype,
                          bytes, false);
    Kernel *k = u->k;
    int a = k->n_arg++;
    u->arg[a] = (Operand){buf, 0, 0};
    u->arg_root[a] = NULL;
    k->arg_dtype[a] = i->type.dtype;
    k->arg_written[a] = true;
    k->uses_count = true;
    Access acc = {.arg = a, .dtype = i->type.dtype};
    int64_t walk = 1; /* over the row's axes only */
    for (int x = u->n_axis - 1; x >= u->n_outer; x--) {
        acc.stride[x] = aligned_dim(t, u->axis[x]) > 1 ? walk : 0;
        walk *= aligned_dim(t, u->axis[x]);
    }
    vec_push(u->b->a, &u->f->access, acc);
    Ins n = fused_blank(I_COLSUM, OP_SUM, i->type.dtype);
    n.in[0] = v;
    n.acc = u->f->access.n - 1;
    n.name = fused_name(i);
    fused_add(u, n);
    return (Later){i, u->arg[a], cols};
}

static int64_t least_units(int64_t points_per_unit)
{
    return max64(1, 4096 / max64(points_per_unit,
                                 1)); /* a thread's share below this costs more than it saves */
}

static void kernel_stem(const Group *g, StrBuf *s)
{
    int shown = 0;
    for (int k = 0; k < g->item.n && shown < 3; k++) {
        const Item *i = g->item.v[k];
        if (i->op == OP_DETACH || i->op == OP_BROADCAST || i->op == OP_CAST)
            continue;
        if (shown++)
            strbuf_char(s, '_');
        strbuf_add(s, op_info[i->op].name);
    }
    if (!shown)
        strbuf_add(s, "copy");
}

static const char *step_words(Build *b, const Group *g)
{
    StrBuf s = strbuf_new(b->a);
    int shown = 0;
    for (int k = 0; k < g->item.n && shown < 8; k++) {
        const Item *i = g->item.v[k];
        if (i->op == OP_BROADCAST || i->op == OP_CAST)
            continue;
        if (shown++)
            strbuf_add(&s, ", ");
        if (i->node->name && i->stored)
            strbuf_printf(&s, "%s = ", i->node->name);
        strbuf_add(&s, i->op == OP_DETACH ? "copy" : op_info[i->op].name);
    }
    if (shown == 8)
        strbuf_add(&s, ", ...");
    return s.text;
}

/* What makes anything of the backward's own is no step that computes again. */
static bool is_all_again(const Group *g)
{
    for (int k = 0; k < g->item.n; k++)
        if (!g->item.v[k]->recompute)
            return false;
    return true;
}

static void fused_step(Build *b, Group *g)
{
    Kernel k = {.kind = K_FUSED, .batched = g->batched};
    Operand *arg = arena_array(b->a, Operand, countof(k.arg_dtype));
    Fuser u = {.b = b, .g = g, .k = &k, .f = &k.fused, .arg = arg};
    u.arg_root = arena_array(b->a, Item *, countof(k.arg_dtype));
    domain_axes(&u);
    k.units = 1;
    for (int a = 0; a < u.n_outer; a++)
        k.units *= k.fused.extent[a];
    VEC(Later) later = {0};
    for (int j = 0; j < g->item.n; j++) {
        Item *i = g->item.v[j];
        if (i->op == OP_BATCH_SUM) {
            Later l = colsum_ins(&u, i);
            vec_push(b->a, &later, l);
        } else {
            item_ins(&u, i);
        }
    }
    fused_stores(&u);
    fused_merge_axes(&u);
    k.units = 1;
    for (int a = 0; a < k.fused.n_axis - k.fused.n_inner; a++)
        k.units *= k.fused.extent[a];
    fused_rows(&k.fused);
    fused_count(&u);
    int64_t points = k.fused.n_inner ? k.fused.extent[k.fused.n_axis - 1] : 1;
    k.least = k.fused.chunk ? 1 : least_units(points);
    StrBuf stem = strbuf_new(b->a);
    kernel_stem(g, &stem);
    const Kernel *known = kernel_intern(b, &k, stem.text);
    step_add(b, g->item.v[g->item.n - 1], g->phase, known, arg, step_words(b, g));
    b->plan->step.v[b->plan->step.n - 1].recompute = is_all_again(g);
    for (int j = 0; j < later.n; j++)
        fold_step(b, later.v[j].item, g->phase, later.v[j].partial, operand(b, later.v[j].item, 0),
                  later.v[j].cols, k.units, k.fused.chunk);
}

void group_step(Build *b, Group *g)
{
    if (g->set)
        fused_step(b, g);
    else
        heavy_step(b, g->item.v[0]);
}
