/* inspect_lanes.c - the steps of a program on their streams, from predicted times and waits. */
#include "planner/inspect_lanes.h"
#include "planner/simulate.h"

#include <string.h>

bool lanes_known(const PlanFile *f)
{
    for (int i = 0; i < f->n_step; i++)
        if (f->step[i].ps > 0)
            return true;
    return false;
}

static bool runs_in(const FileStep *s, bool first, bool last)
{
    return s->when == WHEN_FIRST ? first : s->when == WHEN_LAST ? last : true;
}

/* Compute's idle time under each slot of another stream; both go forward in time. */
static void find_exposed(Page *p, Lanes *l, const Turn *t, int stream)
{
    const FileStep *step = p->f->step;
    Slot *slot = l->slot.v;
    int c = t->first, end = t->first + t->n;
    for (int i = t->first; i < end; i++) {
        if (step[slot[i].step].stream != stream)
            continue;
        int64_t hidden = 0;
        while (c < end &&
               (step[slot[c].step].stream != STREAM_COMPUTE || slot[c].to <= slot[i].from))
            c++;
        for (int k = c; k < end; k++) {
            if (step[slot[k].step].stream != STREAM_COMPUTE)
                continue;
            if (slot[k].from >= slot[i].to)
                break;
            hidden += max64(0, min64(slot[k].to, slot[i].to) - max64(slot[k].from, slot[i].from));
        }
        slot[i].exposed = slot[i].to - slot[i].from - hidden;
    }
}

/* The steps of one turn as a plan of their own, for the simulator; ids count from 0, `of` has the
 * file's. A wait for a step that does not run in this turn is one for the last before it on its
 * stream that does: a stream passes steps over in order. */
static Plan *turn_plan(Page *p, const FileProgram *g, int phase, bool first, bool last, int *of)
{
    const PlanFile *f = p->f;
    int lo = g->first[phase], hi = lo + g->count[phase], latest[N_STREAMS] = {-1, -1, -1};
    Plan *q = arena_make(p->a, Plan);
    int *reached = arena_array(p->a, int, hi - lo + 1); /* by file step: of its stream, plus one */
    for (int i = lo; i < hi; i++) {
        const FileStep *s = &f->step[i];
        if (s->program != g->kind || s->phase != phase)
            continue;
        if (runs_in(s, first, last)) {
            Step t = {.id = q->step.n,
                      .program = PROGRAM_TRAIN,
                      .phase = PHASE_ROUND,
                      .region = s->region,
                      .stream = (Stream)s->stream,
                      .ps = s->ps};
            for (int k = 0; k < N_STREAMS; k++)
                t.wait[k] = s->wait[k] >= lo && s->wait[k] < i ? reached[s->wait[k] - lo] - 1 : -1;
            of[t.id] = i;
            latest[s->stream] = t.id;
            vec_push(p->a, &q->step, t);
        }
        reached[i - lo] = latest[s->stream] + 1;
    }
    q->program[PROGRAM_TRAIN] = (ProgramPlan){.present = true, .rounds = 1};
    q->program[PROGRAM_TRAIN].count[PHASE_ROUND] = q->step.n;
    return q;
}

static void add_turn(Page *p, Lanes *l, const FileProgram *g, int phase, int64_t round,
                     int64_t times, bool first, bool last)
{
    int *of = arena_array(p->a, int, g->count[phase] + 1);
    const Plan *q = turn_plan(p, g, phase, first, last, of);
    Timeline line = simulate(p->a, p->f->machine, q, PROGRAM_TRAIN);
    Turn t = {.phase = phase,
              .round = round,
              .times = times,
              .at = l->ps,
              .ps = line.step_ps,
              .exposed = line.exposed_ps,
              .first = l->slot.n,
              .n = q->step.n};
    for (int i = 0; i < q->step.n; i++) {
        Slot c = {.step = of[i], .from = line.start[i], .to = line.end[i]};
        vec_push(p->a, &l->slot, c);
    }
    for (int k = 0; k < N_STREAMS; k++) {
        l->busy[k] = sum_capped(l->busy[k], product_capped(line.busy_ps[k], times));
        if (k != STREAM_COMPUTE)
            find_exposed(p, l, &t, k);
    }
    l->ps = sum_capped(l->ps, product_capped(t.ps, times));
    l->exposed = sum_capped(l->exposed, product_capped(t.exposed, times));
    if (t.n)
        vec_push(p->a, &l->turn, t);
}

Lanes lanes_of(Page *p, int program)
{
    Lanes l = {.program = program};
    if (p->f->program_of[program] < 0)
        return l;
    const FileProgram *g = &p->f->program[p->f->program_of[program]];
    for (int phase = 0; phase < N_PHASES; phase++) {
        bool loop = phase == PHASE_WEIGHT || phase == PHASE_ROUND;
        int64_t rounds = loop && g->rounds > 1 ? g->rounds : 1;
        add_turn(p, &l, g, phase, 0, 1, true, rounds == 1);
        if (rounds > 2)
            add_turn(p, &l, g, phase, 1, rounds - 2, false, false);
        if (rounds > 1)
            add_turn(p, &l, g, phase, rounds - 1, 1, false, true);
    }
    return l;
}

const char *page_ps(Page *p, int64_t ps)
{
    static const char *const unit[] = {"ps", "ns", "us", "ms"};
    double x = (double)ps;
    int u = 0;
    while (x >= 999.5 && u + 1 < countof(unit)) {
        x /= 1000;
        u++;
    }
    if (x >= 999.5)
        return arena_printf(p->a, "%.*f s", x < 99995 ? 2 : 0, x / 1000);
    if (u == 0)
        return ps ? arena_printf(p->a, "%lld ps", (long long)ps) : "0";
    return arena_printf(p->a, "%.*f %s", x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x, unit[u]);
}

const char *step_place(Page *p, const FileStep *s)
{
    const char *unit = page_path(p->f->instance[p->f->instance[s->instance].unit].path);
    if (s->phase != PHASE_ROUND)
        return arena_printf(p->a, "%s %s", unit, phase_words.word[s->phase]);
    return arena_printf(p->a, "%s %s", unit, step_way(s));
}

const char *slot_under(Page *p, const Lanes *l, const Turn *t, const Slot *c)
{
    const FileStep *first = NULL, *last = NULL;
    for (int i = t->first; i < t->first + t->n; i++) {
        const Slot *o = &l->slot.v[i];
        const FileStep *s = &p->f->step[o->step];
        if (s->stream != STREAM_COMPUTE || o->to <= c->from || o->from >= c->to)
            continue;
        first = first ? first : s;
        last = s;
    }
    if (!first)
        return "nothing";
    const char *x = step_place(p, first), *y = step_place(p, last);
    return strcmp(x, y) == 0 ? x : arena_printf(p->a, "%s to %s", x, y);
}
