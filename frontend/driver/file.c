#include "frontend/driver/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *cannot(Arena *a, const char *verb, const char *path)
{
    return arena_printf(a, "cannot %s '%s': %s", verb, path, strerror(errno));
}

static bool write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        text += done;
        n -= (size_t)done;
    }
    return true;
}

/* A device or pipe (--emit=plan=/dev/stderr) is written to; it cannot be replaced. */
static const char *write_stream(Arena *a, const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return cannot(a, "write", path);
    bool ok = write_all(fd, text, n);
    const char *why = ok ? NULL : cannot(a, "write", path);
    close(fd);
    return why;
}

const char *file_write(Arena *a, const char *path, const char *text, size_t n)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return write_stream(a, path, text, n);
    char *part = arena_printf(a, "%s.new", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return cannot(a, "write", path);
    bool ok = write_all(fd, text, n) && fsync(fd) == 0;
    const char *why = ok ? NULL : cannot(a, "write", path);
    if (close(fd) != 0 && ok)
        why = cannot(a, "write", path);
    if (!why && rename(part, path) != 0)
        why = cannot(a, "write", path);
    if (why)
        unlink(part);
    return why;
}

const char *file_remove(Arena *a, const char *path)
{
    return unlink(path) == 0 || errno == ENOENT ? NULL : cannot(a, "write", path);
}

const char *file_read(Arena *a, const char *path, const char **text, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return cannot(a, "open", path);
    size_t cap = 1 << 16, have = 0;
    char *buffer = arena_alloc(a, cap + 1);
    while ((have += fread(buffer + have, 1, cap - have, f)) == cap) {
        char *more = arena_alloc(a, 2 * cap + 1);
        memcpy(more, buffer, have);
        buffer = more;
        cap *= 2;
    }
    const char *why = ferror(f) ? cannot(a, "read", path) : NULL;
    fclose(f);
    buffer[have] = 0;
    *text = buffer;
    *n = have;
    return why;
}

const char *folder_make(Arena *a, const char *path)
{
    char *part = arena_strdup(a, path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char kept = *p;
        *p = 0;
        if (mkdir(part, 0777) != 0) {
            int why = errno; /* is_folder has its own */
            if (!is_folder(part)) {
                errno = why;
                return cannot(a, "make the folder", part);
            }
        }
        *p = kept;
        if (!kept)
            return NULL;
    }
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_executable(const char *path)
{
    struct stat st;
    return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *stem_of(Arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    return arena_strndup(a, name, n > 3 && !strcmp(name + n - 3, ".bm") ? n - 3 : n);
}
