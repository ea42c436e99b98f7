#include "tests/grad/check.h"

#include <math.h>
#include <string.h>

/* ---- values ---- */

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

static double away_from_0(uint64_t *seed, double lo, double hi)
{
    double v;
    do
        v = lo + (hi - lo) * uniform(seed);
    while (fabs(v) < 0.12);
    return v;
}

/* Steps of 0.1, shuffled; `number` of the tensor moves them, so that others lie between. */
static void distinct(uint64_t *seed, double *v, int64_t n, int number)
{
    for (int64_t i = 0; i < n; i++)
        v[i] = ((double)i - floor((double)n / 2)) * 0.1 + 0.02 * (number % 5);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(uniform(seed) * (double)(i + 1));
        double x = v[i];
        v[i] = v[j];
        v[j] = x;
    }
}

static void param_values(uint64_t *seed, const Param *p, double *v, int number)
{
    int64_t n = type_count(&p->type);
    if (p->init.kind == INIT_NORMAL && p->init.a == 1) {
        distinct(seed, v, n, number);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        v[i] = p->init.kind == INIT_UNIFORM  ? away_from_0(seed, p->init.a, p->init.b)
               : p->init.kind == INIT_NORMAL ? 3 * p->init.a * (uniform(seed) - 0.5)
               : p->init.kind == INIT_ONES   ? 0.7 + 0.6 * uniform(seed)
                                             : uniform(seed) - 0.5;
}

static double int_value(uint64_t *seed, const Input *x)
{
    double u = uniform(seed);
    if (x->ignore_ok && uniform(seed) < 0.2)
        return -100;
    return floor(u * (double)(x->below ? x->below : 3));
}

static void input_values(uint64_t *seed, const Input *x, double *v, int number)
{
    int64_t n = type_count(&x->type) * GRAD_BATCH;
    if (x->type.dtype == DT_F32 && x->name[0] == 'd') {
        distinct(seed, v, n, number);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        v[i] = x->type.dtype == DT_INT    ? int_value(seed, x)
               : x->type.dtype == DT_BOOL ? uniform(seed) < 0.5
               : x->name[0] == 'p'        ? away_from_0(seed, 0.3, 2.3)
                                          : away_from_0(seed, -2, 2);
}

GradValues grad_values(Arena *a, const Model *m, uint64_t seed)
{
    GradValues g = {arena_array(a, double *, m->param.n + 1),
                    arena_array(a, double *, m->input.n + 1)};
    seed = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < m->param.n; i++) {
        g.param[i] = arena_array(a, double, type_count(&m->param.v[i].type));
        param_values(&seed, &m->param.v[i], g.param[i], i);
    }
    for (int i = 0; i < m->input.n; i++) {
        g.input[i] = arena_array(a, double, type_count(&m->input.v[i].type) * GRAD_BATCH);
        input_values(&seed, &m->input.v[i], g.input[i], m->param.n + i);
    }
    return g;
}

/* ---- differences ---- */

static void set_params(Trial *t, const GradValues *v)
{
    for (int i = 0; i < t->m->n_param; i++)
        trial_set(t, &t->m->param[i], v->param[i]);
}

/* Of state i, the momentum of one parameter, whose number is returned. */
static int owner(const bmrt_model *m, int state)
{
    for (int i = 0; i < m->n_param; i++) {
        size_t n = strlen(m->param[i].path);
        if (strncmp(m->state[state].path, m->param[i].path, n) == 0 &&
            strcmp(m->state[state].path + n, ".momentum") == 0)
            return i;
    }
    BUG("%s belongs to no parameter", m->state[state].path);
}

static double loss_with(Trial *t, const GradValues *v, int param, int64_t i, double x)
{
    double old = v->param[param][i];
    v->param[param][i] = x;
    trial_set(t, &t->m->param[param], v->param[param]);
    v->param[param][i] = old;
    return trial_loss(t, &t->m->train);
}

static double slope(Trial *t, const GradValues *v, int param, int64_t i)
{
    const double h = 1e-5;
    double x = v->param[param][i];
    return (loss_with(t, v, param, i, x + h) - loss_with(t, v, param, i, x - h)) / (2 * h);
}

static double tensor_error(Trial *t, const GradValues *v, int param, const double *g)
{
    double worst = 0, size = 0;
    for (int64_t i = 0; i < t->m->param[param].count; i++) {
        double s = slope(t, v, param, i), d = fabs(g[i] - s);
        worst = fmax(worst, isfinite(d) ? d : INFINITY);
        size = fmax(size, fabs(g[i]));
    }
    trial_set(t, &t->m->param[param], v->param[param]);
    return worst / (size + 1e-3);
}

GradWorst grad_check(Arena *a, const Model *m, const bmrt_model *program, uint64_t seed)
{
    GradWorst w = {0};
    GradValues v = grad_values(a, m, seed);
    Trial t;
    if (!trial_open(&t, program, 1, seed))
        return (GradWorst){.error = INFINITY, .path = "the arena"};
    trial_input(&t, (const double *const *)v.input);
    set_params(&t, &v);
    trial_step(&t);
    double **g = arena_array(a, double *, program->n_state + 1);
    for (int i = 0; i < program->n_state; i++) {
        g[i] = arena_array(a, double, program->state[i].count);
        trial_get(&t, &program->state[i], g[i]);
    }
    set_params(&t, &v);
    for (int i = 0; i < program->n_state; i++) {
        int param = owner(program, i);
        double e = tensor_error(&t, &v, param, g[i]);
        w.tensors++;
        if (e >= w.error) {
            w.error = e;
            w.path = m->param.v[param].path;
        }
    }
    trial_close(&t);
    return w;
}
