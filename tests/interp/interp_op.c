/* interp_op.c - every op but attention. */
#include "tests/interp/interp.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* ---- indices ---- */

static void unravel(const Type *t, int64_t flat, int64_t *index)
{
    for (int i = t->ndim - 1; i >= 0; i--) {
        index[i] = flat % t->dim[i];
        flat /= t->dim[i];
    }
}

static int64_t ravel(const Type *t, const int64_t *index)
{
    int64_t flat = 0;
    for (int i = 0; i < t->ndim; i++)
        flat = flat * t->dim[i] + index[i];
    return flat;
}

/* Where element `flat` of `to` comes from in a `from` that broadcasts to it. */
static int64_t source(const Type *to, const Type *from, int64_t flat)
{
    int64_t index[BM_DIMS + 1], own[BM_DIMS + 1];
    unravel(to, flat, index);
    for (int i = 0; i < from->ndim; i++)
        own[i] = from->dim[i] == 1 ? 0 : index[to->ndim - from->ndim + i];
    return ravel(from, own);
}

/* The element of a reduction's result (reduced axes have size 1) that x's element goes to. */
static int64_t target(const Type *x, const Type *result, int64_t flat)
{
    return source(x, result, flat);
}

static int axis_of(uint32_t axes)
{
    int i = 0;
    while (!(axes >> i & 1))
        i++;
    return i;
}

/* ---- scalars ---- */

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
}

static double gelu_tanh_d(double x)
{
    double c = sqrt(2 / pi), t = tanh(c * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double one(Op op, double a)
{
    switch (op) {
    case OP_NEG:
        return -a;
    case OP_ABS:
        return fabs(a);
    case OP_SIGN:
        return (a > 0) - (a < 0);
    case OP_FLOOR:
        return floor(a);
    case OP_SQRT:
        return sqrt(a);
    case OP_EXP:
        return exp(a);
    case OP_LOG:
        return log(a);
    case OP_SIN:
        return sin(a);
    case OP_COS:
        return cos(a);
    case OP_TANH:
        return tanh(a);
    case OP_ERF:
        return erf(a);
    case OP_SIGMOID:
        return sigmoid(a);
    case OP_RELU:
        return a < 0 ? 0 : a;
    case OP_GELU:
        return 0.5 * a * (1 + erf(a / sqrt(2)));
    case OP_GELU_TANH:
        return gelu_tanh(a);
    case OP_GELU_TANH_D:
        return gelu_tanh_d(a);
    case OP_SILU:
        return a * sigmoid(a);
    case OP_SOFTPLUS:
        return fmax(a, 0) + log1p(exp(-fabs(a)));
    case OP_ELU:
        return a > 0 ? a : expm1(a);
    case OP_NOT:
        return a == 0;
    case OP_DETACH:
        return a;
    default:
        BUG("interp: %s has no meaning here", op_info[op].name);
    }
}

static double two(Op op, double a, double b)
{
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return a / b;
    case OP_MAX:
        return isnan(b) || a < b ? b : a;
    case OP_MIN:
        return isnan(b) || a > b ? b : a;
    case OP_POW:
        return pow(a, b);
    case OP_IDIV:
        return floor(a / b);
    case OP_MOD:
        return a - b * floor(a / b);
    case OP_LT:
        return a < b;
    case OP_LE:
        return a <= b;
    case OP_EQ:
        return a == b;
    case OP_NE:
        return a != b;
    case OP_AND:
        return a != 0 && b != 0;
    case OP_OR:
        return a != 0 || b != 0;
    default:
        BUG("interp: %s has no meaning here", op_info[op].name);
    }
}

static double cast(double v, DType to)
{
    return to == DT_BOOL ? v != 0 : to == DT_INT ? trunc(v) : v;
}

/* ---- elementwise and views: one value per element of the result ---- */

static double operand(const Interp *it, const Node *n, int i, int s, int64_t e)
{
    return interp_at(it, n->in[i], s)[source(&n->type, &n->in[i]->type, e)];
}

static double element(const Interp *it, const Node *n, int s, int64_t e)
{
    if (n->op == OP_WHERE)
        return operand(it, n, operand(it, n, 0, s, e) != 0 ? 1 : 2, s, e);
    if (n->op == OP_CAST)
        return cast(operand(it, n, 0, s, e), n->type.dtype);
    if (n->n_in == 1)
        return one(n->op, operand(it, n, 0, s, e));
    return two(n->op, operand(it, n, 0, s, e), operand(it, n, 1, s, e));
}

static double moved(const Interp *it, const Node *n, int s, int64_t e)
{
    int64_t at[BM_DIMS], from[BM_DIMS];
    const Type *x = &n->in[0]->type;
    if (n->op == OP_RESHAPE || n->op == OP_GRAD)
        return interp_at(it, n->in[0], s)[e];
    if (n->op == OP_BROADCAST)
        return operand(it, n, 0, s, e);
    unravel(&n->type, e, at);
    memcpy(from, at, sizeof at);
    if (n->op == OP_TRANSPOSE)
        for (int i = 0; i < x->ndim; i++)
            from[n->attr.transpose.perm[i]] = at[i];
    else if (n->op == OP_SLICE)
        from[n->attr.slice.axis] += n->attr.slice.lo;
    else
        from[n->attr.pad.axis] -= n->attr.pad.before;
    if (n->op == OP_PAD &&
        (from[n->attr.pad.axis] < 0 || from[n->attr.pad.axis] >= x->dim[n->attr.pad.axis]))
        return 0;
    return interp_at(it, n->in[0], s)[ravel(x, from)];
}

static double joined(const Interp *it, const Node *n, int s, int64_t e)
{
    int64_t at[BM_DIMS];
    int axis = n->attr.concat.axis, i = 0;
    unravel(&n->type, e, at);
    while (at[axis] >= n->in[i]->type.dim[axis])
        at[axis] -= n->in[i++]->type.dim[axis];
    return interp_at(it, n->in[i], s)[ravel(&n->in[i]->type, at)];
}

static double index_value(const Interp *it, const Node *n, int s, int64_t e)
{
    int64_t at[BM_DIMS + 1] = {0};
    if (n->op == OP_CONST)
        return n->attr.constant.value;
    if (n->op == OP_SAMPLE_INDEX)
        return (double)(it->sample0 + s);
    if (n->op == OP_RANDOM)
        return it->random(it->ctx, n->attr.random.site, n->attr.random.per_step,
                          n->type.batched ? it->sample0 + s : 0, e);
    unravel(&n->type, e, at);
    return (double)(n->attr.iota.start + n->attr.iota.step * at[n->attr.iota.axis]);
}

static double gathered(const Interp *it, const Node *n, int s, int64_t e)
{
    const Node *table = n->in[0], *idx = n->in[1];
    int64_t width = type_count(&table->type) / table->type.dim[0];
    double row = interp_at(it, idx, s)[e / width];
    if (row < 0 || row >= (double)table->type.dim[0])
        BUG("interp: index %g outside a table of %lld rows", row, (long long)table->type.dim[0]);
    return interp_at(it, table, s)[(int64_t)row * width + e % width];
}

static double picked(const Interp *it, const Node *n, int s, int64_t e)
{
    const Type *x = &n->in[0]->type;
    int64_t width = x->dim[x->ndim - 1];
    return interp_at(it, n->in[0], s)[e * width + (int64_t)interp_at(it, n->in[1], s)[e]];
}

static double hot(const Interp *it, const Node *n, int s, int64_t e)
{
    int64_t rows = n->attr.scatter.rows;
    return interp_at(it, n->in[0], s)[e / rows] == (double)(e % rows);
}

static double product(const Interp *it, const Node *n, int s, int64_t e)
{
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type;
    int64_t k = a->dim[a->ndim - 1], at[BM_DIMS], ia[BM_DIMS], ib[BM_DIMS];
    int d = n->type.ndim;
    unravel(&n->type, e, at);
    for (int i = 0; i < a->ndim; i++)
        ia[i] = a->dim[i] == 1 ? 0 : at[d - a->ndim + i];
    for (int i = 0; i < b->ndim; i++)
        ib[i] = b->dim[i] == 1 ? 0 : at[d - b->ndim + i];
    double sum = 0;
    for (int64_t j = 0; j < k; j++) {
        ia[a->ndim - 1] = j;
        ib[b->ndim - 2] = j;
        sum += interp_at(it, n->in[0], s)[ravel(a, ia)] * interp_at(it, n->in[1], s)[ravel(b, ib)];
    }
    return sum;
}

/* ---- rows ---- */

/* One line of x along an axis: `count` elements, `step` apart. */
typedef struct Line {
    double *x, *y;
    int64_t count, step;
} Line;

typedef void LineFn(const Node *n, Line l);

static void over_lines(const Interp *it, const Node *n, int axis, LineFn *f)
{
    const Type *x = &n->in[0]->type;
    int64_t step = 1, count = x->dim[axis], total = type_count(x), out = n->type.dim[axis];
    for (int i = axis + 1; i < x->ndim; i++)
        step *= x->dim[i];
    for (int s = 0; s < (n->type.batched ? it->batch : 1); s++)
        for (int64_t i = 0; i < total / count; i++) {
            int64_t outer = i / step, inner = i % step;
            f(n, (Line){interp_at(it, n->in[0], s) + outer * count * step + inner,
                        interp_at(it, n, s) + outer * out * step + inner, count, step});
        }
}

static double largest(Line l)
{
    double top = l.x[0];
    for (int64_t i = 1; i < l.count; i++)
        top = l.x[i * l.step] > top ? l.x[i * l.step] : top;
    return top;
}

static double exp_sum(Line l, double top)
{
    double sum = 0;
    for (int64_t i = 0; i < l.count; i++)
        sum += exp(l.x[i * l.step] - top);
    return sum;
}

static void softmax(const Node *n, Line l)
{
    (void)n;
    double top = largest(l), sum = exp_sum(l, top);
    for (int64_t i = 0; i < l.count; i++)
        l.y[i * l.step] = exp(l.x[i * l.step] - top) / sum;
}

static void logsumexp(const Node *n, Line l)
{
    (void)n;
    double top = largest(l);
    l.y[0] = isinf(top) ? top : top + log(exp_sum(l, top));
}

static void argmax(const Node *n, Line l)
{
    (void)n;
    int64_t best = 0;
    for (int64_t i = 1; i < l.count; i++)
        if (l.x[i * l.step] > l.x[best * l.step])
            best = i;
    l.y[0] = (double)best;
}

static void cumsum(const Node *n, Line l)
{
    double sum = 0;
    for (int64_t i = 0; i < l.count; i++) {
        int64_t k = n->attr.cumsum.reverse ? l.count - 1 - i : i;
        sum += l.x[k * l.step];
        l.y[k * l.step] = sum;
    }
}

/* The k largest, the earlier of equals first; indices are part 1. */
static void top_k(const Interp *it, const Node *n)
{
    const Type *x = &n->in[0]->type;
    int64_t width = x->dim[x->ndim - 1], rows = interp_count(it, n->in[0]) / width;
    int k = n->attr.top_k.k;
    for (int64_t r = 0; r < rows; r++) {
        const double *v = it->value[n->in[0]->id] + r * width;
        double *out = it->value[n->id] + r * k, *at = interp_part(it, n, 1) + r * k;
        for (int j = 0; j < k; j++) {
            int64_t best = -1;
            for (int64_t i = 0; i < width; i++) {
                bool taken = false;
                for (int t = 0; t < j; t++)
                    taken |= at[t] == (double)i;
                if (!taken && (best < 0 || v[i] > v[best]))
                    best = i;
            }
            at[j] = (double)best;
            out[j] = v[best];
        }
    }
}

/* ---- sums ---- */

static void reduce(const Interp *it, const Node *n)
{
    const Node *x = n->in[0];
    bool max = n->op == OP_MAX_OF;
    for (int64_t i = 0; i < interp_count(it, n); i++)
        it->value[n->id][i] = max ? -INFINITY : 0;
    for (int s = 0; s < (x->type.batched ? it->batch : 1); s++)
        for (int64_t i = 0; i < type_count(&x->type); i++) {
            double v = interp_at(it, x, s)[i];
            double *y = &interp_at(it, n, s)[target(&x->type, &n->type, i)];
            *y = max ? (isnan(v) || v > *y ? v : *y) : *y + v;
        }
}

static bool any_batched(const Node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->type.batched)
            return true;
    return false;
}

static void matmul_acc(const Interp *it, const Node *n)
{
    const Node *a = n->in[0], *b = n->in[1];
    int64_t m = n->type.dim[0], k = n->type.dim[1], rows = type_count(&a->type) / m;
    for (int s = 0; s < it->batch; s++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < k; j++)
                    it->value[n->id][i * k + j] +=
                        interp_at(it, a, s)[r * m + i] * interp_at(it, b, s)[r * k + j];
}

static void scatter(const Interp *it, const Node *n)
{
    const Node *idx = n->in[0], *dy = n->in[1];
    int64_t rows = type_count(&idx->type), width = type_count(&dy->type) / rows;
    for (int s = 0; s < (any_batched(n) ? it->batch : 1); s++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < width; i++)
                it->value[n->id][(int64_t)interp_at(it, idx, s)[r] * width + i] +=
                    interp_at(it, dy, s)[r * width + i];
}

static void average(const Interp *it, const Node *n)
{
    const Node *x = n->in[0], *w = n->n_in > 1 ? n->in[1] : NULL;
    Type full = x->type;
    for (int i = 0; w && i < w->type.ndim; i++) {
        int k = full.ndim - w->type.ndim + i;
        if (k < 0) { /* w has more axes: take its shape, x's sizes where w's are 1 */
            Type t = w->type;
            for (int j = 0; j < x->type.ndim; j++)
                if (t.dim[t.ndim - x->type.ndim + j] == 1)
                    t.dim[t.ndim - x->type.ndim + j] = x->type.dim[j];
            full = t;
            break;
        }
        if (full.dim[k] == 1)
            full.dim[k] = w->type.dim[i];
    }
    double num = 0, den = 0;
    for (int s = 0; s < (any_batched(n) ? it->batch : 1); s++)
        for (int64_t i = 0; i < type_count(&full); i++) {
            double v = w ? interp_at(it, w, s)[source(&full, &w->type, i)] : 1;
            num += v * interp_at(it, x, s)[source(&full, &x->type, i)];
            den += v;
        }
    it->value[n->id][0] = den == 0 ? 0 : num / den;
}

static void sum_squares(const Interp *it, const Node *n)
{
    for (int k = 0; k < n->n_in; k++)
        for (int64_t i = 0; i < type_count(&n->in[k]->type); i++)
            it->value[n->id][0] += pow(it->value[n->in[k]->id][i], 2);
}

static void copy(const Interp *it, const Node *n, const double *from)
{
    memcpy(it->value[n->id], from, (size_t)interp_count(it, n) * sizeof *from);
}

typedef double ElementFn(const Interp *it, const Node *n, int s, int64_t e);

static ElementFn *element_fn(Op op)
{
    switch (op) {
    case OP_CONST:
    case OP_IOTA:
    case OP_SAMPLE_INDEX:
    case OP_RANDOM:
        return index_value;
    case OP_RESHAPE:
    case OP_GRAD:
    case OP_TRANSPOSE:
    case OP_SLICE:
    case OP_BROADCAST:
    case OP_PAD:
        return moved;
    case OP_CONCAT:
        return joined;
    case OP_GATHER:
        return gathered;
    case OP_PICK:
        return picked;
    case OP_ONE_HOT:
        return hot;
    case OP_MATMUL:
        return product;
    default:
        return op_info[op].map || op == OP_CAST ? element : NULL;
    }
}

/* Ops whose value is a copy of something. */
static const double *copied(const Interp *it, const Node *n)
{
    if (!strcmp(op_info[n->op].kernel, "LEAF"))
        return it->leaf(it->ctx, n);
    if (n->op == OP_PART)
        return interp_part(it, n->in[0], n->attr.part.index);
    return n->op == OP_ASSIGN ? it->value[n->in[1]->id] : NULL;
}

void interp_node(Interp *it, const Node *n)
{
    ElementFn *f = element_fn(n->op);
    const double *from = f ? NULL : copied(it, n);
    for (int s = 0; f && s < (n->type.batched ? it->batch : 1); s++)
        for (int64_t e = 0; e < type_count(&n->type); e++)
            interp_at(it, n, s)[e] = f(it, n, s, e);
    if (from)
        copy(it, n, from);
    if (f || from)
        return;
    switch (n->op) {
    case OP_SUM:
    case OP_MAX_OF:
    case OP_BATCH_SUM:
        reduce(it, n);
        return;
    case OP_SOFTMAX:
        over_lines(it, n, axis_of(n->attr.reduce.axes), softmax);
        return;
    case OP_LOGSUMEXP:
        over_lines(it, n, axis_of(n->attr.reduce.axes), logsumexp);
        return;
    case OP_ARGMAX:
        over_lines(it, n, axis_of(n->attr.reduce.axes), argmax);
        return;
    case OP_CUMSUM:
        over_lines(it, n, axis_of(n->attr.cumsum.axes), cumsum);
        return;
    case OP_TOP_K:
        top_k(it, n);
        return;
    case OP_SCATTER:
        scatter(it, n);
        return;
    case OP_MATMUL_ACC:
        matmul_acc(it, n);
        return;
    case OP_ATTENTION:
        interp_attention(it, n);
        return;
    case OP_ATTENTION_GRAD:
        interp_attention_grad(it, n);
        return;
    case OP_AVERAGE:
        average(it, n);
        return;
    case OP_SUM_SQUARES:
        sum_squares(it, n);
        return;
    default:
        BUG("interp: %s has no meaning", op_info[n->op].name);
    }
}
