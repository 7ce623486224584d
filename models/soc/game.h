// SPDX-License-Identifier: GPL-3.0-or-later
// A game: another client of the GPU, with frames to show.
#ifndef MODELS_SOC_GAME_H
#define MODELS_SOC_GAME_H

#include "models/soc/agent.h"

enum { GAME_MAX_BUFFERS = 16 };

// The group `gpu.game`.
struct game_params {
    double rate;     // frames/s that it wants to show; 0: there is no game
    int64_t work;    // ps of a frame on a GPU of its own at the fastest operating point
    int64_t kernels; // equal parts of a frame, each of which executes without interruption
    int64_t bytes;   // DRAM traffic of a frame
    int64_t buffers; // frames submitted and not yet shown; without a free one a frame is dropped
    int64_t change;  // ps for the GPU to change between the game and the engine
    int priority;    // of its kernels: enum game_priority
};
enum game_priority { GAME_EQUAL, GAME_HIGH };
extern const struct conf_row game_rows[];
extern const size_t game_n_rows;

struct game {
    struct game_params p;
    struct agent *gpu;
    struct turn turn; // of the GPU
    struct turn_client client;
    struct sim_event tick;  // the next frame is wanted
    struct sim_event timer; // end of a change or a wake-up, or of a kernel without traffic
    struct sim_flow flow;   // traffic of the executing kernel
    uint64_t begun;         // frames wanted so far
    // Frames in buffers, a ring; the kernels of the first one execute.
    struct {
        int64_t due;     // ps
        uint64_t ticket; // of its kernels
    } frame[GAME_MAX_BUFFERS];
    int first, waiting;
    int64_t kernel; // of the first frame, complete
    bool executing;
    int64_t since; // ps: start of the executing kernel
    struct frames stats;
};

// Lets a game use the GPU from now (time 0) on. Once per reset of `gpu`; with rate 0 nothing.
void game_start(struct game *g, const struct game_params *p, struct agent *gpu);
void game_frames(const struct game *g, struct frames *out);
int64_t game_busy(const struct game *g); // ps of the GPU up to now

#endif
