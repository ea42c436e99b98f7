/* tables.c - the end of trainer.c: where parameters, state, inputs and results lie, how the model
 * is to be trained, and main(). Tensors of identical blocks are one macro, used once per block. */
#include "codegen/emit_c.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

typedef struct Tensor {
    const char *path;
    const Type *type;
    const Init *init;
    int64_t offset, at, shard;
    bool host;
    int unit, flags;
} Tensor;

typedef VEC(Tensor) Tensors;

void c_string(StrBuf *s, const char *text)
{
    if (!text) {
        strbuf_add(s, "NULL");
        return;
    }
    strbuf_char(s, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_printf(s, "\\%c", *c);
        else if (*c < 32 || *c == 127 || *c == '?')
            strbuf_printf(s, "\\%03o", *c);
        else
            strbuf_char(s, (char)*c);
    }
    strbuf_char(s, '"');
}

const char *dtype_word(DType t)
{
    return t == DT_F32 ? "BMRT_F32" : t == DT_INT ? "BMRT_I32" : "BMRT_U8";
}

static const Buffer *leaf_buffer(const Plan *p, BufferRole role, int leaf, ProgramKind program)
{
    for (int i = 0; i < p->buffer.n; i++) {
        const Buffer *x = &p->buffer.v[i];
        if (x->role == role && x->leaf == leaf && (x->persistent || x->program == program))
            return x;
    }
    return NULL;
}

static int64_t leaf_offset(const Plan *p, BufferRole role, int leaf)
{
    const Buffer *x = leaf_buffer(p, role, leaf, PROGRAM_TRAIN);
    if (!x)
        BUG("leaf %d of role %d has no place", leaf, (int)role);
    return x->offset;
}

/* ---- tensors ------------------------------------------------------------------------------ */

static int unit_of(const Plan *p, int instance)
{
    return instance >= 0 && instance < p->n_instance ? p->instance[instance].unit : 0;
}

/* In a flat buffer of the parameter's group. */
static void flat_place(const Plan *p, int param, int buffer, Tensor *t)
{
    const Buffer *x = &p->buffer.v[buffer];
    t->offset = x->offset;
    t->at = p->param_at[param];
    t->shard = x->sharded ? p->group.v[x->group].shard : 0;
    t->host = x->host;
}

static int state_buffer(const Plan *p, int state)
{
    const Model *m = p->model;
    int kind = 0;
    for (int i = 0; i < state; i++)
        kind += m->state.v[i].param == m->state.v[state].param;
    return p->group.v[p->param_group[m->state.v[state].param]].state[kind];
}

static Tensors parameters(const Emit *e)
{
    Tensors t = {0};
    for (int i = 0; i < e->p->model->param.n; i++) {
        const Param *q = &e->p->model->param.v[i];
        Tensor x = {.path = q->path, .type = &q->type, .init = &q->init};
        if (q->buffer)
            x.offset = leaf_offset(e->p, ROLE_BUFFER, i);
        else
            flat_place(e->p, i, e->p->group.v[e->p->param_group[i]].params, &x);
        x.unit = unit_of(e->p, q->instance);
        x.flags = (q->buffer ? 1 : 0) | (q->frozen ? 2 : 0);
        vec_push(e->a, &t, x);
    }
    return t;
}

static Tensors states(const Emit *e)
{
    static const Init zeros = {.kind = INIT_ZEROS};
    Tensors t = {0};
    for (int i = 0; i < e->p->model->state.n; i++) {
        const State *s = &e->p->model->state.v[i];
        const Param *q = &e->p->model->param.v[s->param];
        Tensor x = {.type = &q->type, .init = &zeros};
        flat_place(e->p, s->param, state_buffer(e->p, i), &x);
        x.path = arena_printf(e->a, "%s.%s", q->path, s->kind);
        x.unit = unit_of(e->p, q->instance);
        vec_push(e->a, &t, x);
    }
    return t;
}

/* The path below the unit's: ".ln_1.weight". */
static const char *tail(const Emit *e, const Tensor *t)
{
    const char *unit = e->p->instance[t->unit].path;
    size_t n = strlen(unit);
    return strncmp(t->path, unit, n) == 0 ? t->path + n : NULL;
}

static void dims(StrBuf *s, const Type *t)
{
    strbuf_printf(s, "%d, {", t->ndim);
    for (int i = 0; i < t->ndim; i++)
        strbuf_printf(s, "%s%" PRId64, i ? ", " : "", t->dim[i]);
    strbuf_printf(s, "%s}, %" PRId64, t->ndim ? "" : "0", type_count(t));
}

static void after_offset(StrBuf *s, const Tensor *t)
{
    strbuf_printf(s, ", %" PRId64 ", %" PRId64 ", %s, %d, ", t->at, t->shard,
                  t->host ? "true" : "false", (int)t->init->kind);
    strbuf_double(s, t->init->a);
    strbuf_add(s, ", ");
    strbuf_double(s, t->init->b);
    strbuf_add(s, ", ");
    c_string(s, t->init->kind == INIT_NPY ? t->init->file : NULL);
    strbuf_printf(s, ", %s}",
                  t->flags == 0   ? "0"
                  : t->flags == 1 ? "BMRT_BUFFER"
                  : t->flags == 2 ? "BMRT_FROZEN"
                                  : "BMRT_BUFFER | BMRT_FROZEN");
}

/* The first of the tensors that lies in the same buffer. */
static int same_buffer(const Tensor *t, int i)
{
    int k = 0;
    while (t[k].offset != t[i].offset || t[k].host != t[i].host)
        k++;
    return k;
}

/* The text of a group of tensors but its offsets and its unit's path: equal texts share a macro. */
static const char *group_text(const Emit *e, const Tensor *t, int n)
{
    StrBuf s = strbuf_new(e->a);
    for (int i = 0; i < n; i++) {
        strbuf_add(&s, " \\\n    {path ");
        c_string(&s, tail(e, &t[i]));
        strbuf_printf(&s, ", %s, ", dtype_word(t[i].type->dtype));
        dims(&s, t[i].type);
        strbuf_printf(&s, ", o%d", same_buffer(t, i));
        after_offset(&s, &t[i]);
        strbuf_char(&s, ',');
    }
    return s.text;
}

static void print_macro(StrBuf *s, const char *name, const char *text, const Tensor *t, int n)
{
    strbuf_printf(s, "#define %s(path", name);
    for (int i = 0; i < n; i++)
        if (same_buffer(t, i) == i)
            strbuf_printf(s, ", o%d", i);
    strbuf_printf(s, ")%s\n", text);
}

static void print_tensor(const Emit *e, StrBuf *s, const Tensor *t)
{
    (void)e;
    strbuf_add(s, "    {");
    c_string(s, t->path);
    strbuf_printf(s, ", %s, ", dtype_word(t->type->dtype));
    dims(s, t->type);
    strbuf_printf(s, ", %" PRId64, t->offset);
    after_offset(s, t);
    strbuf_add(s, ",\n");
}

static int group_end(const Emit *e, const Tensors *t, int i)
{
    int end = i + 1;
    while (t->v[i].unit && tail(e, &t->v[i]) && end < t->n && t->v[end].unit == t->v[i].unit &&
           tail(e, &t->v[end]))
        end++;
    return end;
}

static void print_tensors(Emit *e, StrBuf *s, const Tensors *t, const char *table)
{
    Map *macro = map_new(e->a);
    StrBuf rows = strbuf_new(e->a);
    for (int i = 0; i < t->n;) {
        int end = group_end(e, t, i);
        if (!t->v[i].unit || !tail(e, &t->v[i])) {
            print_tensor(e, &rows, &t->v[i++]);
            continue;
        }
        const Instance *unit = &e->p->instance[t->v[i].unit];
        const char *text = group_text(e, &t->v[i], end - i);
        char *name = map_get(macro, text);
        if (!name) {
            const char *word = arena_printf(e->a, "%s_%s", path_word(e->a, unit->block), table);
            name = arena_strdup(e->a, unique_word(e->a, e->names, word));
            for (char *c = name; *c; c++)
                *c = (char)toupper((unsigned char)*c);
            map_put(macro, text, name);
            print_macro(s, name, text, &t->v[i], end - i);
        }
        strbuf_printf(&rows, "    %s(", name);
        c_string(&rows, unit->path);
        for (int k = i; k < end; k++)
            if (same_buffer(&t->v[i], k - i) == k - i)
                strbuf_printf(&rows, ", %" PRId64, t->v[k].offset);
        i = end;
        strbuf_add(&rows, ")\n");
    }
    if (t->n)
        strbuf_printf(s, "static const bmrt_tensor %s[] = {\n%s};\n\n", table, rows.text);
}

/* ---- inputs, results ---------------------------------------------------------------------- */

static void print_inputs(const Emit *e, StrBuf *s)
{
    const Model *m = e->p->model;
    if (!m->input.n)
        return;
    strbuf_add(s, "static const bmrt_input inputs[] = {\n");
    for (int i = 0; i < m->input.n; i++) {
        const Input *x = &m->input.v[i];
        strbuf_add(s, "    {");
        c_string(s, x->name);
        strbuf_printf(s, ", %s, ", dtype_word(x->type.dtype));
        dims(s, &x->type);
        strbuf_printf(s, ", %" PRId64, x->below);
        for (int g = 0; g < N_PROGRAMS; g++) {
            const Buffer *b = leaf_buffer(e->p, ROLE_INPUT, i, (ProgramKind)g);
            strbuf_printf(s, ", %" PRId64, b ? b->offset : -1);
        }
        strbuf_printf(s, ", %s},\n", x->ignore_ok ? "true" : "false");
    }
    strbuf_add(s, "};\n\n");
}

static void print_hosts(const Emit *e, StrBuf *s)
{
    const Model *m = e->p->model;
    if (!m->host.n)
        return;
    strbuf_add(s, "static const bmrt_host hosts[] = {\n");
    for (int i = 0; i < m->host.n; i++) {
        const HostScalar *h = &m->host.v[i];
        const Optimizer *o = &m->optimizer.v[h->optimizer];
        strbuf_printf(s, "    {%d, ", (int)h->kind);
        strbuf_double(s, o->lr);
        strbuf_add(s, ", ");
        strbuf_double(s, h->kind == HOST_BIAS2 ? o->beta2 : o->beta1);
        strbuf_printf(s, ", %" PRId64 "},\n", leaf_offset(e->p, ROLE_HOST, i));
    }
    strbuf_add(s, "};\n\n");
}

static int64_t place(const Plan *p, Operand o)
{
    return o.buffer < 0 ? -1 : p->buffer.v[o.buffer].offset + o.offset;
}

static int print_terms(const Emit *e, StrBuf *s, ProgramKind g, bool report, const char *table)
{
    int n = 0;
    for (int i = 0; i < e->p->term.n; i++) {
        const LossTerm *t = &e->p->term.v[i];
        if (t->program != g || t->report != report || t->field)
            continue;
        if (!n++)
            strbuf_printf(s, "static const bmrt_average %s[] = {\n", table);
        strbuf_add(s, "    {");
        c_string(s, t->name);
        strbuf_printf(s, ", %" PRId64 ", %" PRId64 ", ", place(e->p, t->num), place(e->p, t->den));
        strbuf_double(s, t->coef);
        strbuf_add(s, "},\n");
    }
    if (n)
        strbuf_add(s, "};\n\n");
    return n;
}

static int print_fields(const Emit *e, StrBuf *s, ProgramKind g, const char *table)
{
    int n = 0;
    for (int i = 0; i < e->p->term.n; i++) {
        const LossTerm *t = &e->p->term.v[i];
        if (t->program != g || !t->field)
            continue;
        if (!n++)
            strbuf_printf(s, "static const bmrt_field %s[] = {\n", table);
        strbuf_add(s, "    {");
        c_string(s, t->name);
        strbuf_printf(s, ", %s, %" PRId64 ", %" PRId64 "},\n", dtype_word(t->dtype), t->count,
                      place(e->p, t->num));
    }
    if (n)
        strbuf_add(s, "};\n\n");
    return n;
}

/* The tables of a program into s, its initializer into `init`. */
static void print_program(const Emit *e, StrBuf *s, StrBuf *init, ProgramKind g)
{
    static const char *const name[N_PROGRAMS] = {"train", "eval", "sample"};
    static const char *const phase[N_PHASES] = {"pre", "weight", "mid", "round", "post", "update"};
    const ProgramPlan *p = &e->p->program[g];
    if (!p->present)
        return;
    const char *loss = arena_printf(e->a, "%s_loss", name[g]);
    const char *report = arena_printf(e->a, "%s_report", name[g]);
    const char *field = arena_printf(e->a, "%s_field", name[g]);
    int n_loss = print_terms(e, s, g, false, loss), n_report = print_terms(e, s, g, true, report);
    int n_field = print_fields(e, s, g, field);
    strbuf_printf(init, "    .%s = {.micro_batch = %" PRId64 ", .norm = %" PRId64, name[g],
                  p->micro_batch, place(e->p, p->norm));
    for (int f = 0; f < N_PHASES; f++)
        if (p->count[f])
            strbuf_printf(init, ",\n        .%s = %s_%s", phase[f], name[g], phase[f]);
    if (n_loss)
        strbuf_printf(init, ",\n        .loss = %s, .n_loss = %d", loss, n_loss);
    if (n_report)
        strbuf_printf(init, ",\n        .report = %s, .n_report = %d", report, n_report);
    if (n_field)
        strbuf_printf(init, ",\n        .field = %s, .n_field = %d", field, n_field);
    emit_streams(e, s, init, g);
    emit_debug_program(e, s, init, g);
    strbuf_add(init, "},\n");
}

/* ---- the model ---------------------------------------------------------------------------- */

static void print_data(const Emit *e, StrBuf *s, StrBuf *init, const Data *d, const char *name)
{
    (void)e;
    if (d->kind == DATA_NPY) {
        strbuf_printf(s, "static const char *const %s_field[] = {\n", name);
        for (int i = 0; i < d->field.n; i++) {
            strbuf_add(s, "    ");
            c_string(s, d->field.v[i].name);
            strbuf_add(s, ", ");
            c_string(s, d->field.v[i].file);
            strbuf_add(s, ",\n");
        }
        strbuf_add(s, "    NULL,\n};\n\n");
        strbuf_printf(init, "    .%s_field = %s_field,\n", name, name);
    }
    strbuf_printf(init, "    .%s_kind = %d, .%s_file = ", name, (int)d->kind, name);
    c_string(init, d->file);
    strbuf_printf(init, ", .%s_format = ", name);
    c_string(init, d->format);
    strbuf_add(init, ",\n");
}

static void print_schedule(StrBuf *s, const Model *m)
{
    strbuf_printf(s, "    .schedule = %d, .warmup = ", (int)m->schedule.kind);
    strbuf_double(s, m->schedule.warmup);
    strbuf_add(s, ", .min_lr = ");
    strbuf_double(s, m->schedule.min_lr);
    strbuf_add(s, ", .decay = ");
    strbuf_double(s, m->schedule.decay);
    strbuf_add(s, ",\n");
}

static void print_logits(const Emit *e, StrBuf *s)
{
    const ProgramPlan *g = &e->p->program[PROGRAM_SAMPLE];
    const Node *n = e->p->model->eval.logits;
    if (!g->present || g->logits.buffer < 0 || !n) {
        strbuf_add(s, "    .logits = -1,\n");
        return;
    }
    const Type *t = &n->type;
    strbuf_printf(s, "    .logits = %" PRId64 ", .ctx = %" PRId64 ", .vocab = %" PRId64 ",\n",
                  place(e->p, g->logits), t->ndim > 1 ? t->dim[0] : 1, t->dim[t->ndim - 1]);
}

void emit_tables(Emit *e, StrBuf *s)
{
    const Plan *p = e->p;
    const Model *m = p->model;
    StrBuf init = strbuf_new(e->a);
    Tensors param = parameters(e), state = states(e);
    print_tensors(e, s, &param, "params");
    print_tensors(e, s, &state, "states");
    print_inputs(e, s);
    print_hosts(e, s);
    strbuf_add(&init,
               "static const bmrt_model model = {\n    .version = BMRT_VERSION,\n    .name = ");
    c_string(&init, m->name);
    strbuf_printf(&init, ", .plan_hash = \"%016" PRIx64 "\",\n", p->hash);
    if (p->verified)
        strbuf_printf(&init, "    .verified = \"%016" PRIx64 "\",\n", p->hash);
    strbuf_printf(&init, "    .arena_bytes = %" PRId64 ", .persistent_bytes = %" PRId64 ",\n",
                  p->arena_bytes, p->persistent_bytes);
    if (param.n)
        strbuf_printf(&init, "    .param = params, .n_param = %d,\n", param.n);
    if (state.n)
        strbuf_printf(&init, "    .state = states, .n_state = %d,\n", state.n);
    if (m->input.n)
        strbuf_printf(&init, "    .input = inputs, .n_input = %d,\n", m->input.n);
    if (m->host.n)
        strbuf_printf(&init, "    .host = hosts, .n_host = %d,\n", m->host.n);
    emit_watches(e, s, &init);
    emit_debug(e, s, &init);
    for (int g = 0; g < N_PROGRAMS; g++)
        print_program(e, s, &init, (ProgramKind)g);
    print_logits(e, &init);
    print_data(e, s, &init, &m->data, "data");
    print_data(e, s, &init, &m->valid, "valid");
    strbuf_printf(&init,
                  "    .batch = %" PRId64 ", .rounds = %" PRId64 ", .steps = %" PRId64
                  ", .valid_every = %" PRId64 ", .seed = %" PRId64 ",\n",
                  p->batch, p->rounds, m->steps, m->valid_every, m->seed);
    print_schedule(&init, m);
    strbuf_printf(&init,
                  "    .ranks = %" PRId64 ", .shared_by = %" PRId64 ", .host_arena_bytes = %" PRId64
                  ",\n",
                  p->ranks, p->shared_by, p->host_bytes);
    strbuf_add(&init, "};\n\n");
    strbuf_addn(s, init.text, init.n);
    strbuf_printf(s, "int main(int argc, char **argv)\n{\n    return %s;\n}\n",
                  p->ranks > 1 ? "bmrt_main_ranks(&model, bmrt_mpi(), argc, argv)"
                               : "bmrt_main(&model, argc, argv)");
}
