/* offload.c - copies around an update that runs on the host.
 *
 * Optimizer state lies in the host's arena for the whole run; parameters and gradients are there
 * for their group's update only. Before it this rank's shard of both is copied there, after it the
 * parameters are copied back. A copy of the parameters kept on the host would save one of the three
 * copies, and take a fourth more of the host's memory for good, in a second place that loading and
 * starting would have to fill: what is there for a moment takes the memory of two groups at most.
 *
 * All copies share one stream, in the order of their steps. A group's operands are asked for before
 * the update in front of it, so that they come while that one runs. */
#include "planner/comm.h"

typedef struct Updates { /* of the groups on the host, in the order of their steps */
    int group, first, last;
} Updates;

static bool touches(const Step *s, const FlatGroup *g)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        if (s->arg[j].buffer == g->host_params || s->arg[j].buffer == g->host_grads)
            return true;
    return false;
}

/* How many there are. */
static int find_updates(const Comm *c, Updates *u)
{
    int n = 0;
    for (int k = 0; k < c->p->group.n; k++) {
        const FlatGroup *g = &c->p->group.v[k];
        Updates x = {.group = k, .first = -1};
        for (int s = comm_first(c, PHASE_UPDATE); s < comm_end(c, PHASE_UPDATE) && g->offload; s++)
            if (touches(&c->p->step.v[s], g)) {
                x.first = x.first < 0 ? s : x.first;
                x.last = s;
            }
        if (x.first < 0)
            continue;
        int at = n++;
        for (; at > 0 && u[at - 1].first > x.first; at--)
            u[at] = u[at - 1];
        u[at] = x;
    }
    return n;
}

static void copy(Comm *c, const FlatGroup *g, int before, Operand from, Operand to,
                 const char *what)
{
    int64_t n = flat_own_elems(c->p, g);
    Kernel k = {.kind = K_COPY, .n_arg = 2, .units = n, .least = 1};
    k.bytes = 2 * n * dtype_size(c->p->buffer.v[from.buffer].dtype);
    k.arg_written[1] = true;
    k.coll.n_segment = 1;
    k.coll.segment[0] = (Segment){n, n};
    k.tpl.n_view = 2;
    k.tpl.view[0] = k.tpl.view[1] = (View){.ndim = 1, .dim = {n}, .stride = {1}};
    const Operand arg[] = {from, to};
    comm_add(c, PHASE_UPDATE, before, &k, "copy", arg, g->path, g->id, WHEN_ALWAYS);
    c->in[PHASE_UPDATE].v[c->in[PHASE_UPDATE].n - 1].step.what = what;
}

/* What an update works on, to the host. */
static void bring(Comm *c, const Updates *u, int before)
{
    const FlatGroup *g = &c->p->group.v[u->group];
    const Operand grads = {g->host_grads, 0, 0}, params = {g->host_params, 0, 0};
    Operand from = flat_own_grads(c->p, g);
    if (from.buffer == g->grads && c->sums[g->id].buffer >= 0) {
        from.buffer = c->sums[g->id].buffer;
        from.offset += c->sums[g->id].offset;
    }
    copy(c, g, before, from, grads, "gradients to the host");
    if (!g->master) /* else they are there */
        copy(c, g, before, flat_own_params(c->p, g), params, "parameters to the host");
}

static void send_back(Comm *c, const Updates *u)
{
    const FlatGroup *g = &c->p->group.v[u->group];
    const Operand params = {g->host_params, 0, 0};
    copy(c, g, comm_after(c, u->last), params, flat_own_params(c->p, g),
         "parameters from the host");
}

void comm_offload(Comm *c)
{
    Updates *u = arena_array(c->p->arena, Updates, c->p->group.n + 1);
    int n = find_updates(c, u);
    bool ahead = c->p->overlap;
    for (int k = 0; k < n; k++) {
        if (!k || !ahead)
            bring(c, &u[k], u[k].first);
        if (ahead && k + 1 < n)
            bring(c, &u[k + 1], u[k].first);
        send_back(c, &u[k]);
    }
}
