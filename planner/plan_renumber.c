/* plan_renumber.c - plan.json whose steps were moved: the lines of `steps` stand in the new order
 * and keep their old ids, as the rest of the file does. */
#include "planner/plan_edit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct Moved {
    Arena *a;
    int *place; /* by id */
    int n;
} Moved;

/* False: ids are places already, or are none at all; the reader will tell. */
static bool find_places(Moved *m, const json_t *steps)
{
    bool moved = false;
    if (!json_is_array(steps) || json_array_size(steps) > INT32_MAX / 2)
        return false;
    m->n = (int)json_array_size(steps);
    m->place = arena_array(m->a, int, m->n + 1);
    bool *seen = arena_array(m->a, bool, m->n + 1);
    for (int i = 0; i < m->n; i++) {
        const json_t *id = json_object_get(json_array_get(steps, (size_t)i), "id");
        int64_t x = json_is_integer(id) ? json_integer_value(id) : -1;
        if (x < 0 || x >= m->n || seen[x])
            return false;
        seen[x] = true;
        m->place[x] = i;
        moved = moved || x != i;
    }
    return moved;
}

/* What is no step's id stays: the reader will tell. */
static void renumber(const Moved *m, json_t *id)
{
    int64_t x = json_is_integer(id) ? json_integer_value(id) : -1;
    if (x >= 0 && x < m->n)
        json_integer_set(id, m->place[x]);
}

static void renumber_lifetime(const Moved *m, json_t *buffer)
{
    json_t *first = json_object_get(buffer, "first"), *last = json_object_get(buffer, "last");
    renumber(m, first);
    renumber(m, last);
    int64_t lo = json_integer_value(first), hi = json_integer_value(last);
    if (json_is_true(json_object_get(buffer, "persistent"))) {
        lo = 0;
        hi = m->n - 1;
    }
    json_integer_set(first, lo < hi ? lo : hi);
    json_integer_set(last, lo < hi ? hi : lo);
}

static int64_t step_of(const json_t *comm)
{
    return json_integer_value(json_object_get(comm, "step"));
}

/* The list of collectives is in the order of the steps. */
static void sort_comm(json_t *comm)
{
    size_t n = json_array_size(comm);
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0; k--) {
            json_t *x = json_array_get(comm, k - 1), *y = json_array_get(comm, k);
            if (step_of(x) <= step_of(y))
                break;
            json_incref(x);
            json_incref(y);
            json_array_set_new(comm, k - 1, y);
            json_array_set_new(comm, k, x);
        }
}

static void renumber_all(const Moved *m, json_t *o)
{
    size_t i, k;
    json_t *entry, *id;
    json_array_foreach(json_object_get(o, "steps"), i, entry)
    {
        json_integer_set(json_object_get(entry, "id"), (json_int_t)i);
        json_array_foreach(json_object_get(entry, "waits"), k, id) renumber(m, id);
    }
    json_array_foreach(json_object_get(o, "buffers"), i, entry) renumber_lifetime(m, entry);
    json_array_foreach(json_object_get(o, "comm"), i, entry)
        renumber(m, json_object_get(entry, "step"));
    sort_comm(json_object_get(o, "comm"));
    renumber(m, json_object_get(json_object_get(o, "bounds"), "at_step"));
}

PlanFile *plan_edit_read_text(Arena *a, const char *name, const char *text, size_t n, Diag *d)
{
    Moved m = {.a = a};
    json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (o && find_places(&m, json_object_get(o, "steps"))) {
        renumber_all(&m, o);
        char *json = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17));
        if (!json)
            die("out of memory while reading a plan");
        text = arena_strdup(a, json);
        n = strlen(text);
        free(json);
    }
    json_decref(o);
    return plan_read_text(a, name, text, n, d);
}

PlanFile *plan_edit_read(Arena *a, const char *path, Diag *d)
{
    const Source *s = plan_source(a, path, d);
    return s ? plan_edit_read_text(a, s->name, s->text, (size_t)s->n, d) : NULL;
}
