/* buffers.c - storage: one buffer per root, its lifetime in steps, its place in the arena. */
#include "planner/flat.h"
#include "planner/narrow.h"
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

/* A model's buffers and host scalars: the same memory in all programs. */
static int persistent(const Build *b, const Item *i)
{
    BufferRole role = i->op == OP_HOST ? ROLE_HOST : ROLE_BUFFER;
    for (int k = 0; k < b->plan->n_persistent; k++)
        if (b->plan->buffer.v[k].role == role && b->plan->buffer.v[k].leaf == i->attr.leaf.leaf)
            return k;
    BUG("'%s' is not kept between steps", op_info[i->op].name);
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
    x->beside = root->beside;
    x->narrow = item_narrows(b->m, root);
    x->host = root->update_of && b->plan->group.v[root->update_of - 1].offload;
    if (root->op == OP_INPUT)
        x->leaf = root->attr.leaf.leaf;
    return root->buffer;
}

static int add_persistent(Build *b, const char *path, BufferRole role, int leaf, DType t,
                          int64_t bytes)
{
    int id = buffer_add(b, path, role, t, bytes);
    b->plan->buffer.v[id].persistent = true;
    b->plan->buffer.v[id].leaf = leaf;
    return id;
}

static const char *group_path(const Build *b, const FlatGroup *g, const char *what)
{
    return g->path[0] ? arena_printf(b->a, "%s.%s", g->path, what) : what;
}

/* A flat buffer of a group, whole or this rank's shard. */
static int add_flat(Build *b, const FlatGroup *g, const char *what, BufferRole role, bool sharded)
{
    int64_t n = sharded ? g->shard : flat_whole(b->plan, g);
    int id = add_persistent(b, group_path(b, g, what), role, -1, DT_F32, n * 4);
    b->plan->buffer.v[id].group = g->id;
    b->plan->buffer.v[id].sharded = sharded;
    return id;
}

void buffers_persistent(Build *b)
{
    const Model *m = b->m;
    Plan *p = b->plan;
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        g->params = add_flat(b, g, "params", ROLE_PARAM, level_shards_params(g->level));
        p->buffer.v[g->params].narrow = model_is_narrow(m);
    }
    for (int k = 0; k < m->param.n; k++)
        if (m->param.v[k].buffer)
            add_persistent(b, m->param.v[k].path, ROLE_BUFFER, k, m->param.v[k].type.dtype,
                           type_bytes(&m->param.v[k].type));
    for (int k = 0; k < p->group.n; k++) {
        FlatGroup *g = &p->group.v[k];
        for (int s = 0; s < m->state.n && g->optimizer >= 0; s++)
            if (m->state.v[s].param == g->param[0]) {
                int id = add_flat(b, g, m->state.v[s].kind, ROLE_STATE, g->level != LEVEL_0);
                p->buffer.v[id].host = g->offload;
                g->state[g->n_state++] = id;
            }
        if (model_is_narrow(m) && g->optimizer >= 0) {
            int id = add_flat(b, g, "master", ROLE_STATE, g->level != LEVEL_0);
            p->buffer.v[id].host = g->offload;
            g->state[g->n_state++] = id;
            g->master = id + 1;
        }
    }
    for (int k = 0; k < m->host.n; k++)
        add_persistent(b, arena_printf(b->a, "host.%d", k), ROLE_HOST, k, DT_F32,
                       dtype_size(DT_F32));
    b->plan->n_persistent = b->plan->buffer.n;
}

int buffer_flat_grads(Build *b, const FlatGroup *g)
{
    int id =
        buffer_add(b, group_path(b, g, "grads"), ROLE_GRAD, DT_F32, flat_whole(b->plan, g) * 4);
    b->plan->buffer.v[id].group = g->id;
    return id;
}

int buffer_grad_shard(Build *b, const FlatGroup *g)
{
    int id = buffer_add(b, group_path(b, g, "grad_shard"), ROLE_GRAD, DT_F32, g->shard * 4);
    b->plan->buffer.v[id].group = g->id;
    b->plan->buffer.v[id].sharded = true;
    return id;
}

static int on_host(Build *b, const FlatGroup *g, const char *what, BufferRole role)
{
    int id = buffer_add(b, group_path(b, g, what), role, DT_F32, flat_own_elems(b->plan, g) * 4);
    Buffer *x = &b->plan->buffer.v[id];
    x->group = g->id;
    x->sharded = g->level != LEVEL_0;
    x->host = true;
    return id;
}

void buffers_on_host(Build *b, FlatGroup *g)
{
    g->host_params = on_host(b, g, "host_params", ROLE_TEMP);
    b->plan->buffer.v[g->host_params].narrow = model_is_narrow(b->m);
    g->host_grads = on_host(b, g, "host_grads", ROLE_GRAD);
}

/* Every other sum of a loop lies in one buffer, so that one collective completes them all. */
int buffer_sums(Build *b, Phase loop, int64_t count, int64_t *at)
{
    if (b->sums[loop] < 0)
        b->sums[loop] =
            buffer_add(b, loop == PHASE_WEIGHT ? "weights" : "sums", ROLE_GRAD, DT_F32, 0);
    Buffer *x = &b->plan->buffer.v[b->sums[loop]];
    x->sums = (int)loop + 1;
    *at = x->bytes / 4;
    bool exact = b->plan->invariant && b->kind == PROGRAM_EVAL; /* then every one is many digits */
    x->bytes += exact ? count * 4 : round_up(count * 4, ARENA_ALIGN);
    return b->sums[loop];
}

/* ---- lifetimes ---- */

static void touch(Buffer *x, int step)
{
    if (x->first < 0 || step < x->first)
        x->first = step;
    if (step > x->last)
        x->last = step;
}

static void keep_to_end(Plan *p, int buffer, ProgramKind kind)
{
    const ProgramPlan *g = &p->program[kind];
    for (int f = 0; f < N_PHASES; f++)
        if (g->count[f])
            touch(&p->buffer.v[buffer], g->first[f] + g->count[f] - 1);
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
    if (x->last > hi && turns && !x->last_round)
        x->first = x->first < lo ? x->first : lo;
    if (x->role == ROLE_GRAD && turns && !x->each_round && !x->last_round) { /* added to in every
                                                                                  turn */
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

/* Written in the last round only: there is nothing to keep before. Or in the first only: then it is
 * there for all of them. */
static void mark_rounds(Plan *p)
{
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        const ProgramPlan *g = &p->program[s->program];
        for (int j = 0; j < s->kernel->n_arg && s->when != WHEN_ALWAYS; j++) {
            Buffer *x = &p->buffer.v[s->arg[j].buffer];
            if (!s->kernel->arg_written[j] || x->persistent)
                continue;
            if (s->when == WHEN_LAST && (x->sharded || x->role == ROLE_COMM))
                x->last_round = true;
            if (s->when == WHEN_FIRST) {
                touch(x, g->first[s->phase]);
                touch(x, g->first[s->phase] + g->count[s->phase] - 1);
            }
        }
    }
}

/* What the host reads after a program's last step must still be there. */
static void keep_results(Plan *p)
{
    for (int k = 0; k < p->term.n; k++) {
        const LossTerm *t = &p->term.v[k];
        if (t->num.buffer >= 0)
            keep_to_end(p, t->num.buffer, t->program);
        if (t->den.buffer >= 0)
            keep_to_end(p, t->den.buffer, t->program);
    }
    for (int k = 0; k < N_PROGRAMS; k++) {
        const ProgramPlan *g = &p->program[k];
        if (g->present && g->norm.buffer >= 0)
            keep_to_end(p, g->norm.buffer, (ProgramKind)k);
        if (g->present && g->logits.buffer >= 0)
            keep_to_end(p, g->logits.buffer, (ProgramKind)k);
    }
}

void lifetimes(Plan *p)
{
    for (int k = 0; k < p->step.n; k++)
        for (int j = 0; j < p->step.v[k].kernel->n_arg; j++)
            touch(&p->buffer.v[p->step.v[k].arg[j].buffer], k);
    mark_rounds(p);
    keep_results(p);
    for (int kind = 0; kind < N_PROGRAMS; kind++)
        if (p->program[kind].present)
            program_lifetimes(p, (ProgramKind)kind);
    region_buffers(p);
    for (int k = 0; k < p->n_persistent; k++) {
        p->buffer.v[k].first = 0;
        p->buffer.v[k].last = p->step.n - 1;
    }
}

/* ---- offsets ---- */

typedef struct Placed { /* one arena */
    int64_t persistent, height, max_live, at;
} Placed;

static Placed place_arena(Plan *p, bool host, int64_t budget)
{
    Placed all = {0};
    for (int k = 0; k < p->n_persistent; k++) {
        Buffer *x = &p->buffer.v[k];
        if (x->host != host)
            continue;
        x->offset = all.persistent;
        all.persistent += round_up(x->bytes, ARENA_ALIGN);
    }
    Arena *scratch = arena_new();
    OffsetItem *item = arena_array(scratch, OffsetItem, p->buffer.n + 1);
    int n = 0;
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        const Buffer *x = &p->buffer.v[k];
        if (x->first >= 0 && x->host == host)
            item[n++] =
                (OffsetItem){.bytes = x->bytes, .first = x->first, .last = x->last, .fixed = -1};
    }
    OffsetResult r = offsets_solve(scratch, item, n, ARENA_ALIGN, 0, budget);
    if (r.height == OFFSETS_NONE)
        die("the program needs more than 2^63 bytes");
    n = 0;
    for (int k = p->n_persistent; k < p->buffer.n; k++) {
        Buffer *x = &p->buffer.v[k];
        if (x->first >= 0 && x->host == host)
            x->offset = all.persistent + item[n++].offset;
    }
    arena_free(scratch);
    all.height = r.height;
    all.max_live = r.max_live;
    all.at = r.at;
    return all;
}

void offsets_assign(Plan *p, int64_t budget)
{
    Placed device = place_arena(p, false, budget), host = place_arena(p, true, budget);
    p->persistent_bytes = device.persistent;
    p->max_live_bytes = device.max_live;
    p->max_live_step = (int)device.at;
    p->arena_bytes = device.persistent + device.height;
    p->host_bytes = host.persistent + host.height;
    p->offsets_proved = device.height == device.max_live && host.height == host.max_live;
}
