/* kernel_ins.c - one instruction of a FUSED kernel as one line of C: names, addresses, values, and
 * the lanes of a reduction. */
#include "codegen/kernel_fused.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

void fused_line(Printer *p, const char *fmt, ...)
{
    for (int i = 0; i < p->indent; i++)
        strbuf_add(p->s, "    ");
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(p->s, fmt, ap);
    va_end(ap);
    strbuf_char(p->s, '\n');
}

Arena *fused_arena(const Printer *p)
{
    return p->s->arena;
}

/* ---- names and numbers -------------------------------------------------------------------- */

static const char *ins_name(const Printer *p, int i)
{
    const char *name = p->f->ins.v[i].name;
    StrBuf b = strbuf_new(fused_arena(p));
    for (const char *c = name ? name : ""; *c && b.n < 24; c++)
        if (isalnum((unsigned char)*c) || (*c == '_' && b.n))
            strbuf_char(&b, *c);
    if (!b.n || isdigit((unsigned char)b.text[0])) {
        b = strbuf_new(fused_arena(p));
        strbuf_char(&b, 'v');
    }
    strbuf_printf(&b, "_%d", i);
    return b.text;
}

static const char *number(const Printer *p, DType t, double x)
{
    Arena *a = fused_arena(p);
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

const char *fused_value(const Printer *p, int i)
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
    StrBuf b = strbuf_new(fused_arena(p));
    if (start)
        strbuf_printf(&b, "%" PRId64, start);
    if (p->n_outer && one_run(p, stride)) {
        add_term(&b, p->row, stride[p->n_outer - 1]);
    } else {
        for (int a = 0; a < p->n_outer; a++)
            add_term(&b, arena_printf(fused_arena(p), "i%d", a), stride[a]);
    }
    return b.text ? b.text : "";
}

int64_t fused_column_stride(const Printer *p, const int64_t *stride)
{
    return p->w.cols ? stride[p->f->n_axis - 1] : 0;
}

static const char *element(const Printer *p, int acc, bool column, const char *moved)
{
    const Access *a = &p->f->access.v[acc];
    StrBuf b = strbuf_new(fused_arena(p));
    int o = p->access_offset[acc];
    if (o >= 0 && p->w.cols)
        strbuf_printf(&b, "o%d", o);
    else if (o >= 0)
        strbuf_add(&b, p->offset.v[o]);
    if (moved)
        add_term(&b, moved, 1);
    if (column)
        add_term(&b, "c", fused_column_stride(p, a->stride));
    return arena_printf(fused_arena(p), "a%d[%s]", a->arg, b.n ? b.text : "0");
}

void fused_find_offsets(Printer *p)
{
    p->access_offset = arena_array(fused_arena(p), int, p->f->access.n + 1);
    for (int i = 0; i < p->f->access.n; i++) {
        const Access *a = &p->f->access.v[i];
        const char *t = outer_text(p, a->offset, a->stride);
        int o = 0;
        while (o < p->offset.n && strcmp(p->offset.v[o], t))
            o++;
        if (o == p->offset.n && *t)
            vec_push(fused_arena(p), &p->offset, t);
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

void fused_offsets(Printer *p)
{
    if (uses_axes(p)) {
        int64_t under = 1; /* rows of the axes after this one */
        for (int a = p->n_outer - 1; a >= 0; a--) {
            StrBuf b = strbuf_new(fused_arena(p));
            strbuf_add(&b, p->row);
            if (under > 1)
                strbuf_printf(&b, " / %" PRId64, under);
            if (a)
                strbuf_printf(&b, " %% %" PRId64, p->f->extent[a]);
            if (axis_used(p, a))
                fused_line(p, "const int64_t i%d = %s;", a, b.text);
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
            fused_line(p, "const int64_t o%d = %s;", o, p->offset.v[o]);
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
    StrBuf b = strbuf_new(fused_arena(p));
    while (*t) {
        size_t w = 0;
        while (isalnum((unsigned char)t[w]) || t[w] == '_')
            w++;
        if (w == 1 && *t >= 'a' && *t <= 'c')
            strbuf_add(&b, fused_value(p, n->in[*t - 'a']));
        else
            strbuf_addn(&b, t, w ? w : 1);
        t += w ? w : 1;
    }
    return b.text;
}

static const char *cast_text(const Printer *p, const Ins *n)
{
    DType from = p->f->ins.v[n->in[0]].dtype;
    const char *x = fused_value(p, n->in[0]);
    Arena *a = fused_arena(p);
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
    StrBuf b = strbuf_new(fused_arena(p));
    strbuf_add(&b, outer_text(p, n->start, n->stride));
    add_term(&b, "c", fused_column_stride(p, n->stride));
    if (n->sample)
        add_term(&b, "draw->sample0", 1);
    return arena_printf(fused_arena(p), "(int32_t)(%s)", b.n ? b.text : "0");
}

static const char *random_text(const Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    return arena_printf(fused_arena(p), "bm_uniform(key_%d, (uint32_t)%s, %s, %s)", i,
                        fused_value(p, n->in[0]), fused_value(p, n->in[1]),
                        n->per_step ? "draw->step" : "0");
}

const char *fused_gather_index(const Printer *p, const Ins *n)
{
    const char *i = arena_printf(fused_arena(p), "bm_index(%s, %" PRId64 ", path, %s, %" PRId64 ")",
                                 fused_value(p, n->in[0]), n->limit, p->row, max64(p->k->units, 1));
    return n->gather == 1 ? i : arena_printf(fused_arena(p), "%s * %" PRId64, i, n->gather);
}

void fused_define(Printer *p, int i, Via via)
{
    const Ins *n = &p->f->ins.v[i];
    const char *x = "";
    bool column = p->w.cols && !p->w.row[i];
    if (via == VIA_KEPT) {
        x = arena_printf(fused_arena(p), "kept_%d[c]", i);
    } else if (via == VIA_RELOAD) {
        x = element(p, p->f->ins.v[p->w.stored[i]].acc, true, NULL);
    } else {
        switch (n->kind) {
        case I_LOAD:
            x = element(p, n->acc, column, NULL);
            break;
        case I_GATHER:
            if (!p->w.row[n->in[0]] || !column)
                fused_line(p, "const int64_t at_%d = %s;", i, fused_gather_index(p, n));
            x = element(p, n->acc, column, arena_printf(fused_arena(p), "at_%d", i));
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
            x = n->op == OP_ARGMAX
                    ? "0"
                    : arena_printf(fused_arena(p), "%s + 0", fused_value(p, n->in[0]));
            break;
        case I_CONST:
        case I_STORE:
        case I_COLSUM:
            return;
        }
    }
    fused_line(p, "const %s %s = %s;", value_type(n->dtype), ins_name(p, i), x);
    if (p->w.kept[i] && via == VIA_EVAL && column)
        fused_line(p, "kept_%d[c] = %s;", i, ins_name(p, i));
}

void fused_store(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    const Access *a = &p->f->access.v[n->acc];
    const char *to = element(p, n->acc, p->w.cols && !p->w.row[i], NULL);
    fused_line(p, a->dtype == DT_BOOL ? "%s = (uint8_t)%s;" : "%s = %s;", to,
               fused_value(p, n->in[0]));
}

int64_t fused_partial_columns(const Printer *p, const Ins *n)
{
    return fused_column_stride(p, p->f->access.v[n->acc].stride) ? p->w.cols : 1;
}

const char *fused_partial_text(const Printer *p, const Ins *n)
{
    const Access *a = &p->f->access.v[n->acc];
    int64_t cols = fused_partial_columns(p, n);
    StrBuf b = strbuf_new(fused_arena(p));
    if (a->offset)
        strbuf_printf(&b, "%" PRId64, a->offset);
    add_term(&b, "chunk", cols);
    if (cols > 1)
        add_term(&b, "c", 1);
    return arena_printf(fused_arena(p), "a%d[%s]", a->arg, b.text);
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

void fused_open_reduce(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    int lanes = lanes_of(p);
    const char *t = is_int(p, n) ? "int32_t" : "real";
    if (n->op == OP_SUM) {
        fused_line(p, "%s lane_%d[%d] = {0};", t, i, lanes);
        return;
    }
    fused_line(p, "%s lane_%d[%d];", t, i, lanes);
    if (n->op == OP_ARGMAX)
        fused_line(p, "int32_t where_%d[%d];", i, lanes);
    fused_line(p, "for (int l = 0; l < %d; l++) {", lanes);
    fused_line(p, "    lane_%d[l] = %s;", i, is_int(p, n) ? "INT32_MIN" : "R(-INFINITY)");
    if (n->op == OP_ARGMAX)
        fused_line(p, "    where_%d[l] = l;", i);
    fused_line(p, "}");
}

void fused_reduce(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    const char *x = fused_value(p, n->in[0]), *l = p->w.cols > LANES ? "l" : "c";
    bool ints = is_int(p, n);
    switch (n->op) {
    case OP_SUM:
        fused_line(p, "lane_%d[%s] += %s;", i, l, x);
        break;
    case OP_MAX_OF:
        if (ints)
            fused_line(p, "lane_%d[%s] = lane_%d[%s] < %s ? %s : lane_%d[%s];", i, l, i, l, x, x, i,
                       l);
        else
            fused_line(p, "lane_%d[%s] = bm_max(lane_%d[%s], %s);", i, l, i, l, x);
        break;
    case OP_ARGMAX:
        fused_line(p, "const int32_t better_%d = %s > lane_%d[%s]%s;", i, x, i, l,
                   ints ? ""
                        : arena_printf(fused_arena(p),
                                       " || (%s != %s && lane_%d[%s] == lane_%d[%s])", x, x, i, l,
                                       i, l));
        fused_line(p, "lane_%d[%s] = better_%d ? %s : lane_%d[%s];", i, l, i, x, i, l);
        fused_line(p, "where_%d[%s] = better_%d ? (int32_t)c : where_%d[%s];", i, l, i, i, l);
        break;
    default:
        BUG("a reduction by '%s'", op_info[n->op].name);
    }
}

void fused_close_reduce(Printer *p, int i)
{
    const Ins *n = &p->f->ins.v[i];
    const char *suffix = is_int(p, n) ? "_int" : "";
    int lanes = lanes_of(p);
    int64_t used = min64(p->w.cols, lanes);
    if (n->op == OP_ARGMAX)
        fused_line(p, "const int32_t %s = bm_fold_argmax%s(lane_%d, where_%d, %" PRId64 ");",
                   ins_name(p, i), suffix, i, i, used);
    else
        fused_line(p, "const %s %s = bm_fold_%s%s(lane_%d, %d);", value_type(n->dtype),
                   ins_name(p, i), n->op == OP_SUM ? "sum" : "max", suffix, i, lanes);
}
