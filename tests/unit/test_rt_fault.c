/* test_rt_fault.c - an index outside its table is told by its place in the batch, in whichever
 * chunk of a region it was met. */
#include "runtime/bmrt_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_place(int64_t s, int64_t parts, int64_t sample, const char *place)
{
    static bmrt_run run;
    bmrt_error e;
    run.pub.step = 4;
    run.pub.sample0 = 100;
    bmrt_chunk(s, parts);
    bmrt_index_fault("wte", sample, 7, 99, 50);
    bmrt_index_fault("wte", 9, 9, 9, 9); /* the first one counts */
    bmrt_chunk(0, 0);
    assert_int_equal(bmrt_fault_check(&run, &e), BMRT_MODEL);
    if (!strstr(e.text, place) || !strstr(e.text, "step 5: 'wte' reads row 99 of a table of 50"))
        fail_msg("'%s' is not in '%s'", place, e.text);
    assert_int_equal(bmrt_fault_check(&run, &e), BMRT_OK);
}

static void faults_have_places(void **state)
{
    (void)state;
    expect_place(0, 0, 2, "(sample 102 of the batch, position 7)");
    expect_place(6, 0, 2, "(sample 108 of the batch, position 7)");
    expect_place(0, 4, 0, "(sample 100 of the batch, position 7 of part 0 of 4)");
    expect_place(11, 4, 0, "(sample 102 of the batch, position 7 of part 3 of 4)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults_have_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
