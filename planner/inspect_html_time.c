/* inspect_html_time.c - the streams of each turn: what compute does, what communication does
 * meanwhile, where compute waits. */
#include "planner/inspect_html.h"

#include <string.h>

enum { LANE = 24, SPACE = 5, TOP = 18 };

typedef struct Chart {
    Page *p;
    const Lanes *l;
    const Turn *t;
    int lane[N_STREAMS]; /* row; -1: nothing runs there */
    int rows;
} Chart;

static const char wait_colour[] = "#f3d9d4";

static const char *colour_of(const FileStep *s)
{
    if (s->stream == STREAM_COPY)
        return "#8d99a5";
    if (s->kind == KIND_ALL_GATHER)
        return "#6aa9a3";
    if (s->stream == STREAM_COMM)
        return "#3d7f86";
    if (s->phase != PHASE_ROUND)
        return "#7d8f69";
    return s->recompute ? "#e0ab52" : s->backward ? "#a8759b" : "#5f8fb8";
}

static double x_of(const Chart *c, int64_t ps)
{
    double share = c->t->ps > 0 ? (double)ps / (double)c->t->ps : 0;
    return HTML_LEFT + (HTML_WIDTH - HTML_LEFT) * share;
}

static void box_open(Chart *c, int stream, int64_t from, int64_t to, const char *colour)
{
    double x = x_of(c, from), width = x_of(c, to) - x;
    strbuf_printf(&c->p->s,
                  "<rect class=\"s\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" rx=\"1.5\" "
                  "fill=\"%s\"><title>",
                  x, TOP + c->lane[stream] * (LANE + SPACE), width > 0.4 ? width : 0.4, LANE,
                  colour);
}

/* One box for steps of one stream, one block and one direction that follow each other. */
typedef struct Box {
    const FileStep *step; /* the first */
    const char *place;
    int64_t from, to;
    int64_t of_class[N_TIME_CLASSES]; /* ps of its steps */
    int n;
} Box;

/* "math 1.20 ms, memory 300 us"; one step's class has the box's whole time. */
static void put_classes(Page *p, const Box *b)
{
    const char *sep = "\n";
    for (int k = 0; k < N_TIME_CLASSES; k++) {
        if (!b->of_class[k])
            continue;
        html_text(p, sep);
        html_text(p, class_words.word[k]);
        if (b->n > 1)
            html_text(p, arena_printf(p->a, " %s", page_ps(p, b->of_class[k])));
        sep = ", ";
    }
}

static void put_box(Chart *c, const Box *b)
{
    Page *p = c->p;
    const FileStep *s = b->step;
    if (!b->n || b->to <= b->from)
        return;
    box_open(c, s->stream, b->from, b->to, colour_of(s));
    html_text(p, s->stream == STREAM_COMPUTE
                     ? b->place
                     : arena_printf(p->a, "%s %s", kind_words.word[s->kind], page_path(s->path)));
    html_text(
        p, arena_printf(p->a, "\n%s, from %s", page_ps(p, b->to - b->from), page_ps(p, b->from)));
    html_text(p, b->n > 1 ? arena_printf(p->a, "\n%d steps from %d on", b->n, s->id)
                          : arena_printf(p->a, "\nstep %d: %s", s->id, s->what));
    put_classes(p, b);
    if (s->sent)
        html_text(p, arena_printf(p->a, "\n%s sent", page_bytes(p, s->sent)));
    strbuf_add(&p->s, "</title></rect>\n");
}

static void put_wait(Chart *c, int64_t from, int64_t to, const char *before)
{
    if (to <= from)
        return;
    box_open(c, STREAM_COMPUTE, from, to, wait_colour);
    html_text(c->p,
              arena_printf(c->p->a, "compute waits %s\nthen %s", page_ps(c->p, to - from), before));
    strbuf_add(&c->p->s, "</title></rect>\n");
}

static void put_lane(Chart *c, int stream)
{
    Page *p = c->p;
    Box b = {0};
    int64_t free_at = 0;
    for (int i = c->t->first; i < c->t->first + c->t->n; i++) {
        const Slot *o = &c->l->slot.v[i];
        const FileStep *s = &p->f->step[o->step];
        if (s->stream != stream)
            continue;
        const char *place = step_place(p, s);
        bool joins =
            b.n && stream == STREAM_COMPUTE && o->from == b.to && strcmp(place, b.place) == 0;
        if (!joins) {
            put_box(c, &b);
            b = (Box){.step = s, .place = place, .from = o->from};
        }
        if (stream == STREAM_COMPUTE)
            put_wait(c, free_at, o->from, place);
        b.to = free_at = o->to;
        b.n++;
        if (s->cls >= 0)
            b.of_class[s->cls] = sum_capped(b.of_class[s->cls], o->to - o->from);
    }
    put_box(c, &b);
    if (stream == STREAM_COMPUTE)
        put_wait(c, free_at, c->t->ps, "the phase ends");
}

/* Whose steps compute runs, above its lane, where there is room. */
static void put_names(Chart *c)
{
    Page *p = c->p;
    const char *was = "";
    double room = 0;
    for (int i = c->t->first; i < c->t->first + c->t->n; i++) {
        const Slot *o = &c->l->slot.v[i];
        const FileStep *s = &p->f->step[o->step];
        if (s->stream != STREAM_COMPUTE)
            continue;
        const char *name = page_path(p->f->instance[p->f->instance[s->instance].unit].path);
        const char *place = step_place(p, s);
        double x = x_of(c, o->from), width = 6.5 * (double)strlen(name);
        if (strcmp(place, was) == 0 || x < room || x + width > HTML_WIDTH)
            continue;
        strbuf_printf(&p->s, "<text x=\"%.1f\" y=\"%d\">", x, TOP - 5);
        html_text(p, name);
        strbuf_add(&p->s, "</text>\n");
        room = x + width + 8;
        was = place;
    }
}

static const char *title_of(Page *p, const Lanes *l, const Turn *t)
{
    int64_t rounds = p->f->program[p->f->program_of[l->program]].rounds;
    const char *phase = phase_words.word[t->phase];
    const char *ps = page_ps(p, t->ps);
    bool loop = t->phase == PHASE_WEIGHT || t->phase == PHASE_ROUND;
    if (!loop || rounds <= 1)
        return arena_printf(p->a, "%s: %s", phase, ps);
    if (t->times > 1)
        return arena_printf(p->a, "%s %lld to %lld of %lld: %s each", phase,
                            (long long)t->round + 1, (long long)(t->round + t->times),
                            (long long)rounds, ps);
    return arena_printf(p->a, "%s %lld of %lld: %s", phase, (long long)t->round + 1,
                        (long long)rounds, ps);
}

static void put_turn(Page *p, const Lanes *l, const Turn *t)
{
    Chart c = {.p = p, .l = l, .t = t};
    bool used[N_STREAMS] = {false};
    for (int i = t->first; i < t->first + t->n; i++)
        used[p->f->step[l->slot.v[i].step].stream] = true;
    for (int k = 0; k < N_STREAMS; k++)
        c.lane[k] = used[k] || k == STREAM_COMPUTE ? c.rows++ : -1;
    int height = TOP + c.rows * (LANE + SPACE);
    strbuf_add(&p->s, "<p class=\"below\" style=\"margin:16px 0 4px\">");
    html_text(p, title_of(p, l, t));
    if (t->exposed > 0)
        html_text(p, arena_printf(p->a, ", compute waits %s", page_ps(p, t->exposed)));
    strbuf_printf(&p->s,
                  "</p>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" "
                  "aria-label=\"streams\">\n",
                  HTML_WIDTH, height, HTML_WIDTH, height);
    for (int k = 0; k < N_STREAMS; k++) {
        if (c.lane[k] < 0)
            continue;
        strbuf_printf(&p->s, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                      HTML_LEFT - 8, TOP + c.lane[k] * (LANE + SPACE) + LANE / 2 + 4,
                      stream_words.word[k]);
        put_lane(&c, k);
    }
    put_names(&c);
    strbuf_add(&p->s, "</svg>\n");
}

static void legend(Page *p, const Lanes *l)
{
    static const struct {
        const char *name;
        FileStep like;
    } sample[] = {
        {"forward", {.phase = PHASE_ROUND}},
        {"backward", {.phase = PHASE_ROUND, .backward = true}},
        {"computed again", {.phase = PHASE_ROUND, .recompute = true}},
        {"once a step", {.phase = PHASE_UPDATE}},
        {"gather", {.stream = STREAM_COMM, .kind = KIND_ALL_GATHER}},
        {"reduce", {.stream = STREAM_COMM, .kind = KIND_REDUCE_SCATTER}},
        {"copy", {.stream = STREAM_COPY, .kind = KIND_COPY}},
    };
    strbuf_add(&p->s, "<div class=\"legend\">");
    for (int k = 0; k < countof(sample); k++)
        for (int i = 0; i < l->slot.n; i++)
            if (strcmp(colour_of(&p->f->step[l->slot.v[i].step]), colour_of(&sample[k].like)) ==
                0) {
                html_legend(p, colour_of(&sample[k].like), sample[k].name);
                break;
            }
    if (l->exposed > 0)
        html_legend(p, wait_colour, "compute waits");
    strbuf_add(&p->s, "</div>\n");
}

static void classes(Page *p)
{
    ClassTime time[N_TIME_CLASSES];
    int64_t all;
    if (!class_times(p->f, time, &all) || !all)
        return;
    strbuf_add(&p->s, "<p class=\"below\" style=\"margin:16px 0 4px\">What bounds each step, in "
                      "all streams, hidden or not.</p>\n");
    HtmlTable t = html_table(p, "Class|>Steps|>Time|>Share|");
    for (int k = 0; k < N_TIME_CLASSES; k++) {
        double share = (double)time[k].ps / (double)all;
        if (!time[k].steps)
            continue;
        html_cell(&t, class_words.word[k]);
        html_cell(&t, page_grouped(p, time[k].steps));
        html_cell(&t, page_ps(p, time[k].ps));
        html_cell(&t, arena_printf(p->a, "%.1f %%", 100 * share));
        html_bar(&t, share, "#5f8fb8");
    }
    html_table_end(&t);
}

void html_timeline(Page *p)
{
    const PlanFile *f = p->f;
    if (!lanes_known(f)) {
        html_section(p, "Timeline",
                     "The plan was made for no machine in particular, so it predicts no times: "
                     "--machine NAME gives them.");
        return;
    }
    Lanes l = lanes_of(p, PROGRAM_TRAIN);
    html_section(p, "Timeline",
                 "One optimizer step as predicted, stream by stream. All streams begin a phase "
                 "together and end it together; each is drawn to its own scale.");
    for (int i = 0; i < l.turn.n; i++)
        if (l.turn.v[i].ps > 0 &&
            (double)l.turn.v[i].ps * (double)l.turn.v[i].times >= (double)l.ps / 100)
            put_turn(p, &l, &l.turn.v[i]);
    legend(p, &l);
    classes(p);
}
