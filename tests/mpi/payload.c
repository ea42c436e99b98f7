/* payload.c - what a trainer sends for each step of its plan, counted where MPI is called. Linked
 * into a trainer with -Wl,--wrap=bmrt_comm_op, which says whose turn it is; all else is seen from
 * outside. At the end each rank writes $PAYLOAD.RANK: lines of step, kind, bytes. */
#include "runtime/comm.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_STEPS = 1 << 16 };

static long long sent[MOST_STEPS];
static bmrt_op_kind kind[MOST_STEPS];
static const bmrt_op *running; /* NULL: none */

BmStatus __real_bmrt_comm_op(bmrt_comm *c, bmrt *r, const bmrt_op *op, bool first, bmrt_error *e);
BmStatus __wrap_bmrt_comm_op(bmrt_comm *c, bmrt *r, const bmrt_op *op, bool first, bmrt_error *e);

BmStatus __wrap_bmrt_comm_op(bmrt_comm *c, bmrt *r, const bmrt_op *op, bool first, bmrt_error *e)
{
    running = op;
    kind[op->step % MOST_STEPS] = op->kind;
    BmStatus s = __real_bmrt_comm_op(c, r, op, first, e);
    running = NULL;
    return s;
}

int MPI_Isend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    if (running)
        sent[running->step % MOST_STEPS] += (long long)count * size;
    return PMPI_Isend(buf, count, type, dest, tag, comm, request);
}

int MPI_Finalize(void)
{
    static const char *const name[] = {"all_gather", "reduce_scatter", "all_reduce", "copy"};
    const char *stem = getenv("PAYLOAD");
    char path[512];
    int rank = 0;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    snprintf(path, sizeof path, "%s.%d", stem ? stem : "payload", rank);
    FILE *f = fopen(path, "w");
    for (int i = 0; f && i < MOST_STEPS; i++)
        if (sent[i])
            fprintf(f, "%d %s %lld\n", i, name[kind[i]], sent[i]);
    if (!f || fclose(f) != 0)
        return MPI_ERR_OTHER;
    return PMPI_Finalize();
}
