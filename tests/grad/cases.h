/* cases.h - small models that lead gradients through every differentiable row of the op table.
 *
 * A case is the text of a model: members | inputs of forward | body. How values are drawn, so that
 * no kink is nearer than 1e-2, follows from the text:
 *
 *   ~ uniform(a, b)   within a..b and at least 0.12 from 0
 *   ~ normal(1)       from -1 to 1; any two of one tensor at least 0.02 apart, and apart from
 *                     another tensor's
 *   inputs            x..: as uniform(-2, 2)   p..: within 0.3..2.3   d..: as normal
 *                     ints: an index of the table or class it is used for;   bools: either */
#ifndef BM_GRAD_CASES_H
#define BM_GRAD_CASES_H

typedef struct GradCase {
    const char *name, *members, *inputs, *body;
} GradCase;

#define ANY "~ uniform(-2, 2)\n"
#define POS "~ uniform(0.3, 2.3)\n"
#define DIS "~ normal(1)\n"

/* Per sample on [3, 5] and with an axis of 1; without a batch (before the rounds) on 7 and 1. */
#define UNARY(f, draw, x)                                                                          \
    {                                                                                              \
        f, "a: param[3, 5] " draw "b: param[1, 3] " draw "w: param[7] " draw "s: param[1] " draw,  \
            x ": [3, 5], " x "2: [2, 1], x3: [3, 5]",                                              \
            "y = " f "(a * " x ")\nz = " f "(b * " x "2)\nu = " f "(w)\nv = " f "(s)\n"            \
            "return average(y * x3) + 0.7 * average(z * z) + 0.3 * average(u * u * x3[0, 1]) "     \
            "- average(v * v)"                                                                     \
    }

/* Every way two operands broadcast: over samples, axes, both, neither; on 1, 3 and 17 columns. */
#define BINARY(name, pre, mid, post, da, db, xa, xb)                                               \
    {                                                                                              \
        name,                                                                                      \
            "a: param[2, 1] " da "b: param[3] " db "c: param[1] " da "e: param[] " db              \
            "f: param[2, 17] " da "g: param[17] " db,                                              \
            xa ": [2, 3], " xb "b: [2, 3], " xa "c: [1, 3], " xb "d: [2, 1], x5: [2, 17]",         \
            "p0 = " pre xa mid "b" post "\np1 = " pre "a" mid xb "b" post "\np2 = " pre xa         \
            "c" mid xb "d * e" post "\np3 = " pre "c" mid "e" post "\np4 = " pre "f" mid "g" post  \
            "\n"                                                                                   \
            "return average(p0 * p1) + 0.5 * average(p2 * p2) + average(p3 * x5) "                 \
            "+ average(p4 * x5)"                                                                   \
    }

static const GradCase grad_case[] = {
    UNARY("-", ANY, "x"),
    UNARY("abs", ANY, "x"),
    UNARY("sqrt", POS, "p"),
    UNARY("exp", ANY, "x"),
    UNARY("log", POS, "p"),
    UNARY("sin", ANY, "x"),
    UNARY("cos", ANY, "x"),
    UNARY("tanh", ANY, "x"),
    UNARY("erf", ANY, "x"),
    UNARY("sigmoid", ANY, "x"),
    UNARY("relu", ANY, "x"),
    UNARY("gelu", ANY, "x"),
    UNARY("silu", ANY, "x"),
    UNARY("softplus", ANY, "x"),
    UNARY("elu", ANY, "x"),
    {"gelu tanh", "a: param[3, 5] " ANY "w: param[7] " ANY, "x: [3, 5]",
     "return average(gelu(a * x, approximate = \"tanh\") * x) + "
     "average(gelu(w, approximate = \"tanh\"))"},
    BINARY("add", "(", " + ", ")", ANY, ANY, "x", "x"),
    BINARY("sub", "(", " - ", ")", ANY, ANY, "x", "x"),
    BINARY("mul", "(", " * ", ")", ANY, ANY, "x", "x"),
    BINARY("div", "(", " / ", ")", ANY, POS, "x", "p"),
    BINARY("pow", "(", ") ** (", ")", POS, ANY, "p", "x"),
    {"max", "a: param[2, 1] " DIS "b: param[3] " DIS "c: param[1] " DIS "e: param[4] " DIS,
     "d: [2, 3], x: [2, 3]",
     "return average(max(d, b) * x) + average(max(a, d) * x) + average(max(c, e)) + "
     "0.5 * average(max(a, b))"},
    {"min", "a: param[2, 1] " DIS "b: param[3] " DIS "c: param[1] " DIS "e: param[4] " DIS,
     "d: [2, 3], x: [2, 3]",
     "return average(min(d, b) * x) + average(min(a, d) * x) + average(min(c, e)) + "
     "0.5 * average(min(a, b))"},
    {"clamp", "a: param[11] " DIS "w: param[3] " DIS, "x: [11]",
     "return average(clamp(a, -0.49, 0.51) * x) + average(clamp(w, low = -0.21) * w)"},
    {"powers", "a: param[5] " ANY "p: param[7] " POS, "x: [5]",
     "y = a * x\nreturn average(y ** 3 + y ** 2) + average((y * y + 0.3) ** -0.5) + average(p ** "
     "0.37)"},
    {"where", "a: param[3] " ANY "b: param[2, 1] " ANY "c: param[2, 3] " ANY,
     "k: bool[2, 3], x: [2, 3], kk: bool",
     "y = where(k, a * x, b)\nz = where(a > 0, c, b)\nreturn average(y * y) + average(z * x) + "
     "average(where(kk, a, c))"},
    {"reuse", "a: param[5] " POS, "p: [5]",
     "y = a * a\nz = y + y * a - a / y\nreturn average(z * p) + average(z)"},

    {"reshape", "a: param[2, 6] " ANY "w: param[12] " ANY, "x: [2, 6]",
     "y = reshape(a * x, (3, 4))\nz = reshape(w, (3, -1))\nreturn average(y * z) + average(z * z)"},
    {"transpose", "a: param[2, 3, 4] " ANY "w: param[3, 2] " ANY, "x: [2, 3, 4], x2: [4, 2, 3]",
     "y = transpose(a * x, (2, 0, 1)) * x2\nreturn average(y * w') + average(w' * w')"},
    {"transposes", "a: param[1, 5, 1, 3] " ANY, "x: [3, 1, 5, 1]",
     "y = transpose(sin(a), (3, 2, 1, 0)) * x\nreturn average(transpose(y, (1, 0, 3, 2)) ** 2)"},
    {"slice", "a: param[2, 7] " ANY "w: param[5, 3] " ANY, "x: [2, 7]",
     "y = a * x\nz = y[:, 0:3] * y[:, 4:7] + y[:, 2:5] * w[2]\nreturn average(z) + "
     "average(y[1] * y[1]) + average(w[1:4] * w[0:3])"},
    {"split", "a: param[3, 12] " ANY "w: param[3, 4] " ANY, "x: [3, 12]",
     "q, k, v = split(a * x, 3)\nc, d = split(w, (1, 2), 0)\nreturn average(q * k * v) + "
     "average(c * d * q[0:2])"},
    {"pad", "a: param[2, 3] " ANY "w: param[5] " ANY, "x: [2, 3], x2: [2, 6]",
     "return average(pad(a * x, 2, 1) * x2) + average(pad(w, 0, 1) * x2)"},
    {"concat", "a: param[2, 3] " ANY "w: param[2, 1] " ANY "v: param[3] " ANY,
     "x: [2, 3], x2: [2, 7]",
     "y = concat((a * x, w, a))\nz = concat((v, v * v), 0)\nt = stack((a * x, a, x))\n"
     "return average(y * y * x2) + average(z * z) + average(t * t * v)"},

    {"sum", "a: param[2, 3, 5] " ANY "w: param[3, 1] " ANY, "x: [2, 3, 5]",
     "y = a * x\nreturn average(sum(y, (0, 2)) * sum(y, 1, keep = true)[0, 0, 1]) + "
     "average(sum(w, 0) ** 2 * mean(y)) + average(sum(w, 1) ** 2)"},
    {"long sum", "a: param[521] " ANY "w: param[521] " ANY, "x: [521]",
     "s = sum(a * x)\nreturn 0.01 * average(s * s) + 0.01 * average(sum(w * w) * w)"},
    {"max of", "a: param[3, 5] " DIS "w: param[4] " DIS, "p: [3, 1], x: [3]",
     "return average(max(a * p, axis = 1) * x) + average(max(w) * max(a, axis = 0)) + "
     "average(min(w) * min(a, axis = 0)[1])"},
    {"softmax", "a: param[3, 5] " ANY "w: param[3, 1] " ANY "l: param[13] " ANY,
     "x: [3, 5], x2: [3, 5], x3: [13]",
     "y = softmax(a * x) * softmax(w, 0)\nreturn average(y * x2) + "
     "average(softmax(l) * x3) + average(softmax(a, 0) * x2)"},
    {"logsumexp", "a: param[3, 5] " ANY "w: param[3, 1] " ANY, "x: [3, 5], x2: [3]",
     "return average(logsumexp(a * x, 1) * x2) + average(logsumexp(w * w, 0) ** 2) + "
     "average(logsumexp(a))"},
    {"cumsum", "a: param[3, 5] " ANY "w: param[7] " ANY, "x: [3, 5], x2: [7]",
     "y = cumsum(a * x)\nreturn average(y * cumsum(a * x, 0)) + average(cumsum(w) ** 2 * x2)"},
    {"top_k", "a: param[2, 7] " DIS "w: param[5] " DIS, "p: [2, 1], x: [2, 3]",
     "v, i = top_k(a * p, 3)\nu, j = top_k(w, 2)\n"
     "return average(v * v * x * float(i + 1)) + average(u * u * float(j + 2))"},

    {"gather", "a: param[5, 3] " ANY "w: param[7] " ANY, "i: int[4], x: [4, 3], k: int",
     "y = a[i] * x\nz = w[i]\nreturn average(y * y) + average(z * z) + average(a[k] * x)"},
    {"gather by sample", "a: param[5, 3] " ANY, "i: int[4], x: [5, 3]",
     "t = a * x\ny = t[i]\nreturn average(y * y * y)"},
    {"gather by number", "a: param[5, 3] " ANY "w: param[4, 1] " ANY, "x: [2, 3]",
     "y = a[arange(0, 5, 3)] * x\nz = w[arange(4) // 2]\nreturn average(y * y) + average(z ** 3)"},
    {"cross entropy", "a: param[3, 5] " ANY "w: param[3, 5] " ANY, "x: [3, 5], t: int[3]",
     "return cross_entropy(a * x + w, t, smoothing = 0.1) + "
     "0.5 * cross_entropy(w, t, weight = x[:, 1] * x[:, 1])"},
    {"losses", "a: param[3] " ANY, "x: [3], k: bool[3]",
     "return mse(a, x, weight = k) + bce(a * x, k) + 0.2 * average(a * a, weight = x * x)"},
    {"one hot", "a: param[4] " ANY, "x: [3], i: int[3]",
     "return average(one_hot(i, 4) * a * a) + average(x @ one_hot(i, 4) * a)"},

    {"matmul", "w: param[5, 3] " ANY "v: param[3] " ANY, "x: [2, 5], x2: [2, 3, 5]",
     "y = x @ w\nz = x2 @ w\nreturn average(y * y) + average(z * z) + average((x @ w @ v) ** 2)"},
    {"matmul, weight on the left", "w: param[2, 5] " ANY, "x: [5, 3], x2: [2, 5, 3]",
     "y = w @ x\nz = w @ x2\nreturn average(y * y) + average(z * z)"},
    {"matmul, leading axes",
     "a: param[2, 1, 2, 5] " ANY "b: param[3, 5, 2] " ANY "c: param[2, 3, 2] " ANY,
     "x: [2, 1, 2, 5], x2: [3, 5, 2], x3: [2, 2, 3], x4: [1, 3]",
     "y = (a * x) @ (b * x2)\nz = x3 @ c\nu = x4 @ c\n"
     "return average(y * y) + average(z * z) + average(u * u)"},
    {"matmul, no batch", "a: param[2, 2, 5] " ANY "w: param[5, 3] " ANY "v: param[5] " ANY,
     "x: [2, 3]", "y = a @ w\nreturn average(y * x) + average((v @ w) ** 2) + average(a[0] @ v)"},
    {"matmul, wide", "w: param[17, 33] " ANY, "x: [13, 17]",
     "y = tanh(x @ w)\nreturn average(y * y) + average((w' @ w) * w'[0, 0])"},
    {"matmul, tied", "w: param[5, 3] " ANY, "i: int[4]",
     "y = w[i]\nreturn average((y @ w') ** 2) + average(sin(w @ w'))"},

    {"attention, causal", "q: param[5, 6] " ANY "k: param[5, 6] " ANY "v: param[5, 4] " ANY,
     "x: [5, 6], x2: [5, 4]",
     "y = attention(q * x, k * x, v * x2, heads = 2, causal = true)\nreturn average(y * x2 * y)"},
    {"attention, grouped",
     "q: param[3, 8] " ANY "k: param[5, 4] " ANY "v: param[5, 2] " ANY "b: param[4, 1, 5] " ANY,
     "x: [3, 8], x2: [5, 2], x3: [3, 4]",
     "y = attention(q * x, k, v * x2, heads = 4, kv_heads = 2, bias = b, dropout = 0.4, "
     "scale = 0.5)\nreturn average(y * x3)"},
    {"attention, mask",
     "q: param[5, 4] " ANY "k: param[5, 2] " ANY "v: param[5, 3] " ANY "b: param[2, 5, 5] " ANY,
     "m: bool[5], x: [5, 2], x2: [5, 3], x3: [2, 5, 5]",
     "y = attention(q, k * x, v * x2, heads = 2, kv_heads = 1, causal = true, window = 2, "
     "mask = m, bias = b * x3)\nreturn average(y * y)"},
    {"attention, no batch", "q: param[2, 3] " ANY "k: param[3, 3] " ANY "v: param[3, 2] " ANY,
     "x: [2, 2]", "y = attention(q, k, v, heads = 1)\nreturn average(y * x) + average(y * y)"},
    {"attention, long", "q: param[70, 2] " ANY "k: param[70, 2] " ANY "v: param[70, 2] " ANY,
     "x: [70, 2]",
     "y = attention(q * x, k, v * x, heads = 1, causal = true)\nreturn average(y * y)"},
    {"rope", "a: param[3, 8] " ANY, "x: [3, 8]",
     "y = rope(a, 2) * x\nz = rope(a * x, 4, layout = \"interleaved\")\n"
     "return average(y * y) + average(z * y)"},
    {"dropout", "a: param[7] " ANY, "x: [7]",
     "y = dropout(a * x, 0.3) + dropout(a, 0.5) * random(7)\nreturn average(y * y)"},

    {"layer norm", "ln: LayerNorm(5)\nw: param[5, 5] " ANY, "x: [3, 5]",
     "y = x @ w\nreturn average(gelu(ln(y)) * x)"},
    {"block",
     "l1: LayerNorm(6)\nat: Linear(6, 18, std = 0.3)\npr: Linear(6, 6, std = 0.3)\n"
     "l2: RMSNorm(6)\nml: SwiGLU(6, 7)\n",
     "x: [5, 6]",
     "q, k, v = split(at(l1(x)), 3)\nx = x + pr(attention(q, k, v, heads = 2, causal = true))\n"
     "y = x + ml(l2(x))\nreturn average(y * y)"},
};

#endif
