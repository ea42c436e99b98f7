/* blocks.c - identical blocks share one function, so the text grows with the number of different
 * blocks, not with the depth. */
#include "codegen/blocks.h"

#include "codegen/kernel_c.h"

#include <ctype.h>
#include <string.h>

const char *unit_pattern(Arena *a, const char *path)
{
    StrBuf s = strbuf_new(a);
    for (const char *c = path; *c;) {
        size_t n = strcspn(c, ".");
        bool number = n > 0 && strspn(c, "0123456789") >= n;
        if (number)
            strbuf_char(&s, '*');
        else
            strbuf_addn(&s, c, n);
        c += n;
        if (*c == '.')
            strbuf_char(&s, *c++);
    }
    return s.text ? s.text : "";
}

const char *path_word(Arena *a, const char *path)
{
    StrBuf s = strbuf_new(a);
    for (const char *c = path; *c; c++)
        if (isalnum((unsigned char)*c))
            strbuf_char(&s, *c);
        else if (s.n && s.text[s.n - 1] != '_')
            strbuf_char(&s, '_');
    while (s.n && s.text[s.n - 1] == '_')
        s.text[--s.n] = 0;
    if (!s.n || isdigit((unsigned char)s.text[0]))
        return arena_printf(a, "v%s", s.n ? s.text : "");
    return s.text;
}

const char *unique_word(Arena *a, Map *given, const char *word)
{
    const char *w = word;
    for (int i = 2; map_find(given, w) >= 0; i++)
        w = arena_printf(a, "%s_%d", word, i);
    map_put(given, w, given);
    return w;
}

/* ---- runs --------------------------------------------------------------------------------- */

static int unit_of(const Plan *p, const Step *s)
{
    return s->instance >= 0 && s->instance < p->n_instance ? p->instance[s->instance].unit : 0;
}

static void collect_runs(Arena *a, Blocks *b)
{
    const ProgramPlan *g = &b->p->program[b->program];
    int first = g->first[b->phase], end = first + g->count[b->phase];
    for (int k = first; k < end; k++) {
        const Step *s = &b->p->step.v[k];
        if (s->stream != STREAM_COMPUTE)
            continue;
        int unit = unit_of(b->p, s);
        Run *last = b->run.n ? &b->run.v[b->run.n - 1] : NULL;
        if (!last || last->unit != unit || last->region != s->region) {
            Run r = {.unit = unit, .region = s->region, .cls = -1};
            vec_push(a, &b->run, r);
            last = &b->run.v[b->run.n - 1];
        }
        vec_push(a, &last->step, k);
    }
}

/* ---- classes ------------------------------------------------------------------------------ */

const Step *run_step(const Blocks *b, const Run *r, int i)
{
    return &b->p->step.v[r->step.v[i]];
}

bool phase_has_streams(const Plan *p, ProgramKind program, Phase phase)
{
    const ProgramPlan *g = &p->program[program];
    for (int k = g->first[phase]; k < g->first[phase] + g->count[phase]; k++)
        if (p->step.v[k].stream != STREAM_COMPUTE)
            return true;
    return false;
}

int64_t operand_moves(const Plan *p, const Step *s, int arg)
{
    const Buffer *x = &p->buffer.v[s->arg[arg].buffer];
    int64_t parts = p->program[s->program].region_parts;
    if (!s->region || !x->batched || x->region == s->region)
        return 0;
    return parts ? x->sample_bytes / parts : x->sample_bytes;
}

static bool moves_alike(const Blocks *b, const Step *s, const Step *t)
{
    if (s->kernel->n_arg != t->kernel->n_arg)
        return false;
    for (int i = 0; i < s->kernel->n_arg; i++)
        if (operand_moves(b->p, s, i) != operand_moves(b->p, t, i))
            return false;
    return true;
}

static bool on_host(const Blocks *b, const Step *s, int arg)
{
    return b->p->buffer.v[s->arg[arg].buffer].host;
}

/* Is the same written around the call? */
static bool runs_alike(const Blocks *b, const Step *s, const Step *t)
{
    if (s->when != t->when || s->anew != t->anew || s->kernel->n_arg != t->kernel->n_arg)
        return false;
    for (int i = 0; i < s->kernel->n_arg; i++)
        if (s->arg[i].by_rank != t->arg[i].by_rank || on_host(b, s, i) != on_host(b, t, i))
            return false;
    for (int i = 0; i < N_STREAMS; i++)
        if ((s->wait[i] < 0) != (t->wait[i] < 0))
            return false;
    return true;
}

static bool alike(const Blocks *b, const Run *x, const Run *y)
{
    const Instance *in = b->p->instance;
    if (x->step.n != y->step.n || x->region != y->region ||
        strcmp(in[x->unit].block, in[y->unit].block) != 0)
        return false;
    for (int i = 0; i < x->step.n; i++) {
        const Step *s = run_step(b, x, i), *t = run_step(b, y, i);
        if (s->id - x->step.v[0] != t->id - y->step.v[0] || !runs_alike(b, s, t))
            return false;
        if (x->region && !moves_alike(b, s, t))
            return false;
        if (s->kernel != t->kernel &&
            (s->kernel->kind == K_GEMM || b->same[s->kernel->id] != b->same[t->kernel->id] ||
             s->kernel->kind != t->kernel->kind))
            return false;
        if (s->kernel->units != t->kernel->units || s->kernel->least != t->kernel->least)
            return false;
    }
    return true;
}

static uint64_t operand_value(const Blocks *b, const Run *r, int step, int arg)
{
    const Step *s = run_step(b, r, step);
    if (arg >= s->kernel->n_arg) {
        uint64_t key[MOST_KEYS];
        int n = kernel_keys(s->kernel, key), k = arg - s->kernel->n_arg;
        return k < n ? key[k] : (uint64_t)(int64_t)s->wait[k - n];
    }
    return (uint64_t)(b->p->buffer.v[s->arg[arg].buffer].offset + s->arg[arg].offset);
}

/* Operands, keys of draws, waits. */
static int first_wait(const Kernel *k)
{
    uint64_t key[MOST_KEYS];
    return k->n_arg + kernel_keys(k, key);
}

const char *flat_path(Arena *a, const Plan *p, const Operand *o)
{
    const Buffer *x = &p->buffer.v[o->buffer];
    bool grad = x->role == ROLE_GRAD;
    if (x->group < 0 || x->sharded || x->sums || x->beside ||
        (!grad && x->role != ROLE_PARAM && x->role != ROLE_GATHERED))
        return NULL;
    const FlatGroup *g = &p->group.v[x->group];
    int k = 0;
    while (k < g->n && g->at[k] * 4 != o->offset)
        k++;
    if (k == g->n)
        return NULL;
    const char *path = p->model->param.v[g->param[k]].path;
    return grad ? arena_printf(a, "%s.grad", path) : path;
}

static const char *column_name(Arena *a, const Blocks *b, const Run *r, int step, int arg)
{
    const Step *s = run_step(b, r, step);
    if (arg >= s->kernel->n_arg)
        return arg < first_wait(s->kernel) ? "key" : "over";
    const char *path = flat_path(a, b->p, &s->arg[arg]);
    if (!path)
        path = b->p->buffer.v[s->arg[arg].buffer].path;
    const char *unit = b->p->instance[r->unit].path;
    size_t n = strlen(unit);
    if (n && strncmp(path, unit, n) == 0 && path[n] == '.')
        path += n + 1;
    else
        path = unit_pattern(a, path);
    return path_word(a, path);
}

static int column_add(Arena *a, RunClass *c, const uint64_t *value, bool key)
{
    for (int i = 0; i < c->column.n; i++)
        if (c->column.v[i].key == key &&
            memcmp(c->column.v[i].value, value, (size_t)c->n_row * sizeof *value) == 0)
            return i;
    Column x = {.key = key, .value = arena_array(a, uint64_t, c->n_row)};
    memcpy(x.value, value, (size_t)c->n_row * sizeof *value);
    vec_push(a, &c->column, x);
    return c->column.n - 1;
}

static void class_columns(Arena *a, Blocks *b, RunClass *c)
{
    const Run *r = &b->run.v[c->run[0]];
    uint64_t *value = arena_array(a, uint64_t, c->n_row);
    Map *names = map_new(a);
    map_put(names, "path", names);
    map_put(names, "step", names);
    c->column_of = arena_array(a, int *, r->step.n);
    for (int i = 0; i < r->step.n; i++) {
        const Kernel *k = run_step(b, r, i)->kernel;
        int keys = first_wait(k), n = keys + N_STREAMS;
        c->column_of[i] = arena_array(a, int, n + 1);
        for (int j = 0; j < n; j++) {
            bool differs = false;
            for (int row = 0; row < c->n_row; row++) {
                value[row] = operand_value(b, &b->run.v[c->run[row]], i, j);
                differs = differs || value[row] != value[0];
            }
            int had = c->column.n;
            c->column_of[i][j] = differs ? column_add(a, c, value, j >= k->n_arg && j < keys) : -1;
            if (c->column.n > had)
                c->column.v[had].name = unique_word(a, names, column_name(a, b, r, i, j));
        }
    }
}

static const char *class_name(Arena *a, const Blocks *b, const Run *r, Map *names)
{
    static const char *const phase[N_PHASES] = {"pre", "weight", "mid", "round", "post", "update"};
    static const char *const program[N_PROGRAMS] = {"", "eval_", "sample_"};
    const Step *s = run_step(b, r, 0);
    const char *what = b->phase != PHASE_ROUND ? phase[b->phase]
                       : s->backward           ? "backward"
                                               : "forward";
    const char *block = b->p->instance[r->unit].block;
    char *word = arena_strdup(a, path_word(a, block));
    for (char *c = word; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return unique_word(a, names, arena_printf(a, "%s%s_%s", program[b->program], word, what));
}

Blocks blocks_make(Arena *a, const Plan *p, const int *same, ProgramKind program, Phase phase,
                   Map *names)
{
    Blocks b = {.p = p, .same = same, .program = program, .phase = phase};
    collect_runs(a, &b);
    VEC(int) sample = {0}; /* by class: its first run */
    for (int i = 0; i < b.run.n; i++) {
        Run *r = &b.run.v[i];
        if (!r->unit)
            continue; /* written into the phase's function */
        for (int c = 0; c < sample.n && r->cls < 0; c++)
            if (alike(&b, r, &b.run.v[sample.v[c]]))
                r->cls = c;
        if (r->cls < 0) {
            r->cls = sample.n;
            vec_push(a, &sample, i);
            RunClass c = {.name = class_name(a, &b, r, names)};
            vec_push(a, &b.cls, c);
        }
        r->row = b.cls.v[r->cls].n_row++;
    }
    for (int c = 0; c < b.cls.n; c++) {
        RunClass *x = &b.cls.v[c];
        x->run = arena_array(a, int, x->n_row);
        for (int i = 0; i < b.run.n; i++)
            if (b.run.v[i].cls == c)
                x->run[b.run.v[i].row] = i;
        class_columns(a, &b, x);
    }
    return b;
}
