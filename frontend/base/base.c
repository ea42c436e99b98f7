#include "frontend/base/base.h"

#include <stdio.h>
#include <stdlib.h>

void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("bmc: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(EXIT_MACHINE);
}

void bug_at(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "bmc: internal error at %s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputs("\nThis is a bug in bmc, not in your model. Please report it with the model file.\n",
          stderr);
    va_end(ap);
    fflush(NULL);
    /* A debugger or a sanitizer wants the stack; a user wants the documented exit code. */
    if (getenv("BMC_ABORT"))
        abort();
    exit(EXIT_BUG);
}
