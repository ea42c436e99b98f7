/* volumes.c - state and traffic of data-parallel training, by formula. */
#include "planner/volumes.h"

static int64_t up(int64_t n, int64_t d)
{
    return n / d + (n % d != 0);
}

/* ---- state ---- */

StateBytes precision_bytes(Precision t)
{
    switch (t) {
    case PRECISION_F32:
        return (StateBytes){4, 4, 8};
    case PRECISION_MIXED:
        return (StateBytes){2, 2, 12};
    case PRECISION_BF16_MAIN:
        return (StateBytes){2, 4, 12};
    case PRECISION_FP16_MAIN:
    case PRECISION_DS_ESTIMATOR:
        return (StateBytes){2, 2, 16};
    case N_PRECISIONS:
        break;
    }
    BUG("precision %d", (int)t);
}

int64_t state_bytes(StateBytes b, Level l, int64_t params, int64_t n)
{
    int64_t shard = shard_elements(params, n);
    switch (l) {
    case LEVEL_0:
        return params * (b.param + b.grad + b.optimizer);
    case LEVEL_1:
        return params * (b.param + b.grad) + shard * b.optimizer;
    case LEVEL_2:
        return params * b.param + shard * (b.grad + b.optimizer);
    case LEVEL_3:
    case LEVEL_ONCE:
        return shard * (b.param + b.grad + b.optimizer);
    case N_LEVELS:
        break;
    }
    BUG("level %d", (int)l);
}

int64_t state_bytes_estimated(Level l, int64_t params, int64_t largest, int64_t n)
{
    int64_t shard = shard_elements(params, n) * 18;
    if (l == LEVEL_2)
        return 2 * params + shard;
    return l == LEVEL_3 ? shard + 4 * largest : -1;
}

/* ---- elements sent ---- */

int64_t scheme_passes(Scheme s, int64_t g)
{
    switch (s) {
    case SCHEME_DDP:
    case SCHEME_KEEP:
        return 2 * g;
    case SCHEME_DDP_NO_SYNC:
    case SCHEME_KEEP_NO_SYNC:
    case SCHEME_ZERO1:
        return 2;
    case SCHEME_ZERO1_DS:
        return 3;
    case SCHEME_ZERO2:
        return g + 1;
    case SCHEME_ZERO2_DS:
    case SCHEME_ZERO3_NO_SYNC:
        return 2 * g + 1;
    case SCHEME_ZERO3:
        return 3 * g;
    case N_SCHEMES:
        break;
    }
    BUG("scheme %d", (int)s);
}

int64_t scheme_elements(Scheme s, int64_t params, int64_t n, int64_t g)
{
    return sent_bytes(params, n, 1, scheme_passes(s, g));
}

int64_t level_passes(Level l, bool reduced, int64_t g)
{
    int64_t times = reduced ? g : 1; /* that gradients are reduced */
    switch (l) {
    case LEVEL_0: /* the last round's reduction becomes whole again */
    case LEVEL_1:
    case LEVEL_2:
    case LEVEL_ONCE: /* parameters are gathered once a step, after the update or before it */
        return times + 1;
    case LEVEL_3:
        return 2 * g + times;
    case N_LEVELS:
        break;
    }
    BUG("level %d", (int)l);
}

HybridElements hybrid_elements(int64_t params, int64_t n, int64_t share, int64_t g, bool no_sync)
{
    int64_t shard = shard_elements(params, share), groups = n / share;
    return (HybridElements){sent_bytes(params, share, 1, 3 * g),
                            sent_bytes(shard, groups, 1, 2 * (no_sync ? 1 : g))};
}

/* ---- shard tables ---- */

int64_t flat_table(const int64_t *elements, int count, int64_t align, int64_t *at)
{
    int64_t total = 0;
    for (int i = 0; i < count; i++) {
        if (at)
            at[i] = total;
        total = round_up(total + elements[i], align);
    }
    return total;
}

int64_t shard_elements(int64_t flat, int64_t n)
{
    return up(flat, n);
}

int64_t sent_bytes(int64_t flat, int64_t n, int64_t size, int64_t passes)
{
    return passes * (n - 1) * shard_elements(flat, n) * size;
}

/* ---- a plan of ours ---- */

int64_t plan_sent(const Plan *p)
{
    int64_t all = 0;
    for (int i = 0; i < p->step.n; i++) {
        const Step *s = &p->step.v[i];
        bool turns = s->phase == PHASE_ROUND || s->phase == PHASE_WEIGHT;
        if (s->program == PROGRAM_TRAIN)
            all += s->sent * (turns && s->when == WHEN_ALWAYS ? p->rounds : 1);
    }
    return all;
}
