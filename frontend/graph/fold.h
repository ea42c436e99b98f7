/* fold.h - private to frontend/graph: exact identities applied while nodes are made. */
#ifndef BM_FOLD_H
#define BM_FOLD_H

#include "frontend/graph/graph.h"

/* graph_add() after the identities that change no bit of a result other than a NaN's: constants are
 * computed, views of views merge, x * 1 is x. */
Node *graph_make(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type);

bool is_elementwise(Op op);
bool is_view(Op op);
bool is_const(const Node *n, double value);
/* The value of a scalar that is made of constants only. */
bool const_value(const Node *n, double *value);

#endif
