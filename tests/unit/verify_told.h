/* verify_told.h - what the verifier says about a plan, in memory and as a file. For tests. */
#ifndef VERIFY_TOLD_H
#define VERIFY_TOLD_H

#include "planner/verify/verify.h"
#include "tests/unit/plan_random.h"

#include <setjmp.h>

#include <cmocka.h>

/* What was told, joined; "" when the plan passed. The hash is made right: whoever edits a plan
 * would. */
static inline const char *told(Arena *a, const Plan *p)
{
    Plan hashed = *p;
    hashed.hash = plan_hash(p);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    bool ok = plan_verify(&hashed, diag_new(a, sources_new(a), out));
    fclose(out);
    char *copy = arena_strdup(a, text);
    free(text);
    assert_int_equal(ok, !*copy);
    return copy;
}

static inline const char *told_file(Arena *a, const Plan *p)
{
    StrBuf s = strbuf_new(a);
    plan_json(&s, p);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    Diag *d = diag_new(a, sources_new(a), out);
    PlanFile *f = plan_read_text(a, "p", s.text, s.n, d);
    bool ok = f && plan_file_verify(f, d);
    fclose(out);
    char *copy = arena_strdup(a, text);
    free(text);
    assert_int_equal(ok, !*copy);
    return copy;
}

static inline void passes(Arena *a, const Plan *p)
{
    assert_string_equal(told(a, p), "");
    assert_string_equal(told_file(a, p), "");
}

/* Caught by `check`, whose text holds `words`. */
static inline void caught(Arena *a, const Plan *p, const char *check, const char *words)
{
    const char *t = told(a, p);
    if (!strstr(t, check) || !strstr(t, words))
        fail_msg("wanted %s with '%s', told:\n%s", check, words, t);
}

static inline void caught_in_file(Arena *a, const Plan *p, const char *check, const char *words)
{
    caught(a, p, check, words);
    const char *t = told_file(a, p);
    if (!strstr(t, check) || !strstr(t, words))
        fail_msg("wanted %s with '%s' of the file, told:\n%s", check, words, t);
}

static inline Buffer *named(Plan *p, ProgramKind g, const char *path)
{
    for (int i = 0; i < p->buffer.n; i++)
        if (strcmp(p->buffer.v[i].path, path) == 0 && p->buffer.v[i].program == g)
            return &p->buffer.v[i];
    fail_msg("no buffer %s", path);
    return NULL;
}

/* The step whose first argument written is `path`'s. */
static inline int writer_of(Plan *p, ProgramKind g, const char *path)
{
    int b = named(p, g, path)->id;
    for (int i = 0; i < p->step.n; i++)
        for (int k = 0; k < p->step.v[i].kernel->n_arg; k++)
            if (p->step.v[i].arg[k].buffer == b && p->step.v[i].kernel->arg_written[k])
                return i;
    fail_msg("nobody writes %s", path);
    return -1;
}

#endif
