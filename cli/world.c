// SPDX-License-Identifier: GPL-3.0-or-later
// Experiments ask for machines, models and engine profiles by name; here the names meet the files.
// Models and profiles are read once and kept; machines belong to whoever opened them.
#include "cli/world.h"

#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "models/soc/soc.h"

struct known_engine {
    char name[96];
    struct engine profile;
    struct known_engine *next;
};

struct known_model {
    char name[256];
    char engine[96];     // "": ours
    struct model *model; // owned
    struct known_model *next;
};

struct cli_world_state {
    struct known_engine *engines;
    struct known_model *models;
};

static struct cli_world_state *state_of(const struct experiment_world *w)
{
    return ((const struct cli_world *)w)->state;
}

static void *zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

static const struct engine *find_engine(const struct experiment_world *w, const char *name,
                                        struct err *e)
{
    struct cli_world_state *s = state_of(w);
    char path[512];
    for (struct known_engine *k = s->engines; k; k = k->next)
        if (!strcmp(k->name, name))
            return &k->profile;
    struct known_engine *k = zeroed(sizeof *k);
    snprintf(k->name, sizeof k->name, "%s", name);
    if (cli_find_config("engine", name, path, sizeof path, e) < 0 ||
        engine_open(path, &k->profile, e) < 0) {
        free(k);
        return NULL;
    }
    k->next = s->engines;
    s->engines = k;
    return &k->profile;
}

static int world_open(const struct experiment_world *w, const char *soc, const char *engine,
                      const char *const *overrides, int n, struct machine **out, struct err *e)
{
    const struct cli_world *x = (const struct cli_world *)w;
    struct cli_factory f = {.soc = true, .set = x->set, .n_set = x->n_set};
    f.base.path = f.path;
    if (engine && !(f.engine = find_engine(w, engine, e)))
        return e->code;
    struct conf *c = NULL;
    if (cli_find_config("soc", soc, f.path, sizeof f.path, e) < 0)
        return e->code;
    int rc = cli_conf_open(&f, overrides, n, &c, e);
    if (rc == 0)
        rc = machine_soc_open(c, false, out, e);
    conf_close(c);
    return rc;
}

static int open_model(const struct experiment_world *w, const char *name, const char *engine,
                      struct model **out, struct err *e)
{
    struct model *plain, *narrow = NULL;
    const struct engine *g = NULL;
    if (engine && !(g = find_engine(w, engine, e)))
        return e->code;
    if (cli_model_open(name, &plain, e) < 0)
        return e->code;
    int rc = g ? engine_model(g, plain, &narrow, e) : 0;
    if (rc < 0 || narrow)
        model_close(plain);
    *out = narrow ? narrow : plain;
    return rc;
}

static int world_model(const struct experiment_world *w, const char *name, const char *engine,
                       const struct model **out, struct err *e)
{
    struct cli_world_state *s = state_of(w);
    const char *whose = engine ? engine : "";
    for (struct known_model *k = s->models; k; k = k->next)
        if (!strcmp(k->name, name) && !strcmp(k->engine, whose)) {
            *out = k->model;
            return 0;
        }
    struct known_model *k = zeroed(sizeof *k);
    snprintf(k->name, sizeof k->name, "%s", name);
    snprintf(k->engine, sizeof k->engine, "%s", whose);
    if (open_model(w, name, engine, &k->model, e) < 0) {
        free(k);
        return e->code;
    }
    k->next = s->models;
    s->models = k;
    *out = k->model;
    return 0;
}

static int world_engine(const struct experiment_world *w, const char *engine, const char **policy,
                        const char **sync, struct err *e)
{
    const struct engine *g = find_engine(w, engine, e);
    if (!g)
        return e->code;
    *policy = g->policy;
    *sync = g->sync;
    return 0;
}

static int world_specification(const struct experiment_world *w, const char *soc, const char *what,
                               double *out, struct err *e)
{
    struct machine *m = NULL;
    struct machine_desc d;
    struct soc_peaks p;
    if (world_open(w, soc, NULL, NULL, 0, &m, e) < 0)
        return e->code;
    machine_describe(m, &d);
    machine_soc_peaks(m, &p);
    m->ops->close(m);
    const char *const names[] = {"gpu.fp16", "npu.fp16", "npu.int8", "npu.side", "dram.peak"};
    const double values[] = {p.gpu_flops, p.npu_flops, p.npu_ops,
                             d.npu >= 0 ? d.device[d.npu].tile : 0, p.dram};
    enum { N = sizeof names / sizeof names[0] };
    for (int i = 0; i < N; i++)
        if (!strcmp(names[i], what)) {
            *out = values[i];
            return values[i] > 0
                       ? 0
                       : err_set(e, ERR_UNSUPPORTED, "the data sheet of %s has no %s", soc, what);
        }
    const char *near = err_nearest(what, names, N);
    return err_set(e, ERR_CONFIG, "no specification \"%.60s\"%s%s%s", what,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

void cli_world_open(struct cli_world *out, const char *const *set, int n_set)
{
    *out = (struct cli_world){.base = {world_open, world_model, world_engine, world_specification},
                              .set = set,
                              .n_set = n_set,
                              .state = zeroed(sizeof *out->state)};
}

void cli_world_close(struct cli_world *w)
{
    struct cli_world_state *s = w->state;
    while (s->engines) {
        struct known_engine *next = s->engines->next;
        free(s->engines);
        s->engines = next;
    }
    while (s->models) {
        struct known_model *next = s->models->next;
        model_close(s->models->model);
        free(s->models);
        s->models = next;
    }
    free(s);
    *w = (struct cli_world){0};
}
