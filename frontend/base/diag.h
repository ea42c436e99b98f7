/* diag.h - what the user is told.
 *
 *     gpt.bm:16:12: error: `@` needs equal inner sizes, got 192 and 768
 *        16 |     return c_proj(attention(q, k, v, heads = heads, causal = true))
 *           |            ^~~~~~
 *     gpt.bm:12:3: note: member `c_proj` has weight [768, 192]
 *     help: Linear(width, width)
 *
 * Lower case, no full stop, facts with names and numbers, then what to do. A note or help belongs
 * to the error or warning before it. At most 20 errors are printed; the rest are counted. Text is
 * written to `out` as it comes. Two errors at the same place with the same words are told once (a
 * block instantiated twelve times has its mistake once). */
#ifndef BM_DIAG_H
#define BM_DIAG_H

#include "frontend/base/source.h"
#include "frontend/base/strbuf.h"

#include <stdio.h>

enum { DIAG_MAX_ERRORS = 20 };

typedef struct Diag {
    Arena *arena;
    Sources *sources;
    FILE *out;  /* NULL: nothing is printed (fuzzing) */
    bool color; /* the caller decides: a terminal, NO_COLOR unset */
    int errors, warnings;
    bool muted; /* the last error was a repeat or past the cap: its notes are dropped too */
    VEC(uint64_t) told;
} Diag;

Diag *diag_new(Arena *a, Sources *sources, FILE *out);
BM_PRINTF(3, 4) void diag_error(Diag *d, Span at, const char *fmt, ...);
BM_PRINTF(3, 4) void diag_warning(Diag *d, Span at, const char *fmt, ...);
BM_PRINTF(3, 4) void diag_note(Diag *d, Span at, const char *fmt, ...);
BM_PRINTF(2, 3) void diag_help(Diag *d, const char *fmt, ...);

/* After the last message: "3 errors", with how many were not shown; nothing when there was none. */
void diag_finish(Diag *d);

#endif
