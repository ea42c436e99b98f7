/* inspect_html.c - the plan as one page for a browser: what it is, and what was rejected. The
 * drawings are in inspect_html_*.c. */
#include "planner/inspect_html.h"

#include <string.h>

static const char style[] =
    "body{margin:0;background:#fff;color:#1f2933;font:14px/1.5 system-ui,-apple-system,'Segoe UI',"
    "Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif;font-variant-numeric:tabular-nums}\n"
    "main{width:1120px;margin:0 auto;padding:40px 24px 56px}\n"
    "header{border-bottom:1px solid #d9dee3;padding-bottom:20px}\n"
    "h1{font-size:26px;font-weight:600;margin:0;letter-spacing:-.01em}\n"
    "h2{font-size:17px;font-weight:600;margin:44px 0 2px}\n"
    ".below{color:#66727f;margin:0 0 14px}\n"
    ".facts{display:flex;flex-wrap:wrap;margin:22px 0 0;gap:14px 34px}\n"
    ".facts div span{display:block;color:#66727f;font-size:12px}\n"
    ".facts div b{font-size:19px;font-weight:600}\n"
    ".facts div i{font-style:normal;color:#66727f;font-size:12px}\n"
    "table{border-collapse:collapse;margin:6px 0}\n"
    "th{font-weight:500;color:#66727f;font-size:12px;text-align:left;border-bottom:1px solid "
    "#d9dee3;padding:4px 18px 4px 0;white-space:nowrap}\n"
    "td{border-bottom:1px solid #eef1f3;padding:5px 18px 5px 0;vertical-align:top}\n"
    "td.r,th.r{text-align:right;white-space:nowrap}\n"
    "td.b{width:320px;vertical-align:middle}td.b i{display:block;height:8px;border-radius:1px}\n"
    "tr.on td{background:#f2f7f4;font-weight:600}\n"
    "svg{display:block;overflow:visible}\n"
    "svg text{font-size:11px;fill:#66727f}\n"
    "svg .h:hover{fill:#1f2933;fill-opacity:.12}\n"
    "svg rect.s:hover{stroke:#1f2933;stroke-width:1}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:10px 0 6px;font-size:12px;"
    "color:#3e4c59}\n"
    ".legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}\n"
    "code{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "color:#52606d}\n"
    "footer{margin-top:48px;border-top:1px solid #d9dee3;padding-top:12px;color:#66727f;"
    "font-size:12px}\n"
    "@media print{main{padding:0}h2{break-after:avoid}svg,table{break-inside:avoid}}\n";

void html_text(Page *p, const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c == '&')
            strbuf_add(&p->s, "&amp;");
        else if (*c == '<')
            strbuf_add(&p->s, "&lt;");
        else if (*c == '>')
            strbuf_add(&p->s, "&gt;");
        else if (*c == '"')
            strbuf_add(&p->s, "&quot;");
        else
            strbuf_char(&p->s, *c);
}

void html_section(Page *p, const char *title, const char *below)
{
    strbuf_add(&p->s, "<h2>");
    html_text(p, title);
    strbuf_add(&p->s, "</h2>\n<p class=\"below\">");
    html_text(p, below);
    strbuf_add(&p->s, "</p>\n");
}

const char *html_role_colour(int role)
{
    static const char *const colour[N_ROLES] = {
        [ROLE_PARAM] = "#3b6a94", [ROLE_STATE] = "#86abc9", [ROLE_BUFFER] = "#5d6d7a",
        [ROLE_HOST] = "#5d6d7a",  [ROLE_INPUT] = "#c9b79c", [ROLE_GRAD] = "#a8759b",
        [ROLE_SAVED] = "#e0ab52", [ROLE_TEMP] = "#c3cad1",  [ROLE_GATHERED] = "#6aa9a3",
        [ROLE_COMM] = "#8d99a5"};
    return colour[role];
}

const char *html_role_name(int role)
{
    static const char *const name[N_ROLES] = {[ROLE_PARAM] = "parameters",
                                              [ROLE_STATE] = "optimizer state",
                                              [ROLE_BUFFER] = "model buffers",
                                              [ROLE_HOST] = "host scalars",
                                              [ROLE_INPUT] = "inputs",
                                              [ROLE_GRAD] = "gradients, sums",
                                              [ROLE_SAVED] = "kept activations",
                                              [ROLE_TEMP] = "temporaries",
                                              [ROLE_GATHERED] = "gathered parameters",
                                              [ROLE_COMM] = "staging of collectives"};
    return name[role];
}

/* ---- tables ---- */

HtmlTable html_table(Page *p, const char *columns)
{
    HtmlTable t = {.p = p};
    strbuf_add(&p->s, "<table><tr>");
    for (;;) {
        size_t n = strcspn(columns, "|");
        bool right = *columns == '>';
        t.right[t.n_col++] = right;
        strbuf_add(&p->s, right ? "<th class=\"r\">" : "<th>");
        html_text(p, arena_strndup(p->a, columns + right, n - right));
        strbuf_add(&p->s, "</th>");
        if (!columns[n])
            break;
        columns += n + 1;
    }
    strbuf_add(&p->s, "</tr>\n");
    return t;
}

void html_cell(HtmlTable *t, const char *text)
{
    Page *p = t->p;
    int c = t->at++ % t->n_col;
    if (c == 0) {
        strbuf_add(&p->s, t->marked ? "<tr class=\"on\">" : "<tr>");
        t->marked = false;
    }
    strbuf_add(&p->s, t->right[c] ? "<td class=\"r\">" : "<td>");
    html_text(p, text);
    strbuf_add(&p->s, c + 1 == t->n_col ? "</td></tr>\n" : "</td>");
}

void html_bar(HtmlTable *t, double share, const char *colour)
{
    double x = share > 1 ? 1 : share > 0 ? share : 0; /* NaN too */
    strbuf_printf(&t->p->s, "<td class=\"b\"><i style=\"width:%.1f%%;background:%s\"></i>", 100 * x,
                  colour);
    strbuf_add(&t->p->s, "</td></tr>\n");
    t->at++;
}

void html_table_end(HtmlTable *t)
{
    strbuf_add(&t->p->s, "</table>\n");
}

void html_legend(Page *p, const char *colour, const char *text)
{
    strbuf_printf(&p->s, "<span><i style=\"background:%s\"></i>", colour);
    html_text(p, text);
    strbuf_add(&p->s, "</span>");
}

/* ---- parts ---- */

static void fact(Page *p, const char *what, const char *value, const char *more)
{
    strbuf_add(&p->s, "<div><span>");
    html_text(p, what);
    strbuf_add(&p->s, "</span><b>");
    html_text(p, value);
    strbuf_add(&p->s, "</b> <i>");
    html_text(p, more);
    strbuf_add(&p->s, "</i></div>\n");
}

static int64_t sent_each_step(const PlanFile *f)
{
    int64_t sent = 0;
    for (int i = 0; i < f->n_comm; i++)
        if (f->step[f->comm[i].step].program == PROGRAM_TRAIN)
            sent = sum_capped(sent, product_capped(f->comm[i].bytes, f->comm[i].times));
    return sent;
}

static void header(Page *p)
{
    const PlanFile *f = p->f;
    const FileTotals *t = &f->totals;
    int64_t n = 0;
    for (int i = 0; i < f->n_param; i++)
        if (!f->param[i].buffer)
            n = sum_capped(n, param_elements(&f->param[i]));
    strbuf_add(&p->s, "<header><h1>");
    html_text(p, f->model);
    strbuf_add(&p->s, "</h1>\n<p class=\"below\">");
    html_text(p, arena_printf(p->a, "%s parameters, %s", page_count(p, n), f->file));
    strbuf_printf(&p->s, ", plan <code>%s</code></p>\n<div class=\"facts\">\n", f->hash);
    fact(p, "Global batch", page_grouped(p, f->batch),
         arena_printf(p->a, "= %lld rank%s × %lld round%s × %lld", (long long)f->ranks,
                      f->ranks == 1 ? "" : "s", (long long)f->rounds, f->rounds == 1 ? "" : "s",
                      (long long)f->micro_batch));
    int64_t taken = machine_taken(f->machine, t->arena_bytes, t->host_bytes);
    fact(p, "Memory of each rank", page_bytes(p, taken),
         f->memory >= 0 ? arena_printf(p->a, "of %s", page_bytes(p, f->memory)) : "");
    if (t->host_bytes)
        fact(p, "On the host", page_bytes(p, t->host_bytes),
             taken > t->arena_bytes ? "of the same memory" : "");
    if (t->step_ps >= 0) {
        fact(p, "Optimizer step, predicted", page_ps(p, t->step_ps),
             f->machine ? f->machine->name : "");
        double share = t->step_ps > 0 ? 100 * (double)t->exposed_ps / (double)t->step_ps : 0;
        fact(p, "Communication not hidden", page_ps(p, max64(t->exposed_ps, 0)),
             arena_printf(p->a, "%.1f %%", t->exposed_ps > 0 ? share : 0));
    }
    fact(p, "Work of a step", page_count(p, t->flops), "flops");
    if (f->n_comm)
        fact(p, "Sent by a rank each step", page_bytes(p, sent_each_step(f)), "");
    strbuf_add(&p->s, "</div></header>\n");
}

static void communication(Page *p)
{
    const PlanFile *f = p->f;
    int64_t calls[N_STEP_KINDS] = {0}, bytes[N_STEP_KINDS] = {0}, ps[N_STEP_KINDS] = {0};
    if (!f->n_comm)
        return;
    for (int i = 0; i < f->n_comm; i++) {
        const FileComm *c = &f->comm[i];
        if (f->step[c->step].program != PROGRAM_TRAIN)
            continue;
        calls[c->kind] = sum_capped(calls[c->kind], c->times);
        bytes[c->kind] = sum_capped(bytes[c->kind], product_capped(c->bytes, c->times));
        ps[c->kind] = sum_capped(ps[c->kind], product_capped(f->step[c->step].ps, c->times));
    }
    bool known = lanes_known(f);
    html_section(p, "Communication",
                 arena_printf(p->a,
                              "Collectives of one optimizer step, as each rank issues them; "
                              "accumulate = %s, reduce = %s, overlap = %s.",
                              accumulate_words.word[f->reduced], reduce_words.word[f->invariant],
                              f->overlap ? "auto" : "off"));
    HtmlTable t =
        html_table(p, known ? "Kind|>Calls|>Sent by a rank|>Time" : "Kind|>Calls|>Sent by a rank");
    for (int k = 0; k < N_STEP_KINDS; k++) {
        if (!calls[k])
            continue;
        html_cell(&t, kind_words.word[k]);
        html_cell(&t, page_grouped(p, calls[k]));
        html_cell(&t, page_bytes(p, bytes[k]));
        if (known)
            html_cell(&t, page_ps(p, ps[k]));
    }
    html_table_end(&t);
}

static const char *or_dash(const char *s)
{
    return s ? s : "–";
}

static void alternatives(Page *p)
{
    const PlanFile *f = p->f;
    if (!f->n_try)
        return;
    const FileBounds *b = &f->bounds;
    const char *bound =
        b->lower_ps > 0 && f->totals.step_ps >= b->lower_ps
            ? arena_printf(p->a, " No plan takes less than %s.", page_ps(p, b->lower_ps))
            : "";
    html_section(p, "Alternatives",
                 arena_printf(p->a, "What was tried, and why each one lost.%s", bound));
    HtmlTable t =
        html_table(p, ">Micro-batch|>Rounds|Sharding|Recompute|Overlap|>Memory|>Step|>Exposed|");
    for (int i = 0; i < f->n_try; i++) {
        const FileTry *o = &f->tried[i];
        t.marked = !o->why;
        html_cell(&t, page_grouped(p, o->micro_batch));
        html_cell(&t, page_grouped(p, o->rounds));
        html_cell(&t, or_dash(o->zero));
        html_cell(&t, or_dash(o->recompute));
        html_cell(&t, or_dash(o->overlap));
        html_cell(&t, page_bytes(p, o->arena_bytes));
        html_cell(&t, o->step_ps >= 0 ? page_ps(p, o->step_ps) : "–");
        html_cell(&t, o->exposed_ps >= 0 ? page_ps(p, o->exposed_ps) : "–");
        html_cell(&t, o->why ? o->why : "chosen");
    }
    html_table_end(&t);
}

void page_html(Page *p)
{
    strbuf_add(&p->s, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=1168\">\n<title>");
    html_text(p, p->f->model);
    strbuf_printf(&p->s, ": plan %s</title>\n<style>\n", p->f->hash);
    strbuf_add(&p->s, style);
    strbuf_add(&p->s, "</style></head>\n<body><main>\n");
    header(p);
    html_memory(p);
    html_timeline(p);
    html_shards(p);
    communication(p);
    alternatives(p);
    strbuf_printf(&p->s,
                  "<footer>Made by bmc from plan.json alone: plan <code>%s</code>.</footer>\n"
                  "</main></body></html>\n",
                  p->f->hash);
}
