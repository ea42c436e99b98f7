#include "frontend/driver/doctor.h"

#include "build.h"
#include "frontend/base/map.h"
#include "frontend/base/strbuf.h"
#include "frontend/driver/file.h"
#include "frontend/driver/launch.h"
#include "frontend/driver/spawn.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Doctor {
    Arena *arena;
    const Home *home;
    const char *cc;
    Map *missing; /* packages the CPU target needs, in order */
} Doctor;

static void row(const char *name, const char *state, const char *fact)
{
    printf("  %-14s %-8s %s\n", name, state, fact);
}

/* ---- the machine ---- */

/* The number after `key` in a file of "key: n kB" lines, in bytes; -1: not there. */
static int64_t meminfo(Arena *a, const char *key)
{
    const char *text;
    size_t n;
    if (file_read(a, "/proc/meminfo", &text, &n))
        return -1;
    const char *at = strstr(text, key);
    return at ? strtoll(at + strlen(key), NULL, 10) * 1024 : -1;
}

/* A control group may allow less than the machine has. */
static int64_t memory_limit(Arena *a)
{
    const char *text;
    size_t n;
    if (file_read(a, "/sys/fs/cgroup/memory.max", &text, &n) || *text < '0' || *text > '9')
        return -1;
    return strtoll(text, NULL, 10);
}

static const char *instructions(Arena *a)
{
    StrBuf s = strbuf_new(a);
#if defined(__x86_64__)
    strbuf_add(&s, "x86-64");
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        strbuf_add(&s, " avx2");
    if (__builtin_cpu_supports("fma"))
        strbuf_add(&s, " fma");
    if (__builtin_cpu_supports("avx512f"))
        strbuf_add(&s, " avx512f");
#elif defined(__aarch64__)
    strbuf_add(&s, "aarch64");
#else
    strbuf_add(&s, "unknown");
#endif
    return s.text;
}

static const char *huge_pages(Arena *a)
{
    const char *text;
    size_t n;
    if (file_read(a, "/sys/kernel/mm/transparent_hugepage/enabled", &text, &n))
        return "not offered";
    const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;
    return close ? arena_strndup(a, open + 1, (size_t)(close - open - 1)) : "unknown";
}

static void machine(Doctor *d)
{
    Arena *a = d->arena;
    StrBuf memory = strbuf_new(a);
    int64_t limit = memory_limit(a);
    strbuf_bytes(&memory, meminfo(a, "MemTotal:"));
    strbuf_add(&memory, ", free ");
    strbuf_bytes(&memory, meminfo(a, "MemAvailable:"));
    if (limit > 0) {
        strbuf_add(&memory, ", this group may use ");
        strbuf_bytes(&memory, limit);
    }
    printf("machine\n");
    row("cores", "", arena_printf(a, "%" PRId64, cores_here()));
    row("instructions", "", instructions(a));
    row("memory", "", memory.text);
    row("huge pages", "", huge_pages(a));
}

/* ---- what the CPU target needs ---- */

static void need(Doctor *d, const char *name, bool ok, const char *fact, const char *package)
{
    row(name, ok ? "ok" : "MISSING", fact);
    if (!ok && package)
        map_put(d->missing, package, NULL);
}

/* True when the C compiler builds a program of this text with these libraries. */
static bool builds(const Doctor *d, const char *text, const char *libraries)
{
    Arena *a = d->arena;
    char *out = arena_strdup(a, "/tmp/bmc-doctor-XXXXXX");
    int fd = mkstemp(out);
    if (fd < 0)
        die("cannot make a file in /tmp");
    close(fd);
    const char *words =
        arena_printf(a, "%s -std=c11 -x c - -o %s -x none %s", d->cc, out, libraries);
    bool ok = spawn_quiet(a, words, text) == 0;
    unlink(out);
    return ok;
}

static void cpu_target(Doctor *d)
{
    Arena *a = d->arena;
    printf("CPU target\n");
    char *version = spawn_line(a, arena_printf(a, "%s --version", d->cc));
    bool cc =
        version &&
        builds(d, "#include <math.h>\n#include <stdio.h>\nint main(void) { return 0; }\n", "-lm");
    need(d, "C compiler", cc,
         cc        ? version
         : version ? arena_printf(a, "`%s` does not build a program", d->cc)
                   : arena_printf(a, "`%s` is not there", d->cc),
         "gcc libc6-dev");
    const Home *h = d->home;
    need(d, "runtime", h->library != NULL,
         h->library ? h->library
                    : arena_printf(a, "no libbmrt.a with bmrt.h in %s or %s: build it beside bmc",
                                   h->looked_in[0], h->looked_in[1]),
         NULL);
    for (char *word = strtok(arena_strdup(a, BM_RT_LIBS), " "); word; word = strtok(NULL, " ")) {
        static const char *const package[][2] = {
            {"dnnl", "libdnnl-dev"}, {"blas", "libopenblas-dev"}, {"jansson", "libjansson-dev"}};
        for (int i = 0; i < countof(package); i++) {
            if (!strstr(word, package[i][0]))
                continue;
            if (!cc) {
                row(package[i][0], "unknown", "cannot be tried without a C compiler");
                map_put(d->missing, package[i][1], NULL);
                continue;
            }
            bool ok = builds(d, "int main(void) { return 0; }\n", word);
            need(d, package[i][0], ok, ok ? word : "the linker does not find it", package[i][1]);
        }
    }
}

/* ---- more than one rank ---- */

static void many_ranks(Doctor *d)
{
    Arena *a = d->arena;
    Map *missing = map_new(a);
    const char *mpirun = find_mpirun(a);
    const char *version = mpirun ? spawn_line(a, arena_printf(a, "%s --version", mpirun)) : NULL;
    bool links = *BM_MPI_LIBS && builds(d, "int main(void) { return 0; }\n", BM_MPI_LIBS);
    printf("more than one rank\n");
    row("mpirun", mpirun ? "ok" : "absent",
        !mpirun   ? "not in PATH"
        : version ? arena_printf(a, "%s, %s", mpirun, version)
                  : mpirun);
    if (!mpirun)
        map_put(missing, "openmpi-bin", NULL);
    row("MPI library", links ? "ok" : "absent",
        links          ? BM_MPI_LIBS
        : *BM_MPI_LIBS ? "the linker does not find it"
                       : "bmc was built without it");
    if (!links)
        map_put(missing, "libopenmpi-dev", NULL);
    row("runtime", d->home->mpi ? "ok" : "absent",
        d->home->mpi ? d->home->mpi : "no libbmrt_mpi.a: build bmc again once MPI is there");
    if (missing->n == 0)
        return;
    printf("  for more than one rank: apt-get install");
    for (int i = 0; i < missing->n; i++)
        printf(" %s", missing->key[i]);
    printf("\n");
}

/* ---- what later targets will need ---- */

static void optional(const char *name, const char *const library[], int n, const char *what)
{
    for (int i = 0; i < n; i++) {
        void *handle = dlopen(library[i], RTLD_LAZY | RTLD_LOCAL);
        if (!handle)
            continue;
        dlclose(handle);
        row(name, "ok", library[i]);
        return;
    }
    row(name, "absent", what);
}

static void other_targets(void)
{
    static const char *const cuda[] = {"libcuda.so.1"};
    static const char *const nvrtc[] = {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12",
                                        "libnvrtc.so.11.2"};
    printf("not needed by anything built yet\n");
    optional("CUDA driver", cuda, countof(cuda), "for --target cuda: the NVIDIA driver");
    optional("NVRTC", nvrtc, countof(nvrtc), "for --target cuda: the CUDA toolkit's libnvrtc");
}

int doctor(Arena *a, const Home *h)
{
    const char *cc = getenv("CC");
    Doctor d = {a, h, cc && *cc ? cc : "cc", map_new(a)};
    printf("bmc %s\n", BM_VERSION);
    machine(&d);
    cpu_target(&d);
    many_ranks(&d);
    other_targets();
    if (!h->library && d.missing->n == 0)
        printf("\nthe CPU target does not work: the runtime is missing\n");
    if (d.missing->n > 0) {
        printf("\nthe CPU target does not work:\n  apt-get install");
        for (int i = 0; i < d.missing->n; i++)
            printf(" %s", d.missing->key[i]);
        printf("\n");
    }
    return d.missing->n > 0 || !h->library ? EXIT_MACHINE : EXIT_OK;
}
