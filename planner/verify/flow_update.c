/* flow_update.c - V09 V10: what is kept between steps changes once, each rank its part. */
#include "planner/verify/flow.h"

/* The update of a group has nothing to do with others. */
void flow_one_group(Flow *f, int step)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    int group = -1;
    for (int k = 0; k < s->n_use && group < 0; k++) {
        const TableBuffer *b = &t->buffer[s->use[k].buffer];
        if (s->use[k].write && b->trained)
            group = b->group;
    }
    for (int k = 0; k < s->n_use && group >= 0; k++) {
        const TableBuffer *b = &t->buffer[s->use[k].buffer];
        if (b->group >= 0 && b->group != group)
            flow_broken(f, step, CHECK_V09, "%s changes group %d (%s) and uses %s of group %d",
                        the_step(t, step), group, t->group[group].path,
                        the_buffer(t, s->use[k].buffer), b->group);
    }
}

/* A shard of what is whole elsewhere: this rank's, and not the first one's on every rank. */
static void check_part(Flow *f, int step, const Use *u)
{
    const Table *t = f->t;
    const TableBuffer *b = &t->buffer[u->buffer];
    if (b->group < 0 || t->ranks == 1 || !b->trained)
        return;
    const TableGroup *g = &t->group[b->group];
    int64_t want = b->sharded || g->level == LEVEL_0 ? 0 : b->elem * g->shard;
    if (u->by_rank != want)
        flow_broken(f, step, CHECK_V09,
                    "%s changes %s from byte %lld on, %lld bytes on for each "
                    "rank; shards are %lld",
                    the_step(t, step), the_buffer(t, u->buffer), (long long)u->lo,
                    (long long)u->by_rank, (long long)want);
}

static void once(Flow *f, int step, const Use *u, int *update)
{
    const Table *t = f->t;
    if (*update >= 0 && *update != step)
        flow_broken(f, step, CHECK_V09, "%s writes %s, which %s wrote already", the_step(t, step),
                    the_buffer(t, u->buffer), the_step(t, *update));
    *update = step;
}

/* From the host comes what the group's update made there. */
static void check_source(Flow *f, int step, int to)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    for (int i = 0; i < s->n_use; i++) {
        const Use *u = &s->use[i];
        const Holds *p = &f->place[u->buffer];
        for (int k = piece_of(p, u->lo); u->read && k < p->n_piece && p->piece[k].at < u->end;
             k++) {
            int w = p->piece[k].writer;
            if (w < 0 || t->step[w].kind == KIND_COPY || t->step[w].group != t->buffer[to].group)
                flow_broken(f, step, CHECK_V09, "%s puts %s into %s, and no update of it made that",
                            the_step(t, step), the_buffer(t, u->buffer), the_buffer(t, to));
        }
    }
}

void flow_update(Flow *f, int step, const Use *u)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    const TableBuffer *b = &t->buffer[u->buffer];
    Holds *p = &f->place[u->buffer];
    if (s->program != PROGRAM_TRAIN || s->phase != PHASE_UPDATE) {
        flow_broken(f, step, CHECK_V09, "%s writes %s in %s %s", the_step(t, step),
                    the_buffer(t, u->buffer), program_words.word[s->program],
                    phase_words.word[s->phase]);
        return;
    }
    if (b->role == ROLE_HOST)
        flow_broken(f, step, CHECK_V09, "%s writes %s, which is the trainer's to write",
                    the_step(t, step), the_buffer(t, u->buffer));
    check_part(f, step, u);
    if (s->kind == KIND_COPY)
        check_source(f, step, u->buffer);
    if (is_row_use(f, u)) {
        int64_t at = row_at(p, u->lo), end = at + (u->end - u->lo);
        for (int k = 0; k < p->n_column; k++)
            if (p->column[k].at < end && at < p->column[k].end)
                once(f, step, u, &p->column[k].update);
    } else {
        for (int k = piece_of(p, u->lo); k < p->n_piece; k++)
            if (p->n_piece == 1 || p->piece[k].at < u->end)
                once(f, step, u, &p->piece[k].update);
    }
}

/* No part of what is trained may stay as it was. */
static void check_buffer(Flow *f, int i)
{
    Table *t = f->t;
    const TableBuffer *b = &t->buffer[i];
    const Holds *p = &f->place[i];
    bool rows = b->group >= 0 && !b->sharded && t->ranks > 1 && t->group[b->group].level != LEVEL_0;
    int64_t from = 0, to = 0;
    bool any = false;
    for (int k = 0; k < (rows ? p->n_column : p->n_piece); k++) {
        int update = rows ? p->column[k].update : p->piece[k].update;
        any = any || update >= 0;
        if (update >= 0 || to > from)
            continue;
        from = rows ? p->column[k].at : p->piece[k].at;
        to = rows ? p->column[k].end : p->piece[k].end;
    }
    if (!any)
        broken(t, CHECK_V09, "no step of the update writes %s", the_buffer(t, i));
    else if (to > from)
        broken(t, CHECK_V09, "no step of the update writes bytes %lld to %lld of %s%s",
               (long long)from, (long long)to - 1, the_buffer(t, i), rows ? ", of each shard" : "");
    for (int k = 0; k < p->n_column; k++)
        if (p->column[k].owned == OWNED_ROW && b->role == ROLE_PARAM) {
            broken(t, CHECK_V10, "%s is not gathered after %s changed each rank's own part",
                   the_buffer(t, i), the_step(t, p->column[k].writer));
            break;
        }
}

void flow_updated(Flow *f)
{
    const TableProgram *p = &f->t->program[PROGRAM_TRAIN];
    if (!p->present || p->hi[PHASE_UPDATE] < p->lo[PHASE_UPDATE])
        return; /* nothing is trained */
    for (int i = 0; i < f->t->n_buffer; i++)
        if (f->t->buffer[i].trained)
            check_buffer(f, i);
}
