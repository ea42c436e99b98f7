/* test_recompute.c - what units keep: what the frontier says of a set is what its plan does. */
#include "frontend/lower.h"
#include "planner/choice.h"
#include "planner/recompute.h"
#include "planner/verify/verify.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char gpt[] = "let width = 32\n"
                          "block Layer() {\n"
                          "  ln_1: LayerNorm(width)\n"
                          "  qkv: Linear(width, 3 * width)\n"
                          "  out: Linear(width, width)\n"
                          "  ln_2: LayerNorm(width)\n"
                          "  up: Linear(width, 4 * width)\n"
                          "  down: Linear(4 * width, width)\n"
                          "  forward(x: [T, width]) {\n"
                          "    q, k, v = split(qkv(ln_1(x)), 3)\n"
                          "    a = attention(q, k, v, heads = 4, causal = true, dropout = 0.1)\n"
                          "    x = x + dropout(out(a), 0.1)\n"
                          "    return x + dropout(down(gelu(up(ln_2(x)))), 0.1)\n"
                          "  }\n"
                          "}\n"
                          "model M {\n"
                          "  wte: Embedding(300, width)\n"
                          "  h[4]: Layer()\n"
                          "  ln_f: LayerNorm(width)\n"
                          "  forward(tokens: int[256], targets: int[256]) {\n"
                          "    logits = ln_f(h(wte(tokens))) @ wte.weight'\n"
                          "    return cross_entropy(logits, targets)\n"
                          "  }\n"
                          "}\n";

/* Concatenations (rope), two products of one value, and another block between. */
static const char llama[] =
    "let width = 32\n"
    "block Layer(hidden) {\n"
    "  n1: RMSNorm(width)\n"
    "  q: Linear(width, width, bias = false)\n"
    "  k: Linear(width, 16, bias = false)\n"
    "  v: Linear(width, 16, bias = false)\n"
    "  o: Linear(width, width, bias = false)\n"
    "  n2: RMSNorm(width)\n"
    "  mlp: SwiGLU(width, hidden)\n"
    "  forward(x) {\n"
    "    y = n1(x)\n"
    "    a = attention(rope(q(y), heads = 4), rope(k(y), heads = 2), v(y),\n"
    "                  heads = 4, kv_heads = 2, causal = true)\n"
    "    x = x + o(a)\n"
    "    return x + mlp(n2(x))\n"
    "  }\n"
    "}\n"
    "model M {\n"
    "  wte: Embedding(300, width)\n"
    "  a[3]: Layer(64)\n"
    "  b[2]: Layer(96)\n"
    "  norm: RMSNorm(width)\n"
    "  forward(tokens: int[256], targets: int[256]) {\n"
    "    return cross_entropy(norm(b(a(wte(tokens)))) @ wte.weight',\n"
    "                         targets)\n"
    "  }\n"
    "}\n";

static const char train[] = "train {\n"
                            "  data = text(\"none\")\n"
                            "  batch = 8\n"
                            "  steps = 2\n"
                            "  optimizer = adamw(lr = 1e-3)\n"
                            "  clip = 1.0\n"
                            "}\n";

typedef int64_t ItemTimeFn(const void *, const Item *, bool);

typedef struct Made {
    Arena *arena;
    Diag *diag;
    Model *model;
    Ask ask;
    RecomputeProbe probe;
} Made;

static Made make(const char *text, const char *plan)
{
    Made t = {.arena = arena_new()};
    const char *path = "test_recompute.tmp.bm";
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s%s%s", text, train, plan);
    fclose(f);
    Sources *s = sources_new(t.arena);
    t.diag = diag_new(t.arena, s, stderr);
    t.model = lower_model(t.arena, s, path, NULL, 0, t.diag);
    remove(path);
    assert_non_null(t.model);
    assert_true(training_graph(t.model, t.diag) && evaluation_graph(t.model, t.diag));
    simplify(t.arena, &t.model->train);
    simplify(t.arena, &t.model->eval);
    t.ask = (Ask){.a = t.arena,
                  .m = t.model,
                  .machine = machine_find(t.arena, "cpu", t.diag),
                  .ranks = 1,
                  .shared_by = 1,
                  .batch = t.model->batch,
                  .d = t.diag};
    return t;
}

/* A product or an attention takes 1, all else nothing: the frontier then counts them. */
static int64_t count_heavy(const void *model, const Item *i, bool passing)
{
    (void)model;
    (void)passing;
    return i->op == OP_MATMUL || i->op == OP_ATTENTION;
}

/* Any sizes: so that every op matters. */
static int64_t count_work(const void *model, const Item *i, bool passing)
{
    (void)model;
    (void)passing;
    int64_t inner = i->op == OP_MATMUL ? i->in[0]->type.dim[i->in[0]->type.ndim - 1] : 8;
    return type_count(&i->type) * inner;
}

static Plan *plan_with(Made *t, RecomputeRule rule, const uint64_t **kept, bool probe)
{
    Choice c = {.micro_batch = 8, .recompute = rule, .kept = kept};
    if (probe)
        c.probe = &t->probe;
    Plan *p = plan_one(&t->ask, &c);
    assert_true(plan_verify(p, t->diag));
    return p;
}

static RecomputeClasses classes(Made *t, ItemTimeFn *time)
{
    t->probe = (RecomputeProbe){.rule = t->model->plan.recompute, .time = (ItemTime){time, NULL}};
    plan_with(t, RECOMPUTE_ALL, NULL, true);
    return t->probe.found;
}

static int heavy_again(const Plan *p)
{
    int n = 0;
    for (int k = 0; k < p->step.n; k++)
        n += p->step.v[k].recompute &&
             (p->step.v[k].kernel->kind == K_GEMM || p->step.v[k].kernel->kind == K_ATTENTION);
    return n;
}

static int64_t saved_bytes(const Plan *p)
{
    int64_t bytes = 0;
    for (int k = 0; k < p->buffer.n; k++)
        bytes += p->buffer.v[k].role == ROLE_SAVED && p->buffer.v[k].program == PROGRAM_TRAIN
                     ? p->buffer.v[k].bytes
                     : 0;
    return bytes;
}

static const uint64_t **kept_by_all(Made *t, const RecomputeClass *c, const uint64_t *kept)
{
    const uint64_t **all =
        arena_array(t->arena, const uint64_t *, t->model->train.graph->instance.n);
    for (int k = 0; k < c->unit.n; k++)
        all[c->unit.v[k]] = kept;
    return all;
}

static void layers_are_one_class(void **state)
{
    (void)state;
    Made t = make(gpt, "");
    RecomputeClasses c = classes(&t, count_work);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.v[0].unit.n, 4);
    assert_int_equal(c.v[0].most, 3);
    for (int k = 0; k < 4; k++)
        assert_string_equal(t.model->train.graph->instance.v[c.v[0].unit.v[k]].path,
                            arena_printf(t.arena, "h.%d", k));
    arena_free(t.arena);
    t = make(llama, "");
    c = classes(&t, count_work);
    assert_int_equal(c.n, 2);
    assert_int_equal(c.v[0].unit.n, 3);
    assert_int_equal(c.v[1].unit.n, 2);
    arena_free(t.arena);
}

/* What the file decided is not the search's. */
static void the_file_goes_first(void **state)
{
    (void)state;
    Made t = make(gpt, "plan { recompute h.0 = none\n recompute h.3 = all }\n");
    RecomputeClasses c = classes(&t, count_work);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.v[0].unit.n, 2);
    assert_int_equal(c.v[0].most, 1); /* none, all, and one more */
    Plan *p = plan_with(&t, RECOMPUTE_NONE, NULL, false);
    int again[4] = {0};
    for (int k = 0; k < p->step.n; k++) {
        const char *path = p->step.v[k].path;
        if (p->step.v[k].recompute && strncmp(path, "h.", 2) == 0)
            again[path[2] - '0'] += p->step.v[k].kernel->kind == K_GEMM;
    }
    for (int k = 0; k < 3; k++)
        assert_int_equal(again[k], 0);
    assert_int_equal(again[3], 3);
    arena_free(t.arena);
}

/* Every point of every class: as many products and attentions run again as it says, and as many
 * bytes are saved more than at the first. */
static void points_are_true(const char *model, ItemTimeFn *time, bool counts)
{
    Made t = make(model, "");
    RecomputeClasses all = classes(&t, time);
    for (int n = 0; n < all.n; n++) {
        const RecomputeClass *c = &all.v[n];
        Frontier f = frontier_of(t.arena, c->op, c->n, FRONTIER_BUDGET);
        assert_true(f.exact && f.point.n >= 4);
        int64_t least = 0, last = 0;
        for (int k = 0; k < f.point.n; k++) {
            const FrontierPoint *x = &f.point.v[k];
            Plan *p = plan_with(&t, RECOMPUTE_NONE, kept_by_all(&t, c, x->kept), false);
            int64_t saved = saved_bytes(p);
            if (counts)
                assert_int_equal(heavy_again(p), c->unit.n * x->ps);
            if (!k)
                least = saved;
            assert_int_equal(saved - least, 8 * c->unit.n * (x->bytes - f.point.v[0].bytes));
            last = p->arena_bytes;
        }
        assert_true(last > 0);
    }
    arena_free(t.arena);
}

static void gpt_counted(void **state)
{
    (void)state;
    points_are_true(gpt, count_heavy, true);
}

static void llama_counted(void **state)
{
    (void)state;
    points_are_true(llama, count_heavy, true);
}

/* All against nothing: less memory, the head still in chunks, nothing of the head again. */
static void all_takes_less(void **state)
{
    (void)state;
    const char *models[] = {gpt, llama};
    for (int k = 0; k < 2; k++) {
        Made t = make(models[k], "");
        Plan *none = plan_with(&t, RECOMPUTE_NONE, NULL, false),
             *all = plan_with(&t, RECOMPUTE_ALL, NULL, false);
        assert_true(all->max_live_bytes < none->max_live_bytes * 7 / 10);
        assert_true(none->program[PROGRAM_TRAIN].region_samples > 0);
        assert_int_equal(all->program[PROGRAM_TRAIN].region_samples,
                         none->program[PROGRAM_TRAIN].region_samples);
        assert_int_equal(heavy_again(none), 0);
        for (int j = 0; j < all->step.n; j++)
            if (all->step.v[j].recompute && all->step.v[j].kernel->kind == K_GEMM)
                assert_int_equal(all->step.v[j].region, 0);
        arena_free(t.arena);
    }
}

/* At most one unit's values live again: what is computed again is over before the next unit's is
 * begun, but for the few steps by which kernels of two blocks are one. */
static void one_unit_at_a_time(void **state)
{
    (void)state;
    Made t = make(gpt, "");
    Plan *p = plan_with(&t, RECOMPUTE_ALL, NULL, false);
    int seen = 0, last = 4;
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (!s->recompute || s->kernel->kind != K_ATTENTION)
            continue;
        int unit = s->path[2] - '0';
        assert_int_equal(unit, last - 1); /* the last block first */
        for (int j = 0; j < s->kernel->n_arg; j++) {
            const Buffer *x = &p->buffer.v[s->arg[j].buffer];
            if (!s->kernel->arg_written[j])
                continue;
            for (int i = k + 1; i < p->step.n; i++)
                if (p->step.v[i].recompute && p->step.v[i].kernel->kind == K_ATTENTION)
                    assert_true(x->last < i);
        }
        last = unit;
        seen++;
    }
    assert_int_equal(seen, 4);
    arena_free(t.arena);
}

/* A mix by budget: the first blocks keep little, the last much; two sets in all. */
static void mixes_are_plans(void **state)
{
    (void)state;
    Made t = make(gpt, "");
    RecomputeClasses all = classes(&t, count_work);
    const RecomputeClass *c = &all.v[0];
    Frontier f = frontier_of(t.arena, c->op, c->n, FRONTIER_BUDGET);
    MixClass x = {.count = c->unit.n, .point = f.point.v, .n = f.point.n};
    int64_t most = f.point.v[f.point.n - 1].bytes * c->unit.n, before = INT64_MAX;
    for (int part = 0; part <= 10; part++) {
        Mix m = frontier_mix(t.arena, &x, 1, most * part / 10);
        if (!m.fits)
            continue;
        const uint64_t **kept = kept_by_all(&t, c, NULL);
        recompute_take(c, &f, &m.choice[0], kept);
        Plan *p = plan_with(&t, RECOMPUTE_NONE, kept, false);
        int variants = 1;
        for (int k = 1; k < c->unit.n; k++)
            variants += kept[c->unit.v[k]] != kept[c->unit.v[k - 1]];
        assert_in_range(variants, 1, 2);
        assert_true(m.ps <= before);
        assert_true(p->arena_bytes > 0);
        before = m.ps;
    }
    assert_int_equal(before, 0);
    arena_free(t.arena);
}

/* What the frontier says all takes is about what the plan of all takes more. */
static void times_are_near(void **state)
{
    (void)state;
    const char *models[] = {gpt, llama};
    for (int k = 0; k < 2; k++) {
        Made t = make(models[k], "");
        Plan *none = plan_with(&t, RECOMPUTE_NONE, NULL, false);
        t.probe = (RecomputeProbe){.rule = t.model->plan.recompute,
                                   .time = item_time(t.arena, t.ask.machine, t.ask.m, 8)};
        Plan *all = plan_with(&t, RECOMPUTE_ALL, NULL, true);
        int64_t said = 0, real = 0;
        for (int n = 0; n < t.probe.found.n; n++) {
            const RecomputeClass *c = &t.probe.found.v[n];
            Frontier f = frontier_of(t.arena, c->op, c->n, FRONTIER_BUDGET);
            said += f.point.v[0].ps * c->unit.n;
        }
        for (int j = 0; j < all->step.n; j++)
            real += all->step.v[j].ps * (all->step.v[j].program == PROGRAM_TRAIN);
        for (int j = 0; j < none->step.n; j++)
            real -= none->step.v[j].ps * (none->step.v[j].program == PROGRAM_TRAIN);
        print_message("said %lld us, is %lld us\n", (long long)said / 1000000,
                      (long long)real / 1000000);
        assert_true(said * 100 > real * 85 && said * 85 < real * 100);
        arena_free(t.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_one_class), cmocka_unit_test(the_file_goes_first),
        cmocka_unit_test(gpt_counted),          cmocka_unit_test(llama_counted),
        cmocka_unit_test(all_takes_less),       cmocka_unit_test(one_unit_at_a_time),
        cmocka_unit_test(mixes_are_plans),      cmocka_unit_test(times_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
