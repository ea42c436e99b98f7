/* table.c - the table from a Plan and from a PlanFile.
 *
 * What a kernel reads and adds to is found here again, from its instructions: plan_json.c finds it
 * its own way, and a test compares. */
#include "planner/verify/table.h"

#include <string.h>

/* ---- from memory ---- */

static bool adds(const Kernel *k)
{
    switch (k->kind) {
    case K_GEMM:
        return k->gemm.accumulates;
    case K_FOLD:
    case K_BATCH:
    case K_SCATTER:
        return k->tpl.accumulates;
    case K_FUSED:
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
    case K_CUMSUM:
    case K_TOP_K:
    case K_SUM_SQUARES:
    case K_NORM:
    case K_ZERO:
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
    case K_COPY:
    case K_TREE:
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
    }
    return true;
}

static bool fill_uses(Table *t, const Plan *p, const Step *s)
{
    const Kernel *k = s->kernel;
    bool load[countof(k->arg_written)] = {0}, store[countof(k->arg_written)] = {0};
    if (k->n_arg < 0 || k->n_arg > countof(k->arg_written)) {
        broken(t, CHECK_V01, "step %d (%s): %s has %d arguments", s->id, s->path, k->name,
               k->n_arg);
        return false;
    }
    if (k->kind == K_FUSED && !fused_sound(t, s))
        return false;
    if (k->kind == K_FUSED)
        fused_uses(k, load, store);
    TableStep *ts = &t->step[s->id];
    ts->use = arena_array(t->a, Use, k->n_arg);
    ts->n_use = k->n_arg;
    for (int i = 0; i < k->n_arg; i++) {
        Use *u = &ts->use[i];
        *u = (Use){.buffer = s->arg[i].buffer, .at = s->arg[i].offset, .write = k->arg_written[i]};
        if (u->buffer < 0 || u->buffer >= p->buffer.n) {
            broken(t, CHECK_V01, "step %d (%s): argument %d is buffer %d of %d", s->id, s->path, i,
                   u->buffer, p->buffer.n);
            return false;
        }
        u->add = u->write && adds(k);
        u->read = k->kind == K_FUSED ? load[i] : !u->write || u->add;
        if (k->kind == K_FUSED && store[i] != u->write)
            broken(t, CHECK_V01, "step %d (%s): %s %s argument %d, and says otherwise", s->id,
                   s->path, k->name, store[i] ? "writes" : "does not write", i);
    }
    return true;
}

static bool fill_steps(Table *t, const Plan *p)
{
    t->n_step = p->step.n;
    t->step = arena_array(t->a, TableStep, p->step.n);
    for (int i = 0; i < p->step.n; i++) {
        const Step *s = &p->step.v[i];
        if (s->id != i || !s->kernel || !s->path || (unsigned)s->program >= N_PROGRAMS ||
            (unsigned)s->phase >= N_PHASES) {
            broken(t, CHECK_V01, "step %d has id %d, %s kernel, program %d, phase %d", i, s->id,
                   s->kernel ? "a" : "no", (int)s->program, (int)s->phase);
            return false;
        }
        t->step[i] = (TableStep){.path = s->path,
                                 .program = (int)s->program,
                                 .phase = (int)s->phase,
                                 .region = s->region};
        if (!fill_uses(t, p, s))
            return false;
    }
    return true;
}

static bool is_trained(const Plan *p, const Buffer *b)
{
    const Model *m = p->model;
    if (b->role == ROLE_STATE)
        return true;
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
            b->offset < 0 || b->offset > PLAN_MAX_BYTES || b->sample_bytes < 0) {
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
                                     .first = b->first,
                                     .last = b->last,
                                     .persistent = b->persistent,
                                     .batched = b->batched};
        t->buffer[i].trained = is_trained(p, b);
    }
    return true;
}

static void add_result(Table *t, int buffer, int program, bool each_turn, const char *name)
{
    if (buffer < 0)
        return;
    if (buffer >= t->n_buffer) {
        broken(t, CHECK_V01, "result '%s' is buffer %d of %d", name, buffer, t->n_buffer);
        return;
    }
    t->result[t->n_result++] = (TableResult){buffer, program, each_turn, name};
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
                                       .region_samples = g->region_samples};
        memcpy(t->program[i].first, g->first, sizeof g->first);
        memcpy(t->program[i].count, g->count, sizeof g->count);
        add_result(t, g->norm.buffer, i, false, "norm");
        add_result(t, g->logits.buffer, i, false, "logits");
    }
    for (int i = 0; i < p->term.n; i++) {
        const LossTerm *m = &p->term.v[i];
        add_result(t, m->num.buffer, (int)m->program, m->field, m->name);
        add_result(t, m->den.buffer, (int)m->program, m->field, m->name);
    }
}

bool table_fill(Table *t, const Plan *p)
{
    t->ranks = p->ranks;
    t->micro_batch = p->micro_batch;
    t->rounds = p->rounds;
    t->batch = p->batch;
    t->arena_bytes = p->arena_bytes;
    t->persistent_bytes = p->persistent_bytes;
    t->max_live_bytes = p->max_live_bytes;
    t->max_live_step = p->max_live_step;
    if (!fill_buffers(t, p) || !fill_steps(t, p))
        return false;
    fill_programs(t, p);
    return true;
}

/* ---- from a file: the reader has checked every id ---- */

/* Marks the buffers of a list with the step's number plus one. */
static void mark(int *stamp, Ints list, int step)
{
    for (int i = 0; i < list.n; i++)
        stamp[list.v[i]] = step + 1;
}

static void fill_file_steps(Table *t, const PlanFile *f)
{
    int *reads = arena_array(t->a, int, f->n_buffer), *writes = arena_array(t->a, int, f->n_buffer);
    int *args = arena_array(t->a, int, f->n_buffer);
    t->n_step = f->n_step;
    t->step = arena_array(t->a, TableStep, f->n_step);
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        TableStep *ts = &t->step[i];
        *ts = (TableStep){.path = s->path,
                          .program = s->program,
                          .phase = s->phase,
                          .region = s->region,
                          .n_use = s->args.n};
        ts->use = arena_array(t->a, Use, s->args.n);
        mark(reads, s->reads, i);
        mark(writes, s->writes, i);
        mark(args, s->args, i);
        for (int k = 0; k < s->args.n; k++) {
            int b = s->args.v[k];
            Use *u = &ts->use[k];
            *u = (Use){.buffer = b, .at = s->offsets.v[k]};
            u->read = reads[b] == i + 1;
            u->write = writes[b] == i + 1;
            u->add = u->read && u->write && s->accumulates;
            if (!u->read && !u->write)
                broken(t, CHECK_V01,
                       "step %d (%s): argument %d, buffer %d, is in neither reads nor writes", i,
                       s->path, k, b);
        }
        for (int k = 0; k < s->reads.n + s->writes.n; k++) {
            int b = k < s->reads.n ? s->reads.v[k] : s->writes.v[k - s->reads.n];
            if (args[b] != i + 1)
                broken(t, CHECK_V01, "step %d (%s) reads or writes buffer %d, which is no argument",
                       i, s->path, b);
        }
        for (int k = 0; k < s->waits.n; k++)
            if (s->waits.v[k] >= i)
                broken(t, CHECK_V01, "step %d (%s) waits for step %d, which comes later", i,
                       s->path, s->waits.v[k]);
    }
}

static void fill_file_buffers(Table *t, const PlanFile *f)
{
    t->n_buffer = f->n_buffer;
    t->buffer = arena_array(t->a, TableBuffer, f->n_buffer);
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        t->buffer[i] = (TableBuffer){.path = b->path,
                                     .role = b->role,
                                     .program = b->program,
                                     .region = b->region,
                                     .bytes = b->bytes,
                                     .offset = b->offset,
                                     .sample_bytes = b->sample_bytes,
                                     .first = b->first,
                                     .last = b->last,
                                     .persistent = b->persistent,
                                     .batched = b->batched};
    }
    for (int i = 0; i < f->n_param; i++)
        if (f->param[i].optimizer >= 0 && f->param[i].id >= 0)
            t->buffer[f->param[i].id].trained = true;
    for (int i = 0; i < f->n_state; i++)
        if (f->state[i].id >= 0)
            t->buffer[f->state[i].id].trained = true;
}

static void fill_file_programs(Table *t, const PlanFile *f)
{
    t->result = arena_array(t->a, TableResult, 2 * (f->n_term + N_PROGRAMS));
    for (int i = 0; i < f->n_program; i++) {
        const FileProgram *g = &f->program[i];
        TableProgram *tp = &t->program[g->kind];
        *tp = (TableProgram){.present = true,
                             .micro_batch = g->micro_batch,
                             .rounds = g->rounds,
                             .region_samples = g->region_samples};
        memcpy(tp->first, g->first, sizeof g->first);
        memcpy(tp->count, g->count, sizeof g->count);
        add_result(t, g->norm.buffer, g->kind, false, "norm");
        add_result(t, g->logits.buffer, g->kind, false, "logits");
    }
    for (int i = 0; i < f->n_term; i++) {
        const FileTerm *m = &f->term[i];
        add_result(t, m->num.buffer, m->program, m->field, m->name);
        add_result(t, m->den.buffer, m->program, m->field, m->name);
    }
}

void table_fill_file(Table *t, const PlanFile *f)
{
    const FileTotals *o = &f->totals;
    t->ranks = f->ranks;
    t->micro_batch = f->micro_batch;
    t->rounds = f->rounds;
    t->batch = f->batch;
    t->arena_bytes = o->arena_bytes;
    t->persistent_bytes = o->persistent_bytes;
    t->max_live_bytes = o->max_live_bytes;
    t->max_live_step = f->bounds.at_step;
    fill_file_buffers(t, f);
    fill_file_steps(t, f);
    fill_file_programs(t, f);
    if (f->bounds.max_live != o->max_live_bytes)
        broken(t, CHECK_V13, "bounds.max_live is %lld, totals.max_live_bytes %lld",
               (long long)f->bounds.max_live, (long long)o->max_live_bytes);
    if (f->bounds.gap != o->arena_bytes - o->persistent_bytes - o->max_live_bytes)
        broken(t, CHECK_V13,
               "the arena of %lld less %lld persistent and %lld live is not the gap of %lld",
               (long long)o->arena_bytes, (long long)o->persistent_bytes,
               (long long)o->max_live_bytes, (long long)f->bounds.gap);
    if (f->ranks == 1 && f->n_comm)
        broken(t, CHECK_V01, "one rank has nobody to communicate with, but comm has %d entries",
               f->n_comm);
}
