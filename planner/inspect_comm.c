/* inspect_comm.c - the collectives: what each sends, when, under what it is hidden. */
#include "planner/inspect_lanes.h"

#include <string.h>

typedef struct Sent { /* of one collective, in one optimizer step or one pass of its program */
    int64_t ps, exposed;
    const char *under;
} Sent;

static const char *kind_of(const FileComm *c)
{
    return kind_words.word[c->kind];
}

/* Without times: the compute steps that may run between what it waits for and who waits for it. */
static const char *needed_by(Page *p, const FileStep *s)
{
    const PlanFile *f = p->f;
    for (int i = s->id + 1; i < f->n_step; i++) {
        const FileStep *o = &f->step[i];
        if (o->program != s->program || o->phase != s->phase)
            break;
        if (o->stream != s->stream && o->wait[s->stream] >= s->id)
            return arena_printf(p->a, "until %s", step_place(p, o));
    }
    return "until the phase ends";
}

static Sent *sent_by_step(Page *p)
{
    const PlanFile *f = p->f;
    Sent *sent = arena_array(p->a, Sent, f->n_step + 1);
    for (int g = 0; g < N_PROGRAMS && lanes_known(f); g++) {
        Lanes l = lanes_of(p, g);
        for (int i = 0; i < l.turn.n; i++) {
            const Turn *t = &l.turn.v[i];
            for (int k = t->first; k < t->first + t->n; k++) {
                const Slot *c = &l.slot.v[k];
                const FileStep *s = &f->step[c->step];
                Sent *o = &sent[c->step];
                if (!kind_is_collective((StepKind)s->kind))
                    continue;
                o->ps = sum_capped(o->ps, product_capped(c->to - c->from, t->times));
                o->exposed = sum_capped(o->exposed, product_capped(c->exposed, t->times));
                if (!o->under) /* the other rounds are much the same */
                    o->under = slot_under(p, &l, t, c);
            }
        }
    }
    return sent;
}

static const char *when_of(Page *p, const FileStep *s)
{
    if (s->phase != PHASE_ROUND && s->phase != PHASE_WEIGHT)
        return phase_words.word[s->phase];
    return arena_printf(p->a, "%s, %s round", step_way_in(p->f, s),
                        s->when == WHEN_ALWAYS ? "each" : when_words.word[s->when]);
}

/* "h.3 backward" and "h.2 backward" are alike: what is hidden under them is one row. */
static const char *numbers_out(Arena *a, const char *text)
{
    StrBuf s = strbuf_new(a);
    for (; *text; text++)
        if (*text < '0' || *text > '9')
            strbuf_char(&s, *text);
        else if (!s.n || s.text[s.n - 1] != '*')
            strbuf_char(&s, '*');
    return s.text;
}

/* A bucket holds several groups; it is named after the first. */
static const char *more_groups(Page *p, const char *path, const FileKernel *k)
{
    return k->segments.n > 1 ? arena_printf(p->a, "%s and %d more", path, k->segments.n - 1) : path;
}

static void print_program(Page *p, int program, const Sent *sent)
{
    const PlanFile *f = p->f;
    bool known = lanes_known(f);
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_comm; i++) {
        const FileComm *c = &f->comm[i];
        const FileStep *s = &f->step[c->step];
        if (s->program != program)
            continue;
        const char *under = known ? sent[s->id].under : needed_by(p, s);
        const char *key =
            arena_printf(p->a, "%d %s %lld %s %d", c->kind, when_of(p, s), (long long)c->bytes,
                         numbers_out(p->a, under ? under : ""), f->kernel[s->kernel].segments.n);
        alikes_add(&all, c->path, key, i, product_capped(c->bytes, c->times), sent[s->id].ps,
                   sent[s->id].exposed);
    }
    if (!all.row.n)
        return;
    bool pass = program != PROGRAM_TRAIN; /* as many rounds as the data has: one is counted */
    page_heading(p, "collectives of %s, bytes sent by one rank%s", program_words.word[program],
                 pass ? ", one micro-batch" : ", one optimizer step");
    Grid g = grid_new(p, known ? "kind|path|>calls|>each|>in all|when|>time|>exposed|hidden under"
                               : "kind|path|>calls|>each|>in all|when|may take");
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileComm *c = &f->comm[r->first];
        const FileStep *s = &f->step[c->step];
        grid_cell(&g, kind_of(c));
        grid_cell(&g, more_groups(p, page_path(r->path), &f->kernel[s->kernel]));
        grid_cell(&g, page_grouped(p, product_capped(r->n, c->times)));
        grid_cell(&g, page_bytes(p, c->bytes));
        grid_cell(&g, page_bytes(p, r->sum[0]));
        grid_cell(&g, when_of(p, s));
        const char *under = known ? sent[s->id].under : needed_by(p, s);
        if (known) {
            grid_cell(&g, page_ps(p, r->sum[1]));
            grid_cell(&g, r->sum[2] ? page_ps(p, r->sum[2]) : "");
        }
        under = under ? under : "";
        grid_cell(&g, r->n > 1 ? numbers_out(p->a, under) : under);
    }
    grid_print(&g, 2);
}

static void print_totals(Page *p, const Sent *sent)
{
    const PlanFile *f = p->f;
    int64_t bytes[N_STEP_KINDS] = {0}, calls[N_STEP_KINDS] = {0}, ps = 0, exposed = 0;
    for (int i = 0; i < f->n_comm; i++) {
        const FileComm *c = &f->comm[i];
        if (f->step[c->step].program != PROGRAM_TRAIN)
            continue;
        bytes[c->kind] = sum_capped(bytes[c->kind], product_capped(c->bytes, c->times));
        calls[c->kind] = sum_capped(calls[c->kind], c->times);
        ps = sum_capped(ps, sent[c->step].ps);
        exposed = sum_capped(exposed, sent[c->step].exposed);
    }
    strbuf_char(&p->s, '\n');
    for (int k = 0; k < N_STEP_KINDS; k++)
        if (calls[k])
            strbuf_printf(&p->s, "  %s: %s calls, %s sent (%s bytes)\n", kind_words.word[k],
                          page_grouped(p, calls[k]), page_bytes(p, bytes[k]),
                          page_grouped(p, bytes[k]));
    if (ps)
        strbuf_printf(&p->s, "  %s of communication, %s of it hidden, %s exposed\n", page_ps(p, ps),
                      page_ps(p, ps - exposed), page_ps(p, exposed));
}

void page_comm(Page *p)
{
    const PlanFile *f = p->f;
    page_heading(p, "communication of %s, %lld rank%s", f->model, (long long)f->ranks,
                 f->ranks == 1 ? "" : "s");
    if (!f->n_comm) {
        strbuf_add(&p->s, "  none\n");
        return;
    }
    strbuf_printf(&p->s, "  state shared by %lld; sums over ranks: accumulate = %s, reduce = %s\n",
                  (long long)f->shared_by, accumulate_words.word[f->reduced],
                  reduce_words.word[f->invariant]);
    strbuf_printf(&p->s, "  overlap = %s, lead = %d, buckets of at most %s\n",
                  f->overlap ? "auto" : "off", f->lead, page_bytes(p, f->bucket_bytes));
    const Sent *sent = sent_by_step(p);
    for (int g = 0; g < N_PROGRAMS; g++)
        print_program(p, g, sent);
    print_totals(p, sent);
}
