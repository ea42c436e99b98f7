/* probe.c - the program bmrt_probe: how fast this machine does what trainers do, as JSON.
 *
 *   bmrt_probe [THREADS [RANKS]]      0 threads: this rank's share of the cores
 *
 * Everything goes through the calls emitted code makes (bmrt_gemm, bmrt_launch), in an arena like
 * a trainer's. A figure is the median of several passes: a step's time is predicted
 * as it will mostly be, neighbours included. What a rate counts is what
 * planner/cost_work.c counts: loads and stores are operations, an exponential is forty.
 */
#include "runtime/bmrt_private.h"
#include "runtime/gemm.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PASSES = 21, EXP_OPS = 40, MIB = 1 << 20, MOST_RANKS = 64 };
static const double BATCH_S = 4e-3; /* a batch of calls takes at least that */
static const double LONGEST_S = 15;

typedef struct probe {
    bmrt_run run;
    bmrt_model model;
    int threads, ranks;
    pid_t parent;
    float *x, *y, *z; /* n elements each */
    int64_t n;
} probe;

/* Something that is measured: once in each pass, so that a neighbour's burst spoils one pass of
 * everything, not everything of one figure. */
typedef struct figure {
    void (*call)(probe *p, const void *what);
    const void *what;
    int64_t calls; /* of a batch */
    double took[PASSES];
    int passes;
    double seconds; /* of one call */
} figure;

static double batch(probe *p, const figure *f)
{
    double begin = bmrt_now();
    for (int64_t i = 0; i < f->calls; i++)
        f->call(p, f->what);
    return bmrt_now() - begin;
}

/* How many calls a batch is; warms up, too. */
static void count_calls(probe *p, figure *f)
{
    f->calls = 1;
    for (;;) {
        double took = batch(p, f);
        if (took >= BATCH_S)
            return;
        f->calls =
            took > BATCH_S / 64 ? (int64_t)((double)f->calls * BATCH_S / took) + 1 : f->calls * 16;
    }
}

static void measure(probe *p, figure *f)
{
    if (!f->calls)
        count_calls(p, f);
    f->took[f->passes++] = batch(p, f) / (double)f->calls;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts, too: took[0] is the least. */
static void settle(figure *f)
{
    qsort(f->took, (size_t)f->passes, sizeof *f->took, by_size);
    int half = f->passes / 2;
    f->seconds = f->passes % 2 ? f->took[half] : (f->took[half - 1] + f->took[half]) / 2;
}

/* ---- products ---- */

static void call_gemm(probe *p, const void *what)
{
    bmrt_gemm(&p->run.pub, what, p->x, p->y, p->z);
}

/* Forward, gradient of the input, gradient of the weights: the layouts trainers use, with `size`
 * the smallest of the three. Small products are of small models, whose batches are small too. The
 * rate is that of all threads at work: of products that are one tile there are many at once. */
typedef struct product {
    int64_t size;
    double flops; /* of all three */
    bmrt_gemm_args form[3];
} product;

static product product_of(int64_t size, const probe *p)
{
    enum { GRAIN = 256, ALONE = 256 };
    int64_t rows = size * 8, wide = size * 2, many = size < ALONE ? 4 * p->threads : 1;
    rows = rows < 128 ? 128 : rows > 1024 ? 1024 : rows;
    wide = wide < 32 ? 32 : wide > 1024 ? 1024 : wide;
    if (many > p->n / (rows * wide)) /* of results */
        many = p->n / (rows * wide);
    int64_t k = rows < GRAIN ? rows : GRAIN;
    bmrt_gemm_args forward = {.m = rows, .n = size, .k = wide, .tb = 1},
                   input = {.m = rows, .n = wide, .k = size},
                   weights = {.m = size, .n = wide, .k = k, .ta = 1, .sums = rows / k};
    forward.lda = forward.ldb = weights.ldb = weights.ldc = input.ldb = input.ldc = wide;
    forward.ldc = weights.lda = input.lda = size;
    weights.as = size * k;
    weights.bs = wide * k;
    forward.count1 = input.count1 = weights.count1 = many;
    forward.c1 = rows * size;
    input.c1 = rows * wide;
    weights.c1 = size * wide;
    return (product){
        size, 6.0 * (double)(rows * size) * (double)(wide * many), {forward, input, weights}};
}

/* ---- elements and memory ---- */

/* The exponential of emitted kernels (codegen/templates/math.h), for its number of operations. */
#define EXP_BODY                                                                                   \
    const float *x = arg[0];                                                                       \
    float *y = arg[1];                                                                             \
    for (int64_t i = lo; i < hi; i++) {                                                            \
        float c = x[i] > 89.0f ? 89.0f : x[i];                                                     \
        c = c < -104.0f ? -104.0f : c;                                                             \
        float t = c * 1.44269504f + 12582912.0f, n = t - 12582912.0f;                              \
        float r = c - n * 0.693145752f - n * 1.42860677e-6f, q = 0.00138131448f;                   \
        q = q * r + 0.00836941879f;                                                                \
        q = q * r + 0.041668456f;                                                                  \
        q = q * r + 0.166665152f;                                                                  \
        q = q * r + 0.49999994f;                                                                   \
        uint32_t bits;                                                                             \
        memcpy(&bits, &t, sizeof bits);                                                            \
        int32_t e = (int32_t)(bits - 0x4b400000u), h = e >> 1;                                     \
        uint32_t a = (uint32_t)(h + 127) << 23, b = (uint32_t)(e - h + 127) << 23;                 \
        float fa, fb;                                                                              \
        memcpy(&fa, &a, sizeof fa);                                                                \
        memcpy(&fb, &b, sizeof fb);                                                                \
        y[i] = (q * (r * r) + r + 1.0f) * fa * fb;                                                 \
    }
#define TRIAD_BODY                                                                                 \
    const float *x = arg[0], *y = arg[1];                                                          \
    float *z = arg[2];                                                                             \
    for (int64_t i = lo; i < hi; i++)                                                              \
        z[i] = x[i] + y[i] * 0.5f;

/* Trainers are built for the processor they run on, this program for any. */
#define KERNEL(name, target, body)                                                                 \
    target static void name(void *const *arg, int64_t lo, int64_t hi)                              \
    {                                                                                              \
        body                                                                                       \
    }
KERNEL(exp_any, , EXP_BODY)
KERNEL(triad_any, , TRIAD_BODY)
#ifdef __x86_64__
#define V3  __attribute__((target("avx2,fma")))
#define V4F "avx512f,avx512dq,avx512bw,avx512vl,fma"
#ifdef __clang__
#define V4 __attribute__((target(V4F)))
#else
#define V4 __attribute__((target(V4F ",prefer-vector-width=512")))
#endif
KERNEL(exp_v3, V3, EXP_BODY)
KERNEL(exp_v4, V4, EXP_BODY)
KERNEL(triad_v3, V3, TRIAD_BODY)
KERNEL(triad_v4, V4, TRIAD_BODY)
#endif

static bmrt_kernel *best_of(bmrt_kernel *any, bmrt_kernel *v3, bmrt_kernel *v4)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return v3;
#else
    (void)v3, (void)v4;
#endif
    return any;
}
#ifdef __x86_64__
#define BEST(name) best_of(name##_any, name##_v3, name##_v4)
#else
#define BEST(name) best_of(name##_any, NULL, NULL)
#endif

typedef struct sweep {
    bmrt_kernel *kernel;
    int64_t n;
} sweep;

static void call_sweep(probe *p, const void *what)
{
    const sweep *s = what;
    void *arg[] = {p->x, p->y, p->z};
    bmrt_launch(&p->run.pub, s->kernel, s->n, 1, arg);
}

/* ---- launches, copies ---- */

static void nothing(void *const *arg, int64_t lo, int64_t hi)
{
    (void)arg, (void)lo, (void)hi;
}

static void call_copy(probe *p, const void *what)
{
    const sweep *s = what;
    memcpy(p->y, p->x, (size_t)s->n * sizeof *p->x);
}

typedef struct copier {
    probe *p;
    atomic_bool stop;
} copier;

static void *keep_copying(void *arg)
{
    copier *c = arg;
    int64_t half = c->p->n / 2, n = half < MIB ? half : MIB;
    while (!atomic_load(&c->stop))
        memcpy(c->p->z + half, c->p->y + half, (size_t)n * sizeof *c->p->z);
    return NULL;
}

/* ---- the program ---- */

static bool room(probe *p, bmrt_error *e)
{
    int64_t most = (int64_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) / 4 / p->ranks;
    int64_t bytes = 384 * (int64_t)MIB;
    while (bytes > 24 * MIB && bytes > most)
        bytes /= 2;
    p->n = bytes / 12;
    p->model.arena_bytes = bytes;
    p->run.m = &p->model;
    if (bmrt_arena_create(&p->run, e) != BMRT_OK)
        return false;
    p->x = BMRT_AT(&p->run.pub, 0);
    p->y = p->x + p->n;
    p->z = p->y + p->n;
    for (int64_t i = 0; i < p->n; i++) {
        p->x[i] = (float)(i % 97) * 0.01f - 0.5f;
        p->y[i] = (float)(i % 89) * 0.01f - 0.4f;
    }
    return true;
}

enum { SIZES = 11, SWEEPS = 12 };

typedef struct figures {
    product product[SIZES];
    figure gemm[SIZES][3];
    sweep bytes[SWEEPS]; /* the last one: all there is */
    figure triad[SWEEPS];
    int n_triad;
    sweep exp, empty, copy;
    figure exps, launches, copies, busy;
} figures;

static void figures_set(const probe *p, figures *f)
{
    for (int i = 0; i < SIZES; i++) {
        f->product[i] = product_of(INT64_C(1) << i, p);
        for (int k = 0; k < 3; k++)
            f->gemm[i][k] = (figure){.call = call_gemm, .what = &f->product[i].form[k]};
    }
    int64_t all = p->n * 12;
    for (int64_t b = MIB / 2; f->n_triad < SWEEPS - 1 && b < all; b *= 2)
        f->bytes[f->n_triad++] = (sweep){BEST(triad), b / 12};
    f->bytes[f->n_triad++] = (sweep){BEST(triad), p->n};
    for (int i = 0; i < f->n_triad; i++)
        f->triad[i] = (figure){.call = call_sweep, .what = &f->bytes[i]};
    f->exp = (sweep){BEST(exp), 1 << 15};
    f->empty = (sweep){nothing, p->threads};
    f->copy = (sweep){NULL, p->n / 2};
    f->exps = (figure){.call = call_sweep, .what = &f->exp};
    f->launches = (figure){.call = call_sweep, .what = &f->empty};
    f->copies = (figure){.call = call_copy, .what = &f->copy};
    f->busy = (figure){.call = call_gemm, .what = &f->product[8].form[1]};
}

/* Products while another thread moves memory, as it does for a collective. */
static void measure_busy(probe *p, figure *f)
{
    copier c = {.p = p};
    pthread_t thread;
    atomic_init(&c.stop, false);
    bool works = pthread_create(&thread, NULL, keep_copying, &c) == 0;
    measure(p, f);
    atomic_store(&c.stop, true);
    if (works)
        pthread_join(thread, NULL);
}

static int list_all(figures *f, figure **out)
{
    int n = 0;
    for (int i = 0; i < SIZES; i++)
        for (int k = 0; k < 3; k++)
            out[n++] = &f->gemm[i][k];
    for (int i = 0; i < f->n_triad; i++)
        out[n++] = &f->triad[i];
    out[n++] = &f->exps;
    out[n++] = &f->launches;
    out[n++] = &f->copies;
    return n;
}

static void measure_all(probe *p, figures *f)
{
    figure *list[SIZES * 3 + SWEEPS + 3];
    int n = list_all(f, list);
    double end = bmrt_now() + LONGEST_S;
    for (int i = 0; i < n; i++)
        list[i]->passes = 0;
    f->busy.passes = 0;
    for (int pass = 0; pass < PASSES && (pass == 0 || bmrt_now() < end); pass++) {
        for (int i = 0; i < n; i++)
            measure(p, list[i]);
        measure_busy(p, &f->busy);
    }
    for (int i = 0; i < n; i++)
        settle(list[i]);
    settle(&f->busy);
}

static double triad_rate(const figures *f, int i)
{
    return (double)f->bytes[i].n * 12 / f->triad[i].seconds;
}

/* The largest sweep that is nearer to the cache's speed than to memory's. */
static int64_t cache_bytes(const figures *f)
{
    double between = (triad_rate(f, 0) + triad_rate(f, f->n_triad - 1)) / 2;
    int last = -1;
    while (last + 1 < f->n_triad - 1 && triad_rate(f, last + 1) > between)
        last++;
    return last < 0 ? 0 : f->bytes[last].n * 12;
}

/* Of the machine, or what this group of processes may use of it. */
static int64_t memory_bytes(void)
{
    int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    long long most = 0;
    if (f && fscanf(f, "%lld", &most) == 1 && most > 0 && most < all)
        all = most;
    if (f)
        fclose(f);
    return all;
}

static void print_all(const probe *p, const figures *f)
{
    printf("{\"threads\": %d, \"cores\": %d, \"ranks\": %d, \"memory_bytes\": %lld,\n"
           " \"library\": \"%s\",\n \"gemm\": [",
           p->threads, bmrt_cores(), p->ranks, (long long)memory_bytes(), bmrt_gemm_name());
    for (int i = 0; i < SIZES; i++) {
        double time = 0;
        for (int k = 0; k < 3; k++)
            time += f->gemm[i][k].seconds;
        printf("%s[%lld, %.0f]", i ? ", " : "", (long long)f->product[i].size,
               f->product[i].flops / time);
    }
    /* at their best: which of three threads waits for a core is no matter of memory */
    double alone = f->gemm[8][1].took[0], busy = f->busy.took[0];
    printf("],\n \"memory_bytes_per_s\": %.0f,\n", triad_rate(f, f->n_triad - 1));
    printf(" \"cache_bytes\": %lld,\n", (long long)cache_bytes(f));
    printf(" \"cache_bytes_per_s\": %.0f,\n", triad_rate(f, 0));
    printf(" \"elem_ops_per_s\": %.0f,\n", (double)f->exp.n * (EXP_OPS + 2) / f->exps.seconds);
    printf(" \"launch_ps\": %.0f,\n", 1e12 * f->launches.seconds);
    printf(" \"copy_bytes_per_s\": %.0f,\n", (double)f->copy.n * 4 / f->copies.seconds);
    printf(" \"slow_compute_ppm\": %.0f}\n", busy > alone ? 1e6 * (busy / alone - 1) : 0);
}

/* The other ranks: they do the same at the same time, as they will when they train. */
static void start_others(const probe *p, pid_t *child, bool *parent)
{
    *parent = true;
    for (int i = 0; i < p->ranks - 1 && *parent; i++) {
        child[i] = fork();
        *parent = child[i] != 0;
    }
}

static void end_others(const probe *p, const pid_t *child)
{
    for (int i = 0; i < p->ranks - 1; i++)
        if (child[i] > 0) {
            kill(child[i], SIGKILL);
            waitpid(child[i], NULL, 0);
        }
}

static BmStatus probe_run(probe *p, bool print, bmrt_error *e)
{
    static figures f;
    BmStatus s = bmrt_pool_create(&p->run.pool, p->threads, bmrt_gemm_quiet, e);
    if (s == BMRT_OK && !room(p, e))
        s = BMRT_MACHINE;
    if (s == BMRT_OK) {
        figures_set(p, &f);
        do
            measure_all(p, &f);
        while (!print && getppid() == p->parent); /* until it is ended */
        if (print)
            print_all(p, &f);
    }
    bmrt_arena_destroy(&p->run);
    bmrt_pool_destroy(p->run.pool);
    return s;
}

int main(int argc, char **argv)
{
    static probe p;
    pid_t child[MOST_RANKS];
    bmrt_error e = {0};
    bool parent;
    p.threads = argc > 1 ? atoi(argv[1]) : 0;
    p.ranks = argc > 2 ? atoi(argv[2]) : 1;
    if (p.ranks < 1 || p.ranks > MOST_RANKS) {
        fprintf(stderr, "bmrt_probe: %d ranks, from 1 to %d can be measured\n", p.ranks,
                MOST_RANKS);
        return BMRT_USAGE;
    }
    if (p.threads == 0)
        p.threads = bmrt_cores() / p.ranks > 0 ? bmrt_cores() / p.ranks : 1;
    p.parent = getpid();
    start_others(&p, child, &parent);
    BmStatus s = probe_run(&p, parent, &e);
    if (parent)
        end_others(&p, child);
    if (s != BMRT_OK)
        fprintf(stderr, "bmrt_probe: %s\n", e.text);
    return s == BMRT_OK && fflush(stdout) != 0 ? BMRT_MACHINE : (int)s;
}
