/* comm.c - collectives, and copies to the host and back, put between the kernels of a program.
 *
 * The kernels' steps exist, in order. Here the others are put among them: their place in the
 * numbering is when they may begin, how long they take decides (overlap.c) how long what they touch
 * must live. Steps are numbered anew at the end. */
#include "planner/comm.h"

#include <string.h>

int comm_first(const Comm *c, Phase f)
{
    return c->g->first[f];
}

int comm_end(const Comm *c, Phase f)
{
    return c->g->first[f] + c->g->count[f];
}

int comm_after(const Comm *c, int step)
{
    const Step *s = &c->p->step.v[step];
    int end = comm_end(c, s->phase);
    int k = step + 1;
    while (s->region && k < end && c->p->step.v[k].region == s->region)
        k++;
    return k;
}

int comm_before(const Comm *c, int step)
{
    const Step *s = &c->p->step.v[step];
    int first = comm_first(c, s->phase);
    int k = step;
    while (s->region && k > first && c->p->step.v[k - 1].region == s->region)
        k--;
    return k;
}

bool comm_writes(const Step *s, int buffer)
{
    for (int j = 0; j < s->kernel->n_arg; j++)
        if (s->arg[j].buffer == buffer && s->kernel->arg_written[j])
            return true;
    return false;
}

static bool is_collective(const Kernel *k)
{
    return k->kind == K_ALL_GATHER || k->kind == K_REDUCE_SCATTER || k->kind == K_ALL_REDUCE;
}

int64_t comm_sent(const Plan *p, const Kernel *k)
{
    int64_t size = dtype_size(k->arg_dtype[0]);
    int64_t elems = 0, share = p->shared_by, groups = p->ranks / p->shared_by;
    for (int s = 0; s < k->coll.n_segment; s++)
        elems += k->coll.segment[s].elems;
    int64_t gather = (share - 1) * elems, reduce = (share - 1) * elems;
    if (groups > 1) /* the last group's rank sends the sums back; the others pass them on */
        reduce += (groups - 1) * elems;
    switch (k->kind) {
    case K_ALL_GATHER:
        return size * gather;
    case K_REDUCE_SCATTER:
        return size * reduce;
    case K_ALL_REDUCE:
        return size * (gather + reduce);
    default:
        return 0;
    }
}

Step comm_whole(const Plan *p, const FlatGroup *g, KernelKind kind, DType dtype, Kernel *k)
{
    *k = (Kernel){.kind = kind, .n_arg = 2, .units = 1, .least = 1};
    k->coll.n_segment = 1;
    k->coll.segment[0] = (Segment){g->shard, g->shard};
    k->arg_dtype[0] = dtype;
    return (Step){.program = PROGRAM_TRAIN, .kernel = k, .sent = comm_sent(p, k)};
}

int comm_staging(Comm *c, int64_t elems, int64_t *chunk)
{
    enum { MOST_BYTES = 16 << 20 };
    int64_t others = c->p->ranks - 1;
    *chunk = max64(NORM_GRAIN, MOST_BYTES / 4 / max64(others, 1) / NORM_GRAIN * NORM_GRAIN);
    if (*chunk > elems)
        *chunk = elems;
    int id = buffer_temp(c->b, "staging", DT_F32, *chunk * others * 4, false);
    c->p->buffer.v[id].role = ROLE_COMM;
    return id;
}

/* As the kernel it stands before; at a phase's end as the one before it. */
static bool stands_backward(const Comm *c, Phase f, int before)
{
    int end = comm_end(c, f), at = before < end ? before : end - 1;
    return at >= comm_first(c, f) && c->p->step.v[at].backward;
}

void comm_add(Comm *c, Phase f, int before, const Kernel *k, const char *stem, const Operand *arg,
              const char *path, int group, When when)
{
    Insert i = {.before = before};
    Kernel typed = *k;
    for (int j = 0; j < k->n_arg; j++)
        typed.arg_dtype[j] = c->p->buffer.v[arg[j].buffer].dtype;
    i.step = (Step){.program = c->kind,
                    .phase = f,
                    .kernel = kernel_intern(c->b, &typed, stem),
                    .path = path,
                    .what = stem,
                    .at = NO_SPAN,
                    .instance = group >= 0 ? c->p->group.v[group].unit : 0,
                    .backward = stands_backward(c, f, before),
                    .when = when,
                    .wait = {-1, -1, -1},
                    .group = group};
    i.step.stream = is_collective(k)    ? STREAM_COMM
                    : k->kind == K_COPY ? STREAM_COPY
                                        : STREAM_COMPUTE;
    i.step.sent = comm_sent(c->p, &typed);
    i.step.arg = arena_array(c->p->arena, Operand, k->n_arg);
    memcpy(i.step.arg, arg, (size_t)k->n_arg * sizeof *arg);
    vec_push(c->p->arena, &c->in[f], i);
}

/* ---- numbering ---- */

typedef VEC(Step) Steps;

static void put_step(Plan *p, Steps *out, const Step *s)
{
    Step copy = *s;
    copy.id = out->n;
    vec_push(p->arena, out, copy);
}

static void number_phase(Comm *c, Phase f, Steps *out)
{
    int first = comm_first(c, f), end = comm_end(c, f), from = out->n;
    for (int k = first; k <= end; k++) {
        for (int j = 0; j < c->in[f].n; j++)
            if (c->in[f].v[j].before == k)
                put_step(c->p, out, &c->in[f].v[j].step);
        if (k < end)
            put_step(c->p, out, &c->p->step.v[k]);
    }
    c->g->first[f] = from;
    c->g->count[f] = out->n - from;
}

static void insert_into(Comm *c)
{
    if (c->kind == PROGRAM_TRAIN)
        c->turns = c->g->rounds > 1;
    else
        c->turns = c->kind == PROGRAM_EVAL;
    for (int f = 0; f < PHASE_UPDATE; f++)
        comm_gathers(c, (Phase)f);
    if (c->kind == PROGRAM_TRAIN) {
        comm_gradients(c);
        comm_norm(c);
        comm_offload(c);
        comm_updated(c);
    }
    comm_sums(c, PHASE_WEIGHT, PHASE_MID);
    comm_sums(c, PHASE_ROUND, PHASE_POST);
}

void comm_insert(Plan *p, Map *kernels, Diag *d)
{
    Steps out = {0};
    for (int kind = 0; kind < N_PROGRAMS; kind++) {
        if (!p->program[kind].present)
            continue;
        Build b = {.a = p->arena, .m = p->model, .kind = (ProgramKind)kind, .plan = p};
        b.nb = p->program[kind].micro_batch;
        b.kernels = kernels;
        b.d = d;
        Comm c = {.b = &b, .p = p, .g = &p->program[kind], .kind = (ProgramKind)kind};
        insert_into(&c);
        for (int f = 0; f < N_PHASES; f++)
            number_phase(&c, (Phase)f, &out);
    }
    p->step.v = out.v;
    p->step.n = out.n;
    p->step.cap = out.cap;
}
