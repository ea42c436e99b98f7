/* mapped.c - read-only maps of files and conversion of their elements. */
#include "runtime/mapped.h"

#include "runtime/cut.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

BmStatus bmrt_map(const char *path, bmrt_mapped *out, bmrt_error *e)
{
    *out = (bmrt_mapped){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bmrt_fail(e, BMRT_MODEL, "cannot open '%s': %s", path, strerror(errno));
        if (errno == ENOENT && path[0] != '/')
            bmrt_help(e, "paths are seen from where the trainer is started");
        return BMRT_MODEL;
    }
    struct stat st;
    BmStatus s = BMRT_OK;
    if (fstat(fd, &st) != 0)
        s = bmrt_fail(e, BMRT_MODEL, "cannot read '%s': %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        s = bmrt_fail(e, BMRT_MODEL, "'%s' is not a file", path);
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = bmrt_fail(e, BMRT_MACHINE, "cannot map '%s': %s", path, strerror(errno));
        else
            *out = (bmrt_mapped){p, (size_t)st.st_size, path};
    }
    if (out->at && bmrt_cut_watch(out->at, out->size, fd, path))
        return BMRT_OK;
    if (out->at) {
        munmap((void *)(uintptr_t)out->at, out->size);
        *out = (bmrt_mapped){0};
        s = bmrt_fail(e, BMRT_BUG, "no room to watch '%s' beside the files in use", path);
    }
    close(fd);
    return s;
}

BmStatus bmrt_map_check(const bmrt_mapped *f, bmrt_error *e)
{
    return f->at ? bmrt_cut_check(f->at, e) : BMRT_OK;
}

void bmrt_unmap(bmrt_mapped *f)
{
    if (f->at) {
        bmrt_cut_forget(f->at);
        munmap((void *)(uintptr_t)f->at, f->size);
    }
    *f = (bmrt_mapped){0};
}

size_t bmrt_source_size(bmrt_source s)
{
    switch (s) {
#define X(name, bytes)                                                                             \
    case BMRT_SRC_##name:                                                                          \
        return bytes;
        BMRT_SOURCES(X)
#undef X
    }
    return 1;
}

const char *bmrt_source_name(bmrt_source s)
{
    switch (s) {
#define X(name, bytes)                                                                             \
    case BMRT_SRC_##name:                                                                          \
        return #name;
        BMRT_SOURCES(X)
#undef X
    }
    return "?";
}

bmrt_dtype bmrt_source_kind(bmrt_source s)
{
    switch (s) {
    case BMRT_SRC_BOOL:
        return BMRT_U8;
    case BMRT_SRC_U8:
    case BMRT_SRC_U16:
    case BMRT_SRC_U32:
    case BMRT_SRC_I32:
    case BMRT_SRC_I64:
        return BMRT_I32;
    case BMRT_SRC_F16:
    case BMRT_SRC_BF16:
    case BMRT_SRC_F32:
    case BMRT_SRC_F64:
        break;
    }
    return BMRT_F32;
}

static uint16_t load16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 0    ? ldexp(fraction, -24)
               : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                : ldexp(1024 + fraction, exponent - 25);
    return h & 0x8000 ? -v : v;
}

int64_t bmrt_source_int(bmrt_source s, const unsigned char *data, int64_t i)
{
    const unsigned char *p = data + (size_t)i * bmrt_source_size(s);
    uint32_t u;
    int32_t w;
    int64_t l;
    switch (s) {
    case BMRT_SRC_BOOL:
        return *p != 0;
    case BMRT_SRC_U8:
        return *p;
    case BMRT_SRC_U16:
        return load16(p);
    case BMRT_SRC_U32:
        memcpy(&u, p, sizeof u);
        return u;
    case BMRT_SRC_I32:
        memcpy(&w, p, sizeof w);
        return w;
    case BMRT_SRC_I64:
        memcpy(&l, p, sizeof l);
        return l;
    case BMRT_SRC_F16:
    case BMRT_SRC_BF16:
    case BMRT_SRC_F32:
    case BMRT_SRC_F64:
        break;
    }
    return (int64_t)bmrt_source_real(s, data, i);
}

double bmrt_source_real(bmrt_source s, const unsigned char *data, int64_t i)
{
    const unsigned char *p = data + (size_t)i * bmrt_source_size(s);
    float f;
    double d;
    switch (s) {
    case BMRT_SRC_F16:
        return half_value(load16(p));
    case BMRT_SRC_BF16:
        return (double)bits_float((uint32_t)load16(p) << 16);
    case BMRT_SRC_F32:
        memcpy(&f, p, sizeof f);
        return (double)f;
    case BMRT_SRC_F64:
        memcpy(&d, p, sizeof d);
        return d;
    case BMRT_SRC_BOOL:
    case BMRT_SRC_U8:
    case BMRT_SRC_U16:
    case BMRT_SRC_U32:
    case BMRT_SRC_I32:
    case BMRT_SRC_I64:
        break;
    }
    return (double)bmrt_source_int(s, data, i);
}

void bmrt_source_copy(bmrt_source s, const unsigned char *data, int64_t first, int64_t n,
                      bmrt_dtype t, void *out)
{
    if (t == BMRT_F32 && s == (sizeof(real) == 4 ? BMRT_SRC_F32 : BMRT_SRC_F64)) {
        memcpy(out, data + (size_t)first * sizeof(real), (size_t)n * sizeof(real));
        return;
    }
    for (int64_t i = 0; i < n; i++)
        switch (t) {
        case BMRT_F32:
            ((real *)out)[i] = (real)bmrt_source_real(s, data, first + i);
            break;
        case BMRT_I32:
            ((int32_t *)out)[i] = (int32_t)bmrt_source_int(s, data, first + i);
            break;
        case BMRT_U8:
            ((unsigned char *)out)[i] = bmrt_source_int(s, data, first + i) != 0;
            break;
        }
}
