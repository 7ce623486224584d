// SPDX-License-Identifier: GPL-3.0-or-later
// The surroundings of experiments (explore/experiment.h) as the command line has them: simulated
// SoCs, models and engine profiles by the names of configs/. Shared by repro and fit.
#ifndef CLI_WORLD_H
#define CLI_WORLD_H

#include "explore/experiment.h"

struct cli_world_state;

struct cli_world {
    struct experiment_world base; // first
    // Overrides "key=value" of every SoC that is opened, before those of an experiment; an engine's
    // factors scale them. Whoever changes them must experiments_forget what was predicted before.
    const char *const *set;
    int n_set;
    struct cli_world_state *state; // models and profiles that were read
};

void cli_world_open(struct cli_world *out, const char *const *set, int n_set);
void cli_world_close(struct cli_world *w);

#endif
