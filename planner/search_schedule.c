/* search_schedule.c - when collectives begin and how much one of them moves: what the choice of
 * levels leaves exposed. */
#include "planner/search.h"

/* Gathers issued sooner or later can take away what is exposed, at best. */
static const Result *with_lead(Search *s, const Result *best)
{
    static const int other[] = {0, 2, 3};
    const Result *r = NULL;
    s->work += countof(other);
    for (int k = 0; k < s->result.n; k++)
        if (s->result.v[k]->gathers && s->result.v[k]->choice.lead == 1)
            r = search_faster(r, s->result.v[k]);
    if (!r || s->q->m->plan.lead >= 0 || r->step_ps - r->exposed_ps >= best->step_ps ||
        r->exposed_ps <= r->step_ps / (2 * NEARLY))
        return best;
    for (int k = 0; k < countof(other); k++) {
        Choice c = r->choice;
        c.lead = other[k];
        best = search_faster(best, search_try(s, &c));
    }
    return best;
}

/* Likewise fewer and larger sums over ranks, or sooner and smaller ones: where groups are small. */
static const Result *with_buckets(Search *s, const Result *best)
{
    static const int shift[] = {-2, 2, 4};
    const Result *r = best;
    s->work += countof(shift);
    int64_t usual = 1; /* about so: a round number for people */
    while (usual <= plan_bucket_bytes(s->q->machine) / 2)
        usual *= 2;
    if (r->exposed_ps <= r->step_ps / NEARLY / 4 || r->least_group >= usual << 4)
        return best;
    for (int k = 0; k < countof(shift); k++) {
        Choice c = r->choice;
        c.bucket_bytes = shift[k] < 0 ? usual >> -shift[k] : usual << shift[k];
        best = search_faster(best, search_try(s, &c));
    }
    return best;
}

const Result *search_schedule(Search *s, const Result *best)
{
    if (s->q->ranks == 1 || s->q->m->plan.no_overlap)
        return best;
    return with_buckets(s, with_lead(s, best));
}
