/* plan_fields.c - the tables of plan_fields.h. Every key of plan_json.c stands here once. */
#include "planner/plan_fields.h"

#define F(key, kind, T, member)                                                                    \
    {                                                                                              \
        key, kind, offsetof(T, member), NULL, REF_NOTHING, NULL                                    \
    }
#define F_WORDS(key, kind, T, member, words)                                                       \
    {                                                                                              \
        key, kind, offsetof(T, member), words, REF_NOTHING, NULL                                   \
    }
#define F_TO(key, kind, T, member, ref)                                                            \
    {                                                                                              \
        key, kind, offsetof(T, member), NULL, ref, NULL                                            \
    }
#define F_IN(key, T, member, fields)                                                               \
    {                                                                                              \
        key, F_OBJECT, offsetof(T, member), NULL, REF_NOTHING, fields                              \
    }
#define FIELDS(table)                                                                              \
    {                                                                                              \
        table, countof(table)                                                                      \
    }

static const Field totals_field[] = {
    F("arena_bytes", F_BYTES, FileTotals, arena_bytes),
    F("persistent_bytes", F_BYTES, FileTotals, persistent_bytes),
    F("max_live_bytes", F_BYTES, FileTotals, max_live_bytes),
    F("host_bytes", F_BYTES, FileTotals, host_bytes),
    F("step_ps", F_COUNT_NULL, FileTotals, step_ps),
    F("exposed_ps", F_COUNT_NULL, FileTotals, exposed_ps),
    F("search_work", F_COUNT, FileTotals, search_work),
    F("flops", F_COUNT, FileTotals, flops),
    F("step_bytes", F_COUNT, FileTotals, step_bytes),
};
static const Field bounds_field[] = {
    F("max_live", F_BYTES, FileBounds, max_live),
    F_TO("at_step", F_REF, FileBounds, at_step, REF_STEPS),
    F("gap", F_BYTES, FileBounds, gap),
    F("proved", F_BOOL, FileBounds, proved),
    F("options", F_QUADS, FileBounds, options),
    F("lambda_num", F_COUNT, FileBounds, lambda_num),
    F("lambda_den", F_COUNT, FileBounds, lambda_den),
    F("fixed_ps", F_COUNT, FileBounds, fixed_ps),
    F("fixed_bytes", F_BYTES, FileBounds, fixed_bytes),
    F("capacity", F_BYTES, FileBounds, capacity),
    F("lower_ps", F_COUNT, FileBounds, lower_ps),
};
static const Field comm_field[] = {
    F_WORDS("kind", F_WORD, FileComm, kind, &kind_words), F("bytes", F_BYTES, FileComm, bytes),
    F_TO("step", F_REF, FileComm, step, REF_STEPS),       F("path", F_TEXT, FileComm, path),
    F_WORDS("when", F_WORD, FileComm, when, &when_words), F("times", F_BYTES, FileComm, times),
};
static const Field group_field[] = {
    F("id", F_INT, FileGroup, id),
    F("path", F_TEXT, FileGroup, path),
    F_TO("unit", F_REF, FileGroup, unit, REF_INSTANCES),
    F("optimizer", F_INT_NONE, FileGroup, optimizer),
    F_TO("params", F_REFS, FileGroup, params, REF_PARAMS),
    F("at", F_SIZES, FileGroup, at),
    F("used", F_BYTES, FileGroup, used),
    F("shard", F_BYTES, FileGroup, shard),
    F_WORDS("level", F_WORD, FileGroup, level, &level_words),
    F("whole_grad", F_BOOL, FileGroup, whole_grad),
    F("offload", F_BOOL, FileGroup, offload),
    F("why", F_TEXT_NULL, FileGroup, why),
    F_TO("param_buffer", F_REF, FileGroup, param_buffer, REF_BUFFERS),
    F_TO("grad_buffer", F_REF_NONE, FileGroup, grad_buffer, REF_BUFFERS),
    F_TO("grad_shard_buffer", F_REF_NONE, FileGroup, grad_shard_buffer, REF_BUFFERS),
    F_TO("state_buffers", F_REFS, FileGroup, state_buffers, REF_BUFFERS),
    F_TO("host_param_buffer", F_REF_NONE, FileGroup, host_param_buffer, REF_BUFFERS),
    F_TO("host_grad_buffer", F_REF_NONE, FileGroup, host_grad_buffer, REF_BUFFERS),
};
static const Field made_field[] = {
    F("hash", F_HASH, FileMade, hash),
    F("ranks", F_BYTES, FileMade, ranks),
    F("micro_batch", F_BYTES, FileMade, micro_batch),
    F("shared_by", F_BYTES, FileMade, shared_by),
    F("overlap", F_BOOL, FileMade, overlap),
    F("lead", F_INT, FileMade, lead),
    F("bucket_bytes", F_BYTES, FileMade, bucket_bytes),
    F_WORDS("levels", F_WORD_LIST, FileMade, levels, &level_words),
    F("recompute", F_TEXTS, FileMade, recompute),
};
static const Field recompute_field[] = {
    F_TO("unit", F_REF, FileRecompute, unit, REF_INSTANCES),
    F("path", F_TEXT, FileRecompute, path),
    F_WORDS("rule", F_WORD, FileRecompute, rule, &keep_words),
    F("kept", F_SIZES, FileRecompute, kept),
    F("ops", F_TEXTS, FileRecompute, ops),
};
static const Field program_field[] = {
    F_WORDS("name", F_WORD, FileProgram, kind, &program_words),
    F("micro_batch", F_BYTES, FileProgram, micro_batch),
    F("rounds", F_BYTES, FileProgram, rounds),
    F("region_samples", F_BYTES, FileProgram, region_samples),
    F("region_parts", F_BYTES, FileProgram, region_parts),
    F("phases", F_PHASES, FileProgram, first),
    F("norm", F_OPERAND, FileProgram, norm),
    F("logits", F_OPERAND, FileProgram, logits),
};
static const Field term_field[] = {
    F("name", F_TEXT, FileTerm, name),
    F_WORDS("program", F_WORD, FileTerm, program, &program_words),
    F("coef", F_DOUBLE, FileTerm, coef),
    F("num", F_OPERAND, FileTerm, num),
    F("den", F_OPERAND, FileTerm, den),
    F("report", F_BOOL, FileTerm, report),
    F("field", F_BOOL, FileTerm, field),
    F_WORDS("dtype", F_WORD_NULL, FileTerm, dtype, &dtype_words),
    F("count", F_COUNT, FileTerm, count),
};
static const Field instance_field[] = {
    F("path", F_TEXT, FileInstance, path),
    F("block", F_TEXT, FileInstance, block),
    F_TO("parent", F_REF_NONE, FileInstance, parent, REF_INSTANCES),
    F_TO("unit", F_REF, FileInstance, unit, REF_INSTANCES),
};
static const Field init_field[] = {
    F_WORDS("kind", F_WORD, FileInit, kind, &init_words),
    F("a", F_DOUBLE, FileInit, a),
    F("b", F_DOUBLE, FileInit, b),
    F("file", F_TEXT_NULL, FileInit, file),
};
static const Fields init_fields = FIELDS(init_field);
static const Field param_field[] = {
    F("path", F_TEXT, FileParam, path),
    F("shape", F_SIZES, FileParam, shape),
    F_WORDS("dtype", F_WORD, FileParam, dtype, &dtype_words),
    F("bytes", F_BYTES, FileParam, bytes),
    F_IN("init", FileParam, init, &init_fields),
    F_WORDS("optimizer", F_WORD_NULL, FileParam, optimizer, &opt_words),
    F("buffer", F_BOOL, FileParam, buffer),
    F("frozen", F_BOOL, FileParam, frozen),
    F_TO("id", F_REF_NONE, FileParam, id, REF_BUFFERS),
};
static const Field state_field[] = {
    F_TO("param", F_REF, FileState, param, REF_PARAMS),
    F("kind", F_TEXT, FileState, kind),
    F_TO("id", F_REF_NONE, FileState, id, REF_BUFFERS),
};
static const Field kernel_field[] = {
    F("name", F_TEXT, FileKernel, name),
    F_WORDS("kind", F_WORD, FileKernel, kind, &kind_words),
    F("what", F_TEXT, FileKernel, what),
    F("batched", F_BOOL, FileKernel, batched),
    F("units", F_COUNT, FileKernel, units),
    F("flops", F_COUNT, FileKernel, flops),
    F("bytes", F_COUNT, FileKernel, bytes),
    F_WORDS("access", F_WORD_LIST, FileKernel, access, &access_words),
    F("segments", F_PAIRS, FileKernel, segments),
    F("chunk", F_BYTES, FileKernel, chunk),
    F("tree", F_BOOL, FileKernel, tree),
    F("gaps", F_PAIRS, FileKernel, gaps),
    F("grains", F_SIZES, FileKernel, grains),
};
static const Field buffer_field[] = {
    F("id", F_INT, FileBuffer, id),
    F("path", F_TEXT, FileBuffer, path),
    F("bytes", F_BYTES, FileBuffer, bytes),
    F("offset", F_BYTES, FileBuffer, offset),
    F_TO("first", F_REF, FileBuffer, first, REF_STEPS),
    F_TO("last", F_REF, FileBuffer, last, REF_STEPS),
    F_WORDS("role", F_WORD, FileBuffer, role, &role_words),
    F_WORDS("dtype", F_WORD, FileBuffer, dtype, &dtype_words),
    F("persistent", F_BOOL, FileBuffer, persistent),
    F("batched", F_BOOL, FileBuffer, batched),
    F("sample_bytes", F_BYTES, FileBuffer, sample_bytes),
    F_WORDS("program", F_WORD_NULL, FileBuffer, program, &program_words),
    F("region", F_INT, FileBuffer, region),
    F_TO("group", F_REF_NONE, FileBuffer, group, REF_GROUPS),
    F("sharded", F_BOOL, FileBuffer, sharded),
    F("host", F_BOOL, FileBuffer, host),
};
static const Field step_field[] = {
    F("id", F_INT, FileStep, id),
    F_WORDS("stream", F_WORD, FileStep, stream, &stream_words),
    F_WORDS("kind", F_WORD, FileStep, kind, &kind_words),
    F("path", F_TEXT, FileStep, path),
    F_TO("reads", F_REFS, FileStep, reads, REF_BUFFERS),
    F_TO("writes", F_REFS, FileStep, writes, REF_BUFFERS),
    F_TO("waits", F_REFS, FileStep, waits, REF_STEPS),
    F_WORDS("program", F_WORD, FileStep, program, &program_words),
    F_WORDS("phase", F_WORD, FileStep, phase, &phase_words),
    F("kernel", F_KERNEL, FileStep, kernel),
    F("what", F_TEXT, FileStep, what),
    F("at", F_TEXT_NULL, FileStep, at),
    F_TO("instance", F_REF, FileStep, instance, REF_INSTANCES),
    F("region", F_INT, FileStep, region),
    F("backward", F_BOOL, FileStep, backward),
    F("recompute", F_BOOL, FileStep, recompute),
    F("accumulates", F_BOOL, FileStep, accumulates),
    F("anew", F_BOOL, FileStep, anew),
    F_WORDS("when", F_WORD, FileStep, when, &when_words),
    F_TO("args", F_REFS, FileStep, args, REF_BUFFERS),
    F("offsets", F_SIZES, FileStep, offsets),
    F("by_rank", F_SIZES, FileStep, by_rank),
    F("ends", F_SIZES, FileStep, ends),
    F("flops", F_COUNT, FileStep, flops),
    F("bytes", F_COUNT, FileStep, bytes),
    F("ps", F_COUNT, FileStep, ps),
    F_WORDS("class", F_WORD_NULL, FileStep, cls, &class_words),
    F("sent", F_BYTES, FileStep, sent),
    F_TO("group", F_REF_NONE, FileStep, group, REF_GROUPS),
};
static const Field try_field[] = {
    F("micro_batch", F_BYTES, FileTry, micro_batch),
    F("rounds", F_BYTES, FileTry, rounds),
    F("arena_bytes", F_COUNT, FileTry, arena_bytes),
    F("host_bytes", F_COUNT, FileTry, host_bytes),
    F("step_ps", F_COUNT_NULL, FileTry, step_ps),
    F("exposed_ps", F_COUNT_NULL, FileTry, exposed_ps),
    F("zero", F_TEXT_NULL, FileTry, zero),
    F("recompute", F_TEXT_NULL, FileTry, recompute),
    F("overlap", F_TEXT_NULL, FileTry, overlap),
    F("fits", F_BOOL, FileTry, fits),
    F("why", F_TEXT_NULL, FileTry, why),
};
static const Fields totals_fields = FIELDS(totals_field);
static const Fields bounds_fields = FIELDS(bounds_field);
static const Fields made_fields = FIELDS(made_field);

static const Field top_field[] = {
    F("hash", F_HASH, PlanFile, hash),
    F("model", F_TEXT, PlanFile, model),
    F("file", F_TEXT, PlanFile, file),
    F("ranks", F_BYTES, PlanFile, ranks),
    F("micro_batch", F_BYTES, PlanFile, micro_batch),
    F("rounds", F_BYTES, PlanFile, rounds),
    F("batch", F_BYTES, PlanFile, batch),
    F("grain_rows", F_BYTES, PlanFile, grain_rows),
    F("below_grain", F_BOOL, PlanFile, below_grain),
    F("fused", F_BOOL, PlanFile, fused),
    F("memory", F_COUNT_NULL, PlanFile, memory),
    F("shared_by", F_BYTES, PlanFile, shared_by),
    F_WORDS("accumulate", F_WORD, PlanFile, reduced, &accumulate_words),
    F_WORDS("reduce", F_WORD, PlanFile, invariant, &reduce_words),
    F("overlap", F_BOOL, PlanFile, overlap),
    F("lead", F_INT, PlanFile, lead),
    F("bucket_bytes", F_BYTES, PlanFile, bucket_bytes),
    F("machine", F_MACHINE, PlanFile, machine),
    F_IN("made", PlanFile, made, &made_fields),
    F_IN("totals", PlanFile, totals, &totals_fields),
    F_IN("bounds", PlanFile, bounds, &bounds_fields),
};

const Fields plan_top_fields = FIELDS(top_field);

#define LIST(name, table, member)                                                                  \
    {                                                                                              \
        name, FIELDS(table), sizeof *((PlanFile *)0)->member, offsetof(PlanFile, member),          \
            offsetof(PlanFile, n_##member)                                                         \
    }
const List plan_lists[N_PLAN_LISTS] = {
    LIST("comm", comm_field, comm),
    LIST("groups", group_field, group),
    LIST("recompute", recompute_field, recompute),
    LIST("programs", program_field, program),
    LIST("terms", term_field, term),
    LIST("instances", instance_field, instance),
    LIST("params", param_field, param),
    LIST("states", state_field, state),
    LIST("kernels", kernel_field, kernel),
    LIST("buffers", buffer_field, buffer),
    LIST("steps", step_field, step),
    {"alternatives", FIELDS(try_field), sizeof(FileTry), offsetof(PlanFile, tried),
     offsetof(PlanFile, n_try)},
};
