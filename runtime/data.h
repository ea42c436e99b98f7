/* data.h - training data: fields joined to the model's inputs by name, type and shape.
 *
 * Every source is a row of equal elements in a mapped file, and sample i of a field is `count`
 * elements from i * stride + shift on: text and token files are windows of T tokens that do not
 * overlap, `tokens` with shift 0 and `targets` with shift 1; an npy file is cut along its first
 * axis. Values of int inputs are checked against their limit once, when the file is opened. */
#ifndef BMRT_DATA_H
#define BMRT_DATA_H

#include "runtime/mapped.h"
#include "runtime/pool.h"

enum { BMRT_DATA_NONE, BMRT_DATA_TEXT, BMRT_DATA_TOKENS, BMRT_DATA_NPY };
enum { BMRT_MOST_FIELDS = 64 };

typedef struct bmrt_data_spec { /* what the model or the command line names */
    int kind;
    const char *file, *format;
    const char *const *field; /* npy: name, file, ..., NULL */
} bmrt_data_spec;

typedef struct bmrt_feed { /* of one model input */
    bmrt_source type;
    const unsigned char *data; /* NULL: nothing feeds it */
    int64_t count, stride, shift;
} bmrt_feed;

typedef struct bmrt_data {
    int64_t n;       /* samples */
    bmrt_feed *feed; /* [n_input] */
    bmrt_mapped file[BMRT_MOST_FIELDS];
    int n_file;
} bmrt_data;

/* Opens, joins and checks; every input of the model must be fed. Close it after a failure too. */
BmStatus bmrt_data_open(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                        bmrt_error *e);
void bmrt_data_close(bmrt_data *d);

/* Are all files still whole? Asked after they were read (mapped.h). */
BmStatus bmrt_data_check(const bmrt_data *d, bmrt_error *e);

/* --data and --valid for an npy source: "name=file,name=file" replaces the files of these fields in
 * `spec`; the new list and its texts live in `text`, to be freed by the caller after the data is
 * closed. */
BmStatus bmrt_data_override(bmrt_data_spec *spec, const char *option, const char *value,
                            char **text, const char ***list, bmrt_error *e);

/* The values of input i for samples index[0..nb-1], one after the other, to `out`. */
void bmrt_data_fill(const bmrt_data *d, const bmrt_model *m, int i, const int64_t *index,
                    int64_t nb, bmrt_pool *pool, void *out);

/* A token file in memory: where its tokens are. format: "u16", "u32" (no header), "llmc". */
BmStatus bmrt_tokens_parse(const unsigned char *file, size_t size, const char *format,
                           const char *name, bmrt_source *type, const unsigned char **data,
                           int64_t *count, bmrt_error *e);

/* First element of data[0..n-1] outside 0..below-1 (`ignore`: -100 is allowed too), or n. */
int64_t bmrt_first_outside(bmrt_source type, const unsigned char *data, int64_t n, int64_t below,
                           bool ignore);

#endif
