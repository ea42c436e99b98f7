/* init.c - first values of parameters, buffers and optimizer state.
 *
 * Element i of the tensor at `path` is made from word i mod 4 of Philox with the seed as key and
 * the counter (i / 4, hash of the path). u = (word + 1/2) / 2^32 lies strictly between 0 and 1; a
 * normal value is the normal quantile of u, a uniform one a + (b - a) u; both computed in double
 * and rounded once. So each rank makes its own piece of a tensor, and they fit together. */
#include "runtime/bmrt_private.h"
#include "runtime/npy.h"
#include "runtime/rng.h"
#include "runtime/shard.h"

#include <math.h>
#include <string.h>

enum { ZEROS, ONES, FILL, NORMAL, UNIFORM, NPY };

/* Natural logarithm of a positive normal number by x = 2^e m, log m = 2 atanh((m - 1) / (m + 1)):
 * within 2 units in the last place, in operations that are exact or correctly rounded everywhere.
 */
static double log_portable(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), z = s * s, sum = 0;
    for (int k = 21; k >= 1; k -= 2)
        sum = sum * z + 1.0 / k;
    return e * 0.69314718055994531 + 2 * s * sum;
}

static double polynomial(const double *c, int n, double x)
{
    double y = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        y = y * x + c[i];
    return y;
}

double bmrt_normal_quantile(double p)
{
    static const double a[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                               1.9715909503065514427e3, 1.3731693765509461125e4,
                               4.5921953931549871457e4, 6.7265770927008700853e4,
                               3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double b[] = {1.0,
                               4.2313330701600911252e1,
                               6.8718700749205790830e2,
                               5.3941960214247511077e3,
                               2.1213794301586595867e4,
                               3.9307895800092710610e4,
                               2.8729085735721942674e4,
                               5.2264952788528545610e3};
    static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                               5.76949722146069140550e0,  3.64784832476320460504e0,
                               1.27045825245236838258e0,  2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1.0,
                               2.05319162663775882187e0,
                               1.67638483018380384940e0,
                               6.89767334985100004550e-1,
                               1.48103976427480074590e-1,
                               1.51986665636164571966e-2,
                               5.47593808499534494600e-4,
                               1.05075007164441684324e-9};
    static const double f[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                               1.78482653991729133580e0,  2.96560571828504891230e-1,
                               2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double g[] = {1.0,
                               5.99832206555887937690e-1,
                               1.36929880922735805310e-1,
                               1.48753612908506148525e-2,
                               7.86869131145613259100e-4,
                               1.84631831751005468180e-5,
                               1.42151175831644588870e-7,
                               2.04426310338993978564e-15};
    double q = p - 0.5;
    if (q >= -0.425 && q <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(a, 8, r) / polynomial(b, 8, r);
    }
    double r = sqrt(-log_portable(q < 0 ? p : 1 - p));
    double x = r <= 5 ? polynomial(c, 8, r - 1.6) / polynomial(d, 8, r - 1.6)
                      : polynomial(f, 8, r - 5) / polynomial(g, 8, r - 5);
    return q < 0 ? -x : x;
}

typedef struct draw_job {
    uint64_t seed, path;
    const bmrt_tensor *t;
    int64_t from; /* element that out[0] is */
    real *out;
} draw_job;

static void draw_range(void *job, int64_t first, int64_t last)
{
    const draw_job *j = job;
    bmrt_words w = {{0}};
    int64_t lo = j->from + first, hi = j->from + last;
    for (int64_t i = lo; i < hi; i++) {
        if (i == lo || i % 4 == 0)
            w = bmrt_philox(j->seed, (uint64_t)i / 4, j->path);
        double u = ((double)w.w[i % 4] + 0.5) / 4294967296.0;
        double v = j->t->init == NORMAL ? j->t->a * bmrt_normal_quantile(u)
                                        : j->t->a + (j->t->b - j->t->a) * u;
        j->out[i - j->from] = (real)v;
    }
}

static void fill(const bmrt_tensor *t, const bmrt_share *p, double v)
{
    switch (t->dtype) {
    case BMRT_F32:
        for (int64_t i = 0; i < p->n; i++)
            ((real *)p->at)[i] = (real)v;
        break;
    case BMRT_I32:
        for (int64_t i = 0; i < p->n; i++)
            ((int32_t *)p->at)[i] = (int32_t)v;
        break;
    case BMRT_U8:
        if (p->n > 0)
            memset(p->at, v != 0, (size_t)p->n);
        break;
    }
}

BmStatus bmrt_init_tensor(bmrt_run *run, const bmrt_tensor *t, bmrt_error *e)
{
    bmrt_share p = bmrt_share_of(&run->pub, t);
    switch (t->init) {
    case ZEROS:
    case ONES:
        fill(t, &p, t->init == ONES);
        return BMRT_OK;
    case FILL:
        fill(t, &p, t->a);
        return BMRT_OK;
    case NORMAL:
    case UNIFORM:
        if (t->dtype != BMRT_F32)
            break;
        draw_job j = {run->pub.seed, bmrt_hash(t->path), t, p.lo, p.at};
        bmrt_pool_split(run->pool, draw_range, &j, p.n, 4096);
        return BMRT_OK;
    case NPY:
        return bmrt_npy_tensor(t, p.lo, p.n, p.at, e);
    }
    return bmrt_fail(e, BMRT_BUG, "parameter '%s' (%s) has initial value kind %d", t->path,
                     bmrt_dtype_name(t->dtype), t->init);
}

BmStatus bmrt_init_all(bmrt_run *run, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    BmStatus s = BMRT_OK;
    for (int i = 0; i < m->n_param && s == BMRT_OK; i++)
        s = bmrt_init_tensor(run, &m->param[i], e);
    for (int i = 0; i < m->n_state && s == BMRT_OK; i++)
        s = bmrt_init_tensor(run, &m->state[i], e);
    return s;
}
