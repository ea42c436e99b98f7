/* value.c - values for people, and their equality. */
#include "frontend/lower_ops.h"

#include <inttypes.h>

Value value_tuple(Arena *a, const Value *v, int n)
{
    Tuple *t = arena_make(a, Tuple);
    t->n = n;
    t->v = arena_array(a, Value, n ? n : 1);
    for (int i = 0; i < n; i++)
        t->v[i] = v[i];
    return (Value){.kind = VAL_TUPLE, .tuple = t};
}

static void print_tuple(StrBuf *s, const Tuple *t)
{
    enum { SHOWN = 8 };
    strbuf_char(s, '(');
    for (int i = 0; i < t->n && i < SHOWN; i++) {
        if (i)
            strbuf_add(s, ", ");
        strbuf_add(s, value_text(s->arena, &t->v[i]));
    }
    strbuf_add(s, t->n > SHOWN ? ", ...)" : t->n == 1 ? ",)" : ")");
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

static bool tuple_equal(const Tuple *a, const Tuple *b)
{
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (!value_equal(&a->v[i], &b->v[i]))
            return false;
    return true;
}

bool value_equal(const Value *a, const Value *b)
{
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
        return tuple_equal(a->tuple, b->tuple);
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
