#include "tests/random/judge.h"

#include <math.h>
#include <string.h>

/* ---- what is true ---- */

void truth_forward(Truth *t, Make *k)
{
    *t = (Truth){.k = k, .factor = 1};
    const Num *loss = k->calc.value[k->m->train.loss->id];
    t->loss = loss->v;
    memcpy(t->slope, loss->t, sizeof t->slope);
    if (k->m->train.report.n)
        t->report = k->calc.value[k->m->train.report.v[0].value->id]->v;
}

static double worst_report(const Calc *c, const Report *r)
{
    const Num *num = c->value[r->num->id], *den = c->value[r->den->id];
    if (den->v == 0)
        return 0;
    return (num->e + fabs(num->v / den->v) * den->e) / fabs(den->v);
}

void truth_bounds(Truth *t)
{
    Make *k = t->k;
    const Program *p = &k->m->train;
    Calc c = {.arena = k->arena,
              .batch = (int)k->m->batch,
              .seed = k->calc.seed,
              .leaf = make_leaf,
              .ctx = k};
    calc_run(&c, p->graph, p->root.v, p->root.n);
    t->grad = arena_array(k->arena, const Num *, k->m->param.n + 1);
    t->assigned = arena_array(k->arena, const Num *, k->m->param.n + 1);
    for (int i = 0; i < p->root.n; i++) {
        const Node *n = p->root.v[i];
        if (n->op != OP_ASSIGN)
            continue;
        int leaf = n->in[0]->attr.leaf.leaf;
        if (n->in[0]->op == OP_STATE)
            t->grad[k->m->state.v[leaf].param] = c.value[n->id];
        else if (n->in[0]->op == OP_BUFFER)
            t->assigned[leaf] = c.value[n->id];
    }
    t->loss_bound = c.value[p->loss_value->id]->e;
    if (p->report.n)
        t->report_bound = worst_report(&c, &p->report.v[0]);
    double norm = c.value[p->grad_norm->id]->v;
    if (k->m->clip > 0)
        t->factor = fmin(1, k->m->clip / (norm + 1e-6));
}

/* ---- differences ---- */

static const double step = 1e-6;

typedef struct Moved {
    Make *k;
    int way;
    double by;
} Moved;

static const Num *moved_leaf(void *ctx, const Node *n)
{
    const Moved *m = ctx;
    const Num *old = make_leaf(m->k, n);
    if (n->op != OP_PARAM)
        return old;
    int64_t count = type_count(&n->type);
    Num *v = arena_array(m->k->arena, Num, count);
    for (int64_t i = 0; i < count; i++)
        v[i].v = old[i].v + m->by * old[i].t[m->way];
    return v;
}

/* The loss in the evaluation graph's copy of the forward nodes; simplify() left no averages there,
 * so it is the sum of its terms. */
static double loss_at(const Truth *t, int way, double by)
{
    Moved m = {t->k, way, by};
    Mark mark = arena_mark(t->k->arena);
    const Program *p = &t->k->m->eval;
    Calc c = {.arena = t->k->arena,
              .batch = (int)t->k->m->batch,
              .seed = t->k->calc.seed,
              .leaf = moved_leaf,
              .ctx = &m};
    calc_run(&c, p->graph, p->root.v, p->root.n);
    double loss = 0;
    for (int i = 0; i < p->term.n; i++) {
        double den = c.value[p->term.v[i].den->id]->v;
        if (den != 0)
            loss += p->term.v[i].coef * c.value[p->term.v[i].num->id]->v / den;
    }
    arena_rewind(t->k->arena, mark);
    return loss;
}

double truth_differences(const Truth *t)
{
    double worst = 0;
    for (int w = 0; w < WAYS; w++) {
        double d = (loss_at(t, w, step) - loss_at(t, w, -step)) / (2 * step);
        worst = fmax(worst, fabs(d - t->slope[w]) / (1e-5 * (1 + fabs(t->slope[w]))));
    }
    return worst;
}

/* ---- runs ---- */

static double **get_all(Arena *a, const Trial *t, const bmrt_tensor *x, int n)
{
    double **v = arena_array(a, double *, n + 1);
    for (int i = 0; i < n; i++) {
        v[i] = arena_array(a, double, x[i].count);
        trial_get(t, &x[i], v[i]);
    }
    return v;
}

Result judge_run(Arena *a, const Make *k, const bmrt_model *m, int threads)
{
    Result r = {.loss = NAN};
    Trial t;
    if (!trial_open(&t, m, threads, k->calc.seed))
        return r;
    const double **input = arena_array(a, const double *, m->n_input + 1);
    for (int i = 0; i < m->n_input; i++)
        input[i] = k->input.v[i].value;
    trial_input(&t, input);
    for (int i = 0; i < m->n_param; i++)
        trial_set(&t, &m->param[i], k->param.v[i].value);
    r.eval = trial_loss(&t, &m->eval);
    r.loss = trial_step(&t);
    r.norm = trial_norm(&t, &m->train);
    r.report = m->train.n_report ? trial_report(&t, &m->train, 0) : 0;
    r.param = get_all(a, &t, m->param, m->n_param);
    r.state = get_all(a, &t, m->state, m->n_state);
    trial_close(&t);
    return r;
}

static const char *number(Arena *a, const char *what, double x, double y)
{
    return memcmp(&x, &y, sizeof x) ? arena_printf(a, "%s: %.9g and %.9g", what, x, y) : NULL;
}

static const char *tensors(Arena *a, const bmrt_tensor *x, int n, double **y, double **z)
{
    for (int i = 0; i < n; i++)
        for (int64_t e = 0; e < x[i].count; e++) {
            const char *d = number(a, x[i].path, y[i][e], z[i][e]);
            if (d)
                return arena_printf(a, "[%lld] of %s", (long long)e, d);
        }
    return NULL;
}

const char *judge_difference(Arena *a, const bmrt_model *m, const Result *x, const Result *y)
{
    const char *d = number(a, "loss", x->loss, y->loss);
    d = d ? d : number(a, "evaluated loss", x->eval, y->eval);
    d = d ? d : number(a, "report", x->report, y->report);
    d = d ? d : tensors(a, m->state, m->n_state, x->state, y->state);
    d = d ? d : number(a, "norm", x->norm, y->norm);
    return d ? d : tensors(a, m->param, m->n_param, x->param, y->param);
}

/* ---- errors ---- */

typedef struct Worst {
    double ratio;
    const char *what;
} Worst;

static void look(Worst *w, double got, double want, double bound, const char *what)
{
    double d = fabs(got - want) / (bound + 1e-30);
    if (!isfinite(d))
        d = INFINITY;
    if (d > w->ratio) {
        w->ratio = d;
        w->what = what;
    }
}

static void look_at_gradients(Worst *w, const Truth *t, const bmrt_model *m, const Result *r)
{
    double slope[WAYS] = {0}, bound[WAYS] = {0};
    for (int i = 0; i < m->n_state; i++) {
        int p = t->k->m->state.v[i].param;
        const Num *g = t->grad[p], *at = t->k->param.v[p].num;
        for (int64_t e = 0; e < m->state[i].count; e++) {
            look(w, r->state[i][e], g[e].v, g[e].e, "a gradient");
            for (int k = 0; k < WAYS; k++) {
                slope[k] += r->state[i][e] * at[e].t[k];
                bound[k] += g[e].e * fabs(at[e].t[k]);
            }
            /* the update, to the bit: lr is a float, every operation rounds */
            float next = (float)at[e].v - (float)((float)r->state[i][e] * 0.1f);
            look(w, r->param[p][e], (double)next, 0, "an update");
        }
    }
    for (int k = 0; k < WAYS; k++)
        look(w, slope[k], t->factor * t->slope[k], bound[k], "the slope along a direction");
}

static void look_at_buffers(Worst *w, const Truth *t, const Result *r)
{
    const Model *m = t->k->m;
    for (int i = 0; i < m->param.n; i++) {
        const Param *p = &m->param.v[i];
        if (!p->buffer && !p->frozen)
            continue;
        for (int64_t e = 0; e < type_count(&p->type); e++)
            if (t->assigned[i])
                look(w, r->param[i][e], t->assigned[i][e].v, t->assigned[i][e].e, "a buffer");
            else
                look(w, r->param[i][e], t->k->param.v[i].value[e], 0, "a value that must stay");
    }
}

double judge_error(const Truth *t, const bmrt_model *m, const Result *r, const char **what)
{
    Worst w = {0, "nothing"};
    look(&w, r->loss, t->loss, t->loss_bound, "the loss");
    /* the evaluation divides in double, by sums instead of products with inverses */
    look(&w, r->eval, t->loss, t->loss_bound + 4 * half_ulp * fabs(t->loss),
         "the evaluation's loss");
    if (m->train.n_report)
        look(&w, r->report, t->report, t->report_bound + half_ulp * fabs(t->report), "a report");
    look_at_gradients(&w, t, m, r);
    look_at_buffers(&w, t, r);
    *what = w.what;
    return w.ratio;
}
