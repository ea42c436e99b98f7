#include "frontend/parse.h"
#include "frontend/lex.h"

/* ---- syntax errors: what was expected, in few words ---- */

static const int soft_words[] = {T_MODEL, T_TRAIN, T_PLAN, T_NAMES, T_USE, T_IN};
static const int operand_starts[] = {T_NAME,  T_INT,  T_FLOAT, T_STRING, T_TRUE,
                                     T_FALSE, T_NONE, T_NOT,   '(',      '-'};
static const int pattern_starts[] = {T_NAME, T_INT, '*', T_POW};
static const int operators[] = {T_OR, T_AND,  T_EQ, T_NE, '<',   T_LE, '>', T_GE, '+', '-', '*',
                                '/',  T_IDIV, '%',  '@',  T_POW, T_IF, '.', '(',  '[', '\''};
static const int reserved_words[] = {T_LET,    T_BLOCK,  T_FORWARD, T_PARAM, T_BUFFER, T_RETURN,
                                     T_REPORT, T_ASSERT, T_IF,      T_ELSE,  T_FOR,    T_AND,
                                     T_OR,     T_NOT,    T_TRUE,    T_FALSE, T_NONE};

static bool is_one_of(int type, const int *list, int n)
{
    for (int i = 0; i < n; i++)
        if (list[i] == type)
            return true;
    return false;
}

static void drop(Expected *e, const int *list, int n)
{
    for (int i = 0; i < n; i++)
        e->token[list[i]] = false;
}

static bool wants_expr(const Expected *e)
{
    return e->token[T_NAME] && e->token[T_INT] && e->token[T_NOT] && e->token['('];
}

static bool wants_operator(const Expected *e)
{
    return e->token['+'] && e->token[T_AND];
}

static const char *token_name(Parser *p, int type)
{
    const char *text = parse_token_text(type);
    switch (type) {
    case 0:
        return "the end of the file";
    case T_NL:
        return "the end of the line";
    case T_NAME:
        return "a name";
    case T_STRING:
        return "a string";
    case T_INT:
        return "an integer";
    case T_FLOAT:
        return "a number";
    }
    int n = (int)strlen(text);
    if (text[0] == '\'') /* a character: '{' */
        return arena_printf(p->arena, "`%.*s`", n - 2, text + 1);
    return arena_printf(p->arena, "`%s`", text);
}

/* At most two things that could stand here, as text; NULL when there are more: a longer list is no
 * help. Words that may be names, and everything an expression can start or go on with, are one. */
static const char *expectation(Parser *p, const Expected *full)
{
    Expected e = *full;
    const char *one = NULL, *two = NULL;
    int n = 0;
    if (e.token[T_NAME])
        drop(&e, soft_words, countof(soft_words));
    if (wants_operator(full))
        drop(&e, operators, countof(operators));
    if (wants_expr(full)) {
        drop(&e, operand_starts, countof(operand_starts));
        one = "an expression";
        n = 1;
    }
    if (full->token['*'] && full->token[T_POW] && !wants_operator(full)) {
        drop(&e, pattern_starts, countof(pattern_starts));
        one = "a pattern";
        n = 1;
    }
    if (e.token[T_NL])
        e.token[T_ELSE] = false;
    if (one && e.token[T_DOTS])
        e.token[':'] = false; /* t[..., a, :] */
    if (e.token[')'])
        e.token['='] = false; /* f(x = ..) */
    if (e.token[']'])
        e.token[':'] = false; /* t[a:b] */
    for (int type = 0; type <= MAX_TOKEN_TYPE; type++)
        if (e.token[type] && ++n <= 2)
            *(one ? &two : &one) = token_name(p, type);
    if (n == 0 || n > 2)
        return NULL;
    return two ? arena_printf(p->arena, "%s or %s", one, two) : one;
}

/* ---- syntax errors: mistakes with a better explanation ---- */

static char char_at(const Parser *p, int offset)
{
    return offset < p->text->n ? p->text->text[offset] : '\0';
}

/* A statement that is only an expression: `f(x)`, `x`, `x += 1`. */
static bool report_unused_value(Parser *p, const Expected *e)
{
    const Token *t = &p->lex->last;
    if (!e->token[T_SET] || (t->type != T_NL && t->type != 0 && t->type != '}' &&
                             !is_one_of(t->type, operators, countof(operators))))
        return false;
    if (char_at(p, t->at.hi) == '=' && is_one_of(t->type, operators, countof(operators))) {
        const char *op = lex_text(p->lex, t);
        diag_error(p->diag, t->at, "there is no `%s=`", op);
        diag_help(p->diag, "write `x = x %s ...`", op);
        return true;
    }
    diag_error(p->diag, p->lex->prev.at, "a value that nobody uses");
    diag_help(p->diag, "assign it, return it, or take the line out");
    return true;
}

static bool report_special(Parser *p, const Expected *e)
{
    const Token *t = &p->lex->last;
    if (report_unused_value(p, e))
        return true;
    if (t->type == '[' && wants_expr(e)) {
        diag_error(p->diag, t->at, "there are no lists: a tuple is written `(a, b)`");
        return true;
    }
    char next = char_at(p, t->at.hi);
    if (t->type == '.' && wants_expr(e) && next >= '0' && next <= '9') {
        diag_error(p->diag, t->at, "a number needs a digit on both sides of the point");
        return true;
    }
    bool reserved = is_one_of(t->type, reserved_words, countof(reserved_words)) ||
                    (is_one_of(t->type, soft_words, countof(soft_words)) && !e->token[T_MODEL]);
    if (reserved && e->token[T_NAME] && !wants_expr(e) && !t->first) {
        diag_error(p->diag, t->at, "%s is a reserved word and cannot be a name",
                   lex_describe(p->lex, t));
        return true;
    }
    return false;
}

static void help(Parser *p, const Expected *e)
{
    const Token *t = &p->lex->last;
    if (t->first && p->lex->prev.type == T_NL && t->type != '(' && t->type != '[' &&
        t->type != T_IF && is_one_of(t->type, operators, countof(operators)))
        diag_help(p->diag, "to go on with a line, end it with `%s`", lex_text(p->lex, t));
    else if (e->token[T_BLOCK])
        diag_help(p->diag, "a file holds `use`, `let`, `block`, `model`, `train`, `plan`, `names`");
    if (e->token[T_FORWARD] && (t->type == T_RETURN || t->type == T_REPORT || t->type == T_FOR))
        diag_help(p->diag, "statements stand in `forward(...) { ... }`");
    if (t->type == '=' && e->token['{'] && wants_operator(e))
        diag_help(p->diag, "`==` compares");
    if (t->type == T_IF && p->lex->prev.type == T_ELSE)
        diag_help(p->diag, "among members, write `else { if ... }`");
}

/* The open bracket is shown: it may be the one that was forgotten. */
static void note_bracket(Parser *p)
{
    const Open *open = lex_enclosing(p->lex);
    if (open && (open->c != '{' || p->lex->last.type == 0))
        diag_note(p->diag, open->at, "inside this `%c`", open->c);
}

void parse_syntax_error(Parser *p, Expected *e)
{
    const Token *t = &p->lex->last;
    if (t->supplied)
        return; /* what is missing was told */
    if (e->token[T_BLOCK] && p->lex->lost)
        return; /* lines left over after a brace too many: told at the first */
    p->lex->lost = e->token[T_BLOCK];
    if (!report_special(p, e)) {
        bool closer = (e->token[')'] || e->token[']']) && (t->first || t->type == '}');
        bool line_end = e->token[T_NL] || t->type == T_NL || t->type == 0;
        Span at = closer || line_end ? lex_end_of_prev(p->lex) : t->at;
        const char *expected = expectation(p, e), *got = lex_describe(p->lex, t);
        if (t->type == 0 && e->token['}'])
            expected = "`}`";
        if (expected)
            diag_error(p->diag, at, "expected %s, got %s", expected, got);
        else
            diag_error(p->diag, at, "unexpected %s", strncmp(got, "the ", 4) ? got : got + 4);
        help(p, e);
    }
    note_bracket(p);
}

/* ---- entry points ---- */

static bool parse(Parser *p, Arena *a, Sources *sources, int source, Diag *d, int start_token)
{
    *p = (Parser){.arena = a, .diag = d, .text = sources->list.v[source], .source = source};
    int before = d->errors;
    p->file = arena_make(a, File);
    p->file->source = source;
    p->lex = lex_new(p, start_token);
    int rc = yyparse(p, p->lex);
    lex_done(p->lex);
    if (rc != 0 && d->errors == before)
        BUG("'%s' was refused without a message", p->text->name);
    return d->errors == before;
}

File *parse_file(Arena *a, Sources *sources, int source, Diag *d)
{
    Parser p;
    return parse(&p, a, sources, source, d, T_START_FILE) ? p.file : NULL;
}

Expr *parse_expr_text(Arena *a, Sources *sources, int source, Diag *d)
{
    Parser p;
    return parse(&p, a, sources, source, d, T_START_EXPR) ? p.expr : NULL;
}
