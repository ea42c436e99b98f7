/* Random models through the whole compiler: what their programs compute, and that neither fusing,
 * threads, micro-batches nor what is computed again change a bit of it.
 *
 *   test_random [--graphs N] [--first SEED] [--ops N] [--keep] [--print]
 *
 * Models of 25 seeds are one library; two processes share the work. --keep leaves the emitted
 * files, --print shows the graphs, --ops makes at most that many operators: for looking at one seed
 * that failed. */
#include "planner/verify/verify.h"
#include "tests/random/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef BM_DEBUG /* with sanitizers, beside a build that does all of them */
enum { PER_COMMIT = 100 };
#else
enum { PER_COMMIT = 500 };
#endif
enum { PER_LIBRARY = 25, MOST_PROCESSES = 2, PLANS = 4, UNITS = 3 };
static const double most_error = 4; /* bounds */

/* Compilers take three times as long to optimize these programs as to translate them, and order and
 * rounding are the language's either way: only some libraries are optimized. */
static const char *optimize(uint64_t first)
{
    return first / PER_LIBRARY % 10 == 0 ? "-O1" : "-O0";
}

typedef struct Options {
    int graphs;
    uint64_t first;
    int64_t ops;
    bool keep, print;
} Options;

typedef struct Totals { /* of a process: sent as it is */
    int graphs, nodes, bad, dropped, rounds, splits, differences, heads, again;
    double worst, sum_log; /* error in bounds: greatest; sum of logs of all */
    double worst_difference;
    int hits[N_OPS];
} Totals;

typedef struct Case {
    uint64_t seed;
    Make *k;
    Truth truth;
    int program[PLANS]; /* of the library; -1: none */
    bool detaches;      /* the loss moves where no gradient goes */
} Case;

typedef struct Work {
    const Options *o;
    Totals *t;
    Arena *arena;
    Diag *diag;
    Batch batch;
    Case cases[PER_LIBRARY];
    int n;
} Work;

/* A BUG ends the process: what it was at. */
static uint64_t busy;

static void tell_seed(void)
{
    if (busy)
        fprintf(stderr, "it ended at seed %llu\n", (unsigned long long)busy);
}

/* ---- from a seed to programs ---- */

static void complain(const Work *w, const Case *c, const char *what)
{
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)c->seed, what);
    w->t->bad++;
}

static void count_rows(Totals *t, const Graph *g, Node *const root[], int n, Arena *a)
{
    NodeList list = graph_reach(a, g, root, n);
    for (int i = 0; i < list.n; i++)
        t->hits[list.v[i]->op]++;
    t->nodes += list.n;
}

static void count_program(Program *p, void *ctx)
{
    Work *w = ctx;
    count_rows(w->t, p->graph, p->root.v, p->root.n, w->arena);
}

static bool has_detach(const Make *k)
{
    bool any = false;
    for (int i = 0; i < k->g->node.n; i++)
        any = any || k->g->node.v[i]->op == OP_DETACH;
    return any;
}

/* Runs of nodes as blocks, as no model would have them: values go back and forth. */
static void cut_in_units(Make *k, uint64_t seed)
{
    static const char *const path[UNITS] = {"u.0", "u.1", "u.2"};
    int first = k->g->instance.n, unit = 0;
    for (int i = 0; i < UNITS; i++)
        vec_push(k->arena, &k->g->instance, ((Instance){path[i], "U", 0, first + i}));
    for (int i = 0; i < k->g->node.n; i++) {
        int64_t words[] = {(int64_t)seed, i};
        uint64_t draw = hash_bytes(0, words, sizeof words);
        if (draw % 16 == 0)
            unit = (int)(draw / 16 % (UNITS + 1));
        k->g->node.v[i]->instance = unit ? first + unit - 1 : 0;
    }
}

static const Plan *make_plan(Work *w, const Case *c, int64_t micro, bool no_fuse)
{
    bool no_fit = false;
    PlanOptions o = {.micro_batch = micro, .no_fuse = no_fuse};
    const Plan *p = plan_build(w->arena, c->k->m, &o, w->diag, &no_fit);
    if (p && plan_verify(p, w->diag))
        return p;
    complain(w, c, no_fuse ? "the plan without fusion is wrong" : "the plan is wrong");
    if (p && w->o->print) {
        StrBuf s = strbuf_new(w->arena);
        plan_print(&s, p);
        printf("%s", s.text);
    }
    return NULL;
}

/* Of blocks nothing is kept but what enters and leaves them; one of them may keep all. */
static const Plan *plan_again(Work *w, const Case *c)
{
    Model *m = c->k->m;
    RecomputeRule *rule = arena_array(w->arena, RecomputeRule, m->train.graph->instance.n);
    for (int i = 1; i < m->train.graph->instance.n; i++)
        rule[i] = (c->seed + (uint64_t)i) % 7 ? RECOMPUTE_ALL : RECOMPUTE_NONE;
    m->plan.recompute = rule;
    const Plan *p = make_plan(w, c, c->k->micro, false);
    m->plan.recompute = NULL;
    for (int i = 0; p && i < p->step.n; i++)
        w->t->again += p->step.v[i].recompute;
    return p;
}

/* Fused and not; and as one micro-batch when both promise the same bits. */
static void add_plans(Work *w, Case *c)
{
    const Make *k = c->k;
    const Plan *p = make_plan(w, c, k->micro, false), *plain = make_plan(w, c, k->micro, true);
    if (!p || !plain)
        return;
    c->program[0] = batch_add(&w->batch, p);
    c->program[1] = batch_add(&w->batch, plain);
    const Plan *again = plan_again(w, c);
    if (again)
        c->program[3] = batch_add(&w->batch, again);
    if (k->micro == k->m->batch || p->below_grain)
        return;
    const Plan *whole = make_plan(w, c, k->m->batch, false);
    if (whole && !whole->below_grain)
        c->program[2] = batch_add(&w->batch, whole);
}

static void print_graph(const Make *k, const char *what, const Program *p)
{
    StrBuf s = strbuf_new(k->arena);
    graph_print(&s, p->graph, p->root.v, p->root.n);
    printf("# %s; batch %lld, micro-batch %lld\n%s", what, (long long)k->m->batch,
           (long long)k->micro, s.text);
}

static void add_case(Work *w, uint64_t seed)
{
    Case *c = &w->cases[w->n++];
    w->diag->errors = 0;
    *c = (Case){.seed = seed, .program = {-1, -1, -1, -1}};
    busy = seed;
    w->diag->out = NULL; /* operands that do not fit are part of the search */
    c->k = make_model(w->arena, w->diag, seed, w->o->ops);
    w->diag->out = stderr;
    Make *k = c->k;
    cut_in_units(k, seed);
    truth_forward(&c->truth, k);
    count_rows(w->t, k->g, &k->m->train.loss, 1, w->arena);
    c->detaches = has_detach(k);
    if (!hand_graphs(k->m, w->diag, count_program, w)) {
        complain(w, c, "refused");
        return;
    }
    if (w->o->print)
        print_graph(k, "training", &k->m->train);
    truth_bounds(&c->truth);
    add_plans(w, c);
    w->t->graphs++;
    w->t->dropped += k->dropped;
    w->t->rounds += k->micro < k->m->batch;
    w->t->heads += k->m->train.logits != NULL;
}

/* ---- judging ---- */

static void compare(Work *w, const Case *c, const bmrt_model *m, const Result *x, const Result *y,
                    const char *what)
{
    const char *d = judge_difference(w->arena, m, x, y);
    if (d)
        complain(w, c, arena_printf(w->arena, "%s gives other bits: %s", what, d));
}

static void judge(Work *w, Case *c)
{
    const bmrt_model *m[PLANS] = {NULL};
    busy = c->seed;
    for (int i = 0; i < PLANS; i++)
        if (c->program[i] >= 0)
            m[i] = batch_model(&w->batch, c->program[i]);
    if (!m[0] || !m[1])
        return;
    Result one = judge_run(w->arena, c->k, m[0], 1), three = judge_run(w->arena, c->k, m[0], 3);
    Result plain = judge_run(w->arena, c->k, m[1], 1);
    compare(w, c, m[0], &one, &three, "three threads");
    compare(w, c, m[0], &one, &plain, "no fusion");
    if (m[3]) {
        Result again = judge_run(w->arena, c->k, m[3], 2);
        compare(w, c, m[0], &one, &again, "computing again");
    }
    if (m[2]) {
        Result whole = judge_run(w->arena, c->k, m[2], 2);
        w->t->splits++;
        compare(w, c, m[0], &one, &whole, "another micro-batch of whole grains");
    }
    const char *what;
    double error = judge_error(&c->truth, m[0], &one, &what);
    w->t->worst = fmax(w->t->worst, error);
    w->t->sum_log += log(error + 1e-6);
    if (!(error <= most_error))
        complain(w, c, arena_printf(w->arena, "%s is off by %.3g times its bound", what, error));
    if (c->seed % 8 == 0 && !c->detaches) {
        double d = truth_differences(&c->truth);
        w->t->differences++;
        w->t->worst_difference = fmax(w->t->worst_difference, d);
        if (!(d <= 1))
            complain(w, c, "dual numbers and central differences disagree");
    }
}

static void remove_files(const Work *w)
{
    for (int i = 0; i < w->batch.n; i++)
        remove(arena_printf(w->arena, "%s/%s_%d.c", w->batch.dir, w->batch.name, i));
    remove(arena_printf(w->arena, "%s/%s.so", w->batch.dir, w->batch.name));
}

static void run_library(const Options *o, Totals *t, uint64_t first, int n)
{
    Arena *a = arena_new();
    Work w = {.o = o, .t = t, .arena = a};
    w.diag = diag_new(a, sources_new(a), stderr);
    w.batch = batch_new(a, ".", arena_printf(a, "random_%llu", (unsigned long long)first));
    for (int i = 0; i < n; i++)
        add_case(&w, first + (uint64_t)i);
    if (batch_build(&w.batch, optimize(first)))
        for (int i = 0; i < n; i++)
            judge(&w, &w.cases[i]);
    else
        t->bad++;
    busy = 0;
    batch_close(&w.batch);
    if (!o->keep)
        remove_files(&w);
    arena_free(a);
}

/* ---- processes ---- */

static Totals run_part(const Options *o, int part, int parts)
{
    Totals t = {0};
    for (int at = part * PER_LIBRARY; at < o->graphs; at += parts * PER_LIBRARY) {
        int n = o->graphs - at < PER_LIBRARY ? o->graphs - at : PER_LIBRARY;
        run_library(o, &t, o->first + (uint64_t)at, n);
    }
    return t;
}

static void add_totals(Totals *t, const Totals *x)
{
    t->graphs += x->graphs;
    t->nodes += x->nodes;
    t->bad += x->bad;
    t->dropped += x->dropped;
    t->rounds += x->rounds;
    t->splits += x->splits;
    t->differences += x->differences;
    t->heads += x->heads;
    t->again += x->again;
    t->worst = fmax(t->worst, x->worst);
    t->worst_difference = fmax(t->worst_difference, x->worst_difference);
    t->sum_log += x->sum_log;
    for (int i = 0; i < N_OPS; i++)
        t->hits[i] += x->hits[i];
}

static Totals run_all(const Options *o)
{
    Totals all = {0};
    int parts = o->graphs > PER_LIBRARY ? MOST_PROCESSES : 1, from[MOST_PROCESSES][2];
    if (parts == 1)
        return run_part(o, 0, 1);
    for (int i = 0; i < parts; i++) {
        if (pipe(from[i]) != 0)
            die("cannot make a pipe");
        pid_t pid = fork();
        if (pid < 0)
            die("cannot fork");
        if (pid > 0)
            continue;
        Totals t = run_part(o, i, parts);
        exit(write(from[i][1], &t, sizeof t) == sizeof t ? 0 : 1);
    }
    for (int i = 0; i < parts; i++) {
        Totals t;
        close(from[i][1]);
        if (read(from[i][0], &t, sizeof t) == sizeof t)
            add_totals(&all, &t);
        else
            all.bad++;
    }
    for (int status; wait(&status) > 0;)
        all.bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return all;
}

static int missing_rows(const Totals *t)
{
    int missing = 0;
    for (int i = 0; i < N_OPS; i++)
        if (!t->hits[i]) {
            missing++;
            fprintf(stderr, "no graph has `%s`\n", op_info[i].name);
        }
    return missing;
}

static bool parse(Options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--graphs") && i + 1 < argc)
            o->graphs = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--first") && i + 1 < argc)
            o->first = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--ops") && i + 1 < argc)
            o->ops = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--keep"))
            o->keep = true;
        else if (!strcmp(argv[i], "--print"))
            o->print = true;
        else
            return false;
    }
    return o->graphs > 0 && o->ops > 0;
}

int main(int argc, char **argv)
{
    Options o = {.graphs = PER_COMMIT, .first = 1, .ops = 40};
    if (!parse(&o, argc, argv)) {
        fprintf(stderr,
                "usage: test_random [--graphs N] [--first SEED] [--ops N] [--keep] [--print]\n");
        return 2;
    }
    atexit(tell_seed);
    Totals t = run_all(&o);
    int missing = o.graphs >= 500 ? missing_rows(&t) : 0, rows = 0; /* fewer need not have all */
    for (int i = 0; i < N_OPS; i++)
        rows += t.hits[i] > 0;
    printf("%d graphs, %d nodes, %d of %d op rows; %d in rounds, %d with a head, %d other "
           "micro-batches; %d steps computed again; %d doubtful nodes left out\n",
           t.graphs, t.nodes, rows, N_OPS, t.rounds, t.heads, t.splits, t.again, t.dropped);
    printf(
        "error in bounds: typically %.3f, at most %.3f (allowed: %.0f); differences: %d, at most "
        "%.3f of 1e-5\n",
        exp(t.sum_log / (t.graphs + 1e-9)), t.worst, most_error, t.differences, t.worst_difference);
    printf("%d failures\n", t.bad);
    return t.bad || missing;
}
