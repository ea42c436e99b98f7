/* measure.h - is there a number for everything a plan would say?
 *
 * Sizes and counts of a plan are 64-bit integers, and planning takes time and memory by the node: a
 * model that could leave either is refused before it is planned. */
#ifndef BM_MEASURE_H
#define BM_MEASURE_H

#include "frontend/graph/model.h"

/* Bytes depend on the micro-batch, the others do not. */
typedef enum Measure { MEASURE_FITS, MEASURE_NODES, MEASURE_OPERATIONS, MEASURE_BYTES } Measure;

/* Of a rank that has `samples` of each batch. */
Measure measure(const Model *m, int64_t samples, int64_t micro_batch);

/* Reports what no micro-batch can help. */
void measure_tell(const Model *m, Measure what, Diag *d);

#endif
