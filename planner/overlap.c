/* overlap.c - how long what a collective touches must live.
 *
 * Memory given back while a collective still uses it would make the next kernel wait. So buffers
 * live until the collective is predicted to be over; waits.c makes sure of what was predicted
 * wrongly. */
#include "planner/choice.h"

/* Where in the numbering step `k` is over: without times, when the collective after the next
 * begins. */
static int predicted_end(const Plan *p, int k, int end)
{
    int others = 0;
    for (int j = k + 1; j < end; j++)
        if (p->step.v[j].stream == p->step.v[k].stream && ++others == 2)
            return j;
    return end - 1;
}

void overlap_lifetimes(Plan *p)
{
    for (int g = 0; g < N_PROGRAMS && p->overlap; g++)
        for (int f = 0; f < N_PHASES; f++) {
            int end = p->program[g].first[f] + p->program[g].count[f];
            for (int k = p->program[g].first[f]; k < end; k++) {
                const Step *s = &p->step.v[k];
                if (s->stream == STREAM_COMPUTE)
                    continue;
                int over = predicted_end(p, k, end);
                for (int j = 0; j < s->kernel->n_arg; j++) {
                    Buffer *x = &p->buffer.v[s->arg[j].buffer];
                    x->last = x->last > over ? x->last : over;
                }
            }
        }
}
