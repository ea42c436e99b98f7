/* lex.h - private to the parser: from raw tokens (bm.l) to the grammar's tokens.
 *
 * yylex() in lex.c is the one place that knows the newline rule: a newline ends a statement when no
 * ( or [ is open, the last token can end one, and the next token is neither { nor else; a } ends
 * the statement before it as well. */
#ifndef BM_LEX_H
#define BM_LEX_H

#include "frontend/parser.h"

#include "bm.tab.h"

typedef struct Token {
    int type; /* T_..., or a character */
    YYSTYPE value;
    Span at;
    bool first;      /* the first one on its line */
    bool supplied;   /* a { or } that is not in the text; what is missing was told */
    const char *why; /* T_YYerror: the message */
} Token;

typedef struct Open { /* a bracket that is not closed yet */
    char c;           /* ( [ { */
    Span at;
} Open;

struct Lex {
    Parser *parser;
    void *flex;
    int pos;         /* bytes read by flex */
    bool newline;    /* flex saw one since the last raw token */
    const char *why; /* set by flex with T_YYerror */

    Token held; /* read, to be delivered after what comes first */
    bool has_held;
    Token prev, last; /* the last two delivered */
    Token head;       /* the first of the statement; type 0 once its body is open */
    bool lost;        /* in a file: no item was understood since the last message */
    VEC(Open) open;
    int n_open_before; /* open.n before `last` */
    int mistake;       /* where the last one is, in bytes */

    int start_token; /* delivered first: what is parsed; then 0 */
    bool can_end;    /* `last` can end a statement */
    bool force_nl;   /* the next token is an end of line */
    bool recovering; /* since the last mistake no line has ended: stay silent */
    bool skip;       /* the group just opened is not looked at */
    int closing;     /* how many } are to be supplied before `held` */
    int mistakes;    /* how many so far */
};

Lex *lex_new(Parser *p, int start_token);
void lex_done(Lex *l);

/* The raw tokens, in bm.l. */
int lex_raw(YYSTYPE *value, Span *at, void *flex);
void *lex_flex_new(Parser *p, char *text,
                   size_t size); /* text ends in two zeros, and is written to */
void lex_flex_done(void *flex);

/* The grammar's tokens. */
int yylex(YYSTYPE *value, Span *at, void *flex);

/* After a syntax error at `last`: drops brackets that are never closed, and puts `last` back when
 * it belongs to the next statement. */
void lex_recover(Lex *l);
void lex_skip_group(Parser *p);

/* The innermost bracket open where `last` stands, or NULL. */
const Open *lex_enclosing(const Lex *l);
Span lex_end_of_prev(const Lex *l);
const char *lex_text(const Lex *l, const Token *t);     /* as written */
const char *lex_describe(const Lex *l, const Token *t); /* "name `x`", "the end of the line" */

/* Values of literals; a number that does not fit is reported, its value is then 0. */
int lex_number(Parser *p, Span at, const char *text, int n, bool is_float, YYSTYPE *value);
Name lex_name(Parser *p, Span at, const char *text, int n);

#endif
