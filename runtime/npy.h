/* npy.h - NumPy's .npy files, versions 1 to 3, C order, plain numbers. Never a pickle. */
#ifndef BMRT_NPY_H
#define BMRT_NPY_H

#include "runtime/mapped.h"

enum { BMRT_NPY_DIMS = 8 };

typedef struct bmrt_npy {
    bmrt_source type;
    int ndim;
    int64_t dim[BMRT_NPY_DIMS];
    int64_t count; /* elements */
    const unsigned char *data;
} bmrt_npy;

/* Reads the header of a whole file in memory; `name` is for messages. The file must end exactly
 * where the data does. */
BmStatus bmrt_npy_parse(const unsigned char *file, size_t size, const char *name, bmrt_npy *out,
                        bmrt_error *e);

/* Elements lo .. lo + n - 1 of tensor t->path from the file t->file (same shape, a number type that
 * fits). */
BmStatus bmrt_npy_tensor(const bmrt_tensor *t, int64_t lo, int64_t n, void *out, bmrt_error *e);

#endif
