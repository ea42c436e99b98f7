/* op.c - op_info: the columns of ops.def that other layers read. */
#include "frontend/graph/graph.h"

/* A kernel word that is not in this list does not compile. */
#define MAP(text)      "MAP", text
#define LEAF           "LEAF", NULL
#define INDEX          "INDEX", NULL
#define CAST           "CAST", NULL
#define VIEW           "VIEW", NULL
#define PAD            "PAD", NULL
#define CONCAT         "CONCAT", NULL
#define REDUCE         "REDUCE", NULL
#define EXPAND         "EXPAND", NULL
#define CUMSUM         "CUMSUM", NULL
#define TOP_K          "TOP_K", NULL
#define GATHER         "GATHER", NULL
#define SCATTER        "SCATTER", NULL
#define PICK           "PICK", NULL
#define GEMM           "GEMM", NULL
#define ATTENTION      "ATTENTION", NULL
#define ATTENTION_GRAD "ATTENTION_GRAD", NULL
#define PART           "PART", NULL
#define BATCH          "BATCH", NULL
#define ASSIGN         "ASSIGN", NULL
#define SUM_SQUARES    "SUM_SQUARES", NULL

/* 0 for the gradient column's `none`, else 1: only DIFF_none expands to two arguments. */
#define DIFF_none          ~, 0
#define SECOND(a, b, ...)  b
#define SECOND_(...)       SECOND(__VA_ARGS__)
#define HAS_RULE(gradient) SECOND_(DIFF_##gradient, 1, 1)

#define INFO(name, cost, kernel, map, diff)                                                        \
    {                                                                                              \
        name, cost, map, kernel, diff                                                              \
    }
#define INFO_(...) INFO(__VA_ARGS__)

const OpInfo op_info[N_OPS] = {
#define OP(id, name, sizes, gradient, cost, kernel)                                                \
    [OP_##id] = INFO_(name, COST_##cost, kernel, HAS_RULE(gradient)),
#include "frontend/graph/ops.def"
#undef OP
};
