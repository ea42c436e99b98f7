/* plan_put.h - the values of plan.json, appended to text. Private to plan_json*.c.
 *
 * A key knows by the last character whether a comma is due: after '{' and '[' there is none. */
#ifndef BM_PLAN_PUT_H
#define BM_PLAN_PUT_H

#include "planner/plan.h"

typedef VEC(int) Starts;

typedef struct Writer {
    StrBuf *s;
    const Plan *p;
    const Sources *sources; /* of the model's spans; NULL: places are not written */
    Starts *line;           /* by source: where its lines start */
} Writer;

void put_int(StrBuf *s, int64_t x);
/* A file's name may hold any bytes; what is no UTF-8 becomes U+FFFD. */
void put_text(StrBuf *s, const char *text);
const char *base_name(const char *path);

void key(StrBuf *s, const char *name);
void key_int(StrBuf *s, const char *name, int64_t x);
void key_ints(StrBuf *s, const char *name, const int *x, int n);
void key_sizes(StrBuf *s, const char *name, const int64_t *x, int n);
void key_bool(StrBuf *s, const char *name, bool x);
void key_text(StrBuf *s, const char *name, const char *x);
void key_text_null(StrBuf *s, const char *name, const char *x); /* NULL: null */
void key_null(StrBuf *s, const char *name);
void key_double(StrBuf *s, const char *name, double x);   /* JSON has no infinities: words */
void key_operand(StrBuf *s, const char *name, Operand o); /* [buffer, offset], or null */

/* A list with one entry a line: open, then item() before each, then close. */
void list_open(StrBuf *s, const char *name);
void list_item(StrBuf *s, int i);
void list_close(StrBuf *s, int n);
void row_open(StrBuf *s); /* a list within a list: '[', after a comma unless it is the first */

void put_groups(Writer *w); /* plan_json_ranks.c: what is there because of many ranks */
void put_comm(Writer *w);
void put_collective(StrBuf *s, const Kernel *k);
void put_steps(Writer *w); /* plan_json_steps.c */
void put_made(Writer *w);  /* plan_json_choices.c: what was chosen */
void put_recompute(Writer *w);

#endif
