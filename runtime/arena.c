/* arena.c - the one block of memory the plan speaks of. */
#define _GNU_SOURCE
#include "runtime/bmrt_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, SMALL_PAGE = 4096 };

/* MemAvailable plus free swap, bytes; -1 when the system does not say. */
static int64_t memory_available(void)
{
    FILE *f = fopen("/proc/meminfo", "r");
    if (!f)
        return -1;
    char line[128];
    int64_t available = -1, swap = 0;
    while (fgets(line, sizeof line, f)) {
        long long kib;
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            available = kib * 1024;
        else if (sscanf(line, "SwapFree: %lld kB", &kib) == 1)
            swap = kib * 1024;
    }
    fclose(f);
    return available < 0 ? -1 : available + swap;
}

static double gib(int64_t bytes)
{
    return (double)bytes / (1 << 30);
}

static void touch_pages(void *job, int64_t lo, int64_t hi)
{
    volatile char *base = job;
    for (int64_t i = lo; i < hi; i++)
        for (int64_t at = 0; at < HUGE_PAGE; at += SMALL_PAGE)
            base[i * HUGE_PAGE + at] = 0;
}

BmStatus bmrt_arena_create(bmrt_run *run, bmrt_error *e)
{
    int64_t bytes;
    if (run->m->arena_bytes < 0 ||
        __builtin_mul_overflow(run->m->arena_bytes, (int64_t)BMRT_SCALE, &bytes))
        return bmrt_fail(e, BMRT_BUG, "the plan's arena has %lld bytes",
                         (long long)run->m->arena_bytes);
    int64_t available = memory_available();
    if (available >= 0 && bytes > available) {
        bmrt_fail(e, BMRT_MACHINE,
                  "the plan needs %.2f GiB of memory and this machine has %.2f GiB available",
                  gib(bytes), gib(available));
        bmrt_help(e, "compile with --memory %lldMiB, or stop what else runs here",
                  (long long)(available >> 20));
        return BMRT_MACHINE;
    }
    /* Room to start at a huge page's boundary; address space beyond the arena is never touched. */
    size_t size = ((size_t)bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (size == 0)
        size = HUGE_PAGE;
    char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return bmrt_fail(e, BMRT_MACHINE, "cannot map the plan's arena of %.2f GiB: %s", gib(bytes),
                         strerror(errno));
    size_t before = (HUGE_PAGE - (size_t)(uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(p, before);
    munmap(p + before + size, HUGE_PAGE - before);
    run->pub.arena = p + before;
    run->arena_size = size;
#ifdef MADV_HUGEPAGE
    /* A refusal costs speed, not correctness. */
    (void)madvise(run->pub.arena, size, MADV_HUGEPAGE);
#endif
    bmrt_pool_split(run->pool, touch_pages, run->pub.arena, (int64_t)(size / HUGE_PAGE), 4);
    return BMRT_OK;
}

void bmrt_arena_destroy(bmrt_run *run)
{
    if (run->pub.arena)
        munmap(run->pub.arena, run->arena_size);
    run->pub.arena = NULL;
}

double bmrt_arena_resident(const bmrt_run *run)
{
    unsigned char state[4096];
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || !run->pub.arena)
        return -1;
    size_t chunk = sizeof state * (size_t)page;
    int64_t all = 0, here = 0;
    for (size_t at = 0; at < run->arena_size; at += chunk) {
        size_t n = run->arena_size - at < chunk ? run->arena_size - at : chunk;
        if (mincore(run->pub.arena + at, n, state) != 0)
            return -1;
        for (size_t i = 0; i < n / (size_t)page; i++, all++)
            here += state[i] & 1;
    }
    return all > 0 ? (double)here / (double)all : 1;
}

int64_t bmrt_peak_rss(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}
