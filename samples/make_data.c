/* make_data.c - writes the tables of mlp.bm and regression.bm as .npy files into a folder:
 *
 *     cc -O2 make_data.c -o make_data -lm && ./make_data FOLDER
 *
 * The same numbers on every machine but for the last bits of sin, cos and log. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MLP_FEATURES = 16, REG_FEATURES = 8, TRAIN_ROWS = 4096, VALID_ROWS = 512 };

typedef struct Table { /* rows of one .npy file, in memory until it is written */
    const char *type;  /* "<f4", "<i4" */
    int rows, columns; /* columns 0: one number per row */
    uint32_t *cell;    /* bits of floats or ints */
} Table;

static uint64_t state;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(void) /* (0, 1] */
{
    return ((double)(next_random() >> 11) + 1) / 9007199254740992.0;
}

static double gauss(void)
{
    double r = sqrt(-2 * log(uniform()));
    return r * cos(6.283185307179586 * uniform());
}

static Table table_new(const char *type, int rows, int columns)
{
    Table t = {type, rows, columns, NULL};
    t.cell = calloc((size_t)rows * (size_t)(columns ? columns : 1), sizeof *t.cell);
    if (!t.cell) {
        fputs("make_data: out of memory\n", stderr);
        exit(1);
    }
    return t;
}

static void put_float(Table *t, int i, double x)
{
    float f = (float)x;
    memcpy(&t->cell[i], &f, sizeof f);
}

static void put_int(Table *t, int i, int x)
{
    t->cell[i] = (uint32_t)x;
}

/* NumPy's format 1.0: magic, header length, a Python literal padded to 64 bytes, the cells. */
static void table_write(Table *t, const char *folder, const char *name)
{
    char path[1024], shape[64], head[256];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    if (t->columns)
        snprintf(shape, sizeof shape, "(%d, %d)", t->rows, t->columns);
    else
        snprintf(shape, sizeof shape, "(%d,)", t->rows);
    int n = snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                     t->type, shape);
    while ((10 + n + 1) % 64)
        head[n++] = ' ';
    head[n++] = '\n';
    unsigned char magic[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)n, (unsigned char)(n >> 8)};
    size_t cells = (size_t)t->rows * (size_t)(t->columns ? t->columns : 1), k;
    FILE *f = fopen(path, "wb");
    int good = f && fwrite(magic, 1, sizeof magic, f) == sizeof magic &&
               fwrite(head, 1, (size_t)n, f) == (size_t)n;
    for (k = 0; good && k < cells; k++) { /* little-endian on every machine */
        unsigned char b[4] = {(unsigned char)t->cell[k], (unsigned char)(t->cell[k] >> 8),
                              (unsigned char)(t->cell[k] >> 16), (unsigned char)(t->cell[k] >> 24)};
        good = fwrite(b, 1, sizeof b, f) == sizeof b;
    }
    if (f && fclose(f) != 0)
        good = 0;
    if (!good) {
        fprintf(stderr, "make_data: cannot write %s\n", path);
        exit(1);
    }
    free(t->cell);
}

/* Three spiral arms in the first two features, noise in the others; the arm is turned by what the
 * two integer columns say, so that they matter. */
static void mlp(const char *folder, const char *suffix, int rows)
{
    static const double turn_a[4] = {0, 0.5, 1.0, 1.5}, turn_b[7] = {0, 1, 2, 3, 4, 5, 6};
    Table x = table_new("<f4", rows, MLP_FEATURES), kind = table_new("<i4", rows, 2),
          label = table_new("<i4", rows, 0);
    char name[64];
    for (int i = 0; i < rows; i++) {
        int a = (int)(next_random() % 4), b = (int)(next_random() % 7);
        int arm = (int)(next_random() % 3);
        double r = sqrt(uniform());
        double angle = 4 * r + 2.0943951023931953 * arm + turn_a[a] + 0.3 * turn_b[b];
        put_float(&x, i * MLP_FEATURES, 2 * r * cos(angle) + 0.05 * gauss());
        put_float(&x, i * MLP_FEATURES + 1, 2 * r * sin(angle) + 0.05 * gauss());
        for (int k = 2; k < MLP_FEATURES; k++)
            put_float(&x, i * MLP_FEATURES + k, 0.5 * gauss());
        put_int(&kind, 2 * i, a);
        put_int(&kind, 2 * i + 1, b);
        put_int(&label, i, arm);
    }
    snprintf(name, sizeof name, "mlp_x%s", suffix);
    table_write(&x, folder, name);
    snprintf(name, sizeof name, "mlp_kind%s", suffix);
    table_write(&kind, folder, name);
    snprintf(name, sizeof name, "mlp_label%s", suffix);
    table_write(&label, folder, name);
}

/* y = sin(2 x0) + x1 x2 - |x3| / 2 + noise; one row in ten is spoiled and has weight 0. */
static void regression(const char *folder, const char *suffix, int rows)
{
    Table x = table_new("<f4", rows, REG_FEATURES), y = table_new("<f4", rows, 0),
          w = table_new("<f4", rows, 0);
    char name[64];
    for (int i = 0; i < rows; i++) {
        double f[REG_FEATURES];
        for (int k = 0; k < REG_FEATURES; k++) {
            f[k] = gauss();
            put_float(&x, i * REG_FEATURES + k, f[k]);
        }
        int spoiled = next_random() % 10 == 0;
        double v = sin(2 * f[0]) + f[1] * f[2] - 0.5 * fabs(f[3]) + 0.05 * gauss();
        put_float(&y, i, spoiled ? 20 * gauss() : v);
        put_float(&w, i, spoiled ? 0 : 1);
    }
    snprintf(name, sizeof name, "regression_x%s", suffix);
    table_write(&x, folder, name);
    snprintf(name, sizeof name, "regression_y%s", suffix);
    table_write(&y, folder, name);
    snprintf(name, sizeof name, "regression_w%s", suffix);
    table_write(&w, folder, name);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: make_data FOLDER\n", stderr);
        return 2;
    }
    state = 1;
    mlp(argv[1], "", TRAIN_ROWS);
    mlp(argv[1], "_valid", VALID_ROWS);
    regression(argv[1], "", TRAIN_ROWS);
    regression(argv[1], "_valid", VALID_ROWS);
    return 0;
}
