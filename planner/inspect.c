/* inspect.c - one page about one plan.json. */
#include "planner/inspect.h"
#include "planner/inspect_page.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file again, in one layout: for programs that compare plans, whoever wrote them. */
static void page_json(Page *p)
{
    json_t *o = json_loadb(p->f->text, p->f->n_text, 0, NULL);
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    if (!text)
        die("out of memory while writing a plan");
    strbuf_add(&p->s, text);
    strbuf_char(&p->s, '\n');
    free(text);
    json_decref(o);
}

static void (*const page_of[N_INSPECT_PAGES])(Page *) = {
    [INSPECT_SUMMARY] = page_summary, [INSPECT_PARAMS] = page_params,
    [INSPECT_MEMORY] = page_memory,   [INSPECT_TIMELINE] = page_timeline,
    [INSPECT_JSON] = page_json,       [INSPECT_DOT] = page_dot,
    [INSPECT_COMM] = page_comm,       [INSPECT_RECOMPUTE] = page_recompute,
    [INSPECT_TRACE] = page_trace,     [INSPECT_DIFF] = page_diff,
    [INSPECT_WHY] = page_why,         [INSPECT_HTML] = page_html,
};

bool inspect_built(InspectPage page)
{
    return (unsigned)page < N_INSPECT_PAGES && page_of[page];
}

/* Pages for programs have no colour. */
static bool is_text(InspectPage page)
{
    return page != INSPECT_JSON && page != INSPECT_DOT && page != INSPECT_TRACE &&
           page != INSPECT_HTML;
}

bool inspect_text_with(StrBuf *s, const PlanFile *f, const PlanFile *with, const InspectOptions *o)
{
    if (!inspect_built(o->page))
        BUG("page %d", (int)o->page);
    Page p = {.a = s->arena,
              .f = f,
              .s = strbuf_new(s->arena),
              .color = o->color && is_text(o->page),
              .unicode = o->unicode,
              .width = o->width > 0 ? o->width : 100,
              .rank = o->rank,
              .what = o->what,
              .with = with ? with : f};
    page_of[o->page](&p);
    strbuf_addn(s, p.s.text, p.s.n);
    return !p.failed;
}

bool inspect_text(StrBuf *s, const PlanFile *f, const InspectOptions *o)
{
    return inspect_text_with(s, f, NULL, o);
}

int inspect_plan(Arena *a, const PlanFile *f, const PlanFile *with, const InspectOptions *o,
                 Diag *d)
{
    StrBuf s = strbuf_new(a);
    if (!inspect_text_with(&s, f, with, o)) {
        diag_error(d, NO_SPAN, "%s: %s", o->path, s.text);
        return EXIT_MODEL;
    }
    if (fwrite(s.text, 1, s.n, o->out) != s.n || fflush(o->out) != 0) {
        diag_error(d, NO_SPAN, "cannot write the page: %s", strerror(errno));
        return EXIT_MACHINE;
    }
    return EXIT_OK;
}

int inspect(Arena *a, const InspectOptions *o, Diag *d)
{
    const PlanFile *f = plan_read(a, o->path, d), *with = NULL;
    if (!f)
        return EXIT_MODEL;
    if (o->page == INSPECT_DIFF && o->other && !(with = plan_read(a, o->other, d)))
        return EXIT_MODEL;
    return inspect_plan(a, f, with, o, d);
}

static const char *setting(const char *name)
{
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

static bool locale_is_utf8(void)
{
    const char *s = setting("LC_ALL");
    s = s ? s : setting("LC_CTYPE");
    s = s ? s : setting("LANG");
    return s &&
           (strstr(s, "UTF-8") || strstr(s, "utf8") || strstr(s, "UTF8") || strstr(s, "utf-8"));
}

InspectOptions inspect_looks(void)
{
    const char *term = setting("TERM"), *columns = setting("COLUMNS");
    bool terminal = isatty(1) == 1;
    long width = columns ? strtol(columns, NULL, 10) : 0;
    return (InspectOptions){
        .color = terminal && !setting("NO_COLOR") && term && strcmp(term, "dumb") != 0,
        .unicode = locale_is_utf8(),
        .width = terminal && width >= 60 && width <= 300 ? (int)width : 0,
        .out = stdout,
    };
}
