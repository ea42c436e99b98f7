/* emit.c - trainer.c: the memory map, one function per class of blocks, one per phase, the tables
 * of the model, main(). */
#include "codegen/emit_c.h"

#include "codegen/cc.h"
#include "codegen/kernel_c.h"

#include <inttypes.h>
#include <string.h>

static const char *const program_name[N_PROGRAMS] = {"train", "eval", "sample"};
static const char *const phase_name[N_PHASES] = {"pre", "weight", "mid", "round", "post", "update"};

/* ---- functions of block classes ----------------------------------------------------------- */

static void print_table(Emit *e, StrBuf *s, const Blocks *b, const RunClass *c)
{
    strbuf_printf(s, "static const struct %s_at {\n    const char *path;\n    int step;\n",
                  c->name);
    for (int i = 0; i < c->column.n; i++)
        strbuf_printf(s, "    %s %s;\n", c->column.v[i].key ? "uint64_t" : "int64_t",
                      c->column.v[i].name);
    strbuf_printf(s, "} %s_at[%d] = {\n", c->name, c->n_row);
    for (int row = 0; row < c->n_row; row++) {
        const Run *r = &b->run.v[c->run[row]];
        strbuf_add(s, "    {");
        c_string(s, e->p->instance[r->unit].path);
        strbuf_printf(s, ", %d", r->step.v[0]);
        for (int i = 0; i < c->column.n; i++)
            strbuf_printf(s, c->column.v[i].key ? ", 0x%016" PRIx64 : ", %" PRId64,
                          c->column.v[i].value[row]);
        strbuf_add(s, "},\n");
    }
    strbuf_add(s, "};\n\n");
}

static void print_locals(StrBuf *s, const Body *uses, bool region)
{
    if (!uses->nb)
        strbuf_add(s, "    (void)nb;\n");
    if (region && !uses->s)
        strbuf_add(s, "    (void)s;\n");
    if (uses->draw)
        strbuf_add(s, "    bmrt_draw draw = {r->seed, r->step, r->sample0};\n");
}

static void print_class(Emit *e, const Blocks *b, const RunClass *c)
{
    const Run *r = &b->run.v[c->run[0]];
    StrBuf text = strbuf_new(e->a);
    Body uses = {0};
    for (int i = 0; i < r->step.n; i++)
        emit_step(e, &text, &uses, b, r, i);
    StrBuf *s = &e->body;
    const Instance *unit = &e->p->instance[r->unit];
    bool table = c->n_row > 1;
    if (table)
        print_table(e, s, b, c);
    bool parts = e->p->program[b->program].region_parts > 0;
    strbuf_printf(s, "/* %s: %s%s */\n", unit->block,
                  table ? unit_pattern(e->a, unit->path) : unit->path,
                  !r->region ? ""
                  : parts    ? ", part s of the micro-batch's samples (nb is 1)"
                             : ", nb samples from sample s of the micro-batch on");
    strbuf_printf(s, "static void %s(bmrt *r, int64_t nb%s", c->name,
                  r->region ? ", int64_t s" : "");
    if (table)
        strbuf_printf(s, ", const struct %s_at *at", c->name);
    strbuf_add(s, ")\n{\n");
    print_locals(s, &uses, r->region);
    strbuf_add(s, text.text ? text.text : "");
    strbuf_add(s, "}\n\n");
}

/* ---- phases ------------------------------------------------------------------------------- */

/* Do runs at i and i + period and so on serve the same classes, their rows one after the other? */
static int repeats(const Blocks *b, int i, int period)
{
    int n = 1;
    for (;; n++) {
        for (int k = 0; k < period; k++) {
            int at = i + n * period + k;
            if (at >= b->run.n || b->run.v[at].cls < 0 || b->run.v[at].cls != b->run.v[i + k].cls)
                return n;
        }
    }
}

static void call_row(StrBuf *s, const Blocks *b, const Run *r, const char *row)
{
    const RunClass *c = &b->cls.v[r->cls];
    strbuf_printf(s, "%s(r, nb%s", c->name, r->region ? ", s" : "");
    if (c->n_row > 1)
        strbuf_printf(s, ", &%s_at[%s]", c->name, row);
    strbuf_add(s, ");\n");
}

/* Calls of block functions from run i on; returns the run after them. */
static int call_blocks(Emit *e, StrBuf *s, const Blocks *b, int i)
{
    int best = 1, times = 1;
    for (int period = 1; period <= 8; period++) {
        bool blocks = true, distinct = true;
        for (int k = 0; k < period; k++) {
            blocks = blocks && i + k < b->run.n && b->run.v[i + k].cls >= 0;
            for (int j = 0; j < k && blocks; j++)
                distinct = distinct && b->run.v[i + k].cls != b->run.v[i + j].cls;
        }
        if (!blocks || !distinct)
            break;
        int n = repeats(b, i, period);
        if (n > 1 && n * period > times * best) {
            best = period;
            times = n;
        }
    }
    if (times == 1) {
        const Run *r = &b->run.v[i];
        strbuf_printf(s, "    /* %s */\n    ", e->p->instance[r->unit].path);
        call_row(s, b, r, arena_printf(e->a, "%d", r->row));
        return i + 1;
    }
    strbuf_printf(s, "    /* %s to %s */\n    for (int i = 0; i < %d; i++) {\n",
                  e->p->instance[b->run.v[i].unit].path,
                  e->p->instance[b->run.v[i + (times - 1) * best].unit].path, times);
    for (int k = 0; k < best; k++) {
        const Run *r = &b->run.v[i + k];
        strbuf_add(s, "        ");
        call_row(s, b, r, r->row ? arena_printf(e->a, "%d + i", r->row) : "i");
    }
    strbuf_add(s, "    }\n");
    return i + times * best;
}

/* Runs i..end-1: calls of block functions, and what belongs to no block. */
static void print_runs(Emit *e, StrBuf *s, Body *uses, const Blocks *b, int i, int end)
{
    while (i < end) {
        const Run *r = &b->run.v[i];
        if (r->cls >= 0) {
            i = call_blocks(e, s, b, i);
            uses->nb = true;
            uses->s = uses->s || r->region;
            continue;
        }
        for (int k = 0; k < r->step.n; k++)
            emit_step(e, s, uses, b, r, k);
        i++;
    }
}

/* The loop over chunks of samples. Draws go by the sample. */
static void loop_over_samples(StrBuf *s, const char *name, int64_t samples)
{
    strbuf_printf(s,
                  "    /* %" PRId64
                  " samples at a time, so that what lives in between is small */\n"
                  "    {\n"
                  "        const bool first = r->first;\n"
                  "        const int64_t sample0 = r->sample0;\n"
                  "        for (int64_t s = 0; s < nb; s += %" PRId64 ") {\n"
                  "            r->sample0 = sample0 + s;\n"
                  "            bmrt_chunk(s, 0);\n"
                  "            %s(r, nb - s < %" PRId64 " ? nb - s : %" PRId64 ", s);\n"
                  "            r->first = false;\n"
                  "        }\n"
                  "        bmrt_chunk(0, 0);\n"
                  "        r->first = first;\n"
                  "        r->sample0 = sample0;\n"
                  "    }\n",
                  samples, samples, name, samples, samples);
}

/* Or over parts of them, in which nothing is drawn. */
static void loop_over_parts(StrBuf *s, const char *name, int64_t parts)
{
    strbuf_printf(s,
                  "    /* each sample in %" PRId64
                  " parts of its rows, so that what lives in between is small */\n"
                  "    {\n"
                  "        const bool first = r->first;\n"
                  "        for (int64_t s = 0; s < nb * %" PRId64 "; s++) {\n"
                  "            bmrt_chunk(s, %" PRId64 ");\n"
                  "            %s(r, 1, s);\n"
                  "            r->first = false;\n"
                  "        }\n"
                  "        bmrt_chunk(0, 0);\n"
                  "        r->first = first;\n"
                  "    }\n",
                  parts, parts, parts, name);
}

/* Runs of one region as a function of its own, and the loop that calls it. */
static void print_region(Emit *e, StrBuf *s, const Blocks *b, int i, int end)
{
    const ProgramPlan *g = &e->p->program[b->program];
    StrBuf text = strbuf_new(e->a);
    Body uses = {0};
    print_runs(e, &text, &uses, b, i, end);
    const char *name = unique_word(
        e->a, e->names,
        arena_printf(e->a, "%s_%s_chunk", program_name[b->program], phase_name[b->phase]));
    strbuf_printf(&e->body,
                  "/* %s */\n"
                  "static void %s(bmrt *r, int64_t nb, int64_t s)\n{\n",
                  g->region_parts ? "part s of the micro-batch's samples: kernels see it as the "
                                    "one sample there is (nb is 1)"
                                  : "nb samples from sample s of the micro-batch on",
                  name);
    print_locals(&e->body, &uses, true);
    strbuf_add(&e->body, text.text);
    strbuf_add(&e->body, "}\n\n");
    if (g->region_parts)
        loop_over_parts(s, name, g->region_parts);
    else
        loop_over_samples(s, name, g->region_samples);
}

static void print_phase(Emit *e, ProgramKind program, Phase phase)
{
    Blocks b = blocks_make(e->a, e->p, e->same, program, phase, e->names);
    for (int c = 0; c < b.cls.n; c++)
        print_class(e, &b, &b.cls.v[c]);
    StrBuf text = strbuf_new(e->a);
    Body uses = {0};
    for (int i = 0, end; i < b.run.n; i = end) {
        int region = b.run.v[i].region;
        for (end = i + 1; end < b.run.n && b.run.v[end].region == region;)
            end++;
        if (!region) {
            print_runs(e, &text, &uses, &b, i, end);
            continue;
        }
        print_region(e, &text, &b, i, end);
        uses.nb = true;
    }
    strbuf_printf(&e->body, "static void %s_%s(bmrt *r, int64_t nb)\n{\n", program_name[program],
                  phase_name[phase]);
    print_locals(&e->body, &uses, false);
    strbuf_add(&e->body, text.n ? text.text : "    (void)r; /* all of it is other streams' */\n");
    strbuf_add(&e->body, "}\n\n");
}

/* ---- the file ----------------------------------------------------------------------------- */

static void print_header(const Emit *e, StrBuf *s)
{
    const Plan *p = e->p;
    strbuf_printf(s,
                  "/* trainer.c - trains %s.\n *\n"
                  " * Written by bmc; plan %016" PRIx64 ". It carries out the plan in plan.json:\n"
                  " * every byte has its place in one arena, every kernel its turn. By hand:\n"
                  " *   cc %s -I BMC/include \\\n"
                  " *      trainer.c kernels.c BMC/lib/libbmrt.a %s -o trainer\n"
                  " * With -DBM_TRACE each step's id is told to bmrt_trace() before it runs. */\n"
                  "#include \"bmrt.h\"\n\n",
                  p->model->name, p->hash, cc_flags(), cc_libraries());
    strbuf_add(s, "#ifdef BM_TRACE\nvoid bmrt_trace(bmrt *r, int step);\n"
                  "#define STEP(id) bmrt_trace(r, id)\n#else\n"
                  "#define STEP(id) ((void)0)\n#endif\n");
    if (p->ranks > 1 || p->host_bytes || e->debug)
        strbuf_printf(s,
                      "/* %s */\n"
                      "#define SYNC(id) (STEP(id), bmrt_step_begin(r, id))\n",
                      e->debug ? "what is free is told"
                               : "where another stream works beside this one");
    if (e->debug)
        strbuf_add(s, "/* it has waited for all that it has to */\n"
                      "#define CHECK(id) bmrt_check(r, id)\n");
    if (e->watched)
        strbuf_add(s, "/* a value with a name is there (--inspect) */\n"
                      "#define WATCHED(id) (r->watches ? bmrt_watched(r, id, 0, nb) : (void)0)\n");
    if (e->watched_chunk)
        strbuf_add(
            s, "/* nb samples of it, from sample s of the micro-batch on */\n"
               "#define WATCHED_CHUNK(id) (r->watches ? watched_chunk(r, id, s, nb) : (void)0)\n"
               "static void watched_chunk(bmrt *r, int id, int64_t s, int64_t nb)\n{\n"
               "    r->sample0 -= s;\n"
               "    bmrt_watched(r, id, s, nb);\n"
               "    r->sample0 += s;\n}\n");
    if (e->watched_part)
        strbuf_add(s, "/* part s of it */\n"
                      "#define WATCHED_PART(id) (r->watches ? bmrt_watched(r, id, s, nb) : "
                      "(void)0)\n");
    strbuf_char(s, '\n');
}

static void print_kernel_names(const Emit *e, StrBuf *s)
{
    strbuf_add(s, "/* kernels.c */\n");
    for (int i = 0; i < e->p->kernel.n; i++) {
        const Kernel *k = e->p->kernel.v[i];
        if (e->same[i] == i && !is_runtime_call(k->kind))
            strbuf_printf(s, "bmrt_kernel %s;\n", k->name);
    }
    strbuf_char(s, '\n');
}

static void print_map(const Emit *e, StrBuf *s)
{
    static const char *const role[N_ROLES] = {"parameter", "state",    "buffer", "host",
                                              "input",     "gradient", "saved",  "temporary",
                                              "gathered",  "staging"};
    strbuf_printf(
        s,
        "/* Places in the arena of %" PRId64 " bytes, %" PRId64 " of them for the whole "
        "run; those of blocks are in\n * the tables below. Others share memory when their "
        "turns do not meet. */\n",
        e->p->arena_bytes, e->p->persistent_bytes);
    if (e->p->host_bytes)
        strbuf_printf(s, "/* Others are in the host's arena of %" PRId64 " bytes. */\n",
                      e->p->host_bytes);
    for (int i = 0; i < e->mapped.n; i++) {
        const Buffer *x = &e->p->buffer.v[e->mapped.v[i]];
        strbuf_printf(s, "#define %s %" PRId64 " /* %s: %s, %" PRId64 " bytes", e->label[x->id],
                      x->offset, x->path, role[x->role], x->bytes);
        if (x->host)
            strbuf_add(s, " of the host's arena");
        if (!x->persistent)
            strbuf_printf(s, ", %s %d..%d", program_name[x->program], x->first, x->last);
        strbuf_add(s, " */\n");
    }
    strbuf_char(s, '\n');
}

static bool print_trainer(StrBuf *s, const Plan *p, bool debug)
{
    Emit e = {.p = p, .a = s->arena, .debug = debug};
    e.same = kernel_same(e.a, p);
    e.names = map_new(e.a);
    e.at = map_new(e.a);
    e.label = arena_array(e.a, const char *, p->buffer.n + 1);
    e.body = strbuf_new(e.a);
    for (int g = 0; g < N_PROGRAMS; g++)
        for (int f = 0; f < N_PHASES && p->program[g].present; f++)
            if (p->program[g].count[f])
                print_phase(&e, (ProgramKind)g, (Phase)f);
    StrBuf tables = strbuf_new(e.a);
    emit_tables(&e, &tables);
    print_header(&e, s);
    print_kernel_names(&e, s);
    print_map(&e, s);
    strbuf_addn(s, e.body.text ? e.body.text : "", e.body.n);
    strbuf_addn(s, tables.text, tables.n);
    return true;
}

bool emit_trainer(StrBuf *s, const Plan *p)
{
    return print_trainer(s, p, false);
}

bool emit_trainer_debug(StrBuf *s, const Plan *p)
{
    return print_trainer(s, p, true);
}
