/* Persistent tensors over ranks: pieces cover every tensor once, first values and files are those
 * of one rank whatever the layout, and a rank that cannot write leaves nothing behind. */
#include "tests/unit/rt_ranks.h"

#include "runtime/shard.h"

#include <dirent.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Six parameters: three in one flat buffer of 4096 elements, one in the host's arena, a whole one,
 * and a buffer of whole numbers. */
enum { COUNT = 6, FLAT = 4096 };

typedef struct layout {
    bmrt_tensor param[COUNT];
    bmrt_model m;
} layout;

/* `k`: ranks that share a copy; 0: everything whole. */
static layout make(int k)
{
    layout l = {.param = {
                    {.path = "a", .ndim = 1, .dim = {1000}, .count = 1000, .init = 3, .a = 1},
                    {.path = "b", .ndim = 2, .dim = {50, 41}, .count = 2050, .init = 4, .b = 2},
                    {.path = "c", .ndim = 1, .dim = {3}, .count = 3, .init = 2, .a = 0.5},
                    {.path = "h", .ndim = 1, .dim = {2500}, .count = 2500, .init = 3, .a = 2},
                    {.path = "whole", .ndim = 1, .dim = {77}, .count = 77, .init = 3, .a = 3},
                    {.path = "table",
                     .dtype = BMRT_I32,
                     .ndim = 1,
                     .dim = {9},
                     .count = 9,
                     .init = 2,
                     .a = 11,
                     .flags = BMRT_BUFFER},
                }};
    static const int64_t at[COUNT] = {0, 1008, 3072, 16, 0, 0};
    int64_t shard = k ? (FLAT + 1024 * k - 1) / (1024 * k) * 1024 : 0;
    int64_t flat_bytes = 4 * (k ? shard : FLAT);
    for (int i = 0; i < COUNT; i++)
        l.param[i].at = at[i];
    for (int i = 0; i < 4; i++)
        l.param[i].shard = shard;
    l.param[3].host = true;
    l.param[0].offset = l.param[1].offset = l.param[2].offset = 512;
    l.param[3].offset = 64;
    l.param[4].offset = 512 + flat_bytes;
    l.param[5].offset = l.param[4].offset + 320;
    l.m = (bmrt_model){.version = BMRT_VERSION,
                       .name = "Pieces",
                       .plan_hash = "0123456789abcdef0123",
                       .arena_bytes = l.param[5].offset + 64,
                       .host_arena_bytes = 64 + flat_bytes,
                       .n_param = COUNT,
                       .ranks = k ? k : 1,
                       .shared_by = k ? k : 1};
    return l;
}

static void pieces_cover_every_element_once(void **state)
{
    (void)state;
    for (int k = 1; k <= 4; k++) {
        layout l = make(k);
        for (int i = 0; i < COUNT; i++) {
            const bmrt_tensor *t = &l.param[i];
            char arena[1], host[1];
            int64_t next = 0;
            for (int q = 0; q < k; q++) {
                bmrt r = {.arena = arena, .host = host, .rank = q, .ranks = k, .shard = q};
                bmrt_share p = bmrt_share_of(&r, t);
                if (!t->shard) {
                    assert_true(p.lo == 0 && p.n == t->count);
                    continue;
                }
                if (p.n == 0) {
                    assert_null(p.at);
                    continue;
                }
                assert_true(p.lo == next && p.n > 0);
                int64_t in_shard =
                    ((char *)p.at - (t->host ? host : arena) - t->offset * BMRT_SCALE) /
                    (int64_t)sizeof(real);
                assert_true(in_shard >= 0 && in_shard + p.n <= t->shard);
                assert_true(q * t->shard + in_shard == t->at + p.lo);
                next += p.n;
            }
            assert_true(!t->shard || next == t->count);
        }
    }
}

static void no_files_like(const char *part)
{
    DIR *d = opendir(".");
    assert_non_null(d);
    for (struct dirent *x; (x = readdir(d));)
        if (strstr(x->d_name, part))
            fail_msg("left behind: %s", x->d_name);
    closedir(d);
}

static void init_and_save(rank_of_world *k)
{
    bmrt_run *run = &k->run;
    bmrt_saver s;
    run->pub.seed = 5;
    run->pub.step = 12;
    k->status = bmrt_init_all(run, &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_saver_create(&s, run->m, k->context, &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_saver_write(&s, &run->pub, run->m, &k->error);
    bmrt_saver_destroy(&s);
}

typedef struct files {
    const char *from, *to;
} files;

static void load_and_save(rank_of_world *k)
{
    bmrt_run *run = &k->run;
    const files *f = k->context;
    bmrt_saver s;
    char note[256];
    k->status = bmrt_st_load(&run->pub, run->m, f->from, note, sizeof note, &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_saver_create(&s, run->m, f->to, &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_saver_write(&s, &run->pub, run->m, &k->error);
    bmrt_saver_destroy(&s);
}

static void run_layout(int ranks, int k, void (*body)(rank_of_world *), const void *context)
{
    static world w;
    static rank_of_world rank[MOST_RANKS];
    layout l = make(k);
    l.m.param = l.param;
    run_world(&w, rank, ranks, k ? k : 1, &l.m, body, context);
    for (int q = 0; q < ranks; q++)
        if (rank[q].status != BMRT_OK)
            fail_msg("rank %d of %d: %s", q, ranks, rank[q].error.text);
    close_world(&w, rank);
}

static void same_file(const char *a, const char *b)
{
    size_t n = 0, k = 0;
    char *x = get_file(a, &n), *y = get_file(b, &k);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n);
    free(x), free(y);
}

static const struct {
    int ranks, k;
} layouts[] = {{1, 1}, {2, 2}, {3, 3}, {4, 4}, {4, 2}, {3, 0}};

static void every_layout_makes_the_same_file(void **state)
{
    (void)state;
    run_layout(1, 0, init_and_save, "one.safetensors");
    size_t n = 0;
    char *f = get_file("one.safetensors", &n);
    assert_int_equal((int64_t)n % 4096,
                     ((1000 + 2050 + 3 + 2500 + 77) * (int)sizeof(real) + 9 * 4) % 4096);
    free(f);
    for (int i = 0; i < (int)(sizeof layouts / sizeof *layouts); i++) {
        run_layout(layouts[i].ranks, layouts[i].k, init_and_save, "many.safetensors");
        same_file("one.safetensors", "many.safetensors");
    }
    no_files_like(".tmp-");
}

static void every_layout_reads_it(void **state)
{
    (void)state;
    static const files f = {"one.safetensors", "again.safetensors"};
    run_layout(1, 0, init_and_save, "one.safetensors");
    for (int i = 0; i < (int)(sizeof layouts / sizeof *layouts); i++) {
        remove("again.safetensors");
        run_layout(layouts[i].ranks, layouts[i].k, load_and_save, &f);
        same_file("one.safetensors", "again.safetensors");
    }
}

/* ---- what goes wrong ---- */

static void put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
}

/* All ranks fail alike, with one text, and what was there before is still there. */
static void expect_failure(int ranks, void (*body)(rank_of_world *), const char *path,
                           const char *text)
{
    static world w;
    static rank_of_world rank[MOST_RANKS];
    layout l = make(ranks);
    l.m.param = l.param;
    run_world(&w, rank, ranks, ranks, &l.m, body, path);
    for (int q = 0; q < ranks; q++) {
        assert_int_equal(rank[q].status, BMRT_MACHINE);
        if (!strstr(rank[q].error.text, text))
            fail_msg("rank %d: '%s' is not in '%s'", q, text, rank[q].error.text);
        assert_string_equal(rank[q].error.text, rank[0].error.text);
    }
    close_world(&w, rank);
    no_files_like(".tmp-");
}

static void full_disk(void **state)
{
    (void)state;
    struct rlimit old, little;
    put_text("kept.safetensors", "old");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    little = old;
    little.rlim_cur = 9000; /* more than the header, less than the file */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    expect_failure(3, init_and_save, "kept.safetensors", "cannot write 'kept.safetensors'");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    char *f = get_file("kept.safetensors", NULL);
    assert_string_equal(f, "old");
    free(f);
}

/* The file system as rank 2 sees it lacks the file: it is removed after rank 0 made it. */
static BmStatus remove_before_agreeing(void *context, BmStatus mine, bmrt_error *e)
{
    rank_of_world *k = context;
    if (k->rank == 0 && k->w->agreed == 0)
        rename("lost.safetensors.tmp-0123456789abcdef-12", "elsewhere");
    return world_agree(context, mine, e);
}

static void save_into_nothing(rank_of_world *k)
{
    k->peers.agree = remove_before_agreeing;
    init_and_save(k);
}

static void another_file_system(void **state)
{
    (void)state;
    expect_failure(3, save_into_nothing, "lost.safetensors",
                   "rank 1 does not see rank 0's file 'lost.safetensors.tmp-0123456789abcdef-12'");
    assert_null(get_file("lost.safetensors", NULL));
    remove("elsewhere");
}

/* Rank 1 cannot do its part: rank 0's file goes away. */
static void save_with_one_bad_rank(rank_of_world *k)
{
    bmrt_run *run = &k->run;
    bmrt_saver s;
    k->status = bmrt_init_all(run, &k->error);
    if (k->status == BMRT_OK)
        k->status = bmrt_saver_create(&s, run->m, k->context, &k->error);
    if (k->status == BMRT_OK && k->rank == 1)
        s.path[0] = 'x'; /* the name of its temporary follows */
    if (k->status == BMRT_OK)
        k->status = bmrt_saver_write(&s, &run->pub, run->m, &k->error);
    bmrt_saver_destroy(&s);
}

static void one_rank_fails(void **state)
{
    (void)state;
    put_text("kept.safetensors", "old");
    expect_failure(4, save_with_one_bad_rank, "kept.safetensors", "rank 1 does not see");
    char *f = get_file("kept.safetensors", NULL);
    assert_string_equal(f, "old");
    free(f);
}

static void only_the_place_is_missing(void **state)
{
    (void)state;
    expect_failure(2, init_and_save, "nowhere/w.safetensors", "folder 'nowhere'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_cover_every_element_once),
        cmocka_unit_test(every_layout_makes_the_same_file),
        cmocka_unit_test(every_layout_reads_it),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(another_file_system),
        cmocka_unit_test(one_rank_fails),
        cmocka_unit_test(only_the_place_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
