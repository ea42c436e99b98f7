/* Kernels by hand: emitted, compiled, loaded, run in pieces, compared bit by bit with an
 * interpreter. */
#include "kernel_build.h"
#include "kernel_interp.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Arena *A;
static uint64_t state;

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static real next_real(void)
{
    return (real)((int)(next() % 2001) - 1000) / 250;
}

enum { SIZE = 1 << 20 }; /* elements of each test buffer */

typedef struct Buffers {
    void *arg[24], *want[24];
} Buffers;

static void fill(const Kernel *k, Buffers *d, int ints_below)
{
    for (int i = 0; i < k->n_arg; i++) {
        size_t bytes = SIZE * 4;
        d->arg[i] = malloc(bytes);
        for (int64_t j = 0; j < SIZE; j++)
            store_value(k->arg_dtype[i], d->arg[i], j,
                        (Val){next_real(), k->arg_dtype[i] == DT_BOOL
                                               ? (int32_t)(next() & 1)
                                               : (int32_t)(next() % (uint32_t)ints_below)});
        d->want[i] = malloc(bytes);
        memcpy(d->want[i], d->arg[i], bytes);
    }
}

static void check_and_free(const Kernel *k, Buffers *d)
{
    for (int i = 0; i < k->n_arg; i++) {
        int64_t w = dtype_size(k->arg_dtype[i]);
        for (int64_t j = 0; j < SIZE; j++)
            if (memcmp((char *)d->arg[i] + j * w, (char *)d->want[i] + j * w, (size_t)w) != 0) {
                Val g = load_value(k->arg_dtype[i], d->arg[i], j);
                Val e = load_value(k->arg_dtype[i], d->want[i], j);
                fail_msg("%s: argument %d, element %lld is %a (%d), not %a (%d)", k->name, i,
                         (long long)j, (double)g.f, g.i, (double)e.f, e.i);
            }
        free(d->arg[i]);
        free(d->want[i]);
    }
}

/* Runs the kernel in pieces of 1, 2, 3, ... units (any split gives the same bits). */
static void run_pieces(void *lib, const Kernel *k, void **arg, const Draw *draw, int64_t nb)
{
    KernelFn *f;
    *(void **)&f = dlsym(lib, k->name);
    assert_non_null(f);
    int64_t units = k->units * (k->batched ? nb : 1);
    void *all[32];
    memcpy(all, arg, (size_t)k->n_arg * sizeof *all);
    int n = k->n_arg;
    if (k->uses_draw)
        all[n++] = (void *)(uintptr_t)draw;
    if (k->uses_count)
        all[n++] = &units;
    char path[] = "path";
    bool gathers = false;
    uint64_t key[8];
    int n_key = 0;
    for (int i = 0; i < k->fused.ins.n; i++) {
        gathers = gathers || k->fused.ins.v[i].kind == I_GATHER;
        if (k->fused.ins.v[i].kind == I_RANDOM)
            key[n_key++] = k->fused.ins.v[i].key;
    }
    if (gathers)
        all[n++] = path;
    if (n_key)
        all[n++] = key;
    int64_t launch = k->fused.chunk ? (units + k->fused.chunk - 1) / k->fused.chunk : units;
    for (int64_t lo = 0, step = 1; lo < launch; lo += step, step++)
        f(all, lo, min64(lo + step, launch));
}

static void check_kernel(Kernel *k, int64_t nb, int ints_below)
{
    static int serial;
    char name[32];
    snprintf(name, sizeof name, "kernels%d", serial++);
    void *lib = compile_kernels(A, &k, 1, name, "");
    assert_non_null(lib);
    Buffers d = {0};
    fill(k, &d, ints_below);
    for (int i = 0; i < k->fused.ins.n; i++)
        if (k->fused.ins.v[i].kind == I_COLSUM) {
            int arg = k->fused.access.v[k->fused.ins.v[i].acc].arg;
            int64_t units = k->units * (k->batched ? nb : 1);
            bool wide = k->fused.access.v[k->fused.ins.v[i].acc].stride[k->fused.n_axis - 1];
            int64_t n = (units + k->fused.chunk - 1) / k->fused.chunk *
                        (wide ? k->fused.extent[k->fused.n_axis - 1] : 1);
            memset(d.want[arg], 0, (size_t)n * 4);
        }
    Draw draw = {42, 7, 1000};
    int64_t faults = interp(k, d.want, &draw, nb);
    run_pieces(lib, k, d.arg, &draw, nb);
    int64_t *count;
    *(void **)&count = dlsym(lib, "faults");
    assert_int_equal(*count > 0, faults > 0);
    check_and_free(k, &d);
    dlclose(lib);
}

/* s = x + y; out = (s - mean(s)) / sqrt(var + eps) * w + b; mean and rstd stored. */
static Kernel *norm_kernel(const char *name, int64_t rows, int64_t cols)
{
    Kernel *k = new_fused(A, name, true, 1, 2, (int64_t[]){rows, cols});
    int64_t wide[] = {cols, 1}, per_row[] = {1, 0}, per_col[] = {0, 1};
    int x = new_access(A, k, new_arg(k, DT_F32, false), 2, wide);
    int y = new_access(A, k, new_arg(k, DT_F32, false), 2, wide);
    int w = new_access(A, k, new_arg(k, DT_F32, false), 2, per_col);
    int s = new_access(A, k, new_arg(k, DT_F32, true), 2, wide);
    int o = new_access(A, k, new_arg(k, DT_F32, true), 2, wide);
    int m = new_access(A, k, new_arg(k, DT_F32, true), 2, per_row);
    int r = new_access(A, k, new_arg(k, DT_F32, true), 2, per_row);
    int sum = f2(A, k, OP_ADD, load(A, k, x, "x"), load(A, k, y, "y"));
    sink(A, k, I_STORE, sum, s);
    int scale = number_ins(A, k, DT_F32, 1.0 / (double)cols);
    int mean = f2(A, k, OP_MUL, reduce(A, k, OP_SUM, sum), scale);
    int d = f2(A, k, OP_SUB, sum, mean);
    int var = f2(A, k, OP_MUL, reduce(A, k, OP_SUM, f2(A, k, OP_MUL, d, d)), scale);
    int root = f1(A, k, OP_SQRT, f2(A, k, OP_ADD, var, number_ins(A, k, DT_F32, 1e-5)));
    int rstd = f2(A, k, OP_DIV, number_ins(A, k, DT_F32, 1), root);
    sink(A, k, I_STORE, f2(A, k, OP_MUL, f2(A, k, OP_MUL, d, rstd), load(A, k, w, "weight")), o);
    sink(A, k, I_STORE, mean, m);
    sink(A, k, I_STORE, rstd, r);
    return k;
}

static void test_norm(void **s)
{
    (void)s;
    static const int64_t cols[] = {1, 7, 64, 65, 255, 256, 257, 768, 1000};
    for (int i = 0; i < countof(cols); i++)
        check_kernel(norm_kernel("norm", 5, cols[i]), 3, 9);
}

/* exp(x - max) kept for the last sweep, in place; argmax beside it. */
static void test_softmax_in_place(void **s)
{
    (void)s;
    for (int64_t cols = 10; cols <= 17000; cols *= 41) {
        Kernel *k = new_fused(A, "softmax", true, 1, 2, (int64_t[]){2, cols});
        int64_t wide[] = {cols, 1}, per_row[] = {1, 0};
        int x = new_access(A, k, new_arg(k, DT_F32, true), 2, wide);
        int best = new_access(A, k, new_arg(k, DT_INT, true), 2, per_row);
        int v = load(A, k, x, "x");
        int e = f1(A, k, OP_EXP, f2(A, k, OP_SUB, v, reduce(A, k, OP_MAX_OF, v)));
        int p = f2(A, k, OP_DIV, e, reduce(A, k, OP_SUM, e));
        sink(A, k, I_STORE, p, x);
        sink(A, k, I_STORE, reduce(A, k, OP_ARGMAX, v), best);
        check_kernel(k, 2, 9);
    }
}

/* dx stored; sums over rows of dy and of a row value, chunks with a short last one. */
static void test_column_sums(void **s)
{
    (void)s;
    Kernel *k = new_fused(A, "sums", true, 1, 2, (int64_t[]){13, 100});
    int64_t wide[] = {100, 1}, col[] = {0, 1}, none[] = {0, 0};
    int dy = new_access(A, k, new_arg(k, DT_F32, false), 2, wide);
    int dx = new_access(A, k, new_arg(k, DT_F32, true), 2, wide);
    int pc = new_access(A, k, new_arg(k, DT_F32, true), 2, col);
    int pr = new_access(A, k, new_arg(k, DT_F32, true), 2, none);
    k->fused.chunk = 8;
    k->uses_count = true;
    int v = load(A, k, dy, "dy");
    sink(A, k, I_STORE, f1(A, k, OP_GELU, v), dx);
    sink(A, k, I_COLSUM, v, pc);
    sink(A, k, I_COLSUM, reduce(A, k, OP_SUM, v), pr);
    check_kernel(k, 5, 9);
}

/* wte[token] + wpe[position], tokens out of range told; a transposed store. */
static void test_gather(void **s)
{
    (void)s;
    Kernel *k = new_fused(A, "embed", true, 1, 3, (int64_t[]){1, 16, 24});
    int tok = new_access(A, k, new_arg(k, DT_INT, false), 3, (int64_t[]){16, 1, 0});
    int wte = new_access(A, k, new_arg(k, DT_F32, false), 3, (int64_t[]){0, 0, 1});
    int wpe = new_access(A, k, new_arg(k, DT_F32, false), 3, (int64_t[]){0, 24, 1});
    int out = new_access(A, k, new_arg(k, DT_F32, true), 3, (int64_t[]){384, 1, 16});
    int t = load(A, k, tok, "tokens");
    int e = put(A, k,
                (Ins){.kind = I_GATHER,
                      .dtype = DT_F32,
                      .in = {t, -1, -1},
                      .acc = wte,
                      .gather = 24,
                      .limit = 40,
                      .name = "wte"});
    sink(A, k, I_STORE, f2(A, k, OP_ADD, e, load(A, k, wpe, "wpe")), out);
    check_kernel(k, 3, 40);
    check_kernel(k, 3, 60);
}

/* Ints, bools, casts, constants, random draws, several axes, flat and by rows. */
static void test_elements(void **s)
{
    (void)s;
    for (int inner = 0; inner < 2; inner++) {
        int n = inner ? 4 : 1;
        Kernel *k = new_fused(A, "elements", true, inner, n,
                              inner ? (int64_t[]){1, 3, 5, 33} : (int64_t[]){495, 0, 0, 0});
        int64_t all[] = {495, 165, 33, 1}, odd[] = {495, 1, 99, 3};
        const int64_t *dense = inner ? all : (int64_t[]){1}, *mixed = inner ? odd : dense;
        k->uses_draw = true;
        int x = new_access(A, k, new_arg(k, DT_F32, false), n, mixed);
        int i = new_access(A, k, new_arg(k, DT_INT, false), n, dense);
        int b = new_access(A, k, new_arg(k, DT_BOOL, false), n, dense);
        int o = new_access(A, k, new_arg(k, DT_F32, true), n, dense);
        int oi = new_access(A, k, new_arg(k, DT_INT, true), n, mixed);
        int ob = new_access(A, k, new_arg(k, DT_BOOL, true), n, dense);
        Ins at = {.kind = I_INDEX, .dtype = DT_INT, .in = {-1, -1, -1}, .acc = -1, .start = 3};
        memcpy(at.stride, dense, (size_t)n * sizeof *dense);
        int index = put(A, k, at);
        Ins sample = {.kind = I_INDEX, .dtype = DT_INT, .in = {-1, -1, -1}, .acc = -1};
        sample.sample = true;
        sample.stride[0] = inner;
        int sam = put(A, k, sample);
        int u = put(A, k,
                    (Ins){.kind = I_RANDOM,
                          .dtype = DT_F32,
                          .in = {index, sam, -1},
                          .acc = -1,
                          .key = 99,
                          .per_step = true,
                          .name = "draw"});
        int v = load(A, k, x, "x"), w = load(A, k, i, "float"), q = load(A, k, b, "b c");
        int keep = apply(A, k, OP_LT, DT_BOOL, number_ins(A, k, DT_F32, 0.25), u, -1);
        int both = apply(A, k, OP_AND, DT_BOOL, keep, q, -1);
        int top = f2(A, k, OP_MIN, f2(A, k, OP_MAX, v, number_ins(A, k, DT_F32, -1.5)),
                     number_ins(A, k, DT_F32, 1.25));
        int pick = apply(A, k, OP_WHERE, DT_F32, both, top, number_ins(A, k, DT_F32, -0.0));
        int half = apply(A, k, OP_IDIV, DT_INT, w, number_ins(A, k, DT_INT, -3), -1);
        int rest = apply(A, k, OP_MOD, DT_INT, half, number_ins(A, k, DT_INT, 5), -1);
        int least = apply(A, k, OP_MAX, DT_INT, rest, number_ins(A, k, DT_INT, 2), -1);
        int mix = f2(A, k, OP_ADD, pick, apply(A, k, OP_CAST, DT_F32, least, -1, -1));
        sink(A, k, I_STORE, mix, o);
        sink(A, k, I_STORE, apply(A, k, OP_CAST, DT_INT, f1(A, k, OP_NEG, mix), -1, -1), oi);
        sink(A, k, I_STORE, both, ob);
        check_kernel(k, 4, 1000);
    }
}

int main(void)
{
    A = arena_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),        cmocka_unit_test(test_softmax_in_place),
        cmocka_unit_test(test_column_sums), cmocka_unit_test(test_gather),
        cmocka_unit_test(test_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
