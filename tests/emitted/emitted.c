/* emitted.c - plans compiled into a shared object, and run. */
#include "tests/emitted/emitted.h"

#include "codegen/emit.h"
#include "runtime/gemm.h"

#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- compiled ---- */

static const bmrt_model *told_model; /* by main() of the program that was called last */
static atomic_int faults;

int emitted_main(const bmrt_model *m, int argc, char **argv);
void emitted_fault(const char *path, int64_t sample, int64_t position, int64_t value,
                   int64_t limit);

int emitted_main(const bmrt_model *m, int argc, char **argv)
{
    (void)argc, (void)argv;
    told_model = m;
    return 0;
}

void emitted_fault(const char *path, int64_t sample, int64_t position, int64_t value, int64_t limit)
{
    if (atomic_fetch_add(&faults, 1) == 0)
        fprintf(stderr, "index %lld of %s, sample %lld, position %lld is outside 0..%lld\n",
                (long long)value, path, (long long)sample, (long long)position,
                (long long)limit - 1);
}

/* What loaded programs call must be linked into the test. */
typedef void AnyFn(void);
extern AnyFn *const emitted_calls[];
AnyFn *const emitted_calls[] = {(AnyFn *)bmrt_launch, (AnyFn *)bmrt_gemm, (AnyFn *)bmrt_sum_squares,
                                (AnyFn *)bmrt_watched, (AnyFn *)bmrt_chunk};

Batch batch_new(Arena *a, const char *dir, const char *name)
{
    return (Batch){.arena = a, .dir = dir, .name = name};
}

/* Programs share one library, so what a program shares between its two files gets its number. */
static void print_names(StrBuf *s, const Plan *p, int number)
{
    for (int i = 0; i < p->kernel.n; i++) {
        const char *k = p->kernel.v[i]->name;
        strbuf_printf(s, "#define %s p%d_%s\n", k, number, k);
    }
    strbuf_printf(s, "#define main p%d_main\n", number);
    strbuf_add(s, "#define bmrt_main emitted_main\n#define bmrt_index_fault emitted_fault\n");
}

int batch_add(Batch *b, const Plan *p)
{
    StrBuf s = strbuf_new(b->arena);
    print_names(&s, p, b->n);
    emit_trainer(&s, p);
    strbuf_char(&s, '\n');
    emit_kernels(&s, p);
    const char *path = arena_printf(b->arena, "%s/%s_%d.c", b->dir, b->name, b->n);
    FILE *f = fopen(path, "w");
    if (!f || fwrite(s.text, 1, s.n, f) != s.n || fclose(f) != 0)
        die("cannot write %s", path);
    return b->n++;
}

bool batch_build(Batch *b, const char *optimize)
{
    const char *source = getenv("SOURCE"), *cc = getenv("CC");
    StrBuf s = strbuf_new(b->arena);
    strbuf_printf(&s, "%s -std=c11 -w %s -march=native -ffp-contract=off -fno-math-errno ",
                  cc && *cc ? cc : "cc", optimize);
    strbuf_printf(&s, "-fno-trapping-math %s -fPIC -shared -I%s/runtime -o %s/%s.so",
                  BMRT_SCALE == 2 ? "-DBM_REAL_DOUBLE" : "", source && *source ? source : ".",
                  b->dir, b->name);
    for (int i = 0; i < b->n; i++)
        strbuf_printf(&s, " %s/%s_%d.c", b->dir, b->name, i);
    strbuf_add(&s, " -lm");
    if (system(s.text) != 0)
        return false;
    b->library = dlopen(arena_printf(b->arena, "%s/%s.so", b->dir, b->name), RTLD_NOW | RTLD_LOCAL);
    if (!b->library)
        fprintf(stderr, "%s\n", dlerror());
    return b->library != NULL;
}

typedef int Main(int argc, char **argv);

const bmrt_model *batch_model(const Batch *b, int i)
{
    void *at = dlsym(b->library, arena_printf(b->arena, "p%d_main", i));
    Main *f;
    memcpy(&f, &at, sizeof f);
    if (!at)
        BUG("program %d of %s has no main", i, b->name);
    f(0, NULL);
    return told_model;
}

void batch_close(Batch *b)
{
    if (b->library)
        dlclose(b->library);
    b->library = NULL;
}

/* ---- running ---- */

static size_t bytes_of(int64_t n)
{
    return (size_t)n * BMRT_SCALE;
}

bool trial_open(Trial *t, const bmrt_model *m, int threads, uint64_t seed)
{
    bmrt_error e = {{0}, {0}};
    *t = (Trial){.m = m};
    t->run.m = m;
    t->run.steps = m->steps > 0 ? m->steps : 1;
    t->run.pub.seed = seed;
    if (bmrt_pool_create(&t->run.pool, threads, bmrt_gemm_quiet, &e) == BMRT_OK &&
        bmrt_arena_create(&t->run, &e) == BMRT_OK)
        return true;
    fprintf(stderr, "%s\n", e.text);
    trial_close(t);
    return false;
}

void trial_close(Trial *t)
{
    bmrt_arena_destroy(&t->run);
    if (t->run.pool)
        bmrt_pool_destroy(t->run.pool);
    t->run.pool = NULL;
}

void trial_input(Trial *t, const double *const *input)
{
    t->input = input;
}

/* One rank has all of a flat buffer. */
static char *place_of(const Trial *t, const bmrt_tensor *x)
{
    return (char *)BMRT_AT(&t->run.pub, x->offset) + x->at * (int64_t)bmrt_dtype_size(x->dtype);
}

void trial_set(Trial *t, const bmrt_tensor *x, const double *value)
{
    char *at = place_of(t, x);
    for (int64_t i = 0; i < x->count; i++)
        if (x->dtype == BMRT_F32)
            ((real *)(void *)at)[i] = (real)value[i];
        else if (x->dtype == BMRT_I32)
            ((int32_t *)(void *)at)[i] = (int32_t)value[i];
        else
            at[i] = value[i] != 0;
}

void trial_get(const Trial *t, const bmrt_tensor *x, double *value)
{
    const char *at = place_of(t, x);
    for (int64_t i = 0; i < x->count; i++)
        value[i] = x->dtype == BMRT_F32   ? (double)((const real *)(const void *)at)[i]
                   : x->dtype == BMRT_I32 ? (double)((const int32_t *)(const void *)at)[i]
                                          : (double)at[i];
}

static void fill_one(Trial *t, int i, int64_t offset, int64_t first, int64_t nb)
{
    const bmrt_input *x = &t->m->input[i];
    bmrt_tensor place = {.dtype = x->dtype, .count = nb * x->count, .offset = offset};
    trial_set(t, &place, t->input[i] + first * x->count);
}

static BmStatus fill(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb, bmrt_error *e)
{
    Trial *t = (Trial *)(void *)run; /* its first member */
    (void)e;
    for (int i = 0; i < t->m->n_input; i++) {
        const bmrt_input *x = &t->m->input[i];
        int64_t offset = pass->program == &t->m->eval ? x->eval_offset : x->train_offset;
        if (offset >= 0)
            fill_one(t, i, offset, first, nb);
    }
    return BMRT_OK;
}

/* What a step has not written yet must not count: NaN, and indices out of range. */
static void spoil(Trial *t)
{
    size_t kept = bytes_of(t->m->persistent_bytes), all = bytes_of(t->m->arena_bytes);
    memset(t->run.pub.arena + kept, 0xff, all - kept);
}

double trial_loss(Trial *t, const bmrt_program *p)
{
    bmrt_error e = {{0}, {0}};
    bmrt_pass pass = {.program = p, .samples = t->m->batch, .fill = fill};
    atomic_store(&faults, 0);
    spoil(t);
    bmrt_write_host(&t->run);
    if (bmrt_pass_run(&t->run, &pass, &e) != BMRT_OK || atomic_load(&faults))
        return NAN;
    return bmrt_loss(&t->run, p);
}

double trial_step(Trial *t)
{
    double loss = trial_loss(t, &t->m->train);
    if (t->m->train.update)
        t->m->train.update(&t->run.pub, t->m->train.micro_batch);
    return loss;
}

double trial_norm(const Trial *t, const bmrt_program *p)
{
    return p->norm < 0 ? 0 : (double)*(const real *)BMRT_AT(&t->run.pub, p->norm);
}

double trial_report(Trial *t, const bmrt_program *p, int i)
{
    return bmrt_average_value(&t->run, &p->report[i]);
}
