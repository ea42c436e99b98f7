/* planned.h - a model's text planned within a test. */
#ifndef BM_PLANNED_H
#define BM_PLANNED_H

#include "frontend/lower.h"
#include "planner/choice.h"
#include "planner/verify/verify.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Planned {
    Arena *arena;
    FILE *out;
    char *text; /* what was told; complete after fflush(out) */
    size_t size;
    Diag *diag;
    Model *model;
    const Machine *machine;
} Planned;

static inline Planned *planned_model(const char *text, const char *machine)
{
    Arena *a = arena_new();
    Planned *t = arena_make(a, Planned);
    t->arena = a;
    Sources *s = sources_new(a);
    t->out = open_memstream(&t->text, &t->size);
    t->diag = diag_new(a, s, t->out);
    FILE *f = fopen("planned.bm", "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    t->model = lower_model(a, s, "planned.bm", NULL, 0, t->diag);
    bool made =
        t->model && training_graph(t->model, t->diag) && evaluation_graph(t->model, t->diag);
    fflush(t->out);
    if (!made)
        fail_msg("%s", t->text);
    simplify(a, &t->model->train);
    simplify(a, &t->model->eval);
    t->machine = machine_find(a, machine, t->diag);
    assert_non_null(t->machine);
    return t;
}

static inline void planned_done(Planned *t)
{
    fclose(t->out);
    free(t->text);
    arena_free(t->arena);
}

/* NULL: nothing fits. */
static inline Plan *planned_in(Planned *t, int64_t ranks, int64_t micro_batch, int64_t memory)
{
    PlanOptions o = {
        .ranks = ranks, .micro_batch = micro_batch, .memory = memory, .machine = t->machine};
    bool no_fit = false;
    Plan *p = plan_build(t->arena, t->model, &o, t->diag, &no_fit);
    fflush(t->out);
    if (!p && !no_fit)
        fail_msg("%s", t->text);
    return p;
}

static inline void planned_verify(Planned *t, const Plan *p)
{
    bool good = plan_verify(p, t->diag);
    fflush(t->out);
    if (!good)
        fail_msg("%s", t->text);
}

static inline Ask planned_ask(Planned *t, int64_t ranks, int64_t memory)
{
    return (Ask){.a = t->arena,
                 .m = t->model,
                 .machine = t->machine,
                 .ranks = ranks,
                 .shared_by = ranks,
                 .batch = t->model->batch,
                 .memory = memory,
                 .d = t->diag};
}

#endif
