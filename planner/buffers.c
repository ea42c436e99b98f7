/* buffers.c - storage: one buffer per root, its lifetime in steps, its place in the arena. */
#include "planner/build.h"
#include "planner/offsets.h"

#include <stdlib.h>
#include <string.h>

static int buffer_add(Build *b, const char *path, BufferRole role, DType t, int64_t bytes)
{
    Buffer x = {.id = b->plan->buffer.n,
                .path = path,
                .role = role,
                .dtype = t,
                .bytes = bytes,
                .leaf = -1,
                .group = -1};
    x.program = b->kind;
    x.first = -1;
    vec_push(b->a, &b->plan->buffer, x);
    return x.id;
}

int buffer_temp(Build *b, const char *path, DType t, int64_t bytes, bool batched)
{
    int id = buffer_add(b, path, ROLE_TEMP, t, batched ? bytes * b->nb : bytes);
    b->plan->buffer.v[id].batched = batched;
    b->plan->buffer.v[id].sample_bytes = batched ? bytes : 0;
    return id;
}

/* Parameters, state, buffers and host scalars: the same memory in all programs. */
static int persistent(const Build *b, const Item *i)
{
    int leaf = i->attr.leaf.leaf;
    switch (i->op) {
    case OP_PARAM:
    case OP_BUFFER:
        return leaf;
    case OP_STATE:
        return b->m->param.n + leaf;
    case OP_HOST:
        return b->m->param.n + b->m->state.n + leaf;
    default:
        BUG("'%s' is not kept between steps", op_info[i->op].name);
    }
}

static const char *root_path(Build *b, const Item *i)
{
    const char *path = i->node->path, *name = i->node->name;
    size_t n = strlen(path), m = name ? strlen(name) : 0;
    if (m && n >= m && strcmp(path + n - m, name) == 0 && (n == m || path[n - m - 1] == '.'))
        return path; /* it ends with the name already */
    const char *word = name ? name : op_info[i->op].name;
    return path[0] ? arena_printf(b->a, "%s.%s", path, word) : word;
}

int buffer_of(Build *b, Item *root)
{
    if (root->buffer >= 0)
        return root->buffer;
    if (root->cls == IC_LEAF && root->op != OP_INPUT)
        return root->buffer = persistent(b, root);
    if (root->op ==
        OP_INPUT) /* read in both loops, it is two nodes and one place the trainer fills */
        for (int k = b->plan->n_persistent; k < b->plan->buffer.n; k++) {
            const Buffer *x = &b->plan->buffer.v[k];
            if (x->role == ROLE_INPUT && x->program == b->kind && x->leaf == root->attr.leaf.leaf)
                return root->buffer = k;
        }
    const Type *t = &root->type;
    int64_t bytes = type_bytes(t);
    bool acc = !t->batched &&
               (root->op == OP_BATCH_SUM || root->op == OP_MATMUL_ACC || root->op == OP_SCATTER);
    BufferRole role = root->op == OP_INPUT ? ROLE_INPUT : acc ? ROLE_GRAD : ROLE_TEMP;
    const char *path =
        root->op == OP_INPUT ? b->m->input.v[root->attr.leaf.leaf].name : root_path(b, root);
    root->buffer = buffer_add(b, path, role, t->dtype, t->batched ? bytes * b->nb : bytes);
    Buffer *x = &b->plan->buffer.v[root->buffer];
    x->batched = t->batched;
    x->sample_bytes = t->batched ? bytes : 0;
    if (root->op == OP_INPUT)
        x->leaf = root->attr.leaf.leaf;
    return root->buffer;
}

static void add_persistent(Build *b, const char *path, BufferRole role, int leaf, DType t,
                           int64_t bytes)
{
    int id = buffer_add(b, path, role, t, bytes);
    b->plan->buffer.v[id].persistent = true;
    b->plan->buffer.v[id].leaf = leaf;
}

/* In the order persistent() counts on. */
void buffers_persistent(Build *b)
{
    const Model *m = b->m;
    for (int k = 0; k < m->param.n; k++)
        add_persistent(b, m->param.v[k].path, m->param.v[k].buffer ? ROLE_BUFFER : ROLE_PARAM, k,
                       m->param.v[k].type.dtype, type_bytes(&m->param.v[k].type));
    for (int k = 0; k < m->state.n; k++) {
        const Param *p = &m->param.v[m->state.v[k].param];
        add_persistent(b, arena_printf(b->a, "%s.%s", p->path, m->state.v[k].kind), ROLE_STATE, k,
                       DT_F32, type_bytes(&p->type));
    }
    for (int k = 0; k < m->host.n; k++)
        add_persistent(b, arena_printf(b->a, "host.%d", k), ROLE_HOST, k, DT_F32,
                       dtype_size(DT_F32));
    b->plan->n_persistent = b->plan->buffer.n;
}

/* ---- lifetimes ---- */

static void touch(Buffer *x, int step)
{
    if (x->first < 0 || step < x->first)
        x->first = step;
    if (step > x->last)
        x->last = step;
}

/* A loop runs its steps again: what enters it or leaves it must stay for all its turns. */
static void widen_over_loop(Buffer *x, int lo, int hi, bool turns)
{
    if (hi < lo)
        return;
    bool touches = x->first <= hi && x->last >= lo;
    if (!touches)
        return;
    if (x->first < lo && turns)
        x->last = x->last > hi ? x->last : hi;
    if (x->last > hi && turns)
        x->first = x->first < lo ? x->first : lo;
    if (x->role == ROLE_GRAD && turns) { /* added to in every turn */
        x->first = x->first < lo ? x->first : lo;
        x->last = x->last > hi ? x->last : hi;
    }
}

/* The host fills all inputs before the first loop, and again before every turn when there are
 * several. */
static void keep_input(Buffer *x, const ProgramPlan *g, bool turns)
{
    Phase first = g->count[PHASE_WEIGHT] ? PHASE_WEIGHT : PHASE_ROUND;
    if (g->first[first] < x->first)
        x->first = g->first[first];
    int end = g->first[PHASE_ROUND] + g->count[PHASE_ROUND] - 1;
    if (turns && end > x->last)
        x->last = end;
}

static void program_lifetimes(Plan *p, ProgramKind kind)
{
    const ProgramPlan *g = &p->program[kind];
    bool turns = g->rounds != 1; /* evaluation: as many as the data has */
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        Buffer *x = &p->buffer.v[k];
        if (x->program != kind || x->first < 0)
            continue;
        if (x->role == ROLE_INPUT)
            keep_input(x, g, turns);
        static const Phase loop[] = {PHASE_WEIGHT, PHASE_ROUND};
        for (int j = 0; j < countof(loop); j++)
            widen_over_loop(x, g->first[loop[j]], g->first[loop[j]] + g->count[loop[j]] - 1, turns);
    }
}

void lifetimes(Plan *p)
{
    for (int k = 0; k < p->step.n; k++)
        for (int j = 0; j < p->step.v[k].kernel->n_arg; j++)
            touch(&p->buffer.v[p->step.v[k].arg[j].buffer], k);
    for (int kind = 0; kind < N_PROGRAMS; kind++)
        if (p->program[kind].present)
            program_lifetimes(p, (ProgramKind)kind);
    region_buffers(p);
    for (int k = 0; k < p->n_persistent; k++) {
        p->buffer.v[k].first = 0;
        p->buffer.v[k].last = p->step.n - 1;
    }
}

/* What the host reads after a program's last step must still be there. */
void keep_to_end(Plan *p, int buffer, ProgramKind kind)
{
    const ProgramPlan *g = &p->program[kind];
    for (int f = 0; f < N_PHASES; f++)
        if (g->count[f])
            touch(&p->buffer.v[buffer], g->first[f] + g->count[f] - 1);
}

/* ---- offsets ---- */

void offsets_assign(Plan *p)
{
    int64_t at = 0;
    for (int k = 0; k < p->n_persistent; k++) {
        p->buffer.v[k].offset = at;
        at += round_up(p->buffer.v[k].bytes, ARENA_ALIGN);
    }
    p->persistent_bytes = at;
    Arena *scratch = arena_new();
    OffsetItem *item = arena_array(scratch, OffsetItem, p->buffer.n + 1);
    int n = 0;
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        const Buffer *x = &p->buffer.v[k];
        if (x->first >= 0)
            item[n++] =
                (OffsetItem){.bytes = x->bytes, .first = x->first, .last = x->last, .fixed = -1};
    }
    OffsetResult r = offsets_solve(scratch, item, n, ARENA_ALIGN, 0, OFFSETS_BUDGET);
    if (r.height == OFFSETS_NONE)
        die("the program needs more than 2^63 bytes");
    n = 0;
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        Buffer *x = &p->buffer.v[k];
        if (x->first >= 0)
            x->offset = at + item[n++].offset;
    }
    p->max_live_bytes = r.max_live;
    p->max_live_step = (int)r.at;
    p->offsets_proved = r.height == r.max_live;
    p->search_work += r.work;
    p->arena_bytes = at + r.height;
    arena_free(scratch);
}
