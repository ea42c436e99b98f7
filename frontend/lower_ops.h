/* lower_ops.h - the operators of the language: one row per name, in lower_ops_*.c. */
#ifndef BM_LOWER_OPS_H
#define BM_LOWER_OPS_H

#include "frontend/lower_ctx.h"

typedef struct Call { /* one call with its arguments bound to the row's names */
    const Operator *op;
    const Env *env;
    Span at;
    Binding b;
    const ArgVal *rest; /* all arguments, where the row takes any number */
    int n_rest;
} Call;

typedef Value OpFn(Lower *l, Call *c);

struct Operator {
    const char *name;
    const char *args; /* "x, axis = none, keep = false"; "..." at the end: any number */
    OpFn *fn;         /* NULL: not built yet */
    int aux;          /* for fn */
    bool tensors;     /* works in `forward` only */
};

extern const Operator ops_const[], ops_elementwise[], ops_axis[], ops_shape[], ops_heavy[],
    ops_loss[], ops_settings[]; /* each ends with a row without a name */

/* Arguments, checked; what is missing or wrong was reported when they say false or NULL. */
Node *arg_node(Lower *l, Call *c, int i); /* numbers become constants */
/* Where the tensors of arguments first, first + 1, .. came from. */
void arg_notes(Lower *l, Call *c, int first, Node *const n[], int count);
Node *arg_float(Lower *l, Call *c, int i);
bool arg_int(Lower *l, Call *c, int i, int64_t *out);
bool arg_number(Lower *l, Call *c, int i, double *out);
bool arg_bool(Lower *l, Call *c, int i, bool *out);
bool arg_text(Lower *l, Call *c, int i, const char **out);
bool arg_axis(Lower *l, Call *c, int i, const Node *x, int *out);
bool arg_axes(Lower *l, Call *c, int i, const Node *x, uint32_t *out); /* none: all of them */
bool arg_dims(Lower *l, Call *c, int i, int64_t dim[BM_DIMS], int *n); /* an int or a tuple */
static inline bool arg_given(const Call *c, int i)
{
    return c->b.given[i] && c->b.v[i].kind != VAL_NONE;
}
static inline bool arg_is_node(const Call *c, int i)
{
    return c->b.v[i].kind == VAL_TENSOR;
}

#endif
