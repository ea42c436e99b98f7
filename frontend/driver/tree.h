/* tree.h - the tree of one file as text, for --emit=ast. */
#ifndef BM_TREE_H
#define BM_TREE_H

#include "frontend/base/diag.h"

/* False: the file cannot be read, or holds mistakes (reported to `d`). */
bool tree_text(StrBuf *s, const char *path, Diag *d);

#endif
