// SPDX-License-Identifier: GPL-3.0-or-later
// Surroundings of experiments for tests: the SoCs and models of configs/, overrides of every
// machine, and one engine, "theirs", which is ours under another policy and scheme.
#ifndef TESTS_EXPLORE_WORLD_H
#define TESTS_EXPLORE_WORLD_H

#include <stdio.h>
#include <string.h>
#include "explore/experiment.h"
#include "models/soc/soc.h"
#include "tests/harness.h"

enum { WORLD_MODELS = 8 };

struct world {
    struct experiment_world base; // first
    const char *set[8];
    int n_set, opened; // machines
    struct {
        char name[64];
        struct model *model;
    } known[WORLD_MODELS];
    int n_known;
};

static inline int world_open(const struct experiment_world *base, const char *soc,
                             const char *engine, const char *const *overrides, int n,
                             struct machine **out, struct err *e)
{
    struct world *w = (struct world *)(uintptr_t)base;
    struct conf *c = NULL;
    char path[200], key[128];
    (void)engine;
    snprintf(path, sizeof path, "configs/soc/%s.cfg", soc);
    int rc = conf_open(path, &c, e);
    for (int i = 0; rc == 0 && i < w->n_set + n; i++) {
        const char *s = i < w->n_set ? w->set[i] : overrides[i - w->n_set];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(s, "="), s);
        rc = conf_override(c, key, strchr(s, '=') + 1, e);
    }
    if (rc == 0)
        rc = machine_soc_open(c, false, out, e);
    conf_close(c);
    w->opened += rc == 0;
    return rc;
}

static inline int world_model(const struct experiment_world *base, const char *name,
                              const char *engine, const struct model **out, struct err *e)
{
    struct world *w = (struct world *)(uintptr_t)base;
    char path[200];
    (void)engine;
    for (int i = 0; i < w->n_known; i++)
        if (!strcmp(w->known[i].name, name)) {
            *out = w->known[i].model;
            return 0;
        }
    if (w->n_known == WORLD_MODELS)
        return err_set(e, ERR_USAGE, "too many models for this test");
    snprintf(path, sizeof path, "configs/model/%s.cfg", name);
    int rc = model_open(path, &w->known[w->n_known].model, e);
    if (rc == 0) {
        snprintf(w->known[w->n_known].name, sizeof w->known[0].name, "%s", name);
        *out = w->known[w->n_known++].model;
    }
    return rc;
}

static inline int world_engine(const struct experiment_world *base, const char *engine,
                               const char **policy, const char **sync, struct err *e)
{
    (void)base;
    if (strcmp(engine, "theirs"))
        return err_set(e, ERR_USAGE, "no engine \"%s\"", engine);
    *policy = "gpu_only";
    *sync = "driver";
    return 0;
}

static inline int world_specification(const struct experiment_world *base, const char *soc,
                                      const char *what, double *out, struct err *e)
{
    struct machine *m;
    struct soc_peaks p;
    if (world_open(base, soc, NULL, NULL, 0, &m, e) < 0)
        return e->code;
    machine_soc_peaks(m, &p);
    m->ops->close(m);
    *out = !strcmp(what, "gpu.fp16") ? p.gpu_flops : !strcmp(what, "dram.peak") ? p.dram : 0;
    return *out > 0 ? 0 : err_set(e, ERR_CONFIG, "no specification \"%s\"", what);
}

static inline void world_init(struct world *w)
{
    *w = (struct world){.base = {world_open, world_model, world_engine, world_specification}};
}

static inline void world_fini(struct world *w)
{
    for (int i = 0; i < w->n_known; i++)
        model_close(w->known[i].model);
    w->n_known = 0;
}

// Experiments from text, through a file; NULL on failure, which the test has then reported.
static inline const char *experiment_file(const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/x.cfg", test_tmpdir());
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

static inline struct experiments *experiments_of(const char *text)
{
    struct experiments *x = NULL;
    struct err e = {0};
    CHECK_OK(experiments_open(experiment_file(text), &x, &e), &e);
    return x;
}

// The number of one experiment, NAN on failure.
static inline double predicted(struct experiments *x, const char *id, const struct world *w)
{
    struct err e = {0};
    struct prediction p;
    int i = experiments_find(x, id, &e);
    if (!CHECK_OK(i, &e) || !CHECK_OK(experiments_predict(x, i, &w->base, &p, &e), &e))
        return (double)NAN;
    return p.value;
}

#endif
