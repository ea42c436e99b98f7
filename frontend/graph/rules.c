/* rules.c - op_type() and what the rules share; phases and further results of a node. */
#include "frontend/graph/rules.h"

#include <inttypes.h>

const Type type_error = {.dtype = DT_ERROR};

static RuleFn *const rule[N_OPS] = {
#define OP(id, name, sizes, gradient, cost, kernel) [OP_##id] = rule_##sizes,
#include "frontend/graph/ops.def"
#undef OP
};

const char *op_symbol(Op op)
{
    static const char *const sign[N_OPS] = {
        [OP_NEG] = "-",   [OP_ADD] = "+",    [OP_SUB] = "-",     [OP_MUL] = "*",
        [OP_DIV] = "/",   [OP_POW] = "**",   [OP_IDIV] = "//",   [OP_MOD] = "%",
        [OP_LT] = "<",    [OP_LE] = "<=",    [OP_EQ] = "==",     [OP_NE] = "!=",
        [OP_AND] = "and", [OP_MATMUL] = "@", [OP_ASSIGN] = ":=", [OP_MAX_OF] = "max",
    };
    return sign[op] ? sign[op] : op_info[op].name;
}

bool op_wants_float(Op op)
{
    return rule[op] == rule_unary_float || rule[op] == rule_binary_float || rule[op] == rule_row ||
           rule[op] == rule_row_keep || rule[op] == rule_matmul;
}

const char *rule_text(const Rule *r, int i)
{
    return type_text(r->g->arena, &r->in[i]->type);
}

static void operand_note(const Rule *r, const Node *x)
{
    Diag *d = r->g->diag;
    const char *text = type_text(r->g->arena, &x->type);
    if (x->at.file < 0)
        return;
    if (x->op == OP_PARAM || x->op == OP_BUFFER)
        diag_note(d, x->at, "%s `%s` is %s", op_info[x->op].name, x->path, text);
    else if (x->name)
        diag_note(d, x->at, "`%s` is %s", x->name, text);
    else
        diag_note(d, x->at, "this is %s", text);
}

Type rule_error(const Rule *r, const char *fmt, ...)
{
    StrBuf s = strbuf_new(r->g->arena);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vprintf(&s, fmt, ap);
    va_end(ap);
    diag_error(r->g->diag, r->g->at, "%s", s.text);
    for (int i = 0; i < r->n_in && i < 3; i++)
        if (r->in[i]->at.file != r->g->at.file || r->in[i]->at.lo != r->g->at.lo)
            operand_note(r, r->in[i]);
    return type_error;
}

bool rule_operands(const Rule *r, int least, int most)
{
    if (r->n_in >= least && r->n_in <= most)
        return true;
    BUG("%s has %d operands", op_info[r->op].name, r->n_in);
}

bool rule_float(const Rule *r, int i)
{
    if (r->in[i]->type.dtype == DT_F32)
        return true;
    rule_error(r, "`%s` needs a float, got %s", op_symbol(r->op), rule_text(r, i));
    return false;
}

bool rule_int(const Rule *r, int i)
{
    if (r->in[i]->type.dtype == DT_INT)
        return true;
    rule_error(r, "`%s` needs int indices, got %s", op_symbol(r->op), rule_text(r, i));
    return false;
}

bool rule_one_axis(const Rule *r, uint32_t axes)
{
    const Type *t = &r->in[0]->type;
    if (axes && !(axes & (axes - 1)) && axes < 1u << t->ndim)
        return true;
    rule_error(r, "`%s` goes over one axis, which %s must have", op_symbol(r->op), rule_text(r, 0));
    return false;
}

bool broadcast_leading(const Type *a, const Type *b, int keep, Type *out)
{
    int na = a->ndim - keep, nb = b->ndim - keep, n = na > nb ? na : nb;
    for (int i = 1; i <= n; i++) {
        int64_t x = i <= na ? a->dim[na - i] : 1, y = i <= nb ? b->dim[nb - i] : 1;
        if (x != y && x != 1 && y != 1)
            return false;
        out->dim[n - i] = x == 1 ? y : x;
    }
    out->ndim = n;
    return true;
}

bool broadcast_dims(const Type *a, const Type *b, Type *out)
{
    return broadcast_leading(a, b, 0, out);
}

/* Sizes are checked here, once: later code multiplies them freely. */
static Type checked_size(const Rule *r, Type t)
{
    if (t.dtype == DT_ERROR)
        return t;
    int64_t n = 1;
    for (int i = 0; i < t.ndim; i++) {
        if (t.dim[i] < 1)
            return rule_error(r, "`%s` gives %s: a size must be at least 1", op_symbol(r->op),
                              type_text(r->g->arena, &t));
        if (!mul_ok(n, t.dim[i], &n) || n > (int64_t)1 << 48)
            return rule_error(r, "`%s` gives %s: more than 2^48 elements", op_symbol(r->op),
                              type_text(r->g->arena, &t));
    }
    return t;
}

Type op_type(Graph *g, Op op, Node *const in[], int n_in, const Attr *attr, const Type *type)
{
    static const Attr none;
    Rule r = {g, op, in, n_in, attr ? attr : &none, type};
    for (int i = 0; i < n_in; i++)
        if (in[i]->type.dtype == DT_ERROR)
            return type_error;
    Type t = checked_size(&r, rule[op](&r));
    for (int i = 0; i < n_in && t.batched; i++)
        if (phase_ready(in[i]) >= PHASE_POST)
            return rule_error(
                &r, "this is a value per sample, but it uses an average: that is complete "
                    "only after the last sample of the batch");
    for (int i = t.ndim; i < BM_DIMS; i++)
        t.dim[i] = 0;
    return t;
}

static bool is_leaf(Op op)
{
    return op_info[op].kernel[0] == 'L' || op == OP_CONST || op == OP_IOTA;
}

static bool sums_samples(Op op)
{
    return op == OP_BATCH_SUM || op == OP_MATMUL_ACC || op == OP_SCATTER || op == OP_AVERAGE;
}

Phase phase_of(const Graph *g, Op op, Node *const in[], int n_in, const Type *type)
{
    if (op == OP_ASSIGN)
        return PHASE_UPDATE;
    bool any_batched = type->batched;
    Phase p =
        op == OP_SUM_SQUARES ? PHASE_POST : PHASE_PRE; /* of gradients, wherever they come from */
    for (int i = 0; i < n_in; i++) {
        any_batched |= in[i]->type.batched;
        Phase q = phase_ready(in[i]);
        p = q > p ? q : p;
    }
    if (any_batched) {
        Phase own = g->weight ? PHASE_WEIGHT : PHASE_ROUND;
        return p > own ? p : own;
    }
    return g->update && !is_leaf(op) ? PHASE_UPDATE : p;
}

bool is_accumulator(const Node *n)
{
    if (!sums_samples(n->op) || n->type.batched)
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->type.batched)
            return true;
    return false;
}

Phase phase_ready(const Node *n)
{
    if (!is_accumulator(n))
        return n->phase;
    return n->phase == PHASE_WEIGHT ? PHASE_MID : PHASE_POST;
}

int op_parts(const Node *n, Type part[3])
{
    if (n->op == OP_TOP_K) {
        part[0] = n->type;
        part[0].dtype = DT_INT;
        return 1;
    }
    if (n->op != OP_ATTENTION && n->op != OP_ATTENTION_GRAD)
        return 0;
    int heads = n->attr.attention.heads;
    int64_t tq = n->in[0]->type.dim[0], tk = n->in[1]->type.dim[0];
    Type t = {.dtype = DT_F32, .batched = n->type.batched};
    if (n->op == OP_ATTENTION) {
        t.ndim = 2;
        t.dim[0] = heads;
        t.dim[1] = tq;
        part[0] = t;
        return 1;
    }
    part[0] = n->in[1]->type;
    part[1] = n->in[2]->type;
    part[0].batched = part[1].batched = t.batched;
    t.ndim = 3;
    t.dim[0] = heads;
    t.dim[1] = tq;
    t.dim[2] = tk;
    part[2] = t;
    return n->attr.attention.has_bias ? 3 : 2;
}
