/* inspect_trace.c - the predicted timeline as a Chrome trace (chrome://tracing, Perfetto): a row
 * for each stream, arrows from a collective to the step that waits for it, live memory as a
 * counter. */
#include "planner/inspect_lanes.h"

enum { MOST_EVENTS = 200000 };

typedef struct Trace {
    Page *p;
    Lanes l;
    const int64_t *live; /* by step */
    int events, arrows;
    int *slot_of; /* by step: its slot in this turn, plus one */
} Trace;

/* Microseconds with picoseconds as decimals: no rounding, so slots of a row never overlap. */
static void put_us(StrBuf *s, int64_t ps)
{
    strbuf_printf(s, "%lld.%06lld", (long long)(ps / 1000000), (long long)(ps % 1000000));
}

static StrBuf *event(Trace *t)
{
    strbuf_add(&t->p->s, t->events++ ? ",\n{" : "\n{");
    return &t->p->s;
}

static void name_row(Trace *t, const char *what, int tid, const char *name)
{
    StrBuf *s = event(t);
    strbuf_printf(s,
                  "\"name\":\"%s\",\"ph\":\"M\",\"pid\":%lld,\"tid\":%d,\"args\":{\"name\":", what,
                  (long long)t->p->rank, tid);
    strbuf_json(s, name);
    strbuf_add(s, "}}");
}

static void head(Trace *t)
{
    const PlanFile *f = t->p->f;
    name_row(t, "process_name", 0,
             arena_printf(t->p->a, "%s, rank %lld of %lld, predicted", f->model,
                          (long long)t->p->rank, (long long)f->ranks));
    for (int i = 0; i < N_STREAMS; i++) {
        name_row(t, "thread_name", i, stream_words.word[i]);
        StrBuf *s = event(t);
        strbuf_printf(s,
                      "\"name\":\"thread_sort_index\",\"ph\":\"M\",\"pid\":%lld,\"tid\":%d,"
                      "\"args\":{\"sort_index\":%d}}",
                      (long long)t->p->rank, i, i);
    }
}

static void slot_event(Trace *t, const FileStep *st, const Slot *c, int64_t at, int64_t round)
{
    const PlanFile *f = t->p->f;
    StrBuf *s = event(t);
    strbuf_add(s, "\"name\":");
    strbuf_json(s, arena_printf(t->p->a, "%s %s", page_path(st->path), kind_words.word[st->kind]));
    strbuf_printf(s, ",\"cat\":\"%s\",\"ph\":\"X\",\"ts\":", step_way(st));
    put_us(s, sum_capped(at, c->from));
    strbuf_add(s, ",\"dur\":");
    put_us(s, c->to - c->from);
    strbuf_printf(s, ",\"pid\":%lld,\"tid\":%d,\"args\":{\"step\":%d,\"round\":%lld,\"kernel\":",
                  (long long)t->p->rank, st->stream, st->id, (long long)round);
    strbuf_json(s, f->kernel[st->kernel].name);
    strbuf_add(s, ",\"what\":");
    strbuf_json(s, st->what);
    if (st->at) {
        strbuf_add(s, ",\"at\":");
        strbuf_json(s, st->at);
    }
    if (st->cls >= 0)
        strbuf_printf(s, ",\"class\":\"%s\"", class_words.word[st->cls]);
    strbuf_printf(s, ",\"flops\":%lld,\"bytes\":%lld,\"sent\":%lld}}", (long long)st->flops,
                  (long long)st->bytes, (long long)st->sent);
}

static void arrow_end(Trace *t, const char *ph, const FileStep *st, int64_t at)
{
    StrBuf *s = event(t);
    strbuf_printf(s, "\"name\":\"wait\",\"cat\":\"wait\",\"ph\":\"%s\",\"id\":%d,\"ts\":", ph,
                  t->arrows);
    put_us(s, at);
    strbuf_printf(s, ",\"pid\":%lld,\"tid\":%d%s}", (long long)t->p->rank, st->stream,
                  *ph == 'f' ? ",\"bp\":\"e\"" : "");
}

/* From what the step waited for: an arrow leaves within its slot and arrives where this begins. */
static void arrows(Trace *t, const FileStep *st, const Slot *c, int64_t at)
{
    for (int k = 0; k < N_STREAMS; k++) {
        int of = st->wait[k];
        if (of < 0 || of >= st->id || !t->slot_of[of] || k == st->stream)
            continue;
        const Slot *from = &t->l.slot.v[t->slot_of[of] - 1];
        if (from->to > c->from)
            continue; /* a region: it ends later than the step named */
        t->arrows++;
        arrow_end(t, "s", &t->p->f->step[of], sum_capped(at, max64(from->from, from->to - 1)));
        arrow_end(t, "f", st, sum_capped(at, c->from));
    }
}

static void live_event(Trace *t, int64_t ps, int64_t bytes)
{
    StrBuf *s = event(t);
    strbuf_add(s, "\"name\":\"live bytes\",\"ph\":\"C\",\"ts\":");
    put_us(s, ps);
    strbuf_printf(s, ",\"pid\":%lld,\"args\":{\"persistent\":%lld,\"live\":%lld}}",
                  (long long)t->p->rank, (long long)t->p->f->totals.persistent_bytes,
                  (long long)bytes);
}

static void turn(Trace *t, const Turn *u, int64_t at, int64_t round)
{
    const PlanFile *f = t->p->f;
    int64_t was = -1;
    for (int i = u->first; i < u->first + u->n; i++)
        t->slot_of[t->l.slot.v[i].step] = i + 1;
    for (int i = u->first; i < u->first + u->n; i++) {
        const Slot *c = &t->l.slot.v[i];
        const FileStep *st = &f->step[c->step];
        slot_event(t, st, c, at, round);
        arrows(t, st, c, at);
        if (st->stream == STREAM_COMPUTE && t->live[st->id] != was)
            live_event(t, sum_capped(at, c->from), was = t->live[st->id]);
    }
    for (int i = u->first; i < u->first + u->n; i++)
        t->slot_of[t->l.slot.v[i].step] = 0;
}

void page_trace(Page *p)
{
    const PlanFile *f = p->f;
    if (!lanes_known(f)) {
        page_fail(p, "the plan has no times: make it with --machine NAME (or FILE)");
        return;
    }
    if (p->rank < 0 || p->rank >= max64(f->ranks, 1)) {
        page_fail(p, "there is no rank %lld: the plan's are 0 to %lld", (long long)p->rank,
                  (long long)max64(f->ranks, 1) - 1);
        return;
    }
    Trace t = {.p = p, .l = lanes_of(p, PROGRAM_TRAIN), .live = live_bytes(p)};
    t.slot_of = arena_array(p->a, int, f->n_step + 1);
    strbuf_add(&p->s, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    head(&t);
    for (int i = 0; i < t.l.turn.n; i++) {
        const Turn *u = &t.l.turn.v[i];
        int64_t at = u->at;
        for (int64_t k = 0; k < u->times; k++) { /* rounds alike: as many as fit; time goes on */
            if (k > 0 && t.events + 4 * u->n > MOST_EVENTS)
                break;
            turn(&t, u, at, u->round + k);
            at = sum_capped(at, u->ps);
        }
    }
    strbuf_add(&p->s, "\n]}\n");
}
