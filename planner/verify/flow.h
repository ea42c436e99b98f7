/* flow.h - what every byte of a plan's buffers holds, as the steps are walked in order. Private to
 * planner/verify/.
 *
 * A buffer falls into pieces: ranges that steps always use as one. A buffer that collectives work
 * on also falls into columns: it is `shared_by` rows of `stride` bytes, row q being rank q's part,
 * and a collective works on the same range of all rows. A piece knows what this rank's steps put
 * there, a column what became of it over ranks; the later one counts. */
#ifndef BM_VERIFY_FLOW_H
#define BM_VERIFY_FLOW_H

#include "planner/verify/table.h"

typedef struct Piece {
    int64_t at, end;       /* bytes from the buffer's start */
    int writer;            /* the last step that wrote it; -1: none */
    int update;            /* persistent: the step that changed it; -1: none */
    long time, seen;       /* of that write; of the last reading */
    unsigned turns;        /* of the writer's loop that are in it, as bits */
    bool given;            /* there before the program runs */
    bool sum, zero, local; /* local: not the same on all ranks */
} Piece;

typedef enum Owned { OWNED_NOT, OWNED_ROW, OWNED_ALL } Owned; /* right in the own row; in all */

typedef struct Column {
    int64_t at, end; /* bytes from a row's start */
    Owned owned;
    int writer, update;
    long time, spent; /* spent: when it was reduced into another place */
} Column;

typedef struct Holds { /* what a buffer holds */
    Piece *piece;
    int n_piece;
    Column *column;
    int n_column;
    int64_t base, stride; /* where the rows begin; 0: no rows */
} Holds;

typedef struct Flow {
    Table *t;
    Holds *place;   /* by buffer */
    uint32_t *told; /* by step: checks that were told */
    int turn, turns;
    long now;
    bool local;       /* the step that runs read what is not the same on all ranks */
    unsigned have;    /* turns that are in all sums of the loop it read */
    uint64_t *origin; /* by step: of which steps it read what; NULL: nobody asks */
    const int *name;  /* by step: its number there */
} Flow;

/* Step `step` reads what `writer` wrote. */
void flow_heard(Flow *f, int step, int writer);

/* Tells once per step and check: rounds repeat. */
BM_PRINTF(4, 5) void flow_broken(Flow *f, int step, Check c, const char *fmt, ...);

/* flow_places.c */
void flow_places(Flow *f);
void flow_begin(Flow *f,
                int program); /* persistent buffers hold what they held, the others nothing */
/* The piece that byte `at` lies in. */
int piece_of(const Holds *p, int64_t at);
/* Does a piece have bytes of a column? */
bool piece_in_column(const Flow *f, const Holds *p, const Piece *x, const Column *c);
/* Bytes of the row that a use of rows begins at. */
int64_t row_at(const Holds *p, int64_t at);
bool is_row_use(const Flow *f, const Use *u); /* of the own row of a whole buffer */

/* flow_sums.c: reads and writes of flat buffers */
void flow_read(Flow *f, int step, const Use *u);
void flow_write(Flow *f, int step, const Use *u);
/* What the host reads when a program is over, or rounds are. */
void flow_result(Flow *f, const TableResult *r);
void flow_unread(Flow *f, int program); /* after the results */

/* flow_comm.c */
void flow_collective(Flow *f, int step);
void flow_tree(Flow *f, int step);

/* flow_update.c */
void flow_update(Flow *f, int step, const Use *u);
void flow_one_group(Flow *f, int step);
void flow_updated(Flow *f); /* at the training program's end */

static inline unsigned all_turns(const Flow *f)
{
    return (1u << f->turns) - 1;
}
static inline bool is_flat(const TableBuffer *b)
{
    return !b->batched && (b->group >= 0 || b->role == ROLE_GRAD);
}

#endif
