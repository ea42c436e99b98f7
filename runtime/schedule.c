/* schedule.c - the numbers the trainer computes before each step.
 *
 * With S steps, W of warm-up and step t from 0, relative to the base rate:
 *   t < W           (t + 1) / W
 *   constant        1
 *   linear, cosine  from 1 at t = W down to min_lr at t = S - 1
 *   wsd             1, and over the last D steps down to min_lr at t = S - 1 in equal steps
 *   t >= S          as at S - 1 */
#include "runtime/bmrt_private.h"

#include <math.h>

enum { CONSTANT, LINEAR, COSINE, WSD };
enum { HOST_LR, HOST_BIAS1, HOST_BIAS2 };

double bmrt_base_lr(const bmrt_model *m)
{
    for (int i = 0; i < m->n_host; i++)
        if (m->host[i].kind == HOST_LR)
            return m->host[i].base;
    return 0;
}

/* How far the decay from `first` to the last step has come, 0..1. */
static double progress(int64_t steps, double first, int64_t step)
{
    double length = (double)(steps - 1) - first, done = (double)step - first;
    if (done <= 0)
        return 0;
    return done >= length ? 1 : done / length;
}

double bmrt_schedule(const bmrt_model *m, int64_t steps, double base0, int64_t step)
{
    double least = base0 != 0 ? m->min_lr / base0 : 0;
    double t = (double)step, last = (double)steps;
    if (t < m->warmup)
        return (t + 1) / m->warmup < 1 ? (t + 1) / m->warmup : 1;
    switch (m->schedule) {
    case LINEAR:
        return 1 + (least - 1) * progress(steps, m->warmup, step);
    case COSINE: {
        double p = progress(steps, m->warmup, step);
        return least + (1 - least) * 0.5 * (1 + cos(3.14159265358979323846 * p));
    }
    case WSD:
        if (m->decay <= 0 || t < last - m->decay)
            return 1;
        return t >= last - 1 ? least : 1 + (least - 1) * (t + 1 - (last - m->decay)) / m->decay;
    case CONSTANT:
    default: /* a plain int of the emitted table */
        return 1;
    }
}

double bmrt_write_host(bmrt_run *run)
{
    const bmrt_model *m = run->m;
    double base0 = bmrt_base_lr(m);
    double relative = bmrt_schedule(m, run->steps, base0, run->pub.step);
    double t = (double)run->pub.step + 1;
    for (int i = 0; i < m->n_host; i++) {
        const bmrt_host *h = &m->host[i];
        double v = 0;
        if (h->kind == HOST_LR)
            v = h->base * relative;
        else if (h->kind == HOST_BIAS1)
            v = 1 / (1 - pow(h->beta, t));
        else if (h->kind == HOST_BIAS2)
            v = 1 / sqrt(1 - pow(h->beta, t));
        *(real *)BMRT_AT(&run->pub, h->offset) = (real)v;
    }
    return base0 * relative;
}
