/* table.c - the table from a Plan.
 *
 * What a kernel reads and adds to is found here again, from its instructions: plan_json.c finds it
 * its own way, and a test compares. */
#include "planner/verify/table.h"

#include <string.h>

static bool adds(const Kernel *k)
{
    switch (k->kind) {
    case K_GEMM:
        return k->gemm.accumulates;
    case K_FOLD:
    case K_BATCH:
    case K_SCATTER:
    case K_EXACT_SUM:
        return k->tpl.accumulates;
    case K_REDUCE_SCATTER:
        return k->coll.accumulates;
    case K_FUSED:
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
    case K_CUMSUM:
    case K_TOP_K:
    case K_SUM_SQUARES:
    case K_NORM:
    case K_ZERO:
    case K_ALL_GATHER:
    case K_ALL_REDUCE:
    case K_COPY:
    case K_TREE:
    case K_EXACT_TOTAL:
        return false;
    }
    BUG("kernel %s has kind %d", k->name, (int)k->kind);
}

/* Arguments a fused kernel loads and stores, from its instructions. */
static void fused_uses(const Kernel *k, bool *load, bool *store)
{
    const Fused *f = &k->fused;
    for (int i = 0; i < f->ins.n; i++) {
        const Ins *s = &f->ins.v[i];
        if (s->kind == I_LOAD || s->kind == I_GATHER)
            load[f->access.v[s->acc].arg] = true;
        if (s->kind == I_STORE || s->kind == I_COLSUM)
            store[f->access.v[s->acc].arg] = true;
    }
}

static bool fused_sound(Table *t, const Step *s)
{
    const Fused *f = &s->kernel->fused;
    for (int i = 0; i < f->access.n; i++)
        if (f->access.v[i].arg < 0 || f->access.v[i].arg >= s->kernel->n_arg) {
            broken(t, CHECK_V01, "step %d (%s): access %d of %s is to argument %d of %d", s->id,
                   s->path, i, s->kernel->name, f->access.v[i].arg, s->kernel->n_arg);
            return false;
        }
    for (int i = 0; i < f->ins.n; i++) {
        const Ins *n = &f->ins.v[i];
        bool touches =
            n->kind == I_LOAD || n->kind == I_GATHER || n->kind == I_STORE || n->kind == I_COLSUM;
        if (touches ? n->acc < 0 || n->acc >= f->access.n : n->acc >= 0) {
            broken(t, CHECK_V01, "step %d (%s): instruction %d of %s has access %d of %d", s->id,
                   s->path, i, s->kernel->name, n->acc, f->access.n);
            return false;
        }
        for (int k = 0; k < 3; k++)
            if (n->in[k] > i) {
                broken(t, CHECK_V01, "step %d (%s): instruction %d of %s reads instruction %d",
                       s->id, s->path, i, s->kernel->name, n->in[k]);
                return false;
            }
    }
    return true;
}

static void fill_span(Table *t, const Plan *p, const Step *s, Use *u)
{
    const Buffer *b = &p->buffer.v[u->buffer];
    bool whole = b->batched || !reach_bytes(p, s, u->arg, &u->lo, &u->end);
    if (whole || u->lo >= u->end) {
        u->lo = b->batched ? 0 : u->at;
        u->end = b->bytes;
    }
    u->parts = 1;
    (void)t;
}

/* The gaps a K_ZERO makes 0 are uses of their own. */
static void fill_gaps(Table *t, const Step *s)
{
    TableStep *ts = &t->step[s->id];
    const Kernel *k = s->kernel;
    Use *use = arena_array(t->a, Use, k->n_gap + 1);
    for (int i = 0; i < k->n_gap; i++) {
        use[i] = ts->use[0];
        use[i].lo = use[i].at + 4 * k->gap[i].at;
        use[i].end = use[i].lo + 4 * k->gap[i].count;
    }
    ts->use = use;
    ts->n_use = k->n_gap;
}

static bool kernel_sound(Table *t, const Plan *p, const Step *s)
{
    const Kernel *k = s->kernel;
    if (k->n_arg < 0 || k->n_arg > countof(k->arg_written)) {
        broken(t, CHECK_V01, "step %d (%s): %s has %d arguments", s->id, s->path, k->name,
               k->n_arg);
        return false;
    }
    if (k->kind == K_FUSED && !fused_sound(t, s))
        return false;
    for (int i = 0; i < k->n_arg; i++)
        if (s->arg[i].buffer < 0 || s->arg[i].buffer >= p->buffer.n) {
            broken(t, CHECK_V01, "step %d (%s): argument %d is buffer %d of %d", s->id, s->path, i,
                   s->arg[i].buffer, p->buffer.n);
            return false;
        }
    bool odd = (k->kind == K_ZERO && k->n_arg != 1) || k->n_gap < 0;
    for (int i = 0; i < k->n_gap && !odd; i++)
        odd = k->gap[i].at < 0 || k->gap[i].count < 1 || k->gap[i].at > PLAN_MAX_BYTES ||
              k->gap[i].count > PLAN_MAX_BYTES;
    if (odd)
        broken(t, CHECK_V01, "step %d (%s): %s has %d arguments and %d gaps", s->id, s->path,
               k->name, k->n_arg, k->n_gap);
    return !odd;
}

static bool fill_uses(Table *t, const Plan *p, const Step *s)
{
    const Kernel *k = s->kernel;
    bool load[countof(k->arg_written)] = {0}, store[countof(k->arg_written)] = {0};
    if (!kernel_sound(t, p, s))
        return false;
    if (k->kind == K_FUSED)
        fused_uses(k, load, store);
    TableStep *ts = &t->step[s->id];
    ts->use = arena_array(t->a, Use, k->n_arg + 1);
    ts->n_use = k->n_arg;
    for (int i = 0; i < k->n_arg; i++) {
        Use *u = &ts->use[i];
        *u = (Use){.buffer = s->arg[i].buffer,
                   .arg = i,
                   .at = s->arg[i].offset,
                   .by_rank = s->arg[i].by_rank,
                   .write = k->arg_written[i]};
        u->add = u->write && adds(k);
        u->read = k->kind == K_FUSED ? load[i] : !u->write || u->add || k->kind == K_TREE;
        u->add = u->add || (k->kind == K_TREE && i == 1);
        if (k->kind == K_FUSED && store[i] != u->write)
            broken(t, CHECK_V01, "step %d (%s): %s %s argument %d, and says otherwise", s->id,
                   s->path, k->name, store[i] ? "writes" : "does not write", i);
        fill_span(t, p, s, u);
    }
    if (k->kind == K_ZERO)
        fill_gaps(t, s);
    return true;
}

/* ---- collectives ---- */

static bool fill_pieces(Table *t, const Step *s)
{
    const Collective *c = &s->kernel->coll;
    int64_t elems[MAX_SEGMENTS], stride[MAX_SEGMENTS];
    TableStep *ts = &t->step[s->id];
    if (c->n_segment < 1 || c->n_segment > MAX_SEGMENTS) {
        broken(t, CHECK_V07, "step %d (%s) is a collective of %d pieces", s->id, s->path,
               c->n_segment);
        return false;
    }
    for (int i = 0; i < c->n_segment; i++) {
        elems[i] = c->segment[i].elems;
        stride[i] = c->segment[i].stride;
    }
    ts->n_piece = c->n_segment;
    ts->chunk = c->chunk;
    ts->tree = c->tree;
    return table_pieces(t, s->id, elems, stride);
}

static bool fill_step(Table *t, const Plan *p, int i)
{
    const Step *s = &p->step.v[i];
    if (s->id != i || !s->kernel || !s->path || (unsigned)s->program >= N_PROGRAMS ||
        (unsigned)s->phase >= N_PHASES || (unsigned)s->stream >= N_STREAMS ||
        (unsigned)s->when >= N_WHEN || s->group >= p->group.n) {
        broken(t, CHECK_V01, "step %d has id %d, %s kernel, program %d, phase %d, stream %d", i,
               s->id, s->kernel ? "a" : "no", (int)s->program, (int)s->phase, (int)s->stream);
        return false;
    }
    TableStep *ts = &t->step[i];
    *ts = (TableStep){.path = s->path,
                      .program = (int)s->program,
                      .phase = (int)s->phase,
                      .region = s->region,
                      .group = s->group,
                      .kind = (int)step_kind(s->kernel),
                      .stream = (int)s->stream,
                      .when = (int)s->when,
                      .anew = s->anew,
                      .recompute = s->recompute,
                      .backward = s->backward,
                      .adds = adds(s->kernel),
                      .ps = s->ps,
                      .sent = s->sent};
    memcpy(ts->wait, s->wait, sizeof ts->wait);
    if (s->kernel->kind == K_NORM && s->kernel->group_grains) {
        ts->n_grain = (int)s->kernel->tpl.rows;
        ts->grain = s->kernel->group_grains;
    }
    return fill_uses(t, p, s) && (!is_collective(ts) || fill_pieces(t, s));
}

/* ---- buffers, groups ---- */

static bool is_trained(const Plan *p, const Buffer *b)
{
    const Model *m = p->model;
    if (b->role == ROLE_STATE)
        return true;
    if (b->role == ROLE_PARAM && b->group >= 0)
        return p->group.v[b->group].optimizer >= 0;
    return b->role == ROLE_PARAM && b->leaf >= 0 && b->leaf < m->param.n &&
           !m->param.v[b->leaf].buffer && !m->param.v[b->leaf].frozen;
}

static bool fill_buffers(Table *t, const Plan *p)
{
    t->n_buffer = p->buffer.n;
    t->buffer = arena_array(t->a, TableBuffer, p->buffer.n);
    for (int i = 0; i < p->buffer.n; i++) {
        const Buffer *b = &p->buffer.v[i];
        if (b->id != i || !b->path || (unsigned)b->role >= N_ROLES ||
            (unsigned)b->program >= N_PROGRAMS || b->bytes < 0 || b->bytes > PLAN_MAX_BYTES ||
            b->offset < 0 || b->offset > PLAN_MAX_BYTES || b->sample_bytes < 0 ||
            b->group >= p->group.n) {
            broken(t, CHECK_V01, "buffer %d has id %d, role %d, program %d, %lld bytes at %lld", i,
                   b->id, (int)b->role, (int)b->program, (long long)b->bytes, (long long)b->offset);
            return false;
        }
        t->buffer[i] = (TableBuffer){.path = b->path,
                                     .role = (int)b->role,
                                     .program = b->persistent ? -1 : (int)b->program,
                                     .region = b->region,
                                     .bytes = b->bytes,
                                     .offset = b->offset,
                                     .sample_bytes = b->sample_bytes,
                                     .elem = dtype_size(b->dtype),
                                     .first = b->first,
                                     .last = b->last,
                                     .persistent = b->persistent,
                                     .batched = b->batched,
                                     .sharded = b->sharded,
                                     .host = b->host,
                                     .group = b->group};
        t->buffer[i].trained = is_trained(p, b);
    }
    return true;
}

static bool group_sound(Table *t, const Plan *p, int i)
{
    const FlatGroup *g = &p->group.v[i];
    const int *const id[] = {&g->params,      &g->grads,      &g->grad_shard,
                             &g->host_params, &g->host_grads, &g->state[0],
                             &g->state[1],    &g->state[2],   &g->state[3]};
    bool ok = g->id == i && g->n >= 0 && g->shard >= 0 && g->shard <= PLAN_MAX_BYTES &&
              g->used >= 0 && g->used <= PLAN_MAX_BYTES && (unsigned)g->level < N_LEVELS &&
              g->n_state >= 0 && g->n_state <= 4 && g->params >= 0 && g->path;
    for (int k = 0; k < 5 + g->n_state && ok; k++)
        ok = *id[k] >= (k < 5 ? -1 : 0) && *id[k] < p->buffer.n;
    for (int k = 0; k < g->n && ok; k++)
        ok = g->param[k] >= 0 && g->param[k] < p->model->param.n && g->at[k] >= 0 &&
             g->at[k] <= PLAN_MAX_BYTES;
    if (!ok)
        broken(t, CHECK_V01, "group %d has id %d, %d parameters, shards of %lld, level %d", i,
               g->id, g->n, (long long)g->shard, (int)g->level);
    return ok;
}

static bool fill_groups(Table *t, const Plan *p)
{
    t->n_group = p->group.n;
    t->group = arena_array(t->a, TableGroup, p->group.n + 1);
    for (int i = 0; i < p->group.n; i++) {
        const FlatGroup *g = &p->group.v[i];
        if (!group_sound(t, p, i))
            return false;
        int64_t *count = arena_array(t->a, int64_t, g->n + 1);
        const char **path = arena_array(t->a, const char *, g->n + 1);
        for (int k = 0; k < g->n; k++) {
            count[k] = type_count(&p->model->param.v[g->param[k]].type);
            path[k] = p->model->param.v[g->param[k]].path;
        }
        t->group[i] = (TableGroup){.path = g->path,
                                   .n = g->n,
                                   .at = g->at,
                                   .count = count,
                                   .params = path,
                                   .used = g->used,
                                   .shard = g->shard,
                                   .level = (int)g->level,
                                   .trained = g->optimizer >= 0,
                                   .whole_grad = g->whole_grad,
                                   .offload = g->offload,
                                   .param = g->params,
                                   .grad = g->grads,
                                   .grad_shard = g->grad_shard,
                                   .host_param = g->host_params,
                                   .host_grad = g->host_grads,
                                   .n_state = g->n_state};
        memcpy(t->group[i].state, g->state, sizeof g->state);
    }
    return true;
}

/* ---- programs ---- */

static void add_result(Table *t, Operand o, int program, bool each_turn, const char *name)
{
    if (o.buffer < 0)
        return;
    if (o.buffer >= t->n_buffer) {
        broken(t, CHECK_V01, "result '%s' is buffer %d of %d", name, o.buffer, t->n_buffer);
        return;
    }
    t->result[t->n_result++] = (TableResult){o.buffer, program, o.offset, each_turn, name};
}

static void fill_programs(Table *t, const Plan *p)
{
    t->result = arena_array(t->a, TableResult, 2 * (p->term.n + N_PROGRAMS));
    for (int i = 0; i < N_PROGRAMS; i++) {
        const ProgramPlan *g = &p->program[i];
        if (!g->present)
            continue;
        t->program[i] = (TableProgram){.present = true,
                                       .micro_batch = g->micro_batch,
                                       .rounds = g->rounds,
                                       .region_samples = g->region_samples,
                                       .region_parts = g->region_parts};
        memcpy(t->program[i].first, g->first, sizeof g->first);
        memcpy(t->program[i].count, g->count, sizeof g->count);
        add_result(t, g->norm, i, false, "norm");
        add_result(t, g->logits, i, false, "logits");
    }
    for (int i = 0; i < p->term.n; i++) {
        const LossTerm *m = &p->term.v[i];
        add_result(t, m->num, (int)m->program, m->field, m->name);
        add_result(t, m->den, (int)m->program, m->field, m->name);
    }
}

static void fill_totals(Table *t, const Plan *p)
{
    t->ranks = p->ranks;
    t->shared_by = p->shared_by;
    t->micro_batch = p->micro_batch;
    t->rounds = p->rounds;
    t->batch = p->batch;
    t->reduced = p->reduced;
    t->invariant = p->invariant;
    t->arena_bytes = p->arena_bytes;
    t->persistent_bytes = p->persistent_bytes;
    t->max_live_bytes = p->max_live_bytes;
    t->host_bytes = p->host_bytes;
    t->memory = p->memory;
    t->machine = p->machine;
    t->max_live_step = p->max_live_step;
    t->step_ps = p->step_ps;
    t->exposed_ps = p->exposed_ps;
    t->slow_compute_ppm = p->machine ? p->machine->slow_compute_ppm : 0;
    const Bounds *b = &p->bounds;
    t->bounds = (TableBounds){.n = b->option.n,
                              .option = b->option.v,
                              .lambda_num = b->lambda_num,
                              .lambda_den = b->lambda_den,
                              .fixed_ps = b->fixed_ps,
                              .fixed_bytes = b->fixed_bytes,
                              .capacity = b->capacity,
                              .lower_ps = b->lower_ps};
}

bool table_fill(Table *t, const Plan *p)
{
    fill_totals(t, p);
    if (t->ranks < 1 || t->ranks > MOST_RANKS || t->shared_by < 1 || t->ranks % t->shared_by) {
        broken(t, CHECK_V01, "%lld ranks in groups of %lld", (long long)t->ranks,
               (long long)t->shared_by);
        return false;
    }
    if (!fill_groups(t, p) || !fill_buffers(t, p))
        return false;
    t->n_step = p->step.n;
    t->step = arena_array(t->a, TableStep, p->step.n + 1);
    for (int i = 0; i < p->step.n; i++)
        if (!fill_step(t, p, i))
            return false;
    fill_programs(t, p);
    return true;
}
