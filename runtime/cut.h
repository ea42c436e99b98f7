/* cut.h - mapped files that another process cuts short while they are read.
 *
 * Reading a map beyond the end its file has by now is SIGBUS. Files that are watched are listed in
 * a table that the signal's handler may read: it puts zeros in the place of what is gone, the
 * thread goes on, and whoever read the file asks bmrt_cut_check() before it believes the bytes.
 * Zeros come without a signal too (the rest of a last page), so the check asks for the size. */
#ifndef BMRT_CUT_H
#define BMRT_CUT_H

#include "runtime/base.h"

/* Watches `size` bytes at `at`, mapped from `fd`, which is closed by bmrt_cut_forget(); false: the
 * table is full. `path` must stay. */
bool bmrt_cut_watch(const void *at, size_t size, int fd, const char *path);
void bmrt_cut_forget(const void *at);

/* BMRT_MACHINE when the file watched at `at` is shorter than it was, or a part of it could not be
 * read. */
BmStatus bmrt_cut_check(const void *at, bmrt_error *e);

/* For the handler of SIGBUS, on any thread: false when `at` lies in no watched file. */
bool bmrt_cut_mend(const void *at);

#endif
