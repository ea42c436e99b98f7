/* alike.c - have all ranks been given the same?
 *
 * Other steps on one rank would make the others wait for ever, another seed or other data would
 * train on with numbers nobody asked for. What must be the same is a list of items, each a text for
 * people and a hash. Ranks first compare one hash of them all. */
#include "runtime/bmrt_private.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT = 512, WHOLE = 1 << 26, PIECE = 1 << 16 };

typedef struct item {
    uint64_t hash;
    char text[TEXT];
    bool file;
} item;

/* Words of 8 bytes, the last one padded: FNV-1a's step, and a shift so that high bits matter. */
static uint64_t mix(uint64_t h, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, p + i, n - i < sizeof word ? n - i : sizeof word);
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 32;
    }
    return h;
}

static uint64_t mix_file(uint64_t h, const bmrt_mapped *f)
{
    enum { PIECES = WHOLE / PIECE };
    uint64_t size = f->size;
    h = mix(h, (const unsigned char *)&size, sizeof size);
    if (size <= WHOLE)
        return mix(h, f->at, f->size);
    for (size_t i = 0; i < PIECES; i++)
        h = mix(h, f->at + (f->size - PIECE) / (PIECES - 1) * i, PIECE);
    return mix(h, f->at + f->size - PIECE, PIECE);
}

static void file_item(item *x, const char *what, const bmrt_mapped *f)
{
    bmrt_text t = {x->text, 0, TEXT, false};
    x->file = true;
    x->hash = f->at ? mix_file(1, f) : 0;
    if (f->at)
        bmrt_text_add(&t, "%s '%s' (%zu bytes, sum %016llx)", what, f->path, f->size,
                      (unsigned long long)x->hash);
    else
        bmrt_text_add(&t, "no %s", what);
}

/* Of first weights: they were loaded from it a moment ago. */
static BmStatus weights_item(item *x, const char *what, const char *path, bmrt_error *e)
{
    bmrt_mapped f = {0};
    BmStatus s = path ? bmrt_map(path, &f, e) : BMRT_OK;
    if (s != BMRT_OK)
        return s;
    file_item(x, what, &f);
    s = bmrt_map_check(&f, e);
    bmrt_unmap(&f);
    return s;
}

static int data_items(item *x, const char *what, const bmrt_data *d)
{
    for (int i = 0; i < BMRT_MOST_FIELDS; i++)
        file_item(&x[i], what, i < d->n_file ? &d->file[i] : &(bmrt_mapped){0});
    return BMRT_MOST_FIELDS;
}

/* As many on every rank; -1: no memory, or the error is in `e`. */
static int make_items(const bmrt_run *run, item **out, BmStatus *status, bmrt_error *e)
{
    const bmrt_model *m = run->m;
    int options = 0, n = 0;
    char unused[TEXT];
    while (bmrt_option_text(&run->opt, options, &(bmrt_text){unused, 0, TEXT, false}))
        options++;
    item *x = *out = calloc((size_t)(options + 2 * BMRT_MOST_FIELDS + 1 + m->n_param), sizeof *x);
    if (!x) {
        *status = bmrt_fail(e, BMRT_MACHINE, "no memory to compare what ranks were given");
        return 0;
    }
    for (; n < options; n++) {
        bmrt_option_text(&run->opt, n, &(bmrt_text){x[n].text, 0, TEXT, false});
        x[n].hash = bmrt_hash(x[n].text);
    }
    n += data_items(&x[n], "training data", &run->train);
    n += data_items(&x[n], "valid data", &run->valid);
    *status = weights_item(&x[n++], "first weights", run->opt.init, e);
    for (int i = 0; i < m->n_param && *status == BMRT_OK; i++)
        if (m->param[i].file)
            *status = weights_item(&x[n++], "first values", m->param[i].file, e);
    return n;
}

/* All ranks learn the lowest rank that differs from rank 0; 0: none does. */
static BmStatus find_rank(const bmrt_run *run, uint64_t mine, uint64_t *all, int *other,
                          bmrt_error *e)
{
    BmStatus s = bmrt_collect(run->peers, &mine, sizeof mine, all, e);
    *other = 0;
    for (int q = run->pub.ranks - 1; s == BMRT_OK && q > 0; q--)
        if (all[q] != all[0])
            *other = q;
    return s;
}

/* Item by item: the first that differs. */
static BmStatus tell(bmrt_run *run, const item *x, int n, uint64_t *all, char *texts, bmrt_error *e)
{
    int other = 0, i = 0;
    BmStatus s = BMRT_OK;
    for (i = 0; i < n && s == BMRT_OK && other == 0; i++)
        s = find_rank(run, x[i].hash, all, &other, e);
    if (s != BMRT_OK || other == 0)
        return s;
    x += i - 1;
    s = bmrt_collect(run->peers, x->text, TEXT, texts, e);
    if (s != BMRT_OK)
        return s;
    run->world.agreed = true;
    bmrt_fail(e, x->file ? BMRT_MODEL : BMRT_USAGE, "rank %d has %.400s, rank 0 has %.400s", other,
              texts + (size_t)other * TEXT, texts);
    bmrt_help(e, x->file ? "every rank reads the same: copy it to all machines"
                         : "every rank needs the same options");
    return x->file ? BMRT_MODEL : BMRT_USAGE;
}

BmStatus bmrt_check_alike(bmrt_run *run, bmrt_error *e)
{
    item *x = NULL;
    BmStatus s = BMRT_OK;
    uint64_t sum = 0;
    int other = 0;
    if (run->pub.ranks < 2 || !run->peers)
        return BMRT_OK;
    int n = make_items(run, &x, &s, e);
    uint64_t *all = calloc((size_t)run->pub.ranks, sizeof *all);
    char *texts = calloc((size_t)run->pub.ranks, TEXT);
    if (s == BMRT_OK && (!all || !texts))
        s = bmrt_fail(e, BMRT_MACHINE, "no memory to compare what ranks were given");
    for (int i = 0; s == BMRT_OK && i < n; i++)
        sum = mix(sum, (const unsigned char *)&x[i].hash, sizeof x[i].hash);
    s = bmrt_agree(run->peers, s, e);
    if (s == BMRT_OK)
        s = find_rank(run, sum, all, &other, e);
    if (s == BMRT_OK && other > 0)
        s = tell(run, x, n, all, texts, e);
    free(x);
    free(all);
    free(texts);
    return s;
}
