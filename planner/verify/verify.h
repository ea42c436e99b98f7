/* verify.h - is the plan right? Code of its own that shares only the plan's data types and reader
 * with the planner, so that a mistake there is seen here.
 *
 * Each check has a name (VERIFY_CHECKS; numbers as in reference/planner.md 3); a failure tells it
 * with the steps and buffers by id and path. Two ideas carry most of them. Steps of all streams are
 * walked in the order of their ids, round by round, and every byte of a flat buffer knows what it
 * holds: one rank's part of a sum, a whole sum in this rank's shard, the same on all ranks. And
 * whatever two streams do to the same bytes is ordered as the ids are, by streams and waits alone
 * (V14, V11, V07, V03), so that any run is equal to that walk. Lifetimes are found again from what
 * steps read and write: `first` and `last` of the plan are only compared with them. Near-linear in
 * steps and buffers. */
#ifndef BM_VERIFY_H
#define BM_VERIFY_H

#include "planner/plan.h"
#include "planner/plan_read.h"

#define VERIFY_CHECKS(X)                                                                           \
    X(V01, "well-formed", "ids, phases, sizes and counts agree")                                   \
    X(V02, "def-before-use", "what is read was written before, and is complete")                   \
    X(V03, "gather-release", "parameters kept as shards are read from a whole gathered copy only") \
    X(V04, "shard-cover", "shards are disjoint and cover their group; gaps are zero")              \
    X(V05, "comm-order", "all ranks issue the same collectives in the same order")                 \
    X(V06, "wait-order", "waits and streams have no circle")                                       \
    X(V07, "comm-args", "sizes of collectives fit, and nobody touches what they work on")          \
    X(V08, "grad-once", "every sum is reduced over ranks once, complete, before its use")          \
    X(V09, "update-once", "all that is trained changes once a step, in the update")                \
    X(V10, "param-fresh", "parameters are whole and of one step wherever they are read")           \
    X(V11, "lifetime", "no two live buffers share a byte")                                         \
    X(V12, "bounds-align", "every access lies in its buffer, every buffer in the arena")           \
    X(V13, "peak", "the arena's numbers, computed again, are the plan's, and fit")                 \
    X(V14, "race", "two uses of the same bytes, one writing, are ordered by streams and waits")    \
    X(V15, "remat-pure", "what is computed again is what the forward computed")                    \
    X(V16, "rng-replay", "random numbers drawn again have the forward's keys")                     \
    X(V20, "acc-init", "an accumulator starts with its first part and loses none")                 \
    X(V21, "bucket-cover", "the pieces of collectives cover each group's shard once")              \
    X(V22, "norm-once", "every group's grains are in the norm once")                               \
    X(V23, "plan-hash", "the hash is that of the plan")                                            \
    X(V24, "cost-replay", "the predicted times follow from those of the steps")                    \
    X(V25, "bound-replay", "the bounds follow from what they are made of")

/* False: broken checks were reported as errors (without a place: the plan has none). */
bool plan_verify(const Plan *p, Diag *d);
bool plan_file_verify(const PlanFile *f, Diag *d);

/* Kernels that work in place leave no trace of which value a reader is meant to see, so the order
 * of steps can only be judged by what it was. The origins of a plan are a number for each step: of
 * which steps it reads what. After its steps were put into another order, step i is the one that
 * was step was[i], and must read the same. */
uint64_t *plan_origins(Arena *a, const Plan *p);
bool plan_verify_order(const Plan *p, const int *was, const uint64_t *origins, Diag *d);

/* Bytes an argument of a kernel can touch, from the buffer's start (before what moves by rank).
 * False: all from where it points on. Written to plan.json too, which has no instructions. */
bool reach_bytes(const Plan *p, const Step *s, int arg, int64_t *lo, int64_t *end);

/* Each check's number, name and meaning, one a line. */
void verify_checks_print(StrBuf *s);

#endif
