/* gemm.c - splits products into tiles for the pool.
 *
 * A tile is one call of the library per summand, on one thread. Which tile an element of C belongs
 * to follows from (m, n, k) alone, and the summands are added in order, so the bits of C are the
 * same for any number of threads. */
#include "runtime/gemm.h"

typedef struct gemm_job {
    const bmrt_gemm_args *g;
    const real *a, *b;
    real *c;
    int64_t rows, columns; /* of a tile */
    int64_t down, across;  /* tiles of one product */
    int64_t count1, sums;
} gemm_job;

static int64_t at_least_1(int64_t n)
{
    return n > 0 ? n : 1;
}

static int64_t up(int64_t n, int64_t d)
{
    return (n + d - 1) / d;
}

/* A call packs its operands again, which costs about 1/rows + 1/columns of its work, so tiles are
 * large where there are many of them, and smaller where a machine with many cores would have
 * nothing to do. Measured against the library's own two threads: 0.9 to 1.2 on the products of
 * small transformers. Rows are a multiple of 16: then the library's kernels see the same row blocks
 * as in one call, and a row has the same bits whichever tile it is in. Columns follow from n alone,
 * in equal parts of some 384 (192 up to n = 768). */
enum {
    MOST_ROWS = 256,
    LEAST_ROWS = 64,
    FEW_ROWS = 16, /* oneDNN takes another way below it, with other last bits */
    WIDE = 384,
    NARROW = 192,
    ENOUGH = 32, /* tiles */
    VECTOR = 16,
};

void bmrt_gemm_tile(int64_t m, int64_t n, int64_t k, int64_t *rows, int64_t *columns)
{
    (void)k;
    int64_t about = n > 2 * WIDE ? WIDE : NARROW, parts = (n + about / 2) / about;
    *columns = parts <= 1 ? n : up(up(n, parts), VECTOR) * VECTOR;
    *rows = MOST_ROWS;
    while (*rows > LEAST_ROWS && up(m, *rows) * up(n, *columns) < ENOUGH)
        *rows /= 2;
}

static void zero_tile(const gemm_job *j, real *c, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t n = 0; n < columns; n++)
            c[i * j->g->ldc + n] = 0;
}

static void gemm_tile(const gemm_job *j, int64_t unit)
{
    const bmrt_gemm_args *g = j->g;
    int64_t across = unit % j->across, down = unit / j->across % j->down;
    int64_t batch = unit / (j->across * j->down);
    int64_t i0 = batch / j->count1, i1 = batch % j->count1;
    int64_t row = down * j->rows, column = across * j->columns;
    int64_t rows = down == j->down - 1 ? g->m - row : j->rows;
    int64_t columns = g->n - column < j->columns ? g->n - column : j->columns;
    const real *a = j->a + i0 * g->a0 + i1 * g->a1 + (g->ta ? row : row * g->lda);
    const real *b = j->b + i0 * g->b0 + i1 * g->b1 + (g->tb ? column * g->ldb : column);
    real *c = j->c + i0 * g->c0 + i1 * g->c1 + row * g->ldc + column;
    bool add = g->beta != 0;
    if (g->k == 0) {
        if (!add)
            zero_tile(j, c, rows, columns);
        return;
    }
    for (int64_t s = 0; s < j->sums; s++)
        bmrt_gemm_call(g->ta != 0, g->tb != 0, rows, columns, g->k, a + s * g->as, g->lda,
                       b + s * g->bs, g->ldb, add || s > 0, c, g->ldc);
}

static void gemm_tiles(void *job, int64_t lo, int64_t hi)
{
    for (int64_t u = lo; u < hi; u++)
        gemm_tile(job, u);
}

void bmrt_gemm_on(bmrt_pool *p, const bmrt_gemm_args *g, const real *a, const real *b, real *c)
{
    gemm_job j = {g, a, b, c, 0, 0, 0, 0, at_least_1(g->count1), at_least_1(g->sums)};
    if (g->m <= 0 || g->n <= 0)
        return;
    bmrt_gemm_tile(g->m, g->n, g->k, &j.rows, &j.columns);
    j.down = up(g->m, j.rows);
    if (j.down > 1 && g->m - (j.down - 1) * j.rows < FEW_ROWS)
        j.down--; /* the last tile takes the rest: a row's bits are the same in any product */
    j.across = up(g->n, j.columns);
    int64_t units = at_least_1(g->count0) * j.count1 * j.down * j.across;
    /* A unit of less than some 50,000 products is not worth another thread. */
    int64_t work = j.rows * j.columns * at_least_1(g->k) * j.sums;
    bmrt_pool_take(p, gemm_tiles, &j, units, work < 50000 ? up(50000, work) : 1);
}
