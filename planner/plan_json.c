/* plan_json.c - plan.json: everything the plan decides, one buffer, kernel or step a line.
 *
 * The keys DESIGN.md fixes come with these of our own; plan_read.c refuses any other. Numbers are
 * plain integers: bytes; `flops` and `bytes` of a step are those of one turn of its phase (the
 * whole micro-batch). What is not known is null: without a machine no time is predicted. */
#include "planner/plan_put.h"
#include "planner/plan_read.h"
#include "planner/words.h"

static void key_ps(StrBuf *s, const char *name, const Plan *p, int64_t ps)
{
    if (p->machine)
        key_int(s, name, ps);
    else
        key_null(s, name);
}

/* How ranks share the work and what the times are predicted for. */
static void put_ranks(Writer *w)
{
    StrBuf *s = w->s;
    const Plan *p = w->p;
    key_int(s, "shared_by", p->shared_by);
    key_text(s, "accumulate", accumulate_words.word[p->reduced]);
    key_text(s, "reduce", reduce_words.word[p->invariant]);
    key_bool(s, "overlap", p->overlap);
    key_int(s, "lead", p->lead);
    key_int(s, "bucket_bytes", p->bucket_bytes);
    strbuf_add(s, ",\n\"machine\":");
    if (!p->machine) {
        strbuf_add(s, "null");
        return;
    }
    machine_print(s, p->machine);
    while (s->n && s->text[s->n - 1] == '\n')
        s->text[--s->n] = 0;
}

static void put_time_bound(StrBuf *s, const Bounds *b)
{
    key(s, "options");
    strbuf_char(s, '[');
    for (int i = 0; i < b->option.n; i++) {
        const BoundOption *o = &b->option.v[i];
        row_open(s);
        put_int(s, o->unit);
        strbuf_char(s, ',');
        put_int(s, o->count);
        strbuf_char(s, ',');
        put_int(s, o->ps);
        strbuf_char(s, ',');
        put_int(s, o->bytes);
        strbuf_char(s, ']');
    }
    strbuf_char(s, ']');
    key_int(s, "lambda_num", b->lambda_num);
    key_int(s, "lambda_den", b->lambda_den);
    key_int(s, "fixed_ps", b->fixed_ps);
    key_int(s, "fixed_bytes", b->fixed_bytes);
    key_int(s, "capacity", b->capacity);
    key_int(s, "lower_ps", b->lower_ps);
}

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
    put_made(w);
    put_ranks(w);
    strbuf_add(s, ",\n\"totals\":{");
    key_int(s, "arena_bytes", p->arena_bytes);
    key_int(s, "persistent_bytes", p->persistent_bytes);
    key_int(s, "max_live_bytes", p->max_live_bytes);
    key_int(s, "host_bytes", p->host_bytes);
    key_ps(s, "step_ps", p, p->step_ps);
    key_ps(s, "exposed_ps", p, p->exposed_ps);
    key_int(s, "search_work", p->search_work);
    key_int(s, "flops", p->flops);
    key_int(s, "step_bytes", p->step_bytes);
    strbuf_add(s, "},\n\"bounds\":{");
    key_int(s, "max_live", p->max_live_bytes);
    key_int(s, "at_step", p->max_live_step);
    key_int(s, "gap", p->arena_bytes - p->persistent_bytes - p->max_live_bytes);
    key_bool(s, "proved", p->offsets_proved);
    put_time_bound(s, &p->bounds);
    strbuf_char(s, '}');
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
        key_int(s, "region_parts", g->region_parts);
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

/* The same of what lies in flat groups. */
static int *params_of(const Plan *p)
{
    int *of = buffers_of(p, ROLE_PARAM, p->model->param.n);
    for (int i = 0; i < p->group.n; i++)
        for (int k = 0; k < p->group.v[i].n; k++)
            of[p->group.v[i].param[k]] = p->group.v[i].params;
    return of;
}

static int *states_of(const Plan *p)
{
    const Model *m = p->model;
    int *of = buffers_of(p, ROLE_STATE, m->state.n);
    const FlatGroup **group = arena_array(p->arena, const FlatGroup *, m->param.n + 1);
    int *kinds = arena_array(p->arena, int, m->param.n + 1); /* seen of each parameter */
    for (int i = 0; i < p->group.n; i++)
        for (int k = 0; k < p->group.v[i].n; k++)
            group[p->group.v[i].param[k]] = &p->group.v[i];
    for (int i = 0; i < m->state.n; i++) {
        const FlatGroup *g = group[m->state.v[i].param];
        int kind = kinds[m->state.v[i].param]++;
        if (g && kind < g->n_state)
            of[i] = g->state[kind];
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
    key_text_null(s, "file", base_name(in->file));
    strbuf_char(s, '}');
}

static void put_params(Writer *w)
{
    StrBuf *s = w->s;
    const Model *m = w->p->model;
    int *param = params_of(w->p);
    int *buffer = buffers_of(w->p, ROLE_BUFFER, m->param.n);
    list_open(s, "params");
    for (int i = 0; i < m->param.n; i++) {
        const Param *a = &m->param.v[i];
        list_item(s, i);
        key_text(s, "path", a->path);
        key_sizes(s, "shape", a->type.dim, a->type.ndim);
        int id = a->buffer ? buffer[i] : param[i];
        DType dtype = id >= 0 ? w->p->buffer.v[id].dtype : a->type.dtype; /* as it is kept */
        key_text(s, "dtype", dtype_words.word[dtype]);
        key_int(s, "bytes", type_count(&a->type) * dtype_size(dtype));
        put_init(s, &a->init);
        bool trained = !a->buffer && !a->frozen && a->optimizer < m->optimizer.n;
        if (trained)
            key_text(s, "optimizer", opt_words.word[m->optimizer.v[a->optimizer].kind]);
        else
            key_null(s, "optimizer");
        key_bool(s, "buffer", a->buffer);
        key_bool(s, "frozen", a->frozen);
        key_int(s, "id", id);
        strbuf_char(s, '}');
    }
    list_close(s, m->param.n);
}

static void put_states(Writer *w)
{
    StrBuf *s = w->s;
    const Model *m = w->p->model;
    int *of = states_of(w->p);
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

/* What it does with each argument. */
static void put_access(StrBuf *s, const Kernel *k)
{
    key(s, "access");
    strbuf_char(s, '[');
    for (int i = 0; i < k->n_arg; i++) {
        FileAccess how = !k->arg_written[i]         ? ACCESS_READ
                         : kernel_accumulates(k, i) ? ACCESS_ADD
                         : kernel_reads(k, i)       ? ACCESS_UPDATE
                                                    : ACCESS_WRITE;
        if (i)
            strbuf_char(s, ',');
        put_text(s, access_words.word[how]);
    }
    strbuf_char(s, ']');
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
        put_access(s, k);
        put_collective(s, k);
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
        key_int(s, "group", b->group);
        key_bool(s, "sharded", b->sharded);
        key_bool(s, "host", b->host);
        strbuf_char(s, '}');
    }
    list_close(s, w->p->buffer.n);
}

/* No step takes no time at all: 0 says that none was predicted. */
static void key_tried_ps(StrBuf *s, const char *name, const Alternative *t, int64_t ps)
{
    if (t->step_ps)
        key_int(s, name, ps);
    else
        key_null(s, name);
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
        key_int(s, "host_bytes", t->host_bytes);
        key_tried_ps(s, "step_ps", t, t->step_ps);
        key_tried_ps(s, "exposed_ps", t, t->exposed_ps);
        key_text_null(s, "zero", t->zero);
        key_text_null(s, "recompute", t->recompute);
        key_text_null(s, "overlap", t->overlap);
        key_bool(s, "fits", t->fits);
        key_text_null(s, "why", t->why);
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
    put_groups(&w);
    put_recompute(&w);
    put_buffers(&w);
    put_steps(&w);
    put_comm(&w);
    put_alternatives(&w);
    strbuf_add(s, "}\n");
}
