/* offsets FILE.csv CAPACITY [BUDGET] - places the buffers of a CSV file (header
 * id,lower,upper,size; a buffer lives in lower <= t < upper; CAPACITY 0: the least height) and
 * prints one line: height H bound B seconds S work W proved|open Exit 0: it fits the capacity; 3:
 * it does not. -o prints id,offset lines before. */
#define _POSIX_C_SOURCE 200809L
#include "planner/offsets.h"
#include "frontend/base/vec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef VEC(OffsetItem) Items;

static bool read_number(const char **p, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(*p, &end, 10);
    if (end == *p || errno)
        return false;
    *out = v;
    *p = *end == ',' ? end + 1 : end;
    return true;
}

static void read_items(Arena *a, const char *path, Items *items)
{
    FILE *f = fopen(path, "r");
    if (!f)
        die("cannot open '%s': %s", path, strerror(errno));
    char line[256];
    for (int row = 1; fgets(line, sizeof line, f); row++) {
        if (row == 1 && strncmp(line, "id,lower,upper,size", 19) == 0)
            continue;
        const char *p = line;
        int64_t id, lower, upper, size;
        if (!read_number(&p, &id) || !read_number(&p, &lower) || !read_number(&p, &upper) ||
            !read_number(&p, &size) || lower >= upper || size < 0)
            die("%s:%d: expected id,lower,upper,size with lower < upper", path, row);
        vec_push(a, items, ((OffsetItem){size, lower, upper - 1, 0, -1}));
    }
    fclose(f);
}

/* A whole argument as a number >= 0. */
static bool read_count(const char *arg, int64_t *out)
{
    const char *p = arg;
    return read_number(&p, out) && *p == '\0' && *out >= 0;
}

int main(int argc, char **argv)
{
    bool list = argc > 1 && strcmp(argv[1], "-o") == 0;
    argc -= list;
    argv += list;
    int64_t capacity = 0, budget = 0;
    if ((argc != 3 && argc != 4) || !read_count(argv[2], &capacity) ||
        (argc == 4 && !read_count(argv[3], &budget))) {
        fputs("usage: offsets [-o] FILE.csv CAPACITY [BUDGET]\n", stderr);
        return EXIT_USAGE;
    }
    if (argc == 3)
        budget = capacity ? 1000000000 : OFFSETS_BUDGET;
    Arena *a = arena_new();
    Items items = {0};
    read_items(a, argv[1], &items);
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    OffsetResult r = offsets_solve(a, items.v, items.n, 1, capacity, budget);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    for (int i = 0; list && i < items.n; i++)
        printf("%d,%" PRId64 "\n", i, items.v[i].offset);
    printf("height %" PRId64 " bound %" PRId64 " seconds %.3f work %" PRId64 " %s\n", r.height,
           r.max_live, (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9,
           r.work, r.proved ? "proved" : "open");
    arena_free(a);
    return capacity && r.height > capacity ? EXIT_NO_PLAN : EXIT_OK;
}
