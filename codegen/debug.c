/* debug.c - what a trainer compiled with --debug knows besides: which buffers each step reads and
 * writes (BMRT_CHECK), and which memory nobody uses after it (BMRT_POISON). */
#include "codegen/emit_c.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const program_name[N_PROGRAMS] = {"train", "eval", "sample"};
static const char *const phase_name[N_PHASES] = {"pre", "weight", "mid", "round", "post", "update"};
static const char *const stream_name[N_STREAMS] = {"compute", "comm", "copy"};

/* Steps of a region run chunk by chunk: they are over when its last one is. */
static int over_with(const Plan *p, const Step *s)
{
    int k = s->id;
    for (int i = k + 1; s->region && i < p->step.n && p->step.v[i].region == s->region; i++)
        if (p->step.v[i].phase == s->phase && p->step.v[i].program == s->program)
            k = i;
    return k;
}

/* ---- what steps use ----------------------------------------------------------------------- */

static void print_buffers(const Emit *e, StrBuf *s, StrBuf *init)
{
    strbuf_add(s, "static const bmrt_buffer buffers[] = {\n");
    for (int i = 0; i < e->p->buffer.n; i++) {
        const Buffer *x = &e->p->buffer.v[i];
        strbuf_add(s, "    {");
        c_string(s, x->path);
        strbuf_printf(s, ", %" PRId64 ", %" PRId64 ", %s},\n", x->offset, x->bytes,
                      x->host ? "true" : "false");
    }
    strbuf_add(s, "};\n\n");
    strbuf_printf(init, "    .buffer = buffers, .n_buffer = %d,\n", e->p->buffer.n);
}

static void print_step(const Emit *e, StrBuf *s, const Step *x)
{
    strbuf_printf(s, "    {%d, %d, %d, ", x->id, over_with(e->p, x), (int)x->when);
    c_string(s, x->path && *x->path ? x->path : e->p->model->name);
    strbuf_add(s, ", (const int[]){");
    for (int i = 0; i < x->kernel->n_arg; i++)
        strbuf_printf(s, "%s%d", i ? ", " : "",
                      2 * x->arg[i].buffer + (x->kernel->arg_written[i] ? 1 : 0));
    strbuf_printf(s, "}, %d},\n", x->kernel->n_arg);
}

static void print_uses(const Emit *e, StrBuf *s, StrBuf *init, ProgramKind g)
{
    const ProgramPlan *p = &e->p->program[g];
    StrBuf table = strbuf_new(e->a);
    for (int f = 0; f < N_PHASES; f++)
        for (int stream = 0; stream < N_STREAMS; stream++) {
            int n = 0;
            for (int k = p->first[f]; k < p->first[f] + p->count[f]; k++) {
                if ((int)e->p->step.v[k].stream != stream)
                    continue;
                if (!n++)
                    strbuf_printf(s, "static const bmrt_uses %s_%s_%s_uses[] = {\n",
                                  program_name[g], phase_name[f], stream_name[stream]);
                print_step(e, s, &e->p->step.v[k]);
            }
            if (!n)
                continue;
            strbuf_add(s, "};\n");
            strbuf_printf(&table, "    [%d] = {%s_%s_%s_uses, %d},\n", f * N_STREAMS + stream,
                          program_name[g], phase_name[f], stream_name[stream], n);
        }
    strbuf_printf(s, "static const bmrt_used %s_uses[BMRT_PHASES * BMRT_STREAMS] = {\n%s};\n\n",
                  program_name[g], table.n ? table.text : "    {NULL, 0},\n");
    strbuf_printf(init, ",\n        .uses = %s_uses", program_name[g]);
}

/* ---- what is free ------------------------------------------------------------------------- */

typedef struct Free {
    int step, when, need[N_STREAMS];
    Stream stream;
    Phase phase;
    const Buffer *buffer;
} Free;

typedef VEC(Free) Frees;

/* Read by the host when it likes. */
static bool is_result(const Plan *p, int buffer)
{
    for (int i = 0; i < p->term.n; i++)
        if (p->term.v[i].num.buffer == buffer || p->term.v[i].den.buffer == buffer)
            return true;
    for (int g = 0; g < N_PROGRAMS; g++)
        if (p->program[g].present &&
            (p->program[g].norm.buffer == buffer || p->program[g].logits.buffer == buffer))
            return true;
    return false;
}

static bool uses(const Step *s, int buffer)
{
    for (int i = 0; i < s->kernel->n_arg; i++)
        if (s->arg[i].buffer == buffer)
            return true;
    return false;
}

/* Does somebody else have bytes of it before `step` is over? A region's end may be that late. */
static bool taken_by(const Plan *p, const Buffer *x, int step)
{
    for (int i = p->n_persistent; i < p->buffer.n; i++) {
        const Buffer *y = &p->buffer.v[i];
        if (y->program == x->program && y->host == x->host && y->first > x->last &&
            y->first <= step && y->offset < x->offset + x->bytes &&
            x->offset < y->offset + y->bytes)
            return true;
    }
    return false;
}

static Phase phase_at(const ProgramPlan *g, int step)
{
    int f = N_PHASES - 1;
    while (f > 0 && (!g->count[f] || g->first[f] > step))
        f--;
    return (Phase)f;
}

/* The end of a buffer's life; false: it is none that can be told. */
static bool find_free(const Plan *p, const Buffer *x, Free *out)
{
    const ProgramPlan *g = &p->program[x->program];
    if (x->first < 0 || x->bytes == 0 || is_result(p, x->id))
        return false;
    Phase f = phase_at(g, x->last);
    int first = g->first[f], end = first + g->count[f];
    *out = (Free){-1, 0, {-1, -1, -1}, STREAM_COMPUTE, f, x};
    for (int k = first; k < end; k++) {
        const Step *s = &p->step.v[k];
        if (uses(s, x->id))
            out->need[s->stream] = over_with(p, s);
    }
    for (int i = 0; i < N_STREAMS; i++)
        if (out->need[i] > out->step) {
            out->step = out->need[i];
            out->stream = (Stream)i;
        }
    if (out->step < 0 || taken_by(p, x, out->step))
        return false;
    bool loop = f == PHASE_WEIGHT || f == PHASE_ROUND;
    bool stays = loop && (x->first <= first || x->last >= end - 1); /* from round to round */
    When when = p->step.v[out->step].when; /* where a stream passes over the step, others may
                                              have the memory */
    out->when = stays ? 2 : (int)when;
    return !stays || when != WHEN_FIRST;
}

static int by_step(const void *a, const void *b)
{
    const Free *x = a, *y = b;
    return x->step != y->step ? (x->step < y->step ? -1 : 1)
                              : (x->buffer->id > y->buffer->id) - (x->buffer->id < y->buffer->id);
}

static int print_list(const Frees *all, StrBuf *s, ProgramKind g, Phase f, Stream stream)
{
    int n = 0;
    for (int i = 0; i < all->n; i++) {
        const Free *x = &all->v[i];
        if (x->phase != f || x->stream != stream)
            continue;
        if (!n++)
            strbuf_printf(s, "static const bmrt_free %s_%s_%s_frees[] = {\n", program_name[g],
                          phase_name[f], stream_name[stream]);
        strbuf_printf(s, "    {%d, %d, {%d, %d, %d}, %" PRId64 ", %" PRId64 ", %s},\n", x->step,
                      x->when, x->need[0], x->need[1], x->need[2], x->buffer->offset,
                      x->buffer->bytes, x->buffer->host ? "true" : "false");
    }
    if (n)
        strbuf_add(s, "};\n");
    return n;
}

static void print_frees(const Emit *e, StrBuf *s, StrBuf *init, ProgramKind g)
{
    const Plan *p = e->p;
    Frees all = {0};
    for (int i = p->n_persistent; i < p->buffer.n; i++) {
        Free x;
        if (p->buffer.v[i].program == g && find_free(p, &p->buffer.v[i], &x))
            vec_push(e->a, &all, x);
    }
    if (all.n)
        qsort(all.v, (size_t)all.n, sizeof *all.v, by_step);
    StrBuf table = strbuf_new(e->a);
    for (int f = 0; f < N_PHASES; f++)
        for (int stream = 0; stream < N_STREAMS; stream++) {
            int n = print_list(&all, s, g, (Phase)f, (Stream)stream);
            if (n)
                strbuf_printf(&table, "    [%d] = {%s_%s_%s_frees, %d},\n", f * N_STREAMS + stream,
                              program_name[g], phase_name[f], stream_name[stream], n);
        }
    strbuf_printf(s, "static const bmrt_frees %s_frees[BMRT_PHASES * BMRT_STREAMS] = {\n%s};\n\n",
                  program_name[g], table.n ? table.text : "    {NULL, 0},\n");
    strbuf_printf(init, ",\n        .frees = %s_frees", program_name[g]);
}

void emit_debug_program(const Emit *e, StrBuf *s, StrBuf *init, ProgramKind g)
{
    if (!e->debug)
        return;
    print_uses(e, s, init, g);
    print_frees(e, s, init, g);
}

void emit_debug(const Emit *e, StrBuf *s, StrBuf *init)
{
    if (e->debug)
        print_buffers(e, s, init);
}
