/* order.h - BMRT_CHECK=1: no step begins before those are over that touch what it touches.
 *
 * Not what happens to be over counts, but what a stream knows to be over: what it waited for, and
 * what that had waited for. So a wait that is missing is found in the first round, however the
 * streams' threads were scheduled. */
#ifndef BMRT_ORDER_H
#define BMRT_ORDER_H

#include "runtime/base.h"

typedef struct bmrt_order bmrt_order;

/* `m` must tell what its steps use (bmrt_program.uses). */
BmStatus bmrt_order_create(bmrt_order **out, const bmrt_model *m, bmrt_error *e);
void bmrt_order_destroy(bmrt_order *o); /* NULL is fine */

/* Phase `phase` is about to run on all streams. The rest is called on the stream's own thread. */
void bmrt_order_begin(bmrt_order *o, const bmrt_program *program, int phase, bool first, bool last);
/* Steps up to `id` of a stream are over, which the other streams have not been told. */
void bmrt_order_over(bmrt_order *o, bmrt_stream_id stream, int id);
/* `stream` has waited for step `id` of `other`. */
void bmrt_order_waited(bmrt_order *o, bmrt_stream_id stream, bmrt_stream_id other, int id);
/* Step `id` of `stream` begins. BMRT_BUG, with both steps and what they share, when another one
 * that uses the same memory may still be running. */
BmStatus bmrt_order_step(const bmrt_order *o, bmrt_stream_id stream, int id, bmrt_error *e);

#endif
