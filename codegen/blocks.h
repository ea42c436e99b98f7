/* blocks.h - steps into functions: runs of steps of one block instance, and the classes of runs
 * that one function serves.
 *
 * Two runs are of one class when they launch the same kernels on the same pattern of operands.
 * Operands that are the same in all runs of a class are written into the function; the others come
 * from a table with one row per run, in the order of execution. */
#ifndef BM_BLOCKS_H
#define BM_BLOCKS_H

#include "planner/plan.h"

typedef struct Run { /* steps of the compute stream in a row, of one phase, instance and region */
    VEC(int) step;   /* ids: steps of other streams may lie between */
    int unit;        /* index into Plan.instance; 0: of no block */
    int region;      /* 0: none */
    int cls, row;
} Run;

typedef struct Column { /* what differs: an offset into the arena, or the key of a draw */
    const char *name;
    bool key;
    uint64_t *value; /* by row */
} Column;

typedef struct RunClass {
    const char *name; /* of its function: "layer_forward" */
    int n_row;
    int *run; /* by row: index of the run */
    VEC(Column) column;
    int **column_of; /* [step][argument, then keys, then waits]: column, or -1 where all agree */
} RunClass;

typedef struct Blocks { /* of one phase of one program */
    const Plan *p;
    const int *same; /* kernel_same() */
    ProgramKind program;
    Phase phase;
    VEC(Run) run;
    VEC(RunClass) cls;
} Blocks;

Blocks blocks_make(Arena *a, const Plan *p, const int *same, ProgramKind program, Phase phase,
                   Map *names);

const Step *run_step(const Blocks *b, const Run *r, int i);
/* Does another stream work in the phase too? */
bool phase_has_streams(const Plan *p, ProgramKind program, Phase phase);

/* The parameter whose place in a flat buffer an operand is: "h.3.attn.c_attn.weight", of gradients
 * with ".grad" behind it; NULL: it is no such place. */
const char *flat_path(Arena *a, const Plan *p, const Operand *o);

/* In a region: how far an operand that outlives its chunks moves from sample to sample, or from
 * part to part of one, in bytes. */
int64_t operand_moves(const Plan *p, const Step *s, int arg);

/* "h.3" -> "h.*", "enc.2.mlp" -> "enc.*.mlp" */
const char *unit_pattern(Arena *a, const char *path);
/* A C identifier's tail from a path: "ln_1.weight" -> "ln_1_weight". */
const char *path_word(Arena *a, const char *path);
/* `word`, or word_2, word_3, ... when it was given before. */
const char *unique_word(Arena *a, Map *given, const char *word);

#endif
