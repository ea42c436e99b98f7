#include "frontend/lex.h"

enum {
    LOOK_AHEAD = 4096,   /* bytes searched for the end of a bracket after a mistake */
    MANY_MISTAKES = 200, /* then the rest of the file is not read: it is hardly a model */
};

Lex *lex_new(Parser *p, int start_token)
{
    Lex *l = arena_make(p->arena, Lex);
    size_t n = (size_t)p->text->n;
    /* One more newline: rules that look at the next character then work at the end as well. */
    char *text = arena_alloc(p->arena, n + 3);
    memcpy(text, p->text->text, n);
    text[n] = '\n';
    l->parser = p;
    l->start_token = start_token;
    l->prev.at = l->last.at = (Span){p->source, 0, 0};
    l->flex = lex_flex_new(p, text, n + 3);
    return l;
}

void lex_done(Lex *l)
{
    lex_flex_done(l->flex);
}

/* ---- brackets ---- */

static bool in_parens(const Lex *l)
{
    return l->open.n && l->open.v[l->open.n - 1].c != '{';
}

static void drop_parens(Lex *l)
{
    int kept = 0;
    for (int i = 0; i < l->open.n; i++)
        if (l->open.v[i].c == '{')
            l->open.v[kept++] = l->open.v[i];
    l->open.n = kept;
}

static void count_bracket(Lex *l, const Token *t)
{
    int top = l->open.n ? l->open.v[l->open.n - 1].c : 0;
    l->n_open_before = l->open.n;
    if (t->type == '(' || t->type == '[' || t->type == '{')
        vec_push(l->parser->arena, &l->open, ((Open){(char)t->type, t->at}));
    else if ((t->type == ')' && top == '(') || (t->type == ']' && top == '[') ||
             (t->type == '}' && top == '{'))
        l->open.n--;
}

const Open *lex_enclosing(const Lex *l)
{
    return l->n_open_before ? &l->open.v[l->n_open_before - 1] : NULL;
}

Span lex_end_of_prev(const Lex *l)
{
    return (Span){l->prev.at.file, l->prev.at.hi, l->prev.at.hi};
}

/* Whether the ( and [ that are open are closed again before a brace, so that the mistake is inside
 * them and the lines up to there belong to it. Deeper nesting than the stack counts as open. */
static bool parens_close(const Lex *l, int from)
{
    const Source *s = l->parser->text;
    char stack[64];
    int depth = 0;
    for (int i = 0; i < l->open.n; i++) {
        depth = l->open.v[i].c == '{' ? 0 : depth;
        if (depth == countof(stack))
            return false;
        if (l->open.v[i].c != '{')
            stack[depth++] = l->open.v[i].c;
    }
    int end = s->n - from > LOOK_AHEAD ? from + LOOK_AHEAD : s->n;
    for (int i = from; i < end && depth; i++) {
        char c = s->text[i];
        bool opens = c == '(' || c == '[', closes = c == ')' || c == ']';
        if (c == '{' || c == '}' || (opens && depth == countof(stack)) ||
            (closes && stack[depth - 1] != (c == ')' ? '(' : '[')))
            return false;
        if (opens)
            stack[depth++] = c;
        else if (closes)
            depth--;
        else if (c == '#')
            while (i + 1 < end && s->text[i + 1] != '\n')
                i++;
        else if (c == '"')
            while (i + 1 < end && s->text[i + 1] != '\n' && s->text[++i] != '"')
                ;
    }
    return depth == 0;
}

/* ---- tokens ---- */

static Token next_raw(Lex *l)
{
    if (l->has_held) {
        l->has_held = l->held.type == 0; /* the end of the file stays */
        return l->held;
    }
    Token t = {.type = 0};
    l->newline = false;
    t.type = lex_raw(&t.value, &t.at, l->flex);
    t.first = l->newline;
    t.why = l->why;
    if (t.type == 0) {
        l->held = t;
        l->has_held = true;
    }
    return t;
}

static void hold(Lex *l, Token t)
{
    l->held = t;
    l->has_held = true;
}

/* A touching ' is transpose; anything else is a string in the wrong quotes. */
static void check_quote(const Lex *l, Token *t)
{
    if (t->type != '\'' || (l->can_end && l->last.at.hi == t->at.lo))
        return;
    t->type = T_YYerror;
    t->why = "`'` is transpose and must touch its operand; a string is written with \"";
}

static bool ends_statement(int type)
{
    switch (type) {
    case ')':
    case ']':
    case '}':
    case '\'':
    case T_NAME:
    case T_USE:
    case T_MODEL:
    case T_TRAIN:
    case T_PLAN:
    case T_NAMES:
    case T_IN:
    case T_INT:
    case T_FLOAT:
    case T_STRING:
    case T_TRUE:
    case T_FALSE:
    case T_NONE:
    case T_RETURN:
    case T_YYerror:
        return true;
    }
    return false;
}

/* A } in the middle of a line that did not open it closes nothing. */
static void check_brace(const Lex *l, Token *t)
{
    if (t->type != '}' || t->first)
        return;
    const char *text = l->parser->text->text, *rest = text + t->at.hi;
    rest += strspn(rest, " \t\r");
    if (strchr("\n#}", *rest) || !strncmp(rest, "else", 4))
        return;
    int k = l->open.n - 1;
    while (k >= 0 && l->open.v[k].c != '{')
        k--;
    int from = k < 0 ? 0 : l->open.v[k].at.lo;
    if (k >= 0 && !memchr(text + from, '\n', (size_t)(t->at.lo - from)))
        return;
    t->type = T_YYerror;
    t->why = "unexpected `}`";
}

/* Words that begin a statement and stand nowhere else. */
static bool starts_statement(int type)
{
    return type == T_LET || type == T_RETURN || type == T_REPORT || type == T_ASSERT ||
           type == T_FOR || type == T_FORWARD || type == T_BLOCK;
}

/* Whether `t` begins an item although braces are open. The soft words are believed in the first
 * column and before what an item has next. */
static bool starts_item(const Lex *l, const Token *t)
{
    if (!t->first || in_parens(l))
        return false;
    if (t->type == T_BLOCK)
        return true;
    const char *text = l->parser->text->text;
    if (t->at.lo > 0 && text[t->at.lo - 1] != '\n')
        return false;
    const char *next = text + t->at.hi;
    next += strspn(next, " \t");
    switch (t->type) {
    case T_MODEL:
        return (*next >= 'A' && *next <= 'Z') || (*next >= 'a' && *next <= 'z') || *next == '_';
    case T_TRAIN:
    case T_PLAN:
    case T_NAMES:
        return *next == '{';
    case T_USE:
        return *next == '"';
    }
    return false;
}

/* ---- the newline rule ---- */

/* A line that was not understood ends like any other, and also after a stray `:` or `=`. */
static bool goes_on(const Lex *l)
{
    int type = l->last.type;
    return l->last.at.lo != l->mistake &&
           (type == ',' || type == '+' || type == '-' || type == '*' || type == '/' ||
            type == '@' || type == T_AND || type == T_OR || type == '(' || type == '[');
}

static bool newline_before(Lex *l, const Token *t)
{
    if (l->last.type == T_NL)
        return false;
    if (l->force_nl)
        return true;
    if (l->recovering && (t->type == '}' || (t->first && starts_statement(t->type))))
        drop_parens(l);
    else if (!l->can_end && (!l->recovering || goes_on(l)))
        return false;
    if (in_parens(l))
        return false;
    return t->type == 0 || (t->type == '}' && l->open.n) ||
           (t->first && t->type != '{' && t->type != T_ELSE) || (l->recovering && t->first);
}

static bool starts_line(const Lex *l)
{
    return l->last.type == T_NL || l->last.type == '{' || l->last.type == 0;
}

static void deliver(Lex *l, const Token *t)
{
    if (starts_line(l) || t->type == T_ELSE)
        l->head = *t;
    else if (t->type == '{')
        l->head.type = 0;
    count_bracket(l, t);
    l->prev = l->last;
    l->last = *t;
    l->can_end = ends_statement(t->type);
    if (t->type == T_NL || t->type == '{')
        l->recovering = false;
}

static Token newline_token(const Lex *l)
{
    return (Token){.type = T_NL, .at = {l->last.at.file, l->last.at.hi, l->last.at.hi}};
}

/* Whether the line before `last` is that of something with a body, and has no {. */
static bool is_open_header(const Lex *l)
{
    switch (l->head.type) {
    case T_FOR:
    case T_IF:
    case T_ELSE:
    case T_FORWARD:
    case T_BLOCK:
        return true;
    case T_MODEL:
    case T_TRAIN:
    case T_PLAN:
    case T_NAMES:
        return l->open.n == 0;
    }
    return false;
}

/* The indent of the line that holds `offset`. */
static int indent_at(const char *text, int offset)
{
    while (offset > 0 && text[offset - 1] != '\n')
        offset--;
    return (int)strspn(text + offset, " \t");
}

/* Whether the lines from `t` on look like a body with its { forgotten: indented, then a }. */
static bool body_follows(const Lex *l, const Token *t)
{
    const char *text = l->parser->text->text;
    int indent = indent_at(text, l->head.at.lo);
    if (!t->first || indent_at(text, t->at.lo) <= indent)
        return false;
    for (const char *line = text + t->at.lo; (line = strchr(line, '\n')) != NULL;) {
        int n = (int)strspn(++line, " \t");
        if (n <= indent && !strchr("\r\n#", line[n]))
            return line[n] == '}';
    }
    return false;
}

/* A { that is not in the text: told here, so that the body is read as one. */
static Token open_group(Lex *l)
{
    Token t = newline_token(l);
    diag_error(l->parser->diag, t.at, "expected `{`, got the end of the line");
    t.type = '{';
    t.supplied = true;
    return t;
}

/* An item begins where a } is missing: told once, and the braces are closed for the parser. */
static void close_groups(Lex *l, const Token *t)
{
    drop_parens(l);
    l->closing = l->open.n;
    if (l->recovering)
        return;
    Span end = {l->last.at.file, l->last.at.hi, l->last.at.hi};
    diag_error(l->parser->diag, end, "expected `}`, got %s", lex_describe(l, t));
    diag_note(l->parser->diag, l->open.v[l->open.n - 1].at, "to close this `{`");
}

static void bad_token(Lex *l, const Token *t)
{
    if (!l->recovering)
        diag_error(l->parser->diag, t->at, "%s", t->why);
    l->recovering = true;
    l->mistakes++;
    l->mistake = t->at.lo;
    if (in_parens(l) && !parens_close(l, t->at.hi))
        drop_parens(l);
}

static Token skip_group(Lex *l)
{
    Token t = next_raw(l);
    for (int depth = 0; t.type != 0 && (t.type != '}' || depth); t = next_raw(l))
        depth += t.type == '{' ? 1 : t.type == '}' ? -1 : 0;
    l->skip = false;
    return t;
}

static Token end_of_file(const Lex *l)
{
    int n = l->parser->text->n;
    return (Token){.type = 0, .at = {l->parser->source, n, n}};
}

static Token next_token(Lex *l)
{
    if (l->mistakes > MANY_MISTAKES)
        return end_of_file(l);
    Token t = l->skip ? skip_group(l) : next_raw(l);
    check_quote(l, &t);
    check_brace(l, &t);
    if (!l->closing && l->open.n && starts_item(l, &t))
        close_groups(l, &t);
    if (l->closing) {
        hold(l, t);
        l->force_nl = false;
        if (l->can_end || l->recovering)
            return newline_token(l);
        l->closing--;
        return (Token){.type = '}', .at = newline_token(l).at, .supplied = true};
    }
    bool ends = newline_before(l, &t);
    bool bare_else = l->last.type == T_ELSE && t.type != '{' && t.type != T_IF;
    if ((ends || bare_else) && !l->force_nl && !l->recovering && is_open_header(l) &&
        body_follows(l, &t)) {
        hold(l, t);
        return open_group(l);
    }
    if (ends) {
        hold(l, t);
        l->force_nl = false;
        return newline_token(l);
    }
    return t;
}

int yylex(YYSTYPE *value, Span *at, void *lexer)
{
    Lex *l = lexer;
    if (l->start_token) {
        int type = l->start_token;
        l->start_token = 0;
        *at = l->last.at;
        return type;
    }
    Token t = next_token(l);
    deliver(l, &t);
    if (t.type == T_YYerror)
        bad_token(l, &t);
    *value = t.value;
    *at = t.at;
    return t.type;
}

void lex_skip_group(Parser *p)
{
    p->lex->skip = true;
}

void lex_recover(Lex *l)
{
    const Token t = l->last;
    bool begun = l->prev.type != T_NL && l->prev.type != '{' && l->prev.type != 0;
    bool next_line = (t.type == '}' && l->n_open_before) ||
                     (t.first && t.type != T_NL && t.type != '{' && t.type != T_ELSE);
    l->recovering = t.type != T_NL && t.type != '{';
    l->mistakes++;
    l->mistake = t.at.lo;
    if (t.supplied && t.type == '}' && !begun)
        return;                   /* the parser has fewer groups open than were counted */
    l->open.n = l->n_open_before; /* as before `t`: the entry a closer took off is still there */
    if (t.supplied && t.type == '}') {
        l->closing++; /* and once more after an end of line */
        return;
    }
    if (begun && next_line && t.type != 0 && (!in_parens(l) || !parens_close(l, t.at.lo))) {
        drop_parens(l);
        hold(l, t);
        l->force_nl = true;
        return;
    }
    if (t.type == '{')
        drop_parens(l);
    count_bracket(l, &t);
    if (in_parens(l) && !parens_close(l, t.at.hi))
        drop_parens(l);
}

const char *lex_text(const Lex *l, const Token *t)
{
    return arena_strndup(l->parser->arena, l->parser->text->text + t->at.lo,
                         (size_t)(t->at.hi - t->at.lo));
}

const char *lex_describe(const Lex *l, const Token *t)
{
    switch (t->type) {
    case 0:
        return "the end of the file";
    case T_NL: /* also put before a }, and then that is what the reader sees */
        return l->has_held && l->held.type == '}' && !l->held.first ? "`}`" : "the end of the line";
    case T_STRING:
        return "a string";
    case T_NAME:
        return arena_printf(l->parser->arena, "name `%s`", lex_text(l, t));
    }
    return arena_printf(l->parser->arena, "`%s`", lex_text(l, t));
}
