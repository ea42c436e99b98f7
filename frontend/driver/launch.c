#define _GNU_SOURCE /* sched_getaffinity, prctl */
#include "frontend/driver/launch.h"

#include "frontend/base/vec.h"
#include "frontend/driver/file.h"
#include "frontend/driver/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

/* ---- mpirun as a child ---- */

/* A handler has no argument: whom it tells, and what first. */
static volatile sig_atomic_t child, gentle, told;

static void pass_on(int number)
{
    (void)number;
    if (child > 0)
        kill((pid_t)child, told ? SIGTERM : (int)gentle);
    told = 1;
}

static void start_child(char **word)
{
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        dup2(null, STDIN_FILENO); /* a group of the background may not read the terminal */
    setpgid(0, 0);                /* Ctrl-C comes to us alone */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execv(word[0], word);
    fprintf(stderr, "bmc: cannot start '%s': %s\n", word[0], strerror(errno));
    _exit(EXIT_MACHINE);
}

static int stand_by(char **word, bool open_mpi, const char **why)
{
    fflush(NULL);
    gentle = open_mpi ? SIGUSR1 : SIGINT;
    struct sigaction act = {.sa_handler = pass_on};
    sigset_t both, before;
    sigemptyset(&act.sa_mask);
    sigemptyset(&both);
    sigaddset(&both, SIGINT);
    sigaddset(&both, SIGTERM);
    sigprocmask(SIG_BLOCK, &both, &before); /* none is lost before there is a child to tell */
    pid_t pid = fork();
    if (pid < 0) {
        *why = "cannot start another process";
        return -1;
    }
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        start_child(word);
    }
    child = pid;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_MACHINE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int launch(Arena *a, const char *trainer, int64_t ranks, char *const rest[], int n_rest,
           const char **why)
{
    if (ranks == 1) {
        *why = become(a, launch_words(a, NULL, false, trainer, 1, rest, n_rest));
        return -1;
    }
    const char *mpirun = find_mpirun(a);
    if (!mpirun) {
        *why = "mpirun is not there";
        return -1;
    }
    const char *version = spawn_line(a, arena_printf(a, "%s --version", mpirun));
    bool open_mpi = version && strstr(version, "Open MPI");
    return stand_by(launch_words(a, mpirun, open_mpi, trainer, ranks, rest, n_rest), open_mpi, why);
}
