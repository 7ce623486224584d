// SPDX-License-Identifier: GPL-3.0-or-later
// The simulated GPU.
#ifndef MODELS_SOC_GPU_H
#define MODELS_SOC_GPU_H

#include "models/soc/agent.h"

struct gpu_params {
    const char *name;
    double peak;               // flop/s, FP16 by the data sheet; for reports
    int64_t wave;              // lanes of a wave
    int64_t slots;             // waves resident at a time
    int64_t gemm_outputs;      // outputs that a wave of the matrix-matrix kernel computes
    double tail;               // rounds of waves lost per kernel to filling and draining
    double gemv, gemm, vector; // flop/s by kernel class, all slots busy
    double decode;             // weights/s
    double attention;          // flop/s of attention over several tokens; 0: as its products
};
extern const struct conf_row gpu_rows[];
extern const size_t gpu_n_rows;

struct gpu {
    struct agent agent; // first
    struct gpu_params p;
};

int gpu_open(const struct gpu_params *p, const struct queue_params *q, struct machine *m, int index,
             struct control *host, struct dram *dram, struct device **out, struct err *e);

#endif
