/* plan.json written and read back: nothing lost, nothing accepted that was not written so. */
#include "planner/plan_read.h"
#include "tests/unit/plan_ranks.h"

#include <math.h>
#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

static const char *json_of(Arena *a, const Plan *p)
{
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    return s.text;
}

/* Reads `json`; *told is what was said. */
static PlanFile *read_told(Arena *a, const char *json, const char **told)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    PlanFile *f = plan_read_text(a, "p.json", json, strlen(json), diag_new(a, sources_new(a), out));
    fclose(out);
    *told = arena_strdup(a, text);
    free(text);
    return f;
}

static PlanFile *read_ok(Arena *a, const char *json)
{
    const char *told;
    PlanFile *f = read_told(a, json, &told);
    assert_string_equal(told, "");
    assert_non_null(f);
    return f;
}

static void check_buffers(const Plan *p, const PlanFile *f)
{
    assert_int_equal(f->n_buffer, p->buffer.n);
    for (int i = 0; i < f->n_buffer; i++) {
        const Buffer *b = &p->buffer.v[i];
        const FileBuffer *c = &f->buffer[i];
        assert_string_equal(b->path, c->path);
        assert_int_equal(b->bytes, c->bytes);
        assert_int_equal(b->offset, c->offset);
        assert_int_equal(b->first, c->first);
        assert_int_equal(b->last, c->last);
        assert_int_equal(b->role, c->role);
        assert_int_equal(b->dtype, c->dtype);
        assert_int_equal(b->persistent, c->persistent);
        assert_int_equal(b->batched, c->batched);
        assert_int_equal(b->sample_bytes, c->sample_bytes);
        assert_int_equal(b->persistent ? -1 : (int)b->program, c->program);
        assert_int_equal(b->region, c->region);
        assert_int_equal(b->group, c->group);
        assert_int_equal(b->sharded, c->sharded);
        assert_int_equal(b->host, c->host);
    }
}

static bool listed(Ints l, int b)
{
    int n = 0;
    for (int i = 0; i < l.n; i++)
        n += l.v[i] == b;
    assert_true(n <= 1);
    return n == 1;
}

static void check_steps(const Plan *p, const PlanFile *f)
{
    assert_int_equal(f->n_step, p->step.n);
    for (int i = 0; i < f->n_step; i++) {
        const Step *s = &p->step.v[i];
        const FileStep *c = &f->step[i];
        assert_string_equal(s->path, c->path);
        assert_string_equal(s->what, c->what);
        assert_int_equal(s->program, c->program);
        assert_int_equal(s->phase, c->phase);
        assert_int_equal(s->instance, c->instance);
        assert_int_equal(s->region, c->region);
        assert_int_equal(s->backward, c->backward);
        assert_string_equal(s->kernel->name, f->kernel[c->kernel].name);
        assert_int_equal(c->args.n, s->kernel->n_arg);
        bool adds = s->kernel->kind == K_BATCH;
        assert_int_equal(c->accumulates, adds);
        assert_int_equal(c->stream, s->stream);
        assert_int_equal(c->when, s->when);
        assert_int_equal(c->anew, s->anew);
        assert_int_equal(c->ps, s->ps);
        assert_int_equal(c->cls, p->machine ? (int)s->cls : -1);
        assert_int_equal(c->sent, s->sent);
        assert_int_equal(c->group, s->group);
        for (int k = 0; k < N_STREAMS; k++)
            assert_int_equal(c->wait[k], s->wait[k]);
        for (int k = 0; k < c->args.n; k++) {
            int b = s->arg[k].buffer;
            assert_int_equal(c->args.v[k], b);
            assert_int_equal(c->offsets.v[k], s->arg[k].offset);
            assert_int_equal(c->by_rank.v[k], s->arg[k].by_rank);
            if (kernel_is_collective(s->kernel))
                continue; /* the whole and the shard may be one buffer */
            assert_int_equal(listed(c->writes, b), s->kernel->arg_written[k]);
            assert_int_equal(listed(c->reads, b), fix_arg_read(s->kernel, k) || adds);
        }
    }
}

static void round_trip(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    PlanFile *f = read_ok(a, json_of(a, p));
    assert_string_equal(f->hash, "0123456789abcdef");
    assert_string_equal(f->model, "Tiny");
    assert_string_equal(f->file, "tiny.bm");
    assert_int_equal(f->batch, 12);
    assert_int_equal(f->memory, -1);
    assert_int_equal(f->totals.step_ps, -1);
    assert_int_equal(f->totals.arena_bytes, p->arena_bytes);
    assert_int_equal(f->totals.persistent_bytes, p->persistent_bytes);
    assert_int_equal(f->totals.max_live_bytes, p->max_live_bytes);
    assert_int_equal(f->bounds.at_step, p->max_live_step);
    assert_int_equal(f->n_param, 2);
    assert_string_equal(f->param[1].path, "h.1.weight");
    assert_int_equal(f->param[1].optimizer, OPT_ADAMW);
    assert_true(f->param[1].init.a == 0.02);
    assert_int_equal(f->buffer[f->param[1].id].role, ROLE_PARAM);
    assert_int_equal(f->n_state, 2);
    assert_string_equal(f->buffer[f->state[0].id].path, "h.0.weight.exp_avg");
    assert_int_equal(f->n_program, 2);
    assert_int_equal(f->program[1].kind, PROGRAM_EVAL);
    assert_int_equal(f->program[0].first[PHASE_ROUND], p->program[0].first[PHASE_ROUND]);
    assert_int_equal(f->program[0].count[PHASE_ROUND], p->program[0].count[PHASE_ROUND]);
    assert_int_equal(f->n_term, 3);
    assert_int_equal(f->n_instance, 3);
    /* flops are those of a turn: 10 for each of 4 samples, or 10 */
    assert_int_equal(f->step[0].flops, 40);
    assert_int_equal(f->step[1].flops, 10);
    check_buffers(p, f);
    check_steps(p, f);
    arena_free(a);
}

static void check_groups(const Plan *p, const PlanFile *f)
{
    assert_int_equal(f->n_group, p->group.n);
    for (int i = 0; i < f->n_group; i++) {
        const FlatGroup *g = &p->group.v[i];
        const FileGroup *c = &f->group[i];
        assert_string_equal(c->path, g->path);
        assert_string_equal(c->why, g->why);
        assert_int_equal(c->unit, g->unit);
        assert_int_equal(c->optimizer, g->optimizer);
        assert_int_equal(c->level, g->level);
        assert_int_equal(c->used, g->used);
        assert_int_equal(c->shard, g->shard);
        assert_int_equal(c->whole_grad, g->whole_grad);
        assert_int_equal(c->offload, g->offload);
        assert_int_equal(c->param_buffer, g->params);
        assert_int_equal(c->grad_buffer, g->grads);
        assert_int_equal(c->grad_shard_buffer, g->grad_shard);
        assert_int_equal(c->host_param_buffer, g->host_params);
        assert_int_equal(c->host_grad_buffer, g->host_grads);
        assert_int_equal(c->state_buffers.n, g->n_state);
        for (int k = 0; k < g->n_state; k++)
            assert_int_equal(c->state_buffers.v[k], g->state[k]);
        assert_int_equal(c->params.n, g->n);
        for (int k = 0; k < g->n; k++) {
            assert_int_equal(c->params.v[k], g->param[k]);
            assert_int_equal(c->at.v[k], g->at[k]);
            assert_int_equal(f->param[g->param[k]].group, i);
            assert_int_equal(f->param[g->param[k]].at, g->at[k]);
            assert_int_equal(f->param[g->param[k]].id, g->params);
        }
    }
}

static void check_comm(const Plan *p, const PlanFile *f)
{
    int n = 0;
    for (int i = 0; i < p->step.n; i++) {
        const Step *s = &p->step.v[i];
        if (!kernel_is_collective(s->kernel))
            continue;
        const FileComm *c = &f->comm[n++];
        const FileKernel *k = &f->kernel[f->step[i].kernel];
        assert_int_equal(c->step, i);
        assert_int_equal(c->kind, step_kind(s->kernel));
        assert_int_equal(c->bytes, s->sent);
        assert_int_equal(c->when, s->when);
        bool each = s->when == WHEN_ALWAYS && s->phase == PHASE_ROUND;
        assert_int_equal(c->times, each ? p->rounds : 1);
        assert_int_equal(k->segments.n, s->kernel->coll.n_segment);
        assert_int_equal(k->segments.v[0], s->kernel->coll.segment[0].elems);
        assert_int_equal(k->segments.v[1], s->kernel->coll.segment[0].stride);
        assert_int_equal(k->chunk, s->kernel->coll.chunk);
        assert_int_equal(k->tree, s->kernel->coll.tree);
    }
    assert_int_equal(f->n_comm, n);
}

static void many_ranks(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), stderr);
    Plan *p = fix_ranks(a, 4, 3);
    p->machine = machine_find(a, "h100-80g", d);
    assert_non_null(p->machine);
    p->step_ps = 123456789;
    p->exposed_ps = 0;
    p->reduced = p->invariant = true;
    p->shared_by = 2;
    PlanFile *f = read_ok(a, json_of(a, p));
    check_buffers(p, f);
    check_steps(p, f);
    check_groups(p, f);
    check_comm(p, f);
    assert_int_equal(f->totals.step_ps, 123456789);
    assert_int_equal(f->totals.exposed_ps, 0);
    assert_true(f->reduced && f->invariant && f->overlap);
    assert_int_equal(f->shared_by, 2);
    assert_int_equal(f->lead, 1);
    assert_int_equal(f->bucket_bytes, 1 << 20);
    StrBuf x = strbuf_new(a), y = strbuf_new(a);
    machine_print(&x, p->machine);
    machine_print(&y, f->machine);
    assert_string_equal(x.text, y.text);
    assert_int_equal(f->state[1].id, p->group.v[1].state[0]);
    arena_free(a);
}

/* Kernels with numbers of their own, bounds, alternatives. */
static void every_number(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    Gap gap[] = {{100, 28}, {1000, 24}};
    int64_t grains[] = {3, 1, 4};
    Kernel *zero = p->kernel.v[0], *norm = p->kernel.v[1];
    zero->kind = K_ZERO;
    zero->gap = gap;
    zero->n_gap = 2;
    norm->kind = K_NORM;
    norm->group_grains = grains;
    norm->tpl.rows = 3;
    p->bounds.lambda_num = 7;
    p->bounds.lambda_den = 3;
    p->bounds.fixed_ps = 11;
    p->bounds.fixed_bytes = 12;
    p->bounds.capacity = 13;
    p->bounds.lower_ps = 14;
    vec_push(a, &p->bounds.option, ((BoundOption){1, 12, INT64_C(1) << 60, 640}));
    vec_push(a, &p->bounds.option, ((BoundOption){1, 12, 5, 64}));
    Alternative t = {.micro_batch = 4,
                     .rounds = 3,
                     .arena_bytes = 9000,
                     .host_bytes = 17,
                     .zero = "h.*: 3, rest: 1",
                     .recompute = "none",
                     .overlap = "lead 1",
                     .fits = true,
                     .why = "slower by 3 %"};
    vec_push(a, &p->tried, t);
    p->buffer.v[3].host = true;
    p->step.v[4].anew = true;
    PlanFile *f = read_ok(a, json_of(a, p));
    assert_int_equal(f->kernel[0].gaps.n, 2);
    assert_memory_equal(f->kernel[0].gaps.v, gap, sizeof gap);
    assert_int_equal(f->kernel[1].grains.n, 3);
    assert_memory_equal(f->kernel[1].grains.v, grains, sizeof grains);
    assert_int_equal(f->kernel[2].gaps.n + f->kernel[2].grains.n + f->kernel[2].segments.n, 0);
    assert_int_equal(f->bounds.options.n, 2);
    assert_true(f->bounds.options.v[2] == INT64_C(1) << 60);
    assert_int_equal(f->bounds.options.v[7], 64);
    assert_int_equal(f->bounds.lambda_num, 7);
    assert_int_equal(f->bounds.lambda_den, 3);
    assert_int_equal(f->bounds.fixed_ps, 11);
    assert_int_equal(f->bounds.fixed_bytes, 12);
    assert_int_equal(f->bounds.capacity, 13);
    assert_int_equal(f->bounds.lower_ps, 14);
    assert_int_equal(f->n_try, 1);
    assert_int_equal(f->tried[0].host_bytes, 17);
    assert_int_equal(f->tried[0].step_ps, -1);
    assert_string_equal(f->tried[0].zero, t.zero);
    assert_string_equal(f->tried[0].recompute, "none");
    assert_string_equal(f->tried[0].overlap, "lead 1");
    assert_true(f->tried[0].fits);
    assert_string_equal(f->tried[0].why, t.why);
    assert_true(f->step[4].anew && !f->step[5].anew);
    assert_true(f->buffer[3].host && !f->buffer[4].host);
    arena_free(a);
}

static void odd_values(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 1, 0);
    Model *m = (Model *)(uintptr_t)p->model;
    m->name = "a\"b\\c";
    m->file = "dir/\xff\xc3\xa9\xed\xa0\x80.bm"; /* a stray byte, e acute, half of a pair */
    m->param.v[0].init = (Init){INIT_FILL, INFINITY, -INFINITY, "x/y.npy"};
    m->param.v[1].frozen = true;
    p->hash = UINT64_MAX;
    p->arena_bytes = INT64_C(1) << 43;
    PlanFile *f = read_ok(a, json_of(a, p));
    assert_string_equal(f->model, "a\"b\\c");
    assert_string_equal(f->file, "\xEF\xBF\xBD\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD.bm");
    assert_true(f->param[0].init.a == INFINITY && f->param[0].init.b == -INFINITY);
    assert_string_equal(f->param[0].init.file, "y.npy");
    assert_int_equal(f->param[1].optimizer, -1);
    assert_string_equal(f->hash, "ffffffffffffffff");
    assert_true(f->totals.arena_bytes == INT64_C(1) << 43);
    arena_free(a);
}

static void same_bytes(void **state)
{
    (void)state;
    Arena *a = arena_new(), *b = arena_new();
    char *junk = arena_strdup(b, "moves what follows");
    (void)junk;
    assert_string_equal(json_of(a, fix_small(a, 4, 3, 2)), json_of(b, fix_small(b, 4, 3, 2)));
    arena_free(a);
    arena_free(b);
}

/* `json` with the first `from` (after the first `after`) replaced. */
static char *edit(Arena *a, const char *json, const char *after, const char *from, const char *to)
{
    const char *at = strstr(json, after);
    if (!at || !strstr(at, from))
        fail_msg("no %s after %s", from, after);
    at = strstr(at, from);
    return arena_printf(a, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
}

typedef struct Bad {
    const char *after, *from, *to, *told;
} Bad;

static const Bad bad[] = {
    {"", "\"hash\"", "\"hush\"", "p.json: unknown key 'hush'"},
    {"", "\"version\":3", "\"version\":2", "version: this bmc reads plans of version 3 only"},
    {"", "0123456789abcdef", "0123456789ABCDEF", "hash: '0123456789ABCDEF' is not 16"},
    {"", "\"ranks\":1", "\"ranks\":1.0", "ranks: a whole number is wanted, not a number with"},
    {"", "\"ranks\":1", "\"ranks\":-1", "ranks: -1 is not in 0.."},
    {"", "\"ranks\":1", "\"ranks\":1,\"ranks\":1", "no plan: duplicate object key"},
    {"", "\"ranks\":1", "\"ranks\":99999999999999999999", "no plan: too big integer"},
    {"", "\"fused\":true", "\"fused\":1", "fused: true or false is wanted, not a whole number"},
    {"", "\"proved\":", "\"moved\":", "bounds.proved: missing"},
    {"", "\"gap\":", "\"x\":0,\"gap\":", "bounds: unknown key 'x'"},
    {"", "\"comm\":[]", "\"comm\":{}", "comm: a list is wanted, not an object"},
    {"", "\"comm\":[]", "\"comm\":[1]", "comm[0]: an object is wanted, not a whole number"},
    {"\"steps\"", "\"kind\":\"map\"", "\"kind\":\"mop\"",
     "steps[0].kind: 'mop' is none of: map row"},
    {"\"steps\"", "\"kind\":\"map\"", "\"kind\":\"row\"",
     "steps[0].kind: row, but its kernel is map"},
    {"\"steps\"", "\"reads\":[5]", "\"reads\":[999]",
     "steps[0].reads: 999 is no id: there are 24 buffers"},
    {"\"steps\"", "\"reads\":[5]", "\"reads\":[-1]", "steps[0].reads: -1 is no id"},
    {"\"steps\"", "\"id\":1,", "\"id\":2,", "steps[1].id: 2, where 1 is its place"},
    {"\"steps\"", "\"kernel\":\"k0", "\"kernel\":\"q0",
     "steps[0].kernel: no kernel is named 'q0_test'"},
    {"\"steps\"", "\"offsets\":[0,0]", "\"offsets\":[0]", "steps[0].offsets: 1 of them for 2 args"},
    {"\"steps\"", "\"path\":\"loss\"", "\"path\":\"lo\\u001bs\"",
     "steps[0].path: the string holds a control"},
    {"\"steps\"", "\"path\":\"loss\"", "\"path\":\"lo\\u0000s\"",
     "no plan: \\u0000 is not allowed"},
    {"\"steps\"", "\"stream\":\"compute\"", "\"stream\":null",
     "steps[0].stream: a string is wanted, not null"},
    {"\"buffers\"", "\"first\":0", "\"first\":-3",
     "buffers[0].first: -3 is no id: there are 21 steps"},
    {"\"id\":5,\"path\":\"x\"", "\"first\":0", "\"first\":20", "buffers[5].last: "},
    {"\"id\":5,\"path\":\"x\"", "\"program\":\"train\"", "\"program\":\"sample\"",
     "buffers[5].program: the plan has no sample program"},
    {"\"id\":5,\"path\":\"x\"", "\"program\":\"train\"", "\"program\":null",
     "buffers[5].program: null is for persistent"},
    {"\"programs\"", "\"name\":\"eval\"", "\"name\":\"train\"",
     "programs[1].name: programs[0] has the same"},
    {"\"programs\"", "\"mid\":[", "\"mud\":[", "programs[0].phases: mid: [first, count] is wanted"},
    {"\"programs\"", "\"pre\":[0,0]", "\"pre\":[0,22]", "programs[0].phases: 22 is not in 0..21"},
    {"\"params\"", "\"a\":0.02", "\"a\":\"big\"",
     "params[0].init.a: a number is wanted, not a string"},
    {"\"terms\"", "\"num\":[", "\"num\":[1,", "terms[0].num: [buffer, offset] or null"},
    {"\"instances\"", "\"parent\":0", "\"parent\":2",
     "instances[1].parent: 2 does not come before"},
    {"\"steps\"", "\"class\":null", "\"class\":\"math\"",
     "steps[0].class: math, but the plan is for no machine"},
    {"\"alternatives\"", "]}", "]", "p.json:"},
};

/* Of the plan on four ranks. */
static const Bad bad_ranks[] = {
    {"\"steps\"", "\"waits\":[0]", "\"waits\":[0,1]",
     "steps[2].waits: 0 and 1 are both of the comm"},
    {"\"steps\"", "\"waits\":[0]", "\"waits\":[999]", "steps[2].waits: 999 is no id"},
    {"\"steps\"", "\"when\":\"always\"", "\"when\":\"never\"",
     "steps[0].when: 'never' is none of: always first last"},
    {"\"steps\"", "\"by_rank\":[0,", "\"by_rank\":[", ".by_rank: 2 of them for 3 args"},
    {"\"steps\"", "\"sent\":12288", "\"sent\":12289",
     "comm[0].bytes: 12288, but step 0 sends 12289"},
    {"\"steps\"", "\"class\":\"net\"", "\"class\":\"NET\"",
     "steps[0].class: 'NET' is none of: math memory net launch"},
    {"\"steps\"", "\"class\":\"net\"", "\"class\":null",
     "steps[0].class: null, but the plan is for a machine"},
    {"\"steps\"", "\"class\":\"memory\"", "\"class\":\"net\"",
     "class: net, but a map step sends nothing"},
    {"\"steps\"", "\"group\":1", "\"group\":4", "steps[0].group: 4 is no id: there are 4 groups"},
    {"\"steps\"", "\"args\":[17,2,9]", "\"args\":[17,2]",
     "steps[0].args: 2 of them, its kernel has 3"},
    {"\"kernels\"", "\"write\"", "\"wrote\"", "kernels[0].access: 'wrote' is none of: read write"},
    {"\"kernels\"", "[1024,1024]", "[1024]", "kernels[0].segments: lists of 2 numbers"},
    {"\"groups\"", "\"level\":\"1\"", "\"level\":1", "groups[0].level: a string is wanted"},
    {"\"groups\"", "\"params\":[1]", "\"params\":[0]", "groups[1].params: 0 is in groups[0] too"},
    {"\"groups\"", "\"params\":[1]", "\"params\":[1,2]", "groups[1].at: 1 of them for 2 params"},
    {"\"groups\"", "\"state_buffers\":[", "\"state_buffers\":[1,1,1,1,",
     "groups[0].state_buffers: there are 5"},
    {"\"groups\"", "\"optimizer\":0", "\"optimizer\":-2", "groups[0].optimizer: -2 is not in -1.."},
    {"\"comm\":", "\"all_gather\"", "\"all_reduce\"",
     "comm[0].kind: all_reduce, but step 0 is all"},
    {"\"comm\":", "\"all_gather\"", "\"gemm\"", "comm[0].kind: gemm is no collective"},
    {"\"comm\":", "\"step\":1", "\"step\":0", "comm[1].step: 0 does not come after 0"},
    {"\"comm\":", "\"times\":2", "\"times\":3", "comm[0].times: 3, but step 0 runs 2 times"},
    {"\"comm\":", "\"always\"", "\"last\"", "comm[0].when: last, but step 0 runs always"},
    {"\"comm\":[\n",
     "{\"kind\":\"all_gather\",\"bytes\":12288,\"step\":0,\"path\":\"h.0\",\"when\":\"always\","
     "\"times\":2},",
     "", "comm: 11 steps communicate, and it has 10 entries"},
    {"\"machine\"", "\"launch_ps\"", "\"lunch_ps\"", "p.json: machine: launch_ps: missing"},
    {"\"machine\"", "{\n  \"name\"", "{\"x\":3,\"name\"", "p.json: machine: unknown key 'x'"},
    {"", "\"accumulate\":\"local\"", "\"accumulate\":\"global\"",
     "accumulate: 'global' is none of: local reduced"},
};

static void all_refused(Arena *a, const char *json, const Bad *list, int n)
{
    const char *told;
    for (int i = 0; i < n; i++) {
        const Bad *b = &list[i];
        char *text = edit(a, json, b->after, b->from, b->to);
        assert_null(read_told(a, text, &told));
        if (!strstr(told, b->told))
            fail_msg("wanted '%s', told '%s'", b->told, told);
        assert_ptr_equal(strchr(told, '\n') + 1, told + strlen(told)); /* one line */
    }
}

static void refused(void **state)
{
    (void)state;
    Arena *a = arena_new();
    all_refused(a, json_of(a, fix_small(a, 4, 3, 2)), bad, countof(bad));
    Plan *p = fix_ranks(a, 4, 3);
    p->machine = machine_find(a, "cpu", diag_new(a, sources_new(a), stderr));
    all_refused(a, json_of(a, p), bad_ranks, countof(bad_ranks));
    arena_free(a);
}

/* Every prefix and every changed byte is read or refused, never worse. */
static void broken(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const char *json = json_of(a, fix_small(a, 2, 1, 0));
    size_t n = strlen(json);
    uint64_t seed = 7;
    for (int i = 0; i < 1500; i++) {
        Arena *b = arena_new();
        Diag *d = diag_new(b, sources_new(b), NULL);
        char *text = arena_strndup(b, json, n);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(seed >> 33) % n;
        size_t len = n;
        if (i & 1)
            len = at;
        else
            text[at] = "0123456789-,[]{}\"aexn"[(seed >> 20) % 21];
        PlanFile *f = plan_read_text(b, "p.json", text, len, d);
        assert_int_equal(d->errors, f ? 0 : 1);
        arena_free(b);
    }
    arena_free(a);
}

static void files(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), NULL);
    const char *json = json_of(a, fix_small(a, 4, 3, 2));
    FILE *f = fopen("plan.json", "wb");
    assert_non_null(f);
    fputs(json, f);
    fclose(f);
    assert_non_null(plan_read(a, "plan.json", d));
    assert_non_null(plan_read(a, ".", d));
    assert_int_equal(d->errors, 0);
    remove("plan.json");
    assert_null(plan_read(a, ".", d));
    assert_int_equal(d->errors, 1);
    arena_free(a);
}

/* As many steps as a deep model has: writing must not be what a person waits for. */
static void large(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Fix *f = fix_new(a, 3);
    fix_program(f, PROGRAM_TRAIN, 4, 2, 0);
    int x = fix_buffer(f, "x", ROLE_INPUT, 64, true, PROGRAM_TRAIN, 0);
    for (int i = 0; i < 10000; i++) {
        int y = fix_buffer(f, arena_printf(a, "h.%d.mlp.c_fc", i / 60), ROLE_TEMP, 64, true,
                           PROGRAM_TRAIN, 0);
        fix_map(f, PROGRAM_TRAIN, PHASE_ROUND, "h.3.mlp.c_fc", y, &x, 1);
        f->p->buffer.v[y].first = i;
        f->p->buffer.v[y].last = i + 1 < 10000 ? i + 1 : i;
        f->p->buffer.v[y].offset = i % 2 * 4096;
        x = y;
    }
    f->p->program[0].count[PHASE_ROUND] = 10000;
    f->p->buffer.v[0].last = 1;
    clock_t t = clock();
    const char *json = json_of(a, f->p);
    double wrote = (double)(clock() - t) / CLOCKS_PER_SEC;
    t = clock();
    PlanFile *pf = read_ok(a, json);
    double read = (double)(clock() - t) / CLOCKS_PER_SEC;
    assert_int_equal(pf->n_step, 10000);
    printf("10000 steps, %zu bytes: written in %.1f ms, read in %.1f ms\n", strlen(json),
           wrote * 1e3, read * 1e3);
    assert_true(wrote < 1.0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_ranks), cmocka_unit_test(every_number), cmocka_unit_test(round_trip),
        cmocka_unit_test(odd_values), cmocka_unit_test(same_bytes),   cmocka_unit_test(refused),
        cmocka_unit_test(broken),     cmocka_unit_test(files),        cmocka_unit_test(large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
