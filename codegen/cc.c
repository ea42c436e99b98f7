/* cc.c - runs the C compiler; objects are cached by what they are made from. */
#include "codegen/cc.h"

#include "build.h"

#include "frontend/base/map.h"
#include "frontend/base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS "-std=c11 -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math"
#define WIDE  "-mprefer-vector-width=512"

typedef VEC(char *) Words;

typedef struct Cc {
    Arena *a;
    Diag *d;
    const char *dir, *include, *compiler, *version, *cache;
    bool wide; /* takes WIDE */
} Cc;

const char *cc_flags(void)
{
    return FLAGS " " WIDE;
}

const char *cc_libraries(void)
{
    return BM_RT_LIBS;
}

/* ---- processes ---------------------------------------------------------------------------- */

static void add_words(Arena *a, Words *w, const char *text)
{
    for (char *p = arena_strdup(a, text); *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (!n)
            break;
        char *word = arena_strndup(a, p, n);
        vec_push(a, w, word);
        p += n;
    }
}

static void add_word(Arena *a, Words *w, const char *text)
{
    vec_push(a, w, arena_strdup(a, text));
}

static void become(const Words *w, int out)
{
    int in = open("/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(126);
    setenv("LC_ALL", "C", 1);
    execvp(w->v[0], w->v);
    _exit(127);
}

/* The exit code, 127 when it is not there; *said is all that it printed. Through a pipe: on a full
 * disk its words would be lost in a file. */
static int run(Arena *a, Words w, char **said)
{
    int end[2];
    vec_push(a, &w, NULL);
    if (pipe(end) != 0)
        die("cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        die("cannot start %s: %s", w.v[0], strerror(errno));
    if (pid == 0) {
        close(end[0]);
        become(&w, end[1]);
    }
    close(end[1]);
    StrBuf s = strbuf_new(a);
    char part[4096];
    ssize_t n;
    while ((n = read(end[0], part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
        strbuf_addn(&s, part, n > 0 ? (size_t)n : 0);
    close(end[0]);
    *said = s.text ? s.text : arena_strdup(a, "");
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- files -------------------------------------------------------------------------------- */

static char *read_all(Arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    StrBuf s = strbuf_new(a);
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        strbuf_addn(&s, part, n);
    bool bad = ferror(f);
    fclose(f);
    return bad ? NULL : s.text ? s.text : arena_strdup(a, "");
}

static bool make_folders(Arena *a, const char *path)
{
    char *p = arena_strdup(a, path);
    for (char *c = p + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(p, 0777);
            *c = '/';
        }
    return (mkdir(p, 0777) == 0 || errno == EEXIST) && access(p, W_OK | X_OK) == 0;
}

static const char *cache_folder(Arena *a, const char *dir)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *path = xdg && xdg[0] == '/'     ? arena_printf(a, "%s/bmc", xdg)
                       : home && home[0] == '/' ? arena_printf(a, "%s/.cache/bmc", home)
                                                : NULL;
    if (path && make_folders(a, path))
        return path;
    path = arena_printf(a, "%s/cache", dir);
    return make_folders(a, path) ? path : NULL;
}

/* ---- the compiler ------------------------------------------------------------------------- */

static Words command(const Cc *c)
{
    Words w = {0};
    add_words(c->a, &w, c->compiler);
    add_words(c->a, &w, FLAGS);
    if (c->wide)
        add_words(c->a, &w, WIDE);
    add_words(c->a, &w, BM_RT_SANITIZE);
    return w;
}

static void tell_no_compiler(const Cc *c)
{
    diag_error(c->d, NO_SPAN, "no C compiler: cannot run `%s`", c->compiler);
    diag_help(c->d, "apt-get install gcc libc6-dev, or set CC");
}

static bool find_compiler(Cc *c)
{
    const char *cc = getenv("CC");
    c->compiler = cc && *cc ? cc : "cc";
    char *said = NULL;
    Words w = {0};
    add_words(c->a, &w, c->compiler);
    add_word(c->a, &w, "--version");
    int code = w.n > 1 ? run(c->a, w, &said) : 127;
    if (code) {
        tell_no_compiler(c);
        return false;
    }
    c->version = said;
    w = (Words){0};
    add_words(c->a, &w, c->compiler);
    add_words(c->a, &w, WIDE " -Werror -fsyntax-only -x c /dev/null");
    c->wide = run(c->a, w, &said) == 0;
    return true;
}

/* What -march=native means here: an object of another processor must not be taken. */
static const char *machine(const Cc *c)
{
    char *text;
    Words w = {0};
    add_words(c->a, &w, c->compiler);
    add_words(c->a, &w, "-march=native -E -dM -x c /dev/null");
    return run(c->a, w, &text) == 0 ? text : "";
}

/* Does it compile anything with our flags? */
static bool compiler_works(const Cc *c)
{
    char *said;
    Words w = command(c);
    add_words(c->a, &w, "-fsyntax-only -x c /dev/null");
    return run(c->a, w, &said) == 0;
}

/* Reports why `source` did not compile: the machine's fault, or ours. */
static void tell_not_compiled(const Cc *c, const char *source, int code, const char *said)
{
    if (strstr(said, "No space left on device")) {
        diag_error(c->d, NO_SPAN, "cannot compile %s: no space left on the device", source);
    } else if (code > 127 || code == 126) {
        diag_error(c->d, NO_SPAN, "%s was stopped while it compiled %s", c->compiler, source);
    } else if (!compiler_works(c)) {
        fprintf(stderr, "%s", said);
        diag_error(c->d, NO_SPAN, "`%s` compiles nothing with %s%s (its messages above)",
                   c->compiler, FLAGS, c->wide ? " " WIDE : "");
        diag_help(c->d, "set CC to another C compiler; gcc from 12 and clang from 14 are known to "
                        "work");
    } else {
        fprintf(stderr, "%s", said);
        BUG("%s does not compile; the compiler's messages are above", source);
    }
}

static bool copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = in ? fopen(to, "wb") : NULL;
    char part[1 << 16];
    size_t n = 0;
    bool ok = out != NULL;
    while (ok && (n = fread(part, 1, sizeof part, in)) > 0)
        ok = fwrite(part, 1, n, out) == n;
    ok = ok && !ferror(in);
    if (in)
        fclose(in);
    if (out)
        ok = fclose(out) == 0 && ok;
    return ok;
}

static uint64_t hash_text(uint64_t seed, const char *text)
{
    return hash_bytes(seed, text, strlen(text));
}

/* DIR/NAME.c as an object; the path, or NULL after a message. */
static const char *object(const Cc *c, const char *name, const char *key)
{
    const char *source = arena_printf(c->a, "%s/%s.c", c->dir, name);
    const char *text = read_all(c->a, source);
    if (!text) {
        diag_error(c->d, NO_SPAN, "cannot read %s: %s", source, strerror(errno));
        return NULL;
    }
    uint64_t h = hash_text(hash_text(1, key), text), h2 = hash_text(hash_text(2, key), text);
    const char *kept =
        c->cache ? arena_printf(c->a, "%s/%016" PRIx64 "%016" PRIx64 ".o", c->cache, h, h2) : NULL;
    const char *made = arena_printf(c->a, "%s/%s.o", c->dir, name);
    if (kept && access(kept, R_OK) == 0 && copy_file(kept, made))
        return made;
    Words w = command(c);
    add_word(c->a, &w, arena_printf(c->a, "-I%s", c->include));
    add_word(c->a, &w, "-c");
    add_word(c->a, &w, source);
    add_word(c->a, &w, "-o");
    add_word(c->a, &w, made);
    char *said;
    int code = run(c->a, w, &said);
    if (code) {
        remove(made);
        tell_not_compiled(c, source, code, said);
        return NULL;
    }
    if (kept) { /* into its place at once, so that nobody sees half of it */
        const char *part = arena_printf(c->a, "%s.%ld", kept, (long)getpid());
        if (!copy_file(made, part) || rename(part, kept) != 0)
            remove(part);
    }
    return made;
}

static bool link_trainer(const Cc *c, const char *library, const char *mpi,
                         const char *const *objects)
{
    const char *trainer = arena_printf(c->a, "%s/trainer", c->dir);
    const char *part = arena_printf(c->a, "%s.new", trainer);
    char *said;
    Words w = command(c);
    add_word(c->a, &w, objects[0]);
    add_word(c->a, &w, objects[1]);
    if (mpi)
        add_word(c->a, &w, mpi);
    add_word(c->a, &w, library);
    add_words(c->a, &w, BM_RT_LIBS);
    if (mpi)
        add_words(c->a, &w, BM_MPI_LIBS);
    add_word(c->a, &w, "-o");
    add_word(c->a, &w, part);
    if (run(c->a, w, &said) != 0) {
        remove(part);
        if (strstr(said, "No space left on device")) {
            diag_error(c->d, NO_SPAN, "cannot link %s: no space left on the device", trainer);
            return false;
        }
        fprintf(stderr, "%s", said);
        diag_error(c->d, NO_SPAN, "cannot link %s (messages above)", trainer);
        diag_help(c->d, "apt-get install libdnnl-dev libjansson-dev libc6-dev%s",
                  mpi ? " libopenmpi-dev" : "");
        return false;
    }
    if (rename(part, trainer) != 0) {
        diag_error(c->d, NO_SPAN, "cannot write %s: %s", trainer, strerror(errno));
        remove(part);
        return false;
    }
    return true;
}

bool build_trainer(Arena *a, const char *dir, const char *library, const char *mpi,
                   const char *include, Diag *d)
{
    Cc c = {.a = a, .d = d, .dir = dir, .include = include};
    if (!find_compiler(&c))
        return false;
    c.cache = cache_folder(a, dir);
    const char *header = read_all(a, arena_printf(a, "%s/bmrt.h", include));
    const char *key =
        arena_printf(a, "%s\n%s\n%s%s\n%s\n%s\n%s", c.version, c.compiler, FLAGS,
                     c.wide ? " " WIDE : "", BM_RT_SANITIZE, machine(&c), header ? header : "");
    const char *objects[2] = {object(&c, "trainer", key), NULL};
    if (objects[0])
        objects[1] = object(&c, "kernels", key);
    bool ok = objects[1] && link_trainer(&c, library, mpi, objects);
    for (int i = 0; i < 2; i++)
        if (objects[i])
            remove(objects[i]);
    return ok;
}
