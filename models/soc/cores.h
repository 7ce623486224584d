// SPDX-License-Identifier: GPL-3.0-or-later
// Cores that several devices compute on, as on a PC whose "GPU" and "NPU" are threads beside those
// of the CPU device: who finds all of them taken has to share.
#ifndef MODELS_SOC_CORES_H
#define MODELS_SOC_CORES_H

#include "base/conf.h"
#include "models/soc/dram.h"

// The group `cores`. Without it every device has cores of its own.
struct cores_params {
    int64_t count;         // cores; 0: nobody shares
    int64_t cpu, gpu, npu; // threads of a device while it executes; 0: it has cores of its own
    int64_t control;       // threads of the control plane while it is awake
    int64_t slice;         // ps between two looks of a thread that polls, while all cores are taken
};
extern const struct conf_row cores_rows[];
extern const size_t cores_n_rows;

struct cores {
    struct cores_params p;
    struct dram *dram;
    struct dram_port *port[DRAM_USERS]; // of the devices that compute on them
    int n;
    int64_t busy; // threads now
    bool awake;   // the control plane
};

// Nobody is busy but the control plane; after dram_reset.
void cores_reset(struct cores *c, const struct cores_params *p, struct dram *d);
// The device behind this port computes on them.
void cores_join(struct cores *c, struct dram_port *port);
// So many threads more (or less) are ready to run, from now on.
void cores_change(struct cores *c, int64_t threads);
// The control plane falls asleep or wakes.
void cores_control(struct cores *c, bool awake);

// As many threads are ready as there are cores, or more.
static inline bool cores_taken(const struct cores *c)
{
    return c->busy >= c->p.count;
}

#endif
