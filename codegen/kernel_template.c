/* kernel_template.c - the small fixed kernels: fold, sum over samples, scatter, cumsum, top-k. */
#include "codegen/kernel_c.h"

#include "embedded.h"

#include <inttypes.h>

static const char *num(StrBuf *s, int64_t n)
{
    return arena_printf(s->arena, "%" PRId64, n);
}

/* The stride when all elements (without axis `skip`) lie at one stride, else -1. */
static int64_t one_run(const View *v, int skip)
{
    int64_t run = -1, next = 0;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (i == skip || v->dim[i] == 1)
            continue;
        if (run < 0)
            run = v->stride[i];
        else if (v->stride[i] != next)
            return -1;
        next = v->stride[i] * v->dim[i];
    }
    return run;
}

/* `line` counts elements of the view in row-major order, without axis `skip` (-1: all). */
static const char *line_index(StrBuf *s, const View *v, int skip, const char *line)
{
    StrBuf b = strbuf_new(s->arena);
    int64_t under = 1, run = one_run(v, skip);
    if (run >= 0)
        return run == 1 ? line : arena_printf(s->arena, "%s * %" PRId64, line, run);
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (i == skip || v->dim[i] == 1)
            continue;
        if (v->stride[i]) {
            if (b.n)
                strbuf_add(&b, " + ");
            strbuf_printf(&b, "%s / %" PRId64 " %% %" PRId64 " * %" PRId64, line, under, v->dim[i],
                          v->stride[i]);
        }
        under *= v->dim[i];
    }
    return b.n ? b.text : arena_printf(s->arena, "0 * %s", line);
}

static void fold_c(StrBuf *s, const Kernel *k)
{
    static const char *const name[24] = {"partial", "sum"};
    kernel_open(s, k, "a column; partial sums are added in order");
    kernel_args(s, k, name);
    const char *t = memory_type(k->arg_dtype[1]);
    fill_template(s, bm_text_fold_inc,
                  (const char *const[]){"TYPE", t, "COLS", num(s, k->tpl.cols), "ZERO",
                                        k->uses_first ? "first" : "true", NULL});
}

static void batch_c(StrBuf *s, const Kernel *k)
{
    static const char *const name[24] = {"x", "sum"};
    const View *x = &k->tpl.view[0], *y = &k->tpl.view[1];
    kernel_open(s, k, "an element of a sample; samples are added in order");
    kernel_args(s, k, name);
    fill_template(s, bm_text_batch_inc,
                  (const char *const[]){"TYPE", memory_type(k->arg_dtype[1]), "X",
                                        line_index(s, x, -1, "c"), "Y", line_index(s, y, -1, "c"),
                                        "SAMPLE", num(s, x->batch_stride), "ZERO",
                                        k->uses_first && k->tpl.accumulates ? "first" : "true",
                                        "SAMPLES", k->uses_count ? "samples" : "1", NULL});
}

/* dy is [indices..., columns...]: element `t` of the indices, column `c`. */
static const char *scatter_dy(StrBuf *s, const View *idx, const View *dy)
{
    StrBuf b = strbuf_new(s->arena);
    View lead = *dy, tail = *dy;
    lead.ndim = idx->ndim;
    tail.ndim = dy->ndim - idx->ndim;
    for (int i = 0; i < tail.ndim; i++) {
        tail.dim[i] = dy->dim[idx->ndim + i];
        tail.stride[i] = dy->stride[idx->ndim + i];
    }
    strbuf_printf(&b, "%s + %s", line_index(s, &lead, -1, "t"), line_index(s, &tail, -1, "c"));
    return b.text;
}

static void scatter_c(StrBuf *s, const Kernel *k)
{
    static const char *const name[24] = {"index", "dy", "table"};
    const View *idx = &k->tpl.view[0], *dy = &k->tpl.view[1];
    int64_t n = 1;
    for (int i = 0; i < idx->ndim; i++)
        n *= idx->dim[i];
    bool whole = k->tpl.accumulates;
    kernel_open(s, k, "a column of the table's rows; indices are taken in order");
    kernel_args(s, k, name);
    if (!whole)
        strbuf_add(s, "    (void)first, (void)samples;\n");
    fill_template(s, bm_text_scatter_inc,
                  (const char *const[]){"ROWS", num(s, k->tpl.rows), "COLS", num(s, k->tpl.cols),
                                        "INDICES", num(s, n), "ISAMPLE", num(s, idx->batch_stride),
                                        "DSAMPLE", num(s, dy->batch_stride), "INDEX",
                                        line_index(s, idx, -1, "t"), "DY", scatter_dy(s, idx, dy),
                                        "ZERO", whole ? "first" : "true", "SAMPLES",
                                        whole ? "samples" : "1", NULL});
}

static void cumsum_c(StrBuf *s, const Kernel *k)
{
    static const char *const name[24] = {"x", "sums"};
    const View *x = &k->tpl.view[0], *y = &k->tpl.view[1];
    int axis = k->tpl.axis;
    kernel_open(s, k, "a line along the axis");
    kernel_args(s, k, name);
    fill_template(
        s, bm_text_cumsum_inc,
        (const char *const[]){"LINES",
                              num(s, max64(k->units, 1)),
                              "XSAMPLE",
                              num(s, x->batch_stride),
                              "YSAMPLE",
                              num(s, y->batch_stride),
                              "X",
                              line_index(s, x, axis, "at"),
                              "Y",
                              line_index(s, y, axis, "at"),
                              "N",
                              num(s, x->dim[axis]),
                              "XSTEP",
                              num(s, x->dim[axis] > 1 ? x->stride[axis] : 0),
                              "YSTEP",
                              num(s, y->dim[axis] > 1 ? y->stride[axis] : 0),
                              "I",
                              k->tpl.attr.cumsum.reverse
                                  ? arena_printf(s->arena, "%" PRId64 " - n", x->dim[axis] - 1)
                                  : "n",
                              "TYPE",
                              value_type(k->arg_dtype[0]),
                              NULL});
}

static void top_k_c(StrBuf *s, const Kernel *k)
{
    static const char *const name[24] = {"x", "values", "indices"};
    const View *x = &k->tpl.view[0], *y = &k->tpl.view[1], *z = &k->tpl.view[2];
    int axis = k->tpl.axis;
    kernel_open(s, k, "a row: its greatest values, first of equals first");
    kernel_args(s, k, name);
    fill_template(
        s, bm_text_top_k_inc,
        (const char *const[]){
            "ROWS",    num(s, max64(k->units, 1)),   "XSAMPLE", num(s, x->batch_stride),
            "YSAMPLE", num(s, y->batch_stride),      "ZSAMPLE", num(s, z->batch_stride),
            "X",       line_index(s, x, axis, "at"), "Y",       line_index(s, y, axis, "at"),
            "Z",       line_index(s, z, axis, "at"), "N",       num(s, x->dim[axis]),
            "K",       num(s, k->tpl.attr.top_k.k),  "XSTEP",   num(s, x->stride[axis]),
            "YSTEP",   num(s, y->stride[axis]),      "ZSTEP",   num(s, z->stride[axis]),
            "TYPE",    value_type(k->arg_dtype[0]),  NULL});
}

void template_c(StrBuf *s, const Kernel *k)
{
    switch (k->kind) {
    case K_FOLD:
        fold_c(s, k);
        break;
    case K_BATCH:
        batch_c(s, k);
        break;
    case K_SCATTER:
        scatter_c(s, k);
        break;
    case K_CUMSUM:
        cumsum_c(s, k);
        break;
    case K_TOP_K:
        top_k_c(s, k);
        break;
    case K_FUSED:
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
    case K_GEMM:
    case K_SUM_SQUARES:
    case K_NORM:
    case K_ZERO:
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
    case K_COPY:
    case K_TREE:
    case K_EXACT_SUM:
    case K_EXACT_TOTAL:
        BUG("%s has no template", k->name);
    }
}
