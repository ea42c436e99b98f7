/* check_flow.c - V02 V03 V08 V09 V10 V20 V21: one walk over the steps in the order of their ids,
 * loops as many times as their turns differ (a first one, others, a last), and after each step what
 * its buffers hold (flow.h). */
#include "planner/verify/flow.h"

/* Inputs are written by the trainer, as each turn of a loop begins. */
static void read_input(Flow *f, int step, const Use *u)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    if (!is_loop(s->phase) && t->program[s->program].turns)
        flow_broken(f, step, CHECK_V02, "%s reads %s outside of the rounds", the_step(t, step),
                    the_buffer(t, u->buffer));
    f->local = true;
}

/* Parameters are read as the step began; where ranks keep shards, from a gathered copy. */
static void read_param(Flow *f, int step, const Use *u)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    const TableBuffer *b = &t->buffer[u->buffer];
    const Holds *p = &f->place[u->buffer];
    int update = -1;
    for (int k = piece_of(p, u->lo); k < p->n_piece && p->piece[k].at < u->end; k++)
        update = p->piece[k].update >= 0 ? p->piece[k].update : update;
    if (u->end <= u->lo)
        update = p->piece[0].update;
    for (int k = 0; k < p->n_column; k++)
        update = p->column[k].update >= 0 ? p->column[k].update : update;
    if (update >= 0)
        flow_broken(f, step, CHECK_V10, "%s reads %s after %s changed it", the_step(t, step),
                    the_buffer(t, u->buffer), the_step(t, update));
    if (b->sharded && t->shared_by > 1 && s->phase != PHASE_UPDATE && s->kind != KIND_COPY)
        flow_broken(f, step, CHECK_V03, "%s reads %s, of which this rank has a shard only",
                    the_step(t, step), the_buffer(t, u->buffer));
}

/* A kernel may read and write through one argument; its author knows. Through two it is a race. */
static void check_arguments(Table *t, int step)
{
    const TableStep *s = &t->step[step];
    for (int k = 0; k < s->n_use; k++)
        for (int j = 0; j < k; j++) {
            const Use *u = &s->use[k], *v = &s->use[j];
            if (u->buffer != v->buffer || u->arg == v->arg ||
                !((u->read && v->write) || (u->write && v->read)))
                continue;
            if (!is_flat(&t->buffer[u->buffer]) || uses_meet(t, u, v, false))
                broken(t, CHECK_V14, "%s reads and writes %s through arguments %d and %d",
                       the_step(t, step), the_buffer(t, u->buffer), v->arg, u->arg);
        }
}

static void walk_kernel(Flow *f, int i)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[i];
    for (int k = 0; k < s->n_use; k++) {
        const Use *u = &s->use[k];
        const TableBuffer *b = &t->buffer[u->buffer];
        if (u->add || !u->read)
            f->local = f->local || (u->read && b->batched);
        else if (b->role == ROLE_INPUT && !b->persistent)
            read_input(f, i, u);
        else if (b->role == ROLE_PARAM) {
            read_param(f, i, u);
            flow_read(f, i, u);
        } else
            flow_read(f, i, u);
    }
    if (s->phase == PHASE_UPDATE)
        flow_one_group(f, i);
    f->now++;
    for (int k = 0; k < s->n_use; k++) {
        const Use *u = &s->use[k];
        const TableBuffer *b = &t->buffer[u->buffer];
        if (!u->write)
            continue;
        if (b->persistent)
            flow_update(f, i, u);
        else if (b->role == ROLE_INPUT)
            flow_broken(f, i, CHECK_V09, "%s writes %s, which is the trainer's to write",
                        the_step(t, i), the_buffer(t, u->buffer));
        flow_write(f, i, u);
    }
}

static void walk_step(Flow *f, int i)
{
    const TableStep *s = &f->t->step[i];
    f->local = false;
    f->have = UINT32_MAX;
    f->now++;
    if (is_collective(s))
        flow_collective(f, i);
    else if (s->kind == KIND_TREE)
        flow_tree(f, i);
    else
        walk_kernel(f, i);
}

static void walk_phase(Flow *f, int lo, int hi)
{
    if (lo > hi)
        return;
    f->turns = table_turns(f->t, &f->t->step[lo]);
    for (f->turn = 0; f->turn < f->turns; f->turn++)
        for (int i = lo; i <= hi; i++)
            if (runs_in(&f->t->step[i], f->turn, f->turns))
                walk_step(f, i);
}

static void walk(Flow *f)
{
    Table *t = f->t;
    f->told = arena_array(t->a, uint32_t, t->n_step + 1);
    flow_places(f);
    for (int g = 0; g < N_PROGRAMS; g++) {
        const TableProgram *p = &t->program[g];
        if (!p->present)
            continue;
        flow_begin(f, g);
        for (int k = 0; k < N_PHASES; k++)
            walk_phase(f, p->lo[k], p->hi[k]);
        if (g == PROGRAM_TRAIN)
            flow_updated(f);
        for (int i = 0; i < t->n_result; i++)
            if (t->result[i].program == g)
                flow_result(f, &t->result[i]);
        flow_unread(f, g);
    }
}

void check_flow(Table *t)
{
    for (int i = 0; i < t->n_step; i++)
        if (!is_collective(&t->step[i]) && t->step[i].kind != KIND_TREE)
            check_arguments(t, i);
    Flow f = {.t = t};
    walk(&f);
}

void flow_origins(Table *t, const int *name, uint64_t *origin)
{
    Flow f = {.t = t, .origin = origin, .name = name};
    walk(&f);
}
