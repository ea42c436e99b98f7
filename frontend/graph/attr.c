/* attr.c - attributes as bytes that compare: whatever a caller's initialiser left open is zero. */
#include "frontend/graph/attr.h"

#include <inttypes.h>
#include <string.h>

typedef enum AttrKind {
    ATTR_NONE,
    ATTR_CONSTANT,
    ATTR_IOTA,
    ATTR_RANDOM,
    ATTR_LEAF,
    ATTR_REDUCE,
    ATTR_CUMSUM,
    ATTR_TRANSPOSE,
    ATTR_SLICE,
    ATTR_PAD,
    ATTR_CONCAT,
    ATTR_TOP_K,
    ATTR_SCATTER,
    ATTR_ATTENTION,
    ATTR_PART
} AttrKind;

static const unsigned char kind_of[N_OPS] = {
    [OP_CONST] = ATTR_CONSTANT,      [OP_IOTA] = ATTR_IOTA,
    [OP_RANDOM] = ATTR_RANDOM,       [OP_INPUT] = ATTR_LEAF,
    [OP_PARAM] = ATTR_LEAF,          [OP_BUFFER] = ATTR_LEAF,
    [OP_STATE] = ATTR_LEAF,          [OP_HOST] = ATTR_LEAF,
    [OP_SUM] = ATTR_REDUCE,          [OP_MAX_OF] = ATTR_REDUCE,
    [OP_ARGMAX] = ATTR_REDUCE,       [OP_SOFTMAX] = ATTR_REDUCE,
    [OP_LOGSUMEXP] = ATTR_REDUCE,    [OP_BATCH_SUM] = ATTR_REDUCE,
    [OP_CUMSUM] = ATTR_CUMSUM,       [OP_TRANSPOSE] = ATTR_TRANSPOSE,
    [OP_SLICE] = ATTR_SLICE,         [OP_PAD] = ATTR_PAD,
    [OP_CONCAT] = ATTR_CONCAT,       [OP_TOP_K] = ATTR_TOP_K,
    [OP_SCATTER] = ATTR_SCATTER,     [OP_ONE_HOT] = ATTR_SCATTER,
    [OP_ATTENTION] = ATTR_ATTENTION, [OP_ATTENTION_GRAD] = ATTR_ATTENTION,
    [OP_PART] = ATTR_PART,
};

static void normal_attention(Attr *n, const Attr *a)
{
    n->attention.heads = a->attention.heads;
    n->attention.kv_heads = a->attention.kv_heads;
    n->attention.causal = a->attention.causal;
    n->attention.has_mask = a->attention.has_mask;
    n->attention.has_bias = a->attention.has_bias;
    n->attention.window = a->attention.window;
    n->attention.scale = a->attention.scale;
    n->attention.dropout = a->attention.dropout;
    n->attention.site = a->attention.site;
}

Attr attr_normal(Op op, const Attr *a)
{
    Attr n;
    memset(&n, 0, sizeof n);
    /* member by member: padding inside a struct has no defined bytes */
    switch ((AttrKind)kind_of[op]) {
    case ATTR_NONE:
        break;
    case ATTR_CONSTANT:
        n.constant.value = a->constant.value;
        break;
    case ATTR_IOTA:
        n.iota.start = a->iota.start;
        n.iota.step = a->iota.step;
        n.iota.axis = a->iota.axis;
        break;
    case ATTR_RANDOM:
        n.random.site = a->random.site;
        n.random.per_step = a->random.per_step;
        break;
    case ATTR_LEAF:
        n.leaf.leaf = a->leaf.leaf;
        break;
    case ATTR_REDUCE:
        n.reduce.axes = a->reduce.axes;
        break;
    case ATTR_CUMSUM:
        n.cumsum.axes = a->cumsum.axes;
        n.cumsum.reverse = a->cumsum.reverse;
        break;
    case ATTR_TRANSPOSE:
        memcpy(n.transpose.perm, a->transpose.perm, sizeof n.transpose.perm);
        break;
    case ATTR_SLICE:
        n.slice.axis = a->slice.axis;
        n.slice.lo = a->slice.lo;
        n.slice.hi = a->slice.hi;
        break;
    case ATTR_PAD:
        n.pad.axis = a->pad.axis;
        n.pad.before = a->pad.before;
        n.pad.after = a->pad.after;
        break;
    case ATTR_CONCAT:
        n.concat.axis = a->concat.axis;
        break;
    case ATTR_TOP_K:
        n.top_k.k = a->top_k.k;
        break;
    case ATTR_SCATTER:
        n.scatter.rows = a->scatter.rows;
        break;
    case ATTR_ATTENTION:
        normal_attention(&n, a);
        break;
    case ATTR_PART:
        n.part.index = a->part.index;
        break;
    }
    return n;
}

static void print_axes(StrBuf *s, uint32_t axes)
{
    const char *before = " axes=";
    for (int i = 0; i < BM_DIMS; i++)
        if (axes >> i & 1) {
            strbuf_printf(s, "%s%d", before, i);
            before = ",";
        }
}

static void print_attention(StrBuf *s, const Attr *a)
{
    strbuf_printf(s, " heads=%d", a->attention.heads);
    if (a->attention.kv_heads != a->attention.heads)
        strbuf_printf(s, " kv_heads=%d", a->attention.kv_heads);
    strbuf_printf(s, "%s%s%s", a->attention.causal ? " causal" : "",
                  a->attention.has_mask ? " mask" : "", a->attention.has_bias ? " bias" : "");
    if (a->attention.window)
        strbuf_printf(s, " window=%" PRId64, a->attention.window);
    strbuf_add(s, " scale=");
    strbuf_double(s, a->attention.scale);
    if (a->attention.dropout != 0) {
        strbuf_add(s, " dropout=");
        strbuf_double(s, a->attention.dropout);
        strbuf_printf(s, " site=%d", a->attention.site);
    }
}

void attr_print(StrBuf *s, const Node *n)
{
    const Attr *a = &n->attr;
    switch ((AttrKind)kind_of[n->op]) {
    case ATTR_NONE:
        break;
    case ATTR_CONSTANT:
        strbuf_char(s, ' ');
        strbuf_double(s, a->constant.value);
        break;
    case ATTR_IOTA:
        strbuf_printf(s, " start=%" PRId64 " step=%" PRId64 " axis=%d", a->iota.start, a->iota.step,
                      a->iota.axis);
        break;
    case ATTR_RANDOM:
        strbuf_printf(s, " site=%d%s", a->random.site, a->random.per_step ? "" : " same_each_step");
        break;
    case ATTR_LEAF:
        strbuf_printf(s, " #%d", a->leaf.leaf);
        break;
    case ATTR_REDUCE:
        print_axes(s, a->reduce.axes);
        break;
    case ATTR_CUMSUM:
        print_axes(s, a->cumsum.axes);
        strbuf_add(s, a->cumsum.reverse ? " reverse" : "");
        break;
    case ATTR_TRANSPOSE:
        for (int i = 0; i < n->type.ndim; i++)
            strbuf_printf(s, "%s%d", i ? "," : " perm=", a->transpose.perm[i]);
        break;
    case ATTR_SLICE:
        strbuf_printf(s, " axis=%d %" PRId64 ":%" PRId64, a->slice.axis, a->slice.lo, a->slice.hi);
        break;
    case ATTR_PAD:
        strbuf_printf(s, " axis=%d %" PRId64 "+%" PRId64, a->pad.axis, a->pad.before, a->pad.after);
        break;
    case ATTR_CONCAT:
        strbuf_printf(s, " axis=%d", a->concat.axis);
        break;
    case ATTR_TOP_K:
        strbuf_printf(s, " k=%d", a->top_k.k);
        break;
    case ATTR_SCATTER:
        strbuf_printf(s, " rows=%" PRId64, a->scatter.rows);
        break;
    case ATTR_ATTENTION:
        print_attention(s, a);
        break;
    case ATTR_PART:
        strbuf_printf(s, " %d", a->part.index);
        break;
    }
}
