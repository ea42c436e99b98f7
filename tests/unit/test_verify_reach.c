/* The verifier on what kernels can touch: furthest elements, sizes, matrix products, partial sums.
 */
#include "tests/unit/verify_told.h"

static void reach(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    Step *s = &p->step.v[writer_of(p, PROGRAM_TRAIN, "h.0.gelu")];
    Kernel *k = p->kernel.v[s->kernel->id];
    int64_t *stride = &k->fused.access.v[0].stride[1];
    *stride = 2;
    caught(a, p, "V12 bounds-align", "touches bytes 0 to 1995 of argument 0");
    *stride = -1;
    caught(a, p, "V12 bounds-align", "touches bytes -396 to");
    *stride = 1;
    k->fused.access.v[0].offset = 1;
    caught(a, p, "V12 bounds-align", "touches bytes 4 to 1603 of argument 0");
    k->fused.access.v[0].offset = 0;
    s->arg[0].offset = 64;
    caught(a, p, "V12 bounds-align", "touches bytes 64 to 1663");
    s->arg[0].offset = 1600;
    caught_in_file(a, p, "V12 bounds-align", "from byte 1600 of 1600");
    s->arg[0].offset = 0;
    k->fused.extent[1]++;
    caught(a, p, "V12 bounds-align", "touches bytes");
    k->fused.extent[1]--;
    k->fused.ins.v[0].kind = I_GATHER;
    k->fused.ins.v[0].gather = 10;
    k->fused.ins.v[0].limit = 2;
    caught(a, p, "V12 bounds-align", "touches bytes 0 to 1639");
    k->fused.ins.v[0].limit = 1;
    passes(a, p);
    k->fused.ins.v[0].acc = 9;
    caught(a, p, "V01 well-formed", "has access 9 of 3");
    k->fused.ins.v[0].acc = 0;
    k->arg_written[0] = true;
    caught(a, p, "V01 well-formed", "does not write argument 0, and says otherwise");
    k->arg_written[0] = false;
    k->arg_dtype[0] = DT_INT;
    caught(a, p, "V01 well-formed", "argument 0 of k3_test is int");
    k->arg_dtype[0] = DT_F32;
    Kernel *b = p->kernel.v[writer_of(p, PROGRAM_TRAIN, "h.0.weight.grad")];
    b->tpl.view[0].batch_stride = 101;
    caught(a, p, "V12 bounds-align", "of argument 0");
    b->tpl.view[0].batch_stride = 100;
    passes(a, p);
    /* a buffer made smaller: the batch no longer fits */
    Buffer *h = named(p, PROGRAM_TRAIN, "h.0.gelu");
    h->bytes -= 4;
    caught_in_file(a, p, "V01 well-formed", "4 samples of 400 bytes are meant");
    Buffer *w = named(p, PROGRAM_TRAIN, "h.0.weight");
    h->bytes += 4;
    w->bytes -= 4;
    caught(a, p, "V12 bounds-align", "touches bytes 0 to 399");
    arena_free(a);
}

typedef struct Form { /* of C = A B */
    Gemm g;
    int64_t elems[3]; /* per sample where batched */
    bool batched[3];
} Form;

static const Form form[] = {
    {{.m = 5, .n = 7, .k = 3, .lda = 3, .ldb = 7, .ldc = 7, .m_nb = true}, {15, 21, 35}, {1, 0, 1}},
    {{.m = 5, .n = 7, .k = 3, .tb = 1, .lda = 3, .ldb = 3, .ldc = 7, .m_nb = true},
     {15, 21, 35},
     {1, 0, 1}},
    {{.m = 5,
      .n = 7,
      .k = 3,
      .lda = 3,
      .ldb = 7,
      .ldc = 7,
      .count0 = 1,
      .count0_nb = true,
      .a0 = 30,
      .b0 = 42,
      .c0 = 70,
      .count1 = 2,
      .a1 = 15,
      .b1 = 21,
      .c1 = 35},
     {30, 42, 70},
     {1, 1, 1}},
    {{.m = 3,
      .n = 7,
      .k = 5,
      .ta = 1,
      .lda = 3,
      .ldb = 7,
      .ldc = 7,
      .sums = 1,
      .sums_nb = true,
      .as = 15,
      .bs = 35,
      .accumulates = true},
     {15, 35, 21},
     {1, 1, 0}},
    {{.m = 3,
      .n = 7,
      .k = 10,
      .ta = 1,
      .lda = 3,
      .ldb = 7,
      .ldc = 7,
      .sums = 1,
      .sums_samples = 2,
      .as = 30,
      .bs = 70,
      .accumulates = true},
     {15, 35, 21},
     {1, 1, 0}},
};

/* The product of two buffers that are made before it. */
static Plan *product(Arena *a, const Form *m, int *arg)
{
    static const char *const name[3] = {"a", "b", "c"};
    Fix *f = fix_new(a, 1);
    ProgramKind g = PROGRAM_TRAIN;
    fix_program(f, g, 4, 2, 0);
    int x = fix_buffer(f, "in", ROLE_INPUT, 1, true, g, 0);
    for (int k = 0; k < 3; k++) {
        arg[k] = fix_buffer(f, name[k], ROLE_TEMP, m->elems[k], m->batched[k], g, 0);
        if (k < 2)
            fix_map(f, g, PHASE_ROUND, "make", arg[k], &x, m->batched[k] ? 1 : 0);
    }
    Kernel *k = arena_make(a, Kernel);
    *k = (Kernel){.kind = K_GEMM, .n_arg = 3, .gemm = m->g, .arg_written = {0, 0, 1}};
    fix_step(f, g, PHASE_ROUND, "gemm", k, arg);
    return fix_finish(f);
}

/* Every form exactly fits, and moved on by one element does not. */
static void gemm_reach(void **state)
{
    (void)state;
    for (int i = 0; i < countof(form); i++) {
        Arena *a = arena_new();
        int arg[3];
        Plan *p = product(a, &form[i], arg);
        Operand *o = p->step.v[p->step.n - 1].arg;
        passes(a, p);
        for (int bad = 0; bad < 3; bad++) {
            o[bad].offset = 4;
            caught(a, p, "V12 bounds-align", arena_printf(a, "of argument %d, buffer", bad));
            o[bad].offset = 0;
            if (bad == 2)
                continue;
            o[bad].buffer = arg[2];
            caught(a, p, "V14 race", "reads and writes buffer");
            o[bad].buffer = arg[bad];
        }
        arena_free(a);
    }
}

/* Partial sums: one for each chunk of rows, and the fold that reads them. */
static void partial_sums(void **state)
{
    (void)state;
    for (int bad = 0; bad < 4; bad++) {
        Arena *a = arena_new();
        Fix *f = fix_new(a, 1);
        ProgramKind g = PROGRAM_TRAIN;
        fix_program(f, g, 4, 2, 0);
        int x = fix_buffer(f, "x", ROLE_INPUT, 70, true, g, 0); /* 10 rows of 7 */
        int partial = fix_buffer(f, "partial", ROLE_TEMP, 14 * 7, false, g, 0);
        int acc = fix_buffer(f, "acc", ROLE_GRAD, 7, false, g, 0);
        Kernel *k = arena_make(a, Kernel), *fold = arena_make(a, Kernel);
        *k = (Kernel){.kind = K_FUSED, .batched = true, .n_arg = 2, .arg_written = {0, 1}};
        k->fused = (Fused){.n_axis = 2, .n_inner = 1, .n_stage = 1, .extent = {10, 7}, .chunk = 3};
        Access load = {.arg = 0, .dtype = DT_F32, .stride = {7, 1}};
        Access sum = {.arg = 1, .dtype = DT_F32, .stride = {0, 1}};
        vec_push(a, &k->fused.access, load);
        vec_push(a, &k->fused.access, sum);
        Ins l = {.kind = I_LOAD, .in = {-1, -1, -1}, .acc = 0},
            s = {.kind = I_COLSUM, .in = {0, -1, -1}, .acc = 1};
        vec_push(a, &k->fused.ins, l);
        vec_push(a, &k->fused.ins, s);
        fix_step(f, g, PHASE_ROUND, "sum", k, (int[]){x, partial});
        k->units = bad == 1 ? 11 : 10; /* 14 chunks of 3 rows, of 4 x 10; 15 of 4 x 11 */
        *fold = (Kernel){.kind = K_FOLD, .n_arg = 2, .arg_written = {0, 1}, .uses_first = true};
        fold->tpl = (Template){
            .cols = bad == 2 ? 8 : 7, .rows = bad == 3 ? 11 : 10, .axis = 3, .accumulates = true};
        fix_step(f, g, PHASE_ROUND, "fold", fold, (int[]){partial, acc});
        Plan *p = fix_finish(f);
        if (bad == 0)
            passes(a, p);
        else
            caught(a, p, "V12 bounds-align",
                   bad == 1   ? "touches bytes 0 to 419 of argument 1"
                   : bad == 2 ? "touches bytes 0 to 31 of argument 1"
                              : "touches bytes 0 to 419 of argument 0");
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reach),
        cmocka_unit_test(gemm_reach),
        cmocka_unit_test(partial_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
