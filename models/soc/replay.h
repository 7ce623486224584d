// SPDX-License-Identifier: GPL-3.0-or-later
// Equal layers are simulated once: docs/adr/0007-layer-replay.md.
#ifndef MODELS_SOC_REPLAY_H
#define MODELS_SOC_REPLAY_H

#include "models/soc/agent.h"

struct replay_note {
    int64_t time; // ps: end of a task
    uint32_t device;
};

struct replay {
    bool enabled;
    struct machine *m;
    struct control *control;
    struct dram *dram;
    // Completions since the start of the series, while it is followed.
    bool following;
    struct replay_note *note;
    size_t notes, note_room;
    // State at the start of each section so far, one behind the other.
    uint64_t *word;
    size_t words, word_room;
    struct replay_mark *mark;
    int marks, mark_room;
    uint64_t sections; // carried out by replay since the reset
};

void replay_init(struct replay *r, struct machine *m, struct control *c, struct dram *d,
                 bool enabled);
void replay_fini(struct replay *r);
void replay_reset(struct replay *r);
// A task of this device is complete now.
void replay_complete(struct replay *r, int device);
// machine_replay.section
int replay_section(struct replay *r, int index, int left, const void *state, size_t size,
                   int *period);

#endif
