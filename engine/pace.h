// SPDX-License-Identifier: GPL-3.0-or-later
// How long tasks really take against what the cost table says, so that a scheme which sleeps
// through the predicted time is not at the mercy of an old or foreign profile.
//
// A device knows how long it was busy (device_stats.busy_ps) whoever waited for it and however
// late; what the table expects of a step's tasks is known, too. Their ratio, per device and step,
// is the factor on the expectations of the next run of the same step: exact after one run if all
// tasks are wrong by the same factor. Until then half of what the table says is believed: who
// sleeps half as long as it might polls the other half, who sleeps twice as long is late.
//
// It is no state of a scheme, which keeps nothing between joins.
#ifndef ENGINE_PACE_H
#define ENGINE_PACE_H

#include "engine/machine.h"

struct pace {
    double expected[MACHINE_MAX_DEVICES]; // ps of one run of the step by the table
    double factor[MACHINE_MAX_DEVICES];   // on what the table says
    int64_t busy[MACHINE_MAX_DEVICES];    // ps, at the begin of the run in hand
    bool known;                           // a run has been seen
};

// Nothing expected. A model takes the time that its profile says: it is believed, and never seen.
void pace_init(struct pace *p, const struct machine *m);
// Around a run of the step; `end` once the host has joined what it needs. The first run decides,
// each later one counts as much as all before it together.
void pace_begin(struct pace *p, const struct machine *m);
void pace_end(struct pace *p, const struct machine *m);

#endif
