/* attr.h - private to frontend/graph: attributes by op. */
#ifndef BM_ATTR_H
#define BM_ATTR_H

#include "frontend/graph/graph.h"

/* The members this op uses, all other bytes zero. */
Attr attr_normal(Op op, const Attr *a);

/* " axes=0,1", with the leading space; nothing for ops without attributes. */
void attr_print(StrBuf *s, const Node *n);

#endif
