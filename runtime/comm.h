/* comm.h - collectives on top of messages.
 *
 * A transport moves pieces of memory between ranks and knows nothing else; what is sent to whom, in
 * which chunks, and in which order sums are formed is decided here, so it is the same for every
 * transport. Sums over ranks are ((r0 + r1) + r2) + ..., or follow a binary tree. All functions are
 * called on one thread, the communication stream's.
 *
 * R ranks in groups of k consecutive ones (hybrid; k = R: one group). Payload a rank sends for a
 * part of `elems` elements:
 *   all-gather      (k - 1) * elems
 *   reduce-scatter  (k - 1) * elems, and with several groups: elems to the next group (tree: to the
 *                   last), from the last group the result: elems to each other group
 *   all-reduce      both */
#ifndef BMRT_COMM_H
#define BMRT_COMM_H

#include "runtime/link.h"

typedef struct bmrt_piece { /* one message */
    int peer;
    bool send;
    bool done;
    void *at;
    int64_t bytes;
} bmrt_piece;

typedef struct bmrt_place_in { /* the world as the transport knows it */
    int rank, ranks;
    int local_ranks; /* on this machine; 0: not known */
} bmrt_place_in;

enum { BMRT_TAG_CONTROL, BMRT_TAG_PAYLOAD };
enum { BMRT_MOST_PIECE = 1 << 30 }; /* bytes */

struct bmrt_transport {
    const char *name;
    const char *start;   /* the command that starts ranks, their number goes behind: "mpirun -n" */
    const void *context; /* the transport's own */
    /* Everything below on one thread. */
    BmStatus (*open)(void **link, const void *context, bmrt_place_in *place, bmrt_error *e);
    /* Room for so many pieces at once; called again only for more. */
    BmStatus (*reserve)(void *link, int pieces, bmrt_error *e);
    /* Starts all pieces: between two ranks those of one tag arrive in the order of the array. */
    BmStatus (*start_pieces)(void *link, const bmrt_piece *piece, int n, int tag, bmrt_error *e);
    /* Sets `done` of those that are over since. Does not wait. */
    BmStatus (*test)(void *link, bmrt_piece *piece, int n, bmrt_error *e);
    /* Ends every rank with this exit code; may return. */
    void (*abort)(void *link, int code);
    void (*close)(void *link);
};

typedef struct bmrt_comm bmrt_comm;

/* Opens the transport (NULL: one rank, alone). `debug` must stay. */
BmStatus bmrt_comm_create(bmrt_comm **out, const bmrt_transport *t, const bmrt_debug *debug,
                          bmrt_error *e);
void bmrt_comm_destroy(bmrt_comm *c); /* NULL is fine */
bmrt_place_in bmrt_comm_place(const bmrt_comm *c);

/* Groups of `shared_by` ranks, and room for every op of the model; nothing is allocated later.
 * BMRT_BUG for tables that cannot be right. */
BmStatus bmrt_comm_prepare(bmrt_comm *c, const bmrt_model *m, bmrt_error *e);

/* Staging memory of a reduce-scatter or all-reduce, in chunks: never more than R - 1. */
int64_t bmrt_staging_chunks(int64_t ranks, int64_t shared_by, bool tree);

/* One op of the comm or copy stream; `first`: of the first round. */
BmStatus bmrt_comm_op(bmrt_comm *c, bmrt *r, const bmrt_op *op, bool first, bmrt_error *e);

/* A copy needs no communication: any thread. */
void bmrt_copy_op(const bmrt *r, const bmrt_op *op);

/* value[i] = the largest of all ranks' value[i]; also a barrier. */
enum { BMRT_MOST_VALUES = 8 };
BmStatus bmrt_comm_max(bmrt_comm *c, uint64_t *value, int n, bmrt_error *e);

/* all [ranks][bytes] = what each rank brings. */
BmStatus bmrt_comm_collect(bmrt_comm *c, const void *mine, int64_t bytes, void *all, bmrt_error *e);

/* `bytes` from one rank's memory to another's; the other ranks do nothing. */
BmStatus bmrt_comm_move(bmrt_comm *c, int from, int to, void *at, int64_t bytes, bmrt_error *e);

void bmrt_comm_abort(bmrt_comm *c, int code);

/* {"rank":0,"all_gather":bytes,"reduce_scatter":..,"all_reduce":..} sent so far. */
void bmrt_comm_count(const bmrt_comm *c, bmrt_text *out);

/* comm_sum.c: out = (add ? out : 0) + the sum of n parts of `count` elements each, in order or
 * along the binary tree; `out` may be one of the parts. */
void bmrt_sum_parts(const real *const *part, int n, int64_t count, bool tree, bool add, real *out);

#endif
