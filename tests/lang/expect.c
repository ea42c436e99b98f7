/* expect - compares what the compiler says about a model with the comments in it.
 *
 *     expect FILE.bm...            runs `$BMC check FILE` (77 when BMC is not set)
 *     expect BMC FILE.bm...        the same with that bmc
 *     expect --parse FILE.bm...    only the parser, in this process
 *
 * Comments, anywhere in the file:
 *     # error 12:9: text           also warning, note; `# error: text` for one without a place,
 *                                  `# note other.bm:3:1: text` for one in another file
 *     # help: text                 compared only when the file has such a comment
 *     # args -D x=3                more words for bmc check
 *     # exit 2                     the exit code; without it 1 when errors are expected, else 0
 * Every message must be expected and every expectation met; the order does not matter. */
#include "frontend/base/strbuf.h"
#include "frontend/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

typedef VEC(const char *) Lines;

typedef struct Expectation {
    Lines messages;
    bool help; /* help lines are compared */
    const char *args;
    int exit_code; /* -1: follows from the messages */
} Expectation;

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The lines of `text`, without carriage returns. */
static Lines split(Arena *a, const char *text)
{
    Lines lines = {0};
    while (*text) {
        size_t n = strcspn(text, "\n");
        vec_push(a, &lines, arena_strndup(a, text, n && text[n - 1] == '\r' ? n - 1 : n));
        text += n + (text[n] == '\n');
    }
    return lines;
}

static const char *const kinds[] = {"error", "warning", "note", "help"};

static const char *trimmed(Arena *a, const char *s)
{
    size_t n = strlen(s);
    while (n && s[n - 1] == ' ')
        n--;
    return arena_strndup(a, s, n);
}

static Expectation read_comments(Arena *a, const char *text)
{
    Expectation e = {.args = "", .exit_code = -1};
    Lines lines = split(a, text);
    for (int i = 0; i < lines.n; i++) {
        const char *c = strstr(lines.v[i], "# ");
        for (; c; c = strstr(c + 2, "# ")) {
            if (starts_with(c + 2, "args "))
                e.args = arena_strdup(a, c + 7);
            if (starts_with(c + 2, "exit "))
                e.exit_code = atoi(c + 7);
            for (int k = 0; k < countof(kinds); k++) {
                size_t n = strlen(kinds[k]);
                const char *rest = c + 2 + n;
                if (strncmp(c + 2, kinds[k], n) != 0 || (*rest != ' ' && *rest != ':') ||
                    !strstr(rest, ": "))
                    continue;
                e.help |= k == 3;
                vec_push(a, &e.messages, trimmed(a, c + 2));
            }
        }
    }
    return e;
}

/* "FILE:12:9: error: text" -> "error 12:9: text"; NULL for a line that is no message. */
static const char *message_of(Arena *a, const char *line, const char *file, bool help)
{
    if (starts_with(line, "help: "))
        return help ? trimmed(a, line) : NULL;
    for (int k = 0; k < 3; k++) {
        const char *mark = arena_printf(a, ": %s: ", kinds[k]);
        const char *at = strstr(line, mark);
        if (!at || line[0] == ' ')
            continue;
        const char *place = arena_strndup(a, line, (size_t)(at - line));
        const char *text = trimmed(a, at + strlen(mark));
        size_t n = strlen(file);
        if (starts_with(place, file) && place[n] == ':')
            return arena_printf(a, "%s %s: %s", kinds[k], place + n + 1, text);
        if (!strcmp(place, "bmc"))
            return arena_printf(a, "%s: %s", kinds[k], text);
        return arena_printf(a, "%s %s: %s", kinds[k], place, text);
    }
    return NULL;
}

/* ---- what the compiler says ---- */

static char *read_all(Arena *a, FILE *f)
{
    StrBuf s = strbuf_new(a);
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        strbuf_addn(&s, piece, n);
    return s.text;
}

static char *run_bmc(Arena *a, const char *bmc, const char *args, const char *file, int *code)
{
    const char *command = arena_printf(a, "'%s' check %s '%s' 2>&1 >/dev/null", bmc, args, file);
    FILE *f = popen(command, "r");
    if (!f)
        die("cannot run %s", bmc);
    char *text = read_all(a, f);
    int status = pclose(f);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return text;
}

static char *run_parser(Arena *a, const char *file, int *code)
{
    FILE *out = tmpfile();
    if (!out)
        die("no temporary file");
    Sources *sources = sources_new(a);
    const char *why;
    int source = source_read(sources, file, &why);
    if (source < 0)
        die("%s", why);
    *code = parse_file(a, sources, source, diag_new(a, sources, out)) ? 0 : 1;
    rewind(out);
    char *text = read_all(a, out);
    fclose(out);
    return text;
}

/* ---- comparing ---- */

/* Takes `want` out of `got`. */
static bool take(Lines *got, const char *want)
{
    for (int i = 0; i < got->n; i++)
        if (got->v[i] && !strcmp(got->v[i], want)) {
            got->v[i] = NULL;
            return true;
        }
    return false;
}

static bool expects_error(const Expectation *e)
{
    for (int i = 0; i < e->messages.n; i++)
        if (starts_with(e->messages.v[i], "error"))
            return true;
    return false;
}

static int check_file(Arena *a, const char *bmc, const char *file)
{
    Sources *sources = sources_new(a);
    const char *why;
    int source = source_read(sources, file, &why), code, wrong = 0;
    if (source < 0)
        die("%s", why);
    Expectation e = read_comments(a, sources->list.v[source]->text);
    char *said = bmc ? run_bmc(a, bmc, e.args, file, &code) : run_parser(a, file, &code);
    Lines lines = split(a, said), got = {0};
    for (int i = 0; i < lines.n; i++) {
        const char *m = message_of(a, lines.v[i], file, e.help);
        if (m)
            vec_push(a, &got, m);
    }
    for (int i = 0; i < e.messages.n; i++)
        if (!take(&got, e.messages.v[i]))
            wrong += printf("%s: missing: %s\n", file, e.messages.v[i]) > 0;
    for (int i = 0; i < got.n; i++)
        if (got.v[i])
            wrong += printf("%s: extra:   %s\n", file, got.v[i]) > 0;
    int want = e.exit_code >= 0 ? e.exit_code : expects_error(&e);
    if (code != want)
        wrong += printf("%s: exit code %d, expected %d\n", file, code, want) > 0;
    if (wrong)
        printf("---- it said:\n%s----\n", said);
    return wrong;
}

static bool is_model(const char *s)
{
    size_t n = strlen(s);
    return n > 3 && !strcmp(s + n - 3, ".bm");
}

int main(int argc, char **argv)
{
    const char *bmc = getenv("BMC");
    int i = 1, wrong = 0;
    if (argc > 1 && !is_model(argv[1]))
        bmc = argv[i++];
    if (i >= argc)
        die("usage: expect [BMC | --parse] FILE.bm...");
    if (!bmc || !*bmc) {
        printf("BMC is not set: skipped\n");
        return 77;
    }
    if (!strcmp(bmc, "--parse"))
        bmc = NULL;
    for (; i < argc; i++) {
        Arena *a = arena_new();
        wrong += check_file(a, bmc, argv[i]);
        arena_free(a);
    }
    return wrong != 0;
}
