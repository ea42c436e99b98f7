/* plan_build.c - the planner's entrance: what is asked for must be possible, then the search. */
#include "planner/choice.h"
#include "planner/counts.h"
#include "planner/measure.h"

static void list_near(StrBuf *s, const Counts *all, int64_t n)
{
    int below = 0;
    while (all->v[below] > n)
        below++;
    strbuf_printf(s, "%lld", (long long)all->v[below]);
    if (below > 0)
        strbuf_printf(s, " and %lld", (long long)all->v[below - 1]);
}

static bool ranks_divide(const Ask *q)
{
    if (q->batch % q->ranks == 0)
        return true;
    Counts all = divisors(q->a, q->batch);
    StrBuf near = strbuf_new(q->a);
    list_near(&near, &all, q->ranks);
    int64_t below = q->batch / q->ranks * q->ranks, above;
    diag_error(q->d, q->m->batch_at, "a batch of %lld cannot be split over %lld ranks",
               (long long)q->batch, (long long)q->ranks);
    if (!mul_ok(q->batch / q->ranks + 1, q->ranks, &above))
        return false;
    if (below)
        diag_help(q->d, "batch = %lld or %lld; or ranks that divide it: %s", (long long)below,
                  (long long)above, near.text);
    else
        diag_help(q->d, "batch = %lld; or ranks that divide it: %s", (long long)above, near.text);
    return false;
}

static bool micro_divides(const Ask *q, int64_t micro)
{
    int64_t share = q->batch / q->ranks;
    if (!micro || share % micro == 0)
        return true;
    Counts all = divisors(q->a, share);
    StrBuf near = strbuf_new(q->a);
    list_near(&near, &all, micro);
    int64_t rounds = (share + micro - 1) / micro, whole;
    diag_error(q->d, q->m->plan.micro_at.file >= 0 ? q->m->plan.micro_at : q->m->batch_at,
               q->ranks > 1 ? "a rank's %lld samples of a batch cannot be split into micro-batches "
                              "of %lld"
                            : "a batch of %lld cannot be split into micro-batches of %lld",
               (long long)share, (long long)micro);
    if (mul_ok(rounds, micro, &whole) && mul_ok(whole, q->ranks, &whole))
        diag_help(q->d, "nearest that divide it: %s; or batch = %lld", near.text, (long long)whole);
    return false;
}

static bool hybrid_divides(const Ask *q)
{
    if (q->ranks % q->shared_by == 0)
        return true;
    Counts all = divisors(q->a, q->ranks);
    StrBuf near = strbuf_new(q->a);
    for (int k = 0; k < all.n && k < 8; k++)
        strbuf_printf(&near, "%s%lld", k ? ", " : "", (long long)all.v[k]);
    diag_error(q->d, q->m->plan.hybrid_at, "%lld ranks cannot be split into groups of %lld",
               (long long)q->ranks, (long long)q->shared_by);
    diag_help(q->d, "what divides %lld: %s", (long long)q->ranks, near.text);
    return false;
}

static bool power_of_two(int64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

/* A tree over (rank, round) is the same on any number of ranks when both are powers of two and a
 * round is the same samples: its size may depend on the batch only. 0: reported. */
static int64_t invariant_micro_batch(const Ask *q, int64_t micro)
{
    enum { LEAVES = 16 };
    Diag *d = q->d;
    if (!power_of_two(q->ranks) || !power_of_two(q->shared_by)) {
        diag_error(d, q->ranks > 1 ? q->m->plan.ranks_at : NO_SPAN,
                   "reduce = invariant adds ranks along a binary tree: %lld is no power of two",
                   (long long)(power_of_two(q->ranks) ? q->shared_by : q->ranks));
        return 0;
    }
    if (!micro) {
        int64_t leaves = LEAVES;
        while (leaves > 1 && q->batch % leaves)
            leaves /= 2;
        micro = q->batch / leaves;
    }
    int64_t rounds = q->batch / q->ranks / micro;
    if (power_of_two(rounds) && rounds * micro * q->ranks == q->batch)
        return micro;
    diag_error(
        d, q->m->plan.micro_at.file >= 0 ? q->m->plan.micro_at : q->m->batch_at,
        "reduce = invariant needs 1, 2, 4, .. micro-batches on each rank: a batch of %lld on "
        "%lld ranks in micro-batches of %lld is not that",
        (long long)q->batch, (long long)q->ranks, (long long)micro);
    diag_help(d, "a batch that is a power of two times the micro-batch and the ranks");
    return 0;
}

Plan *plan_build(Arena *a, const Model *m, const PlanOptions *o, Diag *d, bool *no_fit)
{
    Ask q = {.a = a, .m = m, .machine = o->machine, .no_fuse = o->no_fuse, .d = d};
    if (!q.machine)
        q.machine = machine_find(a, "cpu", d);
    q.batch = m->batch > 0 ? m->batch : 1;
    q.ranks = o->ranks ? o->ranks : m->plan.ranks ? m->plan.ranks : 1;
    q.shared_by = m->plan.hybrid ? m->plan.hybrid : q.ranks;
    q.memory = o->memory ? o->memory : m->plan.memory;
    if (!q.memory && o->machine)
        q.memory = o->machine->memory_bytes;
    int64_t micro = o->micro_batch ? o->micro_batch : m->plan.micro_batch;
    *no_fit = false;
    if (!ranks_divide(&q) || !micro_divides(&q, micro) || !hybrid_divides(&q))
        return NULL;
    if (m->invariant && !(micro = invariant_micro_batch(&q, micro)))
        return NULL;
    return plan_search(&q, micro, no_fit);
}
