/* npy.c - the header of a .npy file: magic, version, length, and a Python dict literal with exactly
 * the keys descr, fortran_order and shape. */
#include "runtime/npy.h"

#include <string.h>

typedef struct cursor {
    const char *at, *end;
    const char *name;
    bmrt_error *e;
} cursor;

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
}

static bool take(cursor *c, char ch)
{
    skip_blanks(c);
    if (c->at >= c->end || *c->at != ch)
        return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* 'text' or "text" without escapes, at most cap - 1 letters. */
static bool take_string(cursor *c, char *out, size_t cap)
{
    skip_blanks(c);
    if (c->at >= c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote) {
        if (n + 1 >= cap || *c->at < ' ' || *c->at == '\\')
            return false;
        out[n++] = *c->at++;
    }
    out[n] = 0;
    return take(c, quote);
}

static BmStatus bad_header(const cursor *c, const char *what)
{
    return bmrt_fail(c->e, BMRT_MODEL, "'%s': %s in its header", c->name, what);
}

static BmStatus read_type(cursor *c, bmrt_npy *out)
{
    static const struct {
        const char *descr;
        bmrt_source type;
    } known[] = {
        {"|b1", BMRT_SRC_BOOL}, {"|u1", BMRT_SRC_U8},  {"<u1", BMRT_SRC_U8},
        {"<u2", BMRT_SRC_U16},  {"<u4", BMRT_SRC_U32}, {"<i4", BMRT_SRC_I32},
        {"<i8", BMRT_SRC_I64},  {"<f4", BMRT_SRC_F32}, {"<f8", BMRT_SRC_F64},
    };
    char descr[32];
    if (!take_string(c, descr, sizeof descr))
        return bad_header(c, "no plain number type");
    for (int i = 0; i < BMRT_COUNT(known); i++)
        if (strcmp(known[i].descr, descr) == 0) {
            out->type = known[i].type;
            return BMRT_OK;
        }
    bmrt_fail(c->e, BMRT_MODEL, "'%s' holds elements of type '%s'", c->name, descr);
    bmrt_help(c->e, "read are |b1 |u1 <u2 <u4 <i4 <i8 <f4 <f8: convert with a.astype(...)");
    return BMRT_MODEL;
}

static BmStatus read_shape(cursor *c, bmrt_npy *out)
{
    if (!take(c, '('))
        return bad_header(c, "no shape");
    out->ndim = 0;
    while (!take(c, ')')) {
        int64_t d = 0;
        skip_blanks(c);
        const char *start = c->at;
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
            if (__builtin_mul_overflow(d, (int64_t)10, &d) ||
                __builtin_add_overflow(d, (int64_t)(*c->at - '0'), &d))
                return bad_header(c, "a size beyond 2^63");
        if (c->at == start)
            return bad_header(c, "no shape");
        if (out->ndim == BMRT_NPY_DIMS)
            return bad_header(c, "more than 8 axes");
        out->dim[out->ndim++] = d;
        bool comma = take(c, ',');
        /* (n) is a number in Python, not a shape; numpy writes (n,). */
        if (!comma && (out->ndim == 1 || c->at >= c->end || *c->at != ')'))
            return bad_header(c, "no shape");
    }
    if (!bmrt_product(out->dim, out->ndim, &out->count))
        return bad_header(c, "more than 2^63 elements");
    return BMRT_OK;
}

static BmStatus read_order(cursor *c)
{
    if (take_word(c, "False"))
        return BMRT_OK;
    if (!take_word(c, "True"))
        return bad_header(c, "no fortran_order");
    bmrt_fail(c->e, BMRT_MODEL, "'%s' is in Fortran order", c->name);
    bmrt_help(c->e, "write it with numpy.ascontiguousarray(a)");
    return BMRT_MODEL;
}

static BmStatus read_dict(cursor *c, bmrt_npy *out)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    int seen = 0;
    if (!take(c, '{'))
        return bad_header(c, "no dictionary");
    while (!take(c, '}')) {
        char key[16];
        if (!take_string(c, key, sizeof key) || !take(c, ':'))
            return bad_header(c, "no dictionary");
        int bit = strcmp(key, "descr") == 0           ? DESCR
                  : strcmp(key, "fortran_order") == 0 ? ORDER
                  : strcmp(key, "shape") == 0         ? SHAPE
                                                      : 0;
        if (bit == 0 || seen & bit)
            return bad_header(c, "an unknown or repeated key");
        seen |= bit;
        BmStatus s = bit == DESCR   ? read_type(c, out)
                     : bit == ORDER ? read_order(c)
                                    : read_shape(c, out);
        if (s != BMRT_OK)
            return s;
        if (!take(c, ',')) {
            skip_blanks(c);
            if (c->at >= c->end || *c->at != '}')
                return bad_header(c, "no dictionary");
        }
    }
    if (seen != (DESCR | ORDER | SHAPE))
        return bad_header(c, "a missing key");
    for (; c->at < c->end; c->at++)
        if (*c->at != ' ' && !(*c->at == '\n' && c->at + 1 == c->end))
            return bad_header(c, "text after the dictionary");
    return BMRT_OK;
}

BmStatus bmrt_npy_parse(const unsigned char *file, size_t size, const char *name, bmrt_npy *out,
                        bmrt_error *e)
{
    *out = (bmrt_npy){0};
    if (size < 10 || memcmp(file, "\x93NUMPY", 6) != 0)
        return bmrt_fail(e, BMRT_MODEL, "'%s' is not a .npy file", name);
    if (file[6] < 1 || file[6] > 3 || file[7] != 0)
        return bmrt_fail(e, BMRT_MODEL,
                         "'%s' has version %d.%d of the .npy format, 1 to 3 are read", name,
                         file[6], file[7]);
    size_t start = file[6] == 1 ? 10 : 12;
    if (size < start)
        return bmrt_fail(e, BMRT_MODEL, "'%s' ends inside its header", name);
    size_t length = file[6] == 1 ? (size_t)file[8] | (size_t)file[9] << 8
                                 : (size_t)file[8] | (size_t)file[9] << 8 | (size_t)file[10] << 16 |
                                       (size_t)file[11] << 24;
    if (length > size - start)
        return bmrt_fail(e, BMRT_MODEL, "'%s' ends inside its header of %zu bytes", name, length);
    const char *text = (const char *)file + start;
    cursor c = {text, text + length, name, e};
    BmStatus s = read_dict(&c, out);
    if (s != BMRT_OK)
        return s;
    size_t bytes, have = size - start - length;
    if (__builtin_mul_overflow((size_t)out->count, bmrt_source_size(out->type), &bytes) ||
        bytes != have) {
        char shape[128];
        return bmrt_fail(e, BMRT_MODEL, "'%s' has %zu bytes of data, its shape %s of %s needs %zu",
                         name, have, bmrt_shape(shape, sizeof shape, out->dim, out->ndim),
                         bmrt_source_name(out->type), bytes);
    }
    out->data = file + start + length;
    return BMRT_OK;
}

static BmStatus check_fits(const bmrt_tensor *t, const bmrt_npy *n, bmrt_error *e)
{
    char a[128], b[128];
    bool same = n->ndim == t->ndim;
    for (int i = 0; same && i < t->ndim; i++)
        same = n->dim[i] == t->dim[i];
    if (!same)
        return bmrt_fail(e, BMRT_MODEL, "'%s' is %s and does not fit '%s' %s", t->file,
                         bmrt_shape(a, sizeof a, n->dim, n->ndim), t->path,
                         bmrt_shape(b, sizeof b, t->dim, t->ndim));
    if (bmrt_source_kind(n->type) != t->dtype)
        return bmrt_fail(e, BMRT_MODEL, "'%s' holds %s and does not fit '%s', which is %s", t->file,
                         bmrt_source_name(n->type), t->path, bmrt_dtype_name(t->dtype));
    for (int64_t i = 0; t->dtype == BMRT_I32 && i < n->count; i++) {
        int64_t v = bmrt_source_int(n->type, n->data, i);
        if (v < INT32_MIN || v > INT32_MAX)
            return bmrt_fail(e, BMRT_MODEL, "'%s': element %lld is %lld, beyond 32 bits", t->file,
                             (long long)i, (long long)v);
    }
    return BMRT_OK;
}

BmStatus bmrt_npy_tensor(const bmrt_tensor *t, int64_t lo, int64_t n, void *out, bmrt_error *e)
{
    bmrt_mapped f;
    bmrt_npy a;
    BmStatus s = bmrt_map(t->file ? t->file : "", &f, e);
    if (s != BMRT_OK)
        return s;
    s = bmrt_npy_parse(f.at, f.size, t->file, &a, e);
    if (s == BMRT_OK)
        s = check_fits(t, &a, e);
    if (s == BMRT_OK && n > 0)
        bmrt_source_copy(a.type, a.data, lo, n, t->dtype, out);
    BmStatus whole = bmrt_map_check(&f, e);
    bmrt_unmap(&f);
    return whole != BMRT_OK ? whole : s;
}
