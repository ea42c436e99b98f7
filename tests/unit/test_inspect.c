/* The pages of `bmc inspect`: their facts are the plan's, alike rows are one, nothing escapes. */
#include "planner/inspect.h"
#include "planner/inspect_page.h"
#include "tests/unit/plan_random.h"

#include <setjmp.h>

#include <cmocka.h>

static PlanFile *file_of(Arena *a, const Plan *p)
{
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    Diag *d = diag_new(a, sources_new(a), stderr);
    PlanFile *f = plan_read_text(a, "p", s.text, s.n, d);
    assert_non_null(f);
    return f;
}

static const char *page_of(Arena *a, const PlanFile *f, InspectPage page)
{
    InspectOptions o = {.page = page, .unicode = true};
    StrBuf s = strbuf_new(a);
    inspect_text(&s, f, &o);
    return s.text;
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

static int lines(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

/* No blanks at line ends, no control characters, and every byte UTF-8 (ASCII if asked). */
static void clean(const char *page, bool ascii)
{
    for (const char *c = page; *c; c++) {
        if (*c == '\n')
            assert_true(c == page || c[-1] != ' ');
        else
            assert_true((unsigned char)*c >= 0x20);
        assert_true(!ascii || (unsigned char)*c < 0x80);
    }
}

/* Layers of one kind: `n` of them, each with a weight and a block. */
static Plan *deep(Arena *a, int n)
{
    Fix *f = fix_new(a, 1);
    ProgramKind g = PROGRAM_TRAIN;
    fix_program(f, g, 4, 2, 0);
    f->m->name = "Deep";
    int w[40], dw[40], h[41], in[40];
    for (int i = 0; i < n; i++) {
        in[i] = fix_instance(f, arena_printf(a, "h.%d", i), "Layer");
        w[i] = fix_param(f, arena_printf(a, "h.%d.fc.weight", i), 1000);
        fix_state(f, i, "exp_avg", 1000);
    }
    h[0] = fix_buffer(f, "x", ROLE_INPUT, 1000, true, g, 0);
    for (int i = 0; i < n; i++) {
        const char *path = arena_printf(a, "h.%d.fc", i);
        h[i + 1] = fix_buffer(f, arena_printf(a, "h.%d.fc.out", i), ROLE_SAVED, 1000, true, g, 0);
        fix_map(f, g, PHASE_ROUND, path, h[i + 1], (int[]){h[i], w[i]}, 2)->instance = in[i];
    }
    int d = h[n];
    for (int i = n - 1; i >= 0; i--) {
        const char *path = arena_printf(a, "h.%d.fc", i);
        int next = fix_buffer(f, arena_printf(a, "h.%d.fc.grad", i), ROLE_TEMP, 1000, true, g, 0);
        Step *s = fix_map(f, g, PHASE_ROUND, path, next, (int[]){d, h[i], w[i]}, 3);
        s->instance = in[i];
        s->backward = true;
        dw[i] =
            fix_buffer(f, arena_printf(a, "h.%d.fc.weight.grad", i), ROLE_GRAD, 1000, false, g, 0);
        s = fix_batch(f, g, PHASE_ROUND, path, dw[i], next);
        s->instance = in[i];
        s->backward = true;
        d = next;
    }
    for (int i = 0; i < n; i++)
        fix_map(f, g, PHASE_UPDATE, arena_printf(a, "h.%d.fc.weight", i), w[i],
                (int[]){w[i], dw[i]}, 2)
            ->instance = in[i];
    Plan *p = fix_finish(f);
    /* equal kernels are one, as the planner has it: forward, backward, sum, update */
    for (int i = 0; i < p->step.n; i++) {
        Step *s = &p->step.v[i];
        int k = s->phase == PHASE_UPDATE     ? 3 * n
                : !s->backward               ? 0
                : s->kernel->kind == K_BATCH ? n + 1
                                             : n;
        s->kernel = p->kernel.v[k];
    }
    return p;
}

static void summary(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    const char *s = page_of(a, file_of(a, p), INSPECT_SUMMARY);
    has(s, "Tiny  (tiny.bm, plan 0123456789abcdef)");
    has(s, "200 parameters in 2 tensors");
    has(s, "batch 12 = 1 rank x 3 rounds x 4 samples, the loss head by 2");
    has(s, arena_printf(a, "arena  %.1f KiB  (%lld,%03lld bytes)", (double)p->arena_bytes / 1024,
                        (long long)(p->arena_bytes / 1000), (long long)(p->arena_bytes % 1000)));
    has(s, arena_printf(a, "the peak is in step %d: %s, train", p->max_live_step,
                        p->step.v[p->max_live_step].path));
    has(s, "not predicted: no machine was named");
    has(s, "train  18 steps: weight 2 x 3, mid 1, round 10 x 3, post 1, update 4; micro-batch 4");
    has(s, "eval   3 steps: round 3 x 3; micro-batch 2");
    /* 18 training steps: 12 of them three times; batch kernels count 10 once, the others each
     * sample */
    has(s, "map");
    has(s, "batch");
    clean(s, false);
    p->arena_bytes = p->persistent_bytes + p->max_live_bytes + 64;
    p->offsets_proved = false;
    has(page_of(a, file_of(a, p), INSPECT_SUMMARY), "gap 64 B (not proved to be needed)");
    p->arena_bytes -= 64;
    has(page_of(a, file_of(a, p), INSPECT_SUMMARY), "no gap, no arena could be smaller");
    arena_free(a);
}

static void params(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const char *s = page_of(a, file_of(a, deep(a, 40)), INSPECT_PARAMS);
    has(s, "h.*.fc.weight   x 40  [1000]  f32      40,000  156.2 KiB  156.2 KiB  adamw      "
           "normal(0.02)");
    has(s, "parameters: 40 tensors, 40,000 elements, 156.2 KiB (160,000 bytes)");
    has(s, "optimizer state: 156.2 KiB (160,000 bytes)");
    assert_true(lines(s) < 8);
    /* one that differs is a row of its own */
    Plan *p = deep(a, 4);
    Model *m = (Model *)(uintptr_t)p->model;
    m->param.v[2].init.a = 0.5;
    m->param.v[3].frozen = true;
    s = page_of(a, file_of(a, p), INSPECT_PARAMS);
    has(s, "h.*.fc.weight    x 2");
    has(s, "h.2.fc.weight         [1000]  f32       1,000  3.91 KiB  3.91 KiB  adamw      "
           "normal(0.5)");
    has(s, "h.3.fc.weight         [1000]  f32       1,000  3.91 KiB  3.91 KiB  (frozen)   "
           "normal(0.02)");
    clean(s, false);
    arena_free(a);
}

static void memory(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = deep(a, 40);
    const char *s = page_of(a, file_of(a, p), INSPECT_MEMORY);
    StrBuf top = strbuf_new(a);
    strbuf_bytes(&top, p->max_live_bytes);
    has(s, arena_printf(a, "%s │", top.text));
    has(s, arena_printf(a, "^ step %d\n", p->max_live_step));
    has(s, arena_printf(a, "live at the peak, step %d (%s: what it does): %s", p->max_live_step,
                        p->step.v[p->max_live_step].path, top.text));
    has(s, "|round");
    has(s, "|forward");
    has(s, "|backward");
    int live = 0; /* the activations live at the peak are one row */
    for (int i = 0; i < p->buffer.n; i++)
        live += p->buffer.v[i].role == ROLE_SAVED && p->buffer.v[i].first <= p->max_live_step &&
                p->buffer.v[i].last >= p->max_live_step;
    assert_true(live > 5);
    has(s, arena_printf(a, "x %d  saved", live));
    has(s, "h.*.fc.out");
    assert_true(lines(s) < 40);
    clean(s, false);
    arena_free(a);
}

static void timeline(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const char *s = page_of(a, file_of(a, deep(a, 40)), INSPECT_TIMELINE);
    has(s, "train round, 2 times (4 samples)");
    has(s, "h.0 (Layer) forward, 40 times to h.39, steps 0-39: 1.60 k flops");
    has(s, "h.39 (Layer) backward, 40 times to h.0, steps 40-119");
    has(s, "h.*.fc.weight   x 40");
    int n = lines(s);
    assert_int_equal(n, lines(page_of(a, file_of(a, deep(a, 10)), INSPECT_TIMELINE)));
    clean(s, false);
    /* blocks that differ are all shown */
    Plan *p = deep(a, 10);
    p->step.v[4].kernel = p->kernel.v[1];
    s = page_of(a, file_of(a, p), INSPECT_TIMELINE);
    has(s, "h.0 (Layer) forward, 4 times to h.3");
    has(s, "h.4 (Layer) forward: ");
    has(s, "h.5 (Layer) forward, 5 times to h.9");
    arena_free(a);
}

static void json(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const PlanFile *f = file_of(a, fix_small(a, 4, 3, 2));
    const char *s = page_of(a, f, INSPECT_JSON);
    Diag *d = diag_new(a, sources_new(a), stderr);
    PlanFile *again = plan_read_text(a, "p", s, strlen(s), d);
    assert_non_null(again);
    assert_int_equal(again->n_step, f->n_step);
    assert_string_equal(page_of(a, again, INSPECT_JSON), s); /* normal already */
    assert_string_equal(page_of(a, again, INSPECT_MEMORY), page_of(a, f, INSPECT_MEMORY));
    arena_free(a);
}

/* A reader of the little Graphviz we write: strings closed, braces paired, edges between nodes. */
static void check_dot(const char *s, int n_step, int n_buffer)
{
    int depth = 0, edges = 0;
    bool *known = calloc((size_t)(n_step + n_buffer), sizeof *known);
    while (*s) {
        const char *end = strchr(s, '\n');
        assert_non_null(end);
        bool quote = false;
        for (const char *c = s; c < end; c++) {
            if (quote && *c == '\\')
                c++;
            else if (*c == '"')
                quote = !quote;
            else if (!quote && (*c == '{' || *c == '}'))
                depth += *c == '{' ? 1 : -1;
        }
        assert_false(quote);
        assert_true(depth >= 0);
        char x, y;
        int i, k;
        if (sscanf(s, " %c%d -> %c%d", &x, &i, &y, &k) == 4) {
            edges++;
            assert_true(x != y && known[x == 's' ? i : n_step + i] &&
                        known[y == 's' ? k : n_step + k]);
        } else if (sscanf(s, " %c%d [", &x, &i) == 2 && (x == 's' || x == 'b')) {
            assert_false(known[x == 's' ? i : n_step + i]);
            known[x == 's' ? i : n_step + i] = true;
        }
        s = end + 1;
    }
    assert_int_equal(depth, 0);
    assert_true(edges > 0);
    for (int i = 0; i < n_step; i++)
        assert_true(known[i]);
    free(known);
}

static void dot(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    p->step.v[3].path = "a\"] {\\";
    ((Model *)(uintptr_t)p->model)->name = "\"q\\";
    const char *s = page_of(a, file_of(a, p), INSPECT_DOT);
    check_dot(s, p->step.n, p->buffer.n);
    has(s, "digraph \"\\\"q\\\\\" {");
    has(s, "a\\\"] {\\\\\\nk3_test");
    has(s, "label=\"h.1 (Layer)\"");
    arena_free(a);
}

static void looks(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const PlanFile *f = file_of(a, fix_small(a, 4, 3, 2));
    for (int page = 0; page < N_INSPECT_PAGES; page++) {
        if (!inspect_built((InspectPage)page))
            continue;
        InspectOptions o = {.page = (InspectPage)page};
        StrBuf plain = strbuf_new(a), color = strbuf_new(a), again = strbuf_new(a);
        inspect_text(&plain, f, &o);
        inspect_text(&again, f, &o);
        assert_string_equal(plain.text, again.text);
        clean(plain.text, page != INSPECT_HTML); /* which says that it is UTF-8 */
        o.color = true;
        inspect_text(&color, f, &o);
        bool data = page == INSPECT_JSON || page == INSPECT_DOT || page == INSPECT_TRACE ||
                    page == INSPECT_HTML;
        if (data)
            assert_string_equal(plain.text, color.text);
        else
            has(color.text, "\033[");
        has_not(plain.text, "\033");
    }
    arena_free(a);
}

static void any_plan(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        Arena *a = arena_new();
        Plan *p = fix_random(a, seed);
        const PlanFile *f = file_of(a, p);
        for (int page = 0; page < N_INSPECT_PAGES; page++) {
            if (!inspect_built((InspectPage)page))
                continue;
            const char *s = page_of(a, f, (InspectPage)page);
            if (page == INSPECT_DOT)
                check_dot(s, p->step.n, p->buffer.n);
            else
                clean(s, false);
        }
        arena_free(a);
    }
}

static void files(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    FILE *f = fopen("plan.json", "wb");
    assert_non_null(f);
    fwrite(s.text, 1, s.n, f);
    fclose(f);
    char *text = NULL;
    size_t n = 0;
    Diag *d = diag_new(a, sources_new(a), NULL);
    InspectOptions o = {.path = ".", .out = open_memstream(&text, &n)};
    assert_int_equal(inspect(a, &o, d), EXIT_OK);
    fclose(o.out);
    has(text, "Tiny  (tiny.bm");
    free(text);
    o.out = fopen("/dev/full", "w");
    if (o.out) {
        assert_int_equal(inspect(a, &o, d), EXIT_MACHINE);
        fclose(o.out);
        assert_int_equal(d->errors, 1);
    }
    remove("plan.json");
    o.out = NULL;
    int before = d->errors;
    assert_int_equal(inspect(a, &o, d), EXIT_MODEL);
    assert_int_equal(d->errors, before + 1);
    arena_free(a);
}

static void paths(void **state)
{
    (void)state;
    Arena *a = arena_new();
    static const char *const join[][3] = {
        {"h.0.w", "h.1.w", "h.*.w"},
        {"h.3", "h.3", "h.3"},
        {"h.*.w", "h.12.w", "h.*.w"},
        {"a.0.b.1", "a.0.b.2", "a.0.b.*"},
        {"h.10.w", "h.9.w", "h.*.w"},
        {"", "", ""},
        {"0", "1", "*"},
    };
    for (int i = 0; i < countof(join); i++)
        assert_string_equal(path_join(a, join[i][0], join[i][1]), join[i][2]);
    Alikes all = alikes_new(a);
    alikes_add(&all, "h.0.w", "k", 0, 5, 0, INT64_MAX);
    alikes_add(&all, "h.0.v", "k", 1, 6, 0, 0);
    alikes_add(&all, "h.7.w", "k", 2, 7, 0, 1);
    alikes_add(&all, "h.8.w", "other", 3, 8, 0, 0);
    alikes_add(&all, "h0.w", "k", 4, 9, 0, 0);
    assert_int_equal(all.row.n, 4);
    assert_string_equal(all.row.v[0].path, "h.*.w");
    assert_int_equal(all.row.v[0].n, 2);
    assert_int_equal(all.row.v[0].sum[0], 12);
    assert_true(all.row.v[0].sum[2] == INT64_MAX);
    assert_string_equal(all.row.v[2].path, "h.8.w");
    Page p = {.a = a};
    assert_string_equal(page_grouped(&p, -1234567), "-1,234,567");
    assert_string_equal(page_grouped(&p, 999), "999");
    assert_string_equal(page_count(&p, 1500), "1.50 k");
    assert_string_equal(page_count(&p, INT64_MAX), "9.22 E");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary),  cmocka_unit_test(params),   cmocka_unit_test(memory),
        cmocka_unit_test(timeline), cmocka_unit_test(json),     cmocka_unit_test(dot),
        cmocka_unit_test(looks),    cmocka_unit_test(any_plan), cmocka_unit_test(files),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
