/* gemm_plain.c - products in plain loops: the double build, where exactness of gradients is
 * measured and speed is not. Sums run over k in order. */
#include "runtime/gemm.h"

void bmrt_gemm_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                    const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        real *row = c + i * ldc;
        if (!add)
            for (int64_t j = 0; j < n; j++)
                row[j] = 0;
        for (int64_t p = 0; p < k; p++) {
            real x = ta ? a[p * lda + i] : a[i * lda + p];
            const real *line = tb ? b + p : b + p * ldb;
            int64_t step = tb ? ldb : 1;
            for (int64_t j = 0; j < n; j++)
                row[j] += x * line[j * step];
        }
    }
}

void bmrt_gemm_quiet(void)
{
}

const char *bmrt_gemm_name(void)
{
    return "plain loops";
}
