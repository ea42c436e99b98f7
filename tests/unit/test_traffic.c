/* test_traffic.c - what our plans send, against the published tables and measured systems: bytes of
 * all-gathers and reduce-scatters of each unit. Plans are in f32; the published figures are of
 * 2-byte elements, so elements are compared. */
#include "planner/volumes.h"
#include "tests/unit/planned.h"

static const double GIGA = 1e9;
static const int64_t PLENTY = INT64_C(1) << 50;

/* Elements that go out for a unit's parameters and gradients in a step, and collectives in one run
 * of the program. */
typedef struct Sent {
    int64_t elems;
    int gathers, reduces, all_reduces;
} Sent;

static Sent sent_for(const Plan *p, int group)
{
    Sent x = {0};
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->program != PROGRAM_TRAIN || s->stream != STREAM_COMM || s->group != group)
            continue;
        bool again = s->phase == PHASE_ROUND && s->when == WHEN_ALWAYS;
        x.elems += s->sent / 4 * (again ? p->rounds : 1);
        x.gathers += s->kernel->kind == K_ALL_GATHER;
        x.reduces += s->kernel->kind == K_REDUCE_SCATTER;
        x.all_reduces += s->kernel->kind == K_ALL_REDUCE;
    }
    return x;
}

/* ---- BMTrain ---- */

/* A decoder with biases, four projections and a GELU between two more; learned positions. */
static const char decoder[] =
    "block Layer() {\n"
    "  ln_1: LayerNorm(width)\n"
    "  q: Linear(width, width)\n"
    "  k: Linear(width, width)\n"
    "  v: Linear(width, width)\n"
    "  o: Linear(width, width)\n"
    "  ln_2: LayerNorm(width)\n"
    "  up: Linear(width, hidden)\n"
    "  down: Linear(hidden, width)\n"
    "  forward(x: [T, width]) {\n"
    "    y = ln_1(x)\n"
    "    x = x + o(attention(q(y), k(y), v(y), heads = heads, causal = true))\n"
    "    return x + down(gelu(up(ln_2(x))))\n"
    "  }\n"
    "}\n"
    "model M {\n"
    "  wte: Embedding(vocab, width)\n"
    "  wpe: Embedding(positions, width)\n"
    "  h[layers]: Layer()\n"
    "  ln_f: LayerNorm(width)\n"
    "  forward(tokens: int[ctx], targets: int[ctx]) {\n"
    "    x = h(wte(tokens) + wpe(arange(ctx)))\n"
    "    return cross_entropy(ln_f(x) @ wte.weight', targets)\n"
    "  }\n"
    "}\n"
    "train {\n"
    "  data = text(\"none\")\n"
    "  batch = ranks\n"
    "  steps = 2\n"
    "  optimizer = adamw(lr = 1e-3)\n"
    "}\n"
    "plan {\n"
    "  zero = 3\n"
    "  recompute = all\n" /* as BMTrain's blocks do by default */
    "}\n";

typedef struct Shape {
    int layers, width, hidden, heads, vocab, positions, ctx, ranks;
    int64_t blocks, rest; /* parameters */
} Shape;

static const Shape shape_13b = {.layers = 40,
                                .width = 5120,
                                .hidden = 20480,
                                .heads = 40,
                                .vocab = 50257,
                                .positions = 512,
                                .ctx = 512,
                                .ranks = 32,
                                .blocks = INT64_C(12585574400),
                                .rest = 259947520};
static const Shape shape_test = {.layers = 8,
                                 .width = 2560,
                                 .hidden = 8192,
                                 .heads = 32,
                                 .vocab = 10240,
                                 .positions = 1024,
                                 .ctx = 1024,
                                 .ranks = 4,
                                 .blocks = 545509376,
                                 .rest = 28840960};

static Planned *decoder_of(const Shape *s)
{
    Arena *a = arena_new();
    const char *text = arena_printf(
        a,
        "let layers = %d\nlet width = %d\nlet hidden = %d\nlet heads = %d\nlet vocab = %d\n"
        "let positions = %d\nlet ctx = %d\nlet ranks = %d\n%s",
        s->layers, s->width, s->hidden, s->heads, s->vocab, s->positions, s->ctx, s->ranks,
        decoder);
    Planned *t = planned_model(text, "h100-80g");
    arena_free(a);
    return t;
}

static void count_params(const Plan *p, const Shape *s)
{
    int64_t blocks = 0, rest = 0;
    for (int k = 0; k < p->group.n; k++)
        for (int j = 0; j < p->group.v[k].n; j++)
            *(p->group.v[k].unit ? &blocks : &rest) +=
                type_count(&p->model->param.v[p->group.v[k].param[j]].type);
    assert_int_equal(blocks, s->blocks);
    assert_int_equal(rest, s->rest);
}

/* Elements of a group's flat buffer: each parameter begins with a grain of its own, and every rank
 * has as many grains. */
static int64_t whole_of(const Plan *p, const FlatGroup *g)
{
    int64_t n[16];
    assert_in_range(g->n, 1, countof(n));
    for (int j = 0; j < g->n; j++)
        n[j] = type_count(&p->model->param.v[g->param[j]].type);
    int64_t grains = flat_table(n, g->n, NORM_GRAIN, NULL) / NORM_GRAIN;
    return shard_elements(grains, p->ranks) * p->ranks * NORM_GRAIN;
}

/* Each block is gathered forward and backward and reduced: 3 S (n - 1) / n, where S is our shard
 * table's; what that is more than for the elements there are is returned. */
static int64_t check_blocks(const Plan *p, const Shape *s, int64_t *elems)
{
    int64_t pad = 0;
    *elems = 0;
    for (int k = 0; k < p->group.n; k++) {
        const FlatGroup *g = &p->group.v[k];
        if (!g->unit)
            continue;
        int64_t whole = whole_of(p, g);
        Sent x = sent_for(p, k);
        assert_int_equal(x.gathers, 2);
        assert_int_equal(x.reduces, 1);
        assert_int_equal(x.all_reduces, 0);
        assert_int_equal(g->shard * s->ranks, whole);
        assert_int_equal(x.elems, 3 * whole / s->ranks * (s->ranks - 1));
        assert_int_equal(x.elems * 4, sent_bytes(whole, s->ranks, 4, 3));
        *elems += x.elems;
        pad += 3 * (whole - s->blocks / s->layers) / s->ranks * (s->ranks - 1);
    }
    return pad;
}

/* Once for the table, once for the head and its backward; reduced once. */
static void check_rest(const Plan *p, const Shape *s)
{
    Sent x = sent_for(p, 0);
    assert_int_equal(p->group.v[0].unit, 0);
    assert_int_equal(x.gathers, 2);
    assert_int_equal(x.reduces, 1);
    assert_int_equal(x.elems, 3 * p->group.v[0].shard * (s->ranks - 1));
}

/* `gb`: published, in 2-byte elements; ours in f32 are twice that. */
static void check_shape(const Shape *s, double gb, double to)
{
    Planned *t = decoder_of(s);
    Plan *p = planned_in(t, s->ranks, 1, PLENTY);
    assert_non_null(p);
    assert_int_equal(p->rounds, 1);
    count_params(p, s);
    int64_t elems, pad = check_blocks(p, s, &elems);
    assert_true(pad >= 0 && pad * 1000 < elems);
    double published = (double)(2 * (elems - pad)) / GIGA, ours = (double)(4 * elems) / GIGA;
    assert_true(published > gb - to && published < gb + to);
    assert_true(ours >= 2 * published && ours < 2.002 * published);
    check_rest(p, s);
    planned_done(t);
}

static void thirteen_billion_on_32_ranks(void **state)
{
    (void)state;
    check_shape(&shape_13b, 73.15, 0.005);
}

static void the_test_model_on_4_ranks(void **state)
{
    (void)state;
    check_shape(&shape_test, 2.455, 0.0005);
}

/* What is computed again reads parameters that are gathered anyway. Only the last block's backward
 * begins so soon after its forward that, with nothing between, one gather does for both. */
static void recompute_sends_nothing(void **state)
{
    (void)state;
    Planned *t = decoder_of(&shape_test);
    Ask q = planned_ask(t, shape_test.ranks, PLENTY);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < t->model->train.graph->instance.n; i++)
            t->model->plan.recompute[i] = k ? RECOMPUTE_ALL : RECOMPUTE_NONE;
        Choice c = {.micro_batch = 1, .level = LEVEL_3, .lead = 1};
        Plan *p = plan_one(&q, &c);
        int again = 0;
        for (int i = 0; i < p->step.n; i++)
            again += p->step.v[i].recompute && p->step.v[i].kernel->kind == K_GEMM;
        assert_int_equal(k, again > 0);
        for (int i = 1; i <= shape_test.layers; i++)
            assert_int_equal(sent_for(p, i).gathers, k || i < shape_test.layers ? 2 : 1);
        assert_int_equal(sent_for(p, 0).gathers, 2);
    }
    planned_done(t);
}

/* ---- the table of schemes ---- */

/* Every unit is a whole number of grains on each of 8 ranks, so nothing is padded; and there is
 * enough between that no gather does for two ranges. */
static const char even[] = "block Layer() {\n"
                           "  a: Linear(64, 64, bias = false)\n"
                           "  b: Linear(64, 64, bias = false)\n"
                           "  forward(x: [T, 64]) { return x + b(relu(a(x))) }\n"
                           "}\n"
                           "model M {\n"
                           "  wte: Embedding(256, 64)\n"
                           "  h[6]: Layer()\n"
                           "  c: Linear(64, 64, bias = false)\n"
                           "  d: Linear(64, 64, bias = false)\n"
                           "  e: Linear(64, 64, bias = false)\n"
                           "  f: Linear(64, 64, bias = false)\n"
                           "  forward(tokens: int[16], targets: int[16]) {\n"
                           "    x = f(relu(e(relu(d(relu(c(h(wte(tokens)))))))))\n"
                           "    return cross_entropy(x @ wte.weight', targets)\n"
                           "  }\n"
                           "}\n";
enum { EVEN_BLOCK = 2 * 64 * 64, EVEN_BLOCKS = 6, EVEN_REST = 256 * 64 + 4 * 64 * 64 };

static Plan *even_plan(Planned **t, const char *zero, bool reduced, int64_t ranks, int64_t rounds)
{
    Arena *a = arena_new();
    const char *text =
        arena_printf(a,
                     "%strain {\n  data = text(\"none\")\n  batch = %lld\n"
                     "  steps = 2\n  optimizer = adamw(lr = 1e-3)\n"
                     "  accumulate = %s\n}\nplan {\n  zero = %s\n}\n",
                     even, (long long)(ranks * rounds), reduced ? "reduced" : "local", zero);
    *t = planned_model(text, "cpu");
    arena_free(a);
    Plan *p = planned_in(*t, ranks, 1, PLENTY);
    assert_non_null(p);
    assert_int_equal(p->rounds, rounds);
    planned_verify(*t, p);
    return p;
}

/* Published schemes, and which of our settings follows each. */
static const struct {
    const char *zero;
    Level level;
    bool reduced;
    Scheme scheme;
} row[] = {
    {"0", LEVEL_0, false, SCHEME_DDP_NO_SYNC}, {"0", LEVEL_0, true, SCHEME_ZERO2},
    {"1", LEVEL_1, false, SCHEME_ZERO1},       {"2", LEVEL_2, false, SCHEME_ZERO1},
    {"2", LEVEL_2, true, SCHEME_ZERO2},        {"3", LEVEL_3, false, SCHEME_ZERO3_NO_SYNC},
    {"3", LEVEL_3, true, SCHEME_ZERO3},        {"once", LEVEL_ONCE, false, SCHEME_KEEP_NO_SYNC}};

/* Gradients of small units go out together, so what is counted is counted for all at once. */
static void check_row(int i, int64_t ranks, int64_t rounds)
{
    Planned *t;
    Plan *p = even_plan(&t, row[i].zero, row[i].reduced, ranks, rounds);
    int64_t passes = level_passes(row[i].level, row[i].reduced, rounds), sent = 0;
    int64_t params = EVEN_REST + EVEN_BLOCKS * EVEN_BLOCK, others = plan_sent(p);
    assert_int_equal(passes, scheme_passes(row[i].scheme, rounds));
    assert_int_equal(p->group.n, EVEN_BLOCKS + 1);
    for (int k = 0; k < p->group.n; k++) {
        sent += sent_for(p, k).elems;
        assert_int_equal(p->group.v[k].level, row[i].level);
        assert_int_equal(p->group.v[k].shard * ranks, k ? EVEN_BLOCK : EVEN_REST);
    }
    assert_int_equal(sent, scheme_elements(row[i].scheme, params, ranks, rounds));
    assert_int_equal(sent * 4, sent_bytes(params, ranks, 4, passes));
    assert_true(others - sent * 4 > 0 && others - sent * 4 < sent / 10); /* sums of the loss */
    planned_done(t);
}

static void schemes(void **state)
{
    (void)state;
    static const int64_t ranks[] = {2, 4, 8}, rounds[] = {1, 4};
    for (int i = 0; i < countof(row); i++)
        for (int n = 0; n < countof(ranks); n++)
            for (int g = 0; g < countof(rounds); g++)
                check_row(i, ranks[n], rounds[g]);
}

/* Of a table of which a part is read the gradient is more than a sum: then nothing of its group is
 * summed where it is reduced, and the sums of the loop bring it all. */
static void a_whole_gradient(void **state)
{
    (void)state;
    static const char text[] = "model M {\n"
                               "  wte: Embedding(256, 64)\n"
                               "  wpe: Embedding(64, 64)\n"
                               "  forward(tokens: int[16], targets: int[16]) {\n"
                               "    x = wte(tokens) + wpe(arange(16))\n"
                               "    return cross_entropy(x @ wte.weight', targets)\n"
                               "  }\n"
                               "}\n"
                               "train {\n  data = text(\"none\")\n  batch = 8\n  steps = 2\n"
                               "  optimizer = adamw(lr = 1e-3)\n}\n";
    for (int level = LEVEL_0; level < N_LEVELS; level++) {
        Planned *t = planned_model(text, "cpu");
        Ask q = planned_ask(t, 2, PLENTY);
        Choice c = {.micro_batch = 2, .level = (Level)level, .lead = 1};
        Plan *p = plan_one(&q, &c);
        planned_verify(t, p);
        Sent x = sent_for(p, 0), sums = sent_for(p, -1);
        assert_true(p->group.v[0].whole_grad);
        assert_int_equal(x.reduces + x.all_reduces, 0);
        assert_true(sums.all_reduces > 0 && sums.elems >= 2 * 256 * 64 / 2);
        planned_done(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thirteen_billion_on_32_ranks),
        cmocka_unit_test(the_test_model_on_4_ranks),
        cmocka_unit_test(recompute_sends_nothing),
        cmocka_unit_test(schemes),
        cmocka_unit_test(a_whole_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
