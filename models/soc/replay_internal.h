// SPDX-License-Identifier: GPL-3.0-or-later
// What replay.c (equal layers) and memo.c (equal passes) share.
#ifndef MODELS_SOC_REPLAY_INTERNAL_H
#define MODELS_SOC_REPLAY_INTERNAL_H

#include "engine/machine.h"
#include "models/soc/replay.h"

enum { DEVICES = MACHINE_MAX_DEVICES };

// What only grows.
struct totals {
    int64_t now;
    uint64_t fired, solves;
    int64_t spent[CORE_CLASSES], asleep[CORE_CLASSES];
    int64_t shared; // ps with a flow on the memory
    double moved[DEVICES];
    uint64_t completed[DEVICES];
    struct device_stats stats[DEVICES]; // busy_ps without the executing task
};

static inline struct agent *replay_agent(const struct replay *r, int i)
{
    return (struct agent *)r->m->device[i];
}

// Room for one element more.
void *replay_reserve(void *array, size_t n, size_t *room, size_t size);
// Is the state that of the flow level's machine alone?
bool replay_able(const struct replay *r);
// Appends the state to r->word; false: there is something that it does not hold.
bool replay_put_state(struct replay *r, const void *state, size_t size);
void replay_totals(const struct replay *r, struct totals *t);
// base + n * (to - from); false: a double cannot hold a sum exactly.
bool replay_sums(const struct replay *r, const struct totals *from, const struct totals *to, int n,
                 const struct totals *base, struct totals *out);
// Feeds the digest completions again, `times` times: `later` than noted, then each time `period`
// later. completed: tasks so far, by device; counted on.
void replay_notes(const struct replay *r, const replay_note *note, size_t n, int times,
                  int64_t period, int64_t later, uint64_t *completed);
// Moves clock, counters of the memory and of the control core on to these sums; devices are the
// caller's.
void replay_add(struct replay *r, const struct totals *sum);

#endif
