/* kernel_fused.c - a FUSED kernel as C: loops over units and columns, one line per instruction.
 *
 * A unit is a row: what is the same for all its columns is computed before its sweeps. With partial
 * sums (COLSUM) a unit is a chunk of rows. Loops are plain, so that the C compiler makes vector
 * code of them; the only arrays are the lanes of a reduction and rows kept for a later sweep. */
#include "codegen/kernel_c.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

typedef struct Printer {
    StrBuf *s;
    const Kernel *k;
    const Fused *f;
    Walk w;
    int indent;
    const char *row;    /* the variable that counts rows */
    const char *column; /* the type of the variable that counts columns */
    int n_outer;
    VEC(const char *) offset; /* texts of the row's offsets, o0, o1, ... */
    int *access_offset;       /* by access: which of them; -1: none (0) */
} Printer;

BM_PRINTF(2, 3) static void line(Printer *p, const char *fmt, ...)
{
    for (int i = 0; i < p->indent; i++)
        strbuf_add(p->s, "    ");
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(p->s, fmt, ap);
    va_end(ap);
    strbuf_char(p->s, '\n');
}

static Arena *arena_of(const Printer *p)
{
    return p->s->arena;
}

/* ---- names and numbers -------------------------------------------------------------------- */

static const char *ins_name(const Printer *p, int i)
{
    const char *name = p->f->ins.v[i].name;
    StrBuf b = strbuf_new(arena_of(p));
    for (const char *c = name ? name : ""; *c && b.n < 24; c++)
        if (isalnum((unsigned char)*c) || (*c == '_' && b.n))
            strbuf_char(&b, *c);
    if (!b.n || isdigit((unsigned char)b.text[0])) {
        b = strbuf_new(arena_of(p));
        strbuf_char(&b, 'v');
    }
    strbuf_printf(&b, "_%d", i);
    return b.text;
}

static const char *number(const Printer *p, DType t, double x)
{
    Arena *a = arena_of(p);
    if (t != DT_F32)
        return x == (double)INT32_MIN ? "INT32_MIN"
               : x < 0                ? arena_printf(a, "(%.0f)", x)
                                      : arena_printf(a, "%.0f", x);
    if (x != x)
        return "R(NAN)";
    if (isinf(x))
        return x < 0 ? "R(-INFINITY)" : "R(INFINITY)";
    if (x == 0 && signbit(x))
        return "R(-0.0)";
    StrBuf b = strbuf_new(a);
    strbuf_add(&b, "R(");
    strbuf_double(&b, x);
    if (!strpbrk(b.text, ".e"))
        strbuf_add(&b, ".0");
    strbuf_char(&b, ')');
    return b.text;
}

static const char *value(const Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    return n->kind == I_CONST ? number(p, n->dtype, n->value) : ins_name(p, i);
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void add_term(StrBuf *b, const char *var, int64_t stride)
{
    if (!stride)
        return;
    if (b->n)
        strbuf_add(b, stride < 0 ? " - " : " + ");
    else if (stride < 0)
        strbuf_char(b, '-');
    strbuf_add(b, var);
    if (stride != 1 && stride != -1)
        strbuf_printf(b, " * %" PRId64, stride < 0 ? -stride : stride);
}

/* Are the rows one run for these strides, so that the row's number times the last is enough? */
static bool one_run(const Printer *p, const int64_t *stride)
{
    for (int a = 0; a + 1 < p->n_outer; a++)
        if (stride[a] != stride[a + 1] * p->f->extent[a + 1])
            return false;
    return true;
}

/* start + the outer axes' part of an index. */
static const char *outer_text(const Printer *p, int64_t start, const int64_t *stride)
{
    StrBuf b = strbuf_new(arena_of(p));
    if (start)
        strbuf_printf(&b, "%" PRId64, start);
    if (p->n_outer && one_run(p, stride)) {
        add_term(&b, p->row, stride[p->n_outer - 1]);
    } else {
        for (int a = 0; a < p->n_outer; a++)
            add_term(&b, arena_printf(arena_of(p), "i%d", a), stride[a]);
    }
    return b.text ? b.text : "";
}

static int64_t column_stride(const Printer *p, const int64_t *stride)
{
    return p->w.cols ? stride[p->f->n_axis - 1] : 0;
}

static const char *element(const Printer *p, int acc, bool column, const char *moved)
{
    const Access *a = &p->f->access.v[acc];
    StrBuf b = strbuf_new(arena_of(p));
    int o = p->access_offset[acc];
    if (o >= 0 && p->w.cols)
        strbuf_printf(&b, "o%d", o);
    else if (o >= 0)
        strbuf_add(&b, p->offset.v[o]);
    if (moved)
        add_term(&b, moved, 1);
    if (column)
        add_term(&b, "c", column_stride(p, a->stride));
    return arena_printf(arena_of(p), "a%d[%s]", a->arg, b.n ? b.text : "0");
}

static void collect_offsets(Printer *p)
{
    p->access_offset = arena_array(arena_of(p), int, p->f->access.n + 1);
    for (int i = 0; i < p->f->access.n; i++) {
        const Access *a = &p->f->access.v[i];
        const char *t = outer_text(p, a->offset, a->stride);
        int o = 0;
        while (o < p->offset.n && strcmp(p->offset.v[o], t))
            o++;
        if (o == p->offset.n && *t)
            vec_push(arena_of(p), &p->offset, t);
        p->access_offset[i] = *t ? o : -1;
    }
    for (int i = 0; i < p->f->ins.n; i++) /* partial sums are addressed by their chunk */
        if (p->f->ins.v[i].kind == I_COLSUM)
            p->access_offset[p->f->ins.v[i].acc] = -1;
}

static bool uses_axes(const Printer *p)
{
    if (p->n_outer < 2)
        return false;
    for (int i = 0; i < p->f->access.n; i++)
        if (!one_run(p, p->f->access.v[i].stride))
            return true;
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->f->ins.v[i].kind == I_INDEX && !one_run(p, p->f->ins.v[i].stride))
            return true;
    return false;
}

static bool axis_used(const Printer *p, int axis)
{
    for (int i = 0; i < p->f->access.n; i++)
        if (!one_run(p, p->f->access.v[i].stride) && p->f->access.v[i].stride[axis])
            return true;
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->f->ins.v[i].kind == I_INDEX && !one_run(p, p->f->ins.v[i].stride) &&
            p->f->ins.v[i].stride[axis])
            return true;
    return false;
}

static void print_offsets(Printer *p)
{
    if (uses_axes(p)) {
        int64_t under = 1; /* rows of the axes after this one */
        for (int a = p->n_outer - 1; a >= 0; a--) {
            StrBuf b = strbuf_new(arena_of(p));
            strbuf_add(&b, p->row);
            if (under > 1)
                strbuf_printf(&b, " / %" PRId64, under);
            if (a)
                strbuf_printf(&b, " %% %" PRId64, p->f->extent[a]);
            if (axis_used(p, a))
                line(p, "const int64_t i%d = %s;", a, b.text);
            under *= p->f->extent[a];
        }
    }
    if (!p->w.cols)
        return;
    for (int o = 0; o < p->offset.n; o++) {
        bool used = false;
        for (int i = 0; i < p->f->access.n; i++)
            used = used || p->access_offset[i] == o;
        if (used)
            line(p, "const int64_t o%d = %s;", o, p->offset.v[o]);
    }
}

/* ---- instructions ------------------------------------------------------------------------- */

/* The MAP text with a, b, c replaced by the operands. */
static const char *map_text(const Printer *p, const Ins *n)
{
    const char *t = op_info[n->op].map;
    if (!t)
        BUG("op '%s' has no MAP text", op_info[n->op].name);
    if (n->dtype == DT_INT && (n->op == OP_MAX || n->op == OP_MIN)) /* ints have no NaN */
        t = n->op == OP_MAX ? "a < b ? b : a" : "a > b ? b : a";
    StrBuf b = strbuf_new(arena_of(p));
    while (*t) {
        size_t w = 0;
        while (isalnum((unsigned char)t[w]) || t[w] == '_')
            w++;
        if (w == 1 && *t >= 'a' && *t <= 'c')
            strbuf_add(&b, value(p, n->in[*t - 'a']));
        else
            strbuf_addn(&b, t, w ? w : 1);
        t += w ? w : 1;
    }
    return b.text;
}

static const char *cast_text(const Printer *p, const Ins *n)
{
    DType from = p->f->ins.v[n->in[0]].dtype;
    const char *x = value(p, n->in[0]);
    Arena *a = arena_of(p);
    if (n->dtype == from)
        return x;
    if (n->dtype == DT_BOOL)
        return arena_printf(a, "%s != 0", x);
    if (n->dtype == DT_F32)
        return arena_printf(a, "(real)%s", x);
    return from == DT_F32 ? arena_printf(a, "bm_int(%s)", x) : x;
}

static const char *index_text(const Printer *p, const Ins *n)
{
    StrBuf b = strbuf_new(arena_of(p));
    strbuf_add(&b, outer_text(p, n->start, n->stride));
    add_term(&b, "c", column_stride(p, n->stride));
    if (n->sample)
        add_term(&b, "draw->sample0", 1);
    return arena_printf(arena_of(p), "(int32_t)(%s)", b.n ? b.text : "0");
}

static const char *random_text(const Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    return arena_printf(arena_of(p), "bm_uniform(key_%d, (uint32_t)%s, %s, %s)", i,
                        value(p, n->in[0]), value(p, n->in[1]), n->per_step ? "draw->step" : "0");
}

static const char *gather_index(const Printer *p, const Ins *n)
{
    const char *i = arena_printf(arena_of(p), "bm_index(%s, %" PRId64 ", path, %s, %" PRId64 ")",
                                 value(p, n->in[0]), n->limit, p->row, max64(p->k->units, 1));
    return n->gather == 1 ? i : arena_printf(arena_of(p), "%s * %" PRId64, i, n->gather);
}

static void print_value(Printer *p, int i, Via via)
{
    const Ins *n = &p->f->ins.v[i];
    const char *x = "";
    bool column = p->w.cols && !p->w.row[i];
    if (via == VIA_KEPT) {
        x = arena_printf(arena_of(p), "kept_%d[c]", i);
    } else if (via == VIA_RELOAD) {
        x = element(p, p->f->ins.v[p->w.stored[i]].acc, true, NULL);
    } else {
        switch (n->kind) {
        case I_LOAD:
            x = element(p, n->acc, column, NULL);
            break;
        case I_GATHER:
            if (!p->w.row[n->in[0]] || !column)
                line(p, "const int64_t at_%d = %s;", i, gather_index(p, n));
            x = element(p, n->acc, column, arena_printf(arena_of(p), "at_%d", i));
            break;
        case I_INDEX:
            x = index_text(p, n);
            break;
        case I_ELEM:
            x = n->op == OP_CAST ? cast_text(p, n) : map_text(p, n);
            break;
        case I_RANDOM:
            x = random_text(p, i);
            break;
        case I_REDUCE: /* of one column */
            x = n->op == OP_ARGMAX ? "0" : arena_printf(arena_of(p), "%s + 0", value(p, n->in[0]));
            break;
        case I_CONST:
        case I_STORE:
        case I_COLSUM:
            return;
        }
    }
    line(p, "const %s %s = %s;", value_type(n->dtype), ins_name(p, i), x);
    if (p->w.kept[i] && via == VIA_EVAL && column)
        line(p, "kept_%d[c] = %s;", i, ins_name(p, i));
}

static void print_store(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    const Access *a = &p->f->access.v[n->acc];
    const char *to = element(p, n->acc, p->w.cols && !p->w.row[i], NULL);
    line(p, a->dtype == DT_BOOL ? "%s = (uint8_t)%s;" : "%s = %s;", to, value(p, n->in[0]));
}

static int64_t partial_columns(const Printer *p, const Ins *n)
{
    return column_stride(p, p->f->access.v[n->acc].stride) ? p->w.cols : 1;
}

static const char *partial_text(const Printer *p, const Ins *n)
{
    const Access *a = &p->f->access.v[n->acc];
    int64_t cols = partial_columns(p, n);
    StrBuf b = strbuf_new(arena_of(p));
    if (a->offset)
        strbuf_printf(&b, "%" PRId64, a->offset);
    add_term(&b, "chunk", cols);
    if (cols > 1)
        add_term(&b, "c", 1);
    return arena_printf(arena_of(p), "a%d[%s]", a->arg, b.text);
}

/* ---- reductions --------------------------------------------------------------------------- */

static int lanes_of(const Printer *p)
{
    return p->w.cols <= 64 ? 64 : LANES;
}

static bool is_int(const Printer *p, const Ins *n)
{
    return p->f->ins.v[n->in[0]].dtype != DT_F32;
}

static void open_reduce(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    int lanes = lanes_of(p);
    const char *t = is_int(p, n) ? "int32_t" : "real";
    if (n->op == OP_SUM) {
        line(p, "%s lane_%d[%d] = {0};", t, i, lanes);
        return;
    }
    line(p, "%s lane_%d[%d];", t, i, lanes);
    if (n->op == OP_ARGMAX)
        line(p, "int32_t where_%d[%d];", i, lanes);
    line(p, "for (int l = 0; l < %d; l++) {", lanes);
    line(p, "    lane_%d[l] = %s;", i, is_int(p, n) ? "INT32_MIN" : "R(-INFINITY)");
    if (n->op == OP_ARGMAX)
        line(p, "    where_%d[l] = l;", i);
    line(p, "}");
}

static void print_reduce(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    const char *x = value(p, n->in[0]), *l = p->w.cols > LANES ? "l" : "c";
    bool ints = is_int(p, n);
    switch (n->op) {
    case OP_SUM:
        line(p, "lane_%d[%s] += %s;", i, l, x);
        break;
    case OP_MAX_OF:
        if (ints)
            line(p, "lane_%d[%s] = lane_%d[%s] < %s ? %s : lane_%d[%s];", i, l, i, l, x, x, i, l);
        else
            line(p, "lane_%d[%s] = bm_max(lane_%d[%s], %s);", i, l, i, l, x);
        break;
    case OP_ARGMAX:
        line(p, "const int32_t better_%d = %s > lane_%d[%s]%s;", i, x, i, l,
             ints ? ""
                  : arena_printf(arena_of(p), " || (%s != %s && lane_%d[%s] == lane_%d[%s])", x, x,
                                 i, l, i, l));
        line(p, "lane_%d[%s] = better_%d ? %s : lane_%d[%s];", i, l, i, x, i, l);
        line(p, "where_%d[%s] = better_%d ? (int32_t)c : where_%d[%s];", i, l, i, i, l);
        break;
    default:
        BUG("a reduction by '%s'", op_info[n->op].name);
    }
}

static void close_reduce(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    const char *suffix = is_int(p, n) ? "_int" : "";
    int lanes = lanes_of(p);
    int64_t used = min64(p->w.cols, lanes);
    if (n->op == OP_ARGMAX)
        line(p, "const int32_t %s = bm_fold_argmax%s(lane_%d, where_%d, %" PRId64 ");",
             ins_name(p, i), suffix, i, i, used);
    else
        line(p, "const %s %s = bm_fold_%s%s(lane_%d, %d);", value_type(n->dtype), ins_name(p, i),
             n->op == OP_SUM ? "sum" : "max", suffix, i, lanes);
}

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
        line(p, "BM_APART");
        line(p, "for (%s c = 0; c < %" PRId64 "; c++) {", p->column, cols);
        p->indent++;
        return;
    }
    line(p, "for (%s b = 0; b < %" PRId64 "; b += %d) {", p->column, cols, LANES);
    p->indent++;
    if (cols % LANES)
        line(p, "const int n = b + %d < %" PRId64 " ? %d : %d;", LANES, cols, LANES,
             (int)(cols % LANES));
    line(p, "BM_APART");
    line(p, "for (int l = 0; l < %s; l++) {",
         cols % LANES ? "n" : arena_printf(arena_of(p), "%d", LANES));
    p->indent++;
    line(p, "const %s c = b + l;", p->column);
}

static void close_columns(Printer *p, bool lanes)
{
    for (int d = lanes && p->w.cols > LANES ? 2 : 1; d > 0; d--) {
        p->indent--;
        line(p, "}");
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
        if (via == VIA_EVAL && ((n->acc >= 0 && column_stride(p, p->f->access.v[n->acc].stride)) ||
                                (n->kind == I_INDEX && column_stride(p, n->stride))))
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
            open_reduce(p, i);
    open_columns(p, lanes);
    if (lanes && p->w.cols > LANES && !column_used(p, sweep))
        line(p, "(void)c;");
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        Via via = walk_via(&p->w, sweep, i);
        if (via != VIA_NONE)
            print_value(p, i, via);
        if (p->w.sink[i] != sweep || !p->w.used[i])
            continue;
        if (n->kind == I_REDUCE)
            print_reduce(p, i);
        else if (n->kind == I_STORE && !p->w.row[i])
            print_store(p, i);
        else if (n->kind == I_COLSUM && !p->w.row[i])
            line(p, "%s += %s;", partial_text(p, n), value(p, n->in[0]));
    }
    close_columns(p, lanes);
    for (int i = 0; i < p->f->ins.n; i++)
        if (reduces_in(p, sweep, i))
            close_reduce(p, i);
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
            print_value(p, i, VIA_EVAL);
        if (n->kind == I_GATHER && !p->w.row[i] && p->w.row[n->in[0]] &&
            p->w.ready[n->in[0]] == sweep)
            line(p, "const int64_t at_%d = %s;", i, gather_index(p, n));
        if (p->w.row[i] && p->w.sink[i] == sweep && n->kind == I_STORE)
            print_store(p, i);
        if (p->w.row[i] && p->w.sink[i] == sweep && n->kind == I_COLSUM)
            line(p, "%s += %s;", partial_text(p, n), value(p, n->in[0]));
    }
}

/* A unit of one element: everything in order. */
static void print_flat(Printer *p)
{
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        if (walk_via(&p->w, 0, i) != VIA_NONE)
            print_value(p, i, VIA_EVAL);
        if (n->kind == I_STORE)
            print_store(p, i);
        else if (n->kind == I_COLSUM)
            line(p, "%s += %s;", partial_text(p, n), value(p, n->in[0]));
    }
}

static void print_unit(Printer *p)
{
    print_offsets(p);
    if (!p->w.cols) {
        print_flat(p);
        return;
    }
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->w.kept[i])
            line(p, "%s kept_%d[%" PRId64 "];", value_type(p->f->ins.v[i].dtype), i, p->w.cols);
    for (int sweep = 0; sweep < p->w.n_sweep; sweep++) {
        print_row(p, sweep);
        if (walk_sweeps(&p->w, sweep))
            print_columns(p, sweep);
    }
}

static void print_chunks(Printer *p)
{
    line(p, "for (int64_t chunk = lo; chunk < hi; chunk++) {");
    p->indent++;
    for (int i = 0; i < p->f->ins.n; i++) {
        const Ins *n = &p->f->ins.v[i];
        if (n->kind != I_COLSUM)
            continue;
        if (partial_columns(p, n) > 1)
            line(p, "for (%s c = 0; c < %" PRId64 "; c++)", p->column, p->w.cols);
        line(p, partial_columns(p, n) > 1 ? "    %s = 0;" : "%s = 0;", partial_text(p, n));
    }
    line(p,
         "const int64_t end = (chunk + 1) * %" PRId64 " < rows ? (chunk + 1) * %" PRId64 " : rows;",
         p->f->chunk, p->f->chunk);
    line(p, "for (int64_t u = chunk * %" PRId64 "; u < end; u++) {", p->f->chunk);
    p->indent++;
    print_unit(p);
    p->indent--;
    line(p, "}");
    p->indent--;
    line(p, "}");
}

/* ---- the function ------------------------------------------------------------------------- */

static const char *column_type(const Printer *p)
{
    int64_t most = p->w.cols;
    for (int i = 0; i < p->f->access.n; i++) {
        int64_t s = column_stride(p, p->f->access.v[i].stride);
        most = max64(most, p->w.cols * (s < 0 ? -s : s));
    }
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->f->ins.v[i].kind == I_INDEX) {
            int64_t s = column_stride(p, p->f->ins.v[i].stride);
            most = max64(most, p->w.cols * (s < 0 ? -s : s));
        }
    return most < INT_MAX / 2 ? "int" : "int64_t";
}

static void print_keys(Printer *p)
{
    int n = 0;
    for (int i = 0; i < p->f->ins.n; i++)
        if (p->f->ins.v[i].kind == I_RANDOM)
            line(p, "const uint64_t key_%d = bm_key(draw->seed, keys[%d]);", i, n++);
}

void fused_c(StrBuf *s, const Kernel *k)
{
    Printer p = {.s = s, .k = k, .f = &k->fused, .indent = 1, .row = "u"};
    p.w = walk_fused(s->arena, k);
    p.n_outer = k->fused.n_axis - k->fused.n_inner;
    p.column = column_type(&p);
    collect_offsets(&p);
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
            line(&p, "const int64_t rows = %" PRId64 ";", k->units);
        print_chunks(&p);
    } else {
        if (!p.w.cols)
            line(&p, "BM_APART");
        line(&p, "for (int64_t u = lo; u < hi; u++) {");
        p.indent++;
        print_unit(&p);
        p.indent--;
        line(&p, "}");
    }
    strbuf_add(s, "}\n\n");
}
