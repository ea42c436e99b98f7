#include "frontend/graph/type.h"

#include <inttypes.h>
#include <string.h>

const char *dtype_name(DType t)
{
    switch (t) {
    case DT_ERROR:
        return "error";
    case DT_F32:
        return "float";
    case DT_INT:
        return "int";
    case DT_BOOL:
        return "bool";
    case DT_BF16:
        return "bf16";
    case DT_F16:
        return "f16";
    }
    BUG("dtype %d has no name", (int)t);
}

int64_t dtype_size(DType t)
{
    switch (t) {
    case DT_ERROR:
        return 0;
    case DT_F32:
    case DT_INT:
        return 4;
    case DT_BOOL:
        return 1;
    case DT_BF16:
    case DT_F16:
        return 2;
    }
    BUG("dtype %d has no size", (int)t);
}

/* graph_add() has checked that the product of the sizes fits. */
int64_t type_count(const Type *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->dim[i];
    return n;
}

int64_t type_bytes(const Type *t)
{
    return type_count(t) * dtype_size(t->dtype);
}

bool same_shape(const Type *a, const Type *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

bool type_same(const Type *a, const Type *b)
{
    return a->dtype == b->dtype && a->batched == b->batched && same_shape(a, b);
}

void type_print(StrBuf *s, const Type *t)
{
    if (t->dtype != DT_F32)
        strbuf_add(s, dtype_name(t->dtype));
    if (t->dtype != DT_F32 && t->ndim == 0)
        return;
    strbuf_char(s, '[');
    for (int i = 0; i < t->ndim; i++)
        strbuf_printf(s, "%s%" PRId64, i ? ", " : "", t->dim[i]);
    strbuf_char(s, ']');
}

const char *type_text(Arena *a, const Type *t)
{
    StrBuf s = strbuf_new(a);
    type_print(&s, t);
    return s.text;
}
