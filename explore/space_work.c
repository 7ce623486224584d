// SPDX-License-Identifier: GPL-3.0-or-later
// On what the points of a space are evaluated: one machine or several, one request or a trace.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "explore/space_internal.h"

static int check_machine(const struct loader *l, const struct conf_node *root, const char *key,
                         const char *name)
{
    if (!strcmp(name, "host") || (!strncmp(name, "soc:", 4) && name[4]))
        return 0;
    return load_fail(l, root, key, key, "expected \"host\" or \"soc:NAME\"");
}

int load_machines(const struct loader *l, const struct conf_node *root, const struct space_top *t)
{
    struct space *s = l->s;
    const char *names[METRICS_MAX_MACHINES];
    int n = load_strings(l, root, "machines", "a machine", names, METRICS_MAX_MACHINES);
    if (n < 0)
        return n;
    if (n > 0 && *t->machine)
        return load_fail(l, root, "machine", "machine", "give either machine or machines");
    const char *key = n ? "machines" : "machine";
    if (!n)
        names[n++] = t->machine;
    for (int i = 0; i < n; i++) {
        if (check_machine(l, root, key, names[i]) < 0)
            return -1;
        if (n > 1 && !strcmp(names[i], "host"))
            return load_fail(l, root, key, key,
                             "a point is simulated on several SoCs or measured on the host, not "
                             "both; compare with `partita validate`");
        for (int j = 0; j < i; j++)
            if (!strcmp(names[i], names[j]))
                return load_fail(l, root, key, key, "a machine is listed twice");
        s->machines[i] = names[i];
    }
    if (load_has(root, "aggregate") && n < 2)
        return load_fail(l, root, "aggregate", "aggregate",
                         "there is one machine; with `machines` this says how they become one");
    s->aggregate = (enum metrics_aggregate)t->aggregate;
    s->n_machines = n;
    s->machine = s->machines[0];
    return 0;
}

// --- a trace

// A regular file: what is read once (a pipe) or never ends (a device) is no trace of a space, which
// has to be the same when it is opened again.
static FILE *try_open(const char *path)
{
    struct stat s;
    if (stat(path, &s) < 0)
        return NULL;
    errno = EINVAL;
    return S_ISREG(s.st_mode) ? fopen(path, "r") : NULL;
}

// Beside the file that names it, else from the working directory.
static FILE *open_trace(const struct loader *l, const struct conf_node *root, const char *name,
                        const char **path)
{
    const char *file, *slash;
    int line;
    FILE *f = NULL;
    conf_where(root, "trace", &file, &line);
    slash = strrchr(file, '/');
    *path = name;
    if (name[0] != '/' && slash) {
        *path = arena_printf(&l->s->arena, "%.*s/%s", (int)(slash - file), file, name);
        f = try_open(*path);
    }
    if (f)
        return f;
    *path = name;
    return try_open(name);
}

static int read_trace(const struct loader *l, const struct conf_node *root,
                      const struct space_top *t)
{
    struct space *s = l->s;
    struct trace trace = {0};
    char text[200];
    FILE *f = open_trace(l, root, t->trace, &s->trace);
    if (!f) {
        snprintf(text, sizeof text, "cannot read \"%.80s\", neither beside the space nor here: %s",
                 t->trace, strerror(errno));
        return load_fail(l, root, "trace", "trace", text);
    }
    int rc = trace_read(f, s->trace, *t->trace_prompt ? t->trace_prompt : NULL,
                        *t->trace_gen ? t->trace_gen : NULL, &trace, l->e);
    if (rc < 0)
        return rc;
    s->traced = (struct trace_summary){0};
    if (t->max_tokens)
        s->traced.clipped = trace_clip(&trace, (int)t->max_tokens);
    s->n_requests = requests_choose(&trace, (int)t->requests, s->request, &s->traced);
    trace_fini(&trace);
    s->n_prompt = s->n_gen = 1;
    for (int i = 0; i < s->n_requests; i++) {
        const struct space_request *r = &s->request[i];
        s->n_prompt = r->n_prompt > s->n_prompt ? r->n_prompt : s->n_prompt;
        s->n_gen = r->n_gen > s->n_gen ? r->n_gen : s->n_gen;
    }
    return 0;
}

int load_requests(const struct loader *l, const struct conf_node *root, const struct space_top *t)
{
    static const char *const with[] = {"trace_prompt", "trace_gen", "requests", "max_tokens"};
    static const char *const without[] = {"prompt", "gen"};
    struct space *s = l->s;
    if (!load_has(root, "trace")) {
        for (size_t i = 0; i < sizeof with / sizeof with[0]; i++)
            if (load_has(root, with[i]))
                return load_fail(l, root, with[i], with[i], "belongs to `trace`, which is missing");
        s->n_prompt = (int)t->prompt;
        s->n_gen = (int)t->gen;
        s->n_requests = 1;
        s->request[0] = (struct space_request){s->n_prompt, s->n_gen, 1};
        return 0;
    }
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        if (load_has(root, without[i]))
            return load_fail(l, root, without[i], without[i], "the lengths come from `trace`");
    if (!*t->trace)
        return load_fail(l, root, "trace", "trace", "expected the name of a file");
    return read_trace(l, root, t);
}
