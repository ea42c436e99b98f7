/* file.h - whole files: written completely or not at all.
 *
 * A function that returns NULL succeeded; otherwise it returns one sentence with the path and the
 * reason, in `a`. */
#ifndef BM_FILE_H
#define BM_FILE_H

#include "frontend/base/arena.h"

/* Writes PATH.new, syncs it and renames it, so that PATH holds the old text or the whole new one.
 */
const char *file_write(Arena *a, const char *path, const char *text, size_t n);

/* One that is not there is fine. */
const char *file_remove(Arena *a, const char *path);

/* The file's bytes in *text, 0 after them. */
const char *file_read(Arena *a, const char *path, const char **text, size_t *n);

/* Makes a folder and those above it; one that is there is fine. */
const char *folder_make(Arena *a, const char *path);

bool file_exists(const char *path);
bool file_executable(const char *path);
bool is_folder(const char *path);

/* "a/b.bm" -> "b"; ".bm" is cut only where it is. */
const char *stem_of(Arena *a, const char *path);

#endif
