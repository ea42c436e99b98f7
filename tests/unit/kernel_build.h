/* kernel_build.h - kernels by hand, compiled and loaded into the test. */
#ifndef KERNEL_BUILD_H
#define KERNEL_BUILD_H

#include "codegen/emit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void KernelFn(void *const *arg, int64_t lo, int64_t hi);

static inline Kernel *new_fused(Arena *a, const char *name, bool batched, int n_inner, int n_axis,
                                const int64_t *extent)
{
    Kernel *k = arena_make(a, Kernel);
    k->kind = K_FUSED;
    k->name = name;
    k->what = name;
    k->batched = batched;
    k->fused.n_axis = n_axis;
    k->fused.n_inner = n_inner;
    k->units = 1;
    for (int i = 0; i < n_axis; i++) {
        k->fused.extent[i] = extent[i];
        if (i < n_axis - n_inner)
            k->units *= extent[i];
    }
    return k;
}

static inline int new_arg(Kernel *k, DType t, bool written)
{
    k->arg_dtype[k->n_arg] = t;
    k->arg_written[k->n_arg] = written;
    return k->n_arg++;
}

/* Strides are given for the last axes; the axes before them get 0. */
static inline int new_access(Arena *a, Kernel *k, int arg, int n, const int64_t *stride)
{
    Access x = {.arg = arg, .dtype = k->arg_dtype[arg]};
    for (int i = 0; i < n; i++)
        x.stride[k->fused.n_axis - n + i] = stride[i];
    vec_push(a, &k->fused.access, x);
    return k->fused.access.n - 1;
}

static inline int put(Arena *a, Kernel *k, Ins n)
{
    bool row = k->fused.n_inner > 0;
    int col = k->fused.n_axis - 1;
    for (int j = 0; j < 3; j++)
        if (n.in[j] >= 0)
            row = row && k->fused.ins.v[n.in[j]].row;
    if (n.acc >= 0)
        row = row && k->fused.access.v[n.acc].stride[col] == 0;
    if (n.kind == I_INDEX)
        row = row && n.stride[col] == 0;
    if (n.kind == I_REDUCE)
        row = k->fused.n_inner > 0;
    n.row = row;
    vec_push(a, &k->fused.ins, n);
    return k->fused.ins.n - 1;
}

static inline int load(Arena *a, Kernel *k, int acc, const char *name)
{
    DType t = k->fused.access.v[acc].dtype;
    return put(a, k,
               (Ins){.kind = I_LOAD, .dtype = t, .in = {-1, -1, -1}, .acc = acc, .name = name});
}

static inline int number_ins(Arena *a, Kernel *k, DType t, double v)
{
    return put(a, k, (Ins){.kind = I_CONST, .dtype = t, .in = {-1, -1, -1}, .acc = -1, .value = v});
}

static inline int apply(Arena *a, Kernel *k, Op op, DType t, int x, int y, int z)
{
    return put(a, k,
               (Ins){.kind = I_ELEM,
                     .op = op,
                     .dtype = t,
                     .in = {x, y, z},
                     .acc = -1,
                     .name = op_info[op].name});
}

static inline int f1(Arena *a, Kernel *k, Op op, int x)
{
    return apply(a, k, op, DT_F32, x, -1, -1);
}

static inline int f2(Arena *a, Kernel *k, Op op, int x, int y)
{
    return apply(a, k, op, DT_F32, x, y, -1);
}

static inline int reduce(Arena *a, Kernel *k, Op op, int x)
{
    DType t = op == OP_ARGMAX ? DT_INT : k->fused.ins.v[x].dtype;
    return put(a, k,
               (Ins){.kind = I_REDUCE,
                     .op = op,
                     .dtype = t,
                     .in = {x, -1, -1},
                     .acc = -1,
                     .name = op_info[op].name});
}

static inline void sink(Arena *a, Kernel *k, InsKind kind, int x, int acc)
{
    DType t = k->fused.ins.v[x].dtype;
    put(a, k, (Ins){.kind = kind, .op = OP_SUM, .dtype = t, .in = {x, -1, -1}, .acc = acc});
}

static inline void write_text(const char *file, const char *text)
{
    FILE *f = fopen(file, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

/* Emits the kernels, compiles them as DIR/NAME.c and loads them. Warnings are errors. */
static inline void *compile_kernels(Arena *a, Kernel *const *k, int n, const char *name,
                                    const char *flags)
{
    Plan p = {.arena = a};
    for (int i = 0; i < n; i++)
        vec_push(a, &p.kernel, k[i]);
    StrBuf s = strbuf_new(a);
    emit_kernels(&s, &p);
    strbuf_add(&s, "int64_t fault_value, fault_sample, fault_position, faults;\n"
                   "void bmrt_index_fault(const char *path, int64_t sample, int64_t position, "
                   "int64_t value, int64_t limit)\n"
                   "{\n    (void)path, (void)limit;\n    faults++;\n    fault_value = value;\n"
                   "    fault_sample = sample;\n    fault_position = position;\n}\n");
    write_text(arena_printf(a, "%s.c", name), s.text);
    const char *source = getenv("SOURCE") ? getenv("SOURCE") : ".";
    const char *cc = getenv("CC") ? getenv("CC") : "cc";
    char *command = arena_printf(
        a,
        "%s -std=c11 -Wall -Wextra -Werror -Wvla -O3 -march=native -ffp-contract=off "
        "-fno-math-errno -fno-trapping-math -fPIC -shared %s -I%s/runtime %s.c -o %s.so -lm",
        cc, flags, source, name, name);
    if (system(command) != 0)
        return NULL;
    return dlopen(arena_printf(a, "./%s.so", name), RTLD_NOW | RTLD_LOCAL);
}

#endif
