/* walk.h - what a FUSED kernel does in each sweep over its row: the part every backend shares.
 *
 * A value of the row's columns that a later sweep needs again is read from where this kernel stored
 * it, computed again when that is cheap, or kept in an array of the row's length. */
#ifndef BM_WALK_H
#define BM_WALK_H

#include "planner/kernel.h"

typedef enum Via {
    VIA_NONE,   /* not needed in this sweep */
    VIA_EVAL,   /* computed here */
    VIA_RELOAD, /* read back through the access of the STORE `Walk.stored` */
    VIA_KEPT,   /* read from the row array */
} Via;

typedef struct Walk {
    const Kernel *k;
    const Fused *f;
    int64_t cols; /* columns of a row; 0: a unit is one element */
    int n_sweep;  /* sweeps; row values may come after the last */
    int *ready;   /* by instruction: sweep in (or, of a row value, before) which it is computed */
    bool *used;   /* by instruction: a store or partial sum depends on it */
    bool *row;    /* by instruction: one value per unit (REDUCE too) */
    int *sink;    /* by instruction: REDUCE, STORE, COLSUM act in this sweep; -1: no sink */
    Via *via;     /* [sweep * n + instruction], column values only */
    bool *kept;   /* by instruction: has a row array */
    int *stored;  /* by instruction: the STORE it is read back from, or -1 */
} Walk;

static inline Via walk_via(const Walk *w, int sweep, int ins)
{
    return w->via[sweep * w->f->ins.n + ins];
}

/* Instructions that act in a sweep on columns: is there any? */
bool walk_sweeps(const Walk *w, int sweep);

Walk walk_fused(Arena *a, const Kernel *k);

#endif
