/* test_planner.c - what the planner makes of small models: kernels, memory, grains, regions. */
#include "frontend/lower.h"
#include "planner/plan.h"
#include "planner/verify/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct Made {
    Arena *arena;
    Diag *diag;
    Model *model;
    Plan *plan;
    bool no_fit;
} Made;

static Made make(const char *text, PlanOptions o)
{
    Made t = {.arena = arena_new()};
    const char *path = "test_planner.tmp.bm";
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    Sources *s = sources_new(t.arena);
    t.diag = diag_new(t.arena, s, NULL);
    t.model = lower_model(t.arena, s, path, NULL, 0, t.diag);
    remove(path);
    assert_non_null(t.model);
    assert_true(training_graph(t.model, t.diag) && evaluation_graph(t.model, t.diag));
    simplify(t.arena, &t.model->train);
    simplify(t.arena, &t.model->eval);
    t.plan = plan_build(t.arena, t.model, &o, t.diag, &t.no_fit);
    if (t.plan)
        assert_true(plan_verify(t.plan, t.diag));
    return t;
}

static void drop(Made *t)
{
    arena_free(t->arena);
}

static const char gpt[] = "let width = 32\n"
                          "block Attn() {\n"
                          "  qkv: Linear(width, 3 * width)\n"
                          "  out: Linear(width, width)\n"
                          "  forward(x: [T, width]) {\n"
                          "    q, k, v = split(qkv(x), 3)\n"
                          "    return out(attention(q, k, v, heads = 4, causal = true))\n"
                          "  }\n"
                          "}\n"
                          "block Layer() {\n"
                          "  ln_1: LayerNorm(width)\n"
                          "  attn: Attn()\n"
                          "  ln_2: LayerNorm(width)\n"
                          "  up: Linear(width, 4 * width)\n"
                          "  down: Linear(4 * width, width)\n"
                          "  forward(x) {\n"
                          "    x = x + attn(ln_1(x))\n"
                          "    return x + down(gelu(up(ln_2(x))))\n"
                          "  }\n"
                          "}\n"
                          "model M {\n"
                          "  wte: Embedding(300, width)\n"
                          "  h[3]: Layer()\n"
                          "  ln_f: LayerNorm(width)\n"
                          "  forward(tokens: int[64], targets: int[64]) {\n"
                          "    x = h(wte(tokens))\n"
                          "    logits = ln_f(x) @ wte.weight'\n"
                          "    return cross_entropy(logits, targets)\n"
                          "  }\n"
                          "}\n"
                          "train {\n"
                          "  data = text(\"none\")\n"
                          "  batch = 32\n"
                          "  steps = 2\n"
                          "  optimizer = adamw(lr = 1e-3)\n"
                          "  clip = 1.0\n"
                          "}\n";

static int count_kind(const Plan *p, ProgramKind program, Phase phase, KernelKind kind)
{
    int n = 0;
    for (int k = 0; k < p->step.n; k++)
        n += p->step.v[k].program == program && p->step.v[k].phase == phase &&
             p->step.v[k].kernel->kind == kind;
    return n;
}

static void gap_is_zero(void **state)
{
    (void)state;
    Made t = make(gpt, (PlanOptions){0});
    assert_int_equal(t.plan->micro_batch, 32);
    assert_int_equal(t.plan->arena_bytes, t.plan->persistent_bytes + t.plan->max_live_bytes);
    assert_true(t.plan->offsets_proved);
    drop(&t);
}

/* Per layer forward: 4 products, 1 attention, and between them 4 fused kernels: norm, bias of qkv,
 * residual + norm, bias + gelu. The first layer's norm joins the embedding, the last residual joins
 * ln_f. */
static void forward_kernels_are_few(void **state)
{
    (void)state;
    Made t = make(gpt, (PlanOptions){0});
    int fused = 0, backward_gemms = 0;
    for (int k = 0; k < t.plan->step.n; k++) {
        const Step *s = &t.plan->step.v[k];
        if (s->program != PROGRAM_TRAIN || s->phase != PHASE_ROUND)
            continue;
        fused += !s->backward && s->kernel->kind == K_FUSED && s->instance != 0;
        backward_gemms += s->backward && s->kernel->kind == K_GEMM;
    }
    assert_in_range(fused, 10, 13);
    assert_int_equal(backward_gemms, 3 * 8 + 2); /* two per product */
    assert_int_equal(count_kind(t.plan, PROGRAM_TRAIN, PHASE_ROUND, K_ATTENTION), 3);
    assert_int_equal(count_kind(t.plan, PROGRAM_TRAIN, PHASE_ROUND, K_ATTENTION_GRAD), 3);
    /* one kernel updates a unit's parameters and both their moments */
    assert_int_equal(count_kind(t.plan, PROGRAM_TRAIN, PHASE_UPDATE, K_FUSED), t.plan->group.n);
    assert_int_equal(t.plan->group.n, 1 + 3);
    drop(&t);
}

static void every_node_alone_without_fusion(void **state)
{
    (void)state;
    Made t = make(gpt, (PlanOptions){.no_fuse = true}), u = make(gpt, (PlanOptions){0});
    assert_true(t.plan->step.n > 2 * u.plan->step.n);
    assert_true(t.plan->arena_bytes > u.plan->arena_bytes);
    assert_true(t.plan->hash != u.plan->hash);
    for (int k = 0; k < t.plan->kernel.n; k++) {
        int ops = 0;
        const Fused *f = &t.plan->kernel.v[k]->fused;
        for (int j = 0; j < f->ins.n; j++)
            ops += (f->ins.v[j].kind == I_ELEM && f->ins.v[j].op != OP_CAST) ||
                   f->ins.v[j].kind == I_REDUCE;
        assert_in_range(ops, 0, 1);
    }
    drop(&t);
    drop(&u);
}

/* What the backward needs of a layer: x twice, two numbers a row of each norm, the norms' results
 * (operands of products), qkv, attention and its lse, up's product and its gelu. In floats a token
 * of width 32. */
static void saved_values_are_few(void **state)
{
    (void)state;
    Made t = make(gpt, (PlanOptions){0});
    int64_t bytes = 0;
    for (int k = 0; k < t.plan->buffer.n; k++) {
        const Buffer *x = &t.plan->buffer.v[k];
        if (x->program == PROGRAM_TRAIN && !strncmp(x->path, "h.1.", 4) && x->role == ROLE_SAVED)
            bytes += x->sample_bytes;
    }
    int64_t token = bytes / 64 / 4;
    assert_in_range(token, 14 * 32, 16 * 32 + 16);
    drop(&t);
}

static void head_runs_in_chunks(void **state)
{
    (void)state;
    Made t = make(gpt, (PlanOptions){0});
    const ProgramPlan *g = &t.plan->program[PROGRAM_TRAIN];
    assert_int_equal(g->region_samples, 16); /* 1024 rows of 64 */
    int64_t logits = 0;
    for (int k = 0; k < t.plan->buffer.n; k++)
        if (t.plan->buffer.v[k].region && !strcmp(t.plan->buffer.v[k].path, "logits"))
            logits = max64(logits, t.plan->buffer.v[k].bytes);
    assert_int_equal(logits, 16 * 64 * 300 * 4);
    drop(&t);
}

/* Less memory, a smaller peak, down to where nothing fits: fewer samples at once, or less of them
 * kept. */
static void memory_decides(void **state)
{
    (void)state;
    Made whole = make(gpt, (PlanOptions){0});
    int64_t last = whole.plan->arena_bytes;
    int smaller = 0;
    for (int64_t memory = whole.plan->arena_bytes; memory > whole.plan->persistent_bytes;
         memory -= memory / 8) {
        Made t = make(gpt, (PlanOptions){.memory = memory});
        if (!t.plan) {
            assert_true(t.no_fit);
            assert_int_equal(t.diag->errors, 1);
            drop(&t);
            break;
        }
        assert_true(t.plan->arena_bytes <= memory);
        assert_true(t.plan->arena_bytes <= last);
        assert_int_equal(t.plan->micro_batch * t.plan->rounds, 32);
        smaller += t.plan->arena_bytes < last;
        last = t.plan->arena_bytes;
        drop(&t);
    }
    assert_true(smaller > 4);
    drop(&whole);
}

static void a_micro_batch_must_divide(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Made t = make(gpt, (PlanOptions){.micro_batch = 5});
    assert_null(t.plan);
    assert_false(t.no_fit);
    assert_int_equal(t.diag->errors, 1);
    drop(&t);
    arena_free(a);
}

/* The kernels' own numbers may not depend on how many samples a micro-batch has: sums keep their
 * grains. */
static void grains_ignore_the_micro_batch(void **state)
{
    (void)state;
    Made a = make(gpt, (PlanOptions){.micro_batch = 32}),
         b = make(gpt, (PlanOptions){.micro_batch = 8});
    assert_false(a.plan->below_grain);
    assert_false(b.plan->below_grain);
    int gemms = 0;
    for (int k = 0; k < a.plan->kernel.n; k++) {
        const Kernel *x = a.plan->kernel.v[k];
        if (x->kind != K_GEMM || !x->gemm.accumulates)
            continue;
        bool found = false;
        for (int j = 0; j < b.plan->kernel.n; j++)
            found = found || b.plan->kernel.v[j]->hash == x->hash;
        assert_true(found);
        gemms++;
    }
    assert_true(gemms > 0);
    Made c = make(gpt, (PlanOptions){.micro_batch = 1});
    assert_true(c.plan->below_grain); /* 64 rows: a grain is four samples */
    drop(&a);
    drop(&b);
    drop(&c);
}

static void same_model_same_plan(void **state)
{
    (void)state;
    Made a = make(gpt, (PlanOptions){0}), b = make(gpt, (PlanOptions){0});
    StrBuf x = strbuf_new(a.arena), y = strbuf_new(b.arena);
    plan_json(&x, a.plan);
    plan_json(&y, b.plan);
    assert_string_equal(x.text, y.text);
    drop(&a);
    drop(&b);
}

#define TRAIN "train {\n  batch = 4\n  steps = 1\n  optimizer = sgd(lr = 0.1)\n}\n"

/* make() verifies; these once were wrong, or a BUG. */
static void products_on_either_side(void **state)
{
    (void)state;
    Made t = make("model M {\n"
                  "  w: param[2, 5] ~ ones\n  a: param[2, 1, 2, 5] ~ ones\n"
                  "  forward(x: [5, 3], y: [2, 5, 3], z: [3, 5, 2]) {\n"
                  "    return average(w @ x) + average(w @ y) + average(a @ z)\n  }\n}\n" TRAIN,
                  (PlanOptions){.micro_batch = 2});
    assert_non_null(t.plan);
    drop(&t);
}

/* What the host reads is memory no update writes. */
static void results_are_kept(void **state)
{
    (void)state;
    Made t = make("model M {\n  w: param[3] ~ ones\n  s: param[] ~ ones\n"
                  "  forward(x: [3]) {\n    report scale = average(s)\n"
                  "    report half = average(arange(1) + 0.5)\n"
                  "    return average(w * x) + average(s * s)\n  }\n}\n" TRAIN,
                  (PlanOptions){0});
    assert_non_null(t.plan);
    int reports = 0;
    for (int k = 0; k < t.plan->term.n; k++) {
        const LossTerm *r = &t.plan->term.v[k];
        assert_true(r->num.buffer >= t.plan->n_persistent);
        reports += r->report;
    }
    assert_int_equal(reports, 4); /* two programs */
    drop(&t);
}

/* A hundred reports of one value: more than a kernel has arguments, more than a few results. */
static void many_results(void **state)
{
    (void)state;
    Arena *a = arena_new();
    StrBuf s = strbuf_new(a);
    strbuf_add(&s, "model M {\n  w: param[3] ~ ones\n  forward(x: [3]) {\n    y = x * w\n");
    for (int k = 0; k < 100; k++)
        strbuf_printf(&s, "    report r%d = average(sin(y * %d.5))\n", k, k);
    strbuf_add(&s, "    return average(y * y)\n  }\n}\n" TRAIN);
    Made t = make(s.text, (PlanOptions){0});
    assert_non_null(t.plan);
    assert_true(t.plan->term.n >= 200);
    for (int k = 0; k < t.plan->kernel.n; k++)
        assert_true(t.plan->kernel.v[k]->n_arg <= countof(t.plan->kernel.v[k]->arg_dtype));
    drop(&t);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gap_is_zero),
        cmocka_unit_test(forward_kernels_are_few),
        cmocka_unit_test(every_node_alone_without_fusion),
        cmocka_unit_test(saved_values_are_few),
        cmocka_unit_test(head_runs_in_chunks),
        cmocka_unit_test(memory_decides),
        cmocka_unit_test(a_micro_batch_must_divide),
        cmocka_unit_test(grains_ignore_the_micro_batch),
        cmocka_unit_test(same_model_same_plan),
        cmocka_unit_test(products_on_either_side),
        cmocka_unit_test(results_are_kept),
        cmocka_unit_test(many_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
