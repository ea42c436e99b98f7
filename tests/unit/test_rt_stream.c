/* The streams: waits order what they should, rounds leave out what they should, a failure or a
 * circle of waits ends the phase, and whoever waits sleeps. */
#include "tests/unit/rt_fixture.h"

#include "runtime/stream.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { MOST = 512 };

typedef struct log {
    atomic_int n;
    int step[MOST];   /* in the order they ended */
    double sleep[64]; /* by step: how long it takes */
    int fails;        /* this step does */
    pthread_t thread[BMRT_STREAMS];
    bool first[BMRT_STREAMS];
    atomic_int told; /* steps that `tell` heard of after others knew */
} log;

static void note(log *l, int step)
{
    int i = atomic_fetch_add(&l->n, 1);
    if (i < MOST)
        l->step[i] = step;
}

static BmStatus do_op(void *context, bmrt_stream_id stream, const bmrt_op *op, bool first,
                      bmrt_error *e)
{
    log *l = context;
    l->thread[stream] = pthread_self();
    l->first[stream] = first;
    bmrt_sleep(l->sleep[op->step % 64]);
    if (op->step == l->fails)
        return bmrt_fail(e, BMRT_MACHINE, "step %d fails", op->step);
    note(l, op->step);
    return BMRT_OK;
}

static void hear(void *context, bmrt_stream_id stream, int id, const int over[BMRT_STREAMS])
{
    log *l = context;
    if (over[stream] >= id && over[stream] != INT_MAX)
        l->told++;
}

static int place_of(const log *l, int step)
{
    for (int i = 0; i < l->n && i < MOST; i++)
        if (l->step[i] == step)
            return i;
    return -1;
}

#define OP(id, ...)                                                                                \
    {                                                                                              \
        .step = id, .kind = BMRT_COPY_BYTES, .path = "x", __VA_ARGS__                              \
    }

static bmrt_streams *start(log *l, const bmrt_debug *d)
{
    static const bool with[BMRT_STREAMS] = {false, true, true};
    bmrt_streams *s;
    bmrt_error e;
    memset(l, 0, sizeof *l);
    l->fails = -1;
    assert_int_equal(bmrt_streams_create(&s, with, do_op, hear, l, d, 0, &e), BMRT_OK);
    return s;
}

/* compute 1 5 9, comm 2 6 (after 5), copy 3 (after comm 2) 7 (after comm 6), compute 9 after copy
 * 7 */
static void compute(bmrt_streams *s, log *l)
{
    bmrt_streams_step(s, 1);
    note(l, 1);
    bmrt_streams_step(s, 5);
    bmrt_sleep(l->sleep[5]);
    note(l, 5);
    bmrt_streams_step(s, 9);
    bmrt_streams_wait(s, BMRT_COPY, 7);
    note(l, 9);
}

static void waits_order_the_streams(void **state)
{
    (void)state;
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    const bmrt_op comm[] = {OP(2, .wait = {-1, -1, -1}), OP(6, .wait = {5, -1, -1})};
    const bmrt_op copy[] = {OP(3, .wait = {-1, 2, -1}), OP(7, .wait = {-1, 6, -1})};
    const bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}, {comm, 2}, {copy, 2}};
    for (int slow = 0; slow < 60; slow++) {
        bmrt_error e;
        memset(l.sleep, 0, sizeof l.sleep);
        l.sleep[slow % 10] = 0.003;
        l.n = 0;
        d.delays = slow >= 30;
        d.seed = (uint64_t)slow;
        bmrt_streams_begin(s, ops, true, true);
        compute(s, &l);
        assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
        assert_int_equal(l.n, 7);
        assert_true(place_of(&l, 2) < place_of(&l, 3) && place_of(&l, 5) < place_of(&l, 6));
        assert_true(place_of(&l, 6) < place_of(&l, 7) && place_of(&l, 7) < place_of(&l, 9));
    }
    assert_int_equal(l.told, 0);
    assert_false(pthread_equal(l.thread[BMRT_COMM], l.thread[BMRT_COPY]));
    assert_false(pthread_equal(l.thread[BMRT_COMM], pthread_self()));
    bmrt_streams_destroy(s);
}

static void some_steps_run_in_some_rounds(void **state)
{
    (void)state;
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    const bmrt_op comm[] = {OP(1, .wait = {-1, -1, -1}, .when = 1),
                            OP(2, .wait = {-1, -1, -1}, .when = 2), OP(3, .wait = {-1, -1, -1})};
    const bmrt_op copy[] = {OP(4, .wait = {-1, 2, -1})}; /* of a step left out: over at once */
    const bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}, {comm, 3}, {copy, 1}};
    for (int round = 0; round < 4; round++) {
        bool first = round & 1, last = round & 2;
        bmrt_error e;
        l.n = 0;
        bmrt_streams_begin(s, ops, first, last);
        bmrt_streams_wait(s, BMRT_COMM, 2);
        assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
        assert_int_equal(l.n, 2 + first + last);
        assert_true((place_of(&l, 1) >= 0) == first && (place_of(&l, 2) >= 0) == last);
        assert_true(l.first[BMRT_COMM] == first);
    }
    bmrt_streams_destroy(s);
}

static void a_failure_ends_the_phase(void **state)
{
    (void)state;
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    const bmrt_op comm[] = {OP(2, .wait = {-1, -1, -1}), OP(6, .wait = {5, -1, -1})};
    const bmrt_op copy[] = {OP(3, .wait = {-1, 2, -1}), OP(7, .wait = {-1, 6, -1})};
    const bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}, {comm, 2}, {copy, 2}};
    for (int fails = 2; fails < 8; fails++) {
        bmrt_error e;
        l.fails = fails;
        l.n = 0;
        bmrt_streams_begin(s, ops, true, true);
        compute(s, &l);
        BmStatus status = bmrt_streams_end(s, &e);
        bool there = fails != 4 && fails != 5;
        assert_int_equal(status, there ? BMRT_MACHINE : BMRT_OK);
        if (there)
            assert_non_null(strstr(e.text, "fails"));
        assert_true(place_of(&l, 9) >= 0); /* compute always comes to its end */
        if (fails == 2)
            assert_int_equal(place_of(&l, 7), -1);
    }
    l.fails = -1;
    bmrt_error e;
    bmrt_streams_begin(s, ops, true, true);
    compute(s, &l);
    assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
    bmrt_streams_destroy(s);
}

static void circles_are_found(void **state)
{
    (void)state;
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    bmrt_error e;
    const bmrt_op comm[] = {OP(2, .wait = {-1, -1, 7})};
    const bmrt_op copy[] = {OP(7, .wait = {-1, 2, -1})};
    const bmrt_ops two[BMRT_STREAMS] = {{NULL, 0}, {comm, 1}, {copy, 1}};
    bmrt_streams_begin(s, two, true, true);
    assert_int_equal(bmrt_streams_end(s, &e), BMRT_HANG);
    assert_non_null(strstr(e.text, "streams wait for each other"));
    /* through all three */
    const bmrt_op a[] = {OP(2, .wait = {-1, -1, 7})};
    const bmrt_op b[] = {OP(7, .wait = {5, -1, -1})};
    const bmrt_ops three[BMRT_STREAMS] = {{NULL, 0}, {a, 1}, {b, 1}};
    for (int i = 0; i < 20; i++) {
        bmrt_streams_begin(s, three, true, true);
        bmrt_streams_step(s, 5);
        bmrt_sleep(i % 2 ? 0.002 : 0);
        bmrt_streams_wait(s, BMRT_COMM, 2);
        bmrt_streams_step(s, 9);
        assert_int_equal(bmrt_streams_end(s, &e), BMRT_HANG);
    }
    bmrt_streams_destroy(s);
}

static BmStatus who(void *arg, bmrt_error *e)
{
    *(pthread_t *)arg = pthread_self();
    return bmrt_fail(e, BMRT_CHECKPOINT, "asked");
}

static void calls_run_on_the_streams_thread(void **state)
{
    (void)state;
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    const bmrt_op comm[] = {OP(2, .wait = {-1, -1, -1})};
    const bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}, {comm, 1}, {NULL, 0}};
    bmrt_error e;
    pthread_t t;
    bmrt_streams_begin(s, ops, true, true);
    assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
    assert_int_equal(bmrt_streams_call(s, BMRT_COMM, who, &t, &e), BMRT_CHECKPOINT);
    assert_string_equal(e.text, "asked");
    assert_true(pthread_equal(t, l.thread[BMRT_COMM]));
    assert_int_equal(bmrt_streams_call(s, BMRT_COMPUTE, who, &t, &e), BMRT_CHECKPOINT);
    assert_true(pthread_equal(t, pthread_self()));
    bmrt_streams_destroy(s);
    bmrt_streams_destroy(NULL);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void waiting_takes_no_core(void **state)
{
    (void)state;
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    const bmrt_op comm[] = {OP(2, .wait = {-1, -1, -1})};
    const bmrt_op copy[] = {OP(3, .wait = {-1, 2, -1})};
    const bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}, {comm, 1}, {copy, 1}};
    bmrt_error e;
    l.sleep[2] = 0.5;
    double begin = cpu_seconds();
    bmrt_streams_begin(s, ops, true, true);
    bmrt_streams_wait(s, BMRT_COPY, 3);
    assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
    assert_true(cpu_seconds() - begin < 0.1);
    double waited = bmrt_streams_waited(s);
    assert_true(waited > 0.45);
    bmrt_streams_begin(s, ops, true, true); /* the phase's end waits as well */
    assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
    assert_true(bmrt_streams_waited(s) > waited + 0.45);
    bmrt_streams_destroy(s);
}

/* A long list that goes to and fro: no wake-up is lost. */
static void to_and_fro(void **state)
{
    (void)state;
    enum { TURNS = 400 };
    log l;
    bmrt_debug d = {.timeout = 10};
    bmrt_streams *s = start(&l, &d);
    static bmrt_op comm[TURNS], copy[TURNS];
    for (int i = 0; i < TURNS; i++) {
        comm[i] = (bmrt_op)OP(3 * i + 1, .wait = {3 * i, -1, 3 * i - 1});
        copy[i] = (bmrt_op)OP(3 * i + 2, .wait = {-1, 3 * i + 1, -1});
        if (i == 0)
            comm[i].wait[BMRT_COPY] = -1;
    }
    const bmrt_ops ops[BMRT_STREAMS] = {{NULL, 0}, {comm, TURNS}, {copy, TURNS}};
    for (int times = 0; times < 10; times++) {
        bmrt_error e;
        l.n = 0;
        bmrt_streams_begin(s, ops, true, true);
        for (int i = 0; i < TURNS; i++) {
            bmrt_streams_step(s, 3 * i);
            if (i > 0)
                bmrt_streams_wait(s, BMRT_COPY, 3 * i - 1);
        }
        assert_int_equal(bmrt_streams_end(s, &e), BMRT_OK);
        assert_int_equal(l.n, 2 * TURNS);
    }
    bmrt_streams_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_order_the_streams),
        cmocka_unit_test(some_steps_run_in_some_rounds),
        cmocka_unit_test(a_failure_ends_the_phase),
        cmocka_unit_test(circles_are_found),
        cmocka_unit_test(calls_run_on_the_streams_thread),
        cmocka_unit_test(waiting_takes_no_core),
        cmocka_unit_test(to_and_fro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
