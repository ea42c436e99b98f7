/* measure.c - bounds in double, which does not overflow, and generous: every node in memory at
 * once.
 */
#include "planner/measure.h"

#ifdef BM_SMALL_LIMITS
enum { MOST_NODES = 4000 };
#else
enum { MOST_NODES = 250000 };
#endif
static const double MOST_BYTES = 1125899906842624.0;         /* 2^50: PLAN_MAX_BYTES */
static const double MOST_OPERATIONS = 1152921504606846976.0; /* 2^60 */

/* Operations of one sample, from above. */
static double operations(const Node *n)
{
    double out = (double)type_count(&n->type), in = 0;
    for (int k = 0; k < n->n_in; k++)
        in += (double)type_count(&n->in[k]->type);
    switch (op_info[n->op].cost) {
    case COST_free:
    case COST_cheap:
    case COST_costly:
    case COST_row:
    case COST_move:
        return 32 * (in + out);
    case COST_gemm: /* [m, k] @ [k, n], or sums over rows: the first operand once a column */
        return 2 * (double)type_count(&n->in[0]->type) *
               (n->type.ndim > 0 ? (double)n->type.dim[n->type.ndim - 1] : 1);
    case COST_attention: /* [tq, d] and each key */
        return 10 * (in + out) * (double)n->in[1]->type.dim[0];
    }
    BUG("op %d has no cost", n->op);
}

static void add_program(const Program *p, double samples, double *bytes, double *done)
{
    for (int k = 0; p->graph && k < p->graph->node.n; k++) {
        const Node *n = p->graph->node.v[k];
        double times = n->type.batched ? samples : 1;
        *bytes += times * (double)type_bytes(&n->type);
        for (int j = 0; j < n->n_in && times == 1; j++) /* sums over the batch */
            if (n->in[j]->type.batched)
                times = samples;
        *done += times * operations(n);
    }
}

Measure measure(const Model *m, int64_t samples, int64_t micro_batch)
{
    double bytes = 0, done = 0, unused = 0;
    int nodes = 0;
    const Program *const program[] = {&m->train, &m->eval};
    for (int k = 0; k < countof(program); k++) {
        add_program(program[k], (double)micro_batch, &bytes, &unused);
        add_program(program[k], (double)samples, &unused, &done);
        nodes += program[k]->graph ? program[k]->graph->node.n : 0;
    }
    if (nodes > MOST_NODES)
        return MEASURE_NODES;
    if (done > MOST_OPERATIONS)
        return MEASURE_OPERATIONS;
    return bytes > MOST_BYTES ? MEASURE_BYTES : MEASURE_FITS;
}

void measure_tell(const Model *m, Measure what, Diag *d)
{
    switch (what) {
    case MEASURE_FITS:
        return;
    case MEASURE_NODES:
        diag_error(d, NO_SPAN, "model %s unrolls to more than %d operations", m->name, MOST_NODES);
        diag_help(d, "fewer layers, or fewer turns of a `for`");
        return;
    case MEASURE_OPERATIONS:
        diag_error(d, NO_SPAN, "a step of model %s could take more than 2^60 operations", m->name);
        diag_help(d, "make the model, its context or the batch smaller");
        return;
    case MEASURE_BYTES:
        diag_error(d, NO_SPAN, "model %s could take more than 2^50 bytes with one sample at a time",
                   m->name);
        diag_help(d, "make the model or its context smaller");
        return;
    }
}
