// SPDX-License-Identifier: GPL-3.0-or-later
// Experiments: what a publication measured, as data (configs/repro/NAME.cfg), and what this project
// predicts for it. An experiment says which machine, model, policy, scheme and metric; nothing in
// it knows the published value. `partita repro` compares, `partita fit` calibrates with them.
//
// A world opens machines. The same experiments run on any world; a fit hands in one whose machines
// carry other parameters.
#ifndef EXPLORE_EXPERIMENT_H
#define EXPLORE_EXPERIMENT_H

#include <stdio.h>
#include "engine/machine.h"
#include "engine/model.h"

// What an experiment asks of its surroundings. Names are those of configs/soc, model and engine.
struct experiment_world {
    // A timing-only machine of SoC `soc` as engine `engine` (NULL: ours) uses it, with "key=value"
    // overrides.
    int (*open)(const struct experiment_world *w, const char *soc, const char *engine,
                const char *const *overrides, int n, struct machine **out, struct err *e);
    // The model's shape with the engine's width of weights. Owned by the world.
    int (*model)(const struct experiment_world *w, const char *name, const char *engine,
                 const struct model **out, struct err *e);
    // Policy and scheme specifications of an engine profile (pointers owned by the world).
    int (*engine)(const struct experiment_world *w, const char *engine, const char **policy,
                  const char **sync, struct err *e);
    // A value of the SoC's data sheet: "gpu.fp16", "npu.fp16", "npu.int8", "npu.side" (flop/s,
    // op/s, 1), "dram.peak" (bytes/s).
    int (*specification)(const struct experiment_world *w, const char *soc, const char *what,
                         double *out, struct err *e);
};

enum { EXPERIMENT_TEXT = 64 };

struct prediction {
    bool is_text;
    double value;               // in the experiment's unit
    char text[EXPERIMENT_TEXT]; // a strategy, as plan_strategy prints it
};

struct experiments;
// Reads and checks a file; names of SoCs, models and engines are the world's, so a wrong one is an
// error of experiments_predict.
int experiments_open(const char *path, struct experiments **out, struct err *e);
// The vocabulary of the file: keys that all experiments have, kinds with theirs, metrics.
void experiments_help(FILE *f);
void experiments_close(struct experiments *x);
int experiments_count(const struct experiments *x);
// The SoC of the defaults, or of the first experiment where these name none.
const char *experiments_soc(const struct experiments *x);
const char *experiments_id(const struct experiments *x, int i);
const char *experiments_unit(const struct experiments *x, int i);
// What an error is relative to where the published value is 0, in the unit; 0: not stated.
double experiments_scale(const struct experiments *x, int i);
const char *experiments_kind(const struct experiments *x, int i); // "operator", "session", ...
void experiments_where(const struct experiments *x, int i, const char **file, int *line);
int experiments_find(const struct experiments *x, const char *id, struct err *e); // negative: none

// Sessions and machines are shared between experiments of one world until experiments_forget.
int experiments_predict(struct experiments *x, int i, const struct experiment_world *w,
                        struct prediction *out, struct err *e);
void experiments_forget(struct experiments *x);

#endif
