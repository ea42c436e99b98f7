/* The verifier on many ranks, piece by piece: which uses meet, what follows from times and bounds,
 * what the hash covers, and edits that leave a plan right. */
#include "planner/comm.h"
#include "planner/verify/table.h"
#include "tests/mutate/grid.h"
#include "tests/mutate/mutant.h"

/* ---- do two uses meet? ---- */

static int missing; /* fields that the hash does not cover */

static uint64_t next(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

/* Byte by byte, on every rank. */
static bool meet_slowly(const Table *t, const Use *x, const Use *y)
{
    for (int64_t q = 0; q < t->shared_by; q++)
        for (int64_t i = 0; i < x->parts; i++)
            for (int64_t k = 0; k < y->parts; k++) {
                int64_t a = x->lo + q * x->by_rank + i * x->gap,
                        b = y->lo + q * y->by_rank + k * y->gap;
                if (a < b + (y->end - y->lo) && b < a + (x->end - x->lo))
                    return true;
            }
    return false;
}

static Use a_use(uint64_t *seed, const Table *t, int64_t row, bool whole)
{
    Use u = {.parts = 1};
    u.lo = (int64_t)(next(seed) % 40);
    u.end = u.lo + 1 + (int64_t)(next(seed) % 9);
    if (whole) {
        u.parts = t->shared_by;
        u.gap = row;
    } else if (next(seed) % 2) {
        u.by_rank = next(seed) % 3 ? row : (int64_t)(next(seed) % 20);
    }
    return u;
}

static void uses(void **state)
{
    (void)state;
    TableBuffer buffer = {.bytes = 1000};
    int met = 0, all = 0;
    for (uint64_t i = 1; i <= 40000; i++) {
        uint64_t seed = i * 0x9E3779B97F4A7C15u;
        Table t = {.shared_by = 1 + (int64_t)(next(&seed) % 5), .buffer = &buffer};
        int64_t row = 8 + (int64_t)(next(&seed) % 12);
        Use x = a_use(&seed, &t, row, next(&seed) % 3 == 0),
            y = a_use(&seed, &t, row, next(&seed) % 3 == 0);
        bool want = meet_slowly(&t, &x, &y);
        met += want;
        all++;
        assert_int_equal(uses_meet(&t, &x, &y, false), want);
        assert_int_equal(uses_meet(&t, &y, &x, true), want);
    }
    assert_true(met > all / 5 && met < all * 4 / 5);
}

/* ---- a plan to change ---- */

static const GridPlan base = {
    .sample = "tiny", .ranks = 4, .micro = 1, .batch = 12, .zero = -2, .lead = 1, .again = true};

static const char *told(Arena *a, Plan *p)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    bool ok = plan_verify(p, diag_new(a, sources_new(a), out));
    fclose(out);
    char *copy = arena_strdup(a, text);
    free(text);
    assert_int_equal(ok, !*copy);
    return copy;
}

static Plan *base_plan(Arena *a)
{
    Diag *d = diag_new(a, sources_new(a), stderr);
    Plan *p = grid_plan(a, &base, d);
    assert_non_null(p);
    assert_true(plan_verify(p, d));
    return p;
}

/* ---- V24: times ---- */

/* Two kernels and a gather on the side, by hand. */
static void times(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = base_plan(a);
    assert_true(p->step_ps > 0 && p->exposed_ps > 0 && p->exposed_ps < p->step_ps);
    for (int i = 0; i < p->step.n; i += 7) {
        if (p->step.v[i].program != PROGRAM_TRAIN)
            continue;
        p->step.v[i].ps += 1000000000000;
        assert_non_null(strstr(told(a, p), "V24 cost-replay: the steps of train take"));
        p->step.v[i].ps -= 1000000000000;
    }
    assert_string_equal(told(a, p), "");
    arena_free(a);
}

/* ---- V25: a bound ---- */

static void bounds(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = base_plan(a);
    /* two classes, 3 and 2 units: at 7/2 ps a byte the least are 10 + 4 * 7/2 = 24 and
     * min(100, 8 + 20 * 7/2 = 78); 1000 + 3 * 24 + 2 * 78 - (900 - 800) * 7/2 = 878 */
    static const BoundOption option[] = {
        {0, 3, 10, 4}, {0, 3, 30, 0}, {1, 2, 100, 0}, {1, 2, 8, 20}};
    Bounds b = {.lambda_num = 7,
                .lambda_den = 2,
                .fixed_ps = 1000,
                .fixed_bytes = 800,
                .capacity = 900,
                .lower_ps = 878};
    for (int i = 0; i < countof(option); i++)
        vec_push(a, &b.option, option[i]);
    p->bounds = b;
    p->hash = plan_hash(p);
    assert_string_equal(told(a, p), "");
    p->bounds.lower_ps = 879;
    assert_non_null(strstr(told(a, p), "V25 bound-replay: the bound's parts prove 878 ps"));
    p->bounds.lower_ps = 877;
    assert_non_null(strstr(told(a, p), "V25 bound-replay"));
    p->bounds.lower_ps = 878;
    p->bounds.capacity = 901; /* 874.5: the whole picosecond below */
    p->bounds.lower_ps = 874;
    assert_string_equal(told(a, p), "");
    p->bounds.option.v[1].count = 2;
    assert_non_null(strstr(told(a, p), "options of class 0 are for 3 and for 2 units"));
    p->bounds.option.v[1].count = 3;
    p->bounds.fixed_ps = p->step_ps + 1000;
    p->bounds.lower_ps = p->step_ps + 874;
    assert_non_null(strstr(told(a, p), "no plan is said to be faster than"));
    arena_free(a);
}

/* ---- V08: evaluation where the number of ranks must not matter ---- */

static int steps_of(const Plan *p, KernelKind kind)
{
    int n = 0;
    for (int i = 0; i < p->step.n; i++)
        n += p->step.v[i].program == PROGRAM_EVAL && p->step.v[i].kernel->kind == kind;
    return n;
}

static void evaluation(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), stderr);
    int64_t micro = 0;
    for (int64_t ranks = 1; ranks <= 8; ranks *= 2) {
        GridPlan g = {.sample = "tiny", .ranks = ranks, .micro = 3, .batch = 48, .lead = -1};
        Plan *ordered = grid_plan(a, &g, d);
        g.invariant = true;
        Plan *p = grid_plan(a, &g, d);
        assert_true(ordered && p && plan_verify(ordered, d) && plan_verify(p, d));
        assert_int_equal(steps_of(p, K_EXACT_SUM), 1);
        assert_int_equal(steps_of(p, K_EXACT_TOTAL), 1);
        assert_int_equal(steps_of(p, K_ALL_REDUCE), ranks > 1);
        assert_int_equal(steps_of(ordered, K_EXACT_SUM) + steps_of(ordered, K_EXACT_TOTAL), 0);
        micro = micro ? micro : p->program[PROGRAM_EVAL].micro_batch;
        assert_int_equal(p->program[PROGRAM_EVAL].micro_batch, micro);
        ordered->invariant = true;
        for (int i = 0; i < ordered->kernel.n; i++)
            ordered->kernel.v[i]->coll.tree = true;
        ordered->hash = plan_hash(ordered);
        assert_non_null(strstr(told(a, ordered), "V08 grad-once: 'loss' is what step"));
    }
    arena_free(a);
}

/* ---- V23: the hash ---- */

#define CHANGED(what, by)                                                                          \
    do {                                                                                           \
        (what) += (by);                                                                            \
        if (plan_hash(p) == was)                                                                   \
            printf("the hash does not cover %s\n", #what), missing++;                              \
        (what) -= (by);                                                                            \
        assert_true(plan_hash(p) == was);                                                          \
    } while (0)
#define FLIPPED(what)                                                                              \
    do {                                                                                           \
        (what) = !(what);                                                                          \
        if (plan_hash(p) == was)                                                                   \
            printf("the hash does not cover %s\n", #what), missing++;                              \
        (what) = !(what);                                                                          \
    } while (0)

static void hash_steps(Arena *a, Plan *p, uint64_t was)
{
    for (int i = 0; i < p->step.n; i += 11) {
        Step *s = &p->step.v[i];
        CHANGED(s->arg[0].buffer, 1);
        CHANGED(s->arg[0].offset, 64);
        CHANGED(s->arg[0].by_rank, 64);
        for (int k = 0; k < N_STREAMS; k++)
            CHANGED(s->wait[k], 1);
        CHANGED(s->region, 1);
        FLIPPED(s->anew);
        s->when = (When)(s->when ^ 1);
        assert_true(plan_hash(p) != was);
        s->when = (When)(s->when ^ 1);
        s->stream = (Stream)(s->stream ^ 1);
        assert_true(plan_hash(p) != was);
        s->stream = (Stream)(s->stream ^ 1);
        const Kernel *k = s->kernel;
        s->kernel = p->kernel.v[(k->id + 1) % p->kernel.n];
        Operand *arg = s->arg; /* as many as the other kernel has */
        s->arg = arena_array(a, Operand, countof(k->arg_dtype));
        assert_true(plan_hash(p) != was);
        s->kernel = k;
        s->arg = arg;
    }
}

static void hash(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = base_plan(a);
    uint64_t was = plan_hash(p);
    assert_true(was == p->hash);
    CHANGED(p->ranks, 1);
    CHANGED(p->shared_by, 1);
    CHANGED(p->micro_batch, 1);
    CHANGED(p->rounds, 1);
    CHANGED(p->arena_bytes, 64);
    FLIPPED(p->reduced);
    FLIPPED(p->invariant);
    hash_steps(a, p, was);
    for (int i = 0; i < p->buffer.n; i += 5) {
        CHANGED(p->buffer.v[i].offset, 64);
        CHANGED(p->buffer.v[i].bytes, 4);
        FLIPPED(p->buffer.v[i].host);
        FLIPPED(p->buffer.v[i].sharded);
    }
    for (int i = 0; i < p->group.n; i++) {
        FlatGroup *g = &p->group.v[i];
        CHANGED(g->shard, 1);
        CHANGED(g->used, 1);
        CHANGED(g->at[0], 1);
        CHANGED(g->params, 1);
        FLIPPED(g->offload);
    }
    for (int i = 0; i < p->kernel.n; i++) {
        Kernel *k = p->kernel.v[i];
        CHANGED(k->hash, 1);
        for (int j = 0; j < k->coll.n_segment; j++) {
            CHANGED(k->coll.segment[j].elems, 1);
            CHANGED(k->coll.segment[j].stride, 1);
        }
        CHANGED(k->coll.chunk, 1);
        FLIPPED(k->coll.accumulates);
        FLIPPED(k->coll.tree);
    }
    for (int g = 0; g < N_PROGRAMS; g++) {
        CHANGED(p->program[g].norm.offset, 4);
        CHANGED(p->program[g].logits.offset, 4);
        CHANGED(p->program[g].region_samples, 1);
        CHANGED(p->program[g].region_parts, 1);
    }
    for (int i = 0; i < p->term.n; i++) {
        CHANGED(p->term.v[i].num.offset, 4);
        CHANGED(p->term.v[i].den.offset, 4);
    }
    assert_int_equal(missing, 0);
    arena_free(a);
}

/* ---- legal edits ---- */

static bool independent(const Plan *p, const Step *s, const Step *t)
{
    for (int i = 0; i < s->kernel->n_arg; i++)
        for (int k = 0; k < t->kernel->n_arg; k++) {
            const Buffer *x = &p->buffer.v[s->arg[i].buffer], *y = &p->buffer.v[t->arg[k].buffer];
            bool writes = s->kernel->arg_written[i] || t->kernel->arg_written[k];
            if (writes && x->host == y->host && x->offset < y->offset + round_up(y->bytes, 64) &&
                y->offset < x->offset + round_up(x->bytes, 64))
                return false;
        }
    return true;
}

/* A wait more; memory kept longer where nobody else uses it; steps that have nothing to do with
 * each other in the other order; everything 64 bytes further on. */
static bool edit(Mutant *m, int how)
{
    Plan *p = m->p;
    int at = 1 + mutant_roll(m, p->step.n - 2);
    for (int n = 0; n < p->step.n - 2; n++, at = 1 + at % (p->step.n - 2)) {
        Step *s = &p->step.v[at], *t = s + 1, *w = s - 1;
        bool same = s->program == t->program && s->phase == t->phase && w->phase == s->phase &&
                    at + 2 < p->step.n && t[1].phase == t->phase; /* not at a loop's border */
        if (how == 0 && w->stream != s->stream && w->phase == s->phase && !s->region &&
            !w->region && w->program == s->program && s->wait[w->stream] < w->id) {
            s->wait[w->stream] = w->id;
            return true;
        }
        if (how == 1 && same && !s->region && !t->region && independent(p, s, t)) {
            mutant_move(m, at + 1, at);
            mutant_waits(m);
            return true;
        }
    }
    if (how == 2) {
        for (int i = 0; i < p->buffer.n; i++)
            if (!p->buffer.v[i].persistent && !p->buffer.v[i].host)
                p->buffer.v[i].offset += ARENA_ALIGN * (1 + mutant_roll(m, 1));
        return true;
    }
    return false;
}

static void legal_edits(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = base_plan(a);
    const uint64_t *origins = plan_origins(a, p);
    int done[3] = {0};
    for (int seed = 0; seed < 210; seed++) {
        Arena *b = arena_new();
        Mutant m = {.a = b, .p = mutant_copy(b, p), .seed = (uint64_t)seed * 77 + 1};
        if (edit(&m, seed % 3)) {
            mutant_bytes(&m);
            mutant_times(&m);
            m.p->hash = plan_hash(m.p);
            const char *t = told(b, m.p);
            Diag *d = diag_new(b, sources_new(b), stderr);
            if (*t || (m.was && !plan_verify_order(m.p, m.was, origins, d)))
                fail_msg("edit %d, seed %d: %s", seed % 3, seed, t);
            done[seed % 3]++;
        }
        arena_free(b);
    }
    printf("legal edits: %d waits, %d moved steps, %d moved places\n", done[0], done[1], done[2]);
    assert_true(done[0] + done[1] + done[2] >= 200);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses),       cmocka_unit_test(times), cmocka_unit_test(bounds),
        cmocka_unit_test(evaluation), cmocka_unit_test(hash),  cmocka_unit_test(legal_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
