/* walk.c - which instruction is computed in which sweep, and how later sweeps get its value. */
#include "codegen/walk.h"

enum {
    CHEAP = 6,             /* computing this again costs no more than writing and reading it */
    MOST_KEPT = 16384,     /* columns of a row array; above, everything possible is recomputed */
    MOST_COLUMNS = 1 << 18 /* of a row array that cannot be avoided */
};

enum { NEVER = 1 << 20 };

static const Ins *ins(const Walk *w, int i)
{
    return &w->f->ins.v[i];
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static void set_ready(Walk *w)
{
    for (int i = 0; i < w->f->ins.n; i++) {
        const Ins *n = ins(w, i);
        int ready = 0;
        for (int j = 0; j < 3; j++)
            if (n->in[j] >= 0)
                ready = larger(ready, w->ready[n->in[j]]);
        w->sink[i] = -1;
        w->row[i] = n->row;
        if (n->kind == I_REDUCE && w->cols) {
            w->sink[i] = ready++;
            w->row[i] = true;
        }
        if (n->kind == I_STORE || n->kind == I_COLSUM)
            w->sink[i] = ready;
        if (n->kind == I_STORE && w->row[n->in[0]] && w->cols)
            w->row[i] = w->f->access.v[n->acc].stride[w->f->n_axis - 1] == 0;
        if (n->kind == I_COLSUM)
            w->row[i] = w->cols == 0 || w->f->access.v[n->acc].stride[w->f->n_axis - 1] == 0;
        w->ready[i] = ready;
        if (n->kind == I_LOAD || n->kind == I_GATHER || n->kind == I_STORE || n->kind == I_ELEM ||
            n->kind == I_COLSUM || n->kind == I_REDUCE || n->kind == I_RANDOM)
            w->n_sweep = larger(w->n_sweep, ready + 1);
    }
}

/* The sweep in which a buffer argument is first written, or NEVER. */
static int written_in(const Walk *w, int arg)
{
    int first = NEVER;
    for (int i = 0; i < w->f->ins.n; i++)
        if (ins(w, i)->kind == I_STORE && w->f->access.v[ins(w, i)->acc].arg == arg &&
            w->sink[i] < first)
            first = w->sink[i];
    return first;
}

/* What computing column value `i` once more in `sweep` costs; NEVER when memory has changed. */
static int again(const Walk *w, int i, int sweep)
{
    const Ins *n = ins(w, i);
    if (w->row[i] || n->kind == I_CONST)
        return 0;
    int cost = 0;
    for (int j = 0; j < 3; j++)
        if (n->in[j] >= 0)
            cost += again(w, n->in[j], sweep);
    switch (n->kind) {
    case I_LOAD:
    case I_GATHER:
        cost += written_in(w, w->f->access.v[n->acc].arg) < sweep ? NEVER
                : n->kind == I_LOAD                               ? 2
                                                                  : 4;
        break;
    case I_ELEM:
        cost += op_info[n->op].cost == COST_costly ? 8 : n->op == OP_DIV ? 3 : 1;
        break;
    case I_RANDOM:
        cost += 20;
        break;
    case I_INDEX:
        cost += 1;
        break;
    case I_CONST:
    case I_REDUCE:
    case I_STORE:
    case I_COLSUM:
        break;
    }
    return cost < NEVER ? cost : NEVER;
}

static int stored_before(const Walk *w, int i, int sweep)
{
    for (int j = 0; j < w->f->ins.n; j++) {
        const Ins *n = ins(w, j);
        if (n->kind != I_STORE || n->in[0] != i || w->row[j] || w->sink[j] >= sweep)
            continue;
        bool alone = true; /* nothing else is written to that buffer */
        for (int o = 0; o < w->f->ins.n; o++)
            alone = alone && (o == j || ins(w, o)->kind != I_STORE ||
                              w->f->access.v[ins(w, o)->acc].arg != w->f->access.v[n->acc].arg);
        if (alone)
            return j;
    }
    return -1;
}

static void need(Walk *w, int i, int sweep)
{
    const Ins *n = ins(w, i);
    Via *via = &w->via[sweep * w->f->ins.n + i];
    if (w->row[i] || n->kind == I_CONST || *via != VIA_NONE)
        return;
    if (w->ready[i] < sweep) {
        int store = stored_before(w, i, sweep);
        if (store >= 0) {
            w->stored[i] = store;
            *via = VIA_RELOAD;
            return;
        }
        int cost = again(w, i, sweep);
        if (cost > CHEAP && (w->cols <= MOST_KEPT || cost == NEVER)) {
            if (w->cols > MOST_COLUMNS)
                BUG("%s: a row of %lld columns must be kept", w->k->name, (long long)w->cols);
            w->kept[i] = true;
            *via = VIA_KEPT;
            need(w, i, w->ready[i]);
            return;
        }
    }
    *via = VIA_EVAL;
    for (int j = 0; j < 3; j++)
        if (n->in[j] >= 0)
            need(w, n->in[j], sweep);
}

bool walk_sweeps(const Walk *w, int sweep)
{
    if (!w->cols)
        return sweep == 0;
    for (int i = 0; i < w->f->ins.n; i++)
        if (walk_via(w, sweep, i) == VIA_EVAL ||
            (w->used[i] && w->sink[i] == sweep && (ins(w, i)->kind == I_REDUCE || !w->row[i])))
            return true;
    return false;
}

Walk walk_fused(Arena *a, const Kernel *k)
{
    const Fused *f = &k->fused;
    Walk w = {.k = k, .f = f, .n_sweep = 1};
    int n = f->ins.n;
    w.cols = f->n_inner ? f->extent[f->n_axis - 1] : 0;
    w.ready = arena_array(a, int, n + 1);
    w.sink = arena_array(a, int, n + 1);
    w.stored = arena_array(a, int, n + 1);
    w.row = arena_array(a, bool, n + 1);
    w.kept = arena_array(a, bool, n + 1);
    set_ready(&w);
    w.via = arena_array(a, Via, w.n_sweep * n + 1);
    w.used = arena_array(a, bool, n + 1);
    for (int i = n - 1; i >= 0; i--) {
        w.used[i] = w.used[i] || ins(&w, i)->kind == I_STORE || ins(&w, i)->kind == I_COLSUM;
        for (int j = 0; j < 3; j++)
            if (w.used[i] && ins(&w, i)->in[j] >= 0)
                w.used[ins(&w, i)->in[j]] = true;
    }
    for (int i = 0; i < n; i++)
        w.stored[i] = -1;
    for (int i = 0; i < n; i++) {
        if (w.sink[i] < 0 || !w.used[i])
            continue;
        if (!w.cols || ins(&w, i)->kind == I_REDUCE || !w.row[i])
            need(&w, ins(&w, i)->in[0], w.sink[i]);
    }
    return w;
}
