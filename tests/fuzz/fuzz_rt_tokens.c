/* The readers of token files; the first byte chooses the format, the second whether a right llm.c
 * magic is put in.
 *
 * fuzz: runs=100000 floor=40 max_len=1200
 */
#include "runtime/data.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const format[] = {"u16", "u32", "llmc", "llmc", "other"};
    if (size < 2)
        return 0;
    size_t n = size - 2, pad = data[1] & 4 ? 1024 : 0;
    unsigned char *file = calloc(n + pad + 1, 1);
    if (!file)
        return 0;
    memcpy(file, data + 2, n);
    if (data[1] & 1 && n + pad >= 12) {
        const int32_t header[2] = {data[1] & 2 ? 20240801 : 20240520, data[1] & 2 ? 7 : 1};
        memcpy(file, header, sizeof header);
    }
    bmrt_source type;
    const unsigned char *tokens;
    int64_t count;
    bmrt_error e = {"", ""};
    if (bmrt_tokens_parse(file, n + pad, format[data[0] % 5], "f.bin", &type, &tokens, &count,
                          &e) == BMRT_OK) {
        if (tokens + (size_t)count * bmrt_source_size(type) != file + n + pad)
            abort();
        int64_t at = bmrt_first_outside(type, tokens, count, 1 + data[1], data[1] & 8);
        if (at < count && bmrt_source_int(type, tokens, at) <= data[1])
            abort();
    } else if (!e.text[0]) {
        abort();
    }
    free(file);
    return 0;
}
