/* options.c - the option table and its readers. */
#include "runtime/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind { FLAG, INTEGER, NUMBER, STRING, LATER } option_kind;

typedef struct option {
    const char *name, *value;
    option_kind kind;
    size_t at; /* of the field in bmrt_options */
    int64_t least, most;
    const char *help;
    bool own; /* each rank has its own; the others give the same. Of files that are read the content
                 is compared (alike.c): they may lie elsewhere on each machine */
} option;

#define AT(field) offsetof(bmrt_options, field)
#define BIG       INT64_MAX

static const option table[] = {
    {"steps", "N", INTEGER, AT(steps), 0, BIG, "train N steps, the schedule as long as that", 0},
    {"stop-after", "K", INTEGER, AT(stop_after), 0, BIG, "stop after K steps of the schedule", 0},
    {"data", "FILE", STRING, AT(data), 0, 0, "train on FILE (npy: NAME=FILE,...)", 1},
    {"valid", "FILE", STRING, AT(valid), 0, 0, "evaluate on FILE (npy: NAME=FILE,...)", 1},
    {"init", "FILE", STRING, AT(init), 0, 0, "first weights from FILE.safetensors", 1},
    {"save", "FILE", STRING, AT(save), 0, 0, "last weights to FILE.safetensors", 0},
    {"seed", "N", INTEGER, AT(seed), 0, BIG, "of initial weights, order and dropout", 0},
    {"threads", "N", INTEGER, AT(threads), 1, 1024, "default: the cores this process may use", 1},
    {"log-every", "N", INTEGER, AT(log_every), 1, BIG, "steps between lines (10)", 1},
    {"eval-every", "N", INTEGER, AT(eval_every), 0, BIG, "steps between evaluations (0: last)", 0},
    {"sample", "N", INTEGER, AT(sample), 0, BIG, "then continue a prompt by N tokens", 0},
    {"prompt", "TEXT", STRING, AT(prompt), 0, 0, "what to continue (a newline; or token ids)", 0},
    {"temperature", "X", NUMBER, AT(temperature), 0, 0, "of sampling (0.8; 0: most likely)", 0},
    {"top-k", "K", INTEGER, AT(top_k), 0, BIG, "sample from the K likeliest (0: all)", 0},
    {"metrics", "FILE", STRING, AT(metrics), 0, 0, "default: metrics.jsonl beside the trainer", 0},
    {"log-samples", "FILE", STRING, AT(log_samples), 0, 0, "sample indices of each step", 0},
    {"predictions", "FILE", STRING, AT(predictions), 0, 0, "reported values per sample", 0},
    {"inspect", "PATTERN", STRING, AT(inspect), 0, 0, "mean, std, max, min into inspect.jsonl", 0},
    {"inspect-every", "N", INTEGER, AT(inspect_every), 1, BIG, "steps between those (100)", 0},
    {"rank", "N", INTEGER, AT(rank), 0, 1 << 24, "of this process, where no launcher says it", 1},
    {"world", "N", INTEGER, AT(world), 1, 1 << 24, "ranks in all", 1},
    {"local-rank", "N", INTEGER, AT(local_rank), 0, 1 << 24, "of this process on its machine", 1},
    {"local-world", "N", INTEGER, AT(local_world), 1, 1 << 24, "ranks on this machine", 1},
    {"help", NULL, FLAG, AT(help), 0, 0, "this text", 1},
    {"version", NULL, FLAG, AT(version), 0, 0, "model, plan and library", 1},
    {"coord", "HOST:PORT", LATER, 0, 0, 0, NULL, 0},
    {"resume", "DIR", LATER, 0, 0, 0, NULL, 0},
    {"save-every", "N", LATER, 0, 0, 0, NULL, 0},
    {"profile", "FILE", LATER, 0, 0, 0, NULL, 0},
};

static const option *find_option(const char *name, size_t len)
{
    for (int i = 0; i < BMRT_COUNT(table); i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    return NULL;
}

static BmStatus unknown_option(const char *arg, size_t len, bmrt_error *e)
{
    char word[64];
    size_t n = len < sizeof word - 1 ? len : sizeof word - 1;
    memcpy(word, arg, n);
    word[n] = 0;
    const option *best = NULL;
    int least = (int)n / 2 + 1;
    for (int i = 0; i < BMRT_COUNT(table); i++) {
        bool begins = n >= 2 && strncmp(table[i].name, word, n) == 0;
        int d = begins ? 0 : bmrt_distance(word, table[i].name);
        if (d < least) {
            least = d;
            best = &table[i];
        }
    }
    bmrt_fail(e, BMRT_USAGE, "unknown option '--%s'", word);
    if (best)
        bmrt_help(e, "did you mean --%s?", best->name);
    else
        bmrt_help(e, "--help lists the options");
    return BMRT_USAGE;
}

static BmStatus read_integer(const option *t, const char *text, int64_t *out, bmrt_error *e)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool digits = (text[0] >= '0' && text[0] <= '9') || (text[0] == '-' && text[1]);
    if (!digits || *end || errno == ERANGE)
        return bmrt_fail(e, BMRT_USAGE, "--%s takes an integer, got '%s'", t->name, text);
    if (v < t->least)
        return bmrt_fail(e, BMRT_USAGE, "--%s is %lld, at least %lld is needed", t->name, v,
                         (long long)t->least);
    if (v > t->most)
        return bmrt_fail(e, BMRT_USAGE, "--%s is %lld, at most %lld can be had", t->name, v,
                         (long long)t->most);
    *out = v;
    return BMRT_OK;
}

/* Digits, a point, digits, an exponent: strtod follows the locale, which this program never sets,
 * so only what it would accept beyond that is refused here. */
static BmStatus read_number(const option *t, const char *text, double *out, bmrt_error *e)
{
    char *end;
    double v = strtod(text, &end);
    if (!*text || *end || text[strspn(text, "0123456789.eE+-")] || !isfinite(v) || v < 0)
        return bmrt_fail(e, BMRT_USAGE, "--%s takes a number from 0 up, got '%s'", t->name, text);
    *out = v;
    return BMRT_OK;
}

static BmStatus set_option(bmrt_options *o, const option *t, const char *text, bmrt_error *e)
{
    void *field = (char *)o + t->at;
    switch (t->kind) {
    case FLAG:
        *(bool *)field = true;
        return BMRT_OK;
    case INTEGER:
        return read_integer(t, text, field, e);
    case NUMBER:
        return read_number(t, text, field, e);
    case STRING:
        if (!*text && t->at != AT(prompt))
            return bmrt_fail(e, BMRT_USAGE, "--%s needs a %s", t->name, t->value);
        *(const char **)field = text;
        return BMRT_OK;
    case LATER:
        break;
    }
    return bmrt_fail(e, BMRT_USAGE, "--%s is not built yet", t->name);
}

BmStatus bmrt_options_parse(bmrt_options *o, int argc, char **argv, bmrt_error *e)
{
    *o = (bmrt_options){.steps = -1,
                        .stop_after = -1,
                        .seed = -1,
                        .log_every = 10,
                        .eval_every = -1,
                        .temperature = 0.8,
                        .rank = -1,
                        .world = -1,
                        .local_rank = -1,
                        .local_world = -1};
    for (int i = 1; i < argc; i++) {
        const char *arg = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i];
        if (arg[0] != '-' || arg[1] != '-' || !arg[2]) {
            bmrt_fail(e, BMRT_USAGE, "unexpected argument '%s'", arg);
            bmrt_help(e, "--help lists the options");
            return BMRT_USAGE;
        }
        arg += 2;
        const char *equals = strchr(arg, '=');
        size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
        const option *t = find_option(arg, len);
        if (!t)
            return unknown_option(arg, len, e);
        const char *text = equals ? equals + 1 : NULL;
        if (t->kind == FLAG && text)
            return bmrt_fail(e, BMRT_USAGE, "--%s takes no value", t->name);
        if (t->kind != FLAG && t->kind != LATER && !text) {
            if (i + 1 >= argc)
                return bmrt_fail(e, BMRT_USAGE, "--%s needs a value: --%s %s", t->name, t->name,
                                 t->value);
            text = argv[++i];
        }
        BmStatus s = set_option(o, t, text, e);
        if (s != BMRT_OK)
            return s;
    }
    return BMRT_OK;
}

bool bmrt_option_text(const bmrt_options *o, int i, bmrt_text *out)
{
    if (i >= BMRT_COUNT(table))
        return false;
    const option *t = &table[i];
    const void *field = (const char *)o + t->at;
    if (t->kind == LATER || t->own)
        return true;
    const char *text = t->kind == STRING ? *(const char *const *)field : NULL;
    if (t->kind == INTEGER && *(const int64_t *)field >= t->least)
        bmrt_text_add(out, "--%s %lld", t->name, (long long)*(const int64_t *)field);
    else if (t->kind == NUMBER)
        bmrt_text_add(out, "--%s %g", t->name, *(const double *)field);
    else if (text)
        bmrt_text_add(out, "--%s '%s'", t->name, text);
    else
        bmrt_text_add(out, "no --%s", t->name);
    return true;
}

void bmrt_options_help(bmrt_text *out, const char *name)
{
    bmrt_text_add(out, "trainer of %s, made by bmc\n\n", name);
    bmrt_text_add(out, "  trainer                                 train as the model file says\n"
                       "  trainer --steps 100 --save w.safetensors\n"
                       "  trainer --steps 0 --init w.safetensors --sample 200\n\n"
                       "Options:\n");
    for (int i = 0; i < BMRT_COUNT(table); i++) {
        const option *t = &table[i];
        if (t->kind == LATER)
            continue;
        char left[40];
        bmrt_text l = {left, 0, sizeof left, false};
        bmrt_text_add(&l, "--%s%s%s", t->name, t->value ? " " : "", t->value ? t->value : "");
        bmrt_text_add(out, "  %-22s %s\n", left, t->help);
    }
    bmrt_text_add(out, "\nExit codes:\n");
#define X(id, code, text) bmrt_text_add(out, "  %3d  %s\n", code, text);
    BMRT_STATUS(X)
#undef X
}
