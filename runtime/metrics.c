/* metrics.c - JSON lines into a buffer that was made before the first step. */
#include "runtime/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

BmStatus bmrt_metrics_open(bmrt_metrics *f, const char *path, size_t room, bmrt_error *e)
{
    *f = (bmrt_metrics){.fd = -1, .path = path};
    f->line = (bmrt_text){malloc(room), 0, room, false};
    if (!f->line.at)
        return bmrt_fail(e, BMRT_MACHINE, "no memory for a line of metrics");
    if (!path)
        return BMRT_OK;
    f->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': %s", path, strerror(errno));
        bmrt_help(e, "--metrics FILE puts the metrics elsewhere");
        return BMRT_MACHINE;
    }
    return BMRT_OK;
}

void bmrt_metrics_close(bmrt_metrics *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->line.at);
    *f = (bmrt_metrics){.fd = -1};
}

void bmrt_metrics_begin(bmrt_metrics *f)
{
    f->line.len = 0;
    f->line.cut = false;
    f->nonfinite = NULL;
}

static void name_field(bmrt_metrics *f, const char *name)
{
    bmrt_text_add(&f->line, f->line.len ? "," : "{");
    bmrt_text_json(&f->line, name);
    bmrt_text_add(&f->line, ":");
}

void bmrt_metrics_int(bmrt_metrics *f, const char *name, int64_t v)
{
    name_field(f, name);
    bmrt_text_add(&f->line, "%lld", (long long)v);
}

void bmrt_metrics_real(bmrt_metrics *f, const char *name, double v)
{
    name_field(f, name);
    if (isfinite(v)) {
        bmrt_text_add(&f->line, "%.*g", sizeof(real) == 4 ? 9 : 17, v);
        return;
    }
    if (!f->nonfinite)
        f->nonfinite = isnan(v) ? "nan" : "inf";
    bmrt_text_add(&f->line, "null");
}

void bmrt_metrics_text(bmrt_metrics *f, const char *name, const char *v)
{
    name_field(f, name);
    bmrt_text_json(&f->line, v);
}

BmStatus bmrt_metrics_end(bmrt_metrics *f, bmrt_error *e)
{
    if (f->nonfinite)
        bmrt_metrics_text(f, "nonfinite", f->nonfinite);
    bmrt_text_add(&f->line, "}\n");
    if (f->line.cut)
        return bmrt_fail(e, BMRT_BUG, "a line of metrics is longer than %zu bytes", f->line.cap);
    if (f->fd >= 0 && !bmrt_write_all(f->fd, f->line.at, f->line.len))
        return bmrt_fail(e, BMRT_MACHINE, "cannot write '%s': %s", f->path, strerror(errno));
    return BMRT_OK;
}
