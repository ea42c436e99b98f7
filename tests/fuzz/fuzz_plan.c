/* plan.json from anybody: read or refused with one message; what was read is verified and shown.
 * fuzz: runs=50000 floor=2000 max_len=20000 seeds=tests/fuzz/plan dict=tests/fuzz/plan.dict
 *
 * Half of the mutations replace one number of the text by another, so that inputs stay plans. */
#include "frontend/base/map.h"
#include "planner/inspect.h"
#include "planner/verify/verify.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    json_object_seed(1); /* runs repeat */
    return 0;
}

static bool digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Replaces the number at or after a place by a near, a small or a large one; 0: there is none. */
static size_t change_number(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    static const char *const word[] = {
        "0", "1", "2", "64", "-1", "9223372036854775807", "17592186044416"};
    size_t at = seed % n, end;
    while (at < n && !digit(data[at]))
        at++;
    while (at > 0 && at < n && digit(data[at - 1]))
        at--;
    for (end = at; end < n && digit(data[end]);)
        end++;
    if (at >= n || end - at > 15)
        return 0;
    char text[32];
    long long was = 0;
    for (size_t i = at; i < end; i++)
        was = was * 10 + (data[i] - '0');
    unsigned how = seed / 7 % 20;
    if (how < sizeof word / sizeof *word)
        snprintf(text, sizeof text, "%s", word[how]);
    else
        snprintf(text, sizeof text, "%lld",
                 how < 12   ? was + 1
                 : how < 16 ? was - 1
                            : was + (seed % 3 ? 64 : -64));
    size_t len = strlen(text);
    if (n - (end - at) + len > most)
        return 0;
    memmove(data + at + len, data + end, n - end);
    memcpy(data + at, text, len);
    return n - (end - at) + len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    size_t changed = n && seed % 2 ? change_number(data, n, most, seed / 2) : 0;
    return changed ? changed : LLVMFuzzerMutate(data, n, most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *a = arena_new();
    Diag *d = diag_new(a, sources_new(a), NULL);
    char *text = arena_strndup(a, (const char *)data, n);
    PlanFile *f = plan_read_text(a, "plan.json", text, n, d);
    if (d->errors != (f ? 0 : 1))
        BUG("%d messages about a plan that was %s", d->errors, f ? "read" : "refused");
    if (f) {
        bool ok = plan_file_verify(f, d);
        if (ok != (d->errors == 0))
            BUG("a verdict of %d with %d messages", ok, d->errors);
        static const char *const what[] = {NULL,  "memory", "zero",      "overlap", "h.0",
                                           "h.*", "",       "recompute", "h.1#1"};
        uint64_t h = hash_bytes(0, data, n);
        InspectOptions o = {.page = (InspectPage)(h % N_INSPECT_PAGES),
                            .what = what[h / 64 % (sizeof what / sizeof *what)],
                            .rank = (int64_t)(h / 1024 % 3),
                            .unicode = n & 1};
        StrBuf s = strbuf_new(a);
        inspect_text(&s, f, &o);
    }
    arena_free(a);
    return 0;
}
