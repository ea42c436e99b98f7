/* fused.c - a group of items as a FUSED kernel: loads, expressions, reductions, stores over one
 * domain. */
#include "planner/build.h"

#include <string.h>

typedef struct Fuser {
    Build *b;
    const Group *g;
    Kernel *k;
    Fused *f;
    Operand *arg;
    Item **arg_root;    /* by argument: whose storage */
    int axis[MAX_AXES]; /* before merging: the aligned axis, -1: the batch */
    int n_axis, n_outer;
    VEC(const Item *) loaded; /* what each load instruction read, for reuse */
    VEC(int) load_ins;
    VEC(Item *) to_store; /* after all loads: a result may take the place of an operand */
} Fuser;

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

static void domain_strides(const Fuser *u, const Type *t, int64_t batch, const int64_t *stride,
                           int64_t *out)
{
    for (int k = 0; k < u->n_axis; k++)
        out[k] = u->axis[k] < 0 ? (t->batched ? batch : 0) : aligned_stride(t, stride, u->axis[k]);
}

/* ---- instructions ---- */

static int add_ins(Fuser *u, Ins n)
{
    if (!n.name)
        n.name = "";
    vec_push(u->b->a, &u->f->ins, n);
    return u->f->ins.n - 1;
}

static Ins blank(InsKind kind, Op op, DType t)
{
    Ins n = {.kind = kind, .op = op, .dtype = t, .in = {-1, -1, -1}, .acc = -1};
    return n;
}

static int argument(Fuser *u, Item *root, bool written)
{
    Kernel *k = u->k;
    int a = 0;
    int buffer = buffer_of(u->b, root);
    while (a < k->n_arg && u->arg[a].buffer != buffer)
        a++;
    if (a == k->n_arg) {
        if (a == countof(k->arg_dtype))
            BUG("a kernel of more than %d buffers (%s)", a, root->node->path);
        u->arg_root[a] = root;
        u->arg[a] = operand(u->b, root, 0);
        k->arg_dtype[a] = root->type.dtype;
        k->n_arg++;
    }
    k->arg_written[a] = k->arg_written[a] || written;
    return a;
}

static int access_to(Fuser *u, Item *root, const Type *t, const Layout *p, bool written)
{
    Access a = {.arg = argument(u, root, written), .dtype = root->type.dtype, .offset = p->offset};
    domain_strides(u, t, p->batch, p->stride, a.stride);
    vec_push(u->b->a, &u->f->access, a);
    return u->f->access.n - 1;
}

static int cast_to(Fuser *u, int v, DType t)
{
    Ins *n = &u->f->ins.v[v];
    if (n->dtype == t)
        return v;
    if (n->kind == I_CONST) {
        Ins c = *n;
        c.dtype = t;
        return add_ins(u, c);
    }
    Ins c = blank(I_ELEM, OP_CAST, t);
    c.in[0] = v;
    return add_ins(u, c);
}

static int const_ins(Fuser *u, DType t, double value)
{
    Ins n = blank(I_CONST, OP_CONST, t);
    n.value = value;
    return add_ins(u, n);
}

static int index_ins(Fuser *u, const Item *x)
{
    if (x->place.root->op == OP_CONST)
        return const_ins(u, x->type.dtype, x->place.root->attr.constant.value);
    Ins n = blank(I_INDEX, OP_IOTA, DT_INT);
    n.start = x->place.offset;
    n.sample = x->place.root->op == OP_SAMPLE_INDEX;
    domain_strides(u, &x->type, x->place.batch, x->place.stride, n.stride);
    u->k->uses_draw = u->k->uses_draw || n.sample;
    return cast_to(u, add_ins(u, n), x->type.dtype);
}

static const char *item_name(const Item *i)
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
    Ins n = blank(I_LOAD, OP_INPUT, x->place.root->type.dtype);
    n.acc = access_to(u, x->place.root, &x->type, &x->place, false);
    n.name = item_name(base);
    int v = add_ins(u, n);
    vec_push(u->b->a, &u->loaded, x);
    vec_push(u->b->a, &u->load_ins, v);
    return v;
}

static int elementwise(Fuser *u, const Item *i)
{
    Ins n = blank(I_ELEM, i->op, i->type.dtype);
    DType t = i->type.dtype;
    int v[3];
    for (int k = 0; k < i->n_in; k++)
        v[k] = value_of(u, i->in[k]);
    switch (i->op) {
    case OP_CAST:
        n.in[0] = v[0];
        break;
    case OP_WHERE:
        n.in[0] = cast_to(u, v[0], DT_BOOL);
        n.in[1] = cast_to(u, v[1], t);
        n.in[2] = cast_to(u, v[2], t);
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
            n.in[k] = cast_to(u, v[k], t);
        break;
    }
    n.name = item_name(i);
    return add_ins(u, n);
}

static int random_ins(Fuser *u, const Item *i)
{
    Layout own = place_contiguous(NULL, &i->type);
    Ins e = blank(I_INDEX, OP_IOTA, DT_INT), s = blank(I_INDEX, OP_IOTA, DT_INT),
        n = blank(I_RANDOM, OP_RANDOM, DT_F32);
    domain_strides(u, &i->type, 0, own.stride, e.stride);
    n.in[0] = add_ins(u, e);
    Type one = {.dtype = DT_INT, .batched = i->type.batched};
    domain_strides(u, &one, 1, own.stride, s.stride);
    s.sample = i->type.batched;
    n.in[1] = i->type.batched ? add_ins(u, s) : const_ins(u, DT_INT, 0);
    int64_t site = i->attr.random.site;
    n.key = hash_bytes(hash_bytes(0, i->node->path, strlen(i->node->path)), &site, sizeof site);
    n.per_step = i->attr.random.per_step != 0;
    n.name = "draw";
    u->k->uses_draw = true;
    return add_ins(u, n);
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
    Ins n = blank(I_GATHER, i->op, i->type.dtype);
    Item as_result = *idx;
    as_result.type = at;
    as_result.type.dtype = idx->type.dtype;
    as_result.place = ip;
    if (ip.root->cls == IC_VIRTUAL) {
        n.in[0] = index_ins(u, &as_result);
    } else {
        Ins l = blank(I_LOAD, OP_INPUT, DT_INT);
        l.acc = access_to(u, ip.root, &at, &ip, false);
        l.name = item_name(idx);
        n.in[0] = add_ins(u, l);
    }
    n.acc = access_to(u, table->place.root, &taken, &tp, false);
    int last = pick ? table->type.ndim - 1 : 0;
    n.gather = table->place.stride[last];
    n.limit = table->type.dim[last];
    n.name = item_name(i);
    return add_ins(u, n);
}

static void store_value(Fuser *u, int v, Item *root, const Type *t, const Layout *p,
                        const char *name)
{
    Ins n = blank(I_STORE, OP_ASSIGN, root->type.dtype);
    n.in[0] = cast_to(u, v, root->type.dtype);
    n.acc = access_to(u, root, t, p, true);
    n.name = name;
    add_ins(u, n);
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
        Ins n = blank(I_REDUCE, i->op, i->type.dtype);
        n.in[0] = value_of(u, i->in[0]);
        n.name = item_name(i);
        return add_ins(u, n);
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

/* ---- stores ---- */

static int last_stage(Fused *f)
{
    int last = 0;
    for (int k = 0; k < f->ins.n; k++) {
        Ins *n = &f->ins.v[k];
        n->stage = 0;
        for (int j = 0; j < 3; j++)
            if (n->in[j] >= 0 && f->ins.v[n->in[j]].stage > n->stage)
                n->stage = f->ins.v[n->in[j]].stage;
        n->stage += n->kind == I_REDUCE;
        last = n->stage > last ? n->stage : last;
    }
    return last;
}

/* Does every access to `root` walk exactly the elements that storing `i` walks? */
static bool walks_alike(const Fuser *u, const Item *root, const Item *i)
{
    int64_t own[MAX_AXES] = {0};
    domain_strides(u, &i->type, i->place.batch, i->place.stride, own);
    for (int k = 0; k < u->f->access.n; k++) {
        const Access *a = &u->f->access.v[k];
        if (u->arg_root[a->arg] != root)
            continue;
        if (a->offset != 0 || memcmp(a->stride, own, (size_t)u->n_axis * sizeof *own) != 0)
            return false;
    }
    for (int k = 0; k < u->f->ins.n; k++)
        if (u->f->ins.v[k].kind == I_GATHER &&
            u->arg_root[u->f->access.v[u->f->ins.v[k].acc].arg] == root)
            return false;
    return true;
}

/* An operand that nobody reads after this kernel gives its memory to a result of the same size,
 * element for element. */
static void take_place(Fuser *u, Item *i, int last)
{
    if (i->place.root != i || i->buffer >= 0 || !i->type.batched || i->join ||
        u->f->ins.v[i->value].stage != last)
        return;
    for (int a = 0; a < u->k->n_arg; a++) {
        Item *r = u->arg_root[a];
        if (!r || r->cls == IC_LEAF || u->k->arg_written[a] || !r->type.batched ||
            r->last_use != u->g->turn)
            continue;
        if (r->phase != i->phase || dtype_size(r->type.dtype) != dtype_size(i->type.dtype) ||
            r->type.dtype != i->type.dtype || type_count(&r->type) != type_count(&i->type) ||
            r->taken)
            continue;
        if (!walks_alike(u, r, i))
            continue;
        i->buffer = buffer_of(u->b, r);
        i->taken = false;
        r->taken = true;
        return;
    }
}

static void stores(Fuser *u)
{
    int last = last_stage(u->f);
    for (int k = 0; k < u->to_store.n; k++) {
        Item *i = u->to_store.v[k];
        if (i->op == OP_ASSIGN) {
            store_value(u, i->value, i->in[0], &i->in[0]->type, &i->in[0]->place, item_name(i));
        } else if (i->op == OP_RESHAPE) { /* in the operand's order, which is the result's */
            Layout p = place_contiguous(i, &i->in[0]->type);
            store_value(u, i->value, i, &i->in[0]->type, &p, item_name(i));
        } else {
            take_place(u, i, last);
            store_value(u, i->value, i->place.root, &i->type, &i->place, item_name(i));
        }
    }
}

/* ---- merging axes: neighbours that every access walks as one ---- */

static bool can_merge(const Fused *f, int a)
{
    for (int k = 0; k < f->access.n; k++)
        if (f->access.v[k].stride[a] != f->access.v[k].stride[a + 1] * f->extent[a + 1])
            return false;
    for (int k = 0; k < f->ins.n; k++)
        if (f->ins.v[k].kind == I_INDEX &&
            f->ins.v[k].stride[a] != f->ins.v[k].stride[a + 1] * f->extent[a + 1])
            return false;
    return true;
}

static void drop_stride(int64_t *stride, int a, int n)
{
    memmove(stride + a, stride + a + 1, (size_t)(n - a - 1) * sizeof *stride);
    stride[n - 1] = 0;
}

static void merge(Fused *f, int a, int n)
{
    for (int k = 0; k < f->access.n; k++)
        drop_stride(f->access.v[k].stride, a, n);
    for (int k = 0; k < f->ins.n; k++)
        drop_stride(f->ins.v[k].stride, a, n);
    f->extent[a] *= f->extent[a + 1];
    memmove(f->extent + a + 1, f->extent + a + 2, (size_t)(n - a - 2) * sizeof *f->extent);
    f->extent[n - 1] = 0;
}

static void merge_axes(Fuser *u)
{
    Fused *f = u->f;
    int n = u->n_axis, outer = u->n_outer;
    bool decided = n > outer || u->g->colsum || u->g->reduces;
    for (int a = n - 2; a >= 0; a--) {
        if (decided && a + 1 == outer)
            continue; /* never across the row's edge */
        if (!can_merge(f, a))
            continue;
        merge(f, a, n);
        n--;
        outer -= a + 1 < outer;
    }
    if (decided) {
        if (n - outer > 1)
            BUG("a row of %d axes in %s", n - outer, u->g->item.v[0]->node->path);
        f->n_inner = n - outer;
    } else {
        f->n_inner = n > 1;
    }
    if (n == 0) {
        f->extent[0] = 1;
        n = 1;
    }
    f->n_axis = n;
}

/* ---- rows and stages ---- */

static void set_rows(Fused *f)
{
    int col = f->n_axis - 1;
    for (int k = 0; k < f->ins.n; k++) {
        Ins *n = &f->ins.v[k];
        bool row = f->n_inner > 0;
        int stage = 0;
        for (int j = 0; j < 3; j++)
            if (n->in[j] >= 0) {
                row = row && f->ins.v[n->in[j]].row;
                if (f->ins.v[n->in[j]].stage > stage)
                    stage = f->ins.v[n->in[j]].stage;
            }
        if (n->acc >= 0 && f->n_inner)
            row = row && f->access.v[n->acc].stride[col] == 0;
        if (n->kind == I_INDEX && f->n_inner)
            row = row && n->stride[col] == 0;
        if (n->kind == I_REDUCE) {
            row = f->n_inner > 0;
            stage++;
        }
        if ((n->kind == I_STORE || n->kind == I_COLSUM) && f->n_inner)
            row = f->ins.v[n->in[0]].row;
        n->row = row;
        n->stage = stage;
        if (stage + 1 > f->n_stage)
            f->n_stage = stage + 1;
    }
}

static void count_work(const Fuser *u)
{
    Kernel *k = u->k;
    const Fused *f = u->f;
    int64_t points = k->units * (f->n_inner ? f->extent[f->n_axis - 1] : 1);
    for (int j = 0; j < f->ins.n; j++) {
        const Ins *n = &f->ins.v[j];
        int64_t times = n->row ? k->units : points;
        if (n->kind == I_ELEM)
            k->flops += times * (op_info[n->op].cost == COST_costly ? 16 : 1);
        if (n->kind == I_REDUCE || n->kind == I_COLSUM)
            k->flops += points;
        if (n->kind == I_LOAD || n->kind == I_GATHER || n->kind == I_STORE)
            k->bytes += times * dtype_size(f->access.v[n->acc].dtype);
    }
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
    int v = cast_to(u, value_of(u, i->in[0]), i->type.dtype);
    int64_t cols = type_count(&i->type);
    Grain c = grain_chunk(u->k->units, u->b->m->batch);
    int64_t chunks = (u->b->nb * u->k->units + c.rows - 1) / c.rows;
    u->f->chunk = c.rows;
    if (c.samples > u->b->nb && u->b->kind == PROGRAM_TRAIN)
        u->b->plan->below_grain = true;
    int64_t bytes = chunks * cols * dtype_size(i->type.dtype);
    int buf = buffer_temp(u->b, arena_printf(u->b->a, "%s.partial", i->node->path), i->type.dtype,
                          bytes, false);
    Kernel *k = u->k;
    int a = k->n_arg++;
    u->arg[a] = (Operand){buf, 0};
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
    Ins n = blank(I_COLSUM, OP_SUM, i->type.dtype);
    n.in[0] = v;
    n.acc = u->f->access.n - 1;
    n.name = item_name(i);
    add_ins(u, n);
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
    stores(&u);
    merge_axes(&u);
    k.units = 1;
    for (int a = 0; a < k.fused.n_axis - k.fused.n_inner; a++)
        k.units *= k.fused.extent[a];
    set_rows(&k.fused);
    count_work(&u);
    int64_t points = k.fused.n_inner ? k.fused.extent[k.fused.n_axis - 1] : 1;
    k.least = k.fused.chunk ? 1 : least_units(points);
    StrBuf stem = strbuf_new(b->a);
    kernel_stem(g, &stem);
    const Kernel *known = kernel_intern(b, &k, stem.text);
    step_add(b, g->item.v[g->item.n - 1], g->phase, known, arg, step_words(b, g));
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
