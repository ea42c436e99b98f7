/* emit_step.c - one step as a call of the runtime, below a comment that says whose it is. */
#include "codegen/emit_c.h"
#include "codegen/kernel_c.h"

#include <inttypes.h>
#include <string.h>

typedef struct Printer {
    Emit *e;
    StrBuf *s;
    Body *uses;
    const Blocks *b;
    const Run *r;
    const RunClass *cls; /* NULL: every operand is written out */
    const Step *step;
    int index; /* of the step in its run */
} Printer;

const char *buffer_label(Emit *e, int buffer)
{
    if (!e->label[buffer]) {
        const char *word = path_word(e->a, e->p->buffer.v[buffer].path);
        e->label[buffer] = unique_word(e->a, e->at, arena_printf(e->a, "AT_%s", word));
        vec_push(e->a, &e->mapped, buffer);
    }
    return e->label[buffer];
}

static void operand(Printer *p, int arg)
{
    const Operand *o = &p->step->arg[arg];
    int64_t moves = operand_moves(p->e->p, p->step, arg);
    int column = p->cls ? p->cls->column_of[p->index][arg] : -1;
    strbuf_add(p->s, p->e->p->buffer.v[o->buffer].host ? "BMRT_HOST(r, " : "BMRT_AT(r, ");
    if (column >= 0) {
        strbuf_printf(p->s, "at->%s", p->cls->column.v[column].name);
    } else {
        strbuf_add(p->s, buffer_label(p->e, o->buffer));
        if (o->offset)
            strbuf_printf(p->s, " + %" PRId64, o->offset);
        const char *flat = flat_path(p->e->a, p->e->p, o);
        if (flat)
            strbuf_printf(p->s, " /* %s */", flat);
    }
    if (o->by_rank)
        strbuf_printf(p->s, " + r->shard * %" PRId64, o->by_rank);
    if (moves) {
        strbuf_printf(p->s, " + s * %" PRId64, moves);
        p->uses->s = true;
    }
    strbuf_char(p->s, ')');
}

static void count(Printer *p, int64_t n, bool times_nb)
{
    if (!times_nb) {
        strbuf_printf(p->s, "%" PRId64, n);
        return;
    }
    p->uses->nb = true;
    if (n == 1)
        strbuf_add(p->s, "nb");
    else
        strbuf_printf(p->s, "%" PRId64 " * nb", n);
}

/* ceil(n * nb / part) */
static void parts(Printer *p, int64_t n, bool times_nb, int64_t part)
{
    if (!times_nb) {
        count(p, (n + part - 1) / part, false);
        return;
    }
    if (n % part == 0) {
        count(p, n / part, true);
        return;
    }
    strbuf_char(p->s, '(');
    count(p, n, true);
    strbuf_printf(p->s, " + %" PRId64 ") / %" PRId64, part - 1, part);
}

/* ---- comments ----------------------------------------------------------------------------- */

static void comment_path(Printer *p)
{
    const char *path = p->step->path ? p->step->path : "";
    const char *unit = p->e->p->instance[p->r->unit].path;
    size_t n = strlen(unit);
    if (p->cls && p->cls->n_row > 1 && n && strncmp(path, unit, n) == 0) {
        strbuf_add(p->s, unit_pattern(p->e->a, unit));
        path += n;
    }
    strbuf_add(p->s, *path || (p->cls && n) ? path : p->e->p->model ? p->e->p->model->name : "");
}

static const char *units_text(const Printer *p)
{
    const Kernel *k = p->step->kernel;
    if (!k->batched)
        return arena_printf(p->e->a, "%" PRId64, k->units);
    return k->units == 1 ? "nb" : arena_printf(p->e->a, "nb x %" PRId64, k->units);
}

static void comment_shape(Printer *p)
{
    const Kernel *k = p->step->kernel;
    const char *nb = "nb x ";
    if (k->kind == K_GEMM) {
        const Gemm *g = &k->gemm;
        if (g->count0_nb || g->count1 > 1)
            strbuf_printf(p->s, " %s%" PRId64 " x", g->count0_nb ? nb : "", max64(g->count1, 1));
        strbuf_printf(p->s, " [%s%" PRId64 ", %" PRId64 "] @ [%" PRId64 ", %" PRId64 "]",
                      g->m_nb ? nb : "", g->m, g->k, g->k, g->n);
    } else if (k->kind == K_FUSED && k->fused.n_inner) {
        strbuf_printf(p->s, " [%s, %" PRId64 "]", units_text(p),
                      k->fused.extent[k->fused.n_axis - 1]);
    } else {
        strbuf_printf(p->s, " [%s]", units_text(p));
    }
}

static void waits(Printer *p)
{
    static const char *const stream[N_STREAMS] = {"BMRT_COMPUTE", "BMRT_COMM", "BMRT_COPY"};
    uint64_t key[MOST_KEYS];
    int first = p->step->kernel->n_arg + kernel_keys(p->step->kernel, key);
    for (int i = 0; i < N_STREAMS; i++) {
        int column = p->cls ? p->cls->column_of[p->index][first + i] : -1;
        if (p->step->wait[i] < 0)
            continue;
        if (column >= 0)
            strbuf_printf(p->s, "    bmrt_wait(r, %s, (int)at->%s);\n", stream[i],
                          p->cls->column.v[column].name);
        else
            strbuf_printf(p->s, "    bmrt_wait(r, %s, %d);\n", stream[i], p->step->wait[i]);
    }
}

/* A macro of the step's id. */
static void step_call(Printer *p, const char *word)
{
    if (p->cls && p->cls->n_row > 1)
        strbuf_printf(p->s, "    %s(at->step + %d);\n", word, p->step->id - p->r->step.v[0]);
    else
        strbuf_printf(p->s, "    %s(%d);\n", word, p->step->id);
}

static void comment(Printer *p)
{
    strbuf_add(p->s, "    /* ");
    comment_path(p);
    comment_shape(p);
    strbuf_printf(p->s, ": %s%s */\n", p->step->what ? p->step->what : "",
                  p->step->recompute ? " (again)" : "");
    bool streams = phase_has_streams(p->e->p, p->step->program, p->step->phase);
    const char *word = streams || p->e->debug ? "SYNC" : "STEP";
    step_call(p, word);
    waits(p);
    if (streams && p->e->debug)
        step_call(p, "CHECK");
}

/* ---- calls -------------------------------------------------------------------------------- */

static void field(Printer *p, const char *name, int64_t n, bool times_nb)
{
    if (!n)
        return;
    strbuf_printf(p->s, "%s.%s = ", p->s->text[p->s->n - 1] == '{' ? "" : ", ", name);
    count(p, n, times_nb);
}

static void call_gemm(Printer *p)
{
    const Gemm *g = &p->step->kernel->gemm;
    strbuf_add(p->s, "    bmrt_gemm(r, &(bmrt_gemm_args){");
    field(p, "m", g->m, g->m_nb);
    field(p, "n", g->n, false);
    field(p, "k", g->k, false);
    field(p, "ta", g->ta, false);
    field(p, "tb", g->tb, false);
    field(p, "lda", g->lda, false);
    field(p, "ldb", g->ldb, false);
    field(p, "ldc", g->ldc, false);
    if (g->count0_nb || g->count0 > 1) {
        field(p, "count0", max64(g->count0, 1), g->count0_nb);
        field(p, "a0", g->a0, false);
        field(p, "b0", g->b0, false);
        field(p, "c0", g->c0, false);
    }
    if (g->count1 > 1) {
        field(p, "count1", g->count1, false);
        field(p, "a1", g->a1, false);
        field(p, "b1", g->b1, false);
        field(p, "c1", g->c1, false);
    }
    if (g->sums_samples) {
        p->uses->nb = true;
        strbuf_add(p->s, ", .sums = nb");
        if (g->sums_samples > 1)
            strbuf_printf(p->s, " / %" PRId64, g->sums_samples);
    } else if (g->sums_nb || g->sums > 1) {
        field(p, "sums", max64(g->sums, 1), g->sums_nb);
    }
    if (g->sums_samples || g->sums_nb || g->sums > 1) {
        field(p, "as", g->as, false);
        field(p, "bs", g->bs, false);
    }
    if (g->accumulates && !p->step->anew)
        strbuf_add(p->s, ", .beta = r->first ? 0 : 1");
    else if (g->accumulates && p->step->region) {
        strbuf_add(p->s, ", .beta = s == 0 ? 0 : 1");
        p->uses->s = true;
    }
    strbuf_add(p->s, "},\n              ");
    for (int i = 0; i < 3; i++) {
        if (i)
            strbuf_add(p->s, ", ");
        operand(p, i);
    }
    strbuf_add(p->s, ");\n");
}

static void call_sum_squares(Printer *p)
{
    const Kernel *k = p->step->kernel;
    strbuf_add(p->s, "    bmrt_sum_squares(r, ");
    operand(p, 0);
    strbuf_add(p->s, ", ");
    count(p, k->units, k->batched);
    strbuf_add(p->s, ", ");
    operand(p, 1);
    strbuf_add(p->s, ");\n");
}

static void call_norm(Printer *p)
{
    const Kernel *k = p->step->kernel;
    strbuf_add(p->s, "    bmrt_norm(r, ");
    operand(p, 0);
    strbuf_add(p->s, ", (const int64_t[]){");
    for (int64_t i = 0; i < k->tpl.rows; i++)
        strbuf_printf(p->s, "%s%" PRId64, i ? ", " : "", k->group_grains[i]);
    strbuf_printf(p->s, "}, %" PRId64 ", %" PRId64 ", ", k->tpl.rows, k->tpl.cols);
    operand(p, 1);
    strbuf_add(p->s, ");\n");
}

static void call_zero(Printer *p)
{
    const Kernel *k = p->step->kernel;
    strbuf_add(p->s, "    bmrt_zero(r, ");
    operand(p, 0);
    strbuf_add(p->s, ", (const int64_t[][2]){");
    for (int i = 0; i < k->n_gap; i++)
        strbuf_printf(p->s, "%s{%" PRId64 ", %" PRId64 "}", i ? ", " : "", k->gap[i].at,
                      k->gap[i].count);
    strbuf_printf(p->s, "}, %d);\n", k->n_gap);
}

/* One round's sums and where rounds are added up, or what they come to. */
static void call_rounds(Printer *p, const char *function)
{
    strbuf_printf(p->s, "    %s(r, ", function);
    operand(p, 0);
    strbuf_add(p->s, ", ");
    operand(p, 1);
    strbuf_printf(p->s, ", %" PRId64 ");\n", p->step->kernel->tpl.cols);
}

static void key_arguments(Printer *p)
{
    const Kernel *k = p->step->kernel;
    uint64_t key[MOST_KEYS];
    int n = kernel_keys(k, key);
    if (!n)
        return;
    strbuf_add(p->s, ", (uint64_t[]){");
    for (int i = 0; i < n; i++) {
        int column = p->cls ? p->cls->column_of[p->index][k->n_arg + i] : -1;
        if (i)
            strbuf_add(p->s, ", ");
        if (column >= 0)
            strbuf_printf(p->s, "at->%s", p->cls->column.v[column].name);
        else
            strbuf_printf(p->s, "0x%016" PRIx64, key[i]);
    }
    strbuf_char(p->s, '}');
}

/* Does it overwrite its accumulator? */
static void first_argument(Printer *p)
{
    if (!p->step->anew) {
        strbuf_add(p->s, ", &r->first");
    } else if (p->step->region) {
        strbuf_add(p->s, ", (bool[]){s == 0}");
        p->uses->s = true;
    } else {
        strbuf_add(p->s, ", (bool[]){true}");
    }
}

/* The pointers after the buffers, in kernel.h's order. */
static void more_arguments(Printer *p)
{
    const Kernel *k = p->step->kernel;
    if (k->uses_draw) {
        strbuf_add(p->s, ", &draw");
        p->uses->draw = true;
    }
    if (k->uses_first)
        first_argument(p);
    if (k->uses_count) {
        strbuf_add(p->s, ", (int64_t[]){");
        if (k->kind == K_FUSED)
            count(p, k->units, k->batched);
        else if (k->kind == K_FOLD)
            parts(p, k->tpl.rows, true, max64(k->tpl.axis, 1));
        else
            count(p, 1, k->tpl.accumulates);
        strbuf_char(p->s, '}');
    }
    if (kernel_uses_path(k)) {
        if (p->cls && p->cls->n_row > 1)
            strbuf_add(p->s, ", (void *)at->path");
        else {
            strbuf_add(p->s, ", (void *)");
            c_string(p->s, p->step->path ? p->step->path : "");
        }
    }
    key_arguments(p);
}

static void call_launch(Printer *p)
{
    const Kernel *k = p->step->kernel;
    if (p->step->when != WHEN_ALWAYS)
        strbuf_add(p->s, p->step->when == WHEN_LAST ? "    if (r->last)\n    "
                                                    : "    if (r->first)\n    ");
    strbuf_printf(p->s, "    bmrt_launch(r, %s, ", p->e->p->kernel.v[p->e->same[k->id]]->name);
    if (k->kind == K_FUSED && k->fused.chunk)
        parts(p, k->units, k->batched, k->fused.chunk);
    else
        count(p, k->units, k->batched);
    strbuf_printf(p->s, ", %" PRId64 ",\n                (void *[]){", max64(k->least, 1));
    for (int i = 0; i < k->n_arg; i++) {
        if (i)
            strbuf_add(p->s, i % 3 ? ", " : ",\n                           ");
        operand(p, i);
    }
    more_arguments(p);
    strbuf_add(p->s, "});\n");
}

/* Does the step of any of the class's blocks make a value with a name? */
static bool makes_named(const Printer *p)
{
    for (int row = 0; p->cls && row < p->cls->n_row; row++)
        if (run_step(p->b, &p->b->run.v[p->cls->run[row]], p->index)->named.n)
            return true;
    return p->step->named.n > 0;
}

static void watched(Printer *p)
{
    bool region = p->step->region != 0;
    bool part = region && p->e->p->program[p->step->program].region_parts > 0;
    if (!makes_named(p))
        return;
    step_call(p, part ? "WATCHED_PART" : region ? "WATCHED_CHUNK" : "WATCHED");
    p->uses->nb = true;
    p->uses->s = p->uses->s || region;
    p->e->watched = p->e->watched || !region;
    p->e->watched_chunk = p->e->watched_chunk || (region && !part);
    p->e->watched_part = p->e->watched_part || part;
}

void emit_step(Emit *e, StrBuf *out, Body *uses, const Blocks *b, const Run *r, int step)
{
    Printer p = {.e = e, .s = out, .uses = uses, .b = b, .r = r, .index = step};
    p.step = run_step(b, r, step);
    p.cls = r->cls >= 0 ? &b->cls.v[r->cls] : NULL;
    comment(&p);
    switch (p.step->kernel->kind) {
    case K_GEMM:
        call_gemm(&p);
        break;
    case K_SUM_SQUARES:
        call_sum_squares(&p);
        break;
    case K_NORM:
        call_norm(&p);
        break;
    case K_ZERO:
        call_zero(&p);
        break;
    case K_TREE:
        call_rounds(&p, "bmrt_tree");
        break;
    case K_EXACT_SUM:
        call_rounds(&p, "bmrt_exact_sum");
        break;
    case K_EXACT_TOTAL:
        call_rounds(&p, "bmrt_exact_total");
        break;
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
    case K_COPY:
        BUG("%s is not of the compute stream", p.step->kernel->name);
    case K_FUSED:
    case K_FOLD:
    case K_BATCH:
    case K_SCATTER:
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
    case K_CUMSUM:
    case K_TOP_K:
        call_launch(&p);
        break;
    }
    watched(&p);
}
