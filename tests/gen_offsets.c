/* gen_offsets KIND ... - prints an instance as CSV (id,lower,upper,size) for the tool `offsets`:
 *   train BLOCKS LEAD RECOMPUTE KEEP_GRADS JITTER SEED
 *   perfect N WIDTH HEIGHT SEED
 *   random N WIDTH LONGEST BYTES SEED */
#include "tests/gen_offsets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int64_t v[8] = {0};
    int n = argc - 2;
    for (int i = 0; i < n && i < countof(v); i++)
        v[i] = strtoll(argv[i + 2], NULL, 10);
    Arena *a = arena_new();
    Gen g = {.arena = a};
    if (n == 6 && strcmp(argv[1], "train") == 0 && v[0] > 0) {
        GenTrain t = {(int)v[0], (int)v[1], v[2] != 0, v[3] != 0, (int)v[4], 4096, 4096, 50304};
        g.state = (uint64_t)v[5];
        gen_train(&g, &t);
    } else if (n == 4 && strcmp(argv[1], "perfect") == 0 && v[0] > 0 && v[1] > 0 && v[2] > 0) {
        g.state = (uint64_t)v[3];
        gen_perfect(&g, (int)v[0], v[1], v[2]);
    } else if (n == 5 && strcmp(argv[1], "random") == 0 && v[0] > 0 && v[1] > 0 && v[2] > 0 &&
               v[3] > 0) {
        g.state = (uint64_t)v[4];
        gen_random(&g, (int)v[0], v[1], v[2], v[3]);
    } else {
        fputs("usage: gen_offsets train BLOCKS LEAD RECOMPUTE KEEP_GRADS JITTER SEED\n"
              "       gen_offsets perfect N WIDTH HEIGHT SEED\n"
              "       gen_offsets random N WIDTH LONGEST BYTES SEED\n",
              stderr);
        return EXIT_USAGE;
    }
    puts("id,lower,upper,size");
    for (int i = 0; i < g.item.n; i++) {
        const OffsetItem *it = &g.item.v[i];
        printf("%d,%" PRId64 ",%" PRId64 ",%" PRId64 "\n", i, it->first, it->last + 1, it->bytes);
    }
    arena_free(a);
    return EXIT_OK;
}
