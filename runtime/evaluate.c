/* evaluate.c - running a program's phases over samples, and the valid split. */
#include "runtime/bmrt_private.h"

enum { PRE, WEIGHT, MID, ROUND, POST }; /* phases, as in bmrt_ops */

/* The first thing that went wrong; what follows on other ranks' account is not told. */
static void keep(BmStatus s, const bmrt_error *what, BmStatus *first, bmrt_error *e)
{
    if (s == BMRT_OK || *first != BMRT_OK)
        return;
    *first = s;
    *e = *what;
}

static bool goes_on(const bmrt_run *run, BmStatus s)
{
    return s == BMRT_OK || (run->pub.ranks > 1 && !run->world.broken);
}

static int64_t rounds_of(const bmrt_pass *pass)
{
    int64_t micro = pass->program->micro_batch;
    return pass->rounds > 0 ? pass->rounds : (pass->samples + micro - 1) / micro;
}

/* Inputs stay where they are between the phases when there is one micro-batch; with more of them
 * each is filled again. */
static BmStatus sweep(bmrt_run *run, const bmrt_pass *pass, int phase, bool filled, bool notify,
                      bmrt_error *e)
{
    int64_t micro = pass->program->micro_batch, rounds = rounds_of(pass);
    int64_t stride = pass->stride > 0 ? pass->stride : micro;
    BmStatus s = BMRT_OK;
    bmrt_error what;
    for (int64_t j = 0; j < rounds && goes_on(run, s); j++) {
        int64_t first = pass->base + j * stride, left = pass->samples - first;
        int64_t nb = left < 0 ? 0 : left < micro ? left : micro;
        if (!filled)
            keep(pass->fill(run, pass, first, nb, &what), &what, &s, e);
        run->pub.first = j == 0;
        run->pub.last = j + 1 == rounds;
        run->pub.round = j;
        run->pub.sample0 = first;
        keep(bmrt_phase_run(run, pass->program, phase, nb, &what), &what, &s, e);
        keep(bmrt_fault_check(run, &what), &what, &s, e);
        if (notify && pass->each && goes_on(run, s))
            keep(pass->each(run, pass, first, nb, &what), &what, &s, e);
    }
    return s;
}

BmStatus bmrt_pass_run(bmrt_run *run, const bmrt_pass *pass, bmrt_error *e)
{
    const bmrt_program *p = pass->program;
    int64_t usual = pass->samples < p->micro_batch ? pass->samples : p->micro_batch;
    bool weights = p->weight || (p->comm && p->comm[WEIGHT].n > 0);
    bool filled = p->weight && rounds_of(pass) <= 1;
    bmrt_error what;
    BmStatus s = bmrt_phase_run(run, p, PRE, usual, e);
    if (weights && goes_on(run, s))
        keep(sweep(run, pass, WEIGHT, false, false, &what), &what, &s, e);
    if (goes_on(run, s))
        keep(bmrt_phase_run(run, p, MID, usual, &what), &what, &s, e);
    if (goes_on(run, s))
        keep(sweep(run, pass, ROUND, filled, true, &what), &what, &s, e);
    if (goes_on(run, s))
        keep(bmrt_phase_run(run, p, POST, usual, &what), &what, &s, e);
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
    (void)pass;
    for (int64_t i = 0; i < nb; i++)
        run->index[i] = first + i;
    for (int i = 0; i < run->m->n_input; i++)
        if (run->m->input[i].eval_offset >= 0)
            bmrt_data_fill(&run->valid, run->m, i, run->index, nb, run->pool,
                           BMRT_AT(&run->pub, run->m->input[i].eval_offset));
    return bmrt_data_check(&run->valid, e);
}

BmStatus bmrt_evaluate(bmrt_run *run, int64_t step, bool last, bmrt_error *e)
{
    const bmrt_program *p = &run->m->eval;
    bmrt_pass pass = {.program = p, .samples = run->valid.n, .fill = fill_valid};
    /* Ranks take turns, micro-batch by micro-batch, and all of them have as many rounds. */
    int64_t ranks = run->pub.ranks > 1 ? run->pub.ranks : 1;
    pass.base = run->pub.rank * p->micro_batch;
    pass.stride = ranks * p->micro_batch;
    pass.rounds = (run->valid.n + pass.stride - 1) / pass.stride;
    if (last && run->opt.predictions)
        pass.each = bmrt_predictions_write;
    BmStatus s = bmrt_agree(run->peers, bmrt_pass_run(run, &pass, e), e);
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
