/* value.c - values for people, and their equality. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

static Value room_for(Arena *a, const Value *v, int n, int cap)
{
    Tuple *t = arena_make(a, Tuple);
    *t = (Tuple){arena_array(a, Value, cap), n, cap, arena_make(a, int)};
    memcpy(t->v, v, (size_t)n * sizeof *v);
    *t->used = n;
    return (Value){.kind = VAL_TUPLE, .tuple = t};
}

Value value_tuple(Arena *a, const Value *v, int n)
{
    return room_for(a, v, n, n ? n : 1);
}

Value value_append(Arena *a, const Tuple *t, Value v)
{
    if (*t->used > t->n || t->n == t->cap) {
        Value bigger = room_for(a, t->v, t->n, 2 * t->n + 4);
        t = bigger.tuple;
    }
    Tuple *longer = arena_make(a, Tuple);
    *longer = *t;
    longer->v[longer->n++] = v;
    *longer->used = longer->n;
    return (Value){.kind = VAL_TUPLE, .tuple = longer};
}

/* Cut where it gets long: tuples of tuples may have more elements than anybody reads. */
static void print_tuple(StrBuf *s, const Tuple *t)
{
    enum { SHOWN = 120 };
    strbuf_char(s, '(');
    for (int i = 0; i < t->n && s->n < SHOWN; i++) {
        if (i)
            strbuf_add(s, ", ");
        if (t->v[i].kind == VAL_TUPLE)
            print_tuple(s, t->v[i].tuple);
        else
            strbuf_add(s, value_text(s->arena, &t->v[i]));
    }
    strbuf_add(s, s->n >= SHOWN ? " ..)" : t->n == 1 ? ",)" : ")");
}

const char *value_text(Arena *a, const Value *v)
{
    StrBuf s = strbuf_new(a);
    switch (v->kind) {
    case VAL_ERROR:
        return "?";
    case VAL_NONE:
        return "none";
    case VAL_INT:
        return arena_printf(a, "%" PRId64, v->i);
    case VAL_FLOAT:
        strbuf_double(&s, v->f);
        if (strspn(s.text, "-0123456789") == s.n)
            strbuf_add(&s, ".0");
        return s.text;
    case VAL_BOOL:
        return v->b ? "true" : "false";
    case VAL_STRING:
        strbuf_json(&s, v->text);
        return s.text;
    case VAL_TUPLE:
        print_tuple(&s, v->tuple);
        return s.text;
    case VAL_BLOCK:
        return v->block->name;
    case VAL_OPERATOR:
        return v->op->name;
    case VAL_INIT:
        return "an initial value";
    case VAL_MADE:
        return arena_printf(a, "%s(..)", v->made->block->name);
    case VAL_DATA:
        return "a data source";
    case VAL_OPTIMIZER:
        return "an optimizer";
    case VAL_SCHEDULE:
        return "a schedule";
    case VAL_TENSOR:
        return type_text(a, &v->node->type);
    case VAL_INSTANCE:
        return v->inst->path;
    case VAL_STACK:
        return v->stack->path;
    }
    BUG("value of kind %d", v->kind);
}

const char *value_what(const Value *v)
{
    switch (v->kind) {
    case VAL_ERROR:
        return "an error";
    case VAL_NONE:
        return "none";
    case VAL_INT:
        return "an int";
    case VAL_FLOAT:
        return "a float";
    case VAL_BOOL:
        return "a bool";
    case VAL_STRING:
        return "a string";
    case VAL_TUPLE:
        return "a tuple";
    case VAL_BLOCK:
        return "a block";
    case VAL_OPERATOR:
        return "an operator";
    case VAL_INIT:
        return "an initial value";
    case VAL_MADE:
        return "a block with its arguments";
    case VAL_DATA:
        return "a data source";
    case VAL_OPTIMIZER:
        return "an optimizer";
    case VAL_SCHEDULE:
        return "a schedule";
    case VAL_TENSOR:
        return "a tensor";
    case VAL_INSTANCE:
        return "a member";
    case VAL_STACK:
        return "a stack";
    }
    BUG("value of kind %d", v->kind);
}

const char *value_words(Arena *a, const Value *v)
{
    if (v->kind == VAL_NONE || v->kind == VAL_INIT || v->kind == VAL_DATA ||
        v->kind == VAL_OPTIMIZER || v->kind == VAL_SCHEDULE)
        return value_what(v);
    return arena_printf(a, "%s, %s", value_what(v), value_text(a, v));
}

static bool equal(const Value *a, const Value *b, int *budget);

static bool tuple_equal(const Tuple *a, const Tuple *b, int *budget)
{
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (!equal(&a->v[i], &b->v[i], budget))
            return false;
    return true;
}

/* The budget ends what tuples of the same tuples would make endless. */
static bool equal(const Value *a, const Value *b, int *budget)
{
    if (--*budget < 0)
        return false;
    if (a->kind == VAL_INT && b->kind == VAL_INT)
        return a->i == b->i;
    if (is_number(a) && is_number(b))
        return number_of(a) == number_of(b);
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VAL_NONE:
        return true;
    case VAL_BOOL:
        return a->b == b->b;
    case VAL_STRING:
        return strcmp(a->text, b->text) == 0;
    case VAL_TUPLE:
        return a->tuple == b->tuple || tuple_equal(a->tuple, b->tuple, budget);
    case VAL_BLOCK:
        return a->block == b->block;
    case VAL_OPERATOR:
        return a->op == b->op;
    case VAL_ERROR:
    case VAL_INT:
    case VAL_FLOAT:
    case VAL_INIT:
    case VAL_MADE:
    case VAL_DATA:
    case VAL_OPTIMIZER:
    case VAL_SCHEDULE:
    case VAL_TENSOR:
    case VAL_INSTANCE:
    case VAL_STACK:
        return false;
    }
    BUG("value of kind %d", a->kind);
}

bool value_equal(const Value *a, const Value *b)
{
    int budget = 10000000;
    return equal(a, b, &budget);
}
