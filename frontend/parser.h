/* parser.h - private to the parser: grammar/bm.y, grammar/bm.l, parse.c, lex.c, ast_build.c.
 *
 * Three parts. flex (bm.l) cuts the text into raw tokens. lex.c turns them into the tokens the
 * grammar wants: it decides where a line ends a statement and resynchronises after a mistake.
 * bison (bm.y) builds the tree with the functions below, one call per rule. */
#ifndef BM_PARSER_H
#define BM_PARSER_H

#include "frontend/ast.h"
#include "frontend/base/diag.h"

typedef struct Lex Lex;

typedef struct Parser {
    Arena *arena;
    Diag *diag;
    const Source *text;
    int source;
    Lex *lex;
    File *file; /* results: one of the two */
    Expr *expr;
} Parser;

/* ---- ast_build.c: nodes. Names are not looked up, only nesting and chained comparisons are
 * reported here. ---- */

Expr *expr_name(Parser *p, Name name);
Expr *expr_int(Parser *p, Span at, int64_t value);
Expr *expr_float(Parser *p, Span at, double value);
Expr *expr_string(Parser *p, Span at, const char *text);
Expr *expr_bool(Parser *p, Span at, bool value);
Expr *expr_none(Parser *p, Span at); /* also stands for an expression that was not understood */
Expr *expr_tuple(Parser *p, Span at, ExprList items);
ExprList exprs_after(Parser *p, Expr *first, ExprList rest);
Expr *expr_parens(Span at, Expr *e);
Expr *expr_unary(Parser *p, Span at, UnaryOp op, Expr *of);
Expr *expr_binary(Parser *p, Span at, BinaryOp op, Span op_at, Expr *left, Expr *right);
Expr *expr_if(Parser *p, Span at, Expr *yes, Expr *test, Expr *no);
Expr *expr_field(Parser *p, Span at, Expr *of, Name name);
Expr *expr_call(Parser *p, Span at, Expr *fn, ArgList args);
Expr *expr_index(Parser *p, Span at, Expr *of, IndexList list);
Expr *expr_transpose(Parser *p, Span at, Expr *of);

Stmt *stmt_assign(Parser *p, Span at, TargetList targets, ExprList values);
Stmt *stmt_update(Parser *p, Span at, Name name, Expr *value);
Stmt *stmt_return(Parser *p, Span at, ExprList values);
Stmt *stmt_report(Parser *p, Span at, Name name, Expr *value);
Stmt *stmt_assert(Parser *p, Span at, Assert a);
Stmt *stmt_for(Parser *p, Span at, NameList vars, Expr *over, StmtList body);
Stmt *stmt_if(Parser *p, Span at, Expr *test, StmtList yes, StmtList no);

Member *member_child(Parser *p, Span at, Name name, Expr *value);
Member *member_stack(Parser *p, Span at, Name name, Name var, Expr *over, Expr *value);
Member *member_tensor(Parser *p, Span at, MemberKind kind, Name name, Shape shape, Expr *init);
Member *member_let(Parser *p, Span at, Let let);
Member *member_assert(Parser *p, Span at, Assert a);
Member *member_if(Parser *p, Span at, Expr *test, MemberList yes, MemberList no);
Member *member_forward(Parser *p, Span at, Span head, AstInputList inputs, StmtList body);

Item *item_use(Parser *p, Span at, const char *path, Span path_at, ArgList args);
Item *item_let(Parser *p, Span at, Let let);
Item *item_block(Parser *p, Span at, Span head, ItemKind kind, Name name, AstParamList params,
                 MemberList members);
Item *item_settings(Parser *p, Span at, Span head, ItemKind kind, SettingList settings);
Item *item_names(Parser *p, Span at, Span head, RenameList renames);
void file_add(Parser *p, Item *item);

Pattern *pattern_add(Parser *p, Pattern *old, Span at, Seg seg); /* old NULL: a new one */

/* Chained `else if` and nested bodies count too. Reports once per place, and tells the caller to
 * start counting again so that the message is not repeated further out. */
int depth_checked(Parser *p, Span at, int depth);

#endif
