/* kernel_fused.c - a FUSED kernel as C: loops over units and columns, one line per instruction.
 *
 * A unit is a row: what is the same for all its columns is computed before its sweeps. With partial
 * sums (COLSUM) a unit is a chunk of rows. Loops are plain, so that the C compiler makes vector
 * code of them; the only arrays are the lanes of a reduction and rows kept for a later sweep. */
#include "codegen/kernel_fused.h"

#include <inttypes.h>
#include <limits.h>

/* ---- sweeps ------------------------------------------------------------------------------- */

static bool reduces_in(const Printer *p, int sweep, int i)
{
    return p->w.used[i] && p->f->ins.v[i].kind == I_REDUCE && p->w.sink[i] == sweep;
}

static bool any_reduce(const Printer *p, int sweep)
{
    for (int i = 0; i < p->f->ins.n; i++)
        if (reduces_in(p, sweep, i))
            return true;
    return false;
}

static void open_columns(Printer *p, bool lanes)
{
    int64_t cols = p->w.cols;
    if (!lanes || cols <= LANES) {
        fused_line(p, "BM_APART");
        fused_line(p, "for (%s c = 0; c < %" PRId64 "; c++) {", p->column, cols);
        p->indent++;
        return;
    }
    fused_line(p, "for (%s b = 0; b < %" PRId64 "; b += %d) {", p->column, cols, LANES);
    p->indent++;
    if (cols % LANES)
        fused_line(p, "const int n = b + %d < %" PRId64 " ? %d : %d;", LANES, cols, LANES,
                   (int)(cols % LANES));
    fused_line(p, "BM_APART");
    fused_line(p, "for (int l = 0; l < %s; l++) {",
               cols % LANES ? "n" : arena_printf(fused_arena(p), "%d", LANES));
    p->indent++;
    fused_line(p, "const %s c = b + l;", p->column);
}

static void close_columns(Printer *p, bool lanes)
{
    for (int d = lanes && p->w.cols > LANES ? 2 : 1; d > 0; d--) {
        p->indent--;
        fused_line(p, "}");
    }
}

static bool column_used(const Printer *p, int sweep)
{
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        Via via = walk_via(&p->w, sweep, i);
        bool sink = p->w.used[i] && p->w.sink[i] == sweep && !p->w.row[i];
        if (via == VIA_KEPT || via == VIA_RELOAD || (via == VIA_EVAL && p->w.kept[i]) || sink)
            return true;
        if (via == VIA_EVAL &&
            ((n->acc >= 0 && fused_column_stride(p, p->f->access.v[n->acc].stride)) ||
             (n->kind == I_INDEX && fused_column_stride(p, n->stride))))
            return true;
        if (reduces_in(p, sweep, i) && n->op == OP_ARGMAX)
            return true;
    }
    return false;
}

static void print_columns(Printer *p, int sweep)
{
    bool lanes = any_reduce(p, sweep);
    for (int i = 0; i < p->f->ins.n; i++)
        if (reduces_in(p, sweep, i))
            fused_open_reduce(p, i);
    open_columns(p, lanes);
    if (lanes && p->w.cols > LANES && !column_used(p, sweep))
        fused_line(p, "(void)c;");
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        Via via = walk_via(&p->w, sweep, i);
        if (via != VIA_NONE)
            fused_define(p, i, via);
        if (p->w.sink[i] != sweep || !p->w.used[i])
            continue;
        if (n->kind == I_REDUCE)
            fused_reduce(p, i);
        else if (n->kind == I_STORE && !p->w.row[i])
            fused_store(p, i);
        else if (n->kind == I_COLSUM && !p->w.row[i])
            fused_line(p, "%s += %s;", fused_partial_text(p, n), fused_value(p, n->in[0]));
    }
    close_columns(p, lanes);
    for (int i = 0; i < p->f->ins.n; i++)
        if (reduces_in(p, sweep, i))
            fused_close_reduce(p, i);
}

/* What is computed once per row, before the sweep. */
static void print_row(Printer *p, int sweep)
{
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        if (!p->w.used[i])
            continue;
        if (p->w.row[i] && n->kind != I_REDUCE && n->kind != I_COLSUM && n->kind != I_STORE &&
            p->w.ready[i] == sweep)
            fused_define(p, i, VIA_EVAL);
        if (n->kind == I_GATHER && !p->w.row[i] && p->w.row[n->in[0]] &&
            p->w.ready[n->in[0]] == sweep)
            fused_line(p, "const int64_t at_%d = %s;", i, fused_gather_index(p, n));
        if (p->w.row[i] && p->w.sink[i] == sweep && n->kind == I_STORE)
            fused_store(p, i);
        if (p->w.row[i] && p->w.sink[i] == sweep && n->kind == I_COLSUM)
            fused_line(p, "%s += %s;", fused_partial_text(p, n), fused_value(p, n->in[0]));
    }
}

/* A unit of one element: everything in order. */
static void print_flat(Printer *p)
{
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        if (walk_via(&p->w, 0, i) != VIA_NONE)
            fused_define(p, i, VIA_EVAL);
        if (n->kind == I_STORE)
            fused_store(p, i);
        else if (n->kind == I_COLSUM)
            fused_line(p, "%s += %s;", fused_partial_text(p, n), fused_value(p, n->in[0]));
    }
}

static void print_unit(Printer *p)
{
    fused_offsets(p);
    if (!p->w.cols) {
        print_flat(p);
        return;
    }
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->w.kept[i])
            fused_line(p, "%s kept_%d[%" PRId64 "];", value_type(p->f->ins.v[i].dtype), i,
                       p->w.cols);
    for (int sweep = 0; sweep < p->w.n_sweep; sweep++) {
        print_row(p, sweep);
        if (walk_sweeps(&p->w, sweep))
            print_columns(p, sweep);
    }
}

static void print_chunks(Printer *p)
{
    fused_line(p, "for (int64_t chunk = lo; chunk < hi; chunk++) {");
    p->indent++;
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        if (n->kind != I_COLSUM)
            continue;
        if (fused_partial_columns(p, n) > 1)
            fused_line(p, "for (%s c = 0; c < %" PRId64 "; c++)", p->column, p->w.cols);
        fused_line(p, fused_partial_columns(p, n) > 1 ? "    %s = 0;" : "%s = 0;",
                   fused_partial_text(p, n));
    }
    fused_line(p,
               "const int64_t end = (chunk + 1) * %" PRId64 " < rows ? (chunk + 1) * %" PRId64
               " : rows;",
               p->f->chunk, p->f->chunk);
    fused_line(p, "for (int64_t u = chunk * %" PRId64 "; u < end; u++) {", p->f->chunk);
    p->indent++;
    print_unit(p);
    p->indent--;
    fused_line(p, "}");
    p->indent--;
    fused_line(p, "}");
}

/* ---- the function ------------------------------------------------------------------------- */

static const char *column_type(const Printer *p)
{
    int64_t most = p->w.cols;
    for (int i = 0; i < p->f->access.n; i++) {
        int64_t s = fused_column_stride(p, p->f->access.v[i].stride);
        most = max64(most, p->w.cols * (s < 0 ? -s : s));
    }
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->f->ins.v[i].kind == I_INDEX) {
            int64_t s = fused_column_stride(p, p->f->ins.v[i].stride);
            most = max64(most, p->w.cols * (s < 0 ? -s : s));
        }
    return most < INT_MAX / 2 ? "int" : "int64_t";
}

static void print_keys(Printer *p)
{
    int n = 0;
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->f->ins.v[i].kind == I_RANDOM)
            fused_line(p, "const uint64_t key_%d = bm_key(draw->seed, keys[%d]);", i, n++);
}

void fused_c(StrBuf *s, const Kernel *k)
{
    Printer p = {.s = s, .k = k, .f = &k->fused, .indent = 1, .row = "u"};
    p.w = walk_fused(s->arena, k);
    p.n_outer = k->fused.n_axis - k->fused.n_inner;
    p.column = column_type(&p);
    fused_find_offsets(&p);
    const char *name[countof(k->arg_dtype)] = {0};
    for (int i = 0; i < p.f->ins.n; i++) {
        const Ins *n = &p.f->ins.v[i];
        if (n->acc >= 0 && !name[p.f->access.v[n->acc].arg])
            name[p.f->access.v[n->acc].arg] = n->name;
    }
    StrBuf what = strbuf_new(s->arena);
    if (k->fused.chunk)
        strbuf_printf(&what, "chunk of %" PRId64 " rows", k->fused.chunk);
    else
        strbuf_add(&what, p.w.cols ? "row" : "element");
    if (p.w.cols)
        strbuf_printf(&what, " of %" PRId64 " columns", p.w.cols);
    kernel_open(s, k, what.text);
    kernel_args(s, k, name);
    print_keys(&p);
    if (k->fused.chunk) {
        if (!k->uses_count)
            fused_line(&p, "const int64_t rows = %" PRId64 ";", k->units);
        print_chunks(&p);
    } else {
        if (!p.w.cols)
            fused_line(&p, "BM_APART");
        fused_line(&p, "for (int64_t u = lo; u < hi; u++) {");
        p.indent++;
        print_unit(&p);
        p.indent--;
        fused_line(&p, "}");
    }
    strbuf_add(s, "}\n\n");
}
