/* plan_edit.c - is it this model's plan, and what was changed in it? */
#include "planner/plan_edit.h"

#include "planner/measure.h"
#include "planner/plan_compare.h"
#include "planner/plan_edit_parts.h"
#include "planner/verify/verify.h"

#include <string.h>

typedef struct Edit {
    Arena *a; /* of the plan */
    Arena *scratch;
    const Model *m;
    const PlanFile *f;
    Diag *d;
    Ask q;
    Plan *p;
    const PlanFile *g; /* the plan made again, as a file */
    int *match;
    Differences found;
    const Difference *choice, *place; /* the first of each */
    bool moved;
} Edit;

static const PlanFile *as_file(Edit *e, const Plan *p)
{
    StrBuf s = strbuf_new(e->scratch);
    plan_json(&s, p);
    const PlanFile *g = plan_read_text(e->scratch, "plan.json", s.text, s.n, e->d);
    if (!g)
        BUG("plan.json cannot be read back (above)");
    return g;
}

/* ---- flags ---- */

static bool contradicts(const Edit *e, const char *plan, const char *flag)
{
    diag_error(e->d, NO_SPAN, "%s: made for %s, and %s", e->f->name, plan, flag);
    diag_help(e->d, "without the flag the plan's own is taken; without --plan a new one is made");
    return false;
}

static bool flag_agrees(const Edit *e, const char *flag, int64_t said, int64_t planned)
{
    if (!said || said == planned)
        return true;
    return contradicts(e,
                       planned < 0 ? "any memory"
                                   : arena_printf(e->scratch, "%s %lld", flag, (long long)planned),
                       arena_printf(e->scratch, "the flag says %lld", (long long)said));
}

static const char *machine_text(Arena *a, const Machine *m)
{
    StrBuf s = strbuf_new(a);
    if (m)
        machine_print(&s, m);
    return s.text ? s.text : "";
}

static bool flags_agree(const Edit *e, const PlanOptions *o)
{
    const PlanFile *f = e->f;
    if (!flag_agrees(e, "--ranks", o->ranks, f->ranks) ||
        !flag_agrees(e, "--memory", o->memory, f->memory) ||
        !flag_agrees(e, "--micro-batch", o->micro_batch, f->micro_batch))
        return false;
    if (o->no_fuse && f->fused)
        return contradicts(e, "fused kernels", "the flag says --no-fuse");
    if (!o->machine ||
        strcmp(machine_text(e->scratch, o->machine), machine_text(e->scratch, f->machine)) == 0)
        return true;
    return contradicts(e,
                       arena_printf(e->scratch, "the machine '%s' as its profile was",
                                    f->machine ? f->machine->name : "none"),
                       arena_printf(e->scratch, "--machine names '%s' as it is", o->machine->name));
}

/* ---- the plan made again ---- */

static bool cannot_be(const Edit *e, const char *what, int64_t x, const char *why, int64_t y)
{
    diag_error(e->d, NO_SPAN, "%s: %s is %lld, which %s %lld", e->f->name, what, (long long)x, why,
               (long long)y);
    return false;
}

/* Before anything is planned: numbers it would not stand. */
static bool possible(const Edit *e, const Ask *q, int64_t micro)
{
    if (q->ranks < 1 || q->batch % q->ranks)
        return cannot_be(e, "made.ranks", q->ranks, "does not divide the batch of", q->batch);
    int64_t share = q->batch / q->ranks;
    if (micro < 1 || share % micro)
        return cannot_be(e, "micro_batch", micro, "does not divide a rank's samples,", share);
    if (q->shared_by < 1 || q->ranks % q->shared_by)
        return cannot_be(e, "shared_by", q->shared_by, "does not divide the ranks,", q->ranks);
    Measure what = measure(e->m, share, micro);
    if (what == MEASURE_FITS)
        return true;
    measure_tell(e->m, what, e->d);
    return false;
}

static Plan *plan_for(Edit *e, const EditChoice *x)
{
    Ask q = e->q;
    q.shared_by = e->m->plan.hybrid ? e->m->plan.hybrid : x->shared_by;
    return possible(e, &q, x->choice.micro_batch) ? plan_one(&q, &x->choice) : NULL;
}

static bool make_again(Edit *e)
{
    const PlanFile *f = e->f;
    EditChoice made;
    e->q = (Ask){.a = e->a, .m = e->m, .machine = f->machine, .no_fuse = !f->fused, .d = e->d};
    if (!e->q.machine)
        e->q.machine = machine_find(e->a, "cpu", e->d);
    e->q.batch = e->m->batch > 0 ? e->m->batch : 1;
    e->q.ranks = f->made.ranks;
    e->q.memory = f->memory > 0 ? f->memory : 0;
    if (!edit_choice_made(e->scratch, e->m, f, e->d, &made))
        return false;
    e->p = plan_for(e, &made);
    return e->p != NULL;
}

/* ---- what differs ---- */

static const Difference *first_of(const Edit *e, KeyClass cls)
{
    for (int i = 0; i < e->found.n; i++)
        if (e->found.v[i].cls == cls)
            return &e->found.v[i];
    return NULL;
}

/* The hash covers what plan.json does not show: it says least, so other keys go first. */
static const Difference *first_fixed(const Edit *e)
{
    const Difference *hash = NULL;
    for (int i = 0; i < e->found.n; i++) {
        const Difference *x = &e->found.v[i];
        if (x->cls != KEY_FIXED)
            continue;
        if (strcmp(x->key, "made.hash") != 0)
            return x;
        hash = x;
    }
    return hash;
}

static bool is_this_models(Edit *e)
{
    e->g = as_file(e, e->p);
    e->match = plan_match(e->scratch, e->f, e->g);
    e->found = plan_compare(e->scratch, e->f, e->g, e->match, ~0u);
    for (int i = 0; i < e->f->n_step; i++)
        e->moved = e->moved || e->match[i] != i;
    const Difference *x = first_fixed(e);
    if (!x)
        return true;
    if (strcmp(x->key, "made.hash") == 0)
        diag_error(e->d, NO_SPAN,
                   "%s: the plan that was changed is %s, this model's is %s: made "
                   "with other settings, other -D or by another bmc",
                   e->f->name, x->x, x->y);
    else
        diag_error(e->d, NO_SPAN, "%s: %s: %s in the file, %s in the plan of this model",
                   e->f->name, x->key, x->x, x->y);
    diag_help(e->d, "what may be changed: levels, recompute, lead, bucket_bytes, overlap, "
                    "micro_batch; or the order of steps, waits, offsets, lifetimes");
    return false;
}

static bool one_kind(Edit *e)
{
    e->choice = first_of(e, KEY_CHOICE);
    e->place = first_of(e, KEY_PLACE);
    if (!e->choice || !(e->place || e->moved))
        return true;
    diag_error(e->d, NO_SPAN, "%s: %s was changed, and %s: places belong to one set of choices",
               e->f->name, e->choice->key, e->place ? e->place->key : "the order of steps");
    diag_help(e->d, "compile with the choice first, then change the plan.json that is written");
    return false;
}

/* ---- the two kinds of change ---- */

static bool choose(Edit *e)
{
    EditChoice asked;
    if (!edit_choice_asked(e->scratch, e->m, e->f, e->d, &asked))
        return false;
    Plan *p = plan_for(e, &asked);
    if (!p)
        return false;
    for (int i = 0; i < p->group.n && i < e->f->n_group; i++) {
        bool changed = (Level)e->g->group[i].level != p->group.v[i].level;
        p->group.v[i].why = changed ? "the plan that was given says so" : e->f->group[i].why;
    }
    e->p = p;
    return true;
}

/* What was changed must be what came of it; what follows may stand as it did, or be right. */
static bool came_true(Edit *e)
{
    unsigned classes = 1u << KEY_CHOICE | 1u << KEY_FOLLOWS;
    const PlanFile *h = as_file(e, e->p);
    Differences left = plan_compare(e->scratch, e->f, h, NULL, classes);
    for (int i = 0; i < e->found.n; i++)
        for (int k = 0; k < left.n; k++) {
            const Difference *x = &left.v[k];
            if (strcmp(e->found.v[i].key, x->key) != 0)
                continue;
            diag_error(e->d, NO_SPAN, "%s: %s: %s in the file, and what comes of it is %s",
                       e->f->name, x->key, x->x, x->y);
            if (x->cls == KEY_CHOICE)
                diag_help(e->d, "the model's `plan` section goes first, then what is possible");
            return false;
        }
    return true;
}

static bool fits(const Edit *e)
{
    const Plan *p = e->p;
    if (plan_fits(&e->q, p))
        return true;
    if (!plan_host_fits(&e->q, p->host_bytes))
        diag_error(e->d, NO_SPAN, "%s: the plan takes %lld bytes on the host, '%s' has %lld",
                   e->f->name, (long long)p->host_bytes, e->q.machine->name,
                   (long long)e->q.machine->host_bytes);
    else
        diag_error(e->d, NO_SPAN, "%s: the plan takes %lld bytes, its `memory` is %lld", e->f->name,
                   (long long)machine_taken(e->q.machine, p->arena_bytes, p->host_bytes),
                   (long long)e->q.memory);
    return false;
}

static bool edited(Edit *e, const PlanOptions *flags)
{
    if (!flags_agree(e, flags) || !make_again(e) || !is_this_models(e) || !one_kind(e))
        return false;
    const uint64_t *origins = e->moved ? plan_origins(e->scratch, e->p) : NULL;
    if (e->choice) {
        if (!choose(e))
            return false;
    } else {
        for (int i = 0; i < e->p->group.n; i++)
            e->p->group.v[i].why = e->f->group[i].why;
        if (e->place || e->moved)
            edit_places(e->scratch, e->p, e->f, e->g, e->match, e->moved);
    }
    return plan_verify(e->p, e->d) &&
           (!origins || plan_verify_order(e->p, e->match, origins, e->d)) && came_true(e) &&
           fits(e);
}

Plan *plan_edit(Arena *a, const Model *m, const PlanFile *f, const PlanOptions *flags, Diag *d)
{
    Edit e = {.a = a, .scratch = arena_new(), .m = m, .f = f, .d = d};
    bool ok = edited(&e, flags);
    if (ok) /* the file's memory may not live as long */
        for (int i = 0; i < e.p->group.n; i++)
            e.p->group.v[i].why = e.p->group.v[i].why ? arena_strdup(a, e.p->group.v[i].why) : NULL;
    arena_free(e.scratch);
    return ok ? e.p : NULL;
}
