/* train_loop.c - the training loop.
 *
 * A step: host scalars, PRE, the weights of all rounds, MID, the rounds, POST; then the ranks agree
 * that all went well, loss and norm are read, and only when both are finite the update runs. Steps
 * count from 0 inside and from 1 in everything that is printed or written. */
#include "runtime/bmrt_private.h"

#include "runtime/permute.h"
#include "runtime/signals.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { UPDATE = 5 }; /* phase, as in bmrt_ops */

/* Which samples are at `nb` places of this step, from `first` on. */
static void pick_samples(const bmrt_run *run, int64_t first, int64_t nb, int64_t *out)
{
    int64_t place = run->pub.step * run->m->batch + first;
    bmrt_samples_at(run->pub.seed, run->train.n, place, nb, out);
}

static BmStatus fill_train(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb,
                           bmrt_error *e)
{
    (void)pass;
    pick_samples(run, first, nb, run->index);
    for (int i = 0; i < run->m->n_input; i++)
        if (run->m->input[i].train_offset >= 0)
            bmrt_data_fill(&run->train, run->m, i, run->index, nb, run->pool,
                           BMRT_AT(&run->pub, run->m->input[i].train_offset));
    return bmrt_data_check(&run->train, e);
}

/* {"step":1,"samples":[..]} in pieces: a batch may have any size. */
static BmStatus log_samples(bmrt_run *run, bmrt_error *e)
{
    bmrt_text *t = &run->wide_line;
    bool good = true;
    if (run->samples_fd < 0)
        return BMRT_OK;
    t->len = 0;
    bmrt_text_add(t, "{\"step\":%lld,\"samples\":[", (long long)run->pub.step + 1);
    int64_t block[64];
    for (int64_t i = 0; i < run->m->batch; i++) {
        int64_t in = i % 64, left = run->m->batch - i;
        if (in == 0)
            pick_samples(run, i, left < 64 ? left : 64, block);
        bmrt_text_add(t, "%s%lld", i ? "," : "", (long long)block[in]);
        if (t->cap - t->len < 64) {
            good = good && bmrt_write_all(run->samples_fd, t->at, t->len);
            t->len = 0;
        }
    }
    bmrt_text_add(t, "]}\n");
    if (good && bmrt_write_all(run->samples_fd, t->at, t->len))
        return BMRT_OK;
    return bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': %s", run->opt.log_samples,
                     strerror(errno));
}

/* What is counted per second: the first int input's elements (tokens), else samples. */
static int64_t units_per_step(const bmrt_model *m)
{
    for (int i = 0; i < m->n_input; i++)
        if (m->input[i].dtype == BMRT_I32 && m->input[i].ndim > 0)
            return m->batch * m->input[i].count;
    return m->batch;
}

static bool counts_tokens(const bmrt_model *m)
{
    for (int i = 0; i < m->n_input; i++)
        if (m->input[i].dtype == BMRT_I32 && m->input[i].ndim > 0)
            return true;
    return false;
}

/* Seconds that kernels have waited for collectives and copies. */
static double waited(const bmrt_run *run)
{
    return run->world.streams ? bmrt_streams_waited(run->world.streams) : 0;
}

static BmStatus write_step(bmrt_run *run, const bmrt_step *s, double seconds, double exposed,
                           bmrt_error *e)
{
    const bmrt_program *p = &run->m->train;
    bmrt_metrics *f = &run->metrics;
    bmrt_metrics_begin(f);
    bmrt_metrics_int(f, "step", s->done);
    bmrt_metrics_real(f, "loss", s->loss);
    if (s->has_norm)
        bmrt_metrics_real(f, "grad_norm", s->norm);
    bmrt_metrics_real(f, "lr", s->lr);
    bmrt_metrics_real(f, counts_tokens(run->m) ? "tok_s" : "samp_s", s->rate);
    bmrt_metrics_real(f, "dt_ms", seconds * 1e3);
    if (run->world.streams)
        bmrt_metrics_real(f, "exposed_ms", exposed * 1e3);
    for (int i = 0; i < p->n_report; i++)
        bmrt_metrics_real(f, p->report[i].name, bmrt_average_value(run, &p->report[i]));
    return bmrt_metrics_end(f, e);
}

static BmStatus stop_nonfinite(const bmrt_step *s, bmrt_error *e)
{
    if (s->has_norm)
        bmrt_fail(e, BMRT_NONFINITE, "step %lld: loss is %g and the gradient's norm %g",
                  (long long)s->done, s->loss, s->norm);
    else
        bmrt_fail(e, BMRT_NONFINITE, "step %lld: loss is %g", (long long)s->done, s->loss);
    bmrt_help(e, "stopped before the update; a lower learning rate, a longer warm-up or `clip` "
                 "may help");
    return BMRT_NONFINITE;
}

/* This rank's part of the batch, through all phases before the update. */
static BmStatus run_batch(bmrt_run *run, int *signal, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    int64_t ranks = run->pub.ranks > 1 ? run->pub.ranks : 1, share = m->batch / ranks;
    int64_t base = run->pub.rank * share;
    bmrt_pass pass = {&m->train, base + share, fill_train, NULL, NULL, base, 0, 0};
    pass.rounds = (share + m->train.micro_batch - 1) / m->train.micro_batch;
    BmStatus status = log_samples(run, e);
    bmrt_error what;
    bmrt_watch_begin(run);
    BmStatus ran = bmrt_pass_run(run, &pass, &what);
    if (status == BMRT_OK && ran != BMRT_OK) {
        status = ran;
        *e = what;
    }
    *signal = bmrt_signals_caught();
    status = bmrt_world_step(run, status, signal, e);
    return status == BMRT_OK ? bmrt_watch_end(run, e) : status;
}

/* `*signal`: one that a rank has caught. */
static BmStatus train_step(bmrt_run *run, int *signal, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    const bmrt_program *p = &m->train;
    double begin = bmrt_now(), before = waited(run);
    double lr = bmrt_write_host(run);
    BmStatus status = run_batch(run, signal, e);
    if (status != BMRT_OK)
        return status;
    bmrt_step s = {run->pub.step + 1, bmrt_loss(run, p), 0, lr, 0, p->norm >= 0};
    if (s.has_norm)
        s.norm = (double)*(const real *)BMRT_AT(&run->pub, p->norm);
    bool finite = isfinite(s.loss) && isfinite(s.norm);
    if (finite)
        status = bmrt_phase_run(run, p, UPDATE, p->micro_batch, e);
    if (status != BMRT_OK)
        return status;
    double seconds = bmrt_now() - begin;
    s.rate = seconds > 0 ? (double)units_per_step(m) / seconds : 0;
    status = write_step(run, &s, seconds, waited(run) - before, e);
    if (status != BMRT_OK)
        return status;
    if (!finite) {
        run->world.agreed = true; /* all ranks hold the same numbers */
        return stop_nonfinite(&s, e);
    }
    bmrt_progress_step(&run->progress, &s);
    return BMRT_OK;
}

static bool evaluation_due(const bmrt_run *run, int64_t done)
{
    if (run->valid.n == 0)
        return false;
    return done == run->stop || (run->eval_every > 0 && done % run->eval_every == 0);
}

BmStatus bmrt_train(bmrt_run *run, int *signal, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    *signal = 0;
    bmrt_progress_start(&run->progress, run->progress.fd, run->opt.log_every, run->pub.step,
                        run->steps, run->stop, counts_tokens(run->m) ? "tok/s" : "samp/s");
    while (s == BMRT_OK && run->pub.step < run->stop) {
        bool first = run->resident < 0;
        s = train_step(run, signal, e);
        if (s != BMRT_OK)
            break;
        int64_t done = ++run->pub.step;
        if (first)
            run->resident = bmrt_arena_resident(run);
        if (*signal && done < run->stop)
            break;
        *signal = 0;
        if (evaluation_due(run, done))
            s = bmrt_evaluate(run, done, done == run->stop, e);
    }
    bmrt_progress_stop(&run->progress);
    return s;
}
