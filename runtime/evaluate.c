/* evaluate.c - running a program's phases over samples, and the valid split. */
#include "runtime/bmrt_private.h"

static void run_phase(bmrt_run *run, bmrt_phase_fn *f, int64_t nb)
{
    if (f)
        f(&run->pub, nb);
}

/* Inputs stay where they are between the phases when there is one micro-batch; with more of them
 * each is filled again. */
static BmStatus sweep(bmrt_run *run, const bmrt_pass *pass, bmrt_phase_fn *phase, bool filled,
                      bool notify, bmrt_error *e)
{
    int64_t micro = pass->program->micro_batch;
    for (int64_t first = 0; first < pass->samples; first += micro) {
        int64_t nb = pass->samples - first < micro ? pass->samples - first : micro;
        BmStatus s = filled ? BMRT_OK : pass->fill(run, pass, first, nb, e);
        if (s != BMRT_OK)
            return s;
        run->pub.first = first == 0;
        run->pub.sample0 = first;
        run_phase(run, phase, nb);
        s = bmrt_fault_check(run, e);
        if (s == BMRT_OK && notify && pass->each)
            s = pass->each(run, pass, first, nb, e);
        if (s != BMRT_OK)
            return s;
    }
    return BMRT_OK;
}

BmStatus bmrt_pass_run(bmrt_run *run, const bmrt_pass *pass, bmrt_error *e)
{
    const bmrt_program *p = pass->program;
    int64_t usual = pass->samples < p->micro_batch ? pass->samples : p->micro_batch;
    BmStatus s = BMRT_OK;
    run_phase(run, p->pre, usual);
    if (p->weight)
        s = sweep(run, pass, p->weight, false, false, e);
    if (s != BMRT_OK)
        return s;
    run_phase(run, p->mid, usual);
    s = sweep(run, pass, p->round, p->weight && pass->samples <= p->micro_batch, true, e);
    if (s == BMRT_OK)
        run_phase(run, p->post, usual);
    return s;
}

double bmrt_average_value(bmrt_run *run, const bmrt_average *a)
{
    double num = (double)*(const real *)BMRT_AT(&run->pub, a->num);
    if (a->den < 0)
        return num;
    double den = (double)*(const real *)BMRT_AT(&run->pub, a->den);
    if (den != 0)
        return num / den;
    if (!run->warned_empty)
        bmrt_progress_say(
            &run->progress,
            "trainer: warning: step %lld: the weights of '%s' add up to 0, so it is 0",
            (long long)run->pub.step + 1, a->name ? a->name : "loss");
    run->warned_empty = true;
    return 0;
}

double bmrt_loss(bmrt_run *run, const bmrt_program *p)
{
    double loss = 0;
    if (!p->loss)
        return 0;
    if (p->n_loss <= 0)
        return bmrt_average_value(run, p->loss);
    for (int i = 0; i < p->n_loss; i++)
        loss += p->loss[i].coef * bmrt_average_value(run, &p->loss[i]);
    return loss;
}

static BmStatus fill_valid(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb,
                           bmrt_error *e)
{
    (void)pass, (void)e;
    for (int64_t i = 0; i < nb; i++)
        run->index[i] = first + i;
    for (int i = 0; i < run->m->n_input; i++)
        if (run->m->input[i].eval_offset >= 0)
            bmrt_data_fill(&run->valid, run->m, i, run->index, nb, run->pool,
                           BMRT_AT(&run->pub, run->m->input[i].eval_offset));
    return BMRT_OK;
}

BmStatus bmrt_evaluate(bmrt_run *run, int64_t step, bool last, bmrt_error *e)
{
    const bmrt_program *p = &run->m->eval;
    bmrt_pass pass = {p, run->valid.n, fill_valid,
                      last && run->opt.predictions ? bmrt_predictions_write : NULL, NULL};
    BmStatus s = bmrt_pass_run(run, &pass, e);
    if (s != BMRT_OK)
        return s;
    bmrt_metrics *f = &run->metrics;
    char line[512], name[80];
    bmrt_text t = {line, 0, sizeof line, false};
    double loss = bmrt_loss(run, p);
    bmrt_metrics_begin(f);
    bmrt_metrics_int(f, "step", step);
    bmrt_metrics_real(f, "valid_loss", loss);
    bmrt_text_add(&t, "valid after step %lld  loss ", (long long)step);
    bmrt_add_loss(&t, loss);
    for (int i = 0; i < p->n_report; i++) {
        double v = bmrt_average_value(run, &p->report[i]);
        bmrt_text n = {name, 0, sizeof name, false};
        bmrt_text_add(&n, "valid_%s", p->report[i].name);
        bmrt_metrics_real(f, name, v);
        bmrt_text_add(&t, "  %s %.4g", p->report[i].name, v);
    }
    bmrt_progress_say(&run->progress, "%s", line);
    return bmrt_metrics_end(f, e);
}
