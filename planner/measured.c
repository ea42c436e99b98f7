/* measured.c - figures of bmrt_probe into a Machine; what it cannot measure is derived, and the
 * profile's source says so. */
#include "planner/measured.h"

#include <jansson.h>

enum {
    /* Code, arguments and results that a hot loop has near and a trainer's next kernel has not. */
    COLD_PS = 150000,
    ALPHA_PS = 2000000, /* of a message between processes of one machine */
    ATTENTION_SIZE = 64 /* its products are tiles of 64 queries by 64 keys */
};

typedef struct Figures {
    json_int_t threads, cores, ranks, memory, stream, cache, near, elem, launch, copy, slow;
    const char *library;
    json_t *gemm;
} Figures;

static int64_t rounded(int64_t rate) /* profiles are read by people */
{
    int64_t unit = 1000000;
    return max64(rate / unit * unit, unit);
}

static bool points(Machine *m, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n == 0 || n > (size_t)countof(m->rate[0]))
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(list, i);
        RatePoint *x = &m->rate[MATH_F32][i];
        x->size = json_integer_value(json_array_get(p, 0));
        x->flops_per_s = rounded(json_integer_value(json_array_get(p, 1)));
        if (x->size < 1 || (i > 0 && x->size <= x[-1].size))
            return false;
        if (x->size == ATTENTION_SIZE)
            m->attention_flops_per_s = x->flops_per_s;
    }
    m->n_rate[MATH_F32] = (int)n;
    return true;
}

static const char *source_of(Arena *a, const Figures *f, bool linked)
{
    const char *said =
        linked ? "links between ranks: an all-gather by bmrt_probe_link."
               : arena_printf(a,
                              "links between ranks: derived, two copies through memory, %d us a "
                              "message.",
                              ALPHA_PS / 1000000);
    return arena_printf(a,
                        "bmc calibrate: bmrt_probe, %lld ranks with %lld threads each, products by "
                        "%s; %s Derived: attention at the rate of products of size %d, nine tenths "
                        "of the memory.",
                        (long long)f->ranks, (long long)f->threads, f->library, said,
                        ATTENTION_SIZE);
}

static Machine *machine_of(Arena *a, const Figures *f, const LinkCost *link)
{
    Machine *m = arena_make(a, Machine);
    if (!points(m, f->gemm))
        return NULL;
    if (!m->attention_flops_per_s)
        m->attention_flops_per_s = m->rate[MATH_F32][m->n_rate[MATH_F32] - 1].flops_per_s;
    m->name = "this-machine";
    m->target = TARGET_C;
    m->source = source_of(a, f, link != NULL);
    int64_t ranks = max64(f->ranks, 1);
    m->memory_bytes = f->memory / 10 * 9 / ranks / (1 << 20) * (1 << 20);
    m->ranks_per_node = max64(ranks, f->cores);
    m->memory_bytes_per_s = m->host_memory_bytes_per_s = rounded(f->stream);
    m->cache_bytes = f->cache;
    m->cache_bytes_per_s = f->cache ? rounded(f->near) : 0;
    m->elem_ops_per_s = rounded(f->elem);
    m->launch_ps = f->launch + COLD_PS;
    m->workers = max64(f->threads, 1);
    m->link[LINK_NODE] = link ? *link : (LinkCost){ALPHA_PS, rounded(f->copy / 2)};
    m->copy = (LinkCost){m->launch_ps, rounded(f->copy)};
    m->slow_compute_ppm = f->slow;
    return m;
}

static bool read_probe(const json_t *o, Figures *f, json_error_t *e)
{
    json_t *all = (json_t *)(uintptr_t)o; /* jansson wants it, and changes nothing */
    return json_unpack_ex(
               all, e, JSON_STRICT, "{s:I,s:I,s:I,s:I,s:s,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
               "threads", &f->threads, "cores", &f->cores, "ranks", &f->ranks, "memory_bytes",
               &f->memory, "library", &f->library, "gemm", &f->gemm, "memory_bytes_per_s",
               &f->stream, "cache_bytes", &f->cache, "cache_bytes_per_s", &f->near,
               "elem_ops_per_s", &f->elem, "launch_ps", &f->launch, "copy_bytes_per_s", &f->copy,
               "slow_compute_ppm", &f->slow) == 0;
}

static bool read_link(const char *text, LinkCost *l, json_error_t *e)
{
    json_int_t ranks, alpha, rate;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, e);
    bool ok = o && json_unpack_ex(o, e, JSON_STRICT, "{s:I,s:I,s:I}", "ranks", &ranks, "alpha_ps",
                                  &alpha, "bytes_per_s", &rate) == 0;
    *l = ok ? (LinkCost){max64(alpha, 1000), rounded(rate)} : (LinkCost){0};
    json_decref(o);
    return ok;
}

const Machine *machine_measured(Arena *a, const char *probe, const char *link, Diag *d)
{
    Figures f;
    LinkCost l;
    json_error_t e = {.text = "figures that no machine has"};
    json_t *o = json_loads(probe, JSON_REJECT_DUPLICATES, &e);
    bool ok = o && read_probe(o, &f, &e) && (!link || read_link(link, &l, &e));
    Machine *m = ok ? machine_of(a, &f, link ? &l : NULL) : NULL;
    if (!m)
        diag_error(d, NO_SPAN, "a probe printed what is no measurement: %s", e.text);
    json_decref(o);
    if (!m)
        return NULL;
    /* through the reader: what is written is what will be read, ranges included */
    StrBuf s = strbuf_new(a);
    machine_print(&s, m);
    return machine_read(a, "bmrt_probe", s.text, s.n, d);
}
