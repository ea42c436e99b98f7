/* kernel_fused.h - shared by the files that print FUSED kernels as C. Private to codegen. */
#ifndef BM_KERNEL_FUSED_H
#define BM_KERNEL_FUSED_H

#include "codegen/kernel_c.h"

/* A kernel as it is printed; functions named after an instruction print its lines. */
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

const char *fused_value(const Printer *p, int i);
int64_t fused_column_stride(const Printer *p, const int64_t *stride);
const char *fused_gather_index(const Printer *p, const Ins *n);
void fused_find_offsets(Printer *p);
void fused_offsets(Printer *p);
void fused_define(Printer *p, int i, Via via);
void fused_store(Printer *p, int i);
int64_t fused_partial_columns(const Printer *p, const Ins *n);
const char *fused_partial_text(const Printer *p, const Ins *n);
void fused_open_reduce(Printer *p, int i);
void fused_reduce(Printer *p, int i);
void fused_close_reduce(Printer *p, int i);
Arena *fused_arena(const Printer *p);
BM_PRINTF(2, 3) void fused_line(Printer *p, const char *fmt, ...);

#endif
