/* A machine's profile from anybody: read or refused with one message; what was read prints the
 * same text twice.
 * fuzz: runs=100000 floor=120 max_len=2048 seeds=tests/fuzz/machine dict=tests/fuzz/machine.dict */
#include "planner/machine.h"

#include <jansson.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    json_object_seed(1); /* runs repeat */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), NULL);
    const Machine *m = machine_read(a, "machine.json", (const char *)data, n, d);
    if (d->errors != (m ? 0 : 1))
        BUG("%d messages about a profile that was %s", d->errors, m ? "read" : "refused");
    if (m) {
        StrBuf s = strbuf_new(a), again = strbuf_new(a);
        machine_print(&s, m);
        const Machine *back = machine_read(a, "again", s.text, s.n, d);
        if (!back)
            BUG("what was printed is refused:\n%s", s.text);
        machine_print(&again, back);
        if (strcmp(s.text, again.text) != 0)
            BUG("printed twice, two texts:\n%s%s", s.text, again.text);
    }
    arena_free(a);
    return 0;
}
