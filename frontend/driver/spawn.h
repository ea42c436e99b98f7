/* spawn.h - other programs. Commands are words between spaces, as in $CC="ccache gcc"; no shell. */
#ifndef BM_SPAWN_H
#define BM_SPAWN_H

#include "frontend/base/arena.h"

/* Runs it with `input` on its stdin and its output thrown away; the exit code, 127: not there. */
int spawn_quiet(Arena *a, const char *words, const char *input);

/* All that `word` (the program's path, its arguments, NULL) prints, in *text; its stderr is ours.
 * NULL, or the reason why there is none. */
const char *spawn_read(Arena *a, char *const word[], const char **text);

/* The first line it prints, or NULL when it is not there or fails. */
char *spawn_line(Arena *a, const char *words);

/* Becomes the program word[0]; returns only when that is impossible: the reason. */
const char *become(Arena *a, char *const word[]);

#endif
