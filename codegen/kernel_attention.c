/* kernel_attention.c - attention and its gradient: the templates with shapes, strides and what the
 * call asks for (causal, window, mask, bias, dropout) filled in.
 *
 * Scores exist one tile of keys x queries at a time. Tiles are a function of the shape, so neither
 * threads nor the split into launches change a bit. */
#include "codegen/kernel_c.h"

#include "embedded.h"

#include <inttypes.h>

enum { MOST_PAIRS = 160 };

typedef struct Fill {
    Arena *a;
    const char *pair[2 * MOST_PAIRS + 1];
    int n;
} Fill;

static void put(Fill *f, const char *name, const char *value)
{
    if (f->n == MOST_PAIRS)
        BUG("attention has more than %d words", f->n);
    f->pair[2 * f->n] = name;
    f->pair[2 * f->n + 1] = value;
    f->n++;
}

static void put_number(Fill *f, const char *name, int64_t n)
{
    put(f, name, arena_printf(f->a, "%" PRId64, n));
}

/* The words of one operand: a@q@ its argument, @QS@ the stride of samples, @QR@ of rows, @QC@ of
 * columns, @QH@ of heads of `width` columns. */
static void put_matrix(Fill *f, const char *name, const char *letter, const Kernel *k, int arg,
                       int64_t width)
{
    const View *v = &k->tpl.view[arg];
    put_number(f, name, arg);
    put_number(f, arena_printf(f->a, "%sS", letter), v->batch_stride);
    put_number(f, arena_printf(f->a, "%sR", letter), v->stride[0]);
    put_number(f, arena_printf(f->a, "%sC", letter), v->dim[1] > 1 ? v->stride[1] : 1);
    put_number(f, arena_printf(f->a, "%sH", letter), v->dim[1] > 1 ? v->stride[1] * width : 0);
}

static void put_lse(Fill *f, const Kernel *k, int arg)
{
    const View *v = &k->tpl.view[arg];
    put_number(f, "lse", arg);
    put_number(f, "LS", v->batch_stride);
    put_number(f, "LH", v->dim[0] > 1 ? v->stride[0] : 0);
    put_number(f, "LR", v->dim[1] > 1 ? v->stride[1] : 0);
}

typedef struct Shape {
    int64_t heads, group, tq, tk, d, dv, bq, bk, window;
    bool causal, mask, bias, dropout;
    int extra; /* argument of the mask, or of the bias without one */
} Shape;

static Shape shape_of(const Kernel *k)
{
    const View *v = k->tpl.view;
    const Attr *a = &k->tpl.attr;
    bool grad = k->kind == K_ATTENTION_GRAD;
    Shape s = {.heads = a->attention.heads, .tq = v[0].dim[0], .tk = v[1].dim[0]};
    s.group = s.heads / a->attention.kv_heads;
    s.d = v[0].dim[1] / s.heads;
    s.dv = v[2].dim[1] / a->attention.kv_heads;
    s.bq = grad && max64(s.d, s.dv) > 512 ? 16 : ATTENTION_ROWS;
    s.bk = max64(s.d, s.dv) > 512 ? 16 : 64;
    s.window = a->attention.window;
    s.causal = a->attention.causal != 0;
    s.mask = a->attention.has_mask != 0;
    s.bias = a->attention.has_bias != 0;
    s.dropout = a->attention.dropout > 0;
    s.extra = grad ? 6 : 3;
    return s;
}

static const char *real_text(Arena *a, double x)
{
    StrBuf b = strbuf_new(a);
    strbuf_double(&b, x);
    for (const char *c = b.text; *c; c++)
        if (*c == '.' || *c == 'e' || *c == 'n')
            return b.text;
    strbuf_add(&b, ".0");
    return b.text;
}

static void put_shape(Fill *f, const Kernel *k, const Shape *s)
{
    put_number(f, "HEADS", s->heads);
    put_number(f, "GROUP", s->group);
    put_number(f, "TQ", s->tq);
    put_number(f, "TK", s->tk);
    put_number(f, "D", s->d);
    put_number(f, "DV", s->dv);
    put_number(f, "BQ", s->bq);
    put_number(f, "BK", s->bk);
    put_number(f, "CAUSAL", s->causal);
    put(f, "SCALE", real_text(f->a, k->tpl.attr.attention.scale));
}

static void indent(StrBuf *s, int n)
{
    for (int i = 0; i < n; i++)
        strbuf_add(s, "    ");
}

/* Lines about the operands beside q, k and v: where this head's mask and bias begin. */
static const char *extra_text(Fill *f, const Kernel *k, const Shape *s, int depth)
{
    StrBuf b = strbuf_new(f->a);
    int arg = s->extra;
    for (int i = 0; i < 2; i++) {
        if (i ? !s->bias : !s->mask)
            continue;
        const View *v = &k->tpl.view[arg];
        indent(&b, depth);
        strbuf_printf(
            &b, "const %s *%s = a%d + sample * %" PRId64 " + head * INT64_C(%" PRId64 ");\n",
            i ? "real" : "uint8_t", i ? "bias" : "mask", arg, v->batch_stride, v->stride[0]);
        arg++;
    }
    return b.text ? b.text : "";
}

static const char *extra_at(Fill *f, const Kernel *k, const Shape *s, bool bias)
{
    const View *v = &k->tpl.view[s->extra + (bias && s->mask)];
    return arena_printf(f->a,
                        "%s[(q0 + (i < nq ? i : 0)) * INT64_C(%" PRId64
                        ") + (k0 + j) * INT64_C(%" PRId64 ")]",
                        bias ? "bias" : "mask", v->stride[1], v->stride[2]);
}

/* Of a score x: the bias is added, and what may not be seen is -inf. */
static const char *mask_text(Fill *f, const Kernel *k, const Shape *s, int depth)
{
    StrBuf b = strbuf_new(f->a), see = strbuf_new(f->a);
    if (s->bias) {
        indent(&b, depth);
        strbuf_printf(&b, "x += %s;\n", extra_at(f, k, s, true));
    }
    if (s->causal)
        strbuf_add(&see, "k0 + j <= q0 + i");
    if (s->window)
        strbuf_printf(&see, "%sk0 + j > q0 + i - %" PRId64, see.n ? " && " : "", s->window);
    if (s->mask)
        strbuf_printf(&see, "%s%s", see.n ? " && " : "", extra_at(f, k, s, false));
    if (see.n) {
        indent(&b, depth);
        strbuf_printf(&b, "x = %s ? x : R(-INFINITY);\n", see.text);
    }
    if (b.n)
        b.text[b.n - 1] = 0; /* the template has the newline */
    return b.text ? b.text : "";
}

static void put_dropout(Fill *f, const Kernel *k, const Shape *s)
{
    double rate = k->tpl.attr.attention.dropout;
    if (!s->dropout) {
        put(f, "SETUP", "");
        return;
    }
    put(f, "SETUP",
        arena_printf(f->a,
                     "    const uint64_t key = bm_key(draw->seed, keys[0]);\n"
                     "    const real rate = R(%s), kept = R(1.0) / (R(1.0) - rate);\n",
                     real_text(f->a, rate)));
}

/* 0, or 1 / (1 - rate): the same draw in both directions. */
static const char *keep_text(Fill *f, int depth)
{
    StrBuf b = strbuf_new(f->a);
    indent(&b, depth);
    strbuf_add(&b, "const int64_t element = (head * INT64_C(1) * TQ + q0 + i) * TK + k0 + j;\n");
    indent(&b, depth);
    strbuf_add(&b, "const real draws = bm_uniform(key, (uint32_t)element, "
                   "draw->sample0 + sample, draw->step);\n");
    indent(&b, depth);
    strbuf_add(&b, "const real keep = draws < rate ? 0 : kept;");
    return b.text;
}

/* The keys that some query of a block sees: from a whole tile on, to the last. */
static void put_range(Fill *f, const Shape *s)
{
    int64_t back = s->window - 1;
    put(f, "FIRST",
        s->window
            ? arena_printf(f->a, "q0 > %" PRId64 " ? (q0 - %" PRId64 ") / BK * BK : 0", back, back)
            : "0");
    put(f, "LAST", s->causal ? "q0 + nq < TK ? q0 + nq : TK" : "TK");
}

static void forward_c(StrBuf *out, const Kernel *k, Fill *f, const Shape *s)
{
    int o = s->extra + s->mask + s->bias;
    put_matrix(f, "o", "O", k, o, s->dv);
    put_lse(f, k, o + 1);
    put(f, "EXTRA", extra_text(f, k, s, 2));
    put(f, "MASK", mask_text(f, k, s, 5));
    put_range(f, s);
    put(f, "KEEP", s->dropout ? keep_text(f, 5) : "");
    put(f, "DROP", s->dropout ? " * keep" : "");
    fill_template(out, bm_text_attention_inc, f->pair);
}

static void put_dbias(Fill *f, const Kernel *k, const Shape *s, int arg)
{
    if (!s->bias) {
        put(f, "ZERO", "");
        put(f, "BIAS", "");
        return;
    }
    const View *v = &k->tpl.view[arg];
    if ((v->dim[0] > 1 && !v->stride[0]) || (v->dim[1] > 1 && !v->stride[1]) ||
        (v->dim[2] > 1 && !v->stride[2]))
        BUG("%s: the gradient of a bias is written whole", k->name);
    const char *at = arena_printf(f->a, "a%d + sample * %" PRId64, arg, v->batch_stride);
    put(f, "ZERO",
        arena_printf(f->a,
                     "        real *db = %s;\n"
                     "        for (int h = kv * GROUP; h < (kv + 1) * GROUP; h++)\n"
                     "            for (int i = 0; i < TQ; i++)\n"
                     "                for (int j = 0; j < TK; j++)\n"
                     "                    db[h * INT64_C(%" PRId64 ") + i * INT64_C(%" PRId64
                     ") + j * INT64_C(%" PRId64 ")] = 0;\n",
                     at, v->stride[0], v->stride[1], v->stride[2]));
    StrBuf b = strbuf_new(f->a);
    indent(&b, 6);
    strbuf_add(&b, "if (i < nq)\n");
    indent(&b, 7);
    strbuf_printf(&b,
                  "db[head * INT64_C(%" PRId64 ") + (q0 + i) * INT64_C(%" PRId64
                  ") + (k0 + j) * INT64_C(%" PRId64 ")] = g;",
                  v->stride[0], v->stride[1], v->stride[2]);
    put(f, "BIAS", b.text);
}

static void gradient_c(StrBuf *out, const Kernel *k, Fill *f, const Shape *s)
{
    int dq = s->extra + s->mask + s->bias;
    put_matrix(f, "o", "O", k, 3, s->dv);
    put_lse(f, k, 4);
    put_matrix(f, "do", "G", k, 5, s->dv);
    put_matrix(f, "dq", "DQ", k, dq, s->d);
    put_matrix(f, "dk", "DK", k, dq + 1, s->d);
    put_matrix(f, "dv", "DV", k, dq + 2, s->dv);
    put(f, "EXTRA", extra_text(f, k, s, 3));
    put(f, "MASK", mask_text(f, k, s, 6));
    put_range(f, s);
    put(f, "KEEP", s->dropout ? keep_text(f, 6) : "");
    put(f, "DROP", s->dropout ? " * keep" : "");
    put_dbias(f, k, s, dq + 3);
    fill_template(out, bm_text_attention_grad_inc, f->pair);
}

void attention_c(StrBuf *out, const Kernel *k)
{
    static const char *const forward[24] = {"q", "k", "v"};
    static const char *const backward[24] = {"q", "k", "v", "o", "lse", "do"};
    Fill f = {.a = out->arena};
    Shape s = shape_of(k);
    bool grad = k->kind == K_ATTENTION_GRAD;
    kernel_open(out, k,
                grad ? "the queries and keys of a head of keys"
                     : arena_printf(f.a, "%" PRId64 " queries of a head", s.bq));
    kernel_args(out, k, grad ? backward : forward);
    put_shape(&f, k, &s);
    put_dropout(&f, k, &s);
    put_matrix(&f, "q", "Q", k, 0, s.d);
    put_matrix(&f, "k", "K", k, 1, s.d);
    put_matrix(&f, "v", "V", k, 2, s.dv);
    if (grad)
        gradient_c(out, k, &f, &s);
    else
        forward_c(out, k, &f, &s);
}
