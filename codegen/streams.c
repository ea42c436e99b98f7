/* streams.c - what the communication and the copy stream run, as tables: one line per step. */
#include "codegen/emit_c.h"

#include <inttypes.h>

static const char *const program_name[N_PROGRAMS] = {"train", "eval", "sample"};
static const char *const phase_name[N_PHASES] = {"pre", "weight", "mid", "round", "post", "update"};
static const char *const stream_name[N_STREAMS] = {"compute", "comm", "copy"};

static void print_place(const Emit *e, StrBuf *s, const Operand *o)
{
    const Buffer *x = &e->p->buffer.v[o->buffer];
    strbuf_printf(s, "{%" PRId64 ", %" PRId64 ", %s}", x->offset + o->offset, o->by_rank,
                  x->host ? "true" : "false");
}

static const char *op_kind(const Step *s)
{
    switch (s->kernel->kind) {
    case K_ALL_GATHER:
        return "BMRT_ALL_GATHER";
    case K_REDUCE_SCATTER:
        return "BMRT_REDUCE_SCATTER";
    case K_ALL_REDUCE:
        return "BMRT_ALL_REDUCE";
    case K_COPY:
        return "BMRT_COPY_BYTES";
    default:
        BUG("step %d (%s) is on no stream of its own", s->id, s->path);
    }
}

/* {to, from, elems, stride} */
static int print_copy(const Emit *e, StrBuf *s, const Step *x)
{
    const Segment *g = &x->kernel->coll.segment[0];
    strbuf_add(s, "(const bmrt_segment[]){{");
    print_place(e, s, &x->arg[1]);
    strbuf_add(s, ", ");
    print_place(e, s, &x->arg[0]);
    strbuf_printf(s, ", %" PRId64 ", %" PRId64 "}}", g->elems, g->stride);
    return x->kernel->n_arg;
}

/* {whole, shard, elems, stride} of each segment; an all-reduce works in place. */
static int print_segments(const Emit *e, StrBuf *s, const Step *x)
{
    const Collective *c = &x->kernel->coll;
    bool in_place = x->kernel->kind == K_ALL_REDUCE;
    int arg = 0;
    strbuf_add(s, "(const bmrt_segment[]){");
    for (int i = 0; i < c->n_segment; i++) {
        if (i)
            strbuf_add(s, ", ");
        strbuf_char(s, '{');
        Operand whole = x->arg[arg++];
        print_place(e, s, &whole);
        strbuf_add(s, ", ");
        if (in_place)
            whole.by_rank = c->segment[i].stride * 4;
        print_place(e, s, in_place ? &whole : &x->arg[arg++]);
        strbuf_printf(s, ", %" PRId64 ", %" PRId64 "}", c->segment[i].elems, c->segment[i].stride);
    }
    strbuf_char(s, '}');
    return arg;
}

static void print_op(const Emit *e, StrBuf *s, const Step *x)
{
    const Collective *c = &x->kernel->coll;
    strbuf_printf(s, "    {%d, %s, %d, {%d, %d, %d}, ", x->id, op_kind(x), (int)x->when, x->wait[0],
                  x->wait[1], x->wait[2]);
    c_string(s, x->path);
    strbuf_add(s, ", ");
    int staging = x->kernel->kind == K_COPY ? print_copy(e, s, x) : print_segments(e, s, x);
    int64_t at = staging < x->kernel->n_arg ? e->p->buffer.v[x->arg[staging].buffer].offset : 0;
    strbuf_printf(s, ", %d, %" PRId64 ", %" PRId64 ", %s, %s},\n", c->n_segment, at, c->chunk,
                  c->accumulates ? "true" : "false", c->tree ? "true" : "false");
}

static int print_ops(const Emit *e, StrBuf *s, ProgramKind g, Phase f, Stream stream)
{
    const ProgramPlan *p = &e->p->program[g];
    int n = 0;
    for (int k = p->first[f]; k < p->first[f] + p->count[f]; k++) {
        if (e->p->step.v[k].stream != stream)
            continue;
        if (!n++)
            strbuf_printf(s, "static const bmrt_op %s_%s_%s[] = {\n", program_name[g],
                          phase_name[f], stream_name[stream]);
        print_op(e, s, &e->p->step.v[k]);
    }
    if (n)
        strbuf_add(s, "};\n");
    return n;
}

void emit_streams(const Emit *e, StrBuf *s, StrBuf *init, ProgramKind g)
{
    for (int stream = STREAM_COMM; stream < N_STREAMS; stream++) {
        StrBuf table = strbuf_new(e->a);
        for (int f = 0; f < N_PHASES; f++) {
            int n = print_ops(e, s, g, (Phase)f, (Stream)stream);
            if (n)
                strbuf_printf(&table, "    [%d] = {%s_%s_%s, %d},\n", f, program_name[g],
                              phase_name[f], stream_name[stream], n);
        }
        if (!table.n)
            continue;
        strbuf_printf(s, "static const bmrt_ops %s_%s[BMRT_PHASES] = {\n%s};\n\n", program_name[g],
                      stream_name[stream], table.text);
        strbuf_printf(init, ",\n        .%s = %s_%s", stream_name[stream], program_name[g],
                      stream_name[stream]);
    }
}
