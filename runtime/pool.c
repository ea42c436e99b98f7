/* pool.c - threads that wait for the next job by spinning, then sleeping.
 *
 * A job is announced by one 64-bit word: a counter and how many threads take part. A thread that
 * does not take part reads nothing else, so the job's other fields may be rewritten as soon as
 * those that do are done. */
#define _GNU_SOURCE
#include "runtime/pool.h"

#include "runtime/signals.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SPINS = 8000,    /* some 100 us: longer than the serial code between two launches */
    PARTS_BITS = 16, /* of the announcing word */
    STOP = 0xffff,   /* in place of the number of parts */
    LINE = 64,       /* bytes of a cache line */
};

/* One sleeper: `asleep` is raised before the last look at what it waits for, and whoever changes
 * that looks at `asleep` afterwards (both sequentially consistent), so no wake-up is lost. */
typedef struct sleeper {
    atomic_bool asleep;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} sleeper;

typedef struct worker {
    bmrt_pool *pool;
    int index; /* from 1 */
    pthread_t thread;
    sleeper sleeper;
} worker;

typedef struct claim { /* of one part: job number * 2, + 1 when somebody has it */
    _Atomic uint64_t state;
    char apart[LINE - sizeof(uint64_t)];
} claim;

struct bmrt_pool {
    int threads, spins;
    bmrt_start_fn *start;
    bmrt_part_fn *fn;
    void *job;
    uint64_t count;
    worker *worker; /* [threads - 1] */
    claim *claim;   /* [threads] */
    sleeper starter;
    char apart0[LINE];
    _Atomic uint64_t word;
    char apart1[LINE];
    atomic_int left; /* parts of the running job that are not done */
    char apart2[LINE];
    _Atomic int64_t next; /* bmrt_pool_take */
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool sleeper_create(sleeper *s)
{
    atomic_init(&s->asleep, false);
    if (pthread_mutex_init(&s->mutex, NULL) != 0)
        return false;
    if (pthread_cond_init(&s->wake, NULL) != 0) {
        pthread_mutex_destroy(&s->mutex);
        return false;
    }
    return true;
}

static void sleeper_destroy(sleeper *s)
{
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
}

static void sleeper_rouse(sleeper *s)
{
    if (!atomic_load(&s->asleep))
        return;
    pthread_mutex_lock(&s->mutex);
    atomic_store(&s->asleep, false);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

static void sleep_until_roused(sleeper *s)
{
    pthread_mutex_lock(&s->mutex);
    while (atomic_load(&s->asleep))
        pthread_cond_wait(&s->wake, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

/* The next word after `last`. */
static uint64_t await_word(worker *w, uint64_t last)
{
    bmrt_pool *p = w->pool;
    for (;;) {
        for (int i = 0; i < p->spins; i++) {
            uint64_t word = atomic_load_explicit(&p->word, memory_order_acquire);
            if (word != last)
                return word;
            relax();
        }
        atomic_store(&w->sleeper.asleep, true);
        if (atomic_load(&p->word) != last)
            atomic_store(&w->sleeper.asleep, false);
        sleep_until_roused(&w->sleeper);
        uint64_t word = atomic_load(&p->word);
        if (word != last)
            return word;
    }
}

static bool claim_part(bmrt_pool *p, uint64_t number, int part)
{
    uint64_t open = number << 1;
    return atomic_compare_exchange_strong(&p->claim[part].state, &open, open | 1);
}

/* Own part first, then those behind it. */
static void work(bmrt_pool *p, uint64_t number, int self, int parts)
{
    for (int i = 0; i < parts; i++) {
        int part = self + i < parts ? self + i : self + i - parts;
        if (!claim_part(p, number, part))
            continue;
        p->fn(p->job, part, parts);
        if (atomic_fetch_sub(&p->left, 1) == 1)
            sleeper_rouse(&p->starter);
    }
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    bmrt_pool *p = w->pool;
    uint64_t last = 0;
    bmrt_signals_elsewhere();
    if (p->start)
        p->start();
    for (;;) {
        last = await_word(w, last);
        int parts = (int)(last & ((1u << PARTS_BITS) - 1));
        if (parts == STOP)
            return NULL;
        if (w->index < parts)
            work(p, last >> PARTS_BITS, w->index, parts);
    }
}

static void announce(bmrt_pool *p, int parts)
{
    int upto = parts == STOP ? p->threads : parts;
    atomic_store(&p->word, p->count << PARTS_BITS | (uint64_t)parts);
    for (int i = 1; i < upto; i++)
        sleeper_rouse(&p->worker[i - 1].sleeper);
}

static void await_done(bmrt_pool *p)
{
    for (;;) {
        for (int i = 0; i <= p->spins; i++) {
            if (atomic_load_explicit(&p->left, memory_order_acquire) == 0)
                return;
            relax();
        }
        atomic_store(&p->starter.asleep, true);
        if (atomic_load(&p->left) == 0)
            atomic_store(&p->starter.asleep, false);
        sleep_until_roused(&p->starter);
    }
}

void bmrt_pool_run(bmrt_pool *p, bmrt_part_fn *fn, void *job, int parts)
{
    if (parts > p->threads)
        parts = p->threads;
    if (parts <= 1) {
        fn(job, 0, 1);
        return;
    }
    p->fn = fn;
    p->job = job;
    p->count++;
    atomic_store_explicit(&p->left, parts, memory_order_relaxed);
    for (int i = 0; i < parts; i++)
        atomic_store_explicit(&p->claim[i].state, p->count << 1, memory_order_release);
    announce(p, parts);
    work(p, p->count, 0, parts);
    await_done(p);
}

int bmrt_cores(void)
{
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

int bmrt_pool_threads(const bmrt_pool *p)
{
    return p->threads;
}

BmStatus bmrt_pool_create(bmrt_pool **out, int threads, bmrt_start_fn *start, bmrt_error *e)
{
    *out = NULL;
    if (threads < 1 || threads > BMRT_MOST_THREADS)
        return bmrt_fail(e, BMRT_USAGE, "threads is %d, from 1 to %d can be had", threads,
                         BMRT_MOST_THREADS);
    bmrt_pool *p = calloc(1, sizeof *p);
    worker *w = calloc((size_t)threads, sizeof *w);
    claim *c = calloc((size_t)threads, sizeof *c);
    if (!p || !w || !c || !sleeper_create(&p->starter)) {
        free(p);
        free(w);
        free(c);
        return bmrt_fail(e, BMRT_MACHINE, "no memory for %d threads", threads);
    }
    p->worker = w;
    p->claim = c;
    p->start = start;
    p->threads = 1;
    if (start)
        start();
    /* With more threads than cores a spinning thread keeps a working one from its core. */
    p->spins = threads <= bmrt_cores() ? SPINS : 1;
    for (int i = 1; i < threads; i++) {
        w[i - 1].pool = p;
        w[i - 1].index = i;
        int error = sleeper_create(&w[i - 1].sleeper) ? 0 : ENOMEM;
        if (error == 0) {
            error = pthread_create(&w[i - 1].thread, NULL, worker_main, &w[i - 1]);
            if (error != 0)
                sleeper_destroy(&w[i - 1].sleeper);
        }
        if (error != 0) {
            bmrt_pool_destroy(p);
            return bmrt_fail(e, BMRT_MACHINE, "cannot start thread %d of %d: %s", i + 1, threads,
                             strerror(error));
        }
        p->threads = i + 1;
    }
    *out = p;
    return BMRT_OK;
}

void bmrt_pool_destroy(bmrt_pool *p)
{
    if (!p)
        return;
    p->count++;
    announce(p, STOP);
    for (int i = 1; i < p->threads; i++) {
        pthread_join(p->worker[i - 1].thread, NULL);
        sleeper_destroy(&p->worker[i - 1].sleeper);
    }
    sleeper_destroy(&p->starter);
    free(p->worker);
    free(p->claim);
    free(p);
}

typedef struct range_job {
    bmrt_pool *pool;
    bmrt_range_fn *fn;
    void *job;
    int64_t n, step;
} range_job;

static void split_part(void *job, int part, int parts)
{
    const range_job *r = job;
    int64_t each = r->n / parts, more = r->n % parts;
    int64_t lo = part * each + (part < more ? part : more);
    r->fn(r->job, lo, lo + each + (part < more));
}

static int useful_parts(const bmrt_pool *p, int64_t n, int64_t least)
{
    int64_t parts = least > 1 ? n / least : n;
    if (parts < 1)
        parts = 1;
    return parts < p->threads ? (int)parts : p->threads;
}

void bmrt_pool_split(bmrt_pool *p, bmrt_range_fn *fn, void *job, int64_t n, int64_t least)
{
    int parts = useful_parts(p, n, least);
    if (n <= 0)
        return;
    if (parts == 1) {
        fn(job, 0, n);
        return;
    }
    range_job r = {p, fn, job, n, 0};
    bmrt_pool_run(p, split_part, &r, parts);
}

static void take_part(void *job, int part, int parts)
{
    const range_job *r = job;
    (void)part, (void)parts;
    for (;;) {
        int64_t lo = atomic_fetch_add_explicit(&r->pool->next, r->step, memory_order_relaxed);
        if (lo >= r->n)
            return;
        r->fn(r->job, lo, r->n - lo < r->step ? r->n : lo + r->step);
    }
}

void bmrt_pool_take(bmrt_pool *p, bmrt_range_fn *fn, void *job, int64_t n, int64_t least)
{
    int parts = useful_parts(p, n, least);
    if (n <= 0)
        return;
    if (parts == 1) {
        fn(job, 0, n);
        return;
    }
    int64_t step = n / (parts * (int64_t)8);
    range_job r = {p, fn, job, n, step > least ? step : least > 1 ? least : 1};
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    bmrt_pool_run(p, take_part, &r, parts);
}
