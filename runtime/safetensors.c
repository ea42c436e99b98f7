/* safetensors.c - the strict reader. */
#include "runtime/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HEADER = 100000000, MOST_ENTRIES = 1000000, LONGEST_NAME = 256 };

static const struct {
    const char *name;
    int bits;
    bool known;
    bmrt_source type;
} dtypes[] = {
    {"BOOL", 8, true, BMRT_SRC_BOOL},
    {"U8", 8, true, BMRT_SRC_U8},
    {"F16", 16, true, BMRT_SRC_F16},
    {"BF16", 16, true, BMRT_SRC_BF16},
    {"F32", 32, true, BMRT_SRC_F32},
    {"I32", 32, true, BMRT_SRC_I32},
    {"I64", 64, true, BMRT_SRC_I64},
    {"F64", 64, true, BMRT_SRC_F64},
    {"I8", 8, false, 0},
    {"I16", 16, false, 0},
    {"U16", 16, true, BMRT_SRC_U16},
    {"U32", 32, true, BMRT_SRC_U32},
    {"U64", 64, false, 0},
    {"C64", 64, false, 0},
    {"F8_E5M2", 8, false, 0},
    {"F8_E4M3", 8, false, 0},
    {"F8_E8M0", 8, false, 0},
    {"F8_E4M3FNUZ", 8, false, 0},
    {"F8_E5M2FNUZ", 8, false, 0},
    {"F6_E2M3", 6, false, 0},
    {"F6_E3M2", 6, false, 0},
    {"F4", 4, false, 0},
};

typedef struct reader {
    const char *name;
    size_t area; /* bytes of the data area */
    bmrt_error *e;
} reader;

static BmStatus bad(const reader *r, const char *tensor, const char *what)
{
    if (!tensor)
        return bmrt_fail(r->e, BMRT_MODEL, "'%s' is not a safetensors file: %s", r->name, what);
    return bmrt_fail(r->e, BMRT_MODEL, "'%s': tensor '%.80s' %s", r->name, tensor, what);
}

static bool read_size(const json_t *v, int64_t *out)
{
    *out = json_integer_value(v);
    return json_is_integer(v) && *out >= 0;
}

static BmStatus read_shape(const reader *r, const char *key, const json_t *shape,
                           bmrt_st_entry *out)
{
    if (!json_is_array(shape))
        return bad(r, key, "has no shape");
    if (json_array_size(shape) > BMRT_ST_DIMS)
        return bad(r, key, "has more than 8 axes");
    out->ndim = (int)json_array_size(shape);
    for (int i = 0; i < out->ndim; i++)
        if (!read_size(json_array_get(shape, (size_t)i), &out->dim[i]))
            return bad(r, key, "has a size that is no number");
    if (!bmrt_product(out->dim, out->ndim, &out->count))
        return bad(r, key, "has more than 2^63 elements");
    return BMRT_OK;
}

static BmStatus read_place(const reader *r, const char *key, const json_t *offsets, int bits,
                           const unsigned char *area, bmrt_st_entry *out)
{
    int64_t from, to, need;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !read_size(json_array_get(offsets, 0), &from) ||
        !read_size(json_array_get(offsets, 1), &to) || from > to || (uint64_t)to > r->area)
        return bad(r, key, "has data_offsets that lie outside the file");
    if (__builtin_mul_overflow(out->count, (int64_t)bits, &need) || need % 8 != 0 ||
        need / 8 != to - from)
        return bad(r, key, "has another number of bytes than its shape and type");
    out->data = area + from;
    return BMRT_OK;
}

static BmStatus read_entry(const reader *r, const char *key, const json_t *v,
                           const unsigned char *area, bmrt_st_entry *out)
{
    *out = (bmrt_st_entry){.name = key};
    if (strlen(key) > LONGEST_NAME)
        return bad(r, key, "has a name of more than 256 bytes");
    if (!json_is_object(v) || json_object_size(v) != 3)
        return bad(r, key, "is not described by dtype, shape and data_offsets");
    out->dtype = json_string_value(json_object_get(v, "dtype"));
    if (!out->dtype)
        return bad(r, key, "has no dtype");
    int i = 0;
    while (i < BMRT_COUNT(dtypes) && strcmp(dtypes[i].name, out->dtype) != 0)
        i++;
    if (i == BMRT_COUNT(dtypes))
        return bad(r, key, "has a dtype that is not in the format");
    out->known = dtypes[i].known;
    out->type = dtypes[i].type;
    BmStatus s = read_shape(r, key, json_object_get(v, "shape"), out);
    return s != BMRT_OK
               ? s
               : read_place(r, key, json_object_get(v, "data_offsets"), dtypes[i].bits, area, out);
}

static BmStatus check_metadata(const reader *r, const json_t *v)
{
    const char *key;
    json_t *text;
    if (!json_is_object(v))
        return bad(r, NULL, "__metadata__ is no object");
    json_object_foreach((json_t *)(uintptr_t)v, key, text) if (!json_is_string(text)) return bad(
        r, NULL, "__metadata__ holds something that is no string");
    return BMRT_OK;
}

/* By place; an empty tensor comes before the one that begins where it lies. */
static int by_place(const void *a, const void *b)
{
    const bmrt_st_entry *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if ((x->count == 0) != (y->count == 0))
        return x->count == 0 ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* No hole, no overlap, nothing after the last tensor. */
static BmStatus check_tiling(const reader *r, bmrt_st *st, const unsigned char *area)
{
    const unsigned char *at = area;
    qsort(st->entry, (size_t)st->n, sizeof *st->entry, by_place);
    for (int i = 0; i < st->n; i++) {
        const bmrt_st_entry *t = &st->entry[i];
        if (t->data != at)
            return bad(r, t->name,
                       t->data < at ? "overlaps the one before it" : "leaves a hole before it");
        for (int j = 0; j < BMRT_COUNT(dtypes); j++)
            if (strcmp(dtypes[j].name, t->dtype) == 0)
                at += t->count * dtypes[j].bits / 8;
    }
    if (at != area + r->area)
        return bad(r, NULL, "bytes follow the last tensor");
    return BMRT_OK;
}

static BmStatus read_entries(const reader *r, json_t *root, const unsigned char *area, bmrt_st *st)
{
    size_t n = json_object_size(root);
    if (n > MOST_ENTRIES)
        return bad(r, NULL, "more than a million tensors");
    st->entry = calloc(n > 0 ? n : 1, sizeof *st->entry);
    if (!st->entry)
        return bmrt_fail(r->e, BMRT_MACHINE, "no memory for the %zu tensors of '%s'", n, r->name);
    for (void *it = json_object_iter(root); it; it = json_object_iter_next(root, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *v = json_object_iter_value(it);
        bool metadata = strcmp(key, "__metadata__") == 0;
        BmStatus s =
            metadata ? check_metadata(r, v) : read_entry(r, key, v, area, &st->entry[st->n]);
        if (s != BMRT_OK)
            return s;
        st->n += !metadata;
    }
    return check_tiling(r, st, area);
}

BmStatus bmrt_st_parse(const unsigned char *file, size_t size, const char *name, bmrt_st *out,
                       bmrt_error *e)
{
    reader r = {name, 0, e};
    *out = (bmrt_st){0};
    if (size < 8)
        return bad(&r, NULL, "it has fewer than 8 bytes");
    uint64_t n;
    memcpy(&n, file, sizeof n);
    if (n > MOST_HEADER)
        return bad(&r, NULL, "its header would be longer than 100,000,000 bytes");
    if (n > size - 8)
        return bad(&r, NULL, "it ends inside its header");
    if (n == 0 || file[8] != '{')
        return bad(&r, NULL, "its header does not begin with {");
    json_error_t je;
    json_t *root = json_loadb((const char *)file + 8, (size_t)n, JSON_REJECT_DUPLICATES, &je);
    if (!root) {
        bmrt_fail(e, BMRT_MODEL,
                  "'%s' is not a safetensors file: its header is no JSON (byte %d: "
                  "%.120s)",
                  name, je.position, je.text);
        return BMRT_MODEL;
    }
    r.area = size - 8 - (size_t)n;
    out->json = root;
    BmStatus s = json_is_object(root) ? read_entries(&r, root, file + 8 + n, out)
                                      : bad(&r, NULL, "its header is no object");
    if (s != BMRT_OK)
        bmrt_st_close(out);
    return s;
}

void bmrt_st_close(bmrt_st *s)
{
    free(s->entry);
    json_decref(s->json);
    *s = (bmrt_st){0};
}
