/* plan_edit_places.c - order, waits and offsets a person gave, onto the plan; and what follows. */
#include "planner/plan_edit_parts.h"

#include <string.h>

/* ---- steps ---- */

static void take_order(Arena *scratch, Plan *p, const int *match)
{
    Step *was = arena_array(scratch, Step, p->step.n + 1);
    memcpy(was, p->step.v, (size_t)p->step.n * sizeof *was);
    for (int i = 0; i < p->step.n; i++) {
        p->step.v[i] = was[match[i]];
        p->step.v[i].id = i;
    }
}

static void take_waits(Plan *p, const PlanFile *f)
{
    for (int i = 0; i < p->step.n; i++)
        memcpy(p->step.v[i].wait, f->step[i].wait, sizeof p->step.v[i].wait);
}

/* ---- lifetimes ---- */

typedef struct Interval {
    int first, last;
} Interval;

static Interval *needed(Arena *scratch, Plan *p)
{
    Interval *need = arena_array(scratch, Interval, p->buffer.n + 1);
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        p->buffer.v[k].first = -1;
        p->buffer.v[k].last = 0;
    }
    lifetimes(p);
    for (int k = 0; k < p->buffer.n; k++)
        need[k] = (Interval){p->buffer.v[k].first, p->buffer.v[k].last};
    return need;
}

/* Did the person leave it as it was, by the steps' numbers or by the steps themselves? */
static bool untouched(const FileBuffer *now, const FileBuffer *was, const int *place)
{
    int lo = place[was->first], hi = place[was->last];
    bool by_place = now->first == was->first && now->last == was->last;
    return by_place || (now->first == (lo < hi ? lo : hi) && now->last == (lo < hi ? hi : lo));
}

/* Steps that move take the lifetimes with them. What a person says of a lifetime is taken, right or
 * wrong: the verifier knows which. */
static void take_lifetimes(Arena *scratch, Plan *p, const PlanFile *f, const PlanFile *g,
                           const int *match, bool moved)
{
    int *place = arena_array(scratch, int, p->step.n + 1);
    for (int i = 0; i < p->step.n; i++)
        place[match[i]] = i;
    const Interval *need = moved ? needed(scratch, p) : NULL;
    for (int k = 0; k < p->buffer.n; k++) {
        Buffer *x = &p->buffer.v[k];
        const FileBuffer *b = &f->buffer[k];
        bool follows = moved && untouched(b, &g->buffer[k], place);
        x->first = follows ? need[k].first : b->first;
        x->last = follows ? need[k].last : b->last;
    }
}

/* ---- memory ---- */

static void take_offsets(Plan *p, const PlanFile *f)
{
    p->arena_bytes = p->persistent_bytes;
    for (int k = 0; k < p->buffer.n; k++) {
        Buffer *x = &p->buffer.v[k];
        x->offset = f->buffer[k].offset;
        if (!x->host)
            p->arena_bytes = max64(p->arena_bytes, x->offset + round_up(x->bytes, ARENA_ALIGN));
    }
}

static void find_peak(Arena *scratch, Plan *p)
{
    int64_t *change = arena_array(scratch, int64_t, p->step.n + 1), live = 0;
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        const Buffer *x = &p->buffer.v[k];
        if (x->host || x->persistent)
            continue;
        change[x->first] += round_up(x->bytes, ARENA_ALIGN);
        change[x->last + 1] -= round_up(x->bytes, ARENA_ALIGN);
    }
    p->max_live_bytes = 0;
    p->max_live_step = 0;
    for (int i = 0; i < p->step.n; i++) {
        live += change[i];
        if (live <= p->max_live_bytes)
            continue;
        p->max_live_bytes = live;
        p->max_live_step = i;
    }
    p->offsets_proved = p->arena_bytes == p->persistent_bytes + p->max_live_bytes;
}

/* Streams that wait for what comes later stand still forever: there is no time to predict, and the
 * verifier says so. */
static bool waits_go_back(const Plan *p)
{
    for (int i = 0; i < p->step.n; i++)
        for (int k = 0; k < N_STREAMS; k++)
            if (p->step.v[i].wait[k] >= i)
                return false;
    return true;
}

void edit_places(Arena *scratch, Plan *p, const PlanFile *f, const PlanFile *g, const int *match,
                 bool moved)
{
    if (moved)
        take_order(scratch, p, match);
    take_waits(p, f);
    take_lifetimes(scratch, p, f, g, match, moved);
    take_offsets(p, f);
    find_peak(scratch, p);
    if (waits_go_back(p))
        plan_predict(p);
    p->hash = plan_hash(p);
}
