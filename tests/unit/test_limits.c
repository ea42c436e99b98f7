/* Models at the edges: planned, verified and emitted, or refused with one message. Each was once
 * something else: a plan that breaks its rules, a crash, hours of work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codegen/emit.h"
#include "lower_fixture.h"
#include "planner/verify/verify.h"

typedef struct Edge {
    const char *what, *text, *says; /* says NULL: it is planned */
} Edge;

#define TRAIN(batch)                                                                               \
    "train { data = npy(x = \"x.npy\")\n batch = " batch                                           \
    "\n steps = 1\n optimizer = sgd(lr = 1) }\n"

static const Edge edge[] = {
    {"nothing is kept between steps", "model M {\n forward(x: [4]) { return average(x) } }\n",
     NULL},
    {"more bytes than there are numbers",
     "model M {\n w: param[2**47] ~ zeros\n forward(x: [4]) { return average(w) + average(x) } }\n"
     "train { data = npy(x = \"x.npy\")\n batch = 1\n steps = 1\n optimizer = adamw(lr = 1) }\n",
     "more than 2^50 bytes"},
    {"more operations than there are numbers",
     "model M {\n a: param[2**22, 2**22] ~ zeros\n b: param[2**22, 2**22] ~ zeros\n"
     " forward(x: [4]) { return average(a @ b) + average(x) } }\n" TRAIN("1"),
     "more than 2^60 operations"},
    {"a batch that fits only sample by sample",
     "model M {\n w: param[2**20] ~ zeros\n forward(x: [2**20]) { return average(x * w) } "
     "}\n" TRAIN("2**30"),
     NULL},
    {"a sum over the batch of a number, in many columns",
     "model M {\n fc: Linear(4, 5000)\n forward(x: [4]) { return average(fc(x)) } }\n" TRAIN("4"),
     NULL},
    {"deep",
     "model M {\n h[12000]: RMSNorm(4)\n forward(x: [4]) { return average(h(x)) } }\n" TRAIN("1"),
     "unrolls to more than 250000 operations"},
};

static Plan *plan_of(Fix *f)
{
    (void)lower_ok;
    Model *m = f->m;
    bool no_fit = false;
    if (!m || !training_graph(m, f->diag) || !evaluation_graph(m, f->diag))
        return NULL;
    simplify(f->arena, &m->train);
    simplify(f->arena, &m->eval);
    return plan_build(f->arena, m, &(PlanOptions){0}, f->diag, &no_fit);
}

static void edges(void **state)
{
    (void)state;
    for (int k = 0; k < countof(edge); k++) {
        const Edge *e = &edge[k];
        Fix *f = lower_with(e->text, NULL, 0);
        Plan *p = plan_of(f);
        bool good = p && plan_verify(p, f->diag);
        diag_finish(f->diag);
        fflush(f->out);
        if (e->says ? p || f->diag->errors != 1 || !strstr(f->text, e->says) : !good)
            fail_msg("%s: %s", e->what, f->text);
        if (p) {
            StrBuf s = strbuf_new(f->arena);
            plan_json(&s, p);
            emit_trainer(&s, p);
            emit_kernels(&s, p);
            assert_true(s.n > 1000);
        }
        done(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
