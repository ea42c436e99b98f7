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
    int buffer;
    bool read, write;
    bool add;   /* read and written, but overwritten in the first turn: an accumulator */
    int64_t at; /* bytes from the buffer's start */
} Use;

typedef struct TableStep {
    const char *path;
    int program, phase, region;
    Use *use;
    int n_use;
} TableStep;

typedef struct TableBuffer {
    const char *path;
    int role, program, region; /* program -1: persistent */
    int64_t bytes, offset, sample_bytes;
    int first, last;
    bool persistent, batched;
    bool trained; /* a parameter with an optimizer, or its state: each step must change it */
    bool read;    /* by a step or by the host */
    int lo, hi;   /* steps in which it must be live, found by the checks; lo > hi: none */
} TableBuffer;

typedef struct TableProgram {
    bool present;
    int64_t micro_batch, rounds, region_samples;
    int first[N_PHASES], count[N_PHASES]; /* as the plan says */
    int lo[N_PHASES], hi[N_PHASES];       /* found from the steps: lo > hi: none */
    int last_step;                        /* -1: no steps */
    bool turns;                           /* its loops may run more than once */
    bool chunks;                          /* so may its regions */
} TableProgram;

typedef struct TableResult { /* what the host reads */
    int buffer, program;
    bool each_turn; /* after each round, else when the program ends */
    const char *name;
} TableResult;

typedef struct Table {
    Arena *a;
    Diag *d;
    const char *name; /* "" or "plan.json: " */
    int n_step, n_buffer, n_result;
    TableStep *step;
    TableBuffer *buffer;
    TableResult *result;
    TableProgram program[N_PROGRAMS];
    int64_t ranks, micro_batch, rounds, batch;
    int64_t arena_bytes, persistent_bytes, max_live_bytes;
    int max_live_step;
    int told[N_CHECKS]; /* failures of each check */
} Table;

/* Tells that a check fails; the first few of each are printed. */
BM_PRINTF(3, 4) void broken(Table *t, Check c, const char *fmt, ...);
const char *the_step(const Table *t, int step);     /* "step 3 (h.0.mlp)" */
const char *the_buffer(const Table *t, int buffer); /* "buffer 7 (h.0.mlp.gelu)" */
static inline int64_t table_rounded(const TableBuffer *b)
{
    return round_up(b->bytes, ARENA_ALIGN);
}

/* Each needs the ones before it to have found nothing wrong. */
bool table_fill(Table *t, const Plan *p); /* false: not even well-formed enough to look further */
void table_fill_file(Table *t, const PlanFile *f);
void check_form(Table *t);                 /* V01; finds the programs' lo and hi */
void check_bounds(Table *t);               /* V12 */
void check_flow(Table *t);                 /* V02 V09 V10 V20 */
void check_memory(Table *t);               /* V11 V13 */
void check_reach(Table *t, const Plan *p); /* V12: what kernels can touch */

#endif
