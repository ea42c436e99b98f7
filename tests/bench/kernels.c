/* kernels.c - how fast emitted kernels are, one thread: attention in GFLOP/s, a norm in GB/s.
 *
 *   ninja bench_kernels && SOURCE=/path/to/repo tests/bench_kernels
 *
 * Times are of the thread's own CPU clock, the fastest of several runs: neighbours do not count. */
#include "tests/unit/kernel_build.h"

#include <time.h>

static Arena *A;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double fastest(KernelFn *f, void **arg, int64_t units, int runs)
{
    double best = 1e9;
    for (int i = 0; i < runs; i++) {
        double t = seconds();
        f(arg, 0, units);
        t = seconds() - t;
        best = t < best ? t : best;
    }
    return best;
}

static float *numbers(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((i * 7919) % 1009) / 1009 - 0.5f;
    return x;
}

static KernelFn *function(void *lib, const char *name)
{
    KernelFn *f;
    *(void **)&f = dlsym(lib, name);
    if (!f)
        abort();
    return f;
}

/* q, k, v are slices of one buffer, as in the samples. */
static void attention(int64_t heads, int64_t t, int64_t d, bool causal)
{
    int64_t w = heads * d;
    Kernel *k[2];
    for (int g = 0; g < 2; g++) {
        k[g] = arena_make(A, Kernel);
        *k[g] = (Kernel){.kind = g ? K_ATTENTION_GRAD : K_ATTENTION, .id = g, .batched = true};
        k[g]->name = g ? "backward" : "forward";
        k[g]->n_arg = g ? 9 : 5;
        k[g]->tpl.attr.attention.heads = k[g]->tpl.attr.attention.kv_heads = (int)heads;
        k[g]->tpl.attr.attention.causal = causal;
        k[g]->tpl.attr.attention.scale = 0.125;
        View wide = {.batch_stride = 3 * t * w, .ndim = 2, .dim = {t, w}, .stride = {3 * w, 1}};
        View own = {.batch_stride = t * w, .ndim = 2, .dim = {t, w}, .stride = {w, 1}};
        View lse = {.batch_stride = heads * t, .ndim = 2, .dim = {heads, t}, .stride = {t, 1}};
        const View fv[] = {wide, wide, wide, own, lse};
        const View gv[] = {wide, wide, wide, own, lse, own, wide, wide, wide};
        for (int i = 0; i < k[g]->n_arg; i++) {
            k[g]->tpl.view[i] = g ? gv[i] : fv[i];
            k[g]->arg_dtype[i] = DT_F32;
            k[g]->arg_written[i] = i >= (g ? 6 : 3);
        }
    }
    void *lib = compile_kernels(A, k, 2, "bench_attention", "-mprefer-vector-width=512");
    float *x = numbers(3 * t * w), *o = numbers(t * w), *l = numbers(heads * t);
    float *dy = numbers(t * w), *dx = numbers(3 * t * w);
    void *forward[] = {x, x + w, x + 2 * w, o, l};
    void *backward[] = {x, x + w, x + 2 * w, o, l, dy, dx, dx + w, dx + 2 * w};
    double seen = causal ? (double)t * (double)(t + 1) / 2 : (double)t * (double)t;
    double flop = 4 * (double)(heads * d) * seen;
    int64_t blocks = (t + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    double f = fastest(function(lib, "forward"), forward, heads * blocks, 12);
    double b = fastest(function(lib, "backward"), backward, heads, 12);
    printf("attention %2lld heads %5lld x %3lld%s: forward %6.1f, backward %6.1f GFLOP/s\n",
           (long long)heads, (long long)t, (long long)d, causal ? " causal" : "       ",
           flop / f * 1e-9, 2.5 * flop / b * 1e-9);
    dlclose(lib);
}

/* s = x + y, then (s - mean) / sqrt(var) * w + b: reads 2, writes 2 */
static void norm(int64_t rows, int64_t cols)
{
    int64_t extent[] = {rows, cols}, wide[] = {cols, 1}, per_col[] = {0, 1};
    Kernel *k = new_fused(A, "norm", true, 1, 2, extent);
    int x = new_access(A, k, new_arg(k, DT_F32, false), 2, wide);
    int y = new_access(A, k, new_arg(k, DT_F32, false), 2, wide);
    int w = new_access(A, k, new_arg(k, DT_F32, false), 2, per_col);
    int s = new_access(A, k, new_arg(k, DT_F32, true), 2, wide);
    int o = new_access(A, k, new_arg(k, DT_F32, true), 2, wide);
    int sum = f2(A, k, OP_ADD, load(A, k, x, "x"), load(A, k, y, "y"));
    int scale = number_ins(A, k, DT_F32, 1.0 / (double)cols);
    int d = f2(A, k, OP_SUB, sum, f2(A, k, OP_MUL, reduce(A, k, OP_SUM, sum), scale));
    int var = f2(A, k, OP_MUL, reduce(A, k, OP_SUM, f2(A, k, OP_MUL, d, d)), scale);
    int root = f1(A, k, OP_SQRT, f2(A, k, OP_ADD, var, number_ins(A, k, DT_F32, 1e-5)));
    int out = f2(A, k, OP_MUL, f2(A, k, OP_DIV, d, root), load(A, k, w, "weight"));
    sink(A, k, I_STORE, sum, s);
    sink(A, k, I_STORE, out, o);
    void *lib = compile_kernels(A, &k, 1, "bench_norm", "-mprefer-vector-width=512");
    int64_t n = rows * cols;
    void *arg[] = {numbers(n), numbers(n), numbers(cols), numbers(n), numbers(n)};
    double t = fastest(function(lib, "norm"), arg, rows, 20);
    printf("norm %5lld x %4lld: %5.0f ns a row, %5.1f GB/s\n", (long long)rows, (long long)cols,
           t / (double)rows * 1e9, 16 * (double)n / t * 1e-9);
    dlclose(lib);
}

int main(void)
{
    A = arena_new();
    attention(6, 256, 64, true);
    attention(6, 256, 64, false);
    attention(6, 128, 32, true);
    attention(2, 1024, 64, true);
    attention(2, 1024, 128, true);
    norm(256, 768);
    norm(8192, 768);
    norm(2048, 384);
    norm(4096, 64);
    return 0;
}
