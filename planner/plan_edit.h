/* plan_edit.h - a plan a person changed: `bmc compile FILE.bm --plan edited.json`.
 *
 * The plan is made again from the model for what was chosen (plan.json says it, `made`), and must
 * be that of the file, key by key. Then either choices may have been changed: groups[].level,
 * recompute[].rule and .kept, lead, bucket_bytes, overlap, shared_by, micro_batch; the plan is made
 * anew for them. Or places: the order of steps within their phase (move the line), steps[].waits,
 * buffers[].offset, .first and .last; they are taken over. Both at once is refused: places belong
 * to one set of choices. What follows (totals, bounds, times, hash) is computed again; in the file
 * it may stay as it was. The verifier decides about the result. */
#ifndef BM_PLAN_EDIT_H
#define BM_PLAN_EDIT_H

#include "planner/plan.h"
#include "planner/plan_read.h"

/* The file at `path` (or in that folder); steps may stand in another order than their ids: then
 * they are numbered by their place, and what names them with them. NULL: reported. */
PlanFile *plan_edit_read(Arena *a, const char *path, Diag *d);
PlanFile *plan_edit_read_text(Arena *a, const char *name, const char *text, size_t n, Diag *d);

/* What flags say (0 or NULL: nothing) must agree with the file; the model's own `plan` section goes
 * before it, but for ranks, memory, micro_batch and machine, which flags replace too. NULL:
 * reported. */
Plan *plan_edit(Arena *a, const Model *m, const PlanFile *f, const PlanOptions *flags, Diag *d);

#endif
