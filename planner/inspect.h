/* inspect.h - `bmc inspect`: pages about a plan, for people. They read plan.json and nothing else.
 *
 * Rows that differ only in the numbers of their path (h.0, h.1, ...) are one row with a count, so a
 * page of a deep model is as long as one of a shallow model. A page is a function of the file and
 * these options. */
#ifndef BM_INSPECT_H
#define BM_INSPECT_H

#include "planner/plan_read.h"

#include <stdio.h>

typedef enum InspectPage {
    INSPECT_SUMMARY,
    INSPECT_PARAMS,
    INSPECT_MEMORY,
    INSPECT_TIMELINE,
    INSPECT_JSON,
    INSPECT_DOT,
    N_INSPECT_PAGES
} InspectPage;

typedef struct InspectOptions {
    const char *path; /* plan.json, or the folder it lies in */
    InspectPage page;
    bool color;   /* escape sequences */
    bool unicode; /* block characters in bars; ASCII otherwise */
    int width;    /* columns of bars and charts go by it; 0: 100 */
    FILE *out;
} InspectOptions;

/* The page as text; of the options `path` and `out` are not asked. */
void inspect_text(StrBuf *s, const PlanFile *f, const InspectOptions *o);

/* The exit code; what is wrong with the file is reported. */
int inspect(Arena *a, const InspectOptions *o, Diag *d);

/* The same on standard output, with colour on a terminal (and no NO_COLOR), block characters where
 * the locale is UTF-8. */
int inspect_main(Arena *a, const char *path, int page, Diag *d);

/* The first page of a plan in memory, looking as inspect_main() would print it: `bmc plan`. */
void inspect_summary(StrBuf *s, const PlanFile *f);

#endif
