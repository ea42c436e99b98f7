/* vec.h - a growing array in an arena: VEC(Node *) list; vec_push(arena, &list, n); list.v[i],
 * list.n.
 *
 * Growing copies, so never keep a pointer into `v` across a push (keep indices, or store pointers).
 */
#ifndef BM_VEC_H
#define BM_VEC_H

#include "frontend/base/arena.h"

#include <string.h>

#define VEC(T)                                                                                     \
    struct {                                                                                       \
        T *v;                                                                                      \
        int n, cap;                                                                                \
    }

#define vec_push(a, vec, x)                                                                        \
    do {                                                                                           \
        if ((vec)->n == (vec)->cap)                                                                \
            (vec)->v = vec_grow((a), (vec)->v, &(vec)->cap, sizeof *(vec)->v);                     \
        (vec)->v[(vec)->n++] = (x);                                                                \
    } while (0)

static inline void *vec_grow(Arena *a, void *old, int *cap, size_t size)
{
    int had = *cap;
    if (had > INT32_MAX / 2)
        die("a list of more than %d entries", had);
    *cap = had ? had * 2 : 4;
    void *v = arena_calloc(a, (size_t)*cap, size);
    if (old)
        memcpy(v, old, (size_t)had * size);
    return v;
}

#endif
