/* First fit in several orders. On training programs one of them usually reaches the bound, and the
 * search has a height to beat when none does. */
#include "planner/offsets_pack.h"

#include <stdlib.h>
#include <string.h>

/* Descending by the keys, then by index. */
typedef struct Rank {
    int64_t key[3];
    int box;
} Rank;

static int rank_compare(const void *x, const void *y)
{
    const Rank *a = x, *b = y;
    for (int k = 0; k < 3; k++) {
        if (a->key[k] != b->key[k])
            return a->key[k] > b->key[k] ? -1 : 1;
    }
    return (a->box > b->box) - (a->box < b->box);
}

typedef enum Order { BY_STEPS, BY_SIZE, BY_AREA, BY_START, BY_END, BY_NEST, N_ORDERS } Order;

static int64_t box_area(const Box *b)
{
    int64_t area;
    return mul_ok(b->size, b->steps, &area) ? area : INT64_MAX;
}

static void rank_fill(const Pack *p, Order order, Rank *r)
{
    for (int i = 0; i < p->n; i++) {
        const Box *b = &p->box[i];
        int64_t k0 = 0, k1 = 0;
        switch (order) {
        case BY_STEPS:
            k0 = b->steps;
            k1 = b->size;
            break;
        case BY_SIZE:
            k0 = b->size;
            k1 = b->steps;
            break;
        case BY_AREA:
            k0 = box_area(b);
            k1 = b->size;
            break;
        case BY_START:
            k0 = -b->lo;
            k1 = b->steps;
            break;
        case BY_END:
            k0 = b->hi;
            k1 = b->steps;
            break;
        case BY_NEST: /* a stack: long lives at the bottom, in sections rather than steps */
            k0 = b->hi - b->lo;
            k1 = -b->lo;
            break;
        case N_ORDERS:
            BUG("not an order");
        }
        /* What is fixed is there before anything else. */
        r[i] = (Rank){{b->fixed >= 0, k0, k1}, i};
    }
    qsort(r, (size_t)p->n, sizeof *r, rank_compare);
}

typedef struct Placed { /* boxes that have their place, the lowest first */
    int64_t at, top;
    int lo, hi;
} Placed;

/* The lowest offset where `b` meets none of n. */
static int64_t first_fit(const Placed *low, int n, const Box *b)
{
    int64_t at = 0;
    for (int k = 0; k < n; k++) {
        const Placed *q = &low[k];
        if (b->lo >= q->hi || q->lo >= b->hi)
            continue;
        if (q->at - at >= b->size)
            break;
        at = max64(at, q->top);
    }
    return at;
}

/* Where one that starts at `at` goes: after those as low. */
static int seat_of(const Placed *low, int n, int64_t at)
{
    int from = 0;
    while (from < n) {
        int mid = from + (n - from) / 2;
        if (low[mid].at <= at)
            from = mid + 1;
        else
            n = mid;
    }
    return from;
}

/* Its height; given up once that is no lower than `best`. */
static int64_t greedy_run(const Pack *p, const Rank *r, Placed *low, int64_t *offset, int64_t best)
{
    int64_t height = 0;
    for (int i = 0; i < p->n && height < best; i++) {
        int x = r[i].box;
        const Box *b = &p->box[x];
        int64_t at = b->fixed >= 0 ? b->fixed : first_fit(low, i, b);
        int k = seat_of(low, i, at);
        memmove(low + k + 1, low + k, (size_t)(i - k) * sizeof *low);
        low[k] = (Placed){at, at + b->size, b->lo, b->hi};
        offset[x] = at;
        height = max64(height, at + b->size);
    }
    return height;
}

int64_t pack_greedy(Arena *scratch, const Pack *p, int64_t good, int64_t *best)
{
    Mark mark = arena_mark(scratch);
    Rank *rank = arena_array(scratch, Rank, p->n);
    Placed *low = arena_array(scratch, Placed, p->n);
    int64_t *offset = arena_array(scratch, int64_t, p->n);
    int64_t height = INT64_MAX;
    for (int order = 0; order < N_ORDERS && height > good; order++) {
        rank_fill(p, (Order)order, rank);
        int64_t h = greedy_run(p, rank, low, offset, height);
        if (h < height) {
            height = h;
            memcpy(best, offset, (size_t)p->n * sizeof *best);
        }
    }
    arena_rewind(scratch, mark);
    return height;
}
