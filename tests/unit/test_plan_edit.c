/* Plans a person changed: what cannot be is refused by name. */
#include "codegen/emit.h"
#include "tests/unit/plan_edited.h"

static const char ranks_section[] = "plan {\n  ranks = 4\n}\n";

/* ---- nothing changed ---- */

static const char *trainer_of(Arena *a, const Plan *p)
{
    StrBuf s = strbuf_new(a);
    emit_trainer(&s, p);
    emit_kernels(&s, p);
    return s.text;
}

static void unchanged(void **state)
{
    (void)state;
    static const int64_t ranks[] = {1, 3, 4};
    for (int i = 0; i < countof(ranks); i++) {
        Planned *t = planned_model(model_text, "cpu");
        const Plan *p = planned_in(t, ranks[i], ranks[i] == 4 ? 2 : 0, 0);
        Case c = case_of(t, p);
        fresh(&c);
        const Plan *q = accepted(&c, "unchanged");
        assert_int_equal(p->hash, q->hash);
        assert_string_equal(trainer_of(t->arena, p), trainer_of(c.a, q));
        done(&c);
    }
}

/* ---- choices ---- */

static void choices(void **state)
{
    (void)state;
    Case c = planned_case(ranks_section, 4, 3);
    fresh(&c);
    uint64_t was = accepted(&c, "unchanged")->hash;
    static const char *const level[] = {"0", "1", "2", "3", "once"};
    int differ = 0;
    for (int i = 0; i < countof(level); i++) {
        fresh(&c);
        json_object_set_new(item(&c, "groups", 2), "level", json_string(level[i]));
        const Plan *p = accepted(&c, level[i]);
        assert_int_equal(p->group.v[2].level, i);
        differ += p->hash != was;
    }
    assert_int_equal(differ, 4);
    fresh(&c);
    put(c.o, "lead", 3);
    assert_int_equal(accepted(&c, "lead")->lead, 3);
    fresh(&c);
    put(c.o, "bucket_bytes", 1 << 20);
    assert_int_equal(accepted(&c, "bucket")->bucket_bytes, 1 << 20);
    fresh(&c);
    put(c.o, "shared_by", 2);
    assert_int_equal(accepted(&c, "hybrid")->shared_by, 2);
    fresh(&c);
    put(c.o, "micro_batch", 1);
    assert_int_equal(accepted(&c, "micro-batch")->rounds, 6);
    put(c.o, "rounds", 6);
    accepted(&c, "micro-batch and rounds");
    put(c.o, "rounds", 5);
    refused(&c, "rounds: 5 in the file, and what comes of it is 6");
    fresh(&c);
    json_object_set_new(c.o, "overlap", json_false());
    assert_false(accepted(&c, "overlap")->overlap);
    fresh(&c);
    json_object_set_new(item(&c, "recompute", 1), "rule", json_string("all"));
    const Plan *p = accepted(&c, "recompute");
    assert_int_equal(p->recompute.v[1].rule, RECOMPUTE_ALL);
    assert_int_equal(p->recompute.v[0].rule, RECOMPUTE_NONE);
    done(&c);
}

static void choices_that_cannot_be(void **state)
{
    (void)state;
    Case c = planned_case("plan {\n  zero h.1 = 3\n  lead = 1\n  recompute h.2 = all\n}\n", 4, 0);
    fresh(&c);
    json_object_set_new(item(&c, "groups", 2), "level", json_string("1"));
    refused(&c, "groups[2].level (h.1): \"1\" in the file, and what comes of it is \"3\"");
    fresh(&c);
    json_object_set_new(item(&c, "recompute", 2), "rule", json_string("none"));
    refused(&c, "recompute[2].rule (h.2): \"none\" in the file");
    fresh(&c);
    put(c.o, "lead", 2);
    refused(&c, "lead: 2 in the file, and what comes of it is 1");
    put(c.o, "lead", 2000);
    refused(&c, "2000 is not in 0..1000");
    fresh(&c);
    put(c.o, "micro_batch", 4);
    refused(&c, "micro_batch is 4, which does not divide");
    fresh(&c);
    put(c.o, "shared_by", 3);
    refused(&c, "shared_by is 3, which does not divide");
    fresh(&c);
    json_t *r = item(&c, "recompute", 0);
    json_object_set_new(r, "kept", json_pack("[i]", 5));
    refused(&c, "only with \"rule\":\"kept\"");
    json_object_set_new(r, "rule", json_string("kept"));
    accepted(&c, "a kept set");
    json_object_set_new(r, "kept", json_pack("[i]", 1000));
    refused(&c, "recompute[0].kept (h.0): [1000] in the file");
    json_object_set_new(r, "kept", json_pack("[I]", (json_int_t)1 << 40));
    refused(&c, "is no op of h.0");
    fresh(&c);
    json_object_set_new(item(&c, "groups", 1), "level", json_string("2"));
    put(item(&c, "buffers", 20), "offset", 0);
    refused(&c, "groups[1].level (h.0) was changed, and buffers[20].offset");
    done(&c);
}

/* ---- not the person's to change ---- */

static void other_models(void **state)
{
    (void)state;
    Case c = planned_case(ranks_section, 4, 3);
    fresh(&c);
    put(item(&c, "buffers", 20), "bytes", number(item(&c, "buffers", 20), "bytes") + 64);
    refused(&c, "buffers[20].bytes");
    fresh(&c);
    put(c.o, "ranks", 2);
    refused(&c, "ranks: 2 in the file, 4 in the plan of this model");
    fresh(&c);
    put(c.o, "news", 1);
    refused(&c, "unknown key 'news'");
    fresh(&c);
    put(c.o, "version", 1);
    refused(&c, "version: this bmc reads");
    fresh(&c);
    json_object_set_new(list(&c, "made"), "hash", json_string("0123456789abcdef"));
    refused(&c, "other -D or by another bmc");
    fresh(&c);
    json_array_remove(list(&c, "steps"), (size_t)count(&c, "steps") - 1);
    assert_null(taken(&c));
    fresh(&c);
    put(list(&c, "totals"), "flops", 1);
    refused(&c, "totals.flops: 1 in the file");
    fresh(&c);
    put(list(&c, "totals"), "arena_bytes", 64);
    refused(&c, "totals.arena_bytes: 64 in the file, and what comes of it is");
    for (int i = 0; i < count(&c, "steps"); i += 7) {
        fresh(&c);
        json_t *args = json_object_get(item(&c, "steps", i), "args");
        int other = (int)json_integer_value(json_array_get(args, 0)) == 3 ? 4 : 3;
        json_array_set_new(args, 0, json_integer(other));
        assert_null(taken(&c));
    }
    Case d = planned_case("", 1, 0);
    d.text = c.text; /* the plan of the same model with another learning rate */
    char *other = strdup(model_text), *at = strstr(other, "1e-3");
    at[3] = '4';
    Planned *t = planned_model(other, "cpu");
    Planned *same = d.t;
    d.t = t;
    fresh(&d);
    refused(&d, "other -D or by another bmc");
    d.t = same;
    planned_done(t);
    free(other);
    done(&d);
    done(&c);
}

static void flags(void **state)
{
    (void)state;
    Case c = planned_case(ranks_section, 4, 3);
    static const PlanOptions wrong[] = {
        {.ranks = 2}, {.micro_batch = 1}, {.memory = 1 << 30}, {.no_fuse = true}};
    fresh(&c);
    for (int i = 0; i < countof(wrong); i++) {
        assert_null(taken_with(&c, &wrong[i]));
        assert_non_null(strstr(c.told, "edited.json: made for "));
    }
    PlanOptions right = {.ranks = 4, .micro_batch = 3, .machine = c.t->machine};
    assert_non_null(taken_with(&c, &right));
    right.machine = machine_find(c.t->arena, "h100-80g", c.t->diag);
    assert_null(taken_with(&c, &right));
    assert_non_null(strstr(c.told, "--machine names 'h100-80g'"));
    done(&c);
}

/* ---- illegal changes ---- */

static bool names_a_check(const char *told)
{
    static const char *const check[] = {"V02", "V03", "V07", "V08", "V11", "V14"};
    for (int i = 0; i < countof(check); i++)
        if (strstr(told, check[i]) && strstr(told, "step "))
            return true;
    return false;
}

/* Does a step use a buffer that one of the other stream, up to `last`, does? */
static bool shares_buffer(const Case *c, const json_t *s, int last)
{
    size_t i;
    json_t *id;
    for (int k = last; k >= 0; k--) {
        const json_t *t = item(c, "steps", k), *args = json_object_get(t, "args");
        if (!same_word(s, t, "phase") || !same_word(t, item(c, "steps", last), "stream"))
            continue;
        json_array_foreach(json_object_get(s, "args"), i, id)
        {
            for (size_t n = 0; n < json_array_size(args); n++)
                if (json_equal(json_array_get(args, n), id))
                    return true;
        }
    }
    return false;
}

/* The planner waits for buffers, the checks for bytes: where memory is used again, a part of it may
 * not have been touched, and few waits are there for nothing. */
static void dropped_waits(void **state)
{
    (void)state;
    int dropped = 0, needed = 0;
    Case c = planned_case("plan {\n  zero h.* = 3\n}\n", 4, 3);
    fresh(&c);
    for (int i = 0; i < count(&c, "steps"); i++)
        for (size_t k = 0; k < json_array_size(json_object_get(item(&c, "steps", i), "waits"));
             k++) {
            fresh(&c);
            json_t *s = item(&c, "steps", i), *waits = json_object_get(s, "waits");
            int last = (int)json_integer_value(json_array_get(waits, k));
            json_array_remove(waits, k);
            bool took = taken(&c) != NULL;
            if (took ? shares_buffer(&c, s, last) : !names_a_check(c.told))
                fail_msg("without wait %zu of step %d: %s", k, i, c.told);
            needed += !took;
            dropped++;
        }
    printf("%d waits dropped, %d were needed\n", dropped, needed);
    assert_true(dropped > 10 && needed * 10 >= dropped * 9);
    fresh(&c);
    int last = count(&c, "steps") - 1;
    json_array_append_new(json_object_get(item(&c, "steps", 0), "waits"), json_integer(last));
    refused(&c, "V06 wait-order: step 0");
    done(&c);
}

/* A step before the one that makes what it reads. */
static void swapped(void **state)
{
    (void)state;
    int tried = 0;
    Case c = planned_case("", 1, 8);
    fresh(&c);
    for (int i = 0; i + 1 < count(&c, "steps"); i++) {
        const json_t *s = item(&c, "steps", i), *t = item(&c, "steps", i + 1);
        const json_t *w = json_object_get(s, "writes");
        int64_t made = json_integer_value(json_array_get(w, 0));
        const json_t *b = item(&c, "buffers", (int)made), *reads = json_object_get(t, "reads");
        bool read = false;
        for (size_t k = 0; k < json_array_size(reads); k++)
            read = read || json_integer_value(json_array_get(reads, k)) == made;
        if (!read || json_array_size(w) != 1 || number(b, "first") != i ||
            !same_word(s, t, "phase"))
            continue;
        exchange(list(&c, "steps"), i);
        if (taken(&c) || !names_a_check(c.told))
            fail_msg("steps %d and %d: %s", i, i + 1, c.told);
        fresh(&c);
        tried++;
    }
    printf("%d pairs swapped\n", tried);
    assert_true(tried > 20);
    done(&c);
}

static void places(void **state)
{
    (void)state;
    Case c = planned_case("", 1, 8);
    int tried = 0;
    fresh(&c);
    int n = count(&c, "buffers");
    for (int i = 0; i < n && tried < 30; i++)
        for (int k = 0; k < n; k++) {
            json_t *x = item(&c, "buffers", i), *y = item(&c, "buffers", k);
            if (i == k || json_is_true(json_object_get(x, "persistent")) ||
                number(x, "first") > number(y, "first") || number(x, "last") < number(y, "first") ||
                meet(bytes_of(&c, i), bytes_of(&c, k)))
                continue;
            put(x, "offset", bytes_of(&c, k).at);
            if (taken(&c) || !(strstr(c.told, "V11 lifetime: buffer ") || strstr(c.told, "V12 ")))
                fail_msg("buffer %d at the place of %d: %s", i, k, c.told);
            fresh(&c);
            tried++;
            break;
        }
    assert_true(tried >= 20);
    for (int i = 0; i < n; i += 3) { /* kept for too short: its last reader is not counted */
        json_t *b = item(&c, "buffers", i);
        int64_t last = number(b, "last");
        const json_t *reads = json_object_get(item(&c, "steps", (int)last), "reads");
        bool read = false;
        for (size_t k = 0; k < json_array_size(reads); k++)
            read = read || json_integer_value(json_array_get(reads, k)) == i;
        if (json_is_true(json_object_get(b, "persistent")) || !read || number(b, "first") == last)
            continue;
        put(b, "last", last - 1);
        refused(&c, "V11 lifetime: buffer ");
        fresh(&c);
    }
    put(item(&c, "buffers", n - 1), "offset", number(item(&c, "buffers", n - 1), "offset") + 4);
    refused(&c, "V12 bounds-align: buffer ");
    done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unchanged),
                                       cmocka_unit_test(choices),
                                       cmocka_unit_test(choices_that_cannot_be),
                                       cmocka_unit_test(other_models),
                                       cmocka_unit_test(flags),
                                       cmocka_unit_test(dropped_waits),
                                       cmocka_unit_test(swapped),
                                       cmocka_unit_test(places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
