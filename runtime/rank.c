/* rank.c - the table of launchers. */
#include "runtime/rank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RANK, WORLD, LOCAL_RANK, LOCAL_WORLD, NUMBERS };
enum { MOST_WORLD = 1 << 24 };

typedef struct launcher {
    const char *name;
    const char *variable[NUMBERS]; /* NULL: it has none */
} launcher;

/* In a batch script SLURM sets SLURM_PROCID and SLURM_NTASKS too, where one process would wait for
 * others that never come; the number of tasks of a step is set by srun alone. */
static const launcher table[] = {
    {"flags", {"--rank", "--world", "--local-rank", "--local-world"}},
    {"bmc", {"BMC_RANK", "BMC_WORLD", "BMC_LOCAL_RANK", "BMC_LOCAL_WORLD"}},
    {"torchrun", {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}},
    {"Open MPI",
     {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
      "OMPI_COMM_WORLD_LOCAL_SIZE"}},
    {"PMI", {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"}},
    {"SLURM", {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL}},
};

static bool read_number(const char *s, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    *out = v;
    return *s >= '0' && *s <= '9' && *end == 0 && errno == 0 && v <= MOST_WORLD;
}

static BmStatus not_a_number(const launcher *l, int i, const char *text, bmrt_error *e)
{
    return bmrt_fail(e, BMRT_USAGE, "%s is '%s', not a number of ranks", l->variable[i], text);
}

/* v[i] is -1 where nothing is said. */
static BmStatus read_set(const launcher *l, bmrt_getenv_fn *get, void *context, int64_t *v,
                         bmrt_error *e)
{
    for (int i = 0; i < NUMBERS; i++) {
        const char *text = l->variable[i] ? get(context, l->variable[i]) : NULL;
        v[i] = -1;
        if (text && !read_number(text, &v[i]))
            return not_a_number(l, i, text, e);
    }
    return BMRT_OK;
}

/* SLURM_STEP_TASKS_PER_NODE is "4(x2),3": tasks on the step's nodes in turn. Known only when all
 * nodes have as many. */
static int64_t slurm_local_world(bmrt_getenv_fn *get, void *context)
{
    const char *s = get(context, "SLURM_STEP_TASKS_PER_NODE");
    char *end;
    if (!s || *s < '0' || *s > '9')
        return -1;
    long long v = strtoll(s, &end, 10);
    if (*end == '(')
        end += strcspn(end, ")") + 1;
    return *end == 0 && v > 0 && v <= MOST_WORLD ? v : -1;
}

static BmStatus check_set(const launcher *l, const int64_t *v, bmrt_error *e)
{
    if (v[WORLD] < 1)
        return bmrt_fail(e, BMRT_USAGE, "%s is %lld, at least 1 is needed", l->variable[WORLD],
                         (long long)v[WORLD]);
    if (v[RANK] >= v[WORLD])
        return bmrt_fail(e, BMRT_USAGE, "%s is %lld and %s %lld: ranks run from 0 to %lld",
                         l->variable[RANK], (long long)v[RANK], l->variable[WORLD],
                         (long long)v[WORLD], (long long)v[WORLD] - 1);
    if (v[LOCAL_WORLD] == 0 || v[LOCAL_WORLD] > v[WORLD])
        return bmrt_fail(e, BMRT_USAGE, "%s is %lld in a world of %lld", l->variable[LOCAL_WORLD],
                         (long long)v[LOCAL_WORLD], (long long)v[WORLD]);
    if (v[LOCAL_RANK] >= (v[LOCAL_WORLD] > 0 ? v[LOCAL_WORLD] : v[WORLD]))
        return bmrt_fail(e, BMRT_USAGE, "%s is %lld, more than there are ranks",
                         l->variable[LOCAL_RANK], (long long)v[LOCAL_RANK]);
    return BMRT_OK;
}

static void warn(char *warning, size_t cap, const launcher *taken, const int64_t *v,
                 const launcher *other, const int64_t *w)
{
    bmrt_text t = {warning, 0, cap, false};
    if (warning[0])
        return;
    bmrt_text_add(&t,
                  "%s says rank %lld of %lld (%s, %s), %s says rank %lld of %lld (%s, %s): "
                  "taken is %s",
                  taken->name, (long long)v[RANK], (long long)v[WORLD], taken->variable[RANK],
                  taken->variable[WORLD], other->name, (long long)w[RANK], (long long)w[WORLD],
                  other->variable[RANK], other->variable[WORLD], taken->name);
}

BmStatus bmrt_rank_find(bmrt_ranks *out, const bmrt_ranks *flags, bmrt_getenv_fn *get,
                        void *context, char *warning, size_t cap, bmrt_error *e)
{
    const launcher *taken = NULL;
    int64_t v[NUMBERS] = {-1, -1, -1, -1}, w[NUMBERS];
    warning[0] = 0;
    for (int i = 0; i < BMRT_COUNT(table); i++) {
        const launcher *l = &table[i];
        BmStatus s = BMRT_OK;
        if (i == 0) {
            int64_t given[] = {flags->rank, flags->world, flags->local_rank, flags->local_world};
            memcpy(w, given, sizeof w);
        } else {
            s = read_set(l, get, context, w, e);
        }
        if (s != BMRT_OK && !taken)
            return s;
        if (s == BMRT_OK && i == 0 && (w[RANK] < 0) != (w[WORLD] < 0))
            return bmrt_fail(e, BMRT_USAGE, "--rank and --world are given together or not at all");
        if (s != BMRT_OK || w[RANK] < 0 || w[WORLD] < 0)
            continue;
        if (!taken) {
            taken = l;
            memcpy(v, w, sizeof v);
            if (v[LOCAL_WORLD] < 0 && strcmp(l->name, "SLURM") == 0)
                v[LOCAL_WORLD] = slurm_local_world(get, context);
            s = check_set(l, v, e);
            if (s != BMRT_OK)
                return s;
        } else if (w[RANK] != v[RANK] || w[WORLD] != v[WORLD]) {
            warn(warning, cap, taken, v, l, w);
        }
    }
    *out =
        (bmrt_ranks){v[RANK], v[WORLD], v[LOCAL_RANK], v[LOCAL_WORLD], taken ? taken->name : NULL};
    if (!taken)
        *out = (bmrt_ranks){0, 1, 0, 1, NULL};
    return BMRT_OK;
}
