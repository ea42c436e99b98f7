/* plan_put.c - JSON as plan.json has it: no blanks, integers plain, keys in the order of the calls.
 */
#include "planner/plan_put.h"

#include <math.h>
#include <string.h>

void put_int(StrBuf *s, int64_t x)
{
    char t[24];
    int i = countof(t);
    uint64_t u = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    do {
        t[--i] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (x < 0)
        t[--i] = '-';
    strbuf_addn(s, t + i, (size_t)(countof(t) - i));
}

/* Bytes of the UTF-8 sequence at `t`; 0 when there is none. */
static int utf8_length(const unsigned char *t)
{
    int n = t[0] < 0x80                   ? 1
            : t[0] >= 0xC2 && t[0] < 0xE0 ? 2
            : t[0] >= 0xE0 && t[0] < 0xF0 ? 3
            : t[0] >= 0xF0 && t[0] < 0xF5 ? 4
                                          : 0;
    for (int i = 1; i < n; i++)
        if ((t[i] & 0xC0) != 0x80)
            return 0;
    if ((t[0] == 0xE0 && t[1] < 0xA0) || (t[0] == 0xED && t[1] > 0x9F) ||
        (t[0] == 0xF0 && t[1] < 0x90) || (t[0] == 0xF4 && t[1] > 0x8F))
        return 0;
    return n;
}

/* A string. A file's name may hold any bytes; what is no UTF-8 becomes U+FFFD. */
void put_text(StrBuf *s, const char *text)
{
    const unsigned char *t = (const unsigned char *)(text ? text : "");
    strbuf_char(s, '"');
    while (*t) {
        const unsigned char *from = t;
        int n = 1;
        while (*t >= 0x20 && *t != '"' && *t != '\\' && *t != 0x7F && (n = utf8_length(t)) > 0)
            t += n;
        strbuf_addn(s, (const char *)from, (size_t)(t - from));
        if (!*t)
            break;
        if (n == 0)
            strbuf_add(s, "\xEF\xBF\xBD");
        else if (*t == '"' || *t == '\\')
            strbuf_printf(s, "\\%c", *t);
        else
            strbuf_printf(s, "\\u%04x", *t);
        t++;
    }
    strbuf_char(s, '"');
}

const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

void key(StrBuf *s, const char *name)
{
    char last = s->n ? s->text[s->n - 1] : '{';
    if (last != '{' && last != '[')
        strbuf_char(s, ',');
    strbuf_char(s, '"');
    strbuf_add(s, name);
    strbuf_addn(s, "\":", 2);
}

void key_int(StrBuf *s, const char *name, int64_t x)
{
    key(s, name);
    put_int(s, x);
}

void key_bool(StrBuf *s, const char *name, bool x)
{
    key(s, name);
    strbuf_add(s, x ? "true" : "false");
}

void key_text(StrBuf *s, const char *name, const char *x)
{
    key(s, name);
    put_text(s, x);
}

void key_null(StrBuf *s, const char *name)
{
    key(s, name);
    strbuf_add(s, "null");
}

/* JSON has no infinities: those are words. */
void key_double(StrBuf *s, const char *name, double x)
{
    key(s, name);
    if (isnan(x))
        strbuf_add(s, "\"nan\"");
    else if (isinf(x))
        strbuf_add(s, x < 0 ? "\"-inf\"" : "\"inf\"");
    else
        strbuf_double(s, x);
}

void key_operand(StrBuf *s, const char *name, Operand o)
{
    if (o.buffer < 0) {
        key_null(s, name);
        return;
    }
    key(s, name);
    strbuf_char(s, '[');
    put_int(s, o.buffer);
    strbuf_char(s, ',');
    put_int(s, o.offset);
    strbuf_char(s, ']');
}

/* A list with one entry a line: open, then item() before each, then close. */
void list_open(StrBuf *s, const char *name)
{
    strbuf_add(s, ",\n");
    strbuf_char(s, '"');
    strbuf_add(s, name);
    strbuf_add(s, "\":[");
}

void list_item(StrBuf *s, int i)
{
    strbuf_add(s, i ? ",\n{" : "\n{");
}

void list_close(StrBuf *s, int n)
{
    strbuf_add(s, n ? "\n]" : "]");
}

void key_ints(StrBuf *s, const char *name, const int *x, int n)
{
    key(s, name);
    strbuf_char(s, '[');
    for (int i = 0; i < n; i++) {
        if (i)
            strbuf_char(s, ',');
        put_int(s, x[i]);
    }
    strbuf_char(s, ']');
}

void key_sizes(StrBuf *s, const char *name, const int64_t *x, int n)
{
    key(s, name);
    strbuf_char(s, '[');
    for (int i = 0; i < n; i++) {
        if (i)
            strbuf_char(s, ',');
        put_int(s, x[i]);
    }
    strbuf_char(s, ']');
}

void key_text_null(StrBuf *s, const char *name, const char *x)
{
    if (x)
        key_text(s, name, x);
    else
        key_null(s, name);
}

void row_open(StrBuf *s)
{
    if (s->text[s->n - 1] == ']')
        strbuf_char(s, ',');
    strbuf_char(s, '[');
}
