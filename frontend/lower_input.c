/* lower_input.c - what `forward` says about its inputs, checked against what it is given; the
 * model's own inputs and its loss. */
#include "frontend/lower_ctx.h"

#include <inttypes.h>

static bool input_dtype(Lower *l, const AstInput *in, DType *out)
{
    static const struct {
        const char *name;
        DType dtype;
    } row[] = {{"float", DT_F32}, {"int", DT_INT}, {"bool", DT_BOOL}};
    const char *name = in->dtype.text ? in->dtype.text : "float";
    for (int i = 0; i < countof(row); i++)
        if (strcmp(row[i].name, name) == 0) {
            *out = row[i].dtype;
            return true;
        }
    diag_error(l->d, in->dtype.at, "an input is int, float or bool, not `%s`", name);
    return false;
}

/* Sizes see constants and the sizes bound so far, never members or other locals of forward. */
static Env dim_env(const Env *env)
{
    Env e = body_env(env->frame->inst, NULL);
    e.frame = env->frame;
    return e;
}

typedef struct Size {
    int64_t value;
    const char *free; /* a name without a size yet: any size will do */
} Size;

static bool dim_size(Lower *l, const Env *env, const Dim *d, Size *out)
{
    *out = (Size){0};
    const Expr *e = d->size;
    Env own = dim_env(env);
    Value v;
    bool lone = e->kind == EXPR_NAME && !e->parens;
    if (lone && !find_name(l, &own, e->text, e->at, &v)) {
        if (e->text[0] < 'A' || e->text[0] > 'Z') {
            unknown_name(l, &own, e->text, e->at);
            return false;
        }
        out->free = e->text;
        return true;
    }
    if (lone && v.kind == VAL_OPERATOR) {
        diag_error(l->d, e->at, "`%s` is an operator, not a size", e->text);
        diag_help(l->d, "a name that begins with a capital letter binds a size: T");
        return false;
    }
    if (!lone)
        v = eval(l, &own, e);
    if (!want_int(l, &v, d->at, "a size", &out->value))
        return false;
    if (out->value >= 1)
        return true;
    diag_error(l->d, d->at, "size %" PRId64 ": a size is at least 1", out->value);
    return false;
}

static const char *wanted_text(Lower *l, DType dtype, const Shape *shape, const Size *size)
{
    StrBuf s = strbuf_new(l->a);
    if (dtype != DT_F32)
        strbuf_add(&s, dtype_name(dtype));
    strbuf_char(&s, '[');
    for (int i = 0; i < shape->dims.n; i++) {
        strbuf_add(&s, i ? ", " : "");
        if (!shape->dims.v[i].size)
            strbuf_add(&s, "...");
        else if (size[i].free)
            strbuf_add(&s, size[i].free);
        else
            strbuf_printf(&s, "%" PRId64, size[i].value);
    }
    strbuf_char(&s, ']');
    return s.text;
}

/* ---- the message with both shapes and where they came from ---- */

/* The call that made the member, with its argument `name` worth `size` instead. */
static const char *repaired_call(Lower *l, const Inst *inst, const char *name, int64_t size)
{
    const Made *made = inst->made;
    const AstParamList *params = &inst->block->item->block.params;
    StrBuf s = strbuf_new(l->a);
    strbuf_printf(&s, "%s(", inst->block->name);
    bool found = false;
    for (int i = 0; made->call && i < made->call->call.args.n; i++) {
        const Arg *a = &made->call->call.args.v[i];
        const char *is = a->name.text ? a->name.text : i < params->n ? params->v[i].name.text : "";
        strbuf_add(&s, i ? ", " : "");
        if (a->name.text)
            strbuf_printf(&s, "%s = ", is);
        if (strcmp(is, name) == 0)
            strbuf_printf(&s, "%" PRId64, size);
        else
            strbuf_add(&s, source_text(l, a->value->at));
        found |= strcmp(is, name) == 0;
    }
    strbuf_char(&s, ')');
    return found ? s.text : NULL;
}

/* "member `c_proj` has weight [768, 192]": the member and its first parameter. */
static void member_note(Lower *l, const Inst *inst, const char *name, int64_t size)
{
    for (int i = 0; i < inst->member->n; i++) {
        const Slot *s = inst->member->val[i];
        if (s->kind != SLOT_TENSOR)
            continue;
        const char *type = type_text(l->a, &l->m->param.v[s->param].type);
        if (name)
            diag_note(l->d, inst->at, "member `%s` has %s %s, its `%s` is %" PRId64, inst->path,
                      inst->member->key[i], type, name, size);
        else
            diag_note(l->d, inst->at, "member `%s` has %s %s", inst->path, inst->member->key[i],
                      type);
        return;
    }
    diag_note(l->d, inst->at, "member `%s` is declared here: %s", inst->path,
              source_text(l, inst->at));
}

/* `bad`: the dim that differs from the operand's size `got`, or -1. */
static bool mismatch(Lower *l, const Env *env, const AstInput *in, Node *n, Span at,
                     const char *wanted, int bad, const Size *size, int64_t got)
{
    const Inst *inst = env->frame->inst;
    const Expr *e = bad >= 0 ? in->shape.dims.v[bad].size : NULL;
    const char *name = NULL;
    if (e && e->kind == EXPR_NAME && map_find(inst->made->arg, e->text) >= 0)
        name = e->text;
    diag_error(l->d, at, "input `%s` of `%s` is %s, got %s", in->name.text, inst->path, wanted,
               type_text(l->a, &n->type));
    member_note(l, inst, name, bad >= 0 ? size[bad].value : 0);
    diag_note(l->d, in->at, "the input is declared here: %s", source_text(l, in->at));
    operand_notes(l, &n, NULL, 1);
    const char *repaired = name ? repaired_call(l, inst, name, got) : NULL;
    if (repaired)
        diag_help(l->d, "%s", repaired);
    return false;
}

static void bind_size(Lower *l, const Env *env, const char *name, int64_t size)
{
    Value *v = arena_make(l->a, Value);
    *v = value_int(size);
    map_put(env->frame->local, name, v);
}

static int find_dots(Lower *l, const Shape *shape)
{
    int dots = -1;
    for (int i = 0; i < shape->dims.n; i++) {
        if (shape->dims.v[i].size)
            continue;
        if (dots >= 0) {
            diag_error(l->d, shape->dims.v[i].at, "`...` stands once in a shape");
            return -2;
        }
        dots = i;
    }
    return dots;
}

static bool check_shape(Lower *l, const Env *env, const AstInput *in, DType dtype, Node *n, Span at)
{
    const Shape *shape = &in->shape;
    int dims = shape->dims.n, dots = find_dots(l, shape), fixed = dims - (dots >= 0), bad = -1;
    if (dots == -2)
        return false;
    Size *size = arena_array(l->a, Size, dims + 1);
    int64_t got = 0;
    bool fits =
        n->type.dtype == dtype && (dots < 0 ? n->type.ndim == fixed : n->type.ndim >= fixed);
    for (int i = 0; i < dims; i++) {
        int axis = dots >= 0 && i > dots ? n->type.ndim - (dims - i) : i;
        if (i == dots)
            continue;
        if (!dim_size(l, env, &shape->dims.v[i], &size[i]))
            return false;
        if (!fits)
            continue;
        if (size[i].free) {
            size[i].value = n->type.dim[axis];
            bind_size(l, env, size[i].free, size[i].value);
        } else if (size[i].value != n->type.dim[axis] && bad < 0) {
            bad = i;
            got = n->type.dim[axis];
        }
    }
    if (fits && bad < 0)
        return true;
    return mismatch(l, env, in, n, at, wanted_text(l, dtype, shape, size), bad, size, got);
}

bool check_input(Lower *l, const Env *env, const AstInput *in, Value *v, Span arg_at)
{
    DType dtype;
    if (!in->has_type)
        return true;
    if (!input_dtype(l, in, &dtype))
        return false;
    if (v->kind == VAL_INT || v->kind == VAL_FLOAT || v->kind == VAL_BOOL) {
        Node *n = to_node(l, v, arg_at, dtype);
        if (!n)
            return false;
        *v = tensor_value(n);
    }
    if (v->kind != VAL_TENSOR) {
        diag_error(l->d, arg_at, "input `%s` of `%s` is a tensor, got %s", in->name.text,
                   env->frame->inst->path, value_what(v));
        diag_note(l->d, in->at, "it is declared here: %s", source_text(l, in->at));
        return false;
    }
    return check_shape(l, env, in, dtype, v->node, arg_at);
}

/* ---- the model ---- */

static bool model_input_type(Lower *l, const Env *env, const AstInput *in, Type *t)
{
    *t = (Type){.batched = true};
    if (!in->has_type) {
        diag_error(l->d, in->at, "an input of the model has a type: %s: [..] or %s: int[..]",
                   in->name.text, in->name.text);
        return false;
    }
    if (!input_dtype(l, in, &t->dtype))
        return false;
    if (in->shape.dims.n > BM_DIMS) {
        diag_error(l->d, in->at, "more than %d axes", BM_DIMS);
        return false;
    }
    int64_t count = 1;
    for (int i = 0; i < in->shape.dims.n; i++) {
        const Dim *d = &in->shape.dims.v[i];
        Size size = {0};
        if (d->size && !dim_size(l, env, d, &size))
            return false;
        if (!d->size || size.free) {
            diag_error(l->d, d->at, "the sizes of a model's inputs are constants, `%s` is none",
                       source_text(l, d->at));
            return false;
        }
        if (!mul_ok(count, size.value, &count) || count > (int64_t)1 << 48) {
            diag_error(l->d, d->at, "more than 2^48 elements in a sample");
            return false;
        }
        t->dim[t->ndim++] = size.value;
    }
    return true;
}

/* The two graphs have one list of inputs. */
static int input_index(Lower *l, const AstInput *in, const Type *t)
{
    uintptr_t known = (uintptr_t)map_get(l->input, in->name.text);
    if (known)
        return (int)known - 1;
    Input row = {.name = in->name.text, .type = *t, .at = in->at};
    vec_push(l->a, &l->m->input, row);
    map_put(l->input, in->name.text, (void *)(uintptr_t)l->m->input.n);
    return l->m->input.n - 1;
}

static void model_inputs(Lower *l, const Env *env)
{
    const AstInputList *in = &env->frame->forward->forward.inputs;
    for (int i = 0; i < in->n; i++) {
        const AstInput *x = &in->v[i];
        Value *v = arena_make(l->a, Value);
        Type t;
        if (map_find(env->frame->local, x->name.text) >= 0) {
            diag_error(l->d, x->at, "input `%s` is declared twice", x->name.text);
            continue;
        }
        if (model_input_type(l, env, x, &t)) {
            Attr attr = {0};
            attr.leaf.leaf = input_index(l, x, &t);
            l->g->at = x->at;
            l->g->path = l->g->name = x->name.text;
            *v = tensor_value(graph_add(l->g, OP_INPUT, NULL, 0, &attr, &t));
            l->g->path = "";
            l->g->name = NULL;
        }
        map_put(env->frame->local, x->name.text, v);
    }
}

Node *run_model(Lower *l, Inst *root)
{
    Frame *f = new_frame(l, root, root->at);
    Env env = body_env(root, f);
    l->g->path = "";
    model_inputs(l, &env); /* a wrong one is an error value: the body may have more to say */
    l->explained = l->d->errors;
    Value v = run_forward(l, &env);
    if (v.kind == VAL_ERROR)
        return NULL;
    Node *n = v.kind == VAL_TENSOR ? v.node : NULL;
    if (!n || n->type.dtype != DT_F32 || n->type.ndim != 0) {
        diag_error(l->d, f->result_at, "the model returns one float, its loss, got %s%s",
                   n ? "" : value_what(&v), n ? type_text(l->a, &n->type) : "");
        diag_help(l->d, "`average(..)`, `cross_entropy(..)` and `mse(..)` give one");
        return NULL;
    }
    if (!n->type.batched)
        return n;
    l->g->at = f->result_at; /* a value per sample means its average */
    Node *in[] = {n, g_const(l->g, DT_F32, 1)};
    return graph_add(l->g, OP_AVERAGE, in, 2, NULL, NULL);
}
