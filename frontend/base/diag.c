#include "frontend/base/diag.h"
#include "frontend/base/map.h"

#include <string.h>

Diag *diag_new(Arena *a, Sources *sources, FILE *out)
{
    Diag *d = arena_make(a, Diag);
    d->arena = a;
    d->sources = sources;
    d->out = out;
    return d;
}

static void color(const Diag *d, const char *code)
{
    if (d->color)
        fprintf(d->out, "\033[%sm", code);
}

/* The line with the caret under it: `^~~~`, cut at the line's end; tabs stay tabs so that the caret
 * keeps its place. */
static void show_line(const Diag *d, const Place *p, int width)
{
    int n = (int)(p->end - p->start), lead = p->column - 1;
    if (lead > n)
        lead = n;
    if (width > n - lead)
        width = n - lead;
    fprintf(d->out, "%5d | %.*s\n      | ", p->line, n, p->start);
    for (int i = 0; i < lead; i++)
        if ((p->start[i] & 0xC0) !=
            0x80) /* continuation bytes of UTF-8 take no column of their own */
            fputc(p->start[i] == '\t' ? '\t' : ' ', d->out);
    color(d, "1;32");
    fputc('^', d->out);
    for (int i = 1; i < width; i++)
        if ((p->start[lead + i] & 0xC0) != 0x80)
            fputc('~', d->out);
    color(d, "0");
    fputc('\n', d->out);
}

static void message(Diag *d, Span at, const char *kind, const char *code, const char *text)
{
    if (!d->out)
        return;
    Place p = {0};
    if (at.file >= 0) {
        const Source *s = d->sources->list.v[at.file];
        p = source_place(s, at.lo);
        color(d, "1");
        fprintf(d->out, "%s:%d:%d: ", s->name, p.line, p.column);
    } else {
        color(d, "1");
        if (strcmp(kind, "help") != 0)
            fputs("bmc: ", d->out);
    }
    color(d, code);
    fprintf(d->out, "%s: ", kind);
    color(d, "0");
    fprintf(d->out, "%s\n", text);
    if (at.file >= 0 && strcmp(kind, "note") != 0)
        show_line(d, &p, at.hi - at.lo);
}

static char *format(Diag *d, const char *fmt, va_list ap)
{
    StrBuf s = strbuf_new(d->arena);
    strbuf_vprintf(&s, fmt, ap);
    return s.text;
}

/* True when this very message was told before. */
static bool repeated(Diag *d, Span at, const char *text)
{
    uint64_t h = hash_bytes(hash_bytes(0, &at, sizeof at), text, strlen(text));
    for (int i = 0; i < d->told.n; i++)
        if (d->told.v[i] == h)
            return true;
    vec_push(d->arena, &d->told, h);
    return false;
}

void diag_error(Diag *d, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = format(d, fmt, ap);
    va_end(ap);
    d->muted = repeated(d, at, text);
    if (d->muted)
        return;
    d->muted = ++d->errors > DIAG_MAX_ERRORS;
    if (!d->muted)
        message(d, at, "error", "1;31", text);
}

void diag_warning(Diag *d, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = format(d, fmt, ap);
    va_end(ap);
    d->muted = repeated(d, at, text);
    if (d->muted)
        return;
    d->warnings++;
    message(d, at, "warning", "1;35", text);
}

void diag_note(Diag *d, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!d->muted)
        message(d, at, "note", "1;36", format(d, fmt, ap));
    va_end(ap);
}

void diag_help(Diag *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!d->muted)
        message(d, NO_SPAN, "help", "1;32", format(d, fmt, ap));
    va_end(ap);
}

void diag_finish(Diag *d)
{
    if (!d->out || !d->errors)
        return;
    if (d->errors > DIAG_MAX_ERRORS)
        fprintf(d->out, "%d errors, the first %d shown\n", d->errors, DIAG_MAX_ERRORS);
    else
        fprintf(d->out, "%d error%s\n", d->errors, d->errors == 1 ? "" : "s");
}
