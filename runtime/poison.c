/* poison.c - filling what is free. */
#include "runtime/poison.h"

#include <string.h>

BmStatus bmrt_poison_read(bool *on, bmrt_getenv_fn *get, void *context, bmrt_error *e)
{
    const char *text = get(context, "BMRT_POISON");
    *on = text && strcmp(text, "1") == 0;
    if (!text || !*text || *on || strcmp(text, "0") == 0)
        return BMRT_OK;
    return bmrt_fail(e, BMRT_USAGE, "BMRT_POISON is '%.40s', it is 0 or 1", text);
}

void bmrt_poison_begin(bmrt_poison *p, const bmrt_program *program, int phase, bool first,
                       bool last)
{
    p->frees = program->frees ? program->frees + (size_t)phase * BMRT_STREAMS : NULL;
    p->first = first;
    p->last = last;
    memset(p->next, 0, sizeof p->next);
}

static bool is_free(const bmrt_poison *p, const bmrt_free *f, bmrt_stream_id stream,
                    const int over[BMRT_STREAMS])
{
    if ((f->when == 1 && !p->first) || (f->when == 2 && !p->last))
        return false;
    for (int i = 0; i < BMRT_STREAMS; i++)
        if (i != (int)stream && f->need[i] > over[i])
            return false;
    return true;
}

void bmrt_poison_step(bmrt_poison *p, const bmrt *r, bmrt_stream_id stream, int id,
                      const int over[BMRT_STREAMS])
{
    if (!p->frees)
        return;
    const bmrt_frees *list = &p->frees[stream];
    for (int *i = &p->next[stream]; *i < list->n && list->free[*i].step <= id; ++*i) {
        const bmrt_free *f = &list->free[*i];
        if (!is_free(p, f, stream, over))
            continue;
        size_t n = (size_t)f->bytes * BMRT_SCALE;
        memset(f->host ? BMRT_HOST(r, f->offset) : BMRT_AT(r, f->offset), 0xff, n);
        p->filled[stream] += f->bytes;
    }
}
