/* arena.h - the compiler's memory: allocate by phase, never free one object.
 *
 * A function that allocates takes `Arena *` first; what it returns lives as long as that arena.
 * Memory is zeroed and never NULL (die() otherwise). Objects never move. A debug build gives every
 * object its own malloc, so that AddressSanitizer sees each overrun. */
#ifndef BM_ARENA_H
#define BM_ARENA_H

#include "frontend/base/base.h"

typedef struct Arena Arena;
typedef struct Mark {
    void *chunk;
    size_t used;
} Mark;

Arena *arena_new(void);
void arena_free(Arena *a);
void *arena_alloc(Arena *a, size_t n);                   /* aligned to 16, zeroed */
void *arena_calloc(Arena *a, size_t count, size_t size); /* the product is checked */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
BM_PRINTF(2, 3) char *arena_printf(Arena *a, const char *fmt, ...);

/* Scratch: what was allocated after the mark is gone after the rewind. */
Mark arena_mark(Arena *a);
void arena_rewind(Arena *a, Mark m);

#define arena_make(a, T)     ((T *)arena_alloc((a), sizeof(T)))
#define arena_array(a, T, n) ((T *)arena_calloc((a), (size_t)(n), sizeof(T)))

#endif
