/* moments.c - moments of leaves and of runs of leaves (Chan, Golub, LeVeque 1979). */
#include "runtime/moments.h"

#include <math.h>

static double element(bmrt_dtype t, const void *x, int i)
{
    switch (t) {
    case BMRT_F32:
        return (double)((const real *)x)[i];
    case BMRT_I32:
        return (double)((const int32_t *)x)[i];
    case BMRT_U8:
        return ((const unsigned char *)x)[i] != 0;
    }
    return 0;
}

bmrt_moments bmrt_moments_of(bmrt_dtype t, const void *x, int n)
{
    double v[BMRT_LEAF] = {0};
    bmrt_moments m = {.n = n};
    for (int i = 0; i < n; i++)
        m.sum += v[i] = element(t, x, i);
    double mean = m.sum / n;
    m.least = m.most = v[0];
    for (int i = 0; i < n; i++) {
        m.m2 += (v[i] - mean) * (v[i] - mean);
        m.least = v[i] < m.least ? v[i] : m.least;
        m.most = v[i] > m.most ? v[i] : m.most;
    }
    return m;
}

bmrt_moments bmrt_moments_add(const bmrt_moments *a, const bmrt_moments *b)
{
    double na = (double)a->n, nb = (double)b->n;
    if (a->n == 0 || b->n == 0)
        return a->n == 0 ? *b : *a;
    double apart = b->sum / nb - a->sum / na;
    return (bmrt_moments){.n = a->n + b->n,
                          .sum = a->sum + b->sum,
                          .m2 = a->m2 + b->m2 + apart * apart * (na * nb / (na + nb)),
                          .least = b->least < a->least ? b->least : a->least,
                          .most = b->most > a->most ? b->most : a->most};
}

double bmrt_moments_mean(const bmrt_moments *a)
{
    return a->sum / (double)a->n;
}

double bmrt_moments_std(const bmrt_moments *a)
{
    return a->n > 1 ? sqrt(a->m2 / (double)(a->n - 1)) : 0;
}

bool bmrt_moment_push(bmrt_moment_runs *r, const bmrt_moment_run *next)
{
    bmrt_moment_run x = *next;
    if (r->n > 0) {
        const bmrt_moment_run *last = &r->run[r->n - 1];
        if (last->first + ((int64_t)1 << last->level) != x.first)
            return false;
    }
    for (; r->n > 0; r->n--) {
        const bmrt_moment_run *left = &r->run[r->n - 1];
        if (left->level != x.level || left->first & (int64_t)1 << x.level)
            break;
        x = (bmrt_moment_run){left->first, x.level + 1, bmrt_moments_add(&left->of, &x.of)};
    }
    if (r->n == BMRT_RUNS)
        return false;
    r->run[r->n++] = x;
    return true;
}

bmrt_moments bmrt_moment_total(const bmrt_moment_runs *r)
{
    bmrt_moments all = {0};
    for (int64_t i = 0; i < r->n; i++)
        all = bmrt_moments_add(&all, &r->run[i].of);
    return all;
}
