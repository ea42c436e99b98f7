/* Timelines of hand-made plans, and of random ones against a clock that ticks every picosecond. */
#include "planner/simulate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

typedef struct Hand {
    Arena *a;
    Plan *p;
    Machine m;
} Hand;

static Hand hand_new(int64_t rounds)
{
    Hand h = {.a = arena_new()};
    h.p = arena_make(h.a, Plan);
    h.p->arena = h.a;
    h.p->rounds = rounds;
    h.p->program[PROGRAM_TRAIN] =
        (ProgramPlan){.present = true, .micro_batch = 1, .rounds = rounds};
    return h;
}

/* A step at the end of the plan; phases come in order. */
static Step *hand_step(Hand *h, Phase f, Stream x, int64_t ps)
{
    Step s = {.id = h->p->step.n, .phase = f, .stream = x, .ps = ps, .wait = {-1, -1, -1}};
    ProgramPlan *g = &h->p->program[PROGRAM_TRAIN];
    if (!g->count[f]++)
        g->first[f] = s.id;
    vec_push(h->a, &h->p->step, s);
    return &h->p->step.v[s.id];
}

static Timeline hand_run(Hand *h)
{
    return simulate(h->a, &h->m, h->p, PROGRAM_TRAIN);
}

static void one_stream_adds_up(void **state)
{
    (void)state;
    Hand h = hand_new(7);
    hand_step(&h, PHASE_PRE, STREAM_COMPUTE, 5);
    hand_step(&h, PHASE_WEIGHT, STREAM_COMPUTE, 11);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 100);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 0);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 30)->when = WHEN_LAST;
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 9)->when = WHEN_FIRST;
    hand_step(&h, PHASE_UPDATE, STREAM_COMPUTE, 1000);
    Timeline t = hand_run(&h);
    assert_int_equal(t.step_ps, 5 + 7 * 11 + 7 * 100 + 30 + 9 + 1000);
    assert_int_equal(t.exposed_ps, 0);
    assert_int_equal(t.busy_ps[STREAM_COMPUTE], t.step_ps);
    assert_int_equal(t.phase_ps[PHASE_WEIGHT], 77);
    assert_int_equal(t.phase_ps[PHASE_ROUND], 739);
    assert_int_equal(t.start[2], 5 + 77 + 609); /* of the last round */
    assert_int_equal(t.end[3], 5 + 77 + 709);
    assert_int_equal(t.start[4], 5 + 77 + 709);
    assert_int_equal(t.start[5], -1); /* not in the last round */
    assert_int_equal(t.start[6], t.step_ps - 1000);
    arena_free(h.a);
}

/* A gather behind the first kernel, a reduction that outlasts the last. */
static void waits_and_the_barrier(void **state)
{
    (void)state;
    Hand h = hand_new(1);
    hand_step(&h, PHASE_ROUND, STREAM_COMM, 300);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 100);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 50)->wait[STREAM_COMM] = 0;
    hand_step(&h, PHASE_ROUND, STREAM_COMM, 400)->wait[STREAM_COMPUTE] = 2;
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 60);
    hand_step(&h, PHASE_UPDATE, STREAM_COMPUTE, 10);
    Timeline t = hand_run(&h);
    assert_int_equal(t.start[1], 0);
    assert_int_equal(t.start[2], 300);
    assert_int_equal(t.start[3], 350);
    assert_int_equal(t.start[4], 350);
    assert_int_equal(t.end[3], 750);
    assert_int_equal(t.start[5], 750);
    assert_int_equal(t.step_ps, 760);
    assert_int_equal(t.exposed_ps, 760 - 100 - 50 - 60 - 10);
    assert_int_equal(t.busy_ps[STREAM_COMM], 700);
    arena_free(h.a);
}

static void a_region_ends_as_a_whole(void **state)
{
    (void)state;
    Hand h = hand_new(1);
    for (int i = 0; i < 3; i++)
        hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 100)->region = 1;
    hand_step(&h, PHASE_ROUND, STREAM_COMM, 10)->wait[STREAM_COMPUTE] = 0;
    assert_int_equal(hand_run(&h).start[3], 300);
    h.p->step.v[0].region = 0;
    assert_int_equal(hand_run(&h).start[3], 100);
    arena_free(h.a);
}

static void collectives_slow_compute_down(void **state)
{
    (void)state;
    Hand h = hand_new(1);
    h.m.slow_compute_ppm = 250000;
    hand_step(&h, PHASE_ROUND, STREAM_COMM, 400);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 1000);
    Timeline t = hand_run(&h);
    assert_int_equal(t.end[1], 400 + (1000 - 320)); /* 400 / 1.25 were done meanwhile */
    assert_int_equal(t.end[0], 400);
    h.p->step.v[1].ps = 321; /* 1 is left after 400 */
    assert_int_equal(hand_run(&h).end[1], 401);
    h.p->step.v[1].ps = 319; /* 398.75 */
    assert_int_equal(hand_run(&h).end[1], 399);
    h.p->step.v[0].stream = STREAM_COPY; /* copies do not */
    h.p->step.v[1].ps = 1000;
    assert_int_equal(hand_run(&h).end[1], 1000);
    arena_free(h.a);
}

/* ---- random plans ---- */

static uint64_t next_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

static int roll(uint64_t *s, int n)
{
    return (int)(next_random(s) % (uint64_t)n);
}

static Hand random_plan(uint64_t *seed, bool slow)
{
    Hand h = hand_new(1 + roll(seed, 5));
    h.m.slow_compute_ppm = slow ? 1 + roll(seed, 900000) : 0;
    for (int f = 0; f < N_PHASES; f++)
        for (int n = roll(seed, 9), from = h.p->step.n; n > 0; n--) {
            Step *s =
                hand_step(&h, (Phase)f, (Stream)roll(seed, N_STREAMS), (int64_t)roll(seed, 40));
            if (f == PHASE_ROUND || f == PHASE_WEIGHT)
                s->when = (When)roll(seed, N_WHEN);
            for (int x = 0; x < N_STREAMS; x++)
                for (int k = s->id - 1, want = roll(seed, 6); k >= from && want > 0; k--, want--)
                    if (h.p->step.v[k].stream == (Stream)x && x != (int)s->stream)
                        s->wait[x] = k;
        }
    return h;
}

typedef struct Clock { /* the oracle: one run of a phase */
    const Hand *h;
    int64_t now, busy[N_STREAMS];
    int64_t *start, *end;
    bool done[64];
    int at[N_STREAMS];
    int64_t left[N_STREAMS];
} Clock;

static bool clock_runs(const Step *s, int64_t round, int64_t rounds)
{
    return s->when == WHEN_ALWAYS || (s->when == WHEN_FIRST && round == 0) ||
           (s->when == WHEN_LAST && round == rounds - 1);
}

/* A stream passes over the steps that do not run, in its order. */
static bool clock_may_start(const Clock *c, const Step *s, int first)
{
    for (int k = first; k < s->id; k++) {
        Stream x = c->h->p->step.v[k].stream;
        if (k <= s->wait[x] && !c->done[k])
            return false;
    }
    return true;
}

/* Ends and starts what can be at this instant; true: something did. */
static bool clock_instant(Clock *c, int x, int first, int last, int64_t scale)
{
    if (c->at[x] >= 0 && c->left[x] <= 0) {
        c->end[c->at[x]] = c->now;
        c->done[c->at[x]] = true;
        c->at[x] = -1;
        return true;
    }
    int k = first;
    while (k < last && (c->done[k] || c->h->p->step.v[k].stream != (Stream)x))
        k++;
    if (c->at[x] >= 0 || k == last || !clock_may_start(c, &c->h->p->step.v[k], first))
        return false;
    c->at[x] = k;
    c->left[x] = c->h->p->step.v[k].ps * scale;
    c->start[k] = c->now;
    return true;
}

static void clock_run(Clock *c, Phase f, int64_t round, int64_t rounds)
{
    const ProgramPlan *g = &c->h->p->program[PROGRAM_TRAIN];
    int first = g->first[f], last = first + g->count[f];
    int64_t slow = c->h->m.slow_compute_ppm, scale = 1000000 + slow;
    for (int k = first; k < last; k++) {
        c->done[k] = !clock_runs(&c->h->p->step.v[k], round, rounds);
        c->start[k] = c->end[k] = -1;
    }
    for (;;) {
        int busy = 0;
        for (bool any = true; any;) {
            any = false;
            for (int x = 0; x < N_STREAMS; x++)
                any |= clock_instant(c, x, first, last, scale);
        }
        for (int x = 0; x < N_STREAMS; x++)
            busy += c->at[x] >= 0;
        if (!busy)
            return;
        for (int x = 0; x < N_STREAMS; x++)
            if (c->at[x] >= 0) {
                bool slowed = x == STREAM_COMPUTE && c->at[STREAM_COMM] >= 0;
                c->left[x] -= slowed ? 1000000 : scale;
                c->busy[x]++;
            }
        c->now++;
    }
}

static void against_the_clock(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 400; i++) {
        Hand h = random_plan(&seed, i % 2);
        Timeline t = hand_run(&h);
        Clock c = {.h = &h, .at = {-1, -1, -1}};
        c.start = arena_array(h.a, int64_t, 64);
        c.end = arena_array(h.a, int64_t, 64);
        for (int f = 0; f < N_PHASES; f++) {
            bool loop = f == PHASE_ROUND || f == PHASE_WEIGHT;
            int64_t rounds = loop ? h.p->rounds : 1;
            for (int64_t r = 0; r < rounds; r++)
                clock_run(&c, (Phase)f, r, rounds);
        }
        assert_int_equal(t.step_ps, c.now);
        assert_int_equal(t.exposed_ps, c.now - c.busy[STREAM_COMPUTE]);
        for (int x = 0; x < N_STREAMS; x++)
            assert_int_equal(t.busy_ps[x], c.busy[x]);
        for (int k = 0; k < h.p->step.n; k++) {
            assert_int_equal(t.start[k], c.start[k]);
            assert_int_equal(t.end[k], c.end[k]);
        }
        arena_free(h.a);
    }
}

/* Without slowing, a longer step or one more wait never makes a program shorter. */
static void longer_steps_take_longer(void **state)
{
    (void)state;
    uint64_t seed = 99;
    for (int i = 0; i < 300; i++) {
        Hand h = random_plan(&seed, false);
        int64_t before = hand_run(&h).step_ps;
        if (h.p->step.n) {
            Step *s = &h.p->step.v[roll(&seed, h.p->step.n)];
            int64_t more = roll(&seed, 50);
            s->ps += more;
            int64_t after = hand_run(&h).step_ps;
            assert_true(after >= before && after <= before + more * h.p->rounds);
            s->ps -= more;
            for (int x = 0; x < N_STREAMS; x++)
                s->wait[x] = -1;
            assert_true(hand_run(&h).step_ps <= before);
        }
        before = hand_run(&h).step_ps;
        h.m.slow_compute_ppm = 300000;
        assert_true(hand_run(&h).step_ps >= before);
        arena_free(h.a);
    }
}

/* The plan's waits given as dependencies, and further ones that say nothing new. */
static void dependencies_are_waits(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < 200; i++) {
        Hand h = random_plan(&seed, i % 2);
        int n = h.p->step.n, total = 0;
        int *first = arena_array(h.a, int, n + 2), *on = arena_array(h.a, int, 1 + n * (n + 3));
        for (int k = 0; k < n; k++) {
            first[k] = total;
            const Step *s = &h.p->step.v[k];
            for (int x = 0; x < N_STREAMS; x++)
                if (s->wait[x] >= 0)
                    on[total++] = s->wait[x];
            for (int j = 0; j < n; j++) { /* own stream, other phases, later steps */
                const Step *t = &h.p->step.v[j];
                if (j > k || t->phase != s->phase || t->stream == s->stream)
                    on[total++] = j;
            }
        }
        first[n] = total;
        Timeline plan = hand_run(&h);
        Timeline free = simulate_free(h.a, &h.m, h.p, PROGRAM_TRAIN, &(Depends){first, on});
        assert_int_equal(free.step_ps, plan.step_ps);
        assert_int_equal(free.exposed_ps, plan.exposed_ps);
        assert_memory_equal(free.start, plan.start, (size_t)n * sizeof *free.start);
        memset(first, 0, (size_t)(n + 1) * sizeof *first);
        Timeline none = simulate_free(h.a, NULL, h.p, PROGRAM_TRAIN, &(Depends){first, on});
        assert_true(none.step_ps <= plan.step_ps);
        arena_free(h.a);
    }
}

/* A million rounds cost as much as three. */
static void rounds_are_not_walked(void **state)
{
    (void)state;
    Hand h = hand_new(INT64_C(1) << 40);
    hand_step(&h, PHASE_ROUND, STREAM_COMPUTE, 3);
    hand_step(&h, PHASE_ROUND, STREAM_COMM, 5)->when = WHEN_LAST;
    Timeline t = hand_run(&h);
    assert_int_equal(t.step_ps, (INT64_C(3) << 40) + 2);
    assert_int_equal(t.start[1], INT64_C(3) * ((INT64_C(1) << 40) - 1));
    arena_free(h.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_stream_adds_up),       cmocka_unit_test(waits_and_the_barrier),
        cmocka_unit_test(a_region_ends_as_a_whole), cmocka_unit_test(collectives_slow_compute_down),
        cmocka_unit_test(against_the_clock),        cmocka_unit_test(longer_steps_take_longer),
        cmocka_unit_test(dependencies_are_waits),   cmocka_unit_test(rounds_are_not_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
