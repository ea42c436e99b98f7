/* inspect_chart.c - the streams of a turn as rows of a chart: how busy each is, column by column.
 */
#include "planner/inspect_lanes.h"

#include <string.h>

enum { LABEL = 10 };

typedef struct LaneChart {
    Page *p;
    const Lanes *l;
    const Turn *t;
    int columns;
} LaneChart;

static int column_of(const LaneChart *c, int64_t ps)
{
    double x = c->t->ps > 0 ? (double)ps / (double)c->t->ps * c->columns : 0;
    return x < c->columns ? (int)x : c->columns - 1;
}

static int64_t begin_of(const LaneChart *c, int column)
{
    return (int64_t)((double)c->t->ps / c->columns * column);
}

static const FileStep *step_of(const LaneChart *c, int slot)
{
    return &c->p->f->step[c->l->slot.v[slot].step];
}

static void chart_row(LaneChart *c, int stream)
{
    static const char *const part[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {" ", ".", ".", ":", ":", "=", "=", "#", "#"};
    Page *p = c->p;
    double *busy = arena_array(p->a, double, c->columns);
    bool any = false;
    for (int i = c->t->first; i < c->t->first + c->t->n; i++) {
        const Slot *s = &c->l->slot.v[i];
        if ((int)step_of(c, i)->stream != stream)
            continue;
        any = true;
        for (int k = column_of(c, s->from); k < c->columns && begin_of(c, k) < s->to; k++)
            busy[k] += (double)(min64(s->to, begin_of(c, k + 1)) - max64(s->from, begin_of(c, k)));
    }
    if (!any)
        return;
    strbuf_printf(&p->s, "%*s %s", LABEL, stream_words.word[stream], p->unicode ? "│" : "|");
    if (p->color)
        strbuf_add(&p->s, stream == STREAM_COMPUTE ? "\033[36m" : "\033[33m");
    double whole = (double)c->t->ps / c->columns;
    size_t end = p->s.n;
    for (int k = 0; k < c->columns; k++) {
        double share = whole > 0 ? busy[k] / whole : 0;
        int eighths = share > 1 ? 8 : share > 0 ? (int)(share * 8 + 0.5) : 0;
        if (share > 0 && eighths == 0)
            eighths = 1;
        strbuf_add(&p->s, (p->unicode ? part : plain)[eighths]);
        if (eighths)
            end = p->s.n;
    }
    p->s.n = end; /* no blanks at the line's end */
    p->s.text[end] = 0;
    strbuf_add(&p->s, p->color ? "\033[0m\n" : "\n");
}

/* Whose steps compute runs: where another direction begins, and where there is room. */
static void chart_words(LaneChart *c)
{
    Page *p = c->p;
    char *line = arena_alloc(p->a, (size_t)c->columns + 1);
    memset(line, ' ', (size_t)c->columns);
    const char *was = "";
    int way = -1; /* of the words last written: 1 backward */
    int room_at = 0, n;
    for (int i = c->t->first; i < c->t->first + c->t->n; i++) {
        const FileStep *s = step_of(c, i);
        if (s->stream != STREAM_COMPUTE)
            continue;
        const char *w = step_place(p, s);
        int at = column_of(c, c->l->slot.v[i].from);
        bool turns = way != (s->backward || s->recompute);
        if (strcmp(w, was) == 0 || (at < room_at && !turns) || line[at] == '|')
            continue;
        memset(line + at, ' ', (size_t)(c->columns - at));
        line[at] = '|';
        size_t room = (size_t)(c->columns - at - 1), len = strlen(w);
        memcpy(line + at + 1, w, len < room ? len : room);
        room_at = at + 2 + (int)len;
        was = w;
        way = s->backward || s->recompute;
    }
    n = c->columns;
    while (n > 0 && line[n - 1] == ' ')
        n--;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] >= 0x80) /* a cut code point would be no text */
            line[i] = '?';
    if (n)
        strbuf_printf(&p->s, "%*s  %.*s\n", LABEL, "", n, line);
}

static const char *turn_name(Page *p, const Lanes *l, const Turn *t)
{
    const PlanFile *f = p->f;
    int64_t rounds = f->program[f->program_of[l->program]].rounds;
    const char *phase = phase_words.word[t->phase];
    bool loop = t->phase == PHASE_WEIGHT || t->phase == PHASE_ROUND;
    if (!loop || rounds <= 1)
        return phase;
    if (t->times > 1)
        return arena_printf(p->a, "%s %lld to %lld of %lld, each", phase, (long long)t->round + 1,
                            (long long)(t->round + t->times), (long long)rounds);
    return arena_printf(p->a, "%s %lld of %lld", phase, (long long)t->round + 1, (long long)rounds);
}

void print_lanes(Page *p, const Lanes *l)
{
    const FileTotals *o = &p->f->totals;
    page_heading(p, "one optimizer step, predicted: %s, communication not hidden %s",
                 page_ps(p, o->step_ps >= 0 ? o->step_ps : l->ps),
                 page_ps(p, o->step_ps >= 0 ? o->exposed_ps : l->exposed));
    for (int i = 0; i < N_STREAMS; i++)
        if (l->busy[i])
            strbuf_printf(&p->s, "  %s busy %s", stream_words.word[i], page_ps(p, l->busy[i]));
    strbuf_char(&p->s, '\n');
    for (int i = 0; i < l->turn.n; i++) {
        const Turn *t = &l->turn.v[i];
        LaneChart c = {p, l, t, p->width - LABEL - 4};
        strbuf_printf(&p->s, "\n  %s: %s", turn_name(p, l, t), page_ps(p, t->ps));
        if (t->exposed)
            strbuf_printf(&p->s, ", compute waits %s", page_ps(p, t->exposed));
        strbuf_char(&p->s, '\n');
        bool same = i > 0 && t[-1].phase == t->phase && t[-1].n == t->n && t[-1].ps == t->ps &&
                    t[-1].exposed == t->exposed;
        if (same || t->ps <= 0 || (double)t->ps * (double)t->times < (double)l->ps / 200)
            continue; /* as the one before, or too short to look at */
        for (int k = 0; k < N_STREAMS; k++)
            chart_row(&c, k);
        chart_words(&c);
    }
}
