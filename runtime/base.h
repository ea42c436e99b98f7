/* base.h - what every file of the runtime stands on: errors that travel up as text, the clock, the
 * size of a piece of a bounded string. Nothing here prints or exits. */
#ifndef BMRT_BASE_H
#define BMRT_BASE_H

#include "runtime/bmrt.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "data files and checkpoints are little-endian and used as they lie"
#endif

#define BMRT_COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

/* What went wrong: one message (lower case, no full stop) and what to do about it ("" if unknown).
 */
typedef struct bmrt_error {
    char text[1024];
    char help[512];
} bmrt_error;

#if defined(__GNUC__)
#define BMRT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define BMRT_PRINTF(f, a)
#endif

/* Writes the message (and clears the help) and returns `s`, so that a caller can
 * `return bmrt_fail(e, ...)`. */
BmStatus bmrt_fail(bmrt_error *e, BmStatus s, const char *format, ...) BMRT_PRINTF(3, 4);
void bmrt_help(bmrt_error *e, const char *format, ...) BMRT_PRINTF(2, 3);

/* Seconds of the monotonic clock. */
double bmrt_now(void);

/* A text that stops growing when `cap` is reached; always ends in 0. */
typedef struct bmrt_text {
    char *at;
    size_t len, cap;
    bool cut; /* something did not fit */
} bmrt_text;
void bmrt_text_add(bmrt_text *t, const char *format, ...) BMRT_PRINTF(2, 3);
/* The same as a JSON string, quotes included. */
void bmrt_text_json(bmrt_text *t, const char *s);

/* "[3, 4]" for messages; a scalar is "[]". Returns `buf`. */
const char *bmrt_shape(char *buf, size_t cap, const int64_t *dim, int ndim);

/* Changes needed to make one word the other (Levenshtein), at most 63 letters looked at. */
int bmrt_distance(const char *a, const char *b);

/* Product of dims, false when it does not fit. */
bool bmrt_product(const int64_t *dim, int ndim, int64_t *out);

size_t bmrt_dtype_size(bmrt_dtype t);      /* in memory: reals are `real` */
const char *bmrt_dtype_name(bmrt_dtype t); /* "float", "int", "bool" */

/* FNV-1a, 64 bits: the identity of a path in random keys. */
uint64_t bmrt_hash(const char *s);

/* All of `n` bytes to a file descriptor; false with errno set. */
bool bmrt_write_all(int fd, const void *p, size_t n);

#endif
