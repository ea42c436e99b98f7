/* lower_ctx.h - the state of the pass and what its parts offer one another. Private to lower*.c.
 *
 * A function that gives a Value gives VAL_ERROR after it has reported; one that gives bool or a
 * pointer gives false or NULL then. */
#ifndef BM_LOWER_CTX_H
#define BM_LOWER_CTX_H

#include "frontend/value.h"

typedef struct FileScope FileScope;

/* A `let`, a block or the model of a file. */
typedef struct Entry {
    const char *name;
    Span at;
    int index;        /* place in the file: a let sees earlier lets only */
    const Item *item; /* NULL: replaced by -D, the value is known */
    Block *block;     /* NULL for a let */
    enum { LET_TODO, LET_BUSY, LET_DONE } state;
    Value value;
} Entry;

struct FileScope {
    const char *path, *dir; /* dir: "" or ends in '/' */
    const File *file;
    Map *entry; /* name -> Entry */
    VEC(FileScope *) used;
    VEC(Span) used_at;
    const Item *model, *train, *plan;
    Block *model_block;
    FileScope *by; /* who reads it, while it is read: a circle is an error */
};

struct Block {
    const char *name;
    const Item *item;
    FileScope *file;
    bool is_model;
};

struct Made {
    Block *block;
    Map *arg;         /* name -> Value *: arguments, later the block's lets */
    const Expr *call; /* as written; NULL for the model */
};

typedef enum SlotKind { SLOT_CHILD, SLOT_STACK, SLOT_TENSOR } SlotKind;
typedef struct Slot { /* a member */
    SlotKind kind;
    Span at;
    Inst *inst;
    Stack *stack;
    int param; /* SLOT_TENSOR: index into Model.param */
} Slot;

struct Inst {
    Block *block;
    Made *made;
    const char *path; /* "" for the model */
    Span at;          /* its declaration */
    Inst *parent;     /* NULL for the model */
    int index, unit;  /* Graph.instance */
    int depth;
    Map *member;           /* name -> Slot */
    const Member *forward; /* NULL: it has none */
    bool used;             /* called, or its members were */
};

struct Stack {
    const char *path;
    Span at;
    Inst **v;
    int n;
};

typedef struct Frame { /* one run of a forward */
    Inst *inst;
    const Member *forward;
    Map *local;  /* name -> Value *: inputs, sizes, locals */
    Map *missed; /* name -> Span *: assigned only in a branch not taken */
    Span call_at;
    bool returned;
    bool broken; /* a mistake may have hidden its `return` */
    Value result;
    Span result_at;
} Frame;

typedef struct Env { /* where names are looked up (LANGUAGE 3.1, 3.2) */
    FileScope *file;
    Map *arg;           /* of the block, or NULL */
    Inst *inst;         /* members; NULL in a block's body */
    const Block *block; /* whose body or forward this is, or NULL */
    Frame *frame;       /* NULL outside forward */
    const char *var;    /* the index of a stack, or NULL */
    Value var_value;
    int limit; /* lets of `file` at or after this place are not defined yet */
} Env;

typedef struct Lower {
    Arena *a;
    Sources *sources;
    Diag *d;
    Model *m;
    FileScope *prelude, *main;
    VEC(FileScope *) files;
    Map *op;    /* name -> Operator */
    Map *sig;   /* name of an operator -> Binding, its arguments' names */
    Map *input; /* name of a model input -> its index + 1 */
    VEC(Inst *) inst;
    VEC(bool) read;       /* per param: some forward reads it */
    VEC(Init) block_init; /* per param: what its block says, for `start .. = init` */
    Graph *g;             /* NULL while members are made and settings read */
    Program *program;
    bool training;
    bool batch_busy;
    int depth;     /* of expressions, statements and calls */
    int64_t work;  /* what was unrolled, against endless models */
    int explained; /* errors whose place in the tree of instances was told */
} Lower;

typedef struct ArgVal {
    Name name; /* text NULL: positional */
    Value v;
    Span at;
} ArgVal;

/* The names a callee takes, and what they are bound to. */
typedef struct Binding {
    const char *callee; /* "Linear" */
    Span declared;      /* shown with a mistake; file -1: `args` is shown */
    const char *args;   /* of an operator: "x, axis = none" */
    int n;
    const char **name;
    bool *optional;
    /* filled by bind_args() */
    Value *v;
    Span *at;
    bool *given;
} Binding;

/* lower.c */
FileScope *load_file(Lower *l, const char *path, Span at, FileScope *by);
bool entry_value(Lower *l, FileScope *f, Entry *e, Value *out);
const char *source_text(Lower *l, Span at); /* as written, on one line */

/* lower_name.c */
bool find_name(Lower *l, const Env *env, const char *name, Span at, Value *out);
bool is_file_name(const FileScope *f, const char *name, Span *at);
void did_you_mean(Lower *l, const Map *names, const char *name);
Map *visible_names(Lower *l, const Env *env);
Value unknown_name(Lower *l, const Env *env, const char *name, Span at);
Value slot_value(Lower *l, Inst *inst, Slot *s, Span at);
Map *declared_names(Lower *l, const Inst *inst);
const Member *declared_member(const Inst *inst, const char *name); /* also in branches not taken */
bool called_here(Lower *l, const char *name, Span at,
                 bool field); /* "here it is called ...": reported */

/* lower_const.c */
Value const_binary(Lower *l, BinaryOp op, const Value *a, const Value *b, Span at);
Value const_unary(Lower *l, UnaryOp op, const Value *v, Span at);
bool want_bool(Lower *l, const Value *v, Span at, const char *what, bool *out);
bool want_int(Lower *l, const Value *v, Span at, const char *what, int64_t *out);
bool want_number(Lower *l, const Value *v, Span at, const char *what, double *out);
bool eval_int(Lower *l, const Env *env, const Expr *e, const char *what, int64_t *out);
bool eval_bool(Lower *l, const Env *env, const Expr *e, const char *what, bool *out);
bool is_constant(const Value *v);
bool check_assert(Lower *l, const Env *env, const Assert *a);

/* lower_expr.c */
Value eval(Lower *l, const Env *env, const Expr *e);
Value eval_index(Lower *l, const Env *env, const Expr *e);
Value pick_element(Lower *l, const Value *of, int64_t i, Span at);

/* lower_block.c */
Inst *make_instance(Lower *l, Made *made, const char *path, Span at, Inst *parent, bool element);
void check_used(Lower *l);
bool enter(Lower *l, Span at); /* one level deeper, one more piece of work; `leave` after true */
void leave(Lower *l);

/* lower_stmt.c */
void run_body(Lower *l, Env *env, const StmtList *body);

/* lower_call.c */
void binding_size(Lower *l, Binding *b, int n);
bool bind_args(Lower *l, Binding *b, const ArgVal *arg, int n, Span call);
Value call_value(Lower *l, const Env *env, const Expr *call, const Value *fn, const ArgVal *arg,
                 int n);
Frame *new_frame(Lower *l, Inst *inst, Span call);
Env body_env(Inst *inst, Frame *f); /* f NULL: of the block's body */
Value run_forward(Lower *l, Env *env);

/* lower_input.c */
bool check_input(Lower *l, const Env *env, const AstInput *in, Value *v, Span arg_at);
Node *run_model(Lower *l, Inst *root); /* the loss */

/* lower_tensor.c */
Value tensor_value(Node *n); /* VAL_ERROR for NULL and for nodes of DT_ERROR */
Node *to_node(Lower *l, const Value *v, Span at, DType like);
Value build_binary(Lower *l, BinaryOp op, const Value *a, const Value *b, Span at,
                   const Span operand[2]);
/* One note per tensor: where it was declared or named, else its expression `where` (NULL: none). */
Node *as_float(Lower *l, Node *n);
void operand_notes(Lower *l, Node *const n[], const Span where[], int count);

/* lower_settings.c */
void lower_settings(Lower *l);
void check_data(Lower *l, const Data *d, const char *key); /* lower_ops_settings.c */
bool batch_size(Lower *l, Span at, Value *out);

/* lower_plan.c */
void plan_request_init(Lower *l); /* nothing is asked for */

/* lower_pattern.c */
bool pattern_matches(const Pattern *p, const char *path); /* what lies below a match, too */
/* Some parameter matches, or some element of a stack; else reported. */
bool pattern_known(Lower *l, const Pattern *p);
bool pattern_has_unit(Lower *l, const Pattern *p, const char *key);
const char *pattern_text(Arena *a, const Pattern *p);

#endif
