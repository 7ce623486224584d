// SPDX-License-Identifier: GPL-3.0-or-later
// Finding plug-ins by name: "NAME" or "NAME:key=value,...". Policies and sync schemes share the
// syntax and the errors, so that a typo is answered the same way everywhere.
#include "engine/policy.h"
#include "engine/sync.h"

#include <string.h>

enum { MAX_NAMES = 64, MAX_NAME = 64 };

static int unknown(const char *what, const char *kind, const char *name, const char *const *names,
                   size_t n, struct err *e)
{
    const char *near = err_nearest(name, names, n);
    return err_set(e, ERR_USAGE, "unknown %s \"%s\"%s%s%s; see `partita list %s`", what, name,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "", kind);
}

const struct policy_ops *policy_find(const char *name, struct err *e)
{
    const char *names[MAX_NAMES];
    for (size_t i = 0; i < policy_registry_count; i++) {
        names[i] = policy_registry[i]->name;
        if (!strcmp(name, names[i]))
            return policy_registry[i];
    }
    unknown("policy", "policies", name, names, policy_registry_count, e);
    return NULL;
}

const struct sync_ops *sync_find(const char *name, struct err *e)
{
    const char *names[MAX_NAMES];
    for (size_t i = 0; i < sync_registry_count; i++) {
        names[i] = sync_registry[i]->name;
        if (!strcmp(name, names[i]))
            return sync_registry[i];
    }
    unknown("sync scheme", "syncs", name, names, sync_registry_count, e);
    return NULL;
}

// Splits "NAME:rest"; returns rest or NULL.
static const char *split(const char *spec, char *name)
{
    const char *colon = strchr(spec, ':');
    size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
    n = n < MAX_NAME ? n : MAX_NAME - 1;
    memcpy(name, spec, n);
    name[n] = 0;
    return colon ? colon + 1 : NULL;
}

static int options(const char *text, const char *group, const struct conf_row *rows, size_t n,
                   size_t size, struct arena *a, const void **out, struct err *e)
{
    void *o = arena_alloc(a, size ? size : 1);
    *out = o;
    return conf_read_text(text, group, rows, n, o, a, e);
}

int policy_parse(const char *spec, struct arena *a, const struct policy_ops **out,
                 const void **opts, struct err *e)
{
    char name[MAX_NAME];
    const char *rest = split(spec, name);
    const struct policy_ops *p = policy_find(name, e);
    if (!p)
        return ERR_USAGE;
    *out = p;
    return options(rest, p->name, p->rows, p->n_rows, p->options_size, a, opts, e);
}

int sync_parse(const char *spec, struct arena *a, const struct sync_ops **out, const void **opts,
               struct err *e)
{
    char name[MAX_NAME];
    const char *rest = split(spec, name);
    const struct sync_ops *s = sync_find(name, e);
    if (!s)
        return ERR_USAGE;
    *out = s;
    return options(rest, s->name, s->rows, s->n_rows, s->options_size, a, opts, e);
}
