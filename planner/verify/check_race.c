/* check_race.c - V14, and what V03 V07 V11 say about streams: whatever two streams do to the same
 * bytes of the arena is ordered as the step ids are.
 *
 * Vector clocks: what a step's stream knows to be over when it begins, from the steps before it and
 * their waits. Everything of other streams with a smaller id that is not known to be over may run
 * at the same time, and must not touch what the step touches. So every run equals one in the order
 * of the ids, which is what the other checks look at. A phase begins and ends on all streams
 * together. Rounds differ in which steps run: the first, the last and those between are looked at
 * each; a step that does not run waits for nothing. */
#include "planner/verify/table.h"

typedef struct Clock { /* by stream: the last of its steps known to be over; -1: none */
    int over[N_STREAMS];
} Clock;

typedef struct RoundKind {
    bool first, last;
} RoundKind;

typedef struct Race {
    Table *t;
    Clock *after;          /* by step: known once it is over */
    int *earlier;          /* by step: the one before it on its stream; -1: none */
    int before[N_STREAMS]; /* the step of the stream that came last */
    const RoundKind *round;
} Race;

static bool runs(const Race *r, const TableStep *s)
{
    return s->when == WHEN_ALWAYS || (s->when == WHEN_FIRST && r->round->first) ||
           (s->when == WHEN_LAST && r->round->last);
}

static bool gathers_for(const TableStep *comm, const Use *u, const TableStep *other, const Use *v,
                        const Table *t)
{
    int role = t->buffer[u->buffer].role;
    return comm->kind == KIND_ALL_GATHER && u->write && v->read && u->buffer == v->buffer &&
           !is_collective(other) && (role == ROLE_GATHERED || role == ROLE_PARAM);
}

static const char *the_use(const Table *t, const Use *u)
{
    return arena_printf(t->a, "%s %s",
                        u->read && u->write ? "adds to"
                        : u->write          ? "writes"
                                            : "reads",
                        the_buffer(t, u->buffer));
}

/* Step `i` and the earlier step `k` touch the same bytes, and either may come first. */
static void tell(Race *r, int i, const Use *u, int k, const Use *v)
{
    Table *t = r->t;
    const TableStep *s = &t->step[i], *o = &t->step[k];
    const char *how =
        arena_printf(t->a, "%s %s while %s %s: no wait orders the %s and the %s stream",
                     the_step(t, i), the_use(t, u), the_step(t, k), the_use(t, v),
                     stream_words.word[s->stream], stream_words.word[o->stream]);
    if (u->buffer != v->buffer) {
        broken(t, CHECK_V11, "%s", how);
        return;
    }
    if (gathers_for(o, v, s, u, t) || gathers_for(s, u, o, v, t))
        broken(t, CHECK_V03, "%s", how);
    else if (is_collective(s) || is_collective(o))
        broken(t, CHECK_V07, "%s", how);
    broken(t, CHECK_V14, "%s", how);
}

static void compare(Race *r, int i, int k)
{
    const TableStep *s = &r->t->step[i], *o = &r->t->step[k];
    for (int x = 0; x < s->n_use; x++)
        for (int y = 0; y < o->n_use; y++)
            if ((s->use[x].write || o->use[y].write) &&
                uses_meet(r->t, &s->use[x], &o->use[y], true)) {
                tell(r, i, &s->use[x], k, &o->use[y]);
                return;
            }
}

static void merge(Clock *c, const Clock *from)
{
    for (int k = 0; k < N_STREAMS; k++)
        c->over[k] = from->over[k] > c->over[k] ? from->over[k] : c->over[k];
}

static Clock clock_at(const Race *r, int i)
{
    const TableStep *s = &r->t->step[i];
    Clock now = {{-1, -1, -1}};
    int prev = r->before[s->stream];
    if (prev >= 0)
        now = r->after[prev];
    if (!runs(r, s))
        return now;
    for (int k = 0; k < N_STREAMS; k++)
        if (s->wait[k] >= 0)
            merge(&now, &r->after[region_end(r->t, s->wait[k])]);
    return now;
}

/* Steps first..last of one phase, in one kind of round. */
static void check_phase(Race *r, int first, int last)
{
    Table *t = r->t;
    for (int k = 0; k < N_STREAMS; k++)
        r->before[k] = -1;
    for (int i = first; i <= last; i++) {
        const TableStep *s = &t->step[i];
        Clock now = clock_at(r, i);
        for (int o = 0; o < N_STREAMS && runs(r, s); o++)
            for (int k = r->before[o]; o != s->stream && k > now.over[o]; k = r->earlier[k])
                if (runs(r, &t->step[k]))
                    compare(r, i, k);
        now.over[s->stream] = i;
        r->after[i] = now;
        r->earlier[i] = r->before[s->stream];
        r->before[s->stream] = i;
    }
}

static bool has_others(const Table *t, int first, int last)
{
    for (int i = first; i <= last; i++)
        if (t->step[i].stream != STREAM_COMPUTE)
            return true;
    return false;
}

void check_race(Table *t)
{
    static const RoundKind kinds[] = {{true, true}, {true, false}, {false, false}, {false, true}};
    Race r = {.t = t,
              .after = arena_array(t->a, Clock, t->n_step + 1),
              .earlier = arena_array(t->a, int, t->n_step + 1)};
    for (int g = 0; g < N_PROGRAMS; g++)
        for (int f = 0; f < N_PHASES; f++) {
            const TableProgram *p = &t->program[g];
            if (!p->present || p->lo[f] > p->hi[f] || !has_others(t, p->lo[f], p->hi[f]))
                continue;
            int found = t->told[CHECK_V14] + t->told[CHECK_V11];
            for (int k = 0; k < countof(kinds); k++) {
                bool one = kinds[k].first && kinds[k].last;
                bool there = !is_loop(f) || p->rounds == 1 ? one
                             : p->rounds == 2              ? kinds[k].first != kinds[k].last
                             : p->rounds == 0              ? true
                                                           : !one;
                r.round = &kinds[k];
                if (there && found == t->told[CHECK_V14] + t->told[CHECK_V11])
                    check_phase(&r, p->lo[f], p->hi[f]);
            }
        }
}
