/* calibrate.h - runs bmrt_probe, which lies beside libbmrt.a and measures this machine. */
#ifndef BM_CALIBRATE_H
#define BM_CALIBRATE_H

#include "frontend/driver/home.h"

/* What it printed, in *text; 0 threads: a rank's share of the cores, 0 ranks: 1. NULL, or the
 * reason why there is nothing. */
const char *calibrate_probe(Arena *a, const Home *h, int64_t threads, int64_t ranks,
                            const char **text);

#endif
