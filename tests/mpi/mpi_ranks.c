/* mpi_ranks.c - a small model on many ranks, by hand: linear regression with its parameters in
 * shards, gathered for every use, its gradients reduced to shards.
 *
 *   mpi_ranks data                              writes x.npy, y.npy, nan.npy
 *   mpirun -n R mpi_ranks R K MODE OPTION...    trains; K ranks share one copy of the parameters
 *
 * MODE: good; reduced: gradients are reduced in every round; tree: along the tree; hash: rank 2 has
 * another plan; fault, kill, slow: rank 1 meets a wrong index, dies, sleeps in step 3.
 *
 * MPI_Isend is wrapped here: what was sent as payload is printed in the end, from outside the
 * runtime. So is which thread called MPI. */
#include "runtime/bmrt.h"

#include <math.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what MPI is asked for, seen from outside */

static long long sent_payload, sent_control;
static pthread_t first_caller;
static int callers_differ;

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    first_caller = pthread_self();
    return PMPI_Init_thread(argc, argv, required, provided);
}

static void look_at_caller(void)
{
    callers_differ |= !pthread_equal(first_caller, pthread_self());
}

int MPI_Isend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    look_at_caller();
    *(tag == 1 ? &sent_payload : &sent_control) += (long long)count * size;
    return PMPI_Isend(buf, count, type, dest, tag, comm, request);
}

int MPI_Irecv(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    look_at_caller();
    return PMPI_Irecv(buf, count, type, source, tag, comm, request);
}

int MPI_Testsome(int n, MPI_Request request[], int *done, int index[], MPI_Status status[])
{
    look_at_caller();
    return PMPI_Testsome(n, request, done, index, status);
}

int MPI_Finalize(void)
{
    char line[160];
    int rank = 0;
    look_at_caller();
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int n = snprintf(line, sizeof line, "seen: rank %d payload %lld control %s one thread %d\n",
                     rank, sent_payload, sent_control > 0 ? "some" : "none", !callers_differ);
    if (getenv("BMRT_COUNT") && write(2, line, (size_t)n) != n)
        return MPI_ERR_OTHER;
    return PMPI_Finalize();
}

/* ---- the model: y = w x + b */

enum { FLAT = 12, USED = 4 }; /* elements of the flat buffer */
enum { PARAM = 0, NUM = 64, DEN = 128, LR = 192, WHOLE = 256, GRAD = 320, SHARD = 384, LATE = 448 };
enum { X = 512, Y = 1024, ERROR = 1280, STAGING = 1536, BYTES = 2048 };
enum { GATHER = 4, FORWARD, BACKWARD, REDUCE, TAKE };

static const char *mode;
static int my_rank; /* as the launcher says */
static int64_t shard;

static real *at(bmrt *r, int64_t offset)
{
    return BMRT_AT(r, offset);
}

static void weight(bmrt *r, int64_t nb)
{
    if (r->first)
        memset(at(r, DEN), 0, FLAT * sizeof(real));
    *at(r, DEN) += (real)nb;
}

static void misbehave(bmrt *r)
{
    if (my_rank != 1 || r->step != 2)
        return;
    if (strcmp(mode, "fault") == 0)
        bmrt_index_fault("table", 1, 0, 99, 7);
    if (strcmp(mode, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(mode, "slow") == 0)
        sleep(60);
}

static void forward(bmrt *r, int64_t nb)
{
    const real *w = at(r, WHOLE);
    if (r->first)
        memset(at(r, NUM), 0, FLAT * sizeof(real));
    for (int64_t i = 0; i < nb; i++) {
        const real *x = at(r, X) + 3 * i;
        real e = w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] - at(r, Y)[i];
        at(r, ERROR)[i] = e;
        *at(r, NUM) += e * e;
    }
}

static void train_round(bmrt *r, int64_t nb)
{
    bool reduced = strcmp(mode, "reduced") == 0;
    bmrt_step_begin(r, FORWARD);
    misbehave(r);
    bmrt_wait(r, BMRT_COMM, GATHER);
    forward(r, nb);
    bmrt_step_begin(r, BACKWARD);
    if (r->first || reduced)
        memset(at(r, GRAD), 0, FLAT * sizeof(real));
    for (int64_t i = 0; i < nb; i++) {
        real g = 2 * at(r, ERROR)[i] / *at(r, DEN);
        for (int j = 0; j < 3; j++)
            at(r, GRAD)[j] += g * at(r, X)[3 * i + j];
        at(r, GRAD)[3] += g;
    }
    bmrt_step_begin(r, TAKE);
    if (!r->last)
        return;
    bmrt_wait(r, BMRT_COMM, REDUCE);
    memcpy(at(r, LATE), at(r, SHARD), (size_t)shard * sizeof(real));
}

static void update(bmrt *r, int64_t nb)
{
    (void)nb;
    for (int64_t i = 0; i < shard; i++)
        at(r, PARAM)[i] -= *at(r, LR) * at(r, LATE)[i];
}

static void eval_round(bmrt *r, int64_t nb)
{
    bmrt_step_begin(r, FORWARD);
    bmrt_wait(r, BMRT_COMM, GATHER);
    weight(r, nb);
    forward(r, nb);
}

/* ---- its tables, which depend on the world */

static bmrt_segment params, grads, nums, dens;
static bmrt_op round_op[2], eval_op, mid_op, post_op, eval_post[2];
static bmrt_ops train_ops[BMRT_PHASES], eval_ops[BMRT_PHASES];
static bmrt_tensor tensor[2];

static bmrt_op op_of(int step, bmrt_op_kind kind, int wait, const bmrt_segment *g, const char *path)
{
    bmrt_op op = {.step = step, .kind = kind, .wait = {wait, -1, -1}, .path = path};
    op.segment = g;
    op.n_segment = 1;
    op.staging = STAGING;
    op.chunk = 2;
    op.tree = strcmp(mode, "tree") == 0;
    return op;
}

static void make_tables(int64_t k)
{
    shard = FLAT / k;
    params = (bmrt_segment){{.offset = WHOLE}, {.offset = PARAM}, shard, shard};
    grads = (bmrt_segment){{.offset = GRAD}, {.offset = SHARD}, shard, shard};
    nums = (bmrt_segment){{.offset = NUM}, {.offset = NUM}, 1, 1};
    dens = (bmrt_segment){{.offset = DEN}, {.offset = DEN}, 1, 1};
    round_op[0] = op_of(GATHER, BMRT_ALL_GATHER, -1, &params, "line");
    round_op[1] = op_of(REDUCE, BMRT_REDUCE_SCATTER, BACKWARD, &grads, "line");
    round_op[1].accumulates = strcmp(mode, "reduced") == 0;
    round_op[1].when = round_op[1].accumulates ? 0 : 2;
    mid_op = op_of(2, BMRT_ALL_REDUCE, -1, &dens, "weights");
    post_op = op_of(10, BMRT_ALL_REDUCE, -1, &nums, "loss");
    eval_op = round_op[0];
    eval_post[0] = post_op;
    eval_post[1] = op_of(11, BMRT_ALL_REDUCE, -1, &dens, "weights");
    train_ops[2] = (bmrt_ops){&mid_op, 1};
    train_ops[3] = (bmrt_ops){round_op, 2};
    train_ops[4] = (bmrt_ops){&post_op, 1};
    eval_ops[3] = (bmrt_ops){&eval_op, 1};
    eval_ops[4] = (bmrt_ops){eval_post, 2};
    tensor[0] = (bmrt_tensor){.path = "w", .ndim = 1, .dim = {3}, .count = 3, .init = 3, .a = 0.1};
    tensor[1] = (bmrt_tensor){.path = "b", .count = 1, .at = 3};
    for (int i = 0; i < 2; i++)
        tensor[i].shard = shard;
}

static const bmrt_input input[] = {
    {.name = "x",
     .ndim = 1,
     .dim = {3},
     .count = 3,
     .train_offset = X,
     .eval_offset = X,
     .sample_offset = -1},
    {.name = "y", .ndim = 0, .count = 1, .train_offset = Y, .eval_offset = Y, .sample_offset = -1},
};
static const bmrt_average loss = {.name = "loss", .num = NUM, .den = DEN};
static const bmrt_field field = {.name = "error", .count = 1, .offset = ERROR};
static const bmrt_host host = {.kind = 0, .base = 0.2, .offset = LR};
static const char *const data[] = {"x", "x.npy", "y", "y.npy", NULL};

static bmrt_model model(int64_t ranks, int64_t k)
{
    return (bmrt_model){.version = BMRT_VERSION,
                        .name = "Line",
                        .plan_hash = strcmp(mode, "hash") == 0 && my_rank == 2 ? "fedcba9876543210"
                                                                               : "0123456789abcdef",
                        .verified = strcmp(mode, "hash") == 0 && my_rank == 2 ? "fedcba9876543210"
                                                                              : "0123456789abcdef",
                        .arena_bytes = BYTES,
                        .persistent_bytes = 64,
                        .param = tensor,
                        .n_param = 2,
                        .input = input,
                        .n_input = 2,
                        .host = &host,
                        .n_host = 1,
                        .train = {.micro_batch = 24 / ranks / 2,
                                  .weight = weight,
                                  .round = train_round,
                                  .update = update,
                                  .loss = &loss,
                                  .norm = -1,
                                  .comm = train_ops},
                        .eval = {.micro_batch = 3,
                                 .round = eval_round,
                                 .loss = &loss,
                                 .field = &field,
                                 .n_field = 1,
                                 .norm = -1,
                                 .comm = eval_ops},
                        .logits = -1,
                        .data_kind = 3,
                        .data_field = data,
                        .valid_kind = 3,
                        .valid_field = data,
                        .batch = 24,
                        .rounds = 2,
                        .steps = 20,
                        .valid_every = 10,
                        .ranks = ranks,
                        .shared_by = k};
}

static int put_npy(const char *path, const char *shape, const float *v, size_t n)
{
    unsigned char buf[256];
    int len = snprintf((char *)buf + 10, 200,
                       "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    while ((10 + len) % 64 != 63)
        buf[10 + len++] = ' ';
    buf[10 + len++] = '\n';
    memcpy(buf, "\x93NUMPY\x01", 8);
    buf[8] = (unsigned char)len;
    buf[9] = 0;
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(buf, 1, 10 + (size_t)len, f) != 10 + (size_t)len ||
        fwrite(v, sizeof *v, n, f) != n || fclose(f) != 0)
        return 1;
    return 0;
}

static int make_data(void)
{
    enum { N = 40 };
    float x[3 * N], y[N], bad[N];
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < 3; j++)
            x[3 * i + j] = (float)((i * 37 + j * 91) % 101) / 50 - 1;
        y[i] = 2 * x[3 * i] - x[3 * i + 1] + 0.5f * x[3 * i + 2] + 0.25f;
        bad[i] = i == 17 ? NAN : y[i];
    }
    return put_npy("x.npy", "(40, 3)", x, 3 * N) | put_npy("y.npy", "(40,)", y, N) |
           put_npy("nan.npy", "(40,)", bad, N);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "data") == 0)
        return make_data();
    if (argc < 4)
        return 2;
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    long ranks = strtol(argv[1], NULL, 10), k = strtol(argv[2], NULL, 10);
    mode = argv[3];
    my_rank = rank ? (int)strtol(rank, NULL, 10) : 0;
    make_tables(k);
    bmrt_model m = model(ranks, k);
    argv[3] = argv[0];
    return bmrt_main_ranks(&m, bmrt_mpi(), argc - 3, argv + 3);
}
