#include "frontend/base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Chunk Chunk;
struct Chunk {
    Chunk *prev;
    size_t size, used;
    /* the objects follow, 16-byte aligned */
};

struct Arena {
    Chunk *top;
    Chunk *spare; /* given back by a rewind, all zero: the next ones */
};

enum { HEADER = (sizeof(Chunk) + 15) / 16 * 16 };
#ifdef BM_DEBUG_ARENA
enum { CHUNK = 0 }; /* every object is larger: it gets its own */
#else
enum { CHUNK = 1 << 18 };
#endif

static Chunk *chunk_new(Chunk *prev, size_t size)
{
    Chunk *c = calloc(1, HEADER + size);
    if (!c)
        die("out of memory: %zu bytes more were needed", size);
    c->prev = prev;
    c->size = size;
    return c;
}

static void push_chunk(Arena *a, size_t n)
{
    Chunk *c = a->spare;
    if (n > CHUNK || !c) {
        a->top = chunk_new(a->top, n > CHUNK ? n : CHUNK);
        return;
    }
    a->spare = c->prev;
    c->prev = a->top;
    a->top = c;
}

/* Pages that stay ours cost less to clear than new ones to get. */
static void pop_chunk(Arena *a)
{
    Chunk *c = a->top;
    a->top = c->prev;
    if (c->size != CHUNK) {
        free(c);
        return;
    }
    memset((char *)c + HEADER, 0, c->used);
    c->used = 0;
    c->prev = a->spare;
    a->spare = c;
}

static void free_chunks(Chunk *c)
{
    while (c) {
        Chunk *prev = c->prev;
        free(c);
        c = prev;
    }
}

Arena *arena_new(void)
{
    Arena *a = calloc(1, sizeof *a);
    if (!a)
        die("out of memory");
    return a;
}

void arena_free(Arena *a)
{
    if (!a)
        return;
    free_chunks(a->top);
    free_chunks(a->spare);
    free(a);
}

void *arena_alloc(Arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        die("out of memory: %zu bytes asked for at once", n);
    n = (n + 15) / 16 * 16;
    if (n == 0)
        n = 16;
    if (!a->top || a->top->size - a->top->used < n)
        push_chunk(a, n);
    void *p = (char *)a->top + HEADER + a->top->used;
    a->top->used += n;
    return p;
}

void *arena_calloc(Arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        die("out of memory: an array of %zu x %zu bytes", count, size);
    return arena_alloc(a, n);
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *t = arena_alloc(a, n + 1);
    memcpy(t, s, n);
    return t;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        BUG("bad format '%s'", fmt);
    char *t = arena_alloc(a, (size_t)n + 1);
    vsnprintf(t, (size_t)n + 1, fmt, again);
    va_end(again);
    return t;
}

Mark arena_mark(Arena *a)
{
    return (Mark){a->top, a->top ? a->top->used : 0};
}

void arena_rewind(Arena *a, Mark m)
{
    while (a->top && a->top != m.chunk)
        pop_chunk(a);
    if (a->top) {
        /* what is handed out again must be zero again */
        memset((char *)a->top + HEADER + m.used, 0, a->top->used - m.used);
        a->top->used = m.used;
    }
}
