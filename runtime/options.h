/* options.h - the trainer's command line: one table gives the parser, --help and the nearest name.
 */
#ifndef BMRT_OPTIONS_H
#define BMRT_OPTIONS_H

#include "runtime/base.h"

typedef struct bmrt_options {
    int64_t steps;      /* -1: the model's */
    int64_t stop_after; /* -1: not said */
    int64_t seed;       /* -1: the model's */
    int64_t threads;    /* 0: one per core */
    int64_t log_every;
    int64_t eval_every;    /* -1: the model's */
    int64_t sample;        /* tokens to generate; 0: none */
    int64_t inspect_every; /* 0: not said */
    int64_t top_k;         /* 0: all */
    double temperature;    /* 0: always the most likely token */
    const char *prompt, *data, *valid, *init, *save, *metrics, *log_samples, *predictions, *inspect;
    int64_t rank, world, local_rank, local_world; /* -1: not said */
    bool help, version;
} bmrt_options;

/* Defaults, then argv[1..]. Strings point into argv. BMRT_USAGE with a message on anything that is
 * not understood. */
BmStatus bmrt_options_parse(bmrt_options *o, int argc, char **argv, bmrt_error *e);

/* What ranks of one run must agree on: option i as a text ("" where each rank has its own), false
 * beyond the last. */
bool bmrt_option_text(const bmrt_options *o, int i, bmrt_text *out);

/* What --help prints; `name` is the model's. */
void bmrt_options_help(bmrt_text *out, const char *name);

#endif
