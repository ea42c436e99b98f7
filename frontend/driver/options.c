#include "frontend/driver/options.h"

#include "build.h"
#include "frontend/base/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_RANKS = 1 << 20, /* as `ranks` in a file */
    MOST_THREADS = 1024   /* as the runtime's --threads */
};

/* ---- the tables ---- */

typedef struct CommandRow {
    const char *name, *operand, *what;
} CommandRow;

static const CommandRow command_row[] = {
    [CMD_COMPILE] = {"compile", "FILE.bm", "plan the training and build the trainer"},
    [CMD_RUN] = {"run", "FILE.bm", "compile if anything changed, then train"},
    [CMD_PLAN] = {"plan", "FILE.bm", "plan only: what fits, and what it takes"},
    [CMD_CHECK] = {"check", "FILE.bm", "look for mistakes in a model"},
    [CMD_INSPECT] = {"inspect", "DIR|plan.json", "look at a plan"},
    [CMD_VERIFY] = {"verify", "DIR|plan.json", "check a plan by itself"},
    [CMD_PRELUDE] = {"prelude", NULL, "print the blocks every model may use"},
    [CMD_DOCTOR] = {"doctor", NULL, "what this machine has and what it lacks"},
    [CMD_CALIBRATE] = {"calibrate", NULL, "measure this machine: a profile for --machine"},
};

typedef enum OptionKind {
    SET_OUT,
    SET_TARGET,
    SET_RANKS,
    SET_MEMORY,
    SET_THREADS,
    SET_MICRO_BATCH,
    SET_MACHINE,
    SET_PLAN,
    SET_DEFINE,
    SET_NO_FUSE,
    SET_DEBUG,
    SET_EMIT,
    SET_VIEW,
    SET_VIEW_TO, /* may be followed by =PATH */
    SET_RANK,
    SET_JSON,
    SET_HELP
} OptionKind;

#define BIT(c) (1u << CMD_##c)
enum {
    OF_MODEL = BIT(COMPILE) | BIT(RUN) | BIT(PLAN),
    OF_BUILD = BIT(COMPILE) | BIT(RUN),
    OF_INSPECT = BIT(INSPECT),
    OF_PAGES = BIT(INSPECT) | BIT(PLAN),
    OF_ALL = (1u << N_COMMANDS) - 1
};

typedef struct OptionRow {
    const char *name, *argument; /* argument NULL: a flag */
    unsigned commands;
    OptionKind kind;
    int value; /* SET_VIEW */
    const char *what;
} OptionRow;

static const OptionRow option_row[] = {
    {"-o", "DIR", OF_MODEL, SET_OUT, 0, "folder to write into (compile, run: FILE.run)"},
    {"-o", "FILE", BIT(CALIBRATE), SET_OUT, 0, "file to write (standard output)"},
    {"--target", "cpu|cuda", OF_MODEL, SET_TARGET, 0, "what the trainer runs on: cpu"},
    {"--ranks", "N", OF_MODEL, SET_RANKS, 0, "processes that train together: 1"},
    {"--ranks", "N", BIT(CALIBRATE), SET_RANKS, 0, "processes of this machine that train: 1"},
    {"--threads", "N", BIT(CALIBRATE), SET_THREADS, 0, "of a rank: its share of the cores"},
    {"-n", "N", BIT(RUN), SET_RANKS, 0, "the same as --ranks"},
    {"--machine", "NAME|FILE", OF_MODEL, SET_MACHINE, 0, "profile of the machine to plan for"},
    {"--memory", "SIZE", OF_MODEL, SET_MEMORY, 0, "bytes the plan may use per rank, as 2GiB"},
    {"--micro-batch", "N", OF_MODEL, SET_MICRO_BATCH, 0, "samples per rank at once"},
    {"-D", "NAME=VALUE", OF_MODEL | BIT(CHECK), SET_DEFINE, 0, "replace a `let` of the file"},
    {"--plan", "FILE", OF_MODEL, SET_PLAN, 0, "carry out this plan.json, as it was changed"},
    {"--no-fuse", NULL, OF_MODEL, SET_NO_FUSE, 0, "one kernel per op (the numbers stay the same)"},
    {"--debug", NULL, OF_MODEL, SET_DEBUG, 0, "a trainer for BMRT_CHECK=1 and BMRT_POISON=1"},
    {"--emit", "KIND[=PATH]", OF_MODEL & ~BIT(RUN), SET_EMIT, 0,
     "print what a pass made and stop: ast, graph, plan, json, c"},
    {"--params", NULL, OF_PAGES, SET_VIEW, VIEW_PARAMS, "the parameters"},
    {"--memory", NULL, OF_INSPECT, SET_VIEW, VIEW_MEMORY, "what lies in memory, and when"},
    {"--timeline", NULL, OF_PAGES, SET_VIEW, VIEW_TIMELINE, "the steps in order"},
    {"--json", NULL, OF_PAGES, SET_VIEW, VIEW_JSON, "all of it, for programs"},
    {"--dot", NULL, OF_PAGES, SET_VIEW, VIEW_DOT, "the steps as a Graphviz graph"},
    {"--comm", NULL, OF_PAGES, SET_VIEW, VIEW_COMM, "what moves between ranks"},
    {"--recompute", NULL, OF_PAGES, SET_VIEW, VIEW_RECOMPUTE, "what is computed twice"},
    {"--why", "WHAT", OF_PAGES, SET_VIEW, VIEW_WHY, "the reason for a choice"},
    {"--diff", NULL, OF_INSPECT, SET_VIEW, VIEW_DIFF, "two plans side by side: --diff A B"},
    {"--html", "PATH", OF_PAGES, SET_VIEW_TO, VIEW_HTML, "a page to look at in a browser"},
    {"--trace", "PATH", OF_PAGES, SET_VIEW_TO, VIEW_TRACE, "the timeline as a Chrome trace"},
    {"--rank", "R", OF_PAGES, SET_RANK, 0, "whose part --params and --trace show: 0"},
    {"--json", NULL, BIT(VERIFY), SET_JSON, 0, "the result for programs"},
    {"--help", NULL, OF_ALL, SET_HELP, 0, "this text"},
};

static const char *const emit_name[N_EMITS] = {
    [EMIT_AST] = "ast", [EMIT_GRAPH] = "graph", [EMIT_PLAN] = "plan",
    [EMIT_C] = "c",     [EMIT_JSON] = "json",
};

/* ---- messages ---- */

int usage_error(const char *help, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("bmc: ", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nhelp: %s\n", help ? help : "bmc --help");
    return EXIT_USAGE;
}

static void print_usage(void)
{
    printf("bmc %s - compiles the description of a model to a trainer\n\n", BM_VERSION);
    for (int i = 0; i < countof(command_row); i++) {
        const CommandRow *c = &command_row[i];
        printf("  bmc %-9s %-14s %s\n", c->name, c->operand ? c->operand : "", c->what);
    }
    printf("  bmc --version\n\n"
           "bmc COMMAND --help lists the options of a command.\n");
}

static void print_help(Command command)
{
    const CommandRow *c = &command_row[command];
    printf("bmc %s%s%s [options]%s\n    %s\n\n", c->name, c->operand ? " " : "",
           c->operand ? c->operand : "", command == CMD_RUN ? " [-- options of the trainer]" : "",
           c->what);
    for (int i = 0; i < countof(option_row); i++) {
        const OptionRow *r = &option_row[i];
        if (!(r->commands >> command & 1))
            continue;
        bool may = r->kind == SET_VIEW_TO;
        const char *before = !r->argument ? "" : may ? "[=" : r->kind == SET_EMIT ? "=" : " ";
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s", r->name, before, r->argument ? r->argument : "",
                 may ? "]" : "");
        printf("  %-22s %s\n", left, r->what);
    }
}

/* "bmc compile --help" */
static const char *see(Arena *a, Command command)
{
    return arena_printf(a, "bmc %s --help", command_row[command].name);
}

/* ---- values ---- */

bool parse_size(const char *text, int64_t *bytes)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } unit[] = {{"", 1},
                {"B", 1},
                {"k", 1000},
                {"M", 1000000},
                {"G", 1000000000},
                {"T", 1000000000000},
                {"KB", 1000},
                {"MB", 1000000},
                {"GB", 1000000000},
                {"TB", 1000000000000},
                {"KiB", INT64_C(1) << 10},
                {"MiB", INT64_C(1) << 20},
                {"GiB", INT64_C(1) << 30},
                {"TiB", INT64_C(1) << 40}};
    int64_t n = 0, parts = 1; /* n / parts is the number */
    const char *p = text;
    bool point = false;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point && p > text); p++) {
        point |= *p == '.';
        if (*p == '.')
            continue;
        if (!mul_ok(n, 10, &n) || !add_ok(n, *p - '0', &n) || (point && !mul_ok(parts, 10, &parts)))
            return false;
    }
    if (p == text || p[-1] == '.')
        return false;
    p += *p == ' ';
    for (int i = 0; i < countof(unit); i++)
        if (!strcmp(p, unit[i].name))
            return mul_ok(n, unit[i].bytes, bytes) && (*bytes /= parts) > 0;
    return false;
}

static bool parse_count(const char *text, int64_t *out)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    *out = n;
    return !*end && !errno && n > 0;
}

/* A rank: 0 too. */
static bool parse_rank(const char *text, int64_t *out)
{
    *out = 0;
    return strcmp(text, "0") == 0 || parse_count(text, out);
}

/* ---- parsing ---- */

typedef struct Parse {
    Arena *arena;
    Options *o;
    const char *help;
} Parse;

static int bad_value(const Parse *p, const OptionRow *r, const char *value, const char *wanted)
{
    return usage_error(p->help, "%s wants %s, got '%s'", r->name, wanted, value);
}

static int set_emit(const Parse *p, const OptionRow *r, const char *value)
{
    const char *equals = strchr(value, '=');
    size_t n = equals ? (size_t)(equals - value) : strlen(value);
    if (equals && !equals[1])
        return usage_error(p->help, "%s=%s has no path after the second '='", r->name, value);
    for (int i = 0; i < N_EMITS; i++)
        if (strlen(emit_name[i]) == n && !strncmp(value, emit_name[i], n)) {
            vec_push(p->arena, &p->o->emit, ((Emit){(EmitKind)i, equals ? equals + 1 : NULL}));
            return EXIT_OK;
        }
    if (n == 4 && !strncmp(value, "cuda", n))
        return usage_error(p->help, "--emit=cuda is not built yet");
    return bad_value(p, r, value, "one of ast, graph, plan, json, c");
}

static int set_define(const Parse *p, const OptionRow *r, const char *value)
{
    const char *equals = strchr(value, '=');
    if (!equals || equals == value)
        return bad_value(p, r, value, "NAME=VALUE");
    Defined d = {arena_strndup(p->arena, value, (size_t)(equals - value)), equals + 1};
    vec_push(p->arena, &p->o->define, d);
    return EXIT_OK;
}

static int set_view(const Parse *p, const OptionRow *r, const char *value)
{
    Options *o = p->o;
    if (o->view_name && o->view != (InspectView)r->value)
        return usage_error(p->help, "%s and %s: one view at a time", o->view_name, r->name);
    if (value && !*value)
        return usage_error(p->help, "%s wants %s after the '='", r->name, r->argument);
    o->view = (InspectView)r->value;
    o->view_name = r->name;
    if (r->kind == SET_VIEW_TO)
        o->view_to = value;
    else
        o->why = value;
    return EXIT_OK;
}

static int set(const Parse *p, const OptionRow *r, const char *value)
{
    Options *o = p->o;
    switch (r->kind) {
    case SET_OUT:
        o->out = value;
        return *value ? EXIT_OK : bad_value(p, r, value, "a path");
    case SET_TARGET:
        if (!strcmp(value, "cpu"))
            return EXIT_OK;
        if (!strcmp(value, "cuda"))
            return usage_error("--target cpu", "--target cuda is not built yet");
        return bad_value(p, r, value, "cpu or cuda");
    case SET_RANKS:
        return parse_count(value, &o->ranks) && o->ranks <= MOST_RANKS
                   ? EXIT_OK
                   : bad_value(p, r, value, "a number of processes");
    case SET_THREADS:
        return parse_count(value, &o->threads) && o->threads <= MOST_THREADS
                   ? EXIT_OK
                   : bad_value(p, r, value, "a number of threads");
    case SET_MACHINE:
        o->machine = value;
        return *value ? EXIT_OK : bad_value(p, r, value, "the name of a profile or its file");
    case SET_PLAN:
        o->plan = value;
        return *value ? EXIT_OK : bad_value(p, r, value, "a plan.json or its folder");
    case SET_MEMORY:
        return parse_size(value, &o->memory) ? EXIT_OK
                                             : bad_value(p, r, value, "a size as 2GiB or 800MB");
    case SET_MICRO_BATCH:
        return parse_count(value, &o->micro_batch) ? EXIT_OK
                                                   : bad_value(p, r, value, "a number of samples");
    case SET_DEFINE:
        return set_define(p, r, value);
    case SET_NO_FUSE:
        o->no_fuse = true;
        return EXIT_OK;
    case SET_DEBUG:
        o->debug = true;
        return EXIT_OK;
    case SET_EMIT:
        return set_emit(p, r, value);
    case SET_VIEW:
    case SET_VIEW_TO:
        return set_view(p, r, value);
    case SET_RANK:
        return parse_rank(value, &o->rank) ? EXIT_OK : bad_value(p, r, value, "a rank's number");
    case SET_JSON:
        o->json = true;
        return EXIT_OK;
    case SET_HELP:
        break;
    }
    BUG("option %s has no meaning", r->name);
}

/* The row of `word`, an option of `command`: "--name", "--name=value", "-Dvalue". *value is what
 * follows in the same word, or NULL. */
static const OptionRow *find_option(Command command, const char *word, const char **value)
{
    for (int i = 0; i < countof(option_row); i++) {
        const OptionRow *r = &option_row[i];
        size_t n = strlen(r->name);
        if (!(r->commands >> command & 1) || strncmp(word, r->name, n) != 0)
            continue;
        bool letter = n == 2;
        if (word[n] && word[n] != '=' && !(letter && r->argument))
            continue;
        *value = !word[n] ? NULL : letter ? word + n : word + n + 1;
        return r;
    }
    return NULL;
}

static int unknown_option(const Parse *p, Command command, const char *word)
{
    const char *value;
    const char *bare = arena_strndup(p->arena, word, strcspn(word, "="));
    Map *names = map_new(p->arena);
    for (int i = 0; i < countof(option_row); i++)
        if (option_row[i].commands >> command & 1)
            map_put(names, option_row[i].name, NULL);
    for (int c = 0; c < N_COMMANDS; c++)
        if (bare[1] && find_option((Command)c, bare, &value))
            return usage_error(p->help, "%s is an option of `bmc %s`, not of `bmc %s`", bare,
                               command_row[c].name, command_row[command].name);
    const char *near = map_nearest(names, bare);
    if (near && near[1] == '-')
        return usage_error(arena_printf(p->arena, "did you mean %s? (%s)", near, p->help),
                           "unknown option %s", bare);
    if (command == CMD_RUN)
        return usage_error("options of the trainer come after `--`: bmc run FILE.bm -- --steps 10",
                           "unknown option %s", bare);
    return usage_error(p->help, "unknown option %s", bare);
}

static int unknown_command(Arena *a, const char *word)
{
    Map *names = map_new(a);
    for (int i = 0; i < countof(command_row); i++)
        map_put(names, command_row[i].name, NULL);
    const char *near = map_nearest(names, word);
    if (near)
        return usage_error(arena_printf(a, "did you mean `bmc %s`? (bmc --help)", near),
                           "unknown command '%s'", word);
    size_t n = strlen(word);
    if (n > 3 && !strcmp(word + n - 3, ".bm"))
        return usage_error(arena_printf(a, "bmc compile %s", word), "no command, only a file");
    return usage_error(NULL, "unknown command '%s'", word);
}

/* The words after the command. */
static int parse_words(Parse *p, int argc, char **argv, bool *help)
{
    Options *o = p->o;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (!strcmp(word, "--")) {
            if (o->command != CMD_RUN)
                return usage_error(p->help, "`--` and options of the trainer belong to `bmc run`");
            o->rest = argv + i + 1;
            o->n_rest = argc - i - 1;
            return EXIT_OK;
        }
        if (word[0] != '-' || !word[1]) {
            const char **place = !o->file ? &o->file : &o->other;
            bool room = command_row[o->command].operand && !*place &&
                        (!o->file || o->command == CMD_INSPECT);
            if (!room)
                return usage_error(p->help, "'%s': %s", word,
                                   o->file ? "one file at a time" : "takes no file");
            *place = word;
            continue;
        }
        const char *value = NULL;
        const OptionRow *r = find_option(o->command, !strcmp(word, "-h") ? "--help" : word, &value);
        if (!r)
            return unknown_option(p, o->command, word);
        if (r->kind == SET_HELP) {
            *help = true;
            return EXIT_OK;
        }
        if (!r->argument && value)
            return usage_error(p->help, "%s takes no value", r->name);
        if (r->argument && !value && r->kind != SET_VIEW_TO) {
            if (i + 1 == argc)
                return usage_error(p->help, "%s wants %s", r->name, r->argument);
            value = argv[++i];
        }
        int code = set(p, r, value);
        if (code)
            return code;
    }
    return EXIT_OK;
}

static bool done(int *exit_code, int code)
{
    *exit_code = code;
    return false;
}

bool options_parse(Arena *a, Options *o, int argc, char **argv, int *exit_code)
{
    *o = (Options){0};
    if (argc < 2)
        return done(exit_code, usage_error("bmc --help", "no command"));
    const char *word = argv[1];
    if (!strcmp(word, "--version")) {
        printf("bmc %s\n", BM_VERSION);
        return done(exit_code, EXIT_OK);
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        print_usage();
        return done(exit_code, EXIT_OK);
    }
    int c = 0;
    while (c < countof(command_row) && strcmp(word, command_row[c].name) != 0)
        c++;
    if (c == countof(command_row))
        return done(exit_code, word[0] == '-' ? usage_error(NULL, "unknown option %s", word)
                                              : unknown_command(a, word));

    o->command = (Command)c;
    Parse p = {a, o, see(a, o->command)};
    bool help = false;
    int code = parse_words(&p, argc - 2, argv + 2, &help);
    if (help)
        print_help(o->command);
    if (code || help)
        return done(exit_code, code);
    if (command_row[c].operand && !o->file)
        return done(exit_code,
                    usage_error(p.help, "`bmc %s` wants %s", word, command_row[c].operand));
    if (o->view == VIEW_DIFF && !o->other)
        return done(exit_code, usage_error("bmc inspect --diff A B", "--diff wants two plans"));
    if (o->view != VIEW_DIFF && o->other)
        return done(exit_code, usage_error(p.help, "'%s': one file at a time", o->other));
    return true;
}
