/* gemm_onednn.c - one-threaded products by dnnl_sgemm. The only file that knows oneDNN. */
#include "runtime/gemm.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 4 << 20 };

void bmrt_gemm_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                    const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, add ? 1.0f : 0.0f, c,
               ldc);
}

/* oneDNN asks OpenMP how many threads the calling thread may start. OpenMP is its dependency, not
 * ours, hence the look-up: without it there are no threads to forbid. */
void bmrt_gemm_quiet(void)
{
    void (*set)(int) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&set, &symbol, sizeof set);
    if (set)
        set(1);
    /* A call takes its buffers, below 1 MiB, from the calling thread's heap and gives them back.
     * Which thread does which product is chance: without room made here a heap would grow in a
     * later step. The pages are not touched, so they cost nothing. */
    void *volatile room = malloc(ROOM);
    free(room);
}

const char *bmrt_gemm_name(void)
{
    return "oneDNN";
}
