/* watch.c - what --inspect can look at besides parameters: gradients where they lie once they are
 * reduced, and values of the forward pass that have a name. Those of identical blocks are one
 * macro, used once per block. */
#include "codegen/emit_c.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

typedef struct Row {
    const char *path;
    const char *dtype;
    int64_t count, offset, by_rank, at, shard;
    bool value, host, batched, chunk;
    int unit, after;
    int64_t parts;
} Row;

typedef VEC(Row) Rows;

/* Where a group's gradients are when they are squared: reduced, not yet clipped. */
static const Operand *reduced_grads(const Plan *p, int group)
{
    const ProgramPlan *g = &p->program[PROGRAM_TRAIN];
    int first = g->first[PHASE_POST];
    for (int k = first; k < first + g->count[PHASE_POST]; k++) {
        const Step *s = &p->step.v[k];
        if (s->kernel->kind == K_SUM_SQUARES && p->buffer.v[s->arg[0].buffer].group == group)
            return &s->arg[0];
    }
    return NULL;
}

static void add_gradient(const Emit *e, Rows *rows, int param)
{
    const Plan *p = e->p;
    const Param *q = &p->model->param.v[param];
    int group = p->param_group[param];
    const Operand *o = group < 0 ? NULL : reduced_grads(p, group);
    if (!o)
        return;
    const Buffer *x = &p->buffer.v[o->buffer];
    Row r = {.path = q->path,
             .dtype = "BMRT_F32",
             .count = type_count(&q->type),
             .offset = x->offset + o->offset,
             .by_rank = o->by_rank,
             .at = p->param_at[param],
             .shard = p->ranks > 1 ? p->group.v[group].shard : 0,
             .host = x->host,
             .unit = p->instance[q->instance].unit,
             .after = -1};
    vec_push(e->a, rows, r);
}

static void add_values(const Emit *e, Rows *rows, const Step *s)
{
    for (int i = 0; i < s->named.n; i++) {
        const NamedValue *n = &s->named.v[i];
        const Buffer *x = &e->p->buffer.v[n->buffer];
        int64_t parts = s->region && n->batched ? e->p->program[s->program].region_parts : 0;
        Row r = {.path = n->path,
                 .dtype = dtype_word(n->dtype),
                 .count = parts ? n->count / parts : n->count,
                 .parts = parts,
                 .offset = x->offset,
                 .value = true,
                 .host = x->host,
                 .batched = n->batched,
                 .chunk = x->region != 0,
                 .unit = e->p->instance[n->instance].unit,
                 .after = s->id};
        vec_push(e->a, rows, r);
    }
}

/* Unit by unit, so that a unit is one use of its macro. */
static Rows all_rows(const Emit *e)
{
    const Plan *p = e->p;
    Rows rows = {0}, out = {0};
    for (int k = 0; k < p->model->param.n; k++)
        add_gradient(e, &rows, k);
    const ProgramPlan *g = &p->program[PROGRAM_TRAIN];
    int first = g->first[PHASE_ROUND];
    for (int k = first; k < first + g->count[PHASE_ROUND]; k++)
        add_values(e, &rows, &p->step.v[k]);
    int *next = arena_array(e->a, int, rows.n + 1), *last = arena_array(e->a, int, p->n_instance);
    int *head = arena_array(e->a, int, p->n_instance);
    for (int k = 0; k < rows.n; k++) { /* lists by unit, of numbers from 1 */
        int unit = rows.v[k].unit;
        *(last[unit] ? &next[last[unit] - 1] : &head[unit]) = k + 1;
        last[unit] = k + 1;
    }
    for (int unit = 0; unit < p->n_instance; unit++)
        for (int k = head[unit]; k; k = next[k - 1])
            vec_push(e->a, &out, rows.v[k - 1]);
    return out;
}

static const char *tail(const Emit *e, const Row *r)
{
    const char *unit = e->p->instance[r->unit].path;
    size_t n = strlen(unit);
    return strncmp(r->path, unit, n) == 0 ? r->path + n : NULL;
}

static bool in_macro(const Emit *e, const Row *r)
{
    return r->unit && tail(e, r);
}

static const char *word(bool b)
{
    return b ? "true" : "false";
}

static void print_row(StrBuf *s, const Row *r, const char *offset, const char *after)
{
    strbuf_printf(s,
                  ", BMRT_WATCH_%s, %s, %" PRId64 ", %s, %" PRId64 ", %" PRId64 ", %" PRId64
                  ", %s, %s, %s, %s, %" PRId64 "}",
                  r->value ? "VALUE" : "GRAD", r->dtype, r->count, offset, r->by_rank, r->at,
                  r->shard, word(r->host), word(r->batched), word(r->chunk), after, r->parts);
}

static int same_place(const Row *r, int i)
{
    int k = 0;
    while (r[k].offset != r[i].offset || r[k].host != r[i].host)
        k++;
    return k;
}

static int first_step(const Row *r, int n)
{
    for (int i = 0; i < n; i++)
        if (r[i].value)
            return r[i].after;
    return -1;
}

static const char *macro_text(const Emit *e, const Row *r, int n)
{
    StrBuf s = strbuf_new(e->a);
    int step = first_step(r, n);
    strbuf_add(&s, "(path, s");
    for (int i = 0; i < n; i++)
        if (same_place(r, i) == i)
            strbuf_printf(&s, ", o%d", i);
    strbuf_char(&s, ')');
    for (int i = 0; i < n; i++) {
        strbuf_add(&s, " \\\n    {path ");
        c_string(&s, tail(e, &r[i]));
        const char *after = r[i].value ? arena_printf(e->a, "s + %d", r[i].after - step) : "-1";
        print_row(&s, &r[i], arena_printf(e->a, "o%d", same_place(r, i)), after);
        strbuf_char(&s, ',');
    }
    return s.text;
}

/* Prints the macro unless there is one with its text; its name. */
static const char *macro_of(Emit *e, StrBuf *s, Map *known, const Row *r, int n)
{
    const char *text = macro_text(e, r, n);
    char *name = map_get(known, text);
    if (name)
        return name;
    const char *block = path_word(e->a, e->p->instance[r->unit].block);
    name = arena_strdup(e->a, unique_word(e->a, e->names, arena_printf(e->a, "%s_watches", block)));
    for (char *c = name; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    map_put(known, text, name);
    strbuf_printf(s, "#define %s%s\n", name, text);
    return name;
}

void emit_watches(Emit *e, StrBuf *s, StrBuf *init)
{
    Rows rows = all_rows(e);
    Map *known = map_new(e->a);
    StrBuf table = strbuf_new(e->a);
    for (int i = 0, end; i < rows.n; i = end) {
        const Row *r = &rows.v[i];
        end = i + 1;
        if (!in_macro(e, r)) {
            strbuf_add(&table, "    {");
            c_string(&table, r->path);
            print_row(&table, r, arena_printf(e->a, "%" PRId64, r->offset),
                      arena_printf(e->a, "%d", r->after));
            strbuf_add(&table, ",\n");
            continue;
        }
        while (end < rows.n && rows.v[end].unit == r->unit && in_macro(e, &rows.v[end]))
            end++;
        strbuf_printf(&table, "    %s(", macro_of(e, s, known, r, end - i));
        c_string(&table, e->p->instance[r->unit].path);
        strbuf_printf(&table, ", %d", first_step(r, end - i));
        for (int k = i; k < end; k++)
            if (same_place(r, k - i) == k - i)
                strbuf_printf(&table, ", %" PRId64, rows.v[k].offset);
        strbuf_add(&table, ")\n");
    }
    if (!rows.n)
        return;
    strbuf_printf(s, "static const bmrt_watch watches[] = {\n%s};\n\n", table.text);
    strbuf_printf(init, "    .watch = watches, .n_watch = %d,\n", rows.n);
}
