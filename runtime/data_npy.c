/* data_npy.c - one .npy file per field, cut into samples along its first axis. */
#include "runtime/data_kinds.h"
#include "runtime/npy.h"

#include <stdlib.h>
#include <string.h>

static BmStatus check_shape(const bmrt_input *in, const bmrt_npy *a, const char *file,
                            bmrt_error *e)
{
    char have[128], need[128];
    bool same = a->ndim == in->ndim + 1;
    for (int i = 0; same && i < in->ndim; i++)
        same = a->dim[i + 1] == in->dim[i];
    if (!same) {
        bmrt_shape(need, sizeof need, in->dim, in->ndim);
        return bmrt_fail(e, BMRT_MODEL,
                         "'%s' is %s, input '%s' takes samples of %s: [samples%s%s is needed", file,
                         bmrt_shape(have, sizeof have, a->dim, a->ndim), in->name, need,
                         in->ndim ? ", " : "", need + 1);
    }
    if (bmrt_source_kind(a->type) != in->dtype)
        return bmrt_fail(e, BMRT_MODEL, "'%s' holds %s, input '%s' is %s", file,
                         bmrt_source_name(a->type), in->name, bmrt_dtype_name(in->dtype));
    return BMRT_OK;
}

static BmStatus check_values(const bmrt_input *in, const bmrt_npy *a, const char *file,
                             bmrt_error *e)
{
    if (in->dtype != BMRT_I32)
        return BMRT_OK;
    if (in->below <= 0) { /* no limit is known: they must fit 32 bits */
        for (int64_t i = 0; i < a->count; i++) {
            int64_t v = bmrt_source_int(a->type, a->data, i);
            if (v < INT32_MIN || v > INT32_MAX)
                return bmrt_fail(e, BMRT_MODEL, "'%s': element %lld is %lld, beyond 32 bits", file,
                                 (long long)i, (long long)v);
        }
        return BMRT_OK;
    }
    int64_t at = bmrt_first_outside(a->type, a->data, a->count, in->below, in->ignore);
    if (at == a->count)
        return BMRT_OK;
    return bmrt_fail(e, BMRT_MODEL,
                     "'%s': element %lld of sample %lld is %lld, input '%s' takes 0..%lld%s", file,
                     (long long)(at % in->count), (long long)(at / in->count),
                     (long long)bmrt_source_int(a->type, a->data, at), in->name,
                     (long long)in->below - 1, in->ignore ? " or -100" : "");
}

static BmStatus open_field(bmrt_data *d, const bmrt_model *m, const char *name, const char *file,
                           bmrt_error *e)
{
    int i = bmrt_find_input(m, name);
    if (i < 0)
        return bmrt_fail(e, BMRT_MODEL, "the data has a field '%s' ('%s'), %s has no such input",
                         name, file, m->name);
    if (d->feed[i].data)
        return bmrt_fail(e, BMRT_MODEL, "the data has two fields '%s'", name);
    if (d->n_file == BMRT_MOST_FIELDS)
        return bmrt_fail(e, BMRT_MODEL, "the data has more than %d fields", BMRT_MOST_FIELDS);
    bmrt_mapped *f = &d->file[d->n_file];
    BmStatus s = bmrt_map(file, f, e);
    if (s != BMRT_OK)
        return s;
    d->n_file++;
    bmrt_npy a;
    s = bmrt_npy_parse(f->at, f->size, file, &a, e);
    if (s == BMRT_OK)
        s = check_shape(&m->input[i], &a, file, e);
    if (s != BMRT_OK)
        return s;
    if (a.dim[0] < 1)
        return bmrt_fail(e, BMRT_MODEL, "'%s' holds no sample", file);
    if (d->n_file > 1 && a.dim[0] != d->n)
        return bmrt_fail(e, BMRT_MODEL, "'%s' holds %lld samples, the fields before it %lld", file,
                         (long long)a.dim[0], (long long)d->n);
    s = check_values(&m->input[i], &a, file, e);
    d->n = a.dim[0];
    d->feed[i] = (bmrt_feed){a.type, a.data, m->input[i].count, m->input[i].count, 0};
    return s;
}

BmStatus bmrt_data_open_npy(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                            bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    for (int i = 0; s == BMRT_OK && spec->field && spec->field[i]; i += 2)
        s = open_field(d, m, spec->field[i], spec->field[i + 1], e);
    return s;
}

static int find_field(const char *const *list, int n, const char *name)
{
    for (int i = 0; i < n; i += 2)
        if (strcmp(list[i], name) == 0)
            return i;
    return -1;
}

BmStatus bmrt_data_override(bmrt_data_spec *spec, const char *option, const char *value,
                            char **text, const char ***list, bmrt_error *e)
{
    int n = 0;
    while (spec->field && spec->field[n])
        n += 2;
    *text = strdup(value);
    *list = calloc((size_t)(n + 2 * BMRT_MOST_FIELDS + 1), sizeof **list);
    if (!*text || !*list)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for --%s", option);
    for (int i = 0; i < n; i++)
        (*list)[i] = spec->field[i];
    const int most = n + 2 * BMRT_MOST_FIELDS;
    for (char *next = *text; next;) {
        char *item = next, *comma = strchr(item, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = 0;
        char *equals = strchr(item, '=');
        if (!equals || equals == item || !equals[1]) {
            bmrt_fail(e, BMRT_USAGE, "--%s '%s' names no field", option, item);
            bmrt_help(e, "for npy data write --%s NAME=FILE,NAME=FILE", option);
            return BMRT_USAGE;
        }
        *equals = 0;
        int at = find_field(*list, n, item);
        if (at < 0) {
            if (n == most)
                return bmrt_fail(e, BMRT_USAGE, "--%s names too many fields", option);
            at = n;
            n += 2;
        }
        (*list)[at] = item;
        (*list)[at + 1] = equals + 1;
    }
    spec->field = *list;
    return BMRT_OK;
}
