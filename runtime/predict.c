/* predict.c - reported values of single samples into one file.
 *
 * A rank makes the text of its samples piece by piece, so that a value may have any size. Rank 0
 * writes its own pieces, then takes those of each other rank in turn: a length and so many bytes,
 * until a length of 0. */
#include "runtime/bmrt_private.h"

#include <errno.h>
#include <string.h>

typedef struct sink {
    bmrt_run *run;
    BmStatus status; /* of the first thing that went wrong; then nothing more is written */
    bmrt_error *e;
} sink;

static void put_bytes(sink *s)
{
    const bmrt_text *t = &s->run->wide_line;
    if (s->status != BMRT_OK || bmrt_write_all(s->run->predictions_fd, t->at, t->len))
        return;
    s->status = bmrt_fail(s->e, BMRT_MACHINE, "cannot write '%s': %s", s->run->opt.predictions,
                          strerror(errno));
}

/* The text so far goes to the file, or to rank 0. */
static void flush(sink *s)
{
    const bmrt_peers *p = s->run->peers;
    bmrt_text *t = &s->run->wide_line;
    int rank = s->run->pub.rank;
    uint64_t n = t->len;
    if (rank == 0)
        put_bytes(s);
    else if (s->status == BMRT_OK && n > 0)
        s->status = p->give(p->context, rank, &n, sizeof n, s->e);
    if (rank > 0 && s->status == BMRT_OK && n > 0)
        s->status = p->give(p->context, rank, t->at, t->len, s->e);
    t->len = 0;
}

static void add_element(bmrt_text *t, bmrt_dtype type, const void *at, int64_t i)
{
    switch (type) {
    case BMRT_F32: {
        double v = (double)((const real *)at)[i];
        if (v - v == 0)
            bmrt_text_add(t, "%.*g", sizeof(real) == 4 ? 9 : 17, v);
        else
            bmrt_text_add(t, "null");
        return;
    }
    case BMRT_I32:
        bmrt_text_add(t, "%ld", (long)((const int32_t *)at)[i]);
        return;
    case BMRT_U8:
        bmrt_text_add(t, ((const unsigned char *)at)[i] ? "true" : "false");
        return;
    }
}

static void put_sample(sink *s, const bmrt_program *p, int64_t in_round, int64_t number)
{
    bmrt_text *t = &s->run->wide_line;
    bmrt_text_add(t, "{\"sample\":%lld", (long long)number);
    for (int f = 0; f < p->n_field; f++) {
        const bmrt_field *d = &p->field[f];
        const char *at = BMRT_AT(&s->run->pub, d->offset);
        at += in_round * d->count * (int64_t)bmrt_dtype_size(d->dtype);
        bmrt_text_add(t, ",");
        bmrt_text_json(t, d->name);
        bmrt_text_add(t, d->count == 1 ? ":" : ":[");
        for (int64_t i = 0; i < d->count; i++) {
            bmrt_text_add(t, i ? "," : "");
            add_element(t, d->dtype, at, i);
            if (t->cap - t->len < 64)
                flush(s);
        }
        bmrt_text_add(t, d->count == 1 ? "" : "]");
    }
    bmrt_text_add(t, "}\n");
    flush(s);
}

/* Rank 0: all that rank `from` has to say. It is taken to the end even when it cannot be written,
 * as the other rank does not know that. */
static BmStatus take(sink *s, int from)
{
    const bmrt_peers *p = s->run->peers;
    bmrt_text *t = &s->run->wide_line;
    for (;;) {
        uint64_t n = 0;
        BmStatus status = p->give(p->context, from, &n, sizeof n, s->e);
        if (status == BMRT_OK && n > t->cap)
            status = bmrt_fail(s->e, BMRT_BUG, "rank %d sends %llu bytes of text at once", from,
                               (unsigned long long)n);
        if (status != BMRT_OK || n == 0)
            return status;
        status = p->give(p->context, from, t->at, n, s->e);
        if (status != BMRT_OK)
            return status;
        t->len = n;
        put_bytes(s);
    }
}

BmStatus bmrt_predictions_write(bmrt_run *run, const bmrt_pass *pass, int64_t first, int64_t nb,
                                bmrt_error *e)
{
    sink s = {run, BMRT_OK, e};
    const bmrt_peers *p = run->peers;
    run->wide_line.len = 0;
    for (int64_t i = 0; i < nb; i++)
        put_sample(&s, pass->program, i, first + i);
    uint64_t end = 0;
    if (run->pub.rank > 0 && s.status == BMRT_OK)
        s.status = p->give(p->context, run->pub.rank, &end, sizeof end, e);
    BmStatus link = BMRT_OK;
    for (int q = 1; run->pub.rank == 0 && q < run->pub.ranks && link == BMRT_OK; q++)
        link = take(&s, q);
    return bmrt_agree(p, link != BMRT_OK ? link : s.status, e);
}
