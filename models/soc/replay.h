// SPDX-License-Identifier: GPL-3.0-or-later
// What comes again is simulated once: equal layers of a step (replay.c) and passes that the machine
// has made before from the same state (memo.c). docs/adr/0007-layer-replay.md.
#ifndef MODELS_SOC_REPLAY_H
#define MODELS_SOC_REPLAY_H

#include "models/soc/agent.h"

// The end of a task: ps * MACHINE_MAX_DEVICES + device, in one word because there are many.
typedef int64_t replay_note;
// After note `end` those from `begin` on came n times more, each time `period` later.
struct replay_loop {
    size_t begin, end;
    int n;
    int64_t period;
};

// Passes by state, and long descriptions by number: two tables by hash.
struct memo_entry;
struct memo_table {
    struct memo_entry **slot; // open addressing
    size_t n, capacity;       // capacity: a power of two
};
struct memo {
    struct memo_table passes, texts;
    struct memo_pass *open; // being recorded
    uint32_t numbers;       // given out
    size_t bytes;           // of all entries
};

struct replay {
    bool enabled;
    struct machine *m;
    struct control *control;
    struct dram *dram;
    // Completions since the start of the series (following) or of the pass (recording).
    bool following, recording;
    replay_note *note;
    size_t notes, note_room;
    struct replay_loop *loop;
    size_t loops, loop_room;
    // State at the start of each section so far, one behind the other.
    uint64_t *word;
    size_t words, word_room;
    struct replay_mark *mark;
    int marks, mark_room;
    struct memo memo;  // outlives resets
    uint64_t sections; // since the reset: layers that were not simulated
    uint64_t recalled; // since the reset: passes that were not
};

void replay_init(struct replay *r, struct machine *m, struct control *c, struct dram *d,
                 bool enabled);
void replay_fini(struct replay *r);
void replay_reset(struct replay *r);
// A task of this device is complete now.
void replay_complete(struct replay *r, int device);
// What machine_replay asks for.
int replay_section(struct replay *r, int index, int left, const void *state, size_t size,
                   int *period);
uint32_t replay_number(struct replay *r, const void *bytes, size_t size);
bool replay_recall(struct replay *r, const void *state, size_t size, void *result, size_t n);
void replay_learn(struct replay *r, const void *result, size_t n);

void memo_fini(struct memo *m);

#endif
