/* BMRT_CHECK: a wait that is missing is found, whatever happens to be over; one that is there, or
 * is implied by another, is enough. */
#include "tests/unit/rt_fixture.h"

#include "runtime/order.h"

#include <limits.h>

static const bmrt_buffer buffers[] = {
    {"a", 0, 64, false}, {"b", 64, 64, false}, {"c", 96, 64, false}, {"a.host", 0, 64, true}};
enum { A = 0, B = 2, C = 4, HOST = 6, WRITES = 1 };

#define USES(id, over, when, ...)                                                                  \
    {                                                                                              \
        id, over, when, "x", (const int[]){__VA_ARGS__},                                           \
            (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int))                                \
    }
/* compute 10 writes a; 12 and 13 are a region, 13 reads b; 20 writes b in the last round. comm 11
 * reads a into b; 14 overwrites c, which shares bytes with b. copy 15 writes b; 16 reads the host's
 * a. */
static const bmrt_uses compute[] = {USES(10, 10, 0, A | WRITES), USES(12, 13, 0, HOST | WRITES),
                                    USES(13, 13, 0, B), USES(20, 20, 2, B | WRITES)};
static const bmrt_uses comm[] = {USES(11, 11, 0, A, B | WRITES), USES(14, 14, 0, C | WRITES)};
static const bmrt_uses copy[] = {USES(15, 15, 0, B | WRITES), USES(16, 16, 1, HOST)};
static const bmrt_used used[BMRT_PHASES * BMRT_STREAMS] = {
    [9] = {compute, 4}, [10] = {comm, 2}, [11] = {copy, 2}};
static const bmrt_model model = {
    .train = {.micro_batch = 1, .uses = used}, .buffer = buffers, .n_buffer = 4};

static bmrt_order *o;
static bmrt_error e;

static void begin(bool first, bool last)
{
    bmrt_order_begin(o, &model.train, 3, first, last);
}

static void runs(bmrt_stream_id stream, int id)
{
    if (bmrt_order_step(o, stream, id, &e) != BMRT_OK)
        fail_msg("%s", e.text);
    bmrt_order_over(o, stream, id);
}

static void fails(bmrt_stream_id stream, int id, const char *text)
{
    assert_int_equal(bmrt_order_step(o, stream, id, &e), BMRT_BUG);
    if (!strstr(e.text, text))
        fail_msg("'%s' is not in: %s", text, e.text);
}

static int open_order(void **state)
{
    (void)state;
    return bmrt_order_create(&o, &model, &e) != BMRT_OK;
}

static int close_order(void **state)
{
    (void)state;
    bmrt_order_destroy(o);
    return 0;
}

static void what_was_waited_for_is_enough(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        begin(round == 0, round == 2);
        runs(BMRT_COMPUTE, 10);
        bmrt_order_waited(o, BMRT_COMM, BMRT_COMPUTE, 10);
        runs(BMRT_COMM, 11);
        runs(BMRT_COMPUTE, 12);
        bmrt_order_waited(o, BMRT_COMPUTE, BMRT_COMM, 11);
        runs(BMRT_COMPUTE, 13);
        bmrt_order_waited(o, BMRT_COMM, BMRT_COMPUTE, 13);
        runs(BMRT_COMM, 14);
        bmrt_order_waited(o, BMRT_COPY, BMRT_COMM, 14); /* it waited for 13 */
        runs(BMRT_COPY, 15);
        runs(BMRT_COPY, 16);
        bmrt_order_waited(o, BMRT_COMPUTE, BMRT_COPY, 15);
        runs(BMRT_COMPUTE, 20);
    }
}

static void a_missing_wait_is_found(void **state)
{
    (void)state;
    begin(true, true);
    runs(BMRT_COMPUTE, 10); /* over by chance, but nobody waited */
    fails(BMRT_COMM, 11,
          "step 11 (comm: 'x') begins before step 10 (compute: 'x') is over, and nothing waits: "
          "they share 'a', bytes 0 to 63");
    bmrt_order_waited(o, BMRT_COMM, BMRT_COMPUTE, 10);
    runs(BMRT_COMM, 11);
    runs(BMRT_COMPUTE, 12);
    fails(BMRT_COMPUTE, 13, "step 11 (comm");
    bmrt_order_waited(o, BMRT_COMPUTE, BMRT_COMM, 11);
    runs(BMRT_COMPUTE, 13);
    bmrt_order_waited(o, BMRT_COMM, BMRT_COMPUTE, 12); /* the region goes on */
    fails(BMRT_COMM, 14,
          "step 13 (compute: 'x') is over, and nothing waits: they share 'c' and "
          "'b', bytes 96 to 127");
    fails(BMRT_COPY, 16, "before step 13 (compute");
    fails(BMRT_COPY, 16, "'a.host', bytes 0 to 63 of the host's arena");
    begin(true, true); /* nothing is known in the next phase run */
    runs(BMRT_COMPUTE, 10);
    fails(BMRT_COMM, 11, "step 10");
}

static void steps_of_other_rounds_do_not_count(void **state)
{
    (void)state;
    begin(false, false);
    runs(BMRT_COMPUTE, 20); /* it does not run in this round */
    runs(BMRT_COPY, 16);
    begin(false, true);
    fails(BMRT_COMPUTE, 20, "step 14 (comm");
    bmrt_order_begin(o, &model.train, 2, true, true); /* a phase of no uses */
    runs(BMRT_COMPUTE, 20);
    bmrt_order_begin(o, &model.eval, 3, true, true); /* a program that does not tell */
    runs(BMRT_COMPUTE, 20);
    bmrt_order_over(o, BMRT_COMPUTE, INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_waited_for_is_enough, open_order, close_order),
        cmocka_unit_test_setup_teardown(a_missing_wait_is_found, open_order, close_order),
        cmocka_unit_test_setup_teardown(steps_of_other_rounds_do_not_count, open_order,
                                        close_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
