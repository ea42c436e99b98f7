/* stream.c - threads that run lists of ops and tell each other how far they are.
 *
 * `over` of a stream is the last of its steps that is over. Who needs a later one notes in `wants`
 * what that is and looks again before it sleeps; who moves `over` on looks at `wants` afterwards
 * (both sequentially consistent), so no wake-up is lost and none is sent that nobody needs. */
#define _GNU_SOURCE
#include "runtime/stream.h"

#include "runtime/signals.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum {
    ALL = INT_MAX,      /* `over`: the stream's list is done */
    STEPS_DELAYED = 32, /* one of so many compute steps, under BMRT_DELAY */
    OPS_DELAYED = 2,
};
static const int64_t NOTHING = -1;

typedef struct stream {
    bmrt_streams *all;
    bmrt_stream_id id;
    bool runs; /* has a thread */
    pthread_t thread;
    pthread_cond_t wake;
    _Atomic int over;
    _Atomic int64_t wants; /* stream << 32 | step that it sleeps for */
    uint64_t asked;        /* jobs so far; the thread has its own count of those it did */
    uint64_t events;       /* that a delay was drawn for */
    bmrt_ops ops;
    bmrt_call_fn *call; /* NULL: the ops are the job */
    void *arg;
    BmStatus status;
    bmrt_error error;
} stream;

struct bmrt_streams {
    stream stream[BMRT_STREAMS];
    pthread_mutex_t mutex;
    bool quit, first, last;
    double waited; /* seconds, of the compute stream */
    atomic_bool failed;
    bmrt_op_fn *op;
    bmrt_over_fn *tell;
    void *context;
    const bmrt_debug *debug;
    int rank;
};

const char *bmrt_stream_name(bmrt_stream_id id)
{
    switch (id) {
    case BMRT_COMPUTE:
        return "compute";
    case BMRT_COMM:
        return "comm";
    case BMRT_COPY:
        return "copy";
    case BMRT_STREAMS:
        break;
    }
    return "?";
}

static int64_t pack(bmrt_stream_id id, int step)
{
    return (int64_t)id << 32 | step;
}

/* Steps up to `id` of `me` are over. */
static void publish(stream *me, int id)
{
    bmrt_streams *s = me->all;
    atomic_store(&me->over, id);
    for (int i = 0; i < BMRT_STREAMS; i++) {
        stream *w = &s->stream[i];
        int64_t wants = atomic_load(&w->wants);
        if (wants == NOTHING || wants >> 32 != me->id || (int)(wants & INT_MAX) > id)
            continue;
        pthread_mutex_lock(&s->mutex);
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&s->mutex);
    }
}

/* The same within a phase, where somebody may want to know before the others do. */
static void finish(stream *me, int id)
{
    bmrt_streams *s = me->all;
    int over[BMRT_STREAMS];
    for (int i = 0; s->tell && i < BMRT_STREAMS; i++)
        over[i] = atomic_load(&s->stream[i].over);
    if (s->tell)
        s->tell(s->context, me->id, id, over);
    publish(me, id);
}

/* Sleeping streams that wait for each other never wake: each link of the chain is a wait that is
 * not met, and only its target could meet it. Under the mutex. */
static bool in_a_circle(bmrt_streams *s, const stream *me)
{
    const stream *at = me;
    for (int i = 0; i < BMRT_STREAMS; i++) {
        int64_t wants = atomic_load(&at->wants);
        if (wants == NOTHING)
            return false;
        const stream *target = &s->stream[wants >> 32];
        if (atomic_load(&target->over) >= (int)(wants & INT_MAX))
            return false;
        if (target == me)
            return true;
        at = target;
    }
    return false;
}

static BmStatus await(stream *me, bmrt_stream_id other, int id, bmrt_error *e)
{
    bmrt_streams *s = me->all;
    stream *target = &s->stream[other];
    BmStatus status = BMRT_OK;
    if (atomic_load(&target->over) >= id)
        return BMRT_OK;
    pthread_mutex_lock(&s->mutex);
    atomic_store(&me->wants, pack(other, id));
    while (atomic_load(&target->over) < id && status == BMRT_OK) {
        if (in_a_circle(s, me))
            status = bmrt_fail(e, BMRT_HANG,
                               "the plan's streams wait for each other: %s, after step %d, for "
                               "step %d of %s, which is at step %d",
                               bmrt_stream_name(me->id), atomic_load(&me->over), id,
                               bmrt_stream_name(other), atomic_load(&target->over));
        else
            pthread_cond_wait(&me->wake, &s->mutex);
    }
    atomic_store(&me->wants, NOTHING);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

/* The compute stream waits, by the clock. */
static BmStatus stand_still(stream *compute, bmrt_stream_id other, int id, bmrt_error *e)
{
    bmrt_streams *s = compute->all;
    if (atomic_load(&s->stream[other].over) >= id)
        return BMRT_OK;
    double begin = bmrt_now();
    BmStatus status = await(compute, other, id, e);
    s->waited += bmrt_now() - begin;
    return status;
}

double bmrt_streams_waited(const bmrt_streams *s)
{
    return s->waited;
}

static BmStatus run_op(stream *me, const bmrt_op *op)
{
    bmrt_streams *s = me->all;
    bool left_out = (op->when == 1 && !s->first) || (op->when == 2 && !s->last);
    if (left_out)
        return BMRT_OK;
    for (int i = 0; i < BMRT_STREAMS; i++) {
        if (op->wait[i] < 0 || i == (int)me->id)
            continue;
        BmStatus status = await(me, (bmrt_stream_id)i, op->wait[i], &me->error);
        if (status != BMRT_OK)
            return status;
    }
    if (atomic_load(&s->failed)) /* somewhere else, which tells why */
        return BMRT_HANG;
    bmrt_delay(s->debug, s->rank, (int)me->id, me->events++, OPS_DELAYED);
    bmrt_delay_step(s->debug, op->step);
    return s->op(s->context, me->id, op, s->first, &me->error);
}

static void run_ops(stream *me)
{
    for (int i = 0; i < me->ops.n && me->status == BMRT_OK; i++) {
        me->status = run_op(me, &me->ops.op[i]);
        if (me->status == BMRT_OK)
            finish(me, me->ops.op[i].step);
    }
    if (me->status != BMRT_OK)
        atomic_store(&me->all->failed, true);
    finish(me, ALL);
}

static void *stream_main(void *arg)
{
    stream *me = arg;
    bmrt_streams *s = me->all;
    uint64_t done = 0;
    bmrt_signals_elsewhere();
#ifdef PR_SET_TIMERSLACK
    (void)prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul); /* short sleeps are short */
#endif
    for (;;) {
        pthread_mutex_lock(&s->mutex);
        while (me->asked == done && !s->quit)
            pthread_cond_wait(&me->wake, &s->mutex);
        bool stop = me->asked == done;
        pthread_mutex_unlock(&s->mutex);
        if (stop)
            return NULL;
        done++;
        if (me->call) {
            me->status = me->call(me->arg, &me->error);
            publish(me, ALL);
        } else {
            run_ops(me);
        }
    }
}

/* The job is in `ops` or `call`. */
static void ask(stream *me)
{
    bmrt_streams *s = me->all;
    me->status = BMRT_OK;
    me->error.text[0] = me->error.help[0] = 0;
    atomic_store(&me->over, -1);
    pthread_mutex_lock(&s->mutex);
    me->asked++;
    pthread_cond_signal(&me->wake);
    pthread_mutex_unlock(&s->mutex);
}

void bmrt_streams_begin(bmrt_streams *s, const bmrt_ops ops[BMRT_STREAMS], bool first, bool last)
{
    s->first = first;
    s->last = last;
    atomic_store(&s->failed, false);
    s->stream[BMRT_COMPUTE].status = BMRT_OK;
    atomic_store(&s->stream[BMRT_COMPUTE].over, -1);
    for (int i = BMRT_COMM; i < BMRT_STREAMS; i++) {
        s->stream[i].ops = ops[i];
        s->stream[i].call = NULL;
        atomic_store(&s->stream[i].over, s->stream[i].runs && ops[i].n > 0 ? -1 : ALL);
    }
    for (int i = BMRT_COMM; i < BMRT_STREAMS; i++)
        if (atomic_load(&s->stream[i].over) == -1)
            ask(&s->stream[i]);
}

BmStatus bmrt_streams_end(bmrt_streams *s, bmrt_error *e)
{
    stream *compute = &s->stream[BMRT_COMPUTE];
    bmrt_error ignored;
    finish(compute, ALL);
    for (int i = BMRT_COMM; i < BMRT_STREAMS; i++)
        (void)stand_still(compute, (bmrt_stream_id)i, ALL, &ignored); /* it is over: no circle */
    for (int i = 0; i < BMRT_STREAMS; i++)
        if (s->stream[i].status != BMRT_OK && s->stream[i].error.text[0]) {
            *e = s->stream[i].error;
            return s->stream[i].status;
        }
    return BMRT_OK;
}

void bmrt_streams_step(bmrt_streams *s, int id)
{
    stream *compute = &s->stream[BMRT_COMPUTE];
    if (s->debug->delays)
        bmrt_delay(s->debug, s->rank, BMRT_COMPUTE, compute->events++, STEPS_DELAYED);
    finish(compute, id - 1);
    bmrt_delay_step(s->debug, id);
}

void bmrt_streams_wait(bmrt_streams *s, bmrt_stream_id other, int id)
{
    stream *compute = &s->stream[BMRT_COMPUTE];
    if (atomic_load(&s->failed))
        return;
    bmrt_error e;
    BmStatus status = stand_still(compute, other, id, &e);
    if (status != BMRT_OK)
        bmrt_streams_fail(s, status, &e);
}

void bmrt_streams_fail(bmrt_streams *s, BmStatus status, const bmrt_error *e)
{
    stream *compute = &s->stream[BMRT_COMPUTE];
    if (compute->status != BMRT_OK)
        return;
    compute->status = status;
    compute->error = *e;
    atomic_store(&s->failed, true);
}

BmStatus bmrt_streams_call(bmrt_streams *s, bmrt_stream_id id, bmrt_call_fn *fn, void *arg,
                           bmrt_error *e)
{
    stream *on = &s->stream[id];
    bmrt_error ignored;
    if (!on->runs)
        return fn(arg, e);
    on->call = fn;
    on->arg = arg;
    ask(on);
    (void)await(&s->stream[BMRT_COMPUTE], id, ALL, &ignored); /* it waits for nobody */
    if (on->status != BMRT_OK)
        *e = on->error;
    return on->status;
}

static int start_stream(bmrt_streams *s, int i, bool thread)
{
    stream *x = &s->stream[i];
    x->all = s;
    x->id = (bmrt_stream_id)i;
    atomic_init(&x->over, ALL);
    atomic_init(&x->wants, NOTHING);
    int error = pthread_cond_init(&x->wake, NULL);
    if (error == 0 && thread)
        error = pthread_create(&x->thread, NULL, stream_main, x);
    x->runs = thread && error == 0;
    return error;
}

BmStatus bmrt_streams_create(bmrt_streams **out, const bool with[BMRT_STREAMS], bmrt_op_fn *op,
                             bmrt_over_fn *tell, void *context, const bmrt_debug *debug, int rank,
                             bmrt_error *e)
{
    *out = NULL;
    bmrt_streams *s = calloc(1, sizeof *s);
    if (!s || pthread_mutex_init(&s->mutex, NULL) != 0) {
        free(s);
        return bmrt_fail(e, BMRT_MACHINE, "no memory for streams");
    }
    s->op = op;
    s->tell = tell;
    s->context = context;
    s->debug = debug;
    s->rank = rank;
    for (int i = 0; i < BMRT_STREAMS; i++) {
        int error = start_stream(s, i, i != BMRT_COMPUTE && with[i]);
        if (error != 0) {
            bmrt_streams_destroy(s);
            return bmrt_fail(e, BMRT_MACHINE, "cannot start the thread of the %s stream: %s",
                             bmrt_stream_name((bmrt_stream_id)i), strerror(error));
        }
    }
    *out = s;
    return BMRT_OK;
}

void bmrt_streams_destroy(bmrt_streams *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    s->quit = true;
    for (int i = 0; i < BMRT_STREAMS; i++)
        if (s->stream[i].runs)
            pthread_cond_signal(&s->stream[i].wake);
    pthread_mutex_unlock(&s->mutex);
    for (int i = 0; i < BMRT_STREAMS; i++)
        if (s->stream[i].runs)
            pthread_join(s->stream[i].thread, NULL);
    for (int i = 0; i < BMRT_STREAMS; i++)
        if (s->stream[i].all)
            pthread_cond_destroy(&s->stream[i].wake);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}
