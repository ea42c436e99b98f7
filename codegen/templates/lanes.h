/* Reductions of a row on a CPU: LANES lanes, column c in lane c % LANES, then this fold. The order
 * is part of the result (kernel.h), vectors only make it fast. A lane without columns holds 0 (or
 * -inf), which changes nothing: a sum that begins at +0 is never -0. */

/* Before a loop over elements or columns: no turn reads what another writes. (`restrict` says so
 * too, but gcc gives up on it when a loop has many pointers.) */
#if defined(__GNUC__) && !defined(__clang__)
#define BM_APART _Pragma("GCC ivdep")
#else
#define BM_APART
#endif

typedef real bm_v8 __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real))));

#define BM_HALVES(a, b)                                                                            \
    (__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +                                     \
     __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#define BM_PAIRS(a, b)                                                                             \
    (__builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13) +                                     \
     __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15))
#define BM_ONES(a, b)                                                                              \
    (__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +                                    \
     __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15))

/* n lanes, 64 or 256: e ^ 4, e ^ 2, e ^ 1 within each packet of 8, then packets ^ 16, 8, 4, 2, 1.
 */
BM_FN real bm_fold_sum(const real *lane, int n)
{
    const bm_v8 *a = (const bm_v8 *)lane;
    bm_v8 s[4], t;
    for (int i = 0; i < n / 64; i++) {
        const bm_v8 *p = a + 8 * i;
        bm_v8 x = BM_PAIRS(BM_HALVES(p[0], p[1]), BM_HALVES(p[2], p[3]));
        bm_v8 y = BM_PAIRS(BM_HALVES(p[4], p[5]), BM_HALVES(p[6], p[7]));
        s[i] = BM_ONES(x, y);
    }
    t = n == 256 ? (s[0] + s[2]) + (s[1] + s[3]) : s[0];
    real u[4];
    for (int i = 0; i < 4; i++)
        u[i] = t[i] + t[i + 4];
    return (u[0] + u[2]) + (u[1] + u[3]);
}

/* Any order gives the same greatest value; + 0 so that -0 never comes out. NaN stays. */
BM_FN real bm_fold_max(real *lane, int n)
{
    for (int b = 16; b < n; b += 16)
        for (int l = 0; l < 16; l++)
            lane[l] = bm_max(lane[l], lane[b + l]);
    for (int l = 1; l < 16; l++)
        lane[0] = bm_max(lane[0], lane[l]);
    return lane[0] + R(0);
}

BM_FN int32_t bm_fold_sum_int(const int32_t *lane, int n)
{
    uint32_t s = 0;
    for (int i = 0; i < n; i++)
        s += (uint32_t)lane[i];
    return (int32_t)s;
}

BM_FN int32_t bm_fold_max_int(const int32_t *lane, int n)
{
    int32_t m = lane[0];
    for (int i = 1; i < n; i++)
        m = lane[i] > m ? lane[i] : m;
    return m;
}

/* The first column with the greatest value; NaN counts as greatest. */
BM_FN int32_t bm_fold_argmax(const real *lane, const int32_t *at, int n)
{
    int b = 0;
    for (int i = 1; i < n; i++) {
        real x = lane[i], y = lane[b];
        int nx = x != x, ny = y != y;
        int better = nx != ny ? nx : x > y || ((x == y || nx) && at[i] < at[b]);
        b = better ? i : b;
    }
    return at[b];
}

BM_FN int32_t bm_fold_argmax_int(const int32_t *lane, const int32_t *at, int n)
{
    int b = 0;
    for (int i = 1; i < n; i++)
        b = lane[i] > lane[b] || (lane[i] == lane[b] && at[i] < at[b]) ? i : b;
    return at[b];
}

/* An index that must lie in 0..limit-1: told to the runtime when it does not, and 0 then. */
BM_FN int64_t bm_index(int32_t i, int64_t limit, const char *path, int64_t unit, int64_t units)
{
    if (i >= 0 && i < limit)
        return i;
    bmrt_index_fault(path, unit / units, unit % units, i, limit);
    return 0;
}
