/* fault.c - an index outside its table, met by a kernel.
 *
 * Kernels know nothing but their arguments, so the first fault is kept here for the process; the
 * loop asks after every round. The kernel itself went on with index 0: nothing was read outside the
 * table. */
#include "runtime/bmrt_private.h"

#include <stdatomic.h>
#include <stdio.h>

typedef struct fault {
    const char *path;
    int64_t sample, position, value, limit, part, parts;
} fault;

static atomic_int taken; /* 0: none, 1: being written, 2: written */
static fault first;
static int64_t chunk_at, chunk_parts; /* set between launches */

void bmrt_chunk(int64_t s, int64_t parts)
{
    chunk_at = s;
    chunk_parts = parts;
}

void bmrt_index_fault(const char *path, int64_t sample, int64_t position, int64_t value,
                      int64_t limit)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&taken, &none, 1))
        return;
    first = (fault){path, chunk_at + sample, position, value, limit, 0, chunk_parts};
    if (chunk_parts > 1) {
        first.sample = chunk_at / chunk_parts;
        first.part = chunk_at % chunk_parts;
    }
    atomic_store(&taken, 2);
}

BmStatus bmrt_fault_check(const bmrt_run *run, bmrt_error *e)
{
    if (atomic_load(&taken) != 2)
        return BMRT_OK;
    atomic_store(&taken, 0);
    char part[64] = "";
    if (first.parts > 1)
        snprintf(part, sizeof part, " of part %lld of %lld", (long long)first.part,
                 (long long)first.parts);
    bmrt_fail(e, BMRT_MODEL,
              "step %lld: '%s' reads row %lld of a table of %lld (sample %lld of the batch, "
              "position %lld%s)",
              (long long)run->pub.step + 1, first.path, (long long)first.value,
              (long long)first.limit, (long long)(run->pub.sample0 + first.sample),
              (long long)first.position, part);
    bmrt_help(e, "indices run from 0 to %lld", (long long)first.limit - 1);
    return BMRT_MODEL;
}
