/* program.c - one program of a model: items, storage, groups, steps. */
#include "planner/choice.h"
#include "planner/recompute.h"

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
        if (i->join || i->copies)
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
        return;
    }
    if (b->kind == PROGRAM_TRAIN) {
        add_term(b, "loss", 1, g->loss_value, NULL, false, false);
        p->norm = operand_of(b, g->grad_norm);
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
    recompute_units(b, b->choice);
    places_assign(b);
    want_results(b);
    write_results(b);
    groups_make(b);
    do
        mark_all_stored(b);
    while (groups_split(b));
    mark_last_uses(b);
    int *first = arena_array(b->a, int, b->order.n + 1);
    for (int k = 0; k < b->order.n; k++) {
        first[k] = b->plan->step.n;
        group_step(b, b->order.v[k]);
    }
    first[b->order.n] = b->plan->step.n;
    names_find(b, first);
    if (b->kind == PROGRAM_TRAIN && b->prog->logits && b->of_node[b->prog->logits->id]) {
        const Item *logits = item_of(b, b->prog->logits);
        region_of_head(b, logits->place.root ? logits->place.root->buffer : -1);
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

static Program *train_program(Arena *a, const Program *train)
{
    Program *t = arena_make(a, Program);
    *t = *train;
    return t;
}

static Program *program_of(const Ask *q, ProgramKind kind)
{
    switch (kind) {
    case PROGRAM_TRAIN:
        return train_program(q->a, &q->m->train);
    case PROGRAM_EVAL:
        return eval_program(q->a, &q->m->eval);
    default:
        return sample_program(q->a, &q->m->eval);
    }
}

static bool is_wanted(const Model *m, ProgramKind kind)
{
    const Node *logits = m->eval.logits;
    return kind != PROGRAM_SAMPLE || (logits && logits->type.batched && !is_given(logits));
}

/* The file's word for a unit goes before the planner's. */
static const RecomputeChoice *recompute_choice(const Ask *q, const Choice *c)
{
    int n = q->m->train.graph->instance.n;
    RecomputeRule *rule = arena_array(q->a, RecomputeRule, n);
    const uint64_t **kept = arena_array(q->a, const uint64_t *, n);
    for (int k = 1; k < n; k++) {
        rule[k] = q->m->plan.recompute ? q->m->plan.recompute[k] : RECOMPUTE_AUTO;
        if (rule[k] != RECOMPUTE_AUTO)
            continue;
        rule[k] = c->rules ? c->rules[k] : c->recompute;
        kept[k] = c->kept ? c->kept[k] : NULL;
    }
    RecomputeChoice *r = arena_make(q->a, RecomputeChoice);
    *r = (RecomputeChoice){.rule = rule, .kept = kept, .probe = c->probe, .words = c->kept_words};
    return r;
}

void program_add(Plan *p, Map *kernels, const Ask *q, const Choice *c, ProgramKind kind, int64_t nb,
                 int64_t rounds)
{
    if (!is_wanted(q->m, kind))
        return;
    Build b = {.a = p->arena,
               .m = q->m,
               .prog = program_of(q, kind),
               .kind = kind,
               .plan = p,
               .fuse = !q->no_fuse,
               .nb = nb};
    b.rounds = rounds;
    b.kernels = kernels;
    b.d = q->d;
    for (int f = 0; f < N_PHASES; f++)
        b.sums[f] = -1;
    if (kind == PROGRAM_TRAIN)
        buffers_persistent(&b);
    b.choice = kind == PROGRAM_TRAIN ? recompute_choice(q, c) : NULL;
    program_plan(&b);
}
