/* Plans a person changed: what is legal is taken and verified, 200 times. */
#include "tests/unit/plan_edited.h"

/* ---- legal changes, at random ---- */

typedef struct Roll {
    uint64_t seed;
} Roll;

static int roll(Roll *r, int n)
{
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->seed >> 33) % (uint64_t)n);
}

static const json_t *by_id(const Case *c, int64_t id)
{
    for (int i = 0; i < count(c, "steps"); i++)
        if (number(item(c, "steps", i), "id") == id)
            return item(c, "steps", i);
    return NULL;
}

static int place_of(const Case *c, int64_t id)
{
    int i = 0;
    while (number(item(c, "steps", i), "id") != id)
        i++;
    return i;
}

/* A wait of `s` for `id`, unless it waits for a later one of that stream. */
static void wait_for(const Case *c, json_t *s, int64_t id)
{
    const char *stream = word(by_id(c, id), "stream");
    json_t *waits = json_object_get(s, "waits");
    for (size_t i = 0; i < json_array_size(waits); i++) {
        int64_t had = json_integer_value(json_array_get(waits, i));
        if (strcmp(word(by_id(c, had), "stream"), stream) != 0)
            continue;
        if (place_of(c, had) < place_of(c, id))
            json_array_set_new(waits, i, json_integer(id));
        return;
    }
    json_array_append_new(waits, json_integer(id));
}

/* Two neighbours change places; on one stream, who waited for the later one waits for it still, and
 * what the earlier one had waited for has to be waited for by the other one now. */
static bool swap(Case *c, Roll *r)
{
    int i = roll(r, count(c, "steps") - 1);
    if (!independent(c, i))
        return false;
    json_t *s = item(c, "steps", i), *t = item(c, "steps", i + 1);
    bool same = same_word(s, t, "stream");
    exchange(list(c, "steps"), i);
    for (int k = i + 2; same && k < count(c, "steps"); k++)
        if (waits_for(item(c, "steps", k), number(t, "id")))
            wait_for(c, item(c, "steps", k), number(s, "id"));
    json_t *waits = json_object_get(s, "waits");
    for (size_t k = 0; same && k < json_array_size(waits); k++)
        wait_for(c, t, json_integer_value(json_array_get(waits, k)));
    return true;
}

static bool add_wait(Case *c, Roll *r)
{
    int i = roll(r, count(c, "steps"));
    json_t *s = item(c, "steps", i);
    for (int k = i - 1 - roll(r, 8); k >= 0; k--) {
        const json_t *t = item(c, "steps", k);
        if (!same_word(s, t, "program") || !same_word(s, t, "phase"))
            return false;
        if (same_word(s, t, "stream") || number(t, "region"))
            continue;
        wait_for(c, s, number(t, "id"));
        return true;
    }
    return false;
}

/* Above everything else. */
static bool move_up(Case *c, Roll *r)
{
    json_t *b = item(c, "buffers", roll(r, count(c, "buffers")));
    int64_t top = 0;
    if (json_is_true(json_object_get(b, "persistent")))
        return false;
    for (int i = 0; i < count(c, "buffers"); i++)
        top = max64(top, bytes_of(c, i).host ? 0 : bytes_of(c, i).end);
    put(b, "offset", top + 64 * roll(r, 100));
    return true;
}

static bool compute_only(const Case *c, int buffer)
{
    for (int i = 0; i < count(c, "steps"); i++) {
        const json_t *s = item(c, "steps", i), *args = json_object_get(s, "args");
        if (strcmp(word(s, "stream"), "compute") == 0)
            continue;
        for (size_t k = 0; k < json_array_size(args); k++)
            if (json_integer_value(json_array_get(args, k)) == buffer)
                return false;
    }
    return true;
}

/* Into a hole: nobody is there at the same time, and one stream uses all that is there ever. */
static bool move_in(Case *c, Roll *r)
{
    int n = count(c, "buffers"), me = roll(r, n);
    json_t *b = item(c, "buffers", me);
    Bytes was = bytes_of(c, me), now = was;
    int64_t low = number(list(c, "totals"), "persistent_bytes");
    int64_t high = number(list(c, "totals"), "arena_bytes") - (was.end - was.at);
    if (json_is_true(json_object_get(b, "persistent")) || !compute_only(c, me) || high <= low)
        return false;
    now.at = low + 64 * roll(r, (int)((high - low) / 64));
    now.end = now.at + was.end - was.at;
    for (int i = 0; i < n; i++) {
        const json_t *x = item(c, "buffers", i);
        if (i == me || !meet(bytes_of(c, i), now))
            continue;
        bool apart =
            number(x, "last") < number(b, "first") || number(b, "last") < number(x, "first");
        if (!apart || !compute_only(c, i))
            return false;
    }
    put(b, "offset", now.at);
    return now.at != was.at;
}

/* Ids that are places again, as a program would write it. */
static void number_anew(Case *c)
{
    int n = count(c, "steps");
    int64_t *place = calloc((size_t)n, sizeof *place);
    for (int i = 0; i < n; i++)
        place[number(item(c, "steps", i), "id")] = i;
    for (int i = 0; i < n; i++) {
        json_t *s = item(c, "steps", i), *w = json_object_get(s, "waits");
        put(s, "id", i);
        for (size_t k = 0; k < json_array_size(w); k++)
            json_array_set_new(w, k, json_integer(place[json_integer_value(json_array_get(w, k))]));
    }
    json_t *comm = json_array();
    for (int i = 0; i < n; i++)
        for (int k = 0; k < count(c, "comm"); k++)
            if (place[number(item(c, "comm", k), "step")] == i) {
                json_t *x = json_deep_copy(item(c, "comm", k));
                put(x, "step", i);
                json_array_append_new(comm, x);
            }
    json_object_set_new(c->o, "comm", comm);
    free(place);
}

static bool choose(Case *c, Roll *r)
{
    static const char *const level[] = {"0", "1", "2", "3", "once"};
    static const char *const rule[] = {"none", "all", "kept"};
    bool many = number(c->o, "ranks") > 1;
    for (int i = 0; many && i < count(c, "groups"); i++)
        json_object_set_new(item(c, "groups", i), "level", json_string(level[roll(r, 5)]));
    if (many) {
        put(c->o, "lead", roll(r, 4));
        put(c->o, "bucket_bytes", 4096 << roll(r, 10));
    }
    for (int i = 0; i < count(c, "recompute"); i++) {
        json_t *u = item(c, "recompute", i), *kept = json_array();
        int how = roll(r, 3);
        int ops = (int)json_array_size(json_object_get(item(c, "recompute", 0), "ops"));
        assert_true(ops > 5);
        for (int k = 0; how == 2 && k < ops; k++)
            if (roll(r, 3) == 0)
                json_array_append_new(kept, json_integer(k));
        json_object_set_new(u, "rule", json_string(rule[how]));
        json_object_set_new(u, "kept", kept);
    }
    return true;
}

typedef bool Change(Case *c, Roll *r);

static int legal_changes(Case *c, Roll *r, int plans)
{
    static Change *const change[] = {swap, add_wait, move_up, move_in};
    int made[countof(change)] = {0};
    for (int n = 0; n < plans; n++) {
        bool swaps = false;
        fresh(c);
        for (int left = 1 + roll(r, 6), tries = 0; left > 0 && tries < 2000; tries++) {
            int k = n % 4 < 3 ? roll(r, countof(change)) : 0; /* or swaps only */
            if (change[k] == move_in && swaps)                /* lifetimes are those of before */
                continue;
            if (!change[k](c, r))
                continue;
            swaps = swaps || change[k] == swap;
            made[k]++;
            left--;
        }
        if (n % 2)
            number_anew(c);
        const Plan *p = accepted(c, "legal changes");
        assert_true(p->hash == p->made || p->arena_bytes >= p->persistent_bytes);
    }
    printf("%d plans: %d swaps, %d waits, %d buffers moved up, %d moved in\n", plans, made[0],
           made[1], made[2], made[3]);
    return plans;
}

#ifdef __SANITIZE_ADDRESS__ /* some ten times slower, beside a build that does all of them */
enum { EACH = 12 };
#else
enum { EACH = 40 };
#endif

static void legal(void **state)
{
    (void)state;
    Roll r = {7};
    int plans = 0;
    static const struct {
        const char *section;
        int64_t ranks, micro;
    } of[] = {{"", 1, 8},
              {"plan {\n  zero h.* = 3\n}\n", 4, 3},
              {"plan {\n  zero h.* = 2\n  hybrid = 2\n}\n", 4, 2},
              {"plan {\n  zero * = 3\n  overlap = off\n  recompute = all\n}\n", 3, 8}};
    for (int i = 0; i < countof(of); i++) {
        Case c = planned_case(of[i].section, of[i].ranks, of[i].micro);
        plans += legal_changes(&c, &r, EACH);
        done(&c);
    }
    Case c = planned_case("", 4, 3);
    for (int i = 0; i < EACH; i++, plans++) {
        fresh(&c);
        choose(&c, &r);
        accepted(&c, "other choices");
    }
    done(&c);
    assert_int_equal(plans, (countof(of) + 1) * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(legal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
