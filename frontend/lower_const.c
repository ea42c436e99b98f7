/* lower_const.c - what the compiler computes: exact 64-bit ints, doubles, bools. */
#include "frontend/lower_ctx.h"

#include <inttypes.h>
#include <math.h>

bool is_constant(const Value *v)
{
    return v->kind != VAL_TENSOR && v->kind != VAL_INSTANCE && v->kind != VAL_STACK;
}

static Value overflow(Lower *l, BinaryOp op, int64_t a, int64_t b, Span at)
{
    diag_error(l->d, at, "%" PRId64 " %s %" PRId64 " does not fit 64 bits", a, binary_text(op), b);
    return value_error();
}

static Value zero_division(Lower *l, BinaryOp op, Span at)
{
    diag_error(l->d, at, "`%s` by zero", binary_text(op));
    return value_error();
}

/* Python's `//`: towards minus infinity. */
static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static bool int_power(int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    if (base == 0 || base == 1)
        *out = exponent == 0 ? 1 : base;
    else if (base == -1)
        *out = exponent % 2 ? -1 : 1;
    else
        for (int64_t i = 0; i < exponent; i++)
            if (!mul_ok(*out, base, out))
                return false;
    return true;
}

static Value float_result(Lower *l, BinaryOp op, double a, double b, double r, Span at)
{
    if (isfinite(r) || !isfinite(a) || !isfinite(b))
        return value_float(r);
    StrBuf s = strbuf_new(l->a);
    strbuf_double(&s, a);
    strbuf_printf(&s, " %s ", binary_text(op));
    strbuf_double(&s, b);
    diag_error(l->d, at, "%s is no finite number", s.text);
    return value_error();
}

static Value float_binary(Lower *l, BinaryOp op, double a, double b, Span at)
{
    double r = 0;
    if ((op == BIN_DIV || op == BIN_IDIV || op == BIN_MOD) && b == 0)
        return zero_division(l, op, at);
    switch (op) {
    case BIN_ADD:
        r = a + b;
        break;
    case BIN_SUB:
        r = a - b;
        break;
    case BIN_MUL:
        r = a * b;
        break;
    case BIN_DIV:
        r = a / b;
        break;
    case BIN_IDIV:
        r = floor(a / b);
        break;
    case BIN_MOD:
        r = a - b * floor(a / b);
        break;
    case BIN_POW:
        r = pow(a, b);
        break;
    case BIN_LT:
        return value_bool(a < b);
    case BIN_LE:
        return value_bool(a <= b);
    case BIN_GT:
        return value_bool(a > b);
    case BIN_GE:
        return value_bool(a >= b);
    case BIN_OR:
    case BIN_AND:
    case BIN_EQ:
    case BIN_NE:
    case BIN_MATMUL:
        BUG("`%s` of two floats", binary_text(op));
    }
    return float_result(l, op, a, b, r, at);
}

static Value int_binary(Lower *l, BinaryOp op, int64_t a, int64_t b, Span at)
{
    int64_t r = 0;
    bool ok = true;
    if ((op == BIN_IDIV || op == BIN_MOD || op == BIN_DIV) && b == 0)
        return zero_division(l, op, at);
    switch (op) {
    case BIN_ADD:
        ok = add_ok(a, b, &r);
        break;
    case BIN_SUB:
        ok = !__builtin_sub_overflow(a, b, &r);
        break;
    case BIN_MUL:
        ok = mul_ok(a, b, &r);
        break;
    case BIN_IDIV:
        ok = !(a == INT64_MIN && b == -1);
        r = ok ? floor_div(a, b) : 0;
        break;
    case BIN_MOD:
        r = b == -1 ? 0 : a - b * floor_div(a, b);
        break;
    case BIN_POW:
        if (b < 0)
            return a == 0 ? zero_division(l, op, at)
                          : float_binary(l, op, (double)a, (double)b, at);
        ok = int_power(a, b, &r);
        break;
    case BIN_LT:
        return value_bool(a < b);
    case BIN_LE:
        return value_bool(a <= b);
    case BIN_GT:
        return value_bool(a > b);
    case BIN_GE:
        return value_bool(a >= b);
    case BIN_DIV:
        return float_binary(l, op, (double)a, (double)b, at);
    case BIN_OR:
    case BIN_AND:
    case BIN_EQ:
    case BIN_NE:
    case BIN_MATMUL:
        BUG("`%s` of two ints", binary_text(op));
    }
    return ok ? value_int(r) : overflow(l, op, a, b, at);
}

Value const_binary(Lower *l, BinaryOp op, const Value *a, const Value *b, Span at)
{
    const char *sign = binary_text(op);
    if (op == BIN_EQ || op == BIN_NE)
        return value_bool(value_equal(a, b) == (op == BIN_EQ));
    if (op == BIN_AND || op == BIN_OR) {
        const Value *bad = a->kind != VAL_BOOL ? a : b;
        if (bad->kind == VAL_BOOL)
            return value_bool(op == BIN_AND ? a->b && b->b : a->b || b->b);
        diag_error(l->d, at, "`%s` needs bools, got %s", sign, value_words(l->a, bad));
        return value_error();
    }
    if (op == BIN_MATMUL) {
        diag_error(l->d, at, "`@` needs tensors, got %s", value_what(a));
        return value_error();
    }
    const Value *bad = is_number(a) ? b : a;
    if (!is_number(bad)) {
        diag_error(l->d, at, "`%s` needs numbers, got %s", sign, value_words(l->a, bad));
        return value_error();
    }
    if (a->kind == VAL_INT && b->kind == VAL_INT)
        return int_binary(l, op, a->i, b->i, at);
    return float_binary(l, op, number_of(a), number_of(b), at);
}

Value const_unary(Lower *l, UnaryOp op, const Value *v, Span at)
{
    if (op == UN_NOT && v->kind == VAL_BOOL)
        return value_bool(!v->b);
    if (op == UN_NEG && v->kind == VAL_FLOAT)
        return value_float(-v->f);
    if (op == UN_NEG && v->kind == VAL_INT) {
        if (v->i == INT64_MIN)
            return overflow(l, BIN_SUB, 0, v->i, at);
        return value_int(-v->i);
    }
    diag_error(l->d, at, "`%s` needs %s, got %s", op == UN_NOT ? "not" : "-",
               op == UN_NOT ? "a bool" : "a number", value_words(l->a, v));
    return value_error();
}

/* ---- one kind asked for ---- */

static bool wrong(Lower *l, const Value *v, Span at, const char *what, const char *kind)
{
    if (v->kind == VAL_ERROR)
        return false;
    if (v->kind == VAL_TENSOR)
        diag_error(l->d, at, "%s must be %s the compiler knows, got a tensor, %s", what, kind,
                   value_text(l->a, v));
    else
        diag_error(l->d, at, "%s must be %s, got %s", what, kind, value_words(l->a, v));
    return false;
}

bool want_bool(Lower *l, const Value *v, Span at, const char *what, bool *out)
{
    if (v->kind != VAL_BOOL)
        return wrong(l, v, at, what, "a bool");
    *out = v->b;
    return true;
}

bool want_int(Lower *l, const Value *v, Span at, const char *what, int64_t *out)
{
    if (v->kind != VAL_INT) {
        wrong(l, v, at, what, "an int");
        if (v->kind == VAL_FLOAT)
            diag_help(l->d, "`/` gives a float; `//` divides ints");
        return false;
    }
    *out = v->i;
    return true;
}

bool want_number(Lower *l, const Value *v, Span at, const char *what, double *out)
{
    if (!is_number(v))
        return wrong(l, v, at, what, "a number");
    *out = number_of(v);
    return true;
}

bool eval_int(Lower *l, const Env *env, const Expr *e, const char *what, int64_t *out)
{
    Value v = eval(l, env, e);
    return want_int(l, &v, e->at, what, out);
}

bool eval_bool(Lower *l, const Env *env, const Expr *e, const char *what, bool *out)
{
    Value v = eval(l, env, e);
    if (v.kind == VAL_TENSOR) {
        diag_error(l->d, e->at, "%s is decided by the compiler, but this is a tensor, %s", what,
                   value_text(l->a, &v));
        diag_help(l->d, "`where(condition, a, b)` chooses element by element");
        return false;
    }
    return want_bool(l, &v, e->at, what, out);
}

/* ---- assert ---- */

static bool is_compare(const Expr *e)
{
    return e->kind == EXPR_BINARY && e->binary.op >= BIN_EQ && e->binary.op <= BIN_GE;
}

bool check_assert(Lower *l, const Env *env, const Assert *a)
{
    const Expr *e = a->test;
    Value left = value_none(), right = value_none(), v;
    if (is_compare(e)) { /* by hand, to show both sides */
        left = eval(l, env, e->binary.left);
        right = eval(l, env, e->binary.right);
        if (left.kind == VAL_ERROR || right.kind == VAL_ERROR)
            return false;
        if (!is_constant(&left) || !is_constant(&right)) {
            diag_error(l->d, e->at, "assert is decided by the compiler, but this is a tensor");
            return false;
        }
        v = const_binary(l, e->binary.op, &left, &right, e->at);
    } else {
        v = eval(l, env, e);
    }
    bool ok;
    if (!want_bool(l, &v, e->at, "assert", &ok))
        return false;
    if (ok)
        return true;
    if (a->message)
        diag_error(l->d, e->at, "assert failed: %s", a->message);
    else
        diag_error(l->d, e->at, "assert failed");
    if (is_compare(e))
        diag_note(l->d, e->at, "`%s` is %s, `%s` is %s", source_text(l, e->binary.left->at),
                  value_text(l->a, &left), source_text(l, e->binary.right->at),
                  value_text(l->a, &right));
    return false;
}
