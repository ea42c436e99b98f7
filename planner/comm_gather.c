/* comm_gather.c - parameters that ranks keep as shards are gathered before they are read.
 *
 * The steps that read a group's parameters fall into ranges: a block's forward pass, its backward.
 * Each range gets a gathered copy of its own, which lives from the collective to the range's end
 * (or, gathered once a step, through all rounds). A gather is issued `lead` ranges ahead. */
#include "planner/comm.h"

enum { NEAR_STEPS = 10 }; /* readers this close share a gather whatever lies between */

typedef struct Range {
    int group, first, last;
} Range;

typedef VEC(Range) Ranges;

static int sharded_group(const Plan *p, int buffer)
{
    const Buffer *x = &p->buffer.v[buffer];
    return x->role == ROLE_PARAM && x->group >= 0 && x->sharded ? x->group : -1;
}

static bool keeps_for(const Plan *p, int group)
{
    return p->group.v[group].level == LEVEL_ONCE;
}

/* Ranges in the order of their first steps. */
static Ranges find_ranges(const Comm *c, Phase f)
{
    Plan *p = c->p;
    Ranges all = {0};
    int *open = arena_array(p->arena, int, p->group.n + 1); /* 1 + the group's last range */
    int *turn = arena_array(p->arena, int, p->group.n + 1); /* when it was read last */
    int turns = 0, unit = -1;
    for (int k = comm_first(c, f); k < comm_end(c, f); k++)
        for (int j = 0; j < p->step.v[k].kernel->n_arg; j++) {
            int g = sharded_group(p, p->step.v[k].arg[j].buffer);
            if (g < 0)
                continue;
            if (p->group.v[g].unit != unit)
                turns++;
            unit = p->group.v[g].unit;
            Range *r = open[g] ? &all.v[open[g] - 1] : NULL;
            bool same = r && (keeps_for(p, g) || turn[g] == turns || k - r->last <= NEAR_STEPS);
            turn[g] = turns;
            if (same) {
                r->last = k;
                continue;
            }
            Range n = {.group = g, .first = k, .last = k};
            vec_push(p->arena, &all, n);
            open[g] = all.n;
        }
    return all;
}

static void read_from(Comm *c, const Range *r, int buffer)
{
    int params = c->p->group.v[r->group].params;
    for (int k = r->first; k <= r->last; k++) {
        Step *s = &c->p->step.v[k];
        for (int j = 0; j < s->kernel->n_arg; j++)
            if (s->arg[j].buffer == params)
                s->arg[j].buffer = buffer;
    }
}

static void gather(Comm *c, Phase f, const Range *r, int before)
{
    Plan *p = c->p;
    const FlatGroup *g = &p->group.v[r->group];
    const char *path = g->path[0] ? arena_printf(p->arena, "%s.gathered", g->path) : "gathered";
    DType dtype = p->buffer.v[g->params].dtype;
    int64_t bytes = flat_whole(p, g) * dtype_size(dtype);
    int id = buffer_temp(c->b, path, dtype, bytes, false);
    p->buffer.v[id].role = ROLE_GATHERED;
    p->buffer.v[id].group = g->id;
    read_from(c, r, id);
    Kernel k = {.kind = K_ALL_GATHER, .n_arg = 2, .units = 1, .least = 1};
    k.arg_written[0] = true;
    k.coll.n_segment = 1;
    k.coll.segment[0] = (Segment){g->shard, g->shard};
    k.bytes = bytes;
    const Operand arg[] = {{id, 0, 0}, {g->params, 0, 0}};
    bool once = keeps_for(p, g->id) && c->turns && (f == PHASE_ROUND || f == PHASE_WEIGHT);
    comm_add(c, f, before, &k, "all_gather", arg, g->path, g->id, once ? WHEN_FIRST : WHEN_ALWAYS);
}

void comm_gathers(Comm *c, Phase f)
{
    Ranges all = find_ranges(c, f);
    for (int k = 0; k < all.n; k++) {
        int ahead = k > c->p->lead ? k - c->p->lead : 0;
        int before = comm_before(c, all.v[ahead].first);
        if (c->p->lead >= all.n)
            before = comm_first(c, f);
        gather(c, f, &all.v[k], before);
    }
}
