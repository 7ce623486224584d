// SPDX-License-Identifier: GPL-3.0-or-later
// A task at cycle level on a device that works through its data as they come: GPU, CPU, and the
// NPU's vector unit.
#ifndef MODELS_SOC_PIPE_H
#define MODELS_SOC_PIPE_H

#include "models/soc/dram.h"

enum {
    PIPE_AHEAD = 4,    // chunks that the memory stream runs ahead
    PIPE_LEAST = 4096, // bytes of a chunk, of a task that has no more than PIPE_FEW of them
    PIPE_FEW = 64,
    PIPE_CHUNK = 16384, // of a larger one
};

struct agent;

struct pipe {
    struct agent *agent;
    struct operands at;
    int64_t compute;               // ps at full clock
    int64_t weight, read, written; // bytes
    int chunks;
    int fetched, computed;    // chunks asked for, computed
    int coming[PIPE_AHEAD];   // transfers under way for the chunk of this place
    bool writing[PIPE_AHEAD]; // a chunk's results are under way
    int n_writing;
    bool busy;             // computing
    struct sim_event done; // of computing a chunk
    struct pipe_move {
        struct dram_transfer t; // first
        struct pipe *pipe;
        int place;
    } weights[PIPE_AHEAD], reads[PIPE_AHEAD], writes[PIPE_AHEAD];
};

int pipe_chunks(int64_t bytes);                   // of a task that moves so much
void pipe_reset(struct pipe *p, struct agent *a); // after sim_reset
// Calls agent_complete at the end.
void pipe_start(struct pipe *p, const struct operands *at, int64_t compute, int64_t weight,
                int64_t read, int64_t written);

#endif
