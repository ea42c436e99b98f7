/* calc_move.c - leaves, views, and ops that bring elements elsewhere. */
#include "tests/random/calc.h"

#include <math.h>
#include <string.h>

/* Philox4x32-10 (Salmon et al., SC 2011) at (element, sample, step), as DESIGN.md and
 * codegen/templates/math.h define the draws of a model. */
double calc_draw(uint64_t seed, uint64_t site, uint32_t element, int64_t sample, int64_t step)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + site;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    uint32_t key[2] = {(uint32_t)z, (uint32_t)(z >> 32)};
    uint32_t x[4] = {element, (uint32_t)sample, (uint32_t)step,
                     (uint32_t)(sample >> 32) << 16 | (uint32_t)(step >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xd2511f53u * x[0], q = (uint64_t)0xcd9e8d57u * x[2];
        uint32_t y[4] = {(uint32_t)(q >> 32) ^ x[1] ^ key[0], (uint32_t)q,
                         (uint32_t)(p >> 32) ^ x[3] ^ key[1], (uint32_t)p};
        memcpy(x, y, sizeof x);
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
    return (x[0] >> 8) / 16777216.0;
}

static Num random_value(const Calc *c, const Node *n, int64_t s, int64_t e)
{
    int64_t site = n->attr.random.site;
    uint64_t key = hash_bytes(hash_bytes(0, n->path, strlen(n->path)), &site, sizeof site);
    return (Num){.v = calc_draw(c->seed, key, (uint32_t)e, n->type.batched ? s : 0, 0)};
}

static Num index_value(const Calc *c, const Node *n, int64_t s, int64_t e)
{
    int64_t at[BM_DIMS + 1] = {0};
    double v = n->attr.constant.value;
    switch (n->op) {
    case OP_CONST:
        return (Num){.v = v, .e = n->type.dtype == DT_F32 ? fabs((double)(float)v - v) : 0};
    case OP_SAMPLE_INDEX:
        return (Num){.v = (double)s};
    case OP_RANDOM:
        return random_value(c, n, s, e);
    default:
        calc_unravel(&n->type, e, at);
        return (Num){.v = (double)(n->attr.iota.start + n->attr.iota.step * at[n->attr.iota.axis])};
    }
}

static Num moved(const Calc *c, const Node *n, int64_t s, int64_t e)
{
    int64_t at[BM_DIMS] = {0}, from[BM_DIMS];
    const Type *x = &n->in[0]->type;
    const Num *v = calc_at(c, n->in[0], s);
    if (n->op == OP_RESHAPE || n->op == OP_GRAD)
        return v[e];
    if (n->op == OP_BROADCAST)
        return v[calc_source(&n->type, x, e)];
    calc_unravel(&n->type, e, at);
    memcpy(from, at, sizeof at);
    if (n->op == OP_TRANSPOSE)
        for (int i = 0; i < x->ndim; i++)
            from[n->attr.transpose.perm[i]] = at[i];
    else if (n->op == OP_SLICE)
        from[n->attr.slice.axis] += n->attr.slice.lo;
    else
        from[n->attr.pad.axis] -= n->attr.pad.before;
    if (n->op == OP_PAD &&
        (from[n->attr.pad.axis] < 0 || from[n->attr.pad.axis] >= x->dim[n->attr.pad.axis]))
        return (Num){0};
    return v[calc_ravel(x, from)];
}

static Num joined(const Calc *c, const Node *n, int64_t s, int64_t e)
{
    int64_t at[BM_DIMS];
    int axis = n->attr.concat.axis, i = 0;
    calc_unravel(&n->type, e, at);
    while (at[axis] >= n->in[i]->type.dim[axis])
        at[axis] -= n->in[i++]->type.dim[axis];
    return calc_at(c, n->in[i], s)[calc_ravel(&n->in[i]->type, at)];
}

/* An index outside its table is no model's business here. */
static int64_t index_in(Calc *c, double v, int64_t rows)
{
    if (v >= 0 && v < (double)rows)
        return (int64_t)v;
    calc_flaw(c, "an index out of range");
    return 0;
}

static Num gathered(Calc *c, const Node *n, int64_t s, int64_t e)
{
    const Node *table = n->in[0], *idx = n->in[1];
    int64_t width = type_count(&table->type) / table->type.dim[0];
    int64_t row = index_in(c, calc_at(c, idx, s)[e / width].v, table->type.dim[0]);
    return calc_at(c, table, s)[row * width + e % width];
}

static Num picked(Calc *c, const Node *n, int64_t s, int64_t e)
{
    const Type *x = &n->in[0]->type;
    int64_t width = x->dim[x->ndim - 1];
    return calc_at(c, n->in[0], s)[e * width + index_in(c, calc_at(c, n->in[1], s)[e].v, width)];
}

static Num hot(const Calc *c, const Node *n, int64_t s, int64_t e)
{
    int64_t rows = n->attr.scatter.rows;
    return (Num){.v = calc_at(c, n->in[0], s)[e / rows].v == (double)(e % rows)};
}

static Num value_of(Calc *c, const Node *n, int64_t s, int64_t e)
{
    switch (n->op) {
    case OP_CONCAT:
        return joined(c, n, s, e);
    case OP_GATHER:
        return gathered(c, n, s, e);
    case OP_PICK:
        return picked(c, n, s, e);
    case OP_ONE_HOT:
        return hot(c, n, s, e);
    case OP_CONST:
    case OP_IOTA:
    case OP_SAMPLE_INDEX:
    case OP_RANDOM:
        return index_value(c, n, s, e);
    default:
        return moved(c, n, s, e);
    }
}

static const Num *copied(Calc *c, const Node *n)
{
    switch (n->op) {
    case OP_INPUT:
    case OP_PARAM:
    case OP_BUFFER:
    case OP_STATE:
    case OP_HOST:
        return c->leaf(c->ctx, n);
    case OP_PART:
        return calc_part(c, n->in[0], n->attr.part.index);
    case OP_ASSIGN:
        return c->value[n->in[1]->id];
    default:
        return NULL;
    }
}

bool calc_moves(Calc *c, const Node *n)
{
    static const Op by_element[] = {
        OP_CONST, OP_IOTA,      OP_SAMPLE_INDEX, OP_RANDOM, OP_RESHAPE, OP_GRAD, OP_TRANSPOSE,
        OP_SLICE, OP_BROADCAST, OP_PAD,          OP_CONCAT, OP_GATHER,  OP_PICK, OP_ONE_HOT};
    const Num *from = copied(c, n);
    if (from) {
        memcpy(c->value[n->id], from, (size_t)calc_count(c, n) * sizeof *from);
        return true;
    }
    bool mine = false;
    for (int i = 0; i < countof(by_element); i++)
        mine = mine || by_element[i] == n->op;
    for (int64_t s = 0; mine && s < (n->type.batched ? c->batch : 1); s++)
        for (int64_t e = 0; e < type_count(&n->type); e++)
            calc_at(c, n, s)[e] = value_of(c, n, s, e);
    return mine;
}
