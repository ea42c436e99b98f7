/* plan_json_steps.c - the steps of plan.json. */
#include "planner/plan_put.h"
#include "planner/verify/verify.h"
#include "planner/words.h"

static void find_lines(Writer *w, int file)
{
    const Source *src = w->sources->list.v[file];
    vec_push(w->p->arena, &w->line[file], 0);
    for (int i = 0; i < src->n; i++)
        if (src->text[i] == '\n')
            vec_push(w->p->arena, &w->line[file], i + 1);
}

/* "gpt.bm:12:9"; lines are found by halving, as there are many steps. */
static void put_place(Writer *w, Span at)
{
    if (!w->sources || at.file < 0 || at.file >= w->sources->list.n) {
        key_null(w->s, "at");
        return;
    }
    if (w->line[at.file].n == 0)
        find_lines(w, at.file);
    const Starts *line = &w->line[at.file];
    int lo = 0, hi = line->n; /* the line that holds it is one of lo..hi-1 */
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        if (line->v[mid] <= at.lo)
            lo = mid;
        else
            hi = mid;
    }
    key_text(w->s, "at", base_name(w->sources->list.v[at.file]->name));
    w->s->n--; /* the closing quote comes after line and column */
    strbuf_char(w->s, ':');
    put_int(w->s, lo + 1);
    strbuf_char(w->s, ':');
    put_int(w->s, at.lo - line->v[lo] + 1);
    strbuf_char(w->s, '"');
}

/* Buffers the step reads (or, `written`, writes), each once, in the order of the arguments. */
static void put_uses(StrBuf *s, const char *name, const Step *t, bool written)
{
    int seen[countof(t->kernel->arg_dtype)], n = 0;
    key(s, name);
    strbuf_char(s, '[');
    for (int i = 0; i < t->kernel->n_arg; i++) {
        if (!(written ? t->kernel->arg_written[i] : kernel_reads(t->kernel, i)))
            continue;
        int b = t->arg[i].buffer, k = 0;
        while (k < n && seen[k] != b)
            k++;
        if (k < n)
            continue;
        seen[n++] = b;
        if (n > 1)
            strbuf_char(s, ',');
        put_int(s, b);
    }
    strbuf_char(s, ']');
}

/* Where what a kernel touches of flat buffers ends: several parameters or sums lie in one. */
static void put_ends(Writer *w, const Step *t)
{
    enum { MOST = countof(t->kernel->arg_dtype) };
    int64_t end[MOST];
    bool any = false;
    for (int i = 0; i < t->kernel->n_arg; i++) {
        const Buffer *b = &w->p->buffer.v[t->arg[i].buffer];
        int64_t lo;
        if (b->batched || !reach_bytes(w->p, t, i, &lo, &end[i]))
            end[i] = b->bytes;
        any |= !b->batched && end[i] != b->bytes;
    }
    key_sizes(w->s, "ends", end, any ? t->kernel->n_arg : 0);
}

static void put_args(StrBuf *s, const Step *t)
{
    enum { MOST = countof(t->kernel->arg_dtype) };
    int n = t->kernel->n_arg, buffer[MOST] = {0};
    int64_t offset[MOST] = {0}, by_rank[MOST] = {0};
    bool any = false;
    for (int i = 0; i < n; i++) {
        buffer[i] = t->arg[i].buffer;
        offset[i] = t->arg[i].offset;
        by_rank[i] = t->arg[i].by_rank;
        any |= by_rank[i] != 0;
    }
    key_ints(s, "args", buffer, n);
    key_sizes(s, "offsets", offset, n);
    key_sizes(s, "by_rank", by_rank, any ? n : 0); /* few steps have any */
}

static void put_waits(StrBuf *s, const Step *t)
{
    int wait[N_STREAMS] = {0}, n = 0;
    for (int i = 0; i < N_STREAMS; i++)
        if (t->wait[i] >= 0)
            wait[n++] = t->wait[i];
    key_ints(s, "waits", wait, n);
}

/* Times the kernel's counts happen in one turn of the step's phase. */
static int64_t turns(const Plan *p, const Step *t)
{
    int64_t all = step_samples(p, t), chunk = max64(step_chunk(p, t), 1);
    if (t->kernel->batched)
        return all;
    return t->region ? (all + chunk - 1) / chunk : 1;
}

static void put_step(Writer *w, const Step *t)
{
    StrBuf *s = w->s;
    const Kernel *k = t->kernel;
    bool accumulates = false;
    for (int i = 0; i < k->n_arg; i++)
        accumulates |= kernel_accumulates(k, i);
    key_int(s, "id", t->id);
    key_text(s, "stream", stream_words.word[t->stream]);
    key_text(s, "kind", kind_words.word[step_kind(k)]);
    key_text(s, "path", t->path);
    put_uses(s, "reads", t, false);
    put_uses(s, "writes", t, true);
    put_waits(s, t);
    key_text(s, "program", program_words.word[t->program]);
    key_text(s, "phase", phase_words.word[t->phase]);
    key_text(s, "kernel", k->name);
    key_text(s, "what", t->what);
    put_place(w, t->at);
    key_int(s, "instance", t->instance);
    key_int(s, "region", t->region);
    key_bool(s, "backward", t->backward);
    key_bool(s, "recompute", t->recompute);
    key_bool(s, "accumulates", accumulates);
    key_bool(s, "anew", t->anew);
    key_text(s, "when", when_words.word[t->when]);
    put_args(s, t);
    put_ends(w, t);
    key_int(s, "flops", k->flops * turns(w->p, t));
    key_int(s, "bytes", k->bytes * turns(w->p, t));
    key_int(s, "ps", t->ps);
    key_text_null(s, "class", w->p->machine ? class_words.word[t->cls] : NULL);
    key_int(s, "sent", t->sent);
    key_int(s, "group", t->group);
}

void put_steps(Writer *w)
{
    list_open(w->s, "steps");
    for (int i = 0; i < w->p->step.n; i++) {
        list_item(w->s, i);
        put_step(w, &w->p->step.v[i]);
        strbuf_char(w->s, '}');
    }
    list_close(w->s, w->p->step.n);
}
