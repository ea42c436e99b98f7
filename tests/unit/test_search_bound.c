/* test_search_bound.c - plans at random take no less time than the bound of their memory says: any
 * level for each unit, any blocks computed again, any lead and buckets, on links slow and fast,
 * within a node and beyond it. */
#include "tests/unit/planned.h"

#include "planner/search.h"

/* Parameters that weigh more than what is kept: memory decides about levels. */
#define MODEL                                                                                      \
    "block Layer() {\n"                                                                            \
    "  norm: RMSNorm(64)\n"                                                                        \
    "  a: Linear(64, 96)\n"                                                                        \
    "  b: Linear(64, 96)\n"                                                                        \
    "  c: Linear(96, 64)\n"                                                                        \
    "  d: Linear(64, 64)\n"                                                                        \
    "  forward(x: [T, 64]) {\n"                                                                    \
    "    y = norm(x)\n"                                                                            \
    "    return x + d(silu(c(a(y) * silu(b(y)))))\n"                                               \
    "  }\n"                                                                                        \
    "}\n"                                                                                          \
    "model M {\n"                                                                                  \
    "  wte: Embedding(64, 64)\n"                                                                   \
    "  h[12]: Layer()\n"                                                                           \
    "  forward(tokens: int[4], targets: int[4]) {\n"                                               \
    "    return cross_entropy(h(wte(tokens)) @ wte.weight', targets)\n"                            \
    "  }\n"                                                                                        \
    "}\n"                                                                                          \
    "train {\n  data = text(\"none\")\n  batch = 16\n  steps = 2\n"                                \
    "  optimizer = adamw(lr = 1e-3)\n  accumulate = %s\n}\n%s"

enum { BLOCKS = 12 };

static uint64_t roll_state;
static int roll(int n)
{
    roll_state = roll_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (int)((roll_state >> 33) % (uint64_t)n);
}

static const Machine *a_machine(Planned *t, const char *name)
{
    static const int64_t rate[] = {1000000, 30000000, 1000000000, 100000000000};
    Machine *m = arena_make(t->arena, Machine);
    *m = *machine_find(t->arena, name, t->diag);
    m->link[LINK_NODE] = (LinkCost){roll(3) * 1000000, rate[roll(4)]};
    m->link[LINK_NET] = (LinkCost){roll(3) * 4000000, rate[roll(4)]};
    m->ranks_per_node = 2 << roll(2);
    m->slow_compute_ppm = roll(2) * 400000;
    return m;
}

static Choice a_choice(Planned *t, int64_t most)
{
    const Graph *g = t->model->train.graph;
    Choice c = {.micro_batch = most >> roll(3), .lead = roll(4), .bucket_bytes = 4096 << roll(4)};
    c.micro_batch = max64(c.micro_batch, 1);
    Level *level = arena_array(t->arena, Level, BLOCKS + 1);
    int shards = roll(3); /* any levels, mostly 3, all blocks 3 */
    for (int k = 0; k <= BLOCKS; k++)
        level[k] = shards == 2         ? (k ? LEVEL_3 : LEVEL_2)
                   : shards && roll(4) ? LEVEL_3
                                       : (Level)roll(N_LEVELS);
    c.levels = level;
    c.n_levels = BLOCKS + 1;
    c.lead = shards == 2 ? 1 : c.lead;
    c.recompute = shards == 2 ? RECOMPUTE_ALL
                  : roll(3)   ? RECOMPUTE_AUTO
                  : roll(2)   ? RECOMPUTE_ALL
                              : RECOMPUTE_NONE;
    const uint64_t **kept = arena_array(t->arena, const uint64_t *, g->instance.n);
    for (int k = 1; k < g->instance.n && c.recompute == RECOMPUTE_AUTO; k++) {
        uint64_t *set = arena_make(t->arena, uint64_t);
        *set = roll(2) ? (uint64_t)roll(64) : UINT64_MAX;
        kept[k] = g->instance.v[k].unit == k ? set : NULL;
    }
    c.kept = kept;
    return c;
}

/* How near the bound comes to the best of the plans, in thousandths. */
static int64_t check_plans(const char *text, const char *machine, int64_t ranks, int plans)
{
    Planned *t = planned_model(text, machine);
    int64_t nearest = 0;
    for (int i = 0; i < plans; i++) {
        t->machine = a_machine(t, machine);
        Ask q = planned_ask(t, ranks, INT64_C(1) << 40);
        Choice c = a_choice(t, 16 / ranks);
        Plan *p = plan_one(&q, &c);
        assert_int_equal(p->group.n, BLOCKS + 1);
        int64_t memory = machine_taken(t->machine, p->arena_bytes, p->host_bytes);
        Plan *ours = planned_in(t, ranks, roll(4) ? c.micro_batch : 0, memory);
        if (!ours) /* a plan that a search does not look at */
            continue;
        if (ours->bounds.lower_ps > p->step_ps || ours->bounds.refuted)
            fail_msg("plan %d: %lld ps in %lld bytes on %lld ranks, none is said to take less than "
                     "%lld",
                     i, (long long)p->step_ps, (long long)memory, (long long)ranks,
                     (long long)ours->bounds.lower_ps);
        nearest = max64(nearest, ours->bounds.lower_ps * 1000 / p->step_ps);
    }
    planned_done(t);
    return nearest;
}

static void no_plan_is_faster(void **state)
{
    (void)state;
    static const struct {
        const char *accumulate, *more, *machine;
        int64_t ranks;
    } row[] = {{"local", "", "cpu", 2},
               {"local", "", "h100-80g", 4},
               {"reduced", "", "cpu", 4},
               {"local", "plan {\n  offload h.* = optimizer\n}\n", "cpu", 2},
               {"local", "plan {\n  offload * = optimizer\n}\n", "h100-80g", 8},
               {"local\n  freeze h.1 = true\n  freeze h.3 = true", "", "cpu", 4}};
#ifdef __SANITIZE_ADDRESS__
    enum { PLANS = 2 };
#else
    enum { PLANS = 10 };
#endif
    for (int i = 0; i < countof(row); i++) {
        Arena *a = arena_new();
        roll_state = (uint64_t)i;
        const char *text = arena_printf(a, MODEL, row[i].accumulate, row[i].more);
        int64_t near = check_plans(text, row[i].machine, row[i].ranks, PLANS);
        print_message("row %d: the nearest plan takes 1000/%lld of its bound\n", i,
                      (long long)near);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_plan_is_faster)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
