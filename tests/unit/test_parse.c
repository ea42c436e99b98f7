/* The parser: what is built (as printed), places, values of literals, limits, and how many messages
 * one mistake costs. The messages themselves are in tests/lang/syntax. */
#include "frontend/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct Run {
    Arena *arena;
    Sources *sources;
    Diag *diag;
    FILE *out;
    File *file;
} Run;

static Run start(void)
{
    Run r = {.arena = arena_new()};
    r.sources = sources_new(r.arena);
    r.out = tmpfile();
    assert_non_null(r.out);
    r.diag = diag_new(r.arena, r.sources, r.out);
    return r;
}

static Run parse_bytes(const char *text, int n)
{
    Run r = start();
    int source = source_add(r.sources, "m.bm", text, n);
    r.file = parse_file(r.arena, r.sources, source, r.diag);
    assert_int_equal(r.file == NULL, r.diag->errors > 0);
    return r;
}

static Run parse(const char *text)
{
    return parse_bytes(text, (int)strlen(text));
}

static void done(Run r)
{
    fclose(r.out);
    arena_free(r.arena);
}

/* The first line of what was reported, or "". */
static const char *first_message(Run r)
{
    char line[512] = "";
    rewind(r.out);
    if (!fgets(line, sizeof line, r.out))
        return "";
    line[strcspn(line, "\n")] = '\0';
    return arena_strdup(r.arena, line);
}

static const char *printed(Run r)
{
    StrBuf s = strbuf_new(r.arena);
    if (!r.file)
        fail_msg("refused: %s", first_message(r));
    ast_print(&s, r.sources, r.file);
    return s.text;
}

static void expect_tree(const char *text, const char *tree)
{
    Run r = parse(text);
    assert_string_equal(printed(r), tree);
    done(r);
}

static void expect_message(const char *text, const char *message)
{
    Run r = parse(text);
    assert_string_equal(first_message(r), message);
    assert_int_equal(r.diag->errors, 1);
    done(r);
}

static void expect_expr(const char *text, const char *tree)
{
    Run r = start();
    int source = source_add(r.sources, "-D x", text, (int)strlen(text));
    Expr *e = parse_expr_text(r.arena, r.sources, source, r.diag);
    if (!e)
        fail_msg("refused: %s", first_message(r));
    StrBuf s = strbuf_new(r.arena);
    ast_print_expr(&s, e);
    assert_string_equal(s.text, tree);
    done(r);
}

static const char *const everything =
    "use \"base.bm\"(linear = Lora, ctx = 4k,)\n"
    "use \"plain.bm\"\n"
    "let a = 1\n"
    "block B(in, out = 2 * a,) {\n"
    "  let k = in\n"
    "  assert k > 0, \"k is \"\n"
    "  assert k\n"
    "  fc: Linear(in, out, bias = false)\n"
    "  w: param[out, in] ~ normal(0.02)\n"
    "  n: buffer[] ~ zeros\n"
    "  h[3]: L()\n"
    "  t[i in (1, 2)]: L(i)\n"
    "  if k { b: param[k] ~ zeros } else { c: L() }\n"
    "  if k { d: L() }\n"
    "  forward(x: [..., in], i: int, m: bool[k, k], y = none, z) {\n"
    "    q, r[0] = f(x), x\n"
    "    n := n + 1\n"
    "    report loss = average(q)\n"
    "    assert true\n"
    "    for j, v in h { q = v(q) }\n"
    "    if k { q = 1 }\n"
    "    else if z { q = 2 }\n"
    "    else { q = 3 }\n"
    "    return q, r\n"
    "  }\n"
    "}\n"
    "model M { forward() { return x[0, 1:, :2, :, ..., a:b].weight' } }\n"
    "train {\n"
    "  seed = 3\n"
    "  freeze ** = true\n"
    "  start h.0:6.*.3.attn = init\n"
    "}\n"
    "plan { zero model.x = auto }\n"
    "names { h.*.w = \"layers.*.w\"' }\n";

static void test_everything(void **state)
{
    (void)state;
    expect_tree(everything, "1:1 use \"base.bm\"(linear = Lora, ctx = 4000)\n"
                            "2:1 use \"plain.bm\"()\n"
                            "3:1 let a = 1\n"
                            "4:1 block B(in, out = (2 * a))\n"
                            "  5:3 let k = in\n"
                            "  6:3 assert (k > 0), \"k is \"\n"
                            "  7:3 assert k\n"
                            "  8:3 member fc: Linear(in, out, bias = false)\n"
                            "  9:3 param w[out, in] ~ normal(0.02)\n"
                            "  10:3 buffer n[] ~ zeros\n"
                            "  11:3 stack h[3]: L()\n"
                            "  12:3 stack t[i in (1, 2)]: L(i)\n"
                            "  13:3 if k\n"
                            "    13:10 param b[k] ~ zeros\n"
                            "  else\n"
                            "    13:39 member c: L()\n"
                            "  14:3 if k\n"
                            "    14:10 member d: L()\n"
                            "  15:3 forward(x: [..., in], i: int[], m: bool[k, k], y = none, z)\n"
                            "    16:5 assign q, r[0] = f(x), x\n"
                            "    17:5 update n := (n + 1)\n"
                            "    18:5 report loss = average(q)\n"
                            "    19:5 assert true\n"
                            "    20:5 for j, v in h\n"
                            "      20:21 assign q = v(q)\n"
                            "    21:5 if k\n"
                            "      21:12 assign q = 1\n"
                            "    else\n"
                            "      22:10 if z\n"
                            "        22:17 assign q = 2\n"
                            "      else\n"
                            "        23:12 assign q = 3\n"
                            "    24:5 return q, r\n"
                            "27:1 model M()\n"
                            "  27:11 forward()\n"
                            "    27:23 return x[0, 1:, :2, :, ..., a:b].weight'\n"
                            "28:1 train\n"
                            "  29:3 set seed = 3\n"
                            "  30:3 set freeze ** = true\n"
                            "  31:3 set start h.0:6.*.3.attn = init\n"
                            "33:1 plan\n"
                            "  33:8 set zero model.x = auto\n"
                            "34:1 names\n"
                            "  34:9 name h.*.w = \"layers.*.w\"'\n");
    expect_tree("", "");
    expect_tree("\n\n# nothing\n", "");
}

static void test_operators(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"a or b and not c == d", "(a or (b and (not (c == d))))"},
        {"not a or b", "((not a) or b)"},
        {"a + b * c @ d / e // f % g - h", "((a + (((((b * c) @ d) / e) // f) % g)) - h)"},
        {"-x ** 2", "(-(x ** 2))"},
        {"2 ** -1", "(2 ** (-1))"},
        {"2 ** -1 * 3", "((2 ** (-1)) * 3)"},
        {"a ** b ** c", "(a ** (b ** c))"},
        {"-x @ y'", "((-x) @ y')"},
        {"a if b else c if d else e", "(a if b else (c if d else e))"},
        {"a + 1 if b or c else -d", "((a + 1) if (b or c) else (-d))"},
        {"(a < b) == (c >= d)", "((a < b) == (c >= d))"},
        {"a != b and c <= d and e > f", "(((a != b) and (c <= d)) and (e > f))"},
        {"f(x)(y)[0].z'.w''", "f(x)(y)[0].z'.w''"},
        {"f(x, y = 1,)", "f(x, y = 1)"},
        {"(), (1,), (1, 2), (1, 2,), ((1))", NULL},
        {"((), (1,), (1, 2,), ((1)))", "((), (1,), (1, 2), 1)"},
        {"- - not_x", "(-(-not_x))"},
        {"use + in + model + train + plan + names",
         "(((((use + in) + model) + train) + plan) + names)"},
        {"x in y", NULL},
        {"", NULL},
        {"let x = 1", NULL},
        {"1\n2", NULL},
    };
    for (int i = 0; i < countof(table); i++) {
        if (table[i][1]) {
            expect_expr(table[i][0], table[i][1]);
            continue;
        }
        Run r = start();
        int source = source_add(r.sources, "-D x", table[i][0], (int)strlen(table[i][0]));
        assert_null(parse_expr_text(r.arena, r.sources, source, r.diag));
        assert_int_equal(r.diag->errors, 1);
        done(r);
    }
}

static void test_literals(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"0", "0"},
        {"007", "7"},
        {"1_000_000", "1000000"},
        {"9223372036854775807", "9223372036854775807"},
        {"2k + 2M + 2G + 2T", "(((2000 + 2000000) + 2000000000) + 2000000000000)"},
        {"1KB + 1MB + 1GB + 1TB", "(((1000 + 1000000) + 1000000000) + 1000000000000)"},
        {"1KiB + 1MiB + 1GiB + 1TiB", "(((1024 + 1048576) + 1073741824) + 1099511627776)"},
        {"0.5GiB", "536870912"},
        {"1.5k", "1500"},
        {"0.0001k", "0.1"},
        {"1.0", "1.0"},
        {"1_0.2_5", "10.25"},
        {"1e3", "1000.0"},
        {"2.5E-3", "0.0025"},
        {"1e+2k", "100000"},
        {"\"\"", "\"\""},
        {"\"a # 'b' \xC3\xA9\"", "\"a # 'b' \xC3\xA9\""},
        {"true", "true"},
        {"false", "false"},
        {"none", "none"},
        {"none_", "none_"},
    };
    for (int i = 0; i < countof(table); i++)
        expect_expr(table[i][0], table[i][1]);
}

/* The text a span covers. */
static const char *covered(Run r, Span at)
{
    return arena_strndup(r.arena, r.sources->list.v[at.file]->text + at.lo,
                         (size_t)(at.hi - at.lo));
}

static void test_spans(void **state)
{
    (void)state;
    Run r = parse("let x = (a + b) * f(c)'  # end\n"
                  "block B(i, o = 2)\n{\n  forward(x: int[3], y)  { r[1] = x\n return r }\n}\n");
    const Expr *e = r.file->items.v[0]->let.value;
    assert_string_equal(covered(r, r.file->items.v[0]->at), "let x = (a + b) * f(c)'");
    assert_string_equal(covered(r, e->at), "(a + b) * f(c)'");
    assert_string_equal(covered(r, e->binary.op_at), "*");
    assert_string_equal(covered(r, e->binary.left->at), "(a + b)");
    assert_true(e->binary.left->parens);
    assert_string_equal(covered(r, e->binary.right->of->at), "f(c)");
    assert_string_equal(covered(r, e->binary.right->of->call.args.v[0].at), "c");
    const Item *block = r.file->items.v[1];
    assert_string_equal(covered(r, block->head), "block B(i, o = 2)");
    assert_string_equal(covered(r, block->block.name.at), "B");
    assert_string_equal(covered(r, block->block.params.v[1].at), "o = 2");
    const Member *m = block->block.members.v[0];
    assert_string_equal(covered(r, m->forward.head), "forward(x: int[3], y)");
    assert_string_equal(covered(r, m->forward.inputs.v[0].at), "x: int[3]");
    assert_string_equal(covered(r, m->forward.inputs.v[0].shape.at), "[3]");
    assert_string_equal(covered(r, m->forward.inputs.v[0].dtype.at), "int");
    assert_string_equal(covered(r, m->forward.body.v[0]->assign.targets.v[0].at), "r[1]");
    assert_string_equal(covered(r, m->forward.body.v[1]->at), "return r");
    done(r);
}

static void test_newlines(void **state)
{
    (void)state;
    const char *tree = "1:1 block B()\n  2:1 forward(x)\n    3:1 assign y = (x + 1)\n"
                       "    5:1 if y\n      5:8 assign y = x\n    else\n      7:3 assign y = 1\n"
                       "    8:1 return y\n";
    expect_tree("block B {\nforward(x) {\ny = x +\n1\nif y { y = x }\nelse {\n  y = 1 }\n"
                "return y } }",
                tree);
    expect_tree("block B {\r\nforward(x) {\r\ny = x +\r\n1\r\nif y { y = x }\r\n# c\r\n"
                "  else{y = 1 }\r\nreturn y } }\r\n",
                "1:1 block B()\n  2:1 forward(x)\n    3:1 assign y = (x + 1)\n"
                "    5:1 if y\n      5:8 assign y = x\n    else\n      7:8 assign y = 1\n"
                "    8:1 return y\n");
    expect_tree("\xEF\xBB\xBFlet a = 1", "1:4 let a = 1\n");
}

static void test_odd_bytes(void **state)
{
    (void)state;
    expect_message("let a = \x01", "m.bm:1:9: error: a stray byte 0x01");
    expect_message("let a = 1\n\xEF\xBB\xBFlet b = 1",
                   "m.bm:2:1: error: a byte order mark in the middle of the file");
    done(parse("{{\n}}s{{{}}}\ntrain{")); /* more braces than the grammar knows of: ends */
    Run r = parse_bytes("let a = \0 1", 11);
    assert_string_equal(first_message(r), "m.bm:1:9: error: a stray byte 0x00");
    done(r);
}

/* ---- limits ---- */

static char *repeated(Arena *a, const char *before, const char *piece, int n, const char *after)
{
    StrBuf s = strbuf_new(a);
    strbuf_add(&s, before);
    for (int i = 0; i < n; i++)
        strbuf_add(&s, piece);
    strbuf_add(&s, after);
    return s.text;
}

static void expect_depth(const char *before, const char *piece, const char *middle,
                         const char *piece_after, int n, const char *after, bool fits)
{
    Arena *a = arena_new();
    Run r = parse(repeated(a, repeated(a, before, piece, n, middle), piece_after, n, after));
    if (fits)
        assert_non_null(r.file);
    else
        assert_non_null(strstr(first_message(r), "nested too deeply"));
    assert_int_equal(r.diag->errors, !fits);
    done(r);
    arena_free(a);
}

static void test_depth(void **state)
{
    (void)state;
    expect_depth("let a = ", "(", "1", ")", 3000, "\n", true);
    expect_depth("let a = ", "(", "1", ")", 20000, "\n", false);
    expect_depth("let a = ", "-", "1", "", 999, "\n", true);
    expect_depth("let a = ", "-", "1", "", 1000, "\n", false);
    expect_depth("let a = ", "-", "1", "", 20000, "\n", false);
    expect_depth("let a = ", "1 + ", "1", "", 999, "\n", true);
    expect_depth("let a = ", "1 + ", "1", "", 1500, "\n", false);
    expect_depth("let a = ", "f(", "1", ")", 1500, "\n", false);
    expect_depth("block B { forward(x) { ", "if x { y = x } else ", "{ }", "", 900, "}}", true);
    expect_depth("block B { forward(x) { ", "if x { y = x } else ", "{ }", "", 1500, "}}", false);
    expect_depth("block B { forward(x) { ", "for i in x { ", "y = x ", "}", 1500, "}}", false);
    expect_depth("block B { ", "if x { ", "y: L() ", "}", 900, "}", true);
    expect_depth("block B { ", "if x { ", "y: L() ", "}", 1500, "}", false);
}

static void test_long_lists(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Run r = parse(repeated(a, "let a = f(0", ", 1", 100000, ")"));
    assert_non_null(r.file);
    assert_int_equal(r.file->items.v[0]->let.value->call.args.n, 100001);
    done(r);
    r = parse(repeated(a, "", "let a = 1\n", 20000, ""));
    assert_int_equal(r.file->items.n, 20000);
    done(r);
    r = parse(repeated(a, "", "$ )\n", 200000, "")); /* gives up, quickly */
    assert_true(r.diag->errors > DIAG_MAX_ERRORS && r.diag->errors < 1000);
    done(r);
    arena_free(a);
}

/* ---- one mistake, few messages ---- */

static const char *const sample = "let width = 192\n"
                                  "block MLP(width, act = gelu) {\n"
                                  "  assert width % 2 == 0, \"even\"\n"
                                  "  c_fc: Linear(width, 4 * width)\n"
                                  "  w: param[width, 3] ~ normal(0.02)\n"
                                  "  h[width]: Linear(width, width)\n"
                                  "  forward(x: [T, width]) {\n"
                                  "    y = (x + 1) * 2\n"
                                  "    for layer in h {\n"
                                  "      y = layer(y)\n"
                                  "    }\n"
                                  "    if width > 3 {\n"
                                  "      y = y[0, 1:]\n"
                                  "    } else {\n"
                                  "      y = -y\n"
                                  "    }\n"
                                  "    return c_fc(y) @ w'\n"
                                  "  }\n"
                                  "}\n"
                                  "train {\n"
                                  "  batch = 16\n"
                                  "  freeze h.0.weight = true\n"
                                  "}\n";

/* Cuts the sample into tokens, roughly: words, numbers, single characters; lines end as '\n'. */
static int token_length(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    return n ? (int)n : 1;
}

/* Parses the sample with `insert` in the place of the n bytes at `at`; returns the errors. */
static int errors_with(int at, int n, const char *insert)
{
    Arena *a = arena_new();
    StrBuf s = strbuf_new(a);
    strbuf_addn(&s, sample, (size_t)at);
    strbuf_add(&s, insert);
    strbuf_add(&s, sample + at + n);
    Run r = parse(s.text);
    int errors = r.diag->errors;
    done(r);
    arena_free(a);
    return errors;
}

/* Every token taken out, and odd ones put in: nearly always one message (some edits are legal). */
static void test_one_mistake(void **state)
{
    (void)state;
    static const char *const inserts[] = {"", " ) ", " ( ", " let ", " 3 ", " = ", " } ", " , "};
    Run r = parse(sample);
    assert_non_null(r.file);
    done(r);
    int edits = 0, cascades = 0, worst = 0;
    for (int i = 0; sample[i]; i += token_length(sample + i)) {
        if (sample[i] == ' ' || sample[i] == '\n')
            continue;
        for (int k = 0; k < countof(inserts); k++) {
            int errors = errors_with(i, k ? 0 : token_length(sample + i), inserts[k]);
            edits++;
            cascades += errors > 1;
            worst = errors > worst ? errors : worst;
        }
    }
    print_message("%d edits: %d cost more than one message, the worst %d\n", edits, cascades,
                  worst);
    assert_true(worst <= 6);
    assert_true(cascades * 100 <= edits * 2);
}

/* No prefix of a model makes the parser fail in another way than by a message. */
static void test_prefixes(void **state)
{
    (void)state;
    for (int n = 0; sample[n]; n++)
        done(parse_bytes(sample, n));
    int n_all = (int)strlen(everything);
    for (int n = 0; n < n_all; n++)
        done(parse_bytes(everything, n));
}

static void test_same_twice(void **state)
{
    (void)state;
    Run a = parse(everything), b = parse(everything);
    assert_string_equal(printed(a), printed(b));
    done(a);
    done(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),  cmocka_unit_test(test_operators),
        cmocka_unit_test(test_literals),    cmocka_unit_test(test_spans),
        cmocka_unit_test(test_newlines),    cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_depth),       cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_one_mistake), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_same_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
