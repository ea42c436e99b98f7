/* Collectives among ranks that are threads of this process: bits equal a plain sum in the order of
 * ranks (or along the tree), for worlds, groups, chunks and segments of many sizes; what is sent is
 * what the formulas say. */
#include "tests/unit/rt_fixture.h"

#include "runtime/comm_private.h"
#include "tests/unit/threads_transport.h"

enum { SEGMENTS = 3, ARENA = 1 << 16, MOST_ELEMS = 700 };

typedef struct job {
    int ranks;
    int64_t k, chunk;
    bmrt_op_kind kind;
    bool tree, accumulates, in_place;
    int rounds;
} job;

typedef struct rank_job {
    const job *j;
    seat *seat;
    int rank;
    real *arena;
    BmStatus status;
    bmrt_error error;
    int64_t sent;
} rank_job;

static const int64_t elems[SEGMENTS] = {MOST_ELEMS, 1, 256};

/* Where things are, in elements: the wholes, the shards, the staging memory. */
static int64_t whole_at(int s, int64_t k)
{
    int64_t at = 0;
    for (int i = 0; i < s; i++)
        at += (elems[i] + 5 * (i != 1)) * k;
    return at;
}

static int64_t shard_at(int s, const job *j)
{
    int64_t at = whole_at(SEGMENTS, j->k);
    for (int i = 0; i < s; i++)
        at += elems[i];
    return at;
}

static int64_t staging_at(const job *j)
{
    return shard_at(SEGMENTS, j);
}

/* Of very different sizes, so that another order gives other bits. */
static real first_value(int rank, int round, int64_t i)
{
    bmrt_words w = bmrt_philox(11, (uint64_t)i, (uint64_t)(rank * 16 + round));
    real v = (real)((double)w.w[0] / 4294967296.0 - 0.5);
    return w.w[1] % 3 == 0 ? v * 1000 : v;
}

static void fill(const job *j, int rank, int round, real *whole)
{
    for (int64_t i = 0; i < whole_at(SEGMENTS, j->k); i++)
        whole[i] = first_value(rank, round, i);
}

static void make_segments(const job *j, bmrt_segment *g)
{
    for (int s = 0; s < SEGMENTS; s++) {
        int64_t whole = whole_at(s, j->k) * (int64_t)sizeof(real) / BMRT_SCALE;
        int64_t stride = elems[s] + 5 * (s != 1);
        g[s] = (bmrt_segment){.whole = {.offset = whole}, .elems = elems[s], .stride = stride};
        if (j->in_place)
            g[s].shard = (bmrt_place){.offset = whole,
                                      .by_rank = stride * (int64_t)sizeof(real) / BMRT_SCALE};
        else
            g[s].shard.offset = shard_at(s, j) * (int64_t)sizeof(real) / BMRT_SCALE;
    }
}

static BmStatus run_rounds(bmrt_comm *c, rank_job *r, const bmrt_op *op, const bmrt_model *m)
{
    const job *j = r->j;
    bmrt pub = {.arena = (char *)r->arena, .rank = r->rank, .ranks = j->ranks};
    pub.shard = r->rank % j->k;
    BmStatus s = bmrt_comm_prepare(c, m, &r->error);
    for (int round = 0; round < j->rounds && s == BMRT_OK; round++) {
        fill(j, r->rank, round, r->arena);
        s = bmrt_comm_op(c, &pub, op, round == 0, &r->error);
    }
    r->sent = c->sent[j->kind];
    return s;
}

static void *rank_main(void *arg)
{
    rank_job *r = arg;
    const job *j = r->j;
    bmrt_debug debug = {.timeout = 60};
    bmrt_segment g[SEGMENTS];
    make_segments(j, g);
    bmrt_op op = {.step = 1, .kind = j->kind, .path = "all", .segment = g, .n_segment = SEGMENTS};
    op.staging = staging_at(j) * (int64_t)sizeof(real) / BMRT_SCALE;
    op.chunk = j->chunk;
    op.tree = j->tree;
    op.accumulates = j->accumulates;
    bmrt_ops phase[BMRT_PHASES] = {{&op, 1}};
    bmrt_model m = {.ranks = j->ranks, .shared_by = j->k, .train = {.comm = phase}};
    bmrt_comm *c;
    r->status = bmrt_comm_create(&c, &r->seat->table, &debug, &r->error);
    if (r->status == BMRT_OK) {
        r->status = run_rounds(c, r, &op, &m);
        bmrt_comm_destroy(c);
    }
    return NULL;
}

/* ---- what it must be */

static real tree_of(const real *v, int n)
{
    if (n == 1)
        return v[0];
    int left = 1;
    while (left * 2 < n)
        left *= 2;
    return tree_of(v, left) + tree_of(v + left, n - left);
}

static real sum_of(const job *j, int round, int64_t i)
{
    real v[MOST_RANKS] = {0}, sum;
    for (int r = 0; r < j->ranks; r++)
        v[r] = first_value(r, round, i);
    if (j->tree)
        return tree_of(v, j->ranks);
    sum = v[0];
    for (int r = 1; r < j->ranks; r++)
        sum += v[r];
    return sum;
}

static real reduced(const job *j, int64_t i)
{
    real sum = sum_of(j, 0, i);
    for (int round = 1; round < j->rounds; round++)
        sum = j->accumulates ? sum + sum_of(j, round, i) : sum_of(j, round, i);
    return sum;
}

static int compare(const job *j, const rank_job *r)
{
    int wrong = 0;
    for (int s = 0; s < SEGMENTS; s++) {
        int64_t stride = elems[s] + 5 * (s != 1), q = r->rank % j->k;
        const real *whole = r->arena + whole_at(s, j->k);
        const real *shard = j->in_place ? whole + q * stride : r->arena + shard_at(s, j);
        for (int64_t p = 0; p < j->k; p++)
            for (int64_t i = 0; i < elems[s]; i++) {
                int64_t at = whole_at(s, j->k) + p * stride + i;
                real want = first_value(r->rank, j->rounds - 1, at), got = whole[p * stride + i];
                if (j->kind == BMRT_ALL_REDUCE)
                    want = sum_of(j, j->rounds - 1, at);
                else if (j->kind == BMRT_ALL_GATHER)
                    want = (real)(at + 1000 * (r->rank / j->k));
                else if (p == q && j->in_place)
                    want = reduced(j, at);
                wrong += memcmp(&want, &got, sizeof got) != 0;
                want = reduced(j, at);
                if (p == q && j->kind == BMRT_REDUCE_SCATTER)
                    wrong += memcmp(&want, &shard[i], sizeof want) != 0;
            }
    }
    return wrong;
}

static int64_t formula(const job *j, int rank)
{
    int64_t all = 0, groups = j->ranks / j->k, reduce = j->k - 1;
    for (int s = 0; s < SEGMENTS; s++)
        all += elems[s] * (int64_t)sizeof(real);
    if (groups > 1)
        reduce += rank / j->k == groups - 1 ? groups - 1 : 1;
    if (j->kind == BMRT_ALL_GATHER)
        return all * (j->k - 1) * j->rounds;
    return all * (reduce + (j->kind == BMRT_ALL_REDUCE ? j->k - 1 : 0)) * j->rounds;
}

static void run_job(const job *j)
{
    hub h;
    seat *seats = hub_create(&h, j->ranks);
    rank_job r[MOST_RANKS];
    pthread_t thread[MOST_RANKS];
    int64_t room = staging_at(j) + j->chunk * bmrt_staging_chunks(j->ranks, j->k, j->tree);
    assert_non_null(seats);
    for (int i = 0; i < j->ranks; i++) {
        /* exactly the room it may use: the address sanitizer looks after the end */
        r[i] = (rank_job){.j = j, .seat = &seats[i], .rank = i};
        r[i].arena = calloc((size_t)room, sizeof(real));
        assert_non_null(r[i].arena);
        assert_int_equal(pthread_create(&thread[i], NULL, rank_main, &r[i]), 0);
    }
    for (int i = 0; i < j->ranks; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < j->ranks; i++) {
        int wrong = r[i].status == BMRT_OK ? compare(j, &r[i]) : 0;
        if (r[i].status != BMRT_OK || wrong || r[i].sent != formula(j, i))
            fail_msg("rank %d of %d, groups of %d, %s, chunk %d, tree %d: status %d %s, %d wrong, "
                     "sent %lld of %lld",
                     i, j->ranks, (int)j->k, bmrt_op_name(j->kind), (int)j->chunk, j->tree,
                     (int)r[i].status, r[i].error.text, wrong, (long long)r[i].sent,
                     (long long)formula(j, i));
        free(r[i].arena);
    }
    assert_int_equal(h.broken, 0);
    hub_destroy(&h, seats);
}

/* ---- the tests */

static void sums_in_the_order_of_ranks(void **state)
{
    (void)state;
    static const int64_t chunk[] = {1, 64, 255, MOST_ELEMS, 5000};
    for (int ranks = 2; ranks <= 5; ranks++)
        for (int i = ranks == 3 ? 0 : 1; i < BMRT_COUNT(chunk); i++)
            for (int flags = 0; flags < 4; flags++) {
                job j = {ranks, ranks,     chunk[i],  BMRT_REDUCE_SCATTER,
                         false, flags & 1, flags & 2, 2};
                if (j.in_place && j.accumulates) /* would add to what the next round overwrites */
                    continue;
                run_job(&j);
                j.kind = BMRT_ALL_REDUCE;
                j.accumulates = false;
                run_job(&j);
            }
}

static void sums_along_the_tree(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 7; ranks++)
        for (int kind = BMRT_REDUCE_SCATTER; kind <= BMRT_ALL_REDUCE; kind++) {
            job j = {ranks, ranks, 100, (bmrt_op_kind)kind, true, false, false, 1};
            run_job(&j);
        }
}

static void sums_over_groups(void **state)
{
    (void)state;
    static const int world[][2] = {{4, 2}, {6, 2}, {6, 3}, {3, 1}, {2, 1}, {8, 4}, {8, 2}};
    for (int i = 0; i < BMRT_COUNT(world); i++)
        for (int flags = 0; flags < 8; flags++) {
            job j = {world[i][0], world[i][1], 200,       BMRT_REDUCE_SCATTER,
                     flags & 1,   flags & 2,   flags & 4, 2};
            if ((j.tree && j.k == 3) || (j.accumulates && j.in_place))
                continue;
            run_job(&j);
            j.kind = BMRT_ALL_REDUCE;
            j.accumulates = false;
            run_job(&j);
        }
}

/* All groups compute the same sums, so here each gathers values of its own. */
static void *gather_main(void *arg)
{
    rank_job *r = arg;
    const job *j = r->j;
    bmrt_debug debug = {.timeout = 60};
    bmrt_segment g[SEGMENTS];
    make_segments(j, g);
    bmrt_op op = {.kind = BMRT_ALL_GATHER, .path = "all", .segment = g, .n_segment = SEGMENTS};
    bmrt_ops phase[BMRT_PHASES] = {{&op, 1}};
    bmrt_model m = {.shared_by = j->k, .eval = {.comm = phase}};
    bmrt pub = {.arena = (char *)r->arena, .rank = r->rank, .shard = r->rank % j->k};
    for (int s = 0; s < SEGMENTS; s++)
        for (int64_t i = 0; i < elems[s]; i++) {
            int64_t at = whole_at(s, j->k) + pub.shard * (elems[s] + 5 * (s != 1)) + i;
            r->arena[j->in_place ? at : shard_at(s, j) + i] = (real)(at + 1000 * (r->rank / j->k));
        }
    bmrt_comm *c;
    r->status = bmrt_comm_create(&c, &r->seat->table, &debug, &r->error);
    if (r->status == BMRT_OK) {
        r->status = bmrt_comm_prepare(c, &m, &r->error);
        if (r->status == BMRT_OK)
            r->status = bmrt_comm_op(c, &pub, &op, true, &r->error);
        r->sent = c->sent[BMRT_ALL_GATHER];
        bmrt_comm_destroy(c);
    }
    return NULL;
}

static void shards_are_gathered(void **state)
{
    (void)state;
    static const int world[][2] = {{1, 1}, {2, 2}, {3, 3}, {5, 5}, {4, 2}, {6, 3}};
    for (int i = 0; i < 2 * BMRT_COUNT(world); i++) {
        job j = {world[i / 2][0], world[i / 2][1], 0, BMRT_ALL_GATHER, false, false, i % 2, 1};
        hub h;
        seat *seats = hub_create(&h, j.ranks);
        rank_job r[MOST_RANKS];
        pthread_t thread[MOST_RANKS];
        for (int k = 0; k < j.ranks; k++) {
            r[k] = (rank_job){.j = &j, .seat = &seats[k], .rank = k};
            r[k].arena = calloc((size_t)staging_at(&j), sizeof(real));
            assert_int_equal(pthread_create(&thread[k], NULL, gather_main, &r[k]), 0);
        }
        for (int k = 0; k < j.ranks; k++)
            pthread_join(thread[k], NULL);
        for (int k = 0; k < j.ranks; k++) {
            assert_int_equal(r[k].status, BMRT_OK);
            assert_int_equal(compare(&j, &r[k]), 0);
            assert_int_equal(r[k].sent, formula(&j, k));
            free(r[k].arena);
        }
        hub_destroy(&h, seats);
    }
}

/* ---- agreements, and a peer that never comes */

typedef struct agree_job {
    seat *seat;
    uint64_t value[2];
    char moved[40];
    double timeout;
    BmStatus status;
    bmrt_error error;
} agree_job;

static void *agree_main(void *arg)
{
    agree_job *a = arg;
    bmrt_debug debug = {.timeout = a->timeout};
    bmrt_comm *c;
    a->status = bmrt_comm_create(&c, &a->seat->table, &debug, &a->error);
    if (a->status == BMRT_OK)
        a->status = bmrt_comm_max(c, a->value, 2, &a->error);
    if (a->status == BMRT_OK)
        a->status = bmrt_comm_move(c, 1, 0, a->moved, sizeof a->moved, &a->error);
    bmrt_comm_destroy(c);
    return NULL;
}

static void ranks_agree(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 7; ranks++) {
        hub h;
        seat *seats = hub_create(&h, ranks);
        agree_job a[MOST_RANKS];
        pthread_t thread[MOST_RANKS];
        for (int i = 0; i < ranks; i++) {
            uint64_t far = UINT64_MAX - (uint64_t)((i * 3 + 1) % ranks);
            a[i] = (agree_job){.seat = &seats[i], .value = {(uint64_t)i, far}, .timeout = 60};
            snprintf(a[i].moved, sizeof a[i].moved, "from %d", i);
            assert_int_equal(pthread_create(&thread[i], NULL, agree_main, &a[i]), 0);
        }
        for (int i = 0; i < ranks; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < ranks; i++) {
            assert_int_equal(a[i].status, BMRT_OK);
            assert_true(a[i].value[0] == (uint64_t)ranks - 1);
            assert_true(a[i].value[1] == UINT64_MAX || ranks % 3 == 0);
        }
        assert_string_equal(a[0].moved, "from 1");
        hub_destroy(&h, seats);
    }
}

static void a_missing_rank_is_named(void **state)
{
    (void)state;
    hub h;
    seat *seats = hub_create(&h, 3);
    bmrt_debug debug = {.timeout = 0.2};
    bmrt_comm *c;
    bmrt_error e;
    real arena[64] = {0};
    bmrt_segment g = {.elems = 4, .stride = 4, .shard = {.offset = 128}};
    bmrt_op op = {
        .step = 17, .kind = BMRT_ALL_GATHER, .path = "h.3", .segment = &g, .n_segment = 1};
    bmrt_ops phase[BMRT_PHASES] = {{&op, 1}};
    bmrt_model m = {.ranks = 3, .train = {.comm = phase}};
    bmrt pub = {.arena = (char *)arena, .rank = 0, .ranks = 3, .step = 4};
    assert_int_equal(bmrt_comm_create(&c, &seats[0].table, &debug, &e), BMRT_OK);
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_OK);
    double begin = bmrt_now();
    assert_int_equal(bmrt_comm_op(c, &pub, &op, true, &e), BMRT_HANG);
    assert_true(bmrt_now() - begin < 5);
    assert_string_equal(e.text, "step 5: nothing moved for 0.2 s in the all_gather of 'h.3' (step "
                                "17 of the plan): waiting for ranks 1 and 2");
    bmrt_comm_destroy(c);
    hub_destroy(&h, seats);
}

static void tables_that_cannot_be(void **state)
{
    (void)state;
    hub h;
    seat *seats = hub_create(&h, 6);
    bmrt_debug debug = {.timeout = 1};
    bmrt_comm *c;
    bmrt_error e;
    bmrt_segment g = {.elems = 4, .stride = 4};
    bmrt_op op = {.step = 17, .kind = BMRT_ALL_REDUCE, .segment = &g, .n_segment = 1, .chunk = 1};
    bmrt_ops phase[BMRT_PHASES] = {{&op, 1}};
    bmrt_model m = {.ranks = 6, .shared_by = 3, .train = {.comm = phase}};
    assert_int_equal(bmrt_comm_create(&c, &seats[0].table, &debug, &e), BMRT_OK);
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_OK);
    op.tree = true;
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_BUG);
    op.tree = false;
    op.chunk = 0;
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_BUG);
    op.chunk = 1;
    g.stride = 3;
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_BUG);
    g.stride = 4;
    m.shared_by = 4;
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_BUG);
    bmrt_comm_destroy(c);
    hub_destroy(&h, seats);
}

static void staging_is_never_more_than_promised(void **state)
{
    (void)state;
    for (int64_t ranks = 2; ranks <= 64; ranks++)
        for (int64_t k = 1; k <= ranks; k++)
            for (int tree = 0; tree < 2; tree++)
                if (ranks % k == 0)
                    assert_true(bmrt_staging_chunks(ranks, k, tree) <= ranks - 1);
}

static void one_rank_alone(void **state)
{
    (void)state;
    bmrt_debug debug = {.timeout = 1};
    bmrt_comm *c;
    bmrt_error e;
    real arena[64] = {1, 2, 3, 4};
    char host[64] = {0};
    bmrt_segment g = {.elems = 4, .stride = 4, .shard = {.offset = 64}};
    bmrt_op op = {.kind = BMRT_REDUCE_SCATTER, .segment = &g, .n_segment = 1, .accumulates = true};
    bmrt_model m = {.ranks = 1};
    bmrt pub = {.arena = (char *)arena, .host = host, .ranks = 1};
    uint64_t v = 7;
    assert_int_equal(bmrt_comm_create(&c, NULL, &debug, &e), BMRT_OK);
    assert_int_equal(bmrt_comm_prepare(c, &m, &e), BMRT_OK);
    assert_int_equal(bmrt_comm_op(c, &pub, &op, true, &e), BMRT_OK);
    assert_int_equal(bmrt_comm_op(c, &pub, &op, false, &e), BMRT_OK);
    assert_true(arena[16] == 2 && arena[19] == 8 && arena[0] == 1);
    op.kind = BMRT_ALL_GATHER;
    assert_int_equal(bmrt_comm_op(c, &pub, &op, true, &e), BMRT_OK);
    assert_true(arena[0] == 2 && arena[3] == 8);
    g.whole = (bmrt_place){.host = true};
    op.kind = BMRT_COPY_BYTES;
    assert_int_equal(bmrt_comm_op(c, &pub, &op, true, &e), BMRT_OK);
    assert_memory_equal(host, arena, 16);
    assert_int_equal(bmrt_comm_max(c, &v, 1, &e), BMRT_OK);
    assert_true(v == 7);
    bmrt_comm_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_in_the_order_of_ranks),
        cmocka_unit_test(sums_along_the_tree),
        cmocka_unit_test(sums_over_groups),
        cmocka_unit_test(shards_are_gathered),
        cmocka_unit_test(ranks_agree),
        cmocka_unit_test(a_missing_rank_is_named),
        cmocka_unit_test(tables_that_cannot_be),
        cmocka_unit_test(staging_is_never_more_than_promised),
        cmocka_unit_test(one_rank_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
