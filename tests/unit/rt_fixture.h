/* rt_fixture.h - what the runtime's tests share: files, and the trainer's main in a child process.
 */
#ifndef RT_FIXTURE_H
#define RT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/bmrt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* The whole file and a 0 behind it; to be freed. NULL when there is none. */
static inline char *get_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t cap = 1 << 16, len = 0;
    char *p = malloc(cap);
    assert_non_null(p);
    for (size_t k; (k = fread(p + len, 1, cap - len - 1, f)) > 0;) {
        len += k;
        if (cap - len < 2) {
            p = realloc(p, cap *= 2);
            assert_non_null(p);
        }
    }
    fclose(f);
    p[len] = 0;
    if (n)
        *n = len;
    return p;
}

/* Starts `trainer WORDS` (split at single spaces) with output in the files out and err. */
static inline pid_t start_trainer(const bmrt_model *m, const char *words)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    static char text[2048];
    char *argv[64] = {(char *)(uintptr_t) "trainer"};
    int argc = 1;
    snprintf(text, sizeof text, "%s", words);
    for (char *w = strtok(text, " "); w && argc < 63; w = strtok(NULL, " "))
        argv[argc++] = w;
    int out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(out, 1);
    dup2(err, 2);
    exit(bmrt_main(m, argc, argv));
}

static inline int wait_trainer(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline int run_trainer(const bmrt_model *m, const char *words)
{
    return wait_trainer(start_trainer(m, words));
}

/* Checks the exit code and that `needle` stands in what was printed to stderr. */
static inline void expect_run(const bmrt_model *m, const char *words, int code, const char *needle)
{
    int got = run_trainer(m, words);
    char *err = get_file("err", NULL);
    assert_non_null(err);
    if (got != code || !strstr(err, needle))
        fail_msg("trainer %s: exit %d (expected %d), expected '%s' in:\n%s", words, got, code,
                 needle, err);
    free(err);
}

/* Value of "name": in line `line` (from 0) of a JSON lines file; fails when it is not there. */
static inline double metric(const char *path, int line, const char *name)
{
    char *text = get_file(path, NULL), *at = text, key[80];
    assert_non_null(text);
    for (int i = 0; i < line; i++) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    char *end = strchr(at, '\n');
    assert_non_null(end);
    *end = 0;
    snprintf(key, sizeof key, "\"%s\":", name);
    char *v = strstr(at, key);
    if (!v)
        fail_msg("no %s in %s", key, at);
    double x = strtod(v + strlen(key), NULL);
    free(text);
    return x;
}

#endif
