/* source.h - files as read, and places in them.
 *
 * A Span is two byte offsets and a file number; line and column are computed only when something is
 * printed. Files hold UTF-8; columns count bytes from 1, as editors' "go to" does for ASCII. */
#ifndef BM_SOURCE_H
#define BM_SOURCE_H

#include "frontend/base/arena.h"
#include "frontend/base/vec.h"

typedef struct Span {
    int file;   /* index into Sources; -1: no place (the command line, the planner) */
    int lo, hi; /* bytes, half-open */
} Span;

#define NO_SPAN ((Span){-1, 0, 0})

typedef struct Source {
    const char *name; /* as the user gave it; shown in messages */
    const char *text; /* terminated by 0, which is not counted */
    int n;
} Source;

typedef struct Sources {
    Arena *arena;
    VEC(Source *) list;
} Sources;

Sources *sources_new(Arena *a);
int source_add(Sources *s, const char *name, const char *text,
               int n); /* text is kept, not copied */

/* Reads a whole file; -1 and *why (a sentence with the reason) when it cannot be read, is over 64
 * MiB or holds a 0. */
int source_read(Sources *s, const char *path, const char **why);

typedef struct Place {
    int line, column;        /* from 1 */
    const char *start, *end; /* the line's text, without its newline */
} Place;
Place source_place(const Source *s, int offset);

static inline Span span_join(Span a, Span b)
{
    return a.file < 0 ? b
           : b.file != a.file
               ? a
               : (Span){a.file, a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

#endif
