/* search.c - which plan: micro-batch, levels, recompute, lead. */
#include "planner/choice.h"
#include "planner/counts.h"
#include "planner/measure.h"

static void tell_no_fit(const Model *m, const Plan *least, int64_t memory, Diag *d)
{
    StrBuf need = strbuf_new(m->arena), have = strbuf_new(m->arena), kept = strbuf_new(m->arena);
    strbuf_bytes(&need, least->arena_bytes);
    strbuf_bytes(&have, memory);
    strbuf_bytes(&kept, least->persistent_bytes);
    Span at = m->plan.memory_at.file >= 0 && m->plan.memory == memory ? m->plan.memory_at : NO_SPAN;
    diag_error(d, at, "no plan fits: the least found needs %s (%lld bytes), memory is %s",
               need.text, (long long)least->arena_bytes, have.text);
    diag_note(d, NO_SPAN, "parameters and optimizer state take %s; micro-batch %lld in %lld rounds",
              kept.text, (long long)least->micro_batch, (long long)least->rounds);
    diag_help(d, "give --memory %s or more, or make the model or its context smaller", need.text);
}

/* What divides a number, the largest first. */
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

/* One level of the ladder: micro-batches that divide a rank's samples, the largest first, and the
 * plans made so far. */
typedef struct Tries {
    const Ask *q;
    Choice choice;
    Counts micro;
    Plan **plan;
} Tries;

static bool fits(Tries *t, int k)
{
    if (!t->plan[k] && measure(t->q->m, t->micro.v[k]) != MEASURE_FITS)
        return false;
    if (!t->plan[k]) {
        Choice c = t->choice;
        c.micro_batch = t->micro.v[k];
        t->plan[k] = plan_one(t->q, &c);
    }
    return !t->q->memory || t->plan[k]->arena_bytes <= t->q->memory;
}

/* Fewer samples at once never take more memory, so halving finds the first that fits. */
static Plan *largest_that_fits(Tries *t)
{
    int lo = 0, hi = t->micro.n - 1;
    if (fits(t, lo))
        return t->plan[lo];
    if (!fits(t, hi))
        return NULL;
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (fits(t, mid))
            hi = mid;
        else
            lo = mid;
    }
    return t->plan[hi];
}

static void remember(const Tries *t, Plan *best)
{
    for (int k = 0; k < t->micro.n; k++) {
        const Plan *p = t->plan[k];
        if (!p)
            continue;
        const char *why = p == best                       ? NULL
                          : p->arena_bytes > t->q->memory ? "needs more than memory"
                                                          : "more rounds";
        Alternative x = {.micro_batch = p->micro_batch,
                         .rounds = p->rounds,
                         .arena_bytes = p->arena_bytes,
                         .fits = why == NULL || p->arena_bytes <= t->q->memory,
                         .why = why};
        vec_push(t->q->a, &best->tried, x);
    }
}

Plan *plan_search(const Ask *q, int64_t micro_batch, bool *no_fit)
{
    static const Level ladder[] = {LEVEL_1, LEVEL_2, LEVEL_3};
    Tries t = {.q = q};
    int64_t share = q->batch / q->ranks;
    if (micro_batch)
        vec_push(q->a, &t.micro, micro_batch);
    else
        t.micro = divisors(q->a, share);
    Measure least = measure(q->m, t.micro.v[t.micro.n - 1]);
    if (least != MEASURE_FITS) {
        *no_fit = least == MEASURE_BYTES;
        measure_tell(q->m, least, q->d);
        return NULL;
    }
    for (int k = 0; k < (q->ranks > 1 ? countof(ladder) : 1); k++) {
        t.choice = (Choice){.level = ladder[k], .lead = 1, .bucket_bytes = 4 << 20};
        t.plan = arena_array(q->a, Plan *, t.micro.n);
        Plan *best = largest_that_fits(&t);
        if (!best)
            continue;
        remember(&t, best);
        return best;
    }
    *no_fit = true;
    tell_no_fit(q->m, t.plan[t.micro.n - 1], q->memory, q->d);
    return NULL;
}
