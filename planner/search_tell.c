/* search_tell.c - what the search found, for people: alternatives and why they lost, how far the
 * plan is from what cannot be beaten, or why there is none. */
#include "planner/search.h"
#include "planner/words.h"

#include <string.h>

enum { MOST_ALTERNATIVES = 24 };

/* ---- alternatives ---- */

/* "3 x 20, 1 x 13" */
static const char *mixed_words(Arena *a, const Choice *c)
{
    StrBuf words = strbuf_new(a);
    for (int l = N_LEVELS - 1; l >= 0; l--) {
        int n = 0;
        for (int k = 0; k < c->n_levels; k++)
            n += c->levels[k] == (Level)l;
        if (n)
            strbuf_printf(&words, "%s%s x %d", words.n ? ", " : "", level_words.word[l], n);
    }
    return words.text;
}

static const char *zero_words(const Search *s, const Plan *p, const Choice *c)
{
    if (s->q->ranks == 1)
        return "-";
    if (c->levels)
        return mixed_words(p->arena, c);
    return s->levels ? level_words.word[c->level] : arena_printf(p->arena, "as the file says");
}

static const char *recompute_words(const Choice *c)
{
    return c->kept ? "mixed" : c->recompute == RECOMPUTE_ALL ? "all" : "none";
}

static const char *overlap_words(const Search *s, const Plan *p, const Choice *c)
{
    if (s->q->ranks == 1)
        return "-";
    if (!p->overlap)
        return "off";
    if (!c->bucket_bytes)
        return arena_printf(p->arena, "auto, lead %d", c->lead);
    StrBuf bucket = strbuf_new(p->arena);
    strbuf_bytes(&bucket, c->bucket_bytes);
    return arena_printf(p->arena, "auto, lead %d, buckets of %s", c->lead, bucket.text);
}

/* In thousandths, rounded up: nothing that lost looks as good. */
static const char *percent(Arena *a, int64_t more, int64_t of)
{
    __extension__ typedef __int128 Wide;
    int64_t t = of > 0 ? (int64_t)(((Wide)more * 1000 + of - 1) / of) : 0;
    return arena_printf(a, "%lld.%lld %%", (long long)(t / 10), (long long)(t % 10));
}

static int64_t over(const Ask *q, int64_t taken)
{
    return q->memory ? max64(taken - q->memory, 0) : 0;
}

static int64_t host_over(const Ask *q, int64_t host)
{
    return plan_host_fits(q, host) ? 0 : host - q->machine->host_bytes;
}

static const char *why_lost(const Search *s, const Result *r, const Result *best, Plan *p)
{
    if (r == best)
        return NULL;
    if (!r->fits) {
        int64_t host = host_over(s->q, r->host_bytes);
        StrBuf more = strbuf_new(p->arena);
        strbuf_bytes(&more, host ? host : over(s->q, r->taken_bytes));
        return arena_printf(p->arena, "needs %s more than %s", more.text,
                            host ? "the host has" : "memory");
    }
    if (r->step_ps > best->step_ps)
        return arena_printf(p->arena, "%s slower",
                            percent(p->arena, r->step_ps - best->step_ps, best->step_ps));
    if (r->taken_bytes > best->taken_bytes)
        return "as fast, and needs more memory";
    return "as good: the other came first";
}

static int64_t rank_of(const Result *r)
{
    return r->fits ? r->step_ps : INT64_MAX;
}

void search_remember(const Search *s, const Result *best, Plan *p)
{
    int n = s->result.n;
    const Result **order = arena_array(p->arena, const Result *, n + 1);
    for (int k = 0; k < n; k++) {
        int j = k;
        for (; j > 0 && rank_of(order[j - 1]) > rank_of(s->result.v[k]); j--)
            order[j] = order[j - 1];
        order[j] = s->result.v[k];
    }
    for (int k = -1; k < n && p->tried.n < MOST_ALTERNATIVES; k++) {
        const Result *r = k < 0 ? best : order[k];
        if (k >= 0 && r == best)
            continue;
        Alternative x = {.micro_batch = r->choice.micro_batch,
                         .rounds = r->rounds,
                         .arena_bytes = r->arena_bytes,
                         .host_bytes = r->host_bytes,
                         .step_ps = r->step_ps,
                         .exposed_ps = r->exposed_ps,
                         .zero = zero_words(s, p, &r->choice),
                         .recompute = recompute_words(&r->choice),
                         .overlap = overlap_words(s, p, &r->choice),
                         .fits = r->fits,
                         .why = why_lost(s, r, best, p)};
        vec_push(p->arena, &p->tried, x);
    }
}

/* ---- bound ---- */

/* Of every micro-batch. What is no bound is not told, and stops no plan; tests look for it. */
void search_bound(const Search *s, Plan *p)
{
    p->bounds = s->bound;
    if (p->bounds.lower_ps <= p->step_ps)
        return;
    p->bounds = (Bounds){.lambda_den = 1, .fixed_ps = p->step_ps - p->exposed_ps, .refuted = true};
    p->bounds.lower_ps = p->bounds.fixed_ps;
}

/* ---- nothing fits ---- */

static void tell_roles(const Plan *p, Diag *d)
{
    static const struct {
        BufferRole role;
        const char *what;
    } line[] = {{ROLE_PARAM, "parameters"},
                {ROLE_STATE, "optimizer state"},
                {ROLE_GATHERED, "gathered parameters"},
                {ROLE_GRAD, "gradients and sums"},
                {ROLE_SAVED, "saved activations"},
                {ROLE_TEMP, "temporaries"},
                {ROLE_COMM, "staging of collectives"}};
    StrBuf s = strbuf_new(p->arena);
    for (int k = 0; k < countof(line); k++) {
        int64_t bytes = 0;
        for (int i = 0; i < p->buffer.n; i++) {
            const Buffer *b = &p->buffer.v[i];
            bool live =
                b->persistent || (b->first <= p->max_live_step && p->max_live_step <= b->last);
            if (b->role == line[k].role && live && b->first >= 0 && !b->host)
                bytes += round_up(b->bytes, ARENA_ALIGN);
        }
        if (!bytes)
            continue;
        strbuf_printf(&s, "%s%s ", s.n ? ", " : "", line[k].what);
        strbuf_bytes(&s, bytes);
    }
    if (p->host_bytes) {
        strbuf_printf(&s, "%son the host ", s.n ? ", " : "");
        strbuf_bytes(&s, p->host_bytes);
    }
    diag_note(d, NO_SPAN, "at its peak: %s", s.text ? s.text : "nothing");
}

static const char *bytes_text(Arena *a, int64_t bytes)
{
    StrBuf s = strbuf_new(a);
    strbuf_bytes(&s, bytes);
    return s.text;
}

/* The one that is asked for, or one. */
static int64_t least_micro(const Search *s)
{
    return s->micro.v[s->micro.n - 1];
}

typedef struct Need {
    int64_t taken, host;
    bool fits;
} Need;

/* What takes least on another number of ranks, or with each round's sums over ranks at once. */
static Need least_on(const Search *s, int64_t ranks, bool reduced)
{
    const Ask *q = s->q;
    Arena *scratch = arena_new();
    Model m = *q->m;
    m.reduced = reduced;
    Ask other = *q;
    other.a = scratch;
    other.m = &m;
    other.ranks = ranks;
    other.shared_by = m.plan.hybrid ? m.plan.hybrid : ranks;
    Choice c = {.micro_batch = least_micro(s),
                .level = LEVEL_3,
                .recompute = RECOMPUTE_ALL,
                .offsets_budget = QUICK_OFFSETS};
    const Plan *p = plan_one(&other, &c);
    Need need = {machine_taken(q->machine, p->arena_bytes, p->host_bytes), p->host_bytes,
                 plan_fits(&other, p)};
    arena_free(scratch);
    return need;
}

/* The fewest ranks, by doubling, that would do; less than `most`. What was found, or `most`. */
static int64_t help_ranks(const Search *s, bool reduced, int64_t most)
{
    const Ask *q = s->q;
    bool other = reduced && !q->m->reduced;
    int64_t n = other && q->ranks > 1 ? q->ranks : q->ranks * 2;
    for (; n < most && n <= q->batch && q->batch % (n * least_micro(s)) == 0; n *= 2) {
        Need need = least_on(s, n, reduced);
        if (!need.fits)
            continue;
        bool two = need.host && q->machine->target == TARGET_CUDA;
        const char *on = arena_printf(q->a, "%lld ranks", (long long)n);
        diag_help(q->d, "or %s%s%s: each would need %s%s%s or less", n > q->ranks ? on : "",
                  other && n > q->ranks ? " and " : "", other ? "`accumulate = reduced`" : "",
                  bytes_text(q->a, need.taken), two ? ", of the host's memory " : "",
                  two ? bytes_text(q->a, need.host) : "");
        return n;
    }
    return most;
}

/* Bytes that are missing, of either memory. */
static int64_t missing(const Ask *q, const Result *r)
{
    return over(q, r->taken_bytes) + host_over(q, r->host_bytes);
}

static const Result *least_missing(const Search *s)
{
    const Result *least = s->result.v[0];
    for (int k = 1; k < s->result.n; k++) {
        const Result *r = s->result.v[k];
        int64_t more = missing(s->q, r) - missing(s->q, least);
        if (more < 0 || (!more && r->taken_bytes < least->taken_bytes))
            least = r;
    }
    return least;
}

/* Of memory, or of the host's where only that is too small. */
static void tell_need(const Ask *q, const Plan *p, int64_t taken)
{
    Arena *a = q->a;
    Span at = q->m->plan.memory_at;
    if (at.file < 0 || q->m->plan.memory != q->memory)
        at = NO_SPAN;
    if (!over(q, taken)) {
        diag_error(q->d, NO_SPAN,
                   "no plan fits: the least found needs %s (%lld bytes) of the host's memory, "
                   "'%s' has %s for a rank",
                   bytes_text(a, p->host_bytes), (long long)p->host_bytes, q->machine->name,
                   bytes_text(a, q->machine->host_bytes));
        return;
    }
    const char *parts =
        taken == p->arena_bytes
            ? ""
            : arena_printf(a, ", %s and %s of what is offloaded", bytes_text(a, p->arena_bytes),
                           bytes_text(a, p->host_bytes));
    diag_error(q->d, at, "no plan fits: the least found needs %s (%lld bytes)%s, memory is %s",
               bytes_text(a, taken), (long long)taken, parts, bytes_text(a, q->memory));
    if (host_over(q, p->host_bytes))
        diag_note(q->d, NO_SPAN, "it needs %s of the host's memory too, '%s' has %s for a rank",
                  bytes_text(a, p->host_bytes), q->machine->name,
                  bytes_text(a, q->machine->host_bytes));
}

static void tell_way_out(const Ask *q, const Plan *p, int64_t taken, int64_t kept)
{
    const char *need = bytes_text(q->a, taken);
    if (!over(q, taken))
        diag_help(q->d, "`offload` for fewer units, the state shared over more ranks, or a profile "
                        "with more host_bytes");
    else if (taken > p->arena_bytes)
        diag_help(q->d,
                  "leave out `offload`, which makes no room where the host's memory is the same, "
                  "or give --memory %s or more",
                  need);
    else if (kept > q->memory / 2)
        diag_help(q->d, "give --memory %s or more, or share the state over more ranks", need);
    else
        diag_help(q->d, "give --memory %s or more, or make the model or its context smaller", need);
}

void search_tell_no_fit(const Search *s)
{
    const Ask *q = s->q;
    const Result *least = least_missing(s);
    const Plan *p = plan_one(q, &least->choice);
    int64_t taken = machine_taken(q->machine, p->arena_bytes, p->host_bytes);
    int64_t kept = machine_taken(q->machine, p->persistent_bytes, plan_host_kept(p));
    tell_need(q, p, taken);
    diag_note(q->d, NO_SPAN,
              "parameters and optimizer state take %s; micro-batch %lld in %lld rounds%s%s%s",
              bytes_text(q->a, kept), (long long)p->micro_batch, (long long)p->rounds,
              least->choice.recompute == RECOMPUTE_ALL ? ", all recomputed"
              : least->choice.kept                     ? ", nearly all recomputed"
                                                       : "",
              q->ranks > 1 && s->levels ? ", zero " : "",
              q->ranks > 1 && s->levels ? level_words.word[least->choice.level] : "");
    tell_roles(p, q->d);
    tell_way_out(q, p, taken, kept);
    if (q->m->invariant)
        return; /* its rounds depend on the batch alone */
    int64_t most = help_ranks(s, q->m->reduced, INT64_MAX);
    if (!q->m->reduced)
        help_ranks(s, true, most);
}
