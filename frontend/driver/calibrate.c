#include "frontend/driver/calibrate.h"

#include "frontend/driver/file.h"
#include "frontend/driver/spawn.h"

#include <string.h>

const char *calibrate_probe(Arena *a, const Home *h, int64_t threads, int64_t ranks,
                            const char **text)
{
    if (!h->library)
        return arena_printf(a,
                            "libbmrt.a and bmrt_probe are neither in %s nor in %s: build or "
                            "install them with bmc",
                            h->looked_in[0], h->looked_in[1]);
    size_t folder = (size_t)(strrchr(h->library, '/') - h->library);
    char *probe = arena_printf(a, "%.*s/bmrt_probe", (int)folder, h->library);
    if (!file_executable(probe))
        return arena_printf(a, "%s is not there: build or install it with bmc", probe);
    char *word[] = {probe, arena_printf(a, "%lld", (long long)threads),
                    arena_printf(a, "%lld", (long long)(ranks ? ranks : 1)), NULL};
    return spawn_read(a, word, text);
}
