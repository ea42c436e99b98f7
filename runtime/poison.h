/* poison.h - BMRT_POISON=1: memory nobody uses any more is filled with bytes that are no number (a
 * float of them is nan, an int is -1), so that whoever reads it too late, or writes it too early,
 * is found. Without mistakes in the plan it changes nothing.
 *
 * A stream fills what its steps were the last to use, before it tells the others that they are
 * over: who puts something else there waits for that. Where another stream may still be reading,
 * nothing is filled, and nobody waits: waiting would hide the mistakes this is to find. */
#ifndef BMRT_POISON_H
#define BMRT_POISON_H

#include "runtime/link.h"

typedef struct bmrt_poison {
    const bmrt_frees *frees; /* [BMRT_STREAMS] of the phase that runs; NULL: nothing is filled */
    bool first, last;        /* round */
    int next[BMRT_STREAMS];  /* in the stream's list */
    int64_t filled[BMRT_STREAMS]; /* bytes so far, in all */
} bmrt_poison;

/* Whether BMRT_POISON asks for it; BMRT_USAGE when it is neither 0 nor 1. */
BmStatus bmrt_poison_read(bool *on, bmrt_getenv_fn *get, void *context, bmrt_error *e);

/* Phase `phase` of `program` is about to run on all streams. Ranges of compute are told only for
 * phases in which it tells of its steps: elsewhere they would all be filled at the end. */
void bmrt_poison_begin(bmrt_poison *p, const bmrt_program *program, int phase, bool first,
                       bool last);

/* All steps up to `id` of `stream` are over, which the other streams have not been told; `over`
 * says what they are told of each stream (its last step, -1, or INT_MAX). On the stream's own
 * thread. Ids that come again (a region's next chunk) fill nothing again. */
void bmrt_poison_step(bmrt_poison *p, const bmrt *r, bmrt_stream_id stream, int id,
                      const int over[BMRT_STREAMS]);

#endif
