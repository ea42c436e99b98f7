/* comm_mpi.c - messages by MPI: libbmrt_mpi.a.
 *
 * Only MPI_Isend and MPI_Irecv, and MPI_Testsome until they are over: the order of sums is ours,
 * and a wait inside MPI would keep a core busy. One thread calls everything, MPI_Init_thread
 * included, so the lowest level with threads is enough. */
#include "runtime/comm.h"

#include <mpi.h>
#include <stdlib.h>

typedef struct mpi_link {
    MPI_Comm comm;
    MPI_Request *request;
    int *index; /* MPI_Testsome's answer */
    int room;
} mpi_link;

static BmStatus failed(bmrt_error *e, const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    if (MPI_Error_string(code, text, &n) != MPI_SUCCESS)
        n = 0;
    return bmrt_fail(e, BMRT_MACHINE, "%s: %.*s", call, n, text);
}

static int count_local(MPI_Comm comm)
{
    MPI_Comm here;
    int n = 0;
    if (MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here) != MPI_SUCCESS)
        return 0;
    MPI_Comm_size(here, &n);
    MPI_Comm_free(&here);
    return n;
}

static BmStatus mpi_open(void **link, const void *context, bmrt_place_in *place, bmrt_error *e)
{
    int level = MPI_THREAD_SINGLE, started = 0;
    (void)context;
    MPI_Initialized(&started);
    if (started)
        return bmrt_fail(e, BMRT_BUG, "MPI runs already");
    mpi_link *l = calloc(1, sizeof *l);
    if (!l)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for MPI");
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (code == MPI_SUCCESS)
        code = MPI_Comm_dup(MPI_COMM_WORLD, &l->comm);
    if (code != MPI_SUCCESS) {
        free(l);
        return failed(e, "MPI does not start", code);
    }
    MPI_Comm_set_errhandler(l->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(l->comm, &place->rank);
    MPI_Comm_size(l->comm, &place->ranks);
    place->local_ranks = count_local(l->comm);
    *link = l;
    if (level < MPI_THREAD_FUNNELED)
        return bmrt_fail(e, BMRT_MACHINE, "this MPI was built without threads");
    return BMRT_OK;
}

static BmStatus mpi_reserve(void *link, int pieces, bmrt_error *e)
{
    mpi_link *l = link;
    MPI_Request *r = realloc(l->request, (size_t)pieces * sizeof *r);
    if (r)
        l->request = r;
    int *i = realloc(l->index, (size_t)pieces * sizeof *i);
    if (i)
        l->index = i;
    if (!r || !i)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for %d messages", pieces);
    l->room = pieces;
    return BMRT_OK;
}

/* Receives first: a message that finds its place waiting is not copied. */
static BmStatus mpi_start(void *link, const bmrt_piece *piece, int n, int tag, bmrt_error *e)
{
    mpi_link *l = link;
    for (int sends = 0; sends < 2; sends++)
        for (int i = 0; i < n; i++) {
            const bmrt_piece *p = &piece[i];
            if (p->send != (sends == 1))
                continue;
            int code = p->send ? MPI_Isend(p->at, (int)p->bytes, MPI_BYTE, p->peer, tag, l->comm,
                                           &l->request[i])
                               : MPI_Irecv(p->at, (int)p->bytes, MPI_BYTE, p->peer, tag, l->comm,
                                           &l->request[i]);
            if (code != MPI_SUCCESS)
                return failed(e, p->send ? "MPI_Isend" : "MPI_Irecv", code);
        }
    return BMRT_OK;
}

static BmStatus mpi_test(void *link, bmrt_piece *piece, int n, bmrt_error *e)
{
    mpi_link *l = link;
    int done = 0;
    int code = MPI_Testsome(n, l->request, &done, l->index, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS)
        return failed(e, "MPI_Testsome", code);
    for (int i = 0; i < done && done != MPI_UNDEFINED; i++)
        piece[l->index[i]].done = true;
    return BMRT_OK;
}

static void mpi_abort(void *link, int code)
{
    const mpi_link *l = link;
    MPI_Abort(l->comm, code);
}

static void mpi_close(void *link)
{
    mpi_link *l = link;
    MPI_Comm_free(&l->comm);
    MPI_Finalize();
    free(l->request);
    free(l->index);
    free(l);
}

const bmrt_transport *bmrt_mpi(void)
{
    static const bmrt_transport mpi = {"MPI",     "mpirun -n", NULL,      mpi_open, mpi_reserve,
                                       mpi_start, mpi_test,    mpi_abort, mpi_close};
    return &mpi;
}
