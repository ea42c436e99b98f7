/* safetensors_save.c - the model's parameters into one file, written by all ranks. */
#define _GNU_SOURCE
#include "runtime/bmrt_private.h"
#include "runtime/shard.h"
#include "runtime/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PAGE = 4096, TAIL = 64 /* of a temporary name: ".tmp-" and who writes it */ };

static const char *file_dtype(bmrt_dtype t)
{
    switch (t) {
    case BMRT_F32:
        return sizeof(real) == 4 ? "F32" : "F64";
    case BMRT_I32:
        return "I32";
    case BMRT_U8:
        return "BOOL";
    }
    return "?";
}

static int64_t tensor_bytes(const bmrt_tensor *t)
{
    return t->count * (int64_t)bmrt_dtype_size(t->dtype);
}

/* Wide types first, as in every writer of the format, so that all elements are aligned; among equal
 * ones those of whole cache lines, which keeps as many tensors as possible on one. */
static int place_class(const bmrt_tensor *t)
{
    return tensor_bytes(t) % 64 == 0 ? 0 : t->dtype == BMRT_F32 ? 1 : t->dtype == BMRT_I32 ? 2 : 3;
}

static void choose_order(bmrt_saver *s, const bmrt_model *m)
{
    int n = 0;
    for (int class = 0; class < 4; class ++)
        for (int i = 0; i < m->n_param; i++)
            if (place_class(&m->param[i]) == class)
                s->order[n++] = i;
}

static void write_header(bmrt_text *t, const bmrt_saver *s, const bmrt_model *m, int64_t *area)
{
    int64_t at = 0;
    bmrt_text_add(t, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < m->n_param; i++) {
        const bmrt_tensor *p = &m->param[s->order[i]];
        bmrt_text_add(t, ",");
        bmrt_text_json(t, p->path);
        bmrt_text_add(t, ":{\"dtype\":\"%s\",\"shape\":[", file_dtype(p->dtype));
        for (int d = 0; d < p->ndim; d++)
            bmrt_text_add(t, "%s%lld", d ? "," : "", (long long)p->dim[d]);
        bmrt_text_add(t, "],\"data_offsets\":[%lld,%lld]}", (long long)at,
                      (long long)(at + tensor_bytes(p)));
        at += tensor_bytes(p);
    }
    bmrt_text_add(t, "}");
    *area = at;
}

static BmStatus make_header(bmrt_saver *s, const bmrt_model *m, bmrt_error *e)
{
    size_t room = PAGE;
    int64_t area = 0;
    for (int i = 0; i < m->n_param; i++)
        room += 6 * strlen(m->param[i].path) + 256;
    s->order = calloc((size_t)m->n_param + 1, sizeof *s->order);
    s->header = malloc(room + 2 * PAGE);
    if (!s->order || !s->header)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for the header of '%s'", s->path);
    choose_order(s, m);
    bmrt_text t = {(char *)s->header + 8, 0, room, false};
    write_header(&t, s, m, &area);
    if (t.cut)
        return bmrt_fail(e, BMRT_BUG, "the header of '%s' has more than %zu bytes", s->path, room);
    s->header_size = (8 + t.len + PAGE - 1) / PAGE * PAGE;
    memset(s->header + 8 + t.len, ' ', s->header_size - 8 - t.len);
    uint64_t n = s->header_size - 8;
    memcpy(s->header, &n, sizeof n);
    s->total = (int64_t)s->header_size + area;
    return BMRT_OK;
}

static BmStatus check_folder(const bmrt_saver *s, bmrt_error *e)
{
    struct statvfs v;
    struct stat st;
    if (stat(s->path, &st) == 0 && !S_ISREG(st.st_mode))
        return bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': it exists and is not a file",
                         s->path);
    if (access(s->folder, W_OK | X_OK) != 0)
        return bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': folder '%s': %s", s->path, s->folder,
                         strerror(errno));
    if (statvfs(s->folder, &v) != 0 || v.f_blocks == 0)
        return BMRT_OK; /* not said: the write will tell */
    uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
    if (room < (uint64_t)s->total)
        return bmrt_fail(e, BMRT_MACHINE, "'%s' needs %lld bytes, '%s' has room for %llu", s->path,
                         (long long)s->total, s->folder, (unsigned long long)room);
    return BMRT_OK;
}

BmStatus bmrt_saver_create(bmrt_saver *s, const bmrt_model *m, const char *path, bmrt_error *e)
{
    *s = (bmrt_saver){0};
    size_t n = strlen(path);
    const char *slash = strrchr(path, '/');
    s->path = strdup(path);
    s->temporary = malloc(n + TAIL);
    s->folder = slash == path ? strdup("/")
                : slash       ? strndup(path, (size_t)(slash - path))
                              : strdup(".");
    if (!s->path || !s->temporary || !s->folder)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for --save");
    BmStatus status = make_header(s, m, e);
    return status != BMRT_OK ? status : check_folder(s, e);
}

void bmrt_saver_destroy(bmrt_saver *s)
{
    free(s->path);
    free(s->temporary);
    free(s->folder);
    free(s->header);
    free(s->order);
    *s = (bmrt_saver){0};
}

static bool write_at(int fd, const void *p, size_t n, int64_t offset)
{
    const char *at = p;
    while (n > 0) {
        size_t piece = n < ((size_t)1 << 30) ? n : (size_t)1 << 30;
        ssize_t done = pwrite(fd, at, piece, (off_t)offset);
        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            at += done;
            n -= (size_t)done;
            offset += done;
        }
    }
    return true;
}

/* The file, its length and its header; the descriptor, or -1 with errno set. */
static int begin_file(const bmrt_saver *s)
{
    int fd = open(s->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return -1;
    /* Room first: a full disk is then found before anything is written. File systems that cannot
     * promise room say so, and the writes tell. */
    int error = posix_fallocate(fd, 0, (off_t)s->total);
    if (error == EOPNOTSUPP || error == EINVAL)
        error = 0;
    if (error == 0 && !write_at(fd, s->header, s->header_size, 0))
        error = errno;
    if (error == 0)
        return fd;
    close(fd);
    unlink(s->temporary);
    errno = error;
    return -1;
}

static int write_pieces(const bmrt_saver *s, int fd, const bmrt *r, const bmrt_model *m)
{
    int64_t start = (int64_t)s->header_size;
    for (int i = 0; i < m->n_param; i++) {
        const bmrt_tensor *t = &m->param[s->order[i]];
        bmrt_share p = bmrt_share_of(r, t);
        int64_t size = (int64_t)bmrt_dtype_size(t->dtype);
        if (bmrt_share_is_first(r, t) &&
            !write_at(fd, p.at, (size_t)(p.n * size), start + p.lo * size))
            return errno;
        start += tensor_bytes(t);
    }
    return fsync(fd) == 0 ? 0 : errno;
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    return close(fd) == 0 ? error : errno;
}

/* All ranks know the name without a word; on one rank it is this process's own. */
static void name_temporary(const bmrt_saver *s, const bmrt *r, const bmrt_model *m)
{
    size_t room = strlen(s->path) + TAIL;
    if (r->ranks > 1)
        snprintf(s->temporary, room, "%s.tmp-%.16s-%lld", s->path, m->plan_hash ? m->plan_hash : "",
                 (long long)r->step);
    else
        snprintf(s->temporary, room, "%s.tmp-%ld", s->path, (long)getpid());
}

static BmStatus failed(const bmrt_saver *s, int error, bmrt_error *e)
{
    return bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': %s", s->path, strerror(error));
}

/* Rank 0's file is there: every rank writes what is its own. */
static BmStatus fill_file(const bmrt_saver *s, int fd, const bmrt *r, const bmrt_model *m,
                          bmrt_error *e)
{
    if (r->rank > 0)
        fd = open(s->temporary, O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': rank %d does not see rank 0's file '%s'",
                  s->path, r->rank, s->temporary);
        bmrt_help(e, "every rank writes a part of it: its folder must be the same on all machines");
        return BMRT_MACHINE;
    }
    int error = fd < 0 ? errno : write_pieces(s, fd, r, m);
    if (fd >= 0 && close(fd) != 0 && error == 0)
        error = errno;
    return error ? failed(s, error, e) : BMRT_OK;
}

BmStatus bmrt_saver_write(const bmrt_saver *s, bmrt *r, const bmrt_model *m, bmrt_error *e)
{
    const bmrt_peers *peers = bmrt_run_of(r)->peers;
    bool first = r->rank == 0, made = false;
    int fd = -1, error = 0;
    BmStatus status = BMRT_OK;
    name_temporary(s, r, m);
    if (first) {
        bmrt_signals_half_written(s->temporary);
        fd = begin_file(s);
        made = fd >= 0;
        status = made ? BMRT_OK : failed(s, errno, e);
    }
    status = bmrt_agree(peers, status, e);
    if (status == BMRT_OK)
        status = bmrt_agree(peers, fill_file(s, fd, r, m, e), e);
    else if (made)
        close(fd);
    if (first && status == BMRT_OK && rename(s->temporary, s->path) != 0)
        status = failed(s, errno, e);
    if (made && status != BMRT_OK)
        unlink(s->temporary);
    if (first)
        bmrt_signals_half_written(NULL);
    if (first && status == BMRT_OK && (error = sync_folder(s->folder)) != 0)
        status = failed(s, error, e);
    return bmrt_agree(peers, status, e);
}
