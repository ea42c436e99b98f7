/* plan_print.c - the plan as text for people (--emit=plan): totals, buffers, steps in order. */
#include "planner/words.h"

#include <string.h>

static void print_ps(StrBuf *s, int64_t ps)
{
    strbuf_printf(s, "%lld.%03lld us", (long long)(ps / 1000000),
                  (long long)(ps / 1000 % 1000)); /* exact, whatever the machine's doubles do */
}

/* How ranks share the model: nothing when there is one rank and no machine. */
static void print_ranks(StrBuf *s, const Plan *p)
{
    if (p->ranks > 1) {
        strbuf_printf(s, "  state shared by %lld rank%s; accumulate %s, reduce %s, overlap %s",
                      (long long)p->shared_by, p->shared_by == 1 ? "" : "s",
                      accumulate_words.word[p->reduced], reduce_words.word[p->invariant],
                      p->overlap ? "auto" : "off");
        strbuf_printf(s, ", lead %d, buckets of %lld bytes\n", p->lead, (long long)p->bucket_bytes);
    }
    if (p->host_bytes)
        strbuf_printf(s, "  host arena %lld\n", (long long)p->host_bytes);
    if (p->machine) {
        strbuf_printf(s, "  on %s a step takes ", p->machine->name);
        print_ps(s, p->step_ps);
        strbuf_add(s, ", of it communication not hidden ");
        print_ps(s, p->exposed_ps);
        if (p->bounds.lower_ps) {
            strbuf_add(s, "; no plan takes less than ");
            print_ps(s, p->bounds.lower_ps);
        }
        strbuf_char(s, '\n');
    }
}

static void print_tried(StrBuf *s, const Plan *p)
{
    for (int i = 0; i < p->tried.n; i++) {
        const Alternative *t = &p->tried.v[i];
        strbuf_printf(s, "  micro-batch %lld x %lld rounds", (long long)t->micro_batch,
                      (long long)t->rounds);
        if (t->zero)
            strbuf_printf(s, ", zero %s", t->zero);
        if (t->recompute)
            strbuf_printf(s, ", recompute %s", t->recompute);
        if (t->overlap)
            strbuf_printf(s, ", overlap %s", t->overlap);
        strbuf_printf(s, ": arena %lld, ", (long long)t->arena_bytes);
        if (t->step_ps) {
            print_ps(s, t->step_ps);
            strbuf_add(s, ", ");
        }
        strbuf_printf(s, "%s\n", t->why ? t->why : "chosen");
    }
}

static void print_totals(StrBuf *s, const Plan *p)
{
    strbuf_printf(s, "plan of %s: batch %lld = %lld rank%s x %lld round%s x %lld sample%s%s\n",
                  p->model->name, (long long)p->batch, (long long)p->ranks,
                  p->ranks == 1 ? "" : "s", (long long)p->rounds, p->rounds == 1 ? "" : "s",
                  (long long)p->micro_batch, p->micro_batch == 1 ? "" : "s",
                  p->fused ? "" : ", not fused");
    if (p->below_grain)
        strbuf_printf(s,
                      "  sums over tokens go by %lld rows, and a micro-batch is no whole number of "
                      "them: another micro-batch gives other last bits\n",
                      (long long)p->grain_rows);
    int64_t gap = p->arena_bytes - p->persistent_bytes - p->max_live_bytes;
    strbuf_printf(s, "  arena %lld (", (long long)p->arena_bytes);
    strbuf_bytes(s, p->arena_bytes);
    strbuf_printf(s, ") = persistent %lld + live at most %lld", (long long)p->persistent_bytes,
                  (long long)p->max_live_bytes);
    if (gap)
        strbuf_printf(s, " + gap %lld%s", (long long)gap,
                      p->offsets_proved ? ", proved" : ", not proved to be needed");
    if (p->max_live_step < p->step.n && p->step.n)
        strbuf_printf(s, ", at step %d %s", p->max_live_step, p->step.v[p->max_live_step].path);
    strbuf_char(s, '\n');
    print_ranks(s, p);
    print_tried(s, p);
}

/* The levels, and groups that are more than one parameter's place in the arena. */
static void print_groups(StrBuf *s, const Plan *p)
{
    if (!p->group.n)
        return;
    strbuf_add(s, "\ngroups: id level used shard buffers (parameters gradients reduced state) path "
                  "why: parameter at element\n");
    for (int i = 0; i < p->group.n; i++) {
        const FlatGroup *g = &p->group.v[i];
        strbuf_printf(s, "  %4d %-4s %10lld %10lld  %d %d %d", g->id, level_words.word[g->level],
                      (long long)g->used, (long long)g->shard, g->params, g->grads, g->grad_shard);
        for (int k = 0; k < g->n_state; k++)
            strbuf_printf(s, " %d", g->state[k]);
        strbuf_printf(s, " %s%s%s%s", *g->path ? g->path : "(model)",
                      g->optimizer < 0 ? " frozen" : "", g->whole_grad ? " whole" : "",
                      g->offload ? " offload" : "");
        strbuf_printf(s, "%s%s:", g->why ? " " : "", g->why ? g->why : "");
        for (int k = 0; k < g->n; k++)
            strbuf_printf(s, " %s@%lld", p->model->param.v[g->param[k]].path, (long long)g->at[k]);
        strbuf_char(s, '\n');
    }
}

static void print_buffers(StrBuf *s, const Plan *p)
{
    strbuf_add(s, "\nbuffers: id offset bytes steps role path\n");
    for (int i = 0; i < p->buffer.n; i++) {
        const Buffer *b = &p->buffer.v[i];
        strbuf_printf(s, "  %4d %12lld %12lld ", b->id, (long long)b->offset, (long long)b->bytes);
        if (b->persistent)
            strbuf_add(s, "     always");
        else
            strbuf_printf(s, "%5d-%-5d", b->first, b->last);
        strbuf_printf(s, " %-6s %s %s%s", role_words.word[b->role], dtype_words.word[b->dtype],
                      b->path, b->batched ? " batched" : "");
        if (b->region)
            strbuf_printf(s, " region %d", b->region);
        if (b->group >= 0 && p->group.n)
            strbuf_printf(s, " group %d%s", b->group, b->sharded ? " shard" : "");
        strbuf_add(s, b->host ? " host\n" : "\n");
    }
}

static void print_operand(StrBuf *s, const Operand *o)
{
    strbuf_printf(s, " %d", o->buffer);
    if (o->offset)
        strbuf_printf(s, "+%lld", (long long)o->offset);
    if (o->by_rank)
        strbuf_printf(s, "+%lldr", (long long)o->by_rank);
}

/* Where, when and after what it runs, as far as it is not the usual. */
static void print_turn(StrBuf *s, const Step *t)
{
    if (t->stream != STREAM_COMPUTE)
        strbuf_printf(s, " on %s", stream_words.word[t->stream]);
    if (t->when != WHEN_ALWAYS)
        strbuf_printf(s, ", %s round", when_words.word[t->when]);
    const char *sep = " after ";
    for (int i = 0; i < N_STREAMS; i++)
        if (t->wait[i] >= 0) {
            strbuf_printf(s, "%s%d", sep, t->wait[i]);
            sep = ",";
        }
    if (t->sent)
        strbuf_printf(s, " sends %lld", (long long)t->sent);
}

static void print_step(StrBuf *s, const Step *t)
{
    const Kernel *k = t->kernel;
    strbuf_printf(s, "  %4d %-9s %s:", t->id, kind_words.word[step_kind(k)], t->path);
    for (int i = 0; i < k->n_arg; i++)
        if (!k->arg_written[i])
            print_operand(s, &t->arg[i]);
    strbuf_add(s, " ->");
    for (int i = 0; i < k->n_arg; i++) {
        if (!k->arg_written[i])
            continue;
        print_operand(s, &t->arg[i]);
        if (kernel_accumulates(k, i))
            strbuf_char(s, '+');
        else if (kernel_reads(k, i))
            strbuf_char(s, '*');
    }
    strbuf_printf(s, "  %s%s%s", k->name, t->backward ? " backward" : "",
                  t->recompute ? " recompute" : "");
    if (t->region)
        strbuf_printf(s, " region %d", t->region);
    print_turn(s, t);
    strbuf_printf(s, "  # %s\n", t->what);
}

static void print_results(StrBuf *s, const Plan *p, ProgramKind g)
{
    for (int i = 0; i < p->term.n; i++) {
        const LossTerm *t = &p->term.v[i];
        if (t->program != g)
            continue;
        strbuf_printf(s, "  %s %s = ", t->field ? "field" : t->report ? "report" : "loss", t->name);
        strbuf_double(s, t->coef);
        strbuf_add(s, " *");
        print_operand(s, &t->num);
        if (t->den.buffer >= 0) {
            strbuf_add(s, " /");
            print_operand(s, &t->den);
        }
        strbuf_char(s, '\n');
    }
    if (p->program[g].norm.buffer >= 0) {
        strbuf_add(s, "  norm =");
        print_operand(s, &p->program[g].norm);
        strbuf_char(s, '\n');
    }
    if (p->program[g].logits.buffer >= 0) {
        strbuf_add(s, "  logits =");
        print_operand(s, &p->program[g].logits);
        strbuf_char(s, '\n');
    }
}

void plan_print(StrBuf *s, const Plan *p)
{
    print_totals(s, p);
    print_groups(s, p);
    print_buffers(s, p);
    strbuf_add(s,
               "\nsteps: id kind path: reads -> writes (+ added to, * read too)  kernel  # what\n");
    for (int g = 0; g < N_PROGRAMS; g++) {
        const ProgramPlan *q = &p->program[g];
        if (!q->present)
            continue;
        strbuf_printf(s, "%s: micro-batch %lld, %lld round%s", program_words.word[g],
                      (long long)q->micro_batch, (long long)q->rounds, q->rounds == 1 ? "" : "s");
        if (q->region_samples)
            strbuf_printf(s, ", regions by %lld samples", (long long)q->region_samples);
        if (q->region_parts)
            strbuf_printf(s, ", regions in %lld parts of a sample", (long long)q->region_parts);
        strbuf_char(s, '\n');
        for (int f = 0; f < N_PHASES; f++) {
            if (q->count[f])
                strbuf_printf(s, " %s\n", phase_words.word[f]);
            for (int i = q->first[f]; i < q->first[f] + q->count[f]; i++)
                print_step(s, &p->step.v[i]);
        }
        print_results(s, p, (ProgramKind)g);
    }
}
