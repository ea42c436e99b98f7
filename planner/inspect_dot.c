/* inspect_dot.c - steps and buffers as a Graphviz graph, clustered by program and block. */
#include "planner/inspect_page.h"

typedef struct Lists { /* entries by bucket, in order */
    int *head, *tail, *next;
} Lists;

static Lists lists_new(Arena *a, int buckets, int entries)
{
    Lists l = {arena_array(a, int, buckets + 1), arena_array(a, int, buckets + 1),
               arena_array(a, int, entries + 1)};
    return l; /* entries are kept plus one: 0 ends a list */
}

static void lists_add(Lists *l, int bucket, int entry)
{
    if (l->tail[bucket])
        l->next[l->tail[bucket] - 1] = entry + 1;
    else
        l->head[bucket] = entry + 1;
    l->tail[bucket] = entry + 1;
}

/* Graphviz text in quotes; \n is its own. */
static void quoted(StrBuf *s, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            strbuf_char(s, '\\');
        strbuf_char(s, *text);
    }
}

static void print_step(Page *p, const FileStep *s)
{
    strbuf_printf(&p->s, "      s%d [label=\"%d %s\\n", s->id, s->id, kind_words.word[s->kind]);
    quoted(&p->s, page_path(s->path));
    strbuf_add(&p->s, "\\n");
    quoted(&p->s, p->f->kernel[s->kernel].name);
    strbuf_printf(&p->s, "\"%s];\n",
                  s->recompute  ? ", fillcolor=lightyellow"
                  : s->backward ? ", fillcolor=lightpink"
                                : "");
}

static void print_buffer(Page *p, const FileBuffer *b)
{
    strbuf_printf(&p->s, "      b%d [shape=%s, style=solid, label=\"", b->id,
                  b->persistent ? "cylinder" : "ellipse");
    quoted(&p->s, page_path(b->path));
    strbuf_printf(&p->s, "\\n%s %s\"];\n", role_words.word[b->role], page_bytes(p, b->bytes));
}

static void print_cluster(Page *p, int program, int unit, const Lists *steps, const Lists *buffers)
{
    const PlanFile *f = p->f;
    int bucket = program * f->n_instance + unit;
    if (!steps->head[bucket] && !buffers->head[bucket])
        return;
    strbuf_printf(&p->s, "    subgraph cluster_%s_%d {\n      label=\"",
                  program_words.word[program], unit);
    quoted(&p->s, page_path(f->instance[unit].path));
    strbuf_add(&p->s, " (");
    quoted(&p->s, f->instance[unit].block);
    strbuf_add(&p->s, ")\";\n");
    for (int i = steps->head[bucket]; i; i = steps->next[i - 1])
        print_step(p, &f->step[i - 1]);
    for (int i = buffers->head[bucket]; i; i = buffers->next[i - 1])
        print_buffer(p, &f->buffer[i - 1]);
    strbuf_add(&p->s, "    }\n");
}

static void print_edges(Page *p, const FileStep *s)
{
    for (int i = 0; i < s->reads.n; i++)
        strbuf_printf(&p->s, "  b%d -> s%d;\n", s->reads.v[i], s->id);
    for (int i = 0; i < s->writes.n; i++)
        strbuf_printf(&p->s, "  s%d -> b%d%s;\n", s->id, s->writes.v[i],
                      s->accumulates ? " [style=bold]" : "");
}

/* A buffer stands with the block of the first step that uses it. */
static void place_buffers(const PlanFile *f, const FileStep *s, Ints list, bool *placed, Lists *to)
{
    for (int i = 0; i < list.n; i++) {
        int b = list.v[i];
        if (!placed[b])
            lists_add(to, s->program * f->n_instance + f->instance[s->instance].unit, b);
        placed[b] = true;
    }
}

void page_dot(Page *p)
{
    const PlanFile *f = p->f;
    int buckets = N_PROGRAMS * f->n_instance;
    Lists steps = lists_new(p->a, buckets, f->n_step);
    Lists buffers = lists_new(p->a, buckets, f->n_buffer);
    bool *placed = arena_array(p->a, bool, f->n_buffer + 1);
    for (int i = 0; i < f->n_step; i++) {
        const FileStep *s = &f->step[i];
        lists_add(&steps, s->program * f->n_instance + f->instance[s->instance].unit, i);
        place_buffers(f, s, s->writes, placed, &buffers);
        place_buffers(f, s, s->reads, placed, &buffers);
    }
    strbuf_add(&p->s, "digraph \"");
    quoted(&p->s, f->model);
    strbuf_add(&p->s, "\" {\n  node [shape=box, style=filled, fillcolor=white, fontsize=10];\n"
                      "  edge [arrowsize=0.6];\n");
    for (int i = 0; i < f->n_program; i++) {
        int g = f->program[i].kind;
        strbuf_printf(&p->s, "  subgraph cluster_%s {\n    label=\"%s\";\n", program_words.word[g],
                      program_words.word[g]);
        for (int u = 0; u < f->n_instance; u++)
            print_cluster(p, g, u, &steps, &buffers);
        strbuf_add(&p->s, "  }\n");
    }
    for (int i = 0; i < f->n_step; i++)
        print_edges(p, &f->step[i]);
    strbuf_add(&p->s, "}\n");
}
