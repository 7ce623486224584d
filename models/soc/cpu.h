// SPDX-License-Identifier: GPL-3.0-or-later
// The simulated CPU as a compute agent: the cores that are not the control plane.
#ifndef MODELS_SOC_CPU_H
#define MODELS_SOC_CPU_H

#include "models/soc/agent.h"

struct cpu_params {
    const char *name;
    int64_t cores;                        // that compute
    int64_t panel;                        // weight rows that a core takes at a time
    double gemv, gemm, attention, vector; // flop/s per core by kernel class
};
extern const struct conf_row cpu_rows[];
extern const size_t cpu_n_rows;

struct cpu {
    struct agent agent; // first
    struct cpu_params p;
};

int cpu_open(const struct cpu_params *p, const struct queue_params *q, struct machine *m, int index,
             struct control *host, struct dram *dram, struct device **out, struct err *e);

#endif
