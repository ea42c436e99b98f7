/* inspect_diff.c - two plans side by side: what is not the same. */
#include "frontend/base/map.h"
#include "planner/inspect_lanes.h"

#include <string.h>

typedef struct Pair {
    Page *p;
    const PlanFile *x, *y;
    Grid g;
    int rows, same;
} Pair;

static Pair pair_new(Page *p, const char *columns)
{
    return (Pair){.p = p, .x = p->f, .y = p->with, .g = grid_new(p, columns)};
}

static void row_text(Pair *t, const char *name, const char *x, const char *y)
{
    if (strcmp(x, y) == 0) {
        t->same++;
        return;
    }
    grid_cell(&t->g, name);
    grid_cell(&t->g, x);
    grid_cell(&t->g, y);
    grid_cell(&t->g, "");
    t->rows++;
}

typedef const char *Say(Page *p, int64_t x);

static void row_number(Pair *t, const char *name, int64_t x, int64_t y, Say *say)
{
    Page *p = t->p;
    if (x == y) {
        t->same++;
        return;
    }
    grid_cell(&t->g, name);
    grid_cell(&t->g, x < 0 ? "-" : say(p, x));
    grid_cell(&t->g, y < 0 ? "-" : say(p, y));
    bool both = x > 0 && y >= 0;
    grid_cell(&t->g, both
                         ? arena_printf(p->a, "%+.1f %%", 100 * ((double)y - (double)x) / (double)x)
                         : "");
    t->rows++;
}

static void pair_print(Pair *t, const char *heading)
{
    if (!t->rows)
        return;
    page_heading(t->p, "%s", heading);
    grid_print(&t->g, 2);
}

static const char *plan_text(Page *p, const PlanFile *f)
{
    return arena_printf(p->a, "%s, plan %s", f->name, f->hash);
}

/* ---- numbers of the whole plan ---- */

static const char *yes_no(bool b)
{
    return b ? "yes" : "no";
}

static int diff_settings(Page *p)
{
    Pair t = pair_new(p, "|>first|>second|>");
    const PlanFile *x = t.x, *y = t.y;
    row_text(&t, "model", x->model, y->model);
    row_text(&t, "machine", x->machine ? x->machine->name : "none",
             y->machine ? y->machine->name : "none");
    row_number(&t, "ranks", x->ranks, y->ranks, page_grouped);
    row_number(&t, "batch", x->batch, y->batch, page_grouped);
    row_number(&t, "micro-batch", x->micro_batch, y->micro_batch, page_grouped);
    row_number(&t, "rounds", x->rounds, y->rounds, page_grouped);
    row_number(&t, "memory", x->memory, y->memory, page_bytes);
    row_number(&t, "state shared by", x->shared_by, y->shared_by, page_grouped);
    row_text(&t, "accumulate", accumulate_words.word[x->reduced],
             accumulate_words.word[y->reduced]);
    row_text(&t, "reduce", reduce_words.word[x->invariant], reduce_words.word[y->invariant]);
    row_text(&t, "overlap", x->overlap ? "auto" : "off", y->overlap ? "auto" : "off");
    row_number(&t, "lead", x->lead, y->lead, page_grouped);
    row_number(&t, "bucket", x->bucket_bytes, y->bucket_bytes, page_bytes);
    row_text(&t, "fused", yes_no(x->fused), yes_no(y->fused));
    pair_print(&t, "settings");
    return t.rows;
}

static int diff_totals(Page *p)
{
    Pair t = pair_new(p, "|>first|>second|>");
    const FileTotals *x = &t.x->totals, *y = &t.y->totals;
    row_number(&t, "step time", x->step_ps, y->step_ps, page_ps);
    row_number(&t, "communication exposed", x->exposed_ps, y->exposed_ps, page_ps);
    row_number(&t, "arena", x->arena_bytes, y->arena_bytes, page_bytes);
    row_number(&t, "persistent", x->persistent_bytes, y->persistent_bytes, page_bytes);
    row_number(&t, "live at most", x->max_live_bytes, y->max_live_bytes, page_bytes);
    row_number(&t, "host arena", x->host_bytes, y->host_bytes, page_bytes);
    row_number(&t, "flops", x->flops, y->flops, page_count);
    row_number(&t, "bytes moved", x->step_bytes, y->step_bytes, page_bytes);
    row_number(&t, "steps", t.x->n_step, t.y->n_step, page_grouped);
    row_number(&t, "buffers", t.x->n_buffer, t.y->n_buffer, page_grouped);
    row_number(&t, "kernels", t.x->n_kernel, t.y->n_kernel, page_grouped);
    pair_print(&t, "totals");
    return t.rows;
}

/* ---- groups ---- */

static const char *level_text(Page *p, const FileGroup *g)
{
    return !g ? "-"
              : arena_printf(p->a, "%s%s", level_words.word[g->level],
                             g->offload ? ", offload" : "");
}

static const FileGroup *group_named(const PlanFile *f, const Map *of, const char *path)
{
    int k = (int)(intptr_t)map_get(of, path) - 1;
    return k < 0 ? NULL : &f->group[k];
}

static int diff_groups(Page *p)
{
    const PlanFile *side[2] = {p->f, p->with};
    Map *of[2] = {map_new(p->a), map_new(p->a)};
    Alikes all = alikes_new(p->a);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < side[k]->n_group; i++)
            map_put(of[k], side[k]->group[i].path, (void *)(intptr_t)(i + 1));
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < side[k]->n_group; i++) {
            const char *path = side[k]->group[i].path;
            const char *x = level_text(p, group_named(side[0], of[0], path));
            const char *y = level_text(p, group_named(side[1], of[1], path));
            if (strcmp(x, y) != 0 && (k == 0 || *x == '-'))
                alikes_add(&all, path, arena_printf(p->a, "%s|%s", x, y), 2 * i + k, 0, 0, 0);
        }
    Pair t = pair_new(p, "|first|second|>");
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const char *path = side[r->first % 2]->group[r->first / 2].path;
        row_text(&t, r->n > 1 ? arena_printf(p->a, "%s (%d)", r->path, r->n) : page_path(r->path),
                 level_text(p, group_named(side[0], of[0], path)),
                 level_text(p, group_named(side[1], of[1], path)));
    }
    pair_print(&t, "levels");
    return t.rows;
}

/* ---- sums by a word ---- */

typedef struct Sums {
    int64_t n[2][N_STEP_KINDS], bytes[2][N_STEP_KINDS];
} Sums;

static int diff_steps(Page *p)
{
    Sums s;
    memset(&s, 0, sizeof s);
    for (int side = 0; side < 2; side++) {
        const PlanFile *f = side ? p->with : p->f;
        for (int i = 0; i < f->n_step; i++) {
            const FileStep *t = &f->step[i];
            if (t->program != PROGRAM_TRAIN)
                continue;
            int64_t runs = step_runs(f, t);
            s.n[side][t->kind] = sum_capped(s.n[side][t->kind], runs);
            s.bytes[side][t->kind] =
                sum_capped(s.bytes[side][t->kind], product_capped(t->sent, runs));
        }
    }
    Pair t = pair_new(p, "kind|>first|>second|>"), c = pair_new(p, "kind|>first|>second|>");
    for (int k = 0; k < N_STEP_KINDS; k++) {
        row_number(&t, kind_words.word[k], s.n[0][k], s.n[1][k], page_grouped);
        row_number(&c, kind_words.word[k], s.bytes[0][k], s.bytes[1][k], page_bytes);
    }
    pair_print(&t, "steps run in one optimizer step");
    pair_print(&c, "bytes one rank sends in one optimizer step");
    return t.rows + c.rows;
}

static int diff_buffers(Page *p)
{
    int64_t n[2][N_ROLES] = {{0}}, bytes[2][N_ROLES] = {{0}};
    for (int side = 0; side < 2; side++) {
        const PlanFile *f = side ? p->with : p->f;
        for (int i = 0; i < f->n_buffer; i++) {
            int role = f->buffer[i].role;
            n[side][role]++;
            bytes[side][role] = sum_capped(bytes[side][role], bytes_rounded(&f->buffer[i]));
        }
    }
    Pair t = pair_new(p, "role|>first|>second|>");
    for (int k = 0; k < N_ROLES; k++) {
        row_number(&t, role_words.word[k], bytes[0][k], bytes[1][k], page_bytes);
        row_number(&t, arena_printf(p->a, "%s, how many", role_words.word[k]), n[0][k], n[1][k],
                   page_grouped);
    }
    pair_print(&t, "buffers");
    return t.rows;
}

void page_diff(Page *p)
{
    const PlanFile *x = p->f, *y = p->with;
    page_heading(p, "first %s", plan_text(p, x));
    strbuf_printf(&p->s, "%ssecond %s%s\n", p->color ? "\033[1m" : "", plan_text(p, y),
                  p->color ? "\033[0m" : "");
    int rows = diff_totals(p) + diff_settings(p) + diff_groups(p) + diff_steps(p) + diff_buffers(p);
    if (!rows)
        strbuf_add(&p->s, strcmp(x->hash, y->hash) == 0
                              ? "\n  the same plan\n"
                              : "\n  the same in all numbers; order, places or waits differ\n");
}
