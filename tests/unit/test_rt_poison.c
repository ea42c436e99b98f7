/* BMRT_POISON: what is free is filled, once, by the stream that used it last, in the rounds it is
 * free after, and never while another stream may be reading. */
#include "tests/unit/rt_fixture.h"

#include "runtime/poison.h"

#include <limits.h>
#include <math.h>

enum { SIZE = 256 };

static const bmrt_free compute_frees[] = {
    {.step = 3, .need = {-1, -1, -1}, .offset = 0, .bytes = 16},
    {.step = 5, .need = {-1, 4, -1}, .offset = 16, .bytes = 8},
    {.step = 5, .when = 2, .need = {-1, -1, -1}, .offset = 24, .bytes = 8},
    {.step = 9, .when = 1, .need = {-1, -1, -1}, .offset = 32, .bytes = 8, .host = true},
};
static const bmrt_free comm_frees[] = {
    {.step = 4, .need = {2, -1, -1}, .offset = 64, .bytes = 32},
};
static const bmrt_frees frees[BMRT_PHASES][BMRT_STREAMS] = {
    [3] = {{compute_frees, 4}, {comm_frees, 1}, {NULL, 0}},
};
static const bmrt_program with_frees = {.frees = &frees[0][0]};
static const bmrt_program without = {.frees = NULL};

static unsigned char arena[SIZE * BMRT_SCALE], host[SIZE * BMRT_SCALE];
static bmrt r = {.arena = (char *)arena, .host = (char *)host};

static void clean(void)
{
    memset(arena, 1, sizeof arena);
    memset(host, 1, sizeof host);
}

/* Only these bytes are filled. */
static void filled(const unsigned char *block, int64_t lo, int64_t hi)
{
    for (int64_t i = 0; i < SIZE * BMRT_SCALE; i++)
        if (block[i] != (i >= lo * BMRT_SCALE && i < hi * BMRT_SCALE ? 0xff : 1))
            fail_msg("byte %d is %d", (int)i, block[i]);
}

static void step(bmrt_poison *p, bmrt_stream_id stream, int id, int compute, int comm)
{
    const int over[BMRT_STREAMS] = {compute, comm, INT_MAX};
    bmrt_poison_step(p, &r, stream, id, over);
}

static void freed_memory_is_filled_once(void **state)
{
    (void)state;
    bmrt_poison p = {.frees = NULL};
    clean();
    bmrt_poison_begin(&p, &with_frees, 3, false, false);
    step(&p, BMRT_COMPUTE, 2, 1, 9);
    filled(arena, 0, 0);
    step(&p, BMRT_COMPUTE, 3, 2, 9);
    filled(arena, 0, 16);
    assert_true(isnan(((real *)(void *)arena)[0]));
    assert_int_equal(((int32_t *)(void *)arena)[0], -1);
    step(&p, BMRT_COMPUTE, 5, 4, 9); /* the last round's is not free yet */
    filled(arena, 0, 24);
    step(&p, BMRT_COMPUTE, 20, 19, 9);
    filled(arena, 0, 24);
    filled(host, 0, 0);
    clean();
    step(&p, BMRT_COMPUTE, 3, 2, 9); /* a region's next chunk */
    filled(arena, 0, 0);
    assert_int_equal(p.filled[BMRT_COMPUTE], 24);
}

static void rounds_differ(void **state)
{
    (void)state;
    bmrt_poison p = {.frees = NULL};
    clean();
    bmrt_poison_begin(&p, &with_frees, 3, true, true);
    step(&p, BMRT_COMPUTE, 20, 19, 9);
    filled(arena, 0, 32);
    filled(host, 32, 40);
    clean();
    bmrt_poison_begin(&p, &with_frees, 2, true, true); /* a phase without frees */
    step(&p, BMRT_COMPUTE, 20, 19, 9);
    bmrt_poison_begin(&p, &without, 3, true, true);
    step(&p, BMRT_COMPUTE, 20, 19, 9);
    filled(arena, 0, 0);
}

static void what_another_stream_may_read_is_left(void **state)
{
    (void)state;
    bmrt_poison p = {.frees = NULL};
    clean();
    bmrt_poison_begin(&p, &with_frees, 3, false, false);
    step(&p, BMRT_COMPUTE, 5, 4, 3); /* comm's step 4 reads bytes 16..23 still */
    filled(arena, 0, 16);
    clean();
    step(&p, BMRT_COMM, 4, 1, 3); /* compute's step 2 may be reading */
    filled(arena, 0, 0);
    bmrt_poison_begin(&p, &with_frees, 3, false, false);
    step(&p, BMRT_COMM, 4, 2, 3);
    filled(arena, 64, 96);
}

static const char *variable(void *context, const char *name)
{
    return strcmp(name, "BMRT_POISON") == 0 ? context : NULL;
}

static void the_environment_asks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool on;
        BmStatus status;
    } rows[] = {{NULL, false, BMRT_OK}, {"", false, BMRT_OK},       {"0", false, BMRT_OK},
                {"1", true, BMRT_OK},   {"yes", false, BMRT_USAGE}, {"11", false, BMRT_USAGE}};
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        bool on = !rows[i].on;
        bmrt_error e;
        assert_int_equal(bmrt_poison_read(&on, variable, (void *)(uintptr_t)rows[i].text, &e),
                         rows[i].status);
        assert_true(on == rows[i].on);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_is_filled_once),
        cmocka_unit_test(rounds_differ),
        cmocka_unit_test(what_another_stream_may_read_is_left),
        cmocka_unit_test(the_environment_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
