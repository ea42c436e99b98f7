/* base.c - errors, bounded text, the clock. */
#include "runtime/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

BmStatus bmrt_fail(bmrt_error *e, BmStatus s, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    e->help[0] = 0;
    return s;
}

void bmrt_help(bmrt_error *e, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->help, sizeof e->help, format, ap);
    va_end(ap);
}

double bmrt_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bmrt_text_add(bmrt_text *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(t->at + t->len, t->cap - t->len, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n >= t->cap - t->len) {
        t->cut = true;
        t->len = t->cap - 1;
    } else {
        t->len += (size_t)n;
    }
}

void bmrt_text_json(bmrt_text *t, const char *s)
{
    bmrt_text_add(t, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            bmrt_text_add(t, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            bmrt_text_add(t, "\\u%04x", c);
        else
            bmrt_text_add(t, "%c", c);
    }
    bmrt_text_add(t, "\"");
}

const char *bmrt_shape(char *buf, size_t cap, const int64_t *dim, int ndim)
{
    bmrt_text t = {buf, 0, cap, false};
    bmrt_text_add(&t, "[");
    for (int i = 0; i < ndim; i++)
        bmrt_text_add(&t, "%s%lld", i ? ", " : "", (long long)dim[i]);
    bmrt_text_add(&t, "]");
    return buf;
}

int bmrt_distance(const char *a, const char *b)
{
    enum { MOST = 63 };
    int row[MOST + 1];
    int la = (int)strnlen(a, MOST), lb = (int)strnlen(b, MOST);
    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

bool bmrt_product(const int64_t *dim, int ndim, int64_t *out)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        if (dim[i] < 0 || __builtin_mul_overflow(n, dim[i], &n))
            return false;
    *out = n;
    return true;
}

size_t bmrt_dtype_size(bmrt_dtype t)
{
    switch (t) {
    case BMRT_F32:
        return sizeof(real);
    case BMRT_I32:
        return sizeof(int32_t);
    case BMRT_U8:
        return 1;
    }
    return 0;
}

const char *bmrt_dtype_name(bmrt_dtype t)
{
    switch (t) {
    case BMRT_F32:
        return "float";
    case BMRT_I32:
        return "int";
    case BMRT_U8:
        return "bool";
    }
    return "?";
}

uint64_t bmrt_hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

bool bmrt_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        size_t piece = n < ((size_t)1 << 30) ? n : (size_t)1 << 30;
        ssize_t done = write(fd, at, piece);
        if (done < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        at += done;
        n -= (size_t)done;
    }
    return true;
}
