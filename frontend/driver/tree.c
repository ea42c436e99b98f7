#include "frontend/driver/tree.h"

#include "frontend/parse.h"

bool tree_text(StrBuf *s, const char *path, Diag *d)
{
    const char *why;
    int source = source_read(d->sources, path, &why);
    if (source < 0) {
        diag_error(d, NO_SPAN, "%s", why);
        return false;
    }
    File *f = parse_file(s->arena, d->sources, source, d);
    if (f)
        ast_print(s, d->sources, f);
    return f != NULL;
}
