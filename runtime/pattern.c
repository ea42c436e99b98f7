/* pattern.c - patterns against paths, both as texts. */
#include "runtime/pattern.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789";

static size_t segment_length(const char *at)
{
    return strcspn(at, ".");
}

/* What follows the segment of `n` bytes at `at`; NULL: nothing. */
static const char *after(const char *at, size_t n)
{
    return at[n] ? at + n + 1 : NULL;
}

static bool is_any(const char *at, size_t n)
{
    return n == 2 && at[0] == '*' && at[1] == '*';
}

static bool is_number(const char *at, size_t n)
{
    return n > 0 && n < 18 && strspn(at, digits) >= n;
}

BmStatus bmrt_pattern_check(const char *pattern, const char *option, bmrt_error *e)
{
    for (const char *at = pattern; at;) {
        size_t n = segment_length(at), low = strspn(at, digits);
        bool word = n > 0 && n == strcspn(at, ".*:");
        bool stars = (n == 1 || n == 2) && strspn(at, "*") == n;
        bool range =
            low < n && at[low] == ':' && is_number(at, low) && is_number(at + low + 1, n - low - 1);
        if (!word && !stars && !range) {
            bmrt_fail(e, BMRT_USAGE, "--%s: '%s' is no pattern", option, pattern);
            bmrt_help(e, "names, *, **, numbers and 0:6, with points between them");
            return BMRT_USAGE;
        }
        at = after(at, n);
    }
    return BMRT_OK;
}

static bool segment_matches(const char *p, size_t np, const char *s, size_t ns)
{
    const char *colon = memchr(p, ':', np);
    if (np == 1 && *p == '*')
        return true;
    if (!colon)
        return np == ns && memcmp(p, s, np) == 0;
    if (!is_number(s, ns))
        return false;
    long long v = strtoll(s, NULL, 10);
    return v >= strtoll(p, NULL, 10) && v < strtoll(colon + 1, NULL, 10);
}

/* NULL: nothing is left of it. */
static bool matches(const char *p, const char *path)
{
    if (!p)
        return true;
    size_t np = segment_length(p);
    const char *rest = after(p, np);
    bool any = is_any(p, np);
    while (any && rest && is_any(rest, segment_length(rest)))
        rest = after(rest, 2); /* twice says nothing new, and would take time beyond bound */
    if (any && matches(rest, path))
        return true;
    if (!path)
        return false;
    size_t n = segment_length(path);
    if (any)
        return matches(p, after(path, n));
    return segment_matches(p, np, path, n) && matches(rest, after(path, n));
}

bool bmrt_pattern_matches(const char *pattern, const char *path)
{
    return matches(pattern, path);
}
