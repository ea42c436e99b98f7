/* gemm_cblas.c - one-threaded products by a CBLAS library, where oneDNN is absent.
 *
 * OpenBLAS takes other kernels, with other last bits, for other numbers of rows (its path for small
 * products, the edges of its blocks). A row must not depend on how many there are beside it: every
 * call has BLOCK rows, the last one with rows that nobody reads. That holds for its kernels with
 * AVX-512, AVX and SSE (0.3.21); those for AVX2 (Haswell, Zen) still differ. */
#include "runtime/gemm.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, ROOM = 1 << 20 }; /* elements */

/* Of a thread: BLOCK rows of A and of C. */
static _Thread_local real *room;
static _Thread_local size_t room_n;

static real *make_room(size_t n)
{
    if (n > room_n) {
        free(room);
        room = calloc(n, sizeof *room);
        room_n = n;
    }
    if (!room) {
        fprintf(stderr, "trainer: no memory for %zu numbers beside a product\n", n);
        _Exit(BMRT_MACHINE);
    }
    return room;
}

static void call_block(bool ta, bool tb, int64_t n, int64_t k, const real *a, int64_t lda,
                       const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
    /* Leading dimensions and k beyond an int would be matrices of more than 2^31 columns; n is that
     * of a tile. */
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                BLOCK, (int)n, (int)k, 1.0f, a, (int)lda, b, (int)ldb, add ? 1.0f : 0.0f, c,
                (int)ldc);
}

/* Fewer rows than BLOCK, through copies of that many. */
static void call_rest(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                      const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
    real *own = make_room((size_t)(BLOCK * (k + n))), *out = own + BLOCK * k;
    int64_t rows = ta ? k : m, columns = ta ? m : k, stride = ta ? BLOCK : k;
    for (int64_t i = 0; i < rows; i++)
        memcpy(own + i * stride, a + i * lda, (size_t)columns * sizeof *a);
    for (int64_t i = 0; i < m && add; i++)
        memcpy(out + i * n, c + i * ldc, (size_t)n * sizeof *c);
    call_block(ta, tb, n, k, own, stride, b, ldb, add, out, n);
    for (int64_t i = 0; i < m; i++)
        memcpy(c + i * ldc, out + i * n, (size_t)n * sizeof *c);
}

void bmrt_gemm_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                    const real *b, int64_t ldb, bool add, real *c, int64_t ldc)
{
    int64_t row = 0;
    for (; row + BLOCK <= m; row += BLOCK)
        call_block(ta, tb, n, k, a + (ta ? row : row * lda), lda, b, ldb, add, c + row * ldc, ldc);
    if (row < m)
        call_rest(ta, tb, m - row, n, k, a + (ta ? row : row * lda), lda, b, ldb, add,
                  c + row * ldc, ldc);
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
    (void)make_room(ROOM); /* of most products: no heap grows in a later step */
}

const char *bmrt_gemm_name(void)
{
    return "CBLAS";
}
