#include "frontend/driver/home.h"

#include "build.h"
#include "frontend/driver/file.h"

#include <string.h>
#include <unistd.h>

static const char *this_program(Arena *a)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0 || n == (ssize_t)sizeof path)
        die("cannot find the program's own path in /proc/self/exe");
    return arena_strndup(a, path, (size_t)n);
}

Home home_find(Arena *a)
{
    Home h = {.program = this_program(a)};
    const char *slash = strrchr(h.program, '/');
    const char *here = arena_strndup(a, h.program, (size_t)(slash - h.program));
    struct {
        const char *library, *include;
    } place[] = {
        /* next to bmc: the build tree, or a folder somebody copied */
        {arena_printf(a, "%s", here), arena_printf(a, "%s/include", here)},
        /* PREFIX/bin/bmc */
        {arena_printf(a, "%s/../%s", here, BM_LIBDIR),
         arena_printf(a, "%s/../%s", here, BM_INCLUDEDIR)},
    };
    for (int i = 0; i < countof(place); i++) {
        const char *library = arena_printf(a, "%s/libbmrt.a", place[i].library);
        const char *include = place[i].include;
        if (i == 0 && file_exists(arena_printf(a, "%s/bmrt.h", here)))
            include = here;
        h.looked_in[i] = place[i].library;
        if (!file_exists(library) || !file_exists(arena_printf(a, "%s/bmrt.h", include)))
            continue;
        h.library = library;
        h.include = include;
        const char *mpi = arena_printf(a, "%s/libbmrt_mpi.a", place[i].library);
        h.mpi = file_exists(mpi) ? mpi : NULL;
        return h;
    }
    return h;
}
