/* trainer.c against its plan: built with -DBM_TRACE over a runtime that only tells what it is asked
 * for, it must take the plan's steps in order, on the plan's places, region by region. */
#include "codegen/emit.h"
#include "codegen/kernel_c.h"
#include "frontend/lower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char stub[] =
    "#include \"bmrt.h\"\n"
    "#include <stdio.h>\n"
    "static bmrt run;\n"
    "static void place(const void *p)\n"
    "{\n    printf(\" %lld\", (long long)((const char *)p - run.arena));\n}\n"
    "static int64_t before;\n"
    "void bmrt_chunk(int64_t s, int64_t parts)\n{\n    (void)parts;\n    before = s;\n}\n"
    "void bmrt_trace(bmrt *r, int id);\n"
    "void bmrt_trace(bmrt *r, int id)\n"
    "{\n    printf(\"%d: first %d sample %lld chunk %lld\", id, r->first,\n"
    "           (long long)r->sample0, (long long)before);\n}\n"
    "void bmrt_launch(bmrt *r, bmrt_kernel *k, int64_t n, int64_t least, void *const *arg)\n"
    "{\n    (void)r, (void)least;\n    printf(\" launch %lld\", (long long)n);\n    k(arg, 0, n);\n"
    "    printf(\"\\n\");\n}\n"
    "void bmrt_gemm(bmrt *r, const bmrt_gemm_args *g, const void *a, const void *b, void *c)\n"
    "{\n    (void)r;\n    printf(\" gemm %lld %lld %lld x%lld +%lld %d\", (long long)g->m,\n"
    "           (long long)g->n, (long long)g->k, (long long)(g->count0 ? g->count0 : 1),\n"
    "           (long long)(g->sums ? g->sums : 1), (int)g->beta);\n"
    "    place(a);\n    place(b);\n    place(c);\n    printf(\"\\n\");\n}\n"
    "void bmrt_sum_squares(bmrt *r, const void *x, int64_t n, void *out)\n"
    "{\n    (void)r;\n    printf(\" squares %lld\", (long long)n);\n    place(x);\n    "
    "place(out);\n"
    "    printf(\"\\n\");\n}\n"
    "void bmrt_norm(bmrt *r, const void *partial, const int64_t *grains, int groups,\n"
    "               int64_t ranks, void *out)\n"
    "{\n    (void)r, (void)grains;\n    printf(\" norm %d %lld\", groups, (long long)ranks);\n"
    "    place(partial);\n    place(out);\n    printf(\"\\n\");\n}\n"
    "void bmrt_watched(bmrt *r, int id, int64_t lo, int64_t nb)\n"
    "{\n    (void)r, (void)id, (void)lo, (void)nb;\n}\n"
    "void bmrt_zero(bmrt *r, void *x, const int64_t (*gap)[2], int n)\n"
    "{\n    (void)r;\n    printf(\" zero %d %lld\", n, (long long)gap[n - 1][0]);\n    place(x);\n"
    "    printf(\"\\n\");\n}\n"
    "static void program(const bmrt_program *p)\n"
    "{\n    bmrt_phase_fn *f[] = {p->pre, p->weight, p->mid, p->round, p->post, p->update};\n"
    "    for (int i = 0; i < 6 && p->micro_batch; i++)\n"
    "        if (f[i])\n            f[i](&run, p->micro_batch);\n}\n"
    "int bmrt_main(const bmrt_model *m, int argc, char **argv)\n"
    "{\n    (void)argc, (void)argv;\n    run.arena = (char *)4096;\n    run.first = run.last = "
    "true;\n"
    "    run.sample0 = 1000;\n    program(&m->train);\n    program(&m->eval);\n"
    "    program(&m->sample);\n    return 0;\n}\n";

static Arena *A;

static Plan *plan_of(const char *model, const Define *define, int n, const PlanOptions *o)
{
    const char *source = getenv("SOURCE") ? getenv("SOURCE") : ".";
    Sources *s = sources_new(A);
    Diag *d = diag_new(A, s, stderr);
    Model *m = lower_model(A, s, arena_printf(A, "%s/samples/%s", source, model), define, n, d);
    assert_non_null(m);
    assert_true(training_graph(m, d) && evaluation_graph(m, d));
    simplify(A, &m->train);
    simplify(A, &m->eval);
    bool no_fit = false;
    Plan *p = plan_build(A, m, o, d, &no_fit);
    assert_non_null(p);
    return p;
}

/* ---- what the plan says ---- */

typedef struct Turn {
    int64_t nb, s, parts; /* s: samples before it, or parts of samples */
    bool first;
} Turn;

static int64_t times(int64_t n, bool batched, const Turn *t)
{
    return batched ? n * t->nb : n;
}

static void say_places(StrBuf *s, const Plan *p, const Step *x, const Turn *t)
{
    for (int i = 0; i < x->kernel->n_arg; i++) {
        const Buffer *b = &p->buffer.v[x->arg[i].buffer];
        int64_t at = b->offset + x->arg[i].offset;
        if (x->region && b->batched && !b->region)
            at += t->s * (b->sample_bytes / t->parts);
        strbuf_printf(s, " %lld", (long long)at);
    }
    strbuf_char(s, '\n');
}

static void say_gemm(StrBuf *s, const Gemm *g, const Turn *t)
{
    int64_t sums =
        g->sums_samples ? t->nb / g->sums_samples : times(max64(g->sums, 1), g->sums_nb, t);
    strbuf_printf(s, " gemm %lld %lld %lld x%lld +%lld %d", (long long)times(g->m, g->m_nb, t),
                  (long long)g->n, (long long)g->k,
                  (long long)times(max64(g->count0, 1), g->count0_nb, t), (long long)sums,
                  g->accumulates && !t->first);
}

static void say_step(StrBuf *s, const Plan *p, const Step *x, const Turn *t)
{
    const Kernel *k = x->kernel;
    strbuf_printf(s, "%d: first %d sample %lld chunk %lld", x->id, t->first,
                  (long long)(1000 + (t->parts > 1 ? 0 : t->s)), (long long)t->s);
    int64_t units = times(k->units, k->batched, t);
    if (k->kind == K_GEMM)
        say_gemm(s, &k->gemm, t);
    else if (k->kind == K_SUM_SQUARES)
        strbuf_printf(s, " squares %lld", (long long)units);
    else if (k->kind == K_NORM)
        strbuf_printf(s, " norm %lld %lld", (long long)k->tpl.rows, (long long)k->tpl.cols);
    else if (k->kind == K_ZERO)
        strbuf_printf(s, " zero %d %lld", k->n_gap, (long long)k->gap[k->n_gap - 1].at);
    else
        strbuf_printf(
            s, " launch %lld",
            (long long)(k->fused.chunk ? (units + k->fused.chunk - 1) / k->fused.chunk : units));
    say_places(s, p, x, t);
}

static void say_phase(StrBuf *s, const Plan *p, ProgramKind kind, int phase)
{
    const ProgramPlan *g = &p->program[kind];
    for (int i = g->first[phase], end; i < g->first[phase] + g->count[phase]; i = end) {
        int region = p->step.v[i].region;
        for (end = i + 1;
             end < g->first[phase] + g->count[phase] && p->step.v[end].region == region;)
            end++;
        int64_t parts = region ? max64(g->region_parts, 1) : 1, all = g->micro_batch * parts;
        int64_t chunk = !region ? all : parts > 1 ? 1 : g->region_samples;
        for (int64_t at = 0; at < all; at += chunk) {
            Turn t = {min64(chunk, all - at), region ? at : 0, parts, at == 0};
            for (int k = i; k < end; k++)
                say_step(s, p, &p->step.v[k], &t);
        }
    }
}

/* ---- what the program does ---- */

static void say_kernels(StrBuf *s, const Plan *p)
{
    const int *same = kernel_same(A, p);
    for (int i = 0; i < p->kernel.n; i++) {
        const Kernel *k = p->kernel.v[i];
        if (same[i] != i || is_runtime_call(k->kind))
            continue;
        strbuf_printf(s,
                      "bmrt_kernel %s;\nvoid %s(void *const *a, int64_t lo, int64_t hi)\n{\n"
                      "    (void)lo, (void)hi;\n    for (int i = 0; i < %d; i++)\n"
                      "        place(a[i]);\n}\n",
                      k->name, k->name, k->n_arg);
    }
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    StrBuf s = strbuf_new(A);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        strbuf_addn(&s, part, n);
    fclose(f);
    return s.text;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_true(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void check(const Plan *p)
{
    StrBuf trainer = strbuf_new(A), rest = strbuf_new(A), want = strbuf_new(A);
    emit_trainer(&trainer, p);
    strbuf_add(&rest, stub);
    say_kernels(&rest, p);
    write_text("trainer.c", trainer.text);
    write_text("stub.c", rest.text);
    const char *source = getenv("SOURCE") ? getenv("SOURCE") : ".";
    const char *cc = getenv("CC") ? getenv("CC") : "cc";
    assert_int_equal(
        system(arena_printf(A,
                            "%s -std=c11 -Wall -Wextra -Werror -DBM_TRACE "
                            "-I%s/runtime trainer.c stub.c -o told && ./told > told.txt",
                            cc, source)),
        0);
    for (int g = 0; g < N_PROGRAMS; g++)
        for (int f = 0; f < N_PHASES && p->program[g].present; f++)
            say_phase(&want, p, (ProgramKind)g, f);
    char *got = read_text("told.txt"), *line = want.text;
    while (*got && *line) {
        size_t n = strcspn(line, "\n") + 1, m = strcspn(got, "\n") + 1;
        if (n != m || strncmp(got, line, n) != 0)
            fail_msg("the trainer does\n%.*sthe plan has\n%.*s", (int)m, got, (int)n, line);
        got += n;
        line += n;
    }
    assert_true(!*got && !*line);
}

static int functions(const Plan *p, int *lines)
{
    StrBuf s = strbuf_new(A);
    int n = 0;
    emit_trainer(&s, p);
    emit_kernels(&s, p);
    *lines = 0;
    for (const char *c = s.text; *c; c++)
        if (*c == '\n') {
            ++*lines;
            n += strncmp(c, "\nvoid ", 6) == 0 || strncmp(c, "\nstatic void ", 13) == 0;
        }
    return n;
}

static Define layers(int n)
{
    return (Define){"layers", arena_printf(A, "%d", n)};
}

static void test_gpt(void **s)
{
    (void)s;
    Define d[] = {layers(5), {"vocab", "2000"}, {"ctx", "512"}, {"width", "96"}};
    PlanOptions o = {.micro_batch = 8};
    Plan *p = plan_of("gpt.bm", d, 4, &o);
    assert_true(p->program[PROGRAM_TRAIN].region_samples > 0); /* the head in chunks */
    check(p);
}

/* A sample's logits in parts. */
static void test_parts(void **s)
{
    (void)s;
    Define d[] = {layers(2), {"vocab", "300"}, {"ctx", "4096"}, {"width", "32"}, {"heads", "2"}};
    Plan *p = plan_of("gpt.bm", d, 5, &(PlanOptions){.micro_batch = 2});
    assert_int_equal(p->program[PROGRAM_TRAIN].region_parts, 4);
    check(p);
    check(plan_of("gpt.bm", d, 5, &(PlanOptions){.micro_batch = 4, .no_fuse = true}));
}

static void test_others(void **s)
{
    (void)s;
    Define d[] = {layers(3)};
    check(plan_of("llama.bm", d, 1, &(PlanOptions){0}));
    check(plan_of("llama.bm", d, 1, &(PlanOptions){.no_fuse = true}));
    check(plan_of("mlp.bm", NULL, 0, &(PlanOptions){0}));
}

/* The same functions for any depth. */
static void test_depth(void **s)
{
    (void)s;
    int few_lines, many_lines;
    Define two[] = {layers(2)}, many[] = {layers(24)};
    int few = functions(plan_of("gpt.bm", two, 1, &(PlanOptions){0}), &few_lines);
    int more = functions(plan_of("gpt.bm", many, 1, &(PlanOptions){0}), &many_lines);
    assert_int_equal(few, more);
    assert_true(many_lines < few_lines + few_lines * 3 / 10);
}

int main(void)
{
    A = arena_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
