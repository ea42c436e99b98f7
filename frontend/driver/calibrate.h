/* calibrate.h - runs the programs that measure this machine: they lie beside libbmrt.a. */
#ifndef BM_CALIBRATE_H
#define BM_CALIBRATE_H

#include "frontend/driver/home.h"

typedef struct Calibration { /* what they printed */
    const char *probe;
    const char *link; /* NULL: one rank, or no MPI */
} Calibration;

/* 0 threads: a rank's share of the cores, 0 ranks: 1. NULL, or the reason why there is nothing. */
const char *calibrate_run(Arena *a, const Home *h, int64_t threads, int64_t ranks, Calibration *c);

#endif
