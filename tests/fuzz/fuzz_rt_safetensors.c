/* The safetensors reader. The first byte chooses: the rest is a whole file, or a header's JSON with
 * so many bytes of data behind it.
 *
 * fuzz: runs=100000 floor=70 max_len=600 seeds=tests/fuzz/rt_safetensors
 * dict=tests/fuzz/rt_safetensors.dict
 */
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_file(const unsigned char *file, size_t size)
{
    bmrt_st st;
    bmrt_error e = {"", ""};
    if (bmrt_st_parse(file, size, "f.safetensors", &st, &e) != BMRT_OK) {
        if (!e.text[0])
            abort();
        return;
    }
    double sum = 0;
    for (int t = 0; t < st.n; t++) {
        const bmrt_st_entry *x = &st.entry[t];
        for (int64_t i = 0; x->known && i < x->count; i++)
            sum += bmrt_source_real(x->type, x->data, i);
        if (x->data < file || x->data > file + size || !x->name)
            abort();
        const unsigned char *end = x->data + (size_t)x->count * bmrt_source_size(x->type);
        if (x->known && end != (t + 1 < st.n ? x[1].data : file + size))
            abort(); /* a hole or an overlap was accepted */
    }
    bmrt_st_close(&st);
    if (sum == 0.123)
        abort();
}

static void read_header(const uint8_t *json, size_t text, size_t behind)
{
    unsigned char *file = calloc(8 + text + behind, 1);
    if (!file)
        return;
    uint64_t n = text;
    memcpy(file, &n, 8);
    memcpy(file + 8, json, text);
    read_file(file, 8 + text + behind);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t text = size - 1, behind = data[0] / 2;
    if (data[0] % 2 == 0) {
        read_file(data + 1, text);
        return 0;
    }
    /* The same header before less data too: a size that is believed reads past the end. */
    read_header(data + 1, text, behind);
    read_header(data + 1, text, behind / 2);
    read_header(data + 1, text, 0);
    return 0;
}
