/* counts.c - what divides a number. */
#include "planner/counts.h"

Counts divisors(Arena *a, int64_t n)
{
    Counts all = {0};
    for (int64_t i = 1; i <= n / i; i++)
        if (n % i == 0)
            vec_push(a, &all, n / i);
    for (int i = all.n - 1; i >= 0; i--)
        if (n / all.v[i] != all.v[i])
            vec_push(a, &all, n / all.v[i]);
    return all;
}
