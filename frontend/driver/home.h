/* home.h - where bmc itself lies, and the runtime it links trainers with.
 *
 * Everything is relative to the running program (/proc/self/exe), so an installed tree may be
 * moved.
 */
#ifndef BM_HOME_H
#define BM_HOME_H

#include "frontend/base/arena.h"

typedef struct Home {
    const char *program;      /* this executable */
    const char *library;      /* libbmrt.a; NULL: not found */
    const char *mpi;          /* libbmrt_mpi.a beside it; NULL: bmc was built without MPI */
    const char *include;      /* the folder with bmrt.h; NULL: not found */
    const char *looked_in[2]; /* for the message */
} Home;

Home home_find(Arena *a);

#endif
