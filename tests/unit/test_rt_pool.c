/* The pool: every unit once, for any number of threads and back to back. */
#include "tests/unit/rt_fixture.h"

#include "runtime/bmrt_private.h"

#include <stdatomic.h>
#include <time.h>

enum { UNITS = 10007 };

static void count_units(void *job, int64_t lo, int64_t hi)
{
    atomic_int *hits = job;
    for (int64_t i = lo; i < hi; i++)
        atomic_fetch_add(&hits[i], 1);
}

static void every_unit_once(void **state)
{
    (void)state;
    bmrt_error e;
    static atomic_int hits[UNITS];
    for (int threads = 1; threads <= 5; threads++) {
        bmrt_pool *p;
        assert_int_equal(bmrt_pool_create(&p, threads, NULL, &e), BMRT_OK);
        for (int round = 0; round < 400; round++) {
            int64_t n = round % 2 ? UNITS : round;
            memset(hits, 0, sizeof hits);
            if (round % 3)
                bmrt_pool_split(p, count_units, hits, n, round % 7);
            else
                bmrt_pool_take(p, count_units, hits, n, round % 5);
            for (int64_t i = 0; i < UNITS; i++)
                assert_int_equal(atomic_load(&hits[i]), i < n);
            if (round % 100 == 50)
                nanosleep(&(struct timespec){0, 20000000}, NULL); /* the workers fall asleep */
        }
        bmrt_pool_destroy(p);
    }
}

static void a_block_is_not_smaller_than_asked(void **state)
{
    (void)state;
    bmrt_error e;
    bmrt_pool *p;
    assert_int_equal(bmrt_pool_create(&p, 4, NULL, &e), BMRT_OK);
    static atomic_int hits[UNITS];
    memset(hits, 0, sizeof hits);
    bmrt_pool_split(p, count_units, hits, 0, 1); /* nothing to do */
    bmrt_pool_split(p, count_units, hits, -5, 1);
    for (int i = 0; i < UNITS; i++)
        assert_int_equal(atomic_load(&hits[i]), 0);
    bmrt_pool_destroy(p);
    assert_int_equal(bmrt_pool_create(&p, 0, NULL, &e), BMRT_USAGE);
    assert_int_equal(bmrt_pool_create(&p, 1 << 20, NULL, &e), BMRT_USAGE);
    bmrt_pool_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unit_once),
        cmocka_unit_test(a_block_is_not_smaller_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
