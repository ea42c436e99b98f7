/* inspect_lanes.c - the steps of a program on their streams, from predicted times and waits. */
#include "planner/inspect_lanes.h"

#include <string.h>

bool lanes_known(const PlanFile *f)
{
    for (int i = 0; i < f->n_step; i++)
        if (f->step[i].ps > 0)
            return true;
    return false;
}

/* The step that ends what a wait for `of` means: the last one of its region. */
static int waits_until(const PlanFile *f, int of)
{
    const FileStep *s = &f->step[of];
    while (s->region && of + 1 < f->n_step && f->step[of + 1].region == s->region &&
           f->step[of + 1].program == s->program && f->step[of + 1].phase == s->phase)
        of++;
    return of;
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

static void add_turn(Page *p, Lanes *l, const FileProgram *g, int phase, int64_t round,
                     int64_t times, bool first, bool last)
{
    const PlanFile *f = p->f;
    int lo = g->first[phase], hi = lo + g->count[phase];
    int64_t *end = arena_array(p->a, int64_t, hi - lo + 1), free_at[N_STREAMS] = {0}, busy = 0;
    Turn t = {.phase = phase, .round = round, .times = times, .at = l->ps, .first = l->slot.n};
    for (int i = lo; i < hi; i++) {
        const FileStep *s = &f->step[i];
        if (s->program != g->kind || s->phase != phase || !runs_in(s, first, last))
            continue;
        Slot c = {.step = i, .from = free_at[s->stream]};
        for (int k = 0; k < N_STREAMS; k++) {
            int of = s->wait[k] >= lo && s->wait[k] < i ? waits_until(f, s->wait[k]) : -1;
            if (of >= 0 && of < i)
                c.from = max64(c.from, end[of - lo]);
        }
        c.to = free_at[s->stream] = end[i - lo] = sum_capped(c.from, s->ps);
        t.ps = max64(t.ps, c.to);
        busy = s->stream == STREAM_COMPUTE ? sum_capped(busy, s->ps) : busy;
        l->busy[s->stream] = sum_capped(l->busy[s->stream], product_capped(s->ps, times));
        vec_push(p->a, &l->slot, c);
    }
    t.n = l->slot.n - t.first;
    t.exposed = t.ps - busy;
    for (int k = STREAM_COMPUTE + 1; k < N_STREAMS; k++)
        find_exposed(p, l, &t, k);
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
