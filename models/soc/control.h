// SPDX-License-Identifier: GPL-3.0-or-later
// The control plane: the CPU core on which the executor runs. Its time is the machine's clock.
#ifndef MODELS_SOC_CONTROL_H
#define MODELS_SOC_CONTROL_H

#include "base/conf.h"
#include "sim/sim.h"

struct control_params {
    int64_t granularity; // ps: sleeps are rounded up to a multiple
    int64_t wake;        // ps: from the timer to the first instruction
    int64_t pause;       // ps: one turn of a polling loop on a flag word
};
extern const struct conf_row control_rows[];
extern const size_t control_n_rows;

struct control {
    struct control_params p;
    struct sim *sim;
    int64_t asleep; // ps, since the reset
};

void control_init(struct control *c, const struct control_params *p, struct sim *s);
void control_work(struct control *c, int64_t ps);  // executes for so long
void control_sleep(struct control *c, int64_t ps); // at least so long
void control_pause(struct control *c);
// Sleeps through the next event; false when nothing is going to happen.
bool control_step(struct control *c);

#endif
