/* machine.c - profiles of machines: JSON both ways, and those that are part of bmc.
 *
 * The first thing that is wrong is told with its place ("net_link.alpha_ps") and ends the reading.
 * Units are in the keys, and every number has a range that one in another unit falls out of. */
#include "planner/machine.h"

#include "frontend/base/map.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

/* Rows MACHINE(name, text) of what the build embedded, in the order of their names. */
#define MACHINE(name, text) extern const char text[];
#include "planner/machines.inc"
#undef MACHINE
#define MACHINE(name, text) name,
static const char *const inside_name[] = {
#include "planner/machines.inc"
};
#undef MACHINE
#define MACHINE(name, text) text,
static const char *const inside_text[] = {
#include "planner/machines.inc"
};
#undef MACHINE

typedef struct Reader {
    Arena *a;
    Diag *d;
    const char *file;
    const char *inside; /* "net_link", NULL at the top */
} Reader;

/* A whole number of a profile, and where it belongs. */
typedef struct Number {
    const char *key;
    size_t at;
    int64_t lo, hi; /* lo 1 or more: 0 is refused */
    bool or_zero;   /* 0: there is none */
} Number;

#define MOST_BYTES (INT64_C(1) << 50)
#define SLOWEST    INT64_C(1000000) /* per second: of memory, links and arithmetic */
#define FASTEST    (INT64_C(1) << 60)
#define LONGEST    INT64_C(10000000000000) /* ps: ten seconds */

#define FIELD(name) #name, offsetof(Machine, name)
static const Number number[] = {
    {FIELD(memory_bytes), 1 << 20, MOST_BYTES, false},
    {FIELD(host_bytes), 1 << 20, MOST_BYTES, true},
    {FIELD(ranks_per_node), 1, 1 << 20, false},
    {FIELD(attention_flops_per_s), SLOWEST, FASTEST, false},
    {FIELD(memory_bytes_per_s), SLOWEST, FASTEST, false},
    {FIELD(host_memory_bytes_per_s), SLOWEST, FASTEST, false},
    {FIELD(cache_bytes), 1 << 10, MOST_BYTES, true},
    {FIELD(cache_bytes_per_s), SLOWEST, FASTEST, true},
    {FIELD(elem_ops_per_s), SLOWEST, FASTEST, false},
    {FIELD(launch_ps), 1000, LONGEST, true},
    {FIELD(workers), 1, 1 << 20, false},
    {FIELD(slow_compute_ppm), 1, 100000000, true},
};

static const struct LinkKey {
    const char *key;
    size_t at;
} link_key[] = {
    {"node_link", offsetof(Machine, link) + LINK_NODE * sizeof(LinkCost)},
    {"net_link", offsetof(Machine, link) + LINK_NET * sizeof(LinkCost)},
    {"copy_link", offsetof(Machine, copy)},
};

const char *const target_name[N_TARGETS] = {[TARGET_C] = "c", [TARGET_CUDA] = "cuda"};

static const char *const math_word[N_MATH_TYPES] = {
    [MATH_F32] = "f32", [MATH_BF16] = "bf16", [MATH_F16] = "f16"};

BM_PRINTF(3, 4) static bool fail(Reader *r, const char *key, const char *fmt, ...)
{
    StrBuf s = strbuf_new(r->a);
    if (r->inside)
        strbuf_printf(&s, "%s%s", r->inside, key ? "." : ": ");
    if (key)
        strbuf_printf(&s, "%s: ", key);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&s, fmt, ap);
    va_end(ap);
    diag_error(r->d, NO_SPAN, "%s: %s", r->file, s.text);
    return false;
}

/* ---- values ---- */

/* What is quoted from the file, without bytes that would disturb a terminal. */
static const char *printable(Arena *a, const char *s)
{
    char *t = arena_strdup(a, s);
    for (char *c = t; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F)
            *c = '?';
    return t;
}

static bool range(Reader *r, const char *key, const json_t *v, int64_t lo, int64_t hi, int64_t *out)
{
    if (!json_is_integer(v))
        return fail(r, key, "a whole number is wanted");
    *out = json_integer_value(v);
    if (*out < lo || *out > hi)
        return fail(r, key, "%" PRId64 " is not in %" PRId64 "..%" PRId64, *out, lo, hi);
    return true;
}

static bool get_number(Reader *r, const json_t *o, const Number *n, void *out)
{
    const json_t *v = json_object_get(o, n->key);
    int64_t x = 0;
    if (!v)
        return fail(r, n->key, "missing");
    bool none = n->or_zero && json_is_integer(v) && json_integer_value(v) == 0;
    if (!none && !range(r, n->key, v, n->lo, n->hi, &x))
        return false;
    memcpy((char *)out + n->at, &x, sizeof x);
    return true;
}

/* For people: one line of visible text. */
static bool get_text(Reader *r, const json_t *o, const char *key, const char **out)
{
    const json_t *v = json_object_get(o, key);
    if (!v)
        return fail(r, key, "missing");
    if (!json_is_string(v))
        return fail(r, key, "a string is wanted");
    const char *s = json_string_value(v);
    bool visible = false;
    for (const unsigned char *c = (const unsigned char *)s; *c; c++) {
        if (*c < 0x20 || *c >= 0x7F)
            return fail(r, key, "plain text is wanted, byte 0x%02x is not", *c);
        visible |= *c != ' ';
    }
    if (!visible)
        return fail(r, key, "it is empty");
    *out = arena_strdup(r->a, s);
    return true;
}

static bool get_target(Reader *r, const json_t *o, Target *out)
{
    const json_t *v = json_object_get(o, "target");
    if (!v)
        return fail(r, "target", "missing");
    for (int i = 0; i < N_TARGETS; i++)
        if (json_is_string(v) && strcmp(json_string_value(v), target_name[i]) == 0) {
            *out = (Target)i;
            return true;
        }
    return fail(r, "target", "\"c\" or \"cuda\" is wanted");
}

static bool only(Reader *r, json_t *o, const char *const key[], int n)
{
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *k = json_object_iter_key(it);
        int i = 0;
        while (i < n && strcmp(key[i], k) != 0)
            i++;
        if (i == n)
            return fail(r, NULL, "unknown key '%.60s'", printable(r->a, k));
    }
    return true;
}

/* ---- lists and objects ---- */

static bool get_points(Reader *r, const json_t *o, Machine *m, MathType t)
{
    const char *key = math_word[t];
    const json_t *v = json_object_get(o, key);
    if (!v)
        return fail(r, key, "missing");
    if (!json_is_array(v))
        return fail(r, key, "a list of [size, flops_per_s] is wanted");
    size_t n = json_array_size(v);
    if (n > (size_t)countof(m->rate[t]))
        return fail(r, key, "%zu points, at most %d are kept", n, countof(m->rate[t]));
    if (n == 0 && t == MATH_F32)
        return fail(r, key, "at least one point is wanted");
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(v, i);
        const char *at = arena_printf(r->a, "%s[%zu]", key, i);
        RatePoint *x = &m->rate[t][i];
        if (!json_is_array(p) || json_array_size(p) != 2)
            return fail(r, at, "[size, flops_per_s] is wanted");
        if (!range(r, at, json_array_get(p, 0), 1, 1 << 30, &x->size) ||
            !range(r, at, json_array_get(p, 1), SLOWEST, FASTEST, &x->flops_per_s))
            return false;
        if (i > 0 && x->size <= x[-1].size)
            return fail(r, at, "size %" PRId64 " comes after %" PRId64, x->size, x[-1].size);
    }
    m->n_rate[t] = (int)n;
    return true;
}

static bool get_rates(Reader *r, const json_t *top, Machine *m)
{
    json_t *o = json_object_get(top, "gemm_flops_per_s");
    if (!json_is_object(o))
        return fail(r, "gemm_flops_per_s", o ? "an object is wanted" : "missing");
    r->inside = "gemm_flops_per_s";
    for (int t = 0; t < N_MATH_TYPES; t++)
        if (!get_points(r, o, m, (MathType)t))
            return false;
    bool ok = only(r, o, math_word, N_MATH_TYPES);
    r->inside = NULL;
    return ok;
}

static bool get_link(Reader *r, const json_t *top, const struct LinkKey *l, Machine *m)
{
    static const Number part[] = {
        {"alpha_ps", offsetof(LinkCost, alpha_ps), 1000, LONGEST, true},
        {"bytes_per_s", offsetof(LinkCost, bytes_per_s), SLOWEST, FASTEST, true}};
    static const char *const key[] = {"alpha_ps", "bytes_per_s"};
    json_t *o = json_object_get(top, l->key);
    if (!json_is_object(o))
        return fail(r, l->key, o ? "an object is wanted" : "missing");
    r->inside = l->key;
    LinkCost cost;
    for (int i = 0; i < countof(part); i++)
        if (!get_number(r, o, &part[i], &cost))
            return false;
    if (cost.alpha_ps && !cost.bytes_per_s)
        return fail(r, "alpha_ps", "a link of 0 bytes per second has no latency");
    bool ok = only(r, o, key, countof(key));
    r->inside = NULL;
    memcpy((char *)m + l->at, &cost, sizeof cost);
    return ok;
}

static bool known_keys(Reader *r, json_t *o)
{
    const char *key[countof(number) + countof(link_key) + 4] = {"name", "source", "target",
                                                                "gemm_flops_per_s"};
    int n = 4;
    for (int i = 0; i < countof(number); i++)
        key[n++] = number[i].key;
    for (int i = 0; i < countof(link_key); i++)
        key[n++] = link_key[i].key;
    return only(r, o, key, n);
}

static bool get_machine(Reader *r, json_t *o, Machine *m)
{
    if (!json_is_object(o))
        return fail(r, NULL, "a profile is one object");
    if (!get_text(r, o, "name", &m->name) || !get_text(r, o, "source", &m->source) ||
        !get_target(r, o, &m->target))
        return false;
    for (int i = 0; i < countof(number); i++)
        if (!get_number(r, o, &number[i], m))
            return false;
    if (!get_rates(r, o, m))
        return false;
    for (int i = 0; i < countof(link_key); i++)
        if (!get_link(r, o, &link_key[i], m))
            return false;
    if (!m->cache_bytes != !m->cache_bytes_per_s)
        return fail(r, "cache_bytes", "with cache_bytes_per_s, or both 0");
    if (m->target == TARGET_C && m->host_memory_bytes_per_s != m->memory_bytes_per_s)
        return fail(r, "host_memory_bytes_per_s",
                    "the host's memory is the device's with target c: %" PRId64 " is wanted",
                    m->memory_bytes_per_s);
    return known_keys(r, o);
}

const Machine *machine_read(Arena *a, const char *file, const char *text, size_t n, Diag *d)
{
    Reader r = {a, d, file, NULL};
    json_error_t e;
    json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (!o) {
        diag_error(d, NO_SPAN, "%s:%d:%d: %s", file, e.line, e.column, printable(a, e.text));
        return NULL;
    }
    Machine *m = arena_make(a, Machine);
    bool ok = get_machine(&r, o, m);
    json_decref(o);
    return ok ? m : NULL;
}

int64_t machine_taken(const Machine *m, int64_t arena_bytes, int64_t host_bytes)
{
    int64_t both;
    if (m && m->target == TARGET_CUDA)
        return arena_bytes;
    return add_ok(arena_bytes, host_bytes, &both) ? both : INT64_MAX;
}

/* ---- writing ---- */

static void print_points(StrBuf *s, const Machine *m, MathType t)
{
    strbuf_printf(s, "    \"%s\": [", math_word[t]);
    for (int i = 0; i < m->n_rate[t]; i++)
        strbuf_printf(s, "%s[%" PRId64 ", %" PRId64 "]", i ? ", " : "", m->rate[t][i].size,
                      m->rate[t][i].flops_per_s);
    strbuf_printf(s, "]%s\n", t + 1 < N_MATH_TYPES ? "," : "");
}

void machine_print(StrBuf *s, const Machine *m)
{
    strbuf_add(s, "{\n  \"name\": ");
    strbuf_json(s, m->name);
    strbuf_add(s, ",\n  \"source\": ");
    strbuf_json(s, m->source);
    strbuf_printf(s, ",\n  \"target\": \"%s\"", target_name[m->target]);
    for (int i = 0; i < countof(number); i++) {
        int64_t x;
        memcpy(&x, (const char *)m + number[i].at, sizeof x);
        strbuf_printf(s, ",\n  \"%s\": %" PRId64, number[i].key, x);
    }
    strbuf_add(s, ",\n  \"gemm_flops_per_s\": {\n");
    for (int t = 0; t < N_MATH_TYPES; t++)
        print_points(s, m, (MathType)t);
    strbuf_add(s, "  }");
    for (int i = 0; i < countof(link_key); i++) {
        LinkCost l;
        memcpy(&l, (const char *)m + link_key[i].at, sizeof l);
        strbuf_printf(s, ",\n  \"%s\": {\"alpha_ps\": %" PRId64 ", \"bytes_per_s\": %" PRId64 "}",
                      link_key[i].key, l.alpha_ps, l.bytes_per_s);
    }
    strbuf_add(s, "\n}\n");
}

/* ---- which ---- */

const char *const *machine_names(int *n)
{
    *n = countof(inside_name);
    return inside_name;
}

static void tell_names(Arena *a, const char *name, Diag *d)
{
    StrBuf s = strbuf_new(a);
    Map *names = map_new(a);
    for (int i = 0; i < countof(inside_name); i++) {
        map_put(names, inside_name[i], NULL);
        strbuf_printf(&s, "%s%s", i ? ", " : "", inside_name[i]);
    }
    const char *near = map_nearest(names, name);
    diag_error(d, NO_SPAN, "no machine profile is called '%s'%s%s%s", printable(a, name),
               near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
    diag_help(d, "there are %s; or a file that `bmc calibrate -o FILE.json` wrote", s.text);
}

const Machine *machine_find(Arena *a, const char *name, Diag *d)
{
    for (int i = 0; i < countof(inside_name); i++)
        if (strcmp(name, inside_name[i]) == 0)
            return machine_read(a, name, inside_text[i], strlen(inside_text[i]), d);
    struct stat st;
    size_t n = strlen(name);
    bool file = strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".json") == 0);
    if (!file && stat(name, &st) != 0) {
        tell_names(a, name, d);
        return NULL;
    }
    Sources *own = sources_new(a);
    const char *why = NULL;
    int i = source_read(own, name, &why);
    if (i < 0) {
        diag_error(d, NO_SPAN, "%s", why);
        diag_help(d, "`bmc calibrate -o FILE.json` writes a profile of this machine");
        return NULL;
    }
    const Source *s = own->list.v[i];
    return machine_read(a, name, s->text, (size_t)s->n, d);
}
