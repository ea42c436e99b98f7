/* check_groups.c - V04 V22: what ranks keep of each group, and the norm of all gradients. */
#include "planner/verify/table.h"

enum { PARAM_ALIGN = 16 /* elements */ };

/* ---- V04 ---- */

/* Parameters lie one behind the other; whole shards hold all of them. */
static bool check_layout(Table *t, int i)
{
    const TableGroup *g = &t->group[i];
    int64_t end = 0, all = 0;
    for (int k = 0; k < g->n; k++) {
        if (g->at[k] < end || g->at[k] % PARAM_ALIGN)
            broken(t, CHECK_V04,
                   "group %d (%s): '%s' begins at element %lld, what is before it "
                   "ends at %lld",
                   i, g->path, g->params[k], (long long)g->at[k], (long long)end);
        if (!add_ok(g->at[k], g->count[k], &end)) {
            broken(t, CHECK_V04, "group %d (%s): '%s' has %lld elements", i, g->path, g->params[k],
                   (long long)g->count[k]);
            return false;
        }
    }
    if (end > g->used || g->used % NORM_GRAIN)
        broken(t, CHECK_V04, "group %d (%s) uses %lld elements, its parameters end at %lld", i,
               g->path, (long long)g->used, (long long)end);
    bool fits = mul_ok(g->shard, t->shared_by, &all) && all <= PLAN_MAX_BYTES / 4;
    if (!fits || all < g->used || g->shard % NORM_GRAIN)
        broken(t, CHECK_V04, "group %d (%s): %lld shards of %lld elements do not hold %lld", i,
               g->path, (long long)t->shared_by, (long long)g->shard, (long long)g->used);
    return fits;
}

/* A buffer of a group: a shard, or all of them one behind the other. -1: there need be none. */
static void check_size(Table *t, int i, int buffer, bool sharded, int64_t elem, const char *what)
{
    const TableGroup *g = &t->group[i];
    if (buffer < 0)
        return;
    const TableBuffer *b = &t->buffer[buffer];
    int64_t want = elem * g->shard * (sharded ? 1 : t->shared_by);
    if (b->group != i || b->bytes != want || b->elem != elem ||
        (b->sharded != sharded && t->shared_by > 1))
        broken(t, CHECK_V04,
               "group %d (%s): the %s are %s of %lld bytes of group %d, %s%lld bytes "
               "are meant",
               i, g->path, what, the_buffer(t, buffer), (long long)b->bytes, b->group,
               sharded ? "a shard of " : "", (long long)want);
}

static bool keeps_shards(const Table *t, const TableGroup *g)
{
    return (g->level == LEVEL_3 || g->level == LEVEL_ONCE) && t->ranks > 1;
}

static void check_buffers(Table *t, int i)
{
    const TableGroup *g = &t->group[i];
    bool shards = g->level != LEVEL_0 && t->ranks > 1;
    int64_t narrow = t->buffer[g->param].elem; /* 2: a copy of the f32 ones among the state */
    check_size(t, i, g->param, keeps_shards(t, g), narrow, "parameters");
    check_size(t, i, g->grad, false, 4, "gradients");
    check_size(t, i, g->grad_shard, true, 4, "reduced gradients");
    for (int k = 0; k < g->n_state; k++) {
        check_size(t, i, g->state[k], shards, 4, "optimizer state");
        if (t->buffer[g->state[k]].host != g->offload)
            broken(t, CHECK_V04, "group %d (%s): %s is %s the host", i, g->path,
                   the_buffer(t, g->state[k]), g->offload ? "not on" : "on");
    }
    check_size(t, i, g->host_param, shards, narrow, "parameters on the host");
    check_size(t, i, g->host_grad, shards, 4, "gradients on the host");
    if (g->trained != (g->grad >= 0))
        broken(t, CHECK_V04, "group %d (%s) is %strained and has %s gradients", i, g->path,
               g->trained ? "" : "not ", g->grad >= 0 ? "" : "no");
}

/* Buffers whose pieces no group counts: parameters outside of all groups are not in the plan. */
static void check_members(Table *t)
{
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->group < 0 || b->role != ROLE_GATHERED)
            continue;
        int64_t elem = t->buffer[t->group[b->group].param].elem;
        int64_t want = elem * t->group[b->group].shard * t->shared_by;
        if (b->bytes != want || b->elem != elem)
            broken(t, CHECK_V04, "%s has %lld bytes, the shards of group %d together %lld",
                   the_buffer(t, i), (long long)b->bytes, b->group, (long long)want);
    }
}

/* ---- V22 ---- */

/* The group whose gradients a use is of, all that a rank has to count of them: its shard. -1: tell.
 */
static int counted_group(Table *t, int step)
{
    const Use *u = &t->step[step].use[0];
    const TableBuffer *b = &t->buffer[u->buffer];
    int64_t shard = b->group < 0 ? 0 : 4 * t->group[b->group].shard;
    int64_t by_rank = b->sharded || t->ranks == 1 ? 0 : shard;
    int64_t all = shard * t->shared_by;
    bool fits = b->group >= 0 && u->end - u->lo == shard && (u->by_rank == by_rank) &&
                (b->sharded ? u->lo == 0 : u->lo % all == 0);
    if (!fits)
        broken(t, CHECK_V22,
               "%s counts bytes %lld to %lld of %s, %lld bytes on for each rank, "
               "which is no rank's shard of its group",
               the_step(t, step), (long long)u->lo, (long long)u->end - 1, the_buffer(t, u->buffer),
               (long long)u->by_rank);
    return fits ? b->group : -1;
}

typedef struct Norm {
    int *step;        /* by group: what counts it; -1: nothing yet */
    int64_t per_rank; /* grains */
    int partial;      /* the buffer they are in; -1: not known */
} Norm;

static void count_group(Table *t, int step, Norm *n)
{
    const TableStep *s = &t->step[step];
    if (s->n_use != 2)
        return;
    int g = counted_group(t, step);
    if (g < 0)
        return;
    if (n->step[g] >= 0)
        broken(t, CHECK_V22, "%s counts group %d (%s), which %s counted", the_step(t, step), g,
               t->group[g].path, the_step(t, n->step[g]));
    n->step[g] = step;
    const Use *u = &s->use[1];
    int64_t at = 0;
    for (int k = 0; k < g; k++)
        at += t->group[k].trained ? t->group[k].shard / NORM_GRAIN : 0;
    int64_t by_rank = t->ranks == 1 ? 0 : 4 * n->per_rank;
    if (n->partial < 0)
        n->partial = u->buffer;
    if (u->buffer != n->partial || u->lo != 4 * at || u->by_rank != by_rank ||
        u->end - u->lo != t->group[g].shard / NORM_GRAIN * 4)
        broken(t, CHECK_V22,
               "%s puts the grains of group %d (%s) at byte %lld of %s, %lld bytes "
               "on for each rank; %lld of %s, %lld on, are meant",
               the_step(t, step), g, t->group[g].path, (long long)u->lo, the_buffer(t, u->buffer),
               (long long)u->by_rank, (long long)(4 * at), the_buffer(t, n->partial),
               (long long)by_rank);
}

static void add_up(Table *t, int step, const Norm *n)
{
    const TableStep *s = &t->step[step];
    int at = 0;
    for (int g = 0; g < t->n_group; g++) {
        if (!t->group[g].trained)
            continue;
        int64_t grains = t->group[g].used / NORM_GRAIN;
        if (at >= s->n_grain || s->grain[at] != grains)
            broken(t, CHECK_V22, "%s adds up %lld grains of group %d (%s), which has %lld",
                   the_step(t, step), (long long)(at < s->n_grain ? s->grain[at] : 0), g,
                   t->group[g].path, (long long)grains);
        if (n->step[g] < 0)
            broken(t, CHECK_V22, "%s adds up group %d (%s), whose grains no step made",
                   the_step(t, step), g, t->group[g].path);
        at++;
    }
    if (at != s->n_grain)
        broken(t, CHECK_V22, "%s adds up %d groups, %d are trained", the_step(t, step), s->n_grain,
               at);
    if (s->n_use > 0 && (s->use[0].buffer != n->partial || s->use[0].lo != 0 ||
                         s->use[0].end < 4 * n->per_rank * t->shared_by))
        broken(t, CHECK_V22,
               "%s reads bytes %lld to %lld of %s, the grains of %lld ranks are "
               "%lld in each",
               the_step(t, step), (long long)s->use[0].lo, (long long)s->use[0].end - 1,
               the_buffer(t, s->use[0].buffer), (long long)t->shared_by, (long long)n->per_rank);
}

static void check_norm(Table *t)
{
    Norm n = {.step = arena_array(t->a, int, t->n_group + 1), .partial = -1};
    for (int g = 0; g < t->n_group; g++) {
        n.step[g] = -1;
        n.per_rank += t->group[g].trained ? t->group[g].shard / NORM_GRAIN : 0;
    }
    for (int i = 0; i < t->n_step; i++) {
        if (t->step[i].kind == KIND_SUM_SQUARES)
            count_group(t, i, &n);
        if (t->step[i].kind == KIND_NORM)
            add_up(t, i, &n);
    }
}

void check_groups(Table *t)
{
    for (int i = 0; i < t->n_group; i++) {
        if (check_layout(t, i))
            check_buffers(t, i);
    }
    if (t->told[CHECK_V04])
        return;
    check_members(t);
    check_norm(t);
}
