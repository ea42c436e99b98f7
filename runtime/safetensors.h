/* safetensors.h - the weight format, read strictly and written atomically.
 *
 * 8 bytes of length, a JSON header, the tensors packed without a hole. The reader takes a whole
 * file in memory and trusts nothing in it. */
#ifndef BMRT_SAFETENSORS_H
#define BMRT_SAFETENSORS_H

#include "runtime/mapped.h"

enum { BMRT_ST_DIMS = 8 };

typedef struct bmrt_st_entry {
    const char *name;
    const char *dtype; /* as the file says */
    bool known;        /* `type` is one this reader converts */
    bmrt_source type;
    int ndim;
    int64_t dim[BMRT_ST_DIMS];
    int64_t count;
    const unsigned char *data;
} bmrt_st_entry;

typedef struct bmrt_st {
    bmrt_st_entry *entry; /* in the order of their data */
    int n;
    void *json; /* owns names */
} bmrt_st;

/* `name` is for messages. The entries point into `file`. Close it only after success. */
BmStatus bmrt_st_parse(const unsigned char *file, size_t size, const char *name, bmrt_st *out,
                       bmrt_error *e);
void bmrt_st_close(bmrt_st *s);

/* Reads this rank's pieces of every parameter of the model from the file. `note` gets one line
 * about names nobody asked for ("" when there are none). */
BmStatus bmrt_st_load(bmrt *r, const bmrt_model *m, const char *path, char *note, size_t cap,
                      bmrt_error *e);

/* A writer prepared before training: where the tensors will be and the whole header. */
typedef struct bmrt_saver {
    char *path, *temporary, *folder;
    unsigned char *header;
    size_t header_size; /* the 8 bytes of length included; a multiple of 4096 */
    int *order;         /* of m->param */
    int64_t total;      /* bytes of the file */
} bmrt_saver;

/* Fails when the folder cannot be written to, or has no room for the file. */
BmStatus bmrt_saver_create(bmrt_saver *s, const bmrt_model *m, const char *path, bmrt_error *e);
void bmrt_saver_destroy(bmrt_saver *s);

/* Writes a temporary file, syncs it, and renames it to the path: the old file or the new one is
 * there, never half of one. All ranks call it: rank 0 makes the file and renames it, every rank
 * writes its own byte ranges. They all return the same status. */
BmStatus bmrt_saver_write(const bmrt_saver *s, bmrt *r, const bmrt_model *m, bmrt_error *e);

#endif
