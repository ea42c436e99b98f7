/* lower_settings.h - shared by the files that read the sections `train` and `plan`. Private to
 * lower*.c.
 *
 * A section is a table of keys. Lines without a pattern are read before those with one: they say
 * what holds where no pattern does. Among lines with patterns the last that matches wins. */
#ifndef BM_LOWER_SETTINGS_H
#define BM_LOWER_SETTINGS_H

#include "frontend/lower_ctx.h"

enum { MOST_SAMPLES = 1 << 30 }; /* so that walking the divisors of a batch takes no time */

typedef enum KeyPattern {
    PATTERN_NO,
    PATTERN_MAY,  /* over parameters */
    PATTERN_MUST, /* the same, and there is no line without one */
    PATTERN_UNIT, /* may; over elements of stacks */
} KeyPattern;

typedef struct Key {
    const char *name;
    KeyPattern pattern;
    bool (*set)(Lower *l, const Env *env, const Setting *s);
} Key;

extern const Key plan_key[]; /* lower_plan.c; ends with a row without a name */

/* What is wrong is reported at the value, with what may stand there; then they say false. */
bool setting_between(Lower *l, const Env *env, const Setting *s, int64_t least, int64_t most,
                     int64_t *out);
bool setting_at_least(Lower *l, const Env *env, const Setting *s, int64_t least, int64_t *out);
/* One of the words; numbers are words too, and so is what a `let` holds: "auto" or 3. */
bool setting_word(Lower *l, const Env *env, const Setting *s, const char *const *words, int n,
                  int *out);
/* An int of the range, in words `what`; `auto` leaves *out as it is. */
bool setting_auto_or(Lower *l, const Env *env, const Setting *s, const char *what, int64_t least,
                     int64_t most, int64_t *out);
bool setting_not_built(Lower *l, const Setting *s);

#endif
