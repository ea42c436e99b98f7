#include "frontend/ast.h"

const char *binary_text(BinaryOp op)
{
    static const char *const text[] = {
        [BIN_OR] = "or",   [BIN_AND] = "and", [BIN_EQ] = "==",    [BIN_NE] = "!=",
        [BIN_LT] = "<",    [BIN_LE] = "<=",   [BIN_GT] = ">",     [BIN_GE] = ">=",
        [BIN_ADD] = "+",   [BIN_SUB] = "-",   [BIN_MUL] = "*",    [BIN_DIV] = "/",
        [BIN_IDIV] = "//", [BIN_MOD] = "%",   [BIN_MATMUL] = "@", [BIN_POW] = "**",
    };
    return text[op];
}

const char *unary_text(UnaryOp op)
{
    return op == UN_NEG ? "-" : "not ";
}

/* ---- expressions, on one line ---- */

static void print_list(StrBuf *s, ExprList l)
{
    for (int i = 0; i < l.n; i++) {
        strbuf_add(s, i ? ", " : "");
        ast_print_expr(s, l.v[i]);
    }
}

static void print_args(StrBuf *s, ArgList l)
{
    for (int i = 0; i < l.n; i++) {
        strbuf_add(s, i ? ", " : "");
        if (l.v[i].name.text)
            strbuf_printf(s, "%s = ", l.v[i].name.text);
        ast_print_expr(s, l.v[i].value);
    }
}

static void print_index(StrBuf *s, const Index *x)
{
    if (x->kind == INDEX_DOTS) {
        strbuf_add(s, "...");
        return;
    }
    if (x->lo)
        ast_print_expr(s, x->lo);
    if (x->kind == INDEX_SLICE)
        strbuf_char(s, ':');
    if (x->hi)
        ast_print_expr(s, x->hi);
}

static void print_float(StrBuf *s, double x)
{
    size_t from = s->n;
    strbuf_double(s, x);
    if (!strpbrk(s->text + from, ".en"))
        strbuf_add(s, ".0");
}

static void print_operator(StrBuf *s, const Expr *e)
{
    strbuf_char(s, '(');
    if (e->kind == EXPR_UNARY) {
        strbuf_add(s, unary_text(e->unary.op));
        ast_print_expr(s, e->unary.of);
    } else if (e->kind == EXPR_BINARY) {
        ast_print_expr(s, e->binary.left);
        strbuf_printf(s, " %s ", binary_text(e->binary.op));
        ast_print_expr(s, e->binary.right);
    } else {
        ast_print_expr(s, e->cond.yes);
        strbuf_add(s, " if ");
        ast_print_expr(s, e->cond.test);
        strbuf_add(s, " else ");
        ast_print_expr(s, e->cond.no);
    }
    strbuf_char(s, ')');
}

static void print_indexed(StrBuf *s, const Expr *e)
{
    ast_print_expr(s, e->index.of);
    strbuf_char(s, '[');
    for (int i = 0; i < e->index.list.n; i++) {
        strbuf_add(s, i ? ", " : "");
        print_index(s, &e->index.list.v[i]);
    }
    strbuf_char(s, ']');
}

void ast_print_expr(StrBuf *s, const Expr *e)
{
    switch (e->kind) {
    case EXPR_NAME:
        strbuf_add(s, e->text);
        return;
    case EXPR_INT:
        strbuf_printf(s, "%lld", (long long)e->i);
        return;
    case EXPR_FLOAT:
        print_float(s, e->f);
        return;
    case EXPR_STRING:
        strbuf_json(s, e->text);
        return;
    case EXPR_BOOL:
        strbuf_add(s, e->b ? "true" : "false");
        return;
    case EXPR_NONE:
        strbuf_add(s, "none");
        return;
    case EXPR_TUPLE:
        strbuf_char(s, '(');
        print_list(s, e->items);
        strbuf_add(s, e->items.n == 1 ? ",)" : ")");
        return;
    case EXPR_UNARY:
    case EXPR_BINARY:
    case EXPR_IF:
        print_operator(s, e);
        return;
    case EXPR_FIELD:
        ast_print_expr(s, e->field.of);
        strbuf_printf(s, ".%s", e->field.name.text);
        return;
    case EXPR_CALL:
        ast_print_expr(s, e->call.fn);
        strbuf_char(s, '(');
        print_args(s, e->call.args);
        strbuf_char(s, ')');
        return;
    case EXPR_INDEX:
        print_indexed(s, e);
        return;
    case EXPR_TRANSPOSE:
        ast_print_expr(s, e->of);
        strbuf_char(s, '\'');
        return;
    }
    BUG("expression kind %d", (int)e->kind);
}

/* ---- the tree, one node per line ---- */

typedef struct Printer {
    StrBuf *out;
    const char *text;
    int indent;
    int line, line_start, offset; /* the place of `offset`, moved along from node to node */
} Printer;

static void move_to(Printer *p, int offset)
{
    if (offset < p->offset)
        p->line = 1, p->line_start = p->offset = 0;
    for (; p->offset < offset; p->offset++)
        if (p->text[p->offset] == '\n') {
            p->line++;
            p->line_start = p->offset + 1;
        }
}

/* Opens a line: the place, the depth, the kind of node. */
static void node(Printer *p, Span at, const char *kind)
{
    move_to(p, at.lo);
    strbuf_printf(p->out, "%*s%d:%d %s", p->indent, "", p->line, at.lo - p->line_start + 1, kind);
}

static void with_expr(Printer *p, const char *before, const Expr *e)
{
    strbuf_add(p->out, before);
    ast_print_expr(p->out, e);
}

static void print_let(Printer *p, Span at, const char *kind, const char *sign, const Let *let)
{
    node(p, at, kind);
    strbuf_printf(p->out, " %s%s", let->name.text, sign);
    ast_print_expr(p->out, let->value);
    strbuf_char(p->out, '\n');
}

static void print_assert(Printer *p, Span at, const Assert *a)
{
    node(p, at, "assert");
    with_expr(p, " ", a->test);
    if (a->message) {
        strbuf_add(p->out, ", ");
        strbuf_json(p->out, a->message);
    }
    strbuf_char(p->out, '\n');
}

static void print_shape(StrBuf *s, const Shape *shape)
{
    strbuf_char(s, '[');
    for (int i = 0; i < shape->dims.n; i++) {
        strbuf_add(s, i ? ", " : "");
        if (shape->dims.v[i].size)
            ast_print_expr(s, shape->dims.v[i].size);
        else
            strbuf_add(s, "...");
    }
    strbuf_char(s, ']');
}

static void print_names(StrBuf *s, const NameList *l)
{
    for (int i = 0; i < l->n; i++)
        strbuf_printf(s, "%s%s", i ? ", " : "", l->v[i].text);
}

static void print_stmts(Printer *p, const StmtList *l);

static void print_assign(Printer *p, const Stmt *s)
{
    node(p, s->at, "assign ");
    for (int i = 0; i < s->assign.targets.n; i++) {
        const Target *t = &s->assign.targets.v[i];
        strbuf_printf(p->out, "%s%s", i ? ", " : "", t->name.text);
        if (t->index) {
            with_expr(p, "[", t->index);
            strbuf_char(p->out, ']');
        }
    }
    strbuf_add(p->out, " = ");
    print_list(p->out, s->assign.values);
    strbuf_char(p->out, '\n');
}

static void print_stmt(Printer *p, const Stmt *s)
{
    switch (s->kind) {
    case STMT_ASSIGN:
        print_assign(p, s);
        return;
    case STMT_UPDATE:
        print_let(p, s->at, "update", " := ", &s->update);
        return;
    case STMT_RETURN:
        node(p, s->at, "return ");
        print_list(p->out, s->values);
        strbuf_char(p->out, '\n');
        return;
    case STMT_REPORT:
        print_let(p, s->at, "report", " = ", &s->let);
        return;
    case STMT_ASSERT:
        print_assert(p, s->at, &s->assertion);
        return;
    case STMT_FOR:
        node(p, s->at, "for ");
        print_names(p->out, &s->loop.vars);
        with_expr(p, " in ", s->loop.over);
        strbuf_char(p->out, '\n');
        print_stmts(p, &s->loop.body);
        return;
    case STMT_IF:
        node(p, s->at, "if");
        with_expr(p, " ", s->branch.test);
        strbuf_char(p->out, '\n');
        print_stmts(p, &s->branch.yes);
        if (s->branch.no.n) {
            strbuf_printf(p->out, "%*selse\n", p->indent, "");
            print_stmts(p, &s->branch.no);
        }
        return;
    }
    BUG("statement kind %d", (int)s->kind);
}

static void print_stmts(Printer *p, const StmtList *l)
{
    p->indent += 2;
    for (int i = 0; i < l->n; i++)
        print_stmt(p, l->v[i]);
    p->indent -= 2;
}

static void print_members(Printer *p, const MemberList *l);

static void print_input(Printer *p, const AstInput *in)
{
    strbuf_add(p->out, in->name.text);
    if (in->has_type) {
        strbuf_printf(p->out, ": %s", in->dtype.text ? in->dtype.text : "");
        print_shape(p->out, &in->shape);
    }
    if (in->fallback)
        with_expr(p, " = ", in->fallback);
}

static void print_forward(Printer *p, const Member *m)
{
    node(p, m->at, "forward(");
    for (int i = 0; i < m->forward.inputs.n; i++) {
        strbuf_add(p->out, i ? ", " : "");
        print_input(p, &m->forward.inputs.v[i]);
    }
    strbuf_add(p->out, ")\n");
    print_stmts(p, &m->forward.body);
}

static void print_tensor(Printer *p, const Member *m)
{
    node(p, m->at, m->kind == MEMBER_PARAM ? "param" : "buffer");
    strbuf_printf(p->out, " %s", m->tensor.name.text);
    print_shape(p->out, &m->tensor.shape);
    with_expr(p, " ~ ", m->tensor.init);
    strbuf_char(p->out, '\n');
}

static void print_stack(Printer *p, const Member *m)
{
    node(p, m->at, "stack");
    strbuf_printf(p->out, " %s[", m->stack.name.text);
    if (m->stack.var.text)
        strbuf_printf(p->out, "%s in ", m->stack.var.text);
    ast_print_expr(p->out, m->stack.over);
    with_expr(p, "]: ", m->stack.value);
    strbuf_char(p->out, '\n');
}

static void print_member(Printer *p, const Member *m)
{
    switch (m->kind) {
    case MEMBER_CHILD:
        print_let(p, m->at, "member", ": ", &m->child);
        return;
    case MEMBER_STACK:
        print_stack(p, m);
        return;
    case MEMBER_PARAM:
    case MEMBER_BUFFER:
        print_tensor(p, m);
        return;
    case MEMBER_LET:
        print_let(p, m->at, "let", " = ", &m->let);
        return;
    case MEMBER_ASSERT:
        print_assert(p, m->at, &m->assertion);
        return;
    case MEMBER_IF:
        node(p, m->at, "if");
        with_expr(p, " ", m->branch.test);
        strbuf_char(p->out, '\n');
        print_members(p, &m->branch.yes);
        if (m->branch.no.n) {
            strbuf_printf(p->out, "%*selse\n", p->indent, "");
            print_members(p, &m->branch.no);
        }
        return;
    case MEMBER_FORWARD:
        print_forward(p, m);
        return;
    }
    BUG("member kind %d", (int)m->kind);
}

static void print_members(Printer *p, const MemberList *l)
{
    p->indent += 2;
    for (int i = 0; i < l->n; i++)
        print_member(p, l->v[i]);
    p->indent -= 2;
}

/* ---- items ---- */

static void print_pattern(StrBuf *s, const Pattern *pattern)
{
    for (int i = 0; i < pattern->segs.n; i++) {
        const Seg *g = &pattern->segs.v[i];
        strbuf_add(s, i ? "." : "");
        switch (g->kind) {
        case SEG_NAME:
            strbuf_add(s, g->name);
            break;
        case SEG_INT:
            strbuf_printf(s, "%lld", (long long)g->lo);
            break;
        case SEG_RANGE:
            strbuf_printf(s, "%lld:%lld", (long long)g->lo, (long long)g->hi);
            break;
        case SEG_STAR:
            strbuf_add(s, "*");
            break;
        case SEG_ANY:
            strbuf_add(s, "**");
            break;
        }
    }
}

static void print_settings(Printer *p, const SettingList *l)
{
    p->indent += 2;
    for (int i = 0; i < l->n; i++) {
        const Setting *x = &l->v[i];
        node(p, x->at, "set");
        strbuf_printf(p->out, " %s", x->key.text);
        if (x->pattern) {
            strbuf_char(p->out, ' ');
            print_pattern(p->out, x->pattern);
        }
        with_expr(p, " = ", x->value);
        strbuf_char(p->out, '\n');
    }
    p->indent -= 2;
}

static void print_renames(Printer *p, const RenameList *l)
{
    p->indent += 2;
    for (int i = 0; i < l->n; i++) {
        node(p, l->v[i].at, "name ");
        print_pattern(p->out, l->v[i].pattern);
        with_expr(p, " = ", l->v[i].value);
        strbuf_char(p->out, '\n');
    }
    p->indent -= 2;
}

static void print_block(Printer *p, const Item *it)
{
    node(p, it->at, it->kind == ITEM_BLOCK ? "block" : "model");
    strbuf_printf(p->out, " %s(", it->block.name.text);
    for (int i = 0; i < it->block.params.n; i++) {
        const AstParam *x = &it->block.params.v[i];
        strbuf_printf(p->out, "%s%s", i ? ", " : "", x->name.text);
        if (x->fallback)
            with_expr(p, " = ", x->fallback);
    }
    strbuf_add(p->out, ")\n");
    print_members(p, &it->block.members);
}

static void print_item(Printer *p, const Item *it)
{
    switch (it->kind) {
    case ITEM_USE:
        node(p, it->at, "use ");
        strbuf_json(p->out, it->use.path);
        strbuf_char(p->out, '(');
        print_args(p->out, it->use.args);
        strbuf_add(p->out, ")\n");
        return;
    case ITEM_LET:
        print_let(p, it->at, "let", " = ", &it->let);
        return;
    case ITEM_BLOCK:
    case ITEM_MODEL:
        print_block(p, it);
        return;
    case ITEM_TRAIN:
        node(p, it->at, "train\n");
        print_settings(p, &it->settings);
        return;
    case ITEM_PLAN:
        node(p, it->at, "plan\n");
        print_settings(p, &it->settings);
        return;
    case ITEM_NAMES:
        node(p, it->at, "names\n");
        print_renames(p, &it->renames);
        return;
    }
    BUG("item kind %d", (int)it->kind);
}

void ast_print(StrBuf *s, const Sources *sources, const File *f)
{
    Printer p = {.out = s, .text = sources->list.v[f->source]->text, .line = 1};
    for (int i = 0; i < f->items.n; i++)
        print_item(&p, f->items.v[i]);
}
