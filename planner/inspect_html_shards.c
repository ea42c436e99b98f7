/* inspect_html_shards.c - which part of each group of parameters, gradients and optimizer state a
 * rank keeps. */
#include "planner/inspect_html.h"

enum { MOST_RANKS = 8, MOST_ROWS = 40, STRIPE = 7, ROW = 34, NAME = 250, GAP = 8 };

typedef struct ShardMap {
    Page *p;
    int ranks; /* shown; the plan may have more */
    double cell;
} ShardMap;

/* A whole is as wide as the cell; what this rank keeps of it is filled. */
static void stripe(ShardMap *m, double x, double y, int64_t lo, int64_t hi, int64_t whole,
                   const char *colour)
{
    StrBuf *s = &m->p->s;
    strbuf_printf(s, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"#eef1f3\"/>",
                  x, y, m->cell, STRIPE);
    if (hi <= lo || whole <= 0)
        return;
    double from = (double)lo / (double)whole, width = (double)(hi - lo) / (double)whole;
    strbuf_printf(s, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
                  x + m->cell * from, y, m->cell * width > 1 ? m->cell * width : 1, STRIPE, colour);
}

static void cell(ShardMap *m, const FileGroup *g, int rank, double y)
{
    const PlanFile *f = m->p->f;
    int64_t of = max64(f->shared_by, 1), whole = product_capped(g->shard, of);
    int64_t lo = product_capped(rank % of, g->shard), hi = sum_capped(lo, g->shard);
    double x = NAME + rank * (m->cell + GAP);
    bool params = g->level == LEVEL_3 || g->level == LEVEL_ONCE;
    bool grads = params || g->level == LEVEL_2, state = g->level != LEVEL_0;
    strbuf_add(&m->p->s, "<g><title>");
    html_text(m->p, arena_printf(m->p->a, "rank %d, %s\nkeeps elements %lld to %lld of %lld", rank,
                                 page_path(g->path), state ? (long long)lo : 0,
                                 (long long)((state ? hi : whole) - 1), (long long)whole));
    strbuf_add(&m->p->s, "</title>");
    stripe(m, x, y, params ? lo : 0, params ? hi : whole, whole, html_role_colour(ROLE_PARAM));
    if (g->optimizer >= 0) {
        stripe(m, x, y + STRIPE + 2, grads ? lo : 0, grads ? hi : whole, whole,
               html_role_colour(ROLE_GRAD));
        if (g->state_buffers.n)
            stripe(m, x, y + 2 * (STRIPE + 2), state ? lo : 0, state ? hi : whole, whole,
                   html_role_colour(ROLE_STATE));
    }
    strbuf_add(&m->p->s, "</g>\n");
}

static void group_row(ShardMap *m, const Alike *r, double y)
{
    Page *p = m->p;
    const FileGroup *g = &p->f->group[r->first];
    strbuf_printf(&p->s, "<text x=\"0\" y=\"%.1f\" style=\"fill:#1f2933;font-size:13px\">", y + 11);
    html_text(p, r->n > 1 ? arena_printf(p->a, "%s (%d)", r->path, r->n) : page_path(r->path));
    strbuf_printf(&p->s, "</text><text x=\"0\" y=\"%.1f\">", y + 25);
    html_text(p, arena_printf(p->a, "ZeRO %s%s, %s elements%s", level_words.word[g->level],
                              g->offload ? " + host" : "", page_count(p, g->used),
                              r->n > 1 ? " each" : ""));
    strbuf_add(&p->s, "</text>\n");
    for (int k = 0; k < m->ranks; k++)
        cell(m, g, k, y);
}

void html_shards(Page *p)
{
    const PlanFile *f = p->f;
    if (!f->n_group || f->ranks <= 1)
        return;
    html_section(p, "Shards",
                 "What each rank keeps of a group of parameters between steps, of its gradients "
                 "once they are reduced, and of its optimizer state.");
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_group; i++) {
        const FileGroup *g = &f->group[i];
        alikes_add(&all, g->path,
                   arena_printf(p->a, "%d %d %lld %lld %d", g->level, g->offload,
                                (long long)g->used, (long long)g->shard, g->optimizer),
                   i, 0, 0, 0);
    }
    ShardMap m = {.p = p, .ranks = f->ranks < MOST_RANKS ? (int)f->ranks : MOST_RANKS};
    int rows = all.row.n < MOST_ROWS ? all.row.n : MOST_ROWS;
    m.cell = (double)(HTML_WIDTH - NAME) / m.ranks - GAP;
    int height = 22 + rows * ROW;
    strbuf_printf(&p->s,
                  "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" "
                  "aria-label=\"shards by rank\">\n",
                  HTML_WIDTH, height, HTML_WIDTH, height);
    for (int k = 0; k < m.ranks; k++)
        strbuf_printf(&p->s, "<text x=\"%.1f\" y=\"11\">rank %d</text>\n",
                      NAME + k * (m.cell + GAP), k);
    for (int i = 0; i < rows; i++)
        group_row(&m, &all.row.v[i], 22 + i * ROW);
    strbuf_add(&p->s, "</svg>\n<div class=\"legend\">");
    html_legend(p, html_role_colour(ROLE_PARAM), "parameters");
    html_legend(p, html_role_colour(ROLE_GRAD), "gradients");
    html_legend(p, html_role_colour(ROLE_STATE), "optimizer state");
    if (f->ranks > m.ranks)
        strbuf_printf(&p->s, "<span>and %lld more ranks</span>", (long long)f->ranks - m.ranks);
    if (all.row.n > rows)
        strbuf_printf(&p->s, "<span>and %d more groups</span>", all.row.n - rows);
    strbuf_add(&p->s, "</div>\n");
}
