/* measured.h - a profile made of what bmrt_probe and bmrt_probe_link measured (runtime/). */
#ifndef BM_MEASURED_H
#define BM_MEASURED_H

#include "planner/machine.h"

/* What the programs printed; `link` NULL: links between ranks are derived from copies. NULL:
 * reported; it is not what our probes print. */
const Machine *machine_measured(Arena *a, const char *probe, const char *link, Diag *d);

#endif
