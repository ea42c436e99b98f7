/* arena.c - the blocks of memory the plan speaks of: the arena, and the one in the host's memory
 * when something is kept there. */
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

/* A block of zeros that starts at a huge page's boundary, every page of it touched; NULL with errno
 * set. Address space beyond `bytes` is never touched. */
static char *map_block(bmrt_pool *pool, int64_t bytes, size_t *mapped)
{
    size_t size = ((size_t)bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (size == 0)
        size = HUGE_PAGE;
    char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE - (size_t)(uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(p, before);
    munmap(p + before + size, HUGE_PAGE - before);
    p += before;
#ifdef MADV_HUGEPAGE
    /* A refusal costs speed, not correctness. */
    (void)madvise(p, size, MADV_HUGEPAGE);
#endif
    bmrt_pool_split(pool, touch_pages, p, (int64_t)(size / HUGE_PAGE), 4);
    *mapped = size;
    return p;
}

static BmStatus block_bytes(int64_t planned, int64_t *bytes, bmrt_error *e)
{
    if (planned < 0 || __builtin_mul_overflow(planned, (int64_t)BMRT_SCALE, bytes))
        return bmrt_fail(e, BMRT_BUG, "the plan's arena has %lld bytes", (long long)planned);
    return BMRT_OK;
}

BmStatus bmrt_arena_create(bmrt_run *run, bmrt_error *e)
{
    int64_t bytes = 0, host = 0;
    BmStatus s = block_bytes(run->m->arena_bytes, &bytes, e);
    if (s == BMRT_OK)
        s = block_bytes(run->m->host_arena_bytes, &host, e);
    if (s != BMRT_OK)
        return s;
    int64_t available = memory_available();
    if (available >= 0 && (bytes > available || host > available - bytes)) {
        bmrt_fail(e, BMRT_MACHINE,
                  "the plan needs %.2f GiB of memory and this machine has %.2f GiB available",
                  gib(bytes) + gib(host), gib(available));
        bmrt_help(e, "compile with --memory %lldMiB, or stop what else runs here",
                  (long long)(available >> 20));
        return BMRT_MACHINE;
    }
    run->pub.arena = map_block(run->pool, bytes, &run->arena_size);
    if (run->pub.arena && host > 0)
        run->pub.host = map_block(run->pool, host, &run->host_size);
    if (!run->pub.arena || (host > 0 && !run->pub.host))
        return bmrt_fail(e, BMRT_MACHINE, "cannot map the plan's arena of %.2f GiB: %s",
                         gib(run->pub.arena ? host : bytes), strerror(errno));
    return BMRT_OK;
}

void bmrt_arena_destroy(bmrt_run *run)
{
    if (run->pub.arena)
        munmap(run->pub.arena, run->arena_size);
    if (run->pub.host)
        munmap(run->pub.host, run->host_size);
    run->pub.arena = run->pub.host = NULL;
}

static bool count_pages(char *block, size_t size, size_t page, int64_t *all, int64_t *here)
{
    unsigned char state[4096];
    size_t chunk = sizeof state * page;
    for (size_t at = 0; block && at < size; at += chunk) {
        size_t n = size - at < chunk ? size - at : chunk;
        if (mincore(block + at, n, state) != 0)
            return false;
        for (size_t i = 0; i < n / page; i++, ++*all)
            *here += state[i] & 1;
    }
    return true;
}

double bmrt_arena_resident(const bmrt_run *run)
{
    long page = sysconf(_SC_PAGESIZE);
    int64_t all = 0, here = 0;
    if (page <= 0 || !run->pub.arena ||
        !count_pages(run->pub.arena, run->arena_size, (size_t)page, &all, &here) ||
        !count_pages(run->pub.host, run->host_size, (size_t)page, &all, &here))
        return -1;
    return all > 0 ? (double)here / (double)all : 1;
}

int64_t bmrt_peak_rss(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}
