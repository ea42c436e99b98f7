/* flat.h - flat groups: layout, gradients bound to their places, the update over flat buffers.
 * Private to planner/. */
#ifndef BM_FLAT_H
#define BM_FLAT_H

#include "planner/build.h"

/* Plan.group, param_group and param_at from the model and Plan.shared_by. */
void flat_groups(Plan *p);
/* Elements of a group's whole flat buffer. */
int64_t flat_whole(const Plan *p, const FlatGroup *g);
/* Elements of it that no parameter has. */
Gap *flat_gaps(const Plan *p, const FlatGroup *g, int *n);

/* The node that sums the squares of all gradients, in the order of trained parameters; NULL: none.
 */
const Node *flat_norm(const Program *g);

/* Before items are made: which accumulators lie in which group's gradients. */
void flat_bind(Build *b);
/* Items of the flat buffers; then which nodes (by id) are to become items of the usual kind. */
void flat_leaves(Build *b);
bool *flat_needed(Build *b);
/* ASSIGN of a trained parameter or its state: made over the flat buffers, once a group. False: it
 * is a model's buffer. */
bool flat_update(Build *b, const Node *assign);

/* This rank's shard of the reduced gradients: in the whole ones, or a place of its own. */
Operand flat_shard_of_grads(const Plan *p, const FlatGroup *g);

/* What this rank updates of a group, on the device: its shard, or all of it. */
int64_t flat_own_elems(const Plan *p, const FlatGroup *g);
Operand flat_own_params(const Plan *p, const FlatGroup *g);
Operand flat_own_grads(const Plan *p, const FlatGroup *g);

static inline bool level_shards_params(Level l)
{
    return l == LEVEL_3 || l == LEVEL_ONCE;
}

/* buffers.c */
int buffer_flat_grads(Build *b, const FlatGroup *g);
int buffer_grad_shard(Build *b, const FlatGroup *g);
void buffers_on_host(Build *b, FlatGroup *g); /* for its update */
int buffer_sums(Build *b, Phase loop, int64_t count, int64_t *at);

#endif
