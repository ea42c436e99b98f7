/* narrow.h - precision = bf16 or fp16: what is kept in 2 bytes an element. Private to planner/.
 *
 * Narrow are the floats that samples have, and the copy of the parameters that kernels read (whole,
 * a shard, or gathered). The parameters that are updated, the master, stay f32 and belong to the
 * optimizer's state; so do its moments, all gradients and sums, the norm, what is made of
 * parameters alone, and what samples have once a row: means, maxima, losses of tokens. Kernels
 * compute in f32 and round as they store; products of two narrow matrices run at their own rate.
 *
 * A row is one of as many as a sample has tokens: the first axis of an input of integers, or of
 * one of several axes; else the sample is one row. A value counts as once a row when it has no more
 * elements than there are rows, or one along its last axis. */
#ifndef BM_NARROW_H
#define BM_NARROW_H

#include "planner/build.h"

/* Is the item's storage narrow? Of what samples have; the trainer rounds inputs as it fills them.
 */
bool item_narrows(const Model *m, const Item *root);
/* Likewise of a further result of `i` that has no item. */
bool part_narrows(const Model *m, const Item *i, const Type *part);
/* As its elements are stored, parameters too. */
DType item_dtype(const Model *m, const Item *i);
int64_t item_bytes(const Model *m, const Item *i);

/* After the programs' kernels are made, before collectives are: sizes of buffers, places of
 * operands, types of arguments; whatever writes the master writes its copy too. Kernels are made
 * anew: the result is where they are found. Nothing at fp32. */
Map *narrow_plan(Plan *p, Map *kernels);

#endif
