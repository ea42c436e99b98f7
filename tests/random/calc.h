/* calc.h - an interpreter of graphs in double that carries, with each value, its derivatives along
 * four directions (dual numbers) and a bound of the error a float program may make in it.
 *
 * It is written from the meaning of the ops. Derivatives come from the forward graph alone, so they
 * are no copy of autodiff's rules. The bound is of first order: an op passes its operands' bounds
 * on through its derivatives and adds its own rounding, a sum one rounding for each addition an
 * element may go through. Interpreting a training graph gives the bounds of its gradients.
 *
 * While a model is made, `flaw` tells that a value lies so near a kink, or so badly scaled, that a
 * float program may rightly come out elsewhere. */
#ifndef BM_CALC_H
#define BM_CALC_H

#include "frontend/graph/graph.h"

enum { WAYS = 4 };

typedef struct Num {
    double v, e;    /* value; bound of the error */
    double t[WAYS]; /* derivatives */
} Num;

typedef struct Calc {
    Arena *arena;
    int batch;
    uint64_t seed;                                /* of the draws */
    const Num *(*leaf)(void *ctx, const Node *n); /* INPUT, PARAM, BUFFER, STATE, HOST */
    void *ctx;
    bool strict;      /* look for kinks */
    const char *flaw; /* the first one found, or NULL */
    Num **value;      /* by id */
    int room;
} Calc;

/* Computes one node; its operands were computed. */
void calc_node(Calc *c, const Node *n);
/* Everything the roots need. */
void calc_run(Calc *c, const Graph *g, Node *const root[], int n_root);

/* ---- shared by the parts; u: half a unit in the last place of a float ---- */

static const double half_ulp = 1.0 / (1 << 24);

static inline int64_t calc_count(const Calc *c, const Node *n)
{
    return type_count(&n->type) * (n->type.batched ? c->batch : 1);
}
/* Values of sample s; those of an unbatched node are every sample's. */
static inline Num *calc_at(const Calc *c, const Node *n, int64_t s)
{
    return c->value[n->id] + (n->type.batched ? s * type_count(&n->type) : 0);
}
/* A further result of a node, behind its first. */
Num *calc_part(const Calc *c, const Node *n, int index);

/* y += d * x: value, derivatives and bound of a linear part. */
static inline void num_add(Num *y, double d, const Num *x)
{
    y->v += d * x->v;
    y->e += (d < 0 ? -d : d) * x->e;
    for (int k = 0; k < WAYS; k++)
        y->t[k] += d * x->t[k];
}
/* y += a * b */
void num_mul_add(Num *y, const Num *a, const Num *b);
bool num_is_exact(const Num *x); /* no error, no derivative */
/* A choice between a and b hangs on which is greater. */
void calc_near(Calc *c, const Num *a, const Num *b, const char *what);
void calc_flaw(Calc *c, const char *what);

/* The element of `from` that element `flat` of `to` is, when `from` broadcasts to `to`. */
int64_t calc_source(const Type *to, const Type *from, int64_t flat);
void calc_unravel(const Type *t, int64_t flat, int64_t *index);
int64_t calc_ravel(const Type *t, const int64_t *index);

bool calc_elementwise(Calc *c, const Node *n); /* calc_elem.c; false: not one of its ops */
bool calc_moves(Calc *c, const Node *n);       /* calc_move.c: views, indices, leaves */
bool calc_rows(Calc *c, const Node *n);        /* calc_row.c: reductions and rows */
bool calc_heavy(Calc *c, const Node *n);       /* calc_heavy.c: products, attention */

/* The uniform draw of a site (calc_move.c). */
double calc_draw(uint64_t seed, uint64_t site, uint32_t element, int64_t sample, int64_t step);

#endif
