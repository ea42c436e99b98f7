/* fused_axes.c - the domain made simple: axes merged, row values and stages found, work counted. */
#include "planner/fused.h"

#include <string.h>

/* ---- merging axes: neighbours that every access walks as one ---- */

static bool can_merge(const Fused *f, int a)
{
    for (int k = 0; k < f->access.n; k++)
        if (f->access.v[k].stride[a] != f->access.v[k].stride[a + 1] * f->extent[a + 1])
            return false;
    for (int k = 0; k < f->ins.n; k++)
        if (f->ins.v[k].kind == I_INDEX &&
            f->ins.v[k].stride[a] != f->ins.v[k].stride[a + 1] * f->extent[a + 1])
            return false;
    return true;
}

static void drop_stride(int64_t *stride, int a, int n)
{
    memmove(stride + a, stride + a + 1, (size_t)(n - a - 1) * sizeof *stride);
    stride[n - 1] = 0;
}

static void merge(Fused *f, int a, int n)
{
    for (int k = 0; k < f->access.n; k++)
        drop_stride(f->access.v[k].stride, a, n);
    for (int k = 0; k < f->ins.n; k++)
        drop_stride(f->ins.v[k].stride, a, n);
    f->extent[a] *= f->extent[a + 1];
    memmove(f->extent + a + 1, f->extent + a + 2, (size_t)(n - a - 2) * sizeof *f->extent);
    f->extent[n - 1] = 0;
}

void fused_merge_axes(Fuser *u)
{
    Fused *f = u->f;
    int n = u->n_axis, outer = u->n_outer;
    bool decided = n > outer || u->g->colsum || u->g->reduces;
    for (int a = n - 2; a >= 0; a--) {
        if (decided && a + 1 == outer)
            continue; /* never across the row's edge */
        if (!can_merge(f, a))
            continue;
        merge(f, a, n);
        n--;
        outer -= a + 1 < outer;
    }
    if (decided) {
        if (n - outer > 1)
            BUG("a row of %d axes in %s", n - outer, u->g->item.v[0]->node->path);
        f->n_inner = n - outer;
    } else {
        f->n_inner = n > 1;
    }
    if (n == 0) {
        f->extent[0] = 1;
        n = 1;
    }
    f->n_axis = n;
}

/* ---- rows and stages ---- */

void fused_rows(Fused *f)
{
    int col = f->n_axis - 1;
    for (int k = 0; k < f->ins.n; k++) {
        Ins *n = &f->ins.v[k];
        bool row = f->n_inner > 0;
        int stage = 0;
        for (int j = 0; j < 3; j++)
            if (n->in[j] >= 0) {
                row = row && f->ins.v[n->in[j]].row;
                if (f->ins.v[n->in[j]].stage > stage)
                    stage = f->ins.v[n->in[j]].stage;
            }
        if (n->acc >= 0 && f->n_inner)
            row = row && f->access.v[n->acc].stride[col] == 0;
        if (n->kind == I_INDEX && f->n_inner)
            row = row && n->stride[col] == 0;
        if (n->kind == I_REDUCE) {
            row = f->n_inner > 0;
            stage++;
        }
        if ((n->kind == I_STORE || n->kind == I_COLSUM) && f->n_inner)
            row = f->ins.v[n->in[0]].row;
        n->row = row;
        n->stage = stage;
        if (stage + 1 > f->n_stage)
            f->n_stage = stage + 1;
    }
}

int64_t fused_bytes(const Kernel *k)
{
    const Fused *f = &k->fused;
    int64_t points = k->units * (f->n_inner ? f->extent[f->n_axis - 1] : 1), bytes = 0;
    for (int j = 0; j < f->ins.n; j++) {
        const Ins *n = &f->ins.v[j];
        if (n->kind == I_LOAD || n->kind == I_GATHER || n->kind == I_STORE)
            bytes += (n->row ? k->units : points) * dtype_size(f->access.v[n->acc].dtype);
    }
    return bytes;
}

void fused_count(const Fuser *u)
{
    Kernel *k = u->k;
    const Fused *f = u->f;
    int64_t points = k->units * (f->n_inner ? f->extent[f->n_axis - 1] : 1);
    for (int j = 0; j < f->ins.n; j++) {
        const Ins *n = &f->ins.v[j];
        int64_t times = n->row ? k->units : points;
        if (n->kind == I_ELEM)
            k->flops += times * (op_info[n->op].cost == COST_costly ? 16 : 1);
        if (n->kind == I_REDUCE || n->kind == I_COLSUM)
            k->flops += points;
    }
    k->bytes = fused_bytes(k);
}
