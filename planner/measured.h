/* measured.h - a profile made of what bmrt_probe measured (runtime/probe.c), and how. */
#ifndef BM_MEASURED_H
#define BM_MEASURED_H

#include "planner/machine.h"

/* `text` is what the probe printed. NULL: reported; it is not what our probe prints. */
const Machine *machine_measured(Arena *a, const char *text, size_t n, Diag *d);

#endif
