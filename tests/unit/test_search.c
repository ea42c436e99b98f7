/* test_search.c - the plan that is taken: how it follows memory, that nothing beats it, what it
 * costs to find, and what is told when there is none. */
#include "planner/recompute.h"
#include "tests/unit/planned.h"

static const int64_t PLENTY = INT64_C(1) << 40;

#ifdef __SANITIZE_ADDRESS__ /* some ten times slower: there are fewer plans then */
enum { SLOW_BUILD = true };
#else
enum { SLOW_BUILD = false };
#endif

static const char gpt[] = "block Layer() {\n"
                          "  ln_1: LayerNorm(width)\n"
                          "  qkv: Linear(width, 3 * width)\n"
                          "  out: Linear(width, width)\n"
                          "  ln_2: LayerNorm(width)\n"
                          "  up: Linear(width, 4 * width)\n"
                          "  down: Linear(4 * width, width)\n"
                          "  forward(x: [T, width]) {\n"
                          "    q, k, v = split(qkv(ln_1(x)), 3)\n"
                          "    x = x + out(attention(q, k, v, heads = 4, causal = true))\n"
                          "    return x + down(gelu(up(ln_2(x))))\n"
                          "  }\n"
                          "}\n"
                          "model M {\n"
                          "  wte: Embedding(vocab, width)\n"
                          "  h[layers]: Layer()\n"
                          "  ln_f: LayerNorm(width)\n"
                          "  forward(tokens: int[ctx], targets: int[ctx]) {\n"
                          "    logits = ln_f(h(wte(tokens))) @ wte.weight'\n"
                          "    return cross_entropy(logits, targets)\n"
                          "  }\n"
                          "}\n"
                          "train {\n"
                          "  data = text(\"none\")\n"
                          "  batch = 8\n"
                          "  steps = 2\n"
                          "  optimizer = adamw(lr = 1e-3)\n"
                          "  clip = 1.0\n"
                          "}\n";

static Planned *gpt_of(int layers, int width, int ctx)
{
    Arena *a = arena_new();
    const char *text =
        arena_printf(a, "let layers = %d\nlet width = %d\nlet ctx = %d\nlet vocab = 256\n%s",
                     layers, width, ctx, gpt);
    Planned *t = planned_model(text, "cpu");
    arena_free(a);
    return t;
}

/* Every byte between ranks takes long: what is exposed decides. */
static void slow_links(Planned *t)
{
    Machine *m = arena_make(t->arena, Machine);
    *m = *t->machine;
    m->link[LINK_NODE] = m->link[LINK_NET] =
        (LinkCost){.alpha_ps = 10000000, .bytes_per_s = 100000000};
    t->machine = m;
}

/* ---- as much work for few blocks as for many ---- */

/* With plenty of memory; or all samples at once in a part of what keeping everything takes at level
 * 3, so that some is computed again. */
static int64_t work_of(int layers, int64_t ranks, bool short_of)
{
    Planned *t = gpt_of(layers, 64, 256);
    int64_t memory = PLENTY;
    if (short_of) {
        Ask q = planned_ask(t, ranks, PLENTY);
        Choice c = {.micro_batch = 8 / ranks, .level = LEVEL_3, .lead = 1};
        memory = plan_one(&q, &c)->arena_bytes * 7 / 10;
    }
    Plan *p = planned_in(t, ranks, short_of ? 8 / ranks : 0, memory);
    assert_non_null(p);
    assert_string_equal(p->tried.v[0].recompute, short_of ? "mixed" : "none");
    int64_t work = p->search_work;
    planned_done(t);
    return work;
}

static void work_is_that_of_the_kinds_of_blocks(void **state)
{
    (void)state;
    static const struct {
        int64_t ranks;
        bool short_of;
    } row[] = {{1, false}, {1, true}, {4, true}};
    for (int i = 0; i < countof(row); i++) {
        int64_t few = work_of(12, row[i].ranks, row[i].short_of);
        assert_int_equal(work_of(96, row[i].ranks, row[i].short_of), few);
        assert_true(few >= 2 && few < 512);
    }
}

/* ---- less memory ---- */

/* The least that is told when nothing fits. */
static int64_t least_of(Planned *t, int64_t ranks)
{
    assert_null(planned_in(t, ranks, 0, 1 << 12));
    const char *at = strstr(t->text, "the least found needs");
    assert_non_null(at);
    int64_t least = strtoll(strchr(at, '(') + 1, NULL, 10);
    assert_true(least > 1 << 12);
    return least;
}

enum { MEMORIES = SLOW_BUILD ? 10 : 20 };

static void check_memories(int64_t ranks, const char *machine, bool slow)
{
    Planned *t = gpt_of(3, 32, 128);
    t->machine = machine_find(t->arena, machine, t->diag);
    if (slow)
        slow_links(t);
    Plan *p = planned_in(t, ranks, 0, PLENTY);
    int64_t most = p->arena_bytes, least = least_of(t, ranks), arena = most, step = p->step_ps;
    for (int k = 0; k <= MEMORIES; k++) {
        int64_t memory = most - (most - least) * k / MEMORIES;
        p = planned_in(t, ranks, 0, memory);
        if (!p)
            fail_msg("nothing fits %lld bytes on %lld ranks", (long long)memory, (long long)ranks);
        if (k % 5 == 0)
            planned_verify(t, p);
        /* faster by less than a prediction is worth */
        bool faster = p->step_ps < step - step / 128;
        if (p->arena_bytes > memory || p->arena_bytes > arena || faster)
            fail_msg("%s, %lld ranks, %lld bytes: arena %lld after %lld, %lld ps after %lld",
                     machine, (long long)ranks, (long long)memory, (long long)p->arena_bytes,
                     (long long)arena, (long long)p->step_ps, (long long)step);
        assert_true(p->bounds.lower_ps <= p->step_ps && !p->bounds.refuted);
        arena = p->arena_bytes;
        step = max64(step, p->step_ps);
    }
    assert_null(planned_in(t, ranks, 0, least - 1));
    planned_done(t);
}

static void less_memory_is_never_faster(void **state)
{
    (void)state;
    check_memories(2, "cpu", false);
    check_memories(4, "cpu", false);
    check_memories(1, "h100-80g", false);
    check_memories(4, "cpu", true);
}

/* ---- nothing beats it ---- */

static const char toy[] = "block Layer() {\n"
                          "  up: Linear(32, 64)\n"
                          "  down: Linear(64, 32)\n"
                          "  forward(x: [T, 32]) { return x + down(gelu(up(x))) }\n"
                          "}\n"
                          "model M {\n"
                          "  wte: Embedding(64, 32)\n"
                          "  h[3]: Layer()\n"
                          "  forward(tokens: int[256], targets: int[256]) {\n"
                          "    return cross_entropy(h(wte(tokens)) @ wte.weight', targets)\n"
                          "  }\n"
                          "}\n"
                          "train {\n  data = text(\"none\")\n  batch = 4\n  steps = 2\n"
                          "  optimizer = adamw(lr = 1e-3)\n}\n";

enum { TOY_BLOCKS = 3, MOST_TOYS = 1 << 12 };

typedef struct Toys { /* every level, kept set and micro-batch there is */
    int n;
    int64_t arena[MOST_TOYS], step[MOST_TOYS];
} Toys;

static int toy_ops(Planned *t, const Ask *ask)
{
    RecomputeProbe probe = {.rule = t->model->plan.recompute,
                            .time = item_time(t->arena, t->machine, t->model, 1)};
    Choice c = {.micro_batch = 1, .recompute = RECOMPUTE_ALL, .probe = &probe};
    plan_one(ask, &c);
    assert_int_equal(probe.found.n, 1);
    assert_int_equal(probe.found.v[0].unit.n, TOY_BLOCKS);
    return probe.found.v[0].n;
}

/* Every block keeps `set`. */
static void try_toy(Planned *t, const Ask *ask, Choice c, uint64_t set, Toys *all)
{
    const Graph *g = t->model->train.graph;
    Arena *a = arena_new();
    Ask q = *ask;
    q.a = a;
    c.recompute = RECOMPUTE_AUTO;
    c.kept = arena_array(a, const uint64_t *, g->instance.n);
    for (int k = 1; k < g->instance.n; k++)
        if (g->instance.v[k].unit == k)
            c.kept[k] = &set;
    Plan *p = plan_one(&q, &c);
    assert_true(c.levels || p->arena_bytes == p->persistent_bytes + p->max_live_bytes);
    all->arena[all->n] = p->arena_bytes;
    all->step[all->n++] = p->step_ps;
    arena_free(a);
}

/* A level for each unit: blocks are alike, so which of them has which matters little. */
static void try_levels(Planned *t, const Ask *q, int64_t micro, Toys *all)
{
    enum { MOST = N_LEVELS - 1 };
    for (int root = 0; root <= MOST; root++)
        for (int a = 0; a <= MOST; a++)
            for (int b = 0; b <= a; b++)
                for (int c = 0; c <= b; c++) {
                    Level level[TOY_BLOCKS + 1] = {(Level)root, (Level)a, (Level)b, (Level)c};
                    assert_true(all->n + 2 < MOST_TOYS);
                    Choice x = {.micro_batch = micro,
                                .lead = 1,
                                .levels = level,
                                .n_levels = TOY_BLOCKS + 1};
                    try_toy(t, q, x, 0, all);
                    try_toy(t, q, x, UINT64_MAX, all);
                }
}

static void try_toys(Planned *t, int64_t ranks, int64_t micro, Toys *all)
{
    Ask q = planned_ask(t, ranks, PLENTY);
    int n = toy_ops(t, &q);
    assert_in_range(n, 2, 6);
    for (int l = 0; l < N_LEVELS; l++)
        for (uint64_t set = 0; set < 1u << n; set++) {
            assert_true(all->n < MOST_TOYS);
            Choice c = {.micro_batch = micro, .level = (Level)l, .lead = 1};
            try_toy(t, &q, c, set, all);
        }
    if (ranks > 1 && !SLOW_BUILD)
        try_levels(t, &q, micro, all);
}

static void check_toy(int64_t ranks, const char *machine, bool slow)
{
    Planned *t = planned_model(toy, machine);
    static Toys all;
    all.n = 0;
    if (slow)
        slow_links(t);
    for (int64_t micro = 4 / ranks; micro; micro /= 2)
        try_toys(t, ranks, micro, &all);
    int64_t most = planned_in(t, ranks, 0, PLENTY)->arena_bytes, least = least_of(t, ranks);
    int64_t widest = 0, behind = 0; /* thousandths */
    for (int k = 0; k <= 8; k++) {
        int64_t memory = most - (most - least) * k / 8, best = INT64_MAX;
        for (int i = 0; i < all.n; i++)
            if (all.arena[i] <= memory && all.step[i] < best)
                best = all.step[i];
        Plan *p = planned_in(t, ranks, 0, memory);
        assert_non_null(p);
        if (best == INT64_MAX) /* only with a shorter lead anything fits */
            best = p->step_ps;
        int64_t gap = p->step_ps - p->bounds.lower_ps;
        if (gap < 0 || p->step_ps - best > gap || p->bounds.refuted)
            fail_msg(
                "%s, %lld ranks, %lld bytes: a plan takes %lld ps, ours %lld, and none is said "
                "to take less than %lld",
                machine, (long long)ranks, (long long)memory, (long long)best,
                (long long)p->step_ps, (long long)p->bounds.lower_ps);
        widest = max64(widest, gap * 1000 / p->step_ps);
        behind = max64(behind, (p->step_ps - best) * 1000 / p->step_ps);
    }
    print_message("%s, %lld ranks: of %d plans the best is at most %lld.%lld %% faster than ours; "
                  "gap at most %lld.%lld %%\n",
                  machine, (long long)ranks, all.n, (long long)(behind / 10),
                  (long long)(behind % 10), (long long)(widest / 10), (long long)(widest % 10));
    planned_done(t);
}

static void nothing_is_faster_than_the_bound(void **state)
{
    (void)state;
    check_toy(1, "cpu", false);
    check_toy(2, "cpu", false);
    check_toy(2, "h100-80g", false);
    check_toy(4, "cpu", true);
}

/* ---- levels one by one ---- */

/* Between what two levels take for all groups, some have one and some the other, and that is faster
 * than the one that fits for all. */
static void levels_are_mixed_where_memory_is_short(void **state)
{
    (void)state;
    Planned *t = gpt_of(8, 64, 64);
    const Graph *g = t->model->train.graph;
    t->model->plan.recompute = arena_array(t->arena, RecomputeRule, g->instance.n);
    for (int k = 0; k < g->instance.n; k++)
        t->model->plan.recompute[k] = RECOMPUTE_NONE;
    slow_links(t);
    Ask q = planned_ask(t, 4, PLENTY);
    Choice c = {.micro_batch = 1, .level = LEVEL_3, .lead = 1};
    Plan *three = plan_one(&q, &c);
    c.level = LEVEL_ONCE;
    Plan *once = plan_one(&q, &c);
    assert_true(three->arena_bytes < once->arena_bytes && once->step_ps < three->step_ps);
    int mixed = 0;
    for (int k = 1; k < 8; k++) {
        int64_t more = (once->arena_bytes - three->arena_bytes) * k / 8;
        Plan *p = planned_in(t, 4, 1, three->arena_bytes + more);
        assert_non_null(p);
        planned_verify(t, p);
        int n[N_LEVELS] = {0};
        for (int i = 0; i < p->group.n; i++)
            n[p->group.v[i].level]++;
        mixed += n[LEVEL_3] && n[LEVEL_3] < p->group.n && p->step_ps < three->step_ps;
        assert_true(p->step_ps <= three->step_ps);
    }
    if (mixed < 5)
        fail_msg("levels were mixed in %d of 7 memories", mixed);
    planned_done(t);
}

/* ---- memory to the byte ---- */

static void arenas_have_no_gap(void **state)
{
    (void)state;
    Planned *t = gpt_of(2, 32, 64);
    static const RecomputeRule rule[] = {RECOMPUTE_NONE, RECOMPUTE_ALL};
    for (int64_t ranks = 2; ranks <= 4; ranks++)
        for (int l = 0; l < N_LEVELS; l++)
            for (int r = 0; r < countof(rule); r++)
                for (int off = 0; off < 2; off++) {
                    if (t->model->batch % ranks)
                        continue;
                    Ask q = planned_ask(t, ranks, PLENTY);
                    Choice c = {.micro_batch = 2,
                                .level = (Level)l,
                                .recompute = rule[r],
                                .lead = 1,
                                .no_overlap = off};
                    Plan *p = plan_one(&q, &c);
                    assert_int_equal(p->arena_bytes, p->persistent_bytes + p->max_live_bytes);
                    assert_int_equal(p->persistent_bytes, plan_persistent(p, (Level)l, false));
                    planned_verify(t, p);
                    for (int k = 0; k < N_LEVELS; k++) {
                        c.level = (Level)k;
                        Plan *other = plan_one(&q, &c);
                        assert_int_equal(plan_persistent(p, (Level)k, false),
                                         other->persistent_bytes);
                        if (r || off)
                            break;
                    }
                }
    planned_done(t);
}

/* ---- nothing fits ---- */

static void what_is_told_when_nothing_fits(void **state)
{
    (void)state;
    for (int64_t ranks = 1; ranks <= 4; ranks *= 4) {
        Planned *t = gpt_of(8, 32, 256);
        int64_t least = least_of(t, ranks);
        static const char *const told[] = {"no plan fits: the least found needs ",
                                           "memory is 4.00 KiB",
                                           "parameters and optimizer state take ",
                                           "all recomputed",
                                           "at its peak: parameters ",
                                           "optimizer state",
                                           "saved activations",
                                           "give --memory "};
        for (int k = 0; k < countof(told); k++)
            if (!strstr(t->text, told[k]))
                fail_msg("'%s' is not told:\n%s", told[k], t->text);
        assert_int_equal(t->diag->errors, 1);
        assert_non_null(planned_in(t, ranks, 0, least));
        assert_null(planned_in(t, ranks, 0, least - 1));
        planned_done(t);
    }
}

/* On the ranks that are told, with the setting that is told, there is a plan. */
static void what_would_fit_does(void **state)
{
    (void)state;
    Planned *t = gpt_of(8, 64, 64);
    Ask q = planned_ask(t, 2, PLENTY);
    Choice c = {.micro_batch = 1, .level = LEVEL_3, .recompute = RECOMPUTE_ALL, .lead = 0};
    int64_t memory = plan_one(&q, &c)->arena_bytes * 6 / 10;
    assert_null(planned_in(t, 2, 0, memory));
    const Model *model = t->model;
    int lines = 0;
    for (const char *at = t->text; (at = strstr(at, "help: or ")); lines++) {
        at += strlen("help: or ");
        size_t n = strcspn(at, "\n");
        Model *m = arena_make(t->arena, Model);
        *m = *model;
        m->reduced = strstr(arena_strndup(t->arena, at, n), "accumulate = reduced") != NULL;
        t->model = m;
        int64_t ranks = *at == '`' ? 2 : strtoll(at, NULL, 10);
        Plan *p = planned_in(t, ranks, 0, memory);
        if (!p)
            fail_msg("nothing fits: %.*s", (int)n, at);
    }
    assert_int_equal(lines, 2);
    planned_done(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_that_of_the_kinds_of_blocks),
        cmocka_unit_test(less_memory_is_never_faster),
        cmocka_unit_test(nothing_is_faster_than_the_bound),
        cmocka_unit_test(levels_are_mixed_where_memory_is_short),
        cmocka_unit_test(arenas_have_no_gap),
        cmocka_unit_test(what_is_told_when_nothing_fits),
        cmocka_unit_test(what_would_fit_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
