/* ast.h - what a .bm file says, as plain data: one struct per grammar rule of the language.
 *
 * Built by the parser, read by `lower`. Nothing here is looked up or checked: a name is text, a
 * number has its unit applied (2GiB is 2147483648), the order is the file's. All of it lives in the
 * arena given to parse_file(). Every node has the span of the text it came from.
 *
 * In a tagged struct the comment of a tag names the union member it uses; tags without one use
 * none. Lists are VECs: list.v[i], list.n. A pass may recurse over the tree: nothing is nested
 * deeper than AST_MAX_DEPTH (a chain a + b + c counts one level per operator). */
#ifndef BM_AST_H
#define BM_AST_H

#include "frontend/base/source.h"
#include "frontend/base/strbuf.h"
#include "frontend/base/vec.h"

enum { AST_MAX_DEPTH = 1000 };

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef struct Member Member;
typedef struct Item Item;

/* A name where it is written. `text` is NULL where the grammar lets it be left out. */
typedef struct Name {
    const char *text;
    Span at;
} Name;

typedef VEC(Name) NameList;
typedef VEC(Expr *) ExprList;
typedef VEC(Stmt *) StmtList;
typedef VEC(Member *) MemberList;

/* ---- expressions ---- */

typedef struct Arg { /* of a call, and of `use` */
    Span at;
    Name name; /* text NULL: positional. The order is the file's, also when that is a mistake */
    Expr *value;
} Arg;
typedef VEC(Arg) ArgList;

typedef enum IndexKind { INDEX_AT, INDEX_DOTS, INDEX_SLICE } IndexKind;
typedef struct Index { /* one place between the brackets of t[..] */
    IndexKind kind;
    Span at;
    Expr *lo; /* INDEX_AT: the index; INDEX_SLICE: the first, NULL when left out */
    Expr *hi; /* INDEX_SLICE: one past the last, NULL when left out */
} Index;
typedef VEC(Index) IndexList;

typedef enum UnaryOp { UN_NEG, UN_NOT } UnaryOp;

typedef enum BinaryOp {
    BIN_OR,
    BIN_AND,
    BIN_EQ,
    BIN_NE,
    BIN_LT,
    BIN_LE,
    BIN_GT,
    BIN_GE,
    BIN_ADD,
    BIN_SUB,
    BIN_MUL,
    BIN_DIV,
    BIN_IDIV,
    BIN_MOD,
    BIN_MATMUL,
    BIN_POW
} BinaryOp;

typedef enum ExprKind {
    EXPR_NAME,      /* text */
    EXPR_INT,       /* i; a whole number with a unit too: 1.5k */
    EXPR_FLOAT,     /* f */
    EXPR_STRING,    /* text, without the quotes */
    EXPR_BOOL,      /* b */
    EXPR_NONE,      /*  */
    EXPR_TUPLE,     /* items: () is empty, (x,) has one; (x) is x itself */
    EXPR_UNARY,     /* unary */
    EXPR_BINARY,    /* binary */
    EXPR_IF,        /* cond: `yes if test else no` */
    EXPR_FIELD,     /* field: `of.name` */
    EXPR_CALL,      /* call */
    EXPR_INDEX,     /* index */
    EXPR_TRANSPOSE, /* of: `of'` */
} ExprKind;

struct Expr {
    ExprKind kind;
    bool parens; /* written inside (); `at` includes them */
    int depth;   /* levels of expression below and including this one */
    Span at;
    union {
        const char *text;
        int64_t i;
        double f;
        bool b;
        ExprList items;
        Expr *of;
        struct {
            UnaryOp op;
            Expr *of;
        } unary;
        struct {
            BinaryOp op;
            Span op_at;
            Expr *left, *right;
        } binary;
        struct {
            Expr *yes, *test, *no;
        } cond;
        struct {
            Expr *of;
            Name name;
        } field;
        struct {
            Expr *fn;
            ArgList args;
        } call;
        struct {
            Expr *of;
            IndexList list;
        } index;
    };
};

/* ---- what several places share ---- */

typedef struct Let { /* let name = value */
    Name name;
    Expr *value;
} Let;

typedef struct Assert { /* assert test, "message" */
    Expr *test;
    const char *message; /* NULL when left out */
} Assert;

typedef struct Dim {
    Span at;
    Expr *size; /* NULL: `...` */
} Dim;
typedef struct Shape { /* [d, d, ...]; [] is a scalar */
    Span at;
    VEC(Dim) dims;
} Shape;

typedef enum SegKind {
    SEG_NAME,  /* name */
    SEG_INT,   /* lo: one stack element */
    SEG_RANGE, /* lo:hi, half-open */
    SEG_STAR,  /* `*`: one whole segment */
    SEG_ANY,   /* `**`: any number of segments */
} SegKind;
typedef struct Seg {
    SegKind kind;
    Span at;
    const char *name;
    int64_t lo, hi;
} Seg;
typedef struct Pattern { /* h.0:6.*.weight */
    Span at;
    VEC(Seg) segs;
} Pattern;

/* ---- statements of `forward` ---- */

typedef struct Target { /* name, or name[index] */
    Span at;
    Name name;
    Expr *index; /* NULL: the name itself */
} Target;
typedef VEC(Target) TargetList;

typedef enum StmtKind {
    STMT_ASSIGN, /* assign: a, b[k] = x, y */
    STMT_UPDATE, /* update: buffer := value */
    STMT_RETURN, /* values */
    STMT_REPORT, /* let: report name = value */
    STMT_ASSERT, /* assertion */
    STMT_FOR,    /* loop: for a, b in over { body } */
    STMT_IF,     /* branch */
} StmtKind;

struct Stmt {
    StmtKind kind;
    int depth;
    Span at;
    union {
        struct {
            TargetList targets;
            ExprList values;
        } assign;
        Let update, let;
        ExprList values;
        Assert assertion;
        struct {
            NameList vars;
            Expr *over;
            StmtList body;
        } loop;
        struct {
            Expr *test;
            StmtList yes, no; /* `else if` is a `no` of one STMT_IF */
        } branch;
    };
};

/* ---- members of a block or model ---- */

typedef struct AstInput { /* of forward: x, x: int[T], x = none */
    Span at;
    Name name;
    bool has_type;
    Name dtype;     /* has_type; text NULL: float */
    Shape shape;    /* has_type; no dims: a scalar */
    Expr *fallback; /* NULL when there is none */
} AstInput;
typedef VEC(AstInput) AstInputList;

typedef enum MemberKind {
    MEMBER_CHILD,   /* child: name: value */
    MEMBER_STACK,   /* stack: name[count]: value, name[i in over]: value */
    MEMBER_PARAM,   /* tensor: name: param[shape] ~ init */
    MEMBER_BUFFER,  /* tensor: name: buffer[shape] ~ init */
    MEMBER_LET,     /* let */
    MEMBER_ASSERT,  /* assertion */
    MEMBER_IF,      /* branch */
    MEMBER_FORWARD, /* forward */
} MemberKind;

struct Member {
    MemberKind kind;
    int depth;
    Span at;
    union {
        Let child, let;
        struct {
            Name name;
            Name var; /* text NULL: name[count] */
            Expr *over;
            Expr *value;
        } stack;
        struct {
            Name name;
            Shape shape;
            Expr *init;
        } tensor;
        Assert assertion;
        struct {
            Expr *test;
            MemberList yes, no;
        } branch;
        struct {
            Span head; /* `forward(inputs)` without its body */
            AstInputList inputs;
            StmtList body;
        } forward;
    };
};

/* ---- items of a file ---- */

typedef struct AstParam { /* of a block: name, name = fallback */
    Span at;
    Name name;
    Expr *fallback; /* NULL when there is none */
} AstParam;
typedef VEC(AstParam) AstParamList;

typedef struct Setting { /* key = value, key pattern = value */
    Span at;
    Name key;
    Pattern *pattern; /* NULL when left out */
    Expr *value;
} Setting;
typedef VEC(Setting) SettingList;

typedef struct Rename { /* pattern = value, in `names` */
    Span at;
    Pattern *pattern;
    Expr *value;
} Rename;
typedef VEC(Rename) RenameList;

typedef enum ItemKind {
    ITEM_USE,   /* use */
    ITEM_LET,   /* let */
    ITEM_BLOCK, /* block */
    ITEM_MODEL, /* block, with no params */
    ITEM_TRAIN, /* settings */
    ITEM_PLAN,  /* settings */
    ITEM_NAMES, /* renames */
} ItemKind;

struct Item {
    ItemKind kind;
    Span at;
    Span head; /* the part before `{`; the whole of `use` and `let` */
    union {
        struct {
            const char *path;
            Span path_at;
            ArgList args;
        } use;
        Let let;
        struct {
            Name name;
            AstParamList params;
            MemberList members;
        } block;
        SettingList settings;
        RenameList renames;
    };
};

typedef struct File {
    int source; /* index into Sources */
    VEC(Item *) items;
} File;

const char *binary_text(BinaryOp op); /* "+", "and", ... as written */
const char *unary_text(UnaryOp op);

/* The tree for people and tests (--emit=ast): one node per line, `LINE:COLUMN kind facts`, children
 * indented by two. Stable: the same file gives the same text. */
void ast_print(StrBuf *s, const Sources *sources, const File *f);
void ast_print_expr(StrBuf *s, const Expr *e); /* one line, every operator in parentheses */

#endif
