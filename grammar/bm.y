/* bm.y - the grammar of the language (LALR(1), no conflicts, no feedback to the lexer).
 *
 * An action builds one node and looks nothing up. The order of the rules is that of LANGUAGE 2.
 *
 * Recovery. At a mistake bison goes back to the innermost list or header that has an `error` rule,
 * and reads on to the next end of line or `{`. In a list that line is dropped (`junk`), with the
 * whole of a group it opens. A header that is not understood still opens its body, so the body is
 * checked and its `}` is not left over. */
%require "3.8"
%expect 0
%define api.pure full
%define api.location.type {Span}
%define api.value.type union
%define api.token.prefix {T_}
%define parse.error custom
%define parse.lac full
%locations
%parse-param {Parser *p} {void *lexer}
%lex-param {void *lexer}

%code requires {
#include "frontend/parser.h"

#define YYLLOC_DEFAULT(all, rhs, n)                                                                \
    ((all) = (n) ? span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n))                                   \
                 : (Span){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).hi, YYRHSLOC(rhs, 0).hi})
}
%code provides {
int yylex(YYSTYPE *value, Span *at, void *lexer);

enum { MAX_TOKEN_TYPE = 511 };
typedef struct Expected {
    bool token[MAX_TOKEN_TYPE + 1]; /* by type: T_..., or a character */
} Expected;
void parse_syntax_error(Parser *p, Expected *e); /* parse.c: says what is wrong at the last token */
const char *parse_token_text(int type);          /* as the grammar displays it: let, name, ')' */
}
%code {
#include "frontend/lex.h"

/* A list of one, and a list with one more. */
#define ONE(list, x)                                                                               \
    do {                                                                                           \
        memset(&(list), 0, sizeof(list));                                                          \
        vec_push(p->arena, &(list), (x));                                                          \
    } while (0)
#define MORE(list, old, x)                                                                         \
    do {                                                                                           \
        (list) = (old);                                                                            \
        vec_push(p->arena, &(list), (x));                                                          \
    } while (0)
#define NAMELESS ((Name){NULL, NO_SPAN})

static void yyerror(const Span *at, Parser *p, void *lexer, const char *message);
}

%token NL "end of line" DOTS "..." POW "**" IDIV "//" EQ "==" NE "!=" LE "<=" GE ">=" SET ":="
%token AND "and" OR "or" NOT "not" IF "if" ELSE "else" FOR "for" LET "let" BLOCK "block"
%token FORWARD "forward" PARAM "param" BUFFER "buffer" RETURN "return" REPORT "report"
%token ASSERT "assert" TRUE "true" FALSE "false" NONE "none"
%token <Name> NAME "name" USE "use" MODEL "model" TRAIN "train" PLAN "plan" NAMES "names" IN "in"
%token <int64_t> INT "integer"
%token <double> FLOAT "number"
%token <const char *> STRING "string"
%token START_FILE "a file" START_EXPR "an expression" /* never in a text: what is parsed */

%right IF ELSE
%left OR
%left AND
%precedence NOT
%left EQ NE LE GE '<' '>' /* chains are refused by expr_binary(), in words */
%left '+' '-'
%left '*' '/' IDIV '%' '@'
%precedence NEG
%right POW

%type <Item *> item
%type <Let> let
%type <AstParamList> block_head params
%type <AstParam> param
%type <MemberList> members members_body
%type <Member *> member
%type <AstInputList> forward_head inputs
%type <AstInput> input type
%type <Shape> shape dims
%type <Dim> dim
%type <StmtList> stmts stmts_body
%type <Stmt *> stmt ifstmt
%type <Assert> assert
%type <TargetList> targets
%type <Target> target
%type <NameList> names
%type <SettingList> settings settings_body
%type <Setting> setting
%type <RenameList> renames renames_body
%type <Pattern *> pattern
%type <Seg> seg
%type <ExprList> exprs
%type <Expr *> expr post tuple test
%type <ArgList> args arglist
%type <Arg> arg
%type <IndexList> indices
%type <Index> index
%type <Name> name
%type <MemberKind> kind
%%
start:
  START_FILE file
| START_EXPR expr NL                        { p->expr = $expr; }
;

/* ---- items ---- */

file:
  %empty
| file item NL                              { file_add(p, $item); yyerrok; p->lex->lost = false; }
| file junk
;
junk: /* a line that is not understood */
  error NL                                  { yyerrok; }
| error '{' skip '}' NL                     { yyerrok; }
;
skip: %empty                                { lex_skip_group(p); } ;
open: '{'                                   { yyerrok; } ;
no_head: %empty | error ;

/* Reduced as soon as the `}` is there, so that a mistake after it cannot lead back inside. */
members_body: open members '}'              { $$ = $2; } ;
stmts_body: open stmts '}'                  { $$ = $2; } ;
settings_body: open settings '}'            { $$ = $2; } ;
renames_body: open renames '}'              { $$ = $2; } ;

item:
  USE STRING                                { $$ = item_use(p, @$, $2, @2, (ArgList){0}); }
| USE STRING '(' args ')'                   { $$ = item_use(p, @$, $2, @2, $args); }
| let                                       { $$ = item_let(p, @$, $let); }
| BLOCK NAME block_head members_body
    { $$ = item_block(p, @$, span_join(@1, @3), ITEM_BLOCK, $2, $3, $4); }
| MODEL NAME no_head members_body
    { $$ = item_block(p, @$, span_join(@1, @2), ITEM_MODEL, $2, (AstParamList){0}, $4); }
| TRAIN no_head settings_body           { $$ = item_settings(p, @$, @1, ITEM_TRAIN, $3); }
| PLAN no_head settings_body            { $$ = item_settings(p, @$, @1, ITEM_PLAN, $3); }
| NAMES no_head renames_body            { $$ = item_names(p, @$, @1, $3); }
| BLOCK error members_body              { $$ = NULL; }
| MODEL error members_body              { $$ = NULL; }
| BLOCK error                               { $$ = NULL; }
| MODEL error                               { $$ = NULL; }
| BLOCK NAME error                          { $$ = NULL; }
| MODEL NAME error                          { $$ = NULL; }
| TRAIN error                               { $$ = NULL; }
| PLAN error                                { $$ = NULL; }
| NAMES error                               { $$ = NULL; }
;
let: LET NAME '=' expr                      { $$ = (Let){$2, $expr}; } ;

block_head:
  %empty                                    { $$ = (AstParamList){0}; }
| '(' ')'                                   { $$ = (AstParamList){0}; }
| '(' params ')'                            { $$ = $2; }
| '(' params ',' ')'                        { $$ = $2; }
| error                                     { $$ = (AstParamList){0}; }
;
params:
  param                                     { ONE($$, $1); }
| params ',' param                          { MORE($$, $1, $3); }
;
param:
  name                                      { $$ = (AstParam){@$, $1, NULL}; }
| name '=' expr                             { $$ = (AstParam){@$, $1, $3}; }
;

/* ---- members ---- */

members:
  %empty                                    { $$ = (MemberList){0}; }
| members member NL                         { MORE($$, $1, $2); yyerrok; }
| members junk                              { $$ = $1; }
;
member:
  name ':' expr                             { $$ = member_child(p, @$, $1, $3); }
| name ':' kind shape '~' expr              { $$ = member_tensor(p, @$, $kind, $1, $shape, $expr); }
| name '[' expr ']' ':' expr                { $$ = member_stack(p, @$, $1, NAMELESS, $3, $6); }
| name '[' name IN expr ']' ':' expr        { $$ = member_stack(p, @$, $1, $3, $5, $8); }
| let                                       { $$ = member_let(p, @$, $let); }
| assert                                    { $$ = member_assert(p, @$, $assert); }
| IF test members_body                  { $$ = member_if(p, @$, $test, $3, (MemberList){0}); }
| IF test members_body ELSE no_head members_body
                                            { $$ = member_if(p, @$, $test, $3, $6); }
| FORWARD forward_head stmts_body
    { $$ = member_forward(p, @$, span_join(@1, @2), $2, $3); }
| IF error                                  { $$ = NULL; }
| IF test members_body ELSE error       { $$ = NULL; }
| FORWARD error                             { $$ = NULL; }
;
kind:
  PARAM                                     { $$ = MEMBER_PARAM; }
| BUFFER                                    { $$ = MEMBER_BUFFER; }
;
test: /* of `if`, before its `{` */
  expr
| error                                     { $$ = expr_none(p, @$); }
;

forward_head:
  '(' ')'                                   { $$ = (AstInputList){0}; }
| '(' inputs ')'                            { $$ = $2; }
| '(' inputs ',' ')'                        { $$ = $2; }
| error                                     { $$ = (AstInputList){0}; }
;
inputs:
  input                                     { ONE($$, $1); }
| inputs ',' input                          { MORE($$, $1, $3); }
;
input:
  name                                      { $$ = (AstInput){.at = @$, .name = $1}; }
| name '=' expr                             { $$ = (AstInput){.at = @$, .name = $1, .fallback = $3}; }
| name ':' type                             { $$ = $3; $$.at = @$; $$.name = $1; }
;
type:
  shape                                     { $$ = (AstInput){.has_type = true, .shape = $1}; }
| NAME                                      { $$ = (AstInput){.has_type = true, .dtype = $1}; $$.shape.at = @$; }
| NAME shape                                { $$ = (AstInput){.has_type = true, .dtype = $1, .shape = $2}; }
;
shape:
  '[' ']'                                   { $$ = (Shape){.at = @$}; }
| '[' dims ']'                              { $$ = $2; $$.at = @$; }
;
dims:
  dim                                       { $$ = (Shape){0}; vec_push(p->arena, &$$.dims, $1); }
| dims ',' dim                              { $$ = $1; vec_push(p->arena, &$$.dims, $3); }
;
dim:
  expr                                      { $$ = (Dim){@$, $1}; }
| DOTS                                      { $$ = (Dim){@$, NULL}; }
;

/* ---- statements ---- */

stmts:
  %empty                                    { $$ = (StmtList){0}; }
| stmts stmt NL                             { MORE($$, $1, $2); yyerrok; }
| stmts junk                                { $$ = $1; }
;
stmt:
  targets '=' exprs                         { $$ = stmt_assign(p, @$, $1, $3); }
| name SET expr                             { $$ = stmt_update(p, @$, $1, $3); }
| RETURN exprs                              { $$ = stmt_return(p, @$, $2); }
| REPORT NAME '=' expr                      { $$ = stmt_report(p, @$, $2, $4); }
| assert                                    { $$ = stmt_assert(p, @$, $1); }
| FOR names IN expr stmts_body          { $$ = stmt_for(p, @$, $2, $4, $5); }
| ifstmt
| FOR error stmts_body                  { $$ = NULL; }
| FOR error                                 { $$ = NULL; }
| IF error                                  { $$ = NULL; }
;
ifstmt:
  IF test stmts_body                    { $$ = stmt_if(p, @$, $test, $3, (StmtList){0}); }
| IF test stmts_body ELSE no_head stmts_body
                                            { $$ = stmt_if(p, @$, $test, $3, $6); }
| IF test stmts_body ELSE ifstmt        { StmtList no; ONE(no, $5); $$ = stmt_if(p, @$, $test, $3, no); }
| IF test stmts_body ELSE error         { $$ = NULL; }
;
assert:
  ASSERT expr                               { $$ = (Assert){$2, NULL}; }
| ASSERT expr ',' STRING                    { $$ = (Assert){$2, $4}; }
;
targets:
  target                                    { ONE($$, $1); }
| targets ',' target                        { MORE($$, $1, $3); }
;
target:
  name                                      { $$ = (Target){@$, $1, NULL}; }
| name '[' expr ']'                         { $$ = (Target){@$, $1, $3}; }
;
names:
  name                                      { ONE($$, $1); }
| names ',' name                            { MORE($$, $1, $3); }
;

/* ---- settings and patterns ---- */

settings:
  %empty                                    { $$ = (SettingList){0}; }
| settings setting NL                       { MORE($$, $1, $2); yyerrok; }
| settings junk                             { $$ = $1; }
;
setting:
  NAME '=' expr                             { $$ = (Setting){@$, $1, NULL, $3}; }
| NAME pattern '=' expr                     { $$ = (Setting){@$, $1, $2, $4}; }
;
renames:
  %empty                                    { $$ = (RenameList){0}; }
| renames pattern '=' expr NL
    { MORE($$, $1, ((Rename){span_join(@2, @4), $2, $4})); yyerrok; }
| renames junk                              { $$ = $1; }
;
pattern:
  seg                                       { $$ = pattern_add(p, NULL, @$, $1); }
| pattern '.' seg                           { $$ = pattern_add(p, $1, @$, $3); }
;
seg:
  name                                      { $$ = (Seg){SEG_NAME, @$, $1.text, 0, 0}; }
| INT                                       { $$ = (Seg){SEG_INT, @$, NULL, $1, 0}; }
| INT ':' INT                               { $$ = (Seg){SEG_RANGE, @$, NULL, $1, $3}; }
| '*'                                       { $$ = (Seg){SEG_STAR, @$, NULL, 0, 0}; }
| POW                                       { $$ = (Seg){SEG_ANY, @$, NULL, 0, 0}; }
;

/* ---- expressions ---- */

exprs:
  expr                                      { ONE($$, $1); }
| exprs ',' expr                            { MORE($$, $1, $3); }
;
expr:
  post
| expr IF expr ELSE expr                    { $$ = expr_if(p, @$, $1, $3, $5); }
| expr OR expr                              { $$ = expr_binary(p, @$, BIN_OR, @2, $1, $3); }
| expr AND expr                             { $$ = expr_binary(p, @$, BIN_AND, @2, $1, $3); }
| NOT expr                                  { $$ = expr_unary(p, @$, UN_NOT, $2); }
| expr EQ expr                              { $$ = expr_binary(p, @$, BIN_EQ, @2, $1, $3); }
| expr NE expr                              { $$ = expr_binary(p, @$, BIN_NE, @2, $1, $3); }
| expr '<' expr                             { $$ = expr_binary(p, @$, BIN_LT, @2, $1, $3); }
| expr LE expr                              { $$ = expr_binary(p, @$, BIN_LE, @2, $1, $3); }
| expr '>' expr                             { $$ = expr_binary(p, @$, BIN_GT, @2, $1, $3); }
| expr GE expr                              { $$ = expr_binary(p, @$, BIN_GE, @2, $1, $3); }
| expr '+' expr                             { $$ = expr_binary(p, @$, BIN_ADD, @2, $1, $3); }
| expr '-' expr                             { $$ = expr_binary(p, @$, BIN_SUB, @2, $1, $3); }
| expr '*' expr                             { $$ = expr_binary(p, @$, BIN_MUL, @2, $1, $3); }
| expr '/' expr                             { $$ = expr_binary(p, @$, BIN_DIV, @2, $1, $3); }
| expr IDIV expr                            { $$ = expr_binary(p, @$, BIN_IDIV, @2, $1, $3); }
| expr '%' expr                             { $$ = expr_binary(p, @$, BIN_MOD, @2, $1, $3); }
| expr '@' expr                             { $$ = expr_binary(p, @$, BIN_MATMUL, @2, $1, $3); }
| '-' expr %prec NEG                        { $$ = expr_unary(p, @$, UN_NEG, $2); }
| expr POW expr                             { $$ = expr_binary(p, @$, BIN_POW, @2, $1, $3); }
;
post:
  name                                      { $$ = expr_name(p, $1); }
| INT                                       { $$ = expr_int(p, @$, $1); }
| FLOAT                                     { $$ = expr_float(p, @$, $1); }
| STRING                                    { $$ = expr_string(p, @$, $1); }
| TRUE                                      { $$ = expr_bool(p, @$, true); }
| FALSE                                     { $$ = expr_bool(p, @$, false); }
| NONE                                      { $$ = expr_none(p, @$); }
| tuple
| post '.' name                             { $$ = expr_field(p, @$, $1, $3); }
| post '(' args ')'                         { $$ = expr_call(p, @$, $1, $3); }
| post '[' indices ']'                      { $$ = expr_index(p, @$, $1, $3); }
| post '\''                                 { $$ = expr_transpose(p, @$, $1); }
;
tuple:
  '(' ')'                                   { $$ = expr_tuple(p, @$, (ExprList){0}); }
| '(' expr ')'                              { $$ = expr_parens(@$, $2); }
| '(' expr ',' ')'                          { ExprList one; ONE(one, $2); $$ = expr_tuple(p, @$, one); }
| '(' expr ',' exprs ')'                    { $$ = expr_tuple(p, @$, exprs_after(p, $2, $4)); }
| '(' expr ',' exprs ',' ')'                { $$ = expr_tuple(p, @$, exprs_after(p, $2, $4)); }
;
args:
  %empty                                    { $$ = (ArgList){0}; }
| arglist
| arglist ','
;
arglist:
  arg                                       { ONE($$, $1); }
| arglist ',' arg                           { MORE($$, $1, $3); }
;
arg:
  expr                                      { $$ = (Arg){@$, NAMELESS, $1}; }
| name '=' expr                             { $$ = (Arg){@$, $1, $3}; }
;
indices:
  index                                     { ONE($$, $1); }
| indices ',' index                         { MORE($$, $1, $3); }
;
index:
  expr                                      { $$ = (Index){INDEX_AT, @$, $1, NULL}; }
| DOTS                                      { $$ = (Index){INDEX_DOTS, @$, NULL, NULL}; }
| ':'                                       { $$ = (Index){INDEX_SLICE, @$, NULL, NULL}; }
| expr ':'                                  { $$ = (Index){INDEX_SLICE, @$, $1, NULL}; }
| ':' expr                                  { $$ = (Index){INDEX_SLICE, @$, NULL, $2}; }
| expr ':' expr                             { $$ = (Index){INDEX_SLICE, @$, $1, $3}; }
;
name: NAME | MODEL | TRAIN | PLAN | NAMES | USE | IN ;
%%
_Static_assert(YYMAXUTOK <= MAX_TOKEN_TYPE, "Expected has room for every token");

static int yyreport_syntax_error(const yypcontext_t *at, Parser *p, void *lexer)
{
    (void)lexer;
    yysymbol_kind_t kind[YYNTOKENS];
    int n = yypcontext_expected_tokens(at, kind, YYNTOKENS);
    Expected e = {0};
    for (int type = 0; type <= YYMAXUTOK; type++)
        for (int i = 0; i < n; i++)
            e.token[type] |= YYTRANSLATE(type) == kind[i];
    parse_syntax_error(p, &e);
    lex_recover(p->lex);
    return 0;
}

const char *parse_token_text(int type)
{
    return yysymbol_name(YYTRANSLATE(type));
}

/* Bison calls this only when its stack is full. */
static void yyerror(const Span *at, Parser *p, void *lexer, const char *message)
{
    (void)lexer;
    (void)message;
    diag_error(p->diag, *at, "nested too deeply");
}
