/* options.h - the command line of bmc.
 *
 * One table lists the commands and one the options (options.c); parsing, `--help` and the nearest
 * name for a slip all read these tables. A wrong command line is reported in two lines on stderr
 * and gives exit code 2. */
#ifndef BM_OPTIONS_H
#define BM_OPTIONS_H

#include "frontend/base/vec.h"

typedef enum Command {
    CMD_COMPILE,
    CMD_RUN,
    CMD_PLAN,
    CMD_CHECK,
    CMD_INSPECT,
    CMD_VERIFY,
    CMD_PRELUDE,
    CMD_DOCTOR,
    CMD_CALIBRATE,
    N_COMMANDS
} Command;

typedef enum EmitKind { EMIT_AST, EMIT_GRAPH, EMIT_PLAN, EMIT_C, EMIT_JSON, N_EMITS } EmitKind;

typedef struct Emit { /* --emit=KIND[=PATH] */
    EmitKind kind;
    const char *path; /* NULL: standard output */
} Emit;

typedef struct Defined { /* -D name=value */
    const char *name, *value;
} Defined;

typedef enum InspectView {
    VIEW_SUMMARY,
    VIEW_PARAMS,
    VIEW_MEMORY,
    VIEW_TIMELINE,
    VIEW_JSON,
    VIEW_DOT,
    VIEW_COMM,
    VIEW_RECOMPUTE,
    VIEW_WHY,
    VIEW_TRACE,
    VIEW_HTML,
    VIEW_DIFF,
} InspectView;

typedef struct Options {
    Command command;
    const char *file; /* the operand: a model, a plan.json or a folder; NULL when it takes none */
    const char *out;  /* -o; NULL when not given */
    int64_t memory;   /* bytes; 0: not given */
    int64_t micro_batch, ranks, threads; /* 0: not given */
    int64_t rank;                        /* of VIEW_PARAMS and VIEW_TRACE: whose part is shown */
    const char *machine;                 /* profile by name or file; NULL: not given */
    const char *plan;                    /* plan.json to carry out; NULL: one is made */
    bool no_fuse, debug;
    InspectView view;
    const char *view_name; /* as given: "--params"; NULL: the first page */
    const char *view_to;   /* the file it is written into; NULL: standard output */
    const char *why;       /* VIEW_WHY: whose reason */
    const char *other;     /* VIEW_DIFF: the second operand */
    bool json;             /* of commands other than inspect: for programs */
    VEC(Emit) emit;
    VEC(Defined) define;
    char **rest; /* after `--`: the trainer's options */
    int n_rest;
} Options;

/* False: the program is done, with *exit_code (help was printed, or a mistake was reported). */
bool options_parse(Arena *a, Options *o, int argc, char **argv, int *exit_code);

/* Two lines on stderr, `bmc: what` and `help: ...`; returns EXIT_USAGE. `help` may be NULL. */
BM_PRINTF(2, 3) int usage_error(const char *help, const char *fmt, ...);

/* "2GiB", "1.5 GB", "800M", "4096": bytes. False when it is none, or does not fit. */
bool parse_size(const char *text, int64_t *bytes);

#endif
