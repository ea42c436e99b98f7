/* comm_sum.c - sums over ranks, in the one order that is theirs.
 *
 * Block by block in a small buffer, so that the result may replace one of the parts. */
#include "runtime/comm.h"

#include <string.h>

enum { BLOCK = 256, LEVELS = 32 };

static void add_block(real *restrict to, const real *restrict from, int64_t n)
{
    if (n == BLOCK) { /* a known count: the compiler uses vectors */
        for (int i = 0; i < BLOCK; i++)
            to[i] += from[i];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void sum_in_order(const real *const *part, int parts, int64_t at, int64_t n, real *sum)
{
    memcpy(sum, part[0] + at, (size_t)n * sizeof *sum);
    for (int p = 1; p < parts; p++)
        add_block(sum, part[p] + at, n);
}

/* Neighbours are added, then neighbouring pairs, ..., and one without a neighbour goes up as it is:
 * like a binary counter, where level[i] holds the sum of 2^i parts. */
static void sum_as_tree(const real *const *part, int parts, int64_t at, int64_t n, real *sum)
{
    real level[LEVELS][BLOCK];
    unsigned used = 0;
    size_t bytes = (size_t)n * sizeof *sum;
    for (int p = 0; p < parts; p++) {
        memcpy(sum, part[p] + at, bytes);
        int i = 0;
        for (; used >> i & 1; i++) {
            used &= ~(1u << i);
            add_block(level[i], sum, n); /* the earlier one is the left operand */
            memcpy(sum, level[i], bytes);
        }
        memcpy(level[i], sum, bytes);
        used |= 1u << i;
    }
    bool any = false;
    for (int i = 0; i < LEVELS; i++) {
        if (!(used >> i & 1))
            continue;
        if (any)
            add_block(level[i], sum, n);
        memcpy(sum, level[i], bytes);
        any = true;
    }
}

void bmrt_sum_parts(const real *const *part, int n, int64_t count, bool tree, bool add, real *out)
{
    real sum[BLOCK];
    for (int64_t at = 0; at < count; at += BLOCK) {
        int64_t now = count - at < BLOCK ? count - at : BLOCK;
        if (tree)
            sum_as_tree(part, n, at, now, sum);
        else
            sum_in_order(part, n, at, now, sum);
        if (add)
            add_block(out + at, sum, now);
        else
            memcpy(out + at, sum, (size_t)now * sizeof *sum);
    }
}
