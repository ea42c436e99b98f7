/* Bytes as a model file, through every pass: parsed, lowered, differentiated, simplified, planned,
 * verified, emitted. Refused with a message, or right to the end; the same text twice.
 * fuzz: runs=20000 parts=2 floor=7000 max_len=2000
 * seeds=tests/fuzz/model,tests/lang/semantic,tests/lang/syntax dict=tests/fuzz/model.dict
 *
 * The passes' limits are small in this build (BM_SMALL_LIMITS), so that inputs meet them. Most
 * mutations move whole tokens and lines about, so that the text stays close to a model. */
#define _GNU_SOURCE
#include "codegen/emit.h"
#include "frontend/lower.h"
#include "planner/verify/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);

/* ---- mutations ---- */

typedef struct Piece { /* a token, or a line */
    size_t lo, hi;
} Piece;

static unsigned draw(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static bool in_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

/* The token at or after a place: a word, a number or one other character. */
static Piece token_at(const uint8_t *data, size_t n, size_t at)
{
    while (at > 0 && in_word(data[at]) && in_word(data[at - 1]))
        at--;
    while (at + 1 < n && (data[at] == ' ' || data[at] == '\n'))
        at++;
    Piece p = {at, at + 1};
    while (in_word(data[at]) && p.hi < n && in_word(data[p.hi]))
        p.hi++;
    return p;
}

static Piece line_at(const uint8_t *data, size_t n, size_t at)
{
    Piece p = {at, at};
    while (p.lo > 0 && data[p.lo - 1] != '\n')
        p.lo--;
    while (p.hi < n && data[p.hi] != '\n')
        p.hi++;
    p.hi += p.hi < n;
    return p;
}

/* data[p] becomes text; the new size, or n where there is no room. */
static size_t replace(uint8_t *data, size_t n, size_t most, Piece p, const void *text, size_t size)
{
    if (n - (p.hi - p.lo) + size > most)
        return n;
    memmove(data + p.lo + size, data + p.hi, n - p.hi);
    memcpy(data + p.lo, text, size);
    return n - (p.hi - p.lo) + size;
}

static const char *const word[] = {
    "0",
    "1",
    "2",
    "3",
    "4",
    "7",
    "8",
    "-1",
    "0.5",
    "64",
    "65",
    "1000",
    "100000",
    "1e30",
    "4294967296",
    "9223372036854775807",
    "2T",
    "true",
    "false",
    "none",
    "()",
    "(1, 2)",
    "[4]",
    "[8]",
    "[2, 4]",
    "x",
    "y",
    "h",
    "width",
    "tokens",
    "training",
    "batch",
    "has(x)",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "@",
    "**",
    "==",
    "<",
    "and",
    "or",
    "not x",
    "'",
    "[0]",
    "[-1]",
    "[..., 0]",
    "[1:3]",
    "relu",
    "gelu",
    "exp(x)",
    "log",
    "sqrt",
    "softmax",
    "sum(x, axis = 0)",
    "mean",
    "max",
    "argmax",
    "cumsum",
    "top_k(x, 1)",
    "reshape(x, (2, -1))",
    "transpose(x, (1, 0))",
    "split(x, 2)",
    "concat((x, x))",
    "stack((x, x))",
    "average(x)",
    "dropout(x, 0.5)",
    "random(4)",
    "one_hot",
    "where(x > 0, x, y)",
    "Linear(4, 4)",
    "Embedding(9, 4)",
    "LayerNorm(4)",
    "RMSNorm(4)",
    "SwiGLU(4, 8)",
    "int",
    "float",
    "bool",
    "param[4] ~ zeros",
    "buffer[] ~ ones",
    "return",
    "report a = average(x)",
    "if true {",
    "for i in 3 {",
    "}",
    "{",
    "\n",
    "freeze",
    "sgd(lr = 1)",
    "adamw(lr = 1)",
    "clip = 1.0",
    "use",
    "causal = true",
    "window = 2",
    "kv_heads = 1",
    "heads = 2",
    "weight = y",
    "axis = -1",
    "sample_index()",
};

/* Words that may stand for each other in a model that stays one. */
static const char *const kin[][24] = {
    {"exp",  "log",  "sqrt",     "abs", "floor",   "sin",    "cos",  "tanh",   "sigmoid", "relu",
     "gelu", "silu", "softplus", "erf", "softmax", "detach", "fp32", "cumsum", "argmax",  "int"},
    {"+", "-", "*", "/", "@", "**", "//", "%"},
    {"==", "<", ">", "<=", ">=", "!=", "and", "or"},
    {"sum", "mean", "max", "logsumexp", "min"},
    {"adamw", "adam", "sgd"},
    {"cosine", "linear", "constant"},
    {"zeros", "ones", "normal(0.1)", "uniform(0, 1)", "fill(2)"},
    {"true", "false", "training", "not training"},
    {"LayerNorm", "RMSNorm"},
    {"0",  "1",  "2",  "3",  "4",  "5",   "6",   "7",    "8",     "9",       "11",
     "16", "17", "64", "-1", "-2", "0.5", "100", "1000", "65536", "1000000", "2 ** 40"},
};

/* Lines to put behind a line of `forward`; $ is a name of the text. */
static const char *const line[] = {
    "$ = relu($)\n",
    "$ = $ + $\n",
    "$ = $ * 0.5\n",
    "$ = dropout($, 0.1)\n",
    "$ = $[0]\n",
    "$ = $'\n",
    "$ = $ @ $'\n",
    "$ = softmax($)\n",
    "$ = mean($, axis = 0)\n",
    "$ = $[..., 0:2]\n",
    "$ = concat(($, $))\n",
    "$ = stack(($, $), 0)\n",
    "$, $ = split($, 2)\n",
    "$ = cumsum($, axis = 0)\n",
    "$ = reshape($, (-1,))\n",
    "$ = where($ > 0, $, 1)\n",
    "$ = max($, $)\n",
    "$ = pad($, 1)\n",
    "report more = average($)\n",
    "for i in 3 { $ = $ + i }\n",
    "$ = detach($)\n",
    "$ = random(4) + $\n",
    "return average($)\n",
    "return average($) + 0.5 * average($ * $)\n",
    "$ = $ / average($)\n",
};

static bool same(const uint8_t *data, Piece p, const char *text)
{
    return strlen(text) == p.hi - p.lo && memcmp(data + p.lo, text, p.hi - p.lo) == 0;
}

/* A token by one of its kin; n when it has none. */
static size_t exchange(uint8_t *data, size_t n, size_t most, unsigned *state)
{
    for (int tries = 0; tries < 40; tries++) {
        Piece p = token_at(data, n, draw(state) % n);
        for (size_t k = 0; k < sizeof kin / sizeof kin[0]; k++) {
            size_t size = 0;
            bool here = false;
            for (; size < 24 && kin[k][size]; size++)
                here |= same(data, p, kin[k][size]);
            const char *w = kin[k][draw(state) % size];
            if (here && !same(data, p, w))
                return replace(data, n, most, p, w, strlen(w));
        }
    }
    return n;
}

static bool is_name(const uint8_t *data, Piece p)
{
    return in_word(data[p.lo]) && !(data[p.lo] >= '0' && data[p.lo] <= '9') && data[p.lo] != '.';
}

static Piece any_name(const uint8_t *data, size_t n, unsigned *state)
{
    Piece p = {0, 0};
    for (int tries = 0; tries < 20; tries++) {
        p = token_at(data, n, draw(state) % n);
        if (is_name(data, p) && memchr(data + p.lo, '.', p.hi - p.lo) == NULL)
            break;
    }
    return p;
}

/* A line of work on a name that is used near by, behind the line where it is used. */
static size_t add_line(uint8_t *data, size_t n, size_t most, unsigned *state)
{
    char text[256];
    size_t size = 0;
    Piece name = any_name(data, n, state);
    Piece at = line_at(data, n, name.lo);
    for (const char *c = line[draw(state) % (sizeof line / sizeof line[0])]; *c; c++) {
        size_t more = *c == '$' ? name.hi - name.lo : 1;
        if (size + more > sizeof text)
            return n;
        memcpy(text + size, *c == '$' ? (const void *)(data + name.lo) : c, more);
        size += more;
    }
    return replace(data, n, most, (Piece){at.hi, at.hi}, text, size);
}

/* A name by another name. */
static size_t rename_one(uint8_t *data, size_t n, size_t most, unsigned *state)
{
    uint8_t kept[256];
    Piece from = any_name(data, n, state), to = any_name(data, n, state);
    size_t size = from.hi - from.lo;
    if (size > sizeof kept)
        return n;
    memcpy(kept, data + from.lo, size);
    return replace(data, n, most, to, kept, size);
}

/* Anything by anything. */
static size_t shuffle(uint8_t *data, size_t n, size_t most, unsigned *state)
{
    static uint8_t kept[1 << 16];
    bool lines = draw(state) % 2 == 0;
    size_t a = draw(state) % n, b = draw(state) % n;
    Piece to = lines ? line_at(data, n, a) : token_at(data, n, a);
    Piece from = lines ? line_at(data, n, b) : token_at(data, n, b);
    const char *w = word[draw(state) % (sizeof word / sizeof word[0])];
    if (n > sizeof kept)
        return n;
    memcpy(kept, data, n);
    switch (draw(state) % 5) {
    case 0: /* a piece of the text in its place, before it, or gone */
        return replace(data, n, most, to, kept + from.lo, from.hi - from.lo);
    case 1:
        return replace(data, n, most, (Piece){to.lo, to.lo}, kept + from.lo, from.hi - from.lo);
    case 2:
        return replace(data, n, most, to, "", 0);
    case 3:
        return replace(data, n, most, token_at(data, n, a), w, strlen(w));
    default:
        return replace(data, n, most, (Piece){from.hi, from.hi}, w, strlen(w));
    }
}

/* Models that were planned, the last ones: half of the mutations begin at one of them, or most
 * inputs would be refused early. */
static struct Good {
    uint8_t data[2048];
    size_t n;
} good[256];
static unsigned n_good;

static void keep_good(const uint8_t *data, size_t n)
{
    struct Good *g = &good[n_good++ % 256];
    if (n > sizeof g->data)
        return;
    memcpy(g->data, data, n);
    g->n = n;
}

static size_t from_good(uint8_t *data, size_t n, size_t most, unsigned *state)
{
    const struct Good *g = &good[draw(state) % 256];
    if (g->n == 0 || g->n > most)
        return n;
    memcpy(data, g->data, g->n);
    return g->n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    unsigned state = seed;
    if (draw(&state) % 2 == 0)
        n = from_good(data, n, most, &state);
    if (n < 8)
        return LLVMFuzzerMutate(data, n, most);
    switch (draw(&state) % 16) {
    case 0:
        return LLVMFuzzerMutate(data, n, most);
    case 1:
    case 2:
    case 3:
        return shuffle(data, n, most, &state);
    case 4:
    case 5:
        return rename_one(data, n, most, &state);
    case 6:
    case 7:
    case 8:
    case 9:
        return add_line(data, n, most, &state);
    default:
        return exchange(data, n, most, &state);
    }
}

/* ---- the passes ---- */

/* The text as a file: lower_model() reads a path. */
static const char *as_file(const uint8_t *data, size_t n)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("model.bm", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, n, 0) != (ssize_t)n) {
        perror("model.bm");
        exit(1);
    }
    return path;
}

static bool differentiate(Model *m, Diag *d)
{
    if (!training_graph(m, d) || !evaluation_graph(m, d) || d->errors > 0)
        return false;
    simplify(m->arena, &m->train);
    simplify(m->arena, &m->eval);
    graph_verify(m->train.graph, m->train.root.v, m->train.root.n);
    graph_verify(m->eval.graph, m->eval.root.v, m->eval.root.n);
    return true;
}

/* Everything bmc says or makes of the file, in one text; true: it was planned. */
static bool all_of(Arena *a, StrBuf *s, const char *path, bool no_fuse, FILE *told)
{
    Sources *sources = sources_new(a);
    Diag *d = diag_new(a, sources, told);
    Model *m = lower_model(a, sources, path, NULL, 0, d);
    bool no_fit = false;
    PlanOptions o = {.memory = m ? m->plan.memory : 0, .no_fuse = no_fuse};
    Plan *p = m && differentiate(m, d) ? plan_build(a, m, &o, d, &no_fit) : NULL;
    if (!p) {
        diag_finish(d);
        if (d->errors == 0)
            BUG("refused without a word");
        return false;
    }
    if (d->errors > 0)
        BUG("planned with %d errors", d->errors);
    Diag *rules = diag_new(a, sources, stderr);
    if (!plan_verify(p, rules))
        BUG("the plan breaks a rule it claims to keep");
    plan_print(s, p);
    plan_json(s, p);
    if (m->precision != DT_F32) /* planned only */
        return true;
    emit_trainer(s, p);
    emit_kernels(s, p);
    return true;
}

static char *compile(const uint8_t *data, size_t n, bool no_fuse, bool *planned)
{
    char *said = NULL;
    size_t size = 0;
    FILE *told = open_memstream(&said, &size);
    if (!told)
        exit(1);
    Arena *a = arena_new();
    StrBuf s = strbuf_new(a);
    *planned = all_of(a, &s, as_file(data, n), no_fuse, told);
    fwrite(s.text, 1, s.n, told);
    arena_free(a);
    fclose(told);
    return said;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (memmem(data, n, "/dev", 4)) /* `use` of a device never ends */
        return 0;
    bool planned, again = n % 4 == 0;
    char *one = compile(data, n, n % 2, &planned);
    char *two = again ? compile(data, n, n % 2, &planned) : NULL;
    if (planned)
        keep_good(data, n);
    if (two && strcmp(one, two) != 0)
        BUG("another text the second time");
    free(one);
    free(two);
    return 0;
}
