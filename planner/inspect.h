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
    INSPECT_COMM,
    INSPECT_RECOMPUTE,
    INSPECT_WHY,
    INSPECT_TRACE,
    INSPECT_HTML,
    INSPECT_DIFF,
    N_INSPECT_PAGES
} InspectPage;

typedef struct InspectOptions {
    const char *path; /* plan.json, or the folder it lies in */
    InspectPage page;
    const char *what;  /* INSPECT_WHY: whose reason */
    const char *other; /* INSPECT_DIFF: the second plan, a file or a folder */
    int64_t rank;      /* INSPECT_PARAMS: whose part of what is sharded */
    bool color;        /* escape sequences */
    bool unicode;      /* block characters in bars; ASCII otherwise */
    int width;         /* columns of bars and charts go by it; 0: 100 */
    FILE *out;
} InspectOptions;

/* False: not built yet. */
bool inspect_built(InspectPage page);

/* How pages look on standard output: with colour on a terminal (and no NO_COLOR), block characters
 * where the locale is UTF-8. Path and page are the caller's to fill in. */
InspectOptions inspect_looks(void);

/* The page as text; of the options `path`, `other` and `out` are not asked. `with` is the second
 * plan of INSPECT_DIFF (NULL: the first one again). False: there is no such page, and the text says
 * why: the plan has no such rank, nothing called `what`, no times. */
bool inspect_text(StrBuf *s, const PlanFile *f, const InspectOptions *o);
bool inspect_text_with(StrBuf *s, const PlanFile *f, const PlanFile *with, const InspectOptions *o);

/* The exit code; what is wrong with the file is reported. */
int inspect(Arena *a, const InspectOptions *o, Diag *d);

/* Of a plan that was read already; `path` is its name. */
int inspect_plan(Arena *a, const PlanFile *f, const PlanFile *with, const InspectOptions *o,
                 Diag *d);

#endif
