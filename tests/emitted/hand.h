/* hand.h - a model made of graph nodes instead of text, as lower.c would hand it on. */
#ifndef BM_HAND_H
#define BM_HAND_H

#include "frontend/graph/model.h"

/* One instance, SGD with momentum (emitted.h reads gradients from it), no clipping, one step. */
Model *hand_model(Arena *a, Diag *d, const char *name, int64_t batch);
/* A parameter (or buffer) or an input, and its leaf in the training graph. */
Node *hand_param(Model *m, const char *path, const Type *t, bool buffer);
Node *hand_input(Model *m, const char *name, const Type *t);
/* `loss`, and whatever is in m->train.report, .logits and .root already, are the model's: the
 * evaluation graph becomes a copy of the training graph. */
void hand_finish(Model *m, Node *loss);

/* From a model as lower.c hands it on to its plan, checked after every pass; NULL: reported.
 * `change` (or NULL) is let at the training graph before it is simplified. */
typedef void ChangeFn(Program *p, void *ctx);
bool hand_graphs(Model *m, Diag *d, ChangeFn *change, void *ctx);

#endif
