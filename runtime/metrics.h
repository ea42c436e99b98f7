/* metrics.h - metrics.jsonl: one JSON object a line, written whole and at once.
 *
 * The first line describes the run; then {"step":..,"loss":..,"grad_norm":..,"lr":..,"tok_s":..,
 * "dt_ms":.., "exposed_ms":.. (kernels waited for collectives or copies), reports} per step
 * (steps count from 1), {"step":..,"valid_loss":..,"valid_NAME":..}
 * per evaluation, and a last line with "event". A value that is no number is null, and
 * "nonfinite":"nan" or "inf" follows. */
#ifndef BMRT_METRICS_H
#define BMRT_METRICS_H

#include "runtime/base.h"

typedef struct bmrt_metrics {
    int fd; /* -1: no file is written */
    const char *path;
    bmrt_text line;
    const char *nonfinite; /* the first one of this line */
} bmrt_metrics;

/* A new, empty file; `path` NULL: nothing is written. `room` bytes for the longest line. */
BmStatus bmrt_metrics_open(bmrt_metrics *f, const char *path, size_t room, bmrt_error *e);
void bmrt_metrics_close(bmrt_metrics *f);

/* One line: begin, fields in order, end. */
void bmrt_metrics_begin(bmrt_metrics *f);
void bmrt_metrics_int(bmrt_metrics *f, const char *name, int64_t v);
void bmrt_metrics_real(bmrt_metrics *f, const char *name, double v); /* as precise as a `real` */
void bmrt_metrics_text(bmrt_metrics *f, const char *name, const char *v);
BmStatus bmrt_metrics_end(bmrt_metrics *f, bmrt_error *e);

#endif
