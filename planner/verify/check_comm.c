/* check_comm.c - V05 V06 V07: collectives, streams and waits, one by one.
 *
 * All ranks run one plan, so they issue the same collectives in the same order as long as nothing
 * that differs between ranks decides whether one runs: each stands in a phase, outside of regions,
 * and its rounds are counted alike on all ranks. Waits go to smaller ids of the same phase, so
 * streams and waits together have no circle. */
#include "planner/verify/table.h"

static int stream_of(int kind)
{
    switch ((StepKind)kind) {
    case KIND_ALL_GATHER:
    case KIND_REDUCE_SCATTER:
    case KIND_ALL_REDUCE:
        return STREAM_COMM;
    case KIND_COPY:
        return STREAM_COPY;
    case KIND_MAP:
    case KIND_ROW:
    case KIND_COLUMN:
    case KIND_FOLD:
    case KIND_BATCH:
    case KIND_SCATTER:
    case KIND_ATTENTION:
    case KIND_ATTENTION_GRAD:
    case KIND_CUMSUM:
    case KIND_TOP_K:
    case KIND_GEMM:
    case KIND_SUM_SQUARES:
    case KIND_NORM:
    case KIND_ZERO:
    case KIND_TREE:
    case KIND_EXACT_SUM:
    case KIND_EXACT_TOTAL:
    case N_STEP_KINDS:
        return STREAM_COMPUTE;
    }
    BUG("kind %d of a step", kind);
}

/* ---- V05 ---- */

static void check_place(Table *t, int i)
{
    const TableStep *s = &t->step[i];
    if (s->stream != stream_of(s->kind))
        broken(t, is_collective(s) || s->stream == STREAM_COMM ? CHECK_V05 : CHECK_V01,
               "%s is %s and on the %s stream", the_step(t, i), kind_words.word[s->kind],
               stream_words.word[s->stream]);
    if (s->when != WHEN_ALWAYS && !is_loop(s->phase))
        broken(t, CHECK_V05, "%s runs in the %s round only, and %s has no rounds", the_step(t, i),
               when_words.word[s->when], phase_words.word[s->phase]);
    if (s->stream != STREAM_COMPUTE && s->region)
        broken(t, CHECK_V05, "%s is in region %d: only kernels run chunk by chunk", the_step(t, i),
               s->region);
    if (is_collective(s) && t->ranks == 1)
        broken(t, CHECK_V05, "%s is a collective of one rank", the_step(t, i));
    if (s->when != WHEN_ALWAYS && s->region)
        broken(t, CHECK_V05, "%s is in a region and runs in the %s round only", the_step(t, i),
               when_words.word[s->when]);
}

/* ---- V06 ---- */

static void check_waits(Table *t, int i)
{
    const TableStep *s = &t->step[i];
    for (int k = 0; k < N_STREAMS; k++) {
        int w = s->wait[k];
        if (w == -1)
            continue;
        if (w < 0 || w >= i) {
            broken(t, CHECK_V06, "%s waits for step %d, which comes later", the_step(t, i), w);
            continue;
        }
        const TableStep *o = &t->step[w];
        if (o->stream != k)
            broken(t, CHECK_V06, "%s waits for %s on the %s stream, which runs on %s",
                   the_step(t, i), the_step(t, w), stream_words.word[k],
                   stream_words.word[o->stream]);
        if (o->program != s->program || o->phase != s->phase)
            broken(t, CHECK_V06, "%s of %s %s waits for %s of %s %s", the_step(t, i),
                   program_words.word[s->program], phase_words.word[s->phase], the_step(t, w),
                   program_words.word[o->program], phase_words.word[o->phase]);
        if (o->region && region_end(t, w) >= i)
            broken(t, CHECK_V06, "%s waits for the end of region %d, which it is in",
                   the_step(t, i), o->region);
    }
}

/* ---- V07 ---- */

static bool in_place(const TablePiece *c)
{
    return !c->shard || (c->whole->buffer == c->shard->buffer && c->whole->at == c->shard->at &&
                         c->shard->by_rank == c->whole->gap);
}

static void check_piece(Table *t, int i, const TablePiece *c)
{
    const TableStep *s = &t->step[i];
    const Use *use[2] = {c->whole, c->shard};
    for (int k = 0; k < 2 && use[k]; k++) {
        const TableBuffer *b = &t->buffer[use[k]->buffer];
        int64_t far = (use[k]->parts - 1) * use[k]->gap, end = 0;
        bool ok = mul_ok(use[k]->by_rank, t->shared_by - 1, &end) && end >= 0 &&
                  add_ok(end, far, &end) && add_ok(end, use[k]->end, &end) && use[k]->at >= 0 &&
                  end <= b->bytes;
        if (!ok)
            broken(t, CHECK_V07, "%s: pieces of %lld elements reach byte %lld of %s of %lld bytes",
                   the_step(t, i), (long long)c->elems, (long long)end,
                   the_buffer(t, use[k]->buffer), (long long)b->bytes);
        if (b->batched)
            broken(t, CHECK_V07, "%s moves %s, which holds samples", the_step(t, i),
                   the_buffer(t, use[k]->buffer));
    }
    const TableBuffer *from = &t->buffer[c->whole->buffer];
    if (c->shard && t->buffer[c->shard->buffer].elem != from->elem)
        broken(t, CHECK_V07, "%s: elements are %lld bytes in %s and %lld in %s", the_step(t, i),
               (long long)from->elem, the_buffer(t, c->whole->buffer),
               (long long)t->buffer[c->shard->buffer].elem, the_buffer(t, c->shard->buffer));
    if (c->whole->by_rank)
        broken(t, CHECK_V07, "%s: the whole moves on by %lld bytes a rank", the_step(t, i),
               (long long)c->whole->by_rank);
    if (!in_place(c) && uses_meet(t, c->whole, c->shard, true))
        broken(t, CHECK_V07, "%s: shard and whole share bytes of %s and are not the same place",
               the_step(t, i), the_buffer(t, c->whole->buffer));
    if (s->kind == KIND_REDUCE_SCATTER && s->adds && in_place(c))
        broken(t, CHECK_V07, "%s adds the rounds up where each of them puts its own",
               the_step(t, i));
}

/* Payload that a rank sends in one run, as mpi would count it; with several copies of the shards,
 * sums are passed on from group to group. */
static int64_t payload(const Table *t, const TableStep *s)
{
    int64_t bytes = 0, others = t->shared_by - 1, copies = t->ranks / t->shared_by, passed = 0;
    for (int i = 0; i < s->n_piece; i++) /* others * bytes is less than a buffer has */
        bytes += s->piece[i].elems * t->buffer[s->piece[i].whole->buffer].elem;
    if (s->kind != KIND_ALL_GATHER && !mul_ok(copies - 1, bytes, &passed))
        return -1;
    return others * bytes * (s->kind == KIND_ALL_REDUCE ? 2 : 1) + passed;
}

static void check_staging(Table *t, int i)
{
    const TableStep *s = &t->step[i];
    if (s->kind == KIND_ALL_GATHER)
        return;
    int64_t widest = 0;
    for (int k = 0; k < s->n_piece; k++)
        widest = max64(widest, s->piece[k].elems);
    if (s->chunk < 1) {
        broken(t, CHECK_V07, "%s adds %lld elements of each rank and has no memory for them",
               the_step(t, i), (long long)widest);
        return;
    }
    const Use *u = &s->use[s->n_use - 1];
    const TableBuffer *b = &t->buffer[u->buffer];
    if (b->role != ROLE_COMM || u->by_rank || u->end > b->bytes)
        broken(t, CHECK_V07, "%s needs %lld bytes of staging memory, %s has %lld", the_step(t, i),
               (long long)(u->end - u->lo), the_buffer(t, u->buffer), (long long)b->bytes);
}

static void check_overlaps(Table *t, int i)
{
    const TableStep *s = &t->step[i];
    for (int x = 0; x < s->n_use; x++)
        for (int y = 0; y < x; y++) {
            bool same = x / 2 == y / 2 && s->kind != KIND_ALL_REDUCE && x < 2 * s->n_piece;
            if (!same && (s->use[x].write || s->use[y].write) &&
                uses_meet(t, &s->use[y], &s->use[x], true))
                broken(t, CHECK_V07, "%s: arguments %d and %d share bytes", the_step(t, i), y, x);
        }
}

static void check_collective(Table *t, int i)
{
    const TableStep *s = &t->step[i];
    for (int k = 0; k < s->n_piece; k++)
        check_piece(t, i, &s->piece[k]);
    check_staging(t, i);
    check_overlaps(t, i);
    if (s->sent != payload(t, s))
        broken(t, CHECK_V07, "%s sends %lld bytes, the plan says %lld", the_step(t, i),
               (long long)payload(t, s), (long long)s->sent);
    if (s->kind != KIND_ALL_GATHER && s->tree != t->invariant)
        broken(t, CHECK_V07, "%s adds ranks %s, the plan says %s", the_step(t, i),
               reduce_words.word[s->tree], reduce_words.word[t->invariant]);
}

/* ---- copies between the arenas ---- */

/* Of one group, and of what belongs together there. */
static bool belongs(const Table *t, int from, int to)
{
    const TableBuffer *x = &t->buffer[from], *y = &t->buffer[to];
    if (x->group < 0 || x->group != y->group)
        return false;
    const TableGroup *g = &t->group[x->group];
    return to == g->host_param  ? from == g->param
           : to == g->host_grad ? x->role == ROLE_GRAD && !x->host
           : to == g->param     ? from == g->host_param
                                : false;
}

/* All of a shard, or this rank's part of what is whole; all of it where ranks keep no shards. */
static bool is_own(const Table *t, const Use *u, bool shards)
{
    const TableBuffer *b = &t->buffer[u->buffer];
    int64_t shard = b->elem * t->group[b->group].shard, all = shard * t->shared_by;
    bool part = shards && !b->sharded;
    return u->by_rank == (part ? shard : 0) && u->end - u->lo == (shards ? shard : all) &&
           u->lo % (b->sharded ? shard : all) == 0;
}

static void check_copy(Table *t, int i)
{
    const TableStep *s = &t->step[i];
    const Use *from = &s->use[0], *to = &s->use[1];
    if (s->n_use != 2 || !belongs(t, from->buffer, to->buffer)) {
        broken(t, CHECK_V07, "%s copies %s to %s", the_step(t, i), the_buffer(t, from->buffer),
               the_buffer(t, s->use[s->n_use > 1].buffer));
        return;
    }
    bool shards = t->ranks > 1 && t->group[t->buffer[to->buffer].group].level != LEVEL_0;
    for (int k = 0; k < 2; k++)
        if (!is_own(t, &s->use[k], shards))
            broken(t, CHECK_V07,
                   "%s copies bytes %lld to %lld of %s, %lld on for each rank: not "
                   "what a rank keeps",
                   the_step(t, i), (long long)s->use[k].lo, (long long)s->use[k].end - 1,
                   the_buffer(t, s->use[k].buffer), (long long)s->use[k].by_rank);
}

void check_comm(Table *t)
{
    for (int i = 0; i < t->n_step; i++) {
        check_place(t, i);
        check_waits(t, i);
        if (is_collective(&t->step[i]))
            check_collective(t, i);
        else if (t->step[i].kind == KIND_COPY && t->step[i].n_use > 0)
            check_copy(t, i);
        else if (t->step[i].sent)
            broken(t, CHECK_V07, "%s is no collective and sends %lld bytes", the_step(t, i),
                   (long long)t->step[i].sent);
    }
}
