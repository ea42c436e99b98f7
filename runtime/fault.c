/* fault.c - an index outside its table, met by a kernel.
 *
 * Kernels know nothing but their arguments, so the first fault is kept here for the process; the
 * loop asks after every round. The kernel itself went on with index 0: nothing was read outside the
 * table. */
#include "runtime/bmrt_private.h"

#include <stdatomic.h>

typedef struct fault {
    const char *path;
    int64_t sample, position, value, limit;
} fault;

static atomic_int taken; /* 0: none, 1: being written, 2: written */
static fault first;

void bmrt_index_fault(const char *path, int64_t sample, int64_t position, int64_t value,
                      int64_t limit)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&taken, &none, 1))
        return;
    first = (fault){path, sample, position, value, limit};
    atomic_store(&taken, 2);
}

BmStatus bmrt_fault_check(const bmrt_run *run, bmrt_error *e)
{
    if (atomic_load(&taken) != 2)
        return BMRT_OK;
    atomic_store(&taken, 0);
    bmrt_fail(e, BMRT_MODEL,
              "step %lld: '%s' reads row %lld of a table of %lld (sample %lld of the batch, "
              "position %lld)",
              (long long)run->pub.step + 1, first.path, (long long)first.value,
              (long long)first.limit, (long long)(run->pub.sample0 + first.sample),
              (long long)first.position);
    bmrt_help(e, "indices run from 0 to %lld", (long long)first.limit - 1);
    return BMRT_MODEL;
}
