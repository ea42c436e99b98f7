/* make.h - random models, valid by construction: up to 40 operators on leaves of random shapes,
 * then a loss of a few averages that every parameter leads to.
 *
 * Every node is computed as soon as it is made (calc.h), and one with a value near a kink or badly
 * scaled is left out, so that what a float program computes is right or wrong, not doubtful. */
#ifndef BM_MAKE_H
#define BM_MAKE_H

#include "tests/emitted/hand.h"
#include "tests/random/calc.h"

typedef struct Leaf { /* of a parameter, buffer or input */
    double *value;    /* floats exactly; [batch][elements] of inputs */
    Num *num;         /* the same, with directions */
} Leaf;

typedef struct Make {
    Arena *arena;
    Model *m;
    Graph *g;
    Calc calc;
    uint64_t rng;
    VEC(Leaf) param, input; /* as Model.param and .input */
    VEC(Node *) pool;       /* values operators may take */
    bool *bad;              /* by node: something of it is doubtful */
    int room, computed;     /* of bad; nodes computed */
    int dropped;            /* nodes left out */
    int64_t micro;          /* samples of a micro-batch */
    int64_t most;           /* elements of a leaf: few where there are many samples */
} Make;

/* The model of a seed, of at most `most` operators, ready for training_graph(). */
Make *make_model(Arena *a, Diag *d, uint64_t seed, int64_t most);
const Num *make_leaf(void *ctx, const Node *n); /* Calc.leaf, ctx: the Make */

/* ---- shared by the parts ---- */

uint64_t make_bits(Make *k);
int64_t make_below(Make *k, int64_t n);
bool make_chance(Make *k, double p);
double make_uniform(Make *k, double lo, double hi);

/* A value of the pool, later ones more often; NULL when there is none. */
Node *make_some(Make *k, DType t);
/* A new leaf of that type. */
Node *make_fresh(Make *k, const Type *t);
/* A value of the pool of that dtype and shape, or a new leaf of it. */
Node *make_fit(Make *k, DType dtype, int ndim, const int64_t *dim);
/* An int value that indexes `rows` rows, of that shape. */
Node *make_index(Make *k, int64_t rows, int ndim, const int64_t *dim);
/* x turned into something at least 0.2. */
Node *make_positive(Make *k, Node *x);
Node *make_number(Make *k, double v); /* a float constant */
Type make_shape(Make *k, int least, int most);

/* Computes what is new; `n` enters the pool unless it is doubtful (false). */
bool make_admit(Make *k, Node *n);

typedef Node *MakeFn(Make *k); /* NULL: nothing to work on */
extern MakeFn *const make_op[];
extern const int n_make_op;

#endif
