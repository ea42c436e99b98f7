/* plan_fields.h - which keys the objects of plan.json have, and what they hold. Private to
 * plan_read.c. */
#ifndef BM_PLAN_FIELDS_H
#define BM_PLAN_FIELDS_H

#include "planner/plan_read.h"

typedef enum FieldKind {
    F_INT,        /* int: 0..INT32_MAX */
    F_COUNT,      /* int64_t: 0..2^62 */
    F_BYTES,      /* int64_t: 0..PLAN_MAX_BYTES */
    F_COUNT_NULL, /* F_COUNT, or null: -1 */
    F_BOOL,
    F_TEXT,      /* const char *, without control characters */
    F_TEXT_NULL, /* or null: NULL */
    F_HASH,      /* 16 hexadecimal digits */
    F_WORD,      /* int: index into `words` */
    F_WORD_NULL, /* or null: -1 */
    F_DOUBLE,    /* a number, "inf", "-inf" or "nan" */
    F_REF,       /* int: an id of the list `ref` */
    F_REF_NONE,  /* or -1 */
    F_REFS,      /* Ints: of the list `ref` */
    F_SIZES,     /* Sizes: of F_BYTES */
    F_TEXTS,     /* Texts: of F_TEXT */
    F_WORD_LIST, /* Ints: indices into `words` */
    F_PAIRS,     /* Rows of 2: of F_COUNT */
    F_QUADS,     /* Rows of 4: likewise */
    F_INT_NONE,  /* F_INT or -1 */
    F_MACHINE,   /* a profile, or null */
    F_OPERAND,   /* FileOperand: [buffer, offset] or null */
    F_KERNEL,    /* int: a kernel's name */
    F_PHASES,    /* six pairs [first, count], into FileProgram */
    F_OBJECT,    /* a struct of its own, by `fields` */
} FieldKind;

typedef enum Ref { REF_NOTHING, REF_BUFFERS, REF_STEPS, REF_INSTANCES, REF_PARAMS, REF_GROUPS } Ref;

typedef struct Fields Fields;
typedef struct Field {
    const char *key;
    FieldKind kind;
    size_t at; /* in the struct */
    const Words *words;
    Ref ref;
    const Fields *fields;
} Field;
struct Fields {
    const Field *field;
    int n;
};

typedef struct List {
    const char *key;
    Fields of;
    size_t size;     /* of an entry */
    size_t at, at_n; /* in PlanFile */
} List;

enum { N_PLAN_LISTS = 12 };
extern const Fields plan_top_fields;        /* the scalars and objects of the whole file */
extern const List plan_lists[N_PLAN_LISTS]; /* its lists; kernels before the steps that name them */

/* plan_links.c: what no single field can tell. `where` and `index` are the entry that is wrong,
 * `key` what is wrong in it; the result is what to say, or NULL. */
typedef struct Wrong {
    const char *list, *key;
    int index;
} Wrong;
const char *plan_links(PlanFile *f, Wrong *at);

#endif
