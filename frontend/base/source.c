#include "frontend/base/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST = 64 << 20 };

Sources *sources_new(Arena *a)
{
    Sources *s = arena_make(a, Sources);
    s->arena = a;
    return s;
}

int source_add(Sources *s, const char *name, const char *text, int n)
{
    Source *f = arena_make(s->arena, Source);
    *f = (Source){arena_strdup(s->arena, name), text, n};
    vec_push(s->arena, &s->list, f);
    return s->list.n - 1;
}

int source_read(Sources *s, const char *path, const char **why)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        *why = arena_printf(s->arena, "cannot open '%s': %s", path, strerror(errno));
        return -1;
    }
    size_t cap = 1 << 16, n = 0;
    char *text = arena_alloc(s->arena, cap + 1);
    for (;;) {
        n += fread(text + n, 1, cap - n, f);
        if (n < cap || n >= LARGEST)
            break;
        char *more = arena_alloc(s->arena, 2 * cap + 1);
        memcpy(more, text, n);
        text = more;
        cap *= 2;
    }
    bool failed = ferror(f) != 0;
    int cause = errno;
    fclose(f);
    if (failed)
        *why = arena_printf(s->arena, "cannot read '%s': %s", path, strerror(cause));
    else if (n >= LARGEST)
        *why = arena_printf(s->arena, "'%s' is larger than %d MiB: not a model file", path,
                            LARGEST >> 20);
    else if (memchr(text, 0, n))
        *why = arena_printf(s->arena, "'%s' holds a zero byte: not a text file", path);
    else
        return source_add(s, path, text, (int)n);
    return -1;
}

Place source_place(const Source *s, int offset)
{
    if (offset > s->n)
        offset = s->n;
    Place p = {.line = 1, .start = s->text};
    for (int i = 0; i < offset; i++)
        if (s->text[i] == '\n') {
            p.line++;
            p.start = s->text + i + 1;
        }
    p.column = (int)(s->text + offset - p.start) + 1;
    const char *end = memchr(p.start, '\n', (size_t)(s->text + s->n - p.start));
    p.end = end ? end : s->text + s->n;
    if (p.end > p.start && p.end[-1] == '\r')
        p.end--;
    return p;
}
