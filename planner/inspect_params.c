/* inspect_params.c - parameters, model buffers and optimizer state. */
#include "planner/inspect_page.h"

/* Bytes of optimizer state by parameter. */
static int64_t *state_bytes(Page *p)
{
    const PlanFile *f = p->f;
    int64_t *sum = arena_array(p->a, int64_t, f->n_param + 1);
    for (int i = 0; i < f->n_state; i++)
        if (f->state[i].id >= 0)
            sum[f->state[i].param] =
                sum_capped(sum[f->state[i].param], f->buffer[f->state[i].id].bytes);
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

static int64_t elements(const FileParam *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->shape.n; i++)
        n = product_capped(n, a->shape.v[i]);
    return n;
}

static void total(Page *p, const char *what, int tensors, int64_t n, int64_t bytes)
{
    if (tensors)
        strbuf_printf(&p->s, "  %s: %d tensor%s, %s elements, %s (%s bytes)\n", what, tensors,
                      tensors == 1 ? "" : "s", page_grouped(p, n), page_bytes(p, bytes),
                      page_grouped(p, bytes));
}

void page_params(Page *p)
{
    const PlanFile *f = p->f;
    int64_t *state = state_bytes(p), n[2] = {0}, bytes[2] = {0}, states = 0;
    int tensors[2] = {0};
    Alikes all = alikes_new(p->a);
    for (int i = 0; i < f->n_param; i++) {
        const FileParam *a = &f->param[i];
        const char *key = arena_printf(p->a, "%s %s %s %s %lld", page_shape(p, &a->shape),
                                       dtype_words.word[a->dtype], trained_text(a),
                                       init_text(p, &a->init), (long long)state[i]);
        alikes_add(&all, a->path, key, i, elements(a), a->bytes, state[i]);
        n[a->buffer] = sum_capped(n[a->buffer], elements(a));
        bytes[a->buffer] = sum_capped(bytes[a->buffer], a->bytes);
        states = sum_capped(states, state[i]);
        tensors[a->buffer]++;
    }
    page_heading(p, "parameters of %s", f->model);
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
    total(p, "parameters", tensors[0], n[0], bytes[0]);
    total(p, "buffers", tensors[1], n[1], bytes[1]);
    strbuf_printf(&p->s, "  optimizer state: %s (%s bytes)\n", page_bytes(p, states),
                  page_grouped(p, states));
}
