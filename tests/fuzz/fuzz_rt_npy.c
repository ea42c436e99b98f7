/* The .npy reader. The first byte chooses: the rest is a whole file, or a header's dictionary with
 * so many bytes of data behind it.
 *
 * fuzz: runs=100000 floor=95 max_len=400 seeds=tests/fuzz/rt_npy dict=tests/fuzz/rt_npy.dict
 */
#include "runtime/npy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_file(const unsigned char *file, size_t size)
{
    bmrt_npy a;
    bmrt_error e = {"", ""};
    double sum = 0;
    if (bmrt_npy_parse(file, size, "f.npy", &a, &e) != BMRT_OK) {
        if (!e.text[0])
            abort(); /* refused without a word */
        return;
    }
    for (int64_t i = 0; i < a.count; i++)
        sum += bmrt_source_real(a.type, a.data, i);
    if (a.data + (size_t)a.count * bmrt_source_size(a.type) != file + size || sum == 0.123)
        abort(); /* something lies behind the data */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t text = size - 1, version = data[0] % 4, behind = data[0] / 4;
    if (version == 0) {
        read_file(data + 1, text);
        return 0;
    }
    size_t start = version == 1 ? 10 : 12, all = start + text + behind;
    unsigned char *file = calloc(all, 1);
    if (!file)
        return 0;
    memcpy(file, "\x93NUMPY", 6);
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)text;
    file[9] = (unsigned char)(text >> 8);
    memcpy(file + start, data + 1, text);
    read_file(file, all);
    free(file);
    return 0;
}
