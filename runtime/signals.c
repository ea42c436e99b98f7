/* signals.c - stopping in good order. */
#define _GNU_SOURCE
#include "runtime/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;
static _Atomic(const char *) half_written;

static void on_signal(int number)
{
    if (caught) {
        const char *path = half_written;
        if (path)
            unlink(path);
        _exit(128 + number);
    }
    caught = number;
}

void bmrt_signals_catch(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    sigemptyset(&a.sa_mask);
    a.sa_flags = SA_RESTART;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    /* A file beyond the size limit is then an error of write, reported like a full disk. */
    a.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &a, NULL);
}

int bmrt_signals_caught(void)
{
    return caught;
}

void bmrt_signals_half_written(const char *path)
{
    half_written = path;
}
