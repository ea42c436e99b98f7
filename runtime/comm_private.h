/* comm_private.h - one rank's end of the communication; for comm.c and comm_op.c. */
#ifndef BMRT_COMM_PRIVATE_H
#define BMRT_COMM_PRIVATE_H

#include "runtime/comm.h"

enum { BMRT_OP_KINDS = BMRT_COPY_BYTES + 1 };

struct bmrt_comm {
    const bmrt_transport *t; /* NULL: one rank, alone */
    void *link;
    const bmrt_debug *debug;
    bmrt_place_in place;
    int64_t k;         /* ranks that share one copy of sharded state */
    int64_t q;         /* this rank's place among them */
    int64_t groups;    /* of k ranks each */
    bmrt_piece *piece; /* [most]: the exchange that is being put together */
    int n, most;
    const real **part;           /* [ranks + 1]: what a sum is made of */
    const bmrt_op *op;           /* being run; NULL: an agreement between steps */
    int64_t step;                /* of training, for messages; from 0 */
    int64_t sent[BMRT_OP_KINDS]; /* payload bytes */
};

/* Puts a message into the exchange; prepare() made room. Nothing to do for 0 bytes. */
void bmrt_comm_send(bmrt_comm *c, int64_t peer, const void *at, int64_t bytes);
void bmrt_comm_receive(bmrt_comm *c, int64_t peer, void *at, int64_t bytes);
/* Runs it, until every piece is over or nothing moved for BMRT_TIMEOUT. */
BmStatus bmrt_comm_exchange(bmrt_comm *c, int tag, bmrt_error *e);

/* Pieces that one message of so many bytes needs. */
int64_t bmrt_comm_pieces(int64_t bytes);

/* The most pieces an exchange of this op has. BMRT_BUG: its table cannot be right. */
BmStatus bmrt_comm_measure(const bmrt_comm *c, const bmrt_op *op, int64_t *pieces, bmrt_error *e);

const char *bmrt_op_name(bmrt_op_kind kind); /* "all_gather" */

#endif
