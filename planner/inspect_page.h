/* inspect_page.h - what the pages are made of: text in columns, bars, rows that are alike. Private
 * to inspect*.c. */
#ifndef BM_INSPECT_PAGE_H
#define BM_INSPECT_PAGE_H

#include "planner/inspect.h"
#include "planner/plan_read.h"

typedef struct Page {
    Arena *a;
    const PlanFile *f;
    StrBuf s;
    bool color, unicode;
    int width;
    int64_t rank;         /* whose part is shown */
    const char *what;     /* what is asked about; NULL: nothing in particular */
    const PlanFile *with; /* to compare with */
    bool failed;          /* there is no such page: `s` is what to say */
} Page;

/* Instead of the page: why there is none. */
BM_PRINTF(2, 3) void page_fail(Page *p, const char *fmt, ...);

/* ---- words ---- */

BM_PRINTF(2, 3) void page_heading(Page *p, const char *fmt, ...);
const char *page_bytes(Page *p, int64_t bytes);    /* "1.5 MiB" */
const char *page_count(Page *p, int64_t n);        /* "1.5 M" */
const char *page_grouped(Page *p, int64_t n);      /* "1,572,864" */
const char *page_shape(Page *p, const Sizes *sh);  /* "[4, 3]" */
const char *page_path(const char *path);           /* "(model)" for the empty one */
void page_bar(Page *p, double share, int columns); /* a share of 1 fills them; no blanks after */

static inline int64_t sum_capped(int64_t a, int64_t b) /* both >= 0; a file's sums may be absurd */
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}
static inline int64_t product_capped(int64_t a, int64_t b)
{
    int64_t n = 0;
    return mul_ok(a, b, &n) ? n : INT64_MAX;
}

/* ---- a table ---- */

enum { GRID_COLUMNS = 14 };

typedef struct Grid {
    Page *p;
    int n_col;
    bool right[GRID_COLUMNS]; /* numbers */
    VEC(const char *) cell;   /* row by row */
    VEC(double) share;        /* by row: a bar after its last cell */
    int bar_columns;
} Grid;

/* `columns`: names, separated by '|'; one that begins with '>' is aligned to the right. */
Grid grid_new(Page *p, const char *columns);
void grid_cell(Grid *g, const char *text);
void grid_share(Grid *g, double share); /* the bar of the row just ended */
void grid_print(Grid *g, int indent);

/* ---- rows that are alike ---- */

typedef struct Alike {
    const char *path; /* "h.*.attn.c_attn.weight" */
    int n, first;     /* how many, and the index of the first */
    int64_t sum[3];
} Alike;

typedef struct Alikes {
    Arena *a;
    struct Map *of; /* pattern and key -> index + 1 */
    VEC(Alike) row;
} Alikes;

Alikes alikes_new(Arena *a);
/* Adds one of `path`; it joins the row whose path differs in numbers only and whose key is equal.
 */
void alikes_add(Alikes *all, const char *path, const char *key, int index, int64_t s0, int64_t s1,
                int64_t s2);
/* The path with '*' for every number. */
const char *path_pattern(Arena *a, const char *path);
/* The path with '*' wherever the two differ; they have equally many segments. */
const char *path_join(Arena *a, const char *x, const char *y);

/* ---- facts about the plan ---- */

/* Times a step runs in one optimizer step (or one pass of its program). */
int64_t step_runs(const PlanFile *f, const FileStep *s);
const char *step_way(const FileStep *s); /* "forward", "backward", "recompute" */
const char *step_way_in(const PlanFile *f, const FileStep *s); /* of other streams' steps too */
/* By TimeClass: the steps of the training program, and their predicted time in one optimizer step,
 * of all streams. False: the plan is for no machine. */
typedef struct ClassTime {
    int64_t steps, ps;
} ClassTime;
bool class_times(const PlanFile *f, ClassTime *time, int64_t *all_ps);
/* Live bytes by step: everything persistent, and the rest. */
int64_t *live_bytes(Page *p);
int64_t bytes_rounded(const FileBuffer *b);
int64_t param_elements(const FileParam *a);

/* Which elements of a parameter a rank keeps the state of: lo..hi-1; all where nothing is sharded.
 */
typedef struct Range {
    int64_t lo, hi;
} Range;
Range param_range(const PlanFile *f, const FileParam *a, int64_t rank);
/* Bytes on that rank: of parameters between steps, of reduced gradients, of optimizer state. */
typedef struct Kept {
    int64_t params, grads, state;
} Kept;
Kept param_kept(const PlanFile *f, const FileParam *a, int64_t rank);

void page_summary(Page *p);
void page_params(Page *p);
void page_memory(Page *p);
void page_timeline(Page *p);
void page_dot(Page *p);
void page_comm(Page *p);
void page_recompute(Page *p);
void page_why(Page *p);
void page_trace(Page *p);
void page_html(Page *p);
void page_diff(Page *p);

#endif
