/* cut.c - the table of watched files. */
#define _GNU_SOURCE
#include "runtime/cut.h"

#include "runtime/data.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Those of --data and --valid; weights are mapped one file at a time. */
enum { MOST = 2 * BMRT_MOST_FIELDS + 8 };

typedef struct watched {
    _Atomic uintptr_t lo, hi; /* whole pages; both 0: no file */
    atomic_size_t lost;       /* 1 + the first byte that could not be read; 0: none */
    size_t size;
    int fd;
    const char *path;
} watched;

/* A handler has no argument: the process has one table. */
static watched table[MOST];
static _Atomic uintptr_t page;

static watched *find(uintptr_t at)
{
    for (int i = 0; i < MOST; i++)
        if (atomic_load(&table[i].lo) <= at && at < atomic_load(&table[i].hi))
            return &table[i];
    return NULL;
}

bool bmrt_cut_watch(const void *at, size_t size, int fd, const char *path)
{
    long bytes = sysconf(_SC_PAGESIZE);
    uintptr_t whole = bytes > 0 ? (uintptr_t)bytes : 4096;
    atomic_store(&page, whole);
    for (int i = 0; i < MOST; i++) {
        watched *w = &table[i];
        uintptr_t none = 0; /* `hi` is 0 too, until all of it is written */
        if (!atomic_compare_exchange_strong(&w->lo, &none, (uintptr_t)at))
            continue;
        w->size = size;
        w->fd = fd;
        w->path = path;
        atomic_store(&w->lost, 0);
        atomic_store(&w->hi, (uintptr_t)at + (size + whole - 1) / whole * whole);
        return true;
    }
    return false;
}

void bmrt_cut_forget(const void *at)
{
    watched *w = find((uintptr_t)at);
    if (!w)
        return;
    close(w->fd);
    atomic_store(&w->hi, 0);
    atomic_store(&w->lo, 0);
}

bool bmrt_cut_mend(const void *at)
{
    watched *w = find((uintptr_t)at);
    if (!w)
        return false;
    size_t none = 0;
    uintptr_t whole = atomic_load(&page), from = (uintptr_t)at / whole * whole;
    /* All of the rest at once: what was cut is gone up to the end. */
    void *p = mmap((void *)from, atomic_load(&w->hi) - from, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    atomic_compare_exchange_strong(&w->lost, &none, from - atomic_load(&w->lo) + 1);
    return true;
}

BmStatus bmrt_cut_check(const void *at, bmrt_error *e)
{
    const watched *w = find((uintptr_t)at);
    struct stat st;
    if (!w)
        return BMRT_OK;
    size_t lost = atomic_load(&w->lost);
    if (fstat(w->fd, &st) != 0)
        return bmrt_fail(e, BMRT_MACHINE, "cannot read '%s' any more: %s", w->path,
                         strerror(errno));
    if ((uint64_t)st.st_size < w->size) {
        bmrt_fail(e, BMRT_MACHINE,
                  "'%s' had %zu bytes and has %lld: it was cut short while it was read", w->path,
                  w->size, (long long)st.st_size);
        bmrt_help(e, "a file in use is replaced by renaming another to its name");
        return BMRT_MACHINE;
    }
    if (lost == 0)
        return BMRT_OK;
    return bmrt_fail(e, BMRT_MACHINE,
                     "'%s': the page at byte %zu of %zu could not be read: its disk or network "
                     "failed, or it was shorter for a while",
                     w->path, lost - 1, w->size);
}
