/* launch.h - starting a trainer here: alone, or as the ranks of one world under mpirun. */
#ifndef BM_LAUNCH_H
#define BM_LAUNCH_H

#include "frontend/base/arena.h"

/* Cores this process may use, as the runtime counts them. */
int64_t cores_here(void);

/* What starts ranks here: "/usr/bin/mpirun", or NULL. */
const char *find_mpirun(Arena *a);

/* The words that start `ranks` ranks of `trainer`, NULL-terminated, `rest` for the trainer at the
 * end. `open_mpi`: mpirun is Open MPI's. Each rank gets its share of the cores as threads, unless
 * `rest` says --threads. */
char **launch_words(Arena *a, const char *mpirun, bool open_mpi, const char *trainer, int64_t ranks,
                    char *const rest[], int n_rest);

/* Becomes the trainer (one rank), or waits for mpirun: the trainer's exit code. -1: it could not be
 * started, *why says why.
 *
 * mpirun answers SIGINT by killing its ranks within a second, whatever they are writing. So the
 * first SIGINT or SIGTERM to us (Ctrl-C) goes to the ranks as SIGUSR1, which Open MPI passes on and
 * the trainer takes for "stop after this step"; the second ends mpirun. */
int launch(Arena *a, const char *trainer, int64_t ranks, char *const rest[], int n_rest,
           const char **why);

#endif
