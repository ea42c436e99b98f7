/* safetensors_load.c - a file's tensors into the model's parameters, by name. A rank looks at its
 * own pieces only. */
#include "runtime/safetensors.h"
#include "runtime/shard.h"

#include <stdlib.h>
#include <string.h>

typedef struct loading {
    bmrt *r;
    const bmrt_model *m;
    const char *path;
    const bmrt_st *st;
    bool *wanted; /* [st->n] */
    bmrt_error *e;
} loading;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const bmrt_st_entry *)a)->name, ((const bmrt_st_entry *)b)->name);
}

static int find_entry(const bmrt_st *st, const char *name)
{
    int lo = 0, hi = st->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2, c = strcmp(st->entry[mid].name, name);
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

static BmStatus report_missing(const loading *l, const char *first, int missing)
{
    bmrt_fail(l->e, BMRT_MODEL,
              "'%s' does not fit %s: %d of its %d parameters are not there, "
              "first '%s'",
              l->path, l->m->name, missing, l->m->n_param, first);
    int best = -1, least = 64;
    for (int i = 0; i < l->st->n; i++) {
        int d = bmrt_distance(first, l->st->entry[i].name);
        if (d < least) {
            least = d;
            best = i;
        }
    }
    if (best >= 0)
        bmrt_help(l->e, "the file has %d tensors, nearest '%.200s'", l->st->n,
                  l->st->entry[best].name);
    else
        bmrt_help(l->e, "the file has %d tensors", l->st->n);
    return BMRT_MODEL;
}

static BmStatus check_fits(const loading *l, const bmrt_tensor *t, const bmrt_st_entry *f)
{
    char have[128], need[128];
    bool same = f->ndim == t->ndim;
    for (int i = 0; same && i < t->ndim; i++)
        same = f->dim[i] == t->dim[i];
    if (!same)
        return bmrt_fail(l->e, BMRT_MODEL, "'%s': tensor '%s' is %s, the parameter of %s is %s",
                         l->path, f->name, bmrt_shape(have, sizeof have, f->dim, f->ndim),
                         l->m->name, bmrt_shape(need, sizeof need, t->dim, t->ndim));
    if (!f->known || bmrt_source_kind(f->type) != t->dtype) {
        bmrt_fail(l->e, BMRT_MODEL, "'%s': tensor '%s' holds %s, the parameter is %s", l->path,
                  f->name, f->dtype, bmrt_dtype_name(t->dtype));
        bmrt_help(l->e, "read are F32 F16 BF16 F64 for float, U8 U16 U32 I32 I64 for int, BOOL");
        return BMRT_MODEL;
    }
    bmrt_share p = bmrt_share_of(l->r, t);
    for (int64_t i = p.lo; t->dtype == BMRT_I32 && i < p.lo + p.n; i++) {
        int64_t v = bmrt_source_int(f->type, f->data, i);
        if (v < INT32_MIN || v > INT32_MAX)
            return bmrt_fail(l->e, BMRT_MODEL, "'%s': element %lld of '%s' is %lld, beyond 32 bits",
                             l->path, (long long)i, f->name, (long long)v);
    }
    return BMRT_OK;
}

/* Everything is checked before the first parameter is overwritten. */
static BmStatus check_all(loading *l)
{
    int missing = 0;
    const char *first = NULL;
    for (int i = 0; i < l->m->n_param; i++) {
        int at = find_entry(l->st, l->m->param[i].path);
        if (at >= 0) {
            l->wanted[at] = true;
        } else if (missing++ == 0) {
            first = l->m->param[i].path;
        }
    }
    if (missing > 0)
        return report_missing(l, first, missing);
    BmStatus s = BMRT_OK;
    for (int i = 0; i < l->m->n_param && s == BMRT_OK; i++)
        s = check_fits(l, &l->m->param[i], &l->st->entry[find_entry(l->st, l->m->param[i].path)]);
    return s;
}

static void list_unwanted(const loading *l, char *note, size_t cap)
{
    bmrt_text t = {note, 0, cap, false};
    int n = 0;
    note[0] = 0;
    for (int i = 0; i < l->st->n; i++)
        n += !l->wanted[i];
    if (n == 0)
        return;
    bmrt_text_add(&t, "'%s' has %d more tensor%s nobody asked for:", l->path, n, n == 1 ? "" : "s");
    int shown = 0;
    for (int i = 0; i < l->st->n && shown < 8; i++)
        if (!l->wanted[i])
            bmrt_text_add(&t, "%s %.100s", shown++ ? "," : "", l->st->entry[i].name);
    if (n > shown)
        bmrt_text_add(&t, ", ...");
}

static BmStatus load_parsed(loading *l, char *note, size_t cap)
{
    BmStatus s = check_all(l);
    if (s != BMRT_OK)
        return s;
    for (int i = 0; i < l->m->n_param; i++) {
        const bmrt_tensor *t = &l->m->param[i];
        const bmrt_st_entry *f = &l->st->entry[find_entry(l->st, t->path)];
        bmrt_share p = bmrt_share_of(l->r, t);
        if (p.n > 0)
            bmrt_source_copy(f->type, f->data, p.lo, p.n, t->dtype, p.at);
    }
    list_unwanted(l, note, cap);
    return BMRT_OK;
}

BmStatus bmrt_st_load(bmrt *r, const bmrt_model *m, const char *path, char *note, size_t cap,
                      bmrt_error *e)
{
    bmrt_mapped f;
    bmrt_st st;
    BmStatus s = bmrt_map(path, &f, e);
    if (s != BMRT_OK)
        return s;
    s = bmrt_st_parse(f.at, f.size, path, &st, e);
    if (s == BMRT_OK) {
        qsort(st.entry, (size_t)st.n, sizeof *st.entry, by_name);
        loading l = {r, m, path, &st, calloc((size_t)st.n + 1, sizeof(bool)), e};
        s = l.wanted ? load_parsed(&l, note, cap)
                     : bmrt_fail(e, BMRT_MACHINE, "no memory to load '%s'", path);
        free(l.wanted);
        bmrt_st_close(&st);
    }
    BmStatus whole = bmrt_map_check(&f, e);
    bmrt_unmap(&f);
    return whole != BMRT_OK ? whole : s;
}
