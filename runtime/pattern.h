/* pattern.h - paths by pattern, as in model files: `*` is one whole segment, `**` any number of
 * them, `3` or `0:6` (6 excluded) elements of a stack, else the segment's name. A pattern covers
 * what it matches and everything below. */
#ifndef BMRT_PATTERN_H
#define BMRT_PATTERN_H

#include "runtime/base.h"

/* BMRT_USAGE for a text that is no pattern; `option` is for the message. */
BmStatus bmrt_pattern_check(const char *pattern, const char *option, bmrt_error *e);

bool bmrt_pattern_matches(const char *pattern, const char *path);

#endif
