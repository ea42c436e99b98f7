/* inspect_params.c - parameters, model buffers and optimizer state. */
#include "planner/inspect_page.h"

/* Bytes of optimizer state by parameter, the master with it, of all ranks that share it. */
static int64_t *state_bytes(Page *p)
{
    const PlanFile *f = p->f;
    int64_t *sum = arena_array(p->a, int64_t, f->n_param + 1);
    for (int i = 0; i < f->n_state; i++) {
        const FileState *s = &f->state[i];
        const FileParam *a = &f->param[s->param];
        if (s->id < 0)
            continue;
        int64_t bytes = a->group >= 0 ? product_capped(param_elements(a), 4) /* of a flat buffer */
                                      : f->buffer[s->id].bytes;
        sum[s->param] = sum_capped(sum[s->param], bytes);
    }
    for (int i = 0; i < f->n_param; i++) { /* f32 parameters behind a narrow copy */
        const FileParam *a = &f->param[i];
        if (a->group >= 0 && a->optimizer >= 0 && a->dtype != DT_F32)
            sum[i] = sum_capped(sum[i], product_capped(param_elements(a), 4));
    }
    return sum;
}

static const char *init_text(Page *p, const FileInit *in)
{
    StrBuf s = strbuf_new(p->a);
    strbuf_add(&s, init_words.word[in->kind]);
    switch ((InitKind)in->kind) {
    case INIT_ZEROS:
    case INIT_ONES:
        break;
    case INIT_FILL:
    case INIT_NORMAL:
        strbuf_char(&s, '(');
        strbuf_double(&s, in->a);
        strbuf_char(&s, ')');
        break;
    case INIT_UNIFORM:
        strbuf_char(&s, '(');
        strbuf_double(&s, in->a);
        strbuf_add(&s, ", ");
        strbuf_double(&s, in->b);
        strbuf_char(&s, ')');
        break;
    case INIT_NPY:
        strbuf_printf(&s, "(%s)", in->file ? in->file : "");
        break;
    }
    return s.text;
}

static const char *trained_text(const FileParam *a)
{
    return a->buffer          ? "(buffer)"
           : a->frozen        ? "(frozen)"
           : a->optimizer < 0 ? "(not trained)"
                              : opt_words.word[a->optimizer];
}

int64_t param_elements(const FileParam *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->shape.n; i++)
        n = product_capped(n, a->shape.v[i]);
    return n;
}

/* ---- ranks ---- */

Range param_range(const PlanFile *f, const FileParam *a, int64_t rank)
{
    const FileGroup *g = a->group >= 0 ? &f->group[a->group] : NULL;
    int64_t n = param_elements(a), of = f->shared_by > 0 ? f->shared_by : 1;
    if (!g || g->level == LEVEL_0)
        return (Range){0, n};
    int64_t lo = product_capped(rank % of, g->shard), hi = sum_capped(lo, g->shard);
    Range r = {max64(lo - a->at, 0), min64(hi - a->at, n)};
    return r.hi > r.lo ? r : (Range){0, 0};
}

Kept param_kept(const PlanFile *f, const FileParam *a, int64_t rank)
{
    const FileGroup *g = a->group >= 0 ? &f->group[a->group] : NULL;
    int64_t n = param_elements(a);
    if (!g)
        return (Kept){.params = a->bytes};
    Range r = param_range(f, a, rank);
    int64_t part = product_capped(r.hi - r.lo, 4), whole = product_capped(n, 4);
    int64_t size = dtype_size((DType)f->buffer[g->param_buffer].dtype);
    bool sharded = g->level == LEVEL_3 || g->level == LEVEL_ONCE;
    return (Kept){.params = sharded ? product_capped(r.hi - r.lo, size) : a->bytes,
                  .grads = g->grad_buffer < 0                           ? 0
                           : g->level == LEVEL_0 || g->level == LEVEL_1 ? whole
                                                                        : part,
                  .state = product_capped(part, g->state_buffers.n)};
}

static const char *range_text(Page *p, const FileParam *a)
{
    Range r = param_range(p->f, a, p->rank);
    if (r.hi <= r.lo)
        return "none";
    if (r.lo == 0 && r.hi == param_elements(a))
        return "all";
    return arena_printf(p->a, "%lld-%lld", (long long)r.lo, (long long)(r.hi - 1));
}

static void params_on_rank(Page *p)
{
    const PlanFile *f = p->f;
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_param; i++) {
        const FileParam *a = &f->param[i];
        const FileGroup *g = a->group >= 0 ? &f->group[a->group] : NULL;
        Kept k = param_kept(f, a, p->rank);
        const char *key =
            arena_printf(p->a, "%s %s %s %s %d %s %d", page_shape(p, &a->shape),
                         dtype_words.word[a->dtype], trained_text(a), init_text(p, &a->init),
                         g ? g->level : -1, range_text(p, a), g && g->offload);
        alikes_add(&all, a->path, key, i, k.params, k.grads, k.state);
    }
    Grid g = grid_new(p, arena_printf(p->a,
                                      "path|>times|shape|dtype|unit|level|rank %lld's "
                                      "elements|>params|>grads|>state|optimizer|init",
                                      (long long)p->rank));
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileParam *a = &f->param[r->first];
        const FileGroup *u = a->group >= 0 ? &f->group[a->group] : NULL;
        const char *unit = u ? page_path(f->instance[u->unit].path) : "";
        grid_cell(&g, page_path(r->path));
        grid_cell(&g, r->n > 1 ? arena_printf(p->a, "x %d", r->n) : "");
        grid_cell(&g, page_shape(p, &a->shape));
        grid_cell(&g, dtype_words.word[a->dtype]);
        grid_cell(&g, r->n > 1 ? path_pattern(p->a, unit) : unit);
        grid_cell(&g, !u           ? ""
                      : u->offload ? arena_printf(p->a, "%s, host", level_words.word[u->level])
                                   : level_words.word[u->level]);
        grid_cell(&g, range_text(p, a));
        grid_cell(&g, page_bytes(p, r->sum[0]));
        grid_cell(&g, r->sum[1] ? page_bytes(p, r->sum[1]) : "");
        grid_cell(&g, r->sum[2] ? page_bytes(p, r->sum[2]) : "");
        grid_cell(&g, trained_text(a));
        grid_cell(&g, init_text(p, &a->init));
    }
    grid_print(&g, 2);
    strbuf_char(&p->s, '\n');
}

/* Persistent bytes of every rank, padding included. */
static void totals_on_rank(Page *p)
{
    const PlanFile *f = p->f;
    int64_t sum[2][2] = {{0}}; /* param or state; in the host's arena */
    for (int i = 0; i < f->n_buffer; i++) {
        const FileBuffer *b = &f->buffer[i];
        if (b->persistent && (b->role == ROLE_PARAM || b->role == ROLE_STATE)) {
            int64_t *to = &sum[b->role == ROLE_STATE][b->host];
            *to = sum_capped(*to, bytes_rounded(b));
        }
    }
    strbuf_printf(&p->s, "  on each of %lld ranks, padding included: parameters %s, state %s",
                  (long long)f->ranks, page_bytes(p, sum[0][0]), page_bytes(p, sum[1][0]));
    if (sum[0][1] || sum[1][1])
        strbuf_printf(&p->s, "; on the host parameters %s, state %s", page_bytes(p, sum[0][1]),
                      page_bytes(p, sum[1][1]));
    strbuf_char(&p->s, '\n');
}

static void total(Page *p, const char *what, int tensors, int64_t n, int64_t bytes)
{
    if (tensors)
        strbuf_printf(&p->s, "  %s: %d tensor%s, %s elements, %s (%s bytes)\n", what, tensors,
                      tensors == 1 ? "" : "s", page_grouped(p, n), page_bytes(p, bytes),
                      page_grouped(p, bytes));
}

/* The same on every rank. */
static void params_whole(Page *p, const int64_t *state)
{
    const PlanFile *f = p->f;
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_param; i++) {
        const FileParam *a = &f->param[i];
        const char *key = arena_printf(p->a, "%s %s %s %s %lld", page_shape(p, &a->shape),
                                       dtype_words.word[a->dtype], trained_text(a),
                                       init_text(p, &a->init), (long long)state[i]);
        alikes_add(&all, a->path, key, i, param_elements(a), a->bytes, state[i]);
    }
    Grid g = grid_new(p, "path|>times|shape|dtype|>elements|>bytes|>state|optimizer|init");
    for (int i = 0; i < all.row.n; i++) {
        const Alike *r = &all.row.v[i];
        const FileParam *a = &f->param[r->first];
        grid_cell(&g, page_path(r->path));
        grid_cell(&g, r->n > 1 ? arena_printf(p->a, "x %d", r->n) : "");
        grid_cell(&g, page_shape(p, &a->shape));
        grid_cell(&g, dtype_words.word[a->dtype]);
        grid_cell(&g, page_grouped(p, r->sum[0]));
        grid_cell(&g, page_bytes(p, r->sum[1]));
        grid_cell(&g, r->sum[2] ? page_bytes(p, r->sum[2]) : "");
        grid_cell(&g, trained_text(a));
        grid_cell(&g, init_text(p, &a->init));
    }
    grid_print(&g, 2);
    strbuf_char(&p->s, '\n');
}

static void model_totals(Page *p, const int64_t *state)
{
    const PlanFile *f = p->f;
    int64_t n[2] = {0}, bytes[2] = {0}, states = 0;
    int tensors[2] = {0};
    for (int i = 0; i < f->n_param; i++) {
        const FileParam *a = &f->param[i];
        n[a->buffer] = sum_capped(n[a->buffer], param_elements(a));
        bytes[a->buffer] = sum_capped(bytes[a->buffer], a->bytes);
        states = sum_capped(states, state[i]);
        tensors[a->buffer]++;
    }
    total(p, "parameters", tensors[0], n[0], bytes[0]);
    total(p, "buffers", tensors[1], n[1], bytes[1]);
    strbuf_printf(&p->s, "  optimizer state: %s (%s bytes)\n", page_bytes(p, states),
                  page_grouped(p, states));
}

void page_params(Page *p)
{
    const PlanFile *f = p->f;
    int64_t last = f->ranks > 0 ? f->ranks - 1 : 0;
    if (p->rank < 0 || p->rank > last) {
        page_fail(p, "there is no rank %lld: the plan's are 0 to %lld", (long long)p->rank,
                  (long long)last);
        return;
    }
    const int64_t *state = state_bytes(p);
    page_heading(p, "parameters of %s", f->model);
    if (f->ranks > 1)
        params_on_rank(p);
    else
        params_whole(p, state);
    model_totals(p, state);
    if (f->ranks > 1)
        totals_on_rank(p);
}
