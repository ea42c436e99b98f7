/* gemm_cblas.c - one-threaded products by a CBLAS library, where oneDNN is absent. */
#include "runtime/gemm.h"

#include <cblas.h>
#include <dlfcn.h>
#include <string.h>

void bmrt_gemm_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                    const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
    /* Leading dimensions and k beyond an int would be matrices of more than 2^31 columns; m and n
     * are those of a tile. */
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                (int)m, (int)n, (int)k, 1.0f, a, (int)lda, b, (int)ldb, add ? 1.0f : 0.0f, c,
                (int)ldc);
}

/* OpenBLAS and BLIS have threads of their own, each with its own switch. */
void bmrt_gemm_quiet(void)
{
    static const char *const name[] = {"openblas_set_num_threads", "bli_thread_set_num_threads",
                                       "omp_set_num_threads"};
    for (int i = 0; i < BMRT_COUNT(name); i++) {
        void (*set)(int) = NULL;
        void *symbol = dlsym(RTLD_DEFAULT, name[i]);
        memcpy(&set, &symbol, sizeof set);
        if (set)
            set(1);
    }
}

const char *bmrt_gemm_name(void)
{
    return "CBLAS";
}
