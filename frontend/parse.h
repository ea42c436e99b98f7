/* parse.h - text to tree.
 *
 * Both functions report what they find to `d` (as many mistakes as the text has, one message for
 * each) and return NULL when they reported anything. The tree lives in `a`, the text it came from
 * must live as long. No global state. */
#ifndef BM_PARSE_H
#define BM_PARSE_H

#include "frontend/ast.h"
#include "frontend/base/diag.h"

File *parse_file(Arena *a, Sources *sources, int source, Diag *d);

/* One expression and nothing else: the value of `-D name=expression`. */
Expr *parse_expr_text(Arena *a, Sources *sources, int source, Diag *d);

#endif
