/* lower_model(): names, order and owners of parameters; inputs; settings; -D; the samples. What the
 * operators compute is in test_lower_values.c, messages are in tests/lang/semantic. */
#include "tests/unit/lower_fixture.h"

static const Param *param(const Fix *f, const char *path)
{
    for (int i = 0; i < f->m->param.n; i++)
        if (strcmp(f->m->param.v[i].path, path) == 0)
            return &f->m->param.v[i];
    fail_msg("no parameter %s", path);
    return NULL;
}

/* ---- instances and parameters ---- */

static const char tree[] =
    "let wide = 4\n"
    "block Inner(n, flag = false) {\n"
    "  if flag { first: param[n] ~ normal(0.5) }\n"
    "  fc: Linear(n, n)\n  steps: buffer[] ~ zeros\n"
    "  forward(x) { steps := steps + 1\n return fc(x) + (first if has(first) else 0) } }\n"
    "block Layer(n) {\n  a: Inner(n, flag = true)\n  b: Inner(n)\n"
    "  forward(x) { return b(a(x)) } }\n"
    "model M {\n  emb: Embedding(10, wide, std = 0.125)\n  h[2]: Layer(wide)\n"
    "  head[n in (3, 5)]: Linear(wide, n, bias = false)\n"
    "  forward(t: int[6], u: int[6], v: int) {\n    x = h(emb(t))\n"
    "    return cross_entropy(head[0](x), u) + cross_entropy(head[1](x)[0], v, ignore = none)\n"
    "  } }\n";

static void parameters(void **state)
{
    (void)state;
    static const char *const path[] = {
        "emb.weight",      "h.0.a.first",   "h.0.a.fc.weight", "h.0.a.fc.bias", "h.0.a.steps",
        "h.0.b.fc.weight", "h.0.b.fc.bias", "h.0.b.steps",     "h.1.a.first",   "h.1.a.fc.weight",
        "h.1.a.fc.bias",   "h.1.a.steps",   "h.1.b.fc.weight", "h.1.b.fc.bias", "h.1.b.steps",
        "head.0.weight",   "head.1.weight"};
    Fix *f = lower_ok(tree);
    assert_int_equal(f->m->param.n, countof(path));
    for (int i = 0; i < countof(path); i++)
        assert_string_equal(f->m->param.v[i].path, path[i]);
    assert_true(param(f, "h.1.a.steps")->buffer);
    assert_int_equal(param(f, "h.1.a.steps")->type.ndim, 0);
    const Init *init = &param(f, "emb.weight")->init;
    assert_int_equal(init->kind, INIT_NORMAL);
    assert_true(init->a == 0.125);
    assert_int_equal(param(f, "h.0.a.fc.bias")->init.kind, INIT_ZEROS);
    done(f);
}

static void instances(void **state)
{
    (void)state;
    static const char *const row[][3] = {/* path, block, unit */
                                         {"", "M", ""},
                                         {"emb", "Embedding", ""},
                                         {"h.0", "Layer", "h.0"},
                                         {"h.0.a", "Inner", "h.0"},
                                         {"h.0.a.fc", "Linear", "h.0"},
                                         {"h.0.b", "Inner", "h.0"},
                                         {"h.0.b.fc", "Linear", "h.0"},
                                         {"h.1", "Layer", "h.1"},
                                         {"h.1.a", "Inner", "h.1"},
                                         {"h.1.a.fc", "Linear", "h.1"},
                                         {"h.1.b", "Inner", "h.1"},
                                         {"h.1.b.fc", "Linear", "h.1"},
                                         {"head.0", "Linear", "head.0"},
                                         {"head.1", "Linear", "head.1"}};
    Fix *f = lower_ok(tree);
    for (int which = 0; which < 2; which++) {
        const Graph *g = which ? f->m->eval.graph : f->m->train.graph;
        assert_int_equal(g->instance.n, countof(row));
        for (int i = 0; i < countof(row); i++) {
            const Instance *x = &g->instance.v[i];
            assert_string_equal(x->path, row[i][0]);
            assert_string_equal(x->block, row[i][1]);
            assert_string_equal(g->instance.v[x->unit].path, row[i][2]);
            assert_true(x->parent < i);
        }
        for (int i = 0; i < g->node.n; i++) { /* a node's path begins with its instance's */
            const Node *n = g->node.v[i];
            const char *p = g->instance.v[n->instance].path;
            assert_int_equal(strncmp(n->path, p, strlen(p)), 0);
        }
    }
    assert_int_equal(param(f, "h.1.b.fc.weight")->instance, 11);
    done(f);
}

/* A member called twice has its parameters once, and one leaf in the graph. */
static void shared(void **state)
{
    (void)state;
    Fix *f = lower_ok("model M {\n fc: Linear(4, 4, bias = false)\n"
                      " forward(x: [4]) { return average(fc(fc(x)) @ fc.weight') } }\n");
    int leaves = 0, products = 0;
    for (int i = 0; i < f->m->train.graph->node.n; i++) {
        leaves += f->m->train.graph->node.v[i]->op == OP_PARAM;
        products += f->m->train.graph->node.v[i]->op == OP_MATMUL;
    }
    assert_int_equal(f->m->param.n, 1);
    assert_int_equal(leaves, 1);
    assert_int_equal(products, 3);
    done(f);
}

static void inputs(void **state)
{
    (void)state;
    Fix *f = lower_ok(tree);
    assert_int_equal(f->m->input.n, 3);
    const Input *t = &f->m->input.v[0], *u = &f->m->input.v[1], *v = &f->m->input.v[2];
    assert_string_equal(t->name, "t");
    assert_string_equal(type_text(f->arena, &t->type), "int[6]");
    assert_true(t->type.batched);
    assert_int_equal(t->below, 10); /* rows of the table */
    assert_false(t->ignore_ok);
    assert_int_equal(u->below, 3); /* classes, or -100 */
    assert_true(u->ignore_ok);
    assert_int_equal(v->below, 5);
    assert_false(v->ignore_ok);
    assert_int_equal(f->m->train.logits->type.dim[1], 3); /* the first cross_entropy's */
    assert_non_null(f->m->eval.logits);
    done(f);
}

static void buffer_updates(void **state)
{
    (void)state;
    Fix *f = lower_ok("model M {\n n: buffer[] ~ zeros\n fc: Linear(4, 4)\n"
                      " forward(x: [4]) { n := n + 1\n return average(fc(x)) + 0 * n } }\n");
    int assigns[2] = {0};
    for (int which = 0; which < 2; which++) {
        const Graph *g = which ? f->m->eval.graph : f->m->train.graph;
        for (int i = 0; i < g->node.n; i++)
            assigns[which] += g->node.v[i]->op == OP_ASSIGN;
    }
    assert_int_equal(assigns[0], 1);
    assert_int_equal(assigns[1], 0); /* evaluation takes no step */
    assert_int_equal(f->m->train.root.n, 1);
    done(f);
}

/* ---- settings ---- */

static const char trained[] =
    "let rate = 0.25\n"
    "block Layer() {\n fc: Linear(4, 4)\n ln: LayerNorm(4)\n forward(x) { return ln(fc(x)) } }\n"
    "model M {\n h[8]: Layer()\n forward(x: [4], y: [4]) { return mse(h(x), y) * (8 / batch) } }\n"
    "train {\n"
    "  data = npy(x = \"d/x.npy\", y = \"/abs/y.npy\")\n  batch = 2 * 16\n  steps = 1k\n"
    "  valid_every = 50\n  seed = 7\n  clip = 0.5\n  precision = fp32\n"
    "  accumulate = local\n  reduce = ordered\n"
    "  optimizer = adamw(lr = rate)\n"
    "  optimizer **.bias = sgd(lr = 0.5, momentum = 0.75)\n"
    "  optimizer h.2:4.fc = adam(lr = 1, betas = (0.5, 0.75), eps = 0.25, weight_decay = 0.125)\n"
    "  schedule = wsd(decay = 100, warmup = 10, min_lr = 0.01)\n"
    "  freeze h.0 = true\n  freeze *.0.ln = false\n"
    "  start **.ln.weight = npy(\"ln.npy\")\n  start h.7 = init\n}\n"
    "plan {\n  ranks = 1\n  memory = 1GiB\n  micro_batch = 8\n  zero h = 0\n  recompute = "
    "auto\n}\n";

static void settings(void **state)
{
    (void)state;
    Fix *f = lower_ok(trained);
    const Model *m = f->m;
    assert_true(m->has_train);
    assert_int_equal(m->batch, 32);
    assert_int_equal(m->steps, 1000);
    assert_int_equal(m->valid_every, 50);
    assert_int_equal(m->seed, 7);
    assert_true(m->clip == 0.5);
    assert_int_equal(m->precision, DT_F32);
    assert_int_equal(m->data.kind, DATA_NPY);
    assert_string_equal(m->data.field.v[0].name, "x");
    assert_string_equal(m->data.field.v[0].file, "d/x.npy");
    assert_string_equal(m->data.field.v[1].file, "/abs/y.npy");
    assert_int_equal(m->valid.kind, DATA_NONE);
    assert_int_equal(m->schedule.kind, SCHED_WSD);
    assert_true(m->schedule.warmup == 10 && m->schedule.min_lr == 0.01);
    assert_true(m->schedule.decay == 100);
    assert_int_equal(m->plan.ranks, 1);
    assert_int_equal(m->plan.memory, 1 << 30);
    assert_int_equal(m->plan.micro_batch, 8);
    done(f);
}

static void optimizers(void **state)
{
    (void)state;
    Fix *f = lower_ok(trained);
    const Model *m = f->m;
    assert_int_equal(m->optimizer.n, 3);
    const Optimizer *o = m->optimizer.v;
    assert_int_equal(o[0].kind, OPT_ADAMW);
    assert_true(o[0].lr == 0.25 && o[0].beta1 == 0.9 && o[0].beta2 == 0.999);
    assert_true(o[0].eps == 1e-8 && o[0].weight_decay == 0.01);
    assert_int_equal(o[1].kind, OPT_SGD);
    assert_true(o[1].lr == 0.5 && o[1].momentum == 0.75 && o[1].weight_decay == 0);
    assert_true(o[2].lr == 1 && o[2].beta1 == 0.5 && o[2].beta2 == 0.75);
    assert_true(o[2].eps == 0.25 && o[2].weight_decay == 0.125);
    /* the last line that matches wins; 2:4 is 2 and 3 */
    assert_int_equal(param(f, "h.1.fc.weight")->optimizer, 0);
    assert_int_equal(param(f, "h.1.fc.bias")->optimizer, 1);
    assert_int_equal(param(f, "h.2.fc.bias")->optimizer, 2);
    assert_int_equal(param(f, "h.3.fc.weight")->optimizer, 2);
    assert_int_equal(param(f, "h.4.fc.weight")->optimizer, 0);
    assert_int_equal(param(f, "h.3.ln.weight")->optimizer, 0);
    done(f);
}

static void freeze_and_start(void **state)
{
    (void)state;
    Fix *f = lower_ok(trained);
    assert_true(param(f, "h.0.fc.weight")->frozen);
    assert_false(param(f, "h.0.ln.weight")->frozen);
    assert_false(param(f, "h.1.fc.weight")->frozen);
    assert_int_equal(param(f, "h.3.ln.weight")->init.kind, INIT_NPY);
    assert_string_equal(param(f, "h.3.ln.weight")->init.file, "ln.npy");
    assert_int_equal(param(f, "h.3.ln.bias")->init.kind, INIT_ZEROS);
    assert_int_equal(param(f, "h.7.ln.weight")->init.kind, INIT_ONES);
    done(f);
}

static void without_train(void **state)
{
    (void)state;
    Fix *f =
        lower_ok("model M {\n fc: Linear(4, 4)\n forward(x: [4]) { return average(fc(x)) } }\n");
    assert_false(f->m->has_train);
    assert_int_equal(f->m->batch, 1);
    assert_int_equal(f->m->optimizer.n, 1);
    done(f);
}

static void defines(void **state)
{
    (void)state;
    const char source[] =
        "let n = 3\nlet twice = 2 * n\nlet file = \"a\"\nlet std = 0.5\nlet act = relu\n"
        "model M {\n fc: Linear(twice, n, std = std)\n"
        " forward(x: [twice], tokens: int[4]) { return average(act(fc(x))) } }\n"
        "train { data = npy(x = file, tokens = \"t.npy\")\n batch = 1\n steps = 1\n"
        " optimizer = sgd(lr = 1) }\n";
    const Define define[] = {
        {"n", "2 + 3"}, {"file", "some/x y.npy"}, {"std", "2"}, {"act", "gelu"}};
    Fix *f = lower_with(source, define, countof(define));
    assert_non_null(f->m);
    assert_string_equal(type_text(f->arena, &param(f, "fc.weight")->type), "[5, 10]");
    assert_true(param(f, "fc.weight")->init.a == 2);
    assert_string_equal(f->m->data.field.v[0].file, "some/x y.npy");
    int gelu = 0;
    for (int i = 0; i < f->m->train.graph->node.n; i++)
        gelu += f->m->train.graph->node.v[i]->op == OP_GELU;
    assert_int_equal(gelu, 1);
    done(f);
}

/* ---- the samples ---- */

static Fix *lower_sample(const char *name, const Define *define, int n)
{
    Arena *a = arena_new();
    Fix *f = arena_make(a, Fix);
    f->arena = a;
    f->sources = sources_new(a);
    f->out = open_memstream(&f->text, &f->size);
    f->diag = diag_new(a, f->sources, f->out);
    const char *source = getenv("SOURCE");
    f->m = lower_model(a, f->sources, arena_printf(a, "%s/samples/%s", source ? source : ".", name),
                       define, n, f->diag);
    fflush(f->out);
    if (!f->m)
        print_error("%s", f->text);
    assert_non_null(f->m);
    return f;
}

static void samples(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters; /* of the published models where there is one */
    } row[] = {{"gpt2-124m.bm", 124439808}, {"gpt2-1.5b.bm", 1557611200},
               {"llama-8b.bm", 8030261248}, {"gpt.bm", 1853568},
               {"llama.bm", 1672896},       {"mlp.bm", 8859},
               {"regression.bm", 4578}};
    for (int s = 0; s < countof(row); s++) {
        Fix *f = lower_sample(row[s].name, NULL, 0);
        int64_t n = 0;
        for (int i = 0; i < f->m->param.n; i++)
            n += type_count(&f->m->param.v[i].type);
        assert_int_equal(n, row[s].parameters);
        graph_verify(f->m->train.graph, &f->m->train.loss, 1);
        graph_verify(f->m->eval.graph, &f->m->eval.loss, 1);
        done(f);
    }
}

/* The same file gives the same nodes, and a deeper model the same kinds of nodes per layer. */
static void repeats(void **state)
{
    (void)state;
    Fix *a = lower_sample("gpt.bm", NULL, 0), *b = lower_sample("gpt.bm", NULL, 0);
    StrBuf x = strbuf_new(a->arena), y = strbuf_new(b->arena);
    graph_print(&x, a->m->train.graph, &a->m->train.loss, 1);
    graph_print(&y, b->m->train.graph, &b->m->train.loss, 1);
    assert_string_equal(x.text, y.text);
    int n4 = a->m->train.graph->node.n;
    done(a);
    done(b);
    const Define deep = {"layers", "5"}, deeper = {"layers", "6"};
    a = lower_sample("gpt.bm", &deep, 1);
    b = lower_sample("gpt.bm", &deeper, 1);
    int n5 = a->m->train.graph->node.n, n6 = b->m->train.graph->node.n;
    assert_int_equal(n6 - n5, n5 - n4);
    done(a);
    done(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),     cmocka_unit_test(instances),
        cmocka_unit_test(shared),         cmocka_unit_test(inputs),
        cmocka_unit_test(buffer_updates), cmocka_unit_test(settings),
        cmocka_unit_test(optimizers),     cmocka_unit_test(freeze_and_start),
        cmocka_unit_test(without_train),  cmocka_unit_test(defines),
        cmocka_unit_test(samples),        cmocka_unit_test(repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
