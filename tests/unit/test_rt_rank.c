/* Rank and world from flags and environments of many launchers, as a table. */
#include "tests/unit/rt_fixture.h"

#include "runtime/rank.h"

typedef struct row {
    const char *env;     /* "NAME=value NAME=value" */
    int64_t flag[4];     /* --rank --world --local-rank --local-world, + 1; 0: not given */
    int64_t want[4];     /* rank, world, local rank, local world */
    const char *source;  /* NULL: nobody; "!text": refused with this in the message */
    const char *warning; /* a piece of it, or NULL: none */
} row;

#define OMPI(r, n)  "OMPI_COMM_WORLD_RANK=" #r " OMPI_COMM_WORLD_SIZE=" #n " "
#define TORCH(r, n) "RANK=" #r " WORLD_SIZE=" #n " "
#define BMC(r, n)   "BMC_RANK=" #r " BMC_WORLD=" #n " "
#define PMI(r, n)   "PMI_RANK=" #r " PMI_SIZE=" #n " "
#define SLURM(r, n) "SLURM_PROCID=" #r " SLURM_STEP_NUM_TASKS=" #n " "
#define NONE                                                                                       \
    {                                                                                              \
        0, 0, 0, 0                                                                                 \
    }

static const row rows[] = {
    {"", NONE, {0, 1, 0, 1}, NULL, NULL},
    {"HOME=/root PATH=/bin", NONE, {0, 1, 0, 1}, NULL, NULL},
    /* each launcher alone, with and without local numbers */
    {"", {3, 5, 0, 0}, {2, 4, -1, -1}, "flags", NULL},
    {"", {3, 5, 1, 3}, {2, 4, 0, 2}, "flags", NULL},
    {BMC(1, 2), NONE, {1, 2, -1, -1}, "bmc", NULL},
    {BMC(3, 8) "BMC_LOCAL_RANK=1 BMC_LOCAL_WORLD=2", NONE, {3, 8, 1, 2}, "bmc", NULL},
    {TORCH(0, 4), NONE, {0, 4, -1, -1}, "torchrun", NULL},
    {TORCH(5, 8) "LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=29500 "
                 "TORCHELASTIC_RESTART_COUNT=0",
     NONE,
     {5, 8, 1, 4},
     "torchrun",
     NULL},
    {OMPI(2, 3), NONE, {2, 3, -1, -1}, "Open MPI", NULL},
    {OMPI(2, 3) "OMPI_COMM_WORLD_LOCAL_RANK=2 OMPI_COMM_WORLD_LOCAL_SIZE=3 PMIX_RANK=2",
     NONE,
     {2, 3, 2, 3},
     "Open MPI",
     NULL},
    {PMI(1, 2), NONE, {1, 2, -1, -1}, "PMI", NULL},
    {PMI(1, 2) "MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2", NONE, {1, 2, 1, 2}, "PMI", NULL},
    {SLURM(7, 8) "SLURM_LOCALID=3 SLURM_STEP_TASKS_PER_NODE=4(x2)",
     NONE,
     {7, 8, 3, 4},
     "SLURM",
     NULL},
    {SLURM(0, 4) "SLURM_LOCALID=0 SLURM_STEP_TASKS_PER_NODE=4", NONE, {0, 4, 0, 4}, "SLURM", NULL},
    {SLURM(0, 7) "SLURM_LOCALID=0 SLURM_STEP_TASKS_PER_NODE=4,3",
     NONE,
     {0, 7, 0, -1},
     "SLURM",
     NULL},
    {SLURM(0, 9) "SLURM_STEP_TASKS_PER_NODE=4(x2),1", NONE, {0, 9, -1, -1}, "SLURM", NULL},
    /* incomplete sets do not count */
    {"RANK=3", NONE, {0, 1, 0, 1}, NULL, NULL},
    {"WORLD_SIZE=3", NONE, {0, 1, 0, 1}, NULL, NULL},
    {"LOCAL_RANK=1 LOCAL_WORLD_SIZE=2", NONE, {0, 1, 0, 1}, NULL, NULL},
    {"BMC_RANK=1 " TORCH(2, 4), NONE, {2, 4, -1, -1}, "torchrun", NULL},
    {"OMPI_COMM_WORLD_RANK=1 " PMI(0, 2), NONE, {0, 2, -1, -1}, "PMI", NULL},
    /* a batch script of SLURM is one process, whatever the job has */
    {"SLURM_PROCID=0 SLURM_NTASKS=16 SLURM_JOB_ID=77", NONE, {0, 1, 0, 1}, NULL, NULL},
    /* precedence, sets that agree */
    {OMPI(1, 4) SLURM(1, 4), NONE, {1, 4, -1, -1}, "Open MPI", NULL},
    {OMPI(1, 4) PMI(1, 4) "OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2",
     NONE,
     {1, 4, 1, 2},
     "Open MPI",
     NULL},
    {BMC(1, 4) TORCH(1, 4), {2, 5, 0, 0}, {1, 4, -1, -1}, "flags", NULL},
    /* sets that disagree */
    {OMPI(0, 1) SLURM(3, 4),
     NONE,
     {0, 1, -1, -1},
     "Open MPI",
     "Open MPI says rank 0 of 1 (OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE), SLURM says rank 3 of "
     "4 (SLURM_PROCID, SLURM_STEP_NUM_TASKS): taken is Open MPI"},
    {TORCH(1, 2) OMPI(1, 4), NONE, {1, 2, -1, -1}, "torchrun", "Open MPI says rank 1 of 4"},
    {BMC(0, 1) OMPI(3, 4), NONE, {0, 1, -1, -1}, "bmc", "taken is bmc"},
    {BMC(0, 2), {2, 3, 0, 0}, {1, 2, -1, -1}, "flags", "flags says rank 1 of 2 (--rank, --world)"},
    {PMI(1, 2) SLURM(0, 2), NONE, {1, 2, -1, -1}, "PMI", "SLURM says rank 0 of 2"},
    /* local numbers come from the same set */
    {TORCH(1, 2) "OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2",
     NONE,
     {1, 2, -1, -1},
     "torchrun",
     NULL},
    /* what cannot be */
    {TORCH(4, 4), NONE, NONE, "!RANK is 4 and WORLD_SIZE 4: ranks run from 0 to 3", NULL},
    {TORCH(x, 4), NONE, NONE, "!RANK is 'x', not a number", NULL},
    {TORCH(-1, 4), NONE, NONE, "!RANK is '-1', not a number", NULL},
    {TORCH(0, 0), NONE, NONE, "!WORLD_SIZE is 0, at least 1", NULL},
    {TORCH(0, 99999999999999999999), NONE, NONE, "!WORLD_SIZE is '99999999999999999999'", NULL},
    {OMPI(0, 2) "OMPI_COMM_WORLD_LOCAL_SIZE=3", NONE, NONE,
     "!OMPI_COMM_WORLD_LOCAL_SIZE is 3 in a world of 2", NULL},
    {OMPI(0, 4) "OMPI_COMM_WORLD_LOCAL_RANK=2 OMPI_COMM_WORLD_LOCAL_SIZE=2", NONE, NONE,
     "!OMPI_COMM_WORLD_LOCAL_RANK is 2, more than there are ranks", NULL},
    {"", {1, 0, 0, 0}, NONE, "!--rank and --world are given together", NULL},
    {"", {0, 3, 0, 0}, NONE, "!--rank and --world are given together", NULL},
    {"", {5, 3, 0, 0}, NONE, "!--rank is 4 and --world 2", NULL},
    {"SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2x", NONE, NONE, "!SLURM_STEP_NUM_TASKS is '2x'", NULL},
    /* a broken set behind the one that is taken does not matter */
    {BMC(0, 2) "RANK=x WORLD_SIZE=2", NONE, {0, 2, -1, -1}, "bmc", NULL},
};

static const char *from_row(void *context, const char *name)
{
    static char value[256];
    const char *at = context;
    size_t n = strlen(name);
    for (; at && *at; at = strchr(at, ' '), at = at ? at + 1 : NULL)
        if (strncmp(at, name, n) == 0 && at[n] == '=') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n + 1, " "), at + n + 1);
            return value;
        }
    return NULL;
}

static void every_row(void **state)
{
    (void)state;
    assert_true(BMRT_COUNT(rows) >= 40);
    for (int i = 0; i < BMRT_COUNT(rows); i++) {
        const row *r = &rows[i];
        bmrt_ranks flags = {r->flag[0] - 1, r->flag[1] - 1, r->flag[2] - 1, r->flag[3] - 1, NULL};
        bmrt_ranks got = {0, 0, 0, 0, NULL};
        char warning[512];
        bmrt_error e = {"", ""};
        BmStatus s = bmrt_rank_find(&got, &flags, from_row, (void *)(uintptr_t)r->env, warning,
                                    sizeof warning, &e);
        if (r->source && r->source[0] == '!') {
            if (s != BMRT_USAGE || !strstr(e.text, r->source + 1))
                fail_msg("row %d: status %d, '%s'", i, (int)s, e.text);
            continue;
        }
        bool same = got.rank == r->want[0] && got.world == r->want[1] &&
                    got.local_rank == r->want[2] && got.local_world == r->want[3];
        if (s != BMRT_OK || !same)
            fail_msg("row %d (%s): status %d %s, rank %lld of %lld, local %lld of %lld", i, r->env,
                     (int)s, e.text, (long long)got.rank, (long long)got.world,
                     (long long)got.local_rank, (long long)got.local_world);
        if ((got.source == NULL) != (r->source == NULL) ||
            (r->source && strcmp(got.source, r->source) != 0))
            fail_msg("row %d: taken is %s", i, got.source ? got.source : "nobody");
        if (r->warning ? !strstr(warning, r->warning) : warning[0] != 0)
            fail_msg("row %d: warning '%s'", i, warning);
    }
}

static void debug_variables(void **state)
{
    (void)state;
    bmrt_debug d;
    bmrt_error e;
    char env[] = "BMRT_LINK=25,1e9 BMRT_DELAY=7 BMRT_TIMEOUT=0.5 BMRT_COUNT=1 BMRT_CHECK=1 "
                 "BMRT_DELAY_STEP=12,300";
    assert_int_equal(bmrt_debug_read(&d, from_row, env, &e), BMRT_OK);
    assert_true(d.link && d.alpha > 24.9e-6 && d.alpha < 25.1e-6 && d.bytes_per_s == 1e9);
    assert_true(d.delays && d.seed == 7 && d.timeout == 0.5 && d.count && d.check);
    assert_true(d.late_step == 12 && d.late > 299e-6 && d.late < 301e-6);
    char empty[] = "X=1";
    assert_int_equal(bmrt_debug_read(&d, from_row, empty, &e), BMRT_OK);
    assert_true(!d.link && !d.delays && d.timeout == 600 && !d.count && !d.check && d.late == 0);
    static const char *const bad[] = {
        "BMRT_LINK=25",        "BMRT_LINK=25,",  "BMRT_LINK=25,0",    "BMRT_LINK=x,1",
        "BMRT_LINK=1,2,3",     "BMRT_LINK=-1,5", "BMRT_LINK=1,inf",   "BMRT_DELAY=x",
        "BMRT_DELAY=-3",       "BMRT_TIMEOUT=0", "BMRT_TIMEOUT=1s",   "BMRT_TIMEOUT=nan",
        "BMRT_COUNT=yes",      "BMRT_CHECK=2",   "BMRT_DELAY_STEP=1", "BMRT_DELAY_STEP=x,1",
        "BMRT_DELAY_STEP=1,-1"};
    for (int i = 0; i < BMRT_COUNT(bad); i++) {
        e.text[0] = 0;
        assert_int_equal(bmrt_debug_read(&d, from_row, (void *)(uintptr_t)bad[i], &e), BMRT_USAGE);
        assert_true(strncmp(e.text, "BMRT_", 5) == 0);
    }
}

static void a_misspelt_variable_is_told(void **state)
{
    (void)state;
    char good[] = "BMRT_LINK=1,2", other[] = "HOME=/BMRT_X", wrong[] = "BMRT_PIOSON=1",
         bare[] = "BMRT_", long_one[200] = "BMRT_";
    char *env[] = {good, other, NULL, NULL};
    bmrt_error e = {0};
    assert_int_equal(bmrt_environment_check(env, &e), BMRT_OK);
    assert_int_equal(bmrt_environment_check(NULL, &e), BMRT_OK);
    env[2] = wrong;
    assert_int_equal(bmrt_environment_check(env, &e), BMRT_USAGE);
    assert_non_null(strstr(e.text, "the environment has BMRT_PIOSON,"));
    assert_non_null(strstr(e.help, "did you mean BMRT_POISON?"));
    env[2] = bare;
    assert_int_equal(bmrt_environment_check(env, &e), BMRT_USAGE);
    memset(long_one + 5, 'X', sizeof long_one - 6);
    env[2] = long_one;
    assert_int_equal(bmrt_environment_check(env, &e), BMRT_USAGE);
}

static void a_slow_link_sleeps(void **state)
{
    (void)state;
    bmrt_debug d = {.link = true, .alpha = 0.01, .bytes_per_s = 1e6};
    double begin = bmrt_now();
    bmrt_link_wait(&d, begin, 40000);
    double took = bmrt_now() - begin;
    assert_true(took >= 0.05 && took < 1);
    begin = bmrt_now();
    bmrt_link_wait(&d, begin - 1, 40000); /* has taken long enough already */
    d.link = false;
    bmrt_link_wait(&d, begin, 1 << 30);
    assert_true(bmrt_now() - begin < 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(debug_variables),
        cmocka_unit_test(a_misspelt_variable_is_told),
        cmocka_unit_test(a_slow_link_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
