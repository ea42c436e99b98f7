/* lower_plan.c - the section `plan` key by key: what the user asks of the planner. */
#include "frontend/lower_settings.h"

#include <inttypes.h>

enum {
    MOST_RANKS = 1 << 20,
    LEAST_BUCKET = 4096, /* bytes: the grain in which flat buffers are cut */
    SHOWN_DIVISORS = 8
};

/* ---- one key for the whole plan ---- */

static bool set_ranks(Lower *l, const Env *env, const Setting *s)
{
    l->m->plan.ranks_at = s->value->at;
    return setting_between(l, env, s, 1, MOST_RANKS, &l->m->plan.ranks);
}

static bool set_memory(Lower *l, const Env *env, const Setting *s)
{
    l->m->plan.memory_at = s->value->at;
    return setting_at_least(l, env, s, 1, &l->m->plan.memory);
}

static bool set_micro_batch(Lower *l, const Env *env, const Setting *s)
{
    l->m->plan.micro_at = s->value->at;
    return setting_auto_or(l, env, s, "a number of samples", 1, MOST_SAMPLES,
                           &l->m->plan.micro_batch);
}

static bool set_hybrid(Lower *l, const Env *env, const Setting *s)
{
    l->m->plan.hybrid_at = s->value->at;
    return setting_between(l, env, s, 1, MOST_RANKS, &l->m->plan.hybrid);
}

static bool set_overlap(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {"off", "auto"};
    int i;
    l->m->plan.overlap_at = s->value->at;
    if (!setting_word(l, env, s, words, countof(words), &i))
        return false;
    l->m->plan.no_overlap = i == 0;
    return true;
}

static bool set_lead(Lower *l, const Env *env, const Setting *s)
{
    int64_t n = -1;
    if (!setting_auto_or(l, env, s, "a number of units from 0 to 1000", 0, 1000, &n))
        return false;
    l->m->plan.lead = (int)n;
    return true;
}

/* A profile's name, or its file beside the model. */
static bool set_machine(Lower *l, const Env *env, const Setting *s)
{
    Value v = eval(l, env, s->value);
    l->m->plan.machine_at = s->value->at;
    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind != VAL_STRING || !*v.text) {
        diag_error(l->d, s->value->at,
                   "`machine` is the name of a profile or its file, as \"cpu\", got %s",
                   value_words(l->a, &v));
        return false;
    }
    bool file = strchr(v.text, '/') || strchr(v.text, '.');
    bool joined = file && v.text[0] != '/';
    l->m->plan.machine = joined ? arena_printf(l->a, "%s%s", l->main->dir, v.text) : v.text;
    return true;
}

/* ---- parameter by parameter ---- */

/* The next parameter after `i` that the line is for; -1: no more. Buffers are nobody's shards. */
static int next_param(const Lower *l, const Setting *s, int i)
{
    for (i++; i < l->m->param.n; i++)
        if (!l->m->param.v[i].buffer &&
            (!s->pattern || pattern_matches(s->pattern, l->m->param.v[i].path)))
            return i;
    return -1;
}

static bool set_zero(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {"0", "1", "2", "3", "once", "auto"};
    static const int level[] = {0, 1, 2, 3, ZERO_ONCE, ZERO_AUTO};
    int w;
    if (!setting_word(l, env, s, words, countof(words), &w))
        return false;
    for (int i = next_param(l, s, -1); i >= 0; i = next_param(l, s, i)) {
        l->m->param.v[i].zero = level[w];
        l->m->param.v[i].zero_at = s->at;
    }
    return true;
}

static bool set_bucket(Lower *l, const Env *env, const Setting *s)
{
    int64_t bytes = 0;
    if (!setting_auto_or(l, env, s, "a size of 4KiB or more", LEAST_BUCKET, (int64_t)1 << 50,
                         &bytes))
        return false;
    for (int i = next_param(l, s, -1); i >= 0; i = next_param(l, s, i))
        l->m->param.v[i].bucket = bytes;
    return true;
}

static bool set_offload(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {"optimizer", "none"};
    int w;
    bool any = false;
    if (!setting_word(l, env, s, words, countof(words), &w))
        return false;
    for (int i = next_param(l, s, -1); i >= 0; i = next_param(l, s, i)) {
        if (l->m->param.v[i].frozen)
            continue;
        any = true;
        l->m->param.v[i].offload = w == 0;
        l->m->param.v[i].offload_at = s->at;
    }
    if (any || w != 0)
        return true;
    diag_error(l->d, s->at, "`offload`: no optimizer state here, all of it is frozen");
    return false;
}

/* ---- element by element of stacks ---- */

static bool set_recompute(Lower *l, const Env *env, const Setting *s)
{
    static const char *const words[] = {
        [RECOMPUTE_AUTO] = "auto", [RECOMPUTE_NONE] = "none", [RECOMPUTE_ALL] = "all"};
    int rule;
    l->m->plan.recompute_at = s->at;
    if (!setting_word(l, env, s, words, countof(words), &rule))
        return false;
    for (int i = 0; i < l->inst.n; i++) {
        const Inst *x = l->inst.v[i];
        if (x->unit == i && (!s->pattern || (i > 0 && pattern_matches(s->pattern, x->path))))
            l->m->plan.recompute[i] = (RecomputeRule)rule;
    }
    return true;
}

const Key plan_key[] = {{"ranks", PATTERN_NO, set_ranks},
                        {"memory", PATTERN_NO, set_memory},
                        {"micro_batch", PATTERN_NO, set_micro_batch},
                        {"machine", PATTERN_NO, set_machine},
                        {"zero", PATTERN_MAY, set_zero},
                        {"recompute", PATTERN_UNIT, set_recompute},
                        {"overlap", PATTERN_NO, set_overlap},
                        {"lead", PATTERN_NO, set_lead},
                        {"bucket", PATTERN_MAY, set_bucket},
                        {"hybrid", PATTERN_NO, set_hybrid},
                        {"offload", PATTERN_MAY, set_offload},
                        {NULL, PATTERN_NO, NULL}};

/* ---- the request as a whole ---- */

void plan_request_init(Lower *l)
{
    PlanRequest *r = &l->m->plan;
    *r = (PlanRequest){.lead = -1};
    r->ranks_at = r->memory_at = r->micro_at = r->hybrid_at = NO_SPAN;
    r->recompute_at = r->overlap_at = r->machine_at = NO_SPAN;
    r->recompute = arena_array(l->a, RecomputeRule, l->inst.n + 1); /* all RECOMPUTE_AUTO */
}

/* The divisors of n next to k: up to four below it and as many above. */
static const char *divisors_near(Arena *a, int64_t n, int64_t k)
{
    int64_t below[SHOWN_DIVISORS / 2];
    int n_below = 0, n_shown = 0;
    StrBuf s = strbuf_new(a);
    for (int64_t i = k < n ? k : n; i > 0 && n_below < countof(below); i--)
        if (n % i == 0)
            below[n_below++] = i;
    for (int i = n_below - 1; i >= 0; i--)
        strbuf_printf(&s, "%s%" PRId64, n_shown++ ? ", " : "", below[i]);
    for (int64_t i = k + 1; i <= n && n_shown < n_below + SHOWN_DIVISORS / 2; i++)
        if (n % i == 0)
            strbuf_printf(&s, "%s%" PRId64, n_shown++ ? ", " : "", i);
    return s.text;
}

static bool check_hybrid(Arena *a, const PlanRequest *r, Diag *d)
{
    int64_t ranks = r->ranks ? r->ranks : 1;
    if (r->hybrid == 0 || ranks % r->hybrid == 0)
        return true;
    diag_error(d, r->hybrid_at, "`hybrid` is %" PRId64 ", which does not divide %" PRId64 " rank%s",
               r->hybrid, ranks, ranks == 1 ? "" : "s");
    if (r->ranks_at.file >= 0)
        diag_note(d, r->ranks_at, "ranks are set here");
    diag_help(d, "ranks that share one copy of the state: %s", divisors_near(a, ranks, r->hybrid));
    return false;
}

bool plan_request_settle(Model *m, const PlanRequest *flags, Diag *d)
{
    PlanRequest *r = &m->plan;
    if (flags->ranks) {
        r->ranks = flags->ranks;
        r->ranks_at = NO_SPAN;
    }
    if (flags->memory) {
        r->memory = flags->memory;
        r->memory_at = NO_SPAN;
    }
    if (flags->micro_batch) {
        r->micro_batch = flags->micro_batch;
        r->micro_at = NO_SPAN;
    }
    if (flags->machine) {
        r->machine = flags->machine;
        r->machine_at = NO_SPAN;
    }
    return check_hybrid(m->arena, r, d);
}
