/* verify.c - the checks in order, and how they tell what they found. */
#include "planner/verify/table.h"

enum { SHOWN = 6 }; /* failures of one check that are printed: a broken plan breaks everywhere */

static const char *const check_word[][3] = {
#define X(id, name, what) {#id, name, what},
    VERIFY_CHECKS(X)
#undef X
};

void broken(Table *t, Check c, const char *fmt, ...)
{
    if (++t->told[c] > SHOWN)
        return;
    StrBuf s = strbuf_new(t->a);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&s, fmt, ap);
    va_end(ap);
    diag_error(t->d, NO_SPAN, "%s%s %s: %s", t->name, check_word[c][0], check_word[c][1], s.text);
}

const char *the_step(const Table *t, int step)
{
    return arena_printf(t->a, "step %d (%s)", step, t->step[step].path);
}

const char *the_buffer(const Table *t, int buffer)
{
    return arena_printf(t->a, "buffer %d (%s)", buffer, t->buffer[buffer].path);
}

static int failures(const Table *t)
{
    int n = 0;
    for (int i = 0; i < N_CHECKS; i++)
        n += t->told[i];
    return n;
}

static bool finish(Table *t)
{
    for (int i = 0; i < N_CHECKS; i++)
        if (t->told[i] > SHOWN)
            diag_note(t->d, NO_SPAN, "%s %s fails at %d places, %d shown", check_word[i][0],
                      check_word[i][1], t->told[i], SHOWN);
    bool ok = failures(t) == 0;
    arena_free(t->a);
    return ok;
}

static void check_all(Table *t)
{
    check_form(t);
    if (t->told[CHECK_V01])
        return;
    check_groups(t);
    check_bounds(t);
    if (!t->told[CHECK_V04])
        check_comm(t);
    if (t->told[CHECK_V04] || t->told[CHECK_V06] || t->told[CHECK_V07])
        return; /* what follows goes by them */
    check_flow(t);
    check_memory(t);
    check_race(t);
    check_cost(t);
}

bool plan_verify(const Plan *p, Diag *d)
{
    Table t = {.a = arena_new(), .d = d, .name = ""};
    if (table_fill(&t, p)) {
        check_all(&t);
        if (!failures(&t))
            check_reach(&t, p);
        if (!t.told[CHECK_V01])
            check_remat(&t, p);
        if (p->hash != plan_hash(p))
            broken(&t, CHECK_V23, "the plan says %016llx, its hash is %016llx",
                   (unsigned long long)p->hash, (unsigned long long)plan_hash(p));
    }
    return finish(&t);
}

/* Origins of a plan's steps by these names; false: it is not even well-formed. */
static bool find_origins(const Plan *p, const int *name, uint64_t *origin)
{
    Table t = {.a = arena_new(), .name = ""};
    t.d = diag_new(t.a, sources_new(t.a), NULL);
    bool ok = table_fill(&t, p);
    if (ok)
        check_form(&t);
    ok = ok && !t.told[CHECK_V01];
    if (ok)
        flow_origins(&t, name, origin);
    arena_free(t.a);
    return ok;
}

uint64_t *plan_origins(Arena *a, const Plan *p)
{
    uint64_t *origin = arena_array(a, uint64_t, p->step.n + 1);
    int *same = arena_array(a, int, p->step.n + 1);
    for (int i = 0; i < p->step.n; i++)
        same[i] = i;
    find_origins(p, same, origin);
    return origin;
}

bool plan_verify_order(const Plan *p, const int *was, const uint64_t *origins, Diag *d)
{
    Table t = {.a = arena_new(), .d = d, .name = ""};
    uint64_t *now = arena_array(t.a, uint64_t, p->step.n + 1);
    if (find_origins(p, was, now))
        for (int i = 0; i < p->step.n; i++)
            if (now[i] != origins[was[i]])
                broken(&t, CHECK_V02,
                       "step %d (%s) reads what another step wrote than it did as "
                       "step %d, before steps were moved",
                       i, p->step.v[i].path, was[i]);
    return finish(&t);
}

bool plan_file_verify(const PlanFile *f, Diag *d)
{
    Table t = {.a = arena_new(), .d = d};
    t.name = arena_printf(t.a, "%s: ", f->name);
    table_fill_file(&t, f);
    if (!t.told[CHECK_V01])
        check_all(&t);
    return finish(&t);
}

void verify_checks_print(StrBuf *s)
{
    for (int i = 0; i < N_CHECKS; i++)
        strbuf_printf(s, "%s %-15s %s\n", check_word[i][0], check_word[i][1], check_word[i][2]);
}
