/* comm_op.c - the collectives: what is sent to whom, in which chunks, and what is added to what. */
#include "runtime/comm_private.h"

#include <string.h>

static char *place_of(const bmrt *r, const bmrt_comm *c, const bmrt_place *p)
{
    char *base = p->host ? r->host : r->arena;
    return base + (p->offset + p->by_rank * c->q) * BMRT_SCALE;
}

/* Rank number of place p in group g. */
static int64_t rank_at(const bmrt_comm *c, int64_t g, int64_t p)
{
    return g * c->k + p;
}

static int64_t group_of(const bmrt_comm *c)
{
    return c->place.rank / c->k;
}

static bool power_of_two(int64_t n)
{
    return (n & (n - 1)) == 0;
}

int64_t bmrt_staging_chunks(int64_t ranks, int64_t k, bool tree)
{
    int64_t groups = ranks / k;
    if (groups == 1)
        return k - 1; /* what the others send */
    if (!tree)
        return k; /* and the sum of the groups before */
    if (k == 1)
        return groups - 1;
    /* what the others of the group send, then what the other groups do; and the group's own sum */
    return (k > groups ? k : groups) - 1 + 1;
}

/* ---- all-gather
 * ---------------------------------------------------------------------------------------- */

static void gather_segment(bmrt_comm *c, const bmrt *r, const bmrt_segment *g, bool in_place)
{
    int64_t bytes = g->elems * (int64_t)sizeof(real), step = g->stride * (int64_t)sizeof(real);
    char *whole = place_of(r, c, &g->whole), *own = whole + c->q * step;
    const char *shard = in_place ? own : place_of(r, c, &g->shard);
    if (own != shard)
        memmove(own, shard, (size_t)bytes);
    for (int64_t p = 0; p < c->k; p++) {
        if (p == c->q)
            continue;
        bmrt_comm_receive(c, rank_at(c, group_of(c), p), whole + p * step, bytes);
        bmrt_comm_send(c, rank_at(c, group_of(c), p), own, bytes);
    }
}

static int64_t gather_pieces(const bmrt_comm *c, const bmrt_segment *g)
{
    return 2 * (c->k - 1) * bmrt_comm_pieces(g->elems * (int64_t)sizeof(real));
}

/* As many segments in one exchange as there is room for: the same ones on every rank. */
static BmStatus all_gather(bmrt_comm *c, const bmrt *r, const bmrt_op *op, bool in_place,
                           bmrt_error *e)
{
    for (int i = 0; i < op->n_segment; i++) {
        if (c->n + gather_pieces(c, &op->segment[i]) > c->most) {
            BmStatus s = bmrt_comm_exchange(c, BMRT_TAG_PAYLOAD, e);
            if (s != BMRT_OK)
                return s;
        }
        gather_segment(c, r, &op->segment[i], in_place);
    }
    return bmrt_comm_exchange(c, BMRT_TAG_PAYLOAD, e);
}

/* ---- reduce-scatter
 * ------------------------------------------------------------------------------------ */

typedef struct chunk { /* of this rank's part */
    const bmrt_op *op;
    real *whole;   /* this chunk in part 0 of the whole; part p is p * stride on */
    real *out;     /* where the sum goes */
    real *staging; /* slots of op->chunk elements */
    int64_t stride, n;
    bool add; /* to what is there */
} chunk;

static real *slot(const chunk *k, int64_t i)
{
    return k->staging + i * k->op->chunk;
}

/* Everybody's contribution to this rank's part; they are listed in part[first..] in the order of
 * ranks. */
static BmStatus collect(bmrt_comm *c, const chunk *k, int first, bmrt_error *e)
{
    int64_t bytes = k->n * (int64_t)sizeof(real);
    for (int64_t p = 0; p < c->k; p++) {
        if (p == c->q) {
            c->part[first + p] = k->whole + p * k->stride;
            continue;
        }
        real *into = slot(k, p < c->q ? p : p - 1);
        c->part[first + p] = into;
        bmrt_comm_receive(c, rank_at(c, group_of(c), p), into, bytes);
        bmrt_comm_send(c, rank_at(c, group_of(c), p), k->whole + p * k->stride, bytes);
    }
    return bmrt_comm_exchange(c, BMRT_TAG_PAYLOAD, e);
}

/* The result, from the last group to this place in all others; `sum` holds it there, here it may
 * be overwritten. */
static BmStatus hand_back(bmrt_comm *c, const chunk *k, real *sum, bmrt_error *e)
{
    int64_t bytes = k->n * (int64_t)sizeof(real), last = c->groups - 1;
    if (group_of(c) == last)
        for (int64_t g = 0; g < last; g++)
            bmrt_comm_send(c, rank_at(c, g, c->q), sum, bytes);
    else
        bmrt_comm_receive(c, rank_at(c, last, c->q), sum, bytes);
    BmStatus s = bmrt_comm_exchange(c, BMRT_TAG_PAYLOAD, e);
    const real *one = sum;
    if (s == BMRT_OK)
        bmrt_sum_parts(&one, 1, k->n, false, k->add, k->out);
    return s;
}

/* The sum over the groups before comes in as the first part and goes on with this group's ranks
 * added. */
static BmStatus reduce_chain(bmrt_comm *c, const chunk *k, bmrt_error *e)
{
    int64_t bytes = k->n * (int64_t)sizeof(real), g = group_of(c);
    real *sum = slot(k, c->k - 1);
    int before = g > 0;
    c->part[0] = sum;
    if (before)
        bmrt_comm_receive(c, rank_at(c, g - 1, c->q), sum, bytes);
    BmStatus s = collect(c, k, before, e);
    if (s != BMRT_OK)
        return s;
    bmrt_sum_parts(c->part, (int)c->k + before, k->n, false, false, sum);
    if (g + 1 < c->groups) {
        bmrt_comm_send(c, rank_at(c, g + 1, c->q), sum, bytes);
        s = bmrt_comm_exchange(c, BMRT_TAG_PAYLOAD, e);
    }
    return s == BMRT_OK ? hand_back(c, k, sum, e) : s;
}

/* A group is a subtree (k is a power of two): its sums meet in the last group. */
static BmStatus reduce_tree_of_groups(bmrt_comm *c, const chunk *k, bmrt_error *e)
{
    int64_t bytes = k->n * (int64_t)sizeof(real), g = group_of(c), last = c->groups - 1;
    BmStatus s = collect(c, k, 0, e);
    if (s != BMRT_OK)
        return s;
    real *sum = slot(k, c->k == 1 ? 0 : bmrt_staging_chunks(c->place.ranks, c->k, true) - 1);
    const real *own = c->k == 1 ? c->part[0] : sum;
    if (c->k > 1)
        bmrt_sum_parts(c->part, (int)c->k, k->n, true, false, sum);
    for (int64_t other = 0; g == last && other < last; other++) {
        bmrt_comm_receive(c, rank_at(c, other, c->q), slot(k, other), bytes);
        c->part[other] = slot(k, other);
    }
    if (g != last)
        bmrt_comm_send(c, rank_at(c, last, c->q), own, bytes);
    s = bmrt_comm_exchange(c, BMRT_TAG_PAYLOAD, e);
    if (s != BMRT_OK)
        return s;
    if (g == last) {
        c->part[last] = own;
        bmrt_sum_parts(c->part, (int)c->groups, k->n, true, false, sum);
    }
    return hand_back(c, k, sum, e);
}

static BmStatus reduce_chunk(bmrt_comm *c, const chunk *k, bmrt_error *e)
{
    if (c->groups > 1)
        return k->op->tree ? reduce_tree_of_groups(c, k, e) : reduce_chain(c, k, e);
    BmStatus s = collect(c, k, 0, e);
    if (s == BMRT_OK)
        bmrt_sum_parts(c->part, (int)c->k, k->n, k->op->tree, k->add, k->out);
    return s;
}

static BmStatus reduce_scatter(bmrt_comm *c, const bmrt *r, const bmrt_op *op, bool add,
                               bool in_place, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    real *staging = (real *)(void *)(r->arena + op->staging * BMRT_SCALE);
    for (int i = 0; i < op->n_segment; i++) {
        const bmrt_segment *g = &op->segment[i];
        real *whole = (real *)(void *)place_of(r, c, &g->whole);
        real *out = in_place ? whole + c->q * g->stride : (real *)(void *)place_of(r, c, &g->shard);
        int64_t step = op->chunk > 0 ? op->chunk : g->elems;
        for (int64_t at = 0; at < g->elems && s == BMRT_OK; at += step) {
            int64_t n = g->elems - at < step ? g->elems - at : step;
            chunk k = {op, whole + at, out + at, staging, g->stride, n, add};
            s = reduce_chunk(c, &k, e);
        }
    }
    return s;
}

/* ---- ops
 * -----------------------------------------------------------------------------------------------
 */

BmStatus bmrt_comm_measure(const bmrt_comm *c, const bmrt_op *op, int64_t *pieces, bmrt_error *e)
{
    const char *name = bmrt_op_name(op->kind);
    bool reduces = op->kind == BMRT_REDUCE_SCATTER || op->kind == BMRT_ALL_REDUCE;
    *pieces = 0;
    for (int i = 0; i < op->n_segment; i++) {
        const bmrt_segment *g = &op->segment[i];
        if (g->elems < 0 || (c->k > 1 && op->kind != BMRT_COPY_BYTES && g->stride < g->elems))
            return bmrt_fail(e, BMRT_BUG, "step %d, %s: parts of %lld elements, %lld apart",
                             op->step, name, (long long)g->elems, (long long)g->stride);
        int64_t n = gather_pieces(c, g);
        if (op->kind != BMRT_COPY_BYTES && n > *pieces)
            *pieces = n;
    }
    if (!reduces || c->place.ranks == 1)
        return BMRT_OK;
    if (op->chunk < 1)
        return bmrt_fail(e, BMRT_BUG, "step %d, %s: no staging memory", op->step, name);
    if (op->tree && c->groups > 1 && !power_of_two(c->k))
        return bmrt_fail(e, BMRT_BUG, "step %d, %s: groups of %lld ranks are no subtrees", op->step,
                         name, (long long)c->k);
    int64_t most = 2 * (c->k + c->groups) * bmrt_comm_pieces(op->chunk * (int64_t)sizeof(real));
    *pieces = most > *pieces ? most : *pieces;
    return BMRT_OK;
}

void bmrt_copy_op(const bmrt *r, const bmrt_op *op)
{
    for (int i = 0; i < op->n_segment; i++) {
        const bmrt_segment *g = &op->segment[i];
        const bmrt_place *p[] = {&g->whole, &g->shard};
        char *at[2];
        for (int j = 0; j < 2; j++)
            at[j] = (p[j]->host ? r->host : r->arena) +
                    (p[j]->offset + p[j]->by_rank * r->shard) * BMRT_SCALE;
        memmove(at[0], at[1], (size_t)g->elems * sizeof(real));
    }
}

BmStatus bmrt_comm_op(bmrt_comm *c, bmrt *r, const bmrt_op *op, bool first, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    double begin = bmrt_now();
    int64_t before = c->sent[op->kind];
    c->op = op;
    c->step = r->step;
    switch (op->kind) {
    case BMRT_ALL_GATHER:
        s = all_gather(c, r, op, false, e);
        break;
    case BMRT_REDUCE_SCATTER:
        s = reduce_scatter(c, r, op, op->accumulates && !first, false, e);
        break;
    case BMRT_ALL_REDUCE:
        s = reduce_scatter(c, r, op, false, true, e);
        if (s == BMRT_OK)
            s = all_gather(c, r, op, true, e);
        break;
    case BMRT_COPY_BYTES:
        bmrt_copy_op(r, op);
        break;
    }
    c->op = NULL;
    if (s == BMRT_OK)
        bmrt_link_wait(c->debug, begin, c->sent[op->kind] - before);
    return s;
}
