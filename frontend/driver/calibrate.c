#include "frontend/driver/calibrate.h"

#include "frontend/driver/file.h"
#include "frontend/driver/launch.h"
#include "frontend/driver/spawn.h"

#include <string.h>

static char *beside_library(Arena *a, const Home *h, const char *name)
{
    size_t folder = (size_t)(strrchr(h->library, '/') - h->library);
    return arena_printf(a, "%.*s/%s", (int)folder, h->library, name);
}

static const char *run_link(Arena *a, const Home *h, int64_t ranks, Calibration *c)
{
    char *probe = beside_library(a, h, "bmrt_probe_link");
    const char *mpirun = find_mpirun(a);
    if (ranks < 2 || !mpirun || !file_executable(probe))
        return NULL;
    const char *version = spawn_line(a, arena_printf(a, "%s --version", mpirun));
    bool open_mpi = version && strstr(version, "Open MPI");
    return spawn_read(a, launch_words(a, mpirun, open_mpi, probe, ranks, NULL, 0), &c->link);
}

const char *calibrate_run(Arena *a, const Home *h, int64_t threads, int64_t ranks, Calibration *c)
{
    *c = (Calibration){0};
    if (!h->library)
        return arena_printf(a,
                            "libbmrt.a and bmrt_probe are neither in %s nor in %s: build or "
                            "install them with bmc",
                            h->looked_in[0], h->looked_in[1]);
    char *probe = beside_library(a, h, "bmrt_probe");
    if (!file_executable(probe))
        return arena_printf(a, "%s is not there: build or install it with bmc", probe);
    char *word[] = {probe, arena_printf(a, "%lld", (long long)threads),
                    arena_printf(a, "%lld", (long long)(ranks ? ranks : 1)), NULL};
    const char *why = spawn_read(a, word, &c->probe);
    return why ? why : run_link(a, h, ranks, c);
}
