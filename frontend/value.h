/* value.h - what an expression is worth while a model is lowered: a constant, a tensor, a member,
 * or a tuple of these. Private to lower*.c. */
#ifndef BM_VALUE_H
#define BM_VALUE_H

#include "frontend/ast.h"
#include "frontend/lower.h"
#include "frontend/parse.h"

typedef struct Value Value;
typedef struct Block Block;       /* lower_ctx.h */
typedef struct Made Made;         /* a block with its arguments, not yet a member */
typedef struct Inst Inst;         /* a member */
typedef struct Stack Stack;       /* members name.0, name.1, ... */
typedef struct Operator Operator; /* lower_ops.h */

/* Never changed, so tuples may share their elements: a longer one that began as this one appends in
 * the same room. */
typedef struct Tuple {
    Value *v;
    int n, cap;
    int *used; /* elements of `v` that some tuple has */
} Tuple;

typedef enum ValueKind {
    VAL_ERROR, /* already reported: whatever touches it stays silent */
    VAL_NONE,
    VAL_INT,       /* i */
    VAL_FLOAT,     /* f */
    VAL_BOOL,      /* b */
    VAL_STRING,    /* text */
    VAL_TUPLE,     /* tuple */
    VAL_BLOCK,     /* block */
    VAL_OPERATOR,  /* op */
    VAL_INIT,      /* init: zeros, normal(0.02), ... */
    VAL_MADE,      /* made */
    VAL_DATA,      /* data: text("f"), ... */
    VAL_OPTIMIZER, /* optimizer */
    VAL_SCHEDULE,  /* schedule */
    VAL_TENSOR,    /* node */
    VAL_INSTANCE,  /* inst */
    VAL_STACK,     /* stack */
} ValueKind;

struct Value {
    ValueKind kind;
    union {
        int64_t i;
        double f;
        bool b;
        const char *text;
        const Tuple *tuple;
        Block *block;
        const Operator *op;
        const Init *init;
        Made *made;
        const Data *data;
        const Optimizer *optimizer;
        const Schedule *schedule;
        Node *node;
        Inst *inst;
        Stack *stack;
    };
};

static inline Value value_error(void)
{
    return (Value){.kind = VAL_ERROR};
}
static inline Value value_none(void)
{
    return (Value){.kind = VAL_NONE};
}
static inline Value value_int(int64_t i)
{
    return (Value){.kind = VAL_INT, .i = i};
}
static inline Value value_float(double f)
{
    return (Value){.kind = VAL_FLOAT, .f = f};
}
static inline Value value_bool(bool b)
{
    return (Value){.kind = VAL_BOOL, .b = b};
}
static inline Value value_string(const char *text)
{
    return (Value){.kind = VAL_STRING, .text = text};
}

static inline bool is_number(const Value *v)
{
    return v->kind == VAL_INT || v->kind == VAL_FLOAT;
}
static inline double number_of(const Value *v)
{
    return v->kind == VAL_INT ? (double)v->i : v->f;
}

Value value_tuple(Arena *a, const Value *v, int n); /* copies */
Value value_append(Arena *a, const Tuple *t, Value v);
const char *value_text(Arena *a, const Value *v);  /* 192, "abc", (1, 2), [4, 3], block Linear */
const char *value_what(const Value *v);            /* "an int", "a tensor", ... */
const char *value_words(Arena *a, const Value *v); /* "an int, 192" */
bool value_equal(const Value *a, const Value *b);  /* constants; an int equals the same float */

#endif
