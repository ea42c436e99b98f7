#include "frontend/parser.h"

/* Every node knows how many levels are below it, so that the limit holds for what the parser's
 * stack does not bound: left-recursive chains and `else if`. Header and body count alike. */
int depth_checked(Parser *p, Span at, int depth)
{
    if (depth <= AST_MAX_DEPTH)
        return depth;
    diag_error(p->diag, at, "nested too deeply: more than %d levels", AST_MAX_DEPTH);
    return 1;
}

static int deeper(int a, int b)
{
    return a > b ? a : b;
}

static int expr_depth(const Expr *e)
{
    return e ? e->depth : 0;
}

static int exprs_depth(ExprList l)
{
    int depth = 0;
    for (int i = 0; i < l.n; i++)
        depth = deeper(depth, expr_depth(l.v[i]));
    return depth;
}

static int args_depth(ArgList l)
{
    int depth = 0;
    for (int i = 0; i < l.n; i++)
        depth = deeper(depth, expr_depth(l.v[i].value));
    return depth;
}

/* A statement or member that was not understood is NULL; the file is refused then. */
static int stmts_depth(StmtList l)
{
    int depth = 0;
    for (int i = 0; i < l.n; i++)
        depth = deeper(depth, l.v[i] ? l.v[i]->depth : 0);
    return depth;
}

static int members_depth(MemberList l)
{
    int depth = 0;
    for (int i = 0; i < l.n; i++)
        depth = deeper(depth, l.v[i] ? l.v[i]->depth : 0);
    return depth;
}

/* ---- expressions ---- */

static Expr *expr_new(Parser *p, Span at, ExprKind kind, int below)
{
    Expr *e = arena_make(p->arena, Expr);
    e->kind = kind;
    e->at = at;
    e->depth = depth_checked(p, at, below + 1);
    return e;
}

Expr *expr_name(Parser *p, Name name)
{
    Expr *e = expr_new(p, name.at, EXPR_NAME, 0);
    e->text = name.text;
    return e;
}

Expr *expr_int(Parser *p, Span at, int64_t value)
{
    Expr *e = expr_new(p, at, EXPR_INT, 0);
    e->i = value;
    return e;
}

Expr *expr_float(Parser *p, Span at, double value)
{
    Expr *e = expr_new(p, at, EXPR_FLOAT, 0);
    e->f = value;
    return e;
}

Expr *expr_string(Parser *p, Span at, const char *text)
{
    Expr *e = expr_new(p, at, EXPR_STRING, 0);
    e->text = text;
    return e;
}

Expr *expr_bool(Parser *p, Span at, bool value)
{
    Expr *e = expr_new(p, at, EXPR_BOOL, 0);
    e->b = value;
    return e;
}

Expr *expr_none(Parser *p, Span at)
{
    return expr_new(p, at, EXPR_NONE, 0);
}

Expr *expr_tuple(Parser *p, Span at, ExprList items)
{
    Expr *e = expr_new(p, at, EXPR_TUPLE, exprs_depth(items));
    e->items = items;
    return e;
}

ExprList exprs_after(Parser *p, Expr *first, ExprList rest)
{
    ExprList all = {0};
    vec_push(p->arena, &all, first);
    for (int i = 0; i < rest.n; i++)
        vec_push(p->arena, &all, rest.v[i]);
    return all;
}

Expr *expr_parens(Span at, Expr *e)
{
    e->parens = true;
    e->at = at;
    return e;
}

Expr *expr_unary(Parser *p, Span at, UnaryOp op, Expr *of)
{
    Expr *e = expr_new(p, at, EXPR_UNARY, expr_depth(of));
    e->unary.op = op;
    e->unary.of = of;
    return e;
}

static bool is_comparison(BinaryOp op)
{
    return op >= BIN_EQ && op <= BIN_GE;
}

Expr *expr_binary(Parser *p, Span at, BinaryOp op, Span op_at, Expr *left, Expr *right)
{
    Expr *e = expr_new(p, at, EXPR_BINARY, deeper(expr_depth(left), expr_depth(right)));
    e->binary.op = op;
    e->binary.op_at = op_at;
    e->binary.left = left;
    e->binary.right = right;
    if (is_comparison(op) && left->kind == EXPR_BINARY && !left->parens &&
        is_comparison(left->binary.op)) {
        diag_error(p->diag, op_at, "comparisons do not chain");
        diag_help(p->diag, "write `a %s b and b %s c`, or put one side in ( )",
                  binary_text(left->binary.op), binary_text(op));
    }
    return e;
}

Expr *expr_if(Parser *p, Span at, Expr *yes, Expr *test, Expr *no)
{
    int below = deeper(expr_depth(yes), deeper(expr_depth(test), expr_depth(no)));
    Expr *e = expr_new(p, at, EXPR_IF, below);
    e->cond.yes = yes;
    e->cond.test = test;
    e->cond.no = no;
    return e;
}

Expr *expr_field(Parser *p, Span at, Expr *of, Name name)
{
    if (of->kind == EXPR_INT && !of->parens)
        diag_error(p->diag, span_join(of->at, name.at),
                   "a number needs a digit on both sides of the point");
    Expr *e = expr_new(p, at, EXPR_FIELD, expr_depth(of));
    e->field.of = of;
    e->field.name = name;
    return e;
}

Expr *expr_call(Parser *p, Span at, Expr *fn, ArgList args)
{
    Expr *e = expr_new(p, at, EXPR_CALL, deeper(expr_depth(fn), args_depth(args)));
    e->call.fn = fn;
    e->call.args = args;
    return e;
}

Expr *expr_index(Parser *p, Span at, Expr *of, IndexList list)
{
    int below = expr_depth(of);
    for (int i = 0; i < list.n; i++)
        below = deeper(below, deeper(expr_depth(list.v[i].lo), expr_depth(list.v[i].hi)));
    Expr *e = expr_new(p, at, EXPR_INDEX, below);
    e->index.of = of;
    e->index.list = list;
    return e;
}

Expr *expr_transpose(Parser *p, Span at, Expr *of)
{
    Expr *e = expr_new(p, at, EXPR_TRANSPOSE, expr_depth(of));
    e->of = of;
    return e;
}

/* ---- statements ---- */

static Stmt *stmt_new(Parser *p, Span at, StmtKind kind, int below)
{
    Stmt *s = arena_make(p->arena, Stmt);
    s->kind = kind;
    s->at = at;
    s->depth = depth_checked(p, at, below + 1);
    return s;
}

Stmt *stmt_assign(Parser *p, Span at, TargetList targets, ExprList values)
{
    int below = exprs_depth(values);
    for (int i = 0; i < targets.n; i++)
        below = deeper(below, expr_depth(targets.v[i].index));
    Stmt *s = stmt_new(p, at, STMT_ASSIGN, below);
    s->assign.targets = targets;
    s->assign.values = values;
    return s;
}

Stmt *stmt_update(Parser *p, Span at, Name name, Expr *value)
{
    Stmt *s = stmt_new(p, at, STMT_UPDATE, expr_depth(value));
    s->update = (Let){name, value};
    return s;
}

Stmt *stmt_return(Parser *p, Span at, ExprList values)
{
    Stmt *s = stmt_new(p, at, STMT_RETURN, exprs_depth(values));
    s->values = values;
    return s;
}

Stmt *stmt_report(Parser *p, Span at, Name name, Expr *value)
{
    Stmt *s = stmt_new(p, at, STMT_REPORT, expr_depth(value));
    s->let = (Let){name, value};
    return s;
}

Stmt *stmt_assert(Parser *p, Span at, Assert a)
{
    Stmt *s = stmt_new(p, at, STMT_ASSERT, expr_depth(a.test));
    s->assertion = a;
    return s;
}

Stmt *stmt_for(Parser *p, Span at, NameList vars, Expr *over, StmtList body)
{
    Stmt *s = stmt_new(p, at, STMT_FOR, deeper(expr_depth(over), stmts_depth(body)));
    s->loop.vars = vars;
    s->loop.over = over;
    s->loop.body = body;
    return s;
}

Stmt *stmt_if(Parser *p, Span at, Expr *test, StmtList yes, StmtList no)
{
    int below = deeper(expr_depth(test), deeper(stmts_depth(yes), stmts_depth(no)));
    Stmt *s = stmt_new(p, at, STMT_IF, below);
    s->branch.test = test;
    s->branch.yes = yes;
    s->branch.no = no;
    return s;
}

/* ---- members ---- */

static Member *member_new(Parser *p, Span at, MemberKind kind, int below)
{
    Member *m = arena_make(p->arena, Member);
    m->kind = kind;
    m->at = at;
    m->depth = depth_checked(p, at, below + 1);
    return m;
}

Member *member_child(Parser *p, Span at, Name name, Expr *value)
{
    Member *m = member_new(p, at, MEMBER_CHILD, expr_depth(value));
    m->child = (Let){name, value};
    return m;
}

Member *member_stack(Parser *p, Span at, Name name, Name var, Expr *over, Expr *value)
{
    Member *m = member_new(p, at, MEMBER_STACK, deeper(expr_depth(over), expr_depth(value)));
    m->stack.name = name;
    m->stack.var = var;
    m->stack.over = over;
    m->stack.value = value;
    return m;
}

Member *member_tensor(Parser *p, Span at, MemberKind kind, Name name, Shape shape, Expr *init)
{
    int below = expr_depth(init);
    for (int i = 0; i < shape.dims.n; i++)
        below = deeper(below, expr_depth(shape.dims.v[i].size));
    Member *m = member_new(p, at, kind, below);
    m->tensor.name = name;
    m->tensor.shape = shape;
    m->tensor.init = init;
    return m;
}

Member *member_let(Parser *p, Span at, Let let)
{
    Member *m = member_new(p, at, MEMBER_LET, expr_depth(let.value));
    m->let = let;
    return m;
}

Member *member_assert(Parser *p, Span at, Assert a)
{
    Member *m = member_new(p, at, MEMBER_ASSERT, expr_depth(a.test));
    m->assertion = a;
    return m;
}

Member *member_if(Parser *p, Span at, Expr *test, MemberList yes, MemberList no)
{
    int below = deeper(expr_depth(test), deeper(members_depth(yes), members_depth(no)));
    Member *m = member_new(p, at, MEMBER_IF, below);
    m->branch.test = test;
    m->branch.yes = yes;
    m->branch.no = no;
    return m;
}

Member *member_forward(Parser *p, Span at, Span head, AstInputList inputs, StmtList body)
{
    int below = stmts_depth(body);
    for (int i = 0; i < inputs.n; i++) {
        const AstInput *in = &inputs.v[i];
        below = deeper(below, expr_depth(in->fallback));
        for (int k = 0; k < in->shape.dims.n; k++)
            below = deeper(below, expr_depth(in->shape.dims.v[k].size));
    }
    Member *m = member_new(p, at, MEMBER_FORWARD, below);
    m->forward.head = head;
    m->forward.inputs = inputs;
    m->forward.body = body;
    return m;
}

/* ---- items ---- */

static Item *item_new(Parser *p, Span at, Span head, ItemKind kind)
{
    Item *it = arena_make(p->arena, Item);
    it->kind = kind;
    it->at = at;
    it->head = head;
    return it;
}

Item *item_use(Parser *p, Span at, const char *path, Span path_at, ArgList args)
{
    Item *it = item_new(p, at, at, ITEM_USE);
    it->use.path = path;
    it->use.path_at = path_at;
    it->use.args = args;
    return it;
}

Item *item_let(Parser *p, Span at, Let let)
{
    Item *it = item_new(p, at, at, ITEM_LET);
    it->let = let;
    return it;
}

Item *item_block(Parser *p, Span at, Span head, ItemKind kind, Name name, AstParamList params,
                 MemberList members)
{
    Item *it = item_new(p, at, head, kind);
    it->block.name = name;
    it->block.params = params;
    it->block.members = members;
    return it;
}

Item *item_settings(Parser *p, Span at, Span head, ItemKind kind, SettingList settings)
{
    Item *it = item_new(p, at, head, kind);
    it->settings = settings;
    return it;
}

Item *item_names(Parser *p, Span at, Span head, RenameList renames)
{
    Item *it = item_new(p, at, head, ITEM_NAMES);
    it->renames = renames;
    return it;
}

void file_add(Parser *p, Item *item)
{
    vec_push(p->arena, &p->file->items, item);
}

Pattern *pattern_add(Parser *p, Pattern *old, Span at, Seg seg)
{
    Pattern *pattern = old ? old : arena_make(p->arena, Pattern);
    pattern->at = at;
    vec_push(p->arena, &pattern->segs, seg);
    return pattern;
}
