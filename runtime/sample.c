/* sample.c - continuing a prompt with the model's own logits.
 *
 * The window is the last `ctx` tokens; unused places behind them hold 0, which a causal model does
 * not see. The next token is drawn from the row of the last real place: Philox keyed by the seed,
 * with the number of the token as counter. All ranks run the program, which may gather parameters,
 * and draw the same token; rank 0 prints. */
#include "runtime/bmrt_private.h"

#include "runtime/rng.h"
#include "runtime/signals.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct sampler {
    const bmrt_input *tokens;
    bool bytes;      /* tokens are bytes of text; else ids */
    int32_t *window; /* [ctx] */
    int64_t used;    /* of the window */
    double *weight;  /* [vocab] */
    int fd;          /* -1: another rank prints */
    bool echo;       /* the prompt is printed */
} sampler;

static bool made_of_bytes(const bmrt_model *m)
{
    return m->data_kind == BMRT_DATA_TEXT;
}

static const bmrt_input *tokens_input(const bmrt_model *m)
{
    for (int i = 0; i < m->n_input; i++)
        if (strcmp(m->input[i].name, "tokens") == 0)
            return &m->input[i];
    return NULL;
}

/* Calls `take` with every token of the prompt; ids are separated by spaces or commas. */
static BmStatus read_prompt(const bmrt_model *m, const char *prompt,
                            void (*take)(sampler *, int32_t), sampler *s, bmrt_error *e)
{
    bool bytes = made_of_bytes(m);
    const char *at = prompt ? prompt : bytes ? "\n" : "0";
    int64_t n = 0;
    while (*at) {
        long long v;
        if (bytes) {
            v = (unsigned char)*at++;
        } else {
            char *end;
            at += strspn(at, ", \t\n");
            if (!*at)
                break;
            v = strtoll(at, &end, 10);
            if (end == at)
                return bmrt_fail(e, BMRT_USAGE, "--prompt takes token ids here, got '%.40s'", at);
            at = end;
        }
        if (v < 0 || v >= m->vocab)
            return bmrt_fail(e, BMRT_USAGE, "--prompt: %s %lld is %lld, %s takes 0..%lld",
                             bytes ? "byte" : "token", (long long)n, v, m->name,
                             (long long)m->vocab - 1);
        n++;
        if (take)
            take(s, (int32_t)v);
    }
    if (n == 0)
        return bmrt_fail(e, BMRT_USAGE, "--prompt is empty: at least one token is needed");
    return BMRT_OK;
}

BmStatus bmrt_sample_check(bmrt_run *run, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    const bmrt_input *tokens = tokens_input(m);
    if (m->sample.micro_batch < 1 || m->logits < 0 || m->ctx < 1 || m->vocab < 1 || !tokens ||
        tokens->sample_offset < 0 || tokens->dtype != BMRT_I32) {
        bmrt_fail(e, BMRT_USAGE, "%s cannot be sampled", m->name);
        bmrt_help(e, "sampling needs an input 'tokens' and logits given to cross_entropy");
        return BMRT_USAGE;
    }
    for (int i = 0; i < m->n_input; i++)
        if (&m->input[i] != tokens && m->input[i].sample_offset >= 0)
            return bmrt_fail(e, BMRT_USAGE, "%s cannot be sampled: its logits need input '%s' too",
                             m->name, m->input[i].name);
    return read_prompt(m, run->opt.prompt, NULL, NULL, e);
}

static void push(sampler *s, int32_t token)
{
    int64_t ctx = s->tokens->count;
    if (s->used == ctx)
        memmove(s->window, s->window + 1, (size_t)--s->used * sizeof *s->window);
    s->window[s->used++] = token;
}

/* Bytes as they are, but nothing that a terminal would obey. */
static bool put_token(const sampler *s, int32_t token)
{
    char out[32];
    bmrt_text t = {out, 0, sizeof out, false};
    if (s->fd < 0)
        return true;
    bool plain = token == '\n' || token == '\t' || (token >= 0x20 && token != 0x7f && token < 256);
    if (!s->bytes)
        bmrt_text_add(&t, "%ld ", (long)token);
    else if (plain)
        out[t.len++] = (char)token;
    else
        bmrt_text_add(&t, "\\x%02lx", (long)token);
    return bmrt_write_all(s->fd, out, t.len);
}

static void take_prompt(sampler *s, int32_t token)
{
    push(s, token);
    if (s->echo)
        s->echo = put_token(s, token); /* the first new token will report what is wrong */
}

/* The value that the k-th largest logit has; k >= vocab: the smallest. Selection by repeated
 * scanning for the next smaller value: k is small, and nothing has to be sorted. */
static double threshold(const real *logits, int64_t vocab, int64_t k)
{
    double limit = INFINITY;
    for (int64_t seen = 0; seen < k;) {
        double next = -INFINITY;
        int64_t equal = 0;
        for (int64_t i = 0; i < vocab; i++) {
            double v = (double)logits[i];
            if (v < limit && v > next) {
                next = v;
                equal = 1;
            } else if (v == next) {
                equal++;
            }
        }
        limit = next;
        seen += equal;
        if (next == -(double)INFINITY)
            break;
    }
    return limit;
}

static int32_t most_likely(const real *logits, int64_t vocab)
{
    int64_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

static int32_t draw(const bmrt_run *run, const sampler *s, const real *logits, int64_t number)
{
    int64_t vocab = run->m->vocab, k = run->opt.top_k;
    int32_t best = most_likely(logits, vocab);
    if (run->opt.temperature == 0)
        return best;
    double least = k > 0 && k < vocab ? threshold(logits, vocab, k) : -(double)INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < vocab; i++) {
        double v = (double)logits[i];
        s->weight[i] = v >= least ? exp((v - (double)logits[best]) / run->opt.temperature) : 0;
        sum += s->weight[i];
    }
    bmrt_words w = bmrt_philox(run->pub.seed, (uint64_t)number, bmrt_hash("sample"));
    double at = ((double)w.w[0] + (double)w.w[1] / 4294967296.0) / 4294967296.0 * sum;
    for (int64_t i = 0; i < vocab; i++) {
        at -= s->weight[i];
        if (at < 0)
            return (int32_t)i;
    }
    return best;
}

static BmStatus fill_window(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb,
                            bmrt_error *e)
{
    (void)first, (void)nb, (void)e;
    const sampler *s = pass->context;
    int64_t ctx = s->tokens->count;
    int32_t *out = BMRT_AT(&run->pub, s->tokens->sample_offset);
    for (int64_t i = 0; i < ctx; i++)
        out[i] = i < s->used ? s->window[i] : 0;
    return BMRT_OK;
}

static BmStatus next_token(bmrt_run *run, sampler *s, int64_t number, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    bmrt_pass pass = {.program = &m->sample, .samples = 1, .fill = fill_window, .context = s};
    BmStatus status = bmrt_pass_run(run, &pass, e);
    if (status != BMRT_OK)
        return status;
    int64_t row = s->used - 1 < m->ctx ? s->used - 1 : m->ctx - 1;
    const real *logits = (const real *)BMRT_AT(&run->pub, m->logits) + row * m->vocab;
    for (int64_t i = 0; i < m->vocab; i++)
        if (isnan(logits[i]))
            return bmrt_fail(e, BMRT_NONFINITE, "sampling: a logit of token %lld is nan",
                             (long long)number);
    int32_t token = draw(run, s, logits, number);
    push(s, token);
    if (!put_token(s, token))
        return bmrt_fail(e, BMRT_MACHINE, "cannot write the sample: %s", strerror(errno));
    return BMRT_OK;
}

/* The same on every rank, and so is `*stop`: one of them has caught a signal. */
static BmStatus one_more(bmrt_run *run, sampler *s, int64_t number, bool *stop, bmrt_error *e)
{
    BmStatus status = next_token(run, s, number, e);
    int signal = bmrt_signals_caught();
    status = bmrt_world_step(run, status, &signal, e);
    *stop = signal != 0;
    return status;
}

BmStatus bmrt_sample(bmrt_run *run, int fd, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    BmStatus status = bmrt_sample_check(run, e);
    if (status != BMRT_OK)
        return status;
    sampler s = {
        .tokens = tokens_input(m), .bytes = made_of_bytes(m), .fd = run->pub.rank == 0 ? fd : -1};
    s.echo = run->opt.prompt != NULL;
    s.window = calloc((size_t)s.tokens->count, sizeof *s.window);
    s.weight = calloc((size_t)m->vocab, sizeof *s.weight);
    if (!s.window || !s.weight)
        status = bmrt_fail(e, BMRT_MACHINE, "no memory to sample");
    else
        status = read_prompt(m, run->opt.prompt, take_prompt, &s, e);
    status = bmrt_agree(run->peers, status, e);
    bool stop = false;
    for (int64_t i = 0; i < run->opt.sample && status == BMRT_OK && !stop; i++)
        status = one_more(run, &s, i, &stop, e);
    if (status == BMRT_OK && s.fd >= 0 && !bmrt_write_all(fd, "\n", 1))
        status = bmrt_fail(e, BMRT_MACHINE, "cannot write the sample: %s", strerror(errno));
    free(s.window);
    free(s.weight);
    return bmrt_agree(run->peers, status, e);
}
