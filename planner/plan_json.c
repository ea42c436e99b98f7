/* plan_json.c - plan.json: everything the plan decides, one buffer, kernel or step a line.
 *
 * The keys DESIGN.md fixes come with these of our own; plan_read.c refuses any other. Numbers are
 * plain integers: bytes; `flops` and `bytes` of a step are those of one turn of its phase (the
 * whole micro-batch). What is not known is null: with "cost_model": "none" no time is predicted. */
#include "planner/plan_read.h"
#include "planner/words.h"

#include <math.h>
#include <string.h>

typedef VEC(int) Starts;

typedef struct Writer {
    StrBuf *s;
    const Plan *p;
    const Sources *sources; /* of the model's spans; NULL: places are not written */
    Starts *line;           /* by source: where its lines start */
} Writer;

/* ---- values ---- */

static void put_int(StrBuf *s, int64_t x)
{
    char t[24];
    int i = countof(t);
    uint64_t u = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    do {
        t[--i] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (x < 0)
        t[--i] = '-';
    strbuf_addn(s, t + i, (size_t)(countof(t) - i));
}

/* Bytes of the UTF-8 sequence at `t`; 0 when there is none. */
static int utf8_length(const unsigned char *t)
{
    int n = t[0] < 0x80                   ? 1
            : t[0] >= 0xC2 && t[0] < 0xE0 ? 2
            : t[0] >= 0xE0 && t[0] < 0xF0 ? 3
            : t[0] >= 0xF0 && t[0] < 0xF5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if ((t[i] & 0xC0) != 0x80)
            return 0;
    if ((t[0] == 0xE0 && t[1] < 0xA0) || (t[0] == 0xED && t[1] > 0x9F) ||
        (t[0] == 0xF0 && t[1] < 0x90) || (t[0] == 0xF4 && t[1] > 0x8F))
        return 0;
    return n;
}

/* A string. A file's name may hold any bytes; what is no UTF-8 becomes U+FFFD. */
static void put_text(StrBuf *s, const char *text)
{
    const unsigned char *t = (const unsigned char *)(text ? text : "");
    strbuf_char(s, '"');
    while (*t) {
        const unsigned char *from = t;
        int n = 1;
        while (*t >= 0x20 && *t != '"' && *t != '\\' && *t != 0x7F && (n = utf8_length(t)) > 0)
            t += n;
        strbuf_addn(s, (const char *)from, (size_t)(t - from));
        if (!*t)
            break;
        if (n == 0)
            strbuf_add(s, "\xEF\xBF\xBD");
        else if (*t == '"' || *t == '\\')
            strbuf_printf(s, "\\%c", *t);
        else
            strbuf_printf(s, "\\u%04x", *t);
        t++;
    }
    strbuf_char(s, '"');
}

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

static void key(StrBuf *s, const char *name)
{
    char last = s->n ? s->text[s->n - 1] : '{';
    if (last != '{' && last != '[')
        strbuf_char(s, ',');
    strbuf_char(s, '"');
    strbuf_add(s, name);
    strbuf_addn(s, "\":", 2);
}

static void key_int(StrBuf *s, const char *name, int64_t x)
{
    key(s, name);
    put_int(s, x);
}

static void key_bool(StrBuf *s, const char *name, bool x)
{
    key(s, name);
    strbuf_add(s, x ? "true" : "false");
}

static void key_text(StrBuf *s, const char *name, const char *x)
{
    key(s, name);
    put_text(s, x);
}

static void key_null(StrBuf *s, const char *name)
{
    key(s, name);
    strbuf_add(s, "null");
}

/* JSON has no infinities: those are words. */
static void key_double(StrBuf *s, const char *name, double x)
{
    key(s, name);
    if (isnan(x))
        strbuf_add(s, "\"nan\"");
    else if (isinf(x))
        strbuf_add(s, x < 0 ? "\"-inf\"" : "\"inf\"");
    else
        strbuf_double(s, x);
}

static void key_operand(StrBuf *s, const char *name, Operand o)
{
    if (o.buffer < 0) {
        key_null(s, name);
        return;
    }
    key(s, name);
    strbuf_char(s, '[');
    put_int(s, o.buffer);
    strbuf_char(s, ',');
    put_int(s, o.offset);
    strbuf_char(s, ']');
}

static void shape(StrBuf *s, const Type *t)
{
    key(s, "shape");
    strbuf_char(s, '[');
    for (int i = 0; i < t->ndim; i++) {
        if (i)
            strbuf_char(s, ',');
        put_int(s, t->dim[i]);
    }
    strbuf_char(s, ']');
    key_text(s, "dtype", dtype_words.word[t->dtype]);
}

/* A list with one entry a line: open, then item() before each, then close. */
static void list_open(StrBuf *s, const char *name)
{
    strbuf_add(s, ",\n");
    strbuf_char(s, '"');
    strbuf_add(s, name);
    strbuf_add(s, "\":[");
}

static void list_item(StrBuf *s, int i)
{
    strbuf_add(s, i ? ",\n{" : "\n{");
}

static void list_close(StrBuf *s, int n)
{
    strbuf_add(s, n ? "\n]" : "]");
}

/* ---- parts ---- */

static void put_head(Writer *w)
{
    StrBuf *s = w->s;
    const Plan *p = w->p;
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)p->hash);
    strbuf_add(s, "{");
    key_int(s, "version", PLAN_FILE_VERSION);
    key_text(s, "hash", hash);
    key_text(s, "model", p->model->name);
    key_text(s, "file", base_name(p->model->file));
    key_int(s, "ranks", p->ranks);
    key_int(s, "micro_batch", p->micro_batch);
    key_int(s, "rounds", p->rounds);
    key_int(s, "batch", p->batch);
    key_int(s, "grain_rows", p->grain_rows);
    key_bool(s, "below_grain", p->below_grain);
    key_bool(s, "fused", p->fused);
    if (p->memory)
        key_int(s, "memory", p->memory);
    else
        key_null(s, "memory");
    key_text(s, "cost_model", "none");
    strbuf_add(s, ",\n\"totals\":{");
    key_int(s, "arena_bytes", p->arena_bytes);
    key_int(s, "persistent_bytes", p->persistent_bytes);
    key_int(s, "max_live_bytes", p->max_live_bytes);
    key_int(s, "host_bytes", p->host_bytes);
    key_null(s, "step_ps");
    key_null(s, "exposed_ps");
    key_int(s, "search_work", p->search_work);
    key_int(s, "flops", p->flops);
    key_int(s, "step_bytes", p->step_bytes);
    strbuf_add(s, "},\n\"bounds\":{");
    key_int(s, "max_live", p->max_live_bytes);
    key_int(s, "at_step", p->max_live_step);
    key_int(s, "gap", p->arena_bytes - p->persistent_bytes - p->max_live_bytes);
    key_bool(s, "proved", p->offsets_proved);
    strbuf_add(s, "},\n\"comm\":[]");
}

static void put_programs(Writer *w)
{
    StrBuf *s = w->s;
    int n = 0;
    list_open(s, "programs");
    for (int i = 0; i < N_PROGRAMS; i++) {
        const ProgramPlan *g = &w->p->program[i];
        if (!g->present)
            continue;
        list_item(s, n++);
        key_text(s, "name", program_words.word[i]);
        key_int(s, "micro_batch", g->micro_batch);
        key_int(s, "rounds", g->rounds);
        key_int(s, "region_samples", g->region_samples);
        key(s, "phases");
        strbuf_char(s, '{');
        for (int f = 0; f < N_PHASES; f++)
            key_operand(s, phase_words.word[f],
                        (Operand){.buffer = g->first[f], .offset = g->count[f]});
        strbuf_char(s, '}');
        key_operand(s, "norm", g->norm);
        key_operand(s, "logits", g->logits);
        strbuf_char(s, '}');
    }
    list_close(s, n);
    list_open(s, "terms");
    for (int i = 0; i < w->p->term.n; i++) {
        const LossTerm *t = &w->p->term.v[i];
        list_item(s, i);
        key_text(s, "name", t->name);
        key_text(s, "program", program_words.word[t->program]);
        key_double(s, "coef", t->coef);
        key_operand(s, "num", t->num);
        key_operand(s, "den", t->den);
        key_bool(s, "report", t->report);
        key_bool(s, "field", t->field);
        if (t->field)
            key_text(s, "dtype", dtype_words.word[t->dtype]);
        else
            key_null(s, "dtype");
        key_int(s, "count", t->count);
        strbuf_char(s, '}');
    }
    list_close(s, w->p->term.n);
}

static void put_instances(Writer *w)
{
    list_open(w->s, "instances");
    for (int i = 0; i < w->p->n_instance; i++) {
        const Instance *in = &w->p->instance[i];
        list_item(w->s, i);
        key_text(w->s, "path", in->path);
        key_text(w->s, "block", in->block);
        key_int(w->s, "parent", in->parent);
        key_int(w->s, "unit", in->unit);
        strbuf_char(w->s, '}');
    }
    list_close(w->s, w->p->n_instance);
}

/* By leaf: the buffer that holds it, or -1. */
static int *buffers_of(const Plan *p, BufferRole role, int n)
{
    int *of = arena_array(p->arena, int, n > 0 ? n : 1);
    for (int i = 0; i < n; i++)
        of[i] = -1;
    for (int i = 0; i < p->buffer.n; i++) {
        const Buffer *b = &p->buffer.v[i];
        if (b->role == role && b->leaf >= 0 && b->leaf < n)
            of[b->leaf] = i;
    }
    return of;
}

static void put_init(StrBuf *s, const Init *in)
{
    key(s, "init");
    strbuf_char(s, '{');
    key_text(s, "kind", init_words.word[in->kind]);
    key_double(s, "a", in->a);
    key_double(s, "b", in->b);
    if (in->file)
        key_text(s, "file", base_name(in->file));
    else
        key_null(s, "file");
    strbuf_char(s, '}');
}

static void put_params(Writer *w)
{
    StrBuf *s = w->s;
    const Model *m = w->p->model;
    int *param = buffers_of(w->p, ROLE_PARAM, m->param.n);
    int *buffer = buffers_of(w->p, ROLE_BUFFER, m->param.n);
    list_open(s, "params");
    for (int i = 0; i < m->param.n; i++) {
        const Param *a = &m->param.v[i];
        list_item(s, i);
        key_text(s, "path", a->path);
        shape(s, &a->type);
        key_int(s, "bytes", type_bytes(&a->type));
        put_init(s, &a->init);
        bool trained = !a->buffer && !a->frozen && a->optimizer < m->optimizer.n;
        if (trained)
            key_text(s, "optimizer", opt_words.word[m->optimizer.v[a->optimizer].kind]);
        else
            key_null(s, "optimizer");
        key_bool(s, "buffer", a->buffer);
        key_bool(s, "frozen", a->frozen);
        key_int(s, "id", a->buffer ? buffer[i] : param[i]);
        strbuf_char(s, '}');
    }
    list_close(s, m->param.n);
}

static void put_states(Writer *w)
{
    StrBuf *s = w->s;
    const Model *m = w->p->model;
    int *of = buffers_of(w->p, ROLE_STATE, m->state.n);
    list_open(s, "states");
    for (int i = 0; i < m->state.n; i++) {
        list_item(s, i);
        key_int(s, "param", m->state.v[i].param);
        key_text(s, "kind", m->state.v[i].kind);
        key_int(s, "id", of[i]);
        strbuf_char(s, '}');
    }
    list_close(s, m->state.n);
}

static void put_kernels(Writer *w)
{
    StrBuf *s = w->s;
    list_open(s, "kernels");
    for (int i = 0; i < w->p->kernel.n; i++) {
        const Kernel *k = w->p->kernel.v[i];
        list_item(s, i);
        key_text(s, "name", k->name);
        key_text(s, "kind", kind_words.word[step_kind(k)]);
        key_text(s, "what", k->what);
        key_bool(s, "batched", k->batched);
        key_int(s, "units", k->units);
        key_int(s, "flops", k->flops);
        key_int(s, "bytes", k->bytes);
        strbuf_char(s, '}');
    }
    list_close(s, w->p->kernel.n);
}

static void put_buffers(Writer *w)
{
    StrBuf *s = w->s;
    list_open(s, "buffers");
    for (int i = 0; i < w->p->buffer.n; i++) {
        const Buffer *b = &w->p->buffer.v[i];
        list_item(s, i);
        key_int(s, "id", b->id);
        key_text(s, "path", b->path);
        key_int(s, "bytes", b->bytes);
        key_int(s, "offset", b->offset);
        key_int(s, "first", b->first);
        key_int(s, "last", b->last);
        key_text(s, "role", role_words.word[b->role]);
        key_text(s, "dtype", dtype_words.word[b->dtype]);
        key_bool(s, "persistent", b->persistent);
        key_bool(s, "batched", b->batched);
        key_int(s, "sample_bytes", b->sample_bytes);
        if (b->persistent)
            key_null(s, "program");
        else
            key_text(s, "program", program_words.word[b->program]);
        key_int(s, "region", b->region);
        strbuf_char(s, '}');
    }
    list_close(s, w->p->buffer.n);
}

/* ---- steps ---- */

static void find_lines(Writer *w, int file)
{
    const Source *src = w->sources->list.v[file];
    vec_push(w->p->arena, &w->line[file], 0);
    for (int i = 0; i < src->n; i++)
        if (src->text[i] == '\n')
            vec_push(w->p->arena, &w->line[file], i + 1);
}

/* "gpt.bm:12:9"; lines are found by halving, as there are many steps. */
static void put_place(Writer *w, Span at)
{
    if (!w->sources || at.file < 0 || at.file >= w->sources->list.n) {
        key_null(w->s, "at");
        return;
    }
    if (w->line[at.file].n == 0)
        find_lines(w, at.file);
    const Starts *line = &w->line[at.file];
    int lo = 0, hi = line->n; /* the line that holds it is one of lo..hi-1 */
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (line->v[mid] <= at.lo)
            lo = mid;
        else
            hi = mid;
    }
    key_text(w->s, "at", base_name(w->sources->list.v[at.file]->name));
    w->s->n--; /* the closing quote comes after line and column */
    strbuf_char(w->s, ':');
    put_int(w->s, lo + 1);
    strbuf_char(w->s, ':');
    put_int(w->s, at.lo - line->v[lo] + 1);
    strbuf_char(w->s, '"');
}

/* Buffers the step reads (or, `written`, writes), each once, in the order of the arguments. */
static void put_uses(StrBuf *s, const char *name, const Step *t, bool written)
{
    int seen[countof(t->kernel->arg_dtype)], n = 0;
    key(s, name);
    strbuf_char(s, '[');
    for (int i = 0; i < t->kernel->n_arg; i++) {
        if (!(written ? t->kernel->arg_written[i] : kernel_reads(t->kernel, i)))
            continue;
        int b = t->arg[i].buffer, k = 0;
        while (k < n && seen[k] != b)
            k++;
        if (k < n)
            continue;
        seen[n++] = b;
        if (n > 1)
            strbuf_char(s, ',');
        put_int(s, b);
    }
    strbuf_char(s, ']');
}

static void put_args(StrBuf *s, const Step *t)
{
    key(s, "args");
    strbuf_char(s, '[');
    for (int i = 0; i < t->kernel->n_arg; i++) {
        if (i)
            strbuf_char(s, ',');
        put_int(s, t->arg[i].buffer);
    }
    strbuf_char(s, ']');
    key(s, "offsets");
    strbuf_char(s, '[');
    for (int i = 0; i < t->kernel->n_arg; i++) {
        if (i)
            strbuf_char(s, ',');
        put_int(s, t->arg[i].offset);
    }
    strbuf_char(s, ']');
}

/* Times the kernel's counts happen in one turn of the step's phase. */
static int64_t turns(const Plan *p, const Step *t)
{
    const ProgramPlan *g = &p->program[t->program];
    if (t->kernel->batched)
        return g->micro_batch;
    if (t->region && g->region_samples > 0)
        return (g->micro_batch + g->region_samples - 1) / g->region_samples;
    return 1;
}

static void put_step(Writer *w, const Step *t)
{
    StrBuf *s = w->s;
    const Kernel *k = t->kernel;
    bool accumulates = false;
    for (int i = 0; i < k->n_arg; i++)
        accumulates |= kernel_accumulates(k, i);
    key_int(s, "id", t->id);
    key_text(s, "stream", stream_words.word[0]);
    key_text(s, "kind", kind_words.word[step_kind(k)]);
    key_text(s, "path", t->path);
    put_uses(s, "reads", t, false);
    put_uses(s, "writes", t, true);
    key(s, "waits");
    strbuf_add(s, "[]");
    key_text(s, "program", program_words.word[t->program]);
    key_text(s, "phase", phase_words.word[t->phase]);
    key_text(s, "kernel", k->name);
    key_text(s, "what", t->what);
    put_place(w, t->at);
    key_int(s, "instance", t->instance);
    key_int(s, "region", t->region);
    key_bool(s, "backward", t->backward);
    key_bool(s, "recompute", t->recompute);
    key_bool(s, "accumulates", accumulates);
    put_args(s, t);
    key_int(s, "flops", k->flops * turns(w->p, t));
    key_int(s, "bytes", k->bytes * turns(w->p, t));
}

static void put_steps(Writer *w)
{
    list_open(w->s, "steps");
    for (int i = 0; i < w->p->step.n; i++) {
        list_item(w->s, i);
        put_step(w, &w->p->step.v[i]);
        strbuf_char(w->s, '}');
    }
    list_close(w->s, w->p->step.n);
}

static void put_alternatives(Writer *w)
{
    StrBuf *s = w->s;
    list_open(s, "alternatives");
    for (int i = 0; i < w->p->tried.n; i++) {
        const Alternative *t = &w->p->tried.v[i];
        list_item(s, i);
        key_int(s, "micro_batch", t->micro_batch);
        key_int(s, "rounds", t->rounds);
        key_int(s, "arena_bytes", t->arena_bytes);
        if (t->why)
            key_text(s, "why", t->why);
        else
            key_null(s, "why");
        strbuf_char(s, '}');
    }
    list_close(s, w->p->tried.n);
}

void plan_json(StrBuf *s, const Plan *p)
{
    Writer w = {.s = s, .p = p};
    const Graph *g = p->model->train.graph;
    if (g && g->diag && g->diag->sources) {
        w.sources = g->diag->sources;
        w.line = arena_array(p->arena, Starts, w.sources->list.n + 1);
    }
    put_head(&w);
    put_programs(&w);
    put_instances(&w);
    put_params(&w);
    put_states(&w);
    put_kernels(&w);
    put_buffers(&w);
    put_steps(&w);
    put_alternatives(&w);
    strbuf_add(s, "}\n");
}
