// SPDX-License-Identifier: GPL-3.0-or-later
// Experiments: the public face, the table of kinds, and the machines in use.
//
// Idea: what a publication measured is data. A kind is a way to measure (one operator, a session,
// what a solver picks); a row of the file says what of. Nothing here knows a published value, and
// no code knows the name of a row: a prediction depends on the row's keys and on the world only.
//
// Invariant: a prediction does not depend on which were made before. Machines are reset before each
// use, and a session is kept under everything that it was asked to do.
#include <stdlib.h>
#include <string.h>
#include "explore/experiment_internal.h"

const struct experiment_kind *const experiment_kinds[] = {
    &kind_specification, &kind_operator, &kind_best,     &kind_order,
    &kind_bandwidth,     &kind_latency,  &kind_strategy, &kind_session,
};
const int experiment_n_kinds = sizeof experiment_kinds / sizeof experiment_kinds[0];

struct used_machine {
    char *key;
    struct machine *machine;
    struct used_machine *next;
};

int experiments_open(const char *path, struct experiments **out, struct err *e)
{
    struct experiments *x = calloc(1, sizeof *x);
    if (!x)
        abort();
    arena_init(&x->arena);
    int rc = experiments_load(path, x, e);
    if (rc < 0) {
        experiments_close(x);
        return rc;
    }
    *out = x;
    return 0;
}

void experiments_close(struct experiments *x)
{
    if (!x)
        return;
    experiments_forget(x);
    arena_fini(&x->arena);
    free(x);
}

int experiments_count(const struct experiments *x)
{
    return x->n;
}

const char *experiments_soc(const struct experiments *x)
{
    return x->soc;
}

const char *experiments_id(const struct experiments *x, int i)
{
    return x->experiment[i].id;
}

const char *experiments_unit(const struct experiments *x, int i)
{
    return x->experiment[i].unit;
}

const char *experiments_kind(const struct experiments *x, int i)
{
    return x->experiment[i].kind_name;
}

double experiments_scale(const struct experiments *x, int i)
{
    return x->experiment[i].scale;
}

void experiments_where(const struct experiments *x, int i, const char **file, int *line)
{
    *file = x->experiment[i].file;
    *line = x->experiment[i].line;
}

int experiments_find(const struct experiments *x, const char *id, struct err *e)
{
    for (int i = 0; i < x->n; i++)
        if (!strcmp(x->experiment[i].id, id))
            return i;
    const char **names = calloc((size_t)x->n + 1, sizeof *names);
    if (!names)
        abort();
    for (int i = 0; i < x->n; i++)
        names[i] = x->experiment[i].id;
    const char *near = err_nearest(id, names, (size_t)x->n);
    free(names);
    return err_set(e, ERR_USAGE, "no experiment \"%.60s\"%s%s%s", id,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

// --- machines in use

int experiment_machine(struct experiments *x, const struct setup *s, struct machine **out,
                       struct err *e)
{
    char key[1024];
    size_t at = (size_t)snprintf(key, sizeof key, "%s|%s", s->soc, s->engine);
    for (int i = 0; i < s->set.n && at < sizeof key; i++)
        at += (size_t)snprintf(key + at, sizeof key - at, "|%s", s->set.v[i]);
    if (at >= sizeof key)
        return err_set(e, ERR_CONFIG, "the overrides of one machine are too long");
    struct used_machine *u = x->machines;
    while (u && strcmp(u->key, key))
        u = u->next;
    if (!u) {
        struct machine *m;
        const char *engine = *s->engine ? s->engine : NULL;
        if (x->world->open(x->world, s->soc, engine, s->set.v, s->set.n, &m, e) < 0)
            return e->code;
        u = calloc(1, sizeof *u);
        if (!u || !(u->key = strdup(key)))
            abort();
        u->machine = m;
        u->next = x->machines;
        x->machines = u;
    }
    u->machine->ops->reset(u->machine);
    *out = u->machine;
    return 0;
}

int experiment_model(struct experiments *x, const struct setup *s, const char *name,
                     const struct model **out, struct err *e)
{
    return x->world->model(x->world, name, *s->engine ? s->engine : NULL, out, e);
}

void experiments_forget(struct experiments *x)
{
    experiment_forget_sessions(x);
    while (x->machines) {
        struct used_machine *u = x->machines;
        x->machines = u->next;
        u->machine->ops->close(u->machine);
        free(u->key);
        free(u);
    }
    x->world = NULL;
}

// --- predicting

int experiments_predict(struct experiments *x, int i, const struct experiment_world *w,
                        struct prediction *out, struct err *e)
{
    const struct experiment *y = &x->experiment[i];
    struct err why = {0};
    if (x->world && x->world != w)
        experiments_forget(x);
    x->world = w;
    *out = (struct prediction){0};
    int rc = experiment_kinds[y->kind]->predict(x, y, out, &why);
    if (rc < 0) {
        char text[320]; // what went wrong has its own place, perhaps; the row has another
        if (!why.file[0] && !why.key[0])
            return err_at(e, why.code, y->file, y->line, y->id, "%s", why.msg);
        return err_at(e, why.code, y->file, y->line, y->id, "%s",
                      err_text(&why, text, sizeof text));
    }
    out->value /= y->factor;
    return 0;
}
