/* gemm.h - matrix products on tiles, and the one function a library is asked for. */
#ifndef BMRT_GEMM_H
#define BMRT_GEMM_H

#include "runtime/pool.h"

/* One thread's product, row-major: C = op(A) op(B) + (add ? C : 0); m, n, k >= 1. Defined by
 * exactly one of gemm_onednn.c, gemm_cblas.c, gemm_plain.c. */
void bmrt_gemm_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                    const real *b, int64_t ldb, bool add, real *c, int64_t ldc);

/* Called once on every thread before its first product (the pool's start function): the library
 * must not start threads of its own, nor let a heap grow in a later step. */
void bmrt_gemm_quiet(void);

/* "oneDNN", "CBLAS", "plain loops" */
const char *bmrt_gemm_name(void);

/* Rows and columns of a tile of an m x n product over k: nothing but these three numbers. */
void bmrt_gemm_tile(int64_t m, int64_t n, int64_t k, int64_t *rows, int64_t *columns);

void bmrt_gemm_on(bmrt_pool *p, const bmrt_gemm_args *g, const real *a, const real *b, real *c);

#endif
