/* compare GOLDEN METRICS SAMPLES WEIGHTS - does a run agree with GOLDEN.json and
 * GOLDEN.safetensors?
 *
 * METRICS, SAMPLES and WEIGHTS are what a trainer wrote with --metrics, --log-samples and --save.
 * Each step's samples are the golden ones, its loss is within 1e-5, its gradient norm within 1e-4
 * and its rate within 1e-6, relative; each last weight is within 1e-4 absolute, but for the ranges
 * under `left_out`, each with its reason there: elements whose gradient is rounding noise and
 * nothing else, which AdamW scales up to full steps. Prints the largest differences and where they
 * are. Exit 1: they are too large, or a file cannot be compared. */
#include <jansson.h>

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOSS_BOUND   1e-5
#define NORM_BOUND   1e-4
#define RATE_BOUND   1e-6
#define WEIGHT_BOUND 1e-4

static _Noreturn void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static json_t *read_json(const char *path)
{
    json_error_t e;
    json_t *j = json_load_file(path, 0, &e);
    if (!j)
        fail("%s:%d: %s", path, e.line, e.text);
    return j;
}

/* An array of the objects that are the lines of a file. */
static json_t *read_lines(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail("cannot open '%s'", path);
    json_t *all = json_array();
    json_error_t e;
    json_t *line;
    while ((line = json_loadf(f, JSON_DISABLE_EOF_CHECK, &e)))
        json_array_append_new(all, line);
    fclose(f);
    return all;
}

static json_t *field(json_t *object, const char *key, const char *path)
{
    json_t *v = json_object_get(object, key);
    if (!v)
        fail("%s has no '%s'", path, key);
    return v;
}

/* ---- steps */

/* The training lines of a metrics file: others (an evaluation) have no gradient norm. */
static json_t *steps_of(const char *path)
{
    json_t *lines = read_lines(path), *steps = json_array(), *line;
    size_t i;
    json_array_foreach(lines, i, line) if (json_object_get(line, "grad_norm"))
        json_array_append(steps, line);
    return steps;
}

static bool series(json_t *golden, json_t *steps, const char *key, double bound)
{
    json_t *want = field(golden, key, "the golden file"), *line;
    if (json_array_size(want) != json_array_size(steps))
        fail("%zu steps, the golden run has %zu", json_array_size(steps), json_array_size(want));
    double worst = 0;
    size_t i, at = 0;
    json_array_foreach(steps, i, line)
    {
        double w = json_number_value(json_array_get(want, i));
        double d = fabs(json_number_value(field(line, key, "a line of metrics")) - w) / fabs(w);
        if (!(d <= worst)) {
            worst = d;
            at = i;
        }
    }
    bool good = worst <= bound;
    printf("%-10s %.1e relative at step %zu of %zu, at most %.0e%s\n", key, worst, at + 1,
           json_array_size(steps), bound, good ? "" : "  <- too far");
    return good;
}

static bool same_samples(json_t *golden, const char *path)
{
    json_t *want = field(golden, "samples", "the golden file"), *lines = read_lines(path);
    for (size_t i = 0; i < json_array_size(want); i++) {
        json_t *got = json_object_get(json_array_get(lines, i), "samples");
        if (!json_equal(got, json_array_get(want, i))) {
            printf("samples    differ at step %zu\n", i + 1);
            return false;
        }
    }
    return json_array_size(lines) == json_array_size(want);
}

/* ---- weights */

typedef struct Tensors {
    const char *path;
    json_t *header;
    float *data;
    size_t bytes;
} Tensors;

static Tensors read_tensors(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint64_t length = 0;
    if (!f || fread(&length, 8, 1, f) != 1 || length > 1 << 24)
        fail("'%s' is no safetensors file", path);
    char *text = malloc((size_t)length + 1);
    if (!text || fread(text, 1, (size_t)length, f) != length)
        fail("'%s' is cut short", path);
    json_error_t e;
    Tensors t = {path, json_loadb(text, (size_t)length, 0, &e), NULL, 0};
    if (!t.header)
        fail("%s: %s", path, e.text);
    json_object_del(t.header, "__metadata__");
    free(text);
    size_t room = 1 << 24;
    t.data = malloc(room);
    if (!t.data)
        fail("no memory for '%s'", path);
    t.bytes = fread(t.data, 1, room, f);
    fclose(f);
    return t;
}

static const float *values(const Tensors *t, const char *name, size_t *count)
{
    json_t *entry = field(t->header, name, t->path), *dim;
    json_t *offsets = field(entry, "data_offsets", t->path);
    size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0)), i;
    size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
    *count = 1;
    json_array_foreach(field(entry, "shape", t->path), i, dim) *count *=
        (size_t)json_integer_value(dim);
    const char *dtype = json_string_value(field(entry, "dtype", t->path));
    if (!dtype || strcmp(dtype, "F32") != 0 || begin % 4 || end > t->bytes ||
        end - begin != *count * 4)
        fail("%s: '%s' is not %zu floats", t->path, name, *count);
    return t->data + begin / 4;
}

static bool left_out(json_t *golden, const char *name, size_t element)
{
    json_t *range;
    size_t i;
    json_array_foreach(field(golden, "left_out", "the golden file"), i, range)
    {
        size_t first = (size_t)json_integer_value(json_object_get(range, "first"));
        size_t count = (size_t)json_integer_value(json_object_get(range, "count"));
        if (strcmp(json_string_value(json_object_get(range, "tensor")), name) == 0 &&
            element >= first && element - first < count)
            return true;
    }
    return false;
}

static bool weights(json_t *golden, const Tensors *want, const Tensors *got)
{
    const char *name, *where = "";
    json_t *entry;
    double worst = 0;
    size_t at = 0, compared = 0, skipped = 0;
    if (json_object_size(want->header) != json_object_size(got->header))
        fail("%s has %zu tensors, %s %zu", got->path, json_object_size(got->header), want->path,
             json_object_size(want->header));
    json_object_foreach(want->header, name, entry)
    {
        size_t n, m;
        const float *w = values(want, name, &n), *g = values(got, name, &m);
        if (n != m || !json_equal(field(entry, "shape", want->path),
                                  json_object_get(json_object_get(got->header, name), "shape")))
            fail("'%s' has another shape in %s", name, got->path);
        for (size_t i = 0; i < n; i++) {
            double d = fabs((double)w[i] - (double)g[i]);
            if (left_out(golden, name, i)) {
                skipped++;
                continue;
            }
            compared++;
            if (!(d <= worst)) {
                worst = d;
                where = name;
                at = i;
            }
        }
    }
    bool good = worst <= WEIGHT_BOUND;
    printf("weights    %.1e in %s, element %zu, at most %.0e%s\n", worst, where, at, WEIGHT_BOUND,
           good ? "" : "  <- too far");
    printf("           %zu compared, %zu left out\n", compared, skipped);
    return good;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: compare GOLDEN METRICS SAMPLES WEIGHTS\n", stderr);
        return 2;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s.json", argv[1]);
    json_t *golden = read_json(path);
    snprintf(path, sizeof path, "%s.safetensors", argv[1]);
    Tensors want = read_tensors(path), got = read_tensors(argv[4]);
    json_t *steps = steps_of(argv[2]);
    bool good = same_samples(golden, argv[3]);
    good = series(golden, steps, "loss", LOSS_BOUND) && good;
    good = series(golden, steps, "grad_norm", NORM_BOUND) && good;
    good = series(golden, steps, "lr", RATE_BOUND) && good;
    good = weights(golden, &want, &got) && good;
    return good ? 0 : 1;
}
