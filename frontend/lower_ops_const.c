/* lower_ops_const.c - functions of constants, and the first values of parameters. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

enum { MAX_RANGE = 100000 };

static Value op_len(Lower *l, Call *c)
{
    const Value *v = &c->b.v[0];
    if (v->kind == VAL_TUPLE)
        return value_int(v->tuple->n);
    if (v->kind == VAL_STACK)
        return value_int(v->stack->n);
    diag_error(l->d, c->b.at[0], "len takes a tuple or a stack, got %s", value_what(v));
    if (v->kind == VAL_TENSOR)
        diag_help(l->d, "a size has a name in the input's shape: forward(x: [T, width])");
    return value_error();
}

static Value op_range(Lower *l, Call *c)
{
    int64_t first, end, step = 1;
    if (!arg_int(l, c, 0, &first) || (arg_given(c, 1) && !arg_int(l, c, 1, &end)) ||
        (arg_given(c, 2) && !arg_int(l, c, 2, &step)))
        return value_error();
    if (!arg_given(c, 1)) {
        end = first;
        first = 0;
    }
    if (step == 0) {
        diag_error(l->d, c->b.at[2], "range with step 0");
        return value_error();
    }
    double size = ((double)end - (double)first) / (double)step;
    if (size > MAX_RANGE) {
        diag_error(l->d, c->at, "range of more than %d elements", MAX_RANGE);
        return value_error();
    }
    int n = 0;
    Value *v = arena_array(l->a, Value, size > 0 ? (int)size + 2 : 1);
    for (int64_t i = first; step > 0 ? i < end : i > end; i += step)
        v[n++] = value_int(i);
    l->work += n;
    return value_tuple(l->a, v, n);
}

/* has(name) takes a name, not a value: lower_expr.c handles the calls. */
static Value op_has(Lower *l, Call *c)
{
    diag_error(l->d, c->at, "has(name) takes the name of one member or input");
    return value_error();
}

static Value init_value(Lower *l, InitKind kind, double a, double b, const char *file)
{
    Init *i = arena_make(l->a, Init);
    *i = (Init){kind, a, b, file};
    return (Value){.kind = VAL_INIT, .init = i};
}

static Value op_fill(Lower *l, Call *c)
{
    double x;
    return arg_number(l, c, 0, &x) ? init_value(l, INIT_FILL, x, 0, NULL) : value_error();
}

static Value op_normal(Lower *l, Call *c)
{
    double std;
    if (!arg_number(l, c, 0, &std))
        return value_error();
    if (std >= 0)
        return init_value(l, INIT_NORMAL, std, 0, NULL);
    diag_error(l->d, c->b.at[0], "`std` of normal is negative: %s", value_text(l->a, &c->b.v[0]));
    return value_error();
}

static Value op_uniform(Lower *l, Call *c)
{
    double a, b;
    if (!arg_number(l, c, 0, &a) || !arg_number(l, c, 1, &b))
        return value_error();
    if (a <= b)
        return init_value(l, INIT_UNIFORM, a, b, NULL);
    diag_error(l->d, c->at, "uniform(%s, %s): the bounds are the other way round",
               value_text(l->a, &c->b.v[0]), value_text(l->a, &c->b.v[1]));
    return value_error();
}

const Operator ops_const[] = {{"len", "x", op_len, 0, false},
                              {"range", "first, end = none, step = 1", op_range, 0, false},
                              {"has", "name", op_has, 0, false},
                              {"fill", "value", op_fill, 0, false},
                              {"normal", "std", op_normal, 0, false},
                              {"uniform", "low, high", op_uniform, 0, false},
                              {NULL, NULL, NULL, 0, false}};
