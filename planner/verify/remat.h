/* remat.h - numbers for values: equal numbers, equal values, however kernels were cut. Private to
 * planner/verify/.
 *
 * A value is a function of the position in the axes it depends on; loads are numbered by what was
 * stored there and with which strides. Axes that lie one in another count as one, so a value has
 * the same number in a kernel of rows, in a flat one, stored in between or not. */
#ifndef BM_VERIFY_REMAT_H
#define BM_VERIFY_REMAT_H

#include "planner/verify/table.h"

typedef struct Stored { /* in a buffer */
    uint64_t where;     /* offset and strides */
    uint64_t value;
    bool plain; /* a value by position; else what a kernel of another kind made */
    bool whole; /* it is all of the buffer, whatever was there before */
} Stored;

typedef struct Content {
    VEC(Stored) stored;
    uint64_t all; /* of the whole content */
} Content;

typedef struct Drawn { /* a random number */
    uint64_t value;    /* of all but its key */
    uint64_t key;
    int step;
} Drawn;

typedef struct Wanted {
    int step;
    uint64_t value;
} Wanted;

typedef struct Remat {
    Table *t;
    const Plan *p;
    Content *content;      /* by buffer */
    VEC(uint64_t) forward; /* values the forward pass computes */
    VEC(Drawn) draw;       /* of the forward */
    VEC(Drawn) again;      /* in the backward: `value` */
    VEC(Wanted) wanted;    /* what is computed again and stored */
    int turned;            /* the first step that is of the backward only */
} Remat;

uint64_t remat_mix(uint64_t h, uint64_t x);
/* The number of what a buffer holds. */
uint64_t remat_content(const Remat *r, int buffer);
void remat_put(Remat *r, int buffer, Stored s);
/* Numbers what a fused kernel computes and stores. */
void remat_fused(Remat *r, int step);
/* Remembers a value a step computes; `stored`: and writes to memory. */
void remat_value(Remat *r, int step, uint64_t value, bool stored);
void remat_drawn(Remat *r, int step, uint64_t value, uint64_t key);

#endif
