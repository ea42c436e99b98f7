/* test_regions.c - the loss head in parts of a sample: which heads are cut, into what, what the
 * plan takes then, and what the verifier says of parts that are wrong. */
#include "frontend/lower.h"
#include "planner/choice.h"
#include "planner/verify/verify.h"
#include "tests/unit/verify_told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Made {
    Arena *arena;
    FILE *out;
    char *said;
    size_t size;
    Diag *diag;
    Plan *plan;
    const ProgramPlan *train;
} Made;

static Made *plan_of(const char *path, const Define *d, int n, PlanOptions o)
{
    Arena *a = arena_new();
    Made *t = arena_make(a, Made);
    t->arena = a;
    t->out = open_memstream(&t->said, &t->size);
    Sources *s = sources_new(a);
    t->diag = diag_new(a, s, t->out);
    Model *m = lower_model(a, s, path, d, n, t->diag);
    bool made = m && training_graph(m, t->diag) && evaluation_graph(m, t->diag), no_fit;
    fflush(t->out);
    if (!made)
        fail_msg("%s", t->said);
    simplify(a, &m->train);
    simplify(a, &m->eval);
    t->plan = plan_build(a, m, &o, t->diag, &no_fit);
    bool good = t->plan && plan_verify(t->plan, t->diag);
    fflush(t->out);
    if (!good)
        fail_msg("%s", t->said);
    t->train = &t->plan->program[PROGRAM_TRAIN];
    return t;
}

static void drop(Made *t)
{
    fclose(t->out);
    free(t->said);
    arena_free(t->arena);
}

/* A model whose head is `head` on x [ctx, 32] and targets, with two samples at once. */
static Made *made_with(int ctx, const char *members, const char *head)
{
    FILE *f = fopen("regions.bm", "w");
    assert_non_null(f);
    fprintf(f,
            "model M {\n  wte: Embedding(96, 32)\n%s"
            "  forward(tokens: int[%d], targets: int[%d]) {\n    x = wte(tokens)\n%s  }\n}\n"
            "train {\n  data = text(\"none\")\n  batch = 4\n  steps = 1\n"
            "  optimizer = sgd(lr = 0.1)\n}\n",
            members, ctx, ctx, head);
    fclose(f);
    return plan_of("regions.bm", NULL, 0, (PlanOptions){.micro_batch = 2});
}

static void expect_parts(int ctx, const char *members, const char *head, int64_t parts)
{
    Made *t = made_with(ctx, members, head);
    if (t->train->region_parts != parts)
        fail_msg("%lld parts of %d rows, not %lld:\n%s", (long long)t->train->region_parts, ctx,
                 (long long)parts, head);
    assert_true(!parts || t->train->region_samples == 0);
    drop(t);
}

static const char tied[] = "    logits = x @ wte.weight'\n"
                           "    return cross_entropy(logits, targets)\n";
static const char own_head[] = "  head: Linear(32, 96)\n";

static void rows_decide(void **state)
{
    (void)state;
    expect_parts(512, "", tied, 0); /* samples at a time */
    expect_parts(1024, "", tied, 0);
    expect_parts(2048, "", tied, 2);
    expect_parts(8192, "", tied, 8);
    expect_parts(1536, "", tied, 2); /* in grains of 768 */
    expect_parts(2039, "", tied, 0); /* a prime */
    expect_parts(1032, "", tied, 0); /* halves are no whole blocks of 16 rows */
}

static void losses_by_row_are_cut(void **state)
{
    (void)state;
    expect_parts(2048, own_head, "    return cross_entropy(head(x), targets)\n", 2);
    expect_parts(2048, own_head,
                 "    return cross_entropy(head(x), targets, ignore = 3, smoothing = 0.1)\n", 2);
    expect_parts(2048, own_head,
                 "    logits = head(x)\n"
                 "    report accuracy = average(argmax(logits) == targets)\n"
                 "    return cross_entropy(logits, targets, weight = where(targets < 9, 2, 1))\n",
                 2);
    expect_parts(2048, own_head,
                 "    logits = 30 * tanh(head(x) / 30)\n"
                 "    return cross_entropy(logits, targets)\n",
                 2);
}

/* Samples at a time: a bias's partial sums are folded in each chunk's turn. */
static void folds_are_in_the_region(void **state)
{
    (void)state;
    Made *t = made_with(1024, own_head,
                        "    logits = head(x)\n"
                        "    report accuracy = average(argmax(logits) == targets)\n"
                        "    return cross_entropy(logits, targets, weight = where(targets < 9, 2, "
                        "1))\n");
    int folds = 0;
    assert_int_equal(t->train->region_samples, 1);
    for (int k = 0; k < t->plan->step.n; k++)
        folds += t->plan->step.v[k].region && t->plan->step.v[k].kernel->kind == K_FOLD;
    assert_true(folds > 0);
    drop(t);
}

/* Something of the logits crosses rows: samples stay whole. */
static void what_crosses_rows_is_not_cut(void **state)
{
    (void)state;
    expect_parts(2048, own_head,
                 "    logits = head(x)\n"
                 "    report high = average(max(max(logits, axis = 0)))\n"
                 "    return cross_entropy(logits, targets)\n",
                 0);
    expect_parts(2048, "  head: Linear(32, 96)\n  place: Embedding(2048, 96)\n",
                 "    logits = head(x) + place(arange(2048))\n"
                 "    return cross_entropy(logits, targets)\n",
                 0);
}

/* What the head's buffers hold, and that steps of the region are one run of what the model has. */
static void buffers_hold_a_part(void **state)
{
    (void)state;
    Made *t = made_with(4096, own_head, "    return cross_entropy(head(x), targets)\n");
    int inside = 0, moved = 0;
    for (int k = 0; k < t->plan->buffer.n; k++) {
        const Buffer *x = &t->plan->buffer.v[k];
        if (x->program != PROGRAM_TRAIN || x->persistent)
            continue;
        assert_true(x->bytes < 2 * 4096 * 96 * 4); /* a micro-batch's logits are nowhere */
        inside += x->region && x->bytes == 1024 * 96 * 4;
    }
    assert_true(inside > 0);
    for (int k = 0; k < t->plan->step.n; k++) {
        const Step *s = &t->plan->step.v[k];
        moved += s->program == PROGRAM_TRAIN && s->region && s->kernel->kind == K_GEMM;
        for (int j = 0; j < t->plan->kernel.n && s->region; j++)
            assert_true(t->plan->kernel.v[j] != s->kernel || s->kernel->id == j);
        assert_int_equal(s->id, k);
    }
    assert_int_equal(moved, 3);
    bool used[1024] = {0};
    for (int k = 0; k < t->plan->step.n; k++)
        used[t->plan->step.v[k].kernel->id] = true;
    for (int k = 0; k < t->plan->kernel.n; k++)
        assert_true(used[k]); /* whole kernels that were cut are gone */
    drop(t);
}

/* A sample's logits are 4.2 GB, once more for their gradient. */
static void llama_8b_has_no_whole_logits(void **state)
{
    (void)state;
    const int64_t logits = INT64_C(8192) * 128256 * 4;
    const char *source = getenv("SOURCE") ? getenv("SOURCE") : ".";
    Arena *a = arena_new();
    Made *t = plan_of(arena_printf(a, "%s/samples/llama-8b.bm", source), NULL, 0,
                      (PlanOptions){.micro_batch = 1, .memory = INT64_C(1) << 40});
    assert_int_equal(t->train->region_parts, 8);
    for (int k = t->plan->n_persistent; k < t->plan->buffer.n; k++) {
        const Buffer *x = &t->plan->buffer.v[k];
        if (x->program == PROGRAM_TRAIN && x->sample_bytes == logits)
            assert_int_equal(x->bytes, logits / 8);
        else if (x->program == PROGRAM_TRAIN && x->batched)
            assert_true(x->bytes < logits);
    }
    /* 128.88 GB with whole ones */
    assert_in_range(t->plan->max_live_bytes, 1, INT64_C(122000000000));
    drop(t);
    arena_free(a);
}

/* ---- the verifier ---- */

/* A kernel of the region whose rows, all in one, are those of two parts. */
static void reach_too_far(Made *t)
{
    for (int k = 0; k < t->plan->step.n; k++) {
        Kernel *x = (Kernel *)t->plan->step.v[k].kernel;
        Fused was = x->fused;
        if (!t->plan->step.v[k].region || x->kind != K_FUSED || was.n_axis != 1)
            continue;
        x->fused.n_axis = 2;
        x->fused.n_inner = 1;
        x->fused.extent[0] = 1;
        x->fused.extent[1] = 2 * was.extent[0];
        for (int j = 0; j < was.access.n; j++)
            x->fused.access.v[j].stride[1] = was.access.v[j].stride[0];
        caught(t->arena, t->plan, "V12", "of which a part of a sample has");
        x->fused = was;
        return;
    }
    fail_msg("no kernel of one axis in the region");
}

static void wrong_parts_are_caught(void **state)
{
    (void)state;
    Made *t = made_with(4096, own_head, "    return cross_entropy(head(x), targets)\n");
    ProgramPlan *g = &t->plan->program[PROGRAM_TRAIN];
    reach_too_far(t);
    passes(t->arena, t->plan);
    g->region_parts = 8;
    caught(t->arena, t->plan, "V01", "one of 8 parts of");
    g->region_parts = 7;
    caught(t->arena, t->plan, "V01", "part by part, and");
    g->region_parts = 4;
    g->region_samples = 1;
    caught(t->arena, t->plan, "V01", "regions of 1 samples, and of a sample in 4 parts");
    g->region_samples = 0;
    passes(t->arena, t->plan);
    /* the sum of a sample's losses, of which a part has not all */
    int k = 0;
    while (!t->plan->step.v[k].region || t->plan->step.v[k + 1].region)
        k++;
    Step *s = &t->plan->step.v[k + 1];
    assert_true(s->kernel->kind == K_FUSED && s->kernel->fused.chunk);
    s->region = 1;
    caught(t->arena, t->plan, "V02", "makes anew in each chunk");
    drop(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_decide),
        cmocka_unit_test(losses_by_row_are_cut),
        cmocka_unit_test(folds_are_in_the_region),
        cmocka_unit_test(what_crosses_rows_is_not_cut),
        cmocka_unit_test(buffers_hold_a_part),
        cmocka_unit_test(llama_8b_has_no_whole_logits),
        cmocka_unit_test(wrong_parts_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
