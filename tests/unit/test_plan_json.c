/* plan.json written and read back: nothing lost, nothing accepted that was not written so. */
#include "planner/plan_read.h"
#include "tests/unit/plan_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <time.h>

#include <cmocka.h>

static char *json_of(Arena *a, const Plan *p)
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
        for (int k = 0; k < c->args.n; k++) {
            int b = s->arg[k].buffer;
            assert_int_equal(c->args.v[k], b);
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
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    return arena_printf(a, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
}

static const struct {
    const char *after, *from, *to, *told;
} bad[] = {
    {"", "\"hash\"", "\"hush\"", "p.json: unknown key 'hush'"},
    {"", "\"version\":1", "\"version\":2", "version: this bmc reads plans of version 1 only"},
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
    {"\"alternatives\"", "]}", "]", "p.json:"},
};

static void refused(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const char *json = json_of(a, fix_small(a, 4, 3, 2)), *told;
    for (int i = 0; i < countof(bad); i++) {
        char *text = edit(a, json, bad[i].after, bad[i].from, bad[i].to);
        assert_null(read_told(a, text, &told));
        if (!strstr(told, bad[i].told))
            fail_msg("wanted '%s', told '%s'", bad[i].told, told);
        assert_ptr_equal(strchr(told, '\n') + 1, told + strlen(told)); /* one line */
    }
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
    char *json = json_of(a, f->p);
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
        cmocka_unit_test(round_trip), cmocka_unit_test(odd_values), cmocka_unit_test(same_bytes),
        cmocka_unit_test(refused),    cmocka_unit_test(broken),     cmocka_unit_test(files),
        cmocka_unit_test(large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
