/* kernel_c.h - shared by the files that print kernels as C. Private to codegen. */
#ifndef BM_KERNEL_C_H
#define BM_KERNEL_C_H

#include "codegen/emit.h"
#include "codegen/walk.h"

void fused_c(StrBuf *s, const Kernel *k);     /* kernel_fused.c */
void template_c(StrBuf *s, const Kernel *k);  /* kernel_template.c: fold, batch, scatter, ... */
void attention_c(StrBuf *s, const Kernel *k); /* kernel_attention.c */

/* What every kernel begins with. */
void kernel_open(StrBuf *s, const Kernel *k, const char *units);
void kernel_args(StrBuf *s, const Kernel *k, const char *const *names);

/* After the arguments of kernel.h come, as far as used: the step's path (of indices out of range),
 * and the keys of the draws. */
enum { MOST_KEYS = 16 };
bool kernel_uses_path(const Kernel *k);
int kernel_keys(const Kernel *k, uint64_t *key); /* how many */

/* By kernel: the first kernel with the same text, whose name both have in the emitted program. */
const int *kernel_same(Arena *a, const Plan *p);

/* Kernels that are calls of the runtime, not text. */
bool is_runtime_call(KernelKind k);

const char *memory_type(DType t); /* of an element in memory */
const char *value_type(DType t);  /* of a value in a register */

/* A text with every @NAME@ replaced; `pair` is name, value, name, value, ..., NULL. */
void fill_template(StrBuf *s, const char *text, const char *const *pair);

#endif
