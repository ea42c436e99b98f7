/* emit_c.h - shared by the files that print trainer.c. Private to codegen. */
#ifndef BM_EMIT_C_H
#define BM_EMIT_C_H

#include "codegen/blocks.h"
#include "codegen/emit.h"

typedef struct Emit {
    const Plan *p;
    Arena *a;
    const int *same;
    Map *names;         /* of functions and tables */
    Map *at;            /* names of buffers in the memory map */
    const char **label; /* by buffer: its name there, once it was used */
    VEC(int) mapped;    /* buffers of the memory map, in order of use */
    StrBuf body;        /* functions, printed after the map they need */
    bool debug;         /* tables for BMRT_CHECK and BMRT_POISON */
    bool watched;       /* some step makes a value that can be looked at */
    bool watched_chunk; /* some step of a region does */
    bool watched_part;  /* of one in parts of a sample */
} Emit;

/* The place of a buffer as C: "AT_wte_weight", which enters the memory map. */
const char *buffer_label(Emit *e, int buffer);

/* "text" as a C string, NULL as NULL. */
void c_string(StrBuf *s, const char *text);

/* emit_step.c: steps as calls. The function around them has r, nb and, with a class of several
 * rows, `at`; in a region `s`, the samples before the chunk. */
typedef struct Body {
    bool nb, draw, s; /* what the text uses */
} Body;
void emit_step(Emit *e, StrBuf *out, Body *uses, const Blocks *b, const Run *r, int step);

/* streams.c: the other streams' steps of a program; into `init` what names them. */
void emit_streams(const Emit *e, StrBuf *out, StrBuf *init, ProgramKind g);

/* watch.c: bmrt_model.watch. */
void emit_watches(Emit *e, StrBuf *out, StrBuf *init);

/* debug.c: of a program, of the model; nothing unless `debug`. */
void emit_debug_program(const Emit *e, StrBuf *out, StrBuf *init, ProgramKind g);
void emit_debug(const Emit *e, StrBuf *out, StrBuf *init);

/* An element's type as the runtime calls it. */
const char *dtype_word(DType t);

/* tables.c: what the runtime must know of the model, and main(). */
void emit_tables(Emit *e, StrBuf *out);

#endif
