/* link.c - a slower link, random delays. */
#include "runtime/link.h"

#include "runtime/rng.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONGEST_DELAY_US = 2000 };

const char *bmrt_environment(void *context, const char *name)
{
    (void)context;
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

BmStatus bmrt_environment_check(char *const env[], bmrt_error *e)
{
    static const char *const known[] = {"BMRT_LINK",    "BMRT_DELAY", "BMRT_DELAY_STEP",
                                        "BMRT_TIMEOUT", "BMRT_COUNT", "BMRT_CHECK",
                                        "BMRT_POISON"};
    for (; env && *env; env++) {
        char name[64];
        size_t n = strcspn(*env, "=");
        const char *best = NULL;
        int least = (int)sizeof name;
        if (strncmp(*env, "BMRT_", 5) != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, *env);
        for (int i = 0; i < BMRT_COUNT(known); i++) {
            int d = bmrt_distance(name, known[i]);
            if (d < least) {
                least = d;
                best = known[i];
            }
        }
        if (least == 0)
            continue;
        bmrt_fail(e, BMRT_USAGE, "the environment has %s, which no trainer reads", name);
        bmrt_help(e, "did you mean %s? Else unset it", best);
        return BMRT_USAGE;
    }
    return BMRT_OK;
}

void bmrt_sleep(double seconds)
{
    if (!(seconds > 0))
        return;
    struct timespec t;
    t.tv_sec = (time_t)seconds;
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

/* A number >= 0 up to `end`; false for anything else. */
static bool read_number(const char *s, char end, const char **rest, double *out)
{
    char *stop;
    *out = strtod(s, &stop);
    *rest = stop + 1;
    return stop != s && *stop == end && isfinite(*out) && *out >= 0;
}

static BmStatus read_link(bmrt_debug *d, const char *s, bmrt_error *e)
{
    double alpha, rate;
    const char *rest;
    if (!read_number(s, ',', &rest, &alpha) || !read_number(rest, 0, &rest, &rate) || rate <= 0)
        return bmrt_fail(e, BMRT_USAGE, "BMRT_LINK is '%s', not ALPHA_US,BYTES_PER_S", s);
    d->link = true;
    d->alpha = alpha * 1e-6;
    d->bytes_per_s = rate;
    return BMRT_OK;
}

static BmStatus read_switch(bool *on, const char *name, const char *s, bmrt_error *e)
{
    *on = s && strcmp(s, "1") == 0;
    if (!s || *on || strcmp(s, "0") == 0)
        return BMRT_OK;
    return bmrt_fail(e, BMRT_USAGE, "%s is '%s', not 0 or 1", name, s);
}

static BmStatus read_all(bmrt_debug *d, bmrt_getenv_fn *get, void *context, bmrt_error *e)
{
    const char *rest, *s = get(context, "BMRT_LINK");
    if (s && read_link(d, s, e) != BMRT_OK)
        return BMRT_USAGE;
    s = get(context, "BMRT_DELAY");
    if (s) {
        char *end;
        d->delays = true;
        errno = 0;
        d->seed = strtoull(s, &end, 10);
        if (*end || *s < '0' || *s > '9' || errno == ERANGE)
            return bmrt_fail(e, BMRT_USAGE, "BMRT_DELAY is '%s', not a number to draw from", s);
    }
    s = get(context, "BMRT_DELAY_STEP");
    if (s && (!read_number(s, ',', &rest, &d->late_step) || !read_number(rest, 0, &rest, &d->late)))
        return bmrt_fail(e, BMRT_USAGE, "BMRT_DELAY_STEP is '%s', not ID,MICROSECONDS", s);
    d->late *= 1e-6;
    s = get(context, "BMRT_TIMEOUT");
    if (s && (!read_number(s, 0, &rest, &d->timeout) || d->timeout <= 0))
        return bmrt_fail(e, BMRT_USAGE, "BMRT_TIMEOUT is '%s', not a number of seconds", s);
    if (read_switch(&d->count, "BMRT_COUNT", get(context, "BMRT_COUNT"), e) != BMRT_OK)
        return BMRT_USAGE;
    return read_switch(&d->check, "BMRT_CHECK", get(context, "BMRT_CHECK"), e);
}

BmStatus bmrt_debug_read(bmrt_debug *d, bmrt_getenv_fn *get, void *context, bmrt_error *e)
{
    bmrt_debug asked = {.timeout = 600};
    *d = asked;
    BmStatus s = read_all(&asked, get, context, e);
    if (s == BMRT_OK)
        *d = asked;
    return s;
}

void bmrt_link_wait(const bmrt_debug *d, double begin, int64_t bytes)
{
    if (d->link)
        bmrt_sleep(begin + d->alpha + (double)bytes / d->bytes_per_s - bmrt_now());
}

void bmrt_delay(const bmrt_debug *d, int rank, int stream, uint64_t number, uint64_t every)
{
    if (!d->delays)
        return;
    uint64_t who = (uint64_t)rank * BMRT_STREAMS + (uint64_t)stream;
    bmrt_words w = bmrt_philox(d->seed ^ 0x5d1a9, number, who);
    if (w.w[0] % every == 0)
        bmrt_sleep(1e-6 * (double)(w.w[1] % LONGEST_DELAY_US));
}

void bmrt_delay_step(const bmrt_debug *d, int id)
{
    if (d->late > 0 && d->late_step == (double)id)
        bmrt_sleep(d->late);
}
