/* table_file.c - the table from a PlanFile. The reader has checked every id and the length of every
 * list. */
#include "planner/verify/table.h"

#include <string.h>

/* Marks the buffers of a list with the step's number plus one. */
static void mark(int *stamp, Ints list, int step)
{
    for (int i = 0; i < list.n; i++)
        stamp[list.v[i]] = step + 1;
}

typedef struct Marks { /* by buffer: the last step that has it, + 1 */
    int *reads, *writes, *args;
} Marks;

/* What the step says it reads and writes is what its kernel does with the arguments. */
static void check_lists(Table *t, const PlanFile *f, int i, Marks *m)
{
    const FileStep *s = &f->step[i];
    mark(m->reads, s->reads, i);
    mark(m->writes, s->writes, i);
    mark(m->args, s->args, i);
    for (int k = 0; k < s->args.n; k++) {
        int b = s->args.v[k], access = f->kernel[s->kernel].access.v[k];
        bool write = access != ACCESS_READ;
        if (m->reads[b] != i + 1 && m->writes[b] != i + 1)
            broken(t, CHECK_V01,
                   "step %d (%s): argument %d, buffer %d, is in neither reads nor writes", i,
                   s->path, k, b);
        else if (write && m->writes[b] != i + 1)
            broken(t, CHECK_V01, "step %d (%s) writes buffer %d, which is not in its writes", i,
                   s->path, b);
        else if (access != ACCESS_WRITE && m->reads[b] != i + 1)
            broken(t, CHECK_V01, "step %d (%s) reads buffer %d, which is not in its reads", i,
                   s->path, b);
    }
    for (int k = 0; k < s->reads.n + s->writes.n; k++) {
        int b = k < s->reads.n ? s->reads.v[k] : s->writes.v[k - s->reads.n];
        if (m->args[b] != i + 1)
            broken(t, CHECK_V01, "step %d (%s) reads or writes buffer %d, which is no argument", i,
                   s->path, b);
    }
}

static void fill_gaps(Table *t, const FileKernel *k, TableStep *ts)
{
    Use *use = arena_array(t->a, Use, k->gaps.n + 1);
    for (int i = 0; i < k->gaps.n && ts->n_use > 0; i++) {
        use[i] = ts->use[0];
        use[i].lo = use[i].at + 4 * min64(k->gaps.v[2 * i], PLAN_MAX_BYTES);
        use[i].end = use[i].lo + 4 * min64(k->gaps.v[2 * i + 1], PLAN_MAX_BYTES);
    }
    ts->n_use = ts->n_use > 0 ? k->gaps.n : 0;
    ts->use = use;
}

static void fill_uses(Table *t, const PlanFile *f, int i)
{
    const FileStep *s = &f->step[i];
    const FileKernel *k = &f->kernel[s->kernel];
    TableStep *ts = &t->step[i];
    ts->n_use = s->args.n;
    ts->use = arena_array(t->a, Use, s->args.n + 1);
    for (int j = 0; j < s->args.n; j++) {
        int access = k->access.v[j], b = s->args.v[j];
        Use *u = &ts->use[j];
        *u = (Use){.buffer = b,
                   .arg = j,
                   .at = s->offsets.v[j],
                   .by_rank = s->by_rank.v[j],
                   .read = access != ACCESS_WRITE,
                   .write = access != ACCESS_READ,
                   .parts = 1};
        u->add = access == ACCESS_ADD || (k->kind == KIND_TREE && j == 1);
        ts->adds = ts->adds || access == ACCESS_ADD;
        u->lo = f->buffer[b].batched ? 0 : u->at;
        u->end = s->ends.n && !f->buffer[b].batched ? s->ends.v[j] : f->buffer[b].bytes;
        if (u->end > f->buffer[b].bytes)
            broken(t, CHECK_V12,
                   "step %d (%s): argument %d ends at byte %lld of buffer %d, which has "
                   "%lld",
                   i, s->path, j, (long long)u->end, b, (long long)f->buffer[b].bytes);
        if (u->end < u->lo)
            u->end = u->lo;
    }
    if (k->kind == KIND_ZERO)
        fill_gaps(t, k, ts);
}

static void fill_pieces(Table *t, const FileKernel *k, int i)
{
    TableStep *ts = &t->step[i];
    int n = k->segments.n;
    int64_t elems[MAX_SEGMENTS], stride[MAX_SEGMENTS];
    if (n < 1 || n > MAX_SEGMENTS) {
        broken(t, CHECK_V07, "%s is a collective of %d pieces", the_step(t, i), n);
        return;
    }
    for (int j = 0; j < n; j++) {
        elems[j] = k->segments.v[2 * j];
        stride[j] = k->segments.v[2 * j + 1];
    }
    ts->n_piece = n;
    ts->chunk = k->chunk;
    ts->tree = k->tree;
    if (!table_pieces(t, i, elems, stride))
        ts->n_piece = 0;
}

static void fill_steps(Table *t, const PlanFile *f)
{
    Marks m = {arena_array(t->a, int, f->n_buffer + 1), arena_array(t->a, int, f->n_buffer + 1),
               arena_array(t->a, int, f->n_buffer + 1)};
    t->n_step = f->n_step;
    t->step = arena_array(t->a, TableStep, f->n_step + 1);
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        const FileKernel *k = &f->kernel[s->kernel];
        t->step[i] = (TableStep){.path = s->path,
                                 .program = s->program,
                                 .phase = s->phase,
                                 .region = s->region,
                                 .group = s->group,
                                 .kind = s->kind,
                                 .stream = s->stream,
                                 .when = s->when,
                                 .anew = s->anew,
                                 .recompute = s->recompute,
                                 .backward = s->backward,
                                 .n_grain = k->grains.n,
                                 .grain = k->grains.v,
                                 .ps = s->ps,
                                 .sent = s->sent};
        memcpy(t->step[i].wait, s->wait, sizeof s->wait);
        check_lists(t, f, i, &m);
        fill_uses(t, f, i);
        if (is_collective(&t->step[i]))
            fill_pieces(t, k, i);
    }
}

/* ---- buffers, groups ---- */

static void fill_buffers(Table *t, const PlanFile *f)
{
    t->n_buffer = f->n_buffer;
    t->buffer = arena_array(t->a, TableBuffer, f->n_buffer + 1);
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        t->buffer[i] = (TableBuffer){.path = b->path,
                                     .role = b->role,
                                     .program = b->program,
                                     .region = b->region,
                                     .bytes = b->bytes,
                                     .offset = b->offset,
                                     .sample_bytes = b->sample_bytes,
                                     .elem = dtype_size((DType)b->dtype),
                                     .first = b->first,
                                     .last = b->last,
                                     .persistent = b->persistent,
                                     .batched = b->batched,
                                     .sharded = b->sharded,
                                     .host = b->host,
                                     .group = b->group};
        bool flat = b->group >= 0 && f->group[b->group].optimizer >= 0;
        t->buffer[i].trained = b->role == ROLE_STATE || (flat && b->role == ROLE_PARAM);
    }
    for (int i = 0; i < f->n_param; i++)
        if (f->param[i].optimizer >= 0 && f->param[i].id >= 0 && f->param[i].group < 0)
            t->buffer[f->param[i].id].trained = true;
}

static int64_t count_of(const FileParam *p)
{
    int64_t n = 1;
    for (int i = 0; i < p->shape.n; i++)
        if (!mul_ok(n, p->shape.v[i], &n) || n > PLAN_MAX_BYTES)
            return PLAN_MAX_BYTES;
    return n;
}

static void fill_groups(Table *t, const PlanFile *f)
{
    t->n_group = f->n_group;
    t->group = arena_array(t->a, TableGroup, f->n_group + 1);
    for (int i = 0; i < f->n_group; i++) {
        const FileGroup *g = &f->group[i];
        int64_t *count = arena_array(t->a, int64_t, g->params.n + 1);
        const char **path = arena_array(t->a, const char *, g->params.n + 1);
        for (int k = 0; k < g->params.n; k++) {
            count[k] = count_of(&f->param[g->params.v[k]]);
            path[k] = f->param[g->params.v[k]].path;
        }
        t->group[i] = (TableGroup){.path = g->path,
                                   .n = g->params.n,
                                   .at = g->at.v,
                                   .count = count,
                                   .params = path,
                                   .used = g->used,
                                   .shard = g->shard,
                                   .level = g->level,
                                   .trained = g->optimizer >= 0,
                                   .whole_grad = g->whole_grad,
                                   .offload = g->offload,
                                   .param = g->param_buffer,
                                   .grad = g->grad_buffer,
                                   .grad_shard = g->grad_shard_buffer,
                                   .host_param = g->host_param_buffer,
                                   .host_grad = g->host_grad_buffer,
                                   .n_state = g->state_buffers.n};
        for (int k = 0; k < g->state_buffers.n; k++)
            t->group[i].state[k] = g->state_buffers.v[k];
    }
}

/* ---- programs ---- */

static void add_result(Table *t, FileOperand o, int program, bool each_turn, const char *name)
{
    if (o.buffer >= 0)
        t->result[t->n_result++] = (TableResult){o.buffer, program, o.offset, each_turn, name};
}

static void fill_programs(Table *t, const PlanFile *f)
{
    t->result = arena_array(t->a, TableResult, 2 * (f->n_term + N_PROGRAMS));
    for (int i = 0; i < f->n_program; i++) {
        const FileProgram *g = &f->program[i];
        TableProgram *tp = &t->program[g->kind];
        *tp = (TableProgram){.present = true,
                             .micro_batch = g->micro_batch,
                             .rounds = g->rounds,
                             .region_samples = g->region_samples,
                             .region_parts = g->region_parts};
        memcpy(tp->first, g->first, sizeof g->first);
        memcpy(tp->count, g->count, sizeof g->count);
        add_result(t, g->norm, g->kind, false, "norm");
        add_result(t, g->logits, g->kind, false, "logits");
    }
    for (int i = 0; i < f->n_term; i++) {
        const FileTerm *m = &f->term[i];
        add_result(t, m->num, m->program, m->field, m->name);
        add_result(t, m->den, m->program, m->field, m->name);
    }
}

static void fill_bounds(Table *t, const FileBounds *b)
{
    BoundOption *option = arena_array(t->a, BoundOption, b->options.n + 1);
    for (int i = 0; i < b->options.n; i++) {
        const int64_t *row = &b->options.v[4 * i];
        bool odd = row[0] > INT32_MAX || row[1] > INT32_MAX;
        option[i] = (BoundOption){odd ? -1 : (int)row[0], odd ? -1 : (int)row[1], row[2], row[3]};
    }
    t->bounds = (TableBounds){.n = b->options.n,
                              .option = option,
                              .lambda_num = b->lambda_num,
                              .lambda_den = b->lambda_den,
                              .fixed_ps = b->fixed_ps,
                              .fixed_bytes = b->fixed_bytes,
                              .capacity = b->capacity,
                              .lower_ps = b->lower_ps};
}

static void fill_totals(Table *t, const PlanFile *f)
{
    const FileTotals *o = &f->totals;
    t->ranks = f->ranks;
    t->shared_by = f->shared_by;
    t->micro_batch = f->micro_batch;
    t->rounds = f->rounds;
    t->batch = f->batch;
    t->reduced = f->reduced;
    t->invariant = f->invariant;
    t->arena_bytes = o->arena_bytes;
    t->persistent_bytes = o->persistent_bytes;
    t->max_live_bytes = o->max_live_bytes;
    t->host_bytes = o->host_bytes;
    t->memory = f->memory;
    t->machine = f->machine;
    t->max_live_step = f->bounds.at_step;
    t->step_ps = f->machine ? o->step_ps : -1;
    t->exposed_ps = f->machine ? o->exposed_ps : -1;
    t->slow_compute_ppm = f->machine ? f->machine->slow_compute_ppm : 0;
    fill_bounds(t, &f->bounds);
}

void table_fill_file(Table *t, const PlanFile *f)
{
    const FileTotals *o = &f->totals;
    fill_totals(t, f);
    fill_groups(t, f);
    fill_buffers(t, f);
    if (t->ranks < 1 || t->ranks > MOST_RANKS || t->shared_by < 1 || t->ranks % t->shared_by) {
        broken(t, CHECK_V01, "%lld ranks in groups of %lld", (long long)t->ranks,
               (long long)t->shared_by);
        return;
    }
    fill_steps(t, f);
    fill_programs(t, f);
    if (f->bounds.max_live != o->max_live_bytes)
        broken(t, CHECK_V13, "bounds.max_live is %lld, totals.max_live_bytes %lld",
               (long long)f->bounds.max_live, (long long)o->max_live_bytes);
    if (f->bounds.gap != o->arena_bytes - o->persistent_bytes - o->max_live_bytes)
        broken(t, CHECK_V13,
               "the arena of %lld less %lld persistent and %lld live is not the gap of %lld",
               (long long)o->arena_bytes, (long long)o->persistent_bytes,
               (long long)o->max_live_bytes, (long long)f->bounds.gap);
}
