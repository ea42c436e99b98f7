/* type.h - what a tensor is: element type, per-sample shape, and whether it differs from sample to
 * sample. */
#ifndef BM_TYPE_H
#define BM_TYPE_H

#include "frontend/base/strbuf.h"

enum { BM_DIMS = 6 }; /* most axes a tensor may have (its batch axis not counted) */

typedef enum DType {
    DT_ERROR, /* already reported: whatever touches it stays silent */
    DT_F32,
    DT_INT,  /* 32 bits, signed */
    DT_BOOL, /* one byte, 0 or 1 */
    DT_BF16, /* how plans keep floats in 2 bytes; of buffers, never of nodes */
    DT_F16,
} DType;

typedef struct Type {
    DType dtype;
    bool batched; /* one value per sample; the batch axis is not in `dim` */
    int ndim;
    int64_t dim[BM_DIMS];
} Type;

const char *dtype_name(DType t);   /* as the language writes it: float, int, bool */
int64_t dtype_size(DType t);       /* bytes of one element */
int64_t type_count(const Type *t); /* elements of one sample */
int64_t type_bytes(const Type *t); /* bytes of one sample */
bool type_same(const Type *a, const Type *b);
bool same_shape(const Type *a, const Type *b); /* dims only */

/* "[4, 3]", "int[128]", "[]": without the word float, as people write it. */
void type_print(StrBuf *s, const Type *t);
const char *type_text(Arena *a, const Type *t);

#endif
