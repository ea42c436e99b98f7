/* machine.h - what a machine can do, as numbers: the profile a plan is made for.
 *
 * Profiles are JSON files (planner/machines/NAME.json, compiled in; or any file): read by
 * machine_read(), written by `bmc calibrate`. Integers only where the plan's arithmetic uses them:
 * bytes, bytes per second, floating-point operations per second, picoseconds. */
#ifndef BM_MACHINE_H
#define BM_MACHINE_H

#include "frontend/base/diag.h"
#include "frontend/base/strbuf.h"

typedef enum Target { TARGET_C, TARGET_CUDA, N_TARGETS } Target;
extern const char *const target_name[N_TARGETS]; /* "c" "cuda" */

typedef enum Link {            /* between ranks */
                    LINK_NODE, /* within a node */
                    LINK_NET,  /* between nodes */
                    N_LINKS
} Link;

typedef struct LinkCost { /* a message of n bytes takes alpha_ps + n / bytes_per_s */
    int64_t alpha_ps;
    int64_t bytes_per_s; /* each way, per rank; 0: the machine has no such link */
} LinkCost;

/* Rate of products whose smallest size is `size`: linear between points, flat beyond the ends. */
typedef struct RatePoint {
    int64_t size;
    int64_t flops_per_s;
} RatePoint;

typedef enum MathType { MATH_F32, MATH_BF16, MATH_F16, N_MATH_TYPES } MathType;

typedef struct Machine {
    const char *name;     /* "h100-80g" */
    const char *source;   /* where the numbers come from */
    int64_t memory_bytes; /* of one rank; target c: all there is, the host's arena lies in it too */
    int64_t host_bytes;   /* of one rank beside it, target cuda; 0: unknown */
    int64_t ranks_per_node;
    Target target; /* what code runs there: with c the host is the device */
    int n_rate[N_MATH_TYPES];
    RatePoint rate[N_MATH_TYPES][16];
    int64_t attention_flops_per_s;
    int64_t memory_bytes_per_s;      /* streaming, beyond all caches */
    int64_t host_memory_bytes_per_s; /* one rank's share; target c: the same */
    int64_t cache_bytes; /* data of this size or less moves at cache_bytes_per_s; 0: none */
    int64_t cache_bytes_per_s;
    int64_t elem_ops_per_s; /* simple elementwise operations; costly ones count as several */
    int64_t launch_ps;      /* of one kernel */
    int64_t workers;        /* units of a kernel at work at once: threads, multiprocessors */
    LinkCost link[N_LINKS];
    LinkCost copy;            /* between the device's memory and the host's */
    int64_t slow_compute_ppm; /* compute is slower by this while a collective runs */
} Machine;

/* A profile by name or file; NULL: reported, with the names there are. */
const Machine *machine_find(Arena *a, const char *name, Diag *d);
/* The one of a text (strict: unknown keys, wrong units and missing sources are errors). */
const Machine *machine_read(Arena *a, const char *file, const char *text, size_t n, Diag *d);
/* Of memory_bytes, what a rank's two arenas take; NULL: as cpu. */
int64_t machine_taken(const Machine *m, int64_t arena_bytes, int64_t host_bytes);
void machine_print(StrBuf *s, const Machine *m); /* the same JSON again */
const char *const *machine_names(int *n);        /* those compiled in */

#endif
