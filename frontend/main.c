/* main.c - the driver: the passes in order, and what each command takes of them.
 *
 * The only file that sees all layers. A pass reads what the one before made, adds its own to the
 * job, and returns an exit code; `--emit` prints what a pass made and ends the list there. */
#include "codegen/cc.h"
#include "codegen/emit.h"
#include "frontend/driver/calibrate.h"
#include "frontend/driver/doctor.h"
#include "frontend/driver/file.h"
#include "frontend/driver/launch.h"
#include "frontend/driver/options.h"
#include "frontend/driver/stamp.h"
#include "frontend/driver/tree.h"
#include "frontend/lower.h"
#include "planner/inspect.h"
#include "planner/measured.h"
#include "planner/plan.h"
#include "planner/plan_edit.h"
#include "planner/verify/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static_assert((int)VIEW_SUMMARY == (int)INSPECT_SUMMARY && (int)VIEW_DOT == (int)INSPECT_DOT &&
                  (int)VIEW_TIMELINE == (int)INSPECT_TIMELINE &&
                  (int)VIEW_WHY == (int)INSPECT_WHY && (int)VIEW_DIFF == (int)INSPECT_DIFF,
              "a view is a page");

typedef struct Job {
    Arena *arena;
    const Options *o;
    Sources *sources;
    Diag *diag;
    const char *dir; /* what is made goes there; NULL: `bmc plan` without -o */
    Model *model;
    PlanFile *given; /* --plan */
    Plan *plan;
    StrBuf trainer, kernels, json;
    int emitted; /* of the things --emit asked for */
} Job;

/* ---- output ---- */

static int cannot(const char *why)
{
    fprintf(stderr, "bmc: %s\n", why);
    return EXIT_MACHINE;
}

static bool wants(const Job *j, EmitKind kind)
{
    for (int i = 0; i < j->o->emit.n; i++)
        if (j->o->emit.v[i].kind == kind)
            return true;
    return false;
}

/* Prints a text wherever --emit=KIND asked for it. */
static int emit(Job *j, EmitKind kind, const StrBuf *text)
{
    for (int i = 0; i < j->o->emit.n; i++) {
        const Emit *e = &j->o->emit.v[i];
        if (e->kind != kind)
            continue;
        j->emitted++;
        if (!e->path)
            fwrite(text->text, 1, text->n, stdout);
        const char *why = e->path ? file_write(j->arena, e->path, text->text, text->n) : NULL;
        if (why)
            return cannot(why);
    }
    return EXIT_OK;
}

static int write_in(const Job *j, const char *name, const StrBuf *text)
{
    const char *why =
        file_write(j->arena, arena_printf(j->arena, "%s/%s", j->dir, name), text->text, text->n);
    return why ? cannot(why) : EXIT_OK;
}

static int reported(const Job *j)
{
    return j->diag->errors > 0 ? EXIT_MODEL : EXIT_OK;
}

/* ---- the passes ---- */

static int print_tree(Job *j)
{
    if (!wants(j, EMIT_AST))
        return EXIT_OK;
    /* Its own list of messages: the next pass reads the file again and would repeat them. */
    Diag *d = diag_new(j->arena, sources_new(j->arena), stderr);
    d->color = j->diag->color;
    StrBuf s = strbuf_new(j->arena);
    bool ok = tree_text(&s, j->o->file, d);
    diag_finish(d);
    if (!ok)
        return EXIT_MODEL;
    return emit(j, EMIT_AST, &s);
}

static int read_plan(Job *j)
{
    const char *why;
    if (!j->o->plan)
        return EXIT_OK;
    j->given = plan_edit_read(j->arena, j->o->plan, j->diag);
    if (j->given) /* for the stamp */
        source_read(j->sources, j->given->name, &why);
    return j->given ? EXIT_OK : EXIT_MODEL;
}

/* A plan that is given was made for what it says, as if flags did. */
static PlanRequest flags_of(const Job *j)
{
    const Options *o = j->o;
    const PlanFile *f = j->given;
    PlanRequest flags = {.ranks = o->ranks,
                         .memory = o->memory,
                         .micro_batch = o->micro_batch,
                         .machine = o->machine};
    if (f) {
        flags.ranks = f->ranks;
        flags.memory = f->memory > 0 ? f->memory : 0;
        flags.micro_batch = f->micro_batch;
    }
    return flags;
}

static int lower(Job *j)
{
    Define *define = arena_array(j->arena, Define, j->o->define.n + 1);
    for (int i = 0; i < j->o->define.n; i++)
        define[i] = (Define){j->o->define.v[i].name, j->o->define.v[i].value};
    j->model = lower_model(j->arena, j->sources, j->o->file, define, j->o->define.n, j->diag);
    PlanRequest flags = flags_of(j);
    return j->model && plan_request_settle(j->model, &flags, j->diag) ? EXIT_OK : EXIT_MODEL;
}

static int differentiate(Job *j)
{
    Model *m = j->model;
    if (!training_graph(m, j->diag) || !evaluation_graph(m, j->diag))
        return EXIT_MODEL;
    return reported(j);
}

static void print_program(StrBuf *s, const char *name, const Program *p)
{
    if (!p->graph)
        return;
    strbuf_printf(s, "# %s\n", name);
    graph_print(s, p->graph, p->root.v, p->root.n);
}

static int simplify_graphs(Job *j)
{
    Model *m = j->model;
    simplify(j->arena, &m->train);
    simplify(j->arena, &m->eval);
    graph_verify(m->train.graph, m->train.root.v, m->train.root.n);
    graph_verify(m->eval.graph, m->eval.root.v, m->eval.root.n);
    if (!wants(j, EMIT_GRAPH))
        return EXIT_OK;
    StrBuf s = strbuf_new(j->arena);
    print_program(&s, "training", &m->train);
    print_program(&s, "evaluation", &m->eval);
    return emit(j, EMIT_GRAPH, &s);
}

/* What can be planned and not emitted yet. */
static int can_emit(Job *j)
{
    const Model *m = j->model;
    bool emits = j->o->emit.n ? wants(j, EMIT_C) : j->o->command != CMD_PLAN;
    if (!emits || !model_is_narrow(m))
        return EXIT_OK;
    diag_error(j->diag, m->precision_at, "precision = %s is planned but not emitted yet",
               m->precision == DT_BF16 ? "bf16" : "fp16");
    diag_help(j->diag, "bmc plan shows its plan; a trainer is made of precision = fp32");
    return EXIT_USAGE;
}

static int find_machine(Job *j, const Machine **machine)
{
    const PlanRequest *r = &j->model->plan;
    const char *why;
    if (!r->machine)
        return EXIT_OK;
    *machine = machine_find(j->arena, r->machine, j->diag);
    if (!*machine && r->machine_at.file >= 0)
        diag_note(j->diag, r->machine_at, "asked for here");
    if (*machine && file_exists(r->machine)) /* for the stamp: the plan depends on it */
        source_read(j->sources, r->machine, &why);
    return *machine ? EXIT_OK : EXIT_MODEL;
}

/* Flags must agree with it; the file's `machine` is not asked, as the plan has one. */
static int take_plan(Job *j)
{
    PlanOptions flags = {.memory = j->o->memory,
                         .micro_batch = j->o->micro_batch,
                         .ranks = j->o->ranks,
                         .no_fuse = j->o->no_fuse};
    int code = j->o->machine ? find_machine(j, &flags.machine) : EXIT_OK;
    if (code)
        return code;
    j->plan = plan_edit(j->arena, j->model, j->given, &flags, j->diag);
    return j->plan ? EXIT_OK : EXIT_MODEL;
}

static int make_plan(Job *j)
{
    if (j->given)
        return take_plan(j);
    const PlanRequest *r = &j->model->plan;
    PlanOptions po = {.memory = r->memory,
                      .micro_batch = r->micro_batch,
                      .ranks = r->ranks,
                      .no_fuse = j->o->no_fuse};
    int code = find_machine(j, &po.machine);
    if (code)
        return code;
    bool no_fit = false;
    j->plan = plan_build(j->arena, j->model, &po, j->diag, &no_fit);
    if (!j->plan)
        return no_fit ? EXIT_NO_PLAN : EXIT_MODEL;
    return EXIT_OK;
}

static int verify(Job *j)
{
    if (!plan_verify(j->plan, j->diag))
        BUG("the plan breaks a rule it claims to keep (above)");
    j->plan->verified = true;
    return EXIT_OK;
}

static int print_plan(Job *j)
{
    StrBuf s = strbuf_new(j->arena);
    plan_print(&s, j->plan);
    j->json = strbuf_new(j->arena);
    plan_json(&j->json, j->plan);
    int code = emit(j, EMIT_PLAN, &s);
    return code ? code : emit(j, EMIT_JSON, &j->json);
}

static int emit_text(Job *j)
{
    if (j->o->command == CMD_PLAN && !wants(j, EMIT_C))
        return EXIT_OK;
    j->trainer = strbuf_new(j->arena);
    j->kernels = strbuf_new(j->arena);
    if (j->o->debug)
        emit_trainer_debug(&j->trainer, j->plan);
    else
        emit_trainer(&j->trainer, j->plan);
    emit_kernels(&j->kernels, j->plan);
    StrBuf both = strbuf_new(j->arena);
    strbuf_addn(&both, j->trainer.text, j->trainer.n);
    strbuf_char(&both, '\n');
    strbuf_addn(&both, j->kernels.text, j->kernels.n);
    return emit(j, EMIT_C, &both);
}

typedef int Pass(Job *j);

/* Runs passes until one fails or all that --emit asked for is printed. */
static int run_passes(Job *j, Pass *const pass[], int n)
{
    int code = EXIT_OK;
    for (int i = 0; i < n && !code && (j->o->emit.n == 0 || j->emitted < j->o->emit.n); i++)
        code = pass[i](j);
    diag_finish(j->diag);
    return code;
}
#define RUN_PASSES(j, ...)                                                                         \
    run_passes((j), (Pass *const[]){__VA_ARGS__}, countof(((Pass *const[]){__VA_ARGS__})))

/* ---- the commands ---- */

static int check(Job *j)
{
    int code = RUN_PASSES(j, lower, differentiate);
    if (code)
        return code;
    int64_t count = 0;
    const Model *m = j->model;
    for (int i = 0; i < m->param.n; i++)
        count += m->param.v[i].buffer ? 0 : type_count(&m->param.v[i].type);
    printf("%s: model %s, %lld parameters: no mistakes found\n", j->o->file, m->name,
           (long long)count);
    return EXIT_OK;
}

/* A page of a plan; NULL: of the operand's. */
static int look(Job *j, const PlanFile *f)
{
    InspectOptions io = inspect_looks();
    io.path = j->o->file;
    io.page = (InspectPage)j->o->view;
    io.what = j->o->why;
    io.other = j->o->other;
    io.rank = j->o->rank;
    if (!inspect_built(io.page))
        return usage_error("bmc inspect --help", "%s is not built yet", j->o->view_name);
    if (!j->o->view_to)
        return f ? inspect_plan(j->arena, f, NULL, &io, j->diag) : inspect(j->arena, &io, j->diag);
    char *text = NULL;
    size_t n = 0;
    io.color = false;
    io.out = open_memstream(&text, &n);
    if (!io.out)
        die("out of memory");
    int code = f ? inspect_plan(j->arena, f, NULL, &io, j->diag) : inspect(j->arena, &io, j->diag);
    fclose(io.out);
    const char *why = code ? NULL : file_write(j->arena, j->o->view_to, text, n);
    free(text);
    return why ? cannot(why) : code;
}

static int plan(Job *j)
{
    if (j->o->emit.n && j->o->view_name)
        return usage_error("bmc plan --help", "--emit prints text and %s a page: one of them",
                           j->o->view_name);
    int code = RUN_PASSES(j, print_tree, read_plan, lower, can_emit, differentiate, simplify_graphs,
                          make_plan, verify, print_plan, emit_text);
    if (code || j->o->emit.n)
        return code;
    if (j->dir) {
        const char *why = folder_make(j->arena, j->dir);
        code = why ? cannot(why) : write_in(j, "plan.json", &j->json);
    }
    /* through the file's reader: what is shown is what plan.json says */
    PlanFile *f = plan_read_text(j->arena, "plan.json", j->json.text, j->json.n, j->diag);
    if (!f)
        BUG("plan.json cannot be read back (above)");
    int shown = look(j, f);
    return code ? code : shown;
}

/* Empties the folder of what is made last, first: when anything fails from here on, no trainer of
 * another plan is left beside the new text. */
static int write_folder(Job *j)
{
    const char *why = folder_make(j->arena, j->dir);
    if (!why)
        why = stamp_clear(j->arena, j->dir);
    if (!why)
        why = file_remove(j->arena, arena_printf(j->arena, "%s/trainer", j->dir));
    if (why)
        return cannot(why);
    int code = write_in(j, "plan.json", &j->json);
    if (!code)
        code = write_in(j, "kernels.c", &j->kernels);
    if (!code)
        code = write_in(j, "trainer.c", &j->trainer);
    return code;
}

static void say_made(const Job *j)
{
    StrBuf s = strbuf_new(j->arena);
    if (j->plan->ranks > 1)
        strbuf_printf(&s, "%lld ranks, each ", (long long)j->plan->ranks);
    strbuf_add(&s, "arena ");
    strbuf_bytes(&s, j->plan->arena_bytes);
    printf("%s/trainer: %s, micro-batch %lld in %lld round%s\n", j->dir, s.text,
           (long long)j->plan->micro_batch, (long long)j->plan->rounds,
           j->plan->rounds == 1 ? "" : "s");
    const Machine *m = j->plan->machine;
    if (m && m->target != TARGET_C)
        printf("%s/trainer: runs on the CPU; its plan and predicted times are those of %s\n",
               j->dir, m->name);
}

static int compile(Job *j)
{
    Home home = home_find(j->arena);
    int code = RUN_PASSES(j, print_tree, read_plan, lower, can_emit, differentiate, simplify_graphs,
                          make_plan, verify, print_plan, emit_text);
    if (code || j->o->emit.n)
        return code;
    if (!home.library)
        return cannot(arena_printf(j->arena,
                                   "libbmrt.a and bmrt.h are neither in %s nor in %s: build or "
                                   "install them with bmc",
                                   home.looked_in[0], home.looked_in[1]));
    bool many = j->plan->ranks > 1;
    if (many && !home.mpi)
        return cannot(
            "more than one rank needs MPI, and bmc was built without it (libbmrt_mpi.a is "
            "not beside libbmrt.a)\n"
            "help: apt-get install libopenmpi-dev openmpi-bin, and build bmc again");
    code = write_folder(j);
    if (code)
        return code;
    if (!build_trainer(j->arena, j->dir, home.library, many ? home.mpi : NULL, home.include,
                       j->diag))
        return EXIT_MACHINE;
    const char *why = stamp_write(j->arena, j->dir, stamp_key(j->arena, j->o, &home),
                                  j->plan->ranks, j->sources, prelude_text());
    if (why)
        return cannot(why);
    if (j->o->command == CMD_COMPILE)
        say_made(j);
    return EXIT_OK;
}

static int no_mpirun(void)
{
    return cannot("more than one rank needs mpirun, which is not in PATH\n"
                  "help: apt-get install openmpi-bin libopenmpi-dev");
}

static int run(Job *j)
{
    Home home = home_find(j->arena);
    int64_t ranks = j->o->ranks;
    if (ranks > 1 && !find_mpirun(j->arena)) /* before the work of compiling */
        return no_mpirun();
    if (!stamp_fresh(j->arena, j->dir, stamp_key(j->arena, j->o, &home), &ranks)) {
        int code = compile(j);
        if (code)
            return code;
        ranks = j->plan->ranks;
    }
    if (ranks > 1 && !find_mpirun(j->arena))
        return no_mpirun();
    const char *program = arena_printf(j->arena, "%s/trainer", j->dir);
    const char *why;
    int code = launch(j->arena, program, ranks, j->o->rest, j->o->n_rest, &why);
    return code < 0 ? cannot(why) : code;
}

static int inspect_command(Job *j)
{
    return look(j, NULL);
}

static void verdict_json(const Job *j, const PlanFile *f, bool ok, const char *told)
{
    StrBuf s = strbuf_new(j->arena);
    strbuf_add(&s, "{\"file\": ");
    strbuf_json(&s, j->o->file);
    strbuf_printf(&s, ",\n \"hash\": ");
    if (f)
        strbuf_json(&s, f->hash);
    else
        strbuf_add(&s, "null");
    strbuf_printf(&s, ",\n \"ok\": %s,\n \"checks\": [", ok ? "true" : "false");
#define CHECK_ROW(id, name, meaning)                                                               \
    strbuf_add(&s, "\n  {\"id\": \"" #id "\", \"name\": \"" name "\"},");
    VERIFY_CHECKS(CHECK_ROW)
#undef CHECK_ROW
    s.text[--s.n] = 0; /* the last comma */
    strbuf_add(&s, "],\n \"errors\": [");
    static const char mark[] = "error: ";
    bool first = true;
    for (const char *p = told; (p = strstr(p, mark)) != NULL; first = false) {
        p += strlen(mark);
        strbuf_add(&s, first ? "\n  " : ",\n  ");
        strbuf_json(&s, arena_strndup(j->arena, p, strcspn(p, "\n")));
    }
    strbuf_add(&s, "]}\n");
    fputs(s.text, stdout);
}

/* With --json what is wrong is on standard output too. */
static int verify_file(Job *j)
{
    char *told = NULL;
    size_t n = 0;
    FILE *out = j->o->json ? open_memstream(&told, &n) : NULL;
    if (out)
        j->diag->out = out;
    PlanFile *f = plan_read(j->arena, j->o->file, j->diag);
    bool ok = f && plan_file_verify(f, j->diag);
    diag_finish(j->diag);
    if (out) {
        fclose(out);
        j->diag->out = stderr;
        fputs(told, stderr);
        verdict_json(j, f, ok, told);
        free(told);
    } else if (ok) {
        StrBuf s = strbuf_new(j->arena);
        verify_checks_print(&s);
        printf("%s: plan %s keeps every rule:\n%s", j->o->file, f->hash, s.text);
    }
    return ok ? EXIT_OK : EXIT_MODEL;
}

static int doctor_command(Job *j)
{
    Home home = home_find(j->arena);
    return doctor(j->arena, &home);
}

static int calibrate(Job *j)
{
    Home home = home_find(j->arena);
    const char *out = j->o->out, *slash = out ? strrchr(out, '/') : NULL;
    const char *folder = slash ? arena_strndup(j->arena, out, (size_t)(slash - out) + 1) : ".";
    if (!is_folder(folder))
        return cannot(arena_printf(j->arena, "cannot write '%s': '%s' is no folder", out, folder));
    Calibration c;
    const char *why = calibrate_run(j->arena, &home, j->o->threads, j->o->ranks, &c);
    if (why)
        return cannot(why);
    const Machine *m = machine_measured(j->arena, c.probe, c.link, j->diag);
    if (!m)
        return EXIT_MACHINE;
    StrBuf s = strbuf_new(j->arena);
    machine_print(&s, m);
    if (!out) {
        fputs(s.text, stdout);
        return EXIT_OK;
    }
    why = file_write(j->arena, out, s.text, s.n);
    return why ? cannot(why) : EXIT_OK;
}

static int run_command(Job *j)
{
    const Options *o = j->o;
    switch (o->command) {
    case CMD_COMPILE:
    case CMD_RUN:
        j->dir = o->out ? o->out : arena_printf(j->arena, "%s.run", stem_of(j->arena, o->file));
        return o->command == CMD_RUN ? run(j) : compile(j);
    case CMD_PLAN:
        j->dir = o->out;
        return plan(j);
    case CMD_CHECK:
        return check(j);
    case CMD_INSPECT:
        return inspect_command(j);
    case CMD_VERIFY:
        return verify_file(j);
    case CMD_PRELUDE:
        fputs(prelude_text(), stdout);
        return EXIT_OK;
    case CMD_DOCTOR:
        return doctor_command(j);
    case CMD_CALIBRATE:
        return calibrate(j);
    case N_COMMANDS:
        break;
    }
    BUG("command %d has no code", o->command);
}

/* Colour is for people who look at a terminal and have not said no (https://no-color.org). */
static bool use_color(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(2) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int main(int argc, char **argv)
{
    Arena *a = arena_new();
    Options o;
    int code;
    if (options_parse(a, &o, argc, argv, &code)) {
        Job j = {.arena = a, .o = &o, .sources = sources_new(a)};
        j.diag = diag_new(a, j.sources, stderr);
        j.diag->color = use_color();
        code = run_command(&j);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && !code)
        code = cannot(arena_printf(a, "cannot write standard output: %s", strerror(errno)));
    arena_free(a);
    return code;
}
