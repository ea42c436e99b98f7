/* watch.c - looking at parameters, gradients and values while they are where the plan put them. */
#include "runtime/watch.h"

#include "runtime/bmrt_private.h"
#include "runtime/moments.h"
#include "runtime/pattern.h"
#include "runtime/shard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_LEVEL = 6, /* 64 leaves are a thread's unit */
    BLOCK_LEAVES = 1 << BLOCK_LEVEL,
    BLOCKS = 512 /* at a time */
};

typedef struct item {
    const char *what;
    bmrt_tensor t;
    int64_t leaves; /* of the tensor, or of one sample or part of it */
    bool batched, chunk;
    int64_t parts; /* of a sample: t.count and leaves are a part's */
    int after;     /* of a value; -1 */
    bool bad;      /* pieces came in another order than that of the samples */
    bmrt_moment_runs runs;
} item;

struct bmrt_watcher {
    bmrt_metrics file;
    char *path;
    item *item;
    int n;
    int64_t every;
    bool any_value, begun, due;
    bmrt_moments block[BLOCKS];
    bmrt_moment_runs *all; /* [ranks] */
};

/* ---- what is asked for ---- */

static bool add(bmrt_watcher *w, const bmrt_run *run, const item *x)
{
    if (!bmrt_pattern_matches(run->opt.inspect, x->t.path) || x->t.count == 0)
        return false;
    item *to = &w->item[w->n++];
    *to = *x;
    to->leaves = (x->t.count + BMRT_LEAF - 1) / BMRT_LEAF;
    return true;
}

static void add_all(bmrt_watcher *w, const bmrt_run *run)
{
    const bmrt_model *m = run->m;
    for (int i = 0; i < m->n_param; i++)
        add(w, run, &(item){.what = "param", .t = m->param[i], .after = -1});
    for (int i = 0; i < m->n_watch; i++) {
        const bmrt_watch *v = &m->watch[i];
        bool value = v->kind == BMRT_WATCH_VALUE;
        item x = {.what = value ? "value" : "grad", .batched = v->batched};
        x.t = (bmrt_tensor){.path = v->path, .dtype = v->dtype, .count = v->count, .at = v->at};
        x.t.offset = v->offset + v->by_rank * run->pub.shard;
        x.t.shard = v->shard;
        x.t.host = v->host;
        x.after = value ? v->after : -1;
        x.chunk = v->chunk;
        x.parts = v->parts > 0 ? v->parts : 1;
        w->any_value |= add(w, run, &x) && value;
    }
}

static BmStatus nothing_matches(const bmrt_run *run, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    const char *best = NULL, *pattern = run->opt.inspect;
    int least = (int)strlen(pattern) / 2 + 1;
    for (int i = 0; i < m->n_param + m->n_watch; i++) {
        const char *path = i < m->n_param ? m->param[i].path : m->watch[i - m->n_param].path;
        int d = bmrt_distance(pattern, path);
        if (d < least) {
            least = d;
            best = path;
        }
    }
    bmrt_fail(e, BMRT_USAGE, "--inspect: '%s' matches nothing of %s", pattern, m->name);
    int last = m->n_watch - 1;
    if (best)
        bmrt_help(e, "did you mean '%s'?", best);
    else if (m->n_param > 0)
        bmrt_help(e, "names here are like '%s' and '%s'; `bmc inspect FOLDER --params` lists them",
                  m->param[0].path, last < 0 ? m->param[m->n_param - 1].path : m->watch[last].path);
    return BMRT_USAGE;
}

/* Shards are cut between leaves. */
static BmStatus check_items(const bmrt_watcher *w, bmrt_error *e)
{
    for (int i = 0; i < w->n; i++) {
        const bmrt_tensor *t = &w->item[i].t;
        if (t->shard > 0 && (t->at % BMRT_LEAF != 0 || t->shard % BMRT_LEAF != 0))
            return bmrt_fail(e, BMRT_BUG, "a shard cuts '%s' between multiples of %d elements",
                             t->path, BMRT_LEAF);
        if (t->shard > 0 && w->item[i].batched)
            return bmrt_fail(e, BMRT_BUG, "value '%s' is in shards", t->path);
    }
    return BMRT_OK;
}

static size_t longest_path(const bmrt_watcher *w)
{
    size_t most = 0;
    for (int i = 0; i < w->n; i++) {
        size_t n = strlen(w->item[i].t.path);
        most = n > most ? n : most;
    }
    return most;
}

BmStatus bmrt_watch_create(bmrt_run *run, const char *path, bmrt_error *e)
{
    const bmrt_options *o = &run->opt;
    if (!o->inspect)
        return o->inspect_every == 0
                   ? BMRT_OK
                   : bmrt_fail(e, BMRT_USAGE, "--inspect-every needs --inspect PATTERN");
    BmStatus s = bmrt_pattern_check(o->inspect, "inspect", e);
    if (s == BMRT_OK && run->stop == 0)
        s = bmrt_fail(e, BMRT_USAGE, "--inspect looks at training steps, and there are none");
    if (s != BMRT_OK)
        return s;
    int ranks = run->pub.ranks > 1 ? run->pub.ranks : 1;
    bmrt_watcher *w = run->watcher = calloc(1, sizeof *w);
    if (w) {
        w->file.fd = -1;
        w->every = o->inspect_every > 0 ? o->inspect_every : 100;
        w->path = strdup(path);
        w->item = calloc((size_t)(run->m->n_param + run->m->n_watch + 1), sizeof *w->item);
        w->all = calloc((size_t)ranks, sizeof *w->all);
    }
    if (!w || !w->path || !w->item || !w->all)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for --inspect");
    add_all(w, run);
    return w->n > 0 ? check_items(w, e) : nothing_matches(run, e);
}

BmStatus bmrt_watch_open(bmrt_run *run, bmrt_error *e)
{
    bmrt_watcher *w = run->watcher;
    bool writes = run->pub.rank == 0;
    if (!w)
        return BMRT_OK;
    BmStatus s =
        bmrt_metrics_open(&w->file, writes ? w->path : NULL, 1024 + 6 * longest_path(w), e);
    if (s == BMRT_OK && writes)
        bmrt_progress_say(&run->progress, "looking at %d tensor%s every %lld step%s: %s", w->n,
                          w->n == 1 ? "" : "s", (long long)w->every, w->every == 1 ? "" : "s",
                          w->path);
    return s;
}

void bmrt_watch_destroy(bmrt_run *run)
{
    bmrt_watcher *w = run->watcher;
    if (!w)
        return;
    bmrt_metrics_close(&w->file);
    free(w->path);
    free(w->item);
    free(w->all);
    free(w);
    run->watcher = NULL;
}

/* ---- looking ---- */

/* Leaves are numbered through the tensor, or through the samples of the global batch. */
typedef struct look {
    const item *x;
    const char *base;    /* the first element there is */
    int64_t first;       /* its sample, or its element */
    bmrt_moments *block; /* of 64 leaves each */
    int64_t block0;      /* number of the first */
} look;

static bmrt_moments leaf_of(const look *l, int64_t leaf)
{
    const item *x = l->x;
    int64_t sample = x->batched ? leaf / x->leaves : 0;
    int64_t in = (x->batched ? leaf % x->leaves : leaf) * BMRT_LEAF;
    int64_t n = x->t.count - in < BMRT_LEAF ? x->t.count - in : BMRT_LEAF;
    int64_t at = x->batched ? (sample - l->first) * x->t.count + in : in - l->first;
    return bmrt_moments_of(x->t.dtype, l->base + at * (int64_t)bmrt_dtype_size(x->t.dtype), (int)n);
}

static void look_at_blocks(void *job, int64_t lo, int64_t hi)
{
    const look *l = job;
    for (int64_t b = lo; b < hi; b++) {
        bmrt_moments m[BLOCK_LEAVES];
        for (int i = 0; i < BLOCK_LEAVES; i++)
            m[i] = leaf_of(l, (l->block0 + b) * BLOCK_LEAVES + i);
        for (int n = BLOCK_LEAVES; n > 1; n /= 2)
            for (int i = 0; i < n / 2; i++)
                m[i] = bmrt_moments_add(&m[2 * i], &m[2 * i + 1]);
        l->block[b] = m[0];
    }
}

static void push(item *x, int64_t first, int level, bmrt_moments of)
{
    x->bad |= !bmrt_moment_push(&x->runs, &(bmrt_moment_run){first, level, of});
}

/* Leaves lo .. hi - 1: single ones up to a whole block, whole blocks, the rest. */
static void look_at(bmrt_run *run, item *x, const void *base, int64_t first, int64_t lo, int64_t hi)
{
    bmrt_watcher *w = run->watcher;
    look l = {x, base, first, w->block, 0};
    while (lo < hi) {
        int64_t blocks = lo % BLOCK_LEAVES ? 0 : (hi - lo) / BLOCK_LEAVES;
        if (blocks == 0) {
            push(x, lo, 0, leaf_of(&l, lo));
            lo++;
            continue;
        }
        if (blocks > BLOCKS)
            blocks = BLOCKS;
        l.block0 = lo / BLOCK_LEAVES;
        bmrt_pool_split(run->pool, look_at_blocks, &l, blocks, 4);
        for (int64_t b = 0; b < blocks; b++, lo += BLOCK_LEAVES)
            push(x, lo, BLOCK_LEVEL, w->block[b]);
    }
}

static int64_t leaves_up_to(int64_t elements)
{
    return (elements + BMRT_LEAF - 1) / BMRT_LEAF;
}

void bmrt_watched(bmrt *r, int id, int64_t lo, int64_t nb)
{
    bmrt_run *run = bmrt_run_of(r);
    bmrt_watcher *w = run->watcher;
    for (int i = 0; w && r->watches && i < w->n; i++) {
        item *x = &w->item[i];
        if (x->after != id)
            continue;
        const char *base = x->t.host ? BMRT_HOST(r, x->t.offset) : BMRT_AT(r, x->t.offset);
        base += x->t.at * (int64_t)bmrt_dtype_size(x->t.dtype);
        int64_t first0 = r->sample0 * x->parts, first = first0 + lo;
        if (x->batched)
            look_at(run, x, base, x->chunk ? first : first0, first * x->leaves,
                    (first + nb) * x->leaves);
        else if (r->first && r->rank == 0 && lo == 0)
            look_at(run, x, base, 0, 0, x->leaves);
    }
}

/* ---- a step ---- */

void bmrt_watch_begin(bmrt_run *run)
{
    bmrt_watcher *w = run->watcher;
    if (!w)
        return;
    int64_t done = run->pub.step + 1;
    w->due = !w->begun || done % w->every == 0 || done == run->stop;
    w->begun = true;
    run->pub.watches = w->due && w->any_value;
    for (int i = 0; i < w->n; i++) {
        memset(&w->item[i].runs, 0, sizeof w->item[i].runs);
        w->item[i].bad = false;
    }
}

static BmStatus total_of(bmrt_run *run, const item *x, bmrt_moments *out, bmrt_error *e)
{
    bmrt_watcher *w = run->watcher;
    bmrt_moment_runs all = {.n = 0};
    int ranks = run->pub.ranks > 1 ? run->pub.ranks : 1;
    bool good = !x->bad;
    BmStatus s = bmrt_collect(run->peers, &x->runs, sizeof x->runs, w->all, e);
    if (s != BMRT_OK)
        return s;
    for (int q = 0; q < ranks; q++)
        for (int64_t i = 0; i < w->all[q].n; i++)
            good = bmrt_moment_push(&all, &w->all[q].run[i]) && good;
    *out = bmrt_moment_total(&all);
    int64_t n = x->t.count * (x->batched ? run->m->batch * x->parts : 1);
    if (!good || out->n != n)
        return bmrt_fail(e, BMRT_BUG, "--inspect: %lld elements of %s '%s' were seen, it has %lld",
                         (long long)out->n, x->what, x->t.path, (long long)n);
    return BMRT_OK;
}

static BmStatus write_line(bmrt_run *run, const item *x, const bmrt_moments *m, bmrt_error *e)
{
    bmrt_metrics *f = &run->watcher->file;
    bool nan = isnan(m->sum);
    bmrt_metrics_begin(f);
    bmrt_metrics_int(f, "step", run->pub.step + 1);
    bmrt_metrics_text(f, "path", x->t.path);
    bmrt_metrics_text(f, "what", x->what);
    bmrt_metrics_real(f, "mean", bmrt_moments_mean(m));
    bmrt_metrics_real(f, "std", bmrt_moments_std(m));
    bmrt_metrics_real(f, "max", nan ? m->sum : m->most);
    bmrt_metrics_real(f, "min", nan ? m->sum : m->least);
    return bmrt_metrics_end(f, e);
}

BmStatus bmrt_watch_end(bmrt_run *run, bmrt_error *e)
{
    bmrt_watcher *w = run->watcher;
    BmStatus s = BMRT_OK;
    if (!w || !w->due)
        return BMRT_OK;
    run->pub.watches = false;
    for (int i = 0; i < w->n; i++) {
        item *x = &w->item[i];
        bmrt_moments m;
        bmrt_share p = bmrt_share_of(&run->pub, &x->t);
        if (x->after < 0 && p.n > 0 && bmrt_share_is_first(&run->pub, &x->t))
            look_at(run, x, p.at, p.lo, p.lo / BMRT_LEAF, leaves_up_to(p.lo + p.n));
        /* Every rank goes through all of them, whatever went wrong on one. */
        BmStatus total = total_of(run, x, &m, s == BMRT_OK ? e : &(bmrt_error){{0}, {0}});
        if (s == BMRT_OK)
            s = total == BMRT_OK ? write_line(run, x, &m, e) : total;
    }
    return bmrt_agree(run->peers, s, e);
}
