/* plan_read.c - plan.json into a PlanFile, by the tables of plan_fields.c.
 *
 * The first thing that is wrong is told with its place ("steps[12].kind") and ends the reading. */
#include "frontend/base/map.h"
#include "planner/plan_fields.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Reader {
    Arena *a;
    Diag *d;
    PlanFile *f;
    Map *kernel;      /* name -> the kernel */
    const char *list; /* where we are: "steps", NULL at the top */
    int index;
    const char *inside; /* "totals", NULL outside */
} Reader;

/* Tells what is wrong with `key` (NULL: with the object itself) of the object we are in. */
BM_PRINTF(3, 4) static bool fail(Reader *r, const char *key, const char *fmt, ...)
{
    StrBuf s = strbuf_new(r->a);
    if (r->list)
        strbuf_printf(&s, "%s[%d]", r->list, r->index);
    if (r->inside)
        strbuf_printf(&s, "%s%s", s.n ? "." : "", r->inside);
    if (key)
        strbuf_printf(&s, "%s%s", s.n ? "." : "", key);
    if (s.n)
        strbuf_add(&s, ": ");
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&s, fmt, ap);
    va_end(ap);
    diag_error(r->d, NO_SPAN, "%s: %s", r->f->name, s.text);
    return false;
}

/* What is quoted from the file, without bytes that would disturb a terminal. */
static const char *printable(Arena *a, const char *s)
{
    char *t = arena_strdup(a, s);
    for (char *c = t; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F)
            *c = '?';
    return t;
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number with a fraction or exponent";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

/* ---- one value ---- */

static bool whole(Reader *r, const char *key, const json_t *v, int64_t lo, int64_t hi, int64_t *out)
{
    if (!json_is_integer(v))
        return fail(r, key, "a whole number is wanted, not %s", kind_of(v));
    int64_t x = json_integer_value(v);
    if (x < lo || x > hi)
        return fail(r, key, "%lld is not in %lld..%lld", (long long)x, (long long)lo,
                    (long long)hi);
    *out = x;
    return true;
}

static bool whole_int(Reader *r, const char *key, const json_t *v, int64_t lo, int64_t hi, int *out)
{
    int64_t x = 0;
    if (!whole(r, key, v, lo, hi, &x))
        return false;
    *out = (int)x;
    return true;
}

static bool text(Reader *r, const char *key, const json_t *v, const char **out)
{
    if (!json_is_string(v))
        return fail(r, key, "a string is wanted, not %s", kind_of(v));
    const char *s = json_string_value(v);
    for (const unsigned char *c = (const unsigned char *)s; *c; c++)
        if (*c < 0x20 || *c == 0x7F || (*c == 0xC2 && c[1] < 0xA0))
            return fail(r, key, "the string holds a control character");
    *out = arena_strdup(r->a, s);
    return true;
}

static bool hash(Reader *r, const char *key, const json_t *v, const char **out)
{
    if (!text(r, key, v, out))
        return false;
    if (strlen(*out) != 16 || strspn(*out, "0123456789abcdef") != 16)
        return fail(r, key, "'%.32s' is not 16 hexadecimal digits", *out);
    return true;
}

static bool word(Reader *r, const char *key, const json_t *v, const Words *w, int *out)
{
    const char *s;
    if (!text(r, key, v, &s))
        return false;
    *out = word_find(*w, s);
    if (*out >= 0)
        return true;
    StrBuf all = strbuf_new(r->a);
    for (int i = 0; i < w->n; i++)
        if (w->word[i])
            strbuf_printf(&all, " %s", w->word[i]);
    return fail(r, key, "'%.60s' is none of:%s", s, all.text);
}

static bool real(Reader *r, const char *key, const json_t *v, double *out)
{
    if (json_is_number(v)) {
        *out = json_number_value(v);
        return true;
    }
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    if (strcmp(s, "inf") == 0)
        *out = INFINITY;
    else if (strcmp(s, "-inf") == 0)
        *out = -INFINITY;
    else if (strcmp(s, "nan") == 0)
        *out = NAN;
    else
        return fail(r, key, "a number is wanted, not %s", kind_of(v));
    return true;
}

static int entries(const Reader *r, Ref ref)
{
    switch (ref) {
    case REF_BUFFERS:
        return r->f->n_buffer;
    case REF_STEPS:
        return r->f->n_step;
    case REF_INSTANCES:
        return r->f->n_instance;
    case REF_PARAMS:
        return r->f->n_param;
    case REF_GROUPS:
        return r->f->n_group;
    case REF_NOTHING:
        break;
    }
    BUG("a field refers to nothing");
}

static bool reference(Reader *r, const char *key, const json_t *v, Ref ref, int least, int *out)
{
    static const char *const name[] = {[REF_BUFFERS] = "buffers",
                                       [REF_STEPS] = "steps",
                                       [REF_INSTANCES] = "instances",
                                       [REF_PARAMS] = "params",
                                       [REF_GROUPS] = "groups"};
    if (!json_is_integer(v))
        return fail(r, key, "an id is wanted, not %s", kind_of(v));
    int64_t x = json_integer_value(v);
    if (x < least || x >= entries(r, ref))
        return fail(r, key, "%lld is no id: there are %d %s", (long long)x, entries(r, ref),
                    name[ref]);
    *out = (int)x;
    return true;
}

static bool array(Reader *r, const char *key, const json_t *v, int *n)
{
    if (!json_is_array(v))
        return fail(r, key, "a list is wanted, not %s", kind_of(v));
    if (json_array_size(v) > INT32_MAX / 2)
        return fail(r, key, "the list has %zu entries", json_array_size(v));
    *n = (int)json_array_size(v);
    return true;
}

static bool references(Reader *r, const char *key, const json_t *v, Ref ref, Ints *out)
{
    if (!array(r, key, v, &out->n))
        return false;
    out->v = arena_array(r->a, int, out->n);
    for (int i = 0; i < out->n; i++)
        if (!reference(r, key, json_array_get(v, (size_t)i), ref, 0, &out->v[i]))
            return false;
    return true;
}

static bool sizes(Reader *r, const char *key, const json_t *v, Sizes *out)
{
    if (!array(r, key, v, &out->n))
        return false;
    out->v = arena_array(r->a, int64_t, out->n);
    for (int i = 0; i < out->n; i++)
        if (!whole(r, key, json_array_get(v, (size_t)i), 0, PLAN_MAX_BYTES, &out->v[i]))
            return false;
    return true;
}

static bool texts(Reader *r, const char *key, const json_t *v, Texts *out)
{
    if (!array(r, key, v, &out->n))
        return false;
    out->v = arena_array(r->a, const char *, out->n);
    for (int i = 0; i < out->n; i++)
        if (!text(r, key, json_array_get(v, (size_t)i), &out->v[i]))
            return false;
    return true;
}

static bool word_list(Reader *r, const char *key, const json_t *v, const Words *w, Ints *out)
{
    if (!array(r, key, v, &out->n))
        return false;
    out->v = arena_array(r->a, int, out->n);
    for (int i = 0; i < out->n; i++)
        if (!word(r, key, json_array_get(v, (size_t)i), w, &out->v[i]))
            return false;
    return true;
}

static bool rows(Reader *r, const char *key, const json_t *v, int columns, Rows *out)
{
    if (!array(r, key, v, &out->n))
        return false;
    out->v = arena_calloc(r->a, (size_t)out->n, (size_t)columns * sizeof *out->v);
    for (int i = 0; i < out->n; i++) {
        const json_t *row = json_array_get(v, (size_t)i);
        if (!json_is_array(row) || json_array_size(row) != (size_t)columns)
            return fail(r, key, "lists of %d numbers are wanted", columns);
        for (int k = 0; k < columns; k++)
            if (!whole(r, key, json_array_get(row, (size_t)k), 0, PLAN_MAX_COUNT,
                       &out->v[i * columns + k]))
                return false;
    }
    return true;
}

/* The profile is a text of its own: its reader knows what is right in it. */
static bool machine(Reader *r, const char *key, const json_t *v, const Machine **out)
{
    *out = NULL;
    if (json_is_null(v))
        return true;
    char *json = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!json)
        die("out of memory while reading a plan");
    char *copy = arena_strdup(r->a, json);
    free(json);
    *out =
        machine_read(r->a, arena_printf(r->a, "%s: %s", r->f->name, key), copy, strlen(copy), r->d);
    return *out != NULL; /* reported */
}

static bool operand(Reader *r, const char *key, const json_t *v, FileOperand *out)
{
    out->buffer = -1;
    if (json_is_null(v))
        return true;
    if (!json_is_array(v) || json_array_size(v) != 2)
        return fail(r, key, "[buffer, offset] or null is wanted");
    return reference(r, key, json_array_get(v, 0), REF_BUFFERS, 0, &out->buffer) &&
           whole(r, key, json_array_get(v, 1), 0, PLAN_MAX_BYTES, &out->offset);
}

static bool kernel(Reader *r, const char *key, const json_t *v, int *out)
{
    const char *name;
    if (!text(r, key, v, &name))
        return false;
    if (!r->kernel) {
        r->kernel = map_new(r->a);
        for (int i = 0; i < r->f->n_kernel; i++)
            if (map_find(r->kernel, r->f->kernel[i].name) < 0)
                map_put(r->kernel, r->f->kernel[i].name, &r->f->kernel[i]);
    }
    const FileKernel *k = map_get(r->kernel, name);
    if (!k)
        return fail(r, key, "no kernel is named '%.60s'", name);
    *out = (int)(k - r->f->kernel);
    return true;
}

static bool phases(Reader *r, const json_t *v, FileProgram *g)
{
    if (!json_is_object(v) || json_object_size(v) != N_PHASES)
        return fail(r, "phases", "an object with the %d phases is wanted", N_PHASES);
    for (int i = 0; i < N_PHASES; i++) {
        const char *key = phase_words.word[i];
        const json_t *pair = json_object_get(v, key);
        if (!pair || !json_is_array(pair) || json_array_size(pair) != 2)
            return fail(r, "phases", "%s: [first, count] is wanted", key);
        if (!whole_int(r, "phases", json_array_get(pair, 0), 0, r->f->n_step, &g->first[i]) ||
            !whole_int(r, "phases", json_array_get(pair, 1), 0, r->f->n_step - g->first[i],
                       &g->count[i]))
            return false;
    }
    return true;
}

/* ---- objects ---- */

static bool object(Reader *r, const json_t *o, Fields of, void *out);

static bool inner(Reader *r, const json_t *v, const Field *f, void *at)
{
    r->inside = f->key;
    bool ok = object(r, v, *f->fields, at);
    r->inside = NULL;
    return ok;
}

static bool field(Reader *r, const json_t *v, const Field *f, void *out)
{
    void *at = (char *)out + f->at;
    switch (f->kind) {
    case F_INT:
        return whole_int(r, f->key, v, 0, INT32_MAX, at);
    case F_COUNT:
        return whole(r, f->key, v, 0, PLAN_MAX_COUNT, at);
    case F_BYTES:
        return whole(r, f->key, v, 0, PLAN_MAX_BYTES, at);
    case F_COUNT_NULL:
        *(int64_t *)at = -1;
        return json_is_null(v) || whole(r, f->key, v, 0, PLAN_MAX_COUNT, at);
    case F_BOOL:
        *(bool *)at = json_is_true(v);
        return json_is_boolean(v) || fail(r, f->key, "true or false is wanted, not %s", kind_of(v));
    case F_TEXT:
        return text(r, f->key, v, at);
    case F_TEXT_NULL:
        return json_is_null(v) || text(r, f->key, v, at);
    case F_HASH:
        return hash(r, f->key, v, at);
    case F_WORD:
        return word(r, f->key, v, f->words, at);
    case F_WORD_NULL:
        *(int *)at = -1;
        return json_is_null(v) || word(r, f->key, v, f->words, at);
    case F_DOUBLE:
        return real(r, f->key, v, at);
    case F_REF:
        return reference(r, f->key, v, f->ref, 0, at);
    case F_REF_NONE:
        return reference(r, f->key, v, f->ref, -1, at);
    case F_REFS:
        return references(r, f->key, v, f->ref, at);
    case F_SIZES:
        return sizes(r, f->key, v, at);
    case F_TEXTS:
        return texts(r, f->key, v, at);
    case F_WORD_LIST:
        return word_list(r, f->key, v, f->words, at);
    case F_PAIRS:
    case F_QUADS:
        return rows(r, f->key, v, f->kind == F_PAIRS ? 2 : 4, at);
    case F_INT_NONE:
        return whole_int(r, f->key, v, -1, INT32_MAX, at);
    case F_MACHINE:
        return machine(r, f->key, v, at);
    case F_OPERAND:
        return operand(r, f->key, v, at);
    case F_KERNEL:
        return kernel(r, f->key, v, at);
    case F_PHASES:
        return phases(r, v, out);
    case F_OBJECT:
        return inner(r, v, f, at);
    }
    BUG("field %s has kind %d", f->key, (int)f->kind);
}

static bool named(Fields of, const char *key)
{
    for (int i = 0; i < of.n; i++)
        if (strcmp(of.field[i].key, key) == 0)
            return true;
    return false;
}

static bool unknown(Reader *r, const char *key)
{
    return fail(r, NULL, "unknown key '%.60s'", printable(r->a, key));
}

static bool fields_of(Reader *r, const json_t *o, Fields of, void *out)
{
    for (int i = 0; i < of.n; i++) {
        const json_t *v = json_object_get(o, of.field[i].key);
        if (!v)
            return fail(r, of.field[i].key, "missing");
        if (!field(r, v, &of.field[i], out))
            return false;
    }
    return true;
}

static bool object(Reader *r, const json_t *o, Fields of, void *out)
{
    if (!json_is_object(o))
        return fail(r, NULL, "an object is wanted, not %s", kind_of(o));
    if (!fields_of(r, o, of, out))
        return false;
    if (json_object_size(o) == (size_t)of.n)
        return true;
    json_t *all = (json_t *)(uintptr_t)o; /* jansson's iterators want it, and change nothing */
    for (void *it = json_object_iter(all); it; it = json_object_iter_next(all, it))
        if (!named(of, json_object_iter_key(it)))
            return unknown(r, json_object_iter_key(it));
    BUG("an object of %zu keys has no key too many", json_object_size(o));
}

/* The file's own keys: like object(), but version comes first and the lists are known. */
static bool top_keys(Reader *r, const json_t *o)
{
    if (!json_is_object(o))
        return fail(r, NULL, "an object is wanted, not %s", kind_of(o));
    int64_t version = json_integer_value(json_object_get(o, "version"));
    if (version != PLAN_FILE_VERSION)
        return fail(r, "version",
                    "this bmc reads plans of version %d only: compile the model again",
                    PLAN_FILE_VERSION);
    json_t *all = (json_t *)(uintptr_t)o;
    for (void *it = json_object_iter(all); it; it = json_object_iter_next(all, it)) {
        const char *key = json_object_iter_key(it);
        bool known = strcmp(key, "version") == 0 || named(plan_top_fields, key);
        for (int i = 0; i < N_PLAN_LISTS && !known; i++)
            known = strcmp(key, plan_lists[i].key) == 0;
        if (!known)
            return unknown(r, key);
    }
    return true;
}

static bool lists_count(Reader *r, const json_t *o)
{
    for (int i = 0; i < N_PLAN_LISTS; i++) {
        const List *l = &plan_lists[i];
        const json_t *v = json_object_get(o, l->key);
        if (!v)
            return fail(r, l->key, "missing");
        if (!array(r, l->key, v, (int *)((char *)r->f + l->at_n)))
            return false;
    }
    return true;
}

static bool lists_read(Reader *r, const json_t *o)
{
    for (int i = 0; i < N_PLAN_LISTS; i++) {
        const List *l = &plan_lists[i];
        const json_t *v = json_object_get(o, l->key);
        int n = (int)json_array_size(v);
        char *entry = arena_calloc(r->a, (size_t)n, l->size);
        memcpy((char *)r->f + l->at, &(void *){entry}, sizeof(void *));
        r->list = l->key;
        for (r->index = 0; r->index < n; r->index++, entry += l->size)
            if (!object(r, json_array_get(v, (size_t)r->index), l->of, entry))
                return false;
        r->list = NULL;
    }
    return true;
}

static bool links(Reader *r)
{
    Wrong at;
    const char *what = plan_links(r->f, &at);
    if (!what)
        return true;
    r->list = at.list;
    r->index = at.index;
    return fail(r, at.key, "%s", what);
}

static bool read_all(Reader *r, const json_t *o)
{
    return top_keys(r, o) && lists_count(r, o) && fields_of(r, o, plan_top_fields, r->f) &&
           lists_read(r, o) && links(r);
}

PlanFile *plan_read_text(Arena *a, const char *name, const char *json, size_t n, Diag *d)
{
    json_error_t err;
    json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, &err);
    if (!o) {
        diag_error(d, NO_SPAN, "%s:%d:%d: no plan: %s", name, err.line, err.column,
                   printable(a, err.text));
        return NULL;
    }
    PlanFile *f = arena_make(a, PlanFile);
    f->arena = a;
    f->name = name;
    f->text = json;
    f->n_text = n;
    Reader r = {.a = a, .d = d, .f = f};
    bool ok = read_all(&r, o);
    json_decref(o);
    return ok ? f : NULL;
}

const Source *plan_source(Arena *a, const char *path, Diag *d)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        path = arena_printf(a, "%s/plan.json", path);
    Sources *own = sources_new(a);
    const char *why = NULL;
    int i = source_read(own, path, &why);
    if (i >= 0)
        return own->list.v[i];
    diag_error(d, NO_SPAN, "%s", why);
    diag_help(d, "bmc compile FILE.bm -o DIR writes DIR/plan.json");
    return NULL;
}

PlanFile *plan_read(Arena *a, const char *path, Diag *d)
{
    const Source *s = plan_source(a, path, d);
    return s ? plan_read_text(a, s->name, s->text, (size_t)s->n, d) : NULL;
}
