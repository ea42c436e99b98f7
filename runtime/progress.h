/* progress.h - what a person sees while the trainer runs.
 *
 * On a terminal one line is rewritten in place, and stays every `every` steps; elsewhere only those
 * lines are written. NO_COLOR and TERM=dumb are respected. */
#ifndef BMRT_PROGRESS_H
#define BMRT_PROGRESS_H

#include "runtime/base.h"

typedef struct bmrt_progress {
    int fd;
    bool terminal, colour;
    bool open;    /* the terminal's last line is unfinished */
    double shown; /* when it was last rewritten */
    int64_t every, first, steps, stop;
    double started;   /* after the first step, which is not typical */
    const char *unit; /* "tok/s", "samp/s" */
} bmrt_progress;

typedef struct bmrt_step {
    int64_t done; /* steps, this one included */
    double loss, norm, lr, rate;
    bool has_norm;
} bmrt_step;

/* Steps first+1..stop of `steps` are about to run. */
void bmrt_progress_start(bmrt_progress *p, int fd, int64_t every, int64_t first, int64_t steps,
                         int64_t stop, const char *unit);
void bmrt_progress_step(bmrt_progress *p, const bmrt_step *s);
/* A line of its own. */
void bmrt_progress_say(bmrt_progress *p, const char *format, ...) BMRT_PRINTF(2, 3);
/* Ends an unfinished line. */
void bmrt_progress_stop(bmrt_progress *p);

/* "182.4k", "41.8M" */
const char *bmrt_short_number(char *buf, size_t cap, double v);

/* "2.4127", or "3.1e-05" where that says more. */
void bmrt_add_loss(bmrt_text *t, double loss);

#endif
