/* cost_calls.c - how long each call of a trainer into the runtime takes: bench_cost.py links it
 * into one with -Wl,--wrap, so that every call goes through here.
 *
 * At the program's end $COST_CALLS gets a line a kernel and size: kind, name, calls, median in
 * microseconds. */
#define _GNU_SOURCE
#include "bmrt.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ROWS = 4096 };

typedef struct Row {
    char key[160];
    double *us;
    int n, cap;
} Row;

static Row row[MOST_ROWS];
static int n_row;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void took(const char *key, double us)
{
    int i = 0;
    while (i < n_row && strcmp(row[i].key, key) != 0)
        i++;
    if (i == MOST_ROWS)
        return;
    if (i == n_row)
        snprintf(row[n_row++].key, sizeof row[i].key, "%s", key);
    Row *r = &row[i];
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        r->us = realloc(r->us, (size_t)r->cap * sizeof *r->us);
        if (!r->us)
            abort();
    }
    r->us[r->n++] = us;
}

void __real_bmrt_launch(bmrt *r, bmrt_kernel *k, int64_t n, int64_t least, void *const *arg);
void __wrap_bmrt_launch(bmrt *r, bmrt_kernel *k, int64_t n, int64_t least, void *const *arg);
void __real_bmrt_gemm(bmrt *r, const bmrt_gemm_args *g, const void *a, const void *b, void *c);
void __wrap_bmrt_gemm(bmrt *r, const bmrt_gemm_args *g, const void *a, const void *b, void *c);
void __real_bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *partial);
void __wrap_bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *partial);

void __wrap_bmrt_launch(bmrt *r, bmrt_kernel *k, int64_t n, int64_t least, void *const *arg)
{
    Dl_info d = {0};
    void *address;
    memcpy(&address, &k, sizeof address);
    const char *name = dladdr(address, &d) && d.dli_sname ? d.dli_sname : "unknown";
    char key[160];
    snprintf(key, sizeof key, "%s\t%s:%lld", strstr(name, "attention") ? "attention" : "fused",
             name, (long long)n);
    double begin = now_us();
    __real_bmrt_launch(r, k, n, least, arg);
    took(key, now_us() - begin);
}

void __wrap_bmrt_gemm(bmrt *r, const bmrt_gemm_args *g, const void *a, const void *b, void *c)
{
    char key[160];
    snprintf(key, sizeof key, "gemm\t%lldx%lldx%lld%s%s sums %lld count %lld", (long long)g->m,
             (long long)g->n, (long long)g->k, g->ta ? " ta" : "", g->tb ? " tb" : "",
             (long long)g->sums, (long long)(g->count0 * g->count1));
    double begin = now_us();
    __real_bmrt_gemm(r, g, a, b, c);
    took(key, now_us() - begin);
}

void __wrap_bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *partial)
{
    char key[160];
    snprintf(key, sizeof key, "fused\tsum_squares:%lld", (long long)n);
    double begin = now_us();
    __real_bmrt_sum_squares(r, x, n, partial);
    took(key, now_us() - begin);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("COST_CALLS");
    FILE *f = path ? fopen(path, "w") : NULL;
    for (int i = 0; i < n_row; i++) {
        Row *r = &row[i];
        qsort(r->us, (size_t)r->n, sizeof *r->us, by_size);
        if (f)
            fprintf(f, "%s\t%d\t%.3f\n", r->key, r->n, r->us[r->n / 2]);
        free(r->us);
    }
    if (f)
        fclose(f);
}
