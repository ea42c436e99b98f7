#include "frontend/base/map.h"

#include <string.h>

uint64_t hash_bytes(uint64_t seed, const void *p, size_t n)
{
    const unsigned char *c = p;
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (; n >= 8; n -= 8, c += 8) {
        uint64_t w = 0; /* little-endian on every machine; compilers make one load of it */
        for (int k = 7; k >= 0; k--)
            w = w << 8 | c[k];
        h = (h ^ w) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

Map *map_new(Arena *a)
{
    Map *m = arena_make(a, Map);
    m->arena = a;
    return m;
}

int map_find(const Map *m, const char *key)
{
    if (!m->n_slot)
        return -1;
    uint64_t mask = (uint64_t)m->n_slot - 1;
    for (uint64_t h = hash_bytes(0, key, strlen(key)) & mask;; h = (h + 1) & mask) {
        int i = m->slot[h] - 1;
        if (i < 0)
            return -1;
        if (!strcmp(m->key[i], key))
            return i;
    }
}

void *map_get(const Map *m, const char *key)
{
    int i = map_find(m, key);
    return i < 0 ? NULL : m->val[i];
}

static void index_key(Map *m, int i)
{
    uint64_t mask = (uint64_t)m->n_slot - 1, h = hash_bytes(0, m->key[i], strlen(m->key[i])) & mask;
    while (m->slot[h])
        h = (h + 1) & mask;
    m->slot[h] = i + 1;
}

static void grow(Map *m)
{
    int cap = m->cap ? m->cap * 2 : 8;
    const char **key = arena_array(m->arena, const char *, cap);
    void **val = arena_array(m->arena, void *, cap);
    if (m->n) {
        memcpy(key, m->key, (size_t)m->n * sizeof *key);
        memcpy(val, m->val, (size_t)m->n * sizeof *val);
    }
    m->key = key;
    m->val = val;
    m->cap = cap;
    m->n_slot = cap * 2;
    m->slot = arena_array(m->arena, int, m->n_slot);
    for (int i = 0; i < m->n; i++)
        index_key(m, i);
}

int map_put(Map *m, const char *key, void *val)
{
    int i = map_find(m, key);
    if (i < 0) {
        if (m->n == m->cap)
            grow(m);
        i = m->n++;
        m->key[i] = key;
        index_key(m, i);
    }
    m->val[i] = val;
    return i;
}

enum { LONGEST = 63 };

int edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > LONGEST || nb > LONGEST)
        return LONGEST;
    int d[3][LONGEST + 2];
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (int)j;
    int *two = d[2], *one = d[0], *row = d[1];
    for (size_t i = 1; i <= na; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int best = one[j - 1] + (a[i - 1] != b[j - 1]);
            if (one[j] + 1 < best)
                best = one[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two[j - 2] + 1 < best)
                best = two[j - 2] + 1;
            row[j] = best;
        }
        int *free_row = two;
        two = one;
        one = row;
        row = free_row;
    }
    return one[nb];
}

const char *map_nearest(const Map *m, const char *name)
{
    const char *best = NULL;
    int limit = (int)strlen(name) / 3 + 1;
    for (int i = 0; i < m->n; i++) {
        int d = edit_distance(name, m->key[i]);
        if (d < limit || (d == limit && !best)) {
            limit = d;
            best = m->key[i];
        }
    }
    return best;
}
