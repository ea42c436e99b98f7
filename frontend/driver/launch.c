#define _GNU_SOURCE /* sched_getaffinity */
#include "frontend/driver/launch.h"

#include "frontend/base/vec.h"
#include "frontend/driver/file.h"
#include "frontend/driver/spawn.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

typedef VEC(char *) Words;

int64_t cores_here(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? n : 1;
}

const char *find_mpirun(Arena *a)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        const char *file = arena_printf(a, "%.*s/mpirun", (int)n, path);
        if (n > 0 && file_executable(file) && !is_folder(file))
            return file;
        path += n + (path[n] == ':');
    }
    return NULL;
}

static void add(Arena *a, Words *w, const char *word)
{
    vec_push(a, w, arena_strdup(a, word));
}

static bool says_threads(char *const rest[], int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(rest[i], "--threads") || !strncmp(rest[i], "--threads=", 10))
            return true;
    return false;
}

char **launch_words(Arena *a, const char *mpirun, bool open_mpi, const char *trainer, int64_t ranks,
                    char *const rest[], int n_rest)
{
    Words w = {0};
    if (ranks > 1) {
        add(a, &w, mpirun);
        if (open_mpi && geteuid() == 0)
            add(a, &w, "--allow-run-as-root");
        if (open_mpi) { /* always: it counts physical cores, and refuses one rank more */
            add(a, &w, "--oversubscribe");
            add(a, &w, "--bind-to"); /* else all threads of a rank share one core */
            add(a, &w, "none");
        }
        add(a, &w, "-n");
        add(a, &w, arena_printf(a, "%" PRId64, ranks));
    }
    add(a, &w, trainer);
    if (ranks > 1 && !says_threads(rest, n_rest)) {
        int64_t threads = cores_here() / ranks;
        add(a, &w, "--threads");
        add(a, &w, arena_printf(a, "%" PRId64, threads > 1 ? threads : 1));
    }
    for (int i = 0; i < n_rest; i++)
        add(a, &w, rest[i]);
    vec_push(a, &w, NULL);
    return w.v;
}

const char *launch(Arena *a, const char *trainer, int64_t ranks, char *const rest[], int n_rest)
{
    const char *mpirun = ranks > 1 ? find_mpirun(a) : NULL;
    if (ranks > 1 && !mpirun)
        return "mpirun is not there";
    const char *version = mpirun ? spawn_line(a, arena_printf(a, "%s --version", mpirun)) : NULL;
    bool open_mpi = version && strstr(version, "Open MPI");
    return become(a, launch_words(a, mpirun, open_mpi, trainer, ranks, rest, n_rest));
}
