/* main.c - the trainer's main: the pieces in order, messages and the exit code. */
#define _GNU_SOURCE
#include "runtime/bmrt_private.h"
#include "runtime/gemm.h"
#include "runtime/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

typedef struct texts { /* behind --data and --valid of npy sources */
    char *text[2];
    const char **list[2];
} texts;

static void check_model(const bmrt_model *m, BmStatus *s, bmrt_error *e)
{
    const bmrt_program *t = &m->train;
    int64_t ranks = m->ranks > 1 ? m->ranks : 1;
    if (m->version != BMRT_VERSION)
        *s = bmrt_fail(e, BMRT_BUG, "the trainer speaks version %d of the runtime, linked is %d",
                       m->version, BMRT_VERSION);
    else if (t->micro_batch > 0 && m->batch != t->micro_batch * m->rounds * ranks)
        *s = bmrt_fail(e, BMRT_BUG, "batch %lld is not %lld rounds of %lld on %lld ranks",
                       (long long)m->batch, (long long)m->rounds, (long long)t->micro_batch,
                       (long long)ranks);
    else if (m->plan_hash && (!m->verified || strcmp(m->verified, m->plan_hash) != 0)) {
        *s = bmrt_fail(e, BMRT_MODEL, "plan %s is not the one that was verified (%s)", m->plan_hash,
                       m->verified ? m->verified : "none was");
        bmrt_help(e, "bmc compile verifies a plan and puts its stamp into the trainer");
    }
}

static BmStatus choose_steps(bmrt_run *run, bmrt_error *e)
{
    const bmrt_options *o = &run->opt;
    run->steps = o->steps >= 0 ? o->steps : run->m->steps;
    run->stop = o->stop_after >= 0 && o->stop_after < run->steps ? o->stop_after : run->steps;
    run->eval_every = o->eval_every >= 0 ? o->eval_every : run->m->valid_every;
    run->pub.seed = (uint64_t)(o->seed >= 0 ? o->seed : run->m->seed);
    if (run->stop > 0 && run->m->train.micro_batch < 1) {
        bmrt_fail(e, BMRT_USAGE, "%s has no training program", run->m->name);
        bmrt_help(e, "add a train section, or run with --steps 0");
        return BMRT_USAGE;
    }
    return BMRT_OK;
}

static BmStatus open_one(bmrt_run *run, bmrt_data *d, bmrt_data_spec spec, const char *option,
                         const char *value, texts *t, bmrt_error *e)
{
    int i = d == &run->valid;
    if (value && spec.kind == BMRT_DATA_NPY) {
        BmStatus s = bmrt_data_override(&spec, option, value, &t->text[i], &t->list[i], e);
        if (s != BMRT_OK)
            return s;
    } else if (value) {
        spec.file = value;
    }
    return bmrt_data_open(d, run->m, &spec, e);
}

static BmStatus open_data(bmrt_run *run, texts *t, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    const bmrt_options *o = &run->opt;
    bmrt_data_spec train = {m->data_kind, m->data_file, m->data_format, m->data_field};
    bmrt_data_spec valid = {m->valid_kind, m->valid_file, m->valid_format, m->valid_field};
    BmStatus s = BMRT_OK;
    if (run->stop > 0)
        s = open_one(run, &run->train, train, "data", o->data, t, e);
    if (s != BMRT_OK)
        return s;
    /* Without steps an evaluation happens only when it was asked for. */
    bool asked = o->valid || o->predictions;
    if (o->valid && m->valid_kind == BMRT_DATA_NONE) {
        valid = train;
        valid.field = NULL;
    }
    if (asked && valid.kind == BMRT_DATA_NONE) {
        bmrt_fail(e, BMRT_USAGE, "%s names no valid data to evaluate on", m->name);
        bmrt_help(e, o->valid ? "add `data` or `valid` to its train section" : "--valid FILE");
        return BMRT_USAGE;
    }
    if (valid.kind == BMRT_DATA_NONE || (run->stop == 0 && !asked))
        return BMRT_OK;
    if (m->eval.micro_batch < 1)
        return bmrt_fail(e, BMRT_USAGE, "%s has no evaluation program", m->name);
    if (o->predictions && m->eval.n_field == 0)
        return bmrt_fail(e, BMRT_USAGE,
                         "%s reports no value per sample, so there are no "
                         "predictions",
                         m->name);
    return open_one(run, &run->valid, valid, "valid", o->valid, t, e);
}

/* Rank 0 writes the lists of all ranks. */
static BmStatus open_list(const bmrt_run *run, int *fd, const char *path, bmrt_error *e)
{
    if (!path || run->pub.rank > 0)
        return BMRT_OK;
    *fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (*fd < 0)
        return bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': %s", path, strerror(errno));
    return BMRT_OK;
}

static BmStatus make_buffers(bmrt_run *run, bmrt_error *e)
{
    enum { WIDE = 1 << 16 };
    int64_t a = run->m->train.micro_batch, b = run->m->eval.micro_batch;
    run->n_index = (a > b ? a : b) + 1;
    run->index = calloc((size_t)run->n_index, sizeof *run->index);
    run->wide_line = (bmrt_text){malloc(WIDE), 0, WIDE, false};
    if (!run->index || !run->wide_line.at)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for a list of %lld samples",
                         (long long)run->n_index);
    BmStatus s = open_list(run, &run->samples_fd, run->opt.log_samples, e);
    return s != BMRT_OK ? s : open_list(run, &run->predictions_fd, run->opt.predictions, e);
}

/* `name` in the folder of the metrics: the trainer's own, so that it does not depend on where it is
 * started from, or the one --metrics names. */
static const char *beside_metrics(const bmrt_options *o, const char *name, char *buf, size_t cap)
{
    size_t room = strlen(name) + 1;
    ssize_t n =
        o->metrics ? (ssize_t)strlen(o->metrics) : readlink("/proc/self/exe", buf, cap - room);
    if (n <= 0 || (size_t)n > cap - room)
        return name;
    if (o->metrics)
        memcpy(buf, o->metrics, (size_t)n);
    buf[n] = 0;
    char *slash = strrchr(buf, '/');
    memcpy(slash ? slash + 1 : buf, name, room);
    return buf;
}

static int64_t count_parameters(const bmrt_model *m)
{
    int64_t n = 0;
    for (int i = 0; i < m->n_param; i++)
        n += m->param[i].flags & BMRT_BUFFER ? 0 : m->param[i].count;
    return n;
}

static BmStatus open_metrics(bmrt_run *run, bmrt_error *e)
{
    char buf[4096];
    const bmrt_model *m = run->m;
    const char *path = run->opt.metrics;
    if (!path && run->stop > 0)
        path = beside_metrics(&run->opt, "metrics.jsonl", buf, sizeof buf);
    if (run->pub.rank > 0)
        path = NULL;
    size_t room = 8192;
    for (int i = 0; i < m->train.n_report + m->eval.n_report; i++)
        room += 64 + 6 * strlen(i < m->train.n_report ? m->train.report[i].name
                                                      : m->eval.report[i - m->train.n_report].name);
    BmStatus s = bmrt_metrics_open(&run->metrics, path, room, e);
    run->metrics.path = run->opt.metrics ? run->opt.metrics : "metrics.jsonl";
    if (s != BMRT_OK)
        return s;
    bmrt_metrics *f = &run->metrics;
    bmrt_metrics_begin(f);
    bmrt_metrics_int(f, "schema", 1);
    bmrt_metrics_text(f, "plan", m->plan_hash ? m->plan_hash : "");
    bmrt_metrics_text(f, "model", m->name);
    bmrt_metrics_int(f, "parameters", count_parameters(m));
    bmrt_metrics_int(f, "batch", m->batch);
    bmrt_metrics_int(f, "rounds", m->rounds);
    bmrt_metrics_int(f, "steps", run->steps);
    bmrt_metrics_int(f, "samples", run->train.n);
    bmrt_metrics_int(f, "seed", (int64_t)run->pub.seed);
    bmrt_metrics_int(f, "threads", bmrt_pool_threads(run->pool));
    bmrt_metrics_int(f, "ranks", run->pub.ranks);
    bmrt_metrics_int(f, "arena_bytes", m->arena_bytes * BMRT_SCALE);
    if (m->host_arena_bytes > 0)
        bmrt_metrics_int(f, "host_arena_bytes", m->host_arena_bytes * BMRT_SCALE);
    bmrt_metrics_int(f, "persistent_bytes", m->persistent_bytes * BMRT_SCALE);
    return bmrt_metrics_end(f, e);
}

static BmStatus start_machine(bmrt_run *run, bmrt_error *e)
{
    int each = bmrt_cores() / bmrt_world_local(run);
    int threads = run->opt.threads > 0 ? (int)run->opt.threads : each > 1 ? each : 1;
#ifdef __GLIBC__
    /* What the GEMM library takes and gives back within a call stays in the heap: no page is mapped
     * anew in a step. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
    BmStatus s = bmrt_pool_create(&run->pool, threads, bmrt_gemm_quiet, e);
    if (s != BMRT_OK)
        return s;
    return bmrt_arena_create(run, e);
}

static BmStatus set_weights(bmrt_run *run, bmrt_error *e)
{
    char note[2048] = "";
    BmStatus s = bmrt_init_all(run, e);
    if (s == BMRT_OK && run->opt.init)
        s = bmrt_st_load(&run->pub, run->m, run->opt.init, note, sizeof note, e);
    if (s == BMRT_OK && note[0])
        bmrt_progress_say(&run->progress, "trainer: warning: %s", note);
    return s;
}

static BmStatus create_watch(bmrt_run *run, bmrt_error *e)
{
    char buf[4096];
    return bmrt_watch_create(run, beside_metrics(&run->opt, "inspect.jsonl", buf, sizeof buf), e);
}

/* Everything that can fail before the first step, cheapest first. */
static BmStatus prepare(bmrt_run *run, texts *t, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    check_model(run->m, &s, e);
    if (s == BMRT_OK)
        s = choose_steps(run, e);
    if (s == BMRT_OK && run->opt.sample > 0)
        s = bmrt_sample_check(run, e);
    if (s == BMRT_OK && run->opt.save) {
        run->saves = true;
        s = bmrt_saver_create(&run->saver, run->m, run->opt.save, e);
    }
    if (s == BMRT_OK)
        s = create_watch(run, e);
    if (s == BMRT_OK)
        s = open_data(run, t, e);
    if (s == BMRT_OK)
        s = start_machine(run, e);
    return s != BMRT_OK ? s : set_weights(run, e);
}

/* Files of an earlier run are overwritten when nothing is wrong on any rank. */
static BmStatus open_outputs(bmrt_run *run, bmrt_error *e)
{
    BmStatus s = make_buffers(run, e);
    if (s == BMRT_OK)
        s = bmrt_watch_open(run, e);
    return s != BMRT_OK ? s : open_metrics(run, e);
}

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* "12.0 MiB", "12.0 MiB and 3.0 MiB on the host" */
static const char *arenas_text(char *buf, size_t n, const bmrt_model *m)
{
    bmrt_text t = {buf, 0, n, false};
    bmrt_text_add(&t, "%.1f MiB", mib(m->arena_bytes * BMRT_SCALE));
    if (m->host_arena_bytes > 0)
        bmrt_text_add(&t, " and %.1f MiB on the host", mib(m->host_arena_bytes * BMRT_SCALE));
    return buf;
}

static void say_start(bmrt_run *run)
{
    const bmrt_model *m = run->m;
    char n[32];
    const char *source = run->world.found.source;
    char ranks[80] = "", arenas[80];
    bmrt_text t = {ranks, 0, sizeof ranks, false};
    if (run->pub.ranks > 1)
        bmrt_text_add(&t, "%d ranks%s%s%s with ", run->pub.ranks, source ? " (" : "",
                      source ? source : "", source ? ")" : "");
    bmrt_progress_say(&run->progress,
                      "%s: %s parameters, plan %.12s, %sarena %s, %d thread%s, products by %s",
                      m->name, bmrt_short_number(n, sizeof n, (double)count_parameters(m)),
                      m->plan_hash ? m->plan_hash : "-", ranks,
                      arenas_text(arenas, sizeof arenas, m), bmrt_pool_threads(run->pool),
                      bmrt_pool_threads(run->pool) == 1 ? "" : "s", bmrt_gemm_name());
    if (run->train.n > 0)
        bmrt_progress_say(&run->progress, "%lld samples, batches of %lld in %lld round%s",
                          (long long)run->train.n, (long long)m->batch, (long long)m->rounds,
                          m->rounds == 1 ? "" : "s");
}

static BmStatus write_end(bmrt_run *run, const char *event, double seconds, bmrt_error *e)
{
    bmrt_metrics *f = &run->metrics;
    char arenas[80];
    int64_t rss = bmrt_peak_rss();
    bmrt_metrics_begin(f);
    bmrt_metrics_int(f, "step", run->pub.step);
    bmrt_metrics_text(f, "event", event);
    bmrt_metrics_real(f, "seconds", seconds);
    bmrt_metrics_int(f, "arena_bytes", run->m->arena_bytes * BMRT_SCALE);
    if (run->m->host_arena_bytes > 0)
        bmrt_metrics_int(f, "host_arena_bytes", run->m->host_arena_bytes * BMRT_SCALE);
    if (run->resident >= 0)
        bmrt_metrics_real(f, "arena_resident", run->resident);
    bmrt_metrics_int(f, "peak_rss", rss);
    if (run->resident >= 0)
        bmrt_progress_say(&run->progress,
                          "%s after step %lld in %.1f s; memory: arena %s as planned, %.1f %% "
                          "of it resident, process at most %.1f MiB",
                          event, (long long)run->pub.step, seconds,
                          arenas_text(arenas, sizeof arenas, run->m), 100 * run->resident,
                          mib(rss));
    return bmrt_metrics_end(f, e);
}

/* After the loop: weights, sample. The exit code. */
static int finish(bmrt_run *run, int signal, bmrt_error *e)
{
    BmStatus s = BMRT_OK;
    if (run->saves) {
        s = bmrt_saver_write(&run->saver, &run->pub, run->m, e);
        if (s == BMRT_OK)
            bmrt_progress_say(&run->progress, "weights saved in %s", run->opt.save);
    }
    if (s == BMRT_OK && signal) {
        run->world.agreed = true;
        return run->saves ? BMRT_AGAIN : 128 + signal;
    }
    if (s == BMRT_OK && run->opt.sample > 0)
        s = bmrt_sample(run, STDOUT_FILENO, e);
    return (int)s;
}

static int run_trainer(bmrt_run *run, bmrt_error *e)
{
    int signal = 0;
    double begin = bmrt_now();
    say_start(run);
    BmStatus s = bmrt_train(run, &signal, e);
    if (s == BMRT_OK && run->stop == 0 && run->valid.n > 0)
        s = bmrt_evaluate(run, 0, true, e);
    if (s != BMRT_OK)
        return (int)s;
    s = write_end(run, signal ? "stopped" : "done", bmrt_now() - begin, e);
    return s != BMRT_OK ? (int)s : finish(run, signal, e);
}

static void release(bmrt_run *run, texts *t)
{
    bmrt_watch_destroy(run);
    bmrt_metrics_close(&run->metrics);
    if (run->samples_fd >= 0)
        close(run->samples_fd);
    if (run->predictions_fd >= 0)
        close(run->predictions_fd);
    bmrt_saver_destroy(&run->saver);
    bmrt_data_close(&run->train);
    bmrt_data_close(&run->valid);
    bmrt_arena_destroy(run);
    bmrt_pool_destroy(run->pool);
    free(run->index);
    free(run->wide_line.at);
    for (int i = 0; i < 2; i++) {
        free(t->text[i]);
        free(t->list[i]);
    }
}

static int print_about(const bmrt_run *run)
{
    char buf[8192];
    bmrt_text t = {buf, 0, sizeof buf, false};
    if (run->opt.help)
        bmrt_options_help(&t, run->m->name);
    else
        bmrt_text_add(&t, "trainer of %s, plan %s, runtime %d, products by %s\n", run->m->name,
                      run->m->plan_hash ? run->m->plan_hash : "-", BMRT_VERSION, bmrt_gemm_name());
    return bmrt_write_all(STDOUT_FILENO, t.at, t.len) ? BMRT_OK : BMRT_MACHINE;
}

/* One message for all ranks when they agree on it, else that of the one that failed. */
static void say_error(bmrt_run *run, const bmrt_error *e)
{
    char rank[40] = "";
    bmrt_text t = {rank, 0, sizeof rank, false};
    bool alone = run->world.connected && run->pub.ranks > 1 && !run->world.agreed;
    if (!e->text[0] || (!alone && !bmrt_world_speaks(run)))
        return;
    if (alone)
        bmrt_text_add(&t, "rank %d/%d: ", run->pub.rank, run->pub.ranks);
    run->progress.fd = STDERR_FILENO;
    bmrt_progress_say(&run->progress, "trainer: error: %s%s", rank, e->text);
    if (e->help[0])
        bmrt_progress_say(&run->progress, "help: %s", e->help);
}

/* Nobody can be told: the launcher ends all ranks with the first, and rank 0 speaks at once. Who is
 * still there after that is the only one that has something to say. */
static void say_late(const bmrt_run *run, const bmrt_error *e)
{
    for (int i = 0; i < 40 && !bmrt_signals_caught(); i++)
        bmrt_sleep(0.05);
    if (!bmrt_signals_caught())
        fprintf(stderr, "trainer: error: rank %lld: %s\n", (long long)run->world.found.rank,
                e->text);
}

static int run_connected(bmrt_run *run, texts *t, bmrt_error *e)
{
    if (!bmrt_world_speaks(run))
        run->progress.fd = -1; /* what is said to it goes nowhere */
    BmStatus s = bmrt_agree(run->peers, prepare(run, t, e), e);
    if (s == BMRT_OK)
        s = bmrt_check_alike(run, e);
    if (s == BMRT_OK)
        s = bmrt_agree(run->peers, open_outputs(run, e), e);
    return s == BMRT_OK ? run_trainer(run, e) : (int)s;
}

int bmrt_main_ranks(const bmrt_model *m, const bmrt_transport *transport, int argc, char **argv)
{
    bmrt_error e = {"", ""};
    texts t = {{NULL, NULL}, {NULL, NULL}};
    bmrt_run run = {
        .m = m, .metrics = {.fd = -1}, .samples_fd = -1, .predictions_fd = -1, .resident = -1};
    bmrt_progress_start(&run.progress, STDERR_FILENO, 1, 0, 0, 0, "");
    int code = (int)bmrt_options_parse(&run.opt, argc, argv, &e);
    bmrt_error launch;
    int found = (int)bmrt_world_find(&run, &launch);
    if (code == BMRT_OK && found != BMRT_OK) {
        code = found;
        e = launch;
    }
    if (code == BMRT_OK && (run.opt.help || run.opt.version))
        return bmrt_world_speaks(&run) ? print_about(&run) : BMRT_OK;
    bmrt_signals_catch();
    code = (int)bmrt_world_open(&run, transport, argv[0], (BmStatus)code, &e);
    if (run.world.warning[0] && bmrt_world_speaks(&run))
        bmrt_progress_say(&run.progress, "trainer: warning: %s", run.world.warning);
    if (code == BMRT_OK)
        code = run_connected(&run, &t, &e);
    say_error(&run, &e);
    if (code != BMRT_OK && !bmrt_world_speaks(&run) && (!run.world.connected || run.pub.ranks == 1))
        say_late(&run, &e);
    bmrt_world_close(&run, code);
    release(&run, &t);
    return code;
}

int bmrt_main(const bmrt_model *m, int argc, char **argv)
{
    return bmrt_main_ranks(m, NULL, argc, argv);
}
