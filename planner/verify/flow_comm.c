/* flow_comm.c - V03 V04 V08 V10 V21: what collectives make of pieces and columns. */
#include "planner/verify/flow.h"

/* Whole and shard are of one group, and a column of the one is that of the other. */
static bool same_columns(Flow *f, int step, const TablePiece *c, int64_t at)
{
    const Table *t = f->t;
    int whole = c->whole->buffer, shard = c->shard->buffer;
    if (whole == shard)
        return true;
    if (t->buffer[whole].group != t->buffer[shard].group)
        flow_broken(f, step, t->step[step].kind == KIND_ALL_GATHER ? CHECK_V03 : CHECK_V08,
                    "%s: %s and %s are of two groups", the_step(t, step), the_buffer(t, whole),
                    the_buffer(t, shard));
    else if (at != c->shard->at)
        flow_broken(f, step, CHECK_V21, "%s: byte %lld of each shard is byte %lld of %s",
                    the_step(t, step), (long long)at, (long long)c->shard->at,
                    the_buffer(t, shard));
    else
        return true;
    return false;
}

/* Rows of a group's buffers are its shards. */
static void check_row(Flow *f, int step, const TablePiece *c)
{
    const Table *t = f->t;
    const TableBuffer *b = &t->buffer[c->whole->buffer];
    if (b->group >= 0 && c->stride != t->group[b->group].shard)
        flow_broken(f, step, CHECK_V07, "%s: parts every %lld elements of %s, shards are %lld",
                    the_step(t, step), (long long)c->stride, the_buffer(t, c->whole->buffer),
                    (long long)t->group[b->group].shard);
}

/* ---- gathering ---- */

static void gather_row(Flow *f, int step, const TablePiece *c, Column *col)
{
    const Table *t = f->t;
    const TableBuffer *b = &t->buffer[c->whole->buffer];
    flow_heard(f, step, col->writer);
    if (col->owned == OWNED_ROW)
        return;
    if (b->role == ROLE_PARAM)
        flow_broken(f, step, CHECK_V10, "%s gathers %s, which no update changed before",
                    the_step(t, step), the_buffer(t, c->whole->buffer));
    else
        flow_broken(f, step, b->role == ROLE_GRAD ? CHECK_V08 : CHECK_V22,
                    "%s gathers %s, of which each rank %s", the_step(t, step),
                    the_buffer(t, c->whole->buffer),
                    col->owned == OWNED_ALL ? "has all" : "made nothing in its own part");
}

/* Shards are gathered as the step began: the update is its end. */
static void gather_shard(Flow *f, int step, const TablePiece *c)
{
    const Table *t = f->t;
    const Use *u = c->shard;
    Holds *p = &f->place[u->buffer];
    for (int k = piece_of(p, u->lo); k < p->n_piece && p->piece[k].at < u->end; k++)
        if (t->buffer[u->buffer].role == ROLE_PARAM && p->piece[k].update >= 0)
            flow_broken(f, step, CHECK_V03, "%s gathers %s after %s changed it in this step",
                        the_step(t, step), the_buffer(t, u->buffer),
                        the_step(t, p->piece[k].update));
    flow_read(f, step, u);
}

static void gather(Flow *f, int step, const TablePiece *c)
{
    Holds *p = &f->place[c->whole->buffer];
    int64_t at = row_at(p, c->whole->lo), end = at + (c->whole->end - c->whole->lo);
    bool in_place = c->whole->buffer == c->shard->buffer;
    if (!in_place) {
        gather_shard(f, step, c);
        same_columns(f, step, c, at);
    }
    for (int k = 0; k < p->n_column; k++) {
        Column *col = &p->column[k];
        if (col->at >= end || at >= col->end)
            continue;
        if (in_place)
            gather_row(f, step, c, col);
        col->owned = OWNED_ALL;
        col->writer = step;
        col->time = f->now;
    }
}

/* ---- reducing ---- */

static const char *the_bytes(const Flow *f, int buffer, const Piece *x)
{
    const Table *t = f->t;
    return arena_printf(t->a, "%s, bytes %lld to %lld", the_buffer(t, buffer), (long long)x->at,
                        (long long)x->end - 1);
}

/* Bytes of a group's gradients that no parameter has. */
static bool in_gap(const Table *t, int buffer, const Piece *x)
{
    const TableBuffer *b = &t->buffer[buffer];
    if (b->group < 0)
        return false;
    const TableGroup *g = &t->group[b->group];
    int64_t whole = 4 * g->shard * t->shared_by, at = whole > 0 ? x->at % whole : x->at;
    for (int k = 0; k < g->n; k++)
        if (at < 4 * (g->at[k] + g->count[k]) && at + (x->end - x->at) > 4 * g->at[k])
            return false;
    return true;
}

/* Before sums over ranks are formed: what a rank adds is complete, its own, and not added yet. */
static void reduce_piece(Flow *f, int step, const TablePiece *c, Piece *x, const Column *col)
{
    const Table *t = f->t;
    int buffer = c->whole->buffer;
    const TableStep *s = &t->step[step];
    bool gap = in_gap(t, buffer, x), sums = t->buffer[buffer].group < 0;
    x->seen = f->now;
    flow_heard(f, step, x->writer);
    if (!x->zero && x->writer >= 0 && (col->time > x->time || col->spent > x->time)) {
        flow_broken(f, step, CHECK_V08, "%s reduces %s again: %s did", the_step(t, step),
                    the_bytes(f, buffer, x), the_step(t, col->writer));
    } else if (x->writer < 0) {
        if (!sums) /* the padding of other sums is nobody's */
            flow_broken(f, step, gap ? CHECK_V04 : CHECK_V08, "%s reduces %s, %s",
                        the_step(t, step), the_bytes(f, buffer, x),
                        gap ? "a gap that was not made zero" : "which no step made");
    } else if (gap != x->zero && !sums) {
        flow_broken(f, step, CHECK_V04, "%s reduces %s, %s, and %s made it%s", the_step(t, step),
                    the_bytes(f, buffer, x), gap ? "a gap" : "of a parameter",
                    the_step(t, x->writer), x->zero ? " zero" : "");
    } else if (!x->zero && !x->local) {
        flow_broken(f, step, CHECK_V08, "%s adds %s over ranks, which is the same on all of them",
                    the_step(t, step), the_bytes(f, buffer, x));
    } else if (!x->zero) {
        const TableStep *w = &t->step[x->writer];
        int turns = table_turns(t, w);
        unsigned want = s->adds ? 1u << f->turn : (1u << turns) - 1;
        if (is_loop(w->phase) && x->turns != want)
            flow_broken(f, step, CHECK_V08, "%s reduces %s %s", the_step(t, step),
                        the_bytes(f, buffer, x),
                        s->adds ? "with sums of other rounds" : "before its last round");
    }
}

/* Into a place of its own; over the rounds when the collective adds. */
static void reduce_into(Flow *f, int step, const TablePiece *c)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    const Use *u = c->shard;
    Holds *p = &f->place[u->buffer];
    for (int k = piece_of(p, u->lo); k < p->n_piece && p->piece[k].at < u->end; k++) {
        Piece *x = &p->piece[k];
        unsigned turn = 1u << f->turn;
        bool again = x->writer >= 0 && x->time > 0 && (x->turns & turn) && x->seen <= x->time;
        if (again && s->adds)
            flow_broken(f, step, CHECK_V08, "%s reduces into %s, where %s did in this round",
                        the_step(t, step), the_bytes(f, u->buffer, x), the_step(t, x->writer));
        if (s->adds && f->turn > 0 && x->writer < 0)
            flow_broken(f, step, CHECK_V20, "%s adds to %s, where no first round put anything",
                        the_step(t, step), the_bytes(f, u->buffer, x));
        x->turns = !s->adds ? all_turns(f) : f->turn == 0 || x->writer < 0 ? turn : x->turns | turn;
        if (!s->adds && s->when == WHEN_ALWAYS && is_loop(s->phase))
            x->turns = turn;
        x->given = x->zero = x->local = false;
        x->sum = s->adds;
        x->writer = step;
        x->time = f->now;
    }
}

static void reduce(Flow *f, int step, const TablePiece *c)
{
    Holds *p = &f->place[c->whole->buffer];
    int64_t at = row_at(p, c->whole->lo), end = at + (c->whole->end - c->whole->lo);
    bool in_place = !c->shard || c->whole->buffer == c->shard->buffer;
    if (c->shard && !same_columns(f, step, c, at))
        return;
    for (int k = 0; k < p->n_column; k++) {
        Column *col = &p->column[k];
        if (col->at >= end || at >= col->end)
            continue;
        for (int i = 0; i < p->n_piece; i++)
            if (piece_in_column(f, p, &p->piece[i], col))
                reduce_piece(f, step, c, &p->piece[i], col);
    }
    for (int k = 0; k < p->n_column; k++) {
        Column *col = &p->column[k];
        if (col->at >= end || at >= col->end)
            continue;
        col->writer = step;
        if (in_place) {
            col->owned = c->shard ? OWNED_ROW : OWNED_ALL;
            col->time = f->now;
        } else {
            col->spent = f->now;
        }
    }
    if (!in_place)
        reduce_into(f, step, c);
}

void flow_collective(Flow *f, int step)
{
    const TableStep *s = &f->t->step[step];
    for (int k = 0; k < s->n_piece; k++) {
        check_row(f, step, &s->piece[k]);
        f->now++;
        if (s->kind == KIND_ALL_GATHER)
            gather(f, step, &s->piece[k]);
        else
            reduce(f, step, &s->piece[k]);
    }
}

/* ---- the tree of rounds ---- */

/* Each round's sums go in, and the top has all of them once 2^levels-1 rounds are over. */
void flow_tree(Flow *f, int step)
{
    const Table *t = f->t;
    const TableStep *s = &t->step[step];
    if (s->n_use != 2)
        return;
    const Use *leaf = &s->use[0], *tree = &s->use[1];
    int64_t n = leaf->end - leaf->lo, levels = n > 0 ? (tree->end - tree->lo) / n : 0;
    int64_t rounds = t->program[s->program].rounds, most = 1;
    for (int64_t k = 1; k < levels && most <= rounds; k++)
        most *= 2;
    if (most != rounds)
        flow_broken(f, step, CHECK_V08, "%s: %lld levels hold %lld rounds, there are %lld",
                    the_step(t, step), (long long)levels, (long long)most, (long long)rounds);
    Holds *from = &f->place[leaf->buffer], *to = &f->place[tree->buffer];
    unsigned turn = 1u << f->turn;
    bool local = false;
    for (int k = piece_of(from, leaf->lo); k < from->n_piece && from->piece[k].at < leaf->end;
         k++) {
        Piece *x = &from->piece[k];
        bool nobodys = t->buffer[leaf->buffer].group < 0;
        x->seen = f->now;
        flow_heard(f, step, x->writer);
        local = local || x->local;
        if (x->writer < 0 && !nobodys)
            flow_broken(f, step, in_gap(t, leaf->buffer, x) ? CHECK_V04 : CHECK_V08,
                        "%s adds %s, which no step made", the_step(t, step),
                        the_bytes(f, leaf->buffer, x));
        else if (x->writer >= 0 && !nobodys && in_gap(t, leaf->buffer, x) != x->zero)
            flow_broken(f, step, CHECK_V04, "%s adds %s, %s, and %s made it%s", the_step(t, step),
                        the_bytes(f, leaf->buffer, x), x->zero ? "of a parameter" : "a gap",
                        the_step(t, x->writer), x->zero ? " zero" : "");
        else if (x->writer >= 0 && !x->zero && x->turns != turn)
            flow_broken(f, step, CHECK_V20, "%s adds %s, which holds sums of other rounds",
                        the_step(t, step), the_bytes(f, leaf->buffer, x));
    }
    for (int k = piece_of(to, tree->lo); k < to->n_piece && to->piece[k].at < tree->end; k++) {
        Piece *x = &to->piece[k];
        bool top = x->at >= tree->end - n;
        x->turns = top && f->turn > 0 ? x->turns | turn : turn;
        x->writer = step;
        x->time = f->now;
        x->seen = top ? 0 : f->now + 1; /* what is below is read by later rounds alone */
        x->sum = true;
        x->local = local && t->ranks > 1;
    }
}
