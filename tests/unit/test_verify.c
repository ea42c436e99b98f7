/* The verifier: valid plans pass, in memory and as files, and every kind of mutation is caught by a
 * check of its kind. */
#include "tests/unit/verify_told.h"

static void valid(void **state)
{
    (void)state;
    static const int64_t size[][3] = {{4, 3, 2}, {4, 3, 0}, {4, 1, 2}, {4, 1, 0}, {1, 1, 0},
                                      {5, 2, 2}, {5, 2, 5}, {5, 2, 4}, {1, 7, 1}};
    Arena *a = arena_new();
    for (int i = 0; i < countof(size); i++)
        passes(a, fix_small(a, size[i][0], size[i][1], size[i][2]));
    arena_free(a);
}

static void valid_at_random(void **state)
{
    (void)state;
    int steps = 0;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        Arena *a = arena_new();
        Plan *p = fix_random(a, seed);
        const char *t = told(a, p);
        if (*t)
            fail_msg("seed %d: %s", (int)seed, t);
        if (seed % 10 == 0 && *(t = told_file(a, p)))
            fail_msg("seed %d, as a file: %s", (int)seed, t);
        steps += p->step.n;
        arena_free(a);
    }
    printf("1500 plans, %d steps: no false alarm\n", steps);
}

/* A lifetime one step shorter than the trace of all rounds and chunks asks for is always caught; so
 * the verifier's rules ask for as much. */
static void shorter_at_random(void **state)
{
    (void)state;
    int tried = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        Arena *a = arena_new();
        Plan *p = fix_random(a, seed);
        Buffer *b = &p->buffer.v[seed * 7919 % (uint64_t)p->buffer.n];
        bool front = seed & 1;
        if (!b->persistent && b->first < b->last) {
            *(front ? &b->first : &b->last) += front ? 1 : -1;
            tried++;
            const char *t = told(a, p);
            if (!strstr(t, "V11 lifetime: buffer"))
                fail_msg("seed %d, %s of %d (%s): '%s'", (int)seed, front ? "first" : "last", b->id,
                         b->path, t);
        }
        arena_free(a);
    }
    assert_true(tried > 150);
}

/* Two buffers live together put at one place are always caught; so are those that are not. */
static void overlap_at_random(void **state)
{
    (void)state;
    int tried = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        Arena *a = arena_new();
        Plan *p = fix_random(a, seed);
        Buffer *x = &p->buffer.v[seed * 31 % (uint64_t)p->buffer.n];
        Buffer *y = &p->buffer.v[seed * 7919 % (uint64_t)p->buffer.n];
        bool meet = x != y && !x->persistent && !y->persistent && x->first <= y->last &&
                    y->first <= x->last;
        if (meet) {
            x->offset = y->offset;
            tried++;
            if (!strstr(told(a, p), "V11 lifetime: buffer"))
                fail_msg("seed %d: %d on %d", (int)seed, x->id, y->id);
        }
        arena_free(a);
    }
    assert_true(tried > 50);
}

static void memory(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    Buffer *h0 = named(p, PROGRAM_TRAIN, "h.0.gelu"), *h1 = named(p, PROGRAM_TRAIN, "h.1.gelu");
    int64_t was = h0->offset;
    h0->offset = h1->offset;
    caught_in_file(a, p, "V11 lifetime",
                   arena_printf(a, "buffer %d (h.0.gelu) and buffer %d (h.1.gelu) share bytes",
                                h0->id, h1->id));
    h0->offset = was + 4;
    caught_in_file(a, p, "V12 bounds-align", "not a multiple of 64");
    h0->offset = p->arena_bytes;
    caught_in_file(a, p, "V12 bounds-align", "in an arena of");
    h0->offset = 0;
    caught_in_file(a, p, "V12 bounds-align", "among the");
    h0->offset = was;
    Buffer *w = named(p, PROGRAM_TRAIN, "h.1.weight"), *v = named(p, PROGRAM_TRAIN, "h.0.weight");
    was = w->offset;
    w->offset = v->offset;
    caught_in_file(a, p, "V11 lifetime", "(h.0.weight) and buffer");
    w->offset = p->persistent_bytes;
    caught_in_file(a, p, "V12 bounds-align", "past the");
    w->offset = was;
    passes(a, p);
    arena_free(a);
}

static void peak(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    int64_t *const lie[] = {&p->max_live_bytes, &p->persistent_bytes, &p->arena_bytes};
    for (int i = 0; i < countof(lie); i++)
        for (int by = -1; by <= 1; by += 2) {
            *lie[i] += by;
            caught(a, p, by < 0 && i == 1 ? "V12" : by < 0 && i == 2 ? "V12" : "V13", "");
            *lie[i] -= by;
        }
    p->max_live_bytes -= 64;
    caught_in_file(a, p, "V13 peak", "the plan says");
    p->max_live_bytes += 64;
    int step = p->max_live_step;
    p->max_live_step = 0;
    caught_in_file(a, p, "V13 peak", "bytes are live in step 0");
    p->max_live_step = 99;
    caught(a, p, "V13 peak", "step 99 of");
    p->max_live_step = step;
    p->memory = p->arena_bytes;
    passes(a, p);
    p->memory--;
    caught_in_file(a, p, "V13 peak", "bytes and may take");
    arena_free(a);
}

static void swap_steps(Plan *p, int i, int k)
{
    Step s = p->step.v[i];
    p->step.v[i] = p->step.v[k];
    p->step.v[k] = s;
    p->step.v[i].id = i;
    p->step.v[k].id = k;
}

static void order(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 0);
    int s0 = writer_of(p, PROGRAM_TRAIN, "h.0.gelu"), s1 = writer_of(p, PROGRAM_TRAIN, "h.1.gelu");
    swap_steps(p, s0, s1);
    caught_in_file(a, p, "V02 def-before-use", "reads buffer");
    caught_in_file(a, p, "V02 def-before-use", "before any step wrote it");
    swap_steps(p, s0, s1);
    passes(a, p);
    swap_steps(p, 0, s0); /* out of its phase */
    caught_in_file(a, p, "V01 well-formed", "comes after one of");
    swap_steps(p, 0, s0);
    p->program[PROGRAM_TRAIN].count[PHASE_ROUND]--;
    caught_in_file(a, p, "V01 well-formed", "train round: the plan says");
    p->program[PROGRAM_TRAIN].count[PHASE_ROUND]++;
    int last = p->step.n - 1; /* evaluation reads what training made */
    int h = named(p, PROGRAM_TRAIN, "h.0.gelu")->id;
    Operand keep = p->step.v[last].arg[0];
    p->step.v[last].arg[0].buffer = h;
    caught_in_file(a, p, "V01 well-formed", "of eval uses buffer");
    p->step.v[last].arg[0] = keep;
    /* one input in two places: the trainer would fill one of them */
    Buffer *den = named(p, PROGRAM_TRAIN, "loss.ones");
    den->role = ROLE_INPUT;
    den->path = "x";
    caught_in_file(a, p, "V01 well-formed", "are both input 'x' of train");
    den->role = ROLE_TEMP;
    p->step.v[3].id = 7;
    caught(a, p, "V01 well-formed", "step 3 has id 7");
    arena_free(a);
}

static void rounds(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 0);
    /* the norm reads a value of one round */
    int norm = writer_of(p, PROGRAM_TRAIN, "norm"), h = named(p, PROGRAM_TRAIN, "h.0.dgelu")->id;
    int was = p->step.v[norm].arg[0].buffer;
    p->step.v[norm].arg[0].buffer = h;
    caught_in_file(a, p, "V02 def-before-use", "makes anew in each round");
    p->step.v[norm].arg[0].buffer = named(p, PROGRAM_TRAIN, "x")->id;
    caught_in_file(a, p, "V02 def-before-use", "outside of the rounds");
    p->step.v[norm].arg[0].buffer = was;
    /* a step of the round reads an accumulator of it */
    int back = writer_of(p, PROGRAM_TRAIN, "h.0.dgelu"), acc = named(p, PROGRAM_TRAIN, "loss")->id;
    was = p->step.v[back].arg[1].buffer;
    p->step.v[back].arg[1].buffer = acc;
    caught_in_file(a, p, "V02 def-before-use", "before its last round");
    p->step.v[back].arg[1].buffer = was;
    /* two steps add to one accumulator */
    int add = writer_of(p, PROGRAM_TRAIN, "h.0.weight.grad");
    was = p->step.v[add].arg[1].buffer;
    p->step.v[add].arg[1].buffer = named(p, PROGRAM_TRAIN, "h.1.weight.grad")->id;
    caught_in_file(a, p, "V20 acc-init", "both add to buffer");
    p->step.v[add].arg[1].buffer = was;
    /* what the trainer reads is of the last round only */
    was = p->term.v[0].num.buffer;
    p->term.v[0].num.buffer = h;
    caught_in_file(a, p, "V02 def-before-use", "'loss' is read when all rounds are done");
    p->term.v[0].num.buffer = was;
    passes(a, p);
    p->rounds = p->program[0].rounds = 4;
    caught_in_file(a, p, "V01 well-formed", "are no batch of 12");
    arena_free(a);
}

static void updates(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 0);
    int u0 = writer_of(p, PROGRAM_TRAIN, "h.0.weight"),
        u1 = writer_of(p, PROGRAM_TRAIN, "h.1.weight");
    int w0 = named(p, PROGRAM_TRAIN, "h.0.weight")->id,
        w1 = named(p, PROGRAM_TRAIN, "h.1.weight")->id;
    assert_int_equal(p->step.v[u1].arg[0].buffer, w1);
    p->step.v[u1].arg[0].buffer = w0;
    caught_in_file(a, p, "V09 update-once", "wrote already");
    caught_in_file(a, p, "V09 update-once", "no step of the update writes buffer 2 (h.1.weight)");
    p->step.v[u1].arg[0].buffer = w1;
    p->step.v[u1].arg[1].buffer = w0;
    caught_in_file(a, p, "V10 param-fresh", arena_printf(a, "after step %d (h.0) changed it", u0));
    p->step.v[u1].arg[1].buffer = named(p, PROGRAM_TRAIN, "h.1.weight.exp_avg")->id;
    passes(a, p);
    int s = writer_of(p, PROGRAM_TRAIN, "norm");
    p->step.v[s].arg[2].buffer = w0;
    caught_in_file(a, p, "V09 update-once", "in train post");
    arena_free(a);
}

static void regions(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Plan *p = fix_small(a, 4, 3, 2);
    int norm = writer_of(p, PROGRAM_TRAIN, "h.1.dgelu");
    int was = p->step.v[norm].arg[0].buffer;
    p->step.v[norm].arg[0].buffer = named(p, PROGRAM_TRAIN, "logits")->id;
    caught_in_file(a, p, "V01 well-formed", "holds a chunk of region 1 only");
    p->step.v[norm].arg[0].buffer = was;
    int s = writer_of(p, PROGRAM_TRAIN, "loss.each");
    p->step.v[s].region = 0;
    caught_in_file(a, p, "V01 well-formed", "in region 1, which ended with step");
    p->step.v[s].region = 1;
    p->program[0].region_samples = 3;
    caught_in_file(a, p, "V01 well-formed", "3 samples of 2000 bytes are meant");
    p->program[0].region_samples = 2;
    passes(a, p);
    /* dlogits is written chunk by chunk: its bytes are taken before its first step */
    Buffer *top = named(p, PROGRAM_TRAIN, "dlogits");
    assert_int_equal(top->first, writer_of(p, PROGRAM_TRAIN, "logits"));
    top->first = writer_of(p, PROGRAM_TRAIN, "dlogits");
    caught_in_file(a, p, "V11 lifetime", "(dlogits) is needed in steps");
    arena_free(a);
}

/* Mutations at random: none may crash, and those that surely matter are caught. */
static void mutations(void **state)
{
    (void)state;
    int caught_ = 0, all = 0;
    for (uint64_t seed = 1; seed <= 800; seed++) {
        Arena *a = arena_new();
        Plan *p = fix_random(a, seed);
        Buffer *b = &p->buffer.v[seed * 31 % (uint64_t)p->buffer.n];
        Step *s = &p->step.v[seed * 17 % (uint64_t)p->step.n];
        bool sure = true;
        switch (seed % 8) {
        case 0:
            b->offset += 32;
            break;
        case 1:
            b->bytes += 64 * 1024; /* it ends in another, or beyond */
            break;
        case 2:
            p->max_live_bytes += seed & 8 ? 1 : -1;
            break;
        case 3:
            s->phase = s->phase == PHASE_ROUND ? PHASE_WEIGHT : PHASE_ROUND;
            break;
        case 4:
            b->program = (ProgramKind)((b->program + 1) % N_PROGRAMS);
            sure = !b->persistent;
            break;
        case 5:
            s->arg[0].buffer = (int)(seed * 13 % (uint64_t)p->buffer.n);
            sure = false;
            break;
        case 6:
            s->arg[s->kernel->n_arg - 1].offset += 1 << 20;
            break;
        case 7:
            b->persistent = !b->persistent;
            break;
        }
        bool ok = !*told(a, p);
        if (ok && sure)
            fail_msg("mutation %d of seed %d passed", (int)(seed % 8), (int)seed);
        caught_ += !ok;
        all++;
        arena_free(a);
    }
    printf("%d of %d mutations caught\n", caught_, all);
}

/* 10,000 steps are no wait. */
static void large(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Fix *f = fix_new(a, 3);
    fix_program(f, PROGRAM_TRAIN, 4, 2, 0);
    int x = fix_buffer(f, "x", ROLE_INPUT, 64, true, PROGRAM_TRAIN, 0);
    for (int i = 0; i < 10000; i++) {
        int y = fix_buffer(f, "y", ROLE_TEMP, 64, true, PROGRAM_TRAIN, 0);
        fix_map(f, PROGRAM_TRAIN, PHASE_ROUND, "h", y, &x, 1);
        f->p->buffer.v[y].first = i;
        f->p->buffer.v[y].last = i + 1 < 10000 ? i + 1 : i;
        f->p->buffer.v[y].offset = i % 2 * 1024 + 1024;
        x = y;
    }
    f->p->program[0].count[PHASE_ROUND] = 10000;
    f->p->buffer.v[0].last = 0;
    f->p->arena_bytes = 3 * 1024;
    f->p->max_live_bytes = 2048;
    assert_string_equal(told(a, f->p), "");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid),
        cmocka_unit_test(valid_at_random),
        cmocka_unit_test(shorter_at_random),
        cmocka_unit_test(overlap_at_random),
        cmocka_unit_test(memory),
        cmocka_unit_test(peak),
        cmocka_unit_test(order),
        cmocka_unit_test(rounds),
        cmocka_unit_test(updates),
        cmocka_unit_test(regions),
        cmocka_unit_test(mutations),
        cmocka_unit_test(large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
