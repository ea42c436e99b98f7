/* plan_json_ranks.c - what plan.json says about many ranks: groups and collectives. */
#include "planner/plan_put.h"
#include "planner/words.h"

void put_groups(Writer *w)
{
    StrBuf *s = w->s;
    list_open(s, "groups");
    for (int i = 0; i < w->p->group.n; i++) {
        const FlatGroup *g = &w->p->group.v[i];
        list_item(s, i);
        key_int(s, "id", g->id);
        key_text(s, "path", g->path);
        key_int(s, "unit", g->unit);
        key_int(s, "optimizer", g->optimizer);
        key_ints(s, "params", g->param, g->n);
        key_sizes(s, "at", g->at, g->n);
        key_int(s, "used", g->used);
        key_int(s, "shard", g->shard);
        key_text(s, "level", level_words.word[g->level]);
        key_bool(s, "whole_grad", g->whole_grad);
        key_bool(s, "offload", g->offload);
        key_text_null(s, "why", g->why);
        key_int(s, "param_buffer", g->params);
        key_int(s, "grad_buffer", g->grads);
        key_int(s, "grad_shard_buffer", g->grad_shard);
        key_ints(s, "state_buffers", g->state, g->n_state);
        key_int(s, "host_param_buffer", g->host_params);
        key_int(s, "host_grad_buffer", g->host_grads);
        strbuf_char(s, '}');
    }
    list_close(s, w->p->group.n);
}

static void pairs_open(StrBuf *s, const char *name)
{
    key(s, name);
    strbuf_char(s, '[');
}

static void pair(StrBuf *s, int64_t x, int64_t y)
{
    row_open(s);
    put_int(s, x);
    strbuf_char(s, ',');
    put_int(s, y);
    strbuf_char(s, ']');
}

/* What a collective, K_ZERO or K_NORM does beyond its arguments; empty for all other kernels. */
void put_collective(StrBuf *s, const Kernel *k)
{
    bool comm = kernel_is_collective(k);
    pairs_open(s, "segments");
    for (int i = 0; comm && i < k->coll.n_segment; i++)
        pair(s, k->coll.segment[i].elems, k->coll.segment[i].stride);
    strbuf_char(s, ']');
    key_int(s, "chunk", comm ? k->coll.chunk : 0);
    key_bool(s, "tree", comm && k->coll.tree);
    pairs_open(s, "gaps");
    for (int i = 0; k->kind == K_ZERO && i < k->n_gap; i++)
        pair(s, k->gap[i].at, k->gap[i].count);
    strbuf_char(s, ']');
    bool grains = k->kind == K_NORM && k->group_grains;
    key_sizes(s, "grains", k->group_grains, grains ? (int)k->tpl.rows : 0);
}

/* Times a step runs in one optimizer step, or in one pass of its program. */
static int64_t times(const Plan *p, const Step *t)
{
    bool loop = t->phase == PHASE_WEIGHT || t->phase == PHASE_ROUND;
    int64_t rounds = p->program[t->program].rounds;
    return loop && t->when == WHEN_ALWAYS && rounds > 0 ? rounds : 1;
}

void put_comm(Writer *w)
{
    StrBuf *s = w->s;
    int n = 0;
    list_open(s, "comm");
    for (int i = 0; i < w->p->step.n; i++) {
        const Step *t = &w->p->step.v[i];
        if (!kernel_is_collective(t->kernel))
            continue;
        list_item(s, n++);
        key_text(s, "kind", kind_words.word[step_kind(t->kernel)]);
        key_int(s, "bytes", t->sent);
        key_int(s, "step", t->id);
        key_text(s, "path", t->path);
        key_text(s, "when", when_words.word[t->when]);
        key_int(s, "times", times(w->p, t));
        strbuf_char(s, '}');
    }
    list_close(s, n);
}
