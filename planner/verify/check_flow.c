/* check_flow.c - V02 V09 V10 V14 V20: what every step reads is there and complete.
 *
 * One walk over the steps in order is enough: a loop's turns repeat the same steps, and a value
 * that goes from one turn to the next is an accumulator, which is told apart. */
#include "planner/verify/table.h"

typedef struct Seen { /* of a buffer, as the walk goes on */
    int writer;       /* the last step that wrote it; -1: none */
    bool sum;         /* that step added to it */
    int adder;        /* the step that adds to it; -1: none */
    int64_t adder_at;
    int update;  /* a persistent one: the step that changed it; -1: none */
    int touched; /* the last step that used it; -1: none */
    int with;    /* which of its arguments */
} Seen;

static bool is_loop(int phase)
{
    return phase == PHASE_WEIGHT || phase == PHASE_ROUND;
}

/* Inputs are written by the trainer, as each turn of a loop begins. */
static void read_input(Table *t, int step, int buffer)
{
    const TableStep *s = &t->step[step];
    if (!is_loop(s->phase) && t->program[s->program].turns)
        broken(t, CHECK_V02, "%s reads %s outside of the rounds", the_step(t, step),
               the_buffer(t, buffer));
}

static void read_buffer(Table *t, int step, int buffer, const Seen *b)
{
    const TableStep *s = &t->step[step];
    const TableProgram *p = &t->program[s->program];
    if (b->writer < 0) {
        broken(t, CHECK_V02, "%s reads %s before any step wrote it", the_step(t, step),
               the_buffer(t, buffer));
        return;
    }
    const TableStep *w = &t->step[b->writer];
    bool same = w->phase == s->phase;
    if (is_loop(w->phase) && p->turns && same && b->sum)
        broken(t, CHECK_V02, "%s reads %s before its last round: %s still adds to it",
               the_step(t, step), the_buffer(t, buffer), the_step(t, b->writer));
    if (is_loop(w->phase) && p->turns && !same && !b->sum)
        broken(t, CHECK_V02, "%s reads %s, which %s makes anew in each round", the_step(t, step),
               the_buffer(t, buffer), the_step(t, b->writer));
    if (!w->region || !p->chunks || t->buffer[buffer].batched)
        return;
    if (b->sum && w->region == s->region)
        broken(t, CHECK_V02, "%s reads %s before its last chunk: %s still adds to it",
               the_step(t, step), the_buffer(t, buffer), the_step(t, b->writer));
    if (!b->sum && w->region != s->region)
        broken(t, CHECK_V02, "%s reads %s, which %s makes anew in each chunk", the_step(t, step),
               the_buffer(t, buffer), the_step(t, b->writer));
}

static void read_persistent(Table *t, int step, int buffer, const Seen *b)
{
    if (b->update >= 0 && t->buffer[buffer].role == ROLE_PARAM &&
        t->step[b->update].program == t->step[step].program)
        broken(t, CHECK_V10, "%s reads %s after %s changed it", the_step(t, step),
               the_buffer(t, buffer), the_step(t, b->update));
}

static void write_persistent(Table *t, int step, int buffer, Seen *b)
{
    const TableStep *s = &t->step[step];
    if (s->program != PROGRAM_TRAIN || s->phase != PHASE_UPDATE)
        broken(t, CHECK_V09, "%s writes %s in %s %s", the_step(t, step), the_buffer(t, buffer),
               program_words.word[s->program], phase_words.word[s->phase]);
    else if (t->buffer[buffer].role == ROLE_HOST)
        broken(t, CHECK_V09, "%s writes %s, which is the trainer's to write", the_step(t, step),
               the_buffer(t, buffer));
    else if (b->update >= 0 && b->update != step)
        broken(t, CHECK_V09, "%s writes %s, which %s wrote already", the_step(t, step),
               the_buffer(t, buffer), the_step(t, b->update));
    b->update = step;
}

/* The first turn overwrites: two steps that add to one place would lose what the first added. */
static void add_buffer(Table *t, int step, const Use *u, Seen *b)
{
    if (!is_loop(t->step[step].phase))
        broken(t, CHECK_V20, "%s adds to %s outside of the rounds", the_step(t, step),
               the_buffer(t, u->buffer));
    if (b->adder >= 0 && b->adder != step && b->adder_at == u->at)
        broken(t, CHECK_V20,
               "%s and %s both add to %s from byte %lld: in the first round the "
               "second overwrites",
               the_step(t, b->adder), the_step(t, step), the_buffer(t, u->buffer),
               (long long)u->at);
    b->adder = step;
    b->adder_at = u->at;
}

/* A kernel may read and write through one argument; its author knows. Through two it is a race. */
static void check_race(Table *t, int step, Seen *seen)
{
    const TableStep *s = &t->step[step];
    for (int k = 0; k < s->n_use; k++) {
        const Use *u = &s->use[k];
        Seen *b = &seen[u->buffer];
        if (b->touched == step &&
            ((u->read && s->use[b->with].write) || (u->write && s->use[b->with].read)))
            broken(t, CHECK_V14, "%s reads and writes %s through arguments %d and %d",
                   the_step(t, step), the_buffer(t, u->buffer), b->with, k);
        b->touched = step;
        b->with = k;
    }
}

static void walk_step(Table *t, int i, Seen *seen)
{
    const TableStep *s = &t->step[i];
    for (int k = 0; k < s->n_use; k++) {
        const Use *u = &s->use[k];
        Seen *b = &seen[u->buffer];
        if (u->add)
            add_buffer(t, i, u, b);
        else if (u->read && t->buffer[u->buffer].persistent)
            read_persistent(t, i, u->buffer, b);
        else if (u->read && t->buffer[u->buffer].role == ROLE_INPUT)
            read_input(t, i, u->buffer);
        else if (u->read)
            read_buffer(t, i, u->buffer, b);
    }
    for (int k = 0; k < s->n_use; k++) {
        const Use *u = &s->use[k];
        Seen *b = &seen[u->buffer];
        if (!u->write)
            continue;
        if (t->buffer[u->buffer].persistent)
            write_persistent(t, i, u->buffer, b);
        else if (t->buffer[u->buffer].role == ROLE_INPUT)
            broken(t, CHECK_V09, "%s writes %s, which is the trainer's to write", the_step(t, i),
                   the_buffer(t, u->buffer));
        b->writer = i;
        b->sum = u->add;
    }
}

/* What the host reads must be complete by then. */
static void check_result(Table *t, const TableResult *r, const Seen *seen)
{
    const Seen *b = &seen[r->buffer];
    if (t->buffer[r->buffer].persistent || t->buffer[r->buffer].role == ROLE_INPUT)
        return;
    if (b->writer < 0) {
        broken(t, CHECK_V02, "no step writes %s, which the trainer reads as '%s'",
               the_buffer(t, r->buffer), r->name);
        return;
    }
    const TableStep *w = &t->step[b->writer];
    const TableProgram *p = &t->program[r->program];
    if (is_loop(w->phase) && p->turns && !r->each_turn && !b->sum)
        broken(t, CHECK_V02, "'%s' is read when all rounds are done, and %s makes %s anew in each",
               r->name, the_step(t, b->writer), the_buffer(t, r->buffer));
}

static void check_trained(Table *t, const Seen *seen)
{
    const TableProgram *p = &t->program[PROGRAM_TRAIN];
    if (!p->present || p->hi[PHASE_UPDATE] < p->lo[PHASE_UPDATE])
        return; /* nothing is trained */
    for (int i = 0; i < t->n_buffer; i++)
        if (t->buffer[i].trained && seen[i].update < 0)
            broken(t, CHECK_V09, "no step of the update writes %s", the_buffer(t, i));
}

void check_flow(Table *t)
{
    Seen *seen = arena_array(t->a, Seen, t->n_buffer);
    for (int i = 0; i < t->n_buffer; i++)
        seen[i] = (Seen){.writer = -1, .adder = -1, .update = -1, .touched = -1};
    for (int i = 0; i < t->n_step; i++) {
        check_race(t, i, seen);
        walk_step(t, i, seen);
    }
    check_trained(t, seen);
    for (int i = 0; i < t->n_result; i++)
        check_result(t, &t->result[i], seen);
}
