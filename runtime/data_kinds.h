/* data_kinds.h - the kinds of data source, for data.c. */
#ifndef BMRT_DATA_KINDS_H
#define BMRT_DATA_KINDS_H

#include "runtime/data.h"

/* text and tokens: fill feed[] of the inputs `tokens` and `targets`, and n. */
BmStatus bmrt_data_open_tokens(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                               bmrt_error *e);
BmStatus bmrt_data_open_npy(bmrt_data *d, const bmrt_model *m, const bmrt_data_spec *spec,
                            bmrt_error *e);

/* Index of the model's input of this name, or -1. */
int bmrt_find_input(const bmrt_model *m, const char *name);

#endif
