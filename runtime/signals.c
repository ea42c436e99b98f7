/* signals.c - stopping in good order. */
#define _GNU_SOURCE
#include "runtime/signals.h"

#include "runtime/cut.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { STACK = 1 << 16 };

static volatile sig_atomic_t caught;
static struct sigaction bus_before;
static _Atomic(const char *) half_written;
/* Products made by oneDNN run with the stack pointer inside a block of the heap: a handler's frame
 * there would overwrite what lies below it. So the main thread has a stack for handlers, and the
 * other threads take no signals. */
static char stack[STACK];

static void on_signal(int number)
{
    if (caught) {
        const char *path = half_written;
        if (path)
            unlink(path);
        _exit(128 + number);
    }
    caught = number == SIGUSR1 ? SIGINT : number;
}

/* A mapped file that was cut short is mended and told of later; anything else takes its course: a
 * fault comes again on return, a signal somebody sent is sent again. */
static void on_bus(int number, siginfo_t *info, void *context)
{
    int error = errno;
    (void)context;
    if (info->si_code <= 0 || !bmrt_cut_mend(info->si_addr)) {
        sigaction(number, &bus_before, NULL);
        if (info->si_code <= 0)
            raise(number);
    }
    errno = error;
}

void bmrt_signals_catch(void)
{
    struct sigaction a;
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    (void)sigaltstack(&own, NULL); /* fails only for a size too small */
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    sigemptyset(&a.sa_mask);
    a.sa_flags = SA_RESTART | SA_ONSTACK;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    /* A file beyond the size limit is then an error of write, reported like a full disk. */
    a.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &a, NULL);
    a.sa_flags = SA_SIGINFO | SA_ONSTACK;
    a.sa_sigaction = on_bus;
    sigaction(SIGBUS, &a, &bus_before);
}

void bmrt_signals_elsewhere(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int bmrt_signals_caught(void)
{
    return caught;
}

void bmrt_signals_half_written(const char *path)
{
    half_written = path;
}
