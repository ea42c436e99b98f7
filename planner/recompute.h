/* recompute.h - which values of a unit's forward pass are kept for its backward, and which are
 * computed again. Private to planner/.
 *
 * A unit's ops are its forward items of the rounds that make a value (no views; a further result
 * belongs to the item that makes it), numbered in the order of the program: the number is the same
 * in every try of a model. What enters a unit and what leaves it is always kept (`fixed`), so a
 * unit can be decided for by itself, and only its own backward computes it again. */
#ifndef BM_RECOMPUTE_H
#define BM_RECOMPUTE_H

#include "planner/build.h"
#include "planner/frontier.h"

struct RecomputeChoice {
    const RecomputeRule *rule;    /* by instance, of units; AUTO without a kept set is as NONE */
    const uint64_t **kept;        /* by instance: bit = op; NULL: none has a set */
    struct RecomputeProbe *probe; /* filled for the search; NULL: not asked for */
    int words; /* of each kept set, when it may be too short; 0: as many as needed */
};

/* After recompute_cheap(): ops that are not kept and that the backward needs get copies there,
 * each before its first use: the same ops with the same keys on the same operands, so the same
 * bits. At most the values of one unit live again at once. */
void recompute_units(Build *b, const RecomputeChoice *c);

/* Is anything of this unit computed again that costs a kernel? */
static inline bool recompute_wanted(const RecomputeChoice *c, int unit)
{
    return c && unit > 0 &&
           ((c->kept && c->kept[unit]) || (c->rule && c->rule[unit] == RECOMPUTE_ALL));
}

static inline bool recompute_keeps(const RecomputeChoice *c, int unit, int op)
{
    bool has = c->kept && c->kept[unit] && (!c->words || op / 64 < c->words);
    return has && frontier_has(c->kept[unit], op);
}

/* ---- for the search ---- */

typedef struct ItemTime { /* predicted time of one item for the whole micro-batch; passing: within
                             the kernel of another that reads it */
    int64_t (*of)(const void *model, const Item *i, bool passing);
    const void *model;
} ItemTime;

/* item_time.c: by the machine's profile, on micro-batches of `nb` samples of a model. */
ItemTime item_time(Arena *a, const Machine *m, const Model *model, int64_t nb);

typedef struct RecomputeClass { /* units whose forward items are alike, and have the rule AUTO */
    VEC(int) unit;              /* instances, in the order of the program */
    const FrontierOp *op;       /* of each of them; bytes are those of one sample */
    Item *const *item;          /* by op: of the first unit */
    int n;
    int most; /* different kept sets the planner may use: 3 a class, less what the file asks for */
} RecomputeClass;
typedef VEC(RecomputeClass) RecomputeClasses;

/* Any try can tell the classes on its way. Its own rule should be ALL where the file's is AUTO:
 * then what leaves a unit is kept as it will be. */
typedef struct RecomputeProbe {
    const RecomputeRule *rule; /* the file's, by instance */
    ItemTime time;
    RecomputeClasses found;
} RecomputeProbe;
RecomputeClasses recompute_classes(Build *b, const RecomputeRule *rule, const ItemTime *time);

/* A mix as kept sets: kept[unit] of each unit of the class. */
void recompute_take(const RecomputeClass *c, const Frontier *f, const MixChoice *m,
                    const uint64_t **kept);

/* ---- recompute_units.c and recompute_class.c share ---- */

typedef struct Units {
    int n;        /* items */
    int *unit;    /* by item: the unit whose op or view it is; 0: of none */
    int *op;      /* by item: its number; -1: none */
    bool *fixed;  /* by item: enters or leaves its unit */
    bool *read;   /* by item: the forward reads it from memory */
    bool *wanted; /* by item: the backward reads it */
} Units;
Units units_find(Build *b);
/* recompute_record.c: what was chosen, into the plan. */
void recompute_record(Build *b, const RecomputeChoice *c, const Units *u);
Item *units_value(Item *x); /* what makes the value: through views and further results */

#endif
