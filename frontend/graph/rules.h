/* rules.h - private to rules*.c: one function per word of the sizes column of ops.def.
 *
 * A rule sees operands that are no errors and returns the result's type, or reports and returns
 * type_error. Messages use the language's sign for the op where it has one. */
#ifndef BM_RULES_H
#define BM_RULES_H

#include "frontend/graph/graph.h"

typedef struct Rule {
    Graph *g;
    Op op;
    Node *const *in;
    int n_in;
    const Attr *attr;
    const Type *type; /* what the caller asked for: leaves, RESHAPE, BROADCAST, CAST */
} Rule;

typedef Type RuleFn(const Rule *r);
#define OP(id, name, sizes, gradient, cost, kernel) RuleFn rule_##sizes;
#include "frontend/graph/ops.def"
#undef OP

/* Reports at g->at, then one note per operand with its type and where it was made. */
BM_PRINTF(2, 3) Type rule_error(const Rule *r, const char *fmt, ...);
const char *op_symbol(Op op);                /* "+", "@", else the op's name */
bool op_wants_float(Op op);                  /* float in, float out: ints are cast before it */
const char *rule_text(const Rule *r, int i); /* operand i's type as text */

/* Each checks one thing, reports and returns false. */
bool rule_operands(const Rule *r, int least, int most);
bool rule_float(const Rule *r, int i);
bool rule_int(const Rule *r, int i);
bool rule_one_axis(const Rule *r, uint32_t axes); /* exactly one, and operand 0 has it */

/* The shape two operands broadcast to, from the right; false when sizes differ and neither is 1. */
bool broadcast_dims(const Type *a, const Type *b, Type *out);
/* The same over the axes before the last `keep`, which are left out of the result. */
bool broadcast_leading(const Type *a, const Type *b, int keep, Type *out);

extern const Type type_error;

#endif
