/* flow_sums.c - V02 V08 V20 V21: what steps read is there, complete, and the same on all ranks. */
#include "planner/verify/flow.h"

void flow_broken(Flow *f, int step, Check c, const char *fmt, ...)
{
    if (f->told[step] & (UINT32_C(1) << c))
        return;
    f->told[step] |= UINT32_C(1) << c;
    StrBuf s = strbuf_new(f->t->a);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&s, fmt, ap);
    va_end(ap);
    broken(f->t, c, "%s", s.text);
}

void flow_heard(Flow *f, int step, int writer)
{
    if (!f->origin)
        return;
    uint64_t h = f->origin[step] ^ (uint64_t)((writer < 0 ? -1 : f->name[writer]) + 2);
    h *= UINT64_C(0x9E3779B97F4A7C15);
    f->origin[step] = h ^ (h >> 29);
}

/* ---- one piece ---- */

static const char *the_range(const Flow *f, const Use *u, const Piece *x)
{
    const Table *t = f->t;
    if (f->place[u->buffer].n_piece < 2)
        return the_buffer(t, u->buffer);
    return arena_printf(t->a, "%s, bytes %lld to %lld,", the_buffer(t, u->buffer), (long long)x->at,
                        (long long)x->end - 1);
}

/* Some of the buffer was made, this was left out. */
static bool others_written(const Holds *p)
{
    for (int k = 0; k < p->n_piece; k++)
        if (p->piece[k].writer >= 0 && !p->piece[k].zero)
            return true;
    return false;
}

static bool some_owned(const Holds *p)
{
    for (int k = 0; k < p->n_column; k++)
        if (p->column[k].owned != OWNED_NOT)
            return true;
    return false;
}

static void tell_unwritten(Flow *f, int step, const Use *u, const Piece *x)
{
    const Table *t = f->t;
    const TableBuffer *b = &t->buffer[u->buffer];
    Check c = CHECK_V02;
    if (b->role == ROLE_GATHERED)
        c = some_owned(&f->place[u->buffer]) ? CHECK_V21 : CHECK_V03;
    else if (b->role == ROLE_GRAD && b->group >= 0 && b->sharded && t->ranks > 1)
        c = others_written(&f->place[u->buffer]) ? CHECK_V21 : CHECK_V08;
    flow_broken(f, step, c, "%s reads %s before any step wrote it", the_step(t, step),
                the_range(f, u, x));
}

/* In the rounds that make it. */
static void read_in_loop(Flow *f, int step, const Use *u, const Piece *x)
{
    const Table *t = f->t;
    bool of_round = t->step[x->writer].anew && x->turns == 1u << f->turn;
    if (x->sum && !of_round && x->turns != all_turns(f))
        flow_broken(f, step, CHECK_V02, "%s reads %s before its last round: %s still adds to it",
                    the_step(t, step), the_range(f, u, x), the_step(t, x->writer));
}

static void read_after_loop(Flow *f, int step, const Use *u, const Piece *x, int turns)
{
    const Table *t = f->t;
    const TableStep *w = &t->step[x->writer];
    bool whole = x->turns == (1u << turns) - 1;
    if (whole || (w->when != WHEN_ALWAYS && !x->sum) || x->zero)
        return;
    flow_broken(f, step, CHECK_V02, "%s reads %s, which %s makes anew in each round",
                the_step(t, step), the_range(f, u, x), the_step(t, x->writer));
}

/* The chunks of a region. */
static void read_region(Flow *f, int step, const Use *u, const Piece *x)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step], *w = &t->step[x->writer];
    if (!w->region || !t->program[s->program].chunks || t->buffer[u->buffer].batched)
        return;
    if (x->sum && w->region == s->region)
        flow_broken(f, step, CHECK_V02, "%s reads %s before its last chunk: %s still adds to it",
                    the_step(t, step), the_range(f, u, x), the_step(t, x->writer));
    if (!x->sum && w->region != s->region)
        flow_broken(f, step, CHECK_V02, "%s reads %s, which %s makes anew in each chunk",
                    the_step(t, step), the_range(f, u, x), the_step(t, x->writer));
}

static void tell_local(Flow *f, int step, const Use *u, const Piece *x)
{
    const Table *t = f->t;
    bool some = some_owned(&f->place[u->buffer]);
    bool grads = t->buffer[u->buffer].group >= 0;
    flow_broken(f, step, some && grads ? CHECK_V21 : CHECK_V08,
                "%s reads %s: this rank's part of a sum, which %s made and no collective reduced",
                the_step(t, step), the_range(f, u, x), the_step(t, x->writer));
}

static void read_piece(Flow *f, int step, const Use *u, Piece *x)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    x->seen = f->now;
    flow_heard(f, step, x->writer);
    if (x->given)
        return;
    if (x->writer < 0) {
        tell_unwritten(f, step, u, x);
        return;
    }
    const TableStep *w = &t->step[x->writer];
    int turns = table_turns(t, w);
    if (is_loop(w->phase) && w->phase == s->phase) {
        read_in_loop(f, step, u, x);
        f->have &= is_flat(&t->buffer[u->buffer]) && !x->zero ? x->turns : UINT32_MAX;
    } else if (is_loop(w->phase))
        read_after_loop(f, step, u, x, turns);
    read_region(f, step, u, x);
    if (x->local && !is_loop(s->phase) && t->ranks > 1)
        tell_local(f, step, u, x);
    f->local = f->local || x->local;
}

/* ---- rows ---- */

/* The last thing that happened to the piece was a collective's, in each of its columns? */
static Owned owned(const Flow *f, const Holds *p, const Piece *x)
{
    Owned least = OWNED_ALL;
    bool any = false;
    for (int k = 0; k < p->n_column; k++) {
        const Column *c = &p->column[k];
        if (!piece_in_column(f, p, x, c))
            continue;
        any = true;
        Owned o = c->time > x->time ? c->owned : OWNED_NOT;
        least = o < least ? o : least;
    }
    return any ? least : OWNED_NOT;
}

static Check row_check(const TableBuffer *b)
{
    return b->role == ROLE_PARAM      ? CHECK_V10
           : b->role == ROLE_GATHERED ? CHECK_V03
           : b->role == ROLE_GRAD     ? CHECK_V08
                                      : CHECK_V22;
}

/* All rows: they must have been gathered where ranks made one each. */
static void read_linear(Flow *f, int step, const Use *u)
{
    Holds *p = &f->place[u->buffer];
    const Table *t = f->t;
    for (int k = piece_of(p, u->lo); k < p->n_piece && p->piece[k].at < u->end; k++) {
        Piece *x = &p->piece[k];
        Owned o = owned(f, p, x);
        if (o == OWNED_ALL) {
            x->seen = f->now;
            for (int c = 0; c < p->n_column; c++)
                if (piece_in_column(f, p, x, &p->column[c]))
                    flow_heard(f, step, p->column[c].writer);
            continue;
        }
        bool mixed = false;
        for (int c = 0; c < p->n_column; c++)
            mixed = mixed || (p->column[c].time > x->time && p->column[c].owned == OWNED_ROW &&
                              piece_in_column(f, p, x, &p->column[c]));
        if (mixed) {
            flow_broken(f, step, row_check(&t->buffer[u->buffer]),
                        "%s reads %s: each rank has its own part of it only", the_step(t, step),
                        the_range(f, u, x));
            continue;
        }
        read_piece(f, step, u, x);
    }
}

/* The own row. Where no collective worked on it, it is part of what is the same on all ranks. */
static void read_row(Flow *f, int step, const Use *u)
{
    Holds *p = &f->place[u->buffer];
    const Table *t = f->t;
    int64_t at = row_at(p, u->lo), end = at + (u->end - u->lo);
    if (p->stride && (u->by_rank != p->stride || u->lo < p->base || u->lo >= p->base + p->stride ||
                      end > p->stride)) {
        flow_broken(f, step, CHECK_V04,
                    "%s reads %lld bytes of %s that move by %lld a rank, its "
                    "shards are %lld",
                    the_step(t, step), (long long)(u->end - u->lo), the_buffer(t, u->buffer),
                    (long long)u->by_rank, (long long)p->stride);
        return;
    }
    for (int k = 0; k < p->n_piece; k++) {
        Piece *x = &p->piece[k];
        bool touched = !p->stride, done = p->stride > 0;
        for (int c = 0; c < p->n_column; c++) {
            const Column *col = &p->column[c];
            if (col->at >= end || at >= col->end || !piece_in_column(f, p, x, col))
                continue;
            touched = true;
            flow_heard(f, step, col->writer);
            done = done && col->time > x->time && col->owned != OWNED_NOT;
        }
        if (touched && !done)
            read_piece(f, step, u, x);
        else if (touched)
            x->seen = f->now;
    }
}

void flow_read(Flow *f, int step, const Use *u)
{
    const TableBuffer *b = &f->t->buffer[u->buffer];
    Holds *p = &f->place[u->buffer];
    if (b->batched || b->role == ROLE_INPUT)
        f->local = true;
    if (p->n_piece == 1 && !p->n_column)
        read_piece(f, step, u, &p->piece[0]);
    else if (is_row_use(f, u))
        read_row(f, step, u);
    else
        read_linear(f, step, u);
}

/* ---- writing ---- */

/* The first turn overwrites: two steps that add to one place would lose what the first added. */
static void add_piece(Flow *f, int step, const Use *u, Piece *x)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    unsigned turn = 1u << f->turn;
    bool anew = s->anew || f->turn == 0;
    flow_heard(f, step, x->writer);
    if (anew && x->writer >= 0 && x->writer != step && (x->turns & turn) && x->seen <= x->time &&
        !x->zero && t->step[x->writer].phase == s->phase)
        flow_broken(f, step, CHECK_V20,
                    "%s and %s both add to %s: in the first round the second overwrites",
                    the_step(t, x->writer), the_step(t, step), the_range(f, u, x));
    if (!anew && x->writer < 0)
        flow_broken(f, step, CHECK_V20, "%s adds to %s, which no first round wrote",
                    the_step(t, step), the_range(f, u, x));
    x->turns = anew ? turn : x->turns | turn;
}

static void write_piece(Flow *f, int step, const Use *u, Piece *x)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    bool zero = s->kind == KIND_ZERO, was_sum = x->sum, flat = is_flat(&t->buffer[u->buffer]);
    if (u->add) {
        if (!is_loop(s->phase))
            flow_broken(f, step, CHECK_V20, "%s adds to %s outside of the rounds",
                        the_step(t, step), the_range(f, u, x));
        add_piece(f, step, u, x);
    } else {
        if (was_sum && flat && !u->read && x->writer != step && x->seen <= x->time &&
            t->step[x->writer].phase == s->phase && (x->turns & (1u << f->turn)))
            flow_broken(f, step, CHECK_V20, "%s overwrites %s, where %s had added",
                        the_step(t, step), the_range(f, u, x), the_step(t, x->writer));
        bool of_turn = is_loop(s->phase) && s->when == WHEN_ALWAYS;
        x->turns = zero ? all_turns(f) : f->have & (of_turn ? 1u << f->turn : all_turns(f));
    }
    x->given = false;
    x->writer = step;
    x->time = f->now;
    x->sum = u->add;
    x->zero = zero;
    x->local = !zero && t->ranks > 1 && (f->local || u->add); /* sums are over a rank's samples */
}

/* Each rank its own row: right there, and nowhere else. */
static void write_row(Flow *f, int step, const Use *u)
{
    Holds *p = &f->place[u->buffer];
    const Table *t = f->t;
    int64_t at = row_at(p, u->lo), end = at + (u->end - u->lo);
    if (!p->stride) {
        flow_broken(f, step, row_check(&t->buffer[u->buffer]),
                    "%s writes each rank's own part of %s, and nobody gathers it",
                    the_step(t, step), the_buffer(t, u->buffer));
        return;
    }
    if (u->by_rank != p->stride || end > p->stride || u->lo < p->base ||
        u->lo >= p->base + p->stride) {
        flow_broken(f, step, CHECK_V04,
                    "%s writes %lld bytes of %s that move by %lld a rank, its "
                    "shards are %lld",
                    the_step(t, step), (long long)(u->end - u->lo), the_buffer(t, u->buffer),
                    (long long)u->by_rank, (long long)p->stride);
        return;
    }
    for (int k = 0; k < p->n_column; k++) {
        Column *c = &p->column[k];
        if (c->at >= end || at >= c->end)
            continue;
        c->owned = OWNED_ROW;
        c->writer = step;
        c->time = f->now;
    }
}

void flow_write(Flow *f, int step, const Use *u)
{
    Holds *p = &f->place[u->buffer];
    if (is_row_use(f, u)) {
        write_row(f, step, u);
        return;
    }
    if (p->n_piece == 1) {
        write_piece(f, step, u, &p->piece[0]);
        return;
    }
    for (int k = piece_of(p, u->lo); k < p->n_piece && p->piece[k].at < u->end; k++)
        write_piece(f, step, u, &p->piece[k]);
}

/* ---- the end ---- */

/* Of what a step added up, is some read? The rest may be of no use: elements of a concatenation
 * that nothing depends on. */
static bool is_read_in_part(const Holds *p, const Piece *of)
{
    for (int k = 0; k < p->n_piece; k++)
        if (p->piece[k].writer == of->writer && p->piece[k].seen > p->piece[k].time)
            return true;
    return false;
}

/* A sum that nobody reads is a gradient that is lost. */
void flow_unread(Flow *f, int program)
{
    Table *t = f->t;
    for (int i = 0; i < t->n_buffer && t->n_group; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->role != ROLE_GRAD || b->program != program || b->batched)
            continue;
        for (int k = 0; k < f->place[i].n_piece; k++) {
            const Piece *x = &f->place[i].piece[k];
            if (x->writer >= 0 && x->sum && x->seen <= x->time &&
                (b->group >= 0 || !is_read_in_part(&f->place[i], x))) {
                broken(t, CHECK_V08, "nobody reads %s from byte %lld on, which %s made",
                       the_buffer(t, i), (long long)x->at, the_step(t, x->writer));
                break;
            }
        }
    }
}

void flow_result(Flow *f, const TableResult *r)
{
    Table *t = f->t;
    Holds *p = &f->place[r->buffer];
    Piece *x = &p->piece[piece_of(p, r->at)];
    x->seen = f->now + 1;
    if (x->given)
        return;
    Owned o = owned(f, p, x);
    if (x->writer < 0 && o != OWNED_ALL) {
        broken(t, CHECK_V02, "no step writes %s, which the trainer reads as '%s'",
               the_buffer(t, r->buffer), r->name);
        return;
    }
    if (r->each_turn || x->writer < 0)
        return;
    const TableStep *w = &t->step[x->writer];
    unsigned all = (1u << table_turns(t, w)) - 1;
    if (t->invariant && r->program == PROGRAM_EVAL && x->sum)
        broken(t, CHECK_V08, "'%s' is what %s adds up, with rounding: that is in order of ranks",
               r->name, the_step(t, x->writer));
    if (is_loop(w->phase) && x->turns != all && w->when == WHEN_ALWAYS)
        broken(t, CHECK_V02, "'%s' is read when all rounds are done, and %s makes %s anew in each",
               r->name, the_step(t, x->writer), the_buffer(t, r->buffer));
    if (x->local && o != OWNED_ALL && t->ranks > 1 && !t->buffer[r->buffer].batched)
        broken(t, CHECK_V08, "'%s' is read when all is done, and %s holds this rank's part of it",
               r->name, the_buffer(t, r->buffer));
}
