/* inspect_recompute.c - what each block keeps of its forward pass, and what it computes again. */
#include "planner/inspect_lanes.h"

typedef struct Unit {
    int64_t kept;         /* bytes the forward pass leaves for the backward pass */
    int64_t flops, ps;    /* computed again, in one optimizer step */
    int64_t forward, all; /* ps or flops of its forward pass, and of everything it does */
    int steps;            /* that compute again */
    int tensors;          /* kept */
} Unit;

static int64_t cost(const FileStep *s, bool known)
{
    return known ? s->ps : s->flops;
}

static void add_steps(const PlanFile *f, Unit *unit, bool known)
{
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        Unit *u = &unit[f->instance[s->instance].unit];
        int64_t runs = step_runs(f, s);
        if (s->program != PROGRAM_TRAIN || s->phase != PHASE_ROUND || s->stream != STREAM_COMPUTE)
            continue;
        u->all = sum_capped(u->all, product_capped(cost(s, known), runs));
        if (s->recompute) {
            u->steps++;
            u->flops = sum_capped(u->flops, product_capped(s->flops, runs));
            u->ps = sum_capped(u->ps, product_capped(s->ps, runs));
        } else if (!s->backward) {
            u->forward = sum_capped(u->forward, product_capped(cost(s, known), runs));
        }
    }
}

/* A saved buffer is its first writer's. */
static void add_buffers(Page *p, Unit *unit)
{
    const PlanFile *f = p->f;
    bool *seen = arena_array(p->a, bool, f->n_buffer + 1);
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        for (int k = 0; k < s->writes.n; k++) {
            const FileBuffer *b = &f->buffer[s->writes.v[k]];
            if (seen[b->id] || b->role != ROLE_SAVED || b->persistent ||
                b->program != PROGRAM_TRAIN)
                continue;
            seen[b->id] = true;
            Unit *u = &unit[f->instance[s->instance].unit];
            u->kept = sum_capped(u->kept, bytes_rounded(b));
            u->tensors++;
        }
    }
}

static void print_units(Page *p, const Unit *unit, bool known)
{
    const PlanFile *f = p->f;
    Alikes all = alikes_new(p->a);
    Unit sum = {0};
    for (int i = 0; i < f->n_instance; i++) {
        const Unit *u = &unit[i];
        if (f->instance[i].unit != i || (!u->all && !u->kept && !u->steps))
            continue;
        const char *key =
            arena_printf(p->a, "%s %lld %d %d %lld", f->instance[i].block, (long long)u->kept,
                         u->tensors, u->steps, (long long)u->flops);
        alikes_add(&all, f->instance[i].path, key, i, u->kept, u->flops, u->ps);
        sum.kept = sum_capped(sum.kept, u->kept);
        sum.flops = sum_capped(sum.flops, u->flops);
        sum.ps = sum_capped(sum.ps, u->ps);
        sum.all = sum_capped(sum.all, u->all);
        sum.steps += u->steps;
    }
    Grid g = grid_new(p, "unit|>times|block|>tensors kept|>bytes each|>in all|>steps again|>flops|>"
                         "time|>of its forward");
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const Unit *u = &unit[r->first];
        int64_t again = known ? u->ps : u->flops;
        grid_cell(&g, page_path(r->path));
        grid_cell(&g, r->n > 1 ? arena_printf(p->a, "x %d", r->n) : "");
        grid_cell(&g, f->instance[r->first].block);
        grid_cell(&g, page_grouped(p, u->tensors));
        grid_cell(&g, page_bytes(p, u->kept));
        grid_cell(&g, page_bytes(p, r->sum[0]));
        grid_cell(&g, u->steps ? page_grouped(p, u->steps) : "");
        grid_cell(&g, u->steps ? page_count(p, r->sum[1]) : "");
        grid_cell(&g, u->steps && known ? page_ps(p, r->sum[2]) : "");
        grid_cell(&g,
                  u->steps && u->forward > 0
                      ? arena_printf(p->a, "%.1f %%", 100.0 * (double)again / (double)u->forward)
                      : "");
    }
    grid_print(&g, 2);
    strbuf_printf(&p->s, "\n  kept in all %s; ", page_bytes(p, sum.kept));
    if (!sum.steps) {
        strbuf_add(&p->s, "nothing is computed again\n");
        return;
    }
    int64_t again = known ? sum.ps : sum.flops;
    strbuf_printf(&p->s, "computed again %s flops", page_count(p, sum.flops));
    if (known)
        strbuf_printf(&p->s, ", %s", page_ps(p, sum.ps));
    strbuf_printf(&p->s, ", %.1f %% more than without\n",
                  sum.all > again ? 100.0 * (double)again / (double)(sum.all - again) : 0);
}

void page_recompute(Page *p)
{
    const PlanFile *f = p->f;
    bool known = lanes_known(f);
    Unit *unit = arena_array(p->a, Unit, f->n_instance + 1);
    page_heading(p, "kept and computed again in %s, micro-batch %lld, one optimizer step", f->model,
                 (long long)f->micro_batch);
    add_steps(f, unit, known);
    add_buffers(p, unit);
    print_units(p, unit, known);
    for (int i = 0; i < f->n_try; i++)
        if (!f->tried[i].why && f->tried[i].recompute)
            strbuf_printf(&p->s, "  chosen: recompute %s\n", f->tried[i].recompute);
}
