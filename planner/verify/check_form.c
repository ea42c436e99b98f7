/* check_form.c - V01: the plan's parts agree with each other. */
#include "frontend/base/map.h"
#include "planner/verify/table.h"

/* Programs follow each other, and in each the phases do. Finds where each phase lies. */
static void check_order(Table *t)
{
    for (int g = 0; g < N_PROGRAMS; g++) {
        TableProgram *p = &t->program[g];
        p->last_step = -1;
        for (int f = 0; f < N_PHASES; f++)
            p->lo[f] = 0, p->hi[f] = -1;
    }
    for (int i = 0; i < t->n_step; i++) {
        const TableStep *s = &t->step[i], *prev = i ? s - 1 : s;
        TableProgram *p = &t->program[s->program];
        if (!p->present)
            broken(t, CHECK_V01, "%s belongs to the %s program, which is not there", the_step(t, i),
                   program_words.word[s->program]);
        if (s->program < prev->program || (s->program == prev->program && s->phase < prev->phase)) {
            broken(t, CHECK_V01, "%s of %s %s comes after one of %s %s", the_step(t, i),
                   program_words.word[s->program], phase_words.word[s->phase],
                   program_words.word[prev->program], phase_words.word[prev->phase]);
            return;
        }
        if (p->hi[s->phase] < 0)
            p->lo[s->phase] = i;
        p->hi[s->phase] = p->last_step = i;
    }
}

static void check_programs(Table *t)
{
    for (int g = 0; g < N_PROGRAMS; g++) {
        TableProgram *p = &t->program[g];
        if (!p->present)
            continue;
        p->turns = p->rounds != 1; /* 0: as many as the data has */
        bool parts = p->region_parts > 1;
        p->chunks = parts || (p->region_samples > 0 && p->region_samples < p->micro_batch);
        for (int f = 0; f < N_PHASES; f++) {
            int n = p->hi[f] - p->lo[f] + 1;
            if (n != p->count[f] || (n && p->first[f] != p->lo[f]))
                broken(t, CHECK_V01, "%s %s: the plan says %d steps from %d, it has %d from %d",
                       program_words.word[g], phase_words.word[f], p->count[f], p->first[f], n,
                       p->lo[f]);
        }
        if (p->micro_batch < 1 || p->rounds < 0 || p->region_samples < 0)
            broken(t, CHECK_V01, "%s: micro-batch %lld, %lld rounds, regions of %lld samples",
                   program_words.word[g], (long long)p->micro_batch, (long long)p->rounds,
                   (long long)p->region_samples);
        if (p->region_parts < 0 || (p->region_parts && p->region_samples))
            broken(t, CHECK_V01, "%s: regions of %lld samples, and of a sample in %lld parts",
                   program_words.word[g], (long long)p->region_samples, (long long)p->region_parts);
    }
}

static void check_batch(Table *t)
{
    int64_t n = 0;
    if (t->ranks < 1 || !mul_ok(t->ranks, t->micro_batch, &n) || !mul_ok(n, t->rounds, &n) ||
        n != t->batch)
        broken(t, CHECK_V01, "%lld ranks x %lld samples x %lld rounds are no batch of %lld",
               (long long)t->ranks, (long long)t->micro_batch, (long long)t->rounds,
               (long long)t->batch);
    const TableProgram *p = &t->program[PROGRAM_TRAIN];
    if (p->present && (p->micro_batch != t->micro_batch || p->rounds != t->rounds))
        broken(t, CHECK_V01, "train runs %lld rounds of %lld samples, the plan says %lld of %lld",
               (long long)p->rounds, (long long)p->micro_batch, (long long)t->rounds,
               (long long)t->micro_batch);
}

/* The steps of a region are one run within a phase. */
static void check_regions(Table *t)
{
    int *end = arena_array(t->a, int, t->n_step + 1); /* by region, where its run ended; + 1 */
    for (int i = 0; i < t->n_step; i++) {
        const TableStep *s = &t->step[i], *prev = i ? s - 1 : NULL;
        if (!s->region)
            continue;
        if (s->region < 0 || s->region > t->n_step) {
            broken(t, CHECK_V01, "%s is in region %d", the_step(t, i), s->region);
            continue;
        }
        const TableProgram *p = &t->program[s->program];
        if (p->region_samples < 1 && p->region_parts < 1)
            broken(t, CHECK_V01, "%s is in a region, and the %s program has no size for them",
                   the_step(t, i), program_words.word[s->program]);
        bool goes_on = prev && prev->region == s->region && prev->program == s->program &&
                       prev->phase == s->phase;
        if (end[s->region] && !goes_on)
            broken(t, CHECK_V01, "%s is in region %d, which ended with step %d", the_step(t, i),
                   s->region, end[s->region] - 1);
        end[s->region] = i + 1;
    }
}

/* A part of a sample is whole elements. */
static bool cuts(const TableBuffer *b, int64_t parts)
{
    return b->sample_bytes % parts == 0 && b->sample_bytes / parts % b->elem == 0;
}

/* Of the micro-batch, a chunk of samples or a part of one. */
static void check_size(Table *t, int i, const TableProgram *p)
{
    const TableBuffer *b = &t->buffer[i];
    int64_t samples = b->region ? p->region_samples : p->micro_batch, bytes = b->bytes;
    if (b->region && p->region_parts > 0) {
        if (!cuts(b, p->region_parts) || b->bytes != b->sample_bytes / p->region_parts)
            broken(t, CHECK_V01, "%s has %lld bytes, one of %lld parts of %lld bytes is meant",
                   the_buffer(t, i), (long long)b->bytes, (long long)p->region_parts,
                   (long long)b->sample_bytes);
        return;
    }
    if (!mul_ok(b->sample_bytes, samples, &bytes) || bytes != b->bytes)
        broken(t, CHECK_V01, "%s has %lld bytes, %lld samples of %lld bytes are meant",
               the_buffer(t, i), (long long)b->bytes, (long long)samples,
               (long long)b->sample_bytes);
}

static void check_buffer(Table *t, int i)
{
    const TableBuffer *b = &t->buffer[i];
    if (b->persistent) {
        if (b->first != 0 || b->last != t->n_step - 1)
            broken(t, CHECK_V01, "%s is persistent, but live in steps %d to %d of %d only",
                   the_buffer(t, i), b->first, b->last, t->n_step);
        if (b->batched || b->region || b->sample_bytes)
            broken(t, CHECK_V01, "%s is persistent and batched", the_buffer(t, i));
        return;
    }
    bool kept = b->role == ROLE_PARAM || b->role == ROLE_STATE || b->role == ROLE_BUFFER ||
                b->role == ROLE_HOST;
    if (kept)
        broken(t, CHECK_V01, "%s is a %s and not persistent", the_buffer(t, i),
               role_words.word[b->role]);
    const TableProgram *p = &t->program[b->program];
    if (!p->present) {
        broken(t, CHECK_V01, "%s belongs to the %s program, which is not there", the_buffer(t, i),
               program_words.word[b->program]);
        return;
    }
    if (b->first < 0 || b->last < b->first || b->last >= t->n_step)
        broken(t, CHECK_V01, "%s is live in steps %d to %d of %d", the_buffer(t, i), b->first,
               b->last, t->n_step);
    if (b->batched)
        check_size(t, i, p);
    if (!b->batched && (b->sample_bytes || b->region))
        broken(t, CHECK_V01, "%s is not batched, but has %lld bytes a sample and region %d",
               the_buffer(t, i), (long long)b->sample_bytes, b->region);
}

/* The trainer fills one place for each input of a program. */
static void check_inputs(Table *t)
{
    Map *seen = map_new(t->a);
    for (int i = 0; i < t->n_buffer; i++) {
        const TableBuffer *b = &t->buffer[i];
        if (b->role != ROLE_INPUT)
            continue;
        const char *key = arena_printf(t->a, "%d %s", b->program, b->path);
        const TableBuffer *other = map_get(seen, key);
        if (other)
            broken(t, CHECK_V01, "%s and %s are both input '%s' of %s",
                   the_buffer(t, (int)(other - t->buffer)), the_buffer(t, i), b->path,
                   b->program < 0 ? "all programs" : program_words.word[b->program]);
        else
            map_put(seen, key, (void *)(uintptr_t)b);
    }
}

static void check_uses(Table *t)
{
    for (int i = 0; i < t->n_step; i++) {
        const TableStep *s = &t->step[i];
        for (int k = 0; k < s->n_use; k++) {
            const TableBuffer *b = &t->buffer[s->use[k].buffer];
            if (b->program >= 0 && b->program != s->program)
                broken(t, CHECK_V01, "%s of %s uses %s of %s", the_step(t, i),
                       program_words.word[s->program], the_buffer(t, s->use[k].buffer),
                       program_words.word[b->program]);
            else if (b->region && b->region != s->region)
                broken(t, CHECK_V01, "%s uses %s, which holds a chunk of region %d only",
                       the_step(t, i), the_buffer(t, s->use[k].buffer), b->region);
            int64_t parts = t->program[s->program].region_parts;
            if (s->region && b->batched && parts > 0 && !cuts(b, parts))
                broken(t, CHECK_V01, "%s uses %s part by part, and %lld bytes are no %lld parts",
                       the_step(t, i), the_buffer(t, s->use[k].buffer), (long long)b->sample_bytes,
                       (long long)parts);
        }
    }
    for (int i = 0; i < t->n_result; i++) {
        const TableBuffer *b = &t->buffer[t->result[i].buffer];
        if (!b->persistent && b->program != t->result[i].program)
            broken(t, CHECK_V01, "result '%s' of %s is %s of %s", t->result[i].name,
                   program_words.word[t->result[i].program], the_buffer(t, t->result[i].buffer),
                   program_words.word[b->program]);
        if (b->region)
            broken(t, CHECK_V01, "result '%s' is %s, which holds one chunk of region %d only",
                   t->result[i].name, the_buffer(t, t->result[i].buffer), b->region);
    }
}

void check_form(Table *t)
{
    check_order(t);
    check_programs(t);
    check_batch(t);
    check_regions(t);
    for (int i = 0; i < t->n_buffer; i++)
        check_buffer(t, i);
    check_inputs(t);
    check_uses(t);
}
