/* strbuf.h - text that grows, in an arena. `s.text` is always terminated. */
#ifndef BM_STRBUF_H
#define BM_STRBUF_H

#include "frontend/base/arena.h"

typedef struct StrBuf {
    Arena *arena;
    char *text;
    size_t n, cap;
} StrBuf;

StrBuf strbuf_new(Arena *a);
void strbuf_add(StrBuf *s, const char *text);
void strbuf_addn(StrBuf *s, const char *text, size_t n);
void strbuf_char(StrBuf *s, char c);
BM_PRINTF(2, 3) void strbuf_printf(StrBuf *s, const char *fmt, ...);
void strbuf_vprintf(StrBuf *s, const char *fmt, va_list ap);

/* JSON: a quoted, escaped string. Doubles are printed so that they read back the same ("%.17g" when
 * needed). */
void strbuf_json(StrBuf *s, const char *text);
void strbuf_double(StrBuf *s, double x);

/* 1536 -> "1.5 KiB", exact below 1 KiB ("640 B"). For people; files hold plain integers. */
void strbuf_bytes(StrBuf *s, int64_t bytes);

#endif
