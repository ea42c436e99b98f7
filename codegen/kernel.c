/* kernel.c - kernels.c: the prelude, then one function per distinct kernel. */
#include "codegen/kernel_c.h"

#include "embedded.h"

#include <inttypes.h>
#include <string.h>

const char *memory_type(DType t)
{
    switch (t) {
    case DT_F32:
        return "real";
    case DT_INT:
        return "int32_t";
    case DT_BOOL:
        return "uint8_t";
    case DT_BF16: /* main.c refuses to emit them */
    case DT_F16:
    case DT_ERROR:
        break;
    }
    BUG("an element without a type in C");
}

const char *value_type(DType t)
{
    return t == DT_F32 ? "real" : "int32_t";
}

void fill_template(StrBuf *s, const char *text, const char *const *pair)
{
    while (*text) {
        const char *at = strchr(text, '@');
        if (!at) {
            strbuf_add(s, text);
            return;
        }
        strbuf_addn(s, text, (size_t)(at - text));
        const char *end = strchr(at + 1, '@');
        size_t n = end ? (size_t)(end - at - 1) : 0;
        const char *const *p = pair;
        while (*p && (strlen(*p) != n || strncmp(*p, at + 1, n) != 0))
            p += 2;
        if (!end || !*p)
            BUG("a template names '%.20s', which nobody gives", at);
        strbuf_add(s, p[1]);
        text = end + 1;
    }
}

/* Text of a comment: one line, and never its end. */
static void comment_text(StrBuf *s, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++)
        if (c[0] == '*' && c[1] == '/')
            strbuf_add(s, "* ");
        else
            strbuf_char(s, *c == '\n' ? ' ' : *c);
}

void kernel_open(StrBuf *s, const Kernel *k, const char *unit)
{
    strbuf_printf(s, "/* %s: ", k->name);
    comment_text(s, k->what && *k->what ? k->what : k->name);
    strbuf_printf(s, "\n * unit: %s; %" PRId64 " %s */\n", unit, k->units,
                  k->batched ? "for each sample" : "in all");
    strbuf_printf(s, "void %s(void *const *arg, int64_t lo, int64_t hi)\n{\n", k->name);
}

static bool gathers(const Kernel *k)
{
    for (int i = 0; i < k->fused.ins.n; i++)
        if (k->fused.ins.v[i].kind == I_GATHER)
            return true;
    return false;
}

bool kernel_uses_path(const Kernel *k)
{
    return k->kind == K_FUSED && gathers(k);
}

int kernel_keys(const Kernel *k, uint64_t *key)
{
    int n = 0;
    if (k->kind != K_FUSED && k->uses_draw)
        key[n++] = k->tpl.key;
    for (int i = 0; i < k->fused.ins.n; i++)
        if (k->fused.ins.v[i].kind == I_RANDOM) {
            if (n == MOST_KEYS)
                BUG("%s draws more than %d times", k->name, MOST_KEYS);
            key[n++] = k->fused.ins.v[i].key;
        }
    return n;
}

void kernel_args(StrBuf *s, const Kernel *k, const char *const *name)
{
    for (int i = 0; i < k->n_arg; i++) {
        strbuf_printf(s, "    %s%s *restrict a%d = arg[%d];", k->arg_written[i] ? "" : "const ",
                      memory_type(k->arg_dtype[i]), i, i);
        if (name[i] && *name[i]) {
            strbuf_add(s, " /* ");
            comment_text(s, name[i]);
            strbuf_add(s, " */");
        }
        strbuf_char(s, '\n');
    }
    int n = k->n_arg;
    if (k->uses_draw)
        strbuf_printf(s, "    const bmrt_draw *draw = arg[%d];\n", n++);
    if (k->uses_first)
        strbuf_printf(s, "    const bool first = *(const bool *)arg[%d];\n", n++);
    if (k->uses_count)
        strbuf_printf(s, "    const int64_t %s = *(const int64_t *)arg[%d];\n",
                      k->kind == K_FUSED  ? "rows"
                      : k->kind == K_FOLD ? "chunks"
                                          : "samples",
                      n++);
    if (kernel_uses_path(k))
        strbuf_printf(s, "    const char *path = arg[%d];\n", n++);
    uint64_t key[MOST_KEYS];
    if (kernel_keys(k, key))
        strbuf_printf(s, "    const uint64_t *keys = arg[%d];\n", n++);
}

static void prelude_c(StrBuf *s, const Plan *p)
{
    strbuf_printf(s,
                  "/* kernels.c - the kernels of %s, for the host.\n *\n"
                  " * Written by bmc; plan %016" PRIx64 ". Build with contraction off\n"
                  " * (-ffp-contract=off): every fused multiply-add is written out. */\n"
                  "#include \"bmrt.h\"\n\n",
                  p->model ? p->model->name : "a plan", p->hash);
    strbuf_add(s, bm_text_math_h);
    strbuf_char(s, '\n');
    strbuf_add(s, bm_text_lanes_h);
    strbuf_char(s, '\n');
    for (int i = 0; i < p->kernel.n; i++)
        if (p->kernel.v[i]->kind == K_ATTENTION || p->kernel.v[i]->kind == K_ATTENTION_GRAD) {
            strbuf_add(s, bm_text_attention_h);
            strbuf_char(s, '\n');
            break;
        }
}

static void kernel_c(StrBuf *s, const Kernel *k)
{
    switch (k->kind) {
    case K_FUSED:
        fused_c(s, k);
        break;
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
        attention_c(s, k);
        break;
    case K_FOLD:
    case K_BATCH:
    case K_SCATTER:
    case K_CUMSUM:
    case K_TOP_K:
        template_c(s, k);
        break;
    case K_GEMM:
    case K_SUM_SQUARES:
    case K_NORM:
    case K_ZERO:
    case K_ALL_GATHER:
    case K_REDUCE_SCATTER:
    case K_ALL_REDUCE:
    case K_COPY:
    case K_TREE:
    case K_EXACT_SUM:
    case K_EXACT_TOTAL:
        break; /* calls of the runtime */
    }
}

const Backend backend_c = {"c", prelude_c, kernel_c};

bool is_runtime_call(KernelKind k)
{
    return k == K_GEMM || k >= K_SUM_SQUARES;
}

/* Kernels that differ in what they are told at run time only (the keys of their draws) have the
 * same text: two layers with dropout share one function. */
const int *kernel_same(Arena *a, const Plan *p)
{
    Map *seen = map_new(a);
    int *same = arena_array(a, int, p->kernel.n + 1);
    for (int i = 0; i < p->kernel.n; i++) {
        Kernel k = *p->kernel.v[i];
        StrBuf s = strbuf_new(a);
        k.name = "kernel";
        k.what = "";
        backend_c.kernel(&s, &k);
        same[i] = i;
        if (!s.n)
            continue;
        int at = map_find(seen, s.text);
        if (at < 0)
            map_put(seen, s.text, p->kernel.v[i]);
        else
            same[i] = ((const Kernel *)seen->val[at])->id;
    }
    return same;
}

bool emit_kernels(StrBuf *s, const Plan *p)
{
    const Backend *b = &backend_c;
    const int *same = kernel_same(s->arena, p);
    b->prelude(s, p);
    for (int i = 0; i < p->kernel.n; i++)
        if (same[i] == i)
            b->kernel(s, p->kernel.v[i]);
    return true;
}
