/* table.h - a plan as the checks see it: steps that use buffers, whether it came from memory or
 * from a file. Private to planner/verify/. */
#ifndef BM_VERIFY_TABLE_H
#define BM_VERIFY_TABLE_H

#include "planner/verify/verify.h"

typedef enum Check {
#define X(id, name, what) CHECK_##id,
    VERIFY_CHECKS(X)
#undef X
        N_CHECKS
} Check;

typedef struct Use { /* of a buffer by a step */
    int buffer, arg;
    bool read, write;
    bool add;           /* read and written, but overwritten in the first turn: an accumulator */
    int64_t at;         /* where the argument points: bytes from the buffer's start */
    int64_t lo, end;    /* bytes it may touch, from the buffer's start */
    int64_t by_rank;    /* all three move on by this for each rank before this one */
    int64_t parts, gap; /* so many ranges lo .. end - 1, `gap` bytes from one to the next */
} Use;

typedef struct TablePiece { /* of a collective */
    int64_t elems, stride;
    Use *whole, *shard; /* shard NULL: in place on all of it (all-reduce) */
} TablePiece;

typedef struct TableStep {
    const char *path;
    int program, phase, region, group;
    int kind; /* StepKind */
    int stream, when;
    int wait[N_STREAMS];
    bool anew, recompute, backward;
    bool adds; /* its kernel may add to what it writes */
    bool tree;
    int64_t chunk;
    int n_piece;
    TablePiece *piece;
    int n_grain;
    const int64_t *grain; /* norm */
    int64_t ps, sent;
    Use *use;
    int n_use;
} TableStep;

typedef struct TableBuffer {
    const char *path;
    int role, program, region; /* program -1: persistent */
    int64_t bytes, offset, sample_bytes;
    int64_t elem; /* bytes of one element */
    int first, last;
    bool persistent, batched, sharded, host;
    int group;
    bool trained; /* a parameter with an optimizer, or its state: each step must change it */
    bool read;    /* by a step or by the host */
    int lo, hi;   /* steps in which it must be live, found by the checks; lo > hi: none */
} TableBuffer;

typedef struct TableProgram {
    bool present;
    int64_t micro_batch, rounds, region_samples, region_parts;
    int first[N_PHASES], count[N_PHASES]; /* as the plan says */
    int lo[N_PHASES], hi[N_PHASES];       /* found from the steps: lo > hi: none */
    int last_step;                        /* -1: no steps */
    bool turns;                           /* its loops may run more than once */
    bool chunks;                          /* so may its regions */
} TableProgram;

typedef struct TableResult { /* what the host reads */
    int buffer, program;
    int64_t at;
    bool each_turn; /* after each round, else when the program ends */
    const char *name;
} TableResult;

typedef struct TableGroup {
    const char *path;
    int n;
    const int64_t *at;
    const int64_t *count;      /* elements of each parameter */
    const char *const *params; /* paths */
    int64_t used, shard;
    int level;
    bool trained, whole_grad, offload;
    int param, grad, grad_shard, host_param, host_grad, n_state;
    int state[4];
} TableGroup;

typedef struct TableBounds {
    int n;
    const BoundOption *option;
    int64_t lambda_num, lambda_den, fixed_ps, fixed_bytes, capacity, lower_ps;
} TableBounds;

typedef struct Table {
    Arena *a;
    Diag *d;
    const char *name; /* "" or "plan.json: " */
    int n_step, n_buffer, n_result, n_group;
    TableStep *step;
    TableBuffer *buffer;
    TableResult *result;
    TableGroup *group;
    TableProgram program[N_PROGRAMS];
    int64_t ranks, shared_by, micro_batch, rounds, batch;
    bool reduced, invariant;
    int64_t arena_bytes, persistent_bytes, max_live_bytes, host_bytes;
    int64_t memory;         /* what they have to fit in; 0 or less: no limit */
    const Machine *machine; /* NULL: none */
    int max_live_step;
    int64_t step_ps, exposed_ps; /* -1: no cost model */
    int64_t slow_compute_ppm;
    TableBounds bounds;
    int told[N_CHECKS];            /* failures of each check */
    bool *first_turn, *other_turn; /* by buffer, while lifetimes are found */
} Table;

enum { MOST_RANKS = 1 << 20 };

/* Tells that a check fails; the first few of each are printed. */
BM_PRINTF(3, 4) void broken(Table *t, Check c, const char *fmt, ...);
const char *the_step(const Table *t, int step);     /* "step 3 (h.0.mlp)" */
const char *the_buffer(const Table *t, int buffer); /* "buffer 7 (h.0.mlp.gelu)" */
static inline int64_t table_rounded(const TableBuffer *b)
{
    return round_up(b->bytes, ARENA_ALIGN);
}
static inline bool is_loop(int phase)
{
    return phase == PHASE_WEIGHT || phase == PHASE_ROUND;
}
static inline bool is_collective(const TableStep *s)
{
    return s->kind == KIND_ALL_GATHER || s->kind == KIND_REDUCE_SCATTER ||
           s->kind == KIND_ALL_REDUCE;
}

/* Turns a loop is walked through: as many as differ (a first, others, a last). */
int table_turns(const Table *t, const TableStep *s);
bool runs_in(const TableStep *s, int turn, int turns);
/* The last step of the region that `step` is in; `step` itself outside of regions. */
int region_end(const Table *t, int step);

/* Do two uses touch the same bytes on some rank? In the buffers' own bytes, or in the arena's. */
bool uses_meet(const Table *t, const Use *x, const Use *y, bool in_arena);

/* Each needs the ones before it to have found nothing wrong. */
bool table_fill(Table *t, const Plan *p); /* false: not even well-formed enough to look further */
void table_fill_file(Table *t, const PlanFile *f);
/* Uses of a collective from its arguments. False: reported. */
bool table_pieces(Table *t, int step, const int64_t *elems, const int64_t *stride);
void check_form(Table *t);   /* V01; finds the programs' lo and hi */
void check_groups(Table *t); /* V04 V22 */
void check_comm(Table *t);   /* V05 V06 V07 */
void check_bounds(Table *t); /* V12 */
void check_flow(Table *t);   /* V02 V03 V08 V09 V10 V20 V21 */
void check_race(Table *t);   /* V14, and V03 V07 V11 between streams */
/* By step: of which steps it reads what, which are called name[step] there. */
void flow_origins(Table *t, const int *name, uint64_t *origin);
void check_memory(Table *t);               /* V11 V13 */
void check_cost(Table *t);                 /* V24 V25 */
void check_reach(Table *t, const Plan *p); /* V12: what kernels can touch */
void check_remat(Table *t, const Plan *p); /* V15 V16 */

#endif
