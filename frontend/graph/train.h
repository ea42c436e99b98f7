/* train.h - private to loss.c, average.c, update.c and train.c. */
#ifndef BM_TRAIN_H
#define BM_TRAIN_H

#include "frontend/graph/model.h"

/* An AVERAGE node taken apart: sum of w x over sum of w, over `full` (x and w broadcast). */
typedef struct Average {
    Node *node;
    double coef;
    Node *x, *w;   /* float; w NULL when the weight is a number */
    double number; /* the weight then: 0 or 1 (any other number gives the same average) */
    Type full;
} Average;

typedef struct AverageList {
    VEC(Average) list;
} AverageList;

/* loss.c: the loss as a sum of averages times constants; false: reported. */
bool loss_terms(const Program *p, AverageList *out);

/* average.c */
Average average_parts(Graph *g, Node *average);
Node *average_num(Graph *g, const Average *a); /* sum of w x, summed over the rounds */
Node *average_den(Graph *g, const Average *a); /* sum of w, summed beside it */
/* Sum of w before the first backward: a PHASE_WEIGHT program of its own, or a CONST when the weight
 * is a number. NULL: reported (the weight depends on a parameter). */
Node *average_total(Graph *g, const Average *a, int64_t batch);
Node *average_inverse(Graph *g, Node *total); /* 1 / total as [], 0 where total is 0 */
Node *scalar(Graph *g, Node *x);              /* one element as [] */

/* update.c: the optimizer's step for a parameter with gradient `grad`, as effects in p->root. */
void update_param(Model *m, int param, Node *leaf, Node *grad);

/* simplify.c: a value that is storage, or a view of it, is copied before anything is assigned, so
 * that reads see the old value. */
void protect_assigned(Program *p);

void stamp_graph(Graph *g, Span at, const char *path, int instance);

#endif
