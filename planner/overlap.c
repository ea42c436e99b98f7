/* overlap.c - how long what a collective or a copy touches must live.
 *
 * Memory given back while a collective still uses it would make the next kernel wait. So what it
 * touches lives until it is predicted to be over: as if memory were no matter, each kernel as soon
 * as its operands are there, each collective as soon as the kernel in front of it is over. What was
 * predicted wrongly costs time, never bits: waits.c sees to that. */
#include "planner/choice.h"
#include "planner/simulate.h"

typedef struct Reads { /* steps on steps, by what is read */
    Arena *a;
    const Plan *p;
    int *first;
    VEC(int) on;
    int *writer; /* by buffer: the last collective or copy that wrote it; -1: none */
} Reads;

static void step_depends(Reads *d, const Step *s, int kernel_before)
{
    d->first[s->id] = d->on.n;
    if (s->stream != STREAM_COMPUTE && kernel_before >= 0)
        vec_push(d->a, &d->on, kernel_before);
    for (int j = 0; j < s->kernel->n_arg; j++) {
        int x = s->arg[j].buffer;
        if (d->writer[x] >= 0 && d->p->step.v[d->writer[x]].stream != s->stream)
            vec_push(d->a, &d->on, d->writer[x]);
        if (s->stream != STREAM_COMPUTE && s->kernel->arg_written[j] &&
            d->p->buffer.v[x].role != ROLE_COMM)
            d->writer[x] = s->id;
    }
}

static Depends depends(Arena *a, const Plan *p)
{
    Reads d = {.a = a, .p = p, .first = arena_array(a, int, p->step.n + 1)};
    d.writer = arena_array(a, int, p->buffer.n + 1);
    for (int k = 0; k < p->buffer.n; k++)
        d.writer[k] = -1;
    int kernel = -1;
    for (int k = 0; k < p->step.n; k++) {
        step_depends(&d, &p->step.v[k], kernel);
        if (p->step.v[k].stream == STREAM_COMPUTE)
            kernel = k;
    }
    d.first[p->step.n] = d.on.n;
    return (Depends){d.first, d.on.v};
}

/* The last step that is begun before step `k` is over. */
static int last_begun(const Plan *p, const Timeline *t, int k, int end)
{
    int last = k;
    for (int j = k + 1; j < end; j++)
        if (p->step.v[j].stream == STREAM_COMPUTE) {
            if (t->start[j] >= t->end[k])
                return last;
            last = j;
        }
    return end - 1;
}

static void program_lifetimes(Arena *a, Plan *p, ProgramKind kind, const Depends *d)
{
    Timeline t = simulate_free(a, p->machine, p, kind, d);
    for (int f = 0; f < N_PHASES; f++) {
        int end = p->program[kind].first[f] + p->program[kind].count[f];
        for (int k = p->program[kind].first[f]; k < end; k++) {
            const Step *s = &p->step.v[k];
            if (s->stream == STREAM_COMPUTE || t.start[k] < 0)
                continue;
            int over = last_begun(p, &t, k, end);
            for (int j = 0; j < s->kernel->n_arg; j++) {
                Buffer *x = &p->buffer.v[s->arg[j].buffer];
                if (x->host) /* what is put there next comes by a copy, after this one */
                    continue;
                x->last = x->last > over ? x->last : over;
            }
        }
    }
}

static bool has_streams(const Plan *p)
{
    for (int k = 0; k < p->step.n; k++)
        if (p->step.v[k].stream != STREAM_COMPUTE)
            return true;
    return false;
}

void overlap_lifetimes(Plan *p)
{
    if (!p->overlap || !has_streams(p))
        return;
    Arena *scratch = arena_new();
    Depends d = depends(scratch, p);
    for (int g = 0; g < N_PROGRAMS; g++)
        if (p->program[g].present)
            program_lifetimes(scratch, p, (ProgramKind)g, &d);
    arena_free(scratch);
}
