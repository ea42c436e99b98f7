/* check_cost.c - V24 V25: predicted times from those of the steps, bounds from their parts.
 *
 * Streams begin a phase together and end it together. Work is counted in parts of a picosecond,
 * 10^6 + slow_compute_ppm to one: compute does 10^6 of them in a picosecond while a collective
 * runs, else all. A step is over at the first whole picosecond that leaves no work. */
#include "planner/verify/table.h"

__extension__ typedef __int128 Wide;

enum { PARTS = 1000000 };

typedef struct Lane {
    int at;    /* the step it runs, or comes to next */
    bool busy; /* it runs it */
    Wide work; /* left of it */
} Lane;

typedef struct Clockwork {
    Table *t;
    Lane lane[N_STREAMS];
    int last; /* of the phase */
    bool first_round, last_round;
    Wide ps, compute_ps; /* gone by; of it, compute was at work */
} Clockwork;

static bool takes_part(const Clockwork *c, const TableStep *s)
{
    return s->when == WHEN_ALWAYS || (s->when == WHEN_FIRST && c->first_round) ||
           (s->when == WHEN_LAST && c->last_round);
}

static void seek(Clockwork *c, int stream, int from)
{
    while (from <= c->last &&
           (c->t->step[from].stream != stream || !takes_part(c, &c->t->step[from])))
        from++;
    c->lane[stream].at = from;
    c->lane[stream].busy = false;
}

static bool ready(const Clockwork *c, int step)
{
    const TableStep *s = &c->t->step[step];
    for (int k = 0; k < N_STREAMS; k++)
        if (s->wait[k] >= 0 && c->lane[k].at <= region_end(c->t, s->wait[k]))
            return false;
    return true;
}

/* False: nothing runs any more. */
static bool begin_steps(Clockwork *c)
{
    bool any = false;
    for (int k = 0; k < N_STREAMS; k++) {
        Lane *l = &c->lane[k];
        if (!l->busy && l->at <= c->last && ready(c, l->at)) {
            l->busy = true;
            l->work = (Wide)c->t->step[l->at].ps * (PARTS + c->t->slow_compute_ppm);
        }
        any = any || l->busy;
    }
    return any;
}

static void go_on(Clockwork *c)
{
    Wide pace[N_STREAMS], least = -1;
    for (int k = 0; k < N_STREAMS; k++) {
        bool slow = k == STREAM_COMPUTE && c->lane[STREAM_COMM].busy;
        pace[k] = PARTS + (slow ? 0 : c->t->slow_compute_ppm);
        Wide n = (c->lane[k].work + pace[k] - 1) / pace[k];
        if (c->lane[k].busy && (least < 0 || n < least))
            least = n;
    }
    c->ps += least;
    c->compute_ps += c->lane[STREAM_COMPUTE].busy ? least : 0;
    for (int k = 0; k < N_STREAMS; k++) {
        Lane *l = &c->lane[k];
        if (!l->busy)
            continue;
        l->work -= least * pace[k];
        if (l->work <= 0)
            seek(c, k, l->at + 1);
    }
}

static void run_phase(Clockwork *c, int first, int last, bool first_round, bool last_round)
{
    c->last = last;
    c->first_round = first_round;
    c->last_round = last_round;
    for (int k = 0; k < N_STREAMS; k++)
        seek(c, k, first);
    while (begin_steps(c))
        go_on(c);
}

static void run_program(Clockwork *c, const TableProgram *p)
{
    for (int f = 0; f < N_PHASES; f++) {
        int64_t rounds = is_loop(f) && p->rounds > 1 ? p->rounds : 1;
        if (p->lo[f] > p->hi[f])
            continue;
        run_phase(c, p->lo[f], p->hi[f], true, rounds == 1);
        if (rounds > 2) {
            Wide ps = c->ps, compute = c->compute_ps;
            run_phase(c, p->lo[f], p->hi[f], false, false);
            c->ps += (c->ps - ps) * (rounds - 3);
            c->compute_ps += (c->compute_ps - compute) * (rounds - 3);
        }
        if (rounds > 1)
            run_phase(c, p->lo[f], p->hi[f], false, true);
    }
}

static int64_t narrow(Wide x)
{
    return x > INT64_MAX ? INT64_MAX : x < INT64_MIN ? INT64_MIN : (int64_t)x;
}

static void check_times(Table *t)
{
    const TableProgram *p = &t->program[PROGRAM_TRAIN];
    if (t->step_ps < 0 || !p->present)
        return;
    Clockwork c = {.t = t};
    run_program(&c, p);
    if (narrow(c.ps) != t->step_ps)
        broken(t, CHECK_V24, "the steps of train take %lld ps together, the plan says %lld",
               (long long)narrow(c.ps), (long long)t->step_ps);
    if (narrow(c.ps - c.compute_ps) != t->exposed_ps)
        broken(t, CHECK_V24, "compute stands still for %lld ps of them, the plan says %lld",
               (long long)narrow(c.ps - c.compute_ps), (long long)t->exposed_ps);
}

/* ---- V25 ---- */

/* For any lambda >= 0: sum over units of the least of ps + lambda * bytes, and what is fixed, less
 * lambda * capacity, is no more than the step can take in that capacity. */
static void check_bound(Table *t)
{
    const TableBounds *b = &t->bounds;
    if (!b->n && !b->lower_ps)
        return; /* none is claimed */
    if (b->lambda_num < 0 || b->lambda_den < 1 || b->lambda_num > (INT64_C(1) << 40) ||
        b->lambda_den > (INT64_C(1) << 40)) {
        broken(t, CHECK_V25, "a bound for %lld / %lld ps a byte", (long long)b->lambda_num,
               (long long)b->lambda_den);
        return;
    }
    Wide sum = (Wide)b->fixed_ps * b->lambda_den +
               (Wide)b->lambda_num * ((Wide)b->fixed_bytes - b->capacity);
    for (int i = 0; i < b->n; i++)
        if (b->option[i].ps < 0 || b->option[i].bytes < 0 ||
            b->option[i].ps > PLAN_MAX_BYTES * 64 || b->option[i].bytes > PLAN_MAX_BYTES) {
            broken(t, CHECK_V25, "an option of class %d takes %lld ps and %lld bytes",
                   b->option[i].unit, (long long)b->option[i].ps, (long long)b->option[i].bytes);
            return;
        }
    for (int i = 0; i < b->n;) {
        const BoundOption *o = &b->option[i];
        Wide least = 0;
        int from = i, unit = o->unit, count = o->count;
        for (; i < b->n && b->option[i].unit == unit; i++) {
            Wide cost =
                (Wide)b->option[i].ps * b->lambda_den + (Wide)b->option[i].bytes * b->lambda_num;
            least = i == from || cost < least ? cost : least;
            if (b->option[i].count != count || count < 1)
                broken(t, CHECK_V25, "options of class %d are for %d and for %d units", unit, count,
                       b->option[i].count);
        }
        for (int k = 0; k < from; k++)
            if (b->option[k].unit == unit) {
                broken(t, CHECK_V25, "options of class %d stand in two places", unit);
                return;
            }
        sum += least * count;
    }
    Wide lower = sum / b->lambda_den - (sum % b->lambda_den < 0);
    if (narrow(lower > 0 ? lower : 0) != b->lower_ps)
        broken(t, CHECK_V25, "the bound's parts prove %lld ps, the plan says %lld",
               (long long)narrow(lower > 0 ? lower : 0), (long long)b->lower_ps);
    if (t->step_ps >= 0 && b->lower_ps > t->step_ps)
        broken(t, CHECK_V25, "no plan is said to be faster than %lld ps, and this one takes %lld",
               (long long)b->lower_ps, (long long)t->step_ps);
}

void check_cost(Table *t)
{
    check_times(t);
    check_bound(t);
}
