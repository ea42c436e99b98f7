#include "frontend/base/strbuf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

StrBuf strbuf_new(Arena *a)
{
    StrBuf s = {.arena = a};
    s.cap = 64;
    s.text = arena_alloc(a, s.cap);
    return s;
}

void strbuf_addn(StrBuf *s, const char *text, size_t n)
{
    if (s->n + n + 1 > s->cap) {
        while (s->n + n + 1 > s->cap)
            s->cap *= 2;
        char *t = arena_alloc(s->arena, s->cap);
        memcpy(t, s->text, s->n);
        s->text = t;
    }
    if (n > 0) /* `text` may be NULL then */
        memcpy(s->text + s->n, text, n);
    s->n += n;
    s->text[s->n] = 0;
}

void strbuf_add(StrBuf *s, const char *text)
{
    strbuf_addn(s, text, strlen(text));
}

void strbuf_char(StrBuf *s, char c)
{
    strbuf_addn(s, &c, 1);
}

void strbuf_vprintf(StrBuf *s, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n < 0)
        BUG("bad format '%s'", fmt);
    if ((size_t)n < sizeof small) {
        strbuf_addn(s, small, (size_t)n);
    } else {
        char *t = arena_alloc(s->arena, (size_t)n + 1);
        vsnprintf(t, (size_t)n + 1, fmt, again);
        strbuf_addn(s, t, (size_t)n);
    }
    va_end(again);
}

void strbuf_printf(StrBuf *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(s, fmt, ap);
    va_end(ap);
}

void strbuf_json(StrBuf *s, const char *text)
{
    strbuf_char(s, '"');
    for (const char *c = text; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if (u == '"' || u == '\\')
            strbuf_printf(s, "\\%c", u);
        else if (u == '\n')
            strbuf_add(s, "\\n");
        else if (u < 0x20)
            strbuf_printf(s, "\\u%04x", u);
        else
            strbuf_char(s, *c);
    }
    strbuf_char(s, '"');
}

void strbuf_double(StrBuf *s, double x)
{
    char t[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(t, sizeof t, "%.*g", digits, x);
        if (strtod(t, NULL) == x)
            break;
    }
    strbuf_add(s, t);
}

void strbuf_bytes(StrBuf *s, int64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double x = (double)bytes;
    int u = 0;
    while (fabs(x) >= 1024 && u + 1 < countof(unit)) {
        x /= 1024;
        u++;
    }
    if (u == 0)
        strbuf_printf(s, "%lld B", (long long)bytes);
    else
        strbuf_printf(s, "%.*f %s", x < 10 ? 2 : 1, x, unit[u]);
}
