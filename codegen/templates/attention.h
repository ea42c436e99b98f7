/* What attention kernels stand on: products of tiles held in cache. The sum over k runs in order
 * and with explicit fma for each element, so the vector width is no part of the result. */
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#endif

#ifdef __AVX512F__
enum { BM_VECTOR = 64, BM_DOWN = 8 }; /* 16 sums in registers: measured, at the machine's peak */
#else
enum { BM_VECTOR = 32, BM_DOWN = 4 };
#endif
enum { BM_LANES = BM_VECTOR / (int)sizeof(real), BM_ACROSS = 2 };
typedef real bm_v __attribute__((vector_size(BM_VECTOR), aligned(sizeof(real))));

#if defined(__AVX512F__) && defined(BM_REAL_DOUBLE)
#define BM_VFMA(a, b, c) ((bm_v)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#define BM_SPLAT(x)      ((bm_v)_mm512_set1_pd(x))
#elif defined(__AVX512F__)
#define BM_VFMA(a, b, c) ((bm_v)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define BM_SPLAT(x)      ((bm_v)_mm512_set1_ps(x))
#elif defined(__AVX2__) && defined(__FMA__) && defined(BM_REAL_DOUBLE)
#define BM_VFMA(a, b, c) ((bm_v)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#define BM_SPLAT(x)      ((bm_v)_mm256_set1_pd(x))
#elif defined(__AVX2__) && defined(__FMA__)
#define BM_VFMA(a, b, c) ((bm_v)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define BM_SPLAT(x)      ((bm_v)_mm256_set1_ps(x))
#endif

/* c[down][across vectors] (+)= sum over k of a[i, k] b[k], a at i * ai + k * ak. */
__attribute__((unused, always_inline)) static inline void
bm_block(const real *a, int64_t ai, int64_t ak, const real *b, int64_t ldb, real *c, int64_t ldc,
         int n_k, int add, const int down, const int across)
{
    bm_v s[BM_DOWN][BM_ACROSS];
    for (int i = 0; i < down; i++)
        for (int j = 0; j < across; j++)
            s[i][j] = add ? *(const bm_v *)(c + i * ldc + j * BM_LANES) : (bm_v){0};
    for (int k = 0; k < n_k; k++) {
        bm_v y[BM_ACROSS];
        for (int j = 0; j < across; j++)
            y[j] = *(const bm_v *)(b + k * ldb + j * BM_LANES);
        for (int i = 0; i < down; i++) {
#ifdef BM_VFMA
            const bm_v x = BM_SPLAT(a[i * ai + k * ak]);
            for (int j = 0; j < across; j++)
                s[i][j] = BM_VFMA(x, y[j], s[i][j]);
#else
            const real x = a[i * ai + k * ak];
            for (int j = 0; j < across; j++)
                for (int l = 0; l < BM_LANES; l++)
                    s[i][j][l] = bm_fma(x, y[j][l], s[i][j][l]);
#endif
        }
    }
    for (int i = 0; i < down; i++)
        for (int j = 0; j < across; j++)
            *(bm_v *)(c + i * ldc + j * BM_LANES) = s[i][j];
}

__attribute__((unused, always_inline)) static inline void
bm_rows(const real *a, int64_t ai, int64_t ak, const real *b, int64_t ldb, real *c, int64_t ldc,
        int n_j, int n_k, int add, const int down)
{
    int j = 0;
    for (; j + BM_ACROSS * BM_LANES <= n_j; j += BM_ACROSS * BM_LANES)
        bm_block(a, ai, ak, b + j, ldb, c + j, ldc, n_k, add, down, BM_ACROSS);
    for (; j < n_j; j += BM_LANES)
        bm_block(a, ai, ak, b + j, ldb, c + j, ldc, n_k, add, down, 1);
}

/* c[n_i, n_j] (+)= a[n_i, n_k] b[n_k, n_j]; n_j is a whole number of 16. */
__attribute__((unused)) static void bm_tile(const real *a, int64_t ai, int64_t ak, const real *b,
                                            int64_t ldb, real *c, int64_t ldc, int n_i, int n_j,
                                            int n_k, int add)
{
    int i = 0;
    for (; i + BM_DOWN <= n_i; i += BM_DOWN)
        bm_rows(a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, n_j, n_k, add, BM_DOWN);
    for (; i + 2 <= n_i; i += 2)
        bm_rows(a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, n_j, n_k, add, 2);
    if (i < n_i)
        bm_rows(a + i * ai, ai, ak, b, ldb, c + i * ldc, ldc, n_j, n_k, add, 1);
}

/* s[keys][queries] = a[keys][width] b[width][queries]; `half`: of 64 queries the first 32 see none
 * of the keys from 32 on, so those products are left out. */
__attribute__((unused)) static void bm_scores(const real *a, int lda, const real *b, real *s,
                                              int n_q, int n_k, int width, int half)
{
    if (!half) {
        bm_tile(a, lda, 1, b, n_q, s, n_q, n_k, n_q, width, 0);
        return;
    }
    bm_tile(a, lda, 1, b, n_q, s, n_q, 32, n_q, width, 0);
    bm_tile(a + 32 * lda, lda, 1, b + 32, n_q, s + 32 * n_q + 32, n_q, n_k - 32, n_q - 32, width,
            0);
    for (int j = 32; j < n_k; j++)
        for (int i = 0; i < 32; i++)
            s[j * n_q + i] = 0;
}

/* to[rows][ld] = from, zeros up to ld columns and `all` rows. */
__attribute__((unused)) static void bm_pack(real *restrict to, int ld, int all,
                                            const real *restrict from, int64_t row, int64_t col,
                                            int rows, int cols)
{
    for (int i = 0; i < rows; i++) {
        if (col == 1)
            memcpy(to + i * ld, from + i * row, (size_t)cols * sizeof *to);
        else
            for (int j = 0; j < cols; j++)
                to[i * ld + j] = from[i * row + j * col];
        for (int j = cols; j < ld; j++)
            to[i * ld + j] = 0;
    }
    for (int i = rows * ld; i < all * ld; i++)
        to[i] = 0;
}

/* to[cols][ld] = from[rows][cols] transposed, zeros up to ld. */
__attribute__((unused)) static void bm_turn(real *restrict to, int ld, const real *restrict from,
                                            int64_t row, int64_t col, int rows, int cols)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            to[j * ld + i] = from[i * row + j * col];
    for (int j = 0; j < cols; j++)
        for (int i = rows; i < ld; i++)
            to[j * ld + i] = 0;
}
