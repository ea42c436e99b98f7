#include "frontend/driver/stamp.h"

#include "build.h"
#include "frontend/base/map.h"
#include "frontend/base/strbuf.h"
#include "frontend/driver/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *stamp_path(Arena *a, const char *dir)
{
    return arena_printf(a, "%s/stamp", dir);
}

static uint64_t mix(uint64_t h, const char *text)
{
    return text ? hash_bytes(h, text, strlen(text) + 1) : hash_bytes(h, "\377", 1);
}

/* A file that cannot be read changes the key too; who needs it says why. */
static uint64_t mix_file(Arena *a, uint64_t h, const char *path)
{
    const char *text;
    size_t n;
    if (!path || file_read(a, path, &text, &n))
        return mix(h, NULL);
    return hash_bytes(h, text, n);
}

/* Trainers are built for the processor at hand: another one needs another. */
static uint64_t mix_processor(Arena *a, uint64_t h)
{
    const char *text;
    size_t n;
    if (file_read(a, "/proc/cpuinfo", &text, &n))
        return h;
    static const char *const line[] = {"\nflags", "\nmodel name", "\nFeatures"};
    for (int i = 0; i < countof(line); i++) {
        const char *at = strstr(text, line[i]);
        if (at)
            h = hash_bytes(h, at, strcspn(at + 1, "\n") + 1);
    }
    return h;
}

uint64_t stamp_key(Arena *a, const Options *o, const Home *h)
{
    uint64_t key = mix(0, BM_VERSION);
    key = mix_file(a, key, h->program);
    key = mix_file(a, key, h->library);
    key = mix_file(a, key, h->mpi);
    key = mix_file(a, key, h->include ? arena_printf(a, "%s/bmrt.h", h->include) : NULL);
    key = mix_processor(a, key);
    static const char *const variable[] = {"CC", "CFLAGS"};
    for (int i = 0; i < countof(variable); i++)
        key = mix(key, getenv(variable[i]));
    key = mix(key, o->file);
    int64_t number[] = {o->memory, o->micro_batch, o->ranks, o->no_fuse, o->debug};
    key = hash_bytes(key, number, sizeof number);
    key = mix(mix(key, o->machine), o->plan);
    for (int i = 0; i < o->define.n; i++)
        key = mix(mix(key, o->define.v[i].name), o->define.v[i].value);
    return key;
}

bool stamp_fresh(Arena *a, const char *dir, uint64_t key, int64_t *ranks)
{
    const char *text;
    size_t n;
    if (!file_executable(arena_printf(a, "%s/trainer", dir)) ||
        !file_exists(arena_printf(a, "%s/plan.json", dir)) ||
        file_read(a, stamp_path(a, dir), &text, &n))
        return false;
    char *line = arena_printf(a, "bmc %016" PRIx64 " ranks ", key), *end;
    if (strncmp(text, line, strlen(line)) != 0)
        return false;
    *ranks = strtoll(text + strlen(line), &end, 10);
    if (*ranks < 1 || *end != '\n')
        return false;
    for (const char *p = end + 1; *p; p += strcspn(p, "\n") + 1) {
        const char *source;
        size_t n_source, n_path = strcspn(p, "\n");
        if (n_path < 18 || p[n_path] != '\n' ||
            file_read(a, arena_strndup(a, p + 17, n_path - 17), &source, &n_source))
            return false;
        char hash[17];
        snprintf(hash, sizeof hash, "%016" PRIx64, hash_bytes(0, source, n_source));
        if (strncmp(p, hash, 16) != 0)
            return false;
    }
    return true;
}

const char *stamp_clear(Arena *a, const char *dir)
{
    return file_remove(a, stamp_path(a, dir));
}

const char *stamp_write(Arena *a, const char *dir, uint64_t key, int64_t ranks, const Sources *s,
                        const char *built_in)
{
    StrBuf text = strbuf_new(a);
    strbuf_printf(&text, "bmc %016" PRIx64 " ranks %" PRId64 "\n", key, ranks);
    for (int i = 0; i < s->list.n; i++) {
        const Source *f = s->list.v[i];
        if (f->text == built_in || f->name[0] == '-') /* -D name=value is a source too */
            continue;
        strbuf_printf(&text, "%016" PRIx64 " %s\n", hash_bytes(0, f->text, (size_t)f->n), f->name);
    }
    return file_write(a, stamp_path(a, dir), text.text, text.n);
}
