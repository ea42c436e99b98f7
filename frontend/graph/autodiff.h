/* autodiff.h - private to autodiff*.c: one function per word of the gradient column of ops.def.
 *
 * A rule gets a node and the gradient of its (first) result, which has the node's own type, and
 * gives each operand its share. New nodes are stamped with the node's place, path and instance. */
#ifndef BM_AUTODIFF_H
#define BM_AUTODIFF_H

#include "frontend/graph/graph.h"

/* A gradient that fills only lo..hi-1 along an axis: what arrives through a SLICE. */
typedef struct Piece Piece;
struct Piece {
    Piece *next; /* newest first */
    Node *dy;
    int axis;
    int64_t lo, hi;
};

typedef struct Autodiff {
    Graph *g;
    int n;       /* nodes there were before; gradients of gradients are not made */
    bool *need;  /* by id: a gradient that arrives here leads to one that was asked for */
    Node **sum;  /* by id: the gradient so far */
    Piece **cut; /* by id: pieces not yet in the sum */
} Autodiff;

typedef void GradFn(Autodiff *ad, Node *n, Node *dy);
#define OP(id, name, sizes, gradient, cost, kernel) GradFn grad_##gradient;
#include "frontend/graph/ops.def"
#undef OP

static inline bool wants(const Autodiff *ad, const Node *x)
{
    return ad->need[x->id];
}

/* Adds to x's gradient: d is summed over what x was broadcast along, the samples included. */
void give(Autodiff *ad, Node *x, Node *d);
void give_piece(Autodiff *ad, Node *x, Node *d, int axis, int64_t lo, int64_t hi);

/* The sum of d over the axes (and samples) along which a value of type `to` was broadcast. */
Node *sum_to(Graph *g, Node *d, const Type *to);

#endif
