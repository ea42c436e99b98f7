/* waits.c - which steps of other streams must be over before a step begins.
 *
 * From the places of all buffers: a step waits for the last step before it, on each other stream,
 * that touches bytes it touches too, one of them writing. That orders values and memory that is
 * used again alike. What an earlier wait of the stream implies already is left out, so every wait
 * there is, is needed. Phases begin and end together: nothing waits beyond its own. */
#include "planner/comm.h"

#include <string.h>

typedef struct Clock { /* by stream: the last of its steps known to be over */
    int seen[N_STREAMS];
} Clock;

typedef struct Waits {
    Plan *p;
    Clock *over; /* by step: what is over once it is */
    Clock now[N_STREAMS];
    Clock also[N_WHEN][N_STREAMS]; /* what holds besides in the rounds of these steps only */
} Waits;

static bool overlaps(const Buffer *x, const Buffer *y)
{
    return x->host == y->host && x->offset < y->offset + round_up(y->bytes, ARENA_ALIGN) &&
           y->offset < x->offset + round_up(x->bytes, ARENA_ALIGN);
}

static bool conflict(const Plan *p, const Step *s, const Step *t)
{
    for (int i = 0; i < s->kernel->n_arg; i++)
        for (int j = 0; j < t->kernel->n_arg; j++) {
            if (!s->kernel->arg_written[i] && !t->kernel->arg_written[j])
                continue;
            int x = s->arg[i].buffer, y = t->arg[j].buffer;
            if (x == y || overlaps(&p->buffer.v[x], &p->buffer.v[y]))
                return true;
        }
    return false;
}

/* A region's steps run several times: the last one is over when the region is. */
static int region_end(const Plan *p, int step)
{
    int k = step;
    while (p->step.v[step].region && k + 1 < p->step.n &&
           p->step.v[k + 1].region == p->step.v[step].region &&
           p->step.v[k + 1].phase == p->step.v[step].phase)
        k++;
    return k;
}

static void merge(Clock *c, const Clock *from)
{
    for (int k = 0; k < N_STREAMS; k++)
        if (from->seen[k] > c->seen[k])
            c->seen[k] = from->seen[k];
}

static void wait_for(Waits *w, Step *s, Stream other, int step)
{
    s->wait[other] = step;
    Clock *now = &w->now[s->stream];
    merge(now, &w->over[step]);
    if (step > now->seen[other])
        now->seen[other] = step;
}

/* Searches back from a step to what its stream knows to be over. */
static void find_wait(Waits *w, Step *s, Stream other, int first)
{
    int known = w->now[s->stream].seen[other];
    for (int k = s->id - 1; k >= first && k > known; k--) {
        const Step *t = &w->p->step.v[k];
        if (t->stream != other || !conflict(w->p, s, t))
            continue;
        wait_for(w, s, other, region_end(w->p, k));
        return;
    }
}

/* overlap = off: everything else stands still while a collective runs. */
static void serialize(Waits *w, Step *s, const Step *before)
{
    if (before->stream != s->stream && w->now[s->stream].seen[before->stream] < before->id)
        wait_for(w, s, before->stream, region_end(w->p, before->id));
}

static void phase_waits(Waits *w, int first, int count)
{
    bool others = false;
    for (int k = first; k < first + count; k++)
        others = others || w->p->step.v[k].stream != STREAM_COMPUTE;
    if (!others)
        return;
    for (int k = 0; k < N_STREAMS; k++)
        for (int r = 0; r < N_WHEN; r++)
            w->now[k] = w->also[r][k] = (Clock){{first - 1, first - 1, first - 1}};
    for (int k = first; k < first + count; k++) {
        Step *s = &w->p->step.v[k];
        Clock before = w->now[s->stream];
        merge(&w->now[s->stream], &w->also[s->when][s->stream]);
        for (int j = 0; j < N_STREAMS; j++)
            if (j != (int)s->stream)
                find_wait(w, s, (Stream)j, first);
        if (!w->p->overlap && k > first)
            serialize(w, s, &w->p->step.v[k - 1]);
        if (s->when != WHEN_ALWAYS) { /* in other rounds it waits for nothing */
            w->also[s->when][s->stream] = w->now[s->stream];
            w->now[s->stream] = before;
        }
        w->now[s->stream].seen[s->stream] = k;
        w->over[k] = w->now[s->stream];
    }
}

void waits_find(Plan *p)
{
    Waits w = {.p = p, .over = arena_array(p->arena, Clock, p->step.n + 1)};
    for (int g = 0; g < N_PROGRAMS; g++)
        for (int f = 0; p->program[g].present && f < N_PHASES; f++)
            phase_waits(&w, p->program[g].first[f], p->program[g].count[f]);
}
