/* launch.c - what emitted code calls: kernels and products on the pool. */
#include "runtime/bmrt_private.h"
#include "runtime/gemm.h"

typedef struct launch_job {
    bmrt_kernel *kernel;
    void *const *arg;
} launch_job;

static void launch_range(void *job, int64_t lo, int64_t hi)
{
    const launch_job *l = job;
    l->kernel(l->arg, lo, hi);
}

void bmrt_launch(bmrt *r, bmrt_kernel *k, int64_t n, int64_t least, void *const *arg)
{
    launch_job l = {k, arg};
    bmrt_pool_split(bmrt_run_of(r)->pool, launch_range, &l, n, least);
}

void bmrt_gemm(bmrt *r, const bmrt_gemm_args *g, const void *a, const void *b, void *c)
{
    bmrt_gemm_on(bmrt_run_of(r)->pool, g, a, b, c);
}
