/* base.h - what every file of the compiler may assume: fixed-width integers, two ways to die,
 * checked sizes.
 *
 * Three kinds of failure, three functions: a user's mistake is diag_error() (diag.h), the machine's
 * is die(), ours is BUG(). */
#ifndef BM_BASE_H
#define BM_BASE_H

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define countof(a) ((int)(sizeof(a) / sizeof((a)[0])))

#if defined(__GNUC__)
#define BM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define BM_NORETURN           __attribute__((noreturn))
#else
#define BM_PRINTF(fmt, first)
#define BM_NORETURN
#endif

/* Exit codes of `bmc` (DESIGN: Commands). */
enum {
    EXIT_OK = 0,
    EXIT_MODEL = 1,
    EXIT_USAGE = 2,
    EXIT_NO_PLAN = 3,
    EXIT_MACHINE = 4,
    EXIT_BUG = 70
};

/* The machine failed us (out of memory, a full disk): one line on stderr, exit 4. */
BM_NORETURN BM_PRINTF(1, 2) void die(const char *fmt, ...);

/* Our own mistake: file, line and facts on stderr, then abort (exit 70 when not under a debugger).
 */
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
BM_NORETURN BM_PRINTF(3, 4) void bug_at(const char *file, int line, const char *fmt, ...);

/* a * b and a + b into *out; false on overflow (the caller has the span, so the caller reports). */
static inline bool mul_ok(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool add_ok(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
