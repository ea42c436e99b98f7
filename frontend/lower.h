/* lower.h - from the tree of a file to the model: names looked up, shapes checked, blocks unrolled.
 *
 * lower_model() reads the file at `path`, the files it uses and the prelude, instantiates the model
 * (its members once, its `forward` twice: with `training` true for m->train, false for m->eval) and
 * fills Model up to what training_graph() and evaluation_graph() add. NULL: errors were reported.
 *
 * The pass is split by idea: lower.c files, `use`, lets; lower_const.c values the compiler
 * computes; lower_block.c instances; lower_stmt.c and lower_expr.c the body of `forward`;
 * lower_call.c calls and their arguments; lower_ops_*.c the operators of the language;
 * lower_settings.c, lower_plan.c and lower_pattern.c the sections `train` and `plan`. */
#ifndef BM_LOWER_H
#define BM_LOWER_H

#include "frontend/graph/model.h"

/* -D name=value: replaces a `let` of the main file. */
typedef struct Define {
    const char *name, *value;
} Define;

Model *lower_model(Arena *a, Sources *s, const char *path, const Define *define, int n_define,
                   Diag *d);

/* Puts the numbers and names that `flags` says in the place of the file's, and checks what only
 * both together tell. False: reported. */
bool plan_request_settle(Model *m, const PlanRequest *flags, Diag *d);

/* The prelude's text, as `bmc prelude` prints it. */
const char *prelude_text(void);

#endif
