/* kinds_streams.h - mutations of waits, collectives and copies. For kinds.h. */
#ifndef BM_TESTS_KINDS_STREAMS_H
#define BM_TESTS_KINDS_STREAMS_H

#include "tests/mutate/mutant.h"

/* ---- waits ---- */

static bool has_wait(const Plan *p, const Step *s)
{
    (void)p;
    return s->wait[0] >= 0 || s->wait[1] >= 0 || s->wait[2] >= 0;
}

static int wait_stream(Mutant *m, const Step *s)
{
    int k = mutant_roll(m, N_STREAMS);
    while (s->wait[k] < 0)
        k = (k + 1) % N_STREAMS;
    return k;
}

static bool drop_wait(Mutant *m)
{
    int i = mutant_pick(m, has_wait);
    if (i < 0)
        return false;
    m->p->step.v[i].wait[wait_stream(m, &m->p->step.v[i])] = -1;
    return true;
}

static bool earlier_wait(Mutant *m)
{
    int i = mutant_pick(m, has_wait);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    int k = wait_stream(m, s), w = s->wait[k];
    const Step *o = &m->p->step.v[w];
    do
        w--;
    while (w >= 0 && m->p->step.v[w].stream != o->stream);
    s->wait[k] =
        w >= 0 && m->p->step.v[w].phase == s->phase && m->p->step.v[w].program == s->program ? w
                                                                                             : -1;
    return true;
}

static bool late_wait(Mutant *m)
{
    int i = mutant_pick(m, has_wait);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    s->wait[wait_stream(m, s)] = i + mutant_roll(m, 3);
    return true;
}

/* ---- collectives ---- */

static bool is_comm(const Plan *p, const Step *s)
{
    (void)p;
    return s->stream == STREAM_COMM;
}
static bool is_reduce(const Plan *p, const Step *s)
{
    (void)p;
    return s->kernel->kind == K_REDUCE_SCATTER || s->kernel->kind == K_ALL_REDUCE;
}
static bool is_grad_reduce(const Plan *p, const Step *s)
{
    return is_reduce(p, s) && s->group >= 0;
}
static bool gathers(const Plan *p, const Step *s, BufferRole role)
{
    return s->kernel->kind == K_ALL_GATHER && role_of(p, s, 0) == role;
}
static bool gathers_params(const Plan *p, const Step *s)
{
    return gathers(p, s, ROLE_GATHERED);
}
static bool gathers_updated(const Plan *p, const Step *s)
{
    return gathers(p, s, ROLE_PARAM);
}
static bool gathers_grains(const Plan *p, const Step *s)
{
    return gathers(p, s, ROLE_TEMP);
}

static bool drop_of(Mutant *m, MutantPick *fits)
{
    int i = mutant_pick(m, fits);
    if (i >= 0)
        mutant_drop(m, i);
    return i >= 0;
}
static bool drop_gather(Mutant *m)
{
    return drop_of(m, gathers_params);
}
static bool drop_updated(Mutant *m)
{
    return drop_of(m, gathers_updated);
}
static bool drop_grains(Mutant *m)
{
    return drop_of(m, gathers_grains);
}
static bool drop_reduce(Mutant *m)
{
    return drop_of(m, is_reduce);
}
static bool double_reduce(Mutant *m)
{
    int i = mutant_pick(m, is_grad_reduce);
    if (i >= 0)
        mutant_double(m, i);
    return i >= 0;
}

/* Two collectives of one phase in the other order. */
static bool swap_collectives(Mutant *m)
{
    int i = mutant_pick(m, is_comm), k = i + 1;
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i], *n = m->p->step.v;
    while (k < m->p->step.n && n[k].phase == s->phase && n[k].program == s->program &&
           n[k].stream != STREAM_COMM)
        k++;
    if (k >= m->p->step.n || n[k].phase != s->phase || n[k].program != s->program)
        return false;
    Step x = *s;
    *s = n[k];
    n[k] = x;
    s->id = i;
    n[k].id = k;
    mutant_live(m);
    return true;
}

static bool wrong_group(Mutant *m)
{
    int i = mutant_pick(m, gathers_params);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    int at = mutant_roll(m, m->p->group.n);
    for (int k = 0; k < m->p->group.n; k++) {
        const FlatGroup *g = &m->p->group.v[(at + k) % m->p->group.n];
        if (g->params != s->arg[1].buffer && m->p->buffer.v[g->params].sharded) {
            s->arg[1].buffer = g->params;
            return true;
        }
    }
    return false;
}

static bool reads(const Step *s, int buffer)
{
    for (int k = 0; k < s->kernel->n_arg; k++)
        if (s->arg[k].buffer == buffer && !(s->kernel->arg_written[k]))
            return true;
    return false;
}

static bool gather_late(Mutant *m)
{
    int i = mutant_pick(m, gathers_params);
    if (i < 0)
        return false;
    const Step *s = &m->p->step.v[i];
    for (int k = i + 1; k < m->p->step.n; k++)
        if (reads(&m->p->step.v[k], s->arg[0].buffer)) {
            if (m->p->step.v[k].region)
                return false;
            mutant_move(m, i, k);
            return true;
        }
    return false;
}

static bool gather_early(Mutant *m)
{
    int i = mutant_pick(m, gathers_updated);
    if (i < 0)
        return false;
    int buffer = m->p->step.v[i].arg[0].buffer;
    for (int k = i - 1; k >= 0 && m->p->step.v[k].phase == PHASE_UPDATE; k--)
        if (comm_writes(&m->p->step.v[k], buffer)) {
            mutant_move(m, i, k);
            return true;
        }
    return false;
}

/* A kernel reads the shard itself. */
static bool reads_gathered(const Plan *p, const Step *s)
{
    for (int k = 0; k < s->kernel->n_arg; k++)
        if (role_of(p, s, k) == ROLE_GATHERED && s->stream == STREAM_COMPUTE)
            return true;
    return false;
}
static bool read_shard(Mutant *m)
{
    int i = mutant_pick(m, reads_gathered);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    for (int k = 0; k < s->kernel->n_arg; k++) {
        const Buffer *b = &m->p->buffer.v[s->arg[k].buffer];
        if (b->role != ROLE_GATHERED)
            continue;
        s->arg[k].buffer = m->p->group.v[b->group].params;
        s->arg[k].offset %= m->p->buffer.v[s->arg[k].buffer].bytes;
    }
    return true;
}

static bool shrink_segment(Mutant *m)
{
    int i = mutant_pick(m, is_comm);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    Kernel *k = mutant_kernel(m, s);
    Segment *x = &k->coll.segment[mutant_roll(m, k->coll.n_segment)];
    x->elems -= x->elems > 16 ? 16 : 1;
    s->sent = comm_sent(m->p, k);
    return x->elems > 0;
}

static bool move_segment(Mutant *m)
{
    int i = mutant_pick(m, is_comm);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    s->arg[0].offset += 64;
    return true;
}

static bool has_rounds(const Plan *p, const Step *s)
{
    return s->phase == PHASE_ROUND && s->program == PROGRAM_TRAIN && p->rounds > 1;
}
static bool reduce_in_rounds(const Plan *p, const Step *s)
{
    return is_grad_reduce(p, s) && has_rounds(p, s);
}
static bool gather_in_rounds(const Plan *p, const Step *s)
{
    return gathers_params(p, s) && has_rounds(p, s);
}
static bool wrong_when(Mutant *m, MutantPick *fits)
{
    int i = mutant_pick(m, fits);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    s->when = (When)(((int)s->when + 1 + mutant_roll(m, 2)) % N_WHEN);
    return true;
}
static bool reduce_when(Mutant *m)
{
    return wrong_when(m, reduce_in_rounds);
}
static bool gather_when(Mutant *m)
{
    return wrong_when(m, gather_in_rounds);
}

static bool wrong_stream(Mutant *m)
{
    int i = mutant_roll(m, 3) ? mutant_pick(m, is_comm) : mutant_roll(m, m->p->step.n);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    s->stream = s->stream == STREAM_COMPUTE ? STREAM_COMM : STREAM_COMPUTE;
    return true;
}

static bool other_tree(Mutant *m)
{
    int i = mutant_pick(m, is_reduce);
    if (i < 0)
        return false;
    Kernel *k = mutant_kernel(m, &m->p->step.v[i]);
    k->coll.tree = !k->coll.tree;
    return true;
}

static bool small_staging(Mutant *m)
{
    int i = mutant_pick(m, is_reduce);
    if (i < 0)
        return false;
    Step *s = &m->p->step.v[i];
    Kernel *k = mutant_kernel(m, s);
    int64_t room = m->p->buffer.v[s->arg[k->n_arg - 1].buffer].bytes / 4 / (m->p->ranks - 1);
    k->coll.chunk = room + 1;
    return true;
}

static bool lie_sent(Mutant *m)
{
    int i = mutant_pick(m, is_comm);
    if (i < 0)
        return false;
    m->p->step.v[i].sent += mutant_roll(m, 2) ? 1 : -1;
    return true;
}

/* ---- copies ---- */

static bool is_copy(const Plan *p, const Step *s)
{
    (void)p;
    return s->kernel->kind == K_COPY;
}
static bool drop_copy(Mutant *m)
{
    return drop_of(m, is_copy);
}
static bool wrong_copy(Mutant *m)
{
    int i = mutant_pick(m, is_copy), k = mutant_pick(m, is_copy);
    if (i < 0 || i == k || m->p->step.v[i].arg[0].buffer == m->p->step.v[k].arg[0].buffer)
        return false;
    m->p->step.v[i].arg[0] = m->p->step.v[k].arg[0];
    return true;
}

static bool copies_part(const Plan *p, const Step *s)
{
    return is_copy(p, s) && (s->arg[0].by_rank || s->arg[1].by_rank);
}
static bool copy_first_part(Mutant *m)
{
    int i = mutant_pick(m, copies_part);
    if (i < 0)
        return false;
    m->p->step.v[i].arg[0].by_rank = m->p->step.v[i].arg[1].by_rank = 0;
    return true;
}

#endif
