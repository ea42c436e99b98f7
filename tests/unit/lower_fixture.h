/* lower_fixture.h - a model's text lowered within a test. */
#ifndef BM_LOWER_FIXTURE_H
#define BM_LOWER_FIXTURE_H

#include "frontend/lower.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Fix {
    Arena *arena;
    Sources *sources;
    Diag *diag;
    FILE *out;
    char *text; /* what was told */
    size_t size;
    Model *m;
} Fix;

static Fix *lower_with(const char *source, const Define *define, int n)
{
    Arena *a = arena_new();
    Fix *f = arena_make(a, Fix);
    f->arena = a;
    f->sources = sources_new(a);
    f->out = open_memstream(&f->text, &f->size);
    f->diag = diag_new(a, f->sources, f->out);
    FILE *file = fopen("model.bm", "w");
    assert_non_null(file);
    fputs(source, file);
    fclose(file);
    f->m = lower_model(a, f->sources, "model.bm", define, n, f->diag);
    return f;
}

static Fix *lower_ok(const char *source)
{
    Fix *f = lower_with(source, NULL, 0);
    fflush(f->out);
    if (!f->m)
        print_error("%s\n", f->text);
    assert_non_null(f->m);
    assert_int_equal(f->diag->errors, 0);
    return f;
}

static void done(Fix *f)
{
    fclose(f->out);
    free(f->text);
    arena_free(f->arena);
}

#endif
