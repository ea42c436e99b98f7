/* world.c - ranks start together, agree, and end together.
 *
 * The communication stream's thread is the only one that calls the transport, from its start to its
 * end; the main thread asks it and waits. */
#define _GNU_SOURCE
#include "runtime/world.h"

#include "runtime/bmrt_private.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { PHASE_ROUND = 3, PHASE_WEIGHT = 1 };

/* ---- the streams
 * --------------------------------------------------------------------------------------- */

/* BMRT_CHECK: an op's waits are over. */
static BmStatus check_op(bmrt_order *o, bmrt_stream_id stream, const bmrt_op *op, bmrt_error *e)
{
    for (int i = 0; i < BMRT_STREAMS; i++)
        if (i != (int)stream && op->wait[i] >= 0)
            bmrt_order_waited(o, stream, (bmrt_stream_id)i, op->wait[i]);
    return bmrt_order_step(o, stream, op->step, e);
}

static BmStatus run_op(void *context, bmrt_stream_id stream, const bmrt_op *op, bool first,
                       bmrt_error *e)
{
    bmrt_run *run = context;
    if (run->world.order) {
        BmStatus s = check_op(run->world.order, stream, op, e);
        if (s != BMRT_OK)
            return s;
    }
    if (op->kind == BMRT_COPY_BYTES) {
        bmrt_copy_op(&run->pub, op);
        return BMRT_OK;
    }
    if (stream != BMRT_COMM)
        return bmrt_fail(e, BMRT_BUG, "step %d: a collective on the %s stream", op->step,
                         bmrt_stream_name(stream));
    return bmrt_comm_op(run->world.comm, &run->pub, op, first, e);
}

static void step_over(void *context, bmrt_stream_id stream, int id, const int over[BMRT_STREAMS])
{
    bmrt_run *run = context;
    if (run->world.order)
        bmrt_order_over(run->world.order, stream, id);
    if (run->world.poisons)
        bmrt_poison_step(&run->world.poison, &run->pub, stream, id, over);
}

/* Where compute is the only stream. */
static void alone_over(bmrt_run *run, int id)
{
    const int over[BMRT_STREAMS] = {-1, INT_MAX, INT_MAX};
    step_over(run, BMRT_COMPUTE, id, over);
}

static bmrt_phase_fn *function_of(const bmrt_program *p, int phase)
{
    bmrt_phase_fn *const f[BMRT_PHASES] = {p->pre, p->weight, p->mid, p->round, p->post, p->update};
    return f[phase];
}

BmStatus bmrt_phase_run(bmrt_run *run, const bmrt_program *p, int phase, int64_t nb, bmrt_error *e)
{
    bmrt_phase_fn *f = function_of(p, phase);
    bmrt_streams *streams = run->world.streams;
    bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}};
    if (p->comm)
        ops[BMRT_COMM] = p->comm[phase];
    if (p->copy)
        ops[BMRT_COPY] = p->copy[phase];
    bool rounds = phase == PHASE_ROUND || phase == PHASE_WEIGHT;
    bool first = !rounds || run->pub.first, last = !rounds || run->pub.last;
    if (run->world.poisons)
        bmrt_poison_begin(&run->world.poison, p, phase, first, last);
    if (run->world.order)
        bmrt_order_begin(run->world.order, p, phase, first, last);
    if (ops[BMRT_COMM].n + ops[BMRT_COPY].n == 0 || !streams) {
        if (f)
            f(&run->pub, nb);
        alone_over(run, INT_MAX);
        return BMRT_OK;
    }
    bmrt_streams_begin(streams, ops, first, last);
    if (f)
        f(&run->pub, nb);
    BmStatus s = bmrt_streams_end(streams, e);
    run->world.broken = run->world.broken || s != BMRT_OK;
    return s;
}

void bmrt_step_begin(bmrt *r, int id)
{
    bmrt_streams *s = bmrt_run_of(r)->world.streams;
    if (s)
        bmrt_streams_step(s, id);
    else
        alone_over(bmrt_run_of(r), id - 1);
}

void bmrt_wait(bmrt *r, bmrt_stream_id stream, int id)
{
    const bmrt_world *w = &bmrt_run_of(r)->world;
    if (w->streams)
        bmrt_streams_wait(w->streams, stream, id);
    if (w->order)
        bmrt_order_waited(w->order, BMRT_COMPUTE, stream, id);
}

void bmrt_check(bmrt *r, int id)
{
    const bmrt_world *w = &bmrt_run_of(r)->world;
    bmrt_error e;
    BmStatus s = w->order ? bmrt_order_step(w->order, BMRT_COMPUTE, id, &e) : BMRT_OK;
    if (s != BMRT_OK && w->streams)
        bmrt_streams_fail(w->streams, s, &e);
}

/* ---- what the main thread asks of the communication stream
 * ---------------------------------------------- */

typedef struct request {
    bmrt_run *run;
    const bmrt_transport *transport;
    uint64_t *value; /* max */
    int n;
    void *at; /* move, collect */
    const void *mine;
    int64_t bytes;
    int from, to;
    int code; /* abort */
} request;

static BmStatus ask(bmrt_run *run, bmrt_call_fn *fn, request *q, bmrt_error *e)
{
    q->run = run;
    return bmrt_streams_call(run->world.streams, BMRT_COMM, fn, q, e);
}

/* The same for exchanges: one that fails is the end of all talk. */
static BmStatus talk(bmrt_run *run, bmrt_call_fn *fn, request *q, bmrt_error *e)
{
    BmStatus s = ask(run, fn, q, e);
    run->world.broken = run->world.broken || s != BMRT_OK;
    return s;
}

static BmStatus call_create(void *arg, bmrt_error *e)
{
    request *q = arg;
    bmrt_world *w = &q->run->world;
    return bmrt_comm_create(&w->comm, q->transport, &w->debug, e);
}

static BmStatus call_prepare(void *arg, bmrt_error *e)
{
    request *q = arg;
    return bmrt_comm_prepare(q->run->world.comm, q->run->m, e);
}

static BmStatus call_max(void *arg, bmrt_error *e)
{
    request *q = arg;
    return bmrt_comm_max(q->run->world.comm, q->value, q->n, e);
}

static BmStatus call_move(void *arg, bmrt_error *e)
{
    request *q = arg;
    return bmrt_comm_move(q->run->world.comm, q->from, q->to, q->at, q->bytes, e);
}

static BmStatus call_collect(void *arg, bmrt_error *e)
{
    request *q = arg;
    return bmrt_comm_collect(q->run->world.comm, q->mine, q->bytes, q->at, e);
}

static BmStatus call_abort(void *arg, bmrt_error *e)
{
    request *q = arg;
    (void)e;
    bmrt_comm_abort(q->run->world.comm, q->code);
    return BMRT_OK;
}

static BmStatus call_destroy(void *arg, bmrt_error *e)
{
    request *q = arg;
    (void)e;
    bmrt_comm_destroy(q->run->world.comm);
    q->run->world.comm = NULL;
    return BMRT_OK;
}

static BmStatus largest(bmrt_run *run, uint64_t *value, int n, bmrt_error *e)
{
    request q = {.value = value, .n = n};
    return talk(run, call_max, &q, e);
}

static BmStatus move(bmrt_run *run, int from, int to, void *at, size_t bytes, bmrt_error *e)
{
    request q = {.at = at, .bytes = (int64_t)bytes, .from = from, .to = to};
    return talk(run, call_move, &q, e);
}

/* ---- agreements
 * ---------------------------------------------------------------------------------------- */

typedef struct report { /* of the rank that failed, as it travels */
    int32_t status;
    bmrt_error error;
} report;

/* The lowest failing rank tells all others; its name is part of it unless it is one of `all`. */
static BmStatus spread(bmrt_run *run, int failing, bool all, BmStatus mine, bmrt_error *e)
{
    report r = {(int32_t)mine, {"", ""}};
    if (run->pub.rank == failing) {
        bmrt_text t = {r.error.text, 0, sizeof r.error.text, false};
        if (!all)
            bmrt_text_add(&t, "rank %d/%d: ", failing, run->pub.ranks);
        bmrt_text_add(&t, "%s", e->text);
        memcpy(r.error.help, e->help, sizeof e->help);
    }
    for (int to = 0; to < run->pub.ranks; to++) {
        BmStatus s = move(run, failing, to, &r, sizeof r, e);
        if (s != BMRT_OK)
            return s;
    }
    *e = r.error;
    run->world.agreed = true;
    return (BmStatus)r.status;
}

BmStatus bmrt_world_step(bmrt_run *run, BmStatus mine, int *signal, bmrt_error *e)
{
    bmrt_world *w = &run->world;
    if (!w->connected)
        return bmrt_agree(run->peers, mine, e);
    if (w->broken)
        return mine;
    /* Does every rank say the same? Then the largest of what they say is the smallest too. */
    uint64_t text = mine != BMRT_OK ? bmrt_hash(e->text) : 0;
    uint64_t v[] = {mine != BMRT_OK ? (uint64_t)(run->pub.ranks - run->pub.rank) : 0,
                    (uint64_t)*signal, text, ~text};
    bmrt_error own = *e;
    BmStatus s = largest(run, v, BMRT_COUNT(v), e);
    if (s != BMRT_OK)
        return s;
    *signal = (int)v[1];
    *e = own;
    return v[0] > 0 ? spread(run, run->pub.ranks - (int)v[0], v[2] == ~v[3], mine, e) : BMRT_OK;
}

static BmStatus peers_agree(void *context, BmStatus mine, bmrt_error *e)
{
    int signal = 0;
    return bmrt_world_step(context, mine, &signal, e);
}

static BmStatus peers_collect(void *context, const void *mine, size_t n, void *all, bmrt_error *e)
{
    request q = {.mine = mine, .at = all, .bytes = (int64_t)n};
    return talk(context, call_collect, &q, e);
}

static BmStatus peers_give(void *context, int from, void *bytes, size_t n, bmrt_error *e)
{
    return move(context, from, 0, bytes, n, e);
}

/* ---- starting
 * ------------------------------------------------------------------------------------------ */

BmStatus bmrt_world_find(bmrt_run *run, bmrt_error *e)
{
    const bmrt_options *o = &run->opt;
    bmrt_ranks flags = {o->rank, o->world, o->local_rank, o->local_world, NULL};
    run->world.found = (bmrt_ranks){0, 1, 0, 1, NULL};
    bmrt_world *w = &run->world;
    BmStatus s =
        bmrt_rank_find(&w->found, &flags, bmrt_environment, NULL, w->warning, sizeof w->warning, e);
    w->unknown = s != BMRT_OK;
    bmrt_error second;
    BmStatus debug = bmrt_debug_read(&w->debug, bmrt_environment, NULL, w->unknown ? &second : e);
    s = w->unknown ? s : debug;
    if (s == BMRT_OK)
        s = bmrt_environment_check(environ, e);
    if (s == BMRT_OK)
        s = bmrt_poison_read(&w->poisons, bmrt_environment, NULL, e);
    return s;
}

bool bmrt_world_speaks(const bmrt_run *run)
{
    const bmrt_world *w = &run->world;
    return w->connected && run->pub.ranks > 1 ? run->pub.rank == 0 : w->found.rank == 0;
}

int bmrt_world_local(const bmrt_run *run)
{
    const bmrt_world *w = &run->world;
    int64_t n = w->found.local_world;
    if (n < 1 && w->comm)
        n = bmrt_comm_place(w->comm).local_ranks;
    return n > 0 ? (int)n : 1;
}

static int64_t planned_ranks(const bmrt_model *m)
{
    return m->ranks > 1 ? m->ranks : 1;
}

static int count_ops(const bmrt_model *m, bmrt_stream_id stream)
{
    const bmrt_program *p[] = {&m->train, &m->eval, &m->sample};
    int n = 0;
    for (int i = 0; i < BMRT_COUNT(p); i++) {
        const bmrt_ops *list = stream == BMRT_COMM ? p[i]->comm : p[i]->copy;
        for (int phase = 0; list && phase < BMRT_PHASES; phase++)
            n += list[phase].n;
    }
    return n;
}

static BmStatus wrong_world(const bmrt_run *run, const bmrt_transport *t, int64_t ranks,
                            const char *program, bmrt_error *e)
{
    long long planned = planned_ranks(run->m), there = ranks;
    const bmrt_ranks *f = &run->world.found;
    if (f->source && f->world != ranks)
        bmrt_fail(e, BMRT_USAGE, "%s says there are %lld rank%s, but %s knows %lld", f->source,
                  (long long)f->world, f->world == 1 ? "" : "s", t ? t->name : "this trainer",
                  there);
    else
        bmrt_fail(e, BMRT_USAGE, "the plan is for %lld rank%s and this world has %lld", planned,
                  planned == 1 ? "" : "s", there);
    if (t && planned > 1)
        bmrt_help(e, "start it with: %s %lld %s", t->start, planned, program);
    else
        bmrt_help(e, "start it alone: %s, or compile with --ranks %lld", program, there);
    return BMRT_USAGE;
}

static BmStatus check_world(const bmrt_run *run, const bmrt_transport *t, const char *program,
                            bmrt_error *e)
{
    const bmrt_ranks *f = &run->world.found;
    bmrt_place_in place = bmrt_comm_place(run->world.comm);
    if (place.ranks != planned_ranks(run->m) || (f->source && f->world != place.ranks))
        return wrong_world(run, t, place.ranks, program, e);
    if (!f->source || f->rank == place.rank)
        return BMRT_OK;
    bmrt_fail(e, BMRT_USAGE, "%s says this is rank %lld, %s says %d", f->source, (long long)f->rank,
              t->name, place.rank);
    bmrt_help(e, "every rank needs its own; what is left of another run has to go");
    return BMRT_USAGE;
}

enum { HASH = 16 }; /* letters of a plan's hash that are compared */

/* Every rank learns whose plan is not rank 0's; the first such rank's hash and rank 0's. */
static BmStatus check_plan(bmrt_run *run, bmrt_error *e)
{
    char mine[HASH + 1] = "", first[HASH + 1] = "", other[HASH + 1] = "";
    uint64_t v[HASH / sizeof(uint64_t)], differs = 0;
    if (run->m->plan_hash)
        strncpy(mine, run->m->plan_hash, HASH);
    memset(v, 0, sizeof v);
    if (run->pub.rank == 0)
        memcpy(v, mine, sizeof v);
    BmStatus s = largest(run, v, BMRT_COUNT(v), e);
    memcpy(first, v, sizeof v);
    if (s == BMRT_OK && strcmp(mine, first) != 0)
        differs = (uint64_t)(run->pub.ranks - run->pub.rank);
    if (s == BMRT_OK)
        s = largest(run, &differs, 1, e);
    if (s != BMRT_OK || differs == 0)
        return s;
    int rank = run->pub.ranks - (int)differs;
    memset(v, 0, sizeof v);
    if (run->pub.rank == rank)
        memcpy(v, mine, sizeof v);
    s = largest(run, v, BMRT_COUNT(v), e);
    memcpy(other, v, sizeof v);
    if (s != BMRT_OK)
        return s;
    run->world.agreed = true;
    bmrt_fail(e, BMRT_USAGE, "rank %d carries out plan %s, rank 0 plan %s", rank, other, first);
    bmrt_help(e, "every rank needs the same trainer: copy it to all machines");
    return BMRT_USAGE;
}

/* The transport runs: who is this rank, and are these the ranks that the plan is for? `mine`: what
 * went wrong before. */
static BmStatus join(bmrt_run *run, const bmrt_transport *t, const char *program, BmStatus mine,
                     bmrt_error *e)
{
    bmrt_world *w = &run->world;
    bmrt_place_in place = bmrt_comm_place(w->comm);
    w->connected = t != NULL;
    run->pub.rank = place.rank;
    run->pub.ranks = place.ranks;
    w->peers = (bmrt_peers){run, peers_agree, peers_collect, peers_give};
    if (place.ranks > 1)
        run->peers = &w->peers;
    BmStatus s = mine != BMRT_OK ? mine : check_world(run, t, program, e);
    s = bmrt_agree(run->peers, s, e);
    if (s == BMRT_OK && place.ranks > 1)
        s = check_plan(run, e);
    request q = {.run = run};
    if (s == BMRT_OK)
        s = bmrt_agree(run->peers, ask(run, call_prepare, &q, e), e);
    return s;
}

/* What BMRT_CHECK and BMRT_POISON need is in some trainers only. */
static BmStatus open_debug(bmrt_run *run, bmrt_error *e)
{
    bmrt_world *w = &run->world;
    const bmrt_program *p = run->m->train.micro_batch ? &run->m->train : &run->m->eval;
    const char *name = w->debug.check && !p->uses ? "BMRT_CHECK"
                       : w->poisons && !p->frees  ? "BMRT_POISON"
                                                  : NULL;
    if (name) {
        bmrt_fail(e, BMRT_USAGE, "%s needs what this trainer was not told of its steps", name);
        bmrt_help(e, "compile it with --debug");
        return BMRT_USAGE;
    }
    return w->debug.check ? bmrt_order_create(&w->order, run->m, e) : BMRT_OK;
}

/* The thread that the transport needs, and the ranks. */
static BmStatus connect(bmrt_run *run, const bmrt_transport *t, const bool with[BMRT_STREAMS],
                        const char *program, BmStatus mine, bmrt_error *e)
{
    bmrt_world *w = &run->world;
    bmrt_error trouble;
    BmStatus s = bmrt_streams_create(&w->streams, with, run_op, step_over, run, &w->debug,
                                     (int)w->found.rank, &trouble);
    request q = {.transport = t};
    if (s == BMRT_OK)
        s = ask(run, call_create, &q, &trouble);
    if (s == BMRT_OK)
        return join(run, t, program, mine, e);
    if (mine != BMRT_OK)
        return mine;
    *e = trouble;
    return s;
}

BmStatus bmrt_world_open(bmrt_run *run, const bmrt_transport *t, const char *program, BmStatus mine,
                         bmrt_error *e)
{
    bmrt_world *w = &run->world;
    const bmrt_model *m = run->m;
    int64_t planned = planned_ranks(m);
    run->pub.ranks = 1;
    if (planned == 1)
        t = NULL; /* alone, it needs none */
    if (mine == BMRT_OK && !t && planned > 1)
        mine = bmrt_fail(e, BMRT_BUG, "a plan for %lld ranks without anything to carry messages",
                         (long long)planned);
    if (mine == BMRT_OK && !t && w->found.world != 1)
        mine = wrong_world(run, NULL, w->found.world, program, e);
    if (mine == BMRT_OK)
        mine = open_debug(run, e);
    /* Only where there may be others to tell. */
    if (mine != BMRT_OK && !(t && (w->found.world > 1 || w->unknown)))
        return mine;
    bool with[BMRT_STREAMS] = {false};
    with[BMRT_COMM] = t || count_ops(m, BMRT_COMM) > 0;
    with[BMRT_COPY] = count_ops(m, BMRT_COPY) > 0;
    if (!with[BMRT_COMM] && !with[BMRT_COPY])
        return BMRT_OK;
    BmStatus s = connect(run, t, with, program, mine, e);
    if (s == BMRT_OK && planned > 1)
        run->pub.shard = run->pub.rank % (m->shared_by > 0 ? m->shared_by : planned);
    return s;
}

/* ---- ending
 * -------------------------------------------------------------------------------------------- */

static void say_count(bmrt_run *run)
{
    char line[512];
    bmrt_text t = {line, 0, sizeof line, false};
    bmrt_comm_count(run->world.comm, &t);
    double waited = run->world.streams ? bmrt_streams_waited(run->world.streams) : 0;
    bmrt_text_add(&t, "\n{\"rank\":%d,\"exposed_ns\":%.0f}\n", run->pub.rank, 1e9 * waited);
    (void)bmrt_write_all(2, line, t.len);
}

void bmrt_world_close(bmrt_run *run, int code)
{
    bmrt_world *w = &run->world;
    bmrt_error e;
    request q = {.code = code};
    if (w->comm && w->debug.count)
        say_count(run);
    if (w->connected && run->pub.ranks > 1 && code != 0 && !w->agreed)
        (void)ask(run, call_abort, &q, &e);
    if (w->comm)
        (void)ask(run, call_destroy, &q, &e);
    bmrt_streams_destroy(w->streams);
    bmrt_order_destroy(w->order);
    w->streams = NULL;
    w->order = NULL;
    run->peers = NULL;
}
