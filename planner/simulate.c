/* simulate.c - streams advance from one end of a step to the next one.
 *
 * A running step's work left is kept in parts of a picosecond, FULL + slow_compute_ppm of them to
 * one: compute does all of them in a picosecond, and FULL of them while a collective runs. So both
 * speeds are whole numbers and no rounding adds up. */
#include "planner/simulate.h"

#include "planner/cost.h"

#define FULL INT64_C(1000000)

__extension__ typedef __int128 Wide;

typedef struct Sim {
    const Plan *p;
    const ProgramPlan *g;
    const int (*wait)[N_STREAMS]; /* by step */
    int64_t slow;                 /* ppm */
    Timeline t;
    int64_t now;
    int from[N_STREAMS];    /* the step each stream looks at next; the phase's end: none left */
    int running[N_STREAMS]; /* -1: none */
    Wide left[N_STREAMS];
    int end; /* of the phase */
} Sim;

static int64_t sum(int64_t a, int64_t b)
{
    int64_t x;
    return add_ok(a, b, &x) ? x : INT64_MAX;
}

static int64_t product(int64_t a, int64_t b)
{
    int64_t x;
    return mul_ok(a, b, &x) ? x : INT64_MAX;
}

typedef enum Turn { TURN_FIRST = 1, TURN_LAST = 2 } Turn; /* bits */

static bool runs(const Step *s, int turn)
{
    switch (s->when) {
    case WHEN_ALWAYS:
        return true;
    case WHEN_FIRST:
        return turn & TURN_FIRST;
    case WHEN_LAST:
        return turn & TURN_LAST;
    case N_WHEN:
        break;
    }
    BUG("step %d runs in rounds %d", s->id, (int)s->when);
}

/* The next step of a stream from `k` on; steps passed over count as done. */
static int next_of(const Sim *s, int stream, int k, int turn)
{
    while (k < s->end &&
           (s->p->step.v[k].stream != (Stream)stream || !runs(&s->p->step.v[k], turn)))
        k++;
    return k;
}

/* Is everything of `stream` up to `id` over? */
static bool over(const Sim *s, int stream, int id)
{
    int at = s->running[stream] >= 0 ? s->running[stream] : s->from[stream];
    return at > id;
}

static bool may_start(const Sim *s, int id)
{
    for (int x = 0; x < N_STREAMS; x++)
        if (s->wait[id][x] >= 0 && !over(s, x, s->wait[id][x]))
            return false;
    return true;
}

static void start_steps(Sim *s)
{
    for (int x = 0; x < N_STREAMS; x++) {
        int id = s->from[x];
        if (s->running[x] >= 0 || id >= s->end || !may_start(s, id))
            continue;
        s->running[x] = id;
        s->left[x] = (Wide)s->p->step.v[id].ps * (FULL + s->slow);
        s->t.start[id] = s->now;
    }
}

static int64_t speed(const Sim *s, int stream)
{
    bool slowed = stream == STREAM_COMPUTE && s->running[STREAM_COMM] >= 0;
    return slowed ? FULL : FULL + s->slow;
}

/* Goes on to the next end of a step, and ends what is over then. */
static void advance(Sim *s, int turn)
{
    int64_t least = INT64_MAX;
    for (int x = 0; x < N_STREAMS; x++)
        if (s->running[x] >= 0) {
            Wide v = speed(s, x), n = (s->left[x] + v - 1) / v;
            least = n < least ? (int64_t)n : least;
        }
    for (int x = 0; x < N_STREAMS; x++) {
        if (s->running[x] < 0)
            continue;
        s->left[x] -= (Wide)least * speed(s, x);
        s->t.busy_ps[x] = sum(s->t.busy_ps[x], least);
    }
    s->now = sum(s->now, least);
    for (int x = 0; x < N_STREAMS; x++)
        if (s->running[x] >= 0 && s->left[x] <= 0) {
            s->t.end[s->running[x]] = s->now;
            s->from[x] = next_of(s, x, s->running[x] + 1, turn);
            s->running[x] = -1;
        }
}

/* One run of a phase. */
static void run_phase(Sim *s, Phase f, int turn)
{
    int first = s->g->first[f];
    s->end = first + s->g->count[f];
    for (int k = first; k < s->end; k++)
        s->t.start[k] = s->t.end[k] = -1;
    bool working = false;
    for (int x = 0; x < N_STREAMS; x++) {
        s->running[x] = -1;
        s->from[x] = next_of(s, x, first, turn);
        working |= s->from[x] < s->end;
    }
    while (working) {
        start_steps(s);
        working = false;
        for (int x = 0; x < N_STREAMS; x++)
            working |= s->running[x] >= 0;
        if (working)
            advance(s, turn);
    }
    for (int x = 0; x < N_STREAMS; x++)
        if (s->from[x] < s->end)
            BUG("step %d waits for one that waits for it", s->from[x]);
}

/* Time that passed since `before`, `times` more of it. */
static void repeat(Sim *s, const Sim *before, int64_t times)
{
    for (int x = 0; x < N_STREAMS; x++) {
        int64_t took = s->t.busy_ps[x] - before->t.busy_ps[x];
        s->t.busy_ps[x] = sum(s->t.busy_ps[x], product(took, times));
    }
    s->now = sum(s->now, product(s->now - before->now, times));
}

static void phase(Sim *s, Phase f, int64_t rounds)
{
    int64_t begin = s->now;
    if (!s->g->count[f])
        return;
    if (rounds > 1)
        run_phase(s, f, TURN_FIRST);
    if (rounds > 2) {
        Sim before = *s;
        run_phase(s, f, 0);
        repeat(s, &before, rounds - 3);
    }
    run_phase(s, f, rounds > 1 ? TURN_LAST : TURN_FIRST | TURN_LAST);
    s->t.phase_ps[f] = s->now - begin;
}

static Timeline run(Arena *a, const Machine *m, const Plan *p, ProgramKind program,
                    const int (*wait)[N_STREAMS])
{
    Sim s = {.p = p, .g = &p->program[program], .wait = wait};
    s.slow = m ? m->slow_compute_ppm : 0;
    s.t.start = arena_array(a, int64_t, p->step.n + 1);
    s.t.end = arena_array(a, int64_t, p->step.n + 1);
    for (int k = 0; k < p->step.n; k++)
        s.t.start[k] = s.t.end[k] = -1;
    for (int f = 0; f < N_PHASES; f++) {
        bool loop = f == PHASE_ROUND || f == PHASE_WEIGHT;
        phase(&s, (Phase)f, loop ? max64(s.g->rounds, 1) : 1);
    }
    s.t.step_ps = s.now;
    s.t.exposed_ps = s.now - s.t.busy_ps[STREAM_COMPUTE];
    return s.t;
}

/* ---- what is waited for ---- */

/* By step: the last one of its region, or itself. */
static int *region_ends(Arena *a, const Plan *p)
{
    int *end = arena_array(a, int, p->step.n + 1);
    for (int k = p->step.n - 1; k >= 0; k--) {
        const Step *s = &p->step.v[k], *next = k + 1 < p->step.n ? s + 1 : NULL;
        bool inside = next && s->region && next->region == s->region &&
                      next->program == s->program && next->phase == s->phase;
        end[k] = inside ? end[k + 1] : k;
    }
    return end;
}

Timeline simulate(Arena *a, const Machine *m, const Plan *p, ProgramKind program)
{
    const int *end = region_ends(a, p);
    int(*wait)[N_STREAMS] = arena_calloc(a, (size_t)p->step.n + 1, sizeof *wait);
    for (int k = 0; k < p->step.n; k++)
        for (int x = 0; x < N_STREAMS; x++) {
            int on = p->step.v[k].wait[x];
            wait[k][x] = on >= 0 && end[on] < k ? end[on] : on;
        }
    return run(a, m, p, program, (const int(*)[N_STREAMS])wait);
}

Timeline simulate_free(Arena *a, const Machine *m, const Plan *p, ProgramKind program,
                       const Depends *d)
{
    const int *end = region_ends(a, p);
    int(*wait)[N_STREAMS] = arena_calloc(a, (size_t)p->step.n + 1, sizeof *wait);
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        for (int x = 0; x < N_STREAMS; x++)
            wait[k][x] = -1;
        for (int i = d->first[k]; i < d->first[k + 1]; i++) {
            int on = d->on[i];
            const Step *t = &p->step.v[on];
            if (on >= k || t->program != s->program || t->phase != s->phase)
                continue;
            int last = end[on] < k ? end[on] : on;
            if (last > wait[k][t->stream])
                wait[k][t->stream] = last;
        }
    }
    return run(a, m, p, program, (const int(*)[N_STREAMS])wait);
}
