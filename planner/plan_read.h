/* plan_read.h - plan.json as plain data: what `bmc inspect` and `bmc verify` work on.
 *
 * The reader is strict: every key must be there, none twice, no unknown ones, every word one we
 * write, every number whole and in range, every id that of something. So users of a PlanFile may
 * index without asking. Whether the plan is *right* is plan_file_verify()'s to say. */
#ifndef BM_PLAN_READ_H
#define BM_PLAN_READ_H

#include "planner/words.h"

enum { PLAN_FILE_VERSION = 3 };

/* No byte count in a plan file is larger: sums over all its entries still fit 64 bits. */
#define PLAN_MAX_BYTES ((int64_t)1 << 50)
#define PLAN_MAX_COUNT ((int64_t)1 << 62) /* of operations */

typedef struct Ints {
    int *v;
    int n;
} Ints;
typedef struct Sizes {
    int64_t *v;
    int n;
} Sizes;

typedef struct Texts {
    const char **v;
    int n;
} Texts;

typedef struct Rows { /* n rows of as many numbers as the field says */
    int64_t *v;
    int n;
} Rows;

typedef struct FileTotals {
    int64_t arena_bytes, persistent_bytes, max_live_bytes, host_bytes;
    int64_t step_ps, exposed_ps; /* -1: not predicted */
    int64_t search_work, flops, step_bytes;
} FileTotals;

typedef struct FileBounds {
    int64_t max_live, gap;
    int at_step;
    bool proved;
    Rows options; /* of 4: unit, count, ps, bytes */
    int64_t lambda_num, lambda_den, fixed_ps, fixed_bytes, capacity, lower_ps;
} FileBounds;

typedef struct FileOperand {
    int buffer; /* -1: none */
    int64_t offset;
} FileOperand;

typedef struct FileProgram {
    int kind; /* ProgramKind */
    int64_t micro_batch, rounds, region_samples, region_parts;
    int first[N_PHASES], count[N_PHASES];
    FileOperand norm, logits;
} FileProgram;

typedef struct FileTerm {
    const char *name;
    int program;
    double coef;
    FileOperand num, den;
    bool report, field;
    int dtype; /* of a field; else -1 */
    int64_t count;
} FileTerm;

typedef struct FileInstance {
    const char *path, *block;
    int parent, unit;
} FileInstance;

typedef struct FileInit {
    int kind;
    double a, b;
    const char *file; /* NULL: none */
} FileInit;

typedef struct FileParam {
    const char *path;
    Sizes shape;
    int dtype;
    int64_t bytes;
    FileInit init;
    int optimizer; /* OptKind; -1: not trained */
    bool buffer, frozen;
    int id;     /* of its buffer; -1: the plan has no use for it */
    int group;  /* that has it, from groups; -1: none */
    int64_t at; /* in its group: elements from the start of the flat buffer */
} FileParam;

typedef struct FileState {
    int param, id;
    const char *kind;
} FileState;

typedef struct FileKernel {
    const char *name, *what;
    int kind; /* StepKind */
    bool batched;
    int64_t units, flops, bytes;
    Ints access;   /* FileAccess, by argument */
    Rows segments; /* collectives: of 2: elems, stride */
    int64_t chunk;
    bool tree;
    Rows gaps;    /* zero: of 2: at, count */
    Sizes grains; /* norm: of each group */
} FileKernel;

typedef struct FileBuffer {
    int id, role, dtype, program, region; /* program -1: persistent */
    const char *path;
    int64_t bytes, offset, sample_bytes;
    int first, last;
    bool persistent, batched;
    int group; /* -1: none */
    bool sharded, host;
} FileBuffer;

typedef struct FileStep {
    int id, stream, kind, program, phase, kernel, instance, region;
    const char *path, *what, *at; /* at: "gpt.bm:12:9" or NULL */
    Ints reads, writes, waits, args;
    int wait[N_STREAMS];    /* `waits` by the stream of the step named; -1: none */
    Sizes offsets, by_rank; /* as many as args */
    Sizes ends; /* of args without a batch: bytes from the buffer's start it stays below; as many as
                   args, or none: what it touches ends with the buffer */
    bool backward, recompute, accumulates, anew;
    int when; /* When */
    int64_t flops, bytes, ps, sent;
    int cls;   /* TimeClass of `ps`; -1: no machine */
    int group; /* -1: none */
} FileStep;

typedef struct FileGroup { /* a FlatGroup */
    int id, unit, level;
    int optimizer; /* -1: frozen */
    const char *path, *why;
    Ints params;
    Sizes at; /* elements, one for each of params */
    int64_t used, shard;
    bool whole_grad, offload;
    int param_buffer, grad_buffer, grad_shard_buffer, host_param_buffer, host_grad_buffer;
    Ints state_buffers; /* at most 4 */
} FileGroup;

/* What the planner had chosen: the rest of the file is the plan for it, so it tells what of the
 * same keys a person changed since. */
typedef struct FileMade {
    const char *hash;
    int64_t ranks, micro_batch, shared_by, bucket_bytes;
    bool overlap;
    int lead;
    Ints levels;     /* Level, by group */
    Texts recompute; /* by entry of the list: "none", "all" or the numbers kept */
} FileMade;

typedef struct FileRecompute { /* of a unit of the training program */
    int unit;
    const char *path;
    int rule;   /* RecomputeRule; RECOMPUTE_AUTO: keeps `kept` */
    Sizes kept; /* numbers of ops */
    Texts ops;  /* what they compute; none: as in the entry before */
} FileRecompute;

typedef struct FileTry {
    int64_t micro_batch, rounds, arena_bytes, host_bytes;
    int64_t step_ps, exposed_ps;            /* -1: not predicted */
    const char *zero, *recompute, *overlap; /* NULL: not said */
    bool fits;
    const char *why; /* NULL: the one chosen */
} FileTry;

typedef struct FileComm { /* each collective once, in the order of the steps */
    int kind;             /* StepKind */
    int step, when;
    const char *path;
    int64_t bytes; /* this rank sends in one run */
    int64_t times; /* it runs in one optimizer step, or one pass of its program */
} FileComm;

typedef struct PlanFile {
    Arena *arena;
    const char *name; /* the file, as given */
    const char *text; /* what it holds */
    size_t n_text;
    const char *hash, *model, *file;
    int64_t ranks, micro_batch, rounds, batch, grain_rows, memory; /* memory -1: no limit */
    bool below_grain, fused, overlap;
    int64_t shared_by, bucket_bytes;
    int reduced, invariant, lead; /* the first two as in Plan */
    const Machine *machine;       /* NULL: none */
    FileMade made;
    FileTotals totals;
    FileBounds bounds;
    int program_of[N_PROGRAMS]; /* index into program, or -1 */
    int n_program, n_term, n_instance, n_param, n_state, n_kernel, n_buffer, n_step, n_try, n_comm;
    int n_group, n_recompute;
    FileProgram *program;
    FileTerm *term;
    FileInstance *instance;
    FileParam *param;
    FileState *state;
    FileKernel *kernel;
    FileBuffer *buffer;
    FileStep *step;
    FileTry *tried;
    FileComm *comm;
    FileGroup *group;
    FileRecompute *recompute;
} PlanFile;

/* NULL: reported. `name` is only for messages. */
PlanFile *plan_read_text(Arena *a, const char *name, const char *text, size_t n, Diag *d);
/* A plan.json, or a folder that holds one. */
const Source *plan_source(Arena *a, const char *path, Diag *d);
PlanFile *plan_read(Arena *a, const char *path, Diag *d);

#endif
