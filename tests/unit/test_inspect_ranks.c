/* Pages about plans of several ranks: who keeps what, what is sent and what hides it, the trace's
 * rows and arrows, the HTML page's form, two plans side by side. */
#include "planner/inspect_lanes.h"
#include "planner/simulate.h"
#include "tests/unit/plan_random.h"
#include "tests/unit/plan_ranks.h"

#include <jansson.h>
#include <setjmp.h>

#include <cmocka.h>

static PlanFile *file_of(Arena *a, const Plan *p)
{
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    PlanFile *f = plan_read_text(a, "p", s.text, s.n, diag_new(a, sources_new(a), stderr));
    assert_non_null(f);
    return f;
}

/* With a machine, and the times it predicts for the steps' own. */
static Plan *ranks_plan(Arena *a, int64_t ranks, int layers)
{
    Plan *p = fix_ranks(a, ranks, layers);
    p->machine = machine_find(a, "h100-80g", diag_new(a, sources_new(a), stderr));
    assert_non_null(p->machine);
    Timeline t = simulate(a, p->machine, p, PROGRAM_TRAIN);
    p->step_ps = t.step_ps;
    p->exposed_ps = t.exposed_ps;
    return p;
}

static const char *page_asked(Arena *a, const PlanFile *f, InspectOptions o, bool there)
{
    StrBuf s = strbuf_new(a);
    assert_int_equal(inspect_text(&s, f, &o), there);
    return s.text;
}

static const char *page_of(Arena *a, const PlanFile *f, InspectPage page)
{
    return page_asked(a, f, (InspectOptions){.page = page}, true);
}

static void has(const char *page, const char *words)
{
    if (!strstr(page, words))
        fail_msg("no '%s' in\n%s", words, page);
}

static void has_not(const char *page, const char *words)
{
    if (strstr(page, words))
        fail_msg("'%s' in\n%s", words, page);
}

/* ---- times ---- */

/* The lanes are the simulator's, turn by turn, whatever the number of rounds. */
static void lanes(void **state)
{
    (void)state;
    for (int64_t rounds = 1; rounds <= 5; rounds++) {
        Arena *a = arena_new();
        Plan *p = ranks_plan(a, 4, 5);
        p->rounds = p->program[PROGRAM_TRAIN].rounds = rounds;
        Timeline t = simulate(a, p->machine, p, PROGRAM_TRAIN);
        Page page = {.a = a, .f = file_of(a, p), .s = strbuf_new(a)};
        Lanes l = lanes_of(&page, PROGRAM_TRAIN);
        assert_true(lanes_known(page.f));
        assert_int_equal(l.ps, t.step_ps);
        assert_int_equal(l.exposed, t.exposed_ps);
        for (int k = 0; k < N_STREAMS; k++)
            assert_int_equal(l.busy[k], t.busy_ps[k]);
        assert_int_equal(l.turn.n, rounds > 2 ? 4 : rounds > 1 ? 3 : 2);
        /* compute stands still only while something else runs */
        for (int i = 0; i < l.turn.n; i++) {
            int64_t exposed = 0;
            for (int k = l.turn.v[i].first; k < l.turn.v[i].first + l.turn.v[i].n; k++) {
                assert_true(l.slot.v[k].exposed >= 0);
                assert_true(l.slot.v[k].exposed <= l.slot.v[k].to - l.slot.v[k].from);
                exposed += l.slot.v[k].exposed;
            }
            assert_int_equal(exposed, l.turn.v[i].exposed);
        }
        arena_free(a);
    }
}

static void times(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Page p = {.a = a};
    static const struct {
        int64_t ps;
        const char *text;
    } word[] = {{0, "0"},
                {7, "7 ps"},
                {999, "999 ps"},
                {1000, "1.00 ns"},
                {12345, "12.3 ns"},
                {999499999, "999 us"},
                {1234567890, "1.23 ms"},
                {INT64_C(2500000000000), "2.50 s"}};
    for (int i = 0; i < countof(word); i++)
        assert_string_equal(page_ps(&p, word[i].ps), word[i].text);
    arena_free(a);
}

/* ---- pages ---- */

static void comm(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const Plan *p = ranks_plan(a, 4, 30);
    const char *s = page_of(a, file_of(a, p), INSPECT_COMM);
    int64_t sent = 0;
    for (int i = 0; i < p->step.n; i++)
        if (step_kind(p->step.v[i].kernel) == KIND_ALL_GATHER)
            sent += p->step.v[i].sent * (p->step.v[i].phase == PHASE_ROUND ? p->rounds : 1);
    Page n = {.a = a};
    has(s, arena_printf(a, "all_gather: %d calls, %s sent (%s bytes)", 30 * 2 * 2 + 1,
                        page_bytes(&n, sent), page_grouped(&n, sent)));
    has(s, "reduce_scatter: 31 calls");
    has(s, "h.0");
    has(s, "nothing"); /* the first gather has nothing to hide under */
    has(s, "h.* forward");
    has(s, "backward, last round");
    has(s, arena_printf(a, "%s exposed\n", page_ps(&n, p->exposed_ps)));
    /* without times it says how long each may take */
    Plan *q = fix_ranks(a, 2, 3);
    for (int i = 0; i < q->step.n; i++)
        q->step.v[i].ps = 0;
    s = page_of(a, file_of(a, q), INSPECT_COMM);
    has(s, "until h.* forward");
    has(s, "until the phase ends");
    has_not(s, "exposed");
    /* one rank */
    s = page_of(a, file_of(a, fix_small(a, 4, 3, 2)), INSPECT_COMM);
    has(s, "none");
    arena_free(a);
}

static void params(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const PlanFile *f = file_of(a, ranks_plan(a, 4, 7));
    const char *s = page_of(a, f, INSPECT_PARAMS);
    has(s, "rank 0's elements");
    has(s, "h.*.weight    x 7  [4000]  f32    h.*      3      0-1023");
    has(s, "weight             [4000]  f32    (model)  1      0-1023");
    s = page_asked(a, f, (InspectOptions){.page = INSPECT_PARAMS, .rank = 3}, true);
    has(s, "3      3072-3999"); /* 96 elements of its shard are padding */
    s = page_asked(a, f, (InspectOptions){.page = INSPECT_PARAMS, .rank = 4}, false);
    assert_string_equal(s, "there is no rank 4: the plan's are 0 to 3");
    page_asked(a, f, (InspectOptions){.page = INSPECT_PARAMS, .rank = -1}, false);
    /* every element has one owner */
    for (int i = 0; i < f->n_param; i++) {
        int64_t next = 0;
        for (int64_t r = 0; r < 4; r++) {
            Range part = param_range(f, &f->param[i], r);
            assert_int_equal(part.lo, next);
            next = part.hi;
            Kept k = param_kept(f, &f->param[i], r);
            assert_int_equal(k.state, 4 * (part.hi - part.lo));
            assert_int_equal(k.params, f->group[f->param[i].group].level == LEVEL_3
                                           ? 4 * (part.hi - part.lo)
                                           : 16000);
        }
        assert_int_equal(next, 4000);
    }
    arena_free(a);
}

static void recompute(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = ranks_plan(a, 4, 6);
    has(page_of(a, file_of(a, p), INSPECT_RECOMPUTE), "nothing is computed again");
    for (int i = 0; i < p->step.n; i++) { /* h.2's activation is made once more */
        Step *s = &p->step.v[i];
        if (s->backward && s->stream == STREAM_COMPUTE && strcmp(s->path, "h.2.fc") == 0 &&
            s->kernel->kind == K_FUSED)
            s->recompute = true;
    }
    const char *s = page_of(a, file_of(a, p), INSPECT_RECOMPUTE);
    has(s, "  h.*        x 5  Layer             1    7.81 KiB  39.1 KiB\n");
    has(s, "  h.2             Layer             1    7.81 KiB  7.81 KiB            1     40");
    has(s, "18.0 us         180.0 %"); /* 9 us in each of two rounds, after 5 us forward */
    arena_free(a);
}

static void memory(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = ranks_plan(a, 4, 3);
    const char *s = page_of(a, file_of(a, p), INSPECT_MEMORY);
    has(s, "on each rank");
    has(s, "always there: 44.0 KiB");
    has(s, "state  shard  h.*.weight.exp_avg");
    has_not(s, "host arena");
    p->buffer.v[3].host = true;
    p->host_bytes = 4096;
    s = page_of(a, file_of(a, p), INSPECT_MEMORY);
    has(s, "host arena: 4.00 KiB");
    has(s, "always there: 40.0 KiB");
    arena_free(a);
}

/* On a CPU both arenas lie in the memory there is. */
static void memory_of_both(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = ranks_plan(a, 4, 3);
    Alternative chosen = {.micro_batch = 2, .rounds = 2, .arena_bytes = p->arena_bytes};
    chosen.fits = true;
    Alternative other = chosen;
    other.arena_bytes = 1 << 20;
    other.host_bytes = 65536;
    other.fits = false;
    other.why = "needs more than memory";
    vec_push(a, &p->tried, chosen);
    vec_push(a, &p->tried, other);
    other.arena_bytes = 4096; /* what was too small is the host's memory */
    vec_push(a, &p->tried, other);
    p->memory = p->arena_bytes + 65536;
    p->host_bytes = 4096;
    const InspectOptions why = {.page = INSPECT_WHY, .what = "memory"};
    const PlanFile *f = file_of(a, p);
    const char *s = page_of(a, f, INSPECT_SUMMARY), *w = page_asked(a, f, why, true);
    has(s, "\n  memory: 263.4 KiB\n"); /* a GPU's, and nobody knows the host's */
    has_not(s, "both arenas");
    has(w, "  on the host 4.00 KiB\n  64.0 KiB are left");
    has(w, "memory = 1048576\n");
    Machine *m = arena_make(a, Machine);
    *m = *p->machine;
    m->host_bytes = 1 << 20;
    p->machine = m;
    has(page_of(a, file_of(a, p), INSPECT_SUMMARY), "\n  memory: 263.4 KiB, the host's 1.00 MiB\n");
    p->machine = machine_find(a, "cpu", diag_new(a, sources_new(a), stderr));
    f = file_of(a, p);
    s = page_of(a, f, INSPECT_SUMMARY);
    w = page_asked(a, f, why, true);
    has(s, "\n  memory: 263.4 KiB, 203.4 KiB taken: both arenas lie in it\n");
    has(w, "  on the host 4.00 KiB, which is the same memory\n  60.0 KiB are left");
    has(w, "memory = 1114112\n");
    has(page_asked(a, f, (InspectOptions){.page = INSPECT_HTML}, true), "of the same memory");
    arena_free(a);
}

static const struct {
    const char *what, *words[4];
} ask[] = {
    {"h.1", {"h.1 (Layer): level 3", "because: zero h = 3", "zero h.1 = 3", "      zero = 1\n"}},
    {"h.1.weight", {"h.1 (Layer): level 3", "5 collectives, 60.0 KiB sent", "", ""}},
    {"h.*", {"h.0 (Layer): level 3", "", "", ""}},
    {"weight", {"(model) (Tiny): level 1", "because: fewest bytes", "zero weight = 1", ""}},
    {"(model)", {"(model) (Tiny): level 1", "", "", ""}},
    {"zero", {"h.*        x 3  3      zero h = 3", "not taken: 1.4 % slower", "(+2.0 %)", ""}},
    {"memory", {"at most 1.00 MiB", "needs more than memory", "memory = 5242880", "are left"}},
    {"micro_batch", {"micro-batch: 2, in 2 rounds", "does not fit", "micro_batch = 4", ""}},
    {"micro-batch", {"micro-batch: 2, in 2 rounds", "", "", ""}},
    {"recompute", {"recompute: none", "none was tried", "", ""}},
    {"overlap", {"overlap: auto, lead 1", "communication takes", "none was tried", ""}},
};

static void why(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = ranks_plan(a, 4, 3);
    p->memory = 1 << 20;
    Alternative chosen = {.micro_batch = 2,
                          .rounds = 2,
                          .arena_bytes = p->arena_bytes,
                          .step_ps = p->step_ps,
                          .zero = "h: 3, rest: 1",
                          .recompute = "none",
                          .overlap = "lead 1",
                          .fits = true};
    Alternative best = chosen, worse = chosen, large = chosen;
    best.zero = "1";
    best.arena_bytes *= 2;
    best.why = "1.4 % slower";
    best.step_ps += p->step_ps / 50;
    worse = best;
    worse.zero = "h: once, rest: 0";
    worse.step_ps *= 2;
    worse.why = "slower by far";
    large.micro_batch = 4;
    large.rounds = 1;
    large.arena_bytes = 5 << 20;
    large.step_ps -= 1000;
    large.fits = false;
    large.why = "needs more than memory";
    vec_push(a, &p->tried, worse);
    vec_push(a, &p->tried, chosen);
    vec_push(a, &p->tried, best);
    vec_push(a, &p->tried, large);
    const PlanFile *f = file_of(a, p);
    InspectOptions o = {.page = INSPECT_WHY};
    const char *s = page_asked(a, f, o, true);
    has(s, "memory ");
    has(s, "h.* ");
    for (int i = 0; i < countof(ask); i++) {
        o.what = ask[i].what;
        s = page_asked(a, f, o, true);
        for (int k = 0; k < countof(ask[i].words); k++)
            has(s, ask[i].words[k]);
    }
    static const char *const nothing[] = {"h.99", "h.1.", "memo", "memoryy", "h.1.weight.x", "*"};
    for (int i = 0; i < countof(nothing); i++) {
        o.what = nothing[i];
        has(page_asked(a, f, o, false), arena_printf(a, "nothing is called '%s'", nothing[i]));
    }
    arena_free(a);
}

static void diff(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *x = ranks_plan(a, 4, 3), *y = ranks_plan(a, 2, 4);
    for (int i = 1; i < 3; i++)
        y->group.v[i].level = LEVEL_2;
    y->reduced = true;
    y->hash++;
    InspectOptions o = {.page = INSPECT_DIFF};
    StrBuf s = strbuf_new(a);
    assert_true(inspect_text_with(&s, file_of(a, x), file_of(a, y), &o));
    has(s.text, "ranks                4        2  -50.0 %");
    has(s.text, "accumulate       local  reduced");
    has(s.text, "h.* (2)  3      2");
    has(s.text, "h.3      -      3");
    has(s.text, "all_gather         13      17  +30.8 %");
    has_not(s.text, "fused"); /* what is the same is not shown */
    s = strbuf_new(a);
    assert_true(inspect_text_with(&s, file_of(a, x), file_of(a, x), &o));
    has(s.text, "the same plan");
    Plan *z = ranks_plan(a, 4, 3);
    z->hash++;
    z->step.v[2].wait[STREAM_COMM] = -1;
    s = strbuf_new(a);
    assert_true(inspect_text_with(&s, file_of(a, x), file_of(a, z), &o));
    has(s.text, "order, places or waits differ");
    arena_free(a);
}

/* ---- what bounds steps ---- */

/* Six layers in two rounds: 12 gathers in each, 7 reduces in the last and a gather after it, of 3
 * us; 5 us forward, 9 and 2 backward, 2 for the model's own; 1 us in each of seven updates. */
static void classes(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const PlanFile *f = file_of(a, ranks_plan(a, 4, 6));
    const char *s = page_of(a, f, INSPECT_SUMMARY);
    has(s, "time by class");
    has(s, "  math       13   136 us");
    has(s, "  memory      6  60.0 us");
    has(s, "  net        20  96.0 us");
    has(s, "  launch      7  7.00 us");
    has(s, "  45.5 %  ");
    s = page_of(a, f, INSPECT_TIMELINE);
    has(s, "5.00 us  memory  ");
    has(s, "3.00 us  net     ");
    has(s, "9.00 us  math    ");
    has(page_of(a, f, INSPECT_TRACE), "\"class\":\"net\"");
    s = page_of(a, f, INSPECT_HTML);
    has(s, "<td>math</td><td class=\"r\">13</td><td class=\"r\">136 us</td>");
    has(s, "math 11.0 us");
    has(s, "\nmemory<");
    has(s, "\nnet\n");
    /* a plan for no machine has none */
    const PlanFile *none = file_of(a, fix_ranks(a, 4, 6));
    has_not(page_of(a, none, INSPECT_SUMMARY), "time by class");
    has_not(page_of(a, none, INSPECT_TIMELINE), "memory  ");
    has_not(page_of(a, none, INSPECT_TRACE), "class");
    has_not(page_of(a, none, INSPECT_HTML), "math");
    arena_free(a);
}

/* ---- the trace ---- */

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* Rows never overlap, each arrow has one tail within a slot and one head at the begin of one. */
static void check_trace(Arena *a, const char *text, const PlanFile *f)
{
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    const json_t *list = json_object_get(o, "traceEvents");
    size_t n = json_array_size(list);
    double end[N_STREAMS] = {0};
    int slots = 0, tails = 0, heads = 0, counters = 0;
    double *tail = arena_array(a, double, (int)n + 2);
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, i);
        const char *ph = text_of(e, "ph");
        assert_non_null(ph);
        assert_true(number(e, "pid") >= 0);
        if (*ph == 'X') {
            int tid = (int)number(e, "tid");
            assert_in_range(tid, 0, N_STREAMS - 1);
            assert_true(number(e, "ts") >= end[tid] - 1e-5);
            end[tid] = number(e, "ts") + number(e, "dur");
            slots++;
        } else if (*ph == 's') {
            tail[(int)number(e, "id")] = number(e, "ts") + 1;
            tails++;
        } else if (*ph == 'f') {
            assert_string_equal(text_of(e, "bp"), "e");
            double from = tail[(int)number(e, "id")];
            assert_true(from > 0 && from - 1 <= number(e, "ts") + 1e-5);
            heads++;
        } else if (*ph == 'C') {
            const json_t *args = json_object_get(e, "args");
            assert_true(number(args, "live") <= (double)f->totals.max_live_bytes);
            counters++;
        } else {
            assert_string_equal(ph, "M");
        }
    }
    assert_int_equal(tails, heads);
    assert_true(slots > 0 && counters > 0);
    json_decref(o);
}

static void trace(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = ranks_plan(a, 4, 6);
    p->rounds = p->program[PROGRAM_TRAIN].rounds = 5;
    const PlanFile *f = file_of(a, p);
    const char *s = page_of(a, f, INSPECT_TRACE);
    check_trace(a, s, f);
    has(s, "\"name\":\"Sharded, rank 0 of 4, predicted\"");
    has(s, "\"name\":\"h.3 all_gather\"");
    int n = 0; /* each step as often as it runs */
    for (const char *c = s; (c = strstr(c, "\"ph\":\"X\"")) != NULL; c++)
        n++;
    int64_t runs = 0;
    for (int i = 0; i < f->n_step; i++)
        runs += step_runs(f, &f->step[i]);
    assert_int_equal(n, runs);
    page_asked(a, f, (InspectOptions){.page = INSPECT_TRACE, .rank = 3}, true);
    page_asked(a, f, (InspectOptions){.page = INSPECT_TRACE, .rank = 4}, false);
    /* a plan without times has no trace */
    s = page_asked(a, file_of(a, fix_small(a, 4, 3, 2)), (InspectOptions){.page = INSPECT_TRACE},
                   false);
    has(s, "no times");
    arena_free(a);
}

/* ---- the page for a browser ---- */

/* Tags closed in order, attributes in quotes, nothing that would be fetched or run. */
static void check_html(const char *s)
{
    static const char *const never[] = {"<script", "http:",   "https:", "src=", "href",
                                        "url(",    "@import", "onload", "nan",  "-inf"};
    char stack[64][16];
    int depth = 0;
    for (int i = 0; i < countof(never); i++)
        has_not(s, never[i]);
    assert_true(strncmp(s, "<!DOCTYPE html>\n", 16) == 0);
    for (const char *c = strchr(s + 1, '<'); c; c = strchr(c, '<')) {
        const char *end = strchr(c, '>');
        assert_non_null(end);
        bool close = c[1] == '/', alone = end[-1] == '/';
        char name[16] = "";
        size_t n = strcspn(c + 1 + close, " />");
        assert_true(n > 0 && n < sizeof name);
        memcpy(name, c + 1 + close, n);
        int quotes = 0;
        for (const char *q = c; q < end; q++)
            quotes += *q == '"';
        assert_int_equal(quotes % 2, 0);
        if (close) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (!alone && strcmp(name, "meta") != 0) {
            assert_true(depth < countof(stack));
            memcpy(stack[depth++], name, sizeof name);
        }
        c = end;
    }
    assert_int_equal(depth, 0);
}

static void html(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = ranks_plan(a, 4, 12);
    Alternative t = {.micro_batch = 2, .rounds = 2, .zero = "h: <3> & \"1\"", .arena_bytes = 9000};
    vec_push(a, &p->tried, t);
    ((Model *)(uintptr_t)p->model)->name = "A<b>&\"c\"";
    const char *s = page_of(a, file_of(a, p), INSPECT_HTML);
    check_html(s);
    has(s, "<h1>A&lt;b&gt;&amp;&quot;c&quot;</h1>");
    has(s, "h: &lt;3&gt; &amp; &quot;1&quot;");
    has(s, "rank 3, h.0\nkeeps elements 3072 to 4095 of 4096");
    has(s, "<h2>Timeline</h2>");
    has(s, "<h2>Shards</h2>");
    has(s, "ZeRO 3, 4.10 k elements each");
    has(s, "compute waits");
    has(s, arena_printf(a, "peak, step %d", p->max_live_step));
    assert_true(strlen(s) < 300000);
    /* one rank, no machine: what there is to say */
    s = page_of(a, file_of(a, fix_small(a, 4, 3, 2)), INSPECT_HTML);
    check_html(s);
    has(s, "predicts no times");
    has_not(s, "<h2>Shards</h2>");
    /* as many steps as a deep model has */
    p = ranks_plan(a, 64, 39);
    s = page_of(a, file_of(a, p), INSPECT_HTML);
    check_html(s);
    has(s, "and 56 more ranks");
    assert_true(strlen(s) < 400000);
    arena_free(a);
}

/* ---- any plan ---- */

/* Steps on any stream, waiting for whatever came before, with any times. */
static void shuffle(Fix *f, Plan *p)
{
    static const int64_t ps[] = {0, 1, 999, 1000000, INT64_C(3000000000000), INT64_C(1) << 62};
    p->ranks = 1 + fix_roll(f, 5);
    p->shared_by = 1 + fix_roll(f, (int)p->ranks);
    for (int i = 0; i < p->step.n; i++) {
        Step *s = &p->step.v[i];
        s->ps = ps[fix_roll(f, fix_roll(f, 20) ? 5 : 6)];
        s->when = s->phase == PHASE_ROUND ? (When)fix_roll(f, N_WHEN) : WHEN_ALWAYS;
        if (!s->region)
            s->stream = (Stream)fix_roll(f, N_STREAMS);
        for (int k = 0; k < N_STREAMS; k++)
            s->wait[k] = -1;
        for (int k = 0; k < 2 && i; k++) {
            int of = fix_roll(f, i);
            s->wait[p->step.v[of].stream] = of;
        }
    }
}

static void any_plan(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        Arena *a = arena_new();
        Fix *f = fix_new(a, seed);
        Plan *p = seed % 3 ? fix_random(a, seed) : fix_ranks(a, 2 + (int)seed % 4, 3);
        shuffle(f, p);
        const PlanFile *pf = file_of(a, p);
        for (int page = 0; page < N_INSPECT_PAGES; page++) {
            StrBuf s = strbuf_new(a);
            InspectOptions o = {.page = (InspectPage)page, .unicode = seed & 1};
            bool there = inspect_text(&s, pf, &o);
            if (page == INSPECT_HTML)
                check_html(s.text);
            assert_true(there || page == INSPECT_TRACE);
        }
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes),          cmocka_unit_test(times),     cmocka_unit_test(comm),
        cmocka_unit_test(params),         cmocka_unit_test(recompute), cmocka_unit_test(memory),
        cmocka_unit_test(memory_of_both), cmocka_unit_test(why),       cmocka_unit_test(diff),
        cmocka_unit_test(trace),          cmocka_unit_test(html),      cmocka_unit_test(any_plan),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
