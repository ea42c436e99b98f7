/* order.c - vector clocks over the steps of a phase. */
#include "runtime/order.h"

#include "runtime/stream.h"

#include <stdlib.h>

typedef struct clock {
    int over[BMRT_STREAMS]; /* by stream: the last step known to be over; -1: none */
} clock;

struct bmrt_order {
    const bmrt_model *m;
    const bmrt_used *uses; /* [BMRT_STREAMS], of the phase that runs; NULL: nothing runs */
    bool first, last;      /* round */
    int base;              /* the phase's first step */
    int most;              /* steps of the longest phase */
    clock now[BMRT_STREAMS];
    int told[BMRT_STREAMS];  /* the last step whose `at` is set */
    clock *at[BMRT_STREAMS]; /* by step from `base` on: what is over once it is */
};

/* Steps base .. end - 1 of a phase are those of its streams. */
static void find_range(const bmrt_used *uses, int *base, int *end)
{
    *base = *end = 0;
    for (int i = 0; i < BMRT_STREAMS; i++) {
        if (uses[i].n == 0)
            continue;
        int first = uses[i].step[0].step, after = uses[i].step[uses[i].n - 1].step + 1;
        *base = *end == 0 || first < *base ? first : *base;
        *end = after > *end ? after : *end;
    }
}

static int longest_phase(const bmrt_model *m)
{
    const bmrt_program *p[] = {&m->train, &m->eval, &m->sample};
    int most = 0;
    for (int i = 0; i < BMRT_COUNT(p); i++)
        for (int f = 0; p[i]->uses && f < BMRT_PHASES; f++) {
            int base, end;
            find_range(p[i]->uses + (size_t)f * BMRT_STREAMS, &base, &end);
            most = end - base > most ? end - base : most;
        }
    return most;
}

BmStatus bmrt_order_create(bmrt_order **out, const bmrt_model *m, bmrt_error *e)
{
    bmrt_order *o = *out = calloc(1, sizeof *o);
    bool good = o != NULL;
    if (o) {
        o->m = m;
        o->most = longest_phase(m);
    }
    for (int i = 0; good && i < BMRT_STREAMS; i++)
        good = (o->at[i] = calloc((size_t)o->most + 1, sizeof(clock))) != NULL;
    return good ? BMRT_OK : bmrt_fail(e, BMRT_MACHINE, "no memory for BMRT_CHECK");
}

void bmrt_order_destroy(bmrt_order *o)
{
    for (int i = 0; o && i < BMRT_STREAMS; i++)
        free(o->at[i]);
    free(o);
}

void bmrt_order_begin(bmrt_order *o, const bmrt_program *program, int phase, bool first, bool last)
{
    int end;
    o->uses = program->uses ? program->uses + (size_t)phase * BMRT_STREAMS : NULL;
    if (!o->uses)
        return;
    o->first = first;
    o->last = last;
    find_range(o->uses, &o->base, &end);
    for (int i = 0; i < BMRT_STREAMS; i++) {
        o->told[i] = o->base - 1;
        for (int k = 0; k < BMRT_STREAMS; k++)
            o->now[i].over[k] = -1;
    }
}

void bmrt_order_over(bmrt_order *o, bmrt_stream_id stream, int id)
{
    int last = o->base + o->most - 1;
    if (!o->uses)
        return;
    for (int *k = &o->told[stream]; *k < id && *k < last;) {
        ++*k;
        o->at[stream][*k - o->base] = o->now[stream];
        o->at[stream][*k - o->base].over[stream] = *k;
    }
}

void bmrt_order_waited(bmrt_order *o, bmrt_stream_id stream, bmrt_stream_id other, int id)
{
    if (!o->uses || id < o->base || id >= o->base + o->most)
        return;
    const clock *from = &o->at[other][id - o->base];
    for (int k = 0; k < BMRT_STREAMS; k++)
        if (from->over[k] > o->now[stream].over[k])
            o->now[stream].over[k] = from->over[k];
}

static bool runs(const bmrt_order *o, const bmrt_uses *s)
{
    return s->when == 0 || (s->when == 1 && o->first) || (s->when == 2 && o->last);
}

/* The buffers through which two steps meet, one of them writing. */
static bool meet(const bmrt_order *o, const bmrt_uses *s, const bmrt_uses *t, const bmrt_buffer **x,
                 const bmrt_buffer **y)
{
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < t->n; j++) {
            *x = &o->m->buffer[s->use[i] / 2];
            *y = &o->m->buffer[t->use[j] / 2];
            if ((s->use[i] % 2 || t->use[j] % 2) && (*x)->host == (*y)->host &&
                (*x)->offset < (*y)->offset + (*y)->bytes &&
                (*y)->offset < (*x)->offset + (*x)->bytes)
                return true;
        }
    return false;
}

static BmStatus fail(const bmrt_uses *s, bmrt_stream_id stream, const bmrt_uses *t,
                     bmrt_stream_id other, const bmrt_buffer *x, const bmrt_buffer *y,
                     bmrt_error *e)
{
    char what[512];
    bmrt_text w = {what, 0, sizeof what, false};
    bmrt_text_add(&w, "'%s'", x->path);
    if (x != y)
        bmrt_text_add(&w, " and '%s'", y->path);
    long long lo = (long long)(x->offset > y->offset ? x->offset : y->offset);
    long long x_end = (long long)(x->offset + x->bytes), y_end = (long long)(y->offset + y->bytes);
    bmrt_text_add(&w, ", bytes %lld to %lld%s", lo, (x_end < y_end ? x_end : y_end) - 1,
                  x->host ? " of the host's arena" : "");
    return bmrt_fail(e, BMRT_BUG,
                     "step %d (%s: '%s') begins before step %d (%s: '%s') is over, and nothing "
                     "waits: they share %s",
                     s->step, bmrt_stream_name(stream), s->path, t->end, bmrt_stream_name(other),
                     t->path, what);
}

static const bmrt_uses *find(const bmrt_used *list, int id)
{
    int lo = 0, hi = list->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (list->step[mid].step < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < list->n && list->step[lo].step == id ? &list->step[lo] : NULL;
}

BmStatus bmrt_order_step(const bmrt_order *o, bmrt_stream_id stream, int id, bmrt_error *e)
{
    const bmrt_uses *s = o->uses ? find(&o->uses[stream], id) : NULL;
    if (!s || !runs(o, s))
        return BMRT_OK;
    for (int i = 0; i < BMRT_STREAMS; i++) {
        int known = o->now[stream].over[i];
        const bmrt_used *others = &o->uses[i];
        for (int k = others->n - 1; k >= 0 && i != (int)stream; k--) {
            const bmrt_uses *t = &others->step[k];
            const bmrt_buffer *x, *y;
            if (t->end <= known)
                break;
            if (t->step < id && runs(o, t) && meet(o, s, t, &x, &y))
                return fail(s, stream, t, (bmrt_stream_id)i, x, y, e);
        }
    }
    return BMRT_OK;
}
