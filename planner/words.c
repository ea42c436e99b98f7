#include "planner/words.h"

#include <string.h>

#define WORDS(name, count, ...)                                                                    \
    static const char *const name##_word[count] = {__VA_ARGS__};                                   \
    const Words name##_words = {name##_word, count};

WORDS(role, N_ROLES, [ROLE_PARAM] = "param", [ROLE_STATE] = "state", [ROLE_BUFFER] = "buffer",
      [ROLE_HOST] = "host", [ROLE_INPUT] = "input", [ROLE_GRAD] = "grad", [ROLE_SAVED] = "saved",
      [ROLE_TEMP] = "temp", [ROLE_GATHERED] = "gathered", [ROLE_COMM] = "comm")
WORDS(phase, N_PHASES, [PHASE_PRE] = "pre", [PHASE_WEIGHT] = "weight", [PHASE_MID] = "mid",
      [PHASE_ROUND] = "round", [PHASE_POST] = "post", [PHASE_UPDATE] = "update")
WORDS(program,
      N_PROGRAMS, [PROGRAM_TRAIN] = "train", [PROGRAM_EVAL] = "eval", [PROGRAM_SAMPLE] = "sample")
WORDS(dtype, DT_F16 + 1, [DT_F32] = "f32", [DT_INT] = "i32", [DT_BOOL] = "bool", [DT_BF16] = "bf16",
      [DT_F16] = "f16")
WORDS(init, INIT_NPY + 1, [INIT_ZEROS] = "zeros", [INIT_ONES] = "ones", [INIT_FILL] = "fill",
      [INIT_NORMAL] = "normal", [INIT_UNIFORM] = "uniform", [INIT_NPY] = "npy")
WORDS(opt, OPT_LION + 1, [OPT_SGD] = "sgd", [OPT_ADAM] = "adam", [OPT_ADAMW] = "adamw",
      [OPT_ADAGRAD] = "adagrad", [OPT_LION] = "lion")
WORDS(host, HOST_BIAS2 + 1, [HOST_LR] = "lr", [HOST_BIAS1] = "bias1", [HOST_BIAS2] = "bias2")
WORDS(kind, N_STEP_KINDS, [KIND_MAP] = "map", [KIND_ROW] = "row", [KIND_COLUMN] = "column",
      [KIND_FOLD] = "fold", [KIND_BATCH] = "batch", [KIND_SCATTER] = "scatter",
      [KIND_ATTENTION] = "attention", [KIND_ATTENTION_GRAD] = "attention_grad",
      [KIND_CUMSUM] = "cumsum", [KIND_TOP_K] = "top_k", [KIND_GEMM] = "gemm",
      [KIND_SUM_SQUARES] = "sum_squares", [KIND_NORM] = "norm", [KIND_ZERO] = "zero",
      [KIND_ALL_GATHER] = "all_gather", [KIND_REDUCE_SCATTER] = "reduce_scatter",
      [KIND_ALL_REDUCE] = "all_reduce", [KIND_COPY] = "copy", [KIND_TREE] = "tree",
      [KIND_EXACT_SUM] = "exact_sum", [KIND_EXACT_TOTAL] = "exact_total")
WORDS(stream, N_STREAMS, "compute", "comm", "copy")
WORDS(when, N_WHEN, "always", "first", "last")
WORDS(level, N_LEVELS, "0", "1", "2", "3", "once")
WORDS(keep, RECOMPUTE_ALL + 1, [RECOMPUTE_AUTO] = "kept", [RECOMPUTE_NONE] = "none",
      [RECOMPUTE_ALL] = "all")
WORDS(accumulate, 2, "local", "reduced")
WORDS(reduce, 2, "ordered", "invariant")
WORDS(class, N_TIME_CLASSES, [TIME_MATH] = "math", [TIME_MEMORY] = "memory", [TIME_NET] = "net",
      [TIME_LAUNCH] = "launch")
WORDS(access, N_ACCESSES, [ACCESS_READ] = "read", [ACCESS_WRITE] = "write",
      [ACCESS_UPDATE] = "update", [ACCESS_ADD] = "add")

int word_find(Words w, const char *text)
{
    for (int i = 0; i < w.n; i++)
        if (w.word[i] && strcmp(w.word[i], text) == 0)
            return i;
    return -1;
}

StepKind step_kind(const Kernel *k)
{
    switch (k->kind) {
    case K_FUSED:
        return k->fused.chunk > 0 ? KIND_COLUMN : k->fused.n_inner > 0 ? KIND_ROW : KIND_MAP;
    case K_FOLD:
        return KIND_FOLD;
    case K_BATCH:
        return KIND_BATCH;
    case K_SCATTER:
        return KIND_SCATTER;
    case K_ATTENTION:
        return KIND_ATTENTION;
    case K_ATTENTION_GRAD:
        return KIND_ATTENTION_GRAD;
    case K_CUMSUM:
        return KIND_CUMSUM;
    case K_TOP_K:
        return KIND_TOP_K;
    case K_GEMM:
        return KIND_GEMM;
    case K_SUM_SQUARES:
        return KIND_SUM_SQUARES;
    case K_NORM:
        return KIND_NORM;
    case K_ZERO:
        return KIND_ZERO;
    case K_ALL_GATHER:
        return KIND_ALL_GATHER;
    case K_REDUCE_SCATTER:
        return KIND_REDUCE_SCATTER;
    case K_ALL_REDUCE:
        return KIND_ALL_REDUCE;
    case K_COPY:
        return KIND_COPY;
    case K_TREE:
        return KIND_TREE;
    case K_EXACT_SUM:
        return KIND_EXACT_SUM;
    case K_EXACT_TOTAL:
        return KIND_EXACT_TOTAL;
    }
    BUG("kernel %s has kind %d", k->name, (int)k->kind);
}

bool kind_is_collective(StepKind k)
{
    return k == KIND_ALL_GATHER || k == KIND_REDUCE_SCATTER || k == KIND_ALL_REDUCE;
}

bool kernel_is_collective(const Kernel *k)
{
    return kind_is_collective(step_kind(k));
}

bool kernel_accumulates(const Kernel *k, int arg)
{
    if (!k->arg_written[arg])
        return false;
    switch (k->kind) {
    case K_FOLD:
    case K_BATCH:
    case K_SCATTER:
    case K_EXACT_SUM:
        return k->tpl.accumulates;
    case K_GEMM:
        return k->gemm.accumulates;
    case K_REDUCE_SCATTER:
        return k->coll.accumulates && arg % 2 == 1;
    case K_TREE: /* which of the rounds' sums it adds up is the round's number's to say */
        return false;
    case K_FUSED:
    case K_ATTENTION:
    case K_ATTENTION_GRAD:
    case K_CUMSUM:
    case K_TOP_K:
    case K_SUM_SQUARES:
    case K_NORM:
    case K_ZERO:
    case K_ALL_GATHER:
    case K_ALL_REDUCE:
    case K_COPY:
    case K_EXACT_TOTAL:
        return false;
    }
    BUG("kernel %s has kind %d", k->name, (int)k->kind);
}

bool kernel_reads(const Kernel *k, int arg)
{
    if (k->kind == K_ALL_REDUCE)
        return arg < k->coll.n_segment;
    if (k->kind == K_TREE)
        return true;
    if (k->kind != K_FUSED)
        return !k->arg_written[arg] || kernel_accumulates(k, arg);
    const Fused *f = &k->fused;
    for (int i = 0; i < f->ins.n; i++) {
        const Ins *s = &f->ins.v[i];
        if ((s->kind == I_LOAD || s->kind == I_GATHER) && f->access.v[s->acc].arg == arg)
            return true;
    }
    return !k->arg_written[arg];
}
