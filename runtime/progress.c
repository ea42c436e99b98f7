/* progress.c - the progress line. */
#define _DEFAULT_SOURCE
#include "runtime/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDEST = 512 };

static bool set_and_not_empty(const char *name)
{
    const char *s = getenv(name);
    return s && *s;
}

void bmrt_progress_start(bmrt_progress *p, int fd, int64_t every, int64_t first, int64_t steps,
                         int64_t stop, const char *unit)
{
    const char *term = getenv("TERM");
    bool dumb = !term || strcmp(term, "dumb") == 0;
    *p = (bmrt_progress){.fd = fd, .every = every, .first = first, .steps = steps, .stop = stop};
    p->terminal = isatty(fd) && !dumb;
    p->colour = p->terminal && !set_and_not_empty("NO_COLOR");
    p->unit = unit;
}

const char *bmrt_short_number(char *buf, size_t cap, double v)
{
    static const char suffix[] = " kMGT";
    int i = 0;
    while (v >= 999.95 && suffix[i + 1]) {
        v /= 1000;
        i++;
    }
    bmrt_text t = {buf, 0, cap, false};
    if (i == 0)
        bmrt_text_add(&t, "%.*f", v == (double)(int)v ? 0 : v < 10 ? 2 : v < 100 ? 1 : 0, v);
    else
        bmrt_text_add(&t, "%.*f%c", v < 100 ? 1 : 0, v, suffix[i]);
    return buf;
}

void bmrt_add_loss(bmrt_text *t, double loss)
{
    bool usual = loss == 0 || (fabs(loss) >= 1e-2 && fabs(loss) < 1e6);
    bmrt_text_add(t, usual ? "%.4f" : "%.4g", loss);
}

static void add_duration(bmrt_text *t, double seconds)
{
    long long s = (long long)(seconds + 0.5);
    if (s >= 3600)
        bmrt_text_add(t, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        bmrt_text_add(t, "%lldm%02llds", s / 60, s % 60);
    else
        bmrt_text_add(t, "%llds", s);
}

static int terminal_width(int fd)
{
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_col < WIDEST)
        return w.ws_col;
    return 80;
}

/* Messages for people: when they cannot be written there is nobody to tell. */
static void put(const bmrt_progress *p, const bmrt_text *t)
{
    (void)bmrt_write_all(p->fd, t->at, t->len);
}

/* The line without colours; `loss_at` and `loss_end` say where the loss stands in it. */
static void format_line(const bmrt_progress *p, const bmrt_step *s, bmrt_text *t, size_t *loss_at,
                        size_t *loss_end)
{
    char rate[32];
    bmrt_text_add(t, "step %*lld/%lld  ", snprintf(NULL, 0, "%lld", (long long)p->steps),
                  (long long)s->done, (long long)p->steps);
    *loss_at = t->len;
    bmrt_text_add(t, "loss ");
    bmrt_add_loss(t, s->loss);
    *loss_end = t->len;
    if (s->has_norm)
        bmrt_text_add(t, "  |g| %.3g", s->norm);
    bmrt_text_add(t, "  lr %.2e  %s %s", s->lr, bmrt_short_number(rate, sizeof rate, s->rate),
                  p->unit);
    int64_t ran = s->done - p->first - 1, left = p->stop - s->done;
    if (ran > 0 && left > 0) {
        bmrt_text_add(t, "  ETA ");
        add_duration(t, (bmrt_now() - p->started) / (double)ran * (double)left);
    }
}

void bmrt_progress_step(bmrt_progress *p, const bmrt_step *s)
{
    double now = bmrt_now();
    bool stays = s->done % p->every == 0 || s->done == p->first + 1 || s->done == p->stop;
    if (s->done == p->first + 1)
        p->started = now;
    if (!stays && (!p->terminal || now - p->shown < 0.1))
        return;
    char line[WIDEST], out[WIDEST + 64];
    bmrt_text l = {line, 0, sizeof line, false}, o = {out, 0, sizeof out, false};
    size_t loss_at, loss_end;
    format_line(p, s, &l, &loss_at, &loss_end);
    if (p->terminal) {
        size_t width = (size_t)terminal_width(p->fd) - 1;
        if (l.len > width)
            line[l.len = width] = 0;
        bmrt_text_add(&o, "\r\033[K");
    }
    if (p->colour && loss_end <= l.len)
        bmrt_text_add(&o, "%.*s\033[1m%.*s\033[0m%s", (int)loss_at, line, (int)(loss_end - loss_at),
                      line + loss_at, line + loss_end);
    else
        bmrt_text_add(&o, "%s", line);
    p->open = p->terminal && !stays;
    if (!p->open)
        bmrt_text_add(&o, "\n");
    p->shown = now;
    put(p, &o);
}

void bmrt_progress_say(bmrt_progress *p, const char *format, ...)
{
    char out[2048];
    bmrt_text o = {out, 0, sizeof out - 1, false};
    if (p->open)
        bmrt_text_add(&o, "\r\033[K");
    p->open = false;
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(out + o.len, o.cap - o.len, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    o.len += (size_t)n < o.cap - o.len ? (size_t)n : o.cap - o.len - 1;
    out[o.len++] = '\n';
    put(p, &o);
}

void bmrt_progress_stop(bmrt_progress *p)
{
    if (p->open)
        (void)bmrt_write_all(p->fd, "\n", 1);
    p->open = false;
}
