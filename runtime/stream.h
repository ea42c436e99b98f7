/* stream.h - the streams beside compute: a thread each for collectives and for copies.
 *
 * A phase run: bmrt_streams_begin() hands each stream its list, the caller computes, and
 * bmrt_streams_end() returns when all are done. Within it only waits order the streams: a stream
 * tells which of its steps are over, and whoever needs a later one sleeps. That is one atomic store
 * for a step nobody waits for.
 *
 * Between phases bmrt_streams_call() runs a function on a stream's thread: that is how the
 * communication stream's thread is the only one that ever speaks to the transport. */
#ifndef BMRT_STREAM_H
#define BMRT_STREAM_H

#include "runtime/link.h"

typedef struct bmrt_streams bmrt_streams;

/* Does one op; `first`: of the first round. On a stream's thread. */
typedef BmStatus bmrt_op_fn(void *context, bmrt_stream_id stream, const bmrt_op *op, bool first,
                            bmrt_error *e);

/* Steps up to `id` of a stream are over, which nobody knows yet; `over` says what is known of each
 * stream: its last step that is over, -1, or INT_MAX. On that stream's thread. */
typedef void bmrt_over_fn(void *context, bmrt_stream_id stream, int id,
                          const int over[BMRT_STREAMS]);

/* Threads for the streams in `with` (with[BMRT_COMPUTE] is not looked at). `tell` may be NULL;
 * `rank` is for delays. `debug` must stay. */
BmStatus bmrt_streams_create(bmrt_streams **out, const bool with[BMRT_STREAMS], bmrt_op_fn *op,
                             bmrt_over_fn *tell, void *context, const bmrt_debug *debug, int rank,
                             bmrt_error *e);
void bmrt_streams_destroy(bmrt_streams *s); /* NULL is fine */

/* Which rounds this phase run is, for ops that run in the first or the last one only. A stream with
 * work must have a thread. */
void bmrt_streams_begin(bmrt_streams *s, const bmrt_ops ops[BMRT_STREAMS], bool first, bool last);
/* The first thing that went wrong on any stream. After a failure streams stop and nobody waits for
 * them: what is in the arena means nothing any more. */
BmStatus bmrt_streams_end(bmrt_streams *s, bmrt_error *e);

/* The compute stream is about to run step `id`; needs step `id` of another stream. */
void bmrt_streams_step(bmrt_streams *s, int id);
void bmrt_streams_wait(bmrt_streams *s, bmrt_stream_id stream, int id);
/* Seconds the compute stream has stood still for the others, ends of phases included. */
double bmrt_streams_waited(const bmrt_streams *s);

/* The compute stream cannot go on. */
void bmrt_streams_fail(bmrt_streams *s, BmStatus status, const bmrt_error *e);

/* fn(arg) on the thread of that stream, or here when it has none. */
typedef BmStatus bmrt_call_fn(void *arg, bmrt_error *e);
BmStatus bmrt_streams_call(bmrt_streams *s, bmrt_stream_id stream, bmrt_call_fn *fn, void *arg,
                           bmrt_error *e);

const char *bmrt_stream_name(bmrt_stream_id id); /* "compute", "comm", "copy" */

#endif
