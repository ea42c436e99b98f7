/* words.h - the words of plan.json for our enums: written by plan_json.c, read by plan_read.c. */
#ifndef BM_PLANNER_WORDS_H
#define BM_PLANNER_WORDS_H

#include "planner/plan.h"

typedef struct Words {
    const char *const *word; /* by enumerator */
    int n;
} Words;

extern const Words role_words;       /* BufferRole: "param" "state" ... */
extern const Words phase_words;      /* Phase: "pre" "weight" ... */
extern const Words program_words;    /* ProgramKind: "train" "eval" "sample" */
extern const Words dtype_words;      /* DType: "f32" "i32" "bool" "bf16" "f16"; DT_ERROR has none */
extern const Words init_words;       /* InitKind */
extern const Words opt_words;        /* OptKind */
extern const Words host_words;       /* HostKind */
extern const Words kind_words;       /* what a step's kernel is: StepKind */
extern const Words stream_words;     /* Stream: "compute" "comm" "copy" */
extern const Words when_words;       /* When: "always" "first" "last" */
extern const Words level_words;      /* Level: "0" "1" "2" "3" "once" */
extern const Words keep_words;       /* RecomputeRule: "kept" "none" "all" */
extern const Words accumulate_words; /* Plan.reduced: "local" "reduced" */
extern const Words reduce_words;     /* Plan.invariant: "ordered" "invariant" */
extern const Words class_words;      /* TimeClass: "math" "memory" "net" "launch" */
extern const Words access_words;     /* FileAccess: "read" "write" "update" "add" */

typedef enum StepKind {
    KIND_MAP,    /* elementwise */
    KIND_ROW,    /* rows with reductions */
    KIND_COLUMN, /* sums over rows, as partials */
    KIND_FOLD,   /* partials into an accumulator */
    KIND_BATCH,  /* samples into an accumulator */
    KIND_SCATTER,
    KIND_ATTENTION,
    KIND_ATTENTION_GRAD,
    KIND_CUMSUM,
    KIND_TOP_K,
    KIND_GEMM,
    KIND_SUM_SQUARES,
    KIND_NORM,
    KIND_ZERO,
    KIND_ALL_GATHER,
    KIND_REDUCE_SCATTER,
    KIND_ALL_REDUCE,
    KIND_COPY,
    KIND_TREE,
    KIND_EXACT_SUM,
    KIND_EXACT_TOTAL,
    N_STEP_KINDS
} StepKind;

typedef enum FileAccess { /* what a kernel does with an argument */
                          ACCESS_READ,
                          ACCESS_WRITE,
                          ACCESS_UPDATE, /* reads it and writes it */
                          ACCESS_ADD,    /* adds to it, or overwrites it in the first round */
                          N_ACCESSES
} FileAccess;

StepKind step_kind(const Kernel *k);
bool kernel_is_collective(const Kernel *k);
bool kind_is_collective(StepKind k);
/* Reads an argument beyond what it writes there itself: inputs, accumulators, updates in place. */
bool kernel_reads(const Kernel *k, int arg);
/* Adds to what the argument held, or overwrites it when `first` is set. */
bool kernel_accumulates(const Kernel *k, int arg);

int word_find(Words w, const char *text); /* -1: none of them */

#endif
