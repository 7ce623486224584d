// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/trace_file.h"

#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/trace_order.h"

struct trace_file {
    struct file out;
    struct trace_order *order;
};

static const struct trace_format *find(const char *path, struct err *e)
{
    static const struct trace_format *const all[] = {&trace_perfetto, &trace_chrome};
    const char *base = strrchr(path, '/'), *ending = strrchr(base ? base : path, '.');
    const char *names[2];
    for (int i = 0; i < 2; i++) {
        names[i] = all[i]->ending;
        if (ending && !strcmp(ending, all[i]->ending))
            return all[i];
    }
    const char *near = ending ? err_nearest(ending, names, 2) : NULL;
    err_at(e, ERR_USAGE, path, 0, NULL, "the name of a trace ends in %s (%s) or %s (%s)%s%s%s",
           names[0], all[0]->doc, names[1], all[1]->doc, near ? "; did you mean " : "",
           near ? near : "", near ? "?" : "");
    return NULL;
}

int trace_file_check(const char *path, struct err *e)
{
    return find(path, e) ? 0 : ERR_USAGE;
}

int trace_file_open(const char *path, const char *title, struct trace_file **out, struct err *e)
{
    const struct trace_format *f = find(path, e);
    if (!f)
        return ERR_USAGE;
    struct trace_file *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    int rc = file_begin(&t->out, path, e);
    if (rc < 0) {
        free(t);
        return rc;
    }
    t->order = trace_order_create(f, t->out.f, title, TRACE_WINDOW);
    *out = t;
    return 0;
}

const struct trace_sink *trace_file_sink(struct trace_file *t)
{
    return trace_order_sink(t->order);
}

int trace_file_close(struct trace_file *t, int rc, struct err *e)
{
    trace_order_destroy(t->order);
    rc = file_end(&t->out, rc, e);
    free(t);
    return rc;
}
