/* mapped.h - files looked at through memory, and elements of foreign types in them. */
#ifndef BMRT_MAPPED_H
#define BMRT_MAPPED_H

#include "runtime/base.h"

typedef struct bmrt_mapped {
    const unsigned char *at; /* NULL when empty */
    size_t size;
    const char *path;
} bmrt_mapped;

/* Read only. A missing or unreadable file is BMRT_MODEL: it was named by the model or the user.
 * `path` must stay. What was read counts when bmrt_map_check() is content afterwards: BMRT_MACHINE
 * for a file that was cut short. */
BmStatus bmrt_map(const char *path, bmrt_mapped *out, bmrt_error *e);
BmStatus bmrt_map_check(const bmrt_mapped *f, bmrt_error *e);
void bmrt_unmap(bmrt_mapped *f);

/* Element types of data files and checkpoints, little-endian. */
#define BMRT_SOURCES(X)                                                                            \
    X(BOOL, 1)                                                                                     \
    X(U8, 1)                                                                                       \
    X(U16, 2) X(U32, 4) X(I32, 4) X(I64, 8) X(F16, 2) X(BF16, 2) X(F32, 4) X(F64, 8)
typedef enum bmrt_source {
#define X(name, bytes) BMRT_SRC_##name,
    BMRT_SOURCES(X)
#undef X
} bmrt_source;

size_t bmrt_source_size(bmrt_source s);
const char *bmrt_source_name(bmrt_source s); /* "U16" */

/* A source of numbers with a point, of whole numbers, of truth values. */
bmrt_dtype bmrt_source_kind(bmrt_source s);

/* Element i of unaligned data: whole numbers (BOOL: 0 or 1), or any as double. */
int64_t bmrt_source_int(bmrt_source s, const unsigned char *data, int64_t i);
double bmrt_source_real(bmrt_source s, const unsigned char *data, int64_t i);

/* n elements from `first` on, converted to `t`; the kinds fit (a reader checked). Whole numbers are
 * cut to 32 bits: their range was checked when the file was opened. */
void bmrt_source_copy(bmrt_source s, const unsigned char *data, int64_t first, int64_t n,
                      bmrt_dtype t, void *out);

#endif
