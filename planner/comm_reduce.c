/* comm_reduce.c - sums over ranks: gradients as soon as a unit's backward is done, all other sums
 * when their loop is over, the norm from every rank's grains, and whole parameters after shards
 * were updated.
 *
 * With accumulate = reduced a round's gradients are summed over ranks at once and the rounds on
 * the shard. With reduce = invariant rounds go into a binary tree, and ranks too, so that the sum
 * is one tree over (rank, round) however many ranks share the rounds. Evaluation has as many rounds
 * as the data, and ranks take turns: no tree is the same on all numbers of them, so its few sums
 * are added without rounding. */
#include "planner/comm.h"

/* The last step of a phase that writes a buffer; -1: none. */
static int last_writer(const Comm *c, Phase f, int buffer)
{
    for (int k = comm_end(c, f) - 1; k >= comm_first(c, f); k--)
        if (comm_writes(&c->p->step.v[k], buffer))
            return k;
    return -1;
}

static int tree_levels(int64_t rounds)
{
    int n = 1;
    while (rounds > 1) {
        rounds /= 2;
        n++;
    }
    return n;
}

/* Sums that are overwritten in each round, because rounds are added up elsewhere. */
static void begin_anew(Comm *c, Phase loop, int buffer)
{
    for (int k = comm_first(c, loop); k < comm_end(c, loop); k++) {
        Step *s = &c->p->step.v[k];
        for (int j = 0; j < s->kernel->n_arg; j++) {
            const Buffer *x = &c->p->buffer.v[s->arg[j].buffer];
            if (s->kernel->arg_written[j] && (x->id == buffer || x->beside == buffer + 1))
                s->anew = true;
        }
    }
    for (int k = c->p->n_persistent; k < c->p->buffer.n; k++)
        if (k == buffer || c->p->buffer.v[k].beside == buffer + 1)
            c->p->buffer.v[k].each_round = true;
}

/* Who reads the sums after their loop reads them there. */
static void redirect(Comm *c, Phase loop, int buffer, Operand to)
{
    Plan *p = c->p;
    for (int k = comm_end(c, loop); k < p->step.n && p->step.v[k].program == c->kind; k++)
        for (int j = 0; j < p->step.v[k].kernel->n_arg; j++)
            if (p->step.v[k].arg[j].buffer == buffer) {
                p->step.v[k].arg[j].buffer = to.buffer;
                p->step.v[k].arg[j].offset += to.offset;
            }
    for (int k = 0; k < p->term.n; k++) {
        LossTerm *t = &p->term.v[k];
        Operand *o[] = {&t->num, &t->den};
        for (int j = 0; j < 2 && t->program == c->kind; j++)
            if (o[j]->buffer == buffer) {
                o[j]->buffer = to.buffer;
                o[j]->offset += to.offset;
            }
    }
}

/* A round's sums into the tree of rounds; where the sum over all rounds will be. */
static Operand add_tree(Comm *c, Phase loop, int before, int buffer, int group, const char *path)
{
    Plan *p = c->p;
    int64_t n = p->buffer.v[buffer].bytes / 4;
    int levels = tree_levels(p->rounds);
    begin_anew(c, loop, buffer);
    int tree = buffer_temp(c->b, arena_printf(p->arena, "%s.tree", p->buffer.v[buffer].path),
                           DT_F32, levels * n * 4, false);
    p->buffer.v[tree].role = ROLE_GRAD;
    p->buffer.v[tree].group = group;
    Kernel k = {.kind = K_TREE, .n_arg = 2, .units = n, .least = 1024};
    k.arg_written[0] = k.arg_written[1] = true;
    k.tpl.rows = levels;
    k.tpl.cols = n;
    k.bytes = 12 * n;
    k.flops = n;
    const Operand arg[] = {{buffer, 0, 0}, {tree, 0, 0}};
    comm_add(c, loop, before, &k, "tree", arg, path, group, WHEN_ALWAYS);
    Operand sum = {tree, (levels - 1) * n * 4, 0};
    redirect(c, loop, buffer, sum);
    return sum;
}

/* ---- gradients ---- */

static void zero_gaps(Comm *c, const FlatGroup *g, Phase f, int before)
{
    Kernel k = {.kind = K_ZERO, .n_arg = 1, .units = 1, .least = 1};
    k.gap = flat_gaps(c->p, g, &k.n_gap);
    k.arg_written[0] = true;
    for (int j = 0; j < k.n_gap; j++)
        k.bytes += 4 * k.gap[j].count;
    const Operand arg[] = {{g->grads, 0, 0}};
    if (k.n_gap)
        comm_add(c, f, before, &k, "zero", arg, g->path, g->id, WHEN_ALWAYS);
}

typedef struct Bucket { /* reductions that become one collective */
    Kernel k;
    Operand arg[2 * MAX_SEGMENTS + 1];
    int64_t elems;
    int group, n_arg;
    KernelKind kind;
    const char *path;
} Bucket;

static void bucket_flush(Comm *c, Bucket *x, int before, When when)
{
    if (!x->k.coll.n_segment)
        return;
    Kernel *k = &x->k;
    k->kind = x->kind;
    k->units = k->least = 1;
    k->coll.accumulates = x->kind == K_REDUCE_SCATTER && c->p->reduced && c->p->rounds > 1;
    k->coll.tree = c->p->invariant;
    int64_t widest = 0;
    for (int s = 0; s < k->coll.n_segment; s++)
        widest = max64(widest, k->coll.segment[s].elems);
    int staging = comm_staging(c, widest, &k->coll.chunk);
    k->arg_written[x->n_arg] = true;
    x->arg[x->n_arg++] = (Operand){staging, 0, 0};
    k->n_arg = x->n_arg;
    k->bytes = 8 * x->elems * c->p->shared_by;
    comm_add(c, PHASE_ROUND, before, k, x->kind == K_ALL_REDUCE ? "all_reduce" : "reduce_scatter",
             x->arg, x->path, x->group, when);
    *x = (Bucket){.group = -1};
}

static void bucket_add(Bucket *x, const FlatGroup *g, KernelKind kind, Operand whole, Operand shard,
                       int64_t at, int64_t elems)
{
    if (!x->k.coll.n_segment) {
        x->kind = kind;
        x->group = g->id;
        x->path = g->path;
    }
    x->k.coll.segment[x->k.coll.n_segment++] = (Segment){elems, g->shard};
    whole.offset += at * 4;
    shard.offset += at * 4;
    x->k.arg_written[x->n_arg] = kind == K_ALL_REDUCE;
    x->arg[x->n_arg++] = whole;
    if (kind == K_REDUCE_SCATTER) {
        x->k.arg_written[x->n_arg] = true;
        x->arg[x->n_arg++] = shard;
    }
    x->elems += elems;
}

/* Elements a rank of one collective. What the file says holds for large groups too; the planner
 * only puts small ones together: a large one is ready all at once, and pieces would gain nothing.
 */
static int64_t bucket_most(const Plan *p, const FlatGroup *g, bool *cut)
{
    int64_t asked = p->model->param.v[g->param[0]].bucket;
    *cut = asked > 0;
    int64_t bytes = asked ? asked : p->bucket_bytes;
    return max64(bytes / 4 / p->shared_by / NORM_GRAIN, 1) * NORM_GRAIN;
}

/* A group's gradients, ready at `before`: with those waiting when they are few, in pieces when that
 * is asked for. */
static void reduce_group(Comm *c, Bucket *x, const FlatGroup *g, Operand whole, int before,
                         When when)
{
    Plan *p = c->p;
    Operand shard = flat_shard_of_grads(p, g);
    if (g->grad_shard < 0) {
        shard = whole;
        shard.by_rank = g->shard * 4;
    }
    KernelKind kind = g->level == LEVEL_0 && g->grad_shard < 0 ? K_ALL_REDUCE : K_REDUCE_SCATTER;
    bool cut;
    int64_t most = bucket_most(p, g, &cut), piece = cut ? most : g->shard;
    for (int64_t at = 0; at < g->shard; at += piece) {
        int64_t n = g->shard - at < piece ? g->shard - at : piece;
        if (x->k.coll.n_segment &&
            (x->kind != kind || x->elems + n > most || x->k.coll.n_segment == MAX_SEGMENTS))
            bucket_flush(c, x, before, when);
        bucket_add(x, g, kind, whole, shard, at, n);
        if (x->elems > most / 2)
            bucket_flush(c, x, before, when);
    }
}

/* Groups in the order their gradients are complete. */
static int *ready_order(const Comm *c, const int *ready)
{
    int n = c->p->group.n, *order = arena_array(c->p->arena, int, n + 1);
    for (int k = 0; k < n; k++) {
        int j = k;
        for (; j > 0 && ready[order[j - 1]] > ready[k]; j--)
            order[j] = order[j - 1];
        order[j] = k;
    }
    return order;
}

/* Gradients whole on every rank where something has to be made of them, or to be updated whole. */
static void gather_gradients(Comm *c, const FlatGroup *g)
{
    Kernel k = {.kind = K_ALL_GATHER, .n_arg = 2, .units = 1, .least = 1};
    k.arg_written[0] = true;
    k.coll.n_segment = 1;
    k.coll.segment[0] = (Segment){g->shard, g->shard};
    k.bytes = 4 * flat_whole(c->p, g);
    const Operand arg[] = {{g->grads, 0, 0}, {g->grad_shard, 0, 0}};
    comm_add(c, PHASE_UPDATE, comm_first(c, PHASE_UPDATE), &k, "all_gather", arg, g->path, g->id,
             WHEN_ALWAYS);
}

void comm_gradients(Comm *c)
{
    Plan *p = c->p;
    bool many = p->ranks > 1, rounds = p->rounds > 1;
    int *ready = arena_array(p->arena, int, p->group.n + 1);
    c->sums = arena_array(p->arena, Operand, p->group.n + 1);
    for (int k = 0; k < p->group.n; k++) {
        c->sums[k].buffer = -1;
        const FlatGroup *g = &p->group.v[k];
        int w = g->grads >= 0 && !g->whole_grad ? last_writer(c, PHASE_ROUND, g->grads) : -1;
        ready[k] = w < 0 ? -1 : comm_after(c, w);
    }
    int *order = ready_order(c, ready);
    Bucket x = {.group = -1};
    When when = rounds && !p->reduced ? WHEN_LAST : WHEN_ALWAYS;
    int at = 0;
    for (int i = 0; i < p->group.n; i++) {
        FlatGroup *g = &p->group.v[order[i]];
        if (g->grads < 0)
            continue;
        if (g->whole_grad) { /* made after the rounds, from complete sums */
            int w = last_writer(c, PHASE_POST, g->grads);
            zero_gaps(c, g, PHASE_POST, w < 0 ? comm_first(c, PHASE_POST) : comm_after(c, w));
            continue;
        }
        at = ready[g->id];
        zero_gaps(c, g, PHASE_ROUND, at);
        Operand whole = {g->grads, 0, 0};
        if (p->invariant && rounds)
            whole = c->sums[g->id] = add_tree(c, PHASE_ROUND, at, g->grads, g->id, g->path);
        else if (many && rounds && p->reduced)
            begin_anew(c, PHASE_ROUND, g->grads);
        if (many)
            reduce_group(c, &x, g, whole, at, when);
        if (many && g->level == LEVEL_0 && g->grad_shard >= 0)
            gather_gradients(c, g);
    }
    bucket_flush(c, &x, at, when);
}

/* ---- all other sums ---- */

static int sums_of(const Comm *c, Phase loop)
{
    for (int k = c->p->n_persistent; k < c->p->buffer.n; k++)
        if (c->p->buffer.v[k].sums == (int)loop + 1 && c->p->buffer.v[k].program == c->kind)
            return k;
    return -1;
}

static const char *sums_path(Phase loop)
{
    return loop == PHASE_WEIGHT ? "weights" : "sums";
}

static Kernel exact_kernel(KernelKind kind, int64_t n)
{
    Kernel k = {.kind = kind, .n_arg = 2, .units = n, .least = 1};
    k.arg_written[1] = true;
    k.tpl.rows = EXACT_DIGITS;
    k.tpl.cols = n;
    k.tpl.accumulates = kind == K_EXACT_SUM;
    k.bytes = 4 * n * (2 * EXACT_DIGITS + 1);
    k.flops = n * EXACT_DIGITS;
    return k;
}

/* A round's sums are added to exact ones, which come to the same whatever their order. */
static Operand add_exact(Comm *c, Phase loop, int buffer, int64_t n)
{
    Plan *p = c->p;
    begin_anew(c, loop, buffer);
    const char *path = arena_printf(p->arena, "%s.exact", sums_path(loop));
    int exact = buffer_temp(c->b, path, DT_F32, 4 * n * EXACT_DIGITS, false);
    p->buffer.v[exact].role = ROLE_GRAD;
    Kernel k = exact_kernel(K_EXACT_SUM, n);
    const Operand arg[] = {{buffer, 0, 0}, {exact, 0, 0}};
    comm_add(c, loop, comm_end(c, loop), &k, "exact_sum", arg, sums_path(loop), -1, WHEN_ALWAYS);
    return arg[1];
}

/* All of them, rounded: where the last round's were. */
static void add_exact_total(Comm *c, Phase loop, Phase then, Operand exact, int buffer, int64_t n)
{
    Kernel k = exact_kernel(K_EXACT_TOTAL, n);
    const Operand arg[] = {exact, {buffer, 0, 0}};
    comm_add(c, then, comm_first(c, then), &k, "exact_total", arg, sums_path(loop), -1,
             WHEN_ALWAYS);
}

/* `whole`, padded to parts of all ranks. */
static void reduce_sums(Comm *c, Phase loop, Phase then, Operand whole, int64_t elems)
{
    Plan *p = c->p;
    Kernel k = {.kind = K_ALL_REDUCE, .n_arg = 2, .units = 1, .least = 1};
    k.arg_written[0] = k.arg_written[1] = true;
    k.coll.n_segment = 1;
    k.coll.segment[0] = (Segment){elems, elems};
    k.coll.tree = p->invariant;
    k.bytes = 8 * elems * p->shared_by;
    int staging = comm_staging(c, elems, &k.coll.chunk);
    const Operand arg[] = {whole, {staging, 0, 0}};
    comm_add(c, then, comm_first(c, then), &k, "all_reduce", arg, sums_path(loop), -1, WHEN_ALWAYS);
}

/* Elements of a part of each rank, once the buffer is as long as all parts. */
static int64_t pad_to_parts(Plan *p, int buffer)
{
    int64_t part = 16 * p->shared_by;
    int64_t elems = (p->buffer.v[buffer].bytes / 4 + part - 1) / part * 16;
    p->buffer.v[buffer].bytes = elems * p->shared_by * 4;
    return elems;
}

void comm_sums(Comm *c, Phase loop, Phase then)
{
    Plan *p = c->p;
    int id = sums_of(c, loop);
    if (id < 0)
        return;
    if (c->kind == PROGRAM_EVAL && p->invariant) {
        int64_t n = p->buffer.v[id].bytes / 4;
        Operand exact = add_exact(c, loop, id, n);
        if (p->ranks > 1)
            reduce_sums(c, loop, then, exact, pad_to_parts(p, exact.buffer));
        add_exact_total(c, loop, then, exact, id, n);
        return;
    }
    int64_t elems = pad_to_parts(p, id);
    Operand whole = {id, 0, 0};
    if (c->kind == PROGRAM_TRAIN && p->invariant && p->rounds > 1)
        whole = add_tree(c, loop, comm_end(c, loop), id, -1, sums_path(loop));
    if (p->ranks > 1)
        reduce_sums(c, loop, then, whole, elems);
}

/* ---- norm, update ---- */

void comm_norm(Comm *c)
{
    Plan *p = c->p;
    for (int k = comm_first(c, PHASE_POST); k < comm_end(c, PHASE_POST) && p->ranks > 1; k++) {
        const Step *s = &p->step.v[k];
        if (s->kernel->kind != K_NORM)
            continue;
        int partial = s->arg[0].buffer;
        int64_t elems = p->buffer.v[partial].bytes / 4 / p->shared_by;
        Kernel n = {.kind = K_ALL_GATHER, .n_arg = 2, .units = 1, .least = 1};
        n.arg_written[0] = true;
        n.coll.n_segment = 1;
        n.coll.segment[0] = (Segment){elems, elems};
        n.bytes = 4 * elems * p->shared_by;
        const Operand arg[] = {{partial, 0, 0}, {partial, 0, elems * 4}};
        comm_add(c, PHASE_POST, k, &n, "all_gather", arg, "grad_norm", -1, WHEN_ALWAYS);
    }
}

void comm_updated(Comm *c)
{
    Plan *p = c->p;
    for (int k = 0; k < p->group.n && p->ranks > 1; k++) {
        const FlatGroup *g = &p->group.v[k];
        if (g->optimizer < 0 || g->level == LEVEL_0 || level_shards_params(g->level))
            continue;
        int w = last_writer(c, PHASE_UPDATE, g->offload ? g->host_params : g->params);
        if (w < 0)
            continue;
        Kernel n = {.kind = K_ALL_GATHER, .n_arg = 2, .units = 1, .least = 1};
        n.arg_written[0] = true;
        n.coll.n_segment = 1;
        n.coll.segment[0] = (Segment){g->shard, g->shard};
        n.bytes = p->buffer.v[g->params].bytes;
        const Operand arg[] = {{g->params, 0, 0}, flat_own_params(p, g)};
        comm_add(c, PHASE_UPDATE, comm_after(c, w), &n, "all_gather", arg, g->path, g->id,
                 WHEN_ALWAYS);
    }
}
