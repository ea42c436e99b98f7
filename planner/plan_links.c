/* plan_links.c - what no single field of a plan.json can tell: ids that are places, lists that are
 * as long as others, facts that stand there twice. */
#include "planner/plan_fields.h"

#include <string.h>

typedef struct Links {
    PlanFile *f;
    Wrong at;
    const char *told;
} Links;

BM_PRINTF(3, 4) static bool wrong(Links *l, const char *key, const char *fmt, ...)
{
    StrBuf s = strbuf_new(l->f->arena);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&s, fmt, ap);
    va_end(ap);
    l->at.key = key;
    l->told = s.text;
    return false;
}

static bool id_is_place(Links *l, int id)
{
    return id == l->at.index ||
           wrong(l, "id", "%d, where %d is its place in the list", id, l->at.index);
}

static bool check_instance(Links *l, int i)
{
    const FileInstance *in = &l->f->instance[i];
    if (in->parent > 0 && in->parent >= i)
        return wrong(l, "parent", "%d does not come before it", in->parent);
    if (in->unit > i)
        return wrong(l, "unit", "%d comes after it", in->unit);
    return true;
}

static bool check_program(Links *l, int i)
{
    PlanFile *f = l->f;
    int *of = &f->program_of[f->program[i].kind];
    if (*of >= 0)
        return wrong(l, "name", "programs[%d] has the same", *of);
    *of = i;
    return true;
}

static bool check_param(Links *l, int i)
{
    l->f->param[i].group = -1; /* groups tell */
    return true;
}

static bool check_group(Links *l, int i)
{
    PlanFile *f = l->f;
    const FileGroup *g = &f->group[i];
    if (!id_is_place(l, g->id))
        return false;
    if (g->at.n != g->params.n)
        return wrong(l, "at", "%d of them for %d params", g->at.n, g->params.n);
    if (g->state_buffers.n > countof(((FlatGroup *)0)->state))
        return wrong(l, "state_buffers", "there are %d", g->state_buffers.n);
    for (int k = 0; k < g->params.n; k++) {
        FileParam *p = &f->param[g->params.v[k]];
        if (p->group >= 0)
            return wrong(l, "params", "%d is in groups[%d] too", g->params.v[k], p->group);
        p->group = i;
        p->at = g->at.v[k];
    }
    return true;
}

static bool check_buffer(Links *l, int i)
{
    const FileBuffer *b = &l->f->buffer[i];
    if (!id_is_place(l, b->id))
        return false;
    if (b->first > b->last)
        return wrong(l, "last", "%d is before first, %d", b->last, b->first);
    if (b->persistent != (b->program < 0))
        return wrong(l, "program", "null is for persistent buffers, and they have null");
    if (!b->persistent && l->f->program_of[b->program] < 0)
        return wrong(l, "program", "the plan has no %s program", program_words.word[b->program]);
    return true;
}

static bool check_waits(Links *l, FileStep *s)
{
    for (int k = 0; k < N_STREAMS; k++)
        s->wait[k] = -1;
    for (int k = 0; k < s->waits.n; k++) {
        int of = s->waits.v[k], stream = l->f->step[of].stream;
        if (s->wait[stream] >= 0)
            return wrong(l, "waits", "%d and %d are both of the %s stream: the later one will do",
                         s->wait[stream], of, stream_words.word[stream]);
        s->wait[stream] = of;
    }
    return true;
}

/* Only what communicates or copies takes the time of a link. */
static bool check_class(Links *l, const FileStep *s)
{
    if (s->cls < 0 && l->f->machine)
        return wrong(l, "class", "null, but the plan is for a machine");
    if (s->cls >= 0 && !l->f->machine)
        return wrong(l, "class", "%s, but the plan is for no machine", class_words.word[s->cls]);
    bool moves = kind_is_collective((StepKind)s->kind) || s->kind == KIND_COPY;
    return s->cls != TIME_NET || moves ||
           wrong(l, "class", "net, but a %s step sends nothing", kind_words.word[s->kind]);
}

static bool check_step(Links *l, int i)
{
    PlanFile *f = l->f;
    FileStep *s = &f->step[i];
    const FileKernel *k = &f->kernel[s->kernel];
    if (!id_is_place(l, s->id))
        return false;
    if (f->program_of[s->program] < 0)
        return wrong(l, "program", "the plan has no %s program", program_words.word[s->program]);
    if (s->args.n != k->access.n)
        return wrong(l, "args", "%d of them, its kernel has %d", s->args.n, k->access.n);
    if (s->offsets.n != s->args.n)
        return wrong(l, "offsets", "%d of them for %d args", s->offsets.n, s->args.n);
    if (s->by_rank.n == 0)
        s->by_rank = (Sizes){arena_array(f->arena, int64_t, s->args.n), s->args.n};
    if (s->by_rank.n != s->args.n)
        return wrong(l, "by_rank", "%d of them for %d args", s->by_rank.n, s->args.n);
    if (s->ends.n && s->ends.n != s->args.n)
        return wrong(l, "ends", "%d of them for %d args", s->ends.n, s->args.n);
    if (k->kind != s->kind)
        return wrong(l, "kind", "%s, but its kernel is %s", kind_words.word[s->kind],
                     kind_words.word[k->kind]);
    return check_class(l, s) && check_waits(l, s);
}

static bool check_term(Links *l, int i)
{
    const FileTerm *t = &l->f->term[i];
    if (l->f->program_of[t->program] < 0)
        return wrong(l, "program", "the plan has no %s program", program_words.word[t->program]);
    if (t->num.buffer < 0)
        return wrong(l, "num", "a term has a value");
    return true;
}

static int64_t times_of(const PlanFile *f, const FileStep *s)
{
    bool loop = s->phase == PHASE_WEIGHT || s->phase == PHASE_ROUND;
    int64_t rounds = f->program[f->program_of[s->program]].rounds;
    return loop && s->when == WHEN_ALWAYS && rounds > 0 ? rounds : 1;
}

/* The list of collectives says again what the steps say. */
static bool check_comm(Links *l, int i)
{
    const FileComm *c = &l->f->comm[i];
    const FileStep *s = &l->f->step[c->step];
    if (i && c->step <= c[-1].step)
        return wrong(l, "step", "%d does not come after %d", c->step, c[-1].step);
    if (!kind_is_collective((StepKind)c->kind))
        return wrong(l, "kind", "%s is no collective", kind_words.word[c->kind]);
    if (c->kind != s->kind)
        return wrong(l, "kind", "%s, but step %d is %s", kind_words.word[c->kind], s->id,
                     kind_words.word[s->kind]);
    if (c->bytes != s->sent)
        return wrong(l, "bytes", "%lld, but step %d sends %lld", (long long)c->bytes, s->id,
                     (long long)s->sent);
    if (strcmp(c->path, s->path) != 0)
        return wrong(l, "path", "step %d has another one", s->id);
    if (c->when != s->when)
        return wrong(l, "when", "%s, but step %d runs %s", when_words.word[c->when], s->id,
                     when_words.word[s->when]);
    if (c->times != times_of(l->f, s))
        return wrong(l, "times", "%lld, but step %d runs %lld times", (long long)c->times, s->id,
                     (long long)times_of(l->f, s));
    return true;
}

static bool all_listed(Links *l)
{
    int n = 0;
    for (int i = 0; i < l->f->n_step; i++)
        n += kind_is_collective((StepKind)l->f->step[i].kind);
    l->at.list = NULL;
    return n == l->f->n_comm ||
           wrong(l, "comm", "%d steps communicate, and it has %d entries", n, l->f->n_comm);
}

const char *plan_links(PlanFile *f, Wrong *at)
{
    const struct {
        const char *list;
        bool (*check)(Links *l, int i);
        int n;
    } part[] = {{"instances", check_instance, f->n_instance},
                {"programs", check_program, f->n_program},
                {"params", check_param, f->n_param},
                {"groups", check_group, f->n_group},
                {"buffers", check_buffer, f->n_buffer},
                {"steps", check_step, f->n_step},
                {"terms", check_term, f->n_term},
                {"comm", check_comm, f->n_comm}};
    Links l = {.f = f};
    bool ok = true;
    for (int k = 0; k < N_PROGRAMS; k++)
        f->program_of[k] = -1;
    for (int i = 0; i < countof(part) && ok; i++) {
        l.at.list = part[i].list;
        for (l.at.index = 0; l.at.index < part[i].n && ok; l.at.index++)
            ok = part[i].check(&l, l.at.index);
        l.at.index -= !ok;
    }
    ok = ok && all_listed(&l);
    *at = l.at;
    return ok ? NULL : l.told;
}
