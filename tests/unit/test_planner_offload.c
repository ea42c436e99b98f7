/* test_planner_offload.c - optimizer state on the host: what lies where, to the byte, what is
 * copied, in which order, and that the verifier sees what is wrong about it. */
#include "tests/unit/planned.h"
#include "tests/unit/verify_told.h"

static const char model[] = "let width = 32\n"
                            "block Layer() {\n"
                            "  ln: LayerNorm(width)\n"
                            "  up: Linear(width, 4 * width)\n"
                            "  down: Linear(4 * width, width)\n"
                            "  forward(x) { return x + down(gelu(up(ln(x)))) }\n"
                            "}\n"
                            "model M {\n"
                            "  wte: Embedding(300, width)\n"
                            "  h[4]: Layer()\n"
                            "  forward(tokens: int[16], targets: int[16]) {\n"
                            "    return cross_entropy(h(wte(tokens)) @ wte.weight', targets)\n"
                            "  }\n"
                            "}\n"
                            "train {\n"
                            "  data = text(\"none\")\n"
                            "  batch = 32\n"
                            "  steps = 2\n"
                            "  optimizer = %s\n"
                            "  clip = 1.0\n"
                            "  accumulate = %s\n"
                            "}\n"
                            "plan {\n%s\n}\n";

enum { LAYERS = 4 };
#define PLENTY (INT64_C(1) << 40)

typedef struct Case {
    const char *optimizer, *accumulate, *plan;
    int64_t ranks, micro_batch;
    bool no_fuse;
} Case;

static Planned *begin(Case c)
{
    static char text[4096];
    snprintf(text, sizeof text, model, c.optimizer ? c.optimizer : "adamw(lr = 1e-3)",
             c.accumulate ? c.accumulate : "local", c.plan);
    return planned_model(text, "cpu");
}

/* Verified, in memory and as a file. */
static Plan *make(Planned *t, Case c)
{
    PlanOptions o = {.ranks = c.ranks,
                     .micro_batch = c.micro_batch,
                     .memory = INT64_C(1) << 50,
                     .machine = t->machine,
                     .no_fuse = c.no_fuse};
    bool no_fit = false;
    Plan *p = plan_build(t->arena, t->model, &o, t->diag, &no_fit);
    fflush(t->out);
    if (!p)
        fail_msg("%s", t->text);
    passes(t->arena, p);
    return p;
}

/* Elements of a group that one rank updates. */
static int64_t own(const Plan *p, const FlatGroup *g)
{
    return g->level == LEVEL_0 ? g->shard * p->shared_by : g->shard;
}

/* ---- what lies where ---- */

static void check_state(const Plan *p, const FlatGroup *g, int64_t *bytes)
{
    for (int k = 0; k < g->n_state; k++) {
        const Buffer *b = &p->buffer.v[g->state[k]];
        assert_true(b->persistent && b->host == g->offload);
        assert_int_equal(b->bytes, own(p, g) * 4);
        *bytes += g->offload ? b->bytes : 0;
    }
    if (!g->offload) {
        assert_int_equal(g->host_params, -1);
        assert_int_equal(g->host_grads, -1);
        return;
    }
    const int moved[] = {g->host_params, g->host_grads};
    for (int k = 0; k < countof(moved); k++) {
        const Buffer *b = &p->buffer.v[moved[k]];
        assert_true(b->host && !b->persistent);
        assert_int_equal(b->bytes, own(p, g) * 4);
    }
}

/* Of each group on the host what is kept, and what is there for its update and the next one's. */
static void check_bytes(const Plan *p)
{
    int64_t kept = 0, most = 0, before = 0;
    for (int k = p->group.n - 1; k >= 0; k--)
        check_state(p, &p->group.v[k], &kept);
    for (int k = 0; k < p->step.n; k++) { /* updates in their order */
        const Step *s = &p->step.v[k];
        if (s->stream != STREAM_COPY || strcmp(s->what, "parameters from the host") != 0)
            continue;
        int64_t here = own(p, &p->group.v[s->group]) * 8;
        most = max64(most, here + before);
        before = p->overlap ? here : 0;
    }
    if (p->fused)
        assert_int_equal(p->host_bytes, kept + most);
    else /* and what kernels hand to each other */
        assert_true(p->host_bytes > kept + most);
    assert_true(p->offsets_proved);
    assert_int_equal(p->arena_bytes, p->persistent_bytes + p->max_live_bytes);
}

/* Everything an update reads or writes of its group is on the host; temporaries too. */
static void check_updates(const Plan *p)
{
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->phase != PHASE_UPDATE || s->stream != STREAM_COMPUTE || s->group < 0)
            continue;
        bool offload = p->group.v[s->group].offload;
        for (int j = 0; j < s->kernel->n_arg; j++) {
            const Buffer *b = &p->buffer.v[s->arg[j].buffer];
            if (b->group >= 0 || b->role == ROLE_TEMP)
                assert_int_equal(b->host, offload && (b->group >= 0 || b->bytes > 4));
        }
    }
}

/* ---- copies ---- */

static int copies_of(const Plan *p, int group, int *id)
{
    int n = 0;
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->kernel->kind != K_COPY || s->group != group)
            continue;
        assert_true(s->stream == STREAM_COPY && s->phase == PHASE_UPDATE && n < 3);
        assert_int_equal(s->kernel->units, own(p, &p->group.v[group]));
        assert_true(s->ps > 0);
        id[n++] = k;
    }
    return n;
}

static void check_copies(const Plan *p)
{
    for (int k = 0; k < p->group.n; k++) {
        const FlatGroup *g = &p->group.v[k];
        int id[3], n = copies_of(p, k, id);
        assert_int_equal(n, g->offload ? 3 : 0);
        if (!n)
            continue;
        const Step *s = p->step.v;
        int64_t part = g->level == LEVEL_1 || g->level == LEVEL_2 ? g->shard * 4 : 0;
        assert_int_equal(s[id[0]].arg[0].buffer,
                         g->grad_shard >= 0 && g->level ? g->grad_shard : g->grads);
        assert_int_equal(s[id[0]].arg[1].buffer, g->host_grads);
        assert_int_equal(s[id[1]].arg[0].buffer, g->params);
        assert_int_equal(s[id[1]].arg[0].by_rank, part);
        assert_int_equal(s[id[1]].arg[1].buffer, g->host_params);
        assert_int_equal(s[id[2]].arg[0].buffer, g->host_params);
        assert_int_equal(s[id[2]].arg[1].buffer, g->params);
        assert_int_equal(s[id[2]].arg[1].by_rank, part);
        assert_true(s[id[2]].wait[STREAM_COMPUTE] > id[1]); /* the update */
    }
}

/* The next group's operands are asked for before an update begins: they come beside it. */
static int asked_ahead(const Plan *p)
{
    int n = 0;
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->phase != PHASE_UPDATE || s->stream != STREAM_COMPUTE || s->group < 0)
            continue;
        for (int j = k - 1; j >= 0 && p->step.v[j].phase == PHASE_UPDATE; j--) {
            const Step *c = &p->step.v[j];
            if (c->stream == STREAM_COPY && c->group != s->group && s->wait[STREAM_COPY] < j &&
                strcmp(c->what, "parameters to the host") == 0) {
                n++;
                break;
            }
        }
    }
    return n;
}

static void check(Case c)
{
    Planned *t = begin(c);
    const Plan *p = make(t, c);
    check_bytes(p);
    check_copies(p);
    check_updates(p);
    planned_done(t);
}

/* ---- cases ---- */

static void every_level(void **state)
{
    (void)state;
    static const char *const level[] = {"0", "1", "2", "3", "once"};
    for (int64_t ranks = 1; ranks <= 4; ranks *= 2)
        for (int z = 0; z < countof(level); z++)
            for (int off = 0; off < 2; off++) {
                char plan[200];
                snprintf(plan, sizeof plan, "zero = %s\noffload = optimizer\n%s", level[z],
                         off ? "overlap = off" : "");
                check((Case){.plan = plan, .ranks = ranks, .micro_batch = 4});
            }
}

static void other_ways(void **state)
{
    (void)state;
    static const char *const level[] = {"0", "1", "2", "3"};
    for (int z = 0; z < countof(level); z++) {
        char plan[200];
        snprintf(plan, sizeof plan, "zero = %s\noffload = optimizer", level[z]);
        check((Case){.plan = plan, .ranks = 4, .micro_batch = 2, .accumulate = "reduced"});
        check((Case){.plan = plan, .ranks = 4, .micro_batch = 8, .no_fuse = true});
        snprintf(plan, sizeof plan, "zero = %s\nhybrid = 2\noffload = optimizer", level[z]);
        check((Case){.plan = plan, .ranks = 4, .micro_batch = 4});
        snprintf(plan, sizeof plan, "zero = %s\noffload h.1:3 = optimizer\noffload h.2 = none",
                 level[z]);
        check((Case){.plan = plan, .ranks = 3 + 1, .micro_batch = 4});
    }
    check((Case){.plan = "offload = optimizer",
                 .optimizer = "sgd(lr = 0.1)",
                 .ranks = 1,
                 .micro_batch = 32}); /* no state, and still updated there */
    check((Case){.plan = "offload = optimizer",
                 .optimizer = "sgd(lr = 0.1, momentum = 0.9)",
                 .ranks = 2,
                 .micro_batch = 8});
}

/* The device has the state's bytes less, and nothing else changed there. */
static void device_has_less(void **state)
{
    (void)state;
    for (int64_t ranks = 1; ranks <= 4; ranks *= 4) {
        Case with = {.plan = "zero = 2\noffload = optimizer", .ranks = ranks, .micro_batch = 4};
        Case without = {.plan = "zero = 2", .ranks = ranks, .micro_batch = 4};
        Planned *t = begin(with), *u = begin(without);
        const Plan *p = make(t, with), *q = make(u, without);
        int64_t bytes = 0;
        for (int k = 0; k < p->group.n; k++)
            bytes += 2 * 4 * own(p, &p->group.v[k]);
        assert_int_equal(q->host_bytes, 0);
        assert_int_equal(q->persistent_bytes - p->persistent_bytes, bytes);
        assert_true(p->hash != q->hash);
        assert_true(p->step_ps > q->step_ps); /* copies are paid for */
        planned_done(t);
        planned_done(u);
    }
}

static void next_group_comes_beside(void **state)
{
    (void)state;
    Case on = {.plan = "offload = optimizer", .ranks = 1, .micro_batch = 8};
    Case off = {.plan = "offload = optimizer\noverlap = off", .ranks = 1, .micro_batch = 8};
    Planned *t = begin(on), *u = begin(off);
    const Plan *p = make(t, on), *q = make(u, off);
    assert_int_equal(p->group.n, LAYERS + 1);
    assert_int_equal(asked_ahead(p), LAYERS);
    assert_int_equal(asked_ahead(q), 0);
    assert_true(p->exposed_ps < q->exposed_ps);
    assert_true(p->host_bytes > q->host_bytes);
    planned_done(t);
    planned_done(u);
}

/* ---- what it has to fit in ---- */

static Planned *begin_on(Case c, const char *machine, int64_t host_bytes)
{
    Planned *t = begin(c);
    Machine *m = arena_make(t->arena, Machine);
    *m = *machine_find(t->arena, machine, t->diag);
    m->host_bytes = host_bytes;
    t->machine = m;
    return t;
}

/* The bytes that are told where nothing fits. */
static int64_t least_told(const Planned *t)
{
    const char *at = strstr(t->text, "no plan fits: the least found needs ");
    if (!at)
        fail_msg("no least in: %s", t->text);
    return strtoll(strchr(at, '(') + 1, NULL, 10);
}

static void expect_words(const Planned *t, const char *words)
{
    if (!strstr(t->text, words))
        fail_msg("no '%s' in: %s", words, t->text);
}

static void a_cpu_has_one_memory(void **state)
{
    (void)state;
    for (int64_t ranks = 1; ranks <= 4; ranks *= 4) {
        Planned *t = begin((Case){.plan = "offload = optimizer"});
        Planned *u = begin((Case){.plan = "offload = none"});
        assert_null(planned_in(t, ranks, 0, 1 << 12));
        int64_t least = least_told(t);
        expect_words(t, " of what is offloaded, memory is 4.00 KiB");
        expect_words(t, ", on the host ");
        expect_words(t, "leave out `offload`, which makes no room where");
        Plan *p = planned_in(t, ranks, 0, least);
        assert_non_null(p);
        planned_verify(t, p);
        assert_true(p->host_bytes > 0 && p->arena_bytes + p->host_bytes <= least);
        assert_null(planned_in(t, ranks, 0, least - 1));
        assert_null(planned_in(u, ranks, 0, 1 << 12));
        assert_true(least_told(u) < least); /* it does make no room */
        for (int64_t memory = least; memory < 4 * least; memory += least / 3) {
            p = planned_in(t, ranks, 0, memory);
            assert_true(p && p->arena_bytes + p->host_bytes <= memory);
            for (int k = 0; k < p->tried.n; k++) {
                const Alternative *x = &p->tried.v[k];
                assert_int_equal(x->fits, x->arena_bytes + x->host_bytes <= memory);
            }
        }
        planned_done(t);
        planned_done(u);
    }
}

static void a_gpu_has_two(void **state)
{
    (void)state;
    const Case c = {.plan = "offload = optimizer"};
    Planned *t = begin_on(c, "h100-80g", 0);
    Plan *p = planned_in(t, 1, 32, PLENTY);
    int64_t arena = p->arena_bytes, host = p->host_bytes;
    assert_non_null(planned_in(t, 1, 32, arena)); /* how much the host has nobody knows */
    planned_done(t);
    t = begin_on(c, "h100-80g", host);
    p = planned_in(t, 1, 32, arena);
    assert_true(p && p->host_bytes <= host);
    planned_done(t);
    t = begin_on(c, "h100-80g", host - 1);
    assert_null(planned_in(t, 1, 16, PLENTY));
    assert_int_equal(least_told(t), host);
    expect_words(t, "help: or 2 ranks: each would need ");
    expect_words(t, ", of the host's memory ");
    assert_null(strstr(t->text, "accumulate = reduced"));
    expect_words(t, " of the host's memory, 'h100-80g' has ");
    expect_words(t, "`offload` for fewer units");
    assert_int_equal(t->diag->errors, 1);
    planned_done(t);
    t = begin_on(c, "h100-80g", host - 1);
    assert_null(planned_in(t, 1, 32, 1 << 12)); /* neither */
    expect_words(t, "memory is 4.00 KiB");
    expect_words(t, " of the host's memory too, 'h100-80g' has ");
    planned_done(t);
}

/* State in shards where the host has no room for all of it. */
static void levels_follow_the_host(void **state)
{
    (void)state;
    Planned *t = begin_on((Case){.plan = "zero = 0\noffload = optimizer"}, "h100-80g", 0);
    int64_t whole = planned_in(t, 4, 8, PLENTY)->host_bytes;
    planned_done(t);
    t = begin_on((Case){.plan = "zero = 0\noffload = optimizer"}, "h100-80g", whole - 1);
    assert_null(planned_in(t, 4, 8, PLENTY));
    planned_done(t);
    for (int k = 1; k <= 2; k++) { /* no room for the state; for it, and not for the update */
        int64_t host = k == 1 ? whole / 2 : whole - 1;
        t = begin_on((Case){.plan = "offload = optimizer"}, "h100-80g", host);
        Plan *p = planned_in(t, 4, 8, PLENTY);
        assert_true(p && p->host_bytes <= host);
        planned_verify(t, p);
        int too_large = 0;
        for (int i = 0; i < p->tried.n; i++) {
            const Alternative *x = &p->tried.v[i];
            assert_int_equal(x->fits, x->host_bytes <= host);
            too_large += !x->fits;
            assert_true(x->fits || strstr(x->why, " more than the host has"));
        }
        assert_int_equal(too_large > 0, k == 2); /* else they are not even planned */
        planned_done(t);
    }
}

/* From a plan of any level. */
static void what_persists_is_known_beforehand(void **state)
{
    (void)state;
    Planned *t = begin((Case){.plan = "offload h.1:3 = optimizer"});
    Ask q = planned_ask(t, 4, 0);
    Plan *p[N_LEVELS];
    for (int l = 0; l < N_LEVELS; l++) {
        Choice c = {.micro_batch = 8, .level = (Level)l, .lead = 1};
        p[l] = plan_one(&q, &c);
    }
    for (int l = 0; l < N_LEVELS; l++)
        for (int k = 0; k < N_LEVELS; k++) {
            assert_int_equal(plan_persistent(p[l], (Level)k, false), p[k]->persistent_bytes);
            assert_int_equal(plan_persistent(p[l], (Level)k, true), plan_host_kept(p[k]));
            assert_true(plan_host_kept(p[k]) > 0 && plan_host_kept(p[k]) < p[k]->host_bytes);
        }
    planned_done(t);
}

/* Adam's update on the host of a GPU: four reads and three writes of 4 bytes an element, at
 * the host's pace. */
static void updates_take_the_hosts_time(void **state)
{
    (void)state;
    Planned *t = begin_on((Case){.plan = "offload = optimizer"}, "h100-80g", 0);
    Plan *p = planned_in(t, 1, 32, PLENTY);
    const Machine *m = t->machine;
    int n = 0;
    for (int k = 0; k < p->step.n; k++) {
        const Step *s = &p->step.v[k];
        if (s->phase != PHASE_UPDATE || s->stream != STREAM_COMPUTE || s->group < 0)
            continue;
        int64_t bytes = 7 * 4 * own(p, &p->group.v[s->group]);
        int64_t least = bytes * 1000 / (m->host_memory_bytes_per_s / INT64_C(1000000000));
        if (s->ps < least || s->ps > least + least / 50 + m->launch_ps)
            fail_msg("%lld ps, at least %lld", (long long)s->ps, (long long)least);
        n++;
    }
    assert_int_equal(n, p->group.n);
    planned_done(t);
}

/* ---- what the verifier says ---- */

static int find_copy(const Plan *p, const char *what, int skip)
{
    for (int k = 0; k < p->step.n; k++)
        if (p->step.v[k].stream == STREAM_COPY && strcmp(p->step.v[k].what, what) == 0 && !skip--)
            return k;
    fail_msg("no copy of %s", what);
    return -1;
}

static void mistakes_are_caught(void **state)
{
    (void)state;
    Case c = {.plan = "zero = 1\noffload = optimizer", .ranks = 2, .micro_batch = 4};
    Planned *t = begin(c);
    Plan *p = make(t, c);
    Arena *a = t->arena;
    p->host_bytes -= ARENA_ALIGN;
    caught_in_file(a, p, "V13", "the host's buffers end at");
    p->host_bytes += ARENA_ALIGN;

    Buffer *b = &p->buffer.v[p->group.v[1].state[0]];
    b->host = false;
    caught_in_file(a, p, "V04", "not on the host");
    b->host = true;

    b = &p->buffer.v[p->group.v[1].host_grads];
    int64_t at = b->offset;
    b->offset = 0;
    caught_in_file(a, p, "V12", "among the host's");
    b->offset = p->buffer.v[p->group.v[1].host_params].offset;
    caught_in_file(a, p, "V11", "share bytes");
    b->offset = at;

    Step *back = &p->step.v[find_copy(p, "parameters from the host", 1)];
    int wait = back->wait[STREAM_COMPUTE];
    back->wait[STREAM_COMPUTE] = -1;
    caught_in_file(a, p, "V14", "no wait orders");
    back->wait[STREAM_COMPUTE] = wait;

    Operand from = back->arg[0];
    back->arg[0].buffer = p->group.v[back->group].host_grads; /* not what the update made */
    caught_in_file(a, p, "V07", "host_grads) to");
    back->arg[0] = from;
    back->arg[1].by_rank = 0; /* every rank into the first shard */
    caught_in_file(a, p, "V07", "not what a rank keeps");
    back->arg[1].by_rank = 4 * p->group.v[back->group].shard;
    passes(a, p);
    planned_done(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level),
        cmocka_unit_test(other_ways),
        cmocka_unit_test(device_has_less),
        cmocka_unit_test(next_group_comes_beside),
        cmocka_unit_test(mistakes_are_caught),
        cmocka_unit_test(a_cpu_has_one_memory),
        cmocka_unit_test(a_gpu_has_two),
        cmocka_unit_test(levels_follow_the_host),
        cmocka_unit_test(updates_take_the_hosts_time),
        cmocka_unit_test(what_persists_is_known_beforehand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
