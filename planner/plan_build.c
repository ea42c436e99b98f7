/* plan_build.c - the planner: items, storage, groups, steps, lifetimes, offsets, for each program
 * of a model.
 *
 * The micro-batch is the largest that fits `memory`, tried from the whole batch down; each try is a
 * plan of its own. */
#include "planner/build.h"
#include "planner/measure.h"

#include <string.h>

static void want(Build *b, const Node *n)
{
    if (n)
        vec_push(b->a, &b->result, item_of(b, n));
}

/* A total of weights; a number goes into the term's coefficient instead. */
static void want_total(Build *b, const Node *n)
{
    if (n && n->op != OP_CONST)
        want(b, n);
}

/* The host reads memory, after the update: a result that is computed where it is used (a constant,
 * a view of one) or is storage the update writes is written out, at the end of its phase. */
static void write_results(Build *b)
{
    for (int k = 0; k < b->result.n; k++) {
        Item *x = item_of(b, b->result.v[k]->node), *root = x->place.root;
        if (root->cls == IC_VIRTUAL || root->op == OP_PARAM || root->op == OP_BUFFER) {
            int at = 0;
            while (at < b->item.n && b->item.v[at]->phase <= x->phase)
                at++;
            x = b->of_node[x->node->id] = copy_at(b, x, &x->type, at, x->phase);
        }
        b->result.v[k] = x;
    }
}

/* ---- which values are read from memory ---- */

static void mark_stored(Item *x)
{
    x = through_views(x);
    if (x->stored)
        return;
    switch (x->cls) {
    case IC_VIEW:
        mark_stored(x->in[0]);
        break;
    case IC_JOIN:
        x->stored = true;
        for (int k = 0; k < x->n_in; k++)
            mark_stored(x->in[k]);
        break;
    case IC_LEAF:
    case IC_VIRTUAL:
        break;
    case IC_FUSE:
    case IC_HEAVY:
    case IC_PART:
        x->stored = true;
        break;
    }
}

/* The last group to read each root, results never. */
static void mark_last_uses(Build *b)
{
    for (int k = 0; k < b->order.n; k++) {
        Group *g = b->order.v[k];
        g->turn = k + 1;
        for (int j = 0; j < g->item.n; j++)
            for (int x = 0; x < g->item.v[j]->n_in; x++)
                g->item.v[j]->in[x]->place.root->last_use = g->turn;
    }
    for (int k = 0; k < b->result.n; k++)
        b->result.v[k]->place.root->last_use = b->order.n + 1;
}

static void mark_all_stored(Build *b)
{
    for (int k = 0; k < b->item.n; k++) {
        Item *i = b->item.v[k];
        if (i->join)
            i->stored = true;
        if (!i->group)
            continue;
        for (int j = 0; j < i->n_in; j++) {
            if (i->op == OP_ASSIGN && j == 0)
                continue;
            if (through_views(i->in[j])->group != i->group || i->cls == IC_HEAVY)
                mark_stored(i->in[j]);
        }
    }
    for (int k = 0; k < b->result.n; k++)
        mark_stored(b->result.v[k]);
}

/* ---- one program ---- */

static Operand operand_of(Build *b, const Node *n)
{
    if (!n)
        return (Operand){-1, 0, 0};
    Item *i = item_of(b, n);
    return operand(b, i->place.root, i->place.offset);
}

static void add_term(Build *b, const char *name, double coef, const Node *num, const Node *den,
                     bool report, bool field)
{
    LossTerm t = {.name = name, .coef = coef, .program = b->kind, .report = report, .field = field};
    t.num = operand_of(b, num);
    if (den && den->op == OP_CONST) { /* the weight is a number */
        t.coef = den->attr.constant.value != 0 ? coef / den->attr.constant.value : 0;
        den = NULL;
    }
    t.den = operand_of(b, den);
    if (field) {
        const Type *f = &num->type;
        t.dtype = f->dtype;
        t.count = type_count(f);
    }
    vec_push(b->a, &b->plan->term, t);
    if (t.num.buffer >= 0)
        keep_to_end(b->plan, t.num.buffer, b->kind);
    if (t.den.buffer >= 0)
        keep_to_end(b->plan, t.den.buffer, b->kind);
}

static void want_results(Build *b)
{
    const Program *g = b->prog;
    if (b->kind == PROGRAM_SAMPLE) {
        want(b, g->logits);
        return;
    }
    if (b->kind == PROGRAM_TRAIN) {
        want(b, g->loss_value);
        want(b, g->grad_norm);
    }
    for (int k = 0; k < g->term.n && b->kind == PROGRAM_EVAL; k++) {
        want(b, g->term.v[k].num);
        want_total(b, g->term.v[k].den);
    }
    for (int k = 0; k < g->report.n; k++) {
        const Report *r = &g->report.v[k];
        want(b, r->num ? r->num : r->value);
        want_total(b, r->den);
    }
}

static void name_results(Build *b)
{
    const Program *g = b->prog;
    ProgramPlan *p = &b->plan->program[b->kind];
    p->norm = p->logits = (Operand){-1, 0, 0};
    if (b->kind == PROGRAM_SAMPLE) {
        p->logits = operand_of(b, g->logits);
        keep_to_end(b->plan, p->logits.buffer, b->kind);
        return;
    }
    if (b->kind == PROGRAM_TRAIN) {
        add_term(b, "loss", 1, g->loss_value, NULL, false, false);
        p->norm = operand_of(b, g->grad_norm);
        if (g->grad_norm)
            keep_to_end(b->plan, p->norm.buffer, b->kind);
    }
    for (int k = 0; k < g->term.n && b->kind == PROGRAM_EVAL; k++)
        add_term(b, "loss", g->term.v[k].coef, g->term.v[k].num, g->term.v[k].den, false, false);
    for (int k = 0; k < g->report.n; k++) {
        const Report *r = &g->report.v[k];
        add_term(b, r->name, 1, r->num ? r->num : r->value, r->den, true, !r->num);
    }
}

static void program_plan(Build *b)
{
    ProgramPlan *p = &b->plan->program[b->kind];
    p->present = true;
    p->micro_batch = b->nb;
    p->rounds = b->rounds;
    items_make(b);
    recompute_cheap(b);
    places_assign(b);
    want_results(b);
    write_results(b);
    groups_make(b);
    do
        mark_all_stored(b);
    while (groups_split(b));
    mark_last_uses(b);
    for (int k = 0; k < b->order.n; k++)
        group_step(b, b->order.v[k]);
    if (b->kind == PROGRAM_TRAIN && b->prog->logits && b->of_node[b->prog->logits->id]) {
        const Item *logits = item_of(b, b->prog->logits);
        region_of_head(b->plan, logits->place.root ? logits->place.root->buffer : -1);
    }
    name_results(b);
}

/* Sampling is the evaluation graph up to the logits, for one sample. */
static Program *sample_program(Arena *a, const Program *eval)
{
    Program *s = arena_make(a, Program);
    s->graph = eval->graph;
    s->logits = eval->logits;
    vec_push(a, &s->root, eval->logits);
    return s;
}

/* Logits that are an input as it came: nothing would run. */
static bool is_given(const Node *n)
{
    while (op_info[n->op].kernel[0] == 'V')
        n = n->in[0];
    return n->op == OP_INPUT;
}

/* Evaluation adds up its averages over many micro-batches: the host divides at the end, so nothing
 * else is asked for. */
static Program *eval_program(Arena *a, const Program *eval)
{
    Program *e = arena_make(a, Program);
    *e = *eval;
    e->root.v = NULL;
    e->root.n = e->root.cap = 0;
    for (int k = 0; k < e->term.n; k++) {
        vec_push(a, &e->root, e->term.v[k].num);
        vec_push(a, &e->root, e->term.v[k].den);
    }
    for (int k = 0; k < e->report.n; k++) {
        const Report *r = &e->report.v[k];
        vec_push(a, &e->root, r->num ? r->num : r->value);
        if (r->num && r->den)
            vec_push(a, &e->root, r->den);
    }
    return e;
}

static void add_program(Plan *p, Map *kernels, const Model *m, const PlanOptions *o,
                        ProgramKind kind, const Program *prog, int64_t nb, int64_t rounds, Diag *d)
{
    Build b = {.a = p->arena,
               .m = m,
               .prog = prog,
               .kind = kind,
               .plan = p,
               .fuse = !o->no_fuse,
               .nb = nb};
    b.rounds = rounds;
    b.kernels = kernels;
    b.d = d;
    if (kind == PROGRAM_TRAIN)
        buffers_persistent(&b);
    program_plan(&b);
}

static void count_totals(Plan *p)
{
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->program != PROGRAM_TRAIN)
            continue;
        int64_t times = s->kernel->batched ? p->micro_batch : 1;
        if (s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND)
            times *= p->rounds;
        p->flops += s->kernel->flops * times;
        p->step_bytes += s->kernel->bytes * times;
    }
}

/* A buffer of the forward pass that the backward reads is saved; the rest is gone sooner. */
static void set_roles(Plan *p)
{
    bool *forward = arena_array(p->arena, bool, p->buffer.n);
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        for (int j = 0; j < s->kernel->n_arg; j++) {
            Buffer *x = &p->buffer.v[s->arg[j].buffer];
            if (s->kernel->arg_written[j] && !s->backward)
                forward[x->id] = true;
            else if (s->backward && forward[x->id] && x->role == ROLE_TEMP)
                x->role = ROLE_SAVED;
        }
    }
}

static Plan *plan_try(Arena *a, const Model *m, const PlanOptions *o, int64_t nb, int64_t batch,
                      Diag *d)
{
    Plan *p = arena_make(a, Plan);
    p->arena = a;
    p->model = m;
    p->instance = m->train.graph->instance.v;
    p->n_instance = m->train.graph->instance.n;
    p->ranks = 1;
    p->micro_batch = nb;
    p->rounds = batch / nb;
    p->batch = batch;
    p->fused = !o->no_fuse;
    p->memory = o->memory;
    Map *kernels = map_new(a);
    add_program(p, kernels, m, o, PROGRAM_TRAIN, &m->train, nb, p->rounds, d);
    add_program(p, kernels, m, o, PROGRAM_EVAL, eval_program(a, &m->eval), nb, 0, d);
    if (m->eval.logits && m->eval.logits->type.batched && !is_given(m->eval.logits))
        add_program(p, kernels, m, o, PROGRAM_SAMPLE, sample_program(a, &m->eval), 1, 1, d);
    lifetimes(p);
    set_roles(p);
    offsets_assign(p);
    count_totals(p);
    p->hash = plan_hash(p);
    return p;
}

/* ---- the micro-batch ---- */

static void tell_no_fit(const Model *m, const Plan *least, int64_t memory, Diag *d)
{
    StrBuf need = strbuf_new(m->arena), have = strbuf_new(m->arena), kept = strbuf_new(m->arena);
    strbuf_bytes(&need, least->arena_bytes);
    strbuf_bytes(&have, memory);
    strbuf_bytes(&kept, least->persistent_bytes);
    Span at = m->plan.memory_at.file >= 0 && m->plan.memory == memory ? m->plan.memory_at : NO_SPAN;
    diag_error(d, at, "no plan fits: the least found needs %s (%lld bytes), memory is %s",
               need.text, (long long)least->arena_bytes, have.text);
    diag_note(d, NO_SPAN, "parameters and optimizer state take %s; micro-batch %lld in %lld rounds",
              kept.text, (long long)least->micro_batch, (long long)least->rounds);
    diag_help(d, "give --memory %s or more, or make the model or its context smaller", need.text);
}

typedef VEC(int64_t) Counts;

/* What divides a number, the largest first. */
static Counts divisors(Arena *a, int64_t n)
{
    Counts all = {0};
    for (int64_t i = 1; i <= n / i; i++)
        if (n % i == 0)
            vec_push(a, &all, n / i);
    for (int i = all.n - 1; i >= 0; i--)
        if (n / all.v[i] != all.v[i])
            vec_push(a, &all, n / all.v[i]);
    return all;
}

static void tell_not_divided(Arena *a, const Model *m, int64_t batch, int64_t micro, Diag *d)
{
    Counts all = divisors(a, batch);
    int below = 0;
    while (all.v[below] > micro)
        below++;
    StrBuf near = strbuf_new(a);
    strbuf_printf(&near, "%lld", (long long)all.v[below]);
    if (below > 0)
        strbuf_printf(&near, " and %lld", (long long)all.v[below - 1]);
    int64_t rounds = (batch + micro - 1) / micro, whole;
    diag_error(d, m->plan.micro_at.file >= 0 ? m->plan.micro_at : m->batch_at,
               "a batch of %lld cannot be split into micro-batches of %lld", (long long)batch,
               (long long)micro);
    if (mul_ok(rounds, micro, &whole))
        diag_help(d, "nearest that divide it: %s; or batch = %lld", near.text, (long long)whole);
}

/* Micro-batches that divide the batch, the largest first, and the plans made so far. */
typedef struct Tries {
    Arena *a;
    const Model *m;
    const PlanOptions *o;
    int64_t batch;
    Diag *d;
    Counts micro;
    Plan **plan;
} Tries;

static bool fits(Tries *t, int k)
{
    if (!t->plan[k] && measure(t->m, t->micro.v[k]) != MEASURE_FITS)
        return false;
    if (!t->plan[k])
        t->plan[k] = plan_try(t->a, t->m, t->o, t->micro.v[k], t->batch, t->d);
    return !t->o->memory || t->plan[k]->arena_bytes <= t->o->memory;
}

/* Fewer samples at once never take more memory, so halving finds the first that fits. */
static Plan *largest_that_fits(Tries *t)
{
    int lo = 0, hi = t->micro.n - 1;
    if (fits(t, lo))
        return t->plan[lo];
    if (!fits(t, hi))
        return NULL;
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (fits(t, mid))
            hi = mid;
        else
            lo = mid;
    }
    return t->plan[hi];
}

static void remember(const Tries *t, Plan *best)
{
    for (int k = 0; k < t->micro.n; k++) {
        const Plan *p = t->plan[k];
        if (!p)
            continue;
        const char *why = p == best                       ? NULL
                          : p->arena_bytes > t->o->memory ? "needs more than memory"
                                                          : "more rounds";
        Alternative x = {.micro_batch = p->micro_batch,
                         .rounds = p->rounds,
                         .arena_bytes = p->arena_bytes,
                         .fits = why == NULL || p->arena_bytes <= t->o->memory,
                         .why = why};
        vec_push(t->a, &best->tried, x);
    }
}

Plan *plan_build(Arena *a, const Model *m, const PlanOptions *o, Diag *d, bool *no_fit)
{
    int64_t batch = m->batch > 0 ? m->batch : 1;
    int64_t memory = o->memory ? o->memory : m->plan.memory;
    int64_t micro = o->micro_batch ? o->micro_batch : m->plan.micro_batch;
    PlanOptions with = *o;
    with.memory = memory;
    *no_fit = false;
    if (micro && batch % micro) {
        tell_not_divided(a, m, batch, micro, d);
        return NULL;
    }
    Tries t = {.a = a, .m = m, .o = &with, .batch = batch, .d = d};
    if (micro)
        vec_push(a, &t.micro, micro);
    else
        t.micro = divisors(a, batch);
    Measure least = measure(m, t.micro.v[t.micro.n - 1]);
    if (least != MEASURE_FITS) {
        *no_fit = least == MEASURE_BYTES;
        measure_tell(m, least, d);
        return NULL;
    }
    t.plan = arena_array(a, Plan *, t.micro.n);
    Plan *best = largest_that_fits(&t);
    if (best) {
        remember(&t, best);
        return best;
    }
    *no_fit = true;
    tell_no_fit(m, t.plan[t.micro.n - 1], memory, d);
    return NULL;
}
