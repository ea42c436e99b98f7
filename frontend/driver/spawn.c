#include "frontend/driver/spawn.h"

#include "frontend/base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef VEC(char *) Words;

static char **split(Arena *a, const char *text)
{
    Words w = {0};
    for (char *p = arena_strdup(a, text); *p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (n == 0)
            break;
        vec_push(a, &w, p);
        p += n;
        if (*p)
            *p++ = 0;
    }
    vec_push(a, &w, NULL);
    return w.v;
}

/* Starts `words` with stdin from `in` and stdout to `out` (-1: nowhere); -1 when it cannot fork. */
static pid_t start(char **words, int in, int out)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR);
    dup2(in < 0 ? null : in, 0);
    dup2(out < 0 ? null : out, 1);
    dup2(null, 2);
    execvp(words[0], words);
    _exit(127);
}

static int finish(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int spawn_quiet(Arena *a, const char *words, const char *input)
{
    char **word = split(a, words);
    FILE *text = tmpfile(); /* a file, not a pipe: a child that reads nothing cannot kill us */
    if (!word[0] || !text)
        return 127;
    fputs(input, text);
    fflush(text);
    rewind(text);
    lseek(fileno(text), 0, SEEK_SET);
    pid_t pid = start(word, fileno(text), -1);
    int code = pid < 0 ? 127 : finish(pid);
    fclose(text);
    return code;
}

char *spawn_line(Arena *a, const char *words)
{
    char **word = split(a, words);
    FILE *out = tmpfile();
    if (!word[0] || !out)
        return NULL;
    pid_t pid = start(word, -1, fileno(out));
    int code = pid < 0 ? 127 : finish(pid);
    char line[200] = "";
    rewind(out);
    if (code != 0 || !fgets(line, sizeof line, out))
        code = 1;
    fclose(out);
    return code ? NULL : arena_strndup(a, line, strcspn(line, "\n"));
}

const char *spawn_read(Arena *a, char *const word[], const char **text)
{
    FILE *out = tmpfile();
    if (!out)
        return arena_printf(a, "cannot make a temporary file: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fileno(out), 1);
        execv(word[0], word);
        _exit(127);
    }
    int code = pid < 0 ? 127 : finish(pid);
    long n = fseek(out, 0, SEEK_END) == 0 ? ftell(out) : -1;
    char *all = arena_alloc(a, n > 0 ? (size_t)n + 1 : 1);
    rewind(out);
    bool whole = n > 0 && fread(all, 1, (size_t)n, out) == (size_t)n;
    fclose(out);
    *text = all;
    if (code == 127)
        return arena_printf(a, "cannot start '%s'", word[0]);
    if (code != 0 || !whole)
        return arena_printf(a, "'%s' ended with code %d and printed %ld bytes", word[0], code, n);
    return NULL;
}

const char *become(Arena *a, char *const word[])
{
    fflush(NULL);
    execv(word[0], word);
    return arena_printf(a, "cannot start '%s': %s", word[0], strerror(errno));
}
