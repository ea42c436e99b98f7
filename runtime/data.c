/* data.c - opening a data source and handing out its samples. */
#include "runtime/data.h"

#include "runtime/data_kinds.h"

#include <stdlib.h>
#include <string.h>

int bmrt_find_input(const bmrt_model *m, const char *name)
{
    for (int i = 0; i < m->n_input; i++)
        if (strcmp(m->input[i].name, name) == 0)
            return i;
    return -1;
}

static BmStatus check_all_fed(const bmrt_data *d, const bmrt_model *m, const char *what,
                              bmrt_error *e)
{
    char shape[128];
    for (int i = 0; i < m->n_input; i++) {
        const bmrt_input *in = &m->input[i];
        if (d->feed[i].data)
            continue;
        bmrt_fail(e, BMRT_MODEL, "nothing feeds input '%s' (%s %s) of %s", in->name,
                  bmrt_dtype_name(in->dtype), bmrt_shape(shape, sizeof shape, in->dim, in->ndim),
                  m->name);
        bmrt_help(e, "the data has %s", what);
        return BMRT_MODEL;
    }
    return BMRT_OK;
}

static BmStatus open_kind(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                          bmrt_error *e)
{
    *d = (bmrt_data){0};
    d->feed = calloc((size_t)(m->n_input > 0 ? m->n_input : 1), sizeof *d->feed);
    if (!d->feed)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for %d inputs", m->n_input);
    switch (spec->kind) {
    case BMRT_DATA_TEXT:
    case BMRT_DATA_TOKENS: {
        BmStatus s = bmrt_data_open_tokens(d, m, spec, e);
        return s != BMRT_OK ? s : check_all_fed(d, m, "the fields 'tokens' and 'targets'", e);
    }
    case BMRT_DATA_NPY: {
        BmStatus s = bmrt_data_open_npy(d, m, spec, e);
        return s != BMRT_OK ? s : check_all_fed(d, m, "no field of this name", e);
    }
    default:
        bmrt_fail(e, BMRT_MODEL, "%s names no data", m->name);
        bmrt_help(e, "add `data = text(\"file\")` to its train section");
        return BMRT_MODEL;
    }
}

BmStatus bmrt_data_check(const bmrt_data *d, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    for (int i = 0; i < d->n_file && s == BMRT_OK; i++)
        s = bmrt_map_check(&d->file[i], e);
    return s;
}

BmStatus bmrt_data_open(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                        bmrt_error *e)
{
    BmStatus s = open_kind(d, m, spec, e), whole = bmrt_data_check(d, e);
    return whole != BMRT_OK ? whole : s;
}

void bmrt_data_close(bmrt_data *d)
{
    for (int i = 0; i < d->n_file; i++)
        bmrt_unmap(&d->file[i]);
    free(d->feed);
    *d = (bmrt_data){0};
}

typedef struct fill_job {
    const bmrt_feed *feed;
    const int64_t *index;
    bmrt_dtype dtype;
    char *out;
} fill_job;

static void fill_samples(void *job, int64_t lo, int64_t hi)
{
    const fill_job *j = job;
    const bmrt_feed *f = j->feed;
    int64_t bytes = f->count * (int64_t)bmrt_dtype_size(j->dtype);
    for (int64_t i = lo; i < hi; i++)
        bmrt_source_copy(f->type, f->data, j->index[i] * f->stride + f->shift, f->count, j->dtype,
                         j->out + i * bytes);
}

void bmrt_data_fill(const bmrt_data *d, const bmrt_model *m, int i, const int64_t *index,
                    int64_t nb, bmrt_pool *pool, void *out)
{
    fill_job j = {&d->feed[i], index, m->input[i].dtype, out};
    int64_t count = d->feed[i].count > 0 ? d->feed[i].count : 1;
    bmrt_pool_split(pool, fill_samples, &j, nb, 1 + 16384 / count);
}

/* Scans a block for its largest element; wrapping negative numbers to large ones covers both
 * bounds. The loops are plain so that the compiler makes vectors of them. */
#define LARGEST(name, type, wide)                                                                  \
    static uint64_t name(const unsigned char *p, int64_t n)                                        \
    {                                                                                              \
        wide most = 0;                                                                             \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type v;                                                                                \
            memcpy(&v, p + (size_t)i * sizeof v, sizeof v);                                        \
            most = v > most ? v : most;                                                            \
        }                                                                                          \
        return most;                                                                               \
    }
LARGEST(largest8, uint8_t, uint8_t)
LARGEST(largest16, uint16_t, uint16_t)
LARGEST(largest32, uint32_t, uint32_t)
LARGEST(largest64, uint64_t, uint64_t)
#undef LARGEST

static uint64_t largest(bmrt_source type, const unsigned char *data, int64_t first, int64_t n)
{
    size_t size = bmrt_source_size(type);
    const unsigned char *p = data + (size_t)first * size;
    return size == 1   ? largest8(p, n)
           : size == 2 ? largest16(p, n)
           : size == 4 ? largest32(p, n)
                       : largest64(p, n);
}

int64_t bmrt_first_outside(bmrt_source type, const unsigned char *data, int64_t n, int64_t below,
                           bool ignore)
{
    enum { BLOCK = 8192 };
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t count = n - first < BLOCK ? n - first : BLOCK;
        if (largest(type, data, first, count) < (uint64_t)below)
            continue;
        for (int64_t i = first; i < first + count; i++) {
            int64_t v = bmrt_source_int(type, data, i);
            if ((v < 0 || v >= below) && !(ignore && v == -100))
                return i;
        }
    }
    return n;
}
