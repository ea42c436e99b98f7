/* map.h - string -> pointer or integer, in insertion order, without delete (a compiler never needs
 * one).
 *
 * Iterate with `for (int i = 0; i < m->n; i++) m->key[i], m->val[i]`: the order is the order of the
 * puts, never that of hashes, so the same input gives the same bytes. Keys are kept by pointer:
 * they must outlive the map. */
#ifndef BM_MAP_H
#define BM_MAP_H

#include "frontend/base/arena.h"

typedef struct Map {
    Arena *arena;
    const char **key;
    void **val;
    int n, cap;
    int *slot; /* open addressing; index + 1, 0 is empty; n_slot is a power of two */
    int n_slot;
} Map;

Map *map_new(Arena *a);
void *map_get(const Map *m, const char *key);    /* NULL when absent */
int map_find(const Map *m, const char *key);     /* index, or -1 */
int map_put(Map *m, const char *key, void *val); /* replaces; returns the index */
uint64_t hash_bytes(uint64_t seed, const void *p,
                    size_t n); /* FNV-1a, 64 bits, finished; the same on every machine */

/* The key of `m` nearest to `name` by edit distance (at most a third of its length away), or NULL.
 */
const char *map_nearest(const Map *m, const char *name);
int edit_distance(
    const char *a,
    const char *b); /* Levenshtein with transpositions; names over 63 bytes count as far */

#endif
