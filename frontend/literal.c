/* Values of literals: numbers with `_` and units, checked for size; names. */
#include "frontend/lex.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static const struct {
    const char *name;
    int64_t factor;
} units[] = {
    {"k", 1000},
    {"M", 1000000},
    {"G", 1000000000},
    {"T", 1000000000000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
};

static int64_t unit_factor(const char *unit)
{
    for (int i = 0; i < countof(units); i++)
        if (!strcmp(unit, units[i].name))
            return units[i].factor;
    return 1;
}

static int integer(Parser *p, Span at, const char *digits, int64_t factor, YYSTYPE *value)
{
    errno = 0;
    int64_t i = strtoll(digits, NULL, 10);
    if (errno == ERANGE || !mul_ok(i, factor, &i)) {
        diag_error(p->diag, at, "this integer is too large: the largest is %lld",
                   (long long)INT64_MAX);
        i = 0;
    }
    value->T_INT = i;
    return T_INT;
}

/* A whole number with a unit is an integer: 1.5k is 1500, 0.5GiB a number of bytes. */
static int real(Parser *p, Span at, const char *digits, int64_t factor, YYSTYPE *value)
{
    errno = 0;
    double f = strtod(digits, NULL);
    bool lost = errno == ERANGE && f == 0;
    f *= (double)factor;
    if (isinf(f) || lost) {
        diag_error(p->diag, at, "this number is too %s for a 64-bit float",
                   lost ? "small" : "large");
        f = 0;
    }
    if (factor > 1 && f == floor(f) && f < 9007199254740992.0) {
        value->T_INT = (int64_t)f;
        return T_INT;
    }
    value->T_FLOAT = f;
    return T_FLOAT;
}

int lex_number(Parser *p, Span at, const char *text, int n, bool is_float, YYSTYPE *value)
{
    char *digits = arena_alloc(p->arena, (size_t)n + 1);
    int k = 0, i = 0;
    for (; i < n && (strchr("0123456789_.eE", text[i]) || (strchr("+-", text[i]))); i++)
        if (text[i] != '_')
            digits[k++] = text[i];
    int64_t factor = unit_factor(arena_strndup(p->arena, text + i, (size_t)(n - i)));
    return is_float ? real(p, at, digits, factor, value) : integer(p, at, digits, factor, value);
}

Name lex_name(Parser *p, Span at, const char *text, int n)
{
    return (Name){arena_strndup(p->arena, text, (size_t)n), at};
}
