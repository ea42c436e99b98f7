/* Signals come to the main thread alone, on a stack of their own: a product of the GEMM library may
 * run with the stack pointer inside the heap, and a frame there would spoil what lies below. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/gemm.h"
#include "runtime/pool.h"
#include "runtime/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

typedef struct blocked_job {
    atomic_int workers, blocked;
    pthread_t starter;
} blocked_job;

static void look_at_mask(void *job, int part, int parts)
{
    blocked_job *b = job;
    sigset_t set;
    (void)part, (void)parts;
    if (pthread_equal(pthread_self(), b->starter)) { /* leaves the others time to take a part */
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        return;
    }
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    atomic_fetch_add(&b->workers, 1);
    atomic_fetch_add(&b->blocked, sigismember(&set, SIGINT) && sigismember(&set, SIGTERM));
}

static void workers_take_none(void **state)
{
    (void)state;
    bmrt_error e = {"", ""};
    bmrt_pool *p;
    assert_int_equal(bmrt_pool_create(&p, 3, NULL, &e), BMRT_OK);
    blocked_job b = {.starter = pthread_self()};
    for (int i = 0; i < 5000 && atomic_load(&b.workers) == 0; i++)
        bmrt_pool_run(p, look_at_mask, &b, 3);
    assert_true(atomic_load(&b.workers) > 0);
    assert_int_equal(atomic_load(&b.blocked), atomic_load(&b.workers));
    bmrt_pool_destroy(p);
}

static volatile sig_atomic_t ticks;

static void on_tick(int number)
{
    (void)number;
    ticks++;
}

static real *filled(int n, int around)
{
    real *x = calloc((size_t)n, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < n; i++)
        x[i] = (real)(i % around - around / 2);
    return x;
}

/* Ticks every 50 us inside products, handled as SIGINT is: free() finds the heap whole, and the
 * numbers are right. */
static void products_may_be_interrupted(void **state)
{
    enum { M = 128, N = 192, K = 192, ENOUGH = 2000, MOST = 20000 };
    (void)state;
    struct sigaction tick;
    struct itimerval fast = {{0, 50}, {0, 50}}, off = {{0, 0}, {0, 0}};
    bmrt_signals_catch();
    bmrt_gemm_quiet(); /* threads of the library's own would take signals too */
    sigaction(SIGINT, NULL, &tick);
    tick.sa_handler = on_tick;
    sigaction(SIGALRM, &tick, NULL);
    real *a = filled(M * K, 17), *b = filled(K * N, 13), *c = filled(M * N, 3),
         *quiet = filled(M * N, 3);
    bmrt_gemm_call(false, false, M, N, K, a, K, b, N, false, quiet, N);
    setitimer(ITIMER_REAL, &fast, NULL);
    for (int i = 0; i < MOST && ticks < ENOUGH; i++) {
        bmrt_gemm_call(false, false, M, N, K, a, K, b, N, false, c, N);
        assert_memory_equal(c, quiet, M * N * sizeof *c);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    assert_true(ticks > 0);
    free(a);
    free(b);
    free(c);
    free(quiet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_take_none),
        cmocka_unit_test(products_may_be_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
