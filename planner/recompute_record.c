/* recompute_record.c - what each unit keeps, into the plan: for plan.json, where a person may
 * change it, and for the pages. */
#include "planner/recompute.h"

static RecomputeRule rule_of(const RecomputeChoice *c, int unit)
{
    if (!recompute_wanted(c, unit))
        return RECOMPUTE_NONE;
    return c->kept && c->kept[unit] ? RECOMPUTE_AUTO : RECOMPUTE_ALL;
}

/* Its own copy: the search's memory does not live as long, and may be shorter. */
static const uint64_t *kept_of(Build *b, const RecomputeChoice *c, int unit, int n)
{
    uint64_t *kept = arena_array(b->a, uint64_t, frontier_words(n));
    for (int k = 0; k < n; k++)
        if (recompute_keeps(c, unit, k))
            kept[k / 64] |= UINT64_C(1) << (k % 64);
    return kept;
}

void recompute_record(Build *b, const RecomputeChoice *c, const Units *u)
{
    int units = b->prog->graph->instance.n;
    int *count = arena_array(b->a, int, units);
    const Node ***op = arena_array(b->a, const Node **, units);
    for (int k = 0; k < u->n; k++)
        if (u->op[k] >= 0)
            count[u->unit[k]]++;
    for (int k = 1; k < units; k++)
        op[k] = arena_array(b->a, const Node *, count[k]);
    for (int k = 0; k < u->n; k++)
        if (u->op[k] >= 0)
            op[u->unit[k]][u->op[k]] = b->item.v[k]->node;
    for (int k = 1; k < units; k++) {
        if (!count[k])
            continue;
        UnitRecompute r = {.unit = k, .rule = rule_of(c, k), .n = count[k], .op = op[k]};
        if (r.rule == RECOMPUTE_AUTO)
            r.kept = kept_of(b, c, k, r.n);
        vec_push(b->a, &b->plan->recompute, r);
    }
}
