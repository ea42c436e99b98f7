/* watch.c - preloaded into a trainer: what it asks the system for, step by step.
 *
 * A step ends when its line of metrics is written. $WATCH chooses what happens after step 1:
 *   pages    the arena is locked away and each page given back at its first use: which ones does
 *            a step need? The process ends after step 2. With --threads 1: a product's stack is no
 *            place for a handler (runtime/signals.c), and only the main thread gets one here
 *   calls    from then on mmap, munmap, mremap, brk and mprotect by anybody, and malloc and its
 *            kind by the trainer itself, are failures. The process ends with the line of the end.
 * Lines of text go to stdout: `name value`, or `failure: what`. The exit code is 0 when the watch
 * came to its end. x86-64 and aarch64 Linux with glibc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, MOST_PAGES = 1 << 20, DONE = 0, FAILED = 9 };

static char *arena;
static size_t arena_pages;
static unsigned char state[MOST_PAGES];
static atomic_long touched, mallocs, exempted;
static atomic_bool armed;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

/* ---- the report: no stdio, it allocates ---- */

static void put(const char *text, size_t n)
{
    if (syscall(SYS_write, 1, text, n) < 0)
        _exit(FAILED);
}

static void say(const char *format, const char *name, long value)
{
    char line[256];
    int n = snprintf(line, sizeof line, format, name, value);
    put(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* ---- malloc and its kind ---- */

/* The GEMM library and what it stands on may use the heap within a call; the trainer, which is C,
 * may not. So whoever is not the trainer and not libc is theirs. */
static bool of_gemm_library(const void *caller)
{
    static const char *const name[] = {"/libdnnl",     "/libstdc++", "/libgomp",
                                       "/libopenblas", "/libblas",   "/libcblas"};
    Dl_info info;
    if (!dladdr(caller, &info) || !info.dli_fname)
        return false;
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        if (strstr(info.dli_fname, name[i]))
            return true;
    return false;
}

static void asked(const char *what, size_t n, const void *caller)
{
    if (!atomic_load(&armed))
        return;
    if (of_gemm_library(caller)) {
        atomic_fetch_add(&exempted, 1);
        return;
    }
    if (atomic_fetch_add(&mallocs, 1) < 20)
        say("failure: %s of %ld bytes after step 1\n", what, (long)n);
}

void *malloc(size_t n)
{
    asked("malloc", n, __builtin_return_address(0));
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
    asked("calloc", n * each, __builtin_return_address(0));
    return __libc_calloc(n, each);
}

void *realloc(void *p, size_t n)
{
    asked("realloc", n, __builtin_return_address(0));
    return __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n)
{
    asked("memalign", n, __builtin_return_address(0));
    return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    asked("aligned_alloc", n, __builtin_return_address(0));
    return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    asked("posix_memalign", n, __builtin_return_address(0));
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}

/* ---- system calls, whoever makes them ---- */

static const struct {
    int number;
    const char *name;
} forbidden[] = {{SYS_mmap, "mmap"},
                 {SYS_munmap, "munmap"},
                 {SYS_mremap, "mremap"},
                 {SYS_brk, "brk"},
                 {SYS_mprotect, "mprotect"}};
enum { N_FORBIDDEN = sizeof forbidden / sizeof forbidden[0] };

static void on_forbidden(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    for (int i = 0; i < N_FORBIDDEN; i++)
        if (forbidden[i].number == info->si_syscall)
            say("failure: %s after step 1 (system call %ld)\n", forbidden[i].name,
                info->si_syscall);
    _exit(FAILED);
}

/* For all threads that exist, from here on. */
static void forbid_calls(void)
{
    struct sock_filter code[N_FORBIDDEN + 3];
    int n = 0;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < N_FORBIDDEN; i++) {
        unsigned char ahead = (unsigned char)(N_FORBIDDEN - i);
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                 (uint32_t)forbidden[i].number, ahead, 0);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    struct sock_fprog program = {(unsigned short)n, code};
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_forbidden;
    sigaction(SIGSYS, &action, NULL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        say("no-seccomp: %s %ld\n", strerror(errno), (long)errno);
}

/* ---- pages ---- */

/* The trainer asks for huge pages for exactly its arena. They are refused here: a page is then the
 * smallest thing that can be needed. */
int madvise(void *at, size_t n, int advice)
{
    if (advice == MADV_HUGEPAGE && n > arena_pages * PAGE) {
        arena = at;
        arena_pages = n / PAGE;
        return 0;
    }
    return (int)syscall(SYS_madvise, at, n, advice);
}

static void on_touch(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr, first = (uintptr_t)arena;
    if (at < first || at - first >= arena_pages * PAGE) {
        signal(number, SIG_DFL);
        return;
    }
    size_t page = (at - first) / PAGE;
    if (mprotect(arena + page * PAGE, PAGE, PROT_READ | PROT_WRITE) != 0)
        _exit(FAILED);
    if (!__atomic_exchange_n(&state[page], 1, __ATOMIC_RELAXED))
        atomic_fetch_add(&touched, 1);
}

static void lock_pages(void)
{
    static char stack[1 << 16];
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    long resident = 0;
    if (arena_pages > MOST_PAGES || mincore(arena, arena_pages * PAGE, state) != 0)
        _exit(FAILED);
    for (size_t i = 0; i < arena_pages; i++)
        resident += state[i] & 1;
    say("%s %ld\n", "resident_pages", resident);
    memset(state, 0, sizeof state);
    sigaltstack(&own, NULL);
    action.sa_sigaction = on_touch;
    sigaction(SIGSEGV, &action, NULL);
    if (mprotect(arena, arena_pages * PAGE, PROT_NONE) != 0)
        _exit(FAILED);
}

/* ---- where a step ends ---- */

static void finish(bool pages)
{
    struct rusage usage = {0};
    atomic_store(&armed, false);
    getrusage(RUSAGE_SELF, &usage);
    say("%s %ld\n", "arena_pages", (long)arena_pages);
    if (pages)
        say("%s %ld\n", "touched_pages", atomic_load(&touched));
    else
        say("%s %ld\n", "library_calls", atomic_load(&exempted));
    say("%s %ld\n", "peak_rss", usage.ru_maxrss * 1024);
    _exit(atomic_load(&mallocs) > 0 ? FAILED : DONE);
}

static void step_ended(int step, bool pages)
{
    if (pages && step == 2)
        finish(pages);
    if (step != 1)
        return;
    if (pages) {
        lock_pages();
    } else {
        forbid_calls();
        atomic_store(&armed, true);
    }
}

ssize_t write(int fd, const void *text, size_t n)
{
    static const char begin[] = "{\"step\":";
    const char *watch = getenv("WATCH");
    ssize_t done = syscall(SYS_write, fd, text, n);
    if (!watch || n < sizeof begin || memcmp(text, begin, sizeof begin - 1) != 0)
        return done;
    bool pages = strcmp(watch, "pages") == 0;
    if (memmem(text, n, "\"event\":", 8))
        finish(pages);
    if (memmem(text, n, "\"lr\":", 5))
        step_ended(atoi((const char *)text + sizeof begin - 1), pages);
    return done;
}
