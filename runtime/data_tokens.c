/* data_tokens.c - text (a byte is a token) and files of token ids.
 *
 * Sample i is the window of T + 1 tokens from i * T on: `tokens` its first T, `targets` its last T.
 */
#include "runtime/data_kinds.h"

#include <string.h>

/* llm.c: 256 words of header; word 0 says the width, word 2 the number of tokens. */
enum { LLMC_HEADER = 1024, LLMC_GPT2 = 20240520, LLMC_LLAMA3 = 20240801 };

static uint32_t word(const unsigned char *file, int i)
{
    uint32_t v;
    memcpy(&v, file + 4 * (size_t)i, sizeof v);
    return v;
}

static BmStatus parse_llmc(const unsigned char *file, size_t size, const char *name,
                           bmrt_source *type, const unsigned char **data, int64_t *count,
                           bmrt_error *e)
{
    if (size < LLMC_HEADER)
        return bmrt_fail(e, BMRT_MODEL, "'%s' has %zu bytes, the llm.c header alone needs %d", name,
                         size, LLMC_HEADER);
    uint32_t magic = word(file, 0), version = word(file, 1), n = word(file, 2);
    if (magic != LLMC_GPT2 && magic != LLMC_LLAMA3) {
        bmrt_fail(e, BMRT_MODEL, "'%s' begins with %lu, an llm.c token file with %d or %d", name,
                  (unsigned long)magic, LLMC_GPT2, LLMC_LLAMA3);
        bmrt_help(e, "a file without a header is read with format = \"u16\" or \"u32\"");
        return BMRT_MODEL;
    }
    uint32_t known = magic == LLMC_GPT2 ? 1 : 7;
    if (version != known)
        return bmrt_fail(e, BMRT_MODEL,
                         "'%s' has version %lu of the llm.c token format, read is "
                         "%lu",
                         name, (unsigned long)version, (unsigned long)known);
    *type = magic == LLMC_GPT2 ? BMRT_SRC_U16 : BMRT_SRC_U32;
    size_t need = LLMC_HEADER + (size_t)n * bmrt_source_size(*type);
    if (n > INT32_MAX || size != need)
        return bmrt_fail(e, BMRT_MODEL,
                         "'%s' has %zu bytes, its header speaks of %lu tokens, which "
                         "need %zu",
                         name, size, (unsigned long)n, need);
    *data = file + LLMC_HEADER;
    *count = n;
    return BMRT_OK;
}

BmStatus bmrt_tokens_parse(const unsigned char *file, size_t size, const char *format,
                           const char *name, bmrt_source *type, const unsigned char **data,
                           int64_t *count, bmrt_error *e)
{
    *data = file;
    *count = 0;
    if (format && strcmp(format, "llmc") == 0)
        return parse_llmc(file, size, name, type, data, count, e);
    if (format && strcmp(format, "u16") == 0)
        *type = BMRT_SRC_U16;
    else if (format && strcmp(format, "u32") == 0)
        *type = BMRT_SRC_U32;
    else
        return bmrt_fail(e, BMRT_MODEL,
                         "'%s': the format of a token file is u16, u32 or llmc, not "
                         "'%s'",
                         name, format ? format : "");
    size_t each = bmrt_source_size(*type);
    if (size % each != 0)
        return bmrt_fail(e, BMRT_MODEL, "'%s' has %zu bytes, no multiple of the %zu of a %s", name,
                         size, each, format);
    *count = (int64_t)(size / each);
    return BMRT_OK;
}

/* T, from the inputs' shapes; -1 when reported. */
static int64_t window(const bmrt_model *m, int tokens, int targets, bmrt_error *e)
{
    char shape[128];
    const int both[2] = {tokens, targets};
    for (int i = 0; i < 2; i++) {
        if (both[i] < 0)
            continue;
        const bmrt_input *in = &m->input[both[i]];
        if (in->dtype == BMRT_I32 && in->ndim == 1 && in->count > 0 &&
            in->count == m->input[tokens].count)
            continue;
        bmrt_fail(e, BMRT_MODEL, "input '%s' is %s %s, text and token files give int [T]", in->name,
                  bmrt_dtype_name(in->dtype), bmrt_shape(shape, sizeof shape, in->dim, in->ndim));
        return -1;
    }
    return m->input[tokens].count;
}

/* The smaller limit of the two inputs that read the same tokens; 0: none. */
static int64_t joint_limit(const bmrt_model *m, int tokens, int targets)
{
    int64_t a = m->input[tokens].below, b = targets >= 0 ? m->input[targets].below : 0;
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

static BmStatus check_tokens(const char *name, bool text, bmrt_source type,
                             const unsigned char *data, int64_t count, int64_t below, bmrt_error *e)
{
    int64_t limit = below > 0 ? below : INT32_MAX;
    int64_t at = bmrt_first_outside(type, data, count, limit, false);
    if (at == count)
        return BMRT_OK;
    return bmrt_fail(e, BMRT_MODEL, "'%s': %s %lld is %lld, the model takes 0..%lld", name,
                     text ? "byte" : "token", (long long)at,
                     (long long)bmrt_source_int(type, data, at), (long long)limit - 1);
}

BmStatus bmrt_data_open_tokens(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                               bmrt_error *e)
{
    bool text = spec->kind == BMRT_DATA_TEXT;
    int tokens = bmrt_find_input(m, "tokens"), targets = bmrt_find_input(m, "targets");
    if (tokens < 0)
        return bmrt_fail(e, BMRT_MODEL, "%s has no input 'tokens' for what '%s' gives", m->name,
                         spec->file ? spec->file : "");
    int64_t t = window(m, tokens, targets, e);
    if (t < 0)
        return BMRT_MODEL;
    const char *name = spec->file ? spec->file : "";
    BmStatus s = bmrt_map(name, &d->file[0], e);
    if (s != BMRT_OK)
        return s;
    d->n_file = 1;
    bmrt_source type = BMRT_SRC_U8;
    const unsigned char *data = d->file[0].at;
    int64_t count = (int64_t)d->file[0].size;
    if (!text)
        s = bmrt_tokens_parse(d->file[0].at, d->file[0].size, spec->format, name, &type, &data,
                              &count, e);
    if (s != BMRT_OK)
        return s;
    if (count < t + 1)
        return bmrt_fail(e, BMRT_MODEL,
                         "'%s' has %lld %s, one sample of %lld tokens and the next token needs "
                         "%lld",
                         name, (long long)count, text ? "bytes" : "tokens", (long long)t,
                         (long long)t + 1);
    d->n = (count - 1) / t;
    d->feed[tokens] = (bmrt_feed){type, data, t, t, 0};
    if (targets >= 0)
        d->feed[targets] = (bmrt_feed){type, data, t, t, 1};
    return check_tokens(name, text, type, data, count, joint_limit(m, tokens, targets), e);
}
