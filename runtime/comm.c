/* comm.c - exchanges of messages, and what ranks agree on between steps. */
#define _GNU_SOURCE
#include "runtime/comm_private.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_PIECES = 256, MOST_PIECES = 1 << 22 };

/* A wait gives its core away at once and then sleeps longer and longer: compute threads have the
 * cores, and a message takes longer than a sleep of this length. */
static const double first_nap = 5e-6, longest_nap = 250e-6, nap_growth = 1.5;
/* A look that takes longer than this has moved bytes of a long message, and there may be more. */
static const double busy_look = 4e-6;

const char *bmrt_op_name(bmrt_op_kind kind)
{
    switch (kind) {
    case BMRT_ALL_GATHER:
        return "all_gather";
    case BMRT_REDUCE_SCATTER:
        return "reduce_scatter";
    case BMRT_ALL_REDUCE:
        return "all_reduce";
    case BMRT_COPY_BYTES:
        return "copy";
    }
    return "?";
}

int64_t bmrt_comm_pieces(int64_t bytes)
{
    return (bytes + BMRT_MOST_PIECE - 1) / BMRT_MOST_PIECE;
}

static void add_pieces(bmrt_comm *c, int64_t peer, bool send, void *at, int64_t bytes)
{
    for (int64_t done = 0; done < bytes; done += BMRT_MOST_PIECE) {
        int64_t now = bytes - done < BMRT_MOST_PIECE ? bytes - done : BMRT_MOST_PIECE;
        c->piece[c->n++] = (bmrt_piece){(int)peer, send, false, (char *)at + done, now};
    }
}

void bmrt_comm_send(bmrt_comm *c, int64_t peer, const void *at, int64_t bytes)
{
    add_pieces(c, peer, true, (void *)(uintptr_t)at, bytes);
}

void bmrt_comm_receive(bmrt_comm *c, int64_t peer, void *at, int64_t bytes)
{
    add_pieces(c, peer, false, at, bytes);
}

/* "1, 3 and 4": the ranks whose messages are still missing. */
static void add_missing(const bmrt_comm *c, bmrt_text *t)
{
    enum { NAMED = 8 };
    int named[NAMED], n = 0;
    bool more = false;
    for (int i = 0; i < c->n; i++) {
        if (c->piece[i].done)
            continue;
        bool known = false;
        for (int j = 0; j < n; j++)
            known = known || named[j] == c->piece[i].peer;
        if (known)
            continue;
        if (n < NAMED)
            named[n++] = c->piece[i].peer;
        else
            more = true;
    }
    bmrt_text_add(t, "rank%s ", n == 1 ? "" : "s");
    for (int j = 0; j < n; j++)
        bmrt_text_add(t, "%s%d", j == 0 ? "" : j + 1 == n && !more ? " and " : ", ", named[j]);
    if (more)
        bmrt_text_add(t, " and others");
}

static BmStatus hang(const bmrt_comm *c, bmrt_error *e)
{
    char missing[160];
    bmrt_text t = {missing, 0, sizeof missing, false};
    add_missing(c, &t);
    if (c->op)
        bmrt_fail(e, BMRT_HANG,
                  "step %lld: nothing moved for %g s in the %s of '%s' (step %d of the plan): "
                  "waiting for %s",
                  (long long)c->step + 1, c->debug->timeout, bmrt_op_name(c->op->kind),
                  c->op->path ? c->op->path : "?", c->op->step, missing);
    else
        bmrt_fail(e, BMRT_HANG, "nothing moved for %g s while ranks agree: waiting for %s",
                  c->debug->timeout, missing);
    bmrt_help(e, "BMRT_TIMEOUT=SECONDS waits longer");
    return BMRT_HANG;
}

static int count_open(const bmrt_comm *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++)
        n += !c->piece[i].done;
    return n;
}

static BmStatus wait_for_pieces(bmrt_comm *c, bmrt_error *e)
{
    double since = bmrt_now(), nap = 0;
    int open = c->n;
    for (;;) {
        double before = bmrt_now();
        BmStatus s = c->t->test(c->link, c->piece, c->n, e);
        int left = s == BMRT_OK ? count_open(c) : 0;
        if (left == 0)
            return s;
        double now = bmrt_now();
        if (left < open || now - before > busy_look)
            nap = 0;
        if (left < open)
            since = now;
        else if (now - since > c->debug->timeout)
            return hang(c, e);
        open = left;
        if (nap > 0)
            bmrt_sleep(nap);
        else
            sched_yield();
        nap = nap > 0 ? nap * nap_growth : first_nap;
        if (nap > longest_nap)
            nap = longest_nap;
    }
}

BmStatus bmrt_comm_exchange(bmrt_comm *c, int tag, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    if (c->n > 0)
        s = c->t->start_pieces(c->link, c->piece, c->n, tag, e);
    if (c->n > 0 && s == BMRT_OK)
        s = wait_for_pieces(c, e);
    if (s == BMRT_OK && tag == BMRT_TAG_PAYLOAD)
        for (int i = 0; i < c->n; i++)
            c->sent[c->op->kind] += c->piece[i].send ? c->piece[i].bytes : 0;
    c->n = 0;
    return s;
}

/* After round i a rank knows the largest of the 2^(i + 1) ranks up to itself. */
BmStatus bmrt_comm_max(bmrt_comm *c, uint64_t *value, int n, bmrt_error *e)
{
    uint64_t other[BMRT_MOST_VALUES];
    int64_t ranks = c->place.ranks, bytes = n * (int64_t)sizeof *value;
    for (int64_t far = 1; far < ranks; far *= 2) {
        bmrt_comm_receive(c, (c->place.rank + ranks - far) % ranks, other, bytes);
        bmrt_comm_send(c, (c->place.rank + far) % ranks, value, bytes);
        BmStatus s = bmrt_comm_exchange(c, BMRT_TAG_CONTROL, e);
        if (s != BMRT_OK)
            return s;
        for (int i = 0; i < n; i++)
            if (other[i] > value[i])
                value[i] = other[i];
    }
    return BMRT_OK;
}

BmStatus bmrt_comm_collect(bmrt_comm *c, const void *mine, int64_t bytes, void *all, bmrt_error *e)
{
    int64_t ranks = c->place.ranks, me = c->place.rank;
    memcpy((char *)all + me * bytes, mine, (size_t)bytes);
    for (int64_t far = 1; far < ranks; far++) { /* few messages at a time, whatever the world */
        int64_t from = (me + ranks - far) % ranks;
        bmrt_comm_receive(c, from, (char *)all + from * bytes, bytes);
        bmrt_comm_send(c, (me + far) % ranks, mine, bytes);
        BmStatus s = bmrt_comm_exchange(c, BMRT_TAG_CONTROL, e);
        if (s != BMRT_OK)
            return s;
    }
    return BMRT_OK;
}

BmStatus bmrt_comm_move(bmrt_comm *c, int from, int to, void *at, int64_t bytes, bmrt_error *e)
{
    for (int64_t done = 0; done < bytes; done += BMRT_MOST_PIECE) {
        int64_t now = bytes - done < BMRT_MOST_PIECE ? bytes - done : BMRT_MOST_PIECE;
        if (from != to && c->place.rank == from)
            bmrt_comm_send(c, to, (char *)at + done, now);
        if (from != to && c->place.rank == to)
            bmrt_comm_receive(c, from, (char *)at + done, now);
        BmStatus s = bmrt_comm_exchange(c, BMRT_TAG_CONTROL, e);
        if (s != BMRT_OK)
            return s;
    }
    return BMRT_OK;
}

bmrt_place_in bmrt_comm_place(const bmrt_comm *c)
{
    return c->place;
}

void bmrt_comm_abort(bmrt_comm *c, int code)
{
    if (c->t)
        c->t->abort(c->link, code);
}

void bmrt_comm_count(const bmrt_comm *c, bmrt_text *out)
{
    bmrt_text_add(out, "{\"rank\":%d", c->place.rank);
    for (int i = 0; i < BMRT_COPY_BYTES; i++)
        bmrt_text_add(out, ",\"%s\":%lld", bmrt_op_name((bmrt_op_kind)i), (long long)c->sent[i]);
    bmrt_text_add(out, "}");
}

static BmStatus reserve(bmrt_comm *c, int64_t pieces, bmrt_error *e)
{
    if (pieces < LEAST_PIECES)
        pieces = LEAST_PIECES;
    if (pieces <= c->most)
        return BMRT_OK;
    if (pieces > MOST_PIECES)
        return bmrt_fail(e, BMRT_MACHINE, "an exchange of %lld messages at once is too large",
                         (long long)pieces);
    bmrt_piece *p = realloc(c->piece, (size_t)pieces * sizeof *p);
    if (!p)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for %lld messages", (long long)pieces);
    c->piece = p;
    c->most = (int)pieces;
    return c->t ? c->t->reserve(c->link, c->most, e) : BMRT_OK;
}

static BmStatus measure_program(bmrt_comm *c, const bmrt_program *p, int64_t *pieces, bmrt_error *e)
{
    const bmrt_ops *list[] = {p->comm, p->copy};
    for (int i = 0; i < BMRT_COUNT(list); i++)
        for (int phase = 0; list[i] && phase < BMRT_PHASES; phase++)
            for (int j = 0; j < list[i][phase].n; j++) {
                int64_t n = 0;
                BmStatus s = bmrt_comm_measure(c, &list[i][phase].op[j], &n, e);
                if (s != BMRT_OK)
                    return s;
                *pieces = n > *pieces ? n : *pieces;
            }
    return BMRT_OK;
}

BmStatus bmrt_comm_prepare(bmrt_comm *c, const bmrt_model *m, bmrt_error *e)
{
    int64_t ranks = c->place.ranks, pieces = 0;
    c->k = m->shared_by > 0 ? m->shared_by : ranks;
    if (c->k > ranks || ranks % c->k != 0)
        return bmrt_fail(e, BMRT_BUG, "%lld ranks in groups of %lld", (long long)ranks,
                         (long long)c->k);
    c->q = c->place.rank % c->k;
    c->groups = ranks / c->k;
    BmStatus s = measure_program(c, &m->train, &pieces, e);
    if (s == BMRT_OK)
        s = measure_program(c, &m->eval, &pieces, e);
    if (s == BMRT_OK)
        s = measure_program(c, &m->sample, &pieces, e);
    return s == BMRT_OK ? reserve(c, pieces, e) : s;
}

BmStatus bmrt_comm_create(bmrt_comm **out, const bmrt_transport *t, const bmrt_debug *debug,
                          bmrt_error *e)
{
    *out = NULL;
    bmrt_comm *c = calloc(1, sizeof *c);
    if (!c)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for communication");
    c->debug = debug;
    c->place = (bmrt_place_in){0, 1, 1};
    BmStatus s = t ? t->open(&c->link, t->context, &c->place, e) : BMRT_OK;
    if (s == BMRT_OK)
        c->t = t;
    c->k = c->place.ranks;
    c->q = c->place.rank;
    c->groups = 1;
    c->part = calloc((size_t)c->place.ranks + 1, sizeof *c->part);
    if (s == BMRT_OK && !c->part)
        s = bmrt_fail(e, BMRT_MACHINE, "no memory for %d ranks", c->place.ranks);
    if (s == BMRT_OK)
        s = reserve(c, LEAST_PIECES, e);
    if (s != BMRT_OK) {
        bmrt_comm_destroy(c);
        return s;
    }
    *out = c;
    return BMRT_OK;
}

void bmrt_comm_destroy(bmrt_comm *c)
{
    if (!c)
        return;
    if (c->t)
        c->t->close(c->link);
    free(c->piece);
    free(c->part);
    free(c);
}
