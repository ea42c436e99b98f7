/* interp.h - a plain interpreter of the graph in double: slow, obvious, and written from the
 * meaning of the ops, not from their rules or kernels. What the compiler emits is compared with it.
 *
 * The whole batch is one micro-batch. A batched value is [batch][elements of one sample]; ints and
 * bools are doubles that hold them. ASSIGN's value is what it would store. */
#ifndef BM_INTERP_H
#define BM_INTERP_H

#include "frontend/graph/graph.h"

typedef struct Interp {
    Arena *arena;
    const Graph *g;
    int batch;
    int64_t sample0; /* SAMPLE_INDEX of the first sample */
    /* values of an INPUT PARAM BUFFER STATE or HOST leaf */
    const double *(*leaf)(void *ctx, const Node *n);
    /* the uniform draw in [0, 1) of RANDOM and of attention's dropout (element (h * Tq + i) * Tk +
     * j)
     */
    double (*random)(void *ctx, int site, bool per_step, int64_t sample, int64_t element);
    void *ctx;
    double **value; /* by id; NULL: not computed */
} Interp;

/* Computes every node the roots need. */
void interp_run(Interp *it, Node *const root[], int n_root);

/* In interp_op.c and interp_attention.c: one node, its operands being computed. */
void interp_node(Interp *it, const Node *n);
void interp_attention(Interp *it, const Node *n);
void interp_attention_grad(Interp *it, const Node *n);

/* Further results of a node lie behind its first: part i starts here. */
double *interp_part(const Interp *it, const Node *n, int i);

static inline int64_t interp_count(const Interp *it, const Node *n)
{
    return type_count(&n->type) * (n->type.batched ? it->batch : 1);
}
/* The sample's own values; an unbatched value is every sample's. */
static inline double *interp_at(const Interp *it, const Node *n, int sample)
{
    return it->value[n->id] + (n->type.batched ? sample * type_count(&n->type) : 0);
}

#endif
